//! Ids of the market's things. Each is a path of the chain's own sequence numbers: `dseq` is chosen by the tenant
//! (normally the block height), `gseq` counts the groups of a deployment from 1, `oseq` the orders of a group from 1.
//!
//! `bseq` exists on the wire and is always 0 (the chain refuses anything else in a bid), so it is not kept here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use super::address::{Address, AddressError};

/// A tenant's deployment: `owner/dseq`. It is also the subject that the steps of its orders and leases own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentId {
    /// The tenant.
    pub owner: Address,
    /// Chosen by the tenant, above 0, unique per owner.
    pub dseq: u64,
}

/// A group of services of one deployment: `owner/dseq/gseq`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId {
    /// The deployment it belongs to.
    pub deployment: DeploymentId,
    /// From 1, in the order of the groups in the transaction.
    pub gseq: u32,
}

/// An order for one group: `owner/dseq/gseq/oseq`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId {
    /// The group that is wanted.
    pub group: GroupId,
    /// From 1 per group, one more for each new order.
    pub oseq: u32,
}

/// One provider's bid on an order: `owner/dseq/gseq/oseq/provider`. A provider bids once per order, ever.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BidId {
    /// The order that the bid is for.
    pub order: OrderId,
    /// Who bids.
    pub provider: Address,
}

/// A lease: the bid that the tenant took. Same path as the bid.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId {
    /// The order that the lease answers.
    pub order: OrderId,
    /// Who provides.
    pub provider: Address,
}

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Too few or too many parts between the slashes.
    #[error("{text:?} is not of the form {form}")]
    Form {
        /// What was given (shortened).
        text: String,
        /// What is allowed.
        form: &'static str,
    },
    /// A sequence number is not a number of its range, or is 0.
    #[error("{part} {text:?} is not a whole number from 1 to {max}")]
    Number {
        /// `dseq`, `gseq` or `oseq`.
        part: &'static str,
        /// What was given.
        text: String,
        /// The largest that is allowed.
        max: u64,
    },
    /// The owner or the provider is not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl DeploymentId {
    /// The id of `owner`'s deployment `dseq`.
    #[must_use]
    pub fn new(owner: Address, dseq: u64) -> Self {
        Self { owner, dseq }
    }

    /// The group `gseq` of this deployment.
    #[must_use]
    pub fn group(&self, gseq: u32) -> GroupId {
        GroupId { deployment: self.clone(), gseq }
    }
}

impl GroupId {
    /// The order `oseq` of this group.
    #[must_use]
    pub fn order(&self, oseq: u32) -> OrderId {
        OrderId { group: self.clone(), oseq }
    }
}

impl OrderId {
    /// An order from its four parts.
    #[must_use]
    pub fn new(owner: Address, dseq: u64, gseq: u32, oseq: u32) -> Self {
        DeploymentId::new(owner, dseq).group(gseq).order(oseq)
    }

    /// The tenant.
    #[must_use]
    pub fn owner(&self) -> &Address {
        &self.group.deployment.owner
    }

    /// The deployment's sequence number.
    #[must_use]
    pub fn dseq(&self) -> u64 {
        self.group.deployment.dseq
    }

    /// The group's sequence number.
    #[must_use]
    pub fn gseq(&self) -> u32 {
        self.group.gseq
    }

    /// The deployment that the order is part of.
    #[must_use]
    pub fn deployment(&self) -> &DeploymentId {
        &self.group.deployment
    }

    /// `provider`'s bid on this order.
    #[must_use]
    pub fn bid(&self, provider: &Address) -> BidId {
        BidId { order: self.clone(), provider: provider.clone() }
    }

    /// `provider`'s lease of this order.
    #[must_use]
    pub fn lease(&self, provider: &Address) -> LeaseId {
        LeaseId { order: self.clone(), provider: provider.clone() }
    }
}

impl BidId {
    /// The lease that this bid becomes when the tenant takes it.
    #[must_use]
    pub fn lease(&self) -> LeaseId {
        LeaseId { order: self.order.clone(), provider: self.provider.clone() }
    }
}

impl LeaseId {
    /// The bid that became this lease. A provider closes a lease by closing its bid.
    #[must_use]
    pub fn bid(&self) -> BidId {
        BidId { order: self.order.clone(), provider: self.provider.clone() }
    }

