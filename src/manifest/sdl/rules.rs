//! The rules that span sections: names that must exist, addresses, mounts, confidential computing.
//!
//! Only what is deployed is checked, except endpoints. The surprising facts: two ports on one leased address collide by
//! the external port as written, so two that name none collide whatever their own ports are; and in version 2.0 one mount
//! satisfies every persistent volume, while 2.1 asks for none.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    document::{Deployed, Document, Version},
    profile::{Compute, Resources},
    quantity,
    service::{Expose, HttpOptions, Params, Service, To},
};
use crate::{
    domain::Volume,
    manifest::{
        model::Credentials,
        violation::{Violations, nearest_hint, pointer, quoted},
    },
};

/// Bytes.
const MAX_BODY_SIZE: u32 = 104_857_600;
/// Bytes.
const MAX_PROXY_BUFFER: u32 = 1 << 20;
/// Milliseconds.
const MAX_TIMEOUT_MS: u32 = 60_000;

/// When the next replica may be tried.
const NEXT_CASES: [&str; 10] =
    ["error", "timeout", "500", "502", "503", "504", "403", "404", "429", "off"];

/// One deployed service while its rules are checked.
struct Place<'d> {
    service_name: &'d str,
    placement_name: &'d str,
    deployed: &'d Deployed,
}

/// What all services share: leased addresses and their ports.
#[derive(Default)]
struct Addresses<'d> {
    used: HashSet<&'d str>,
    /// Who has a port of an address.
    ports: HashMap<(&'d str, u32, &'d str), &'d str>,
}

/// Checks everything that spans sections.
pub(super) fn check(document: &Document, violations: &mut Violations) {
    if let Some(window) = &document.reclamation
        && let Err(malformed) = quantity::duration(window)
    {
        violations
            .add("reclamation-window", "/reclamation/min_window", malformed.message)
            .reference(malformed.reference);
    }
    check_endpoints(document, violations);
    let mut addresses = Addresses::default();
    for (service_name, placements) in &document.deployment {
        if let (Some(service), Some(placement)) =
            (document.services.get(service_name), placements.keys().next())
        {
            check_service(service, service_name, placement, violations);
        }
        for (placement_name, deployed) in placements {
            let place = Place { service_name, placement_name, deployed };
            check_place(document, &place, &mut addresses, violations);
        }
    }
    check_tee_conflicts(document, violations);
    for name in document.endpoints.keys().filter(|name| !addresses.used.contains(name.as_str())) {
        let name_shown = quoted(name);
        violations
            .add(
                "endpoint-not-used",
                pointer("/endpoints", name),
                format!("endpoint {name_shown} is declared, but no expose uses it"),
            )
            .reference(format!("SDL invalid: endpoint {name_shown} declared but never used"));
    }
}

fn check_endpoints(document: &Document, violations: &mut Violations) {
    for (name, kind) in &document.endpoints {
        let at = pointer("/endpoints", name);
        let shown = quoted(name);
        if !is_endpoint_name(name) {
            violations
                .add(
                    "endpoint-name",
                    &*at,
                    format!(
                        "endpoint {shown} is not allowed: at least two of lower-case letters, digits, '-', '_', a letter \
                         first"
                    ),
                )
                .reference(format!("SDL invalid: endpoint named {shown} is not a valid name"));
        }
        if kind != "ip" {
            let reference = if kind.is_empty() {
                format!("SDL invalid: endpoint named {shown} has no kind")
            } else {
                format!("SDL invalid: endpoint named {shown} has unknown kind {kind:?}")
            };
            violations
                .add(
                    "endpoint-kind",
                    pointer(&at, "kind"),
                    format!("endpoint {shown} must be of kind ip"),
                )
                .reference(reference);
        }
    }
}

/// `[a-z]+[-_0-9a-z]+`
fn is_endpoint_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_')
}

