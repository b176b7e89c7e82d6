//! The custom resources `akash.network/v2beta2` that today's tools read, in exactly their shape.
//!
//! The surprising fact: `dseq` is a text in two of them and a number in the third.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Lease,
    http::Route,
    labels::Labels,
    service::{Expose, Service},
};
use crate::{
    cluster::kubernetes::{
        names,
        object::{Kind, Object},
    },
    domain::{Attribute, LeaseId, Resources},
    manifest::{Credentials, HttpOptions},
};

#[derive(Serialize)]
struct Body<S> {
    metadata: Metadata,
    spec: S,
}

#[derive(Serialize)]
struct Metadata {
    labels: Labels,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: Labels,
}

#[derive(Serialize)]
struct LeaseIdSpec {
    owner: String,
    dseq: String,
    gseq: u32,
    oseq: u32,
    provider: String,
}

impl LeaseIdSpec {
    fn of(lease: &LeaseId) -> Self {
        Self {
            owner: lease.order.owner().to_string(),
            dseq: lease.order.dseq().to_string(),
            gseq: lease.order.gseq(),
            oseq: lease.order.oseq,
            provider: lease.provider.to_string(),
        }
    }
}

#[derive(Serialize)]
struct ManifestSpec<'a> {
    lease_id: LeaseIdSpec,
    group: GroupSpec<'a>,
}

#[derive(Serialize)]
struct GroupSpec<'a> {
    name: &'a str,
    services: Vec<ServiceSpec<'a>>,
}

#[derive(Serialize)]
struct ServiceSpec<'a> {
    name: &'a str,
    image: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    command: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    args: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [String],
    resources: ResourcesSpec<'a>,
    count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expose: Vec<ExposeSpec<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<ParamsSpec<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduler_params: Option<SchedulerSpec<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<CredentialsSpec<'a>>,
}

#[derive(Serialize)]
struct ResourcesSpec<'a> {
    id: u32,
    cpu: UnitsSpec<'a>,
    gpu: UnitsSpec<'a>,
    memory: SizeSpec<'a>,
    storage: Vec<VolumeSpec<'a>>,
}

#[derive(Serialize)]
struct UnitsSpec<'a> {
    units: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attributes: &'a [Attribute],
}

#[derive(Serialize)]
struct SizeSpec<'a> {
    size: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attributes: &'a [Attribute],
}

#[derive(Serialize)]
struct VolumeSpec<'a> {
    name: &'a str,
    size: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attributes: &'a [Attribute],
}

#[derive(Serialize)]
struct ExposeSpec<'a> {
    port: u16,
    external_port: u32,
    proto: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    global: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hosts: &'a [String],
    http_options: HttpOptionsSpec<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    ip: &'a str,
    endpoint_sequence_number: u32,
}

#[derive(Serialize)]
struct HttpOptionsSpec<'a> {
    max_body_size: u32,
    read_timeout: u32,
    send_timeout: u32,
    next_tries: u32,
    next_timeout: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    next_cases: &'a [String],
}

impl<'a> HttpOptionsSpec<'a> {
    fn of(options: &'a HttpOptions) -> Self {
        Self {
            max_body_size: options.max_body_size,
            read_timeout: options.read_timeout,
            send_timeout: options.send_timeout,
            next_tries: options.next_tries,
            next_timeout: options.next_timeout,
            next_cases: &options.next_cases,
        }
    }
}

#[derive(Serialize)]
struct ParamsSpec<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    storage: Vec<MountSpec<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<PermissionsSpec<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MountSpec<'a> {
    name: &'a str,
    mount: &'a str,
    read_only: bool,
}

#[derive(Serialize)]
struct PermissionsSpec<'a> {
    read: &'a [String],
}

#[derive(Serialize)]
struct SchedulerSpec<'a> {
    runtime_class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<SchedulerResources<'a>>,
}

#[derive(Serialize)]
struct SchedulerResources<'a> {
    gpu: SchedulerGpu<'a>,
}

#[derive(Serialize)]
struct SchedulerGpu<'a> {
    vendor: &'a str,
    model: &'a str,
    memory_size: &'a str,
    interface: &'a str,
}

#[derive(Serialize)]
struct CredentialsSpec<'a> {
    host: &'a str,
    email: &'a str,
    username: &'a str,
    password: &'a str,
}

/// The lease's manifest, with its hash as an annotation.
pub(super) fn manifest(lease: &Lease<'_>) -> Object {
    let mut labels = lease.base_and_lease();
    labels.insert(names::MANIFEST_VERSION.to_owned(), String::new());
    let workload = lease.workload;
    let hash = (names::MANIFEST_HASH.to_owned(), workload.manifest_hash.clone());
    let body = Body {
        metadata: Metadata { labels, annotations: [hash].into() },
        spec: ManifestSpec {
            lease_id: LeaseIdSpec::of(&workload.lease),
            group: GroupSpec {
                name: &workload.group.name,
                services: lease.services.iter().map(|service| spec(lease, service)).collect(),
            },
        },
    };
    lease.custom(Kind::Manifest, lease.namespace.clone(), &body)
}

