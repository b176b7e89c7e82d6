//! The numbers in a record: what each check needs and what there is.

use super::*;

#[test]
fn deposits_of_bids_since_the_balance_was_read_are_not_spent_twice() {
    let two = decision(|facts, _, _| {
        facts.balances[0] = coin("1500000uact");
        facts.bids_since = 2;
    });
    assert!(matches!(two.outcome, Outcome::Bid { .. }));
    let three = declines(Rule::DepositCovered, |facts, _, _| {
        facts.balances[0] = coin("1500000uact");
        facts.bids_since = 3;
    });
    assert_eq!(
        three.hints(),
        ["deposit_covered needs a balance of 500000uact, there is 1500000uact in block 118, \
          less 3 deposits of 500000uact since"]
    );
}

#[test]
fn every_check_says_what_it_needs_and_what_there_is_with_the_numbers() {
    let record = decision(|facts, policy, _| {
        policy.max_order.cpu_milli = Some(1_000);
        facts.provider.as_mut().unwrap().attributes.extend(attributes(&[
            ("capabilities/gpu/vendor/nvidia/model/a100", "true"),
            ("capabilities/storage/1/class", "beta3"),
            ("capabilities/storage/1/persistent", "true"),
        ]));
        let resources = &mut facts.order.spec.units[0].resources;
        resources.gpu_units = 1;
        resources.gpu_attributes = attributes(&[("vendor/nvidia/model/h100", "true")]);
        resources.storage[0].attributes = attributes(&[("class", "beta3"), ("persistent", "true")]);
    });
    let checks: Vec<_> = record.stages.iter().flat_map(|stage| &stage.checks).collect();
    let of = |rule: Rule| {
        let check = checks.iter().find(|check| check.name == rule).unwrap();
        (check.needed.as_str(), check.there.as_str())
    };
    for check in &checks {
        assert!(!check.needed.is_empty() && !check.there.is_empty(), "{check:?}");
    }
    let (needed, there) = of(Rule::GpuCapability);
    assert_eq!(needed, "unit 1: one of vendor/nvidia/model/h100=true");
    assert!(there.contains("none for unit 1") && there.contains("model/a100=true"), "{there}");
    let (needed, there) = of(Rule::StorageCapability);
    assert_eq!(needed, "unit 1 volume \"default\": class=beta3, persistent=true");
    assert!(there.contains("capabilities/storage/1/class=beta3"), "{there}");
    assert_eq!(
        of(Rule::OrderSize),
        (
            "cpu milli at most 1000",
            "cpu milli 100, memory bytes 536870912, storage bytes 536870912, gpu 1, replicas 1"
        )
    );
    let (needed, there) = of(Rule::GroupLimits);
    assert!(needed.contains("total cpu in milli 1 to 19200000"), "{needed}");
    assert!(there.contains("total cpu in milli 100"), "{there}");
    assert_eq!(of(Rule::ProviderAttributes), ("region=us-west", "all 1"));

    let placed = decision(|_, _, _| {});
    let place = &placed.stages[2].checks;
    assert_eq!(
        [&place[0].needed, &place[0].there, &place[1].there],
        ["at most 5 s old", "3 s old, taken at 2026-01-02T03:04:00Z", "1 replicas on 1 nodes"]
    );
    assert_eq!(placed.stages[3].checks[0].there, "2.30112 uact in 4 lines");
}
