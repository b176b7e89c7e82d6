//! The simulated backend over real HTTP: the contract, and what happens when the cluster does not answer.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use lessor::{
    cluster::Simulated,
    devnet::{
        cluster::{Settings, World, router},
        cluster_api::Control,
    },
    provider::port::{Cluster, ClusterErrorKind, LogQuery, Teardown},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use super::{
    contract::{self, Images},
    lease, service, workload,
};
use crate::support::{eventually, install_tls};

const IMAGES: Images = Images {
    good: "ghcr.io/example/web:1.0",
    missing: "ghcr.io/example/web:missing",
    crashing: "ghcr.io/example/web:crash",
};

fn fast() -> Settings {
    Settings {
        ready_min_ms: 0,
        ready_max_ms: 50,
        teardown_ms: 20,
        backoff_ms: 20,
        log_every_ms: 10,
        ..Settings::default()
    }
}

fn open(folder: &Path) -> World {
    let start = Instant::now();
    let clock = move || {
        let passed = SignedDuration::try_from(start.elapsed()).unwrap();
        Timestamp::from_second(1_800_000_000).unwrap() + passed
    };
    World::open(folder, fast(), Arc::new(clock)).unwrap()
}

/// A simulated cluster behind a socket.
struct Served {
    world: World,
    cluster: Simulated,
    server: JoinHandle<()>,
    _folder: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(app: axum::Router) -> (Simulated, JoinHandle<()>) {
    install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/cluster", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        axum::serve(listener, app).await.unwrap();
    });
    (Simulated::new(&base).unwrap(), server)
}

async fn served() -> Served {
    let folder = TempDir::new().unwrap();
    let world = open(folder.path());
    let app = axum::Router::new().nest("/cluster", router(world.clone()));
    let (cluster, server) = serve(app).await;
    Served { world, cluster, server, _folder: folder }
}

macro_rules! keeps_the_contract {
    ($($promise:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            let served = served().await;
            contract::$promise(&served.cluster, &IMAGES).await;
        }
    )*};
}

