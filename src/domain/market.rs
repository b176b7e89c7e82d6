//! What the chain holds about a deployment, as of one height: the facts that steps decide on.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    address::Address,
    id::{BidId, DeploymentId, GroupId, LeaseId, OrderId},
    money::{Coin, Price},
    resource::{Attribute, GroupSpec},
};

/// A block's height. Evidence carries the height at which the chain gave it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Declares an enum of chain states with the chain's own texts and numbers.
macro_rules! chain_state {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$case_doc])* #[serde(rename = $text)] $case,)* }

        impl $name {
            /// The chain's text for it, as in filters and JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$case => $text,)* }
            }

            /// The chain's number for it, as in protobuf.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $(Self::$case => $number,)* }
            }

            /// From the chain's number; `None` for one that lessor does not know.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$case),)* _ => None }
            }

            /// From the chain's text; `None` for one that lessor does not know.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$case),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

chain_state! {
    /// Where an order stands.
    OrderState {
        /// Bids are taken.
        Open = 1, "open";
        /// It has a lease.
        Active = 2, "active";
        /// It ended.
        Closed = 3, "closed";
    }
}

chain_state! {
    /// Where a bid stands.
    BidState {
        /// The tenant may take it.
        Open = 1, "open";
        /// It became a lease.
        Active = 2, "active";
        /// Another provider's bid was taken.
        Lost = 3, "lost";
        /// It ended.
        Closed = 4, "closed";
    }
}

chain_state! {
    /// Where a lease stands.
    LeaseState {
        /// It runs and is paid.
        Active = 1, "active";
        /// The tenant's escrow ran out.
        InsufficientFunds = 2, "insufficient_funds";
        /// It ended.
        Closed = 3, "closed";
        /// The provider gave notice; it runs and is paid until it is closed.
        Reclaiming = 4, "reclaiming";
    }
}

impl LeaseState {
    /// Whether the workload is to run: active, or reclaiming within its notice.
    #[must_use]
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Active | Self::Reclaiming)
    }
}

chain_state! {
    /// Where a deployment stands.
    DeploymentState {
        /// It may have orders and leases.
        Active = 1, "active";
        /// It ended.
        Closed = 2, "closed";
    }
}

chain_state! {
    /// Where a group stands.
    GroupState {
        /// It may have orders and leases.
        Open = 1, "open";
        /// Paused by the tenant, or by a provider that closed its lease.
        Paused = 2, "paused";
        /// The tenant's escrow ran out.
        InsufficientFunds = 3, "insufficient_funds";
        /// It ended.
        Closed = 4, "closed";
    }
}

chain_state! {
    /// Why a lease was closed. 0–9,999 are the owner's, 10,000–19,999 the provider's, 20,000–29,999 the chain's.
    CloseReason {
        /// Not closed.
        Invalid = 0, "lease_closed_invalid";
        /// The tenant closed it.
        Owner = 1, "lease_closed_owner";
        /// The workload stayed unhealthy.
        Unstable = 10000, "lease_closed_reason_unstable";
        /// The provider retires capacity.
        Decommission = 10001, "lease_closed_reason_decommission";
        /// The provider gave no reason.
        Unspecified = 10002, "lease_closed_reason_unspecified";
        /// No manifest came in time.
        ManifestTimeout = 10003, "lease_closed_reason_manifest_timeout";
        /// The tenant's escrow ran out.
        InsufficientFunds = 20000, "lease_closed_reason_insufficient_funds";
    }
}

/// An order as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its path.
    pub id: OrderId,
    /// Where it stands.
    pub state: OrderState,
    /// What is asked for.
    pub spec: GroupSpec,
    /// The block that made it.
    pub created_at: Height,
    /// The shortest notice that the tenant wants before a provider may end the lease, in seconds.
    pub min_reclamation_window_s: Option<u64>,
}

/// A bid as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// Its path.
    pub id: BidId,
    /// Where it stands.
    pub state: BidState,
    /// Per block.
    pub price: Price,
    /// The block that made it.
    pub created_at: Height,
    /// The notice that the provider offers, in seconds.
    pub reclamation_window_s: Option<u64>,
}

/// A lease as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its path.
    pub id: LeaseId,
    /// Where it stands.
    pub state: LeaseState,
    /// Per block.
    pub price: Price,
    /// The block that made it.
    pub created_at: Height,
    /// The block that closed it.
    pub closed_on: Option<Height>,
    /// Why it was closed; [`CloseReason::Invalid`] while it runs.
    pub reason: CloseReason,
    /// The notice that was agreed, in seconds.
    pub reclamation_window_s: Option<u64>,
    /// When the notice that was given ends, in block time; before, the provider cannot close the lease.
    pub reclaim_until: Option<Timestamp>,
}

/// A deployment as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its path.
    pub id: DeploymentId,
    /// Where it stands.
    pub state: DeploymentState,
    /// SHA-256 of the manifest's canonical form, 32 bytes, as lower-case hex here.
    pub hash: String,
    /// The block that made it.
    pub created_at: Height,
    /// Its groups by `gseq`.
    pub groups: Vec<Group>,
    /// What is left in escrow at [`Deployment::settled_at`]; `None` when the account is overdrawn.
    pub funds: Option<Price>,
    /// The block up to which escrow was paid out.
    pub settled_at: Height,
}

