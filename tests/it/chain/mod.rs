//! `chain` against a node that plays recorded answers back over HTTP.

mod blocks;
mod keys;
mod limits;
mod pool;
mod queries;
mod signer;
mod transactions;

use std::sync::{Arc, Mutex, Once};

use axum::{Json, Router, extract::State, routing::post};
use lessor::{
    chain::{Node, NodeSettings},
    wire::rpc::{Call, Request},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Answers a call with the whole JSON-RPC answer.
type Answer = Arc<dyn Fn(&Call) -> Value + Send + Sync>;

/// A node on a port of its own, with what it was asked.
struct Playback {
    node: Node,
    asked: Arc<Mutex<Vec<Call>>>,
}

impl Playback {
    fn asked(&self) -> Vec<Call> {
        self.asked.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Served {
    answer: Answer,
    asked: Arc<Mutex<Vec<Call>>>,
}

async fn rpc(State(served): State<Served>, Json(request): Json<Request>) -> Json<Value> {
    let call = Call::from_parts(&request.method, &request.params).unwrap();
    served.asked.lock().unwrap().push(call.clone());
    Json((served.answer)(&call))
}

/// Serves `router` on a free port of this machine, and gives its address.
async fn serve(router: Router) -> String {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().ok();
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

async fn playback(answer: impl Fn(&Call) -> Value + Send + Sync + 'static) -> Playback {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let served = Served { answer: Arc::new(answer), asked: asked.clone() };
    let url = serve(Router::new().route("/", post(rpc)).with_state(served)).await;
    Playback { node: Node::new(NodeSettings::new(url)).unwrap(), asked }
}

/// A node that answers everything with the same.
async fn always(answer: Value) -> Playback {
    playback(move |_| answer.clone()).await
}

/// A recorded query's answer as the node sent it.
fn query_answer(recorded: &Value) -> Value {
    let mut response = recorded["abci_response"].clone();
    response["value"] = recorded["abci_response_b64"].clone();
    json!({"jsonrpc": "2.0", "id": 1, "result": {"response": response}})
}
