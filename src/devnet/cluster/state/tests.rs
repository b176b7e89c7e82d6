//! That time passes in the same way whoever watches, and that nothing is taken that is not given back.

use proptest::prelude::*;

use super::*;
use crate::{
    devnet::{
        cluster::time::just_after,
        cluster_api::{HostnameRoute, Port, Protocol, Reach, Service},
    },
    domain::{Address, OrderId, Resources},
};

fn lease(dseq: u64) -> LeaseId {
    let account = |byte: u8| Address::from_bytes(&[byte; 20]).unwrap();
    OrderId::new(account(1), dseq, 1, 1).lease(&account(2))
}

fn moment(ms: u64) -> Timestamp {
    later(Timestamp::UNIX_EPOCH, ms)
}

/// Large enough that few fit at once, with an image that may be good, missing or crashing.
fn service(name: &str, tag: &str, count: u32) -> Service {
    Service {
        name: name.to_owned(),
        image: format!("example/web:{tag}"),
        command: vec![],
        args: vec![],
        env: vec![],
        resources: Resources {
            id: 1,
            cpu_milli: 3000,
            cpu_attributes: vec![],
            memory_bytes: 1 << 30,
            memory_attributes: vec![],
            storage: vec![],
            gpu_units: 0,
            gpu_attributes: vec![],
            endpoints: vec![],
        },
        count,
        ports: vec![Port {
            port: 53,
            external_port: 53,
            proto: Protocol::Udp,
            reach: Reach::Forwarded,
        }],
        mounts: vec![],
    }
}

fn change() -> impl Strategy<Value = Change> {
    let tag = prop_oneof![Just("1"), Just("2"), Just("missing"), Just("crash")];
    let node = || prop_oneof![Just("node-a"), Just("node-c")].prop_map(str::to_owned);
    let control = prop_oneof![
        (1..4_u64)
            .prop_map(|dseq| Control::Crash { lease: lease(dseq), service: "web".to_owned() }),
        node().prop_map(|node| Control::LoseNode { node }),
        node().prop_map(|node| Control::RestoreNode { node }),
        Just(Control::BreakImage { image: "example/web:1".to_owned() }),
        Just(Control::MendImage { image: "example/web:1".to_owned() }),
        Just(Control::SetNodes { nodes: Settings::default().nodes.split_off(1) }),
    ];
    prop_oneof![
        4 => (1..4_u64, tag, 0..4_u32).prop_map(|(dseq, tag, count)| Change::Apply {
            lease: lease(dseq),
            workload: Workload {
                manifest_hash: format!("{tag}{count}"),
                services: vec![service("api", "1", 1), service("web", tag, count)],
                hostnames: vec![HostnameRoute {
                    hostname: "a.example.com".to_owned(),
                    service: "web".to_owned(),
                    port: 53,
                }],
            },
        }),
        2 => (1..4_u64).prop_map(|dseq| Change::Teardown { lease: lease(dseq) }),
        2 => control.prop_map(Change::Control),
    ]
}

/// Takes the changes that make sense when they come, each some milliseconds after the last, and looks `looks` times in
/// between.
fn live(changes: &[(u64, Change)], looks: u64) -> State {
    let mut state = State::default();
    let mut seq = 0;
    let mut take = |state: &mut State, at: Timestamp, change: Change| {
        let sensible = match &change {
            Change::Teardown { lease } => state.terminating(lease) == Some(false),
            other => state.check(other).is_ok(),
        };
        if sensible {
            seq += 1;
            state.take(Row { seq, at, change });
        }
    };
    take(&mut state, moment(1), Change::Settings(Settings::default()));
    let mut ms = 1;
    for (wait, change) in changes {
        for look in 1..=looks {
            state.advance(moment(ms + wait * look / (looks + 1)));
        }
        ms += wait;
        state.advance(moment(ms));
        take(&mut state, just_after(moment(ms)), change.clone());
    }
    state.advance(moment(ms + 10_000));
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_makes_no_difference_how_often_one_looks(
        changes in proptest::collection::vec((0..20_000_u64, change()), 1..20),
        looks in 1..20_u64,
    ) {
        prop_assert_eq!(live(&changes, looks), live(&changes, 0));
    }

    #[test]
    fn when_all_leases_are_gone_nothing_is_taken(
        changes in proptest::collection::vec((0..20_000_u64, change()), 1..20),
    ) {
        let mut state = live(&changes, 0);
        let ids: Vec<LeaseId> = state.lease_ids().cloned().collect();
        for lease in ids {
            let (seq, at) = (1000, just_after(state.at()));
            state.take(Row { seq, at, change: Change::Teardown { lease } });
        }
        state.advance(later(state.at(), 3_600_000));
        prop_assert_eq!(state.lease_ids().count(), 0);
        prop_assert!(state.wakes.is_empty() && state.waiting.is_empty());
        let nodes = &state.inventory().nodes;
        prop_assert!(nodes.iter().all(|node| node.cpu_milli.allocated == 0), "{:?}", nodes);
    }

    #[test]
    fn no_node_that_kept_its_size_has_more_taken_than_there_is(
        changes in proptest::collection::vec((0..20_000_u64, change()), 1..20),
    ) {
        let nodes = &live(&changes, 3).inventory().nodes.clone();
        let fits = |node: &crate::domain::inventory::Node| {
            node.cpu_milli.allocated <= node.cpu_milli.allocatable
        };
        prop_assert!(nodes.iter().all(fits), "{:?}", nodes);
    }
}
