//! Transactions and queries, byte for byte.

use std::collections::BTreeMap;

use lessor::wire::{
    Query, audit, authz, cert,
    cosmos::{self, AuthInfo, TxBody, TxRaw},
    deployment, escrow,
    google::Any,
    market, provider,
};
use prost::{Message, Name};

use super::{bytes_at, text_at};
use crate::corpus;

/// What decodes a message and encodes it again, by its name.
type Recode = fn(&[u8]) -> Vec<u8>;

fn recode<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
    M::decode(bytes).unwrap().encode_to_vec()
}

macro_rules! by_type_url {
    ($($message:ty),* $(,)?) => {
        BTreeMap::from([$((<$message>::type_url(), recode::<$message> as Recode)),*])
    };
}

fn messages() -> BTreeMap<String, Recode> {
    by_type_url![
        authz::MsgGrant,
        cosmos::MsgSend,
        cosmos::PubKey,
        market::MsgCreateBid,
        market::MsgCloseBid,
        market::MsgCreateLease,
        market::MsgCloseLease,
        market::MsgWithdrawLease,
        market::MsgLeaseStartReclaim,
        deployment::MsgCreateDeployment,
        deployment::MsgUpdateDeployment,
        deployment::MsgCloseDeployment,
        deployment::MsgCloseGroup,
        deployment::MsgPauseGroup,
        deployment::MsgStartGroup,
        provider::MsgCreateProvider,
        provider::MsgUpdateProvider,
        provider::MsgDeleteProvider,
        audit::MsgSignProviderAttributes,
        audit::MsgDeleteProviderAttributes,
        cert::MsgCreateCertificate,
        cert::MsgRevokeCertificate,
        escrow::MsgAccountDeposit,
    ]
}

/// The recordings that hold a transaction, and where in each.
fn recorded_transactions() -> Option<Vec<(String, Vec<u8>)>> {
    let chain = corpus::find("vectors/chain")?;
    let mut found = Vec::new();
    for (folder, pointer) in [
        ("tx", "/result/tx"),
        ("tx_errors", "/request_tx_b64"),
        ("unordered", "/request_tx_b64"),
        ("simulate", "/request_tx_b64"),
    ] {
        for (name, json) in corpus::json_files(&chain.join(folder)) {
            if let Some(bytes) = bytes_at(&json, pointer) {
                found.push((format!("{folder}/{name}"), bytes));
            }
        }
    }
    Some(found)
}

/// Recorded on purpose as no transaction, or as one with bytes that no message has.
const NO_TRANSACTION: [&str; 2] = ["tx_errors/tx_decode", "tx_errors/tx_too_large"];

#[test]
fn every_recorded_transaction_encodes_back_to_its_bytes() {
    let Some(transactions) = recorded_transactions() else { return };
    let known = messages();
    let (mut typed, mut opaque) = (0, Vec::new());
    for (name, bytes) in &transactions {
        if NO_TRANSACTION.contains(&name.as_str()) {
            continue;
        }
        let raw = TxRaw::decode(bytes.as_slice()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(&raw.encode_to_vec(), bytes, "{name}");
        assert_eq!(recode::<AuthInfo>(&raw.auth_info_bytes), raw.auth_info_bytes, "{name}");
        let body = TxBody::decode(raw.body_bytes.as_slice()).unwrap();
        assert_eq!(body.encode_to_vec(), raw.body_bytes, "{name}");
        for Any { type_url, value } in &body.messages {
            match known.get(type_url) {
                Some(recode) => {
                    assert_eq!(&recode(value), value, "{name}: {type_url}");
                    typed += 1;
                }
                None => opaque.push(type_url.clone()),
            }
        }
    }
    println!(
        "{} transactions, {typed} typed messages, left as bytes: {opaque:?}",
        transactions.len()
    );
    assert!(transactions.len() > 200 && typed > 200);
    assert_eq!(opaque, Vec::<String>::new());
}

/// What re-encodes the request and the response of a query, by its path.
type RecodeQuery = (Recode, Recode);

macro_rules! by_path {
    ($($request:ty),* $(,)?) => {
        BTreeMap::from([$((
            <$request as Query>::PATH,
            (recode::<$request> as Recode, recode::<<$request as Query>::Response> as Recode),
        )),*])
    };
}

fn queries() -> BTreeMap<&'static str, RecodeQuery> {
    by_path![
        market::QueryOrdersRequest,
        market::QueryOrderRequest,
        market::QueryBidsRequest,
        market::QueryBidRequest,
        market::QueryLeasesRequest,
        market::QueryLeaseRequest,
        market::QueryParamsRequest,
        deployment::QueryDeploymentsRequest,
        deployment::QueryDeploymentRequest,
        deployment::QueryGroupRequest,
        deployment::QueryParamsRequest,
        provider::QueryProvidersRequest,
        provider::QueryProviderRequest,
        audit::QueryProviderAttributesRequest,
        audit::QueryProviderAuditorRequest,
        cert::QueryCertificatesRequest,
        escrow::QueryAccountsRequest,
        escrow::QueryPaymentsRequest,
        cosmos::QueryAccountRequest,
        cosmos::QueryBalanceRequest,
        cosmos::QueryAllBalancesRequest,
    ]
}

#[test]
fn every_recorded_query_encodes_back_to_its_bytes() {
    let Some(folder) = corpus::find("vectors/chain/query") else { return };
    let known = queries();
    let (mut requests, mut responses, mut others) = (0, 0, Vec::new());
    for (name, json) in corpus::json_files(&folder) {
        let Some(path) = json.pointer("/path").and_then(|path| path.as_str()) else { continue };
        let Some((request, response)) = known.get(path) else {
            others.push(path.to_owned());
            continue;
        };
        let sent = bytes_at(&json, "/abci_request_b64").unwrap();
        assert_eq!(request(&sent), sent, "{name}: request");
        requests += 1;
        if let Some(answered) = bytes_at(&json, "/abci_response_b64") {
            assert_eq!(response(&answered), answered, "{name}: response");
            responses += 1;
        }
    }
    println!("{requests} requests, {responses} responses; of other modules: {others:?}");
    assert!(requests > 70 && responses > 60);
}

#[test]
fn every_recorded_simulation_encodes_back_to_its_bytes() {
    let Some(folder) = corpus::find("vectors/chain/simulate") else { return };
    let mut count = 0;
    for (name, json) in corpus::json_files(&folder) {
        let Some(sent) = bytes_at(&json, "/abci_request_b64") else { continue };
        assert_eq!(text_at(&json, "/abci_path"), cosmos::SimulateRequest::PATH);
        assert_eq!(recode::<cosmos::SimulateRequest>(&sent), sent, "{name}");
        if let Some(answered) = bytes_at(&json, "/abci_response/result/response/value") {
            assert_eq!(recode::<cosmos::SimulateResponse>(&answered), answered, "{name}");
        }
        count += 1;
    }
    println!("{count} simulations");
    assert!(count > 10);
}
