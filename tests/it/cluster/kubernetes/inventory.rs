//! What a cluster can hold, from what was seen of it.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolume, Pod, Service},
    storage::v1::{CSIStorageCapacity, StorageClass},
};
use lessor::{
    bidengine::place,
    cluster::kubernetes::{
        inventory::{SeenCluster, inventory, node_addresses, trim},
        settings::{Percent, PoolSize, Settings},
    },
    domain::{
        Attribute, GroupSpec, OrderId, Price, Requirements, ResourceUnit, Resources, SignedBy,
        Volume,
        inventory::{Inventory, Quantity},
    },
};
use serde_json::{Value, json};

use super::{super::lease, rendered, settings, workload};

const GI: u64 = 1 << 30;

/// What was seen, as the API server writes it.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pods: Vec<Pod>,
    classes: Vec<StorageClass>,
    capacities: Vec<CSIStorageCapacity>,
    volumes: Vec<PersistentVolume>,
    services: Vec<Service>,
}

impl Cluster {
    pub(super) fn seen(&self) -> SeenCluster<'_> {
        SeenCluster {
            nodes: self.nodes.iter().collect(),
            pods: self.pods.iter().collect(),
            storage_classes: self.classes.iter().collect(),
            capacities: self.capacities.iter().collect(),
            volumes: self.volumes.iter().collect(),
            services: self.services.iter().collect(),
        }
    }

    fn inventory(&self, settings: &Settings) -> Inventory {
        inventory(&self.seen(), settings)
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A node that is ready and takes leases.
pub(super) fn node(name: &str, cpu: &str, labels: &Value) -> Node {
    let mut all = json!({ "akash.network": "true", "kubernetes.io/hostname": name });
    for (key, value) in labels.as_object().unwrap() {
        all[key] = value.clone();
    }
    let resources =
        json!({ "cpu": cpu, "memory": "512Gi", "ephemeral-storage": "512Gi", "pods": "110" });
    from(json!({
        "metadata": { "name": name, "labels": all },
        "status": {
            "allocatable": resources, "capacity": resources,
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    }))
}

pub(super) fn with_gpus(mut node: Node, resource: &str, count: u32) -> Node {
    let status = node.status.as_mut().unwrap();
    for of in [&mut status.allocatable, &mut status.capacity] {
        let quantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity(count.to_string());
        of.as_mut().unwrap().insert(resource.to_owned(), quantity);
    }
    node
}

fn pod(namespace: &str, name: &str, node: &str, cpu: &str) -> Value {
    json!({
        "metadata": { "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}") },
        "spec": {
            "nodeName": node,
            "containers": [{ "name": "main", "resources": { "requests": { "cpu": cpu, "memory": "1Gi" } } }],
        },
        "status": { "phase": "Running" },
    })
}

const A100: &str = "akash.network/capabilities.gpu.vendor.nvidia.model.a100";

/// Four nodes of which one has two A100, as in the tests of today's provider.
fn peer() -> Cluster {
    let gpus = json!({ A100: "2", format!("{A100}.ram.80Gi"): "2", format!("{A100}.interface.pcie"): "2" });
    let gpus = with_gpus(node("b", "68800m", &gpus), "nvidia.com/gpu", 2);
    let none = json!({});
    let others = [("a", "68780m"), ("c", "119525m"), ("d", "119495m")];
    let nodes = others.map(|(name, cpu)| node(name, cpu, &none)).into_iter().chain([gpus]);
    Cluster { nodes: nodes.collect(), ..Cluster::default() }
}

fn unit(id: u32, cpu_milli: u64, gpus: u64, count: u32) -> ResourceUnit {
    let gpu = || Attribute::new("vendor/nvidia/model/a100", "true");
    ResourceUnit {
        resources: Resources {
            id,
            cpu_milli,
            cpu_attributes: vec![],
            memory_bytes: 16 * GI,
            memory_attributes: vec![],
            storage: vec![Volume { name: "default".to_owned(), bytes: 8 * GI, attributes: vec![] }],
            gpu_units: gpus,
            gpu_attributes: (gpus > 0).then(gpu).into_iter().collect(),
            endpoints: vec![],
        },
        count,
        price: Price { denom: "uact".parse().unwrap(), amount: "1".parse().unwrap() },
    }
}

fn group(units: Vec<ResourceUnit>) -> GroupSpec {
    let signed_by = SignedBy::default();
    let requirements = Requirements { signed_by, attributes: vec![] };
    GroupSpec { name: "west".to_owned(), requirements, units }
}

fn order() -> OrderId {
    lease(1).order
}

#[test]
fn what_todays_provider_fits_is_fitted_and_what_it_does_not_is_not() {
    let inventory = peer().inventory(&settings());
    let fits = |units: Vec<ResourceUnit>| place(&order(), &group(units), &inventory, &[]);
    for (name, cpu, gpus, count) in [
        ("FulFilled1", 100_000, 0, 2),
        ("FulFilled2", 68_780, 0, 4),
        ("FulFilled3", 68_800, 0, 3),
        ("FulFilled4", 119_495, 0, 2),
        ("FulFilled5", 68_780, 0, 1),
        ("FulFilled6", 68_780, 1, 1),
    ] {
        let placed =
            fits(vec![unit(1, cpu, gpus, count)]).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(placed.assignments.len(), count as usize, "{name}");
    }
    fits(vec![unit(1, 68_700, 0, 1), unit(2, 68_700, 1, 1)]).expect("FulFilled7");
    for (name, cpu, count) in [
        ("OutOfCapacity1", 70_000, 4),
        ("OutOfCapacity2", 100_000, 3),
        ("OutOfCapacity4", 119_525, 2),
    ] {
        assert!(fits(vec![unit(1, cpu, 0, count)]).is_err(), "{name}");
    }
}

#[test]
fn a_placed_gpu_leads_the_pod_to_its_node() {
    let placed =
        place(&order(), &group(vec![unit(1, 1000, 1, 1)]), &peer().inventory(&settings()), &[]);
    let kinds = placed.unwrap().gpus_by_unit();
    let kind = &kinds[&1][0];
    assert_eq!(
        (kind.model.as_str(), kind.ram.as_deref(), kind.interface.as_deref()),
        ("a100", Some("80Gi"), Some("pcie"))
    );
}

#[test]
fn two_pods_of_one_name_count_twice_and_one_seen_twice_once() {
    let mut cluster = peer();
    let of = |namespace: &str| from::<Pod>(pod(namespace, "web-0", "a", "1500m"));
    cluster.pods = vec![of("one"), of("two"), of("two")];
    let inventory = cluster.inventory(&settings());
    assert_eq!(inventory.nodes[0].cpu_milli, Quantity { allocatable: 68_780, allocated: 3000 });
    assert_eq!(inventory.nodes[0].memory_bytes.allocated, 2 * GI);
}

#[test]
fn a_pod_counts_with_its_init_containers_sidecars_and_overhead_until_it_has_ended() {
    let mut cluster = peer();
    let mut full = pod("one", "full", "a", "1");
    full["spec"]["overhead"] = json!({ "cpu": "250m" });
    full["spec"]["initContainers"] = json!([
        { "name": "sidecar", "restartPolicy": "Always", "resources": { "requests": { "cpu": "500m" } } },
        { "name": "first", "resources": { "requests": { "cpu": "4" } } },
        { "name": "second", "resources": { "limits": { "cpu": "2" } } },
    ]);
    let ended = ["Succeeded", "Failed"].map(|phase| {
        let mut pod = pod("one", phase, "a", "10");
        pod["status"]["phase"] = json!(phase);
        pod
    });
    let mut unscheduled = pod("one", "pending", "a", "10");
    unscheduled["spec"]["nodeName"].take();
    cluster.pods = ended.into_iter().chain([full, unscheduled]).map(from).collect();
    let trimmed = cluster.pods.iter().cloned().map(trim).collect();
    for pods in [cluster.pods.clone(), trimmed] {
        cluster.pods = pods;
        let inventory = cluster.inventory(&settings());
        // The sidecar and the largest of the others, and the overhead.
        assert_eq!(inventory.nodes[0].cpu_milli.allocated, 4750);
    }
}

/// A lease's volumes in memory are in its pods' requests; today's provider leaves them out.
#[test]
fn memory_of_volumes_counts_once_whoever_rendered_the_pod() {
    let mut cluster = peer();
    let mut theirs = pod("one", "theirs", "a", "1");
    theirs["metadata"]["labels"] = json!({ "akash.network/manifest.resource.version": "12" });
    theirs["spec"]["volumes"] =
        json!([{ "name": "shm", "emptyDir": { "medium": "Memory", "sizeLimit": "2Gi" } }]);
    let mut ours = theirs.clone();
    ours["metadata"] = json!({ "namespace": "two", "name": "ours", "uid": "two" });
    cluster.pods = vec![trim(from(theirs)), trim(from(ours))];
    assert_eq!(cluster.inventory(&settings()).nodes[0].memory_bytes.allocated, 4 * GI);
}

#[test]
fn a_node_that_takes_nothing_says_why_and_what_to_do() {
    let plain = || node("n", "4", &json!({}));
    let change = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(plain()).unwrap();
        change(&mut value);
        Cluster { nodes: vec![from(value)], ..Cluster::default() }
    };
    let mut settings = settings();
    let why = |cluster: &Cluster, settings: &Settings| {
        cluster.inventory(settings).nodes[0].excluded.clone().unwrap_or_default()
    };
    assert_eq!(why(&change(&|_| {}), &settings), "");
    let not_ready = change(&|node| {
        node["status"]["conditions"][0] =
            json!({ "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown" });
    });
    assert_eq!(why(&not_ready, &settings), "not ready (NodeStatusUnknown): look at its kubelet");
    let cordoned = change(&|node| node["spec"] = json!({ "unschedulable": true }));
    assert_eq!(why(&cordoned, &settings), "cordoned: `kubectl uncordon n` ends it");
    let tainted = change(&|node| {
        node["spec"] =
            json!({ "taints": [{ "key": "a/b", "value": "c", "effect": "NoSchedule" }] });
    });
    assert!(why(&tainted, &settings).starts_with("tainted with a/b=c:NoSchedule: "));
    let preferred = change(&|node| {
        node["spec"] = json!({ "taints": [{ "key": "a/b", "effect": "PreferNoSchedule" }] });
    });
    assert_eq!(why(&preferred, &settings), "");
    let unlabelled = change(&|node| {
        node["metadata"]["labels"].as_object_mut().unwrap().remove("akash.network");
    });
    assert!(
        why(&unlabelled, &settings)
            .starts_with("has no label akash.network=true: lessor is about to")
    );
    let mut full = change(&|node| node["status"]["allocatable"]["pods"] = json!("1"));
    full.pods = vec![from(pod("one", "a", "n", "1"))];
    assert!(why(&full, &settings).starts_with("has as many pods as it takes (1)"));
    settings.nodes.tolerate = vec!["a/b".to_owned()];
    settings.nodes.exclude = vec!["m*".to_owned()];
    assert_eq!(why(&tainted, &settings), "");
    settings.nodes.exclude = vec!["n*".to_owned()];
    assert_eq!(why(&tainted, &settings), "excluded by cluster.kubernetes.nodes.exclude");
}