    /// The deployment that the lease is part of.
    #[must_use]
    pub fn deployment(&self) -> &DeploymentId {
        self.order.deployment()
    }
}

fn number<T: FromStr + Default + PartialEq>(
    part: &'static str,
    text: &str,
    max: u64,
) -> Result<T, IdError> {
    let refused = || IdError::Number { part, text: text.chars().take(24).collect(), max };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    match text.parse::<T>() {
        Ok(value) if value != T::default() => Ok(value),
        _ => Err(refused()),
    }
}

fn parts<'a, const N: usize>(text: &'a str, form: &'static str) -> Result<[&'a str; N], IdError> {
    let found: Vec<&str> = text.splitn(N + 1, '/').collect();
    found.try_into().map_err(|_| IdError::Form { text: text.chars().take(160).collect(), form })
}

fn order(owner: &str, dseq: &str, gseq: &str, oseq: &str) -> Result<OrderId, IdError> {
    Ok(OrderId::new(
        owner.parse()?,
        number("dseq", dseq, u64::MAX)?,
        number("gseq", gseq, u64::from(u32::MAX))?,
        number("oseq", oseq, u64::from(u32::MAX))?,
    ))
}

impl FromStr for DeploymentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let [owner, dseq] = parts(text, "owner/dseq")?;
        Ok(Self::new(owner.parse()?, number("dseq", dseq, u64::MAX)?))
    }
}

impl FromStr for GroupId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let [owner, dseq, gseq] = parts(text, "owner/dseq/gseq")?;
        Ok(DeploymentId::new(owner.parse()?, number("dseq", dseq, u64::MAX)?).group(number(
            "gseq",
            gseq,
            u64::from(u32::MAX),
        )?))
    }
}

impl FromStr for OrderId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let [owner, dseq, gseq, oseq] = parts(text, "owner/dseq/gseq/oseq")?;
        order(owner, dseq, gseq, oseq)
    }
}

impl FromStr for BidId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let [owner, dseq, gseq, oseq, provider] = parts(text, "owner/dseq/gseq/oseq/provider")?;
        Ok(Self { order: order(owner, dseq, gseq, oseq)?, provider: provider.parse()? })
    }
}

impl FromStr for LeaseId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse::<BidId>().map(|bid| bid.lease())
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.dseq)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.deployment, self.gseq)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.oseq)
    }
}

impl fmt::Display for BidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.order, self.provider)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.order, self.provider)
    }
}

macro_rules! path_text {
    ($($id:ty),*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

path_text!(DeploymentId, GroupId, OrderId, BidId, LeaseId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parse_of_print_is_the_same_id(owner: [u8; 20], provider: [u8; 20], dseq in 1u64.., gseq in 1u32.., oseq in 1u32..) {
            let order = OrderId::new(Address::from_bytes(&owner).unwrap(), dseq, gseq, oseq);
            let bid = order.bid(&Address::from_bytes(&provider).unwrap());
            prop_assert_eq!(&order.to_string().parse::<OrderId>().unwrap(), &order);
            prop_assert_eq!(&bid.to_string().parse::<BidId>().unwrap(), &bid);
            prop_assert_eq!(bid.lease().to_string().parse::<LeaseId>().unwrap(), bid.lease());
            let group = &order.group;
            prop_assert_eq!(&group.to_string().parse::<GroupId>().unwrap(), group);
            let deployment = order.deployment();
            prop_assert_eq!(&deployment.to_string().parse::<DeploymentId>().unwrap(), deployment);
        }
    }

    #[test]
    fn an_id_with_a_zero_a_sign_or_a_missing_part_is_refused_with_what_is_allowed() {
        let owner = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww";
        for (text, expected) in [
            (
                format!("{owner}/0/1/1"),
                "dseq \"0\" is not a whole number from 1 to 18446744073709551615",
            ),
            (format!("{owner}/5/+1/1"), "gseq \"+1\" is not a whole number from 1 to 4294967295"),
            (
                format!("{owner}/5/1/4294967296"),
                "oseq \"4294967296\" is not a whole number from 1 to 4294967295",
            ),
        ] {
            assert_eq!(text.parse::<OrderId>().unwrap_err().to_string(), expected);
        }
        assert!(matches!(format!("{owner}/5/1").parse::<OrderId>(), Err(IdError::Form { .. })));
        assert!(matches!(format!("{owner}/5/1/1/1").parse::<OrderId>(), Err(IdError::Form { .. })));
    }
}
