//! Tests of the placement: where replicas go, and what is said when they go nowhere.

use proptest::prelude::*;

use super::{
    super::fixtures::{With as _, *},
    *,
};
use crate::domain::{
    Attribute, ResourceUnit,
    inventory::{Node, Quantity},
};

const A100: &str = "vendor/nvidia/model/a100";
const H100: &str = "vendor/nvidia/model/h100";
const ANY: &str = "vendor/nvidia/model/*";

fn fit(units: &[ResourceUnit], inventory: &Inventory) -> Result<Placement, Box<Shortage>> {
    place(&order(1), &group(units), inventory, &[])
}

fn nodes_of(placement: &Placement) -> Vec<&str> {
    placement.assignments.iter().map(|one| one.node.as_str()).collect()
}

fn big(name: &str, cpu_milli: u64) -> Node {
    node(name, cpu_milli, 512 * GI, 512 * GI)
}

/// Four nodes of which one has two A100, as in the tests of today's provider.
fn peer_cluster() -> Inventory {
    let mut with_gpus = big("b", 68_800);
    with_gpus.gpus = vec![gpu("a100", "80Gi", "pcie", 2)];
    cluster(&[big("a", 68_780), with_gpus, big("c", 119_525), big("d", 119_495)])
}

fn peer_unit(id: u32, cpu_milli: u64, gpus: u64, count: u32) -> ResourceUnit {
    let keys: &[&str] = if gpus > 0 { &[A100] } else { &[] };
    unit(id, cpu_milli, 16 * GI, count).storage(&[volume(8 * GI, &[])]).gpu(gpus, keys)
}

#[test]
fn what_todays_provider_fits_is_fitted() {
    for (cpu, gpus, count) in [
        (100_000, 0, 2),
        (68_780, 0, 4),
        (68_800, 0, 3),
        (119_495, 0, 2),
        (68_780, 0, 1),
        (68_780, 1, 1),
    ] {
        let placement = fit(&[peer_unit(1, cpu, gpus, count)], &peer_cluster()).unwrap();
        assert_eq!(placement.assignments.len(), count as usize);
        assert_eq!(placement.assignments.iter().all(|one| one.gpu.is_some()), gpus > 0);
    }
    let two = [peer_unit(1, 68_700, 0, 1), peer_unit(2, 68_700, 1, 1)];
    let placement = fit(&two, &peer_cluster()).unwrap();
    assert_eq!(placement.assignments[1].node, "b", "only b has gpus");
    assert_eq!(placement.offer[1].resources.gpu_attributes, [Attribute::new(A100, "true")]);
}

#[test]
fn what_todays_provider_finds_too_large_is_refused_with_numbers() {
    for (cpu, count, placed, text) in [
        (70_000, 4, 2, "needs 70000 cpu milli, node b has 68800"),
        (100_000, 3, 2, "needs 100000 cpu milli, node b has 68800"),
        (119_525, 2, 1, "needs 119525 cpu milli, node d has 119495"),
    ] {
        let shortage = fit(&[peer_unit(1, cpu, 0, count)], &peer_cluster()).unwrap_err();
        assert_eq!((shortage.unit, shortage.placed, shortage.count), (Some(1), placed, count));
        assert_eq!(shortage.to_string(), text);
        assert_eq!(shortage.nodes.len(), 4);
    }
}

#[test]
fn gpus_of_a_mixed_node_are_counted_by_model() {
    let mut mixed = big("a", 64_000);
    mixed.gpus = vec![gpu("a100", "80Gi", "pcie", 2), gpu("h100", "80Gi", "sxm", 2)];
    let inventory = cluster(&[mixed]);
    let first = fit(&[unit(1, 100, GI, 1).gpu(2, &[A100])], &inventory).unwrap();
    let held = [first.reservation(order(7))];
    let more =
        |key| place(&order(2), &group(&[unit(1, 100, GI, 1).gpu(1, &[key])]), &inventory, &held);
    assert_eq!(
        more(A100).unwrap_err().to_string(),
        "needs 1 gpu nvidia/a100, node a has 0",
        "the h100s that are free are no a100s"
    );
    assert_eq!(more(ANY).unwrap().assignments[0].gpu.as_ref().unwrap().model, "h100");
    let both = fit(&[unit(1, 100, GI, 1).gpu(3, &[ANY])], &inventory);
    assert!(both.is_err(), "one replica gets one model");
}

