//! The loop of steps: claim what is due, read the facts, let a pure function decide, commit; then carry out effects.
//!
//! [`Provider::step`] is one bounded pass. A server calls it whenever it is poked or something falls due; a scheduled
//! function calls it once per tick. Both find all they need in the rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Kind, Provider,
    deployment::{self, Advanced, DeploymentRecord, Facts},
    held::Held,
    hint::{next_of, soon},
    port::{Committed, LeaseStatus, Loaded, Subject, Tip},
    reconcile::ProviderRecord,
};
use crate::domain::{
    Bid, Deployment, DeploymentId, Height, Lease, LeaseId, Order, Payment, market::BlockTime,
};

/// How much one pass may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The most steps.
    pub steps: u32,
    /// No step begins after this moment of the host's clock.
    pub until: Timestamp,
}

/// What one pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Pass {
    /// Steps of deployments, streams and the provider.
    pub steps: u32,
    /// Steps that ended in an error and are to be tried again.
    pub failed: u32,
    /// Hints that were found to be of nothing on chain.
    pub forgotten: u32,
    /// Transactions that were signed or settled.
    pub transactions: u32,
    /// Cluster effects that were tried.
    pub cluster: u32,
    /// Whether nothing was due any more at the end.
    pub idle: bool,
}

/// Nothing is put off for longer, but for the pace at which an operator wants everything compared with the chain.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);
/// A clock that is set right by less has not gone back.
const CLOCK_SLACK_US: i64 = 1_000_000;
/// Subjects that are worked on at once.
const CONCURRENCY: usize = 16;
/// Subjects that are claimed at once.
const CLAIM: u32 = 64;
/// The newest block may have been read so long ago when a pass begins: a process that stays reads it about every second, and
/// an order is not to wait for that.
const TIP_OF_A_PASS: SignedDuration = SignedDuration::from_secs(2);
/// And so long ago when a deployment is decided on.
const TIP_OF_A_DECISION: SignedDuration = SignedDuration::from_millis(50);
/// How often reads that show different heights are repeated before the step gives up for now.
const SAME_HEIGHT_TRIES: u32 = 4;

impl Provider {
    /// Makes the provider's own subject known, so that it is reconciled; a store that knows it keeps its pace.
    pub async fn begin(&self, now: Timestamp) -> Result<(), Error> {
        let known = self.store.subject_state(&Subject::Provider).await?;
        let reconciled = known
            .and_then(|state| serde_json::from_value::<ProviderRecord>(state).ok())
            .and_then(|record| record.reconciled_at);
        let fresh =
            reconciled.is_some_and(|at| now.duration_since(at) < self.settings().reconcile_every);
        if !fresh {
            self.store.wake(&[Subject::Provider], None, now).await?;
        }
        Ok(())
    }

