//! Hostnames that a tenant moves from one of their leases to another.

use lessor::{
    domain::LeaseId,
    provider::{
        migrate::{MigrateError, Movable},
        port::Store as _,
    },
};

use super::{
    document::manifest_at,
    ground::machine,
    world::{Worker, World},
};

const HOST: &str = "app.example.com";

/// A lease of `who` whose manifest, which runs, names these hostnames.
async fn served_at(
    world: &mut World,
    worker: &Worker,
    who: &str,
    version: u32,
    hosts: &[&str],
) -> LeaseId {
    let order = world.ask(who, 500, 1);
    world.tell(worker).await;
    world.tell(worker).await;
    let lease = world.take(&order, "provider");
    world.announce(lease.deployment(), manifest_at(500, 1, version, Some(hosts)));
    world.tell(worker).await;
    world.upload(worker, lease.deployment()).await.unwrap();
    worker.step().await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    lease
}

/// The leases that route a hostname.
fn routers(world: &World, hostname: &str) -> Vec<LeaseId> {
    let ground = world.ground();
    let routes = |lease: &&LeaseId| {
        let routes = &ground.running[*lease].hostnames;
        routes.iter().any(|route| route.hostname == hostname)
    };
    ground.running.keys().filter(routes).cloned().collect()
}

async fn two() -> (World, Worker, LeaseId, LeaseId) {
    let mut world = World::new(41, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let blue = served_at(&mut world, &worker, "tenant", 2, &[HOST]).await;
    let green = served_at(&mut world, &worker, "tenant", 3, &[HOST, "other.example.com"]).await;
    assert_eq!(routers(&world, HOST), std::slice::from_ref(&blue), "who comes second does without");
    (world, worker, blue, green)
}

async fn migrate(worker: &Worker, to: &LeaseId, names: &[&str]) -> Result<(), MigrateError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    worker.provider.migrate(to.deployment(), 1, Movable::Hostnames, &names, |_| true).await
}

#[tokio::test]
async fn a_hostname_that_is_moved_is_let_go_first_and_then_leads_to_its_new_lease() {
    let (world, worker, blue, green) = two().await;
    world.ground().applied.clear();
    migrate(&worker, &green, &["App.Example.com"]).await.unwrap();
    let of_green = world.reader.hostnames(&green).await.unwrap();
    assert!(
        of_green.iter().all(|claim| claim.hostname != HOST),
        "not before the other has let it go"
    );
    worker.step().await;
    assert_eq!(routers(&world, HOST), std::slice::from_ref(&green));
    let order: Vec<LeaseId> =
        world.ground().applied.iter().map(|(lease, _)| lease.clone()).collect();
    assert_eq!(order, [blue.clone(), green.clone()]);
    for lease in [&blue, &green] {
        assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    }
    let lines = world.reader.audit_lines(None, 50).await.unwrap().rows;
    assert!(lines.iter().any(|line| line.action == "migrate" && line.reason == HOST));

    // Moving what was moved changes nothing, and so does time.
    world.ground().applied.clear();
    migrate(&worker, &green, &[HOST]).await.unwrap();
    world.go_on(&worker, 12).await;
    assert!(world.ground().applied.is_empty());

    // And back.
    migrate(&worker, &blue, &[HOST]).await.unwrap();
    worker.step().await;
    assert_eq!(routers(&world, HOST), [blue]);
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hostname_leads_nowhere_else_while_the_lease_that_has_it_cannot_let_it_go() {
    let (world, worker, blue, green) = two().await;
    world.ground().faults.rates.cluster_fails = 100;
    migrate(&worker, &green, &[HOST]).await.unwrap();
    world.go_on(&worker, 5).await;
    assert_eq!(routers(&world, HOST), std::slice::from_ref(&blue));
    world.ground().faults.rates.cluster_fails = 0;
    world.go_on(&worker, 12).await;
    assert_eq!(routers(&world, HOST), [green]);
}

#[tokio::test]
async fn the_hostname_of_a_lease_that_ends_is_free_for_the_lease_that_it_was_moved_to() {
    let (world, worker, blue, green) = two().await;
    world.ground().faults.rates.cluster_fails = 100;
    migrate(&worker, &green, &[HOST]).await.unwrap();
    world.close(blue.deployment());
    world.tell(&worker).await;
    world.ground().faults.rates.cluster_fails = 0;
    world.go_on(&worker, 15).await;
    assert_eq!(world.lease_phase(&blue.order).await.as_deref(), Some("gone"));
    assert_eq!(routers(&world, HOST), [green]);
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_and_all_stays_as_it_was() {
    let (mut world, worker, blue, green) = two().await;
    let theirs = served_at(&mut world, &worker, "tenant2", 4, &["their.example.com"]).await;
    let refused = async |to: &LeaseId, names: &[&str]| {
        migrate(&worker, to, names).await.unwrap_err().to_string()
    };
    assert_eq!(
        refused(&green, &[HOST, "no.example.com"]).await,
        "the hostname \"no.example.com\" is not used by this deployment"
    );
    let nowhere = "destination deployment does not exist";
    assert_eq!(
        refused(&theirs.deployment().group(1).order(7).lease(&blue.provider), &[HOST]).await,
        "the hostname \"app.example.com\" is not used by this deployment"
    );
    let absent = lessor::domain::DeploymentId::new(blue.order.owner().clone(), 999);
    assert_eq!(refused(&absent.group(1).order(1).lease(&blue.provider), &[HOST]).await, nowhere);
    let names = [HOST.to_owned()];
    let denied =
        worker.provider.migrate(green.deployment(), 1, Movable::Hostnames, &names, |_| false).await;
    assert!(matches!(denied, Err(MigrateError::Denied)));
    world.go_on(&worker, 3).await;
    assert_eq!(routers(&world, HOST), [blue]);
}
