//! Every refusal that a provider or a tenant may meet, with the chain's own code and text.

use jiff::SignedDuration;
use lessor::{
    devnet::genesis::{CHAIN_ID, test_key},
    domain::Height,
    wire::{
        base, cosmos, deployment,
        google::{Any, Duration},
        key::SecretKey,
        market, provider,
        tx::{Draft, Sequencing},
    },
};

use super::world::{
    self, AUDITOR, PROVIDER, PROVIDER2, TENANT, TENANT2, World, address, bid_id, create_bid,
    create_deployment, draft, group, lease_id, now, price, send, sign, sign_for,
};

/// What a refusal says.
type Said = (&'static str, u32, &'static str);

fn payment() -> Draft {
    draft(vec![Any::pack(&send(&address(PROVIDER), &address(TENANT), 1))], 0)
}

fn key() -> &'static SecretKey {
    world::key(PROVIDER)
}

fn unordered(ahead_s: i64) -> Draft {
    let timeout = now() + SignedDuration::from_secs(ahead_s);
    Draft { sequencing: Sequencing::Unordered { timeout }, ..payment() }
}

/// A draft whose body is changed after it was made, signed properly.
fn resigned(
    draft: &Draft,
    change: impl FnOnce(&mut cosmos::TxBody, &mut cosmos::AuthInfo),
) -> Vec<u8> {
    use prost::Message as _;
    let raw = cosmos::TxRaw::decode(sign(key(), 1, draft).as_slice()).unwrap();
    let mut body = cosmos::TxBody::decode(raw.body_bytes.as_slice()).unwrap();
    let mut auth_info = cosmos::AuthInfo::decode(raw.auth_info_bytes.as_slice()).unwrap();
    change(&mut body, &mut auth_info);
    let doc = cosmos::SignDoc {
        body_bytes: body.encode_to_vec(),
        auth_info_bytes: auth_info.encode_to_vec(),
        chain_id: CHAIN_ID.to_owned(),
        account_number: 1,
    };
    let signature = key().sign(&doc.encode_to_vec()).to_vec();
    let cosmos::SignDoc { body_bytes, auth_info_bytes, .. } = doc;
    cosmos::TxRaw { body_bytes, auth_info_bytes, signatures: vec![signature] }.encode_to_vec()
}

