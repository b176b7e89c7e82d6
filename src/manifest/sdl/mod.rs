//! SDL documents to groups and manifest.
use super::{Manifest, Violation};
use crate::domain::GroupSpec;
use std::time::Duration;

/// What a deployment is created from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The groups, for the chain.
    pub groups: Vec<GroupSpec>,
    /// The manifest, for the provider ([`Manifest::to_json`]).
    pub manifest: Manifest,
    /// The manifest's hash, for the chain.
    pub hash: [u8; 32],
    /// How long a provider must warn before it takes the lease back, if the document says so.
    pub reclamation: Option<Duration>,
}

/// Compiles an SDL document.
///
/// # Errors
/// Everything that is wrong with it.
pub fn compile(text: &str) -> Result<Compiled, Vec<Violation>> {
    let mut violations = super::violation::Violations::default();
    violations.add("unsupported", "", format!("{} bytes", text.len()));
    Err(violations.into_vec())
}
