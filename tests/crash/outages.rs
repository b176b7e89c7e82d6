//! Outages: the node, or the way to it, or the provider itself is away for a while. Nothing that was asked for meanwhile
//! stays unanswered, and no bid is closed by an end.
//!
//! Each of these left orders without a bid, or workloads undeployed, at the daemon that this gateway replaces.

use std::time::Duration;

use lessor::{
    client::Tenant,
    domain::{BidState, DeploymentId, Height, LeaseId, LeaseState},
    manifest::Compiled,
    wire::{deployment, google::Any},
};

use crate::{
    judge::judge,
    life::{compile, create, is_ready, is_released, lease_of, take_bid, try_upload},
    served::Served,
    support::eventually,
    wire::Wire,
    world::{LIMIT, World, example},
};

/// Long enough that two of them are more than a moment.
const BLOCK: Duration = Duration::from_secs(1);
/// So long are node and provider apart.
const AWAY: u64 = 5;
/// So soon is an order bid on once they are together again.
const SOON: u64 = 2;

struct Outage {
    world: World,
    wire: Wire,
    served: Served,
    tenant: Tenant,
    document: Compiled,
    ids: Vec<DeploymentId>,
}

impl Outage {
    /// A provider that bids, behind a wire.
    async fn begin() -> Self {
        let mut world = World::paced(BLOCK);
        let wire = Wire::to(&world.node).await;
        world.reach_node_at(&wire.url());
        let served = Served::up(&world).await;
        world.start_relay();
        let tenant = world.tenant(0);
        let document = compile(&example("web.yaml"));
        let mut outage = Self { world, wire, served, tenant, document, ids: Vec::new() };
        let first = outage.order().await;
        outage.is_bid_on(&first).await;
        outage
    }

    /// The tenant, who has a node of its own, asks for one deployment more.
    async fn order(&mut self) -> DeploymentId {
        let dseq = 7 + self.ids.len() as u64;
        let id = create(&self.tenant, dseq, &self.document).await;
        self.ids.push(id.clone());
        id
    }

    /// Waits for the only bid on a deployment. Returns the block that it is in.
    async fn is_bid_on(&self, id: &DeploymentId) -> Height {
        eventually("there is a bid", LIMIT, async || {
            let bids = self.tenant.node.bids(id).await.unwrap();
            assert!(bids.len() <= 1, "{bids:?}");
            bids.first().map(|bid| bid.created_at)
        })
        .await
    }

    async fn is_soon_bid_on(&self, id: &DeploymentId, back: Height) {
        let at = self.is_bid_on(id).await;
        println!("bid on {} blocks after the way was free", at.0.saturating_sub(back.0));
        assert!(at.0 <= back.0 + SOON, "bid on in block {at}, and the way was free at {back}");
    }

    async fn blocks_pass(&self, count: u64) {
        let then = self.world.tip().await.0 + count;
        eventually("blocks pass", LIMIT, async || (self.world.tip().await.0 >= then).then_some(()))
            .await;
    }

    async fn upload(&self, lease: &LeaseId) {
        let id = lease.deployment();
        eventually("the manifest is taken", LIMIT, async || {
            try_upload(&self.tenant, lease, &self.document).await.ok()
        })
        .await;
        let ready = async || is_ready(&self.world, id, &self.document).await;
        eventually("it is ready", LIMIT, ready).await;
    }

    async fn runs(&mut self) -> LeaseId {
        let id = self.order().await;
        let lease = take_bid(&self.tenant, &id).await;
        self.upload(&lease).await;
        lease
    }

    async fn close(&self, id: &DeploymentId) {
        let message = deployment::MsgCloseDeployment::new(id);
        let closed = self.tenant.send("the closing", vec![Any::pack(&message)]).await;
        closed.unwrap_or_else(|error| panic!("{id}: {error}"));
    }

