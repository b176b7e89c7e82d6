//! Deliveries: right ones are durable, all others are refused at the first check that they fail.

use std::io::Write;

use axum::body::Body;
use flate2::{Compression, write::GzEncoder};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use lessor::{
    event::{
        key::{PrivateKey, SharedSecret, SigningKey},
        signature::sign,
    },
    provider::port::{Store, Subject},
};
use serde_json::{Value, json};

use super::world::{Answer, CHAIN, World, start};

const BATCH: &str = "application/cloudevents-batch+json";

pub(super) fn hash(height: u64) -> String {
    format!("{height:064X}")
}

/// A block with one new order of Alice's in it.
pub(super) fn block(world: &World, height: u64, prev: Option<u64>) -> Value {
    let owner = world.alice.address.as_str();
    json!({
        "specversion": "1.0", "id": format!("{CHAIN}:{height}:0"), "source": "urn:test",
        "type": "network.akash.block.v1", "subject": format!("{CHAIN}/{height}"),
        "time": start().to_string(),
        "data": {
            "chain_id": CHAIN, "height": height, "block_hash": hash(height),
            "prev_height": prev, "prev_hash": prev.map(hash),
            "complete": true, "part": 0, "parts": 1,
            "events": [{
                "i": 0, "tx_hash": hash(height + 1_000_000), "msg_index": 0, "event_index": 3,
                "type": "akash.market.v1.EventOrderCreated",
                "attributes": {"id": {"owner": owner, "dseq": height.to_string(), "gseq": 1, "oseq": 1}},
            }],
        },
    })
}

/// A signed request.
pub(super) struct Sender<'a> {
    world: &'a World,
    pub(super) stream: &'static str,
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) media: &'static str,
    pub(super) encoding: Option<&'static str>,
    pub(super) key: SigningKey,
}

impl<'a> Sender<'a> {
    pub(super) fn new(world: &'a World, id: &str) -> Self {
        Self {
            world,
            stream: "main",
            id: id.to_owned(),
            at: world.provider.clock.now(),
            media: BATCH,
            encoding: None,
            key: world.indexer.clone(),
        }
    }

    pub(super) fn request(&self, body: &[u8]) -> Request<Body> {
        let signed = sign(&self.id, self.at, body, std::slice::from_ref(&self.key)).unwrap();
        let mut request = Request::builder()
            .method("POST")
            .uri(format!("/webhooks/{}", self.stream))
            .header("content-type", self.media)
            .header("content-length", body.len());
        if let Some(encoding) = self.encoding {
            request = request.header("content-encoding", encoding);
        }
        for (name, value) in signed.0 {
            request = request.header(name, value);
        }
        request.body(Body::from(body.to_vec())).unwrap()
    }

    pub(super) async fn send(&self, body: &[u8]) -> Answer {
        self.world.send(self.request(body)).await
    }

    pub(super) async fn blocks(&self, blocks: &[Value]) -> Answer {
        self.send(json!(blocks).to_string().as_bytes()).await
    }

