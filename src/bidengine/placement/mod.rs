//! Where the replicas of a group run: a pure function of the inventory and the reservations.
//!
//! What placement keeps: nothing is taken twice; a replica's GPUs are of one model on one node; all replicas of a unit get the same
//! resources, since one offer stands for all of them; an excluded node takes nothing and says why. It looks for room in several
//! ways before it gives up, and what it then says is about the best of them.
//!
//! What it is not: a promise about the cluster's own scheduler, which decides later and on its own facts.
//!
//! The surprising fact: a volume of class `ram` takes the node's memory, and a persistent volume takes a pool that is shared by
//! all nodes; so a full pool is nobody's node's fault, and is reported once.

mod gpu;
mod room;
mod search;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

pub(super) use self::gpu::model_of as gpu_model;
pub use self::gpu::{Wish as GpuWish, wishes as gpu_wishes};
use self::{room::Ledger, search::Search};
use super::{price::leased_ips, volume::VolumeKind};
use crate::domain::{GroupSpec, OrderId, Resources, inventory::Inventory};

/// The most nodes that a [`Shortage`] lists; the nearest come first.
const MAX_LISTED_NODES: usize = 100;

/// What one replica takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Needs {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes of the node's memory, volumes of class `ram` included.
    pub memory_bytes: u64,
    /// Bytes of the node's ephemeral storage.
    pub ephemeral_bytes: u64,
    /// Pieces.
    pub gpu_units: u64,
    /// Bytes of persistent storage by class.
    pub storage: BTreeMap<String, u64>,
}

impl Needs {
    /// What one replica of `resources` takes. A sum that does not fit in 64 bits stays at the largest number, which fits nowhere.
    #[must_use]
    pub fn of(resources: &Resources) -> Self {
        let mut needs = Self {
            cpu_milli: resources.cpu_milli,
            memory_bytes: resources.memory_bytes,
            gpu_units: resources.gpu_units,
            ..Self::default()
        };
        for volume in &resources.storage {
            let sum = match VolumeKind::of(volume) {
                VolumeKind::Ephemeral => &mut needs.ephemeral_bytes,
                VolumeKind::Ram => &mut needs.memory_bytes,
                VolumeKind::Persistent(class) => needs.storage.entry(class.to_owned()).or_default(),
            };
            *sum = sum.saturating_add(volume.bytes);
        }
        needs
    }
}

/// The GPUs that a replica gets: all of this kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GpuKind {
    /// `nvidia`, `amd`, …
    pub vendor: String,
    /// `a100`, …
    pub model: String,
    /// Memory size, where the node knows it.
    pub ram: Option<String>,
    /// `pcie` or `sxm`, where the node knows it.
    pub interface: Option<String>,
}

/// One replica on its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The id of the unit's resources.
    pub unit: u32,
    /// From 0.
    pub replica: u32,
    /// The node's name.
    pub node: String,
    /// Which of the node's GPUs, when the unit wants any.
    pub gpu: Option<GpuKind>,
    /// What it takes there.
    pub needs: Needs,
}

/// What is offered for one unit, as the bid says it: the order's resources with a concrete GPU model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// One replica.
    pub resources: Resources,
    /// How many replicas.
    pub count: u32,
}

/// A place for every replica.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Every replica, in the order of the units.
    pub assignments: Vec<Assignment>,
    /// What the bid offers, in the order of the units.
    pub offer: Vec<Offer>,
    /// How many addresses are leased.
    pub ips: u64,
}

impl Placement {
    /// What this placement holds of the cluster, in the name of `order`.
    #[must_use]
    pub fn reservation(&self, order: OrderId) -> Reservation {
        Reservation { order, assignments: self.assignments.clone(), ips: self.ips }
    }

    /// The kinds of GPU that the replicas of each unit get, by the unit's id; sorted, each once.
    #[must_use]
    pub fn gpus_by_unit(&self) -> BTreeMap<u32, Vec<GpuKind>> {
        let mut kinds: BTreeMap<u32, Vec<GpuKind>> = BTreeMap::new();
        for assignment in &self.assignments {
            let Some(kind) = &assignment.gpu else { continue };
            let of = kinds.entry(assignment.unit).or_default();
            if let Err(place) = of.binary_search(kind) {
                of.insert(place, kind.clone());
            }
        }
        kinds
    }

