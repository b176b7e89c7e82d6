//! Whether an operator wants bids. Kept in the rows, so that every process and every restart honours it, and audited.
//!
//! Pausing stops new bids: decisions say `paused`, and a bid that no transaction holds yet waits. What is leased goes on, bids
//! that are on chain stay. Resuming compares the chain's open orders with the rows at once, so that those which were declined
//! meanwhile are decided on again.

use super::{
    Error, Kind, Provider,
    port::{AuditLine, Maintenance, MaintenanceState, StoreError, Subject},
};

/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;

impl Maintenance {
    /// Why there are no new bids; `None` while there are.
    #[must_use]
    pub fn pause(&self) -> Option<String> {
        let word = match self.state {
            MaintenanceState::Bidding => return None,
            MaintenanceState::Paused => "paused",
            MaintenanceState::Maintenance => "maintenance",
        };
        Some(if self.reason.is_empty() {
            word.to_owned()
        } else {
            format!("{word}: {}", self.reason)
        })
    }
}

impl Provider {
    /// Keeps what an operator wants from now on. Returns it as it is kept.
    ///
    /// # Errors
    /// `maintenance_invalid` for a pause without a reason, or one that is too long or not one line of text; when the store gives
    /// no answer.
    pub async fn set_maintenance(
        &self,
        state: MaintenanceState,
        reason: &str,
        actor: &str,
    ) -> Result<Maintenance, Error> {
        let reason = reason.trim();
        check_reason(state, reason)?;
        let now = self.clock.now();
        let wanted = Maintenance {
            state,
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            since: Some(now),
        };
        let audit = AuditLine {
            at: now,
            actor: actor.to_owned(),
            action: "maintenance".to_owned(),
            subject: "provider".to_owned(),
            reason: wanted.pause().unwrap_or_else(|| match reason {
                "" => "bidding".to_owned(),
                reason => format!("bidding: {reason}"),
            }),
        };
        let resumes = state == MaintenanceState::Bidding;
        let wake: &[Subject] = if resumes {
            &[Subject::Provider, Subject::Account(self.address.clone())]
        } else {
            &[]
        };
        self.store.set_maintenance(&wanted, &audit, wake, now).await?;
        self.poke.notify_one();
        Ok(wanted)
    }

    /// Why there are to be no new bids, if so.
    pub(super) async fn paused(&self) -> Result<Option<String>, StoreError> {
        Ok(self.store.maintenance().await?.pause())
    }
}

fn check_reason(state: MaintenanceState, reason: &str) -> Result<(), Error> {
    let refused =
        |detail: String| Err(Error::new(Kind::Invalid(Vec::new()), "maintenance_invalid", detail));
    let length = reason.chars().count();
    if length > MAX_REASON {
        return refused(format!("the reason has {length} characters, allowed are {MAX_REASON}"));
    }
    if reason.chars().any(char::is_control) {
        return refused("the reason may have no control characters".to_owned());
    }
    if reason.is_empty() && state != MaintenanceState::Bidding {
        return refused(format!("say why: state {} needs a reason", state.as_str()));
    }
    Ok(())
}
