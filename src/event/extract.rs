//! A node's answers about one block, as the chain events that a stream carries. The relay makes deliveries of them;
//! whoever reads missed blocks from a node itself gets the very same events.

use crate::{
    domain::Height,
    event::{
        envelope::{BlockRef, ChainEvent},
        hash::{BlockHash, HashError, TxHash},
    },
    wire::{
        event::{BlockMismatch, attributes_of, events_of_block},
        rpc::answer::{Block, BlockResults},
    },
};

/// The modules whose events a provider lives by.
const MODULES: [&str; 4] =
    ["akash.market.", "akash.deployment.", "akash.provider.", "akash.audit."];

/// Why two answers of a node are not one block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// They are about different heights.
    #[error("asked for one block, the node gave block {block} with the results of {results}")]
    Heights {
        /// The block's.
        block: u64,
        /// The results'.
        results: u64,
    },
    /// Transactions and results do not belong together.
    #[error(transparent)]
    Mismatch(#[from] BlockMismatch),
    /// A hash that is none.
    #[error("in the block's id: {0}")]
    Hash(#[from] HashError),
}

/// Whether an event of this type is sent when nothing else is asked for.
#[must_use]
pub fn matters(kind: &str) -> bool {
    MODULES.iter().any(|module| kind.starts_with(module))
}

/// A block's height and hash.
///
/// # Errors
/// [`HashError`] when the node's hash is none.
pub fn block_ref(block: &Block) -> Result<BlockRef, HashError> {
    Ok(BlockRef { height: Height(block.block.header.height), hash: block.block_id.hash.parse()? })
}

/// The events of `block` whose type `wanted` takes, in the chain's order and numbered from 0. Their `event_index` counts
/// all events of the transaction, wanted or not.
///
/// # Errors
/// [`ExtractError`] when the answers do not belong together.
pub fn chain_events(
    block: &Block,
    results: &BlockResults,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<ChainEvent>, ExtractError> {
    let height = block.block.header.height;
    if height != results.height {
        return Err(ExtractError::Heights { block: height, results: results.height });
    }
    let hashes: Vec<String> =
        block.block.data.txs.iter().map(|tx| TxHash::of(tx).to_string()).collect();
    let wanted =
        events_of_block(results, &hashes)?.into_iter().filter(|(_, event)| wanted(&event.r#type));
    wanted
        .zip(0..)
        .map(|((position, event), i)| {
            Ok(ChainEvent {
                i,
                tx_hash: position.tx_hash.parse()?,
                msg_index: position.msg_index,
                event_index: position.event_index,
                kind: event.r#type.clone(),
                attributes: attributes_of(event),
            })
        })
        .collect()
}

/// The hash of the block before `block`, as its header says.
///
/// # Errors
/// [`HashError`] for the first block, which has none before it.
pub fn hash_before(block: &Block) -> Result<BlockHash, HashError> {
    block.block.header.last_block_id.hash.parse()
}
