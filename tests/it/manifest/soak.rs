//! Damages documents and manifests at random for a while: nothing may panic, loop or break what holds of every reading.
//!
//! `LESSOR_FUZZ_SECONDS` says how long each target runs (1 unless given), `LESSOR_FUZZ_SEED` replays one case. A failure
//! prints its seed.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use lessor::manifest::{Dialect, MAX_VIOLATIONS, Manifest, Violation, compile, explain};

use super::corpus;

/// A sequence of numbers that a seed determines.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// Pieces that mean something to one of the two grammars.
const PIECES: [&str; 56] = [
    "\n",
    "  ",
    "- ",
    ": ",
    "~",
    "null",
    "[]",
    "{}",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!x ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\t",
    "\r",
    "\u{feff}",
    "\u{2028}",
    "0",
    "-1",
    "0x10",
    "0120",
    "1e999",
    ".inf",
    ".nan",
    "18446744073709551616",
    "1_000",
    "true",
    "yes",
    "2020-01-01",
    "512Mi",
    "1.5Gb",
    "100m",
    "global: true",
    "ip: x",
    "version: \"2.1\"",
    "storage:",
    "attributes:",
    "vendor:",
    "count:",
    "\\u0000",
    "\"val\":",
    "null,",
    "é",
    "\u{1f600}",
];

fn damaged(random: &mut Random, seeds: &[String]) -> String {
    let mut text = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let from = ends[random.below(ends.len())];
        let to =
            ends[(ends.partition_point(|end| *end < from) + random.below(24)).min(ends.len() - 1)];
        let piece = match random.below(4) {
            0 => String::new(),
            1 => text[from..to].repeat(1 + random.below(8)),
            2 => random.pick(&PIECES).to_owned(),
            _ => {
                let line = random.below(text.lines().count());
                text.lines().nth(line).unwrap_or_default().to_owned() + "\n"
            }
        };
        text.replace_range(from..to, &piece);
    }
    text
}

fn check_violations(violations: &[Violation], may_be_none: bool) {
    assert!(may_be_none || !violations.is_empty(), "refused without a reason");
    assert!(violations.len() <= MAX_VIOLATIONS);
    assert!(violations.iter().all(|found| !found.message.is_empty() && found.message.len() < 4096));
}

fn try_document(text: &str) {
    for dialect in Dialect::ALL {
        match compile(text, dialect) {
            Ok(compiled) => {
                check_violations(&compiled.warnings, true);
                let read = Manifest::from_json(compiled.manifest.to_json().as_bytes());
                assert_eq!(read.as_ref(), Ok(&compiled.manifest));
                if dialect == Dialect::Go {
                    assert_eq!(compiled.manifest.hash(), compiled.hash);
                    assert_eq!(compiled.manifest.check_against(&compiled.groups), []);
                }
            }
            Err(violations) => check_violations(&violations, false),
        }
    }
    let explanation = explain(text, Dialect::Npm);
    let differs = match (&explanation.go, &explanation.npm) {
        (Ok(go), Ok(npm)) => go.hash != npm.hash,
        (go, npm) => go.is_ok() != npm.is_ok(),
    };
    assert!(!differs || !explanation.differences.is_empty(), "a difference is not explained");
}

fn try_manifest(text: &str) {
    match Manifest::from_json(text.as_bytes()) {
        Ok(manifest) => {
            check_violations(&manifest.check(), true);
            let canonical = manifest.canonical();
            let again = Manifest::from_json(canonical.as_bytes()).map(|again| again.canonical());
            assert_eq!(again, Ok(canonical));
        }
        Err(violations) => check_violations(&violations, false),
    }
}

/// Runs one target for its time, or one seed.
fn fuzz(name: &str, seeds: &[String], target: fn(&str)) {
    let number = |variable: &str| env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let replayed = number("LESSOR_FUZZ_SEED");
    let end = Instant::now() + Duration::from_secs(number("LESSOR_FUZZ_SECONDS").unwrap_or(1));
    let (first, mut cases) = (replayed.unwrap_or(1), 0_u64);
    while cases == 0 || (replayed.is_none() && Instant::now() < end) {
        let seed = first + cases;
        let text = damaged(&mut Random(seed), seeds);
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&text)));
        assert!(outcome.is_ok(), "{name}: LESSOR_FUZZ_SEED={seed} fails with\n{text}");
        cases += 1;
    }
    println!("{name}: {cases} damaged texts");
}

const DOCUMENTS: [&str; 2] = [
    include_str!("../../../deploy/examples/web.yaml"),
    r#"
version: "2.1"
x: &x {size: 1Gi, attributes: {persistent: true, class: beta3}}
endpoints: {ip-a: {kind: ip}}
services:
  web: &web
    image: "nginx"
    env: [A=1, "B=\u2028"]
    params: {storage: {data: {mount: /data, readOnly: false}}, permissions: {read: [logs]}}
    credentials: {host: h, username: u, password: secret12, email: a@b.co}
    expose:
      - {port: 80, as: 80, accept: [a.example], to: [{global: true, ip: ip-a}], http_options: {next_cases: ["500"]}}
      - {port: 0120, proto: udp, to: [{service: db}]}
  db: {<<: *web, image: pg, expose: [{port: 5432}]}
profiles:
  compute:
    web:
      resources:
        cpu: {units: 1.5, attributes: {arch: amd64}}
        memory: {size: 0.3Gi}
        storage: [{name: data, size: 1Gi, attributes: {persistent: true, class: beta3}}, {name: b, size: 1Gi}]
        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: t4, ram: 16Gi, interface: pcie}, {model: a100}]}}}
  placement:
    akash: {attributes: {a-b: 1.0, a_b: ~}, signedBy: {anyOf: [x]}, pricing: {web: {denom: uakt, amount: 0.5}}}
deployment:
  web: {akash: {profile: web, count: 1}}
  db: {akash: {profile: web, count: 2}}
reclamation: {min_window: 1h30m}
"#,
];

#[test]
fn damaged_documents_are_read_or_refused_with_reasons() {
    let mut seeds = DOCUMENTS.map(str::to_owned).to_vec();
    for record in corpus::read_json("sdl/expected.json").unwrap_or_default().iter().step_by(5) {
        let file = record["file"].as_str().unwrap();
        seeds.extend(corpus::read(&format!("sdl/{file}")).filter(|text| text.len() < 4096));
    }
    fuzz("documents", &seeds, try_document);
}

#[test]
fn damaged_manifests_are_read_or_refused_with_reasons() {
    let mut seeds = vec![corpus::small_manifest().to_string()];
    let compiled = DOCUMENTS.iter().filter_map(|text| compile(text, Dialect::Go).ok());
    seeds.extend(compiled.map(|compiled| compiled.manifest.to_json()));
    for case in corpus::read_json("vectors/manifest-json-cases.json").unwrap_or_default() {
        seeds.extend(case["manifest_json"].as_str().map(str::to_owned));
    }
    fuzz("manifests", &seeds, try_manifest);
}
