//! How the provider stands, in one word, with the one reason and what to do about it. Public: it says nothing of any tenant,
//! freshness only roughly, and what exactly is wrong (which may quote settings and errors) to the operator alone.
//!
//! [`judge`] is the one place where the word is chosen; everything that shows it asks here.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    health::{Condition, Verdict, health},
    maintenance::{WindowView, windows},
    stream::{StreamView, streams},
};
use crate::provider::{
    Error, Provider,
    port::{Tip, Totals},
};

/// How the provider stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderVerdict {
    /// Orders are bid on.
    Bidding,
    /// An operator paused it.
    Paused,
    /// No indexer is heard, while the chain goes on.
    Deaf,
    /// Something is wrong around it.
    Degraded,
    /// An operator works on it.
    Maintenance,
}

/// A verdict with its one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// How the provider stands.
    pub verdict: ProviderVerdict,
    /// The one reason, as a code.
    pub reason: String,
    /// The reason, for everyone.
    pub message: String,
    /// What exactly was found, for the operator alone: it may quote settings, errors and names.
    pub detail: Option<String>,
    /// What to do about it.
    pub action: &'static str,
}

/// How the provider stands. Nothing here is about a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OverviewView {
    /// How it stands, in one word.
    pub verdict: ProviderVerdict,
    /// The one reason: `open`, `paused`, `maintenance`, `maintenance_window`, or what is wrong.
    #[schema(example = "stream_deaf")]
    pub reason: String,
    /// The reason, for people; of a pause, in the operator's own words.
    pub message: String,
    /// What exactly was found; for the operator only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do about it; empty when there is nothing to do.
    pub action: String,
    /// Of this program.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// The chain; absent until a node has answered once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    /// The provider's account.
    pub provider: String,
    /// How fresh what it knows is.
    pub freshness: FreshnessView,
    /// The maintenance that is announced and not over, soonest first.
    pub windows: Vec<WindowView>,
    /// Sums.
    pub totals: TotalsView,
}

impl OverviewView {
    /// What a stranger may read of it.
    #[must_use]
    pub fn for_everyone(self) -> Self {
        Self { detail: None, ..self }
    }
}

/// How fresh what the provider knows is, roughly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FreshnessView {
    /// The newest block that a node showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// The time in its header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub block_time: Option<Timestamp>,
    /// How old that block is, in seconds: below a minute in steps of 10, then of 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
    /// Indexers' streams that are in use.
    pub streams: u64,
    /// Those of them on which nothing is heard while the chain goes on.
    pub deaf: u64,
    /// Those of them with blocks missing.
    pub gaps: u64,
}

/// Sums over all tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct TotalsView {
    /// Orders first seen in the last 24 hours.
    pub orders_24h: u64,
    /// Those of them with a bid of ours on chain.
    pub bids_24h: u64,
    /// Those of them that became leases of ours.
    pub leases_24h: u64,
    /// Leases that run now.
    pub leases_active: u64,
}

/// One rule of [`judge`]: a condition's name, its reason, and what it means.
struct Rule {
    /// The condition's name up to `/`.
    name: &'static str,
    /// The condition's reason; empty for any.
    reason: &'static str,
    verdict: ProviderVerdict,
    /// The code of the one reason.
    code: &'static str,
    /// The reason for everyone; empty where an operator's own words are.
    message: &'static str,
    action: &'static str,
}

