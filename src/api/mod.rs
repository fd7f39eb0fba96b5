//! HTTP: routes, forms, errors, Swagger UI.

pub mod ui;