#[test]
fn a_model_that_fails_on_one_node_does_not_bind_the_next() {
    let mut small = node("a", 64_000, GI, 512 * GI);
    small.gpus = vec![gpu("a100", "80Gi", "pcie", 4)];
    let mut large = big("b", 64_000);
    large.gpus = vec![gpu("h100", "80Gi", "sxm", 4)];
    let placement =
        fit(&[unit(1, 100, 8 * GI, 2).gpu(1, &[ANY])], &cluster(&[small, large])).unwrap();
    assert_eq!(nodes_of(&placement), ["b", "b"]);
    assert_eq!(placement.offer[0].resources.gpu_attributes, [Attribute::new(H100, "true")]);
}

#[test]
fn all_replicas_of_a_unit_get_one_model_and_another_is_tried_when_the_first_runs_out() {
    let mut few = big("a", 64_000);
    few.gpus = vec![gpu("a100", "80Gi", "pcie", 1)];
    let mut many = big("b", 64_000);
    many.gpus = vec![gpu("h100", "80Gi", "sxm", 3)];
    let inventory = cluster(&[few, many]);
    let placement = fit(&[unit(1, 100, GI, 3).gpu(1, &[A100, H100])], &inventory).unwrap();
    assert_eq!(nodes_of(&placement), ["b", "b", "b"]);
    let shortage = fit(&[unit(1, 100, GI, 4).gpu(1, &[A100, H100])], &inventory).unwrap_err();
    assert_eq!((shortage.placed, shortage.count), (3, 4));
    assert_eq!(shortage.missing[0].what, "gpu nvidia/h100");
}

#[test]
fn a_first_choice_that_starves_a_later_unit_is_given_up() {
    let mut only = big("a", 64_000);
    only.gpus = vec![gpu("a100", "80Gi", "pcie", 2), gpu("h100", "80Gi", "sxm", 2)];
    let units = [unit(1, 200, GI, 1).gpu(2, &[ANY]), unit(2, 100, GI, 1).gpu(2, &[A100])];
    let placement = fit(&units, &cluster(&[only])).unwrap();
    assert_eq!(placement.assignments[0].gpu.as_ref().unwrap().model, "h100");
    assert_eq!(placement.assignments[1].gpu.as_ref().unwrap().model, "a100");
}

#[test]
fn memory_size_and_interface_are_respected_and_offered_when_asked_for() {
    let mut one = big("a", 64_000);
    one.gpus = vec![gpu("a100", "40Gi", "pcie", 4), gpu("a100", "80Gi", "sxm", 1)];
    let inventory = cluster(&[one]);
    let wants = |key: &str, units| fit(&[unit(1, 100, GI, 1).gpu(units, &[key])], &inventory);
    let large = format!("{A100}/ram/80Gi/interface/sxm");
    let placement = wants(&large, 1).unwrap();
    assert_eq!(placement.offer[0].resources.gpu_attributes[0].key, large);
    assert_eq!(placement.assignments[0].gpu.as_ref().unwrap().ram.as_deref(), Some("80Gi"));
    assert_eq!(
        wants(&large, 2).unwrap_err().to_string(),
        "needs 2 gpu nvidia/a100/80Gi/sxm, node a has 1"
    );
    assert!(wants(&format!("{A100}/ram/40Gi/interface/sxm"), 1).is_err());
    assert_eq!(wants(A100, 1).unwrap().offer[0].resources.gpu_attributes[0].key, A100);
}

#[test]
fn a_gpu_that_no_node_has_is_named_as_it_was_asked_for() {
    let shortage = fit(&[unit(1, 100, GI, 1).gpu(4, &["vendor/amd/model/*"])], &peer_cluster());
    assert_eq!(shortage.unwrap_err().to_string(), "needs 4 gpu amd/*, node a has 0");
}

