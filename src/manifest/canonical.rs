//! The manifest's JSON and the hash that the chain stores: SHA-256 over the JSON with sorted keys and no white space.
//!
//! The surprising facts: `<`, `>`, `&`, U+2028 and U+2029 are written as `\uXXXX`, because Go's encoder does; a hash over
//! any other spelling is another hash. The npm package spells a few things in its own way, and then no provider comes to
//! its hash.

use std::{collections::BTreeMap, io};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};
use sha2::{Digest, Sha256};

use super::{
    Dialect,
    model::{
        Credentials, Expose, Group, HttpOptions, Manifest, Mount, Permissions, Quantity, Service,
        ServiceEndpoint, ServiceParams, ServiceResources, ServiceVolume, Size, Tee, Units,
    },
};
use crate::domain::Attribute;

/// A number of a service that a manifest may be unable to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Count,
    Cpu,
    Memory,
    Gpu,
    Volume(usize),
    NextTries(usize),
    NextTimeout(usize),
}

/// How a dialect writes the manifest that it hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelling {
    pub(super) dialect: Dialect,
    /// The texts of numbers that the manifest holds only nearly: group, service, field.
    pub(super) unfit: BTreeMap<(usize, usize, Field), String>,
}

impl Spelling {
    /// A dialect's spelling of a manifest that holds every number.
    pub(super) fn of(dialect: Dialect) -> Self {
        Self { dialect, unfit: BTreeMap::new() }
    }
}

impl Manifest {
    /// The JSON that a tenant uploads, compact, members in the usual reading order.
    pub fn to_json(&self) -> String {
        let mut writer = Writer::new(&GO);
        let mut serializer = Serializer::with_formatter(&mut writer.out, GoText);
        // Only a map whose keys are no strings could fail here, and the model has no map.
        let _ = self.serialize(&mut serializer);
        writer.into_text()
    }

    /// The canonical form: the same JSON with the members of every object sorted by their bytes.
    pub fn canonical(&self) -> String {
        self.spelled(&GO)
    }

    /// The hash that a deployment carries on chain.
    pub fn hash(&self) -> [u8; 32] {
        self.spelled_hash(&GO)
    }

    /// The canonical form as a dialect spells it.
    pub(super) fn spelled(&self, spelling: &Spelling) -> String {
        self.write(spelling).into_text()
    }

    /// The hash of the canonical form as a dialect spells it.
    pub(super) fn spelled_hash(&self, spelling: &Spelling) -> [u8; 32] {
        Sha256::digest(self.write(spelling).out).into()
    }

    fn write<'s>(&self, spelling: &'s Spelling) -> Writer<'s> {
        let mut writer = Writer::new(spelling);
        if self.groups.is_null() {
            writer.raw("null");
        } else {
            writer.list(&self.groups, |writer, group, index| {
                writer.place.0 = index;
                writer.group(group);
            });
        }
        writer
    }
}

static GO: Spelling = Spelling { dialect: Dialect::Go, unfit: BTreeMap::new() };

/// Writes texts as Go does.
struct GoText;

impl Formatter for GoText {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut after = special.chars();
            let character = after.next().map_or(0, u32::from);
            write!(out, "\\u{character:04x}")?;
            rest = after.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Bytes that a canonical form commonly needs, so that it is written without moving.
const USUAL_LENGTH: usize = 4096;

/// Writes canonical JSON. Every object's members are written in the order of their names.
struct Writer<'s> {
    out: Vec<u8>,
    spelling: &'s Spelling,
    /// The group and the service that are being written.
    place: (usize, usize),
}

impl<'s> Writer<'s> {
    fn new(spelling: &'s Spelling) -> Self {
        Self { out: Vec::with_capacity(USUAL_LENGTH), spelling, place: (0, 0) }
    }

    fn into_text(self) -> String {
        // Only whole characters are ever written.
        String::from_utf8(self.out).unwrap_or_default()
    }

