//! How calls arrive at the node: JSON-RPC by POST (also several in one body), the same calls by GET, and the websocket.
//! Owns the envelope and the limits; the answers are [`super::node`]'s.
//!
//! In a GET, texts stand in quotes (`path="/akash…"`) and bytes are hex after `0x`; a number may have quotes or not.

mod websocket;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::node::Node;
use crate::wire::{
    rpc::{self, Call, Request, RpcError},
    text::{from_hex, to_base64},
};

/// The largest body, in bytes.
const MAX_BODY: usize = 1_000_000;
/// The most calls in one body.
const MAX_BATCH: usize = 10;
/// The id of an answer to a GET.
const GET_ID: i64 = -1;

/// The routes of the node.
pub(super) fn router(node: Node) -> Router {
    Router::new()
        .route("/", post(post_calls).get(list_methods))
        .route("/websocket", get(websocket::upgrade))
        .route("/{method}", get(get_call))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(node)
}

/// Answers one call.
fn answer(node: &Node, method: &str, params: &Map<String, Value>) -> Result<Value, RpcError> {
    if method == "health" {
        return Ok(json!({}));
    }
    match Call::from_parts(method, params)? {
        Call::Status => {
            node.status().ok_or_else(|| RpcError::internal("no block yet")).and_then(to_json)
        }
        Call::AbciQuery { path, data, height } => to_json(node.abci_query(&path, &data, height)),
        Call::BroadcastTxSync { tx } => node.broadcast(tx).and_then(to_json),
        Call::Tx { hash } => node.tx(&hash).and_then(to_json),
        Call::Block { height } => node.block(height).and_then(to_json),
        Call::BlockResults { height } => node.block_results(height).and_then(to_json),
        Call::Subscribe { .. } => Err(RpcError::internal("subscriptions need the websocket")),
    }
}

fn to_json(answer: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(answer).map_err(|error| RpcError::internal(error.to_string()))
}

fn envelope(id: Value, outcome: Result<Value, RpcError>) -> rpc::Response<Value> {
    match outcome {
        Ok(result) => rpc::Response::ok(id, result),
        Err(error) => rpc::Response::refused(id, error),
    }
}

fn error(code: i64, message: &str, data: impl Into<String>) -> RpcError {
    RpcError { code, message: message.to_owned(), data: data.into() }
}

fn unreadable(why: impl std::fmt::Display) -> RpcError {
    error(-32700, "Parse error. Invalid JSON", format!("error unmarshaling request: {why}"))
}

/// Answers one request of a body or of the websocket.
fn answer_request(node: &Node, request: Value) -> rpc::Response<Value> {
    match serde_json::from_value::<Request>(request) {
        Ok(request) => {
            let outcome = answer(node, &request.method, &request.params);
            envelope(request.id, outcome)
        }
        Err(why) => rpc::Response::refused(Value::Null, unreadable(why)),
    }
}

async fn post_calls(State(node): State<Node>, body: Result<Bytes, BytesRejection>) -> Response {
    let Ok(body) = body else {
        let why = "error reading request body: http: request body too large";
        return refuse(error(-32600, "Invalid Request", why));
    };
    let outcome = match serde_json::from_slice(&body) {
        Ok(Value::Array(requests)) if requests.len() > MAX_BATCH => {
            let why = format!("batch of {} requests, allowed are {MAX_BATCH}", requests.len());
            return refuse(error(-32600, "Invalid Request", why));
        }
        Ok(Value::Array(requests)) => {
            let answers: Vec<_> =
                requests.into_iter().map(|request| answer_request(&node, request)).collect();
            return axum::Json(answers).into_response();
        }
        Ok(request) => answer_request(&node, request),
        Err(why) => return refuse(unreadable(why)),
    };
    axum::Json(outcome).into_response()
}

fn refuse(error: RpcError) -> Response {
    let body = rpc::Response::<Value>::refused(Value::Null, error);
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

async fn list_methods() -> &'static str {
    "status, health, abci_query, broadcast_tx_sync, tx, block, block_results, websocket\n"
}

async fn get_call(
    State(node): State<Node>,
    Path(method): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let outcome = match get_params(pairs) {
        Ok(params) => answer(&node, &method, &params),
        Err(why) => Err(error(rpc::INVALID_PARAMS, "Invalid params", why)),
    };
    let status = if outcome.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, axum::Json(envelope(json!(GET_ID), outcome))).into_response()
}

/// The parameters of a GET as a POST has them.
fn get_params(pairs: Vec<(String, String)>) -> Result<Map<String, Value>, String> {
    let mut params = Map::new();
    for (name, value) in pairs {
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let value = match (name.as_str(), value.strip_prefix("0x")) {
            ("prove", _) => continue,
            // A POST has the query's bytes in hex and all others in base64.
            ("data", Some(hex)) => hex.to_owned(),
            (_, Some(hex)) => {
                let bytes = from_hex(hex).ok_or_else(|| format!("{name:?} is no hex after 0x"))?;
                to_base64(&bytes)
            }
            (_, None) => text.map_or_else(|| value.clone(), ToOwned::to_owned),
        };
        params.insert(name, Value::String(value));
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Map<String, Value> {
        let uri = format!("/method?{query}").parse().unwrap();
        get_params(Query::try_from_uri(&uri).unwrap().0).unwrap()
    }

    #[test]
    fn a_get_says_the_same_as_a_post() {
        let params_of_query =
            params("path=%22/a.Query/B%22&data=0x0a01&height=%225%22&prove=false");
        assert_eq!(
            Call::from_parts("abci_query", &params_of_query),
            Ok(Call::AbciQuery {
                path: "/a.Query/B".to_owned(),
                data: vec![10, 1],
                height: crate::domain::Height(5)
            })
        );
        assert_eq!(
            Call::from_parts("tx", &params("hash=0xFF00&prove=true")),
            Ok(Call::Tx { hash: vec![255, 0] })
        );
        assert_eq!(
            Call::from_parts("block", &params("height=7")),
            Ok(Call::Block { height: Some(crate::domain::Height(7)) })
        );
    }
}
