//! Builds groups and manifest from a document that keeps the rules.
//!
//! The surprising facts: volumes of equal size are written in reverse; and the numbers of leased addresses also count the
//! exposes between services, so that only their being different means anything.

use std::collections::{BTreeMap, HashMap};

use super::{
    cursor::Text,
    document::{Deployed, Document, Version},
    go_sort::go_sort,
    js::locale_compare,
    origin::{GroupOrigin, Origins, ServiceOrigin},
    profile,
    service::{self, Service},
};
use crate::{
    domain::{
        Attribute, Endpoint, EndpointKind, GroupSpec, Requirements, ResourceUnit, Resources, Volume,
    },
    manifest::{
        Dialect,
        canonical::{Field, Spelling},
        groups::SignerLists,
        model::{
            Credentials, Expose, Group, HttpOptions, List, Manifest, Mount, Permissions,
            ServiceParams, ServiceResources, ServiceVolume, Size, Tee, Units,
        },
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
    pub(super) signer_lists: Vec<SignerLists>,
    pub(super) manifest: Manifest,
    pub(super) origins: Origins,
    /// How the dialect writes the manifest that it hashes.
    pub(super) spelling: Spelling,
    /// Prices that are no amounts to the chain: group, unit, text.
    pub(super) odd_prices: Vec<(usize, usize, String)>,
}

/// A group in the making.
struct Draft {
    spec: GroupSpec,
    signer_lists: SignerLists,
    services: Vec<crate::manifest::Service>,
    origin: GroupOrigin,
    /// The unit of each compute profile, where services share them.
    shared: BTreeMap<String, usize>,
    /// Numbers that a manifest cannot hold, with their service.
    unfit: Vec<(usize, Field, String)>,
    odd_prices: Vec<(usize, String)>,
}

/// Everything that a service in a placement is built from.
struct Parts<'d> {
    document: &'d Document<'d>,
    name: &'d str,
    service: &'d Service<'d>,
    placement: &'d profile::Placement<'d>,
    deployed: &'d Deployed<'d>,
    price: &'d profile::Priced,
    compute: &'d profile::Resources<'d>,
}

/// Stands in for what a refused document lacks, so that what else is wrong with its services shows.
#[derive(Default)]
pub(super) struct StandIns {
    price: profile::Priced,
    compute: profile::Resources<'static>,
    placement: profile::Placement<'static>,
}

/// Builds both; what the rules would have refused is left out, or in part stood in for.
pub(super) fn build<'d>(document: &'d Document<'d>, stand_ins: Option<&'d StandIns>) -> Built {
    let numbers = address_numbers(document);
    let mut drafts: BTreeMap<&str, Draft> = BTreeMap::new();
    for (name, placements) in deployed_in_order(document) {
        for (placement_name, deployed) in placements {
            let found = Parts::find(document, name, placement_name, deployed, stand_ins);
            let Some(parts) = found else { continue };
            drafts
                .entry(placement_name)
                .or_insert_with(|| Draft::new(placement_name, parts.placement))
                .add(&parts, &numbers);
        }
    }
    Built::new(document.dialect, drafts.into_values())
}

impl Built {
    fn new(dialect: Dialect, drafts: impl Iterator<Item = Draft>) -> Self {
        let mut built = Self {
            groups: Vec::new(),
            signer_lists: Vec::new(),
            manifest: Manifest::default(),
            origins: Origins::default(),
            spelling: Spelling::of(dialect),
            odd_prices: Vec::new(),
        };
        let mut groups = Vec::new();
        for (index, mut draft) in drafts.enumerate() {
            if dialect.is_npm() {
                for unit in &mut draft.spec.units {
                    unit.resources
                        .endpoints
                        .sort_by_key(|endpoint| (endpoint.kind as u8, endpoint.sequence_number));
                }
            }
            for (service, field, text) in draft.unfit {
                built.spelling.unfit.insert((index, service, field), text);
            }
            let odd = draft.odd_prices.into_iter();
            built.odd_prices.extend(odd.map(|(unit, text)| (index, unit, text)));
            groups.push(Group { name: draft.spec.name.clone(), services: draft.services.into() });
            built.groups.push(draft.spec);
            built.signer_lists.push(draft.signer_lists);
            built.origins.groups.push(draft.origin);
        }
        built.manifest = Manifest::new(groups);
        built
    }
}

/// The placements of a service.
type Placements<'d> = BTreeMap<Text<'d>, Deployed<'d>>;

/// What is deployed, in the order in which resource units are made: by the bytes of the names, or as a dictionary has them.
fn deployed_in_order<'d>(document: &'d Document<'d>) -> Vec<(&'d str, &'d Placements<'d>)> {
    let deployment = document.deployment.iter();
    let mut deployed: Vec<_> = deployment.map(|(name, placements)| (&**name, placements)).collect();
    if document.dialect.is_npm() {
        deployed.sort_by(|(a, _), (b, _)| locale_compare(a, b));
    }
    deployed
}

