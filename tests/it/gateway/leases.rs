//! What tenants and the operator read of orders and leases, and manifests the clean way.

use axum::body::Body;
use jiff::SignedDuration;
use lessor::provider::port::LogLine;
use serde_json::json;

use super::world::{DSEQ, OPERATOR_TOKEN, PROVIDER, SDL, World, hex, request, start};

#[tokio::test]
async fn a_tenant_lists_their_own_leases_and_the_operator_all() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let count = async |path: &str, token: &str| {
        world.get(path, Some(token)).await.json()["items"].as_array().unwrap().len()
    };
    assert_eq!(count("/v1/leases", &world.alice.full()).await, 1);
    assert_eq!(count("/v1/leases", &world.bob.full()).await, 0);
    assert_eq!(count("/v1/leases", OPERATOR_TOKEN).await, 1);
    assert_eq!(count("/v1/leases?state=closed", OPERATOR_TOKEN).await, 0);
    let of_bob = format!("/v1/leases?owner={}", world.bob.address);
    assert_eq!(count(&of_bob, OPERATOR_TOKEN).await, 0);
    // Not what the token is for.
    assert_eq!(count("/v1/leases", &world.alice.scoped(&["logs"])).await, 0);
    assert_eq!(world.get(&of_bob, Some(&world.alice.full())).await.code(), "scope_missing");
    for query in ["state=lost", "owner=me", "limit=0", "limit=501", "colour=red"] {
        let answer = world.get(&format!("/v1/leases?{query}"), Some(OPERATOR_TOKEN)).await;
        assert_eq!(answer.code(), "malformed_query", "{query}");
    }
}

#[tokio::test]
async fn a_lease_shows_what_the_cluster_says_now() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let path = world.alice.lease_path();
    let lease = world.get(&path, Some(&world.alice.full())).await.json();
    assert_eq!(lease["id"], world.alice.lease().to_string());
    assert_eq!((&lease["phase"], &lease["ready"]), (&json!("running"), &json!(true)));
    assert_eq!(lease["price"], json!({"amount": "2.30112", "denom": "uact"}));
    assert_eq!(lease["manifest_hash"], hex(&world.compiled.hash));
    assert_eq!(lease["services"][1]["hostnames"][0], "app.example.com");

    world.clock.set(start() + SignedDuration::from_secs(7));
    {
        let mut statuses = world.cluster.statuses.lock().unwrap();
        let web = &mut statuses.get_mut(&world.alice.lease()).unwrap().services[1];
        web.ready = 0;
        web.reason = Some("CrashLoopBackOff: exit 1".to_owned());
    }
    let lease = world.get(&path, Some(&world.alice.full())).await.json();
    assert_eq!(lease["ready"], false);
    assert_eq!(lease["services"][1]["reason"], "CrashLoopBackOff: exit 1");
    assert_eq!(lease["observed_at"], "2026-11-22T12:00:07Z");
}

#[tokio::test]
async fn a_token_for_one_service_shows_that_service_alone() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let token = world.alice.token(&json!({"access": "granular", "permissions": [{
        "provider": PROVIDER, "access": "granular",
        "deployments": [{"dseq": DSEQ, "scope": ["status", "logs"], "services": ["web"]}],
    }]}));
    let path = world.alice.lease_path();
    let services = world.get(&format!("{path}/services"), Some(&token)).await.json();
    assert_eq!(services["items"].as_array().unwrap().len(), 1);
    assert_eq!(services["items"][0]["name"], "web");
    let logs = |service: &str| format!("{path}/logs?follow=false&service={service}");
    assert_eq!(world.get(&logs("web"), Some(&token)).await.status, 200);
    assert_eq!(world.get(&logs("db"), Some(&token)).await.code(), "scope_missing");
    let me = world.get("/v1/me", Some(&token)).await.json();
    assert_eq!(me["address"], world.alice.address.as_str());
    let grants = json!([{"scope": ["logs", "status"], "dseq": DSEQ, "services": ["web"]}]);
    assert_eq!(me["grants"], grants);
}

