//! A decision as the route shows it: every check with what was needed and what was there.

use serde::Serialize;
use utoipa::ToSchema;

use super::{HeightView, MoneyView};
use crate::bidengine::{Decision, Outcome, PriceLine, Quote, Shortage, Stage};

/// Why there is a bid, or none.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DecisionView {
    /// The order.
    pub order: String,
    /// The block that it was decided at.
    pub at: HeightView,
    /// Which version of the policy was in force.
    pub policy_version: u64,
    /// `bid` or `no_bid`.
    #[schema(example = "no_bid")]
    pub outcome: &'static str,
    /// The check that failed first, as a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "insufficient_capacity")]
    pub reason: Option<&'static str>,
    /// The price of the bid, per block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<MoneyView>,
    /// The most that the tenant pays, per block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_price: Option<MoneyView>,
    /// What would change it, nearest first.
    pub hints: Vec<String>,
    /// The stages that were reached, each with all its checks.
    pub stages: Vec<StageView>,
    /// Where it would run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placement: Vec<PlacedView>,
    /// Why it would run nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortage: Option<ShortageView>,
    /// The price, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub price_lines: Vec<PriceLineView>,
}

/// One stage of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StageView {
    /// `free`, `policy`, `place`, `price`.
    pub name: String,
    /// Whether all its checks passed.
    pub passed: bool,
    /// All its checks.
    pub checks: Vec<CheckView>,
}

/// One check of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CheckView {
    /// Its stable name.
    #[schema(example = "order_open")]
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What it takes to pass.
    pub needed: String,
    /// What there was.
    pub there: String,
}

/// Replicas of one unit on one node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlacedView {
    /// The id of the unit's resources.
    pub unit: u32,
    /// The node.
    pub node: String,
    /// How many replicas.
    pub count: u32,
    /// `nvidia/a100`, when they have GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}

/// Why a group fits nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ShortageView {
    /// In one sentence.
    pub summary: String,
    /// The node that came nearest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Why not, node by node.
    pub nodes: Vec<NodeRefusalView>,
}

/// Why one node takes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeRefusalView {
    /// The node.
    pub node: String,
    /// Each reason, with numbers.
    pub reasons: Vec<String>,
}

/// One line of a price.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PriceLineView {
    /// What is priced: `cpu`, `memory`, `storage beta2`, `endpoint`, `ip`, `gpu a100`.
    pub what: String,
    /// How much of it.
    pub quantity: String,
    /// What it is counted in: `milli`, `MiB`, or nothing for pieces.
    pub unit: String,
    /// The price of one unit.
    pub unit_price: String,
    /// Quantity times unit price, per block.
    pub sum: String,
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        let (outcome, reason, price) = match &decision.outcome {
            Outcome::Bid { price } => ("bid", None, Some(price)),
            Outcome::NoBid { reason } => ("no_bid", Some(reason.reason()), None),
        };
        Self {
            order: decision.order.to_string(),
            at: decision.at.into(),
            policy_version: decision.policy_version,
            outcome,
            reason,
            price: price.map(MoneyView::from),
            order_price: decision.order_price.as_ref().map(MoneyView::from),
            hints: decision.hints(),
            stages: decision.stages.iter().map(StageView::from).collect(),
            placement: placed(decision),
            shortage: decision.shortage.as_ref().map(ShortageView::from),
            price_lines: decision.price.as_ref().map(price_lines).unwrap_or_default(),
        }
    }
}

impl From<&Stage> for StageView {
    fn from(stage: &Stage) -> Self {
        let checks = stage.checks.iter().map(|check| CheckView {
            name: check.name.name(),
            passed: check.passed,
            needed: check.needed.clone(),
            there: check.there.clone(),
        });
        Self {
            name: stage.name.to_string(),
            passed: stage.checks.iter().all(|check| check.passed),
            checks: checks.collect(),
        }
    }
}

impl From<&Shortage> for ShortageView {
    fn from(shortage: &Shortage) -> Self {
        let nodes = shortage.nodes.iter().map(|refusal| NodeRefusalView {
            node: refusal.node.clone(),
            reasons: refusal
                .excluded
                .iter()
                .cloned()
                .chain(refusal.missing.iter().map(ToString::to_string))
                .collect(),
        });
        Self {
            summary: shortage.to_string(),
            nearest: shortage.nearest.clone(),
            nodes: nodes.collect(),
        }
    }
}

fn placed(decision: &Decision) -> Vec<PlacedView> {
    let rows = decision.placement.iter().flat_map(|placement| &placement.replicas);
    rows.map(|row| PlacedView {
        unit: row.unit,
        node: row.node.clone(),
        count: row.count,
        gpu: row.gpu.clone(),
    })
    .collect()
}

fn price_lines(quote: &Quote) -> Vec<PriceLineView> {
    let view = |line: &PriceLine| PriceLineView {
        what: line.what.clone(),
        quantity: line.quantity.clone(),
        unit: line.unit.clone(),
        unit_price: line.unit_price.to_string(),
        sum: line.sum.clone(),
    };
    quote.lines.iter().map(view).collect()
}