    /// Runs due steps and effects until nothing is due or the budget is used up.
    ///
    /// What was woken is worked on with the newest block that was seen a moment ago; before a pass says that nothing is due,
    /// it has asked the node.
    pub async fn step(&self, budget: Budget) -> Result<Pass, Error> {
        let mut pass = Pass::default();
        self.mind_the_clock().await?;
        if let Err(error) = self.follow_policy().await {
            tracing::error!(error = %error, "the policy could not be read; the one in force stays");
        }
        let mut asked = false;
        loop {
            let before = pass;
            let max_age = if asked { SignedDuration::ZERO } else { TIP_OF_A_PASS };
            match self.tip_within(max_age).await {
                Ok(tip) => {
                    self.look_at_restore(&tip).await?;
                    self.store.wake_due(tip.time).await?;
                    self.run_subjects(&tip, budget, &mut pass).await?;
                    pass.transactions += self.run_account(&tip).await?;
                    if asked {
                        self.keep_tip(&tip).await;
                        self.sweep(&tip).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the chain gives no answer; its steps wait");
                }
            }
            pass.cluster += self.run_workloads().await?;
            let did_nothing = Pass { idle: before.idle, ..pass } == before;
            if did_nothing && asked {
                pass.idle = true;
                return Ok(pass);
            }
            asked = did_nothing;
            if pass.steps >= budget.steps || self.clock.now() >= budget.until {
                return Ok(pass);
            }
        }
    }

    /// What a wrong clock put off must not wait until that time comes: at the first pass of a process, and whenever the clock
    /// went back since the pass before, nothing may wait longer than anything here ever does.
    async fn mind_the_clock(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let before = self.last_pass.swap(now.as_microsecond(), Ordering::Relaxed);
        if now.as_microsecond().saturating_add(CLOCK_SLACK_US) >= before {
            return Ok(());
        }
        let longest = self.settings().reconcile_every.max(LONGEST_WAIT);
        let latest = now.saturating_add(longest).unwrap_or(Timestamp::MAX);
        let shortened = self.store.wait_no_longer(latest, now).await?;
        if shortened > 0 {
            tracing::warn!(shortened, "the host's clock was ahead; what it put off is due now");
        }
        Ok(())
    }

    async fn run_subjects(&self, tip: &Tip, budget: Budget, pass: &mut Pass) -> Result<(), Error> {
        let settings = self.settings();
        while pass.steps < budget.steps && self.clock.now() < budget.until {
            let now = self.clock.now();
            let until = now.saturating_add(settings.claim_ttl).unwrap_or(Timestamp::MAX);
            let limit = CLAIM.min(budget.steps - pass.steps);
            let claimed = self.store.claim(&self.worker, now, until, limit).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            // Of a block above the one that we know, somebody knows more than we: the node is asked at once.
            let above = claimed.iter().any(|loaded| loaded.hint > Some(next_of(tip)));
            let newer = if above { self.look_at_tip().await.ok() } else { None };
            let tip = newer.as_ref().unwrap_or(tip);
            let (hints, proven): (Vec<Loaded>, Vec<Loaded>) =
                claimed.into_iter().partition(|loaded| loaded.hinted_by.is_some());
            let (true_hints, forgotten) = self.prove(hints, tip).await?;
            pass.forgotten += forgotten;
            let due = proven.into_iter().chain(true_hints);
            let outcomes: Vec<bool> = stream::iter(due)
                .map(|loaded| self.run_subject(loaded, tip))
                .buffer_unordered(CONCURRENCY)
                .collect()
                .await;
            pass.steps += u32::try_from(outcomes.len()).unwrap_or(u32::MAX) + forgotten;
            pass.failed +=
                u32::try_from(outcomes.iter().filter(|done| !**done).count()).unwrap_or(u32::MAX);
            // What was decided is sent before the next round of steps begins.
            pass.transactions += self.run_account(tip).await?;
        }
        Ok(())
    }

    /// One step. Returns whether it was carried out; if not, the subject is due again later.
    async fn run_subject(&self, loaded: Loaded, tip: &Tip) -> bool {
        let claim = loaded.claim.clone();
        let failures = loaded.failures;
        let done = match &claim.subject {
            Subject::Deployment(id) => self.run_deployment(id.clone(), loaded, tip).await,
            Subject::Provider => self.run_provider(loaded, tip).await,
            Subject::Stream(name) => self.run_stream(name.clone(), loaded, tip).await,
            Subject::Account(_) => Ok(()),
        };
        let Err(error) = done else { return true };
        tracing::warn!(subject = %claim.subject, error = %error, "a step is to be tried again");
        let retry_at =
            self.clock.now().saturating_add(back_off(failures)).unwrap_or(Timestamp::MAX);
        if let Err(error) = self.store.give_back(&claim, retry_at, Some(&error.to_string())).await {
            tracing::warn!(subject = %claim.subject, error = %error, "a claim could not be given back; it lapses");
        }
        false
    }

    // --------------------------------------------------------------------------------------------------- deployments

    async fn run_deployment(
        &self,
        id: DeploymentId,
        loaded: Loaded,
        tip: &Tip,
    ) -> Result<(), Error> {
        let settings = self.settings();
        let before: Option<DeploymentRecord> = match loaded.state.clone() {
            Some(state) => Some(serde_json::from_value(state).map_err(|error| {
                Error::new(
                    Kind::Bug,
                    "unreadable_state",
                    format!("the stored state of {id}: {error}"),
                )
            })?),
            None => None,
        };
        let mut facts = self.deployment_facts(&id, before.as_ref(), &loaded, tip).await?;
        // Of many that decide at once all but one would lose the comparison and decide again; so those of one process take
        // turns, each with the reservations as they are. What another process reserved meanwhile is found
        // by the comparison.
        let mut held = self.held.lock().await;
        if let Some(read) = self.store.reservations_unless(held.version()).await? {
            *held = Held::from(read);
        }
        facts.reservations = held.clone();
        loop {
            let Advanced { record, commit, unobserved, .. } =
                deployment::advance(before.clone(), &facts, &settings);
            match self.store.commit(&loaded.claim, self.clock.now(), &commit).await? {
                Committed::Done => {
                    held.follow(&commit);
                    self.tally.decided(&commit.decisions);
                    if let Some(stream) = &loaded.hinted_by
                        && deployment::tells_news(before.as_ref(), record.as_ref())
                    {
                        self.refund(stream).await;
                    }
                    if unobserved {
                        self.waits_for_inventory(id).await;
                    }
                    break;
                }
                Committed::Fenced => break,
                Committed::CapacityChanged(reservations) => {
                    *held = Held::from(reservations);
                    facts.reservations = held.clone();
                }
            }
        }
        Ok(())
    }

    async fn deployment_facts(
        &self,
        id: &DeploymentId,
        before: Option<&DeploymentRecord>,
        loaded: &Loaded,
        tip: &Tip,
    ) -> Result<Facts, Error> {
        let hint = loaded.hint.filter(|hint| *hint <= next_of(tip));
        let at_least =
            before.map_or(Height(0), |record| record.seen_at).max(hint.unwrap_or_default());
        let (chain, newest, registration, inventory) = tokio::join!(
            self.read_deployment(id, at_least),
            self.tip_within(TIP_OF_A_DECISION),
            self.registration(),
            self.inventory()
        );
        let read = chain?;
        // The time must not be younger than the state that is judged by it.
        let tip = newest.ok().filter(|newest| newest.height <= read.at).unwrap_or(tip.clone());
        let decides = before.is_none_or(|record| record.may_decide(&read.orders));
        let registration = match registration {
            Ok(registration) => Some((*registration).clone()),
            Err(error) if decides => return Err(error.into()),
            Err(_) => None,
        };
        let payments = if before.is_some_and(DeploymentRecord::may_be_owed) {
            self.payments(id, read.at).await
        } else {
            None
        };
        let restore = self.restore();
        let statuses = self.statuses(before, &read.leases, restore.map_or(0, |r| r.number)).await;
        let standing = self.standing().await?;
        let drift = match (before, &read.deployment) {
            (Some(record), Some(found)) => self.drift(record, &found.hash).await?,
            _ => BTreeMap::new(),
        };
        Ok(Facts {
            at: BlockTime { height: read.at, time: tip.time },
            deployment: read.deployment,
            orders: read.orders,
            bids: read.bids,
            leases: read.leases,
            payments,
            provider: self.address.clone(),
            registration,
            inventory,
            // Read when its turn comes.
            reservations: Held::default(),
            paused: standing.paused,
            is_maintained: standing.is_maintained,
            restore,
            statuses,
            manifests: loaded.manifests.clone(),
            hostnames: loaded.hostnames.clone(),
            drift,
            effects: loaded.effects.clone(),
            now: self.clock.now(),
            ahead: loaded.hint.is_some_and(|hint| hint > read.at && hint <= soon(&tip)),
        })
    }

    /// Reads a deployment's parts until they show one height: parts of different blocks could tell a won bid from a lost
    /// one the wrong way round.
    async fn read_deployment(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<DeploymentRead, Error> {
        let mut at_least = at_least;
        for _ in 0..SAME_HEIGHT_TRIES {
            let (deployment, orders, bids, leases) = tokio::try_join!(
                self.chain.deployment(id, at_least),
                self.chain.orders(id, at_least),
                self.chain.bids(id, at_least),
                self.chain.leases(id, at_least),
            )?;
            let heights = [deployment.at, orders.at, bids.at, leases.at];
            let lowest = deployment::lowest(heights);
            let highest = heights.into_iter().max().unwrap_or_default();
            if lowest == highest {
                return Ok(DeploymentRead {
                    at: lowest,
                    deployment: deployment.value,
                    orders: orders.value,
                    bids: bids.value,
                    leases: leases.value,
                });
            }
            at_least = highest;
        }
        Err(Error::new(
            Kind::Upstream,
            "chain_unavailable",
            format!("reads of {id} never showed one height"),
        ))
    }

    /// Without an answer a lease that has ended is looked at again; it holds nothing else up.
    async fn payments(&self, id: &DeploymentId, at_least: Height) -> Option<Vec<Payment>> {
        match self.chain.payments(id, at_least).await {
            Ok(seen) => Some(seen.value),
            Err(error) => {
                tracing::warn!(deployment = %id, error = %error, "payments could not be read");
                None
            }
        }
    }

    /// What runs for the leases of ours that may have something in the cluster: also those that are seen for the first time.
    async fn statuses(
        &self,
        before: Option<&DeploymentRecord>,
        on_chain: &[Lease],
        restore: u64,
    ) -> BTreeMap<LeaseId, Option<LeaseStatus>> {
        let is_known = |id: &LeaseId| {
            let order = before.and_then(|record| record.orders.get(&id.order));
            order.is_some_and(|order| order.lease.is_some())
        };
        let mut wanted: BTreeSet<LeaseId> = before
            .into_iter()
            .flat_map(|record| record.workloads(restore))
            .map(|lease| lease.id.clone())
            .collect();
        let ours = on_chain.iter().filter(|lease| lease.id.provider == self.address);
        let unknown = ours.filter(|lease| lease.state.is_running() && !is_known(&lease.id));
        wanted.extend(unknown.map(|lease| lease.id.clone()));
        // Collected first: a borrowing closure that is held over an await hides that the future is `Send`.
        let asked: Vec<_> = wanted
            .into_iter()
            .map(|lease| async {
                let answer = self.cluster.status(&lease).await;
                (lease, answer)
            })
            .collect();
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(4).collect().await;
        answers
            .into_iter()
            .filter_map(|(id, answer)| match answer {
                Ok(status) => Some((id, status)),
                Err(error) => {
                    tracing::warn!(lease.id = %id, error = %error, "the cluster gives no status");
                    None
                }
            })
            .collect()
    }
}

/// A deployment's parts at one height.
struct DeploymentRead {
    at: Height,
    deployment: Option<Deployment>,
    orders: Vec<Order>,
    bids: Vec<Bid>,
    leases: Vec<Lease>,
}

/// How long a subject waits after so many failures in a row: 100 ms, doubled up to a minute.
#[must_use]
pub fn back_off(failures: u32) -> SignedDuration {
    SignedDuration::from_millis(100_i64.saturating_mul(1 << failures.min(10)).min(60_000))
}
