//! Gauges of what the rows say: read when somebody asks, so that they are right in a process that has just started, and the
//! same at every process of one store.
//!
//! The one surprising fact: a store that gives no answer leaves them as they were; `lessor_ready` is 0 then.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::StreamLabels;
use crate::{
    domain::Coin,
    provider::{
        Provider,
        deployment::Registration,
        tally::Decided,
        tip::TipSighting,
        views::{self, Condition, InventoryView, QuantityView, StreamView, Verdict},
    },
};

/// One label whose words are a closed list, or names of the operator's own.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($field: String),* }
    };
}

label! {
    /// Which orders.
    PhaseLabels { phase }
}
label! {
    /// Which decisions.
    DecisionLabels { action, reason }
}
label! {
    /// What was looked at, up to `/`.
    ConditionLabels { condition }
}
label! {
    /// What money is counted in.
    DenomLabels { denom }
}
label! {
    /// What is made of the nodes: `offered`, `excluded`.
    NodeLabels { state }
}
label! {
    /// `allocatable`, `leased`, `reserved`, `free`.
    QuantityLabels { part }
}
label! {
    /// Which GPUs, and which part of them.
    GpuLabels { vendor, model, part }
}

type One = Gauge;
type Each<L> = Family<L, Gauge>;

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct Rows {
    ready: Gauge<u64, AtomicU64>,
    conditions: Each<ConditionLabels>,
    orders: Each<PhaseLabels>,
    decisions: Family<DecisionLabels, Counter>,
    leases_open: One,
    reservations: One,
    reservations_overdue: One,
    teardowns_held: One,
    deadlines: One,
    deadlines_overdue: One,
    deadletter_depth: One,
    tx_unconfirmed: One,
    bid_tx_unconfirmed: One,
    chain_height: One,
    block_age: One,
    stream_lag: Each<StreamLabels>,
    stream_silence: Each<StreamLabels>,
    stream_live: Each<StreamLabels>,
    stream_gap: Each<StreamLabels>,
    stream_conflicts: Each<StreamLabels>,
    stream_waits: Each<StreamLabels>,
    balance: Each<DenomLabels>,
    bids_affordable: Each<DenomLabels>,
    inventory_age: One,
    nodes: Each<NodeLabels>,
    cpu: Each<QuantityLabels>,
    memory: Each<QuantityLabels>,
    gpus: Each<GpuLabels>,
}

