//! The rules that the chain has for the groups of a new deployment.
//!
//! The surprising fact: the chain declares limits for counts, groups and the total of storage, and enforces none of them.

use std::{collections::HashSet, fmt};

use super::names::is_attribute_key;
use crate::{
    domain::{Amount, Attribute, GroupSpec, ResourceUnit},
    manifest::{
        distinct::Distinct,
        violation::{At, Violation, Violations, quoted},
    },
};

/// Limits of one resource unit, both ends included.
struct Limits {
    least: u64,
    most: u64,
}

const CPU_MILLI: Limits = Limits { least: 10, most: 384_000 };
const GPU: Limits = Limits { least: 0, most: 24 };
const MEMORY: Limits = Limits { least: 1 << 20, most: 2 << 40 };
const VOLUME: Limits = Limits { least: 5 << 20, most: 32 << 40 };

/// How many units of the largest size a group may have in all.
const GROUP_FACTOR: u64 = 50;

/// The highest price of one replica and block, in whole units of its denom.
const MAX_PRICE: u128 = 10_000_000;

/// Everything that is wrong with the groups of a deployment; empty when the chain would take them.
///
/// Pointers are those of the chain's JSON: `/<group>/resources/<unit>/resource/…`.
pub fn check_groups(groups: &[GroupSpec]) -> Vec<Violation> {
    let mut violations = Violations::default();
    if groups.is_empty() {
        violations
            .add(
                "no-groups",
                "",
                "the deployment has no groups; at least one service must be deployed",
            )
            .reference("Invalid groups");
    }
    check_denoms(groups, &mut violations);
    let mut names = Distinct::default();
    let root = At::path("");
    for (index, group) in groups.iter().enumerate() {
        let at = root.item(index);
        if group.name.is_empty() {
            violations
                .add("group-name-empty", at.member("name"), "the group has no name")
                .reference("empty group spec name denomination");
        }
        if !names.insert(&group.name) {
            let message = format!("group {} stands twice", quoted(&group.name));
            violations.add("duplicate-group", at.member("name"), message);
        }
        check_group(group, &at, &mut violations);
    }
    violations.into_vec()
}

/// One denom for the whole deployment.
fn check_denoms(groups: &[GroupSpec], violations: &mut Violations) {
    let mut first = None;
    for (g, group) in groups.iter().enumerate() {
        for (u, unit) in group.units.iter().enumerate() {
            let denom = &unit.price.denom;
            let expected = *first.get_or_insert(denom);
            if denom != expected {
                violations
                    .add(
                        "mixed-denoms",
                        format!("/{g}/resources/{u}/price/denom"),
                        format!("price in {denom}, but an earlier one is in {expected}; a deployment has one denom"),
                    )
                    .reference(format!(
                        "inconsistent group denomination: {expected} != {denom}: invalid price"
                    ));
            }
        }
    }
}

fn check_group(group: &GroupSpec, at: &At<'_>, violations: &mut Violations) {
    let at = at.member("resources");
    // Ids that count the units need no set to be unique.
    let counted = group.units.iter().zip(1..).all(|(unit, id)| unit.resources.id == id);
    let mut ids = HashSet::new();
    for (index, unit) in group.units.iter().enumerate() {
        let at = at.item(index);
        let id = unit.resources.id;
        if !counted && (id == 0 || !ids.insert(id)) {
            let message = format!("resource id {id} is not allowed: from 1, unique in the group");
            violations.add("resource-id", at.member("resource").member("id"), message);
        }
        check_unit(unit, &at, violations);
    }
    let total = |per_replica: fn(&ResourceUnit) -> u64| {
        group
            .units
            .iter()
            .map(|unit| u128::from(per_replica(unit)) * u128::from(unit.count))
            .fold(0, u128::saturating_add)
    };
    let totals = [
        ("CPU", "milli-CPU", &CPU_MILLI, 1, total(|unit| unit.resources.cpu_milli)),
        ("GPU", "pieces", &GPU, 0, total(|unit| unit.resources.gpu_units)),
        ("memory", "bytes", &MEMORY, 1, total(|unit| unit.resources.memory_bytes)),
    ];
    for (name, unit, limits, least, total) in totals {
        let most = limits.most * GROUP_FACTOR;
        if total < least || total > u128::from(most) {
            let message = format!(
                "total {name} of group {} is {total} {unit}, allowed are {least} to {most}",
                quoted(&group.name)
            );
            violations
                .add("group-total", at, message)
                .reference(format!("invalid total {name} ({most} > {total} > 0 fails)"));
        }
    }
}

