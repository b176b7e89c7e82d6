//! Groups in the JSON that the chain's tools print, member by member and in their order.
//!
//! The surprising fact: a resource's attributes are left out where there are none, a requirement's are `null`; and a
//! shared HTTP endpoint, being number 0, has no `kind`.

use std::iter;

use serde::{Serialize, Serializer};

use crate::domain::{
    Attribute, Endpoint, EndpointKind, GroupSpec, Price, Requirements, ResourceUnit, Resources,
    Volume,
};

/// Which lists of auditors a placement has in its document, be they empty: an empty list is printed as `[]`, one that is
/// not there as `null`. On chain they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignerLists {
    /// `allOf`.
    pub all_of: bool,
    /// `anyOf`.
    pub any_of: bool,
}

/// Groups that serialise as the chain's tools print them.
#[derive(Debug, Clone, Copy)]
pub struct ChainGroups<'a> {
    /// The groups.
    pub groups: &'a [GroupSpec],
    /// Of each group; those that are missing here have the lists that are not empty.
    pub signer_lists: &'a [SignerLists],
}

impl Serialize for ChainGroups<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lists = self.signer_lists.iter().copied().chain(iter::repeat(SignerLists::default()));
        let groups = self.groups.iter().zip(lists);
        serializer.collect_seq(groups.map(|(spec, lists)| Group::of(spec, lists)))
    }
}

#[derive(Serialize)]
struct Group<'a> {
    name: &'a str,
    requirements: Required<'a>,
    resources: Vec<Unit<'a>>,
}

#[derive(Serialize)]
struct Required<'a> {
    signed_by: Signers<'a>,
    attributes: Option<Vec<Pair<'a>>>,
}

#[derive(Serialize)]
struct Signers<'a> {
    all_of: Option<&'a [String]>,
    any_of: Option<&'a [String]>,
}

#[derive(Serialize)]
struct Pair<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
}

#[derive(Serialize)]
struct Unit<'a> {
    resource: Resource<'a>,
    count: u32,
    price: Cost<'a>,
}

#[derive(Serialize)]
struct Cost<'a> {
    denom: &'a str,
    amount: String,
}

#[derive(Serialize)]
struct Resource<'a> {
    id: u32,
    cpu: Units<'a>,
    memory: Size<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    storage: Vec<Stored<'a>>,
    gpu: Units<'a>,
    endpoints: Vec<Reached>,
}

/// An integer as the decimal text that the chain holds.
#[derive(Serialize)]
struct Number {
    val: String,
}

#[derive(Serialize)]
struct Units<'a> {
    units: Number,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Size<'a> {
    size: Number,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Stored<'a> {
    name: &'a str,
    size: Number,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Reached {
    #[serde(skip_serializing_if = "is_zero")]
    kind: u8,
    sequence_number: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl<'a> Group<'a> {
    fn of(spec: &'a GroupSpec, lists: SignerLists) -> Self {
        let Requirements { signed_by, attributes } = &spec.requirements;
        Self {
            name: &spec.name,
            requirements: Required {
                signed_by: Signers {
                    all_of: or_null(&signed_by.all_of, lists.all_of),
                    any_of: or_null(&signed_by.any_of, lists.any_of),
                },
                attributes: or_null(attributes, false).map(pairs),
            },
            resources: spec.units.iter().map(Unit::from).collect(),
        }
    }
}

fn or_null<T>(list: &[T], is_listed: bool) -> Option<&[T]> {
    (is_listed || !list.is_empty()).then_some(list)
}

fn pairs(attributes: &[Attribute]) -> Vec<Pair<'_>> {
    attributes.iter().map(|Attribute { key, value }| Pair { key, value }).collect()
}

fn number(value: u64) -> Number {
    Number { val: value.to_string() }
}

impl<'a> From<&'a ResourceUnit> for Unit<'a> {
    fn from(unit: &'a ResourceUnit) -> Self {
        let ResourceUnit { resources, count, price: Price { denom, amount } } = unit;
        Self {
            resource: Resource::from(resources),
            count: *count,
            price: Cost { denom: denom.as_str(), amount: amount.to_padded() },
        }
    }
}

impl<'a> From<&'a Resources> for Resource<'a> {
    fn from(resources: &'a Resources) -> Self {
        let stored = |volume: &'a Volume| Stored {
            name: &volume.name,
            size: number(volume.bytes),
            attributes: pairs(&volume.attributes),
        };
        Self {
            id: resources.id,
            cpu: Units {
                units: number(resources.cpu_milli),
                attributes: pairs(&resources.cpu_attributes),
            },
            memory: Size {
                size: number(resources.memory_bytes),
                attributes: pairs(&resources.memory_attributes),
            },
            storage: resources.storage.iter().map(stored).collect(),
            gpu: Units {
                units: number(resources.gpu_units),
                attributes: pairs(&resources.gpu_attributes),
            },
            endpoints: resources.endpoints.iter().map(Reached::from).collect(),
        }
    }
}

impl From<&Endpoint> for Reached {
    fn from(endpoint: &Endpoint) -> Self {
        let kind = match endpoint.kind {
            EndpointKind::SharedHttp => 0,
            EndpointKind::RandomPort => 1,
            EndpointKind::LeasedIp => 2,
        };
        Self { kind, sequence_number: endpoint.sequence_number }
    }
}
