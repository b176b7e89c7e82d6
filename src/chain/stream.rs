//! Blocks that a stream missed, read from the node itself: the same events as the indexer would have sent.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::node::{Node, unavailable};
use crate::{
    domain::Height,
    event::{
        envelope::{BlockEvent, BlockRef},
        extract,
    },
    provider::port::{ChainError, Indexer, Missed},
    wire::rpc::{
        Call,
        answer::{Block, BlockResults},
    },
};

/// One answer covers at most so many heights.
const MAX_BLOCKS: u64 = 64;
/// So many blocks are read at once.
const CONCURRENCY: usize = 8;
const DOING: &str = "read missed blocks";

impl Node {
    async fn block(&self, height: Height) -> Result<(Block, BlockResults), ChainError> {
        let at = Some(height);
        let (block, results) = tokio::try_join!(
            self.call::<Block>(DOING, Call::Block { height: at }),
            self.call::<BlockResults>(DOING, Call::BlockResults { height: at }),
        )?;
        if block.block.header.height == height.0 {
            return Ok((block, results));
        }
        let found = block.block.header.height;
        Err(unavailable(DOING, format!("asked for block {height}, the node gave {found}")))
    }
}

#[async_trait]
impl Indexer for Node {
    /// The block itself and its results.
    fn reads_per_block(&self, _stream: &str) -> u32 {
        2
    }

    /// The node knows no streams: every one gets the same. The last block comes also without events, so that the range is
    /// known to be read.
    async fn blocks(&self, _stream: &str, from: Height, to: Height) -> Result<Missed, ChainError> {
        let from = from.max(Height(1));
        let last = to.min(Height(from.0.saturating_add(MAX_BLOCKS - 1)));
        let mut reads = stream::iter(from.0..=last.0)
            .map(|height| self.block(Height(height)))
            .buffered(CONCURRENCY);
        let mut read: Vec<(Block, BlockResults)> = Vec::new();
        while let Some(block) = reads.next().await {
            match block {
                Ok(block) => read.push(block),
                // What came before it is whole; a node that is a block behind must not make it worth nothing.
                Err(_) if !read.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let count = u64::try_from(read.len()).unwrap_or(u64::MAX);
        let last = last.min(Height(from.0.saturating_add(count).saturating_sub(1)));
        let mut found: Vec<BlockEvent> = Vec::new();
        let mut prev = match read.first() {
            Some((first, _)) if from.0 > 1 => {
                let hash = extract::hash_before(first).map_err(unusable)?;
                Some(BlockRef { height: Height(from.0 - 1), hash })
            }
            _ => None,
        };
        for (block, results) in read {
            let at = extract::block_ref(&block).map_err(unusable)?;
            let events =
                extract::chain_events(&block, &results, extract::matters).map_err(unusable)?;
            if events.is_empty() && at.height != last {
                continue;
            }
            found.push(BlockEvent {
                chain_id: block.block.header.chain_id,
                at,
                prev: prev.replace(at),
                cursor: None,
                complete: true,
                part: 0,
                parts: 1,
                events,
            });
        }
        Ok(Missed {
            through: found.last().map(|block| block.at),
            blocks: found,
            complete: last == to,
        })
    }
}

fn unusable(error: impl std::fmt::Display) -> ChainError {
    unavailable(DOING, error.to_string())
}
