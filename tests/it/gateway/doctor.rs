//! What keeps the provider from its work, as an operator is told.

use std::collections::BTreeMap;

use lessor::provider::port::LeaseStatus;
use serde_json::Value;

use super::world::{OPERATOR_TOKEN, World};

/// The verdict and the action of each finding, by name.
fn findings(answer: &Value) -> BTreeMap<&str, (&str, &str)> {
    let all = answer["findings"].as_array().unwrap();
    all.iter()
        .map(|found| {
            let of = |name: &str| found[name].as_str().unwrap();
            assert!(!of("detail").is_empty(), "{found}");
            (of("name"), (of("verdict"), of("action")))
        })
        .collect()
}

#[tokio::test]
async fn the_doctor_looks_at_everything_and_says_what_to_do_about_what_is_wrong() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/doctor", None).await.status, 401);
    let answer = world.get("/v1/doctor", Some(OPERATOR_TOKEN)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let found = findings(&answer);
    for name in [
        "tip",
        "account",
        "registration",
        "funds",
        "certificate",
        "cluster",
        "writers",
        "workloads",
        "outbox",
    ] {
        assert!(found.contains_key(name), "{name}: {found:?}");
    }
    assert_eq!((found["tip"].0, found["cluster"].0, found["store"].0), ("ok", "ok", "ok"));
    // Nobody has registered this provider, and it has no money.
    assert_eq!((found["registration"].0, found["funds"].0), ("fail", "fail"));
    assert_eq!(answer["verdict"], "fail");
    for (name, (verdict, action)) in &found {
        assert!(*verdict != "fail" || !action.is_empty(), "{name} says nothing of what to do");
        assert!(*verdict != "ok" || action.is_empty(), "{name}: {action}");
    }
}

#[tokio::test]
async fn the_doctor_answers_also_when_the_chain_does_not() {
    let world = World::new().await;
    *world.chain.is_away.lock().unwrap() = true;
    let answer = world.get("/v1/doctor", Some(OPERATOR_TOKEN)).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    let found = findings(&answer);
    assert_eq!(found["tip"].0, "fail");
    assert_eq!((found["cluster"].0, found["store"].0), ("ok", "ok"));
    assert!(!found.contains_key("clock"), "there is no block time to compare with");
}

#[tokio::test]
async fn what_runs_for_no_lease_is_shown_and_left_alone() {
    let world = World::new().await;
    let stray = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww/4711/1/1/akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz";
    let status = LeaseStatus {
        manifest_hash: "00".repeat(32),
        services: Vec::new(),
        forwarded_ports: Vec::new(),
    };
    world.cluster.statuses.lock().unwrap().insert(stray.parse().unwrap(), status);
    let answer = world.get("/v1/doctor", Some(OPERATOR_TOKEN)).await.json();
    assert_eq!(findings(&answer)["workloads"].0, "warn");
    let detail = answer["findings"].to_string();
    assert!(detail.contains("1 run for no lease") && detail.contains("/4711/"), "{detail}");
}
