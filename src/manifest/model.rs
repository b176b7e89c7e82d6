//! The manifest as typed data: what runs where, in the shape of the JSON that tenants upload.
//!
//! The hash of a manifest is the hash of its JSON, so this model keeps every difference that the JSON shows: `null` and
//! `[]` are two values ([`List`]), a quantity may be absent, negative or larger than any machine ([`Quantity`]). Whether
//! it makes sense is [`super::check`]'s question; after that, [`Service::resources`] gives the market's own noun.

use std::{fmt, ops::Deref};

use ruint::aliases::U256;
use serde::{Serialize, Serializer};

use crate::domain::{self, Attribute, EndpointKind, Volume};

/// An array that is `null` in JSON when it was never given, unlike an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct List<T>(Option<Vec<T>>);

impl<T> List<T> {
    /// The list that was never given.
    pub const NULL: Self = Self(None);

    /// Whether the list was never given.
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// The list itself, empty from now on if it was `null`.
    pub(super) fn get_or_create(&mut self) -> &mut Vec<T> {
        self.0.get_or_insert_default()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::NULL
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Some(items))
    }
}

impl<T> From<Option<Vec<T>>> for List<T> {
    fn from(items: Option<Vec<T>>) -> Self {
        Self(items)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An integer of up to 256 bits with a sign, or none at all; a decimal string in JSON, where none reads `"0"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantity(Option<(Sign, U256)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

impl Quantity {
    /// The quantity as an ordinary number, if it is one.
    pub fn to_u64(self) -> Option<u64> {
        match self.0 {
            Some((Sign::Plus, magnitude)) => u64::try_from(magnitude).ok(),
            _ => None,
        }
    }

    /// A quantity read from a sign and a magnitude; there is no negative zero.
    pub(super) fn new(negative: bool, magnitude: U256) -> Self {
        let sign = if negative && !magnitude.is_zero() { Sign::Minus } else { Sign::Plus };
        Self(Some((sign, magnitude)))
    }
}

impl From<u64> for Quantity {
    fn from(value: u64) -> Self {
        Self::new(false, U256::from(value))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("0"),
            Some((Sign::Plus, magnitude)) => write!(f, "{magnitude}"),
            Some((Sign::Minus, magnitude)) => write!(f, "-{magnitude}"),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Decimal<'q>(&'q Quantity);

        impl Serialize for Decimal<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self.0)
            }
        }

        #[derive(Serialize)]
        struct Value<'q> {
            val: Decimal<'q>,
        }

        Value { val: Decimal(self) }.serialize(serializer)
    }
}

/// What a tenant uploads: the services of each placement group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Manifest {
    /// `null` is a manifest that decodes, though no valid one.
    pub(super) groups: List<Group>,
}

impl Manifest {
    /// The manifest of these groups.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { groups: groups.into() }
    }

    /// The groups, in the tenant's order.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of this name: a lease is for one group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

/// The services that run under one lease.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Group {
    /// The placement's name, the same as the on-chain group's.
    pub name: String,
    /// Sorted by name.
    pub services: List<Service>,
}

/// One container image and how it runs.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct Service {
    /// A DNS label.
    pub name: String,
    /// The container image.
    pub image: String,
    /// Replaces the image's entry point.
    pub command: List<String>,
    /// Arguments of the entry point.
    pub args: List<String>,
    /// `NAME=value`; values are secrets.
    pub env: List<String>,
    /// What one replica gets.
    pub resources: ServiceResources,
    /// How many replicas.
    pub count: u32,
    /// Ports, sorted by service, port, protocol, global first.
    pub expose: List<Expose>,
    /// Mounts, permissions, confidential computing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<ServiceParams>,
    /// Login at the image's registry.
    pub credentials: Option<Credentials>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("resources", &self.resources)
            .field("count", &self.count)
            .field("expose", &self.expose)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// The exposes that the cluster's shared HTTP entrance serves.
    pub fn ingresses(&self) -> impl Iterator<Item = &Expose> {
        self.expose.iter().filter(|expose| expose.is_ingress())
    }

    /// The hostnames that the tenant asks for.
    pub fn hostnames(&self) -> impl Iterator<Item = &str> {
        self.ingresses().flat_map(|expose| expose.hosts.iter().map(String::as_str))
    }

    /// One replica's resources as the market counts them; `None` when a part is missing or out of range, which a
    /// manifest that passed [`Manifest::check_against`] never is.
    pub fn resources(&self) -> Option<domain::Resources> {
        let ServiceResources { id, cpu, memory, storage, gpu, endpoints } = &self.resources;
        let (cpu, memory, gpu) = (cpu.as_ref()?, memory.as_ref()?, gpu.as_ref()?);
        let volume = |volume: &ServiceVolume| {
            Some(Volume {
                name: volume.name.clone(),
                bytes: volume.size.to_u64()?,
                attributes: volume.attributes.clone(),
            })
        };
        Some(domain::Resources {
            id: *id,
            cpu_milli: cpu.units.to_u64()?,
            cpu_attributes: cpu.attributes.clone(),
            memory_bytes: memory.size.to_u64()?,
            memory_attributes: memory.attributes.clone(),
            storage: storage.iter().map(volume).collect::<Option<_>>()?,
            gpu_units: gpu.units.to_u64()?,
            gpu_attributes: gpu.attributes.clone(),
            endpoints: endpoints
                .iter()
                .map(|endpoint| endpoint.to_domain())
                .collect::<Option<_>>()?,
        })
    }
}

/// The resources of one replica as the manifest writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ServiceResources {
    /// The resource unit of the on-chain group that this service takes replicas of.
    pub id: u32,
    /// Thousandths of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Units>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Volumes, in the order of the on-chain unit's.
    #[serde(skip_serializing_if = "list_is_empty")]
    pub storage: List<ServiceVolume>,
    /// Pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Units>,
    /// How the replica is reached from outside; informative, the exposes decide.
    pub endpoints: List<ServiceEndpoint>,
}

/// A number of CPU or GPU units.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Units {
    /// How many.
    pub units: Quantity,
    /// Of which kind.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "attributes")]
    pub attributes: Vec<Attribute>,
}

/// An amount of memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Size {
    /// Bytes.
    pub size: Quantity,
    /// Of which kind.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "attributes")]
    pub attributes: Vec<Attribute>,
}

/// A storage volume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ServiceVolume {
    /// Unique within the service.
    pub name: String,
    /// Bytes.
    pub size: Quantity,
    /// `persistent` and `class`, or none.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "attributes")]
    pub attributes: Vec<Attribute>,
}

/// An endpoint as the manifest writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ServiceEndpoint {
    /// The chain's number of the kind, absent when 0.
    #[serde(skip_serializing_if = "is_zero_kind")]
    pub kind: i32,
    /// Which leased address, 0 for the other kinds.
    pub sequence_number: u32,
}

impl ServiceEndpoint {
    fn to_domain(self) -> Option<domain::Endpoint> {
        let kind = match self.kind {
            0 => EndpointKind::SharedHttp,
            1 => EndpointKind::RandomPort,
            2 => EndpointKind::LeasedIp,
            _ => return None,
        };
        Some(domain::Endpoint { kind, sequence_number: self.sequence_number })
    }
}

impl From<domain::Endpoint> for ServiceEndpoint {
    fn from(endpoint: domain::Endpoint) -> Self {
        let kind = match endpoint.kind {
            EndpointKind::SharedHttp => 0,
            EndpointKind::RandomPort => 1,
            EndpointKind::LeasedIp => 2,
        };
        Self { kind, sequence_number: endpoint.sequence_number }
    }
}

/// One way to reach a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expose {
    /// The container's port.
    pub port: u32,
    /// The port that others see; 0 means the same.
    pub external_port: u32,
    /// `TCP` or `UDP`.
    pub proto: String,
    /// The service that may connect; empty for every service of the group.
    pub service: String,
    /// Whether the world may connect.
    pub global: bool,
    /// Hostnames, for HTTP.
    pub hosts: List<String>,
    /// How the HTTP entrance treats requests.
    pub http_options: HttpOptions,
    /// The name of a leased address, or empty.
    pub ip: String,
    /// The number of that address.
    pub endpoint_sequence_number: u32,
}

impl Expose {
    /// The port that others see.
    pub fn external_port(&self) -> u32 {
        if self.external_port == 0 { self.port } else { self.external_port }
    }

    /// Whether the cluster's shared HTTP entrance serves this: TCP, global, external port 80.
    pub fn is_ingress(&self) -> bool {
        self.kind() == Some(EndpointKind::SharedHttp)
    }

    /// The endpoint that this takes from the resource unit, beside a leased address; `None` when it is not global.
    pub fn kind(&self) -> Option<EndpointKind> {
        match (self.global, self.proto == "TCP" && self.external_port() == 80) {
            (false, _) => None,
            (true, true) => Some(EndpointKind::SharedHttp),
            (true, false) => Some(EndpointKind::RandomPort),
        }
    }
}

/// How the HTTP entrance treats requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpOptions {
    /// Bytes.
    pub max_body_size: u32,
    /// Milliseconds.
    pub read_timeout: u32,
    /// Milliseconds.
    pub send_timeout: u32,
    /// How often the next replica is tried.
    pub next_tries: u32,
    /// Milliseconds; 0 is no limit.
    pub next_timeout: u32,
    /// When the next replica is tried.
    #[serde(skip_serializing_if = "list_is_empty")]
    pub next_cases: List<String>,
    /// Bytes; 0 is the entrance's default.
    #[serde(skip_serializing_if = "is_zero")]
    pub proxy_buffer_size: u32,
}

/// What else a service asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ServiceParams {
    /// Where volumes are mounted.
    pub storage: List<Mount>,
    /// Login at the image's registry; no SDL writes it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What the service may read about its own lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// Confidential computing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tee: Option<Tee>,
}

/// Where a volume is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// The volume.
    pub name: String,
    /// An absolute path.
    pub mount: String,
    /// Whether the service cannot write.
    pub read_only: bool,
}

/// What a service may read about its own lease.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Permissions {
    /// `deployment`, `logs`, `events`.
    #[serde(skip_serializing_if = "list_is_empty")]
    pub read: List<String>,
}

/// Confidential computing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Tee {
    /// `cpu` or `cpu-gpu`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether an attestation sidecar runs.
    pub attestation: bool,
}

/// Login at an image registry.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct Credentials {
    /// The registry.
    pub host: String,
    /// The account's address, if the registry wants one.
    pub email: String,
    /// The account.
    pub username: String,
    /// Secret.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("host", &self.host).finish_non_exhaustive()
    }
}

fn list_is_empty<T>(list: &List<T>) -> bool {
    list.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero_kind(value: &i32) -> bool {
    *value == 0
}

/// Attributes leave out an empty key or value, unlike the domain's own JSON.
fn attributes<S: Serializer>(attributes: &[Attribute], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Sparse<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        key: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        value: &'a str,
    }
    serializer.collect_seq(attributes.iter().map(|Attribute { key, value }| Sparse { key, value }))
}
