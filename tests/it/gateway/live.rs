//! The live stream of an operator's page: what it sends, when, and how it is resumed.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    session::{Browser, json_request},
    world::{OPERATOR_TOKEN, World, request},
};

/// One event as a browser reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

/// The events of a text; comments are none.
fn events(text: &str) -> Vec<Event> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    };
    let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
    blocks
        .map(|block| Event {
            name: field(block, "event"),
            id: field(block, "id"),
            data: field(block, "data"),
        })
        .collect()
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// What is new for whoever saw `last`.
async fn news(world: &World, last: Option<&str>) -> Vec<Event> {
    let mut request =
        request("GET", "/v1/stream?follow=false", Some(OPERATOR_TOKEN), Body::empty());
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.parse().unwrap());
    }
    let answer = world.send(request).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("cache-control"), "no-store");
    events(answer.text())
}

async fn set(world: &World, state: &str) {
    let body = json!({"state": state, "reason": "a test"});
    let mut request = json_request("PUT", "/v1/maintenance", &body);
    let token = format!("Bearer {OPERATOR_TOKEN}");
    request.headers_mut().insert("authorization", token.parse().unwrap());
    assert_eq!(world.send(request).await.status, 200);
}

/// A stream that is read as it comes.
struct Reader {
    body: BodyDataStream,
    read: String,
}

impl Reader {
    async fn open(world: &World, request: http::Request<Body>) -> Self {
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The first `count` events; fewer when the stream ends before.
    async fn first(&mut self, count: usize) -> Vec<Event> {
        while events(&self.read).len() < count {
            let next = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await;
            let Some(chunk) = next.expect("the stream is silent") else { break };
            self.read.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        events(&self.read)
    }

    /// Reads on until the stream ends.
    async fn end(&mut self) {
        self.first(usize::MAX).await;
    }
}

#[tokio::test]
async fn the_first_events_are_the_bodies_of_the_routes() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let events = news(&world, None).await;
    let expected =
        ["overview", "streams", "funnel", "funnel", "orders", "leases", "inventory", "deadlines"];
    assert_eq!(names(&events), expected);
    let routes = [
        "/v1/overview",
        "/v1/streams",
        "/v1/funnel?window=1h",
        "/v1/funnel?window=24h",
        "/v1/orders",
        "/v1/leases",
        "/v1/inventory",
        "/v1/deadlines",
    ];
    for (event, route) in events.iter().zip(routes) {
        let answer = world.get(route, Some(OPERATOR_TOKEN)).await;
        assert_eq!(event.data, answer.text(), "{route}");
    }
    let lease: Value = serde_json::from_str(&events[5].data).unwrap();
    assert_eq!(lease["items"][0]["services"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn whoever_comes_back_is_sent_exactly_what_changed_since() {
    let world = World::new().await;
    let last = news(&world, None).await.pop().unwrap().id;
    assert_eq!(news(&world, Some(&last)).await, []);
    set(&world, "paused").await;
    let changed = news(&world, Some(&last)).await;
    assert_eq!(names(&changed), ["overview"]);
    assert!(changed[0].data.contains("\"paused\""));
    assert_eq!(news(&world, Some(&changed[0].id)).await, []);
    // An id from the middle of the first events: the others are still to come.
    let all = news(&world, None).await;
    assert_eq!(names(&news(&world, Some(&all[2].id)).await), names(&all[3..]));
    // Ids that another program wrote begin anew.
    for strange in ["1", "orders-17", &"é".repeat(8)] {
        let mut request =
            request("GET", "/v1/stream?follow=false", Some(OPERATOR_TOKEN), Body::empty());
        let Ok(value) = http::HeaderValue::from_bytes(strange.as_bytes()) else { continue };
        request.headers_mut().insert("last-event-id", value);
        let answer = world.send(request).await;
        let is_text = strange.is_ascii();
        assert_eq!(answer.status.as_u16(), if is_text { 200 } else { 400 });
        assert_eq!(events(answer.text()).len(), if is_text { 8 } else { 0 });
    }
}

#[tokio::test]
async fn a_change_comes_by_itself_and_the_process_ends_the_stream() {
    let world = World::new().await;
    let open = request("GET", "/v1/stream", Some(OPERATOR_TOKEN), Body::empty());
    let mut reader = Reader::open(&world, open).await;
    assert_eq!(reader.first(8).await.len(), 8);
    set(&world, "maintenance").await;
    let events = reader.first(9).await;
    assert_eq!(names(&events[8..]), ["overview"]);
    assert!(events[8].data.contains("\"verdict\":\"maintenance\""));
    world.lease_in_rows().await;
    let events = reader.first(14).await;
    let after = names(&events[9..]);
    for name in ["overview", "funnel", "orders", "leases"] {
        assert!(after.contains(&name), "{name}: {after:?}");
    }
    assert!(!after.contains(&"inventory") && !after.contains(&"streams"), "{after:?}");
    world.state.shutdown.cancel();
    reader.end().await;
}

#[tokio::test]
async fn a_stream_without_news_says_every_fifteen_seconds_that_it_is_there() {
    let world = World::new().await;
    let open = request("GET", "/v1/stream", Some(OPERATOR_TOKEN), Body::empty());
    let mut reader = Reader::open(&world, open).await;
    let last = reader.first(8).await.pop().unwrap();
    let since = std::time::Instant::now();
    let beat = reader.first(9).await.pop().unwrap();
    assert!((14..18).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    assert_eq!((beat.name.as_str(), beat.data.as_str()), ("heartbeat", "{}"));
    assert_eq!(beat.id, last.id, "a heartbeat is no news");
    assert!(reader.read.contains("\n: heartbeat") || reader.read.contains(":heartbeat"));
}

#[tokio::test]
async fn signing_out_ends_the_sessions_streams_and_no_others() {
    let world = World::new().await;
    let (browser, other) = (Browser::new(&world).await, Browser::new(&world).await);
    let mut mine = Reader::open(&world, browser.request("GET", "/v1/stream")).await;
    let mut theirs = Reader::open(&world, other.request("GET", "/v1/stream")).await;
    mine.first(8).await;
    theirs.first(8).await;
    let end = browser.proven(browser.request("DELETE", "/v1/session"));
    assert_eq!(world.send(end).await.status, 204);
    mine.end().await;
    set(&world, "paused").await;
    assert_eq!(theirs.first(9).await.len(), 9);
}

#[tokio::test]
async fn no_more_streams_are_opened_than_are_kept_and_a_closed_one_makes_room() {
    let world = World::new().await;
    let open = || request("GET", "/v1/stream", Some(OPERATOR_TOKEN), Body::empty());
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(Reader::open(&world, open()).await);
    }
    let refused = world.send(open()).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "too_many_readers"));
    assert!(refused.headers.contains_key("retry-after"));
    readers.pop();
    Reader::open(&world, open()).await;
}
