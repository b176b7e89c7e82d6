//! Leases as their owners and the operator see them: list, one, its services, its logs, its events.

use axum::{Json, response::Response};
use futures_util::StreamExt;
use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{Address, LeaseId, LeaseState},
    gateway::{
        State,
        auth::{
            Caller,
            claims::Scope,
            guard::{Events, Known, LeaseReader, Logs, Status},
        },
        extract::{self, OrderPath, Query},
        problem::{Code, Problem},
        sse,
    },
    provider::{
        Error,
        port::{ClusterError, ClusterErrorKind, ClusterEvent, LogLine, LogQuery},
        views::{self, LeaseFilter, LeaseView, Page, ServiceView},
    },
};

/// The most services that a log's filter may name.
const MAX_SERVICES: usize = 64;

/// The word for leases that are not closed.
const OPEN: &str = "open";

/// Which leases.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only of this owner; the operator's, since a tenant sees their own.
    owner: Option<String>,
    /// Only in this state on chain: `active`, `insufficient_funds`, `closed`, `reclaiming`; or `open`, for all but `closed`.
    /// All leases that are open are counted too, for the operator.
    state: Option<String>,
    /// Where to go on: `next` of the page before.
    #[param(max_length = 512)]
    after: Option<String>,
    /// The most items of the page, 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl ListQuery {
    fn filter(&self, caller: &Caller) -> Result<LeaseFilter, Problem> {
        let malformed = |detail: String| Problem::new(Code::MalformedQuery).detail(detail);
        let asked = self.owner.as_deref().map(str::parse::<Address>).transpose();
        let asked = asked.map_err(|error| malformed(error.to_string()))?;
        let open = self.state.as_deref() == Some(OPEN);
        let state = self.state.clone().filter(|_| !open);
        if let Some(state) = state.as_deref()
            && LeaseState::from_text(state).is_none()
        {
            return Err(malformed(format!("{state:?} is no state of a lease")));
        }
        let owner = match caller {
            Caller::Operator => asked,
            Caller::Tenant(claims) => {
                if asked.is_some_and(|asked| asked != claims.issuer) {
                    let detail = "a tenant lists their own leases";
                    return Err(Problem::new(Code::ScopeMissing).detail(detail));
                }
                Some(claims.issuer.clone())
            }
        };
        Ok(LeaseFilter { owner, state, open })
    }
}

/// List leases.
///
/// A tenant sees their own, those that the token allows `status` for; the operator sees all. Most recently changed first.
/// What is said of services is what was observed last.
#[utoipa::path(
    get,
    path = "/v1/leases",
    tag = "tenant",
    operation_id = "listLeases",
    params(ListQuery),
    responses((status = 200, description = "Leases.", body = Page<LeaseView>)),
    security(("tenant" = []), ("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "scope_missing", "store_unavailable"]))),
)]
pub async fn list(
    state: State,
    Known(caller): Known,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<LeaseView>>, Problem> {
    let filter = query.filter(&caller)?;
    let limit = extract::limit(query.limit)?;
    let mut page = views::leases(&state.provider, filter, query.after.as_deref(), limit).await?;
    if let Caller::Tenant(claims) = &caller {
        page.items.retain(|lease| {
            lease.id.parse().is_ok_and(|id| claims.access.allows_lease(&id, Scope::Status))
        });
    }
    Ok(Json(page))
}

/// Read one lease.
///
/// With what the cluster says of its services now; `observed_at` tells when, should the cluster be silent.
#[utoipa::path(
    get,
    path = "/v1/leases/{owner}/{dseq}/{gseq}/{oseq}",
    tag = "tenant",
    operation_id = "getLease",
    params(OrderPath),
    responses((status = 200, description = "The lease.", body = LeaseView)),
    security(("tenant" = []), ("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "scope_missing", "lease_not_found", "store_unavailable",
    ]))),
)]
pub async fn get(state: State, reader: LeaseReader<Status>) -> Result<Json<LeaseView>, Problem> {
    read(&state, &reader).await.map(Json)
}

async fn read(state: &State, reader: &LeaseReader<Status>) -> Result<LeaseView, Problem> {
    let lease = views::lease(&state.provider, &reader.lease).await?;
    let mut lease = lease.ok_or_else(|| Problem::new(Code::LeaseNotFound))?;
    if let Some(allowed) = reader.caller.services(&reader.lease, Scope::Status) {
        lease.services.retain(|service| allowed.contains(service.name.as_str()));
        lease.forwarded_ports.retain(|port| allowed.contains(port.service.as_str()));
    }
    Ok(lease)
}

