//! Whether this process can serve, and what is wrong around it.
//!
//! Only what makes every answer wrong makes it not ready: the store, its schema, the end of the process. A deaf stream or
//! a silent chain is named and does not take the process out of service, or no webhook could ever arrive again.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::stream::streams;
use crate::provider::{Provider, port::MaintenanceState, tip::TipSighting};

/// Whether requests should be sent here, and what is wrong around this process.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// Whether requests should be sent here.
    pub ready: bool,
    /// Everything that was looked at.
    pub conditions: Vec<Condition>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Condition {
    /// `store`, `draining`, `settings`, `restore`, `chain`, `inventory`, `bidding`, `teardowns`, `stream/<name>`.
    #[schema(example = "stream/main")]
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// One word for programs.
    #[schema(example = "deaf")]
    pub reason: &'static str,
    /// For the operator: what exactly was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Work is worse for it, and goes on.
    Degraded,
    /// Nothing can be served.
    Bad,
}

impl Health {
    /// What a stranger may read of it: messages may quote settings, paths and errors.
    #[must_use]
    pub fn for_everyone(mut self) -> Self {
        for condition in &mut self.conditions {
            condition.message = None;
        }
        self
    }
}

impl Condition {
    fn good(name: impl Into<String>, reason: &'static str) -> Self {
        Self { name: name.into(), verdict: Verdict::Good, reason, message: None }
    }

    fn degraded(name: impl Into<String>, reason: &'static str, message: String) -> Self {
        Self { name: name.into(), verdict: Verdict::Degraded, reason, message: Some(message) }
    }

    fn bad(name: impl Into<String>, reason: &'static str, message: &str) -> Self {
        let message = Some(message.to_owned());
        Self { name: name.into(), verdict: Verdict::Bad, reason, message }
    }
}

/// Looks at everything once. Asks the store and nothing else.
pub async fn health(provider: &Provider, draining: bool) -> Health {
    let mut conditions = Vec::new();
    match provider.store.health().await {
        Ok(()) => conditions.push(Condition::good("store", "answers")),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            let message = "the rows cannot be read and written, or have another schema";
            conditions.push(Condition::bad("store", "unavailable", message));
        }
    }
    conditions.push(if draining {
        Condition::bad("draining", "stopping", "the process finishes what it has")
    } else {
        Condition::good("draining", "serving")
    });
    conditions.push(settings(provider));
    if conditions[0].verdict == Verdict::Good {
        conditions.extend(restore(provider).await);
        conditions.push(chain(provider).await);
        conditions.push(inventory(provider).await);
        conditions.push(bidding(provider).await);
        conditions.push(teardowns(provider).await);
        conditions.extend(each_stream(provider).await);
    }
    let ready = conditions.iter().all(|condition| condition.verdict != Verdict::Bad);
    Health { ready, conditions }
}

/// Whether what the operator wrote last is in force.
fn settings(provider: &Provider) -> Condition {
    match provider.settings_fault() {
        None => Condition::good("settings", "in_force"),
        Some(fault) => Condition::degraded("settings", fault.reason, fault.message),
    }
}

/// Whether rows that were put back from a backup wait for the comparison with chain and cluster.
async fn restore(provider: &Provider) -> Option<Condition> {
    let restore = provider.store.last_restore().await.ok().flatten()?;
    restore.holds_decisions().then(|| {
        let message = format!(
            "the store was restored at {}; nothing is decided before it was compared with chain and cluster ({} deployments wait)",
            seconds(restore.restored_at),
            restore.behind
        );
        Condition::degraded("restore", "comparing", message)
    })
}

