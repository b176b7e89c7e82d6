//! The catalogue of violations: complete, and its examples true.

use std::{collections::BTreeSet, fs, path::Path};

use lessor::manifest::{Dialect, Form, Manifest, Rule, Violation, check_groups, compile};

use super::corpus;

/// Has every part that the catalogue's examples change.
const DOCUMENT: &str = r#"
version: "2.0"
endpoints:
  front:
    kind: ip
reclamation:
  min_window: 24h
services:
  cache:
    image: redis:7
    expose:
      - port: 6379
        to:
          - service: web
  web:
    image: nginx:1.27
    env:
      - LOG_LEVEL=info
    expose:
      - port: 8080
        as: 80
        proto: tcp
        accept:
          - www.example.com
          - example.com
        to:
          - global: true
        http_options:
          max_body_size: 1048576
          next_cases: [error, timeout]
      - port: 53
        as: 53
        proto: udp
        to:
          - ip: front
            global: true
      - port: 54
        as: 54
        proto: udp
        to:
          - ip: front
            global: true
    params:
      storage:
        data:
          mount: /var/lib/data
        scratch:
          mount: /tmp/scratch
      permissions:
        read: [logs]
      tee: cpu-gpu
    credentials:
      host: registry.example.com
      username: reader
      password: not-in-any-message
profiles:
  compute:
    small:
      resources:
        cpu:
          units: 500m
        memory:
          size: 512Mi
        storage:
          size: 1Gi
    large:
      resources:
        cpu:
          units: 2
          attributes:
            arch: amd64
        memory:
          size: 4Gi
        storage:
          - size: 10Gi
          - name: data
            size: 20Gi
            attributes:
              persistent: true
              class: beta3
          - name: scratch
            size: 1Gi
            attributes:
              persistent: false
              class: ram
        gpu:
          units: 1
          attributes:
            vendor:
              nvidia:
                - model: a100
                  ram: 80Gi
                  interface: sxm
  placement:
    east:
      attributes:
        region: us-east
      pricing:
        small:
          denom: uact
          amount: 100
        large:
          denom: uact
          amount: 10000
deployment:
  cache:
    east:
      profile: small
      count: 1
  web:
    east:
      profile: large
      count: 1
"#;

pub(super) fn documents() -> [String; 2] {
    [DOCUMENT.to_owned(), DOCUMENT.replace("\"2.0\"", "\"2.1\"")]
}

/// The document with whole lines replaced; the indentation is the document's.
pub(super) fn with_lines(document: &str, good: &str, bad: &str) -> Option<String> {
    let wanted: Vec<&str> = good.lines().collect();
    let lines: Vec<&str> = document.lines().collect();
    let (at, indent) = (0..lines.len()).find_map(|at| {
        let indent = lines[at].len() - lines[at].trim_start().len();
        let found = lines.get(at..at + wanted.len())?.iter().zip(&wanted);
        let mut same = found.map(|(line, wanted)| line.get(indent..) == Some(*wanted));
        same.all(|same| same).then_some((at, indent))
    })?;
    let bad = bad.lines().map(|line| format!("{}{line}", " ".repeat(indent)));
    let (before, after) = (lines[..at].iter(), lines[at + wanted.len()..].iter());
    let all: Vec<String> =
        before.map(ToString::to_string).chain(bad).chain(after.map(ToString::to_string)).collect();
    Some(all.join("\n") + "\n")
}

/// JSON with members replaced, both in the compact spelling.
fn with_members(json: &str, good: &str, bad: &str) -> Option<String> {
    let compact = |text: &str| text.replace(": ", ":").replace(", ", ",");
    let good = compact(good);
    json.contains(&good).then(|| json.replacen(&good, &compact(bad), 1))
}

fn of_document(text: &str, dialect: Dialect) -> Vec<Violation> {
    compile(text, dialect).map_or_else(|violations| violations, |compiled| compiled.warnings)
}

/// What every check of a manifest says, with the plain document's groups and hash on chain.
fn of_manifest(body: &str) -> Vec<Violation> {
    let compiled = compile(DOCUMENT, Dialect::Go).unwrap();
    let manifest = match Manifest::from_json(body.as_bytes()) {
        Ok(manifest) => manifest,
        Err(violations) => return violations,
    };
    let mut all = manifest.check();
    all.extend(manifest.check_against(&compiled.groups));
    all.extend(manifest.check_hosts_named());
    all.extend(manifest.check_hash(&compiled.hash));
    all
}

/// What the checks say of other groups on chain, and of the plain document's manifest with them.
fn of_groups(json: &str) -> Vec<Violation> {
    let groups = corpus::groups_from(&serde_json::from_str(json).unwrap());
    let manifest = compile(DOCUMENT, Dialect::Go).unwrap().manifest;
    [check_groups(&groups), manifest.check_against(&groups)].concat()
}

