//! Whether bids are wanted, as routes show it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::provider::{
    Error, Provider,
    port::{Breaker, Maintenance, MaintenanceState},
};

/// Whether an operator wants bids, since when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MaintenanceView {
    /// Whether bids are wanted.
    pub state: MaintenanceState,
    /// Why, in the operator's words; empty when nobody said why.
    pub reason: String,
    /// Who said so; `lessor` while nobody did.
    pub by: String,
    /// When; absent while nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Whether workloads of leases that ended are removed.
    pub teardowns: TeardownsView,
}

/// Whether workloads of leases that ended are removed, and who agreed to it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TeardownsView {
    /// Since when none is removed; absent while they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub held_since: Option<Timestamp>,
    /// How many had been decided in ten minutes when they were held last.
    pub decided: u64,
    /// When an operator agreed last; absent while nobody had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub agreed_at: Option<Timestamp>,
    /// Who agreed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreed_by: Option<String>,
}

impl From<Breaker> for TeardownsView {
    fn from(breaker: Breaker) -> Self {
        let Breaker { held_since, decided, agreed_at, agreed_by } = breaker;
        Self { held_since, decided, agreed_at, agreed_by }
    }
}

/// Whether bids are wanted.
///
/// # Errors
/// When the store gives no answer.
pub async fn maintenance(provider: &Provider) -> Result<MaintenanceView, Error> {
    let Maintenance { state, reason, actor, since } = provider.store.maintenance().await?;
    let teardowns = provider.store.breaker().await?.into();
    Ok(MaintenanceView { state, reason, by: actor, since, teardowns })
}
