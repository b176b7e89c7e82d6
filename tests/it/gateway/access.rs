//! Every operation × who asks.

use axum::body::Body;
use serde_json::Value;

use super::{
    document,
    world::{DSEQ, OPERATOR_TOKEN, World, request},
};

/// The path of an operation, about Alice's things.
fn path(template: &str, world: &World) -> String {
    template
        .replace("{owner}", world.alice.address.as_str())
        .replace("{dseq}", &DSEQ.to_string())
        .replace("{gseq}", "1")
        .replace("{oseq}", "1")
        .replace("{service}", "web")
        .replace("{stream}", "main")
        .replace("{code}", "internal")
}

/// As [`path`], so that the answer ends: streams that follow would not.
pub(super) fn asked_path(template: &str, world: &World) -> String {
    let path = path(template, world);
    let follows = path.ends_with("/logs") || path == "/v1/stream";
    if follows { format!("{path}?follow=false") } else { path }
}

fn schemes(operation: &Value) -> Vec<&str> {
    let mut schemes: Vec<&str> = operation["security"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|scheme| scheme.as_object().unwrap().keys().map(String::as_str))
        // Stands for the operator's token, and is walked for itself.
        .filter(|scheme| *scheme != "session")
        .collect();
    schemes.sort_unstable();
    schemes
}

/// What each operation must answer to nobody, its owner, another tenant, the operator; `0` for any answer that is neither
/// 401 nor 403 nor 5xx.
pub(super) fn expected(template: &str, operation: &Value) -> [u16; 4] {
    let is_wire = operation["tags"][0] == "wire";
    let names_owner = template.contains("{owner}");
    match (schemes(operation).as_slice(), is_wire) {
        ([], _) => [0, 0, 0, 0],
        (["operator"], false) => [401, 403, 403, 0],
        (["operator", "tenant"], false) if names_owner => [401, 0, 404, 0],
        (["operator", "tenant"], false) => [401, 0, 0, 0],
        (["tenant"], false) if names_owner => [401, 0, 404, 403],
        // Another tenant is the owner of a deployment of the same number, which has no lease here.
        (["tenant"], false) => [401, 0, 0, 403],
        // A manifest is read before leases are looked for, and this one is empty.
        (["tenant"], true) if template == "/deployment/{dseq}/manifest" => [401, 422, 422, 401],
        // And so is what is to be moved.
        (["tenant"], true) if template.ends_with("/migrate") => [401, 422, 422, 401],
        (["tenant"], true) => [401, 0, 404, 401],
        // Not signed at all: whatever token is sent, it is not what is asked for.
        (["webhook_signature"], false) => [401, 401, 401, 401],
        (other, _) => panic!("{template}: nobody said who may, with {other:?}"),
    }
}

#[tokio::test]
async fn every_operation_lets_through_whom_it_says_and_answers_what_it_says() {
    let world = World::new().await;
    world.lease_on_chain();
    world.lease_in_rows().await;
    let (alice, bob) = (world.alice.full(), world.bob.full());
    let identities: [(&str, Option<&str>); 4] = [
        ("nobody", None),
        ("owner", Some(&alice)),
        ("other", Some(&bob)),
        ("operator", Some(OPERATOR_TOKEN)),
    ];
    let document = document::document();
    let mut asked = 0;
    for (template, method, operation) in document::operations(&document) {
        for ((who, token), expected) in identities.iter().zip(expected(&template, operation)) {
            let at = format!("{method} {template} as {who}");
            let path = asked_path(&template, &world);
            let method = method.to_uppercase();
            let mut request = request(&method, &path, *token, Body::empty());
            if template.starts_with("/webhooks/") {
                let media = "application/cloudevents+json".parse().unwrap();
                request.headers_mut().insert("content-type", media);
            }
            let answer = world.send(request).await;
            let status = answer.status.as_u16();
            if expected == 0 {
                assert!(![401, 403].contains(&status) && status < 500, "{at}: {status}");
            } else {
                assert_eq!(status, expected, "{at}: {}", answer.text());
            }
            let declared = operation["responses"].as_object().unwrap();
            assert!(declared.contains_key(&status.to_string()), "{at}: {status} is not declared");
            if answer.header("content-type") == "application/problem+json" {
                let code = answer.code();
                let codes = operation["x-problems"].as_array().unwrap();
                assert!(codes.contains(&Value::from(code.as_str())), "{at}: {code} not declared");
            }
            asked += 1;
        }
    }
    println!("{asked} requests");
}

