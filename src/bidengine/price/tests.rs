//! The figures are what today's provider computes for the same input.

use proptest::prelude::*;

use super::{super::fixtures::*, *};
use crate::domain::Denom;

fn prices(cpu: &str, memory: &str, storage: &[(&str, &str)], endpoint: &str, ip: &str) -> Prices {
    Prices {
        cpu: cpu.parse().unwrap(),
        memory: memory.parse().unwrap(),
        storage: storage.iter().map(|(class, p)| ((*class).into(), p.parse().unwrap())).collect(),
        endpoint: endpoint.parse().unwrap(),
        ip: ip.parse().unwrap(),
        gpu: BTreeMap::new(),
    }
}

fn usual() -> Prices {
    prices("0.004", "0.0016", &[("ephemeral", "0.00016"), ("beta2", "0.00016")], "1", "60")
}

fn only_memory(price: &str) -> Prices {
    prices("0", price, &[("ephemeral", "0")], "0", "0")
}

fn only_storage(price: &str) -> Prices {
    prices("0", "0", &[("ephemeral", price)], "0", "0")
}

fn total(units: &[ResourceUnit], prices: &Prices) -> Result<String, PriceError> {
    quote(&group(units), &[], prices).map(|quote| quote.total.amount.to_string())
}

fn costs(units: &[ResourceUnit], prices: &Prices, expected: &str) {
    assert_eq!(total(units, prices).as_deref(), Ok(expected));
}

#[test]
fn a_web_service_costs_the_same_to_the_last_digit() {
    let web = unit(1, 100, 512 * MI, 1).storage(&[volume(512 * MI, &[])]).http(1);
    costs(std::slice::from_ref(&web), &usual(), "2.30112");
    let quote = quote(&group(&[web]), &[], &usual()).unwrap();
    assert_eq!(quote.total.amount.to_atoms_text(), "2301120000000000000");
    assert_eq!(quote.total.denom, Denom::uact());
}

#[test]
fn replicas_multiply_everything_but_endpoints_and_addresses() {
    let three = unit(1, 1000, GI, 3).storage(&[volume(GI, &[])]).http(2);
    costs(&[three], &usual(), "19.40672");
    let with_ip = unit(1, 1000, GI, 2)
        .storage(&[volume(GI, &[]), persistent("beta2", 10 * GI)])
        .http(1)
        .ip(1);
    costs(&[with_ip], &usual(), "76.88128");
}

#[test]
fn bytes_that_are_no_whole_mebibyte_are_divided_once_per_sum() {
    let odd = unit(1, 500, 1_000_000_000, 1).storage(&[volume(5_000_000_000, &[])]).http(1);
    costs(&[odd], &usual(), "5.288818359375");
    let two = |id| unit(id, 100, 16 * MI, 1).storage(&[volume(128 * MI, &[])]).http(1);
    costs(&[two(1), two(2)], &usual(), "2.89216");
}

#[test]
fn a_quotient_rounds_half_away_from_zero_to_sixteen_digits() {
    costs(&[unit(1, 10, 1, 1)], &only_memory("1"), "0.0000009536743164");
    costs(&[unit(1, 10, 2 * MI - 1, 1)], &only_memory("1"), "1.9999990463256836");
    costs(&[unit(1, 10, 123_456, 1)], &only_memory("24117248"), "2839488");
    let stored = |bytes, count| unit(1, 10, 0, count).storage(&[volume(bytes, &[])]);
    costs(&[stored(98_765, 1)], &only_storage("25165824"), "2370360.0000000004718592");
    costs(&[stored(111, 1)], &only_storage("3145728"), "333.0000000000196608");
    costs(&[stored(111, 2)], &only_storage("3145728"), "666.0000000000393216");
    // 2⁻¹⁶ ends at the sixteenth digit; 2⁻¹⁷ ends in a 5 behind it, which goes up.
    assert_eq!(mebibytes(1 << 4), Some(U256::from(152_587_890_625_u64)));
    assert_eq!(mebibytes(1 << 3), Some(U256::from(76_293_945_313_u64)));
}

#[test]
fn a_single_price_counts_one_thing_only() {
    let zero = &[("ephemeral", "0")][..];
    costs(&[unit(1, 13, MI, 1)], &prices("22", "0", zero, "0", "0"), "286");
    costs(&[unit(1, 10, MI, 33).http(3)], &prices("0", "0", zero, "7", "0"), "21");
    let ip = prices("0", "0", zero, "0", "5.5");
    costs(&[unit(1, 10, MI, 1).ip(1)], &ip, "5.5");
    costs(&[unit(1, 10, MI, 1).ip(1).ip(2)], &ip, "11");
    costs(&[unit(1, 10, MI, 33).ip(1).ip(2)], &ip, "11");
    costs(&[unit(1, 10, MI, 1).ip(1), unit(2, 10, MI, 1).ip(1)], &ip, "5.5");
}

#[test]
fn a_price_too_fine_for_the_chain_is_rounded_up_where_others_make_no_bid() {
    costs(&[unit(1, 10, 1, 1)], &only_memory("0.0016"), "0.000000001525878907");
}

