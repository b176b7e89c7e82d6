//! Tests of `bidengine` through its public surface: whole decisions, their record, and what an operator reads.

#![expect(clippy::unwrap_used, reason = "fixtures of tests")]

use lessor::{
    bidengine::{
        Decision, Facts, ObservedInventory, Outcome, Policy, Prices, Rule, StageName, decide,
        free_checks, limit_violations,
        order::{self, Effect, OrderPhase},
        policy::MaxOrder,
    },
    domain::{
        Address, Attribute, AuditedAttributes, Bid, BidState, Coin, Denom, DeploymentState,
        Endpoint, EndpointKind, GroupSpec, GroupState, Height, MarketParams, Order, OrderId,
        OrderState, Price, Provider, Requirements, ResourceUnit, Resources, SignedBy, Volume,
        inventory::{GpuModel, Inventory, Node, Quantity},
        market::BlockTime,
    },
};

mod numbers;

const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;
const DAY: u64 = 86_400;
const REGION: (&str, &str) = ("region", "us-west");

fn address(number: u8) -> Address {
    Address::from_bytes(&[number; 20]).unwrap()
}

fn attributes(pairs: &[(&str, &str)]) -> Vec<Attribute> {
    pairs.iter().map(|(key, value)| Attribute::new(*key, *value)).collect()
}

fn coin(text: &str) -> Coin {
    text.parse().unwrap()
}

fn uact(amount: &str) -> Price {
    Price { denom: Denom::uact(), amount: amount.parse().unwrap() }
}

fn web() -> ResourceUnit {
    ResourceUnit {
        resources: Resources {
            id: 1,
            cpu_milli: 100,
            cpu_attributes: vec![],
            memory_bytes: 512 * MI,
            memory_attributes: vec![],
            storage: vec![Volume { name: "default".into(), bytes: 512 * MI, attributes: vec![] }],
            gpu_units: 0,
            gpu_attributes: vec![],
            endpoints: vec![Endpoint { kind: EndpointKind::SharedHttp, sequence_number: 0 }],
        },
        count: 1,
        price: uact("10"),
    }
}

fn node(name: &str) -> Node {
    Node {
        name: name.into(),
        cpu_milli: Quantity::of(8_000),
        memory_bytes: Quantity::of(16 * GI),
        ephemeral_bytes: Quantity::of(100 * GI),
        gpus: vec![],
        storage_classes: vec![],
        excluded: None,
    }
}

fn inventory(nodes: &[Node]) -> ObservedInventory {
    let inventory = Inventory { nodes: nodes.to_vec(), ..Inventory::default() };
    ObservedInventory::Young { inventory, taken_at: "2026-01-02T03:04:00Z".parse().unwrap() }
}

/// An order that everything speaks for: a web service in `us-west` that auditor 9 has signed for.
fn facts() -> Facts {
    let provider = address(2);
    let spec = GroupSpec {
        name: "west".into(),
        requirements: Requirements {
            signed_by: SignedBy { all_of: vec![address(9).to_string()], any_of: vec![] },
            attributes: attributes(&[REGION]),
        },
        units: vec![web()],
    };
    Facts {
        at: BlockTime { height: Height(120), time: "2026-01-02T03:04:05Z".parse().unwrap() },
        order: Order {
            id: OrderId::new(address(1), 101, 1, 1),
            state: OrderState::Open,
            spec,
            created_at: Height(119),
            min_reclamation_window_s: None,
        },
        group_state: Some(GroupState::Open),
        deployment_state: Some(DeploymentState::Active),
        own_bid: None,
        bid_count: 0,
        market: MarketParams {
            bid_min_deposits: vec![coin("500000uact"), coin("500000uakt")],
            order_max_bids: 20,
            min_reclamation_window_s: 3_600,
            max_reclamation_window_s: 2_592_000,
        },
        provider_address: provider.clone(),
        provider: Some(Provider {
            owner: provider,
            host_uri: "https://provider.example".into(),
            attributes: attributes(&[REGION, ("tier", "community")]),
            email: String::new(),
            website: String::new(),
        }),
        audited: vec![AuditedAttributes { auditor: address(9), attributes: attributes(&[REGION]) }],
        balances: vec![coin("5000000uact"), coin("5000000uakt")],
        balances_at: Height(118),
        bids_since: 0,
        paused: None,
        open_bids: 0,
        leases: 0,
        now: "2026-01-02T03:04:03Z".parse().unwrap(),
        inventory_max_age_s: 5,
        inventory: inventory(&[node("a1")]),
        reservations: vec![],
    }
}

