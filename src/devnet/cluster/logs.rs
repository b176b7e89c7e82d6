//! What replicas write: never stored, always computed from when they ran.
//!
//! A run begins with a banner: the image, the *names* of the environment (values are secrets), the ports. Then comes a
//! line every so many milliseconds, and a last one when the container exits.

use std::{fmt, str::FromStr};

use jiff::Timestamp;

use super::{
    replica::{Exit, Replica, Run},
    time::{draw, later, steps_between},
};
use crate::devnet::cluster_api::{LogLine, Service};

/// How many lines of one run are kept, as a node that rotates logs would.
const MAX_LINES_PER_RUN: u64 = 10_000;

/// The place of a line among all lines of a lease, which is their order too.
///
/// Lines come to be in this order, so whoever goes on after a cursor misses nothing and sees nothing twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    at: Timestamp,
    replica: String,
    index: u64,
}

impl Cursor {
    /// After every line that was written up to `at`.
    pub(super) fn end_of(at: Timestamp) -> Self {
        // No name of a replica is greater, since all are DNS labels.
        Self { at, replica: "~".to_owned(), index: u64::MAX }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at.as_nanosecond(), self.index, self.replica)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut parts = text.splitn(3, '.');
            let at = Timestamp::from_nanosecond(parts.next()?.parse().ok()?).ok()?;
            let index = parts.next()?.parse().ok()?;
            Some(Self { at, index, replica: parts.next()?.to_owned() })
        };
        parse().ok_or_else(|| format!("{text:?} is no cursor of a log line"))
    }
}

/// The lines of one replica up to `now`, after `after`, the last `tail` of them.
pub(super) fn lines(
    replica: &Replica,
    now: Timestamp,
    every_ms: u64,
    tail: Option<u64>,
    after: Option<&Cursor>,
) -> Vec<(Cursor, LogLine)> {
    let mut lines = Vec::new();
    for run in &replica.runs {
        let script = Script { replica, run, now, every_ms: every_ms.max(1) };
        let last = script.len();
        let first = script.first_after(after).max(last.saturating_sub(MAX_LINES_PER_RUN));
        lines.extend((first..last).map(|index| script.line(index)));
    }
    lines.retain(|(cursor, _)| after.is_none_or(|after| cursor > after));
    if let Some(tail) = tail {
        let surplus = lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
        lines.drain(..surplus);
    }
    lines
}

/// Lines of several replicas in the order in which they were written.
pub(super) fn merge(replicas: impl Iterator<Item = Vec<(Cursor, LogLine)>>) -> Vec<LogLine> {
    let mut lines: Vec<(Cursor, LogLine)> = replicas.flatten().collect();
    lines.sort_by(|(a, _), (b, _)| a.cmp(b));
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What a container writes in one run.
struct Script<'a> {
    replica: &'a Replica,
    run: &'a Run,
    now: Timestamp,
    every_ms: u64,
}

impl Script<'_> {
    fn end(&self) -> Timestamp {
        self.run.ended.map_or(self.now, |(at, _)| at)
    }

    fn banner_len(&self) -> u64 {
        2 + u64::try_from(self.replica.template.ports.len()).unwrap_or(0)
    }

    /// How many lines are written by now.
    fn len(&self) -> u64 {
        let regular = steps_between(self.run.started, self.end(), self.every_ms);
        self.banner_len() + regular + u64::from(self.run.ended.is_some())
    }

    /// A line that is certainly not after any that `after` excludes, without looking at each.
    fn first_after(&self, after: Option<&Cursor>) -> u64 {
        let Some(after) = after.filter(|after| after.at > self.run.started) else { return 0 };
        self.banner_len()
            + steps_between(self.run.started, after.at, self.every_ms).saturating_sub(1)
    }

    fn line(&self, index: u64) -> (Cursor, LogLine) {
        let Replica { name, template, .. } = self.replica;
        let (at, line) = self.text(index);
        let cursor = Cursor { at, replica: name.clone(), index };
        let line = LogLine {
            cursor: cursor.to_string(),
            service: template.name.clone(),
            replica: name.clone(),
            at,
            line,
        };
        (cursor, line)
    }

    fn text(&self, index: u64) -> (Timestamp, String) {
        let Replica { name, template, .. } = self.replica;
        let started = self.run.started;
        match (index.checked_sub(self.banner_len()), self.run.ended) {
            (None, _) => (started, banner(template, name, index)),
            (Some(_), Some((at, exit))) if index + 1 == self.len() => {
                let last = match exit {
                    Exit::Crashed => "fatal: exits with code 1, as it was told to crash",
                    Exit::Stopped => "got SIGTERM, stops",
                };
                (at, last.to_owned())
            }
            (Some(beat), _) => {
                let count = beat + 1;
                let served = draw(&[name, &count.to_string()], 50);
                let at = later(started, self.every_ms.saturating_mul(count));
                (at, format!("beat {count}: served {served} requests"))
            }
        }
    }
}

fn banner(template: &Service, replica: &str, index: u64) -> String {
    match index {
        0 => format!("{} starts as {replica}", template.image),
        1 => format!("environment: {}", environment_names(template)),
        _ => {
            let port = usize::try_from(index - 2).ok().and_then(|index| template.ports.get(index));
            port.map(|port| format!("listens on {}/{}", port.port, port.proto.as_str()))
                .unwrap_or_default()
        }
    }
}

fn environment_names(template: &Service) -> String {
    let names: Vec<&str> = template
        .env
        .iter()
        .map(|entry| entry.split_once('=').map_or(entry.as_str(), |(name, _value)| name))
        .collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
