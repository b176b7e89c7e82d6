//! A node whose blocks a test makes, a receiver whose answers a test chooses, and a relay between them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use jiff::Timestamp;
use lessor::{
    domain::Height,
    event::{
        BlockRef, BodyDigest, CloudEvent, EventIdentity, TxHash,
        envelope::{
            Payload,
            read::{Limits, Mode, parse},
        },
        key::{PrivateKey, SigningKey},
        link::{Link, Outcome},
        signature::{SignatureHeaders, StreamKey, TOLERANCE},
    },
    relay::{Clock, Relay, RelayError, Retry, Settings, SinkSettings},
    wire::rpc::{Call, Request, RpcError},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub(super) const NOW: i64 = 1_790_000_000;
const LONG: Duration = Duration::from_secs(30);

/// The bytes that a test's block is known by.
fn hash(text: &str) -> String {
    BodyDigest::of(text.as_bytes()).to_string().to_uppercase()
}

/// An event of the market as the chain writes it.
pub(super) fn order_created(dseq: u64) -> Value {
    let id = json!({"owner": "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww", "dseq": dseq.to_string(), "gseq": 1, "oseq": 1});
    json!({"type": "akash.market.v1.EventOrderCreated", "attributes": [
        {"key": "id", "value": id.to_string(), "index": true},
        {"key": "msg_index", "value": "0", "index": true},
    ]})
}

/// An event of the bank, as every transaction has some.
pub(super) fn coin_spent() -> Value {
    json!({"type": "coin_spent", "attributes": [{"key": "amount", "value": "1uakt", "index": true}]})
}

struct Chain {
    id: String,
    /// Block and results by height.
    blocks: BTreeMap<u64, (Value, Value)>,
    lowest: u64,
}

/// A node.
#[derive(Clone)]
pub(super) struct Node {
    chain: Arc<Mutex<Chain>>,
    news: watch::Sender<u64>,
    pub(super) url: reqwest::Url,
}

impl Node {
    /// A node without blocks, with or without a websocket.
    pub(super) async fn start(websocket: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let chain = Chain { id: "local".to_owned(), blocks: BTreeMap::new(), lowest: 1 };
        let node = Self { chain: Arc::new(Mutex::new(chain)), news: watch::Sender::new(0), url };
        let mut router = Router::new().route("/", post(answer));
        if websocket {
            router = router.route("/websocket", any(subscribe));
        }
        let served = axum::serve(listener, router.with_state(node.clone()));
        tokio::spawn(async move { served.await });
        node
    }

    /// Adds a block whose transactions made these events.
    pub(super) fn push(&self, txs: &[Vec<Value>]) {
        let height = {
            let mut chain = self.chain.lock().unwrap();
            let height = chain.blocks.keys().next_back().map_or(chain.lowest, |last| last + 1);
            let block = block(&chain.id, height, txs);
            chain.blocks.insert(height, block);
            height
        };
        self.news.send_replace(height);
    }

    /// Adds blocks; each number is how many orders were made in it, in one transaction.
    pub(super) fn push_orders(&self, counts: &[u64]) {
        for (i, count) in (0..).zip(counts) {
            let mut events = vec![coin_spent()];
            events.extend((0..*count).map(|n| order_created(1 + n + i * 10_000)));
            self.push(&if *count == 0 { vec![] } else { vec![events] });
        }
    }

    /// A block that a real node answered.
    pub(super) fn record(&self, height: u64, block: Value, results: Value) {
        self.chain.lock().unwrap().blocks.insert(height, (block, results));
    }

    /// Empty blocks wherever there is none, from 1 on.
    pub(super) fn fill(&self) {
        let mut chain = self.chain.lock().unwrap();
        let last = *chain.blocks.keys().next_back().unwrap();
        for height in 1..=last {
            let empty = block(&chain.id, height, &[]);
            chain.blocks.entry(height).or_insert(empty);
        }
    }

    /// From now on blocks below `lowest` are deleted.
    pub(super) fn prune(&self, lowest: u64) {
        self.chain.lock().unwrap().lowest = lowest;
    }

    /// Another chain of this name from the start.
    pub(super) fn reset(&self, id: &str) {
        let mut chain = self.chain.lock().unwrap();
        chain.blocks.clear();
        id.clone_into(&mut chain.id);
    }

    pub(super) fn tip(&self) -> u64 {
        self.chain.lock().unwrap().blocks.keys().next_back().copied().unwrap_or(0)
    }

    pub(super) fn block_ref(&self, height: u64) -> BlockRef {
        let chain = self.chain.lock().unwrap();
        let hash = chain.blocks[&height].0["block_id"]["hash"].as_str().unwrap().parse().unwrap();
        BlockRef { height: Height(height), hash }
    }
}

fn block(chain_id: &str, height: u64, txs: &[Vec<Value>]) -> (Value, Value) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let name = |height: u64| hash(&format!("{chain_id}/{height}"));
    let time = Timestamp::from_second(NOW + i64::try_from(height).unwrap()).unwrap();
    let bytes: Vec<String> =
        (0..txs.len()).map(|i| STANDARD.encode(format!("{chain_id}/{height}/{i}"))).collect();
    let results: Vec<Value> = txs
        .iter()
        .map(|events| json!({"code": 0, "data": null, "log": "", "info": "", "gas_wanted": "1", "gas_used": "1", "events": events, "codespace": ""}))
        .collect();
    let results = if results.is_empty() { Value::Null } else { Value::Array(results) };
    (
        json!({
            "block_id": {"hash": name(height), "parts": {"total": 1, "hash": ""}},
            "block": {
                "header": {"chain_id": chain_id, "height": height.to_string(), "time": time, "last_block_id": {"hash": name(height - 1), "parts": {}}},
                "data": {"txs": bytes}, "evidence": {"evidence": []}, "last_commit": {},
            },
        }),
        json!({"height": height.to_string(), "txs_results": results, "finalize_block_events": [
            {"type": "coin_spent", "attributes": [{"key": "mode", "value": "BeginBlock", "index": true}]},
        ], "validator_updates": null, "consensus_param_updates": null, "app_hash": ""}),
    )
}

