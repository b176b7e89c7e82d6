//! The gateway through its real router: who may do what, what is answered, what is refused and how.

mod access;
mod backends;
mod doctor;
mod document;
mod exec;
mod leases;
mod live;
mod migrate;
mod operator;
mod page;
mod platform;
mod policy;
mod problems;
mod replay;
mod sdl;
mod server;
mod session;
mod streams;
mod tokens;
mod webhooks;
mod wire;
mod world;
