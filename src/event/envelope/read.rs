//! Bytes to [`CloudEvent`]s, with every rule that is broken named by a JSON pointer.
//!
//! Unknown extension attributes and unknown fields in `data` are passed over, so that an indexer may say more than
//! lessor reads.

use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::{Map, Value};

use super::{
    BATCH, BLOCK_TYPE, BlockEvent, BlockRef, ChainEvent, CloudEvent, HEARTBEAT_TYPE, Heartbeat,
    Payload, REWIND_TYPE, Rewind, SPEC_VERSION, STRUCTURED,
};
use crate::{
    domain::Height,
    event::hash::{BlockHash, HashError, TxHash},
};

/// How many violations are listed before the rest is only counted.
const MAX_VIOLATIONS: usize = 50;
/// The longest of the short texts: ids, names, sources.
const MAX_TEXT: usize = 512;
/// The longest cursor and the longest reason.
const MAX_LONG_TEXT: usize = 2048;
/// The most parts of a block: at 500 events a part, half a million events.
const MAX_PARTS: u64 = 1024;
/// The most attributes of one event.
const MAX_ATTRIBUTES: usize = 64;

/// What a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most chain events over the whole batch.
    pub chain_events: usize,
    /// The most CloudEvents.
    pub cloud_events: usize,
    /// The deepest nesting of the JSON.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { chain_events: 500, cloud_events: 500, depth: 32 }
    }
}

/// How the events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One event.
    Structured,
    /// A list of events.
    Batch,
}

/// A rule that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the body.
    pub pointer: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Why a body is no delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Another media type.
    #[error("content type {given:?} is not read, allowed are {BATCH} and {STRUCTURED}")]
    MediaType {
        /// What the header says (shortened), empty when there is none.
        given: String,
    },
    /// CloudEvents in binary mode: the attributes are headers.
    #[error("binary mode (ce-* headers) is not read, allowed are {BATCH} and {STRUCTURED}")]
    BinaryMode,
    /// Not JSON.
    #[error("the body is not JSON: {reason} at line {line} column {column}")]
    NotJson {
        /// What the parser says.
        reason: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON that is nested too deep.
    #[error("the body is nested deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Too many chain events or CloudEvents.
    #[error("the batch has {count} {what}, allowed are {limit}")]
    TooMany {
        /// Of what: `chain events` or `CloudEvents`.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The data is elsewhere; lessor fetches from no address that a message names.
    #[error("dataref at {pointer:?} is not followed; send the data, in parts when it is large")]
    DataRef {
        /// Where.
        pointer: String,
    },
    /// Rules are broken; all of them, up to a bound.
    #[error("{} rules are broken", .0.len())]
    Invalid(Vec<Violation>),
}

impl Mode {
    /// The mode that the request's headers say.
    ///
    /// # Errors
    /// [`EnvelopeError::BinaryMode`] or [`EnvelopeError::MediaType`].
    pub fn of(headers: &HeaderMap) -> Result<Self, EnvelopeError> {
        let given = headers
            .get(CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
            .unwrap_or_default();
        let (media, parameters) = given.split_once(';').unwrap_or((&given, ""));
        let utf8 = parameters
            .split(';')
            .filter_map(|parameter| parameter.trim().strip_prefix("charset="))
            .all(|charset| charset.trim_matches('"') == "utf-8");
        match media.trim() {
            STRUCTURED if utf8 => Ok(Self::Structured),
            BATCH if utf8 => Ok(Self::Batch),
            _ if headers.contains_key("ce-specversion") || headers.contains_key("ce-id") => {
                Err(EnvelopeError::BinaryMode)
            }
            _ => Err(EnvelopeError::MediaType { given: given.chars().take(100).collect() }),
        }
    }
}

/// Reads a decompressed body.
///
/// # Errors
/// [`EnvelopeError`]; nothing of a body that breaks a rule is taken.
pub fn parse(mode: Mode, body: &[u8], limits: &Limits) -> Result<Vec<CloudEvent>, EnvelopeError> {
    if depth(body) > limits.depth {
        return Err(EnvelopeError::TooDeep { limit: limits.depth });
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| EnvelopeError::not_json(&error))?;
    let items: Vec<(String, &Value)> = match (mode, &value) {
        (Mode::Structured, _) => vec![(String::new(), &value)],
        (Mode::Batch, Value::Array(items)) => {
            items.iter().enumerate().map(|(i, item)| (format!("/{i}"), item)).collect()
        }
        (Mode::Batch, _) => {
            return Err(EnvelopeError::Invalid(vec![Violation {
                pointer: String::new(),
                message: "a batch is a list of CloudEvents".to_owned(),
            }]));
        }
    };
    count("CloudEvents", items.len(), limits.cloud_events)?;
    if let Some((pointer, _)) = items.iter().find(|(_, item)| item.get("dataref").is_some()) {
        return Err(EnvelopeError::DataRef { pointer: format!("{pointer}/dataref") });
    }
    let chain_events = items.iter().map(|(_, item)| chain_events(item)).sum();
    count("chain events", chain_events, limits.chain_events)?;

    let mut report = Report::default();
    let events: Vec<CloudEvent> =
        items.into_iter().filter_map(|(at, item)| cloud_event(item, at, &mut report)).collect();
    if report.violations.is_empty() { Ok(events) } else { Err(report.finish()) }
}

/// The events of `events` that are about another chain than `chain_id`, as violations.
#[must_use]
pub fn foreign_chain(events: &[CloudEvent], mode: Mode, chain_id: &str) -> Vec<Violation> {
    let foreign = events.iter().enumerate().filter_map(|(i, event)| {
        let given = event.payload.chain_id().filter(|given| *given != chain_id)?;
        let pointer = match mode {
            Mode::Structured => "/data/chain_id".to_owned(),
            Mode::Batch => format!("/{i}/data/chain_id"),
        };
        Some(Violation {
            pointer,
            message: format!("is {given:?}, this stream is about {chain_id:?}"),
        })
    });
    foreign.take(MAX_VIOLATIONS).collect()
}

/// How deep the JSON is nested, by its brackets alone; right for valid JSON, harmless for anything else.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl EnvelopeError {
    /// The parser's words, with the position apart.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let reason = text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        Self::NotJson { reason: reason.to_owned(), line: error.line(), column: error.column() }
    }
}

