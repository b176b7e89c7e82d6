//! The state of one deployment's subject (its orders, our bids and leases) and the pure function that moves it on.
//!
//! [`advance()`] goes over every order that the chain or the rows know of, lets `bidengine::order` and
//! [`super::lease`] say what is to be done, and gathers it into one [`Commit`]. It may be run again on the same facts with
//! other reservations, which is what a step does when another step reserved first.

mod advance;
mod earnings;
mod leases;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::advance::Step;
pub use self::earnings::Earnings;
use super::{
    funnel::reached,
    held::Held,
    lease::{self, LeaseRecord},
    port::{Commit, Deadline, Effect, HostnameClaim, LeaseStatus, OrderRow, Restore},
    settings::Settings,
};
use crate::{
    bidengine::{self, Decision, ObservedInventory, order::OrderPhase},
    domain::{
        Address, AuditedAttributes, Bid, Coin, Deployment, Height, Lease, LeaseId, MarketParams,
        Order, OrderId, Payment, Price, Provider, market::BlockTime,
    },
};

/// Everything lessor keeps of one deployment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// By order id.
    pub orders: BTreeMap<OrderId, OrderRecord>,
    /// The deployment's hash on chain when it was last read.
    pub hash: Option<String>,
    /// The height of the newest facts.
    pub seen_at: Height,
    /// The restore since which all of it was compared with chain and cluster; 0 for none.
    #[serde(default)]
    pub restore: u64,
    /// How many steps in a row could not end for want of an observation: the next one waits the longer.
    #[serde(default)]
    pub unobserved: u32,
}

/// One order, with our bid and lease of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// Its path.
    pub id: OrderId,
    /// Where it stands for us up to won or lost.
    pub phase: OrderPhase,
    /// The block that made it, once it was read.
    pub created_at: Option<Height>,
    /// The name of the group that it orders, once it was read: the manifest has the same name.
    pub group: Option<String>,
    /// When a step first saw it, by the host's clock.
    pub seen_at: Timestamp,
    /// When this last changed, by the host's clock.
    pub changed_at: Timestamp,
    /// What was decided last.
    pub decided: Option<DecisionSummary>,
    /// Our bid as the chain showed it last.
    pub bid: Option<Bid>,
    /// Our lease.
    pub lease: Option<LeaseRecord>,
    /// How many create-bids can never land any more.
    pub dead_creates: u32,
    /// How many close-bids ended without closing it.
    pub dead_closes: u32,
    /// The next close-bid is not sent before this time of the host.
    #[serde(default)]
    pub close_again_at: Option<Timestamp>,
    /// How many notices were tried to be given.
    #[serde(default)]
    pub notices: u32,
}

/// The decision's answer; the whole record is kept beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionSummary {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// The price that was bid; `None` when nothing was.
    pub price: Option<Price>,
    /// The reason code for no bid: that of the rule that failed first.
    pub reason: Option<String>,
    /// The version of policy and prices that it was made with.
    #[serde(default)]
    pub policy_version: u64,
}

/// What a step read, and as of when.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The lowest height of the reads, and the newest block time that was read.
    pub at: BlockTime,
    /// The deployment.
    pub deployment: Option<Deployment>,
    /// Its orders.
    pub orders: Vec<Order>,
    /// All bids on them.
    pub bids: Vec<Bid>,
    /// All its leases.
    pub leases: Vec<Lease>,
    /// The payments to them; `None` when nobody needed them or they could not be read.
    pub payments: Option<Vec<Payment>>,
    /// Who we are.
    pub provider: Address,
    /// What the chain holds of us; needed only where something is to be decided.
    pub registration: Option<Registration>,
    /// What the cluster can hold.
    pub inventory: ObservedInventory,
    /// What is reserved.
    pub reservations: Held,
    /// Why bidding is paused.
    pub paused: Option<String>,
    /// Whether an operator works on the provider.
    pub is_maintained: bool,
    /// The restore that the rows come from.
    pub restore: Option<Restore>,
    /// What the cluster answered about our leases.
    pub statuses: BTreeMap<LeaseId, Option<LeaseStatus>>,
    /// Hashes of the stored manifests, newest first.
    pub manifests: Vec<String>,
    /// The hostnames that our leases may route.
    pub hostnames: Vec<HostnameClaim>,
    /// What of our leases' workloads is not as it was applied, where the cluster was asked and answered.
    pub drift: BTreeMap<LeaseId, Vec<String>>,
    /// The subject's effects that the state has not taken in.
    pub effects: Vec<Effect>,
    /// The host's time.
    pub now: Timestamp,
    /// An event claims a block that these facts do not show yet and that should be there soon.
    pub ahead: bool,
}

