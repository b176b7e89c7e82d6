//! What pages and routes read.

use lessor::{
    bidengine::{Decision, Outcome, Rule},
    domain::{Height, market::BlockTime},
    provider::port::{AuditLine, Commit, Observation, OrderFilter, OrderRow, Store},
};
use serde_json::json;

use crate::store::fixtures::{account, at, keep, order, order_row, step};

fn dseqs(rows: &[OrderRow]) -> Vec<u64> {
    rows.iter().map(|row| row.id.dseq()).collect()
}

async fn put(store: &dyn Store, rows: Vec<OrderRow>) {
    step(store, 1, &Commit { orders: rows, ..keep() }).await;
}

pub(crate) async fn orders_are_paged_by_their_last_change(store: &dyn Store) {
    put(store, [(1, 5), (2, 9), (3, 5), (4, 7), (5, 5)].map(|(n, t)| order_row(n, t)).to_vec())
        .await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let all = OrderFilter::default();
        let page = store.orders(&all, after.as_deref(), 2).await.unwrap();
        assert!(page.rows.len() <= 2);
        seen.extend(dseqs(&page.rows));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [2, 4, 5, 3, 1]);
}

pub(crate) async fn orders_are_filtered_by_each_column(store: &dyn Store) {
    let text = |text: &str| Some(text.to_owned());
    let mut rows = [1, 2, 3].map(|dseq| order_row(dseq, 0));
    rows[1].bid = text("open");
    rows[2].bid = text("active");
    rows[2].lease = text("active");
    rows[2].phase = "leased".to_owned();
    put(store, rows.to_vec()).await;
    let none = OrderFilter::default();
    for (filter, expected) in [
        (OrderFilter { phase: text("leased"), ..none.clone() }, vec![3]),
        (OrderFilter { bid: Some(None), ..none.clone() }, vec![3, 2]),
        (OrderFilter { bid: Some(text("open")), ..none.clone() }, vec![2]),
        (OrderFilter { lease: Some(None), ..none.clone() }, vec![3]),
        (OrderFilter { lease: Some(text("closed")), ..none.clone() }, vec![]),
        (OrderFilter { open_lease: true, ..none.clone() }, vec![3]),
        (OrderFilter { open_lease: true, owner: Some(account(2)), ..none.clone() }, vec![]),
        (OrderFilter { owner: Some(account(1)), ..none.clone() }, vec![3, 2, 1]),
        (OrderFilter { owner: Some(account(2)), ..none.clone() }, vec![]),
    ] {
        let page = store.orders(&filter, None, 10).await.unwrap();
        assert_eq!(dseqs(&page.rows), expected, "{filter:?}");
    }
    let counts = [("bidding".to_owned(), 2), ("leased".to_owned(), 1)];
    assert_eq!(store.order_counts().await.unwrap(), counts);
}

fn decision(version: u64) -> Decision {
    Decision {
        order: order(1),
        at: BlockTime { height: Height(7), time: at(0) },
        policy_version: version,
        outcome: Outcome::NoBid { reason: Rule::ALL[0] },
        stages: Vec::new(),
        placement: None,
        shortage: None,
        price: None,
        order_price: None,
    }
}

pub(crate) async fn an_order_keeps_when_it_was_first_seen_and_its_latest_decision(
    store: &dyn Store,
) {
    assert_eq!(store.order(&order(1)).await.unwrap(), None);
    assert_eq!(store.decision(&order(1)).await.unwrap(), None);
    put(store, vec![order_row(1, 1)]).await;
    let later = OrderRow { seen_at: at(9), body: json!("changed"), ..order_row(1, 9) };
    let commit =
        Commit { orders: vec![later.clone()], decisions: vec![decision(1), decision(2)], ..keep() };
    step(store, 1, &commit).await;
    let expected = OrderRow { seen_at: at(0), ..later };
    assert_eq!(store.order(&order(1)).await.unwrap(), Some(expected));
    assert_eq!(store.decision(&order(1)).await.unwrap(), Some(decision(2)));
}

pub(crate) async fn a_cursor_that_no_page_gave_is_an_error(store: &dyn Store) {
    for cursor in ["", "x", "9", "9x-id"] {
        let all = OrderFilter::default();
        assert!(store.orders(&all, Some(cursor), 1).await.is_err(), "{cursor:?}");
    }
    assert!(store.audit_lines(Some("x"), 1).await.is_err());
    let error = store.transactions(false, Some("1 OR 1"), 1).await.unwrap_err().to_string();
    assert_eq!(error, "read transactions: \"1 OR 1\" is not a cursor that a page gave");
}

pub(crate) async fn the_audit_is_paged_newest_first(store: &dyn Store) {
    let line = |number: i64| AuditLine {
        at: at(number),
        actor: "lessor".to_owned(),
        action: "bid".to_owned(),
        subject: order(1).to_string(),
        reason: format!("number {number}, \"quoted\"; DROP TABLE audit"),
    };
    store.audit(&[line(1), line(2)]).await.unwrap();
    step(store, 1, &Commit { audit: vec![line(3)], ..keep() }).await;
    store.audit(&[]).await.unwrap();
    let first = store.audit_lines(None, 2).await.unwrap();
    assert_eq!(first.rows, [line(3), line(2)]);
    let second = store.audit_lines(first.next.as_deref(), 2).await.unwrap();
    assert_eq!((second.rows, second.next), (vec![line(1)], None));
}

pub(crate) async fn the_younger_observation_is_kept(store: &dyn Store) {
    let seen = |second: i64, body: &str| Observation {
        key: "inventory".to_owned(),
        taken_at: at(second),
        body: json!(body),
    };
    assert_eq!(store.observation("inventory").await.unwrap(), None);
    for (observation, kept) in [
        (seen(5, "first"), seen(5, "first")),
        (seen(4, "late"), seen(5, "first")),
        (seen(6, "younger"), seen(6, "younger")),
        (seen(6, "same time"), seen(6, "same time")),
    ] {
        store.observe(&observation).await.unwrap();
        assert_eq!(store.observation("inventory").await.unwrap(), Some(kept));
    }
}

pub(crate) async fn a_store_says_that_it_is_well(store: &dyn Store) {
    store.health().await.unwrap();
    store.health().await.unwrap();
}
