//! Whether bids are wanted, as routes show it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::provider::{
    Error, Provider,
    port::{Breaker, Maintenance, MaintenanceState},
    settings::Window,
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
    /// The windows of the settings that are not over, soonest first.
    pub windows: Vec<WindowView>,
}

/// A time in which an operator works on the provider: no new bids, and no lease is closed because its services fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WindowView {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When it is over.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Why, in the operator's words.
    #[schema(example = "new disks in node 3")]
    pub reason: String,
}

/// The windows that are not over, soonest first.
pub(super) fn windows(provider: &Provider) -> Vec<WindowView> {
    let now = provider.clock.now();
    let settings = provider.settings();
    let mut windows: Vec<WindowView> = settings
        .windows
        .iter()
        .filter(|window| now < window.until)
        .map(|Window { from, until, reason }| WindowView {
            from: *from,
            until: *until,
            reason: reason.clone(),
        })
        .collect();
    windows.sort_by_key(|window| window.from);
    windows
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
    let windows = windows(provider);
    Ok(MaintenanceView { state, reason, by: actor, since, teardowns, windows })
}
