//! What an operator applies to a cluster fits what lessor writes and reads there.

use std::collections::BTreeSet;

use lessor::cluster::kubernetes::object::Kind;
use serde_json::Value;

use super::{super::super::corpus, corpus::workloads, facts, settings};

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn roles() -> Vec<Value> {
    documents(include_str!("../../../../deploy/kubernetes/rbac.yaml"))
}

/// What the roles of this name allow, as `group/resource verb`.
fn allowed(name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let of_name = |role: &&Value| {
        role["metadata"]["name"] == name && role["kind"].as_str().unwrap().ends_with("Role")
    };
    for rule in
        roles().iter().filter(of_name).flat_map(|role| role["rules"].as_array().unwrap().clone())
    {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    found.insert(format!("{group}/{resource} {verb}"));
                }
            }
        }
    }
    found
}

#[test]
fn the_worker_may_write_every_kind_that_is_rendered_and_no_pod() {
    let worker = allowed("lessor-worker");
    for kind in Kind::ALL {
        let api = kind.api();
        for verb in ["list", "watch", "create", "patch", "delete"] {
            let right = format!("{}/{} {verb}", api.group, api.plural);
            assert!(worker.contains(&right), "{right}");
        }
    }
    for forbidden in
        ["/pods create", "/pods delete", "/pods/exec create", "/nodes delete", "/nodes create"]
    {
        assert!(!worker.contains(forbidden), "{forbidden}");
    }
    assert!(worker.iter().all(|right| !right.contains('*')
        && !right.ends_with(" escalate")
        && !right.ends_with(" bind")));
}

#[test]
fn the_gateway_reads_and_opens_shells_and_writes_nothing() {
    let gateway = allowed("lessor-gateway");
    for right in ["/pods watch", "/pods/log get", "/pods/exec create", "events.k8s.io/events watch"]
    {
        assert!(gateway.contains(right), "{right}");
    }
    let writes = |right: &&String| {
        !["get", "list", "watch"].iter().any(|verb| right.ends_with(&format!(" {verb}")))
    };
    let writing: Vec<_> = gateway.iter().filter(writes).collect();
    assert_eq!(writing, ["/pods/exec create"]);
    assert!(!gateway.iter().any(|right| right.contains("secrets")));
}

/// What a service may be allowed to read, lessor must hold itself, or the API server refuses the Role.
#[test]
fn the_worker_holds_what_a_tenant_may_be_granted() {
    let worker = allowed("lessor-worker");
    for right in
        ["/pods", "apps/deployments", "apps/statefulsets", "/events", "events.k8s.io/events"]
    {
        for verb in ["get", "list", "watch"] {
            assert!(worker.contains(&format!("{right} {verb}")), "{right} {verb}");
        }
    }
    assert!(worker.contains("/pods/log get"));
}

/// A field that the schema does not have would be dropped, or refused by strict validation.
#[test]
fn every_field_of_every_custom_resource_is_in_its_schema() {
    let definitions: Vec<Value> = [
        include_str!("../../../../deploy/kubernetes/crds/manifests.yaml"),
        include_str!("../../../../deploy/kubernetes/crds/providerhosts.yaml"),
        include_str!("../../../../deploy/kubernetes/crds/providerleasedips.yaml"),
    ]
    .into_iter()
    .flat_map(documents)
    .collect();
    let schema = |plural: &str| {
        let named = |one: &&Value| one["spec"]["names"]["plural"] == plural;
        let definition = definitions.iter().find(named).unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let served: Vec<_> = versions.iter().filter(|version| version["served"] == true).collect();
        assert_eq!(served.len(), 1);
        assert_eq!(served[0]["name"], "v2beta2");
        served[0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
    };
    let Some(text) = corpus::read("sdl/expected.json") else { return };
    let records: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut settings = settings();
    settings.credentials_in_manifest = true;
    for kind in ["cpu", "cpu-gpu"] {
        settings.runtime_classes.tee.insert(kind.to_owned(), "kata".to_owned());
    }
    let (mut counted, mut wrong) = (0, BTreeSet::new());
    for record in records.iter().filter(|record| record["go"]["ok"] == true) {
        for workload in workloads(&record["go"]["manifest"]) {
            let rendered =
                lessor::cluster::kubernetes::render::render(&workload, &settings, &facts())
                    .unwrap();
            for object in
                rendered.objects.iter().filter(|one| one.id.kind.api().group == "akash.network")
            {
                counted += 1;
                let name = object.id.kind.api().plural;
                strays(&object.body["spec"], &schema(name), name, &mut wrong);
            }
        }
    }
    println!("custom resources: {counted}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn strays(value: &Value, schema: &Value, path: &str, wrong: &mut BTreeSet<String>) {
    let is_of = match schema["type"].as_str().unwrap_or("none") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => false,
    };
    if !is_of {
        wrong.insert(format!("{path}: {value} is not of {schema}"));
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        strays(value, &schema["properties"][name], &format!("{path}/{name}"), wrong);
    }
    for value in value.as_array().into_iter().flatten() {
        strays(value, &schema["items"], path, wrong);
    }
}
