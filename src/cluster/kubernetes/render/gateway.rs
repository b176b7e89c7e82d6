//! A hostname at a gateway: an `HTTPRoute` of the Gateway API, with the annotations of NGINX.
//!
//! The surprising fact: the Gateway API has no word for the size of a body or for trying the next replica, and not every
//! gateway takes its word for time-outs. So annotations say all three, and the route itself says time-outs only where the
//! operator's gateway takes them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Lease,
    http::{Options, Route, next_cases},
};
use crate::cluster::kubernetes::object::{Kind, Object};

#[derive(Serialize)]
struct Body {
    metadata: Metadata,
    spec: Value,
}

#[derive(Serialize)]
struct Metadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

pub(super) fn object(lease: &Lease<'_>, route: &Route<'_>) -> Object {
    let http = &lease.settings.http;
    let mut rule = json!({
        "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
        "backendRefs": [{
            "group": "", "kind": "Service", "name": route.service, "port": route.external, "weight": 1,
        }],
    });
    if http.timeouts && route.options.read_timeout > 0 {
        rule["timeouts"] = json!({ "backendRequest": duration(route.options.read_timeout) });
    }
    let body = Body {
        metadata: Metadata {
            labels: lease.of_lease(),
            annotations: annotations(&route.options, &http.proxy_buffer_size),
        },
        spec: json!({
            "parentRefs": [{
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "namespace": http.gateway_namespace,
                "name": http.gateway,
            }],
            "hostnames": [route.hostname],
            "rules": [rule],
        }),
    };
    lease.object(Kind::HttpRoute, route.hostname, &body)
}

/// The Gateway API's durations have at most five digits.
fn duration(seconds: u32) -> String {
    if seconds <= 99_999 { format!("{seconds}s") } else { format!("{}m", seconds.div_ceil(60)) }
}

fn annotations(options: &Options<'_>, buffer: &str) -> BTreeMap<String, String> {
    let mut found = vec![
        ("client-max-body-size", options.max_body_size.to_string()),
        ("proxy-read-timeout", options.read_timeout.to_string()),
        ("proxy-send-timeout", options.send_timeout.to_string()),
        ("proxy-next-upstream-tries", options.next_tries.to_string()),
    ];
    if options.next_timeout > 0 {
        found.push(("proxy-next-upstream-timeout", format!("{}s", options.next_timeout)));
    }
    if !options.next_cases.is_empty() {
        found.push(("proxy-next-upstream", next_cases(&options.next_cases)));
    }
    let buffer =
        options.proxy_buffer_size.map_or_else(|| buffer.to_owned(), |size| size.to_string());
    if !buffer.is_empty() {
        found.push(("proxy-buffer-size", buffer));
    }
    found.into_iter().map(|(name, value)| (format!("nginx.org/{name}"), value)).collect()
}
