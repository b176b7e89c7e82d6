//! What a tenant's token claims: its times, its issuer, and what it lets its bearer do; pure.
//!
//! The rules are those of AEP-64 as the Go gateway enforces them: a broken *shape* (a number where a text belongs, a
//! provider that is no address) makes the token malformed, a broken *rule* (an unknown scope, a missing time) makes its
//! claims invalid. Today's clients tell the two apart by status.
//!
//! The one surprising fact: `gseq` and `oseq` of a granular permission are wildcards when they are absent or 0, and a
//! scope for a deployment is granted by any permission of its `dseq`, whatever its `gseq`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{
    Deserialize,
    de::{self, Deserializer},
};

use crate::domain::{Address, DeploymentId, LeaseId};

/// One thing that a token may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Upload a manifest.
    SendManifest,
    /// Read the manifest back.
    GetManifest,
    /// Read logs.
    Logs,
    /// Run commands in a container.
    Shell,
    /// Read cluster events.
    Events,
    /// Read status.
    Status,
    /// Restart services.
    Restart,
    /// Move hostnames between own leases.
    HostnameMigrate,
    /// Move leased addresses between own leases.
    IpMigrate,
    /// Ask for an attestation of confidential computing.
    Attestation,
}

impl Scope {
    /// Every scope, in the order of AEP-64.
    pub const ALL: [Self; 10] = [
        Self::SendManifest,
        Self::GetManifest,
        Self::Logs,
        Self::Shell,
        Self::Events,
        Self::Status,
        Self::Restart,
        Self::HostnameMigrate,
        Self::IpMigrate,
        Self::Attestation,
    ];

    /// The scope's text in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendManifest => "send-manifest",
            Self::GetManifest => "get-manifest",
            Self::Logs => "logs",
            Self::Shell => "shell",
            Self::Events => "events",
            Self::Status => "status",
            Self::Restart => "restart",
            Self::HostnameMigrate => "hostname-migrate",
            Self::IpMigrate => "ip-migrate",
            Self::Attestation => "attestation",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, ClaimsError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(ClaimsError::UnknownScope)
    }
}

/// Why the claims of a well-formed, rightly signed token do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// `exp` has come.
    #[error("token is expired")]
    Expired,
    /// `nbf` has not come.
    #[error("token is not valid yet")]
    NotYetValid,
    /// `exp`, `nbf` or `iat` is absent.
    #[error("claim {0:?} is missing")]
    Missing(&'static str),
    /// `version` is not `v1`.
    #[error("claim \"version\" is not \"v1\"")]
    Version,
    /// `access` is absent or none of the words that are allowed in its place.
    #[error("access is none of full, scoped, granular")]
    Access,
    /// A member that does not go with the access beside it.
    #[error("{0:?} does not go with this access")]
    Superfluous(&'static str),
    /// A member that this access needs is absent or empty.
    #[error("{0:?} is missing")]
    Absent(&'static str),
    /// A scope that nobody knows.
    #[error("unknown scope")]
    UnknownScope,
    /// The same entry twice.
    #[error("duplicate entry in {0:?}")]
    Duplicate(&'static str),
    /// `oseq` without `gseq`.
    #[error("\"oseq\" needs \"gseq\"")]
    OseqWithoutGseq,
}

/// Claims that passed every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The tenant.
    pub issuer: Address,
    /// From when the token counts, inclusive.
    pub not_before: Timestamp,
    /// Until when it counts, exclusive.
    pub expires: Timestamp,
    /// What it allows.
    pub access: Access,
}

/// What a token allows its bearer to do with the issuer's leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everything, at every provider.
    Full,
    /// Some things, at every provider.
    Scoped(BTreeSet<Scope>),
    /// What the permissions list.
    Granular(Vec<Permission>),
}

/// What a token allows at one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Where.
    pub provider: Address,
    /// What.
    pub grant: Grant,
}

/// What a permission allows at its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Everything.
    Full,
    /// Some things with every lease.
    Scoped(BTreeSet<Scope>),
    /// Some things with some leases.
    Granular(Vec<LeaseGrant>),
}

/// What a permission allows with one deployment, or one group or order of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseGrant {
    /// What.
    pub scope: BTreeSet<Scope>,
    /// The deployment.
    pub dseq: u64,
    /// The group; 0 for all.
    pub gseq: u32,
    /// The order; 0 for all.
    pub oseq: u32,
    /// Names of services.
    pub services: BTreeSet<String>,
}

impl LeaseGrant {
    fn covers(&self, lease: &LeaseId) -> bool {
        let any_or = |granted: u32, asked: u32| granted == 0 || granted == asked;
        self.dseq == lease.order.dseq()
            && any_or(self.gseq, lease.order.gseq())
            && any_or(self.oseq, lease.order.oseq)
    }
}

