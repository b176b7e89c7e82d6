//! The simulated cluster behind the cluster port.
//!
//! It owns the conversation over HTTP; what is said is in [`cluster_api`](crate::devnet::cluster_api). Every request
//! ends within [`REQUEST_TIMEOUT`], save logs and events that are followed: those end when nothing, not even the
//! cluster's empty line, comes for [`SILENCE`].

mod body;
mod translate;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{BoxStream, TryStreamExt as _},
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    devnet::cluster_api::{self as api, Failure, FailureCode},
    domain::{LeaseId, inventory::Inventory},
    provider::port::{
        Cluster, ClusterError, ClusterErrorKind, ClusterEvent, LeaseStatus, LogLine, LogQuery,
        Teardown, Workload,
    },
};

/// How long an answer may take from the first byte that is sent to the last that is read.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a followed stream may be silent.
const SILENCE: Duration = Duration::from_secs(3 * api::HEARTBEAT.as_secs());

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The cluster port over a simulated cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Simulated {
    http: Client,
    base: Url,
}

impl Simulated {
    /// The cluster whose routes are mounted at `base`, such as `http://127.0.0.1:26657/cluster`.
    ///
    /// The process's TLS provider must be installed, as for every HTTP client.
    ///
    /// # Errors
    /// [`ClusterErrorKind::Refused`] when `base` is no absolute `http` URL.
    pub fn new(base: &str) -> Result<Self, ClusterError> {
        let doing = "open the simulated cluster";
        let refused = |detail| ClusterError { doing, detail, kind: ClusterErrorKind::Refused };
        let base = Url::parse(base).map_err(|error| refused(format!("{base:?}: {error}")))?;
        if base.scheme() != "http" || base.cannot_be_a_base() {
            return Err(refused(format!("{base}: only an absolute http URL is allowed")));
        }
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // Reading the host's hundreds of authorities takes most of the time of a start.
            .tls_certs_only([])
            // It is on this machine, whatever proxy the environment names for other hosts.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self { http, base })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.base.as_str().trim_end_matches('/');
        self.http.request(method, format!("{base}/{path}"))
    }

    /// Sends a request and reads its whole answer.
    async fn ask<T: DeserializeOwned>(
        doing: &'static str,
        request: RequestBuilder,
    ) -> Result<T, ClusterError> {
        let answer = async {
            let response = accepted(doing, request.send().await).await?;
            body::json(doing, response).await
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(no_answer(doing, REQUEST_TIMEOUT)),
        }
    }

    /// Sends a request whose answer comes line by line.
    async fn listen<Q: Serialize, T: DeserializeOwned + Send + 'static>(
        &self,
        doing: &'static str,
        path: &str,
        query: &Q,
    ) -> Result<BoxStream<'static, Result<T, ClusterError>>, ClusterError> {
        let request = self.request(Method::GET, path).query(query);
        let response = match tokio::time::timeout(REQUEST_TIMEOUT, request.send()).await {
            Ok(sent) => accepted(doing, sent).await?,
            Err(_) => return Err(no_answer(doing, REQUEST_TIMEOUT)),
        };
        Ok(body::lines(doing, response, SILENCE).boxed())
    }
}

#[async_trait]
impl Cluster for Simulated {
    async fn inventory(&self) -> Result<Inventory, ClusterError> {
        Self::ask("read the inventory", self.request(Method::GET, "inventory")).await
    }

    async fn apply(&self, workload: &Workload) -> Result<(), ClusterError> {
        let doing = "apply a workload";
        let body = translate::workload(workload).map_err(|detail| ClusterError {
            doing,
            detail,
            kind: ClusterErrorKind::Refused,
        })?;
        let request = self.request(Method::PUT, &path(&workload.lease)).json(&body);
        Self::ask::<api::Applied>(doing, request).await.map(drop)
    }

    async fn teardown(&self, lease: &LeaseId) -> Result<Teardown, ClusterError> {
        let request = self.request(Method::DELETE, &path(lease));
        let torn_down: api::TornDown = Self::ask("tear a lease down", request).await?;
        Ok(if torn_down.gone { Teardown::Gone } else { Teardown::GOING })
    }

    async fn status(&self, lease: &LeaseId) -> Result<Option<LeaseStatus>, ClusterError> {
        let request = self.request(Method::GET, &path(lease));
        match Self::ask("read a lease's status", request).await {
            Ok(status) => Ok(Some(translate::status(status))),
            Err(error) if error.kind == ClusterErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn leases(&self) -> Result<Vec<LeaseId>, ClusterError> {
        Self::ask("list leases", self.request(Method::GET, "leases")).await
    }

    async fn logs(
        &self,
        lease: &LeaseId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError> {
        let doing = "read logs";
        if query.previous {
            let detail = "a simulated replica keeps one log over all of its restarts".to_owned();
            return Err(ClusterError { doing, detail, kind: ClusterErrorKind::Refused });
        }
        let query = translate::log_query(query);
        let lines = self.listen(doing, &format!("{}/logs", path(lease)), &query).await?;
        Ok(lines.map_ok(translate::log_line).boxed())
    }

    async fn events(
        &self,
        lease: &LeaseId,
        follow: bool,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError> {
        let query = api::EventQuery { follow, after: after.map(str::to_owned) };
        let events = self.listen("read events", &format!("{}/events", path(lease)), &query).await?;
        Ok(events.map_ok(translate::event).boxed())
    }
}

fn path(lease: &LeaseId) -> String {
    format!("leases/{lease}")
}

/// The answer when the cluster did what was asked, else what it said against it.
async fn accepted(
    doing: &'static str,
    sent: Result<Response, reqwest::Error>,
) -> Result<Response, ClusterError> {
    let response = sent.map_err(|error| unreachable_cluster(doing, error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match body::json::<Failure>(doing, response).await {
        Ok(Failure { code, message }) => {
            Err(ClusterError { doing, detail: message, kind: meaning(code) })
        }
        Err(_) => Err(stranger(doing, status)),
    }
}

fn meaning(code: FailureCode) -> ClusterErrorKind {
    match code {
        // A lease that goes is soon gone; then the same request is right.
        FailureCode::Unavailable | FailureCode::Terminating => ClusterErrorKind::Unavailable,
        FailureCode::NotFound => ClusterErrorKind::NotFound,
        FailureCode::Refused => ClusterErrorKind::Refused,
    }
}

/// Something answered that does not speak as the cluster does, so nothing is known.
fn stranger(doing: &'static str, status: StatusCode) -> ClusterError {
    let detail = format!("something that is not the cluster answered {status}");
    ClusterError { doing, detail, kind: ClusterErrorKind::Unavailable }
}

fn no_answer(doing: &'static str, within: Duration) -> ClusterError {
    let detail = format!("no answer within {} ms", within.as_millis());
    ClusterError { doing, detail, kind: ClusterErrorKind::Unavailable }
}

fn unreachable_cluster(doing: &'static str, error: reqwest::Error) -> ClusterError {
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        detail = format!("{detail}: {cause}");
        source = cause.source();
    }
    ClusterError { doing, detail, kind: ClusterErrorKind::Unavailable }
}