#[test]
fn memory_volumes_and_volumes_without_class_are_priced_as_ephemeral() {
    let ram = volume(GI, &[("persistent", "false"), ("class", "ram")]);
    let plain = volume(GI, &[("persistent", "true")]);
    costs(&[unit(1, 10, 0, 1).storage(&[ram])], &only_storage("1"), "1024");
    costs(&[unit(1, 10, 0, 1).storage(&[plain])], &only_storage("1"), "1024");
}

#[test]
fn a_class_without_a_price_a_zero_and_an_overflow_are_told_apart() {
    let beta3 = unit(1, 100, MI, 1).storage(&[persistent("beta3", GI)]);
    assert_eq!(total(&[beta3], &usual()), Err(PriceError::StorageClass { class: "beta3".into() }));
    assert_eq!(total(&[unit(1, 0, 0, 1)], &usual()), Err(PriceError::Zero));
    let free = prices("0", "0", &[("ephemeral", "0")], "0", "0");
    assert!(free.is_all_zero());
    assert_eq!(total(&[unit(1, 10, MI, 1)], &free), Err(PriceError::Zero));
    let zero = &[("ephemeral", "0")][..];
    let huge = prices("9223372036854775807", "0", zero, "0", "0");
    assert_eq!(total(&[unit(1, 11, MI, 1)], &huge), Err(PriceError::TooLarge));
    // A hundred times that is refused where the settings are read.
    assert!("922337203685477580700".parse::<Amount>().is_err());
    let most = prices("1000000000000000000", "0", zero, "0", "0");
    costs(&[unit(1, 1, MI, 1)], &most, "1000000000000000000");
    assert_eq!(
        total(&[unit(1, 1, MI, 1).http(1)], &Prices { endpoint: Amount::from_atoms(1), ..most }),
        Err(PriceError::TooLarge)
    );
    assert_eq!(total(&[], &usual()), Err(PriceError::NoDenom));
    assert_eq!(
        total(&[unit(1, 10, u64::MAX, u32::MAX)], &only_memory("340282366920938463463")),
        Err(PriceError::TooLarge)
    );
}

#[test]
fn gpus_cost_by_the_model_that_was_placed_and_are_free_without_a_price() {
    let wants = unit(1, 100, MI, 2).gpu(4, &["vendor/nvidia/model/*"]).http(1);
    costs(std::slice::from_ref(&wants), &usual(), "1.8032");
    let mut prices = usual();
    prices.gpu = [("a100".to_owned(), "10".parse().unwrap())].into();
    assert_eq!(
        total(std::slice::from_ref(&wants), &prices),
        Err(PriceError::GpuModel { model: "*".into() })
    );
    let placed = wants.clone().gpu(4, &["vendor/nvidia/model/a100"]);
    let offer = [Offer { resources: placed.resources, count: 2 }];
    let quote = quote(&group(&[wants]), &offer, &prices).unwrap();
    assert_eq!(quote.total.amount.to_string(), "81.8032");
    assert_eq!(quote.lines.last().map(|line| line.what.as_str()), Some("gpu a100"));
    prices.gpu.insert("*".into(), "3".parse().unwrap());
    let either = unit(1, 100, MI, 1)
        .gpu(1, &["vendor/nvidia/model/t4", "vendor/nvidia/model/a100/ram/80Gi"]);
    costs(&[either], &prices, "10.4016");
}

#[test]
fn a_price_is_explained_line_by_line() {
    let web = unit(1, 100, 512 * MI, 1).storage(&[volume(1, &[])]).http(1);
    let quote = quote(&group(&[web]), &[], &usual()).unwrap();
    let lines: Vec<_> = quote
        .lines
        .iter()
        .map(|l| format!("{}: {} {} at {} is {}", l.what, l.quantity, l.unit, l.unit_price, l.sum))
        .collect();
    assert_eq!(
        lines,
        [
            "cpu: 100 milli at 0.004 is 0.4",
            "memory: 512 MiB at 0.0016 is 0.8192",
            "storage ephemeral: 0.0000009536743164 MiB at 0.00016 is 0.000000000152587890624",
            "endpoint: 1  at 1 is 1",
        ]
    );
}

#[test]
fn the_default_prices_are_prices_and_survive_their_text() {
    assert!(!Prices::default().is_all_zero());
    let text = toml::to_string(&Prices::default()).unwrap();
    assert_eq!(toml::from_str::<Prices>(&text).unwrap(), Prices::default());
    assert!(toml::from_str::<Prices>("cpu = \"-1\"").is_err());
    assert!(toml::from_str::<Prices>("cqu = \"1\"").is_err());
}

proptest! {
    #[test]
    fn more_of_anything_never_costs_less(
        cpu in 0u64..400_000, memory in 0u64..(1 << 42), disk in 0u64..(1 << 46), count in 1u32..50,
        more_cpu in 0u64..1000, more_memory in 0u64..1_000_000, more_disk in 0u64..1_000_000, more_count in 0u32..5,
    ) {
        let of = |cpu, memory, disk, count| {
            let one = unit(1, cpu, memory, count).storage(&[volume(disk, &[])]).http(1);
            quote(&group(&[one]), &[], &usual()).unwrap().total.amount
        };
        let less = of(cpu, memory, disk, count);
        prop_assert!(less > Amount::ZERO);
        prop_assert!(less <= of(cpu + more_cpu, memory + more_memory, disk + more_disk, count + more_count));
    }
}
