//! What the node answers, as the domain's nouns with their height.

use lessor::{
    domain::{Address, BidState, DeploymentId, DeploymentState, Height, LeaseState},
    provider::port::{Chain, ChainErrorKind, Seen},
    wire::{Query, market, rpc::Call},
};
use prost::Message;
use serde_json::{Value, json};

use super::{Playback, always, playback, query_answer};
use crate::{corpus, wire::bytes_at};

const TENANT: &str = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww";
const PROVIDER: &str = "akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz";

fn recorded(name: &str) -> Option<Value> {
    let path = corpus::find(&format!("vectors/chain/query/{name}.json"))?;
    Some(corpus::json(&path))
}

/// A node that answers everything with one recorded answer.
async fn answering(name: &str) -> Option<Playback> {
    Some(always(query_answer(&recorded(name)?)).await)
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn deployment(dseq: u64) -> DeploymentId {
    DeploymentId::new(address(TENANT), dseq)
}

/// The five recorded pages of two open orders each, answered by the key that is asked for.
fn pages() -> Option<Vec<(Vec<u8>, Value)>> {
    (1..=5)
        .map(|page| {
            let json = recorded(&format!("orders_open_limit2_page{page}"))?;
            let sent = bytes_at(&json, "/abci_request_b64").unwrap();
            let request = market::QueryOrdersRequest::decode(sent.as_slice()).unwrap();
            Some((request.pagination.unwrap().key, query_answer(&json)))
        })
        .collect()
}

fn orders_request(call: &Call) -> (market::QueryOrdersRequest, Height) {
    match call {
        Call::AbciQuery { path, data, height } => {
            assert_eq!(path, market::QueryOrdersRequest::PATH);
            (market::QueryOrdersRequest::decode(data.as_slice()).unwrap(), *height)
        }
        other => panic!("not a query: {other:?}"),
    }
}

fn page_of(pages: &[(Vec<u8>, Value)], call: &Call) -> Value {
    let key = orders_request(call).0.pagination.unwrap().key;
    pages.iter().find(|(of, _)| *of == key).unwrap().1.clone()
}

#[tokio::test]
async fn a_list_is_followed_to_its_end_on_one_state_with_the_filters_on_each_page() {
    let Some(pages) = pages() else { return };
    let served = pages.clone();
    let chain = playback(move |call| page_of(&served, call)).await;
    let seen = chain.node.open_orders(Height(900)).await.unwrap();
    let whole = answering("orders_open").await.unwrap().node.open_orders(Height(0)).await.unwrap();
    assert_eq!(seen.value, whole.value);
    assert!(seen.value.len() > 8);

    let asked = chain.asked();
    assert_eq!(asked.len(), 5);
    for (at, call) in asked.iter().enumerate() {
        let (request, height) = orders_request(call);
        assert_eq!(request.filters.state, "open");
        assert_eq!(request.pagination.unwrap().limit, 1000);
        assert_eq!(height, if at == 0 { Height(0) } else { seen.at });
    }
}

#[tokio::test]
async fn pages_of_a_state_that_is_gone_are_read_from_a_newer_one() {
    let Some(pages) = pages() else { return };
    let gone = json!({"jsonrpc": "2.0", "id": 1, "result": {"response": {
        "code": 18, "log": "failed to load state at height 979", "height": "0", "codespace": "sdk",
    }}});
    let chain = playback(move |call| match orders_request(call).1 {
        Height(0) => page_of(&pages, call),
        _ => gone.clone(),
    })
    .await;
    let seen = chain.node.open_orders(Height(0)).await.unwrap();
    let whole = answering("orders_open").await.unwrap().node.open_orders(Height(0)).await.unwrap();
    assert_eq!(seen.value, whole.value);
}

#[tokio::test]
async fn a_list_that_does_not_end_is_an_error() {
    let Some(page) = recorded("orders_open_limit2_page1") else { return };
    let chain = always(query_answer(&page)).await;
    let error = chain.node.open_orders(Height(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "list the open orders: the node's list does not end");
    assert!(chain.asked().len() <= 3);
}

#[tokio::test]
async fn absence_has_a_height_and_a_lower_height_is_no_absence() {
    let Some(chain) = answering("deployment_not_found").await else { return };
    let seen = chain.node.deployment(&deployment(424_242), Height(979)).await.unwrap();
    assert_eq!(seen.value, None);
    assert!(seen.at >= Height(979));
    let error = chain.node.deployment(&deployment(424_242), Height(5000)).await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::Behind);
    assert!(error.to_string().starts_with("read a deployment: the node answers as of block"));

    let nobody = address(TENANT);
    let chain = answering("provider_not_found").await.unwrap();
    assert_eq!(chain.node.provider(&nobody, Height(0)).await.unwrap().value, None);
    let chain = answering("account_not_found").await.unwrap();
    assert_eq!(chain.node.account(&nobody, Height(0)).await.unwrap().value, None);
    let chain = answering("audit_provider_auditor_not_found").await.unwrap();
    assert_eq!(chain.node.audited_attributes(&nobody, Height(0)).await.unwrap().value, []);
}

#[tokio::test]
async fn an_answer_from_a_lower_height_is_behind() {
    let Some(chain) = answering("order_historic_height").await else { return };
    let error = chain.node.orders(&deployment(101), Height(201)).await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::Behind);
}

