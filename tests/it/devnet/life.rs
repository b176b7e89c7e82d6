//! Whole lives over real HTTP.

use lessor::wire::{cosmos, deployment, escrow, google::Any, market};

use super::world::{
    PROVIDER, PROVIDER2, TENANT, World, address, bid_id, create_bid, create_deployment, group,
    lease_id,
};

#[tokio::test]
async fn a_deployment_lives_from_its_order_to_its_close() {
    let world = World::start().await;
    let tenant = address(TENANT);
    let provider = address(PROVIDER);
    let money = world.balance(&tenant, "uact").await;

    let created = Any::pack(&create_deployment(TENANT, 5, group()));
    assert_eq!(world.done(TENANT, vec![created]).await, ["DeploymentCreated", "OrderCreated"]);
    let open = market::QueryOrdersRequest {
        filters: market::OrderFilters { state: "open".to_owned(), ..Default::default() },
        pagination: None,
    };
    let orders = world.query(&open).await.unwrap().orders;
    assert_eq!(orders.len(), 1);
    assert_eq!((orders[0].id.dseq, orders[0].spec.name.as_str()), (5, "westcoast"));

    let id = bid_id(TENANT, 5, 1, PROVIDER);
    let bid = Any::pack(&create_bid(id.clone()));
    assert_eq!(world.done(PROVIDER, vec![bid]).await, ["BidCreated"]);
    let other = Any::pack(&create_bid(bid_id(TENANT, 5, 1, PROVIDER2)));
    assert_eq!(world.done(PROVIDER2, vec![other]).await, ["BidCreated"]);

    let lease = Any::pack(&market::MsgCreateLease { bid_id: id.clone() });
    assert_eq!(world.done(TENANT, vec![lease]).await, ["LeaseCreated"]);
    let lost = market::QueryBidRequest { id: bid_id(TENANT, 5, 1, PROVIDER2) };
    let lost = world.query(&lost).await.unwrap();
    assert_eq!((lost.bid.state, lost.escrow_account.state.state), (3, 2), "lost, and refunded");
    assert!(world.query(&open).await.unwrap().orders.is_empty());

    let hash = vec![9; 32];
    let wire_id = deployment::DeploymentId { owner: tenant.to_string(), dseq: 5 };
    let update = deployment::MsgUpdateDeployment { id: wire_id.clone(), hash: hash.clone() };
    assert_eq!(world.done(TENANT, vec![Any::pack(&update)]).await, ["DeploymentUpdated"]);

    world.blocks(9).await;
    let earned = world.balance(&provider, "uact").await;
    let withdraw = market::MsgWithdrawLease { id: lease_id(TENANT, 5, 1, PROVIDER) };
    assert!(world.done(PROVIDER, vec![Any::pack(&withdraw)]).await.is_empty());
    let earned = world.balance(&provider, "uact").await - earned;
    assert_eq!(earned, 110, "11 blocks of 10 uact");

    let found = deployment::QueryDeploymentRequest { id: wire_id.clone() };
    let found = world.query(&found).await.unwrap();
    assert_eq!((found.deployment.state, found.deployment.hash), (1, hash));
    assert_eq!(found.groups.len(), 1);
    assert_eq!(found.escrow_account.state.funds[0].amount, "4999890000000000000000000");

    let close = Any::pack(&deployment::MsgCloseDeployment { id: wire_id });
    assert_eq!(
        world.done(TENANT, vec![close]).await,
        ["DeploymentClosed", "GroupClosed", "OrderClosed", "BidClosed", "LeaseClosed"]
    );
    let closed = market::QueryLeaseRequest { id: lease_id(TENANT, 5, 1, PROVIDER) };
    let closed = world.query(&closed).await.unwrap();
    assert_eq!((closed.lease.state, closed.lease.reason), (3, 1));
    assert_eq!(world.balance(&tenant, "uact").await, money - 120, "12 blocks were paid");
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_tenant_who_closes_a_lease_gets_a_new_order() {
    let world = World::start().await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    let id = bid_id(TENANT, 5, 1, PROVIDER);
    world.done(PROVIDER, vec![Any::pack(&create_bid(id.clone()))]).await;
    world.done(TENANT, vec![Any::pack(&market::MsgCreateLease { bid_id: id })]).await;
    let close = market::MsgCloseLease { id: lease_id(TENANT, 5, 1, PROVIDER), reason: 1 };
    assert_eq!(
        world.done(TENANT, vec![Any::pack(&close)]).await,
        ["LeaseClosed", "BidClosed", "OrderClosed", "OrderCreated"]
    );
    let order = market::OrderId { owner: address(TENANT).to_string(), dseq: 5, gseq: 1, oseq: 2 };
    let order = world.query(&market::QueryOrderRequest { id: order }).await.unwrap().order;
    assert_eq!(order.state, 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn an_empty_escrow_closes_everything_when_somebody_settles_it() {
    let world = World::start().await;
    let mut poor = create_deployment(TENANT, 5, group());
    poor.deposit.amount.amount = "500000".to_owned();
    poor.groups[0].resources[0].price = super::world::price(1_000_000, "uact");
    world.done(TENANT, vec![Any::pack(&poor)]).await;
    let id = bid_id(TENANT, 5, 1, PROVIDER);
    let mut bid = create_bid(id.clone());
    bid.price = super::world::price(200_000, "uact");
    world.done(PROVIDER, vec![Any::pack(&bid)]).await;
    world.done(TENANT, vec![Any::pack(&market::MsgCreateLease { bid_id: id })]).await;
    world.blocks(5).await;
    let withdraw = Any::pack(&market::MsgWithdrawLease { id: lease_id(TENANT, 5, 1, PROVIDER) });
    assert_eq!(
        world.done(PROVIDER, vec![withdraw]).await,
        ["DeploymentClosed", "GroupClosed", "OrderClosed", "BidClosed", "LeaseClosed"]
    );
    let lease = market::QueryLeaseRequest { id: lease_id(TENANT, 5, 1, PROVIDER) };
    let lease = world.query(&lease).await.unwrap();
    assert_eq!((lease.lease.state, lease.lease.reason), (2, 20_000));
    assert_eq!(lease.escrow_payment.state.unsettled.amount, "700000000000000000000000");
    // A later deposit pays the debt and goes back for the rest.
    let tenant = address(TENANT);
    let before = world.balance(&tenant, "uact").await;
    let pay = escrow::MsgAccountDeposit {
        signer: tenant.to_string(),
        id: escrow::AccountId { scope: 1, xid: format!("{tenant}/5") },
        deposit: create_deployment(TENANT, 5, group()).deposit,
    };
    world.done(TENANT, vec![Any::pack(&pay)]).await;
    assert_eq!(world.balance(&tenant, "uact").await, before - 700_000);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_gas_limit_as_simulated_with_a_fee_is_enough_for_an_ordered_bid() {
    let world = World::start().await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    let key = super::world::key(PROVIDER);
    let bid = Any::pack(&create_bid(bid_id(TENANT, 5, 1, PROVIDER)));
    let account = world.account(key.public_key().address()).await;
    let mut draft = super::world::draft(vec![bid], account.sequence);
    let simulated = draft.unsigned(key.public_key()).for_simulation();
    let simulated = world.query(&cosmos::SimulateRequest { tx_bytes: simulated }).await.unwrap();
    draft.gas_limit = simulated.gas_info.unwrap().gas_used;
    assert!((100_000..150_000).contains(&draft.gas_limit), "{}", draft.gas_limit);
    assert!(simulated.result.unwrap().events.iter().any(|e| e.r#type.ends_with("EventBidCreated")));
    let checked = world.broadcast(super::world::sign(key, account.account_number, &draft)).await;
    assert_eq!(checked.code, 0, "{}", checked.log);
    world.blocks(1).await;
    let found = market::QueryBidRequest { id: bid_id(TENANT, 5, 1, PROVIDER) };
    assert_eq!(world.query(&found).await.unwrap().bid.state, 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_simulation_that_fails_says_why_in_the_one_code_that_it_has() {
    let world = World::start().await;
    let key = super::world::key(PROVIDER);
    let simulate = |messages: Vec<Any>, sequence: u64| {
        let draft = super::world::draft(messages, sequence);
        cosmos::SimulateRequest { tx_bytes: draft.unsigned(key.public_key()).for_simulation() }
    };
    let bid = || Any::pack(&create_bid(bid_id(TENANT, 5, 1, PROVIDER)));
    for (request, why) in [
        (
            simulate(vec![bid()], 7),
            "account sequence mismatch, expected 0, got 7: incorrect account sequence [",
        ),
        (
            simulate(vec![bid()], 0),
            "failed to execute message; message index: 0: invalid order: order not found [",
        ),
    ] {
        let (code, log) = world.query(&request).await.unwrap_err();
        assert_eq!(code, 6);
        let rest = log.strip_prefix("rpc error: code = Unknown desc = ").unwrap();
        assert!(rest.starts_with(why), "{log}");
        assert!(rest.contains("] with gas used: '") && rest.ends_with("': unknown request"));
    }
    // What waits in the mempool counts: the next sequence can be simulated before the block is made.
    let waiting = world.signed(
        PROVIDER,
        vec![Any::pack(&super::world::send(&address(PROVIDER), &address(TENANT), 1))],
    );
    assert_eq!(world.broadcast(waiting.await).await.code, 0);
    let pay = Any::pack(&super::world::send(&address(PROVIDER), &address(TENANT), 2));
    assert!(world.query(&simulate(vec![pay.clone()], 1)).await.is_ok());
    assert!(world.query(&simulate(vec![pay], 0)).await.is_err());
    world.running.shutdown().await;
}
