//! The provider while the API server, or its store, is away, silent, slow, or says no: nothing is torn down, everything goes on.
//!
//! `KUBE_OUTAGE_SECONDS` says how long each outage lasts; `tests/run --soak` makes it two minutes.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{Api, ResourceExt as _};
use lessor::{
    client::{Error, Tenant, deploy::Step},
    cluster::kubernetes::names,
    cmd::host,
    domain::LeaseId,
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    cluster::{Cluster, Ring, shared},
    paper::PAPER,
    provider::{LIMIT, Provider, USER, changed, example, terms, word},
    support::eventually,
    wire::Wire,
};

/// How long each outage lasts.
fn outage() -> Duration {
    let seconds = std::env::var("KUBE_OUTAGE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(8, |seconds| seconds.parse().unwrap()))
}

/// Waits for as long as an outage lasts, looking again and again. A process that spins has used more time than it waited.
async fn lasts(provider: &Provider<'_>, what: &str, mut look: impl AsyncFnMut()) {
    let (begun, used) = (Instant::now(), provider.serve.used());
    while begun.elapsed() < outage() {
        look().await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let (lasted, used) = (begun.elapsed(), provider.serve.used().checked_sub(used).unwrap());
    println!("{what}: lasted {lasted:?}, the provider used {used:?} of a processor");
    assert!(used < lasted / 2, "{what}: {used:?} of {lasted:?}");
}

/// Deploys or updates, and tells of each step when it is done.
struct Steps(mpsc::UnboundedReceiver<String>);

impl Steps {
    fn new() -> (Self, impl FnMut(Step) + Send) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self(told), move |step: Step| drop(tell.send(word(&step))))
    }

    /// Waits for a step; everything up to it is passed over.
    async fn reach(&mut self, wanted: &str) {
        let reached = async { while self.0.recv().await.expect("the walk goes on") != wanted {} };
        tokio::time::timeout(LIMIT, reached).await.expect(wanted);
    }
}

fn text<'a>(view: &'a Value, name: &str) -> &'a str {
    view[name].as_str().unwrap_or_default()
}

async fn in_phase(provider: &Provider<'_>, tenant: &Tenant, lease: &LeaseId, phase: &str) {
    eventually(&format!("the lease is {phase}"), LIMIT, async || {
        (provider.lease(tenant, lease).await["phase"] == phase).then_some(())
    })
    .await;
}

/// Waits until a lease that does not get on says why.
async fn says_why(provider: &Provider<'_>, tenant: &Tenant, lease: &LeaseId, words: &str) {
    let why = eventually(&format!("the lease says {words:?}"), LIMIT, async || {
        let view = provider.lease(tenant, lease).await;
        let why = text(&view, "phase_reason").to_owned();
        why.contains(words).then_some(why)
    })
    .await;
    println!("{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_in_each_phase_of_a_lease_only_delays_it() {
    const DSEQ: u64 = 710;
    let Some(cluster) = Cluster::start(Ring::Paper).await else { return };
    let wire = Wire::to(cluster.server()).await;
    let provider = Provider::behind(&cluster, &wire.url()).await;
    let tenant = provider.tenant(0);

    // The manifest comes while it is away, and is applied when it is back without being sent again.
    let (mut steps, mut tell) = Steps::new();
    let mut observe = |step: Step| {
        if matches!(step, Step::Lease { .. }) {
            cluster.control().api_server.kill();
        }
        tell(step);
    };
    let document = example("web.yaml");
    let terms = terms();
    let deploying = tenant.deploy(&document, Some(DSEQ), &terms, &mut observe);
    let watching = async {
        steps.reach("manifest").await;
        let lease = provider.lease_of(&tenant, DSEQ).await;
        in_phase(&provider, &tenant, &lease, "applying").await;
        lasts(&provider, "away when the manifest comes", async || {
            assert_eq!(provider.lease(&tenant, &lease).await["phase"], "applying");
        })
        .await;
        says_why(&provider, &tenant, &lease, "try ").await;

        // It goes again when the namespace is there and nothing else: answers are late, so there is time for it.
        wire.slow(Duration::from_millis(300));
        cluster.control().api_server.restart();
        let namespaces: Api<Namespace> = Api::all(cluster.admin());
        let name = names::namespace(&lease);
        eventually("the namespace is made", LIMIT, async || {
            namespaces.get_opt(&name).await.ok().flatten()
        })
        .await;
        cluster.control().api_server.kill();
        wire.slow(Duration::ZERO);
        lasts(&provider, "away in the middle of applying", async || {
            assert_eq!(provider.lease(&tenant, &lease).await["phase"], "applying");
        })
        .await;
        cluster.control().api_server.restart();
        steps.reach("ready").await;
        lease
    };
    let (deployed, lease) = tokio::join!(deploying, watching);
    deployed.unwrap();
    away_while_running(&cluster, &provider, &tenant, &lease).await;

    cluster.control().api_server.kill();
    tenant.close(DSEQ, &mut |_| {}).await.unwrap();
    in_phase(&provider, &tenant, &lease, "tearing_down").await;
    lasts(&provider, "away when the lease ends", async || {
        assert_eq!(provider.lease(&tenant, &lease).await["phase"], "tearing_down");
    })
    .await;
    says_why(&provider, &tenant, &lease, "tear a lease down").await;
    cluster.control().api_server.restart();
    let namespaces: Api<Namespace> = Api::all(cluster.admin());
    eventually("the namespace goes", LIMIT, async || {
        let found = namespaces.get_opt(&names::namespace(&lease)).await.ok()?;
        found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()).then_some(())
    })
    .await;
    cluster.control().api_server.kill();
    lasts(&provider, "away in the middle of the teardown", async || {}).await;
    cluster.control().api_server.restart();
    back(&cluster).await;
    provider.is_gone(&tenant, &lease).await;
}

