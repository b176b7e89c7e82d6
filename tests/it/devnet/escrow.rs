//! What the real chain does wrong about money, and a provider must live with: the ledger does it too.

use lessor::{
    chain::{Node, NodeSettings},
    domain::{BidState, Height, LeaseState, Payment, PaymentState},
    provider::port::Chain,
    wire::{
        failure::Failure,
        google::Any,
        market::{MsgCloseBid, MsgCreateLease, MsgWithdrawLease},
        provider::MsgCreateProvider,
    },
};

use super::world::{
    AUDITOR, PROVIDER, PROVIDER2, TENANT, TENANT2, World, address, bid_id, create_bid,
    create_deployment, group, lease_id,
};

fn node(world: &World) -> Node {
    Node::new(NodeSettings::new(world.running.rpc_url())).unwrap()
}

/// One deployment with two groups, both leased by one provider.
async fn two_leases() -> World {
    let world = World::start().await;
    let mut message = create_deployment(TENANT, 5, group());
    let mut second = group();
    second.name = "eastcoast".to_owned();
    message.groups.push(second);
    world.done(TENANT, vec![Any::pack(&message)]).await;
    for gseq in [1, 2] {
        let mut id = bid_id(TENANT, 5, 1, PROVIDER);
        id.gseq = gseq;
        world.done(PROVIDER, vec![Any::pack(&create_bid(id.clone()))]).await;
        world.done(TENANT, vec![Any::pack(&MsgCreateLease { bid_id: id })]).await;
    }
    world.blocks(3).await;
    world
}

fn withdraw(gseq: u32) -> Any {
    let mut id = lease_id(TENANT, 5, 1, PROVIDER);
    id.gseq = gseq;
    Any::pack(&MsgWithdrawLease { id })
}

fn close(gseq: u32) -> Any {
    let mut id = bid_id(TENANT, 5, 1, PROVIDER);
    id.gseq = gseq;
    Any::pack(&MsgCloseBid { id, reason: 10_000 })
}

async fn payments(world: &World) -> Vec<Payment> {
    let id = format!("{}/5", address(TENANT)).parse().unwrap();
    node(world).payments(&id, Height(0)).await.unwrap().value
}

#[tokio::test]
async fn two_withdrawals_of_one_deployment_in_a_block_panic_and_cost_the_fee() {
    let world = two_leases().await;
    let before = world.balance(&address(PROVIDER), "uakt").await;
    let result = world.carry_out(PROVIDER, vec![withdraw(1), withdraw(2)]).await;
    assert_eq!((result.codespace.as_str(), result.code), ("undefined", 111_222));
    assert_eq!(Failure::of("undefined", result.code, &result.log), Failure::Settled);
    assert_eq!(world.balance(&address(PROVIDER), "uakt").await, before - 10_000);
    // In a later block each goes through.
    world.done(PROVIDER, vec![withdraw(1)]).await;
    world.done(PROVIDER, vec![withdraw(2)]).await;
    assert!(payments(&world).await.iter().all(|payment| payment.withdrawn.amount > 0));
}

#[tokio::test]
async fn two_closes_of_one_deployment_in_a_transaction_leave_the_second_payment_open_and_earning() {
    let world = two_leases().await;
    world.done(PROVIDER, vec![close(1), close(2)]).await;
    let found = payments(&world).await;
    assert!(found.iter().all(|payment| payment.lease_state == LeaseState::Closed));
    let states: Vec<PaymentState> = found.iter().map(|payment| payment.state).collect();
    assert_eq!(states, [PaymentState::Closed, PaymentState::Open]);
    let left: Vec<bool> = found.iter().map(Payment::is_left_open).collect();
    assert_eq!(left, [false, true]);
    // It is found among the leases that ended, and what it goes on to earn can be taken.
    let ended = node(&world)
        .provider_payments(&address(PROVIDER), LeaseState::Closed, Height(0))
        .await
        .unwrap();
    assert_eq!(ended.value, found);
    world.blocks(2).await;
    world.done(PROVIDER, vec![withdraw(2)]).await;
    let later = payments(&world).await;
    assert!(later[1].withdrawn.amount > found[1].withdrawn.amount);
}

#[tokio::test]
async fn only_the_first_other_bid_is_lost_and_the_rest_stay_open_with_their_deposits_until_closed()
{
    let world = World::start().await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    for owner in [TENANT2, AUDITOR] {
        let provider = lessor::domain::Provider {
            owner: address(owner),
            host_uri: "https://localhost:8443".to_owned(),
            attributes: Vec::new(),
            email: String::new(),
            website: String::new(),
        };
        world.done(owner, vec![Any::pack(&MsgCreateProvider::new(&provider))]).await;
    }
    let bidders = [PROVIDER, PROVIDER2, TENANT2, AUDITOR];
    for bidder in bidders {
        let id = bid_id(TENANT, 5, 1, bidder);
        world.done(bidder, vec![Any::pack(&create_bid(id))]).await;
    }
    let won = bid_id(TENANT, 5, 1, PROVIDER);
    world.done(TENANT, vec![Any::pack(&MsgCreateLease { bid_id: won })]).await;
    let count = async |state: BidState| {
        let id = format!("{}/5", address(TENANT)).parse().unwrap();
        let bids = node(&world).bids(&id, Height(0)).await.unwrap().value;
        bids.into_iter().filter(|bid| bid.state == state).collect::<Vec<_>>()
    };
    assert_eq!(count(BidState::Lost).await.len(), 1);
    let left = count(BidState::Open).await;
    assert_eq!(left.len(), 2);
    for bid in left {
        let bidder = bidders.into_iter().find(|who| address(*who) == bid.id.provider).unwrap();
        let before = world.balance(&bid.id.provider, "uakt").await;
        let message = MsgCloseBid { id: (&bid.id).into(), reason: 10_000 };
        world.done(bidder, vec![Any::pack(&message)]).await;
        let after = world.balance(&bid.id.provider, "uakt").await;
        assert_eq!(after, before + 500_000 - 10_000, "the deposit, less the fee");
    }
    assert_eq!(count(BidState::Open).await.len(), 0);
}
