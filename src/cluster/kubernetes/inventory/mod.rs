//! Cached nodes, pods, classes and volumes → what the cluster can hold, and what of it is not offered and why. Pure.
//!
//! Amounts are what can be sold: where more is sold than there is, what pods ask for is counted as what was sold with it.
//!
//! | module | what it counts |
//! |---|---|
//! | [`pods`] | what a pod takes of its node |
//! | [`gpus`] | a node's GPUs by model, from its labels |
//! | [`storage`] | pools of persistent storage |
//! | [`labels`] | what nodes can do → the labels that say so |
//! | [`gpu_names`] | a vendor's name of a product → what the market calls it |
//! | [`quantity`] | amounts as Kubernetes writes them |
//!
//! The surprising fact: a pod counts from the moment that it has a node until it has ended, not until it is deleted: one that
//! has succeeded or failed takes nothing, however long it is kept.

pub mod gpu_names;
mod gpus;
pub mod labels;
mod pods;
pub mod quantity;
mod storage;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolume, Pod, Service},
    storage::v1::{CSIStorageCapacity, StorageClass},
};

use self::pods::Taken;
pub use self::pods::trim;
use super::{names, render::SHARED_ADDRESS, settings::Settings};
use crate::domain::{
    glob_matches,
    inventory::{Inventory, Node as Capacity, Quantity},
};

/// What was seen of the cluster: everything of each kind, in any order.
#[derive(Debug, Clone, Default)]
pub struct SeenCluster<'a> {
    /// Machines.
    pub nodes: Vec<&'a Node>,
    /// Of all namespaces, or at least those that have a node; [`trim`] keeps what is needed of them.
    pub pods: Vec<&'a Pod>,
    /// Persistent classes.
    pub storage_classes: Vec<&'a StorageClass>,
    /// What drivers say is left.
    pub capacities: Vec<&'a CSIStorageCapacity>,
    /// Persistent volumes.
    pub volumes: Vec<&'a PersistentVolume>,
    /// Services of leases; those with leased addresses count.
    pub services: Vec<&'a Service>,
}

/// What the cluster can hold.
#[must_use]
pub fn inventory(seen: &SeenCluster<'_>, settings: &Settings) -> Inventory {
    let mut excluded = BTreeMap::new();
    let mut taken: BTreeMap<&str, Taken> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    for pod in &seen.pods {
        let Some(node) = pods::node_of(pod) else { continue };
        // The same pod may have been seen twice; two pods may have the same name.
        if pod.metadata.uid.as_ref().is_none_or(|uid| counted.insert(uid)) {
            taken.entry(node).or_default().add(pod, settings);
        }
    }
    let storage = storage::Pools::of(seen, settings);
    let mut nodes: Vec<Capacity> = seen
        .nodes
        .iter()
        .filter_map(|node| {
            let name = node.metadata.name.as_deref()?;
            let taken = taken.remove(name).unwrap_or_default();
            Some(capacity(name, node, &taken, &storage, settings, &mut excluded))
        })
        .collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    let pools = storage.quantities(&nodes, settings);
    excluded.extend(storage.excluded());
    if let Some(pod) = labels::left_to(seen, settings).filter(|_| settings.nodes.label) {
        excluded.insert(
            "node labels".to_owned(),
            format!("left to {pod}, which runs: stop it, or set cluster.kubernetes.take_over"),
        );
    }
    Inventory { nodes, storage: pools, ips: addresses(seen, settings), excluded }
}

fn capacity(
    name: &str,
    node: &Node,
    taken: &Taken,
    storage: &storage::Pools<'_>,
    settings: &Settings,
    excluded: &mut BTreeMap<String, String>,
) -> Capacity {
    let level = &settings.overcommit;
    let quantity = |allocatable: u64, allocated: u64, level: super::settings::Percent| Quantity {
        allocatable: level.sellable(allocatable),
        allocated: level.sellable(allocated),
    };
    let on_disk = taken.ephemeral_bytes.saturating_add(storage.on_disk_of(name));
    Capacity {
        name: name.to_owned(),
        cpu_milli: quantity(
            allocatable(node, "cpu").and_then(quantity::milli).unwrap_or(0),
            taken.cpu_milli,
            level.cpu_percent,
        ),
        memory_bytes: quantity(
            allocatable(node, "memory").and_then(quantity::whole).unwrap_or(0),
            taken.memory_bytes,
            level.memory_percent,
        ),
        ephemeral_bytes: quantity(disk(node), on_disk, level.storage_percent),
        gpus: gpus::read(name, node, taken, settings, excluded),
        storage_classes: storage.on_node(node),
        excluded: exclusion(name, node, taken, settings),
    }
}