async fn answer(State(node): State<Node>, Json(request): Json<Request>) -> Response {
    let answered = Call::from_parts(&request.method, &request.params)
        .and_then(|call| node.chain.lock().unwrap().answer(&call));
    match answered {
        Ok(result) => {
            Json(json!({"jsonrpc": "2.0", "id": request.id, "result": result})).into_response()
        }
        Err(error) => {
            let body = json!({"jsonrpc": "2.0", "id": request.id, "error": error});
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
    }
}

impl Chain {
    fn answer(&self, call: &Call) -> Result<Value, RpcError> {
        match call {
            Call::Status => {
                let (height, (block, _)) = self
                    .blocks
                    .last_key_value()
                    .ok_or_else(|| RpcError::internal("no block yet"))?;
                let time = &block["block"]["header"]["time"];
                Ok(json!({
                    "node_info": {"network": self.id},
                    "sync_info": {
                        "latest_block_hash": block["block_id"]["hash"], "latest_block_height": height.to_string(),
                        "latest_block_time": time, "earliest_block_hash": "", "earliest_block_height": self.lowest.to_string(),
                        "earliest_block_time": time, "catching_up": false,
                    },
                }))
            }
            Call::Block { height } => self.at(*height).map(|(block, _)| block.clone()),
            Call::BlockResults { height } => self.at(*height).map(|(_, results)| results.clone()),
            other => Err(RpcError::internal(format!("{} is not answered here", other.method()))),
        }
    }

    fn at(&self, height: Option<Height>) -> Result<&(Value, Value), RpcError> {
        let height = height.unwrap().0;
        if height < self.lowest {
            let lowest = self.lowest;
            return Err(RpcError::internal(format!(
                "height {height} is not available, lowest height is {lowest}"
            )));
        }
        self.blocks.get(&height).ok_or_else(|| {
            RpcError::internal(format!(
                "height {height} must be less than or equal to the current blockchain height"
            ))
        })
    }
}

async fn subscribe(State(node): State<Node>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| announce(socket, node))
}

async fn announce(mut socket: WebSocket, node: Node) {
    let mut news = node.news.subscribe();
    let Some(Ok(Message::Text(text))) = socket.recv().await else { return };
    assert!(text.contains("tm.event='NewBlockHeader'"), "{text}");
    let ack = json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string();
    let mut sent = socket.send(Message::text(ack)).await;
    while sent.is_ok() && news.changed().await.is_ok() {
        let height = news.borrow_and_update().to_string();
        sent = socket.send(Message::text(json!({"height": height}).to_string())).await;
    }
}

/// One request that a receiver got and believed.
#[derive(Clone)]
pub(super) struct Received {
    pub(super) id: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
    pub(super) status: u16,
    pub(super) events: Vec<CloudEvent>,
}

