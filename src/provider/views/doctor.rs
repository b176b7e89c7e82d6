//! Everything that keeps a provider from doing its work, looked for now: one list of findings, each with what to do. Unlike the
//! other views it asks the chain and the cluster, each for a few seconds at most.
//!
//! The one surprising fact: it is written for the day on which little works. A part that gives no answer is a finding, never
//! an error of the whole.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize as _, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    health::{Condition, Verdict, health},
    overview::action,
};
use crate::{
    domain::{CertificateState, Coin, Denom, Height, LeaseId},
    provider::{
        Error, Provider,
        deployment::DeploymentRecord,
        lease::Phase,
        port::{ChainError, NodeFault, NodeHealth, OtherWriter, Subject, Tip},
        settings::Settings,
    },
};

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clock and block time may be so far apart.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Fewer bids than this that can still be paid for are too few.
const FEW_BIDS: u128 = 20;
/// A transaction that waits for longer than this many of its own time-outs hangs.
const HANGING: i32 = 3;
/// So many transactions are looked at.
const MAX_TRANSACTIONS: u32 = 100;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingVerdict {
    /// As it should be.
    Ok,
    /// Work is worse for it, or will be soon.
    Warn,
    /// Work stands still because of it.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FindingView {
    /// What: `node/<host>`, `tip`, `clock`, `account`, `funds`, `registration`, `certificate`, `cluster`, `writers` (whether
    /// other programs write what lessor writes), `workloads`, `outbox`, and the names of `/readyz`.
    #[schema(example = "node/rpc.example.net")]
    pub name: String,
    /// How it is.
    pub verdict: FindingVerdict,
    /// What was found, with numbers.
    pub detail: String,
    /// What to do about it; empty when there is nothing to do.
    pub action: String,
}

/// What this process knows of one node from the answers that it got since it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeHealthView {
    /// Host and port.
    pub node: String,
    /// Why it is left aside: `other_chain`, `catching_up`, `lagging`, `slow` or `no_answer`; absent when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
    /// When it began to be left aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub aside_since: Option<Timestamp>,
    /// It is asked again from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub asked_again_at: Option<Timestamp>,
    /// The newest state that it answered for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// How many blocks below the best answer of all nodes that was.
    pub lag: u64,
    /// When it answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Timestamp>,
    /// How long an answer usually takes, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// How often it was asked.
    pub calls: u64,
    /// How often it gave no answer of use.
    pub failures: u64,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failed_at: Option<Timestamp>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DoctorView {
    /// The worst of the findings.
    pub verdict: FindingVerdict,
    /// When it was looked.
    #[schema(value_type = String, format = DateTime)]
    pub taken_at: Timestamp,
    /// Everything that was looked at.
    pub findings: Vec<FindingView>,
    /// Each node, in the order of the settings.
    pub nodes: Vec<NodeHealthView>,
}

fn finding(
    name: impl Into<String>,
    verdict: FindingVerdict,
    detail: impl Into<String>,
    action: &str,
) -> FindingView {
    let action = if verdict == FindingVerdict::Ok { String::new() } else { action.to_owned() };
    FindingView { name: name.into(), verdict, detail: detail.into(), action }
}

use FindingVerdict::{Fail, Ok as Fine, Warn};

/// Looks at everything once.
pub async fn doctor(provider: &Provider, draining: bool) -> DoctorView {
    let (tip, account, registration, certificate, cluster, writers, workloads, outbox) = tokio::join!(
        within(provider.chain.tip()),
        account(provider),
        registration(provider),
        certificate(provider),
        cluster(provider),
        within(provider.cluster.other_writers()),
        within(orphans(provider)),
        outbox(provider),
    );
    let now = provider.clock.now();
    let nodes = provider.chain.nodes();
    let mut findings = vec![tip_finding(&tip)];
    findings.extend(tip.ok().map(|tip| clock(&tip, now)));
    findings.extend(nodes.iter().map(node));
    findings.extend([account]);
    findings.extend(registration);
    findings.extend([certificate, cluster]);
    findings.push(writers_finding(&writers));
    findings.extend([workloads_finding(&workloads), outbox]);
    let stored = health(provider, draining).await;
    findings.extend(stored.conditions.iter().map(condition));
    let verdict = findings.iter().map(|found| found.verdict).max().unwrap_or(Fine);
    let nodes = nodes.into_iter().map(NodeHealthView::from).collect();
    DoctorView { verdict, taken_at: now, findings, nodes }
}

