//! Every port, with a place to die before and after each call. A method that is added to a port is missing here until it
//! is listed, which the compiler sees to, but for the few that a port gives a default: those are listed too, so that what is
//! killed is what production runs.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use lessor::{
    bidengine::Decision,
    domain::{
        Address, AuditedAttributes, Bid, BidState, Certificate, Coin, Deployment, DeploymentId,
        Height, Lease, LeaseId, LeaseState, MarketParams, Order, OrderId, Payment, Provider,
        inventory::Inventory,
    },
    provider::{
        self,
        port::{
            Account, AccountCommit, AccountWork, AuditLine, Backlog, Breaker, Broadcast, Chain,
            ChainError, ChainIdentity, Changes, Claim, Clock, Cluster, ClusterError, ClusterEvent,
            Commit, Committed, Content, Deadline, Delivery, DeliveryRow, Effect, EffectClaim,
            EffectReport, Entropy, EventRow, ExecQuery, Execution, FunnelRow, HostnameClaim,
            HostnamesMoved, Included, Indexer, Ingested, LeaseStatus, Loaded, LogLine, LogQuery,
            Maintenance, ManifestRow, ManifestStored, Missed, NewPolicy, NodeHealth, Observation,
            OrderFilter, OrderRow, Page, Plan, PolicyRow, PolicyStored, Reservations, Restore,
            Seen, Session, Signer, SignerError, Spent, Store, StoreError, StreamChange, StreamRow,
            StreamState, StuckRow, Subject, Sweep, Swept, Teardown, Tip, Totals, Transaction,
            Workload,
        },
    },
};
use serde_json::Value;

use crate::points::{Points, Side};

/// A port whose calls are places.
struct Pointed<P: ?Sized> {
    inner: Arc<P>,
    points: Arc<Points>,
}

/// Puts places around every port of a provider.
pub(crate) fn pointed(
    mut provider: provider::Provider,
    points: &Arc<Points>,
) -> provider::Provider {
    provider.store = Arc::new(pointed_port(provider.store, points));
    provider.chain = Arc::new(pointed_port(provider.chain, points));
    provider.cluster = Arc::new(pointed_port(provider.cluster, points));
    provider.clock = Arc::new(pointed_port(provider.clock, points));
    provider.entropy = Arc::new(pointed_port(provider.entropy, points));
    provider.signer = provider.signer.map(|port| Arc::new(pointed_port(port, points)) as _);
    provider.indexer = provider.indexer.map(|port| Arc::new(pointed_port(port, points)) as _);
    provider
}

fn pointed_port<P: ?Sized>(inner: Arc<P>, points: &Arc<Points>) -> Pointed<P> {
    Pointed { inner, points: Arc::clone(points) }
}

macro_rules! port {
    ($port:ident { $($method:ident($($name:ident: $of:ty),*) -> $answer:ty;)* } $($at_once:item)*) => {
        #[async_trait]
        impl $port for Pointed<dyn $port> {
            $($at_once)*
            $(async fn $method(&self, $($name: $of),*) -> $answer {
                let name = concat!(stringify!($port), ".", stringify!($method));
                self.points.through(name, self.inner.$method($($name),*)).await
            })*
        }
    };
}

