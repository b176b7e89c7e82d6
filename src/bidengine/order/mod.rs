//! The life of one order, from first sight to won or lost, as a pure state machine.
//!
//! [`advance`] is level-triggered: it looks at what the chain shows now, not at what has just happened, so a missed, repeated
//! or reordered event changes nothing in the end. The same phase and view always give the same answer, and an answer that was carried
//! out is not asked for again. [`decided`] takes the bid engine's answer in, [`withdraw`] an operator's wish.
//!
//! What it keeps: a reservation is released only when there is neither a bid of ours that is open or active nor a transaction that
//! could still make one. A second create-bid is asked for only when the first can no longer land. A lease of ours is evidence of
//! the bid in every phase, also when the rows know nothing (a restored store).
//!
//! The surprising fact: when a tenant takes another bid, the chain marks only the first loser as lost and leaves the others open with
//! their deposits locked. So *lost* is read from the order, and a bid that is still open then is closed by us.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::decision::{Decision, Outcome};
use crate::domain::{
    BidState, CloseReason, DeploymentState, GroupState, Height, OrderState, market::BlockTime,
};

/// Where an order stands with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum OrderPhase {
    /// Nothing is decided.
    Seen,
    /// Decided against, or the chain refused the bid. [`reconsider`] brings it back.
    Declined,
    /// A create-bid transaction is on its way; capacity is reserved.
    Bidding,
    /// Our bid is open on chain; capacity is reserved.
    Open {
        /// The height at which it was first read as open.
        since: Height,
        /// The block time at which it is given up, `None` for never.
        until: Option<Timestamp>,
    },
    /// Our bid is to be gone, and may be open or still on its way. Capacity stays reserved until the chain shows that it is gone.
    CloseWanted {
        /// Why.
        cause: CloseCause,
    },
    /// The tenant took our bid. From here on the lease has a life of its own, which also owns the reservation.
    Won,
    /// The tenant took another bid; nothing of ours is left.
    Lost,
    /// The order ended for us without a lease; nothing of ours is left.
    Done,
}

/// Why a bid is to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseCause {
    /// Nobody took it in time.
    BidTimeout,
    /// Another provider has the lease.
    LeaseLost,
    /// The order, its group or its deployment ended.
    OrderEnded,
    /// The capacity for it cannot be reserved (again).
    NoCapacity,
    /// The operator wants it gone.
    Operator,
}

/// What the chain shows about an order, and what our rows know of our own transactions.
///
/// Either everything is read at one height, or in the order of the fields: the order first, then our bid, then the lease. An order
/// that is active while our bid, read later, is still open has been lost; read the other way round it could just have been won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// The block of the oldest of the reads.
    pub at: BlockTime,
    /// The order, `None` when the chain has no such order.
    pub order: Option<OrderStates>,
    /// Our bid on it, `None` when the chain has none.
    pub own_bid: Option<OwnBid>,
    /// Who has the lease.
    pub lease: LeaseHolder,
    /// The latest create-bid transaction of this order.
    pub create: Transaction,
    /// The latest close-bid transaction of this order.
    pub close: Transaction,
    /// Whether capacity is reserved for this order.
    pub reserved: bool,
}

/// Where an order and what it is part of stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStates {
    /// The order itself.
    pub order: OrderState,
    /// Its group.
    pub group: GroupState,
    /// Its deployment.
    pub deployment: DeploymentState,
}

/// Our bid as the chain holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnBid {
    /// Where it stands.
    pub state: BidState,
    /// The block that made it.
    pub created_at: Height,
}

/// Who has the lease of an order. Whether it still runs is a question of the lease's own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseHolder {
    /// No lease was found. An active order then has somebody else's.
    Unknown,
    /// We have, or had.
    Us,
    /// Another provider has, or had.
    Other,
}

/// What is known of a transaction of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Transaction {
    /// There is none: not even an effect that waits to be signed.
    None,
    /// It can still land: it waits to be signed or sent, or it was sent and neither a block nor its time-out has settled it.
    InFlight,
    /// It is in a block and did what it should.
    Included {
        /// That block.
        height: Height,
    },
    /// It is in a block and the chain refused it, or it was given up before it was ever signed.
    Failed,
    /// It can never land: a block time past its time-out was read without it.
    Expired,
}

/// How long a bid stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// In seconds of block time; `None` for ever.
    pub bid_timeout_s: Option<u64>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { bid_timeout_s: Some(300) }
    }
}