/// Waits until the API server answers.
async fn back(cluster: &Cluster) {
    let namespaces: Api<Namespace> = Api::all(cluster.admin());
    eventually("the API server is back", LIMIT, async || namespaces.get("default").await.ok())
        .await;
}

/// What was observed is told with its age, nothing is written, and what can be offered is known again afterwards.
async fn away_while_running(
    cluster: &Cluster,
    provider: &Provider<'_>,
    tenant: &Tenant,
    lease: &LeaseId,
) {
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin(), &names::namespace(lease));
    let before = deployments.get("web").await.unwrap();
    // The tenant may hear of it before a step has written it down, and what is written down is what can be told now.
    eventually("the lease's row says that it is ready", LIMIT, async || {
        let leases = provider.operator("/v1/leases").await?;
        (leases["items"][0]["ready"] == true).then_some(())
    })
    .await;
    cluster.control().api_server.kill();
    let begun = host::now();
    lasts(provider, "away while the lease runs", async || {
        let view = provider.lease(tenant, lease).await;
        let state = (text(&view, "state"), text(&view, "phase"));
        assert_eq!(state, ("active", "running"), "{view}");
        assert_eq!(
            (&view["services"][0]["name"], &view["services"][0]["ready"]),
            (&"web".into(), &1.into())
        );
        let _: jiff::Timestamp = text(&view, "observed_at").parse().unwrap();
    })
    .await;
    let inventory = provider.operator("/v1/inventory").await.unwrap();
    let observed: jiff::Timestamp = text(&inventory, "observed_at").parse().unwrap();
    println!("the inventory was looked at {} after the outage began", observed - begun);

    let returned = host::now();
    cluster.control().api_server.restart();
    back(cluster).await;
    provider.offers("the inventory is young again", returned).await;
    eventually("the lease is seen to be ready", LIMIT, async || {
        let view = provider.lease(tenant, lease).await;
        let observed: jiff::Timestamp = text(&view, "observed_at").parse().unwrap();
        (view["ready"] == true && observed > returned).then_some(())
    })
    .await;
    let after = deployments.get("web").await.unwrap();
    assert_eq!(
        (after.uid(), after.metadata.generation),
        (before.uid(), before.metadata.generation)
    );
    let calls = cluster.calls(USER).await;
    let wrote: Vec<_> = calls
        .iter()
        .filter(|call| {
            call.received > begun && !["watch", "list", "get"].contains(&call.verb.as_str())
        })
        .collect();
    assert!(wrote.is_empty(), "{wrote:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_slow_answers_and_broken_connections_only_delay_an_update() {
    const DSEQ: u64 = 711;
    let Some(cluster) = Cluster::start(Ring::Paper).await else { return };
    let wire = Wire::to(cluster.server()).await;
    let provider = Provider::behind(&cluster, &wire.url()).await;
    let tenant = provider.tenant(0);
    let document = |mode: &str| {
        changed(
            &example("web.yaml"),
            "    expose:",
            &format!("    env: [MODE={mode}]\n    expose:"),
        )
    };
    tenant.deploy(&document("first"), Some(DSEQ), &terms(), &mut |_| {}).await.unwrap();
    let lease = provider.lease_of(&tenant, DSEQ).await;

    for what in ["API server", "store"] {
        let frozen = |stands: bool| {
            let control = cluster.control();
            let process = if what == "store" { &control.etcd } else { &control.api_server };
            if stands { process.pause() } else { process.resume() }
        };
        let (mut steps, mut observe) = Steps::new();
        frozen(true);
        let document = document(&format!("frozen-{}", what.len()));
        let updating = tenant.update(DSEQ, &document, LIMIT, &mut observe);
        let watching = async {
            steps.reach("manifest").await;
            in_phase(&provider, &tenant, &lease, "applying").await;
            lasts(&provider, &format!("the {what} stands still"), async || {
                let view = provider.lease(&tenant, &lease).await;
                assert_eq!((text(&view, "state"), text(&view, "phase")), ("active", "applying"));
                assert_eq!(view["services"][0]["name"], "web");
            })
            .await;
            frozen(false);
        };
        let (updated, ()) = tokio::join!(updating, watching);
        updated.unwrap();
    }

    wire.slow(Duration::from_secs(1));
    tenant.update(DSEQ, &document("slow"), LIMIT, &mut |_| {}).await.unwrap();
    wire.slow(Duration::ZERO);
    wire.cut();
    tenant.update(DSEQ, &document("cut"), LIMIT, &mut |_| {}).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin(), &names::namespace(&lease));
    let found = deployments.get("web").await.unwrap();
    assert_eq!(found.metadata.generation, Some(5), "each update was written once");
    tenant.close(DSEQ, &mut |_| {}).await.unwrap();
    provider.is_gone(&tenant, &lease).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operators_policy_refuses_is_told_and_what_ran_before_goes_on() {
    const DSEQ: u64 = 712;
    let Some(cluster) = shared(Ring::Paper) else { return };
    let _turn = PAPER.read().await;
    let provider = Provider::start(cluster).await;
    let tenant = provider.tenant(0);
    let document = example("web.yaml");
    tenant.deploy(&document, Some(DSEQ), &terms(), &mut |_| {}).await.unwrap();
    let lease = provider.lease_of(&tenant, DSEQ).await;
    let namespace = names::namespace(&lease);
    forbid_latest(cluster, &namespace).await;

    let latest = changed(&document, "nginx:1.27-alpine", "nginx:latest");
    let refused = tenant.update(DSEQ, &latest, LIMIT, &mut |_| {}).await.unwrap_err();
    let Error::Gateway { status: 409, detail, .. } = &refused else { panic!("{refused}") };
    assert!(detail.contains("images must have a version"), "{detail}");
    assert!(detail.contains("what ran before goes on"), "{detail}");
    let view = provider.lease(&tenant, &lease).await;
    assert_eq!((text(&view, "state"), text(&view, "phase")), ("active", "refused"), "{view}");
    assert_eq!(view["services"][0]["ready"], 1, "{view}");
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin(), &namespace);
    let image = async || {
        let found = deployments.get("web").await.unwrap();
        found.spec.unwrap().template.spec.unwrap().containers[0].image.clone().unwrap()
    };
    assert_eq!(image().await, "nginx:1.27-alpine");

    let better = changed(&document, "nginx:1.27-alpine", "nginx:1.28-alpine");
    tenant.update(DSEQ, &better, LIMIT, &mut |_| {}).await.unwrap();
    assert_eq!(image().await, "nginx:1.28-alpine");
    tenant.close(DSEQ, &mut |_| {}).await.unwrap();
    provider.is_gone(&tenant, &lease).await;
}