#[tokio::test]
async fn a_deployments_facts_are_read_with_its_filters() {
    let Some(chain) = answering("deployment_active").await else { return };
    let found = chain.node.deployment(&deployment(1001), Height(0)).await.unwrap().value.unwrap();
    assert_eq!((found.id, found.state), (deployment(1001), DeploymentState::Active));

    let orders = answering("orders_owner_dseq").await.unwrap();
    let seen = orders.node.orders(&deployment(101), Height(0)).await.unwrap();
    assert!(seen.value.len() >= 4);
    assert!(seen.value.iter().all(|order| *order.id.deployment() == deployment(101)));
    let (request, _) = orders_request(&orders.asked()[0]);
    assert_eq!((request.filters.owner.as_str(), request.filters.dseq), (TENANT, 101));

    let bids = answering("bids_of_order").await.unwrap();
    let other = address("akash166clkmu6yh7wjpdma0kg8t7wz97vcjx7fpl23w");
    let seen = bids.node.bids(&DeploymentId::new(other, 601), Height(0)).await.unwrap();
    assert!(seen.value.len() > 1);

    let leases = answering("leases_deployment_active").await.unwrap();
    let seen = leases.node.leases(&deployment(1001), Height(0)).await.unwrap();
    assert_eq!(seen.value.len(), 1);
    assert_eq!(seen.value[0].state, LeaseState::Active);
}

#[tokio::test]
async fn a_providers_running_leases_are_read_once_for_each_state_of_the_same_block() {
    let (Some(active), Some(none)) =
        (recorded("leases_own_active"), recorded("leases_reclaiming_none"))
    else {
        return;
    };
    let (active, none) = (query_answer(&active), query_answer(&none));
    let state = |call: &Call| match call {
        Call::AbciQuery { data, height, .. } => {
            let request = market::QueryLeasesRequest::decode(data.as_slice()).unwrap();
            assert_eq!(request.filters.provider, PROVIDER);
            (request.filters.state, *height)
        }
        other => panic!("not a query: {other:?}"),
    };
    let chain =
        playback(move |call| if state(call).0 == "active" { active.clone() } else { none.clone() })
            .await;
    let Seen { value, at } =
        chain.node.provider_leases(&address(PROVIDER), Height(900)).await.unwrap();
    assert!(!value.is_empty());
    assert!(value.iter().all(|lease| lease.state == LeaseState::Active));
    let asked: Vec<(String, Height)> = chain.asked().iter().map(state).collect();
    assert_eq!(asked, [("active".to_owned(), Height(0)), ("reclaiming".to_owned(), at)]);
}

#[tokio::test]
async fn a_lease_that_is_in_both_lists_counts_as_reclaiming() {
    let Some(active) = recorded("leases_own_active") else { return };
    let mut leases = market::QueryLeasesResponse::decode(
        bytes_at(&active, "/abci_response_b64").unwrap().as_slice(),
    )
    .unwrap();
    let all = leases.leases.len();
    leases.leases.truncate(1);
    leases.leases[0].lease.state = LeaseState::Reclaiming.number();
    let mut moved = active.clone();
    moved["abci_response_b64"] = lessor::wire::text::to_base64(&leases.encode_to_vec()).into();
    let (active, moved) = (query_answer(&active), query_answer(&moved));
    let chain = playback(move |call| match call {
        Call::AbciQuery { height: Height(0), .. } => active.clone(),
        _ => moved.clone(),
    })
    .await;
    let seen = chain.node.provider_leases(&address(PROVIDER), Height(0)).await.unwrap();
    assert_eq!(seen.value.len(), all);
    let reclaiming = |state| seen.value.iter().filter(|lease| lease.state == state).count();
    assert_eq!(reclaiming(LeaseState::Reclaiming), 1);
}

