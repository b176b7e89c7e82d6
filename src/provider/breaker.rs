//! More teardowns in ten minutes than an operator finds likely are not carried out until one agrees.
//!
//! Each of them has its evidence: the chain said closed, at a height that we read. The breaker is for the day on which that
//! is not enough: a node of another chain behind the right name, a mistake of ours. What is held keeps running and keeps its
//! capacity, addresses and hostnames; nothing is forgotten.

use jiff::SignedDuration;

use super::{
    Error, Provider,
    port::{AuditLine, Breaker},
};

/// Teardowns of so long ago do not count.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);

impl Provider {
    /// Why no teardown is to be carried out now, if so. Too many are held from here on.
    pub(super) async fn held_teardowns(&self) -> Result<Option<String>, Error> {
        let breaker = self.store.breaker().await?;
        if breaker.held_since.is_some() {
            return Ok(Some(told(breaker.decided)));
        }
        let Some(limit) = self.settings().teardown_limit else { return Ok(None) };
        let now = self.clock.now();
        let since = now.saturating_sub(WINDOW).unwrap_or(now);
        let decided = self.store.teardowns_since(since).await?;
        if decided <= u64::from(limit) {
            return Ok(None);
        }
        let reason = told(decided);
        tracing::error!(decided, limit, "teardowns are held until an operator agrees");
        let audit = AuditLine {
            at: now,
            actor: "lessor".to_owned(),
            action: "hold_teardowns".to_owned(),
            subject: "provider".to_owned(),
            reason: reason.clone(),
        };
        self.store.hold_teardowns(decided, &audit, now).await?;
        Ok(Some(reason))
    }

    /// An operator agrees to every teardown that was decided up to now. Returns the breaker as it is from now on.
    ///
    /// # Errors
    /// When the store gives no answer.
    pub async fn agree_to_teardowns(&self, actor: &str) -> Result<Breaker, Error> {
        let now = self.clock.now();
        let audit = AuditLine {
            at: now,
            actor: actor.to_owned(),
            action: "agree_to_teardowns".to_owned(),
            subject: "provider".to_owned(),
            reason: "what was decided up to now is carried out".to_owned(),
        };
        self.store.agree_to_teardowns(&audit, now).await?;
        self.poke.notify_one();
        Ok(self.store.breaker().await?)
    }
}

fn told(decided: u64) -> String {
    format!("{decided} teardowns were decided in ten minutes; an operator must agree")
}
