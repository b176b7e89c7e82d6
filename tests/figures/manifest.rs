//! How fast documents and manifests become hashes, beside the npm package in the same run, and the worst that an input of
//! one mebibyte can do.

use std::{
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::Context;
use lessor::manifest::{Dialect, Manifest, Verdict, compile, explain, readings};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::report::{Figure, Goal, percentile};

/// How often each document is read; the median of these is the document's time.
const ROUNDS: usize = 25;

/// The package that is measured beside, and the YAML library that it is used with.
const PACKAGES: [&str; 2] = ["@akashnetwork/chain-sdk@1.0.0-alpha.25", "js-yaml@4.1.0"];

/// Measures every document that it is given as JSON, and prints the median of their medians in microseconds.
const SCRIPT: &str = r#"
const fs = require("fs"), yaml = require("js-yaml"), sdk = require("@akashnetwork/chain-sdk");
const median = (list) => list.sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)];
(async () => {
  const texts = JSON.parse(fs.readFileSync(process.argv[2])), times = [];
  const hash = async (text) => sdk.generateManifestVersion(sdk.generateManifest(yaml.load(text)).value.groups);
  for (let round = 0; round < 5; round++) for (const text of texts) { try { await hash(text); } catch {} }
  for (const text of texts) {
    const rounds = [];
    try {
      for (let round = 0; round < 25; round++) {
        const begin = process.hrtime.bigint();
        await hash(text);
        rounds.push(Number(process.hrtime.bigint() - begin) / 1000);
      }
      times.push(median(rounds));
    } catch {}
  }
  console.log(JSON.stringify({ median: median(times), count: times.length }));
})();
"#;

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn measure() -> anyhow::Result<()> {
    let texts = documents()?;
    let compiled: Vec<_> =
        texts.iter().filter_map(|text| compile(text, Dialect::Go).ok()).collect();
    let bodies: Vec<String> = compiled.iter().map(|compiled| compiled.manifest.to_json()).collect();
    let hash = |text: &String| drop(black_box(compile(text, Dialect::Go).map(|of| of.hash)));
    let read = |body: &String| {
        drop(black_box(Manifest::from_json(body.as_bytes()).map(|manifest| manifest.hash())));
    };
    let (sdl, allocations) = (median(&texts, hash), allocations(&texts, hash));
    let yaml = median(&texts, scan);
    Figure::new("sdl_hash", "SDL text to hash, median document", sdl, "µs", texts.len())
        .goal(Goal::AtMost(40.0))
        .floor(format!(
            "the YAML library alone takes {yaml:.0} µs; {allocations:.0} allocations; {:.0} bytes of text",
            mean_length(&texts)
        ))
        .today("450 µs in Go, 250 µs in TypeScript")
        .print();
    let (json, allocations) = (median(&bodies, read), self::allocations(&bodies, read));
    let skip = |body: &String| drop(black_box(serde_json::from_str::<IgnoredAny>(body)));
    let scanned = median(&bodies, skip);
    Figure::new(
        "manifest_hash",
        "manifest JSON to hash, median manifest",
        json,
        "µs",
        bodies.len(),
    )
    .goal(Goal::AtMost(10.0))
    .floor(format!(
        "the JSON library alone takes {scanned:.1} µs; {allocations:.0} allocations; {:.0} bytes of JSON",
        mean_length(&bodies)
    ))
    .print();
    match beside_npm(&texts) {
        Ok((npm, count)) => {
            Figure::new(
                "sdl_hash_npm",
                "as fast as the npm package, SDL to hash",
                npm / sdl,
                "times",
                count,
            )
            .goal(Goal::AtLeast(8.0))
            .floor(format!("the package takes {npm:.0} µs"))
            .print();
        }
        Err(error) => eprintln!("the npm package is not measured: {error:#}"),
    }
    let (mut slowest, mut largest) = ((0.0, String::new()), (0.0, String::new()));
    for (name, input) in hostile() {
        for (what, task) in TASKS {
            let begin = Instant::now();
            let memory = allocation_counter::measure(|| task(&input)).bytes_max;
            let (ms, mib) = (begin.elapsed().as_secs_f64() * 1e3, memory as f64 / 1_048_576.0);
            let label = format!("{name}, {what}");
            slowest = if ms > slowest.0 { (ms, label.clone()) } else { slowest };
            largest = if mib > largest.0 { (mib, label) } else { largest };
        }
    }
    let inputs = hostile().len();
    Figure::new("hostile_time", "longest answer to a hostile MiB", slowest.0, "ms", inputs)
        .goal(Goal::AtMost(150.0))
        .floor(slowest.1)
        .print();
    Figure::new("hostile_memory", "most memory for a hostile MiB", largest.0, "MiB", inputs)
        .goal(Goal::AtMost(64.0))
        .floor(largest.1)
        .print();
    Ok(())
}

