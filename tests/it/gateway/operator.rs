//! What an operator's page reads and sets: the verdict, the funnel, maintenance, backfill, and cursors that no page gave.

use axum::body::Body;
use http::Request;
use jiff::SignedDuration;
use lessor::{
    domain::OrderId,
    gateway::router,
    provider::port::{Commit, Delivery, FunnelStage, OrderRow, Reached, Subject},
};
use serde_json::{Value, json};

use super::{
    session::json_request,
    world::{OPERATOR_TOKEN, World, request, start},
};

fn by_operator(method: &str, path: &str, body: &Value) -> Request<Body> {
    let mut request = json_request(method, path, body);
    let token = format!("Bearer {OPERATOR_TOKEN}");
    request.headers_mut().insert("authorization", token.parse().unwrap());
    request
}

async fn wish(world: &World, body: Value) -> super::world::Answer {
    world.send(by_operator("PUT", "/v1/maintenance", &body)).await
}

#[tokio::test]
async fn anyone_reads_how_the_provider_stands_and_nothing_of_a_tenant() {
    let mut world = World::new().await;
    world.lease_in_rows().await;
    let answer = world.get("/v1/overview", None).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=1");
    let overview = answer.json();
    assert_eq!(overview["verdict"], "degraded");
    assert_eq!(overview["reason"], "chain_never_seen");
    assert_eq!(
        overview["totals"],
        json!({
            "orders_24h": 1, "bids_24h": 1, "leases_24h": 1, "leases_active": 1,
        })
    );
    assert_eq!(overview["freshness"]["streams"], 2);
    for private in [world.alice.address.as_str(), "app.example.com", "4005"] {
        assert!(!answer.text().contains(private), "{private}: {}", answer.text());
    }
    // The node answers, the indexer does not.
    let tick = request("POST", "/internal/v1/tick", Some(OPERATOR_TOKEN), Body::empty());
    assert_eq!(world.send(tick).await.status, 200);
    let overview = world.get("/v1/overview", None).await.json();
    assert_eq!(overview["freshness"]["height"], 1000);
    assert_eq!(overview["chain_id"], "lessor-devnet");
    assert_ne!(overview["reason"], "chain_never_seen");

    for router in [router::public(&world.state), router::admin(&world.state)] {
        world.router = router;
        assert_eq!(world.get("/v1/overview", None).await.status, 200);
    }
}

#[tokio::test]
async fn a_pause_is_kept_audited_and_said_to_everyone() {
    let world = World::new().await;
    let before = world.get("/v1/maintenance", Some(OPERATOR_TOKEN)).await.json();
    let go_on = json!({"decided": 0});
    let expected = json!({
        "state": "bidding", "reason": "", "by": "lessor", "teardowns": go_on.clone(), "windows": [],
    });
    assert_eq!(before, expected);
    let paused = wish(&world, json!({"state": "paused", "reason": "new disks"})).await.json();
    let expected = json!({
        "state": "paused", "reason": "new disks", "by": "operator", "since": start().to_string(),
        "teardowns": go_on, "windows": [],
    });
    assert_eq!(paused, expected);
    assert_eq!(world.get("/v1/maintenance", Some(OPERATOR_TOKEN)).await.json(), expected);
    let overview = world.get("/v1/overview", None).await.json();
    assert_eq!(
        (&overview["verdict"], &overview["message"]),
        (&json!("paused"), &json!("new disks"))
    );
    wish(&world, json!({"state": "maintenance", "reason": "node 3"})).await;
    assert_eq!(world.get("/v1/overview", None).await.json()["verdict"], "maintenance");
    wish(&world, json!({"state": "bidding"})).await;
    assert_ne!(world.get("/v1/overview", None).await.json()["verdict"], "maintenance");

    let audit = world.get("/v1/audit", Some(OPERATOR_TOKEN)).await.json();
    let lines: Vec<(&str, &str)> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["actor"].as_str().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        lines,
        [
            ("operator", "bidding"),
            ("operator", "maintenance: node 3"),
            ("operator", "paused: new disks"),
        ]
    );
}

