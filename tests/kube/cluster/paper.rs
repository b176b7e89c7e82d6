//! A node on paper: an object whose lease is renewed, and pods that are said to run as soon as they are placed on it.
//!
//! It stands in for a kubelet where none can run, and where a test is about what happens before one is asked. A thread of its
//! own keeps it, since it outlives the test that starts it.

use std::{path::PathBuf, thread, time::Duration};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Node, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use lessor::cmd::host;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, client};
use crate::support::eventually;

const NAME: &str = "paper";
/// Its name is not among those whose calls are written down.
pub(super) const USER: &str = "system:paper";
/// How often pods are looked at.
const PACE: Duration = Duration::from_millis(200);
/// It says that it lives with every so many looks.
const BEAT: u32 = 20;
/// An API server that hangs is left for the next look.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps a node until it is dropped.
pub(super) struct Paper {
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Paper {
    /// Starts it and waits until pods can be placed on it.
    pub(super) async fn start(kubeconfig: PathBuf, admin: &Client) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let keep = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                stopped.run_until_cancelled(keep(&client(&kubeconfig))).await;
            });
        };
        let thread = thread::Builder::new().name("paper".to_owned()).spawn(keep).unwrap();
        let nodes: Api<Node> = Api::all(admin.clone());
        // A new node is tainted until its controller has seen that it is ready.
        let takes_pods = |node: Option<&Node>| {
            let taints = node.and_then(|node| node.spec.as_ref()).map(|spec| &spec.taints);
            node.is_some() && taints.is_none_or(|taints| taints.iter().flatten().next().is_none())
        };
        let taken = tokio::time::timeout(PATIENCE, await_condition(nodes, NAME, takes_pods)).await;
        taken.expect("the node on paper takes pods").unwrap();
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(client: &Client) {
    eventually("the node on paper is written", PATIENCE, async || make(client).await.ok()).await;
    for look in 0_u32.. {
        let looked = async {
            if look.is_multiple_of(BEAT) {
                beat(client).await?;
            }
            run_pods(client).await
        };
        // Whatever went wrong, the API server may be away, and the next look comes soon.
        let _ = tokio::time::timeout(TIMEOUT, looked).await;
        tokio::time::sleep(PACE).await;
    }
}

fn apply() -> PatchParams {
    PatchParams::apply("paper").force()
}

async fn make(client: &Client) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NAME } });
    nodes.patch(NAME, &apply(), &Patch::Apply(&node)).await?;
    beat(client).await
}

/// Renews the lease, and says what the node has.
async fn beat(client: &Client) -> kube::Result<()> {
    let now = host::now();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": NAME },
        "spec": { "holderIdentity": NAME, "leaseDurationSeconds": 40,
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string() },
    });
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    leases.patch(NAME, &apply(), &Patch::Apply(&lease)).await?;
    let resources = json!({
        "cpu": "16", "memory": "64Gi", "ephemeral-storage": "500Gi", "pods": "250",
    });
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "OnPaper", "message": "it is on paper",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    });
    let status = json!({ "status": {
        "capacity": resources, "allocatable": resources, "conditions": [ready],
    }});
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.patch_status(NAME, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

async fn run_pods(client: &Client) -> kube::Result<()> {
    let pods: Api<Pod> = Api::all(client.clone());
    let own = ListParams::default().fields(&format!("spec.nodeName={NAME}"));
    for pod in pods.list(&own).await?.items {
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        // While nothing was heard of the node, its pods may have been taken for lost.
        let is_ready =
            conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True");
        // One that is gone meanwhile is no reason to leave the others.
        if pod.metadata.deletion_timestamp.is_some() {
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            let _ = pods.delete(&name, &at_once).await;
        } else if !is_ready {
            let status = Patch::Merge(runs(&pod));
            let _ = pods.patch_status(&name, &PatchParams::default(), &status).await;
        }
    }
    Ok(())
}

/// What a kubelet says of a pod whose containers run.
fn runs(pod: &Pod) -> Value {
    let now = host::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({ "type": kind, "status": "True", "lastTransitionTime": now }));
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        json!({
            "name": container.name, "image": container.image, "imageID": "on paper",
            "ready": true, "started": true, "restartCount": 0,
            "state": { "running": { "startedAt": now } },
        })
    });
    json!({ "status": {
        "phase": "Running", "startTime": now, "conditions": conditions,
        "containerStatuses": containers.collect::<Vec<_>>(),
    }})
}