impl Rows {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "ready",
            "1 while requests should be sent to this process",
            self.ready.clone(),
        );
        let mut one = |name: &str, help: &str, gauge: &One| {
            registry.register(name, help, gauge.clone());
        };
        one("leases_open", "Leases that are not closed on chain", &self.leases_open);
        one("reservations_held", "Reservations that are held", &self.reservations);
        one(
            "reservations_overdue",
            "Reservations without a lease whose time to be looked at has passed",
            &self.reservations_overdue,
        );
        one(
            "teardowns_held",
            "1 while workloads of leases that ended are not removed, until an operator agrees",
            &self.teardowns_held,
        );
        one("deadlines", "Moments at which something is looked at", &self.deadlines);
        one(
            "deadlines_overdue",
            "Those of them that block time has passed and no step has worked off",
            &self.deadlines_overdue,
        );
        one(
            "deadletter_depth",
            "Subjects whose last three steps at least came to nothing",
            &self.deadletter_depth,
        );
        one("tx_unconfirmed", "Transactions that are signed and not settled", &self.tx_unconfirmed);
        one("bid_tx_unconfirmed", "Those of them that carry out a bid", &self.bid_tx_unconfirmed);
        one("chain_height", "The node's newest block", &self.chain_height);
        seconds(registry, "chain_block_age", "How old the newest block is", &self.block_age);
        seconds(
            registry,
            "inventory_age",
            "How long ago the cluster said what it can hold",
            &self.inventory_age,
        );
        self.register_families(registry);
        self.register_streams(registry);
    }

    fn register_families(&self, registry: &mut Registry) {
        each(
            registry,
            "condition_good",
            "1 while what was looked at is as it should be",
            &self.conditions,
        );
        each(registry, "orders", "Orders by where they stand", &self.orders);
        registry.register(
            "order_decisions",
            "Decisions of this process on orders, by what came of them",
            self.decisions.clone(),
        );
        each(
            registry,
            "account_balance",
            "What the account holds, in whole units of each denom",
            &self.balance,
        );
        each(
            registry,
            "account_bids_affordable",
            "Bids whose deposits the account can still put down",
            &self.bids_affordable,
        );
        each(registry, "nodes", "Nodes of the cluster", &self.nodes);
        each(registry, "capacity_cpu_milli", "Thousandths of cores", &self.cpu);
        registry.register_with_unit("capacity_memory", "Memory", Unit::Bytes, self.memory.clone());
        each(registry, "capacity_gpus", "GPUs by model", &self.gpus);
    }

    fn register_streams(&self, registry: &mut Registry) {
        each(
            registry,
            "stream_lag_blocks",
            "How many blocks an indexer is behind the node",
            &self.stream_lag,
        );
        registry.register_with_unit(
            "stream_silence",
            "How long ago a stream was heard",
            Unit::Seconds,
            self.stream_silence.clone(),
        );
        each(
            registry,
            "stream_live",
            "1 while a stream can be trusted to tell what happens",
            &self.stream_live,
        );
        each(registry, "stream_gap_blocks", "Blocks that are missing", &self.stream_gap);
        each(
            registry,
            "stream_conflicts",
            "Deliveries and events that came again with another content",
            &self.stream_conflicts,
        );
        each(
            registry,
            "stream_waits_for_operator",
            "1 while a rewind waits, or stream and node have different blocks",
            &self.stream_waits,
        );
    }

    /// Reads everything that the rows say now.
    pub(super) async fn look(&self, provider: &Provider, draining: bool) {
        let health = views::health(provider, draining).await;
        self.ready.set(u64::from(health.ready));
        self.see_conditions(&health.conditions);
        self.see_decisions(&provider.tally.decisions());
        let now = provider.clock.now();
        let block_time = self.see_tip(provider, now).await;
        self.see_work(provider, block_time).await;
        self.see_account(provider).await;
        if let Ok(inventory) = views::inventory(provider).await {
            self.see_inventory(&inventory, now);
        }
        if let Ok(streams) = views::streams(provider).await {
            self.see_streams(&streams, now);
        }
    }

    fn see_conditions(&self, conditions: &[Condition]) {
        let mut parts: BTreeMap<&str, bool> = BTreeMap::new();
        for condition in conditions {
            let part = condition.name.split('/').next().unwrap_or_default();
            let is_good = condition.verdict == Verdict::Good;
            // Of many streams the worst counts.
            parts.entry(part).and_modify(|all| *all &= is_good).or_insert(is_good);
        }
        self.conditions.clear();
        for (part, is_good) in parts {
            let labels = ConditionLabels { condition: part.to_owned() };
            self.conditions.get_or_create(&labels).set(i64::from(is_good));
        }
    }

    fn see_decisions(&self, decisions: &[Decided]) {
        for decided in decisions {
            let action = if decided.is_bid() { "bid" } else { "decline" };
            let reason = decided.reason.to_owned();
            let labels = DecisionLabels { action: action.to_owned(), reason };
            self.decisions.get_or_create(&labels).inner().store(decided.times, Ordering::Relaxed);
        }
    }

    /// Returns the newest block's time; the oldest there is while no node has answered.
    async fn see_tip(&self, provider: &Provider, now: Timestamp) -> Timestamp {
        let observed = provider.store.observation("tip").await.ok().flatten();
        let sighting = observed.and_then(|seen| serde_json::from_value(seen.body).ok());
        let Some(TipSighting { tip, .. }) = sighting else { return Timestamp::MIN };
        self.chain_height.set(gauge(tip.height.0));
        self.block_age.set(now.duration_since(tip.time).as_secs().max(0));
        tip.time
    }

    async fn see_work(&self, provider: &Provider, block_time: Timestamp) {
        let store = &provider.store;
        if let Ok(counts) = store.order_counts().await {
            self.orders.clear();
            for (phase, count) in counts {
                self.orders.get_or_create(&PhaseLabels { phase }).set(gauge(count));
            }
        }
        if let Ok(held) = store.reservations().await {
            let overdue = held.held.iter().filter(|one| !one.leased && one.look_at < block_time);
            self.reservations_overdue.set(length(overdue.count()));
            self.reservations.set(length(held.held.len()));
        }
        if let Ok(breaker) = store.breaker().await {
            self.teardowns_held.set(i64::from(breaker.held_since.is_some()));
        }
        if let Ok(waits) = views::backlog(provider, block_time).await {
            self.leases_open.set(gauge(waits.open_leases));
            self.deadlines.set(gauge(waits.deadlines));
            self.deadlines_overdue.set(gauge(waits.due));
            self.deadletter_depth.set(gauge(waits.stuck));
            self.tx_unconfirmed.set(gauge(waits.unsettled));
            self.bid_tx_unconfirmed.set(gauge(waits.unsettled_bids));
        }
    }

    /// What the chain said last of the account.
    async fn see_account(&self, provider: &Provider) {
        let observed = provider.store.observation("registration").await.ok().flatten();
        let read = observed.and_then(|seen| serde_json::from_value(seen.body).ok());
        let Some(Registration { balances, .. }) = read else { return };
        self.balance.clear();
        for Coin { denom, amount } in &balances {
            let labels = DenomLabels { denom: denom.to_string() };
            let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
            self.balance.get_or_create(&labels).set(amount);
        }
        let settings = provider.settings();
        let left = views::bids_affordable(&settings, &balances);
        let labels = DenomLabels { denom: settings.policy.bid_deposit.denom.to_string() };
        self.bids_affordable.clear();
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        self.bids_affordable.get_or_create(&labels).set(left);
    }

    fn see_inventory(&self, inventory: &InventoryView, now: Timestamp) {
        let Some(observed_at) = inventory.observed_at else { return };
        self.inventory_age.set(now.duration_since(observed_at).as_secs().max(0));
        let excluded = inventory.nodes.iter().filter(|node| node.excluded.is_some()).count();
        let offered = inventory.nodes.len() - excluded;
        for (state, count) in [("excluded", excluded), ("offered", offered)] {
            let labels = NodeLabels { state: state.to_owned() };
            self.nodes.get_or_create(&labels).set(length(count));
        }
        // A node that takes no orders has nothing to offer.
        let nodes = || inventory.nodes.iter().filter(|node| node.excluded.is_none());
        for (family, of) in [
            (&self.cpu, nodes().map(|node| node.cpu_milli).collect::<Vec<_>>()),
            (&self.memory, nodes().map(|node| node.memory_bytes).collect()),
        ] {
            for (part, sum) in parts(&of) {
                family.get_or_create(&QuantityLabels { part: part.to_owned() }).set(sum);
            }
        }
        self.gpus.clear();
        for gpu in nodes().flat_map(|node| &node.gpus) {
            for (part, count) in parts(&[gpu.units]) {
                let (vendor, model) = (gpu.vendor.clone(), gpu.model.clone());
                let labels = GpuLabels { vendor, model, part: part.to_owned() };
                self.gpus.get_or_create(&labels).inc_by(count);
            }
        }
    }

    fn see_streams(&self, streams: &[StreamView], now: Timestamp) {
        for stream in streams {
            let labels = StreamLabels { stream: stream.name.clone() };
            let set = |family: &Each<StreamLabels>, value: i64| {
                family.get_or_create(&labels).set(value);
            };
            if let Some(blocks) = stream.lag_blocks {
                set(&self.stream_lag, gauge(blocks));
            }
            if let Some(heard) = stream.heard_at {
                set(&self.stream_silence, now.duration_since(heard).as_secs());
            }
            set(&self.stream_live, i64::from(stream.freshness == "live"));
            let missing = stream.gaps.iter().map(|gap| gap.to.saturating_sub(gap.from) + 1).sum();
            set(&self.stream_gap, gauge(missing));
            set(&self.stream_conflicts, gauge(stream.counts.conflicts));
            let waits = stream.rewind_waits.is_some() || stream.disagreement.is_some();
            set(&self.stream_waits, i64::from(waits));
        }
    }
}

fn seconds(registry: &mut Registry, name: &str, help: &str, gauge: &One) {
    registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
}

fn each<L>(registry: &mut Registry, name: &str, help: &str, family: &Each<L>)
where
    L: Clone + Debug + Eq + std::hash::Hash + EncodeLabelSet + Send + Sync + 'static,
{
    registry.register(name, help, family.clone());
}

/// The sums of quantities, by part.
fn parts(quantities: &[QuantityView]) -> [(&'static str, i64); 4] {
    let sum = |part: fn(&QuantityView) -> u64| {
        gauge(quantities.iter().map(part).fold(0, u64::saturating_add))
    };
    [
        ("allocatable", sum(|of| of.allocatable)),
        ("leased", sum(|of| of.allocated)),
        ("reserved", sum(|of| of.reserved)),
        ("free", sum(|of| of.free)),
    ]
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
