//! Tests of an order's life: every phase by what the chain shows, and any sequence of it.

use proptest::prelude::*;

use super::*;

const DEADLINES: Deadlines = Deadlines { bid_timeout_s: Some(300) };
const OPEN: OrderStates = OrderStates {
    order: OrderState::Open,
    group: GroupState::Open,
    deployment: DeploymentState::Active,
};

fn at(height: u64) -> BlockTime {
    let time = Timestamp::from_second(1_700_000_000 + i64::try_from(height).unwrap() * 6).unwrap();
    BlockTime { height: Height(height), time }
}

fn view(height: u64) -> OrderView {
    OrderView {
        at: at(height),
        order: Some(OPEN),
        own_bid: None,
        lease: LeaseHolder::Unknown,
        create: Transaction::None,
        close: Transaction::None,
        reserved: false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is written where a view has an option")]
fn bid(state: BidState, created_at: u64) -> Option<OwnBid> {
    Some(OwnBid { state, created_at: Height(created_at) })
}

#[expect(clippy::unnecessary_wraps, reason = "it is written where a view has an option")]
fn order_is(order: OrderState) -> Option<OrderStates> {
    Some(OrderStates { order, ..OPEN })
}

fn step(phase: OrderPhase, view: &OrderView) -> (OrderPhase, Vec<Effect>) {
    advance(phase, view, &DEADLINES)
}

fn open_since(height: u64) -> OrderPhase {
    let until = Some(at(height + 50).time);
    OrderPhase::Open { since: Height(height), until }
}

const CLOSE: Effect = Effect::CloseBid { reason: CloseReason::Unspecified };

fn wanted(cause: CloseCause) -> OrderPhase {
    OrderPhase::CloseWanted { cause }
}

#[test]
fn an_order_is_decided_bid_on_and_open_until_its_deadline() {
    let mut now = view(10);
    assert_eq!(step(OrderPhase::Seen, &now), (OrderPhase::Seen, vec![Effect::Decide]));
    now.create = Transaction::InFlight;
    now.reserved = true;
    assert_eq!(step(OrderPhase::Bidding, &now), (OrderPhase::Bidding, vec![]));
    now = OrderView {
        at: at(11),
        create: Transaction::Included { height: Height(11) },
        own_bid: bid(BidState::Open, 11),
        ..now
    };
    let until = at(61).time;
    let open = OrderPhase::Open { since: Height(11), until: Some(until) };
    assert_eq!(step(OrderPhase::Bidding, &now), (open, vec![Effect::SetDeadline { at: until }]));
    now.at = at(60);
    assert_eq!(step(open, &now), (open, vec![]));
    now.at = at(61);
    let closing = wanted(CloseCause::BidTimeout);
    assert_eq!(step(open, &now), (closing, vec![Effect::ClearDeadline, CLOSE]));
    now.close = Transaction::InFlight;
    assert_eq!(step(closing, &now), (closing, vec![]), "the close is on its way");
    now.close = Transaction::Included { height: Height(63) };
    assert_eq!(step(closing, &now), (closing, vec![Effect::ReadAgain { at_least: Height(63) }]));
    now = OrderView { at: at(63), own_bid: bid(BidState::Closed, 11), ..now };
    assert_eq!(step(closing, &now), (OrderPhase::Done, vec![Effect::ReleaseReservation]));
}

#[test]
fn nothing_is_released_while_a_create_bid_can_still_land() {
    let mut now = OrderView {
        create: Transaction::InFlight,
        reserved: true,
        order: order_is(OrderState::Closed),
        ..view(10)
    };
    let closing = wanted(CloseCause::OrderEnded);
    assert_eq!(step(OrderPhase::Bidding, &now), (closing, vec![]));
    assert_eq!(step(closing, &now), (closing, vec![]));
    now.create = Transaction::Expired;
    assert_eq!(step(closing, &now), (OrderPhase::Done, vec![Effect::ReleaseReservation]));
    now.create = Transaction::Included { height: Height(12) };
    assert_eq!(
        step(closing, &now),
        (closing, vec![Effect::ReadAgain { at_least: Height(12) }]),
        "it landed after the state was read"
    );
}

#[test]
fn a_bid_that_lands_after_its_order_was_lost_is_closed_and_then_released() {
    let mut now = OrderView {
        create: Transaction::InFlight,
        reserved: true,
        lease: LeaseHolder::Other,
        ..view(10)
    };
    let (phase, effects) = step(OrderPhase::Bidding, &now);
    assert_eq!((phase, effects), (wanted(CloseCause::LeaseLost), vec![]));
    now.create = Transaction::Included { height: Height(10) };
    now.own_bid = bid(BidState::Open, 10);
    assert_eq!(step(phase, &now), (phase, vec![CLOSE]));
    now.own_bid = bid(BidState::Closed, 10);
    assert_eq!(step(phase, &now), (OrderPhase::Lost, vec![Effect::ReleaseReservation]));
}

#[test]
fn a_lost_bid_that_the_chain_leaves_open_is_closed_and_one_marked_lost_is_not() {
    let lost = OrderView { order: order_is(OrderState::Active), reserved: true, ..view(20) };
    let left_open = OrderView { own_bid: bid(BidState::Open, 11), ..lost };
    assert_eq!(
        step(open_since(11), &left_open),
        (wanted(CloseCause::LeaseLost), vec![Effect::ClearDeadline, CLOSE])
    );
    let marked = OrderView { own_bid: bid(BidState::Lost, 11), ..lost };
    assert_eq!(
        step(open_since(11), &marked),
        (OrderPhase::Lost, vec![Effect::ClearDeadline, Effect::ReleaseReservation])
    );
    // Also found long after everything was thought to be over.
    let late = OrderView { reserved: false, ..left_open };
    for phase in [OrderPhase::Lost, OrderPhase::Done, OrderPhase::Declined, OrderPhase::Seen] {
        assert_eq!(step(phase, &late), (wanted(CloseCause::LeaseLost), vec![CLOSE]), "{phase:?}");
    }
}

#[test]
fn a_lease_of_ours_is_evidence_of_the_bid_in_every_phase() {
    let now = OrderView { order: order_is(OrderState::Active), lease: LeaseHolder::Us, ..view(20) };
    for phase in [
        OrderPhase::Seen,
        OrderPhase::Declined,
        OrderPhase::Bidding,
        OrderPhase::Lost,
        OrderPhase::Done,
    ] {
        assert_eq!(step(phase, &now), (OrderPhase::Won, vec![Effect::LeaseWon]), "{phase:?}");
    }
    assert_eq!(
        step(open_since(11), &now),
        (OrderPhase::Won, vec![Effect::ClearDeadline, Effect::LeaseWon])
    );
    assert_eq!(
        step(wanted(CloseCause::BidTimeout), &now),
        (OrderPhase::Won, vec![Effect::CancelClose, Effect::LeaseWon]),
        "the close would now end the lease"
    );
    // The lease event may come before the bid's own inclusion is known.
    let early = OrderView { create: Transaction::InFlight, reserved: true, ..now };
    assert_eq!(step(OrderPhase::Bidding, &early), (OrderPhase::Won, vec![Effect::LeaseWon]));
}

#[test]
fn what_is_won_stays_won_whatever_a_lagging_node_says() {
    for order in [None, Some(OPEN), order_is(OrderState::Closed)] {
        for lease in [LeaseHolder::Unknown, LeaseHolder::Us, LeaseHolder::Other] {
            let now = OrderView { order, lease, reserved: true, ..view(30) };
            assert_eq!(step(OrderPhase::Won, &now), (OrderPhase::Won, vec![]));
        }
    }
}

#[test]
fn an_active_bid_without_a_lease_is_read_again_and_nothing_is_given_up() {
    let now = OrderView {
        order: order_is(OrderState::Active),
        own_bid: bid(BidState::Active, 11),
        reserved: true,
        ..view(20)
    };
    for phase in [OrderPhase::Bidding, open_since(11), wanted(CloseCause::BidTimeout)] {
        assert_eq!(step(phase, &now), (phase, vec![Effect::ReadAgain { at_least: Height(20) }]));
    }
}

#[test]
fn an_open_bid_that_is_found_is_kept_and_reserved_again() {
    let found = OrderView { own_bid: bid(BidState::Open, 20), ..view(30) };
    let until = at(80).time;
    assert_eq!(
        step(OrderPhase::Seen, &found),
        (
            OrderPhase::Open { since: Height(30), until: Some(until) },
            vec![Effect::SetDeadline { at: until }, Effect::Reserve]
        ),
        "its time-out begins when it is seen"
    );
    let forever = Deadlines { bid_timeout_s: None };
    let (phase, effects) = advance(OrderPhase::Seen, &found, &forever);
    assert_eq!(
        (phase, effects),
        (OrderPhase::Open { since: Height(30), until: None }, vec![Effect::Reserve])
    );
}

#[test]
fn an_open_bid_that_is_found_many_blocks_later_is_not_closed_early() {
    let found = OrderView { own_bid: bid(BidState::Open, 20), reserved: true, ..view(5_000) };
    let until = at(5_050).time;
    assert_eq!(
        step(OrderPhase::Bidding, &found),
        (
            OrderPhase::Open { since: Height(5_000), until: Some(until) },
            vec![Effect::SetDeadline { at: until }]
        ),
        "five thousand blocks may have taken a minute"
    );
}

#[test]
fn a_bid_that_was_lost_or_closed_elsewhere_ends_the_order_without_a_transaction() {
    for (state, end) in [(BidState::Lost, OrderPhase::Lost), (BidState::Closed, OrderPhase::Done)] {
        let now = OrderView { own_bid: bid(state, 11), reserved: true, ..view(20) };
        assert_eq!(
            step(open_since(11), &now),
            (end, vec![Effect::ClearDeadline, Effect::ReleaseReservation])
        );
        let fresh = OrderView { reserved: false, ..now };
        assert_eq!(step(OrderPhase::Seen, &fresh), (end, vec![]));
    }
}

#[test]
fn an_order_of_a_closed_group_or_deployment_is_over_even_while_it_is_open() {
    for states in [
        OrderStates { group: GroupState::Paused, ..OPEN },
        OrderStates { group: GroupState::Closed, ..OPEN },
        OrderStates { group: GroupState::InsufficientFunds, ..OPEN },
        OrderStates { deployment: DeploymentState::Closed, ..OPEN },
        OrderStates { order: OrderState::Closed, ..OPEN },
    ] {
        let now = OrderView { order: Some(states), ..view(10) };
        assert_eq!(step(OrderPhase::Seen, &now), (OrderPhase::Done, vec![]), "{states:?}");
        let with_bid = OrderView { own_bid: bid(BidState::Open, 8), reserved: true, ..now };
        assert_eq!(
            step(open_since(8), &with_bid),
            (wanted(CloseCause::OrderEnded), vec![Effect::ClearDeadline, CLOSE])
        );
    }
    let invented = OrderView { order: None, ..view(10) };
    assert_eq!(step(OrderPhase::Seen, &invented), (OrderPhase::Done, vec![]));
}

#[test]
fn an_expired_create_bid_is_decided_again_and_a_refused_one_is_not() {
    let held = OrderView { reserved: true, ..view(30) };
    let expired = OrderView { create: Transaction::Expired, ..held };
    assert_eq!(
        step(OrderPhase::Bidding, &expired),
        (OrderPhase::Seen, vec![Effect::ReleaseReservation, Effect::Decide])
    );
    let refused = OrderView { create: Transaction::Failed, ..held };
    assert_eq!(
        step(OrderPhase::Bidding, &refused),
        (OrderPhase::Declined, vec![Effect::ReleaseReservation])
    );
    assert_eq!(step(OrderPhase::Declined, &view(31)), (OrderPhase::Declined, vec![]));
    assert_eq!(reconsider(OrderPhase::Declined), OrderPhase::Seen);
    assert_eq!(reconsider(OrderPhase::Bidding), OrderPhase::Bidding);
}

#[test]
fn a_create_bid_that_was_refused_because_the_order_was_taken_is_lost() {
    let now = OrderView {
        order: order_is(OrderState::Active),
        create: Transaction::Failed,
        reserved: true,
        ..view(30)
    };
    assert_eq!(
        step(OrderPhase::Bidding, &now),
        (OrderPhase::Lost, vec![Effect::ReleaseReservation])
    );
}

#[test]
fn a_failed_close_is_sent_again_only_while_the_bid_is_still_open() {
    let open = OrderView { own_bid: bid(BidState::Open, 11), reserved: true, ..view(80) };
    let closing = wanted(CloseCause::BidTimeout);
    for close in [Transaction::Failed, Transaction::Expired] {
        assert_eq!(step(closing, &OrderView { close, ..open }), (closing, vec![CLOSE]));
    }
}

#[test]
fn a_missing_bid_says_nothing_before_the_height_at_which_it_was_seen() {
    let now = OrderView { reserved: true, ..view(10) };
    assert_eq!(
        step(open_since(11), &now),
        (open_since(11), vec![Effect::ReadAgain { at_least: Height(11) }])
    );
    let later = OrderView { at: at(12), ..now };
    assert_eq!(
        step(open_since(11), &later),
        (OrderPhase::Done, vec![Effect::ClearDeadline, Effect::ReleaseReservation])
    );
}

#[test]
fn a_bid_can_be_withdrawn_while_it_is_on_its_way_or_open() {
    let cause = CloseCause::Operator;
    assert_eq!(withdraw(OrderPhase::Bidding, cause), (wanted(cause), vec![]));
    assert_eq!(withdraw(open_since(5), cause), (wanted(cause), vec![Effect::ClearDeadline]));
    for phase in [OrderPhase::Seen, OrderPhase::Won, OrderPhase::Done] {
        assert_eq!(withdraw(phase, cause), (phase, vec![]));
    }
    let landed = OrderView { own_bid: bid(BidState::Open, 11), reserved: true, ..view(12) };
    assert_eq!(step(wanted(cause), &landed), (wanted(cause), vec![CLOSE]));
}

#[test]
fn a_phase_survives_its_json() {
    for phase in [OrderPhase::Seen, open_since(3), wanted(CloseCause::NoCapacity), OrderPhase::Won]
    {
        let text = serde_json::to_string(&phase).unwrap();
        assert_eq!(serde_json::from_str::<OrderPhase>(&text).unwrap(), phase, "{text}");
    }
    assert_eq!(
        serde_json::to_string(&wanted(CloseCause::LeaseLost)).unwrap(),
        r#"{"phase":"close_wanted","cause":"lease_lost"}"#
    );
}

/// What can happen around an order.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Step { bids: bool, fits: bool },
    Blocks(u8),
    CreateLands,
    CreateExpires,
    CloseLands,
    CloseExpires,
    TenantTakesOurs,
    TenantTakesOther { marks_us_lost: bool },
    OrderCloses,
    DeploymentCloses,
    OperatorWithdraws,
    Reconsidered,
    RowsAreLost,
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (any::<bool>(), any::<bool>()).prop_map(|(bids, fits)| Happening::Step { bids, fits }),
        3 => (1u8..40).prop_map(Happening::Blocks),
        4 => Just(Happening::CreateLands),
        2 => Just(Happening::CreateExpires),
        3 => Just(Happening::CloseLands),
        1 => Just(Happening::CloseExpires),
        1 => Just(Happening::TenantTakesOurs),
        1 => any::<bool>().prop_map(|marks_us_lost| Happening::TenantTakesOther { marks_us_lost }),
        1 => Just(Happening::OrderCloses),
        1 => Just(Happening::DeploymentCloses),
        1 => Just(Happening::OperatorWithdraws),
        1 => Just(Happening::Reconsidered),
        1 => Just(Happening::RowsAreLost),
    ]
}

