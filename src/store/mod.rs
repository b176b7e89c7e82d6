//! Adapter: the durable rows, in one SQLite file.
//!
//! It keeps rows and guards them (fences, unique identities, the version of the reservations); it decides nothing. Every
//! method of the port is one transaction: those that write hold the file's only write lock and await nothing but their own
//! statements while they do, those that read never wait for a writer.
//!
//! | module | what it owns |
//! |---|---|
//! | `open`, `lock` | the file, its schema, its connections, who has it open |
//! | [`backup`], [`check`] | what an operator does with the file: copy it, put it back, look at it |
//! | `sql` | every statement |
//! | `inbox` | deliveries, streams, events |
//! | `subjects` | wakes, claims, deadlines |
//! | `commit` | one step's commit |
//! | `effects`, `account` | what executors carry out, and the transactions that hold it |
//! | `capacity` | reservations, hostnames, manifests |
//! | [`seal`], [`reseal`] | what is encrypted in the file, and with which key |
//! | `policies` | versions of policy and prices |
//! | `retention` | old rows that nothing needs any more |
//! | `restored` | what is known of the time since a backup was put back |
//! | `reading`, `page` | orders, decisions, observations, audit |
//! | `watching` | deliveries, and subjects whose steps fail |
//! | `operator` | the funnel, maintenance, sessions, counts of what changed |
//! | `breaker` | teardowns that were too many at once |
//!
//! The one surprising fact: fences are not counted per subject but for the whole store. A subject can be forgotten and come
//! back, and a worker that slept through both must still find its fence too old.

mod account;
pub mod backup;
mod breaker;
mod capacity;
pub mod check;
mod columns;
mod commit;
mod effects;
mod error;
mod inbox;
mod lock;
mod open;
mod operator;
mod page;
mod policies;
mod reading;
pub mod reseal;
mod restored;
mod retention;
pub mod seal;
mod sql;
mod subjects;
mod waiting;
mod watching;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

pub use error::OpenError;
pub use open::{Migrated, Settings, Sqlite, migrate, schema_version};

use crate::{
    bidengine::Decision,
    domain::{Address, DeploymentId, Height, LeaseId, OrderId},
    provider::port::{
        AccountCommit, AccountWork, AuditLine, Backlog, Breaker, ChainIdentity, Changes, Claim,
        Commit, Committed, Content, Deadline, Delivery, DeliveryRow, Effect, EffectClaim,
        EffectReport, EventRow, FunnelRow, HostnameClaim, HostnamesMoved, Ingested, Loaded,
        Maintenance, ManifestRow, ManifestStored, NewPolicy, Observation, OrderFilter, OrderRow,
        Page, Plan, PolicyRow, PolicyStored, Reservations, Restore, Session, Spent, Store,
        StoreError, StreamChange, StreamRow, StreamState, StuckRow, Subject, Sweep, Swept, Totals,
        Transaction,
    },
};

#[async_trait]
impl Store for Sqlite {
    async fn chain_identity(&self) -> Result<Option<ChainIdentity>, StoreError> {
        self.read_identity().await.map_err(|failure| failure.while_doing("read the chain identity"))
    }

    async fn record_chain_identity(
        &self,
        identity: &ChainIdentity,
    ) -> Result<ChainIdentity, StoreError> {
        self.record_identity(identity)
            .await
            .map_err(|failure| failure.while_doing("record the chain identity"))
    }

    async fn ingest(
        &self,
        delivery: Delivery,
        content: Content,
        plan: Box<Plan>,
    ) -> Result<Ingested, StoreError> {
        self.ingest_delivery(delivery, content, plan)
            .await
            .map_err(|failure| failure.while_doing("commit a delivery"))
    }

    async fn stream(&self, name: &str) -> Result<Option<StreamRow>, StoreError> {
        self.read_stream(name).await.map_err(|failure| failure.while_doing("read a stream"))
    }

    async fn change_stream(
        &self,
        name: &str,
        change: &StreamChange<'_>,
    ) -> Result<StreamState, StoreError> {
        self.change_stream_state(name, change)
            .await
            .map_err(|failure| failure.while_doing("change a stream"))
    }

