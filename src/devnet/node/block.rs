//! Blocks as they are kept and as a node answers them. Owns the hashes: they chain as real ones do, but they are plain
//! SHA-256 over the header's fields and not Merkle roots, and nobody signs them.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::wire::{
    rpc::answer::{
        Block, BlockContent, BlockId, BlockResults, BlockTxs, Header, NodeInfo, Status, SyncInfo,
        TxResult,
    },
    text::{to_base64, to_hex, to_upper_hex},
};

/// The CometBFT version whose answers the node imitates.
const VERSION: &str = "0.38.21";
/// The hash of nothing, which empty lists have.
const EMPTY_HASH: &str = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";

/// A block and what its transactions answered.
#[derive(Debug)]
pub(super) struct StoredBlock {
    pub(super) header: Header,
    /// Upper-case hex.
    pub(super) hash: String,
    pub(super) txs: Vec<Vec<u8>>,
    pub(super) results: Vec<TxResult>,
    /// When each transaction was let in; for the journal alone.
    pub(super) heard_at: Vec<Option<Timestamp>>,
    /// The application's hash after the block.
    app_hash: [u8; 32],
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn named_hash(chain_id: &str, what: &str) -> String {
    to_upper_hex(&digest(&[chain_id.as_bytes(), what.as_bytes()]))
}

impl StoredBlock {
    /// The block after `last`, with what its transactions answered.
    pub(super) fn after(
        last: Option<&Self>,
        chain_id: &str,
        time: Timestamp,
        txs: Vec<Vec<u8>>,
        results: Vec<TxResult>,
    ) -> Self {
        let height = last.map_or(1, |last| last.header.height + 1);
        let hashes: Vec<u8> = txs.iter().flat_map(Sha256::digest).collect();
        let app_hash = last.map(|last| to_upper_hex(&last.app_hash));
        let header = Header {
            version: json!({ "block": "11" }),
            chain_id: chain_id.to_owned(),
            height,
            time,
            last_block_id: BlockId {
                hash: last.map(|last| last.hash.clone()).unwrap_or_default(),
                parts: json!({ "total": i32::from(last.is_some()), "hash": last.map_or("", |last| &last.hash) }),
            },
            last_commit_hash: last.map_or_else(|| EMPTY_HASH.to_owned(), |last| last.hash.clone()),
            data_hash: to_upper_hex(&Sha256::digest(&hashes)),
            validators_hash: named_hash(chain_id, "validators"),
            next_validators_hash: named_hash(chain_id, "validators"),
            consensus_hash: named_hash(chain_id, "consensus"),
            app_hash: app_hash.unwrap_or_else(|| EMPTY_HASH.to_owned()),
            last_results_hash: EMPTY_HASH.to_owned(),
            evidence_hash: EMPTY_HASH.to_owned(),
            proposer_address: proposer(chain_id),
        };
        let hash = to_upper_hex(&digest(&[
            chain_id.as_bytes(),
            &height.to_be_bytes(),
            time.to_string().as_bytes(),
            header.last_block_id.hash.as_bytes(),
            header.data_hash.as_bytes(),
            header.app_hash.as_bytes(),
        ]));
        let codes: Vec<u8> = results.iter().flat_map(|result| result.code.to_be_bytes()).collect();
        let app_hash = digest(&[header.app_hash.as_bytes(), &hashes, &codes]);
        let heard_at = vec![None; txs.len()];
        Self { header, hash, txs, results, heard_at, app_hash }
    }

    fn id(&self) -> BlockId {
        BlockId { hash: self.hash.clone(), parts: json!({ "total": 1, "hash": self.hash }) }
    }

    /// The answer to `block`.
    pub(super) fn answer(&self) -> Block {
        let header = &self.header;
        Block {
            block_id: self.id(),
            block: BlockContent {
                header: header.clone(),
                data: BlockTxs { txs: self.txs.clone() },
                evidence: json!({ "evidence": [] }),
                last_commit: json!({
                    "height": (header.height - 1).to_string(),
                    "round": 0,
                    "block_id": header.last_block_id,
                    "signatures": [],
                }),
            },
        }
    }

    /// The answer to `block_results`.
    pub(super) fn results(&self) -> BlockResults {
        BlockResults {
            height: self.header.height,
            txs_results: (!self.results.is_empty()).then(|| self.results.clone()),
            finalize_block_events: Vec::new(),
            validator_updates: Value::Null,
            consensus_param_updates: json!({
                "block": { "max_bytes": "22020096", "max_gas": "-1" },
                "evidence": {
                    "max_age_num_blocks": "100000",
                    "max_age_duration": "172800000000000",
                    "max_bytes": "1048576",
                },
                "validator": { "pub_key_types": ["ed25519"] },
                "version": {},
                "abci": {},
            }),
            app_hash: to_base64(&self.app_hash),
        }
    }
}

fn proposer(chain_id: &str) -> String {
    to_upper_hex(&digest(&[chain_id.as_bytes(), b"proposer"])[..20])
}

/// The answer to `status`.
pub(super) fn status(first: &StoredBlock, newest: &StoredBlock) -> Status {
    let header = &newest.header;
    let chain_id = &header.chain_id;
    Status {
        node_info: NodeInfo {
            protocol_version: json!({ "p2p": "8", "block": "11", "app": "0" }),
            id: to_hex(&digest(&[chain_id.as_bytes(), b"node"])[..20]),
            listen_addr: String::new(),
            network: chain_id.clone(),
            version: VERSION.to_owned(),
            channels: String::new(),
            moniker: "lessor-devnet".to_owned(),
            other: json!({ "tx_index": "on", "rpc_address": "" }),
        },
        sync_info: SyncInfo {
            latest_block_hash: newest.hash.clone(),
            latest_app_hash: header.app_hash.clone(),
            latest_block_height: header.height,
            latest_block_time: header.time,
            earliest_block_hash: first.hash.clone(),
            earliest_app_hash: first.header.app_hash.clone(),
            earliest_block_height: first.header.height,
            earliest_block_time: first.header.time,
            catching_up: false,
        },
        validator_info: json!({ "address": proposer(chain_id), "pub_key": null, "voting_power": "0" }),
    }
}