fn decision(change: impl FnOnce(&mut Facts, &mut Policy, &mut Prices)) -> Decision {
    let (mut facts, mut policy, mut prices) = (facts(), Policy::default(), Prices::default());
    change(&mut facts, &mut policy, &mut prices);
    decide(&facts, &policy, &prices).decision
}

/// The change makes exactly this check fail, and the decision says so.
fn declines(reason: Rule, change: impl FnOnce(&mut Facts, &mut Policy, &mut Prices)) -> Decision {
    let decision = decision(change);
    assert_eq!(decision.outcome, Outcome::NoBid { reason }, "{decision}");
    let failed: Vec<_> = decision.failures().map(|check| check.name).collect();
    assert_eq!(failed, [reason], "{decision}");
    decision
}

#[test]
fn an_order_that_everything_speaks_for_gets_a_bid() {
    let decided = decide(&facts(), &Policy::default(), &Prices::default());
    let bid = decided.bid.expect("a bid");
    assert_eq!(bid.price, uact("2.30112"));
    assert_eq!(bid.deposit, coin("500000uact"));
    assert_eq!(bid.reclamation_window_s, None);
    assert_eq!(bid.offer.len(), 1);
    assert_eq!((&bid.offer[0].resources, bid.offer[0].count), (&web().resources, 1));
    assert_eq!(bid.placement.assignments[0].node, "a1");
    assert_eq!(decided.decision.outcome, Outcome::Bid { price: uact("2.30112") });
    assert!(!decided.decision.may_pass_later());
    let stages: Vec<_> = decided.decision.stages.iter().map(|stage| stage.name).collect();
    assert_eq!(stages, [StageName::Free, StageName::Policy, StageName::Place, StageName::Price]);
    let checks: Vec<_> =
        decided.decision.stages.iter().flat_map(|stage| &stage.checks).map(|c| c.name).collect();
    assert_eq!(checks, Rule::ALL, "every rule is on record, in its order");
}

#[test]
fn an_unregistered_provider_bids_on_nothing_and_says_so() {
    let decision = decision(|facts, _, _| facts.provider = None);
    assert_eq!(decision.outcome, Outcome::NoBid { reason: Rule::ProviderRegistered });
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(json["outcome"]["reason"], "provider_not_registered");
    assert!(decision.may_pass_later());
}

#[test]
fn each_free_check_declines_by_its_own_reason() {
    declines(Rule::NotPaused, |facts, _, _| facts.paused = Some("maintenance".into()));
    declines(Rule::OrderOpen, |facts, _, _| facts.order.state = OrderState::Active);
    declines(Rule::GroupOpen, |facts, _, _| facts.group_state = Some(GroupState::Paused));
    declines(Rule::GroupOpen, |facts, _, _| facts.group_state = None);
    declines(Rule::DeploymentActive, |facts, _, _| {
        facts.deployment_state = Some(DeploymentState::Closed);
    });
    declines(Rule::OtherOwner, |facts, _, _| {
        facts.provider_address = address(1);
    });
    declines(Rule::NoOwnBid, |facts, _, _| {
        facts.own_bid = Some(Bid {
            id: facts.order.id.bid(&facts.provider_address),
            state: BidState::Closed,
            price: uact("1"),
            created_at: Height(3),
            reclamation_window_s: None,
        });
    });
    declines(Rule::DepositAccepted, |_, policy, _| policy.bid_deposit = coin("499999uact"));
    declines(Rule::DepositAccepted, |facts, policy, _| {
        policy.bid_deposit = coin("500000uusd");
        facts.balances.push(coin("500000uusd"));
    });
    declines(Rule::DepositCovered, |facts, _, _| facts.balances[0] = coin("499999uact"));
    declines(Rule::FeesCovered, |facts, _, _| facts.balances[1] = coin("99999uakt"));
}

