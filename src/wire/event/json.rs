//! The JSON of the values in events: ids as objects, prices with 18 digits, hashes in base64, 64-bit numbers in quotes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{
    field::{self, FieldError, InField},
    text::{bare, base64_bytes, from_hex, quoted, to_hex},
};
use crate::domain::{BidId, DeploymentId, GroupId, OrderId, Price};

#[derive(Serialize, Deserialize)]
pub(super) struct DeploymentPath {
    owner: String,
    #[serde(with = "quoted")]
    dseq: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct GroupPath {
    owner: String,
    #[serde(with = "quoted")]
    dseq: u64,
    #[serde(with = "bare")]
    gseq: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OrderPath {
    owner: String,
    #[serde(with = "quoted")]
    dseq: u64,
    #[serde(with = "bare")]
    gseq: u32,
    #[serde(with = "bare")]
    oseq: u32,
}

/// A bid's or a lease's path.
#[derive(Serialize, Deserialize)]
pub(super) struct BidPath {
    owner: String,
    #[serde(with = "quoted")]
    dseq: u64,
    #[serde(with = "bare")]
    gseq: u32,
    #[serde(with = "bare")]
    oseq: u32,
    provider: String,
    #[serde(default, with = "bare")]
    bseq: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PriceText {
    denom: String,
    amount: String,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct HashText(#[serde(with = "base64_bytes")] Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Seconds(#[serde(with = "quoted")] i64);

impl DeploymentPath {
    pub(super) fn into_id(self) -> Result<DeploymentId, FieldError> {
        field::deployment_id(&self.owner, self.dseq)
    }
}

impl GroupPath {
    pub(super) fn into_id(self) -> Result<GroupId, FieldError> {
        field::group_id(&self.owner, self.dseq, self.gseq)
    }
}

impl OrderPath {
    pub(super) fn into_id(self) -> Result<OrderId, FieldError> {
        field::order_id(&self.owner, self.dseq, self.gseq, self.oseq)
    }
}

impl BidPath {
    pub(super) fn into_id(self) -> Result<BidId, FieldError> {
        let order = field::order_id(&self.owner, self.dseq, self.gseq, self.oseq)?;
        field::bid_id(order, &self.provider, self.bseq)
    }
}

impl PriceText {
    pub(super) fn into_price(self) -> Result<Price, FieldError> {
        Ok(Price {
            denom: self.denom.parse().in_field("denom")?,
            amount: self.amount.parse().in_field("amount")?,
        })
    }
}

impl HashText {
    pub(super) fn from_hex(hex: &str) -> Self {
        Self(from_hex(hex).unwrap_or_default())
    }

    pub(super) fn into_hex(self) -> Result<String, FieldError> {
        field::hash(&self.0).map(|()| to_hex(&self.0))
    }
}

impl Seconds {
    pub(super) fn into_time(self) -> Result<Timestamp, jiff::Error> {
        Timestamp::from_second(self.0)
    }
}

impl From<&DeploymentId> for DeploymentPath {
    fn from(id: &DeploymentId) -> Self {
        Self { owner: id.owner.to_string(), dseq: id.dseq }
    }
}

impl From<&GroupId> for GroupPath {
    fn from(id: &GroupId) -> Self {
        let DeploymentPath { owner, dseq } = DeploymentPath::from(&id.deployment);
        Self { owner, dseq, gseq: id.gseq }
    }
}

impl From<&OrderId> for OrderPath {
    fn from(id: &OrderId) -> Self {
        let GroupPath { owner, dseq, gseq } = GroupPath::from(&id.group);
        Self { owner, dseq, gseq, oseq: id.oseq }
    }
}

impl From<&BidId> for BidPath {
    fn from(id: &BidId) -> Self {
        let OrderPath { owner, dseq, gseq, oseq } = OrderPath::from(&id.order);
        Self { owner, dseq, gseq, oseq, provider: id.provider.to_string(), bseq: 0 }
    }
}

impl From<&Price> for PriceText {
    fn from(price: &Price) -> Self {
        Self { denom: price.denom.to_string(), amount: price.amount.to_padded() }
    }
}

impl From<Timestamp> for Seconds {
    fn from(time: Timestamp) -> Self {
        Self(time.as_second())
    }
}
