//! Orders, bids and leases. Owns their checks, in the chain's order, and who closes what; money is
//! [`super::escrow`]'s, matching is [`super::matching`]'s.
//!
//! The real chain has a defect that providers must live with, so it is here too: when a lease is made only the first
//! other bid becomes lost; the rest stay open with their deposits locked.

use super::{
    escrow::check_minimum,
    execution::Execution,
    matching::{self, Signed},
    refusal::{Refusal, market},
    state::EscrowId,
    text,
};
use crate::{
    domain::{
        Address, Amount, BidId, BidState, CloseReason, Denom, GroupId, GroupState, LeaseState,
        OrderId, OrderState, Price,
    },
    wire::{self, google::Duration},
};

/// The price on the wire, whose amount counts atoms.
pub(super) fn price_of(coin: &wire::cosmos::DecCoin) -> Option<Price> {
    Some(Price {
        denom: coin.denom.parse::<Denom>().ok()?,
        amount: Amount::from_atoms_text(&coin.amount).ok()?,
    })
}

/// What a group costs at most: the sum of its units' prices. `None` when it has none or their denoms differ.
pub(super) fn price_of_group(spec: &wire::deployment::GroupSpec) -> Option<Price> {
    let mut sum: Option<Price> = None;
    for unit in &spec.resources {
        let price = price_of(&unit.price)?;
        let amount = price.amount.checked_mul(u128::from(unit.count))?;
        sum = Some(match sum {
            None => Price { denom: price.denom, amount },
            Some(sum) if sum.denom == price.denom => {
                Price { amount: sum.amount.checked_add(amount)?, ..sum }
            }
            Some(_) => return None,
        });
    }
    sum
}

fn nanoseconds(span: Duration) -> i128 {
    i128::from(span.seconds) * 1_000_000_000 + i128::from(span.nanos)
}

