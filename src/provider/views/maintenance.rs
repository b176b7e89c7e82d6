//! Whether bids are wanted, as routes show it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::provider::{
    Error, Provider,
    port::{Maintenance, MaintenanceState},
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
}

impl From<Maintenance> for MaintenanceView {
    fn from(kept: Maintenance) -> Self {
        let Maintenance { state, reason, actor, since } = kept;
        Self { state, reason, by: actor, since }
    }
}

/// Whether bids are wanted.
///
/// # Errors
/// When the store gives no answer.
pub async fn maintenance(provider: &Provider) -> Result<MaintenanceView, Error> {
    Ok(provider.store.maintenance().await?.into())
}