/// An answer, or why there is none, in time.
async fn within<T, E: ToString>(asked: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} seconds", PATIENCE.as_secs())),
    }
}

fn tip_finding(tip: &Result<Tip, String>) -> FindingView {
    let asks = "Check chain.node or chain.nodes in the settings, and that a node answers.";
    match tip {
        Ok(tip) if tip.catching_up => {
            let detail =
                format!("every node still fetches old blocks, the best is at {}", tip.height);
            finding("tip", Fail, detail, "Wait for the node, or name one that is up to date.")
        }
        Ok(tip) => finding("tip", Fine, format!("{} is at block {}", tip.chain_id, tip.height), ""),
        Err(error) => finding("tip", Fail, error, asks),
    }
}

fn clock(tip: &Tip, now: Timestamp) -> FindingView {
    let skew = now.duration_since(tip.time);
    let seconds = skew.as_secs();
    if skew.abs() <= MAX_SKEW {
        return finding("clock", Fine, format!("{seconds} s after the newest block's time"), "");
    }
    if skew.is_negative() {
        let detail = format!("the host's clock is {} s behind the newest block", -seconds);
        return finding("clock", Warn, detail, "Set the host's clock (NTP).");
    }
    let detail = format!("the newest block is {seconds} s old by the host's clock");
    let action = "Compare with other nodes: the chain stands still, this node does, or the host's clock is ahead.";
    finding("clock", Warn, detail, action)
}

fn node(health: &NodeHealth) -> FindingView {
    let name = format!("node/{}", health.node);
    let at = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let Some(fault) = health.fault else {
        let height = health.height.map_or_else(|| "-".to_owned(), |height| height.to_string());
        let latency =
            health.latency_us.map_or_else(|| "-".to_owned(), |us| format!("{} ms", us / 1000));
        let detail = format!(
            "block {height}, {} behind the best; an answer takes {latency}; {} of {} calls failed",
            health.lag, health.failures, health.calls
        );
        return finding(name, Fine, detail, "");
    };
    let (why, action) = match fault {
        NodeFault::OtherChain => {
            ("is on another chain", "Take it out of chain.nodes, or mend chain.id.")
        }
        NodeFault::CatchingUp => ("still fetches old blocks", "Wait until it is up to date."),
        NodeFault::Lagging => {
            ("answers for an old state", "Look at the node; it may have stopped.")
        }
        NodeFault::Slow => {
            ("is slower than the others", "Look at the node's load and the way to it.")
        }
        NodeFault::NoAnswer => ("gives no answer", "Check that it runs and can be reached."),
    };
    let error = health.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let detail = format!(
        "{why} and is left aside since {}; asked again at {}{error}",
        at(health.aside_since),
        at(health.asked_again_at)
    );
    finding(name, Warn, detail, action)
}

async fn account(provider: &Provider) -> FindingView {
    let address = &provider.address;
    let seen = match within(provider.chain.account(address, Height(0))).await {
        Ok(seen) => seen,
        Err(error) => return finding("account", Warn, error, "Mend the nodes first."),
    };
    let Some(account) = seen.value else {
        let detail = format!("{address} is not on the chain at block {}", seen.at);
        return finding("account", Fail, detail, "Send some of the gas denom to it.");
    };
    let detail =
        format!("{address} has number {} and sequence {}", account.number, account.sequence);
    finding("account", Fine, detail, "")
}

/// What the chain holds of us: the registration, and whether more bids can be paid for.
async fn registration(provider: &Provider) -> Vec<FindingView> {
    let found = match within::<_, ChainError>(provider.registration()).await {
        Ok(found) => found,
        Err(error) => return vec![finding("registration", Warn, error, "Mend the nodes first.")],
    };
    let registered = if let Some(own) = &found.provider {
        let (attributes, auditors) = (own.attributes.len(), found.audited.len());
        let detail =
            format!("{} with {attributes} attributes, signed by {auditors} auditors", own.host_uri);
        finding("registration", Fine, detail, "")
    } else {
        let detail = format!("{} is no registered provider", provider.address);
        finding("registration", Fail, detail, "Run `lessor provider register`.")
    };
    vec![registered, funds(provider, &found.balances)]
}

