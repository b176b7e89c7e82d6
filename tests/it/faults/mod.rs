//! A proxy in front of a node that does to its answers what networks and real nodes do. Owns the faults and when they strike;
//! what a node answers else is its own.
//!
//! `Proxy::before(url)` gives an address to use in the node's place. Rules are looked at in their order, the first that fits a
//! call strikes; none is left when it has struck as often as it may.

mod schedules;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lessor::wire::tx;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::support::install_tls;

/// What happens to an answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It comes later.
    Latency(Duration),
    /// The connection is reset before it.
    Reset,
    /// It never comes, and the connection stays open.
    HalfOpen,
    /// It ends in the middle.
    Truncated,
    /// A proxy's page without JSON.
    Gateway,
    /// It is as of so many blocks ago; so is the node's newest block.
    Stale(u64),
    /// The node says that it is on this chain.
    WrongChain(&'static str),
    /// The node says that it still fetches old blocks.
    CatchingUp,
    /// This `result` comes in its place; the node is not asked.
    Result(Value),
    /// This JSON-RPC error (`data`) comes in its place; the node is not asked.
    Error(&'static str),
    /// The transaction is said to be in the mempool, and the node never sees it: its block never comes.
    Swallow,
    /// The transaction is handed on, and the answer is lost.
    LoseAnswer,
}

impl Fault {
    /// The mempool's check refuses the transaction.
    pub(crate) fn refused(codespace: &str, code: u32, log: &str) -> Self {
        Self::Result(json!({
            "code": code, "data": "", "log": log, "codespace": codespace, "hash": "0".repeat(64),
        }))
    }

    /// Code 32: the account is at sequence `expected`.
    pub(crate) fn wrong_sequence(expected: u64, got: u64) -> Self {
        let log = format!(
            "account sequence mismatch, expected {expected}, got {got}: incorrect account sequence"
        );
        Self::refused("sdk", 32, &log)
    }

    /// The mempool takes no more.
    pub(crate) fn mempool_full() -> Self {
        Self::Error("mempool is full: number of txs 5000 (max: 5000), total txs bytes 1 (max: 2)")
    }

    /// The node had these bytes before.
    pub(crate) fn in_cache() -> Self {
        Self::Error("tx already exists in cache")
    }

    /// The simulation runs and fails.
    pub(crate) fn simulation_fails(reason: &str) -> Self {
        let log = format!(
            "rpc error: code = Unknown desc = {reason} [baseapp/baseapp.go:1052] with gas used: '33933': \
             unknown request"
        );
        Self::Result(json!({"response": {
            "code": 6, "log": log, "info": "", "index": "0", "key": null, "value": null,
            "proofOps": null, "height": "1", "codespace": "sdk",
        }}))
    }
}

/// When a fault strikes.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    method: Option<&'static str>,
    path: Option<&'static str>,
    left: usize,
    fault: Fault,
}

impl Rule {
    /// Strikes every call, for ever.
    pub(crate) fn always(fault: Fault) -> Self {
        Self { method: None, path: None, left: usize::MAX, fault }
    }

    /// Strikes the calls of one JSON-RPC method.
    pub(crate) fn on(method: &'static str, fault: Fault) -> Self {
        Self { method: Some(method), ..Self::always(fault) }
    }

    /// Strikes the queries whose path has `part` in it (`Simulate`, `Orders`).
    pub(crate) fn on_query(part: &'static str, fault: Fault) -> Self {
        Self { path: Some(part), ..Self::on("abci_query", fault) }
    }

    /// Strikes so often only.
    pub(crate) fn times(self, left: usize) -> Self {
        Self { left, ..self }
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        self.left > 0
            && self.method.is_none_or(|wanted| wanted == method)
            && self.path.is_none_or(|wanted| path.contains(wanted))
    }
}

/// A proxy on a port of its own. It ends with the test.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    node: String,
    http: reqwest::Client,
    rules: Mutex<Vec<Rule>>,
    asked: Mutex<BTreeMap<String, usize>>,
    /// Transactions that were handed to the proxy, whether or not the node saw them.
    transactions: Mutex<Vec<String>>,
    changed: Notify,
}

impl Proxy {
    /// A proxy without faults before the node at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            node: url.to_owned(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap(),
            rules: Mutex::default(),
            asked: Mutex::default(),
            transactions: Mutex::default(),
            changed: Notify::new(),
        });
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&served);
                // A client that goes away ends its own connection only.
                tokio::spawn(async move { shared.serve(stream).await.unwrap_or_default() });
            }
        });
        Self { url, shared }
    }

    /// These faults from now on, and no others. What hangs because of an earlier one goes on.
    pub(crate) fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        *self.shared.rules.lock().unwrap() = rules.into_iter().collect();
        self.shared.changed.notify_waiters();
    }

    /// No faults any more.
    pub(crate) fn heal(&self) {
        self.set([]);
    }

    /// How often a method was called, `abci_query` by its path.
    pub(crate) fn asked(&self, method: &str) -> usize {
        self.shared.asked.lock().unwrap().get(method).copied().unwrap_or(0)
    }

    /// How often anything was called.
    pub(crate) fn calls(&self) -> usize {
        self.shared.asked.lock().unwrap().values().sum()
    }

    /// The hashes of the transactions that were handed over, in their order.
    pub(crate) fn transactions(&self) -> Vec<String> {
        self.shared.transactions.lock().unwrap().clone()
    }
}

