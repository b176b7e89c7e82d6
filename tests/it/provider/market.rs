//! The chain of the tests: the development ledger, a mempool, blocks that are made when the test says, and an eye on
//! every transaction that is broadcast.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use lessor::{
    chain::broadcast::classify,
    devnet::{
        genesis::{ACCOUNTS, CHAIN_ID, Genesis, test_key},
        ledger::{Ledger, Refusal, Snapshot},
    },
    domain::{
        Address, Bid, BidId, BidState, CloseReason, Deployment, DeploymentId, GroupState, Height,
        Lease, LeaseId, LeaseState, Order, OrderId, OrderState, Price,
    },
    event::{
        envelope::{BlockEvent, BlockRef},
        extract,
        hash::BlockHash,
    },
    provider::port::Broadcast,
    wire::{
        Paged, Query, deployment,
        google::Any,
        key::SecretKey,
        market::{self, MsgCloseBid, MsgCreateBid},
        rpc::answer::{Block, BlockResults, BroadcastTx, NOT_FOUND, TxResult},
        tx::{self, Draft, Sequencing, Tx},
    },
};
use serde_json::json;

use super::fault::Faults;

/// How many states back a lagging node may be.
const HISTORY: usize = 4;
/// Of the market module: there is a bid of this provider already.
const BID_EXISTS: u32 = 21;

/// The account of that name.
pub(super) fn account(name: &str) -> usize {
    ACCOUNTS.iter().position(|(known, _)| *known == name).unwrap()
}

pub(super) fn address(name: &str) -> Address {
    ACCOUNTS[account(name)].1.parse().unwrap()
}

/// Its key; deriving one takes a while, so each is derived once.
pub(super) fn key(name: &str) -> SecretKey {
    static KEYS: std::sync::OnceLock<Vec<SecretKey>> = std::sync::OnceLock::new();
    let keys = KEYS.get_or_init(|| (0..6).map(|index| test_key(index).unwrap()).collect());
    keys[account(name)].clone()
}

/// A block of this chain; its hash is its height.
pub(super) fn block_ref(height: Height) -> BlockRef {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&height.0.to_be_bytes());
    BlockRef { height, hash: BlockHash(hash) }
}

/// A create-bid that was handed to a node.
#[derive(Debug)]
struct Sent {
    hash: String,
    until: Timestamp,
}

/// The earliest block that the node has.
#[derive(Debug, Clone)]
pub(super) struct FirstBlock {
    /// What the hashes of this chain's blocks are made of here.
    pub(super) chain: &'static str,
    pub(super) height: Height,
}

/// See the module.
pub(super) struct Market {
    pub(super) first_block: FirstBlock,
    pub(super) ledger: Ledger,
    history: VecDeque<(Snapshot, Timestamp)>,
    pub(super) mempool: Vec<Vec<u8>>,
    included: HashMap<String, (u64, TxResult)>,
    /// Blocks with events, linked as a stream sends them.
    pub(super) sent: Vec<BlockEvent>,
    creates: BTreeMap<OrderId, Vec<Sent>>,
    nonce: i64,
    /// How often a node was asked for state.
    pub(super) reads: u64,
    /// How many blocks were read again.
    pub(super) pulled: u64,
    pub(super) faults: Faults,
    /// From this height on the node's blocks have other hashes than the stream's.
    pub(super) other_from: Option<Height>,
    /// The node takes no unordered transactions.
    pub(super) ordered_only: bool,
    /// What simulations say is so much of a hundred of the truth.
    pub(super) gas_told: u64,
    /// What must never happen and did.
    pub(super) violations: Vec<String>,
    /// Told of each broadcast with the number of calls that its process has made.
    pub(super) on_broadcast: Option<Box<dyn FnMut(u64) + Send>>,
    provider: Address,
}

impl Market {
    pub(super) fn new(start: Timestamp, seed: u64) -> Self {
        let hosts = ["provider", "provider2"].map(|name| (account(name), "https://p:8443".into()));
        let ledger = Ledger::new(&Genesis::development(CHAIN_ID, start, &hosts));
        let mut market = Self {
            first_block: FirstBlock { chain: "00", height: Height(1) },
            ledger,
            history: VecDeque::new(),
            mempool: Vec::new(),
            included: HashMap::new(),
            sent: Vec::new(),
            creates: BTreeMap::new(),
            nonce: 0,
            reads: 0,
            pulled: 0,
            faults: Faults::new(seed),
            other_from: None,
            ordered_only: false,
            gas_told: 100,
            violations: Vec::new(),
            on_broadcast: None,
            provider: address("provider"),
        };
        market.block(SignedDuration::from_secs(6));
        market
    }

