//! Recorded answers as the nouns of `domain`, and back.

use lessor::{
    domain::{
        AuditedAttributes, Bid, BidState, CloseReason, Deployment, DeploymentState, GroupSpec,
        Height, Lease, LeaseState, MarketParams, Order, Provider,
    },
    wire::{
        audit, cosmos, deployment,
        google::Any,
        key::PublicKey,
        market::{self, MsgCloseBid, MsgCreateBid, MsgWithdrawLease},
        provider,
    },
};
use prost::Message;

use super::bytes_at;
use crate::corpus;

/// The answers of all recorded queries that have this path.
fn answers<M: Message + Default>(path: &str) -> Vec<(String, M)> {
    let Some(folder) = corpus::find("vectors/chain/query") else { return Vec::new() };
    let decode = |bytes: Vec<u8>| M::decode(bytes.as_slice()).unwrap();
    corpus::json_files(&folder)
        .into_iter()
        .filter(|(_, json)| json["path"] == path)
        .filter_map(|(name, json)| Some((name, decode(bytes_at(&json, "/abci_response_b64")?))))
        .collect()
}

fn named<M>(list: Vec<(String, M)>, name: &str) -> Option<M> {
    list.into_iter().find(|(found, _)| found == name).map(|(_, answer)| answer)
}

#[test]
fn every_recorded_order_reads_and_its_group_goes_back_unchanged() {
    let lists = answers::<market::QueryOrdersResponse>("/akash.market.v1beta5.Query/Orders");
    let mut count = 0;
    for (name, list) in lists {
        for order in list.orders {
            let written = order.spec.clone();
            let read = Order::try_from(order).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(deployment::GroupSpec::from(&read.spec), written, "{name}");
            let again: GroupSpec = written.try_into().unwrap();
            assert_eq!(again, read.spec);
            count += 1;
        }
    }
    println!("{count} orders");
    assert!(count > 50 || corpus::find("vectors/chain/query").is_none());
}

#[test]
fn every_recorded_bid_and_lease_reads() {
    let bids = answers::<market::QueryBidsResponse>("/akash.market.v1beta5.Query/Bids");
    let leases = answers::<market::QueryLeasesResponse>("/akash.market.v1beta5.Query/Leases");
    let (mut bid_count, mut lease_count) = (0, 0);
    for bid in bids.into_iter().flat_map(|(_, list)| list.bids) {
        Bid::try_from(bid.bid).unwrap();
        bid_count += 1;
    }
    for lease in leases.into_iter().flat_map(|(_, list)| list.leases) {
        Lease::try_from(lease.lease).unwrap();
        lease_count += 1;
    }
    println!("{bid_count} bids, {lease_count} leases");
}

#[test]
fn a_lease_that_was_reclaimed_keeps_its_window_and_reason() {
    let list = answers::<market::QueryLeaseResponse>("/akash.market.v1beta5.Query/Lease");
    let Some(answer) = named(list, "lease_reclaimed") else { return };
    let lease = Lease::try_from(answer.lease).unwrap();
    assert_eq!(lease.state, LeaseState::Closed);
    assert_eq!(lease.reason, CloseReason::Decommission);
    assert_eq!(lease.reclamation_window_s, Some(30));
    assert_eq!(lease.closed_on, Some(Height(499)));
    assert_eq!(lease.price.to_string(), "40 uact");

    let list = answers::<market::QueryOrderResponse>("/akash.market.v1beta5.Query/Order");
    let order = Order::try_from(named(list, "order_reclamation").unwrap().order).unwrap();
    assert!(order.min_reclamation_window_s.is_some());
    let list = answers::<market::QueryBidResponse>("/akash.market.v1beta5.Query/Bid");
    let bid = Bid::try_from(named(list, "bid_lost").unwrap().bid).unwrap();
    assert_eq!((bid.state, bid.reclamation_window_s), (BidState::Lost, None));
}

#[test]
fn an_overdrawn_deployment_has_no_funds_and_a_closed_one_has_nothing_left() {
    let path = "/akash.deployment.v1beta4.Query/Deployment";
    let read = |name: &str| {
        let list = answers::<deployment::QueryDeploymentResponse>(path);
        named(list, name).map(|answer| Deployment::try_from(answer).unwrap())
    };
    let Some(active) = read("deployment_active") else { return };
    assert_eq!(active.funds.unwrap().to_string(), "5000000 uact");
    assert_eq!(active.settled_at, Height(973));
    assert_eq!(active.hash, "3181b0aea7c9fa6ed855f3d5ae466d7715642f464197cd640f2ead3ba7dd555e");
    let overdrawn = read("deployment_overdrawn").unwrap();
    assert_eq!((overdrawn.state, overdrawn.funds), (DeploymentState::Closed, None));
    assert_eq!(read("deployment_closed").unwrap().funds.unwrap().to_string(), "0 uact");
    assert_eq!(read("deployment_two_groups").unwrap().groups.len(), 2);
}

