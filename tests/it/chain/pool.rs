//! Several nodes as one, each behind a proxy with faults: reads stay right, and the node that is left aside is named.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use lessor::{
    chain::{Endpoint, Node, NodeSettings, Nodes},
    devnet::genesis::CHAIN_ID,
    domain::Height,
    provider::port::{
        Broadcast, Chain, ChainErrorKind, Clock, Entropy, Indexer, NodeFault, NodeHealth,
    },
    wire::{google::Any, rpc::Call, rpc::answer::Status, tx},
};
use tokio::time::Instant;

use crate::{
    devnet::world::{PROVIDER, TENANT, World, address, now, send},
    faults::{Fault, Proxy, Rule},
    support::eventually,
};

/// A clock that tests move.
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct Fixed;

impl Entropy for Fixed {
    fn bits(&self) -> u64 {
        7
    }
}

/// A chain behind `proxies`, and all of them as one.
struct Pool {
    world: World,
    proxies: Vec<Proxy>,
    nodes: Nodes,
    clock: Arc<Hand>,
}

impl Pool {
    async fn of(count: usize) -> Self {
        let world = World::start().await;
        world.blocks(30).await;
        let mut proxies = Vec::new();
        let mut endpoints: Vec<(String, Arc<dyn Endpoint>)> = Vec::new();
        for at in 0..count {
            let proxy = Proxy::before(&world.running.rpc_url()).await;
            let settings = NodeSettings {
                timeout: Duration::from_secs(3),
                ..NodeSettings::new(proxy.url.as_str()).on_chain(CHAIN_ID)
            };
            endpoints.push((format!("node-{at}"), Arc::new(Node::new(settings).unwrap())));
            proxies.push(proxy);
        }
        let clock = Arc::new(Hand(Mutex::new(now())));
        let nodes = Nodes::new(endpoints, clock.clone(), Arc::new(Fixed));
        Self { world, proxies, nodes, clock }
    }

    /// Both nodes are known and well.
    async fn known() -> Self {
        let pool = Self::of(2).await;
        pool.sequence(Height(0)).await.unwrap();
        pool.settled(|nodes| nodes.iter().all(|node| node.height.is_some())).await;
        pool
    }

    fn pass(&self, seconds: i64) {
        let mut now = self.clock.0.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }

    /// Reads something; the height of the state that it was read of.
    async fn sequence(&self, at_least: Height) -> Result<Height, ChainErrorKind> {
        let seen = self.nodes.account(&address(PROVIDER), at_least).await;
        let seen = seen.map_err(|error| error.kind)?;
        assert_eq!(seen.value.unwrap().number, u64::from(PROVIDER));
        Ok(seen.at)
    }

    async fn tip(&self) -> Height {
        let status: Status = self.world.call(&Call::Status).await.unwrap();
        Height(status.sync_info.latest_block_height)
    }

    fn fault(&self, at: usize) -> Option<NodeFault> {
        self.nodes.health()[at].fault
    }

    /// Waits until what is known of the nodes is as wanted.
    async fn settled(&self, wanted: impl Fn(&[NodeHealth]) -> bool) {
        eventually("what is known of the nodes", Duration::from_secs(10), async || {
            wanted(&self.nodes.health()).then_some(())
        })
        .await;
    }

    async fn transfer(&self) -> Vec<u8> {
        let message = send(&address(TENANT), &address(PROVIDER), 1);
        self.world.signed(TENANT, vec![Any::pack(&message)]).await
    }
}

