//! The routes of today's wire, at the root.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    extract::{RawPathParams, Request},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{DeploymentId, LeaseId},
    gateway::{
        State,
        auth::guard::{GetManifest, SendManifest, Status},
        extract::{self, BodyRefusal},
        wire::{self, Cover, DeploymentOwner, LeaseOwner},
    },
    manifest::{MAX_DOCUMENT_BYTES, Manifest, Violation},
    provider::{
        self,
        port::{ClusterError, ClusterErrorKind, LeaseStatus, ServiceStatus},
        submit::SubmitError,
        views::{self, InventoryView, Manifests, ReservationView},
    },
};

/// What of the Go provider's gateway this speaks. Clients compare it: below 0.8.3 they send no token.
const SPOKEN: &str = "0.16.2";
/// The Cosmos SDK of the chain's node that this was held against.
const COSMOS_SDK: &str = "v0.53.7";

/// A use case that failed, as far as a client may know.
fn failed(error: &provider::Error) -> Response {
    use provider::Kind;
    match &error.kind {
        Kind::NotFound => wire::text(StatusCode::NOT_FOUND, "lease not found"),
        Kind::Busy { .. } | Kind::Upstream => {
            tracing::warn!(%error, "not answered");
            wire::text(StatusCode::SERVICE_UNAVAILABLE, "temporarily unavailable")
        }
        Kind::Invalid(_) | Kind::Conflict => {
            wire::text(StatusCode::UNPROCESSABLE_ENTITY, &error.detail)
        }
        Kind::Bug => {
            tracing::error!(%error, "not answered");
            wire::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
    }
}

fn cluster_failed(error: &ClusterError) -> Response {
    tracing::warn!(%error, "the cluster gave no status");
    match error.kind {
        ClusterErrorKind::NotFound => {
            wire::text(StatusCode::NOT_FOUND, "kube: no deployments for lease")
        }
        ClusterErrorKind::Unavailable => {
            wire::text(StatusCode::SERVICE_UNAVAILABLE, "cluster unavailable")
        }
        ClusterErrorKind::Refused => {
            wire::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
    }
}

/// Send a deployment's manifest.
///
/// As today's clients do: JSON, an empty 200 when it is taken, a text when it is not.
#[utoipa::path(
    put,
    path = "/deployment/{dseq}/manifest",
    tag = "wire",
    operation_id = "wirePutManifest",
    params(("dseq" = u64, Path, description = "The deployment's number; its owner is the token's issuer.")),
    request_body(content = Vec<Object>, content_type = "application/json"),
    responses(
        (status = 200, description = "Taken."),
        (status = 400, description = "`strconv.ParseUint: …`, or a token whose claims do not count.", body = String, content_type = "text/plain"),
        (status = 401, description = "`{\"message\": …}`.", body = Object),
        (status = 404, description = "`no lease for deployment`.", body = String, content_type = "text/plain"),
        (status = 413, description = "Too large.", body = String, content_type = "text/plain"),
        (status = 422, description = "`invalid manifest: …`, `manifest version validation failed`, `manifest cross-validation error: …`, `manifest rejected: …`.", body = String, content_type = "text/plain"),
        (status = 500, description = "As the Go gateway answers them: `invalid manifest: group count mismatch …`, `invalid manifest: unknown deployment group …`, a resource that lacks a part, `hostname not allowed: …`.", body = String, content_type = "text/plain"),
        (status = 503, description = "Chain or store give no answer.", body = String, content_type = "text/plain"),
    ),
    security(("tenant" = [])),
)]
pub async fn put_manifest(
    state: State,
    owner: DeploymentOwner<SendManifest>,
    request: Request,
) -> Response {
    let body = match extract::read_body(request, MAX_DOCUMENT_BYTES).await {
        Ok(body) => body,
        Err(BodyRefusal::TooLarge(_)) => {
            return wire::text(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large");
        }
        Err(BodyRefusal::TooSlow) => {
            return wire::text(StatusCode::REQUEST_TIMEOUT, "request timeout");
        }
        Err(BodyRefusal::BrokenOff) => {
            return wire::text(StatusCode::UNPROCESSABLE_ENTITY, "unexpected EOF");
        }
    };
    if body.iter().all(u8::is_ascii_whitespace) {
        return wire::text(StatusCode::UNPROCESSABLE_ENTITY, "EOF");
    }
    let manifest = match Manifest::from_json(&body) {
        Ok(manifest) => manifest,
        Err(violations) => return refused("invalid manifest", &violations),
    };
    let DeploymentId { owner, dseq } = &owner.deployment;
    match state.provider.submit_manifest(owner, *dseq, &manifest).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => not_taken(error),
    }
}

