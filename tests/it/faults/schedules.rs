//! A provider that bids while the way to its node does everything that networks and nodes do to it, drawn from a seed. Over a
//! real node's protocol and in real time, where [`crate::provider`] has two hundred orders in virtual time.
//!
//! `LESSOR_SIM_SEED=n` runs one schedule, `LESSOR_WIRE_RUNS=n` so many of them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream};
use lessor::{
    client::Tenant,
    cmd::{dev, devnet as world},
    domain::{BidState, Coin, Denom, DeploymentId, Height},
    manifest::{Compiled, Dialect, compile},
    wire::{deployment, failure::Failure, google::Any},
};

use super::{Fault, Proxy, Rule};
use crate::{
    provider::lives::{Dice, number},
    quick::{LIMIT, example, options, tenant},
    support::eventually,
};

/// Schedules of an ordinary run; `tests/run` has twenty of them.
const RUNS: u64 = 2;
/// Worlds that run side by side: most of their time is spent waiting.
const AT_ONCE: usize = 8;
/// How often the faults change, and how many orders come with each change.
const CHANGES: u64 = 3;
const ORDERS: u64 = 2;
/// How long after its time-out a transaction that never came is given up, in seconds of block time.
const TTL_S: u32 = 4;

/// One or two faults of the way to the node, now here and now there.
fn rules(dice: &mut Dice) -> Vec<Rule> {
    const SEND: &str = "broadcast_tx_sync";
    let mut one = || {
        let times = 1 + usize::try_from(dice.below(4)).unwrap();
        match dice.below(15) {
            0 => Rule::always(Fault::Latency(Duration::from_millis(30 + dice.below(300)))),
            1 => Rule::always(Fault::Reset).times(times),
            2 => Rule::always(Fault::HalfOpen).times(times),
            3 => Rule::always(Fault::Truncated).times(times),
            4 => Rule::always(Fault::Gateway).times(2 * times),
            5 => Rule::always(Fault::Stale(1 + dice.below(8))),
            6 => Rule::on("status", Fault::WrongChain("elsewhere-1")).times(times),
            7 => Rule::on("status", Fault::CatchingUp).times(times),
            8 => Rule::on(SEND, Fault::wrong_sequence(7, 3)).times(times),
            9 => Rule::on(SEND, Fault::wrong_sequence(3, 7)).times(times),
            10 => Rule::on(SEND, Fault::mempool_full()).times(times),
            11 => Rule::on(SEND, Fault::in_cache()).times(times),
            12 => Rule::on_query(
                "Simulate",
                Fault::simulation_fails(
                    "account sequence mismatch, expected 5, got 4: incorrect account sequence",
                ),
            )
            .times(times),
            13 => Rule::on(SEND, Fault::Swallow).times(times),
            _ => Rule::on(SEND, Fault::LoseAnswer).times(times),
        }
    };
    let first = one();
    let second = one();
    vec![first, second]
}

