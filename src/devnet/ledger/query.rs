//! What a node answers to `abci_query`, over the state that one block left. Owns the catalogue of paths and the errors;
//! how a list is cut into pages is [`super::page`]'s.
//!
//! "Not found" is code 22, whatever its text; a wrong owner in a list's filter is an empty list, not an error.

use std::sync::Arc;

use prost::Message;

use super::{
    Chain, certificate,
    list::{
        ESCROW_ACCOUNTS, ESCROW_PAYMENTS, Path, bid_key, cut, deployment_key, escrow_key, is_under,
        listed, offset_needs_state, order_key, states,
    },
    page::KeyForm,
    record,
    refusal::{Refusal, Registered, sdk},
    state::{EscrowId, State},
    text,
};
use crate::{
    domain::{
        Address, BidId, BidState, DeploymentId, DeploymentState, LeaseState, OrderId, OrderState,
    },
    wire::{
        Query, audit, cert, cosmos, deployment, escrow, google::Any, market, provider,
        rpc::answer::AbciResponse,
    },
};

/// The state after one block.
#[derive(Debug, Clone)]
pub struct Snapshot {
    chain: Arc<Chain>,
    height: u64,
    state: State,
}

/// Why a query is not answered.
pub(super) enum QueryError {
    /// There is no such thing.
    NotFound(String),
    /// The request makes no sense.
    InvalidArgument(String),
    /// The path does not exist.
    UnknownPath,
}

/// The node's least gas price, which no other message of lessor's needs.
#[derive(Clone, PartialEq, Eq, Message)]
struct NodeConfig {
    #[prost(string, tag = "1")]
    minimum_gas_price: String,
    #[prost(string, tag = "2")]
    pruning_keep_recent: String,
    #[prost(string, tag = "3")]
    pruning_interval: String,
}

const NODE_CONFIG: &str = "/cosmos.base.node.v1beta1.Service/Config";

type Answer = Result<Vec<u8>, QueryError>;

/// Decodes a request and encodes its answer.
fn answer<Q: Query + Default>(
    data: &[u8],
    reply: impl FnOnce(Q) -> Result<Q::Response, QueryError>,
) -> Answer {
    let request =
        Q::decode(data).map_err(|error| QueryError::InvalidArgument(error.to_string()))?;
    Ok(reply(request)?.encode_to_vec())
}

/// A query's answer that is an error, as a node writes it.
#[must_use]
fn failed(refusal: Refusal, height: u64) -> AbciResponse {
    AbciResponse {
        code: refusal.code,
        log: refusal.log,
        info: String::new(),
        index: 0,
        key: Vec::new(),
        value: Vec::new(),
        proof_ops: serde_json::Value::Null,
        height,
        codespace: refusal.codespace.to_owned(),
    }
}

/// A query's answer in protobuf.
#[must_use]
pub(in crate::devnet) fn answered(value: Vec<u8>, height: u64) -> AbciResponse {
    AbciResponse {
        code: 0,
        log: String::new(),
        info: String::new(),
        index: 0,
        key: Vec::new(),
        value,
        proof_ops: serde_json::Value::Null,
        height,
        codespace: String::new(),
    }
}

/// The answer to a height that is not there (yet, or any more).
#[must_use]
pub(in crate::devnet) fn no_such_height(height: u64, newest: u64) -> AbciResponse {
    let refusal = if height > newest {
        sdk::INVALID_HEIGHT
            .because("cannot query with height in the future; please provide a valid height")
    } else {
        sdk::INVALID_REQUEST.because(format_args!(
            "failed to load state at height {height}; version does not exist (latest height: \
             {newest})"
        ))
    };
    failed(refusal, 0)
}

/// The answer to a request that is no protobuf of its kind.
#[must_use]
pub(in crate::devnet) fn undecodable(error: &prost::DecodeError, height: u64) -> AbciResponse {
    failed(sdk::INVALID_REQUEST.because(invalid_argument(error)), height)
}

