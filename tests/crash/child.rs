//! What this executable is when another test starts it: the world, or a gateway and worker with places to die at.
//!
//! It reads its orders from standard input and ends with it, so nothing outlives the test that started it.

use std::{
    io::BufRead as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lessor::{
    cmd::{devnet, parts, serve, settings::Settings},
    devnet::cluster,
    store::Sqlite,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    points::{COMMIT, Points, Side, say},
    ports, support,
};

/// Where a child finds its [`Role`], as JSON.
pub(crate) const ROLE: &str = "CRASH_ROLE";
/// The test that is the child.
pub(crate) const TEST: &str = "child::the_process_that_other_tests_start";
/// What a child is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Ledger and cluster, kept in this folder.
    World {
        /// The folder.
        data: PathBuf,
        /// Where it listens on loopback.
        port: u16,
        /// Milliseconds between blocks.
        block_ms: u64,
    },
    /// `lessor serve` with places.
    Gateway {
        /// The settings file.
        config: PathBuf,
        /// The phase that is counted at first.
        phase: String,
        /// Where it dies, as [`Place`] writes it.
        dies: Option<String>,
    },
}

#[test]
#[ignore = "started by the other tests, with a role"]
fn the_process_that_other_tests_start() {
    let Ok(role) = std::env::var(ROLE) else {
        println!("no {ROLE}: nothing to be");
        return;
    };
    support::install_tls();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match serde_json::from_str(&role).unwrap() {
        Role::World { data, port, block_ms } => {
            runtime.block_on(be_world(&data, port, Duration::from_millis(block_ms)));
        }
        Role::Gateway { config, phase, dies } => {
            runtime.block_on(be_gateway(&config, &phase, dies.as_deref()));
        }
    }
}

/// The lines of standard input, until it ends.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn be_world(data: &Path, port: u16, block_interval: Duration) {
    let cluster = cluster::Settings {
        ready_min_ms: 10,
        ready_max_ms: 80,
        teardown_ms: 60,
        log_every_ms: 60_000,
        ..cluster::Settings::default()
    };
    let options = devnet::Options { block_interval, cluster, ..devnet::Options::default() };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let running = devnet::start(data, listen, options).await.unwrap();
    say(&format!("world {} {}", running.rpc_url(), running.cluster_url()));
    let mut orders = orders();
    while orders.recv().await.is_some() {}
    running.shutdown().await;
}

/// The store, with one place more: between the last statement of any transaction that writes, and its commit. What comes
/// after the commit is after the call that made it.
async fn store_with_commits(settings: &Settings, points: &Arc<Points>) -> Sqlite {
    let store = Sqlite::open(&settings.store.path, parts::store_settings(settings)).await.unwrap();
    let points = Arc::clone(points);
    let hook = move || points.pass_blocking(COMMIT, Side::Before);
    store.before_each_commit(hook).await.unwrap();
    store
}

async fn be_gateway(config: &Path, phase: &str, dies: Option<&str>) {
    let points = Arc::new(Points::default());
    points.begin(phase);
    if let Some(place) = dies {
        points.choose(place.parse().unwrap());
    }
    let settings = Settings::load(Some(config), []).unwrap();
    serve::write_logs(&settings).unwrap();
    let provider = parts::provider(&settings).await.unwrap();
    let mut provider = Arc::into_inner(provider).expect("nobody shares it yet");
    provider.store = Arc::new(store_with_commits(&settings, &points).await);
    let provider = Arc::new(ports::pointed(provider, &points));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve::serve(settings, provider, true, stop.clone()));
    say("up");
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        let (word, rest) = order.split_once(' ').unwrap_or((&order, ""));
        match word {
            "phase" => {
                points.begin(rest);
                say("done");
            }
            "die" => {
                points.choose(rest.parse().unwrap());
                say("done");
            }
            "clock" => {
                points.set_clock_ahead(rest.parse().unwrap());
                say("done");
            }
            "passed" => {
                for line in points.passed() {
                    say(&format!("passed {line}"));
                }
                say("done");
            }
            "stop" => break,
            _ => panic!("no order: {order:?}"),
        }
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
    say("stopped");
}
