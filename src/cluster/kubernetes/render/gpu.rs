//! Which GPUs a service gets: what they are counted as, and on which nodes they are.
//!
//! What placement chose and the bid offered comes first; without it any node will do that has what the attributes ask for. The
//! surprising fact: nothing asks the scheduler for "any of vendor X", since the resource that is counted is the vendor's.

use std::collections::BTreeSet;

use super::Unrenderable;
use crate::{
    bidengine::placement::{GpuKind, GpuWish, gpu_wishes},
    cluster::kubernetes::{names, settings::Settings},
    domain::Resources,
    provider::port::Workload,
};

/// The GPUs of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) vendor: String,
    /// Pieces.
    pub(super) units: u64,
    /// What they are counted as: `nvidia.com/gpu`, …
    pub(super) resource: String,
    /// What will do; any one of these.
    pub(super) kinds: BTreeSet<Wanted>,
}

/// One kind of GPU that will do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    /// `None` for any of the vendor's.
    pub(super) model: Option<String>,
    pub(super) ram: Option<String>,
    pub(super) interface: Option<String>,
}

impl Gpu {
    /// The node labels that each kind needs; an empty list where any node with GPUs of the vendor will do.
    pub(super) fn node_labels(&self) -> Vec<Vec<String>> {
        self.kinds.iter().map(|wanted| wanted.node_labels(&self.vendor)).collect()
    }
}

impl Wanted {
    /// None for any model: an attribute with a memory size or an interface names its model, as `*` may only stand last.
    fn node_labels(&self, vendor: &str) -> Vec<String> {
        let Some(model) = &self.model else { return Vec::new() };
        let details = [("ram", self.ram.as_deref()), ("interface", self.interface.as_deref())];
        let details = details
            .into_iter()
            .filter_map(|(what, value)| names::gpu_label(vendor, model, Some((what, value?))));
        names::gpu_label(vendor, model, None).into_iter().chain(details).collect()
    }
}

/// The GPUs of a service; `None` when it has none.
pub(super) fn read(
    workload: &Workload,
    service: &str,
    resources: &Resources,
    settings: &Settings,
) -> Result<Option<Gpu>, Unrenderable> {
    if resources.gpu_units == 0 {
        return Ok(None);
    }
    let chosen = workload.gpus.get(&resources.id).map_or(&[][..], Vec::as_slice);
    let wishes: Vec<GpuWish<'_>> = gpu_wishes(resources).collect();
    let vendor = chosen
        .first()
        .map(|kind| kind.vendor.as_str())
        .or_else(|| wishes.first().map(|wish| wish.vendor))
        .ok_or_else(|| {
            Unrenderable::of(
                service,
                "it has GPUs of no vendor",
                "an attribute vendor/<vendor>/model/<model> is needed",
            )
        })?;
    let resource = settings.nodes.gpu_resources.get(vendor).ok_or_else(|| {
        let known: Vec<_> = settings.nodes.gpu_resources.keys().map(String::as_str).collect();
        let allowed =
            format!("allowed are {} (cluster.kubernetes.nodes.gpu_resources)", known.join(", "));
        Unrenderable::of(service, format!("nobody counts GPUs of vendor {vendor:?} here"), allowed)
    })?;
    let kinds = if chosen.is_empty() {
        wishes.iter().filter(|wish| wish.vendor == vendor).map(|wish| any(wish)).collect()
    } else {
        chosen
            .iter()
            .filter(|kind| kind.vendor == vendor)
            .flat_map(|kind| of(kind, &wishes))
            .collect()
    };
    Ok(Some(Gpu {
        vendor: vendor.to_owned(),
        units: resources.gpu_units,
        resource: resource.clone(),
        kinds,
    }))
}

/// A wish as it stands.
fn any(wish: &GpuWish<'_>) -> Wanted {
    Wanted {
        model: (wish.model != "*").then(|| wish.model.to_owned()),
        ram: wish.ram.map(str::to_owned),
        interface: wish.interface.map(str::to_owned),
    }
}

/// The kind that was chosen, with memory size and interface only where they were asked for: another node may have the same
/// model with another interface, and would do.
fn of(kind: &GpuKind, wishes: &[GpuWish<'_>]) -> Vec<Wanted> {
    let mut found: Vec<Wanted> = wishes
        .iter()
        .filter(|wish| wish.takes(kind))
        .map(|wish| Wanted { model: Some(kind.model.clone()), ..any(wish) })
        .collect();
    if found.is_empty() {
        found.push(Wanted { model: Some(kind.model.clone()), ram: None, interface: None });
    }
    found
}
