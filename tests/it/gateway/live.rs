//! The live stream of an operator's page: what it sends, when, and how it is resumed.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use lessor::provider::settings::SettingsFault;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    session::{Browser, json_request},
    world::{OPERATOR_TOKEN, World, request},
};

/// How many events a new reader is sent.
const PANELS: usize = 10;

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
    let expected = [
        "overview",
        "streams",
        "funnel",
        "funnel",
        "orders",
        "leases",
        "inventory",
        "deadlines",
        "stuck",
        "maintenance",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events.len(), PANELS);
    let routes = [
        "/v1/overview",
        "/v1/streams",
        "/v1/funnel?window=1h",
        "/v1/funnel?window=24h",
        "/v1/orders",
        "/v1/leases?state=open",
        "/v1/inventory",
        "/v1/deadlines",
        "/v1/stuck",
        "/v1/maintenance",
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
    assert_eq!(names(&changed), ["overview", "maintenance"]);
    assert!(changed[0].data.contains("\"paused\""));
    assert_eq!(news(&world, Some(&changed[1].id)).await, []);
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
        assert_eq!(events(answer.text()).len(), if is_text { PANELS } else { 0 });
    }
}

#[tokio::test]
async fn a_change_comes_by_itself_and_the_process_ends_the_stream() {
    let world = World::new().await;
    let open = request("GET", "/v1/stream", Some(OPERATOR_TOKEN), Body::empty());
    let mut reader = Reader::open(&world, open).await;
    assert_eq!(reader.first(PANELS).await.len(), PANELS);
    set(&world, "maintenance").await;
    let events = reader.first(PANELS + 2).await;
    assert_eq!(names(&events[PANELS..]), ["overview", "maintenance"]);
    assert!(events[PANELS].data.contains("\"verdict\":\"maintenance\""));
    world.lease_in_rows().await;
    let events = reader.first(PANELS + 7).await;
    let after = names(&events[PANELS + 2..]);
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
    let last = reader.first(PANELS).await.pop().unwrap();
    let since = std::time::Instant::now();
    let beat = reader.first(PANELS + 1).await.pop().unwrap();
    assert!(since.elapsed().as_secs() >= 14, "{:?}", since.elapsed());
    assert_eq!((beat.name.as_str(), beat.data.as_str()), ("heartbeat", "{\"missing\":[]}"));
    assert_eq!(beat.id, last.id, "a heartbeat is no news");
}