/// What comes of a rule's bad example in the place of its good one; `None` where no good one is.
fn provoked(rule: &Rule) -> Option<Vec<Violation>> {
    let Rule { form, good, bad, .. } = *rule;
    let compiled = compile(DOCUMENT, Dialect::Go).unwrap();
    let in_documents = |dialect| {
        let changed: Vec<String> =
            documents().iter().filter_map(|document| with_lines(document, good, bad)).collect();
        let found = || changed.iter().flat_map(|text| of_document(text, dialect)).collect();
        (!changed.is_empty()).then(found)
    };
    match form {
        Form::Sdl => in_documents(Dialect::Go),
        Form::SdlForNpm => in_documents(Dialect::NpmHead),
        Form::WholeSdl => Some(of_document(bad, Dialect::Go)),
        Form::Manifest => {
            with_members(&compiled.manifest.to_json(), good, bad).map(|json| of_manifest(&json))
        }
        Form::WholeManifest => Some(of_manifest(bad)),
        Form::Groups => {
            let json = serde_json::to_string(&compiled.chain_groups()).unwrap();
            let changed = if bad == "[]" { Some(bad.to_owned()) } else { None };
            changed.or_else(|| with_members(&json, good, bad)).map(|json| of_groups(&json))
        }
        Form::Words => Some(of_words(rule.code)),
    }
}

/// Documents that are too much to be an example.
fn of_words(code: &str) -> Vec<Violation> {
    let verdict = |bytes: &[u8]| lessor::manifest::Verdict::of(bytes, Dialect::Go).violations;
    match code {
        "not-utf8" => verdict(b"version: \"\xff\""),
        "document-too-large" => verdict(&vec![b'#'; (1 << 20) + 1]),
        "document-too-deep" => {
            let mut text = "a0: &a0 [x]\n".to_owned();
            for depth in 1..70 {
                text.push_str(&format!("a{depth}: &a{depth} [*a{}]\n", depth - 1));
            }
            verdict(text.as_bytes())
        }
        // Of the command line alone, whose tests provoke it.
        "unreadable" => vec![Violation::whole("unreadable", "")],
        other => panic!("{other} has no example"),
    }
}

#[test]
fn the_document_of_the_examples_is_accepted_in_every_dialect() {
    for document in documents() {
        for dialect in [Dialect::Go, Dialect::NpmHead] {
            let compiled = compile(&document, dialect).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
            assert_eq!(compiled.warnings, [], "{dialect}");
        }
    }
    let manifest = compile(DOCUMENT, Dialect::Go).unwrap().manifest.to_json();
    let only: Vec<_> = of_manifest(&manifest).iter().map(|violation| violation.code).collect();
    assert_eq!(only, Vec::<&str>::new());
}

#[test]
fn every_rule_is_provoked_by_its_bad_example_and_says_what_was_found() {
    let mut wrong = Vec::new();
    for rule in Rule::all() {
        let code = rule.code;
        let Some(violations) = provoked(rule) else {
            wrong.push(format!("{code}: its good example is not in the document"));
            continue;
        };
        match violations.iter().find(|violation| violation.code == code) {
            None => wrong.push(format!("{code}: not reported, but {violations:?}")),
            Some(found) => {
                let in_document =
                    matches!(rule.form, Form::Sdl | Form::SdlForNpm) && !found.pointer.is_empty();
                if in_document && found.line.is_none() {
                    wrong.push(format!("{code}: no line: {found:?}"));
                }
                let texts = format!("{violations:?}");
                assert!(!texts.contains("not-in-any-message"), "{code}: {texts}");
            }
        }
    }
    println!("{} rules", Rule::all().count());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_checks_and_the_catalogue_have_the_same_codes() {
    let mut sources = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in ["manifest", "cmd/sdl"] {
        read_sources(&root.join(folder), &mut sources);
    }
    let known: BTreeSet<&str> = Rule::all().map(|rule| rule.code).collect();
    assert_eq!(known.len(), Rule::all().count(), "a code stands twice");
    let texts: BTreeSet<&str> = sources.split('"').collect();
    let unused: Vec<_> = known.difference(&texts).collect();
    assert!(unused.is_empty(), "in the catalogue and never reported: {unused:?}");
    let mut reported = BTreeSet::new();
    for call in ["violations.add(", ".add(", "unknown(", "Violation::whole(", "code:"] {
        reported.extend(sources.split(call).skip(1).filter_map(|after| {
            let literal = after.trim_start().strip_prefix('"')?;
            literal.split('"').next()
        }));
    }
    println!("{} codes stand beside their checks", reported.len());
    let unlisted: Vec<_> = reported.difference(&known).collect();
    assert!(unlisted.is_empty(), "reported and not in the catalogue: {unlisted:?}");
    assert!(reported.len() > 60);
}

#[test]
fn every_rule_is_a_page_worth_reading() {
    for rule in Rule::all() {
        assert_eq!(Rule::find(rule.code), Some(rule));
        assert!(rule.means.ends_with('.'), "{}: {}", rule.code, rule.means);
        assert!(rule.allowed.len() > 3 && !rule.title.ends_with('.'), "{}", rule.code);
        assert!(!rule.good.is_empty() && rule.good != rule.bad, "{}", rule.code);
    }
}

/// The text of every source file but the catalogue's.
fn read_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        } else if !path.ends_with("catalogue") {
            read_sources(&path, sources);
        }
    }
}
