//! Whether a stream and our node tell of the same chain.
//!
//! The last block that a stream told of whole is compared with the node's block of that height. While they disagree, one of
//! them is wrong and nobody here knows which: bidding goes on, since a bid is taken back easily, and nothing ends a lease.

use jiff::Timestamp;

use super::{
    Error, Provider,
    port::{Compared, StreamState, Tip},
};

impl Provider {
    /// Compares a stream's newest block with the node's. Returns what is known anew; a node that does not have the block, or
    /// gives no answer, says nothing.
    pub(super) async fn compare_block(
        &self,
        name: &str,
        state: &StreamState,
        tip: &Tip,
        now: Timestamp,
    ) -> Result<Option<Compared>, Error> {
        let Some(at) = state.link.cursor().filter(|at| at.height <= tip.height) else {
            return Ok(None);
        };
        let before = state.compared.as_ref();
        if before.is_some_and(|before| before.at == at && before.other.is_none()) {
            return Ok(None);
        }
        let Ok(Some(hash)) = self.chain.block_hash(at.height).await else { return Ok(None) };
        let other = (!hash.eq_ignore_ascii_case(&at.hash.to_string())).then_some(hash);
        let disagreed = before.filter(|before| before.other.is_some() && other.is_some());
        let since = disagreed.map_or(now, |before| before.since);
        let found = Compared { at, other, since };
        if before == Some(&found) {
            return Ok(None);
        }
        let note = |state: &StreamState| {
            let mut state = state.clone();
            state.compared = Some(found.clone());
            state
        };
        self.store.change_stream(name, &note).await?;
        Ok(Some(found))
    }

    /// Which stream disagrees with our node, in words; `None` when none does.
    pub(super) async fn disagreement(&self) -> Result<Option<String>, Error> {
        let settings = self.settings();
        for (name, _) in settings.streams.iter().filter(|(_, stream)| !stream.deleted) {
            let row = self.store.stream(name).await?;
            let Some(compared) = row.and_then(|row| row.state.compared) else { continue };
            if let Some(other) = compared.other {
                let at = compared.at;
                return Ok(Some(format!(
                    "stream {name} has block {} as {}, and our node as {other}: nothing ends a lease until they agree",
                    at.height, at.hash
                )));
            }
        }
        Ok(None)
    }
}
