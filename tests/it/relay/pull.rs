//! Missed blocks, asked for again.

use std::{collections::BTreeMap, sync::Arc};

use lessor::{
    chain::{self, Pull},
    domain::Height,
    event::{
        BlockEvent,
        envelope::{page::Page, read::Limits},
        link::Link,
    },
    provider::port::Indexer as _,
    relay::{Relay, Settings, pack::BatchLimits},
};
use tokio::net::TcpListener;

use super::world::{Node, Receiver, Running, clock, settings};

async fn serve(relay: &Relay) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = relay.pull_router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn pull(base: &str, from: u64, to: u64) -> (Vec<BlockEvent>, Vec<Page>) {
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let cursor = pages.last().and_then(|page| page.next_cursor.clone());
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let url = format!("{base}/blocks?from={from}&to={to}{cursor}");
        let body = reqwest::get(url).await.unwrap().error_for_status().unwrap().bytes().await;
        pages.push(Page::read(&body.unwrap(), &Limits::default()).unwrap());
        if pages.last().unwrap().next_cursor.is_none() {
            let events = pages.iter().flat_map(|page| page.events.clone());
            return (events.filter_map(|event| event.block().cloned()).collect(), pages);
        }
    }
}

#[tokio::test]
async fn what_is_pulled_is_what_was_delivered() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    let mut orders = vec![0; 170];
    for i in (0..170).step_by(7) {
        orders[i] = 1;
    }
    orders[100] = 12;
    node.push_orders(&orders);
    let limits = BatchLimits { events: 5, bytes: 8 * 1024 };
    let small = Settings { limits, ..settings(&node, &receiver, data.path()) };
    let relay = Relay::open(small, &clock()).unwrap();
    let base = serve(&relay).await;
    let running = Running::of(relay);
    receiver.until_at(node.block_ref(169)).await;
    running.stop().await;
    let delivered: Vec<BlockEvent> = receiver
        .taken()
        .iter()
        .flat_map(|received| received.events.iter().filter_map(|event| event.block().cloned()))
        .collect();

    for (from, to) in [(1, 170), (1, 400), (98, 106), (101, 101), (2, 7), (164, 170)] {
        let (blocks, pages) = pull(&base, from, to).await;
        let expected: Vec<BlockEvent> = delivered
            .iter()
            .filter(|block| (from..=to).contains(&block.at.height.0))
            .cloned()
            .collect();
        assert_eq!(blocks, expected, "{from} to {to}");
        assert_eq!(pages.last().unwrap().through, node.block_ref(to.min(170)));
        for page in &pages {
            assert!(
                page.events.iter().filter_map(|e| e.block()).map(|b| b.events.len()).sum::<usize>()
                    <= 5
            );
        }
    }
}

#[tokio::test]
async fn a_gap_is_closed_by_what_is_pulled() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 0, 1, 1, 0, 1, 0, 0]);
    let relay = Relay::open(settings(&node, &receiver, data.path()), &clock()).unwrap();
    let base = serve(&relay).await;
    let (all, _) = pull(&base, 1, 8).await;
    let mut link = Link::default();
    link.receive(&all[0]);
    link.receive(&all[3]);
    let gap = link.gap().unwrap();
    let (missed, pages) = pull(&base, gap.from.0, gap.to.0).await;
    for block in &missed {
        link.receive(block);
    }
    assert_eq!((link.cursor(), link.gap()), (Some(node.block_ref(6)), None));
    assert!(!link.backfilled(pages.last().unwrap().through), "the links alone closed it");
}

#[tokio::test]
async fn a_range_that_is_wrong_or_not_there_is_refused_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 1, 1]);
    let relay = Relay::open(settings(&node, &receiver, data.path()), &clock()).unwrap();
    let base = serve(&relay).await;
    for (query, status, text) in [
        ("from=0&to=2", 400, "from must be at least 1"),
        ("from=3&to=2", 400, "from must be at least 1"),
        ("from=1&to=2&cursor=9-0", 400, "cursor is not one of this range's"),
        ("from=4&to=9", 404, "block 4 is not there yet"),
    ] {
        let answer = reqwest::get(format!("{base}/blocks?{query}")).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{query}");
        let body = answer.text().await.unwrap();
        assert!(body.contains(text), "{query}: {body}");
    }
    node.prune(2);
    let answer = reqwest::get(format!("{base}/blocks?from=1&to=3")).await.unwrap();
    assert_eq!(answer.status().as_u16(), 404);
}

#[tokio::test]
async fn a_provider_pulls_what_it_missed_from_the_address_in_its_settings() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 0, 12, 1, 0, 0]);
    let limits = BatchLimits { events: 5, bytes: 8 * 1024 };
    let small = Settings { limits, ..settings(&node, &receiver, data.path()) };
    let base = serve(&Relay::open(small, &clock()).unwrap()).await;
    let chain = chain::Node::new(chain::NodeSettings::new(node.url.as_str())).unwrap();
    let indexers = BTreeMap::from([("main".to_owned(), base)]);
    let pulling = Pull::new(&indexers, Arc::new(chain)).unwrap();
    assert_eq!((pulling.reads_per_block("main"), pulling.reads_per_block("other")), (0, 2));

    // The third block alone is more than a page.
    let missed = pulling.blocks("main", Height(1), Height(4)).await.unwrap();
    assert_eq!((missed.through, missed.complete), (Some(node.block_ref(4)), true));
    let mut link = Link::default();
    for block in &missed.blocks {
        link.receive(block);
    }
    assert_eq!(link.cursor(), Some(node.block_ref(4)));
    assert_eq!(missed.blocks.iter().map(|block| block.events.len()).sum::<usize>(), 14);

    // A stream without an indexer's address is read from the node, as far as that has come.
    let read = pulling.blocks("other", Height(3), Height(60)).await.unwrap();
    assert_eq!((read.through, read.complete), (Some(node.block_ref(6)), false));
    assert_eq!(read.blocks.iter().map(|block| block.events.len()).sum::<usize>(), 13);

    let above = pulling.blocks("main", Height(7), Height(9)).await.unwrap_err().to_string();
    assert!(above.contains("404"), "{above}");
    let nowhere = BTreeMap::from([("main".to_owned(), "file:///etc".to_owned())]);
    let chain = chain::Node::new(chain::NodeSettings::new(node.url.as_str())).unwrap();
    assert!(Pull::new(&nowhere, Arc::new(chain)).unwrap_err().to_string().contains("not an http"));
}
