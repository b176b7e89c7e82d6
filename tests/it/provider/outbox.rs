//! How wanted messages become transactions: together and alone, unordered and in order, within the fees of a day, and what is
//! done when one comes to nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use jiff::SignedDuration;
use lessor::{
    domain::{Address, BidState, Coin, Denom, OrderId},
    provider::port::{Signer, SignerError, Store as _, Transaction, TransactionState},
};

use super::{
    ground::machine,
    world::{Worker, World},
};

async fn world() -> (World, Worker) {
    let world = World::new(1, vec![machine("one", 16)]).await;
    let worker = world.worker().await;
    (world, worker)
}

/// Our transactions, oldest first.
async fn transactions(world: &World) -> Vec<Transaction> {
    let mut rows = world.reader.transactions(false, None, 100).await.unwrap().rows;
    rows.reverse();
    rows
}

fn failure(transaction: &Transaction) -> Option<(&str, u32)> {
    match &transaction.state {
        TransactionState::Included(included) => {
            included.failure.as_ref().map(|failure| (failure.codespace.as_str(), failure.code))
        }
        other => panic!("{other:?}"),
    }
}

fn bid_state(world: &World, order: &OrderId) -> Option<BidState> {
    world.market().bid(order).map(|bid| bid.state)
}

fn no_violations(world: &World) {
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn bids_that_wait_together_share_a_transaction_and_its_fee() {
    let (mut world, worker) = world().await;
    let orders: Vec<OrderId> = (0..12).map(|_| world.ask("tenant", 1000, 1)).collect();
    world.tell(&worker).await;
    world.tell(&worker).await;
    for order in &orders {
        assert_eq!(bid_state(&world, order), Some(BidState::Open));
    }
    let sent = transactions(&world).await;
    let sizes: Vec<usize> = sent.iter().map(|transaction| transaction.effects.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 12);
    assert!(sizes.iter().all(|size| *size <= 10) && sizes.len() <= 4, "{sizes:?}");
    no_violations(&world);
}

#[tokio::test]
async fn when_one_message_fails_in_the_block_the_others_go_again_alone() {
    let (mut world, worker) = world().await;
    let orders: Vec<OrderId> = (0..3).map(|_| world.ask("tenant", 1000, 1)).collect();
    world.tell(&worker).await;
    assert_eq!(transactions(&world).await.len(), 1);
    // The second order is gone before the block carries out what was tried with it.
    world.close(orders[1].deployment());
    world.market().mempool.rotate_right(1);
    world.tell(&worker).await;
    world.go_on(&worker, 2).await;
    let states: Vec<_> = orders.iter().map(|order| bid_state(&world, order)).collect();
    assert_eq!(states, [Some(BidState::Open), None, Some(BidState::Open)]);
    let sent = transactions(&world).await;
    assert_eq!(failure(&sent[0]).map(|(codespace, _)| codespace), Some("market"));
    let alone: Vec<usize> = sent[1..].iter().map(|again| again.effects.len()).collect();
    assert_eq!(alone, [1, 1]);
    assert!(!world.is_reserved(&orders[1]).await);
    no_violations(&world);
}

#[tokio::test]
async fn a_node_without_unordered_transactions_gets_them_in_order_and_several_in_one_block() {
    let (mut world, worker) = world().await;
    world.settings.messages_together = 1;
    let worker_alone = world.worker().await;
    drop(worker);
    world.market().ordered_only = true;
    let orders: Vec<OrderId> = (0..5).map(|_| world.ask("tenant", 1000, 1)).collect();
    world.tell(&worker_alone).await;
    world.wait(SignedDuration::from_secs(1));
    worker_alone.step().await;
    world.go_on(&worker_alone, 1).await;
    for order in &orders {
        assert_eq!(bid_state(&world, order), Some(BidState::Open));
    }
    let sent = transactions(&world).await;
    let mut places: Vec<u64> = sent.iter().filter_map(|sent| sent.sequence).collect();
    places.sort_unstable();
    assert_eq!(places.len(), 5);
    assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 1), "{places:?}");
    no_violations(&world);
}

