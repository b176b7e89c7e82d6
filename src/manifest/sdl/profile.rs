//! `profiles`: what one replica gets, and where at which price.

use std::collections::{BTreeMap, HashSet};

use super::{
    cursor::{Cursor, Shape, Text, Whole},
    document::read_named,
    gpu::Gpu,
    js::{self, JsValue},
    quantity::{self, Malformed},
};
use crate::{
    domain::{Amount, Attribute, Denom, Price, SignedBy},
    manifest::{
        Dialect,
        groups::SignerLists,
        violation::{Violations, nearest_hint, quoted},
    },
};

/// The name of a volume that has none.
const DEFAULT_VOLUME: &str = "default";

/// Storage classes that a document may name.
const STORAGE_CLASSES: [&str; 5] = ["default", "beta1", "beta2", "beta3", "ram"];

/// What the schema that npm checks allows in each mapping of the profiles.
const COMPUTE: Shape = Shape { fields: &["resources"], later: &[], required: &["resources"] };
const RESOURCES: Shape = Shape {
    fields: &["cpu", "gpu", "memory", "storage"],
    later: &[],
    required: &["cpu", "memory", "storage"],
};
const CPU: Shape = Shape { fields: &["attributes", "units"], later: &[], required: &["units"] };
const MEMORY: Shape = Shape { fields: &["size"], later: &[], required: &["size"] };
const VOLUME: Shape =
    Shape { fields: &["attributes", "name", "size"], later: &[], required: &["size"] };
const PLACEMENT: Shape =
    Shape { fields: &["attributes", "pricing", "signedBy"], later: &[], required: &["pricing"] };
const SIGNED_BY: Shape = Shape { fields: &["allOf", "anyOf"], later: &[], required: &[] };
const PRICE: Shape =
    Shape { fields: &["amount", "denom"], later: &[], required: &["amount", "denom"] };

/// The stablecoin that the release takes beside the chain's own coins.
const USDC: &str = "ibc/170C677610AC31DF0904FFE09CD3B5C657492170E7E52372E48756B71E56F2F1";

/// A compute profile; absent parts are refused where the profile is used.
#[derive(Debug, Default)]
pub(super) struct Compute<'t> {
    pub(super) resources: Option<Resources<'t>>,
}

/// What one replica gets.
#[derive(Debug, Default)]
pub(super) struct Resources<'t> {
    pub(super) cpu: Option<Cpu>,
    pub(super) memory: Option<Whole<u64>>,
    /// In document order.
    pub(super) storage: Vec<Disk<'t>>,
    pub(super) gpu: Option<Gpu>,
}

/// Cores.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) milli: Whole<u64>,
    pub(super) attributes: Vec<Attribute>,
}

/// A volume.
#[derive(Debug)]
pub(super) struct Disk<'t> {
    /// `default` where the document gives none.
    pub(super) name: Text<'t>,
    pub(super) bytes: u64,
    pub(super) attributes: Vec<Attribute>,
    /// Whether the document gives the name.
    pub(super) named: bool,
    /// Whether it outlives its replica, so that it must be mounted somewhere.
    pub(super) persistent: bool,
    /// The size's text, where npm writes one that is no whole number of bytes.
    pub(super) spelled: Option<String>,
}

/// A placement profile.
#[derive(Debug, Default)]
pub(super) struct Placement<'t> {
    /// Sorted by key.
    pub(super) attributes: Vec<Attribute>,
    pub(super) signed_by: SignedBy,
    pub(super) signer_lists: SignerLists,
    /// Per compute profile; `None` where nothing usable stands.
    pub(super) pricing: BTreeMap<Text<'t>, Option<Priced>>,
}

/// What one replica costs for a block.
#[derive(Debug, Clone)]
pub(super) struct Priced {
    pub(super) price: Price,
    /// The amount's text, where npm takes one that is no amount.
    pub(super) spelled: Option<String>,
}

impl Default for Priced {
    fn default() -> Self {
        Self { price: Price { denom: Denom::uakt(), amount: Amount::ZERO }, spelled: None }
    }
}

impl<'t> Compute<'t> {
    pub(super) fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut compute = Self::default();
        for (name, value) in value.fields(&COMPUTE, violations) {
            if name == "resources" && !value.is_absent() {
                compute.resources = Some(Resources::read(&value, violations));
            }
        }
        compute
    }
}

impl<'t> Resources<'t> {
    fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut resources = Self::default();
        for (name, value) in value.fields(&RESOURCES, violations) {
            if value.is_absent() {
                continue;
            }
            match &*name {
                "cpu" => resources.cpu = Some(Cpu::read(&value, violations)),
                "memory" => resources.memory = Some(read_memory(&value, violations)),
                "storage" => resources.storage = read_storage(&value, violations),
                "gpu" => resources.gpu = Some(Gpu::read(&value, violations)),
                _ => {}
            }
        }
        resources
    }
}