async fn chain(provider: &Provider) -> Condition {
    let name = "chain";
    let observed = provider.store.observation("tip").await.ok().flatten();
    let Some(observed) = observed else {
        return Condition::degraded(name, "never_seen", "no node has answered yet".to_owned());
    };
    let Ok(sighting) = serde_json::from_value::<TipSighting>(observed.body) else {
        return Condition::degraded(name, "never_seen", "no node has answered yet".to_owned());
    };
    // Asked at least as often as open orders are compared with the chain.
    let limit = provider.settings().reconcile_every.max(SignedDuration::from_secs(60));
    let silence = provider.clock.now().duration_since(observed.taken_at);
    if silence > limit {
        let message = format!("no node has answered since {}", seconds(observed.taken_at));
        return Condition::degraded(name, "silent", message);
    }
    let TipSighting { tip, moved_at } = sighting;
    let moved_at = moved_at.unwrap_or(tip.time);
    if provider.clock.now().duration_since(moved_at) > limit {
        let message =
            format!("block {} has been the newest since {}", tip.height, seconds(moved_at));
        return Condition::degraded(name, "halted", message);
    }
    Condition::good(name, "answers")
}

async fn inventory(provider: &Provider) -> Condition {
    let name = "inventory";
    let Some(observed) = provider.store.observation("inventory").await.ok().flatten() else {
        return Condition::degraded(name, "never_seen", "the cluster was not asked yet".to_owned());
    };
    let limit = provider.settings().inventory_max_age.max(SignedDuration::from_mins(10));
    if provider.clock.now().duration_since(observed.taken_at) > limit {
        let message = format!("observed last at {}", seconds(observed.taken_at));
        return Condition::degraded(name, "old", message);
    }
    Condition::good(name, "observed")
}

async fn bidding(provider: &Provider) -> Condition {
    let wanted = provider.store.maintenance().await.unwrap_or_default();
    let reason = match wanted.state {
        MaintenanceState::Bidding => None,
        MaintenanceState::Paused => Some("paused"),
        MaintenanceState::Maintenance => Some("maintenance"),
    };
    if let Some(reason) = reason {
        return Condition::degraded("bidding", reason, wanted.reason);
    }
    if let Some(window) = provider.settings().window_at(provider.clock.now()) {
        let message = format!("{} (until {})", window.reason, seconds(window.until));
        return Condition::degraded("bidding", "maintenance_window", message);
    }
    let Some(signer) = &provider.signer else {
        let message = "this process has no key; another must send transactions".to_owned();
        return Condition::degraded("bidding", "no_signer", message);
    };
    match signer.trouble() {
        Some(message) => Condition::degraded("bidding", "signer_away", message),
        None => Condition::good("bidding", "open"),
    }
}

async fn teardowns(provider: &Provider) -> Condition {
    let name = "teardowns";
    let breaker = provider.store.breaker().await.unwrap_or_default();
    match breaker.held_since {
        None => Condition::good(name, "go_on"),
        Some(since) => {
            let (decided, since) = (breaker.decided, seconds(since));
            let message = format!("held since {since}, when {decided} were decided in ten minutes");
            Condition::degraded(name, "held", message)
        }
    }
}

async fn each_stream(provider: &Provider) -> Vec<Condition> {
    let Ok(streams) = streams(provider).await else { return Vec::new() };
    let condition = |stream: super::StreamView| {
        let name = format!("stream/{}", stream.name);
        let heard = stream.heard_at.map_or_else(|| "never".to_owned(), seconds);
        if let Some(found) = stream.disagreement {
            let height = found.stream.height;
            let message = format!("block {height} is another one at our node");
            return Condition::degraded(name, "disagrees", message);
        }
        match (stream.freshness, stream.gaps.first()) {
            ("live", _) if let Some(claimed) = stream.above_tip => {
                let message = format!("block {claimed} is claimed, which our node is far below");
                Condition::degraded(name, "above_tip", message)
            }
            ("live", None) => Condition::good(name, "live"),
            ("live", Some(gap)) => {
                let message = format!("blocks {} to {} are missing", gap.from, gap.to);
                Condition::degraded(name, "gap", message)
            }
            (freshness, _) => Condition::degraded(name, freshness, format!("heard last: {heard}")),
        }
    };
    streams.into_iter().filter(|stream| !stream.deleted).map(condition).collect()
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