impl Execution<'_> {
    /// Makes the next order of a group.
    pub(super) fn create_order(
        &mut self,
        group: &GroupId,
        spec: wire::deployment::GroupSpec,
    ) -> Result<(), Refusal> {
        let last = self.state.orders_of(group).last().map_or(0, |(id, _)| id.oseq);
        let id = group.order(last.saturating_add(1));
        let reclamation =
            self.state.deployments.get(&group.deployment).and_then(|row| row.reclamation.clone());
        let order = wire::market::Order {
            id: text::wire_order_id(&id),
            state: OrderState::Open.number(),
            spec,
            created_at: text::height(self.block.height),
            reclamation,
        };
        self.put_order(id.clone(), order)?;
        self.emit("akash.market.v1.EventOrderCreated", &[("id", &text::order_id(&id))]);
        Ok(())
    }

    pub(super) fn create_bid(
        &mut self,
        message: wire::market::MsgCreateBid,
        params: &wire::market::Params,
    ) -> Result<(), Refusal> {
        self.gas.burn(20_000)?;
        let id = text::bid_of(&message.id)?;
        check_minimum(&message.deposit, &params.bid_min_deposits)?;
        let count = self.state.bids.get(&id.order).map_or(0, super::state::Map::size);
        if count > params.order_max_bids as usize {
            return Err(
                market::INVALID_BID.because(format_args!("too many existing bids ({count})"))
            );
        }
        let order = self.state.orders.get(&id.order).cloned().ok_or(market::ORDER_NOT_FOUND)?;
        match OrderState::from_number(order.state) {
            Some(OrderState::Open) => {}
            Some(OrderState::Active) => return Err(market::ORDER_ACTIVE.into()),
            Some(OrderState::Closed) | None => return Err(market::ORDER_CLOSED.into()),
        }
        let price = price_of(&message.price).ok_or(market::BID_PRICE)?;
        let most = price_of_group(&order.spec).ok_or(market::BID_PRICE)?;
        if most.denom != price.denom {
            return Err(Refusal::panic(format_args!(
                "invalid coin denominations; {}, {}",
                most.denom, price.denom
            )));
        }
        if most.amount < price.amount {
            return Err(market::BID_PRICE.into());
        }
        matching::offer_fits(&order.spec, &message.resources_offer)?;
        self.check_provider(&id.provider, &order.spec)?;
        let covered = self.cover(&id.provider, &message.deposit)?;
        check_reclamation(&order, message.reclamation_window, params)?;
        if self.state.bid(&id).is_some() {
            return Err(market::BID_EXISTS.into());
        }
        let bid = wire::market::Bid {
            id: message.id,
            state: BidState::Open.number(),
            price: message.price,
            created_at: text::height(self.block.height),
            resources_offer: message.resources_offer,
            reclamation_window: message.reclamation_window,
        };
        self.put_bid(&id, bid)?;
        self.emit(
            "akash.market.v1.EventBidCreated",
            &[("id", &text::bid_id(&id)), ("price", &text::price(&price))],
        );
        let provider = id.provider.clone();
        self.open_account(EscrowId::Bid(id), &provider, &covered)
    }

    fn check_provider(
        &self,
        provider: &Address,
        spec: &wire::deployment::GroupSpec,
    ) -> Result<(), Refusal> {
        let key = provider.to_bytes();
        let own = self.state.providers.get(&key).ok_or(market::UNKNOWN_PROVIDER)?;
        let signed: Vec<Signed<'_>> = self
            .state
            .audits
            .iter()
            .filter(|((owner, _), _)| *owner == key)
            .map(|(_, record)| Signed { auditor: &record.auditor, attributes: &record.attributes })
            .collect();
        if !matching::requirements_match(&spec.requirements, &own.attributes, &signed) {
            return Err(market::ATTRIBUTE_MISMATCH.into());
        }
        if !matching::capabilities_match(spec, &own.attributes) {
            return Err(market::CAPABILITIES_MISMATCH.into());
        }
        Ok(())
    }

    pub(super) fn close_bid(&mut self, message: &wire::market::MsgCloseBid) -> Result<(), Refusal> {
        let id = text::bid_of(&message.id)?;
        let bid = self.state.bid(&id).cloned().ok_or(market::UNKNOWN_BID)?;
        let order =
            self.state.orders.get(&id.order).cloned().ok_or(market::UNKNOWN_ORDER_FOR_BID)?;
        if bid.state == BidState::Open.number() {
            return self.end_bid(&id, bid);
        }
        let lease = self
            .state
            .leases
            .get(&id.order)
            .filter(|lease| lease.id.provider == id.provider.as_str())
            .cloned()
            .ok_or(market::UNKNOWN_LEASE_FOR_BID)?;
        match LeaseState::from_number(lease.state) {
            Some(LeaseState::Active) if lease.reclamation.is_some() => {
                return Err(market::RECLAMATION_NOT_STARTED.into());
            }
            Some(LeaseState::Active) => {}
            Some(LeaseState::Reclaiming) => {
                let deadline = lease.reclamation.as_ref().map_or(0, |found| found.deadline);
                if self.block.time.as_second() < deadline {
                    return Err(market::RECLAMATION_NOT_ELAPSED.into());
                }
            }
            Some(LeaseState::InsufficientFunds | LeaseState::Closed) | None => {
                return Err(market::LEASE_NOT_ACTIVE.into());
            }
        }
        if bid.state != BidState::Active.number() {
            return Err(market::BID_NOT_ACTIVE.into());
        }
        self.pause_after_provider(&id.order.group)?;
        let reason = CloseReason::from_number(message.reason).unwrap_or(CloseReason::Unspecified);
        self.end_lease(&id.order, lease, LeaseState::Closed, reason)?;
        self.end_bid(&id, bid)?;
        self.end_order(&id.order, order)?;
        self.close_payment(&id.order)
    }

    pub(super) fn create_lease(
        &mut self,
        message: &wire::market::MsgCreateLease,
    ) -> Result<(), Refusal> {
        let id = text::bid_of(&message.bid_id)?;
        let mut bid = self.state.bid(&id).cloned().ok_or(market::BID_NOT_FOUND)?;
        if bid.state != BidState::Open.number() {
            return Err(market::BID_NOT_OPEN.into());
        }
        let mut order = self.state.orders.get(&id.order).cloned().ok_or(market::ORDER_NOT_FOUND)?;
        if order.state != OrderState::Open.number() {
            return Err(market::ORDER_NOT_OPEN.into());
        }
        let group = self.state.groups.get(&id.order.group).ok_or(market::GROUP_NOT_FOUND)?;
        if group.state != GroupState::Open.number() {
            return Err(market::GROUP_NOT_OPEN.into());
        }
        let price = price_of(&bid.price).ok_or(market::BID_PRICE)?;
        self.open_payment(&id.order, &id.provider, price.clone())?;
        let reclamation = bid.reclamation_window.map(|window| wire::market::Reclamation {
            window,
            ..wire::market::Reclamation::default()
        });
        let lease = wire::market::Lease {
            id: text::wire_lease_id(&id.lease()),
            state: LeaseState::Active.number(),
            price: bid.price.clone(),
            created_at: text::height(self.block.height),
            closed_on: 0,
            reason: CloseReason::Invalid.number(),
            reclamation,
        };
        self.put_lease(id.order.clone(), lease)?;
        self.emit(
            "akash.market.v1.EventLeaseCreated",
            &[("id", &text::bid_id(&id)), ("price", &text::price(&price))],
        );
        order.state = OrderState::Active.number();
        self.put_order(id.order.clone(), order)?;
        bid.state = BidState::Active.number();
        self.put_bid(&id, bid)?;
        let loser = self.state.bids_of(&id.order).into_iter().find(|other| {
            other.id.provider != id.provider.as_str() && other.state == BidState::Open.number()
        });
        if let Some(mut loser) = loser {
            let lost = text::bid_of(&loser.id)?;
            loser.state = BidState::Lost.number();
            self.put_bid(&lost, loser)?;
            self.close_bid_account(&EscrowId::Bid(lost))?;
        }
        Ok(())
    }

    pub(super) fn close_lease(
        &mut self,
        message: &wire::market::MsgCloseLease,
    ) -> Result<(), Refusal> {
        let id = text::lease_of(&message.id)?;
        let order = self.state.orders.get(&id.order).cloned().ok_or(market::ORDER_NOT_FOUND)?;
        if order.state != OrderState::Active.number() {
            return Err(market::ORDER_CLOSED.into());
        }
        let bid = self.state.bid(&id.bid()).cloned().ok_or(market::BID_NOT_FOUND)?;
        if bid.state != BidState::Active.number() {
            return Err(market::BID_NOT_ACTIVE.into());
        }
        let lease = self.state.leases.get(&id.order).cloned().ok_or(market::LEASE_NOT_FOUND)?;
        if !LeaseState::from_number(lease.state).is_some_and(LeaseState::is_running) {
            return Err(market::ORDER_CLOSED.into());
        }
        self.end_lease(&id.order, lease, LeaseState::Closed, CloseReason::Owner)?;
        self.end_bid(&id.bid(), bid)?;
        self.end_order(&id.order, order)?;
        self.close_payment(&id.order)?;
        // The payment may have closed everything, when the account was overdrawn; then nothing is wanted any more.
        match self.state.groups.get(&id.order.group).cloned() {
            Some(group) if group.state == GroupState::Open.number() => {
                self.create_order(&id.order.group, group.group_spec)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn withdraw_lease(
        &mut self,
        message: &wire::market::MsgWithdrawLease,
    ) -> Result<(), Refusal> {
        let id = text::lease_of(&message.id)?;
        self.lease(&id.order, &id.provider)?;
        self.withdraw(&id.order)
    }

    pub(super) fn start_reclaim(
        &mut self,
        message: &wire::market::MsgLeaseStartReclaim,
    ) -> Result<(), Refusal> {
        let id = text::lease_of(&message.id)?;
        let mut lease = self.lease(&id.order, &id.provider)?;
        if lease.state != LeaseState::Active.number() {
            return Err(market::LEASE_NOT_ACTIVE.into());
        }
        let Some(reclamation) = lease.reclamation.as_mut() else {
            return Err(market::NOT_RECLAMABLE.into());
        };
        if reclamation.started_at != 0 {
            return Err(market::ALREADY_RECLAIMING.into());
        }
        let end = self.block.time.as_nanosecond() + nanoseconds(reclamation.window);
        let deadline = i64::try_from(end.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        reclamation.started_at = text::height(self.block.height);
        reclamation.deadline = deadline;
        reclamation.reason = message.reason;
        let reason = CloseReason::from_number(message.reason).unwrap_or(CloseReason::Unspecified);
        lease.state = LeaseState::Reclaiming.number();
        self.put_lease(id.order.clone(), lease)?;
        self.emit(
            "akash.market.v1.EventLeaseReclaimStarted",
            &[
                ("deadline", &format!("\"{deadline}\"")),
                ("id", &text::bid_id(&id.bid())),
                ("reason", &format!("\"{reason}\"")),
            ],
        );
        Ok(())
    }

    fn lease(&self, order: &OrderId, provider: &Address) -> Result<wire::market::Lease, Refusal> {
        self.state
            .leases
            .get(order)
            .filter(|lease| lease.id.provider == provider.as_str())
            .cloned()
            .ok_or_else(|| market::UNKNOWN_LEASE.into())
    }

    /// Closes what is left of a group's orders with their bids and leases.
    pub(super) fn close_orders_of(
        &mut self,
        group: &GroupId,
        reason: CloseReason,
    ) -> Result<(), Refusal> {
        for (id, order) in self.state.orders_of(group) {
            if order.state == OrderState::Closed.number() {
                continue;
            }
            self.end_order(&id, order)?;
            for bid in self.state.bids_of(&id) {
                if [BidState::Open.number(), BidState::Active.number()].contains(&bid.state) {
                    self.end_bid(&text::bid_of(&bid.id)?, bid)?;
                }
            }
            let Some(lease) = self.state.leases.get(&id).cloned() else { continue };
            if LeaseState::from_number(lease.state).is_some_and(LeaseState::is_running) {
                let state = match reason {
                    CloseReason::InsufficientFunds => LeaseState::InsufficientFunds,
                    _ => LeaseState::Closed,
                };
                self.end_lease(&id, lease, state, reason)?;
                self.close_payment(&id)?;
            }
        }
        Ok(())
    }

    fn end_order(&mut self, id: &OrderId, mut order: wire::market::Order) -> Result<(), Refusal> {
        order.state = OrderState::Closed.number();
        self.put_order(id.clone(), order)?;
        self.emit("akash.market.v1.EventOrderClosed", &[("id", &text::order_id(id))]);
        Ok(())
    }

    fn end_bid(&mut self, id: &BidId, mut bid: wire::market::Bid) -> Result<(), Refusal> {
        bid.state = BidState::Closed.number();
        self.put_bid(id, bid)?;
        self.close_bid_account(&EscrowId::Bid(id.clone()))?;
        self.emit("akash.market.v1.EventBidClosed", &[("id", &text::bid_id(id))]);
        Ok(())
    }

    fn end_lease(
        &mut self,
        order: &OrderId,
        mut lease: wire::market::Lease,
        state: LeaseState,
        reason: CloseReason,
    ) -> Result<(), Refusal> {
        lease.state = state.number();
        lease.closed_on = text::height(self.block.height);
        lease.reason = reason.number();
        let id = text::lease_of(&lease.id)?.bid();
        self.put_lease(order.clone(), lease)?;
        self.emit(
            "akash.market.v1.EventLeaseClosed",
            &[("id", &text::bid_id(&id)), ("reason", &format!("\"{reason}\""))],
        );
        Ok(())
    }
}

fn check_reclamation(
    order: &wire::market::Order,
    offered: Option<Duration>,
    params: &wire::market::Params,
) -> Result<(), Refusal> {
    let Some(offered) = offered.map(nanoseconds) else {
        return match order.reclamation {
            Some(_) => Err(market::RECLAMATION_REQUIRED.into()),
            None => Ok(()),
        };
    };
    let least = order.reclamation.as_ref().map_or(0, |found| nanoseconds(found.min_window));
    if offered < least {
        return Err(market::RECLAMATION_SHORT.into());
    }
    let bounds =
        nanoseconds(params.min_reclamation_window)..=nanoseconds(params.max_reclamation_window);
    if bounds.contains(&offered) { Ok(()) } else { Err(market::RECLAMATION_BOUNDS.into()) }
}