#[tokio::test]
async fn a_lease_that_is_not_known_is_not_found_and_one_without_a_manifest_has_no_logs() {
    let world = World::new().await;
    let alice = world.alice.full();
    let path = world.alice.lease_path();
    for part in ["", "/services", "/logs", "/events"] {
        let answer = world.get(&format!("{path}{part}"), Some(&alice)).await;
        assert_eq!(answer.code(), "lease_not_found", "{part}");
    }
    let owner = &world.alice.address;
    for malformed in [format!("{owner}/0/1/1"), format!("{owner}/5/1/x"), "me/5/1/1".to_owned()] {
        let answer = world.get(&format!("/v1/leases/{malformed}"), Some(&alice)).await;
        assert_eq!(answer.code(), "malformed_path", "{malformed}");
    }
}

fn line(second: i64, service: &str) -> LogLine {
    LogLine {
        cursor: format!("{second:05}"),
        service: service.to_owned(),
        replica: format!("{service}-0"),
        at: start() + SignedDuration::from_secs(second),
        line: format!("line {second}\nwith <b>"),
        is_note: false,
    }
}

#[tokio::test]
async fn logs_are_events_with_ids_and_go_on_after_the_last_one() {
    let world = World::new().await;
    world.lease_in_rows().await;
    *world.cluster.lines.lock().unwrap() = vec![line(1, "web"), line(2, "db"), line(3, "web")];
    let path = format!("{}/logs?follow=false", world.alice.lease_path());
    let all = world.get(&path, Some(&world.alice.full())).await;
    assert_eq!(all.header("content-type"), "text/event-stream");
    let ids = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
    };
    assert_eq!(ids(all.text()), ["00001", "00002", "00003"]);
    assert!(all.text().contains(r#""line":"line 1\nwith <b>""#));
    assert!(all.text().ends_with("event: end\ndata: {}\n\n"), "{}", all.text());

    let mut resumed = request("GET", &path, Some(&world.alice.full()), Body::empty());
    resumed.headers_mut().insert("last-event-id", "00002".parse().unwrap());
    assert_eq!(ids(world.send(resumed).await.text()), ["00003"]);
    let of_db = world.get(&format!("{path}&service=db"), Some(&world.alice.full())).await;
    assert_eq!(ids(of_db.text()), ["00002"]);
}

#[tokio::test]
async fn a_stream_goes_on_after_ids_of_its_own_and_shows_services_of_the_lease_alone() {
    let world = World::new().await;
    world.lease_in_rows().await;
    *world.cluster.lines.lock().unwrap() = vec![line(1, "web"), line(2, "db")];
    let token = world.alice.full();
    for part in ["logs", "events"] {
        let path = format!("{}/{part}?follow=false", world.alice.lease_path());
        let mut garbage = request("GET", &path, Some(&token), Body::empty());
        garbage.headers_mut().insert("last-event-id", "garbage".parse().unwrap());
        let answer = world.send(garbage).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "malformed_query"));
    }
    let path = format!("{}/logs?follow=false&service=web,nope", world.alice.lease_path());
    let answer = world.get(&path, Some(&token)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "service_not_found"));
    assert!(answer.text().contains("nope"), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_that_follows_ends_with_the_process() {
    let world = World::new().await;
    world.lease_in_rows().await;
    *world.cluster.lines.lock().unwrap() = vec![line(1, "web")];
    let path = format!("{}/logs", world.alice.lease_path());
    let token = world.alice.full();
    let (answer, ()) = tokio::join!(world.get(&path, Some(&token)), async {
        world.state.shutdown.cancel();
    });
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("event: end"), "a cut is not an end: {}", answer.text());
}

#[tokio::test]
async fn a_decision_is_json_or_laid_out_for_reading() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let path = format!("/v1/orders/{}/decision", world.alice.order());
    let decision = world.get(&path, Some(&world.alice.full())).await.json();
    assert_eq!(decision["outcome"], "bid");
    assert_eq!(decision["stages"][0]["checks"][0]["name"], "order_open");
    let mut reading = request("GET", &path, Some(OPERATOR_TOKEN), Body::empty());
    reading.headers_mut().insert("accept", "text/plain".parse().unwrap());
    let text = world.send(reading).await;
    assert!(text.header("content-type").starts_with("text/plain"));
    assert!(text.text().contains("bid at 2.30112 uact per block"), "{}", text.text());
    let unknown = path.replace("/4005/", "/4006/");
    assert_eq!(world.get(&unknown, Some(OPERATOR_TOKEN)).await.code(), "order_not_found");
}

