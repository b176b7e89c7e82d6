//! Policy and prices: read, changed, and what they were before.

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use crate::{
    gateway::{
        State,
        auth::guard::Operator,
        extract::{self, Paging, Query},
        problem::{Code, Problem, violations},
    },
    provider::{
        policy::{self, ChangeError},
        views::{self, Page, PolicyChangeView, PolicyView},
    },
};

/// The most bytes of a change.
const MAX_BODY: usize = 256 * 1024;

/// Read policy and prices.
///
/// The version in force: the newest, whether it came from the settings or from here. Each decision names its version.
#[utoipa::path(
    get,
    path = "/v1/policy",
    tag = "operator",
    operation_id = "getPolicy",
    responses((status = 200, description = "The version in force.", body = PolicyView, headers(
        ("etag" = String, description = "The version, for `If-Match` of a change."),
    ))),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["store_unavailable"]))),
)]
pub async fn get(state: State, _: Operator) -> Result<Response, Problem> {
    let view = views::policy(&state.provider).await?;
    Ok((etag(view.version), Json(view)).into_response())
}

/// What a change may be asked to be.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// Only check the change and say what it would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// Change policy and prices.
///
/// The body is the whole of it: `policy` and `prices` with the keys that the settings have, and `reason`. Keys that are
/// left out have their defaults. The change takes effect in every process over the same store, without a restart, from the
/// next decision on; declined orders that are still open are decided again. It holds until the next change, here or in
/// the settings file.
#[utoipa::path(
    put,
    path = "/v1/policy",
    tag = "operator",
    operation_id = "putPolicy",
    params(
        Mode,
        ("if-match" = String, Header, description = "The version that the change is made on, as `ETag` gives it.", max_length = 32),
    ),
    request_body(content((Object = "application/json"))),
    responses((status = 200, description = "It is in force, or would be.", body = PolicyChangeView, headers(
        ("etag" = String, description = "The version in force."),
    ))),
    security(("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_query", "malformed_body", "body_too_large", "version_missing",
        "policy_version_differs", "policy_invalid", "store_unavailable",
    ]))),
)]
pub async fn put(
    state: State,
    _: Operator,
    Query(mode): Query<Mode>,
    request: Request,
) -> Result<Response, Problem> {
    let seen = seen_version(request.headers())?;
    let bytes = extract::read_body(request, MAX_BODY).await?;
    let body: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Code::MalformedBody).detail(error.to_string()))?;
    let change = policy::parse(&body)
        .map_err(|broken| Problem::new(Code::PolicyInvalid).violations(violations(broken)))?;
    state.provider.follow_policy().await?;
    let (in_force, before) = state.provider.rules();
    if in_force != seen {
        return Err(differs(in_force));
    }
    let changes = change.rules.differences(&before).into_iter().map(Into::into).collect();
    let version = if mode.dry_run {
        in_force
    } else {
        state.provider.change_policy(seen, &change).await.map_err(|error| match error {
            ChangeError::Version(version) => differs(version),
            ChangeError::Store(error) => error.into(),
        })?
    };
    let view = PolicyChangeView { version, dry_run: mode.dry_run, changes };
    Ok((etag(version), Json(view)).into_response())
}

/// List the versions of policy and prices.
///
/// Newest first, each with who made it, when and why.
#[utoipa::path(
    get,
    path = "/v1/policy/versions",
    tag = "operator",
    operation_id = "listPolicyVersions",
    params(Paging),
    responses((status = 200, description = "Versions.", body = Page<PolicyView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn versions(
    state: State,
    _: Operator,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<PolicyView>>, Problem> {
    let limit = paging.limit()?;
    Ok(Json(views::policies(&state.provider, paging.after.as_deref(), limit).await?))
}

fn etag(version: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{version}\""));
    [(header::ETAG, value.unwrap_or(HeaderValue::from_static("\"0\"")))]
}

fn differs(version: u64) -> Problem {
    Problem::new(Code::PolicyVersionDiffers).member("version", version)
}

/// The version that `If-Match` names.
fn seen_version(headers: &HeaderMap) -> Result<u64, Problem> {
    let given = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    let given = given.ok_or_else(|| Problem::new(Code::VersionMissing))?;
    given.trim().trim_matches('"').parse().map_err(|_| {
        Problem::new(Code::VersionMissing).detail("If-Match must be one version, such as \"3\"")
    })
}
