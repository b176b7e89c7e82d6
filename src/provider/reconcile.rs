//! The provider's own step: its registration is read anew, and open orders, own bids and own leases are compared with
//! the rows, whatever the streams say. Every difference wakes a deployment, whose step decides.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Error, Provider,
    port::{Commit, Loaded, OrderFilter, OrderRow, Subject, Tip},
};
use crate::domain::{BidState, DeploymentId, Height, OrderId};

/// How soon rows and chain are compared again while a restore waits for it.
const COMPARE_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// What the provider's subject keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProviderRecord {
    /// When rows and chain were compared last, by the host's clock.
    pub reconciled_at: Option<Timestamp>,
    /// At which height.
    pub reconciled_height: Height,
    /// How many deployments were woken by that comparison.
    pub differences: u64,
}

impl Provider {
    pub(super) async fn run_provider(&self, loaded: Loaded, tip: &Tip) -> Result<(), Error> {
        self.forget_registration().await;
        // Where no order comes, nobody else would notice that the cluster is silent.
        let (registration, _) = tokio::join!(self.registration(), self.inventory());
        registration?;
        let Compared { different, undecided, alive } = self.compare_with_chain(tip).await?;
        let settled = self.settle_restore(tip, &alive, different.is_empty()).await?;
        let now = self.clock.now();
        let differences = different.len() + undecided.len();
        let mut wake = different;
        let pace = if settled {
            wake.extend(undecided);
            self.settings().reconcile_every
        } else {
            COMPARE_AGAIN
        };
        let record = ProviderRecord {
            reconciled_at: Some(now),
            reconciled_height: tip.height,
            differences: u64::try_from(differences).unwrap_or(u64::MAX),
        };
        let commit = Commit {
            state: Some(serde_json::to_value(&record).unwrap_or_default()),
            wake: wake.into_iter().map(Subject::Deployment).chain(self.streams()).collect(),
            // When a window ends, what was declined for it is decided on again.
            wake_at: now.checked_add(pace).ok().into_iter().chain(self.next_window_change()).min(),
            ..Commit::default()
        };
        self.store.commit(&loaded.claim, now, &commit).await?;
        Ok(())
    }

    /// The streams that are taken, each of which looks whether it is still heard.
    fn streams(&self) -> Vec<Subject> {
        let settings = self.settings();
        let taken = settings.streams.iter().filter(|(_, stream)| !stream.deleted);
        taken.map(|(name, _)| Subject::Stream(name.clone())).collect()
    }

    /// Compares the rows with three lists of the chain.
    async fn compare_with_chain(&self, tip: &Tip) -> Result<Compared, Error> {
        let (orders, bids, leases) = tokio::try_join!(
            self.chain.open_orders(tip.height),
            self.chain.provider_bids(&self.address, BidState::Open, tip.height),
            self.chain.provider_leases(&self.address, tip.height),
        )?;
        let mut different = BTreeSet::new();
        let mut undecided = BTreeSet::new();
        for order in &orders.value {
            let known = self.store.order(&order.id).await?;
            // A declined order may fit by now: its step looks at how old the decision is.
            if known.is_none_or(|row| row.phase == "seen" || row.phase == "declined") {
                undecided.insert(order.id.deployment().clone());
            }
        }
        let open: BTreeSet<_> = bids.value.iter().map(|bid| bid.id.order.clone()).collect();
        let running: BTreeSet<_> =
            leases.value.iter().map(|lease| lease.id.order.clone()).collect();
        for id in open.iter().chain(&running) {
            let known = self.store.order(id).await?;
            if known.is_none_or(|row| !agrees(&row, open.contains(id), running.contains(id))) {
                different.insert(id.deployment().clone());
            }
        }
        // The other way round: what the rows hold as alive and the chain does not show.
        for filter in [
            OrderFilter {
                bid: Some(Some(BidState::Open.as_str().to_owned())),
                ..OrderFilter::default()
            },
            OrderFilter { lease: Some(Some("active".to_owned())), ..OrderFilter::default() },
            OrderFilter { lease: Some(Some("reclaiming".to_owned())), ..OrderFilter::default() },
        ] {
            let mut after = None;
            loop {
                let page = self.store.orders(&filter, after.as_deref(), 500).await?;
                for row in &page.rows {
                    if !agrees(row, open.contains(&row.id), running.contains(&row.id)) {
                        different.insert(row.id.deployment().clone());
                    }
                }
                let Some(next) = page.next else { break };
                after = Some(next);
            }
        }
        Ok(Compared { different, undecided, alive: open.into_iter().chain(running).collect() })
    }
}

/// What a comparison of rows and chain found.
struct Compared {
    /// Deployments whose rows do not say what the chain says of our bids and leases.
    different: BTreeSet<DeploymentId>,
    /// Deployments with open orders that are not bid on.
    undecided: BTreeSet<DeploymentId>,
    /// Orders with an open bid or a running lease of ours.
    alive: BTreeSet<OrderId>,
}

fn agrees(row: &OrderRow, bid_is_open: bool, lease_runs: bool) -> bool {
    let says_open = row.bid.as_deref() == Some(BidState::Open.as_str()) && row.phase != "won";
    let says_runs = matches!(row.lease.as_deref(), Some("active" | "reclaiming"));
    says_open == bid_is_open && says_runs == lease_runs
}
