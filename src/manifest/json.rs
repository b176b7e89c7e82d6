//! Reads an uploaded manifest exactly as Go's `encoding/json` reads it into the provider's structures.
//!
//! Member names match without regard to case, unknown members and whatever follows the first value are ignored, `null`
//! leaves a scalar as it was, a repeated member is read over the earlier one. Two deliberate differences: text that is not
//! UTF-8 and lone surrogates are refused, where Go would silently replace them, and the size has a limit.

use std::{borrow::Cow, fmt};

use ruint::aliases::U256;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    MAX_DOCUMENT_BYTES,
    model::{
        Credentials, Expose, Group, HttpOptions, List, Manifest, Mount, Permissions, Quantity,
        Service, ServiceEndpoint, ServiceParams, ServiceResources, ServiceVolume, Size, Tee, Units,
    },
    violation::{Violation, Violations, is_secret, pointer, quoted},
};
use crate::domain::Attribute;

impl Manifest {
    /// Reads the JSON that a tenant uploads. Only its shape is checked here; [`Manifest::check`] judges the content.
    ///
    /// # Errors
    /// Everything that does not fit the shape, or the one place where the text stops being JSON.
    pub fn from_json(body: &[u8]) -> Result<Self, Vec<Violation>> {
        let mut violations = Violations::default();
        let mut manifest = Self::default();
        if let Some(raw) = first_value(body, &mut violations) {
            manifest.read(raw, &At::ROOT, &mut violations);
        }
        if violations.is_empty() { Ok(manifest) } else { Err(violations.into_vec()) }
    }
}

/// The most objects that a manifest may have, so that a small body cannot become a large manifest.
const MAX_OBJECTS: usize = 20_000;

/// How many objects begin outside of texts.
fn objects(body: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

fn first_value<'a>(body: &'a [u8], violations: &mut Violations) -> Option<&'a RawValue> {
    if body.len() > MAX_DOCUMENT_BYTES {
        let message =
            format!("manifest has {} bytes, at most {MAX_DOCUMENT_BYTES} are read", body.len());
        violations.add("document-too-large", "", message);
        return None;
    }
    if body.len() > MAX_OBJECTS && objects(body) > MAX_OBJECTS {
        let message = format!("manifest has more than {MAX_OBJECTS} objects");
        violations.add("document-too-large", "", message);
        return None;
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("byte {} is not UTF-8", error.valid_up_to());
            violations.add("not-utf8", "", message);
            return None;
        }
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match <&RawValue>::deserialize(&mut deserializer) {
        Ok(raw) => Some(raw),
        Err(error) => {
            let message = format!("manifest is not JSON: {error}");
            violations.add("json-syntax", "", message).at(error.line(), error.column());
            None
        }
    }
}

/// Where a value stands. Every value is one step below another, so that nothing is written until somebody asks.
#[derive(Clone, Copy)]
struct At<'p> {
    parent: Option<&'p At<'p>>,
    token: Token,
    /// The Go structure that holds the member; empty at the top.
    structure: &'static str,
}

#[derive(Clone, Copy)]
enum Token {
    Root,
    Member(&'static str),
    Item(usize),
}

impl At<'_> {
    const ROOT: Self = Self { parent: None, token: Token::Root, structure: "" };

    fn member<'p>(&'p self, structure: &'static str, name: &'static str) -> At<'p> {
        At { parent: Some(self), token: Token::Member(name), structure }
    }

    fn item(&self, index: usize) -> At<'_> {
        At { parent: Some(self), token: Token::Item(index), structure: self.structure }
    }

    /// The way for people: a pointer.
    fn pointer(&self) -> String {
        let above = || self.parent.map(At::pointer).unwrap_or_default();
        match self.token {
            Token::Root => String::new(),
            Token::Member(name) => pointer(&above(), name),
            Token::Item(index) => pointer(&above(), index),
        }
    }

    /// The way in Go's text: the names of the members, with dots.
    fn members(&self) -> String {
        let above = self.parent.map(At::members).unwrap_or_default();
        match self.token {
            Token::Member(name) if above.is_empty() => name.to_owned(),
            Token::Member(name) => format!("{above}.{name}"),
            Token::Root | Token::Item(_) => above,
        }
    }

    /// Reports that `raw` has the wrong type, `go` being the wanted type's name there if it is known.
    fn refuse(&self, raw: &RawValue, wanted: &str, go: Option<&str>, violations: &mut Violations) {
        if violations.is_full() {
            return;
        }
        let at = self.pointer();
        let secret = is_secret(&at);
        let found = match Kind::of(raw) {
            Kind::Number if secret => "number".to_owned(),
            kind => kind.describe(raw),
        };
        let message = format!("expected {wanted}, found {found}");
        let reported = violations.add("wrong-type", at, message);
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::String,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            _ => Self::Number,
        }
    }

    fn describe(self, raw: &RawValue) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Number => format!("number {}", raw.get().chars().take(40).collect::<String>()),
            Self::String => "string".to_owned(),
            Self::Array => "array".to_owned(),
            Self::Object => "object".to_owned(),
        }
    }
}