#[test]
fn a_unit_without_gpus_leaves_nodes_with_gpus_to_those_that_want_them() {
    let mut first = big("a", 8_000);
    first.gpus = vec![gpu("a100", "80Gi", "pcie", 1)];
    let inventory = cluster(&[first, big("b", 8_000)]);
    let placement = fit(&[unit(1, 8_000, GI, 1)], &inventory).unwrap();
    assert_eq!(nodes_of(&placement), ["b"]);
    let both = [unit(1, 8_000, GI, 1), unit(2, 8_000, GI, 1).gpu(1, &[A100])];
    assert_eq!(nodes_of(&fit(&both, &inventory).unwrap()), ["b", "a"]);
}

#[test]
fn a_memory_volume_takes_the_nodes_memory() {
    let inventory = cluster(&[node("a", 8_000, 4 * GI, 100 * GI)]);
    let ram = volume(3 * GI, &[("persistent", "false"), ("class", "ram")]);
    let with =
        |memory| fit(&[unit(1, 100, memory, 1).storage(std::slice::from_ref(&ram))], &inventory);
    assert_eq!(with(GI).unwrap().assignments[0].needs.memory_bytes, 4 * GI);
    let shortage = with(2 * GI).unwrap_err();
    assert_eq!(shortage.missing[0].what, "memory bytes");
    assert_eq!((shortage.missing[0].needed, shortage.missing[0].there), (5 * GI, 4 * GI));
}

#[test]
fn a_persistent_volume_needs_a_node_with_the_class_and_room_in_the_pool() {
    let mut with_class = big("b", 8_000);
    with_class.storage_classes = vec!["beta3".into()];
    let mut inventory = cluster(&[big("a", 8_000), with_class]);
    inventory.storage.insert("beta3".into(), Quantity::of(20 * GI));
    inventory.storage.insert("beta2".into(), Quantity::of(20 * GI));
    let wants = |class, count| {
        fit(&[unit(1, 100, GI, count).storage(&[persistent(class, 10 * GI)])], &inventory)
    };
    assert_eq!(nodes_of(&wants("beta3", 2).unwrap()), ["b", "b"]);
    let full = wants("beta3", 3).unwrap_err();
    assert_eq!(
        full.to_string(),
        format!("needs {} storage beta3 bytes, the cluster has {}", 30 * GI, 20 * GI)
    );
    assert!(full.nodes.is_empty(), "a full pool is no node's fault");
    assert_eq!(
        wants("beta2", 1).unwrap_err().to_string(),
        "needs 1 storage class beta2, node a has 0",
        "there is a pool and no node that can mount it"
    );
    assert!(
        wants("beta1", 1).unwrap_err().to_string().starts_with("needs 10737418240 storage beta1")
    );
    let nameless =
        fit(&[unit(1, 100, GI, 1).storage(&[volume(GI, &[("persistent", "true")])])], &inventory);
    assert!(nameless.is_err());
}

#[test]
fn leased_addresses_are_counted_once_per_number_and_against_reservations() {
    let mut inventory = cluster(&[big("a", 8_000)]);
    inventory.ips = Quantity { allocatable: 10, allocated: 4 };
    let wants = |id, ips: &[u32], held: &[Reservation]| {
        let one = ips.iter().fold(unit(1, 100, GI, 3), |unit, number| unit.ip(*number));
        place(&order(id), &group(&[one]), &inventory, held)
    };
    let first = wants(1, &[1, 2, 2, 3, 4], &[]).unwrap();
    assert_eq!(first.ips, 4);
    let held = [first.reservation(order(1))];
    assert_eq!(wants(2, &[1, 2], &held).unwrap().ips, 2);
    assert_eq!(
        wants(2, &[1, 2, 3], &held).unwrap_err().to_string(),
        "needs 3 ip, the cluster has 2"
    );
    assert!(wants(1, &[1, 2, 3, 4, 5, 6], &held).is_ok(), "its own reservation is replaced");
}

#[test]
fn an_excluded_node_takes_nothing_and_says_why() {
    let mut cordoned = big("a", 64_000);
    cordoned.excluded = Some("not ready".into());
    cordoned.gpus = vec![gpu("a100", "80Gi", "pcie", 8)];
    let inventory = cluster(&[cordoned.clone(), big("b", 1_000)]);
    assert_eq!(nodes_of(&fit(&[unit(1, 1_000, GI, 1)], &inventory).unwrap()), ["b"]);
    let shortage = fit(&[unit(1, 2_000, GI, 1)], &inventory).unwrap_err();
    assert_eq!(shortage.nearest.as_deref(), Some("b"));
    assert_eq!(shortage.nodes[1].excluded.as_deref(), Some("not ready"));
    let alone = fit(&[unit(1, 2_000, GI, 1)], &cluster(&[cordoned])).unwrap_err();
    assert_eq!(alone.to_string(), "no node takes workloads");
    assert_eq!(
        fit(&[unit(1, 2_000, GI, 1)], &cluster(&[])).unwrap_err().to_string(),
        "no node takes workloads"
    );
}

