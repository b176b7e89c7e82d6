//! One tenant's life, phase by phase, with a gateway that may die in each: order, lease, manifest, update, close.
//!
//! The tenant does what any client does when a provider does not answer: it asks again. It takes no answer but success and
//! *not yet*, so that a gateway that comes back and refuses what it should take is found.

use std::{collections::BTreeMap, time::Duration};

use lessor::{
    client::{Error, Tenant, token},
    cmd::host,
    domain::{BidState, Coin, Denom, DeploymentId, LeaseId},
    manifest::{self, Compiled},
    wire::{deployment, google::Any, market},
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    points::Place,
    process::Gateway,
    support::eventually,
    world::{LIMIT, World, example},
};

/// The phases of a life, in order. Each ends when the provider has settled what the tenant did.
pub(crate) const PHASES: [&str; 6] = ["start", "order", "lease", "manifest", "update", "close"];
/// Every life has the same deployment, so that ends can be compared.
const DSEQ: u64 = 7;

/// Where the gateway is to die, by phase.
pub(crate) type Deaths = BTreeMap<&'static str, Place>;

/// What a life leaves besides the journals and the file.
pub(crate) struct Lived {
    /// Where the gateway was killed, in order.
    pub(crate) killed: Vec<String>,
    /// How often the last gateway passed each place.
    pub(crate) passed: Vec<String>,
}

/// Lives one life in a new world. When it returns, relay and gateway have ended.
pub(crate) async fn live(world: &mut World, deaths: &Deaths) -> Lived {
    let death = |phase: &str| deaths.get(phase).cloned();
    let mut gateway = Gateway::start(&world.config(), &world.log(), "start", death("start"));
    world.start_relay();
    // The closures below share what they ask.
    let asked = &*world;
    until(&gateway, "the gateway hears the relay", async || {
        let stream = asked.operator("/v1/streams/dev").await?;
        (!stream["heartbeat_at"].is_null()).then_some(())
    })
    .await;

    gateway.phase("order", death("order")).await;
    let tenant = asked.tenant(0);
    let document = compile(&example("web.yaml"));
    let id = create(&tenant, DSEQ, &document).await;
    until(&gateway, "the bid is open", async || {
        (order(asked, &id).await?["phase"] == "open").then_some(())
    })
    .await;

    gateway.phase("lease", death("lease")).await;
    let lease = take_bid(&tenant, &id).await;
    until(&gateway, "the lease is seen", async || {
        (lease_of(asked, &id).await?["phase"] == "awaiting_manifest").then_some(())
    })
    .await;

    gateway.phase("manifest", death("manifest")).await;
    upload(&gateway, &tenant, &lease, &document).await;
    ready(&gateway, asked, &id, &document).await;

    gateway.phase("update", death("update")).await;
    let changed = example("web.yaml").replacen(
        "    image: ",
        "    env:\n      - LESSOR_TEST=changed\n    image: ",
        1,
    );
    let changed = compile(&changed);
    let message = deployment::MsgUpdateDeployment::new(&id, &changed.hash);
    tenant.send("the update", vec![Any::pack(&message)]).await.unwrap();
    upload(&gateway, &tenant, &lease, &changed).await;
    ready(&gateway, asked, &id, &changed).await;

    gateway.phase("close", death("close")).await;
    let message = deployment::MsgCloseDeployment::new(&id);
    tenant.send("the closing", vec![Any::pack(&message)]).await.unwrap();
    released(&gateway, asked, &[id]).await;
    let tip = world.tip().await;
    world.stop_relay_after(tip).await;
    let lived = Lived { killed: gateway.killed(), passed: gateway.passed().await };
    gateway.stop().await;
    lived
}

/// Waits for something while the gateway may die, but not end by itself.
async fn until<T>(gateway: &Gateway, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    eventually(what, LIMIT, async || {
        gateway.check();
        probe().await
    })
    .await
}

pub(crate) fn compile(document: &str) -> Compiled {
    manifest::compile(document, manifest::Dialect::Go).unwrap()
}

