//! The published JSON Schema, the relay's output and the gateway's reader say the same.

use std::{collections::BTreeSet, fs, path::Path};

use lessor::event::envelope::read::{Limits, Mode, parse};
use serde_json::{Value, json};

use super::world::{Node, Receiver, Running, settings};

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/block-event.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn matches(pattern: &str, text: &str) -> bool {
    let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match pattern {
        "^[0-9A-Fa-f]{64}$" => hex(text),
        "^(block|[0-9A-Fa-f]{64})$" => text == "block" || hex(text),
        "^[A-Za-z0-9._-]{1,50}$" => (1..=50).contains(&text.len()) && text.bytes().all(plain),
        other => panic!("the schema has a pattern that this test does not know: {other}"),
    }
}

/// Validates by the keywords that the schema uses; any other one fails the test.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "$id" | "$defs" | "title" | "description" | "format" => true,
        "$ref" => valid(root, root.pointer(&wanted.as_str().unwrap()[1..]).unwrap(), value),
        "oneOf" => {
            wanted.as_array().unwrap().iter().filter(|one| valid(root, one, value)).count() == 1
        }
        "not" => !valid(root, wanted, value),
        "const" => value == wanted,
        "enum" => wanted.as_array().unwrap().contains(value),
        "type" => match wanted.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("type {other}"),
        },
        "required" => value.as_object().is_none_or(|object| {
            wanted
                .as_array()
                .unwrap()
                .iter()
                .all(|name| object.contains_key(name.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            let known = wanted.as_object().unwrap();
            object
                .iter()
                .all(|(name, v)| known.get(name).is_none_or(|schema| valid(root, schema, v)))
        }),
        "maxProperties" => {
            value.as_object().is_none_or(|o| o.len() as u64 <= wanted.as_u64().unwrap())
        }
        "items" => {
            value.as_array().is_none_or(|items| items.iter().all(|v| valid(root, wanted, v)))
        }
        "maxItems" => {
            value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap())
        }
        "minLength" => {
            value.as_str().is_none_or(|text| text.len() as u64 >= wanted.as_u64().unwrap())
        }
        "maxLength" => {
            value.as_str().is_none_or(|text| text.len() as u64 <= wanted.as_u64().unwrap())
        }
        "minimum" => value.as_i64().is_none_or(|number| number >= wanted.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|number| number <= wanted.as_i64().unwrap()),
        "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
        other => panic!("the schema has a keyword that this test does not know: {other}"),
    })
}

fn both(schema: &Value, body: &Value) -> (bool, bool) {
    let mode = if body.is_array() { Mode::Batch } else { Mode::Structured };
    let read = parse(mode, body.to_string().as_bytes(), &Limits::default()).is_ok();
    (valid(schema, schema, body), read)
}

/// Every place in a document, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    found.insert(at.to_owned());
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            (0..)
                .zip(items)
                .for_each(|(i, value): (usize, _)| places(value, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

#[tokio::test]
async fn what_the_relay_sends_is_what_the_schema_says() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[0, 1, 3, 0, 2]);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(5)).await;
    relay.stop().await;
    let schema = schema();
    let documented: Vec<&String> =
        schema["$defs"]["block"]["properties"].as_object().unwrap().keys().collect();
    let mut bodies = 0;
    for received in receiver.all() {
        let body: Value = serde_json::from_slice(&received.body).unwrap();
        assert!(valid(&schema, &schema, &body), "{body:#}");
        for data in body
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|e| e["data"].get("height").and(e.get("data")))
        {
            let sent: Vec<&String> = data.as_object().unwrap().keys().collect();
            assert_eq!(
                sent, documented,
                "the schema lists the fields that are sent, in their order"
            );
        }
        bodies += 1;
    }
    assert!(bodies >= 2);
}

#[tokio::test]
async fn the_schema_and_the_reader_agree_on_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 1]);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(2)).await;
    relay.stop().await;
    let schema = schema();
    let mut events: Vec<Value> = receiver
        .all()
        .iter()
        .flat_map(|received| serde_json::from_slice::<Vec<Value>>(&received.body).unwrap())
        .collect();
    events.push(json!({"specversion": "1.0", "id": "r", "source": "urn:x", "type": "network.akash.rewind.v1",
        "data": {"to_height": 5, "to_hash": "AB".repeat(32), "reason": "a wrong fork"}}));
    events.push(
        json!({"specversion": "1.0", "id": "o", "source": "urn:x", "type": "other", "data": [1]}),
    );
    let mut compared = 0;
    for event in &events {
        assert_eq!(both(&schema, event), (true, true), "{event:#}");
        let mut all = BTreeSet::new();
        places(event, "", &mut all);
        let in_attributes = |place: &&String| place.contains("/attributes/");
        for place in all.iter().filter(|place| !place.is_empty() && !in_attributes(place)) {
            let (parent, name) = place.rsplit_once('/').unwrap();
            let mut without = event.clone();
            if let Some(object) = without.pointer_mut(parent).unwrap().as_object_mut() {
                object.remove(name);
                let (by_schema, by_reader) = both(&schema, &without);
                assert_eq!(by_schema, by_reader, "without {place}: {without:#}");
                compared += 1;
            }
            for wrong in [json!(-1), json!(true), json!("x y"), json!({}), json!([]), json!("")] {
                let mut changed = event.clone();
                *changed.pointer_mut(place).unwrap() = wrong;
                let (by_schema, by_reader) = both(&schema, &changed);
                // The reader also knows dates and what media types mean, and one field by another.
                assert!(by_schema || !by_reader, "{place}: the schema is stricter: {changed:#}");
                compared += 1;
            }
        }
    }
    println!("{compared} documents compared");
    assert!(compared > 200, "{compared}");
}
