//! Policy and prices as routes show them, with their versions.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Page;
use crate::provider::{
    Error, Provider,
    policy::{Difference, Rules, SETTINGS},
    port::PolicyRow,
};

/// One version of policy and prices.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyView {
    /// Its number, which decisions name; 0 for rules that no version was made of yet.
    pub version: u64,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub made_at: Option<Timestamp>,
    /// `settings` or `operator`.
    #[schema(example = "operator")]
    pub made_by: String,
    /// Why.
    pub reason: String,
    /// Which orders are bid on: the keys of `[policy]` in the settings.
    #[schema(value_type = Object)]
    pub policy: Value,
    /// At which prices: the keys of `[prices]` in the settings.
    #[schema(value_type = Object)]
    pub prices: Value,
}

/// What a change of the policy did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyChangeView {
    /// The version that is in force now.
    pub version: u64,
    /// Whether nothing was stored.
    pub dry_run: bool,
    /// What differs from the version before.
    pub changes: Vec<DifferenceView>,
}

/// One difference between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DifferenceView {
    /// Where, as a JSON pointer.
    #[schema(example = "/prices/cpu")]
    pub pointer: String,
    /// What was there; null for nothing.
    pub before: Value,
    /// What is there instead.
    pub after: Value,
}

impl From<Difference> for DifferenceView {
    fn from(Difference { pointer, before, after }: Difference) -> Self {
        Self { pointer, before, after }
    }
}

impl From<PolicyRow> for PolicyView {
    fn from(row: PolicyRow) -> Self {
        let part = |name: &str| row.body.get(name).cloned().unwrap_or_default();
        Self {
            policy: part("policy"),
            prices: part("prices"),
            version: row.version,
            made_at: Some(row.made_at),
            made_by: row.made_by,
            reason: row.reason,
        }
    }
}

/// The version in force.
///
/// # Errors
/// When the store gives no answer.
pub async fn policy(provider: &Provider) -> Result<PolicyView, Error> {
    if let Some(newest) = provider.store.newest_policy(None).await? {
        return Ok(newest.into());
    }
    let (version, rules): (u64, Rules) = provider.rules();
    let mut body = rules.body();
    Ok(PolicyView {
        version,
        made_at: None,
        made_by: SETTINGS.to_owned(),
        reason: "no version was made yet".to_owned(),
        policy: body["policy"].take(),
        prices: body["prices"].take(),
    })
}

/// Versions, newest first.
///
/// # Errors
/// When the store gives no answer, or for a cursor that no page gave.
pub async fn policies(
    provider: &Provider,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<PolicyView>, Error> {
    Ok(Page::of(provider.store.policies(after, limit).await?, PolicyView::from))
}
