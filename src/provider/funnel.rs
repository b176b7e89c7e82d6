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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        domain::{Bid, CloseReason, Height, Lease, LeaseState, OrderId},
        provider::{
            deployment::DecisionSummary,
            lease::{LeaseRecord, Phase},
        },
    };

    fn order() -> OrderRecord {
        let id: OrderId = "akash1sdgu90m8yzlvafp56yr8ztlg06jp4eqmelnulg/7/1/1".parse().unwrap();
        OrderRecord {
            id,
            phase: OrderPhase::Seen,
            created_at: None,
            group: None,
            seen_at: Timestamp::UNIX_EPOCH,
            changed_at: Timestamp::UNIX_EPOCH,
            decided: None,
            bid: None,
            lease: None,
            dead_creates: 0,
            dead_closes: 0,
            close_again_at: None,
            notices: 0,
        }
    }

    fn price() -> crate::domain::Price {
        crate::domain::Price { denom: "uact".parse().unwrap(), amount: "1".parse().unwrap() }
    }

    fn decided(reason: Option<&str>) -> DecisionSummary {
        DecisionSummary {
            at: Timestamp::UNIX_EPOCH,
            price: reason.is_none().then(price),
            reason: reason.map(str::to_owned),
            policy_version: 1,
        }
    }

    fn bid(order: &OrderRecord, state: BidState) -> Bid {
        let id = order.id.bid(order.id.owner());
        Bid { id, state, price: price(), created_at: Height(1), reclamation_window_s: None }
    }

    fn lease(order: &OrderRecord) -> LeaseRecord {
        let lease = Lease {
            id: order.id.lease(order.id.owner()),
            state: LeaseState::Active,
            price: price(),
            created_at: Height(1),
            closed_on: None,
            reason: CloseReason::Invalid,
            reclamation_window_s: None,
            reclaim_until: None,
        };
        LeaseRecord::seen(&lease, Height(1), Timestamp::UNIX_EPOCH, None)
    }

    fn told(record: &OrderRecord) -> (FunnelStage, Option<String>) {
        let Reached { stage, held_by } = reached(record);
        (stage, held_by)
    }

    fn at(stage: FunnelStage, held_by: &str) -> (FunnelStage, Option<String>) {
        (stage, Some(held_by.to_owned()))
    }

    #[test]
    fn a_decline_stands_before_the_stage_that_it_failed() {
        assert_eq!(told(&order()), at(FunnelStage::Seen, "undecided"));
        for rule in Rule::ALL {
            let record = OrderRecord { decided: Some(decided(Some(rule.reason()))), ..order() };
            let stage = match rule.stage() {
                StageName::Free | StageName::Policy => FunnelStage::Seen,
                StageName::Place | StageName::Price => FunnelStage::Eligible,
            };
            assert_eq!(told(&record), at(stage, rule.reason()));
        }
    }

    #[test]
    fn a_bid_stands_at_price_until_the_chain_shows_it_and_then_waits_for_the_tenant() {
        let record = |phase| OrderRecord { phase, decided: Some(decided(None)), ..order() };
        assert_eq!(told(&record(OrderPhase::Bidding)), at(FunnelStage::Priced, "on_its_way"));
        assert_eq!(
            told(&record(OrderPhase::Declined)),
            at(FunnelStage::Priced, "refused_by_chain")
        );
        for (state, phase, held) in [
            (BidState::Open, OrderPhase::Open { since: Height(1), until: None }, "open"),
            (BidState::Open, OrderPhase::Lost, "another_won"),
            (BidState::Lost, OrderPhase::Lost, "another_won"),
            (BidState::Closed, OrderPhase::Done, "bid_closed"),
        ] {
            let mut record = record(phase);
            record.bid = Some(bid(&record, state));
            assert_eq!(told(&record), at(FunnelStage::InBlock, held));
        }
    }

    #[test]
    fn a_lease_is_won_until_the_cluster_took_its_manifest_and_deployed_ever_after() {
        let mut record = OrderRecord { decided: Some(decided(None)), ..order() };
        let mut held = lease(&record);
        record.lease = Some(held.clone());
        assert_eq!(told(&record), at(FunnelStage::Won, "awaiting_manifest"));
        held.state = LeaseState::Closed;
        record.lease = Some(held.clone());
        assert_eq!(told(&record), at(FunnelStage::Won, "lease_ended"));
        held.applied = Some("00".to_owned());
        held.phase = Phase::Gone;
        record.lease = Some(held);
        assert_eq!(told(&record), (FunnelStage::Deployed, None));
    }
}
