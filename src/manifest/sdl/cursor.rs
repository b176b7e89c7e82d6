//! A place in the document, and how each dialect reads a value there.
//!
//! Go takes any scalar for text and `null` for nothing at all; npm wants the exact type and, in a mapping with fields, no
//! others than those. The surprising fact: to Go a `null` among the items of a list vanishes, so `[~]` is the empty list.

use std::{borrow::Cow, collections::HashSet, fmt, ops::RangeInclusive, slice::ChunksExact, vec};

use super::{
    js::{self, JsValue},
    scalar::Misfit,
    yaml::{Content, Id, Node, Scalar, ScalarTag, Tree},
};
use crate::manifest::{
    Dialect,
    distinct::Distinct,
    violation::{Violations, is_secret, nearest_hint, pointer, quoted},
};

/// A text of the document; it borrows wherever it stands there as it is.
pub(super) type Text<'t> = Cow<'t, str>;

/// A node, the way that leads to it, and whose rules it is read by.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'c, 't> {
    tree: &'t Tree<'t>,
    node: &'t Node<'t>,
    /// The value that this is a part of.
    parent: Option<&'c Cursor<'c, 't>>,
    /// What leads here from there.
    token: Token,
    dialect: Dialect,
}

/// What leads to a value from its parent.
#[derive(Clone, Copy)]
enum Token {
    /// The node of the member's name.
    Key(Id),
    Index(usize),
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

impl<'t> Cursor<'_, 't> {
    /// The outermost value, if the document has one.
    pub(super) fn root(tree: &'t Tree<'t>, dialect: Dialect) -> Option<Self> {
        let token = Token::Index(0);
        tree.root().map(|node| Self { tree, node, parent: None, token, dialect })
    }

    /// The JSON pointer to here.
    pub(super) fn at(&self) -> String {
        let Some(parent) = self.parent else { return String::new() };
        let at = parent.at();
        match self.token {
            Token::Index(index) => pointer(&at, index),
            Token::Key(id) => match &self.tree.node(id).content {
                Content::Scalar(name) if self.dialect.is_npm() => pointer(&at, name.to_js_key()),
                Content::Scalar(name) => pointer(&at, &name.text),
                _ => at,
            },
        }
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
        matches!(self.node.content, Content::Mapping(_)) || self.is_date()
    }

    /// Whether npm has a date here, which passes for a mapping without members.
    fn is_date(&self) -> bool {
        self.dialect.is_npm() && matches!(self.js(), Some(JsValue::Date(_)))
    }

    /// Whether Go finds a null here that its tag calls one and its text does not; reports it.
    pub(super) fn refuse_false_null(&self, violations: &mut Violations) -> bool {
        let refused = self.dialect == Dialect::Go
            && matches!(&self.node.content, Content::Scalar(scalar) if scalar.is_false_null());
        if refused {
            self.refuse("null, as its tag says", violations);
        }
        refused
    }

    /// The text here; `None` for null and after a violation.
    pub(super) fn text(&self, violations: &mut Violations) -> Option<Text<'t>> {
        self.scalar("text", violations, Scalar::to_text, |value| match value {
            JsValue::Text(text) => Some(Cow::Borrowed(text)),
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
            self.refuse(format_args!("an integer from {} to {most}", range.start()), violations);
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
        let wanted = format_args!("an integer from {least}");
        self.scalar(wanted, violations, go, |value| match value {
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
        wanted: impl fmt::Display,
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
    pub(super) fn texts(&self, violations: &mut Violations) -> Option<Vec<Text<'t>>> {
        let items = self.items(violations)?;
        Some(items.filter_map(|(_, item)| item.text(violations)).collect())
    }

    /// The texts of a list that may be null to npm too.
    pub(super) fn texts_or_null(&self, violations: &mut Violations) -> Option<Vec<Text<'t>>> {
        if self.is_null() { None } else { self.texts(violations) }
    }

    /// The items of a list that are not null to Go, each with its index; `None` for null and after a violation.
    pub(super) fn items<'s>(
        &'s self,
        violations: &mut Violations,
    ) -> Option<impl Iterator<Item = (usize, Cursor<'s, 't>)> + use<'s, 't>> {
        let items = self.all_items(violations)?;
        Some(items.enumerate().filter(|(_, item)| !item.is_absent()))
    }

    /// Every item of a list; `None` for null and after a violation.
    pub(super) fn all_items<'s>(
        &'s self,
        violations: &mut Violations,
    ) -> Option<impl Iterator<Item = Cursor<'s, 't>> + use<'s, 't>> {
        let Content::Sequence(items) = self.node.content else {
            if !self.is_absent() {
                self.refuse("a list", violations);
            }
            return None;
        };
        let items = self.tree.children(items).iter().enumerate();
        Some(items.map(|(index, id)| self.below(Token::Index(index), *id)))
    }

