//! A provider's gateway as a tenant uses it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Error;
use crate::domain::{Address, LeaseId, OrderId};

/// The largest answer that is read, streams aside.
const MAX_ANSWER: usize = 4 << 20;
/// The longest line of a stream that is read.
const MAX_LINE: usize = 1 << 20;

/// A provider's gateway.
#[derive(Debug)]
pub struct Gateway {
    url: String,
    http: reqwest::Client,
}

/// What a development world says of itself under `/dev`.
#[derive(Debug, Clone, Deserialize)]
pub struct Dev {
    /// The chain's name.
    pub chain_id: String,
    /// The node's RPC.
    pub node: String,
    /// The provider's address.
    pub provider: Address,
}

/// What `/address` says.
#[derive(Debug, Deserialize)]
struct About {
    address: Address,
}

/// What `/v1/leases/…` says that this client needs.
#[derive(Debug, Deserialize)]
struct Lease {
    phase: String,
    phase_reason: Option<String>,
    manifest_hash: Option<String>,
    manifest_tried: Option<String>,
}

/// Reads a body up to a limit.
pub(super) async fn limited(answer: reqwest::Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|error| error.without_url().to_string())?;
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer is larger than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Gateway {
    /// The gateway at `url`.
    ///
    /// # Errors
    /// When no client can be built.
    pub fn new(url: &str) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Unreachable {
                doing: "prepare a client",
                detail: error.to_string(),
            })?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn send(
        &self,
        doing: &'static str,
        request: reqwest::RequestBuilder,
        token: Option<&SecretString>,
    ) -> Result<Vec<u8>, Error> {
        let request = match token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let answer = request.timeout(Duration::from_secs(30)).send().await;
        let answer = answer.map_err(|error| Error::Unreachable {
            doing,
            detail: error.without_url().to_string(),
        })?;
        let status = answer.status();
        let body = limited(answer, MAX_ANSWER)
            .await
            .map_err(|detail| Error::Unreachable { doing, detail })?;
        if status.is_success() {
            return Ok(body);
        }
        let detail: String = String::from_utf8_lossy(&body).trim().chars().take(2_000).collect();
        Err(Error::Gateway { doing, status: status.as_u16(), detail })
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        doing: &'static str,
        path: &str,
        token: Option<&SecretString>,
    ) -> Result<T, Error> {
        let body = self.send(doing, self.http.get(format!("{}{path}", self.url)), token).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::Unreachable { doing, detail: error.to_string() })
    }

    /// What the development world says of itself.
    ///
    /// # Errors
    /// [`Error::Gateway`] with 404 when this is no development world.
    pub async fn dev(&self) -> Result<Dev, Error> {
        self.read("ask what runs here", "/dev", None).await
    }

    /// The provider's address.
    ///
    /// # Errors
    /// [`Error::Gateway`], [`Error::Unreachable`].
    pub async fn provider(&self) -> Result<Address, Error> {
        let found: About = self.read("the provider's address", "/address", None).await?;
        Ok(found.address)
    }

    /// Uploads a manifest as JSON.
    ///
    /// # Errors
    /// [`Error::Gateway`] with the provider's reason.
    pub async fn put_manifest(
        &self,
        dseq: u64,
        manifest: String,
        token: &SecretString,
    ) -> Result<(), Error> {
        let request = self
            .http
            .put(format!("{}/deployment/{dseq}/manifest", self.url))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(manifest);
        self.send("the manifest", request, Some(token)).await.map(drop)
    }

    /// What runs for a lease, as today's route answers it.
    ///
    /// # Errors
    /// [`Error::Gateway`] with 404 until something was applied.
    pub async fn lease_status(
        &self,
        lease: &LeaseId,
        token: &SecretString,
    ) -> Result<serde_json::Value, Error> {
        let order = &lease.order;
        let path = format!("/lease/{}/{}/{}/status", order.dseq(), order.gseq(), order.oseq);
        self.read("the lease's status", &path, Some(token)).await
    }

    /// What still separates a lease from running the manifest with this hash, or `None`.
    ///
    /// # Errors
    /// [`Error::Gateway`] when the provider refused that manifest, with its reason.
    pub async fn behind(
        &self,
        lease: &LeaseId,
        hash: &str,
        token: &SecretString,
    ) -> Result<Option<String>, Error> {
        let doing = "the lease";
        let found: Lease =
            match self.read(doing, &format!("/v1/leases/{}", lease.order), Some(token)).await {
                Ok(found) => found,
                Err(Error::Gateway { status: 404 | 503, detail, .. }) => return Ok(Some(detail)),
                Err(error) => return Err(error),
            };
        // A refusal of the manifest before may still stand there.
        if found.phase == "refused" && found.manifest_tried.as_deref().is_none_or(|it| it == hash) {
            let detail = found.phase_reason.unwrap_or_default();
            return Err(Error::Gateway { doing: "the manifest", status: 409, detail });
        }
        let applied = found.manifest_hash.as_deref() == Some(hash);
        let reason = found.phase_reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        Ok((!applied).then(|| format!("{lease}: {}{reason}", found.phase)))
    }

    /// The provider's decision on an order, laid out for reading.
    ///
    /// # Errors
    /// [`Error::Gateway`] with 404 while nothing was decided.
    pub async fn decision(&self, order: &OrderId, token: &SecretString) -> Result<String, Error> {
        let request = self
            .http
            .get(format!("{}/v1/orders/{order}/decision", self.url))
            .header(http::header::ACCEPT, "text/plain");
        let body = self.send("the decision", request, Some(token)).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// A lease's log lines as `service: line`, oldest first; goes on with new ones when `follow`.
    ///
    /// # Errors
    /// [`Error::Gateway`], [`Error::Unreachable`].
    pub async fn logs(
        &self,
        lease: &LeaseId,
        follow: bool,
        token: &SecretString,
    ) -> Result<impl Stream<Item = Result<String, Error>> + use<>, Error> {
        let doing = "the logs";
        let request = self
            .http
            .get(format!("{}/v1/leases/{}/logs", self.url, lease.order))
            .query(&[("follow", follow.to_string())])
            .header(http::header::ACCEPT, "text/event-stream")
            .bearer_auth(token.expose_secret());
        let answer = request.send().await.map_err(|error| Error::Unreachable {
            doing,
            detail: error.without_url().to_string(),
        })?;
        let status = answer.status();
        if !status.is_success() {
            let body = limited(answer, MAX_ANSWER).await.unwrap_or_default();
            let detail = String::from_utf8_lossy(&body).trim().chars().take(2_000).collect();
            return Err(Error::Gateway { doing, status: status.as_u16(), detail });
        }
        let chunks = answer.bytes_stream().map(move |chunk| {
            chunk.map_err(|error| Error::Unreachable {
                doing,
                detail: error.without_url().to_string(),
            })
        });
        Ok(lines(chunks.boxed())
            .filter_map(|line| async { line.map(|line| log_line(&line)).transpose() }))
    }
}

/// Splits a stream of bytes into lines.
fn lines<S>(chunks: S) -> impl Stream<Item = Result<String, Error>>
where
    S: Stream<Item = Result<Bytes, Error>> + Unpin,
{
    stream::unfold((chunks, Vec::<u8>::new()), |(mut chunks, mut kept)| async move {
        loop {
            if let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = kept.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                return Some((Ok(line), (chunks, kept)));
            }
            if kept.len() > MAX_LINE {
                let detail = format!("a line is longer than {MAX_LINE} bytes");
                return Some((
                    Err(Error::Unreachable { doing: "read lines", detail }),
                    (chunks, Vec::new()),
                ));
            }
            match chunks.next().await? {
                Ok(chunk) => kept.extend_from_slice(&chunk),
                Err(error) => return Some((Err(error), (chunks, Vec::new()))),
            }
        }
    })
}

/// The log line in one line of an event stream, if it holds one.
fn log_line(line: &str) -> Option<String> {
    let data = line.strip_prefix("data:")?.trim_start();
    let value: serde_json::Value = serde_json::from_str(data).ok()?;
    let service = value.get("service")?.as_str()?;
    let text = value.get("line").or_else(|| value.get("message"))?.as_str()?;
    Some(format!("{service}: {text}"))
}
