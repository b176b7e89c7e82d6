//! How far an order came, from the first look to running, and what keeps it where it is; pure.
//!
//! A stage that was reached stays reached: a lease that has ended counts as deployed when it once ran. What holds an order is a
//! reason of its decision, or a word for what it waits for or what it came to.

use super::{
    deployment::{OrderRecord, phase_word},
    lease::LeaseRecord,
    port::{FunnelStage, Reached},
};
use crate::{
    bidengine::{Rule, StageName, order::OrderPhase},
    domain::BidState,
};

/// How far an order came. That its create-bid was signed is not in the record: the store adds it when it counts.
#[must_use]
pub fn reached(record: &OrderRecord) -> Reached {
    if let Some(lease) = &record.lease {
        return of_lease(lease);
    }
    if let Some(bid) = &record.bid {
        return held(FunnelStage::InBlock, of_bid(bid.state, record.phase));
    }
    let Some(decided) = &record.decided else {
        let waits = record.phase == OrderPhase::Seen;
        return held(FunnelStage::Seen, if waits { "undecided" } else { phase_word(record.phase) });
    };
    match &decided.reason {
        Some(reason) => held(stage_before(reason), reason),
        None => held(FunnelStage::Priced, of_unseen_bid(record.phase)),
    }
}

fn held(stage: FunnelStage, held_by: &str) -> Reached {
    Reached { stage, held_by: Some(held_by.to_owned()) }
}

/// The last stage that an order with this reason for no bid has passed.
fn stage_before(reason: &str) -> FunnelStage {
    match Rule::from_reason(reason).map(Rule::stage) {
        Some(StageName::Place | StageName::Price) => FunnelStage::Eligible,
        Some(StageName::Free | StageName::Policy) | None => FunnelStage::Seen,
    }
}

/// A bid was decided and the chain has not shown it.
const fn of_unseen_bid(phase: OrderPhase) -> &'static str {
    match phase {
        OrderPhase::Seen | OrderPhase::Bidding => "on_its_way",
        OrderPhase::Declined => "refused_by_chain",
        _ => "order_ended",
    }
}

const fn of_bid(state: BidState, phase: OrderPhase) -> &'static str {
    match (state, phase) {
        (_, OrderPhase::Lost) | (BidState::Lost, _) => "another_won",
        (BidState::Open, _) => "open",
        (BidState::Active, _) => "lease_not_seen",
        (BidState::Closed, _) => "bid_closed",
    }
}

fn of_lease(lease: &LeaseRecord) -> Reached {
    if lease.applied.is_some() {
        return Reached { stage: FunnelStage::Deployed, held_by: None };
    }
    let held_by = if lease.state.is_running() { lease.phase.as_str() } else { "lease_ended" };
    held(FunnelStage::Won, held_by)
}