pub(crate) async fn create(tenant: &Tenant, dseq: u64, document: &Compiled) -> DeploymentId {
    let id = tenant.deployment(dseq);
    let deposit = Coin { denom: Denom::uact(), amount: 5_000_000 };
    let message =
        deployment::MsgCreateDeployment::new(&id, &document.groups, &document.hash, &deposit, None);
    tenant.send("the deployment", vec![Any::pack(&message)]).await.unwrap();
    id
}

/// The provider's row of the only order of a deployment.
pub(crate) async fn order(world: &World, id: &DeploymentId) -> Option<Value> {
    let page = world.operator("/v1/orders?limit=500").await?;
    of_deployment(&page, id)
}

/// The provider's row of the only lease of a deployment.
pub(crate) async fn lease_of(world: &World, id: &DeploymentId) -> Option<Value> {
    let page = world.operator("/v1/leases?limit=500").await?;
    of_deployment(&page, id)
}

fn of_deployment(page: &Value, id: &DeploymentId) -> Option<Value> {
    let prefix = format!("{id}/");
    let rows = page["items"].as_array().expect("a page has items");
    rows.iter().find(|row| row["id"].as_str().is_some_and(|row| row.starts_with(&prefix))).cloned()
}

/// Takes the only bid on a deployment, once there is one.
pub(crate) async fn take_bid(tenant: &Tenant, id: &DeploymentId) -> LeaseId {
    let bid = eventually("there is a bid", LIMIT, async || {
        let bids = tenant.node.bids(id).await.unwrap();
        assert!(bids.len() <= 1, "{bids:?}");
        bids.into_iter().find(|bid| bid.state == BidState::Open)
    })
    .await;
    let message = market::MsgCreateLease::new(&bid.id);
    tenant.send("the lease", vec![Any::pack(&message)]).await.unwrap();
    bid.id.lease()
}

/// Uploads a manifest until it is taken.
async fn upload(gateway: &Gateway, tenant: &Tenant, lease: &LeaseId, document: &Compiled) {
    let give_up = Instant::now() + LIMIT;
    while let Err(error) = try_upload(tenant, lease, document).await {
        gateway.check();
        assert!(Instant::now() < give_up, "the manifest is not taken: {error}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Uploads a manifest once. The lease may not be seen yet, and the gateway may be away; anything else is a fault.
pub(crate) async fn try_upload(
    tenant: &Tenant,
    lease: &LeaseId,
    document: &Compiled,
) -> Result<(), Error> {
    let token = token::sign(&tenant.key, &lease.provider, host::now());
    let body = document.manifest.to_json();
    match tenant.gateway.put_manifest(lease.order.dseq(), body, &token).await {
        Err(error @ (Error::Unreachable { .. } | Error::Gateway { status: 404 | 503, .. })) => {
            Err(error)
        }
        Err(error) => panic!("the manifest is refused: {error}"),
        Ok(()) => Ok(()),
    }
}

async fn ready(gateway: &Gateway, world: &World, id: &DeploymentId, document: &Compiled) {
    until(gateway, "everything is ready", async || is_ready(world, id, document).await).await;
}

pub(crate) async fn is_ready(world: &World, id: &DeploymentId, document: &Compiled) -> Option<()> {
    let hash = data_encoding::HEXLOWER.encode(&document.hash);
    let lease = lease_of(world, id).await?;
    (lease["phase"] == "running" && lease["manifest_hash"] == hash && lease["ready"] == true)
        .then_some(())
}

async fn released(gateway: &Gateway, world: &World, ids: &[DeploymentId]) {
    until(gateway, "everything is released", async || is_released(world, ids).await).await;
}

/// Whether the provider says that nothing is left of these deployments, and the cluster too.
pub(crate) async fn is_released(world: &World, ids: &[DeploymentId]) -> Option<()> {
    for id in ids {
        if lease_of(world, id).await?["phase"] != "gone" {
            return None;
        }
    }
    world.cluster("/leases").await.as_array().unwrap().is_empty().then_some(())
}