#[test]
fn gpus_are_counted_by_what_their_labels_say_and_never_more_than_the_device_plugin_gives() {
    let settings = settings();
    let t4 = "akash.network/capabilities.gpu.vendor.nvidia.model.t4";
    let mixed = json!({ A100: "2", format!("{A100}.ram.80Gi"): "2", t4: "1" });
    let mut cluster = Cluster {
        nodes: vec![
            with_gpus(node("mixed", "8", &mixed), "nvidia.com/gpu", 3),
            with_gpus(node("broken", "8", &json!({ A100: "8" })), "nvidia.com/gpu", 6),
            with_gpus(node("unknown", "8", &json!({})), "amd.com/gpu", 4),
        ],
        ..Cluster::default()
    };
    let mut named = pod("one", "named", "mixed", "1");
    named["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = json!("1");
    named["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": A100, "operator": "Gt", "values": ["0"] }] }],
    }}});
    let mut unnamed = named.clone();
    unnamed["metadata"]["uid"] = json!("unnamed");
    unnamed["spec"]["affinity"].take();
    cluster.pods = vec![trim(from(named))];
    let inventory = cluster.inventory(&settings);
    let node = |inventory: &Inventory, name: &str| {
        inventory.nodes.iter().find(|node| node.name == name).unwrap().gpus.clone()
    };
    let counts = |inventory: &Inventory| -> BTreeMap<String, Quantity> {
        node(inventory, "mixed").into_iter().map(|gpu| (gpu.model, gpu.units)).collect()
    };
    let expected = [
        ("a100".to_owned(), Quantity { allocatable: 2, allocated: 1 }),
        ("t4".to_owned(), Quantity { allocatable: 1, allocated: 0 }),
    ];
    assert_eq!(counts(&inventory), BTreeMap::from(expected));
    assert_eq!(node(&inventory, "broken")[0].units, Quantity::of(6));
    assert!(
        inventory.excluded["node broken: nvidia.com/gpu"].contains("8 are labelled, 6 can be used")
    );
    assert!(inventory.excluded["node unknown: amd.com/gpu"].contains("4 of 4 have no label"));
    cluster.pods.push(trim(from(unnamed)));
    assert_eq!(counts(&cluster.inventory(&settings))["t4"].free(), 0, "it may be the t4");
}

