//! What nothing but a stream's word stands behind: looked at by reads of the chain that are counted, or forgotten.
//!
//! That goes for what is known too: a deployment of ours that a stream names is looked at once for each block that is claimed,
//! and the stream pays for it, until the chain bears it out: what was true costs nothing, so that a busy market is not taken
//! for a liar. What is due on our own account (a deadline, a tenant's manifest, an effect's end) never waits.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;

use super::{
    Error, Provider,
    deployment::{self, DeploymentRecord},
    port::{ChainError, Loaded, Subject, Tip},
};
use crate::{
    bidengine::order::OrderPhase,
    domain::{BidState, DeploymentId, Height, OrderId},
};

/// Reads of the chain that looking at one deployment costs.
const READS_PER_DEPLOYMENT: u32 = 4;
/// Reads that comparing rows and chain costs, with those for the registration.
const READS_PER_COMPARISON: u32 = 9;
/// Reads that proving any number of hints by lists costs, while each list is one page.
const READS_PER_PROOF: u32 = 3;
/// So few unproven hints are looked at one by one, which is quicker than reading lists.
const PROVE_ALONE: usize = 8;
/// How long a hint waits when its stream has used up its reads.
const OUT_OF_READS: SignedDuration = SignedDuration::from_secs(5);
/// A claim on a block that is further than this above the tip is not waited for.
const HINT_SLACK: u64 = 20;
/// Reads that are taken from a stream's budget at once.
const PREPAID: u32 = 24;
/// How long reads that were taken may be used.
const PREPAID_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Reads that were taken from a stream's budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepaid {
    reads: u32,
    until: Timestamp,
}