#[tokio::test]
async fn without_an_operators_token_the_operators_routes_are_closed_for_everyone() {
    let world = World::with(None).await;
    let document = document::document();
    for (template, method, operation) in document::operations(&document) {
        if schemes(operation) != ["operator"] {
            continue;
        }
        for token in [None, Some(world.alice.full()), Some(OPERATOR_TOKEN.to_owned())] {
            let path = path(&template, &world);
            let request = request(&method.to_uppercase(), &path, token.as_deref(), Body::empty());
            let answer = world.send(request).await;
            assert_eq!(answer.code(), "admin_not_configured", "{method} {template}");
            assert_eq!(answer.status, 503);
        }
    }
}

#[tokio::test]
async fn a_wrong_operators_token_is_refused() {
    let world = World::new().await;
    for token in ["operator-token-of-the-test", "x", "a.b.c"] {
        let answer = world.get("/v1/orders", Some(token)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "credentials_invalid"));
    }
}

#[tokio::test]
async fn a_tenants_token_is_judged_by_what_it_allows() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let path = world.alice.lease_path();
    let refused = |answer: super::world::Answer| (answer.status.as_u16(), answer.code());
    let logs_only = world.alice.scoped(&["logs"]);
    assert_eq!(refused(world.get(&path, Some(&logs_only)).await), (403, "scope_missing".into()));
    let now = super::world::start().as_second();
    let full = serde_json::json!({"access": "full"});
    let expired = world.alice.token_between(now - 20, now - 10, &full);
    assert_eq!(refused(world.get(&path, Some(&expired)).await), (401, "token_expired".into()));
    let early = world.alice.token_between(now + 10, now + 20, &full);
    assert_eq!(refused(world.get(&path, Some(&early)).await), (401, "token_expired".into()));
    assert_eq!(refused(world.get(&path, Some("a.b.c")).await), (401, "credentials_invalid".into()));
}

#[tokio::test]
async fn an_issuer_without_a_key_is_refused_and_strangers_cost_few_reads() {
    let world = World::new().await;
    let nobody = super::world::Tenant::new(3);
    let answer = world.get("/v1/me", Some(&nobody.full())).await;
    assert_eq!(answer.code(), "credentials_invalid");
    // The account is there and never signed: the reference gateway breaks off the connection here.
    world.chain.keys.lock().unwrap().insert(nobody.address.clone(), None);
    world.clock.set(super::world::start() + jiff::SignedDuration::from_secs(10));
    let answer = world.get("/v1/me", Some(&nobody.full())).await;
    assert_eq!(answer.code(), "credentials_invalid");

    let mut busy = None;
    for seed in 10..=200 {
        let answer = world.get("/v1/me", Some(&super::world::Tenant::new(seed).full())).await;
        if answer.status == 429 {
            busy = Some(answer);
            break;
        }
    }
    let busy = busy.expect("strangers are never held up");
    assert_eq!(busy.code(), "rate_limited");
    assert!(busy.headers.contains_key("retry-after"));
    // Whoever has an order here is not held up by them.
    world.lease_in_rows().await;
    assert_eq!(world.get("/v1/me", Some(&world.alice.full())).await.status, 200);
}

#[tokio::test]
async fn a_key_is_read_once_for_many_requests() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(world.get("/v1/me", Some(&world.alice.full())).await.status, 200);
    }
    assert_eq!(world.chain.account_reads.load(std::sync::atomic::Ordering::Relaxed), 1);
}
