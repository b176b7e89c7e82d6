//! What the cluster can hold, what of it is taken or promised, and what is left out and why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::inventory::{Inventory, Quantity},
    provider::{
        Error, Provider,
        port::{Reservation, Reservations},
    },
};

/// The cluster's capacity as it was observed last, with what is reserved.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InventoryView {
    /// When the cluster answered; absent when it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub observed_at: Option<Timestamp>,
    /// Whether that is young enough to place orders on.
    pub is_young: bool,
    /// By name.
    pub nodes: Vec<NodeView>,
    /// Persistent storage by class.
    pub storage: Vec<StorageView>,
    /// Addresses for leased IPs.
    pub ips: QuantityView,
    /// What the cluster has and does not offer, and why.
    pub excluded: Vec<ExclusionView>,
    /// What is kept for orders, the oldest first.
    pub reservations: Vec<ReservationView>,
    /// Raised by every change of the reservations.
    pub reservations_version: u64,
}

/// How much there is of something, in one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct QuantityView {
    /// What workloads may take in all.
    pub allocatable: u64,
    /// What running workloads have taken.
    pub allocated: u64,
    /// What is promised to orders and not among that yet.
    pub reserved: u64,
    /// What is left.
    pub free: u64,
}

impl QuantityView {
    fn of(quantity: Quantity, reserved: u64) -> Self {
        Self {
            allocatable: quantity.allocatable,
            allocated: quantity.allocated,
            reserved,
            free: quantity.free().saturating_sub(reserved),
        }
    }
}

/// One machine of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Why nothing is placed here; absent when it takes workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    /// Thousandths of a core.
    pub cpu_milli: QuantityView,
    /// Bytes.
    pub memory_bytes: QuantityView,
    /// Bytes of ephemeral storage.
    pub ephemeral_bytes: QuantityView,
    /// By model.
    pub gpus: Vec<GpuView>,
    /// Persistent classes that volumes here can have.
    pub storage_classes: Vec<String>,
}

/// GPUs of one kind in one node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GpuView {
    /// `nvidia`, `amd`, …
    pub vendor: String,
    /// `a100`, …
    pub model: String,
    /// Memory size, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram: Option<String>,
    /// `pcie` or `sxm`, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Pieces.
    pub units: QuantityView,
}

/// Persistent storage of one class.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StorageView {
    /// The class.
    pub class: String,
    /// Bytes.
    pub bytes: QuantityView,
}

/// Something that is not offered.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExclusionView {
    /// What.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Capacity that is kept for an order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReservationView {
    /// The order.
    pub order: String,
    /// Why it is kept.
    pub reason: String,
    /// Whether it belongs to a lease.
    pub leased: bool,
    /// Whether its workload is among what is allocated already.
    pub counted: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
    /// When the chain is asked whether it is still needed, in block time.
    #[schema(value_type = String, format = DateTime)]
    pub look_at: Timestamp,
    /// Thousandths of a core over all replicas.
    pub cpu_milli: u64,
    /// Bytes over all replicas.
    pub memory_bytes: u64,
    /// Bytes of ephemeral storage over all replicas.
    pub ephemeral_bytes: u64,
    /// GPUs over all replicas.
    pub gpu_units: u64,
    /// Bytes of persistent storage over all replicas, by class.
    pub storage: BTreeMap<String, u64>,
    /// How many replicas each node is to take.
    pub replicas: BTreeMap<String, u32>,
}

impl ReservationView {
    fn of(held: &Reservation, counted: bool) -> Self {
        let mut view = Self {
            order: held.order.to_string(),
            reason: held.reason.clone(),
            leased: held.leased,
            counted,
            made_at: held.made_at,
            look_at: held.look_at,
            cpu_milli: 0,
            memory_bytes: 0,
            ephemeral_bytes: 0,
            gpu_units: 0,
            storage: BTreeMap::new(),
            replicas: BTreeMap::new(),
        };
        for one in &held.placement.assignments {
            let add = |sum: &mut u64, part: u64| *sum = sum.saturating_add(part);
            add(&mut view.cpu_milli, one.needs.cpu_milli);
            add(&mut view.memory_bytes, one.needs.memory_bytes);
            add(&mut view.ephemeral_bytes, one.needs.ephemeral_bytes);
            add(&mut view.gpu_units, one.needs.gpu_units);
            for (class, bytes) in &one.needs.storage {
                add(view.storage.entry(class.clone()).or_default(), *bytes);
            }
            *view.replicas.entry(one.node.clone()).or_default() += 1;
        }
        view
    }
}

