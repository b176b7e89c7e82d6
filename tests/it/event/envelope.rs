//! Bodies as indexers send them, and as they should not.

use http::{HeaderMap, header::CONTENT_TYPE};
use jiff::Timestamp;
use lessor::{
    domain::Height,
    event::{
        BlockEvent, BlockHash, BlockRef, ChainEvent, CloudEvent, TxHash,
        envelope::{
            Heartbeat, Payload, Rewind,
            read::{EnvelopeError, Limits, Mode, Violation, foreign_chain, parse},
        },
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn block() -> Value {
    json!({
        "specversion": "1.0", "id": "akashnet-2:21299713:0", "source": "urn:akash:indexer:acme:akashnet-2",
        "type": "network.akash.block.v1", "subject": "akashnet-2/21299713", "time": "2026-08-22T10:00:05Z",
        "sequence": "000000021299713.00000", "partitionkey": "akashnet-2", "comexampleextension": 7,
        "data": {
            "chain_id": "akashnet-2", "height": 21_299_713, "block_hash": "9F".repeat(32),
            "prev_height": 21_299_709, "prev_hash": "71".repeat(32),
            "cursor": "opaque", "complete": true, "part": 0, "parts": 1, "somethingelse": [],
            "events": [{
                "i": 0, "tx_hash": "AB".repeat(32), "msg_index": 0, "event_index": 3,
                "type": "akash.market.v1.EventOrderCreated",
                "attributes": {"id": {"owner": "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww", "dseq": "5", "gseq": 1, "oseq": 1}},
            }],
        },
    })
}

fn read(mode: Mode, body: &Value) -> Result<Vec<CloudEvent>, EnvelopeError> {
    parse(mode, body.to_string().as_bytes(), &Limits::default())
}

fn violations(body: &Value) -> Vec<(String, String)> {
    match read(Mode::Structured, body).unwrap_err() {
        EnvelopeError::Invalid(violations) => violations
            .into_iter()
            .map(|Violation { pointer, message }| (pointer, message))
            .collect(),
        other => panic!("{other}"),
    }
}

fn with(pointer: &str, value: Value) -> Value {
    let mut body = block();
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

fn media(content_type: &str, others: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    for (name, value) in others {
        headers.insert(*name, value.parse().unwrap());
    }
    headers
}

#[test]
fn a_block_is_read_alone_and_in_a_batch() {
    let alone = read(Mode::Structured, &block()).unwrap();
    let batch = read(Mode::Batch, &json!([block(), block()])).unwrap();
    assert_eq!(batch, [alone.clone(), alone.clone()].concat());
    let [event] = alone.as_slice() else { panic!("one event") };
    assert_eq!(event.time, Some("2026-08-22T10:00:05Z".parse().unwrap()));
    let block = event.block().unwrap();
    assert_eq!(block.at.height, Height(21_299_713));
    assert_eq!(block.prev.unwrap().height, Height(21_299_709));
    assert_eq!(
        block.identity(&block.events[0]).to_string(),
        format!("akashnet-2/21299713/{}/0/3", "AB".repeat(32))
    );
}

#[test]
fn what_is_written_is_what_is_read() {
    let hash = |byte| BlockHash([byte; 32]);
    let at = |height, byte| BlockRef { height: Height(height), hash: hash(byte) };
    let time: Timestamp = "2026-08-22T10:00:05.123456789Z".parse().unwrap();
    let first = BlockEvent {
        chain_id: "local".to_owned(),
        at: at(7, 1),
        prev: None,
        cursor: None,
        complete: true,
        part: 1,
        parts: 2,
        events: vec![ChainEvent {
            i: 4,
            tx_hash: TxHash::Block,
            msg_index: 0,
            event_index: 2,
            kind: "akash.market.v1.EventOrderClosed".to_owned(),
            attributes: serde_json::Map::from_iter([("id".to_owned(), json!({"dseq": "5"}))]),
        }],
    };
    let payloads = [
        Payload::Block(first),
        Payload::Heartbeat(Heartbeat {
            chain_id: "local".to_owned(),
            tip_height: Height(9),
            tip_time: time,
        }),
        Payload::Rewind(Rewind { to: at(3, 2), reason: "a wrong fork".to_owned() }),
        Payload::Unknown { kind: "com.example.other".to_owned(), data: json!([1, null]) },
    ];
    let events: Vec<CloudEvent> = payloads
        .into_iter()
        .map(|payload| CloudEvent {
            id: "a".to_owned(),
            source: "urn:b".to_owned(),
            subject: Some("local/7".to_owned()),
            time: Some(time),
            sequence: None,
            partition_key: Some("local".to_owned()),
            payload,
        })
        .collect();
    let body = serde_json::to_vec(&events).unwrap();
    assert_eq!(parse(Mode::Batch, &body, &Limits::default()).unwrap(), events);
}

#[test]
fn the_media_type_chooses_the_mode_and_binary_mode_is_told_apart() {
    let mode = |content_type| Mode::of(&media(content_type, &[]));
    assert_eq!(mode("application/cloudevents+json"), Ok(Mode::Structured));
    assert_eq!(mode("Application/CloudEvents-Batch+JSON; charset=UTF-8"), Ok(Mode::Batch));
    assert!(matches!(
        mode("application/cloudevents+json; charset=latin1"),
        Err(EnvelopeError::MediaType { .. })
    ));
    assert_eq!(
        mode("application/json"),
        Err(EnvelopeError::MediaType { given: "application/json".to_owned() })
    );
    assert_eq!(
        Mode::of(&media("application/json", &[("ce-specversion", "1.0")])),
        Err(EnvelopeError::BinaryMode)
    );
    assert!(matches!(Mode::of(&HeaderMap::new()), Err(EnvelopeError::MediaType { .. })));
}

#[test]
fn every_broken_rule_is_named_by_a_pointer_at_once() {
    let body = json!({
        "specversion": "0.3", "id": "", "source": "urn:x", "type": "network.akash.block.v1", "time": "yesterday",
        "data": {
            "chain_id": "local", "height": 5, "block_hash": "xyz", "prev_height": 5, "prev_hash": "00".repeat(32),
            "complete": 1, "part": 2, "parts": 2,
            "events": [{"i": 0, "tx_hash": "block", "msg_index": 1, "event_index": -1, "type": "a", "attributes": []}],
        },
    });
    let found = violations(&body);
    let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/specversion",
            "/id",
            "/time",
            "/data/block_hash",
            "/data/complete",
            "/data/part",
            "/data/events/0/msg_index",
            "/data/events/0/event_index",
            "/data/events/0/attributes",
        ]
    );
    assert!(
        found.contains(&("/data/part".to_owned(), "must be a whole number from 0 to 1".to_owned()))
    );
}

#[test]
fn prev_is_null_as_a_whole_or_below_the_block() {
    let mut first = block();
    first["data"]["prev_height"] = Value::Null;
    assert_eq!(violations(&first)[0].0, "/data/prev_height");
    first["data"]["prev_hash"] = Value::Null;
    assert_eq!(read(Mode::Structured, &first).unwrap()[0].block().unwrap().prev, None);
    first["data"].as_object_mut().unwrap().remove("prev_hash");
    assert_eq!(violations(&first)[0].0, "/data/prev_hash");
    assert_eq!(
        violations(&with("/data/prev_height", json!(21_299_713))),
        [("/data/prev_height".to_owned(), "must be below height".to_owned())]
    );
}

#[test]
fn the_events_are_counted_over_the_whole_batch() {
    let event = block()["data"]["events"][0].clone();
    let part = |count: usize| with("/data/events", Value::Array(vec![event.clone(); count]));
    assert!(read(Mode::Batch, &json!([part(250), part(250)])).is_ok());
    assert_eq!(
        read(Mode::Batch, &json!([part(250), part(251)])),
        Err(EnvelopeError::TooMany { what: "chain events", count: 501, limit: 500 })
    );
}

#[test]
fn a_reference_to_data_elsewhere_is_never_followed() {
    let mut body = block();
    body["dataref"] = json!("https://indexer.example/big");
    assert_eq!(
        read(Mode::Batch, &json!([block(), body])),
        Err(EnvelopeError::DataRef { pointer: "/1/dataref".to_owned() })
    );
}

#[test]
fn a_type_that_is_not_known_is_kept_whatever_its_data() {
    let mut body = block();
    body["type"] = json!("com.example.block.v9");
    body["data"] = json!("anything");
    let events = read(Mode::Structured, &body).unwrap();
    assert_eq!(
        events[0].payload,
        Payload::Unknown { kind: "com.example.block.v9".to_owned(), data: json!("anything") }
    );
}

#[test]
fn json_that_is_deep_or_cut_off_is_refused_without_being_built() {
    let deep = "[".repeat(1_000_000);
    assert_eq!(
        parse(Mode::Batch, deep.as_bytes(), &Limits::default()),
        Err(EnvelopeError::TooDeep { limit: 32 })
    );
    let brackets_in_a_text = with("/id", json!("[".repeat(500)));
    assert!(read(Mode::Structured, &brackets_in_a_text).is_ok());
    let whole = block().to_string();
    for end in 0..whole.len() {
        assert!(
            parse(Mode::Structured, &whole.as_bytes()[..end], &Limits::default()).is_err(),
            "cut at {end}"
        );
    }
    assert_eq!(
        parse(Mode::Structured, b"{\n\"a\": nope}", &Limits::default()).unwrap_err().to_string(),
        "the body is not JSON: expected ident at line 2 column 7"
    );
}

#[test]
fn events_of_another_chain_are_named() {
    let events = read(Mode::Batch, &json!([block()])).unwrap();
    assert!(foreign_chain(&events, Mode::Batch, "akashnet-2").is_empty());
    assert_eq!(foreign_chain(&events, Mode::Batch, "local")[0].pointer, "/0/data/chain_id");
}

#[test]
fn more_violations_than_anyone_reads_are_counted() {
    let bad = json!({"i": -1, "tx_hash": 5, "msg_index": 0, "event_index": 0, "type": "a", "attributes": {}});
    let found = violations(&with("/data/events", Value::Array(vec![bad; 100])));
    assert_eq!(found.len(), 51);
    assert_eq!(found[50].1, "150 more rules are broken");
}

/// JSON of any shape, with the field names of the contract among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("data".to_owned()),
        Just("events".to_owned()),
        Just("height".to_owned()),
        Just("prev_height".to_owned()),
        Just("type".to_owned()),
        "[a-z]{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("network.akash.block.v1")),
        Just(json!("network.akash.rewind.v1")),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(body: Vec<u8>) {
        let _ = parse(Mode::Batch, &body, &Limits::default());
        prop_assert!(parse(Mode::Structured, &body, &Limits::default()).is_err());
    }

    #[test]
    fn any_json_in_any_field_is_refused_or_read_back_the_same(
        value in any_json(),
        pointer in prop::sample::select(vec![
            "/id", "/type", "/time", "/data", "/data/height", "/data/prev_hash", "/data/parts", "/data/events",
            "/data/events/0", "/data/events/0/attributes", "/data/cursor",
        ]),
    ) {
        if let Ok(events) = read(Mode::Structured, &with(pointer, value)) {
            let body = serde_json::to_value(&events).unwrap();
            prop_assert_eq!(read(Mode::Batch, &body).unwrap(), events);
        }
    }
}
