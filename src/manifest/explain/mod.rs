//! Where the readings of one document differ, and why.
//!
//! Nothing is guessed: both readings are made, and what came out is compared, part by part. The surprising fact: two
//! manifests can be equal in every value and still have two hashes, because npm spells some of them in its own way.

mod compare;
mod topic;

use compare::Comparison;
use topic::Topic;

use super::{
    Compiled, Dialect, Violation,
    sdl::{Sdl, Traced},
};

/// One document, read twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What Go makes of it.
    pub go: Result<Compiled, Vec<Violation>>,
    /// What the npm package makes of it.
    pub npm: Result<Compiled, Vec<Violation>>,
    /// Where the two differ, in the order of the document; empty when both mean the same, and when both refuse it.
    pub differences: Vec<Difference>,
}

/// One place where two readings differ.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Stable name of the rule, such as `storage-order`.
    pub topic: &'static str,
    /// JSON pointer into the document.
    pub pointer: String,
    /// Line from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column from 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What Go reads.
    pub go: String,
    /// What npm reads.
    pub npm: String,
    /// Why, in one sentence.
    pub reason: &'static str,
}

/// Reads a document with Go's rules and with those of `npm`, and says where the results differ and why.
pub fn explain(text: &str, npm: Dialect) -> Explanation {
    Sdl::parse(text).explain(npm)
}

impl Sdl<'_> {
    /// Reads the document with Go's rules and with those of `npm`, and says where the results differ and why. No
    /// difference repeats values of environment variables, arguments, commands or credentials.
    pub fn explain(&self, npm: Dialect) -> Explanation {
        let (go, npm) = (self.trace(Dialect::Go), self.trace(npm));
        let mut differences = match (&go, &npm) {
            (Ok(go), Ok(npm)) => Comparison::of(go, npm),
            (Err(violations), Ok(_)) => refusals(violations, Dialect::Go),
            (Ok(_), Err(violations)) => refusals(violations, Dialect::Npm),
            (Err(_), Err(_)) => Vec::new(),
        };
        for difference in differences.iter_mut().filter(|found| found.line.is_none()) {
            (difference.line, difference.column) = self.locate(&difference.pointer);
        }
        differences.sort_by_key(|found| (found.line, found.column));
        let compiled = |traced: Traced| traced.compiled;
        Explanation { go: go.map(compiled), npm: npm.map(compiled), differences }
    }
}

/// What one reading refuses and the other accepts.
fn refusals(violations: &[Violation], by: Dialect) -> Vec<Difference> {
    let one = |violation: &Violation| {
        let topic = Topic::of_refusal(violation.code, &violation.pointer, by);
        let (refused, accepted) =
            (format!("refused: {}", violation.message), "accepted".to_owned());
        let (go, npm) = if by == Dialect::Go { (refused, accepted) } else { (accepted, refused) };
        Difference {
            topic: topic.name,
            pointer: violation.pointer.clone(),
            line: violation.line,
            column: violation.column,
            go,
            npm,
            reason: topic.reason,
        }
    };
    violations.iter().map(one).collect()
}
