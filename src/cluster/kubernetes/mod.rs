//! Leases on Kubernetes.
//!
//! | module | what it owns | |
//! |---|---|---|
//! | [`names`] | namespaces, hostnames, labels, as today's provider writes them | pure |
//! | [`settings`] | what an operator may choose | pure |
//! | [`object`] | one wanted object and its hash | pure |
//! | [`mod@render`] | a workload → the exact set of objects | pure |
//! | [`apply`] | wanted and found → what to write and what to remove; then server-side apply | plan pure |
//! | [`mod@watch`] | caches of everything that is ours, of nodes and pods, with their age | |
//! | [`mod@status`] | cached objects → the status of a lease, and why it is not ready | pure |
//! | `teardown` | the end of a lease, on the API server's own word | |
//! | `quarantine` | the end of what runs, while its volumes stay for a time | |
//! | `server`, `failure` | the few requests that are sent, and what each answer means | |
//! | [`mod@inventory`] | cached nodes, pods and classes → what the cluster can hold | pure |
//! | `node_labels` | keeps the labels of nodes true | |
//! | [`todays`] | which parts of today's provider run, and what is left to them | pure |
//! | [`mod@stream`] | logs, events, exec | |
//!
//! The surprising fact: an object says itself what it was made from ([`object::HASH`]), so nothing has to be read, and
//! nothing written, where a lease has not changed.

pub mod apply;
mod cluster;
mod failure;
pub mod inventory;
pub mod names;
mod node_labels;
pub mod object;
mod quarantine;
pub mod render;
mod server;
pub mod settings;
pub mod status;
pub mod stream;
mod teardown;
pub mod todays;
pub mod watch;

pub use cluster::Kubernetes;
