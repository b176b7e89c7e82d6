//! What lessor writes, counted by the API server's own audit log.

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use lessor::{
    cluster::kubernetes::{
        names,
        object::{FIELD_MANAGER, HASH, Kind},
    },
    provider::port::{Cluster as _, ClusterErrorKind},
};
use serde_json::{Value, json};

use crate::{
    cluster::Ring,
    lessor::{LIMIT, Lessor, counted, lease, managers, service, total, workload},
    support::eventually,
};

fn three(image: &str) -> [Value; 3] {
    [service("web", image), service("api", "nginx:1"), service("db", "postgres:17")]
}

#[tokio::test]
async fn a_new_lease_takes_nine_calls_and_an_unchanged_one_none() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-new").await else { return };
    let lease = lease(200);
    let wanted = workload(&lease, 1, &[service("web", "nginx:1")]);
    let (applied, calls) = lessor.calls_of(lessor.kubernetes.apply(&wanted)).await;
    applied.unwrap();
    assert!(calls.iter().all(|call| call.verb == "patch"), "{:?}", counted(&calls));
    assert!(total(&calls) <= 9, "{:?}", counted(&calls));
    let namespace = calls.iter().find(|call| call.resource == "namespaces").unwrap();
    let manifest = calls.iter().find(|call| call.resource == "manifests").unwrap();
    for call in &calls {
        assert!(call.received >= namespace.received && call.received <= manifest.received);
    }

    let (applied, calls) = lessor.calls_of(lessor.kubernetes.apply(&wanted)).await;
    applied.unwrap();
    assert_eq!(total(&calls), 0, "{:?}", counted(&calls));

    // A process that has just started finds it unchanged too.
    let restarted = Lessor::on(lessor.cluster, "apply-new-restarted").await;
    let (applied, calls) = restarted.calls_of(restarted.kubernetes.apply(&wanted)).await;
    applied.unwrap();
    assert_eq!(total(&calls), 0, "{:?}", counted(&calls));
}

#[tokio::test]
async fn what_was_just_applied_is_what_is_answered() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-answered").await else { return };
    let lease = lease(201);
    assert_eq!(lessor.kubernetes.status(&lease).await.unwrap(), None);
    for version in [1, 2, 1, 2] {
        let wanted = workload(&lease, version, &[service("web", &format!("nginx:{version}"))]);
        lessor.kubernetes.apply(&wanted).await.unwrap();
        let status = lessor.kubernetes.status(&lease).await.unwrap().unwrap();
        assert_eq!(status.manifest_hash, wanted.manifest_hash);
        let found = lessor.find(Kind::Deployment, &lease, "web").await.unwrap();
        let image = &found.data["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(*image, json!(format!("nginx:{version}")));
    }
    assert!(lessor.kubernetes.leases().await.unwrap().contains(&lease));
}

