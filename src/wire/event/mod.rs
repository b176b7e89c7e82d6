//! The chain's typed events: from and to the attributes of a block's results. Owns their names and their JSON; the
//! envelope that carries them over webhooks is [`crate::event`]'s.
//!
//! Each attribute's value is itself JSON text, so a string is quoted twice and an id is an object inside a string.
//! Reading accepts numbers with and without quotes, ids without `bseq`, and attributes that lessor does not know.

mod json;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use self::json::{BidPath, DeploymentPath, GroupPath, HashText, OrderPath, PriceText, Seconds};
use super::rpc::answer::{BlockResults, Event, EventAttribute};
use crate::domain::{
    Address, BidId, CloseReason, DeploymentId, GroupId, Height, LeaseId, OrderId, Price,
};

/// One event of the market.
#[derive(Debug, Clone, PartialEq)]
pub enum ChainEvent {
    /// A tenant wants a group.
    OrderCreated {
        /// Which order.
        id: OrderId,
    },
    /// An order ended.
    OrderClosed {
        /// Which order.
        id: OrderId,
    },
    /// A provider bids.
    BidCreated {
        /// Which bid.
        id: BidId,
        /// Per block.
        price: Price,
    },
    /// A bid ended. A lost one ends without an event.
    BidClosed {
        /// Which bid.
        id: BidId,
    },
    /// The tenant took a bid.
    LeaseCreated {
        /// Which lease.
        id: LeaseId,
        /// Per block.
        price: Price,
    },
    /// A lease ended.
    LeaseClosed {
        /// Which lease.
        id: LeaseId,
        /// Why.
        reason: CloseReason,
    },
    /// The provider gave notice.
    LeaseReclaimStarted {
        /// Which lease.
        id: LeaseId,
        /// Why.
        reason: CloseReason,
        /// Block time from which the provider may close it.
        deadline: Timestamp,
    },
    /// A tenant made a deployment.
    DeploymentCreated {
        /// Which deployment.
        id: DeploymentId,
        /// SHA-256 of its manifest, lower-case hex.
        hash: String,
    },
    /// A tenant announced a new manifest.
    DeploymentUpdated {
        /// Which deployment.
        id: DeploymentId,
        /// SHA-256 of the new manifest, lower-case hex.
        hash: String,
    },
    /// A deployment ended.
    DeploymentClosed {
        /// Which deployment.
        id: DeploymentId,
    },
    /// A paused group goes on, with a new order.
    GroupStarted {
        /// Which group.
        id: GroupId,
    },
    /// A group is paused: its order, bids and lease ended.
    GroupPaused {
        /// Which group.
        id: GroupId,
    },
    /// A group ended.
    GroupClosed {
        /// Which group.
        id: GroupId,
    },
    /// A provider registered.
    ProviderCreated {
        /// The provider.
        owner: Address,
    },
    /// A provider changed its record.
    ProviderUpdated {
        /// The provider.
        owner: Address,
    },
    /// A provider left.
    ProviderDeleted {
        /// The provider.
        owner: Address,
    },
    /// An auditor signed attributes of a provider.
    TrustedAuditorCreated {
        /// The provider.
        owner: Address,
        /// The auditor.
        auditor: Address,
    },
    /// An auditor took its signature back.
    TrustedAuditorDeleted {
        /// The provider.
        owner: Address,
        /// The auditor.
        auditor: Address,
    },
    /// An event that lessor does not know.
    Other {
        /// Its type.
        kind: String,
        /// Its attributes, as JSON where they are.
        attributes: Map<String, Value>,
    },
}

