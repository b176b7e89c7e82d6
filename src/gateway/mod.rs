//! The HTTP surface: indexers push, tenants upload and look, the operator reads why.
//!
//! [`router`] is the table of contents. [`routes`] has one file a noun; a handler reads its arguments, calls one use case
//! or view of `provider`, and says what the answer is. [`auth`] decides who may, by types; [`problem`] says what went
//! wrong; [`wire`] keeps the texts of today's gateway; [`openapi`] writes all of it down.
//!
//! What it does not do: decide anything about orders and leases, or keep anything. TLS is not here either.
//!
//! The one surprising fact: two languages are spoken. Routes at the root answer byte for byte as today's gateway does,
//! because clients match on its texts; routes under `/v1` answer problems and know why.

pub mod auth;
mod board;
mod callers;
pub mod extract;
pub mod openapi;
pub mod problem;
pub mod request_id;
pub mod router;
pub mod routes;
pub mod server;
mod sse;
pub mod wire;

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use secrecy::SecretString;
pub use server::serve;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{
        auth::{keys::AccountKeys, session},
        board::Board,
        callers::Callers,
    },
    provider::Provider,
    telemetry::Metrics,
};

/// Documents of strangers that are checked at once; each keeps a core busy for a moment.
/// Documents that one address may have checked in a minute.
const MAX_CHECKS: u32 = 120;
const MAX_CHECKING: usize = 2;

/// What an operator sets of the gateway.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Opens the operator's routes; without it they answer `admin_not_configured`.
    pub admin_token: Option<SecretString>,
    /// Whether a proxy with TLS is in front: cookies are then for TLS alone.
    pub behind_proxy: bool,
}

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Shared>);

/// See [`State`].
pub struct Shared {
    /// The use cases.
    pub provider: Arc<Provider>,
    /// What the operator set.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process is to stop: streams end, and no new work is wanted.
    pub shutdown: CancellationToken,
    keys: AccountKeys,
    /// Who brought wrong operator's tokens lately.
    attempts: Callers,
    /// What live streams send.
    board: Board,
    /// One tick at a time.
    ticking: Semaphore,
    /// Who had documents checked lately.
    callers: Callers,
    /// Documents that are checked at once.
    checking: Arc<Semaphore>,
}

impl State {
    /// The state of one process.
    #[must_use]
    pub fn new(
        provider: Arc<Provider>,
        settings: Settings,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            provider,
            settings,
            metrics,
            shutdown,
            keys: AccountKeys::default(),
            attempts: Callers::new(session::MAX_WRONG),
            board: Board::default(),
            ticking: Semaphore::new(1),
            callers: Callers::new(MAX_CHECKS),
            checking: Arc::new(Semaphore::new(MAX_CHECKING)),
        }))
    }
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRequestParts<Self> for State {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, state: &Self) -> Result<Self, Self::Rejection> {
        Ok(state.clone())
    }
}
