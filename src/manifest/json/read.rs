//! Reads JSON values over what is already there, in one pass over the text, each misfit reported with its place.
//!
//! The surprising fact: a number keeps its own text, since `1.0` is no integer to Go although it is one to arithmetic.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::manifest::{
    model::List,
    violation::{Violations, pointer},
};

/// Where a value stands. Every value is one step below another, so that nothing is written until somebody asks.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    parent: Option<&'p At<'p>>,
    token: Token,
    /// The Go structure that holds the member; empty at the top.
    pub(super) structure: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Token {
    Root,
    Member(&'static str),
    Item(usize),
}

impl At<'_> {
    pub(super) const ROOT: Self = Self { parent: None, token: Token::Root, structure: "" };

    pub(super) fn member<'p>(&'p self, structure: &'static str, name: &'static str) -> At<'p> {
        At { parent: Some(self), token: Token::Member(name), structure }
    }

    pub(super) fn item(&self, index: usize) -> At<'_> {
        At { parent: Some(self), token: Token::Item(index), structure: self.structure }
    }

    /// The way for people: a pointer.
    pub(super) fn pointer(&self) -> String {
        let above = || self.parent.map(At::pointer).unwrap_or_default();
        match self.token {
            Token::Root => String::new(),
            Token::Member(name) => pointer(&above(), name),
            Token::Item(index) => pointer(&above(), index),
        }
    }

    /// The way in Go's text: the names of the members, with dots.
    pub(super) fn members(&self) -> String {
        let above = self.parent.map(At::members).unwrap_or_default();
        match self.token {
            Token::Member(name) if above.is_empty() => name.to_owned(),
            Token::Member(name) => format!("{above}.{name}"),
            Token::Root | Token::Item(_) => above,
        }
    }

    /// Reports that what was found has the wrong type, `go` being the wanted type's name there if it is known.
    pub(super) fn refuse(
        &self,
        found: &str,
        wanted: &str,
        go: Option<&str>,
        violations: &mut Violations,
    ) {
        if violations.is_full() {
            return;
        }
        let message = format!("expected {wanted}, found {found}");
        let reported = violations.add("wrong-type", self.pointer(), message);
        let Some(go) = go else { return };
        reported.reference(if self.structure.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {go}")
        } else {
            let (structure, members) = (self.structure, self.members());
            format!(
                "json: cannot unmarshal {found} into Go struct field {structure}.{members} of type {go}"
            )
        });
    }
}

/// Something that a JSON value can be read into, over what is already there. An error means that the text is no JSON.
pub(super) trait Read {
    fn read<'de, D: Deserializer<'de>>(
        &mut self,
        from: D,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), D::Error>;
}

/// A [`Read`] that serde can pass on to a member or an item.
pub(super) struct Target<'r, T> {
    pub(super) into: &'r mut T,
    pub(super) at: &'r At<'r>,
    pub(super) violations: &'r mut Violations,
}

impl<'de, T: Read> DeserializeSeed<'de> for Target<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.into.read(from, self.at, self.violations)
    }
}

/// What Go calls the type of a value.
pub(super) fn type_name(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "bool",
        Some(b'"') => "string",
        Some(b'[') => "array",
        Some(b'{') => "object",
        _ => "number",
    }
}

impl Read for String {
    fn read<'de, D: Deserializer<'de>>(
        &mut self,
        from: D,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        match type_name(raw) {
            "null" => {}
            "string" => match serde_json::from_str(raw.get()) {
                Ok(text) => *self = text,
                Err(error) => {
                    violations.add("json-syntax", at.pointer(), format!("bad string: {error}"));
                }
            },
            found => at.refuse(found, "a string", Some("string"), violations),
        }
        Ok(())
    }
}

impl Read for bool {
    fn read<'de, D: Deserializer<'de>>(
        &mut self,
        from: D,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        match type_name(raw) {
            "null" => {}
            "bool" => *self = raw.get() == "true",
            found => at.refuse(found, "true or false", Some("bool"), violations),
        }
        Ok(())
    }
}

