//! SDL documents as the npm package reads them: its recorded verdicts and hashes.

use lessor::manifest::{Dialect, compile};
use serde_json::Value;

use super::corpus;

/// What is wrong with one recorded document, or nothing.
fn disagreement(text: &str, expected: &Value) -> Option<String> {
    match (compile(text, Dialect::Npm), expected["ok"] == true) {
        (Ok(compiled), true) => {
            let hash: String = compiled.hash.iter().map(|byte| format!("{byte:02x}")).collect();
            (hash != expected["version_hash"])
                .then(|| format!("hash {hash} of {}", compiled.manifest.canonical()))
        }
        (Ok(_), false) => Some(format!("accepted, though {}", expected["error_class"])),
        (Err(violations), true) => Some(format!("refused: {}", violations[0])),
        (Err(_), false) => None,
    }
}

#[test]
fn recorded_documents_get_the_recorded_verdict_and_hash_of_the_npm_package() {
    let Some(records) = corpus::read_json("sdl/expected.json") else { return };
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for record in &records {
        let file = record["file"].as_str().unwrap();
        let text = corpus::read(&format!("sdl/{file}")).unwrap();
        accepted += usize::from(record["ts"]["ok"] == true);
        wrong.extend(disagreement(&text, &record["ts"]).map(|why| format!("{file}: {why}")));
    }
    let (same, all) = (records.len() - wrong.len(), records.len());
    println!("SDL documents as npm reads them: {same} of {all}, {accepted} of them accepted");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
