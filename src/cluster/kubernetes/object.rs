//! What lessor wants to exist in the cluster, one object at a time, ready for server-side apply.
//!
//! An object is its whole body and a hash of it. The hash is written on the object itself ([`HASH`]), so that whoever
//! sees the object knows whether it is what was wanted, without reading the rest: an unchanged lease costs no call.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The annotation that carries an object's hash.
pub const HASH: &str = "lessor.network/hash";

/// The field manager of everything that lessor writes.
pub const FIELD_MANAGER: &str = "lessor";

/// A kind of object that lessor writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// The lease's own; everything of the lease but its custom resources lives in it.
    Namespace,
    /// How much all pods of the lease may take.
    ResourceQuota,
    /// What a container takes that says nothing.
    LimitRange,
    /// Who may talk to whom.
    NetworkPolicy,
    /// Login at a registry.
    Secret,
    /// The identity of a service that may read its own namespace.
    ServiceAccount,
    /// What that identity may read.
    Role,
    /// Ties the two.
    RoleBinding,
    /// A service without persistent volumes.
    Deployment,
    /// A service with persistent volumes.
    StatefulSet,
    /// Inside the cluster, by node port or by leased address.
    Service,
    /// A hostname at an ingress controller.
    Ingress,
    /// A hostname at a gateway.
    HttpRoute,
    /// The manifest as today's tools read it (`akash.network/v2beta2`).
    Manifest,
    /// A hostname as today's tools read it (`akash.network/v2beta2`).
    ProviderHost,
    /// A leased address as today's tools read it (`akash.network/v2beta2`).
    ProviderLeasedIp,
}

impl Kind {
    /// Every kind, in the order in which they can be made.
    pub const ALL: [Self; 16] = [
        Self::Namespace,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::NetworkPolicy,
        Self::Secret,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::Deployment,
        Self::StatefulSet,
        Self::Service,
        Self::Ingress,
        Self::HttpRoute,
        Self::Manifest,
        Self::ProviderHost,
        Self::ProviderLeasedIp,
    ];

    /// Whether an object of this kind can become another lease's: its name is not of the lease alone.
    #[must_use]
    pub const fn moves(self) -> bool {
        matches!(self, Self::Manifest | Self::ProviderHost | Self::ProviderLeasedIp)
    }

    /// API group, version, kind, and the plural that stands in paths.
    #[must_use]
    pub const fn api(self) -> Api {
        let (group, version, kind, plural) = match self {
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::ResourceQuota => ("", "v1", "ResourceQuota", "resourcequotas"),
            Self::LimitRange => ("", "v1", "LimitRange", "limitranges"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Role => ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::Manifest => ("akash.network", "v2beta2", "Manifest", "manifests"),
            Self::ProviderHost => ("akash.network", "v2beta2", "ProviderHost", "providerhosts"),
            Self::ProviderLeasedIp => {
                ("akash.network", "v2beta2", "ProviderLeasedIP", "providerleasedips")
            }
        };
        Api { group, version, kind, plural }
    }
}

/// Where objects of a kind are found at the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Empty for the core group.
    pub group: &'static str,
    /// `v1`, …
    pub version: &'static str,
    /// The name of the type.
    pub kind: &'static str,
    /// The name in paths.
    pub plural: &'static str,
}

impl Api {
    /// `apiVersion` of a body: `v1`, `apps/v1`, …
    #[must_use]
    pub fn version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Which object. Ordered by kind, as they can be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for a [`Kind::Namespace`].
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// An object as it is wanted.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// Which.
    pub id: ObjectId,
    /// Lower-case hex; also in the body's annotations.
    pub hash: String,
    /// The whole body, `apiVersion` and `kind` included. It may hold a tenant's secrets.
    pub body: Value,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("id", &self.id)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl Object {
    /// The object with this body, which needs no `apiVersion`, `kind`, name, namespace or hash: they are added.
    #[must_use]
    pub fn new(id: ObjectId, mut body: Value) -> Self {
        let api = id.kind.api();
        body["apiVersion"] = json!(api.version());
        body["kind"] = json!(api.kind);
        body["metadata"]["name"] = json!(id.name);
        if let Some(namespace) = &id.namespace {
            body["metadata"]["namespace"] = json!(namespace);
        }
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(body.to_string()));
        body["metadata"]["annotations"][HASH] = json!(hash);
        Self { id, hash, body }
    }
}
