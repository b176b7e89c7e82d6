//! A place in the document, and how each dialect reads a value there.
//!
//! Go takes any scalar for text and `null` for nothing at all; npm wants the exact type and, in a mapping with fields, no
//! others than those. The surprising fact: to Go a `null` among the items of a list vanishes, so `[~]` is the empty list.

use std::{borrow::Cow, collections::HashSet, ops::RangeInclusive};

use super::{
    js::{self, JsValue},
    scalar::Misfit,
    yaml::{Content, Node, Scalar, ScalarTag, Token, Tree},
};
use crate::manifest::{
    Dialect,
    violation::{Violations, is_secret, nearest_hint, pointer, quoted},
};

/// A node with the pointer that leads to it, and whose rules it is read by.
#[derive(Clone)]
pub(super) struct Cursor<'t> {
    tree: &'t Tree<'t>,
    node: &'t Node<'t>,
    /// The last step of the way here.
    step: Option<usize>,
    dialect: Dialect,
}

/// The fields of a mapping as npm checks them; Go ignores the others and misses them later, where they are used.
pub(super) struct Shape {
    pub(super) fields: &'static [&'static str],
    /// Those that the package takes since its release.
    pub(super) later: &'static [&'static str],
    pub(super) required: &'static [&'static str],
}

/// A whole number, and its text where it is beyond what a manifest holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whole<T> {
    /// The number, or the nearest that can be held.
    pub(super) nearest: T,
    /// What npm writes instead.
    pub(super) spelled: Option<String>,
}

impl<T> From<T> for Whole<T> {
    fn from(nearest: T) -> Self {
        Self { nearest, spelled: None }
    }
}

impl<'t> Cursor<'t> {
    /// The outermost value, if the document has one.
    pub(super) fn root(tree: &'t Tree<'t>, dialect: Dialect) -> Option<Self> {
        tree.root().map(|node| Self { tree, node, step: None, dialect })
    }

    /// The JSON pointer to here.
    pub(super) fn at(&self) -> String {
        let way = self.tree.way(self.step);
        way.into_iter().rev().fold(String::new(), |at, token| match token {
            Token::Index(index) => pointer(&at, index),
            Token::Key(id) => match &self.tree.node(id).content {
                Content::Scalar(name) if self.dialect.is_npm() => pointer(&at, name.to_js_key()),
                Content::Scalar(name) => pointer(&at, &name.text),
                _ => at,
            },
        })
    }