/// What is to be done. Each is idempotent for one order: carrying it out twice must be the same as once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Run [`super::decide`] and hand its record to [`decided`].
    Decide,
    /// Send the create-bid transaction of the decision; its reservation is part of the same commit.
    CreateBid,
    /// Send a close-bid transaction.
    CloseBid {
        /// What the transaction says. The chain ignores it while the bid is open.
        reason: CloseReason,
    },
    /// Drop a close-bid that was not signed yet: the bid has become a lease, and the same message would close that.
    CancelClose,
    /// Place the order and reserve capacity for the bid that is on chain. When a young observation has no room for it:
    /// [`withdraw`] with [`CloseCause::NoCapacity`]. Without a young observation nothing is known: look again later, the bid stays.
    Reserve,
    /// Give the reserved capacity back.
    ReleaseReservation,
    /// Start the life of the lease, which takes the reservation over, or makes it when there is none. The lease may have ended
    /// already; its own life finds out.
    LeaseWon,
    /// Look again when this block time has passed.
    SetDeadline {
        /// In block time.
        at: Timestamp,
    },
    /// The deadline is not needed any more.
    ClearDeadline,
    /// The facts do not go together or are too old: read again.
    ReadAgain {
        /// Not below this height.
        at_least: Height,
    },
}

impl OrderPhase {
    /// Whether nothing of ours is left, or its life goes on as a lease.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Won | Self::Lost | Self::Done)
    }

    const fn has_deadline(self) -> bool {
        matches!(self, Self::Open { until: Some(_), .. })
    }
}

/// What the chain says about the order as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It takes bids.
    Open,
    /// Somebody else has it.
    Lost,
    /// It ended, or never was.
    Ended,
}

impl OrderView {
    fn fate(&self) -> Fate {
        if self.lease == LeaseHolder::Other {
            return Fate::Lost;
        }
        match self.order {
            Some(OrderStates { order: OrderState::Active, .. }) => Fate::Lost,
            Some(OrderStates {
                order: OrderState::Open,
                group: GroupState::Open,
                deployment: DeploymentState::Active,
            }) => Fate::Open,
            _ => Fate::Ended,
        }
    }
}

/// The phase in which `phase` is, given what the chain shows, and what is to be done about it.
#[must_use]
pub fn advance(
    phase: OrderPhase,
    view: &OrderView,
    deadlines: &Deadlines,
) -> (OrderPhase, Vec<Effect>) {
    if phase == OrderPhase::Won {
        return (phase, Vec::new());
    }
    if view.lease == LeaseHolder::Us {
        return won(phase);
    }
    match view.own_bid {
        Some(bid) => match bid.state {
            BidState::Open => bid_is_open(phase, view, deadlines),
            // Only a lease makes a bid active, so the lease was read too early.
            BidState::Active => (phase, vec![Effect::ReadAgain { at_least: view.at.height }]),
            BidState::Lost => finish(phase, view, OrderPhase::Lost),
            BidState::Closed if view.fate() == Fate::Lost => finish(phase, view, OrderPhase::Lost),
            BidState::Closed => finish(phase, view, OrderPhase::Done),
        },
        None => no_bid(phase, view),
    }
}

/// Takes the bid engine's answer in. Only an order that was [`OrderPhase::Seen`] waits for one; in any other phase the answer came too
/// late and is dropped.
#[must_use]
pub fn decided(phase: OrderPhase, decision: &Decision) -> (OrderPhase, Vec<Effect>) {
    match (phase, &decision.outcome) {
        (OrderPhase::Seen, Outcome::Bid { .. }) => (OrderPhase::Bidding, vec![Effect::CreateBid]),
        (OrderPhase::Seen, Outcome::NoBid { .. }) => (OrderPhase::Declined, Vec::new()),
        _ => (phase, Vec::new()),
    }
}

/// Gives a bid up, whether it is open or still on its way. The next [`advance`] closes it.
#[must_use]
pub fn withdraw(phase: OrderPhase, cause: CloseCause) -> (OrderPhase, Vec<Effect>) {
    match phase {
        OrderPhase::Bidding | OrderPhase::Open { .. } => {
            (OrderPhase::CloseWanted { cause }, clear_deadline(phase))
        }
        _ => (phase, Vec::new()),
    }
}

/// Brings a declined order back, when policy, prices, capacity or balances have changed.
#[must_use]
pub const fn reconsider(phase: OrderPhase) -> OrderPhase {
    match phase {
        OrderPhase::Declined => OrderPhase::Seen,
        other => other,
    }
}

fn won(phase: OrderPhase) -> (OrderPhase, Vec<Effect>) {
    let mut effects = clear_deadline(phase);
    if matches!(phase, OrderPhase::CloseWanted { .. }) {
        effects.push(Effect::CancelClose);
    }
    effects.push(Effect::LeaseWon);
    (OrderPhase::Won, effects)
}

