//! Builds groups and manifest from a document that keeps the rules.
//!
//! The surprising facts: volumes of equal size are written in reverse; and the numbers of leased addresses also count the
//! exposes between services, so that only their being different means anything.

use std::collections::{BTreeMap, HashMap};

use super::{
    document::{Document, Version},
    go_sort::go_sort,
    origin::{GroupOrigin, Origins, ServiceOrigin},
    profile,
    service::{self, Service},
};
use crate::{
    domain::{
        Attribute, Endpoint, EndpointKind, GroupSpec, Price, Requirements, ResourceUnit, Resources,
        Volume,
    },
    manifest::model::{
        Credentials, Expose, Group, HttpOptions, Manifest, Mount, Permissions, ServiceParams,
        ServiceResources, ServiceVolume, Size, Tee, Units,
    },
};

/// The attribute that a group with confidential computing requires.
const TEE_ATTRIBUTE: &str = "tee/type";

/// The manifest's defaults where the document is silent.
const MAX_BODY_SIZE: u32 = 1 << 20;
const TIMEOUT_MS: u32 = 60_000;
const NEXT_TRIES: u32 = 3;
const NEXT_CASES: [&str; 2] = ["error", "timeout"];

/// What is built, and where each part of it comes from.
pub(super) struct Built {
    pub(super) groups: Vec<GroupSpec>,
    pub(super) manifest: Manifest,
    pub(super) origins: Origins,
}

/// A group in the making.
struct Draft {
    spec: GroupSpec,
    services: Vec<crate::manifest::Service>,
    origin: GroupOrigin,
    /// The unit of each compute profile, where services share them.
    shared: HashMap<String, usize>,
}

/// Builds both; what the rules would have refused is left out.
pub(super) fn build(document: &Document) -> Built {
    let numbers = address_numbers(document);
    let mut drafts: BTreeMap<&str, Draft> = BTreeMap::new();
    for (service_name, placements) in &document.deployment {
        let Some(service) = document.services.get(service_name) else { continue };
        for (placement_name, deployed) in placements {
            let parts = document.placements.get(placement_name).and_then(|placement| {
                let price = placement.pricing.get(&deployed.profile)?.as_ref()?;
                let compute = document.compute.get(&deployed.profile)?.resources.as_ref()?;
                Some((placement, price, compute))
            });
            let Some((placement, price, compute)) = parts else { continue };
            let draft = drafts
                .entry(placement_name)
                .or_insert_with(|| Draft::new(placement_name, placement));
            let (exposes, indexes) = exposes(service, &numbers);
            let resources = resources(compute, endpoints(&exposes));
            let id = draft.unit_for(
                document.version,
                &deployed.profile,
                resources.clone(),
                deployed.count,
                price,
            );
            draft.require_tee(service);
            draft.services.push(crate::manifest::Service {
                name: service_name.clone(),
                image: service.image.clone(),
                command: service.command.clone().into(),
                args: service.args.clone().into(),
                env: service.env.clone().into(),
                resources: ServiceResources { id, ..service_resources(&resources) },
                count: deployed.count,
                expose: exposes.into(),
                params: service.params.as_ref().map(params),
                credentials: service
                    .credentials
                    .as_ref()
                    .map(|found| credentials(document.version, found)),
            });
            draft
                .origin
                .services
                .push(ServiceOrigin { name: service_name.clone(), exposes: indexes });
        }
    }
    let mut built =
        Built { groups: Vec::new(), manifest: Manifest::default(), origins: Origins::default() };
    let mut groups = Vec::new();
    for draft in drafts.into_values() {
        groups.push(Group { name: draft.spec.name.clone(), services: draft.services.into() });
        built.groups.push(draft.spec);
        built.origins.groups.push(draft.origin);
    }
    built.manifest = Manifest::new(groups);
    built
}

impl Draft {
    fn new(name: &str, placement: &profile::Placement) -> Self {
        Self {
            spec: GroupSpec {
                name: name.to_owned(),
                requirements: Requirements {
                    signed_by: placement.signed_by.clone(),
                    attributes: placement.attributes.clone(),
                },
                units: Vec::new(),
            },
            services: Vec::new(),
            origin: GroupOrigin { placement: name.to_owned(), ..GroupOrigin::default() },
            shared: HashMap::new(),
        }
    }

