//! What lessor finds out about nodes, and the labels that say it.

use k8s_openapi::api::{
    core::v1::Node,
    storage::v1::{CSIStorageCapacity, StorageClass},
};
use lessor::cluster::kubernetes::{
    inventory::{
        SeenCluster,
        gpu_names::GpuNames,
        inventory,
        labels::{NodePatch, patches},
    },
    settings::Settings,
};
use serde_json::{Value, json};

use super::{
    inventory::{node, with_gpus},
    settings,
};

fn bare(name: &str, labels: &Value) -> Node {
    let mut node = node(name, "8", labels);
    node.metadata.labels.as_mut().unwrap().remove("akash.network");
    node
}

fn labels_of(patches: &[NodePatch], node: &str) -> Value {
    let patch =
        patches.iter().find(|patch| patch.node == node).unwrap_or_else(|| panic!("{patches:?}"));
    patch.patch["metadata"]["labels"].clone()
}

/// The node with the patch taken in, as the API server does it.
fn patched(mut node: Node, patches: &[NodePatch]) -> Node {
    let name = node.metadata.name.clone().unwrap();
    let Some(patch) = patches.iter().find(|patch| patch.node == name) else { return node };
    let labels = node.metadata.labels.as_mut().unwrap();
    for (key, value) in patch.patch["metadata"]["labels"].as_object().unwrap() {
        match value {
            Value::Null => labels.remove(key),
            value => labels.insert(key.clone(), value.as_str().unwrap().to_owned()),
        };
    }
    node
}

fn found(nodes: &[Node], settings: &Settings, names: &GpuNames) -> Vec<NodePatch> {
    let seen = SeenCluster { nodes: nodes.iter().collect(), ..SeenCluster::default() };
    patches(&seen, settings, names)
}

#[test]
fn a_node_with_gpus_is_labelled_once_and_offers_them_then() {
    let discovered = json!({
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.memory": "81920",
        "akash.network/capabilities.gpu.vendor.nvidia.model.v100": "2",
        "akash.network/capabilities.storage.class.gone": "1",
        "example.com/mine": "stays",
    });
    let gpus = with_gpus(bare("gpus", &discovered), "nvidia.com/gpu", 8);
    let (settings, names) = (settings(), GpuNames::default());
    let first = found(std::slice::from_ref(&gpus), &settings, &names);
    let a100 = "akash.network/capabilities.gpu.vendor.nvidia.model.a100";
    let expected = json!({
        "akash.network": "true",
        a100: "8",
        format!("{a100}.ram.80Gi"): "8",
        format!("{a100}.interface.sxm"): "8",
        "akash.network/capabilities.gpu.vendor.nvidia.model.v100": null,
    });
    assert_eq!(labels_of(&first, "gpus"), expected);
    let gpus = patched(gpus, &first);
    assert_eq!(gpus.metadata.labels.as_ref().unwrap()["example.com/mine"], "stays");
    assert_eq!(found(std::slice::from_ref(&gpus), &settings, &names), []);
    let seen = SeenCluster { nodes: vec![&gpus], ..SeenCluster::default() };
    let offered = &inventory(&seen, &settings).nodes[0];
    assert_eq!(offered.excluded, None);
    let gpu = &offered.gpus[0];
    assert_eq!(
        (gpu.model.as_str(), gpu.ram.as_deref(), gpu.interface.as_deref()),
        ("a100", Some("80Gi"), Some("sxm"))
    );
    assert_eq!(gpu.units.free(), 8);
}

#[test]
fn labels_of_gpus_that_nobody_can_name_stay_as_the_operator_wrote_them() {
    let by_hand = json!({ "akash.network/capabilities.gpu.vendor.nvidia.model.custom": "4" });
    let nodes = [
        with_gpus(node("by-hand", "8", &by_hand), "nvidia.com/gpu", 4),
        node("plugin-away", "8", &by_hand),
    ];
    assert_eq!(found(&nodes, &settings(), &GpuNames::default()), []);
}