port!(Store {
    chain_identity() -> Result<Option<ChainIdentity>, StoreError>;
    record_chain_identity(identity: &ChainIdentity) -> Result<ChainIdentity, StoreError>;
    ingest(delivery: Delivery, content: Content, plan: Box<Plan>) -> Result<Ingested, StoreError>;
    stream(name: &str) -> Result<Option<StreamRow>, StoreError>;
    change_stream(name: &str, change: &StreamChange<'_>) -> Result<StreamState, StoreError>;
    spend(stream: &str, reads: u32, limit: u32, now: Timestamp) -> Result<Spent, StoreError>;
    events(subject: &Subject, limit: u32) -> Result<Vec<EventRow>, StoreError>;
    wake(subjects: &[Subject], hint: Option<Height>, now: Timestamp) -> Result<(), StoreError>;
    wake_due(block_time: Timestamp) -> Result<u64, StoreError>;
    claim(worker: &str, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Loaded>, StoreError>;
    commit(claim: &Claim, now: Timestamp, commit: &Commit) -> Result<Committed, StoreError>;
    give_back(claim: &Claim, retry_at: Timestamp, error: Option<&str>) -> Result<(), StoreError>;
    forget(claims: &[Claim]) -> Result<u64, StoreError>;
    next_due() -> Result<Option<Timestamp>, StoreError>;
    wait_no_longer(latest: Timestamp, now: Timestamp) -> Result<u64, StoreError>;
    subject_state(subject: &Subject) -> Result<Option<Value>, StoreError>;
    claim_effects(worker: &str, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<EffectClaim>, StoreError>;
    report_effect(claim: &EffectClaim, report: &EffectReport, now: Timestamp) -> Result<bool, StoreError>;
    effects(subject: &Subject) -> Result<Vec<Effect>, StoreError>;
    account_work(account: &Address, now: Timestamp) -> Result<Option<AccountWork>, StoreError>;
    commit_account(account: &Address, wakes: u64, now: Timestamp, commit: &AccountCommit) -> Result<Vec<Transaction>, StoreError>;
    transactions(unsettled_only: bool, after: Option<&str>, limit: u32) -> Result<Page<Transaction>, StoreError>;
    deliveries(stream: &str, after: Option<&str>, limit: u32)
        -> Result<Page<DeliveryRow>, StoreError>;
    stuck(failures: u32, after: Option<&str>, limit: u32) -> Result<Page<StuckRow>, StoreError>;
    try_now(subject: &Subject, now: Timestamp) -> Result<bool, StoreError>;
    reservations() -> Result<Reservations, StoreError>;
    reservations_unless(version: u64) -> Result<Option<Reservations>, StoreError>;
    store_manifest(manifest: &ManifestRow, leases: &[LeaseId], hostnames: &[HostnameClaim], now: Timestamp) -> Result<ManifestStored, StoreError>;
    manifests(deployment: &DeploymentId) -> Result<Vec<ManifestRow>, StoreError>;
    hostnames(lease: &LeaseId) -> Result<Vec<HostnameClaim>, StoreError>;
    hostname_holders(names: &[String]) -> Result<Vec<(String, LeaseId)>, StoreError>;
    move_hostnames(to: &LeaseId, claims: &[HostnameClaim], audit: &AuditLine, now: Timestamp) -> Result<HostnamesMoved, StoreError>;
    orders(filter: &OrderFilter, after: Option<&str>, limit: u32) -> Result<Page<OrderRow>, StoreError>;
    order(id: &OrderId) -> Result<Option<OrderRow>, StoreError>;
    decision(order: &OrderId) -> Result<Option<Decision>, StoreError>;
    order_counts() -> Result<Vec<(String, u64)>, StoreError>;
    deadlines(limit: u32) -> Result<Vec<(Subject, Deadline)>, StoreError>;
    funnel(since: Timestamp, sample: u32) -> Result<Vec<FunnelRow>, StoreError>;
    totals(since: Timestamp) -> Result<Totals, StoreError>;
    backlog(failures: u32, block_time: Timestamp) -> Result<Backlog, StoreError>;
    changes() -> Result<Changes, StoreError>;
    maintenance() -> Result<Maintenance, StoreError>;
    set_maintenance(maintenance: &Maintenance, audit: &AuditLine, wake: &[Subject], now: Timestamp) -> Result<(), StoreError>;
    breaker() -> Result<Breaker, StoreError>;
    teardowns_since(since: Timestamp) -> Result<u64, StoreError>;
    hold_teardowns(decided: u64, audit: &AuditLine, now: Timestamp) -> Result<(), StoreError>;
    agree_to_teardowns(audit: &AuditLine, now: Timestamp) -> Result<(), StoreError>;
    open_session(session: &Session, most: u32, audit: &AuditLine) -> Result<(), StoreError>;
    session(digest: &[u8; 32]) -> Result<Option<Session>, StoreError>;
    end_session(digest: &[u8; 32], audit: &AuditLine) -> Result<bool, StoreError>;
    policy_version() -> Result<u64, StoreError>;
    newest_policy(made_by: Option<&str>) -> Result<Option<PolicyRow>, StoreError>;
    policies(after: Option<&str>, limit: u32) -> Result<Page<PolicyRow>, StoreError>;
    put_policy(seen: u64, new: &NewPolicy, now: Timestamp) -> Result<PolicyStored, StoreError>;
    sweep(sweep: &Sweep) -> Result<Swept, StoreError>;
    last_restore() -> Result<Option<Restore>, StoreError>;
    change_restore(restore: &Restore) -> Result<(), StoreError>;
    manifest(deployment: &DeploymentId, hash: &str) -> Result<Option<ManifestRow>, StoreError>;
    observe(observation: &Observation) -> Result<(), StoreError>;
    observation(key: &str) -> Result<Option<Observation>, StoreError>;
    audit(lines: &[AuditLine]) -> Result<(), StoreError>;
    audit_lines(after: Option<&str>, limit: u32) -> Result<Page<AuditLine>, StoreError>;
    health() -> Result<(), StoreError>;
});

port!(Chain {
    tip() -> Result<Tip, ChainError>;
    identity() -> Result<ChainIdentity, ChainError>;
    block_hash(height: Height) -> Result<Option<String>, ChainError>;
    deployment(id: &DeploymentId, at_least: Height) -> Result<Seen<Option<Deployment>>, ChainError>;
    orders(id: &DeploymentId, at_least: Height) -> Result<Seen<Vec<Order>>, ChainError>;
    bids(id: &DeploymentId, at_least: Height) -> Result<Seen<Vec<Bid>>, ChainError>;
    leases(id: &DeploymentId, at_least: Height) -> Result<Seen<Vec<Lease>>, ChainError>;
    payments(id: &DeploymentId, at_least: Height) -> Result<Seen<Vec<Payment>>, ChainError>;
    open_orders(at_least: Height) -> Result<Seen<Vec<Order>>, ChainError>;
    provider_bids(provider: &Address, state: BidState, at_least: Height) -> Result<Seen<Vec<Bid>>, ChainError>;
    provider_leases(provider: &Address, at_least: Height) -> Result<Seen<Vec<Lease>>, ChainError>;
    provider_payments(provider: &Address, state: LeaseState, at_least: Height) -> Result<Seen<Vec<Payment>>, ChainError>;
    provider(owner: &Address, at_least: Height) -> Result<Seen<Option<Provider>>, ChainError>;
    audited_attributes(provider: &Address, at_least: Height) -> Result<Seen<Vec<AuditedAttributes>>, ChainError>;
    market_params(at_least: Height) -> Result<Seen<MarketParams>, ChainError>;
    certificates(owner: &Address, at_least: Height) -> Result<Seen<Vec<Certificate>>, ChainError>;
    account(address: &Address, at_least: Height) -> Result<Seen<Option<Account>>, ChainError>;
    balances(address: &Address, at_least: Height) -> Result<Seen<Vec<Coin>>, ChainError>;
    simulate(transaction: &[u8]) -> Result<u64, ChainError>;
    broadcast(transaction: &[u8]) -> Result<Broadcast, ChainError>;
    transaction(hash: &str) -> Result<Option<Included>, ChainError>;
}
fn nodes(&self) -> Vec<NodeHealth> {
    self.inner.nodes()
});

port!(Cluster {
    inventory() -> Result<Inventory, ClusterError>;
    apply(workload: &Workload) -> Result<(), ClusterError>;
    teardown(lease: &LeaseId) -> Result<Teardown, ClusterError>;
    status(lease: &LeaseId) -> Result<Option<LeaseStatus>, ClusterError>;
    leases() -> Result<Vec<LeaseId>, ClusterError>;
    logs(lease: &LeaseId, query: &LogQuery) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError>;
    events(lease: &LeaseId, follow: bool, after: Option<&str>) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError>;
    exec(lease: &LeaseId, query: &ExecQuery) -> Result<Execution, ClusterError>;
}
fn watch(&self) -> Box<dyn Send + Sync> {
    self.inner.watch()
});

port!(Indexer {
    blocks(stream: &str, from: Height, to: Height) -> Result<Missed, ChainError>;
}
fn reads_per_block(&self, stream: &str) -> u32 {
    self.inner.reads_per_block(stream)
}
fn fallback(&self, stream: &str) -> Option<&dyn Indexer> {
    self.inner.fallback(stream)
});

#[async_trait]
impl Signer for Pointed<dyn Signer> {
    fn address(&self) -> &Address {
        self.inner.address()
    }

    fn public_key(&self) -> &[u8] {
        self.inner.public_key()
    }

    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }

    async fn sign(&self, sign_doc: &[u8]) -> Result<[u8; 64], SignerError> {
        self.points.through("Signer.sign", self.inner.sign(sign_doc)).await
    }
}

impl Clock for Pointed<dyn Clock> {
    fn now(&self) -> Timestamp {
        self.points.pass_blocking("Clock.now", Side::Before);
        let now = self.inner.now().saturating_add(self.points.clock_is_ahead()).unwrap();
        self.points.pass_blocking("Clock.now", Side::After);
        now
    }
}

impl Entropy for Pointed<dyn Entropy> {
    fn bits(&self) -> u64 {
        self.points.pass_blocking("Entropy.bits", Side::Before);
        let bits = self.inner.bits();
        self.points.pass_blocking("Entropy.bits", Side::After);
        bits
    }
}
