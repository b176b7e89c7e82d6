//! Leases: where they stand on chain and in the cluster.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{MoneyView, Page, order::record, stuck::backlog};
use crate::{
    domain::{Address, LeaseId},
    provider::{
        Error, Provider, intent,
        lease::{Drift, LeaseRecord, Phase},
        port::{
            ClusterError, ForwardedPort, LeaseStatus, ManifestRow, OrderFilter, ServiceStatus,
            Subject,
        },
    },
};

/// How long the cluster may take to answer before the last observation is shown instead.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// A lease with this provider.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LeaseView {
    /// `owner/dseq/gseq/oseq/provider`.
    pub id: String,
    /// The tenant.
    pub owner: String,
    /// The deployment's number.
    pub dseq: u64,
    /// The group's number.
    pub gseq: u32,
    /// The order's number.
    pub oseq: u32,
    /// Where it stands on chain: `active`, `insufficient_funds`, `closed`, `reclaiming`.
    #[schema(example = "active")]
    pub state: String,
    /// Where it stands here: `awaiting_manifest`, `applying`, `running`, `refused`, `close_wanted`, `stopping`, `quarantined`,
    /// `tearing_down`, `gone`.
    #[schema(example = "running")]
    pub phase: &'static str,
    /// Why it stands there, where there is more to say: what the cluster refused, why it is to be closed, and of one lease
    /// what an apply or a teardown that does not get on waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase_reason: Option<String>,
    /// Until when a manifest is waited for, in block time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub manifest_until: Option<Timestamp>,
    /// Until when its data is kept although it has ended, in block time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub kept_until: Option<Timestamp>,
    /// Whether every replica of every service is ready.
    pub ready: bool,
    /// Per block.
    pub price: MoneyView,
    /// The block that made it.
    pub created_at: u64,
    /// The last block that the deployment's escrow pays in full, should no lease of it begin or end and nothing be put in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funded_until: Option<u64>,
    /// The height of the newest evidence of its state.
    pub seen_at: u64,
    /// Why it ended on chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<String>,
    /// SHA-256 of the manifest that runs; absent also where another program took in what runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<String>,
    /// SHA-256 of the manifest that is on its way into the cluster, or that the cluster refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_tried: Option<String>,
    /// What others did to its objects in the cluster, if they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftView>,
    /// When the cluster answered what is said of services.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub observed_at: Option<Timestamp>,
    /// What runs, by name.
    pub services: Vec<ServiceView>,
    /// Ports that are reachable on the cluster's address.
    pub forwarded_ports: Vec<ForwardedPortView>,
}

/// What others did to a lease's objects in the cluster: deleted or changed by hand, and written again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DriftView {
    /// How often it was mended.
    pub mended: u32,
    /// When it was mended last, in block time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub mended_at: Option<Timestamp>,
    /// What is seen now, or else what was mended last.
    #[schema(example = "Service web was deleted")]
    pub objects: Vec<String>,
}

impl DriftView {
    fn of(drift: &Drift) -> Option<Self> {
        let last = drift.last.as_ref();
        let objects = if drift.noticed.is_empty() {
            last.map(|(_, objects)| objects.clone())?
        } else {
            drift.noticed.clone()
        };
        Some(Self { mended: drift.mended, mended_at: last.map(|(at, _)| *at), objects })
    }
}

/// One service of a lease.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ServiceView {
    /// Its name in the manifest.
    pub name: String,
    /// Whether all replicas are ready.
    pub is_ready: bool,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that are wanted.
    pub total: u32,
    /// Replicas that run the newest version.
    pub updated: u32,
    /// Where it is reached over HTTP.
    pub hostnames: Vec<String>,
    /// Why it is not ready, where the cluster knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ImagePullBackOff: no such image")]
    pub reason: Option<String>,
}

/// A port of a service that is reachable on the cluster's address.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ForwardedPortView {
    /// The service.
    pub service: String,
    /// The cluster's address.
    pub host: String,
    /// The port that the service listens on.
    pub port: u16,
    /// The port on the cluster's address.
    pub external_port: u16,
    /// `TCP` or `UDP`.
    pub proto: String,
}

/// Which leases a page is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseFilter {
    /// Only of this owner.
    pub owner: Option<Address>,
    /// Only in this state on chain.
    pub state: Option<String>,
    /// Only those that are not closed on chain.
    pub open: bool,
}

/// The manifests of a lease's deployment: the one that runs, when one does, and those that were accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifests {
    /// The group that the lease is for, once it was read on chain.
    pub group: Option<String>,
    /// The hash of the manifest that the cluster took in last.
    pub applied: Option<String>,
    /// Newest first.
    pub accepted: Vec<ManifestRow>,
}

impl Manifests {
    /// The manifest that runs, or the newest accepted one while none does.
    #[must_use]
    pub fn current(&self) -> Option<&ManifestRow> {
        let applied = self.applied.as_ref();
        self.accepted
            .iter()
            .find(|row| Some(&row.hash) == applied)
            .or_else(|| self.accepted.first())
    }
}

impl From<&ServiceStatus> for ServiceView {
    fn from(status: &ServiceStatus) -> Self {
        Self {
            name: status.name.clone(),
            is_ready: status.ready >= status.total,
            ready: status.ready,
            total: status.total,
            updated: status.updated,
            hostnames: status.hostnames.clone(),
            reason: status.reason.clone(),
        }
    }
}

impl From<&ForwardedPort> for ForwardedPortView {
    fn from(port: &ForwardedPort) -> Self {
        Self {
            service: port.service.clone(),
            host: port.host.clone(),
            port: port.port,
            external_port: port.external_port,
            proto: port.proto.clone(),
        }
    }
}