#[tokio::test]
async fn own_bids_registration_audits_parameters_and_balances_are_read() {
    let own = address(PROVIDER);
    let Some(chain) = answering("bids_own_open").await else { return };
    let bids = chain.node.provider_bids(&own, BidState::Open, Height(0)).await.unwrap().value;
    assert!(bids.iter().all(|bid| bid.id.provider == own && bid.state == BidState::Open));
    assert!(bids.len() > 3);

    let chain = answering("provider_own").await.unwrap();
    let provider = chain.node.provider(&own, Height(0)).await.unwrap().value.unwrap();
    assert_eq!(provider.owner, own);

    let chain = answering("audit_provider").await.unwrap();
    let audits = chain.node.audited_attributes(&own, Height(0)).await.unwrap().value;
    assert_eq!(audits.len(), 1);

    let chain = answering("market_params").await.unwrap();
    let params = chain.node.market_params(Height(0)).await.unwrap().value;
    assert_eq!(params.order_max_bids, 20);

    let chain = answering("balances").await.unwrap();
    let balances = chain.node.balances(&own, Height(0)).await.unwrap().value;
    let denoms: Vec<&str> = balances.iter().map(|coin| coin.denom.as_str()).collect();
    assert_eq!(denoms, ["uact", "uakt"]);
}

#[tokio::test]
async fn an_account_has_no_key_before_its_first_transaction() {
    let own = address(PROVIDER);
    let Some(chain) = answering("account_provider").await else { return };
    let account = chain.node.account(&own, Height(0)).await.unwrap().value.unwrap();
    assert_eq!((account.number, account.sequence), (1, 76));
    assert_eq!(account.public_key.unwrap().len(), 33);
    let chain = answering("account_no_pubkey").await.unwrap();
    let fresh = chain.node.account(&own, Height(0)).await.unwrap().value.unwrap();
    assert_eq!(fresh.public_key, None);
}

#[tokio::test]
async fn a_query_that_the_node_refuses_says_why() {
    for (name, kind, said) in [
        ("orders_bad_state", ChainErrorKind::Refused, "sdk code 18"),
        ("unknown_method", ChainErrorKind::Unavailable, "unknown query path"),
        ("order_future_height", ChainErrorKind::Behind, "height in the future"),
    ] {
        let Some(chain) = answering(name).await else { return };
        let error = chain.node.open_orders(Height(0)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{name}");
        assert!(error.detail.contains(said), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_read_hides_no_other_and_a_lease_that_cannot_is_an_error() {
    let Some(mut json) = recorded("orders_open") else { return };
    let bytes = bytes_at(&json, "/abci_response_b64").unwrap();
    let mut orders = market::QueryOrdersResponse::decode(bytes.as_slice()).unwrap();
    let all = orders.orders.len();
    orders.orders[0].spec.resources[0].price.amount = "-1".to_owned();
    json["abci_response_b64"] = lessor::wire::text::to_base64(&orders.encode_to_vec()).into();
    let chain = always(query_answer(&json)).await;
    assert_eq!(chain.node.open_orders(Height(0)).await.unwrap().value.len(), all - 1);

    let mut json = recorded("leases_own_active").unwrap();
    let bytes = bytes_at(&json, "/abci_response_b64").unwrap();
    let mut leases = market::QueryLeasesResponse::decode(bytes.as_slice()).unwrap();
    leases.leases[0].lease.state = 77;
    json["abci_response_b64"] = lessor::wire::text::to_base64(&leases.encode_to_vec()).into();
    let chain = always(query_answer(&json)).await;
    let error = chain.node.provider_leases(&address(PROVIDER), Height(0)).await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::Unavailable);
    assert!(error.detail.ends_with("state: 77 is not a known state"), "{error}");
}

#[tokio::test]
async fn the_tip_and_the_chains_identity_come_from_the_nodes_status() {
    let Some(path) = corpus::find("vectors/chain/rpc/status.json") else { return };
    let chain = always(corpus::json(&path)).await;
    let tip = chain.node.tip().await.unwrap();
    assert_eq!((tip.chain_id.as_str(), tip.height, tip.catching_up), ("local", Height(980), false));
    assert_eq!(tip.time.to_string(), "2026-11-22T11:57:24.843191346Z");
    let identity = chain.node.identity().await.unwrap();
    assert_eq!(identity.first_block_height, Height(1));
    assert!(identity.first_block_hash.starts_with("62DDCFDA9C11"));
}