/// `name`, `reason`, verdict, code, what everyone reads, what to do.
type Line = (&'static str, &'static str, ProviderVerdict, &'static str, &'static str, &'static str);

const fn rule(line: Line) -> Rule {
    let (name, reason, verdict, code, message, action) = line;
    Rule { name, reason, verdict, code, message, action }
}

/// The worst first.
#[rustfmt::skip]
const RULES: [Rule; 23] = {
    use ProviderVerdict::{Bidding, Deaf, Degraded, Maintenance, Paused};
    [
        rule(("store", "", Degraded, "store_unavailable",
            "The rows cannot be read and written.",
            "Free the disk or restore the store; the log says what failed.")),
        rule(("draining", "stopping", Degraded, "draining",
            "The process finishes what it has.",
            "Nothing: another process takes over, or start this one again.")),
        rule(("bidding", "maintenance", Maintenance, "maintenance",
            "",
            "Resume when the work is done.")),
        rule(("bidding", "maintenance_window", Maintenance, "maintenance_window",
            "",
            "Nothing: bids go on when the window is over.")),
        rule(("bidding", "paused", Paused, "paused",
            "",
            "Resume when bids are wanted again.")),
        rule(("restore", "", Degraded, "restore_comparing",
            "The rows were put back from a backup and are being compared.",
            "Wait: nothing is decided before chain and cluster were compared with the rows.")),
        rule(("teardowns", "held", Degraded, "teardowns_held",
            "More workloads are to be removed at once than is likely; none is.",
            "Look which leases are to end and why; then agree, or find out what closes them.")),
        rule(("chain", "never_seen", Degraded, "chain_never_seen",
            "No node of the chain has answered yet.",
            "Check chain.node in the settings and that the node answers.")),
        rule(("chain", "silent", Degraded, "chain_silent",
            "No node of the chain answers.",
            "Check the node, or set chain.node to another.")),
        rule(("chain", "halted", Degraded, "chain_halted",
            "No new block comes.",
            "Compare with other nodes: the chain stands still, or only this node.")),
        rule(("stream", "deaf", Deaf, "stream_deaf",
            "nothing is heard",
            "Check the indexer that pushes, its signature and its address of this gateway.")),
        rule(("stream", "disagrees", Degraded, "stream_disagrees",
            "the indexer has another block than our node",
            "Compare with other nodes: our node or the indexer follows another chain; no lease is ended until they agree.")),
        rule(("inventory", "", Degraded, "inventory_old",
            "The cluster has not said for a while what it can hold.",
            "Check that the cluster answers; without its inventory nothing is bid.")),
        rule(("bidding", "no_signer", Degraded, "no_signer",
            "This process has no key; another must send transactions.",
            "Give this process the key, or run a worker that has it.")),
        rule(("bidding", "signer_away", Degraded, "signer_away",
            "What signs transactions does not answer.",
            "Start the signer; what should be sent waits for it.")),
        rule(("stream", "behind", Degraded, "stream_behind",
            "the indexer is behind the chain",
            "Wait for the indexer, or ask its operator; open orders are still found on chain.")),
        rule(("stream", "gap", Degraded, "stream_gap",
            "blocks are missing",
            "Wait for the backfill, or ask for it now.")),
        rule(("stream", "halted", Degraded, "chain_halted",
            "no new block comes",
            "Compare with other nodes: the chain stands still, or only this node.")),
        rule(("stream", "node_silent", Degraded, "chain_silent",
            "our node gives no answer to compare with",
            "Check the node, or set chain.node to another.")),
        rule(("stream", "above_tip", Degraded, "stream_above_tip",
            "blocks are claimed that our node is far below",
            "Check whether our node is behind; if it is not, the indexer claims what is not there.")),
        rule(("settings", "bad_file", Degraded, "settings_refused",
            "The settings were changed and cannot be used; the last good ones are in force.",
            "Mend the settings; the last good ones stay in force until then.")),
        rule(("settings", "store_unavailable", Degraded, "settings_waiting",
            "The settings were changed and the store did not take them; the last good ones are in force.",
            "Wait: they are tried again by themselves; look after the store if that stays so.")),
        // Bids are made all the same, by the new settings where they are in force.
        rule(("settings", "restart_needed", Bidding, "settings_restart",
            "Orders are bid on; part of the new settings waits for a restart.",
            "Restart when it suits.")),
    ]
};

impl Rule {
    fn is_about(&self, condition: &Condition) -> bool {
        let name = condition.name.split('/').next().unwrap_or_default();
        condition.verdict != Verdict::Good
            && name == self.name
            && (self.reason.is_empty() || condition.reason == self.reason)
    }
}

/// What to do about a condition.
pub(super) fn action(condition: &Condition) -> &'static str {
    RULES.iter().find(|rule| rule.is_about(condition)).map_or("", |rule| rule.action)
}

/// How a provider in these conditions stands: the worst of them decides. A stream that is deaf beside one that is heard makes
/// it degraded only.
#[must_use]
pub fn judge(conditions: &[Condition]) -> Judgement {
    let found = RULES.iter().find_map(|rule| {
        let condition = conditions.iter().find(|condition| rule.is_about(condition))?;
        Some((rule, condition))
    });
    let Some((rule, condition)) = found else { return judge_unlisted(conditions) };
    let hears =
        |condition: &Condition| condition.name.starts_with("stream/") && condition.reason != "deaf";
    let verdict = match rule.verdict {
        ProviderVerdict::Deaf if conditions.iter().any(hears) => ProviderVerdict::Degraded,
        verdict => verdict,
    };
    let message = message(rule, condition, conditions);
    let detail = condition.message.clone().filter(|detail| *detail != message);
    Judgement { verdict, reason: rule.code.to_owned(), message, detail, action: rule.action }
}

/// What no rule names: something that another part of the program reports as worse, or nothing at all.
fn judge_unlisted(conditions: &[Condition]) -> Judgement {
    match conditions.iter().find(|condition| condition.verdict != Verdict::Good) {
        Some(condition) => {
            let part = condition.name.split('/').next().unwrap_or_default();
            Judgement {
                verdict: ProviderVerdict::Degraded,
                reason: format!("{part}_{}", condition.reason),
                message: format!("{part}: {}", condition.reason.replace('_', " ")),
                detail: condition.message.clone(),
                action: "See /readyz for all that was looked at.",
            }
        }
        None => Judgement {
            verdict: ProviderVerdict::Bidding,
            reason: "open".to_owned(),
            message: "Orders that fit the policy and the cluster are bid on.".to_owned(),
            detail: None,
            action: "",
        },
    }
}