    // ------------------------------------------------------------------------------------------------------- blocks

    /// Makes a block so long after the last.
    pub(super) fn block(&mut self, after: SignedDuration) -> Height {
        let time = self.ledger.time().checked_add(after).unwrap();
        let mut left_out = Vec::new();
        let mut txs = Vec::new();
        for tx in std::mem::take(&mut self.mempool) {
            if self.faults.strikes("leave out", |rates| rates.left_out) {
                left_out.push(tx);
            } else {
                txs.push(tx);
            }
        }
        let results = self.ledger.apply(time, &txs);
        for (tx, result) in txs.iter().zip(&results) {
            let ours = Tx::decode(tx)
                .is_ok_and(|tx| tx.signer().is_ok_and(|(key, _)| *key.address() == self.provider));
            if ours && result.code == BID_EXISTS && result.codespace == "market" {
                self.violations.push(format!("a second bid reached a block: {}", result.log));
            }
            self.included.insert(tx::hash(tx), (self.ledger.height(), result.clone()));
        }
        self.mempool = left_out.into_iter().filter(|tx| self.ledger.check(tx).is_ok()).collect();
        self.history.push_back((self.ledger.snapshot(), time));
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        self.announce(&txs, results);
        Height(self.ledger.height())
    }

    fn announce(&mut self, txs: &[Vec<u8>], results: Vec<TxResult>) {
        let height = self.ledger.height();
        let at = block_ref(Height(height));
        let encoded: Vec<String> = txs.iter().map(|tx| data_encoding::BASE64.encode(tx)).collect();
        let block: Block = serde_json::from_value(json!({
            "block_id": { "hash": at.hash.to_string() },
            "block": {
                "header": {
                    "chain_id": CHAIN_ID, "height": height.to_string(), "time": self.ledger.time(),
                    "last_block_id": { "hash": "" },
                },
                "data": { "txs": encoded },
            },
        }))
        .unwrap();
        let results = BlockResults {
            height,
            txs_results: Some(results),
            finalize_block_events: Vec::new(),
            validator_updates: json!(null),
            consensus_param_updates: json!(null),
            app_hash: String::new(),
        };
        let events = extract::chain_events(&block, &results, extract::matters).unwrap();
        if !events.is_empty() {
            self.sent.push(BlockEvent {
                chain_id: CHAIN_ID.to_owned(),
                at,
                prev: self.sent.last().map(|before| before.at),
                cursor: None,
                complete: true,
                part: 0,
                parts: 1,
                events,
            });
        }
    }

    /// The newest state, or that of so many blocks before, and its block's time.
    pub(super) fn state(&self, back: usize) -> &(Snapshot, Timestamp) {
        let newest = self.history.len() - 1;
        &self.history[newest.saturating_sub(back)]
    }

    // ------------------------------------------------------------------------------------------------ transactions

    /// Signs messages as `who` and puts them into the mempool. Returns the hash.
    pub(super) fn send(&mut self, who: &str, messages: Vec<Any>) -> String {
        let key = key(who);
        self.nonce += 1;
        let timeout = self
            .ledger
            .time()
            .checked_add(SignedDuration::from_secs(300) + SignedDuration::from_nanos(self.nonce))
            .unwrap();
        let gas_limit = 4_000_000;
        let price = Price { denom: "uakt".parse().unwrap(), amount: "0.025".parse().unwrap() };
        let unsigned = Draft {
            messages,
            memo: String::new(),
            sequencing: Sequencing::Unordered { timeout },
            fee: vec![tx::fee(&price, gas_limit).unwrap()],
            gas_limit,
        }
        .unsigned(key.public_key());
        let signature = key.sign(&unsigned.sign_doc(CHAIN_ID, account(who) as u64));
        let bytes = unsigned.with_signature(&signature);
        self.ledger.check(&bytes).unwrap_or_else(|refusal| panic!("{who}: {refusal:?}"));
        let hash = tx::hash(&bytes);
        self.mempool.push(bytes);
        hash
    }

