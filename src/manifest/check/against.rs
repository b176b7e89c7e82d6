//! A manifest against the groups that stand on chain: the same groups, every replica and every endpoint used exactly.
//!
//! The surprising fact: the endpoints that a manifest lists are not looked at; its exposes are counted instead, by kind
//! and not by number. And a service may use fewer volumes than its unit has, though not others.

use crate::{
    domain::{Attribute, EndpointKind, GroupSpec, ResourceUnit, Resources},
    manifest::{
        model::{Group, Manifest, Service, ServiceVolume, Size, Units},
        violation::{Violation, Violations, nearest_hint, pointer, quoted},
    },
};

impl Manifest {
    /// Everything in which the manifest does not fit the deployment's groups on chain; the rules of the manifest by
    /// itself come first.
    pub fn check_against(&self, groups: &[GroupSpec]) -> Vec<Violation> {
        let mut violations = Violations::default();
        super::check_content(self, &mut violations);
        if violations.is_empty() {
            check_groups(self, groups, &mut violations);
        }
        violations.into_vec()
    }
}

fn check_groups(manifest: &Manifest, groups: &[GroupSpec], violations: &mut Violations) {
    let (found, expected) = (manifest.groups.len(), groups.len());
    if found != expected {
        violations
            .add(
                "group-count",
                "",
                format!("manifest has {found} groups, the deployment has {expected}"),
            )
            .reference(format!("invalid manifest: group count mismatch ({found} != {expected})"));
    }
    for (index, group) in manifest.groups.iter().enumerate() {
        let at = pointer("", index);
        let Some(spec) = groups.iter().find(|spec| spec.name == group.name) else {
            unknown_group(group, groups, &at, violations);
            continue;
        };
        check_group(group, spec, &at, violations);
    }
}

fn unknown_group(group: &Group, groups: &[GroupSpec], at: &str, violations: &mut Violations) {
    let hint = nearest_hint(&group.name, groups.iter().map(|spec| spec.name.as_str()));
    violations
        .add(
            "unknown-group",
            pointer(at, "name"),
            format!("the deployment has no group {}{hint}", quoted(&group.name)),
        )
        .reference(format!("invalid manifest: unknown deployment group ('{}')", group.name));
}

/// What is left of a resource unit while services take from it.
struct Left<'a> {
    resources: &'a Resources,
    replicas: u32,
    http: usize,
    port: usize,
    ip: usize,
}

impl<'a> Left<'a> {
    fn of(unit: &'a ResourceUnit) -> Self {
        let endpoints = &unit.resources.endpoints;
        let count = |kind| endpoints.iter().filter(|endpoint| endpoint.kind == kind).count();
        Self {
            resources: &unit.resources,
            replicas: unit.count,
            http: count(EndpointKind::SharedHttp),
            port: count(EndpointKind::RandomPort),
            ip: count(EndpointKind::LeasedIp),
        }
    }
}

fn check_group(group: &Group, spec: &GroupSpec, at: &str, violations: &mut Violations) {
    let mut left: Vec<Left<'_>> = spec.units.iter().map(Left::of).collect();
    let prefix = format!("manifest cross-validation error: group {}", quoted(&group.name));
    for (index, service) in group.services.iter().enumerate() {
        let at = format!("{at}/services/{index}");
        let prefix = format!("{prefix}: service {}", quoted(&service.name));
        let id = service.resources.id;
        match left.iter_mut().find(|unit| unit.resources.id == id) {
            Some(unit) => {
                take_replicas(service, unit, &at, &prefix, violations);
                compare_resources(service, unit.resources, &at, &prefix, violations);
                take_endpoints(service, unit, &at, &prefix, violations);
            }
            None => violations
                .add(
                    "unknown-resources",
                    format!("{at}/resources/id"),
                    format!(
                        "service {} refers to resources {id}, which group {} does not have",
                        quoted(&service.name),
                        quoted(&group.name)
                    ),
                )
                .reference(format!(
                    "{prefix}: not found deployment group resources with ID = {id}"
                )),
        }
    }
    for unit in &left {
        check_left(unit, &group.name, at, &prefix, violations);
    }
}

fn take_replicas(
    service: &Service,
    unit: &mut Left<'_>,
    at: &str,
    prefix: &str,
    violations: &mut Violations,
) {
    let (wanted, left) = (service.count, unit.replicas);
    if let Some(rest) = left.checked_sub(wanted) {
        unit.replicas = rest;
        return;
    }
    unit.replicas = 0;
    violations
        .add(
            "too-many-replicas",
            pointer(at, "count"),
            format!(
                "service {} has {wanted} replicas, resources {} have {left} left",
                quoted(&service.name),
                unit.resources.id
            ),
        )
        .reference(format!(
            "{prefix}: over-utilized replicas ({wanted}) > group spec resources count ({left})"
        ));
}

