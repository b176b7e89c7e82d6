//! What every backend of the cluster port promises, as functions over the port. A backend's tests call [`keeps`] for
//! each; leases are told apart by their number, so all can run in one cluster at once.

use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt as _;
use lessor::{
    domain::{LeaseId, inventory::Inventory},
    provider::port::{
        Cluster, ClusterErrorKind, ClusterEvent, LeaseStatus, LogLine, LogQuery, ServiceStatus,
        Workload,
    },
};
use serde_json::json;

use super::{lease, route, service, workload};
use crate::support::eventually;

/// Images as the backend has them.
pub(super) struct Images {
    /// Runs and writes lines to its log for ever.
    pub(super) good: &'static str,
    /// Cannot be pulled.
    pub(super) missing: &'static str,
    /// Exits soon after it starts.
    pub(super) crashing: &'static str,
}

/// How long anything may take, on a busy machine with a real node too.
const LIMIT: Duration = Duration::from_mins(2);

async fn ready(cluster: &dyn Cluster, lease: &LeaseId, hash: &str) -> LeaseStatus {
    eventually("the lease is ready with its newest version", LIMIT, async || {
        let status = cluster.status(lease).await.unwrap()?;
        let newest = status.services.iter().all(|service| service.updated == service.total);
        (status.is_ready() && newest && status.manifest_hash == hash).then_some(status)
    })
    .await
}

async fn apply(cluster: &dyn Cluster, workload: &Workload) -> LeaseStatus {
    cluster.apply(workload).await.unwrap();
    ready(cluster, &workload.lease, &workload.manifest_hash).await
}

async fn gone(cluster: &dyn Cluster, lease: &LeaseId) {
    eventually("nothing is left of the lease", LIMIT, async || {
        cluster.teardown(lease).await.unwrap().is_gone().then_some(())
    })
    .await;
}

async fn logs(cluster: &dyn Cluster, lease: &LeaseId, query: &LogQuery) -> Vec<LogLine> {
    let lines = cluster.logs(lease, query).await.unwrap();
    lines.map(Result::unwrap).collect().await
}

/// The first line of a log, as soon as there is one.
async fn first_line(cluster: &dyn Cluster, lease: &LeaseId) -> LogLine {
    eventually("the log has a line", LIMIT, async || {
        logs(cluster, lease, &LogQuery::default()).await.into_iter().next()
    })
    .await
}

/// The one replica of a service whose log can be read. After an update the replica before it may still be leaving, so
/// this waits until a single one is left.
async fn only_replica(cluster: &dyn Cluster, lease: &LeaseId, service: &str) -> String {
    let query = LogQuery { services: vec![service.to_owned()], ..LogQuery::default() };
    eventually("one replica of the service is left", LIMIT, async || {
        let lines = logs(cluster, lease, &query).await;
        let replicas: BTreeSet<String> = lines.into_iter().map(|line| line.replica).collect();
        let mut replicas = replicas.into_iter();
        replicas.next().filter(|_| replicas.next().is_none())
    })
    .await
}

async fn events(cluster: &dyn Cluster, lease: &LeaseId, after: Option<&str>) -> Vec<ClusterEvent> {
    let events = cluster.events(lease, false, after).await.unwrap();
    events.map(Result::unwrap).collect().await
}

fn by_name<'a>(status: &'a LeaseStatus, name: &str) -> &'a ServiceStatus {
    status.services.iter().find(|service| service.name == name).unwrap()
}

pub(super) async fn an_applied_workload_becomes_ready(cluster: &dyn Cluster, images: &Images) {
    let lease = lease(101);
    let mut two = workload(
        &lease,
        1,
        &[service("api", images.good), {
            let mut web = service("web", images.good);
            web["count"] = json!(2);
            web
        }],
    );
    two.hostnames = vec![route("contract-101.example.com", "web")];
    let status = apply(cluster, &two).await;
    assert_eq!((by_name(&status, "web").ready, by_name(&status, "web").total), (2, 2));
    assert_eq!(by_name(&status, "api").total, 1);
    assert_eq!(by_name(&status, "web").hostnames, ["contract-101.example.com"]);
    assert_eq!(by_name(&status, "api").hostnames, [""; 0]);
    assert!(status.services.iter().all(|service| service.reason.is_none()), "{status:?}");
    assert!(cluster.leases().await.unwrap().contains(&lease));
    gone(cluster, &lease).await;
}

