//! SDL documents: the recorded verdicts, groups, manifests and hashes of the Go implementation.

use std::collections::BTreeMap;

use lessor::{
    domain::Denom,
    manifest::{Dialect, Manifest, Verdict, Violation, compile},
};
use proptest::prelude::*;
use serde_json::Value;

use super::corpus;

/// What is wrong with one recorded document, or nothing.
fn disagreement(text: &str, expected: &Value) -> Option<String> {
    let compiled = match compile(text, Dialect::Go) {
        Ok(compiled) => compiled,
        Err(violations) if expected["ok"] == true => return Some(listed(&violations)),
        Err(_) => return None,
    };
    if expected["ok"] != true {
        return Some(format!("accepted, though {}", expected["error"]));
    }
    let manifest: Value = serde_json::from_str(&compiled.manifest.to_json()).unwrap();
    if manifest != expected["manifest"] {
        return Some(format!("manifest {manifest}\nexpected {}", expected["manifest"]));
    }
    let hash: String = compiled.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    if hash != expected["version_hash"] {
        return Some(format!("hash {hash}"));
    }
    let groups = corpus::groups_from(&expected["groups"]);
    (compiled.groups != groups)
        .then(|| format!("groups {:#?}\nexpected {groups:#?}", compiled.groups))
}

fn listed(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n  {violation}")).collect()
}

