//! The rules of manifests and groups: a manifest by itself (here), groups by themselves ([`groups`]), a manifest against
//! on-chain groups ([`against`]).
//!
//! Violations come in the order in which the Go implementation checks. The surprising fact: two services of one group may
//! have the same name; today's tools rely on it.

mod against;
mod groups;
mod names;

use std::{collections::HashSet, fmt};

pub use groups::check_groups;

use super::{
    distinct::Distinct,
    model::{Expose, Group, List, Manifest, Service},
    violation::{At, Quoted, Violation, Violations, pointer, quoted},
};

/// The hostnames of one service's HTTP exposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHosts {
    /// The group.
    pub group: String,
    /// The service.
    pub service: String,
    /// What the tenant asks for, in order.
    pub hostnames: Vec<String>,
    /// Whether an HTTP expose names no host, so that only a name of the provider's own domain can serve it.
    pub unnamed: bool,
}

impl Manifest {
    /// Everything that is wrong with the manifest by itself; empty when it is valid.
    pub fn check(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        if self.groups.is_empty() {
            violations
                .add("manifest-empty", "", "manifest is empty; it needs at least one group")
                .reference("invalid manifest: manifest is empty");
        } else {
            check_content(self, &mut violations);
        }
        violations.into_vec()
    }

    /// Whether the manifest is the one whose hash the deployment carries on chain.
    pub fn check_hash(&self, on_chain: &[u8]) -> Option<Violation> {
        if self.hash() == on_chain {
            return None;
        }
        let mut violations = Violations::default();
        let message = format!(
            "manifest's hash is {}, but the deployment's is {}; send the manifest of the last update",
            Hex(&self.hash()),
            Hex(on_chain)
        );
        violations
            .add("manifest-version", "", message)
            .reference("manifest version validation failed");
        violations.into_vec().pop()
    }

    /// The hostnames of every service that has an HTTP expose.
    pub fn http_hosts(&self) -> Vec<HttpHosts> {
        let services =
            self.groups.iter().flat_map(|group| group.services.iter().map(move |of| (group, of)));
        services
            .filter(|(_, service)| service.ingresses().next().is_some())
            .map(|(group, service)| HttpHosts {
                group: group.name.clone(),
                service: service.name.clone(),
                hostnames: service.hostnames().map(str::to_owned).collect(),
                unnamed: service.ingresses().any(|expose| expose.hosts.is_empty()),
            })
            .collect()
    }

    /// What is wrong where the provider gives no hostnames of its own: every HTTP expose must name one.
    pub fn check_hosts_named(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        for (at, expose, service) in self.exposes() {
            if expose.is_ingress() && expose.hosts.is_empty() {
                let name = quoted(&service.name);
                let text = format!(
                    "service {name} exposed on {}:{} must have a hostname",
                    expose.external_port(),
                    expose.proto
                );
                violations
                    .add("hostname-required", pointer(&at, "hosts"), &*text)
                    .reference(format!("manifest rejected: {text}"));
            }
        }
        violations.into_vec()
    }

    fn exposes(&self) -> impl Iterator<Item = (String, &Expose, &Service)> {
        self.groups.iter().enumerate().flat_map(|(g, group)| {
            group.services.iter().enumerate().flat_map(move |(s, service)| {
                service.expose.iter().enumerate().map(move |(e, expose)| {
                    (format!("/{g}/services/{s}/expose/{e}"), expose, service)
                })
            })
        })
    }
}

/// Bytes as lower-case hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The rules of a manifest that has groups.
fn check_content(manifest: &Manifest, violations: &mut Violations) {
    let mut hostnames = HashSet::new();
    let mut names = Distinct::default();
    let root = At::path("");
    for (index, group) in manifest.groups.iter().enumerate() {
        let at = root.item(index);
        check_group(group, &at, &mut hostnames, violations);
        if !names.insert(group.name.as_str()) {
            let name = quoted(&group.name);
            violations
                .add(
                    "duplicate-group",
                    at.member("name"),
                    format!("group {name} stands twice; names of groups are unique"),
                )
                .reference(format!("invalid manifest: duplicate group {name}"));
        }
    }
    let mut exposes =
        manifest.groups.iter().flat_map(|group| &group.services).flat_map(|of| &of.expose);
    if !exposes.any(|expose| expose.global) {
        violations
            .add(
                "no-global-service",
                "",
                "no service is exposed to the world; at least one expose must be global",
            )
            .reference("invalid manifest: zero global services");
    }
}

fn check_group<'a>(
    group: &'a Group,
    at: &At<'_>,
    hostnames: &mut HashSet<&'a str>,
    violations: &mut Violations,
) {
    let name = quoted(&group.name);
    let services = at.member("services");
    if group.services.is_empty() {
        violations
            .add("group-empty", services, format!("group {name} has no services"))
            .reference(format!("invalid manifest: group {name} contains no services"));
    }
    let mut neighbours = group.services.iter().zip(group.services.iter().skip(1));
    if let Some((one, next)) = neighbours.find(|(one, next)| one.name > next.name) {
        violations
            .add(
                "services-not-sorted",
                services,
                format!(
                    "services of group {name} are not sorted by name: {} stands before {}",
                    quoted(&one.name),
                    quoted(&next.name)
                ),
            )
            .reference(format!("invalid manifest: group {name} services is not sorted"));
    }
    for (index, service) in group.services.iter().enumerate() {
        check_service(service, &services.item(index), hostnames, violations);
    }
}

