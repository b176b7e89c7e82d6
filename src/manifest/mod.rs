//! SDL to groups and manifest, canonical form, hash, and every validation rule; pure.
//!
//! A tenant writes an SDL document (YAML). [`compile`] makes of it what a deployment is created from: the groups that go
//! on chain, the [`Manifest`] that goes to the provider after a lease is won, and the manifest's hash, which goes on
//! chain too. A provider reads the uploaded JSON with [`Manifest::from_json`] and asks three questions: is it a manifest
//! ([`Manifest::check`]), is it the one for these groups ([`Manifest::check_against`]), is it the one of this hash
//! ([`Manifest::check_hash`]).
//!
//! Verdicts, groups and hashes are those of the Go implementation that tenants' tools and providers share, its defects
//! included where they change a verdict; where it would panic, this reports a violation.
//!
//! The surprising fact: the hash is not of the bytes that were uploaded but of the decoded manifest written again, so
//! unknown members and the spelling of keys do not matter, while `null` and `[]` differ.

mod canonical;
mod catalogue;
mod check;
mod dialect;
mod distinct;
mod explain;
mod groups;
mod json;
mod model;
mod sdl;
mod source;
mod verdict;
mod violation;

pub use catalogue::{Form, Rule};
pub use check::{HttpHosts, check_groups};
pub use dialect::{Dialect, Reading, UnknownDialect, readings};
pub use explain::{Difference, Explanation, explain};
pub use groups::{ChainGroups, SignerLists};
pub use model::{
    Credentials, Expose, Group, HttpOptions, List, Manifest, Mount, Permissions, Quantity, Service,
    ServiceEndpoint, ServiceParams, ServiceResources, ServiceVolume, Size, Tee, Units,
};
pub use sdl::{Compiled, Sdl, compile};
pub use source::{Line, Source};
pub use verdict::{Verdict, text};
pub use violation::{MAX_VIOLATIONS, Violation};

/// The largest SDL document or manifest that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
