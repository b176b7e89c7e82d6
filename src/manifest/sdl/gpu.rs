//! GPUs of a compute profile: how many, and of which kind.
//!
//! The surprising fact: to Go another vendor's GPUs are GPUs of the one vendor that it knows, of any model.

use super::{
    cursor::{Cursor, Shape, Whole},
    js::JsValue,
    profile::{read_js_quantity, read_quantity},
    quantity,
};
use crate::{
    domain::Attribute,
    manifest::{
        Dialect,
        violation::{Violations, nearest_hint, quoted},
    },
};

const GPU: Shape = Shape { fields: &["attributes", "units"], later: &[], required: &["units"] };
const GPU_HEAD: Shape = Shape { required: &[], ..GPU };
const GPU_ATTRIBUTES: Shape = Shape { fields: &["vendor"], later: &[], required: &[] };
const GPU_VENDOR: Shape = Shape { fields: &["nvidia"], later: &[], required: &[] };
const GPU_MODEL: Shape =
    Shape { fields: &["interface", "model", "ram"], later: &[], required: &[] };

/// GPUs.
#[derive(Debug, Default)]
pub(super) struct Gpu {
    pub(super) units: Whole<u64>,
    /// Whether units, however many, stand there to npm, which takes even the text `"0"` for some.
    pub(super) counted: bool,
    /// Whether the schema, since the release, sees units above zero.
    positive: bool,
    /// `None` where the mapping does not stand.
    pub(super) attributes: Option<Vec<Attribute>>,
    /// Whether the attributes name a vendor.
    pub(super) vendor: bool,
}

impl Gpu {
    pub(super) fn read(value: &Cursor<'_, '_>, violations: &mut Violations) -> Self {
        value.refuse_odd_list(violations);
        let mut gpu = Self::default();
        let shape = if value.dialect() == Dialect::NpmHead { &GPU_HEAD } else { &GPU };
        for (name, value) in value.raw_fields(shape, violations) {
            match &*name {
                "units" => gpu.read_units(&value, violations),
                "attributes" if value.is_absent() => gpu.attributes = None,
                "attributes" => {
                    let (attributes, vendor) = read_gpu_attributes(&value, violations);
                    gpu.attributes = Some(attributes);
                    gpu.vendor = vendor;
                }
                _ if value.dialect().is_npm() => {}
                _ => {
                    let hint = nearest_hint(&name, ["units", "attributes"].into_iter());
                    violations
                        .add(
                            "unknown-attribute",
                            value.at(),
                            format!("GPU resource {} is not known{hint}", quoted(&name)),
                        )
                        .reference(format!("sdl: unsupported field ({name}) for GPU resource"));
                }
            }
        }
        gpu.check_attributes(value, violations);
        gpu
    }

    fn read_units(&mut self, value: &Cursor<'_, '_>, violations: &mut Violations) {
        if value.dialect() == Dialect::Go {
            self.units = read_quantity(value, violations, quantity::gpu_units).into();
            self.counted = self.units.nearest > 0;
        } else {
            self.units = read_js_quantity(value, violations, quantity::js_gpu_units);
            self.counted = match value.js() {
                Some(JsValue::Number(units)) => units != 0.0,
                _ => true,
            };
            self.positive = match value.js() {
                Some(JsValue::Number(units)) => units > 0.0,
                Some(JsValue::Text(text)) => !quantity::is_zero(text),
                _ => true,
            };
        }
    }

    /// Units need attributes where they are read, to Go; to the npm release where they are used, since then in both ways
    /// and at once.
    fn check_attributes(&self, value: &Cursor<'_, '_>, violations: &mut Violations) {
        if value.dialect() == Dialect::Go && self.units.nearest > 0 && self.attributes.is_none() {
            violations
                .add(
                    "gpu-attributes",
                    value.at(),
                    "GPU units need attributes that name a vendor, such as vendor: {nvidia: []}",
                )
                .reference("sdl: GPU attributes must be present if units > 0");
        }
        if value.dialect() == Dialect::NpmHead && self.positive != self.attributes.is_some() {
            let message = "GPU units above zero and GPU attributes need each other";
            violations.add("gpu-attributes", value.at(), message);
        }
    }
}