#[tokio::test]
async fn the_operator_reads_orders_bids_and_what_there_is() {
    let world = World::new().await;
    world.lease_in_rows().await;
    let operator = Some(OPERATOR_TOKEN);
    let orders = world.get("/v1/orders?phase=won", operator).await.json();
    assert_eq!(orders["items"][0]["id"], world.alice.order().to_string());
    assert_eq!(orders["items"][0]["bid"]["state"], "active");
    let none = world.get("/v1/orders?phase=declined", operator).await.json();
    assert_eq!(none["items"].as_array().unwrap().len(), 0);
    assert_eq!(world.get("/v1/orders?phase=gone", operator).await.code(), "malformed_query");
    let bids = world.get("/v1/bids?state=active", operator).await.json();
    assert_eq!(bids["items"][0]["price"]["amount"], "2.30112");
    for path in ["/v1/transactions", "/v1/deadlines", "/v1/inventory"] {
        assert_eq!(world.get(path, operator).await.status, 200, "{path}");
        let unknown = world.get(&format!("{path}?x=1"), operator).await;
        assert_eq!(unknown.code(), "malformed_query", "{path}");
    }
}

#[tokio::test]
async fn a_manifest_is_taken_as_json_and_as_sdl() {
    let world = World::new().await;
    world.lease_on_chain();
    let path = format!("/v1/deployments/{DSEQ}/manifest");
    let token = world.alice.full();
    let json = world.compiled.manifest.to_json();
    let hash = hex(&world.compiled.hash);
    for (media, body) in [("application/json", json), ("application/yaml", SDL.to_owned())] {
        let answer = world.put(&path, &token, media, body).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(answer.header("etag"), format!("\"{hash}\""));
        let accepted = answer.json();
        assert_eq!(accepted["hash"], hash);
        assert_eq!(accepted["leases"], json!([world.alice.lease().to_string()]));
        assert_eq!(accepted["hostnames"][0]["hostname"], "app.example.com");
    }
    let other = world.put(&path, &token, "text/html", String::new()).await;
    assert_eq!(other.code(), "unsupported_media_type");
    let large = world.put(&path, &token, "application/json", " ".repeat(1 << 21)).await;
    assert_eq!((large.status.as_u16(), large.code().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn a_manifest_that_breaks_rules_is_refused_with_every_one_and_its_place() {
    let world = World::new().await;
    let path = format!("/v1/deployments/{DSEQ}/manifest");
    let token = world.alice.full();
    let no_lease =
        world.put(&path, &token, "application/json", world.compiled.manifest.to_json()).await;
    assert_eq!((no_lease.status.as_u16(), no_lease.code().as_str()), (404, "no_lease"));
    world.lease_on_chain();

    let mut broken: serde_json::Value =
        serde_json::from_str(&world.compiled.manifest.to_json()).unwrap();
    broken[0]["services"][0]["image"] = "".into();
    broken[0]["services"][1]["expose"][0]["port"] = 0.into();
    let answer = world.put(&path, &token, "application/json", broken.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "manifest_invalid"));
    let problem = answer.json();
    let pointers: Vec<&str> = problem["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["pointer"].as_str().unwrap())
        .collect();
    assert!(pointers.contains(&"/0/services/0/image"), "{pointers:?}");
    assert!(pointers.contains(&"/0/services/1/expose/0/port"), "{pointers:?}");

    let other = SDL.replace("nginx:1", "nginx:2");
    let answer = world.put(&path, &token, "application/yaml", other).await;
    assert_eq!(answer.code(), "manifest_hash_mismatch");
    assert_eq!(answer.json()["expected"], hex(&world.compiled.hash));
    assert_eq!(answer.json()["reference"], "manifest version validation failed");
    let answer = world.put(&path, &token, "application/yaml", "services: [".to_owned()).await;
    assert_eq!(answer.code(), "sdl_invalid");

    let validate = format!("{path}:validate");
    let mut dry = request("POST", &validate, Some(&token), Body::from(SDL));
    dry.headers_mut().insert("content-type", "application/yaml".parse().unwrap());
    assert_eq!(world.send(dry).await.status, 200);
    // Nothing of all this was stored.
    let lease = world.alice.lease();
    let stored = lessor::provider::port::Store::manifests(&*world.store, lease.deployment()).await;
    assert!(stored.unwrap().is_empty());
}
