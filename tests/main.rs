//! The one integration binary. Its parts are real: `install/test` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod conventions;
mod engine;
mod openapi;
mod registry;
mod store;
mod support;
mod tidy;
