//! What a tenant asks for: attributes, resources, groups. CPU is in thousandths of a core, memory and storage in bytes,
//! GPUs in pieces; all are checked integers.

use serde::{Deserialize, Serialize};

use super::{address::Address, money::Price};

/// A key and its value, such as `region` = `us-west` or `vendor/nvidia/model/a100` = `true`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Attribute {
    /// Letters, digits, `/`, `.`, `-`, `_`; a required key may end in `*`.
    pub key: String,
    /// Any text, compared exactly.
    pub value: String,
}

impl Attribute {
    /// An attribute from its two parts.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Whose signature over the provider's attributes the tenant wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SignedBy {
    /// Each of these auditors must have signed every required attribute.
    pub all_of: Vec<String>,
    /// At least one of these must have.
    pub any_of: Vec<String>,
}

impl SignedBy {
    /// Whether no auditor is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all_of.is_empty() && self.any_of.is_empty()
    }
}

/// What the tenant requires of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requirements {
    /// Auditors.
    pub signed_by: SignedBy,
    /// Attributes the provider must have.
    pub attributes: Vec<Attribute>,
}

/// How a service can be reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndpointKind {
    /// By hostname on the shared port 80 and 443. Number 0 on the wire.
    SharedHttp,
    /// By a port that the provider picks. Number 1.
    RandomPort,
    /// By an address of its own. Number 2.
    LeasedIp,
}

/// One endpoint of a resource unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// How it is reached.
    pub kind: EndpointKind,
    /// Which leased address, 0 for the other kinds.
    pub sequence_number: u32,
}

/// One storage volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Unique within the unit; `default` when the tenant gave none.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// `persistent` and `class`, or none for plain ephemeral storage.
    pub attributes: Vec<Attribute>,
}

impl Volume {
    /// The value of the volume's attribute `key`.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.key == key)
            .map(|found| found.value.as_str())
    }
}

/// The resources of one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// From 1, unique within the group; the manifest's services refer to it.
    pub id: u32,
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Attributes of the CPU (`arch`), matched by nobody today.
    pub cpu_attributes: Vec<Attribute>,
    /// Bytes.
    pub memory_bytes: u64,
    /// Attributes of the memory.
    pub memory_attributes: Vec<Attribute>,
    /// Volumes in the tenant's order.
    pub storage: Vec<Volume>,
    /// Pieces.
    pub gpu_units: u64,
    /// `vendor/<vendor>/model/<model|*>[/ram/<ram>][/interface/<interface>]` = `true`.
    pub gpu_attributes: Vec<Attribute>,
    /// How it is reached from outside.
    pub endpoints: Vec<Endpoint>,
}

/// Some replicas of the same resources at a price each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceUnit {
    /// One replica.
    pub resources: Resources,
    /// How many replicas.
    pub count: u32,
    /// The most that the tenant pays for one replica and block.
    pub price: Price,
}

/// What is asked of one provider as a whole: one order, one bid, one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// The placement's name in the tenant's document.
    pub name: String,
    /// What the provider must be.
    pub requirements: Requirements,
    /// What must run there.
    pub units: Vec<ResourceUnit>,
}

impl GroupSpec {
    /// The most that the tenant pays for the whole group and block: the units' prices times their counts.
    /// `None` when there are no units, when their denoms differ, or when the sum is too large.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        let denom = self.units.first()?.price.denom.clone();
        let mut sum = super::money::Amount::ZERO;
        for unit in &self.units {
            if unit.price.denom != denom {
                return None;
            }
            sum = sum.checked_add(unit.price.amount.checked_mul(u128::from(unit.count))?)?;
        }
        Some(Price { denom, amount: sum })
    }

    /// Every auditor that is named, each once, in the order of the lists. Texts that are no address are left out:
    /// they can have signed nothing.
    #[must_use]
    pub fn auditors(&self) -> Vec<Address> {
        let mut found: Vec<Address> = Vec::new();
        let signed_by = &self.requirements.signed_by;
        for text in signed_by.all_of.iter().chain(&signed_by.any_of) {
            if let Ok(address) = text.parse::<Address>()
                && !found.contains(&address)
            {
                found.push(address);
            }
        }
        found
    }
}
