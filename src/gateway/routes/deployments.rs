//! Manifests, the clean way: JSON or SDL, refused with every violation at once.

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::DeploymentId,
    gateway::{
        State,
        auth::guard::{DeploymentOwner, SendManifest},
        extract,
        problem::{Code, Problem, violations},
    },
    manifest::{Dialect, MAX_DOCUMENT_BYTES, Manifest, compile},
    provider::submit::Submitted,
};

/// The media types of SDL documents.
const YAML: [&str; 4] =
    ["application/yaml", "application/x-yaml", "text/yaml", "application/vnd.akash.sdl+yaml"];

/// What an accepted manifest will do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Accepted {
    /// SHA-256 of the manifest's canonical form, lower-case hex; the deployment carries the same.
    pub hash: String,
    /// The leases that run it.
    pub leases: Vec<String>,
    /// The hostnames that lead to its services.
    pub hostnames: Vec<HostnameView>,
}

/// A hostname and the service that it leads to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HostnameView {
    /// Lower case.
    pub hostname: String,
    /// The service.
    pub service: String,
    /// The lease that holds it.
    pub lease: String,
}

impl From<Submitted> for Accepted {
    fn from(submitted: Submitted) -> Self {
        let hostnames = submitted.hostnames.into_iter().map(|claim| HostnameView {
            hostname: claim.hostname,
            service: claim.service,
            lease: claim.lease.to_string(),
        });
        Self {
            hash: submitted.hash,
            leases: submitted.leases.iter().map(ToString::to_string).collect(),
            hostnames: hostnames.collect(),
        }
    }
}

/// Send a deployment's manifest.
///
/// The manifest as JSON, or the SDL document that it comes from as YAML. It must have the hash that the deployment carries
/// on chain. Accepted means that it is stored and will be applied; whether it runs is shown by the lease. Sending the same
/// manifest again changes nothing.
#[utoipa::path(
    put,
    path = "/v1/deployments/{dseq}/manifest",
    tag = "tenant",
    operation_id = "putManifest",
    params(("dseq" = u64, Path, description = "The deployment's number; its owner is the token's issuer.", minimum = 1)),
    request_body(content((Vec<Object> = "application/json"), (String = "application/yaml"))),
    responses((status = 202, description = "Stored, and on its way into the cluster.", body = Accepted, headers(
        ("etag" = String, description = "The manifest's hash."),
    ))),
    security(("tenant" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "malformed_body", "scope_missing", "no_lease", "hostname_taken",
        "body_too_large", "unsupported_media_type", "manifest_invalid", "sdl_invalid",
        "manifest_hash_mismatch", "hostname_required", "hostname_blocked", "chain_unavailable",
        "store_unavailable",
    ]))),
)]
pub async fn put_manifest(
    state: State,
    owner: DeploymentOwner<SendManifest>,
    request: Request,
) -> Result<Response, Problem> {
    let manifest = read(request).await?;
    let DeploymentId { owner, dseq } = &owner.deployment;
    let accepted = Accepted::from(state.provider.submit_manifest(owner, *dseq, &manifest).await?);
    let etag = [(header::ETAG, format!("\"{}\"", accepted.hash))];
    Ok((StatusCode::ACCEPTED, etag, Json(accepted)).into_response())
}

/// Check a deployment's manifest.
///
/// Everything that sending it would check, short of storing it. Whether another lease holds a hostname is seen only when it is
/// sent.
#[utoipa::path(
    post,
    path = "/v1/deployments/{dseq}/manifest:validate",
    tag = "tenant",
    operation_id = "validateManifest",
    params(("dseq" = u64, Path, description = "The deployment's number; its owner is the token's issuer.", minimum = 1)),
    request_body(content((Vec<Object> = "application/json"), (String = "application/yaml"))),
    responses((status = 200, description = "It would be accepted.", body = Accepted)),
    security(("tenant" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "malformed_body", "scope_missing", "no_lease", "body_too_large",
        "unsupported_media_type", "manifest_invalid", "sdl_invalid", "manifest_hash_mismatch",
        "hostname_required", "hostname_blocked", "chain_unavailable", "store_unavailable",
    ]))),
)]
pub async fn validate_manifest(
    state: State,
    owner: DeploymentOwner<SendManifest>,
    request: Request,
) -> Result<Json<Accepted>, Problem> {
    let manifest = read(request).await?;
    let DeploymentId { owner, dseq } = &owner.deployment;
    let checked = state.provider.validate_manifest(owner, *dseq, &manifest).await?;
    Ok(Json(Accepted::from(checked)))
}

async fn read(request: Request) -> Result<Manifest, Problem> {
    let is_sdl = is_sdl(request.headers())?;
    let body = extract::read_body(request, MAX_DOCUMENT_BYTES).await?;
    if !is_sdl {
        return Manifest::from_json(&body)
            .map_err(|broken| Problem::new(Code::ManifestInvalid).violations(violations(broken)));
    }
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::new(Code::MalformedBody).detail("the document is not UTF-8"))?;
    compile(text, Dialect::Go)
        .map(|compiled| compiled.manifest)
        .map_err(|broken| Problem::new(Code::SdlInvalid).violations(violations(broken)))
}

fn is_sdl(headers: &HeaderMap) -> Result<bool, Problem> {
    match extract::media_type(headers).as_str() {
        "application/json" => Ok(false),
        yaml if YAML.contains(&yaml) => Ok(true),
        other => Err(Problem::new(Code::UnsupportedMediaType).detail(format!(
            "{other:?} is not read, allowed are application/json and {}",
            YAML[0]
        ))),
    }
}
