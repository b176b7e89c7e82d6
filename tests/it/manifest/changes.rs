//! One small document, changed in one place at a time, as each dialect reads it.
//!
//! `changes.jsonl` has the document in its first line, then one change a line: its name, the place in characters, how many
//! characters go, what comes instead, and the first half of the hash that the Go packages, the npm release and the npm
//! sources since then give it, or null where they refuse it. The hashes are those programs' own.

use lessor::manifest::{Dialect, compile};

type Row = (String, usize, usize, String, Option<String>, Option<String>, Option<String>);

#[test]
fn every_change_gets_the_verdict_and_the_hash_of_each_reference() {
    let mut lines = include_str!("changes.jsonl").lines();
    let document: String = serde_json::from_str(lines.next().unwrap()).unwrap();
    let rows: Vec<Row> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut wrong = Vec::new();
    for (name, at, removed, inserted, go, npm, head) in &rows {
        let text: String = document
            .chars()
            .take(*at)
            .chain(inserted.chars())
            .chain(document.chars().skip(at + removed))
            .collect();
        for (dialect, expected) in Dialect::ALL.into_iter().zip([go, npm, head]) {
            let found = compile(&text, dialect).ok().map(|compiled| {
                compiled.hash[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            });
            if found != *expected {
                wrong.push(format!("{name} to {dialect}: {found:?}, expected {expected:?}"));
            }
        }
    }
    println!(
        "changes of one document: {} of {} readings",
        3 * rows.len() - wrong.len(),
        3 * rows.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
