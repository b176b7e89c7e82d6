//! What replicas have written up to now, in the order of its time.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};

use super::{
    Closed, DOING, Writer,
    cursor::Cursor,
    read::{self, Line, Span},
};
use crate::{
    cluster::kubernetes::{
        failure::Failure,
        stream::{pods, unavailable},
    },
    provider::port::{ClusterError, LogQuery},
};

/// Logs that are opened at once.
const OPENING: usize = 16;

/// A log that is read, and its next line.
struct Log {
    service: String,
    replica: String,
    lines: Pin<Box<dyn Stream<Item = std::io::Result<Line>> + Send>>,
    next: Option<Line>,
}

impl Log {
    async fn advance(&mut self) -> std::io::Result<()> {
        self.next = self.lines.next().await.transpose()?;
        Ok(())
    }
}

/// A log that could not be opened.
struct Unread {
    service: String,
    replica: String,
    since: Timestamp,
    failure: Failure,
}

/// The logs of replicas up to now.
pub(super) struct Written {
    logs: Vec<Log>,
    unread: Vec<Unread>,
}

impl Written {
    /// Opens the logs of all replicas that have one. A replica whose log cannot be read does not keep the others from being
    /// read, unless it is so with all.
    pub(super) async fn open(
        api: &Api<Pod>,
        found: &[Pod],
        query: &LogQuery,
        cursor: &Cursor,
    ) -> Result<Self, ClusterError> {
        let mut wanted = Vec::new();
        for pod in found {
            if has_log(pod, query.previous) {
                let (replica, service) = (pod.name_any(), pods::service(pod).unwrap_or_default());
                let span = Span {
                    follow: false,
                    previous: query.previous,
                    tail: query.tail,
                    after: cursor.of(&replica),
                };
                wanted.push((replica, service.to_owned(), pods::since(pod), span));
            }
        }
        let opening = wanted.into_iter().map(|(replica, service, since, span)| {
            let api = api.clone();
            async move {
                let opened = read::open(&api, &replica, &service, &span).await;
                (replica, service, since, opened)
            }
        });
        let mut opened = stream::iter(opening).buffered(OPENING);
        let mut written = Self { logs: Vec::new(), unread: Vec::new() };
        while let Some((replica, service, since, opened)) = opened.next().await {
            match opened {
                Ok(lines) => {
                    let lines = Box::pin(lines);
                    written.logs.push(Log { service, replica, lines, next: None });
                }
                Err(failure) if is_without_log(&failure) => {}
                Err(failure) => written.unread.push(Unread { service, replica, since, failure }),
            }
        }
        drop(opened);
        if written.logs.is_empty() && !written.unread.is_empty() {
            return Err(written.unread.swap_remove(0).failure.into_error(DOING));
        }
        Ok(written)
    }

    /// Writes all lines, oldest first.
    pub(super) async fn write(mut self, mut writer: Writer) -> Result<Writer, Closed> {
        for Unread { service, replica, since, failure } in self.unread {
            let text = format!("the log cannot be read: {}", failure.detail());
            writer.note(&service, &replica, since, text).await?;
        }
        for log in &mut self.logs {
            if let Err(error) = log.advance().await {
                return Err(writer.error(broken(&error)).await);
            }
        }
        while let Some(log) = oldest(&mut self.logs) {
            if let Some(line) = log.next.take() {
                writer.line(&log.service, &log.replica, line).await?;
            }
            if let Err(error) = log.advance().await {
                return Err(writer.error(broken(&error)).await);
            }
        }
        Ok(writer)
    }
}

fn broken(error: &std::io::Error) -> ClusterError {
    unavailable(DOING, error.to_string())
}

/// The log whose next line is the oldest.
fn oldest(logs: &mut [Log]) -> Option<&mut Log> {
    let waiting = logs.iter_mut().filter(|log| log.next.is_some());
    waiting.min_by(|one, other| {
        let place = |log: &Log| log.next.as_ref().map(|line| line.at);
        (place(one), &one.replica).cmp(&(place(other), &other.replica))
    })
}

/// Whether a replica's container has written anything that can be read: one that has not started yet has not.
fn has_log(pod: &Pod, previous: bool) -> bool {
    let Some(status) = pods::container(pod) else { return false };
    let has_ended = status.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    let has_begun = status
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    has_ended || (!previous && has_begun)
}

/// The container has not started, or has no earlier run, or the replica went in between.
pub(super) fn is_without_log(failure: &Failure) -> bool {
    failure.is_absence() || matches!(failure, Failure::Status(status) if status.code == 400)
}
