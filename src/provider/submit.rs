//! A tenant's manifest: checked against the chain, stored, and the deployment woken. Accepted is not yet deployed.

use data_encoding::BASE32HEX_NOPAD;
use uuid::Uuid;

use super::{
    Provider, address,
    deployment::DeploymentRecord,
    port::{ChainError, HostnameClaim, ManifestRow, ManifestStored, StoreError, Subject},
    settings::Settings,
};
use crate::{
    domain::{Address, Deployment, DeploymentId, GroupSpec, Height, Lease, LeaseId},
    manifest::{HttpHosts, Manifest, Violation},
};

/// What an accepted upload answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// SHA-256 of the canonical form, lower-case hex.
    pub hash: String,
    /// The leases that will run it.
    pub leases: Vec<LeaseId>,
    /// The hostnames that lead to its services.
    pub hostnames: Vec<HostnameClaim>,
}

/// Why an upload was not taken. The texts are those that today's clients match on.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The chain has no running lease of ours for it.
    #[error("no lease for deployment")]
    NoLease,
    /// The manifest breaks rules of its own.
    #[error("invalid manifest")]
    Invalid(Vec<Violation>),
    /// It is not the one whose hash the deployment carries.
    #[error("manifest version validation failed")]
    Version {
        /// The deployment's hash on chain, lower-case hex.
        expected: String,
        /// The upload's.
        found: String,
    },
    /// It does not go with the groups that were ordered.
    #[error("manifest cross-validation error")]
    Cross(Vec<Violation>),
    /// An http service names no hostname and static hosts are off.
    #[error("manifest rejected")]
    HostRequired(Vec<Violation>),
    /// A lease of another owner holds a hostname.
    #[error("hostname not allowed: host {0:?} in use")]
    HostnameTaken(String),
    /// The operator blocks a hostname.
    #[error("hostname not allowed: {0:?} is blocked by this provider")]
    HostnameBlocked(String),
    /// The chain gave no answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A manifest with the hash that whoever made it gives it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The manifest.
    pub manifest: Manifest,
    /// Its hash. Some tools write a manifest in a way that only they come to the same hash.
    pub hash: [u8; 32],
}

impl From<Manifest> for Candidate {
    fn from(manifest: Manifest) -> Self {
        Self { hash: manifest.hash(), manifest }
    }
}

/// A manifest that passed every check, and what it would claim.
struct Checked<'m> {
    manifest: &'m Manifest,
    hash: String,
    leases: Vec<LeaseId>,
    hostnames: Vec<HostnameClaim>,
}

impl Provider {
    /// Takes `owner`'s manifest for deployment `dseq`: validates it alone, by hash and against the groups on chain, claims
    /// its hostnames, stores it and wakes the deployment.
    pub async fn submit_manifest(
        &self,
        owner: &Address,
        dseq: u64,
        manifest: &Manifest,
    ) -> Result<Submitted, SubmitError> {
        self.submit_one_of(owner, dseq, &[manifest.clone().into()]).await
    }

    /// As [`Provider::submit_manifest`] of that one of several candidates whose hash the deployment carries: what the readings
    /// of one document come to.
    pub async fn submit_one_of(
        &self,
        owner: &Address,
        dseq: u64,
        candidates: &[Candidate],
    ) -> Result<Submitted, SubmitError> {
        let id = DeploymentId::new(owner.clone(), dseq);
        let Checked { manifest, hash, leases, hostnames } =
            self.check_candidates(&id, candidates).await?;
        let now = self.clock.now();
        let row = ManifestRow {
            deployment: id,
            hash: hash.clone(),
            body: manifest.canonical(),
            received_at: now,
        };
        match self.store.store_manifest(&row, &leases, &hostnames, now).await? {
            ManifestStored::Done => {
                self.poke.notify_one();
                Ok(Submitted { hash, leases, hostnames: without_ports(hostnames) })
            }
            ManifestStored::HostnameTaken { hostname, .. } => {
                Err(SubmitError::HostnameTaken(hostname))
            }
        }
    }

    /// As [`Provider::submit_one_of`] up to the point where something would be stored. Hostnames are not compared with those
    /// of others.
    pub async fn validate_one_of(
        &self,
        owner: &Address,
        dseq: u64,
        candidates: &[Candidate],
    ) -> Result<Submitted, SubmitError> {
        let id = DeploymentId::new(owner.clone(), dseq);
        let Checked { hash, leases, hostnames, .. } =
            self.check_candidates(&id, candidates).await?;
        Ok(Submitted { hash, leases, hostnames: without_ports(hostnames) })
    }

