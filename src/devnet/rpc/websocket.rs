//! The websocket: calls as in a POST, and a message for each new block header. Owns the subscriptions of one client;
//! headers are the only thing to subscribe to here, while a real node has more.
//!
//! Every message of a subscription repeats the id of the call that subscribed, and the first is an empty answer.

use std::sync::Arc;

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{answer_request, envelope, to_json, unreadable};
use crate::{
    devnet::node::Node,
    wire::rpc::{
        self, NEW_BLOCK_HEADER, RpcError,
        answer::{Header, NewBlockHeader, NewBlockHeaderData, NewBlockHeaderValue},
    },
};

/// The largest message that is read, in bytes.
const MAX_MESSAGE: usize = 1_000_000;

pub(super) async fn upgrade(State(node): State<Node>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MAX_MESSAGE).on_upgrade(move |socket| serve(socket, node))
}

async fn serve(mut socket: WebSocket, node: Node) {
    let mut headers = node.headers();
    // The id of the call that subscribed.
    let mut subscribed: Option<Value> = None;
    loop {
        let answer = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => request(&node, &text, &mut subscribed),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // Pongs are sent by the library; binary messages mean nothing here.
                Some(Ok(_)) => continue,
            },
            header = headers.recv() => match (header, &subscribed) {
                (Ok(header), Some(id)) => envelope(id.clone(), to_json(event(&header))),
                (Ok(_), None) => continue,
                // Too slow: a real node cuts such a client off too.
                (Err(RecvError::Lagged(_) | RecvError::Closed), _) => return,
            },
        };
        let Ok(text) = serde_json::to_string(&answer) else { return };
        if socket.send(Message::text(text)).await.is_err() {
            return;
        }
    }
}

fn request(node: &Node, text: &str, subscribed: &mut Option<Value>) -> rpc::Response<Value> {
    let request: Value = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(why) => return rpc::Response::refused(Value::Null, unreadable(why)),
    };
    let id = request["id"].clone();
    let query = request["params"]["query"].as_str();
    let outcome = match request["method"].as_str() {
        Some("subscribe") if query != Some(NEW_BLOCK_HEADER) => {
            Err(RpcError::internal("failed to parse query: only new block headers are told here"))
        }
        Some("subscribe") if subscribed.is_some() => Err(RpcError::internal("already subscribed")),
        Some("subscribe") => {
            *subscribed = Some(id.clone());
            Ok(json!({}))
        }
        Some("unsubscribe") if subscribed.is_none() || query != Some(NEW_BLOCK_HEADER) => {
            Err(RpcError::internal("subscription not found"))
        }
        Some("unsubscribe" | "unsubscribe_all") => {
            *subscribed = None;
            Ok(json!({}))
        }
        _ => return answer_request(node, request),
    };
    envelope(id, outcome)
}

fn event(header: &Arc<Header>) -> NewBlockHeader {
    NewBlockHeader {
        query: NEW_BLOCK_HEADER.to_owned(),
        data: Some(NewBlockHeaderData {
            r#type: "tendermint/event/NewBlockHeader".to_owned(),
            value: NewBlockHeaderValue { header: Header::clone(header) },
        }),
        events: json!({ "tm.event": ["NewBlockHeader"] }),
    }
}