/// A policy for one namespace, in force when this returns.
async fn forbid_latest(cluster: &Cluster, namespace: &str) {
    let group = "admissionregistration.k8s.io/v1";
    let name = format!("versions-{namespace}");
    cluster
        .apply(&json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name },
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
        }))
        .await;
    cluster
        .apply(&json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": name },
            "spec": { "policyName": name, "validationActions": ["Deny"], "matchResources": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            } },
        }))
        .await;
    let tried = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "tried", "namespace": namespace },
        "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": {
            "metadata": { "labels": { "a": "b" } },
            "spec": { "containers": [{ "name": "tried", "image": "tried:latest" }] },
        } },
    });
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin(), namespace);
    let dry = kube::api::PostParams { dry_run: true, ..kube::api::PostParams::default() };
    let tried: Deployment = serde_json::from_value(tried).unwrap();
    eventually("the policy is in force", LIMIT, async || {
        deployments.create(&dry, &tried).await.err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_a_finalizer_holds_is_told_and_goes_when_it_is_lifted() {
    const DSEQ: u64 = 713;
    let Some(cluster) = shared(Ring::Paper) else { return };
    let _turn = PAPER.read().await;
    let provider = Provider::start(cluster).await;
    let tenant = provider.tenant(0);
    tenant.deploy(&example("web.yaml"), Some(DSEQ), &terms(), &mut |_| {}).await.unwrap();
    let lease = provider.lease_of(&tenant, DSEQ).await;
    let mut held = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "held", "namespace": names::namespace(&lease), "finalizers": ["example.com/wait"],
    } });
    cluster.apply(&held).await;
    tenant.close(DSEQ, &mut |_| {}).await.unwrap();
    says_why(&provider, &tenant, &lease, "example.com/wait").await;
    assert_eq!(provider.lease(&tenant, &lease).await["phase"], "tearing_down");
    held["metadata"]["finalizers"] = json!([]);
    cluster.apply(&held).await;
    provider.is_gone(&tenant, &lease).await;
}
