//! Why a service is not ready, in the cluster's own words; pure.
//!
//! Several things can be wrong with several pods. The one is told that a tenant, or the operator, can do most about:
//!
//! | first | what |
//! |---|---|
//! | `NodeNotReady` | the pod's node is lost, so whatever else it says of its pods is old |
//! | `CrashLoopBackOff`, `Error`, `OOMKilled`, `Completed` | the program ends, with its last exit code |
//! | `ImagePullBackOff`, … | the image does not come |
//! | `CreateContainerConfigError`, … | the container cannot be made |
//! | `Unschedulable` | no node takes it, in the scheduler's words |
//! | `Evicted`, … | the node threw it out |
//! | `ContainerCreating`, … | it is on its way |

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStateTerminated, ContainerStatus, Node, Pod},
};

use super::{SeenLease, service_of};

/// The most of the cluster's own words that is told, in bytes.
const MAX_WORDS: usize = 500;

/// How much a reason matters: the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    OnItsWay,
    Evicted,
    Unschedulable,
    Container,
    Image,
    Ends,
    Node,
}

/// What is wrong with the pods of a service, if anything.
pub(super) fn of_pods(seen: &SeenLease<'_>, service: &str) -> Option<String> {
    let own = seen.pods.iter().filter(|pod| service_of(&pod.metadata) == Some(service));
    // What is on its way out is no longer what is wanted.
    let staying = own.filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut reasons: Vec<(Weight, String)> =
        staying.filter_map(|pod| of_pod(pod, seen.nodes)).collect();
    // The same of several pods is told of the first by name, so that the text does not change back and forth.
    reasons.sort();
    let heaviest = reasons.last()?.0;
    reasons.into_iter().find(|(weight, _)| *weight == heaviest).map(|(_, words)| words)
}

/// Why a Deployment has fewer pods than it wants: a quota, an admission webhook.
pub(super) fn of_deployment(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    Some(words(
        failure.reason.as_deref().unwrap_or("FailedCreate"),
        failure.message.as_deref().unwrap_or_default(),
    ))
}

fn of_pod(pod: &Pod, nodes: &[&Node]) -> Option<(Weight, String)> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let lost = node.and_then(|name| of_node(name, nodes));
    let status = pod.status.as_ref()?;
    // An init container that has done its work is ready.
    let first =
        status.init_container_statuses.iter().flatten().filter(|container| !container.ready);
    let containers = first.chain(status.container_statuses.iter().flatten());
    let containers = containers.filter_map(of_container);
    lost.map(|lost| (Weight::Node, lost))
        .or_else(|| containers.max())
        .or_else(|| unscheduled(pod))
        .or_else(|| {
            let is_over = status.phase.as_deref() == Some("Failed");
            let reason = status.reason.as_deref().unwrap_or("Failed");
            let message = status.message.as_deref().unwrap_or_default();
            is_over.then(|| (Weight::Evicted, words(reason, message)))
        })
        .or_else(|| {
            let is_pending = status.phase.as_deref() == Some("Pending");
            is_pending.then(|| (Weight::OnItsWay, "Pending: it is being placed".to_owned()))
        })
}

/// Why a node is not ready. One that is not there any more is not ready either.
fn of_node(name: &str, nodes: &[&Node]) -> Option<String> {
    let Some(node) = nodes.iter().find(|node| node.metadata.name.as_deref() == Some(name)) else {
        // Without any node nothing is known of nodes.
        return (!nodes.is_empty()).then(|| format!("NodeNotReady: node {name} is gone"));
    };
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    if ready.status == "True" {
        return None;
    }
    let message = ready.message.as_deref().unwrap_or_default();
    Some(words(&format!("NodeNotReady: node {name}"), message))
}

fn of_container(container: &ContainerStatus) -> Option<(Weight, String)> {
    let state = container.state.as_ref()?;
    if let Some(ended) = &state.terminated {
        return Some((Weight::Ends, ended_with("", ended, container.restart_count)));
    }
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("Waiting");
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(match reason {
        "CrashLoopBackOff" => {
            let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            let told = last.map_or_else(
                || words(reason, message),
                |ended| ended_with(reason, ended, container.restart_count),
            );
            (Weight::Ends, told)
        }
        "ContainerCreating" | "PodInitializing" | "Waiting" => {
            (Weight::OnItsWay, words(reason, message))
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => (Weight::Image, words(reason, message)),
        _ => (Weight::Container, words(reason, message)),
    })
}

fn ended_with(first: &str, ended: &ContainerStateTerminated, restarts: i32) -> String {
    let why = ended.reason.as_deref().unwrap_or("Error");
    let first = if first.is_empty() { why } else { first };
    let by = match ended.signal {
        Some(signal) if signal != 0 => format!("by signal {signal}"),
        _ => format!("with exit code {}", ended.exit_code),
    };
    let times = if restarts == 1 { "time" } else { "times" };
    format!("{first}: the container ended {by} ({why}), restarted {restarts} {times}")
}

fn unscheduled(pod: &Pod) -> Option<(Weight, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let placed = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let message = placed.message.as_deref().unwrap_or_default();
    (placed.status == "False").then(|| {
        let reason = placed.reason.as_deref().unwrap_or("Unschedulable");
        (Weight::Unschedulable, words(reason, message))
    })
}

fn words(reason: &str, message: &str) -> String {
    if message.is_empty() {
        return reason.to_owned();
    }
    let end = message.floor_char_boundary(message.len().min(MAX_WORDS));
    let more = if end < message.len() { "…" } else { "" };
    format!("{reason}: {}{more}", &message[..end])
}