fn count(what: &'static str, count: usize, limit: usize) -> Result<(), EnvelopeError> {
    if count > limit { Err(EnvelopeError::TooMany { what, count, limit }) } else { Ok(()) }
}

fn chain_events(item: &Value) -> usize {
    item.pointer("/data/events").and_then(Value::as_array).map_or(0, Vec::len)
}

/// Collects what is wrong.
#[derive(Default)]
struct Report {
    violations: Vec<Violation>,
    more: usize,
}

impl Report {
    fn add(&mut self, pointer: String, message: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { pointer, message: message.into() });
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> EnvelopeError {
        if self.more > 0 {
            let message = format!("{} more rules are broken", self.more);
            self.violations.push(Violation { pointer: String::new(), message });
        }
        EnvelopeError::Invalid(self.violations)
    }
}

/// An object and where it is.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    at: String,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, at: String, report: &mut Report) -> Option<Self> {
        let map = value.as_object();
        if map.is_none() {
            report.add(at.clone(), "must be an object");
        }
        map.map(|map| Self { map, at })
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    /// The field, unless it is absent or null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn required(&self, name: &str, report: &mut Report) -> Option<&'a Value> {
        let value = self.get(name);
        if value.is_none() {
            report.add(self.pointer(name), "is required");
        }
        value
    }

    /// A text of 1 to `max` characters, `Ok(None)` when there is none.
    fn optional_text(&self, name: &str, max: usize, report: &mut Report) -> Option<String> {
        let value = self.get(name)?;
        match value.as_str() {
            Some(text) if !text.is_empty() && text.len() <= max => Some(text.to_owned()),
            _ => {
                report.add(self.pointer(name), format!("must be a text of 1 to {max} bytes"));
                None
            }
        }
    }

    fn text(&self, name: &str, max: usize, report: &mut Report) -> Option<String> {
        self.required(name, report)?;
        self.optional_text(name, max, report)
    }

    fn number(&self, name: &str, least: u64, most: u64, report: &mut Report) -> Option<u64> {
        let number = self.required(name, report)?.as_u64();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            report
                .add(self.pointer(name), format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    fn index(&self, name: &str, report: &mut Report) -> Option<u32> {
        let number = self.number(name, 0, u64::from(u32::MAX), report)?;
        u32::try_from(number).ok()
    }

    fn height(&self, name: &str, report: &mut Report) -> Option<Height> {
        // The chain counts heights in a signed 64-bit integer.
        self.number(name, 1, i64::MAX.unsigned_abs(), report).map(Height)
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        allowed: &str,
        report: &mut Report,
    ) -> Option<T> {
        let parsed = self.required(name, report)?.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            report.add(self.pointer(name), format!("must be {allowed}"));
        }
        parsed
    }

    fn hash<T: std::str::FromStr<Err = HashError>>(
        &self,
        name: &str,
        report: &mut Report,
    ) -> Option<T> {
        self.parsed(name, "64 hexadecimal digits", report)
    }

    fn block_ref(&self, height: &str, hash: &str, report: &mut Report) -> Option<BlockRef> {
        let (height, hash) = (self.height(height, report), self.hash::<BlockHash>(hash, report));
        Some(BlockRef { height: height?, hash: hash? })
    }

    fn chain_id(&self, report: &mut Report) -> Option<String> {
        // 50 is CometBFT's own limit.
        let text = self.text("chain_id", 50, report)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !text.bytes().all(allowed) {
            report.add(self.pointer("chain_id"), "may have letters, digits, '-', '_' and '.'");
            return None;
        }
        Some(text)
    }
}

