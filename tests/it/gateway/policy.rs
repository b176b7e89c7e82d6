//! Policy and prices over HTTP: versions, dry runs, and every mistake at once.

use axum::body::Body;
use serde_json::{Value, json};

use super::world::{Answer, OPERATOR_TOKEN, World, request};

async fn put(world: &World, query: &str, seen: Option<&str>, body: &Value) -> Answer {
    let path = format!("/v1/policy{query}");
    let mut asked = request("PUT", &path, Some(OPERATOR_TOKEN), Body::from(body.to_string()));
    if let Some(seen) = seen {
        asked.headers_mut().insert("if-match", seen.parse().unwrap());
    }
    world.send(asked).await
}

fn change(cpu: &str) -> Value {
    json!({ "policy": {}, "prices": { "cpu": cpu }, "reason": "a test of prices" })
}

#[tokio::test]
async fn a_change_is_made_on_the_version_that_was_seen() {
    let world = World::new().await;
    let read = world.get("/v1/policy", Some(OPERATOR_TOKEN)).await;
    assert_eq!((read.status.as_u16(), read.header("etag")), (200, "\"0\""));
    assert_eq!(read.json()["prices"]["cpu"], "0.004");

    assert_eq!(put(&world, "", None, &change("0.01")).await.code(), "version_missing");
    assert_eq!(put(&world, "", Some("*"), &change("0.01")).await.code(), "version_missing");
    let dry = put(&world, "?dry_run=true", Some("\"0\""), &change("0.01")).await;
    assert_eq!(dry.status, 200, "{}", dry.text());
    let changes = json!([{ "pointer": "/prices/cpu", "before": "0.004", "after": "0.01" }]);
    assert_eq!(dry.json(), json!({ "version": 0, "dry_run": true, "changes": changes }));
    assert_eq!(world.provider.rules().0, 0, "nothing was stored");

    let made = put(&world, "", Some("\"0\""), &change("0.01")).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (200, "\"1\""));
    assert_eq!(world.provider.settings().prices.cpu, "0.01".parse().unwrap());
    let late = put(&world, "", Some("\"0\""), &change("0.02")).await;
    assert_eq!(late.status, 412);
    assert_eq!(
        (late.code().as_str(), &late.json()["version"]),
        ("policy_version_differs", &json!(1))
    );
    put(&world, "", Some("\"1\""), &change("0.03")).await;

    let versions = world.get("/v1/policy/versions?limit=1", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(versions["items"][0]["version"], 2);
    assert_eq!(versions["items"][0]["made_by"], "operator");
    assert_eq!(versions["items"][0]["reason"], "a test of prices");
    let next = format!("/v1/policy/versions?after={}", versions["next"].as_str().unwrap());
    let rest = world.get(&next, Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(rest["items"][0]["prices"]["cpu"], "0.01");
    let audit = world.get("/v1/audit", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(audit["items"][0]["subject"], "policy/2");
    assert_eq!(audit["items"][0]["reason"], "a test of prices");
}

#[tokio::test]
async fn every_mistake_is_told_with_where_it_is() {
    let world = World::new().await;
    let body = json!({ "policy": { "max_volume": 1 }, "prices": { "cpu": -1 } });
    let refused = put(&world, "", Some("\"0\""), &body).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "policy_invalid"));
    let problem = refused.json();
    let told: Vec<&str> = problem["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["/policy/max_volume", "/prices/cpu", "/reason"]);
    assert!(refused.text().contains("did you mean \\\"max_volumes\\\"?"), "{}", refused.text());
    assert_eq!(put(&world, "?dry=1", Some("\"0\""), &body).await.code(), "malformed_query");
    assert_eq!(world.provider.rules().0, 0);
}
