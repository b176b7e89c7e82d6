//! Who reads a document: the same SDL means different things to the two families of tools that tenants use.
//!
//! A tool makes groups, hash and manifest together, so each is right by itself; what a provider is sent as SDL it must
//! read as the tool did that put the hash on chain. The surprising fact: of real documents that both accept, one in five
//! has two hashes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Compiled, Sdl, Violation};

/// Whose rules a document is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// The Go packages: the command line, and what providers check with.
    #[default]
    Go,
    /// The npm package `@akashnetwork/chain-sdk` as it is published, 1.0.0-alpha.25: web consoles.
    Npm,
    /// The sources of that package since then: confidential computing, reclamation, stricter storage.
    NpmHead,
}

impl Dialect {
    /// Every dialect, in the order in which an upload is tried.
    pub const ALL: [Self; 3] = [Self::Go, Self::Npm, Self::NpmHead];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Npm => "npm",
            Self::NpmHead => "npm-head",
        }
    }

    /// Whether one of the npm package's rules apply.
    pub(super) const fn is_npm(self) -> bool {
        matches!(self, Self::Npm | Self::NpmHead)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no dialect's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dialect {0:?} is not known; known are go, npm, npm-head")]
pub struct UnknownDialect(String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|dialect| dialect.name() == name);
        known.ok_or_else(|| UnknownDialect(name.chars().take(64).collect()))
    }
}

/// What one dialect made of a document: its result, or what is wrong with it.
pub type Reading = (Dialect, Result<Compiled, Vec<Violation>>);

/// Every reading of a document, in the order of [`Dialect::ALL`]: what a tenant uploads as SDL is taken by the one that
/// gives the hash on chain.
pub fn readings(text: &str) -> [Reading; 3] {
    let sdl = Sdl::parse(text);
    Dialect::ALL.map(|dialect| (dialect, sdl.compile(dialect)))
}
