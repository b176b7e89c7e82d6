//! Violations as a compiler prints them: the rule, the place, the line with a mark below, what today's provider says,
//! and where to read more. Lines come from [`Source`], which keeps secrets to itself.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use anstream::adapter::strip_str;

use crate::manifest::{Source, Verdict, Violation};

/// Everything that is wrong with a document or questionable about it, styled for a terminal.
pub(super) fn render(file: &str, text: &str, verdict: &Verdict) -> String {
    let source = Source::new(text);
    let violations = verdict.violations.iter().map(|violation| (Level::ERROR, violation));
    let warnings = verdict.warnings.iter().map(|warning| (Level::WARNING, warning));
    let mut rendered = String::new();
    for (level, violation) in violations.chain(warnings) {
        rendered.push_str(&one(file, &source, level, violation));
        rendered.push_str("\n\n");
    }
    rendered
}

fn one(file: &str, source: &Source<'_>, level: Level<'_>, violation: &Violation) -> String {
    let Violation { code, pointer, line, column, message, reference } = violation;
    let place = line.zip(*column);
    let shown = place.and_then(|(line, column)| source.line(line, column));
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let mut origin = Origin::path(file);
    if let Some((line, column)) = place {
        origin = origin.line(number(line)).char_column(number(column));
    }
    let mut group: Group<'_> = level.primary_title(message).id(*code).element(origin);
    if let (Some(shown), Some((line, _))) = (&shown, place) {
        let mark = AnnotationKind::Primary.span(shown.mark.clone());
        let snippet = Snippet::source(&*shown.text).line_start(number(line)).annotation(mark);
        group = group.element(snippet);
    }
    let note = |name: &'static str, text: String| Level::NOTE.with_name(name).message(text);
    if !pointer.is_empty() {
        group = group.element(note("pointer", pointer.clone()));
    }
    if let Some(reference) = reference {
        group = group.element(note("reference", reference.clone()));
    }
    group = group.element(note(
        "help",
        format!("lessor sdl explain {code}, or /problems/{code} at any gateway"),
    ));
    let rendered = Renderer::styled().render(&[group]);
    // The place is said apart from the line, because what is shown of a line may be shorter than the line; the renderer
    // takes them for two places and draws a break between them.
    let is_break = |line: &&str| strip_str(line).to_string().trim() == ":::";
    rendered.lines().filter(|line| !is_break(line)).collect::<Vec<_>>().join("\n")
}