pub(super) async fn the_same_workload_again_changes_nothing(
    cluster: &dyn Cluster,
    images: &Images,
) {
    let lease = lease(102);
    let workload = workload(&lease, 1, &[service("web", images.good)]);
    let before = apply(cluster, &workload).await;
    let line = first_line(cluster, &lease).await;
    for _ in 0..3 {
        cluster.apply(&workload).await.unwrap();
    }
    assert_eq!(cluster.status(&lease).await.unwrap(), Some(before));
    assert_eq!(first_line(cluster, &lease).await, line, "the same replica still runs");
    gone(cluster, &lease).await;
}

pub(super) async fn an_update_restarts_only_the_service_that_differs(
    cluster: &dyn Cluster,
    images: &Images,
) {
    let lease = lease(103);
    let first = workload(&lease, 1, &[service("api", images.good), service("web", images.good)]);
    apply(cluster, &first).await;
    let replica = async |name: &str| only_replica(cluster, &lease, name).await;
    let (api, web) = (replica("api").await, replica("web").await);

    let mut changed = service("web", images.good);
    changed["env"] = json!(["MODE=other"]);
    let second = workload(&lease, 2, &[service("api", images.good), changed]);
    let status = apply(cluster, &second).await;
    assert_eq!(by_name(&status, "api").generation, 1);
    assert_eq!(by_name(&status, "web").generation, 2);
    assert_eq!(replica("api").await, api, "the unchanged service was not restarted");
    assert_ne!(replica("web").await, web, "the changed service was");

    let third = workload(&lease, 3, &[service("api", images.good)]);
    let status = apply(cluster, &third).await;
    assert_eq!(status.services.len(), 1, "a service that is no longer wanted goes");
    gone(cluster, &lease).await;
}

pub(super) async fn of_an_unknown_lease_nothing_is_known(cluster: &dyn Cluster, _: &Images) {
    let unknown = lease(104);
    assert_eq!(cluster.status(&unknown).await.unwrap(), None);
    assert!(cluster.teardown(&unknown).await.unwrap().is_gone(), "nothing is left of it");
    assert!(!cluster.leases().await.unwrap().contains(&unknown));
    let logs = cluster.logs(&unknown, &LogQuery::default()).await.err().unwrap();
    assert_eq!(logs.kind, ClusterErrorKind::NotFound, "{logs}");
    let events = cluster.events(&unknown, false, None).await.err().unwrap();
    assert_eq!(events.kind, ClusterErrorKind::NotFound, "{events}");
}

async fn complaint(cluster: &dyn Cluster, lease: &LeaseId, word: &str) -> String {
    eventually(&format!("the reason names {word}"), LIMIT, async || {
        let status = cluster.status(lease).await.unwrap()?;
        // One that ends at once may be seen running, and is ready then.
        let bad = by_name(&status, "bad");
        let reason = bad.reason.clone()?;
        (bad.ready == 0 && reason.starts_with(word)).then_some(reason)
    })
    .await
}

pub(super) async fn an_image_that_cannot_be_pulled_says_so(cluster: &dyn Cluster, images: &Images) {
    let lease = lease(105);
    let services = [service("bad", images.missing), service("good", images.good)];
    cluster.apply(&workload(&lease, 1, &services)).await.unwrap();
    let reason = complaint(cluster, &lease, "ImagePullBackOff").await;
    assert!(reason.contains(images.missing), "{reason}");
    eventually("the service beside it is ready", LIMIT, async || {
        let status = cluster.status(&lease).await.unwrap()?;
        (by_name(&status, "good").ready == 1).then_some(())
    })
    .await;
    let found = events(cluster, &lease, None).await;
    let warning = found.iter().find(|event| event.kind == "Warning").unwrap();
    assert_eq!(warning.service.as_deref(), Some("bad"), "{found:?}");
    // A better version replaces it at once.
    apply(cluster, &workload(&lease, 2, &[service("bad", images.good)])).await;
    gone(cluster, &lease).await;
}

