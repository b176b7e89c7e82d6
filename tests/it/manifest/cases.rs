//! The uploaded JSON: recorded cases, the canonical form, the rules.

use lessor::manifest::{Manifest, Violation, check_groups};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::corpus;

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(value: &Value) -> Manifest {
    Manifest::from_json(value.to_string().as_bytes()).unwrap()
}

/// What is wrong with one recorded case, or nothing.
fn disagreement(case: &Value) -> Option<String> {
    let body = case["manifest_json"].as_str().unwrap();
    let manifest = match Manifest::from_json(body.as_bytes()) {
        Ok(manifest) => manifest,
        Err(violations) => return differs("decode", case.get("decode"), &violations),
    };
    if case.get("decode").is_some() {
        return Some("decodes".to_owned());
    }
    let hash = hex(manifest.hash());
    if hash != case["hash"].as_str().unwrap() {
        return Some(format!("hash {hash} of {}", manifest.canonical()));
    }
    if manifest.to_json() != case["canon"].as_str().unwrap() {
        return Some(format!("JSON {}", manifest.to_json()));
    }
    let groups =
        corpus::groups_from(&serde_json::from_str(case["groups_json"].as_str().unwrap()).unwrap());
    differs("validate", case.get("validate"), &manifest.check())
        .or_else(|| differs("check", case.get("check"), &manifest.check_against(&groups)))
        .or_else(|| differs("groups", case.get("groups_validate"), &check_groups(&groups)))
}

/// Compares the first violation's reference text with the recorded one. Where Go panics, any violation will do.
fn differs(step: &str, expected: Option<&Value>, violations: &[Violation]) -> Option<String> {
    let found = violations.first();
    let same = match (expected.and_then(Value::as_str), found) {
        (None, None) => true,
        (Some(text), Some(_)) if text.starts_with("panic:") => true,
        (Some(text), Some(violation)) => violation.reference.as_deref() == Some(text),
        _ => false,
    };
    (!same).then(|| format!("{step}: expected {expected:?}, found {found:?}"))
}

#[test]
fn recorded_manifests_get_the_recorded_verdict_text_and_hash() {
    let Some(cases) = corpus::read_json("vectors/manifest-json-cases.json") else { return };
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|case| disagreement(case).map(|why| format!("{}: {why}", case["id"])))
        .collect();
    println!("manifest JSON cases: {} of {}", cases.len() - wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn recorded_canonical_forms_are_their_own_canonical_form_and_have_the_recorded_hash() {
    let Some(vectors) = corpus::read_json("vectors/manifest-hash.json") else { return };
    for vector in &vectors {
        let canonical = vector.get("canonical").unwrap_or(&vector["go_canonical"]);
        let canonical = canonical.as_str().unwrap();
        let manifest = Manifest::from_json(canonical.as_bytes()).unwrap();
        assert_eq!(manifest.canonical(), canonical, "{}", vector["source"]);
        assert_eq!(hex(manifest.hash()), vector["go_head"].as_str().unwrap());
    }
    println!("manifest hash vectors: {} of {}", vectors.len(), vectors.len());
}

#[test]
fn a_manifest_of_another_version_is_refused_with_the_known_text() {
    let manifest = read(&corpus::small_manifest());
    assert_eq!(manifest.check_hash(&manifest.hash()), None);
    let violation = manifest.check_hash(&[0; 32]).unwrap();
    assert_eq!(violation.reference.as_deref(), Some("manifest version validation failed"));
}

#[test]
fn an_http_expose_without_host_is_refused_only_where_the_provider_names_none() {
    let mut value = corpus::small_manifest();
    let manifest = read(&value);
    assert!(manifest.http_hosts()[0].unnamed);
    let violations = manifest.check_hosts_named();
    assert_eq!(
        violations[0].reference.as_deref(),
        Some("manifest rejected: service \"web\" exposed on 80:TCP must have a hostname")
    );
    assert_eq!(violations[0].pointer, "/0/services/0/expose/0/hosts");

    value[0]["services"][0]["expose"][0]["hosts"] = serde_json::json!(["a.example"]);
    let manifest = read(&value);
    assert_eq!(manifest.http_hosts()[0].hostnames, ["a.example"]);
    assert_eq!(manifest.check_hosts_named(), []);
}

#[test]
fn all_violations_are_reported_at_once() {
    let mut value = corpus::small_manifest();
    let service = &mut value[0]["services"][0];
    service["image"] = "".into();
    service["env"] = serde_json::json!(["1BAD=secret", "another secret"]);
    service["expose"][0]["port"] = 0.into();
    service["expose"][0]["hosts"] = serde_json::json!(["UPPER.example"]);
    let violations = read(&value).check();
    let codes: Vec<_> = violations.iter().map(|violation| violation.code).collect();
    assert_eq!(codes, ["image-empty", "env-name", "env-name", "port-range", "hostname"]);
    let texts: String = violations.iter().map(ToString::to_string).collect();
    assert!(!texts.contains("secret"), "{texts}");
}

/// The same JSON with the members of every object in another order and unknown members added.
fn shuffled(value: &Value, seed: u64) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| shuffled(item, seed)).collect(),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let by = usize::try_from(seed % 7).unwrap() % members.len().max(1);
            members.rotate_left(by);
            if seed.is_multiple_of(2) {
                members.reverse();
            }
            let mut out: Map<_, _> =
                members.into_iter().map(|(k, v)| (k.clone(), shuffled(v, seed / 3))).collect();
            out.insert("unknown".to_owned(), Value::from(seed));
            Value::Object(out)
        }
        scalar => scalar.clone(),
    }
}

proptest! {
    #[test]
    fn canonical_form_is_idempotent_and_does_not_depend_on_the_order_of_members(
        seed: u64,
        name in "[a-z]{0,6}",
        image in "\\PC{0,12}",
        env in proptest::option::of(proptest::collection::vec(".{0,8}", 0..3)),
        count: u32,
        hosts in proptest::option::of(proptest::collection::vec("[a-z.<>&\u{2028}]{0,8}", 0..3)),
    ) {
        let mut value = corpus::small_manifest();
        let service = &mut value[0]["services"][0];
        service["name"] = name.into();
        service["image"] = image.into();
        service["env"] = env.into();
        service["count"] = count.into();
        service["expose"][0]["hosts"] = hosts.into();
        let manifest = read(&value);
        let canonical = manifest.canonical();
        prop_assert_eq!(&Manifest::from_json(canonical.as_bytes()).unwrap(), &manifest);
        prop_assert_eq!(&read(&shuffled(&value, seed)).canonical(), &canonical);
        prop_assert_eq!(
            Manifest::from_json(manifest.to_json().as_bytes()).unwrap().canonical(),
            canonical
        );
    }

    #[test]
    fn no_body_makes_the_decoder_panic(body: Vec<u8>, text in "[\\[{}\\]\",:a-z0-9 ]{0,64}") {
        for body in [body.as_slice(), text.as_bytes()] {
            if let Ok(manifest) = Manifest::from_json(body) {
                manifest.check();
            }
        }
    }
}