#[tokio::test]
async fn a_read_goes_on_with_another_node_and_the_one_that_failed_is_left_aside_and_forgiven() {
    for fault in [Fault::Reset, Fault::Truncated, Fault::Gateway] {
        let pool = Pool::known().await;
        pool.proxies[0].set([Rule::always(fault.clone())]);
        assert_eq!(pool.sequence(Height(1)).await, Ok(pool.tip().await), "{fault:?}");
        assert_eq!(pool.fault(0), Some(NodeFault::NoAnswer), "{fault:?}");
        assert_eq!(pool.fault(1), None);
        let health = &pool.nodes.health()[0];
        assert!(health.last_error.is_some() && health.aside_since == Some(now()), "{health:?}");

        // It is not asked again before its time has come.
        let calls = pool.proxies[0].calls();
        pool.sequence(Height(1)).await.unwrap();
        assert_eq!(pool.proxies[0].calls(), calls);
        pool.proxies[0].heal();
        pool.pass(2);
        pool.sequence(Height(1)).await.unwrap();
        pool.settled(|nodes| nodes[0].fault.is_none()).await;
    }
}

#[tokio::test]
async fn a_half_open_node_is_waited_for_only_a_little_and_then_no_more() {
    let pool = Pool::known().await;
    pool.proxies[0].set([Rule::always(Fault::HalfOpen)]);
    for _ in 0..3 {
        let began = Instant::now();
        pool.sequence(Height(1)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "longer than the node's own limit");
    }
    pool.settled(|nodes| nodes[0].fault.is_some()).await;
    assert!(matches!(pool.fault(0), Some(NodeFault::Slow | NodeFault::NoAnswer)));
    let reads = "/cosmos.auth.v1beta1.Query/Account";
    let calls = pool.proxies[0].asked(reads);
    pool.sequence(Height(1)).await.unwrap();
    assert_eq!(pool.proxies[0].asked(reads), calls);
}

#[tokio::test]
async fn the_quicker_node_is_asked_first_once_that_is_known() {
    let pool = Pool::of(2).await;
    pool.proxies[0].set([Rule::always(Fault::Latency(Duration::from_millis(400)))]);
    for _ in 0..6 {
        pool.sequence(Height(0)).await.unwrap();
    }
    let reads = "/cosmos.auth.v1beta1.Query/Account";
    let calls = pool.proxies[0].asked(reads);
    for _ in 0..6 {
        pool.sequence(Height(0)).await.unwrap();
    }
    // A busy machine may make the quicker one slow for once.
    assert!(pool.proxies[0].asked(reads) < calls + 6);
    let health = pool.nodes.health();
    assert!(health[1].latency_us < Some(400_000), "{health:?}");
}

#[tokio::test]
async fn no_answer_comes_from_behind_the_evidence_and_the_lagging_node_is_named() {
    let pool = Pool::known().await;
    pool.proxies[0].set([Rule::always(Fault::Stale(20))]);
    let tip = pool.tip().await;
    assert_eq!(pool.sequence(tip).await, Ok(tip));
    pool.pass(61);
    pool.sequence(tip).await.unwrap();
    pool.settled(|nodes| nodes[0].fault == Some(NodeFault::Lagging)).await;
    assert_eq!(pool.nodes.health()[0].lag, 20);

    // When all are behind there is no answer at all.
    pool.proxies[1].set([Rule::always(Fault::Stale(5))]);
    assert_eq!(pool.sequence(tip).await, Err(ChainErrorKind::Behind));
    // It is known how far the chain is, also to who has no evidence of his own.
    assert_eq!(pool.sequence(Height(0)).await, Err(ChainErrorKind::Behind));
    assert!(pool.nodes.tip().await.is_err());
    pool.proxies[0].heal();
    assert_eq!(pool.sequence(tip).await, Ok(tip));
    assert_eq!(pool.fault(0), None);
}

