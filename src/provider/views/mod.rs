//! What people and programs read: view types, and functions that make them of the rows. Routes and pages show these and
//! nothing else; rows never leave the store.
//!
//! Ids and money are texts here, as they are everywhere in the market's JSON: an amount of 10⁻¹⁸ fits no JSON number.
//!
//! The one surprising fact: a view is made of what is stored. Only [`mod@lease`] asks the cluster, and it answers with what
//! was observed last when the cluster says nothing; and [`mod@doctor`], which asks everything.

mod decision;
mod doctor;
mod funnel;
mod health;
mod inventory;
mod lease;
mod maintenance;
mod meaning;
mod order;
mod overview;
mod policy;
mod record;
mod stream;
mod stuck;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub use self::{
    decision::{
        CheckView, DecisionView, NodeRefusalView, PlacedView, PriceLineView, ShortageView,
        StageView,
    },
    doctor::{DoctorView, FindingVerdict, FindingView, NodeHealthView, bids_affordable, doctor},
    funnel::{DropView, FunnelStageView, FunnelView, FunnelWindow, funnel},
    health::{Condition, Health, Verdict, health},
    inventory::{
        ExclusionView, GpuView, InventoryView, NodeView, QuantityView, ReservationView,
        StorageView, inventory,
    },
    lease::{
        DriftView, ForwardedPortView, LeaseFilter, LeaseView, Manifests, ServiceView, lease,
        lease_record, leases, manifests,
    },
    maintenance::{MaintenanceView, TeardownsView, WindowView, maintenance},
    order::{BidView, DecisionSummaryView, OrderView, bids, decision, orders},
    overview::{
        FreshnessView, Judgement, OverviewView, ProviderVerdict, TotalsView, judge, overview,
    },
    policy::{DifferenceView, PolicyChangeView, PolicyView, policies, policy},
    record::{
        AuditView, DeadlineView, FailureView, TransactionView, audit, deadlines, transactions,
    },
    stream::{
        BlockView, DisagreementView, GapView, KeyView, StreamCounts, StreamView, stream, streams,
    },
    stuck::{DeliveryView, StuckView, backlog, deliveries, stuck},
};
use crate::domain;

/// The most rows of one page.
pub const MAX_PAGE: u32 = 500;

/// One page of a list, and where the next begins.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Page<T> {
    /// In the order that the list names.
    pub items: Vec<T>,
    /// Give this back as `after` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many there are in all, where that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// All that there is.
    pub const fn whole(items: Vec<T>) -> Self {
        Self { items, next: None, total: None }
    }

    fn of<R>(page: super::port::Page<R>, view: impl Fn(R) -> T) -> Self {
        Self { items: page.rows.into_iter().map(view).collect(), next: page.next, total: None }
    }
}

/// Money per block, or whole money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MoneyView {
    /// Decimal, with up to 18 digits after the point.
    #[schema(example = "2.30112")]
    pub amount: String,
    /// What it is counted in.
    #[schema(example = "uact")]
    pub denom: String,
}

impl From<&domain::Price> for MoneyView {
    fn from(price: &domain::Price) -> Self {
        Self { amount: price.amount.to_string(), denom: price.denom.to_string() }
    }
}

/// A moment of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeightView {
    /// The block.
    pub height: u64,
    /// The time in its header.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
}

impl From<domain::market::BlockTime> for HeightView {
    fn from(at: domain::market::BlockTime) -> Self {
        Self { height: at.height.0, time: at.time }
    }
}
