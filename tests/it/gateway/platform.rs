//! What platforms ask of a process, and what holds for every route.

use axum::body::Body;
use jiff::SignedDuration;
use lessor::provider::port::Store as _;
use serde_json::Value;

use super::{
    webhooks::{Sender, block},
    world::{OPERATOR_TOKEN, World, request, start},
};

fn condition<'a>(health: &'a Value, name: &str) -> &'a Value {
    let conditions = health["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["name"] == name).unwrap()
}

#[tokio::test]
async fn a_deaf_stream_and_a_silent_chain_are_named_and_leave_the_process_in_service() {
    let world = World::new().await;
    world.clock.set(start() + SignedDuration::from_hours(2));
    let answer = world.get("/readyz", None).await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(condition(&health, "store")["verdict"], "good");
    assert_eq!(condition(&health, "chain")["reason"], "never_seen");
    assert_eq!(condition(&health, "stream/main")["reason"], "deaf");
    assert_eq!(condition(&health, "bidding")["reason"], "no_signer");
    assert_eq!(world.get("/livez", None).await.text(), "ok\n");
}

#[tokio::test]
async fn a_process_that_stops_is_not_ready_and_takes_no_deliveries_and_no_ticks() {
    let world = World::new().await;
    world.state.shutdown.cancel();
    let answer = world.get("/readyz", None).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["ready"]), (503, &Value::Bool(false)));
    let tick = request("POST", "/internal/v1/tick", Some(OPERATOR_TOKEN), Body::empty());
    let refused = world.send(tick).await;
    assert_eq!(refused.code(), "draining");
    assert!(refused.headers.contains_key("retry-after"));
    let delivery = Sender::new(&world, "one").blocks(&[block(&world, 10, None)]).await;
    assert_eq!((delivery.status.as_u16(), delivery.code().as_str()), (503, "draining"));
    assert!(delivery.headers.contains_key("retry-after"));
    assert!(world.store.stream("main").await.unwrap().is_none());
    // What tenants have goes on until it ends.
    assert_eq!(world.get("/v1/me", Some(&world.alice.full())).await.status, 200);
}

#[tokio::test]
async fn a_tick_works_off_what_is_due() {
    let world = World::new().await;
    let tick = |query: &str| {
        let path = format!("/internal/v1/tick{query}");
        request("POST", &path, Some(OPERATOR_TOKEN), Body::empty())
    };
    let answer = world.send(tick("?max=10&deadline_s=5")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["idle"], true);
    // It looked at the node, which every reader of health can see.
    let health = world.get("/readyz", None).await.json();
    assert_eq!(condition(&health, "chain")["verdict"], "good");
    for query in ["?max=0", "?max=10001", "?deadline_s=26", "?steps=1"] {
        assert_eq!(world.send(tick(query)).await.code(), "malformed_query", "{query}");
    }
}

#[tokio::test]
async fn a_request_is_found_again_by_its_id() {
    let world = World::new().await;
    let mut own = request("GET", "/v1/me", None, Body::empty());
    own.headers_mut().insert("x-request-id", "trace-7_a".parse().unwrap());
    let answer = world.send(own).await;
    assert_eq!(answer.header("x-request-id"), "trace-7_a");
    assert_eq!(answer.json()["instance"], "trace-7_a");
    let mut harmful = request("GET", "/v1/me", None, Body::empty());
    harmful.headers_mut().insert("x-request-id", "a b".parse().unwrap());
    let (one, two) = (world.send(harmful).await, world.get("/livez", None).await);
    assert_ne!(one.header("x-request-id"), "a b");
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_the_language_of_the_path() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/nothing", None).await.code(), "route_not_found");
    let wrong = world.send(request("DELETE", "/v1/me", None, Body::empty())).await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (405, "method_not_allowed"));
    assert!(wrong.header("allow").contains("GET"));

    let root = world.get("/nothing", None).await;
    assert_eq!((root.status.as_u16(), root.text()), (404, "404 page not found\n"));
    let status = world.send(request("POST", "/status", None, Body::empty())).await;
    assert_eq!((status.status.as_u16(), status.text()), (405, ""));
    let lease = world.send(request("POST", "/lease/1/1/1/status", None, Body::empty())).await;
    assert_eq!((lease.status.as_u16(), lease.text()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let world = World::new().await;
    world.lease_in_rows().await;
    world.get(&world.alice.lease_path(), Some(&world.alice.full())).await;
    world.get("/strange-path-of-a-stranger", None).await;
    let page = world.get("/metrics", None).await;
    assert!(page.header("content-type").starts_with("application/openmetrics-text"));
    let text = page.text();
    assert!(text.contains(r#"route="/v1/leases/{owner}/{dseq}/{gseq}/{oseq}",status="200"} 1"#));
    assert!(text.contains(r#"route="none",status="404"} 1"#), "{text}");
    assert!(!text.contains("strange-path") && !text.contains(world.alice.address.as_str()));
    assert!(text.contains(r#"lessor_orders{phase="won"} 1"#), "{text}");
    assert!(text.contains("lessor_ready 1"));
}

#[tokio::test]
async fn the_public_listener_has_no_operators_routes_and_the_admins_has_no_webhooks() {
    use lessor::gateway::router;
    let mut world = World::new().await;
    world.router = router::public(&world.state);
    for path in ["/metrics", "/v1/orders", "/v1/streams"] {
        assert_eq!(world.get(path, Some(OPERATOR_TOKEN)).await.status, 404, "{path}");
    }
    assert_eq!(world.get("/v1/leases", Some(OPERATOR_TOKEN)).await.status, 200);
    world.router = router::admin(&world.state);
    assert_eq!(world.get("/v1/orders", Some(OPERATOR_TOKEN)).await.status, 200);
    let webhook = request("POST", "/webhooks/main", None, Body::empty());
    assert_eq!(world.send(webhook).await.status, 404);
}

#[tokio::test]
async fn the_document_is_served_as_it_is_committed() {
    let world = World::new().await;
    let answer = world.get("/openapi.json", None).await;
    assert_eq!(answer.text(), lessor::gateway::openapi::COMMITTED);
}
