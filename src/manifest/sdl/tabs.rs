//! Tabs where only spaces indent: YAML 1.2 lets some pass that Go's reader or npm's refuse.
//!
//! A text without tabs, as nearly all are, is not looked at. The surprising fact: to Go even a line with nothing but a tab
//! makes a document unreadable, unless it follows a plain text that its tab stands deeper than.

use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle};

use super::yaml::{MAX_NODES, Readers, options};

/// How many events are looked at: those of the largest document.
const MAX_EVENTS: usize = 3 * MAX_NODES;

/// A tab and who refuses it.
pub(super) struct Refused {
    pub(super) whose: Readers,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
}

/// The first tab that each of the readers refuses.
pub(super) fn refused(text: &str) -> Vec<Refused> {
    if !text.contains('\t') {
        return Vec::new();
    }
    let layout = Layout::of(text);
    let mut found = Vec::new();
    let mut left = Readers::ALL;
    let mut refuse = |whose: Readers, (line, column): (usize, usize)| {
        let whose = Readers { go: whose.go && left.go, npm: whose.npm && left.npm };
        if whose != Readers::default() {
            found.push(Refused { whose, line, column });
            left = left.without(whose);
        }
    };
    let (mut number, mut start, mut content_end) = (0, 0, 0);
    let (mut after_return, mut after_comment) = (false, false);
    // Go reads comments that follow each other as one, with the blank lines between them.
    let mut between_comments = None;
    for line in text.split_inclusive(['\n', '\r']) {
        number += usize::from(!(after_return && line == "\n"));
        after_return = line.ends_with('\r');
        let prefix = Prefix::of(line);
        let is_comment = line[prefix.length..].starts_with('#');
        let content = line.trim_ascii_end().len();
        if content > 0
            && let Some(place) = between_comments.take()
            && !is_comment
        {
            refuse(Readers::GO, place);
        }
        if let Some(column) = prefix.tab() {
            let place = (number, column + 1);
            let tab = Place { at: start + column, content_end };
            let npm = layout.begins_collection(tab.at..start + line.len());
            let go = layout.refuses(tab, &prefix);
            if go && after_comment && content == 0 {
                between_comments.get_or_insert(place);
            }
            refuse(
                Readers { go: go && !(after_comment && (is_comment || content == 0)), npm },
                place,
            );
        }
        if content > 0 {
            content_end = start + content;
            after_comment = is_comment;
        }
        start += line.len();
    }
    if let Some(place) = between_comments {
        refuse(Readers::GO, place);
    }
    found
}

/// A tab's place, and where the last thing before its line ends that is no white space.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    content_end: usize,
}

/// What a line begins with: blanks, and indicators of items and explicit keys with blanks behind each.
struct Prefix {
    /// The first tab before any indicator.
    leading: Option<usize>,
    /// The first tab behind one.
    inner: Option<usize>,
    length: usize,
}

impl Prefix {
    fn of(line: &str) -> Self {
        let bytes = line.as_bytes();
        let is_blank = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t'));
        let (mut leading, mut inner, mut length) = (None, None, 0);
        let mut behind_indicator = false;
        loop {
            match bytes.get(length) {
                Some(b'\t') if behind_indicator => inner = inner.or(Some(length)),
                Some(b'\t') => leading = leading.or(Some(length)),
                Some(b' ') => {}
                Some(b'-' | b'?' | b':') if is_blank(length + 1) => behind_indicator = true,
                _ => return Self { leading, inner, length },
            }
            length += 1;
        }
    }

    fn tab(&self) -> Option<usize> {
        self.leading.or(self.inner)
    }
}

/// Where the parts of a text stand that decide what a tab means, in bytes.
#[derive(Default)]
struct Layout {
    /// Quoted texts, blocks of text and what is written in brackets, outermost: their tabs are their own.
    closed: Vec<Range<usize>>,
    /// Plain texts, each with the column that its further lines must reach.
    plain: Vec<(Range<usize>, usize)>,
    /// Where collections begin that are written without brackets.
    collections: Vec<usize>,
    /// Where the first document ends.
    end: usize,
}

impl Layout {
    fn of(text: &str) -> Self {
        let mut layout = Self { end: text.len(), ..Self::default() };
        // Column of each open collection, none of one in brackets, and where it began.
        let mut open: Vec<(Option<usize>, usize)> = Vec::new();
        let mut ended = false;
        let parser = Parser::new_from_str_with_options(text, options());
        for (count, event) in parser.enumerate() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    layout.end = error.marker().byte_offset().unwrap_or_default();
                    break;
                }
            };
            let (start, end) = bytes_of(span);
            if count > MAX_EVENTS {
                // A document of so many values is refused anyway.
                layout.end = start;
                break;
            }
            match event {
                Event::MappingStart(style, ..) | Event::SequenceStart(style, ..) => {
                    let is_list = matches!(event, Event::SequenceStart(..));
                    let block = style == StructureStyle::Block;
                    if block {
                        // An item's place may be told as behind its indicator.
                        let dash = is_list && !text[start..].starts_with('-');
                        let before = if dash { text[..start].rfind('-') } else { None };
                        layout.collections.push(before.unwrap_or(start));
                    }
                    open.push((block.then_some(span.start.col()), start));
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    if let Some((None, start)) = open.pop() {
                        layout.close(start..end);
                    }
                }
                Event::Scalar(_, ScalarStyle::Plain, ..) => {
                    let column = open.iter().rev().find_map(|(column, _)| *column);
                    layout.plain.push((start..end, column.map_or(0, |column| column + 1)));
                }
                Event::Scalar(..) => layout.close(start..end),
                Event::DocumentEnd => {
                    ended = true;
                    if text[start..].starts_with("...") {
                        layout.end = start;
                        break;
                    }
                }
                Event::DocumentStart(..) if ended => {
                    layout.end = start;
                    break;
                }
                _ => {}
            }
        }
        layout
    }

    /// Adds a range in place of those within it.
    fn close(&mut self, range: Range<usize>) {
        while self.closed.last().is_some_and(|last| last.start >= range.start) {
            self.closed.pop();
        }
        self.closed.push(range);
    }

    /// Whether Go refuses the first tab of a line's prefix.
    fn refuses(&self, Place { at, content_end }: Place, prefix: &Prefix) -> bool {
        let before = self.closed.partition_point(|range| range.start < at);
        let is_closed = before.checked_sub(1).is_some_and(|last| at < self.closed[last].end);
        if at >= self.end || is_closed {
            return false;
        }
        // White space behind a plain text is read with it, in case that it goes on.
        let before = self.plain.partition_point(|(range, _)| range.start < at);
        let last = before.checked_sub(1).map(|last| &self.plain[last]);
        match (last, prefix.leading) {
            (Some((range, indent)), leading) if at < range.end => {
                leading.is_some_and(|column| column < *indent)
            }
            (Some((range, indent)), Some(column))
                if range.end >= content_end && column >= *indent =>
            {
                prefix.inner.is_some()
            }
            _ => true,
        }
    }

    /// Whether a collection without brackets begins on this part of a line.
    fn begins_collection(&self, part: Range<usize>) -> bool {
        let next = self.collections.partition_point(|start| *start < part.start);
        self.collections.get(next).is_some_and(|start| part.contains(start))
    }
}

fn bytes_of(span: Span) -> (usize, usize) {
    let at = |marker: Marker| marker.byte_offset().unwrap_or_default();
    (at(span.start), at(span.end))
}
