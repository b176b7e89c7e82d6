//! How ids look in events and in protobuf. Owns these forms only.
//!
//! In an event's JSON 64-bit numbers are quoted and 32-bit numbers are not.

use ::base64::{Engine as _, engine::general_purpose::STANDARD};

use super::refusal::{Refusal, sdk};
use crate::{
    domain::{Address, BidId, DeploymentId, GroupId, LeaseId, OrderId, Price},
    wire,
};

/// Standard base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A height as rows hold it.
pub(super) fn height(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

/// An address that a message gives.
pub(super) fn address(text: &str) -> Result<Address, Refusal> {
    text.parse().map_err(|error| sdk::INVALID_ADDRESS.because(error))
}

/// The order that an id on the wire names.
pub(super) fn order_of(owner: &str, dseq: u64, gseq: u32, oseq: u32) -> Result<OrderId, Refusal> {
    Ok(OrderId::new(address(owner)?, dseq, gseq, oseq))
}

/// The bid that an id on the wire names.
pub(super) fn bid_of(id: &wire::market::BidId) -> Result<BidId, Refusal> {
    Ok(order_of(&id.owner, id.dseq, id.gseq, id.oseq)?.bid(&address(&id.provider)?))
}

/// The lease that an id on the wire names.
pub(super) fn lease_of(id: &wire::market::LeaseId) -> Result<LeaseId, Refusal> {
    Ok(order_of(&id.owner, id.dseq, id.gseq, id.oseq)?.lease(&address(&id.provider)?))
}

pub(super) fn deployment_id(id: &DeploymentId) -> String {
    format!(r#"{{"owner":"{}","dseq":"{}"}}"#, id.owner, id.dseq)
}

pub(super) fn group_id(id: &GroupId) -> String {
    let deployment = &id.deployment;
    format!(r#"{{"owner":"{}","dseq":"{}","gseq":{}}}"#, deployment.owner, deployment.dseq, id.gseq)
}

pub(super) fn order_id(id: &OrderId) -> String {
    format!(
        r#"{{"owner":"{}","dseq":"{}","gseq":{},"oseq":{}}}"#,
        id.owner(),
        id.dseq(),
        id.gseq(),
        id.oseq
    )
}

pub(super) fn bid_id(id: &BidId) -> String {
    let order = &id.order;
    format!(
        r#"{{"owner":"{}","dseq":"{}","gseq":{},"oseq":{},"provider":"{}","bseq":0}}"#,
        order.owner(),
        order.dseq(),
        order.gseq(),
        order.oseq,
        id.provider
    )
}

pub(super) fn price(price: &Price) -> String {
    format!(r#"{{"denom":"{}","amount":"{}"}}"#, price.denom, price.amount.to_padded())
}

pub(super) fn wire_group_id(id: &GroupId) -> wire::deployment::GroupId {
    wire::deployment::GroupId {
        owner: id.deployment.owner.to_string(),
        dseq: id.deployment.dseq,
        gseq: id.gseq,
    }
}

pub(super) fn wire_order_id(id: &OrderId) -> wire::market::OrderId {
    wire::market::OrderId {
        owner: id.owner().to_string(),
        dseq: id.dseq(),
        gseq: id.gseq(),
        oseq: id.oseq,
    }
}

pub(super) fn wire_lease_id(id: &LeaseId) -> wire::market::LeaseId {
    wire::market::LeaseId {
        owner: id.order.owner().to_string(),
        dseq: id.order.dseq(),
        gseq: id.order.gseq(),
        oseq: id.order.oseq,
        provider: id.provider.to_string(),
        bseq: 0,
    }
}
