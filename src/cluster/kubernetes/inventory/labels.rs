//! What nodes can do → the labels that say so, which inventory, scheduler and tenants' bids go by. lessor finds it out itself, from
//! what device plugins count and what the vendors' feature discovery labels, so that nothing else needs to run.
//!
//! Of a node's labels only those of one's own names are touched, one by one: the others belong to others, who may write them
//! at the same time.
//!
//! The surprising fact: a label is rarely taken away. A pod that was led to a node by it finds no node without it when it must
//! start again: so labels of storage stay on every node that takes leases, and labels of GPUs where nothing better is known.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Map, Value, json};

use super::{
    super::{names, settings::Settings, todays},
    SeenCluster,
    gpu_names::{GpuNames, Product},
    is_excluded, label, quantity, storage,
};

/// A change of a node's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePatch {
    /// The node's name.
    pub node: String,
    /// A JSON merge patch; `null` takes a label away.
    pub patch: Value,
}

/// The changes that make nodes' labels true; none for nodes whose are. None at all where the settings leave them to others, or
/// while the inventory operator of today's provider runs.
#[must_use]
pub fn patches(
    seen: &SeenCluster<'_>,
    settings: &Settings,
    gpu_names: &GpuNames,
) -> Vec<NodePatch> {
    if !settings.nodes.label || left_to(seen, settings).is_some() {
        return Vec::new();
    }
    let storage = storage::Pools::of(seen, settings);
    let changed = seen.nodes.iter().filter_map(|node| {
        let name = node.metadata.name.as_deref()?;
        let wanted = if is_excluded(name, settings) {
            Wanted { is_excluded: true, ..Wanted::default() }
        } else {
            Wanted::of(node, &storage, settings, gpu_names)
        };
        Some(NodePatch { node: name.to_owned(), patch: wanted.patch(node)? })
    });
    let mut changed: Vec<NodePatch> = changed.collect();
    changed.sort_by(|one, other| one.node.cmp(&other.node));
    changed
}

/// The pod of the inventory operator that nodes' labels are left to.
pub(super) fn left_to(seen: &SeenCluster<'_>, settings: &Settings) -> Option<String> {
    if settings.take_over {
        return None;
    }
    todays::running(&seen.pods).remove(&todays::Part::InventoryOperator)
}

/// The labels of our names that a node should have.
#[derive(Default)]
struct Wanted {
    labels: BTreeMap<String, String>,
    /// Whether the node takes no leases.
    is_excluded: bool,
    /// Vendors whose GPUs could not be named: their labels stay.
    unknown: Vec<String>,
}

impl Wanted {
    fn of(
        node: &Node,
        storage: &storage::Pools<'_>,
        settings: &Settings,
        gpu_names: &GpuNames,
    ) -> Self {
        let mut wanted = Self::default();
        wanted.labels.insert(names::NETWORK.to_owned(), "true".to_owned());
        for key in storage.possible_on(node).filter_map(names::storage_label) {
            wanted.labels.insert(key, "1".to_owned());
        }
        for (vendor, resource) in &settings.nodes.gpu_resources {
            let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref());
            let count = capacity.and_then(|all| all.get(resource)).and_then(quantity::whole);
            let count = count.unwrap_or(0);
            match product(node, vendor, gpu_names) {
                Some(product) if count > 0 => wanted.add_gpus(vendor, &product, count),
                // Its driver or device plugin may just be starting again.
                _ => wanted.unknown.push(vendor.clone()),
            }
        }
        wanted
    }

    fn add_gpus(&mut self, vendor: &str, product: &Product, count: u64) {
        let Product { model, ram, interface } = product;
        let details = [("ram", ram.as_deref()), ("interface", interface.as_deref())]
            .into_iter()
            .filter_map(|(what, value)| value.map(|value| (what, value)));
        let mut keys = vec![names::gpu_label(vendor, model, None)];
        for (what, value) in details {
            keys.push(names::gpu_label(vendor, model, Some((what, value))));
        }
        self.labels.extend(keys.into_iter().flatten().map(|key| (key, count.to_string())));
    }

    /// Whether a label that the node has and that is not wanted is to go.
    fn takes_away(&self, key: &str) -> bool {
        if self.is_excluded {
            return key == names::NETWORK || key.starts_with(names::CAPABILITIES);
        }
        let rest = key.strip_prefix(names::CAPABILITIES);
        rest.and_then(|rest| rest.strip_prefix("gpu.vendor.")).is_some_and(|rest| {
            !self.unknown.iter().any(|vendor| rest.starts_with(&format!("{vendor}.")))
        })
    }

    fn patch(self, node: &Node) -> Option<Value> {
        let there = node.metadata.labels.clone().unwrap_or_default();
        let gone = there
            .keys()
            .filter(|key| !self.labels.contains_key(*key) && self.takes_away(key))
            .map(|key| (key.clone(), Value::Null));
        let new = self
            .labels
            .iter()
            .filter(|(key, value)| there.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), json!(value)));
        let labels: Map<String, Value> = gone.chain(new).collect();
        (!labels.is_empty()).then(|| json!({ "metadata": { "labels": labels } }))
    }
}

/// What a node's GPUs of a vendor are, by what discovery has labelled.
fn product(node: &Node, vendor: &str, gpu_names: &GpuNames) -> Option<Product> {
    let found = match vendor {
        "nvidia" => label(node, "nvidia.com/gpu.product").and_then(|product| {
            let mib = label(node, "nvidia.com/gpu.memory").and_then(|text| text.parse().ok());
            gpu_names.of(product, mib)
        }),
        "amd" => label(node, "amd.com/gpu.product-name").and_then(|product| {
            let gib = label(node, "amd.com/gpu.vram")
                .and_then(|text| text.trim_end_matches(['i', 'B', 'G']).parse::<u64>().ok());
            gpu_names.of(product, gib.and_then(|gib| gib.checked_mul(1024)))
        }),
        _ => None,
    };
    found.or_else(|| {
        let labels = node.metadata.labels.iter().flatten();
        labels.filter_map(|(key, _)| pci_device(key)).find_map(|device| gpu_names.of_pci(&device))
    })
}

/// `10de:2684` of Node Feature Discovery's `feature.node.kubernetes.io/pci-0300_10de_2684.present`.
fn pci_device(key: &str) -> Option<String> {
    let name = key.strip_prefix("feature.node.kubernetes.io/pci-")?.strip_suffix(".present")?;
    let mut parts = name.rsplit('_');
    let (device, vendor) = (parts.next()?, parts.next()?);
    (parts.next().is_some() && device.len() == 4 && vendor.len() == 4)
        .then(|| format!("{vendor}:{device}"))
}
