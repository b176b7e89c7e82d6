//! `profiles`: what one replica gets, and where at which price.

use std::collections::{BTreeMap, HashSet};

use super::{
    cursor::Cursor,
    document::read_named,
    quantity::{self, Malformed},
};
use crate::{
    domain::{Attribute, Denom, Price, SignedBy, Volume},
    manifest::violation::{Violations, nearest_hint, quoted},
};

/// The name of a volume that has none.
const DEFAULT_VOLUME: &str = "default";

/// Storage classes that a document may name.
const STORAGE_CLASSES: [&str; 5] = ["default", "beta1", "beta2", "beta3", "ram"];

/// A compute profile; absent parts are refused where the profile is used.
#[derive(Debug, Default)]
pub(super) struct Compute {
    pub(super) resources: Option<Resources>,
}

/// What one replica gets.
#[derive(Debug, Default)]
pub(super) struct Resources {
    pub(super) cpu: Option<Cpu>,
    pub(super) memory: Option<u64>,
    /// In document order.
    pub(super) storage: Vec<Volume>,
    pub(super) gpu: Gpu,
}

/// Cores.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) milli: u32,
    pub(super) attributes: Vec<Attribute>,
}

/// GPUs.
#[derive(Debug, Default)]
pub(super) struct Gpu {
    pub(super) units: u64,
    pub(super) attributes: Vec<Attribute>,
}

/// A placement profile.
#[derive(Debug, Default)]
pub(super) struct Placement {
    /// Sorted by key.
    pub(super) attributes: Vec<Attribute>,
    pub(super) signed_by: SignedBy,
    /// Per compute profile; `None` where nothing usable stands.
    pub(super) pricing: BTreeMap<String, Option<Price>>,
}

impl Compute {
    pub(super) fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut compute = Self::default();
        for (name, value) in value.members(violations) {
            if name == "resources" && !value.is_null() {
                compute.resources = Some(Resources::read(&value, violations));
            }
        }
        compute
    }
}

impl Resources {
    fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut resources = Self::default();
        for (name, value) in value.members(violations) {
            if value.is_null() {
                continue;
            }
            match name.as_str() {
                "cpu" => resources.cpu = Some(Cpu::read(&value, violations)),
                "memory" => resources.memory = Some(read_memory(&value, violations)),
                "storage" => resources.storage = read_storage(&value, violations),
                "gpu" => resources.gpu = Gpu::read(&value, violations),
                _ => {}
            }
        }
        resources
    }
}

/// Reads a quantity from the text that stands there, whatever its type; null is nothing.
fn read_quantity<T: Default>(
    value: &Cursor<'_>,
    violations: &mut Violations,
    parse: fn(&str) -> Result<T, Malformed>,
) -> T {
    if value.is_null() {
        return T::default();
    }
    parse(value.raw()).unwrap_or_else(|malformed| {
        violations
            .add("bad-quantity", value.at(), malformed.message)
            .reference(malformed.reference);
        T::default()
    })
}

impl Cpu {
    fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut cpu = Self::default();
        for (name, value) in value.members(violations) {
            match name.as_str() {
                "units" => cpu.milli = read_quantity(&value, violations, quantity::cpu_milli),
                "attributes" if !value.is_null() => {
                    cpu.attributes = read_cpu_attributes(&value, violations);
                }
                _ => {}
            }
        }
        cpu
    }
}

fn read_cpu_attributes(value: &Cursor<'_>, violations: &mut Violations) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for (name, value) in value.raw_members(violations) {
        if name == "arch" {
            attributes.push(Attribute::new(name, value.text(violations).unwrap_or_default()));
        } else {
            let message = format!("CPU attribute {} is not known; known is \"arch\"", quoted(name));
            violations
                .add("unknown-attribute", value.at(), message)
                .reference(format!("unsupported cpu attribute {name:?}"));
        }
    }
    attributes
}

fn read_memory(value: &Cursor<'_>, violations: &mut Violations) -> u64 {
    let mut bytes = 0;
    for (name, value) in value.members(violations) {
        if name == "size" {
            bytes = read_quantity(&value, violations, quantity::bytes);
        }
    }
    bytes
}