    pub(super) async fn refused(&self, body: &[u8]) -> (u16, String) {
        let answer = self.send(body).await;
        (answer.status.as_u16(), answer.code())
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_delivery_is_durable_when_it_is_answered_and_again_changes_nothing() {
    let world = World::new().await;
    let blocks = [block(&world, 10, None), block(&world, 12, Some(10))];
    let answer = Sender::new(&world, "one").blocks(&blocks).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let receipt = json!({
        "accepted": 2, "duplicates": 0, "conflicts": 0,
        "cursor": {"height": 12, "hash": hash(12)},
        "next_expected_prev": {"height": 12, "hash": hash(12)},
    });
    assert_eq!(answer.json(), receipt);
    let stored = world.store.stream("main").await.unwrap().unwrap();
    assert_eq!((stored.deliveries, stored.events), (1, 2));

    let again = Sender::new(&world, "one").blocks(&blocks).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["cursor"]["height"], 12);
    // The same blocks under another id: known, event by event.
    let other = Sender::new(&world, "two").blocks(&blocks).await;
    assert_eq!((other.status.as_u16(), other.json()["duplicates"].as_u64()), (200, Some(2)));
    assert_eq!(world.store.stream("main").await.unwrap().unwrap().events, 2);
}

#[tokio::test]
async fn an_order_in_a_delivery_wakes_its_deployment() {
    let world = World::new().await;
    Sender::new(&world, "one").blocks(&[block(&world, 10, None)]).await;
    let now = start();
    let until = now + SignedDuration::from_secs(60);
    let woken = world.store.claim("test", now, until, 10).await.unwrap();
    let subjects: Vec<String> =
        woken.iter().map(|loaded| loaded.claim.subject.to_string()).collect();
    assert_eq!(subjects, [format!("{}/10", world.alice.address)]);
    assert!(matches!(woken[0].claim.subject, Subject::Deployment(_)));
}

#[tokio::test]
async fn compressed_and_structured_deliveries_are_read() {
    let world = World::new().await;
    let mut sender = Sender::new(&world, "gzip");
    sender.encoding = Some("gzip");
    let body = json!([block(&world, 10, None)]).to_string();
    assert_eq!(sender.send(&gzip(body.as_bytes())).await.status, 202);
    let mut sender = Sender::new(&world, "structured");
    sender.media = "application/cloudevents+json; charset=utf-8";
    let body = block(&world, 11, Some(10)).to_string();
    assert_eq!(sender.send(body.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn strangers_are_refused_before_anything_of_theirs_is_read() {
    let world = World::new().await;
    let body = json!([block(&world, 10, None)]).to_string();
    let body = body.as_bytes();

    let mut sender = Sender::new(&world, "one");
    sender.stream = "unknown";
    assert_eq!(sender.refused(body).await, (404, "stream_not_found".into()));
    sender.stream = "gone";
    assert_eq!(sender.refused(body).await, (410, "stream_deleted".into()));

    let mut sender = Sender::new(&world, "one");
    // Too large comes before the media type, that before the signature.
    sender.media = "text/plain";
    sender.key = SigningKey::Private(PrivateKey::from_seed(&[1; 32]));
    let large = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(sender.refused(&large).await, (413, "body_too_large".into()));
    assert_eq!(sender.refused(body).await, (415, "unsupported_media_type".into()));
    sender.media = BATCH;
    assert_eq!(sender.refused(body).await, (401, "signature_invalid".into()));
    // Not even gzip, and nobody tried to find out.
    sender.encoding = Some("gzip");
    assert_eq!(sender.refused(body).await, (401, "signature_invalid".into()));
    sender.key = SigningKey::Shared(SharedSecret::from_bytes(vec![1; 32]).unwrap());
    assert_eq!(sender.refused(body).await, (401, "signature_invalid".into()));
    assert!(world.store.stream("main").await.unwrap().is_none());
}

#[tokio::test]
async fn binary_mode_is_refused_by_name() {
    let world = World::new().await;
    let mut sender = Sender::new(&world, "one");
    sender.media = "application/json";
    let mut request = sender.request(b"{}");
    request.headers_mut().insert("ce-specversion", "1.0".parse().unwrap());
    request.headers_mut().insert("ce-id", "1".parse().unwrap());
    let answer = world.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (415, "unsupported_media_type"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("binary mode"));
}

#[tokio::test]
async fn a_delivery_outside_the_time_window_is_told_the_skew_of_its_clock() {
    let world = World::new().await;
    let body = json!([block(&world, 10, None)]).to_string();
    for (seconds, skew) in [(-301, 301), (301, -301)] {
        let mut sender = Sender::new(&world, "one");
        sender.at = start() + SignedDuration::from_secs(seconds);
        let answer = sender.send(body.as_bytes()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "outside_time_window"));
        assert_eq!(answer.json()["clock_skew_seconds"], skew);
    }
    let mut sender = Sender::new(&world, "one");
    sender.at = start() - SignedDuration::from_secs(300);
    assert_eq!(sender.send(body.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn a_signed_delivery_that_breaks_rules_is_refused_with_all_of_them() {
    let world = World::new().await;
    let sender = Sender::new(&world, "one");
    assert_eq!(sender.refused(b"[{").await, (400, "malformed_delivery".into()));
    let deep = "[".repeat(100) + &"]".repeat(100);
    assert_eq!(sender.refused(deep.as_bytes()).await, (400, "malformed_delivery".into()));

    let mut broken = block(&world, 10, None);
    broken["specversion"] = "0.3".into();
    broken["data"]["height"] = "ten".into();
    let answer = sender.blocks(&[broken]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "malformed_delivery"));
    let violations = answer.json()["violations"].clone();
    let pointers: Vec<&str> = violations
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/0/specversion", "/0/data/height"]);

    let mut referring = block(&world, 10, None);
    referring["dataref"] = "https://example.com/data".into();
    let refused = sender.blocks(&[referring]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "dataref_refused"));

    let mut crowded = block(&world, 10, None);
    let event = crowded["data"]["events"][0].clone();
    crowded["data"]["events"] = vec![event; 501].into();
    let refused = sender.blocks(&[crowded]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "too_many_events"));

    let mut foreign = block(&world, 10, None);
    foreign["data"]["chain_id"] = "akashnet-2".into();
    let refused = sender.blocks(&[foreign]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "wrong_chain"));
    // None of these used up the id.
    assert_eq!(sender.blocks(&[block(&world, 10, None)]).await.status, 202);
}

#[tokio::test]
async fn an_archive_bomb_stops_at_the_limit_and_a_cut_archive_is_malformed() {
    let world = World::new().await;
    let mut sender = Sender::new(&world, "one");
    sender.encoding = Some("gzip");
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    assert_eq!(sender.refused(&bomb).await, (413, "body_too_large".into()));
    let whole = gzip(json!([block(&world, 10, None)]).to_string().as_bytes());
    let cut = &whole[..whole.len() - 5];
    assert_eq!(sender.refused(cut).await, (400, "malformed_delivery".into()));
    sender.encoding = Some("br");
    assert_eq!(sender.refused(b"x").await, (415, "unsupported_media_type".into()));
}

#[tokio::test]
async fn the_same_id_with_another_body_is_refused_and_leaves_an_alarm() {
    let world = World::new().await;
    let sender = Sender::new(&world, "one");
    assert_eq!(sender.blocks(&[block(&world, 10, None)]).await.status, 202);
    let answer = sender.blocks(&[block(&world, 11, Some(10))]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "delivery_body_differs"));
    let audit = world.get("/v1/audit", Some(super::world::OPERATOR_TOKEN)).await.json();
    let actions: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["action"].as_str().unwrap())
        .collect();
    assert!(actions.contains(&"alarm"), "{audit}");
}