#[test]
fn the_chains_more_than_lets_one_bid_above_the_parameter_in() {
    assert!(matches!(decision(|facts, _, _| facts.bid_count = 20).outcome, Outcome::Bid { .. }));
    let full = declines(Rule::BidsLeft, |facts, _, _| facts.bid_count = 21);
    assert_eq!(full.hints(), ["bids_left needs at most 20 bids, there is 21"]);
}

#[test]
fn a_deposit_in_the_fee_denom_leaves_room_for_fees() {
    let uakt = |balance: &str| {
        let balance = coin(balance);
        decision(move |facts, policy, _| {
            policy.bid_deposit = coin("500000uakt");
            facts.balances = vec![balance];
        })
    };
    assert!(matches!(uakt("600000uakt").outcome, Outcome::Bid { .. }));
    assert_eq!(uakt("599999uakt").outcome, Outcome::NoBid { reason: Rule::DepositCovered });
}

#[test]
fn a_failing_stage_is_run_to_its_end_and_the_next_is_not_begun() {
    let decision = decision(|facts, _, _| {
        facts.provider = None;
        facts.bid_count = 99;
        facts.balances.clear();
        facts.inventory = ObservedInventory::Missing;
    });
    let failed: Vec<_> = decision.failures().map(|check| check.name).collect();
    assert_eq!(
        failed,
        [Rule::ProviderRegistered, Rule::BidsLeft, Rule::DepositCovered, Rule::FeesCovered]
    );
    assert_eq!(decision.stages.len(), 1);
    assert!(!decision.may_pass_later(), "a full order stays full");
}

#[test]
fn the_free_checks_stand_on_less_than_all_facts() {
    let mut early = facts();
    early.audited.clear();
    early.inventory = ObservedInventory::Missing;
    assert!(free_checks(&early, &Policy::default()).iter().all(|check| check.passed));
}

#[test]
fn owners_are_denied_or_allowed_by_name() {
    declines(Rule::OwnerAllowed, |_, policy, _| policy.deny_owners = vec![address(1)]);
    declines(Rule::OwnerAllowed, |_, policy, _| policy.allow_owners = vec![address(7)]);
    let allowed = decision(|_, policy, _| policy.allow_owners = vec![address(7), address(1)]);
    assert!(matches!(allowed.outcome, Outcome::Bid { .. }));
    declines(Rule::OwnerAllowed, |_, policy, _| {
        policy.allow_owners = vec![address(1)];
        policy.deny_owners = vec![address(1)];
    });
}

#[test]
fn each_policy_check_declines_by_its_own_reason() {
    declines(Rule::OpenBidsLimit, |facts, policy, _| {
        policy.max_open_bids = Some(3);
        facts.open_bids = 3;
    });
    declines(Rule::LeasesLimit, |_, policy, _| policy.max_leases = Some(0));
    let won = declines(Rule::LeasesLimit, |facts, policy, _| {
        policy.max_leases = Some(2);
        (facts.leases, facts.open_bids) = (1, 1);
    });
    assert_eq!(
        won.hints(),
        ["leases_limit needs fewer than 2, there is 2: 1 leases, 1 bids that may be won"]
    );
    declines(Rule::DenomAccepted, |_, policy, _| policy.accepted_denoms = vec![Denom::uakt()]);
    declines(Rule::ProviderAttributes, |facts, _, _| {
        facts.order.spec.requirements.signed_by = SignedBy::default();
        facts.order.spec.requirements.attributes = attributes(&[("region", "eu")]);
    });
    declines(Rule::OrderAttributes, |_, policy, _| {
        policy.required_order_attributes = attributes(&[("owner", "me")]);
    });
    declines(Rule::SignedBy, |facts, _, _| facts.audited.clear());
    declines(Rule::Volumes, |facts, _, _| {
        let volume = facts.order.spec.units[0].resources.storage[0].clone();
        facts.order.spec.units[0].resources.storage = vec![volume; 5];
    });
    declines(Rule::GroupLimits, |facts, _, _| facts.order.spec.units[0].resources.cpu_milli = 9);
    declines(Rule::OrderSize, |facts, policy, _| {
        facts.order.spec.units[0].count = 3;
        policy.max_order = MaxOrder { cpu_milli: Some(299), ..MaxOrder::default() };
    });
    declines(Rule::StorageCapability, |facts, _, _| {
        facts.order.spec.units[0].resources.storage[0].attributes =
            attributes(&[("persistent", "true"), ("class", "beta3")]);
    });
    declines(Rule::GpuCapability, |facts, _, _| {
        facts.order.spec.units[0].resources.gpu_units = 1;
        facts.order.spec.units[0].resources.gpu_attributes =
            attributes(&[("vendor/nvidia/model/a100", "true")]);
    });
}