impl Access {
    fn grant(&self, provider: &Address) -> Option<&Grant> {
        match self {
            Self::Granular(permissions) => permissions
                .iter()
                .find(|permission| permission.provider == *provider)
                .map(|permission| &permission.grant),
            Self::Full | Self::Scoped(_) => None,
        }
    }

    /// Whether the token says anything about `provider`.
    #[must_use]
    pub fn reaches(&self, provider: &Address) -> bool {
        !matches!(self, Self::Granular(_)) || self.grant(provider).is_some()
    }

    /// Whether the token covers a deployment at `provider`, for at least one thing.
    #[must_use]
    pub fn covers_deployment(&self, provider: &Address, id: &DeploymentId) -> bool {
        match self.grant(provider) {
            Some(Grant::Granular(grants)) => grants.iter().any(|grant| grant.dseq == id.dseq),
            Some(Grant::Full | Grant::Scoped(_)) => true,
            None => self.reaches(provider),
        }
    }

    /// Whether the token covers a lease, for at least one thing.
    #[must_use]
    pub fn covers_lease(&self, lease: &LeaseId) -> bool {
        match self.grant(&lease.provider) {
            Some(Grant::Granular(grants)) => grants.iter().any(|grant| grant.covers(lease)),
            Some(Grant::Full | Grant::Scoped(_)) => true,
            None => self.reaches(&lease.provider),
        }
    }

    fn allows(&self, provider: &Address, scope: Scope, of: impl Fn(&LeaseGrant) -> bool) -> bool {
        match (self, self.grant(provider)) {
            (Self::Full, _) | (_, Some(Grant::Full)) => true,
            (Self::Scoped(scopes), _) | (_, Some(Grant::Scoped(scopes))) => scopes.contains(&scope),
            (_, Some(Grant::Granular(grants))) => {
                grants.iter().any(|grant| of(grant) && grant.scope.contains(&scope))
            }
            (_, None) => false,
        }
    }

    /// Whether the token allows `scope` with a deployment at `provider`.
    #[must_use]
    pub fn allows_deployment(&self, provider: &Address, id: &DeploymentId, scope: Scope) -> bool {
        self.allows(provider, scope, |grant| grant.dseq == id.dseq)
    }

    /// Whether the token allows `scope` with a lease.
    #[must_use]
    pub fn allows_lease(&self, lease: &LeaseId, scope: Scope) -> bool {
        self.allows(&lease.provider, scope, |grant| grant.covers(lease))
    }

    /// The services of a lease that the token allows `scope` with; `None` for all of them.
    #[must_use]
    pub fn services(&self, lease: &LeaseId, scope: Scope) -> Option<BTreeSet<&str>> {
        match self.grant(&lease.provider) {
            Some(Grant::Granular(grants)) => Some(
                grants
                    .iter()
                    .filter(|grant| grant.covers(lease) && grant.scope.contains(&scope))
                    .flat_map(|grant| grant.services.iter().map(String::as_str))
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// The claims as a token writes them: shapes checked, rules not yet.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    #[serde(default)]
    pub(super) iss: String,
    #[serde(default)]
    iat: Option<Seconds>,
    #[serde(default)]
    nbf: Option<Seconds>,
    #[serde(default)]
    exp: Option<Seconds>,
    #[serde(default)]
    version: String,
    #[serde(default)]
    leases: WrittenLeases,
}

#[derive(Debug, Default, Deserialize)]
struct WrittenLeases {
    #[serde(default)]
    access: String,
    #[serde(default)]
    scope: Vec<String>,
    #[serde(default)]
    permissions: Option<Vec<WrittenPermission>>,
}

#[derive(Debug, Deserialize)]
struct WrittenPermission {
    #[serde(default, deserialize_with = "address_or_empty")]
    provider: Option<Address>,
    #[serde(default)]
    access: String,
    #[serde(default)]
    scope: Vec<String>,
    #[serde(default)]
    deployments: Vec<WrittenGrant>,
}

#[derive(Debug, Deserialize)]
struct WrittenGrant {
    #[serde(default)]
    scope: Vec<String>,
    #[serde(default)]
    dseq: u64,
    #[serde(default)]
    gseq: u32,
    #[serde(default)]
    oseq: u32,
    #[serde(default)]
    services: Vec<String>,
}

/// Unix seconds; a number or a number in quotes, its fraction dropped.
#[derive(Debug, Clone, Copy)]
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Number(serde_json::Number),
            Quoted(String),
        }
        let text = match Text::deserialize(deserializer)? {
            Text::Number(number) => number.to_string(),
            Text::Quoted(text) => text,
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(de::Error::custom("time is not a number of seconds"));
        }
        whole.parse().map(Self).map_err(de::Error::custom)
    }
}