/// Why an event of a known type does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, attribute {attribute:?}: {reason}")]
pub struct EventError {
    /// The event's type.
    pub kind: String,
    /// Which attribute is missing or wrong.
    pub attribute: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// The names of the chain's typed events.
pub mod kind {
    /// A tenant wants a group.
    pub const ORDER_CREATED: &str = "akash.market.v1.EventOrderCreated";
    /// An order ended.
    pub const ORDER_CLOSED: &str = "akash.market.v1.EventOrderClosed";
    /// A provider bids.
    pub const BID_CREATED: &str = "akash.market.v1.EventBidCreated";
    /// A bid ended.
    pub const BID_CLOSED: &str = "akash.market.v1.EventBidClosed";
    /// The tenant took a bid.
    pub const LEASE_CREATED: &str = "akash.market.v1.EventLeaseCreated";
    /// A lease ended.
    pub const LEASE_CLOSED: &str = "akash.market.v1.EventLeaseClosed";
    /// The provider gave notice.
    pub const LEASE_RECLAIM_STARTED: &str = "akash.market.v1.EventLeaseReclaimStarted";
    /// A tenant made a deployment.
    pub const DEPLOYMENT_CREATED: &str = "akash.deployment.v1.EventDeploymentCreated";
    /// A tenant announced a new manifest.
    pub const DEPLOYMENT_UPDATED: &str = "akash.deployment.v1.EventDeploymentUpdated";
    /// A deployment ended.
    pub const DEPLOYMENT_CLOSED: &str = "akash.deployment.v1.EventDeploymentClosed";
    /// A paused group goes on.
    pub const GROUP_STARTED: &str = "akash.deployment.v1.EventGroupStarted";
    /// A group is paused.
    pub const GROUP_PAUSED: &str = "akash.deployment.v1.EventGroupPaused";
    /// A group ended.
    pub const GROUP_CLOSED: &str = "akash.deployment.v1.EventGroupClosed";
    /// A provider registered.
    pub const PROVIDER_CREATED: &str = "akash.provider.v1beta4.EventProviderCreated";
    /// A provider changed its record.
    pub const PROVIDER_UPDATED: &str = "akash.provider.v1beta4.EventProviderUpdated";
    /// A provider left.
    pub const PROVIDER_DELETED: &str = "akash.provider.v1beta4.EventProviderDeleted";
    /// An auditor signed attributes.
    pub const TRUSTED_AUDITOR_CREATED: &str = "akash.audit.v1.EventTrustedAuditorCreated";
    /// An auditor took its signature back.
    pub const TRUSTED_AUDITOR_DELETED: &str = "akash.audit.v1.EventTrustedAuditorDeleted";
}

impl ChainEvent {
    /// The event's type: the full name of its protobuf message.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::OrderCreated { .. } => kind::ORDER_CREATED,
            Self::OrderClosed { .. } => kind::ORDER_CLOSED,
            Self::BidCreated { .. } => kind::BID_CREATED,
            Self::BidClosed { .. } => kind::BID_CLOSED,
            Self::LeaseCreated { .. } => kind::LEASE_CREATED,
            Self::LeaseClosed { .. } => kind::LEASE_CLOSED,
            Self::LeaseReclaimStarted { .. } => kind::LEASE_RECLAIM_STARTED,
            Self::DeploymentCreated { .. } => kind::DEPLOYMENT_CREATED,
            Self::DeploymentUpdated { .. } => kind::DEPLOYMENT_UPDATED,
            Self::DeploymentClosed { .. } => kind::DEPLOYMENT_CLOSED,
            Self::GroupStarted { .. } => kind::GROUP_STARTED,
            Self::GroupPaused { .. } => kind::GROUP_PAUSED,
            Self::GroupClosed { .. } => kind::GROUP_CLOSED,
            Self::ProviderCreated { .. } => kind::PROVIDER_CREATED,
            Self::ProviderUpdated { .. } => kind::PROVIDER_UPDATED,
            Self::ProviderDeleted { .. } => kind::PROVIDER_DELETED,
            Self::TrustedAuditorCreated { .. } => kind::TRUSTED_AUDITOR_CREATED,
            Self::TrustedAuditorDeleted { .. } => kind::TRUSTED_AUDITOR_DELETED,
            Self::Other { kind, .. } => kind,
        }
    }

    /// The deployment that the event is about, if it is about one.
    #[must_use]
    pub fn deployment(&self) -> Option<&DeploymentId> {
        match self {
            Self::OrderCreated { id } | Self::OrderClosed { id } => Some(id.deployment()),
            Self::BidCreated { id, .. } | Self::BidClosed { id } => Some(id.order.deployment()),
            Self::LeaseCreated { id, .. }
            | Self::LeaseClosed { id, .. }
            | Self::LeaseReclaimStarted { id, .. } => Some(id.deployment()),
            Self::DeploymentCreated { id, .. }
            | Self::DeploymentUpdated { id, .. }
            | Self::DeploymentClosed { id } => Some(id),
            Self::GroupStarted { id } | Self::GroupPaused { id } | Self::GroupClosed { id } => {
                Some(&id.deployment)
            }
            Self::ProviderCreated { .. }
            | Self::ProviderUpdated { .. }
            | Self::ProviderDeleted { .. }
            | Self::TrustedAuditorCreated { .. }
            | Self::TrustedAuditorDeleted { .. }
            | Self::Other { .. } => None,
        }
    }

    /// Reads an event from its type and its attributes as JSON values (`{"id": {…}}`); values that are JSON text in a
    /// string (`{"id": "{…}"}`) are read as well.
    ///
    /// # Errors
    /// [`EventError`] when an attribute of a known type is missing or wrong. An unknown type is
    /// [`ChainEvent::Other`].
    pub fn from_attributes(
        kind: &str,
        attributes: &Map<String, Value>,
    ) -> Result<Self, EventError> {
        let fields = Fields { kind, attributes };
        Ok(match kind {
            kind::ORDER_CREATED => Self::OrderCreated { id: fields.order()? },
            kind::ORDER_CLOSED => Self::OrderClosed { id: fields.order()? },
            kind::BID_CREATED => Self::BidCreated { id: fields.bid()?, price: fields.price()? },
            kind::BID_CLOSED => Self::BidClosed { id: fields.bid()? },
            kind::LEASE_CREATED => {
                Self::LeaseCreated { id: fields.bid()?.lease(), price: fields.price()? }
            }
            kind::LEASE_CLOSED => {
                Self::LeaseClosed { id: fields.bid()?.lease(), reason: fields.reason()? }
            }
            kind::LEASE_RECLAIM_STARTED => Self::LeaseReclaimStarted {
                id: fields.bid()?.lease(),
                reason: fields.reason()?,
                deadline: fields.read("deadline", |seconds: Seconds| seconds.into_time())?,
            },
            kind::DEPLOYMENT_CREATED => {
                Self::DeploymentCreated { id: fields.deployment()?, hash: fields.hash()? }
            }
            kind::DEPLOYMENT_UPDATED => {
                Self::DeploymentUpdated { id: fields.deployment()?, hash: fields.hash()? }
            }
            kind::DEPLOYMENT_CLOSED => Self::DeploymentClosed { id: fields.deployment()? },
            kind::GROUP_STARTED => Self::GroupStarted { id: fields.group()? },
            kind::GROUP_PAUSED => Self::GroupPaused { id: fields.group()? },
            kind::GROUP_CLOSED => Self::GroupClosed { id: fields.group()? },
            kind::PROVIDER_CREATED => Self::ProviderCreated { owner: fields.address("owner")? },
            kind::PROVIDER_UPDATED => Self::ProviderUpdated { owner: fields.address("owner")? },
            kind::PROVIDER_DELETED => Self::ProviderDeleted { owner: fields.address("owner")? },
            kind::TRUSTED_AUDITOR_CREATED => Self::TrustedAuditorCreated {
                owner: fields.address("owner")?,
                auditor: fields.address("auditor")?,
            },
            kind::TRUSTED_AUDITOR_DELETED => Self::TrustedAuditorDeleted {
                owner: fields.address("owner")?,
                auditor: fields.address("auditor")?,
            },
            _ => Self::Other { kind: kind.to_owned(), attributes: attributes.clone() },
        })
    }

    /// The attributes as JSON values, in the chain's order (sorted by name).
    #[must_use]
    pub fn to_attributes(&self) -> Map<String, Value> {
        match self {
            Self::OrderCreated { id } | Self::OrderClosed { id } => {
                fields([("id", value(OrderPath::from(id)))])
            }
            Self::BidCreated { id, price } => {
                fields([("id", value(BidPath::from(id))), ("price", value(PriceText::from(price)))])
            }
            Self::BidClosed { id } => fields([("id", value(BidPath::from(id)))]),
            Self::LeaseCreated { id, price } => fields([
                ("id", value(BidPath::from(&id.bid()))),
                ("price", value(PriceText::from(price))),
            ]),
            Self::LeaseClosed { id, reason } => {
                fields([("id", value(BidPath::from(&id.bid()))), ("reason", value(reason))])
            }
            Self::LeaseReclaimStarted { id, reason, deadline } => fields([
                ("deadline", value(Seconds::from(*deadline))),
                ("id", value(BidPath::from(&id.bid()))),
                ("reason", value(reason)),
            ]),
            Self::DeploymentCreated { id, hash } | Self::DeploymentUpdated { id, hash } => {
                fields([
                    ("hash", value(HashText::from_hex(hash))),
                    ("id", value(DeploymentPath::from(id))),
                ])
            }
            Self::DeploymentClosed { id } => fields([("id", value(DeploymentPath::from(id)))]),
            Self::GroupStarted { id } | Self::GroupPaused { id } | Self::GroupClosed { id } => {
                fields([("id", value(GroupPath::from(id)))])
            }
            Self::ProviderCreated { owner }
            | Self::ProviderUpdated { owner }
            | Self::ProviderDeleted { owner } => fields([("owner", value(owner))]),
            Self::TrustedAuditorCreated { owner, auditor }
            | Self::TrustedAuditorDeleted { owner, auditor } => {
                fields([("auditor", value(auditor)), ("owner", value(owner))])
            }
            Self::Other { attributes, .. } => attributes.clone(),
        }
    }

    /// Reads an event of a block's results.
    ///
    /// # Errors
    /// As of [`ChainEvent::from_attributes`].
    pub fn decode(event: &Event) -> Result<Self, EventError> {
        Self::from_attributes(&event.r#type, &attributes_of(event))
    }

    /// Writes it as the chain does into a block's results, for the message `msg_index` of its transaction.
    #[must_use]
    pub fn encode(&self, msg_index: u32) -> Event {
        let attribute =
            |key: &str, value: String| EventAttribute { key: key.to_owned(), value, index: true };
        let mut attributes: Vec<EventAttribute> = self
            .to_attributes()
            .iter()
            .map(|(key, value)| attribute(key, value.to_string()))
            .collect();
        attributes.push(attribute("msg_index", msg_index.to_string()));
        Event { r#type: self.kind().to_owned(), attributes }
    }
}

/// Whether an event's type is one of the chain's own modules, rather than of the SDK's (`transfer`, `tx`, …).
#[must_use]
pub fn is_of_akash(kind: &str) -> bool {
    kind.starts_with("akash.")
}

/// The attributes of an event as JSON values, without the `msg_index` and `mode` that say where it happened. Values that
/// are no JSON are kept as strings.
#[must_use]
pub fn attributes_of(event: &Event) -> Map<String, Value> {
    event
        .attributes
        .iter()
        .filter(|attribute| attribute.key != "msg_index" && attribute.key != "mode")
        .map(|attribute| {
            let value = serde_json::from_str(&attribute.value)
                .unwrap_or_else(|_| Value::String(attribute.value.clone()));
            (attribute.key.clone(), value)
        })
        .collect()
}

fn value(of: impl Serialize) -> Value {
    // Only maps with keys that are no strings fail, and there are none.
    serde_json::to_value(of).unwrap_or_default()
}

fn fields<const N: usize>(named: [(&str, Value); N]) -> Map<String, Value> {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The attributes of one event, read one at a time.
struct Fields<'a> {
    kind: &'a str,
    attributes: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn read<W: DeserializeOwned, T, E: std::fmt::Display>(
        &self,
        attribute: &'static str,
        convert: impl FnOnce(W) -> Result<T, E>,
    ) -> Result<T, EventError> {
        let refused = |reason: String| EventError { kind: self.kind.to_owned(), attribute, reason };
        let found = self.attributes.get(attribute).ok_or_else(|| refused("missing".to_owned()))?;
        let written = match found {
            Value::String(text) if text.starts_with(['{', '"']) => {
                serde_json::from_str(text).map_err(|error| refused(error.to_string()))
            }
            other => W::deserialize(other).map_err(|error| refused(error.to_string())),
        }?;
        convert(written).map_err(|error| refused(error.to_string()))
    }

    fn deployment(&self) -> Result<DeploymentId, EventError> {
        self.read("id", |path: DeploymentPath| path.into_id())
    }

    fn group(&self) -> Result<GroupId, EventError> {
        self.read("id", |path: GroupPath| path.into_id())
    }

    fn order(&self) -> Result<OrderId, EventError> {
        self.read("id", |path: OrderPath| path.into_id())
    }

    fn bid(&self) -> Result<BidId, EventError> {
        self.read("id", |path: BidPath| path.into_id())
    }

    fn price(&self) -> Result<Price, EventError> {
        self.read("price", |price: PriceText| price.into_price())
    }

    fn reason(&self) -> Result<CloseReason, EventError> {
        self.read("reason", |reason: CloseReason| Ok::<_, EventError>(reason))
    }

    fn hash(&self) -> Result<String, EventError> {
        self.read("hash", |hash: HashText| hash.into_hex())
    }

    fn address(&self, attribute: &'static str) -> Result<Address, EventError> {
        self.read(attribute, |address: Address| Ok::<_, EventError>(address))
    }
}

/// What stands in [`Position::tx_hash`] for an event of the block itself.
pub const BLOCK: &str = "block";

/// Where an event happened: with the chain's name, its identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The block.
    pub height: Height,
    /// The transaction's hash in upper-case hex, or [`BLOCK`].
    pub tx_hash: String,
    /// The message in the transaction; 0 for events of the fee and of the block.
    pub msg_index: u32,
    /// The event's place among *all* events of the transaction (or of the block itself), from 0.
    pub event_index: u32,
}