fn check_unit(unit: &ResourceUnit, at: &At<'_>, violations: &mut Violations) {
    let resources = &unit.resources;
    let resource = at.member("resource");
    let quantities = [
        ("cpu", "units", "CPU", "milli-CPU", &CPU_MILLI, resources.cpu_milli),
        ("gpu", "units", "GPU", "pieces", &GPU, resources.gpu_units),
        ("memory", "size", "memory", "bytes", &MEMORY, resources.memory_bytes),
    ];
    for (part, field, name, of, limits, found) in quantities {
        let at = resource.member(part);
        check_quantity(&at.member(field), name, of, limits, found, violations);
    }
    let storage = resource.member("storage");
    for (index, volume) in resources.storage.iter().enumerate() {
        let at = storage.item(index);
        let name = format_args!("storage {}", quoted(&volume.name));
        check_quantity(&at.member("size"), name, "bytes", &VOLUME, volume.bytes, violations);
        check_attributes(&volume.attributes, &at, violations);
    }
    check_attributes(&resources.cpu_attributes, &resource.member("cpu"), violations);
    check_attributes(&resources.memory_attributes, &resource.member("memory"), violations);
    let gpu = resource.member("gpu");
    check_attributes(&resources.gpu_attributes, &gpu, violations);
    if resources.gpu_units == 0 && !resources.gpu_attributes.is_empty() {
        violations
            .add("gpu-attributes", gpu.member("attributes"), "GPU attributes without GPU units")
            .reference("error: invalid GPU state. attributes cannot be present if units == 0");
    }
    if resources.storage.is_empty() {
        violations
            .add("resources-missing", storage, "storage is missing")
            .reference("error: invalid unit storage, cannot be nil");
    }
    let price = &unit.price;
    if Amount::from_units(MAX_PRICE).is_ok_and(|most| price.amount > most) {
        let message =
            format!("price {price} is above {MAX_PRICE}, the most for one replica and block");
        violations.add("price-range", at.member("price"), message);
    }
}

fn check_quantity(
    at: &At<'_>,
    name: impl fmt::Display,
    unit: &str,
    limits: &Limits,
    found: u64,
    violations: &mut Violations,
) {
    let Limits { least, most } = limits;
    if !(*least..=*most).contains(&found) {
        let message = format!("{name} is {found} {unit}, allowed are {least} to {most}");
        violations
            .add("resource-range", at, message)
            .reference(format!("error: invalid unit {name} ({most} > {found} > {most} fails)"));
    }
}

fn check_attributes(attributes: &[Attribute], at: &At<'_>, violations: &mut Violations) {
    let at = at.member("attributes");
    let mut keys = Distinct::default();
    for (index, Attribute { key, .. }) in attributes.iter().enumerate() {
        let at = at.item(index);
        if !is_attribute_key(key) {
            let message = format!(
                "attribute key {} is not allowed: 2 to 128 letters, digits, '_', '/', '.', '-', a letter first, \
                 perhaps '*' last",
                quoted(key)
            );
            violations.add("attribute-key", at, message);
        }
        if !keys.insert(key) {
            violations.add(
                "duplicate-attribute",
                at,
                format!("attribute {} stands twice", quoted(key)),
            );
        }
    }
}
