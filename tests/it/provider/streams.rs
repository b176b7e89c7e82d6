//! What a stream may cost, and what is done when it says nothing: reads are counted, and silence hides no order.

use jiff::SignedDuration;
use lessor::{
    domain::{BidState, Height, OrderId},
    event::{
        envelope::{BlockEvent, ChainEvent},
        hash::TxHash,
    },
    provider::{
        port::{ChainError, ChainErrorKind, Indexer, Missed, Store as _},
        settings::StreamSettings,
    },
    wire::event::ChainEvent as Typed,
};

use super::{
    ground::machine,
    market::block_ref,
    node::failed,
    world::{STREAM, Worker, World},
};

async fn world_with(change: impl FnOnce(&mut StreamSettings)) -> (World, Worker) {
    let mut world = World::new(1, vec![machine("one", 16)]).await;
    world.settings.reconcile_every = SignedDuration::from_hours(10);
    change(world.settings.streams.get_mut(STREAM).unwrap());
    let worker = world.worker().await;
    worker.step().await;
    (world, worker)
}

/// A block that tells something about these deployments' orders.
fn claim(height: u64, prev: Option<u64>, orders: &[OrderId]) -> BlockEvent {
    let events = orders.iter().zip(0..).map(|(id, i)| {
        let typed = Typed::OrderClosed { id: id.clone() };
        ChainEvent {
            i,
            tx_hash: TxHash::of(&[height.to_be_bytes(), u64::from(i).to_be_bytes()].concat()),
            msg_index: 0,
            event_index: i,
            kind: typed.kind().to_owned(),
            attributes: typed.to_attributes(),
        }
    });
    BlockEvent {
        chain_id: lessor::devnet::genesis::CHAIN_ID.to_owned(),
        at: block_ref(Height(height)),
        prev: prev.map(|prev| block_ref(Height(prev))),
        cursor: None,
        complete: true,
        part: 0,
        parts: 1,
        events: events.collect(),
    }
}

async fn audited(world: &World, action: &str) -> usize {
    let lines = world.reader.audit_lines(None, 500).await.unwrap().rows;
    lines.iter().filter(|line| line.action == action).count()
}

#[tokio::test]
async fn a_gap_costs_no_more_reads_a_minute_than_the_stream_may_and_closes_in_the_end() {
    let (world, worker) = world_with(|stream| {
        stream.reads_per_minute = 40;
        stream.deaf_after = SignedDuration::from_hours(1);
    })
    .await;
    for _ in 0..60 {
        world.block();
    }
    worker.step().await;
    world.deliver(&worker, "one", &[claim(2, None, &[])]).await;
    world.deliver(&worker, "two", &[claim(60, Some(59), &[])]).await;
    let before = world.market().pulled;
    let mut most = 0;
    for _ in 0..8 {
        let minute = world.market().pulled;
        for _ in 0..60 {
            world.wait(SignedDuration::from_secs(1));
            worker.step().await;
        }
        most = most.max(world.market().pulled - minute);
    }
    // Half of the reads are for hints, and a block costs two; a minute of these may lie over two of the budget's.
    assert!(most <= 20, "{most} blocks in a minute");
    assert_eq!(world.market().pulled - before, 57);
    let state = world.reader.stream(STREAM).await.unwrap().unwrap().state;
    assert_eq!((state.link.cursor().unwrap().height, state.link.gap()), (Height(60), None));
}

/// An indexer whose pull API fails.
struct Broken(std::sync::Arc<dyn Indexer>);

#[async_trait::async_trait]
impl Indexer for Broken {
    fn reads_per_block(&self, _stream: &str) -> u32 {
        0
    }

    async fn blocks(&self, _: &str, _: Height, _: Height) -> Result<Missed, ChainError> {
        Err(failed("pull missed blocks", ChainErrorKind::Unavailable))
    }

