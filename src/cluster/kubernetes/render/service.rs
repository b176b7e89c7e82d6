//! A service of the manifest as Kubernetes can run it: ports in range, names that are allowed, volumes that exist.
//!
//! Everything that makes a workload unrenderable is found here, so that what comes after cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Unrenderable,
    gpu::{self, Gpu},
    volumes::{self, Mount, Volume, VolumeSource},
};
use crate::{
    bidengine::placement::Needs,
    cluster::kubernetes::{names, settings::Settings},
    domain::Resources,
    manifest::{self, Credentials},
    provider::port::Workload,
};

/// The longest name of a service with persistent volumes: a revision of it adds eleven characters and is a label.
const MAX_STATEFUL_NAME: usize = 52;
/// The longest path of a mount.
const MAX_PATH: usize = 4096;

/// A protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// One way to reach a service, with ports in range.
#[derive(Debug)]
pub(super) struct Expose<'a> {
    pub(super) manifest: &'a manifest::Expose,
    /// The container's.
    pub(super) port: u16,
    /// What others see.
    pub(super) external: u16,
    pub(super) protocol: Protocol,
}

impl Expose<'_> {
    /// Whether the world reaches it by a port of the nodes.
    pub(super) fn is_node_port(&self) -> bool {
        self.manifest.global && !self.manifest.is_ingress()
    }

    /// The leased address, by the tenant's name of it.
    pub(super) fn leased_ip(&self) -> Option<&str> {
        (self.manifest.global && !self.manifest.ip.is_empty()).then_some(&self.manifest.ip)
    }
}

/// A variable of the environment.
#[derive(PartialEq, Eq)]
pub(super) struct Variable<'a> {
    pub(super) name: &'a str,
    pub(super) value: Option<&'a str>,
}

/// A service that can be rendered.
pub(super) struct Service<'a> {
    pub(super) manifest: &'a manifest::Service,
    pub(super) name: &'a str,
    /// One replica, as the market counts it.
    pub(super) resources: Resources,
    /// What one replica takes.
    pub(super) needs: Needs,
    pub(super) gpu: Option<Gpu>,
    /// `None` is the node's own.
    pub(super) runtime_class: Option<&'a str>,
    pub(super) exposes: Vec<Expose<'a>>,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<Mount>,
    /// Each name once.
    pub(super) env: Vec<Variable<'a>>,
    pub(super) credentials: Option<&'a Credentials>,
    /// What it may read of its own lease; `None` when it has no identity.
    pub(super) permissions: Option<&'a [String]>,
}

impl<'a> Service<'a> {
    pub(super) fn persistent(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(|volume| matches!(volume.source, VolumeSource::Claim { .. }))
    }

    pub(super) fn node_ports(&self) -> impl Iterator<Item = &Expose<'a>> {
        self.exposes.iter().filter(|expose| expose.is_node_port())
    }
}

/// The services of a workload, in the manifest's order.
pub(super) fn read<'a>(
    workload: &'a Workload,
    settings: &'a Settings,
) -> Result<Vec<Service<'a>>, Unrenderable> {
    let services: Vec<_> = workload
        .group
        .services
        .iter()
        .map(|service| read_one(workload, service, settings))
        .collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    for service in &services {
        if !seen.insert(service.name) {
            return Err(Unrenderable::of(
                service.name,
                "two services of the group have this name",
                "on Kubernetes a name is used once: rename one",
            ));
        }
    }
    Ok(services)
}

fn read_one<'a>(
    workload: &'a Workload,
    service: &'a manifest::Service,
    settings: &'a Settings,
) -> Result<Service<'a>, Unrenderable> {
    let name = service.name.as_str();
    let refused = |what: String, allowed: &str| Unrenderable::of(name, what, allowed);
    let resources = service.resources().ok_or_else(|| {
        refused(
            "its resources are incomplete or out of range".to_owned(),
            "cpu, memory, gpu and storage are needed, each below 2^64",
        )
    })?;
    if i32::try_from(service.count).is_err() {
        return Err(refused(format!("{} replicas", service.count), "allowed are up to 2147483647"));
    }
    let exposes = exposes(service)?;
    let volumes = volumes::read(name, &resources)?;
    check_name(name, &exposes, &volumes)?;
    let params = service.params.as_ref();
    let mounts = mounts(service, &volumes)?;
    let gpu = gpu::read(workload, name, &resources, settings)?;
    let tee = params.and_then(|params| params.tee.as_ref());
    let runtime_class = runtime_class(name, gpu.as_ref(), tee, settings)?;
    Ok(Service {
        manifest: service,
        name,
        needs: Needs::of(&resources),
        resources,
        gpu,
        runtime_class,
        exposes,
        volumes,
        mounts,
        env: environment(service)?,
        credentials: service
            .credentials
            .as_ref()
            .or_else(|| params.and_then(|params| params.credentials.as_ref())),
        permissions: params
            .and_then(|params| params.permissions.as_ref())
            .map(|permissions| &*permissions.read)
            .filter(|read| !read.is_empty()),
    })
}