fn class(name: &str, provisioner: &str, offered: bool) -> StorageClass {
    let labels = if offered { json!({ "akash.network": "true" }) } else { json!({}) };
    from(json!({ "metadata": { "name": name, "labels": labels }, "provisioner": provisioner }))
}

fn volume(name: &str, class: &str, size: &str, node: Option<&str>) -> PersistentVolume {
    let affinity = node.map(|node| json!({ "required": { "nodeSelectorTerms": [{
        "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] }],
    }]}}));
    let mut volume = json!({
        "metadata": { "name": name },
        "spec": { "storageClassName": class, "capacity": { "storage": size } },
    });
    if let Some(affinity) = affinity {
        volume["spec"]["nodeAffinity"] = affinity;
    }
    from(volume)
}

fn capacity(class: &str, left: &str, zone: &str) -> CSIStorageCapacity {
    from(json!({
        "metadata": { "name": format!("{class}-{zone}") }, "storageClassName": class, "capacity": left,
        "nodeTopology": { "matchLabels": { "zone": zone } },
    }))
}

const CLASS: &str = "akash.network/capabilities.storage.class.";

#[test]
fn a_pool_is_what_its_driver_says_is_left_and_what_is_there_or_what_the_operator_says() {
    let mut settings = settings();
    settings.storage.insert("beta2".to_owned(), PoolSize::Bytes(100 * GI));
    settings.storage.insert("beta1".to_owned(), PoolSize::Auto);
    settings.storage.insert("gone".to_owned(), PoolSize::Auto);
    let labels = json!({ format!("{CLASS}beta3"): "1", format!("{CLASS}beta2"): "1", format!("{CLASS}odd"): "1" });
    let cluster = Cluster {
        nodes: vec![node("n", "4", &labels)],
        classes: vec![
            class("beta3", "csi.example.com", true),
            class("beta2", "rook-ceph.rbd.csi.ceph.com", false),
            class("beta1", "rook-ceph.rbd.csi.ceph.com", false),
            class("odd", "csi.example.com", false),
        ],
        capacities: vec![capacity("beta3", "70Gi", "a"), capacity("beta3", "30Gi", "b")],
        volumes: vec![volume("1", "beta3", "20Gi", None), volume("2", "beta2", "40Gi", None)],
        ..Cluster::default()
    };
    let found = cluster.inventory(&settings);
    let expected = [
        ("beta2".to_owned(), Quantity { allocatable: 100 * GI, allocated: 40 * GI }),
        ("beta3".to_owned(), Quantity { allocatable: 120 * GI, allocated: 20 * GI }),
    ];
    assert_eq!(found.storage, BTreeMap::from(expected));
    assert_eq!(found.nodes[0].storage_classes, ["beta2", "beta3"]);
    let why = |class: &str| found.excluded[&format!("storage class {class}")].clone();
    assert!(why("beta1").contains("its size is not known"), "{}", why("beta1"));
    assert!(why("odd").contains("label it akash.network=true"), "{}", why("odd"));
    assert!(why("gone").contains("there is no StorageClass"), "{}", why("gone"));
}

