//! One call of the node: send, limit, decode, and say what went wrong.

use std::{error::Error, time::Duration};

use reqwest::{Client, Url, header::CONTENT_TYPE, redirect::Policy};
use serde::de::DeserializeOwned;

use crate::{
    domain::Height,
    provider::port::{ChainError, ChainErrorKind, Seen},
    wire::{
        Paged, Query,
        rpc::{
            Call, Response, ResponseError, RpcError,
            answer::{AbciQuery, AbciResponse, NOT_FOUND},
        },
    },
};

/// How many items of a list are asked for at once.
const PAGE_LIMIT: u64 = 1000;
/// A list has at most so many pages; a node that gives more is not believed.
const MAX_PAGES: usize = 1000;
/// `code` of a query for the state after a block that the node does not have yet.
const HEIGHT_IN_THE_FUTURE: u32 = 26;
/// `code` of a query that the application finds malformed.
const INVALID_ARGUMENT: u32 = 18;
/// Nothing that the node says is repeated at greater length.
const MAX_DETAIL: usize = 300;

/// Which node, and how long and how much it may answer.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The RPC address: `http://127.0.0.1:26657`.
    pub url: String,
    /// The chain that the node must be on; `None` takes any.
    pub chain_id: Option<String>,
    /// Making a connection may take so long.
    pub connect_timeout: Duration,
    /// One call may take so long in all.
    pub timeout: Duration,
    /// One answer may have so many bytes.
    pub max_answer: usize,
}

impl NodeSettings {
    /// The node at `url` with limits for a public node: 5 s to connect, 20 s a call, 16 MiB an answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            chain_id: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            max_answer: 16 << 20,
        }
    }

    /// Host and port of the address, under which the node is shown: a path or a user may hold a key. Nothing for an address
    /// that is none.
    #[must_use]
    pub fn name(&self) -> String {
        let url = Url::parse(&self.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let port = url.as_ref().and_then(Url::port).map(|port| format!(":{port}"));
        format!("{host}{}", port.unwrap_or_default())
    }

    /// The same, but only on this chain.
    #[must_use]
    pub fn on_chain(mut self, chain_id: impl Into<String>) -> Self {
        self.chain_id = Some(chain_id.into());
        self
    }
}

/// Why there is no client for a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The address is none.
    #[error("node address {url:?} is not an http or https URL")]
    Url {
        /// What was given.
        url: String,
    },
    /// The HTTP client could not be made.
    #[error("could not make an HTTP client: {0}")]
    Client(#[source] reqwest::Error),
}

/// A node of the chain, asked over JSON-RPC.
#[derive(Debug)]
pub struct Node {
    http: Client,
    url: Url,
    pub(super) chain_id: Option<String>,
    max_answer: usize,
}

impl Node {
    /// A client of one node. Does not connect yet.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn new(settings: NodeSettings) -> Result<Self, NodeError> {
        let NodeSettings { url, chain_id, connect_timeout, timeout, max_answer } = settings;
        let parsed = Url::parse(&url)
            .ok()
            .filter(|parsed| matches!(parsed.scheme(), "http" | "https") && parsed.has_host());
        let Some(parsed) = parsed else { return Err(NodeError::Url { url }) };
        let mut http = Client::builder()
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            // A node that sends the caller elsewhere is not the one that was chosen.
            .redirect(Policy::none());
        if parsed.scheme() == "http" {
            // Reading the host's hundreds of authorities takes most of the time of a start.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(NodeError::Client)?;
        Ok(Self { http, url: parsed, chain_id, max_answer })
    }

