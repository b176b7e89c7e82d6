//! What an operator sets and looks at: maintenance, sessions, the funnel, counts of changes.

use jiff::SignedDuration;
use lessor::provider::port::{
    AuditLine, Changes, Commit, FunnelStage, Maintenance, MaintenanceState, Observation, OrderRow,
    Reached, Session, Store, Subject, Topic,
};
use serde_json::json;

use super::executors::{far, sign, transaction};
use crate::store::fixtures::{at, chain_effect, keep, order, order_row, step};

fn line(action: &str) -> AuditLine {
    AuditLine {
        at: at(0),
        actor: "operator".to_owned(),
        action: action.to_owned(),
        subject: "provider".to_owned(),
        reason: "a test".to_owned(),
    }
}

async fn actions(store: &dyn Store) -> Vec<String> {
    let page = store.audit_lines(None, 100).await.unwrap();
    page.rows.into_iter().map(|line| line.action).collect()
}

pub(crate) async fn maintenance_is_bidding_until_said_otherwise_and_kept_with_its_line_and_its_wakes(
    store: &dyn Store,
) {
    assert_eq!(store.maintenance().await.unwrap(), Maintenance::default());
    let wanted = Maintenance {
        state: MaintenanceState::Paused,
        reason: "disks".to_owned(),
        actor: "operator".to_owned(),
        since: Some(at(5)),
    };
    let wake = [Subject::Provider];
    store.set_maintenance(&wanted, &line("maintenance"), &wake, at(5)).await.unwrap();
    assert_eq!(store.maintenance().await.unwrap(), wanted);
    assert_eq!(actions(store).await, ["maintenance"]);
    assert_eq!(store.next_due().await.unwrap(), Some(at(5)));
}

pub(crate) async fn sessions_are_found_by_their_digest_and_the_oldest_make_room(store: &dyn Store) {
    let session = |number: u8, hours: i64| Session {
        digest: [number; 32],
        opened_at: at(i64::from(number)),
        expires_at: at(i64::from(number)) + SignedDuration::from_hours(hours),
    };
    for number in 1..=3 {
        store.open_session(&session(number, 12), 2, &line("open_session")).await.unwrap();
    }
    assert_eq!(store.session(&[1; 32]).await.unwrap(), None);
    assert_eq!(store.session(&[2; 32]).await.unwrap(), Some(session(2, 12)));
    assert!(store.end_session(&[2; 32], &line("end_session")).await.unwrap());
    assert!(!store.end_session(&[2; 32], &line("end_session")).await.unwrap());
    assert_eq!(store.session(&[2; 32]).await.unwrap(), None);
    assert_eq!(actions(store).await.len(), 4);
    // One that has expired is forgotten when another is opened.
    let late = Session { opened_at: at(3) + SignedDuration::from_hours(13), ..session(4, 24) };
    store.open_session(&late, 2, &line("open_session")).await.unwrap();
    assert_eq!(store.session(&[3; 32]).await.unwrap(), None);
}

fn reached(stage: FunnelStage, held_by: &str) -> Reached {
    Reached { stage, held_by: Some(held_by.to_owned()) }
}

fn seen(dseq: u64, second: i64, reached: Reached) -> OrderRow {
    OrderRow { seen_at: at(second), reached, ..order_row(dseq, second) }
}

pub(crate) async fn a_funnel_counts_a_window_and_names_the_newest(store: &dyn Store) {
    let declined = || reached(FunnelStage::Seen, "paused");
    let orders: Vec<OrderRow> =
        (1..=9).map(|n| seen(n, i64::try_from(n).unwrap(), declined())).collect();
    let mut commit = Commit { state: Some(json!({})), orders, ..Commit::default() };
    commit.orders.push(seen(20, 8, reached(FunnelStage::Won, "applying")));
    step(store, 7, &commit).await;
    let rows = store.funnel(at(4), 2).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0].reached, rows[0].orders), (&declined(), 6));
    assert_eq!(rows[0].sample, [order(9), order(8)]);
    assert_eq!((rows[1].orders, &rows[1].sample), (1, &vec![order(20)]));
    let totals = store.totals(at(4)).await.unwrap();
    assert_eq!((totals.orders, totals.bids, totals.leases, totals.running), (7, 1, 1, 0));
}

pub(crate) async fn a_priced_order_counts_as_sent_once_a_transaction_holds_its_bid(
    store: &dyn Store,
) {
    let priced = || reached(FunnelStage::Priced, "on_its_way");
    let keys: Vec<String> = (1..=2).map(|n| format!("create-bid/{}/0", order(n))).collect();
    let commit = Commit {
        orders: vec![seen(1, 1, priced()), seen(2, 2, priced())],
        effects: keys.iter().map(|key| chain_effect(key)).collect(),
        ..keep()
    };
    step(store, 7, &commit).await;
    let before = store.changes().await.unwrap().of(Topic::Orders);
    sign(store, vec![transaction("AA", &[&keys[0]], far())]).await;
    assert!(store.changes().await.unwrap().of(Topic::Orders) > before);
    let rows = store.funnel(at(0), 5).await.unwrap();
    let told: Vec<_> =
        rows.iter().map(|row| (row.reached.stage, row.orders, row.sample.clone())).collect();
    let expected =
        [(FunnelStage::Priced, 1, vec![order(2)]), (FunnelStage::Sent, 1, vec![order(1)])];
    assert_eq!(told, expected);
}

pub(crate) async fn counts_rise_with_the_rows_of_their_kind_and_with_no_others(store: &dyn Store) {
    let mut before = store.changes().await.unwrap();
    assert_eq!(before.0.len(), Topic::ALL.len());
    let mut rose = async |store: &dyn Store| {
        let now = store.changes().await.unwrap();
        let moved: Vec<Topic> =
            Topic::ALL.into_iter().filter(|topic| now.of(*topic) != before.of(*topic)).collect();
        before = Changes(now.0);
        moved
    };
    let commit =
        Commit { state: Some(json!({})), orders: vec![order_row(1, 1)], ..Commit::default() };
    step(store, 7, &commit).await;
    assert_eq!(rose(store).await, [Topic::Orders]);
    step(store, 7, &keep()).await;
    assert_eq!(rose(store).await, []);
    let seen = |key: &str| Observation { key: key.to_owned(), taken_at: at(1), body: json!({}) };
    store.observe(&seen("tip")).await.unwrap();
    store.observe(&seen("registration")).await.unwrap();
    assert_eq!(rose(store).await, [Topic::Tip]);
    store.change_stream("main", &|state| state.clone()).await.unwrap();
    assert_eq!(rose(store).await, [Topic::Streams]);
    store.set_maintenance(&Maintenance::default(), &line("x"), &[], at(1)).await.unwrap();
    assert_eq!(rose(store).await, [Topic::Maintenance]);
}