fn invalid_argument(why: impl std::fmt::Display) -> String {
    format!("rpc error: code = InvalidArgument desc = {why}")
}

/// The answer to a simulation that failed, which has one code for every reason.
#[must_use]
pub(in crate::devnet) fn simulation_failed(
    refusal: &Refusal,
    gas_used: u64,
    height: u64,
) -> AbciResponse {
    let log = format!(
        "rpc error: code = Unknown desc = {} [baseapp/baseapp.go] with gas used: '{gas_used}'",
        refusal.log
    );
    failed(sdk::UNKNOWN_REQUEST.because(log), height)
}

impl Snapshot {
    pub(super) fn new(chain: Arc<Chain>, height: u64, state: State) -> Self {
        Self { chain, height, state }
    }

    /// The block whose state this is.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Answers a query.
    #[must_use]
    pub fn query(&self, path: &str, data: &[u8]) -> AbciResponse {
        let error = match self.dispatch(path, data) {
            Ok(value) => return answered(value, self.height),
            Err(error) => error,
        };
        let (registered, log): (Registered, String) = match error {
            QueryError::NotFound(log) => (sdk::KEY_NOT_FOUND, log),
            QueryError::InvalidArgument(why) => {
                (sdk::INVALID_REQUEST, format!("rpc error: code = InvalidArgument desc = {why}"))
            }
            QueryError::UnknownPath => {
                return failed(sdk::UNKNOWN_REQUEST.because("unknown query path"), 0);
            }
        };
        failed(registered.because(log), self.height)
    }

    fn dispatch(&self, path: &str, data: &[u8]) -> Answer {
        match path {
            market::QueryOrdersRequest::PATH => answer(data, |q| self.orders(&q)),
            market::QueryOrderRequest::PATH => answer(data, |q| self.order(&q)),
            market::QueryBidsRequest::PATH => answer(data, |q| self.bids(&q)),
            market::QueryBidRequest::PATH => answer(data, |q| self.bid(&q)),
            market::QueryLeasesRequest::PATH => answer(data, |q| self.leases(&q)),
            market::QueryLeaseRequest::PATH => answer(data, |q| self.lease(&q)),
            market::QueryParamsRequest::PATH => answer(data, |_: market::QueryParamsRequest| {
                Ok(market::QueryParamsResponse { params: self.chain.params.market() })
            }),
            deployment::QueryDeploymentsRequest::PATH => answer(data, |q| self.deployments(&q)),
            deployment::QueryDeploymentRequest::PATH => answer(data, |q| self.deployment(&q)),
            deployment::QueryGroupRequest::PATH => answer(data, |q| self.group(&q)),
            deployment::QueryParamsRequest::PATH => {
                answer(data, |_: deployment::QueryParamsRequest| {
                    Ok(deployment::QueryParamsResponse { params: self.chain.params.deployment() })
                })
            }
            provider::QueryProvidersRequest::PATH => answer(data, |q| Ok(self.providers(&q))),
            provider::QueryProviderRequest::PATH => answer(data, |q| self.provider(&q)),
            audit::QueryProviderAttributesRequest::PATH => {
                answer(data, |q: audit::QueryProviderAttributesRequest| self.audits(&q.owner, None))
            }
            audit::QueryProviderAuditorRequest::PATH => {
                answer(data, |q: audit::QueryProviderAuditorRequest| {
                    self.audits(&q.owner, Some(&q.auditor))
                })
            }
            cert::QueryCertificatesRequest::PATH => answer(data, |q| self.certificates(&q)),
            escrow::QueryAccountsRequest::PATH => answer(data, |q| self.escrow_accounts(&q)),
            escrow::QueryPaymentsRequest::PATH => answer(data, |q| self.escrow_payments(&q)),
            cosmos::QueryAccountRequest::PATH => answer(data, |q| self.account(&q)),
            cosmos::QueryBalanceRequest::PATH => answer(data, |q| self.balance(q)),
            cosmos::QueryAllBalancesRequest::PATH => answer(data, |q| self.balances(&q)),
            NODE_CONFIG => Ok(self.node_config().encode_to_vec()),
            _ => Err(QueryError::UnknownPath),
        }
    }

