//! `services`: images, their parameters and how they are exposed.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{
    cursor::{Cursor, Shape, Text, Whole},
    document::read_named,
};
use crate::manifest::{
    Dialect,
    model::Credentials,
    violation::{Violations, nearest_hint, pointer, quoted},
};

/// What the schema that npm checks allows in each mapping of a service.
const SERVICE: Shape = Shape {
    fields: &["args", "command", "credentials", "dependencies", "env", "expose", "image", "params"],
    later: &[],
    required: &["image"],
};
const DEPENDENCY: Shape = Shape { fields: &["service"], later: &[], required: &[] };
const EXPOSE: Shape = Shape {
    fields: &["accept", "as", "http_options", "port", "proto", "to"],
    later: &[],
    required: &["port"],
};
const TO: Shape = Shape { fields: &["global", "ip", "service"], later: &[], required: &[] };
const HTTP_OPTIONS: Shape = Shape {
    fields: &[
        "max_body_size",
        "next_cases",
        "next_timeout",
        "next_tries",
        "read_timeout",
        "send_timeout",
    ],
    later: &["proxy_buffer_size"],
    required: &[],
};
const PARAMS: Shape = Shape { fields: &["permissions", "storage"], later: &["tee"], required: &[] };
const MOUNT: Shape = Shape { fields: &["mount", "readOnly"], later: &[], required: &[] };
const PERMISSIONS: Shape = Shape { fields: &["read"], later: &[], required: &[] };
const CREDENTIALS: Shape = Shape {
    fields: &["email", "host", "password", "username"],
    later: &[],
    required: &["host", "password", "username"],
};

/// Largest values of [`HTTP_OPTIONS`], in bytes.
pub(super) const MAX_BODY_SIZE: u32 = 104_857_600;
pub(super) const MAX_PROXY_BUFFER: u32 = 1 << 20;
/// In milliseconds.
pub(super) const MAX_TIMEOUT_MS: u32 = 60_000;

/// A service. Lists that may be `null` differ from empty ones, as they do in the manifest.
#[derive(Debug, Default)]
pub(super) struct Service<'t> {
    pub(super) image: Text<'t>,
    pub(super) command: Option<Vec<Text<'t>>>,
    pub(super) args: Option<Vec<Text<'t>>>,
    pub(super) env: Option<Vec<Text<'t>>>,
    pub(super) expose: Vec<Expose<'t>>,
    pub(super) params: Option<Params<'t>>,
    pub(super) credentials: Option<Credentials>,
}

/// One port of a service.
#[derive(Debug, Default)]
pub(super) struct Expose<'t> {
    /// Its place in the document's list.
    pub(super) index: usize,
    pub(super) port: u32,
    pub(super) external_port: u32,
    /// As written.
    pub(super) proto: Text<'t>,
    pub(super) to: Vec<To<'t>>,
    pub(super) accept: Option<Vec<Text<'t>>>,
    pub(super) http: HttpOptions<'t>,
}

/// Who may connect.
#[derive(Debug, Default)]
pub(super) struct To<'t> {
    /// Its place in the document's list.
    pub(super) index: usize,
    pub(super) service: Text<'t>,
    pub(super) global: bool,
    pub(super) ip: Text<'t>,
}

/// Options of the HTTP entrance as written.
#[derive(Debug, Default)]
pub(super) struct HttpOptions<'t> {
    pub(super) max_body_size: Option<u32>,
    pub(super) proxy_buffer_size: Option<u32>,
    pub(super) read_timeout: Option<u32>,
    pub(super) send_timeout: Option<u32>,
    pub(super) next_tries: Option<Whole<u32>>,
    pub(super) next_timeout: Option<Whole<u32>>,
    pub(super) next_cases: Option<Vec<Text<'t>>>,
}

/// The ports that npm takes; Go looks at them later, and only at the inner one.
const PORTS: RangeInclusive<u32> = 1..=65535;

/// What else a service asks for.
#[derive(Debug, Default)]
pub(super) struct Params<'t> {
    pub(super) storage: BTreeMap<Text<'t>, Mount<'t>>,
    pub(super) permissions: Option<Vec<Text<'t>>>,
    /// `cpu`, `cpu-gpu`, or empty.
    pub(super) tee: Text<'t>,
}

/// Where a volume is mounted.
#[derive(Debug, Default)]
pub(super) struct Mount<'t> {
    pub(super) path: Text<'t>,
    pub(super) read_only: bool,
}

