//! Matching attributes: audits, capabilities. The chain applies the same rules when it takes a bid, so an order that
//! fails here would only cost a fee.
//!
//! The surprising fact: the *required* key is the pattern, and `*` does not cross a `/`: `vendor/nvidia/model/*` answers
//! `vendor/nvidia/model/a100` and not `vendor/nvidia/model/a100/ram/80Gi`.

use std::collections::BTreeMap;

use crate::domain::{Attribute, AuditedAttributes, Requirements, Resources, glob_matches};

/// What the keys of storage capabilities begin with.
pub(super) const STORAGE_CAPABILITY: &str = "capabilities/storage/";
/// What the keys of GPU capabilities begin with.
pub(super) const GPU_CAPABILITY: &str = "capabilities/gpu/";

/// Whether every required attribute is there: some attribute with the same value whose key the required key answers.
#[must_use]
pub fn is_subset(required: &[Attribute], there: &[Attribute]) -> bool {
    missing(required, there).next().is_none()
}

/// The required attributes that are not there.
pub(super) fn missing<'a>(
    required: &'a [Attribute],
    there: &'a [Attribute],
) -> impl Iterator<Item = &'a Attribute> {
    required.iter().filter(move |wanted| {
        !there.iter().any(|one| one.value == wanted.value && glob_matches(&wanted.key, &one.key))
    })
}

/// Whether the auditors that `requirements` name have signed the required attributes: each of `all_of`, and one of `any_of`
/// unless that list is empty. An auditor signed when all required attributes are among what it signed; one without a record signed
/// nothing, not even an empty list.
#[must_use]
pub fn signed_by(requirements: &Requirements, audited: &[AuditedAttributes]) -> bool {
    let signed = |auditor: &String| {
        audited.iter().any(|audit| {
            audit.auditor.as_str() == auditor.as_str()
                && is_subset(&requirements.attributes, &audit.attributes)
        })
    };
    let wanted = &requirements.signed_by;
    wanted.all_of.iter().all(signed)
        && (wanted.any_of.is_empty() || wanted.any_of.iter().any(signed))
}

/// The first volume that no storage capability of the provider answers, by name. Volumes without attributes need none. A
/// capability is a set: all attributes of the volume must be in one of `capabilities/storage/<set>/…`.
pub(super) fn unanswered_volume<'a>(
    resources: &'a Resources,
    provider: &[Attribute],
) -> Option<&'a str> {
    let mut sets: BTreeMap<&str, Vec<Attribute>> = BTreeMap::new();
    for attribute in provider {
        if let Some((set, key)) = attribute
            .key
            .strip_prefix(STORAGE_CAPABILITY)
            .and_then(|rest| rest.split_once('/'))
            .filter(|(_, key)| !key.contains('/'))
        {
            sets.entry(set).or_default().push(Attribute::new(key, &attribute.value));
        }
    }
    resources
        .storage
        .iter()
        .filter(|volume| !volume.attributes.is_empty())
        .find(|volume| !sets.values().any(|set| is_subset(&volume.attributes, set)))
        .map(|volume| volume.name.as_str())
}