fn address_or_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Address>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(de::Error::custom) }
}

impl Written {
    /// The rules, in the order of the Go gateway: times, then what must be there, then what is granted.
    pub(super) fn check(self, issuer: Address, now: Timestamp) -> Result<Claims, ClaimsError> {
        let at = |seconds: &Seconds| Timestamp::from_second(seconds.0).unwrap_or(Timestamp::MAX);
        let (expires, not_before) = (self.exp.as_ref().map(at), self.nbf.as_ref().map(at));
        if expires.is_some_and(|expires| now >= expires) {
            return Err(ClaimsError::Expired);
        }
        if not_before.is_some_and(|not_before| now < not_before) {
            return Err(ClaimsError::NotYetValid);
        }
        if self.iat.is_none() {
            return Err(ClaimsError::Missing("iat"));
        }
        let expires = expires.ok_or(ClaimsError::Missing("exp"))?;
        let not_before = not_before.ok_or(ClaimsError::Missing("nbf"))?;
        if self.version != "v1" {
            return Err(ClaimsError::Version);
        }
        Ok(Claims { issuer, not_before, expires, access: self.leases.check()? })
    }
}

impl WrittenLeases {
    fn check(self) -> Result<Access, ClaimsError> {
        let permissions = self.permissions;
        match self.access.as_str() {
            "full" => {
                empty(&self.scope, "scope")?;
                empty(permissions.as_deref().unwrap_or_default(), "permissions")?;
                Ok(Access::Full)
            }
            "scoped" => {
                let scopes = scopes(&self.scope)?;
                // An empty list is refused too, unlike with full access.
                if permissions.is_some() {
                    return Err(ClaimsError::Superfluous("permissions"));
                }
                Ok(Access::Scoped(scopes))
            }
            // A scope beside the permissions is passed over.
            "granular" => granular(permissions.unwrap_or_default()).map(Access::Granular),
            _ => Err(ClaimsError::Access),
        }
    }
}

fn granular(written: Vec<WrittenPermission>) -> Result<Vec<Permission>, ClaimsError> {
    if written.is_empty() {
        return Err(ClaimsError::Absent("permissions"));
    }
    let mut permissions: Vec<Permission> = Vec::with_capacity(written.len());
    for entry in written {
        let provider = entry.provider.clone().ok_or(ClaimsError::Absent("provider"))?;
        if permissions.iter().any(|earlier| earlier.provider == provider) {
            return Err(ClaimsError::Duplicate("permissions"));
        }
        permissions.push(Permission { provider, grant: entry.check()? });
    }
    Ok(permissions)
}

impl WrittenPermission {
    fn check(self) -> Result<Grant, ClaimsError> {
        match self.access.as_str() {
            "full" => {
                empty(&self.scope, "scope")?;
                empty(&self.deployments, "deployments")?;
                Ok(Grant::Full)
            }
            "scoped" => {
                empty(&self.deployments, "deployments")?;
                scopes(&self.scope).map(Grant::Scoped)
            }
            "granular" => {
                empty(&self.scope, "scope")?;
                if self.deployments.is_empty() {
                    return Err(ClaimsError::Absent("deployments"));
                }
                let grants: Result<_, _> =
                    self.deployments.into_iter().map(WrittenGrant::check).collect();
                grants.map(Grant::Granular)
            }
            _ => Err(ClaimsError::Access),
        }
    }
}

impl WrittenGrant {
    fn check(self) -> Result<LeaseGrant, ClaimsError> {
        let scope = scopes(&self.scope)?;
        if self.dseq == 0 {
            return Err(ClaimsError::Absent("dseq"));
        }
        if self.oseq > 0 && self.gseq == 0 {
            return Err(ClaimsError::OseqWithoutGseq);
        }
        let given = self.services.len();
        let services: BTreeSet<String> = self.services.into_iter().collect();
        match (services.len(), given) {
            (0, _) => Err(ClaimsError::Absent("services")),
            (unique, given) if unique < given => Err(ClaimsError::Duplicate("services")),
            _ => Ok(LeaseGrant {
                scope,
                dseq: self.dseq,
                gseq: self.gseq,
                oseq: self.oseq,
                services,
            }),
        }
    }
}

fn empty<T>(list: &[T], member: &'static str) -> Result<(), ClaimsError> {
    if list.is_empty() { Ok(()) } else { Err(ClaimsError::Superfluous(member)) }
}

fn scopes(written: &[String]) -> Result<BTreeSet<Scope>, ClaimsError> {
    if written.is_empty() {
        return Err(ClaimsError::Absent("scope"));
    }
    let mut scopes = BTreeSet::new();
    for text in written {
        if !scopes.insert(text.parse()?) {
            return Err(ClaimsError::Duplicate("scope"));
        }
    }
    Ok(scopes)
}