#[test]
fn the_nearest_node_comes_first_and_the_list_ends_somewhere() {
    let nodes: Vec<_> = (0..150_u64).map(|at| big(&format!("n{at:03}"), 1_000 + at)).collect();
    let shortage = fit(&[unit(1, 2_000, GI, 1)], &cluster(&nodes)).unwrap_err();
    assert_eq!(shortage.nearest.as_deref(), Some("n149"));
    assert_eq!((shortage.nodes.len(), shortage.nodes_left_out), (100, 50));
}

#[test]
fn numbers_at_the_end_of_their_range_fit_nowhere_and_break_nothing() {
    let huge = unit(1, u64::MAX, u64::MAX, u32::MAX).storage(&[
        volume(u64::MAX, &[]),
        volume(u64::MAX, &[]),
        persistent("beta3", u64::MAX),
    ]);
    assert!(fit(&[huge], &peer_cluster()).is_err());
    let endless = unit(1, u64::MAX, 1, 1);
    let mut inventory = cluster(&[big("a", u64::MAX)]);
    inventory.nodes[0].cpu_milli.allocated = 1;
    assert!(fit(&[endless], &inventory).is_err());
}

#[test]
fn a_reservation_of_more_than_there_is_leaves_nothing_and_never_less() {
    let inventory = cluster(&[big("a", 1_000)]);
    let held = fit(&[unit(1, 1_000, GI, 1)], &inventory).unwrap();
    let held = [held.reservation(order(5)), held.reservation(order(6))];
    let one = group(&[unit(1, 10, GI, 1)]);
    let shortage = place(&order(1), &one, &inventory, &held).unwrap_err();
    assert_eq!((shortage.missing[0].needed, shortage.missing[0].there), (10, 0));
    assert!(
        place(&order(1), &one, &cluster(&[big("b", 1_000)]), &held).is_ok(),
        "its node is gone"
    );
}

/// A small world of nodes with scarce things of every kind.
fn inventories() -> impl Strategy<Value = Inventory> {
    let one = (1_000u64..9_000, 1u64..9, 0u64..5, 0u64..5, any::<bool>(), 0u8..5, 0u64..500);
    (proptest::collection::vec(one, 1..6), 0u64..40, 0u64..6).prop_map(|(nodes, pool, ips)| {
        let nodes: Vec<_> = nodes
            .into_iter()
            .enumerate()
            .map(|(at, (cpu, memory, a100, h100, class, excluded, taken))| {
                let mut node = node(&format!("n{at}"), cpu, memory * GI, 20 * GI);
                node.cpu_milli.allocated = taken;
                node.gpus =
                    vec![gpu("a100", "80Gi", "sxm", a100), gpu("h100", "80Gi", "sxm", h100)];
                node.storage_classes = if class { vec!["beta3".into()] } else { Vec::new() };
                node.excluded = (excluded == 0).then(|| "cordoned".into());
                node
            })
            .collect();
        let mut inventory = cluster(&nodes);
        inventory.storage.insert("beta3".into(), Quantity::of(pool * GI));
        inventory.ips = Quantity::of(ips);
        inventory
    })
}

fn units() -> impl Strategy<Value = ResourceUnit> {
    let keys = prop_oneof![Just(vec![ANY]), Just(vec![A100]), Just(vec![H100, A100]), Just(vec![])];
    (100u64..3_000, 1u64..4, 1u32..5, 0u64..3, keys, 0u64..6, 0u32..3).prop_map(
        |(cpu, memory, count, gpus, keys, disk, ip)| {
            let mut one = unit(1, cpu, memory * GI, count);
            if gpus > 0 {
                one = one.gpu(gpus, &keys);
            }
            if disk > 0 {
                one = one.storage(&[volume(GI, &[]), persistent("beta3", disk * GI)]);
            }
            if ip > 0 { one.ip(ip) } else { one }
        },
    )
}