    fn node_config(&self) -> NodeConfig {
        let price = &self.chain.params.min_gas_price;
        NodeConfig {
            minimum_gas_price: format!("{}{}", price.amount.to_padded(), price.denom),
            pruning_keep_recent: "0".to_owned(),
            pruning_interval: "0".to_owned(),
        }
    }

    fn orders(
        &self,
        q: &market::QueryOrdersRequest,
    ) -> Result<market::QueryOrdersResponse, QueryError> {
        let states = states(&q.filters.state, &[1, 2, 3], |text| {
            OrderState::from_text(text).map(OrderState::number)
        })?;
        offset_needs_state(q.pagination.as_ref(), &q.filters.state)?;
        let wanted = Path::of_order_filter(&q.filters);
        let rows = self.state.orders.iter().filter(|(id, _)| wanted.fits(id, None));
        let form = KeyForm::by_state(&states, None);
        let items = listed(rows, form, |order| order.state, |(id, _)| order_key(id));
        let (orders, page) = cut(items, form, q.pagination.as_ref())?;
        Ok(market::QueryOrdersResponse {
            orders: orders.into_iter().map(|(_, order)| order.clone()).collect(),
            pagination: Some(page),
        })
    }

    fn order(
        &self,
        q: &market::QueryOrderRequest,
    ) -> Result<market::QueryOrderResponse, QueryError> {
        let id = text::order_of(&q.id.owner, q.id.dseq, q.id.gseq, q.id.oseq)
            .map_err(|_| QueryError::InvalidArgument("invalid owner address".to_owned()))?;
        let order = self.state.orders.get(&id).cloned();
        let order =
            order.ok_or_else(|| QueryError::NotFound("invalid order: order not found".into()))?;
        Ok(market::QueryOrderResponse { order })
    }

    fn bids(&self, q: &market::QueryBidsRequest) -> Result<market::QueryBidsResponse, QueryError> {
        let states = states(&q.filters.state, &[1, 2, 3, 4], |text| {
            BidState::from_text(text).map(BidState::number)
        })?;
        offset_needs_state(q.pagination.as_ref(), &q.filters.state)?;
        let wanted = Path::of_bid_filter(&q.filters);
        let rows = self
            .state
            .bids
            .iter()
            .flat_map(|(order, bids)| bids.iter().map(move |(by, bid)| ((order, by), bid)))
            .filter(|((order, by), _)| wanted.fits(order, Some(by)));
        let key = |((order, by), _): &((&OrderId, &Address), &market::Bid)| bid_key(order, by);
        let form = wanted.form(&states, &q.filters.state);
        let items = listed(rows, form, |bid| bid.state, key);
        let (bids, page) = cut(items, form, q.pagination.as_ref())?;
        let bids = bids
            .into_iter()
            .map(|((order, by), bid)| self.bid_response(&order.bid(by), bid))
            .collect();
        Ok(market::QueryBidsResponse { bids, pagination: Some(page) })
    }

    fn bid(&self, q: &market::QueryBidRequest) -> Result<market::QueryBidResponse, QueryError> {
        let id = text::bid_of(&q.id).map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let bid = self.state.bid(&id);
        let bid = bid.ok_or_else(|| QueryError::NotFound("invalid bid: bid not found".into()))?;
        Ok(self.bid_response(&id, bid))
    }

    fn bid_response(&self, id: &BidId, bid: &market::Bid) -> market::QueryBidResponse {
        let escrow = EscrowId::Bid(id.clone());
        let account = self.state.escrows.get(&escrow).map(|row| record::account(&escrow, row));
        market::QueryBidResponse { bid: bid.clone(), escrow_account: account.unwrap_or_default() }
    }