fn bid_is_open(
    phase: OrderPhase,
    view: &OrderView,
    deadlines: &Deadlines,
) -> (OrderPhase, Vec<Effect>) {
    let (since, until) = match phase {
        OrderPhase::Open { since, until } => (since, until),
        _ => (view.at.height, bid_deadline(view.at, deadlines)),
    };
    let cause = match (phase, view.fate()) {
        (OrderPhase::CloseWanted { cause }, _) => Some(cause),
        (_, Fate::Lost) => Some(CloseCause::LeaseLost),
        (_, Fate::Ended) => Some(CloseCause::OrderEnded),
        (_, Fate::Open) => {
            until.filter(|until| view.at.time >= *until).map(|_| CloseCause::BidTimeout)
        }
    };
    if let Some(cause) = cause {
        let mut effects = clear_deadline(phase);
        effects.extend(close_open_bid(view));
        return (OrderPhase::CloseWanted { cause }, effects);
    }
    let mut effects = Vec::new();
    if !matches!(phase, OrderPhase::Open { .. }) {
        effects.extend(until.map(|at| Effect::SetDeadline { at }));
    }
    if !view.reserved {
        effects.push(Effect::Reserve);
    }
    (OrderPhase::Open { since, until }, effects)
}

/// Closes a bid that was read as open, unless a close is on its way or landed after that read.
fn close_open_bid(view: &OrderView) -> Option<Effect> {
    match view.close {
        Transaction::InFlight => None,
        Transaction::Included { height } if view.at.height < height => {
            Some(Effect::ReadAgain { at_least: height })
        }
        _ => Some(Effect::CloseBid { reason: CloseReason::Unspecified }),
    }
}

fn no_bid(phase: OrderPhase, view: &OrderView) -> (OrderPhase, Vec<Effect>) {
    let newest = match (view.create, phase) {
        (Transaction::InFlight, _) => {
            return (in_flight(phase, view.fate()), clear_deadline(phase));
        }
        (Transaction::Included { height }, _) => height,
        // A bid never vanishes, so a read from before it was seen says nothing.
        (_, OrderPhase::Open { since, .. }) => since,
        _ => Height(0),
    };
    if view.at.height < newest {
        return (phase, vec![Effect::ReadAgain { at_least: newest }]);
    }
    let had_bid = !matches!(phase, OrderPhase::Seen | OrderPhase::Declined | OrderPhase::Done);
    match (view.fate(), phase) {
        (Fate::Lost, _) if had_bid => finish(phase, view, OrderPhase::Lost),
        (Fate::Lost | Fate::Ended, OrderPhase::Lost) => finish(phase, view, phase),
        (Fate::Lost | Fate::Ended, _) => finish(phase, view, OrderPhase::Done),
        (Fate::Open, OrderPhase::Seen) => decide_again(phase, view),
        (Fate::Open, OrderPhase::Bidding) => match view.create {
            // It never reached the chain, so the order can be bid on as if nothing had been.
            Transaction::Expired | Transaction::None => decide_again(phase, view),
            _ => finish(phase, view, OrderPhase::Declined),
        },
        (Fate::Open, OrderPhase::Open { .. } | OrderPhase::CloseWanted { .. }) => {
            finish(phase, view, OrderPhase::Done)
        }
        (Fate::Open, _) => finish(phase, view, phase),
    }
}

/// While a create-bid can still land nothing is given back; a bid that is not wanted any more is only marked as such.
fn in_flight(phase: OrderPhase, fate: Fate) -> OrderPhase {
    match (phase, fate) {
        (OrderPhase::CloseWanted { .. }, _) => phase,
        (_, Fate::Open) => OrderPhase::Bidding,
        (_, Fate::Lost) => OrderPhase::CloseWanted { cause: CloseCause::LeaseLost },
        (_, Fate::Ended) => OrderPhase::CloseWanted { cause: CloseCause::OrderEnded },
    }
}

fn decide_again(phase: OrderPhase, view: &OrderView) -> (OrderPhase, Vec<Effect>) {
    let (next, mut effects) = finish(phase, view, OrderPhase::Seen);
    effects.push(Effect::Decide);
    (next, effects)
}

/// Nothing of ours is on chain and nothing can come there: give back what is held.
fn finish(phase: OrderPhase, view: &OrderView, next: OrderPhase) -> (OrderPhase, Vec<Effect>) {
    let mut effects = clear_deadline(phase);
    if view.reserved {
        effects.push(Effect::ReleaseReservation);
    }
    (next, effects)
}

fn clear_deadline(phase: OrderPhase) -> Vec<Effect> {
    if phase.has_deadline() { vec![Effect::ClearDeadline] } else { Vec::new() }
}

/// When a bid that is seen for the first time is given up. Its age is not known: heights say nothing of time, since a chain
/// makes blocks as quickly as it likes, and a bid that is guessed to be old would be closed too early.
fn bid_deadline(at: BlockTime, deadlines: &Deadlines) -> Option<Timestamp> {
    let timeout = i64::try_from(deadlines.bid_timeout_s?).unwrap_or(i64::MAX);
    Some(at.time.saturating_add(SignedDuration::from_secs(timeout)).unwrap_or(Timestamp::MAX))
}