fn not_taken(error: SubmitError) -> Response {
    let text = error.to_string();
    match error {
        SubmitError::NoLease => wire::text(StatusCode::NOT_FOUND, &text),
        SubmitError::Invalid(violations)
        | SubmitError::Cross(violations)
        | SubmitError::HostRequired(violations) => refused(&text, &violations),
        SubmitError::Version { .. } => wire::text(StatusCode::UNPROCESSABLE_ENTITY, &text),
        SubmitError::HostnameTaken(_) | SubmitError::HostnameBlocked(_) => {
            wire::text(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
        SubmitError::Chain(error) => failed(&error.into()),
        SubmitError::Store(error) => failed(&error.into()),
    }
}

/// Rules whose violation the Go gateway does not wrap into an error with a status: its answer is 500, and the proxy in
/// front of the console goes by that.
const UNWRAPPED: [&str; 4] = ["group-count", "unknown-group", "resources-id", "resources-missing"];

/// The text of the first violation: clients know its words.
fn refused(prefix: &str, violations: &[Violation]) -> Response {
    let first = violations.first();
    let text = first.map_or_else(
        || prefix.to_owned(),
        |violation| match &violation.reference {
            Some(reference) => reference.clone(),
            None => format!("{prefix}: {violation}"),
        },
    );
    let status = match first {
        Some(violation) if UNWRAPPED.contains(&violation.code) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    wire::text(status, &text)
}

/// Read a lease's manifest back.
///
/// The lease's group alone, with its registry passwords: it is the owner's.
#[utoipa::path(
    get,
    path = "/lease/{dseq}/{gseq}/{oseq}/manifest",
    tag = "wire",
    operation_id = "wireGetManifest",
    params(WirePath),
    responses(
        (status = 200, description = "A list with one group.", body = Vec<Object>),
        (status = 400, description = "As everywhere.", body = String, content_type = "text/plain"),
        (status = 401, description = "`{\"message\": …}`.", body = Object),
        (status = 404, description = "`lease not found`.", body = String, content_type = "text/plain"),
    ),
    security(("tenant" = [])),
)]
pub async fn get_manifest(state: State, owner: LeaseOwner<GetManifest>) -> Response {
    let manifests = match views::manifests(&state.provider, &owner.lease).await {
        Ok(manifests) => manifests,
        Err(error) => return failed(&error),
    };
    match manifests.as_ref().and_then(group) {
        Some(group) => wire::json(&[group]),
        None => wire::text(StatusCode::NOT_FOUND, "lease not found"),
    }
}

/// The lease's group of the manifest that runs, as it is stored.
fn group(manifests: &Manifests) -> Option<serde_json::Value> {
    let groups: Vec<serde_json::Value> = serde_json::from_str(&manifests.current()?.body).ok()?;
    match &manifests.group {
        Some(name) => groups.into_iter().find(|group| group["name"] == *name),
        // The group's name is not read yet; with one group there is no doubt.
        None if groups.len() == 1 => groups.into_iter().next(),
        None => None,
    }
}

/// The path of a lease on today's wire: the owner is the token's issuer.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; the guards read it")]
pub struct WirePath {
    /// The deployment's number.
    dseq: u64,
    /// The group's number.
    gseq: u32,
    /// The order's number.
    oseq: u32,
}

/// A lease's status on today's wire.
#[derive(Debug, Serialize, ToSchema)]
pub struct WireLeaseStatus {
    /// By name.
    services: Option<BTreeMap<String, WireServiceStatus>>,
    /// By service.
    forwarded_ports: Option<BTreeMap<String, Vec<WireForwardedPort>>>,
    /// By service; always null here.
    #[schema(value_type = Option<Object>)]
    ips: Option<BTreeMap<String, String>>,
}

/// A service's status on today's wire.
#[derive(Debug, Serialize, ToSchema)]
pub struct WireServiceStatus {
    /// Its name.
    name: String,
    /// Replicas that are ready.
    available: u32,
    /// Replicas that are wanted.
    total: u32,
    /// Hostnames.
    uris: Option<Vec<String>>,
    /// How often it was changed.
    observed_generation: u64,
    /// Replicas that are wanted.
    replicas: u32,
    /// Replicas that run the newest version.
    updated_replicas: u32,
    /// Replicas that are ready.
    ready_replicas: u32,
    /// Replicas that are ready.
    available_replicas: u32,
}

/// A forwarded port on today's wire.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WireForwardedPort {
    /// The cluster's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    /// The container's port.
    port: u16,
    /// The port on the cluster's address.
    external_port: u16,
    /// `TCP` or `UDP`.
    proto: String,
    /// The service.
    name: String,
}

impl From<ServiceStatus> for WireServiceStatus {
    fn from(status: ServiceStatus) -> Self {
        Self {
            name: status.name,
            available: status.ready,
            total: status.total,
            uris: Some(status.hostnames).filter(|hostnames| !hostnames.is_empty()),
            observed_generation: status.generation,
            replicas: status.total,
            updated_replicas: status.updated,
            ready_replicas: status.ready,
            available_replicas: status.ready,
        }
    }
}

