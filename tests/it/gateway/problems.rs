//! The catalogue of problems and its pages.

use std::collections::BTreeSet;

use axum::body::Body;
use lessor::{gateway::problem::Code, manifest::Rule};

use super::world::{World, request};

#[test]
fn codes_are_unique_and_each_has_a_title_and_a_text() {
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), Code::ALL.len());
    for code in Code::ALL {
        assert_eq!(Code::find(code.as_str()), Some(*code));
        assert!(code.status().is_client_error() || code.status().is_server_error());
        assert!(!code.title().is_empty() && code.when().ends_with('.'), "{}", code.as_str());
    }
}

#[tokio::test]
async fn every_code_has_a_page_and_the_index_leads_to_it() {
    let world = World::new().await;
    let index = world.get("/problems/", None).await;
    assert!(index.header("content-type").starts_with("text/html"));
    assert!(index.text().contains("<code>Retry-After</code>") && !index.text().contains('`'));
    for code in Code::ALL {
        let path = format!("/problems/{}", code.as_str());
        assert!(index.text().contains(&format!("href=\"{path}\"")), "{path}");
        let page = world.get(&path, None).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains(code.title()), "{path}");
        assert!(!page.text().contains('`'), "{path}: {}", page.text());
        let mut wants_json = request("GET", &path, None, Body::empty());
        wants_json.headers_mut().insert("accept", "application/json".parse().unwrap());
        let entry = world.send(wants_json).await.json();
        assert_eq!(entry["code"], code.as_str());
        assert_eq!(entry["status"], code.status().as_u16());
    }
    for rule in Rule::all() {
        let path = format!("/problems/{}", rule.code);
        assert!(Code::find(rule.code).is_none(), "{path} has two meanings");
        assert!(index.text().contains(&format!("href=\"{path}\"")), "{path}");
        let page = world.get(&path, None).await;
        assert_eq!(page.status, 200);
        let escaped =
            |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        for text in [rule.title, rule.good, rule.bad] {
            assert!(page.text().contains(&escaped(text)), "{path}: {text}");
        }
        let mut wants_json = request("GET", &path, None, Body::empty());
        wants_json.headers_mut().insert("accept", "application/json".parse().unwrap());
        let entry = world.send(wants_json).await.json();
        assert_eq!((&entry["code"], &entry["allowed"]), (&rule.code.into(), &rule.allowed.into()));
    }
    assert_eq!(world.get("/problems/no_such_code", None).await.code(), "problem_not_found");
}

#[tokio::test]
async fn an_error_of_ours_says_nothing_of_its_cause() {
    let world = World::new().await;
    *world.chain.is_away.lock().unwrap() = true;
    let answer = world.get("/v1/me", Some(&world.alice.full())).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "chain_unavailable"));
    assert!(!answer.text().contains("secret-host-name"));
}
