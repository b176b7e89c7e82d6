//! The chain as a tool uses it: queries, and the calls that [`super::account`] sends transactions with.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prost::Message;
use serde::de::DeserializeOwned;

use super::Error;
use crate::{
    domain::{Address, Bid, Certificate, Deployment, DeploymentId, Height, Lease, Order, Provider},
    wire::{
        Paged, Query, cert, cosmos, deployment, market, provider,
        rpc::{
            Call, Response, ResponseError,
            answer::{AbciQuery, BroadcastTx, NOT_FOUND, Status, Tx},
        },
    },
};

/// The largest answer that is read.
const MAX_ANSWER: usize = 32 << 20;
/// Items a page.
const PAGE: u64 = 200;

/// A node's RPC.
#[derive(Debug)]
pub struct Node {
    url: String,
    http: reqwest::Client,
    next_id: AtomicU64,
}

pub(super) fn unreachable(doing: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Error {
    move |error| Error::Unreachable { doing, detail: error.to_string() }
}

impl Node {
    /// The node at `url`.
    ///
    /// # Errors
    /// When no client can be built.
    pub fn new(url: &str) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unreachable("prepare a client")(&error))?;
        Ok(Self { url: url.to_owned(), http, next_id: AtomicU64::new(1) })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        call: &Call,
    ) -> Result<Result<T, ResponseError>, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let answer = self
            .http
            .post(&self.url)
            .json(&call.to_json(id))
            .send()
            .await
            .map_err(|error| unreachable(doing)(&error))?;
        let body = super::gateway::limited(answer, MAX_ANSWER)
            .await
            .map_err(|error| unreachable(doing)(&error))?;
        Ok(Response::<T>::decode(&body))
    }

    /// The node's newest block and its chain.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn status(&self) -> Result<Status, Error> {
        let doing = "read the node's status";
        self.call(doing, &Call::Status).await?.map_err(|error| unreachable(doing)(&error))
    }

    /// Asks for the newest state; `None` when there is no such thing.
    async fn query<Q: Query>(
        &self,
        doing: &'static str,
        request: &Q,
    ) -> Result<Option<Q::Response>, Error> {
        let call = Call::query(request, Height(0));
        let answer: AbciQuery =
            self.call(doing, &call).await?.map_err(|error| unreachable(doing)(&error))?;
        match answer.response.code {
            0 => Q::Response::decode(answer.response.value.as_slice())
                .map(Some)
                .map_err(|error| unreachable(doing)(&error)),
            NOT_FOUND => Ok(None),
            _ => Err(Error::Chain { doing, detail: answer.response.log }),
        }
    }

    async fn pages<Q: Paged>(
        &self,
        doing: &'static str,
        mut request: Q,
    ) -> Result<Vec<Q::Response>, Error> {
        let mut pages = Vec::new();
        let mut key = Vec::new();
        loop {
            request.set_page(key, PAGE);
            let Some(page) = self.query(doing, &request).await? else { return Ok(pages) };
            key = Q::next_key(&page).to_vec();
            pages.push(page);
            if key.is_empty() {
                return Ok(pages);
            }
        }
    }

    /// A deployment with its groups and escrow.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Chain`].
    pub async fn deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, Error> {
        let doing = "read the deployment";
        let found =
            self.query(doing, &deployment::QueryDeploymentRequest { id: id.into() }).await?;
        found
            .map(|found| Deployment::try_from(found).map_err(|error| unreachable(doing)(&error)))
            .transpose()
    }

    /// A deployment's orders.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Chain`].
    pub async fn orders(&self, id: &DeploymentId) -> Result<Vec<Order>, Error> {
        let doing = "read the orders";
        let filters = market::OrderFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let pages =
            self.pages(doing, market::QueryOrdersRequest { filters, pagination: None }).await?;
        let orders = pages.into_iter().flat_map(|page| page.orders);
        orders
            .map(|order| Order::try_from(order).map_err(|error| unreachable(doing)(&error)))
            .collect()
    }

    /// The bids on a deployment's orders.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Chain`].
    pub async fn bids(&self, id: &DeploymentId) -> Result<Vec<Bid>, Error> {
        let doing = "read the bids";
        let filters =
            market::BidFilters { owner: id.owner.to_string(), dseq: id.dseq, ..Default::default() };
        let pages =
            self.pages(doing, market::QueryBidsRequest { filters, pagination: None }).await?;
        let bids = pages.into_iter().flat_map(|page| page.bids).map(|found| found.bid);
        bids.map(|bid| Bid::try_from(bid).map_err(|error| unreachable(doing)(&error))).collect()
    }

    /// A deployment's leases.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Chain`].
    pub async fn leases(&self, id: &DeploymentId) -> Result<Vec<Lease>, Error> {
        let doing = "read the leases";
        let filters = market::LeaseFilters {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            ..Default::default()
        };
        let pages =
            self.pages(doing, market::QueryLeasesRequest { filters, pagination: None }).await?;
        let leases = pages.into_iter().flat_map(|page| page.leases).map(|found| found.lease);
        leases
            .map(|lease| Lease::try_from(lease).map_err(|error| unreachable(doing)(&error)))
            .collect()
    }

    /// A provider's registration.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Chain`].
    pub async fn provider(&self, owner: &Address) -> Result<Option<Provider>, Error> {
        let doing = "read the registration";
        let found =
            self.query(doing, &provider::QueryProviderRequest { owner: owner.to_string() }).await?;
        let convert = |found: provider::QueryProviderResponse| {
            Provider::try_from(found.provider).map_err(|error| unreachable(doing)(&error))
        };
        found.map(convert).transpose()
    }

    /// An account's certificates, revoked ones too.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Chain`].
    pub async fn certificates(&self, owner: &Address) -> Result<Vec<Certificate>, Error> {
        let doing = "read the certificates";
        let filter = cert::CertificateFilter { owner: owner.to_string(), ..Default::default() };
        let pages =
            self.pages(doing, cert::QueryCertificatesRequest { filter, pagination: None }).await?;
        let found = pages.into_iter().flat_map(|page| page.certificates);
        found
            .map(|found| Certificate::try_from(found).map_err(|error| unreachable(doing)(&error)))
            .collect()
    }

    pub(super) async fn account_number(&self, address: &Address) -> Result<u64, Error> {
        let doing = "read the account";
        let request = cosmos::QueryAccountRequest { address: address.to_string() };
        let found = self.query(doing, &request).await?.and_then(|found| found.account);
        let Some(any) = found else {
            return Err(Error::Absent(format!("{address} is not on chain: it needs funds first")));
        };
        let account: cosmos::BaseAccount =
            any.unpack().map_err(|error| unreachable(doing)(&error))?;
        Ok(account.account_number)
    }

    pub(super) async fn simulate(&self, doing: &'static str, bytes: Vec<u8>) -> Result<u64, Error> {
        let answer = self.query(doing, &cosmos::SimulateRequest { tx_bytes: bytes }).await?;
        let gas = answer.and_then(|answer| answer.gas_info).map(|gas| gas.gas_used);
        gas.ok_or_else(|| Error::Chain {
            doing,
            detail: "the simulation says nothing of gas".to_owned(),
        })
    }

    pub(super) async fn broadcast(&self, doing: &'static str, bytes: Vec<u8>) -> Result<(), Error> {
        match self.call::<BroadcastTx>(doing, &Call::BroadcastTxSync { tx: bytes }).await? {
            Ok(answer) if answer.code == 0 => Ok(()),
            Ok(answer) => Err(Error::Chain {
                doing,
                detail: format!("{} {}: {}", answer.codespace, answer.code, answer.log),
            }),
            Err(ResponseError::Node(error)) if error.is_known_transaction() => Ok(()),
            Err(error) => Err(unreachable(doing)(&error)),
        }
    }

    pub(super) async fn included(
        &self,
        doing: &'static str,
        hash: &[u8],
    ) -> Result<Option<Tx>, Error> {
        match self.call::<Tx>(doing, &Call::Tx { hash: hash.to_vec() }).await? {
            Ok(found) => Ok(Some(found)),
            Err(ResponseError::Node(error)) if error.is_unknown_transaction() => Ok(None),
            Err(error) => Err(unreachable(doing)(&error)),
        }
    }
}
