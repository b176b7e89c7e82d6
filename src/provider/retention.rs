//! Old rows are removed by the way, when nothing else is due: once an hour, a few hundred at a time.

use jiff::{SignedDuration, Timestamp};

use super::{
    Provider,
    port::{Sweep, Tip},
};

/// How often old rows are looked for.
const EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Rows of each kind that are removed in one commit.
const BATCH: u32 = 500;
/// Commits of one pass; what is left goes in the next.
const ROUNDS: u32 = 20;

impl Provider {
    /// Removes what is old, if that was not looked for lately. A store that gives no answer is asked again next time.
    pub(super) async fn sweep(&self, tip: &Tip) {
        let now = self.clock.now();
        let mut last = self.swept_at.lock().await;
        if last.is_some_and(|last: Timestamp| now.duration_since(last) < EVERY) {
            return;
        }
        let settings = self.settings();
        let sweep = Sweep {
            now,
            height: tip.height,
            keep: settings.keep,
            keep_audit: settings.keep_audit,
            limit: BATCH,
        };
        for _ in 0..ROUNDS {
            match self.store.sweep(&sweep).await {
                Ok(swept) if swept.may_have_left(BATCH) => {}
                Ok(_) => {
                    *last = Some(now);
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = %error, "old rows could not be removed");
                    return;
                }
            }
        }
    }
}
