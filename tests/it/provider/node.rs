//! A node of the tests' chain as the ports `Chain` and `Indexer`, with the faults of real ones.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use lessor::{
    devnet::{genesis::CHAIN_ID, ledger::Snapshot},
    domain::{
        Address, AuditedAttributes, Bid, BidState, Certificate, Coin, Deployment, DeploymentId,
        Height, Lease, LeaseState, MarketParams, Order, OrderState, Payment, Provider,
    },
    event::envelope::BlockEvent,
    provider::port::{
        Account, Broadcast, Chain, ChainError, ChainErrorKind, ChainIdentity, Included, Indexer,
        Missed, Refusal, Seen, Tip,
    },
    wire::{audit, cert, cosmos, deployment, market, provider},
};

use super::{
    fault::Gate,
    market::{Market, ask, block_ref, pages},
};

/// What one process sees of the chain.
pub(super) struct Node {
    market: Arc<Mutex<Market>>,
    gate: Arc<Gate>,
    /// The height of the newest tip that this process was told.
    newest: AtomicU64,
}

pub(super) fn failed(doing: &'static str, kind: ChainErrorKind) -> ChainError {
    ChainError { doing, detail: "as the test wants it".to_owned(), kind }
}

impl Node {
    pub(super) fn new(market: Arc<Mutex<Market>>, gate: Arc<Gate>) -> Self {
        Self { market, gate, newest: AtomicU64::new(0) }
    }

    fn market(&self) -> MutexGuard<'_, Market> {
        self.market.lock().unwrap()
    }

    /// The state that answers a read.
    async fn state(
        &self,
        doing: &'static str,
        about: &str,
        at_least: Height,
    ) -> Result<(Snapshot, Timestamp), ChainError> {
        self.gate.pass().await;
        let mut market = self.market();
        market.reads += 1;
        let call = format!("{doing} {about}");
        if market.faults.strikes(&call, |rates| rates.read_fails) {
            return Err(failed(doing, ChainErrorKind::Unavailable));
        }
        let lags = market.faults.strikes(&format!("lag {call}"), |rates| rates.read_lags);
        let back = if lags { 1 + market.faults.draw("lag") as usize % 3 } else { 0 };
        let (state, time) = market.state(back).clone();
        if state.height() < at_least.0 {
            return Err(failed(doing, ChainErrorKind::Behind));
        }
        Ok((state, time))
    }

    async fn leases_in(
        &self,
        state: &Snapshot,
        provider: &Address,
        wanted: LeaseState,
    ) -> Vec<Lease> {
        let filters = market::LeaseFilters {
            provider: provider.to_string(),
            state: wanted.to_string(),
            ..Default::default()
        };
        pages(state, market::QueryLeasesRequest { filters, pagination: None })
            .into_iter()
            .flat_map(|page| page.leases)
            .map(|answer| answer.lease.try_into().unwrap())
            .collect()
    }
}

fn seen<T>(state: &Snapshot, value: T) -> Seen<T> {
    Seen { value, at: Height(state.height()) }
}

#[async_trait]
impl Chain for Node {
    async fn tip(&self) -> Result<Tip, ChainError> {
        let (state, time) = self.state("tip", "", Height(0)).await?;
        self.newest.fetch_max(state.height(), Ordering::SeqCst);
        Ok(Tip {
            chain_id: CHAIN_ID.to_owned(),
            height: Height(state.height()),
            time,
            catching_up: false,
        })
    }

    async fn identity(&self) -> Result<ChainIdentity, ChainError> {
        self.gate.pass().await;
        let first = self.market.lock().unwrap().first_block.clone();
        Ok(ChainIdentity {
            chain_id: CHAIN_ID.to_owned(),
            first_block_hash: first.chain.repeat(32),
            first_block_height: first.height,
        })
    }

    async fn block_hash(&self, height: Height) -> Result<Option<String>, ChainError> {
        self.gate.pass().await;
        let market = self.market();
        let first = market.first_block.clone();
        let is_other = market.other_from.is_some_and(|from| height >= from);
        let is_made = height > first.height && height.0 <= market.ledger.height();
        let hash = if is_made && !is_other {
            block_ref(height).hash.to_string()
        } else {
            first.chain.repeat(32)
        };
        Ok((height >= first.height).then_some(hash))
    }