/// How many more deposits of bids these balances pay, less what is kept for fees.
#[must_use]
pub fn bids_affordable(settings: &Settings, balances: &[Coin]) -> u128 {
    let (least, deposit) = (&settings.policy.min_fee_balance, &settings.policy.bid_deposit);
    let kept = if deposit.denom == least.denom { least.amount } else { 0 };
    let held = balances.iter().find(|coin| coin.denom == deposit.denom);
    let free = held.map_or(0, |coin| coin.amount).saturating_sub(kept);
    free.checked_div(deposit.amount).unwrap_or(u128::MAX)
}

fn funds(provider: &Provider, balances: &[Coin]) -> FindingView {
    let settings = provider.settings();
    let (least, deposit) = (&settings.policy.min_fee_balance, &settings.policy.bid_deposit);
    let of = |denom: &Denom| {
        balances.iter().find(|coin| coin.denom == *denom).map_or(0, |coin| coin.amount)
    };
    let shown = balances.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let shown = if shown.is_empty() { "nothing".to_owned() } else { shown };
    let refill = format!("Send {} and {} to {}.", least.denom, deposit.denom, provider.address);
    if of(&least.denom) < least.amount {
        let detail = format!("has {shown}; below {least} no bid is made");
        return finding("funds", Fail, detail, &refill);
    }
    let bids = bids_affordable(&settings, balances);
    let detail = format!("has {shown}: enough for {bids} more deposits of bids");
    let verdict = match bids {
        0 => Fail,
        few if few < FEW_BIDS => Warn,
        _ => Fine,
    };
    finding("funds", verdict, detail, &refill)
}

async fn certificate(provider: &Provider) -> FindingView {
    match within(provider.chain.certificates(&provider.address, Height(0))).await {
        Ok(seen) => {
            let all = seen.value.len();
            let valid =
                seen.value.iter().filter(|one| one.state == CertificateState::Valid).count();
            let verdict = if valid > 0 { Fine } else { Warn };
            let detail = format!("{valid} valid of {all} on chain");
            let action = "Run `lessor certificate publish`: tenants' tools that connect by mutual TLS know a provider by it.";
            finding("certificate", verdict, detail, action)
        }
        Err(error) => finding("certificate", Warn, error, "Mend the nodes first."),
    }
}

async fn cluster(provider: &Provider) -> FindingView {
    match within(provider.cluster.inventory()).await {
        Ok(inventory) => {
            finding("cluster", Fine, format!("answers with {} nodes", inventory.nodes.len()), "")
        }
        Err(error) => {
            let action = "Check cluster.url and the cluster: nothing is bid without its inventory.";
            finding("cluster", Fail, error, action)
        }
    }
}

/// Whether another program writes what lessor writes: two that do take turns undoing each other.
fn writers_finding(writers: &Result<Vec<OtherWriter>, String>) -> FindingView {
    let name = "writers";
    let writers = match writers {
        Err(error) => return finding(name, Warn, error, "Mend the cluster first."),
        Ok(writers) if writers.is_empty() => {
            return finding(name, Fine, "nobody else is seen to write what lessor writes", "");
        }
        Ok(writers) => writers,
    };
    let told: Vec<String> = writers.iter().map(told).collect();
    let verdict = if writers.iter().any(|writer| writer.stops_leases) { Fail } else { Warn };
    let action = "Stop it as deploy/cut-over.md says; cluster.kubernetes.take_over lets lessor write all the same.";
    finding(name, verdict, told.join("; "), action)
}

fn told(writer: &OtherWriter) -> String {
    let OtherWriter { name, pod, writes, stops_leases, is_left_to_it } = writer;
    let then = match (stops_leases, is_left_to_it) {
        (true, _) => "so no lease is applied",
        (false, true) => "which is left to it",
        (false, false) => "and lessor writes it too",
    };
    format!("{name} runs ({pod}) and writes {writes}, {then}")
}