/// A block whose results and whose transactions do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {height} has {transactions} transactions and {results} results")]
pub struct BlockMismatch {
    /// The block.
    pub height: u64,
    /// How many transactions it has.
    pub transactions: usize,
    /// How many answered.
    pub results: usize,
}

/// All events of a block with their positions, in the order in which they happened: before the transactions, of each
/// transaction, after them. `tx_hashes` are those of the block's transactions, in its order.
///
/// # Errors
/// [`BlockMismatch`] when there is not one result for each hash.
pub fn events_of_block<'a>(
    results: &'a BlockResults,
    tx_hashes: &[String],
) -> Result<Vec<(Position, &'a Event)>, BlockMismatch> {
    let txs = results.txs_results.as_deref().unwrap_or_default();
    if txs.len() != tx_hashes.len() {
        return Err(BlockMismatch {
            height: results.height,
            transactions: tx_hashes.len(),
            results: txs.len(),
        });
    }
    let height = Height(results.height);
    let of_block = placed(height, BLOCK, &results.finalize_block_events);
    let (after, before): (Vec<_>, Vec<_>) =
        of_block.partition(|(_, event)| event.attribute("mode") == Some("EndBlock"));
    let of_txs = txs.iter().zip(tx_hashes).flat_map(|(tx, hash)| placed(height, hash, &tx.events));
    Ok(before.into_iter().chain(of_txs).chain(after).collect())
}

fn placed<'a>(
    height: Height,
    tx_hash: &str,
    events: &'a [Event],
) -> impl Iterator<Item = (Position, &'a Event)> {
    events.iter().zip(0..).map(move |(event, event_index)| {
        let msg_index =
            event.attribute("msg_index").and_then(|text| text.parse().ok()).unwrap_or(0);
        (Position { height, tx_hash: tx_hash.to_owned(), msg_index, event_index }, event)
    })
}
