//! The pull API, for a receiver that missed blocks: `GET /blocks?from=&to=&cursor=` answers pages of the same CloudEvents
//! that a delivery carries. `GET /status` tells how each sink stands, and `GET /metrics` the same for a collector.
//!
//! It has no authentication and is served on loopback only. The one surprising fact: the first block's `prev_*` is found
//! by looking backwards, for so many blocks and no more; beyond that it is null, as for a stream's first block.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::{
    Settings, Start,
    follow::{Follower, Tip},
    metrics,
    node::NodeError,
    pack::{self, Batch, BatchLimits, Packed},
    sink::SinkState,
};
use crate::{
    domain::Height,
    event::envelope::{BlockRef, CloudEvent, page::Page},
};

/// How many blocks a page looks at.
const WINDOW: u64 = 128;
/// How many of them are read before looking whether the page is full.
const CHUNK: u64 = 16;
/// How many blocks are looked at backwards for the block before.
const LOOK_BACK: u64 = 256;
/// Kept free in a page for what is not an event.
const PAGE_FRAME: usize = 1024;

/// What answers pulls.
#[derive(Debug)]
struct Puller {
    follower: Arc<Follower>,
    limits: BatchLimits,
    name: String,
    start: Start,
    sinks: Vec<watch::Receiver<SinkState>>,
    tip: watch::Receiver<Option<Tip>>,
}

/// The query of `GET /blocks`.
#[derive(Debug, Deserialize)]
struct Range {
    from: u64,
    to: u64,
    cursor: Option<String>,
}

/// Where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    height: Height,
    part: usize,
    prev: Option<BlockRef>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("{0}")]
    Range(String),
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// The routes.
pub(super) fn router(
    follower: Arc<Follower>,
    settings: &Settings,
    sinks: Vec<watch::Receiver<SinkState>>,
    tip: watch::Receiver<Option<Tip>>,
) -> Router {
    let limits =
        BatchLimits { bytes: settings.limits.bytes.saturating_sub(PAGE_FRAME), ..settings.limits };
    let (name, start) = (settings.name.clone(), settings.start);
    Router::new()
        .route("/blocks", get(blocks))
        .route("/status", get(status))
        .route("/metrics", get(metrics_text))
        .with_state(Arc::new(Puller { follower, limits, name, start, sinks, tip }))
}

/// Whether the pull API may listen there.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_listen(address: SocketAddr) -> Result<(), String> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "the pull API has no authentication and listens on loopback only, not on {address}"
    ))
}

async fn status(State(puller): State<Arc<Puller>>) -> Json<Vec<SinkState>> {
    Json(puller.states())
}

