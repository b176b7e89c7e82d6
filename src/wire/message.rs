//! The messages that a provider and a tenant send, made from the nouns of [`crate::domain`]. Owns which field is which;
//! [`super::google::Any::pack`] puts them into a transaction.
//!
//! A provider that ends a lease closes its *bid*; only the tenant closes a lease by that name.

use super::{base, cert, convert::span, deployment, escrow, market, provider};
use crate::domain::{
    Address, BidId, CloseReason, Coin, DeploymentId, GroupId, GroupSpec, LeaseId, Price, Provider,
    ResourceUnit,
};

impl base::Deposit {
    /// Money from the signer's own balance.
    #[must_use]
    pub fn from_balance(amount: &Coin) -> Self {
        Self { amount: amount.into(), sources: vec![base::Source::Balance as i32] }
    }
}

impl From<&ResourceUnit> for market::ResourceOffer {
    fn from(unit: &ResourceUnit) -> Self {
        Self { resources: (&unit.resources).into(), count: unit.count, prices: None }
    }
}

impl market::MsgCreateBid {
    /// Bids `price` per block. The offer's ids and counts are those of the order's units; an empty offer is accepted.
    #[must_use]
    pub fn new(
        id: &BidId,
        price: &Price,
        deposit: &Coin,
        offer: &[ResourceUnit],
        reclamation_window_s: Option<u64>,
    ) -> Self {
        Self {
            id: id.into(),
            price: price.into(),
            deposit: base::Deposit::from_balance(deposit),
            resources_offer: offer.iter().map(Into::into).collect(),
            reclamation_window: reclamation_window_s.map(span),
        }
    }
}

impl market::MsgCloseBid {
    /// Takes a bid back, or ends its lease for a provider's reason (10,000–19,999).
    #[must_use]
    pub fn new(id: &BidId, reason: CloseReason) -> Self {
        Self { id: id.into(), reason: reason.number() }
    }
}

impl market::MsgCreateLease {
    /// Takes a bid.
    #[must_use]
    pub fn new(id: &BidId) -> Self {
        Self { bid_id: id.into() }
    }
}

impl market::MsgWithdrawLease {
    /// Collects what a lease has earned.
    #[must_use]
    pub fn new(id: &LeaseId) -> Self {
        Self { id: id.into() }
    }
}

impl market::MsgCloseLease {
    /// Ends a lease as its tenant.
    #[must_use]
    pub fn new(id: &LeaseId) -> Self {
        Self { id: id.into(), reason: CloseReason::Owner.number() }
    }
}

impl market::MsgLeaseStartReclaim {
    /// Gives notice, for a provider's reason (10,000–19,999).
    #[must_use]
    pub fn new(id: &LeaseId, reason: CloseReason) -> Self {
        Self { id: id.into(), reason: reason.number() }
    }
}

impl deployment::MsgCreateDeployment {
    /// Asks for groups. `hash` is the manifest's SHA-256.
    #[must_use]
    pub fn new(
        id: &DeploymentId,
        groups: &[GroupSpec],
        hash: &[u8; 32],
        deposit: &Coin,
        min_reclamation_window_s: Option<u64>,
    ) -> Self {
        Self {
            id: id.into(),
            groups: groups.iter().map(Into::into).collect(),
            hash: hash.to_vec(),
            deposit: base::Deposit::from_balance(deposit),
            reclamation: min_reclamation_window_s
                .map(|seconds| deployment::DeploymentReclamation { min_window: span(seconds) }),
        }
    }
}

impl deployment::MsgUpdateDeployment {
    /// Announces the SHA-256 of a new manifest.
    #[must_use]
    pub fn new(id: &DeploymentId, hash: &[u8; 32]) -> Self {
        Self { id: id.into(), hash: hash.to_vec() }
    }
}

impl deployment::MsgCloseDeployment {
    /// Ends a deployment.
    #[must_use]
    pub fn new(id: &DeploymentId) -> Self {
        Self { id: id.into() }
    }
}

impl deployment::MsgCloseGroup {
    /// Ends a group.
    #[must_use]
    pub fn new(id: &GroupId) -> Self {
        Self { id: id.into() }
    }
}

impl provider::MsgCreateProvider {
    /// Registers a provider. The chain takes a `host_uri` of the form `https://host[:port]` only.
    #[must_use]
    pub fn new(provider: &Provider) -> Self {
        let Provider { owner, host_uri, attributes, email, website } = provider;
        Self {
            owner: owner.to_string(),
            host_uri: host_uri.clone(),
            attributes: attributes.iter().map(Into::into).collect(),
            info: provider::Info { email: email.clone(), website: website.clone() },
        }
    }
}

impl provider::MsgUpdateProvider {
    /// Replaces a provider's record, all of it.
    #[must_use]
    pub fn new(provider: &Provider) -> Self {
        let provider::MsgCreateProvider { owner, host_uri, attributes, info } =
            provider::MsgCreateProvider::new(provider);
        Self { owner, host_uri, attributes, info }
    }
}

impl provider::MsgDeleteProvider {
    /// Asks for a provider to be deleted, which this version of the chain answers with "not implemented".
    #[must_use]
    pub fn new(owner: &Address) -> Self {
        Self { owner: owner.to_string() }
    }
}

impl cert::MsgCreateCertificate {
    /// Publishes a certificate and its public key, both PEM texts; the key's label is `EC PUBLIC KEY`.
    #[must_use]
    pub fn new(owner: &Address, certificate: &str, public_key: &str) -> Self {
        Self {
            owner: owner.to_string(),
            cert: certificate.as_bytes().to_vec(),
            pubkey: public_key.as_bytes().to_vec(),
        }
    }
}

impl cert::MsgRevokeCertificate {
    /// Takes a certificate back, for ever. `serial` is decimal.
    #[must_use]
    pub fn new(owner: &Address, serial: &str) -> Self {
        Self { id: cert::Id { owner: owner.to_string(), serial: serial.to_owned() } }
    }
}

impl escrow::MsgAccountDeposit {
    /// Tops a deployment's escrow up.
    #[must_use]
    pub fn new(signer: &Address, id: &DeploymentId, amount: &Coin) -> Self {
        let scope = escrow::Scope::Deployment as i32;
        Self {
            signer: signer.to_string(),
            id: escrow::AccountId { scope, xid: id.to_string() },
            deposit: base::Deposit::from_balance(amount),
        }
    }
}