impl<'t> Service<'t> {
    pub(super) fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut service = Self::default();
        for (name, value) in value.fields(&SERVICE, violations) {
            match &*name {
                "image" => {
                    service.image = value.text(violations).unwrap_or_default();
                    if service.image.is_empty() && value.dialect().is_npm() {
                        violations.add("image-empty", value.at(), "the service names no image");
                    }
                }
                "command" => service.command = value.texts_or_null(violations),
                "args" => service.args = value.texts_or_null(violations),
                "env" => service.env = value.texts_or_null(violations),
                // The release wants a list; null is allowed since then.
                "expose" if value.dialect() == Dialect::NpmHead && value.is_null() => {}
                "expose" => service.expose = read_list(&value, violations, Expose::read),
                "dependencies" => {
                    read_list(&value, violations, read_dependency);
                }
                "params" => service.params = read_present(&value, violations, Params::read),
                "credentials" => {
                    service.credentials = read_present(&value, violations, read_credentials);
                }
                _ => {}
            }
        }
        service
    }
}

/// The items of a list, each with its place in the document.
fn read_list<'t, T>(
    value: &Cursor<'_, 't>,
    violations: &mut Violations,
    mut read: impl FnMut(usize, &Cursor<'_, 't>, &mut Violations) -> T,
) -> Vec<T> {
    let items = value.items(violations).into_iter().flatten();
    items.map(|(index, item)| read(index, &item, violations)).collect()
}

fn read_present<'t, T>(
    value: &Cursor<'_, 't>,
    violations: &mut Violations,
    read: impl FnOnce(&Cursor<'_, 't>, &mut Violations) -> T,
) -> Option<T> {
    (!value.is_absent()).then(|| read(value, violations))
}

/// Dependencies mean nothing; only their shape is checked.
fn read_dependency(_: usize, value: &Cursor<'_, '_>, violations: &mut Violations) {
    for (name, value) in value.fields(&DEPENDENCY, violations) {
        if name == "service" {
            value.text(violations);
        }
    }
}

impl<'t> Expose<'t> {
    fn read(index: usize, value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut expose = Self { index, ..Self::default() };
        for (name, value) in value.fields(&EXPOSE, violations) {
            match &*name {
                "port" => expose.port = value.number(PORTS, violations).unwrap_or_default(),
                "as" => {
                    expose.external_port = value.number(PORTS, violations).unwrap_or_default();
                }
                "proto" => {
                    expose.proto = value.text(violations).unwrap_or_default();
                    check_proto(&value, &expose.proto, violations);
                }
                "to" => expose.to = read_list(&value, violations, To::read),
                "accept" => expose.accept = read_accept(&value, violations),
                "http_options" => expose.http = HttpOptions::read(&value, violations),
                _ => {}
            }
        }
        expose
    }
}

/// npm knows four spellings; Go takes any case, and nothing at all.
fn check_proto(value: &Cursor<'_, '_>, proto: &str, violations: &mut Violations) {
    if value.dialect().is_npm() && !matches!(proto, "TCP" | "UDP" | "tcp" | "udp") {
        let message = format!("protocol {} is none of TCP, UDP, tcp, udp", quoted(proto));
        violations.add("unknown-protocol", value.at(), message);
    }
}

impl<'t> To<'t> {
    fn read(index: usize, value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut to = Self { index, ..Self::default() };
        for (name, value) in value.fields(&TO, violations) {
            match &*name {
                "service" => to.service = value.text(violations).unwrap_or_default(),
                "global" => to.global = value.truth(violations).unwrap_or_default(),
                "ip" => {
                    to.ip = value.text(violations).unwrap_or_default();
                    if to.ip.is_empty() && value.dialect().is_npm() {
                        value.refuse("the name of an endpoint", violations);
                    }
                }
                "http_options" if value.dialect() == Dialect::Go => {
                    HttpOptions::read(&value, violations);
                }
                _ => {}
            }
        }
        to
    }
}

impl To<'_> {
    /// Whether this takes a leased address.
    pub(super) fn is_leased(&self) -> bool {
        self.global && !self.ip.is_empty()
    }
}

/// Hostnames must at least fit into a URL, even those of a service that is not deployed; npm takes any.
fn read_accept<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> Option<Vec<Text<'t>>> {
    let hosts = value.texts(violations)?;
    if value.dialect().is_npm() {
        return Some(hosts);
    }
    for (index, host) in hosts.iter().enumerate() {
        if !violations.is_full() && !fits_url(host) {
            let message = format!("hostname {} is not one that a URL can hold", quoted(host));
            violations.add("hostname", pointer(&value.at(), index), message);
        }
    }
    Some(hosts)
}

