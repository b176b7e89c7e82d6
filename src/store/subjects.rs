//! Subjects: woken, claimed with a fence, committed, given back.
//!
//! The one surprising fact: `due_at` alone says whether something waits. A wake sets it, a claim moves it to the claim's
//! own end, and a commit clears it unless the subject was woken since; so a crash at any point leaves the subject due.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::{
    FromRow, SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{
    capacity::{hostnames_of, manifest_hashes_of},
    columns::{Micros, height, signed, small, unsigned},
    effects::effects_of,
    error::Failure,
    open::Sqlite,
    sql,
};
use crate::{
    domain::Height,
    provider::port::{Claim, Deadline, Loaded, Subject},
};

/// A subject to wake, as a list for `json_each` has it.
#[derive(Serialize)]
pub(super) struct Wake {
    subject: String,
    kind: &'static str,
    hint: Option<i64>,
    hinted_by: Option<String>,
    due_at: Micros,
}

impl Wake {
    /// On our own account.
    pub(super) fn new(subject: &Subject, hint: Option<Height>, at: Timestamp) -> Self {
        let kind = match subject {
            Subject::Deployment(_) => "deployment",
            Subject::Provider => "provider",
            Subject::Account(_) => "account",
            Subject::Stream(_) => "stream",
        };
        Self {
            subject: subject.to_string(),
            kind,
            hint: hint.map(height),
            hinted_by: None,
            due_at: Micros(at),
        }
    }

    /// When nothing but a stream's word stands behind it.
    pub(super) fn hinted(
        subject: &Subject,
        hint: Option<Height>,
        at: Timestamp,
        stream: &str,
    ) -> Self {
        Self { hinted_by: Some(stream.to_owned()), ..Self::new(subject, hint, at) }
    }
}

/// Wakes subjects, each of which is named once.
pub(super) async fn wake(connection: &mut SqliteConnection, wakes: &[Wake]) -> Result<(), Failure> {
    if !wakes.is_empty() {
        query(sql::WAKE).bind(Json(wakes)).execute(connection).await?;
    }
    Ok(())
}

/// Wakes subjects now on our own account; a subject may be named more than once.
pub(super) async fn wake_all<'a>(
    connection: &mut SqliteConnection,
    subjects: impl IntoIterator<Item = &'a Subject>,
    now: Timestamp,
) -> Result<usize, Failure> {
    let subjects: BTreeSet<&Subject> = subjects.into_iter().collect();
    let wakes: Vec<Wake> = subjects.iter().map(|subject| Wake::new(subject, None, now)).collect();
    wake(connection, &wakes).await?;
    Ok(wakes.len())
}

/// The number that makes a claim younger than all others.
pub(super) async fn next_fence(connection: &mut SqliteConnection) -> Result<i64, Failure> {
    Ok(query_scalar(sql::NEXT_FENCE).fetch_one(connection).await?)
}