#[tokio::test]
async fn an_update_of_one_of_three_services_writes_its_objects_and_no_other() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-update").await else { return };
    let lease = lease(202);
    let (applied, calls) =
        lessor.calls_of(lessor.kubernetes.apply(&workload(&lease, 1, &three("nginx:1")))).await;
    applied.unwrap();
    println!("three services: {} calls, {:?}", total(&calls), counted(&calls));
    let (applied, calls) =
        lessor.calls_of(lessor.kubernetes.apply(&workload(&lease, 2, &three("nginx:2")))).await;
    applied.unwrap();
    let expected = [("patch deployments", 1), ("patch manifests", 1)];
    let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(counted(&calls).into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(calls.iter().find(|call| call.resource == "deployments").unwrap().name, "web");
    for (name, generation) in [("web", 2), ("api", 1), ("db", 1)] {
        let found = lessor.find(Kind::Deployment, &lease, name).await.unwrap();
        assert_eq!(found.metadata.generation, Some(generation), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_wanted_any_more_is_removed_and_what_is_not_ours_stays() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-prune").await else { return };
    let lease = lease(203);
    lessor.kubernetes.apply(&workload(&lease, 1, &three("nginx:1"))).await.unwrap();
    let namespace = names::namespace(&lease);
    let foreign = json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "not-ours", "namespace": namespace }, "spec": { "ports": [{ "port": 1 }] } });
    lessor.cluster.apply(&foreign).await;
    let [web, api, _] = three("nginx:1");
    let (applied, calls) =
        lessor.calls_of(lessor.kubernetes.apply(&workload(&lease, 2, &[web, api]))).await;
    applied.unwrap();
    assert_eq!(lessor.names(Kind::Deployment, &lease).await, ["api", "web"]);
    assert!(lessor.find(Kind::Service, &lease, "not-ours").await.is_some());
    assert!(lessor.find(Kind::Service, &lease, "db").await.is_none());
    let removed = calls.iter().filter(|call| call.verb == "delete");
    assert!(
        removed.clone().count() > 0 && removed.clone().all(|call| call.name == "db"),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_refused_update_removes_nothing_and_what_ran_before_can_be_put_back() {
    let Some(lessor) = Lessor::shared(Ring::Controllers, "apply-refused").await else { return };
    let lease = lease(204);
    let before = workload(&lease, 1, &[service("web", "nginx:1"), service("old", "nginx:1")]);
    lessor.kubernetes.apply(&before).await.unwrap();
    let namespace = names::namespace(&lease);
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "two", "namespace": namespace },
        "spec": { "hard": { "count/deployments.apps": "2" } } });
    lessor.cluster.apply(&quota).await;
    eventually("the quota is counted", LIMIT, async || {
        let found = lessor.find(Kind::ResourceQuota, &lease, "two").await?;
        (found.data["status"]["used"]["count/deployments.apps"] == "2").then_some(())
    })
    .await;

    let refused = workload(&lease, 2, &[service("web", "nginx:2"), service("new", "nginx:1")]);
    let error = lessor.kubernetes.apply(&refused).await.unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Refused, "{error}");
    assert!(
        error.detail.contains("Deployment new") && error.detail.contains("exceeded quota"),
        "{error}"
    );
    assert_eq!(lessor.names(Kind::Deployment, &lease).await, ["old", "web"]);
    let status = lessor.kubernetes.status(&lease).await.unwrap().unwrap();
    assert_eq!(
        status.manifest_hash, before.manifest_hash,
        "what was not applied whole is not named"
    );

    lessor.kubernetes.apply(&before).await.unwrap();
    let web = lessor.find(Kind::Deployment, &lease, "web").await.unwrap();
    assert_eq!(web.data["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:1");
}

#[tokio::test]
async fn a_policy_of_the_operator_that_refuses_is_heard_in_its_own_words() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-policy").await else { return };
    let lease = lease(205);
    lessor.kubernetes.apply(&workload(&lease, 1, &[service("web", "nginx:1")])).await.unwrap();
    let namespace = names::namespace(&lease);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "no-latest" },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["deployments"],
            }] },
            "validations": [{
                "expression": "!object.spec.template.spec.containers.exists(c, c.image.endsWith(':latest'))",
                "message": "images must have a version",
            }],
        },
    });
    lessor.cluster.apply(&policy).await;
    lessor
        .cluster
        .apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": { "name": "no-latest" },
            "spec": { "policyName": "no-latest", "validationActions": ["Deny"], "matchResources": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            } },
        }))
        .await;
    let latest = workload(&lease, 2, &[service("web", "nginx:latest")]);
    let error = eventually("the policy is known", LIMIT, async || {
        // Until it is, the update passes; the next look is at the first again.
        let first = workload(&lease, 1, &[service("web", "nginx:1")]);
        lessor.kubernetes.apply(&first).await.unwrap();
        lessor.kubernetes.apply(&latest).await.err()
    })
    .await;
    assert_eq!(error.kind, ClusterErrorKind::Refused, "{error}");
    assert!(error.detail.contains("images must have a version"), "{error}");
    let web = lessor.find(Kind::Deployment, &lease, "web").await.unwrap();
    assert_eq!(web.data["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:1");
}

#[tokio::test]
async fn what_somebody_else_applied_to_our_fields_is_ours_again_after_the_next_change() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-conflict").await else { return };
    let lease = lease(206);
    lessor.kubernetes.apply(&workload(&lease, 1, &[service("web", "nginx:1")])).await.unwrap();
    let deployments = lessor.objects(Kind::Deployment, &lease);
    let theirs = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web" }, "spec": { "replicas": 5 } });
    let params = PatchParams::apply("somebody").force();
    deployments.patch("web", &params, &Patch::Apply(&theirs)).await.unwrap();
    lessor.kubernetes.apply(&workload(&lease, 2, &[service("web", "nginx:2")])).await.unwrap();
    let found = deployments.get("web").await.unwrap();
    assert_eq!(found.data["spec"]["replicas"], 1);
}

