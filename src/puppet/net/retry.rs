//! Trying again what a server did not answer.

use std::{future::Future, time::Duration};

use crate::puppet::fault::Result;

/// Pauses between the tries. Three tries in less than three seconds get over a connection that was
/// reset or a server that restarts; what is away for longer is left to the user.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1_500)];

/// Runs it until it succeeds, fails for good, or was tried three times.
pub(in super::super) async fn retried<T, F>(mut run: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for pause in PAUSES {
        match run().await {
            // What comes back at once for all that wait should not come in step.
            Err(fault) if fault.is_away() => tokio::time::sleep(pause + jitter(pause)).await,
            done => return done,
        }
    }
    run().await
}

/// Up to a third of the pause.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    match getrandom::fill(&mut byte) {
        Ok(()) => pause / 3 * u32::from(byte[0]) / 255,
        Err(_) => Duration::ZERO,
    }
}
