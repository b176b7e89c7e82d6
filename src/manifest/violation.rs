//! What is wrong with a document: a stable code, where, what was found and what is allowed.
//!
//! Checks report everything they find, in the order in which the Go implementation would meet it, so that the first
//! violation is the one whose text today's clients know ([`Violation::reference`]). The list ends at [`MAX_VIOLATIONS`]:
//! a hostile document must not buy an unbounded answer.

use std::{borrow::Cow, fmt};

use serde::Serialize;

use super::Rule;

/// How many violations a check reports at most.
pub const MAX_VIOLATIONS: usize = 100;

/// How much of a document's own text a message repeats.
const MAX_QUOTED: usize = 64;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Stable name of the rule, such as `unknown-compute-profile`.
    pub code: &'static str,
    /// JSON pointer to the offending value, or to its nearest parent that exists; `""` is the whole document.
    pub pointer: String,
    /// Line from 1, known for SDL documents and for JSON syntax errors.
    pub line: Option<u32>,
    /// Column from 1, in characters.
    pub column: Option<u32>,
    /// What was found and what is allowed. Never repeats passwords or values of environment variables.
    pub message: String,
    /// The text that the Go implementation answers for this, where clients are known to match on it.
    pub reference: Option<String>,
}

impl Violation {
    /// One that concerns the whole document.
    pub fn whole(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            pointer: String::new(),
            line: None,
            column: None,
            message: message.into(),
            reference: None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

/// Collects violations up to the limit.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one and gives it back for [`Reported::reference`].
    pub(super) fn add(
        &mut self,
        code: &'static str,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) -> Reported<'_> {
        if self.0.len() >= MAX_VIOLATIONS {
            return Reported(None);
        }
        debug_assert!(Rule::find(code).is_some(), "{code} is not in the catalogue");
        self.0.push(Violation { pointer: pointer.into(), ..Violation::whole(code, message) });
        Reported(self.0.last_mut())
    }

    /// Whether nothing more is noted, so that the words for it need not be made.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_VIOLATIONS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is said of the value at `pointer`, or of a part of it.
    pub(super) fn tells_of(&self, pointer: &str) -> bool {
        self.0.iter().any(|violation| is_within(&violation.pointer, pointer))
    }

    pub(super) fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

/// A violation that was just added, if there was room.
pub(super) struct Reported<'a>(Option<&'a mut Violation>);

impl Reported<'_> {
    /// Attaches the text of the Go implementation.
    pub(super) fn reference(self, text: impl Into<String>) {
        if let Some(violation) = self.0 {
            violation.reference = Some(text.into());
        }
    }

    /// Attaches a position in the source text.
    pub(super) fn at(self, line: impl TryInto<u32>, column: impl TryInto<u32>) {
        if let Some(violation) = self.0 {
            violation.line = line.try_into().ok();
            violation.column = column.try_into().ok();
        }
    }
}

/// `parent` extended by one reference token, escaped as RFC 6901 asks.
pub(super) fn pointer(parent: &str, token: impl fmt::Display) -> String {
    let token = token.to_string();
    let token: Cow<'_, str> = if token.contains(['~', '/']) {
        token.replace('~', "~0").replace('/', "~1").into()
    } else {
        token.into()
    };
    format!("{parent}/{token}")
}

/// Where a value stands: a step below another place. A pointer is written of it only when something is reported there,
/// as almost nothing ever is.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    above: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    /// A pointer.
    Path(&'p str),
    Member(&'p str),
    Item(usize),
}

impl<'p> At<'p> {
    /// The place that a pointer names.
    pub(super) const fn path(pointer: &'p str) -> Self {
        Self { above: None, step: Step::Path(pointer) }
    }

    /// A member's place.
    pub(super) fn member(&'p self, name: &'p str) -> Self {
        Self { above: Some(self), step: Step::Member(name) }
    }

    /// An item's place.
    pub(super) fn item(&'p self, index: usize) -> Self {
        Self { above: Some(self), step: Step::Item(index) }
    }
}

impl From<&At<'_>> for String {
    fn from(at: &At<'_>) -> Self {
        let above = at.above.map(Self::from).unwrap_or_default();
        match at.step {
            Step::Path(path) => path.to_owned(),
            Step::Member(name) => pointer(&above, name),
            Step::Item(index) => pointer(&above, index),
        }
    }
}

impl From<At<'_>> for String {
    fn from(at: At<'_>) -> Self {
        Self::from(&at)
    }
}

/// Whether `pointer` is `outer` or leads on from it.
pub(super) fn is_within(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Members whose values no message repeats: they hold passwords, or commonly do.
pub(super) const SECRET_MEMBERS: [&str; 4] = ["args", "command", "credentials", "env"];

/// Whether a message about the value at `pointer` must not repeat it.
pub(super) fn is_secret(pointer: &str) -> bool {
    pointer.split('/').any(|token| SECRET_MEMBERS.contains(&token))
}

/// A piece of the document in quotes, cut to a length that keeps messages readable.
pub(super) const fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// See [`quoted`].
#[derive(Clone, Copy)]
pub(super) struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MAX_QUOTED) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// The hint behind "unknown name": the nearest known one, or all of them when they are few.
pub(super) fn nearest_hint<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.take(MAX_VIOLATIONS).collect();
    let unknown: String = unknown.chars().take(MAX_QUOTED).collect();
    let nearest = known
        .iter()
        .filter(|name| name.len() <= MAX_QUOTED)
        .map(|name| (strsim::osa_distance(&unknown, name), *name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 3);
    match (nearest, known.len()) {
        (Some((_, name)), _) => format!("; did you mean {}?", quoted(name)),
        (None, 0) => "; none is defined".to_owned(),
        (None, 1..=8) => {
            let names: Vec<String> = known.iter().map(|name| quoted(name).to_string()).collect();
            format!("; known are {}", names.join(", "))
        }
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_gets_its_nearest_neighbour() {
        let known = ["web", "worker", "database"];
        assert_eq!(nearest_hint("databse", known.into_iter()), "; did you mean \"database\"?");
        assert_eq!(nearest_hint("wbe", known.into_iter()), "; did you mean \"web\"?");
        assert_eq!(
            nearest_hint("frontend", known.into_iter()),
            "; known are \"web\", \"worker\", \"database\""
        );
        assert_eq!(nearest_hint("x", std::iter::empty()), "; none is defined");
    }

    #[test]
    fn the_list_of_violations_ends_at_its_limit() {
        let mut violations = Violations::default();
        for _ in 0..2 * MAX_VIOLATIONS {
            violations.add("price", "", "message").reference("text");
        }
        assert_eq!(violations.into_vec().len(), MAX_VIOLATIONS);
    }

    #[test]
    fn a_pointer_escapes_its_tokens() {
        assert_eq!(pointer("/services", "a/b~c"), "/services/a~1b~0c");
    }
}