#[tokio::test]
async fn a_gap_is_stored_unless_the_stream_is_strict() {
    let world = World::new().await;
    let first = block(&world, 10, None);
    let ahead = block(&world, 15, Some(14));

    let sender = Sender::new(&world, "one");
    sender.blocks(std::slice::from_ref(&first)).await;
    let answer = Sender::new(&world, "two").blocks(std::slice::from_ref(&ahead)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["accepted"].as_u64()), (202, Some(1)));
    assert_eq!(answer.json()["next_expected_prev"]["height"], 10);
    let operator = Some(super::world::OPERATOR_TOKEN);
    let stream = world.get("/v1/streams/main", operator).await.json();
    assert_eq!(stream["gaps"][0]["from"], 11);
    assert_eq!(stream["gaps"][0]["to"], 14);
    assert_eq!(stream["cursor"]["height"], 10);

    let mut strict = Sender::new(&world, "one");
    strict.stream = "strict";
    // The other stream told the same event before, so nothing in it is new.
    assert_eq!(strict.blocks(&[first]).await.status, 200);
    strict.id = "two".to_owned();
    let refused = strict.blocks(&[ahead]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "stream_gap"));
    assert_eq!(refused.json()["expected_prev_height"], 10);
}

#[tokio::test]
async fn a_stream_shows_its_keys_without_secrets_and_what_came() {
    let world = World::new().await;
    Sender::new(&world, "one").blocks(&[block(&world, 10, None)]).await;
    let operator = Some(super::world::OPERATOR_TOKEN);
    let stream = world.get("/v1/streams/main", operator).await.json();
    assert_eq!(stream["counts"]["events"], 1);
    assert_eq!(stream["keys"][0]["name"], "2026");
    assert_eq!(stream["keys"][0]["scheme"], "v1a");
    assert!(stream["keys"][0]["label"].as_str().unwrap().starts_with("whpk_"));
    assert_eq!(stream["freshness"], "live");
    world.clock.set(start() + SignedDuration::from_secs(3600));
    let stream = world.get("/v1/streams/main", operator).await.json();
    assert_eq!(stream["freshness"], "deaf");
    let unknown = world.get("/v1/streams/other", operator).await;
    assert_eq!(unknown.code(), "stream_not_found");
}

#[tokio::test]
async fn a_sender_may_ask_first_and_is_never_called_back() {
    let world = World::new().await;
    let ask = |stream: &str| {
        Request::builder()
            .method("OPTIONS")
            .uri(format!("/webhooks/{stream}"))
            .header("webhook-request-origin", "indexer.example.com")
            .header("webhook-request-callback", "https://indexer.example.com/callback")
            .body(Body::empty())
            .unwrap()
    };
    let answer = world.send(ask("main")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("webhook-allowed-origin"), "indexer.example.com");
    assert_eq!(answer.header("webhook-allowed-rate"), "600");
    assert_eq!(world.send(ask("other")).await.code(), "stream_not_found");
    assert_eq!(world.send(ask("gone")).await.code(), "stream_deleted");
}
