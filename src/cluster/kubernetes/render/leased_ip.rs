//! A leased address: a Service of its own for each port, with a key under which the load balancer lets them share it, and the
//! custom resource that today's tools read.
//!
//! No node ports are taken for it: the load balancer reaches the pods without.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Service as Body, ServiceSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Lease, custom, service::Service, services::port};
use crate::cluster::kubernetes::{
    names,
    object::{Kind, Object},
};

/// Under which key Services share an address.
pub(in crate::cluster::kubernetes) const SHARED: &str = "metallb.universe.tf/allow-shared-ip";
/// From which pool an address is taken.
const POOL: &str = "metallb.universe.tf/address-pool";

pub(super) fn objects(lease: &Lease<'_>, service: &Service<'_>) -> Vec<Object> {
    let mut objects: Vec<Object> = Vec::new();
    for expose in &service.exposes {
        let Some(endpoint) = expose.leased_ip() else { continue };
        let owner = lease.workload.lease.order.owner().to_string();
        let key = names::sharing_key(&owner, endpoint);
        let balancer = (!lease.left.addresses).then(|| balancer(lease, service, expose, &key));
        for object in balancer.into_iter().chain([custom::leased_ip(lease, service, expose, &key)])
        {
            // The same port for several services of the lease is one.
            if !objects.iter().any(|other| other.id == object.id && other.hash == object.hash) {
                objects.push(object);
            }
        }
    }
    objects
}

fn balancer(
    lease: &Lease<'_>,
    service: &Service<'_>,
    expose: &super::service::Expose<'_>,
    key: &str,
) -> Object {
    let mut labels = lease.of_lease();
    labels.insert(names::SERVICE_TARGET.to_owned(), names::LEASED_IP_TARGET.to_owned());
    let mut annotations = BTreeMap::from([(SHARED.to_owned(), key.to_owned())]);
    if lease.settings.ip_pool != "default" {
        annotations.insert(POOL.to_owned(), lease.settings.ip_pool.clone());
    }
    let spec = ServiceSpec {
        type_: Some("LoadBalancer".to_owned()),
        selector: Some(lease.of_service(service.name)),
        ports: Some(vec![port(expose)]),
        allocate_load_balancer_node_ports: Some(false),
        ..ServiceSpec::default()
    };
    let metadata = ObjectMeta {
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    let name = names::leased_ip_service(service.name, expose.protocol.word(), expose.external);
    lease.object(Kind::Service, name, &Body { metadata, spec: Some(spec), status: None })
}
