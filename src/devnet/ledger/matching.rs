//! Whether a provider fits a group, as the chain decides it in a create-bid. Owns attribute, audit and capability
//! matching and nothing of a provider's own policy.
//!
//! CPU and memory attributes are matched by nobody; only storage volumes and GPUs are.

use super::refusal::{Refusal, market};
use crate::{
    domain::glob_matches,
    wire::{
        base::{Attribute, PlacementRequirements, Storage},
        deployment::GroupSpec,
        market::ResourceOffer,
    },
};

/// What one auditor signed.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) auditor: &'a str,
    pub(super) attributes: &'a [Attribute],
}

fn is_subset(required: &[Attribute], offered: &[Attribute]) -> bool {
    required.iter().all(|want| {
        offered.iter().any(|have| glob_matches(&want.key, &have.key) && want.value == have.value)
    })
}

/// Whether the provider's own attributes, or those that the wanted auditors signed, are what the tenant requires.
pub(super) fn requirements_match(
    required: &PlacementRequirements,
    own: &[Attribute],
    signed: &[Signed<'_>],
) -> bool {
    let wanted = &required.signed_by;
    if wanted.all_of.is_empty() && wanted.any_of.is_empty() {
        return is_subset(&required.attributes, own);
    }
    let has_signed = |auditor: &String| {
        signed.iter().any(|record| {
            record.auditor == auditor && is_subset(&required.attributes, record.attributes)
        })
    };
    wanted.all_of.iter().all(has_signed)
        && (wanted.any_of.is_empty() || wanted.any_of.iter().any(has_signed))
}

/// Whether the provider's `capabilities/…` attributes cover the group's storage classes and GPU models.
pub(super) fn capabilities_match(spec: &GroupSpec, own: &[Attribute]) -> bool {
    let classes = storage_classes(own);
    let gpus: Vec<Attribute> = own
        .iter()
        .filter_map(|attribute| {
            let key = attribute.key.strip_prefix("capabilities/gpu/")?;
            Some(Attribute { key: key.to_owned(), value: attribute.value.clone() })
        })
        .collect();
    spec.resources.iter().all(|unit| {
        let resources = &unit.resource;
        let storage = resources.storage.iter().all(|volume| storage_matches(volume, &classes));
        let gpu = resources.gpu.as_ref().is_none_or(|gpu| {
            gpu.units.val == b"0"
                || gpu.attributes.is_empty()
                || gpu.attributes.iter().any(|want| is_subset(std::slice::from_ref(want), &gpus))
        });
        storage && gpu
    })
}

fn storage_matches(volume: &Storage, classes: &[(String, Vec<Attribute>)]) -> bool {
    volume.attributes.is_empty()
        || classes.iter().any(|(_, attributes)| is_subset(&volume.attributes, attributes))
}

/// The sets `capabilities/storage/<set>/<key>`.
fn storage_classes(own: &[Attribute]) -> Vec<(String, Vec<Attribute>)> {
    let mut classes: Vec<(String, Vec<Attribute>)> = Vec::new();
    for attribute in own {
        let Some(path) = attribute.key.strip_prefix("capabilities/storage/") else { continue };
        let Some((set, key)) = path.split_once('/').filter(|(_, key)| !key.contains('/')) else {
            continue;
        };
        let found = Attribute { key: key.to_owned(), value: attribute.value.clone() };
        match classes.iter_mut().find(|(name, _)| name == set) {
            Some((_, attributes)) => attributes.push(found),
            None => classes.push((set.to_owned(), vec![found])),
        }
    }
    classes
}

/// Checks that an offer names resources of the order, with the same counts. An empty offer is accepted.
pub(super) fn offer_fits(spec: &GroupSpec, offer: &[ResourceOffer]) -> Result<(), Refusal> {
    let fits = offer.iter().all(|offered| {
        spec.resources
            .iter()
            .any(|unit| unit.resource.id == offered.resources.id && unit.count == offered.count)
    });
    if fits { Ok(()) } else { Err(market::CAPABILITIES_MISMATCH.into()) }
}
