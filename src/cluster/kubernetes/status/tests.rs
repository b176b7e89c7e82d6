use serde_json::{Value, json};

use super::*;

const LABELS: [(&str, &str); 2] =
    [("akash.network", "true"), ("akash.network/manifest-service", "web")];

fn metadata(name: &str, generation: i64) -> Value {
    let labels: serde_json::Map<_, _> =
        LABELS.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({ "name": name, "namespace": "0123", "generation": generation, "labels": labels })
}

fn deployment(wanted: i32, status: &Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": metadata("web", 2),
        "spec": { "replicas": wanted, "selector": {}, "template": {} },
        "status": status,
    }))
    .unwrap()
}

fn pod(name: &str, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": metadata(name, 1),
        "spec": { "nodeName": "n1", "containers": [{ "name": "web" }] },
        "status": status,
    }))
    .unwrap()
}

fn container(state: &Value, last: &Value, restarts: i32) -> Value {
    json!({ "phase": "Running", "containerStatuses": [{
        "name": "web", "image": "nginx", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last,
    }] })
}

fn node(ready: &str, message: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": { "name": "n1" },
        "status": { "conditions": [
            { "type": "MemoryPressure", "status": "False" },
            { "type": "Ready", "status": ready, "message": message },
        ] },
    }))
    .unwrap()
}

/// The reason of a service of one replica that is not ready, with these pods.
fn reason(pods: &[Pod], node: &Node) -> Option<String> {
    let deployment = deployment(1, &json!({ "observedGeneration": 2 }));
    let pods: Vec<&Pod> = pods.iter().collect();
    let seen = SeenLease {
        deployments: &[&deployment],
        pods: &pods,
        nodes: &[node],
        ..SeenLease::default()
    };
    status(&seen).services.remove(0).reason
}

fn ready_node() -> Node {
    node("True", "kubelet is posting ready status")
}

#[test]
fn ready_is_what_is_ready_and_total_is_what_is_wanted() {
    let seen_status = json!({ "observedGeneration": 2, "replicas": 3, "readyReplicas": 1,
        "updatedReplicas": 2, "availableReplicas": 1 });
    let deployment = deployment(4, &seen_status);
    let seen = SeenLease {
        manifest_hash: "ab",
        deployments: &[&deployment],
        hosts: &[("b.example.com", "web"), ("db.example.com", "db"), ("a.example.com", "web")],
        ..SeenLease::default()
    };
    let status = status(&seen);
    let web = &status.services[0];
    assert_eq!(status.manifest_hash, "ab");
    assert_eq!((web.ready, web.total, web.updated, web.generation), (1, 4, 2, 2));
    assert_eq!(web.hostnames, ["a.example.com", "b.example.com"], "only its own");
}

#[test]
fn a_stateful_set_is_as_ready_as_its_ready_replicas() {
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": metadata("web", 1),
        "spec": { "replicas": 2, "selector": {}, "template": {}, "serviceName": "" },
        "status": { "observedGeneration": 1, "replicas": 2, "currentReplicas": 2, "readyReplicas": 0 },
    }))
    .unwrap();
    let status = status(&SeenLease { stateful_sets: &[&set], ..SeenLease::default() });
    assert_eq!((status.services[0].ready, status.services[0].total), (0, 2));
    assert!(!status.is_ready());
}

#[test]
fn what_a_controller_counted_before_it_saw_the_newest_version_is_not_updated() {
    let old = json!({ "observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1 });
    let first = deployment(1, &old);
    let told = status(&SeenLease { deployments: &[&first], ..SeenLease::default() });
    assert_eq!((told.services[0].ready, told.services[0].updated), (1, 0));

    let unseen = deployment(1, &Value::Null);
    let told = status(&SeenLease { deployments: &[&unseen], ..SeenLease::default() });
    assert_eq!(told.services[0].reason.as_deref(), Some("Pending: no controller has seen it yet"));
}

#[test]
fn a_crash_tells_its_last_exit_code() {
    let crashing = container(
        &json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 10s" } }),
        &json!({ "terminated": { "exitCode": 3, "reason": "Error" } }),
        4,
    );
    assert_eq!(
        reason(&[pod("web-1", &crashing)], &ready_node()).unwrap(),
        "CrashLoopBackOff: the container ended with exit code 3 (Error), restarted 4 times"
    );
    let killed = container(
        &json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }),
        &json!({}),
        1,
    );
    assert_eq!(
        reason(&[pod("web-1", &killed)], &ready_node()).unwrap(),
        "OOMKilled: the container ended with exit code 137 (OOMKilled), restarted 1 time"
    );
}