fn check_service<'a>(
    service: &'a Service,
    at: &At<'_>,
    hostnames: &mut HashSet<&'a str>,
    violations: &mut Violations,
) {
    let name = quoted(&service.name);
    if !names::is_service_name(&service.name) {
        let message = format!(
            "service name {name} is not allowed: lower-case letters, digits and inner dashes, a letter first"
        );
        violations
            .add("service-name", at.member("name"), message)
            .reference(format!("invalid manifest: service {name} name is invalid"));
    }
    if service.image.is_empty() {
        violations
            .add("image-empty", at.member("image"), format!("service {name} names no image"))
            .reference(format!("invalid manifest: service {name} has empty image name"));
    }
    check_resources(service, at, violations);
    let env = at.member("env");
    for (index, variable) in service.env.iter().enumerate() {
        check_env(variable, name, &env.item(index), violations);
    }
    check_exposes(&service.expose, name, at, hostnames, violations);
}

fn check_resources(service: &Service, at: &At<'_>, violations: &mut Violations) {
    let resources = &service.resources;
    let at = at.member("resources");
    if resources.id == 0 {
        violations
            .add("resources-id", at.member("id"), "resources need an id from 1")
            .reference("resources ID must be > 0");
    }
    let parts = [
        ("cpu", resources.cpu.is_none(), Some("CPU must not be nil")),
        ("gpu", resources.gpu.is_none(), None),
        ("memory", resources.memory.is_none(), None),
        ("storage", resources.storage.is_null(), Some("storage must not be nil")),
        ("endpoints", resources.endpoints.is_null(), Some("endpoints must not be nil")),
    ];
    for (part, missing, reference) in parts {
        if missing {
            let reported =
                violations.add("resources-missing", at.member(part), format!("{part} is missing"));
            if let Some(text) = reference {
                reported.reference(text);
            }
        }
    }
}

/// The message repeats a variable's name only when there is a value to tell it from: without `=` it may be a secret.
fn check_env(variable: &str, service: Quoted<'_>, at: &At<'_>, violations: &mut Violations) {
    let (name, has_value) = match variable.split_once('=') {
        Some((name, _)) => (name, true),
        None => (variable, false),
    };
    if !names::is_env_name(name) {
        let shown = if has_value { format!(" {}", quoted(name)) } else { String::new() };
        let reported = violations.add(
            "env-name",
            at,
            format!(
                "environment variable{shown} of service {service} is not NAME=value with a name of letters, digits, \
                 '-', '.' and '_', no digit first"
            ),
        );
        if has_value {
            reported.reference(format!(
                "invalid manifest: service {service} defines an env. var. with an invalid name{shown}"
            ));
        }
    }
}

fn check_exposes<'a>(
    exposes: &'a List<Expose>,
    service: Quoted<'_>,
    at: &At<'_>,
    hostnames: &mut HashSet<&'a str>,
    violations: &mut Violations,
) {
    let at = at.member("expose");
    let prefix = format_args!("invalid manifest: service {service}");
    if !exposes.is_sorted_by(|a, b| a.order() <= b.order()) {
        violations
            .add(
                "expose-not-sorted",
                at,
                format!(
                    "exposes of service {service} are not sorted by service, port, protocol, global first"
                ),
            )
            .reference(format!("{prefix}: expose is not sorted"));
    }
    for (index, expose) in exposes.iter().enumerate() {
        let at = at.item(index);
        if !(1..=65535).contains(&expose.port) {
            violations
                .add(
                    "port-range",
                    at.member("port"),
                    format!("port {} of service {service} is not in 1 to 65535", expose.port),
                )
                .reference(format!("{prefix}: port value must be 0 < value <= 65535 "));
        }
        if !matches!(expose.proto.as_str(), "TCP" | "UDP") {
            let proto = quoted(&expose.proto);
            violations
                .add(
                    "unknown-protocol",
                    at.member("proto"),
                    format!("protocol {proto} of service {service} is neither TCP nor UDP"),
                )
                .reference(format!("{prefix}: protocol {proto} unknown"));
        }
        let hosts = at.member("hosts");
        for (index, host) in expose.hosts.iter().enumerate() {
            check_host(host, service, &hosts.item(index), hostnames, violations);
        }
    }
}

fn check_host<'a>(
    host: &'a str,
    service: Quoted<'_>,
    at: &At<'_>,
    hostnames: &mut HashSet<&'a str>,
    violations: &mut Violations,
) {
    let shown = quoted(host);
    if !names::is_hostname(host) {
        let message = format!(
            "hostname {shown} is not allowed: labels of lower-case letters, digits and inner dashes, joined by dots, at \
             most 253 characters"
        );
        violations.add("hostname", at, message).reference(format!(
            "invalid manifest: service {service}: has invalid hostname {shown}"
        ));
    }
    if !hostnames.insert(host) {
        violations
            .add(
                "duplicate-hostname",
                at,
                format!("hostname {shown} stands twice; a manifest names a host once"),
            )
            .reference(format!(
                "invalid manifest: service {service}: hostname {shown} is duplicated, this is not allowed"
            ));
    }
}

impl Expose {
    /// The key that exposes of a service are sorted by: service, port, protocol, global first.
    pub(super) fn order(&self) -> (&str, u32, &str, bool) {
        (&self.service, self.port, &self.proto, !self.global)
    }
}