fn cloud_event(value: &Value, at: String, report: &mut Report) -> Option<CloudEvent> {
    let fields = Fields::of(value, at, report)?;
    let version = fields.required("specversion", report);
    if version.is_some_and(|version| version != SPEC_VERSION) {
        report.add(fields.pointer("specversion"), format!("must be {SPEC_VERSION:?}"));
    }
    if fields.get("data_base64").is_some() {
        report.add(fields.pointer("data_base64"), "must be sent as JSON in data");
    }
    let id = fields.text("id", MAX_TEXT, report);
    let source = fields.text("source", MAX_TEXT, report);
    let subject = fields.optional_text("subject", MAX_TEXT, report);
    let sequence = fields.optional_text("sequence", MAX_TEXT, report);
    let partition_key = fields.optional_text("partitionkey", MAX_TEXT, report);
    let time = fields.get("time").and_then(|_| fields.parsed("time", "an RFC 3339 time", report));
    data_content_type(&fields, report);
    let kind = fields.text("type", MAX_TEXT, report)?;
    let payload = payload(&fields, kind, report);
    Some(CloudEvent {
        id: id?,
        source: source?,
        subject,
        time,
        sequence,
        partition_key,
        payload: payload?,
    })
}

fn data_content_type(fields: &Fields<'_>, report: &mut Report) {
    let Some(text) = fields.optional_text("datacontenttype", MAX_TEXT, report) else { return };
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media != "application/json" && !media.ends_with("+json") {
        report.add(fields.pointer("datacontenttype"), "must be application/json");
    }
}

fn payload(fields: &Fields<'_>, kind: String, report: &mut Report) -> Option<Payload> {
    let known = [BLOCK_TYPE, HEARTBEAT_TYPE, REWIND_TYPE].contains(&kind.as_str());
    if !known {
        let data = fields.get("data").cloned().unwrap_or(Value::Null);
        return Some(Payload::Unknown { kind, data });
    }
    let data = Fields::of(fields.required("data", report)?, fields.pointer("data"), report)?;
    match kind.as_str() {
        BLOCK_TYPE => block(&data, report).map(Payload::Block),
        HEARTBEAT_TYPE => heartbeat(&data, report).map(Payload::Heartbeat),
        _ => rewind(&data, report).map(Payload::Rewind),
    }
}

