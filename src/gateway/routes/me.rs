//! Who the caller is.

use axum::Json;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::Address,
    gateway::{
        State,
        auth::{
            Caller,
            claims::{Access, Grant, LeaseGrant},
            guard::Known,
        },
    },
};

/// Who the caller is and what the token allows here.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Me {
    /// `tenant` or `operator`.
    #[schema(example = "tenant")]
    pub role: &'static str,
    /// The tenant's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Until when the token counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// What the token allows at this provider; absent for the operator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantView>,
    /// This provider's account.
    pub provider: String,
}

/// Something that a token allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GrantView {
    /// What, by the names of AEP-64; `*` for everything.
    #[schema(example = json!(["status", "logs"]))]
    pub scope: Vec<&'static str>,
    /// With this deployment only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dseq: Option<u64>,
    /// With this group only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gseq: Option<u32>,
    /// With this order only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oseq: Option<u32>,
    /// With these services only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

impl GrantView {
    fn everywhere(scope: Vec<&'static str>) -> Self {
        Self { scope, dseq: None, gseq: None, oseq: None, services: Vec::new() }
    }

    fn of(grant: &LeaseGrant) -> Self {
        Self {
            scope: grant.scope.iter().map(|scope| scope.as_str()).collect(),
            dseq: Some(grant.dseq),
            gseq: Some(grant.gseq).filter(|gseq| *gseq > 0),
            oseq: Some(grant.oseq).filter(|oseq| *oseq > 0),
            services: grant.services.iter().cloned().collect(),
        }
    }
}

fn grants(access: &Access, provider: &Address) -> Vec<GrantView> {
    let everything = || vec![GrantView::everywhere(vec!["*"])];
    let some = |scope: &std::collections::BTreeSet<crate::gateway::auth::claims::Scope>| {
        vec![GrantView::everywhere(scope.iter().map(|scope| scope.as_str()).collect())]
    };
    match access {
        Access::Full => everything(),
        Access::Scoped(scope) => some(scope),
        Access::Granular(permissions) => permissions
            .iter()
            .filter(|permission| permission.provider == *provider)
            .flat_map(|permission| match &permission.grant {
                Grant::Full => everything(),
                Grant::Scoped(scope) => some(scope),
                Grant::Granular(grants) => grants.iter().map(GrantView::of).collect(),
            })
            .collect(),
    }
}

/// Say who I am.
///
/// What the token proves, and what it allows at this provider.
#[utoipa::path(
    get,
    path = "/v1/me",
    tag = "tenant",
    operation_id = "getMe",
    responses((status = 200, description = "The caller.", body = Me)),
    security(("tenant" = []), ("operator" = [])),
)]
pub async fn get(state: State, Known(caller): Known) -> Json<Me> {
    let provider = &state.provider.address;
    Json(match caller {
        Caller::Operator => Me {
            role: "operator",
            address: None,
            expires_at: None,
            grants: Vec::new(),
            provider: provider.to_string(),
        },
        Caller::Tenant(claims) => Me {
            role: "tenant",
            address: Some(claims.issuer.to_string()),
            expires_at: Some(claims.expires),
            grants: grants(&claims.access, provider),
            provider: provider.to_string(),
        },
    })
}