macro_rules! read_integers {
    ($($type:ident: $wanted:literal as $go:literal),+) => {$(
        impl Read for $type {
            fn read<'de, D: Deserializer<'de>>(
                &mut self,
                from: D,
                at: &At<'_>,
                violations: &mut Violations,
            ) -> Result<(), D::Error> {
                let raw = <&RawValue>::deserialize(from)?;
                match (raw.get().parse(), type_name(raw)) {
                    (Ok(number), _) => *self = number,
                    (Err(_), "null") => {}
                    (Err(_), "number") => {
                        let shown: String = raw.get().chars().take(40).collect();
                        at.refuse(&format!("number {shown}"), $wanted, Some($go), violations);
                    }
                    (Err(_), found) => at.refuse(found, $wanted, Some($go), violations),
                }
                Ok(())
            }
        }
    )+};
}

read_integers! {
    u32: "an integer from 0 to 4294967295" as "uint32",
    // The kind of an endpoint; any number decodes.
    i32: "an endpoint kind: 0, 1 or 2" as "v1beta4.Endpoint_Kind"
}

/// Something that an object or an array can be read into; whichever of the two it does not take is passed over.
pub(super) trait ReadParts {
    /// What is wanted, for people.
    const WANTED: &'static str;

    fn null(&mut self) {}

    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        mut members: A,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        refuse_parts::<Self>("object", at, violations);
        Ok(())
    }

    fn array<'de, A: SeqAccess<'de>>(
        &mut self,
        mut items: A,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        refuse_parts::<Self>("array", at, violations);
        Ok(())
    }
}

fn refuse_parts<T: ReadParts + ?Sized>(found: &str, at: &At<'_>, violations: &mut Violations) {
    // Only the manifest itself stands outside a structure.
    let go = matches!(at.token, Token::Root).then_some("v2beta3.Manifest");
    at.refuse(found, T::WANTED, go, violations);
}

impl<'de, T: ReadParts> Visitor<'de> for Target<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.into.null();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.into.object(members, self.at, self.violations)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.into.array(items, self.at, self.violations)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        refuse_parts::<T>("bool", self.at, self.violations);
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        refuse_parts::<T>("number", self.at, self.violations);
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        refuse_parts::<T>("number", self.at, self.violations);
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        refuse_parts::<T>("number", self.at, self.violations);
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        refuse_parts::<T>("string", self.at, self.violations);
        Ok(())
    }
}

impl<T: ReadParts + Default> ReadParts for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn null(&mut self) {
        *self = None;
    }

    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        members: A,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), A::Error> {
        self.get_or_insert_default().object(members, at, violations)
    }
}

impl<T: Read + Default> ReadParts for Vec<T> {
    const WANTED: &'static str = "an array";

    fn null(&mut self) {
        self.clear();
    }

    fn array<'de, A: SeqAccess<'de>>(
        &mut self,
        mut items: A,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), A::Error> {
        let mut count = 0;
        loop {
            if count == self.len() {
                self.push(T::default());
            }
            let at = at.item(count);
            let target = Target { into: &mut self[count], at: &at, violations };
            if items.next_element_seed(target)?.is_none() {
                self.truncate(count);
                return Ok(());
            }
            count += 1;
        }
    }
}

impl<T: Read + Default> ReadParts for List<T> {
    const WANTED: &'static str = <Vec<T> as ReadParts>::WANTED;

    fn null(&mut self) {
        *self = Self::NULL;
    }

    fn array<'de, A: SeqAccess<'de>>(
        &mut self,
        items: A,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), A::Error> {
        self.get_or_create().array(items, at, violations)
    }
}

macro_rules! read_by_parts {
    ($([$($of:tt)*] $type:ty),+) => {$(
        impl<$($of)*> Read for $type {
            fn read<'de, D: serde::Deserializer<'de>>(
                &mut self,
                from: D,
                at: &At<'_>,
                violations: &mut Violations,
            ) -> Result<(), D::Error> {
                from.deserialize_any(Target { into: self, at, violations })
            }
        }
    )+};
}

pub(super) use read_by_parts;

read_by_parts!([T: ReadParts + Default] Option<T>, [T: Read + Default] Vec<T>, [T: Read + Default] List<T>);

/// The place of a member's name among those that are known.
pub(super) struct Names(pub(super) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Names {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Names {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let exact = self.0.iter().position(|name| *name == key);
        Ok(exact.or_else(|| self.0.iter().position(|name| same_name(key, name))))
    }
}

/// Whether a member's name is meant, case folded as Go folds it: the Kelvin sign is a `k`, the long s an `s`.
fn same_name(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}