#[test]
fn an_order_must_ask_for_what_the_operator_wants_of_orders() {
    let asked = decision(|_, policy, _| {
        policy.required_order_attributes = attributes(&[("reg*", "us-west")]);
    });
    assert!(matches!(asked.outcome, Outcome::Bid { .. }));
}

#[test]
fn a_price_in_two_denoms_or_in_none_is_declined_before_anything_is_computed() {
    let mixed = decision(|facts, _, _| {
        let mut other = web();
        other.resources.id = 2;
        other.price.denom = Denom::uakt();
        facts.order.spec.units.push(other);
    });
    assert_eq!(mixed.outcome, Outcome::NoBid { reason: Rule::DenomAccepted });
    let empty = decision(|facts, _, _| facts.order.spec.units.clear());
    assert_eq!(empty.outcome, Outcome::NoBid { reason: Rule::DenomAccepted });
}

#[test]
fn every_broken_limit_of_a_group_is_named() {
    let mut spec = facts().order.spec;
    assert_eq!(limit_violations(&spec), []);
    spec.name.clear();
    spec.requirements.attributes = attributes(&[("*key", "1"), ("tier", "1"), ("tier", "2")]);
    let unit = &mut spec.units[0];
    unit.resources.memory_bytes = MI - 1;
    unit.resources.storage[0].bytes = 5 * MI - 1;
    unit.resources.gpu_attributes = attributes(&[("vendor/nvidia/model/*", "true")]);
    unit.count = 51;
    unit.price = uact("10000000.000000000000000001");
    spec.units.push(spec.units[0].clone());
    let texts: Vec<_> = limit_violations(&spec).iter().map(ToString::to_string).collect();
    for expected in [
        "unit 1: count is 51, allowed 1 to 50",
        "unit 1: memory in bytes is 1048575, allowed 1048576 to 2199023255552",
        "unit 1: volume \"default\" in bytes is 5242879, allowed 5242880 to 35184372088832",
        "unit 1: gpu attributes is given, allowed none without gpu units",
        "unit 1: price is 10000000.000000000000000001, allowed above 0, at most 10000000",
        "group: name is empty, allowed not empty",
        "group: a resource id is used twice, allowed each once",
        "group: requirements attribute key is \"tier\" twice, allowed each once",
    ] {
        assert!(texts.iter().any(|text| text == expected), "{expected}\nnot in {texts:#?}");
    }
    assert!(texts.iter().any(|text| text.contains("\"*key\"")));
}

#[test]
fn group_totals_are_limited_too() {
    let mut spec = facts().order.spec;
    spec.units[0].resources.cpu_milli = 384_000;
    spec.units[0].resources.gpu_units = 24;
    spec.units[0].resources.memory_bytes = 2 << 40;
    spec.units[0].count = 50;
    assert_eq!(limit_violations(&spec), [], "one such unit is just within");
    let mut more = web();
    more.resources.id = 2;
    more.resources.gpu_units = 1;
    spec.units.push(more);
    let texts: Vec<_> = limit_violations(&spec).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "group: total cpu in milli is 19200100, allowed 1 to 19200000",
            "group: total gpu is 1201, allowed 0 to 1200",
            "group: total memory in bytes is 109951699648512, allowed 1 to 109951162777600",
        ]
    );
}