fn phase_reason(phase: &Phase) -> Option<String> {
    match phase {
        Phase::Refused { reason, .. } => Some(reason.clone()),
        Phase::CloseWanted { reason } => Some(reason.to_string()),
        _ => None,
    }
}

fn tried(phase: &Phase) -> Option<&str> {
    match phase {
        Phase::Applying { hash } | Phase::Refused { hash, .. } => Some(hash),
        _ => None,
    }
}

impl From<&LeaseRecord> for LeaseView {
    fn from(record: &LeaseRecord) -> Self {
        let order = &record.id.order;
        let kept_until = match record.phase {
            Phase::Quarantined { until } => Some(until),
            _ => None,
        };
        let (observed_at, services, forwarded_ports) = match &record.status {
            Some((at, status)) => (
                Some(*at),
                status.services.iter().map(ServiceView::from).collect(),
                status.forwarded_ports.iter().map(ForwardedPortView::from).collect(),
            ),
            None => (None, Vec::new(), Vec::new()),
        };
        Self {
            id: record.id.to_string(),
            owner: order.owner().to_string(),
            dseq: order.dseq(),
            gseq: order.gseq(),
            oseq: order.oseq,
            state: record.state.to_string(),
            phase: record.phase.as_str(),
            phase_reason: phase_reason(&record.phase),
            manifest_until: record.deadline().filter(|_| kept_until.is_none()),
            kept_until,
            ready: record.is_ready(),
            price: (&record.price).into(),
            created_at: record.created_at.0,
            funded_until: record.funded_until.map(|height| height.0),
            seen_at: record.seen_at.0,
            close_reason: (!record.state.is_running()).then(|| record.reason.to_string()),
            manifest_hash: record.applied.clone().filter(|hash| !hash.is_empty()),
            manifest_tried: tried(&record.phase).map(str::to_owned),
            drift: DriftView::of(&record.drift),
            observed_at,
            services,
            forwarded_ports,
        }
    }
}

/// A lease as the rows have it; `None` when they do not know it.
///
/// # Errors
/// When the store gives no answer.
pub async fn lease_record(provider: &Provider, id: &LeaseId) -> Result<Option<LeaseRecord>, Error> {
    let row = provider.store.order(&id.order).await?;
    let lease = row.and_then(|row| record(&row)).and_then(|record| record.lease);
    Ok(lease.filter(|lease| lease.id == *id))
}

/// A lease with what the cluster says of it now, or what it said last.
///
/// # Errors
/// When the store gives no answer. A cluster that gives none is seen by `observed_at`.
pub async fn lease(provider: &Provider, id: &LeaseId) -> Result<Option<LeaseView>, Error> {
    let Some(mut record) = lease_record(provider, id).await? else { return Ok(None) };
    if record.applied.is_some() && record.phase != Phase::Gone {
        match ask(provider, id).await {
            Some(Ok(status)) => record.status = status.map(|status| (provider.clock.now(), status)),
            Some(Err(error)) => {
                tracing::warn!(lease.id = %id, %error, "the last observation is shown");
            }
            None => tracing::warn!(lease.id = %id, "the cluster takes too long"),
        }
    }
    let mut view = LeaseView::from(&record);
    if view.phase_reason.is_none() {
        view.phase_reason = waits_for(provider, &record).await?;
    }
    Ok(Some(view))
}

/// What the cluster answered when the lease's apply or teardown was tried last, while that is not done.
async fn waits_for(provider: &Provider, lease: &LeaseRecord) -> Result<Option<String>, Error> {
    let key = match &lease.phase {
        Phase::Applying { hash } => intent::apply_key(&lease.id, hash, lease.applies),
        Phase::TearingDown => intent::teardown_key(&lease.id),
        _ => return Ok(None),
    };
    let subject = Subject::Deployment(lease.id.deployment().clone());
    let effects = provider.store.effects(&subject).await?;
    let tried = effects.into_iter().find(|effect| effect.key == key);
    Ok(tried.and_then(|effect| {
        let attempts = effect.attempts;
        effect.last_error.map(|error| format!("try {attempts}: {error}"))
    }))
}

async fn ask(
    provider: &Provider,
    id: &LeaseId,
) -> Option<Result<Option<LeaseStatus>, ClusterError>> {
    tokio::time::timeout(STATUS_TIMEOUT, provider.cluster.status(id)).await.ok()
}

/// Leases, most recently changed first, with what was observed last.
///
/// # Errors
/// When the store gives no answer.
pub async fn leases(
    provider: &Provider,
    filter: LeaseFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<LeaseView>, Error> {
    let total = if filter.open && filter.owner.is_none() {
        Some(backlog(provider, Timestamp::MIN).await?.open_leases)
    } else {
        None
    };
    let filter = OrderFilter {
        owner: filter.owner,
        lease: Some(filter.state),
        open_lease: filter.open,
        ..OrderFilter::default()
    };
    let page = provider.store.orders(&filter, after, limit).await?;
    let leases = page.rows.iter().filter_map(|row| record(row)?.lease);
    let items = leases.map(|lease| LeaseView::from(&lease)).collect();
    Ok(Page { items, next: page.next, total })
}

/// What was uploaded for a lease; `None` when the rows do not know the lease.
///
/// # Errors
/// When the store gives no answer.
pub async fn manifests(provider: &Provider, id: &LeaseId) -> Result<Option<Manifests>, Error> {
    let row = provider.store.order(&id.order).await?;
    let Some(order) = row.and_then(|row| record(&row)) else { return Ok(None) };
    let Some(lease) = order.lease.filter(|lease| lease.id == *id) else { return Ok(None) };
    let accepted = provider.store.manifests(id.deployment()).await?;
    Ok(Some(Manifests { group: order.group, applied: lease.applied, accepted }))
}
