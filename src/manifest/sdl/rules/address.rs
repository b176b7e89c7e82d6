//! Leased addresses: endpoints that exist and are used, and ports that are taken once.

use std::collections::{HashMap, HashSet};

use super::super::{
    document::Document,
    service::{Expose, Service, To},
};
use super::SERVICES;
use crate::manifest::{
    Dialect,
    violation::{At, Violations, nearest_hint, quoted},
};

static ENDPOINTS: At<'_> = At::path("/endpoints");

/// What all services share: leased addresses and their ports.
#[derive(Default)]
pub(super) struct Addresses<'d> {
    /// Where declared services are deployed.
    pub(super) placements: HashSet<&'d str>,
    pub(super) used: HashSet<&'d str>,
    /// Who has a port of an address.
    pub(super) ports: HashMap<(&'d str, u32, &'d str), &'d str>,
}

impl Addresses<'_> {
    /// Every endpoint that is declared is used.
    pub(super) fn check_all_used(&self, document: &Document<'_>, violations: &mut Violations) {
        for name in document.endpoints.keys().filter(|name| !self.used.contains(&***name)) {
            let name_shown = quoted(name);
            violations
                .add(
                    "endpoint-not-used",
                    ENDPOINTS.member(name),
                    format!("endpoint {name_shown} is declared, but no expose uses it"),
                )
                .reference(format!("SDL invalid: endpoint {name_shown} declared but never used"));
        }
    }
}

pub(super) fn check_endpoints(document: &Document<'_>, violations: &mut Violations) {
    for (name, kind) in &document.endpoints {
        let at = ENDPOINTS.member(name);
        let shown = quoted(name);
        if !is_endpoint_name(name) {
            violations
                .add(
                    "endpoint-name",
                    at,
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
                format!("SDL invalid: endpoint named {shown}, unknown kind {kind:?}")
            };
            violations
                .add(
                    "endpoint-kind",
                    at.member("kind"),
                    format!("endpoint {shown} must be of kind ip, found {}", quoted(kind)),
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

/// The leased addresses of one service: to Go once for each placement, to npm once.
pub(super) fn check_service<'d>(
    document: &Document<'_>,
    service_name: &'d str,
    service: &'d Service<'d>,
    addresses: &mut Addresses<'d>,
    violations: &mut Violations,
) {
    let at = SERVICES.member(service_name);
    let exposes = at.member("expose");
    for expose in &service.expose {
        let at = exposes.item(expose.index);
        let all_to = at.member("to");
        for to in expose.to.iter().filter(|to| !to.ip.is_empty()) {
            let at = all_to.item(to.index);
            check_address(document, service_name, to, &at, violations);
            addresses.used.insert(&to.ip);
            take_port(document, service_name, expose, to, &at, addresses, violations);
        }
    }
}

fn check_address(
    document: &Document<'_>,
    service: &str,
    to: &To<'_>,
    at: &At<'_>,
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
        let hint = nearest_hint(&to.ip, document.endpoints.keys().map(|name| &**name));
        violations
            .add("unknown-endpoint", at.member("ip"), format!("no endpoint {ip}{hint}"))
            .reference(format!(
                "SDL invalid: error on service {service} no endpoint named {ip} exists"
            ));
    }
}

/// What two exposes on one address must not share. To Go the external port and the protocol as written, so that two
/// exposes without external port always collide; to npm what they mean.
fn port_key<'d>(
    dialect: Dialect,
    expose: &'d Expose<'d>,
    to: &'d To<'d>,
) -> (&'d str, u32, &'d str) {
    if dialect == Dialect::Go {
        return (&to.ip, expose.external_port, &expose.proto);
    }
    let port = if expose.external_port == 0 { expose.port } else { expose.external_port };
    let proto = if expose.proto.eq_ignore_ascii_case("udp") { "UDP" } else { "TCP" };
    (&to.ip, port, proto)
}

fn take_port<'d>(
    document: &Document<'_>,
    service_name: &'d str,
    expose: &'d Expose<'d>,
    to: &'d To<'d>,
    at: &At<'_>,
    addresses: &mut Addresses<'d>,
    violations: &mut Violations,
) {
    let key = port_key(document.dialect, expose, to);
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