    async fn check_candidates<'m>(
        &self,
        id: &DeploymentId,
        candidates: &'m [Candidate],
    ) -> Result<Checked<'m>, SubmitError> {
        let known = self.known_height(id).await?;
        let (deployment, leases) =
            tokio::try_join!(self.chain.deployment(id, known), self.chain.leases(id, known))?;
        let leases: Vec<Lease> = leases
            .value
            .into_iter()
            .filter(|lease| lease.id.provider == self.address && lease.state.is_running())
            .collect();
        let Some(mut deployment) = deployment.value.filter(|_| !leases.is_empty()) else {
            return Err(SubmitError::NoLease);
        };
        // One is judged by itself first, as today's provider does; which of several is meant only the chain says.
        if let [only] = candidates {
            refuse(only.manifest.check(), SubmitError::Invalid)?;
        }
        let hashes: Vec<String> = candidates.iter().map(|candidate| hex(&candidate.hash)).collect();
        let meant = |hash: &String| hashes.iter().position(|found| found == hash);
        if meant(&deployment.hash).is_none() {
            // The update may be younger than what we read: look once more, as high as the node can.
            let tip = self.chain.tip().await?;
            if let Some(newer) = self.chain.deployment(id, tip.height).await?.value {
                deployment = newer;
            }
        }
        let meant = meant(&deployment.hash).and_then(|index| candidates.get(index));
        let Some(Candidate { manifest, .. }) = meant else {
            let found = hashes.into_iter().next().unwrap_or_default();
            return Err(SubmitError::Version { expected: deployment.hash, found });
        };
        let hash = deployment.hash.clone();
        refuse(manifest.check(), SubmitError::Invalid)?;
        let groups: Vec<GroupSpec> =
            deployment.groups.iter().map(|group| group.spec.clone()).collect();
        refuse(manifest.check_against(&groups), SubmitError::Cross)?;
        let settings = self.settings();
        if !settings.static_hosts {
            refuse(manifest.check_hosts_named(), SubmitError::HostRequired)?;
        }
        let hostnames = claims(manifest, &deployment, &leases, &settings);
        if let Some(blocked) =
            hostnames.iter().find(|claim| is_blocked(&claim.hostname, &settings.blocked_hostnames))
        {
            return Err(SubmitError::HostnameBlocked(blocked.hostname.clone()));
        }
        Ok(Checked {
            manifest,
            hash,
            leases: leases.into_iter().map(|lease| lease.id).collect(),
            hostnames,
        })
    }

    /// The height of the newest facts that a step used of this deployment.
    async fn known_height(&self, id: &DeploymentId) -> Result<Height, StoreError> {
        let state = self.store.subject_state(&Subject::Deployment(id.clone())).await?;
        let record = state.and_then(|state| serde_json::from_value::<DeploymentRecord>(state).ok());
        Ok(record.map_or(Height(0), |record| record.seen_at))
    }
}

fn refuse(
    violations: Vec<Violation>,
    error: fn(Vec<Violation>) -> SubmitError,
) -> Result<(), SubmitError> {
    if violations.is_empty() { Ok(()) } else { Err(error(violations)) }
}

/// The hostnames alone.
fn without_ports(mut claims: Vec<HostnameClaim>) -> Vec<HostnameClaim> {
    claims.retain(|claim| !address::is_port(&claim.hostname));
    claims
}

/// What the manifest's leased groups ask for, each once: their hostnames, those that the provider gives, and ports of leased
/// addresses.
fn claims(
    manifest: &Manifest,
    deployment: &Deployment,
    leases: &[Lease],
    settings: &Settings,
) -> Vec<HostnameClaim> {
    let mut found: Vec<HostnameClaim> = Vec::new();
    for lease in leases {
        let group = deployment.groups.iter().find(|group| group.id == lease.id.order.group);
        let Some(name) = group.map(|group| &group.spec.name) else { continue };
        for HttpHosts { group, service, hostnames, .. } in manifest.http_hosts() {
            if group != *name {
                continue;
            }
            let given = settings
                .static_hosts
                .then(|| static_hostname(&lease.id, &service, &settings.static_hosts_domain));
            for hostname in hostnames.iter().map(|host| host.to_ascii_lowercase()).chain(given) {
                if !found.iter().any(|claim| claim.hostname == hostname) {
                    found.push(HostnameClaim {
                        hostname,
                        lease: lease.id.clone(),
                        service: service.clone(),
                    });
                }
            }
        }
        let ports = manifest.group(name).into_iter();
        for port in ports.flat_map(|group| address::leased_ports(lease.id.order.owner(), group)) {
            if !found.iter().any(|claim| claim.hostname == port.claim) {
                let (hostname, service) = (port.claim, port.service.to_owned());
                found.push(HostnameClaim { hostname, lease: lease.id.clone(), service });
            }
        }
    }
    found
}

/// The name that the provider gives to a service: the lower-case base32hex of a version 5 UUID of lease and service, below
/// the operator's domain. Today's provider gives the same name, so a tenant's link survives a change of software.
#[must_use]
pub fn static_hostname(lease: &LeaseId, service: &str, domain: &str) -> String {
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{lease}{service}").as_bytes());
    format!("{}.{domain}", BASE32HEX_NOPAD.encode(uuid.as_bytes()).to_ascii_lowercase())
}

/// Whether an operator blocks a hostname: by its name, or with `.domain` the domain and everything below it.
#[must_use]
pub fn is_blocked(hostname: &str, blocked: &[String]) -> bool {
    blocked.iter().any(|entry| match entry.strip_prefix('.') {
        Some(domain) => hostname == domain || hostname.ends_with(entry.as_str()),
        None => hostname == entry,
    })
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_domain_blocks_itself_and_everything_below_it_and_nothing_beside_it() {
        let blocked = [".bobsdefi.com".to_owned(), "exact.org".to_owned()];
        for (hostname, expected) in [
            ("bobsdefi.com", true),
            ("a.b.bobsdefi.com", true),
            ("notbobsdefi.com", false),
            ("exact.org", true),
            ("www.exact.org", false),
        ] {
            assert_eq!(is_blocked(hostname, &blocked), expected, "{hostname}");
        }
    }

    #[test]
    fn a_static_hostname_is_one_label_of_twenty_six_characters_below_the_domain() {
        let lease: LeaseId = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww/5/1/1/akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz".parse().unwrap();
        let given = static_hostname(&lease, "web", "ingress.example.com");
        let (label, domain) = given.split_once('.').unwrap();
        assert_eq!(domain, "ingress.example.com");
        assert_eq!(label.len(), 26);
        assert!(label.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v')));
        assert_ne!(given, static_hostname(&lease, "api", "ingress.example.com"));
    }
}
