//! A lease's whole life on a real node, through the provider as it is deployed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::BoxStream};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt as _, api::ListParams};
use lessor::{
    client::{Error, Tenant, token},
    cluster::kubernetes::names,
    cmd::host,
    domain::LeaseId,
};
use serde_json::Value;

use super::NODE;
use crate::{
    cluster::{Cluster, Ring, shared},
    provider::{LIMIT, Provider, changed, example, terms, word},
    support::eventually,
};

const DSEQ: u64 = 701;

/// The example of two services, told on which ports the program that bears their images' names is to listen.
fn document() -> String {
    let document = example("two-services.yaml");
    let document = changed(&document, "    env:\n", "    env:\n      - PORT=9898\n");
    let cache = "    image: redis:7-alpine\n";
    changed(&document, cache, &format!("{cache}    env:\n      - PORT=6379\n      - MODE=first\n"))
}

/// Gives the node the images that the document names.
fn bring_images(cluster: &Cluster) {
    for (image, name) in [
        ("registry.test/tenant:1", "ghcr.io/stefanprodan/podinfo:6.7.1"),
        ("registry.test/tenant:1", "docker.io/library/redis:7-alpine"),
        ("registry.test/crash:1", "docker.io/library/redis:broken"),
    ] {
        cluster.node().tag(image, name);
    }
}

/// The replicas of each service that stay.
async fn replicas(cluster: &Cluster, lease: &LeaseId) -> BTreeMap<String, BTreeSet<String>> {
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), &names::namespace(lease));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await.unwrap().items {
        if pod.metadata.deletion_timestamp.is_none() {
            let service = pod.labels()[names::SERVICE].clone();
            found.entry(service).or_default().insert(pod.name_any());
        }
    }
    found
}

