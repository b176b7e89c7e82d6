//! Deliveries that wait for the one connection that writes, in the order of arrival, and who commits them in groups.
//!
//! The one surprising fact: a group is committed in a task of its own, so that a caller who goes away takes nobody's
//! delivery along.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    provider::port::{Content, Delivery, Ingested, Plan},
    store::{error::Failure, open::Sqlite},
};

/// The most events and the most deliveries of one group: what waits behind it is not to wait for long.
const MOST_EVENTS: usize = 2000;
const MOST_DELIVERIES: usize = 64;

/// A delivery that waits to be committed.
pub(super) struct Waiting {
    pub(super) delivery: Delivery,
    pub(super) content: Content,
    pub(super) plan: Box<Plan>,
    answer: oneshot::Sender<Result<Ingested, Failure>>,
}

/// What waits, in the order of arrival.
#[derive(Default)]
pub(in crate::store) struct Inbox(Mutex<Line>);

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// Whether a task commits what waits.
    is_served: bool,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the caller is to have the line served.
    fn join(&self, waiting: Waiting) -> bool {
        let mut line = self.line();
        line.waiting.push_back(waiting);
        !std::mem::replace(&mut line.is_served, true)
    }

    /// The next group; empty when nothing waits, and then the line is no longer served.
    fn next(&self) -> Vec<Waiting> {
        let mut line = self.line();
        let mut group: Vec<Waiting> = Vec::new();
        let mut events = 0;
        while let Some(first) = line.waiting.front() {
            events += first.content.events.len();
            if !group.is_empty() && (events > MOST_EVENTS || group.len() == MOST_DELIVERIES) {
                break;
            }
            group.extend(line.waiting.pop_front());
        }
        line.is_served = !group.is_empty();
        group
    }
}

/// Ends the service of a line whose task ends in any other way: what waits is answered *unknown*, the next one serves again.
struct Service(Sqlite);

impl Drop for Service {
    fn drop(&mut self) {
        let mut line = self.0.inbox.line();
        if line.is_served {
            line.waiting.clear();
            line.is_served = false;
        }
    }
}

impl Sqlite {
    pub(in crate::store) async fn ingest_delivery(
        &self,
        delivery: Delivery,
        content: Content,
        plan: Box<Plan>,
    ) -> Result<Ingested, Failure> {
        let (answer, answered) = oneshot::channel();
        if self.inbox.join(Waiting { delivery, content, plan, answer }) {
            tokio::spawn(Service(self.clone()).serve());
        }
        answered.await.unwrap_or(Err(Failure::Unseen))
    }
}

impl Service {
    async fn serve(self) {
        loop {
            let group = self.0.inbox.next();
            if group.is_empty() {
                return;
            }
            self.0.commit_and_answer(group).await;
        }
    }
}

impl Waiting {
    fn answer(self, answer: Result<Ingested, Failure>) {
        // Whoever went away asks again, and is told that it was taken before.
        drop(self.answer.send(answer));
    }
}

impl Sqlite {
    async fn commit_and_answer(&self, group: Vec<Waiting>) {
        let together = if group.len() > 1 { self.commit_group(&group).await.ok() } else { None };
        if let Some(answers) = together {
            for (waiting, answer) in group.into_iter().zip(answers) {
                waiting.answer(Ok(answer));
            }
            return;
        }
        // What one of them cannot have is not to hold up the others.
        for waiting in group {
            let alone = self.commit_group(std::slice::from_ref(&waiting)).await;
            waiting.answer(alone.map(|mut answers| answers.swap_remove(0)));
        }
    }
}