/// `null` for an empty map, as Go writes a map that was never made.
fn or_null<T>(map: BTreeMap<String, T>) -> Option<BTreeMap<String, T>> {
    Some(map).filter(|map| !map.is_empty())
}

impl From<LeaseStatus> for WireLeaseStatus {
    fn from(status: LeaseStatus) -> Self {
        let mut ports: BTreeMap<String, Vec<WireForwardedPort>> = BTreeMap::new();
        for port in status.forwarded_ports {
            ports.entry(port.service.clone()).or_default().push(WireForwardedPort {
                host: port.host,
                port: port.port,
                external_port: port.external_port,
                proto: port.proto,
                name: port.service,
            });
        }
        let services = status.services.into_iter().map(|service| {
            let service = WireServiceStatus::from(service);
            (service.name.clone(), service)
        });
        Self { services: or_null(services.collect()), forwarded_ports: or_null(ports), ips: None }
    }
}

/// Why there is no status: an answer.
async fn status_of(state: &State, lease: &LeaseId) -> Result<Option<LeaseStatus>, Response> {
    match views::manifests(&state.provider, lease).await {
        // Another program may have taken in what runs.
        Ok(Some(manifests)) if !manifests.accepted.is_empty() || manifests.applied.is_some() => {}
        Ok(_) => return Ok(None),
        Err(error) => return Err(failed(&error)),
    }
    match state.provider.cluster.status(lease).await {
        Ok(Some(status)) => Ok(Some(status)),
        Ok(None) => Err(wire::text(StatusCode::NOT_FOUND, "kube: no deployments for lease")),
        Err(error) => Err(cluster_failed(&error)),
    }
}

/// Read a lease's status.
///
/// As today's clients do. Empty 404 while no manifest was taken.
#[utoipa::path(
    get,
    path = "/lease/{dseq}/{gseq}/{oseq}/status",
    tag = "wire",
    operation_id = "wireGetLeaseStatus",
    params(WirePath),
    responses(
        (status = 200, description = "What runs.", body = WireLeaseStatus),
        (status = 400, description = "As everywhere.", body = String, content_type = "text/plain"),
        (status = 401, description = "`{\"message\": …}`.", body = Object),
        (status = 404, description = "Nothing runs.", body = String, content_type = "text/plain"),
        (status = 503, description = "The cluster gives no answer.", body = String, content_type = "text/plain"),
    ),
    security(("tenant" = [])),
)]
pub async fn lease_status(state: State, owner: LeaseOwner<Status>) -> Response {
    match status_of(&state, &owner.lease).await {
        Ok(Some(status)) => wire::json(&WireLeaseStatus::from(status)),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(answer) => answer,
    }
}

/// Read a service's status.
///
/// Any token that covers the lease will do, as today.
#[utoipa::path(
    get,
    path = "/lease/{dseq}/{gseq}/{oseq}/service/{service}/status",
    tag = "wire",
    operation_id = "wireGetServiceStatus",
    params(WirePath, ("service" = String, Path, description = "Its name in the manifest.")),
    responses(
        (status = 200, description = "The service.", body = WireServiceStatus),
        (status = 400, description = "As everywhere.", body = String, content_type = "text/plain"),
        (status = 401, description = "`{\"message\": …}`.", body = Object),
        (status = 404, description = "`kube: …`.", body = String, content_type = "text/plain"),
        (status = 503, description = "The cluster gives no answer.", body = String, content_type = "text/plain"),
    ),
    security(("tenant" = [])),
)]
pub async fn service_status(
    state: State,
    owner: LeaseOwner<Cover>,
    names: RawPathParams,
) -> Response {
    let status = match status_of(&state, &owner.lease).await {
        Ok(Some(status)) => status,
        Ok(None) => return wire::text(StatusCode::NOT_FOUND, "kube: no manifest for lease"),
        Err(answer) => return answer,
    };
    let wanted = names.iter().find(|(name, _)| *name == "service").map_or("", |(_, wanted)| wanted);
    match status.services.into_iter().find(|service| service.name == wanted) {
        Some(service) => wire::json(&WireServiceStatus::from(service)),
        None => wire::text(StatusCode::NOT_FOUND, "kube: no service for that lease"),
    }
}

/// Read the provider's account.
#[utoipa::path(
    get,
    path = "/address",
    tag = "wire",
    operation_id = "wireGetAddress",
    responses((status = 200, description = "`{\"address\": …}`.", body = Object)),
)]
pub async fn address(state: State) -> Response {
    wire::json(&serde_json::json!({ "address": state.provider.address }))
}

