//! What indexers push and how the stream stands after it: claims that cannot be, rewinds, parts, heartbeats, keys, and every
//! refusal that a delivery may get.

use axum::body::Body;
use http::Request;
use jiff::SignedDuration;
use lessor::{
    event::{
        key::{PrivateKey, SharedSecret, SigningKey},
        signature::StreamKey,
    },
    provider::{
        port::{Loaded, Store as _, Subject},
        settings::StreamSettings,
    },
};
use serde_json::{Value, json};

use super::{
    webhooks::{Sender, block, hash},
    world::{Answer, CHAIN, OPERATOR_TOKEN, World, request, start},
};

/// The highest that the chain counts.
const ABSURD: u64 = i64::MAX.unsigned_abs();

fn heartbeat(tip: u64) -> Value {
    json!({
        "specversion": "1.0", "id": format!("beat-{tip}"), "source": "urn:test",
        "type": "network.akash.heartbeat.v1",
        "data": {"chain_id": CHAIN, "tip_height": tip, "tip_time": start().to_string()},
    })
}

fn rewind(to: u64) -> Value {
    json!({
        "specversion": "1.0", "id": format!("rewind-{to}"), "source": "urn:test",
        "type": "network.akash.rewind.v1",
        "data": {"to_height": to, "to_hash": hash(to), "reason": "a wrong fork"},
    })
}

fn part(world: &World, height: u64, prev: u64, part: u64, parts: u64) -> Value {
    let mut found = block(world, height, Some(prev));
    found["data"]["part"] = part.into();
    found["data"]["parts"] = parts.into();
    found["data"]["events"][0]["event_index"] = part.into();
    found
}

async fn deliver(world: &World, id: &str, events: &[Value]) -> Answer {
    Sender::new(world, id).blocks(events).await
}

async fn stream(world: &World, name: &str) -> Value {
    world.get(&format!("/v1/streams/{name}"), Some(OPERATOR_TOKEN)).await.json()
}

async fn tick(world: &World) {
    let tick = request("POST", "/internal/v1/tick", Some(OPERATOR_TOKEN), Body::empty());
    assert_eq!(world.send(tick).await.status, 200);
}

async fn decide(world: &World, name: &str, body: &str) -> Answer {
    let path = format!("/v1/streams/{name}/rewind");
    let mut request = request("POST", &path, Some(OPERATOR_TOKEN), Body::from(body.to_owned()));
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    world.send(request).await
}

