//! A node that is lost: its kubelet says nothing any more.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt as _, api::ListParams};
use lessor::{
    client::{Error, Terms},
    cluster::kubernetes::names,
    cmd::host,
};
use std::time::Duration;

use super::NODE;
use crate::{
    cluster::{Ring, shared},
    provider::{LIMIT, Provider, changed, example, terms},
    support::eventually,
};

const DSEQ: u64 = 704;
/// What comes while the node is lost.
const NEXT: u64 = 705;

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_there_stays_and_is_explained_and_nothing_new_is_placed() {
    let Some(cluster) = shared(Ring::Node) else { return };
    // Nobody else may need the node meanwhile.
    let _turn = NODE.write().await;
    cluster.node().tag("registry.test/tenant:1", "docker.io/library/nginx:1.27-alpine");
    let provider = Provider::start(cluster).await;
    let tenant = provider.tenant(0);
    let document = changed(&example("web.yaml"), "    expose:", "    env: [PORT=80]\n    expose:");
    tenant.deploy(&document, Some(DSEQ), &terms(), &mut |_| {}).await.unwrap();
    let lease = provider.lease_of(&tenant, DSEQ).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin(), &names::namespace(&lease));
    let before = deployments.get("web").await.unwrap();

    let frozen = cluster.node().freeze_kubelet();
    let view = eventually("the lost node is told", LIMIT, async || {
        let view = provider.lease(&tenant, &lease).await;
        let reason = view["services"][0]["reason"].as_str()?;
        reason.starts_with("NodeNotReady: node node1").then_some(view)
    })
    .await;
    println!("{}", view["services"][0]["reason"]);
    assert_eq!((&view["state"], &view["phase"]), (&"active".into(), &"running".into()), "{view}");
    let excluded = eventually("the inventory leaves the node out", LIMIT, async || {
        let inventory = provider.operator("/v1/inventory").await?;
        inventory["nodes"][0]["excluded"].as_str().map(str::to_owned)
    })
    .await;
    println!("{excluded}");
    let terms = Terms { bid_wait: Duration::from_secs(5), ..terms() };
    let refused = tenant.deploy(&document, Some(NEXT), &terms, &mut |_| {}).await.unwrap_err();
    let Error::NoBid { why: Some(why), .. } = refused else { panic!("{refused}") };
    assert!(why.contains("not ready"), "{why}");
    tenant.close(NEXT, &mut |_| {}).await.unwrap();

    let seen = host::now();
    drop(frozen);
    provider.offers("the node takes workloads again", seen).await;
    eventually("the service is ready again", LIMIT, async || {
        let view = provider.lease(&tenant, &lease).await;
        (view["ready"] == true).then_some(())
    })
    .await;
    let after = deployments.get("web").await.unwrap();
    assert_eq!(after.uid(), before.uid(), "nothing was torn down");
    assert_eq!(after.metadata.generation, before.metadata.generation, "nothing was written");
    assert_eq!(deployments.list(&ListParams::default()).await.unwrap().items.len(), 1);
    tenant.close(DSEQ, &mut |_| {}).await.unwrap();
    provider.is_gone(&tenant, &lease).await;
}