/// Reads a quantity from the text that stands there, whatever its type; null is nothing.
pub(super) fn read_quantity<T: Default>(
    value: &Cursor<'_, '_>,
    violations: &mut Violations,
    parse: impl FnOnce(&str) -> Result<T, Malformed>,
) -> T {
    if value.is_null() || value.refuse_false_null(violations) {
        return T::default();
    }
    parse(value.raw()).unwrap_or_else(|malformed| {
        violations
            .add("bad-quantity", value.at(), malformed.message)
            .reference(malformed.reference);
        T::default()
    })
}

/// Reads a quantity from the value that JavaScript has there.
pub(super) fn read_js_quantity(
    value: &Cursor<'_, '_>,
    violations: &mut Violations,
    parse: fn(&JsValue<'_>) -> Result<f64, &'static str>,
) -> Whole<u64> {
    match value.js().ok_or("a number or text").and_then(|found| parse(&found)) {
        Ok(number) => quantity::whole(number),
        Err(wanted) => {
            value.refuse(wanted, violations);
            Whole::default()
        }
    }
}

impl Cpu {
    fn read(value: &Cursor<'_, '_>, violations: &mut Violations) -> Self {
        let mut cpu = Self::default();
        for (name, value) in value.fields(&CPU, violations) {
            match (&*name, value.dialect()) {
                ("units", Dialect::Go) => {
                    cpu.milli =
                        u64::from(read_quantity(&value, violations, quantity::cpu_milli)).into();
                }
                ("units", _) => {
                    cpu.milli = read_js_quantity(&value, violations, quantity::js_cpu_milli);
                }
                ("attributes", Dialect::Go) if value.is_null() => {}
                ("attributes", Dialect::Go) => {
                    cpu.attributes = read_cpu_attributes(&value, violations);
                }
                ("attributes", _) => cpu.attributes = read_js_attributes(&value, violations),
                _ => {}
            }
        }
        cpu
    }
}

/// To Go a CPU has one attribute at most, `arch`.
fn read_cpu_attributes(value: &Cursor<'_, '_>, violations: &mut Violations) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    let known = Shape { fields: &["arch"], later: &[], required: &[] };
    for (name, value) in value.raw_fields(&known, violations) {
        if name == "arch" {
            attributes.push(Attribute::new(name, value.text(violations).unwrap_or_default()));
        } else {
            let message =
                format!("CPU attribute {} is not known; known is \"arch\"", quoted(&name));
            violations
                .add("unknown-attribute", value.at(), message)
                .reference(format!("unsupported cpu attribute {name:?}"));
        }
    }
    attributes
}

/// To npm attributes have any names and values, which become texts, in the order of a dictionary.
fn read_js_attributes(value: &Cursor<'_, '_>, violations: &mut Violations) -> Vec<Attribute> {
    let members = value.members(violations);
    let mut attributes: Vec<Attribute> = members
        .into_iter()
        .map(|(key, value)| Attribute::new(key, value.js_text(violations)))
        .collect();
    attributes.sort_by(|a, b| js::locale_compare(&a.key, &b.key));
    attributes
}

fn read_size(value: &Cursor<'_, '_>, violations: &mut Violations) -> Whole<u64> {
    match value.dialect() {
        Dialect::Go => read_quantity(value, violations, quantity::bytes).into(),
        Dialect::Npm | Dialect::NpmHead => read_js_quantity(value, violations, quantity::js_bytes),
    }
}

fn read_memory(value: &Cursor<'_, '_>, violations: &mut Violations) -> Whole<u64> {
    let mut bytes = Whole::default();
    for (name, value) in value.fields(&MEMORY, violations) {
        if name == "size" {
            bytes = read_size(&value, violations);
        }
    }
    bytes
}

/// A list of volumes, or a mapping for a single one, whose name then does not count to Go.
fn read_storage<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> Vec<Disk<'t>> {
    if value.is_mapping() {
        let mut disk = read_disk(value, violations);
        if value.dialect() == Dialect::Go {
            disk.name = DEFAULT_VOLUME.into();
            disk.named = true;
        }
        return vec![disk];
    }
    let mut names = HashSet::new();
    let mut disks = Vec::new();
    for item in value.all_items(violations).into_iter().flatten() {
        let disk = read_disk(&item, violations);
        let name = &disk.name;
        if value.dialect() == Dialect::Go && !names.insert(name.clone()) {
            let message = format!(
                "volume {} stands twice; a volume without a name is called \"default\"",
                quoted(name)
            );
            violations
                .add("duplicate-volume", item.at(), message)
                .reference("sdl: duplicated volume name");
        }
        disks.push(disk);
    }
    disks
}