#[test]
fn recorded_documents_get_the_recorded_verdict_groups_manifest_and_hash() {
    let Some(records) = corpus::read_json("sdl/expected.json") else { return };
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for record in &records {
        let file = record["file"].as_str().unwrap();
        let expected = &record["go"];
        let text = corpus::read(&format!("sdl/{file}")).unwrap();
        let found = disagreement(&text, expected);
        let refused = expected["ok"] != true;
        let same_text = refused
            && compile(&text, Dialect::Go).is_err_and(|violations| {
                let mut texts = violations.iter().filter_map(|found| found.reference.as_ref());
                texts.any(|text| expected["error"] == **text)
            });
        let set = file.split('/').next().unwrap().to_owned();
        let count = counts.entry(set).or_default();
        count[0] += usize::from(found.is_none());
        count[1] += 1;
        count[2] += usize::from(same_text);
        count[3] += usize::from(refused);
        wrong.extend(found.map(|why| format!("{file}: {why}")));
    }
    for (set, [same, all, same_text, refused]) in counts {
        println!("{set}: {same} of {all}; of {refused} refusals {same_text} with the known text");
    }
    println!("SDL documents: {} of {}", records.len() - wrong.len(), records.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Of the hash vectors, those whose source is part of the corpus.
#[test]
fn recorded_hashes_come_out_of_their_sources() {
    let Some(vectors) = corpus::read_json("vectors/manifest-hash.json") else { return };
    let mut counted = 0;
    for vector in &vectors {
        let Some(path) = vector["source"].as_str().unwrap().strip_prefix("testdata/") else {
            continue;
        };
        let text = corpus::read(&format!("sdl/testdata/{}", path.replace('/', "__"))).unwrap();
        let compiled = compile(&text, Dialect::Go).unwrap();
        assert_eq!(compiled.manifest.canonical(), vector["canonical"].as_str().unwrap(), "{path}");
        counted += 1;
    }
    println!("manifest hash vectors with source: {counted}");
    assert!(counted > 0);
}

const DOCUMENT: &str = r#"
version: "2.0"
services:
  web:
    image: nginx
    expose:
      - port: 80
        as: 80
        to:
          - global: true
profiles:
  compute:
    web:
      resources:
        cpu:
          units: 1
        memory:
          size: 512Mi
        storage:
          size: 1Gi
  placement:
    akash:
      pricing:
        web:
          denom: uakt
          amount: 100
deployment:
  web:
    akash:
      profile: web
      count: 1
"#;

fn refused(change: (&str, &str)) -> Vec<Violation> {
    let changed = DOCUMENT.replacen(change.0, change.1, 1);
    assert_ne!(changed, DOCUMENT, "{change:?} changes nothing");
    compile(&changed, Dialect::Go).unwrap_err()
}

#[test]
fn the_small_document_has_the_published_hash() {
    let compiled = compile(DOCUMENT, Dialect::Go).unwrap();
    let hash: String = compiled.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "a9bc0132f8fc7ee06a7f8edda436bb4425e84e3d173a5cfa23ffad42430aacc3");
    assert_eq!(Manifest::from_json(compiled.manifest.to_json().as_bytes()), Ok(compiled.manifest));
}

#[test]
fn a_violation_says_where_in_the_document_it_is() {
    for (change, code, pointer, line) in [
        (
            ("        cpu:\n          units: 1\n", ""),
            "resources-missing",
            "/profiles/compute/web/resources/cpu",
            15,
        ),
        (
            ("units: 1", "units: 2cores"),
            "bad-quantity",
            "/profiles/compute/web/resources/cpu/units",
            16,
        ),
        (("512Mi", "512"), "resource-range", "/profiles/compute/web/resources/memory/size", 18),
        (
            ("profile: web", "profile: wbe"),
            "unknown-compute-profile",
            "/deployment/web/akash/profile",
            30,
        ),
        (("port: 80", "port: 0"), "port-range", "/services/web/expose/0/port", 7),
        (("nginx", "''"), "image-empty", "/services/web/image", 5),
        (("amount: 100", "amount: 0"), "price", "/profiles/placement/akash/pricing/web", 25),
        (("version: \"2.0\"", "version: \"1.0\""), "version-unknown", "/version", 2),
        (("deployment:", "deployments:"), "unknown-section", "/deployments", 28),
        (("global: true", "global: maybe"), "wrong-type", "/services/web/expose/0/to/0/global", 10),
        (("image: nginx", "image: [nginx"), "yaml-syntax", "", 6),
    ] {
        let violations = refused(change);
        let first = &violations[0];
        assert_eq!((first.code, first.pointer.as_str()), (code, pointer), "{change:?}");
        assert_eq!(first.line, Some(line), "{change:?}: {first}");
    }
}

#[test]
fn faults_that_the_reference_would_find_one_after_the_other_are_told_at_once() {
    let mut document = DOCUMENT.to_owned();
    for (from, to) in [("nginx", "''"), ("512Mi", "512Xi"), ("units: 1", "units: 0")] {
        assert!(document.contains(from), "{from}");
        document = document.replacen(from, to, 1);
    }
    let found = compile(&document, Dialect::Go).unwrap_err();
    let mut told: Vec<(&str, &str)> =
        found.iter().map(|violation| (violation.code, &*violation.pointer)).collect();
    assert_eq!(
        told[0],
        ("bad-quantity", "/profiles/compute/web/resources/memory/size"),
        "the one that the reference tells is the first"
    );
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("bad-quantity", "/profiles/compute/web/resources/memory/size"),
            ("image-empty", "/services/web/image"),
            ("resource-range", "/profiles/compute/web/resources/cpu/units"),
        ]
    );
    // Neither a price nor a profile that is refused hides what is wrong with the service.
    for (from, to) in [("amount: 100", "amount: 0"), ("profile: web", "profile: wbe")] {
        let mut document = DOCUMENT.to_owned();
        for (from, to) in [("nginx", "''"), ("- port: 80", "- port: 0"), (from, to)] {
            assert!(document.contains(from), "{from}");
            document = document.replacen(from, to, 1);
        }
        let found = compile(&document, Dialect::Go).unwrap_err();
        for pointer in ["/services/web/image", "/services/web/expose/0/port"] {
            assert!(found.iter().any(|violation| violation.pointer == pointer), "{found:#?}");
        }
    }
    // What follows from another fault is not told as one more: the service is in no group, the price is not missing.
    for (change, codes) in [
        (("profile: web", "profile: wbe"), &["unknown-compute-profile", "no-pricing"][..]),
        (("amount: 100", "amount: x"), &["price"]),
    ] {
        let found = refused(change);
        let told: Vec<&str> = found.iter().map(|violation| violation.code).collect();
        assert_eq!(told, codes, "{change:?}");
    }
}

#[test]
fn a_misspelt_profile_is_answered_with_the_nearest_name_and_the_known_text() {
    let violations = refused(("profile: web", "profile: wbe"));
    assert!(violations[0].message.contains("did you mean \"web\"?"), "{}", violations[0]);
    assert_eq!(
        violations[0].reference.as_deref(),
        Some("SDL invalid: web.akash: no compute profile named wbe")
    );
}