    /// Whose rules apply.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A scalar's text whatever its type; empty for what is no scalar.
    pub(super) fn raw(&self) -> &'t str {
        self.node.text()
    }

    /// A scalar's value as npm sees it; `None` for what is no scalar and for a tag that does not fit.
    pub(super) fn js(&self) -> Option<JsValue<'t>> {
        match &self.node.content {
            Content::Scalar(scalar) => scalar.to_js().ok(),
            _ => None,
        }
    }

    /// The text that npm makes of any value.
    pub(super) fn js_text(&self, violations: &mut Violations) -> String {
        js::node_text(self.tree, self.node).unwrap_or_else(|misfit| {
            self.refuse(misfit.wanted, violations);
            String::new()
        })
    }

    /// Whether this is `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.node.content, Content::Scalar(scalar) if scalar.is_null())
    }

    /// Whether this is as if it were not there: Go's reading of null.
    pub(super) fn is_absent(&self) -> bool {
        self.dialect == Dialect::Go && self.is_null()
    }

    /// Whether this is a mapping.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.node.content, Content::Mapping(_))
    }

    /// The text here; `None` for null and after a violation.
    pub(super) fn text(&self, violations: &mut Violations) -> Option<String> {
        let go = |scalar: &Scalar<'_>| Ok(scalar.to_text()?.map(Cow::into_owned));
        self.scalar("text", violations, go, |value| match value {
            JsValue::Text(text) => Some(text.to_owned()),
            _ => None,
        })
    }

    /// The number here, which npm wants to be in the range; `None` for null and after a violation.
    pub(super) fn number(
        &self,
        range: RangeInclusive<u32>,
        violations: &mut Violations,
    ) -> Option<u32> {
        if self.dialect == Dialect::Go {
            return self.scalar(
                "an integer from 0 to 4294967295",
                violations,
                Scalar::to_u32,
                |_| None,
            );
        }
        let number = self.whole(*range.start(), violations)?;
        let (nearest, most) = (number.nearest, *range.end());
        if number.spelled.is_some() || nearest > most {
            self.refuse(&format!("an integer from {} to {most}", range.start()), violations);
            return None;
        }
        Some(nearest)
    }

    /// The number here, which npm wants to be at least `least`, however large; `None` for null and after a violation.
    pub(super) fn whole(&self, least: u32, violations: &mut Violations) -> Option<Whole<u32>> {
        let to_whole = |number: f64| {
            // Infinity passes for an integer and is then written as null.
            let whole = number.is_infinite() || number.fract() == 0.0;
            let written =
                || if number.is_finite() { js::number_text(number) } else { "null".to_owned() };
            let text = (whole && number >= f64::from(least)).then(written)?;
            Some(match text.parse() {
                Ok(nearest) => Whole { nearest, spelled: None },
                Err(_) => Whole { nearest: u32::MAX, spelled: Some(text) },
            })
        };
        let go = |scalar: &Scalar<'_>| Ok(scalar.to_u32()?.map(Whole::from));
        self.scalar(&format!("an integer from {least}"), violations, go, |value| match value {
            JsValue::Number(number) => to_whole(number),
            _ => None,
        })
    }

    /// The truth here; `None` for null and after a violation.
    pub(super) fn truth(&self, violations: &mut Violations) -> Option<bool> {
        self.scalar("true or false", violations, Scalar::to_bool, |value| match value {
            JsValue::Bool(truth) => Some(truth),
            _ => None,
        })
    }

    fn scalar<T>(
        &self,
        wanted: &str,
        violations: &mut Violations,
        go: impl FnOnce(&'t Scalar<'t>) -> Result<Option<T>, Misfit>,
        npm: impl FnOnce(JsValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let Content::Scalar(scalar) = &self.node.content else {
            self.refuse(wanted, violations);
            return None;
        };
        if self.dialect == Dialect::Go {
            return go(scalar).unwrap_or_else(|misfit| {
                self.refuse(misfit.wanted, violations);
                None
            });
        }
        let found = scalar.to_js().ok().and_then(npm);
        if found.is_none() {
            self.refuse(wanted, violations);
        }
        found
    }

    /// The texts of a list; `None` for null and after a violation.
    pub(super) fn texts(&self, violations: &mut Violations) -> Option<Vec<String>> {
        let items = self.items(violations)?;
        Some(items.iter().filter_map(|(_, item)| item.text(violations)).collect())
    }

    /// The texts of a list that may be null to npm too.
    pub(super) fn texts_or_null(&self, violations: &mut Violations) -> Option<Vec<String>> {
        if self.is_null() { None } else { self.texts(violations) }
    }

    /// The items of a list that are not null to Go, each with its index; `None` for null and after a violation.
    pub(super) fn items(&self, violations: &mut Violations) -> Option<Vec<(usize, Self)>> {
        let items = self.all_items(violations)?;
        Some(items.into_iter().enumerate().filter(|(_, item)| !item.is_absent()).collect())
    }

    /// Every item of a list; `None` for null and after a violation.
    pub(super) fn all_items(&self, violations: &mut Violations) -> Option<Vec<Self>> {
        let Content::Sequence(items) = &self.node.content else {
            if !self.is_absent() {
                self.refuse("a list", violations);
            }
            return None;
        };
        let below = |(index, id): (usize, &usize)| self.below(Token::Index(index), *id);
        Some(items.iter().enumerate().map(below).collect())
    }

    /// The members of a mapping that has fields, as Go reads it: what it does not know is passed over.
    pub(super) fn fields(
        &self,
        shape: &Shape,
        violations: &mut Violations,
    ) -> Vec<(Cow<'t, str>, Self)> {
        let members = self.members(violations);
        self.check_shape(shape, &members, violations);
        members
    }

    /// The members of a mapping that has fields and whose keys Go walks by hand.
    pub(super) fn raw_fields(
        &self,
        shape: &Shape,
        violations: &mut Violations,
    ) -> Vec<(Cow<'t, str>, Self)> {
        match self.dialect {
            Dialect::Go => self.raw_members(),
            Dialect::Npm | Dialect::NpmHead => self.fields(shape, violations),
        }
    }

    /// npm's rule for fields: none but these, and all that are required.
    fn check_shape(
        &self,
        shape: &Shape,
        members: &[(Cow<'t, str>, Self)],
        violations: &mut Violations,
    ) {
        if self.dialect == Dialect::Go || !self.is_mapping() {
            return;
        }
        let later = if self.dialect == Dialect::NpmHead { shape.later } else { &[] };
        let known = || shape.fields.iter().chain(later).copied();
        for (name, value) in members {
            if !violations.is_full() && !known().any(|field| field == name) {
                let hint = nearest_hint(name, known());
                let message = format!("field {} is not known here{hint}", quoted(name));
                violations
                    .add("unknown-key", value.at(), message)
                    .at(value.node.line, value.node.column);
            }
        }
        for field in shape.required {
            if !members.iter().any(|(name, _)| name == field) {
                violations
                    .add("missing-key", self.at(), format!("field {field:?} is missing"))
                    .at(self.node.line, self.node.column);
            }
        }
    }

    /// The members of a mapping, merged ones (`<<`) last; none for null and after a violation.
    pub(super) fn members(&self, violations: &mut Violations) -> Vec<(Cow<'t, str>, Self)> {
        let Content::Mapping(pairs) = &self.node.content else {
            if !self.is_absent() {
                self.refuse("a mapping", violations);
            }
            return Vec::new();
        };
        let count = pairs.len() / 2;
        let (mut members, mut names) = (Vec::with_capacity(count), Names::new(count));
        let mut merged = Vec::new();
        for pair in pairs.chunks_exact(2) {
            let (token, key, value) = (Token::Key(pair[0]), self.tree.node(pair[0]), pair[1]);
            let Content::Scalar(name) = &key.content else {
                self.refuse("a mapping with keys of text", violations);
                continue;
            };
            if self.dialect.is_npm() && name.to_js().is_err() {
                self.refuse("a mapping whose keys fit their tags", violations);
                continue;
            }
            let merges = name.text == "<<" && name.tag == ScalarTag::Implicit;
            // Go compares keys by their text before it looks at what they mean.
            let identity: Cow<'t, str> = match self.dialect {
                Dialect::Go => Cow::Borrowed(&*name.text),
                Dialect::Npm | Dialect::NpmHead => name.to_js_key(),
            };
            let may_repeat = merges && self.dialect.is_npm();
            let repeated = !may_repeat && !names.insert(identity.clone());
            if repeated && violations.is_full() {
                continue;
            }
            if repeated {
                let message = format!("key {} stands twice in this mapping", quoted(&name.text));
                violations
                    .add("duplicate-key", pointer(&self.at(), &name.text), message)
                    .at(key.line, key.column);
            } else if merges {
                merged.push(self.below(token, value));
            } else if self.dialect.is_npm() {
                members.push((identity, self.below(token, value)));
            } else if let Ok(Some(name)) = name.to_text() {
                members.push((name, self.below(token, value)));
            }
        }
        for source in merged {
            self.merge(&source, &mut members, violations);
        }
        members
    }

    /// Adds the members of `source`, one mapping or several, that are not there yet.
    fn merge(
        &self,
        source: &Self,
        members: &mut Vec<(Cow<'t, str>, Self)>,
        violations: &mut Violations,
    ) {
        let sources = match &source.node.content {
            Content::Mapping(_) => vec![source.clone()],
            Content::Sequence(_) => source.all_items(violations).unwrap_or_default(),
            Content::Scalar(_) => Vec::new(),
        };
        let nothing = matches!(source.node.content, Content::Scalar(_));
        if nothing || sources.iter().any(|source| !source.is_mapping()) {
            source.refuse("a mapping or a list of mappings to merge", violations);
            return;
        }
        let mut known: HashSet<Cow<'t, str>> =
            members.iter().map(|(name, _)| name.clone()).collect();
        for source in sources {
            for (name, value) in source.members(violations) {
                if known.insert(name.clone()) {
                    let token = value.step.and_then(|step| self.tree.token(step));
                    let step = token.map(|token| self.tree.step(self.step, token));
                    members.push((name, Self { step, ..value }));
                }
            }
        }
    }

    /// The members of a mapping whose keys Go walks by hand: nothing is merged, repeated keys are kept, and a scalar has
    /// no members.
    fn raw_members(&self) -> Vec<(Cow<'t, str>, Self)> {
        match &self.node.content {
            Content::Scalar(_) => Vec::new(),
            // A list is walked like a mapping, names and values in turn.
            Content::Sequence(pairs) | Content::Mapping(pairs) => pairs
                .chunks_exact(2)
                .map(|pair| {
                    let name = Cow::Borrowed(self.tree.node(pair[0]).text());
                    (name, self.below(Token::Key(pair[0]), pair[1]))
                })
                .collect(),
        }
    }

    /// Refuses a list whose last name has no value, where Go would fall over it.
    pub(super) fn refuse_odd_list(&self, violations: &mut Violations) {
        if matches!(&self.node.content, Content::Sequence(items) if items.len() % 2 == 1) {
            self.refuse("a mapping", violations);
        }
    }

    fn below(&self, token: Token, id: usize) -> Self {
        let step = Some(self.tree.step(self.step, token));
        Self { tree: self.tree, node: self.tree.node(id), step, dialect: self.dialect }
    }

    /// Reports that something else is wanted here.
    pub(super) fn refuse(&self, wanted: &str, violations: &mut Violations) {
        if violations.is_full() {
            return;
        }
        let at = self.at();
        let found = match &self.node.content {
            Content::Scalar(_) if is_secret(&at) => "another value".to_owned(),
            Content::Scalar(scalar) => scalar_shown(scalar),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        };
        violations
            .add("wrong-type", at, format!("expected {wanted}, found {found}"))
            .at(self.node.line, self.node.column);
    }
}

/// The names of a mapping: few are compared one by one, many are hashed.
enum Names<'t> {
    Few(Vec<Cow<'t, str>>),
    Many(HashSet<Cow<'t, str>>),
}

impl<'t> Names<'t> {
    fn new(count: usize) -> Self {
        if count <= 16 {
            Self::Few(Vec::with_capacity(count))
        } else {
            Self::Many(HashSet::with_capacity(count))
        }
    }

    /// Whether the name is new.
    fn insert(&mut self, name: Cow<'t, str>) -> bool {
        match self {
            Self::Few(names) if names.contains(&name) => false,
            Self::Few(names) => {
                names.push(name);
                true
            }
            Self::Many(names) => names.insert(name),
        }
    }
}

/// A scalar as a message shows it: text in quotes tells `"2.0"` from `2.0`.
fn scalar_shown(scalar: &Scalar<'_>) -> String {
    match scalar.tag {
        ScalarTag::Str => quoted(&scalar.text).to_string(),
        _ if scalar.text.is_empty() => "null".to_owned(),
        _ if matches!(scalar.to_js(), Ok(JsValue::Text(_))) => quoted(&scalar.text).to_string(),
        _ => scalar.text.chars().take(64).collect(),
    }
}
