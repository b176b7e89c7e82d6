//! `lessor serve` itself is killed at twenty random moments while several tenants live.
//!
//! The moments come from a seed that is printed; `CRASH_SEED=…` draws the same ones again.

use std::{
    cell::Cell,
    env,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use lessor::{
    domain::DeploymentId,
    wire::{deployment, google::Any},
};
use tokio::time::sleep;

use crate::{
    judge::judge,
    life::{compile, create, is_ready, is_released, take_bid, try_upload},
    served::Served,
    support::eventually,
    world::{LIMIT, World, example},
};

const KILLS: u64 = 20;
/// The test accounts that deploy: all at once, each one deployment after the other.
const TENANTS: [u32; 3] = [0, 3, 4];

#[tokio::test]
#[ignore = "a minute: tests/run runs it as \"random moments\""]
async fn killed_at_twenty_random_moments_nothing_is_lost_or_done_twice() {
    let seed = match env::var("CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().1,
    };
    println!("CRASH_SEED={seed}");
    let mut world = World::new("");
    world.start_relay();
    let mut served = Served::start(&world);
    let over = Cell::new(false);
    let killing = async {
        kill_at_random(&world, &mut served, seed).await;
        over.set(true);
    };
    let lives = TENANTS.map(|index| lives(&world, index, &over));
    let ((), ids) = tokio::join!(killing, futures_util::future::join_all(lives));
    let ids = ids.concat();
    eventually("everything is released", LIMIT, async || {
        served.check(&world);
        is_released(&world, &ids).await
    })
    .await;
    let tip = world.tip().await;
    world.stop_relay_after(tip).await;
    served.ask_to_end();
    served.ends().await;
    judge(&world).await;
    println!("{KILLS} kills in the lives of {} deployments", ids.len());
    assert!(ids.len() >= TENANTS.len());
}

/// A number below `end`, for the seed and the number of the draw.
fn draw(seed: u64, number: u64, end: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, number).hash(&mut hasher);
    hasher.finish() % end
}

async fn kill_at_random(world: &World, served: &mut Served, seed: u64) {
    for number in 0..KILLS {
        // Every other one is killed while it starts or soon after, the others once they work.
        if number % 2 == 1 {
            served.is_up(world).await;
        }
        // The moment is the point of it: nothing is waited for.
        sleep(Duration::from_millis(20 + draw(seed, number, 1_200))).await;
        served.check(world);
        served.process.kill();
        *served = Served::start(world);
    }
    served.is_up(world).await;
}

/// One deployment after the other, until `over`; at least one.
async fn lives(world: &World, index: u32, over: &Cell<bool>) -> Vec<DeploymentId> {
    let tenant = world.tenant(index);
    let document = compile(&example("web.yaml"));
    let mut ids = Vec::new();
    while ids.is_empty() || !over.get() {
        let id = create(&tenant, 7 + ids.len() as u64, &document).await;
        let lease = take_bid(&tenant, &id).await;
        eventually("the manifest is taken", LIMIT, async || {
            try_upload(&tenant, &lease, &document).await.ok()
        })
        .await;
        eventually("it is ready", LIMIT, async || is_ready(world, &id, &document).await).await;
        let message = deployment::MsgCloseDeployment::new(&id);
        tenant.send("the closing", vec![Any::pack(&message)]).await.unwrap();
        ids.push(id);
    }
    ids
}
