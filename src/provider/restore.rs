//! After a backup was put back: chain and cluster have gone on without these rows, so both are looked at before anything
//! is decided.
//!
//! While a [`Restore`] is not settled:
//! - no order is decided, since what is promised already is not known;
//! - nothing is signed until a block time has passed every time-out that a transaction of the lost time can have: one that
//!   these rows do not know may still land, and one that they think pending is only looked for and handed over as it is;
//! - a lease that waits for a manifest is closed or applied to only after the cluster said what it runs: the manifest may
//!   have come in the lost time ([`super::lease`]).
//!
//! It is settled by the provider's own step, when every deployment with something of ours was compared, and every open bid
//! and every running lease of the chain has its reservation.

use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock},
};

use jiff::Timestamp;

use super::{
    Error, Provider,
    port::{AuditLine, Restore, Tip},
};
use crate::domain::OrderId;

/// What this process knows of the restore. It needs the store once: no backup is put back while a process has it open.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<Knowledge>);

#[derive(Debug, Default, Clone, Copy)]
enum Knowledge {
    #[default]
    Unread,
    NeverRestored,
    Restored(Restore),
}

impl Known {
    fn get(&self) -> Knowledge {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, restore: Option<Restore>) {
        let knowledge = restore.map_or(Knowledge::NeverRestored, Knowledge::Restored);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = knowledge;
    }
}

impl Provider {
    /// The restore that these rows come from, as it was read last.
    pub(super) fn restore(&self) -> Option<Restore> {
        match self.restore.get() {
            Knowledge::Restored(restore) => Some(restore),
            Knowledge::Unread | Knowledge::NeverRestored => None,
        }
    }

    /// Reads how far the comparison is, and notes at the first block from when on things may be signed again.
    pub(super) async fn look_at_restore(&self, tip: &Tip) -> Result<(), Error> {
        match self.restore.get() {
            Knowledge::NeverRestored => return Ok(()),
            Knowledge::Restored(restore) if !restore.holds_decisions() => return Ok(()),
            Knowledge::Unread | Knowledge::Restored(_) => {}
        }
        let mut found = self.store.last_restore().await?;
        if let Some(restore) = &mut found
            && restore.quiet_until.is_none()
        {
            let until = tip.time.saturating_add(self.settings().transaction_ttl);
            restore.quiet_until = Some(until.unwrap_or(Timestamp::MAX));
            self.store.change_restore(restore).await?;
            tracing::warn!(
                restored_at = %restore.restored_at,
                "the store was restored: nothing is decided before it was compared with chain and cluster"
            );
        }
        self.restore.set(found);
        Ok(())
    }

    /// Settles the restore when the rows agree with the chain. `alive` are the orders with an open bid or a running lease
    /// of ours. Returns whether nothing is held any more.
    pub(super) async fn settle_restore(
        &self,
        tip: &Tip,
        alive: &BTreeSet<OrderId>,
        agrees: bool,
    ) -> Result<bool, Error> {
        let Some(restore) = self.restore().filter(Restore::holds_decisions) else {
            return Ok(true);
        };
        let behind = self.store.last_restore().await?.map_or(0, |restore| restore.behind);
        if !agrees || behind > 0 || restore.is_quiet(tip.time) {
            return Ok(false);
        }
        let held: BTreeSet<OrderId> =
            self.store.reservations().await?.held.into_iter().map(|held| held.order).collect();
        if !alive.is_subset(&held) {
            return Ok(false);
        }
        let settled = Restore { settled_at: Some(tip.height), ..restore };
        self.store.change_restore(&settled).await?;
        self.restore.set(Some(settled));
        let line = AuditLine {
            at: self.clock.now(),
            actor: "lessor".to_owned(),
            action: "restored".to_owned(),
            subject: "store".to_owned(),
            reason: format!(
                "the rows of the backup agree with the chain at height {}: {} bids and leases of ours",
                tip.height,
                alive.len()
            ),
        };
        self.store.audit(&[line]).await?;
        Ok(true)
    }
}
