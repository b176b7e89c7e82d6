//! The names of the checks, and what one check found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the rules: the stage that checks it, the name of the check, the reason code when it fails, and whether waiting
/// can cure it.
macro_rules! rules {
    ($($(#[$doc:meta])* $case:ident = $stage:ident, $name:literal, $reason:literal, $may_pass_later:literal;)*) => {
        /// What is checked before a bid. In the record a rule goes by its name (`order_open`); the outcome of a decision
        /// carries its reason code (`order_not_open`). Both are stable: programs match on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Rule { $($(#[$doc])* #[serde(rename = $name)] $case,)* }

        impl Rule {
            /// Every rule, in the order in which they run.
            pub const ALL: &'static [Self] = &[$(Self::$case,)*];

            /// The check's name, such as `order_open`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$case => $name,)* }
            }

            /// Why there is no bid when this check fails, such as `order_not_open`.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$case => $reason,)* }
            }

            /// The rule with this reason code.
            #[must_use]
            pub fn from_reason(reason: &str) -> Option<Self> {
                match reason { $($reason => Some(Self::$case),)* _ => None }
            }

            /// The stage that checks it.
            #[must_use]
            pub const fn stage(self) -> StageName {
                match self { $(Self::$case => StageName::$stage,)* }
            }

            /// Whether the same order can pass later without any change of the order, the policy or the prices: capacity
            /// comes free, a balance is filled up, a pause ends. Such a decline is worth deciding again.
            #[must_use]
            pub const fn may_pass_later(self) -> bool {
                match self { $(Self::$case => $may_pass_later,)* }
            }
        }
    };
}

rules! {
    /// The chain knows us as a provider.
    ProviderRegistered = Free, "provider_registered", "provider_not_registered", true;
    /// The operator has not paused bidding.
    NotPaused = Free, "not_paused", "paused", true;
    /// The order takes bids.
    OrderOpen = Free, "order_open", "order_not_open", false;
    /// Its group is open: before chain v2.1.0 orders of closed groups stayed open for ever.
    GroupOpen = Free, "group_open", "group_not_open", false;
    /// Its deployment is active, for the same reason.
    DeploymentActive = Free, "deployment_active", "deployment_not_active", false;
    /// The chain refuses a bid on one's own order.
    OtherOwner = Free, "other_owner", "own_order", false;
    /// We have never bid on it; the chain takes one bid of a provider per order, ever.
    NoOwnBid = Free, "no_own_bid", "own_bid_exists", false;
    /// The order takes one more bid. The chain compares with "more than", so it takes one above the parameter.
    BidsLeft = Free, "bids_left", "max_bids_reached", false;
    /// The market takes our deposit's denom and amount.
    DepositAccepted = Free, "deposit_accepted", "deposit_not_accepted", true;
    /// Our balance covers the deposit.
    DepositCovered = Free, "deposit_covered", "insufficient_deposit_balance", true;
    /// Our balance covers fees.
    FeesCovered = Free, "fees_covered", "insufficient_fee_balance", true;
    /// We have fewer open bids than the policy's limit.
    OpenBidsLimit = Free, "open_bids_limit", "too_many_open_bids", true;
    /// We have fewer leases than the policy's limit.
    LeasesLimit = Free, "leases_limit", "too_many_leases", true;
    /// The policy takes orders of this tenant.
    OwnerAllowed = Policy, "owner_allowed", "owner_not_allowed", false;
    /// The order is priced in one denom that the policy takes.
    DenomAccepted = Policy, "denom_accepted", "denom_not_accepted", false;
    /// The provider has every attribute that the order requires.
    ProviderAttributes = Policy, "provider_attributes", "attributes_mismatch", true;
    /// The order asks for every attribute that the policy wants of an order.
    OrderAttributes = Policy, "order_attributes", "order_attributes_missing", false;
    /// Some storage capability of the provider answers each volume with attributes.
    StorageCapability = Policy, "storage_capability", "storage_capability_missing", true;
    /// Some GPU capability of the provider answers each unit that wants GPUs.
    GpuCapability = Policy, "gpu_capability", "gpu_capability_missing", true;
    /// No unit has too many volumes.
    Volumes = Policy, "volumes", "too_many_volumes", false;
    /// The auditors that the order names have signed the required attributes.
    SignedBy = Policy, "signed_by", "audit_missing", true;
    /// The group is within the chain's limits.
    GroupLimits = Policy, "group_limits", "group_limits_exceeded", false;
    /// The group is within the policy's limits.
    OrderSize = Policy, "order_size", "order_too_large", false;
    /// We can offer the notice that the order wants before its lease may be reclaimed.
    Reclamation = Policy, "reclamation", "reclamation_not_offered", false;
    /// There is an observation of the cluster that is young enough.
    InventoryYoung = Place, "inventory_young", "inventory_not_young", true;
    /// Every replica has a place.
    Fits = Place, "fits", "insufficient_capacity", true;
    /// The prices give the group a price the chain can hold.
    Priced = Price, "priced", "not_priced", false;
    /// The tenant pays that much.
    PriceWithinOrder = Price, "price_within_order", "price_too_high", false;
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one check found, with the numbers it compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which check.
    pub name: Rule,
    /// Whether it passed.
    pub passed: bool,
    /// What it takes to pass.
    pub needed: String,
    /// What there was.
    pub there: String,
}

impl Check {
    pub(super) fn new(
        name: Rule,
        passed: bool,
        needed: impl Into<String>,
        there: impl Into<String>,
    ) -> Self {
        Self { name, passed, needed: needed.into(), there: there.into() }
    }
}

/// Where in the order of work a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// What the chain and our own switches already say.
    Free,
    /// What the operator and the tenant want of each other.
    Policy,
    /// Whether and where it fits.
    Place,
    /// What it costs.
    Price,
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "free",
            Self::Policy => "policy",
            Self::Place => "place",
            Self::Price => "price",
        })
    }
}

/// All checks of one stage, in the order in which they ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Which stage.
    pub name: StageName,
    /// Its checks.
    pub checks: Vec<Check>,
}

impl Stage {
    /// The first check that did not pass.
    #[must_use]
    pub fn failure(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.passed)
    }
}
