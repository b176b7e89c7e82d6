//! A tenant moves hostnames, or ports of leased addresses, from one of their leases to another.
//!
//! The claims move at once, in one transaction. What is routed follows: first the lease that had a name is applied without
//! it, and when the cluster has taken that in, the other one with it. So no two leases ever route one hostname, which some
//! entrances refuse, and the name is away for as long as the second apply takes.
//!
//! The surprising fact: nothing is moved back when the destination ends; its names are free then.

use std::collections::BTreeSet;

use super::{
    Provider, address,
    deployment::{DeploymentRecord, OrderRecord},
    lease::LeaseRecord,
    port::{AuditLine, HostnameClaim, HostnamesMoved, StoreError, Subject},
};
use crate::{
    domain::{DeploymentId, LeaseId},
    manifest::{Group, Manifest},
};

/// The most names that may be moved at once.
pub const MAX_NAMES: usize = 256;

/// What is to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movable {
    /// Hostnames of HTTP services.
    Hostnames,
    /// All ports of leased addresses, by the tenant's names of those.
    Endpoints,
}

/// Why nothing was moved. The texts are those that today's clients know.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is no running lease of this deployment and group.
    #[error("destination deployment does not exist")]
    NoLease,
    /// No manifest of the destination was taken in yet.
    #[error("the destination has no manifest")]
    NoManifest,
    /// The destination's manifest does not name a hostname.
    #[error("the hostname {0:?} is not used by this deployment")]
    NotUsed(String),
    /// The destination's manifest does not name an address.
    #[error("the endpoint {0:?} does not exist in the destination deployment")]
    NoEndpoint(String),
    /// A lease of another owner holds a hostname.
    #[error("hostname not allowed: host {0:?} in use")]
    HostnameTaken(String),
    /// The caller may not touch the lease that holds a name.
    #[error("unauthorized access")]
    Denied,
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Provider {
    /// Moves `names` to the running lease of a deployment's group, whose manifest must ask for each. `may` says whether the caller
    /// may take something from another lease of theirs.
    ///
    /// # Errors
    /// [`MigrateError`]; then nothing was moved. Moving again what was moved changes nothing.
    pub async fn migrate(
        &self,
        deployment: &DeploymentId,
        gseq: u32,
        what: Movable,
        names: &[String],
        may: impl Fn(&LeaseId) -> bool + Send,
    ) -> Result<(), MigrateError> {
        let (lease, group) = self.destination(deployment, gseq).await?;
        let claims = claims(&lease, &group, what, names)?;
        let wanted: Vec<String> = claims.iter().map(|claim| claim.hostname.clone()).collect();
        let held = self.store.hostname_holders(&wanted).await?;
        let mut others = held.iter().filter(|(_, holder)| *holder != lease);
        if others.any(|(_, holder)| holder.order.owner() == lease.order.owner() && !may(holder)) {
            return Err(MigrateError::Denied);
        }
        let now = self.clock.now();
        let audit = AuditLine {
            at: now,
            actor: deployment.owner.to_string(),
            action: "migrate".to_owned(),
            subject: lease.to_string(),
            reason: wanted.join(", "),
        };
        match self.store.move_hostnames(&lease, &claims, &audit, now).await? {
            HostnamesMoved::Done => {
                self.poke.notify_one();
                Ok(())
            }
            HostnamesMoved::HostnameTaken { hostname, .. } => {
                Err(MigrateError::HostnameTaken(hostname))
            }
        }
    }

    /// The running lease and what its newest manifest says of its group.
    async fn destination(
        &self,
        deployment: &DeploymentId,
        gseq: u32,
    ) -> Result<(LeaseId, Group), MigrateError> {
        let subject = Subject::Deployment(deployment.clone());
        let state = self.store.subject_state(&subject).await?;
        let record = state.and_then(|state| serde_json::from_value::<DeploymentRecord>(state).ok());
        let record = record.unwrap_or_default();
        let running = |order: &&OrderRecord| {
            let lease = order.lease.as_ref();
            order.id.gseq() == gseq && lease.is_some_and(|lease| lease.state.is_running())
        };
        let order = record.orders.values().find(running).ok_or(MigrateError::NoLease)?;
        let lease: &LeaseRecord = order.lease.as_ref().ok_or(MigrateError::NoLease)?;
        let newest = self.store.manifests(deployment).await?.into_iter().next();
        let manifest = newest.and_then(|row| Manifest::from_json(row.body.as_bytes()).ok());
        let name = order.group.as_deref().unwrap_or_default();
        let group = manifest.as_ref().and_then(|manifest| manifest.group(name)).cloned();
        Ok((lease.id.clone(), group.ok_or(MigrateError::NoManifest)?))
    }
}

/// What the destination claims of `names`.
fn claims(
    lease: &LeaseId,
    group: &Group,
    what: Movable,
    names: &[String],
) -> Result<Vec<HostnameClaim>, MigrateError> {
    let names: BTreeSet<String> = match what {
        Movable::Hostnames => names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        Movable::Endpoints => names.iter().cloned().collect(),
    };
    let mut claims = Vec::new();
    for name in &names {
        let found = match what {
            Movable::Hostnames => hostname(lease, group, name).into_iter().collect(),
            Movable::Endpoints => ports(lease, group, name),
        };
        if found.is_empty() {
            return Err(match what {
                Movable::Hostnames => MigrateError::NotUsed(name.clone()),
                Movable::Endpoints => MigrateError::NoEndpoint(name.clone()),
            });
        }
        claims.extend(found);
    }
    Ok(claims)
}

fn hostname(lease: &LeaseId, group: &Group, name: &str) -> Option<HostnameClaim> {
    let service = group
        .services
        .iter()
        .find(|service| service.hostnames().any(|hostname| hostname.eq_ignore_ascii_case(name)))?;
    Some(claim_of(lease, name, &service.name))
}

fn ports(lease: &LeaseId, group: &Group, endpoint: &str) -> Vec<HostnameClaim> {
    let mut found: Vec<HostnameClaim> = Vec::new();
    for port in address::leased_ports(lease.order.owner(), group) {
        let is_known = found.iter().any(|claim| claim.hostname == port.claim);
        if port.endpoint == endpoint && !is_known {
            found.push(claim_of(lease, &port.claim, port.service));
        }
    }
    found
}

fn claim_of(lease: &LeaseId, name: &str, service: &str) -> HostnameClaim {
    let (hostname, service) = (name.to_owned(), service.to_owned());
    HostnameClaim { hostname, lease: lease.clone(), service }
}
