//! What the cluster can hold: nodes with what they have and what is taken. A fact that the cluster answered;
//! reservations are lessor's own and are subtracted where placement is decided.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What there is of something and how much of it runs already, in one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantity {
    /// What workloads may take in all.
    pub allocatable: u64,
    /// What running workloads have taken.
    pub allocated: u64,
}

impl Quantity {
    /// Nothing taken yet.
    #[must_use]
    pub const fn of(allocatable: u64) -> Self {
        Self { allocatable, allocated: 0 }
    }

    /// What is left; 0 when more is taken than there is.
    #[must_use]
    pub const fn free(self) -> u64 {
        self.allocatable.saturating_sub(self.allocated)
    }
}

/// GPUs of one kind in one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuModel {
    /// `nvidia`, `amd`, …
    pub vendor: String,
    /// `a100`, …
    pub model: String,
    /// Memory size as attributes say it (`80Gi`), where known.
    pub ram: Option<String>,
    /// `pcie` or `sxm`, where known.
    pub interface: Option<String>,
    /// Pieces.
    pub units: Quantity,
}

/// One machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the cluster.
    pub name: String,
    /// Thousandths of a core.
    pub cpu_milli: Quantity,
    /// Bytes.
    pub memory_bytes: Quantity,
    /// Bytes of ephemeral storage.
    pub ephemeral_bytes: Quantity,
    /// By model.
    pub gpus: Vec<GpuModel>,
    /// Persistent classes that volumes on this node can have.
    pub storage_classes: Vec<String>,
    /// Why nothing is placed here, or `None` when it takes workloads.
    pub excluded: Option<String>,
}

/// The cluster's capacity as it was observed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Sorted by name.
    pub nodes: Vec<Node>,
    /// Bytes of persistent storage by class, over the whole cluster.
    pub storage: BTreeMap<String, Quantity>,
    /// Addresses for leased IPs.
    pub ips: Quantity,
    /// Storage classes, devices and the like that the cluster has and that are not offered, with the reason.
    pub excluded: BTreeMap<String, String>,
}
