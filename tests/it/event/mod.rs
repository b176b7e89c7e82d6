//! What a delivery may look like, who may have sent it, and what it does to a stream.

mod envelope;
mod link;
mod signature;