#[tokio::test]
async fn a_pause_without_a_reason_or_with_a_bad_one_is_refused() {
    let world = World::new().await;
    for (body, code) in [
        (json!({"state": "paused"}), "maintenance_invalid"),
        (json!({"state": "paused", "reason": "  "}), "maintenance_invalid"),
        (json!({"state": "paused", "reason": "a\nb"}), "maintenance_invalid"),
        (json!({"state": "paused", "reason": "x".repeat(501)}), "maintenance_invalid"),
        (json!({"state": "asleep", "reason": "x"}), "malformed_body"),
        (json!({"reason": "x"}), "malformed_body"),
        (json!({"state": "paused", "reason": "x", "until": 5}), "malformed_body"),
    ] {
        assert_eq!(wish(&world, body.clone()).await.code(), code, "{body}");
    }
    let kept = world.get("/v1/maintenance", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(kept["state"], "bidding");
}

fn row(world: &World, dseq: u64, hours_ago: i64, stage: FunnelStage, held: &str) -> OrderRow {
    let seen_at = start() - SignedDuration::from_hours(hours_ago);
    OrderRow {
        id: OrderId::new(world.alice.address.clone(), dseq, 1, 1),
        phase: "declined".to_owned(),
        bid: None,
        lease: None,
        reached: Reached { stage, held_by: (!held.is_empty()).then(|| held.to_owned()) },
        seen_at,
        changed_at: seen_at,
        body: json!({}),
    }
}

#[tokio::test]
async fn the_funnel_counts_the_orders_of_its_window_and_names_what_holds_them() {
    let world = World::new().await;
    let rows = vec![
        row(&world, 1, 0, FunnelStage::Seen, "paused"),
        row(&world, 2, 0, FunnelStage::Seen, "paused"),
        row(&world, 3, 0, FunnelStage::Seen, "owner_not_allowed"),
        row(&world, 4, 0, FunnelStage::Eligible, "insufficient_capacity"),
        row(&world, 5, 0, FunnelStage::InBlock, "open"),
        row(&world, 6, 0, FunnelStage::Deployed, ""),
        row(&world, 7, 3, FunnelStage::Won, "awaiting_manifest"),
        row(&world, 8, 25, FunnelStage::Deployed, ""),
    ];
    let commit = Commit { state: Some(json!({})), orders: rows, ..Commit::default() };
    world.commit(Subject::Provider, &commit).await;

    let hour = world.get("/v1/funnel", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(hour["window"], "1h");
    let stages = |funnel: &Value| -> Vec<(String, u64)> {
        let stages = funnel["stages"].as_array().unwrap().iter();
        stages
            .map(|stage| {
                (stage["stage"].as_str().unwrap().to_owned(), stage["orders"].as_u64().unwrap())
            })
            .collect()
    };
    let counts = [6, 3, 2, 2, 2, 1, 1];
    let names = ["seen", "eligible", "priced", "sent", "in_block", "won", "deployed"];
    let expected: Vec<(String, u64)> =
        names.iter().zip(counts).map(|(name, count)| ((*name).to_owned(), count)).collect();
    assert_eq!(stages(&hour), expected);
    let id = |dseq: u64| format!("{}/{dseq}/1/1", world.alice.address);
    assert_eq!(hour["stages"][0]["dropped"], json!([]));
    assert_eq!(
        hour["stages"][1]["dropped"],
        json!([
            {"reason": "paused", "orders": 2, "sample": [id(2), id(1)]},
            {"reason": "owner_not_allowed", "orders": 1, "sample": [id(3)]},
        ])
    );
    assert_eq!(hour["stages"][5]["dropped"][0]["reason"], "open");
    assert_eq!(hour["stages"][6]["sample"], json!([id(6)]));

    let day = world.get("/v1/funnel?window=24h", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(stages(&day)[0], ("seen".to_owned(), 7));
    assert_eq!(day["stages"][6]["dropped"][0]["reason"], "awaiting_manifest");
    let answer = world.get("/v1/funnel?window=7d", Some(OPERATOR_TOKEN)).await;
    assert_eq!(answer.code(), "malformed_query");
}

#[tokio::test]
async fn a_backfill_is_taken_shown_and_audited() {
    let world = World::new().await;
    let ask = |stream: &str, body: Value| {
        let path = format!("/v1/streams/{stream}/backfill");
        world.send(by_operator("POST", &path, &body))
    };
    assert_eq!(ask("main", json!({})).await.code(), "nothing_missing");
    assert_eq!(ask("nobody", json!({})).await.code(), "stream_not_found");
    assert_eq!(ask("main", json!({"from": 9, "to": 5})).await.code(), "range_invalid");
    assert_eq!(ask("main", json!({"from": 0, "to": 5})).await.code(), "range_invalid");
    assert_eq!(ask("main", json!({"from": 1, "to": 300_000})).await.code(), "range_invalid");
    let answer = ask("main", json!({"from": 5, "to": 9})).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({"from": 5, "to": 9})));
    let stream = world.get("/v1/streams/main", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(stream["backfill"], json!({"from": 5, "to": 9}));
    let audit = world.get("/v1/audit", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(audit["items"][0]["action"], "backfill");
    assert_eq!(audit["items"][0]["subject"], "stream/main");
}

#[tokio::test]
async fn a_cursor_that_no_page_gave_is_the_callers_mistake() {
    let world = World::new().await;
    for path in ["orders", "bids", "leases", "transactions", "audit"] {
        for after in ["x", "-", "1", "a-b", "%F0%9F%A6%80", "99999999999999999999"] {
            let answer =
                world.get(&format!("/v1/{path}?after={after}"), Some(OPERATOR_TOKEN)).await;
            if answer.status == 200 && matches!(path, "transactions" | "audit") && after == "1" {
                // A number is where such a page may begin.
                continue;
            }
            let refused = (answer.status.as_u16(), answer.code());
            assert_eq!(refused, (400, "malformed_query".to_owned()), "{path} {after}");
            assert!(answer.json()["detail"].as_str().unwrap().contains("cursor"));
        }
    }
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_page_by_page() {
    let world = World::new().await;
    for number in 1..=3 {
        let delivery = Delivery {
            stream: "main".to_owned(),
            id: format!("msg-{number}"),
            digest: [number; 32],
            received_at: start() + SignedDuration::from_secs(number.into()),
            origin: "webhook",
        };
        world.state.provider.ingest(delivery, Vec::new(), None).await.unwrap();
    }
    let first = world.get("/v1/streams/main/deliveries?limit=2", Some(OPERATOR_TOKEN)).await.json();
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ["msg-3", "msg-2"]);
    assert_eq!(first["items"][0]["digest"], "03".repeat(32));
    assert_eq!(first["items"][0]["origin"], "webhook");
    let next = format!("/v1/streams/main/deliveries?after={}", first["next"].as_str().unwrap());
    let rest = world.get(&next, Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(ids(&rest), ["msg-1"]);
    assert!(rest["next"].is_null());
    let unknown = world.get("/v1/streams/nobody/deliveries", Some(OPERATOR_TOKEN)).await;
    assert_eq!(unknown.code(), "stream_not_found");
}

#[tokio::test]
async fn what_fails_again_and_again_is_shown_and_tried_at_once_when_asked() {
    let world = World::new().await;
    let subject = Subject::Deployment(world.alice.lease().deployment().clone());
    let store = &world.state.provider.store;
    let mut now = start();
    store.wake(std::slice::from_ref(&subject), None, now).await.unwrap();
    for failures in 1..=4_i64 {
        let until = now + SignedDuration::from_secs(30);
        let claimed = store.claim("w", now, until, 1).await.unwrap();
        now += SignedDuration::from_secs(60 * failures);
        store.give_back(&claimed[0].claim, now, Some("the node is away")).await.unwrap();
    }
    let stuck = world.get("/v1/stuck", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(stuck["items"][0]["subject"], subject.to_string());
    assert_eq!(stuck["items"][0]["failures"], 4);
    assert_eq!(stuck["items"][0]["last_error"], "the node is away");
    assert!(store.claim("w", start(), now, 1).await.unwrap().is_empty(), "it waits");
    let body = json!({ "subject": subject.to_string() });
    let answer = world.send(by_operator("POST", "/v1/stuck/retry", &body)).await;
    assert_eq!(answer.status, 202);
    assert_eq!(store.claim("w", start(), now, 1).await.unwrap().len(), 1);
    let lines = store.audit_lines(None, 10).await.unwrap().rows;
    assert!(lines.iter().any(|line| line.action == "try_now" && line.actor == "operator"));
    for body in [json!({ "subject": "deployment/nobody/1" }), json!({ "subject": "provider" })] {
        let answer = world.send(by_operator("POST", "/v1/stuck/retry", &body)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_stuck"));
    }
}
