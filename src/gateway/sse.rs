//! Server-sent events that can be resumed: every event has an id, a comment now and then keeps the connection, and the
//! end of the process ends the stream, whose reader comes back with `Last-Event-ID`.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::problem::{Code, Problem};
use crate::provider::port::ClusterError;

/// How often a comment is sent when nothing else is: proxies cut silent connections after half a minute.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// The header with which a reader resumes.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The longest id that a reader may bring back.
const MAX_ID: usize = 512;

/// Where the reader goes on: after this id.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str() {
        Ok("") => Ok(None),
        Ok(id) if id.len() <= MAX_ID => Ok(Some(id.to_owned())),
        _ => Err(Problem::new(Code::MalformedQuery)
            .detail(format!("last-event-id may have {MAX_ID} printable characters"))),
    }
}

/// One thing to send.
pub(super) struct Item<T> {
    /// Where to go on after it.
    pub id: String,
    /// What is sent, as JSON.
    pub data: T,
}

/// Answers with a stream of `name` events. It closes with an `end` event, or a `problem` event when the cluster breaks
/// off, so that a reader can tell an end from a cut.
pub(super) fn respond<T, S>(name: &'static str, items: S, shutdown: CancellationToken) -> Response
where
    T: Serialize + Send + 'static,
    S: Stream<Item = Result<Item<T>, ClusterError>> + Send + 'static,
{
    let mut broken = false;
    let events = items.map(move |item| match item {
        Ok(item) => (event(name, &item), false),
        Err(error) => {
            tracing::warn!(%error, "a stream of the cluster broke off");
            (broke_off(), true)
        }
    });
    // Nothing follows a problem.
    let events = events
        .take_while(move |(_, last)| {
            let go_on = !broken;
            broken = *last;
            std::future::ready(go_on)
        })
        .map(|(event, _)| event);
    let end = stream::once(async { Event::default().event("end").data("{}") });
    let events = events
        .chain(end)
        .take_until(async move { shutdown.cancelled().await })
        .map(Ok::<Event, Infallible>);
    headers(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// The answer with the headers that keep it from being kept or held back.
pub(super) fn headers(events: impl IntoResponse) -> Response {
    let mut response = events.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer answers would hold lines back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn event<T: Serialize>(name: &'static str, item: &Item<T>) -> Event {
    let data = serde_json::to_string(&item.data).unwrap_or_default();
    let event = Event::default().event(name).data(data);
    // The protocol has no way to write these in an id.
    let is_writable = !item.id.contains(['\n', '\r', '\0']);
    if is_writable { event.id(&item.id) } else { event }
}

fn broke_off() -> Event {
    let code = Code::ClusterUnavailable;
    let data = serde_json::json!({ "code": code.as_str(), "title": code.title() });
    Event::default().event("problem").data(data.to_string())
}