#[test]
fn devices_are_named_by_their_pci_numbers_where_the_operators_file_has_them() {
    let seen = json!({ "feature.node.kubernetes.io/pci-0300_1002_744c.present": "true" });
    let nodes = [with_gpus(node("n", "8", &seen), "amd.com/gpu", 2)];
    let names =
        GpuNames::parse("\"1002:744c\" = { model = \"rx7900xtx\", ram = \"24Gi\" }").unwrap();
    let labels = labels_of(&found(&nodes, &settings(), &names), "n");
    assert_eq!(labels["akash.network/capabilities.gpu.vendor.amd.model.rx7900xtx.ram.24Gi"], "2");
    assert_eq!(found(&nodes, &settings(), &GpuNames::default()), []);
}

#[test]
fn an_excluded_node_loses_every_label_of_ours_and_no_other() {
    let mut settings = settings();
    settings.nodes.exclude = vec!["old-*".to_owned()];
    let labels = json!({
        "akash.network/capabilities.storage.class.beta3": "1",
        "akash.network/capabilities.gpu.vendor.nvidia.model.t4": "1",
    });
    let nodes = [node("old-1", "4", &labels)];
    let expected = json!({
        "akash.network": null,
        "akash.network/capabilities.storage.class.beta3": null,
        "akash.network/capabilities.gpu.vendor.nvidia.model.t4": null,
    });
    assert_eq!(labels_of(&found(&nodes, &settings, &GpuNames::default()), "old-1"), expected);
    settings.nodes.label = false;
    assert_eq!(found(&nodes, &settings, &GpuNames::default()), []);
}

#[test]
fn a_class_is_on_the_nodes_that_its_driver_and_its_topology_name() {
    let class = |value: Value| serde_json::from_value::<StorageClass>(value).unwrap();
    let mine = json!({ "akash.network": "true" });
    let classes = [
        class(
            json!({ "metadata": { "name": "beta3", "labels": mine }, "provisioner": "csi.example.com" }),
        ),
        class(json!({
            "metadata": { "name": "local", "labels": mine }, "provisioner": "rancher.io/local-path",
            "allowedTopologies": [{ "matchLabelExpressions": [{ "key": "zone", "values": ["b", "c"] }] }],
        })),
    ];
    let capacity: CSIStorageCapacity = serde_json::from_value(json!({
        "metadata": {}, "storageClassName": "beta3", "capacity": "1Ti",
        "nodeTopology": { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["a"] }] },
    }))
    .unwrap();
    let nodes = ["a", "b"].map(|zone| node(zone, "4", &json!({ "zone": zone })));
    let seen = SeenCluster {
        nodes: nodes.iter().collect(),
        storage_classes: classes.iter().collect(),
        capacities: vec![&capacity],
        ..SeenCluster::default()
    };
    let patches = patches(&seen, &settings(), &GpuNames::default());
    let of =
        |class: &str| json!({ format!("akash.network/capabilities.storage.class.{class}"): "1" });
    assert_eq!(labels_of(&patches, "a"), of("beta3"));
    assert_eq!(labels_of(&patches, "b"), of("local"));
}

#[test]
fn labels_are_left_to_the_inventory_operator_of_todays_provider_while_it_runs() {
    let pod = serde_json::from_value(json!({
        "metadata": { "namespace": "akash-services", "name": "operator-inventory-5f-x" },
        "status": { "phase": "Running" },
    }))
    .unwrap();
    let bare = bare("n", &json!({}));
    let seen = SeenCluster { nodes: vec![&bare], pods: vec![&pod], ..SeenCluster::default() };
    let (mut settings, names) = (settings(), GpuNames::default());
    assert_eq!(patches(&seen, &settings, &names), []);
    let why = &inventory(&seen, &settings).excluded["node labels"];
    assert!(why.starts_with("left to akash-services/operator-inventory-5f-x"), "{why}");
    settings.take_over = true;
    assert_eq!(
        labels_of(&patches(&seen, &settings, &names), "n"),
        json!({ "akash.network": "true" })
    );
}
