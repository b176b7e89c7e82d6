//! Lists of the market: what their filters ask for, and in which order their rows come. Owns the rows' keys, which are
//! those of the chain's store, because pages are cut by them.

use super::{
    page::{self, KeyForm, Listed},
    query::QueryError,
};
use crate::{
    domain::{Address, DeploymentId, OrderId},
    wire::{cosmos, escrow, market},
};

/// Where the chain keeps escrow accounts.
pub(super) const ESCROW_ACCOUNTS: &[u8] = &[0x11, 0];
/// Where the chain keeps escrow payments.
pub(super) const ESCROW_PAYMENTS: &[u8] = &[0x12, 0];

/// The parts of ids that a filter asks for; empty or 0 means any.
pub(super) struct Path<'a> {
    owner: &'a str,
    dseq: u64,
    gseq: u32,
    oseq: u32,
    provider: &'a str,
}

impl<'a> Path<'a> {
    pub(super) fn of_order_filter(filters: &'a market::OrderFilters) -> Self {
        let market::OrderFilters { owner, dseq, gseq, oseq, .. } = filters;
        Self { owner, dseq: *dseq, gseq: *gseq, oseq: *oseq, provider: "" }
    }

    pub(super) fn of_bid_filter(filters: &'a market::BidFilters) -> Self {
        let market::BidFilters { owner, dseq, gseq, oseq, provider, .. } = filters;
        Self { owner, dseq: *dseq, gseq: *gseq, oseq: *oseq, provider }
    }

    pub(super) fn of_lease_filter(filters: &'a market::LeaseFilters) -> Self {
        let market::LeaseFilters { owner, dseq, gseq, oseq, provider, .. } = filters;
        Self { owner, dseq: *dseq, gseq: *gseq, oseq: *oseq, provider }
    }

    /// How a list of bids or leases is searched: with an owner or a provider and no state, by an index over all states.
    pub(super) fn form<'s>(&self, states: &'s [u8], state: &str) -> KeyForm<'s> {
        let indexed = !self.owner.is_empty() || !self.provider.is_empty();
        KeyForm { across_states: indexed && state.is_empty(), ..KeyForm::by_state(states, Some(1)) }
    }

    pub(super) fn fits(&self, id: &OrderId, provider: Option<&Address>) -> bool {
        (self.owner.is_empty() || self.owner == id.owner().as_str())
            && (self.dseq == 0 || self.dseq == id.dseq())
            && (self.gseq == 0 || self.gseq == id.gseq())
            && (self.oseq == 0 || self.oseq == id.oseq)
            && (self.provider.is_empty()
                || provider.is_some_and(|provider| self.provider == provider.as_str()))
    }
}

/// The states that a filter's text asks for.
pub(super) fn states(
    text: &str,
    all: &[u8],
    number: impl Fn(&str) -> Option<i32>,
) -> Result<Vec<u8>, QueryError> {
    if text.is_empty() {
        return Ok(all.to_vec());
    }
    number(text)
        .and_then(|number| u8::try_from(number).ok())
        .map(|number| vec![number])
        .ok_or_else(|| QueryError::InvalidArgument("invalid state value".to_owned()))
}

pub(super) fn offset_needs_state(
    page: Option<&cosmos::PageRequest>,
    state: &str,
) -> Result<(), QueryError> {
    if page.is_some_and(|page| page.offset > 0) && state.is_empty() {
        return Err(QueryError::InvalidArgument(
            "invalid request parameters. if offset is set, filter.state must be provided".into(),
        ));
    }
    Ok(())
}

/// Rows in the order of the wanted states, then of their keys.
pub(super) fn listed<K, R>(
    rows: impl Iterator<Item = (K, R)>,
    form: KeyForm<'_>,
    state: impl Fn(&R) -> i32,
    key: impl Fn(&(K, R)) -> Vec<u8>,
) -> Vec<Listed<(K, R)>> {
    let mut found: Vec<(usize, Listed<(K, R)>)> = rows
        .filter_map(|row| {
            let state = u8::try_from(state(&row.1)).ok()?;
            let position = form.states.iter().position(|&wanted| wanted == state)?;
            let position = if form.across_states { 0 } else { position };
            Some((position, Listed { state, key: key(&row), item: row }))
        })
        .collect();
    found.sort_by(|(a, x), (b, y)| (a, &x.key).cmp(&(b, &y.key)));
    found.into_iter().map(|(_, listed)| listed).collect()
}

pub(super) fn cut<T>(
    items: Vec<Listed<T>>,
    form: KeyForm<'_>,
    request: Option<&cosmos::PageRequest>,
) -> Result<(Vec<T>, cosmos::PageResponse), QueryError> {
    page::cut(items, form, request).map_err(QueryError::InvalidArgument)
}

pub(super) fn deployment_key(id: &DeploymentId) -> Vec<u8> {
    let mut key = id.owner.as_str().as_bytes().to_vec();
    key.push(0);
    key.extend(id.dseq.to_be_bytes());
    key
}

pub(super) fn order_key(id: &OrderId) -> Vec<u8> {
    let mut key = deployment_key(id.deployment());
    key.extend(id.gseq().to_be_bytes());
    key.extend(id.oseq.to_be_bytes());
    key
}

pub(super) fn bid_key(order: &OrderId, provider: &Address) -> Vec<u8> {
    let mut key = order_key(order);
    key.extend(provider.as_str().as_bytes());
    // The end of the text, then the number of the bid, which is always 0.
    key.extend([0; 5]);
    key
}

/// The path of an account, or of a payment out of it.
pub(super) fn escrow_key(id: &escrow::AccountId, payment: &str) -> String {
    let scope = match id.scope() {
        escrow::Scope::Bid => "bid",
        escrow::Scope::Deployment | escrow::Scope::Invalid => "deployment",
    };
    let slash = if payment.is_empty() { "" } else { "/" };
    format!("/{scope}/{}{slash}{payment}", id.xid)
}

/// Whether a path is the wanted one (without the slash at its start) or below it.
pub(super) fn is_under(key: &str, wanted: &str) -> bool {
    wanted.is_empty()
        || key
            .strip_prefix('/')
            .and_then(|key| key.strip_prefix(wanted))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
