//! What stands in `deploy/kubernetes` on a real API server: its roles are enough for what lessor writes, and not for more.

use std::{collections::BTreeMap, path::Path, time::Duration};

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams, ValidationDirective},
};
use lessor::{
    cluster::kubernetes::{
        Kubernetes,
        object::{Kind, Object},
        render::{Facts, render},
        settings::Settings,
    },
    domain::{Address, LeaseId, OrderId},
    manifest::{Group, Manifest},
    provider::port::{Cluster as _, HostnameRoute, Workload},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, Ring, documents},
    corpus,
    lessor::resource,
    support::eventually,
};

const LIMIT: Duration = Duration::from_mins(2);
const USER: &str = "lessor";

/// A cluster as `deploy/kubernetes` leaves it, and a client that has the worker's roles.
async fn installed() -> Option<(Cluster, Client)> {
    let cluster = Cluster::start(Ring::Api).await?;
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    for file in ["namespaces.yaml", "rbac.yaml"] {
        for document in documents(&deploy.join(file)) {
            cluster.apply(&document).await;
        }
    }
    cluster.grant(USER, "lessor-worker").await;
    for (namespace, role) in [("lease", "lessor-worker"), ("default", "lessor-api-servers")] {
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
            "metadata": { "name": USER, "namespace": namespace },
            "roleRef": { "apiGroup": group, "kind": "Role", "name": role },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": USER }],
        });
        cluster.apply(&binding).await;
    }
    let client = cluster.user(USER);
    let nodes: Api<Node> = Api::all(client.clone());
    eventually("the roles are known", LIMIT, async || {
        nodes.list(&ListParams::default()).await.ok()
    })
    .await;
    Some((cluster, client))
}

#[tokio::test]
async fn nodes_are_labelled_by_what_they_have_with_the_workers_roles() {
    let Some((cluster, client)) = installed().await else { return };
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": "gpus", "labels": {
            "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "example.com/mine": "stays",
        }},
    });
    cluster.apply(&node).await;
    let resources = json!({ "cpu": "8", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "4" });
    let ready = json!({ "type": "Ready", "status": "True" });
    let status = json!({ "status": {
        "capacity": resources, "allocatable": resources, "conditions": [ready],
    }});
    let nodes: Api<Node> = Api::all(cluster.admin());
    nodes.patch_status("gpus", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let mut settings = Settings::default();
    // No kubelet takes this taint off a node that is only an object.
    settings.nodes.tolerate.push("node.kubernetes.io/not-ready".to_owned());
    let kubernetes = Kubernetes::with(client, settings, Duration::from_secs(10));
    let _watching = kubernetes.watch();
    let a100 = "akash.network/capabilities.gpu.vendor.nvidia.model.a100";
    let labels = eventually("the node is labelled", LIMIT, async || {
        let labels = nodes.get("gpus").await.unwrap().metadata.labels.unwrap_or_default();
        labels.contains_key(a100).then_some(labels)
    })
    .await;
    assert_eq!(labels["akash.network"], "true");
    assert_eq!(labels[&format!("{a100}.interface.sxm")], "4");
    assert_eq!(labels["example.com/mine"], "stays");
    let offered = eventually("the GPUs are offered", LIMIT, async || {
        let inventory = kubernetes.inventory().await.ok()?;
        inventory.nodes.into_iter().find(|node| !node.gpus.is_empty())
    })
    .await;
    assert_eq!((offered.gpus[0].units.free(), offered.excluded), (4, None));
}

