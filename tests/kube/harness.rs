//! What the other tests stand on: the cluster takes objects, knows its users and counts their calls.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;

use crate::{
    cluster::{Cluster, Ring, apply, audit, shared},
    support::eventually,
};

pub(crate) const LIMIT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn calls_are_counted_by_user_to_the_last_one() {
    let Some(cluster) = shared(Ring::Api) else { return };
    let user = "counted";
    cluster.grant(user, "cluster-admin").await;
    let client = cluster.user(user);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    eventually("the role is known", LIMIT, async || {
        namespaces.list(&ListParams::default()).await.ok()
    })
    .await;
    let before = cluster.calls(user).await.len();

    let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "counted"}});
    let params = PatchParams::apply("tests");
    namespaces.patch("counted", &params, &Patch::Apply(&wanted)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "counted");
    for name in ["one", "two"] {
        let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        maps.patch(name, &params, &Patch::Apply(&wanted)).await.unwrap();
    }
    let absent = maps.get("three").await.unwrap_err();
    assert!(matches!(absent, kube::Error::Api(status) if status.code == 404));

    let calls = cluster.calls(user).await.split_off(before);
    assert!(calls.iter().all(audit::Call::counts));
    let counted: Vec<(String, usize)> = audit::by_kind(&calls).into_iter().collect();
    let expected = [("get configmaps", 1), ("patch configmaps", 2), ("patch namespaces", 1)];
    assert_eq!(counted, expected.map(|(kind, count)| (kind.to_owned(), count)));
    assert_eq!(calls.last().unwrap().status, 404);
}

#[tokio::test]
async fn a_user_without_a_role_may_nothing() {
    let Some(cluster) = shared(Ring::Api) else { return };
    let namespaces: Api<Namespace> = Api::all(cluster.user("nobody"));
    let error = namespaces.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 403));
}

#[tokio::test]
async fn the_kinds_of_the_gateway_api_are_there() {
    let Some(cluster) = shared(Ring::Api) else { return };
    let admin = cluster.admin();
    apply(
        &admin,
        &json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "route", "namespace": "default"},
            "spec": {"hostnames": ["app.example.com"]},
        }),
    )
    .await;
}

#[tokio::test]
async fn the_api_server_can_fall_silent_and_die_and_come_back() {
    let Some(cluster) = Cluster::start(Ring::Api).await else { return };
    let namespaces: Api<Namespace> = Api::all(cluster.admin());
    let first = async || namespaces.list(&ListParams::default()).await;
    first().await.unwrap();
    cluster.control().api_server.pause();
    let silence = Duration::from_millis(300);
    assert!(tokio::time::timeout(silence, first()).await.is_err(), "it still answers");
    cluster.control().api_server.resume();
    eventually("it goes on", LIMIT, async || first().await.ok()).await;
    cluster.control().api_server.kill();
    assert!(first().await.is_err());
    cluster.control().api_server.restart();
    eventually("it came back", LIMIT, async || first().await.ok()).await;
}

#[tokio::test]
async fn objects_are_acted_on_and_a_namespace_goes() {
    let Some(cluster) = shared(Ring::Controllers) else { return };
    let admin = cluster.admin();
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "acted"}}))
        .await;
    cluster.apply(&deployment("acted", "registry.test/tenant:1")).await;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "acted");
    eventually("the deployment has its pod", LIMIT, async || {
        let found = pods.list(&ListParams::default()).await.unwrap();
        (found.items.len() == 1).then_some(())
    })
    .await;
    let namespaces: Api<Namespace> = Api::all(admin);
    namespaces.delete("acted", &DeleteParams::default()).await.unwrap();
    let gone = await_condition(namespaces, "acted", |found: Option<&Namespace>| found.is_none());
    tokio::time::timeout(LIMIT, gone).await.expect("the namespace goes").unwrap();
}

pub(crate) fn deployment(namespace: &str, image: &str) -> serde_json::Value {
    let labels = json!({"app": "web"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "web", "image": image}],
                },
            },
        },
    })
}
