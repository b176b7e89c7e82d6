//! Whole lives over real HTTP: node, relay, webhook, steps, manifest, cluster, and back to nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use lessor::{
    client::{Error, Terms, deploy::Step, token},
    cmd::{dev, host},
    domain::Height,
};
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    corpus,
    quick::{LIMIT, example, tenant, terms, world},
    support::eventually,
};

/// One tenant's life: deploy, logs, update, close. Returns how many orders it made.
async fn live(dev: &dev::Dev, index: u32, dseq: u64, document: &str) -> usize {
    let tenant = tenant(dev, index);
    let mut steps = Vec::new();
    let id =
        tenant.deploy(document, Some(dseq), &terms(), &mut |step| steps.push(step)).await.unwrap();
    let kinds: Vec<String> = steps.iter().map(kind).collect();
    for kind in ["deployment", "order", "bid", "lease", "manifest", "ready"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind} is missing in {kinds:?}");
    }
    assert_eq!(kinds.last().unwrap(), "ready");

    let lease = tenant.running_leases(&id).await.unwrap().remove(0);
    let token = token::sign(&tenant.key, &lease.provider, host::now());
    let mut lines = std::pin::pin!(tenant.gateway.logs(&lease, true, &token).await.unwrap());
    let first = tokio::time::timeout(LIMIT, lines.next()).await.unwrap().unwrap().unwrap();
    assert!(first.contains(": "), "{first}");

    let changed =
        document.replacen("    image: ", "    env:\n      - LESSOR_TEST=changed\n    image: ", 1);
    let changed = if document.contains("    env:") {
        document.replacen("    env:", "    env:\n      - LESSOR_TEST=changed", 1)
    } else {
        changed
    };
    let mut updates = Vec::new();
    tenant.update(dseq, &changed, LIMIT, &mut |step| updates.push(kind(&step))).await.unwrap();
    assert_eq!(updates, ["update", "manifest", "ready"]);
    tenant.close(dseq, &mut |_| {}).await.unwrap();
    kinds.iter().filter(|kind| *kind == "order").count()
}

/// Ticks every 100 ms, one after the other, until it is told to stop.
struct Ticking {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Ticking {
    fn start(dev: &dev::Dev) -> Self {
        let http = reqwest::Client::builder().timeout(LIMIT).build().unwrap();
        let (url, token) = (format!("{}/internal/v1/tick", dev.url), dev.operator_token.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            while !stopped.is_cancelled() {
                pace.tick().await;
                let answer = http.post(&url).bearer_auth(token.expose_secret()).send().await;
                assert_eq!(answer.unwrap().status(), 200);
            }
        });
        Self { stop, task }
    }