    fn is_npm(&self) -> bool {
        self.spelling.dialect.is_npm()
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T, usize)) {
        self.raw("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item, index);
        }
        self.raw("]");
    }

    /// A list of texts, or null.
    fn texts(&mut self, items: &super::List<String>) {
        if items.is_null() {
            self.raw("null");
        } else {
            self.list(items, |writer, text, _| writer.text(text));
        }
    }

    fn number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    /// A number of the service, or the text that stands for one that the manifest cannot hold.
    fn number_at(&mut self, field: Field, number: u32) {
        match self.unfit(field) {
            Some(text) => self.raw(text),
            None => self.number(number),
        }
    }

    fn unfit(&self, field: Field) -> Option<&'s str> {
        let spelling: &'s Spelling = self.spelling;
        spelling.unfit.get(&(self.place.0, self.place.1, field)).map(String::as_str)
    }

    fn truth(&mut self, truth: bool) {
        self.raw(if truth { "true" } else { "false" });
    }

    fn text(&mut self, text: &str) {
        self.raw("\"");
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| must_look(*byte)) {
            let (plain, special) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            let taken = self.escape(special);
            rest = &special[taken..];
        }
        self.out.extend_from_slice(rest);
        self.raw("\"");
    }

    /// Writes the character that `bytes` begins with, and says how many bytes it has.
    fn escape(&mut self, bytes: &[u8]) -> usize {
        match bytes {
            [b'"', ..] => self.raw("\\\""),
            [b'\\', ..] => self.raw("\\\\"),
            [0x08, ..] => self.raw("\\b"),
            [0x0c, ..] => self.raw("\\f"),
            [b'\n', ..] => self.raw("\\n"),
            [b'\r', ..] => self.raw("\\r"),
            [b'\t', ..] => self.raw("\\t"),
            // The two line separators of Unicode, which npm writes as they are.
            [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] if !self.is_npm() => {
                self.raw(if *last == 0xa8 { "\\u2028" } else { "\\u2029" });
                return 3;
            }
            [0xe2, ..] => self.out.push(0xe2),
            [byte, ..] => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digit = |four_bits: u8| DIGITS[usize::from(four_bits)];
                self.raw("\\u00");
                self.out.extend([digit(byte >> 4), digit(byte & 15)]);
            }
            [] => return 0,
        }
        1
    }

    fn group(&mut self, Group { name, services }: &Group) {
        self.raw(r#"{"name":"#);
        self.text(name);
        self.raw(r#","services":"#);
        if services.is_null() {
            self.raw("null");
        } else {
            self.list(services, |writer, service, index| {
                writer.place.1 = index;
                writer.service(service);
            });
        }
        self.raw("}");
    }

    fn service(&mut self, service: &Service) {
        self.raw(r#"{"args":"#);
        self.texts(&service.args);
        self.raw(r#","command":"#);
        self.texts(&service.command);
        self.raw(r#","count":"#);
        self.number_at(Field::Count, service.count);
        self.raw(r#","credentials":"#);
        match &service.credentials {
            Some(credentials) => self.credentials(credentials),
            None => self.raw("null"),
        }
        self.raw(r#","env":"#);
        self.texts(&service.env);
        self.raw(r#","expose":"#);
        if service.expose.is_null() {
            self.raw("null");
        } else {
            self.list(&service.expose, Self::expose);
        }
        self.raw(r#","image":"#);
        self.text(&service.image);
        self.raw(r#","name":"#);
        self.text(&service.name);
        if let Some(params) = &service.params {
            self.raw(r#","params":"#);
            self.params(params);
        }
        self.raw(r#","resources":"#);
        self.resources(&service.resources);
        self.raw("}");
    }

    fn credentials(&mut self, credentials: &Credentials) {
        let Credentials { host, email, username, password } = credentials;
        let members =
            [("email", email), ("host", host), ("password", password), ("username", username)];
        for (index, (name, value)) in members.into_iter().enumerate() {
            self.raw(if index == 0 { "{\"" } else { ",\"" });
            self.raw(name);
            self.raw("\":");
            self.text(value);
        }
        self.raw("}");
    }

    fn expose(&mut self, expose: &Expose, index: usize) {
        self.raw(r#"{"endpointSequenceNumber":"#);
        self.number(expose.endpoint_sequence_number);
        self.raw(r#","externalPort":"#);
        self.number(expose.external_port);
        self.raw(r#","global":"#);
        self.truth(expose.global);
        self.raw(r#","hosts":"#);
        self.texts(&expose.hosts);
        self.raw(r#","httpOptions":"#);
        self.http_options(&expose.http_options, index);
        self.raw(r#","ip":"#);
        self.text(&expose.ip);
        self.raw(r#","port":"#);
        self.number(expose.port);
        self.raw(r#","proto":"#);
        self.text(&expose.proto);
        self.raw(r#","service":"#);
        self.text(&expose.service);
        self.raw("}");
    }

    fn http_options(&mut self, options: &HttpOptions, expose: usize) {
        self.raw(r#"{"maxBodySize":"#);
        self.number(options.max_body_size);
        // Go leaves an empty list out.
        if !options.next_cases.is_empty() || self.is_npm() {
            self.raw(r#","nextCases":"#);
            self.list(&options.next_cases, |writer, case, _| writer.text(case));
        }
        self.raw(r#","nextTimeout":"#);
        self.number_at(Field::NextTimeout(expose), options.next_timeout);
        self.raw(r#","nextTries":"#);
        self.number_at(Field::NextTries(expose), options.next_tries);
        if options.proxy_buffer_size != 0 {
            self.raw(r#","proxyBufferSize":"#);
            self.number(options.proxy_buffer_size);
        }
        self.raw(r#","readTimeout":"#);
        self.number(options.read_timeout);
        self.raw(r#","sendTimeout":"#);
        self.number(options.send_timeout);
        self.raw("}");
    }

    fn params(&mut self, params: &ServiceParams) {
        self.raw("{");
        if let Some(credentials) = &params.credentials {
            self.raw(r#""credentials":"#);
            self.credentials(credentials);
            self.raw(",");
        }
        if let Some(Permissions { read }) = &params.permissions {
            self.raw(r#""permissions":{"#);
            // Go leaves an empty list out.
            if !read.is_empty() || self.is_npm() {
                self.raw(r#""read":"#);
                self.list(read, |writer, name, _| writer.text(name));
            }
            self.raw("},");
        }
        self.raw(r#""storage":"#);
        if params.storage.is_null() {
            self.raw("null");
        } else {
            self.list(&params.storage, |writer, mount, _| writer.mount(mount));
        }
        if let Some(Tee { kind, attestation }) = &params.tee {
            self.raw(r#","tee":{"attestation":"#);
            self.truth(*attestation);
            self.raw(r#","type":"#);
            self.text(kind);
            self.raw("}");
        }
        self.raw("}");
    }

    fn mount(&mut self, Mount { name, mount, read_only }: &Mount) {
        self.raw(r#"{"mount":"#);
        self.text(mount);
        self.raw(r#","name":"#);
        self.text(name);
        self.raw(r#","readOnly":"#);
        self.truth(*read_only);
        self.raw("}");
    }

    fn resources(&mut self, resources: &ServiceResources) {
        self.raw("{");
        if let Some(cpu) = &resources.cpu {
            self.raw(r#""cpu":{"#);
            self.units(cpu, Field::Cpu);
            self.raw(",");
        }
        self.raw(r#""endpoints":"#);
        if resources.endpoints.is_null() {
            self.raw("null");
        } else {
            self.list(&resources.endpoints, |writer, endpoint, _| writer.endpoint(*endpoint));
        }
        if let Some(gpu) = &resources.gpu {
            self.raw(r#","gpu":{"#);
            self.units(gpu, Field::Gpu);
        }
        self.raw(r#","id":"#);
        self.number(resources.id);
        if let Some(Size { size, attributes }) = &resources.memory {
            self.raw(r#","memory":{"#);
            self.attributes(attributes);
            self.raw(r#""size":"#);
            self.quantity(*size, Field::Memory);
            self.raw("}");
        }
        self.storage(&resources.storage);
        self.raw("}");
    }

    /// Go leaves an empty list out; the npm release writes it, and since then npm writes null.
    fn storage(&mut self, volumes: &[ServiceVolume]) {
        match (volumes, self.spelling.dialect) {
            ([], Dialect::Go) => {}
            ([], Dialect::NpmHead) => self.raw(r#","storage":null"#),
            _ => {
                self.raw(r#","storage":"#);
                self.list(volumes, Self::volume);
            }
        }
    }

    fn units(&mut self, Units { units, attributes }: &Units, field: Field) {
        self.attributes(attributes);
        self.raw(r#""units":"#);
        self.quantity(*units, field);
        self.raw("}");
    }

    fn volume(&mut self, volume: &ServiceVolume, index: usize) {
        self.raw("{");
        self.attributes(&volume.attributes);
        self.raw(r#""name":"#);
        self.text(&volume.name);
        self.raw(r#","size":"#);
        self.quantity(volume.size, Field::Volume(index));
        self.raw("}");
    }

    fn quantity(&mut self, quantity: Quantity, field: Field) {
        self.raw(r#"{"val":""#);
        match (self.unfit(field), quantity.to_u64().map(u32::try_from)) {
            (Some(text), _) => self.raw(text),
            (None, Some(Ok(small))) => self.number(small),
            (None, _) => self.raw(&quantity.to_string()),
        }
        self.raw(r#""}"#);
    }

    /// Attributes that stand there, with a comma behind. Go leaves out an empty key or value too.
    fn attributes(&mut self, attributes: &[Attribute]) {
        if attributes.is_empty() {
            return;
        }
        self.raw(r#""attributes":"#);
        self.list(attributes, |writer, Attribute { key, value }, _| {
            let mut opening = "{";
            for (name, text) in [("\"key\":", key), ("\"value\":", value)] {
                if !text.is_empty() || writer.is_npm() {
                    writer.raw(opening);
                    writer.raw(name);
                    writer.text(text);
                    opening = ",";
                }
            }
            writer.raw(if opening == "{" { "{}" } else { "}" });
        });
        self.raw(",");
    }

    fn endpoint(&mut self, ServiceEndpoint { kind, sequence_number }: ServiceEndpoint) {
        self.raw("{");
        if kind != 0 {
            self.raw(r#""kind":"#);
            self.raw(&kind.to_string());
            self.raw(",");
        }
        self.raw(r#""sequence_number":"#);
        self.number(sequence_number);
        self.raw("}");
    }
}

/// Whether a byte may not stand in a string as it is, or begins a character that may not.
fn must_look(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2)
}