async fn condition(world: &World, name: &str) -> Value {
    let health = world.get("/readyz", None).await.json();
    let conditions = health["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["name"] == name).unwrap().clone()
}

async fn audit(world: &World, action: &str) -> Vec<Value> {
    let page = world.get("/v1/audit", Some(OPERATOR_TOKEN)).await.json();
    let lines = page["items"].as_array().unwrap();
    lines.iter().filter(|line| line["action"] == action).cloned().collect()
}

/// Puts other settings of the stream `main` in force.
fn change(world: &World, change: impl Fn(&mut StreamSettings)) {
    let mut settings = (*world.provider.settings()).clone();
    change(settings.streams.get_mut("main").unwrap());
    world.provider.replace_settings(settings);
}

#[tokio::test]
async fn a_block_that_the_chain_cannot_have_reached_moves_nothing_and_blinds_nobody() {
    let world = World::new().await;
    tick(&world).await;
    deliver(&world, "true", &[block(&world, 990, None)]).await;
    let answer = deliver(&world, "absurd", &[block(&world, ABSURD, Some(990))]).await;
    assert_eq!((answer.status.as_u16(), answer.json()["accepted"].as_u64()), (202, Some(1)));
    assert_eq!(answer.json()["cursor"]["height"], 990);
    let seen = stream(&world, "main").await;
    assert_eq!((&seen["cursor"]["height"], &seen["above_tip"]), (&json!(990), &json!(ABSURD)));
    assert_eq!(condition(&world, "stream/main").await["reason"], "above_tip");
    assert_eq!(audit(&world, "alarm").await.len(), 1);

    // What is true still joins, and what is missing is still missed.
    let answer = deliver(&world, "next", &[block(&world, 991, Some(990))]).await;
    assert_eq!(answer.json()["cursor"]["height"], 991);
    assert!(stream(&world, "main").await.get("above_tip").is_none());
    deliver(&world, "hole", &[block(&world, 1000, Some(999))]).await;
    let seen = stream(&world, "main").await;
    assert_eq!((&seen["gaps"][0]["from"], &seen["gaps"][0]["to"]), (&json!(992), &json!(999)));
}

#[tokio::test]
async fn an_event_of_such_a_block_waits_and_a_true_one_of_the_same_deployment_does_not() {
    let world = World::new().await;
    tick(&world).await;
    let mut absurd = block(&world, ABSURD, Some(200));
    absurd["data"]["events"][0]["attributes"]["id"]["dseq"] = "200".into();
    deliver(&world, "absurd", &[absurd]).await;
    let until = start() + SignedDuration::from_secs(60);
    assert!(world.store.claim("test", start(), until, 10).await.unwrap().is_empty());
    deliver(&world, "true", &[block(&world, 200, None)]).await;
    let woken = world.store.claim("test", start(), until, 10).await.unwrap();
    let is_deployment = |loaded: &&Loaded| matches!(loaded.claim.subject, Subject::Deployment(_));
    let deployments: Vec<&Loaded> = woken.iter().filter(is_deployment).collect();
    assert_eq!(deployments.len(), 1);
    assert_eq!(deployments[0].hint.unwrap().0, 200, "the absurd height is not left behind");
}

#[tokio::test]
async fn a_heartbeat_with_such_a_tip_hides_neither_lag_nor_a_chain_that_stands_still() {
    let world = World::new().await;
    tick(&world).await;
    deliver(&world, "beat", &[heartbeat(990)]).await;
    let seen = stream(&world, "main").await;
    assert_eq!((&seen["lag_blocks"], &seen["freshness"]), (&json!(10), &json!("live")));
    assert_eq!(seen["heartbeat_at"], start().to_string());
    world.clock.set(start() + SignedDuration::from_secs(120));
    tick(&world).await;
    deliver(&world, "lie", &[heartbeat(ABSURD)]).await;
    let seen = stream(&world, "main").await;
    assert_eq!(seen["indexer_tip"]["height"], 990);
    assert_eq!((&seen["lag_blocks"], &seen["freshness"]), (&json!(10), &json!("halted")));
    assert_eq!(seen["since"], start().to_string());
}

#[tokio::test]
async fn before_a_node_has_answered_a_claim_is_taken_at_its_word_and_forgotten_after() {
    let world = World::new().await;
    let answer = deliver(&world, "absurd", &[block(&world, ABSURD, None)]).await;
    assert_eq!(answer.json()["cursor"]["height"], ABSURD);
    tick(&world).await;
    let answer = deliver(&world, "true", &[block(&world, 200, None)]).await;
    assert_eq!(answer.json()["cursor"]["height"], 200);
    assert_eq!(audit(&world, "alarm").await.len(), 1);
}

#[tokio::test]
async fn a_strict_stream_refuses_what_the_chain_cannot_have_reached_and_counts_as_heard() {
    let world = World::new().await;
    tick(&world).await;
    let mut sender = Sender::new(&world, "one");
    sender.stream = "strict";
    sender.blocks(&[block(&world, 10, None)]).await;
    world.clock.set(start() + SignedDuration::from_secs(60));
    let mut sender = Sender::new(&world, "two");
    sender.stream = "strict";
    let refused = sender.blocks(&[block(&world, ABSURD, Some(10))]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "stream_gap"));
    assert!(refused.headers.contains_key("retry-after"), "the node may catch up");
    let seen = stream(&world, "strict").await;
    assert_eq!((&seen["cursor"]["height"], &seen["counts"]["deliveries"]), (&json!(10), &json!(1)));
    assert_eq!(seen["heard_at"], world.provider.clock.now().to_string());
    assert_eq!(seen["keys"][0]["last_used_at"], seen["heard_at"]);
}

#[tokio::test]
async fn a_node_that_gives_no_answer_is_not_a_chain_that_stands_still() {
    let world = World::new().await;
    tick(&world).await;
    *world.chain.is_away.lock().unwrap() = true;
    world.clock.set(start() + SignedDuration::from_secs(300));
    deliver(&world, "beat", &[heartbeat(1000)]).await;
    let seen = stream(&world, "main").await;
    assert_eq!((&seen["freshness"], &seen["since"]), (&json!("node_silent"), &json!(start())));
    assert_eq!(condition(&world, "stream/main").await["reason"], "node_silent");
}

