//! A place in the document, and how the reference reads a value there.
//!
//! `null` is as if the field were not there, everywhere. The surprising fact: a `null` among the items of a list
//! vanishes, so `[~]` is the empty list.

use std::collections::HashSet;

use super::{
    scalar::Misfit,
    yaml::{Content, Node, Scalar, ScalarTag, Tree},
};
use crate::manifest::violation::{Violations, is_secret, pointer, quoted};

/// A node with the pointer that leads to it.
#[derive(Clone)]
pub(super) struct Cursor<'t> {
    tree: &'t Tree,
    node: &'t Node,
    at: String,
}

impl<'t> Cursor<'t> {
    /// The outermost value, if the document has one.
    pub(super) fn root(tree: &'t Tree) -> Option<Self> {
        tree.root().map(|node| Self { tree, node, at: String::new() })
    }

    /// The JSON pointer to here.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// A scalar's text whatever its type; empty for what is no scalar.
    pub(super) fn raw(&self) -> &'t str {
        self.node.text()
    }

    /// Whether this is `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.node.content, Content::Scalar(scalar) if scalar.is_null())
    }

    /// Whether this is a mapping.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.node.content, Content::Mapping(_))
    }

    /// The text here; `None` for null and after a violation.
    pub(super) fn text(&self, violations: &mut Violations) -> Option<String> {
        self.scalar("text", violations, Scalar::to_text)
    }

    /// The number here; `None` for null and after a violation.
    pub(super) fn number(&self, violations: &mut Violations) -> Option<u32> {
        self.scalar("an integer from 0 to 4294967295", violations, Scalar::to_u32)
    }

    /// The truth here; `None` for null and after a violation.
    pub(super) fn truth(&self, violations: &mut Violations) -> Option<bool> {
        self.scalar("true or false", violations, Scalar::to_bool)
    }

    fn scalar<T>(
        &self,
        wanted: &'static str,
        violations: &mut Violations,
        read: fn(&Scalar) -> Result<Option<T>, Misfit>,
    ) -> Option<T> {
        let Content::Scalar(scalar) = &self.node.content else {
            self.refuse(wanted, violations);
            return None;
        };
        read(scalar).unwrap_or_else(|misfit| {
            self.refuse(misfit.wanted, violations);
            None
        })
    }

    /// The texts of a list; `None` for null and after a violation.
    pub(super) fn texts(&self, violations: &mut Violations) -> Option<Vec<String>> {
        let items = self.items(violations)?;
        Some(items.iter().filter_map(|(_, item)| item.text(violations)).collect())
    }

    /// The items of a list that are not null, each with its index; `None` for null and after a violation.
    pub(super) fn items(&self, violations: &mut Violations) -> Option<Vec<(usize, Self)>> {
        let items = self.all_items(violations)?;
        Some(items.into_iter().enumerate().filter(|(_, item)| !item.is_null()).collect())
    }

    /// Every item of a list; `None` for null and after a violation.
    pub(super) fn all_items(&self, violations: &mut Violations) -> Option<Vec<Self>> {
        let Content::Sequence(items) = &self.node.content else {
            if !self.is_null() {
                self.refuse("a list", violations);
            }
            return None;
        };
        Some(items.iter().enumerate().map(|(index, id)| self.below(index, *id)).collect())
    }

    /// The members of a mapping, merged ones (`<<`) last; none for null and after a violation.
    pub(super) fn members(&self, violations: &mut Violations) -> Vec<(String, Self)> {
        let Content::Mapping(pairs) = &self.node.content else {
            if !self.is_null() {
                self.refuse("a mapping", violations);
            }
            return Vec::new();
        };
        let mut members = Vec::new();
        let mut names = HashSet::new();
        let mut merged = None;
        for (key, value) in pairs {
            let (key, value) = (self.tree.node(*key), *value);
            let Content::Scalar(name) = &key.content else {
                self.refuse("a mapping with keys of text", violations);
                continue;
            };
            if !names.insert(name.text.as_str()) {
                let message = format!("key {} stands twice in this mapping", quoted(&name.text));
                violations
                    .add("duplicate-key", pointer(&self.at, &name.text), message)
                    .at(key.line, key.column);
            } else if name.text == "<<" && name.tag == ScalarTag::Implicit {
                merged = Some(self.below("<<", value));
            } else if let Ok(Some(name)) = name.to_text() {
                let value = self.below(&name, value);
                members.push((name, value));
            }
        }
        if let Some(source) = merged {
            self.merge(&source, &mut members, violations);
        }
        members
    }

    /// Adds the members of `source`, one mapping or several, that are not there yet.
    fn merge(&self, source: &Self, members: &mut Vec<(String, Self)>, violations: &mut Violations) {
        let sources = match &source.node.content {
            Content::Mapping(_) => vec![source.clone()],
            Content::Sequence(_) => source.all_items(violations).unwrap_or_default(),
            Content::Scalar(_) => Vec::new(),
        };
        if sources.is_empty() || sources.iter().any(|source| !source.is_mapping()) {
            source.refuse("a mapping or a list of mappings to merge", violations);
            return;
        }
        let mut known: HashSet<String> = members.iter().map(|(name, _)| name.clone()).collect();
        for source in sources {
            for (name, value) in source.members(violations) {
                if known.insert(name.clone()) {
                    let at = pointer(&self.at, &name);
                    members.push((name, Self { at, ..value }));
                }
            }
        }
    }

    /// The members of a mapping whose keys the reference walks by hand: nothing is merged, repeated keys are kept, and
    /// a scalar has no members.
    pub(super) fn raw_members(&self, violations: &mut Violations) -> Vec<(&'t str, Self)> {
        match &self.node.content {
            Content::Scalar(_) => Vec::new(),
            Content::Sequence(_) => {
                self.refuse("a mapping", violations);
                Vec::new()
            }
            Content::Mapping(pairs) => pairs
                .iter()
                .map(|(key, value)| {
                    let name = self.tree.node(*key).text();
                    (name, self.below(name, *value))
                })
                .collect(),
        }
    }

    fn below(&self, token: impl std::fmt::Display, id: usize) -> Self {
        Self { tree: self.tree, node: self.tree.node(id), at: pointer(&self.at, token) }
    }

    /// Reports that something else is wanted here.
    pub(super) fn refuse(&self, wanted: &str, violations: &mut Violations) {
        let found = match &self.node.content {
            Content::Scalar(_) if is_secret(&self.at) => "another value".to_owned(),
            Content::Scalar(scalar) => quoted(&scalar.text),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        };
        violations
            .add("wrong-type", &*self.at, format!("expected {wanted}, found {found}"))
            .at(self.node.line, self.node.column);
    }
}