    fn fallback(&self, _stream: &str) -> Option<&dyn Indexer> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn what_an_indexer_does_not_give_is_read_from_the_node_within_the_budget() {
    let (mut world, _) = world_with(|stream| {
        stream.reads_per_minute = 40;
        stream.deaf_after = SignedDuration::from_hours(1);
    })
    .await;
    world.indexer = Some(|node| std::sync::Arc::new(Broken(node)));
    let worker = world.worker().await;
    for _ in 0..60 {
        world.block();
    }
    worker.step().await;
    world.deliver(&worker, "one", &[claim(2, None, &[])]).await;
    world.deliver(&worker, "two", &[claim(31, Some(30), &[])]).await;
    let before = world.market().pulled;
    for minute in 1..=4 {
        for _ in 0..60 {
            world.wait(SignedDuration::from_secs(1));
            worker.step().await;
        }
        assert!(world.market().pulled - before <= 10 * (minute + 1), "minute {minute}");
    }
    let state = world.reader.stream(STREAM).await.unwrap().unwrap().state;
    assert_eq!((state.link.cursor().unwrap().height, state.link.gap()), (Height(31), None));
}

#[tokio::test]
async fn what_is_too_far_back_is_left_to_the_comparison_of_rows_and_chain() {
    let (mut world, worker) = world_with(|stream| {
        stream.backfill_blocks = 10;
        stream.deaf_after = SignedDuration::from_hours(1);
    })
    .await;
    world.deliver(&worker, "one", &[claim(1, None, &[])]).await;
    let old = world.ask("tenant", 500, 1);
    for _ in 0..60 {
        world.block();
    }
    worker.step().await;
    assert!(world.row(&old).await.is_none(), "nobody told of it");
    world.deliver(&worker, "two", &[claim(60, Some(59), &[])]).await;
    for _ in 0..20 {
        world.wait(SignedDuration::from_secs(1));
        worker.step().await;
    }
    let state = world.reader.stream(STREAM).await.unwrap().unwrap().state;
    assert_eq!((state.link.cursor().unwrap().height, state.link.gap()), (Height(60), None));
    assert_eq!(world.market().pulled, 11, "the block before the newest ten, and those");
    assert_eq!(audited(&world, "reconciled").await, 1);
    assert!(world.row(&old).await.is_some(), "the comparison found it");
}

#[tokio::test]
async fn a_lie_about_known_deployments_costs_no_more_reads_than_the_stream_may() {
    let (mut world, worker) = world_with(|stream| stream.reads_per_minute = 100).await;
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(world.order_with_bid(&worker, 100).await);
    }
    world.wait(SignedDuration::from_secs(120));
    worker.step().await;
    let before = world.market().reads;
    for second in 0..59_u64 {
        for lie in 0..5 {
            let tip = world.market().ledger.height();
            let told = claim(tip + 1 + second % 3, None, &orders);
            let told = BlockEvent {
                events: told
                    .events
                    .into_iter()
                    .map(|event| ChainEvent {
                        tx_hash: TxHash::of(format!("{second} {lie} {}", event.i).as_bytes()),
                        ..event
                    })
                    .collect(),
                ..told
            };
            world.deliver(&worker, &format!("lie-{second}-{lie}"), &[told]).await;
            worker.step().await;
        }
        world.wait(SignedDuration::from_secs(1));
        if second % 6 == 0 {
            world.block_after(SignedDuration::from_secs(0));
        }
        worker.step().await;
    }
    let reads = world.market().reads - before;
    // What the loop itself reads: the tip, two or three times a pass of which there are 354, and the registration.
    let tips = 354 * 3 + 30;
    assert!(reads < 200 + tips, "{reads} reads");
    // What is true is acted on all the same.
    world.wait(SignedDuration::from_secs(61));
    let lease = world.take(&orders[0], "provider");
    world.tell(&worker).await;
    assert_eq!(world.row(&lease.order).await.unwrap().phase, "won");
}

