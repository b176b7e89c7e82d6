//! What lessor asks of the API server, counted from the server's own audit log, and how long it takes.
//!
//! `tests/bench kube` runs these; each prints its figures as lines of JSON.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use lessor::{
    cluster::kubernetes::{Kubernetes, settings::Settings, watch::Watching},
    domain::LeaseId,
    manifest::{self, Dialect},
    provider::port::{Cluster as _, HostnameRoute, Workload},
};
use tokio::time::Instant;

#[path = "../figures/report.rs"]
#[expect(dead_code, reason = "the table is printed by the other figures")]
mod report;

use self::report::{Figure, Goal, percentile};
use crate::{
    cluster::{Cluster, Ring, audit},
    support::eventually,
};

const LIMIT: Duration = Duration::from_mins(3);
/// Measurements behind each median.
const RUNS: u64 = 11;
/// Leases of a busy provider.
const MANY: u64 = 1000;
const USER: &str = "figures";

/// An adapter with its watches open, whose calls are counted.
struct Measured<'c> {
    cluster: &'c Cluster,
    kubernetes: Kubernetes,
    watching: Watching,
    from: usize,
}

impl<'c> Measured<'c> {
    async fn start(cluster: &'c Cluster, settings: Settings) -> Self {
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig(USER)).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let kubernetes = Kubernetes::over(config, settings).unwrap();
        let from = cluster.calls(USER).await.len();
        let watching = kubernetes.watch();
        eventually("the caches are filled", LIMIT, async || {
            // Leases are known from the cache of namespaces, nodes from theirs.
            kubernetes.leases().await.ok()?;
            kubernetes.caches().iter().all(|report| report.freshness.heard.is_some()).then_some(())
        })
        .await;
        Self { cluster, kubernetes, watching, from }
    }

    /// What was asked since the last time, watches left out.
    async fn calls(&mut self) -> Vec<audit::Call> {
        let all = self.cluster.calls(USER).await;
        let new = all[self.from..].iter().filter(|call| call.counts()).cloned().collect();
        self.from = all.len();
        new
    }

    /// Applies, and waits until the caches know of it.
    async fn apply(&self, workload: &Workload) -> f64 {
        let begun = Instant::now();
        self.kubernetes.apply(workload).await.unwrap();
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let lease = &workload.lease;
        eventually("the status has the manifest", LIMIT, async || {
            let status = self.kubernetes.status(lease).await.ok()??;
            (status.manifest_hash == workload.manifest_hash
                && status.services.len() == workload.group.services.len())
            .then_some(())
        })
        .await;
        took
    }
}

fn lease(dseq: u64) -> LeaseId {
    format!(
        "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww/{dseq}/1/1/akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz"
    )
    .parse()
    .unwrap()
}

