//! The cluster over HTTP. Meant for loopback: nobody is asked who they are.

use std::{convert::Infallible, io, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{
        DefaultBodyLimit, FromRequestParts, Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{
    Stream,
    stream::{self, StreamExt},
};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{LogPage, World, event_number, logs::Cursor};
use crate::{
    devnet::cluster_api::{
        Applied, Control, EventQuery, Failure, FailureCode, HEARTBEAT, JournalEntry, LeaseStatus,
        LogQuery, MAX_WORKLOAD_BYTES, TornDown, Workload,
    },
    domain::{LeaseId, inventory::Inventory},
};

/// How often whoever follows looks for something new.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The routes that [`cluster_api`](crate::devnet::cluster_api) lists, to be nested where the cluster is mounted.
pub fn router(world: World) -> Router {
    let lease = "/leases/{owner}/{dseq}/{gseq}/{oseq}/{provider}";
    Router::new()
        .route("/inventory", get(inventory))
        .route("/leases", get(leases))
        .route(lease, get(status).put(apply).delete(teardown))
        .route(&format!("{lease}/logs"), get(logs))
        .route(&format!("{lease}/events"), get(events))
        .route("/journal", get(journal))
        .route("/control", post(control))
        .layer(DefaultBodyLimit::max(MAX_WORKLOAD_BYTES))
        .with_state(world)
}

async fn inventory(State(world): State<World>) -> Answer<Inventory> {
    ask(world, World::inventory).await
}

async fn leases(State(world): State<World>) -> Answer<Vec<LeaseId>> {
    ask(world, World::leases).await
}

async fn status(State(world): State<World>, Lease(lease): Lease) -> Answer<LeaseStatus> {
    ask(world, move |world| world.status(&lease)).await
}

async fn apply(
    State(world): State<World>,
    Lease(lease): Lease,
    workload: Result<Json<Workload>, JsonRejection>,
) -> Answer<Applied> {
    let Json(workload) = workload.map_err(|error| refused(error.body_text()))?;
    ask(world, move |world| world.apply(&lease, workload)).await
}

async fn teardown(State(world): State<World>, Lease(lease): Lease) -> Answer<TornDown> {
    ask(world, move |world| world.teardown(&lease)).await
}

async fn journal(State(world): State<World>) -> Answer<Vec<JournalEntry>> {
    ask(world, |world| Ok(world.journal())).await
}

async fn control(
    State(world): State<World>,
    control: Result<Json<Control>, JsonRejection>,
) -> Result<StatusCode, Failure> {
    let Json(control) = control.map_err(|error| refused(error.body_text()))?;
    blocking(move || world.control(control)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn logs(
    State(world): State<World>,
    Lease(lease): Lease,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(mut query) = query.map_err(|error| refused(error.body_text()))?;
    let mut after: Option<Cursor> =
        query.after.take().map(|text| text.parse()).transpose().map_err(refused)?;
    let follow = query.follow;
    let read = move || {
        let LogPage { lines, end } = world.logs(&lease, &query, after.as_ref())?;
        // What was asked of the past does not hold for what comes.
        query.tail = None;
        after = Some(end);
        Ok(to_lines(&lines))
    };
    read_on(follow, read).await
}

async fn events(
    State(world): State<World>,
    Lease(lease): Lease,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|error| refused(error.body_text()))?;
    let mut after = event_number(&query)?;
    let read = move || {
        let events = world.events(&lease, after)?;
        if let Some(last) = events.last().and_then(|event| event.cursor.parse().ok()) {
            after = last;
        }
        Ok(to_lines(&events))
    };
    read_on(query.follow, read).await
}

fn to_lines<T: Serialize>(items: &[T]) -> Vec<u8> {
    let mut lines = Vec::new();
    for item in items {
        // These types are strings and numbers, which always serialise into memory.
        if serde_json::to_writer(&mut lines, item).is_ok() {
            lines.push(b'\n');
        }
    }
    lines
}

/// Answers with what `read` gives now and, when following, with what it gives later.
async fn read_on<R>(follow: bool, read: R) -> Result<Response, Failure>
where
    R: FnMut() -> Result<Vec<u8>, Failure> + Send + 'static,
{
    let (first, read) = call(read).await;
    let first = Bytes::from(first?);
    let body = if follow {
        let first = stream::iter([Ok(first)]);
        Body::from_stream(first.chain(following(read)))
    } else {
        Body::from_stream(stream::iter([Ok::<_, Infallible>(first)]))
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Ends when the lease is gone; breaks off, which the client sees as a cut connection, when the cluster goes away.
fn following<R>(read: R) -> impl Stream<Item = Result<Bytes, io::Error>> + Send
where
    R: FnMut() -> Result<Vec<u8>, Failure> + Send + 'static,
{
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Some((read, ticks, Instant::now()));
    stream::unfold(start, |state| async {
        let (read, mut ticks, spoke_at) = state?;
        match next_bytes(read, &mut ticks, spoke_at).await {
            (Ok(bytes), read) => Some((Ok(bytes), Some((read, ticks, Instant::now())))),
            (Err(failure), _) if failure.code == FailureCode::NotFound => None,
            (Err(failure), _) => Some((Err(io::Error::other(failure.message)), None)),
        }
    })
}

/// Waits for something new, or until it is time for an empty line.
async fn next_bytes<R>(
    mut read: R,
    ticks: &mut Interval,
    spoke_at: Instant,
) -> (Result<Bytes, Failure>, R)
where
    R: FnMut() -> Result<Vec<u8>, Failure> + Send + 'static,
{
    loop {
        ticks.tick().await;
        let (bytes, same) = call(read).await;
        read = same;
        match bytes {
            Ok(bytes) if !bytes.is_empty() => return (Ok(bytes.into()), read),
            Ok(_) if spoke_at.elapsed() < HEARTBEAT => {}
            Ok(_) => return (Ok(Bytes::from_static(b"\n")), read),
            Err(failure) => return (Err(failure), read),
        }
    }
}

/// Calls `read` where blocking is allowed.
async fn call<R>(mut read: R) -> (Result<Vec<u8>, Failure>, R)
where
    R: FnMut() -> Result<Vec<u8>, Failure> + Send + 'static,
{
    match tokio::task::spawn_blocking(move || (read(), read)).await {
        Ok(answer) => answer,
        // It is never aborted, so it can only have panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

type Answer<T> = Result<Json<T>, Failure>;

async fn ask<T: Send + 'static>(
    world: World,
    question: impl FnOnce(&World) -> Result<T, Failure> + Send + 'static,
) -> Answer<T> {
    blocking(move || question(&world)).await.map(Json)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The lease that the path names.
struct Lease(LeaseId);

impl<S: Send + Sync> FromRequestParts<S> for Lease {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        type Names = (String, String, String, String, String);
        let Path((owner, dseq, gseq, oseq, provider)) =
            Path::<Names>::from_request_parts(parts, state)
                .await
                .map_err(|error| refused(error.body_text()))?;
        let path = [owner, dseq, gseq, oseq, provider].join("/");
        path.parse().map(Self).map_err(|error: crate::domain::IdError| refused(error.to_string()))
    }
}

fn refused(message: String) -> Failure {
    Failure { code: FailureCode::Refused, message }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.code {
            FailureCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            FailureCode::Terminating => StatusCode::CONFLICT,
            FailureCode::NotFound => StatusCode::NOT_FOUND,
            FailureCode::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        };
        (status, Json(self)).into_response()
    }
}
