//! The host's clock jumps by an hour and back. Deliveries are refused meanwhile and come again; deadlines follow block
//! time, so none fires; and what was claimed or put off by a wrong clock is not forgotten for an hour.

use lessor::{
    devnet::node::journal,
    domain::{BidState, DeploymentId, Height},
    wire::{deployment, google::Any},
};

use crate::{
    judge::judge,
    life::{compile, create, is_ready, is_released, lease_of, order, take_bid, try_upload},
    points::{Place, Side},
    process::Gateway,
    served::ByHand,
    support::eventually,
    world::{LIMIT, World, example},
};

const HOUR: i64 = 3_600;
/// At 50 ms a block: three seconds of a wrong clock.
const BLOCKS: u64 = 60;

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"the host's clock\""]
async fn an_hour_forth_and_back_refuses_deliveries_and_fires_no_deadline() {
    let mut world = World::new("");
    let mut gateway = Gateway::start(&world.config(), &world.log(), "clock", None);
    world.start_relay();
    let tenant = world.tenant(0);
    let document = compile(&example("web.yaml"));
    // One runs; one waits for its manifest and one for a lease, each of them at most for five minutes.
    let running = create(&tenant, 7, &document).await;
    let waiting = create(&tenant, 8, &document).await;
    let open = create(&tenant, 9, &document).await;
    let mut leases = vec![take_bid(&tenant, &running).await, take_bid(&tenant, &waiting).await];
    upload(&world, &leases[0]).await;
    eventually("it is ready", LIMIT, async || is_ready(&world, &running, &document).await).await;
    let mut ids = vec![running, waiting.clone(), open.clone()];

    for (dseq, ahead, dies) in [(10, HOUR, false), (11, -HOUR, false), (12, HOUR, true)] {
        let place = Place { name: "Store.commit".to_owned(), side: Side::Before, occurrence: 1 };
        gateway.phase("clock", dies.then_some(place)).await;
        gateway.set_clock_ahead(ahead).await;
        if dies {
            // What it had claimed is claimed until an hour from now, and the next process has the true time.
            eventually("it dies over a claim", LIMIT, async || {
                gateway.check();
                (!gateway.killed().is_empty()).then_some(())
            })
            .await;
        } else {
            world.relay_fails("answer 401").await;
            let refused = ByHand::new(&world, &format!("ahead-{ahead}")).await.send(&world).await;
            let refused = refused.expect("an answer");
            assert_eq!(refused.status, 401, "{refused:?}");
            assert_eq!(refused.body["code"], "outside_time_window", "{refused:?}");
        }
        let new = create(&tenant, dseq, &document).await;
        let passed = Height(world.tip().await.0 + BLOCKS);
        eventually("blocks pass", LIMIT, async || (world.tip().await >= passed).then_some(()))
            .await;
        gateway.set_clock_ahead(0).await;
        nothing_was_closed(&world, &waiting, &open).await;
        leases.push(take_bid(&tenant, &new).await);
        ids.push(new);
    }

    leases.push(take_bid(&tenant, &open).await);
    for lease in &leases[1..] {
        upload(&world, lease).await;
    }
    for id in &ids {
        eventually("it is ready", LIMIT, async || is_ready(&world, id, &document).await).await;
    }
    for id in &ids {
        let message = deployment::MsgCloseDeployment::new(id);
        tenant.send("the closing", vec![Any::pack(&message)]).await.unwrap();
    }
    eventually("everything is released", LIMIT, async || {
        gateway.check();
        is_released(&world, &ids).await
    })
    .await;
    let tip = world.tip().await;
    world.stop_relay_after(tip).await;
    gateway.stop().await;
    judge(&world).await;
}

async fn upload(world: &World, lease: &lessor::domain::LeaseId) {
    let (tenant, document) = (world.tenant(0), compile(&example("web.yaml")));
    eventually("the manifest is taken", LIMIT, async || {
        try_upload(&tenant, lease, &document).await.ok()
    })
    .await;
}

/// The provider closed nothing, on chain and in its rows.
async fn nothing_was_closed(world: &World, waiting: &DeploymentId, open: &DeploymentId) {
    for block in journal::read(&world.chain_folder()).unwrap() {
        for message in block.txs.iter().flat_map(|transaction| &transaction.messages) {
            let closes = ["MsgCloseBid", "MsgCloseLease"];
            let closed = closes.iter().any(|kind| message.type_url.ends_with(kind));
            assert!(!closed, "closed early: {message:?}");
        }
    }
    let lease =
        eventually("the lease is known", LIMIT, async || lease_of(world, waiting).await).await;
    assert_eq!(lease["phase"], "awaiting_manifest", "{lease}");
    let order = eventually("the order is known", LIMIT, async || order(world, open).await).await;
    assert_eq!(order["phase"], "open", "{order}");
    let bids = world.tenant(0).node.bids(open).await.unwrap();
    assert!(bids.iter().all(|bid| bid.state == BidState::Open), "{bids:?}");
}