#[tokio::test]
async fn a_transaction_that_is_not_in_order_is_refused_when_it_is_broadcast() {
    let world = World::start().await;
    world.blocks(4).await;
    let mut broken = sign(key(), 1, &payment());
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let wrong = "signature verification failed; please verify account number (1) and chain-id \
                 (lessor-devnet-1): (unable to verify single signer signature): unauthorized";
    let other = world::key(PROVIDER2);
    let stranger = test_key(77).unwrap();
    let from_stranger =
        draft(vec![Any::pack(&send(stranger.public_key().address(), &address(TENANT), 1))], 0);
    let cheap = Draft { fee: vec!["2499uakt".parse().unwrap()], ..payment() };
    let dear = Draft { fee: vec!["10000000000001uakt".parse().unwrap()], ..payment() };
    let late = Sequencing::Ordered { sequence: 0, timeout: Some(Height(3)) };
    let unknown = Any { type_url: "/cosmos.gov.v1.MsgVote".to_owned(), value: Vec::new() };
    let cases: Vec<(Vec<u8>, Said)> = vec![
        (b"hello world, not a tx".to_vec(), ("sdk", 2, "tx parse error")),
        (
            sign(key(), 1, &draft(vec![unknown], 0)),
            ("sdk", 2, "unable to resolve type URL /cosmos.gov.v1.MsgVote: tx parse error"),
        ),
        (
            sign(key(), 1, &draft(Vec::new(), 0)),
            ("sdk", 18, "must contain at least one message: invalid request"),
        ),
        (broken, ("sdk", 4, wrong)),
        (sign(key(), 2, &payment()), ("sdk", 4, wrong)),
        (sign_for(key(), key().public_key(), "local", 1, &payment()), ("sdk", 4, wrong)),
        (
            sign(other, 4, &payment()),
            (
                "sdk",
                8,
                "pubKey does not match signer address \
                 akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz with signer index: 0: invalid pubkey",
            ),
        ),
        (sign(&stranger, 0, &from_stranger), ("sdk", 9, "does not exist: unknown address")),
        (
            sign(key(), 1, &Draft { memo: "x".repeat(257), ..payment() }),
            (
                "sdk",
                12,
                "maximum number of characters is 256 but received 257 characters: memo too large",
            ),
        ),
        (
            sign(key(), 1, &cheap),
            ("sdk", 13, "insufficient fees; got: 2499uakt required: 2500uakt: insufficient fee"),
        ),
        (
            sign(key(), 1, &Draft { fee: Vec::new(), ..payment() }),
            ("sdk", 13, "insufficient fees; got:  required: 2500uakt: insufficient fee"),
        ),
        (
            sign(key(), 1, &dear),
            (
                "sdk",
                5,
                "spendable balance 10000000000000uakt is smaller than 10000000000001uakt: \
                 insufficient funds: insufficient funds",
            ),
        ),
        (
            sign(key(), 1, &draft(payment().messages, 3)),
            ("sdk", 32, "account sequence mismatch, expected 0, got 3: incorrect account sequence"),
        ),
        (
            sign(key(), 1, &Draft { sequencing: late, ..payment() }),
            ("sdk", 30, "block height: 5, timeout height: 3: tx timeout height"),
        ),
        (sign(key(), 1, &Draft { gas_limit: 20_000, ..payment() }), ("sdk", 11, "out of gas")),
        (sign(key(), 1, &unordered(-1)), ("sdk", 42, "tx timeout")),
        (
            sign(key(), 1, &unordered(601)),
            ("sdk", 18, "unordered tx ttl exceeds 10m0s: invalid request"),
        ),
        (
            resigned(&unordered(60), |body, _| body.timeout_timestamp = None),
            ("sdk", 18, "unordered transaction must have timeout_timestamp set: invalid request"),
        ),
        (
            resigned(&unordered(60), |_, auth| auth.signer_infos[0].sequence = 1),
            ("sdk", 18, "sequence is not allowed for unordered transactions: invalid request"),
        ),
        (
            resigned(&payment(), |body, _| {
                body.timeout_timestamp = Some((now() - SignedDuration::from_secs(1)).into());
            }),
            (
                "sdk",
                42,
                "block time: 2026-03-01 12:00:00.000000005 +0000 UTC, timeout timestamp: \
                 2026-03-01 11:59:59 +0000 UTC: tx timeout",
            ),
        ),
    ];
    for (tx, (codespace, code, log)) in cases {
        let answer = world.broadcast(tx).await;
        assert_eq!((answer.codespace.as_str(), answer.code), (codespace, code), "{}", answer.log);
        assert!(answer.log.ends_with(log), "{:?} does not end with {log:?}", answer.log);
    }
    let far = resigned(&payment(), |body, _| {
        body.timeout_timestamp = Some((now() + SignedDuration::from_hours(720)).into());
    });
    assert_eq!(world.broadcast(far).await.code, 0, "ordered ones may wait as long as they like");
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_message_that_is_wrong_in_itself_is_refused_when_it_is_broadcast() {
    let world = World::start().await;
    let bid = || create_bid(bid_id(TENANT, 5, 1, PROVIDER));
    let mut numbered = bid();
    numbered.id.bseq = 1;
    let mut own = bid();
    own.id.owner.clone_from(&own.id.provider);
    let mut free = bid();
    free.price = price(0, "uact");
    let wrong_reason = market::MsgCloseBid { id: bid_id(TENANT, 5, 1, PROVIDER), reason: 1 };
    let host = |host_uri: &str| provider::MsgUpdateProvider {
        owner: address(PROVIDER).to_string(),
        host_uri: host_uri.to_owned(),
        attributes: Vec::new(),
        info: provider::Info::default(),
    };
    let mut short_hash = create_deployment(PROVIDER, 5, group());
    short_hash.hash.pop();
    let mut no_group = create_deployment(PROVIDER, 5, group());
    no_group.groups.clear();
    let mut huge = create_deployment(PROVIDER, 5, group());
    huge.groups[0].resources[0].count = 51;
    let mut other_denom = create_deployment(PROVIDER, 5, group());
    other_denom.deposit.amount.denom = "uakt".to_owned();
    let cases: Vec<(Any, Said)> = vec![
        (Any::pack(&numbered), ("sdk", 36, "BidID: invalid bseq: conflict")),
        (Any::pack(&own), ("sdk", 36, "BidID: self-bid: conflict")),
        (Any::pack(&free), ("market", 19, "invalid bid: zero price")),
        (
            Any::pack(&wrong_reason),
            ("market", 33, "value \"1\" range 10000..19999: invalid lease closed reason"),
        ),
        (
            Any::pack(&host("http://x.localhost:8443")),
            (
                "provider",
                1,
                "scheme in \"http://x.localhost:8443\" should be https: invalid provider: invalid \
                 host uri",
            ),
        ),
        (
            Any::pack(&host("https://x.localhost:8443/abc")),
            (
                "provider",
                1,
                "path in \"https://x.localhost:8443/abc\" should be empty: invalid provider: \
                 invalid host uri",
            ),
        ),
        (Any::pack(&short_hash), ("deployment", 10, "Invalid: deployment hash")),
        (Any::pack(&no_group), ("deployment", 7, "Invalid groups")),
        (
            Any::pack(&huge),
            ("deployment", 19, "\"westcoast\": count 51 is not from 1 to 50: GroupSpec invalid"),
        ),
        (
            Any::pack(&other_denom),
            ("deployment", 20, "Mismatched denominations (uakt != uact): Deposit invalid"),
        ),
    ];
    for (message, (codespace, code, log)) in cases {
        let answer = world.broadcast(world.signed(PROVIDER, vec![message]).await).await;
        assert_eq!((answer.codespace.as_str(), answer.code), (codespace, code), "{}", answer.log);
        assert_eq!(answer.log, log);
    }
    assert_eq!(world.running.node().production().waiting, 0);
    world.running.shutdown().await;
}

async fn fails(world: &World, signer: u32, message: Any, (codespace, code, log): Said) {
    let result = world.carry_out(signer, vec![message]).await;
    assert_eq!((result.codespace.as_str(), result.code), (codespace, code), "{}", result.log);
    let log = format!("failed to execute message; message index: 0: {log}");
    assert_eq!(result.log, log);
    assert!(result.events.iter().all(|event| !event.r#type.starts_with("akash")));
    assert!(result.events.iter().any(|event| event.r#type == "tx"), "the fee is taken");
}

#[tokio::test]
async fn a_bid_that_the_order_does_not_take_fails_in_its_block_and_costs_the_fee() {
    let world = World::start().await;
    let mut picky = group();
    picky.name = "picky".to_owned();
    picky.requirements.signed_by.any_of = vec![address(AUDITOR).to_string()];
    let mut fast = group();
    fast.name = "fast".to_owned();
    fast.resources[0].resource.storage[0].attributes = ["class", "persistent"]
        .into_iter()
        .zip(["nvme", "true"])
        .map(|(key, value)| base::Attribute { key: key.to_owned(), value: value.to_owned() })
        .collect();
    let mut kept = create_deployment(TENANT, 8, group());
    kept.reclamation =
        Some(deployment::DeploymentReclamation { min_window: Duration::from_seconds(7_200) });
    for message in [
        create_deployment(TENANT, 5, group()),
        create_deployment(TENANT, 6, picky),
        create_deployment(TENANT, 7, fast),
        kept,
        create_deployment(TENANT, 9, group()),
    ] {
        world.done(TENANT, vec![Any::pack(&message)]).await;
    }
    let gone = deployment::DeploymentId { owner: address(TENANT).to_string(), dseq: 9 };
    let close = deployment::MsgCloseDeployment { id: gone };
    world.done(TENANT, vec![Any::pack(&close)]).await;

    let bid = |dseq| create_bid(bid_id(TENANT, dseq, 1, PROVIDER));
    let mut poor = bid(5);
    poor.deposit.amount.amount = "499999".to_owned();
    let mut odd = bid(5);
    odd.deposit.amount.denom = "ufoo".to_owned();
    let mut rich = bid(5);
    rich.deposit.amount.amount = "99999999999999".to_owned();
    let mut dear = bid(5);
    dear.price = price(31, "uact");
    let mut wrong_offer = bid(5);
    wrong_offer.resources_offer = vec![market::ResourceOffer {
        resources: group().resources[0].resource.clone(),
        count: 2,
        prices: None,
    }];
    let window = |seconds| Some(Duration::from_seconds(seconds));
    let (mut short, mut long) = (bid(8), bid(8));
    short.reclamation_window = window(7_199);
    long.reclamation_window = window(2_592_001);
    let cases: Vec<(market::MsgCreateBid, Said)> = vec![
        (
            poor,
            ("undefined", 1, "deposit invalid: minimum:500000uakt received:{499999uakt [balance]}"),
        ),
        (odd, ("undefined", 1, "deposit invalid: unsupported denom ufoo")),
        (rich, ("undefined", 1, "deposit invalid: insufficient balance")),
        (bid(77), ("market", 15, "invalid order: order not found")),
        (bid(9), ("market", 24, "order closed")),
        (dear, ("market", 22, "bid price is invalid")),
        (wrong_offer, ("market", 32, "capabilities mismatch")),
        (bid(6), ("market", 5, "attribute mismatch")),
        (bid(7), ("market", 32, "capabilities mismatch")),
        (bid(8), ("market", 40, "order requires reclamation but bid does not offer it")),
        (short, ("market", 41, "reclamation window shorter than order minimum")),
        (long, ("market", 39, "reclamation window outside governance bounds")),
    ];
    for (message, said) in cases {
        fails(&world, PROVIDER, Any::pack(&message), said).await;
    }
    let stranger = create_bid(bid_id(TENANT, 5, 1, TENANT2));
    fails(&world, TENANT2, Any::pack(&stranger), ("market", 30, "unknown provider")).await;

    let mut panics = bid(5);
    panics.price = price(10, "uakt");
    let result = world.carry_out(PROVIDER, vec![Any::pack(&panics)]).await;
    assert_eq!((result.codespace.as_str(), result.code), ("undefined", 111_222));
    assert!(result.log.starts_with("recovered: invalid coin denominations; uact, uakt\nstack:"));

    world.done(PROVIDER, vec![Any::pack(&bid(5))]).await;
    let twice = ("market", 21, "invalid bid: bid exists from provider");
    fails(&world, PROVIDER, Any::pack(&bid(5)), twice).await;
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_lease_that_is_not_there_can_be_neither_taken_nor_closed_nor_drawn_from() {
    let world = World::start().await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    let (won, lost) = (bid_id(TENANT, 5, 1, PROVIDER), bid_id(TENANT, 5, 1, PROVIDER2));
    let take =
        |bid_id: &market::BidId| Any::pack(&market::MsgCreateLease { bid_id: bid_id.clone() });
    let close =
        |id: &market::BidId| Any::pack(&market::MsgCloseBid { id: id.clone(), reason: 10_002 });
    let lease = lease_id(TENANT, 5, 1, PROVIDER);
    let withdraw = Any::pack(&market::MsgWithdrawLease { id: lease.clone() });
    let reclaim = Any::pack(&market::MsgLeaseStartReclaim { id: lease, reason: 10_001 });

    fails(&world, TENANT, take(&won), ("market", 18, "invalid bid: bid not found")).await;
    fails(&world, PROVIDER, close(&won), ("market", 6, "unknown bid")).await;
    fails(&world, PROVIDER, withdraw.clone(), ("market", 7, "unknown lease")).await;
    fails(&world, PROVIDER, reclaim.clone(), ("market", 7, "unknown lease")).await;
    for (signer, id) in [(PROVIDER, &won), (PROVIDER2, &lost)] {
        world.done(signer, vec![Any::pack(&create_bid(id.clone()))]).await;
    }
    world.done(TENANT, vec![take(&won)]).await;
    fails(&world, TENANT, take(&lost), ("market", 12, "bid not open")).await;
    fails(&world, PROVIDER2, close(&lost), ("market", 8, "unknown lease for bid")).await;
    let no_window = ("market", 35, "lease does not have reclamation configured");
    fails(&world, PROVIDER, reclaim, no_window).await;
    let late = create_bid(bid_id(TENANT, 5, 1, PROVIDER2));
    fails(&world, PROVIDER2, Any::pack(&late), ("market", 23, "order active")).await;

    // Two withdrawals of one deployment in one block: the second finds nothing to settle and panics.
    let result = world.carry_out(PROVIDER, vec![withdraw.clone(), withdraw.clone()]).await;
    assert_eq!((result.codespace.as_str(), result.code), ("undefined", 111_222));
    assert!(result.log.starts_with("recovered: couldn't find payment"), "{}", result.log);

    world.done(PROVIDER, vec![close(&won)]).await;
    fails(&world, PROVIDER, close(&won), ("market", 10, "lease not active")).await;
    fails(&world, PROVIDER, withdraw, ("escrow", 7, "payment closed")).await;
    world.running.shutdown().await;
}

#[tokio::test]
async fn providers_deployments_and_groups_refuse_what_makes_no_sense() {
    let world = World::start().await;
    let provider = |owner: u32| provider::MsgCreateProvider {
        owner: address(owner).to_string(),
        host_uri: "https://localhost:8443".to_owned(),
        attributes: Vec::new(),
        info: provider::Info::default(),
    };
    let update = provider::MsgUpdateProvider {
        owner: address(AUDITOR).to_string(),
        host_uri: "https://localhost:8443".to_owned(),
        attributes: Vec::new(),
        info: provider::Info::default(),
    };
    let delete = provider::MsgDeleteProvider { owner: address(PROVIDER).to_string() };
    let exists =
        "id: akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz: invalid provider: already exists";
    let absent =
        "id: akash1lrnw4zp0etztt3yjvfpct3vmz0tztr9lgz4zwf: invalid provider: address not found";
    fails(&world, PROVIDER, Any::pack(&provider(PROVIDER)), ("provider", 4, exists)).await;
    fails(&world, AUDITOR, Any::pack(&update), ("provider", 3, absent)).await;
    let not_yet = ("provider", 10, "NOTIMPLEMENTED: internal error");
    fails(&world, PROVIDER, Any::pack(&delete), not_yet).await;

    let create = || Any::pack(&create_deployment(TENANT, 5, group()));
    world.done(TENANT, vec![create()]).await;
    fails(&world, TENANT, create(), ("deployment", 3, "Deployment exists")).await;
    let id = deployment::GroupId { owner: address(TENANT).to_string(), dseq: 5, gseq: 1 };
    let start = Any::pack(&deployment::MsgStartGroup { id: id.clone() });
    let pause = Any::pack(&deployment::MsgPauseGroup { id: id.clone() });
    let close = Any::pack(&deployment::MsgCloseGroup { id });
    fails(&world, TENANT, start.clone(), ("deployment", 16, "Group open")).await;
    assert_eq!(world.done(TENANT, vec![pause.clone()]).await, ["GroupPaused", "OrderClosed"]);
    fails(&world, TENANT, pause, ("deployment", 17, "Group paused")).await;
    assert_eq!(world.done(TENANT, vec![start]).await, ["GroupStarted", "OrderCreated"]);
    assert_eq!(world.done(TENANT, vec![close.clone()]).await, ["GroupClosed", "OrderClosed"]);
    fails(&world, TENANT, close, ("deployment", 15, "Group already closed")).await;
    let whole = deployment::DeploymentId { owner: address(TENANT).to_string(), dseq: 5 };
    let close = Any::pack(&deployment::MsgCloseDeployment { id: whole });
    assert_eq!(world.done(TENANT, vec![close.clone()]).await, ["DeploymentClosed"]);
    fails(&world, TENANT, close, ("deployment", 5, "Deployment closed")).await;
    world.running.shutdown().await;
}
