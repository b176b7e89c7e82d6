//! Matching attributes: the glob rule, audits, capabilities. The chain applies the same rules when it takes a bid, so an order that
//! fails here would only cost a fee.
//!
//! The surprising fact: the *required* key is the pattern, and `*` does not cross a `/`: `vendor/nvidia/model/*` answers
//! `vendor/nvidia/model/a100` and not `vendor/nvidia/model/a100/ram/80Gi`.

use std::collections::BTreeMap;

use crate::domain::{Attribute, AuditedAttributes, Requirements, Resources};

const STORAGE_CAPABILITY: &str = "capabilities/storage/";
const GPU_CAPABILITY: &str = "capabilities/gpu/";

/// Whether `pattern` answers all of `name`: `*` is any run without `/`, `?` one character but `/`, `[a-z]` and `[^a-z]` one
/// character, `\` takes the next one literally. A malformed pattern matches nothing. These are the rules of Go's `filepath.Match`.
#[must_use]
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let Some(pattern) = glob(pattern) else { return false };
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // Where the latest star stands, and how much of the name it has not taken yet.
    let mut star: Option<(usize, usize)> = None;
    while at < pattern.len() || seen < name.len() {
        if pattern.get(at) == Some(&Glob::Run) {
            star = Some((at, seen));
            at += 1;
        } else if pattern.get(at).zip(name.get(seen)).is_some_and(|(glob, c)| glob.takes(*c)) {
            at += 1;
            seen += 1;
        } else {
            match star {
                Some((back, from)) if name.get(from).is_some_and(|c| *c != '/') => {
                    star = Some((back, from + 1));
                    (at, seen) = (back + 1, from + 1);
                }
                _ => return false,
            }
        }
    }
    true
}

/// One element of a pattern.
#[derive(PartialEq)]
enum Glob {
    Run,
    One,
    Literal(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Run => false,
            Self::One => c != '/',
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn glob(pattern: &str) -> Option<Vec<Glob>> {
    let mut chars = pattern.chars().peekable();
    let mut found = Vec::new();
    while let Some(c) = chars.next() {
        found.push(match c {
            '*' => Glob::Run,
            '?' => Glob::One,
            '\\' => Glob::Literal(chars.next()?),
            '[' => class(&mut chars)?,
            literal => Glob::Literal(literal),
        });
    }
    Some(found)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Glob> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        // The first element may not be the closing bracket: a class is never empty.
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Glob::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        literal => Some(literal),
    }
}

/// Whether every required attribute is there: some attribute with the same value whose key the required key answers.
#[must_use]
pub fn is_subset(required: &[Attribute], there: &[Attribute]) -> bool {
    missing(required, there).next().is_none()
}

/// The required attributes that are not there.
pub(super) fn missing<'a>(
    required: &'a [Attribute],
    there: &'a [Attribute],
) -> impl Iterator<Item = &'a Attribute> {
    required.iter().filter(move |wanted| {
        !there.iter().any(|one| one.value == wanted.value && glob_matches(&wanted.key, &one.key))
    })
}

/// Whether the auditors that `requirements` name have signed the required attributes: each of `all_of`, and one of `any_of`
/// unless that list is empty. An auditor signed when all required attributes are among what it signed; one without a record signed
/// nothing, not even an empty list.
#[must_use]
pub fn signed_by(requirements: &Requirements, audited: &[AuditedAttributes]) -> bool {
    let signed = |auditor: &String| {
        audited.iter().any(|audit| {
            audit.auditor.as_str() == auditor.as_str()
                && is_subset(&requirements.attributes, &audit.attributes)
        })
    };
    let wanted = &requirements.signed_by;
    wanted.all_of.iter().all(signed)
        && (wanted.any_of.is_empty() || wanted.any_of.iter().any(signed))
}

/// The first volume that no storage capability of the provider answers, by name. Volumes without attributes need none. A
/// capability is a set: all attributes of the volume must be in one of `capabilities/storage/<set>/…`.
pub(super) fn unanswered_volume<'a>(
    resources: &'a Resources,
    provider: &[Attribute],
) -> Option<&'a str> {
    let mut sets: BTreeMap<&str, Vec<Attribute>> = BTreeMap::new();
    for attribute in provider {
        if let Some((set, key)) = attribute
            .key
            .strip_prefix(STORAGE_CAPABILITY)
            .and_then(|rest| rest.split_once('/'))
            .filter(|(_, key)| !key.contains('/'))
        {
            sets.entry(set).or_default().push(Attribute::new(key, &attribute.value));
        }
    }
    resources
        .storage
        .iter()
        .filter(|volume| !volume.attributes.is_empty())
        .find(|volume| !sets.values().any(|set| is_subset(&volume.attributes, set)))
        .map(|volume| volume.name.as_str())
}

/// Whether one of the models that the unit takes is among the provider's `capabilities/gpu/…`. A unit that wants no GPU, or any, needs
/// no capability.
pub(super) fn gpu_answered(resources: &Resources, provider: &[Attribute]) -> bool {
    if resources.gpu_units == 0 || resources.gpu_attributes.is_empty() {
        return true;
    }
    resources.gpu_attributes.iter().any(|wanted| {
        provider.iter().any(|one| {
            one.key
                .strip_prefix(GPU_CAPABILITY)
                .is_some_and(|key| one.value == wanted.value && glob_matches(&wanted.key, key))
        })
    })
}
