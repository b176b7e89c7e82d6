//! Adapters of the cluster port.