/// A provider behind a proxy, and a tenant with a node of its own.
struct World {
    dev: dev::Dev,
    proxy: Proxy,
    tenant: Tenant,
    document: Compiled,
    ids: Vec<DeploymentId>,
    closed: BTreeSet<DeploymentId>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path(), None, true);
        options.world.block_interval = Duration::from_millis(100);
        options.settings.chain.transaction_ttl_s = TTL_S;
        let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let chain = folder.path().join("devnet");
        let devnet = world::start(&chain, anywhere, options.world.clone()).await.unwrap();
        let proxy = Proxy::before(&devnet.rpc_url()).await;
        options.place.node = Some(proxy.url.clone());
        let dev = dev::Dev::start_in(devnet, options).await.unwrap();
        let tenant = tenant(&dev, 0);
        let document = compile(&example("web.yaml"), Dialect::Go).unwrap();
        let (ids, closed) = (Vec::new(), BTreeSet::new());
        Self { dev, proxy, tenant, document, ids, closed, _folder: folder }
    }

    /// More orders, in one transaction.
    async fn order(&mut self, count: u64) {
        let first = 100 + self.ids.len() as u64;
        let deposit = Coin { denom: Denom::uact(), amount: 5_000_000 };
        let Compiled { groups, hash, .. } = &self.document;
        let ids: Vec<DeploymentId> =
            (first..first + count).map(|dseq| self.tenant.deployment(dseq)).collect();
        let messages = ids.iter().map(|id| {
            Any::pack(&deployment::MsgCreateDeployment::new(id, groups, hash, &deposit, None))
        });
        self.tenant.send("the deployments", messages.collect()).await.unwrap();
        self.ids.extend(ids);
    }

    async fn close(&mut self, id: DeploymentId) {
        let message = deployment::MsgCloseDeployment::new(&id);
        self.tenant.send("the closing", vec![Any::pack(&message)]).await.unwrap();
        self.closed.insert(id);
    }

    async fn blocks_pass(&self, count: u64) {
        let height = || self.dev.devnet.node().journal(Height(0)).len() as u64;
        let then = height() + count;
        eventually("blocks pass", LIMIT, async || (height() >= then).then_some(())).await;
    }

    fn is_open(&self, id: &DeploymentId) -> bool {
        !self.closed.contains(id)
    }

    /// What the chain holds in the end: one open bid on each open order, none on a closed one.
    async fn ends(&self) {
        for id in &self.ids {
            let wanted = usize::from(self.is_open(id));
            let open = async || {
                let bids = self.tenant.node.bids(id).await.ok()?;
                let open = bids.iter().filter(|bid| bid.state == BidState::Open).count();
                (open == wanted).then_some(())
            };
            eventually(&format!("{wanted} open bids on {id}"), 2 * LIMIT, open).await;
        }
        let unsettled = async || self.dev.provider.store.transactions(true, None, 1).await.unwrap();
        eventually("every transaction is settled", 2 * LIMIT, async || {
            unsettled().await.rows.is_empty().then_some(())
        })
        .await;
    }

    /// What the chain was asked for, and what was paid for it.
    fn judge(&self) {
        let blocks = self.dev.devnet.node().journal(Height(0));
        let provider = self.dev.provider.address.as_str();
        for id in &self.ids {
            let order = format!("{id}/");
            let mut carried_out = 0;
            for transaction in blocks.iter().flat_map(|block| &block.txs) {
                let of_order = |kind: &str| {
                    transaction.messages.iter().any(|message| {
                        message.type_url.ends_with(kind)
                            && message.signer == provider
                            && message.subject.starts_with(&order)
                    })
                };
                assert!(!of_order("MsgCloseBid"), "{id} is closed by us: {transaction:?}");
                if !of_order("MsgCreateBid") {
                    continue;
                }
                assert_eq!(carried_out, 0, "{id} is bid on again: {transaction:?}");
                carried_out += usize::from(transaction.code == 0);
                // What failed alone and was paid for is not worth another try, but for want of gas. What came too late or
                // out of its turn paid nothing.
                let failure = Failure::of(&transaction.codespace, transaction.code, "");
                let worth_another = transaction.messages.len() > 1
                    || transaction.code == 0
                    || matches!(failure, Failure::Gas | Failure::Late | Failure::Sequence { .. })
                    || !self.is_open(id);
                assert!(worth_another, "{id}: {transaction:?}");
            }
            assert!(carried_out == 1 || !self.is_open(id), "{id} was never bid on");
        }
    }
}

async fn run(seed: u64) {
    let mut dice = Dice(seed ^ 0x317E);
    let mut world = World::start().await;
    for _ in 0..CHANGES {
        let rules = rules(&mut dice);
        println!("seed {seed}: {rules:?}");
        world.proxy.set(rules);
        world.order(ORDERS).await;
        if dice.below(3) == 0 {
            let open: Vec<DeploymentId> =
                world.ids.iter().filter(|id| world.is_open(id)).cloned().collect();
            let id = dice.pick(&open).unwrap().clone();
            world.close(id).await;
        }
        world.blocks_pass(2 + dice.below(12)).await;
    }
    world.proxy.heal();
    world.ends().await;
    world.judge();
    world.dev.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_way_to_the_node_does_each_order_that_stays_open_has_one_bid() {
    let runs = number("LESSOR_WIRE_RUNS").unwrap_or(RUNS);
    let seeds = number("LESSOR_SIM_SEED").map_or(0..runs, |seed| seed..seed + 1);
    let count = seeds.end - seeds.start;
    let outcomes = stream::iter(seeds).map(|seed| async move {
        let outcome = AssertUnwindSafe(run(seed)).catch_unwind().await;
        if outcome.is_err() {
            eprintln!("the schedule of LESSOR_SIM_SEED={seed} failed");
        }
        outcome.is_ok()
    });
    let good = outcomes.buffer_unordered(AT_ONCE).filter(|good| std::future::ready(*good)).count();
    let good = good.await as u64;
    println!("{good} of {count} schedules of {} orders", CHANGES * ORDERS);
    assert_eq!(good, count);
}