/// A list of volumes, or a mapping for a single one, whose name then does not count.
fn read_storage(value: &Cursor<'_>, violations: &mut Violations) -> Vec<Volume> {
    if value.is_mapping() {
        let volume = read_volume(value, violations);
        return vec![Volume { name: DEFAULT_VOLUME.to_owned(), ..volume }];
    }
    let mut names = HashSet::new();
    let mut volumes = Vec::new();
    for item in value.all_items(violations).unwrap_or_default() {
        let mut volume = read_volume(&item, violations);
        if volume.name.is_empty() {
            DEFAULT_VOLUME.clone_into(&mut volume.name);
        }
        if !names.insert(volume.name.clone()) {
            let message = format!(
                "volume {} stands twice; a volume without a name is called \"default\"",
                quoted(&volume.name)
            );
            violations
                .add("duplicate-volume", item.at(), message)
                .reference("sdl: duplicated volume name");
        }
        volumes.push(volume);
    }
    volumes
}

fn read_volume(value: &Cursor<'_>, violations: &mut Violations) -> Volume {
    let mut volume = Volume { name: String::new(), bytes: 0, attributes: Vec::new() };
    for (name, value) in value.members(violations) {
        match name.as_str() {
            "name" => volume.name = value.text(violations).unwrap_or_default(),
            "size" => volume.bytes = read_quantity(&value, violations, quantity::bytes),
            "attributes" if !value.is_null() => {
                volume.attributes = read_volume_attributes(&value, violations);
            }
            _ => {}
        }
    }
    volume
}

/// Class and persistence. The class is judged by the spelling of `persistent`, not by its meaning: `yes` with no class
/// gets none, `off` with class `ram` is refused.
fn read_volume_attributes(value: &Cursor<'_>, violations: &mut Violations) -> Vec<Attribute> {
    let mut persistent = "false".to_owned();
    let mut class = None;
    for (name, value) in value.members(violations) {
        let text = value.text(violations).unwrap_or_default();
        match name.as_str() {
            "persistent" => persistent = text,
            "class" => class = Some(text),
            unknown => {
                let hint = nearest_hint(unknown, ["persistent", "class"].into_iter());
                let message = format!("storage attribute {} is not known{hint}", quoted(unknown));
                violations
                    .add("unknown-attribute", value.at(), message)
                    .reference(format!("sdl: unsupported storage attribute: {unknown}"));
            }
        }
    }
    let mut refuse = |message: &str, reference: &str| {
        violations.add("storage-attributes", value.at(), message).reference(reference);
    };
    match (class.as_deref().unwrap_or_default(), persistent.as_str()) {
        ("", "true") => class = Some("default".to_owned()),
        ("ram", spelling) if spelling != "false" => refuse(
            "storage of class ram cannot be persistent",
            "sdl: ram storage class cannot be persistent",
        ),
        ("" | "ram", _) => {}
        (_, "false") => refuse(
            "storage that is not persistent has no class; add persistent: true or remove the class",
            "sdl: ephemeral storage should not set attribute class",
        ),
        _ => {}
    }
    let persistent = match persistent.as_str() {
        "true" | "on" | "yes" => "true",
        "false" | "off" | "no" => "false",
        _ => {
            refuse(
                "persistent is neither true nor false",
                "sdl: invalid value for attribute \"persistent\". expected bool",
            );
            "false"
        }
    };
    if class.as_ref().is_some_and(|class| !STORAGE_CLASSES.contains(&class.as_str())) {
        refuse(
            "storage class is not known; known are default, beta1, beta2, beta3, ram",
            "sdl: invalid value for attribute class",
        );
    }
    let class = class.map(|class| Attribute::new("class", class));
    class.into_iter().chain([Attribute::new("persistent", persistent)]).collect()
}

impl Gpu {
    fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut gpu = Self::default();
        let mut has_attributes = false;
        for (name, value) in value.raw_members(violations) {
            match name {
                "units" => gpu.units = read_quantity(&value, violations, quantity::gpu_units),
                "attributes" if value.is_null() => has_attributes = false,
                "attributes" => {
                    has_attributes = true;
                    gpu.attributes = read_gpu_attributes(&value, violations);
                }
                _ => {
                    let hint = nearest_hint(name, ["units", "attributes"].into_iter());
                    violations
                        .add(
                            "unknown-attribute",
                            value.at(),
                            format!("GPU resource {} is not known{hint}", quoted(name)),
                        )
                        .reference(format!("sdl: unsupported field ({name}) for GPU resource"));
                }
            }
        }
        if gpu.units > 0 && !has_attributes {
            violations
                .add(
                    "gpu-attributes",
                    value.at(),
                    "GPU units need attributes that name a vendor, such as vendor: {nvidia: []}",
                )
                .reference("sdl: GPU attributes must be present if units > 0");
        }
        gpu
    }
}

