//! A workload → the exact set of objects that are wanted for it. Pure: the same workload, settings and facts give the same bytes.
//!
//! | module | what it makes |
//! |---|---|
//! | [`service`] | a service of the manifest, checked: everything that cannot be rendered is found here |
//! | [`namespace`] | namespace, quota, limit range |
//! | [`workload`], [`pod`], [`container`], [`volumes`], [`gpu`] | Deployment or `StatefulSet` |
//! | [`services`], [`leased_ip`] | Services |
//! | [`network`] | network policies |
//! | [`http`], [`ingress`], [`gateway`] | how hostnames lead to services |
//! | [`credentials`], [`rbac`] | pull secrets, and what a service may read |
//! | [`custom`] | the custom resources that today's tools read |
//!
//! What it keeps: an object changes only when what it is for changes. Nothing carries a time, a version of another object or
//! the place of something in a list; so an update of one service leaves the others' pods alone.
//!
//! The surprising fact: server-side apply knows the items of many lists by a key (a variable by its name, a port by number
//! and protocol, a mount by its path) and refuses two with the same one. So duplicates are merged or refused here.

mod container;
mod credentials;
mod custom;
mod gateway;
mod gpu;
mod http;
mod ingress;
mod labels;
mod leased_ip;
mod namespace;
mod network;
mod pod;
mod rbac;
mod service;
mod services;
mod volumes;
mod workload;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

pub(super) use self::leased_ip::SHARED as SHARED_ADDRESS;
use self::{http::Route, service::Service};
use super::{
    names,
    object::{Kind, Object, ObjectId},
    settings::{HttpMode, Settings},
    todays::Part,
};
use crate::provider::port::Workload;

/// What objects say about the cluster that they are in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Where the API servers answer.
    pub api_servers: Vec<SocketAddr>,
    /// Every address of every node.
    pub node_addresses: Vec<IpAddr>,
    /// The parts of today's provider that run.
    pub todays: BTreeSet<Part>,
}

/// Everything that is wanted for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The lease's namespace.
    pub namespace: String,
    /// Sorted by id, each id once.
    pub objects: Vec<Object>,
    /// What is left to others.
    left: Left,
}

/// What is left to others: lessor neither writes nor removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Left {
    /// Ingresses and routes.
    routes: bool,
    /// Services with leased addresses.
    addresses: bool,
}

impl Rendered {
    /// Whether an object that is there is somebody else's business, wanted or not.
    #[must_use]
    pub fn leaves(&self, id: &ObjectId) -> bool {
        match id.kind {
            Kind::Ingress | Kind::HttpRoute => self.left.routes,
            Kind::Service => self.left.addresses && names::is_leased_ip_service(&id.name),
            _ => false,
        }
    }
}

/// Why a workload cannot run on Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrenderable {
    /// The service; `None` when it is a matter of the whole lease.
    pub service: Option<String>,
    /// What is there. It repeats no secret.
    pub what: String,
    /// What is allowed instead.
    pub allowed: String,
}

impl Unrenderable {
    fn of(service: &str, what: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { service: Some(service.to_owned()), what: what.into(), allowed: allowed.into() }
    }
}

impl fmt::Display for Unrenderable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service) = &self.service {
            write!(f, "service {service:?}: ")?;
        }
        write!(f, "{}; {}", self.what, self.allowed)
    }
}

impl std::error::Error for Unrenderable {}

/// What all parts of a lease's rendering share.
struct Lease<'a> {
    workload: &'a Workload,
    settings: &'a Settings,
    facts: &'a Facts,
    left: Left,
    namespace: String,
    services: Vec<Service<'a>>,
    routes: Vec<Route<'a>>,
}

/// The objects that are wanted for a workload.
///
/// # Errors
/// [`Unrenderable`]: the first thing that Kubernetes could not do, or would do differently from what was asked.
pub fn render(
    workload: &Workload,
    settings: &Settings,
    facts: &Facts,
) -> Result<Rendered, Unrenderable> {
    let left = left(settings, facts);
    let services = service::read(workload, settings)?;
    let routes = http::routes(workload, &services)?;
    let namespace = names::namespace(&workload.lease);
    let lease = Lease { workload, settings, facts, left, namespace, services, routes };
    let mut objects = Objects::default();
    objects.add(custom::manifest(&lease))?;
    objects.add_all(namespace::objects(&lease))?;
    objects.add_all(network::policies(&lease))?;
    for service in &lease.services {
        objects.add(workload::object(&lease, service))?;
        objects.add_all(services::objects(&lease, service))?;
        objects.add_all(leased_ip::objects(&lease, service))?;
        objects.add_all(credentials::object(&lease, service))?;
        objects.add_all(rbac::objects(&lease, service))?;
    }
    for route in &lease.routes {
        objects.add(custom::provider_host(&lease, route))?;
        objects.add_all(http::object(&lease, route))?;
    }
    Ok(Rendered { namespace: lease.namespace, objects: objects.0.into_values().collect(), left })
}

fn left(settings: &Settings, facts: &Facts) -> Left {
    let runs = |part: Part| !settings.take_over && facts.todays.contains(&part);
    Left {
        routes: settings.http.mode == HttpMode::None || runs(Part::HostnameOperator),
        addresses: runs(Part::IpOperator),
    }
}

/// The objects so far, by id.
#[derive(Default)]
struct Objects(BTreeMap<ObjectId, Object>);

impl Objects {
    fn add(&mut self, object: Object) -> Result<(), Unrenderable> {
        match self.0.entry(object.id.clone()) {
            Entry::Vacant(place) => {
                place.insert(object);
                Ok(())
            }
            Entry::Occupied(there) => {
                let ObjectId { kind, name, .. } = there.key();
                Err(Unrenderable {
                    service: None,
                    what: format!("two different things would be the {} {name:?}", kind.api().kind),
                    allowed: "names of services must lead to names that differ: rename one".into(),
                })
            }
        }
    }

    fn add_all(&mut self, objects: impl IntoIterator<Item = Object>) -> Result<(), Unrenderable> {
        objects.into_iter().try_for_each(|object| self.add(object))
    }
}

impl Lease<'_> {
    /// An object in the lease's namespace.
    fn object(&self, kind: Kind, name: impl Into<String>, body: &impl Serialize) -> Object {
        object(kind, Some(self.namespace.clone()), name, body)
    }

    /// An object in the namespace of the custom resources.
    fn custom(&self, kind: Kind, name: impl Into<String>, body: &impl Serialize) -> Object {
        object(kind, Some(self.settings.manifest_namespace.clone()), name, body)
    }
}

fn object(
    kind: Kind,
    namespace: Option<String>,
    name: impl Into<String>,
    body: &impl Serialize,
) -> Object {
    // What is rendered are structures with text keys: serialising one cannot fail.
    let body = serde_json::to_value(body).unwrap_or_default();
    Object::new(ObjectId { kind, namespace, name: name.into() }, body)
}
