//! Deliveries that wait at the same time. All of a test's deliveries wait before the first is committed: they are polled in
//! one task, and who commits them is another one of the same thread.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use futures_util::future::join_all;
use lessor::{
    domain::Height,
    provider::port::{
        Content, Delivery, EventRow, Ingested, NotTaken, Store, StreamPlan, StreamState, Subject,
    },
    store::{Settings, Sqlite},
};

use super::fixtures::{
    Home, at, claim_all, counts, delivery, event, ingest, ingest_planned, names, plan, subject,
};

async fn commits_of(store: &Sqlite) -> Arc<AtomicU32> {
    let commits = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&commits);
    store
        .before_each_commit(move || {
            counted.fetch_add(1, SeqCst);
        })
        .await
        .unwrap();
    commits
}

async fn ingest_on(store: &dyn Store, stream: &str, id: &str, events: Vec<EventRow>) -> Ingested {
    let delivery = Delivery { stream: stream.to_owned(), ..delivery(id, id.as_bytes()) };
    let content = Content { events, ..Content::default() };
    store.ingest(delivery, content, Box::new(|_| plan())).await.unwrap()
}

#[tokio::test]
async fn deliveries_that_wait_together_share_a_commit_and_each_has_its_own_answer() {
    let home = Home::new().await;
    let store = home.open().await;
    let commits = commits_of(&store).await;
    let streams = ["north", "south"];
    let answers = join_all((0..20_u32).map(|number| {
        let (store, stream) = (&store, streams[number as usize % 2]);
        // Every event comes on both streams; what came first is known to the second.
        let events = vec![event(u64::from(number / 2) + 1, 0), event(100, number)];
        async move { ingest_on(store, stream, &number.to_string(), events).await }
    }))
    .await;
    let counted: Vec<_> = answers.iter().map(counts).collect();
    for pair in counted.chunks(2) {
        assert_eq!(pair, [(2, 0, 0), (1, 1, 0)]);
    }
    assert_eq!(commits.load(SeqCst), 1);
    let stored = [store.stream("north").await.unwrap(), store.stream("south").await.unwrap()];
    let grown = stored.map(|row| row.map(|row| (row.deliveries, row.events, row.duplicates)));
    assert_eq!(grown, [Some((10, 20, 0)), Some((10, 10, 10))]);
    let woken = names(&claim_all(&store, at(0)).await);
    let mut expected: Vec<Subject> = (1..=10).chain([100]).map(subject).collect();
    expected.sort();
    assert_eq!(woken, expected);
}

#[tokio::test]
async fn a_delivery_that_waits_twice_is_committed_once_and_another_body_is_an_alarm() {
    let home = Home::new().await;
    let store = home.open().await;
    let other = {
        let content = Content { events: vec![event(6, 0)], ..Content::default() };
        store.ingest(delivery("a", b"another body"), content, Box::new(|_| plan()))
    };
    let (first, second, other) = tokio::join!(
        ingest(&store, "a", vec![event(5, 0)]),
        ingest(&store, "a", vec![event(5, 0)]),
        other,
    );
    assert_eq!(counts(&first), (1, 0, 0));
    assert_eq!(second, Ingested::Repeated { state: plan().state });
    assert_eq!(other.unwrap(), Ingested::OtherBody);
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!((row.deliveries, row.events, row.conflicts), (1, 1, 1));
    assert_eq!(store.audit_lines(None, 10).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_plan_is_made_on_what_the_deliveries_before_it_left() {
    let home = Home::new().await;
    let store = home.open().await;
    let raise = |id: &'static str| {
        let plan = move |state: &StreamState| {
            let seen = state.indexer_tip.map_or(0, |(Height(height), _)| height);
            let tip = Some((Height(seen + 1), at(0)));
            StreamPlan {
                state: StreamState { indexer_tip: tip, ..state.clone() },
                // The third is refused, and the fourth is made on what the second left.
                refuse: (seen == 2 && id == "c").then_some(NotTaken::DoesNotJoin),
                ..StreamPlan::default()
            }
        };
        store.ingest(delivery(id, id.as_bytes()), Content::default(), Box::new(plan))
    };
    let answers = join_all(["a", "b", "c", "d"].map(raise)).await;
    let tip = |answer: &Ingested| match answer {
        Ingested::Accepted { state, .. } | Ingested::Refused { state, .. } => {
            state.indexer_tip.map(|(height, _)| height.0)
        }
        other => panic!("{other:?}"),
    };
    let tips: Vec<_> = answers.iter().map(|answer| tip(answer.as_ref().unwrap())).collect();
    assert_eq!(tips, [Some(1), Some(2), Some(2), Some(3)]);
    assert!(matches!(answers[2], Ok(Ingested::Refused { .. })));
}

#[tokio::test]
async fn what_a_rewind_takes_back_is_what_came_before_it_and_not_what_comes_behind() {
    let home = Home::new().await;
    let store = home.open().await;
    let chain = lessor::provider::port::ChainIdentity {
        chain_id: "local".to_owned(),
        first_block_hash: "AA".to_owned(),
        first_block_height: Height(1),
    };
    store.record_chain_identity(&chain).await.unwrap();
    let rewind = StreamPlan { unverified_above: Some(Height(4)), ..plan() };
    let (_, _, behind) = tokio::join!(
        ingest(&store, "a", vec![event(5, 0), event(6, 0)]),
        ingest_planned(&store, "rewind", Vec::new(), rewind),
        ingest(&store, "b", vec![event(5, 1), event(6, 0)]),
    );
    assert_eq!(counts(&behind), (1, 1, 0));
    let row = store.stream("indexer").await.unwrap().unwrap();
    assert_eq!(row.unverified, 1, "the one of block 6 came again");
}

#[tokio::test]
async fn a_delivery_that_finds_the_inbox_full_does_not_keep_out_those_behind_it() {
    let home = Home::new().await;
    let store = home.open_with(Settings { max_waiting: 2, ..Settings::default() }).await;
    let (first, full, beat) = tokio::join!(
        ingest(&store, "a", vec![event(1, 0), event(2, 0)]),
        ingest(&store, "b", vec![event(3, 0)]),
        ingest(&store, "beat", Vec::new()),
    );
    assert_eq!(counts(&first), (2, 0, 0));
    assert_eq!(full, Ingested::Full);
    assert_eq!(counts(&beat), (0, 0, 0));
    assert!(store.events(&subject(3), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn who_goes_away_takes_nobodys_delivery_along() {
    let home = Home::new().await;
    let store = home.open().await;
    {
        let gone = ingest(&store, "gone", vec![event(1, 0)]);
        let mut gone = std::pin::pin!(gone);
        // Polled once: it waits, and who commits it has been called.
        assert!(futures_util::poll!(&mut gone).is_pending());
    }
    let stays = ingest(&store, "stays", vec![event(2, 0)]).await;
    assert_eq!(counts(&stays), (1, 0, 0));
    let again = ingest(&store, "gone", vec![event(1, 0)]).await;
    assert_eq!(again, Ingested::Repeated { state: plan().state });
}

#[tokio::test]
async fn a_plan_that_panics_loses_its_own_group_and_the_next_delivery_is_served() {
    let home = Home::new().await;
    let store = home.open().await;
    let broken = |_: &StreamState| -> StreamPlan { panic!("this plan is broken on purpose") };
    let error =
        store.ingest(delivery("a", b"a"), Content::default(), Box::new(broken)).await.unwrap_err();
    assert!(error.is_transient, "{error}");
    assert_eq!(counts(&ingest(&store, "b", vec![event(1, 0)]).await), (1, 0, 0));
}
