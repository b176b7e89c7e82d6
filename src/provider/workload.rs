//! The executor of cluster effects: a stored manifest becomes what runs, an ended lease's workload goes.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Error, Provider, address,
    deployment::DeploymentRecord,
    intent::{self, ClusterIntent},
    lease::Phase,
    port::{
        ClusterErrorKind, EffectClaim, EffectReport, EffectState, HostnameClaim, HostnameRoute,
        LeaseStatus, Subject, Teardown, Workload,
    },
    step::back_off,
};
use crate::{
    bidengine::placement::GpuKind,
    domain::{DeploymentId, LeaseId},
    manifest::{Group, Manifest},
};

/// Effects that are carried out at once.
const CONCURRENCY: usize = 8;
/// How often a workload that is going is looked at until it is gone.
const GOING: SignedDuration = SignedDuration::from_millis(250);
/// How often a teardown that is held looks whether it may be carried out.
const HELD: SignedDuration = SignedDuration::from_secs(5);
/// The longest wait until what the cluster gave no answer to is tried again: it is one's own, and tenants wait for it.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// How often a workload that is going is looked at while the cluster names what it waits for.
const WAITING: SignedDuration = SignedDuration::from_secs(2);

impl Provider {
    /// Carries out due cluster effects. Returns how many were tried.
    pub async fn run_workloads(&self) -> Result<u32, Error> {
        let now = self.clock.now();
        let until = now.saturating_add(self.settings().claim_ttl).unwrap_or(Timestamp::MAX);
        let claims = self.store.claim_effects(&self.worker, now, until, 32).await?;
        let count = u32::try_from(claims.len()).unwrap_or(u32::MAX);
        let reports: Vec<Result<bool, _>> = stream::iter(claims)
            .map(|claim| async move {
                let report = self.carry_out(&claim).await;
                self.store.report_effect(&claim, &report, self.clock.now()).await
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        for report in reports {
            report?;
        }
        Ok(count)
    }

    async fn carry_out(&self, claim: &EffectClaim) -> EffectReport {
        let effect = &claim.effect;
        let intent: ClusterIntent = match serde_json::from_value(effect.body.clone()) {
            Ok(intent) => intent,
            Err(error) => return failed(&format!("the stored effect cannot be read: {error}")),
        };
        let outcome = match &intent {
            ClusterIntent::Apply { lease, hash, group } => self.apply(lease, hash, group).await,
            ClusterIntent::Quarantine { lease } => self.quarantine(lease).await,
            ClusterIntent::Teardown { lease } => self.teardown(lease).await,
        };
        match outcome {
            Ok(Carried::Done(outcome)) => EffectReport::Settled(EffectState::Done { outcome }),
            Ok(Carried::Refused(reason)) => {
                tracing::warn!(effect = %effect.key, %reason, "the cluster refused");
                failed(&reason)
            }
            Ok(Carried::Superseded(reason)) => EffectReport::Settled(EffectState::Failed {
                outcome: json!({ "reason": reason, "superseded": true }),
            }),
            Ok(Carried::Going { behind: None }) => self.later("the workload is going", GOING),
            Ok(Carried::Going { behind: Some(what) }) => {
                self.later(&format!("the workload is going, after {what}"), WAITING)
            }
            Ok(Carried::Held(reason)) => self.later(&reason, HELD),
            Err(error) => self.later(&error.to_string(), back_off(effect.attempts).min(AGAIN)),
        }
    }

    fn later(&self, error: &str, wait: SignedDuration) -> EffectReport {
        let at = self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        EffectReport::Later { error: error.to_owned(), at }
    }

    async fn apply(&self, lease: &LeaseId, hash: &str, group: &str) -> Result<Carried, Error> {
        let deployment = lease.deployment();
        let record = self.deployment_record(deployment).await?;
        // A try that comes late must not bring back what was torn down meanwhile.
        if !awaits(&record, lease, hash) {
            return Ok(Carried::Superseded("the lease does not wait for it any more".to_owned()));
        }
        // The deployment may have been updated since the manifest was taken: what runs is kept until its manifest comes.
        let on_chain = self.chain.deployment(deployment, record.seen_at).await?;
        if let Some(found) = on_chain.value
            && found.hash != hash
        {
            let reason = format!("the deployment's hash is now {}", found.hash);
            return Ok(Carried::Superseded(reason));
        }
        let claimed = self.store.hostnames(lease).await?;
        let workload = match self.workload(lease, hash, group, &claimed).await? {
            Ok(workload) => workload,
            Err(why) => return Ok(Carried::Refused(why)),
        };
        match self.cluster.apply(&workload).await {
            Ok(()) => Ok(Carried::Done(intent::routed(&claimed))),
            Err(error) if error.kind == ClusterErrorKind::Unavailable => Err(error.into()),
            Err(error) => {
                let before = self.put_back(&workload).await?;
                Ok(Carried::Refused(format!("{}; {before}", error.detail)))
            }
        }
    }

    /// What is to run for a lease by its stored manifest, or why that cannot be said.
    async fn workload(
        &self,
        lease: &LeaseId,
        hash: &str,
        group: &str,
        claimed: &[HostnameClaim],
    ) -> Result<Result<Workload, String>, Error> {
        let Some(row) = self.store.manifest(lease.deployment(), hash).await? else {
            return Ok(Err("the manifest is not stored any more".to_owned()));
        };
        let Ok(manifest) = Manifest::from_json(row.body.as_bytes()) else {
            return Ok(Err("the stored manifest cannot be read".to_owned()));
        };
        let Some(found) = manifest.group(group) else {
            return Ok(Err(format!("the manifest has no group {group:?}")));
        };
        Ok(Ok(Workload {
            lease: lease.clone(),
            manifest_hash: hash.to_owned(),
            group: self.without_withheld_ports(lease, found).await?,
            hostnames: routes(claimed, found),
            gpus: self.gpus(lease).await?,
        }))
    }

    /// What others have changed of the leases of a deployment that run this manifest. Of one whose cluster gives no answer
    /// nothing is said.
    pub(super) async fn drift(
        &self,
        record: &DeploymentRecord,
        hash: &str,
    ) -> Result<BTreeMap<LeaseId, Vec<String>>, Error> {
        let mut found = BTreeMap::new();
        // Collected first: a borrowing closure that is held over an await hides that the future is `Send`.
        let running: Vec<(LeaseId, String)> = record
            .applied(hash)
            .map(|(lease, group)| (lease.id.clone(), group.to_owned()))
            .collect();
        for (lease, group) in running {
            let claimed = self.store.hostnames(&lease).await?;
            let Ok(workload) = self.workload(&lease, hash, &group, &claimed).await? else {
                continue;
            };
            match self.cluster.drift(&workload).await {
                Ok(drift) => {
                    found.insert(lease, drift);
                }
                Err(error) => {
                    tracing::debug!(lease.id = %lease, %error, "nothing is known of drift");
                }
            }
        }
        Ok(found)
    }

    /// Lets what ran before a refused workload run again, since a refusal may come when half is changed. The cluster
    /// says what ran, and the store still has it. Answers what came of that.
    async fn put_back(&self, refused: &Workload) -> Result<String, Error> {
        let lease = &refused.lease;
        let status = self.cluster.status(lease).await?;
        let known = |status: &LeaseStatus| {
            !status.manifest_hash.is_empty() && status.manifest_hash != refused.manifest_hash
        };
        let Some(status) = status.filter(known) else {
            return Ok("nothing ran before".to_owned());
        };
        let row = self.store.manifest(lease.deployment(), &status.manifest_hash).await?;
        let manifest = row.and_then(|row| Manifest::from_json(row.body.as_bytes()).ok());
        let group = manifest.as_ref().and_then(|manifest| manifest.group(&refused.group.name));
        let Some(group) = group.cloned() else {
            return Ok("what ran before is not stored any more".to_owned());
        };
        let before = Workload {
            lease: lease.clone(),
            hostnames: routed(&status, &group),
            manifest_hash: status.manifest_hash,
            group,
            gpus: refused.gpus.clone(),
        };
        match self.cluster.apply(&before).await {
            Ok(()) => Ok("what ran before goes on".to_owned()),
            Err(error) if error.kind == ClusterErrorKind::Unavailable => Err(error.into()),
            Err(error) => Ok(format!("what ran before is refused as well: {}", error.detail)),
        }
    }

    async fn deployment_record(&self, id: &DeploymentId) -> Result<DeploymentRecord, Error> {
        let state = self.store.subject_state(&Subject::Deployment(id.clone())).await?;
        Ok(state.and_then(|state| serde_json::from_value(state).ok()).unwrap_or_default())
    }

    /// The kinds of GPU that the lease's reservation has, which the bid offered.
    async fn gpus(&self, lease: &LeaseId) -> Result<BTreeMap<u32, Vec<GpuKind>>, Error> {
        let reservations = self.store.reservations().await?;
        let held = reservations.held.iter().find(|held| held.order == lease.order);
        Ok(held.map(|held| held.placement.gpus_by_unit()).unwrap_or_default())
    }

    /// The group without the ports of leased addresses that another lease of the owner holds.
    async fn without_withheld_ports(&self, lease: &LeaseId, group: &Group) -> Result<Group, Error> {
        let ports = address::leased_ports(lease.order.owner(), group);
        let wanted: Vec<String> = ports.map(|port| port.claim).collect();
        if wanted.is_empty() {
            return Ok(group.clone());
        }
        let held = self.store.hostname_holders(&wanted).await?;
        let own = self.store.hostnames(lease).await?;
        // Its own too, while another lease has not let it go.
        let is_withheld = |claim: &str| {
            held.iter().any(|(name, _)| name == claim)
                && !own.iter().any(|owned| owned.hostname == claim)
        };
        Ok(address::without_ports(group.clone(), lease, is_withheld))
    }

    async fn quarantine(&self, lease: &LeaseId) -> Result<Carried, Error> {
        if let Some(reason) = self.held_teardowns().await? {
            return Ok(Carried::Held(reason));
        }
        match self.cluster.quarantine(lease).await {
            Ok(()) => Ok(Carried::Done(json!({}))),
            Err(error) => match error.kind {
                ClusterErrorKind::NotFound => Ok(Carried::Done(json!({}))),
                ClusterErrorKind::Refused => Ok(Carried::Refused(error.detail)),
                ClusterErrorKind::Unavailable => Err(error.into()),
            },
        }
    }

    async fn teardown(&self, lease: &LeaseId) -> Result<Carried, Error> {
        if let Some(reason) = self.held_teardowns().await? {
            return Ok(Carried::Held(reason));
        }
        match self.cluster.teardown(lease).await {
            Ok(Teardown::Gone) => Ok(Carried::Done(json!({}))),
            Ok(Teardown::Going { held_by, .. }) => {
                Ok(Carried::Going { behind: (!held_by.is_empty()).then(|| held_by.join("; ")) })
            }
            Err(error) if error.kind == ClusterErrorKind::NotFound => Ok(Carried::Done(json!({}))),
            // A teardown that is refused now is asked for again: only "gone" ends it.
            Err(error) => Err(error.into()),
        }
    }
}

/// Where the hostnames lead that the lease holds.
fn routes(claimed: &[HostnameClaim], group: &Group) -> Vec<HostnameRoute> {
    let route = |claim: &HostnameClaim| {
        let HostnameClaim { hostname, service, .. } = claim.clone();
        let port = port_of(group, &service)?;
        Some(HostnameRoute { hostname, service, port })
    };
    claimed.iter().filter(|claim| !address::is_port(&claim.hostname)).filter_map(route).collect()
}

/// Where the hostnames lead that the cluster routes now: the claims are already those of the refused manifest.
fn routed(status: &LeaseStatus, group: &Group) -> Vec<HostnameRoute> {
    let services = status.services.iter().filter_map(|service| {
        let port = port_of(group, &service.name)?;
        let route = move |hostname: &String| HostnameRoute {
            hostname: hostname.clone(),
            service: service.name.clone(),
            port,
        };
        Some(service.hostnames.iter().map(route))
    });
    services.flatten().collect()
}

/// The port that a service serves HTTP on.
fn port_of(group: &Group, service: &str) -> Option<u16> {
    let service = group.services.iter().find(|found| found.name == service)?;
    u16::try_from(service.ingresses().next()?.port).ok()
}

/// Whether the lease's step still waits for this manifest to be applied.
fn awaits(record: &DeploymentRecord, lease: &LeaseId, hash: &str) -> bool {
    let lease = record.orders.get(&lease.order).and_then(|order| order.lease.as_ref());
    lease.is_some_and(
        |lease| matches!(&lease.phase, Phase::Applying { hash: wanted } if wanted == hash),
    )
}

enum Carried {
    Done(serde_json::Value),
    Going { behind: Option<String> },
    Held(String),
    Superseded(String),
    Refused(String),
}

fn failed(reason: &str) -> EffectReport {
    EffectReport::Settled(EffectState::Failed { outcome: json!({ "reason": reason }) })
}