pub(super) async fn a_service_that_crashes_says_so(cluster: &dyn Cluster, images: &Images) {
    let lease = lease(106);
    cluster.apply(&workload(&lease, 1, &[service("bad", images.crashing)])).await.unwrap();
    complaint(cluster, &lease, "CrashLoopBackOff").await;
    gone(cluster, &lease).await;
}

pub(super) async fn a_log_can_be_cut_followed_and_resumed(cluster: &dyn Cluster, images: &Images) {
    let lease = lease(107);
    let services = [service("api", images.good), service("web", images.good)];
    apply(cluster, &workload(&lease, 1, &services)).await;
    let web = LogQuery { services: vec!["web".to_owned()], ..LogQuery::default() };
    eventually("the service has written five lines", LIMIT, async || {
        (logs(cluster, &lease, &web).await.len() >= 5).then_some(())
    })
    .await;

    let all = logs(cluster, &lease, &web).await;
    assert!(all.iter().all(|line| line.service == "web"));
    assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at), "oldest first");
    let tail = logs(cluster, &lease, &LogQuery { tail: Some(2), ..web.clone() }).await;
    assert_eq!(tail.len(), 2);
    assert!(tail[0].at >= all[all.len() - 2].at, "the last lines, not the first");

    let after = Some(all[1].cursor.clone());
    let resumed = logs(cluster, &lease, &LogQuery { after: after.clone(), ..web.clone() }).await;
    assert_eq!(resumed[..all.len() - 2], all[2..], "nothing twice, nothing missed");

    let query = LogQuery { follow: true, after, ..web.clone() };
    let followed = cluster.logs(&lease, &query).await.unwrap();
    let wanted = all.len() + 3;
    let followed: Vec<LogLine> = followed.map(Result::unwrap).take(wanted).collect().await;
    assert_eq!(followed[..all.len() - 2], all[2..]);
    let new = logs(cluster, &lease, &web).await;
    assert_eq!(followed[..], new[2..2 + wanted], "a follower sees what is there afterwards");

    let nobody = LogQuery { services: vec!["nobody".to_owned()], ..LogQuery::default() };
    let error = cluster.logs(&lease, &nobody).await.err().unwrap();
    assert_eq!(error.kind, ClusterErrorKind::NotFound, "{error}");
    gone(cluster, &lease).await;
}

pub(super) async fn a_followed_log_ends_with_its_lease(cluster: &dyn Cluster, images: &Images) {
    let lease = lease(108);
    apply(cluster, &workload(&lease, 1, &[service("web", images.good)])).await;
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut lines = cluster.logs(&lease, &query).await.unwrap();
    lines.next().await.unwrap().unwrap();
    gone(cluster, &lease).await;
    let rest = async { while lines.next().await.is_some_and(|line| line.is_ok()) {} };
    tokio::time::timeout(LIMIT, rest).await.expect("the stream ends");
}

pub(super) async fn a_replica_s_way_to_ready_is_told_as_events(
    cluster: &dyn Cluster,
    images: &Images,
) {
    let lease = lease(109);
    apply(cluster, &workload(&lease, 1, &[service("web", images.good)])).await;
    let way = ["Scheduled", "Pulled", "Created", "Started"];
    // What a node tells may come a little after the replica is ready.
    let told = eventually("the last step is told", LIMIT, async || {
        let told = events(cluster, &lease, None).await;
        told.iter().any(|event| event.reason == way[3]).then_some(told)
    })
    .await;
    let reasons = told.iter().map(|event| event.reason.as_str());
    let reasons: Vec<&str> = reasons.filter(|reason| way.contains(reason)).collect();
    assert_eq!(reasons, way);
    let rest = events(cluster, &lease, Some(&told[2].cursor)).await;
    assert_eq!(rest[..told.len() - 3], told[3..]);

    let last = &rest.last().unwrap().cursor;
    let mut followed = cluster.events(&lease, true, Some(last)).await.unwrap();
    let mut changed = service("web", images.good);
    changed["env"] = json!(["MODE=other"]);
    cluster.apply(&workload(&lease, 2, &[changed])).await.unwrap();
    let next = tokio::time::timeout(LIMIT, followed.next()).await.expect("an event comes");
    assert_eq!(next.unwrap().unwrap().service.as_deref(), Some("web"));
    gone(cluster, &lease).await;
}

