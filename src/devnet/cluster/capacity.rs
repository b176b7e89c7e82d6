//! Who has what of the nodes: first fit by name, and giving back.

use crate::{
    devnet::cluster_api::{NodeSpec, StoragePools},
    domain::{
        Resources, Volume,
        inventory::{GpuModel, Inventory, Node, Quantity},
    },
};

/// What one replica holds of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) node: String,
    cpu_milli: u64,
    memory_bytes: u64,
    ephemeral_bytes: u64,
    gpus: Vec<(GpuKind, u64)>,
    storage: Vec<(String, u64)>,
}

/// What tells two sorts of GPU apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GpuKind {
    vendor: String,
    model: String,
    ram: Option<String>,
    interface: Option<String>,
}

impl GpuKind {
    fn of(model: &GpuModel) -> Self {
        Self {
            vendor: model.vendor.clone(),
            model: model.model.clone(),
            ram: model.ram.clone(),
            interface: model.interface.clone(),
        }
    }
}

/// An inventory with nothing taken.
pub(super) fn empty_inventory(nodes: &[NodeSpec], storage: &StoragePools, ips: u64) -> Inventory {
    let mut nodes: Vec<Node> = nodes.iter().map(empty_node).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Inventory {
        nodes,
        storage: storage
            .iter()
            .map(|(class, &bytes)| (class.clone(), Quantity::of(bytes)))
            .collect(),
        ips: Quantity::of(ips),
        excluded: std::collections::BTreeMap::new(),
    }
}

fn empty_node(spec: &NodeSpec) -> Node {
    let gpus = spec.gpus.iter().map(|gpu| GpuModel {
        vendor: gpu.vendor.clone(),
        model: gpu.model.clone(),
        ram: gpu.ram.clone(),
        interface: gpu.interface.clone(),
        units: Quantity::of(gpu.units),
    });
    Node {
        name: spec.name.clone(),
        cpu_milli: Quantity::of(spec.cpu_milli),
        memory_bytes: Quantity::of(spec.memory_bytes),
        ephemeral_bytes: Quantity::of(spec.ephemeral_bytes),
        gpus: gpus.collect(),
        storage_classes: spec.storage_classes.clone(),
        excluded: None,
    }
}

/// Finds the first node that fits one replica and takes what it needs.
///
/// # Errors
/// What each node lacks, in one line for people.
pub(super) fn take_first_fit(
    inventory: &mut Inventory,
    resources: &Resources,
) -> Result<Holding, String> {
    let mut lacks = Vec::new();
    for node in &inventory.nodes {
        match fit(node, inventory, resources) {
            Ok(holding) => {
                take(inventory, &holding);
                return Ok(holding);
            }
            Err(lack) => lacks.push(format!("{} {lack}", node.name)),
        }
    }
    Err(format!("0 of {} nodes fit: {}", inventory.nodes.len(), lacks.join("; ")))
}

/// What the replica would hold on this node.
fn fit(node: &Node, inventory: &Inventory, resources: &Resources) -> Result<Holding, String> {
    if let Some(reason) = &node.excluded {
        return Err(format!("is excluded ({reason})"));
    }
    let mut holding = Holding {
        node: node.name.clone(),
        cpu_milli: resources.cpu_milli,
        memory_bytes: resources.memory_bytes,
        ephemeral_bytes: 0,
        gpus: Vec::new(),
        storage: Vec::new(),
    };
    for volume in &resources.storage {
        hold_volume(node, &mut holding, volume)?;
    }
    enough("cpu", node.cpu_milli, holding.cpu_milli)?;
    enough("memory", node.memory_bytes, holding.memory_bytes)?;
    enough("ephemeral storage", node.ephemeral_bytes, holding.ephemeral_bytes)?;
    for (class, _) in &holding.storage {
        let wanted = holding
            .storage
            .iter()
            .filter(|(other, _)| other == class)
            .map(|(_, bytes)| bytes)
            .sum();
        enough(class, inventory.storage.get(class).copied().unwrap_or_default(), wanted)?;
    }
    holding.gpus = pick_gpus(node, resources)?;
    Ok(holding)
}

