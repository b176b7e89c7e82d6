//! The change of the sealing key, killed in its middle while two gateways work on the file: every row opens at any time,
//! and started again it goes on.

use std::process::Command;

use lessor::{
    client::{Tenant, gateway::Gateway, token},
    cmd::host,
    domain::LeaseId,
    provider::port::{ManifestRow, ManifestStored, Store as _},
    store::{Settings, Sqlite},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    life::{compile, create, is_ready, take_bid, try_upload},
    process::Process,
    served::Served,
    support::eventually,
    world::{LIMIT, World, example, free_port},
};

/// Manifests of other tenants in the file: more than the change of keys does at once.
const ROWS: u64 = 1_000;
/// What is read while the change is under way.
const PROBES: u64 = 20;

fn row(tenant: &Tenant, dseq: u64) -> ManifestRow {
    ManifestRow {
        deployment: tenant.deployment(dseq),
        hash: format!("hash-{dseq}"),
        body: format!("{dseq}{}", "x".repeat(8 * 1024)),
        received_at: host::now(),
    }
}

/// How many rows each key has sealed, most first.
async fn rows_by_key(connection: &mut SqliteConnection) -> Vec<(String, i64)> {
    const COUNTS: &str =
        "SELECT sealed_by, count(*) FROM manifests GROUP BY sealed_by ORDER BY 2 DESC";
    sqlx::query_as(COUNTS).fetch_all(connection).await.unwrap()
}

fn reseal(world: &World, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lessor"));
    command.arg("--config").arg(world.config()).args(["store", "reseal"]).args(more).env_clear();
    command
}

/// The tenant reads its manifest back from a gateway.
async fn reads_back(world: &World, url: &str, lease: &LeaseId) {
    let tenant = Tenant { gateway: Gateway::new(url).unwrap(), ..world.tenant(0) };
    let token = token::sign(&tenant.key, &lease.provider, host::now());
    let status = tenant.gateway.lease_status(lease, &token).await.unwrap();
    assert_eq!(status["services"]["web"]["ready_replicas"], 1, "{status}");
}

#[tokio::test]
#[ignore = "half a minute: tests/run runs it as \"troubles of the host\""]
async fn a_change_of_keys_that_is_killed_goes_on_beside_two_gateways() {
    let mut world = World::new("");
    let _served = Served::up(&world).await;
    let second = format!("127.0.0.1:{}", free_port());
    let mut command = world.serve();
    command.env("LESSOR_LISTEN__PUBLIC", &second);
    let _second = Served::start_as(&world, command);
    world.start_relay();
    let tenant = world.tenant(0);
    let document = compile(&example("web.yaml"));
    let id = create(&tenant, 7, &document).await;
    let lease = take_bid(&tenant, &id).await;
    let taken = async || try_upload(&tenant, &lease, &document).await.ok();
    eventually("the manifest is taken", LIMIT, taken).await;
    eventually("it is ready", LIMIT, async || is_ready(&world, &id, &document).await).await;

    let store = Sqlite::open(&world.store(), Settings::default()).await.unwrap();
    // Of an account that has nothing on chain, so that nobody asks for them meanwhile.
    let other = world.tenant(9);
    for dseq in 1..=ROWS {
        let stored = store.store_manifest(&row(&other, dseq), &[], &[], host::now()).await;
        assert_eq!(stored.unwrap(), ManifestStored::Done);
    }
    let options = SqliteConnectOptions::new().filename(world.store()).read_only(true);
    let mut rows = SqliteConnection::connect_with(&options).await.unwrap();

    let mut change = Process::start(reseal(&world, &["--new-key"]), &world.log());
    eventually("the change is under way", LIMIT, async || {
        (rows_by_key(&mut rows).await.len() == 2).then_some(())
    })
    .await;
    change.kill();
    let half = rows_by_key(&mut rows).await;
    assert_eq!(half.len(), 2, "it was killed in its middle: {half:?}");
    println!("killed with {half:?}");
    every_row_opens(&store, &other).await;

    let mut change = Process::start(reseal(&world, &["--forget-old"]), &world.log());
    let ended = eventually("the change ends", LIMIT, async || change.ended()).await;
    assert!(ended.success(), "{ended}");
    let now = rows_by_key(&mut rows).await;
    assert_eq!(now.len(), 1, "{now:?}");
    rows.close().await.unwrap();
    every_row_opens(&store, &other).await;
    store.close().await;

    // Both gateways took up the new key without a restart: one takes a manifest, the other carries on with it.
    let changed =
        example("web.yaml").replacen("    image: ", "    env:\n      - CHANGED=1\n    image: ", 1);
    let changed = compile(&changed);
    let message = lessor::wire::deployment::MsgUpdateDeployment::new(&id, &changed.hash);
    let message = lessor::wire::google::Any::pack(&message);
    tenant.send("the update", vec![message]).await.unwrap();
    let second = format!("http://{second}");
    let through = Tenant { gateway: Gateway::new(&second).unwrap(), ..world.tenant(0) };
    let taken = async || try_upload(&through, &lease, &changed).await.ok();
    eventually("the second gateway takes a manifest", LIMIT, taken).await;
    eventually("it is ready", LIMIT, async || is_ready(&world, &id, &changed).await).await;
    for url in [world.url.as_str(), second.as_str()] {
        reads_back(&world, url, &lease).await;
    }
}

async fn every_row_opens(store: &Sqlite, tenant: &Tenant) {
    for dseq in (1..=ROWS).step_by(usize::try_from(ROWS / PROBES).unwrap()) {
        let wanted = row(tenant, dseq);
        let found = store.manifest(&wanted.deployment, &wanted.hash).await.unwrap();
        assert_eq!(found.map(|found| found.body), Some(wanted.body), "row {dseq}");
    }
}
