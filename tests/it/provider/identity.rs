//! A store belongs to one chain, whatever the node has dropped of it.

use lessor::domain::Height;

use super::{
    ground::machine,
    market::FirstBlock,
    world::{Worker, World},
};

async fn world() -> (World, Worker) {
    let world = World::new(5, vec![machine("one", 4)]).await;
    let worker = world.worker().await;
    worker.step().await;
    (world, worker)
}

/// Whether a new process takes the node for the store's chain.
async fn is_taken(world: &World, chain: &'static str, height: u64) -> bool {
    world.market().first_block = FirstBlock { chain, height: Height(height) };
    world.worker().await.provider.look_at_tip().await.is_ok()
}

#[tokio::test]
async fn a_node_that_dropped_old_blocks_is_the_same_chain() {
    let (world, _) = world().await;
    assert!(is_taken(&world, "00", 1).await);
    assert!(is_taken(&world, "00", 50).await, "it has not the block that was recorded");
    assert!(is_taken(&world, "00", 1).await);
}

#[tokio::test]
async fn a_chain_with_another_first_block_under_the_same_name_is_refused() {
    let (world, _) = world().await;
    assert!(!is_taken(&world, "ff", 1).await);
}

#[tokio::test]
async fn a_store_that_began_with_a_pruned_node_is_compared_by_the_block_that_it_knows() {
    let world = World::new(5, vec![machine("one", 4)]).await;
    assert!(is_taken(&world, "00", 30).await, "recorded by block 30");
    assert!(is_taken(&world, "00", 1).await, "a node with all blocks has block 30 too");
    assert!(!is_taken(&world, "ff", 1).await, "of another chain block 30 is another");
}