#[tokio::test]
async fn a_hostname_moves_to_the_lease_that_has_it_now_and_the_old_lease_s_end_leaves_it() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-hostname").await else { return };
    let (first, second) = (lease(207), lease(208));
    let mut of_first = workload(&first, 1, &[service("web", "nginx:1")]);
    let mut of_second = workload(&second, 1, &[service("web", "nginx:1")]);
    of_first.hostnames[0].hostname = "moves.example.com".to_owned();
    lessor.kubernetes.apply(&of_first).await.unwrap();
    of_second.hostnames[0].hostname = "moves.example.com".to_owned();
    lessor.kubernetes.apply(&of_second).await.unwrap();
    let host = lessor.find(Kind::ProviderHost, &second, "moves.example.com").await.unwrap();
    assert_eq!(host.data["spec"]["dseq"], 208);

    of_first.hostnames.clear();
    of_first.manifest_hash = "02".repeat(32);
    lessor.kubernetes.apply(&of_first).await.unwrap();
    assert!(lessor.find(Kind::ProviderHost, &second, "moves.example.com").await.is_some());
    let status = lessor.kubernetes.status(&second).await.unwrap().unwrap();
    assert_eq!(status.services[0].hostnames, ["moves.example.com"]);
    let status = lessor.kubernetes.status(&first).await.unwrap().unwrap();
    assert_eq!(status.services[0].hostnames, [""; 0]);
}

/// The objects of a lease as today's provider writes them, by updates under its own name.
async fn as_today_s_provider(lessor: &Lessor<'_>, lease: &lessor::domain::LeaseId) {
    let namespace = names::namespace(lease);
    let mut base = json!({ "akash.network": "true", "akash.network/namespace": namespace,
        "akash.network/manifest.resource.version": "4711" });
    let mut of_lease = base.clone();
    for (name, value) in names::lease_labels(lease) {
        of_lease[name] = json!(value);
    }
    let params =
        PostParams { field_manager: Some("provider-services".to_owned()), ..PostParams::default() };
    let create = async |kind: Kind, mut body: Value| {
        body["apiVersion"] = json!(kind.api().version());
        body["kind"] = json!(kind.api().kind);
        let object = serde_json::from_value(body).unwrap();
        lessor.objects(kind, lease).create(&params, &object).await.unwrap();
    };
    create(Kind::Namespace, json!({ "metadata": { "name": namespace, "labels": of_lease } })).await;
    let mut manifest_labels = of_lease.clone();
    manifest_labels["akash.network/manifest.resource.version"] = json!("");
    let id = json!({ "owner": lease.order.owner().to_string(), "dseq": lease.order.dseq().to_string(),
        "gseq": 1, "oseq": 1, "provider": lease.provider.to_string() });
    create(
        Kind::Manifest,
        json!({ "metadata": { "name": namespace, "labels": manifest_labels },
        "spec": { "lease_id": id, "group": { "name": "west", "services": [] } } }),
    )
    .await;
    create(Kind::NetworkPolicy, json!({ "metadata": { "name": "akash-deployment-restrictions", "labels": base },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{ "to": [{ "ipBlock": {
            "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"] } }] }] } })).await;
    base["akash.network/manifest-service"] = json!("web");
    let selector = json!({ "akash.network": "true", "akash.network/manifest-service": "web",
        "akash.network/namespace": namespace });
    create(Kind::Deployment, json!({ "metadata": { "name": "web", "labels": base },
        "spec": {
            "replicas": 1, "revisionHistoryLimit": 10, "selector": { "matchLabels": selector },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
            "template": { "metadata": { "labels": base }, "spec": {
                "automountServiceAccountToken": false, "hostname": "only-theirs",
                "containers": [{ "name": "web", "image": "nginx:1", "imagePullPolicy": "IfNotPresent" }],
            } },
        } })).await;
    create(Kind::Service, json!({ "metadata": { "name": "web-np", "labels": base },
        "spec": { "type": "NodePort", "selector": selector,
            "ports": [{ "name": "0-5000", "port": 5000, "targetPort": 5000, "protocol": "TCP" }] } })).await;
    let host = format!("web-{}.example.com", lease.order.dseq());
    let mut host_labels = json!({ "akash.network": "true" });
    for (name, value) in names::lease_labels(lease) {
        host_labels[name] = json!(value);
    }
    create(Kind::ProviderHost, json!({ "metadata": { "name": host, "labels": host_labels },
        "spec": { "hostname": host, "service_name": "web", "external_port": 80,
            "owner": id["owner"], "provider": id["provider"], "dseq": lease.order.dseq(), "gseq": 1, "oseq": 1 } })).await;
}