#[tokio::test]
async fn the_workers_roles_do_not_make_pods_or_roles_that_it_does_not_hold() {
    let Some((cluster, client)) = installed().await else { return };
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod = json!({
        "metadata": { "name": "own" }, "spec": { "containers": [{ "name": "own", "image": "own" }] },
    });
    let made = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await;
    assert!(matches!(made, Err(kube::Error::Api(status)) if status.code == 403));
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "more", "namespace": "default" },
        "rules": [{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"] }],
    });
    let resource = resource(Kind::Role);
    let roles: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let params = PatchParams::apply("lessor").force();
    let made = roles.patch("more", &params, &Patch::Apply(&role)).await;
    assert!(matches!(made, Err(kube::Error::Api(status)) if status.code == 403));
    let gateway = cluster.user("gateway");
    cluster.grant("gateway", "lessor-gateway").await;
    let pods: Api<Pod> = Api::all(gateway.clone());
    eventually("the role is known", LIMIT, async || pods.list(&ListParams::default()).await.ok())
        .await;
    let secrets: Api<Secret> = Api::all(gateway);
    let read = secrets.list(&ListParams::default()).await;
    assert!(matches!(read, Err(kube::Error::Api(status)) if status.code == 403));
}

/// What the API server says against an object, if anything.
async fn fault(client: &Client, object: &Object, is_dry: bool) -> Option<String> {
    let resource = resource(object.id.kind);
    let api: Api<DynamicObject> = match &object.id.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams {
        dry_run: is_dry,
        force: true,
        field_manager: Some("lessor".to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let written = api.patch(&object.id.name, &params, &Patch::Apply(&object.body)).await;
    written.err().map(|error| format!("{:?}: {error}", object.id))
}

fn lease() -> LeaseId {
    let account = |byte: u8| Address::from_bytes(&[byte; 20]).unwrap();
    OrderId::new(account(1), 7, 1, 1).lease(&account(2))
}

fn workload(group: &Group) -> Workload {
    let routes = group.services.iter().filter_map(|service| {
        let port = u16::try_from(service.ingresses().next()?.port).unwrap();
        let given = format!("{}.ingress.example.com", service.name);
        let hosts = service.hostnames().map(str::to_ascii_lowercase).chain([given]);
        let routes = hosts.map(|hostname| (hostname, service.name.clone(), port));
        Some(routes.collect::<Vec<_>>())
    });
    let routes =
        routes.flatten().map(|(hostname, service, port)| HostnameRoute { hostname, service, port });
    Workload {
        lease: lease(),
        manifest_hash: "ab".repeat(32),
        group: group.clone(),
        hostnames: routes.collect(),
        gpus: BTreeMap::new(),
    }
}

/// Every object of every accepted manifest of the corpus, with the roles that lessor has.
#[tokio::test]
async fn the_api_server_takes_every_object_of_every_accepted_manifest() {
    let Some(text) = corpus::read("sdl/expected.json") else { return };
    let Some((_cluster, client)) = installed().await else { return };
    let records: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut settings = Settings::default();
    for kind in ["cpu", "cpu-gpu"] {
        settings.runtime_classes.tee.insert(kind.to_owned(), "kata-qemu-snp".to_owned());
    }
    let facts = Facts {
        api_servers: vec!["203.0.113.7:6443".parse().unwrap()],
        node_addresses: vec!["203.0.113.9".parse().unwrap(), "2001:db8::9".parse().unwrap()],
        ..Facts::default()
    };
    let mut objects = Vec::new();
    let mut manifests = 0;
    for record in records.iter().filter(|record| record["go"]["ok"] == true) {
        let manifest = record["go"]["manifest"].to_string();
        manifests += 1;
        for group in Manifest::from_json(manifest.as_bytes()).unwrap().groups() {
            let rendered = render(&workload(group), &settings, &facts);
            objects
                .extend(rendered.unwrap_or_else(|why| panic!("{}: {why}", record["file"])).objects);
        }
    }
    let namespace = objects.iter().find(|object| object.id.kind == Kind::Namespace).unwrap();
    assert_eq!(fault(&client, namespace, false).await, None);
    // Who binds a role must hold what is in it, so the role must be there, and a dry run leaves none behind.
    let tried = |object: &&Object| object.id.kind != Kind::RoleBinding;
    let objects: Vec<&Object> = objects.iter().filter(tried).collect();
    let faults: Vec<String> = stream::iter(objects.iter().copied())
        .map(|object| fault(&client, object, true))
        .buffer_unordered(8)
        .filter_map(async |fault| fault)
        .collect()
        .await;
    println!(
        "manifests: {manifests}, objects that were taken: {} of {}",
        objects.len() - faults.len(),
        objects.len()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
