//! One delivery by hand.

use std::slice;

use jiff::Timestamp;
use lessor::{
    event::{
        key::{PrivateKey, SigningKey},
        signature::{SignatureError, StreamKey, TOLERANCE},
    },
    relay::webhook::{CheckError, headers, media_type, send, signed, summary, verify},
};
use serde_json::json;

use super::world::{Chosen, NOW, Node, Receiver, settings};

fn heartbeat() -> Vec<u8> {
    json!([{
        "specversion": "1.0", "id": "h", "source": "urn:x", "type": "network.akash.heartbeat.v1",
        "data": {"chain_id": "local", "tip_height": 7, "tip_time": "2026-08-22T10:00:05Z"},
    }])
    .to_string()
    .into_bytes()
}

#[test]
fn what_is_signed_by_hand_verifies_by_hand_and_says_what_it_is() {
    let now = Timestamp::from_second(NOW).unwrap();
    let key = SigningKey::Private(PrivateKey::from_seed(&[1; 32]));
    let body = heartbeat();
    let [(_, id), (_, timestamp), (_, signature)] =
        signed("s", None, &body, slice::from_ref(&key), now).unwrap().0;
    let map = headers(&id, &timestamp, &signature).unwrap();
    let keys = [StreamKey {
        name: "k".to_owned(),
        key: key.verifying(),
        not_before: None,
        not_after: None,
    }];
    let (verified, events) = verify(&map, &body, &keys, now, TOLERANCE).unwrap();
    assert_eq!((verified.id, verified.key.as_str()), (id.clone(), "k"));
    assert_eq!(summary(&events), ["heartbeat of local at block 7"]);
    assert_eq!(
        verify(&map, b"[]", &keys, now, TOLERANCE),
        Err(CheckError::Signature(SignatureError::NoKeyMatches { keys: 1 }))
    );
    let other = signed("t", None, &body, &[key], now).unwrap().0;
    assert_ne!(other[0].1, id, "another stream, another id");
}

#[test]
fn a_list_is_a_batch_and_anything_else_is_one_event() {
    assert_eq!(media_type(b" \n[]"), "application/cloudevents-batch+json");
    assert_eq!(media_type(b"{}"), "application/cloudevents+json");
    assert_eq!(media_type(b""), "application/cloudevents+json");
}

#[tokio::test]
async fn a_delivery_is_sent_once_and_the_answer_is_shown() {
    let receiver = Receiver::start().await;
    // Installs the TLS provider as the program does.
    let (node, data) = (Node::start(false).await, tempfile::tempdir().unwrap());
    let _ = settings(&node, &receiver, data.path());
    receiver.choose([Chosen(429, "0", json!({"code": "busy"}))]);
    let now = Timestamp::from_second(NOW).unwrap();
    let body = heartbeat();
    let signed = signed("s", Some("by-hand"), &body, slice::from_ref(&receiver.key), now).unwrap();
    let answer = send(receiver.url.clone(), &signed, body).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (429, "{\"code\":\"busy\"}"));
    assert_eq!(receiver.all().len(), 1);
    assert_eq!(receiver.all()[0].id, "by-hand");
}
