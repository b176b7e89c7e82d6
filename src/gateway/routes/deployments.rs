//! Manifests, the clean way: JSON or SDL, refused with every violation at once.

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::media;
use crate::{
    domain::DeploymentId,
    gateway::{
        State,
        auth::guard::{DeploymentOwner, SendManifest},
        extract,
        problem::{Code, Problem, violations},
    },
    manifest::{self, Dialect, MAX_DOCUMENT_BYTES, Manifest},
    provider::submit::{Candidate, SubmitError, Submitted},
};

/// What an accepted manifest will do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Accepted {
    /// SHA-256 of the manifest's canonical form, lower-case hex; the deployment carries the same.
    pub hash: String,
    /// Of an SDL document: the dialect in which it has this hash, `go`, `npm` or `npm-head`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "go")]
    pub reading: Option<&'static str>,
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
            reading: None,
            leases: submitted.leases.iter().map(ToString::to_string).collect(),
            hostnames: hostnames.collect(),
        }
    }
}

/// Send a deployment's manifest.
///
/// The manifest as JSON, or the SDL document that it comes from as YAML. It must have the hash that the deployment carries
/// on chain; of an SDL document it is enough that one of its readings has, as tools differ. Accepted means that it is stored and will be applied; whether it runs is shown by the lease. Sending the same
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
    let upload = Upload::read(request).await?;
    let DeploymentId { owner, dseq } = &owner.deployment;
    let accepted = match state.provider.submit_one_of(owner, *dseq, &upload.candidates).await {
        Ok(submitted) => upload.accepted(submitted),
        Err(error) => return Err(upload.refused(error)),
    };
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
    let upload = Upload::read(request).await?;
    let DeploymentId { owner, dseq } = &owner.deployment;
    match state.provider.validate_one_of(owner, *dseq, &upload.candidates).await {
        Ok(checked) => Ok(Json(upload.accepted(checked))),
        Err(error) => Err(upload.refused(error)),
    }
}

/// What a body comes to: one manifest, or what each reading of an SDL document gives.
struct Upload {
    candidates: Vec<Candidate>,
    /// Of an SDL document.
    readings: Vec<Reading>,
}

impl Upload {
    async fn read(request: Request) -> Result<Self, Problem> {
        let is_sdl = media::is_sdl(request.headers())?;
        let body = extract::read_body(request, MAX_DOCUMENT_BYTES).await?;
        if is_sdl {
            let read = tokio::task::spawn_blocking(move || Self::from_sdl(&body));
            return read.await.map_err(Problem::internal)?;
        }
        let manifest = Manifest::from_json(&body)
            .map_err(|broken| Problem::new(Code::ManifestInvalid).violations(violations(broken)))?;
        Ok(Self { candidates: vec![manifest.into()], readings: Vec::new() })
    }

    /// Every reading that accepts the document counts; when none does, Go's says why.
    fn from_sdl(body: &[u8]) -> Result<Self, Problem> {
        let refused = |broken| Problem::new(Code::SdlInvalid).violations(violations(broken));
        let text = manifest::text(body).map_err(refused)?;
        let mut upload = Self { candidates: Vec::new(), readings: Vec::new() };
        let mut first_refusal = None;
        for (dialect, read) in manifest::readings(text) {
            match read {
                Ok(compiled) => {
                    let manifest::Compiled { manifest, hash, .. } = compiled;
                    upload.readings.push(Reading { dialect, hash: hex(&hash) });
                    upload.candidates.push(Candidate { manifest, hash });
                }
                Err(broken) => {
                    first_refusal.get_or_insert(broken);
                }
            }
        }
        match first_refusal {
            Some(broken) if upload.candidates.is_empty() => Err(refused(broken)),
            _ => Ok(upload),
        }
    }

    /// The answer, with the reading whose hash was taken.
    fn accepted(&self, submitted: Submitted) -> Accepted {
        let reading = self.readings.iter().find(|reading| reading.hash == submitted.hash);
        Accepted {
            reading: reading.map(|reading| reading.dialect.name()),
            ..Accepted::from(submitted)
        }
    }

    /// A refusal; of a document with another hash it says what each reading gives.
    fn refused(self, error: SubmitError) -> Problem {
        let of_sdl = matches!(error, SubmitError::Version { .. }) && !self.readings.is_empty();
        let problem = Problem::from(error);
        if !of_sdl {
            return problem;
        }
        let of =
            |reading: Reading| json!({"dialect": reading.dialect.name(), "hash": reading.hash});
        problem.member("readings", self.readings.into_iter().map(of).collect::<Vec<_>>())
    }
}

/// What one dialect makes of a document.
struct Reading {
    dialect: Dialect,
    hash: String,
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