#[tokio::test]
async fn a_node_of_another_chain_is_not_believed_however_well_it_answers() {
    let pool = Pool::of(2).await;
    pool.proxies[0].set([Rule::on("status", Fault::WrongChain("akashnet-1"))]);
    pool.sequence(Height(0)).await.unwrap();
    assert_eq!(pool.fault(0), Some(NodeFault::OtherChain));
    assert_eq!(pool.proxies[1].asked("/cosmos.auth.v1beta1.Query/Account"), 1);
    let error = pool.nodes.health()[0].last_error.clone().unwrap();
    assert!(error.contains("akashnet-1"), "{error}");

    // One that was right and is on another chain now is found when it is looked at again.
    let pool = Pool::known().await;
    pool.proxies[1].set([Rule::on("status", Fault::WrongChain("akashnet-1"))]);
    pool.pass(61);
    pool.sequence(Height(0)).await.unwrap();
    pool.settled(|nodes| nodes[1].fault == Some(NodeFault::OtherChain)).await;
    // And it is not asked when the other one fails either, or its answer does not count.
    pool.proxies[0].set([Rule::always(Fault::Reset)]);
    let error = pool.nodes.account(&address(PROVIDER), Height(0)).await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::Unavailable);
    assert!(error.detail.contains("node-0") && error.detail.contains("node-1"), "{error}");
}

#[tokio::test]
async fn a_node_that_still_fetches_old_blocks_does_not_say_how_far_the_chain_is() {
    let pool = Pool::of(2).await;
    pool.proxies[0].set([Rule::on("status", Fault::CatchingUp)]);
    let tip = pool.nodes.tip().await.unwrap();
    assert!(!tip.catching_up);
    assert_eq!(pool.fault(0), Some(NodeFault::CatchingUp));
}

#[tokio::test]
async fn a_transaction_whose_answer_is_lost_goes_to_another_node_and_into_one_block() {
    for fault in [Fault::LoseAnswer, Fault::Reset, Fault::HalfOpen] {
        let pool = Pool::known().await;
        pool.proxies[0].set([Rule::on("broadcast_tx_sync", fault.clone())]);
        let bytes = pool.transfer().await;
        let answer = pool.nodes.broadcast(&bytes).await.unwrap();
        match fault {
            Fault::LoseAnswer => assert_eq!(answer, Broadcast::Known),
            _ => assert_eq!(answer, Broadcast::Accepted, "{fault:?}"),
        }
        pool.world.blocks(1).await;
        let hash = tx::hash(&bytes);
        let found = pool.nodes.transaction(&hash).await.unwrap().unwrap();
        assert_eq!(found.failure, None);
        let handed_over = pool.proxies.iter().flat_map(Proxy::transactions).collect::<Vec<_>>();
        assert_eq!(handed_over, [hash.clone(), hash]);
    }
}

#[tokio::test]
async fn a_full_mempool_and_a_fee_that_one_node_refuses_are_another_nodes_to_take() {
    let low = Fault::refused("sdk", 13, "insufficient fees; got: 1uakt required: 2uakt");
    for fault in [Fault::mempool_full(), low] {
        let pool = Pool::known().await;
        pool.proxies[0].set([Rule::on("broadcast_tx_sync", fault)]);
        let bytes = pool.transfer().await;
        assert_eq!(pool.nodes.broadcast(&bytes).await.unwrap(), Broadcast::Accepted);
    }
}

#[tokio::test]
async fn a_refusal_counts_only_when_no_node_may_have_taken_the_transaction() {
    let pool = Pool::known().await;
    let refusal = || Rule::on("broadcast_tx_sync", Fault::refused("sdk", 4, "unauthorized"));
    pool.proxies[0].set([Rule::on("broadcast_tx_sync", Fault::LoseAnswer)]);
    pool.proxies[1].set([refusal()]);
    let bytes = pool.transfer().await;
    assert!(pool.nodes.broadcast(&bytes).await.is_err(), "it may be in the first node's mempool");
    pool.proxies[0].set([refusal()]);
    pool.pass(5);
    assert!(matches!(pool.nodes.broadcast(&bytes).await, Ok(Broadcast::Refused(_))));
}