/// An HTTP request as far as it matters here.
struct Request {
    line: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Request { line, head, body }))
}

async fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

impl Shared {
    fn strikes(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.fits(method, path))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        while let Some(request) = read(&mut stream).await? {
            if request.line.contains("/websocket") {
                return self.tunnel(stream, request).await;
            }
            let call: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let method = call["method"].as_str().unwrap_or("get").to_owned();
            let path = call.pointer("/params/path").and_then(Value::as_str).unwrap_or_default();
            let fault = self.strikes(&method, path);
            self.count(&method, path, &call);
            match fault {
                Some(Fault::Reset) => {
                    // Without lingering, closing is a reset.
                    stream.set_zero_linger()?;
                    return Ok(());
                }
                Some(Fault::HalfOpen) => {
                    self.changed.notified().await;
                    return Ok(());
                }
                Some(Fault::Truncated) => {
                    let body = self.forward(&call).await.to_string().into_bytes();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(head.as_bytes()).await?;
                    stream.write_all(&body[..body.len() / 2]).await?;
                    return Ok(());
                }
                Some(Fault::Gateway) => {
                    answer(&mut stream, "502 Bad Gateway", b"<html>bad gateway</html>").await?;
                }
                Some(Fault::LoseAnswer) => {
                    self.forward(&call).await;
                    return Ok(());
                }
                fault => {
                    let body = self.answer_to(&call, fault).await.to_string();
                    answer(&mut stream, "200 OK", body.as_bytes()).await?;
                }
            }
        }
        Ok(())
    }

    fn count(&self, method: &str, path: &str, call: &Value) {
        let name = if path.is_empty() { method } else { path };
        *self.asked.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        if method == "broadcast_tx_sync" {
            self.transactions.lock().unwrap().push(hash(call));
        }
    }

    async fn answer_to(&self, call: &Value, fault: Option<Fault>) -> Value {
        let result = |result: Value| json!({"jsonrpc": "2.0", "id": call["id"], "result": result});
        match fault {
            Some(Fault::Latency(span)) => {
                tokio::time::sleep(span).await;
                self.forward(call).await
            }
            Some(Fault::Result(found)) => result(found),
            Some(Fault::Error(data)) => {
                let error = json!({"code": -32603, "message": "Internal error", "data": data});
                json!({"jsonrpc": "2.0", "id": call["id"], "error": error})
            }
            Some(Fault::Swallow) => result(json!({
                "code": 0, "data": "", "log": "", "codespace": "", "hash": hash(call),
            })),
            Some(Fault::WrongChain(chain)) => {
                let mut found = self.forward(call).await;
                set(&mut found, "/result/node_info/network", json!(chain));
                found
            }
            Some(Fault::CatchingUp) => {
                let mut found = self.forward(call).await;
                set(&mut found, "/result/sync_info/catching_up", json!(true));
                found
            }
            Some(Fault::Stale(blocks)) => self.as_of(call, blocks).await,
            _ => self.forward(call).await,
        }
    }

    /// What the node would have answered so many blocks ago.
    async fn as_of(&self, call: &Value, blocks: u64) -> Value {
        let status = json!({"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}});
        let newest = "/result/sync_info/latest_block_height";
        let mut found = self.forward(&status).await;
        let tip: u64 = found.pointer(newest).unwrap().as_str().unwrap().parse().unwrap();
        let then = tip.saturating_sub(blocks).max(1).to_string();
        if call["method"] == "status" {
            set(&mut found, newest, json!(then));
            found["id"] = call["id"].clone();
            return found;
        }
        let mut call = call.clone();
        set(&mut call, "/params/height", json!(then));
        self.forward(&call).await
    }

    async fn forward(&self, call: &Value) -> Value {
        let sent = self.http.post(&self.node).json(call).send().await;
        let Ok(answer) = sent else { return json!({}) };
        answer.json().await.unwrap_or_default()
    }

    async fn tunnel(&self, mut stream: TcpStream, request: Request) -> std::io::Result<()> {
        if matches!(self.strikes("websocket", ""), Some(Fault::Reset | Fault::HalfOpen)) {
            return Ok(());
        }
        let mut node = TcpStream::connect(self.node.trim_start_matches("http://")).await?;
        node.write_all(&request.head).await?;
        tokio::io::copy_bidirectional(&mut stream, &mut node).await.map(drop)
    }
}

fn set(value: &mut Value, pointer: &str, to: Value) {
    if let Some(found) = value.pointer_mut(pointer) {
        *found = to;
    }
}

fn hash(call: &Value) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let bytes = call.pointer("/params/tx").and_then(Value::as_str).unwrap_or_default();
    tx::hash(&STANDARD.decode(bytes).unwrap())
}