    fn leases(
        &self,
        q: &market::QueryLeasesRequest,
    ) -> Result<market::QueryLeasesResponse, QueryError> {
        let states = states(&q.filters.state, &[1, 2, 3, 4], |text| {
            LeaseState::from_text(text).map(LeaseState::number)
        })?;
        offset_needs_state(q.pagination.as_ref(), &q.filters.state)?;
        let wanted = Path::of_lease_filter(&q.filters);
        let rows = self
            .state
            .leases
            .iter()
            .filter_map(|(order, lease)| {
                Some(((order, lease.id.provider.parse::<Address>().ok()?), lease))
            })
            .filter(|((order, by), _)| wanted.fits(order, Some(by)));
        let key = |((order, by), _): &((&OrderId, Address), &market::Lease)| bid_key(order, by);
        let form = wanted.form(&states, &q.filters.state);
        let items = listed(rows, form, |lease| lease.state, key);
        let (leases, page) = cut(items, form, q.pagination.as_ref())?;
        let leases = leases
            .into_iter()
            .map(|((order, by), lease)| self.lease_response(order, &by, lease))
            .collect();
        Ok(market::QueryLeasesResponse { leases, pagination: Some(page) })
    }

    fn lease(
        &self,
        q: &market::QueryLeaseRequest,
    ) -> Result<market::QueryLeaseResponse, QueryError> {
        let id =
            text::lease_of(&q.id).map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let lease = self
            .state
            .leases
            .get(&id.order)
            .filter(|lease| lease.id.provider == id.provider.as_str())
            .ok_or_else(|| QueryError::NotFound("invalid lease: lease not found".into()))?;
        Ok(self.lease_response(&id.order, &id.provider, lease))
    }

    fn lease_response(
        &self,
        order: &OrderId,
        provider: &Address,
        lease: &market::Lease,
    ) -> market::QueryLeaseResponse {
        let payment = self.state.payments.get(order);
        let payment = payment.map(|row| record::payment(&order.lease(provider), row));
        market::QueryLeaseResponse {
            lease: lease.clone(),
            escrow_payment: payment.unwrap_or_default(),
        }
    }

    fn deployments(
        &self,
        q: &deployment::QueryDeploymentsRequest,
    ) -> Result<deployment::QueryDeploymentsResponse, QueryError> {
        let filters = &q.filters;
        let states = states(&filters.state, &[1, 2], |text| {
            DeploymentState::from_text(text).map(DeploymentState::number)
        })?;
        offset_needs_state(q.pagination.as_ref(), &filters.state)?;
        let rows = self.state.deployments.iter().filter(|(id, _)| {
            (filters.owner.is_empty() || filters.owner == id.owner.as_str())
                && (filters.dseq == 0 || filters.dseq == id.dseq)
        });
        let form = KeyForm::by_state(&states, Some(1));
        let items = listed(rows, form, |row| row.state, |(id, _)| deployment_key(id));
        let (found, page) = cut(items, form, q.pagination.as_ref())?;
        let deployments =
            found.into_iter().map(|(id, row)| self.deployment_response(id, row)).collect();
        Ok(deployment::QueryDeploymentsResponse { deployments, pagination: Some(page) })
    }

    fn deployment(
        &self,
        q: &deployment::QueryDeploymentRequest,
    ) -> Result<deployment::QueryDeploymentResponse, QueryError> {
        let owner = text::address(&q.id.owner)
            .map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let id = DeploymentId::new(owner, q.id.dseq);
        let row = self.state.deployments.get(&id);
        let row = row.ok_or_else(|| QueryError::NotFound("Deployment not found".to_owned()))?;
        Ok(self.deployment_response(&id, row))
    }