fn enough(what: &str, there: Quantity, wanted: u64) -> Result<(), String> {
    if there.free() < wanted {
        return Err(format!("has {} of {wanted} {what}", there.free()));
    }
    Ok(())
}

/// Plain volumes come from the node's disk, `ram` ones from its memory, persistent ones from the class's pool.
fn hold_volume(node: &Node, holding: &mut Holding, volume: &Volume) -> Result<(), String> {
    let class = volume.attribute("class").unwrap_or_default();
    let sum = |held: u64| held.checked_add(volume.bytes).ok_or("cannot hold so many bytes");
    if volume.attribute("persistent") == Some("true") {
        if !node.storage_classes.iter().any(|offered| offered == class) {
            return Err(format!("does not offer storage class {class:?}"));
        }
        holding.storage.push((class.to_owned(), volume.bytes));
    } else if class == "ram" {
        holding.memory_bytes = sum(holding.memory_bytes)?;
    } else {
        holding.ephemeral_bytes = sum(holding.ephemeral_bytes)?;
    }
    Ok(())
}

/// GPUs of the models that the attributes allow, of one model where one has enough.
fn pick_gpus(node: &Node, resources: &Resources) -> Result<Vec<(GpuKind, u64)>, String> {
    if resources.gpu_units == 0 {
        return Ok(Vec::new());
    }
    let allowed: Vec<&GpuModel> =
        node.gpus.iter().filter(|model| is_allowed(model, resources)).collect();
    if let Some(model) = allowed.iter().find(|model| model.units.free() >= resources.gpu_units) {
        return Ok(vec![(GpuKind::of(model), resources.gpu_units)]);
    }
    let free: u64 = allowed.iter().map(|model| model.units.free()).sum();
    Err(format!("has {free} of {} gpu", resources.gpu_units))
}

/// Attributes are `vendor/<vendor>/model/<model|*>[/ram/<ram>][/interface/<interface>]`; without any, every GPU will do.
fn is_allowed(model: &GpuModel, resources: &Resources) -> bool {
    let mut wanted = resources
        .gpu_attributes
        .iter()
        .filter(|attribute| attribute.key.starts_with("vendor/") && attribute.value == "true")
        .peekable();
    wanted.peek().is_none() || wanted.any(|attribute| describes(&attribute.key, model))
}

fn describes(key: &str, model: &GpuModel) -> bool {
    let parts: Vec<&str> = key.split('/').collect();
    parts.chunks(2).all(|pair| match pair {
        ["vendor", vendor] => *vendor == model.vendor,
        ["model", name] => *name == "*" || *name == model.model,
        ["ram", ram] => Some(*ram) == model.ram.as_deref(),
        ["interface", interface] => model.interface.as_deref().is_some_and(|has| {
            // Every generation of the socket counts as one: `sxm4` is asked for as `sxm`.
            has == *interface || (has.starts_with("sxm") && interface.starts_with("sxm"))
        }),
        _ => false,
    })
}

/// Counts a holding as taken. A node that has shrunk meanwhile may end with more taken than there is.
pub(super) fn take(inventory: &mut Inventory, holding: &Holding) {
    change(inventory, holding, |quantity, amount| {
        quantity.allocated = quantity.allocated.saturating_add(amount);
    });
}

/// Gives a holding back.
pub(super) fn give_back(inventory: &mut Inventory, holding: &Holding) {
    change(inventory, holding, |quantity, amount| {
        quantity.allocated = quantity.allocated.saturating_sub(amount);
    });
}