/// The rules of a deployed service that do not depend on where it is deployed; `placement` is its first one.
fn check_service(service: &Service, name: &str, placement: &str, violations: &mut Violations) {
    let at = pointer("/services", name);
    for expose in &service.expose {
        let at = format!("{at}/expose/{}", expose.index);
        if !matches!(expose.proto.to_ascii_uppercase().as_str(), "" | "TCP" | "UDP") {
            let message = format!("protocol {} is neither tcp nor udp", quoted(&expose.proto));
            violations
                .add("unknown-protocol", pointer(&at, "proto"), message)
                .reference("unsupported service protocol");
        }
        check_http_options(&expose.http, &pointer(&at, "http_options"), violations);
    }
    if let Some(credentials) = &service.credentials {
        let place = format!("{name}.{placement}");
        check_credentials(credentials, &place, &pointer(&at, "credentials"), violations);
    }
    if let Some(params) = &service.params
        && !matches!(params.tee.as_str(), "" | "cpu" | "cpu-gpu")
    {
        let tee = quoted(&params.tee);
        violations
            .add("tee", format!("{at}/params/tee"), format!("tee {tee} is neither cpu nor cpu-gpu"))
            .reference(format!("sdl: unsupported tee type: {tee} (allowed: cpu, cpu-gpu)"));
    }
}

fn check_http_options(options: &HttpOptions, at: &str, violations: &mut Violations) {
    let limited = [
        ("max_body_size", options.max_body_size, MAX_BODY_SIZE, "body size", "bytes"),
        (
            "proxy_buffer_size",
            options.proxy_buffer_size,
            MAX_PROXY_BUFFER,
            "proxy buffer size",
            "bytes",
        ),
        ("read_timeout", options.read_timeout, MAX_TIMEOUT_MS, "read timeout", "ms"),
        ("send_timeout", options.send_timeout, MAX_TIMEOUT_MS, "send timeout", "ms"),
    ];
    for (member, found, most, name, unit) in limited {
        if found > most {
            violations
                .add(
                    "http-option-range",
                    pointer(at, member),
                    format!("{member} is {found} {unit}, at most {most} are allowed"),
                )
                .reference(format!(
                    "http option not allowed: {name} cannot be greater than {most} {unit}"
                ));
        }
    }
    let at = pointer(at, "next_cases");
    let cases = &options.next_cases;
    for (index, case) in cases.iter().enumerate() {
        if !NEXT_CASES.contains(&case.as_str()) {
            let hint = nearest_hint(case, NEXT_CASES.into_iter());
            violations
                .add(
                    "next-case",
                    pointer(&at, index),
                    format!("next case {} is not known{hint}", quoted(case)),
                )
                .reference(format!("next case is unknown: {case:?}"));
        }
    }
    if cases.len() > 1 && cases.iter().any(|case| case == "off") {
        violations
            .add("next-case", at, "next case off stands alone or not at all")
            .reference("if 'off' is specified, no other cases may be specified");
    }
}

fn check_credentials(
    credentials: &Credentials,
    place: &str,
    at: &str,
    violations: &mut Violations,
) {
    let Credentials { host, username, password, .. } = credentials;
    for (member, name, value) in [
        ("host", "Host", host),
        ("username", "Username", username),
        ("password", "Password", password),
    ] {
        if value.trim().is_empty() {
            violations
                .add("credentials", at, format!("credentials have no {member}"))
                .reference(format!("SDL invalid: {place}: service Credentials missing {name}"));
        }
    }
}

fn check_place<'d>(
    document: &'d Document,
    place: &Place<'d>,
    addresses: &mut Addresses<'d>,
    violations: &mut Violations,
) {
    let Place { service_name, placement_name, deployed } = *place;
    let at = pointer(&pointer("/deployment", service_name), placement_name);
    let mut unknown =
        |code, token: Option<&str>, what: &str, of: &str, hint: String, text: String| {
            let at = token.map_or_else(|| at.clone(), |token| pointer(&at, token));
            violations
                .add(code, at, format!("no {what} {}{hint}", quoted(of)))
                .reference(format!("SDL invalid: {service_name}.{placement_name}: {text}"));
        };
    let profile = &deployed.profile;
    let compute = document.compute.get(profile);
    if compute.is_none() {
        let hint = nearest_hint(profile, document.compute.keys().map(String::as_str));
        let text = format!("no compute profile named {profile}");
        unknown("unknown-compute-profile", Some("profile"), "compute profile", profile, hint, text);
    }
    match document.placements.get(placement_name) {
        None => {
            let hint = nearest_hint(placement_name, document.placements.keys().map(String::as_str));
            let text = format!("no placement profile named {placement_name}");
            unknown("unknown-placement", None, "placement profile", placement_name, hint, text);
        }
        Some(placement) if !placement.pricing.contains_key(profile) => {
            let hint = format!("; add it to /profiles/placement/{placement_name}/pricing");
            let text = format!("no pricing for profile {profile}");
            unknown("no-pricing", Some("profile"), "pricing for profile", profile, hint, text);
        }
        Some(placement) => {
            if placement.pricing.get(profile).is_some_and(Option::is_none) {
                let hint = "; write denom and amount".to_owned();
                let text = format!("no pricing for profile {profile}");
                unknown("no-pricing", Some("profile"), "pricing for profile", profile, hint, text);
            }
        }
    }
    let Some(service) = document.services.get(service_name) else {
        let hint = nearest_hint(service_name, document.services.keys().map(String::as_str));
        let text = format!("no service profile named {service_name}");
        unknown("unknown-service", None, "service", service_name, hint, text);
        return;
    };
    check_addresses(document, service_name, service, addresses, violations);
    if let Some(compute) = compute {
        check_compute(compute, profile, violations);
        if let Some(resources) = &compute.resources {
            check_storage(document.version, service_name, service, resources, violations);
            check_tee(service_name, service, resources, violations);
        }
    }
}

