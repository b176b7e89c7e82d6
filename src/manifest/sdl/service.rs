//! `services`: images, their parameters and how they are exposed.

use std::collections::BTreeMap;

use super::{cursor::Cursor, document::read_named};
use crate::manifest::{
    model::Credentials,
    violation::{Violations, pointer, quoted},
};

/// A service. Lists that may be `null` differ from empty ones, as they do in the manifest.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) image: String,
    pub(super) command: Option<Vec<String>>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) expose: Vec<Expose>,
    pub(super) params: Option<Params>,
    pub(super) credentials: Option<Credentials>,
}

/// One port of a service.
#[derive(Debug, Default)]
pub(super) struct Expose {
    /// Its place in the document's list.
    pub(super) index: usize,
    pub(super) port: u32,
    pub(super) external_port: u32,
    /// As written.
    pub(super) proto: String,
    pub(super) to: Vec<To>,
    pub(super) accept: Option<Vec<String>>,
    pub(super) http: HttpOptions,
}

/// Who may connect.
#[derive(Debug, Default)]
pub(super) struct To {
    /// Its place in the document's list.
    pub(super) index: usize,
    pub(super) service: String,
    pub(super) global: bool,
    pub(super) ip: String,
}

/// Options of the HTTP entrance as written; 0 is absent.
#[derive(Debug, Default)]
pub(super) struct HttpOptions {
    pub(super) max_body_size: u32,
    pub(super) proxy_buffer_size: u32,
    pub(super) read_timeout: u32,
    pub(super) send_timeout: u32,
    pub(super) next_tries: u32,
    pub(super) next_timeout: u32,
    pub(super) next_cases: Vec<String>,
}

/// What else a service asks for.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) storage: BTreeMap<String, Mount>,
    pub(super) permissions: Option<Vec<String>>,
    /// `cpu`, `cpu-gpu`, or empty.
    pub(super) tee: String,
}

/// Where a volume is mounted.
#[derive(Debug, Default)]
pub(super) struct Mount {
    pub(super) path: String,
    pub(super) read_only: bool,
}

impl Service {
    pub(super) fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut service = Self::default();
        for (name, value) in value.members(violations) {
            match name.as_str() {
                "image" => service.image = value.text(violations).unwrap_or_default(),
                "command" => service.command = value.texts(violations),
                "args" => service.args = value.texts(violations),
                "env" => service.env = value.texts(violations),
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
fn read_list<T>(
    value: &Cursor<'_>,
    violations: &mut Violations,
    mut read: impl FnMut(usize, &Cursor<'_>, &mut Violations) -> T,
) -> Vec<T> {
    let items = value.items(violations).unwrap_or_default();
    items.iter().map(|(index, item)| read(*index, item, violations)).collect()
}

fn read_present<T>(
    value: &Cursor<'_>,
    violations: &mut Violations,
    read: impl FnOnce(&Cursor<'_>, &mut Violations) -> T,
) -> Option<T> {
    (!value.is_null()).then(|| read(value, violations))
}

/// Dependencies mean nothing; only their shape is checked.
fn read_dependency(_: usize, value: &Cursor<'_>, violations: &mut Violations) {
    for (name, value) in value.members(violations) {
        if name == "service" {
            value.text(violations);
        }
    }
}

impl Expose {
    fn read(index: usize, value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut expose = Self { index, ..Self::default() };
        for (name, value) in value.members(violations) {
            match name.as_str() {
                "port" => expose.port = value.number(violations).unwrap_or_default(),
                "as" => expose.external_port = value.number(violations).unwrap_or_default(),
                "proto" => expose.proto = value.text(violations).unwrap_or_default(),
                "to" => expose.to = read_list(&value, violations, To::read),
                "accept" => expose.accept = read_accept(&value, violations),
                "http_options" => expose.http = HttpOptions::read(&value, violations),
                _ => {}
            }
        }
        expose
    }
}

impl To {
    fn read(index: usize, value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut to = Self { index, ..Self::default() };
        for (name, value) in value.members(violations) {
            match name.as_str() {
                "service" => to.service = value.text(violations).unwrap_or_default(),
                "global" => to.global = value.truth(violations).unwrap_or_default(),
                "ip" => to.ip = value.text(violations).unwrap_or_default(),
                "http_options" => {
                    HttpOptions::read(&value, violations);
                }
                _ => {}
            }
        }
        to
    }
}

/// Hostnames must at least fit into a URL, even those of a service that is not deployed.
fn read_accept(value: &Cursor<'_>, violations: &mut Violations) -> Option<Vec<String>> {
    let hosts = value.texts(violations)?;
    for (index, host) in hosts.iter().enumerate() {
        if !fits_url(host) {
            let message = format!("hostname {} is not one that a URL can hold", quoted(host));
            violations.add("hostname", pointer(value.at(), index), message);
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

impl HttpOptions {
    fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut options = Self::default();
        for (name, value) in value.members(violations) {
            let number = match name.as_str() {
                "max_body_size" => &mut options.max_body_size,
                "proxy_buffer_size" => &mut options.proxy_buffer_size,
                "read_timeout" => &mut options.read_timeout,
                "send_timeout" => &mut options.send_timeout,
                "next_tries" => &mut options.next_tries,
                "next_timeout" => &mut options.next_timeout,
                "next_cases" => {
                    options.next_cases = value.texts(violations).unwrap_or_default();
                    continue;
                }
                _ => continue,
            };
            *number = value.number(violations).unwrap_or_default();
        }
        options
    }
}

impl Params {
    fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut params = Self::default();
        for (name, value) in value.members(violations) {
            match name.as_str() {
                "storage" => read_named(&mut params.storage, &value, violations, Mount::read),
                "permissions" => {
                    params.permissions = read_present(&value, violations, read_permissions);
                }
                "tee" => params.tee = value.text(violations).unwrap_or_default(),
                _ => {}
            }
        }
        params
    }
}

impl Mount {
    fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut mount = Self::default();
        for (name, value) in value.members(violations) {
            match name.as_str() {
                "mount" => mount.path = value.text(violations).unwrap_or_default(),
                "readOnly" => mount.read_only = value.truth(violations).unwrap_or_default(),
                _ => {}
            }
        }
        mount
    }
}

fn read_permissions(value: &Cursor<'_>, violations: &mut Violations) -> Vec<String> {
    let mut read = Vec::new();
    for (name, value) in value.members(violations) {
        if name == "read" {
            read = value.texts(violations).unwrap_or_default();
        }
    }
    read
}

fn read_credentials(value: &Cursor<'_>, violations: &mut Violations) -> Credentials {
    let mut credentials = Credentials::default();
    for (name, value) in value.members(violations) {
        let field = match name.as_str() {
            "host" => &mut credentials.host,
            "email" => &mut credentials.email,
            "username" => &mut credentials.username,
            "password" => &mut credentials.password,
            _ => continue,
        };
        *field = value.text(violations).unwrap_or_default();
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
