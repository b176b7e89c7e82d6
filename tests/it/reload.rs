//! Settings that change while everything runs, over a real gateway: what is new takes effect, what is broken does not.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use lessor::{
    bidengine::Outcome,
    cmd::{dev, host},
    domain::{Amount, DeploymentId},
    event::key::{PrivateKey, SigningKey},
    relay::webhook,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    quick::{LIMIT, example, tenant, terms, world},
    support::eventually,
};

/// Deploys, and says at which price and with which version of the policy it was bid on.
async fn bid(dev: &dev::Dev, index: u32, dseq: u64) -> (Amount, u64) {
    let document = example("web.yaml");
    let deployed = tenant(dev, index).deploy(&document, Some(dseq), &terms(), &mut |_| {}).await;
    let id: DeploymentId = deployed.unwrap();
    let decision = dev.provider.store.decision(&id.group(1).order(1)).await.unwrap().unwrap();
    match decision.outcome {
        Outcome::Bid { price } => (price.amount, decision.policy_version),
        Outcome::NoBid { reason } => panic!("no bid: {reason:?}"),
    }
}

async fn condition(dev: &dev::Dev, name: &str) -> Value {
    let url = format!("{}/readyz", dev.url);
    // What exactly is wrong is told to the operator.
    let asked = reqwest::Client::builder().build().unwrap().get(url);
    let answer = asked.bearer_auth(dev.operator_token.expose_secret()).send().await.unwrap();
    let health: Value = answer.json().await.unwrap();
    let conditions = health["conditions"].as_array().unwrap();
    conditions.iter().find(|found| found["name"] == name).unwrap().clone()
}

/// Waits until the settings' condition has this reason.
async fn settings_are(dev: &dev::Dev, reason: &str) -> Value {
    eventually(reason, LIMIT, async || {
        let found = condition(dev, "settings").await;
        (found["reason"] == reason).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_change_from_the_file_and_from_the_route_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lessor.toml");
    fs::write(&file, "").unwrap();
    let dev = world(&folder.path().join("data"), Some(&file), true).await;
    let (first, version) = bid(&dev, 0, 7).await;
    assert_eq!(version, 1, "the settings are the first version");

    fs::write(&file, "[prices]\ncpu = \"0.04\"\n").unwrap();
    eventually("the file is in force", LIMIT, async || (dev.provider.rules().0 == 2).then_some(()))
        .await;
    let (second, version) = bid(&dev, 3, 8).await;
    assert!(second > first, "{second} after {first}");
    assert_eq!(version, 2);

    let url = format!("{}/v1/policy", dev.url);
    let token = dev.operator_token.expose_secret();
    let body = json!({
        "policy": {}, "prices": { "cpu": "0.08" }, "reason": "cores are few",
    });
    let put = reqwest::Client::builder().build().unwrap().put(&url).bearer_auth(token);
    let answer = put.header("if-match", "\"2\"").body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let (third, version) = bid(&dev, 4, 9).await;
    assert!(third > second, "{third} after {second}");
    assert_eq!(version, 3);

    fs::write(&file, "[prices]\ncpu = { secret = \"hunter2\" }\n").unwrap();
    let bad = settings_are(&dev, "bad_file").await;
    assert_eq!(bad["verdict"], "degraded", "it is ready with the last good ones");
    let ready = reqwest::get(format!("{}/readyz", dev.url)).await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(!bad.to_string().contains("hunter2"), "{bad}");
    fs::write(&file, "[prices]\ncpus = \"1\"\n").unwrap();
    eventually("the newer mistake is told", LIMIT, async || {
        let bad = settings_are(&dev, "bad_file").await;
        let message = bad["message"].as_str().unwrap().to_owned();
        message.contains("did you mean \"prices.cpu\"?").then_some(())
    })
    .await;
    assert_eq!(dev.provider.rules().0, 3, "the last good ones go on");

    // Another price and something that waits for a restart, which is said.
    fs::write(&file, "[prices]\ncpu = \"0.05\"\n[log]\nfilter = \"warn\"\n").unwrap();
    let waits = settings_are(&dev, "restart_needed").await;
    assert_eq!(waits["message"], "log are in force after a restart only");
    assert_eq!(dev.provider.rules().0, 4, "the newest change counts, whichever way it came");
    fs::write(&file, "[prices]\ncpu = \"0.05\"\n").unwrap();
    settings_are(&dev, "in_force").await;
    let lines = dev.provider.store.audit_lines(None, 100).await.unwrap().rows;
    let made: Vec<_> = lines
        .iter()
        .filter(|line| line.action == "policy")
        .map(|line| (line.actor.as_str(), line.subject.as_str()))
        .collect();
    assert_eq!(
        made,
        [
            ("settings", "policy/4"),
            ("operator", "policy/3"),
            ("settings", "policy/2"),
            ("settings", "policy/1")
        ]
    );
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_store_could_not_take_is_in_force_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lessor.toml");
    fs::write(&file, "").unwrap();
    let data = folder.path().join("data");
    let dev = world(&data, Some(&file), true).await;
    bid(&dev, 0, 7).await;
    let options = SqliteConnectOptions::new().filename(data.join("lessor.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    fs::write(&file, "[prices]\ncpu = \"0.04\"\n").unwrap();
    settings_are(&dev, "store_unavailable").await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    settings_are(&dev, "in_force").await;
    assert_eq!(dev.provider.rules().0, 2);
    dev.stop().await;
}

fn stream(keys: &[(&str, &PrivateKey, Option<Timestamp>)]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|(name, key, until)| {
            let until = until.map(|at| format!(", not_after = \"{at}\"")).unwrap_or_default();
            format!("{{ name = \"{name}\", key = \"{}\"{until} }}", key.public())
        })
        .collect();
    format!("[streams.acme]\nkeys = [{}]\n", keys.join(", "))
}

/// Sends an event that nobody handles; returns the status.
async fn deliver(dev: &dev::Dev, key: &PrivateKey, id: &str) -> u16 {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "urn:test", "type": "org.example.nothing",
        "datacontenttype": "application/json", "data": {},
    });
    let body = event.to_string().into_bytes();
    let key = SigningKey::Private(key.to_text().expose_secret().parse().unwrap());
    let headers = webhook::signed("acme", None, &body, &[key], host::now()).unwrap();
    let url = format!("{}/webhooks/acme", dev.url).parse().unwrap();
    webhook::send(url, &headers, body).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_key_is_rotated_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lessor.toml");
    let (old, new) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
    fs::write(&file, stream(&[("old", &old, None)])).unwrap();
    let dev = world(&folder.path().join("data"), Some(&file), true).await;
    assert_eq!(deliver(&dev, &old, "a").await, 202);
    assert_eq!(deliver(&dev, &new, "b").await, 401);

    let until = host::now().checked_add(SignedDuration::from_secs(20)).unwrap();
    fs::write(&file, stream(&[("old", &old, Some(until)), ("new", &new, None)])).unwrap();
    eventually("the new key counts", LIMIT, async || {
        (deliver(&dev, &new, "c").await < 300).then_some(())
    })
    .await;
    assert_eq!(deliver(&dev, &old, "d").await, 202, "both count until the old one's time is over");
    eventually("the old key does not count", LIMIT, async || {
        (deliver(&dev, &old, "e").await == 401).then_some(())
    })
    .await;
    assert!(host::now() >= until);
    assert_eq!(deliver(&dev, &new, "f").await, 202);
    dev.stop().await;
}