fn allocatable<'a>(
    node: &'a Node,
    resource: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::api::resource::Quantity> {
    node.status.as_ref()?.allocatable.as_ref()?.get(resource)
}

/// Bytes of the node's own disk.
fn disk(node: &Node) -> u64 {
    allocatable(node, "ephemeral-storage").and_then(quantity::whole).unwrap_or(0)
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether an operator excludes a node by its name.
fn is_excluded(name: &str, settings: &Settings) -> bool {
    settings.nodes.exclude.iter().any(|pattern| glob_matches(pattern, name))
}

/// Why a node takes no leases, and what to do about it.
fn exclusion(name: &str, node: &Node, taken: &Taken, settings: &Settings) -> Option<String> {
    if is_excluded(name, settings) {
        return Some("excluded by cluster.kubernetes.nodes.exclude".to_owned());
    }
    if let Some(why) = not_ready(node) {
        return Some(why);
    }
    let spec = node.spec.as_ref();
    if spec.and_then(|spec| spec.unschedulable) == Some(true) {
        return Some(format!("cordoned: `kubectl uncordon {name}` ends it"));
    }
    if let Some(taint) = foreign_taint(node, settings) {
        return Some(format!(
            "tainted with {taint}: remove the taint, or name its key in cluster.kubernetes.nodes.tolerate"
        ));
    }
    if label(node, names::NETWORK) != Some("true") {
        let who = if settings.nodes.label {
            "lessor is about to set it"
        } else {
            "cluster.kubernetes.nodes.label = true lets lessor set it"
        };
        return Some(format!("has no label {}=true: {who}", names::NETWORK));
    }
    let most = allocatable(node, "pods").and_then(quantity::whole);
    most.filter(|most| taken.pods >= *most).map(|most| {
        format!("has as many pods as it takes ({most}): maxPods of its kubelet is the limit")
    })
}

fn not_ready(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.and_then(|all| all.iter().find(|condition| condition.type_ == "Ready"));
    match ready {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(format!(
            "not ready ({}): look at its kubelet",
            ready.reason.as_deref().unwrap_or("no reason given")
        )),
        None => Some("not ready: its kubelet has not reported yet".to_owned()),
    }
}

/// The first taint that keeps leases away.
fn foreign_taint(node: &Node, settings: &Settings) -> Option<String> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    let foreign = taints.iter().find(|taint| {
        taint.effect != "PreferNoSchedule" && !settings.nodes.tolerate.contains(&taint.key)
    })?;
    let value = foreign.value.as_ref().filter(|value| !value.is_empty());
    let value = value.map(|value| format!("={value}")).unwrap_or_default();
    Some(format!("{}{value}:{}", foreign.key, foreign.effect))
}

/// The pool of addresses, and how many different ones leases have.
fn addresses(seen: &SeenCluster<'_>, settings: &Settings) -> Quantity {
    let keys: BTreeSet<&str> = seen
        .services
        .iter()
        .filter(|service| {
            let labels = service.metadata.labels.as_ref();
            labels.and_then(|all| all.get(names::SERVICE_TARGET)).map(String::as_str)
                == Some(names::LEASED_IP_TARGET)
        })
        .filter_map(|service| service.metadata.annotations.as_ref()?.get(SHARED_ADDRESS))
        .map(String::as_str)
        .collect();
    Quantity {
        allocatable: u64::from(settings.ips),
        allocated: u64::try_from(keys.len()).unwrap_or(u64::MAX),
    }
}

/// Every address of every node, sorted, for the policies that keep pods away from them.
#[must_use]
pub fn node_addresses(nodes: &[&Node]) -> Vec<IpAddr> {
    let addresses = nodes.iter().filter_map(|node| node.status.as_ref()?.addresses.as_ref());
    let found: BTreeSet<IpAddr> = addresses
        .flatten()
        .filter(|address| address.type_.ends_with("IP"))
        .filter_map(|address| address.address.parse().ok())
        .collect();
    found.into_iter().collect()
}