/// What runs in the name of a lease of which the rows know nothing, or that it is gone. It is never removed for that: only the
/// chain's word ends a workload.
async fn orphans(provider: &Provider) -> Result<Vec<LeaseId>, Error> {
    let mut found = Vec::new();
    for lease in provider.cluster.leases().await? {
        let subject = Subject::Deployment(lease.deployment().clone());
        let state = provider.store.subject_state(&subject).await?;
        let record = state.and_then(|state| DeploymentRecord::deserialize(state).ok());
        let known = record
            .as_ref()
            .and_then(|record| record.orders.get(&lease.order)?.lease.as_ref())
            .is_some_and(|known| known.phase != Phase::Gone);
        if !known {
            found.push(lease);
        }
    }
    Ok(found)
}

fn workloads_finding(orphans: &Result<Vec<LeaseId>, String>) -> FindingView {
    /// So many are named.
    const NAMED: usize = 5;
    let name = "workloads";
    match orphans {
        Err(error) => finding(name, Warn, error, "Mend the cluster first."),
        Ok(orphans) if orphans.is_empty() => {
            finding(name, Fine, "everything that runs belongs to a lease", "")
        }
        Ok(orphans) => {
            let named: Vec<String> = orphans.iter().take(NAMED).map(ToString::to_string).collect();
            let detail =
                format!("{} run for no lease that is known: {}", orphans.len(), named.join(", "));
            let action = "Look at these leases on chain: one that runs is taken up by the next comparison; what stays is to be removed by hand.";
            finding(name, Warn, detail, action)
        }
    }
}

async fn outbox(provider: &Provider) -> FindingView {
    let waiting = match provider.store.transactions(true, None, MAX_TRANSACTIONS).await {
        Ok(page) => page.rows,
        Err(error) => return finding("outbox", Fail, error.to_string(), "Mend the store first."),
    };
    let now = provider.clock.now();
    let limit = provider.settings().transaction_ttl * HANGING;
    let since = waiting.iter().map(|waiting| waiting.signed_at).min();
    let Some(since) = since else { return finding("outbox", Fine, "nothing waits", "") };
    let detail = format!("{} transactions wait, the oldest since {since}", waiting.len());
    let verdict = if now.duration_since(since) > limit { Warn } else { Fine };
    finding("outbox", verdict, detail, "See /v1/transactions?unsettled=true and the nodes.")
}

fn condition(condition: &Condition) -> FindingView {
    let verdict = match condition.verdict {
        Verdict::Good => Fine,
        Verdict::Degraded => Warn,
        Verdict::Bad => Fail,
    };
    let detail = condition.message.clone().unwrap_or_else(|| condition.reason.replace('_', " "));
    finding(condition.name.clone(), verdict, detail, action(condition))
}

impl From<NodeHealth> for NodeHealthView {
    fn from(health: NodeHealth) -> Self {
        Self {
            node: health.node,
            fault: health.fault.map(NodeFault::as_str),
            aside_since: health.aside_since,
            asked_again_at: health.asked_again_at,
            height: health.height.map(|height| height.0),
            lag: health.lag,
            heard_at: health.heard_at,
            latency_us: health.latency_us,
            calls: health.calls,
            failures: health.failures,
            last_error: health.last_error,
            failed_at: health.failed_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(stops_leases: bool, is_left_to_it: bool) -> OtherWriter {
        OtherWriter {
            name: "the hostname operator",
            pod: "akash-services/operator-hostname-0".to_owned(),
            writes: "routes",
            stops_leases,
            is_left_to_it,
        }
    }

    #[test]
    fn another_writer_is_told_with_what_it_writes_and_what_to_do() {
        let alone = writers_finding(&Ok(Vec::new()));
        assert_eq!((alone.verdict, alone.action.as_str()), (Fine, ""));
        for (found, verdict, then) in [
            (writer(true, true), Fail, "so no lease is applied"),
            (writer(false, true), Warn, "which is left to it"),
            (writer(false, false), Warn, "and lessor writes it too"),
        ] {
            let told = writers_finding(&Ok(vec![found]));
            assert_eq!(told.verdict, verdict);
            let detail = format!(
                "the hostname operator runs (akash-services/operator-hostname-0) and writes routes, {then}"
            );
            assert_eq!(told.detail, detail);
            assert!(told.action.contains("take_over"), "{}", told.action);
        }
        let silent = writers_finding(&Err("no answer".to_owned()));
        assert_eq!((silent.verdict, silent.detail.as_str()), (Warn, "no answer"));
    }
}