#[tokio::test]
async fn a_short_rewind_marks_what_it_takes_back_until_it_comes_again() {
    let world = World::new().await;
    tick(&world).await;
    let blocks = [block(&world, 10, None), block(&world, 60, Some(10))];
    deliver(&world, "one", &blocks).await;
    tick(&world).await;
    assert_eq!(deliver(&world, "back", &[rewind(30)]).await.status, 202);
    let seen = stream(&world, "main").await;
    assert_eq!((&seen["cursor"]["height"], &seen["counts"]["unverified"]), (&json!(30), &json!(1)));
    assert_eq!(audit(&world, "rewind").await[0]["actor"], "stream/main");
    let until = start() + SignedDuration::from_secs(60);
    let woken = world.store.claim("test", start(), until, 10).await.unwrap();
    let mut woken: Vec<String> =
        woken.iter().map(|loaded| loaded.claim.subject.to_string()).collect();
    woken.sort();
    assert_eq!(woken, [format!("{}/60", world.alice.address), "provider".to_owned()]);

    let again = [block(&world, 60, Some(30))];
    assert_eq!(deliver(&world, "again", &again).await.json()["cursor"]["height"], 60);
    assert_eq!(stream(&world, "main").await["counts"]["unverified"], 0);
}

#[tokio::test]
async fn a_long_rewind_waits_for_the_operators_word() {
    let world = World::new().await;
    let nothing = decide(&world, "main", r#"{"accept": true}"#).await;
    assert_eq!((nothing.status.as_u16(), nothing.code().as_str()), (409, "conflict"));
    let blocks = [block(&world, 10, None), block(&world, 300, Some(10))];
    deliver(&world, "one", &blocks).await;
    deliver(&world, "back", &[rewind(100)]).await;
    let seen = stream(&world, "main").await;
    assert_eq!(
        (&seen["rewind_waits"]["height"], &seen["cursor"]["height"]),
        (&json!(100), &json!(300))
    );
    assert_eq!(seen["counts"]["unverified"], 0);

    let refused = decide(&world, "main", r#"{"accept": false}"#).await;
    assert_eq!(refused.status, 200, "{}", refused.text());
    assert!(refused.json().get("rewind_waits").is_none());
    assert_eq!(refused.json()["cursor"]["height"], 300);
    assert_eq!(audit(&world, "rewind_refused").await[0]["actor"], "operator");

    deliver(&world, "back-again", &[rewind(100)]).await;
    let accepted = decide(&world, "main", r#"{"accept": true}"#).await.json();
    assert!(accepted.get("rewind_waits").is_none());
    assert_eq!(
        (&accepted["cursor"]["height"], &accepted["counts"]["unverified"]),
        (&json!(100), &json!(1))
    );
    assert_eq!(audit(&world, "rewind").await[0]["actor"], "operator");
    assert_eq!(decide(&world, "main", r#"{"accept": true}"#).await.code(), "conflict");
    assert_eq!(decide(&world, "other", r#"{"accept": true}"#).await.code(), "stream_not_found");
    assert_eq!(decide(&world, "main", r#"{"agree": true}"#).await.code(), "malformed_body");
}

#[tokio::test]
async fn a_block_in_parts_moves_the_cursor_with_its_last_part() {
    let world = World::new().await;
    deliver(&world, "one", &[block(&world, 10, None)]).await;
    let second = deliver(&world, "part-1", &[part(&world, 12, 10, 1, 2)]).await;
    assert_eq!(second.json()["cursor"]["height"], 10);
    let first = deliver(&world, "part-0", &[part(&world, 12, 10, 0, 2)]).await;
    assert_eq!((first.status.as_u16(), first.json()["cursor"]["height"].as_u64()), (202, Some(12)));
}

#[tokio::test]
async fn events_of_unknown_types_are_kept_counted_and_ignored() {
    let world = World::new().await;
    let unknown = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "urn:test",
            "type": "network.akash.weather.v1", "data": {"sky": "clear"},
        })
    };
    let answer = deliver(&world, "one", &[unknown("a"), unknown("b")]).await;
    assert_eq!((answer.status.as_u16(), answer.json()["accepted"].as_u64()), (202, Some(2)));
    let again = deliver(&world, "two", &[unknown("a")]).await;
    assert_eq!((again.status.as_u16(), again.json()["duplicates"].as_u64()), (200, Some(1)));
    let counts = stream(&world, "main").await["counts"].clone();
    assert_eq!((&counts["events"], &counts["ignored"]), (&json!(2), &json!(2)));
    assert_eq!(world.store.next_due().await.unwrap().filter(|due| *due <= start()), None);
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT kind, data FROM other_events")
        .fetch_all(&world.connection().await)
        .await
        .unwrap();
    assert_eq!(rows[0], ("network.akash.weather.v1".to_owned(), r#"{"sky":"clear"}"#.to_owned()));
}

#[tokio::test]
async fn a_delivery_that_comes_again_is_told_that_all_of_it_is_known() {
    let world = World::new().await;
    let blocks = [block(&world, 10, None), block(&world, 12, Some(10))];
    let first = deliver(&world, "one", &blocks).await;
    let again = deliver(&world, "one", &blocks).await;
    assert_eq!(again.status, 200);
    let mut expected = first.json();
    expected["accepted"] = 0.into();
    expected["duplicates"] = 2.into();
    assert_eq!(again.json(), expected);
}

#[tokio::test]
async fn every_event_of_another_chain_is_pointed_at() {
    let world = World::new().await;
    let mut foreign = block(&world, 10, None);
    foreign["data"]["chain_id"] = "akashnet-2".into();
    let refused = deliver(&world, "one", &[block(&world, 9, None), foreign]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "wrong_chain"));
    assert_eq!(refused.json()["violations"][0]["pointer"], "/1/data/chain_id");
}

#[tokio::test]
async fn shared_secrets_and_the_other_names_of_the_headers_are_taken() {
    let world = World::new().await;
    let secret = SigningKey::Shared(SharedSecret::from_bytes(vec![3; 32]).unwrap());
    change(&world, |stream| {
        let key = secret.verifying();
        stream.keys.push(StreamKey {
            name: "shared".to_owned(),
            key,
            not_before: None,
            not_after: None,
        });
    });
    let mut sender = Sender::new(&world, "one");
    sender.key = secret;
    let body = json!([block(&world, 10, None)]).to_string();
    let mut request = sender.request(body.as_bytes());
    assert!(request.headers()["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    for name in ["id", "timestamp", "signature"] {
        let value = request.headers_mut().remove(format!("webhook-{name}")).unwrap();
        let name: http::HeaderName = format!("svix-{name}").parse().unwrap();
        request.headers_mut().insert(name, value);
    }
    assert_eq!(world.send(request).await.status, 202);
    let keys = stream(&world, "main").await["keys"].clone();
    assert_eq!(keys[1]["last_used_at"], start().to_string());
    assert!(keys[0].get("last_used_at").is_none());
}

#[tokio::test]
async fn a_key_counts_in_its_time_only() {
    let world = World::new().await;
    let hour = SignedDuration::from_hours(1);
    change(&world, |stream| stream.keys[0].not_after = Some(start()));
    let body = json!([block(&world, 10, None)]).to_string();
    let sender = Sender::new(&world, "one");
    assert_eq!(sender.refused(body.as_bytes()).await, (401, "signature_invalid".into()));
    assert_eq!(stream(&world, "main").await["keys"][0]["is_valid"], false);
    change(&world, |stream| {
        stream.keys[0].not_after = None;
        stream.keys[0].not_before = Some(start() + hour);
    });
    assert_eq!(sender.refused(body.as_bytes()).await, (401, "signature_invalid".into()));
    change(&world, |stream| stream.keys[0].not_before = Some(start()));
    assert_eq!(sender.send(body.as_bytes()).await.status, 202);
}

/// A refusal as the contract lists it.
struct Refusal {
    status: u16,
    code: &'static str,
    retry_after: bool,
}

const fn refusal(status: u16, code: &'static str, retry_after: bool) -> Refusal {
    Refusal { status, code, retry_after }
}

fn signed<'a>(world: &'a World, id: &str, change: impl FnOnce(&mut Sender<'a>)) -> Sender<'a> {
    let mut sender = Sender::new(world, id);
    change(&mut sender);
    sender
}

#[tokio::test]
async fn every_refusal_of_a_delivery_is_a_problem_that_says_when_to_try_again() {
    let world = World::bounded(1).await;
    let body = |blocks: &[Value]| json!(blocks).to_string().into_bytes();
    let (one, two) = (body(&[block(&world, 10, None)]), body(&[block(&world, 11, Some(10))]));
    let mut foreign = block(&world, 10, None);
    foreign["data"]["chain_id"] = "other".into();
    let mut elsewhere = block(&world, 10, None);
    elsewhere["dataref"] = "https://example.com/".into();
    let mut crowded = block(&world, 10, None);
    crowded["data"]["events"] = vec![crowded["data"]["events"][0].clone(); 501].into();
    let ahead = body(&[heartbeat(10), block(&world, 30, Some(29))]);
    let stranger = SigningKey::Private(PrivateKey::from_seed(&[1; 32]));
    let late = start() - SignedDuration::from_secs(301);
    let request = |sender: Sender<'_>, body: &[u8]| sender.request(body);
    let strict = |id: &str| signed(&world, id, |sender| sender.stream = "strict");

    let taken = world.send(request(Sender::new(&world, "one"), &one)).await;
    assert_eq!(taken.status, 202);
    let begun = world.send(request(strict("beat"), &body(&[heartbeat(10)]))).await;
    assert_eq!(begun.status, 202);
    let mut empty = block(&world, 10, None);
    empty["data"]["events"] = json!([]);
    let begun = world.send(request(strict("begin"), &body(&[empty]))).await;
    assert_eq!(begun.status, 202);
    let cases: Vec<(Refusal, Request<Body>)> = vec![
        (
            refusal(404, "stream_not_found", false),
            request(signed(&world, "a", |s| s.stream = "none"), &one),
        ),
        (
            refusal(410, "stream_deleted", false),
            request(signed(&world, "a", |s| s.stream = "gone"), &one),
        ),
        (
            refusal(413, "body_too_large", false),
            request(Sender::new(&world, "a"), &vec![b' '; 1 << 21]),
        ),
        (
            refusal(415, "unsupported_media_type", false),
            request(signed(&world, "a", |s| s.media = "text/plain"), &one),
        ),
        (
            refusal(401, "signature_invalid", false),
            request(signed(&world, "a", |s| s.key = stranger), &one),
        ),
        (
            refusal(401, "outside_time_window", false),
            request(signed(&world, "a", |s| s.at = late), &one),
        ),
        (refusal(400, "malformed_delivery", false), request(Sender::new(&world, "a"), b"[{")),
        (
            refusal(422, "too_many_events", false),
            request(Sender::new(&world, "a"), &body(&[crowded])),
        ),
        (
            refusal(422, "dataref_refused", false),
            request(Sender::new(&world, "a"), &body(&[elsewhere])),
        ),
        (refusal(422, "wrong_chain", false), request(Sender::new(&world, "a"), &body(&[foreign]))),
        (refusal(409, "delivery_body_differs", false), request(Sender::new(&world, "one"), &two)),
        (refusal(409, "stream_gap", false), request(strict("gap"), &ahead)),
        (refusal(429, "inbox_full", true), request(Sender::new(&world, "two"), &two)),
    ];
    for (expected, request) in cases {
        is_refused(world.send(request).await, &expected);
    }
    // Another process holds the store's write lock for longer than anybody waits.
    let rows = world.connection().await;
    let mut writer = rows.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("UPDATE counters SET value = value").execute(&mut *writer).await.unwrap();
    let waiting = world.send(request(Sender::new(&world, "three"), &body(&[heartbeat(11)])));
    is_refused(waiting.await, &refusal(503, "store_unavailable", true));
    writer.rollback().await.unwrap();
    // None of these used up an id.
    let later = request(Sender::new(&world, "three"), &body(&[heartbeat(11)]));
    assert_eq!(world.send(later).await.status, 202);
    world.state.shutdown.cancel();
    let stopping = world.send(request(Sender::new(&world, "four"), &two)).await;
    is_refused(stopping, &refusal(503, "draining", true));
}

/// That an answer is this problem; [`Answer::code`] sees to it that it is a whole one.
fn is_refused(answer: Answer, expected: &Refusal) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (expected.status, expected.code));
    let retry_after: Option<u32> =
        answer.headers.get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    assert_eq!(
        retry_after.is_some_and(|seconds| seconds > 0),
        expected.retry_after,
        "{}",
        expected.code
    );
}