#[test]
fn volumes_on_a_nodes_disk_take_of_what_containers_have() {
    let labels = json!({ format!("{CLASS}local"): "1" });
    let mut cluster = Cluster {
        nodes: vec![
            node("n1", "4", &labels),
            node("n2", "4", &labels),
            node("n3", "4", &json!({})),
        ],
        classes: vec![class("local", "rancher.io/local-path", true)],
        volumes: vec![volume("1", "local", "100Gi", Some("n1"))],
        ..Cluster::default()
    };
    let mut writing = pod("one", "writing", "n2", "1");
    writing["spec"]["containers"][0]["resources"]["requests"]["ephemeral-storage"] = json!("12Gi");
    cluster.pods = vec![from(writing)];
    let found = cluster.inventory(&settings());
    assert_eq!(
        found.nodes[0].ephemeral_bytes,
        Quantity { allocatable: 512 * GI, allocated: 100 * GI }
    );
    let expected = Quantity { allocatable: (412 + 500 + 100) * GI, allocated: 100 * GI };
    assert_eq!(found.storage["local"], expected);
}

#[test]
fn with_overcommit_what_can_be_sold_and_what_was_sold_are_counted_alike() {
    let mut settings = settings();
    settings.overcommit.cpu_percent = Percent(50);
    settings.overcommit.memory_percent = Percent(100);
    let mut cluster = Cluster { nodes: vec![node("n", "4", &json!({}))], ..Cluster::default() };
    // A service with 3 cores asks for 2.
    cluster.pods = vec![from(pod("one", "a", "n", "2"))];
    let node = &cluster.inventory(&settings).nodes[0];
    assert_eq!(node.cpu_milli, Quantity { allocatable: 6000, allocated: 3000 });
    assert_eq!(node.memory_bytes, Quantity { allocatable: 1024 * GI, allocated: 2 * GI });
}