impl Deployment {
    /// The last block that escrow pays in full, when `leases` are all leases of this deployment and none begins or ends.
    /// `None` when none of them runs, or they cost nothing.
    #[must_use]
    pub fn funded_until(&self, leases: &[Lease]) -> Option<Height> {
        let held = self.funds.as_ref();
        let running = leases.iter().filter(|lease| lease.state.is_running());
        let priced =
            running.filter(|lease| held.is_none_or(|held| held.denom == lease.price.denom));
        let rate = priced.map(|lease| lease.price.amount.atoms()).fold(0, u128::saturating_add);
        let blocks = held.map_or(0, |held| held.amount.atoms()).checked_div(rate)?;
        Some(Height(self.settled_at.0.saturating_add(u64::try_from(blocks).unwrap_or(u64::MAX))))
    }
}

/// A group as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its path.
    pub id: GroupId,
    /// Where it stands.
    pub state: GroupState,
    /// What is asked for.
    pub spec: GroupSpec,
}

/// A provider as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its account.
    pub owner: Address,
    /// `https://host[:port]`, where tenants find the gateway.
    pub host_uri: String,
    /// What it claims to be.
    pub attributes: Vec<Attribute>,
    /// Where its operator is reached; empty when not given.
    #[serde(default)]
    pub email: String,
    /// The operator's page; empty when not given.
    #[serde(default)]
    pub website: String,
}

chain_state! {
    /// Where a payment stands. A lease that is closed may have an open one, which goes on earning: two closes of one
    /// deployment in a block leave the second payment open.
    PaymentState {
        /// It earns.
        Open = 1, "open";
        /// It ended, and what it had earned is paid out.
        Closed = 2, "closed";
        /// The tenant's escrow ran out.
        Overdrawn = 3, "overdrawn";
    }
}

/// What flows from a deployment's escrow to the provider of one lease, up to the deployment's last settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The lease that is paid.
    pub lease: LeaseId,
    /// Where that lease stands.
    pub lease_state: LeaseState,
    /// Where the payment stands.
    pub state: PaymentState,
    /// Per block.
    pub rate: Price,
    /// Settled and not yet withdrawn.
    pub balance: Price,
    /// Earned beyond what the escrow held.
    pub unsettled: Price,
    /// Paid out so far.
    pub withdrawn: Coin,
}

impl Payment {
    /// Whether it earns although its lease has ended: it must be withdrawn from, or its deployment closed.
    #[must_use]
    pub fn is_left_open(&self) -> bool {
        self.state == PaymentState::Open && !self.lease_state.is_running()
    }
}

chain_state! {
    /// Whether a certificate may be used.
    CertificateState {
        /// It may.
        Valid = 1, "valid";
        /// Its owner took it back, for ever.
        Revoked = 2, "revoked";
    }
}

/// A certificate for mutual TLS as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Decimal; may exceed 64 bits. Unique to its owner.
    pub serial: String,
    /// Whether it may be used.
    pub state: CertificateState,
    /// The X.509 certificate as PEM text.
    pub certificate: String,
    /// Its public key as PEM text, under the label `EC PUBLIC KEY`.
    pub public_key: String,
}

/// What one auditor signed of one provider's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedAttributes {
    /// Who signed.
    pub auditor: Address,
    /// What was signed.
    pub attributes: Vec<Attribute>,
}

/// The market's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketParams {
    /// The least deposit of a bid, one for each denom that is taken.
    pub bid_min_deposits: Vec<Coin>,
    /// How many bids an order takes. The chain compares with "more than", so one more lands.
    pub order_max_bids: u32,
    /// Bounds of a reclamation window, in seconds.
    pub min_reclamation_window_s: u64,
    /// See [`MarketParams::min_reclamation_window_s`].
    pub max_reclamation_window_s: u64,
}

/// A height together with its block's time: when something was seen on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockTime {
    /// The block.
    pub height: Height,
    /// The time in its header.
    pub time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "akash1365yvmc4s7awdyj3n2sav7xfx76adc6dnmlx63";

    fn price(amount: &str, denom: &str) -> Price {
        Price { denom: denom.parse().unwrap(), amount: amount.parse().unwrap() }
    }

    fn lease(gseq: u32, state: LeaseState, price: Price) -> Lease {
        let order: OrderId = format!("{OWNER}/7/{gseq}/1").parse().unwrap();
        Lease {
            id: order.lease(&OWNER.parse().unwrap()),
            state,
            price,
            created_at: Height(90),
            closed_on: None,
            reason: CloseReason::Invalid,
            reclamation_window_s: None,
            reclaim_until: None,
        }
    }

    fn funded(funds: Option<Price>) -> Deployment {
        Deployment {
            id: DeploymentId::new(OWNER.parse().unwrap(), 7),
            state: DeploymentState::Active,
            hash: String::new(),
            created_at: Height(80),
            groups: Vec::new(),
            funds,
            settled_at: Height(100),
        }
    }

    #[test]
    fn escrow_pays_all_leases_that_run_and_no_block_in_part() {
        let leases = [
            lease(1, LeaseState::Active, price("1.5", "uact")),
            lease(2, LeaseState::Reclaiming, price("0.5", "uact")),
            lease(3, LeaseState::Closed, price("100", "uact")),
        ];
        let until = |funds| funded(funds).funded_until(&leases);
        assert_eq!(until(Some(price("20", "uact"))), Some(Height(110)));
        assert_eq!(until(Some(price("21.99", "uact"))), Some(Height(110)));
        assert_eq!(until(None), Some(Height(100)), "overdrawn");
    }

    #[test]
    fn escrow_without_a_lease_that_runs_has_no_end() {
        let funds = || Some(price("20", "uact"));
        assert_eq!(funded(funds()).funded_until(&[]), None);
        let closed = [lease(1, LeaseState::Closed, price("1", "uact"))];
        assert_eq!(funded(funds()).funded_until(&closed), None);
        let free = [lease(1, LeaseState::Active, price("0", "uact"))];
        assert_eq!(funded(funds()).funded_until(&free), None);
    }
}
