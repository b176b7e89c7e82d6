//! Where indexers push chain events.
//!
//! Checks run from cheap to dear and from stranger to known: stream, size, media type, signature over the raw bytes, time
//! window, and only then is anything decompressed or parsed. Answered is what is durable.

use std::time::Duration;

use axum::{extract::Path, extract::Request, response::IntoResponse, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    event::{
        body::{MAX_BODY, decompress},
        envelope::{
            CloudEvent, Payload,
            read::{Limits, Mode, foreign_chain, parse},
        },
        hash::BodyDigest,
        signature::SignatureHeaders,
    },
    gateway::{
        State, extract,
        problem::{Code, Problem, Violation},
    },
    provider::{
        port::{Delivery, Ingested, NotTaken, StreamState},
        settings::StreamSettings,
        views::BlockView,
    },
};

/// When to try again while the inbox is full.
const FULL: Duration = Duration::from_secs(5);
/// Deliveries a minute that an indexer is told it may send.
const ALLOWED_RATE: HeaderValue = HeaderValue::from_static("600");

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE_NAME: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Receipt {
    /// Events that were new.
    pub accepted: u64,
    /// Events that were known with the same content.
    pub duplicates: u64,
    /// Events that were known with other content; both are kept and the operator is told.
    pub conflicts: u64,
    /// The last block up to which nothing of the stream is missing.
    pub cursor: Option<BlockView>,
    /// What the next block's `prev_height` and `prev_hash` should name.
    pub next_expected_prev: Option<BlockView>,
}

impl Receipt {
    fn of(accepted: u64, duplicates: u64, conflicts: u64, state: &StreamState) -> Self {
        let cursor = state.link.cursor().map(BlockView::from);
        Self { accepted, duplicates, conflicts, next_expected_prev: cursor.clone(), cursor }
    }
}

/// Take a delivery of chain events.
///
/// The body is one `CloudEvent` or a batch of them, in JSON, optionally gzip, signed as Standard Webhooks asks (`v1a`
/// ed25519 or `v1` HMAC-SHA256) over the bytes as sent. It is answered once it is durable; the same delivery may be sent
/// any number of times.
#[utoipa::path(
    post,
    path = "/webhooks/{stream}",
    tag = "indexer",
    operation_id = "receiveDelivery",
    params(
        ("stream" = String, Path, description = "A stream of the settings.", max_length = 128),
        ("webhook-id" = String, Header, description = "The same for every try.", max_length = 256),
        ("webhook-timestamp" = i64, Header, description = "Unix seconds of this try."),
        ("webhook-signature" = String, Header, description = "`v1a,…` or `v1,…`, several separated by spaces."),
    ),
    request_body(content(
        (Vec<Object> = "application/cloudevents-batch+json"),
        (Object = "application/cloudevents+json"),
    )),
    responses(
        (status = 202, description = "Taken and durable.", body = Receipt),
        (status = 200, description = "All of it was taken before.", body = Receipt),
    ),
    security(("webhook_signature" = [])),
    extensions(("x-problems" = json!([
        "stream_not_found", "stream_deleted", "body_too_large", "unsupported_media_type",
        "signature_invalid", "outside_time_window", "malformed_delivery", "malformed_body",
        "too_many_events", "dataref_refused", "wrong_chain", "delivery_body_differs", "stream_gap",
        "inbox_full", "store_unavailable", "chain_unavailable", "draining",
    ]))),
)]
pub async fn receive(
    state: State,
    Path(stream): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let settings = state.provider.settings();
    let known = known_stream(settings.streams.get(&stream))?;
    let taken = take(&state, &stream, known, request).await;
    let result = match &taken {
        Ok((StatusCode::OK, _)) => "duplicate",
        Ok(_) => "accepted",
        Err(problem) => problem.code().as_str(),
    };
    state.metrics.delivered(&stream, result);
    let (status, receipt) = taken?;
    Ok((status, axum::Json(receipt)).into_response())
}

async fn take(
    state: &State,
    stream: &str,
    settings: &StreamSettings,
    request: Request,
) -> Result<(StatusCode, Receipt), Problem> {
    if state.shutdown.is_cancelled() {
        return Err(Problem::new(Code::Draining).retry_after(FULL));
    }
    let headers = request.headers().clone();
    if extract::announced_length(&headers).is_some_and(|length| length > MAX_BODY) {
        return Err(extract::BodyRefusal::TooLarge(MAX_BODY).into());
    }
    let mode = Mode::of(&headers)?;
    // Malformed headers are refused before a byte of the body is read.
    let signature = SignatureHeaders::parse(&headers)?;
    let raw = extract::read_body(request, MAX_BODY).await?;
    let now = state.provider.clock.now();
    let verified = signature.verify(&raw, &settings.keys, now, settings.tolerance)?;
    let body = decompressed(&raw, &headers)?;
    let events = parse(mode, &body, &Limits::default())?;
    let foreign = foreign_chain(&events, mode, state.provider.chain_name().await?);
    if !foreign.is_empty() {
        let violations = foreign.into_iter().map(Violation::from).collect();
        return Err(Problem::new(Code::WrongChain).violations(violations));
    }
    let delivery = Delivery {
        stream: stream.to_owned(),
        id: signature.id().to_owned(),
        digest: BodyDigest::of(&body).0,
        received_at: now,
        origin: "webhook",
    };
    let told = count(&events);
    let ingested = state.provider.ingest(delivery, events, Some(&verified.key)).await?;
    answer(state, stream, told, ingested)
}

