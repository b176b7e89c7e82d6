//! Small stand-ins for chain and cluster.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use lessor::{
    domain::{
        Address, AuditedAttributes, Bid, BidState, Certificate, Coin, Deployment, Height, Lease,
        LeaseId, LeaseState, MarketParams, Order, Payment, Provider as ChainProvider,
        inventory::Inventory,
    },
    provider::port::{
        Account, Broadcast, Chain, ChainError, ChainErrorKind, ChainIdentity, Cluster,
        ClusterError, ClusterErrorKind, ClusterEvent, ExecInput, ExecOutput, ExecQuery, Execution,
        Included, LeaseStatus, LogLine, LogQuery, Seen, Teardown, Tip, Workload,
    },
};

use tokio::sync::mpsc;

use super::world::{CHAIN, start};

/// A chain that knows accounts and one deployment per owner.
#[derive(Default)]
pub(super) struct FakeChain {
    pub(super) keys: Mutex<HashMap<Address, Option<Vec<u8>>>>,
    pub(super) deployments: Mutex<Vec<Deployment>>,
    pub(super) leases: Mutex<Vec<Lease>>,
    /// No read is answered.
    pub(super) is_away: Mutex<bool>,
    pub(super) account_reads: AtomicU64,
}

impl FakeChain {
    fn seen<T>(&self, value: T) -> Result<Seen<T>, ChainError> {
        if *self.is_away.lock().unwrap() {
            let (doing, detail) = ("read", "secret-host-name refused".to_owned());
            return Err(ChainError { doing, detail, kind: ChainErrorKind::Unavailable });
        }
        Ok(Seen { value, at: Height(1000) })
    }
}

