//! The simulated cluster itself, with a clock that only moves when told to.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use lessor::{
    devnet::{
        cluster::{JournalError, Settings, World},
        cluster_api::{
            Act, Control, FailureCode, LeaseStatus, Port, Protocol, Reach, Service, Workload,
        },
    },
    domain::{LeaseId, Resources},
};
use tempfile::TempDir;

use super::lease;

/// A clock in milliseconds.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    fn open_with(&self, folder: &Path, settings: Settings) -> Result<World, JournalError> {
        let now = self.0.clone();
        let clock = move || {
            Timestamp::from_millisecond(1_800_000_000_000 + now.load(Ordering::SeqCst)).unwrap()
        };
        World::open(folder, settings, Arc::new(clock))
    }

    fn open(&self, folder: &Path) -> World {
        self.open_with(folder, Settings::default()).unwrap()
    }
}

fn service(name: &str, cpu_milli: u64, count: u32) -> Service {
    Service {
        name: name.to_owned(),
        image: "example/web:1".to_owned(),
        command: vec![],
        args: vec![],
        env: vec!["MODE=test".to_owned(), "PASSWORD=hunter2".to_owned()],
        resources: Resources {
            id: 1,
            cpu_milli,
            cpu_attributes: vec![],
            memory_bytes: 1 << 20,
            memory_attributes: vec![],
            storage: vec![],
            gpu_units: 0,
            gpu_attributes: vec![],
            endpoints: vec![],
        },
        count,
        ports: vec![Port {
            port: 8080,
            external_port: 80,
            proto: Protocol::Tcp,
            reach: Reach::Http,
        }],
        mounts: vec![],
    }
}

fn workload(version: u8, services: Vec<Service>) -> Workload {
    Workload { manifest_hash: format!("{version:02x}").repeat(32), services, hostnames: vec![] }
}

fn ready(world: &World, lease: &LeaseId) -> u32 {
    world.status(lease).unwrap().services.iter().map(|service| service.ready).sum()
}

fn reason(status: &LeaseStatus) -> &str {
    status.services[0].reason.as_deref().unwrap_or_default()
}

fn allocated_cpu(world: &World) -> Vec<u64> {
    world.inventory().unwrap().nodes.iter().map(|node| node.cpu_milli.allocated).collect()
}

#[test]
fn a_replica_is_ready_after_its_time_and_not_before() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 1)])).unwrap();
    hand.pass(999);
    assert_eq!(ready(&world, &lease(1)), 0);
    hand.pass(1002);
    assert_eq!(ready(&world, &lease(1)), 1);
}

#[test]
fn a_roll_out_takes_down_one_replica_at_a_time() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 3)])).unwrap();
    hand.pass(2100);
    assert_eq!(ready(&world, &lease(1)), 3);
    let next = Service { image: "example/web:2".to_owned(), ..service("web", 100, 3) };
    world.apply(&lease(1), workload(2, vec![next])).unwrap();
    let mut updated = vec![];
    for _ in 0..700 {
        let status = world.status(&lease(1)).unwrap();
        assert!(status.services[0].ready >= 2, "{status:?}");
        updated.push(status.services[0].updated);
        hand.pass(10);
    }
    updated.dedup();
    assert_eq!(updated, [1, 2, 3]);
    assert_eq!(ready(&world, &lease(1)), 3);
}

#[test]
fn a_roll_out_of_a_broken_image_leaves_the_other_replicas_running() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 3)])).unwrap();
    hand.pass(2100);
    let broken = Service { image: "example/web:missing".to_owned(), ..service("web", 100, 3) };
    world.apply(&lease(1), workload(2, vec![broken])).unwrap();
    hand.pass(600_000);
    let status = world.status(&lease(1)).unwrap();
    assert_eq!((status.services[0].ready, status.services[0].updated), (2, 1));
    assert!(reason(&status).starts_with("ImagePullBackOff"), "{status:?}");
}

#[test]
fn another_count_alone_restarts_nothing() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 2)])).unwrap();
    hand.pass(2100);
    let applied = world.apply(&lease(1), workload(2, vec![service("web", 100, 4)])).unwrap();
    assert_eq!(applied.changed, ["web"]);
    assert_eq!(ready(&world, &lease(1)), 2);
    hand.pass(2100);
    assert_eq!(ready(&world, &lease(1)), 4);
    world.apply(&lease(1), workload(3, vec![service("web", 100, 1)])).unwrap();
    assert_eq!(ready(&world, &lease(1)), 1);
    assert_eq!(allocated_cpu(&world), [100, 0, 0]);
}