pub(super) async fn a_lease_takes_from_the_inventory_and_gives_back(
    cluster: &dyn Cluster,
    images: &Images,
) {
    let taken = |inventory: &Inventory| -> (u64, u64, u64) {
        let sum = |of: fn(&lessor::domain::inventory::Node) -> u64| {
            inventory.nodes.iter().map(of).sum::<u64>()
        };
        (
            sum(|node| node.cpu_milli.allocated),
            sum(|node| node.memory_bytes.allocated),
            sum(|node| node.ephemeral_bytes.allocated),
        )
    };
    let before = cluster.inventory().await.unwrap();
    let lease = lease(110);
    let mut three = service("web", images.good);
    three["count"] = json!(3);
    apply(cluster, &workload(&lease, 1, &[three])).await;
    let (cpu, memory, ephemeral) = taken(&before);
    let all = (cpu + 3 * 100, memory + 3 * 67_108_864, ephemeral + 3 * 134_217_728);
    eventually("the lease's resources are taken", LIMIT, async || {
        (taken(&cluster.inventory().await.unwrap()) == all).then_some(())
    })
    .await;
    gone(cluster, &lease).await;
    eventually("the lease's resources are given back", LIMIT, async || {
        (taken(&cluster.inventory().await.unwrap()) == taken(&before)).then_some(())
    })
    .await;
}

pub(super) async fn a_teardown_can_be_asked_for_twice(cluster: &dyn Cluster, images: &Images) {
    let lease = lease(111);
    apply(cluster, &workload(&lease, 1, &[service("web", images.good)])).await;
    gone(cluster, &lease).await;
    assert_eq!(cluster.status(&lease).await.unwrap(), None);
    assert!(!cluster.leases().await.unwrap().contains(&lease));
    assert!(cluster.teardown(&lease).await.unwrap().is_gone());
    // And the lease can have something again.
    let status = apply(cluster, &workload(&lease, 2, &[service("web", images.good)])).await;
    assert_eq!(by_name(&status, "web").generation, 1);
    gone(cluster, &lease).await;
}

pub(super) async fn a_hostname_leads_to_one_lease_at_a_time(
    cluster: &dyn Cluster,
    images: &Images,
) {
    let (first, second) = (lease(112), lease(113));
    let with_host = |lease: &LeaseId| Workload {
        hostnames: vec![route("contract-112.example.com", "web")],
        ..workload(lease, 1, &[service("web", images.good)])
    };
    apply(cluster, &with_host(&first)).await;
    let error = cluster.apply(&with_host(&second)).await.unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Refused, "{error}");
    assert!(error.detail.contains("contract-112.example.com"), "{error}");
    assert_eq!(cluster.status(&second).await.unwrap(), None, "a refused workload leaves nothing");
    gone(cluster, &first).await;
    apply(cluster, &with_host(&second)).await;
    gone(cluster, &second).await;
}

pub(super) async fn a_port_that_is_not_http_is_forwarded_and_keeps_its_number(
    cluster: &dyn Cluster,
    images: &Images,
) {
    let lease = lease(114);
    let game = |mode: &str| {
        let mut game = service("game", images.good);
        game["env"] = json!([format!("MODE={mode}")]);
        for (port, proto) in [(27015, "UDP"), (27015, "TCP")] {
            let mut expose = game["expose"][0].clone();
            expose["port"] = json!(port);
            expose["externalPort"] = json!(port);
            expose["proto"] = json!(proto);
            expose["hosts"] = json!(null);
            game["expose"].as_array_mut().unwrap().push(expose);
        }
        game
    };
    let ports = apply(cluster, &workload(&lease, 1, &[game("a")])).await.forwarded_ports;
    let protos: Vec<&str> = ports.iter().map(|port| port.proto.as_str()).collect();
    assert_eq!(protos, ["TCP", "UDP"], "both transports of one number");
    assert!(ports.iter().all(|port| port.service == "game" && port.port == 27015));
    let again = apply(cluster, &workload(&lease, 2, &[game("b")])).await.forwarded_ports;
    assert_eq!(again, ports);
    gone(cluster, &lease).await;
}
