//! The rules that span sections: names that must exist, addresses, mounts, confidential computing.
//!
//! Only what is deployed is checked, except endpoints. The surprising facts: two ports on one leased address collide by
//! the external port as written, so two that name none collide whatever their own ports are; and in version 2.0 one mount
//! satisfies every persistent volume, while 2.1 asks for none.

mod address;
mod storage;

use std::collections::{HashMap, HashSet};

use address::Addresses;

use super::{
    document::{Deployed, Document},
    profile::{Compute, Resources},
    quantity,
    service::{HttpOptions, MAX_BODY_SIZE, MAX_PROXY_BUFFER, MAX_TIMEOUT_MS, Service},
};
use crate::manifest::{
    Dialect,
    model::Credentials,
    violation::{At, Violations, nearest_hint, pointer, quoted},
};

/// The sections whose members are spoken of.
static SERVICES: At<'_> = At::path("/services");
static DEPLOYMENT: At<'_> = At::path("/deployment");
static COMPUTE: At<'_> = At::path("/profiles/compute");

/// When the next replica may be tried.
const NEXT_CASES: [&str; 10] =
    ["error", "timeout", "500", "502", "503", "504", "403", "404", "429", "off"];

/// One deployed service while its rules are checked.
struct Place<'d> {
    service_name: &'d str,
    placement_name: &'d str,
    deployed: &'d Deployed<'d>,
}

/// Checks everything that spans sections.
pub(super) fn check(document: &Document<'_>, violations: &mut Violations) {
    if let Some(window) = &document.reclamation
        && let Err(malformed) = quantity::window(document.dialect, window)
    {
        violations
            .add("reclamation-window", "/reclamation/min_window", malformed.message)
            .reference(malformed.reference);
    }
    address::check_endpoints(document, violations);
    let mut addresses = Addresses::default();
    if document.dialect.is_npm() {
        addresses.placements = placements_in_use(document);
    }
    for (service_name, placements) in &document.deployment {
        let service = document.services.get(service_name);
        if let (Some(service), Some(placement)) = (service, placements.keys().next()) {
            check_service(document.dialect, service, service_name, placement, violations);
        }
        for (placement_name, deployed) in placements {
            let place = Place { service_name, placement_name, deployed };
            check_place(document, &place, &mut addresses, violations);
        }
    }
    if document.dialect.is_npm() {
        check_services_deployed(document, violations);
        for (name, service) in &document.services {
            address::check_service(document, name, service, &mut addresses, violations);
        }
    }
    if document.dialect != Dialect::Npm {
        check_tee_conflicts(document, violations);
    }
    addresses.check_all_used(document, violations);
}

/// npm's rule that Go lacks: what is declared is deployed.
fn check_services_deployed(document: &Document<'_>, violations: &mut Violations) {
    for name in document.services.keys().filter(|name| !document.deployment.contains_key(&***name))
    {
        let message = format!("service {} is not deployed; add it to /deployment", quoted(name));
        violations.add("service-not-deployed", SERVICES.member(name), message);
    }
}

/// The rules of a deployed service that do not depend on where it is deployed; `placement` is its first one.
fn check_service(
    dialect: Dialect,
    service: &Service<'_>,
    name: &str,
    placement: &str,
    violations: &mut Violations,
) {
    let at = SERVICES.member(name);
    let exposes = at.member("expose");
    for expose in &service.expose {
        let at = exposes.item(expose.index);
        let known = ["", "TCP", "UDP"].iter().any(|name| expose.proto.eq_ignore_ascii_case(name));
        if dialect == Dialect::Go && !known {
            let message = format!("protocol {} is neither tcp nor udp", quoted(&expose.proto));
            violations
                .add("unknown-protocol", at.member("proto"), message)
                .reference("unsupported service protocol");
        }
        check_http_options(&expose.http, &at.member("http_options"), violations);
    }
    if let Some(credentials) = &service.credentials {
        let place = format!("{name}.{placement}");
        let at = at.member("credentials");
        match dialect {
            Dialect::Go => check_credentials(credentials, &place, &at, violations),
            Dialect::Npm | Dialect::NpmHead => {
                check_credential_lengths(credentials, &at, violations);
            }
        }
    }
    if let Some(params) = &service.params
        && !matches!(&*params.tee, "" | "cpu" | "cpu-gpu")
    {
        let tee = quoted(&params.tee);
        violations
            .add(
                "tee",
                at.member("params").member("tee"),
                format!("tee {tee} is neither cpu nor cpu-gpu"),
            )
            .reference(format!("sdl: unsupported tee type: {tee} (allowed: cpu, cpu-gpu)"));
    }
}

