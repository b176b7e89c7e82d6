//! The OpenAPI document: committed, complete, and within its own rules.

use std::{collections::BTreeSet, fs, path::Path};

use lessor::gateway::{openapi, problem::Code};
use serde_json::Value;

pub(super) fn document() -> Value {
    serde_json::from_str(&openapi::document()).unwrap()
}

/// Path, method and operation of every operation.
pub(super) fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.clone(), method.clone(), operation))
    });
    operations.collect()
}

#[test]
fn the_committed_document_is_what_the_code_says() {
    let generated = openapi::document();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/lessor.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(committed == generated, "run `lessor openapi > openapi/lessor.json`");
}

#[test]
fn every_operation_says_what_it_is_and_what_can_come_of_it() {
    let document = document();
    let operations = operations(&document);
    let mut ids = BTreeSet::new();
    for (path, method, operation) in &operations {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}: id is not unique");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at}: no summary");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{at}: one tag");
        let responses = operation["responses"].as_object().unwrap();
        // Switching protocols is what a websocket's success is called.
        let succeeds = |status: &String| status.starts_with('2') || status == "101";
        assert!(responses.keys().any(succeeds), "{at}: no success");
        for (status, response) in responses {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{at} {status}");
        }
        let is_wire = operation["tags"][0] == "wire";
        for (status, response) in responses.iter().filter(|_| !is_wire) {
            if status.starts_with('4') {
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{at} {status}");
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = &parameter["name"];
            assert!(
                !parameter["description"].as_str().unwrap_or_default().is_empty(),
                "{at} {name}"
            );
        }
    }
    println!("{} operations", operations.len());
    assert!(operations.len() > 30);
}

#[test]
fn every_problem_is_named_by_an_operation_or_belongs_to_the_router() {
    let document = document();
    let named: BTreeSet<&str> = operations(&document)
        .iter()
        .flat_map(|(_, _, operation)| operation["x-problems"].as_array().into_iter().flatten())
        .map(|code| code.as_str().unwrap())
        .collect();
    let of_the_router = ["route_not_found", "method_not_allowed", "not_found", "conflict"];
    for code in Code::ALL {
        let code = code.as_str();
        assert!(named.contains(code) || of_the_router.contains(&code), "{code} is never answered");
    }
    assert!(named.iter().all(|code| Code::find(code).is_some()));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} is not there");
    }
}