    /// Everything that was asked for ends as it does without an outage.
    async fn end(mut self) {
        let mut open = Vec::new();
        for id in &self.ids {
            let leases = self.tenant.node.leases(id).await.unwrap();
            if leases.is_empty() {
                take_bid(&self.tenant, id).await;
            }
            if leases.iter().all(|lease| lease.state != LeaseState::Closed) {
                eventually("the lease is seen", LIMIT, async || lease_of(&self.world, id).await)
                    .await;
                open.push(id);
            }
        }
        // The chain refuses to close what was settled in the same block, as it was when the lease was made.
        self.blocks_pass(1).await;
        for id in open {
            self.close(id).await;
        }
        eventually("everything is released", LIMIT, async || {
            self.served.check(&self.world);
            is_released(&self.world, &self.ids).await
        })
        .await;
        let tip = self.world.tip().await;
        self.world.stop_relay_after(tip).await;
        self.served.ask_to_end();
        self.served.ends().await;
        judge(&self.world).await;
    }
}

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"outages\""]
async fn an_order_made_while_the_node_refuses_is_bid_on_soon_after() {
    let mut outage = Outage::begin().await;
    outage.wire.refuse();
    let meanwhile = outage.order().await;
    outage.blocks_pass(AWAY).await;
    let back = outage.world.tip().await;
    outage.wire.accept().await;
    outage.is_soon_bid_on(&meanwhile, back).await;
    outage.end().await;
}

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"outages\""]
async fn an_order_made_while_every_connection_is_frozen_is_bid_on_soon_after() {
    let mut outage = Outage::begin().await;
    outage.wire.freeze();
    let meanwhile = outage.order().await;
    outage.blocks_pass(AWAY).await;
    let back = outage.world.tip().await;
    outage.wire.thaw();
    outage.is_soon_bid_on(&meanwhile, back).await;
    outage.end().await;
}

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"outages\""]
async fn a_node_that_was_stopped_and_goes_on_is_followed_again() {
    /// Of the host's time: the chain stands still.
    const STOPPED: Duration = Duration::from_secs(20);
    let mut outage = Outage::begin().await;
    let before = outage.world.tip().await;
    outage.world.signal_node("STOP");
    // Nothing changes that could be waited for: that time passes is what is tried.
    tokio::time::sleep(STOPPED).await;
    outage.world.signal_node("CONT");
    let new = outage.order().await;
    let back = outage.world.tip().await;
    assert!(back > before);
    outage.is_soon_bid_on(&new, back).await;
    outage.end().await;
}

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"outages\""]
async fn a_node_that_was_restarted_is_followed_again() {
    let mut outage = Outage::begin().await;
    outage.world.stop_node().await;
    outage.world.start_node();
    let new = outage.order().await;
    let back = outage.world.tip().await;
    outage.is_soon_bid_on(&new, back).await;
    outage.end().await;
}

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"outages\""]
async fn what_happens_while_the_provider_is_away_is_done_when_it_is_back() {
    let mut outage = Outage::begin().await;
    let closed = outage.runs().await;
    let won = outage.order().await;
    outage.is_bid_on(&won).await;

    outage.served.ask_to_end();
    outage.served.ends().await;
    let ordered = outage.order().await;
    let won = take_bid(&outage.tenant, &won).await;
    outage.close(closed.deployment()).await;
    outage.blocks_pass(AWAY).await;

    outage.served = Served::up(&outage.world).await;
    outage.is_bid_on(&ordered).await;
    outage.upload(&won).await;
    let gone = [closed.deployment().clone()];
    eventually("the closed lease's workload is gone", LIMIT, async || {
        (lease_of(&outage.world, &gone[0]).await?["phase"] == "gone").then_some(())
    })
    .await;
    outage.end().await;
}

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"outages\""]
async fn a_provider_that_is_asked_to_end_leaves_its_bids_open() {
    let mut outage = Outage::begin().await;
    let id = outage.ids[0].clone();
    outage.served.ask_to_end();
    outage.served.ends().await;
    outage.blocks_pass(AWAY).await;
    let bids = outage.tenant.node.bids(&id).await.unwrap();
    assert!(matches!(&bids[..], [bid] if bid.state == BidState::Open), "{bids:?}");
    outage.served = Served::up(&outage.world).await;
    let lease = take_bid(&outage.tenant, &id).await;
    outage.upload(&lease).await;
    outage.end().await;
}
