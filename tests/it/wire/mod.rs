//! `wire` against recordings of a real chain: everything decodes and encodes back to the same bytes.

mod convert;
mod events;
mod failures;
mod made;
mod messages;
mod node;
mod signing;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// The bytes of a base64 string at a JSON pointer.
pub(crate) fn bytes_at(json: &Value, pointer: &str) -> Option<Vec<u8>> {
    Some(STANDARD.decode(json.pointer(pointer)?.as_str()?).unwrap())
}

/// The text at a JSON pointer, which must be there.
pub(crate) fn text_at<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer}"))
}
