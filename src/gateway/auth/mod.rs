//! Who sends a request, and what they may do.

pub mod claims;
pub mod token;
