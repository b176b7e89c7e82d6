//! The document's sections as typed values, not yet compared with each other.
//!
//! The surprising facts: a section may stand twice at the top level, the later one then adds to the earlier; and unknown
//! keys are an error at the top level but ignored further down.

use std::collections::BTreeMap;

use super::{
    cursor::{Cursor, Members, Shape, Text, Whole},
    js::JsValue,
    profile::{Compute, Placement},
    service::Service,
    yaml::Tree,
};
use crate::manifest::{
    Dialect,
    violation::{Violations, nearest_hint, pointer, quoted},
};

/// The sections that a document may have.
const SECTIONS: [&str; 7] =
    ["version", "services", "profiles", "deployment", "endpoints", "reclamation", "include"];

/// What the schema that npm checks allows in each mapping here.
const ROOT: Shape = Shape {
    fields: &["deployment", "endpoints", "include", "profiles", "services", "version"],
    later: &["reclamation"],
    required: &["deployment", "profiles", "services", "version"],
};
const PROFILES: Shape =
    Shape { fields: &["compute", "placement"], later: &[], required: &["compute", "placement"] };
const DEPLOYED: Shape =
    Shape { fields: &["count", "profile"], later: &[], required: &["count", "profile"] };
const ENDPOINT: Shape = Shape { fields: &["kind"], later: &[], required: &["kind"] };
const RECLAMATION: Shape = Shape { fields: &["min_window"], later: &[], required: &["min_window"] };

/// Which rules build the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Every service has a resource unit of its own.
    V20,
    /// Services of a placement share the unit of their compute profile.
    V21,
}

/// A document; every name is sorted as the groups will be.
#[derive(Debug)]
pub(super) struct Document<'t> {
    pub(super) dialect: Dialect,
    pub(super) version: Version,
    pub(super) services: BTreeMap<Text<'t>, Service<'t>>,
    pub(super) compute: BTreeMap<Text<'t>, Compute<'t>>,
    pub(super) placements: BTreeMap<Text<'t>, Placement<'t>>,
    /// Service, then placement.
    pub(super) deployment: BTreeMap<Text<'t>, BTreeMap<Text<'t>, Deployed<'t>>>,
    /// The kind of each endpoint.
    pub(super) endpoints: BTreeMap<Text<'t>, Text<'t>>,
    /// How long a provider must warn, as written.
    pub(super) reclamation: Option<Text<'t>>,
}

/// How a service runs in a placement.
#[derive(Debug, Default)]
pub(super) struct Deployed<'t> {
    /// The compute profile.
    pub(super) profile: Text<'t>,
    pub(super) count: Whole<u32>,
}

impl<'t> Document<'t> {
    /// Reads every section, with whatever does not fit left out and reported.
    pub(super) fn read(
        tree: &'t Tree<'t>,
        dialect: Dialect,
        violations: &mut Violations,
    ) -> Option<Self> {
        let root = Cursor::root(tree, dialect).filter(|root| !root.is_null());
        let Some(root) = root else {
            violations
                .add("document-empty", "", "the document is empty")
                .reference("sdl: uninitialized");
            return None;
        };
        let sections = root.raw_fields(&ROOT, violations);
        let mut document = Self {
            dialect,
            version: version(dialect, sections.clone(), violations).unwrap_or(Version::V20),
            services: BTreeMap::new(),
            compute: BTreeMap::new(),
            placements: BTreeMap::new(),
            deployment: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            reclamation: None,
        };
        for (name, value) in sections {
            document.read_section(&name, &value, violations);
        }
        Some(document)
    }

    fn read_section(&mut self, name: &str, value: &Cursor<'_, 't>, violations: &mut Violations) {
        match name {
            "version" => {}
            "services" => read_named(&mut self.services, value, violations, Service::read),
            "profiles" => {
                for (name, value) in value.fields(&PROFILES, violations) {
                    match &*name {
                        "compute" => {
                            read_named(&mut self.compute, &value, violations, Compute::read);
                        }
                        "placement" => {
                            read_named(&mut self.placements, &value, violations, Placement::read);
                        }
                        _ => {}
                    }
                }
            }
            "deployment" => {
                read_named(&mut self.deployment, value, violations, |value, violations| {
                    let mut placements = BTreeMap::new();
                    read_named(&mut placements, value, violations, Deployed::read);
                    placements
                });
            }
            "endpoints" => read_named(&mut self.endpoints, value, violations, read_endpoint),
            "reclamation" => self.reclamation = Some(read_reclamation(value, violations)),
            "include" => {
                value.texts(violations);
            }
            // npm has said so already.
            _ if value.dialect().is_npm() || violations.is_full() => {}
            unknown => {
                let hint = nearest_hint(unknown, SECTIONS.into_iter());
                let message = format!("unknown section {}{hint}", quoted(unknown));
                violations
                    .add("unknown-section", pointer("", unknown), message)
                    .reference(format!("sdl: unexpected field {unknown}"));
            }
        }
    }
}