#[tokio::test]
async fn what_today_s_provider_wrote_is_taken_over_in_place() {
    let Some(lessor) = Lessor::shared(Ring::Api, "apply-adopt").await else { return };
    let lease = lease(209);
    as_today_s_provider(&lessor, &lease).await;
    let services: Api<Service> = Api::namespaced(lessor.cluster.admin(), &names::namespace(&lease));
    let port = |service: Service| service.spec.unwrap().ports.unwrap()[0].node_port.unwrap();
    let before = lessor.find(Kind::Deployment, &lease, "web").await.unwrap();
    let node_port = port(services.get("web-np").await.unwrap());
    eventually("the lease is seen", LIMIT, async || {
        lessor.kubernetes.leases().await.unwrap().contains(&lease).then_some(())
    })
    .await;
    let status = lessor.kubernetes.status(&lease).await.unwrap().unwrap();
    assert_eq!((status.services.len(), status.manifest_hash.as_str()), (1, ""));

    let mut web = service("web", "nginx:1");
    let mut game = web["expose"][0].clone();
    game["port"] = json!(5000);
    game["externalPort"] = json!(5000);
    web["expose"].as_array_mut().unwrap().push(game);
    let wanted = workload(&lease, 1, &[web]);
    lessor.kubernetes.apply(&wanted).await.unwrap();

    let after = lessor.find(Kind::Deployment, &lease, "web").await.unwrap();
    assert_eq!(after.uid(), before.uid(), "it is the same object");
    assert_eq!(managers(&after.metadata), [FIELD_MANAGER]);
    let pod = &after.data["spec"]["template"];
    assert_eq!(pod["spec"].get("hostname"), None, "what only they wanted is gone: {pod}");
    assert_eq!(pod["metadata"]["labels"].get("akash.network/manifest.resource.version"), None);
    assert_eq!(after.data["spec"]["selector"], before.data["spec"]["selector"]);
    assert_eq!(port(services.get("web-np").await.unwrap()), node_port, "clients know the port");
    for (kind, name) in [
        (Kind::Namespace, names::namespace(&lease)),
        (Kind::Manifest, names::namespace(&lease)),
        (Kind::NetworkPolicy, "akash-deployment-restrictions".to_owned()),
        (Kind::Service, "web-np".to_owned()),
        (Kind::ProviderHost, wanted.hostnames[0].hostname.clone()),
    ] {
        let found = lessor.find(kind, &lease, &name).await.unwrap();
        let theirs = managers(&found.metadata);
        assert!(!theirs.iter().any(|manager| manager == "provider-services"), "{name}: {theirs:?}");
        assert!(found.annotations().contains_key(HASH), "{name}");
    }
    let (applied, calls) = lessor.calls_of(lessor.kubernetes.apply(&wanted)).await;
    applied.unwrap();
    assert_eq!(total(&calls), 0, "{:?}", counted(&calls));
}

#[tokio::test]
async fn without_watches_the_same_is_done_from_lists() {
    let Some(watched) = Lessor::shared(Ring::Api, "apply-step-watched").await else { return };
    let lease = lease(210);
    let timeout = std::time::Duration::from_secs(30);
    let lessor = Lessor::without_watches(watched.cluster, "apply-step", timeout).await;
    for version in [1, 2, 1] {
        let wanted = workload(&lease, version, &[service("web", &format!("nginx:{version}"))]);
        lessor.kubernetes.apply(&wanted).await.unwrap();
        let status = lessor.kubernetes.status(&lease).await.unwrap().unwrap();
        assert_eq!(status.manifest_hash, wanted.manifest_hash);
        let (applied, calls) = lessor.calls_of(lessor.kubernetes.apply(&wanted)).await;
        applied.unwrap();
        assert!(calls.iter().all(|call| call.verb == "list"), "{:?}", counted(&calls));
    }
    assert!(lessor.kubernetes.leases().await.unwrap().contains(&lease));
    let of_watched = eventually("the watch has it too", LIMIT, async || {
        watched
            .kubernetes
            .status(&lease)
            .await
            .unwrap()
            .filter(|status| status.manifest_hash.starts_with("01"))
    })
    .await;
    assert_eq!(Some(of_watched), lessor.kubernetes.status(&lease).await.unwrap());
}
