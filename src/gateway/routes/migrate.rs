//! Moving hostnames and leased addresses between a tenant's own leases, on today's wire.
//!
//! Dropped knowingly of today's gateway: a token without the scope for it is denied, also one that does not cover the lease
//! that a name is taken from; an address moves only when it was asked for; and all names of a request move, or none.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::DeploymentId,
    gateway::{
        State,
        auth::claims::{Claims, Scope},
        extract::{self, BodyRefusal},
        wire::{self, Holder},
    },
    provider::migrate::{MAX_NAMES, MigrateError, Movable},
};

/// The most bytes of a request.
const MAX_BODY: usize = 256 * 1024;

/// Hostnames and where they are to lead.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
pub struct HostnamesToMigrate {
    /// Which.
    #[serde(default)]
    hostnames_to_migrate: Option<Vec<String>>,
    /// The destination's deployment.
    #[serde(default)]
    destination_dseq: u64,
    /// The destination's group.
    #[serde(default)]
    destination_gseq: u32,
}

/// Leased addresses and where they are to lead.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
pub struct EndpointsToMigrate {
    /// Which, by the names that the manifest gives them.
    #[serde(default)]
    endpoints_to_migrate: Option<Vec<String>>,
    /// The destination's deployment.
    #[serde(default)]
    destination_dseq: u64,
    /// The destination's group.
    #[serde(default)]
    destination_gseq: u32,
}

/// Move hostnames to another lease of the same owner.
///
/// As today's clients do. The destination's manifest must name each; they lead there as soon as the lease that had them has
/// let them go.
#[utoipa::path(
    post,
    path = "/hostname/migrate",
    tag = "wire",
    operation_id = "wireMigrateHostnames",
    request_body(content = HostnamesToMigrate),
    responses(
        (status = 200, description = "`{\"transferred\": […]}`.", body = Object),
        (status = 400, description = "`destination deployment does not exist`, `the hostname … is not used by this deployment`, `hostname not allowed: …`; empty when no hostname was named.", body = String, content_type = "text/plain"),
        (status = 401, description = "`{\"message\": …}`.", body = Object),
        (status = 413, description = "Too large.", body = String, content_type = "text/plain"),
        (status = 422, description = "Empty: the body is not what is expected."),
        (status = 500, description = "Empty: the destination has no manifest."),
        (status = 503, description = "The store gives no answer.", body = String, content_type = "text/plain"),
    ),
    security(("tenant" = [])),
)]
pub async fn hostnames(state: State, Holder(claims): Holder, request: Request) -> Response {
    let wish: HostnamesToMigrate = match read(request).await {
        Ok(wish) => wish,
        Err(answer) => return answer,
    };
    let HostnamesToMigrate { hostnames_to_migrate, destination_dseq, destination_gseq } = wish;
    let to = (destination_dseq, destination_gseq);
    migrate(&state, &claims, Movable::Hostnames, hostnames_to_migrate, to).await
}

/// Move leased addresses to another lease of the same owner.
///
/// As today's clients do. The destination's manifest must name each; of an address the ports move that it exposes.
#[utoipa::path(
    post,
    path = "/endpoint/migrate",
    tag = "wire",
    operation_id = "wireMigrateEndpoints",
    request_body(content = EndpointsToMigrate),
    responses(
        (status = 200, description = "`{\"transferred\": […]}`.", body = Object),
        (status = 400, description = "`destination deployment does not exist`, `the endpoint … does not exist in the destination deployment`; empty when no address was named.", body = String, content_type = "text/plain"),
        (status = 401, description = "`{\"message\": …}`.", body = Object),
        (status = 413, description = "Too large.", body = String, content_type = "text/plain"),
        (status = 422, description = "Empty: the body is not what is expected."),
        (status = 500, description = "Empty: the destination has no manifest."),
        (status = 503, description = "The store gives no answer.", body = String, content_type = "text/plain"),
    ),
    security(("tenant" = [])),
)]
pub async fn endpoints(state: State, Holder(claims): Holder, request: Request) -> Response {
    let wish: EndpointsToMigrate = match read(request).await {
        Ok(wish) => wish,
        Err(answer) => return answer,
    };
    let EndpointsToMigrate { endpoints_to_migrate, destination_dseq, destination_gseq } = wish;
    let to = (destination_dseq, destination_gseq);
    migrate(&state, &claims, Movable::Endpoints, endpoints_to_migrate, to).await
}

async fn read<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Response> {
    let body = extract::read_body(request, MAX_BODY).await.map_err(|refusal| match refusal {
        BodyRefusal::TooLarge(_) => {
            wire::text(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large")
        }
        BodyRefusal::TooSlow | BodyRefusal::BrokenOff => {
            StatusCode::UNPROCESSABLE_ENTITY.into_response()
        }
    })?;
    serde_json::from_slice(&body).map_err(|_| StatusCode::UNPROCESSABLE_ENTITY.into_response())
}

async fn migrate(
    state: &State,
    claims: &Claims,
    what: Movable,
    names: Option<Vec<String>>,
    (dseq, gseq): (u64, u32),
) -> Response {
    let names = names.unwrap_or_default();
    if names.is_empty() || names.len() > MAX_NAMES {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let scope = match what {
        Movable::Hostnames => Scope::HostnameMigrate,
        Movable::Endpoints => Scope::IpMigrate,
    };
    let provider = &state.provider.address;
    let destination = DeploymentId::new(claims.issuer.clone(), dseq);
    if !claims.access.allows_deployment(provider, &destination, scope) {
        return wire::denied();
    }
    let may = |lease: &_| claims.access.allows_lease(lease, scope);
    match state.provider.migrate(&destination, gseq, what, &names, may).await {
        Ok(()) => {
            let body = serde_json::json!({ "transferred": names }).to_string();
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &MigrateError) -> Response {
    match error {
        MigrateError::NoManifest => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        MigrateError::Denied => wire::denied(),
        MigrateError::Store(error) => {
            tracing::warn!(%error, "nothing was moved");
            wire::text(StatusCode::SERVICE_UNAVAILABLE, "temporarily unavailable")
        }
        MigrateError::NoLease
        | MigrateError::NotUsed(_)
        | MigrateError::NoEndpoint(_)
        | MigrateError::HostnameTaken(_) => wire::text(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}
