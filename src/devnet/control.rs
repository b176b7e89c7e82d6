//! What tests and people do to the world: halt the chain, let its time jump, make blocks, read the journal. Owns the
//! routes under `/devnet`; a real node has nothing of the kind.
//!
//! | route | body → answer |
//! |---|---|
//! | `GET /devnet` | [`World`] |
//! | `POST /devnet/halt`, `POST /devnet/resume` | nothing → [`World`] |
//! | `POST /devnet/jump` | [`Jump`] → [`World`] |
//! | `POST /devnet/interval` | [`Interval`] → [`World`] |
//! | `POST /devnet/blocks` | [`Blocks`] → [`World`] |
//! | `GET /devnet/journal?from=HEIGHT` | a [`BlockLine`](super::node::journal::BlockLine) per line |

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::node::Node;
use crate::domain::Height;

/// The most blocks that one request makes.
pub const MAX_BLOCKS: u32 = 10_000;
/// The shortest and the longest time between blocks, in milliseconds.
pub const INTERVAL_MS: std::ops::RangeInclusive<u64> = 10..=3_600_000;

/// How the chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// The chain's id.
    pub chain_id: String,
    /// The newest block.
    pub height: u64,
    /// Its time.
    pub time: Timestamp,
    /// Between blocks, in milliseconds.
    pub interval_ms: u64,
    /// No block is made by itself.
    pub halted: bool,
    /// How many transactions wait for a block.
    pub waiting: usize,
}

/// By how much block time jumps ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// From 0 to a year.
    pub seconds: i64,
}

/// The time between blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Within [`INTERVAL_MS`].
    pub ms: u64,
}

/// Blocks to make at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// From 1 to [`MAX_BLOCKS`].
    pub count: u32,
}

/// From where the journal is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The first height.
    #[serde(default)]
    pub from: Height,
}

/// A refusal, in words.
type Refused = (StatusCode, String);

/// The routes under `/devnet`.
pub(super) fn router(node: Node) -> Router {
    Router::new()
        .route("/", get(world))
        .route("/halt", post(halt))
        .route("/resume", post(resume))
        .route("/jump", post(jump))
        .route("/interval", post(interval))
        .route("/blocks", post(blocks))
        .route("/journal", get(journal))
        .with_state(node)
}

async fn world(State(node): State<Node>) -> Json<World> {
    let production = node.production();
    Json(World {
        chain_id: node.chain_id().to_owned(),
        height: production.height,
        time: production.time,
        interval_ms: u64::try_from(production.interval.as_millis()).unwrap_or(u64::MAX),
        halted: production.halted,
        waiting: production.waiting,
    })
}

async fn halt(node: State<Node>) -> Json<World> {
    node.halt();
    world(node).await
}

async fn resume(node: State<Node>) -> Json<World> {
    node.resume();
    world(node).await
}

async fn jump(node: State<Node>, Json(by): Json<Jump>) -> Result<Json<World>, Refused> {
    node.jump(by.seconds).map_err(|why| (StatusCode::UNPROCESSABLE_ENTITY, why))?;
    Ok(world(node).await)
}

async fn interval(node: State<Node>, Json(new): Json<Interval>) -> Result<Json<World>, Refused> {
    if !INTERVAL_MS.contains(&new.ms) {
        let (least, most) = (INTERVAL_MS.start(), INTERVAL_MS.end());
        let why = format!("ms {} is not from {least} to {most}", new.ms);
        return Err((StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    node.set_interval(Duration::from_millis(new.ms));
    Ok(world(node).await)
}

async fn blocks(node: State<Node>, Json(wanted): Json<Blocks>) -> Result<Json<World>, Refused> {
    if !(1..=MAX_BLOCKS).contains(&wanted.count) {
        let why = format!("count {} is not from 1 to {MAX_BLOCKS}", wanted.count);
        return Err((StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    let made = tokio::task::spawn_blocking({
        let node = node.clone();
        move || node.make_blocks(wanted.count)
    });
    let failed = |why: String| (StatusCode::INTERNAL_SERVER_ERROR, why);
    made.await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(world(node).await)
}

async fn journal(State(node): State<Node>, Query(From { from }): Query<From>) -> Response {
    let mut lines = String::new();
    for block in node.journal(from) {
        let Ok(line) = serde_json::to_string(&block) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        lines.push_str(&line);
        lines.push('\n');
    }
    ([(header::CONTENT_TYPE, "application/jsonl")], lines).into_response()
}