/// What everyone reads: a text of this program's, how many streams and not which, or the words that an operator gave for everyone.
fn message(rule: &Rule, condition: &Condition, conditions: &[Condition]) -> String {
    if rule.name == "stream" {
        let all = conditions.iter().filter(|other| other.name.starts_with("stream/")).count();
        let so = conditions.iter().filter(|other| rule.is_about(other)).count();
        return format!("{} on {so} of {all} streams", rule.message);
    }
    if rule.message.is_empty() {
        return condition.message.clone().unwrap_or_else(|| rule.code.replace('_', " "));
    }
    rule.message.to_owned()
}

fn coarse(age: SignedDuration) -> u64 {
    let seconds = u64::try_from(age.as_secs()).unwrap_or(0);
    let step = if seconds < 60 { 10 } else { 60 };
    seconds / step * step
}

fn freshness(tip: Option<&Tip>, streams: &[StreamView], now: Timestamp) -> FreshnessView {
    let used = || streams.iter().filter(|stream| !stream.deleted);
    let count = |is: &dyn Fn(&&StreamView) -> bool| {
        u64::try_from(used().filter(is).count()).unwrap_or(u64::MAX)
    };
    FreshnessView {
        height: tip.map(|tip| tip.height.0),
        block_time: tip.map(|tip| tip.time),
        age_s: tip.map(|tip| coarse(now.duration_since(tip.time))),
        streams: count(&|_| true),
        deaf: count(&|stream| stream.freshness == "deaf"),
        gaps: count(&|stream| !stream.gaps.is_empty()),
    }
}

async fn totals(provider: &Provider, now: Timestamp) -> Result<TotalsView, Error> {
    let since = now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    let Totals { orders, bids, leases, running } = provider.store.totals(since).await?;
    Ok(TotalsView {
        orders_24h: orders,
        bids_24h: bids,
        leases_24h: leases,
        leases_active: running,
    })
}