    async fn spend(
        &self,
        stream: &str,
        reads: u32,
        limit: u32,
        now: Timestamp,
    ) -> Result<Spent, StoreError> {
        self.spend_reads(stream, reads, limit, now)
            .await
            .map_err(|failure| failure.while_doing("spend a stream's reads"))
    }

    async fn events(&self, subject: &Subject, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.read_events(subject, limit)
            .await
            .map_err(|failure| failure.while_doing("read a subject's events"))
    }

    async fn wake(
        &self,
        subjects: &[Subject],
        hint: Option<Height>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.wake_subjects(subjects, hint, now)
            .await
            .map_err(|failure| failure.while_doing("wake subjects"))
    }

    async fn wake_due(&self, block_time: Timestamp) -> Result<u64, StoreError> {
        self.fire_deadlines(block_time)
            .await
            .map_err(|failure| failure.while_doing("wake subjects at their deadlines"))
    }

    async fn claim(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Loaded>, StoreError> {
        self.claim_subjects(worker, now, until, limit)
            .await
            .map_err(|failure| failure.while_doing("claim subjects"))
    }

    async fn commit(
        &self,
        claim: &Claim,
        now: Timestamp,
        commit: &Commit,
    ) -> Result<Committed, StoreError> {
        self.commit_step(claim, now, commit)
            .await
            .map_err(|failure| failure.while_doing("commit a step"))
    }

    async fn give_back(
        &self,
        claim: &Claim,
        retry_at: Timestamp,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        self.end_claim(claim, retry_at, error)
            .await
            .map_err(|failure| failure.while_doing("give back a claim"))
    }

    async fn forget(&self, claims: &[Claim]) -> Result<u64, StoreError> {
        self.forget_claimed(claims).await.map_err(|failure| failure.while_doing("forget subjects"))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.soonest().await.map_err(|failure| failure.while_doing("read what is due next"))
    }

    async fn wait_no_longer(&self, latest: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.shorten_waits(latest, now)
            .await
            .map_err(|failure| failure.while_doing("shorten waits"))
    }

    async fn subject_state(&self, subject: &Subject) -> Result<Option<Value>, StoreError> {
        self.read_state(subject)
            .await
            .map_err(|failure| failure.while_doing("read a subject's state"))
    }

    async fn claim_effects(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EffectClaim>, StoreError> {
        self.claim_cluster_effects(worker, now, until, limit)
            .await
            .map_err(|failure| failure.while_doing("claim effects"))
    }

    async fn report_effect(
        &self,
        claim: &EffectClaim,
        report: &EffectReport,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.report_cluster_effect(claim, report, now)
            .await
            .map_err(|failure| failure.while_doing("report an effect"))
    }

    async fn effects(&self, subject: &Subject) -> Result<Vec<Effect>, StoreError> {
        self.read_effects(subject).await.map_err(|failure| failure.while_doing("read effects"))
    }

    async fn account_work(
        &self,
        account: &Address,
        now: Timestamp,
    ) -> Result<Option<AccountWork>, StoreError> {
        self.read_account_work(account, now)
            .await
            .map_err(|failure| failure.while_doing("read an account's work"))
    }

    async fn commit_account(
        &self,
        account: &Address,
        wakes: u64,
        now: Timestamp,
        commit: &AccountCommit,
    ) -> Result<Vec<Transaction>, StoreError> {
        self.commit_sender(account, wakes, now, commit)
            .await
            .map_err(|failure| failure.while_doing("commit an account's step"))
    }

    async fn transactions(
        &self,
        unsettled_only: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Transaction>, StoreError> {
        self.read_transactions(unsettled_only, after, limit)
            .await
            .map_err(|failure| failure.while_doing("read transactions"))
    }

    async fn deliveries(
        &self,
        stream: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        self.read_deliveries(stream, after, limit)
            .await
            .map_err(|failure| failure.while_doing("read deliveries"))
    }

    async fn stuck(
        &self,
        failures: u32,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<StuckRow>, StoreError> {
        self.read_stuck(failures, after, limit)
            .await
            .map_err(|failure| failure.while_doing("read what is stuck"))
    }

    async fn try_now(&self, subject: &Subject, now: Timestamp) -> Result<bool, StoreError> {
        self.make_due(subject, now)
            .await
            .map_err(|failure| failure.while_doing("make a subject due"))
    }

    async fn reservations(&self) -> Result<Reservations, StoreError> {
        self.read_reservations()
            .await
            .map_err(|failure| failure.while_doing("read the reservations"))
    }

    async fn reservations_unless(&self, version: u64) -> Result<Option<Reservations>, StoreError> {
        self.read_reservations_unless(version)
            .await
            .map_err(|failure| failure.while_doing("read the reservations"))
    }

    async fn store_manifest(
        &self,
        manifest: &ManifestRow,
        leases: &[LeaseId],
        hostnames: &[HostnameClaim],
        now: Timestamp,
    ) -> Result<ManifestStored, StoreError> {
        self.accept_manifest(manifest, leases, hostnames, now)
            .await
            .map_err(|failure| failure.while_doing("store a manifest"))
    }

    async fn manifests(&self, deployment: &DeploymentId) -> Result<Vec<ManifestRow>, StoreError> {
        self.read_manifests(deployment)
            .await
            .map_err(|failure| failure.while_doing("read manifests"))
    }

    async fn manifest(
        &self,
        deployment: &DeploymentId,
        hash: &str,
    ) -> Result<Option<ManifestRow>, StoreError> {
        self.read_manifest(deployment, hash)
            .await
            .map_err(|failure| failure.while_doing("read a manifest"))
    }

    async fn hostnames(&self, lease: &LeaseId) -> Result<Vec<HostnameClaim>, StoreError> {
        self.read_hostnames(lease).await.map_err(|failure| failure.while_doing("read hostnames"))
    }

    async fn hostname_holders(
        &self,
        names: &[String],
    ) -> Result<Vec<(String, LeaseId)>, StoreError> {
        self.read_hostname_holders(names)
            .await
            .map_err(|failure| failure.while_doing("read who holds hostnames"))
    }

    async fn move_hostnames(
        &self,
        to: &LeaseId,
        claims: &[HostnameClaim],
        audit: &AuditLine,
        now: Timestamp,
    ) -> Result<HostnamesMoved, StoreError> {
        self.change_hostname_holder(to, claims, audit, now)
            .await
            .map_err(|failure| failure.while_doing("move hostnames"))
    }

    async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OrderRow>, StoreError> {
        self.read_orders(filter, after, limit)
            .await
            .map_err(|failure| failure.while_doing("read orders"))
    }

    async fn order(&self, id: &OrderId) -> Result<Option<OrderRow>, StoreError> {
        self.read_order(id).await.map_err(|failure| failure.while_doing("read an order"))
    }

    async fn decision(&self, order: &OrderId) -> Result<Option<Decision>, StoreError> {
        self.read_decision(order).await.map_err(|failure| failure.while_doing("read a decision"))
    }

    async fn order_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.count_orders().await.map_err(|failure| failure.while_doing("count orders"))
    }

    async fn deadlines(&self, limit: u32) -> Result<Vec<(Subject, Deadline)>, StoreError> {
        self.read_deadlines(limit).await.map_err(|failure| failure.while_doing("read deadlines"))
    }

    async fn funnel(&self, since: Timestamp, sample: u32) -> Result<Vec<FunnelRow>, StoreError> {
        self.read_funnel(since, sample)
            .await
            .map_err(|failure| failure.while_doing("read how far orders came"))
    }

    async fn totals(&self, since: Timestamp) -> Result<Totals, StoreError> {
        self.read_totals(since).await.map_err(|failure| failure.while_doing("read the totals"))
    }

    async fn backlog(&self, failures: u32, block_time: Timestamp) -> Result<Backlog, StoreError> {
        self.read_backlog(failures, block_time)
            .await
            .map_err(|failure| failure.while_doing("count what waits"))
    }

    async fn changes(&self) -> Result<Changes, StoreError> {
        self.read_changes().await.map_err(|failure| failure.while_doing("read what changed"))
    }

    async fn maintenance(&self) -> Result<Maintenance, StoreError> {
        self.read_maintenance()
            .await
            .map_err(|failure| failure.while_doing("read whether bids are wanted"))
    }

    async fn set_maintenance(
        &self,
        maintenance: &Maintenance,
        audit: &AuditLine,
        wake: &[Subject],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.keep_maintenance(maintenance, audit, wake, now)
            .await
            .map_err(|failure| failure.while_doing("keep whether bids are wanted"))
    }

    async fn breaker(&self) -> Result<Breaker, StoreError> {
        self.read_breaker().await.map_err(|failure| failure.while_doing("read the breaker"))
    }

    async fn teardowns_since(&self, since: Timestamp) -> Result<u64, StoreError> {
        self.count_teardowns(since)
            .await
            .map_err(|failure| failure.while_doing("count the teardowns"))
    }

    async fn hold_teardowns(
        &self,
        decided: u64,
        audit: &AuditLine,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.hold(decided, audit, now)
            .await
            .map_err(|failure| failure.while_doing("hold the teardowns"))
    }

    async fn agree_to_teardowns(
        &self,
        audit: &AuditLine,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.agree(audit, now).await.map_err(|failure| failure.while_doing("let teardowns go on"))
    }

    async fn open_session(
        &self,
        session: &Session,
        most: u32,
        audit: &AuditLine,
    ) -> Result<(), StoreError> {
        self.keep_session(session, most, audit)
            .await
            .map_err(|failure| failure.while_doing("open a session"))
    }

    async fn session(&self, digest: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        self.read_session(digest).await.map_err(|failure| failure.while_doing("read a session"))
    }

    async fn end_session(&self, digest: &[u8; 32], audit: &AuditLine) -> Result<bool, StoreError> {
        self.forget_session(digest, audit)
            .await
            .map_err(|failure| failure.while_doing("end a session"))
    }

    async fn observe(&self, observation: &Observation) -> Result<(), StoreError> {
        self.keep_observation(observation)
            .await
            .map_err(|failure| failure.while_doing("keep an observation"))
    }

    async fn observation(&self, key: &str) -> Result<Option<Observation>, StoreError> {
        self.read_observation(key)
            .await
            .map_err(|failure| failure.while_doing("read an observation"))
    }

    async fn audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        self.add_audit(lines).await.map_err(|failure| failure.while_doing("append to the audit"))
    }

    async fn audit_lines(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditLine>, StoreError> {
        self.read_audit(after, limit).await.map_err(|failure| failure.while_doing("read the audit"))
    }

    async fn policy_version(&self) -> Result<u64, StoreError> {
        self.read_policy_version()
            .await
            .map_err(|failure| failure.while_doing("read the policy's version"))
    }

    async fn newest_policy(&self, made_by: Option<&str>) -> Result<Option<PolicyRow>, StoreError> {
        self.read_newest_policy(made_by)
            .await
            .map_err(|failure| failure.while_doing("read the policy"))
    }

    async fn policies(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<PolicyRow>, StoreError> {
        self.read_policies(after, limit)
            .await
            .map_err(|failure| failure.while_doing("read the policy's versions"))
    }

    async fn put_policy(
        &self,
        seen: u64,
        new: &NewPolicy,
        now: Timestamp,
    ) -> Result<PolicyStored, StoreError> {
        self.add_policy(seen, new, now)
            .await
            .map_err(|failure| failure.while_doing("store a version of the policy"))
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        self.sweep_rows(sweep).await.map_err(|failure| failure.while_doing("remove old rows"))
    }

    async fn last_restore(&self) -> Result<Option<Restore>, StoreError> {
        self.read_restore().await.map_err(|failure| failure.while_doing("read the last restore"))
    }

    async fn change_restore(&self, restore: &Restore) -> Result<(), StoreError> {
        self.write_restore(restore)
            .await
            .map_err(|failure| failure.while_doing("write the state of a restore"))
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.check().await.map_err(|failure| failure.while_doing("check the store"))
    }
}
