//! The decision on one order, and the record of it.

use serde::{Deserialize, Serialize};

use super::{
    check::{Check, Rule, Stage, StageName},
    eligibility::{free_checks, policy_checks, reclamation_window},
    facts::{Facts, ObservedInventory},
    placement::{Offer, Placement, Shortage, place},
    policy::Policy,
    price::{Prices, Quote, quote},
};
use crate::domain::{Coin, OrderId, Price, inventory::Inventory, market::BlockTime};

/// Why there is a bid, or none: everything that was looked at, with numbers. Stored with the order and shown to operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// On which order.
    pub order: OrderId,
    /// As of which block.
    pub at: BlockTime,
    /// Which version of the policy was in force.
    pub policy_version: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// The stages that were reached, each with all its checks.
    pub stages: Vec<Stage>,
    /// Where it would run: which node takes how many replicas of which unit.
    pub placement: Option<PlacementSummary>,
    /// Why it would run nowhere.
    pub shortage: Option<Shortage>,
    /// The price, line by line.
    pub price: Option<Quote>,
    /// The most that the tenant pays for the group and block.
    pub order_price: Option<Price>,
}

/// What came of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A bid at this price.
    Bid {
        /// Per block.
        price: Price,
    },
    /// No bid.
    NoBid {
        /// The rule that failed first; in JSON its reason code, such as `order_not_open`.
        #[serde(with = "reason_text")]
        reason: Rule,
    },
}

/// A placement in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementSummary {
    /// Unit by unit, node by node.
    pub replicas: Vec<ReplicasOnNode>,
    /// Leased addresses.
    pub ips: u64,
}

/// Replicas of one unit on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasOnNode {
    /// The id of the unit's resources.
    pub unit: u32,
    /// The node's name.
    pub node: String,
    /// How many replicas.
    pub count: u32,
    /// `nvidia/a100`, when they have GPUs.
    pub gpu: Option<String>,
}

/// What the create-bid message says beyond the order and the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BidContent {
    /// Per block.
    pub price: Price,
    /// Put down until the bid ends.
    pub deposit: Coin,
    /// The order's resources with concrete GPU models.
    pub offer: Vec<Offer>,
    /// The notice before the lease is reclaimed, in seconds; `None` offers none.
    pub reclamation_window_s: Option<u64>,
    /// Where the replicas are to run: what the reservation holds.
    pub placement: Placement,
}

/// A decision and, when it says bid, the bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The record to store.
    pub decision: Decision,
    /// What to send and to reserve; present exactly when the outcome is [`Outcome::Bid`].
    pub bid: Option<BidContent>,
}

impl Decision {
    /// Every check that did not pass, in order.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.stages.iter().flat_map(|stage| &stage.checks).filter(|check| !check.passed)
    }

    /// Whether the same order may get a bid later although neither it nor policy and prices change: everything that failed
    /// is of the passing kind.
    #[must_use]
    pub fn may_pass_later(&self) -> bool {
        matches!(self.outcome, Outcome::NoBid { .. })
            && self.failures().all(|check| check.name.may_pass_later())
    }
}

/// Decides on one order: *free → policy → place → price*. Each stage runs all its checks; the next one starts only when all before
/// passed. The same arguments always give the same answer.
#[must_use]
pub fn decide(facts: &Facts, policy: &Policy, prices: &Prices) -> Decided {
    let mut record = Record::new(facts, policy);
    let bid = record.stages(facts, policy, prices);
    record.close(bid)
}

/// A decision that is being written.
struct Record {
    decision: Decision,
}

impl Record {
    fn new(facts: &Facts, policy: &Policy) -> Self {
        Self {
            decision: Decision {
                order: facts.order.id.clone(),
                at: facts.at,
                policy_version: policy.version,
                // Replaced when the record is closed.
                outcome: Outcome::NoBid { reason: Rule::Priced },
                stages: Vec::new(),
                placement: None,
                shortage: None,
                price: None,
                order_price: facts.order.spec.price(),
            },
        }
    }

    /// Runs the stages; `None` as soon as one of them has a check that failed.
    fn stages(&mut self, facts: &Facts, policy: &Policy, prices: &Prices) -> Option<BidContent> {
        self.stage(StageName::Free, free_checks(facts, policy))?;
        self.stage(StageName::Policy, policy_checks(facts, policy))?;
        let placement = self.place(facts)?;
        let price = self.price(facts, &placement, prices)?;
        Some(BidContent {
            price,
            deposit: policy.bid_deposit.clone(),
            offer: placement.offer.clone(),
            reclamation_window_s: reclamation_window(facts, policy).ok()?,
            placement,
        })
    }