#[test]
fn what_fits_nowhere_waits_with_its_reason_until_something_goes() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("big", 16_000, 1)])).unwrap();
    world.apply(&lease(2), workload(1, vec![service("big", 16_000, 1)])).unwrap();
    hand.pass(5000);
    let status = world.status(&lease(2)).unwrap();
    assert_eq!(status.services[0].ready, 0);
    assert_eq!(
        reason(&status),
        "Unschedulable: 0 of 3 nodes fit: node-a has 8000 of 16000 cpu; \
         node-b has 8000 of 16000 cpu; node-c has 0 of 16000 cpu"
    );
    world.teardown(&lease(1)).unwrap();
    assert_eq!(allocated_cpu(&world), [0, 0, 16_000], "what still goes holds what it has");
    hand.pass(5000);
    assert_eq!(ready(&world, &lease(2)), 1);
    assert_eq!(world.status(&lease(1)).unwrap_err().code, FailureCode::NotFound);
}

#[test]
fn the_replicas_of_a_lost_node_go_elsewhere() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 1000, 2)])).unwrap();
    hand.pass(2100);
    assert_eq!(allocated_cpu(&world), [2000, 0, 0]);
    world.control(Control::LoseNode { node: "node-a".to_owned() }).unwrap();
    assert_eq!(ready(&world, &lease(1)), 0);
    assert_eq!(allocated_cpu(&world), [0, 2000, 0]);
    let lost = world.inventory().unwrap().nodes[0].clone();
    assert!(lost.excluded.unwrap().starts_with("NotReady"));
    hand.pass(2100);
    assert_eq!(ready(&world, &lease(1)), 2);
    world.control(Control::RestoreNode { node: "node-a".to_owned() }).unwrap();
    assert_eq!(world.inventory().unwrap().nodes[0].excluded, None);
    let unknown = world.control(Control::LoseNode { node: "node-z".to_owned() }).unwrap_err();
    assert_eq!(unknown.code, FailureCode::NotFound);
}

#[test]
fn nodes_can_be_changed_under_what_runs() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 1000, 2)])).unwrap();
    hand.pass(2100);
    let only = Settings::default().nodes.remove(1);
    world.control(Control::SetNodes { nodes: vec![only] }).unwrap();
    hand.pass(2100);
    assert_eq!(allocated_cpu(&world), [2000]);
    assert_eq!(ready(&world, &lease(1)), 2);
}

#[test]
fn a_running_replica_that_is_made_to_crash_recovers() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 1)])).unwrap();
    hand.pass(2100);
    let crash = Control::Crash { lease: lease(1), service: "web".to_owned() };
    world.control(crash).unwrap();
    let status = world.status(&lease(1)).unwrap();
    assert_eq!(status.services[0].ready, 0);
    assert!(reason(&status).starts_with("CrashLoopBackOff"), "{status:?}");
    hand.pass(2100);
    let status = world.status(&lease(1)).unwrap();
    assert_eq!((status.services[0].ready, reason(&status)), (1, ""));
}

#[test]
fn a_service_whose_arguments_ask_for_it_crashes_again_and_again() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    let crashing = Service { args: vec!["--crash".to_owned()], ..service("web", 100, 1) };
    world.apply(&lease(1), workload(1, vec![crashing])).unwrap();
    hand.pass(60_000);
    let status = world.status(&lease(1)).unwrap();
    assert!(reason(&status).starts_with("CrashLoopBackOff"), "{status:?}");
    assert!(reason(&status).ends_with("restarted 4 times"), "{status:?}");
}

#[test]
fn an_image_that_is_mended_is_pulled_at_the_next_try() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    let image = || "example/web:1".to_owned();
    world.control(Control::BreakImage { image: image() }).unwrap();
    world.apply(&lease(1), workload(1, vec![service("web", 100, 1)])).unwrap();
    hand.pass(2100);
    assert!(reason(&world.status(&lease(1)).unwrap()).starts_with("ImagePullBackOff"));
    world.control(Control::MendImage { image: image() }).unwrap();
    hand.pass(12_100);
    assert_eq!(ready(&world, &lease(1)), 1);
}