#[test]
fn addresses_that_are_leased_count_once_for_all_their_ports() {
    let mut settings = settings();
    settings.ips = 4;
    let service = |key: &str, target: &str| -> Service {
        from(json!({ "metadata": {
            "labels": { "akash.network/service-target": target },
            "annotations": { "metallb.universe.tf/allow-shared-ip": key },
        }}))
    };
    let cluster = Cluster {
        services: vec![
            service("a", "metal-lb"),
            service("a", "metal-lb"),
            service("b", "metal-lb"),
            service("c", "x"),
        ],
        ..Cluster::default()
    };
    assert_eq!(cluster.inventory(&settings).ips, Quantity { allocatable: 4, allocated: 2 });
}

#[test]
fn addresses_of_nodes_are_those_of_every_kind_and_no_names() {
    let node: Node = from(json!({ "metadata": {}, "status": { "addresses": [
        { "type": "Hostname", "address": "n1" }, { "type": "InternalIP", "address": "10.0.0.1" },
        { "type": "ExternalIP", "address": "2001:db8::1" }, { "type": "InternalIP", "address": "10.0.0.1" },
    ]}}));
    let found: Vec<String> = node_addresses(&[&node]).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["10.0.0.1", "2001:db8::1"]);
}

/// What placement takes of a node is what the pod then asks of it.
#[test]
fn a_rendered_pod_takes_what_was_placed() {
    let sdl = include_str!("../../../../deploy/examples/web.yaml");
    let workload = workload(sdl);
    let rendered = rendered(&workload, &settings());
    let template = rendered
        .objects
        .iter()
        .find_map(|object| object.body["spec"].get("template").cloned())
        .unwrap();
    let mut pod = json!({ "metadata": { "uid": "1" }, "spec": template["spec"], "status": { "phase": "Running" } });
    pod["spec"]["nodeName"] = json!("a");
    let mut cluster = peer();
    cluster.pods = vec![from(pod)];
    let taken = &cluster.inventory(&settings()).nodes[0];
    let resources = workload.group.services[0].resources().unwrap();
    assert_eq!(taken.cpu_milli.allocated, resources.cpu_milli);
    assert_eq!(taken.memory_bytes.allocated, resources.memory_bytes);
    assert_eq!(taken.ephemeral_bytes.allocated, resources.storage[0].bytes);
}
