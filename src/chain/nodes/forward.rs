//! Which question each method of the ports is, when several nodes may answer it.
//!
//! A transaction that a node does not know, a hash that it has pruned and a transaction that it does not take settle nothing:
//! another node may know better.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::{Asked, Endpoint, Hedge, Nodes, Worth};
use crate::{
    domain::{
        Address, AuditedAttributes, Bid, BidState, Certificate, Coin, Deployment, DeploymentId,
        Height, Lease, LeaseState, MarketParams, Order, Payment, Provider,
    },
    provider::port::{
        Account, Broadcast, Chain, ChainError, ChainErrorKind, ChainIdentity, Included, Indexer,
        Missed, NodeHealth, Seen, Tip,
    },
};

impl Nodes {
    /// A read of the state, which the first answer settles.
    async fn read<'a, T: Send>(
        &'a self,
        at_least: Height,
        ask: impl Fn(&'a dyn Endpoint, Height) -> Asked<'a, Seen<T>> + Send + Sync,
    ) -> Result<Seen<T>, ChainError> {
        let worth = Worth {
            at_least,
            height: |seen: &Seen<T>| Some(seen.at),
            settles: |_| true,
            hedge: Hedge::Soon,
            lasting: false,
        };
        Ok(self.race(self.order(), worth, ask).await?.0)
    }

    /// A question without a state, which an answer settles or not.
    async fn look<'a, T: Send>(
        &'a self,
        settles: fn(&T) -> bool,
        ask: impl Fn(&'a dyn Endpoint) -> Asked<'a, T> + Send + Sync,
    ) -> Result<T, ChainError> {
        let worth = Worth {
            at_least: Height(0),
            height: |_| None,
            settles,
            hedge: Hedge::Soon,
            lasting: false,
        };
        Ok(self.race(self.order(), worth, move |node, _| ask(node)).await?.0)
    }

    /// Hands a transaction to the member that takes them, or to the next.
    async fn write<'a, T: Send>(
        &'a self,
        settles: fn(&T) -> bool,
        (hedge, lasting): (Hedge, bool),
        ask: impl Fn(&'a dyn Endpoint) -> Asked<'a, T> + Send + Sync,
    ) -> Result<T, ChainError> {
        let worth = Worth { at_least: Height(0), height: |_| None, settles, hedge, lasting };
        let (answer, by) =
            self.race(self.order_to_write(), worth, move |node, _| ask(node)).await?;
        self.0.writer.store(by, Ordering::Relaxed);
        Ok(answer)
    }
}

#[async_trait]
impl Chain for Nodes {
    fn nodes(&self) -> Vec<NodeHealth> {
        self.health()
    }

    async fn tip(&self) -> Result<Tip, ChainError> {
        let worth = Worth {
            at_least: Height(0),
            height: |tip: &Tip| Some(tip.height),
            settles: |tip: &Tip| !tip.catching_up,
            hedge: Hedge::Soon,
            lasting: false,
        };
        let ask = |node, floor| -> Asked<'_, Tip> { Box::pin(tip_of(node, floor)) };
        Ok(self.race(self.order(), worth, ask).await?.0)
    }

    async fn identity(&self) -> Result<ChainIdentity, ChainError> {
        self.look(|_| true, |node| node.identity()).await
    }

    async fn block_hash(&self, height: Height) -> Result<Option<String>, ChainError> {
        self.look(Option::is_some, |node| node.block_hash(height)).await
    }

    async fn deployment(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Option<Deployment>>, ChainError> {
        self.read(at_least, |node, floor| node.deployment(id, floor)).await
    }

    async fn orders(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Order>>, ChainError> {
        self.read(at_least, |node, floor| node.orders(id, floor)).await
    }

    async fn bids(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        self.read(at_least, |node, floor| node.bids(id, floor)).await
    }

    async fn leases(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        self.read(at_least, |node, floor| node.leases(id, floor)).await
    }

    async fn payments(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        self.read(at_least, |node, floor| node.payments(id, floor)).await
    }

    async fn open_orders(&self, at_least: Height) -> Result<Seen<Vec<Order>>, ChainError> {
        self.read(at_least, |node, floor| node.open_orders(floor)).await
    }

    async fn provider_bids(
        &self,
        provider: &Address,
        state: BidState,
        at_least: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        self.read(at_least, |node, floor| node.provider_bids(provider, state, floor)).await
    }

    async fn provider_leases(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        self.read(at_least, |node, floor| node.provider_leases(provider, floor)).await
    }

    async fn provider_payments(
        &self,
        provider: &Address,
        state: LeaseState,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        self.read(at_least, |node, floor| node.provider_payments(provider, state, floor)).await
    }

    async fn provider(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Provider>>, ChainError> {
        self.read(at_least, |node, floor| node.provider(owner, floor)).await
    }

    async fn audited_attributes(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<AuditedAttributes>>, ChainError> {
        self.read(at_least, |node, floor| node.audited_attributes(provider, floor)).await
    }

    async fn market_params(&self, at_least: Height) -> Result<Seen<MarketParams>, ChainError> {
        self.read(at_least, |node, floor| node.market_params(floor)).await
    }

    async fn certificates(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Certificate>>, ChainError> {
        self.read(at_least, |node, floor| node.certificates(owner, floor)).await
    }

    async fn account(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Account>>, ChainError> {
        self.read(at_least, |node, floor| node.account(address, floor)).await
    }

    async fn balances(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Coin>>, ChainError> {
        self.read(at_least, |node, floor| node.balances(address, floor)).await
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<u64, ChainError> {
        self.write(|_| true, (Hedge::Late, false), |node| node.simulate(transaction)).await
    }

    /// A node that does not take it settles nothing, and its refusal counts only when every node gave an answer: one that gave
    /// none may have taken it.
    async fn broadcast(&self, transaction: &[u8]) -> Result<Broadcast, ChainError> {
        let settles = |answer: &Broadcast| matches!(answer, Broadcast::Accepted | Broadcast::Known);
        self.write(settles, (Hedge::Soon, true), |node| node.broadcast(transaction)).await
    }

    async fn transaction(&self, hash: &str) -> Result<Option<Included>, ChainError> {
        self.look(Option::is_some, |node| node.transaction(hash)).await
    }
}

#[async_trait]
impl Indexer for Nodes {
    fn reads_per_block(&self, stream: &str) -> u32 {
        self.0.members.first().map_or(2, |member| member.node.reads_per_block(stream))
    }

    async fn blocks(&self, stream: &str, from: Height, to: Height) -> Result<Missed, ChainError> {
        let worth = Worth {
            at_least: Height(0),
            height: |_| None,
            settles: |missed: &Missed| missed.through.is_some(),
            hedge: Hedge::Never,
            lasting: false,
        };
        let asked = self.race(self.order(), worth, |node, _| node.blocks(stream, from, to));
        Ok(asked.await?.0)
    }
}

/// A node's newest block, when it is not from behind.
async fn tip_of(node: &dyn Endpoint, floor: Height) -> Result<Tip, ChainError> {
    let tip = node.tip().await?;
    if tip.height >= floor {
        return Ok(tip);
    }
    let detail = format!("the node is at block {}, wanted is {floor} or later", tip.height);
    Err(ChainError { doing: "ask for the newest block", detail, kind: ChainErrorKind::Behind })
}
