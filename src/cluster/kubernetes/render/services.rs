//! How a service is reached: inside the lease by its name, from outside by ports of the nodes.
//!
//! TCP and UDP of one number are two ports. A port's name depends on nothing but itself, so that no node port changes because
//! another port comes or goes.

use k8s_openapi::{
    api::core::v1::{Service as Body, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Lease,
    labels::labelled,
    service::{Expose, Service},
};
use crate::cluster::kubernetes::{
    names,
    object::{Kind, Object},
};

pub(super) fn objects(lease: &Lease<'_>, service: &Service<'_>) -> Vec<Object> {
    let inside = ports(service.exposes.iter().filter(|expose| !expose.is_node_port()));
    let outside = ports(service.node_ports());
    let object = |name: String, kind: &str, ports: Vec<ServicePort>| {
        let spec = ServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(lease.of_service(service.name)),
            ports: Some(ports),
            ..ServiceSpec::default()
        };
        let metadata = labelled(lease.of_service(service.name));
        lease.object(Kind::Service, name, &Body { metadata, spec: Some(spec), status: None })
    };
    let mut objects = Vec::new();
    if !inside.is_empty() {
        objects.push(object(service.name.to_owned(), "ClusterIP", inside));
    }
    if !outside.is_empty() {
        objects.push(object(names::node_port_service(service.name), "NodePort", outside));
    }
    objects
}

/// Each port once: several exposes may be the same one, for several services.
fn ports<'a>(exposes: impl Iterator<Item = &'a Expose<'a>>) -> Vec<ServicePort> {
    let mut found: Vec<ServicePort> = Vec::new();
    for expose in exposes {
        let port = port(expose);
        if !found.contains(&port) {
            found.push(port);
        }
    }
    found
}

pub(super) fn port(expose: &Expose<'_>) -> ServicePort {
    ServicePort {
        name: Some(names::port(expose.protocol.word(), expose.external)),
        port: i32::from(expose.external),
        target_port: Some(IntOrString::Int(i32::from(expose.port))),
        protocol: Some(expose.protocol.word().to_owned()),
        ..ServicePort::default()
    }
}