/// What the chain holds of us, read together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Our provider record; `None` when we are not registered.
    pub provider: Option<Provider>,
    /// What auditors signed of it.
    pub audited: Vec<AuditedAttributes>,
    /// Our balances.
    pub balances: Vec<Coin>,
    /// The market's parameters.
    pub market: MarketParams,
    /// The height of the oldest of these reads.
    pub at: Height,
    /// When they were made, by the host's clock.
    pub taken_at: Timestamp,
}

/// What [`advance()`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct Advanced {
    /// The new state; `None` when there is nothing to keep.
    pub record: Option<DeploymentRecord>,
    /// What to write.
    pub commit: Commit,
    /// The facts do not go together: read again, not below this height, and advance from there.
    pub read_again: Option<Height>,
    /// Something waits for an observation that was missing or too old.
    pub unobserved: bool,
}

/// Whether the chain showed something that the record from before did not have.
#[must_use]
pub fn tells_news(before: Option<&DeploymentRecord>, after: Option<&DeploymentRecord>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return before.is_some() != after.is_some();
    };
    let shown = |record: &OrderRecord| {
        let bid = record.bid.as_ref().map(|bid| bid.state);
        let lease = record.lease.as_ref().map(|lease| lease.state);
        (record.created_at, bid, lease)
    };
    before.hash != after.hash
        || before.orders.len() != after.orders.len()
        || after.orders.values().any(|order| {
            before
                .orders
                .get(&order.id)
                .is_none_or(|known| shown(known) != shown(order) || known.phase != order.phase)
        })
}

impl DeploymentRecord {
    /// Leases of ours whose workload is to be asked about: those that have one, and those that wait for a manifest, since
    /// another program may have taken one in. After a restore that is every lease: what runs may have been applied in the lost
    /// time.
    pub fn workloads(&self, restore: u64) -> impl Iterator<Item = &LeaseRecord> {
        let waits =
            |lease: &LeaseRecord| matches!(lease.phase, lease::Phase::AwaitingManifest { .. });
        self.orders
            .values()
            .filter_map(|order| order.lease.as_ref())
            .filter(move |lease| lease.applied.is_some() || waits(lease) || lease.restore < restore)
            .filter(|lease| lease.phase != lease::Phase::Gone)
    }

    /// Leases that run this manifest as it was applied last, each with its group: what others may have changed since.
    pub fn applied(&self, hash: &str) -> impl Iterator<Item = (&LeaseRecord, &str)> {
        let runs = move |lease: &LeaseRecord| {
            lease.state.is_running()
                && lease.applied.as_deref() == Some(hash)
                && matches!(&lease.phase, lease::Phase::Running { hash: running } if running == hash)
        };
        self.orders.values().filter_map(move |order| {
            let lease = order.lease.as_ref().filter(|lease| runs(lease))?;
            Some((lease, order.group.as_deref()?))
        })
    }

    /// Whether a lease has ended that may still be paid for.
    #[must_use]
    pub fn may_be_owed(&self) -> bool {
        let mut leases = self.orders.values().filter_map(|order| order.lease.as_ref());
        leases.any(|lease| !lease.state.is_running() && !lease.earnings.is_settled)
    }

