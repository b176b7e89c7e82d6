//! What lessor knows of the cluster without asking, how soon, and what it says when it cannot know.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Node, Pod},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use lessor::{
    cluster::kubernetes::{names, object::Kind, watch::Trouble},
    domain::LeaseId,
    provider::port::{Cluster as _, ClusterErrorKind, LeaseStatus, Teardown},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, Ring},
    lessor::{LIMIT, Lessor, counted, lease, service, total, workload},
    support::eventually,
};

async fn reason(lessor: &Lessor<'_>, lease: &LeaseId) -> Option<String> {
    let status = lessor.kubernetes.status(lease).await.unwrap()?;
    status.services.into_iter().next()?.reason
}

/// What the parts that this ring lacks would write.
async fn pod(lessor: &Lessor<'_>, lease: &LeaseId, name: &str, status: &Value) -> Pod {
    let namespace = names::namespace(lease);
    let pods: Api<Pod> = Api::namespaced(lessor.cluster.admin(), &namespace);
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": namespace } });
    lessor.cluster.apply(&account).await;
    let wanted = json!({
        "metadata": { "name": name, "labels": names::selector(&namespace, "web") },
        "spec": { "nodeName": "n1", "containers": [{ "name": "web", "image": "nginx:1",
            "securityContext": { "allowPrivilegeEscalation": false },
            "resources": { "requests": { "cpu": "100m", "memory": "64Mi" },
                "limits": { "cpu": "100m", "memory": "64Mi", "ephemeral-storage": "64Mi" } } }] },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(wanted).unwrap()).await.unwrap();
    let params = PatchParams::default();
    pods.patch_status(name, &params, &Patch::Merge(json!({ "status": status }))).await.unwrap()
}

#[tokio::test]
async fn why_a_service_is_not_ready_is_known_within_a_second_and_without_a_call() {
    let Some(lessor) = Lessor::shared(Ring::Api, "watch-reason").await else { return };
    let lease = lease(300);
    lessor.kubernetes.apply(&workload(&lease, 1, &[service("web", "nginx:1")])).await.unwrap();
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" } });
    lessor.cluster.apply(&node).await;
    let nodes: Api<Node> = Api::all(lessor.cluster.admin());
    let ready = |status: &str, message: &str| {
        json!({ "status": { "conditions": [
        { "type": "Ready", "status": status, "reason": "R", "message": message } ] } })
    };
    let params = PatchParams::default();
    nodes.patch_status("n1", &params, &Patch::Merge(ready("True", "posting"))).await.unwrap();
    let crashing = json!({ "phase": "Running", "containerStatuses": [{
        "name": "web", "image": "nginx:1", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "exitCode": 3, "reason": "Error" } },
    }] });
    pod(&lessor, &lease, "web-1", &crashing).await;
    let told = Instant::now();
    let expected =
        "CrashLoopBackOff: the container ended with exit code 3 (Error), restarted 4 times";
    eventually("the crash is told", LIMIT, async || {
        (reason(&lessor, &lease).await.as_deref() == Some(expected)).then_some(())
    })
    .await;
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());

    nodes.patch_status("n1", &params, &Patch::Merge(ready("Unknown", "no posts"))).await.unwrap();
    eventually("the lost node is told", LIMIT, async || {
        let told = reason(&lessor, &lease).await?;
        (told == "NodeNotReady: node n1: no posts").then_some(())
    })
    .await;

    let ((), calls) = lessor
        .calls_of(async {
            for _ in 0..20 {
                lessor.kubernetes.status(&lease).await.unwrap();
                lessor.kubernetes.leases().await.unwrap();
                lessor.kubernetes.inventory().await.unwrap();
            }
        })
        .await;
    assert_eq!(total(&calls), 0, "{:?}", counted(&calls));
    nodes.delete("n1", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn readiness_is_what_the_controllers_say() {
    let Some(lessor) = Lessor::shared(Ring::Api, "watch-ready").await else { return };
    let lease = lease(301);
    let mut db = service("db", "postgres:17");
    db["resources"]["storage"] = json!([{ "name": "data", "size": { "val": "1073741824" },
        "attributes": [{ "key": "class", "value": "beta2" }, { "key": "persistent", "value": "true" }] }]);
    db["params"] = json!({ "storage": [{ "name": "data", "mount": "/data", "readOnly": false }] });
    lessor.kubernetes.apply(&workload(&lease, 1, &[service("web", "nginx:1"), db])).await.unwrap();
    let namespace = names::namespace(&lease);
    let admin = lessor.cluster.admin();
    let deployments: Api<Deployment> = Api::namespaced(admin.clone(), &namespace);
    let sets: Api<StatefulSet> = Api::namespaced(admin, &namespace);
    let params = PatchParams::default();
    let counts = json!({ "status": { "observedGeneration": 1, "replicas": 1, "readyReplicas": 1,
        "availableReplicas": 1, "updatedReplicas": 1 } });
    deployments.patch_status("web", &params, &Patch::Merge(&counts)).await.unwrap();
    let current =
        json!({ "status": { "observedGeneration": 1, "replicas": 1, "currentReplicas": 1 } });
    sets.patch_status("db", &params, &Patch::Merge(&current)).await.unwrap();
    let ready = |status: &LeaseStatus| -> Vec<u32> {
        status.services.iter().map(|service| service.ready).collect()
    };
    eventually("only the deployment is ready", LIMIT, async || {
        let status = lessor.kubernetes.status(&lease).await.unwrap()?;
        (ready(&status) == [0, 1]).then_some(())
    })
    .await;
    sets.patch_status("db", &params, &Patch::Merge(&counts)).await.unwrap();
    eventually("both are ready", LIMIT, async || {
        lessor.kubernetes.status(&lease).await.unwrap()?.is_ready().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_api_server_that_is_gone_and_comes_back_changes_nothing() {
    let Some(cluster) = Cluster::start(Ring::Api).await else { return };
    let lessor = Lessor::patient(&cluster, "watch-outage", Duration::from_secs(5)).await;
    let lease = lease(302);
    let first = workload(&lease, 1, &[service("web", "nginx:1")]);
    lessor.kubernetes.apply(&first).await.unwrap();
    lessor.kubernetes.status(&lease).await.unwrap().unwrap();

    cluster.control().api_server.kill();
    eventually("the outage is noticed", LIMIT, async || {
        let caches = lessor.kubernetes.caches();
        let is_broken = |trouble: &Option<Trouble>| matches!(trouble, Some(Trouble::Broken { .. }));
        caches.iter().all(|report| is_broken(&report.freshness.trouble)).then_some(())
    })
    .await;
    // What was heard a moment ago may still be answered.
    eventually("nothing is young any more", LIMIT, async || {
        lessor.kubernetes.status(&lease).await.err()?;
        lessor.kubernetes.inventory().await.err()?;
        lessor.kubernetes.leases().await.err().map(drop)
    })
    .await;
    let second = workload(&lease, 2, &[service("web", "nginx:2")]);
    for error in [
        lessor.kubernetes.apply(&second).await.err(),
        lessor.kubernetes.status(&lease).await.err(),
        lessor.kubernetes.inventory().await.err(),
        lessor.kubernetes.leases().await.err(),
        lessor.kubernetes.teardown(&lease).await.err(),
    ] {
        let error = error.unwrap();
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
    }

    let returned = lessor::cmd::host::now();
    cluster.control().api_server.restart();
    lessor.caught_up().await;
    // The server that came back does not know the versions of before and says so in each watch (410), which is then begun
    // anew with a list.
    let mut calls = cluster.calls("watch-outage").await;
    calls.retain(|call| call.received > returned);
    println!("since its return: {:?}", counted(&calls));
    assert!(calls.iter().any(|call| call.verb == "list"), "{:?}", counted(&calls));
    assert!(lessor.find(Kind::Deployment, &lease, "web").await.is_some(), "nothing was torn down");
    let (applied, calls) = lessor.calls_of(lessor.kubernetes.apply(&first)).await;
    applied.unwrap();
    assert_eq!(total(&calls), 0, "{:?}", counted(&calls));
    lessor.kubernetes.apply(&second).await.unwrap();
    let status = lessor.kubernetes.status(&lease).await.unwrap().unwrap();
    assert_eq!(status.manifest_hash, second.manifest_hash);
}

#[tokio::test]
async fn an_api_server_that_hangs_is_waited_for_only_so_long() {
    let Some(cluster) = Cluster::start(Ring::Api).await else { return };
    let lessor = Lessor::patient(&cluster, "watch-frozen", Duration::from_secs(2)).await;
    let lease = lease(303);
    lessor.kubernetes.apply(&workload(&lease, 1, &[service("web", "nginx:1")])).await.unwrap();
    cluster.control().api_server.pause();
    let begun = Instant::now();
    let second = workload(&lease, 2, &[service("web", "nginx:2")]);
    let error = lessor.kubernetes.apply(&second).await.unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    cluster.control().api_server.resume();
    eventually("the second is taken", LIMIT, async || lessor.kubernetes.apply(&second).await.ok())
        .await;
    let status = lessor.kubernetes.status(&lease).await.unwrap().unwrap();
    assert_eq!(status.manifest_hash, second.manifest_hash);
}

#[tokio::test]
async fn a_store_that_hangs_is_no_reason_to_tear_anything_down() {
    let Some(cluster) = Cluster::start(Ring::Api).await else { return };
    let lessor = Lessor::patient(&cluster, "watch-store", Duration::from_secs(2)).await;
    let lease = lease(304);
    let first = workload(&lease, 1, &[service("web", "nginx:1")]);
    lessor.kubernetes.apply(&first).await.unwrap();
    cluster.control().etcd.pause();
    let second = workload(&lease, 2, &[service("web", "nginx:2")]);
    let error = lessor.kubernetes.apply(&second).await.unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
    let torn_down = lessor.kubernetes.teardown(&lease).await;
    assert!(!torn_down.is_ok_and(|teardown| teardown.is_gone()));
    cluster.control().etcd.resume();
    eventually("the store answers again", LIMIT, async || {
        lessor.kubernetes.status(&lease).await.ok()?
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_gone_when_the_api_server_says_so_and_what_holds_it_is_told() {
    let Some(lessor) = Lessor::shared(Ring::Controllers, "watch-teardown").await else { return };
    let (lease, other) = (lease(305), lease(306));
    for lease in [&lease, &other] {
        lessor.kubernetes.apply(&workload(lease, 1, &[service("web", "nginx:1")])).await.unwrap();
    }
    let namespace = names::namespace(&lease);
    let held = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "held", "namespace": namespace, "finalizers": ["example.com/wait"] } });
    lessor.cluster.apply(&held).await;
    let (begun, calls) = lessor.calls_of(lessor.kubernetes.teardown(&lease)).await;
    assert!(!begun.unwrap().is_gone());
    println!("a teardown begins with {:?}", counted(&calls));
    let holding = eventually("what holds it is told", LIMIT, async || {
        match lessor.kubernetes.teardown(&lease).await.unwrap() {
            Teardown::Going { since: Some(_), held_by } => {
                held_by.into_iter().find(|what| what.contains("example.com/wait"))
            }
            _ => None,
        }
    })
    .await;
    assert!(holding.starts_with("NamespaceFinalizersRemaining"), "{holding}");
    let (_, calls) = lessor.calls_of(lessor.kubernetes.teardown(&lease)).await;
    assert_eq!(total(&calls), 0, "waiting costs nothing: {:?}", counted(&calls));
    let status = lessor.kubernetes.status(&lease).await.unwrap().unwrap();
    assert!(status.services.iter().all(|service| {
        service.reason.as_ref().is_some_and(|reason| reason.starts_with("Terminating"))
    }));
    let error = lessor
        .kubernetes
        .apply(&workload(&lease, 1, &[service("web", "nginx:1")]))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Unavailable, "it goes: {error}");

    let mut free = held;
    free["metadata"]["finalizers"] = json!([]);
    lessor.cluster.apply(&free).await;
    eventually("it is gone", LIMIT, async || {
        lessor.kubernetes.teardown(&lease).await.unwrap().is_gone().then_some(())
    })
    .await;
    assert!(lessor.find(Kind::Namespace, &lease, &namespace).await.is_none());
    assert_eq!(lessor.kubernetes.status(&lease).await.unwrap(), None);
    let leases = lessor.kubernetes.leases().await.unwrap();
    assert!(!leases.contains(&lease) && leases.contains(&other));
    assert!(lessor.find(Kind::Manifest, &lease, &namespace).await.is_none());
    let of_other = names::namespace(&other);
    assert!(
        lessor.find(Kind::Manifest, &other, &of_other).await.is_some(),
        "another lease's stays"
    );

    // The lease can have something again, and everything of it is written anew.
    lessor.kubernetes.apply(&workload(&lease, 1, &[service("web", "nginx:1")])).await.unwrap();
    assert!(lessor.find(Kind::Deployment, &lease, "web").await.is_some());
    for lease in [&lease, &other] {
        lessor.kubernetes.teardown(lease).await.unwrap();
    }
}
