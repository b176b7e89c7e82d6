//! The provider's own step: its registration is read anew, and open orders, own bids and own leases are compared with
//! the rows, whatever the streams say. Every difference wakes a deployment, whose step decides.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Error, Provider,
    port::{Commit, Loaded, OrderFilter, OrderRow, Subject, Tip},
};
use crate::domain::{BidState, DeploymentId, Height};

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
        self.registration().await?;
        let different = self.differences(tip).await?;
        let now = self.clock.now();
        let record = ProviderRecord {
            reconciled_at: Some(now),
            reconciled_height: tip.height,
            differences: u64::try_from(different.len()).unwrap_or(u64::MAX),
        };
        let commit = Commit {
            state: Some(serde_json::to_value(&record).unwrap_or_default()),
            wake: different.into_iter().map(Subject::Deployment).collect(),
            wake_at: now.checked_add(self.settings().reconcile_every).ok(),
            ..Commit::default()
        };
        self.store.commit(&loaded.claim, now, &commit).await?;
        Ok(())
    }

    /// Deployments whose rows do not say what the chain says.
    async fn differences(&self, tip: &Tip) -> Result<BTreeSet<DeploymentId>, Error> {
        let (orders, bids, leases) = tokio::try_join!(
            self.chain.open_orders(tip.height),
            self.chain.provider_bids(&self.address, BidState::Open, tip.height),
            self.chain.provider_leases(&self.address, tip.height),
        )?;
        let mut different = BTreeSet::new();
        for order in &orders.value {
            let known = self.store.order(&order.id).await?;
            // A declined order may fit by now: its step looks at how old the decision is.
            if known.is_none_or(|row| row.phase == "seen" || row.phase == "declined") {
                different.insert(order.id.deployment().clone());
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
        Ok(different)
    }
}

fn agrees(row: &OrderRow, bid_is_open: bool, lease_runs: bool) -> bool {
    let says_open = row.bid.as_deref() == Some(BidState::Open.as_str()) && row.phase != "won";
    let says_runs = matches!(row.lease.as_deref(), Some("active" | "reclaiming"));
    says_open == bid_is_open && says_runs == lease_runs
}
