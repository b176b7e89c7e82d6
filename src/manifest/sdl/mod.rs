//! SDL documents to groups and manifest.
//!
//! The way of a document: text → [`yaml`] tree → typed [`document`] → [`rules`] that span sections → [`build`] → the
//! chain's rules for groups and the provider's for manifests. Each stage reports all it finds; the next one starts when
//! nothing was found.
//!
//! Where the dialects differ, the rule takes the dialect. The surprising fact: Go is more forgiving about shape than the
//! published JSON schema, which npm checks (unknown keys are mostly ignored), and stricter about values.

mod build;
mod cursor;
mod document;
mod go_sort;
mod gpu;
mod js;
mod origin;
mod profile;
mod quantity;
mod rules;
mod scalar;
mod service;
mod tabs;
mod yaml;

use std::time::Duration;

use document::Document;
use origin::Origins;
use yaml::{Faults, Readers, Tree};

use super::{
    ChainGroups, Dialect, MAX_DOCUMENT_BYTES, Manifest, SignerLists, Violation,
    canonical::{Field, Spelling},
    check_groups,
    violation::{Violations, is_within, quoted},
};
use crate::domain::GroupSpec;

/// What a deployment is created from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The groups, for the chain, sorted by name.
    pub groups: Vec<GroupSpec>,
    /// Of each group, which lists of auditors the document has.
    pub signer_lists: Vec<SignerLists>,
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

impl Compiled {
    /// The groups as the chain's tools print them.
    pub fn chain_groups(&self) -> ChainGroups<'_> {
        ChainGroups { groups: &self.groups, signer_lists: &self.signer_lists }
    }
}

/// Compiles an SDL document of version 2.0 or 2.1 as `dialect` reads it.
///
/// # Errors
/// Everything that is wrong with it, in document terms: pointers lead into the document, with line and column.
pub fn compile(text: &str, dialect: Dialect) -> Result<Compiled, Vec<Violation>> {
    Sdl::parse_for(text, Readers::of(dialect)).compile(dialect)
}

/// A document that was parsed once, to be read in every dialect.
pub struct Sdl<'t> {
    tree: Tree<'t>,
    faults: Faults,
}

/// What was compiled, and how to get from it back to the document.
pub(super) struct Traced {
    pub(super) compiled: Compiled,
    pub(super) origins: Origins,
    pub(super) spelling: Spelling,
    /// Prices that are no amounts to the chain: group, unit, text.
    pub(super) odd_prices: Vec<(usize, usize, String)>,
}

impl<'t> Sdl<'t> {
    /// Parses a document. What is wrong with it is told by [`Sdl::compile`], as it depends on who reads.
    pub fn parse(text: &'t str) -> Self {
        Self::parse_for(text, Readers::ALL)
    }

    fn parse_for(text: &'t str, readers: Readers) -> Self {
        if text.len() > MAX_DOCUMENT_BYTES {
            let message =
                format!("document has {} bytes, at most {MAX_DOCUMENT_BYTES} are read", text.len());
            let mut faults = Faults::default();
            faults.add(readers, &Violation::whole("document-too-large", message));
            return Self { tree: Tree::default(), faults };
        }
        let (tree, faults) = Tree::parse(text, readers);
        Self { tree, faults }
    }

    /// What the document comes to as `dialect` reads it.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn compile(&self, dialect: Dialect) -> Result<Compiled, Vec<Violation>> {
        self.trace(dialect).map(|traced| traced.compiled)
    }

    /// Compiles the document and keeps where everything comes from.
    pub(super) fn trace(&self, dialect: Dialect) -> Result<Traced, Vec<Violation>> {
        if let Some(fault) = self.faults.of(dialect) {
            return Err(vec![fault.clone()]);
        }
        let mut traced = compile_tree(&self.tree, dialect);
        let violations = match &mut traced {
            Ok(traced) => &mut traced.compiled.warnings,
            Err(violations) => violations,
        };
        for violation in violations {
            if violation.line.is_none() {
                (violation.line, violation.column) = self.locate(&violation.pointer);
            }
            if dialect.is_npm() {
                violation.reference = None;
            }
        }
        traced
    }

    /// Line and column, from 1, of the value that a pointer names, or of its nearest parent that exists.
    pub(super) fn locate(&self, pointer: &str) -> (Option<u32>, Option<u32>) {
        self.tree.locate(pointer).unzip()
    }
}