/// How the provider stands. A store that gives no answer is a verdict and no error.
pub async fn overview(provider: &Provider, draining: bool) -> OverviewView {
    let now = provider.clock.now();
    let Judgement { verdict, reason, message, detail, action } =
        judge(&health(provider, draining).await.conditions);
    let observed = provider.store.observation("tip").await.ok().flatten();
    let tip: Option<Tip> = observed.and_then(|found| serde_json::from_value(found.body).ok());
    let streams = streams(provider).await.unwrap_or_default();
    let identity = provider.store.chain_identity().await.ok().flatten();
    OverviewView {
        verdict,
        reason,
        message,
        detail,
        action: action.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        chain_id: identity.map(|identity| identity.chain_id),
        provider: provider.address.to_string(),
        freshness: freshness(tip.as_ref(), &streams, now),
        windows: windows(provider),
        totals: totals(provider, now).await.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use ProviderVerdict::{Bidding, Deaf, Degraded, Maintenance, Paused};

    use super::*;

    fn condition(name: &str, verdict: Verdict, reason: &'static str) -> Condition {
        let message = (verdict != Verdict::Good).then(|| format!("{name} is {reason}"));
        Condition { name: name.to_owned(), verdict, reason, message }
    }

    fn good() -> Vec<Condition> {
        [
            ("store", "answers"),
            ("draining", "serving"),
            ("chain", "answers"),
            ("inventory", "observed"),
            ("bidding", "open"),
            ("stream/a", "live"),
            ("stream/b", "live"),
        ]
        .map(|(name, reason)| condition(name, Verdict::Good, reason))
        .into()
    }

    /// All is well but for these.
    fn but(wrong: &[(&str, &'static str)]) -> Judgement {
        let mut conditions = good();
        for (name, reason) in wrong {
            conditions.retain(|condition| condition.name != *name);
            let verdict = if matches!(*name, "store" | "draining") {
                Verdict::Bad
            } else {
                Verdict::Degraded
            };
            conditions.push(condition(name, verdict, reason));
        }
        judge(&conditions)
    }

    #[test]
    fn when_all_is_well_it_bids_and_there_is_nothing_to_do() {
        let judgement = but(&[]);
        assert_eq!((judgement.verdict, judgement.reason.as_str()), (Bidding, "open"));
        assert_eq!(judgement.action, "");
    }

    #[test]
    fn every_condition_has_its_verdict_its_reason_and_something_to_do() {
        type Row = (&'static [(&'static str, &'static str)], ProviderVerdict, &'static str);
        let table: [Row; 21] = [
            (&[("teardowns", "held")], Degraded, "teardowns_held"),
            (&[("store", "unavailable")], Degraded, "store_unavailable"),
            (&[("draining", "stopping")], Degraded, "draining"),
            (&[("bidding", "paused")], Paused, "paused"),
            (&[("bidding", "maintenance")], Maintenance, "maintenance"),
            (&[("bidding", "no_signer")], Degraded, "no_signer"),
            (&[("chain", "never_seen")], Degraded, "chain_never_seen"),
            (&[("chain", "silent")], Degraded, "chain_silent"),
            (&[("chain", "halted")], Degraded, "chain_halted"),
            (&[("inventory", "old")], Degraded, "inventory_old"),
            (&[("inventory", "never_seen")], Degraded, "inventory_old"),
            (&[("stream/a", "deaf"), ("stream/b", "deaf")], Deaf, "stream_deaf"),
            (&[("stream/a", "deaf")], Degraded, "stream_deaf"),
            (&[("stream/a", "behind")], Degraded, "stream_behind"),
            (&[("stream/b", "gap")], Degraded, "stream_gap"),
            (&[("restore", "comparing")], Degraded, "restore_comparing"),
            (&[("settings", "bad_file")], Degraded, "settings_refused"),
            (&[("settings", "restart_needed")], Bidding, "settings_restart"),
            (&[("settings", "store_unavailable")], Degraded, "settings_waiting"),
            (&[("bidding", "signer_away")], Degraded, "signer_away"),
            (&[("moon", "full")], Degraded, "moon_full"),
        ];
        for (wrong, verdict, reason) in table {
            let judgement = but(wrong);
            assert_eq!((judgement.verdict, judgement.reason.as_str()), (verdict, reason));
            assert!(!judgement.action.is_empty() && !judgement.message.is_empty(), "{reason}");
        }
    }

    #[test]
    fn the_worst_condition_is_the_one_that_is_told() {
        let worst_first = [
            ("store", "unavailable"),
            ("draining", "stopping"),
            ("bidding", "paused"),
            ("chain", "silent"),
            ("stream/a", "deaf"),
            ("inventory", "old"),
            ("stream/b", "gap"),
        ];
        let told = [
            "store_unavailable",
            "draining",
            "paused",
            "chain_silent",
            "stream_deaf",
            "inventory_old",
            "stream_gap",
        ];
        for (from, expected) in told.into_iter().enumerate() {
            assert_eq!(but(&worst_first[from..]).reason, expected);
        }
    }

    #[test]
    fn streams_are_counted_and_not_named() {
        let judgement = but(&[("stream/a", "deaf")]);
        assert_eq!(judgement.message, "nothing is heard on 1 of 2 streams");
    }

    #[test]
    fn settings_that_wait_for_a_restart_stop_nothing_and_hide_nothing() {
        let waits = but(&[("settings", "restart_needed")]);
        assert_eq!((waits.verdict, waits.action), (Bidding, "Restart when it suits."));
        let beside = but(&[("settings", "restart_needed"), ("stream/a", "gap")]);
        assert_eq!(beside.reason, "stream_gap");
    }

    #[test]
    fn everyone_reads_fixed_texts_and_the_operator_what_exactly_was_found() {
        let secret = "/etc/lessor/lessor.toml: line 3: token_file = \"/etc/lessor/token\"";
        let found = |name: &str, reason: &'static str| {
            let mut conditions = good();
            conditions.retain(|condition| condition.name != name);
            conditions.push(Condition {
                name: name.to_owned(),
                verdict: Verdict::Degraded,
                reason,
                message: Some(secret.to_owned()),
            });
            judge(&conditions)
        };
        let all = RULES.iter().filter(|rule| !rule.message.is_empty());
        let listed = all.map(|rule| {
            let name = if rule.name == "stream" { "stream/a" } else { rule.name };
            (name, if rule.reason.is_empty() { "any" } else { rule.reason })
        });
        for (name, reason) in listed.chain([("moon/secret-name", "full")]) {
            let Judgement { message, detail, reason: code, .. } = found(name, reason);
            assert_eq!(detail.as_deref(), Some(secret), "{name} {reason}");
            for text in [message, code] {
                assert!(!text.contains("/root") && !text.contains("secret"), "{text}");
            }
        }
        let paused = found("bidding", "paused");
        assert_eq!((paused.message.as_str(), paused.detail), (secret, None));
    }

    #[test]
    fn the_age_of_a_block_is_told_roughly() {
        for (age, told) in [(-5, 0), (0, 0), (9, 0), (59, 50), (61, 60), (3599, 3540)] {
            assert_eq!(coarse(SignedDuration::from_secs(age)), told);
        }
    }
}