/// Whether `http://<host>` parses as a URL with Go's rules: they are wide, as a port, a path or a query may follow.
fn fits_url(text: &str) -> bool {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return false;
    }
    let before_query = text.split('?').next().unwrap_or_default();
    let (authority, path) = match before_query.find('/') {
        Some(at) => before_query.split_at(at),
        None => (before_query, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (host, ""),
    };
    let allowed = |c: char| {
        !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"".contains(c)
    };
    host.chars().all(allowed)
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && escapes_are_complete(path)
}

fn escapes_are_complete(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

impl<'t> HttpOptions<'t> {
    fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut options = Self::default();
        for (name, value) in value.fields(&HTTP_OPTIONS, violations) {
            match &*name {
                "max_body_size" => {
                    options.max_body_size = value.number(0..=MAX_BODY_SIZE, violations);
                }
                "proxy_buffer_size" => {
                    options.proxy_buffer_size = value.number(0..=MAX_PROXY_BUFFER, violations);
                }
                "read_timeout" => {
                    options.read_timeout = value.number(0..=MAX_TIMEOUT_MS, violations);
                }
                "send_timeout" => {
                    options.send_timeout = value.number(0..=MAX_TIMEOUT_MS, violations);
                }
                "next_tries" => options.next_tries = value.whole(0, violations),
                "next_timeout" => options.next_timeout = value.whole(0, violations),
                "next_cases" => options.next_cases = value.texts(violations),
                _ => {}
            }
        }
        options
    }
}

impl<'t> Params<'t> {
    fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut params = Self::default();
        for (name, value) in value.fields(&PARAMS, violations) {
            match &*name {
                "storage" => read_named(&mut params.storage, &value, violations, Mount::read),
                "permissions" => {
                    params.permissions = read_present(&value, violations, read_permissions);
                }
                "tee" => {
                    params.tee = value.text(violations).unwrap_or_default();
                    if params.tee.is_empty() && value.dialect().is_npm() {
                        value.refuse("cpu or cpu-gpu", violations);
                    }
                }
                _ => {}
            }
        }
        params
    }
}

impl<'t> Mount<'t> {
    fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut mount = Self::default();
        for (name, value) in value.fields(&MOUNT, violations) {
            match &*name {
                "mount" => {
                    mount.path = value.text(violations).unwrap_or_default();
                    check_mount(&value, &mount.path, violations);
                }
                "readOnly" => mount.read_only = value.truth(violations).unwrap_or_default(),
                _ => {}
            }
        }
        mount
    }
}

/// npm checks every path where it stands; Go does for deployed services.
fn check_mount(value: &Cursor<'_, '_>, path: &str, violations: &mut Violations) {
    if value.dialect().is_npm() && !path.starts_with('/') {
        let message = format!("mount {} is not an absolute path", quoted(path));
        violations.add("mount-path", value.at(), message);
    }
}

fn read_permissions<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> Vec<Text<'t>> {
    let mut read = Vec::new();
    for (name, value) in value.fields(&PERMISSIONS, violations) {
        if name == "read" {
            read = value.texts(violations).unwrap_or_default();
            check_permissions(&value, &read, violations);
        }
    }
    read
}

/// Go takes any permission, npm those it knows.
fn check_permissions(value: &Cursor<'_, '_>, read: &[Text<'_>], violations: &mut Violations) {
    let known: &[&str] = match value.dialect() {
        Dialect::Go => return,
        Dialect::Npm => &["deployment", "logs"],
        Dialect::NpmHead => &["deployment", "logs", "events"],
    };
    for (index, name) in read.iter().enumerate() {
        if !violations.is_full() && !known.contains(&&**name) {
            let hint = nearest_hint(name, known.iter().copied());
            let message = format!("permission {} is not known{hint}", quoted(name));
            violations.add("permission", pointer(&value.at(), index), message);
        }
    }
}

fn read_credentials(value: &Cursor<'_, '_>, violations: &mut Violations) -> Credentials {
    let mut credentials = Credentials::default();
    for (name, value) in value.fields(&CREDENTIALS, violations) {
        let field = match &*name {
            "host" => &mut credentials.host,
            "email" => &mut credentials.email,
            "username" => &mut credentials.username,
            "password" => &mut credentials.password,
            _ => continue,
        };
        *field = value.text(violations).unwrap_or_default().into_owned();
        if field.is_empty() && value.dialect().is_npm() {
            value.refuse("text that is not empty", violations);
        }
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_must_fit_a_url() {
        for host in ["", "a.example", "a.example:80", "u@a.example/x?y", "ä", "a_b", "*"] {
            assert!(fits_url(host), "{host:?}");
        }
        for host in ["a b", "a\n", "a:x", "a\\b", "{a}", "a/%zz", "a%20b"] {
            assert!(!fits_url(host), "{host:?}");
        }
    }
}
