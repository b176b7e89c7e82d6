//! Violations as a compiler prints them: the rule, the place, the line with a mark below, what today's provider says,
//! and where to read more. Lines come from [`Source`], which keeps secrets to itself.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, Title};
use std::fmt::Write as _;

use anstream::adapter::strip_str;
use data_encoding::HEXLOWER;

use crate::manifest::{Compiled, Difference, Explanation, Source, Verdict, Violation};

/// Everything that is wrong with a document or questionable about it, styled for a terminal.
pub(super) fn render(file: &str, source: &Source<'_>, verdict: &Verdict) -> String {
    let violations = verdict.violations.iter().map(|violation| (Level::ERROR, violation));
    let warnings = verdict.warnings.iter().map(|warning| (Level::WARNING, warning));
    let mut rendered = String::new();
    for (level, violation) in violations.chain(warnings) {
        rendered.push_str(&one(file, source, level, violation));
    }
    rendered
}

/// Where two readings of a document differ, styled for a terminal.
pub(super) fn differences(file: &str, source: &Source<'_>, explanation: &Explanation) -> String {
    let Explanation { go, npm, differences } = explanation;
    let outcome = |read: &Result<Compiled, Vec<Violation>>| match read {
        Ok(compiled) => format!("hash {}", HEXLOWER.encode(&compiled.hash)),
        Err(violations) => format!("refused, {} violations", violations.len()),
    };
    let mut rendered =
        format!("{file}: go reads {}\n{file}: npm reads {}\n", outcome(go), outcome(npm));
    if differences.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(rendered, "{file}: the readings do not differ");
    }
    for difference in differences {
        let Difference { topic, pointer, line, column, go, npm, reason } = difference;
        let place = Place { file, pointer, at: line.zip(*column) };
        let notes = [("go", go.clone()), ("npm", npm.clone())];
        let title = Level::INFO.with_name("difference").primary_title(*reason).id(*topic);
        rendered.push_str(&diagnostic(title, source, &place, notes));
    }
    rendered
}

fn one(file: &str, source: &Source<'_>, level: Level<'_>, violation: &Violation) -> String {
    let Violation { code, pointer, line, column, message, reference } = violation;
    let place = Place { file, pointer, at: line.zip(*column) };
    let reference = reference.clone().map(|text| ("reference", text));
    let help = format!("lessor sdl explain {code}, or /problems/{code} at any gateway");
    let title = level.primary_title(message).id(*code);
    diagnostic(title, source, &place, reference.into_iter().chain([("help", help)]))
}

/// What a diagnostic speaks of.
struct Place<'a> {
    file: &'a str,
    pointer: &'a str,
    /// Line and column from 1.
    at: Option<(u32, u32)>,
}

fn diagnostic(
    title: Title<'_>,
    source: &Source<'_>,
    place: &Place<'_>,
    notes: impl IntoIterator<Item = (&'static str, String)>,
) -> String {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let mut origin = Origin::path(place.file);
    if let Some((line, column)) = place.at {
        origin = origin.line(number(line)).char_column(number(column));
    }
    let mut group: Group<'_> = title.element(origin);
    let shown = place.at.and_then(|(line, column)| Some((line, source.line(line, column)?)));
    if let Some((line, shown)) = &shown {
        let mark = AnnotationKind::Primary.span(shown.mark.clone());
        let snippet = Snippet::source(&*shown.text).line_start(number(*line)).annotation(mark);
        group = group.element(snippet);
    }
    let pointer = (!place.pointer.is_empty()).then(|| ("pointer", place.pointer.to_owned()));
    for (name, text) in pointer.into_iter().chain(notes) {
        group = group.element(Level::NOTE.with_name(name).message(text));
    }
    let rendered = Renderer::styled().render(&[group]);
    // The place is said apart from the line, because what is shown of a line may be shorter than the line; the renderer
    // takes them for two places and draws a break between them.
    let is_break = |line: &&str| strip_str(line).to_string().trim() == ":::";
    let lines: Vec<&str> = rendered.lines().filter(|line| !is_break(line)).collect();
    lines.join("\n") + "\n\n"
}