fn read_disk<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> Disk<'t> {
    let mut name = None;
    let (mut size, mut attributes, mut persistent) = (Whole::default(), Vec::new(), false);
    for (field, value) in value.fields(&VOLUME, violations) {
        match &*field {
            "name" => name = value.text(violations).filter(|name| !name.is_empty()),
            "size" => size = read_size(&value, violations),
            "attributes" if !value.is_absent() => {
                (attributes, persistent) = match value.dialect() {
                    Dialect::Go => read_volume_attributes(&value, violations),
                    Dialect::Npm | Dialect::NpmHead => {
                        read_js_volume_attributes(&value, violations)
                    }
                };
            }
            _ => {}
        }
    }
    // A volume of the name `default` is named to Go either way.
    let named = name.is_some() || value.dialect() == Dialect::Go;
    let name = name.unwrap_or(DEFAULT_VOLUME.into());
    Disk { name, bytes: size.nearest, attributes, named, persistent, spelled: size.spelled }
}

/// npm's rules of class and persistence: the release only keeps `ram` from being persistent; since then both must stand
/// there, and the other classes must be persistent.
fn read_js_volume_attributes(
    value: &Cursor<'_, '_>,
    violations: &mut Violations,
) -> (Vec<Attribute>, bool) {
    let (mut persistent, mut class) = (None, None);
    let shape = Shape { fields: &["class", "persistent"], later: &[], required: &[] };
    for (name, value) in value.fields(&shape, violations) {
        match (&*name, value.js()) {
            ("class", _) => class = value.text(violations),
            ("persistent", Some(JsValue::Bool(truth))) => {
                persistent = Some(if truth { "true" } else { "false" }.into());
            }
            ("persistent", Some(JsValue::Text(text))) => persistent = Some(text.into()),
            ("persistent", _) => value.refuse("true, false or text", violations),
            _ => {}
        }
    }
    let mut refuse = |message: &str| {
        violations.add("storage-attributes", value.at(), message);
    };
    let is_true = persistent.as_deref() == Some("true");
    if class.as_deref() == Some("ram") && is_true {
        refuse("storage of class ram cannot be persistent");
    }
    if value.dialect() == Dialect::NpmHead {
        if class.is_none() || persistent.is_none() {
            refuse("attributes of storage need both class and persistent");
        }
        let lasting = matches!(class.as_deref(), Some("beta1" | "beta2" | "beta3" | "default"));
        if lasting && !is_true {
            refuse("storage of this class must be persistent");
        }
    }
    if class.as_deref() == Some("ram") && persistent.is_none() {
        persistent = Some(Text::Borrowed("false"));
    }
    // Texts are true unless they deny it.
    let lasts = persistent
        .as_ref()
        .is_some_and(|text| !matches!(text.to_lowercase().as_str(), "false" | "no" | "0" | ""));
    let class = class.map(|class| Attribute::new("class", class));
    let persistent = persistent.map(|text| Attribute::new("persistent", text));
    (class.into_iter().chain(persistent).collect(), lasts)
}

/// Class and persistence. The class is judged by the spelling of `persistent`, not by its meaning: `yes` with no class
/// gets none, `off` with class `ram` is refused.
fn read_volume_attributes(
    value: &Cursor<'_, '_>,
    violations: &mut Violations,
) -> (Vec<Attribute>, bool) {
    let mut persistent = Text::Borrowed("false");
    let mut class = None;
    for (name, value) in value.members(violations) {
        let text = value.text(violations).unwrap_or_default();
        match &*name {
            "persistent" => persistent = text,
            "class" => class = Some(text),
            _ if violations.is_full() => {}
            unknown => {
                let hint = nearest_hint(unknown, ["persistent", "class"].into_iter());
                let message = format!("storage attribute {} is not known{hint}", quoted(unknown));
                violations
                    .add("unknown-attribute", value.at(), message)
                    .reference(format!("sdl: unsupported storage attribute: {unknown}"));
            }
        }
    }
    let mut refuse = |message: String, reference: &str| {
        violations.add("storage-attributes", value.at(), message).reference(reference);
    };
    match (class.as_deref().unwrap_or_default(), &*persistent) {
        ("", "true") => class = Some("default".into()),
        ("ram", spelling) if spelling != "false" => refuse(
            format!("storage of class ram cannot be persistent, found {}", quoted(spelling)),
            "sdl: ram storage class cannot be persistent",
        ),
        ("" | "ram", _) => {}
        (name, "false") => refuse(
            format!(
                "storage that is not persistent has no class, found {}; add persistent: true or remove the class",
                quoted(name)
            ),
            "sdl: ephemeral storage should not set attribute class",
        ),
        _ => {}
    }
    let persistent = match &*persistent {
        "true" | "on" | "yes" => "true",
        "false" | "off" | "no" => "false",
        other => {
            refuse(
                format!("persistent is {}, which is neither true nor false", quoted(other)),
                "sdl: invalid value for attribute \"persistent\". expected bool",
            );
            "false"
        }
    };
    if let Some(class) = class.as_deref().filter(|class| !STORAGE_CLASSES.contains(class)) {
        let hint = nearest_hint(class, STORAGE_CLASSES.into_iter());
        refuse(
            format!("storage class {} is not known{hint}", quoted(class)),
            "sdl: invalid value for attribute class",
        );
    }
    let class = class.map(|class| Attribute::new("class", class));
    let attributes = class.into_iter().chain([Attribute::new("persistent", persistent)]).collect();
    (attributes, persistent == "true")
}