/// Whether one of the models that the unit takes is among the provider's `capabilities/gpu/…`. A unit that wants no GPU, or any, needs
/// no capability.
pub(super) fn gpu_answered(resources: &Resources, provider: &[Attribute]) -> bool {
    if resources.gpu_units == 0 || resources.gpu_attributes.is_empty() {
        return true;
    }
    resources.gpu_attributes.iter().any(|wanted| {
        provider.iter().any(|one| {
            one.key
                .strip_prefix(GPU_CAPABILITY)
                .is_some_and(|key| one.value == wanted.value && glob_matches(&wanted.key, key))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::*, *};
    use crate::domain::SignedBy;

    #[test]
    fn a_value_is_compared_exactly_and_every_required_attribute_must_be_there() {
        let there = attributes(&[("region", "us-west"), ("tier", "community")]);
        assert!(is_subset(&attributes(&[("reg*", "us-west")]), &there));
        assert!(!is_subset(&attributes(&[("region", "US-west")]), &there));
        assert!(!is_subset(&attributes(&[("region", "us-west"), ("cpu", "arm")]), &there));
        assert!(is_subset(&[], &[]));
    }

    fn requirements(all_of: &[u8], any_of: &[u8], pairs: &[(&str, &str)]) -> Requirements {
        let texts = |numbers: &[u8]| numbers.iter().map(|n| address(*n).to_string()).collect();
        Requirements {
            signed_by: SignedBy { all_of: texts(all_of), any_of: texts(any_of) },
            attributes: attributes(pairs),
        }
    }

    fn audits(auditors: &[u8], pairs: &[(&str, &str)]) -> Vec<AuditedAttributes> {
        let audit = |number: &u8| AuditedAttributes {
            auditor: address(*number),
            attributes: attributes(pairs),
        };
        auditors.iter().map(audit).collect()
    }

    #[test]
    fn all_of_wants_every_auditor_any_of_one_and_both_lists_hold() {
        const REGION: &[(&str, &str)] = &[("region", "us-west")];
        for (all_of, any_of, signers, expected) in [
            (&[][..], &[][..], &[][..], true),
            (&[1, 2], &[], &[1], false),
            (&[1, 2], &[], &[1, 2], true),
            (&[], &[1, 2], &[1], true),
            (&[], &[1, 2], &[], false),
            (&[1, 2], &[3], &[1, 2], false),
            (&[1, 2], &[3], &[1, 2, 3], true),
            (&[1, 2], &[3], &[3], false),
        ] {
            assert_eq!(
                signed_by(&requirements(all_of, any_of, REGION), &audits(signers, REGION)),
                expected,
                "all of {all_of:?}, any of {any_of:?}, signed by {signers:?}"
            );
        }
    }

    #[test]
    fn an_auditor_must_have_signed_the_required_attributes_and_not_just_something() {
        let wanted = requirements(&[1], &[], &[("region", "us-west")]);
        assert!(!signed_by(&wanted, &audits(&[1], &[("region", "eu")])));
        let nothing = requirements(&[1], &[], &[]);
        assert!(signed_by(&nothing, &audits(&[1], &[])));
        assert!(!signed_by(&nothing, &[]));
    }

    fn with_storage(volumes: &[crate::domain::Volume]) -> Resources {
        unit(1, 100, MI, 1).storage(volumes).resources
    }

    #[test]
    fn a_volume_needs_one_capability_set_with_all_its_attributes() {
        let wanted = with_storage(&[volume(MI, &[]), persistent("default", GI)]);
        let one_set = attributes(&[
            ("capabilities/storage/1/persistent", "true"),
            ("capabilities/storage/1/class", "default"),
        ]);
        let two_sets = attributes(&[
            ("capabilities/storage/1/persistent", "true"),
            ("capabilities/storage/2/class", "default"),
        ]);
        let too_deep = attributes(&[
            ("capabilities/storage/1/x/persistent", "true"),
            ("capabilities/storage/1/x/class", "default"),
        ]);
        assert_eq!(unanswered_volume(&wanted, &one_set), None);
        assert!(unanswered_volume(&wanted, &two_sets).is_some());
        assert!(unanswered_volume(&wanted, &too_deep).is_some());
        assert_eq!(unanswered_volume(&with_storage(&[volume(MI, &[])]), &[]), None);
    }

    #[test]
    fn a_gpu_needs_one_of_its_models_among_the_capabilities() {
        let wants = |keys: &[&str]| unit(1, 100, MI, 1).gpu(1, keys).resources;
        let provider = attributes(&[("capabilities/gpu/vendor/nvidia/model/a100", "true")]);
        assert!(gpu_answered(&wants(&["vendor/nvidia/model/a100"]), &provider));
        assert!(gpu_answered(&wants(&["vendor/nvidia/model/*"]), &provider));
        assert!(gpu_answered(
            &wants(&["vendor/nvidia/model/h100", "vendor/nvidia/model/a100"]),
            &provider
        ));
        assert!(!gpu_answered(&wants(&["vendor/nvidia/model/h100"]), &provider));
        assert!(!gpu_answered(&wants(&["vendor/nvidia/model/a100/ram/80Gi"]), &provider));
        assert!(gpu_answered(&wants(&[]), &[]));
        assert!(!gpu_answered(&wants(&["vendor/nvidia/model/a100"]), &[]));
    }
}