#[test]
fn the_notice_is_what_the_order_wants_what_the_market_bounds_and_what_the_operator_allows() {
    let window = |wanted, standard, most| {
        let mut facts = facts();
        facts.order.min_reclamation_window_s = wanted;
        let policy = Policy {
            reclamation_window_s: standard,
            max_reclamation_window_s: most,
            ..Policy::default()
        };
        decide(&facts, &policy, &Prices::default()).bid.map(|bid| bid.reclamation_window_s)
    };
    assert_eq!(window(None, None, DAY), Some(None));
    assert_eq!(window(None, Some(DAY), DAY), Some(Some(DAY)));
    assert_eq!(window(None, Some(60), DAY), Some(None), "the market would refuse it");
    assert_eq!(window(Some(7_200), None, DAY), Some(Some(7_200)));
    assert_eq!(window(Some(7_200), Some(DAY), DAY), Some(Some(DAY)));
    assert_eq!(window(Some(7_200), Some(2 * DAY), DAY), Some(Some(DAY)));
    assert_eq!(window(Some(60), None, DAY), Some(Some(3_600)), "the market's least");
    assert_eq!(window(Some(2 * DAY), None, DAY), None);
    assert_eq!(window(Some(7_200), None, 0), None);
    let declined = declines(Rule::Reclamation, |facts, _, _| {
        facts.order.min_reclamation_window_s = Some(8 * DAY);
    });
    assert_eq!(
        declined.hints(),
        ["reclamation needs a notice of at least 691200 s, there is at most 604800 s"]
    );
}

#[test]
fn without_a_young_observation_of_the_cluster_there_is_no_bid() {
    let taken_at = "2026-01-02T02:00:00Z".parse().unwrap();
    let old = ObservedInventory::TooOld { taken_at };
    let decision = declines(Rule::InventoryYoung, |facts, _, _| facts.inventory = old);
    assert!(decision.may_pass_later());
    assert_eq!(
        decision.hints(),
        [
            "inventory_young needs at most 5 s old, there is 3843 s old, taken at 2026-01-02T02:00:00Z"
        ]
    );
    declines(Rule::InventoryYoung, |facts, _, _| facts.inventory = ObservedInventory::Missing);
}

#[test]
fn an_order_that_fits_nowhere_is_declined_with_the_node_that_came_nearest() {
    let decision = declines(Rule::Fits, |facts, _, _| {
        let provider = facts.provider.as_mut().unwrap();
        provider
            .attributes
            .push(Attribute::new("capabilities/gpu/vendor/nvidia/model/a100", "true"));
        let resources = &mut facts.order.spec.units[0].resources;
        resources.gpu_units = 4;
        resources.gpu_attributes = attributes(&[("vendor/nvidia/model/a100", "true")]);
        let mut with_gpus = node("a1");
        with_gpus.gpus = vec![GpuModel {
            vendor: "nvidia".into(),
            model: "a100".into(),
            ram: None,
            interface: None,
            units: Quantity { allocatable: 8, allocated: 6 },
        }];
        facts.inventory = inventory(&[with_gpus, node("a2")]);
    });
    assert_eq!(decision.hints(), ["needs 4 gpu nvidia/a100, node a1 has 2"]);
    assert!(decision.may_pass_later());
    assert_eq!(decision.shortage.as_ref().map(|shortage| shortage.nodes.len()), Some(2));
}

#[test]
fn what_others_have_reserved_is_not_free() {
    let first = decide(&facts(), &Policy::default(), &Prices::default()).bid.unwrap();
    let mut many = facts();
    let other = OrderId::new(address(1), 102, 1, 1);
    let mut held = first.placement.reservation(other);
    held.assignments[0].needs.cpu_milli = 7_950;
    many.reservations = vec![held];
    let decision = decide(&many, &Policy::default(), &Prices::default()).decision;
    assert_eq!(decision.hints(), ["needs 100 cpu milli, node a1 has 50"]);
    many.reservations[0].order = many.order.id.clone();
    let again = decide(&many, &Policy::default(), &Prices::default()).decision;
    assert!(matches!(again.outcome, Outcome::Bid { .. }), "its own reservation is replaced");
}

