//! A provider.yaml as today's tools read it: `host`, `attributes` (a list of `key` and `value`), `info` (`email`, `website`).
//!
//! Every scalar is text here, as it is to those tools: `true` and `1.0` stay what was written. Keys that they do not know
//! they pass over; so does this, and says which.

use std::path::Path;

use anyhow::{Context, bail};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::Given;
use crate::{cmd::output, domain::Attribute};

const MAX_BYTES: u64 = 256 << 10;
const MAX_DEPTH: usize = 8;

/// A node of the document.
enum Node {
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// Reads a file.
pub(super) fn read(path: &Path) -> anyhow::Result<Given> {
    let shown = path.display();
    let length = std::fs::metadata(path).with_context(|| format!("read {shown}"))?.len();
    if length > MAX_BYTES {
        bail!("{shown} has {length} bytes, allowed are {MAX_BYTES}");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {shown}"))?;
    parse(&text).with_context(|| shown.to_string())
}

fn parse(text: &str) -> anyhow::Result<Given> {
    let Node::Mapping(members) = document(text)? else {
        bail!("it is no mapping of host, attributes and info");
    };
    let mut given = Given::default();
    for (key, value) in members {
        match (key.as_str(), value) {
            ("host", Node::Scalar(host)) => given.host = Some(host),
            ("attributes", Node::Sequence(items)) => {
                let attributes = items.into_iter().map(attribute);
                given.attributes = Some(attributes.collect::<anyhow::Result<_>>()?);
            }
            ("info", Node::Mapping(members)) => info(members, &mut given),
            ("attributes" | "info", Node::Scalar(empty)) if empty.is_empty() => {}
            ("host", _) => bail!("host is no text"),
            ("attributes", _) => bail!("attributes is no list"),
            ("info", _) => bail!("info is no mapping"),
            (other, _) => output::complain(format_args!("{other:?} is passed over")),
        }
    }
    Ok(given)
}

fn attribute(node: Node) -> anyhow::Result<Attribute> {
    let wrong = "an attribute is no mapping of key and value";
    let Node::Mapping(members) = node else { bail!(wrong) };
    let (mut key, mut found) = (None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("key", Node::Scalar(text)) => key = Some(text),
            ("value", Node::Scalar(text)) => found = Some(text),
            _ => bail!(wrong),
        }
    }
    Ok(Attribute::new(key.context(wrong)?, found.unwrap_or_default()))
}

fn info(members: Vec<(String, Node)>, given: &mut Given) {
    for (key, value) in members {
        match (key.as_str(), value) {
            ("email", Node::Scalar(text)) => given.email = Some(text),
            ("website", Node::Scalar(text)) => given.website = Some(text),
            (other, _) => output::complain(format_args!("\"info.{other}\" is passed over")),
        }
    }
}

fn document(text: &str) -> anyhow::Result<Node> {
    let options = granit_parser::options! { emit_comments: false };
    let mut events = Parser::new_from_str_with_options(text, options);
    loop {
        match next(&mut events)? {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd | Event::DocumentEnd => bail!("it is empty"),
            event => return node(event, &mut events, 0),
        }
    }
}

fn next<'t>(
    events: &mut impl Iterator<Item = Result<(Event<'t>, Span), ScanError>>,
) -> anyhow::Result<Event<'t>> {
    match events.next() {
        None => bail!("it ends early"),
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => {
            bail!("it is not YAML: {} in line {}", error.info(), error.marker().line())
        }
    }
}

fn node<'t>(
    event: Event<'t>,
    events: &mut impl Iterator<Item = Result<(Event<'t>, Span), ScanError>>,
    depth: usize,
) -> anyhow::Result<Node> {
    if depth > MAX_DEPTH {
        bail!("it is nested deeper than {MAX_DEPTH}");
    }
    match event {
        Event::Scalar(text, style, ..) => {
            // Nothing at all, and its other spellings.
            let is_null = style == ScalarStyle::Plain && ["", "~", "null"].contains(&text.as_ref());
            Ok(Node::Scalar(if is_null { String::new() } else { text.into_owned() }))
        }
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match next(events)? {
                    Event::SequenceEnd => return Ok(Node::Sequence(items)),
                    event => items.push(node(event, events, depth + 1)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut members: Vec<(String, Node)> = Vec::new();
            loop {
                let key = match next(events)? {
                    Event::MappingEnd => return Ok(Node::Mapping(members)),
                    Event::Scalar(text, ..) => text.into_owned(),
                    _ => bail!("a key is no text"),
                };
                if members.iter().any(|(known, _)| *known == key) {
                    bail!("{key:?} is given twice");
                }
                let value = next(events)?;
                members.push((key, node(value, events, depth + 1)?));
            }
        }
        Event::Alias(..) => bail!("it has an alias, which is not read here"),
        _ => bail!("it is no single document"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written() {
        let text = "# ours\nhost: https://a.example:8443\ninfo:\n  email: a@a.example\n\
                    attributes:\n  - key: region\n    value: \"us-west\"\n  - key: gpu\n    value: true\n  \
                    - {key: version, value: 1.0}\njwt-host: x\n";
        let given = parse(text).unwrap();
        assert_eq!(given.host.as_deref(), Some("https://a.example:8443"));
        assert_eq!(given.email.as_deref(), Some("a@a.example"));
        assert_eq!(given.website, None);
        let expected = [("region", "us-west"), ("gpu", "true"), ("version", "1.0")];
        assert_eq!(
            given.attributes.unwrap(),
            expected.map(|(key, value)| Attribute::new(key, value))
        );
    }

    #[test]
    fn a_file_that_is_something_else_says_what_is_wrong() {
        for (text, expected) in [
            ("", "it is empty"),
            ("- a\n", "it is no mapping of host, attributes and info"),
            ("host: a\nhost: b\n", "\"host\" is given twice"),
            ("attributes: {a: b}\n", "attributes is no list"),
            ("attributes:\n  - a\n", "an attribute is no mapping of key and value"),
            ("host: [a\n", "it is not YAML"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }
}
