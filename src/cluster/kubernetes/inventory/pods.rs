//! What a pod takes of its node.
//!
//! The surprising fact: init containers run one after the other and before the others, so only the largest counts, except one
//! that is restarted always, which stays beside the rest.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, PodStatus, Volume},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::{
    super::{names, settings::Settings},
    gpus, quantity,
};

/// What the pods of a node take together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Taken {
    pub(super) cpu_milli: u64,
    pub(super) memory_bytes: u64,
    pub(super) ephemeral_bytes: u64,
    pub(super) gpus: Vec<gpus::Taken>,
    pub(super) pods: u64,
}

impl Taken {
    pub(super) fn add(&mut self, pod: &Pod, settings: &Settings) {
        let Some(spec) = &pod.spec else { return };
        let sum = |resource: &str, read: fn(&Quantity) -> Option<u64>| asked(spec, resource, read);
        let add = |to: &mut u64, amount: u64| *to = to.saturating_add(amount);
        add(&mut self.cpu_milli, sum("cpu", quantity::milli));
        let memory = sum("memory", quantity::whole).saturating_add(uncounted_memory(pod, spec));
        add(&mut self.memory_bytes, memory);
        add(&mut self.ephemeral_bytes, sum("ephemeral-storage", quantity::whole));
        add(&mut self.pods, 1);
        for (vendor, resource) in &settings.nodes.gpu_resources {
            let units = sum(resource, quantity::whole);
            if units > 0 {
                self.gpus.push(gpus::Taken::of(vendor, units, spec));
            }
        }
    }
}

/// The node of a pod that takes something of it.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// What a pod asks for of one resource.
fn asked(spec: &PodSpec, resource: &str, read: fn(&Quantity) -> Option<u64>) -> u64 {
    let of = |requests: Option<&BTreeMap<String, Quantity>>| {
        requests.and_then(|all| all.get(resource)).and_then(read)
    };
    let container = |container: &Container| {
        let resources = container.resources.as_ref();
        // A request that is not given is the limit; the API server fills it in, but not everywhere.
        of(resources.and_then(|resources| resources.requests.as_ref()))
            .or_else(|| of(resources.and_then(|resources| resources.limits.as_ref())))
            .unwrap_or(0)
    };
    let mut running: u64 = 0;
    let mut peak: u64 = 0;
    for init in spec.init_containers.iter().flatten() {
        if init.restart_policy.as_deref() == Some("Always") {
            running = running.saturating_add(container(init));
            peak = peak.max(running);
        } else {
            peak = peak.max(running.saturating_add(container(init)));
        }
    }
    for main in &spec.containers {
        running = running.saturating_add(container(main));
    }
    let sum = running.max(peak);
    // Requests of the pod as a whole take the place of the containers'.
    let whole = of(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    whole.unwrap_or(sum).saturating_add(of(spec.overhead.as_ref()).unwrap_or(0))
}

/// Memory of volumes that the pod does not ask for: pods of today's provider leave it out of their request.
fn uncounted_memory(pod: &Pod, spec: &PodSpec) -> u64 {
    let labels = pod.metadata.labels.as_ref();
    if !labels.is_some_and(|labels| labels.contains_key(names::MANIFEST_VERSION)) {
        return 0;
    }
    let sizes = spec.volumes.iter().flatten().filter_map(|volume| {
        let dir = volume.empty_dir.as_ref()?;
        (dir.medium.as_deref() == Some("Memory")).then_some(dir.size_limit.as_ref()?)
    });
    sizes.filter_map(quantity::whole).fold(0, u64::saturating_add)
}

/// The pod without what accounting and a lease's status do not need: its environment, commands, mounts and managed fields.
#[must_use]
pub fn trim(pod: Pod) -> Pod {
    let metadata = ObjectMeta { annotations: None, managed_fields: None, ..pod.metadata };
    let container = |container: Container| Container {
        name: container.name,
        image: container.image,
        resources: container.resources,
        restart_policy: container.restart_policy,
        ..Container::default()
    };
    let spec = pod.spec.map(|spec| PodSpec {
        node_name: spec.node_name,
        containers: spec.containers.into_iter().map(container).collect(),
        init_containers: spec.init_containers.map(|all| all.into_iter().map(container).collect()),
        overhead: spec.overhead,
        resources: spec.resources,
        affinity: spec.affinity,
        volumes: spec.volumes.map(|all| all.into_iter().filter_map(memory_only).collect()),
        ..PodSpec::default()
    });
    let status = pod.status.map(|status| PodStatus {
        phase: status.phase,
        reason: status.reason,
        message: status.message,
        conditions: status.conditions,
        container_statuses: status.container_statuses,
        init_container_statuses: status.init_container_statuses,
        start_time: status.start_time,
        ..PodStatus::default()
    });
    Pod { metadata, spec, status }
}

fn memory_only(volume: Volume) -> Option<Volume> {
    let is_memory =
        volume.empty_dir.as_ref().is_some_and(|dir| dir.medium.as_deref() == Some("Memory"));
    is_memory.then(|| Volume {
        name: volume.name,
        empty_dir: volume.empty_dir,
        ..Volume::default()
    })
}
