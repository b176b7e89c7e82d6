//! The logs of a lease's replicas as one stream.
//!
//! What was written up to now comes in the order of its time, over all replicas. Then, for a reader that follows, lines come
//! as they arrive, and notes say when a replica was restarted or went. Every line carries the [`cursor`] behind it, with which
//! another request goes on: nothing twice, nothing missed.
//!
//! A reader that is slow slows down the nodes that send, not this process: at most [`WAITING`] lines wait here.

mod cursor;
mod follow;
mod read;
mod written;

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::{cursor::Cursor, follow::Follower, read::Line, written::Written};
use super::{pods, refused};
use crate::provider::port::{ClusterError, LogLine, LogQuery};

const DOING: &str = "read logs";
/// Lines that wait for a reader.
const WAITING: usize = 64;
/// The most replicas whose logs are read at once.
const MAX_REPLICAS: usize = 256;

/// Log lines of a lease's services, oldest first.
pub(super) async fn logs(
    client: &Client,
    namespace: &str,
    query: &LogQuery,
) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError> {
    let cursor = match &query.after {
        Some(text) => Cursor::parse(text)
            .ok_or_else(|| refused(DOING, format!("{text:?} is no place in a log")))?,
        None => Cursor::default(),
    };
    let found = pods::pods(client, namespace, &query.services, DOING).await?;
    if found.len() > MAX_REPLICAS {
        let detail =
            format!("{} replicas are too many at once, {MAX_REPLICAS} are allowed", found.len());
        return Err(refused(DOING, detail));
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let written = Written::open(&api, &found, query, &cursor).await?;
    let (out, lines) = mpsc::channel(WAITING);
    let writer = Writer { out, cursor };
    let follower =
        (query.follow && !query.previous).then(|| Follower::new(client, namespace, query, &found));
    let task = tokio::spawn(async move {
        let Ok(writer) = written.write(writer).await else { return };
        if let Some(follower) = follower {
            // Nobody reads any more, or the lease is gone: both are an end.
            let _ = follower.run(writer).await;
        }
    });
    let state = (lines, AbortOnDropHandle::new(task));
    let lines = stream::unfold(state, |(mut lines, task)| async move {
        lines.recv().await.map(|line| (line, (lines, task)))
    });
    Ok(lines.boxed())
}

/// Nobody reads any more, or nothing more can be said.
struct Closed;

/// Writes to the reader, and knows how far they are.
struct Writer {
    out: mpsc::Sender<Result<LogLine, ClusterError>>,
    cursor: Cursor,
}

impl Writer {
    async fn line(&mut self, service: &str, replica: &str, line: Line) -> Result<(), Closed> {
        self.cursor.pass(replica, line.at);
        self.send(service, replica, line, false).await
    }

    /// Says what happened to a replica. The reader's place stays where it is.
    async fn note(
        &self,
        service: &str,
        replica: &str,
        at: Timestamp,
        text: String,
    ) -> Result<(), Closed> {
        self.send(service, replica, Line { at, text }, true).await
    }

    async fn error(&self, error: ClusterError) -> Closed {
        // Whether it is heard makes no difference.
        let _ = self.out.send(Err(error)).await;
        Closed
    }

    async fn send(
        &self,
        service: &str,
        replica: &str,
        line: Line,
        is_note: bool,
    ) -> Result<(), Closed> {
        let line = LogLine {
            cursor: self.cursor.text(),
            service: service.to_owned(),
            replica: replica.to_owned(),
            at: line.at,
            line: line.text,
            is_note,
        };
        self.out.send(Ok(line)).await.map_err(|_| Closed)
    }
}