/// So many services, the first with a hostname; `changed` has another image than before.
fn workload(dseq: u64, services: usize, changed: Option<usize>) -> Workload {
    let mut sdl = "version: \"2.0\"\nservices:\n".to_owned();
    let mut profiles = "profiles:\n  compute:\n".to_owned();
    let mut prices = String::new();
    let mut placed = "deployment:\n".to_owned();
    for number in 0..services {
        let image = if changed == Some(number) { "example/web:2" } else { "example/web:1" };
        let to = if number == 0 { "global: true" } else { "service: web0" };
        let _ = write!(
            sdl,
            "  web{number}:\n    image: {image}\n    expose:\n      - port: 80\n        to:\n          - {to}\n"
        );
        let _ = write!(
            profiles,
            "    web{number}:\n      resources:\n        cpu: {{ units: 100m }}\n        memory: {{ size: 64Mi }}\n        storage: {{ size: 64Mi }}\n"
        );
        let _ = writeln!(prices, "        web{number}: {{ denom: uact, amount: 1000 }}");
        let _ = write!(placed, "  web{number}:\n    here: {{ profile: web{number}, count: 1 }}\n");
    }
    let text = format!("{sdl}{profiles}  placement:\n    here:\n      pricing:\n{prices}{placed}");
    let compiled = manifest::compile(&text, Dialect::Go).unwrap();
    Workload {
        lease: lease(dseq),
        manifest_hash: data_encoding::HEXLOWER.encode(&compiled.hash),
        group: compiled.manifest.group("here").unwrap().clone(),
        hostnames: vec![HostnameRoute {
            hostname: format!("figure-{dseq}.example.com"),
            service: "web0".to_owned(),
            port: 80,
        }],
        gpus: BTreeMap::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(name: &str, what: &str, calls: &[audit::Call], most: f64, today: &str) {
    eprintln!("{name}: {:?}", audit::by_kind(calls));
    Figure::new(name, what, calls.len() as f64, "calls", 1)
        .goal(Goal::AtMost(most))
        .today(today)
        .print();
}

async fn new_cluster() -> Option<Cluster> {
    let cluster = Cluster::start(Ring::Api).await?;
    cluster.grant(USER, "cluster-admin").await;
    cluster
        .apply(&serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lease"},
        }))
        .await;
    Some(cluster)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: tests/bench runs it"]
async fn calls_and_times_of_a_lease() {
    let Some(cluster) = new_cluster().await else { return };
    let mut measured = Measured::start(&cluster, Settings::default()).await;
    measured.calls().await;

    measured.apply(&workload(1, 1, None)).await;
    let calls = measured.calls().await;
    count("kube_new_lease", "new lease of one service, with quota and limits", &calls, 9.0, "26");

    measured.apply(&workload(1, 1, None)).await;
    let calls = measured.calls().await;
    count("kube_unchanged", "the same lease again", &calls, 0.0, "24");

    measured.apply(&workload(2, 3, None)).await;
    measured.calls().await;
    measured.apply(&workload(2, 3, Some(1))).await;
    let calls = measured.calls().await;
    count("kube_update", "update that changes one of three services", &calls, 3.0, "37");

    let mut times = Vec::new();
    for _ in 0..1000 {
        let begun = Instant::now();
        measured.kubernetes.status(&lease(2)).await.unwrap().unwrap();
        times.push(begun.elapsed().as_secs_f64() * 1_000_000.0);
    }
    let calls = measured.calls().await;
    count("kube_status", "a thousand times the status of a lease", &calls, 0.0, "5 each");
    Figure::new(
        "kube_status_p99",
        "status of a lease, p99",
        percentile(&mut times, 99.0),
        "µs",
        1000,
    )
    .today("17,300 µs (p90)")
    .print();

    let plain = Settings {
        security: lessor::cluster::kubernetes::settings::Security {
            quota_percent: 0,
            limit_range: false,
            ..Default::default()
        },
        ..Settings::default()
    };
    let mut without = Measured::start(&cluster, plain).await;
    without.calls().await;
    without.apply(&workload(3, 1, None)).await;
    let calls = without.calls().await;
    count("kube_new_lease_plain", "the same without quota and limits", &calls, 7.0, "26");
    without.apply(&workload(4, 3, None)).await;
    let calls = without.calls().await;
    count(
        "kube_new_three",
        "new lease of three services, without quota and limits",
        &calls,
        12.0,
        "34",
    );
    drop(without);
    measured.calls().await;

    let (mut dseq, today) = (100, ["126–144 ms", "237–260 ms", "", ""]);
    for (services, today) in [1, 3, 10, 50].into_iter().zip(today) {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            dseq += 1;
            times.push(measured.apply(&workload(dseq, services, None)).await);
        }
        let what = format!("manifest of {services} services → last object present, p50");
        let p50 = percentile(&mut times, 50.0);
        let name = format!("kube_apply_{services}");
        let mut figure = Figure::new(&name, &what, p50, "ms", times.len());
        if services == 1 {
            figure = figure.goal(Goal::AtMost(70.0));
        }
        if !today.is_empty() {
            figure = figure.today(today);
        }
        figure.print();
    }
    drop(measured.watching);
}

/// Resident memory of this process.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: tests/bench runs it"]
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
async fn a_thousand_leases() {
    use futures_util::{StreamExt as _, stream};
    const WATCHED: Duration = Duration::from_secs(30);

    let Some(cluster) = new_cluster().await else { return };
    let before = resident_mib();
    let measured = Measured::start(&cluster, Settings::default()).await;
    let made = stream::iter(0..MANY).map(|number| {
        let measured = &measured;
        async move { measured.apply(&workload(10_000 + number, 1, None)).await }
    });
    made.buffer_unordered(8).collect::<Vec<_>>().await;
    drop(measured);

    // Another process over the same cluster: everything is there already.
    let mut again = Measured::start(&cluster, Settings::default()).await;
    let calls = again.calls().await;
    eprintln!("a start: {:?}", audit::by_kind(&calls));
    for number in 0..MANY {
        again.kubernetes.apply(&workload(10_000 + number, 1, None)).await.unwrap();
    }
    let calls = again.calls().await;
    count(
        "kube_restart",
        "1,000 leases applied again after a restart",
        &calls,
        0.0,
        "264 writes (51 leases)",
    );

    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < WATCHED {
        for number in 0..MANY {
            let asked = Instant::now();
            again.kubernetes.status(&lease(10_000 + number)).await.unwrap().unwrap();
            times.push(asked.elapsed().as_secs_f64() * 1_000_000.0);
        }
        again.kubernetes.leases().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let calls = again.calls().await;
    let rate = calls.len() as f64 / begun.elapsed().as_secs_f64();
    Figure::new(
        "kube_steady",
        "1,000 leases, all asked for their status every 2 s",
        rate,
        "calls/s",
        calls.len(),
    )
    .goal(Goal::AtMost(1.0))
    .today("320 calls/s")
    .print();
    Figure::new(
        "kube_many_status_p99",
        "status of one of 1,000 leases, p99",
        percentile(&mut times, 99.0),
        "µs",
        times.len(),
    )
    .print();
    Figure::new(
        "kube_memory",
        "resident memory of a process with the caches of 1,000 leases",
        resident_mib(),
        "MiB",
        1,
    )
    .floor(format!("{before:.0} MiB before"))
    .print();
    drop(again.watching);
}
