//! The one integration binary. Its parts are real: `install/test` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod puppet;
mod support;