fn decompressed<'a>(
    raw: &'a Bytes,
    headers: &HeaderMap,
) -> Result<std::borrow::Cow<'a, [u8]>, Problem> {
    let encoding = match headers.get(header::CONTENT_ENCODING) {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| Problem::new(Code::UnsupportedMediaType))?),
    };
    Ok(decompress(raw, encoding, MAX_BODY)?)
}

fn answer(
    state: &State,
    stream: &str,
    told: u64,
    ingested: Ingested,
) -> Result<(StatusCode, Receipt), Problem> {
    match ingested {
        Ingested::Accepted { accepted, duplicates, conflicts, state: after } => {
            let labels = crate::telemetry::StreamLabels { stream: stream.to_owned() };
            state.metrics.events.get_or_create(&labels).inc_by(accepted);
            let is_repeat = accepted == 0 && conflicts == 0 && duplicates > 0;
            let status = if is_repeat { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok((status, Receipt::of(accepted, duplicates, conflicts, &after)))
        }
        Ingested::Repeated { state: after } => {
            Ok((StatusCode::OK, Receipt::of(0, told, 0, &after)))
        }
        Ingested::OtherBody => {
            tracing::error!(stream, "a delivery came again with another body");
            Err(Problem::new(Code::DeliveryBodyDiffers))
        }
        Ingested::Refused { why, state: after } => {
            let cursor = after.link.cursor();
            let problem = match why {
                NotTaken::DoesNotJoin => Problem::new(Code::StreamGap),
                NotTaken::AboveTip { believed } => Problem::new(Code::StreamGap)
                    .detail(format!("a block above {believed} is not believed yet: our node is further behind than that"))
                    .retry_after(FULL),
            };
            Err(problem
                .member("expected_prev_height", cursor.map(|block| block.height.0))
                .member("expected_prev_hash", cursor.map(|block| block.hash.to_string())))
        }
        Ingested::Full => Err(Problem::new(Code::InboxFull).retry_after(FULL)),
    }
}

/// The events that a receipt counts: the chain's, and those of unknown types.
fn count(events: &[CloudEvent]) -> u64 {
    let each = events.iter().map(|event| match &event.payload {
        Payload::Block(block) => block.events.len(),
        Payload::Unknown { .. } => 1,
        Payload::Heartbeat(_) | Payload::Rewind(_) => 0,
    });
    u64::try_from(each.sum::<usize>()).unwrap_or(u64::MAX)
}

fn known_stream(settings: Option<&StreamSettings>) -> Result<&StreamSettings, Problem> {
    let stream = settings.ok_or_else(|| Problem::new(Code::StreamNotFound))?;
    if stream.deleted { Err(Problem::new(Code::StreamDeleted)) } else { Ok(stream) }
}

/// Ask whether a sender may deliver here.
///
/// The handshake of the CloudEvents webhook specification. No address that a request names is ever called back.
#[utoipa::path(
    options,
    path = "/webhooks/{stream}",
    tag = "indexer",
    operation_id = "askToDeliver",
    params(
        ("stream" = String, Path, description = "A stream of the settings.", max_length = 128),
        ("webhook-request-origin" = Option<String>, Header, description = "Who wants to send."),
    ),
    responses((status = 200, description = "It may.", headers(
        ("webhook-allowed-origin" = String, description = "Who may send."),
        ("webhook-allowed-rate" = i32, description = "Deliveries a minute."),
    ))),
    extensions(("x-problems" = json!(["stream_not_found", "stream_deleted"]))),
)]
pub async fn handshake(
    state: State,
    Path(stream): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    known_stream(state.provider.settings().streams.get(&stream))?;
    let origin = headers.get(REQUEST_ORIGIN).cloned();
    let mut response = StatusCode::OK.into_response();
    let answered = response.headers_mut();
    answered.insert(ALLOWED_ORIGIN, origin.unwrap_or(HeaderValue::from_static("*")));
    answered.insert(ALLOWED_RATE_NAME, ALLOWED_RATE);
    answered.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    Ok(response)
}