/// What is promised and not running yet, by what it is promised of.
#[derive(Default)]
struct Promised {
    nodes: BTreeMap<String, NodePromise>,
    storage: BTreeMap<String, u64>,
    ips: u64,
}

#[derive(Default)]
struct NodePromise {
    cpu_milli: u64,
    memory_bytes: u64,
    ephemeral_bytes: u64,
    /// By vendor and model.
    gpus: BTreeMap<(String, String), u64>,
}

impl Promised {
    fn of<'a>(reservations: impl Iterator<Item = &'a Reservation>) -> Self {
        let mut promised = Self::default();
        for held in reservations {
            promised.ips = promised.ips.saturating_add(held.placement.ips);
            for one in &held.placement.assignments {
                let node = promised.nodes.entry(one.node.clone()).or_default();
                node.cpu_milli = node.cpu_milli.saturating_add(one.needs.cpu_milli);
                node.memory_bytes = node.memory_bytes.saturating_add(one.needs.memory_bytes);
                node.ephemeral_bytes =
                    node.ephemeral_bytes.saturating_add(one.needs.ephemeral_bytes);
                if let Some(gpu) = &one.gpu {
                    let key = (gpu.vendor.clone(), gpu.model.clone());
                    *node.gpus.entry(key).or_default() += one.needs.gpu_units;
                }
                for (class, bytes) in &one.needs.storage {
                    let sum = promised.storage.entry(class.clone()).or_default();
                    *sum = sum.saturating_add(*bytes);
                }
            }
        }
        promised
    }
}

fn view(inventory: Inventory, observed_at: Timestamp, held: &Reservations) -> InventoryView {
    // The same rule by which orders are placed: what runs already is in the observation.
    let counted = |one: &Reservation| one.applied_at.is_some_and(|applied| applied < observed_at);
    let promised = Promised::of(held.held.iter().filter(|one| !counted(one)));
    let none = NodePromise::default();
    let nodes = inventory.nodes.into_iter().map(|node| {
        let taken = promised.nodes.get(&node.name).unwrap_or(&none);
        let gpus = node.gpus.into_iter().map(|gpu| {
            let key = (gpu.vendor.clone(), gpu.model.clone());
            let reserved = taken.gpus.get(&key).copied().unwrap_or_default();
            GpuView {
                units: QuantityView::of(gpu.units, reserved),
                vendor: gpu.vendor,
                model: gpu.model,
                ram: gpu.ram,
                interface: gpu.interface,
            }
        });
        NodeView {
            gpus: gpus.collect(),
            cpu_milli: QuantityView::of(node.cpu_milli, taken.cpu_milli),
            memory_bytes: QuantityView::of(node.memory_bytes, taken.memory_bytes),
            ephemeral_bytes: QuantityView::of(node.ephemeral_bytes, taken.ephemeral_bytes),
            name: node.name,
            excluded: node.excluded,
            storage_classes: node.storage_classes,
        }
    });
    let storage = inventory.storage.into_iter().map(|(class, bytes)| {
        let reserved = promised.storage.get(&class).copied().unwrap_or_default();
        StorageView { class, bytes: QuantityView::of(bytes, reserved) }
    });
    InventoryView {
        observed_at: Some(observed_at),
        is_young: true,
        nodes: nodes.collect(),
        storage: storage.collect(),
        ips: QuantityView::of(inventory.ips, promised.ips),
        excluded: inventory
            .excluded
            .into_iter()
            .map(|(name, reason)| ExclusionView { name, reason })
            .collect(),
        reservations: held.held.iter().map(|one| ReservationView::of(one, counted(one))).collect(),
        reservations_version: held.version,
    }
}

/// What the cluster can hold, as it was observed last.
///
/// # Errors
/// When the store gives no answer. A cluster that never answered shows as an empty inventory without a time.
pub async fn inventory(provider: &Provider) -> Result<InventoryView, Error> {
    let held = provider.store.reservations().await?;
    let observed = provider.store.observation("inventory").await?;
    let read = observed.and_then(|observation| {
        let inventory = serde_json::from_value::<Inventory>(observation.body).ok()?;
        Some((inventory, observation.taken_at))
    });
    let Some((inventory, observed_at)) = read else {
        let empty = view(Inventory::default(), Timestamp::MIN, &held);
        return Ok(InventoryView { observed_at: None, is_young: false, ..empty });
    };
    let age = provider.clock.now().duration_since(observed_at);
    let is_young = age < provider.settings().inventory_max_age;
    Ok(InventoryView { is_young, ..view(inventory, observed_at, &held) })
}
