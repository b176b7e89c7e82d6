//! What monitoring systems are given: every metric that the alerts and the dashboard of `deploy/monitoring` name is exported by a
//! provider at work, and says what happened.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use lessor::{client::Terms, cmd::dev};

use crate::{
    quick::{LIMIT, example, tenant, terms, world},
    support::eventually,
};

/// Names of metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("lessor_")
        .map(|(at, _)| text[at..].chars().take_while(|c| is_part(*c)).collect())
        .collect()
}

fn deployed(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("deploy/monitoring").join(name)).unwrap()
}

async fn metrics(dev: &dev::Dev) -> String {
    reqwest::get(format!("{}/metrics", dev.url)).await.unwrap().text().await.unwrap()
}

/// The names of the lines that carry values.
fn exported(metrics: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// Asks until the metrics have a line that begins so.
async fn say(dev: &dev::Dev, begin: &str) {
    eventually(begin, LIMIT, async || {
        metrics(dev).await.lines().any(|found| found.starts_with(begin)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_an_alert_or_a_graph_names_is_exported_and_true() {
    let folder = tempfile::tempdir().unwrap();
    let dev = world(&folder.path().join("data"), None, true).await;
    tenant(&dev, 0).deploy(&example("web.yaml"), Some(7), &terms(), &mut |_| {}).await.unwrap();
    let hasty = Terms { bid_wait: Duration::from_secs(1), ..terms() };
    let other = tenant(&dev, 3);
    let vain = other.deploy(&example("declined.yaml"), Some(8), &hasty, &mut |_| {}).await;
    assert!(vain.is_err());
    // As often as it was decided on.
    say(&dev, r#"lessor_order_decisions_total{action="decline",reason="attributes_mismatch"} "#)
        .await;
    // Once all is settled nothing waits but what the lease itself waits for.
    say(&dev, "lessor_tx_unconfirmed 0").await;
    let page = metrics(&dev).await;
    for line in [
        r#"lessor_order_decisions_total{action="bid",reason=""} 1"#,
        r#"lessor_condition_good{condition="bidding"} 1"#,
        r#"lessor_nodes{state="excluded"} 0"#,
        r#"lessor_stream_gap_blocks{stream="dev"} 0"#,
        "lessor_ready 1",
        "lessor_leases_open 1",
        "lessor_reservations_held 1",
        "lessor_deadletter_depth 0",
        "lessor_deadlines_overdue 0",
        "lessor_bid_tx_unconfirmed 0",
        "lessor_teardowns_held 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in:\n{page}");
    }
    let there = exported(&page);
    for file in ["alerts.yaml", "dashboard.json"] {
        let wanted = named(&deployed(file));
        let absent: Vec<&String> = wanted.difference(&there).collect();
        assert!(wanted.len() > 15, "{file}: {wanted:?}");
        assert!(absent.is_empty(), "{file} names what is not exported: {absent:?}");
        println!("{file} names {} metrics", wanted.len());
    }
    dev.stop().await;
}

#[test]
fn the_alerts_and_the_dashboard_are_whole() {
    let alerts: serde_json::Value = serde_saphyr::from_str(&deployed("alerts.yaml")).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rules.len(), "two alerts have one name");
    for rule in rules {
        let text = |value: &serde_json::Value| value.as_str().is_some_and(|text| text.len() > 10);
        let (expr, notes) = (rule["expr"].as_str().unwrap(), &rule["annotations"]);
        assert!(text(&notes["summary"]) && text(&notes["action"]), "{rule}");
        assert!(
            ["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap()),
            "{rule}"
        );
        assert_eq!(expr.matches('(').count(), expr.matches(')').count(), "{expr}");
        assert!(!named(expr).is_empty(), "{expr}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&deployed("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && !panel["title"].as_str().unwrap().is_empty(), "{panel}");
        assert!(
            targets.iter().all(|one| !named(one["expr"].as_str().unwrap()).is_empty()),
            "{panel}"
        );
    }
}
