//! What is old goes, and never what something still needs.

use jiff::SignedDuration;
use lessor::{
    domain::Height,
    provider::port::{
        AuditLine, ChainIdentity, Commit, Content, EffectReport, EffectState, Ingested, OtherEvent,
        Store, Sweep, Swept,
    },
};
use serde_json::json;

use super::fixtures::{
    Home, at, claim_all, claimed, cluster_effect, delivery, event, ingest, keep, plan, subject,
};

const DAY: i64 = 86_400;

fn sweep_at(day: i64, height: u64) -> Sweep {
    Sweep {
        now: at(day * DAY),
        height: Height(height),
        keep: SignedDuration::from_hours(30 * 24),
        keep_audit: SignedDuration::from_hours(100 * 24),
        limit: 500,
    }
}

async fn store() -> (Home, lessor::store::Sqlite) {
    let home = Home::new().await;
    let store = home.open().await;
    let identity = ChainIdentity {
        chain_id: "local".to_owned(),
        first_block_hash: "AA".to_owned(),
        first_block_height: Height(1),
    };
    store.record_chain_identity(&identity).await.unwrap();
    (home, store)
}

#[tokio::test]
async fn events_of_unknown_types_go_when_they_are_old() {
    let (_home, store) = store().await;
    let other = OtherEvent {
        source: "urn:other".to_owned(),
        id: "1".to_owned(),
        kind: "org.example.other".to_owned(),
        data: json!({}),
    };
    let content = Content { others: vec![other], ..Content::default() };
    store.ingest(delivery("a", b"a"), content, Box::new(|_| plan())).await.unwrap();
    assert_eq!(store.sweep(&sweep_at(29, 5_000)).await.unwrap(), Swept::default());
    assert_eq!(store.sweep(&sweep_at(31, 6_000)).await.unwrap().other_events, 1);
}

#[tokio::test]
async fn old_deliveries_and_events_go_and_those_of_open_subjects_stay() {
    let (_home, store) = store().await;
    ingest(&store, "a", vec![event(1, 0), event(2, 0)]).await;
    // Deployment 1 is done with; deployment 2 waits for something.
    for loaded in claim_all(&store, at(0)).await {
        let waits = loaded.claim.subject == subject(2);
        let commit = Commit { wake_at: waits.then(|| at(99 * DAY)), ..keep() };
        store.commit(&loaded.claim, at(0), &commit).await.unwrap();
    }
    assert_eq!(store.sweep(&sweep_at(0, 50)).await.unwrap(), Swept::default());
    assert_eq!(store.sweep(&sweep_at(29, 5_000)).await.unwrap(), Swept::default());
    assert!(matches!(ingest(&store, "a", vec![]).await, Ingested::Repeated { .. }));

    let swept = store.sweep(&sweep_at(31, 6_000)).await.unwrap();
    assert_eq!((swept.deliveries, swept.events, swept.other_events), (1, 1, 0));
    assert!(store.events(&subject(1), 9).await.unwrap().is_empty());
    assert_eq!(store.events(&subject(2), 9).await.unwrap().len(), 1);
    // A block above the one of that day is young, whenever it came.
    ingest(&store, "b", vec![event(60, 0)]).await;
    for loaded in claim_all(&store, at(0)).await {
        store.commit(&loaded.claim, at(0), &keep()).await.unwrap();
    }
    assert_eq!(store.sweep(&sweep_at(31, 6_000)).await.unwrap().events, 0);
}

#[tokio::test]
async fn settled_effects_go_when_their_subject_is_done_with_them() {
    let (_home, store) = store().await;
    let effect = Commit { effects: vec![cluster_effect("apply")], ..keep() };
    let claim = claimed(&store, 1).await;
    store.commit(&claim, at(0), &effect).await.unwrap();
    let taken = store.claim_effects("w", at(0), at(9), 9).await.unwrap().remove(0);
    let done = EffectReport::Settled(EffectState::Done { outcome: json!({}) });
    store.report_effect(&taken, &done, at(1)).await.unwrap();
    assert_eq!(store.sweep(&sweep_at(40, 9)).await.unwrap().effects, 0, "not taken in yet");
    let claim = claimed(&store, 1).await;
    let absorb = Commit { absorbed_effects: vec!["apply".to_owned()], ..keep() };
    store.commit(&claim, at(1), &absorb).await.unwrap();
    assert_eq!(store.sweep(&sweep_at(29, 9)).await.unwrap().effects, 0, "young");
    assert_eq!(store.sweep(&sweep_at(40, 9)).await.unwrap().effects, 1);
}

#[tokio::test]
async fn the_audit_is_kept_longer_and_goes_in_batches() {
    let (_home, store) = store().await;
    let line = |day: i64| AuditLine {
        at: at(day * DAY),
        actor: "lessor".to_owned(),
        action: "bid".to_owned(),
        subject: "x".to_owned(),
        reason: "y".to_owned(),
    };
    let lines: Vec<_> = (0..30).map(line).collect();
    store.audit(&lines).await.unwrap();
    assert_eq!(store.sweep(&sweep_at(99, 9)).await.unwrap().audit, 0);
    let few = Sweep { limit: 4, ..sweep_at(110, 9) };
    let swept = store.sweep(&few).await.unwrap();
    assert_eq!(swept.audit, 4);
    assert!(swept.may_have_left(4));
    assert_eq!(store.sweep(&sweep_at(110, 9)).await.unwrap().audit, 6);
    assert_eq!(store.audit_lines(None, 99).await.unwrap().rows.len(), 20);
}
