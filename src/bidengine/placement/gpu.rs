//! Which GPUs a unit takes, read from its attributes, and which concrete choices a cluster has for it.

use std::collections::BTreeSet;

use super::GpuKind;
use crate::domain::{Attribute, Resources};

/// One attribute `vendor/<vendor>/model/<model|*>[/ram/<ram>][/interface/<interface>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<'a> {
    /// `nvidia`, `amd`, …
    pub vendor: &'a str,
    /// `*` for any.
    pub model: &'a str,
    /// Memory size, where one is asked for.
    pub ram: Option<&'a str>,
    /// `pcie` or `sxm`, where one is asked for.
    pub interface: Option<&'a str>,
}

impl<'a> Wish<'a> {
    /// What an attribute's key asks for; `None` when it is not of that form.
    #[must_use]
    pub fn parse(key: &'a str) -> Option<Self> {
        let mut parts = key.split('/');
        let mut named = |name: &str| (parts.next()? == name).then(|| parts.next()).flatten();
        let (vendor, model) = (named("vendor")?, named("model")?);
        let mut wish = Wish { vendor, model, ram: None, interface: None };
        while let Some(name) = parts.next() {
            let slot = match name {
                "ram" => &mut wish.ram,
                "interface" => &mut wish.interface,
                _ => return None,
            };
            if slot.replace(parts.next()?).is_some() {
                return None;
            }
        }
        Some(wish)
    }

    /// Whether GPUs of this kind are what is asked for.
    #[must_use]
    pub fn takes(&self, kind: &GpuKind) -> bool {
        let same = |wanted: Option<&str>, there: &Option<String>| {
            wanted.is_none_or(|wanted| there.as_deref() == Some(wanted))
        };
        kind.vendor == self.vendor
            && (self.model == "*" || self.model == kind.model)
            && same(self.ram, &kind.ram)
            && same(self.interface, &kind.interface)
    }
}

/// The model that a GPU attribute's key names, `*` included.
pub(in crate::bidengine) fn model_of(key: &str) -> Option<&str> {
    Wish::parse(key).map(|wish| wish.model)
}

/// One way to answer a unit's GPU attributes: a concrete model, with the memory size and interface that were asked for. It
/// becomes the offer, so all replicas of a unit have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    vendor: String,
    model: String,
    ram: Option<String>,
    interface: Option<String>,
}

impl Choice {
    pub(super) fn takes(&self, kind: &GpuKind) -> bool {
        let same =
            |wanted: &Option<String>, there: &Option<String>| wanted.is_none() || wanted == there;
        kind.vendor == self.vendor
            && kind.model == self.model
            && same(&self.ram, &kind.ram)
            && same(&self.interface, &kind.interface)
    }

    /// How a shortage names it.
    pub(super) fn name(&self) -> String {
        let mut name = format!("gpu {}/{}", self.vendor, self.model);
        for more in [&self.ram, &self.interface].into_iter().flatten() {
            name.push('/');
            name.push_str(more);
        }
        name
    }

    /// The attribute that the bid offers.
    pub(super) fn attribute(&self) -> Attribute {
        let part = |name: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |value| format!("/{name}/{value}"))
        };
        let key = format!(
            "vendor/{}/model/{}{}{}",
            self.vendor,
            self.model,
            part("ram", &self.ram),
            part("interface", &self.interface),
        );
        Attribute::new(key, "true")
    }
}

/// Every choice that the GPUs of a cluster leave for `resources`, in the order of the unit's attributes, then by name. A unit with
/// GPUs and no attributes takes any.
pub(super) fn choices<'a>(
    resources: &Resources,
    kinds: impl Iterator<Item = &'a GpuKind>,
) -> Vec<Choice> {
    let kinds: BTreeSet<&GpuKind> = kinds.collect();
    let wishes: Vec<_> = wishes(resources).collect();
    let mut found: Vec<Choice> = Vec::new();
    let mut add = |choice: Choice| {
        if !found.contains(&choice) {
            found.push(choice);
        }
    };
    if resources.gpu_attributes.is_empty() {
        for kind in &kinds {
            add(Choice {
                vendor: kind.vendor.clone(),
                model: kind.model.clone(),
                ram: None,
                interface: None,
            });
        }
    }
    for wish in &wishes {
        for kind in kinds.iter().filter(|kind| wish.takes(kind)) {
            add(Choice {
                vendor: kind.vendor.clone(),
                model: kind.model.clone(),
                ram: wish.ram.map(str::to_owned),
                interface: wish.interface.map(str::to_owned),
            });
        }
    }
    found
}

/// What a unit asks of its GPUs, in the order of its attributes.
pub fn wishes(resources: &Resources) -> impl Iterator<Item = Wish<'_>> {
    let wanted = resources.gpu_attributes.iter().filter(|attribute| attribute.value == "true");
    wanted.filter_map(|attribute| Wish::parse(&attribute.key))
}

/// How a shortage names what a unit asked for when the cluster has none of it.
pub(super) fn wanted_name(resources: &Resources) -> String {
    let wishes: Vec<_> = resources
        .gpu_attributes
        .iter()
        .map(|attribute| match Wish::parse(&attribute.key) {
            Some(wish) => [Some(wish.vendor), Some(wish.model), wish.ram, wish.interface]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("/"),
            None => attribute.key.clone(),
        })
        .collect();
    if wishes.is_empty() { "gpu".to_owned() } else { format!("gpu {}", wishes.join(" or ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_gpu_attribute_is_no_wish_and_panics_nobody() {
        for key in [
            "",
            "/",
            "vendor",
            "vendor/",
            "vendor/nvidia",
            "vendor/nvidia/model",
            "model/a100",
            "nvidia/a100",
            "vendor/nvidia/model/a100/ram",
            "vendor/nvidia/model/a100/ram/80Gi/ram/40Gi",
            "vendor/nvidia/model/a100/interface",
            "vendor/nvidia/model/a100/80Gi",
            "vendor/nvidia/model/a100/ram/80Gi/more",
            "capabilities/gpu/vendor/nvidia/model/a100",
            "\u{e4}/\u{1f600}",
        ] {
            assert_eq!(Wish::parse(key), None, "{key:?}");
            assert_eq!(model_of(key), None, "{key:?}");
        }
        let empty = Wish::parse("vendor//model/").map(|wish| (wish.vendor, wish.model));
        assert_eq!(empty, Some(("", "")), "a part without a name is one that no GPU has");
    }
}