impl<'d> Parts<'d> {
    fn find(
        document: &'d Document<'d>,
        name: &'d str,
        placement: &str,
        deployed: &'d Deployed<'d>,
        stand_ins: Option<&'d StandIns>,
    ) -> Option<Self> {
        let service = document.services.get(name)?;
        let placement = document.placements.get(placement);
        let placement = placement.or(stand_ins.map(|of| &of.placement))?;
        let price = placement.pricing.get(&deployed.profile).and_then(Option::as_ref);
        let price = price.or(stand_ins.map(|of| &of.price))?;
        let compute = document.compute.get(&deployed.profile);
        let compute = compute.and_then(|compute| compute.resources.as_ref());
        let compute = compute.or(stand_ins.map(|of| &of.compute))?;
        Some(Self { document, name, service, placement, deployed, price, compute })
    }
}

impl Draft {
    fn new(name: &str, placement: &profile::Placement<'_>) -> Self {
        Self {
            spec: GroupSpec {
                name: name.to_owned(),
                requirements: Requirements {
                    signed_by: placement.signed_by.clone(),
                    attributes: placement.attributes.clone(),
                },
                units: Vec::new(),
            },
            signer_lists: placement.signer_lists,
            services: Vec::new(),
            origin: GroupOrigin { placement: name.to_owned(), ..GroupOrigin::default() },
            shared: BTreeMap::new(),
            unfit: Vec::new(),
            odd_prices: Vec::new(),
        }
    }

    /// Adds a service, its unit and where both come from.
    fn add(&mut self, parts: &Parts<'_>, numbers: &HashMap<&str, u32>) {
        let Parts { document, service, deployed, compute, .. } = *parts;
        let dialect = document.dialect;
        let index = self.services.len();
        let exposes = exposes(dialect, service, numbers);
        let endpoints = match dialect {
            Dialect::Go => endpoints(exposes.iter().map(|(expose, _)| expose)),
            Dialect::Npm | Dialect::NpmHead => {
                endpoints(all_exposes(dialect, service, numbers).iter().map(|(expose, _)| expose))
            }
        };
        let resources = resources(dialect, compute, endpoints);
        let in_manifest = service_resources(&resources);
        let id = self.unit_for(parts, resources);
        self.require_tee(service);
        self.note_unfit(index, parts, &exposes);
        let (exposes, indexes) = exposes
            .into_iter()
            .map(|(expose, from)| (expose, from.index))
            .unzip::<_, _, Vec<_>, _>();
        let list = |items: &Option<Vec<Text<'_>>>| texts(dialect, items.as_deref());
        self.services.push(crate::manifest::Service {
            name: parts.name.to_owned(),
            image: service.image.to_string(),
            command: list(&service.command),
            args: list(&service.args),
            env: list(&service.env),
            resources: ServiceResources { id, ..in_manifest },
            count: deployed.count.nearest,
            expose: exposes.into(),
            params: service.params.as_ref().map(|found| params(dialect, found)),
            credentials: service
                .credentials
                .as_ref()
                .map(|found| credentials(dialect, document.version, found)),
        });
        self.origin.services.push(ServiceOrigin { name: parts.name.to_owned(), exposes: indexes });
    }

