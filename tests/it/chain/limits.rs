//! What a node may do to us: be slow, be long, be somebody else, be no node at all.

use std::time::Duration;

use axum::{Router, http::StatusCode, response::Redirect, routing::post};
use lessor::{
    chain::{Node, NodeSettings},
    domain::Height,
    provider::port::{Chain, ChainErrorKind},
};
use serde_json::json;

use super::serve;
use crate::corpus;

fn node(settings: NodeSettings) -> Node {
    Node::new(settings).unwrap()
}

async fn unavailable(settings: NodeSettings) -> String {
    let error = node(settings).tip().await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::Unavailable);
    error.to_string()
}

#[tokio::test]
async fn an_answer_longer_than_the_limit_is_cut_off() {
    let url = serve(Router::new().route("/", post(|| async { "x".repeat(5000) }))).await;
    let settings = NodeSettings { max_answer: 4096, ..NodeSettings::new(url) };
    assert_eq!(
        unavailable(settings).await,
        "ask for the newest block: the node's answer is longer than 4096 bytes"
    );
}

#[tokio::test]
async fn a_node_that_does_not_answer_in_time_is_unavailable() {
    let url = serve(Router::new().route("/", post(std::future::pending::<String>))).await;
    let settings = NodeSettings { timeout: Duration::from_millis(50), ..NodeSettings::new(url) };
    assert!(unavailable(settings).await.contains("timed out"));
}

#[tokio::test]
async fn a_proxys_error_page_is_told_by_its_status() {
    let page = || async { (StatusCode::BAD_GATEWAY, "<html>") };
    let url = serve(Router::new().route("/", post(page))).await;
    assert_eq!(
        unavailable(NodeSettings::new(url)).await,
        "ask for the newest block: the node answered HTTP 502 Bad Gateway"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = serve(Router::new().route("/", post(|| async { "{}" }))).await;
    let to = Redirect::temporary(&elsewhere);
    let url = serve(Router::new().route("/", post(move || async { to }))).await;
    assert!(unavailable(NodeSettings::new(url)).await.contains("HTTP 307"));
}

#[tokio::test]
async fn an_error_does_not_repeat_the_nodes_address_with_its_password() {
    let url = serve(Router::new()).await;
    // A port that nothing listens on any more.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let with_password = format!("http://user:secret@{free}");
    let said = unavailable(NodeSettings::new(with_password)).await;
    assert!(!said.contains("secret") && !said.contains("user"), "{said}");
    assert!(unavailable(NodeSettings::new(url)).await.contains("HTTP 404"));
    for wrong in ["", "ftp://node", "node:26657", "http://"] {
        assert!(Node::new(NodeSettings::new(wrong)).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_node_of_another_chain_is_told_as_such() {
    let Some(path) = corpus::find("vectors/chain/rpc/status.json") else { return };
    let status = corpus::json(&path).to_string();
    let answer = move || {
        let status = status.clone();
        async { status }
    };
    let url = serve(Router::new().route("/", post(answer))).await;
    let other = node(NodeSettings::new(&url).on_chain("akashnet-2"));
    let error = other.tip().await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::OtherChain);
    assert_eq!(error.detail, "the node is on chain \"local\", wanted is \"akashnet-2\"");
    assert_eq!(other.identity().await.unwrap_err().kind, ChainErrorKind::OtherChain);
    let same = node(NodeSettings::new(&url).on_chain("local"));
    assert_eq!(same.tip().await.unwrap().height, Height(980));
}

#[tokio::test]
async fn an_answer_that_is_none_is_unavailable() {
    for (body, said) in [
        (json!({"jsonrpc": "2.0", "id": 1}), "neither"),
        (json!({"jsonrpc": "2.0", "id": 1, "result": {"node_info": 5}}), "malformed"),
        (json!([1]), "malformed"),
    ] {
        let text = body.to_string();
        let answer = move || {
            let text = text.clone();
            async { text }
        };
        let url = serve(Router::new().route("/", post(answer))).await;
        assert!(unavailable(NodeSettings::new(url)).await.contains(said), "{body}");
    }
}