fn groups() -> impl Strategy<Value = Vec<ResourceUnit>> {
    proptest::collection::vec(units(), 1..4).prop_map(|mut units| {
        for (id, unit) in (1..).zip(&mut units) {
            unit.resources.id = id;
        }
        units
    })
}

/// What all reservations together take of `inventory` is there.
fn assert_within(inventory: &Inventory, held: &[Reservation]) {
    let all: Vec<_> = held.iter().flat_map(|one| &one.assignments).collect();
    for node in &inventory.nodes {
        let here: Vec<_> = all.iter().filter(|one| one.node == node.name).collect();
        let sum = |of: &dyn Fn(&Needs) -> u64| here.iter().map(|one| of(&one.needs)).sum::<u64>();
        assert!(sum(&|needs| needs.cpu_milli) <= node.cpu_milli.free());
        assert!(sum(&|needs| needs.memory_bytes) <= node.memory_bytes.free());
        assert!(sum(&|needs| needs.ephemeral_bytes) <= node.ephemeral_bytes.free());
        for model in &node.gpus {
            let taken: u64 = here
                .iter()
                .filter(|one| one.gpu.as_ref().is_some_and(|gpu| gpu.model == model.model))
                .map(|one| one.needs.gpu_units)
                .sum();
            assert!(taken <= model.units.free());
        }
        assert!(here.is_empty() || node.excluded.is_none());
        assert!(here.iter().all(|one| {
            one.needs.storage.keys().all(|class| node.storage_classes.contains(class))
                && (one.needs.gpu_units > 0) == one.gpu.is_some()
        }));
    }
    let pooled: u64 = all.iter().flat_map(|one| one.needs.storage.values()).sum();
    assert!(pooled <= inventory.storage["beta3"].free());
    assert!(held.iter().map(|one| one.ips).sum::<u64>() <= inventory.ips.free());
}

proptest! {
    #[test]
    fn nothing_is_ever_taken_twice(
        inventory in inventories(),
        orders in proptest::collection::vec(groups(), 1..8),
    ) {
        let mut held: Vec<Reservation> = Vec::new();
        for (number, units) in (1..).zip(&orders) {
            let id = order(number);
            let spec = group(units);
            let answer = place(&id, &spec, &inventory, &held);
            prop_assert_eq!(&answer, &place(&id, &spec, &inventory, &held), "deterministic");
            let Ok(placement) = answer else { continue };
            let replicas: u32 = units.iter().map(|unit| unit.count).sum();
            prop_assert_eq!(placement.assignments.len(), replicas as usize);
            for (unit, offer) in units.iter().zip(&placement.offer) {
                prop_assert_eq!((offer.resources.id, offer.count), (unit.resources.id, unit.count));
                let mut models: Vec<_> = placement
                    .assignments
                    .iter()
                    .filter(|one| one.unit == unit.resources.id)
                    .map(|one| one.gpu.as_ref().map(|gpu| &gpu.model))
                    .collect();
                models.dedup();
                prop_assert_eq!(models.len(), 1, "one model for all replicas");
            }
            held.push(placement.reservation(id));
            assert_within(&inventory, &held);
        }
    }

    #[test]
    fn a_unit_that_fits_also_fits_with_fewer_replicas_and_on_a_larger_cluster(
        inventory in inventories(),
        unit in units(),
        more in 0u64..2_000,
    ) {
        let fits = |unit: &ResourceUnit, inventory: &Inventory| {
            fit(std::slice::from_ref(unit), inventory).is_ok()
        };
        if fits(&unit, &inventory) {
            for count in 1..unit.count {
                let fewer = ResourceUnit { count, ..unit.clone() };
                prop_assert!(fits(&fewer, &inventory));
            }
            let mut larger = inventory.clone();
            larger.nodes[0].cpu_milli.allocatable += more;
            larger.nodes.push(big("z", more));
            prop_assert!(fits(&unit, &larger));
        } else {
            let shortage = fit(std::slice::from_ref(&unit), &inventory).unwrap_err();
            prop_assert!(shortage.missing.iter().all(|one| one.needed > one.there));
            prop_assert!(!shortage.to_string().is_empty());
        }
    }
}