    async fn deployment(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Option<Deployment>>, ChainError> {
        let (state, _) = self.state("deployment", &id.to_string(), at_least).await?;
        let found = ask(&state, &deployment::QueryDeploymentRequest { id: id.into() });
        Ok(seen(&state, found.map(|answer| answer.try_into().unwrap())))
    }

    async fn orders(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Order>>, ChainError> {
        let (state, _) = self.state("orders", &id.to_string(), at_least).await?;
        let filters = market::OrderFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let pages = pages(&state, market::QueryOrdersRequest { filters, pagination: None });
        let orders = pages.into_iter().flat_map(|page| page.orders);
        Ok(seen(&state, orders.map(|order| order.try_into().unwrap()).collect()))
    }

    async fn bids(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        let (state, _) = self.state("bids", &id.to_string(), at_least).await?;
        let filters =
            market::BidFilters { owner: id.owner.to_string(), dseq: id.dseq, ..Default::default() };
        let pages = pages(&state, market::QueryBidsRequest { filters, pagination: None });
        let bids = pages.into_iter().flat_map(|page| page.bids);
        Ok(seen(&state, bids.map(|answer| answer.bid.try_into().unwrap()).collect()))
    }

    async fn leases(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        let (state, _) = self.state("leases", &id.to_string(), at_least).await?;
        let filters = market::LeaseFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let pages = pages(&state, market::QueryLeasesRequest { filters, pagination: None });
        let leases = pages.into_iter().flat_map(|page| page.leases);
        Ok(seen(&state, leases.map(|answer| answer.lease.try_into().unwrap()).collect()))
    }

    async fn payments(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        let (state, _) = self.state("payments", &id.to_string(), at_least).await?;
        let filters = market::LeaseFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let pages = pages(&state, market::QueryLeasesRequest { filters, pagination: None });
        let leases = pages.into_iter().flat_map(|page| page.leases);
        Ok(seen(&state, leases.map(|answer| answer.try_into().unwrap()).collect()))
    }

    async fn open_orders(&self, at_least: Height) -> Result<Seen<Vec<Order>>, ChainError> {
        let (state, _) = self.state("open orders", "", at_least).await?;
        let filters =
            market::OrderFilters { state: OrderState::Open.to_string(), ..Default::default() };
        let pages = pages(&state, market::QueryOrdersRequest { filters, pagination: None });
        let orders = pages.into_iter().flat_map(|page| page.orders);
        Ok(seen(&state, orders.map(|order| order.try_into().unwrap()).collect()))
    }

    async fn provider_bids(
        &self,
        provider: &Address,
        wanted: BidState,
        at_least: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        let (state, _) = self.state("provider bids", "", at_least).await?;
        let filters = market::BidFilters {
            provider: provider.to_string(),
            state: wanted.to_string(),
            ..Default::default()
        };
        let pages = pages(&state, market::QueryBidsRequest { filters, pagination: None });
        let bids = pages.into_iter().flat_map(|page| page.bids);
        Ok(seen(&state, bids.map(|answer| answer.bid.try_into().unwrap()).collect()))
    }

    async fn provider_leases(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        let (state, _) = self.state("provider leases", "", at_least).await?;
        let mut leases = self.leases_in(&state, provider, LeaseState::Active).await;
        leases.extend(self.leases_in(&state, provider, LeaseState::Reclaiming).await);
        Ok(seen(&state, leases))
    }

    async fn provider_payments(
        &self,
        provider: &Address,
        wanted: LeaseState,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        let (state, _) = self.state("provider payments", "", at_least).await?;
        let filters = market::LeaseFilters {
            provider: provider.to_string(),
            state: wanted.to_string(),
            ..Default::default()
        };
        let pages = pages(&state, market::QueryLeasesRequest { filters, pagination: None });
        let leases = pages.into_iter().flat_map(|page| page.leases);
        Ok(seen(&state, leases.map(|answer| answer.try_into().unwrap()).collect()))
    }

    async fn provider(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Provider>>, ChainError> {
        let (state, _) = self.state("provider", "", at_least).await?;
        let found = ask(&state, &provider::QueryProviderRequest { owner: owner.to_string() });
        Ok(seen(&state, found.map(|answer| answer.provider.try_into().unwrap())))
    }

    async fn audited_attributes(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<AuditedAttributes>>, ChainError> {
        let (state, _) = self.state("audits", "", at_least).await?;
        let request =
            audit::QueryProviderAttributesRequest { owner: provider.to_string(), pagination: None };
        let audits = pages(&state, request).into_iter().flat_map(|page| page.providers);
        Ok(seen(&state, audits.map(|audit| audit.try_into().unwrap()).collect()))
    }

    async fn market_params(&self, at_least: Height) -> Result<Seen<MarketParams>, ChainError> {
        let (state, _) = self.state("params", "", at_least).await?;
        let answer = ask(&state, &market::QueryParamsRequest {}).unwrap();
        Ok(seen(&state, answer.params.try_into().unwrap()))
    }

    async fn certificates(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Certificate>>, ChainError> {
        let (state, _) = self.state("certificates", "", at_least).await?;
        let filter = cert::CertificateFilter { owner: owner.to_string(), ..Default::default() };
        let pages = pages(&state, cert::QueryCertificatesRequest { filter, pagination: None });
        let certificates = pages.into_iter().flat_map(|page| page.certificates);
        Ok(seen(&state, certificates.map(|answer| answer.try_into().unwrap()).collect()))
    }

    async fn account(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Account>>, ChainError> {
        let (state, _) = self.state("account", "", at_least).await?;
        let found = ask(&state, &cosmos::QueryAccountRequest { address: address.to_string() });
        let account = found.map(|answer| {
            let account = answer.base_account().unwrap();
            Account { number: account.account_number, sequence: account.sequence, public_key: None }
        });
        Ok(seen(&state, account))
    }

    async fn balances(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Coin>>, ChainError> {
        let (state, _) = self.state("balances", "", at_least).await?;
        let request =
            cosmos::QueryAllBalancesRequest { address: address.to_string(), ..Default::default() };
        let coins = pages(&state, request).into_iter().flat_map(|page| page.balances);
        Ok(seen(&state, coins.map(|coin| coin.try_into().unwrap()).collect()))
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<u64, ChainError> {
        self.gate.pass().await;
        let mut market = self.market();
        if market.faults.strikes("simulate", |rates| rates.read_fails) {
            return Err(failed("simulate", ChainErrorKind::Unavailable));
        }
        if let Some(refusal) = market.unordered_refusal(transaction) {
            let kind = ChainErrorKind::Refused;
            return Err(ChainError { doing: "simulate", detail: refusal.log, kind });
        }
        match market.ledger.simulate(transaction) {
            Ok(answer) => Ok(answer.gas_info.unwrap().gas_used * market.gas_told / 100),
            Err((refusal, _)) => Err(ChainError {
                doing: "simulate",
                detail: refusal.log,
                kind: ChainErrorKind::Refused,
            }),
        }
    }

    async fn broadcast(&self, transaction: &[u8]) -> Result<Broadcast, ChainError> {
        self.gate.pass().await;
        let newest = Height(self.newest.load(Ordering::SeqCst));
        let calls = self.gate.calls();
        let answer = {
            let mut market = self.market();
            if let Some(told) = &mut market.on_broadcast {
                told(calls);
            }
            market.take(transaction, newest)
        };
        self.gate.pass().await;
        answer.ok_or_else(|| failed("broadcast", ChainErrorKind::Unavailable))
    }

    async fn transaction(&self, hash: &str) -> Result<Option<Included>, ChainError> {
        self.gate.pass().await;
        let mut market = self.market();
        let call = format!("tx {hash}");
        if market.faults.strikes(&call, |rates| rates.read_fails) {
            return Err(failed("look for a transaction", ChainErrorKind::Unavailable));
        }
        if market.faults.strikes(&format!("index {hash}"), |rates| rates.not_indexed) {
            return Ok(None);
        }
        Ok(market.result(hash).map(|(height, result)| Included {
            height: Height(*height),
            failure: (result.code != 0).then(|| Refusal {
                codespace: result.codespace.clone(),
                code: result.code,
                log: result.log.clone(),
            }),
            gas_used: u64::try_from(result.gas_used).unwrap(),
        }))
    }
}

#[async_trait]
impl Indexer for Node {
    fn reads_per_block(&self, _stream: &str) -> u32 {
        2
    }

    async fn blocks(&self, _stream: &str, from: Height, to: Height) -> Result<Missed, ChainError> {
        self.gate.pass().await;
        let mut market = self.market();
        if market.faults.strikes("pull", |rates| rates.read_fails) {
            return Err(failed("pull", ChainErrorKind::Unavailable));
        }
        let wanted = market.sent.iter().filter(|block| (from..=to).contains(&block.at.height));
        let blocks: Vec<BlockEvent> = wanted.cloned().collect();
        market.pulled += to.0 - from.0 + 1;
        Ok(Missed { blocks, through: Some(block_ref(to)), complete: true })
    }
}
