//! Crane builds images by applying Puppet inside Docker builds, pushes them to a registry and
//! deploys compose files. This page is the table of contents; the arrows only go down.
//!
//! ```text
//!  main.rs                serve | openapi | check
//!  api/                   HTTP: routes, forms, errors, Swagger UI
//!  crane.rs               the parts, opened once
//!  jobs/                  records, work in the background, logs, cancellation, recovery
//!  puppet/ build/ deploy/ the trade: async functions over plain data
//!  engine/ registry/ store/   Docker, the registry, persistence
//!  config.rs model.rs error.rs    plain data
//! ```
//!
//! What holds everywhere, and is checked by `tests/tidy.rs`:
//!
//! 1. Only `api` names poem (`model` may derive poem-openapi schemas, nothing more).
//! 2. Only `engine` names bollard.
//! 3. Only `store` names sled or redis.
//! 4. Only `jobs` and `main` spawn tasks.
//! 5. Only `config` reads the environment.
//! 6. Parsers (`puppetfile.rs`, `compose.rs`, `dockerfile.rs`) do no I/O and return problems as
//!    values with line and column.
//! 7. `model`, `error`, `config` import no room.
//! 8. No `static` holds state.
//! 9. Nothing below `api` knows a status code.
//! 10. Every job may run twice with the same outcome.
//! 11. Every container, image, network and volume that Crane makes carries its label, and is
//!     removed on every path that should remove it.
//! 12. Crane starts no process. What runs a user's code runs in a container, as an argument vector
//!     in which nothing is the user's.
//! 13. A file over 400 lines says in its header why it is one file.

pub mod api;
pub mod build;
pub mod config;
pub mod crane;
pub mod deploy;
pub mod engine;
pub mod error;
pub mod jobs;
pub mod model;
pub mod puppet;
pub mod registry;
pub mod store;
