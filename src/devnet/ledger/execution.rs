//! One transaction at work: the state it changes, the events it emits, the gas it burns. Owns the writing of rows,
//! since each write costs gas; the rules are in the modules beside.
//!
//! Gas is a model fitted to recordings, within a few per cent for the common messages: what a node really charges
//! depends on the shape of its trees.

use jiff::Timestamp;

use super::{
    refusal::{Refusal, sdk},
    state::{EscrowAccount, EscrowId, Map, Payment, State},
};
use crate::{
    domain::{BidId, DeploymentId, GroupId, OrderId},
    wire::{
        self,
        rpc::answer::{Event, EventAttribute},
    },
};

/// What writes cost.
pub(super) mod gas {
    pub(in crate::devnet) const NEW_ROW: u64 = 21_000;
    pub(in crate::devnet) const CHANGED_ROW: u64 = 29_000;
    pub(in crate::devnet) const ESCROW: u64 = 16_000;
    pub(in crate::devnet) const PAYMENT: u64 = 8_000;
    pub(in crate::devnet) const AUDIT: u64 = 4_000;
    pub(in crate::devnet) const CERTIFICATE: u64 = 35_000;
    pub(in crate::devnet) const GRANT: u64 = 30_000;
    pub(in crate::devnet) const TRANSFER: u64 = 19_000;
}

/// The block that a transaction runs in.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockContext {
    pub(super) height: u64,
    pub(super) time: Timestamp,
}

/// How much may still be burnt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gas {
    pub(super) limit: u64,
    pub(super) used: u64,
}

impl Gas {
    /// Burns `amount`.
    pub(super) fn burn(&mut self, amount: u64) -> Result<(), Refusal> {
        self.used = self.used.saturating_add(amount);
        if self.used <= self.limit {
            return Ok(());
        }
        Err(sdk::OUT_OF_GAS.because(format_args!(
            "out of gas in location: WriteFlat; gasWanted: {}, gasUsed: {}",
            self.limit, self.used
        )))
    }
}

/// See the module.
pub(super) struct Execution<'a> {
    pub(super) state: &'a mut State,
    pub(super) block: BlockContext,
    pub(super) gas: Gas,
    pub(super) events: Vec<Event>,
}

impl<'a> Execution<'a> {
    pub(super) fn new(state: &'a mut State, block: BlockContext, gas: Gas) -> Self {
        Self { state, block, gas, events: Vec::new() }
    }

    /// Emits an event; the attributes stay in the given order.
    pub(super) fn emit(&mut self, kind: impl Into<String>, attributes: &[(&str, &str)]) {
        let attributes = attributes
            .iter()
            .map(|&(key, value)| EventAttribute {
                key: key.to_owned(),
                value: value.to_owned(),
                index: true,
            })
            .collect();
        self.events.push(Event { r#type: kind.into(), attributes });
    }

    pub(super) fn put_deployment(
        &mut self,
        id: DeploymentId,
        row: wire::deployment::Deployment,
    ) -> Result<(), Refusal> {
        self.gas.burn(gas::NEW_ROW / 2)?;
        self.state.deployments.insert_mut(id, row);
        Ok(())
    }

    pub(super) fn put_group(
        &mut self,
        id: GroupId,
        row: wire::deployment::Group,
    ) -> Result<(), Refusal> {
        self.burn_row(self.state.groups.contains_key(&id))?;
        self.state.groups.insert_mut(id, row);
        Ok(())
    }

    pub(super) fn put_order(
        &mut self,
        id: OrderId,
        row: wire::market::Order,
    ) -> Result<(), Refusal> {
        self.burn_row(self.state.orders.contains_key(&id))?;
        self.state.orders.insert_mut(id, row);
        Ok(())
    }

    pub(super) fn put_bid(&mut self, id: &BidId, row: wire::market::Bid) -> Result<(), Refusal> {
        self.burn_row(self.state.bid(id).is_some())?;
        let mut bids = self.state.bids.get(&id.order).cloned().unwrap_or_else(Map::new_sync);
        bids.insert_mut(id.provider.clone(), row);
        self.state.bids.insert_mut(id.order.clone(), bids);
        Ok(())
    }

    pub(super) fn put_lease(
        &mut self,
        order: OrderId,
        row: wire::market::Lease,
    ) -> Result<(), Refusal> {
        self.burn_row(true)?;
        self.state.leases.insert_mut(order, row);
        Ok(())
    }

    pub(super) fn put_escrow(&mut self, id: EscrowId, row: EscrowAccount) -> Result<(), Refusal> {
        self.gas.burn(gas::ESCROW)?;
        self.state.escrows.insert_mut(id, row);
        Ok(())
    }

    pub(super) fn put_payment(&mut self, order: OrderId, row: Payment) -> Result<(), Refusal> {
        self.gas.burn(gas::PAYMENT)?;
        self.state.payments.insert_mut(order, row);
        Ok(())
    }

    fn burn_row(&mut self, existed: bool) -> Result<(), Refusal> {
        self.gas.burn(if existed { gas::CHANGED_ROW } else { gas::NEW_ROW })
    }
}
