//! A cluster that does not exist: it answers as one would, and is a pure function of its rows and the time.
//!
//! | module | what it owns |
//! |---|---|
//! | [`router()`] | the HTTP surface, whose types are in [`cluster_api`](super::cluster_api) |
//! | `journal` | the rows, in one file that only grows |
//! | `state` | the fold of rows and time |
//! | `lease`, `replica` | what one lease runs, and the life of one replica |
//! | `ground`, `capacity` | what leases share: nodes and who has what of them |
//! | `logs` | lines, computed from when a replica ran |
//! | `settings` | nodes, delays, which images misbehave |
//!
//! It knows workloads, never orders, bids or money, and nothing in it runs between two questions: whoever asks brings
//! the time (a [`Clock`]), and the cluster says what would have happened by then. So a process that is killed and
//! started again finds its replicas as old as they are.
//!
//! The surprising fact: the time of a row is not the clock's but later than anything that was ever shown, so that
//! nobody who follows a log or the events can miss what a row causes.

mod capacity;
mod ground;
mod journal;
mod lease;
mod logs;
mod replica;
mod router;
mod settings;
mod state;
mod time;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

pub use self::{
    journal::JournalError,
    router::router,
    settings::{Misbehaviour, Settings},
};
use self::{
    journal::{Change, Journal},
    logs::Cursor,
    state::State,
    time::just_after,
};
use super::cluster_api::{
    Applied, ClusterEvent, Control, EventQuery, Failure, FailureCode, JournalEntry, LeaseStatus,
    LogLine, LogQuery, TornDown, Workload,
};
use crate::domain::{LeaseId, inventory::Inventory};

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The simulated cluster. Cheap to clone; all clones are one cluster.
///
/// Its methods block while a row goes to the disk, so an async caller calls them where that is allowed.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    clock: Clock,
    opened: Mutex<Opened>,
}

struct Opened {
    journal: Journal,
    state: State,
}

/// Some log lines and where to go on after them.
pub(super) struct LogPage {
    lines: Vec<LogLine>,
    end: Cursor,
}

impl World {
    /// Opens the cluster whose journal is in `folder`, or makes a new one there. The settings hold from now on.
    ///
    /// # Errors
    /// [`JournalError`] when the folder cannot be used, another process uses it, or the journal is damaged.
    pub fn open(folder: &Path, settings: Settings, clock: Clock) -> Result<Self, JournalError> {
        let (journal, rows) = Journal::open(folder)?;
        let is_new = rows.is_empty();
        let mut state = State::default();
        for row in rows {
            state.take(row);
        }
        let world = Self(Arc::new(Inner { clock, opened: Mutex::new(Opened { journal, state }) }));
        let mut opened = world.now();
        if is_new || *opened.state.settings() != settings {
            opened.write_down(Change::Settings(settings))?;
        }
        drop(opened);
        Ok(world)
    }

    /// What the nodes have and what of it is taken.
    ///
    /// # Errors
    /// [`FailureCode::Unavailable`] while the cluster is told to be away; so for every other question too.
    pub fn inventory(&self) -> Result<Inventory, Failure> {
        Ok(self.reachable()?.state.inventory().clone())
    }

    /// Every lease of which something is there.
    ///
    /// # Errors
    /// As for [`World::inventory`].
    pub fn leases(&self) -> Result<Vec<LeaseId>, Failure> {
        Ok(self.reachable()?.state.lease_ids().cloned().collect())
    }

    /// Makes the workload what runs for the lease.
    ///
    /// # Errors
    /// [`FailureCode::Refused`] when it makes no sense, [`FailureCode::Terminating`] while the lease goes.
    pub fn apply(&self, lease: &LeaseId, workload: Workload) -> Result<Applied, Failure> {
        let mut opened = self.reachable()?;
        let lease = lease.clone();
        let change = if opened.state.workload(&lease) == Some(&workload) {
            Change::Unchanged { lease, manifest_hash: workload.manifest_hash }
        } else {
            Change::Apply { lease, workload }
        };
        Ok(Applied { changed: opened.change(change)? })
    }

    /// Starts the end of a lease, or says how far it is.
    ///
    /// # Errors
    /// As for [`World::inventory`].
    pub fn teardown(&self, lease: &LeaseId) -> Result<TornDown, Failure> {
        let mut opened = self.reachable()?;
        match opened.state.terminating(lease) {
            None => Ok(TornDown { gone: true }),
            Some(true) => Ok(TornDown { gone: false }),
            Some(false) => {
                opened.change(Change::Teardown { lease: lease.clone() })?;
                Ok(TornDown { gone: opened.state.terminating(lease).is_none() })
            }
        }
    }

    /// What runs for a lease.
    ///
    /// # Errors
    /// [`FailureCode::NotFound`] when nothing does.
    pub fn status(&self, lease: &LeaseId) -> Result<LeaseStatus, Failure> {
        self.reachable()?.state.status(lease)
    }

    fn logs(
        &self,
        lease: &LeaseId,
        query: &LogQuery,
        after: Option<&Cursor>,
    ) -> Result<LogPage, Failure> {
        let opened = self.reachable()?;
        let services: Vec<&str> =
            query.services.split(',').filter(|name| !name.is_empty()).collect();
        let lines = opened.state.logs(lease, &services, query.tail, after)?;
        Ok(LogPage { lines, end: Cursor::end_of(opened.state.at()) })
    }

    fn events(&self, lease: &LeaseId, after: u64) -> Result<Vec<ClusterEvent>, Failure> {
        self.reachable()?.state.events(lease, after)
    }

    /// Everything that was ever asked and done, also while the cluster is away.
    #[must_use]
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.now().state.entries().to_vec()
    }

    /// Disturbs the cluster, also while it is away.
    ///
    /// # Errors
    /// [`FailureCode::NotFound`] for a lease, service or node that is not there.
    pub fn control(&self, control: Control) -> Result<(), Failure> {
        self.now().change(Change::Control(control)).map(drop)
    }

    fn reachable(&self) -> Result<MutexGuard<'_, Opened>, Failure> {
        let opened = self.now();
        opened.state.check_reachable()?;
        Ok(opened)
    }

    /// The cluster as it is now. A clock that goes backwards stands still here.
    fn now(&self) -> MutexGuard<'_, Opened> {
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.0.clock)();
        opened.state.advance(now);
        opened
    }
}

impl Opened {
    /// Checks a change, writes it down, and only then lets it be true.
    fn change(&mut self, change: Change) -> Result<Vec<String>, Failure> {
        self.state.check(&change)?;
        self.write_down(change)
            .map_err(|error| Failure { code: FailureCode::Unavailable, message: error.to_string() })
    }

    fn write_down(&mut self, change: Change) -> Result<Vec<String>, JournalError> {
        let row = self.journal.append(just_after(self.state.at()), change)?;
        Ok(self.state.take(row))
    }
}

/// The number in an event's cursor.
fn event_number(query: &EventQuery) -> Result<u64, Failure> {
    let Some(after) = &query.after else { return Ok(0) };
    after.parse().map_err(|_| Failure {
        code: FailureCode::Refused,
        message: format!("{after:?} is no cursor of an event"),
    })
}
