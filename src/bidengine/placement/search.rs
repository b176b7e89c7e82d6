//! The search for a placement: unit by unit, the scarcest first; each GPU choice of each unit; two ways to order the nodes.

use std::cmp::Reverse;

use super::{
    Assignment, MAX_LISTED_NODES, Missing, Needs, NodeRefusal, Offer, Placement, Shortage,
    gpu::{self, Choice},
    room::{Ledger, Room},
};
use crate::domain::ResourceUnit;

/// How many times a unit is tried in all before the search gives up: bounds the product of the units' choices.
const MAX_TRIES: u32 = 500;

/// In which order nodes are filled.
#[derive(Clone, Copy)]
enum NodeOrder {
    /// By name: what was placed first fills the first node.
    ByName,
    /// The node with the least CPU left first: keeps large gaps for large replicas.
    Tightest,
}

/// One unit, ready to be tried.
struct UnitPlan<'a> {
    /// Its place in the tenant's order.
    index: usize,
    unit: &'a ResourceUnit,
    needs: Needs,
    /// The GPU choices; one `None` for a unit without GPUs.
    choices: Vec<Option<Choice>>,
}

/// Where the search got furthest.
struct Furthest<'a> {
    /// How many units were placed before, then how many replicas of this one.
    reached: (usize, u32),
    plan: usize,
    choice: Option<Choice>,
    ledger: Ledger<'a>,
}

pub(super) struct Search<'a> {
    units: &'a [ResourceUnit],
    start: &'a Ledger<'a>,
    /// Sorted: what finds room hardest comes first.
    plans: Vec<UnitPlan<'a>>,
    order: NodeOrder,
    tries_left: u32,
    furthest: Option<Furthest<'a>>,
}

/// The replicas of one unit and the choice they share.
struct PlacedUnit {
    index: usize,
    choice: Option<Choice>,
    assignments: Vec<Assignment>,
}

impl<'a> Search<'a> {
    pub(super) fn new(units: &'a [ResourceUnit], start: &'a Ledger<'a>) -> Self {
        let mut plans: Vec<_> = units
            .iter()
            .enumerate()
            .map(|(index, unit)| UnitPlan::new(index, unit, start))
            .collect();
        plans.sort_by_key(|plan| {
            let needs = &plan.needs;
            Reverse((
                needs.gpu_units,
                !needs.storage.is_empty(),
                needs.cpu_milli,
                needs.memory_bytes,
            ))
        });
        Self { units, start, plans, order: NodeOrder::ByName, tries_left: 0, furthest: None }
    }

    pub(super) fn run(mut self) -> Result<Placement, Box<Shortage>> {
        for order in [NodeOrder::ByName, NodeOrder::Tightest] {
            self.order = order;
            self.tries_left = MAX_TRIES;
            if let Some(placed) = self.place_from(0, self.start) {
                return Ok(self.placement(placed));
            }
        }
        Err(Box::new(self.shortage()))
    }

    fn place_from(&mut self, at: usize, ledger: &Ledger<'a>) -> Option<Vec<PlacedUnit>> {
        if at == self.plans.len() {
            return Some(Vec::new());
        }
        for choice in self.plans[at].choices.clone() {
            self.tries_left = self.tries_left.checked_sub(1)?;
            let mut left = ledger.clone();
            let assignments = self.place_unit(at, choice.as_ref(), &mut left);
            if assignments.len() < self.plans[at].unit.count as usize {
                self.note_failure(at, choice, assignments.len(), left);
                continue;
            }
            if let Some(mut placed) = self.place_from(at + 1, &left) {
                placed.push(PlacedUnit { index: self.plans[at].index, choice, assignments });
                return Some(placed);
            }
        }
        if self.plans[at].choices.is_empty() {
            self.note_failure(at, None, 0, ledger.clone());
        }
        None
    }

    /// As many replicas of one unit as find a place.
    fn place_unit(
        &self,
        at: usize,
        choice: Option<&Choice>,
        ledger: &mut Ledger<'a>,
    ) -> Vec<Assignment> {
        let plan = &self.plans[at];
        let mut assignments = Vec::new();
        for index in self.nodes_for(plan, ledger) {
            while assignments.len() < plan.unit.count as usize
                && ledger.rooms[index].takes(&plan.needs, choice)
            {
                let room = &ledger.rooms[index];
                let assignment = Assignment {
                    unit: plan.unit.resources.id,
                    replica: u32::try_from(assignments.len()).unwrap_or(u32::MAX),
                    node: room.node.name.clone(),
                    gpu: choice.and_then(|one| room.gpu_kind(one, plan.needs.gpu_units)),
                    needs: plan.needs.clone(),
                };
                ledger.take(&assignment);
                assignments.push(assignment);
            }
        }
        assignments
    }