fn check_http_options(options: &HttpOptions<'_>, at: &At<'_>, violations: &mut Violations) {
    let HttpOptions { max_body_size, proxy_buffer_size, read_timeout, send_timeout, .. } = options;
    let limited = [
        ("max_body_size", max_body_size, MAX_BODY_SIZE, "body size", "bytes"),
        ("proxy_buffer_size", proxy_buffer_size, MAX_PROXY_BUFFER, "proxy buffer size", "bytes"),
        ("read_timeout", read_timeout, MAX_TIMEOUT_MS, "read timeout", "ms"),
        ("send_timeout", send_timeout, MAX_TIMEOUT_MS, "send timeout", "ms"),
    ];
    for (member, found, most, name, unit) in limited {
        let found = found.unwrap_or_default();
        if found > most {
            violations
                .add(
                    "http-option-range",
                    at.member(member),
                    format!("{member} is {found} {unit}, at most {most} are allowed"),
                )
                .reference(format!(
                    "http option not allowed: {name} cannot be greater than {most} {unit}"
                ));
        }
    }
    let at = at.member("next_cases");
    let cases = options.next_cases.as_deref().unwrap_or_default();
    for (index, case) in cases.iter().enumerate() {
        if !violations.is_full() && !NEXT_CASES.contains(&&**case) {
            let hint = nearest_hint(case, NEXT_CASES.into_iter());
            violations
                .add(
                    "next-case",
                    at.item(index),
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
    at: &At<'_>,
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
                .add(
                    "credentials",
                    at.member(member),
                    format!("credentials have no {member}; host, username and password are wanted"),
                )
                .reference(format!("SDL invalid: {place}: service Credentials missing {name}"));
        }
    }
}

/// npm's rule: no blank needs to be there, but so many characters.
fn check_credential_lengths(credentials: &Credentials, at: &At<'_>, violations: &mut Violations) {
    let Credentials { host, email, username, password } = credentials;
    // An email that does not stand there is empty, and one that does has been seen by the reader.
    for (member, value, least) in [
        ("host", host, 1),
        ("username", username, 1),
        ("password", password, 6),
        ("email", email, 5),
    ] {
        let absent = member == "email" && value.is_empty();
        if !absent && value.chars().count() < least {
            let message = format!("{member} of credentials has less than {least} characters");
            violations.add("credentials", at.member(member), message);
        }
    }
}

fn check_place<'d>(
    document: &'d Document<'d>,
    place: &Place<'d>,
    addresses: &mut Addresses<'d>,
    violations: &mut Violations,
) {
    if violations.is_full() {
        return;
    }
    let Place { service_name, placement_name, deployed } = *place;
    let known = document.services.get(service_name);
    let at = DEPLOYMENT.member(service_name);
    let at = at.member(placement_name);
    let price =
        document.placements.get(placement_name).and_then(|to| to.pricing.get(&deployed.profile));
    let lacks_price = price.is_some_and(Option::is_none) && {
        // A price that was refused is not told as one that is missing.
        let placement = pointer("/profiles/placement", placement_name);
        !violations.tells_of(&pointer(&format!("{placement}/pricing"), &deployed.profile))
    };
    let mut unknown =
        |code, token: Option<&str>, what: &str, of: &str, hint: String, text: String| {
            let at = token.map_or(at, |token| at.member(token));
            violations
                .add(code, at, format!("no {what} {}{hint}", quoted(of)))
                .reference(format!("SDL invalid: {service_name}.{placement_name}: {text}"));
        };
    let profile = &deployed.profile;
    let compute = document.compute.get(profile);
    let names_count = document.dialect == Dialect::Go || known.is_some();
    if compute.is_none() && names_count {
        let hint = nearest_hint(profile, document.compute.keys().map(|name| &**name));
        let text = format!("no compute profile named {profile}");
        unknown("unknown-compute-profile", Some("profile"), "compute profile", profile, hint, text);
    }
    match document.placements.get(placement_name) {
        _ if !names_count => {}
        None => {
            let hint = nearest_hint(placement_name, document.placements.keys().map(|name| &**name));
            let text = format!("no placement profile named {placement_name}");
            unknown("unknown-placement", None, "placement profile", placement_name, hint, text);
        }
        Some(placement) if !placement.pricing.contains_key(profile) => {
            let hint = format!("; add it to /profiles/placement/{placement_name}/pricing");
            let text = format!("no pricing for profile {profile}");
            unknown("no-pricing", Some("profile"), "pricing for profile", profile, hint, text);
        }
        Some(_) if lacks_price => {
            let hint = "; write denom and amount".to_owned();
            let text = format!("no pricing for profile {profile}");
            unknown("no-pricing", Some("profile"), "pricing for profile", profile, hint, text);
        }
        Some(_) => {}
    }
    let Some(service) = known else {
        // npm falls over such a service only where its placement has others.
        if document.dialect.is_npm() && !addresses.placements.contains(placement_name) {
            return;
        }
        let hint = nearest_hint(service_name, document.services.keys().map(|name| &**name));
        let text = format!("no service profile named {service_name}");
        unknown("unknown-service", None, "service", service_name, hint, text);
        return;
    };
    if document.dialect == Dialect::Go {
        address::check_service(document, service_name, service, addresses, violations);
    }
    let Some(compute) = compute else { return };
    if document.dialect == Dialect::Go {
        check_compute(compute, profile, violations);
    }
    let Some(resources) = &compute.resources else { return };
    storage::check(document, service_name, service, resources, violations);
    if document.dialect.is_npm() {
        check_gpu(resources, profile, violations);
    }
    check_tee(service_name, service, resources, violations);
}

