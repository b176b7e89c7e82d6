//! A node of one: it makes blocks of what waits, keeps them in a journal, and answers calls. Owns block time, the
//! mempool and the history; what transactions do is [`super::ledger`]'s, how calls arrive is `rpc`'s.
//!
//! Block time is the given clock's, plus what tests made it jump ahead, and always above the last block's.

mod block;
pub mod journal;
mod mempool;

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use tokio::sync::{Notify, broadcast};

use self::{
    block::StoredBlock,
    journal::{BlockLine, Journal, JournalError, TxLine},
    mempool::Mempool,
};
use super::{
    genesis::Genesis,
    ledger::{self, Ledger, Snapshot},
};
use crate::{
    domain::Height,
    wire::{
        Query,
        cosmos::SimulateRequest,
        rpc::{
            RpcError,
            answer::{
                AbciQuery, AbciResponse, Block, BlockResults, BroadcastTx, Header, Status, Tx,
                TxResult,
            },
        },
        text::to_upper_hex,
        tx,
    },
};

/// How many heights back queries are answered.
const HISTORY: usize = 1_000;
/// How many new headers a slow listener may lag behind before it is cut off.
const LAG: usize = 200;
/// The longest jump of block time, in seconds: a year.
const MAX_JUMP_S: i64 = 366 * 24 * 3_600;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A node. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    chain_id: String,
    clock: Clock,
    core: Mutex<Core>,
    headers: broadcast::Sender<Arc<Header>>,
    /// Rings when the interval changes or production starts again.
    changed: Notify,
}