#[test]
fn a_restart_from_the_folder_goes_on_where_it_was() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 2)])).unwrap();
    world.apply(&lease(2), workload(1, vec![service("web", 100, 1)])).unwrap();
    hand.pass(700);
    world.control(Control::LoseNode { node: "node-a".to_owned() }).unwrap();
    world.teardown(&lease(2)).unwrap();
    hand.pass(400);
    let before = (world.status(&lease(1)), world.status(&lease(2)), world.inventory());
    let journal = world.journal();
    drop(world);

    let world = hand.open(folder.path());
    let after = (world.status(&lease(1)), world.status(&lease(2)), world.inventory());
    assert_eq!(after, before);
    assert_eq!(world.journal(), journal);
    drop(world);

    hand.pass(5000);
    let world = hand.open(folder.path());
    assert_eq!(ready(&world, &lease(1)), 2, "time passed while nothing ran");
    assert_eq!(world.leases().unwrap(), [lease(1)]);
}

#[test]
fn a_row_that_a_kill_cut_short_was_never_there() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 1)])).unwrap();
    let journal = world.journal();
    drop(world);
    let path = folder.path().join("cluster.jsonl");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"seq":3,"at":"2027-01-15T08:00:01Z","change":{"app"#).unwrap();
    drop(file);

    let world = hand.open(folder.path());
    assert_eq!(world.journal(), journal);
    world.teardown(&lease(1)).unwrap();
    drop(world);
    let world = hand.open(folder.path());
    let acts: Vec<Act> = world.journal().iter().map(|entry| entry.act).collect();
    assert_eq!(acts, [Act::Settings, Act::Apply, Act::Teardown]);
}

#[test]
fn a_damaged_row_is_an_error_that_names_its_line() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    drop(hand.open(folder.path()));
    let path = folder.path().join("cluster.jsonl");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{}\n");
    fs::write(&path, text).unwrap();
    let error = hand.open_with(folder.path(), Settings::default()).err().unwrap();
    assert!(matches!(error, JournalError::Damaged { line: 2, .. }), "{error}");
}

#[test]
fn a_folder_serves_one_process_at_a_time() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let _world = hand.open(folder.path());
    let error = hand.open_with(folder.path(), Settings::default()).err().unwrap();
    assert!(matches!(error, JournalError::InUse { .. }), "{error}");
}

#[test]
fn other_settings_hold_from_the_restart_on_and_move_nothing_before_it() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    world.apply(&lease(1), workload(1, vec![service("web", 100, 1)])).unwrap();
    hand.pass(2100);
    drop(world);
    let slow = Settings { ready_min_ms: 60_000, ready_max_ms: 60_000, ..Settings::default() };
    let world = hand.open_with(folder.path(), slow.clone()).unwrap();
    assert_eq!(ready(&world, &lease(1)), 1);
    world.apply(&lease(2), workload(1, vec![service("web", 100, 1)])).unwrap();
    hand.pass(2100);
    assert_eq!(ready(&world, &lease(2)), 0);
    drop(world);
    let world = hand.open_with(folder.path(), slow).unwrap();
    let acts: Vec<Act> = world.journal().iter().map(|entry| entry.act).collect();
    assert_eq!(acts, [Act::Settings, Act::Apply, Act::Settings, Act::Apply]);
}

#[test]
fn the_journal_tells_what_was_asked_twice_and_what_it_changed() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    let first = workload(1, vec![service("api", 100, 1), service("web", 100, 1)]);
    assert_eq!(world.apply(&lease(1), first.clone()).unwrap().changed, ["api", "web"]);
    assert_eq!(world.apply(&lease(1), first).unwrap().changed, [""; 0]);
    world.teardown(&lease(1)).unwrap();
    world.teardown(&lease(1)).unwrap();
    let told: Vec<(Act, usize)> =
        world.journal().iter().map(|entry| (entry.act, entry.changed.len())).collect();
    assert_eq!(told, [(Act::Settings, 0), (Act::Apply, 2), (Act::Apply, 0), (Act::Teardown, 0)]);
    let hashes: Vec<bool> =
        world.journal().iter().map(|entry| entry.manifest_hash.is_some()).collect();
    assert_eq!(hashes, [false, true, true, false]);
}

#[test]
fn a_workload_that_makes_no_sense_is_refused_with_its_reason() {
    let (folder, hand) = (TempDir::new().unwrap(), Hand::default());
    let world = hand.open(folder.path());
    let nameless = Service { image: String::new(), ..service("web", 100, 1) };
    for (services, says) in [
        (vec![], "a workload needs at least one service"),
        (vec![service("web", 1, 1), service("web", 1, 1)], "service \"web\" is there twice"),
        (vec![nameless], "service \"web\" has no image"),
        (vec![service("web", 1, 1001)], "1001 replicas are asked for, 1000 are allowed"),
    ] {
        let failure = world.apply(&lease(1), workload(1, services)).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (FailureCode::Refused, says));
    }
    assert_eq!(world.journal().len(), 1, "nothing was written down");
}