#[test]
fn a_price_above_the_orders_is_no_bid_and_both_are_on_record() {
    let decision = declines(Rule::PriceWithinOrder, |facts, _, _| {
        facts.order.spec.units[0].price = uact("2.30111");
    });
    assert_eq!(
        decision.hints(),
        ["price_within_order needs at most 2.30111 uact, there is 2.30112 uact"]
    );
    assert_eq!(decision.price.map(|quote| quote.total), Some(uact("2.30112")));
    let equal = decide(
        &Facts {
            order: Order {
                spec: GroupSpec {
                    units: vec![ResourceUnit { price: uact("2.30112"), ..web() }],
                    ..facts().order.spec
                },
                ..facts().order
            },
            ..facts()
        },
        &Policy::default(),
        &Prices::default(),
    );
    assert!(equal.bid.is_some(), "the order's own price is not above it");
}

#[test]
fn a_thing_without_a_price_is_no_bid() {
    let decision = declines(Rule::Priced, |_, _, prices| prices.storage.clear());
    assert_eq!(
        decision.hints(),
        [
            "priced needs a price above 0 for everything in the group, there is no price is set for storage class \"ephemeral\""
        ]
    );
}

#[test]
fn a_record_survives_its_json() {
    for decision in [
        decision(|_, _, _| {}),
        decision(|facts, _, _| facts.provider = None),
        decision(|facts, _, _| facts.inventory = inventory(&[])),
        decision(|_, _, prices| prices.storage.clear()),
    ] {
        let json = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
    }
}

#[test]
fn a_decision_reads_as_a_page() {
    let page = decision(|_, policy, _| policy.version = 7).to_string();
    let order = facts().order.id;
    assert!(page.starts_with(&format!(
        "order {order}: bid at 2.30112 uact per block\ndecided at block 120 (2026-01-02T03:04:05Z) under policy 7\n\nfree\n"
    )));
    for line in [
        "  ok  bids_left             needed: at most 20 bids  there: 0\n",
        "  unit 1: 1 × node a1\n",
        "  cpu                 100 milli × 0.004 = 0.4\n",
        "  endpoint            1 × 1 = 1\n",
        "  total               2.30112 uact\n",
    ] {
        assert!(page.contains(line), "{line:?} is not in\n{page}");
    }
    let page = decision(|facts, _, _| facts.inventory = inventory(&[])).to_string();
    assert!(page.contains("no bid, insufficient_capacity\n"), "{page}");
    assert!(page.contains("to change it: no node takes workloads\n"), "{page}");
}

#[test]
fn reason_codes_and_names_are_each_used_once() {
    let mut codes: Vec<_> =
        Rule::ALL.iter().flat_map(|rule| [rule.name(), rule.reason()]).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Rule::ALL.len() * 2);
    for rule in Rule::ALL {
        assert_eq!(Rule::from_reason(rule.reason()), Some(*rule));
    }
}

#[test]
fn settings_that_name_an_unknown_rule_are_refused_and_empty_ones_work() {
    assert_eq!(toml::from_str::<Policy>("").unwrap(), Policy::default());
    assert!(toml::from_str::<Policy>("deny_owner = []").is_err());
    let policy: Policy = toml::from_str(
        "max_leases = 3\n[max_order]\ngpu_units = 8\n[bid_deposit]\ndenom = \"uakt\"\namount = \"700000\"",
    )
    .unwrap();
    assert_eq!(policy.max_order.gpu_units, Some(8));
    assert_eq!(policy.bid_deposit, coin("700000uakt"));
}

#[test]
fn only_an_order_that_waits_for_a_decision_takes_one() {
    let yes = decision(|_, _, _| {});
    let no = decision(|facts, _, _| facts.provider = None);
    assert_eq!(
        order::decided(OrderPhase::Seen, &yes),
        (OrderPhase::Bidding, vec![Effect::CreateBid])
    );
    assert_eq!(order::decided(OrderPhase::Seen, &no), (OrderPhase::Declined, vec![]));
    for phase in [OrderPhase::Bidding, OrderPhase::Won, OrderPhase::Done] {
        assert_eq!(order::decided(phase, &yes), (phase, vec![]), "it came too late");
    }
}
