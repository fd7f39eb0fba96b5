//! Where compositions can be deployed to.

pub(super) mod host;
