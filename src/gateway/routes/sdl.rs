//! SDL documents of anyone: what one comes to, or everything that is wrong with it.

use axum::{Json, extract::Request};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::media;
use crate::{
    gateway::{
        State, callers,
        extract::{self, Query},
        problem::{Code, Problem},
    },
    manifest::{self, Dialect, MAX_DOCUMENT_BYTES},
};

/// In JSON a document is longer than by itself.
const MAX_JSON_BYTES: usize = 2 * MAX_DOCUMENT_BYTES;

/// How a document is read.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Whose rules count: `go` (the command line, and what providers check with; the default), `npm` (web consoles), or
    /// `npm-head` (the sources of the npm package since its last release).
    #[param(example = "npm", max_length = 64)]
    dialect: Option<String>,
}

/// A document in JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SdlDocument {
    /// The SDL document's text.
    #[schema(example = "version: \"2.0\"\nservices: {}\n")]
    sdl: String,
}

/// What a document comes to, as `lessor sdl check --format json` prints it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SdlVerdict {
    /// Whether it is accepted.
    valid: bool,
    /// The manifest's hash, lower-case hex; `null` when it is refused.
    hash: Option<String>,
    /// The groups as the chain's tools print them; `null` when it is refused.
    #[schema(value_type = Option<Vec<Object>>)]
    groups: Option<Box<RawValue>>,
    /// The manifest as it is uploaded; `null` when it is refused.
    #[schema(value_type = Option<Vec<Object>>)]
    manifest: Option<Box<RawValue>>,
    /// Everything that is wrong, at most 100.
    violations: Vec<SdlViolation>,
    /// What chain or provider will refuse although this reading accepts it; left out where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<SdlViolation>,
}

/// One broken rule of a document. All members are always there.
#[derive(Debug, Serialize, ToSchema)]
pub struct SdlViolation {
    /// Stable name of the rule; its page is under `/problems/`.
    #[schema(example = "unknown-compute-profile")]
    code: &'static str,
    /// JSON pointer to the offending value; empty for the whole document.
    pointer: String,
    /// Line from 1.
    line: Option<u32>,
    /// Column from 1, in characters.
    column: Option<u32>,
    /// What was found and what is allowed.
    message: String,
    /// What today's provider or tool answers for this, where clients are known to match on it.
    reference: Option<String>,
}

impl From<manifest::Verdict> for SdlVerdict {
    fn from(verdict: manifest::Verdict) -> Self {
        let manifest::Verdict { valid, hash, groups, manifest, violations, warnings } = verdict;
        let told =
            |found: Vec<manifest::Violation>| found.into_iter().map(SdlViolation::from).collect();
        Self {
            valid,
            hash,
            groups,
            manifest,
            violations: told(violations),
            warnings: told(warnings),
        }
    }
}

impl From<manifest::Violation> for SdlViolation {
    fn from(violation: manifest::Violation) -> Self {
        let manifest::Violation { code, pointer, line, column, message, reference } = violation;
        Self { code, pointer, line, column, message, reference }
    }
}

/// Check an SDL document.
///
/// The document as YAML, or as text in JSON, by content type. The answer is the same whether it is accepted or refused, and
/// nothing is kept. Open to everyone, 120 times a minute for each address.
#[utoipa::path(
    post,
    path = "/v1/sdl:check",
    tag = "tenant",
    operation_id = "checkSdl",
    params(Reading),
    request_body(content((String = "application/yaml"), (SdlDocument = "application/json"))),
    responses((status = 200, description = "What it comes to, or everything that is wrong with it.", body = SdlVerdict)),
    extensions(("x-problems" = json!([
        "malformed_query", "malformed_body", "body_too_large", "unsupported_media_type", "rate_limited",
    ]))),
)]
pub async fn check(
    state: State,
    Query(reading): Query<Reading>,
    request: Request,
) -> Result<Json<SdlVerdict>, Problem> {
    let caller =
        callers::address(request.extensions(), request.headers(), state.settings.behind_proxy);
    let limited = |wait| Problem::new(Code::RateLimited).retry_after(wait);
    state.callers.take(caller, state.provider.clock.now()).map_err(limited)?;
    let dialect = match reading.dialect {
        Some(name) => name
            .parse::<Dialect>()
            .map_err(|unknown| Problem::new(Code::MalformedQuery).detail(unknown.to_string()))?,
        None => Dialect::default(),
    };
    let document = read(request).await?;
    // Not on the threads that answer everyone else, and few at once.
    let permit = state.checking.clone().acquire_owned().await.map_err(Problem::internal)?;
    let verdict = tokio::task::spawn_blocking(move || {
        let _busy = permit;
        manifest::Verdict::of(&document, dialect)
    });
    Ok(Json(verdict.await.map_err(Problem::internal)?.into()))
}

async fn read(request: Request) -> Result<Vec<u8>, Problem> {
    if media::is_sdl(request.headers())? {
        return Ok(extract::read_body(request, MAX_DOCUMENT_BYTES).await?.into());
    }
    let body = extract::read_body(request, MAX_JSON_BYTES).await?;
    let SdlDocument { sdl } = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(Code::MalformedBody).detail(error.to_string()))?;
    Ok(sdl.into_bytes())
}
