//! The one integration binary. Its parts are real: `install/test` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod build;
mod cancel;
mod clusters;
mod compositions;
mod contexts;
mod conventions;
mod deploy;
mod engine;
mod events;
mod faults;
mod housekeeping;
mod images;
mod logs;
mod modules;
mod openapi;
mod program;
mod puppet;
mod r10k;
mod registry;
mod replicas;
mod retry;
mod store;
mod support;
mod tidy;