/// The placements where a declared service is deployed.
fn placements_in_use<'d>(document: &'d Document<'_>) -> HashSet<&'d str> {
    let deployed = document.deployment.iter();
    deployed
        .filter(|(name, _)| document.services.contains_key(&***name))
        .flat_map(|(_, placements)| placements.keys().map(|name| &**name))
        .collect()
}

/// npm's rule for the profiles in use: units, even the text `"0"`, and attributes with a vendor need each other.
fn check_gpu(resources: &Resources<'_>, profile: &str, violations: &mut Violations) {
    let Some(gpu) = &resources.gpu else { return };
    let message = match (gpu.counted, &gpu.attributes) {
        (false, Some(_)) => "GPU attributes without GPU units",
        (true, None) => "GPU units need attributes that name a vendor",
        (true, Some(_)) if !gpu.vendor => "GPU attributes name no vendor",
        _ => return,
    };
    let at = COMPUTE.member(profile);
    violations.add("gpu-attributes", at.member("resources").member("gpu"), message);
}

/// A profile that is used must have CPU, memory and storage.
fn check_compute(compute: &Compute<'_>, profile: &str, violations: &mut Violations) {
    let at = COMPUTE.member(profile);
    let at = at.member("resources");
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
                .add("resources-missing", at.member(part), format!("{part} is missing"))
                .reference(format!("error: invalid unit {name}, cannot be nil"));
        }
    }
}

fn check_tee(
    service_name: &str,
    service: &Service<'_>,
    resources: &Resources<'_>,
    violations: &mut Violations,
) {
    let tee = service.params.as_ref().map_or("", |params| &*params.tee);
    let counted = resources.gpu.as_ref().is_some_and(|gpu| gpu.counted);
    if tee == "cpu-gpu" && !counted {
        violations
            .add(
                "tee",
                SERVICES.member(service_name).member("params").member("tee"),
                "tee cpu-gpu needs GPU units in the compute profile",
            )
            .reference(
                "sdl: tee type requires gpu resources: \"cpu-gpu\" specified but no gpu resources defined",
            );
    }
}

/// All services of a placement that ask for confidential computing ask for the same.
fn check_tee_conflicts(document: &Document<'_>, violations: &mut Violations) {
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
                        SERVICES.member(service_name).member("params").member("tee"),
                        format!("placement {group} has services with tee {a} and {b}; one per placement"),
                    )
                    .reference(format!(
                        "sdl: conflicting tee types in the same placement group: group {group} has {a} and {b}"
                    ));
            }
        }
    }
}