#[test]
fn parameters_providers_and_audits_read() {
    let params = answers::<market::QueryParamsResponse>("/akash.market.v1beta5.Query/Params");
    let Some(params) = named(params, "market_params") else { return };
    let params = MarketParams::try_from(params.params).unwrap();
    let deposits: Vec<String> = params.bid_min_deposits.iter().map(ToString::to_string).collect();
    assert_eq!(deposits, ["500000uact", "500000uakt"]);
    assert_eq!((params.min_reclamation_window_s, params.max_reclamation_window_s), (20, 2_592_000));

    let list = answers::<provider::QueryProviderResponse>("/akash.provider.v1beta4.Query/Provider");
    let own = Provider::try_from(named(list, "provider_own").unwrap().provider).unwrap();
    assert!(own.host_uri.starts_with("https://") && own.attributes.len() > 5);

    let list = answers::<audit::QueryProvidersResponse>("/akash.audit.v1.Query/ProviderAttributes");
    let mut records = named(list, "audit_provider").unwrap().providers;
    let audited = AuditedAttributes::try_from(records.remove(0)).unwrap();
    assert_eq!(audited.attributes.len(), 2);
}

#[test]
fn an_account_gives_its_number_and_key() {
    let list = answers::<cosmos::QueryAccountResponse>("/cosmos.auth.v1beta1.Query/Account");
    let Some(answer) = named(list.clone(), "account_provider") else { return };
    let account = answer.base_account().unwrap();
    assert_eq!((account.account_number, account.sequence), (1, 76));
    let key = PublicKey::from_any(&account.pub_key.unwrap()).unwrap();
    assert_eq!(key.address().as_str(), account.address);
    let fresh = named(list, "account_no_pubkey").unwrap().base_account().unwrap();
    assert_eq!(fresh.pub_key, None);
}

#[test]
fn a_wrong_field_is_named_by_its_path() {
    let unit = deployment::ResourceUnit {
        count: 1,
        price: cosmos::DecCoin { denom: "uact".to_owned(), amount: "-1".to_owned() },
        ..Default::default()
    };
    let spec = deployment::GroupSpec { resources: vec![unit.clone()], ..Default::default() };
    let error = GroupSpec::try_from(spec).unwrap_err();
    assert_eq!(error.to_string(), "resources[0].resource.cpu: is missing");

    let order = market::Order {
        id: market::OrderId {
            owner: "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww".to_owned(),
            dseq: 5,
            gseq: 1,
            oseq: 0,
        },
        ..Default::default()
    };
    let error = Order::try_from(order).unwrap_err();
    assert_eq!(error.to_string(), "id.oseq: is 0, sequence numbers start at 1");
}

#[test]
fn messages_are_made_to_the_byte() {
    // Worked out by hand from the protobuf definitions, and accepted by cosmrs as well.
    let tenant = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww";
    let provider = "akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz";
    let bid = format!("{tenant}/5/1/1/{provider}").parse().unwrap();
    let close = MsgCloseBid::new(&bid, CloseReason::Unspecified).encode_to_vec();
    let withdraw = MsgWithdrawLease::new(&bid.lease()).encode_to_vec();
    assert_eq!(withdraw.len(), 100);
    assert_eq!(close, [withdraw.as_slice(), &[0x10, 0x92, 0x4e]].concat());

    let price = lessor::domain::Price {
        denom: "uact".parse().unwrap(),
        amount: "2.30112".parse().unwrap(),
    };
    let deposit = "500000uakt".parse().unwrap();
    let message = MsgCreateBid::new(&bid, &price, &deposit, &[], Some(60));
    let packed = Any::pack(&message);
    assert_eq!(packed.type_url, "/akash.market.v1beta5.MsgCreateBid");
    assert_eq!(packed.unpack::<MsgCreateBid>().unwrap(), message);
    assert_eq!(message.price.amount, "2301120000000000000");
    let wrong = packed.unpack::<MsgCloseBid>().unwrap_err();
    assert!(wrong.to_string().contains("wanted is \"/akash.market.v1beta5.MsgCloseBid\""));
}
