//! Blocks that a stream missed, pulled from its indexer's own API where the settings name one, else, or when that
//! fails, read from the node.
//!
//! Addresses come from settings only, never from a message, and redirects are not followed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{Client, Url, redirect::Policy};

use super::node::unavailable;
use crate::{
    domain::Height,
    event::{
        body::MAX_BODY,
        envelope::{Payload, page::Page, read::Limits},
    },
    provider::port::{ChainError, Indexer, Missed},
};

const DOING: &str = "pull missed blocks";
/// The most pages that one pull reads.
const MAX_PAGES: usize = 16;
/// How long one page may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where each stream's missed blocks come from.
pub struct Pull {
    indexers: BTreeMap<String, Url>,
    node: Arc<dyn Indexer>,
    http: Client,
}

impl std::fmt::Debug for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pull").field("indexers", &self.indexers.keys()).finish_non_exhaustive()
    }
}

impl Pull {
    /// Pulls from `indexers` by stream, from `node` for the others.
    ///
    /// # Errors
    /// When an address is none, or no client can be built.
    pub fn new(
        indexers: &BTreeMap<String, String>,
        node: Arc<dyn Indexer>,
    ) -> Result<Self, ChainError> {
        let mut found = BTreeMap::new();
        for (stream, url) in indexers {
            let parsed = Url::parse(url)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            let Some(parsed) = parsed else {
                return Err(unavailable(
                    DOING,
                    format!("stream {stream}: pull_url {url:?} is not an http or https URL"),
                ));
            };
            found.insert(stream.clone(), parsed);
        }
        let mut http = Client::builder().timeout(TIMEOUT).redirect(Policy::none());
        if found.values().all(|url| url.scheme() == "http") {
            // Reading the host's hundreds of authorities takes most of the time of a start.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|error| unavailable(DOING, error.to_string()))?;
        Ok(Self { indexers: found, node, http })
    }

    async fn page(
        &self,
        base: &Url,
        from: Height,
        to: Height,
        cursor: Option<&str>,
    ) -> Result<Page, ChainError> {
        let failed = |detail: String| unavailable(DOING, detail);
        let mut url = base.clone();
        url.set_path(&format!("{}/blocks", base.path().trim_end_matches('/')));
        let mut request = self.http.get(url).query(&[("from", from.0), ("to", to.0)]);
        if let Some(cursor) = cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let mut answer =
            request.send().await.map_err(|error| failed(error.without_url().to_string()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("the indexer answered HTTP {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| failed(error.without_url().to_string()))?
        {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(failed(format!("the indexer's page is larger than {MAX_BODY} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Page::read(&body, &Limits::default()).map_err(|error| failed(error.to_string()))
    }
}

#[async_trait]
impl Indexer for Pull {
    fn reads_per_block(&self, stream: &str) -> u32 {
        if self.indexers.contains_key(stream) { 0 } else { self.node.reads_per_block(stream) }
    }

    fn fallback(&self, stream: &str) -> Option<&dyn Indexer> {
        self.indexers.contains_key(stream).then_some(&*self.node)
    }

    async fn blocks(&self, stream: &str, from: Height, to: Height) -> Result<Missed, ChainError> {
        let Some(base) = self.indexers.get(stream) else {
            return self.node.blocks(stream, from, to).await;
        };
        let mut missed = Missed { blocks: Vec::new(), through: None, complete: false };
        let mut cursor = None;
        // A block may be larger than a page, so the pages of one pull are read on.
        for _ in 0..MAX_PAGES {
            let page = self.page(base, from, to, cursor.as_deref()).await?;
            missed.blocks.extend(page.events.into_iter().filter_map(|event| match event.payload {
                Payload::Block(block) => Some(block),
                _ => None,
            }));
            missed.through = Some(page.through);
            cursor = page.next_cursor;
            if cursor.is_none() {
                missed.complete = true;
                break;
            }
        }
        Ok(missed)
    }
}
