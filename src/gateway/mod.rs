//! Adapter: HTTP.