/// An answer that a test chose.
pub(super) struct Chosen(pub(super) u16, pub(super) &'static str, pub(super) Value);

/// A receiver: verifies every delivery, answers what it was told to (202 when nothing).
#[derive(Clone)]
pub(super) struct Receiver {
    inner: Arc<Mutex<Inbox>>,
    changed: watch::Sender<usize>,
    pub(super) url: reqwest::Url,
    pub(super) key: SigningKey,
}

#[derive(Default)]
struct Inbox {
    all: Vec<Received>,
    answers: VecDeque<Chosen>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self {
            inner: Arc::default(),
            changed: watch::Sender::new(0),
            url: format!("http://{address}/webhooks/s").parse().unwrap(),
            key: SigningKey::Private(PrivateKey::from_seed(&[5; 32])),
        };
        let router = Router::new().route("/webhooks/s", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// The next deliveries are answered so.
    pub(super) fn choose(&self, answers: impl IntoIterator<Item = Chosen>) {
        self.inner.lock().unwrap().answers.extend(answers);
    }

    /// Everything that came, answered 2xx or not.
    pub(super) fn all(&self) -> Vec<Received> {
        self.inner.lock().unwrap().all.clone()
    }

    /// What was taken.
    pub(super) fn taken(&self) -> Vec<Received> {
        self.all().into_iter().filter(|received| (200..300).contains(&received.status)).collect()
    }

    /// Waits until `reached`.
    pub(super) async fn until(&self, reached: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let waited = timeout(LONG, async {
            while !reached(self) {
                changed.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "waited in vain; {} deliveries came", self.all().len());
    }

    /// Waits until the stream's cursor is on this block.
    pub(super) async fn until_at(&self, at: BlockRef) {
        self.until(|receiver| receiver.link().cursor() == Some(at)).await;
    }

    /// The stream as its receiver sees it.
    pub(super) fn link(&self) -> Link {
        let mut link = Link::default();
        for event in self.taken().iter().flat_map(|received| &received.events) {
            if let Some(block) = event.block() {
                let outcome = link.receive(block);
                assert!(!matches!(outcome, Outcome::Conflict { .. }), "{outcome:?}");
            }
        }
        link
    }

    /// Every chain event that was taken, once.
    pub(super) fn identities(&self) -> BTreeSet<EventIdentity> {
        let taken = self.taken();
        let blocks = taken.iter().flat_map(|received| &received.events).filter_map(|e| e.block());
        blocks.flat_map(|block| block.events.iter().map(|event| block.identity(event))).collect()
    }

    pub(super) fn heartbeats(&self) -> usize {
        let taken = self.taken();
        let events = taken.iter().flat_map(|received| &received.events);
        events.filter(|event| matches!(event.payload, Payload::Heartbeat(_))).count()
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], Json<Value>) {
    let keys = [StreamKey {
        name: "key".to_owned(),
        key: receiver.key.verifying(),
        not_before: None,
        not_after: None,
    }];
    let now = Timestamp::from_second(NOW).unwrap();
    let signed = SignatureHeaders::parse(&headers).unwrap();
    let verified = signed.verify(&body, &keys, now, TOLERANCE).unwrap();
    let mode = Mode::of(&headers).unwrap();
    let events = parse(mode, &body, &Limits::default()).unwrap();
    let count = {
        let mut inner = receiver.inner.lock().unwrap();
        let Chosen(status, retry_after, answer) =
            inner.answers.pop_front().unwrap_or(Chosen(202, "0", json!({})));
        let signature = headers["webhook-signature"].to_str().unwrap().to_owned();
        let received = Received { id: verified.id, signature, body: body.to_vec(), status, events };
        inner.all.push(received);
        (inner.all.len(), status, retry_after, answer)
    };
    let (count, status, retry_after, answer) = count;
    receiver.changed.send_replace(count);
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("retry-after", retry_after)], Json(answer))
}

/// A clock that stands still.
pub(super) fn clock() -> Clock {
    Arc::new(|| Timestamp::from_second(NOW).unwrap())
}

/// Settings that are quick, for one receiver, without heartbeats after the first.
pub(super) fn settings(node: &Node, receiver: &Receiver, data: &Path) -> Settings {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Settings {
        sinks: vec![sink("s", receiver)],
        heartbeat: Duration::from_hours(1),
        poll: Duration::from_millis(5),
        retry: Retry {
            first: Duration::from_millis(1),
            most: Duration::from_millis(20),
            timeout: LONG,
        },
        ..Settings::new(node.url.clone(), data.to_owned())
    }
}

pub(super) fn sink(stream: &str, receiver: &Receiver) -> SinkSettings {
    SinkSettings {
        stream: stream.to_owned(),
        url: receiver.url.clone(),
        keys: vec![receiver.key.clone()],
    }
}

/// A relay that runs.
pub(super) struct Running {
    task: JoinHandle<Result<(), RelayError>>,
    stop: CancellationToken,
}

impl Running {
    pub(super) fn start(settings: Settings) -> Self {
        Self::of(Relay::open(settings, &clock()).unwrap())
    }

    pub(super) fn of(relay: Relay) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(relay.run(stop.clone()));
        Self { task, stop }
    }

    /// Ends it in an orderly way.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Drops it wherever it is.
    pub(super) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "it ended by itself");
    }

    /// Waits for it to end by itself.
    pub(super) async fn ended(self) -> Result<(), RelayError> {
        timeout(LONG, self.task).await.unwrap().unwrap()
    }
}

/// The hash of the transaction that a test's block has at `index`.
pub(super) fn tx_hash(height: u64, index: usize) -> TxHash {
    TxHash::of(format!("local/{height}/{index}").as_bytes())
}
