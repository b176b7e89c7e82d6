//! The catalogue of violations: every code that a check can report, what it means, what is allowed, and an example.
//!
//! Codes are for programs and never change their meaning. The surprising fact: the examples are true. A test puts each
//! bad one in the place of its good one, in a document that is accepted, and expects the code.

mod document;
mod manifest;
mod profiles;
mod services;

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The stable name, as in [`super::Violation::code`].
    pub code: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// When it is reported, and why it matters.
    pub means: &'static str,
    /// What is allowed instead.
    pub allowed: &'static str,
    /// What the example is a part of.
    pub form: Form,
    /// A part that is accepted.
    pub good: &'static str,
    /// The same part, refused.
    pub bad: &'static str,
}

/// What an example is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Some lines of an SDL document.
    Sdl,
    /// Some lines of an SDL document that only the npm package's rules refuse.
    SdlForNpm,
    /// A whole SDL document.
    WholeSdl,
    /// Some members of an uploaded manifest.
    Manifest,
    /// A whole manifest.
    WholeManifest,
    /// Some members of the groups on chain.
    Groups,
    /// Words: what is meant has no text, or too much.
    Words,
}

impl Rule {
    /// The rule with this code.
    pub fn find(code: &str) -> Option<&'static Self> {
        Self::all().find(|rule| rule.code == code)
    }

    /// Every rule, those of documents first.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        [document::RULES, services::RULES, profiles::RULES, manifest::RULES].into_iter().flatten()
    }
}

/// Writes a table of rules without repeating the names of the fields.
macro_rules! rules {
    ($($code:literal $form:ident $title:literal, $means:literal, $allowed:literal, good $good:literal, bad $bad:literal;)*) => {
        /// This part of the catalogue.
        pub(super) const RULES: &[super::Rule] = &[$(super::Rule {
            code: $code,
            title: $title,
            means: $means,
            allowed: $allowed,
            form: super::Form::$form,
            good: $good,
            bad: $bad,
        },)*];
    };
}
use rules;
