//! SDL documents to groups and manifest.
//!
//! The way of a document: text → [`yaml`] tree → typed [`document`] → [`rules`] that span sections → [`build`] → the
//! chain's rules for groups and the provider's for manifests. Each stage reports all it finds; the next one starts when
//! nothing was found.
//!
//! This is the dialect of the Go implementation. The surprising fact: it is more forgiving about shape than the published
//! JSON schema (unknown keys are mostly ignored), and stricter about values.

mod build;
mod cursor;
mod document;
mod go_sort;
mod origin;
mod profile;
mod quantity;
mod rules;
mod scalar;
mod service;
mod yaml;

use std::time::Duration;

use document::Document;
use yaml::Tree;

use super::{
    Dialect, MAX_DOCUMENT_BYTES, Manifest, Violation, check_groups, violation::Violations,
};
use crate::domain::GroupSpec;

/// What a deployment is created from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The groups, for the chain, sorted by name.
    pub groups: Vec<GroupSpec>,
    /// The manifest, for the provider ([`Manifest::to_json`] is the body to upload).
    pub manifest: Manifest,
    /// The manifest's hash, for the chain.
    pub hash: [u8; 32],
    /// How long a provider must warn before it takes the lease back, if the document says so.
    pub reclamation: Option<Duration>,
    /// What the chain or a provider will refuse although this reading accepts it, and hashes that no provider comes to;
    /// empty in Go's reading.
    pub warnings: Vec<Violation>,
}

/// Compiles an SDL document of version 2.0 or 2.1 as `dialect` reads it.
///
/// # Errors
/// Everything that is wrong with it, in document terms: pointers lead into the document, with line and column.
pub fn compile(text: &str, dialect: Dialect) -> Result<Compiled, Vec<Violation>> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let mut violations = Violations::default();
        let message =
            format!("document has {} bytes, at most {MAX_DOCUMENT_BYTES} are read", text.len());
        violations.add("document-too-large", "", message);
        return Err(violations.into_vec());
    }
    let mut violations = Violations::default();
    let Some(tree) = Tree::parse(text, &mut violations) else { return Err(violations.into_vec()) };
    compile_tree(&tree).map_err(|mut violations| {
        for violation in &mut violations {
            locate(violation, &tree);
        }
        violations
    })
}

fn compile_tree(tree: &Tree) -> Result<Compiled, Vec<Violation>> {
    let mut violations = Violations::default();
    let document = Document::read(tree, &mut violations);
    if let Some(document) = &document {
        rules::check(document, &mut violations);
    }
    let Some(document) = document.filter(|_| violations.is_empty()) else {
        return Err(without_repetition(violations.into_vec()));
    };
    let build::Built { groups, manifest, origins } = build::build(&document);
    let mut violations = check_groups(&groups);
    if !groups.is_empty() {
        violations.extend(manifest.check());
    }
    if violations.is_empty() {
        let reclamation = document.reclamation.and_then(|window| quantity::duration(&window).ok());
        let hash = manifest.hash();
        return Ok(Compiled { groups, manifest, hash, reclamation, warnings: Vec::new() });
    }
    for violation in &mut violations {
        violation.pointer = origins.translate(&violation.pointer);
    }
    violations.truncate(super::MAX_VIOLATIONS);
    Err(without_repetition(violations))
}

/// A service that is deployed twice has its faults once.
fn without_repetition(violations: Vec<Violation>) -> Vec<Violation> {
    let mut unique: Vec<Violation> = Vec::with_capacity(violations.len());
    for violation in violations {
        if !unique.contains(&violation) {
            unique.push(violation);
        }
    }
    unique
}

fn locate(violation: &mut Violation, tree: &Tree) {
    if violation.line.is_none()
        && let Some((line, column)) = tree.locate(&violation.pointer)
    {
        violation.line = u32::try_from(line).ok();
        violation.column = u32::try_from(column).ok();
    }
}