#[tokio::test]
async fn signing_out_ends_the_sessions_streams_and_no_others() {
    let world = World::new().await;
    let (browser, other) = (Browser::new(&world).await, Browser::new(&world).await);
    let mut mine = Reader::open(&world, browser.request("GET", "/v1/stream")).await;
    let mut theirs = Reader::open(&world, other.request("GET", "/v1/stream")).await;
    mine.first(PANELS).await;
    theirs.first(PANELS).await;
    let end = browser.proven(browser.request("DELETE", "/v1/session"));
    assert_eq!(world.send(end).await.status, 204);
    mine.end().await;
    set(&world, "paused").await;
    assert_eq!(theirs.first(PANELS + 1).await.len(), PANELS + 1);
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

/// Reads on until a heartbeat says that exactly these are missing.
async fn until_missing(reader: &mut Reader, missing: &[&str]) {
    let wanted = json!({ "missing": missing }).to_string();
    let mut known = events(&reader.read).len();
    loop {
        let all = reader.first(known + 1).await;
        if all[known..].iter().any(|event| event.name == "heartbeat" && event.data == wanted) {
            return;
        }
        known = all.len();
    }
}

#[tokio::test]
async fn what_cannot_be_made_now_is_named_at_once_and_again_when_it_can() {
    let world = World::new().await;
    let rows = world.connection().await;
    let open = request("GET", "/v1/stream", Some(OPERATOR_TOKEN), Body::empty());
    let mut reader = Reader::open(&world, open).await;
    reader.first(PANELS).await;
    sqlx::query("ALTER TABLE deadlines RENAME TO elsewhere").execute(&rows).await.unwrap();
    // A panel is made again when its rows changed.
    let touch = "UPDATE changes SET count = count + 1 WHERE topic = 'deadlines'";
    sqlx::query(touch).execute(&rows).await.unwrap();
    until_missing(&mut reader, &["deadlines"]).await;
    sqlx::query("ALTER TABLE elsewhere RENAME TO deadlines").execute(&rows).await.unwrap();
    until_missing(&mut reader, &[]).await;

    // Without the counts nothing is known of any panel; the overview is there and says why.
    sqlx::query("ALTER TABLE changes RENAME TO nowhere").execute(&rows).await.unwrap();
    let all =
        ["streams", "funnel", "orders", "leases", "inventory", "deadlines", "stuck", "maintenance"];
    until_missing(&mut reader, &all).await;
    sqlx::query("ALTER TABLE nowhere RENAME TO changes").execute(&rows).await.unwrap();
    until_missing(&mut reader, &[]).await;
}

#[tokio::test]
async fn leases_that_are_not_closed_are_all_counted_and_closed_ones_hide_none() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let list = async |query: &str| {
        world.get(&format!("/v1/leases{query}"), Some(OPERATOR_TOKEN)).await.json()
    };
    let open = list("?state=open").await;
    assert_eq!((open["items"].as_array().unwrap().len(), &open["total"]), (1, &json!(1)));
    assert_eq!(list("?state=open").await, list("?state=open&limit=1").await);
    assert!(list("").await.get("total").is_none());
    // Of a hundred and one leases a page has a hundred, and says so.
    let rows = world.connection().await;
    let copy = "INSERT INTO orders (id, owner, phase, bid, lease, reached, held_by, seen_at, changed_at, body)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
        SELECT replace(o.id, '/4005/', '/' || (5000 + i) || '/'), o.owner, o.phase, o.bid, o.lease, o.reached, o.held_by,
            o.seen_at, o.changed_at + i, o.body
        FROM orders AS o, n";
    sqlx::query(copy).execute(&rows).await.unwrap();
    let open = list("?state=open").await;
    assert_eq!((open["items"].as_array().unwrap().len(), &open["total"]), (100, &json!(101)));
    let next = open["next"].as_str().unwrap();
    let rest = list(&format!("?state=open&after={next}")).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    // The newest hundred end: the one that goes on is still there.
    sqlx::query("UPDATE orders SET lease = 'closed' WHERE id NOT LIKE '%/4005/%'")
        .execute(&rows)
        .await
        .unwrap();
    let open = list("?state=open").await;
    assert_eq!((open["items"].as_array().unwrap().len(), &open["total"]), (1, &json!(1)));
    let mine = world.get("/v1/leases?state=open", Some(&world.alice.full())).await.json();
    assert_eq!(mine["items"].as_array().unwrap().len(), 1);
    assert!(mine.get("total").is_none(), "a tenant is told of their own");
}

#[tokio::test]
async fn a_stranger_reads_fixed_texts_and_the_operator_what_exactly_is_wrong() {
    let world = World::new().await;
    let secret = "/etc/lessor/lessor.toml: line 3: token_file is wrong";
    let found = |reason| Some(SettingsFault { reason, message: secret.to_owned() });
    // A world that bids, but for the settings.
    let overview = async |token| world.get("/v1/overview", token).await;
    for reason in ["bad_file", "restart_needed", "of_another_program"] {
        world.provider.note_settings(found(reason));
        for path in ["/v1/overview", "/", "/readyz"] {
            let stranger = world.get(path, None).await;
            assert!(!stranger.text().contains("/etc/"), "{path}: {}", stranger.text());
            let tenant = world.get(path, Some(&world.alice.full())).await;
            assert!(!tenant.text().contains("/etc/"), "{path}: {}", tenant.text());
        }
        let health = world.get("/readyz", Some(OPERATOR_TOKEN)).await;
        assert!(health.text().contains(secret), "{}", health.text());
    }
    let browser = Browser::new(&world).await;
    let mine = world.send(browser.request("GET", "/v1/overview")).await;
    assert_eq!(mine.header("cache-control"), "no-store");
    assert_eq!(overview(None).await.header("cache-control"), "public, max-age=1");
    // Nothing has been seen of the chain, which is worse than the settings: its detail is the operator's too.
    assert!(mine.json()["detail"].is_string(), "{}", mine.text());
    assert!(overview(None).await.json().get("detail").is_none());
    assert_eq!(mine.json(), overview(Some(OPERATOR_TOKEN)).await.json());
}