/// Something that a JSON value can be read into, over what is already there.
trait Read {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations);
}

impl Read for String {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        match Kind::of(raw) {
            Kind::Null => {}
            Kind::String => match serde_json::from_str(raw.get()) {
                Ok(text) => *self = text,
                Err(error) => {
                    violations.add("json-syntax", at.pointer(), format!("bad string: {error}"));
                }
            },
            _ => at.refuse(raw, "a string", Some("string"), violations),
        }
    }
}

impl Read for bool {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        match Kind::of(raw) {
            Kind::Null => {}
            Kind::Bool => *self = raw.get() == "true",
            _ => at.refuse(raw, "true or false", Some("bool"), violations),
        }
    }
}

impl Read for u32 {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        if Kind::of(raw) == Kind::Null {
            return;
        }
        match raw.get().parse() {
            Ok(number) => *self = number,
            Err(_) => at.refuse(raw, "an integer from 0 to 4294967295", Some("uint32"), violations),
        }
    }
}

/// The kind of an endpoint; any number decodes.
impl Read for i32 {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        if Kind::of(raw) == Kind::Null {
            return;
        }
        match raw.get().parse() {
            Ok(number) => *self = number,
            Err(_) => at.refuse(
                raw,
                "an endpoint kind: 0, 1 or 2",
                Some("v1beta4.Endpoint_Kind"),
                violations,
            ),
        }
    }
}

impl<T: Read + Default> Read for Option<T> {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        if Kind::of(raw) == Kind::Null {
            *self = None;
        } else {
            self.get_or_insert_default().read(raw, at, violations);
        }
    }
}

impl<T: Read + Default> Read for Vec<T> {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        if Kind::of(raw) == Kind::Null {
            self.clear();
            return;
        }
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
            // Only the manifest itself stands outside a structure.
            let go = at.structure.is_empty().then_some("v2beta3.Manifest");
            at.refuse(raw, "an array", go, violations);
            return;
        };
        self.resize_with(items.len(), T::default);
        for (index, (slot, raw)) in self.iter_mut().zip(items).enumerate() {
            slot.read(raw, &at.item(index), violations);
        }
    }
}

impl<T: Read + Default> Read for List<T> {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        if Kind::of(raw) == Kind::Null {
            *self = Self::NULL;
        } else {
            self.get_or_create().read(raw, at, violations);
        }
    }
}

/// `{"val": "1000"}`: a string with a decimal, hexadecimal, octal or binary integer.
impl Read for Quantity {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        read_members(raw, at, "ResourceValue", &["val"], violations, |_, raw, at, violations| {
            let text = match Kind::of(raw) {
                Kind::Null => Some(String::new()),
                Kind::String => serde_json::from_str(raw.get()).ok(),
                _ => None,
            };
            let Some(text) = text else {
                let found = if Kind::of(raw) == Kind::Number { "number" } else { "value" };
                let message = format!("expected a string with an integer, found {found}");
                violations.add("wrong-type", at.pointer(), message).reference(format!(
                    "json: cannot unmarshal {found} into Go struct field {}.{} of type string",
                    at.structure,
                    at.members()
                ));
                return;
            };
            match integer(&text) {
                Some(quantity) => *self = quantity,
                None => violations
                    .add(
                        "bad-quantity",
                        at.pointer(),
                        format!("{} is not an integer of at most 256 bits", quoted(&text)),
                    )
                    .reference(format!("math/big: cannot unmarshal {text:?} into a *big.Int")),
            }
        });
    }
}

/// An integer literal as Go writes it: a sign, a prefix that gives the base (a bare leading zero is octal), and single
/// underscores between digits.
fn integer(text: &str) -> Option<Quantity> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // An underscore may stand after a prefix and between digits, so the prefix counts as a digit.
    let after_prefix = digits.len() < lower.len();
    let bare = digits.strip_prefix('_').filter(|_| after_prefix).unwrap_or(digits);
    let mut magnitude = U256::ZERO;
    for group in bare.split('_') {
        if group.is_empty() {
            return None;
        }
        for digit in group.chars() {
            let digit = digit.to_digit(base)?;
            magnitude = magnitude.checked_mul(U256::from(base))?.checked_add(U256::from(digit))?;
        }
    }
    Some(Quantity::new(negative, magnitude))
}