    /// Leases of ours are closed in one transaction, past everything that lessor knows.
    pub(super) fn close_as_provider(&mut self, leases: &[LeaseId], reason: CloseReason) {
        let messages =
            leases.iter().map(|lease| Any::pack(&MsgCloseBid::new(&lease.bid(), reason))).collect();
        self.send("provider", messages);
    }

    /// What became of a transaction in its block.
    pub(super) fn result(&self, hash: &str) -> Option<&(u64, TxResult)> {
        self.included.get(hash)
    }

    /// The provider hands a transaction to a node. `None` when the answer is lost.
    pub(super) fn take(&mut self, bytes: &[u8], newest_seen: Height) -> Option<Broadcast> {
        self.watch(bytes, newest_seen);
        if self.faults.strikes("lose before", |rates| rates.lost_before) {
            return None;
        }
        if self.faults.strikes("busy", |rates| rates.busy) {
            return Some(Broadcast::Busy("mempool is full".to_owned()));
        }
        if self.mempool.iter().any(|waiting| waiting == bytes) {
            return Some(Broadcast::Known);
        }
        if self.faults.strikes("swallow", |rates| rates.swallowed) {
            return Some(Broadcast::Accepted);
        }
        let refused = self.unordered_refusal(bytes);
        let answer = match refused.map_or_else(|| self.ledger.check(bytes), Err) {
            Ok(()) => {
                self.mempool.push(bytes.to_vec());
                Broadcast::Accepted
            }
            Err(refusal) => classify(&BroadcastTx {
                code: refusal.code,
                data: String::new(),
                log: refusal.log,
                codespace: refusal.codespace.to_owned(),
                hash: tx::hash(bytes),
            }),
        };
        if self.faults.strikes("lose after", |rates| rates.lost_after) {
            return None;
        }
        Some(answer)
    }

    /// What a node says that has unordered transactions switched off.
    pub(super) fn unordered_refusal(&self, bytes: &[u8]) -> Option<Refusal> {
        let is_unordered = Tx::decode(bytes).unwrap().body.unordered;
        (self.ordered_only && is_unordered).then(|| Refusal {
            codespace: "sdk",
            code: 37,
            log: "unordered transactions are not enabled: not supported".to_owned(),
        })
    }

    /// Writes down what must not be sent.
    fn watch(&mut self, bytes: &[u8], newest_seen: Height) {
        let tx = Tx::decode(bytes).unwrap();
        let hash = tx::hash(bytes);
        // One in order may land for as long as nobody has seen its last block: longer than any test here looks.
        let until = tx.body.timeout_timestamp.and_then(lessor::wire::google::Timestamp::to_time);
        let until = until.unwrap_or(Timestamp::MAX);
        for message in &tx.body.messages {
            if message.is::<MsgCreateBid>() {
                let bid: BidId = message.unpack::<MsgCreateBid>().unwrap().id.try_into().unwrap();
                self.watch_create(bid.order, hash.clone(), until);
            } else if message.is::<MsgCloseBid>() {
                self.watch_close(&message.unpack::<MsgCloseBid>().unwrap(), &hash, newest_seen);
            }
        }
    }

    fn watch_create(&mut self, order: OrderId, hash: String, until: Timestamp) {
        let now = self.ledger.time();
        let earlier = self.creates.entry(order.clone()).or_default();
        if earlier.iter().any(|sent| sent.hash == hash) {
            return;
        }
        for sent in &*earlier {
            match self.included.get(&sent.hash) {
                Some((_, result)) if result.code == 0 => self.violations.push(format!(
                    "a create-bid of {order} was sent although {} made a bid",
                    sent.hash
                )),
                None if sent.until > now => self.violations.push(format!(
                    "a create-bid of {order} was sent while {} can still land",
                    sent.hash
                )),
                _ => {}
            }
        }
        earlier.push(Sent { hash, until });
    }

    /// Closing a bid that is a lease ends the lease: nobody who has seen that may do it without a reason of its own.
    fn watch_close(&mut self, message: &MsgCloseBid, hash: &str, newest_seen: Height) {
        let id: BidId = message.id.clone().try_into().unwrap();
        let lease = self.lease(&id.lease());
        if self.included.contains_key(hash) {
            return;
        }
        if let Some(lease) = lease
            && lease.state.is_running()
            && lease.created_at <= newest_seen
            && message.reason != CloseReason::ManifestTimeout.number()
        {
            self.violations.push(format!(
                "{id} is closed at height {newest_seen}, a lease since {}",
                lease.created_at
            ));
        }
    }