fn spec<'a>(lease: &'a Lease<'_>, service: &'a Service<'_>) -> ServiceSpec<'a> {
    let manifest = service.manifest;
    let in_manifest = lease.settings.credentials_in_manifest;
    ServiceSpec {
        name: service.name,
        image: &manifest.image,
        command: &manifest.command,
        args: &manifest.args,
        env: &manifest.env,
        resources: resources(&service.resources),
        count: manifest.count,
        expose: service.exposes.iter().map(expose).collect(),
        params: params(service),
        scheduler_params: scheduler(service),
        credentials: service.credentials.filter(|_| in_manifest).map(
            |Credentials { host, email, username, password }| CredentialsSpec {
                host,
                email,
                username,
                password,
            },
        ),
    }
}

fn resources(resources: &Resources) -> ResourcesSpec<'_> {
    ResourcesSpec {
        id: resources.id,
        cpu: UnitsSpec { units: resources.cpu_milli, attributes: &resources.cpu_attributes },
        gpu: UnitsSpec { units: resources.gpu_units, attributes: &resources.gpu_attributes },
        memory: SizeSpec {
            size: resources.memory_bytes.to_string(),
            attributes: &resources.memory_attributes,
        },
        storage: resources
            .storage
            .iter()
            .map(|volume| VolumeSpec {
                name: &volume.name,
                size: volume.bytes.to_string(),
                attributes: &volume.attributes,
            })
            .collect(),
    }
}

fn expose<'a>(expose: &'a Expose<'_>) -> ExposeSpec<'a> {
    let manifest = expose.manifest;
    ExposeSpec {
        port: expose.port,
        external_port: manifest.external_port,
        proto: expose.protocol.word(),
        service: &manifest.service,
        global: manifest.global,
        hosts: &manifest.hosts,
        http_options: HttpOptionsSpec::of(&manifest.http_options),
        ip: &manifest.ip,
        endpoint_sequence_number: manifest.endpoint_sequence_number,
    }
}

fn params<'a>(service: &'a Service<'_>) -> Option<ParamsSpec<'a>> {
    let params = service.manifest.params.as_ref()?;
    let storage: Vec<_> = params
        .storage
        .iter()
        .map(|mount| MountSpec {
            name: &mount.name,
            mount: &mount.mount,
            read_only: mount.read_only,
        })
        .collect();
    let permissions = service.permissions.map(|read| PermissionsSpec { read });
    (!storage.is_empty() || permissions.is_some()).then_some(ParamsSpec { storage, permissions })
}

/// What today's provider calls the result of placing; only services with a runtime of their own or GPUs have it.
fn scheduler<'a>(service: &'a Service<'_>) -> Option<SchedulerSpec<'a>> {
    let gpu = service.gpu.as_ref().map(|gpu| {
        let kind = gpu.kinds.first();
        let text = |value: Option<&'a Option<String>>| {
            value.and_then(Option::as_deref).unwrap_or_default()
        };
        SchedulerGpu {
            vendor: &gpu.vendor,
            model: text(kind.map(|kind| &kind.model)),
            memory_size: text(kind.map(|kind| &kind.ram)),
            interface: text(kind.map(|kind| &kind.interface)),
        }
    });
    let runtime_class = service.runtime_class.unwrap_or_default();
    (gpu.is_some() || !runtime_class.is_empty()).then(|| SchedulerSpec {
        runtime_class,
        resources: gpu.map(|gpu| SchedulerResources { gpu }),
    })
}

#[derive(Serialize)]
struct ProviderHostSpec<'a> {
    hostname: &'a str,
    service_name: &'a str,
    external_port: u16,
    owner: String,
    provider: String,
    dseq: u64,
    gseq: u32,
    oseq: u32,
}

/// A hostname. Its name is the hostname itself, so the cluster takes each once.
pub(super) fn provider_host(lease: &Lease<'_>, route: &Route<'_>) -> Object {
    let LeaseId { order, provider } = &lease.workload.lease;
    let body = Body {
        metadata: Metadata { labels: lease.of_lease(), annotations: Labels::new() },
        spec: ProviderHostSpec {
            hostname: route.hostname,
            service_name: route.service,
            external_port: route.external,
            owner: order.owner().to_string(),
            provider: provider.to_string(),
            dseq: order.dseq(),
            gseq: order.gseq(),
            oseq: order.oseq,
        },
    };
    lease.custom(Kind::ProviderHost, route.hostname, &body)
}

#[derive(Serialize)]
struct LeasedIpSpec<'a> {
    lease_id: LeaseIdSpec,
    service_name: &'a str,
    port: u16,
    external_port: u16,
    sharing_key: &'a str,
    protocol: &'static str,
}

/// One port at a leased address.
pub(super) fn leased_ip(
    lease: &Lease<'_>,
    service: &Service<'_>,
    expose: &Expose<'_>,
    sharing_key: &str,
) -> Object {
    let protocol = expose.protocol.word();
    let mut labels = lease.of_lease();
    labels.insert("service-name".to_owned(), service.name.to_owned());
    labels.insert("external-port".to_owned(), expose.external.to_string());
    labels.insert("proto".to_owned(), protocol.to_owned());
    let body = Body {
        metadata: Metadata { labels, annotations: Labels::new() },
        spec: LeasedIpSpec {
            lease_id: LeaseIdSpec::of(&lease.workload.lease),
            service_name: service.name,
            port: expose.port,
            external_port: expose.external,
            sharing_key,
            protocol,
        },
    };
    let name = names::leased_ip(sharing_key, protocol, expose.external);
    lease.custom(Kind::ProviderLeasedIp, name, &body)
}