fn change(inventory: &mut Inventory, holding: &Holding, change: impl Fn(&mut Quantity, u64)) {
    if let Some(node) = inventory.nodes.iter_mut().find(|node| node.name == holding.node) {
        change(&mut node.cpu_milli, holding.cpu_milli);
        change(&mut node.memory_bytes, holding.memory_bytes);
        change(&mut node.ephemeral_bytes, holding.ephemeral_bytes);
        for (kind, units) in &holding.gpus {
            if let Some(model) = node.gpus.iter_mut().find(|model| GpuKind::of(model) == *kind) {
                change(&mut model.units, *units);
            }
        }
    }
    for (class, bytes) in &holding.storage {
        if let Some(pool) = inventory.storage.get_mut(class) {
            change(pool, *bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        devnet::cluster::settings::Settings,
        domain::{Attribute, Resources, Volume},
    };

    fn inventory() -> Inventory {
        let settings = Settings::default();
        empty_inventory(&settings.nodes, &settings.storage, settings.ips)
    }

    fn gpu(key: &str) -> Resources {
        Resources { gpu_units: 1, gpu_attributes: vec![Attribute::new(key, "true")], ..small() }
    }

    fn small() -> Resources {
        Resources {
            id: 1,
            cpu_milli: 1000,
            cpu_attributes: vec![],
            memory_bytes: 1 << 30,
            memory_attributes: vec![],
            storage: vec![],
            gpu_units: 0,
            gpu_attributes: vec![],
            endpoints: vec![],
        }
    }

    #[test]
    fn nodes_fill_in_the_order_of_their_names() {
        let mut inventory = inventory();
        let half = Resources { cpu_milli: 5000, ..small() };
        let nodes: Vec<String> = (0..5)
            .map_while(|_| take_first_fit(&mut inventory, &half).ok())
            .map(|holding| holding.node)
            .collect();
        assert_eq!(nodes, ["node-a", "node-b", "node-c", "node-c", "node-c"]);
    }

    #[test]
    fn a_gpu_is_found_by_model_or_wildcard_and_refused_by_what_does_not_match() {
        for (key, found) in [
            ("vendor/nvidia/model/a100", true),
            ("vendor/nvidia/model/*", true),
            ("vendor/nvidia/model/a100/ram/80Gi/interface/pcie", true),
            ("vendor/nvidia/model/a100/ram/40Gi", false),
            ("vendor/nvidia/model/a100/interface/sxm", false),
            ("vendor/nvidia/model/h100", false),
            ("vendor/amd/model/*", false),
        ] {
            let node = take_first_fit(&mut inventory(), &gpu(key)).map(|holding| holding.node);
            assert_eq!(node.ok().as_deref(), found.then_some("node-c"), "{key}");
        }
    }

    #[test]
    fn what_is_given_back_leaves_the_inventory_as_it_was() {
        let volume = |attributes: &[(&str, &str)]| Volume {
            name: "data".to_owned(),
            bytes: 1 << 30,
            attributes: attributes
                .iter()
                .map(|(key, value)| Attribute::new(*key, *value))
                .collect(),
        };
        let resources = Resources {
            storage: vec![
                volume(&[]),
                volume(&[("persistent", "true"), ("class", "beta3")]),
                volume(&[("persistent", "false"), ("class", "ram")]),
            ],
            ..gpu("vendor/nvidia/model/a100")
        };
        let mut inventory = inventory();
        let before = inventory.clone();
        let holding = take_first_fit(&mut inventory, &resources).unwrap();
        assert_eq!(inventory.storage["beta3"].allocated, 1 << 30);
        assert_eq!(inventory.nodes[2].memory_bytes.allocated, 2 << 30);
        assert_eq!(inventory.nodes[2].ephemeral_bytes.allocated, 1 << 30);
        assert_eq!(inventory.nodes[2].gpus[0].units.allocated, 1);
        give_back(&mut inventory, &holding);
        assert_eq!(inventory, before);
    }

    #[test]
    fn what_fits_nowhere_says_what_each_node_lacks() {
        let large = Resources { cpu_milli: 64_000, ..small() };
        assert_eq!(
            take_first_fit(&mut inventory(), &large).unwrap_err(),
            "0 of 3 nodes fit: node-a has 8000 of 64000 cpu; node-b has 8000 of 64000 cpu; \
             node-c has 16000 of 64000 cpu"
        );
    }
}