    /// The nodes in the order in which a unit tries them. One without GPUs goes to nodes without GPUs first.
    fn nodes_for(&self, plan: &UnitPlan<'_>, ledger: &Ledger<'a>) -> Vec<usize> {
        let mut indexes: Vec<usize> = (0..ledger.rooms.len()).collect();
        indexes.sort_by_key(|index| {
            let room = &ledger.rooms[*index];
            let wastes_gpus = plan.needs.gpu_units == 0 && room.gpus.values().any(|left| *left > 0);
            let cpu = match self.order {
                NodeOrder::ByName => 0,
                NodeOrder::Tightest => room.cpu_milli,
            };
            (wastes_gpus, cpu, *index)
        });
        indexes
    }

    fn note_failure(
        &mut self,
        at: usize,
        choice: Option<Choice>,
        placed: usize,
        ledger: Ledger<'a>,
    ) {
        let reached = (at, u32::try_from(placed).unwrap_or(u32::MAX));
        if self.furthest.as_ref().is_none_or(|furthest| furthest.reached < reached) {
            self.furthest = Some(Furthest { reached, plan: at, choice, ledger });
        }
    }

    fn placement(&self, mut placed: Vec<PlacedUnit>) -> Placement {
        placed.sort_by_key(|one| one.index);
        let mut placement = Placement::default();
        for PlacedUnit { index, choice, assignments } in placed {
            let unit = &self.units[index];
            let mut resources = unit.resources.clone();
            if let Some(choice) = choice {
                resources.gpu_attributes = vec![choice.attribute()];
            }
            placement.assignments.extend(assignments);
            placement.offer.push(Offer { resources, count: unit.count });
        }
        placement
    }

    fn shortage(&self) -> Shortage {
        let Some(furthest) = &self.furthest else {
            return Shortage::of_cluster(Vec::new());
        };
        let plan = &self.plans[furthest.plan];
        let mut nodes: Vec<NodeRefusal> = furthest
            .ledger
            .rooms
            .iter()
            .map(|room| NodeRefusal {
                node: room.node.name.clone(),
                excluded: room.node.excluded.clone(),
                missing: plan.missing(room, furthest.choice.as_ref()),
            })
            .collect();
        nodes.sort_by_cached_key(|refusal| {
            let gap = refusal.missing.iter().map(gap_share).fold(0, u64::saturating_add);
            (refusal.excluded.is_some(), refusal.missing.len(), gap)
        });
        let nearest = nodes.first().filter(|refusal| refusal.excluded.is_none()).cloned();
        let nodes_left_out = nodes.len().saturating_sub(MAX_LISTED_NODES);
        nodes.truncate(MAX_LISTED_NODES);
        Shortage {
            unit: Some(plan.unit.resources.id),
            placed: furthest.reached.1,
            count: plan.unit.count,
            missing: nearest.as_ref().map_or_else(Vec::new, |refusal| refusal.missing.clone()),
            nearest: nearest.map(|refusal| refusal.node),
            nodes,
            nodes_left_out,
        }
    }
}

impl<'a> UnitPlan<'a> {
    fn new(index: usize, unit: &'a ResourceUnit, ledger: &Ledger<'_>) -> Self {
        let needs = Needs::of(&unit.resources);
        let choices = if needs.gpu_units == 0 {
            vec![None]
        } else {
            let rooms = ledger.rooms.iter().filter(|room| room.node.excluded.is_none());
            let kinds = rooms.flat_map(|room| room.gpus.keys());
            gpu::choices(&unit.resources, kinds).into_iter().map(Some).collect()
        };
        Self { index, unit, needs, choices }
    }

    fn missing(&self, room: &Room<'_>, choice: Option<&Choice>) -> Vec<Missing> {
        let mut missing = room.missing(&self.needs, choice);
        if choice.is_none() && self.needs.gpu_units > 0 {
            missing.push(Missing {
                what: gpu::wanted_name(&self.unit.resources),
                needed: self.needs.gpu_units,
                there: 0,
            });
        }
        missing
    }
}

/// How far a node is from enough, in billionths of what is needed.
fn gap_share(missing: &Missing) -> u64 {
    let gap = u128::from(missing.needed.saturating_sub(missing.there)) * 1_000_000_000
        / u128::from(missing.needed.max(1));
    u64::try_from(gap).unwrap_or(u64::MAX)
}