#[tokio::test]
async fn what_the_chain_bears_out_costs_a_stream_nothing() {
    let (mut world, worker) = world_with(|stream| stream.reads_per_minute = 100).await;
    let mut orders = Vec::new();
    for _ in 0..30 {
        orders.push(world.ask("tenant", 100, 1));
    }
    world.tell(&worker).await;
    world.go_on(&worker, 2).await;
    // Far more than 100 reads in the minute in which the bids were made.
    for order in &orders {
        world.close(order.deployment());
    }
    world.tell(&worker).await;
    for order in &orders {
        assert!(!world.is_reserved(order).await, "{order} is closed and holds nothing");
    }
    // One after the other is as good as all at once.
    for _ in 0..30 {
        let order = world.order_with_bid(&worker, 100).await;
        world.close(order.deployment());
        world.tell(&worker).await;
        assert!(!world.is_reserved(&order).await, "{order} is closed and holds nothing");
    }
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn while_the_node_has_other_blocks_than_the_stream_bids_go_on_and_no_lease_is_ended() {
    let (mut world, worker) = world_with(|_| {}).await;
    let lease = world.lease(&worker, 1000).await;
    world.go_on(&worker, 22).await;
    let newest = world.market().sent.last().unwrap().at.height;
    world.market().other_from = Some(newest);
    // The stream tells of one more block, and nobody uploads a manifest.
    let order = world.order_with_bid(&worker, 1000).await;
    world.go_on(&worker, 50).await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("close_wanted"));
    assert!(world.market().lease(&lease).unwrap().state.is_running());
    assert_eq!(audited(&world, "alarm").await, 1);
    assert!(world.market().bid(&order).is_some());
    let shown = lessor::provider::views::streams(&worker.provider).await.unwrap();
    assert_eq!(shown[0].disagreement.as_ref().unwrap().node_hash, "00".repeat(32));
    // The node is mended.
    world.market().other_from = None;
    world.go_on(&worker, 30).await;
    assert!(!world.market().lease(&lease).unwrap().state.is_running());
    assert_eq!(audited(&world, "agrees").await, 1);
}

#[tokio::test]
async fn a_block_that_was_looked_at_is_not_looked_at_again_for_a_hint() {
    let (mut world, worker) = world_with(|_| ()).await;
    let order = world.order_with_bid(&worker, 100).await;
    world.block();
    let tip = world.market().ledger.height();
    world.deliver(&worker, "new", &[claim(tip, None, std::slice::from_ref(&order))]).await;
    worker.step().await;
    let before = world.market().reads;
    let again = BlockEvent {
        events: claim(tip - 1, None, std::slice::from_ref(&order)).events,
        ..claim(tip - 1, None, &[])
    };
    world.deliver(&worker, "old", &[again]).await;
    worker.step().await;
    let reads = world.market().reads - before;
    assert!(reads <= 3, "{reads} reads, and only the tip was needed");
}

#[tokio::test]
async fn a_deaf_stream_is_pulled_and_hides_no_order() {
    let (mut world, worker) = world_with(|_| ()).await;
    world.tell_nothing_new(&worker).await;
    for _ in 0..12 {
        world.block();
        worker.step().await;
    }
    assert_eq!(audited(&world, "deaf").await, 1);
    let order = world.ask("tenant", 500, 1);
    for _ in 0..4 {
        world.block();
        worker.step().await;
    }
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);
    let state = world.reader.stream(STREAM).await.unwrap().unwrap().state;
    assert!(state.link.cursor().unwrap().height.0 > 10, "{:?}", state.link.cursor());
    assert!(world.market().pulled < 40, "{} blocks", world.market().pulled);

    world.tell(&worker).await;
    world.wait(SignedDuration::from_secs(20));
    worker.step().await;
    assert_eq!(audited(&world, "heard").await, 1);
}

impl World {
    /// The stream begins with an empty block.
    async fn tell_nothing_new(&self, worker: &Worker) {
        let tip = self.market().ledger.height();
        self.deliver(worker, "begin", &[claim(tip, None, &[])]).await;
        worker.step().await;
    }
}
