//! Pools of persistent storage: which classes are offered, how large they are, and on which nodes their volumes can be.
//!
//! A class is offered when its `StorageClass` has the label `akash.network=true`, or when the settings name it. How large it is
//! comes from the settings, from what its driver reports (`CSIStorageCapacity`), or, for volumes on the nodes' own disks, from
//! those. What is taken is the sum of the volumes that there are.
//!
//! The surprising fact: a driver reports what is *left*. Subtracting the volumes from that once more would count them twice.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{Node, PersistentVolume},
        storage::v1::{CSIStorageCapacity, StorageClass},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::{
    super::{
        names,
        settings::{PoolSize, Settings},
    },
    SeenCluster, label, quantity,
};
use crate::domain::inventory::{Node as Capacity, Quantity};

/// Volumes that are folders of a node's own disk.
const LOCAL_PATH: &str = "rancher.io/local-path";
/// The class of claims that name none, where the settings offer it.
const DEFAULT: &str = "default";
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// What is known of the classes of a cluster.
pub(super) struct Pools<'a> {
    offered: BTreeMap<&'a str, Pool<'a>>,
    excluded: BTreeMap<String, String>,
    /// Bytes of volumes on each node's own disk.
    on_disk: BTreeMap<&'a str, u64>,
}

struct Pool<'a> {
    class: &'a StorageClass,
    size: Size,
    capacities: Vec<&'a CSIStorageCapacity>,
    /// Bytes of the volumes that there are.
    taken: u64,
}

enum Size {
    /// All of it.
    Total(u64),
    /// What is left.
    Left(u64),
    /// What is left of the nodes' disks.
    Disks,
}

impl<'a> Pools<'a> {
    pub(super) fn of(seen: &SeenCluster<'a>, settings: &'a Settings) -> Self {
        let mut pools =
            Self { offered: BTreeMap::new(), excluded: BTreeMap::new(), on_disk: BTreeMap::new() };
        for class in &seen.storage_classes {
            let Some(name) = class.metadata.name.as_deref() else { continue };
            if class.provisioner == LOCAL_PATH {
                pools.note_disks(name, seen);
            }
            let offered = offered_as(name, class, settings);
            if offered.is_empty() {
                pools.excluded.insert(
                    format!("storage class {name}"),
                    format!(
                        "not offered: label it {}=true, or name it in cluster.kubernetes.storage",
                        names::NETWORK
                    ),
                );
            }
            for offered in offered {
                pools.offer(offered, name, class, seen, settings);
            }
        }
        for name in settings.storage.keys() {
            if !pools.offered.contains_key(name.as_str()) {
                pools.excluded.entry(format!("storage class {name}")).or_insert_with(|| {
                    let how = if name == DEFAULT { ", and none is the default" } else { "" };
                    format!("the settings offer it, but there is no StorageClass of this name{how}")
                });
            }
        }
        pools
    }

    fn offer(
        &mut self,
        offered: &'a str,
        name: &str,
        class: &'a StorageClass,
        seen: &SeenCluster<'a>,
        settings: &Settings,
    ) {
        let capacities: Vec<_> = seen
            .capacities
            .iter()
            .filter(|capacity| capacity.storage_class_name == name)
            .copied()
            .collect();
        let left = || {
            let parts = capacities.iter().filter_map(|part| part.capacity.as_ref());
            parts.filter_map(quantity::whole).fold(0, u64::saturating_add)
        };
        let size = match settings.storage.get(offered) {
            Some(PoolSize::Bytes(total)) => Size::Total(*total),
            Some(PoolSize::Auto) | None if !capacities.is_empty() => Size::Left(left()),
            Some(PoolSize::Auto) | None if class.provisioner == LOCAL_PATH => Size::Disks,
            Some(PoolSize::Auto) | None => {
                self.excluded.insert(
                    format!("storage class {offered}"),
                    format!(
                        "its size is not known, {} does not report it: set cluster.kubernetes.storage.{offered} to one, such \
                         as \"10Ti\"",
                        class.provisioner
                    ),
                );
                return;
            }
        };
        let taken = volumes_of(name, seen).filter_map(bytes).fold(0, u64::saturating_add);
        self.offered.insert(offered, Pool { class, size, capacities, taken });
    }

    /// Volumes on nodes' disks take of what containers write to, offered or not.
    fn note_disks(&mut self, class: &str, seen: &SeenCluster<'a>) {
        for volume in volumes_of(class, seen) {
            let (Some(node), Some(size)) = (node_of(volume), bytes(volume)) else { continue };
            let sum = self.on_disk.entry(node).or_default();
            *sum = sum.saturating_add(size);
        }
    }

    /// Bytes of volumes on a node's own disk.
    pub(super) fn on_disk_of(&self, node: &str) -> u64 {
        self.on_disk.get(node).copied().unwrap_or(0)
    }