    /// Whether any order may still need a decision on these orders.
    #[must_use]
    pub fn may_decide(&self, orders: &[Order]) -> bool {
        orders.iter().any(|order| {
            order.state == crate::domain::OrderState::Open
                && self.orders.get(&order.id).is_none_or(|record| {
                    matches!(
                        record.phase,
                        OrderPhase::Seen | OrderPhase::Declined | OrderPhase::Bidding
                    )
                })
        })
    }
}

/// Moves a deployment on by what was read.
#[must_use]
pub fn advance(before: Option<DeploymentRecord>, facts: &Facts, settings: &Settings) -> Advanced {
    let mut step = Step::new(before.unwrap_or_default(), facts, settings);
    for order in step.known_orders() {
        step.order(&order);
        step.lease(&order);
    }
    step.finish()
}

impl OrderRecord {
    fn seen(id: &OrderId, now: Timestamp) -> Self {
        Self {
            id: id.clone(),
            phase: OrderPhase::Seen,
            created_at: None,
            group: None,
            seen_at: now,
            changed_at: now,
            decided: None,
            bid: None,
            lease: None,
            dead_creates: 0,
            dead_closes: 0,
            close_again_at: None,
            notices: 0,
        }
    }

    /// A lease that is not compared since the restore waits for nothing but the cluster's answer. What was due and is not done
    /// waits for something else than its time.
    fn deadlines(&self, restore: u64, now: Timestamp) -> Vec<Deadline> {
        let mut found = Vec::new();
        if let OrderPhase::Open { until: Some(due), .. } = self.phase {
            found.push(Deadline { name: format!("bid/{}", self.id), due });
        }
        let lease = self.lease.as_ref().filter(|lease| lease.is_compared(restore));
        let awaited = lease.and_then(LeaseRecord::deadline);
        if let Some(due) = awaited.filter(|due| *due > now) {
            let what = match lease.map(|lease| &lease.phase) {
                Some(lease::Phase::CloseWanted { .. }) => "reclaim",
                Some(lease::Phase::Quarantined { .. }) => "quarantine",
                _ => "manifest",
            };
            found.push(Deadline { name: format!("{what}/{}", self.id), due });
        }
        let earning = lease.filter(|lease| !lease.earnings.is_settled);
        if let Some(due) = earning.and_then(|lease| lease.earnings.next_at).filter(|due| *due > now)
        {
            found.push(Deadline { name: format!("withdraw/{}", self.id), due });
        }
        found
    }

    fn row(&self) -> OrderRow {
        OrderRow {
            id: self.id.clone(),
            phase: phase_word(self.phase).to_owned(),
            bid: self.bid.as_ref().map(|bid| bid.state.as_str().to_owned()),
            lease: self.lease.as_ref().map(|lease| lease.state.as_str().to_owned()),
            reached: reached(self),
            seen_at: self.seen_at,
            changed_at: self.changed_at,
            body: serde_json::to_value(self).unwrap_or_default(),
        }
    }
}

impl DecisionSummary {
    fn of(decision: &Decision, at: Timestamp) -> Self {
        let (price, reason) = match &decision.outcome {
            bidengine::Outcome::Bid { price, .. } => (Some(price.clone()), None),
            bidengine::Outcome::NoBid { reason, .. } => (None, Some(reason.reason().to_owned())),
        };
        Self { at, price, reason, policy_version: decision.policy_version }
    }
}

/// The phase's word, for pages, metrics and filters.
#[must_use]
pub const fn phase_word(phase: OrderPhase) -> &'static str {
    match phase {
        OrderPhase::Seen => "seen",
        OrderPhase::Declined => "declined",
        OrderPhase::Bidding => "bidding",
        OrderPhase::Open { .. } => "open",
        OrderPhase::CloseWanted { .. } => "close_wanted",
        OrderPhase::Won => "won",
        OrderPhase::Lost => "lost",
        OrderPhase::Done => "done",
    }
}

/// The lowest height of several reads.
#[must_use]
pub fn lowest<const N: usize>(heights: [Height; N]) -> Height {
    heights.into_iter().min().unwrap_or_default()
}
