//! The one integration binary. Its parts are real: `install/test` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conventions;
mod engine;
mod registry;
mod store;
mod support;
mod tidy;
