//! Adapter: the durable rows.