    /// One call.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        call: Call,
    ) -> Result<T, CallError> {
        let failed = |detail: String| CallError::Failed(unavailable(doing, detail));
        let mut answer = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(call.to_json(1).to_string())
            .send()
            .await
            .map_err(|error| failed(describe(error)))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(describe(error)))? {
            if body.len() + chunk.len() > self.max_answer {
                let limit = self.max_answer;
                return Err(failed(format!("the node's answer is longer than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        match Response::decode(&body) {
            Ok(result) => Ok(result),
            Err(ResponseError::Node(error)) => Err(CallError::Refused { doing, error }),
            // A proxy before the node answers errors without JSON.
            Err(ResponseError::Malformed(_)) if !status.is_success() => {
                Err(failed(format!("the node answered HTTP {status}")))
            }
            Err(ResponseError::Malformed(reason)) => {
                Err(failed(format!("the node's answer is malformed: {reason}")))
            }
        }
    }

    /// A query of the state after block `at` (0 for the newest), of which only the answer is looked at.
    pub(super) async fn abci<Q: Query>(
        &self,
        doing: &'static str,
        request: &Q,
        at: Height,
    ) -> Result<AbciResponse, ChainError> {
        Ok(self.call::<AbciQuery>(doing, Call::query(request, at)).await?.response)
    }

    /// A query of the newest state, or `None` when there is no such thing at that height.
    pub(super) async fn query<Q: Query>(
        &self,
        doing: &'static str,
        request: &Q,
        at_least: Height,
    ) -> Result<Seen<Option<Q::Response>>, ChainError> {
        let response = self.abci(doing, request, Height(0)).await?;
        read::<Q>(doing, &response, at_least)
    }

    /// All pages of a list. The pages after the first are of the same state as that (as of `pinned`, when given), unless
    /// the node has pruned it meanwhile.
    pub(super) async fn list<Q: Paged>(
        &self,
        doing: &'static str,
        mut request: Q,
        at_least: Height,
        mut pinned: Option<Height>,
    ) -> Result<Seen<Vec<Q::Response>>, ChainError> {
        let mut pages: Vec<Q::Response> = Vec::new();
        let mut lowest = None;
        let mut key = Vec::new();
        loop {
            request.set_page(key.clone(), PAGE_LIMIT);
            let at_least = pinned.unwrap_or(at_least);
            let page = match pinned {
                Some(at) => self.page_at(doing, &request, at).await?,
                None => self.query(doing, &request, at_least).await?,
            };
            pinned = pinned.or(Some(page.at));
            lowest = Some(lowest.map_or(page.at, |lowest: Height| lowest.min(page.at)));
            let next = page.value.as_ref().map_or_else(Vec::new, |page| Q::next_key(page).to_vec());
            pages.extend(page.value);
            if next.is_empty() {
                return Ok(Seen { value: pages, at: lowest.unwrap_or(at_least) });
            }
            if next == key || pages.len() >= MAX_PAGES {
                return Err(unavailable(doing, "the node's list does not end".to_owned()));
            }
            key = next;
        }
    }

    async fn page_at<Q: Query>(
        &self,
        doing: &'static str,
        request: &Q,
        at: Height,
    ) -> Result<Seen<Option<Q::Response>>, ChainError> {
        let response = self.abci(doing, request, at).await?;
        match response.code {
            0 | NOT_FOUND => read::<Q>(doing, &response, at),
            // That state is gone: a newer one still has every item that did not change.
            _ => self.query(doing, request, at).await,
        }
    }
}

fn read<Q: Query>(
    doing: &'static str,
    response: &AbciResponse,
    at_least: Height,
) -> Result<Seen<Option<Q::Response>>, ChainError> {
    let at = Height(response.height);
    let known = matches!(response.code, 0 | NOT_FOUND);
    if known && at < at_least {
        let detail = format!("the node answers as of block {at}, wanted is {at_least} or later");
        return Err(ChainError { doing, detail, kind: ChainErrorKind::Behind });
    }
    match response.code {
        0 => {
            let value = prost::Message::decode(response.value.as_slice()).map_err(|error| {
                unavailable(doing, format!("the node's answer does not decode: {error}"))
            })?;
            Ok(Seen { value: Some(value), at })
        }
        NOT_FOUND => Ok(Seen { value: None, at }),
        _ => Err(query_error(doing, response)),
    }
}

fn query_error(doing: &'static str, response: &AbciResponse) -> ChainError {
    let kind = match response.code {
        HEIGHT_IN_THE_FUTURE => ChainErrorKind::Behind,
        INVALID_ARGUMENT => ChainErrorKind::Refused,
        _ => ChainErrorKind::Unavailable,
    };
    let AbciResponse { code, codespace, log, .. } = response;
    ChainError { doing, detail: format!("{codespace} code {code}: {}", shorten(log)), kind }
}

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum CallError {
    /// No answer that could be read.
    Failed(ChainError),
    /// The node answered with an error of its own.
    Refused {
        /// What was tried.
        doing: &'static str,
        /// What the node said.
        error: RpcError,
    },
}

impl From<CallError> for ChainError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(error) => error,
            CallError::Refused { doing, error } => {
                let kind = if error.is_ahead_of_node() {
                    ChainErrorKind::Behind
                } else {
                    ChainErrorKind::Unavailable
                };
                Self { doing, detail: shorten(&error.to_string()), kind }
            }
        }
    }
}

pub(super) fn unavailable(doing: &'static str, detail: String) -> ChainError {
    ChainError { doing, detail, kind: ChainErrorKind::Unavailable }
}

/// The first line of a node's text, cut: some logs carry a whole stack.
pub(super) fn shorten(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(MAX_DETAIL).collect()
}

/// What an HTTP client says, with its reasons and without the URL, which may carry a password.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}
