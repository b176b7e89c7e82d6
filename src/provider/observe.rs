//! What was seen of chain and cluster, and when: the newest block, the provider's own registration, the inventory.
//!
//! Each is kept as an observation, for pages and for other processes. The one surprising fact: nothing here is asked for
//! twice at the same time; who comes second takes the first one's answer.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    Provider,
    deployment::{self, Registration},
    port::{ChainError, ChainErrorKind, Observation, Subject, Tip},
};
use crate::{
    bidengine::ObservedInventory,
    domain::{DeploymentId, Height, inventory::Inventory},
};

/// An unchanged tip is written down again after so long, so that a standing chain and a silent node look different.
const TIP_KEPT: SignedDuration = SignedDuration::from_secs(10);
/// A cluster that gave no inventory is asked again after so long, however many steps want it.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// A cluster that gives no inventory, and who waits for it. In memory alone: what waits also wakes by itself.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// When it was asked last without an answer; `None` while it answers.
    asked_at: Option<Timestamp>,
    waiting: BTreeSet<DeploymentId>,
}

impl Provider {
    /// Reads the node's newest block, checks that it is the chain of this store, and keeps it as an observation.
    pub async fn look_at_tip(&self) -> Result<Tip, ChainError> {
        self.tip_within(SignedDuration::ZERO).await
    }

    /// The newest block, as it was at most `max_age` ago.
    pub(super) async fn tip_within(&self, max_age: SignedDuration) -> Result<Tip, ChainError> {
        let mut held = self.tip.lock().await;
        let now = self.clock.now();
        let before = held.take();
        if let Some((taken_at, tip)) = &before
            && now.duration_since(*taken_at).abs() < max_age
        {
            let tip = tip.clone();
            *held = before;
            return Ok(tip);
        }
        let tip = self.chain.tip().await?;
        if tip.catching_up {
            return Err(ChainError {
                doing: "read the node's newest block",
                detail: format!("the node is catching up at height {}", tip.height),
                kind: ChainErrorKind::Behind,
            });
        }
        self.check_identity().await?;
        self.sighting(&tip, now).await;
        *held = Some((now, tip.clone()));
        Ok(tip)
    }