struct Core {
    ledger: Ledger,
    journal: Journal,
    mempool: Mempool,
    blocks: Vec<StoredBlock>,
    /// Where a transaction is, by its hash: a height and a place.
    places: HashMap<String, (u64, usize)>,
    history: VecDeque<Snapshot>,
    interval: Duration,
    halted: bool,
    /// How far block time is ahead of the clock.
    ahead: SignedDuration,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The folder holds another chain.
    #[error("the folder holds chain {found:?}, wanted is {wanted:?}")]
    Chain {
        /// What the journal starts with.
        found: String,
        /// What the settings ask for.
        wanted: String,
    },
    /// Carried out again, a transaction answers otherwise: the journal is of another version of the ledger.
    #[error("block {height} of the journal answers otherwise when carried out again: {hash}")]
    Diverged {
        /// The block.
        height: u64,
        /// The transaction.
        hash: String,
    },
    /// The first block cannot be written.
    #[error("block cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// How blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Production {
    /// The newest block.
    pub height: u64,
    /// Its time.
    pub time: Timestamp,
    /// Between blocks.
    pub interval: Duration,
    /// No block is made by itself.
    pub halted: bool,
    /// How many transactions wait.
    pub waiting: usize,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("chain_id", &self.shared.chain_id).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the folder, carries its blocks out again, and makes block 1 when there is none. `genesis` counts only for
    /// a new folder.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn open(
        folder: &Path,
        genesis: Genesis,
        interval: Duration,
        clock: Clock,
    ) -> Result<Self, NodeError> {
        let wanted = genesis.chain_id.clone();
        let opened = Journal::open(folder, genesis)?;
        if opened.genesis.chain_id != wanted {
            return Err(NodeError::Chain { found: opened.genesis.chain_id, wanted });
        }
        let mut core = Core {
            ledger: Ledger::new(&opened.genesis),
            journal: opened.journal,
            mempool: Mempool::default(),
            blocks: Vec::new(),
            places: HashMap::new(),
            history: VecDeque::new(),
            interval,
            halted: false,
            ahead: SignedDuration::ZERO,
        };
        for line in opened.blocks {
            core.replay(&wanted, line)?;
        }
        // A chain that was made to jump ahead stays ahead.
        let ahead = core.ledger.time().duration_since(clock());
        core.ahead = ahead.max(SignedDuration::ZERO);
        let (headers, _) = broadcast::channel(LAG);
        let shared = Shared {
            chain_id: wanted,
            clock,
            core: Mutex::new(core),
            headers,
            changed: Notify::new(),
        };
        let node = Self { shared: Arc::new(shared) };
        if node.core().blocks.is_empty() {
            node.make_blocks(1)?;
        }
        Ok(node)
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic while it was held leaves whole blocks behind: each is made aside and put in place at once.
        self.shared.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain's id.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.shared.chain_id
    }

    /// Headers of the blocks that come.
    #[must_use]
    pub fn headers(&self) -> broadcast::Receiver<Arc<Header>> {
        self.shared.headers.subscribe()
    }

    /// Makes `count` blocks at once, also while production is halted. Each is in the journal before it is seen.
    ///
    /// # Errors
    /// When a block cannot be written; then it did not happen, and what waits goes on waiting.
    pub fn make_blocks(&self, count: u32) -> io::Result<Height> {
        let mut height = Height::default();
        for _ in 0..count {
            let mut core = self.core();
            let header = core.produce(&self.shared.chain_id, (self.shared.clock)())?;
            height = Height(header.height);
            // Nobody listening is fine.
            drop(self.shared.headers.send(Arc::new(header)));
        }
        Ok(height)
    }

    /// Stops making blocks; transactions still wait.
    pub fn halt(&self) {
        self.core().halted = true;
    }

    /// Makes blocks again.
    pub fn resume(&self) {
        self.core().halted = false;
        self.shared.changed.notify_one();
    }

    /// Lets block time jump ahead, from the next block on.
    ///
    /// # Errors
    /// When `seconds` is negative or more than a year.
    pub fn jump(&self, seconds: i64) -> Result<(), String> {
        if !(0..=MAX_JUMP_S).contains(&seconds) {
            return Err(format!("seconds {seconds} is not from 0 to {MAX_JUMP_S}"));
        }
        let mut core = self.core();
        core.ahead += SignedDuration::from_secs(seconds);
        Ok(())
    }

    /// Sets the time between blocks.
    pub fn set_interval(&self, interval: Duration) {
        self.core().interval = interval;
        self.shared.changed.notify_one();
    }

    /// How blocks are made.
    #[must_use]
    pub fn production(&self) -> Production {
        let core = self.core();
        Production {
            height: core.ledger.height(),
            time: core.ledger.time(),
            interval: core.interval,
            halted: core.halted,
            waiting: core.mempool.len(),
        }
    }

    /// Makes blocks in the interval for as long as the future is polled. A block that cannot be written halts it.
    pub async fn run(&self) {
        loop {
            let production = self.production();
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = tokio::time::sleep(production.interval) => {
                    if self.production().halted {
                        continue;
                    }
                    if let Err(error) = self.make_blocks(1) {
                        tracing::error!(%error, "block cannot be written, the chain halts");
                        self.halt();
                    }
                }
            }
        }
    }

    /// Answers `status`.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let core = self.core();
        Some(block::status(core.blocks.first()?, core.blocks.last()?))
    }

    /// Answers `abci_query`; height 0 is the newest.
    #[must_use]
    pub fn abci_query(&self, path: &str, data: &[u8], height: Height) -> AbciQuery {
        AbciQuery { response: self.respond(path, data, height.0) }
    }

    fn respond(&self, path: &str, data: &[u8], height: u64) -> AbciResponse {
        let (ledger, snapshot) = {
            let core = self.core();
            let newest = core.ledger.height();
            let wanted = if height == 0 { newest } else { height };
            let found = core.history.iter().rev().find(|known| known.height() == wanted).cloned();
            match found {
                Some(snapshot) => (core.ledger.clone(), snapshot),
                None => return ledger::no_such_height(height, newest),
            }
        };
        if path == SimulateRequest::PATH {
            simulate(&ledger, data)
        } else {
            snapshot.query(path, data)
        }
    }

    /// Answers `broadcast_tx_sync`: checks the transaction and lets it wait for a block.
    ///
    /// # Errors
    /// When the same bytes came before, or too many wait.
    pub fn broadcast(&self, bytes: Vec<u8>) -> Result<BroadcastTx, RpcError> {
        let hash = tx::hash(&bytes);
        let heard_at = (self.shared.clock)();
        let mut core = self.core();
        if core.mempool.is_full() {
            return Err(RpcError::internal(format!(
                "mempool is full: number of txs {0} (max: {0})",
                core.mempool.len()
            )));
        }
        if !core.mempool.see(&hash) {
            return Err(RpcError::internal("tx already exists in cache"));
        }
        let checked = core.ledger.check(&bytes);
        let (code, log, codespace) = match checked {
            Ok(()) => {
                core.mempool.push(bytes, heard_at);
                (0, String::new(), String::new())
            }
            Err(refusal) => {
                core.mempool.forget(&hash);
                (refusal.code, refusal.log, refusal.codespace.to_owned())
            }
        };
        Ok(BroadcastTx { code, data: String::new(), log, codespace, hash })
    }

    /// Answers `tx`.
    ///
    /// # Errors
    /// When no block holds it.
    pub fn tx(&self, hash: &[u8]) -> Result<Tx, RpcError> {
        let hash = to_upper_hex(hash);
        let core = self.core();
        let found = core.places.get(&hash).and_then(|&(height, place)| {
            let block = core.block(height)?;
            Some((height, place, block.txs.get(place)?.clone(), block.results.get(place)?.clone()))
        });
        let Some((height, place, tx, tx_result)) = found else {
            return Err(RpcError::internal(format!("tx ({hash}) not found")));
        };
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        Ok(Tx { hash, height, index, tx_result, tx })
    }

    /// Answers `block`; none means the newest.
    ///
    /// # Errors
    /// For a height that the chain does not have.
    pub fn block(&self, height: Option<Height>) -> Result<Block, RpcError> {
        self.at(height, StoredBlock::answer)
    }

    /// Answers `block_results`; none means the newest.
    ///
    /// # Errors
    /// For a height that the chain does not have.
    pub fn block_results(&self, height: Option<Height>) -> Result<BlockResults, RpcError> {
        self.at(height, StoredBlock::results)
    }

    fn at<T>(
        &self,
        height: Option<Height>,
        answer: impl FnOnce(&StoredBlock) -> T,
    ) -> Result<T, RpcError> {
        let core = self.core();
        let newest = core.ledger.height();
        let height = height.map_or(newest, |height| height.0);
        if height == 0 {
            return Err(RpcError::internal("height must be greater than 0, but got 0"));
        }
        core.block(height).map(answer).ok_or_else(|| {
            RpcError::internal(format!(
                "height {height} must be less than or equal to the current blockchain height \
                 {newest}"
            ))
        })
    }

    /// The journal's blocks from `from` on.
    #[must_use]
    pub fn journal(&self, from: Height) -> Vec<BlockLine> {
        let core = self.core();
        let skipped = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        core.blocks.iter().skip(skipped).map(line).collect()
    }
}

