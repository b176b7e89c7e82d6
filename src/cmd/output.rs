//! What commands print. A reader who has gone (`lessor tenant logs 7 | head -1`) ends a command quietly, as it ends other
//! tools; a process that serves does not care who reads its first lines.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whoever read the output has gone: there is nobody to tell.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct Closed;

/// Prints text as it is.
///
/// # Errors
/// [`Closed`], or whatever else keeps it from being written.
pub fn text(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(closed)
}

/// Prints a line.
///
/// # Errors
/// As [`text`].
pub fn line(line: impl Display) -> anyhow::Result<()> {
    text(format_args!("{line}\n"))
}

/// Prints text with styles as they are, or without them where no terminal shows them or `NO_COLOR` is set.
///
/// # Errors
/// As [`text`].
pub fn styled(text: impl Display) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(closed)
}

/// As [`styled`], to the error stream, if anybody reads.
pub fn complain_styled(text: impl Display) {
    let _ = write!(anstream::stderr(), "{text}");
}

/// Prints a line, if anybody reads.
pub fn tell(line: impl Display) {
    let _ = self::line(line);
}

/// Prints a line to the error stream, if anybody reads.
pub fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "lessor: {line}");
}

/// Tells a reader who has gone from every other failure.
#[must_use]
pub fn closed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { Closed.into() } else { error.into() }
}

/// An error with its causes, each said once: many errors name their cause in their own text, for logs.
#[must_use]
pub fn said(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_that_an_error_names_itself_is_not_said_twice() {
        let cause = io::Error::other("disk on fire");
        let named = anyhow::Error::new(cause).context("file a: disk on fire");
        assert_eq!(said(&named), "file a: disk on fire");
        let open = Err::<(), _>(io::Error::other("disk on fire")).context("open a").unwrap_err();
        assert_eq!(said(&open.context("start")), "start: open a: disk on fire");
    }

    #[test]
    fn only_a_broken_pipe_is_a_reader_who_has_gone() {
        assert!(closed(io::ErrorKind::BrokenPipe.into()).is::<Closed>());
        assert!(!closed(io::ErrorKind::StorageFull.into()).is::<Closed>());
    }
}