fn check_addresses<'d>(
    document: &Document,
    service_name: &'d str,
    service: &'d Service,
    addresses: &mut Addresses<'d>,
    violations: &mut Violations,
) {
    let at = format!("{}/expose", pointer("/services", service_name));
    for expose in &service.expose {
        for to in expose.to.iter().filter(|to| !to.ip.is_empty()) {
            let at = format!("{at}/{}/to/{}", expose.index, to.index);
            check_address(document, service_name, to, &at, violations);
            addresses.used.insert(&to.ip);
            take_port(service_name, expose, to, &at, addresses, violations);
        }
    }
}

fn check_address(
    document: &Document,
    service: &str,
    to: &To,
    at: &str,
    violations: &mut Violations,
) {
    let (service, ip) = (quoted(service), quoted(&to.ip));
    if !to.global {
        violations
            .add("ip-not-global", at, format!("expose on address {ip} must also say global: true"))
            .reference(format!(
                "SDL invalid: error on {service} if an IP is declared the directive must be declared as global"
            ));
    }
    if !document.endpoints.contains_key(&to.ip) {
        let hint = nearest_hint(&to.ip, document.endpoints.keys().map(String::as_str));
        violations
            .add("unknown-endpoint", pointer(at, "ip"), format!("no endpoint {ip}{hint}"))
            .reference(format!(
                "SDL invalid: error on service {service} no endpoint named {ip} exists"
            ));
    }
}

fn take_port<'d>(
    service_name: &'d str,
    expose: &'d Expose,
    to: &'d To,
    at: &str,
    addresses: &mut Addresses<'d>,
    violations: &mut Violations,
) {
    let key = (to.ip.as_str(), expose.external_port, expose.proto.as_str());
    if let Some(owner) = addresses.ports.insert(key, service_name) {
        let Expose { port, proto, external_port, .. } = expose;
        let ip = quoted(&to.ip);
        violations
            .add(
                "ip-port-collision",
                at,
                format!(
                    "port {external_port} {proto} of address {ip} is already taken by service {}; give each expose its own \
                     \"as\"",
                    quoted(owner)
                ),
            )
            .reference(format!(
                "SDL invalid: IP endpoint {ip} port: {port} protocol: {proto} specified by service {service_name:?} \
                 already in use by {owner:?}"
            ));
    }
}

/// A profile that is used must have CPU, memory and storage.
fn check_compute(compute: &Compute, profile: &str, violations: &mut Violations) {
    let at = format!("{}/resources", pointer("/profiles/compute", profile));
    let Some(resources) = &compute.resources else {
        violations.add("resources-missing", at, "the compute profile has no resources");
        return;
    };
    let parts = [
        ("cpu", "CPU", resources.cpu.is_none()),
        ("memory", "memory", resources.memory.is_none()),
        ("storage", "storage", resources.storage.is_empty()),
    ];
    for (part, name, missing) in parts {
        if missing {
            violations
                .add("resources-missing", pointer(&at, part), format!("{part} is missing"))
                .reference(format!("invalid unit {name}, cannot be nil"));
        }
    }
}