    fn deployment_response(
        &self,
        id: &DeploymentId,
        row: &deployment::Deployment,
    ) -> deployment::QueryDeploymentResponse {
        let escrow = EscrowId::Deployment(id.clone());
        let account = self.state.escrows.get(&escrow).map(|row| record::account(&escrow, row));
        deployment::QueryDeploymentResponse {
            deployment: row.clone(),
            groups: self.state.groups_of(id).into_iter().map(|(_, group)| group).collect(),
            escrow_account: account.unwrap_or_default(),
        }
    }

    fn group(
        &self,
        q: &deployment::QueryGroupRequest,
    ) -> Result<deployment::QueryGroupResponse, QueryError> {
        let owner = text::address(&q.id.owner)
            .map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let id = DeploymentId::new(owner, q.id.dseq).group(q.id.gseq);
        let group = self.state.groups.get(&id).cloned();
        let group = group.ok_or_else(|| QueryError::NotFound("Group not found".to_owned()))?;
        Ok(deployment::QueryGroupResponse { group })
    }

    fn escrow_accounts(
        &self,
        q: &escrow::QueryAccountsRequest,
    ) -> Result<escrow::QueryAccountsResponse, QueryError> {
        let states = states(&q.state, &[1, 2, 3], record::escrow_state)?;
        offset_needs_state(q.pagination.as_ref(), &q.state)?;
        let rows = self.state.escrows.iter().map(|(id, row)| record::account(id, row));
        let rows = rows.map(|account| (escrow_key(&account.id, ""), account));
        let rows = rows.filter(|(key, _)| is_under(key, &q.xid));
        let form = KeyForm { table: ESCROW_ACCOUNTS, ..KeyForm::by_state(&states, None) };
        let state = |account: &escrow::Account| account.state.state;
        let items = listed(rows, form, state, |(key, _)| key.clone().into_bytes());
        let (accounts, page) = cut(items, form, q.pagination.as_ref())?;
        let accounts = accounts.into_iter().map(|(_, account)| account).collect();
        Ok(escrow::QueryAccountsResponse { accounts, pagination: Some(page) })
    }

    fn escrow_payments(
        &self,
        q: &escrow::QueryPaymentsRequest,
    ) -> Result<escrow::QueryPaymentsResponse, QueryError> {
        let states = states(&q.state, &[1, 2, 3], record::escrow_state)?;
        offset_needs_state(q.pagination.as_ref(), &q.state)?;
        let rows = self
            .state
            .payments
            .iter()
            .map(|(order, row)| record::payment(&order.lease(&row.owner), row));
        let rows = rows.map(|payment| (escrow_key(&payment.id.aid, &payment.id.xid), payment));
        let rows = rows.filter(|(key, _)| is_under(key, &q.xid));
        let form = KeyForm { table: ESCROW_PAYMENTS, ..KeyForm::by_state(&states, None) };
        let state = |payment: &escrow::Payment| payment.state.state;
        let items = listed(rows, form, state, |(key, _)| key.clone().into_bytes());
        let (payments, page) = cut(items, form, q.pagination.as_ref())?;
        let payments = payments.into_iter().map(|(_, payment)| payment).collect();
        Ok(escrow::QueryPaymentsResponse { payments, pagination: Some(page) })
    }

    fn certificates(
        &self,
        q: &cert::QueryCertificatesRequest,
    ) -> Result<cert::QueryCertificatesResponse, QueryError> {
        let states = states(&q.filter.state, &[1, 2], certificate::state)?;
        let rows = self.state.certificates.iter();
        let rows = rows.filter(|(key, row)| certificate::is_wanted(&q.filter, key, row));
        let form = KeyForm::by_state(&states, None);
        let state = |row: &&cert::CertificateResponse| row.certificate.state;
        let items = listed(rows, form, state, |(key, _)| certificate::listed(key));
        let (found, page) = cut(items, form, q.pagination.as_ref())?;
        let certificates = found.into_iter().map(|(_, row)| row.clone()).collect();
        Ok(cert::QueryCertificatesResponse { certificates, pagination: Some(page) })
    }