/// List a lease's services.
///
/// Those that the token names, when it names some.
#[utoipa::path(
    get,
    path = "/v1/leases/{owner}/{dseq}/{gseq}/{oseq}/services",
    tag = "tenant",
    operation_id = "listServices",
    params(OrderPath),
    responses((status = 200, description = "Services by name.", body = Page<ServiceView>)),
    security(("tenant" = []), ("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "scope_missing", "lease_not_found", "store_unavailable",
    ]))),
)]
pub async fn services(
    state: State,
    reader: LeaseReader<Status>,
) -> Result<Json<Page<ServiceView>>, Problem> {
    let lease = read(&state, &reader).await?;
    Ok(Json(Page::whole(lease.services)))
}

/// Which log lines.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// Names of services, separated by commas; all when not given.
    service: Option<String>,
    /// Go on with new lines. True when not given.
    follow: Option<bool>,
    /// Only the last so many lines of each replica.
    tail: Option<u64>,
    /// The lines of each replica before its last restart, and nothing else; they are not followed.
    previous: Option<bool>,
}

/// A line of a service's log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LogEvent {
    /// The service.
    service: String,
    /// The replica.
    replica: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The line without its end.
    line: String,
    /// True when the service did not write the line: it says what happened to the replica here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    note: bool,
}

impl From<LogLine> for sse::Item<LogEvent> {
    fn from(line: LogLine) -> Self {
        let LogLine { cursor, service, replica, at, line, is_note } = line;
        Self { id: cursor, data: LogEvent { service, replica, at, line, note: is_note } }
    }
}

/// Read a lease's logs.
///
/// Server-sent events named `log`, each with an id; send the last one back as `Last-Event-ID` to go on where the
/// connection broke. The stream closes with an `end` event, or a `problem` event when the cluster breaks off.
#[utoipa::path(
    get,
    path = "/v1/leases/{owner}/{dseq}/{gseq}/{oseq}/logs",
    tag = "tenant",
    operation_id = "streamLogs",
    params(
        OrderPath,
        ("last-event-id" = Option<String>, Header, description = "Go on after this event.", max_length = 512),
        LogsQuery,
    ),
    responses((status = 200, description = "Lines, oldest first.", body = LogEvent, content_type = "text/event-stream")),
    security(("tenant" = []), ("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "malformed_query", "scope_missing", "lease_not_found",
        "service_not_found", "not_in_cluster", "cluster_unavailable", "cluster_refused",
        "store_unavailable",
    ]))),
)]
pub async fn logs(
    state: State,
    reader: LeaseReader<Logs>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let allowed = reader.caller.services(&reader.lease, Scope::Logs);
    let services = wanted_services(query.service.as_deref(), allowed.as_ref())?;
    let query = LogQuery {
        services,
        follow: query.follow.unwrap_or(true),
        tail: query.tail,
        after: sse::last_event_id(&headers)?,
        previous: query.previous.unwrap_or(false),
    };
    is_in_cluster(&state, &reader.lease).await?;
    let lines = match state.provider.cluster.logs(&reader.lease, &query).await {
        Ok(lines) => lines,
        Err(error) => return Err(no_logs(&state, &reader.lease, &query, error).await),
    };
    let items = lines.map(|line| line.map(sse::Item::from));
    Ok(sse::respond("log", items, state.shutdown.clone()))
}

/// Why there are no logs: an id that is none of this stream's, a service that the lease does not have, or the cluster.
async fn no_logs(state: &State, lease: &LeaseId, query: &LogQuery, error: ClusterError) -> Problem {
    if let Some(problem) = not_an_id(query.after.as_deref(), &error) {
        return problem;
    }
    if error.kind == ClusterErrorKind::NotFound
        && let Ok(Some(lease)) = views::lease(&state.provider, lease).await
        && let Some(unknown) = query
            .services
            .iter()
            .find(|name| lease.services.iter().all(|service| service.name != **name))
        && !lease.services.is_empty()
    {
        let detail = format!("the lease has no service {unknown:?}");
        return Problem::new(Code::ServiceNotFound).detail(detail);
    }
    Error::from(error).into()
}

