//! Cached nodes, pods, classes and volumes → what the cluster can hold. Pure.

pub mod quantity;
