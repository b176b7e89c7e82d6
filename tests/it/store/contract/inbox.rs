//! Deliveries, events and streams.

use jiff::Timestamp;
use lessor::{
    domain::Height,
    provider::port::{
        ChainIdentity, Content, EventRow, Ingested, NotTaken, Spent, Store, StreamPlan,
        StreamState, Subject,
    },
};
use serde_json::json;

use crate::store::fixtures::{
    at, claim_all, claim_one, counts, delivery, event, ingest, ingest_planned, names, plan, subject,
};

pub(crate) async fn a_delivery_is_committed_once_and_wakes_the_subjects_of_its_events(
    store: &dyn Store,
) {
    let events = vec![event(5, 0), event(5, 1), event(6, 0)];
    assert_eq!(counts(&ingest(store, "a", events.clone()).await), (3, 0, 0));
    let claimed = claim_all(store, at(0)).await;
    assert_eq!(names(&claimed), [subject(5), subject(6)]);
    assert_eq!(claimed[0].hint, Some(Height(5)));
    assert_eq!(claimed[0].hinted_by.as_deref(), Some("indexer"));
    assert_eq!(claimed[0].state, None);
    assert_eq!(
        store.events(&subject(5), 10).await.unwrap(),
        [event(5, 1), event(5, 0)],
        "newest first, with their content"
    );
    assert_eq!(store.events(&subject(5), 1).await.unwrap().len(), 1);
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!((row.deliveries, row.events, row.duplicates), (1, 3, 0));
    assert_eq!(row.state.heard_at, Some(at(0)));
    assert_eq!(store.stream("other").await.unwrap(), None);
}

pub(crate) async fn a_repeated_delivery_changes_nothing_even_when_it_comes_late(store: &dyn Store) {
    ingest(store, "a", vec![event(5, 0)]).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.commit(&claim, at(0), &crate::store::fixtures::keep()).await.unwrap();
    let before = store.stream("indexer").await.unwrap();
    let again = ingest(store, "a", vec![event(5, 0)]).await;
    assert_eq!(again, Ingested::Repeated { state: plan().state });
    assert_eq!(store.stream("indexer").await.unwrap(), before);
    assert!(claim_all(store, at(9)).await.is_empty());
}

pub(crate) async fn the_same_id_with_another_body_is_an_alarm_and_stores_nothing_else(
    store: &dyn Store,
) {
    ingest(store, "a", vec![event(5, 0)]).await;
    claim_all(store, at(0)).await;
    let other = delivery("a", b"another body");
    let content = Content { events: vec![event(6, 0)], ..Content::default() };
    let answer = store.ingest(other, content, Box::new(|_| plan())).await.unwrap();
    assert_eq!(answer, Ingested::OtherBody);
    assert!(store.events(&subject(6), 10).await.unwrap().is_empty());
    assert!(claim_all(store, at(1)).await.is_empty());
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!((row.deliveries, row.events, row.conflicts), (1, 1, 1));
    let lines = store.audit_lines(None, 10).await.unwrap().rows;
    assert_eq!((lines[0].action.as_str(), lines[0].subject.as_str()), ("alarm", "delivery/a"));
}

pub(crate) async fn known_events_in_a_new_delivery_are_duplicates_and_wake_nobody(
    store: &dyn Store,
) {
    ingest(store, "a", vec![event(5, 0)]).await;
    claim_all(store, at(0)).await;
    let both = vec![event(5, 0), event(6, 0), event(6, 0)];
    assert_eq!(counts(&ingest(store, "b", both).await), (1, 2, 0));
    assert_eq!(names(&claim_all(store, at(0)).await), [subject(6)]);
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!((row.deliveries, row.events, row.duplicates), (2, 2, 2));
}

fn with_content(content: u32) -> EventRow {
    let mut event = event(5, 0);
    event.attributes.insert("content".to_owned(), json!(content));
    event
}

pub(crate) async fn an_event_with_other_content_is_kept_beside_the_first_and_wakes_its_subject(
    store: &dyn Store,
) {
    ingest(store, "a", vec![event(5, 0)]).await;
    claim_all(store, at(0)).await;
    // Twice in one delivery: the second time it is known.
    let events = vec![with_content(1), with_content(1)];
    assert_eq!(counts(&ingest(store, "b", events).await), (0, 1, 1));
    assert_eq!(store.events(&subject(5), 10).await.unwrap(), [with_content(1), event(5, 0)]);
    assert_eq!(counts(&ingest(store, "c", vec![with_content(1)]).await), (0, 1, 0));
    assert_eq!(store.stream("indexer").await.unwrap().unwrap().conflicts, 1);
    let lines = store.audit_lines(None, 10).await.unwrap().rows;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].subject, format!("event/{}", event(5, 0).identity));
    assert_eq!(names(&claim_all(store, at(31)).await), [subject(5)]);
}