#[test]
fn an_image_that_does_not_come_is_told_in_the_kubelet_s_words() {
    let message = "Back-off pulling image \"ghcr.io/example/web:missing\"";
    let waiting = container(
        &json!({ "waiting": { "reason": "ImagePullBackOff", "message": message } }),
        &json!({}),
        0,
    );
    assert_eq!(
        reason(&[pod("web-1", &waiting)], &ready_node()).unwrap(),
        format!("ImagePullBackOff: {message}")
    );
}

#[test]
fn a_pod_that_no_node_takes_is_told_in_the_scheduler_s_words() {
    let message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.";
    let pending = pod(
        "web-1",
        &json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message },
        ] }),
    );
    assert_eq!(reason(&[pending], &ready_node()).unwrap(), format!("Unschedulable: {message}"));
}

#[test]
fn a_lost_node_is_told_before_what_its_pods_said_last() {
    let crashing =
        container(&json!({ "waiting": { "reason": "CrashLoopBackOff" } }), &json!({}), 4);
    let lost = node("Unknown", "Kubelet stopped posting node status.");
    assert_eq!(
        reason(&[pod("web-1", &crashing)], &lost).unwrap(),
        "NodeNotReady: node n1: Kubelet stopped posting node status."
    );
    let other: Node = serde_json::from_value(json!({ "metadata": { "name": "n2" } })).unwrap();
    assert_eq!(
        reason(&[pod("web-1", &crashing)], &other).unwrap(),
        "NodeNotReady: node n1 is gone"
    );
}

#[test]
fn a_quota_is_told_where_there_is_no_pod() {
    let message = "pods \"web-1\" is forbidden: exceeded quota: lease";
    let starved = deployment(
        1,
        &json!({ "observedGeneration": 2, "conditions": [
            { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message },
        ] }),
    );
    let seen = SeenLease { deployments: &[&starved], ..SeenLease::default() };
    assert_eq!(
        status(&seen).services[0].reason.as_deref(),
        Some(format!("FailedCreate: {message}").as_str())
    );
}

#[test]
fn of_several_reasons_the_gravest_is_told_and_of_several_pods_the_same_one_each_time() {
    let creating =
        container(&json!({ "waiting": { "reason": "ContainerCreating" } }), &json!({}), 0);
    let ended = |code| {
        container(
            &json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
            &json!({ "terminated": { "exitCode": code, "reason": "Error" } }),
            2,
        )
    };
    let mut pods = vec![pod("web-1", &creating), pod("web-2", &ended(3)), pod("web-3", &ended(1))];
    let told = reason(&pods, &ready_node()).unwrap();
    assert!(told.contains("exit code 1"), "{told}");
    pods.reverse();
    assert_eq!(reason(&pods, &ready_node()).unwrap(), told);

    // A pod that is being replaced does not speak for its service.
    for pod in &mut pods[..2] {
        pod.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    }
    assert_eq!(reason(&pods, &ready_node()).unwrap(), "ContainerCreating");
}

#[test]
fn a_service_that_is_ready_has_no_reason_and_one_that_goes_says_so() {
    let ready = deployment(
        1,
        &json!({ "observedGeneration": 2, "readyReplicas": 1, "updatedReplicas": 1 }),
    );
    let crashing =
        container(&json!({ "waiting": { "reason": "CrashLoopBackOff" } }), &json!({}), 4);
    let old = pod("web-0", &crashing);
    let seen = SeenLease { deployments: &[&ready], pods: &[&old], ..SeenLease::default() };
    assert_eq!(status(&seen).services[0].reason, None);
    let going = SeenLease { is_going: true, ..seen };
    assert!(status(&going).services[0].reason.as_ref().unwrap().starts_with("Terminating"));
}

#[test]
fn only_node_ports_are_forwarded_and_under_the_service_s_own_name() {
    let service = |kind: &str| -> Service {
        serde_json::from_value(json!({
            "metadata": metadata("web-np", 1),
            "spec": { "type": kind, "ports": [
                { "port": 5000, "targetPort": 5001, "nodePort": 31_000, "protocol": "UDP" },
                { "port": 5000, "targetPort": 5001, "nodePort": 31_001 },
            ] },
        }))
        .unwrap()
    };
    let (node_port, balanced) = (service("NodePort"), service("LoadBalancer"));
    let seen = SeenLease {
        services: &[&balanced, &node_port],
        public_hostname: "provider.example.com",
        ..SeenLease::default()
    };
    let forwarded = status(&seen).forwarded_ports;
    let told: Vec<_> = forwarded
        .iter()
        .map(|port| (port.service.as_str(), port.port, port.external_port, port.proto.as_str()))
        .collect();
    assert_eq!(told, [("web", 5001, 31_001, "TCP"), ("web", 5001, 31_000, "UDP")]);
    assert_eq!(forwarded[0].host, "provider.example.com");
}