/// How often the claimed subject was woken, ever; `None` when the claim is no longer the newest, or was ended.
pub(super) async fn owned_wakes(
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Option<u64>, Failure> {
    let wakes: Option<i64> = query_scalar(sql::OWNED)
        .bind(Text(&claim.subject))
        .bind(signed(claim.fence))
        .fetch_optional(connection)
        .await?;
    Ok(wakes.map(unsigned))
}

/// Ends a claim with a new state. The subject stays due if it was woken since the claim.
pub(super) async fn finish(
    connection: &mut SqliteConnection,
    claim: &Claim,
    state: Option<&Value>,
    wake_at: Option<Timestamp>,
    look_again: Option<Timestamp>,
) -> Result<(), Failure> {
    query(sql::FINISH)
        .bind(Text(&claim.subject))
        .bind(signed(claim.fence))
        .bind(state.map(Json))
        .bind(signed(claim.wakes))
        .bind(wake_at.map(Micros))
        .bind(look_again.map(Micros))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn delete_subject(
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<(), Failure> {
    query(sql::DELETE_SUBJECT)
        .bind(Text(&claim.subject))
        .bind(signed(claim.fence))
        .bind(signed(claim.wakes))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns whether there were any, or are.
pub(super) async fn replace_deadlines(
    connection: &mut SqliteConnection,
    subject: &Subject,
    deadlines: &[Deadline],
) -> Result<bool, Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        name: &'a str,
        due: Micros,
    }
    let had = query(sql::DELETE_DEADLINES).bind(Text(subject)).execute(&mut *connection).await?;
    if !deadlines.is_empty() {
        let rows: Vec<Row<'_>> = deadlines
            .iter()
            .map(|deadline| Row { name: &deadline.name, due: Micros(deadline.due) })
            .collect();
        query(sql::INSERT_DEADLINES)
            .bind(Text(subject))
            .bind(Json(rows))
            .execute(connection)
            .await?;
    }
    Ok(had.rows_affected() > 0 || !deadlines.is_empty())
}

#[derive(FromRow)]
pub(super) struct Claimed {
    subject: Text<Subject>,
    wakes: i64,
    pub(super) state: Option<Json<Value>>,
    hint: Option<i64>,
    hinted_by: Option<String>,
    failures: i64,
}

impl Claimed {
    pub(super) fn claim(&self, fence: i64, until: Timestamp) -> Claim {
        Claim {
            subject: self.subject.0.clone(),
            fence: unsigned(fence),
            wakes: unsigned(self.wakes),
            until,
        }
    }

    fn into_loaded(self, fence: i64, until: Timestamp) -> Loaded {
        Loaded {
            claim: self.claim(fence, until),
            state: self.state.map(|Json(state)| state),
            hint: self.hint.map(|hint| Height(unsigned(hint))),
            hinted_by: self.hinted_by,
            failures: small(self.failures),
            effects: Vec::new(),
            deadlines: Vec::new(),
            manifests: Vec::new(),
            hostnames: Vec::new(),
        }
    }
}

/// Claims those of the candidates that are still ready.
pub(super) async fn claim_ready(
    connection: &mut SqliteConnection,
    candidates: &[String],
    worker: &str,
    fence: i64,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Claimed>, Failure> {
    Ok(query_as(sql::CLAIM)
        .bind(Json(candidates))
        .bind(worker)
        .bind(fence)
        .bind(Micros(until))
        .bind(Micros(now))
        .fetch_all(connection)
        .await?)
}

async fn deadlines_of(
    connection: &mut SqliteConnection,
    subjects: &[String],
) -> Result<Vec<(Subject, Deadline)>, Failure> {
    let rows = query_as(sql::DEADLINES_OF).bind(Json(subjects)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(deadline).collect())
}

fn deadline((subject, name, due): (Text<Subject>, String, Micros)) -> (Subject, Deadline) {
    (subject.0, Deadline { name, due: due.0 })
}

impl Sqlite {
    pub(super) async fn wake_subjects(
        &self,
        subjects: &[Subject],
        hint: Option<Height>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let subjects: BTreeSet<&Subject> = subjects.iter().collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let wakes: Vec<Wake> =
            subjects.into_iter().map(|subject| Wake::new(subject, hint, now)).collect();
        let mut tx = self.write().await?;
        wake(&mut tx, &wakes).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn fire_deadlines(&self, block_time: Timestamp) -> Result<u64, Failure> {
        let any: bool = query_scalar(sql::ANY_DEADLINE_DUE)
            .bind(Micros(block_time))
            .fetch_one(&self.readers)
            .await?;
        if !any {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let subjects: Vec<Text<Subject>> =
            query_scalar(sql::FIRE_DEADLINES).bind(Micros(block_time)).fetch_all(&mut *tx).await?;
        // Block time says nothing about the host's clock, by which subjects are due: from ever.
        let subjects = subjects.iter().map(|Text(subject)| subject);
        let woken = wake_all(&mut tx, subjects, Timestamp::UNIX_EPOCH).await?;
        tx.commit().await?;
        Ok(u64::try_from(woken).unwrap_or(u64::MAX))
    }

    pub(super) async fn shorten_waits(
        &self,
        latest: Timestamp,
        now: Timestamp,
    ) -> Result<u64, Failure> {
        let any: bool = query_scalar(sql::ANY_WAITS_BEYOND)
            .bind(Micros(latest))
            .fetch_one(&self.readers)
            .await?;
        if !any {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let mut shortened = 0;
        for statement in [sql::WAKE_WAITING_BEYOND, sql::FREE_WAITING_BEYOND] {
            let done =
                query(statement).bind(Micros(latest)).bind(Micros(now)).execute(&mut *tx).await?;
            shortened += done.rows_affected();
        }
        tx.commit().await?;
        Ok(shortened)
    }

    /// Looks for ready subjects without the write lock; whoever polls an idle store must not keep others from writing.
    async fn ready_subjects(&self, now: Timestamp, limit: u32) -> Result<Vec<String>, Failure> {
        let mut ready: Vec<String> = Vec::new();
        for hinted in [0_i64, 1] {
            let left = i64::from(limit) - i64::try_from(ready.len()).unwrap_or(i64::MAX);
            if left <= 0 {
                break;
            }
            let found: Vec<String> = query_scalar(sql::READY_SUBJECTS)
                .bind(hinted)
                .bind(Micros(now))
                .bind(left)
                .fetch_all(&self.readers)
                .await?;
            ready.extend(found);
        }
        Ok(ready)
    }

    pub(super) async fn claim_subjects(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Loaded>, Failure> {
        let ready = self.ready_subjects(now, limit).await?;
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let fence = next_fence(&mut tx).await?;
        let claimed = claim_ready(&mut tx, &ready, worker, fence, now, until).await?;
        tx.commit().await?;

        let mut by_name: HashMap<String, Claimed> =
            claimed.into_iter().map(|row| (row.subject.0.to_string(), row)).collect();
        let in_order: Vec<Loaded> = ready
            .iter()
            .filter_map(|name| by_name.remove(name))
            .map(|row| row.into_loaded(fence, until))
            .collect();
        self.load(in_order).await
    }

    /// Reads what belongs to claimed subjects. They are ours already, so this needs no write lock; what changes meanwhile
    /// wakes them again.
    async fn load(&self, mut claimed: Vec<Loaded>) -> Result<Vec<Loaded>, Failure> {
        let names: Vec<String> =
            claimed.iter().map(|loaded| loaded.claim.subject.to_string()).collect();
        let position: HashMap<Subject, usize> = claimed
            .iter()
            .enumerate()
            .map(|(position, loaded)| (loaded.claim.subject.clone(), position))
            .collect();
        let mut tx = self.read().await?;
        for effect in effects_of(&mut tx, &names).await? {
            if let Some(&at) = position.get(&effect.subject) {
                claimed[at].effects.push(effect);
            }
        }
        for (subject, deadline) in deadlines_of(&mut tx, &names).await? {
            if let Some(&at) = position.get(&subject) {
                claimed[at].deadlines.push(deadline);
            }
        }
        for (deployment, hash) in manifest_hashes_of(&mut tx, &names).await? {
            if let Some(&at) = position.get(&Subject::Deployment(deployment)) {
                claimed[at].manifests.push(hash);
            }
        }
        for (subject, hostname) in hostnames_of(&mut tx, &names).await? {
            if let Some(&at) = position.get(&subject) {
                claimed[at].hostnames.push(hostname);
            }
        }
        Ok(claimed)
    }

    pub(super) async fn end_claim(
        &self,
        claim: &Claim,
        retry_at: Timestamp,
        error: Option<&str>,
    ) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        query(sql::GIVE_BACK)
            .bind(Text(&claim.subject))
            .bind(signed(claim.fence))
            .bind(Micros(retry_at))
            .bind(error)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn forget_claimed(&self, claims: &[Claim]) -> Result<u64, Failure> {
        #[derive(Serialize)]
        struct Row {
            subject: String,
            fence: i64,
            wakes: i64,
        }
        if claims.is_empty() {
            return Ok(0);
        }
        let rows: Vec<Row> = claims
            .iter()
            .map(|claim| Row {
                subject: claim.subject.to_string(),
                fence: signed(claim.fence),
                wakes: signed(claim.wakes),
            })
            .collect();
        let mut tx = self.write().await?;
        let forgotten = query(sql::FORGET).bind(Json(&rows)).execute(&mut *tx).await?;
        query(sql::RELEASE).bind(Json(&rows)).execute(&mut *tx).await?;
        query(sql::RELEASE_WOKEN).bind(Json(&rows)).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(forgotten.rows_affected())
    }

    pub(super) async fn soonest(&self) -> Result<Option<Timestamp>, Failure> {
        let next: Option<Micros> = query_scalar(sql::NEXT_DUE).fetch_one(&self.readers).await?;
        Ok(next.map(|Micros(at)| at))
    }

    pub(super) async fn read_state(&self, subject: &Subject) -> Result<Option<Value>, Failure> {
        let state: Option<Option<Json<Value>>> = query_scalar(sql::SUBJECT_STATE)
            .bind(Text(subject))
            .fetch_optional(&self.readers)
            .await?;
        Ok(state.flatten().map(|Json(state)| state))
    }

    pub(super) async fn read_deadlines(
        &self,
        limit: u32,
    ) -> Result<Vec<(Subject, Deadline)>, Failure> {
        let rows = query_as(sql::DEADLINES).bind(i64::from(limit)).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(deadline).collect())
    }
}