    /// Keeps the newest block as an observation, if it is another than the one that was kept, or that was long ago.
    pub(super) async fn keep_tip(&self, tip: &Tip) {
        let now = self.clock.now();
        let sighting = self.sighting(tip, now).await;
        let observation = Observation {
            key: "tip".to_owned(),
            taken_at: now,
            body: serde_json::to_value(&sighting).unwrap_or_default(),
        };
        let kept = self.store.observation(&observation.key).await.ok().flatten();
        let is_known = kept.is_some_and(|kept| {
            let age = observation.taken_at.duration_since(kept.taken_at);
            kept.body == observation.body && age.abs() < TIP_KEPT
        });
        if !is_known && let Err(error) = self.store.observe(&observation).await {
            tracing::warn!(error = %error, "the tip could not be kept");
        }
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
                    return Ok(());
                }
                if recorded.chain_id == found.chain_id {
                    // The earliest block of a node that prunes moves: what counts is the block that was recorded.
                    match self.chain.block_hash(recorded.first_block_height).await? {
                        Some(hash) if hash == recorded.first_block_hash => return Ok(()),
                        Some(_) => {}
                        None => {
                            tracing::warn!(
                                chain = %recorded.chain_id,
                                height = %recorded.first_block_height,
                                "the node does not have the block that the store knows the chain by: only the chain's name was compared"
                            );
                            return Ok(());
                        }
                    }
                }
                Err(refused(format!(
                    "the store belongs to {} with block {} {}, the node answers for {} with {}; use the node of that chain, or another store",
                    recorded.chain_id,
                    recorded.first_block_height,
                    recorded.first_block_hash,
                    found.chain_id,
                    found.first_block_hash
                )))
            })
            .await
            .copied()
    }

    /// Asks ahead of time for what an order would have to wait for. Of use to a process that stays.
    pub async fn keep_warm(&self) {
        let settings = self.settings();
        if let Err(error) = self.registration_within(settings.registration_max_age / 2).await {
            tracing::debug!(error = %error, "the registration could not be read ahead of time");
        }
        self.inventory_within(settings.inventory_max_age / 2).await;
    }

    /// What the chain holds of us, at most [`super::Settings::registration_max_age`] old.
    pub async fn registration(&self) -> Result<Arc<Registration>, ChainError> {
        self.registration_within(self.settings().registration_max_age).await
    }

    async fn registration_within(
        &self,
        max_age: SignedDuration,
    ) -> Result<Arc<Registration>, ChainError> {
        let mut held = self.registration.lock().await;
        let now = self.clock.now();
        if let Some((taken_at, registration)) = held.as_ref()
            && now.duration_since(*taken_at).abs() < max_age
        {
            return Ok(registration.clone());
        }
        // Not below the block that this process has seen; the node's newest where it has seen none.
        let at = self.tip.lock().await.as_ref().map_or(Height(0), |(_, tip)| tip.height);
        let (provider, audited, balances, market) = tokio::try_join!(
            self.chain.provider(&self.address, at),
            self.chain.audited_attributes(&self.address, at),
            self.chain.balances(&self.address, at),
            self.chain.market_params(at),
        )?;
        let registration = Arc::new(Registration {
            at: deployment::lowest([provider.at, audited.at, balances.at, market.at]),
            taken_at: now,
            provider: provider.value,
            audited: audited.value,
            balances: balances.value,
            market: market.value,
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
        self.inventory_within(self.settings().inventory_max_age).await
    }

    async fn inventory_within(&self, max_age: SignedDuration) -> ObservedInventory {
        let mut outage = self.inventory_read.lock().await;
        let now = self.clock.now();
        let stored = self.store.observation("inventory").await.ok().flatten();
        let stored = stored.and_then(|found| {
            serde_json::from_value::<Inventory>(found.body)
                .ok()
                .map(|inventory| (found.taken_at, inventory))
        });
        if let Some((taken_at, inventory)) = &stored
            && now.duration_since(*taken_at).abs() < max_age
        {
            return ObservedInventory::Young { inventory: inventory.clone(), taken_at: *taken_at };
        }
        let too_old = stored.map_or(ObservedInventory::Missing, |(taken_at, _)| {
            ObservedInventory::TooOld { taken_at }
        });
        if outage.asked_at.is_some_and(|at| now.duration_since(at).abs() < ASK_AGAIN) {
            return too_old;
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
                self.end_outage(&mut outage, now).await;
                ObservedInventory::Young { inventory, taken_at: now }
            }
            Err(error) => {
                if outage.asked_at.is_none() {
                    tracing::warn!(error = %error, "the cluster gives no inventory");
                }
                outage.asked_at = Some(now);
                too_old
            }
        }
    }

    /// The cluster answers again: whoever waited for that is woken.
    async fn end_outage(&self, outage: &mut Outage, now: Timestamp) {
        if outage.asked_at.take().is_none() {
            return;
        }
        let waiting = std::mem::take(&mut outage.waiting);
        tracing::info!(waiting = waiting.len(), "the cluster gives its inventory again");
        let waiting: Vec<Subject> = waiting.into_iter().map(Subject::Deployment).collect();
        if let Err(error) = self.store.wake(&waiting, None, now).await {
            tracing::warn!(error = %error, "who waits for the inventory could not be woken");
        }
    }

    /// A deployment's step could not end for want of an inventory.
    pub(super) async fn waits_for_inventory(&self, id: DeploymentId) {
        let mut outage = self.inventory_read.lock().await;
        if outage.asked_at.is_some() {
            outage.waiting.insert(id);
        }
    }
}
