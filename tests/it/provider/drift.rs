//! Objects of a lease that somebody changed or deleted by hand are written again, once, and that is told.

use jiff::SignedDuration;
use lessor::provider::port::Store as _;

use super::{ground::machine, world::World};

#[tokio::test]
async fn what_others_did_to_a_workload_is_mended_by_one_apply_and_counted() {
    let mut world = World::new(61, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let lease = world.lease(&worker, 500).await;
    world.upload(&worker, lease.deployment()).await.unwrap();
    world.go_on(&worker, 3).await;
    world.ground().applied.clear();
    let seen = vec!["Service web was deleted".to_owned()];
    world.ground().drift.insert(lease.clone(), seen.clone());

    for _ in 0..20 {
        world.block_after(SignedDuration::from_secs(10));
        worker.step().await;
    }
    assert_eq!(world.ground().applied.len(), 1, "one apply mends it");
    assert!(world.ground().drift.is_empty());
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    let body = world.row(&lease.order).await.unwrap().body;
    assert_eq!(body.pointer("/lease/drift/mended"), Some(&1.into()));
    assert_eq!(body.pointer("/lease/drift/last/1/0"), Some(&seen[0].clone().into()));
    assert_eq!(body.pointer("/lease/drift/noticed"), Some(&serde_json::json!([])));
    let lines = world.reader.audit_lines(None, 50).await.unwrap().rows;
    let told: Vec<_> = lines.iter().filter(|line| line.action == "mend").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reason, seen[0]);
}

#[tokio::test]
async fn what_is_seen_once_and_not_again_is_left_alone() {
    let mut world = World::new(62, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let lease = world.lease(&worker, 500).await;
    world.upload(&worker, lease.deployment()).await.unwrap();
    world.go_on(&worker, 3).await;
    world.ground().applied.clear();
    world.ground().drift.insert(lease.clone(), vec!["Service web was deleted".to_owned()]);
    let noticed = async |world: &World| {
        let body = world.row(&lease.order).await.unwrap().body;
        body.pointer("/lease/drift/noticed/0").is_some()
    };
    let mut rounds = 0;
    while !noticed(&world).await {
        world.block_after(SignedDuration::from_secs(10));
        worker.step().await;
        rounds += 1;
        assert!(rounds < 30, "nobody looks");
    }
    world.ground().drift.clear();
    world.go_on(&worker, 20).await;
    assert!(world.ground().applied.is_empty());
    assert!(!noticed(&world).await);
}
