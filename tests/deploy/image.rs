//! Images that a test makes of the rig's base, and that go with it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{docker::docker, rig};

/// The name of an image, which is removed with the value.
pub(super) struct Image(pub(super) String);

impl Image {
    /// The rig's base with one more instruction of a Dockerfile.
    pub(super) fn with(instruction: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crane-test-deploy/image-{}-{count}:latest", std::process::id());
        let container = docker(&["create", &rig("RIG_BASE"), "true"]);
        docker(&["commit", "--change", instruction, &container, &name]);
        docker(&["rm", &container]);
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        docker(&["rmi", &self.0]);
    }
}
