//! The HTTP surface: one router for indexers, tenants, the operator and the platform.

pub mod auth;
pub mod server;
