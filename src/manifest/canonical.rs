//! The manifest's JSON and the hash that the chain stores: SHA-256 over the JSON with sorted keys and no white space.
//!
//! The surprising fact: `<`, `>`, `&`, U+2028 and U+2029 are written as `\uXXXX`, because Go's encoder does; a hash over
//! any other spelling is another hash.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::model::Manifest;

/// In which order the members of an object are written.
#[derive(Clone, Copy)]
enum Members {
    AsDeclared,
    Sorted,
}

impl Manifest {
    /// The JSON that a tenant uploads, compact, members in the usual reading order.
    pub fn to_json(&self) -> String {
        self.encode(Members::AsDeclared)
    }

    /// The canonical form: the same JSON with the members of every object sorted by their bytes.
    pub fn canonical(&self) -> String {
        self.encode(Members::Sorted)
    }

    /// The hash that a deployment carries on chain.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.canonical()).into()
    }

    fn encode(&self, members: Members) -> String {
        // Only a map whose keys are no strings could fail here, and the model has no map.
        let value = serde_json::to_value(self).unwrap_or_default();
        let mut out = String::new();
        write_value(&mut out, &value, members);
        out
    }
}

fn write_value(out: &mut String, value: &Value, order: Members) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            let mut opening = '[';
            for item in items {
                out.push(opening);
                write_value(out, item, order);
                opening = ',';
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            if matches!(order, Members::Sorted) {
                members.sort_unstable_by_key(|(key, _)| key.as_str());
            }
            let mut opening = '{';
            for (key, value) in &members {
                out.push(opening);
                write_string(out, key);
                out.push(':');
                write_value(out, value, order);
                opening = ',';
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
