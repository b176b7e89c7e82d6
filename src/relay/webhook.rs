//! One delivery by hand, for whoever writes an indexer: sign a body, send it, verify one that came.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use jiff::{SignedDuration, Timestamp};

use crate::event::{
    envelope::{
        self, CloudEvent, Payload,
        read::{EnvelopeError, Limits, Mode, parse},
    },
    hash::BodyDigest,
    key::SigningKey,
    signature::{
        ID, SIGNATURE, SignatureError, SignatureHeaders, SignedHeaders, StreamKey, TIMESTAMP,
        Verified, delivery_id, sign,
    },
};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a receiver's answer is read.
const MAX_ANSWER: usize = 64 * 1024;

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as far as it is text and not too long.
    pub body: String,
}

/// Why a delivery is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The signature or its time.
    #[error("signature: {0}")]
    Signature(#[from] SignatureError),
    /// The body.
    #[error("body: {0}")]
    Envelope(#[from] EnvelopeError),
}

/// The media type of a body: a list is a batch.
#[must_use]
pub fn media_type(body: &[u8]) -> &'static str {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => envelope::BATCH,
        _ => envelope::STRUCTURED,
    }
}

/// The headers for `body`; the id is that of these bytes on this stream unless one is given.
///
/// # Errors
/// [`SignatureError`] when the id is not allowed.
pub fn signed(
    stream: &str,
    id: Option<&str>,
    body: &[u8],
    keys: &[SigningKey],
    now: Timestamp,
) -> Result<SignedHeaders, SignatureError> {
    let derived = delivery_id(stream, &BodyDigest::of(body));
    sign(id.unwrap_or(&derived), now, body, keys)
}

/// Posts a signed body once.
///
/// # Errors
/// What the client said, without the address.
pub async fn send(
    url: reqwest::Url,
    headers: &SignedHeaders,
    body: Vec<u8>,
) -> Result<Answer, reqwest::Error> {
    let mut request = super::client(TIMEOUT)?.post(url).header(CONTENT_TYPE, media_type(&body));
    for (name, value) in &headers.0 {
        request = request.header(*name, value);
    }
    let mut answer = request.body(body).send().await.map_err(reqwest::Error::without_url)?;
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        let room = MAX_ANSWER.saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if room == 0 {
            break;
        }
    }
    Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned() })
}

/// The three values as headers, for [`verify`].
///
/// # Errors
/// [`SignatureError::Malformed`] for a value that cannot be a header.
pub fn headers(id: &str, timestamp: &str, signature: &str) -> Result<HeaderMap, SignatureError> {
    [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)]
        .into_iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_str(value).map_err(|_| SignatureError::Malformed {
                header: name,
                reason: "must be printable ASCII",
            })?;
            Ok((HeaderName::from_static(name), value))
        })
        .collect()
}

/// Checks a delivery as a gateway does: signature, time, then the body.
///
/// # Errors
/// [`CheckError`], the first check that failed.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    keys: &[StreamKey],
    now: Timestamp,
    tolerance: SignedDuration,
) -> Result<(Verified, Vec<CloudEvent>), CheckError> {
    let verified = SignatureHeaders::parse(headers)?.verify(body, keys, now, tolerance)?;
    let mode = if media_type(body) == envelope::BATCH { Mode::Batch } else { Mode::Structured };
    Ok((verified, parse(mode, body, &Limits::default())?))
}

/// One line for each of `events`.
#[must_use]
pub fn summary(events: &[CloudEvent]) -> Vec<String> {
    events.iter().map(line).collect()
}

fn line(event: &CloudEvent) -> String {
    match &event.payload {
        Payload::Block(block) => {
            let prev = block.prev.map_or("none".to_owned(), |prev| prev.height.to_string());
            format!(
                "block {} of {}, part {} of {}, {} events, previous {prev}",
                block.at.height,
                block.chain_id,
                block.part + 1,
                block.parts,
                block.events.len()
            )
        }
        Payload::Heartbeat(heartbeat) => {
            format!("heartbeat of {} at block {}", heartbeat.chain_id, heartbeat.tip_height)
        }
        Payload::Rewind(rewind) => {
            format!("rewind to block {}: {}", rewind.to.height, rewind.reason)
        }
        Payload::Unknown { kind, .. } => format!("unknown type {kind}"),
    }
}
