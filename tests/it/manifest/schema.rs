//! The published JSON Schema of the SDL says no more than every reading does, and every member explains itself.

use std::{collections::HashMap, fs, path::Path};

use granit_parser::{Event, Parser, ScalarStyle};
use lessor::manifest::{Dialect, Form, Rule, compile};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::{codes, corpus};

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/sdl.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether `value` is valid, by the keywords that the schema uses; any other one fails the test.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let object = value.as_object();
    let (text, items) = (value.as_str(), value.as_array());
    let keyword = |name: &str| schema.get(name);
    schema.as_object().unwrap().iter().all(|(name, wanted)| match name.as_str() {
        "$schema" | "title" | "description" | "examples" | "default" | "definitions" | "then" => {
            true
        }
        "$ref" => valid(root, root.pointer(&wanted.as_str().unwrap()[1..]).unwrap(), value),
        "if" => !valid(root, wanted, value) || valid(root, keyword("then").unwrap(), value),
        "anyOf" => wanted.as_array().unwrap().iter().any(|one| valid(root, one, value)),
        "enum" => wanted.as_array().unwrap().contains(value),
        "type" => match wanted {
            Value::Array(types) => types.iter().any(|of| is_of(value, of)),
            of => is_of(value, of),
        },
        "required" => object.is_none_or(|object| {
            let mut names = wanted.as_array().unwrap().iter();
            names.all(|name| object.contains_key(name.as_str().unwrap()))
        }),
        "properties" => object.is_none_or(|object| {
            let known = wanted.as_object().unwrap();
            object.iter().all(|(name, value)| {
                known.get(name).is_none_or(|schema| valid(root, schema, value))
            })
        }),
        "additionalProperties" => object.is_none_or(|object| {
            let known = |name| keyword("properties").is_some_and(|known| known.get(name).is_some());
            let mut others = object.iter().filter(|(name, _)| !known(name.as_str()));
            match wanted {
                Value::Bool(false) => others.next().is_none(),
                schema => others.all(|(_, value)| valid(root, schema, value)),
            }
        }),
        "propertyNames" => object.is_none_or(|object| {
            object.keys().all(|name| valid(root, wanted, &Value::from(name.as_str())))
        }),
        "minProperties" => object.is_none_or(|o| o.len() as u64 >= wanted.as_u64().unwrap()),
        "items" => items.is_none_or(|items| items.iter().all(|item| valid(root, wanted, item))),
        "minItems" => items.is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
        "maxItems" => items.is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap()),
        "minLength" => text.is_none_or(|text| text.len() as u64 >= wanted.as_u64().unwrap()),
        "maxLength" => text.is_none_or(|text| text.len() as u64 <= wanted.as_u64().unwrap()),
        "pattern" => text.is_none_or(|t| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(t)),
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > wanted.as_f64().unwrap()),
        other => panic!("the schema has a keyword that this test does not know: {other}"),
    })
}

fn is_of(value: &Value, of: &Value) -> bool {
    match of.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    }
}

/// A YAML document as an editor sees it: YAML 1.2 with merge keys.
fn from_yaml(text: &str) -> Option<Value> {
    let mut open: Vec<(Value, usize)> = Vec::new();
    let mut pending: Vec<Vec<Value>> = vec![Vec::new()];
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    for event in Parser::new_from_str(text) {
        let value = match event.ok()?.0 {
            Event::Scalar(text, style, anchor, _) => {
                let value = match style {
                    ScalarStyle::Plain => plain(&text),
                    _ => Value::from(&*text),
                };
                anchors.insert(anchor, value.clone());
                value
            }
            Event::Alias(anchor) => anchors.get(&anchor)?.clone(),
            Event::SequenceStart(_, anchor, _) => {
                open.push((json!([]), anchor));
                pending.push(Vec::new());
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                open.push((json!({}), anchor));
                pending.push(Vec::new());
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (kind, anchor) = open.pop()?;
                let parts = pending.pop()?;
                let value = if kind.is_array() { Value::Array(parts) } else { mapping(&parts) };
                anchors.insert(anchor, value.clone());
                value
            }
            Event::DocumentEnd => break,
            _ => continue,
        };
        pending.last_mut()?.push(value);
    }
    pending.pop()?.pop()
}

fn mapping(parts: &[Value]) -> Value {
    let mut object = Map::new();
    for pair in parts.chunks_exact(2) {
        let name = pair[0].as_str().map_or_else(|| pair[0].to_string(), str::to_owned);
        if let ("<<", Some(merged)) = (name.as_str(), pair[1].as_object()) {
            object.extend(merged.clone());
        } else {
            object.insert(name, pair[1].clone());
        }
    }
    Value::Object(object)
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) if text.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                number.into()
            }
            _ => text.into(),
        },
    }
}

#[test]
fn whatever_both_readings_accept_is_valid_by_the_schema() {
    let schema = schema();
    let mut texts: Vec<(String, String)> =
        codes::documents().map(|text| ("the document of the examples".to_owned(), text)).to_vec();
    for entry in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples")).unwrap()
    {
        let path = entry.unwrap().path();
        texts.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
    }
    let mut both = 0;
    for record in corpus::read_json("sdl/expected.json").unwrap_or_default() {
        if record["go"]["ok"] == true && record["ts"]["ok"] == true {
            let file = record["file"].as_str().unwrap();
            texts.push((file.to_owned(), corpus::read(&format!("sdl/{file}")).unwrap()));
            both += 1;
        }
    }
    let wrong: Vec<&str> = texts
        .iter()
        .filter(|(_, text)| !valid(&schema, &schema, &from_yaml(text).unwrap()))
        .map(|(name, _)| name.as_str())
        .collect();
    println!("{} documents, {both} of the corpus", texts.len());
    assert!(wrong.is_empty(), "refused by the schema: {wrong:#?}");
}

/// A schema cannot compare sections or sum up; what stands in one place it can say.
#[test]
fn most_of_what_is_wrong_in_one_place_is_wrong_by_the_schema_too() {
    let schema = schema();
    let (mut caught, mut all) = (0, 0);
    for rule in Rule::all().filter(|rule| matches!(rule.form, Form::Sdl | Form::SdlForNpm)) {
        for document in codes::documents() {
            let Some(changed) = codes::with_lines(&document, rule.good, rule.bad) else { continue };
            let Some(value) = from_yaml(&changed) else { continue };
            all += 1;
            let is_valid = valid(&schema, &schema, &value);
            caught += usize::from(!is_valid);
            let accepted = |dialect| compile(&changed, dialect).is_ok();
            let by_both = accepted(Dialect::Go) && accepted(Dialect::NpmHead);
            assert!(is_valid || !by_both, "{}: the schema is stricter\n{changed}", rule.code);
        }
    }
    println!("{caught} of {all} changed documents");
    assert!(3 * caught > all, "{caught} of {all}");
}

#[test]
fn every_member_has_a_description_for_editors() {
    fn walk(at: &str, schema: &Value, missing: &mut Vec<String>) {
        let Some(object) = schema.as_object() else { return };
        for (name, member) in object {
            let at = format!("{at}/{name}");
            if name == "properties" || name == "definitions" {
                for (name, member) in member.as_object().unwrap() {
                    let is_described =
                        member.get("description").is_some() || member.get("$ref").is_some();
                    // Conditions repeat members that are described where they stand.
                    if !is_described && !at.contains("/if/") {
                        missing.push(format!("{at}/{name}"));
                    }
                }
            }
            walk(&at, member, missing);
        }
    }
    let mut missing = Vec::new();
    walk("", &schema(), &mut missing);
    assert!(missing.is_empty(), "{missing:#?}");
}
