//! What Kubernetes tells of a lease's objects, as one stream.
//!
//! The cursor is the event's resource version: it is of the whole cluster, so what comes after it is what happened later. An
//! event that repeats itself is told again each time that Kubernetes counts it.
//!
//! Kubernetes forgets events after an hour; whoever comes back later than that has missed some, and nobody can tell.

use std::collections::VecDeque;

use futures_util::{Stream, StreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Namespace, events::v1::Event as Told};
use kube::{
    Api, Client, ResourceExt as _,
    api::ListParams,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watch_object, watcher},
    },
};

use super::{super::failure::Failure, exists, owner, refused};
use crate::provider::port::{ClusterError, ClusterErrorKind, ClusterEvent};

const DOING: &str = "read events";
/// The most events of one lease that are read at once.
const MAX_EVENTS: u32 = 5000;

/// Events of a lease's namespace, oldest first.
pub(super) async fn events(
    client: &Client,
    namespace: &str,
    follow: bool,
    after: Option<&str>,
) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError> {
    let after = match after {
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| refused(DOING, format!("{text:?} is no place among events")))?,
        None => 0,
    };
    exists(client, namespace, DOING).await?;
    let api: Api<Told> = Api::namespaced(client.clone(), namespace);
    if follow {
        return Ok(followed(client, api, namespace, after).boxed());
    }
    let listed = api.list(&ListParams::default().limit(MAX_EVENTS)).await;
    let listed = listed.map_err(|error| Failure::from(error).into_error(DOING))?;
    Ok(stream::iter(later(listed.items, after).into_iter().map(|event| Ok(told(&event)))).boxed())
}

/// The events after a place, oldest first.
fn later(mut events: Vec<Told>, after: u64) -> Vec<Told> {
    events.retain(|event| version(event) > after);
    events.sort_by_key(version);
    events
}

/// A watch that goes on where it broke off; when it has to begin anew, what was told already is left out.
struct Watch<S> {
    changes: S,
    after: u64,
    listed: Vec<Told>,
    ready: VecDeque<Told>,
    is_over: bool,
}

fn followed(
    client: &Client,
    api: Api<Told>,
    namespace: &str,
    after: u64,
) -> impl Stream<Item = Result<ClusterEvent, ClusterError>> + Send + use<> {
    let changes = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let watch =
        Watch { changes, after, listed: Vec::new(), ready: VecDeque::new(), is_over: false };
    let events = stream::unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        Some((next, watch))
    });
    // The watch of a namespace that is gone stays silent for ever.
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespace.to_owned();
    events.take_until(async move {
        let mut seen = watch_object(namespaces, &namespace).default_backoff().boxed();
        while let Some(seen) = seen.next().await {
            if matches!(seen, Ok(None)) {
                return;
            }
        }
    })
}

impl<S: Stream<Item = watcher::Result<Event<Told>>> + Unpin> Watch<S> {
    async fn next(&mut self) -> Option<Result<ClusterEvent, ClusterError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = self.after.max(version(&event));
                return Some(Ok(told(&event)));
            }
            if self.is_over {
                return None;
            }
            match self.changes.next().await? {
                Ok(Event::Init) => self.listed.clear(),
                Ok(Event::InitApply(event)) => self.listed.push(event),
                Ok(Event::InitDone) => {
                    self.ready = later(std::mem::take(&mut self.listed), self.after).into();
                }
                Ok(Event::Apply(event)) if version(&event) > self.after => {
                    self.ready.push_back(event);
                }
                Ok(Event::Apply(_) | Event::Delete(_)) => {}
                Err(error) => {
                    if let Some(error) = permanent(error) {
                        self.is_over = true;
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

/// What no waiting mends: the role does not allow the watch.
fn permanent(error: watcher::Error) -> Option<ClusterError> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return None;
    };
    let error = Failure::from(error).into_error(DOING);
    (error.kind == ClusterErrorKind::Refused).then_some(error)
}

/// API servers keep all objects in one store, whose revision this is.
fn version(event: &Told) -> u64 {
    event.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn told(event: &Told) -> ClusterEvent {
    let regarding = event.regarding.clone().unwrap_or_default();
    let (kind, name) = (regarding.kind.unwrap_or_default(), regarding.name.unwrap_or_default());
    let field = regarding.field_path.unwrap_or_default();
    let note = event.note.as_deref().unwrap_or_default();
    ClusterEvent {
        cursor: version(event).to_string(),
        at: at(event),
        service: owner::service(&kind, &name, &field).map(str::to_owned),
        reason: event.reason.clone().unwrap_or_default(),
        // Two replicas of a service look the same without it.
        message: format!("{name}: {note}"),
        kind: event.type_.clone().unwrap_or_default(),
    }
}

/// When it happened last. Older parts of Kubernetes write other members than newer ones.
fn at(event: &Told) -> Timestamp {
    let repeated = event.series.as_ref().map(|series| series.last_observed_time.0);
    let last = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    let made = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    repeated.or(last).or(first).or(made).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(version: u64, reason: &str) -> Told {
        serde_json::from_value(json!({
            "metadata": { "name": reason, "resourceVersion": version.to_string(),
                "creationTimestamp": "2027-01-15T08:00:00Z" },
            "eventTime": null, "type": "Normal", "reason": reason, "note": "as it is",
            "regarding": { "kind": "Pod", "name": "web-6d4cf56db6-x2x7k" },
        }))
        .unwrap()
    }

    #[test]
    fn an_event_tells_its_service_and_where_to_go_on() {
        let told = told(&event(7, "Started"));
        assert_eq!((told.cursor.as_str(), told.service.as_deref()), ("7", Some("web")));
        assert_eq!(told.message, "web-6d4cf56db6-x2x7k: as it is");
        assert_eq!(told.at.to_string(), "2027-01-15T08:00:00Z");
    }

    #[tokio::test]
    async fn a_watch_that_begins_anew_tells_nothing_twice_and_nothing_out_of_order() {
        let changes = [
            Event::Init,
            Event::InitApply(event(12, "Pulled")),
            Event::InitApply(event(11, "Scheduled")),
            Event::InitApply(event(9, "Old")),
            Event::InitDone,
            Event::Apply(event(13, "Started")),
            Event::Init,
            Event::InitApply(event(14, "Killing")),
            Event::InitApply(event(13, "Started")),
            Event::InitDone,
            Event::Delete(event(15, "Killing")),
        ];
        let watch = Watch {
            changes: stream::iter(changes.map(Ok)),
            after: 9,
            listed: Vec::new(),
            ready: VecDeque::new(),
            is_over: false,
        };
        let told = stream::unfold(watch, |mut watch| async move {
            let next = watch.next().await?;
            Some((next.unwrap().reason, watch))
        });
        let told: Vec<String> = told.collect().await;
        assert_eq!(told, ["Scheduled", "Pulled", "Started", "Killing"]);
    }
}
