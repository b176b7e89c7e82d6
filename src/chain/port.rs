//! The port [`Chain`] over a node: which query answers which question, and how its pages become one list.

use async_trait::async_trait;

use super::{
    broadcast::{classify, classify_error},
    node::{CallError, Node, shorten, unavailable},
};
use crate::{
    domain::{
        Address, AuditedAttributes, Bid, BidState, Certificate, Coin, Deployment, DeploymentId,
        Height, Lease, LeaseState, MarketParams, Order, OrderState, Payment, Provider,
    },
    provider::port::{
        Account, Broadcast, Chain, ChainError, ChainErrorKind, ChainIdentity, Included, Refusal,
        Seen, Tip,
    },
    wire::{
        audit, cert, cosmos, deployment,
        field::FieldError,
        key::PublicKey,
        market, provider,
        rpc::{
            Call,
            answer::{Block, BroadcastTx, Status, Tx},
        },
        text::from_hex,
    },
};

impl Node {
    async fn status(&self, doing: &'static str) -> Result<Status, ChainError> {
        let status: Status = self.call(doing, Call::Status).await?;
        let found = &status.node_info.network;
        match &self.chain_id {
            Some(wanted) if wanted != found => Err(ChainError {
                doing,
                detail: format!("the node is on chain {found:?}, wanted is {wanted:?}"),
                kind: ChainErrorKind::OtherChain,
            }),
            _ => Ok(status),
        }
    }

    async fn leases_in(
        &self,
        provider: &Address,
        state: LeaseState,
        at_least: Height,
        pinned: Option<Height>,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        let doing = "list the provider's leases";
        let filters = market::LeaseFilters {
            provider: provider.to_string(),
            state: state.to_string(),
            ..Default::default()
        };
        let request = market::QueryLeasesRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, pinned).await?;
        items(doing, pages, |page| page.leases.into_iter().map(|answer| answer.lease))
    }
}