/// The members of an object in the order of the text, repeated ones included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Calls `read` with the index of each known member; `structure` is the Go structure's name.
fn read_members(
    raw: &RawValue,
    at: &At<'_>,
    structure: &'static str,
    names: &[&'static str],
    violations: &mut Violations,
    mut read: impl FnMut(usize, &RawValue, &At<'_>, &mut Violations),
) {
    if Kind::of(raw) == Kind::Null {
        return;
    }
    match serde_json::from_str::<Members<'_>>(raw.get()) {
        Ok(Members(members)) => {
            for (key, raw) in members {
                if let Some(index) = names.iter().position(|name| same_name(&key, name)) {
                    read(index, raw, &at.member(structure, names[index]), violations);
                }
            }
        }
        Err(_) if Kind::of(raw) == Kind::Object => {
            violations.add("json-syntax", at.pointer(), "a member's name is not valid text");
        }
        Err(_) => at.refuse(raw, "an object", None, violations),
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

macro_rules! read_structures {
    ($($type:ident as $structure:literal { $($name:literal: $field:ident),+ })+) => {$(
        impl Read for $type {
            fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
                let names = [$($name),+];
                read_members(raw, at, $structure, &names, violations, |index, raw, at, violations| {
                    match names[index] {
                        $($name => self.$field.read(raw, at, violations),)+
                        _ => {}
                    }
                });
            }
        }
    )+};
}

read_structures! {
    Group as "Group" { "name": name, "services": services }
    Service as "Service" {
        "name": name, "image": image, "command": command, "args": args, "env": env,
        "resources": resources, "count": count, "expose": expose, "params": params,
        "credentials": credentials
    }
    ServiceResources as "Resources" {
        "id": id, "cpu": cpu, "memory": memory, "storage": storage, "gpu": gpu,
        "endpoints": endpoints
    }
    Units as "CPU" { "units": units, "attributes": attributes }
    Size as "Memory" { "size": size, "attributes": attributes }
    ServiceVolume as "Storage" { "name": name, "size": size, "attributes": attributes }
    Attribute as "Attribute" { "key": key, "value": value }
    ServiceEndpoint as "Endpoint" { "kind": kind, "sequence_number": sequence_number }
    Expose as "ServiceExpose" {
        "port": port, "externalPort": external_port, "proto": proto, "service": service,
        "global": global, "hosts": hosts, "httpOptions": http_options, "ip": ip,
        "endpointSequenceNumber": endpoint_sequence_number
    }
    HttpOptions as "ServiceExposeHTTPOptions" {
        "maxBodySize": max_body_size, "readTimeout": read_timeout, "sendTimeout": send_timeout,
        "nextTries": next_tries, "nextTimeout": next_timeout, "nextCases": next_cases,
        "proxyBufferSize": proxy_buffer_size
    }
    ServiceParams as "ServiceParams" {
        "storage": storage, "credentials": credentials, "permissions": permissions, "tee": tee
    }
    Mount as "StorageParams" { "name": name, "mount": mount, "readOnly": read_only }
    Permissions as "ServicePermissions" { "read": read }
    Tee as "TEEParams" { "type": kind, "attestation": attestation }
    Credentials as "ImageCredentials" {
        "host": host, "email": email, "username": username, "password": password
    }
}

impl Read for Manifest {
    fn read(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        self.groups.read(raw, at, violations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_read_in_the_base_of_its_prefix() {
        for text in ["1000", "+1000", "1_000", "0x3e8", "0X3E8", "01750", "0o1750", "0x_3e8"] {
            assert_eq!(integer(text).and_then(Quantity::to_u64), Some(1000), "{text}");
        }
        for text in ["", "-", "1000.5", "1e3", "_1", "1_", "1__0", "08", "0x", " 1", "--1"] {
            assert_eq!(integer(text), None, "{text:?}");
        }
        assert_eq!(integer("0").and_then(Quantity::to_u64), Some(0));
        assert_eq!(integer("-0"), integer("0"));
        assert!(integer(&format!("0x{}", "f".repeat(64))).is_some());
        assert!(integer(&format!("0x1{}", "0".repeat(64))).is_none());
    }

    #[test]
    fn every_misfit_is_reported_with_its_pointer() {
        let body = br#"[{"name": 1, "services": [{"count": -1, "expose": {}}]}]"#;
        let violations = Manifest::from_json(body).unwrap_err();
        let pointers: Vec<_> = violations.iter().map(|found| found.pointer.as_str()).collect();
        assert_eq!(pointers, ["/0/name", "/0/services/0/count", "/0/services/0/expose"]);
    }

    #[test]
    fn deeply_nested_unknown_members_are_skipped_without_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!(r#"[{{"name": "g", "unknown": {deep}}}] and more"#);
        assert_eq!(Manifest::from_json(body.as_bytes()).unwrap().groups()[0].name, "g");
    }
}