    /// The members of a mapping that has fields, as Go reads it: what it does not know is passed over.
    pub(super) fn fields(&self, shape: &Shape, violations: &mut Violations) -> Members<'_, 't> {
        let members = self.members(violations);
        self.check_shape(shape, &members, violations);
        members
    }

    /// The members of a mapping that has fields and whose keys Go walks by hand.
    pub(super) fn raw_fields(&self, shape: &Shape, violations: &mut Violations) -> Members<'_, 't> {
        match self.dialect {
            Dialect::Go => self.raw_members(),
            Dialect::Npm | Dialect::NpmHead => self.fields(shape, violations),
        }
    }

    /// npm's rule for fields: none but these, and all that are required.
    fn check_shape(&self, shape: &Shape, members: &Members<'_, 't>, violations: &mut Violations) {
        if self.dialect == Dialect::Go || !self.is_mapping() {
            return;
        }
        let later = if self.dialect == Dialect::NpmHead { shape.later } else { &[] };
        let known = || shape.fields.iter().chain(later).copied();
        for (name, value) in members.clone() {
            if !violations.is_full() && !known().any(|field| field == name) {
                let hint = nearest_hint(&name, known());
                let message = format!("field {} is not known here{hint}", quoted(&name));
                violations
                    .add("unknown-key", value.at(), message)
                    .at(value.node.line, value.node.column);
            }
        }
        for field in shape.required {
            if !members.clone().any(|(name, _)| name == *field) {
                violations
                    .add("missing-key", self.at(), format!("field {field:?} is missing"))
                    .at(self.node.line, self.node.column);
            }
        }
    }

    /// The members of a mapping, merged ones (`<<`) last; none for null and after a violation.
    pub(super) fn members(&self, violations: &mut Violations) -> Members<'_, 't> {
        let Content::Mapping(children) = self.node.content else {
            if !self.is_absent() && !self.is_date() {
                self.refuse("a mapping", violations);
            }
            return Members::Gathered(Vec::new().into_iter());
        };
        let pairs = self.tree.children(children);
        if self.are_plain(pairs) {
            return Members::InPlace(self, pairs.chunks_exact(2));
        }
        Members::Gathered(self.gather(pairs, violations).into_iter())
    }

    /// Whether every key is a text of its own that means itself, so that the members can be read where they stand.
    fn are_plain(&self, pairs: &'t [Id]) -> bool {
        let mut names = Distinct::default();
        pairs.chunks_exact(2).all(|pair| match &self.tree.node(pair[0]).content {
            Content::Scalar(name) => {
                let is_text = match (name.tag, self.dialect) {
                    (ScalarTag::Str, _) => true,
                    (ScalarTag::Implicit, Dialect::Go) => name.text != "<<" && !name.is_null(),
                    (ScalarTag::Implicit, _) => {
                        name.text != "<<" && matches!(name.to_js(), Ok(JsValue::Text(_)))
                    }
                    _ => false,
                };
                is_text && names.insert(&name.text)
            }
            _ => false,
        })
    }

    /// What tells a key from others, and whether it merges; `None` after a violation.
    fn key(&self, key: &'t Node<'t>, violations: &mut Violations) -> Option<(Cow<'t, str>, bool)> {
        let identity = match (&key.content, self.dialect) {
            // Go compares keys by their text before it looks at what they mean.
            (Content::Scalar(name), Dialect::Go) => Some(Cow::Borrowed(&*name.text)),
            (Content::Scalar(name), _) => name.to_js().is_ok().then(|| name.to_js_key()),
            (_, Dialect::Go) => None,
            _ => js::key_text(self.tree, key).map(Cow::Owned),
        };
        if identity.is_none() {
            self.refuse("a mapping with keys of text", violations);
        }
        let merges = matches!(&key.content, Content::Scalar(name) if name.text == "<<" && name.tag == ScalarTag::Implicit);
        Some((identity?, merges))
    }