    /// How many replicas each node takes, by name.
    #[must_use]
    pub fn replicas_by_node(&self) -> BTreeMap<&str, u32> {
        let mut counts = BTreeMap::new();
        for assignment in &self.assignments {
            *counts.entry(assignment.node.as_str()).or_default() += 1;
        }
        counts
    }
}

/// What an order or a lease holds of the cluster, beyond what the inventory counts as allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// In whose name.
    pub order: OrderId,
    /// On which nodes.
    pub assignments: Vec<Assignment>,
    /// Leased addresses.
    pub ips: u64,
}

/// One thing there is too little of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// `cpu milli`, `memory bytes`, `ephemeral bytes`, `gpu nvidia/a100`, `storage beta3 bytes`, `storage class beta3`, `ip`.
    pub what: String,
    /// How much it takes.
    pub needed: u64,
    /// How much there is.
    pub there: u64,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs {} {}, has {}", self.needed, self.what, self.there)
    }
}

/// Why one node does not take the replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRefusal {
    /// The node's name.
    pub node: String,
    /// Why it takes nothing at all, or `None`.
    pub excluded: Option<String>,
    /// What it has too little of, with what the group's earlier replicas took subtracted.
    pub missing: Vec<Missing>,
}

/// Why a group does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// The unit that did not fit, `None` when it is a matter of the whole group.
    pub unit: Option<u32>,
    /// How many replicas of that unit found a place.
    pub placed: u32,
    /// Of how many.
    pub count: u32,
    /// What is missing: in the whole cluster, or on the node that came nearest.
    pub missing: Vec<Missing>,
    /// The node that came nearest.
    pub nearest: Option<String>,
    /// Why not, node by node, the nearest first, excluded ones last.
    pub nodes: Vec<NodeRefusal>,
    /// How many more nodes there are that are not listed.
    pub nodes_left_out: usize,
}

impl Shortage {
    /// A shortage of the whole cluster, whatever the node.
    fn of_cluster(missing: Vec<Missing>) -> Self {
        Self {
            unit: None,
            placed: 0,
            count: 0,
            missing,
            nearest: None,
            nodes: Vec::new(),
            nodes_left_out: 0,
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let where_ = match (&self.nearest, self.unit) {
            (Some(node), _) => format!("node {node}"),
            (None, None) => "the cluster".to_owned(),
            (None, Some(_)) => return f.write_str("no node takes workloads"),
        };
        let parts: Vec<_> = self
            .missing
            .iter()
            .map(|one| format!("needs {} {}, {where_} has {}", one.needed, one.what, one.there))
            .collect();
        f.write_str(&parts.join("; "))
    }
}

/// Finds a place for every replica of `spec`. `reservations` are subtracted from what the inventory says is free, except one of
/// `order` itself, which the new placement replaces.
///
/// # Errors
/// [`Shortage`] with what is missing, where.
pub fn place(
    order: &OrderId,
    spec: &GroupSpec,
    inventory: &Inventory,
    reservations: &[Reservation],
) -> Result<Placement, Box<Shortage>> {
    let ledger = Ledger::new(
        inventory,
        reservations.iter().filter(|reservation| reservation.order != *order),
    );
    let ips = leased_ips(spec);
    let missing = shared_shortages(spec, &ledger, ips);
    if !missing.is_empty() {
        return Err(Box::new(Shortage::of_cluster(missing)));
    }
    let mut placement = Search::new(&spec.units, &ledger).run()?;
    placement.ips = ips;
    Ok(placement)
}

/// What the group as a whole needs of things that belong to no node: pools of persistent storage and addresses.
fn shared_shortages(spec: &GroupSpec, ledger: &Ledger<'_>, ips: u64) -> Vec<Missing> {
    let mut pools: BTreeMap<String, u64> = BTreeMap::new();
    for unit in &spec.units {
        for (class, bytes) in Needs::of(&unit.resources).storage {
            let sum = pools.entry(class).or_default();
            *sum = sum.saturating_add(bytes.saturating_mul(u64::from(unit.count)));
        }
    }
    let mut missing: Vec<Missing> = pools
        .into_iter()
        .map(|(class, needed)| Missing {
            there: ledger.pool(&class),
            what: format!("storage {class} bytes"),
            needed,
        })
        .collect();
    missing.push(Missing { what: "ip".to_owned(), needed: ips, there: ledger.ips });
    missing.retain(|one| one.needed > one.there);
    missing
}