fn simulate(ledger: &Ledger, data: &[u8]) -> AbciResponse {
    let height = ledger.height();
    let outcome = match SimulateRequest::decode(data) {
        Ok(request) => ledger.simulate(&request.tx_bytes),
        Err(error) => return ledger::undecodable(&error, height),
    };
    match outcome {
        Ok(response) => ledger::answered(response.encode_to_vec(), height),
        Err((refusal, gas_used)) => ledger::simulation_failed(&refusal, gas_used, height),
    }
}

/// A block as the journal holds it.
fn line(block: &StoredBlock) -> BlockLine {
    let txs = block
        .txs
        .iter()
        .zip(&block.results)
        .zip(&block.heard_at)
        .map(|((tx, result), heard_at)| TxLine {
            hash: tx::hash(tx),
            code: result.code,
            codespace: result.codespace.clone(),
            messages: ledger::describe(tx),
            heard_at: *heard_at,
            tx: tx.clone(),
        })
        .collect();
    BlockLine { height: block.header.height, time: block.header.time, txs }
}

impl Core {
    fn block(&self, height: u64) -> Option<&StoredBlock> {
        self.blocks.get(usize::try_from(height.checked_sub(1)?).ok()?)
    }

    /// Makes the next block of all that waits.
    fn produce(&mut self, chain_id: &str, now: Timestamp) -> io::Result<Header> {
        let least = self.ledger.time() + SignedDuration::from_nanos(1);
        let time = now.saturating_add(self.ahead).map_or(least, |time| time.max(least));
        let (txs, heard_at): (Vec<_>, Vec<_>) = self
            .mempool
            .waiting()
            .iter()
            .map(|waiting| (waiting.tx.clone(), Some(waiting.heard_at)))
            .unzip();
        let mut ledger = self.ledger.clone();
        let results = ledger.apply(time, &txs);
        let mut block = StoredBlock::after(self.blocks.last(), chain_id, time, txs, results);
        block.heard_at = heard_at;
        self.journal.block(&line(&block))?;
        self.mempool.clear();
        for (tx, result) in block.txs.iter().zip(&block.results) {
            if result.code != 0 {
                self.mempool.forget(&tx::hash(tx));
            }
        }
        let header = block.header.clone();
        self.put(ledger, block);
        Ok(header)
    }

    /// Carries out a block of the journal again.
    fn replay(&mut self, chain_id: &str, line: BlockLine) -> Result<(), NodeError> {
        let BlockLine { height, time, txs: lines } = line;
        let heard_at = lines.iter().map(|line| line.heard_at).collect();
        let (codes, txs): (Vec<(String, u32)>, Vec<Vec<u8>>) =
            lines.into_iter().map(|line| ((line.hash, line.code), line.tx)).unzip();
        let mut ledger = self.ledger.clone();
        let results: Vec<TxResult> = ledger.apply(time, &txs);
        for ((hash, code), result) in codes.into_iter().zip(&results) {
            if result.code != code {
                return Err(NodeError::Diverged { height, hash });
            }
        }
        let mut block = StoredBlock::after(self.blocks.last(), chain_id, time, txs, results);
        block.heard_at = heard_at;
        self.put(ledger, block);
        Ok(())
    }

    fn put(&mut self, ledger: Ledger, block: StoredBlock) {
        for (place, tx) in block.txs.iter().enumerate() {
            self.places.insert(tx::hash(tx), (block.header.height, place));
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(ledger.snapshot());
        self.ledger = ledger;
        self.blocks.push(block);
    }
}