    /// Adds replicas, to the unit of the same profile where the version shares units; gives the unit's id.
    fn unit_for(
        &mut self,
        version: Version,
        profile: &str,
        resources: Resources,
        count: u32,
        price: &Price,
    ) -> u32 {
        if version == Version::V21
            && let Some(index) = self.shared.get(profile)
            && let Some(unit) = self.spec.units.get_mut(*index)
        {
            unit.count = unit.count.wrapping_add(count);
            unit.resources.endpoints.extend(resources.endpoints);
            go_sort(&mut unit.resources.endpoints, |a, b| a.sequence_number < b.sequence_number);
            return unit.resources.id;
        }
        let index = self.spec.units.len();
        let id = u32::try_from(index + 1).unwrap_or(u32::MAX);
        self.shared.insert(profile.to_owned(), index);
        self.origin.profiles.push(profile.to_owned());
        self.spec.units.push(ResourceUnit {
            resources: Resources { id, ..resources },
            count,
            price: price.clone(),
        });
        id
    }

    fn require_tee(&mut self, service: &Service) {
        let Some(params) = service.params.as_ref().filter(|params| !params.tee.is_empty()) else {
            return;
        };
        let required = Attribute::new(TEE_ATTRIBUTE, &*params.tee);
        let attributes = &mut self.spec.requirements.attributes;
        if !attributes.contains(&required) {
            attributes.push(required);
            attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
}

/// The number of each leased address: its last place, from 1, among the sorted names of all exposes that are not plainly
/// global. Exposes to other services have the empty name, so they push the numbers up.
fn address_numbers(document: &Document) -> HashMap<&str, u32> {
    let deployed = document.deployment.keys().filter_map(|name| document.services.get(name));
    let mut names: Vec<&str> = deployed
        .flat_map(|service| &service.expose)
        .flat_map(|expose| &expose.to)
        .filter(|to| !(to.global && to.ip.is_empty()))
        .map(|to| to.ip.as_str())
        .collect();
    names.sort_unstable();
    names.into_iter().zip(1..).collect()
}

/// The manifest's exposes, sorted, and the place of each in the document's list.
fn exposes(service: &Service, numbers: &HashMap<&str, u32>) -> (Vec<Expose>, Vec<usize>) {
    let private = [service::To::default()];
    let mut exposes: Vec<(Expose, usize)> = Vec::new();
    for expose in &service.expose {
        let to = if expose.to.is_empty() { &private[..] } else { &expose.to };
        exposes.extend(to.iter().map(|to| (one_expose(expose, to, numbers), expose.index)));
    }
    go_sort(&mut exposes, |(a, _), (b, _)| a.order() < b.order());
    exposes.into_iter().unzip()
}

fn one_expose(expose: &service::Expose, to: &service::To, numbers: &HashMap<&str, u32>) -> Expose {
    let leased = to.global && !to.ip.is_empty();
    let number = if leased { numbers.get(to.ip.as_str()).copied() } else { None };
    let proto = if expose.proto.is_empty() { "TCP" } else { &expose.proto };
    Expose {
        port: expose.port,
        external_port: expose.external_port,
        proto: proto.to_ascii_uppercase(),
        service: to.service.clone(),
        global: to.global,
        hosts: expose.accept.clone().into(),
        http_options: http_options(&expose.http),
        ip: to.ip.clone(),
        endpoint_sequence_number: number.unwrap_or_default(),
    }
}

fn http_options(options: &service::HttpOptions) -> HttpOptions {
    let or = |value: u32, default| if value == 0 { default } else { value };
    let next_cases = if options.next_cases.is_empty() {
        NEXT_CASES.map(str::to_owned).to_vec()
    } else {
        options.next_cases.clone()
    };
    HttpOptions {
        max_body_size: or(options.max_body_size, MAX_BODY_SIZE),
        read_timeout: or(options.read_timeout, TIMEOUT_MS),
        send_timeout: or(options.send_timeout, TIMEOUT_MS),
        next_tries: or(options.next_tries, NEXT_TRIES),
        next_timeout: options.next_timeout,
        next_cases: next_cases.into(),
        proxy_buffer_size: options.proxy_buffer_size,
    }
}

/// What the exposes take from the resource unit: each global one its port, then its leased address.
fn endpoints(exposes: &[Expose]) -> Vec<Endpoint> {
    let of = |expose: &Expose| {
        let kind = expose.kind()?;
        let leased = (!expose.ip.is_empty()).then_some(Endpoint {
            kind: EndpointKind::LeasedIp,
            sequence_number: expose.endpoint_sequence_number,
        });
        Some([Some(Endpoint { kind, sequence_number: 0 }), leased])
    };
    exposes.iter().filter_map(of).flatten().flatten().collect()
}

/// The unit's resources; its id comes later.
fn resources(compute: &profile::Resources, endpoints: Vec<Endpoint>) -> Resources {
    let (milli, cpu_attributes) =
        compute.cpu.as_ref().map_or((0, Vec::new()), |cpu| (cpu.milli, cpu.attributes.clone()));
    Resources {
        id: 0,
        cpu_milli: milli.into(),
        cpu_attributes,
        memory_bytes: compute.memory.unwrap_or_default(),
        memory_attributes: Vec::new(),
        storage: sorted_volumes(&compute.storage),
        gpu_units: compute.gpu.units,
        gpu_attributes: compute.gpu.attributes.clone(),
        endpoints,
    }
}

/// By size; within a size those without attributes, then ephemeral ones, both in reverse, then persistent ones by name.
fn sorted_volumes(volumes: &[Volume]) -> Vec<Volume> {
    let mut volumes = volumes.to_vec();
    volumes.reverse();
    volumes.sort_by(|a, b| {
        let key = |volume: &Volume| {
            let rank = match volume.attribute("persistent") {
                None => 0,
                Some("true") => 2,
                Some(_) => 1,
            };
            (volume.bytes, rank)
        };
        let by_name = if key(a).1 == 2 { a.name.cmp(&b.name) } else { std::cmp::Ordering::Equal };
        key(a).cmp(&key(b)).then(by_name)
    });
    volumes
}

/// The unit's resources as the manifest writes them.
fn service_resources(resources: &Resources) -> ServiceResources {
    let units = |units: u64, attributes: &[Attribute]| {
        Some(Units { units: units.into(), attributes: attributes.to_vec() })
    };
    let volumes: Vec<ServiceVolume> = resources
        .storage
        .iter()
        .map(|volume| ServiceVolume {
            name: volume.name.clone(),
            size: volume.bytes.into(),
            attributes: volume.attributes.clone(),
        })
        .collect();
    let endpoints: Vec<_> = resources.endpoints.iter().map(|endpoint| (*endpoint).into()).collect();
    ServiceResources {
        id: resources.id,
        cpu: units(resources.cpu_milli, &resources.cpu_attributes),
        memory: Some(Size { size: resources.memory_bytes.into(), attributes: Vec::new() }),
        storage: volumes.into(),
        gpu: units(resources.gpu_units, &resources.gpu_attributes),
        endpoints: endpoints.into(),
    }
}

fn params(params: &service::Params) -> ServiceParams {
    let mounts: Vec<Mount> = params
        .storage
        .iter()
        .map(|(name, mount)| Mount {
            name: name.clone(),
            mount: mount.path.clone(),
            read_only: mount.read_only,
        })
        .collect();
    ServiceParams {
        storage: (!mounts.is_empty()).then_some(mounts).into(),
        credentials: None,
        permissions: params.permissions.clone().map(|read| Permissions { read: read.into() }),
        tee: (!params.tee.is_empty()).then(|| Tee { kind: params.tee.clone(), attestation: true }),
    }
}

/// Version 2.0 forgets the address, version 2.1 trims everything.
fn credentials(version: Version, found: &Credentials) -> Credentials {
    match version {
        Version::V20 => Credentials { email: String::new(), ..found.clone() },
        Version::V21 => {
            let trimmed = |text: &str| text.trim().to_owned();
            Credentials {
                host: trimmed(&found.host),
                email: trimmed(&found.email),
                username: trimmed(&found.username),
                password: trimmed(&found.password),
            }
        }
    }
}
