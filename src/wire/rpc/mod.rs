//! CometBFT's JSON-RPC, as far as lessor uses it: the calls with their parameters, the envelope of an answer, and its
//! errors. What the answers hold is in [`answer`]. Pure: sending is [`crate::chain`]'s and the relay's, answering the
//! development ledger's.
//!
//! A call is told apart from another only by `id`; a node answers a subscription, and then every event of it, with
//! the id of the call that subscribed.

pub mod answer;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    Query,
    text::{from_base64, from_hex, to_base64, to_hex},
};
use crate::domain::Height;

/// The websocket's query for one message a block.
pub const NEW_BLOCK_HEADER: &str = "tm.event='NewBlockHeader'";

/// JSON-RPC's number for a method that does not exist.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC's number for wrong parameters.
pub const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC's number for everything that went wrong inside the node; its `data` says what.
pub const INTERNAL_ERROR: i64 = -32603;

/// One call of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The node, its chain and its newest block.
    Status,
    /// A query of the application.
    AbciQuery {
        /// `/<package>.Query/<Method>`.
        path: String,
        /// The request in protobuf.
        data: Vec<u8>,
        /// The state after this block; 0 for the newest.
        height: Height,
    },
    /// Hands a transaction to the mempool and waits for its answer.
    BroadcastTxSync {
        /// The transaction.
        tx: Vec<u8>,
    },
    /// A transaction that is in a block.
    Tx {
        /// SHA-256 of the transaction.
        hash: Vec<u8>,
    },
    /// A block; none means the newest.
    Block {
        /// Which.
        height: Option<Height>,
    },
    /// What a block's transactions answered and which events they made; none means the newest.
    BlockResults {
        /// Which.
        height: Option<Height>,
    },
    /// Messages over the websocket from now on.
    Subscribe {
        /// Which, such as [`NEW_BLOCK_HEADER`].
        query: String,
    },
}

impl Call {
    /// The query that `request` is, for the state after `height` (0 for the newest).
    pub fn query<Q: Query>(request: &Q, height: Height) -> Self {
        Self::AbciQuery { path: Q::PATH.to_owned(), data: request.encode_to_vec(), height }
    }

    /// The method's name.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::AbciQuery { .. } => "abci_query",
            Self::BroadcastTxSync { .. } => "broadcast_tx_sync",
            Self::Tx { .. } => "tx",
            Self::Block { .. } => "block",
            Self::BlockResults { .. } => "block_results",
            Self::Subscribe { .. } => "subscribe",
        }
    }

    fn params(&self) -> Value {
        let at = |height: &Option<Height>| match height {
            Some(height) => json!({ "height": height.to_string() }),
            None => json!({}),
        };
        match self {
            Self::Status => json!({}),
            Self::AbciQuery { path, data, height } => json!({
                "path": path, "data": to_hex(data), "height": height.to_string(), "prove": false,
            }),
            Self::BroadcastTxSync { tx } => json!({ "tx": to_base64(tx) }),
            Self::Tx { hash } => json!({ "hash": to_base64(hash), "prove": false }),
            Self::Block { height } | Self::BlockResults { height } => at(height),
            Self::Subscribe { query } => json!({ "query": query }),
        }
    }

    /// The body to send.
    #[must_use]
    pub fn to_json(&self, id: u64) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": self.method(), "params": self.params() })
    }

    /// Reads a call as a node does, from its method and its named parameters.
    ///
    /// # Errors
    /// The [`RpcError`] that a node answers: an unknown method, a parameter that is missing or of another form.
    pub fn from_parts(method: &str, params: &Map<String, Value>) -> Result<Self, RpcError> {
        Ok(match method {
            "status" => Self::Status,
            "abci_query" => Self::AbciQuery {
                path: text(params, "path")?.to_owned(),
                data: bytes(params, "data", from_hex)?,
                height: height(params)?.unwrap_or_default(),
            },
            "broadcast_tx_sync" => Self::BroadcastTxSync { tx: bytes(params, "tx", from_base64)? },
            "tx" => Self::Tx { hash: bytes(params, "hash", from_base64)? },
            "block" => Self::Block { height: height(params)? },
            "block_results" => Self::BlockResults { height: height(params)? },
            "subscribe" => Self::Subscribe { query: text(params, "query")?.to_owned() },
            _ => return Err(RpcError::method_not_found()),
        })
    }
}