    /// Providers have the SDK's plain page keys: where the next one is stored.
    fn providers(&self, q: &provider::QueryProvidersRequest) -> provider::QueryProvidersResponse {
        let all = cosmos::PageRequest::default();
        let request = q.pagination.as_ref().unwrap_or(&all);
        let limit = if request.limit == 0 { 100 } else { request.limit };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let stored = |key: &[u8]| {
            let mut stored = vec![1, u8::try_from(key.len()).unwrap_or(u8::MAX)];
            stored.extend_from_slice(key);
            stored
        };
        let mut rows = self.state.providers.iter().filter(|(key, _)| stored(key) >= request.key);
        let providers = rows.by_ref().take(limit).map(|(_, row)| row.clone()).collect();
        let next_key = rows.next().map(|(key, _)| stored(key)).unwrap_or_default();
        let page = cosmos::PageResponse { next_key, total: 0 };
        provider::QueryProvidersResponse { providers, pagination: Some(page) }
    }

    fn provider(
        &self,
        q: &provider::QueryProviderRequest,
    ) -> Result<provider::QueryProviderResponse, QueryError> {
        let owner =
            text::address(&q.owner).map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let provider = self.state.providers.get(&owner.to_bytes()).cloned();
        let provider = provider.ok_or_else(no_provider)?;
        Ok(provider::QueryProviderResponse { provider })
    }

    fn audits(
        &self,
        owner: &str,
        auditor: Option<&str>,
    ) -> Result<audit::QueryProvidersResponse, QueryError> {
        let providers: Vec<audit::AuditedProvider> = self
            .state
            .audits
            .values()
            .filter(|record| {
                record.owner == owner && auditor.is_none_or(|auditor| record.auditor == auditor)
            })
            .cloned()
            .collect();
        if providers.is_empty() {
            return Err(no_provider());
        }
        Ok(audit::QueryProvidersResponse { providers, pagination: None })
    }

    fn account(
        &self,
        q: &cosmos::QueryAccountRequest,
    ) -> Result<cosmos::QueryAccountResponse, QueryError> {
        let address = text::address(&q.address)
            .map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let Some(account) = self.state.accounts.get(&address) else {
            return Err(QueryError::NotFound(format!(
                "rpc error: code = NotFound desc = account {address} not found"
            )));
        };
        let key = account.public_key.clone();
        let base = cosmos::BaseAccount {
            address: address.to_string(),
            pub_key: key.map(|key| Any::pack(&cosmos::PubKey { key })),
            account_number: account.number,
            sequence: account.sequence,
        };
        Ok(cosmos::QueryAccountResponse { account: Some(Any::pack(&base)) })
    }

    fn balance(
        &self,
        q: cosmos::QueryBalanceRequest,
    ) -> Result<cosmos::QueryBalanceResponse, QueryError> {
        let address = text::address(&q.address)
            .map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let amount = self.state.balance(&address, &q.denom).to_string();
        Ok(cosmos::QueryBalanceResponse { balance: Some(cosmos::Coin { denom: q.denom, amount }) })
    }

    fn balances(
        &self,
        q: &cosmos::QueryAllBalancesRequest,
    ) -> Result<cosmos::QueryAllBalancesResponse, QueryError> {
        let address = text::address(&q.address)
            .map_err(|refusal| QueryError::InvalidArgument(refusal.log))?;
        let balances: Vec<cosmos::Coin> = self
            .state
            .balances
            .get(&address)
            .into_iter()
            .flat_map(|coins| coins.iter())
            .map(|(denom, amount)| cosmos::Coin {
                denom: denom.clone(),
                amount: amount.to_string(),
            })
            .collect();
        let page = cosmos::PageResponse { next_key: Vec::new(), total: balances.len() as u64 };
        Ok(cosmos::QueryAllBalancesResponse { balances, pagination: Some(page) })
    }
}

fn no_provider() -> QueryError {
    QueryError::NotFound("invalid provider: address not found".to_owned())
}