/// A service's name becomes the name of containers and Services, and a label.
fn check_name(name: &str, exposes: &[Expose<'_>], volumes: &[Volume]) -> Result<(), Unrenderable> {
    let most = if volumes.iter().any(|volume| matches!(volume.source, VolumeSource::Claim { .. })) {
        MAX_STATEFUL_NAME
    } else {
        names::MAX_LABEL
    };
    let longest = exposes
        .iter()
        .filter_map(|expose| {
            let protocol = expose.protocol.word();
            expose.leased_ip().map(|_| names::leased_ip_service(name, protocol, expose.external))
        })
        .chain(exposes.iter().any(Expose::is_node_port).then(|| names::node_port_service(name)))
        .map(|name| name.len())
        .max();
    let suffix = longest.map_or(0, |longest| longest.saturating_sub(name.len()));
    let most = most.min(names::MAX_LABEL - suffix.min(names::MAX_LABEL));
    if name.len() <= most && names::is_dns_label(name) {
        return Ok(());
    }
    Err(Unrenderable::of(
        name,
        format!("its name of {} characters cannot be used", name.len()),
        format!(
            "with these ports and volumes, allowed are up to {most} lower-case letters, digits and inner dashes"
        ),
    ))
}

fn exposes(service: &manifest::Service) -> Result<Vec<Expose<'_>>, Unrenderable> {
    let name = service.name.as_str();
    let number = |port: u32| {
        u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| {
            Unrenderable::of(name, format!("{port} is no port"), "ports are 1 to 65535")
        })
    };
    let mut found = Vec::new();
    for expose in &service.expose {
        let protocol = match expose.proto.as_str() {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            other => {
                let what = format!("{other:?} is no protocol that can be exposed");
                return Err(Unrenderable::of(name, what, "TCP and UDP are"));
            }
        };
        let (port, external) = (number(expose.port)?, number(expose.external_port())?);
        if expose.global && !expose.ip.is_empty() {
            check_endpoint(name, &expose.ip)?;
        }
        found.push(Expose { manifest: expose, port, external, protocol });
    }
    check_targets(name, &found)?;
    Ok(found)
}

/// One port of a Service leads to one port of the container; exposes that are the same to Kubernetes are one.
fn check_targets(name: &str, exposes: &[Expose<'_>]) -> Result<(), Unrenderable> {
    let mut targets = BTreeMap::new();
    for expose in exposes {
        // Node ports stand on a Service of their own.
        let key = (expose.is_node_port(), expose.external, expose.protocol);
        let target = targets.entry(key).or_insert(expose.port);
        if *target != expose.port {
            return Err(Unrenderable::of(
                name,
                format!(
                    "port {} {} is to lead to port {target} and to port {} of the container",
                    expose.external,
                    expose.protocol.word(),
                    expose.port
                ),
                "it can lead to one: expose the other one as another port",
            ));
        }
    }
    Ok(())
}

/// A leased address stands in the name of a custom resource, beside the owner's address.
fn check_endpoint(service: &str, endpoint: &str) -> Result<(), Unrenderable> {
    if endpoint.len() <= 150 && !endpoint.ends_with('-') {
        return Ok(());
    }
    Err(Unrenderable::of(
        service,
        "its endpoint's name cannot be part of a name",
        "allowed are up to 150 characters, the last one not a dash",
    ))
}

fn mounts(service: &manifest::Service, volumes: &[Volume]) -> Result<Vec<Mount>, Unrenderable> {
    let name = service.name.as_str();
    let mut found: Vec<Mount> = Vec::new();
    for mount in service.params.iter().flat_map(|params| &params.storage) {
        let Some(volume) = volumes.iter().find(|volume| volume.storage == mount.name) else {
            return Err(Unrenderable::of(
                name,
                format!("it mounts a volume {:?} that it does not have", mount.name),
                "mount one of its own volumes",
            ));
        };
        if mount.mount.is_empty() {
            // A volume that is not mounted: the container's own disk, or claimed and unused.
            continue;
        }
        let path = &mount.mount;
        if !path.starts_with('/') || path.contains([':', '\0']) || path.len() > MAX_PATH {
            return Err(Unrenderable::of(
                name,
                format!("volume {:?} is mounted at no absolute path", mount.name),
                "allowed are paths that begin with '/', without ':', up to 4096 characters",
            ));
        }
        if found.iter().any(|other| other.path == *path) {
            return Err(Unrenderable::of(
                name,
                format!("two volumes are mounted at {path:?}"),
                "a path takes one volume",
            ));
        }
        found.push(Mount {
            volume: volume.name.clone(),
            path: path.clone(),
            read_only: mount.read_only,
        });
    }
    Ok(found)
}

/// A name that is given twice keeps its place and takes the last value, as the container would see it.
fn environment(service: &manifest::Service) -> Result<Vec<Variable<'_>>, Unrenderable> {
    let mut found: Vec<Variable<'_>> = Vec::new();
    for text in &service.env {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text.as_str(), None),
        };
        if name.is_empty() || text.contains('\0') {
            return Err(Unrenderable::of(
                &service.name,
                "a variable of its environment has no name, or holds a NUL",
                "variables are NAME=value",
            ));
        }
        match found.iter_mut().find(|variable| variable.name == name) {
            Some(there) => there.value = value,
            None => found.push(Variable { name, value }),
        }
    }
    Ok(found)
}

fn runtime_class<'a>(
    service: &str,
    gpu: Option<&Gpu>,
    tee: Option<&manifest::Tee>,
    settings: &'a Settings,
) -> Result<Option<&'a str>, Unrenderable> {
    let classes = &settings.runtime_classes;
    let class = match (tee, gpu) {
        (Some(tee), _) => classes.tee.get(&tee.kind).ok_or_else(|| {
            Unrenderable::of(
                service,
                format!("it asks for confidential computing of kind {:?}", tee.kind),
                "this provider has no runtime class for it (cluster.kubernetes.runtime_classes.tee)",
            )
        })?,
        (None, Some(gpu)) => classes.gpu.get(&gpu.vendor).unwrap_or(&classes.default),
        (None, None) => &classes.default,
    };
    Ok((!class.is_empty()).then_some(class.as_str()))
}
