//! Which hostname leads to which port of which service, and how the entrance is to treat its requests.

use super::{
    Lease, Unrenderable, gateway, ingress,
    service::{Expose, Service},
};
use crate::{
    cluster::kubernetes::{names, object::Object, settings::HttpMode},
    manifest::HttpOptions,
    provider::port::Workload,
};

/// A hostname that leads to a service.
pub(super) struct Route<'a> {
    pub(super) hostname: &'a str,
    pub(super) service: &'a str,
    /// What the Service listens on.
    pub(super) external: u16,
    pub(super) options: Options<'a>,
}

/// How the entrance treats requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options<'a> {
    /// Bytes.
    pub(super) max_body_size: u32,
    /// Seconds.
    pub(super) read_timeout: u32,
    /// Seconds.
    pub(super) send_timeout: u32,
    pub(super) next_tries: u32,
    /// Seconds; 0 is no limit.
    pub(super) next_timeout: u32,
    pub(super) next_cases: Vec<&'a str>,
    /// Bytes; `None` for the entrance's default.
    pub(super) proxy_buffer_size: Option<u32>,
}

impl<'a> Options<'a> {
    /// A manifest without a body size says nothing about any of them.
    fn of(options: &'a HttpOptions) -> Self {
        let proxy_buffer_size =
            (options.proxy_buffer_size > 0).then_some(options.proxy_buffer_size);
        if options.max_body_size == 0 {
            return Self {
                max_body_size: 1 << 20,
                read_timeout: 60,
                send_timeout: 60,
                next_tries: 3,
                next_timeout: 60,
                next_cases: vec!["error", "timeout"],
                proxy_buffer_size,
            };
        }
        let seconds = |milliseconds: u32| milliseconds.div_ceil(1000);
        Self {
            max_body_size: options.max_body_size,
            read_timeout: seconds(options.read_timeout),
            send_timeout: seconds(options.send_timeout),
            next_tries: options.next_tries,
            next_timeout: seconds(options.next_timeout),
            next_cases: options.next_cases.iter().map(String::as_str).collect(),
            proxy_buffer_size,
        }
    }
}

/// The routes of a workload, sorted by hostname.
pub(super) fn routes<'a>(
    workload: &'a Workload,
    services: &[Service<'a>],
) -> Result<Vec<Route<'a>>, Unrenderable> {
    let mut found: Vec<Route<'a>> = Vec::new();
    for wanted in &workload.hostnames {
        let refused = |what: String| {
            Unrenderable::of(
                &wanted.service,
                what,
                "a hostname leads to a service that exposes port 80 over TCP to the world",
            )
        };
        if !names::is_dns_name(&wanted.hostname) {
            return Err(refused(format!("{:?} is no hostname", wanted.hostname)));
        }
        let service = services.iter().find(|service| service.name == wanted.service);
        let exposes = service.map_or(&[][..], |service| &service.exposes);
        let expose = pick(exposes, &wanted.hostname, wanted.port)
            .ok_or_else(|| refused(format!("hostname {:?} leads to nothing", wanted.hostname)))?;
        found.push(Route {
            hostname: &wanted.hostname,
            service: &wanted.service,
            external: expose.external,
            options: Options::of(&expose.manifest.http_options),
        });
    }
    found.sort_by_key(|route| route.hostname);
    Ok(found)
}

/// The expose that names the host, else the one of that port, else the first one.
fn pick<'a, 'b>(exposes: &'b [Expose<'a>], hostname: &str, port: u16) -> Option<&'b Expose<'a>> {
    let http = || exposes.iter().filter(|expose| expose.manifest.is_ingress());
    http()
        .find(|expose| expose.manifest.hosts.iter().any(|host| host.eq_ignore_ascii_case(hostname)))
        .or_else(|| http().find(|expose| expose.port == port))
        .or_else(|| http().next())
}

/// What the hostname becomes, besides the custom resource.
pub(super) fn object(lease: &Lease<'_>, route: &Route<'_>) -> Option<Object> {
    match lease.settings.http.mode {
        _ if lease.left.routes => None,
        HttpMode::Ingress => Some(ingress::object(lease, route)),
        HttpMode::GatewayApi => Some(gateway::object(lease, route)),
        HttpMode::None => None,
    }
}

/// A case in which the next replica is tried, as nginx calls it: a status code is `http_<code>`.
pub(super) fn next_cases(cases: &[&str]) -> String {
    let is_status = |case: &str| {
        case.len() == 3
            && case.starts_with(|c: char| ('1'..='5').contains(&c))
            && case.bytes().all(|byte| byte.is_ascii_digit())
    };
    let words: Vec<String> = cases
        .iter()
        .map(|case| if is_status(case) { format!("http_{case}") } else { (*case).to_owned() })
        .collect();
    words.join(" ")
}