impl<'t> Placement<'t> {
    pub(super) fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut placement = Self::default();
        for (name, value) in value.fields(&PLACEMENT, violations) {
            match &*name {
                "attributes" if value.dialect().is_npm() => {
                    placement.attributes = read_js_attributes(&value, violations);
                }
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
                "signedBy" => {
                    (placement.signed_by, placement.signer_lists) =
                        read_signed_by(&value, violations);
                }
                "pricing" => {
                    read_named(&mut placement.pricing, &value, violations, read_price);
                }
                _ => {}
            }
        }
        placement
    }
}

fn owned(texts: Vec<Text<'_>>) -> Vec<String> {
    texts.into_iter().map(Text::into_owned).collect()
}

fn read_signed_by(value: &Cursor<'_, '_>, violations: &mut Violations) -> (SignedBy, SignerLists) {
    let (mut all_of, mut any_of) = (None, None);
    for (name, value) in value.fields(&SIGNED_BY, violations) {
        match &*name {
            "allOf" => all_of = value.texts(violations).map(owned),
            "anyOf" => any_of = value.texts(violations).map(owned),
            _ => {}
        }
    }
    let listed = SignerLists { all_of: all_of.is_some(), any_of: any_of.is_some() };
    let signed_by =
        SignedBy { all_of: all_of.unwrap_or_default(), any_of: any_of.unwrap_or_default() };
    (signed_by, listed)
}

fn read_price(value: &Cursor<'_, '_>, violations: &mut Violations) -> Option<Priced> {
    if value.is_absent() {
        return None;
    }
    let (mut denom, mut amount) = (Text::default(), Text::default());
    for (name, value) in value.fields(&PRICE, violations) {
        match (&*name, value.dialect()) {
            ("denom", _) => denom = value.text(violations).unwrap_or_default(),
            ("amount", Dialect::Go) => amount = value.text(violations).unwrap_or_default(),
            ("amount", _) => amount = read_js_amount(&value, violations),
            _ => {}
        }
    }
    if value.dialect().is_npm() {
        return js_price(value, &denom, amount, violations);
    }
    let amount = quantity::price(&amount).map_err(|malformed| {
        violations.add("price", value.at(), malformed.message).reference(malformed.reference);
    });
    let denom = denom.parse::<Denom>().map_err(|error| {
        violations.add("denom", value.at(), error.to_string());
    });
    Some(Priced { price: Price { denom: denom.ok()?, amount: amount.ok()? }, spelled: None })
}

/// To npm an amount is a number from zero, or a text of digits with perhaps a fraction.
fn read_js_amount<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> Text<'t> {
    match value.js() {
        Some(JsValue::Number(number)) if number >= 0.0 => js::number_text(number).into(),
        Some(JsValue::Text(text)) if quantity::is_decimal(text) => text.into(),
        _ => {
            value.refuse("an amount such as 100 or \"0.5\"", violations);
            Text::default()
        }
    }
}

/// npm takes the chain's coins, and the release one stablecoin beside them. An amount that it takes may still be none
/// for the chain.
fn js_price(
    value: &Cursor<'_, '_>,
    denom: &str,
    amount: Text<'_>,
    violations: &mut Violations,
) -> Option<Priced> {
    let known =
        matches!(denom, "uakt" | "uact") || (denom == USDC && value.dialect() == Dialect::Npm);
    let Some(denom) = denom.parse::<Denom>().ok().filter(|_| known) else {
        let message = format!("denom {} is neither uakt nor uact", quoted(denom));
        violations.add("denom", value.at(), message);
        return None;
    };
    let (amount, spelled) = match amount.parse() {
        Ok(amount) => (amount, None),
        Err(_) => (Amount::ZERO, Some(amount.into_owned())),
    };
    Some(Priced { price: Price { denom, amount }, spelled })
}
