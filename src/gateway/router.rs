//! The table of contents: every route, who it is for, and the layers around all of them.
//!
//! | group | listener | who |
//! |---|---|---|
//! | [`indexer`] | public | indexers, by signature |
//! | [`wire`] | public | tenants with today's tools, by token |
//! | [`tenant`] | public, admin | tenants by token; the operator |
//! | [`operator`] | admin | the operator |
//! | [`platform`] | public, admin | anyone |
//! | [`pages`] | public, admin | anyone with a browser |
//! | [`private`] | admin | whoever reaches the operator's listener |
//!
//! Where there is one port, [`merged`] has all of them.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State as Shared},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, Method, header};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer, sensitive_headers::SetSensitiveRequestHeadersLayer,
    trace::TraceLayer,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    State,
    auth::session::CSRF,
    extract,
    problem::{self, Code, Problem},
    request_id::{self, RequestId},
    routes as r, wire as texts,
};
use crate::telemetry::RequestLabels;

/// How long an answer may take to begin.
const TIMEOUT: Duration = Duration::from_secs(30);
/// No body is larger than this, whatever a route says.
const MAX_BODY: usize = 4 * 1024 * 1024;

type Routes = OpenApiRouter<State>;

/// Where indexers push.
fn indexer() -> Routes {
    OpenApiRouter::new().routes(routes!(r::webhooks::receive, r::webhooks::handshake))
}

/// Today's wire, at the root.
fn wire() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(r::wire::address))
        .routes(routes!(r::wire::version))
        .routes(routes!(r::wire::status))
        .routes(routes!(r::wire::put_manifest))
        .routes(routes!(r::wire::get_manifest))
        .routes(routes!(r::wire::lease_status))
        .routes(routes!(r::wire::service_status))
        .routes(routes!(r::migrate::hostnames))
        .routes(routes!(r::migrate::endpoints))
}

/// Tenants, the clean way; the operator may read here too.
fn tenant() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(r::me::get))
        .routes(routes!(r::leases::list))
        .routes(routes!(r::leases::get))
        .routes(routes!(r::leases::services))
        .routes(routes!(r::leases::logs))
        .routes(routes!(r::leases::events))
        .routes(routes!(r::exec::exec))
        .routes(routes!(r::deployments::put_manifest))
        .routes(routes!(r::deployments::validate_manifest))
        .routes(routes!(r::orders::decision))
}

/// The operator.
fn operator() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(r::orders::list))
        .routes(routes!(r::bids::list))
        .routes(routes!(r::inventory::get))
        .routes(routes!(r::transactions::list))
        .routes(routes!(r::transactions::deadlines))
        .routes(routes!(r::streams::list))
        .routes(routes!(r::streams::get))
        .routes(routes!(r::streams::backfill))
        .routes(routes!(r::streams::deliveries))
        .routes(routes!(r::stuck::list))
        .routes(routes!(r::stuck::retry))
        .routes(routes!(r::funnel::get))
        .routes(routes!(r::maintenance::get, r::maintenance::put))
        .routes(routes!(r::maintenance::agree))
        .routes(routes!(r::session::open, r::session::get, r::session::end))
        .routes(routes!(r::stream::follow))
        .routes(routes!(r::policy::get, r::policy::put))
        .routes(routes!(r::policy::versions))
        .routes(routes!(r::streams::rewind))
        .routes(routes!(r::audit::list))
        .routes(routes!(r::doctor::get))
        .routes(routes!(r::tick::tick))
}

/// What anyone may ask of a process.
fn platform() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(r::platform::livez))
        .routes(routes!(r::platform::readyz))
        .routes(routes!(r::platform::openapi_json))
        .routes(routes!(r::platform::sdl_schema))
        .routes(routes!(r::sdl::check))
        .routes(routes!(r::overview::get))
        .routes(routes!(r::problems::list))
        .routes(routes!(r::problems::get))
}

/// The dashboard and the viewer of the API: pages for people, no part of the document. `operated` says whether the
/// operator's routes stand beside them.
fn pages(operated: bool) -> Routes {
    OpenApiRouter::new()
        .route("/", get(move |state, headers| r::page::page(state, headers, operated)))
        .route("/docs", get(r::page::docs))
        .route("/assets/{version}/{*path}", get(r::page::asset))
}

/// What says more of a process than the world need know.
fn private() -> Routes {
    OpenApiRouter::new().routes(routes!(r::platform::metrics))
}

/// Every route.
pub(super) fn all() -> Routes {
    indexer().merge(wire()).merge(tenant()).merge(operator()).merge(platform()).merge(private())
}

/// What the world reaches.
pub fn public(state: &State) -> Router {
    finish(indexer().merge(wire()).merge(tenant()).merge(platform()).merge(pages(false)), state)
}

/// What the operator reaches.
pub fn admin(state: &State) -> Router {
    finish(tenant().merge(operator()).merge(platform()).merge(private()).merge(pages(true)), state)
}

/// Everything on one port.
pub fn merged(state: &State) -> Router {
    finish(all().merge(pages(true)), state)
}

/// The layers, the outermost first.
fn finish(routes: Routes, state: &State) -> Router {
    let (router, _) = routes.split_for_parts();
    let secrets = [
        header::AUTHORIZATION,
        header::COOKIE,
        CSRF,
        HeaderName::from_static("webhook-signature"),
        HeaderName::from_static("svix-signature"),
    ];
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(state.provider.entropy.clone(), request_id::assign))
        .layer(SetSensitiveRequestHeadersLayer::new(secrets))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(from_fn_with_state(state.clone(), count))
        .layer(from_fn(problem::render))
        .layer(from_fn(texts::keep))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(limit));
    let router = router
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(layers)
        .with_state(state.clone());
    // The router adds the list of methods when all of its layers are done, so what takes it off stands around it.
    Router::new().fallback_service(router).layer(from_fn(texts::without_allow))
}

fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str)
}

/// The log's view of a request: its route and its id. A path may hold what is nobody's business.
fn span(request: &Request) -> tracing::Span {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    tracing::info_span!(
        "request",
        request.id = id.as_str(),
        method = %request.method(),
        route = route(request),
    )
}

async fn count(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let method = method(request.method());
    let route = route(&request).to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    let labels = RequestLabels { method, route, status: response.status().as_u16() };
    state.metrics.answered(&labels, began.elapsed());
    response
}

/// A word of a closed list: a stranger's own methods are one.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer asks for")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    let cause = text.unwrap_or_else(|| "a handler panicked".to_owned());
    Problem::internal(cause).into_response()
}

/// Bounds of size and time that hold for every route.
async fn limit(request: Request, next: Next) -> Response {
    // Who reads a body has a limit of its own and says it; this one is for whoever forgot.
    let answer = next.run(extract::limit_body(request, MAX_BODY));
    match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::GatewayTimeout).into_response(),
    }
}

/// Paths that speak problems; all others are today's wire.
fn speaks_problems(path: &str) -> bool {
    ["/v1/", "/webhooks/", "/internal/", "/problems/"].iter().any(|root| path.starts_with(root))
}

async fn unknown_route(request: Request) -> Response {
    if speaks_problems(request.uri().path()) {
        Problem::new(Code::RouteNotFound).into_response()
    } else {
        texts::not_found()
    }
}

async fn unknown_method(request: Request) -> Response {
    let path = request.uri().path();
    if speaks_problems(path) {
        Problem::new(Code::MethodNotAllowed).into_response()
    } else {
        texts::unknown_method(path)
    }
}
