//! One step's commit, all or nothing.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    capacity::{capacity_changed, change_reservations, let_hostnames_go, release_hostnames},
    effects::{absorb, want, withdraw},
    error::Failure,
    open::Sqlite,
    operator::count_changes,
    reading::{append_audit, put_decisions, put_orders},
    subjects::{delete_subject, finish, owned_wakes, replace_deadlines, wake_all},
};
use crate::provider::port::{Claim, Commit, Committed, Topic};

impl Sqlite {
    pub(super) async fn commit_step(
        &self,
        claim: &Claim,
        now: Timestamp,
        commit: &Commit,
    ) -> Result<Committed, Failure> {
        let mut tx = self.write().await?;
        if owned_wakes(&mut tx, claim).await?.is_none() {
            return Ok(Committed::Fenced);
        }
        if let Some(current) = capacity_changed(&mut tx, commit).await? {
            return Ok(Committed::CapacityChanged(current));
        }
        write(&mut tx, claim, now, commit).await?;
        tx.commit().await?;
        Ok(Committed::Done)
    }
}

async fn write(
    connection: &mut SqliteConnection,
    claim: &Claim,
    now: Timestamp,
    commit: &Commit,
) -> Result<(), Failure> {
    let subject = &claim.subject;
    put_orders(connection, &commit.orders).await?;
    put_decisions(connection, &commit.decisions).await?;
    change_reservations(connection, commit).await?;
    release_hostnames(connection, &commit.release_hostnames, now).await?;
    for (lease, routed) in &commit.routed {
        let_hostnames_go(connection, lease, routed, now).await?;
    }
    absorb(connection, subject, &commit.absorbed_effects).await?;
    withdraw(connection, subject, &commit.withdraw_effects, now).await?;
    want(connection, subject, &commit.effects, now).await?;
    append_audit(connection, &commit.audit).await?;
    wake_all(connection, &commit.wake, now).await?;
    let deadlines_changed = replace_deadlines(connection, subject, &commit.deadlines).await?;
    count_changes(connection, &changed(commit, deadlines_changed)).await?;
    let waits = commit.wake_at.is_some() || commit.look_again.is_some();
    if commit.state.is_none() && !waits {
        delete_subject(connection, claim).await?;
    }
    // Finds nothing when the subject was deleted just now; it was not if it was woken during the step.
    finish(connection, claim, commit.state.as_ref(), commit.wake_at, commit.look_again).await
}

/// The kinds of rows that pages show and that a commit changes.
fn changed(commit: &Commit, deadlines: bool) -> Vec<Topic> {
    let orders = !commit.orders.is_empty() || !commit.decisions.is_empty();
    let capacity = !commit.reserve.is_empty()
        || !commit.leased.is_empty()
        || !commit.applied.is_empty()
        || !commit.release.is_empty();
    [(orders, Topic::Orders), (capacity, Topic::Capacity), (deadlines, Topic::Deadlines)]
        .into_iter()
        .filter_map(|(changed, topic)| changed.then_some(topic))
        .collect()
}
