//! One step's commit, all or nothing.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    capacity::{capacity_changed, change_reservations, release_hostnames},
    effects::{absorb, want, withdraw},
    error::Failure,
    open::Sqlite,
    reading::{append_audit, put_decisions, put_orders},
    subjects::{delete_subject, finish, owned_wakes, replace_deadlines, wake_all},
};
use crate::provider::port::{Claim, Commit, Committed};

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
    release_hostnames(connection, &commit.release_hostnames).await?;
    absorb(connection, subject, &commit.absorbed_effects).await?;
    withdraw(connection, subject, &commit.withdraw_effects, now).await?;
    want(connection, subject, &commit.effects, now).await?;
    append_audit(connection, &commit.audit).await?;
    wake_all(connection, &commit.wake, now).await?;
    replace_deadlines(connection, subject, &commit.deadlines).await?;
    if commit.state.is_none() && commit.wake_at.is_none() {
        delete_subject(connection, claim).await?;
    }
    // Finds nothing when the subject was deleted just now; it was not if it was woken during the step.
    finish(connection, claim, commit.state.as_ref(), commit.wake_at).await
}
