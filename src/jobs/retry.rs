//! When a job is tried again whose failure may pass by itself.

use std::time::Duration;

use crate::error::Retry;

/// The first wait; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// No wait is longer, unless the other side asks for it.
const LONGEST: Duration = Duration::from_secs(60);

/// What another side asks for is honoured up to this.
const ASKED: Duration = Duration::from_secs(10 * 60);

/// How long to wait after so many failures (the first is 1), half of it left to chance, so that what
/// failed together is not tried again together.
pub(super) fn delay(failures: u32, retry: &Retry) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    let whole = doubled.min(LONGEST);
    let mut byte = [0];
    // Without chance it is the whole time, which is right as well.
    let chance = getrandom::fill(&mut byte).map_or(1.0, |()| f64::from(byte[0]) / 255.0);
    let delay = whole / 2 + (whole / 2).mul_f64(chance);
    retry.after.map_or(delay, |asked| delay.max(asked.min(ASKED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_honour_what_is_asked() {
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0), (4_000_000, 60.0)] {
            let delay = delay(failures, &Retry { after: None }).as_secs_f64();
            assert!((seconds / 2.0..=seconds).contains(&delay), "{failures}: {delay}");
        }
        let asked = |seconds| Retry { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(delay(1, &asked(30)), Duration::from_secs(30));
        assert_eq!(delay(1, &asked(100_000)), ASKED);
    }
}