fn check_storage(
    version: Version,
    service_name: &str,
    service: &Service,
    resources: &Resources,
    violations: &mut Violations,
) {
    let volumes: BTreeMap<&str, &Volume> =
        resources.storage.iter().map(|volume| (volume.name.as_str(), volume)).collect();
    if let Some(params) = &service.params {
        check_mounts(version, service_name, params, &volumes, violations);
    }
    let mounted = service.params.as_ref().is_some_and(|params| !params.storage.is_empty());
    let persistent = volumes.values().find(|volume| volume.attribute("persistent") == Some("true"));
    if let (Version::V20, false, Some(volume)) = (version, mounted, persistent) {
        let name = &volume.name;
        violations
            .add(
                "mount-missing",
                format!("{}/params", pointer("/services", service_name)),
                format!(
                    "volume {} is persistent, so service {} must mount it under params.storage",
                    quoted(name),
                    quoted(service_name)
                ),
            )
            .reference(format!(
                "SDL invalid: compute.storage.{name} has persistent=true which requires \
                 service.{service_name}.params.storage.{name} to have mount"
            ));
    }
}

fn check_mounts(
    version: Version,
    service_name: &str,
    params: &Params,
    volumes: &BTreeMap<&str, &Volume>,
    violations: &mut Violations,
) {
    let at = format!("{}/params/storage", pointer("/services", service_name));
    let mut paths = HashMap::new();
    for (name, mount) in &params.storage {
        let at = pointer(&at, name);
        let Some(volume) = volumes.get(name.as_str()) else {
            let hint = nearest_hint(name, volumes.keys().copied());
            violations
                .add("unknown-volume", at, format!("no compute volume {}{hint}", quoted(name)))
                .reference(format!(
                    "SDL invalid: service {service_name:?} references to no-existing compute volume named {name:?}"
                ));
            continue;
        };
        if !mount.path.starts_with('/') {
            let message = format!("mount {} is not an absolute path", quoted(&mount.path));
            violations.add("mount-path", pointer(&at, "mount"), message).reference(format!(
                "SDL invalid: invalid value for \"service.{service_name}.params.{name}.mount\" parameter. expected \
                 absolute path"
            ));
        }
        if let Some(other) = paths.insert(mount.path.as_str(), name) {
            let path = quoted(&mount.path);
            violations
                .add(
                    "duplicate-mount",
                    pointer(&at, "mount"),
                    format!("mount {path} is already taken by volume {}", quoted(other)),
                )
                .reference(format!(
                    "sdl: duplicated mount point: mount {path} already in use by volume {other:?}"
                ));
        }
        if version == Version::V21 && mount.read_only && volume.attribute("class") == Some("ram") {
            violations
                .add("ram-read-only", pointer(&at, "readOnly"), "storage of class ram cannot be read-only")
                .reference(format!(
                    "SDL invalid: services.{service_name}.params.storage.{name} has readOnly=true which is not allowed \
                     for storage class \"ram\""
                ));
        }
    }
}

fn check_tee(
    service_name: &str,
    service: &Service,
    resources: &Resources,
    violations: &mut Violations,
) {
    let tee = service.params.as_ref().map_or("", |params| params.tee.as_str());
    if tee == "cpu-gpu" && resources.gpu.units == 0 {
        violations
            .add(
                "tee",
                format!("{}/params/tee", pointer("/services", service_name)),
                "tee cpu-gpu needs GPU units in the compute profile",
            )
            .reference(
                "sdl: tee type requires gpu resources: \"cpu-gpu\" specified but no gpu resources defined",
            );
    }
}

/// All services of a placement that ask for confidential computing ask for the same.
fn check_tee_conflicts(document: &Document, violations: &mut Violations) {
    let mut by_placement: HashMap<&str, &str> = HashMap::new();
    for (service_name, placements) in &document.deployment {
        let service = document.services.get(service_name);
        let Some(params) = service.and_then(|service| service.params.as_ref()) else { continue };
        if params.tee.is_empty() {
            continue;
        }
        for placement in placements.keys() {
            let first = *by_placement.entry(placement).or_insert(&params.tee);
            if first != params.tee {
                let (group, a, b) = (quoted(placement), quoted(first), quoted(&params.tee));
                violations
                    .add(
                        "tee",
                        format!("{}/params/tee", pointer("/services", service_name)),
                        format!("placement {group} has services with tee {a} and {b}; one per placement"),
                    )
                    .reference(format!(
                        "sdl: conflicting tee types in the same placement group: group {group} has {a} and {b}"
                    ));
            }
        }
    }
}