impl Provider {
    /// Separates hints that are to be looked at from those of nothing, without letting a stream that lies cost more reads than
    /// its budget. What is known is looked at when it can say anything new. Of what is not known, few hints are looked at one
    /// by one; many are compared with three lists.
    pub(super) async fn prove(
        &self,
        hints: Vec<Loaded>,
        tip: &Tip,
    ) -> Result<(Vec<Loaded>, u32), Error> {
        let mut by_stream: BTreeMap<String, Vec<Loaded>> = BTreeMap::new();
        for loaded in hints {
            by_stream.entry(loaded.hinted_by.clone().unwrap_or_default()).or_default().push(loaded);
        }
        let mut proven = Vec::new();
        let mut forgotten = 0;
        for (name, hints) in by_stream {
            let limit =
                self.settings().streams.get(&name).map_or(300, |stream| stream.reads_per_minute);
            let now = self.clock.now();
            let (known, hints): (Vec<Loaded>, Vec<Loaded>) =
                hints.into_iter().partition(|hint| hint.state.is_some());
            proven.extend(self.worth_a_look(&name, known, tip, limit, now).await?);
            if hints.is_empty() {
                continue;
            }
            let alone =
                u32::try_from(hints.len()).unwrap_or(u32::MAX).saturating_mul(READS_PER_DEPLOYMENT);
            // Half of the budget is kept for lists, which prove any number of hints: a true order among lies is found.
            if hints.len() <= PROVE_ALONE && self.may_read(&name, alone, limit / 2, now).await? {
                proven.extend(hints);
            } else if self.store.spend(&name, READS_PER_PROOF, limit, now).await?.granted {
                match self.list_what_matters(&hints, tip).await {
                    Ok(listed) => {
                        let (found, lies) = self.compare(hints, &listed).await?;
                        proven.extend(found.into_iter().map(borne_out));
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

    /// Which known subjects are to be looked at. A claim about a block that was looked at already says nothing new.
    async fn worth_a_look(
        &self,
        stream: &str,
        known: Vec<Loaded>,
        tip: &Tip,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Loaded>, Error> {
        let (old, new): (Vec<Loaded>, Vec<Loaded>) = known
            .into_iter()
            .partition(|known| known.hint.is_some() && known.hint <= looked_at(known));
        let old: Vec<_> = old.into_iter().map(|known| known.claim).collect();
        self.store.forget(&old).await?;
        let mut worth = Vec::new();
        let mut new = new;
        if new.len() > PROVE_ALONE
            && self.store.spend(stream, READS_PER_PROOF, limit, now).await?.granted
        {
            match self.list_what_matters(&new, tip).await {
                Ok(listed) => {
                    let (shown, quiet): (Vec<Loaded>, Vec<Loaded>) =
                        new.into_iter().partition(|known| listed.shows_change_of(known));
                    worth.extend(shown.into_iter().map(borne_out));
                    new = quiet;
                }
                Err(error) => {
                    tracing::warn!(%stream, error = %error, "what a stream says could not be compared");
                }
            }
        }
        let mut later = Vec::new();
        for known in new {
            let reads = match known.claim.subject {
                Subject::Provider => READS_PER_COMPARISON,
                _ => READS_PER_DEPLOYMENT,
            };
            // A quarter is kept for the lists that find a true order among lies.
            if self.may_read(stream, reads, limit - limit / 4, now).await? {
                worth.push(known);
            } else {
                later.push(known);
            }
        }
        self.put_off(later, None).await?;
        Ok(worth)
    }

    /// Whether a stream may cost so many reads, out of those that were taken from its budget before where there are some.
    /// Taking many at once keeps a commit from standing before every order.
    async fn may_read(
        &self,
        stream: &str,
        reads: u32,
        limit: u32,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut prepaid = self.prepaid.lock().await;
        if let Some(held) = prepaid.get_mut(stream)
            && now < held.until
            && held.reads >= reads
        {
            held.reads -= reads;
            return Ok(true);
        }
        // What is left at the end of a minute could be used in the next, so it counts against every minute.
        let limit = limit.saturating_sub(PREPAID);
        let many = reads.max(PREPAID);
        if self.store.spend(stream, many, limit, now).await?.granted {
            let until = now.saturating_add(PREPAID_FOR).unwrap_or(Timestamp::MAX);
            prepaid.insert(stream.to_owned(), Prepaid { reads: many - reads, until });
            return Ok(true);
        }
        prepaid.remove(stream);
        Ok(self.store.spend(stream, reads, limit, now).await?.granted)
    }

    /// Lets hints wait that cannot be proven now.
    pub(super) async fn put_off(
        &self,
        hints: Vec<Loaded>,
        error: Option<&str>,
    ) -> Result<(), Error> {
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
        let at = deployment::lowest([orders.at, bids.at, leases.at]);
        Ok(Listed {
            open: orders.value.into_iter().map(|order| order.id).collect(),
            bids: bids.value.into_iter().map(|bid| bid.id.order).collect(),
            leases: leases.value.into_iter().map(|lease| lease.id.order).collect(),
            at,
        })
    }

    /// Gives a stream back what a look cost that showed its word to be true.
    pub(super) async fn refund(&self, stream: &str) {
        if let Some(held) = self.prepaid.lock().await.get_mut(stream) {
            held.reads = held.reads.saturating_add(READS_PER_DEPLOYMENT).min(PREPAID);
        }
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
                Subject::Deployment(id) => listed.names(id),
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
}

/// Open orders, and the orders that we have an open bid on or a lease of, as of one height.
struct Listed {
    open: BTreeSet<OrderId>,
    bids: BTreeSet<OrderId>,
    leases: BTreeSet<OrderId>,
    at: Height,
}

impl Listed {
    /// Whether anything of a deployment is in the lists.
    fn names(&self, id: &DeploymentId) -> bool {
        [&self.open, &self.bids, &self.leases]
            .into_iter()
            .any(|listed| listed.iter().any(|order| order.deployment() == id))
    }

    /// Whether the lists and the rows of a known deployment tell of different things. A change that stands in no list, such
    /// as another hash, is not seen here.
    fn shows_change_of(&self, known: &Loaded) -> bool {
        let (Subject::Deployment(id), Some(state)) = (&known.claim.subject, &known.state) else {
            return false;
        };
        let Ok(record) = DeploymentRecord::deserialize(state) else { return true };
        let of_another = |order: &&OrderId| !record.orders.contains_key(*order);
        self.open.iter().filter(|order| order.deployment() == id).any(|order| of_another(&order))
            || record.orders.values().any(|order| {
                let (open, bid, lease) = (
                    self.open.contains(&order.id),
                    self.bids.contains(&order.id),
                    self.leases.contains(&order.id),
                );
                match order.phase {
                    OrderPhase::Seen | OrderPhase::Declined => !open || lease,
                    OrderPhase::Bidding => bid || lease || !open,
                    OrderPhase::Open { .. } | OrderPhase::CloseWanted { .. } => !bid || lease,
                    OrderPhase::Won => {
                        let runs =
                            order.lease.as_ref().is_some_and(|lease| lease.state.is_running());
                        runs != lease
                    }
                    OrderPhase::Lost | OrderPhase::Done => bid || lease,
                }
            })
    }
}

/// A hint that the chain itself bears out is nobody's word any more, and nobody pays for it.
fn borne_out(hint: Loaded) -> Loaded {
    Loaded { hinted_by: None, ..hint }
}

/// The height that the last look at a known subject showed.
fn looked_at(known: &Loaded) -> Option<Height> {
    let name = match known.claim.subject {
        Subject::Provider => "reconciled_height",
        _ => "seen_at",
    };
    known.state.as_ref()?.get(name)?.as_u64().map(Height)
}

/// The highest block that a read may ask for: the tip was read a moment ago. A claim about a higher one must not keep a
/// step from what the node has.
pub(super) fn next_of(tip: &Tip) -> Height {
    Height(tip.height.0.saturating_add(1))
}

/// The highest block that a claim is waited for: a node that is further behind is not one to wait for.
pub(super) fn soon(tip: &Tip) -> Height {
    Height(tip.height.0.saturating_add(HINT_SLACK))
}