/// One order on a chain, and the provider's rows about it.
struct World {
    phase: OrderPhase,
    chain: OrderView,
    /// Whether somebody, us or another, has ever won it; and whether we have a lease life going.
    lease_lives: bool,
}

impl World {
    fn new() -> Self {
        Self { phase: OrderPhase::Seen, chain: view(10), lease_lives: false }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Step { bids, fits } => self.step(bids, fits),
            Happening::Blocks(count) => {
                self.chain.at = at(self.chain.at.height.0 + u64::from(count));
            }
            Happening::CreateLands => self.create_lands(),
            Happening::CreateExpires if self.chain.create == Transaction::InFlight => {
                self.chain.create = Transaction::Expired;
            }
            Happening::CloseLands => self.close_lands(),
            Happening::CloseExpires if self.chain.close == Transaction::InFlight => {
                self.chain.close = Transaction::Expired;
            }
            Happening::TenantTakesOurs if self.takes_bids() && self.bid_is(BidState::Open) => {
                self.set_bid(BidState::Active);
                self.set_order(OrderState::Active);
                self.chain.lease = LeaseHolder::Us;
            }
            Happening::TenantTakesOther { marks_us_lost } if self.takes_bids() => {
                self.set_order(OrderState::Active);
                self.chain.lease = LeaseHolder::Other;
                if marks_us_lost && self.bid_is(BidState::Open) {
                    self.set_bid(BidState::Lost);
                }
            }
            Happening::OrderCloses => self.close_order(),
            Happening::DeploymentCloses => {
                // Old chains leave the order and its bids open here.
                self.chain.order =
                    Some(OrderStates { deployment: DeploymentState::Closed, ..OPEN })
                        .filter(|_| self.takes_bids())
                        .or(self.chain.order);
            }
            Happening::OperatorWithdraws => {
                let (phase, effects) = withdraw(self.phase, CloseCause::Operator);
                self.carry_out(phase, &effects, false, false);
            }
            Happening::Reconsidered => self.phase = reconsider(self.phase),
            // A store is restored from before this order; what was in flight has landed or expired by then.
            Happening::RowsAreLost
                if self.chain.create != Transaction::InFlight
                    && self.chain.close != Transaction::InFlight =>
            {
                self.phase = OrderPhase::Seen;
                self.lease_lives = false;
                self.chain = OrderView {
                    create: Transaction::None,
                    close: Transaction::None,
                    reserved: false,
                    ..self.chain
                };
            }
            _ => {}
        }
    }

    fn takes_bids(&self) -> bool {
        self.chain.order == Some(OPEN)
    }

    fn bid_is(&self, state: BidState) -> bool {
        self.chain.own_bid.is_some_and(|bid| bid.state == state)
    }

    fn set_bid(&mut self, state: BidState) {
        let created_at = self.chain.own_bid.map_or(self.chain.at.height, |bid| bid.created_at);
        self.chain.own_bid = Some(OwnBid { state, created_at });
    }

    fn set_order(&mut self, order: OrderState) {
        self.chain.order = self.chain.order.map(|states| OrderStates { order, ..states });
    }

    fn close_order(&mut self) {
        self.set_order(OrderState::Closed);
        if self.bid_is(BidState::Open) || self.bid_is(BidState::Active) {
            self.set_bid(BidState::Closed);
        }
    }

    /// The chain takes a bid on an open order from whoever has none yet.
    fn create_lands(&mut self) {
        if self.chain.create != Transaction::InFlight {
            return;
        }
        self.chain.at = at(self.chain.at.height.0 + 1);
        let open = self.chain.order.is_some_and(|states| states.order == OrderState::Open);
        if open && self.chain.own_bid.is_none() {
            self.set_bid(BidState::Open);
            self.chain.create = Transaction::Included { height: self.chain.at.height };
        } else {
            self.chain.create = Transaction::Failed;
        }
    }

    /// The chain closes an open bid, and with an active one its lease.
    fn close_lands(&mut self) {
        if self.chain.close != Transaction::InFlight {
            return;
        }
        self.chain.at = at(self.chain.at.height.0 + 1);
        if self.bid_is(BidState::Open) || self.bid_is(BidState::Active) {
            if self.bid_is(BidState::Active) {
                self.set_order(OrderState::Closed);
            }
            self.set_bid(BidState::Closed);
            self.chain.close = Transaction::Included { height: self.chain.at.height };
        } else {
            self.chain.close = Transaction::Failed;
        }
    }

    fn step(&mut self, bids: bool, fits: bool) {
        let before = self.chain;
        let (phase, effects) = advance(self.phase, &before, &DEADLINES);
        let (again, repeated) = advance(phase, &before, &DEADLINES);
        assert_eq!(again, phase, "the same view leads to the same phase");
        assert!(
            !repeated.iter().any(|effect| matches!(
                effect,
                Effect::LeaseWon | Effect::SetDeadline { .. } | Effect::ClearDeadline
            )),
            "what happens on the way into a phase is not repeated in it"
        );
        self.carry_out(phase, &effects, bids, fits);
    }

    fn carry_out(&mut self, phase: OrderPhase, effects: &[Effect], bids: bool, fits: bool) {
        self.phase = phase;
        for effect in effects {
            match effect {
                Effect::Decide if bids => {
                    assert_ne!(self.chain.create, Transaction::InFlight, "one at a time");
                    assert!(self.chain.own_bid.is_none(), "one bid per order, ever");
                    self.chain.create = Transaction::InFlight;
                    self.chain.reserved = true;
                    self.phase = OrderPhase::Bidding;
                }
                Effect::Decide => self.phase = OrderPhase::Declined,
                Effect::CreateBid => unreachable!("only a decision asks for it"),
                Effect::CloseBid { reason } => {
                    assert_ne!(self.chain.close, Transaction::InFlight, "one at a time");
                    assert!(self.bid_is(BidState::Open), "only an open bid is closed");
                    assert!((10_000..20_000).contains(&reason.number()));
                    self.chain.close = Transaction::InFlight;
                }
                Effect::CancelClose => {
                    if self.chain.close == Transaction::InFlight {
                        self.chain.close = Transaction::Failed;
                    }
                }
                Effect::Reserve if fits => self.chain.reserved = true,
                Effect::Reserve => {
                    let (phase, effects) = withdraw(self.phase, CloseCause::NoCapacity);
                    self.carry_out(phase, &effects, bids, fits);
                }
                Effect::ReleaseReservation => {
                    assert_ne!(self.chain.create, Transaction::InFlight, "it can still land");
                    assert!(!self.bid_is(BidState::Open) && !self.bid_is(BidState::Active));
                    assert!(!self.lease_lives, "the lease owns it");
                    self.chain.reserved = false;
                }
                Effect::LeaseWon => {
                    assert_eq!(self.chain.lease, LeaseHolder::Us);
                    assert!(!self.lease_lives);
                    self.lease_lives = true;
                    self.chain.reserved = true;
                }
                Effect::SetDeadline { at } => assert!(*at > self.chain.at.time),
                Effect::ClearDeadline | Effect::ReadAgain { .. } => {}
            }
        }
    }

    /// Lets everything that is on its way arrive, eight times with `blocks` between.
    fn settle(&mut self, blocks: u64) {
        for _ in 0..8 {
            self.create_lands();
            self.close_lands();
            self.chain.at = at(self.chain.at.height.0 + blocks);
            self.step(false, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_nothing_is_held_without_a_bid_or_a_lease_in_the_end(
        story in proptest::collection::vec(happenings(), 0..60),
    ) {
        let mut world = World::new();
        for happening in story {
            world.happen(happening);
        }
        world.settle(1);
        let waits = world.takes_bids() && matches!(world.phase, OrderPhase::Open { .. });
        prop_assert!(!world.bid_is(BidState::Open) || waits, "a bid that nobody can take is closed");
        world.settle(10);
        let holds = world.bid_is(BidState::Open) || world.lease_lives;
        prop_assert_eq!(world.chain.reserved, holds);
        prop_assert_eq!(world.lease_lives, world.chain.lease == LeaseHolder::Us);
        prop_assert_eq!(world.lease_lives, world.phase == OrderPhase::Won);
        // Whatever is open has had its time by now.
        prop_assert!(!world.bid_is(BidState::Open));
        prop_assert!(world.phase.is_over() || world.phase == OrderPhase::Declined, "{:?}", world.phase);
    }
}
