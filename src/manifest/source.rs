//! A document's text as it may be shown: what stands under `env`, `args`, `command` and `credentials` is masked, and so are
//! comments, where people keep what they took out of these.
//!
//! The parser says where those values begin and end, so that a value is masked however it is written: over many lines,
//! inline, or by an anchor. The surprising fact: a text that is no YAML hides the most, as nobody can say where a value
//! ends: from the last such key on nothing is shown until a line has a key that only stands elsewhere.

use std::{collections::HashMap, ops::Range};

use granit_parser::{Event, Marker, Parser, Span};

use super::violation::SECRET_MEMBERS;

/// What stands for what is not shown.
const MASK: &str = "***";

/// How much of a line is shown on either side of the place that is meant, in characters.
const MARGIN: usize = 60;

/// Keys that stand outside secret values; in a text that is no YAML they end them.
const PLAIN_MEMBERS: [&str; 12] = [
    "image",
    "expose",
    "params",
    "dependencies",
    "port",
    "as",
    "to",
    "services",
    "profiles",
    "deployment",
    "endpoints",
    "version",
];

/// A document's text and what of it is secret.
#[derive(Debug)]
pub struct Source<'t> {
    lines: Vec<&'t str>,
    /// Ranges of places, sorted and apart; a place is a line from 0 and a column from 0 in characters.
    secret: Vec<Range<Place>>,
}

type Place = (usize, usize);

/// A line as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text: masked, and cut to what is near the place.
    pub text: String,
    /// The bytes of `text` that the place means.
    pub mark: Range<usize>,
}

impl<'t> Source<'t> {
    /// Finds the secrets of an SDL document.
    pub fn new(text: &'t str) -> Self {
        let lines: Vec<&str> = split_lines(text);
        let mut finder = Finder::default();
        let options = granit_parser::options! { emit_comments: false };
        for event in Parser::new_from_str_with_options(text, options) {
            match event {
                Ok((Event::DocumentEnd, _)) => break,
                Ok((event, span)) => finder.take(&event, span),
                Err(_) => {
                    finder.give_up();
                    finder.found.extend(guessed(&lines));
                    break;
                }
            }
        }
        let mut secret = merged(finder.found);
        secret.extend(comments(&lines, &merged(finder.texts)));
        Self { lines, secret: merged(secret) }
    }

    /// Line and column from 1, in characters.
    pub fn line(&self, line: u32, column: u32) -> Option<Line> {
        let (line, column) = (usize::try_from(line).ok()?, usize::try_from(column).ok()?);
        let (line, column) = (line.checked_sub(1)?, column.checked_sub(1)?);
        let source = *self.lines.get(line)?;
        let mut shown = Line { text: String::new(), mark: 0..0 };
        let mut masking = false;
        let mut cut = 0;
        for (place, character) in source.chars().chain([' ']).enumerate() {
            if place == column {
                shown.mark.start = shown.text.len();
            }
            if place + MARGIN < column {
                cut += 1;
                continue;
            }
            if place > column + MARGIN {
                shown.text.push('…');
                break;
            }
            let secret = self.is_secret((line, place));
            if secret && !masking {
                shown.text.push_str(MASK);
            } else if !secret {
                shown.text.push(character);
            }
            // Whatever stands at the place itself counts, be it only a mask.
            if place == column && secret && masking {
                shown.mark.start = shown.text.len().saturating_sub(MASK.len());
            }
            masking = secret;
        }
        if cut > 0 {
            shown.text.insert(0, '…');
            shown.mark.start += '…'.len_utf8();
        }
        shown.text.truncate(shown.text.trim_end().len());
        let start = shown.mark.start.min(shown.text.len());
        shown.mark = start..start + word(&shown.text[start..]);
        Some(shown)
    }

    fn is_secret(&self, place: Place) -> bool {
        is_in(&self.secret, place)
    }
}

/// Whether a place is in one of these ranges, which are sorted and apart.
fn is_in(ranges: &[Range<Place>], place: Place) -> bool {
    let after = ranges.partition_point(|range| range.start <= place);
    after.checked_sub(1).is_some_and(|last| ranges[last].contains(&place))
}

/// What follows a `#` that begins a comment: one at the start of a line or behind white space, in no text.
fn comments(lines: &[&str], texts: &[Range<Place>]) -> Vec<Range<Place>> {
    let comment = |(number, line): (usize, &&str)| {
        let mut before = ' ';
        let hash = line.chars().enumerate().find(|(column, character)| {
            let begins = *character == '#' && before.is_whitespace();
            before = *character;
            begins && !is_in(texts, (number, *column))
        });
        hash.map(|(column, _)| (number, column + 1)..(number + 1, 0))
    };
    lines.iter().enumerate().filter_map(comment).collect()
}