fn compile_tree<'t>(tree: &'t Tree<'t>, dialect: Dialect) -> Result<Traced, Vec<Violation>> {
    let mut violations = Violations::default();
    let document = Document::read(tree, dialect, &mut violations);
    if let Some(document) = &document {
        rules::check(document, &mut violations);
    }
    let violations = violations.into_vec();
    let Some(document) = document else { return Err(without_repetition(violations)) };
    if !violations.is_empty() {
        let more = beyond(&document, &violations);
        let mut all = without_repetition(violations.into_iter().chain(more).collect());
        all.truncate(super::MAX_VIOLATIONS);
        return Err(all);
    }
    let built = build::build(&document, None);
    let mut violations = check_groups(&built.groups);
    if !built.groups.is_empty() {
        violations.extend(built.manifest.check());
    }
    let hash = built.manifest.spelled_hash(&built.spelling);
    if dialect.is_npm() {
        violations.extend(not_to_be_held(&built, &hash));
    }
    for violation in &mut violations {
        violation.pointer = built.origins.translate(&violation.pointer);
    }
    violations.truncate(super::MAX_VIOLATIONS);
    let violations = without_repetition(violations);
    if dialect == Dialect::Go && !violations.is_empty() {
        return Err(violations);
    }
    let reclamation =
        document.reclamation.and_then(|window| quantity::window(dialect, &window).ok());
    let build::Built { groups, signer_lists, manifest, origins, spelling, odd_prices } = built;
    let compiled =
        Compiled { groups, signer_lists, manifest, hash, reclamation, warnings: violations };
    Ok(Traced { compiled, origins, spelling, odd_prices })
}

/// What else the rules of groups and manifests say of a document that is refused already, so that nobody meets it one try
/// later. Only what stands in one profile, price or service is told: the rest may follow from what is wrong elsewhere.
fn beyond(document: &Document<'_>, known: &[Violation]) -> Vec<Violation> {
    if document.dialect != Dialect::Go {
        return Vec::new();
    }
    let stand_ins = build::StandIns::default();
    let built = build::build(document, Some(&stand_ins));
    let mut found = check_groups(&built.groups);
    if !built.groups.is_empty() {
        found.extend(built.manifest.check());
    }
    for violation in &mut found {
        violation.pointer = built.origins.translate(&violation.pointer);
    }
    found.retain(|Violation { code, pointer, .. }| {
        // Whether denoms differ is not known while one of them stands in for another.
        *code != "mixed-denoms"
            && stands_alone(document, pointer)
            && !known.iter().any(|known| {
                is_within(&known.pointer, pointer) || is_within(pointer, &known.pointer)
            })
    });
    found
}

/// Whether what stands at `pointer` is the document's own, and judged without the rest of it.
fn stands_alone(document: &Document<'_>, pointer: &str) -> bool {
    let tokens: Vec<String> =
        pointer.split('/').skip(1).map(|of| of.replace("~1", "/").replace("~0", "~")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    match tokens[..] {
        ["services", ..] => true,
        ["profiles", "compute", profile, ..] => {
            document.compute.get(profile).is_some_and(|compute| compute.resources.is_some())
        }
        ["profiles", "placement", placement, "pricing", profile, ..] => document
            .placements
            .get(placement)
            .is_some_and(|placement| matches!(placement.pricing.get(profile), Some(Some(_)))),
        _ => false,
    }
}

/// What npm writes and no provider or chain can read back, so that its hash is nobody else's.
fn not_to_be_held(built: &build::Built, hash: &[u8; 32]) -> Vec<Violation> {
    let mut violations = Violations::default();
    for ((group, service, field), text) in &built.spelling.unfit {
        let id = built.manifest.groups()[*group].services[*service].resources.id;
        let unit = format!("/{group}/resources/{}/resource", id.saturating_sub(1));
        let service = format!("/{group}/services/{service}");
        let at = match field {
            Field::Count => format!("{service}/count"),
            Field::Cpu => format!("{unit}/cpu/units"),
            Field::Memory => format!("{unit}/memory/size"),
            Field::Gpu => format!("{unit}/gpu/units"),
            Field::Volume(_) => format!("{unit}/storage"),
            Field::NextTries(expose) | Field::NextTimeout(expose) => {
                format!("{service}/expose/{expose}/http_options")
            }
        };
        let message = format!("this becomes {text}, which no provider can read");
        violations.add("number-not-whole", at, message);
    }
    for (group, unit, text) in &built.odd_prices {
        let message = format!("price {} is none that the chain can read", quoted(text));
        violations.add("price", format!("/{group}/resources/{unit}/price"), message);
    }
    if built.spelling.unfit.is_empty() && *hash != built.manifest.hash() {
        let message =
            "npm writes this manifest in a way that gives a hash that no provider comes to";
        violations.add("hash-not-reproducible", "", message);
    }
    violations.into_vec()
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