#[test]
fn no_message_repeats_a_secret() {
    for secret in [
        "env: [hunter2 hunter2]",
        "env: {PASSWORD: hunter2}",
        "env: PASSWORD=hunter2",
        "env: [[PASSWORD=hunter2]]",
        "args: --password=hunter2",
        "credentials: hunter2",
        "credentials: {host: '', username: hunter2, password: hunter2}",
        "credentials: {host: h, username: u, password: [hunter2]}",
        "credentials: {host: h, username: u, password: !!int hunter2}",
    ] {
        for violation in refused(("image: nginx", &format!("image: nginx\n    {secret}"))) {
            assert!(!format!("{violation:?}").contains("hunter2"), "{secret}: {violation:?}");
        }
    }
    let body = br#"[{"services": [{"env": [4242], "credentials": {"password": 4242}}]}]"#;
    for violation in Manifest::from_json(body).unwrap_err() {
        assert!(!format!("{violation:?}").contains("4242"), "{violation:?}");
    }
}

#[test]
fn aliases_that_would_expand_without_end_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        let items = [alias.as_str(); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert_eq!(compile(&text, Dialect::Go).unwrap_err()[0].code, "document-too-large");
    assert_eq!(compile("a: &a [*a]", Dialect::Go).unwrap_err()[0].code, "yaml-syntax");
    assert!(compile(&"[".repeat(100_000), Dialect::Go).is_err());
    assert!(compile(&"- ".repeat(100_000), Dialect::Go).is_err());
    assert_eq!(
        compile(&" ".repeat(2 << 20), Dialect::Go).unwrap_err()[0].code,
        "document-too-large"
    );
}

#[test]
fn anchors_and_merges_are_followed() {
    let merged = DOCUMENT
        .replace("    akash:\n      pricing:", "    akash: &akash\n      pricing:")
        .replace("deployment:\n", "  # one more\n    second:\n      <<: *akash\ndeployment:\n")
        .replace("      count: 1\n", "      count: 1\n    second: {profile: web, count: 2}\n");
    let compiled = compile(&merged, Dialect::Go)
        .unwrap_or_else(|violations| panic!("{}", listed(&violations)));
    assert_eq!(compiled.groups.len(), 2);
    assert_eq!(compiled.groups[0].units[0].price, compiled.groups[1].units[0].price);
    assert_eq!(compiled.groups[1].units[0].count, 2);
}

#[test]
fn every_example_is_valid_and_priced_in_uact() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let compiled = compile(&text, Dialect::Go)
            .unwrap_or_else(|violations| panic!("{path:?}{}", listed(&violations)));
        for group in &compiled.groups {
            assert!(group.price().is_some_and(|price| price.denom == Denom::uact()), "{path:?}");
        }
        names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    assert!(names.iter().any(|name| name == "web"), "{names:?}");
}

#[test]
fn the_first_example_names_no_host() {
    let text = include_str!("../../../deploy/examples/web.yaml");
    let hosts = compile(text, Dialect::Go).unwrap().manifest.http_hosts();
    assert_eq!((hosts.len(), hosts[0].unnamed, hosts[0].hostnames.len()), (1, true, 0));
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_panic(text in "[-a-z0-9:&*<{}\\[\\]\"'|>!#%@ ,.\n\t~]{0,80}", any: String) {
        let _ = compile(&text, Dialect::Go);
        let _ = compile(&any, Dialect::Go);
    }

    #[test]
    fn no_damaged_document_makes_the_compiler_panic(
        from in 0..DOCUMENT.len(),
        length in 0..40_usize,
        with in "[-a-z0-9:&*{}\\[\\]\"' ,.\n~]{0,12}",
    ) {
        let to = (from + length).min(DOCUMENT.len());
        let damaged = format!("{}{with}{}", &DOCUMENT[..from], &DOCUMENT[to..]);
        if let Ok(compiled) = compile(&damaged, Dialect::Go) {
            let violations = compiled.manifest.check_against(&compiled.groups);
            prop_assert!(violations.is_empty(), "{}", listed(&violations));
        }
    }
}

#[test]
fn a_document_in_utf_16_is_refused_with_what_to_do_about_it() {
    let text = "version: \"2.0\"\n";
    for bytes in [
        text.encode_utf16().fold(b"\xff\xfe".to_vec(), |mut bytes, unit| {
            bytes.extend(unit.to_le_bytes());
            bytes
        }),
        text.encode_utf16().fold(b"\xfe\xff".to_vec(), |mut bytes, unit| {
            bytes.extend(unit.to_be_bytes());
            bytes
        }),
    ] {
        let violations = Verdict::of(&bytes, Dialect::Go).violations;
        let [violation] = &violations[..] else { panic!("{violations:?}") };
        assert_eq!((violation.code, violation.line), ("not-utf8", Some(1)));
        assert!(violation.message.contains("UTF-16") && violation.message.contains("UTF-8"));
    }
}
