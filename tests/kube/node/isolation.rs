//! What lessor's policies keep a tenant's pod from, enforced on a real node. What the node's network lacks, a test aid does
//! ([`policies`](crate::cluster::policies)).

use std::{net::Ipv4Addr, time::Duration};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt as _, api::ListParams};
use lessor::{
    cluster::kubernetes::{names, stream::Streams},
    domain::LeaseId,
    provider::port::Cluster as _,
};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};

use super::{
    LIMIT, NODE,
    contract::{IMAGES, deployed},
    streams::run,
};
use crate::{
    cluster::{Cluster, NODE_ADDRESS, Ring, policies::enforce, shared},
    fixtures::{lease, service, workload},
    support::eventually,
};

/// Where clouds answer what a machine may know of itself.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Somebody on the Internet.
const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const KUBELET: u16 = 10_250;

/// Where something answers.
#[derive(Debug, Clone)]
struct Place {
    what: &'static str,
    address: String,
}

fn place(what: &'static str, address: &dyn std::fmt::Display, port: i32) -> Place {
    Place { what, address: format!("{address}:{port}") }
}

/// The Services of a lease, each port of each, and the ports of the node that lead to them.
async fn services(cluster: &Cluster, lease: &LeaseId) -> (Vec<Place>, Vec<Place>) {
    let services: Api<Service> = Api::namespaced(cluster.admin(), &names::namespace(lease));
    let (mut own, mut of_node) = (Vec::new(), Vec::new());
    for service in services.list(&ListParams::default()).await.unwrap().items {
        let spec = service.spec.unwrap();
        let address = spec.cluster_ip.unwrap();
        for port in spec.ports.unwrap() {
            own.push(place("a service", &address, port.port));
            of_node.extend(
                port.node_port.map(|port| place("a port of the node", &NODE_ADDRESS, port)),
            );
        }
    }
    (own, of_node)
}

async fn pods(cluster: &Cluster, lease: &LeaseId, service: &str) -> Vec<Place> {
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), &names::namespace(lease));
    let found = pods.list(&ListParams::default()).await.unwrap().items;
    let own = found.iter().filter(|pod| pod.labels()[names::SERVICE] == service);
    own.map(|pod| place("a pod", pod.status.as_ref().unwrap().pod_ip.as_ref().unwrap(), 8080))
        .collect()
}

/// Whether a connection to a place opens from the tenant's pod, and what was said to it.
async fn opens(streams: &Streams, from: &LeaseId, to: &Place) -> Result<(), String> {
    let ended = run(streams, from, &["tenant", "open", &to.address]).await;
    match ended.code {
        Ok(0) => Ok(()),
        Ok(_) => Err(ended.stderr),
        Err(why) => panic!("{to:?}: {why}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_pod_reaches_its_own_and_the_world_and_nothing_of_others() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    if !cluster.node().filters_its_bridge() {
        println!(
            "LEFT OUT: packets between pods of one node do not pass this kernel's tables (br_netfilter), so nothing \
             can enforce what lessor's policies say"
        );
        return;
    }
    let (kubernetes, _watching) = deployed(cluster).await;
    let (own, other) = (lease(320), lease(321));
    let mut game = service("game", IMAGES.good);
    game["expose"][0]["externalPort"] = json!(9000);
    game["expose"][0]["hosts"] = json!(null);
    let two = [service("web", IMAGES.good), service("api", IMAGES.good)];
    let others = [service("web", IMAGES.good), game];
    for (lease, services) in [(&own, &two), (&other, &others)] {
        kubernetes.apply(&workload(lease, 1, services)).await.unwrap();
    }
    for lease in [&own, &other] {
        eventually("the lease is ready", LIMIT, async || {
            kubernetes.status(lease).await.unwrap()?.is_ready().then_some(())
        })
        .await;
    }

    let outside = cluster.node().machine_outside(&[METADATA, WORLD]);
    let streams = Streams::new(cluster.admin());
    let mut allowed = services(cluster, &own).await.0;
    allowed.push(place("somebody on the Internet", &WORLD, 80));
    let (mut refused, of_node) = services(cluster, &other).await;
    assert!(
        allowed.len() > 1 && refused.len() > 1 && of_node.len() == 1,
        "{refused:?} {of_node:?}"
    );
    refused.extend(of_node.clone());
    let api_server = cluster.server().trim_start_matches("https://").to_owned();
    refused.extend([
        place("a cloud's metadata", &METADATA, 80),
        Place { what: "the API server", address: api_server },
        place("the API server's Service", &"10.96.0.1", 443),
        place("the kubelet", &NODE_ADDRESS, KUBELET.into()),
    ]);
    allowed.extend(pods(cluster, &own, "api").await);
    refused.extend(pods(cluster, &other, "web").await);

    // As long as nothing enforces the policies, everything answers: so what is refused later is refused by them.
    join_all(allowed.iter().chain(&refused).map(async |place| {
        eventually(&format!("{} answers at first", place.what), LIMIT, async || {
            opens(&streams, &own, place).await.ok()
        })
        .await;
    }))
    .await;

    let namespaces = [&own, &other].map(names::namespace);
    let enforced = enforce(cluster, &namespaces).await;
    for place in &refused {
        let said = opens(&streams, &own, place).await.expect_err(place.what);
        assert!(said.contains("i/o timeout"), "{place:?}: {said}");
        println!("refused: {} ({})", place.what, place.address);
    }
    for place in &allowed {
        eventually(&format!("{} answers", place.what), LIMIT, async || {
            opens(&streams, &own, place).await.ok()
        })
        .await;
        println!("allowed: {} ({})", place.what, place.address);
    }
    // From beyond the node: what is exposed on a port of it is for everybody, a pod behind the HTTP entrance is not.
    eventually("the exposed port answers", LIMIT, async || {
        TcpStream::connect(&of_node[0].address).await.ok()
    })
    .await;
    let pod = pods(cluster, &other, "web").await.remove(0);
    let opened = timeout(Duration::from_secs(2), TcpStream::connect(&pod.address)).await;
    assert!(opened.is_err(), "{opened:?}");

    drop(enforced);
    drop(outside);
    for lease in [&own, &other] {
        eventually("the lease is gone", LIMIT, async || {
            kubernetes.teardown(lease).await.unwrap().is_gone().then_some(())
        })
        .await;
    }
}
