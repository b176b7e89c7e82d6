//! A CometBFT node's RPC, as far as an indexer needs it. Every answer has a size and a time limit.
//!
//! The one surprising fact: a node that has announced a block may still say "could not find results" for a moment when
//! it is one of several behind one address, so that is [`NodeError::NotYet`] and is asked again.

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::{
    domain::Height,
    wire::rpc::{
        Call, NEW_BLOCK_HEADER, Response, ResponseError, RpcError,
        answer::{Block, BlockResults, Status},
    },
};

/// The largest answer that is read. The results of a busy block are some MB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// The largest websocket message; a header is about 2 kB.
const MAX_MESSAGE: usize = 1024 * 1024;

/// Why the node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No connection, no answer in time, or an HTTP error.
    #[error("{method}: {source}")]
    Http {
        /// The call.
        method: &'static str,
        /// What the client said, without the address.
        source: reqwest::Error,
    },
    /// The answer is larger than is read.
    #[error("{method}: the answer has more than {MAX_ANSWER} bytes")]
    TooLarge {
        /// The call.
        method: &'static str,
    },
    /// The node refuses, or its answer is malformed.
    #[error("{method}: {source}")]
    Answer {
        /// The call.
        method: &'static str,
        /// Why.
        source: ResponseError,
    },
    /// The node has not got so far.
    #[error("block {0} is not there yet")]
    NotYet(Height),
    /// The node has deleted the block.
    #[error("block {height} is deleted there, the lowest is {lowest}")]
    Pruned {
        /// The block.
        height: Height,
        /// The lowest that it has.
        lowest: Height,
    },
    /// The node's answers contradict each other.
    #[error("contradiction: {0}")]
    Contradiction(String),
}

/// A node's RPC.
#[derive(Debug, Clone)]
pub struct Node {
    http: reqwest::Client,
    url: reqwest::Url,
}

impl Node {
    /// The node at `url`.
    #[must_use]
    pub const fn new(http: reqwest::Client, url: reqwest::Url) -> Self {
        Self { http, url }
    }

    /// The newest block and the chain's id.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn status(&self) -> Result<Status, NodeError> {
        self.call(&Call::Status).await
    }

    /// A block.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn block(&self, height: Height) -> Result<Block, NodeError> {
        let call = Call::Block { height: Some(height) };
        self.call(&call).await.map_err(|error| at_height(error, height))
    }

    /// What the transactions of a block answered.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn block_results(&self, height: Height) -> Result<BlockResults, NodeError> {
        let call = Call::BlockResults { height: Some(height) };
        self.call(&call).await.map_err(|error| at_height(error, height))
    }

    /// Listens to the node's websocket and wakes `news` with every new block, until the connection ends. Whatever it
    /// says is only a reason to ask [`Self::status`].
    pub async fn wake(&self, news: &Notify) {
        if let Err(error) = self.listen(news).await {
            tracing::debug!(%error, "node's websocket ended, polling goes on");
        }
    }

    async fn listen(&self, news: &Notify) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let mut url = self.url.clone();
        // TLS over the websocket is not built in: such a node is polled.
        if url.set_scheme("ws").is_err() || self.url.scheme() != "http" {
            return std::future::pending().await;
        }
        url.set_path(&format!("{}/websocket", url.path().trim_end_matches('/')));
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let (mut socket, _) = connect_async_with_config(url.as_str(), Some(limits), true).await?;
        let subscribe = Call::Subscribe { query: NEW_BLOCK_HEADER.to_owned() }.to_json(1);
        socket.send(Message::text(subscribe.to_string())).await?;
        while let Some(message) = socket.next().await {
            if matches!(message?, Message::Text(_)) {
                news.notify_one();
            }
        }
        Ok(())
    }

    async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, NodeError> {
        let method = call.method();
        let failed =
            |error: reqwest::Error| NodeError::Http { method, source: error.without_url() };
        let mut answer =
            self.http.post(self.url.clone()).json(&call.to_json(1)).send().await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(NodeError::TooLarge { method });
            }
            body.extend_from_slice(&chunk);
        }
        // A node answers a JSON-RPC error with status 500, so the body says more than the status.
        let status = answer.error_for_status_ref().map(|_| ()).map_err(failed);
        Response::decode(&body).map_err(|source| match (&source, status) {
            (ResponseError::Malformed(_), Err(error)) => error,
            _ => NodeError::Answer { method, source },
        })
    }
}

/// Tells the answers about a height apart that mean "later" and "never again".
fn at_height(error: NodeError, height: Height) -> NodeError {
    let NodeError::Answer { source: ResponseError::Node(refusal), .. } = &error else {
        return error;
    };
    if refusal.is_ahead_of_node() {
        NodeError::NotYet(height)
    } else if let Some(lowest) = lowest(refusal) {
        NodeError::Pruned { height, lowest }
    } else {
        error
    }
}

/// From `height 5 is not available, lowest height is 100`.
fn lowest(refusal: &RpcError) -> Option<Height> {
    let (_, text) = refusal.data.split_once("lowest height is ")?;
    text.trim().parse().ok().map(Height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(data: &str) -> NodeError {
        let source = ResponseError::Node(RpcError::internal(data));
        at_height(NodeError::Answer { method: "block", source }, Height(5))
    }

    #[test]
    fn a_block_that_is_not_there_yet_and_one_that_is_deleted_are_told_apart() {
        let ahead = "height 5 must be less than or equal to the current blockchain height 3";
        assert!(matches!(refused(ahead), NodeError::NotYet(Height(5))));
        let results = "could not find results for height #5";
        assert!(matches!(refused(results), NodeError::NotYet(Height(5))));
        let pruned = "height 5 is not available, lowest height is 100";
        assert!(matches!(
            refused(pruned),
            NodeError::Pruned { height: Height(5), lowest: Height(100) }
        ));
        assert!(matches!(refused("something else"), NodeError::Answer { .. }));
    }
}