fn compare_resources(
    service: &Service,
    unit: &Resources,
    at: &str,
    prefix: &str,
    violations: &mut Violations,
) {
    let found = &service.resources;
    let cpu = same_units(found.cpu.as_ref(), unit.cpu_milli, &unit.cpu_attributes);
    let gpu = same_units(found.gpu.as_ref(), unit.gpu_units, &unit.gpu_attributes);
    let memory = found.memory.as_ref().is_some_and(|memory| {
        memory.size.to_u64() == Some(unit.memory_bytes)
            && memory.attributes == unit.memory_attributes
    });
    let storage = found.storage.len() <= unit.storage.len()
        && found.storage.iter().zip(&unit.storage).all(|(found, unit)| {
            let ServiceVolume { name, size, attributes } = found;
            *name == unit.name
                && size.to_u64() == Some(unit.bytes)
                && *attributes == unit.attributes
        });
    let of_units = |units: Option<&Units>| {
        units.map_or_else(absent, |units| amount(units.units, &units.attributes))
    };
    let of_memory = |memory: &Size| amount(memory.size, &memory.attributes);
    let parts = [
        (
            ("cpu", "CPU", cpu),
            of_units(found.cpu.as_ref()),
            amount(unit.cpu_milli, &unit.cpu_attributes),
        ),
        (
            ("gpu", "GPU", gpu),
            of_units(found.gpu.as_ref()),
            amount(unit.gpu_units, &unit.gpu_attributes),
        ),
        (
            ("memory", "Memory", memory),
            found.memory.as_ref().map_or_else(absent, of_memory),
            amount(unit.memory_bytes, &unit.memory_attributes),
        ),
        (
            ("storage", "Storage", storage),
            volumes(found.storage.iter().map(|volume| (&*volume.name, volume.size.to_string()))),
            volumes(unit.storage.iter().map(|volume| (&*volume.name, volume.bytes.to_string()))),
        ),
    ];
    for ((part, name, same), found, ordered) in parts {
        if !same {
            let id = unit.id;
            violations
                .add(
                    "resources-differ",
                    format!("{at}/resources/{part}"),
                    format!(
                        "{part} of service {} is {found}, resources {id} of the deployment have {ordered}",
                        quoted(&service.name)
                    ),
                )
                .reference(format!("{prefix}: {name} resources mismatch for ID {id}"));
        }
    }
}

/// How many attributes or volumes a message lists.
const MAX_LISTED: usize = 8;

fn absent() -> String {
    "absent".to_owned()
}

/// A quantity with its attributes, for a message.
fn amount(quantity: impl std::fmt::Display, attributes: &[Attribute]) -> String {
    let pairs = attributes
        .iter()
        .map(|Attribute { key, value }| format!(" {}={}", quoted(key), quoted(value)));
    let pairs: String = pairs.take(MAX_LISTED).collect();
    if pairs.is_empty() { quantity.to_string() } else { format!("{quantity} with{pairs}") }
}

/// Volumes with their sizes, for a message.
fn volumes<'a>(volumes: impl Iterator<Item = (&'a str, String)>) -> String {
    let listed = volumes.take(MAX_LISTED).map(|(name, bytes)| format!("{} {bytes}", quoted(name)));
    let listed: Vec<String> = listed.collect();
    if listed.is_empty() { absent() } else { listed.join(", ") }
}

fn same_units(found: Option<&Units>, units: u64, attributes: &[Attribute]) -> bool {
    found.is_some_and(|found| found.units.to_u64() == Some(units) && found.attributes == attributes)
}

fn take_endpoints(
    service: &Service,
    unit: &mut Left<'_>,
    at: &str,
    prefix: &str,
    violations: &mut Violations,
) {
    let id = unit.resources.id;
    for (index, expose) in service.expose.iter().enumerate() {
        let Some(kind) = expose.kind() else { continue };
        let shared = match kind {
            EndpointKind::SharedHttp => ("HTTP", &mut unit.http),
            _ => ("PORT", &mut unit.port),
        };
        let leased = (!expose.ip.is_empty()).then_some(("IP", &mut unit.ip));
        for (name, left) in [Some(shared), leased].into_iter().flatten() {
            if let Some(rest) = left.checked_sub(1) {
                *left = rest;
                continue;
            }
            violations
                .add(
                    "too-many-endpoints",
                    format!("{at}/expose/{index}"),
                    format!(
                        "service {} exposes more {name} endpoints than resources {id} have",
                        quoted(&service.name)
                    ),
                )
                .reference(format!("{prefix}: resource ID {id}: over-utilized {name} endpoints"));
        }
    }
}

/// Everything that the deployment pays for must be used.
fn check_left(unit: &Left<'_>, group: &str, at: &str, prefix: &str, violations: &mut Violations) {
    let id = unit.resources.id;
    let left = [
        (unit.http, "HTTP endpoints"),
        (unit.port, "PORT endpoints"),
        (unit.ip, "IP endpoints"),
        (usize::try_from(unit.replicas).unwrap_or(usize::MAX), "resources"),
    ];
    for (count, what) in left {
        if count > 0 {
            let shown = if what == "resources" { "replicas" } else { what };
            violations
                .add(
                    "unused-resources",
                    at,
                    format!(
                        "{count} {shown} of resources {id} of group {} are not used",
                        quoted(group)
                    ),
                )
                .reference(format!(
                    "{prefix}: resources ID ({id}): under-utilized ({count}) {what}"
                ));
        }
    }
}
