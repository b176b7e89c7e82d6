//! The relay between a node and receivers, all over real HTTP.

mod half_open;
mod lifetime;
mod limits;
mod pull;
mod recorded;
mod schema;
mod sending;
mod webhook;
mod world;