    fn stage(&mut self, name: StageName, checks: Vec<Check>) -> Option<()> {
        let stage = Stage { name, checks };
        let passed = stage.failure().is_none();
        self.decision.stages.push(stage);
        passed.then_some(())
    }

    fn place(&mut self, facts: &Facts) -> Option<Placement> {
        let (young, inventory) = inventory_check(facts);
        let Some(inventory) = inventory else {
            self.stage(StageName::Place, vec![young]);
            return None;
        };
        let spec = &facts.order.spec;
        let replicas: u64 = spec.units.iter().map(|unit| u64::from(unit.count)).sum();
        let needed = format!("a node for each of {replicas} replicas");
        match place(&facts.order.id, spec, inventory, &facts.reservations) {
            Ok(placement) => {
                let nodes = placement.replicas_by_node().len();
                let there = format!("{replicas} replicas on {nodes} nodes");
                let fits = Check::new(Rule::Fits, true, needed, there);
                self.decision.placement = Some(PlacementSummary::of(&placement));
                self.stage(StageName::Place, vec![young, fits]);
                Some(placement)
            }
            Err(shortage) => {
                let fits = Check::new(Rule::Fits, false, needed, shortage.to_string());
                self.decision.shortage = Some(*shortage);
                self.stage(StageName::Place, vec![young, fits])?;
                None
            }
        }
    }

    fn price(&mut self, facts: &Facts, placement: &Placement, prices: &Prices) -> Option<Price> {
        let needed = "a price above 0 for everything in the group";
        let quote = match quote(&facts.order.spec, &placement.offer, prices) {
            Ok(quote) => quote,
            Err(error) => {
                let priced = Check::new(Rule::Priced, false, needed, error.to_string());
                self.stage(StageName::Price, vec![priced]);
                return None;
            }
        };
        let price = quote.total.clone();
        let most = self.decision.order_price.as_ref();
        let within = Check::new(
            Rule::PriceWithinOrder,
            // The chain panics on two denoms in one comparison, so they are compared here.
            most.is_some_and(|most| most.denom == price.denom && price.amount <= most.amount),
            most.map_or("a price in one denom".to_owned(), |most| format!("at most {most}")),
            price.to_string(),
        );
        let there = format!("{price} in {} lines", quote.lines.len());
        let priced = Check::new(Rule::Priced, true, needed, there);
        self.decision.price = Some(quote);
        self.stage(StageName::Price, vec![priced, within])?;
        Some(price)
    }

    fn close(mut self, bid: Option<BidContent>) -> Decided {
        let failed = self.decision.failures().next().map(|check| check.name);
        self.decision.outcome = match (&bid, failed) {
            (Some(bid), _) => Outcome::Bid { price: bid.price.clone() },
            (None, failed) => Outcome::NoBid { reason: failed.unwrap_or(Rule::Priced) },
        };
        Decided { decision: self.decision, bid }
    }
}

fn inventory_check(facts: &Facts) -> (Check, Option<&Inventory>) {
    let (taken_at, inventory) = match &facts.inventory {
        ObservedInventory::Young { inventory, taken_at } => (Some(*taken_at), Some(inventory)),
        ObservedInventory::TooOld { taken_at } => (Some(*taken_at), None),
        ObservedInventory::Missing => (None, None),
    };
    let there = taken_at.map_or("never observed".to_owned(), |taken_at| {
        format!("{} s old, taken at {taken_at}", facts.now.duration_since(taken_at).as_secs())
    });
    let needed = format!("at most {} s old", facts.inventory_max_age_s);
    (Check::new(Rule::InventoryYoung, inventory.is_some(), needed, there), inventory)
}

impl PlacementSummary {
    fn of(placement: &Placement) -> Self {
        let mut replicas: Vec<ReplicasOnNode> = Vec::new();
        for one in &placement.assignments {
            let gpu = one.gpu.as_ref().map(|gpu| format!("{}/{}", gpu.vendor, gpu.model));
            match replicas
                .iter_mut()
                .find(|row| row.unit == one.unit && row.node == one.node && row.gpu == gpu)
            {
                Some(row) => row.count += 1,
                None => replicas.push(ReplicasOnNode {
                    unit: one.unit,
                    node: one.node.clone(),
                    count: 1,
                    gpu,
                }),
            }
        }
        Self { replicas, ips: placement.ips }
    }
}

/// A rule by its reason code.
mod reason_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Rule;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` passes a reference")]
    pub(super) fn serialize<S: Serializer>(rule: &Rule, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(rule.reason())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Rule, D::Error> {
        let text = String::deserialize(deserializer)?;
        Rule::from_reason(&text)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is no reason code of a decision")))
    }
}