/// Updates to a document whose services need not become ready.
async fn update(tenant: &Tenant, document: &str) {
    let updated = tenant.update(DSEQ, document, Duration::ZERO, &mut |_| {}).await;
    match updated {
        Ok(()) | Err(Error::NotReady(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

fn service<'a>(lease: &'a Value, name: &str) -> &'a Value {
    let services = lease["services"].as_array().unwrap();
    services.iter().find(|service| service["name"] == name).unwrap()
}

/// The lease's log as it grows.
struct Log(BoxStream<'static, Result<String, Error>>);

impl Log {
    async fn open(tenant: &Tenant, lease: &LeaseId) -> Self {
        let token = token::sign(&tenant.key, &lease.provider, host::now());
        Self(tenant.gateway.logs(lease, true, &token).await.unwrap().boxed())
    }

    /// Reads on until lines have come that begin so.
    async fn reach(&mut self, wanted: &[&str]) {
        let mut missing: BTreeSet<&str> = wanted.iter().copied().collect();
        let all = async {
            while !missing.is_empty() {
                let line = self.0.next().await.expect("the log goes on").unwrap();
                missing.retain(|wanted| !line.starts_with(wanted));
            }
        };
        let read = tokio::time::timeout(LIMIT, all).await;
        assert!(read.is_ok(), "the log has no line {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lives_from_its_order_to_its_end() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    bring_images(cluster);
    let provider = Provider::start(cluster).await;
    let tenant = provider.tenant(0);

    let document = document();
    let mut steps = Vec::new();
    let mut observe = |step| steps.push(word(&step));
    tenant.deploy(&document, Some(DSEQ), &terms(), &mut observe).await.unwrap();
    assert_eq!(steps, ["deployment", "order", "bid", "lease", "manifest", "ready"]);
    let lease = provider.lease_of(&tenant, DSEQ).await;
    let view = provider.lease(&tenant, &lease).await;
    assert_eq!((&view["phase"], &view["ready"]), (&"running".into(), &true.into()), "{view}");
    let first = replicas(cluster, &lease).await;
    assert_eq!((first["web"].len(), first["cache"].len()), (2, 1));

    let mut log = Log::open(&tenant, &lease).await;
    log.reach(&["web: line ", "cache: line "]).await;
    commands_run(cluster, &provider, &tenant, &lease).await;
    a_restart_is_noted(&provider, &tenant, &lease, log).await;
    a_crash_is_shown(&provider, &tenant, &lease, &document).await;
    let crashed = replicas(cluster, &lease).await;
    assert_eq!(crashed["web"], first["web"], "the other service was not touched");

    let better = changed(&document, "MODE=first", "MODE=second");
    let mut steps = Vec::new();
    let mut observe = |step| steps.push(word(&step));
    tenant.update(DSEQ, &better, LIMIT, &mut observe).await.unwrap();
    assert_eq!(steps, ["update", "manifest", "ready"]);
    let second = eventually("the replica before is gone", LIMIT, async || {
        let second = replicas(cluster, &lease).await;
        (second["cache"].len() == 1).then_some(second)
    })
    .await;
    assert_eq!(second["web"], first["web"], "the other service was not touched");
    assert_ne!(second["cache"], first["cache"]);
    let said = provider.exec(&tenant, &lease, "cache", &["sh", "-c", "echo $MODE"]).await;
    assert_eq!(said, ("second\n".to_owned(), Some(0)));

    tenant.close(DSEQ, &mut |_| {}).await.unwrap();
    provider.is_gone(&tenant, &lease).await;
    provider.was_permitted_everything().await;
}

/// Over the gateway's websocket: both outputs, the exit code, and the way to another service of the lease.
async fn commands_run(
    cluster: &Cluster,
    provider: &Provider<'_>,
    tenant: &Tenant,
    lease: &LeaseId,
) {
    let both = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    let (said, code) = provider.exec(tenant, lease, "web", &both).await;
    assert!(said.contains("out\n") && said.contains("err\n"), "{said}");
    assert_eq!(code, Some(7));

    if !cluster.node().filters_its_bridge() {
        println!(
            "LEFT OUT: without br_netfilter, pods of one node do not reach each other by a Service"
        );
        return;
    }
    let services: Api<Service> = Api::namespaced(cluster.admin(), &names::namespace(lease));
    let cache = services.get("cache").await.unwrap().spec.unwrap().cluster_ip.unwrap();
    let url = format!("http://{cache}:6379/");
    // A service leads somewhere a little after what it leads to is ready.
    let said = eventually("one service reaches the other", LIMIT, async || {
        let (said, code) = provider.exec(tenant, lease, "web", &["tenant", "get", &url]).await;
        (code == Some(0)).then_some(said)
    })
    .await;
    assert!(said.starts_with("cache-") && said.ends_with(" first\n"), "{said}");
}

/// A container that ends is started again, and whoever follows the log learns of it.
async fn a_restart_is_noted(
    provider: &Provider<'_>,
    tenant: &Tenant,
    lease: &LeaseId,
    mut log: Log,
) {
    // The command ends with the container, in whatever way.
    let exit = ["tenant", "get", "http://127.0.0.1:9898/exit?code=9"];
    provider.exec(tenant, lease, "web", &exit).await;
    log.reach(&["web: restarted: exit code 9"]).await;
    eventually("both replicas are ready again", LIMIT, async || {
        let view = provider.lease(tenant, lease).await;
        (service(&view, "web")["ready"] == 2).then_some(())
    })
    .await;
}

/// An update to an image that crashes: the lease's status names the service, its exit code and how often.
async fn a_crash_is_shown(
    provider: &Provider<'_>,
    tenant: &Tenant,
    lease: &LeaseId,
    document: &str,
) {
    update(tenant, &changed(document, "redis:7-alpine", "redis:broken")).await;
    let expected = "CrashLoopBackOff: the container ended with exit code 3";
    let view = eventually("the crash is shown", LIMIT, async || {
        let view = provider.lease(tenant, lease).await;
        let reason = service(&view, "cache")["reason"].as_str()?;
        reason.starts_with(expected).then_some(view)
    })
    .await;
    assert_eq!(view["phase"], "running", "{view}");
    let web = service(&view, "web");
    assert_eq!((&web["ready"], &web["is_ready"]), (&2.into(), &true.into()), "{view}");
}
