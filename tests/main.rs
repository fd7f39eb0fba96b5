//! The one integration binary. Its parts are real: `install/test` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod deploy;
mod browser;
mod build;
mod clusters;
mod compositions;
mod contexts;
mod conventions;
mod engine;
mod faults;
mod images;
mod openapi;
mod program;
mod registry;
mod store;
mod puppet;
mod support;
mod tidy;