#[tokio::test]
async fn gas_that_ran_out_in_a_block_is_raised_until_it_does() {
    let (mut world, worker) = world().await;
    world.market().gas_told = 50;
    let order = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    world.go_on(&worker, 4).await;
    assert_eq!(bid_state(&world, &order), Some(BidState::Open));
    let sent = transactions(&world).await;
    let failures: Vec<_> = sent.iter().map(failure).collect();
    assert_eq!(failures, [Some(("sdk", 11)), Some(("sdk", 11)), None]);
    assert!(sent.windows(2).all(|pair| pair[1].gas_limit > pair[0].gas_limit));
    no_violations(&world);
}

#[tokio::test]
async fn what_fails_in_three_blocks_is_given_up() {
    let (mut world, worker) = world().await;
    world.market().gas_told = 30;
    let order = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    world.go_on(&worker, 8).await;
    assert_eq!(bid_state(&world, &order), None);
    let sent = transactions(&world).await;
    let is_paid = |sent: &&Transaction| matches!(sent.state, TransactionState::Included(_));
    assert_eq!(sent.iter().filter(is_paid).count(), 3, "{sent:?}");
    assert!(!world.is_reserved(&order).await);
    no_violations(&world);
}

#[tokio::test]
async fn bids_wait_when_the_fees_of_a_day_are_used_up_and_closes_go_on() {
    let (mut world, _) = world().await;
    world.settings.fee_budget = Some(Coin { denom: Denom::uakt(), amount: 1 });
    let worker = world.worker().await;
    let first = world.order_with_bid(&worker, 1000).await;
    let second = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    world.go_on(&worker, 2).await;
    assert_eq!(bid_state(&world, &second), None);
    // The bid that nobody takes is closed in time all the same.
    world.go_on(&worker, 52).await;
    assert_eq!(bid_state(&world, &first), Some(BidState::Closed));
    assert_eq!(bid_state(&world, &second), None);
    // A day later there is room again.
    world.block_after(SignedDuration::from_hours(25));
    world.go_on(&worker, 12).await;
    assert_eq!(bid_state(&world, &second), Some(BidState::Open));
    no_violations(&world);
}

/// A signer that signs nothing, and counts how often it is asked.
struct Refusing {
    inner: Arc<dyn Signer>,
    is_final: bool,
    asked: AtomicU32,
}

#[async_trait]
impl Signer for Refusing {
    fn address(&self) -> &Address {
        self.inner.address()
    }

    fn public_key(&self) -> &[u8] {
        self.inner.public_key()
    }

    async fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(SignerError { detail: "as the test wants it".to_owned(), is_final: self.is_final })
    }
}

#[tokio::test]
async fn what_a_signers_policy_forbids_is_given_up_and_what_it_cannot_do_now_is_asked_for_again() {
    for is_final in [true, false] {
        let mut world = World::new(1, vec![machine("one", 16)]).await;
        let inner = world.worker().await.provider.signer.clone().unwrap();
        let signer = Arc::new(Refusing { inner, is_final, asked: AtomicU32::new(0) });
        let worker = world.worker_with(Some(signer.clone() as Arc<dyn Signer>)).await;
        let order = world.ask("tenant", 1000, 1);
        world.tell(&worker).await;
        world.go_on(&worker, 10).await;
        let asked = signer.asked.load(Ordering::SeqCst);
        assert!(asked > 0);
        for _ in 0..5 {
            world.wait(SignedDuration::from_mins(2));
            world.go_on(&worker, 5).await;
        }
        let again = signer.asked.load(Ordering::SeqCst) > asked;
        assert_eq!(again, !is_final);
        assert!(!is_final || !world.is_reserved(&order).await);
        assert_eq!(bid_state(&world, &order), None);
        assert!(transactions(&world).await.is_empty());
    }
}