    /// Remembers the numbers that the manifest holds only nearly.
    fn note_unfit(
        &mut self,
        service: usize,
        parts: &Parts<'_>,
        exposes: &[(Expose, &service::Expose<'_>)],
    ) {
        let compute = parts.compute;
        let mut note = |field, text: Option<&String>| {
            self.unfit.extend(text.map(|text| (service, field, text.clone())));
        };
        note(Field::Count, parts.deployed.count.spelled.as_ref());
        note(Field::Cpu, compute.cpu.as_ref().and_then(|cpu| cpu.milli.spelled.as_ref()));
        note(Field::Memory, compute.memory.as_ref().and_then(|bytes| bytes.spelled.as_ref()));
        note(Field::Gpu, compute.gpu.as_ref().and_then(|gpu| gpu.units.spelled.as_ref()));
        for (index, disk) in compute.storage.iter().enumerate() {
            note(Field::Volume(index), disk.spelled.as_ref());
        }
        for (index, (_, from)) in exposes.iter().enumerate() {
            let spelled = |number: &'_ Option<_>| {
                number
                    .as_ref()
                    .and_then(|number: &super::cursor::Whole<u32>| number.spelled.clone())
            };
            note(Field::NextTries(index), spelled(&from.http.next_tries).as_ref());
            note(Field::NextTimeout(index), spelled(&from.http.next_timeout).as_ref());
        }
    }

    /// Adds replicas, to the unit of the same profile where the version or the dialect shares units; gives the unit's id.
    fn unit_for(&mut self, parts: &Parts<'_>, resources: Resources) -> u32 {
        let Parts { document, deployed, price, .. } = parts;
        let (profile, count) = (&*deployed.profile, deployed.count.nearest);
        let shares = document.version == Version::V21 || document.dialect.is_npm();
        if shares
            && let Some(index) = self.shared.get(profile)
            && let Some(unit) = self.spec.units.get_mut(*index)
        {
            unit.count = match document.dialect {
                Dialect::Go => unit.count.wrapping_add(count),
                Dialect::Npm | Dialect::NpmHead => unit.count.saturating_add(count),
            };
            unit.resources.endpoints.extend(resources.endpoints);
            go_sort(&mut unit.resources.endpoints, |a, b| a.sequence_number < b.sequence_number);
            return unit.resources.id;
        }
        let index = self.spec.units.len();
        let id = u32::try_from(index + 1).unwrap_or(u32::MAX);
        if shares {
            self.shared.insert(profile.to_owned(), index);
        }
        self.origin.profiles.push(profile.to_owned());
        self.odd_prices.extend(price.spelled.clone().map(|text| (index, text)));
        self.spec.units.push(ResourceUnit {
            resources: Resources { id, ..resources },
            count,
            price: price.price.clone(),
        });
        id
    }

    fn require_tee(&mut self, service: &Service<'_>) {
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

/// The number of each leased address: its last place, from 1, among the sorted names of the exposes that count: to Go all
/// that are not plainly global, so that those to other services, whose name is empty, push the numbers up; to npm those
/// that lease an address.
fn address_numbers<'d>(document: &'d Document<'_>) -> HashMap<&'d str, u32> {
    let go = document.dialect == Dialect::Go;
    let services = document.services.iter();
    let mut names: Vec<&str> = services
        .filter(|(name, _)| !go || document.deployment.contains_key(&***name))
        .flat_map(|(_, service)| &service.expose)
        .flat_map(|expose| &expose.to)
        .filter(|to| if go { !(to.global && to.ip.is_empty()) } else { to.is_leased() })
        .map(|to| &*to.ip)
        .collect();
    names.sort_unstable();
    names.into_iter().zip(1..).collect()
}

/// A list of texts: npm makes no difference between an empty one and none.
fn texts(dialect: Dialect, items: Option<&[Text<'_>]>) -> List<String> {
    items.filter(|items| dialect == Dialect::Go || !items.is_empty()).map(owned).into()
}

fn owned(texts: &[Text<'_>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// The manifest's exposes, sorted, each with what it comes from.
fn exposes<'d>(
    dialect: Dialect,
    service: &'d Service<'d>,
    numbers: &HashMap<&str, u32>,
) -> Vec<(Expose, &'d service::Expose<'d>)> {
    let mut exposes = all_exposes(dialect, service, numbers);
    match dialect {
        Dialect::Go => go_sort(&mut exposes, |(a, _), (b, _)| a.order() < b.order()),
        Dialect::Npm | Dialect::NpmHead => exposes.sort_by(|(a, _), (b, _)| {
            let rest = |of: &Expose| (of.port, of.proto == "UDP", !of.global);
            locale_compare(&a.service, &b.service).then_with(|| rest(a).cmp(&rest(b)))
        }),
    }
    exposes
}

/// The same in the document's order. To Go an expose to nobody is one to the group, to npm it is none.
fn all_exposes<'d>(
    dialect: Dialect,
    service: &'d Service<'d>,
    numbers: &HashMap<&str, u32>,
) -> Vec<(Expose, &'d service::Expose<'d>)> {
    let private = [service::To::default()];
    let mut exposes = Vec::new();
    for expose in &service.expose {
        let nobody = expose.to.is_empty() && dialect == Dialect::Go;
        let to = if nobody { &private[..] } else { &expose.to };
        exposes.extend(to.iter().map(|to| (one_expose(dialect, expose, to, numbers), expose)));
    }
    exposes
}

fn one_expose(
    dialect: Dialect,
    expose: &service::Expose<'_>,
    to: &service::To<'_>,
    numbers: &HashMap<&str, u32>,
) -> Expose {
    let number = if to.is_leased() { numbers.get(&*to.ip).copied() } else { None };
    let proto = if expose.proto.is_empty() { "TCP" } else { &expose.proto };
    Expose {
        port: expose.port,
        external_port: expose.external_port,
        proto: proto.to_ascii_uppercase(),
        service: to.service.to_string(),
        global: to.global,
        hosts: texts(dialect, expose.accept.as_deref()),
        http_options: http_options(dialect, &expose.http),
        ip: to.ip.to_string(),
        endpoint_sequence_number: number.unwrap_or_default(),
    }
}

/// What the document leaves out has defaults; so has, to Go, what it gives as zero or as an empty list.
fn http_options(dialect: Dialect, options: &service::HttpOptions<'_>) -> HttpOptions {
    let given = |value: Option<u32>| value.filter(|value| dialect.is_npm() || *value != 0);
    let whole = |value: &Option<super::cursor::Whole<u32>>| value.as_ref().map(|of| of.nearest);
    let cases = options.next_cases.as_deref();
    let cases = cases.filter(|of| dialect.is_npm() || !of.is_empty()).map(owned);
    HttpOptions {
        max_body_size: given(options.max_body_size).unwrap_or(MAX_BODY_SIZE),
        read_timeout: given(options.read_timeout).unwrap_or(TIMEOUT_MS),
        send_timeout: given(options.send_timeout).unwrap_or(TIMEOUT_MS),
        next_tries: given(whole(&options.next_tries)).unwrap_or(NEXT_TRIES),
        next_timeout: whole(&options.next_timeout).unwrap_or_default(),
        next_cases: cases.unwrap_or_else(|| NEXT_CASES.map(str::to_owned).to_vec()).into(),
        proxy_buffer_size: options.proxy_buffer_size.unwrap_or_default(),
    }
}

/// What the exposes take from the resource unit: each global one its port, then its leased address.
fn endpoints<'e>(exposes: impl Iterator<Item = &'e Expose>) -> Vec<Endpoint> {
    let of = |expose: &Expose| {
        let kind = expose.kind()?;
        let leased = (!expose.ip.is_empty()).then_some(Endpoint {
            kind: EndpointKind::LeasedIp,
            sequence_number: expose.endpoint_sequence_number,
        });
        Some([Some(Endpoint { kind, sequence_number: 0 }), leased])
    };
    exposes.filter_map(of).flatten().flatten().collect()
}

/// The unit's resources; its id comes later.
fn resources(
    dialect: Dialect,
    compute: &profile::Resources<'_>,
    endpoints: Vec<Endpoint>,
) -> Resources {
    let (cpu_milli, cpu_attributes) = match &compute.cpu {
        Some(cpu) => (cpu.milli.nearest, cpu.attributes.clone()),
        None => (0, Vec::new()),
    };
    let (gpu_units, gpu_attributes) = match &compute.gpu {
        Some(gpu) => (gpu.units.nearest, gpu.attributes.clone().unwrap_or_default()),
        None => (0, Vec::new()),
    };
    let volume = |disk: &profile::Disk<'_>| Volume {
        name: disk.name.to_string(),
        bytes: disk.bytes,
        attributes: disk.attributes.clone(),
    };
    let volumes = compute.storage.iter().map(volume).collect();
    Resources {
        id: 0,
        cpu_milli,
        cpu_attributes,
        memory_bytes: compute.memory.as_ref().map_or(0, |bytes| bytes.nearest),
        memory_attributes: Vec::new(),
        storage: if dialect == Dialect::Go { sorted_volumes(volumes) } else { volumes },
        gpu_units,
        gpu_attributes,
        endpoints,
    }
}

/// By size; within a size those without attributes, then ephemeral ones, both in reverse, then persistent ones by name.
fn sorted_volumes(mut volumes: Vec<Volume>) -> Vec<Volume> {
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

fn params(dialect: Dialect, params: &service::Params<'_>) -> ServiceParams {
    let mounts: Vec<Mount> = params
        .storage
        .iter()
        .map(|(name, mount)| Mount {
            name: name.to_string(),
            mount: mount.path.to_string(),
            read_only: mount.read_only,
        })
        .collect();
    ServiceParams {
        // The npm release writes no mounts as an empty list, everyone else as none.
        storage: (!mounts.is_empty() || dialect == Dialect::Npm).then_some(mounts).into(),
        credentials: None,
        permissions: params
            .permissions
            .as_deref()
            .map(|read| Permissions { read: owned(read).into() }),
        tee: (!params.tee.is_empty())
            .then(|| Tee { kind: params.tee.to_string(), attestation: true }),
    }
}

/// To Go version 2.0 forgets the address and version 2.1 trims everything; npm copies.
fn credentials(dialect: Dialect, version: Version, found: &Credentials) -> Credentials {
    match (dialect, version) {
        (Dialect::Npm | Dialect::NpmHead, _) => found.clone(),
        (Dialect::Go, Version::V20) => Credentials { email: String::new(), ..found.clone() },
        (Dialect::Go, Version::V21) => {
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