keeps_the_contract!(
    an_applied_workload_becomes_ready,
    the_same_workload_again_changes_nothing,
    an_update_restarts_only_the_service_that_differs,
    of_an_unknown_lease_nothing_is_known,
    an_image_that_cannot_be_pulled_says_so,
    a_service_that_crashes_says_so,
    a_log_can_be_cut_followed_and_resumed,
    a_followed_log_ends_with_its_lease,
    a_replica_s_way_to_ready_is_told_as_events,
    a_lease_takes_from_the_inventory_and_gives_back,
    a_teardown_can_be_asked_for_twice,
    a_hostname_leads_to_one_lease_at_a_time,
    a_port_that_is_not_http_is_forwarded_and_keeps_its_number,
);

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_way_to_ready_is_told_step_by_step() {
    let served = served().await;
    let cluster = &served.cluster;
    cluster.apply(&workload(&lease(1), 1, &[service("web", IMAGES.good)])).await.unwrap();
    let way = ["Scheduled", "Pulling", "Pulled", "Created", "Started"];
    eventually("all steps are told", LIMIT, async || {
        let told = cluster.events(&lease(1), false, None).await.unwrap();
        let told: Vec<String> = told.map(|event| event.unwrap().reason).collect().await;
        (told == way).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_is_away_is_unavailable_and_loses_nothing() {
    let served = served().await;
    let cluster = &served.cluster;
    let (lease, services) = (lease(1), [service("web", IMAGES.good)]);
    cluster.apply(&workload(&lease, 1, &services)).await.unwrap();
    let follow = LogQuery { follow: true, ..LogQuery::default() };
    let mut followed = cluster.logs(&lease, &follow).await.unwrap();

    served.world.control(Control::GoAway { for_ms: 600_000 }).unwrap();
    let errors = [
        cluster.status(&lease).await.err(),
        cluster.inventory().await.err(),
        cluster.leases().await.err(),
        cluster.teardown(&lease).await.err(),
        cluster.apply(&workload(&lease, 2, &services)).await.err(),
        cluster.logs(&lease, &LogQuery::default()).await.err(),
        cluster.events(&lease, false, None).await.err(),
    ];
    for error in errors {
        assert_eq!(error.unwrap().kind, ClusterErrorKind::Unavailable);
    }
    let broken = async {
        loop {
            if let Err(error) = followed.next().await.expect("not an end but an error") {
                return error.kind;
            }
        }
    };
    let broken = tokio::time::timeout(LIMIT, broken).await.expect("a follower notices");
    assert_eq!(broken, ClusterErrorKind::Unavailable);

    served.world.control(Control::ComeBack {}).unwrap();
    let status = eventually("the lease is ready", LIMIT, async || {
        cluster.status(&lease).await.unwrap().filter(lessor::provider::port::LeaseStatus::is_ready)
    })
    .await;
    assert_eq!(status.services[0].generation, 1, "what was refused did not happen");
}

#[tokio::test]
async fn a_cluster_that_does_not_listen_is_unavailable() {
    let served = served().await;
    served.server.abort();
    eventually("the listener is closed", LIMIT, async || {
        let error = served.cluster.status(&lease(1)).await.err()?;
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_404_of_some_other_server_is_not_absence() {
    let (cluster, server) = serve(axum::Router::new()).await;
    let error = cluster.status(&lease(1)).await.unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
    let error = cluster.teardown(&lease(1)).await.unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
    server.abort();
}

#[tokio::test]
async fn a_lease_that_still_goes_takes_nothing_new_yet() {
    let folder = TempDir::new().unwrap();
    let settings = Settings { teardown_ms: 3_600_000, ..fast() };
    let clock = || Timestamp::from_second(1_800_000_000).unwrap();
    let world = World::open(folder.path(), settings, Arc::new(clock)).unwrap();
    let (cluster, server) = serve(axum::Router::new().nest("/cluster", router(world))).await;
    let workload = workload(&lease(1), 1, &[service("web", IMAGES.good)]);
    cluster.apply(&workload).await.unwrap();
    assert_eq!(cluster.teardown(&lease(1)).await.unwrap(), Teardown::GOING);
    let error = cluster.apply(&workload).await.unwrap_err();
    assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
    let status = cluster.status(&lease(1)).await.unwrap().unwrap();
    assert!(!status.is_ready());
    assert!(status.services[0].reason.as_ref().unwrap().starts_with("Terminating"));
    server.abort();
}

#[tokio::test]
async fn a_log_names_the_environment_and_never_its_values() {
    let served = served().await;
    let cluster = &served.cluster;
    cluster.apply(&workload(&lease(1), 1, &[service("web", IMAGES.good)])).await.unwrap();
    let text = eventually("the service has started", LIMIT, async || {
        let lines = cluster.logs(&lease(1), &LogQuery::default()).await.unwrap();
        let lines: Vec<String> = lines.map(|line| line.unwrap().line).collect().await;
        (lines.len() > 2).then(|| lines.join("\n"))
    })
    .await;
    assert!(text.contains("environment: MODE, PASSWORD\nlistens on 8080/TCP"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let served = served().await;
    let cluster = &served.cluster;
    cluster.apply(&workload(&lease(1), 1, &[service("web", IMAGES.good)])).await.unwrap();
    let query = LogQuery { after: Some("yesterday".to_owned()), ..LogQuery::default() };
    let error = cluster.logs(&lease(1), &query).await.err().unwrap();
    assert_eq!(error.kind, ClusterErrorKind::Refused, "{error}");
    let error = cluster.events(&lease(1), false, Some("yesterday")).await.err().unwrap();
    assert_eq!(error.kind, ClusterErrorKind::Refused, "{error}");
}

#[test]
fn only_an_http_url_is_taken_as_the_cluster_s_address() {
    install_tls();
    for base in ["", "localhost", "https://127.0.0.1/cluster", "unix:/tmp/cluster"] {
        let error = Simulated::new(base).unwrap_err();
        assert_eq!(error.kind, ClusterErrorKind::Refused, "{base:?}");
    }
}
