//! Whether an operator wants bids. Kept in the rows, so that every process and every restart honours it, and audited.
//!
//! Pausing stops new bids: decisions say `paused`, and a bid that no transaction holds yet waits. What is leased goes on, bids
//! that are on chain stay. Resuming compares the chain's open orders with the rows at once, so that those which were declined
//! meanwhile are decided on again.
//!
//! A window of the settings is the same for its time, and so is its end. While an operator works on the provider, in a window or
//! said so, a workload that fails is not held against its tenant. Leases that the chain has closed are torn down all the same:
//! that needs nothing but the chain's word, and whoever paid for them does not any more.

use jiff::Timestamp;

use super::{
    Error, Kind, Provider,
    port::{AuditLine, Maintenance, MaintenanceState, StoreError, Subject},
    settings::Window,
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
        Ok(self.standing().await?.paused)
    }

    /// What an operator wants now, by word or by a window of the settings.
    pub(super) async fn standing(&self) -> Result<Standing, StoreError> {
        let wanted = self.store.maintenance().await?;
        let settings = self.settings();
        let window = settings.window_at(self.clock.now());
        Ok(Standing {
            paused: wanted.pause().or_else(|| window.map(pause_of)),
            is_maintained: wanted.state == MaintenanceState::Maintenance || window.is_some(),
        })
    }

    /// When the next window begins or ends.
    pub(super) fn next_window_change(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let settings = self.settings();
        let moments = settings.windows.iter().flat_map(|window| [window.from, window.until]);
        moments.filter(|moment| *moment > now).min()
    }
}

/// What an operator wants now.
pub(super) struct Standing {
    /// Why there are to be no new bids.
    pub(super) paused: Option<String>,
    /// Whether they work on the provider.
    pub(super) is_maintained: bool,
}

/// Why there are no bids in a window.
fn pause_of(window: &Window) -> String {
    format!("maintenance until {}: {}", window.until, window.reason)
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
