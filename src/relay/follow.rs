//! Following the chain: its newest block, and the events of a range of blocks, in order.
//!
//! The websocket only wakes; `status` decides. A block's header is fetched only when its results hold an event that is
//! sent, so a quiet chain costs one call a block.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::node::{Node, NodeError};
use crate::{
    domain::Height,
    event::{
        envelope::{BlockRef, ChainEvent},
        extract,
    },
};

/// The first pause before the node is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before the node is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A node that does not tell its newest block in so many polls (and this at least) is asked over another connection.
const SILENT_POLLS: u32 = 3;
/// See [`SILENT_POLLS`].
const SILENT: Duration = Duration::from_secs(2);
/// For so long a read is tried before its caller hears of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The node's newest block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// The chain.
    pub chain_id: String,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: Timestamp,
    /// The oldest block that the node has.
    pub earliest: Height,
}

/// A block with events that are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The chain.
    pub chain_id: String,
    /// The block.
    pub at: BlockRef,
    /// Its time.
    pub time: Timestamp,
    /// Its events, at least one.
    pub events: Vec<ChainEvent>,
}

/// Reads blocks of one node.
#[derive(Debug)]
pub struct Follower {
    node: Node,
    filter: Vec<String>,
    prefetch: usize,
}

impl Follower {
    /// Reads from `node` the events whose types begin with one of `filter` (or those that a provider lives by, when it
    /// is empty), at most `prefetch` blocks at once.
    #[must_use]
    pub const fn new(node: Node, filter: Vec<String>, prefetch: usize) -> Self {
        Self { node, filter, prefetch }
    }

    fn wants(&self, kind: &str) -> bool {
        if self.filter.is_empty() {
            extract::matters(kind)
        } else {
            self.filter.iter().any(|prefix| kind.starts_with(prefix))
        }
    }

    /// The node's newest block.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn tip(&self) -> Result<Tip, NodeError> {
        let status = self.node.status().await?;
        Ok(Tip {
            chain_id: status.node_info.network,
            height: Height(status.sync_info.latest_block_height),
            time: status.sync_info.latest_block_time,
            earliest: Height(status.sync_info.earliest_block_height.max(1)),
        })
    }

    /// A block's hash.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn block_ref(&self, height: Height) -> Result<BlockRef, NodeError> {
        let block = patiently(|| self.node.block(height)).await?;
        extract::block_ref(&block).map_err(|error| contradiction(&error))
    }

    /// The blocks with events from `from` to `to`, both included, in order.
    ///
    /// # Errors
    /// [`NodeError`], after trying for a while what may pass.
    pub async fn range(&self, from: Height, to: Height) -> Result<Vec<Found>, NodeError> {
        let reads = (from.0..=to.0).map(|height| patiently(move || self.read(Height(height))));
        stream::iter(reads)
            .buffered(self.prefetch.max(1))
            .try_filter_map(|found| async move { Ok(found) })
            .try_collect()
            .await
    }

    async fn read(&self, height: Height) -> Result<Option<Found>, NodeError> {
        let results = self.node.block_results(height).await?;
        let of_txs = results.txs_results.iter().flatten().flat_map(|result| &result.events);
        if !of_txs.chain(&results.finalize_block_events).any(|event| self.wants(&event.r#type)) {
            return Ok(None);
        }
        let block = self.node.block(height).await?;
        let events = extract::chain_events(&block, &results, |kind| self.wants(kind))
            .map_err(|error| contradiction(&error))?;
        let at = extract::block_ref(&block).map_err(|error| contradiction(&error))?;
        let header = block.block.header;
        Ok(Some(Found { chain_id: header.chain_id, at, time: header.time, events }))
    }
}

fn contradiction(error: &dyn std::error::Error) -> NodeError {
    NodeError::Contradiction(error.to_string())
}

/// Tries again what may pass, for a while.
async fn patiently<T, F>(mut read: impl FnMut() -> F) -> Result<T, NodeError>
where
    F: Future<Output = Result<T, NodeError>>,
{
    let begun = Instant::now();
    let mut pause = PAUSE;
    loop {
        match read().await {
            Err(NodeError::NotYet(_) | NodeError::Http { .. }) if begun.elapsed() < PATIENCE => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            ended => return ended,
        }
    }
}

/// Tells `tips` about the newest block, for ever: asked for each `poll`, and sooner when the websocket wakes.
pub async fn watch_tip(follower: &Follower, poll: Duration, tips: &watch::Sender<Option<Tip>>) {
    let news = Notify::new();
    let asking = async {
        loop {
            // A connection that died half takes the question and gives no answer; dropping the call closes it.
            let patience = (poll * SILENT_POLLS).max(SILENT);
            match timeout(patience, follower.tip()).await {
                Ok(Ok(tip)) => {
                    tips.send_if_modified(|known| {
                        let changed = known.as_ref() != Some(&tip);
                        if changed {
                            *known = Some(tip);
                        }
                        changed
                    });
                }
                Ok(Err(error)) => tracing::warn!(%error, "node does not tell its newest block"),
                Err(_) => tracing::warn!(?patience, "node does not tell its newest block in time"),
            }
            // Elapsed is as good as woken.
            let _ = timeout(poll, news.notified()).await;
        }
    };
    let waking = async {
        loop {
            follower.node.wake(&news).await;
            sleep(poll).await;
        }
    };
    tokio::join!(asking, waking);
}