    /// Ends it; a tick that was not answered as it should be fails the test.
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn kind(step: &Step) -> String {
    serde_json::to_value(step).unwrap()["step"].as_str().unwrap().to_owned()
}

/// Nothing is held for anybody: no reservation, no workload, no deadline, no unsettled transaction.
async fn everything_is_released(dev: &dev::Dev) {
    eventually("everything is released", LIMIT, async || {
        let reserved = dev.provider.store.reservations().await.unwrap().held;
        let running = dev.provider.cluster.leases().await.unwrap();
        let deadlines = dev.provider.store.deadlines(100).await.unwrap();
        let unsettled = dev.provider.store.transactions(true, None, 100).await.unwrap().rows;
        (reserved.is_empty() && running.is_empty() && deadlines.is_empty() && unsettled.is_empty())
            .then_some(())
    })
    .await;
}

/// What the world's own journal says was done: every order was bid on once, and no transaction of ours failed.
fn nothing_was_done_twice(dev: &dev::Dev, orders: usize) {
    let blocks = dev.devnet.node().journal(Height(0));
    let transactions = blocks.iter().flat_map(|block| &block.txs);
    let mut bids = 0;
    for transaction in transactions {
        assert_eq!(transaction.code, 0, "{transaction:?}");
        bids += transaction
            .messages
            .iter()
            .filter(|message| message.type_url.ends_with("MsgCreateBid"))
            .count();
    }
    assert_eq!(bids, orders, "bids and orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_lives_its_whole_life_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dev = world(folder.path(), None, true).await;
    let orders = live(&dev, 0, 7, &example("web.yaml")).await;
    everything_is_released(&dev).await;
    nothing_was_done_twice(&dev, orders);
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_real_documents_live_at_once() {
    let Some(corpus) = corpus::find("sdl/awesome-akash") else { return };
    let folder = tempfile::tempdir().unwrap();
    let dev = world(folder.path(), None, true).await;
    let documents = real_documents(&corpus);
    assert_eq!(documents.len(), 3);
    let lives =
        documents.iter().zip([0, 3, 4]).enumerate().map(|(place, ((path, document), index))| {
            println!("{}", path.display());
            live(&dev, index, 100 + place as u64, document)
        });
    let orders = futures_util::future::join_all(lives).await.into_iter().sum();
    everything_is_released(&dev).await;
    nothing_was_done_twice(&dev, orders);
    dev.stop().await;
}

/// Three documents of different kinds, as people wrote them.
fn real_documents(corpus: &Path) -> Vec<(PathBuf, String)> {
    // A database with persistent storage, ten services that talk to each other, a GPU of any model.
    [
        "gogs__deploy_postgres.yaml",
        "micro-services-example__deploy.yaml",
        "bert-sentiment-analysis__deploy.yaml",
    ]
    .iter()
    .map(|name| {
        let path = corpus.join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, text)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_life_without_a_worker_and_with_ticks_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dev = world(folder.path(), None, false).await;
    let ticking = Ticking::start(&dev);
    let orders = live(&dev, 0, 7, &example("web.yaml")).await;
    everything_is_released(&dev).await;
    nothing_was_done_twice(&dev, orders);
    ticking.stop().await;
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_its_rows_is_reconciled_by_ticks_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dev = world(folder.path(), None, true).await;
    tenant(&dev, 0).deploy(&example("web.yaml"), Some(7), &terms(), &mut |_| {}).await.unwrap();
    dev.stop().await;
    for file in ["lessor.db", "lessor.db-wal", "lessor.db-shm"] {
        let file = folder.path().join(file);
        if file.exists() {
            std::fs::remove_file(file).unwrap();
        }
    }

    // The relay goes on after the lease, so that nobody tells of it: only the chain knows.
    let dev = world(folder.path(), None, false).await;
    let ticking = Ticking::start(&dev);
    eventually("the lease is held again", LIMIT, async || {
        let held = dev.provider.store.reservations().await.unwrap().held;
        (held.len() == 1 && held[0].leased).then_some(())
    })
    .await;
    let tenant = tenant(&dev, 0);
    tenant.update(7, &example("web.yaml"), LIMIT, &mut |_| {}).await.unwrap();
    tenant.close(7, &mut |_| {}).await.unwrap();
    everything_is_released(&dev).await;
    nothing_was_done_twice(&dev, 1);
    ticking.stop().await;
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_order_says_why_and_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dev = world(folder.path(), None, true).await;
    let tenant = tenant(&dev, 0);
    let terms = Terms { bid_wait: Duration::from_secs(3), ..terms() };
    let refused =
        tenant.deploy(&example("declined.yaml"), Some(9), &terms, &mut |_| {}).await.unwrap_err();
    let Error::NoBid { why: Some(why), .. } = refused else { panic!("{refused}") };
    assert!(why.contains("attributes"), "{why}");
    assert!(dev.provider.store.reservations().await.unwrap().held.is_empty());
    tenant.close(9, &mut |_| {}).await.unwrap();
    everything_is_released(&dev).await;
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_folder_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dev = world(folder.path(), None, true).await;
    tenant(&dev, 0).deploy(&example("web.yaml"), Some(7), &terms(), &mut |_| {}).await.unwrap();
    let node = dev.node.clone();
    dev.stop().await;

    let dev = world(folder.path(), None, true).await;
    assert_eq!(dev.node, node, "who was told the node's address finds it again");
    let tenant = tenant(&dev, 0);
    let lease = tenant.running_leases(&tenant.deployment(7)).await.unwrap().remove(0);
    let token = token::sign(&tenant.key, &lease.provider, host::now());
    let status = tenant.gateway.lease_status(&lease, &token).await.unwrap();
    assert_eq!(status["services"].as_object().unwrap().len(), 1);
    tenant.close(7, &mut |_| {}).await.unwrap();
    everything_is_released(&dev).await;
    dev.stop().await;
}