/// The same places as sorted ranges that do not overlap.
fn merged(mut ranges: Vec<Range<Place>>) -> Vec<Range<Place>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<Place>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The length of the first word, or of the first character of what is no word.
fn word(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '#');
    match text.find(ends) {
        Some(0) => text.chars().next().map_or(0, char::len_utf8),
        Some(end) => end,
        None => text.len(),
    }
}

/// Lines as YAML counts them.
fn split_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let after = &rest[end..];
        rest = after.strip_prefix("\r\n").unwrap_or(&after[1..]);
    }
    lines.push(rest);
    lines
}

fn place(marker: Marker) -> Place {
    (marker.line().saturating_sub(1), marker.col())
}

/// Walks the events and notes where the values of secret members stand.
#[derive(Default)]
struct Finder {
    open: Vec<Open>,
    anchors: HashMap<usize, Range<Place>>,
    found: Vec<Range<Place>>,
    /// Where texts stand.
    texts: Vec<Range<Place>>,
}

/// A collection that has not ended.
struct Open {
    anchor: usize,
    start: Place,
    is_mapping: bool,
    /// Whether the next value is a key.
    wants_key: bool,
    /// Whether the next value is a secret.
    next_is_secret: bool,
}

impl Finder {
    fn take(&mut self, event: &Event<'_>, span: Span) {
        let (start, end) = (place(span.start), place(span.end));
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.texts.push(start..end);
                self.note_anchor(*anchor, start..end);
                self.value(start..end, Some(text));
            }
            Event::Alias(anchor) => {
                if self.open.last().is_some_and(|open| open.next_is_secret) {
                    self.found.extend(self.anchors.get(anchor).cloned());
                }
                self.value(start..end, None);
            }
            Event::SequenceStart(_, anchor, _) => self.begin(*anchor, start, false),
            Event::MappingStart(_, anchor, _) => self.begin(*anchor, start, true),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.note_anchor(open.anchor, open.start..end);
                    self.value(open.start..end, None);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, anchor: usize, start: Place, is_mapping: bool) {
        self.open.push(Open {
            anchor,
            start,
            is_mapping,
            wants_key: is_mapping,
            next_is_secret: false,
        });
    }

    fn note_anchor(&mut self, anchor: usize, range: Range<Place>) {
        if anchor != 0 {
            self.anchors.insert(anchor, range);
        }
    }

    /// A key or a value of the innermost open collection is complete.
    fn value(&mut self, range: Range<Place>, key: Option<&str>) {
        let Some(open) = self.open.last_mut() else { return };
        if open.wants_key {
            open.next_is_secret = key.is_some_and(|key| SECRET_MEMBERS.contains(&key));
            open.wants_key = false;
            return;
        }
        open.wants_key = open.is_mapping;
        if std::mem::take(&mut open.next_is_secret) {
            self.found.push(range);
        }
    }

    /// What is not complete is secret to the end.
    fn give_up(&mut self) {
        let mut outer_is_secret = false;
        for open in &self.open {
            if outer_is_secret {
                self.found.push(open.start..(usize::MAX, 0));
                return;
            }
            outer_is_secret = open.next_is_secret;
        }
    }
}

/// Of a text that is no YAML: what follows a secret member's key, until a line has a key that stands elsewhere.
fn guessed(lines: &[&str]) -> Vec<Range<Place>> {
    let mut found = Vec::new();
    let mut since = None;
    for (number, line) in lines.iter().enumerate() {
        let key = line.trim_start_matches([' ', '\t', '-', '{', '"', '\'']);
        let key = key.split([':', '"', '\'']).next().unwrap_or_default().trim();
        if PLAIN_MEMBERS.contains(&key)
            && let Some(start) = since.take()
        {
            found.push(start..(number, 0));
        }
        let secret = SECRET_MEMBERS.iter().filter_map(|name| after_key(line, name)).min();
        if let Some(column) = secret {
            since.get_or_insert((number, column));
        }
    }
    found.extend(since.map(|start| start..(usize::MAX, 0)));
    found
}

