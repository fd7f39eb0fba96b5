//! The one integration binary. Its parts are real: `install/test` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod build;
mod clusters;
mod compositions;
mod contexts;
mod conventions;
mod deploy;
mod engine;
mod faults;
mod images;
mod openapi;
mod program;
mod puppet;
mod registry;
mod store;
mod support;
mod tidy;
