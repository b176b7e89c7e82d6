//! The node's JSON-RPC: recorded answers decode and come out again as the same JSON.

use lessor::{
    domain::Height,
    wire::{
        market,
        rpc::{
            Call, NEW_BLOCK_HEADER, Request, Response, ResponseError, RpcError,
            answer::{
                AbciQuery, Block, BlockResults, BroadcastTx, NOT_FOUND, NewBlockHeader, Status, Tx,
            },
        },
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::corpus;

fn recodes<T: DeserializeOwned + Serialize>(name: &str, json: &Value) {
    let answer: Response<T> =
        serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(&serde_json::to_value(&answer).unwrap(), json, "{name}");
}

#[test]
fn recorded_answers_come_out_as_the_same_json() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let mut count = 0;
    for (folder, recode) in [
        ("tx", recodes::<Tx> as fn(&str, &Value)),
        ("block", recodes::<Block>),
        ("block_results", recodes::<BlockResults>),
    ] {
        for (name, json) in corpus::json_files(&chain.join(folder)) {
            recode(&name, &json);
            count += 1;
        }
    }
    for (folder, pointer, recode) in [
        ("tx_errors", "/response", recodes::<BroadcastTx> as fn(&str, &Value)),
        ("unordered", "/response", recodes::<BroadcastTx>),
        ("simulate", "/abci_response", recodes::<AbciQuery>),
    ] {
        for (name, json) in corpus::json_files(&chain.join(folder)) {
            let single = json["method"].is_null() || json["method"] == "broadcast_tx_sync";
            let Some(answer) = json.pointer(pointer).filter(|_| single) else { continue };
            match answer.pointer("/result/response") {
                // Some of the unordered ones are simulations.
                Some(_) => recodes::<AbciQuery>(&name, answer),
                None => recode(&name, answer),
            }
            count += 1;
        }
    }
    recodes::<Status>("status", &corpus::json(&chain.join("rpc/status.json")));
    println!("{count} answers");
    assert!(count > 400);
}

#[test]
fn recorded_websocket_messages_decode() {
    let Some(path) = corpus::find("vectors/chain/ws/newblockheader.jsonl") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let (mut headers, mut acknowledged) = (0, 0);
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        // The capture notes pings as well.
        let Some(message) = line["text"].as_str() else { continue };
        if line["dir"] == "out" {
            let request: Request = serde_json::from_str(message).unwrap();
            let call = Call::from_parts(&request.method, &request.params).unwrap();
            assert_eq!(call, Call::Subscribe { query: NEW_BLOCK_HEADER.to_owned() });
            continue;
        }
        recodes::<NewBlockHeader>("header", &serde_json::from_str(message).unwrap());
        let decoded: NewBlockHeader = Response::decode(message.as_bytes()).unwrap();
        match decoded.data {
            Some(data) => {
                assert_eq!(data.value.header.chain_id, "local");
                headers += 1;
            }
            None => acknowledged += 1,
        }
    }
    println!("{acknowledged} acknowledgement, {headers} headers");
    assert!(acknowledged == 1 && headers > 2);
}

#[test]
fn errors_of_the_node_are_told_apart() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let error = |path: &str, pointer: &str| -> RpcError {
        let json = corpus::json(&chain.join(path));
        let answer = json.pointer(pointer).unwrap().to_string();
        match Response::<Value>::decode(answer.as_bytes()) {
            Err(ResponseError::Node(error)) => error,
            other => panic!("{path}: {other:?}"),
        }
    };
    assert!(error("tx_errors/already_in_cache.json", "/response").is_known_transaction());
    assert!(error("tx_errors/already_committed.json", "/response").is_known_transaction());
    assert!(error("rpc/tx_not_found.json", "").is_unknown_transaction());
    assert!(error("rpc/block_results_future.json", "").is_ahead_of_node());
    assert_eq!(
        error("rpc/unknown_method.json", ""),
        Call::from_parts("nonsense", &serde_json::Map::new()).unwrap_err()
    );
}

#[test]
fn absence_is_code_22() {
    let Some(folder) = corpus::find("vectors/chain/query") else { return };
    let mut count = 0;
    for (name, json) in corpus::json_files(&folder) {
        if name.ends_with("not_found") {
            assert_eq!(json["abci_response"]["code"], NOT_FOUND, "{name}");
            count += 1;
        }
    }
    println!("{count} answers of absence");
    assert!(count >= 6);
}

#[test]
fn a_call_reads_back_from_its_request() {
    let query = market::QueryOrdersRequest {
        filters: market::OrderFilters { state: "open".to_owned(), ..Default::default() },
        pagination: Some(lessor::wire::cosmos::PageRequest { limit: 1000, ..Default::default() }),
    };
    let calls = [
        Call::Status,
        Call::query(&query, Height(7)),
        Call::BroadcastTxSync { tx: vec![1, 2, 3] },
        Call::Tx { hash: vec![0xab; 32] },
        Call::Block { height: None },
        Call::BlockResults { height: Some(Height(9)) },
        Call::Subscribe { query: NEW_BLOCK_HEADER.to_owned() },
    ];
    for call in calls {
        let request: Request = serde_json::from_value(call.to_json(1)).unwrap();
        assert_eq!(Call::from_parts(&request.method, &request.params), Ok(call));
    }
    assert_eq!(
        Call::query(&query, Height(0)).to_json(1),
        json!({"jsonrpc": "2.0", "id": 1, "method": "abci_query", "params": {
            "path": "/akash.market.v1beta5.Query/Orders",
            "data": "0a062a046f70656e120318e807", "height": "0", "prove": false,
        }})
    );
}

#[test]
fn a_wrong_parameter_is_named() {
    let refused = |method: &str, params: Value| {
        let Value::Object(params) = params else { panic!("params are an object") };
        Call::from_parts(method, &params).unwrap_err().to_string()
    };
    assert_eq!(
        refused("broadcast_tx_sync", json!({})),
        "node error -32602: Invalid params: parameter \"tx\" is not a string"
    );
    assert!(refused("abci_query", json!({"path": "/x", "data": "zz"})).contains("\"data\""));
    assert!(refused("block", json!({"height": "x"})).contains("\"height\""));
}

#[test]
fn a_body_that_is_no_answer_is_malformed() {
    for body in ["", "{}", "[]", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"height\":true}}"] {
        let answer = Response::<Tx>::decode(body.as_bytes());
        assert!(matches!(answer, Err(ResponseError::Malformed(_))), "{body}");
    }
}