async fn metrics_text(State(puller): State<Arc<Puller>>) -> Response {
    let tip = puller.tip.borrow().as_ref().map(|tip| tip.height.0);
    match metrics::text(&puller.states(), tip) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn blocks(State(puller): State<Arc<Puller>>, Query(range): Query<Range>) -> Response {
    match puller.page(&range).await {
        Ok(page) => Json(page).into_response(),
        Err(error) => {
            let status = match &error {
                PullError::Range(_) => StatusCode::BAD_REQUEST,
                PullError::Node(NodeError::NotYet(_) | NodeError::Pruned { .. }) => {
                    StatusCode::NOT_FOUND
                }
                PullError::Node(_) => StatusCode::BAD_GATEWAY,
            };
            let problem = json!({
                "type": "about:blank", "status": status.as_u16(), "title": "no such page",
                "detail": error.to_string(),
            });
            (status, [("content-type", "application/problem+json")], problem.to_string())
                .into_response()
        }
    }
}

impl Puller {
    fn states(&self) -> Vec<SinkState> {
        self.sinks.iter().map(|state| state.borrow().clone()).collect()
    }

    async fn page(&self, range: &Range) -> Result<Page, PullError> {
        if range.from == 0 || range.to < range.from {
            return Err(PullError::Range("from must be at least 1, to at least from".to_owned()));
        }
        let tip = self.follower.tip().await?;
        let to = Height(range.to.min(tip.height.0));
        if range.from > tip.height.0 {
            return Err(NodeError::NotYet(Height(range.from)).into());
        }
        let begin = if let Some(text) = &range.cursor {
            cursor(text, range)?
        } else {
            let height = Height(range.from);
            Cursor { height, part: 0, prev: self.before(height, tip.earliest).await? }
        };
        let last = Height(to.0.min(begin.height.0 + WINDOW - 1));
        let source = format!("urn:akash:indexer:{}:{}", self.name, tip.chain_id);
        let mut prev = begin.prev;
        let mut batch = Batch::new(self.limits);
        let mut events: Vec<CloudEvent> = Vec::new();
        let mut from = begin.height;
        while from <= last {
            let upto = last.min(Height(from.0 + CHUNK - 1));
            for block in &self.follower.range(from, upto).await? {
                let skip = if block.at.height == begin.height { begin.part } else { 0 };
                let parts = pack::block(block, prev, &source, self.limits);
                for (part, event) in parts.into_iter().enumerate().skip(skip) {
                    if batch.push(Packed::from(&event)).is_err() {
                        let next = Cursor { height: block.at.height, part, prev };
                        let through = Height(block.at.height.0 - 1);
                        return self.ended(events, through, Some(next)).await;
                    }
                    events.push(event);
                }
                prev = Some(block.at);
            }
            from = Height(upto.0 + 1);
        }
        let next = Cursor { height: Height(last.0 + 1), part: 0, prev };
        self.ended(events, last, (last < to).then_some(next)).await
    }

    async fn ended(
        &self,
        events: Vec<CloudEvent>,
        through: Height,
        next: Option<Cursor>,
    ) -> Result<Page, PullError> {
        let through = self.follower.block_ref(through.max(Height(1))).await?;
        Ok(Page { events, through, next_cursor: next.map(Cursor::to_text) })
    }

    /// The last block with events before `height`.
    async fn before(
        &self,
        height: Height,
        earliest: Height,
    ) -> Result<Option<BlockRef>, PullError> {
        let first = match self.start {
            Start::At(start) => start.max(earliest),
            Start::Earliest | Start::Newest => earliest,
        };
        let lowest = first.0.max(height.0.saturating_sub(LOOK_BACK));
        // Nearly always the very block before, so look at few first.
        let mut step = 1;
        let mut upper = height.0.saturating_sub(1);
        while upper >= lowest && upper > 0 {
            let lower = lowest.max((upper + 1).saturating_sub(step));
            let found = self.follower.range(Height(lower), Height(upper)).await?;
            if let Some(block) = found.last() {
                return Ok(Some(block.at));
            }
            upper = lower - 1;
            step = (step * 4).min(64);
        }
        Ok(None)
    }
}

impl Cursor {
    fn to_text(self) -> String {
        let prev = self.prev.map(|prev| format!("-{}-{}", prev.height, prev.hash));
        format!("{}-{}{}", self.height, self.part, prev.unwrap_or_default())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, '-');
        let height = Height(words.next()?.parse().ok()?);
        let part = words.next()?.parse().ok()?;
        let prev = match (words.next(), words.next()) {
            (None, _) => None,
            (Some(height), hash) => {
                let (height, hash) = (Height(height.parse().ok()?), hash?.parse().ok()?);
                Some(BlockRef { height, hash })
            }
        };
        Some(Self { height, part, prev })
    }
}

fn cursor(text: &str, range: &Range) -> Result<Cursor, PullError> {
    Cursor::parse(text)
        .filter(|cursor| (range.from..=range.to).contains(&cursor.height.0))
        .ok_or_else(|| PullError::Range("cursor is not one of this range's".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::hash::BlockHash;

    #[test]
    fn a_cursor_survives_its_text() {
        let prev = BlockRef { height: Height(7), hash: BlockHash([3; 32]) };
        for prev in [None, Some(prev)] {
            let cursor = Cursor { height: Height(9), part: 2, prev };
            assert_eq!(Cursor::parse(&cursor.to_text()), Some(cursor));
        }
        for text in ["", "9", "9-", "9-0-7", "9-0-7-xyz", "9-0-7-", "-1-0"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_pull_api_listens_on_loopback_only() {
        assert!(check_listen("127.0.0.1:0".parse().unwrap()).is_ok());
        assert!(check_listen("[::1]:9000".parse().unwrap()).is_ok());
        assert!(check_listen("0.0.0.0:9000".parse().unwrap()).is_err());
        assert!(check_listen("192.168.0.1:9000".parse().unwrap()).is_err());
    }
}