/// Only the vendor `nvidia` is read; without a list of models any model will do.
fn read_gpu_attributes(value: &Cursor<'_>, violations: &mut Violations) -> Vec<Attribute> {
    let mut vendor = None;
    for (name, value) in value.raw_members(violations) {
        if name == "vendor" {
            vendor = (!value.is_null()).then_some(value);
        } else {
            let message =
                format!("GPU attribute {} is not known; known is \"vendor\"", quoted(name));
            violations
                .add("unknown-attribute", value.at(), message)
                .reference(format!("sdl: unsupported attribute ({name}) for GPU resource"));
        }
    }
    let Some(vendor) = vendor else {
        violations
            .add(
                "gpu-vendor",
                value.at(),
                "GPU attributes name no vendor; write vendor: {nvidia: []}",
            )
            .reference("sdl: invalid GPU attributes. at least one vendor must be set");
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (name, value) in vendor.members(violations) {
        if name == "nvidia" {
            for (_, model) in value.items(violations).unwrap_or_default() {
                keys.push(read_gpu_model(&model, violations));
            }
        }
    }
    if keys.is_empty() {
        keys.push("vendor/nvidia/model/*".to_owned());
    }
    keys.sort_unstable();
    keys.into_iter().map(|key| Attribute::new(key, "true")).collect()
}

fn read_gpu_model(value: &Cursor<'_>, violations: &mut Violations) -> String {
    let (mut model, mut ram, mut interface) = (String::new(), None, None);
    for (name, value) in value.members(violations) {
        if value.is_null() {
            continue;
        }
        match name.as_str() {
            "model" => model = value.text(violations).unwrap_or_default(),
            "ram" => ram = Some(read_quantity(&value, violations, quantity::gpu_ram_gib)),
            "interface" => interface = Some(read_gpu_interface(&value, violations)),
            _ => {}
        }
    }
    let ram = ram.map(|gib| format!("/ram/{gib}Gi")).unwrap_or_default();
    let interface = interface.map(|name| format!("/interface/{name}")).unwrap_or_default();
    format!("vendor/nvidia/model/{model}{ram}{interface}")
}

fn read_gpu_interface<'t>(value: &Cursor<'t>, violations: &mut Violations) -> &'t str {
    let name = value.raw();
    if !matches!(name, "pcie" | "sxm") {
        let message = format!("GPU interface {} is neither pcie nor sxm", quoted(name));
        violations
            .add("gpu-interface", value.at(), message)
            .reference(format!("sdl: invalid GPU interface {name}. expected \"pcie|sxm\""));
    }
    name
}

impl Placement {
    pub(super) fn read(value: &Cursor<'_>, violations: &mut Violations) -> Self {
        let mut placement = Self::default();
        for (name, value) in value.members(violations) {
            match name.as_str() {
                "attributes" => {
                    let mut attributes = BTreeMap::new();
                    read_named(&mut attributes, &value, violations, |value, violations| {
                        value.text(violations).unwrap_or_default()
                    });
                    placement.attributes = attributes
                        .into_iter()
                        .map(|(key, value)| Attribute::new(key, value))
                        .collect();
                }
                "signedBy" => placement.signed_by = read_signed_by(&value, violations),
                "pricing" => {
                    read_named(&mut placement.pricing, &value, violations, read_price);
                }
                _ => {}
            }
        }
        placement
    }
}

fn read_signed_by(value: &Cursor<'_>, violations: &mut Violations) -> SignedBy {
    let mut signed_by = SignedBy::default();
    for (name, value) in value.members(violations) {
        match name.as_str() {
            "allOf" => signed_by.all_of = value.texts(violations).unwrap_or_default(),
            "anyOf" => signed_by.any_of = value.texts(violations).unwrap_or_default(),
            _ => {}
        }
    }
    signed_by
}

fn read_price(value: &Cursor<'_>, violations: &mut Violations) -> Option<Price> {
    if value.is_null() {
        return None;
    }
    let (mut denom, mut amount) = (String::new(), String::new());
    for (name, value) in value.members(violations) {
        match name.as_str() {
            "denom" => denom = value.text(violations).unwrap_or_default(),
            "amount" => amount = value.text(violations).unwrap_or_default(),
            _ => {}
        }
    }
    let amount = quantity::price(&amount).map_err(|malformed| {
        violations.add("price", value.at(), malformed.message).reference(malformed.reference);
    });
    let denom = denom.parse::<Denom>().map_err(|error| {
        violations.add("denom", value.at(), error.to_string());
    });
    Some(Price { denom: denom.ok()?, amount: amount.ok()? })
}
