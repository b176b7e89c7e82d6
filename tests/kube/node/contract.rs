//! Kubernetes keeps what every backend of the cluster port promises, as the user and with the roles of `deploy/kubernetes`.

use std::time::Duration;

use lessor::cluster::kubernetes::{Kubernetes, settings::Settings, watch::Watching};
use serde_json::json;

use super::NODE;
use crate::{
    cluster::{Cluster, Ring, node_name, shared},
    contract::{self, Images},
    provider::{USER, installed},
};

/// Names that documents use; the node has two of them under others.
pub(super) const IMAGES: Images = Images {
    good: "ghcr.io/example/web:1.0",
    missing: "ghcr.io/example/web:missing",
    crashing: "ghcr.io/example/web:crash",
};
/// How long one answer may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// lessor with its watches open, logged in as it is when it was deployed.
pub(super) async fn deployed(cluster: &Cluster) -> (Kubernetes, Watching) {
    installed(cluster).await;
    cluster
        .apply(&json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": node_name(), "labels": {"akash.network": "true"}},
        }))
        .await;
    cluster.node().tag("registry.test/tenant:1", IMAGES.good);
    cluster.node().tag("registry.test/crash:1", IMAGES.crashing);
    let settings =
        Settings { public_hostname: "provider.example.com".to_owned(), ..Settings::default() };
    let kubernetes = Kubernetes::with(cluster.user(USER), settings, TIMEOUT);
    let watching = kubernetes.watch();
    (kubernetes, watching)
}

macro_rules! keeps_the_contract {
    ($($promise:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            let Some(cluster) = shared(Ring::Node) else { return };
            let _turn = NODE.read().await;
            let (kubernetes, _watching) = deployed(cluster).await;
            contract::$promise(&kubernetes, &IMAGES).await;
        }
    )*};
}

keeps_the_contract!(
    an_applied_workload_becomes_ready,
    the_same_workload_again_changes_nothing,
    an_update_restarts_only_the_service_that_differs,
    of_an_unknown_lease_nothing_is_known,
    an_image_that_cannot_be_pulled_says_so,
    a_service_that_crashes_says_so,
    a_log_can_be_cut_followed_and_resumed,
    a_followed_log_ends_with_its_lease,
    a_replica_s_way_to_ready_is_told_as_events,
    a_teardown_can_be_asked_for_twice,
    a_port_that_is_not_http_is_forwarded_and_keeps_its_number,
);

#[tokio::test]
async fn a_lease_takes_from_the_inventory_and_gives_back() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.write().await;
    let (kubernetes, _watching) = deployed(cluster).await;
    contract::a_lease_takes_from_the_inventory_and_gives_back(&kubernetes, &IMAGES).await;
}