/// What a cluster refuses of a stream is the place from which it should go on.
fn not_an_id(after: Option<&str>, error: &ClusterError) -> Option<Problem> {
    let refused = after.is_some() && error.kind == ClusterErrorKind::Refused;
    refused.then(|| {
        Problem::new(Code::MalformedQuery).detail("last-event-id is no id of this stream's events")
    })
}

/// The services that are asked for, as far as they are allowed; an empty list is all of them.
fn wanted_services(
    asked: Option<&str>,
    allowed: Option<&std::collections::BTreeSet<&str>>,
) -> Result<Vec<String>, Problem> {
    let asked: Vec<&str> = asked.map(|text| text.split(',').collect()).unwrap_or_default();
    if asked.len() > MAX_SERVICES || asked.contains(&"") {
        let detail = format!("service takes 1 to {MAX_SERVICES} names, separated by commas");
        return Err(Problem::new(Code::MalformedQuery).detail(detail));
    }
    let Some(allowed) = allowed else {
        return Ok(asked.into_iter().map(str::to_owned).collect());
    };
    if let Some(other) = asked.iter().find(|name| !allowed.contains(*name)) {
        let detail = format!("the token does not allow the logs of service {other:?}");
        return Err(Problem::new(Code::ScopeMissing).detail(detail));
    }
    let names = if asked.is_empty() { allowed.iter().copied().collect() } else { asked };
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The rows know the lease. What runs of it, the cluster says.
pub(super) async fn is_in_cluster(state: &State, lease: &LeaseId) -> Result<(), Problem> {
    match views::lease_record(&state.provider, lease).await? {
        None => Err(Problem::new(Code::LeaseNotFound)),
        Some(record) if record.applied.is_none() => Err(Problem::new(Code::NotInCluster)
            .detail(format!("the lease stands at {}", record.phase.as_str()))),
        Some(_) => Ok(()),
    }
}

/// Which cluster events.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Go on with new events. True when not given.
    follow: Option<bool>,
}

/// Something that happened to a lease's workload.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WorkloadEvent {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The service, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// `Scheduled`, `Pulling`, `Started`, `BackOff`, …
    reason: String,
    /// For people.
    message: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    kind: String,
}

impl From<ClusterEvent> for sse::Item<WorkloadEvent> {
    fn from(event: ClusterEvent) -> Self {
        let ClusterEvent { cursor, at, service, reason, message, kind } = event;
        Self { id: cursor, data: WorkloadEvent { at, service, reason, message, kind } }
    }
}

/// Read what happens to a lease's workload.
///
/// Server-sent events named `event`, each with an id to resume from, as with logs.
#[utoipa::path(
    get,
    path = "/v1/leases/{owner}/{dseq}/{gseq}/{oseq}/events",
    tag = "tenant",
    operation_id = "streamEvents",
    params(
        OrderPath,
        ("last-event-id" = Option<String>, Header, description = "Go on after this event.", max_length = 512),
        EventsQuery,
    ),
    responses((status = 200, description = "Events, oldest first.", body = WorkloadEvent, content_type = "text/event-stream")),
    security(("tenant" = []), ("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "malformed_query", "scope_missing", "lease_not_found", "not_in_cluster",
        "cluster_unavailable", "cluster_refused", "store_unavailable",
    ]))),
)]
pub async fn events(
    state: State,
    reader: LeaseReader<Events>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    is_in_cluster(&state, &reader.lease).await?;
    let after = sse::last_event_id(&headers)?;
    let follow = query.follow.unwrap_or(true);
    let events = state.provider.cluster.events(&reader.lease, follow, after.as_deref()).await;
    let events = events.map_err(|error| {
        not_an_id(after.as_deref(), &error).unwrap_or_else(|| Error::from(error).into())
    })?;
    let allowed: Option<std::collections::BTreeSet<String>> = reader
        .caller
        .services(&reader.lease, Scope::Events)
        .map(|names| names.into_iter().map(str::to_owned).collect());
    let items = events.filter_map(move |event| {
        let shown = match &event {
            Ok(ClusterEvent { service: Some(service), .. }) => {
                allowed.as_ref().is_none_or(|names| names.contains(service))
            }
            _ => true,
        };
        std::future::ready(shown.then(|| event.map(sse::Item::from)))
    });
    Ok(sse::respond("event", items, state.shutdown.clone()))
}