    // ------------------------------------------------------------------------------------------------------- truths

    fn all<Q: Paged>(&self, request: Q) -> Vec<Q::Response> {
        pages(&self.state(0).0, request)
    }

    pub(super) fn lease(&self, id: &LeaseId) -> Option<Lease> {
        let leases = self.all(market::QueryLeasesRequest {
            filters: market::LeaseFilters {
                owner: id.order.owner().to_string(),
                dseq: id.order.dseq(),
                ..Default::default()
            },
            pagination: None,
        });
        leases
            .into_iter()
            .flat_map(|page| page.leases)
            .map(|answer| Lease::try_from(answer.lease).unwrap())
            .find(|lease| lease.id == *id)
    }

    pub(super) fn bids(&self, id: &DeploymentId) -> Vec<Bid> {
        let filters =
            market::BidFilters { owner: id.owner.to_string(), dseq: id.dseq, ..Default::default() };
        let pages = self.all(market::QueryBidsRequest { filters, pagination: None });
        pages
            .into_iter()
            .flat_map(|page| page.bids)
            .map(|answer| answer.bid.try_into().unwrap())
            .collect()
    }

    pub(super) fn bid(&self, order: &OrderId) -> Option<Bid> {
        let id = order.bid(&self.provider);
        self.bids(order.deployment()).into_iter().find(|bid| bid.id == id)
    }

    pub(super) fn orders(&self, state: Option<OrderState>) -> Vec<Order> {
        let filters = market::OrderFilters {
            state: state.map(|state| state.to_string()).unwrap_or_default(),
            ..Default::default()
        };
        let pages = self.all(market::QueryOrdersRequest { filters, pagination: None });
        pages
            .into_iter()
            .flat_map(|page| page.orders)
            .map(|order| order.try_into().unwrap())
            .collect()
    }

    fn deployment(&self, id: &DeploymentId) -> Option<Deployment> {
        let request = deployment::QueryDeploymentRequest { id: id.into() };
        ask(&self.state(0).0, &request).map(|answer| answer.try_into().unwrap())
    }

    /// Where the deployment's first group stands.
    pub(super) fn group_state(&self, id: &DeploymentId) -> Option<GroupState> {
        self.deployment(id)?.groups.first().map(|group| group.state)
    }

    /// The hash of the manifest that is wanted.
    pub(super) fn deployment_hash(&self, id: &DeploymentId) -> String {
        self.deployment(id).unwrap().hash
    }

    /// Orders with a bid of ours that is open.
    pub(super) fn own_open_bids(&self) -> Vec<OrderId> {
        let filters = market::BidFilters {
            provider: self.provider.to_string(),
            state: BidState::Open.to_string(),
            ..Default::default()
        };
        let pages = self.all(market::QueryBidsRequest { filters, pagination: None });
        pages
            .into_iter()
            .flat_map(|page| page.bids)
            .map(|answer| Bid::try_from(answer.bid).unwrap().id.order)
            .collect()
    }

    /// Our leases that run.
    pub(super) fn own_leases(&self) -> Vec<Lease> {
        let filters = market::LeaseFilters {
            provider: self.provider.to_string(),
            state: LeaseState::Active.to_string(),
            ..Default::default()
        };
        let pages = self.all(market::QueryLeasesRequest { filters, pagination: None });
        pages
            .into_iter()
            .flat_map(|page| page.leases)
            .map(|answer| answer.lease.try_into().unwrap())
            .collect()
    }
}

/// Asks one state; `None` when there is no such thing.
pub(super) fn ask<Q: Query>(state: &Snapshot, request: &Q) -> Option<Q::Response> {
    let answer = state.query(Q::PATH, &request.encode_to_vec());
    match answer.code {
        0 => Some(prost::Message::decode(answer.value.as_slice()).unwrap()),
        NOT_FOUND => None,
        code => panic!("{}: code {code}: {}", Q::PATH, answer.log),
    }
}

/// All pages of a list.
pub(super) fn pages<Q: Paged>(state: &Snapshot, mut request: Q) -> Vec<Q::Response> {
    let mut pages = Vec::new();
    let mut key = Vec::new();
    loop {
        request.set_page(key, 100);
        let Some(page) = ask(state, &request) else { return pages };
        key = Q::next_key(&page).to_vec();
        pages.push(page);
        if key.is_empty() {
            return pages;
        }
    }
}
