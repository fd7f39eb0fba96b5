//! The one integration binary. Its parts are real: `install/test` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod contexts;
mod conventions;
mod engine;
mod images;
mod openapi;
mod registry;
mod store;
mod support;
mod tidy;