    /// Classes that a node says it can have.
    pub(super) fn on_node(&self, node: &Node) -> Vec<String> {
        let says = |class: &str| {
            let key = names::storage_label(class)?;
            label(node, &key)?.parse().ok().filter(|count: &u64| *count > 0)
        };
        self.offered
            .keys()
            .filter(|class| says(class).is_some())
            .map(|class| (*class).to_owned())
            .collect()
    }

    /// Classes whose volumes can be on a node.
    pub(super) fn possible_on(&self, node: &Node) -> impl Iterator<Item = &str> {
        let fits = |pool: &Pool<'_>| pool.is_allowed_on(node) && pool.is_reported_for(node);
        self.offered.iter().filter(move |(_, pool)| fits(pool)).map(|(name, _)| *name)
    }

    pub(super) fn quantities(
        &self,
        nodes: &[Capacity],
        settings: &Settings,
    ) -> BTreeMap<String, Quantity> {
        let disks_left = |class: &str| {
            let usable = nodes.iter().filter(|node| {
                node.excluded.is_none() && node.storage_classes.iter().any(|one| one == class)
            });
            let level = settings.overcommit.storage_percent;
            // A disk is sold more than once; a volume on it is not.
            usable.map(|node| level.real(node.ephemeral_bytes.free())).fold(0, u64::saturating_add)
        };
        let quantity = |class: &str, pool: &Pool<'_>| Quantity {
            allocatable: match pool.size {
                Size::Total(total) => total,
                Size::Left(left) => left.saturating_add(pool.taken),
                Size::Disks => disks_left(class).saturating_add(pool.taken),
            },
            allocated: pool.taken,
        };
        self.offered
            .iter()
            .map(|(class, pool)| ((*class).to_owned(), quantity(class, pool)))
            .collect()
    }

    /// Classes that are not offered, and why.
    pub(super) fn excluded(self) -> BTreeMap<String, String> {
        self.excluded
    }
}

impl Pool<'_> {
    fn is_allowed_on(&self, node: &Node) -> bool {
        let Some(terms) = &self.class.allowed_topologies else { return true };
        terms.is_empty()
            || terms.iter().any(|term| {
                term.match_label_expressions.iter().flatten().all(|expression| {
                    label(node, &expression.key)
                        .is_some_and(|value| expression.values.iter().any(|one| one == value))
                })
            })
    }

    /// Whether the driver reports capacity that this node can reach; one that reports nothing at all reaches everywhere.
    fn is_reported_for(&self, node: &Node) -> bool {
        self.capacities.is_empty()
            || self.capacities.iter().any(|part| {
                part.node_topology.as_ref().is_some_and(|selector| selects(selector, node))
            })
    }
}

fn offered_as<'a>(name: &'a str, class: &StorageClass, settings: &'a Settings) -> Vec<&'a str> {
    let has = |of: &Option<BTreeMap<String, String>>, key: &str| {
        of.as_ref().and_then(|all| all.get(key)).is_some_and(|value| value == "true")
    };
    let mut offered = Vec::new();
    if has(&class.metadata.labels, names::NETWORK) || settings.storage.contains_key(name) {
        offered.push(name);
    }
    if name != DEFAULT
        && settings.storage.contains_key(DEFAULT)
        && has(&class.metadata.annotations, IS_DEFAULT)
    {
        offered.push(DEFAULT);
    }
    offered
}

fn volumes_of<'s, 'a>(
    class: &'s str,
    seen: &'s SeenCluster<'a>,
) -> impl Iterator<Item = &'a PersistentVolume> + use<'s, 'a> {
    seen.volumes.iter().copied().filter(move |volume| {
        volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()) == Some(class)
    })
}

fn bytes(volume: &PersistentVolume) -> Option<u64> {
    quantity::whole(volume.spec.as_ref()?.capacity.as_ref()?.get("storage")?)
}

/// The one node whose disk a volume is on.
fn node_of(volume: &PersistentVolume) -> Option<&str> {
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let mut expressions = required
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_expressions.iter().chain(&term.match_fields).flatten());
    let on_host = expressions
        .find(|one| matches!(one.key.as_str(), "kubernetes.io/hostname" | "metadata.name"))?;
    on_host.values.as_ref()?.first().map(String::as_str)
}

/// Whether a selector takes a node by its labels.
fn selects(selector: &LabelSelector, node: &Node) -> bool {
    let equal = |(key, value): (&String, &String)| label(node, key) == Some(value.as_str());
    selector.match_labels.iter().flatten().all(equal)
        && selector.match_expressions.iter().flatten().all(|expression| {
            let value = label(node, &expression.key);
            let listed = || {
                let values = expression.values.iter().flatten();
                value.is_some_and(|value| values.into_iter().any(|one| one == value))
            };
            match expression.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
