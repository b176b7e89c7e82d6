//! Named places in a process at which it can be killed. Counts how often each is passed, by the phase of the life that the
//! process is told of.
//!
//! A process cannot kill itself at once and for sure without leaving safe code, so it stops: the task that reaches the
//! chosen place says so on standard output and goes no further, no other task passes any place, and whoever reads the line
//! sends SIGKILL.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write as _,
    str::FromStr,
    sync::{Mutex, MutexGuard},
};

use jiff::SignedDuration;

/// What the process says begins with this, wherever in the line it stands: the test harness writes there too.
pub(crate) const SAYS: &str = "crash> ";

/// The place just before a commit of the store becomes durable.
pub(crate) const COMMIT: &str = "Store:commit";

/// Before the call, or after it was carried out and before anybody hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Before,
    After,
}

/// A place and which time it is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) side: Side,
    /// From 1, counted from when the place was chosen.
    pub(crate) occurrence: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Before { "before" } else { "after" };
        write!(f, "{} {side} {}", self.name, self.occurrence)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [name, side, occurrence] = parts[..] else { return Err(format!("no place: {text:?}")) };
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return Err(format!("no side: {text:?}")),
        };
        let occurrence = occurrence.parse().map_err(|error| format!("{text:?}: {error}"))?;
        Ok(Self { name: name.to_owned(), side, occurrence })
    }
}

/// All places of one process.
#[derive(Debug, Default)]
pub(crate) struct Points(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: String,
    /// How often each place was passed, by phase and name.
    passed: BTreeMap<(String, String), u64>,
    chosen: Option<Place>,
    stopped: bool,
    /// By so many seconds the host's clock is wrong.
    clock_is_ahead: i64,
}

/// Writes a line for the process that started this one.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody who could hear of it is left when this fails.
    let _ = writeln!(out, "\n{SAYS}{line}").and_then(|()| out.flush());
}

impl Points {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// From now on this phase is counted, and no place is chosen.
    pub(crate) fn begin(&self, phase: &str) {
        let mut state = self.state();
        phase.clone_into(&mut state.phase);
        state.chosen = None;
    }

    /// The process is to stop there.
    pub(crate) fn choose(&self, place: Place) {
        self.state().chosen = Some(place);
    }

    /// From now on the host's clock is wrong by so many seconds.
    pub(crate) fn set_clock_ahead(&self, seconds: i64) {
        self.state().clock_is_ahead = seconds;
    }

    /// By how much the host's clock is wrong.
    pub(crate) fn clock_is_ahead(&self) -> SignedDuration {
        SignedDuration::from_secs(self.state().clock_is_ahead)
    }

    /// How often each place was passed, as lines of phase, name and count.
    pub(crate) fn passed(&self) -> Vec<String> {
        let state = self.state();
        state
            .passed
            .iter()
            .map(|((phase, name), count)| format!("{phase} {name} {count}"))
            .collect()
    }

    /// Whether the one that asks may go on.
    fn may_pass(&self, name: &str, side: Side) -> bool {
        let mut state = self.state();
        if state.stopped {
            return false;
        }
        if side == Side::Before {
            let key = (state.phase.clone(), name.to_owned());
            *state.passed.entry(key).or_default() += 1;
        }
        let Some(chosen) = &mut state.chosen else { return true };
        if chosen.name != name || chosen.side != side {
            return true;
        }
        chosen.occurrence -= 1;
        if chosen.occurrence > 0 {
            return true;
        }
        state.stopped = true;
        drop(state);
        say("reached");
        false
    }

    async fn pass(&self, name: &str, side: Side) {
        if !self.may_pass(name, side) {
            std::future::pending::<()>().await;
        }
    }

    /// Carries out a call between its two places.
    pub(crate) async fn through<T>(&self, name: &str, call: impl Future<Output = T>) -> T {
        self.pass(name, Side::Before).await;
        let answer = call.await;
        self.pass(name, Side::After).await;
        answer
    }

    /// Where nothing can be awaited, the thread stops.
    pub(crate) fn pass_blocking(&self, name: &str, side: Side) {
        if !self.may_pass(name, side) {
            loop {
                std::thread::park();
            }
        }
    }
}
