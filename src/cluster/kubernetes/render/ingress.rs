//! A hostname at an ingress controller, with the annotations of ingress-nginx.
//!
//! TLS is the controller's: its default certificate answers for every name.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
        IngressServiceBackend, IngressSpec, ServiceBackendPort,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    Lease,
    http::{Options, Route, next_cases},
};
use crate::cluster::kubernetes::object::{Kind, Object};

pub(super) fn object(lease: &Lease<'_>, route: &Route<'_>) -> Object {
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: route.service.to_owned(),
            port: Some(ServiceBackendPort { number: Some(i32::from(route.external)), name: None }),
        }),
        resource: None,
    };
    let path =
        HTTPIngressPath { path: Some("/".to_owned()), path_type: "Prefix".to_owned(), backend };
    let body = Ingress {
        metadata: ObjectMeta {
            labels: Some(lease.of_lease()),
            annotations: Some(annotations(&route.options)),
            ..ObjectMeta::default()
        },
        spec: Some(IngressSpec {
            ingress_class_name: Some(lease.settings.http.ingress_class.clone()),
            rules: Some(vec![IngressRule {
                host: Some(route.hostname.to_owned()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            ..IngressSpec::default()
        }),
        status: None,
    };
    lease.object(Kind::Ingress, route.hostname, &body)
}

fn annotations(options: &Options<'_>) -> BTreeMap<String, String> {
    let mut found = vec![
        ("proxy-read-timeout", options.read_timeout.to_string()),
        ("proxy-send-timeout", options.send_timeout.to_string()),
        ("proxy-next-upstream-tries", options.next_tries.to_string()),
        ("proxy-body-size", options.max_body_size.to_string()),
        ("proxy-next-upstream-timeout", options.next_timeout.to_string()),
        ("proxy-next-upstream", next_cases(&options.next_cases)),
    ];
    if let Some(size) = options.proxy_buffer_size {
        found.push(("proxy-buffer-size", size.to_string()));
    }
    found
        .into_iter()
        .map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), value))
        .collect()
}