fn block(data: &Fields<'_>, report: &mut Report) -> Option<BlockEvent> {
    let chain_id = data.chain_id(report);
    let at = data.block_ref("height", "block_hash", report);
    let prev = prev(data, at, report);
    let cursor = data.optional_text("cursor", MAX_LONG_TEXT, report);
    let complete = data.required("complete", report).and_then(|value| {
        let complete = value.as_bool();
        if complete.is_none() {
            report.add(data.pointer("complete"), "must be true or false");
        }
        complete
    });
    let parts = data.number("parts", 1, MAX_PARTS, report);
    let part = data.number("part", 0, parts.unwrap_or(MAX_PARTS) - 1, report);
    let events = events(data, report);
    Some(BlockEvent {
        chain_id: chain_id?,
        at: at?,
        prev,
        cursor,
        complete: complete?,
        part: u32::try_from(part?).ok()?,
        parts: u32::try_from(parts?).ok()?,
        events: events?,
    })
}

/// Both null for the first block of a stream, both given for any other.
fn prev(data: &Fields<'_>, at: Option<BlockRef>, report: &mut Report) -> Option<BlockRef> {
    if data.get("prev_height").is_none() && data.get("prev_hash").is_none() {
        for name in ["prev_height", "prev_hash"] {
            if !data.map.contains_key(name) {
                report.add(data.pointer(name), "is required, null for the stream's first block");
            }
        }
        return None;
    }
    let prev = data.block_ref("prev_height", "prev_hash", report)?;
    if at.is_some_and(|at| at.height <= prev.height) {
        report.add(data.pointer("prev_height"), "must be below height");
    }
    Some(prev)
}

fn events(data: &Fields<'_>, report: &mut Report) -> Option<Vec<ChainEvent>> {
    let Some(items) = data.required("events", report)?.as_array() else {
        report.add(data.pointer("events"), "must be a list");
        return None;
    };
    let at = data.pointer("events");
    let read: Vec<ChainEvent> = items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| chain_event(item, format!("{at}/{i}"), report))
        .collect();
    (read.len() == items.len()).then_some(read)
}

fn chain_event(value: &Value, at: String, report: &mut Report) -> Option<ChainEvent> {
    let fields = Fields::of(value, at, report)?;
    let i = fields.index("i", report);
    let tx_hash = fields.parsed("tx_hash", "64 hexadecimal digits or \"block\"", report);
    let msg_index = fields.index("msg_index", report);
    if tx_hash == Some(TxHash::Block) && msg_index.is_some_and(|index| index != 0) {
        report.add(fields.pointer("msg_index"), "must be 0 for a block's own event");
    }
    let event_index = fields.index("event_index", report);
    let kind = fields.text("type", MAX_TEXT, report);
    let attributes = fields.required("attributes", report).and_then(|value| {
        let map = value.as_object().filter(|map| map.len() <= MAX_ATTRIBUTES);
        if map.is_none() {
            report.add(
                fields.pointer("attributes"),
                format!("must be an object of at most {MAX_ATTRIBUTES} fields"),
            );
        }
        map.cloned()
    });
    Some(ChainEvent {
        i: i?,
        tx_hash: tx_hash?,
        msg_index: msg_index?,
        event_index: event_index?,
        kind: kind?,
        attributes: attributes?,
    })
}

fn heartbeat(data: &Fields<'_>, report: &mut Report) -> Option<Heartbeat> {
    let chain_id = data.chain_id(report);
    let tip_height = data.height("tip_height", report);
    let tip_time = data.parsed("tip_time", "an RFC 3339 time", report);
    Some(Heartbeat { chain_id: chain_id?, tip_height: tip_height?, tip_time: tip_time? })
}

fn rewind(data: &Fields<'_>, report: &mut Report) -> Option<Rewind> {
    let to = data.block_ref("to_height", "to_hash", report);
    let reason = data.text("reason", MAX_LONG_TEXT, report);
    Some(Rewind { to: to?, reason: reason? })
}