#[async_trait]
impl Chain for FakeChain {
    async fn tip(&self) -> Result<Tip, ChainError> {
        let tip = Tip {
            chain_id: CHAIN.to_owned(),
            height: Height(1000),
            time: start(),
            catching_up: false,
        };
        self.seen(tip).map(|seen| seen.value)
    }
    async fn identity(&self) -> Result<ChainIdentity, ChainError> {
        let identity = ChainIdentity {
            chain_id: CHAIN.to_owned(),
            first_block_hash: "AA".repeat(32),
            first_block_height: Height(1),
        };
        self.seen(identity).map(|seen| seen.value)
    }
    async fn block_hash(&self, _: Height) -> Result<Option<String>, ChainError> {
        self.seen(Some("AA".repeat(32))).map(|seen| seen.value)
    }
    async fn deployment(
        &self,
        id: &lessor::domain::DeploymentId,
        _: Height,
    ) -> Result<Seen<Option<Deployment>>, ChainError> {
        let found = self.deployments.lock().unwrap().iter().find(|one| one.id == *id).cloned();
        self.seen(found)
    }
    async fn orders(
        &self,
        _: &lessor::domain::DeploymentId,
        _: Height,
    ) -> Result<Seen<Vec<Order>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn bids(
        &self,
        _: &lessor::domain::DeploymentId,
        _: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn leases(
        &self,
        id: &lessor::domain::DeploymentId,
        _: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        let leases = self.leases.lock().unwrap().clone();
        self.seen(leases.into_iter().filter(|lease| lease.id.deployment() == id).collect())
    }
    async fn payments(
        &self,
        _: &lessor::domain::DeploymentId,
        _: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn open_orders(&self, _: Height) -> Result<Seen<Vec<Order>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn provider_bids(
        &self,
        _: &Address,
        _: BidState,
        _: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn provider_leases(
        &self,
        _: &Address,
        _: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn provider_payments(
        &self,
        _: &Address,
        _: LeaseState,
        _: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn provider(
        &self,
        _: &Address,
        _: Height,
    ) -> Result<Seen<Option<ChainProvider>>, ChainError> {
        self.seen(None)
    }
    async fn audited_attributes(
        &self,
        _: &Address,
        _: Height,
    ) -> Result<Seen<Vec<AuditedAttributes>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn market_params(&self, _: Height) -> Result<Seen<MarketParams>, ChainError> {
        self.seen(MarketParams {
            bid_min_deposits: Vec::new(),
            order_max_bids: 20,
            min_reclamation_window_s: 0,
            max_reclamation_window_s: 0,
        })
    }
    async fn certificates(
        &self,
        _: &Address,
        _: Height,
    ) -> Result<Seen<Vec<Certificate>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn account(
        &self,
        address: &Address,
        _: Height,
    ) -> Result<Seen<Option<Account>>, ChainError> {
        self.account_reads.fetch_add(1, Ordering::Relaxed);
        let key = self.keys.lock().unwrap().get(address).cloned();
        self.seen(key.map(|public_key| Account { number: 1, sequence: 0, public_key }))
    }
    async fn balances(&self, _: &Address, _: Height) -> Result<Seen<Vec<Coin>>, ChainError> {
        self.seen(Vec::new())
    }
    async fn simulate(&self, _: &[u8]) -> Result<u64, ChainError> {
        self.seen(100_000).map(|seen| seen.value)
    }
    async fn broadcast(&self, _: &[u8]) -> Result<Broadcast, ChainError> {
        Ok(Broadcast::Busy("not in these tests".to_owned()))
    }
    async fn transaction(&self, _: &str) -> Result<Option<Included>, ChainError> {
        Ok(None)
    }
}

/// A cluster that says what it is told to say.
#[derive(Default)]
pub(super) struct FakeCluster {
    pub(super) statuses: Mutex<BTreeMap<LeaseId, LeaseStatus>>,
    pub(super) lines: Mutex<Vec<LogLine>>,
    /// Makes the next look at a status panic, as a handler with a fault in it would.
    pub(super) is_broken: Mutex<bool>,
}

fn refused(kind: ClusterErrorKind) -> ClusterError {
    ClusterError {
        doing: "read the logs",
        detail: "as the simulated cluster says".to_owned(),
        kind,
    }
}

#[async_trait]
impl Cluster for FakeCluster {
    async fn inventory(&self) -> Result<Inventory, ClusterError> {
        Ok(Inventory::default())
    }
    async fn apply(&self, _: &Workload) -> Result<(), ClusterError> {
        Ok(())
    }
    async fn teardown(&self, _: &LeaseId) -> Result<Teardown, ClusterError> {
        Ok(Teardown::Gone)
    }
    async fn status(&self, lease: &LeaseId) -> Result<Option<LeaseStatus>, ClusterError> {
        assert!(!*self.is_broken.lock().unwrap(), "a fault with a secret-host-name in it");
        Ok(self.statuses.lock().unwrap().get(lease).cloned())
    }
    async fn leases(&self) -> Result<Vec<LeaseId>, ClusterError> {
        Ok(self.statuses.lock().unwrap().keys().cloned().collect())
    }
    async fn logs(
        &self,
        _: &LeaseId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError> {
        if query.after.as_ref().is_some_and(|after| after.parse::<u64>().is_err()) {
            return Err(refused(ClusterErrorKind::Refused));
        }
        let has =
            |name: &String| self.lines.lock().unwrap().iter().any(|line| line.service == *name);
        let is_empty = self.lines.lock().unwrap().is_empty();
        if !is_empty && query.services.iter().any(|name| !has(name)) {
            return Err(refused(ClusterErrorKind::NotFound));
        }
        let wanted = |line: &LogLine| {
            (query.services.is_empty() || query.services.contains(&line.service))
                && query.after.as_ref().is_none_or(|after| line.cursor > *after)
        };
        let lines: Vec<_> = self
            .lines
            .lock()
            .unwrap()
            .iter()
            .filter(|line| wanted(line))
            .cloned()
            .map(Ok)
            .collect();
        if query.follow {
            return Ok(stream::iter(lines).chain(stream::pending()).boxed());
        }
        Ok(stream::iter(lines).boxed())
    }
    async fn events(
        &self,
        _: &LeaseId,
        _: bool,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError> {
        if after.is_some_and(|after| after.parse::<u64>().is_err()) {
            return Err(refused(ClusterErrorKind::Refused));
        }
        Ok(stream::empty().boxed())
    }

    /// A command that writes what it reads, its terminal's size as an error, and ends with 3.
    async fn exec(&self, _: &LeaseId, query: &ExecQuery) -> Result<Execution, ClusterError> {
        if query.service != "web" {
            return Err(refused(ClusterErrorKind::NotFound));
        }
        if query.replica > 0 {
            return Err(refused(ClusterErrorKind::Refused));
        }
        let (input, inputs) = mpsc::channel(1);
        let output = stream::unfold(inputs, |mut inputs| async move {
            let said = match inputs.recv().await? {
                ExecInput::Stdin(bytes) => ExecOutput::Stdout(bytes),
                ExecInput::Resize { columns, rows } => {
                    ExecOutput::Stderr(format!("{columns}x{rows}").into())
                }
                ExecInput::EndOfStdin => ExecOutput::Exit(3),
            };
            Some((Ok(said), inputs))
        });
        Ok(Execution { input, output: output.boxed() })
    }
}