/// Adds the members of a mapping from names; null empties it.
pub(super) fn read_named<'t, T>(
    into: &mut BTreeMap<Text<'t>, T>,
    value: &Cursor<'_, 't>,
    violations: &mut Violations,
    mut read: impl FnMut(&Cursor<'_, 't>, &mut Violations) -> T,
) {
    if value.is_absent() {
        into.clear();
    }
    for (name, value) in value.members(violations) {
        let item = read(&value, violations);
        into.insert(name, item);
    }
}

impl<'t> Deployed<'t> {
    fn read(value: &Cursor<'_, 't>, violations: &mut Violations) -> Self {
        let mut deployed = Self::default();
        for (name, value) in value.fields(&DEPLOYED, violations) {
            match &*name {
                "profile" => deployed.profile = value.text(violations).unwrap_or_default(),
                "count" => deployed.count = value.whole(1, violations).unwrap_or_default(),
                _ => {}
            }
        }
        deployed
    }
}

fn read_endpoint<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> Text<'t> {
    read_member(value, "kind", &ENDPOINT, violations)
}

fn read_reclamation<'t>(value: &Cursor<'_, 't>, violations: &mut Violations) -> Text<'t> {
    read_member(value, "min_window", &RECLAMATION, violations)
}

/// The text of the one member that counts.
fn read_member<'t>(
    value: &Cursor<'_, 't>,
    wanted: &str,
    shape: &Shape,
    violations: &mut Violations,
) -> Text<'t> {
    let mut text = Text::default();
    for (name, value) in value.fields(shape, violations) {
        if name == wanted {
            text = value.text(violations).unwrap_or_default();
        }
    }
    text
}

fn version(
    dialect: Dialect,
    mut sections: Members<'_, '_>,
    violations: &mut Violations,
) -> Option<Version> {
    let Some((_, value)) = sections.find(|(name, _)| name == "version") else {
        if dialect.is_npm() {
            return None;
        }
        violations
            .add(
                "version-missing",
                "",
                "the document has no version; write version: \"2.0\" or \"2.1\"",
            )
            .reference("SDL invalid: no version found");
        return None;
    };
    let (text, version) = match dialect {
        Dialect::Go => (value.raw(), parse_version(value.raw())),
        Dialect::Npm | Dialect::NpmHead => (value.raw(), exact_version(&value)),
    };
    if version.is_none() {
        let hint = if dialect.is_npm() { "; write it in quotes" } else { "" };
        let message = format!("version {} is not known; known are 2.0 and 2.1{hint}", quoted(text));
        violations
            .add("version-unknown", value.at(), message)
            .reference(format!("SDL invalid: config: unsupported version {text:?}"));
    }
    version
}

/// npm takes two texts, and no numbers.
fn exact_version(value: &Cursor<'_, '_>) -> Option<Version> {
    match value.js() {
        Some(JsValue::Text("2.0")) => Some(Version::V20),
        Some(JsValue::Text("2.1")) => Some(Version::V21),
        _ => None,
    }
}

/// A semantic version, leniently: `v2`, `2.0`, `2.00.0` are 2.0.0. Everything from 2.1.0 on is read as 2.1.
fn parse_version(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let (core, has_suffix) = match text.split_once(['-', '+']) {
        Some((core, suffix)) if !suffix.is_empty() => (core, text[core.len()..].starts_with('-')),
        Some(_) => return None,
        None => (text, false),
    };
    let mut parts = core.split('.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<u64>().ok() } else { None }
    });
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    // Only a full version may carry a pre-release or build suffix.
    let patch = match parts.next() {
        Some(patch) => patch?,
        None if core.len() == text.len() => 0,
        None => return None,
    };
    if parts.next().is_some() {
        return None;
    }
    let number = (major, minor, patch);
    match (number, has_suffix) {
        ((2, 0, 0), false) => Some(Version::V20),
        ((2, 1, 0), true) => None,
        _ => (number >= (2, 1, 0)).then_some(Version::V21),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_leniently() {
        for text in ["2.0", "2", "v2.0", " 2.0.0 ", "02.00", "2.0.0+build"] {
            assert_eq!(parse_version(text), Some(Version::V20), "{text:?}");
        }
        for text in ["2.1", "2.1.0", "2.2", "3.0", "v2.1", "2.1.1-rc1"] {
            assert_eq!(parse_version(text), Some(Version::V21), "{text:?}");
        }
        for text in
            ["", "1.0", "2.0.1", "2.0.0-rc1", "2.1.0-rc1", "2.1-rc1", "2.x", "2.1.0.0", "two"]
        {
            assert_eq!(parse_version(text), None, "{text:?}");
        }
    }
}
