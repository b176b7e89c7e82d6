//! Where two readings of a document differ, and why.

use std::collections::BTreeMap;

use lessor::manifest::{Dialect, compile, explain, readings};

use super::corpus;

/// A document with one thing in each of these places that the readings take differently.
const DOCUMENT: &str = r#"
version: "2.0"
services:
  web:
    image: nginx
    env: [] # kept apart by Go
    credentials: {host: h, username: u, password: hunter22, email: a@b.co}
    expose:
      - port: 8080
        to: [{global: true}]
      - port: 80
        as: 80
        to: [{global: true}]
      - port: 9000
profiles:
  compute:
    web:
      resources:
        cpu: {units: 1.0015}
        memory: {size: 0.3Gi}
        storage:
          - {name: big, size: 2Gi}
          - {name: small, size: 1Gi}
  placement:
    akash:
      attributes: {a-b: 1.0, a_b: 2}
      pricing:
        web: {denom: uakt, amount: 1}
deployment:
  web: {akash: {profile: web, count: 1}}
"#;

#[test]
fn every_difference_is_named_with_its_place_and_what_both_read() {
    let explanation = explain(DOCUMENT, Dialect::Npm);
    assert!(explanation.go.is_ok() && explanation.npm.is_ok());
    let found: Vec<_> =
        explanation.differences.iter().map(|found| (found.topic, found.line)).collect();
    assert_eq!(
        found,
        [
            ("empty-list", Some(6)),
            ("credentials-email", Some(7)),
            ("endpoint-order", Some(9)),
            ("expose-without-to", Some(9)),
            ("cpu-fraction", Some(19)),
            ("size-fraction", Some(20)),
            ("storage-order", Some(22)),
            ("attribute-text", Some(26)),
        ]
    );
}

#[test]
fn no_difference_repeats_a_secret() {
    let secret = DOCUMENT.replace("env: []", "env: [\"A=hunter22\u{2028}\"]");
    let explanation = explain(&secret, Dialect::Npm);
    assert!(explanation.differences.iter().any(|found| found.topic == "line-separator"));
    assert!(!format!("{:?}", explanation.differences).contains("hunter22"));
}

#[test]
fn every_difference_of_hash_or_verdict_in_the_recorded_documents_is_explained() {
    let Some(records) = corpus::read_json("sdl/expected.json") else { return };
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut verdicts, mut hashes) = (0, 0);
    for record in &records {
        let file = record["file"].as_str().unwrap();
        let text = corpus::read(&format!("sdl/{file}")).unwrap();
        let explanation = explain(&text, Dialect::Npm);
        let differs = match (&explanation.go, &explanation.npm) {
            (Ok(go), Ok(npm)) => go.hash != npm.hash,
            (go, npm) => go.is_ok() != npm.is_ok(),
        };
        let both = explanation.go.is_ok() && explanation.npm.is_ok();
        hashes += usize::from(differs && both);
        verdicts += usize::from(differs && !both);
        assert!(!(differs && explanation.differences.is_empty()), "{file}");
        for found in &explanation.differences {
            assert!(!matches!(found.topic, "go-rule" | "npm-rule"), "{file}: {found:?}");
            assert!(found.line.is_some(), "{file}: {found:?}");
            *topics.entry(found.topic).or_default() += 1;
        }
    }
    println!("explained: {hashes} hashes and {verdicts} verdicts; {topics:?}");
}

#[test]
fn a_document_that_is_parsed_once_is_read_in_every_dialect_as_if_it_were_parsed_for_it_alone() {
    let documents = [
        DOCUMENT.to_owned(),
        format!("%YAML 1.2\n---{DOCUMENT}"),
        format!("%WHO 1\n---{DOCUMENT}"),
        format!("{DOCUMENT}---\nanother: document"),
        format!("{DOCUMENT}...\n: [no YAML"),
        DOCUMENT.replace("env: []", "env: !own []"),
        DOCUMENT.replace("env: []", "env: !own [}"),
        DOCUMENT.replace("env: []", "env: [}"),
        format!("{DOCUMENT}x: !own {{}}\n---\n"),
    ];
    for text in documents {
        for (dialect, read) in readings(&text) {
            assert_eq!(read, compile(&text, dialect), "{dialect} of {text}");
        }
    }
    let hashes = readings(DOCUMENT).map(|(_, read)| read.unwrap().hash);
    assert_ne!(hashes[0], hashes[1], "one of the two is on chain");
}