/// The documents of the corpus that Go accepts, or the examples where there is no corpus.
fn documents() -> anyhow::Result<Vec<String>> {
    let root = env::var_os("LESSOR_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let mut texts = Vec::new();
    if let Ok(recorded) = fs::read_to_string(root.join("sdl/expected.json")) {
        let records: Vec<Value> = serde_json::from_str(&recorded)?;
        for record in records.iter().filter(|record| record["go"]["ok"] == true) {
            let file = record["file"].as_str().context("a record names its file")?;
            texts.push(fs::read_to_string(root.join("sdl").join(file))?);
        }
    } else {
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples"))? {
            texts.push(fs::read_to_string(entry?.path())?);
        }
    }
    Ok(texts)
}

/// The median over the inputs of each one's median, in microseconds.
fn median(inputs: &[String], task: impl Fn(&String)) -> f64 {
    let mut times: Vec<f64> = inputs
        .iter()
        .map(|input| {
            task(input);
            let mut rounds: Vec<f64> = (0..ROUNDS)
                .map(|_| {
                    let begin = Instant::now();
                    task(input);
                    begin.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            percentile(&mut rounds, 50.0)
        })
        .collect();
    percentile(&mut times, 50.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn allocations(inputs: &[String], task: impl Fn(&String)) -> f64 {
    let counts =
        inputs.iter().map(|input| allocation_counter::measure(|| task(input)).count_total as f64);
    percentile(&mut counts.collect::<Vec<_>>(), 50.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn mean_length(texts: &[String]) -> f64 {
    texts.iter().map(String::len).sum::<usize>() as f64 / texts.len().max(1) as f64
}

/// Installs the package from its registry into the temporary folder, once, and measures it.
fn beside_npm(texts: &[String]) -> anyhow::Result<(f64, usize)> {
    let folder = env::temp_dir().join("lessor-figures-npm");
    if !folder.join("node_modules/js-yaml").exists() {
        fs::create_dir_all(&folder)?;
        let mut install = Command::new("npm");
        install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        let output = install.arg(&folder).args(PACKAGES).output().context("start npm")?;
        anyhow::ensure!(output.status.success(), "npm install failed");
    }
    let (script, documents) = (folder.join("measure.cjs"), folder.join("documents.json"));
    fs::write(&script, SCRIPT)?;
    fs::write(&documents, serde_json::to_vec(texts)?)?;
    run_node(&script, &documents)
}

fn run_node(script: &Path, documents: &Path) -> anyhow::Result<(f64, usize)> {
    let output = Command::new("node").arg(script).arg(documents).output().context("start node")?;
    let found: Value = serde_json::from_slice(&output.stdout).context("what node measured")?;
    let median = found["median"].as_f64().context("a median")?;
    Ok((median, usize::try_from(found["count"].as_u64().unwrap_or_default())?))
}

/// Scans a document as its YAML library does and makes nothing of it.
#[expect(clippy::ptr_arg, reason = "one kind of task")]
fn scan(text: &String) {
    for event in granit_parser::Parser::new_from_str(text) {
        if black_box(event).is_err() {
            break;
        }
    }
}

type Task = fn(&String);

/// What is done with every hostile input: what a check, an explanation and an upload ask for.
const TASKS: [(&str, Task); 6] = [
    ("checked as Go", |input| drop(black_box(Verdict::of(input.as_bytes(), Dialect::Go)))),
    ("checked as npm", |input| drop(black_box(Verdict::of(input.as_bytes(), Dialect::Npm)))),
    ("checked as npm-head", |input| {
        drop(black_box(Verdict::of(input.as_bytes(), Dialect::NpmHead)));
    }),
    ("explained", |input| drop(black_box(explain(input, Dialect::Npm)))),
    ("uploaded as SDL", |input| drop(black_box(readings(input)))),
    ("uploaded as JSON", |input| {
        if let Ok(manifest) = Manifest::from_json(input.as_bytes()) {
            black_box((manifest.hash(), manifest.check()));
        }
    }),
];

/// Inputs of up to a mebibyte that want to be slow or large.
fn hostile() -> Vec<(&'static str, String)> {
    let fill = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let numbered = |before: &str, piece: fn(usize) -> String, after: &str| {
        let mut text = before.to_owned();
        for index in 0.. {
            let next = piece(index);
            if text.len() + next.len() + after.len() > 1 << 20 {
                break;
            }
            text.push_str(&next);
        }
        text + after
    };
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let alias = format!("*a{}", level - 1);
        let items = [alias.as_str(); 10].join(", ");
        bomb = format!("{bomb}a{level}: &a{level} [{items}]\n");
    }
    let service = |index: usize| format!("  s{index}: {{image: x}}\n");
    let deployed = |index: usize| format!("  s{index}: {{a: {{profile: w, count: 1}}}}\n");
    let head = "version: \"2.0\"\nprofiles: {compute: {w: {resources: {cpu: {units: 1}, memory: {size: 1Gi}, \
                storage: {size: 1Gi}}}}, placement: {a: {pricing: {w: {denom: uakt, amount: 1}}}}}\n";
    let many = |count: usize, wrong: &str| {
        let services: String = (0..count).map(service).collect();
        let deployment: String =
            (0..count).map(deployed).collect::<String>().replace("profile: w", wrong);
        format!("{head}services:\n{services}deployment:\n{deployment}")
    };
    vec![
        ("brackets", fill("[")),
        ("braces", fill("{")),
        ("dashes", fill("- ")),
        ("keys", fill("? ")),
        ("spaces", fill(" ")),
        ("tabs", fill("\t")),
        ("one scalar", fill("a")),
        ("one quoted scalar", format!("\"{}\"", fill("a"))),
        ("escapes", format!("a: \"{}\"", "\\u0041".repeat(170_000))),
        ("folded lines", format!("a: >\n{}", " a\n".repeat(340_000))),
        ("comments", fill("# x\n")),
        ("anchors", numbered("", |index| format!("- &a{index} x\n"), "")),
        ("aliases", format!("- &a x\n{}", "- *a\n".repeat(200_000))),
        ("aliases that expand", bomb),
        ("merges", numbered("x: &x {a: 1, b: 2}\ny:\n", |_| "  - <<: *x\n".to_owned(), "")),
        ("documents", fill("---\n")),
        ("100,000 services", numbered("services:\n", |index| format!("  s{index}:\n"), "")),
        ("many services", many(7_000, "profile: w")),
        ("many services without profile", many(7_000, "profile: wrong")),
        ("unknown keys", numbered("services: {web: {\n", |index| format!("k{index}: 1,\n"), "}}")),
        ("one key again", numbered("services: {web: {\n", |_| "k: 1,\n".to_owned(), "}}")),
        ("many exposes", {
            let exposes = "{port: 1, to: [{service: a}]}, ".repeat(7_000);
            let services = format!("services: {{web: {{image: x, expose: [{exposes}]}}}}\n");
            format!("{head}{services}deployment: {{web: {{a: {{profile: w, count: 1}}}}}}\n")
        }),
        (
            "many wrong ports",
            format!("services: {{web: {{expose: [{}]}}}}", "{port: x}, ".repeat(20_000)),
        ),
        ("many volumes", {
            let volumes = "{size: 1Gi}, ".repeat(20_000);
            format!("profiles: {{compute: {{w: {{resources: {{storage: [{volumes}]}}}}}}}}")
        }),
        ("a huge number", format!("version: {}", fill("9").split_off(64))),
        ("a huge count", format!("deployment: {{a: {{b: {{count: {}}}}}}}", "9".repeat(1_000_000))),
        (
            "a huge size",
            format!(
                "profiles: {{compute: {{a: {{resources: {{memory: {{size: {}Gi}}}}}}}}}}",
                "9".repeat(1_000_000)
            ),
        ),
        ("JSON groups", format!("[{}{{}}]", "{},".repeat(349_000))),
        ("JSON services", format!("[{{\"services\":[{}{{}}]}}]", "{},".repeat(349_000))),
        (
            "JSON texts",
            format!("[{{\"services\":[{{\"env\":[{}\"\"]}}]}}]", "\"\",".repeat(349_000)),
        ),
        (
            "JSON wrong texts",
            format!("[{{\"services\":[{{\"env\":[{}1]}}]}}]", "1,".repeat(500_000)),
        ),
        ("JSON depth", format!("[{{\"x\":{}", "[".repeat(1_000_000))),
        (
            "JSON number",
            format!(
                "[{{\"services\":[{{\"resources\":{{\"cpu\":{{\"units\":{{\"val\":\"{}\"}}}}}}}}]}}]",
                "9".repeat(1_000_000)
            ),
        ),
        ("JSON members", format!("[{{{}\"x\":1}}]", "\"name\":\"\",".repeat(90_000))),
    ]
}
