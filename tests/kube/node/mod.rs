//! What needs a real node: containers that run, write, answer and crash.

mod contract;
mod isolation;
mod life;
mod lost;
mod streams;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use serde_json::json;
use tokio::sync::RwLock;

use crate::{
    cluster::{Ring, shared},
    harness::deployment,
    support::eventually,
};

/// Held while a test uses the node, by one alone while it counts what the node holds.
static NODE: RwLock<()> = RwLock::const_new(());
/// How long anything may take.
const LIMIT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn pods_run_on_a_real_node() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "runs"}}))
        .await;
    cluster.node().tag("registry.test/tenant:1", "example.test/web:1");
    cluster.apply(&deployment("runs", "example.test/web:1")).await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), "runs");
    let pod = eventually("the pod runs", LIMIT, async || {
        let found = pods.list(&ListParams::default()).await.unwrap();
        let runs = |pod: &Pod| {
            let status = pod.status.as_ref()?;
            let ready = status.container_statuses.as_ref()?.first()?.ready;
            (ready && status.phase.as_deref() == Some("Running"))
                .then(|| pod.metadata.name.clone())?
        };
        found.items.iter().find_map(runs)
    })
    .await;
    let log = pods.logs(&pod, &kube::api::LogParams::default()).await.unwrap();
    assert!(log.starts_with("listens on 8080\n"), "{log}");
    let addresses = cluster.node().inside("ip", &["-brief", "address"]);
    assert!(addresses.contains("cni0"), "pods are on the node's own bridge: {addresses}");
}