/// Read the provider's version.
///
/// `version` is that of the gateway whose wire is spoken, since clients decide by it what they send.
#[utoipa::path(
    get,
    path = "/version",
    tag = "wire",
    operation_id = "wireGetVersion",
    responses((status = 200, description = "Versions.", body = Object)),
)]
pub async fn version() -> Response {
    wire::json(&serde_json::json!({
        "akash": {
            "name": "lessor",
            "server_name": "lessor",
            "version": SPOKEN,
            "commit": "",
            "build_tags": "",
            "go": format!("lessor {}", env!("CARGO_PKG_VERSION")),
            "build_deps": null,
            "cosmos_sdk_version": COSMOS_SDK,
        },
        "kube": null,
    }))
}

/// Sums of a reservation on today's wire.
#[derive(Debug, Serialize)]
struct MetricTotal {
    cpu: u64,
    gpu: u64,
    memory: u64,
    storage_ephemeral: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    storage: BTreeMap<String, u64>,
}

impl From<&ReservationView> for MetricTotal {
    fn from(held: &ReservationView) -> Self {
        Self {
            cpu: held.cpu_milli,
            gpu: held.gpu_units,
            memory: held.memory_bytes,
            storage_ephemeral: held.ephemeral_bytes,
            storage: held.storage.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
struct WireInventory {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    active: Vec<MetricTotal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pending: Vec<MetricTotal>,
    available: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<serde_json::Value>,
}

impl WireInventory {
    fn of(inventory: &InventoryView) -> Self {
        let totals = |leased: bool| {
            let held = inventory.reservations.iter().filter(|held| held.leased == leased);
            held.map(MetricTotal::from).collect()
        };
        let mut available = serde_json::Map::new();
        let nodes: Vec<_> =
            inventory.nodes.iter().filter(|node| node.excluded.is_none()).map(node).collect();
        if !nodes.is_empty() {
            available.insert("nodes".to_owned(), nodes.into());
        }
        let storage: Vec<_> = inventory
            .storage
            .iter()
            .map(|one| serde_json::json!({ "class": one.class, "size": one.bytes.free }))
            .collect();
        if !storage.is_empty() {
            available.insert("storage".to_owned(), storage.into());
        }
        Self {
            active: totals(true),
            pending: totals(false),
            available: available.into(),
            // A Go error has no members.
            error: inventory.observed_at.is_none().then(|| serde_json::json!({})),
        }
    }
}

fn node(node: &views::NodeView) -> serde_json::Value {
    let gpus = |of: fn(&views::QuantityView) -> u64| -> u64 {
        node.gpus.iter().map(|gpu| of(&gpu.units)).sum()
    };
    let part = |of: fn(&views::QuantityView) -> u64| {
        serde_json::json!({
            "cpu": of(&node.cpu_milli),
            "gpu": gpus(of),
            "memory": of(&node.memory_bytes),
            "storage_ephemeral": of(&node.ephemeral_bytes),
        })
    };
    serde_json::json!({
        "name": node.name,
        "allocatable": part(|quantity| quantity.allocatable),
        "available": part(|quantity| quantity.free),
    })
}

/// Read the provider's status.
///
/// Sums only: no lease can be told from it.
#[utoipa::path(
    get,
    path = "/status",
    tag = "wire",
    operation_id = "wireGetStatus",
    responses((status = 200, description = "What there is and what is taken.", body = Object)),
)]
pub async fn status(state: State) -> Response {
    let provider = &state.provider;
    let inventory = match views::inventory(provider).await {
        Ok(inventory) => inventory,
        Err(error) => return failed(&error),
    };
    let counts = match provider.store.order_counts().await {
        Ok(counts) => counts,
        Err(error) => return failed(&error.into()),
    };
    let at_work = ["seen", "bidding", "open", "close_wanted"];
    let orders: u64 = counts
        .iter()
        .filter(|(phase, _)| at_work.contains(&phase.as_str()))
        .map(|(_, count)| count)
        .sum();
    let leased: Vec<&ReservationView> =
        inventory.reservations.iter().filter(|held| held.leased).collect();
    let deployments: BTreeSet<String> = leased
        .iter()
        .map(|held| held.order.splitn(3, '/').take(2).collect::<Vec<_>>().join("/"))
        .collect();
    let settings = provider.settings();
    let mut body = serde_json::json!({
        "cluster": { "leases": leased.len(), "inventory": WireInventory::of(&inventory) },
        "bidengine": { "orders": orders },
        "manifest": { "deployments": deployments.len() },
    });
    if !settings.public_hostname.is_empty() {
        body["cluster_public_hostname"] = settings.public_hostname.clone().into();
    }
    if let Some(seconds) = settings.policy.reclamation_window_s {
        body["reclamation_window"] = seconds.saturating_mul(1_000_000_000).into();
    }
    body["address"] = provider.address.as_str().into();
    let mut response = wire::json(&body);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}