#[tokio::test]
async fn what_was_sent_is_simulated_next_by_the_node_that_has_it() {
    let pool = Pool::known().await;
    pool.proxies[0].set([Rule::on("broadcast_tx_sync", Fault::mempool_full()).times(1)]);
    let bytes = pool.transfer().await;
    pool.nodes.broadcast(&bytes).await.unwrap();
    let simulations = "/cosmos.tx.v1beta1.Service/Simulate";
    // The next sequence is right only where the transaction before waits.
    let unordered = pool.nodes.simulate(&bytes).await.unwrap_err();
    assert_eq!(unordered.kind, ChainErrorKind::Refused);
    assert_eq!([0, 1].map(|at| pool.proxies[at].asked(simulations)), [0, 1]);
}

#[tokio::test]
async fn a_transaction_that_one_node_does_not_know_is_looked_for_on_the_others() {
    let pool = Pool::known().await;
    let bytes = pool.transfer().await;
    pool.nodes.broadcast(&bytes).await.unwrap();
    pool.world.blocks(1).await;
    let hash = tx::hash(&bytes);
    pool.proxies[0].set([Rule::on("tx", Fault::Error("tx (AB) not found, err: <nil>"))]);
    assert!(pool.nodes.transaction(&hash).await.unwrap().is_some());
    assert_eq!(pool.nodes.transaction(&"0".repeat(64)).await.unwrap(), None);
}

#[tokio::test]
async fn missed_blocks_come_from_whichever_node_has_them() {
    let pool = Pool::known().await;
    pool.proxies[0].set([Rule::on("block_results", Fault::Reset)]);
    let missed = pool.nodes.blocks("main", Height(5), Height(9)).await.unwrap();
    assert!(missed.complete && missed.through.unwrap().height == Height(9));
}

#[tokio::test]
async fn one_node_alone_is_asked_once_and_its_own_error_comes_back() {
    let pool = Pool::of(1).await;
    pool.sequence(Height(0)).await.unwrap();
    assert_eq!(pool.proxies[0].calls(), 1);
    pool.proxies[0].set([Rule::always(Fault::Stale(2))]);
    let tip = pool.tip().await;
    assert_eq!(pool.sequence(tip).await, Err(ChainErrorKind::Behind));
    assert_eq!(pool.sequence(Height(0)).await, Ok(Height(tip.0 - 2)));
    pool.proxies[0].set([Rule::always(Fault::Reset)]);
    assert_eq!(pool.sequence(Height(0)).await, Err(ChainErrorKind::Unavailable));
    pool.proxies[0].heal();
    // However often it failed, there is no other to wait for.
    assert_eq!(pool.sequence(Height(0)).await, Ok(tip));
}

#[tokio::test]
async fn what_a_node_says_to_a_transaction_is_told_apart_behind_the_proxy_too() {
    let pool = Pool::of(1).await;
    let (proxy, nodes) = (&pool.proxies[0], &pool.nodes);
    let bytes = pool.transfer().await;
    let broadcast = "broadcast_tx_sync";
    proxy.set([Rule::on(broadcast, Fault::wrong_sequence(9, 8))]);
    assert_eq!(nodes.broadcast(&bytes).await.unwrap(), Broadcast::Known);
    proxy.set([Rule::on(broadcast, Fault::wrong_sequence(8, 9))]);
    assert!(matches!(nodes.broadcast(&bytes).await, Ok(Broadcast::Busy(_))));
    proxy.set([Rule::on(broadcast, Fault::in_cache())]);
    assert_eq!(nodes.broadcast(&bytes).await.unwrap(), Broadcast::Known);
    proxy.set([Rule::on_query("Simulate", Fault::simulation_fails("recovered: undefined"))]);
    let failed = nodes.simulate(&bytes).await.unwrap_err();
    assert_eq!(
        (failed.kind, failed.detail.as_str()),
        (ChainErrorKind::Refused, "recovered: undefined")
    );
    // Taken, and in no block ever.
    proxy.set([Rule::on(broadcast, Fault::Swallow)]);
    assert_eq!(nodes.broadcast(&bytes).await.unwrap(), Broadcast::Accepted);
    pool.world.blocks(2).await;
    assert_eq!(nodes.transaction(&tx::hash(&bytes)).await.unwrap(), None);
}