/// What a chain's answer says in the domain's terms.
fn convert<W, T>(doing: &'static str, written: W) -> Result<T, ChainError>
where
    T: TryFrom<W, Error = FieldError>,
{
    written
        .try_into()
        .map_err(|error: FieldError| unavailable(doing, format!("the node's answer: {error}")))
}

/// All items of all pages.
fn items<P, W, T, I>(
    doing: &'static str,
    pages: Seen<Vec<P>>,
    of_page: impl Fn(P) -> I,
) -> Result<Seen<Vec<T>>, ChainError>
where
    T: TryFrom<W, Error = FieldError>,
    I: Iterator<Item = W>,
{
    let value = pages.value.into_iter().flat_map(of_page).map(|item| convert(doing, item));
    Ok(Seen { value: value.collect::<Result<_, _>>()?, at: pages.at })
}

#[async_trait]
impl Chain for Node {
    async fn tip(&self) -> Result<Tip, ChainError> {
        let Status { node_info, sync_info, .. } = self.status("ask for the newest block").await?;
        Ok(Tip {
            chain_id: node_info.network,
            height: Height(sync_info.latest_block_height),
            time: sync_info.latest_block_time,
            catching_up: sync_info.catching_up,
        })
    }

    async fn identity(&self) -> Result<ChainIdentity, ChainError> {
        let Status { node_info, sync_info, .. } = self.status("ask which chain it is").await?;
        Ok(ChainIdentity {
            chain_id: node_info.network,
            first_block_hash: sync_info.earliest_block_hash,
            first_block_height: Height(sync_info.earliest_block_height),
        })
    }

    async fn block_hash(&self, height: Height) -> Result<Option<String>, ChainError> {
        let doing = "ask for a block's hash";
        let Status { sync_info, .. } = self.status(doing).await?;
        if height.0 == sync_info.earliest_block_height {
            return Ok(Some(sync_info.earliest_block_hash));
        }
        // A node that prunes answers an error for what it dropped; it is not asked for that.
        if height.0 < sync_info.earliest_block_height || height.0 > sync_info.latest_block_height {
            return Ok(None);
        }
        let block: Block = self.call(doing, Call::Block { height: Some(height) }).await?;
        Ok(Some(block.block_id.hash))
    }

    async fn deployment(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Option<Deployment>>, ChainError> {
        let doing = "read a deployment";
        let request = deployment::QueryDeploymentRequest { id: id.into() };
        let Seen { value, at } = self.query(doing, &request, at_least).await?;
        Ok(Seen { value: value.map(|answer| convert(doing, answer)).transpose()?, at })
    }

    async fn orders(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Order>>, ChainError> {
        let doing = "list a deployment's orders";
        let filters = market::OrderFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let request = market::QueryOrdersRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.orders.into_iter())
    }

    async fn bids(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        let doing = "list a deployment's bids";
        let filters =
            market::BidFilters { owner: id.owner.to_string(), dseq: id.dseq, ..Default::default() };
        let request = market::QueryBidsRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.bids.into_iter().map(|answer| answer.bid))
    }

    async fn leases(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        let doing = "list a deployment's leases";
        let filters = market::LeaseFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let request = market::QueryLeasesRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.leases.into_iter().map(|answer| answer.lease))
    }

    async fn payments(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        let doing = "list a deployment's payments";
        let filters = market::LeaseFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let request = market::QueryLeasesRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.leases.into_iter())
    }

    async fn open_orders(&self, at_least: Height) -> Result<Seen<Vec<Order>>, ChainError> {
        let doing = "list the open orders";
        let filters =
            market::OrderFilters { state: OrderState::Open.to_string(), ..Default::default() };
        let request = market::QueryOrdersRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        let written = pages.value.into_iter().flat_map(|page| page.orders);
        // One order that cannot be read must not hide the others.
        let read = written.filter_map(|order| {
            let id = order.id.clone();
            Order::try_from(order)
                .inspect_err(|error| tracing::warn!(?id, %error, "an open order is left out"))
                .ok()
        });
        Ok(Seen { value: read.collect(), at: pages.at })
    }

    async fn provider_bids(
        &self,
        provider: &Address,
        state: BidState,
        at_least: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError> {
        let doing = "list the provider's bids";
        let filters = market::BidFilters {
            provider: provider.to_string(),
            state: state.to_string(),
            ..Default::default()
        };
        let request = market::QueryBidsRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.bids.into_iter().map(|answer| answer.bid))
    }

    async fn provider_leases(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError> {
        // In the order in which a lease goes through the states: one that moves between the two reads is in both, not in
        // neither.
        let active = self.leases_in(provider, LeaseState::Active, at_least, None).await?;
        let reclaiming =
            self.leases_in(provider, LeaseState::Reclaiming, active.at, Some(active.at)).await?;
        let mut leases = active.value;
        leases.retain(|lease| !reclaiming.value.iter().any(|newer| newer.id == lease.id));
        leases.extend(reclaiming.value);
        Ok(Seen { value: leases, at: active.at })
    }

    async fn provider_payments(
        &self,
        provider: &Address,
        state: LeaseState,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError> {
        let doing = "list the provider's payments";
        let filters = market::LeaseFilters {
            provider: provider.to_string(),
            state: state.to_string(),
            ..Default::default()
        };
        let request = market::QueryLeasesRequest { filters, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.leases.into_iter())
    }

    async fn provider(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Provider>>, ChainError> {
        let doing = "read a provider";
        let request = provider::QueryProviderRequest { owner: owner.to_string() };
        let Seen { value, at } = self.query(doing, &request, at_least).await?;
        let value = value.map(|answer| convert(doing, answer.provider)).transpose()?;
        Ok(Seen { value, at })
    }

    async fn audited_attributes(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<AuditedAttributes>>, ChainError> {
        let doing = "list a provider's audits";
        let request =
            audit::QueryProviderAttributesRequest { owner: provider.to_string(), pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.providers.into_iter())
    }

    async fn market_params(&self, at_least: Height) -> Result<Seen<MarketParams>, ChainError> {
        let doing = "read the market's parameters";
        let Seen { value, at } =
            self.query(doing, &market::QueryParamsRequest {}, at_least).await?;
        let answer = value.ok_or_else(|| unavailable(doing, "the node has none".to_owned()))?;
        Ok(Seen { value: convert(doing, answer.params)?, at })
    }

    async fn certificates(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Certificate>>, ChainError> {
        let doing = "list an account's certificates";
        let filter = cert::CertificateFilter { owner: owner.to_string(), ..Default::default() };
        let request = cert::QueryCertificatesRequest { filter, pagination: None };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.certificates.into_iter())
    }

    async fn account(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Account>>, ChainError> {
        let doing = "read an account";
        let request = cosmos::QueryAccountRequest { address: address.to_string() };
        let Seen { value, at } = self.query(doing, &request, at_least).await?;
        let Some(answer) = value else { return Ok(Seen { value: None, at }) };
        let account =
            answer.base_account().map_err(|error| unavailable(doing, error.to_string()))?;
        let key = account.pub_key.as_ref().and_then(|key| PublicKey::from_any(key).ok());
        let account = Account {
            number: account.account_number,
            sequence: account.sequence,
            public_key: key.map(|key| key.as_bytes().to_vec()),
        };
        Ok(Seen { value: Some(account), at })
    }

    async fn balances(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Coin>>, ChainError> {
        let doing = "read an account's balances";
        let request =
            cosmos::QueryAllBalancesRequest { address: address.to_string(), ..Default::default() };
        let pages = self.list(doing, request, at_least, None).await?;
        items(doing, pages, |page| page.balances.into_iter())
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<u64, ChainError> {
        let doing = "simulate a transaction";
        let request = cosmos::SimulateRequest { tx_bytes: transaction.to_vec() };
        let response = self.abci(doing, &request, Height(0)).await?;
        if response.code != 0 {
            return Err(simulation_error(doing, &response.log));
        }
        let answer: cosmos::SimulateResponse = prost::Message::decode(response.value.as_slice())
            .map_err(|error| unavailable(doing, error.to_string()))?;
        let gas = answer.gas_info.map(|gas| gas.gas_used);
        gas.ok_or_else(|| unavailable(doing, "the node's answer has no gas".to_owned()))
    }

    async fn broadcast(&self, transaction: &[u8]) -> Result<Broadcast, ChainError> {
        let call = Call::BroadcastTxSync { tx: transaction.to_vec() };
        match self.call::<BroadcastTx>("broadcast a transaction", call).await {
            Ok(answer) => Ok(classify(&answer)),
            Err(CallError::Refused { doing, error }) => {
                classify_error(&error).ok_or_else(|| CallError::Refused { doing, error }.into())
            }
            Err(failed) => Err(failed.into()),
        }
    }

    async fn transaction(&self, hash: &str) -> Result<Option<Included>, ChainError> {
        let doing = "look for a transaction";
        let Some(bytes) = from_hex(hash).filter(|bytes| bytes.len() == 32) else {
            let detail = "the hash is not 64 hex digits".to_owned();
            return Err(ChainError { doing, detail, kind: ChainErrorKind::Refused });
        };
        let found: Tx = match self.call(doing, Call::Tx { hash: bytes }).await {
            Ok(found) => found,
            Err(CallError::Refused { error, .. })
                if error.is_unknown_transaction() || error.is_indexing_off() =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let result = found.tx_result;
        let failure = (result.code != 0).then(|| Refusal {
            codespace: result.codespace,
            code: result.code,
            log: shorten(&result.log),
        });
        Ok(Some(Included {
            height: Height(found.height),
            failure,
            gas_used: u64::try_from(result.gas_used).unwrap_or(0),
        }))
    }
}

/// A node gives every failed simulation one code; only the text says whether the transaction ran.
fn simulation_error(doing: &'static str, log: &str) -> ChainError {
    let ran = log.contains("with gas used:");
    let kind = if ran { ChainErrorKind::Refused } else { ChainErrorKind::Unavailable };
    let text = log.strip_prefix("rpc error: code = Unknown desc = ").unwrap_or(log);
    // Behind the reason stand a source position and the gas.
    let reason = text.split_once(" [").map_or(text, |(reason, _)| reason);
    ChainError { doing, detail: shorten(reason), kind }
}
