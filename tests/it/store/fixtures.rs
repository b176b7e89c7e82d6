//! Small values, and a store in a folder of its own.

use std::path::PathBuf;

use jiff::Timestamp;
use lessor::{
    bidengine::Placement,
    domain::{Address, DeploymentId, Height, LeaseId, OrderId},
    event::{EventIdentity, TxHash},
    provider::port::{
        Claim, Commit, Committed, Content, Delivery, EffectKind, EventRow, FunnelStage, Ingested,
        Loaded, NewEffect, OrderRow, Reached, Reservation, Store, StreamPlan, StreamState, Subject,
    },
    store::{Settings, Sqlite, migrate},
};
use serde_json::json;
use tempfile::TempDir;

/// A folder with a migrated store; it goes with the value.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) async fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        migrate(&home.path()).await.unwrap();
        home
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("lessor.db")
    }

    /// A path in the same folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn open(&self) -> Sqlite {
        self.open_with(Settings::default()).await
    }

    pub(crate) async fn open_with(&self, settings: Settings) -> Sqlite {
        Sqlite::open(&self.path(), settings).await.unwrap()
    }
}

/// The host's clock, in seconds from the start of a test.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub(crate) fn account(number: u8) -> Address {
    Address::from_bytes(&[number; 20]).unwrap()
}

/// Tenant 1's deployment with this number.
pub(crate) fn deployment(dseq: u64) -> DeploymentId {
    DeploymentId::new(account(1), dseq)
}

pub(crate) fn subject(dseq: u64) -> Subject {
    Subject::Deployment(deployment(dseq))
}

pub(crate) fn order(dseq: u64) -> OrderId {
    deployment(dseq).group(1).order(1)
}

pub(crate) fn lease(dseq: u64) -> LeaseId {
    order(dseq).lease(&account(200))
}

/// An order's event in the block `dseq`.
pub(crate) fn event(dseq: u64, index: u32) -> EventRow {
    let attributes = json!({ "id": order(dseq), "n": 18_446_744_073_709_551_615_u64 });
    EventRow {
        identity: EventIdentity {
            chain_id: "local".to_owned(),
            height: Height(dseq),
            tx_hash: TxHash::of(b"a transaction"),
            msg_index: 0,
            event_index: index,
        },
        kind: "akash.market.v1.EventOrderCreated".to_owned(),
        attributes: attributes.as_object().unwrap().clone(),
        subject: Some(subject(dseq)),
    }
}

pub(crate) fn delivery(id: &str, body: &[u8]) -> Delivery {
    Delivery {
        stream: "indexer".to_owned(),
        id: id.to_owned(),
        digest: lessor::event::BodyDigest::of(body).0,
        received_at: at(0),
        origin: "webhook",
    }
}

pub(crate) fn plan() -> StreamPlan {
    StreamPlan {
        state: StreamState { heard_at: Some(at(0)), ..StreamState::default() },
        ..StreamPlan::default()
    }
}

/// Commits a delivery whose body is its id, with a plan that is known beforehand.
pub(crate) async fn ingest_planned(
    store: &dyn Store,
    id: &str,
    events: Vec<EventRow>,
    planned: StreamPlan,
) -> Ingested {
    let content = Content { events, ..Content::default() };
    let plan = move |_: &StreamState| planned.clone();
    store.ingest(delivery(id, id.as_bytes()), content, Box::new(plan)).await.unwrap()
}

/// Commits a delivery whose body is its id.
pub(crate) async fn ingest(store: &dyn Store, id: &str, events: Vec<EventRow>) -> Ingested {
    ingest_planned(store, id, events, plan()).await
}

/// What a delivery of only new events is answered with: how many were new, known, conflicting.
pub(crate) fn counts(ingested: &Ingested) -> (u64, u64, u64) {
    match ingested {
        Ingested::Accepted { accepted, duplicates, conflicts, .. } => {
            (*accepted, *duplicates, *conflicts)
        }
        other => panic!("not accepted: {other:?}"),
    }
}

/// Claims everything that is due, for thirty seconds.
pub(crate) async fn claim_all(store: &dyn Store, now: Timestamp) -> Vec<Loaded> {
    let until = now.checked_add(jiff::SignedDuration::from_secs(30)).unwrap();
    store.claim("worker", now, until, 100).await.unwrap()
}

/// Claims the one subject that is due.
pub(crate) async fn claim_one(store: &dyn Store, now: Timestamp) -> Loaded {
    let mut claimed = claim_all(store, now).await;
    assert_eq!(claimed.len(), 1, "due: {claimed:?}");
    claimed.remove(0)
}

pub(crate) fn names(claimed: &[Loaded]) -> Vec<Subject> {
    claimed.iter().map(|loaded| loaded.claim.subject.clone()).collect()
}

/// A commit that keeps the subject and changes nothing else.
pub(crate) fn keep() -> Commit {
    Commit { state: Some(json!({ "kept": true })), ..Commit::default() }
}

/// Wakes a deployment and commits one step of it.
pub(crate) async fn step(store: &dyn Store, dseq: u64, commit: &Commit) -> Committed {
    let claim = claimed(store, dseq).await;
    store.commit(&claim, at(0), commit).await.unwrap()
}

/// Wakes a deployment and claims it.
pub(crate) async fn claimed(store: &dyn Store, dseq: u64) -> Claim {
    store.wake(&[subject(dseq)], None, at(0)).await.unwrap();
    claim_one(store, at(0)).await.claim
}

pub(crate) fn chain_effect(key: &str) -> NewEffect {
    NewEffect {
        key: key.to_owned(),
        kind: EffectKind::Chain,
        account: Some(account(200)),
        body: json!({ "message": key }),
        priority: 1,
    }
}

pub(crate) fn cluster_effect(key: &str) -> NewEffect {
    NewEffect {
        key: key.to_owned(),
        kind: EffectKind::Cluster,
        account: None,
        body: json!({ "workload": key }),
        priority: 1,
    }
}

pub(crate) fn wanting(effects: Vec<NewEffect>) -> Commit {
    Commit { effects, ..keep() }
}

pub(crate) fn reservation(dseq: u64) -> Reservation {
    Reservation {
        order: order(dseq),
        placement: Placement { assignments: Vec::new(), offer: Vec::new(), ips: 0 },
        reason: "bid".to_owned(),
        made_at: at(0),
        look_at: at(300),
        leased: false,
        applied_at: None,
    }
}

pub(crate) fn order_row(dseq: u64, changed: i64) -> OrderRow {
    OrderRow {
        id: order(dseq),
        phase: "bidding".to_owned(),
        bid: None,
        lease: None,
        reached: Reached { stage: FunnelStage::Seen, held_by: Some("undecided".to_owned()) },
        seen_at: at(0),
        changed_at: at(changed),
        body: json!({ "dseq": dseq }),
    }
}