pub(crate) async fn contents_of_one_event_beyond_the_bound_are_counted_and_not_kept(
    store: &dyn Store,
) {
    let contents: Vec<EventRow> = (0..100).map(with_content).collect();
    assert_eq!(counts(&ingest(store, "a", contents).await), (1, 0, 99));
    assert_eq!(store.events(&subject(5), 100).await.unwrap().len(), 4);
}

pub(crate) async fn events_that_nobody_handles_are_stored_and_counted_and_wake_nobody(
    store: &dyn Store,
) {
    let unknown = EventRow { subject: None, ..event(5, 0) };
    assert_eq!(counts(&ingest(store, "a", vec![unknown.clone()]).await), (1, 0, 0));
    assert_eq!(counts(&ingest(store, "b", vec![unknown]).await), (0, 1, 0));
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!((row.events, row.ignored), (1, 1));
    assert_eq!(store.next_due().await.unwrap(), None);
}

pub(crate) async fn a_refused_plan_stores_only_that_the_stream_was_heard(store: &dyn Store) {
    let why = NotTaken::DoesNotJoin;
    let refused = StreamPlan { refuse: Some(why), ..plan() };
    let answer = ingest_planned(store, "a", vec![event(5, 0)], refused).await;
    let heard = StreamState { heard_at: Some(at(0)), ..StreamState::default() };
    assert_eq!(answer, Ingested::Refused { why, state: heard.clone() });
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!((row.state, row.deliveries, row.events), (heard, 0, 0));
    assert_eq!(counts(&ingest(store, "a", vec![event(5, 0)]).await), (1, 0, 0));
}

pub(crate) async fn a_plan_wakes_the_stream_and_other_subjects_at_their_times(store: &dyn Store) {
    let stream = Subject::Stream("indexer".to_owned());
    let planned =
        StreamPlan { wake_at: Some(at(10)), wake: vec![Subject::Provider, subject(7)], ..plan() };
    ingest_planned(store, "a", vec![event(7, 0)], planned).await;
    let claimed = claim_all(store, at(0)).await;
    assert_eq!(names(&claimed), [subject(7), Subject::Provider]);
    assert_eq!(claimed[0].hint, Some(Height(7)));
    assert_eq!(claimed[1].hinted_by.as_deref(), Some("indexer"), "its reads are paid for too");
    assert!(claim_all(store, at(9)).await.is_empty());
    assert_eq!(names(&claim_all(store, at(10)).await), [stream]);
}

pub(crate) async fn a_height_that_no_chain_has_does_not_make_the_store_fail(store: &dyn Store) {
    let mut far = event(5, 0);
    far.identity.height = Height(u64::MAX);
    assert_eq!(counts(&ingest(store, "a", vec![far]).await), (1, 0, 0));
    let hint = claim_one(store, at(0)).await.hint.unwrap();
    assert!(hint > Height(1 << 60), "{hint}");
}

pub(crate) async fn reads_are_granted_up_to_the_limit_of_each_minute(store: &dyn Store) {
    let minute: Timestamp = "2026-01-01T00:00:59Z".parse().unwrap();
    let next: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
    for (reads, now, expected) in [
        (4, minute, Spent { reads: 4, granted: true }),
        (7, minute, Spent { reads: 4, granted: false }),
        (6, minute, Spent { reads: 10, granted: true }),
        (1, minute, Spent { reads: 10, granted: false }),
        (1, next, Spent { reads: 1, granted: true }),
    ] {
        assert_eq!(store.spend("indexer", reads, 10, now).await.unwrap(), expected);
    }
    let other = store.spend("other", 10, 10, next).await.unwrap();
    assert_eq!(other, Spent { reads: 10, granted: true });
}

pub(crate) async fn a_stream_is_changed_outside_a_delivery(store: &dyn Store) {
    let tip = Some((Height(9), at(0)));
    let change = |state: &StreamState| StreamState { indexer_tip: tip, ..state.clone() };
    let changed = store.change_stream("indexer", &change).await.unwrap();
    assert_eq!(changed.indexer_tip, tip);
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!((row.state, row.deliveries), (changed, 0));
    let on_what_is_stored = move |state: &StreamState| {
        assert_eq!(state.indexer_tip, tip);
        plan()
    };
    store
        .ingest(delivery("a", b"a"), Content::default(), Box::new(on_what_is_stored))
        .await
        .unwrap();
}

pub(crate) async fn the_chain_is_recorded_once(store: &dyn Store) {
    let chain = |hash: &str| ChainIdentity {
        chain_id: "local".to_owned(),
        first_block_hash: hash.to_owned(),
        first_block_height: Height(1),
    };
    assert_eq!(store.chain_identity().await.unwrap(), None);
    assert_eq!(store.record_chain_identity(&chain("AA")).await.unwrap(), chain("AA"));
    assert_eq!(store.record_chain_identity(&chain("BB")).await.unwrap(), chain("AA"));
    assert_eq!(store.chain_identity().await.unwrap(), Some(chain("AA")));
}