/// To Go only the vendor `nvidia` is read; without a list of models any model will do. Also says whether a vendor stands
/// there.
fn read_gpu_attributes(
    value: &Cursor<'_, '_>,
    violations: &mut Violations,
) -> (Vec<Attribute>, bool) {
    value.refuse_odd_list(violations);
    let mut vendor = None;
    for (name, value) in value.raw_fields(&GPU_ATTRIBUTES, violations) {
        if name == "vendor" {
            vendor = (!value.is_absent()).then_some(value);
        } else if value.dialect() == Dialect::Go {
            let message =
                format!("GPU attribute {} is not known; known is \"vendor\"", quoted(&name));
            violations
                .add("unknown-attribute", value.at(), message)
                .reference(format!("sdl: unsupported attribute ({name}) for GPU resource"));
        }
    }
    let Some(vendor) = vendor else {
        if value.dialect() == Dialect::Go {
            violations
                .add(
                    "gpu-vendor",
                    value.at(),
                    "GPU attributes name no vendor; write vendor: {nvidia: []}",
                )
                .reference("sdl: invalid GPU attributes. at least one vendor must be set");
        }
        return (Vec::new(), false);
    };
    let keys = read_gpu_vendor(&vendor, violations);
    (keys.into_iter().map(|key| Attribute::new(key, "true")).collect(), true)
}

/// The models: sorted to Go, in the document's order to npm, to which an empty list is no model at all.
fn read_gpu_vendor(vendor: &Cursor<'_, '_>, violations: &mut Violations) -> Vec<String> {
    let any = || "vendor/nvidia/model/*".to_owned();
    let mut keys = Vec::new();
    let fields = vendor.fields(&GPU_VENDOR, violations);
    if vendor.dialect().is_npm() && vendor.is_mapping() && fields.clone().next().is_none() {
        violations.add("gpu-vendor", vendor.at(), "the GPU's vendor is missing; write nvidia");
    }
    for (name, value) in fields {
        match &*name {
            "nvidia" if value.dialect().is_npm() && value.is_null() => keys.push(any()),
            "nvidia" => {
                for (_, model) in value.items(violations).into_iter().flatten() {
                    keys.push(read_gpu_model(&model, violations));
                }
            }
            _ => {}
        }
    }
    if vendor.dialect() == Dialect::Go {
        if keys.is_empty() {
            keys.push(any());
        }
        keys.sort_unstable();
    }
    keys
}

fn read_gpu_model(value: &Cursor<'_, '_>, violations: &mut Violations) -> String {
    let npm = value.dialect().is_npm();
    let (mut model, mut ram, mut interface) = (None, None, None);
    for (name, value) in value.fields(&GPU_MODEL, violations) {
        if value.is_absent() {
            continue;
        }
        match &*name {
            "model" => model = value.text(violations),
            // npm keeps the text.
            "ram" if npm => ram = value.text(violations).filter(|ram| !ram.is_empty()),
            "ram" => {
                let gib = read_quantity(&value, violations, quantity::gpu_ram_gib);
                ram = Some(format!("{gib}Gi").into());
            }
            "interface" => interface = Some(read_gpu_interface(&value, violations)),
            _ => {}
        }
    }
    let model = model.unwrap_or(if npm { "undefined" } else { "" }.into());
    let ram = ram.map(|ram| format!("/ram/{ram}")).unwrap_or_default();
    let interface = interface.map(|name| format!("/interface/{name}")).unwrap_or_default();
    format!("vendor/nvidia/model/{model}{ram}{interface}")
}

fn read_gpu_interface<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> &'t str {
    let name = value.raw();
    if value.refuse_false_null(violations) {
        return name;
    }
    if !matches!(name, "pcie" | "sxm") {
        let message = format!("GPU interface {} is neither pcie nor sxm", quoted(name));
        violations
            .add("gpu-interface", value.at(), message)
            .reference(format!("sdl: invalid GPU interface {name}. expected \"pcie|sxm\""));
    }
    name
}