fn text<'a>(params: &'a Map<String, Value>, name: &str) -> Result<&'a str, RpcError> {
    match params.get(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(RpcError::invalid_params(format!("parameter {name:?} is not a string"))),
    }
}

fn bytes(
    params: &Map<String, Value>,
    name: &str,
    decode: fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, RpcError> {
    decode(text(params, name)?)
        .ok_or_else(|| RpcError::invalid_params(format!("parameter {name:?} does not decode")))
}

fn height(params: &Map<String, Value>) -> Result<Option<Height>, RpcError> {
    let found = match params.get("height") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
    };
    found.map(|height| Some(Height(height))).ok_or_else(|| {
        RpcError::invalid_params("parameter \"height\" is not a whole number".to_owned())
    })
}

/// A call as it arrives at a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What the answer repeats.
    #[serde(default)]
    pub id: Value,
    /// See [`Call::method`].
    pub method: String,
    /// By name.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// A node's error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("node error {code}: {message}{}{data}", if .data.is_empty() { "" } else { ": " })]
pub struct RpcError {
    /// JSON-RPC's number, such as [`INTERNAL_ERROR`].
    pub code: i64,
    /// What the number means.
    pub message: String,
    /// What happened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
}

impl RpcError {
    /// Something went wrong inside the node.
    pub fn internal(data: impl Into<String>) -> Self {
        Self { code: INTERNAL_ERROR, message: "Internal error".to_owned(), data: data.into() }
    }

    fn method_not_found() -> Self {
        Self { code: METHOD_NOT_FOUND, message: "Method not found".to_owned(), data: String::new() }
    }

    fn invalid_params(data: String) -> Self {
        Self { code: INVALID_PARAMS, message: "Invalid params".to_owned(), data }
    }

    /// The node has seen these transaction bytes already.
    #[must_use]
    pub fn is_known_transaction(&self) -> bool {
        self.data.contains("tx already exists in cache")
    }

    /// The node has no such transaction (or has not indexed it yet).
    #[must_use]
    pub fn is_unknown_transaction(&self) -> bool {
        self.data.starts_with("tx (") && self.data.ends_with("not found")
    }

    /// The node keeps no index of transactions at all.
    #[must_use]
    pub fn is_indexing_off(&self) -> bool {
        self.data.contains("transaction indexing is disabled")
    }

    /// The node's chain has not reached the height that was asked for, or has not stored its results yet.
    #[must_use]
    pub fn is_ahead_of_node(&self) -> bool {
        self.data.contains("must be less than or equal to the current blockchain height")
            || self.data.contains("could not find results for height")
    }
}

/// The envelope of an answer: `result` or `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub struct Response<T> {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// That of the call; −1 when it came as a GET, missing when the call could not be read.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub id: Value,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
    /// The error in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

/// Why a body gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The node answered with an error.
    #[error(transparent)]
    Node(#[from] RpcError),
    /// The body is no JSON-RPC answer of the expected form.
    #[error("node's answer is malformed: {0}")]
    Malformed(String),
}

impl<T: DeserializeOwned> Response<T> {
    /// The answer in a body.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub fn decode(body: &[u8]) -> Result<T, ResponseError> {
        let malformed = |reason: String| ResponseError::Malformed(reason);
        let response: Self =
            serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
        match (response.error, response.result) {
            (Some(error), _) => Err(error.into()),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(malformed("neither \"result\" nor \"error\"".to_owned())),
        }
    }
}

impl<T> Response<T> {
    /// The answer to the call with this id.
    pub fn ok(id: Value, result: T) -> Self {
        Self { jsonrpc: "2.0".to_owned(), id, result: Some(result), error: None }
    }

    /// The refusal of the call with this id.
    pub fn refused(id: Value, error: RpcError) -> Self {
        Self { jsonrpc: "2.0".to_owned(), id, result: None, error: Some(error) }
    }
}