    /// The members of a mapping whose keys are not all plain.
    fn gather<'s>(
        &'s self,
        pairs: &'t [Id],
        violations: &mut Violations,
    ) -> Vec<(Text<'t>, Cursor<'s, 't>)> {
        let count = pairs.len() / 2;
        let (mut members, mut names) = (Vec::with_capacity(count), HashSet::with_capacity(count));
        let mut merged = Vec::new();
        for pair in pairs.chunks_exact(2) {
            let (token, key, value) = (Token::Key(pair[0]), self.tree.node(pair[0]), pair[1]);
            let Some((identity, merges)) = self.key(key, violations) else { continue };
            let may_repeat = merges && self.dialect.is_npm();
            let repeated = !may_repeat && !names.insert(identity.clone());
            if repeated && violations.is_full() {
                continue;
            }
            if repeated {
                let message = format!("key {} stands twice in this mapping", quoted(&identity));
                violations
                    .add("duplicate-key", pointer(&self.at(), &identity), message)
                    .at(key.line, key.column);
            } else if merges {
                merged.push(self.below(token, value));
            } else if self.dialect.is_npm() {
                members.push((identity, self.below(token, value)));
            } else if let Content::Scalar(name) = &key.content {
                match name.to_text() {
                    Ok(Some(name)) => members.push((name, self.below(token, value))),
                    Ok(None) => {}
                    Err(misfit) => self.refuse(misfit.wanted, violations),
                }
            }
        }
        for source in merged {
            self.merge(&source, &mut members, violations);
        }
        members
    }

    /// Adds the members of `source`, one mapping or several, that are not there yet.
    fn merge<'s>(
        &'s self,
        source: &Cursor<'_, 't>,
        members: &mut Vec<(Text<'t>, Cursor<'s, 't>)>,
        violations: &mut Violations,
    ) {
        let sources = match source.node.content {
            Content::Mapping(_) => vec![*source],
            Content::Sequence(_) => source.all_items(violations).into_iter().flatten().collect(),
            Content::Scalar(_) => Vec::new(),
        };
        let nothing = matches!(source.node.content, Content::Scalar(_));
        if nothing || sources.iter().any(|source| !source.is_mapping()) {
            source.refuse("a mapping or a list of mappings to merge", violations);
            return;
        }
        let mut known: HashSet<Text<'t>> = members.iter().map(|(name, _)| name.clone()).collect();
        for source in &sources {
            for (name, value) in source.members(violations) {
                if known.insert(name.clone()) {
                    let Cursor { node, token, .. } = value;
                    members.push((name, Cursor { node, token, parent: Some(self), ..*self }));
                }
            }
        }
    }

    /// The members of a mapping whose keys Go walks by hand: nothing is merged, repeated keys are kept, and a scalar has
    /// no members.
    fn raw_members(&self) -> Members<'_, 't> {
        let pairs = match self.node.content {
            Content::Scalar(_) => &[],
            // A list is walked like a mapping, names and values in turn.
            Content::Sequence(pairs) | Content::Mapping(pairs) => self.tree.children(pairs),
        };
        Members::InPlace(self, pairs.chunks_exact(2))
    }

    /// Refuses a list whose last name has no value, where Go would fall over it.
    pub(super) fn refuse_odd_list(&self, violations: &mut Violations) {
        if matches!(self.node.content, Content::Sequence(items) if self.tree.children(items).len() % 2 == 1)
        {
            self.refuse("a mapping", violations);
        }
    }

    fn below(&self, token: Token, id: Id) -> Cursor<'_, 't> {
        Cursor { node: self.tree.node(id), token, parent: Some(self), ..*self }
    }

    /// Reports that something else is wanted here.
    pub(super) fn refuse(&self, wanted: impl fmt::Display, violations: &mut Violations) {
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

/// The members of a mapping, each with its name.
#[derive(Clone)]
pub(super) enum Members<'c, 't> {
    /// Read where they stand: the mapping, and names and values in turn.
    InPlace(&'c Cursor<'c, 't>, ChunksExact<'t, Id>),
    Gathered(vec::IntoIter<(Text<'t>, Cursor<'c, 't>)>),
}

impl<'c, 't> Iterator for Members<'c, 't> {
    type Item = (Text<'t>, Cursor<'c, 't>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::InPlace(mapping, pairs) => {
                let pair = pairs.next()?;
                let name = mapping.tree.node(pair[0]).text();
                Some((Cow::Borrowed(name), mapping.below(Token::Key(pair[0]), pair[1])))
            }
            Self::Gathered(members) => members.next(),
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
