//! A node's GPUs by model, from its labels: what a lease's pods are led by is what is counted.
//!
//! The surprising fact: Kubernetes counts a vendor's GPUs together. Which model a pod has is only known where the node has one
//! model, or where the pod asked for one; else it counts against every model of the node, so that nothing is sold twice.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, PodSpec};

use super::{
    super::{names, settings::Settings},
    allocatable, pods, quantity,
};
use crate::domain::inventory::{GpuModel, Quantity};

/// GPUs that a pod has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    vendor: String,
    units: u64,
    /// What the pod asks its node for; empty for any.
    models: Vec<String>,
}

impl Taken {
    pub(super) fn of(vendor: &str, units: u64, spec: &PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity
            .and_then(|nodes| nodes.required_during_scheduling_ignored_during_execution.as_ref());
        let terms = required.map_or(&[][..], |selector| &selector.node_selector_terms);
        let keys = terms.iter().flat_map(|term| term.match_expressions.iter().flatten());
        let mut models: Vec<String> = keys
            .filter_map(|expression| Label::read(&expression.key))
            .filter(|label| label.vendor == vendor && label.detail.is_none())
            .map(|label| label.model.to_owned())
            .collect();
        models.sort();
        models.dedup();
        Self { vendor: vendor.to_owned(), units, models }
    }

    fn counts_for(&self, gpu: &GpuModel) -> bool {
        self.vendor == gpu.vendor && (self.models.is_empty() || self.models.contains(&gpu.model))
    }
}

/// A node label that counts GPUs.
struct Label<'a> {
    vendor: &'a str,
    model: &'a str,
    /// `ram` or `interface`, and which.
    detail: Option<(&'a str, &'a str)>,
}

impl<'a> Label<'a> {
    fn read(key: &'a str) -> Option<Self> {
        let rest = key.strip_prefix(names::CAPABILITIES)?.strip_prefix("gpu.vendor.")?;
        let (vendor, rest) = rest.split_once(".model.")?;
        for what in ["ram", "interface"] {
            if let Some((model, value)) = rest.split_once(&format!(".{what}.")) {
                return Some(Self { vendor, model, detail: Some((what, value)) });
            }
        }
        Some(Self { vendor, model: rest, detail: None })
    }
}

/// Counts of one model.
#[derive(Default)]
struct Counted<'a> {
    units: u64,
    rams: Vec<(&'a str, u64)>,
    interfaces: Vec<(&'a str, u64)>,
}

pub(super) fn read(
    name: &str,
    node: &Node,
    taken: &pods::Taken,
    settings: &Settings,
    excluded: &mut BTreeMap<String, String>,
) -> Vec<GpuModel> {
    let mut found: BTreeMap<(&str, &str), Counted<'_>> = BTreeMap::new();
    for (key, value) in node.metadata.labels.iter().flatten() {
        let Some(label) = Label::read(key) else { continue };
        let Ok(units) = value.parse::<u64>() else { continue };
        let counted = found.entry((label.vendor, label.model)).or_default();
        match label.detail {
            None => counted.units = units,
            Some(("ram", ram)) => counted.rams.push((ram, units)),
            Some((_, interface)) => counted.interfaces.push((interface, units)),
        }
    }
    let mut gpus = Vec::new();
    for (vendor, resource) in &settings.nodes.gpu_resources {
        let there = allocatable(node, resource).and_then(quantity::whole).unwrap_or(0);
        let of_vendor: Vec<_> = found.iter().filter(|((of, _), _)| of == vendor).collect();
        let labelled: u64 = of_vendor.iter().map(|(_, counted)| counted.units).sum();
        if there > labelled {
            excluded.insert(
                format!("node {name}: {resource}"),
                format!(
                    "{} of {there} have no label of their model: see `nodes.label` and `nodes.gpu_names` of cluster.kubernetes",
                    there - labelled
                ),
            );
        }
        if there < labelled {
            excluded.insert(
                format!("node {name}: {resource}"),
                format!(
                    "{labelled} are labelled, {there} can be used: look at the node's device plugin"
                ),
            );
        }
        for ((_, model), counted) in of_vendor {
            // What the device plugin does not give cannot be sold, whatever the labels say.
            let units = counted.units.min(there);
            gpus.extend(models(vendor, model, units, counted));
        }
    }
    for gpu in &mut gpus {
        let taken = taken.gpus.iter().filter(|taken| taken.counts_for(gpu));
        gpu.units.allocated = taken.map(|taken| taken.units).fold(0, u64::saturating_add);
    }
    gpus
}

/// One entry; or one for each memory size, or for each interface, where a model has several of one of the two.
fn models(vendor: &str, model: &str, units: u64, counted: &Counted<'_>) -> Vec<GpuModel> {
    let entry = |ram: Option<&str>, interface: Option<&str>, units: u64| GpuModel {
        vendor: vendor.to_owned(),
        model: model.to_owned(),
        ram: ram.map(str::to_owned),
        interface: interface.map(str::to_owned),
        units: Quantity::of(units),
    };
    match (&*counted.rams, &*counted.interfaces) {
        ([], []) => vec![entry(None, None, units)],
        ([(ram, _)], []) => vec![entry(Some(ram), None, units)],
        ([], [(interface, _)]) => vec![entry(None, Some(interface), units)],
        ([(ram, _)], [(interface, _)]) => vec![entry(Some(ram), Some(interface), units)],
        (rams, [] | [_]) => {
            let interface = counted.interfaces.first().map(|(interface, _)| *interface);
            rams.iter().map(|(ram, n)| entry(Some(ram), interface, (*n).min(units))).collect()
        }
        ([] | [_], interfaces) => {
            let ram = counted.rams.first().map(|(ram, _)| *ram);
            let one = |(interface, n): &(&str, u64)| entry(ram, Some(interface), (*n).min(units));
            interfaces.iter().map(one).collect()
        }
        // Which has which is not known.
        _ => vec![entry(None, None, units)],
    }
}
