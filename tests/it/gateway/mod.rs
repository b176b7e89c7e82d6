//! The gateway through its real router: who may do what, what is answered, what is refused and how.

mod access;
mod backends;
mod document;
mod leases;
mod page;
mod platform;
mod policy;
mod problems;
mod replay;
mod server;
mod tokens;
mod webhooks;
mod wire;
mod world;
