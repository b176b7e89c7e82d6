//! The loop of steps: claim what is due, read the facts, let a pure function decide, commit; then carry out effects.
//!
//! [`Provider::step`] is one bounded pass. A server calls it whenever it is poked or something falls due; a scheduled
//! function calls it once per tick. Both find all they need in the rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Kind, Provider,
    deployment::{self, Advanced, DeploymentRecord, Facts, Registration},
    port::{
        ChainError, ChainErrorKind, Committed, Loaded, Observation, Reservations, Subject, Tip,
    },
    reconcile::ProviderRecord,
};
use crate::{
    bidengine::ObservedInventory,
    domain::{
        Bid, BidState, Deployment, DeploymentId, Height, Lease, Order, inventory::Inventory,
        market::BlockTime,
    },
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

/// Subjects that are worked on at once.
const CONCURRENCY: usize = 16;
/// Subjects that are claimed at once.
const CLAIM: u32 = 64;
/// Reads of the chain that looking at one deployment costs.
const READS_PER_DEPLOYMENT: u32 = 4;
/// Reads that proving any number of hints by lists costs, while each list is one page.
const READS_PER_PROOF: u32 = 3;
/// So few unproven hints are looked at one by one, which is quicker than reading lists.
const PROVE_ALONE: usize = 8;
/// How long a hint waits when its stream has used up its reads.
const OUT_OF_READS: SignedDuration = SignedDuration::from_secs(5);
/// A claim on a block that is further than this above the tip is not waited for.
const HINT_SLACK: u64 = 20;
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
    pub async fn step(&self, budget: Budget) -> Result<Pass, Error> {
        let mut pass = Pass::default();
        loop {
            let before = pass;
            let tip = self.look_at_tip().await;
            match &tip {
                Ok(tip) => {
                    self.store.wake_due(tip.time).await?;
                    self.run_subjects(tip, budget, &mut pass).await?;
                    pass.transactions += self.run_account(tip).await?;
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the chain gives no answer; its steps wait");
                }
            }
            pass.cluster += self.run_workloads().await?;
            let did_nothing = Pass { idle: before.idle, ..pass } == before;
            if did_nothing {
                pass.idle = true;
                return Ok(pass);
            }
            if pass.steps >= budget.steps || self.clock.now() >= budget.until {
                return Ok(pass);
            }
        }
    }

    /// Reads the node's newest block, checks that it is the chain of this store, and keeps it as an observation.
    pub async fn look_at_tip(&self) -> Result<Tip, ChainError> {
        let tip = self.chain.tip().await?;
        if tip.catching_up {
            return Err(ChainError {
                doing: "read the node's newest block",
                detail: format!("the node is catching up at height {}", tip.height),
                kind: ChainErrorKind::Behind,
            });
        }
        self.check_identity().await?;
        let observation = Observation {
            key: "tip".to_owned(),
            taken_at: self.clock.now(),
            body: serde_json::to_value(&tip).unwrap_or_default(),
        };
        if let Err(error) = self.store.observe(&observation).await {
            tracing::warn!(error = %error, "the tip could not be kept");
        }
        Ok(tip)
    }

    async fn check_identity(&self) -> Result<(), ChainError> {
        self.identity
            .get_or_try_init(|| async {
                let refused = |detail: String| ChainError { doing: "compare the chain", detail, kind: ChainErrorKind::OtherChain };
                let found = self.chain.identity().await?;
                let recorded = self
                    .store
                    .record_chain_identity(&found)
                    .await
                    .map_err(|error| ChainError { doing: "compare the chain", detail: error.to_string(), kind: ChainErrorKind::Unavailable })?;
                if recorded == found {
                    Ok(())
                } else {
                    Err(refused(format!(
                        "the store belongs to {} with first block {}, the node answers for {} with {}; use the node of that chain, or another store",
                        recorded.chain_id, recorded.first_block_hash, found.chain_id, found.first_block_hash
                    )))
                }
            })
            .await
            .copied()
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
            let (unproven, proven): (Vec<Loaded>, Vec<Loaded>) = claimed
                .into_iter()
                .partition(|loaded| loaded.state.is_none() && loaded.hinted_by.is_some());
            let (true_hints, forgotten) = self.prove(unproven, tip).await?;
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

    // ---------------------------------------------------------------------------------------------- hints and proofs

    /// Separates hints of something that is on chain and matters from those of nothing, without letting a stream that
    /// lies cost more reads than its budget. Few hints are looked at one by one; many are compared with three lists.
    async fn prove(&self, unproven: Vec<Loaded>, tip: &Tip) -> Result<(Vec<Loaded>, u32), Error> {
        let mut by_stream: BTreeMap<String, Vec<Loaded>> = BTreeMap::new();
        for loaded in unproven {
            by_stream.entry(loaded.hinted_by.clone().unwrap_or_default()).or_default().push(loaded);
        }
        let mut proven = Vec::new();
        let mut forgotten = 0;
        for (name, hints) in by_stream {
            let limit =
                self.settings().streams.get(&name).map_or(300, |stream| stream.reads_per_minute);
            let now = self.clock.now();
            let alone =
                u32::try_from(hints.len()).unwrap_or(u32::MAX).saturating_mul(READS_PER_DEPLOYMENT);
            // Half of the budget is kept for lists, which prove any number of hints: a true order among lies is found.
            if hints.len() <= PROVE_ALONE
                && self.store.spend(&name, alone, limit / 2, now).await?.granted
            {
                proven.extend(hints);
            } else if self.store.spend(&name, READS_PER_PROOF, limit, now).await?.granted {
                match self.list_what_matters(&hints, tip).await {
                    Ok(listed) => {
                        let (found, lies) = self.compare(hints, &listed).await?;
                        proven.extend(found);
                        forgotten += lies;
                    }
                    Err(error) => {
                        tracing::warn!(stream = %name, error = %error, "hints are to be proven again");
                        self.put_off(hints, Some(&error.to_string())).await?;
                    }
                }
            } else {
                self.put_off(hints, None).await?;
            }
        }
        Ok((proven, forgotten))
    }

    /// Lets hints wait that cannot be proven now.
    async fn put_off(&self, hints: Vec<Loaded>, error: Option<&str>) -> Result<(), Error> {
        let retry_at = self.clock.now().saturating_add(OUT_OF_READS).unwrap_or(Timestamp::MAX);
        for hint in hints {
            self.store.give_back(&hint.claim, retry_at, error).await?;
        }
        Ok(())
    }

    async fn list_what_matters(&self, hints: &[Loaded], tip: &Tip) -> Result<Listed, ChainError> {
        let at_least = hints
            .iter()
            .filter_map(|hint| hint.hint)
            .filter(|hint| *hint <= next_of(tip))
            .max()
            .unwrap_or(tip.height);
        let orders = self.chain.open_orders(at_least).await?;
        let bids = self.chain.provider_bids(&self.address, BidState::Open, at_least).await?;
        let leases = self.chain.provider_leases(&self.address, at_least).await?;
        let mut matters: BTreeSet<DeploymentId> =
            orders.value.iter().map(|order| order.id.deployment().clone()).collect();
        matters.extend(bids.value.iter().map(|bid| bid.id.order.deployment().clone()));
        matters.extend(leases.value.iter().map(|lease| lease.id.deployment().clone()));
        Ok(Listed { matters, at: deployment::lowest([orders.at, bids.at, leases.at]) })
    }

    async fn compare(
        &self,
        hints: Vec<Loaded>,
        listed: &Listed,
    ) -> Result<(Vec<Loaded>, u32), Error> {
        let mut found = Vec::new();
        let mut early = Vec::new();
        let mut lies = Vec::new();
        for hint in hints {
            let matters = match &hint.claim.subject {
                Subject::Deployment(id) => listed.matters.contains(id),
                _ => true,
            };
            if matters {
                found.push(hint);
            } else if hint.hint.is_some_and(|height| height > listed.at) {
                // It claims a block that we have not seen: it waits for the tip.
                early.push(hint);
            } else {
                lies.push(hint.claim);
            }
        }
        self.put_off(early, None).await?;
        let forgotten = self.store.forget(&lies).await?;
        Ok((found, u32::try_from(forgotten).unwrap_or(u32::MAX)))
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
        if before.is_none() && loaded.hint.is_some_and(|hint| hint > next_of(tip)) {
            // Nothing is known of it but a claim about a block above the tip: it waits, and stays a mere hint.
            return self.put_off(vec![loaded], None).await;
        }
        let mut facts = self.deployment_facts(&id, before.as_ref(), &loaded, tip).await?;
        loop {
            let Advanced { commit, .. } = deployment::advance(before.clone(), &facts, &settings);
            match self.store.commit(&loaded.claim, self.clock.now(), &commit).await? {
                Committed::Done | Committed::Fenced => break,
                Committed::CapacityChanged(reservations) => facts.reservations = reservations,
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
        let (chain, registration, inventory) = tokio::join!(
            self.read_deployment(id, at_least),
            self.registration(tip),
            self.inventory()
        );
        let read = chain?;
        let decides = before.is_none_or(|record| record.may_decide(&read.orders));
        let registration = match registration {
            Ok(registration) => Some((*registration).clone()),
            Err(error) if decides => return Err(error.into()),
            Err(_) => None,
        };
        let statuses = match before {
            Some(record) => self.statuses(record).await,
            None => BTreeMap::new(),
        };
        Ok(Facts {
            at: BlockTime { height: read.at, time: tip.time },
            deployment: read.deployment,
            orders: read.orders,
            bids: read.bids,
            leases: read.leases,
            provider: self.address.clone(),
            registration,
            inventory,
            reservations: if decides || before.is_some() {
                self.store.reservations().await?
            } else {
                Reservations::default()
            },
            paused: self.paused().await?,
            statuses,
            manifests: loaded.manifests.iter().map(|manifest| manifest.hash.clone()).collect(),
            effects: loaded.effects.clone(),
            now: self.clock.now(),
            ahead: loaded.hint.is_some_and(|hint| hint > read.at && hint <= soon(tip)),
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

    /// Why bidding is paused, if it is.
    async fn paused(&self) -> Result<Option<String>, Error> {
        let found = self.store.observation("maintenance").await?;
        Ok(found.and_then(|observation| {
            observation.body.get("paused").and_then(serde_json::Value::as_str).map(str::to_owned)
        }))
    }

    async fn statuses(
        &self,
        record: &DeploymentRecord,
    ) -> BTreeMap<crate::domain::LeaseId, Option<super::port::LeaseStatus>> {
        // Collected first: a borrowing closure that is held over an await hides that the future is `Send`.
        let asked: Vec<_> = record
            .workloads()
            .map(|lease| async { (lease.id.clone(), self.cluster.status(&lease.id).await) })
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

    // ------------------------------------------------------------------------------------------------- observations

    /// What the chain holds of us, at most [`super::Settings::registration_max_age`] old.
    pub async fn registration(&self, tip: &Tip) -> Result<Arc<Registration>, ChainError> {
        let max_age = self.settings().registration_max_age;
        let mut held = self.registration.lock().await;
        let now = self.clock.now();
        if let Some((taken_at, registration)) = held.as_ref()
            && now.duration_since(*taken_at) < max_age
        {
            return Ok(registration.clone());
        }
        let at = Height(0);
        let _ = tip;
        let (provider, audited, balances, market, open, leases) = tokio::try_join!(
            self.chain.provider(&self.address, at),
            self.chain.audited_attributes(&self.address, at),
            self.chain.balances(&self.address, at),
            self.chain.market_params(at),
            self.chain.provider_bids(&self.address, BidState::Open, at),
            self.chain.provider_leases(&self.address, at),
        )?;
        let registration = Arc::new(Registration {
            at: deployment::lowest([
                provider.at,
                audited.at,
                balances.at,
                market.at,
                open.at,
                leases.at,
            ]),
            provider: provider.value,
            audited: audited.value,
            balances: balances.value,
            market: market.value,
            open_bids: u32::try_from(open.value.len()).unwrap_or(u32::MAX),
            leases: u32::try_from(leases.value.len()).unwrap_or(u32::MAX),
        });
        *held = Some((now, registration.clone()));
        let observation = Observation {
            key: "registration".to_owned(),
            taken_at: now,
            body: serde_json::to_value(registration.as_ref()).unwrap_or_default(),
        };
        if let Err(error) = self.store.observe(&observation).await {
            tracing::warn!(error = %error, "the registration could not be kept");
        }
        Ok(registration)
    }

    /// Makes the next decision read the registration again: the chain said that it changed.
    pub async fn forget_registration(&self) {
        *self.registration.lock().await = None;
    }

    /// The cluster's inventory: the stored one while it is young, else asked for.
    pub async fn inventory(&self) -> ObservedInventory {
        let max_age = self.settings().inventory_max_age;
        let _one_at_a_time = self.inventory_read.lock().await;
        let now = self.clock.now();
        let stored = self.store.observation("inventory").await.ok().flatten();
        let stored = stored.and_then(|found| {
            serde_json::from_value::<Inventory>(found.body)
                .ok()
                .map(|inventory| (found.taken_at, inventory))
        });
        if let Some((taken_at, inventory)) = &stored
            && now.duration_since(*taken_at) < max_age
        {
            return ObservedInventory::Young { inventory: inventory.clone(), taken_at: *taken_at };
        }
        match self.cluster.inventory().await {
            Ok(inventory) => {
                let observation = Observation {
                    key: "inventory".to_owned(),
                    taken_at: now,
                    body: serde_json::to_value(&inventory).unwrap_or_default(),
                };
                if let Err(error) = self.store.observe(&observation).await {
                    tracing::warn!(error = %error, "the inventory could not be kept");
                }
                ObservedInventory::Young { inventory, taken_at: now }
            }
            Err(error) => {
                tracing::warn!(error = %error, "the cluster gives no inventory");
                match stored {
                    Some((taken_at, _)) => ObservedInventory::TooOld {
                        taken_at,
                        max_age_s: u64::try_from(max_age.as_secs()).unwrap_or(0),
                    },
                    None => ObservedInventory::Missing,
                }
            }
        }
    }
}

/// Deployments with an open order, or with a bid or lease of ours, as of one height.
struct Listed {
    matters: BTreeSet<DeploymentId>,
    at: Height,
}

/// A deployment's parts at one height.
struct DeploymentRead {
    at: Height,
    deployment: Option<Deployment>,
    orders: Vec<Order>,
    bids: Vec<Bid>,
    leases: Vec<Lease>,
}

/// The highest block that a read may ask for: the tip was read a moment ago. A claim about a higher one must not keep a
/// step from what the node has.
fn next_of(tip: &Tip) -> Height {
    Height(tip.height.0.saturating_add(1))
}

/// The highest block that a claim is waited for: a node that is further behind is not one to wait for.
fn soon(tip: &Tip) -> Height {
    Height(tip.height.0.saturating_add(HINT_SLACK))
}

/// How long a subject waits after so many failures in a row: 100 ms, doubled up to a minute.
#[must_use]
pub fn back_off(failures: u32) -> SignedDuration {
    SignedDuration::from_millis(100_i64.saturating_mul(1 << failures.min(10)).min(60_000))
}