/// The column behind `name` as a key, if the line has it.
fn after_key(line: &str, name: &str) -> Option<usize> {
    let found = line.match_indices(name).find_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].trim_start_matches(['"', '\'']).trim_start();
        let is_key = before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            && (after.starts_with(':') || after.is_empty());
        is_key.then_some(at + name.len())
    })?;
    Some(line[..found].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line as it is shown.
    fn shown(text: &str) -> String {
        let source = Source::new(text);
        let lines =
            (1..).zip(split_lines(text)).map(|(line, _)| source.line(line, 1).unwrap().text);
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn values_of_secret_members_are_masked_however_they_are_written() {
        for secret in [
            "env: [A=hunter2, B=hunter2]",
            "env:\n      - A=hunter2\n      # hunter2\n      - hunter2",
            "env:\n    - A=hunter2",
            "args: 'hunter2'",
            "args: [sh, -c, \"echo\n\n      hunter2\"]",
            "command:\n      - |\n        image: hunter2\n\n        hunter2",
            "credentials: {host: a, password: hunter2}",
            "credentials:\n      host: a\n      password: hunter2",
            "\"env\": {A: hunter2}",
            "x: &secret [hunter2]\n    env: *secret",
        ] {
            let text =
                format!("services:\n  web:\n    image: nginx\n    {secret}\n    expose: 80\n");
            let shown = shown(&text);
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
            assert!(shown.contains("image: nginx") && shown.contains("expose: 80"), "{shown}");
        }
    }

    #[test]
    fn comments_are_masked_and_a_hash_within_a_text_is_none() {
        let text = "image: nginx # was hunter2\n# hunter2\nto: 'a # b'\nas: c#d\nx: |\n  # shown\n";
        let expected = "image: nginx #***\n#***\nto: 'a # b'\nas: c#d\nx: |\n  # shown\n";
        assert_eq!(shown(text), expected);
        assert!(!shown("image: nginx # hunter2\n  bad: [").contains("hunter2"));
    }

    #[test]
    fn a_text_that_is_no_yaml_shows_nothing_behind_a_secret_members_key() {
        for secret in [
            "env:\n      - A=hunter2\n     - B=hunter2",
            "env:\n      - A=[hunter2\n     hunter2: [",
            "args: [hunter2\n    hunter2",
            "args: \"hunter2\n\nhunter2",
            "credentials:\n      password: hunter2\n     username: hunter2\n\tx",
            "web: {image: nginx, env: [hunter2, }",
            "command: - hunter2\n  hunter2",
        ] {
            let text = format!("services:\n  web:\n    image: nginx\n    {secret}");
            let shown = shown(&text);
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
            assert!(shown.contains("image: nginx"), "{shown}");
        }
    }

    #[test]
    fn the_mark_is_the_word_that_begins_at_the_place() {
        let text = "web: {env: [A=hunter2], expose: [{port: 0, as: 80}]}\r\nnext: ä";
        let source = Source::new(text);
        let column = text.find("0,").unwrap() + 1;
        let line = source.line(1, u32::try_from(column).unwrap()).unwrap();
        assert_eq!(&line.text[line.mark.clone()], "0");
        assert_eq!(line.text, "web: {env: ***, expose: [{port: 0, as: 80}]}");
        let line = source.line(1, 14).unwrap();
        assert_eq!(&line.text[line.mark], MASK);
        let line = source.line(2, 7).unwrap();
        assert_eq!((line.text.as_str(), &line.text[line.mark.clone()]), ("next: ä", "ä"));
        assert_eq!(source.line(2, 99).unwrap().mark.len(), 0);
        assert_eq!(source.line(9, 1), None);
        assert_eq!(source.line(0, 0), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_and_no_place_make_it_panic(
            text in "[a-z:\\[\\]{}&*|>'\"#\\- \t\r\n\u{e4}\u{1f600}]{0,80}(env|args|credentials)?[:\\- \n\t{\\[a-z*&]{0,40}",
            line in 0_u32..12,
            column in 0_u32..40,
        ) {
            if let Some(line) = Source::new(&text).line(line, column) {
                assert!(line.text.get(line.mark.clone()).is_some(), "{line:?}");
            }
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("image: {}X{}", "ä".repeat(100_000), "b".repeat(100_000));
        let line = Source::new(&text).line(1, 100_008).unwrap();
        assert!(line.text.starts_with("…ä") && line.text.ends_with("b…"), "{}", line.text);
        assert_eq!(line.text.chars().count(), 2 * MARGIN + 3);
        assert!(line.text[line.mark].starts_with('X'));
    }
}
