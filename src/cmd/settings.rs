//! Settings: the compiled-in `deploy/lessor.toml`, a file, and `LESSOR_<SECTION>__<KEY>`, each over the one before.
//!
//! A key that the compiled-in file does not have is an error that names the nearest one that it has: an ignored setting is
//! the worst kind of default. A value that is not allowed is an error that says where it was given and what is allowed.

mod chain;
mod cluster;
mod given;
mod maintenance;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use toml::{Table, Value};

use self::given::Origins;
pub use self::{
    chain::{Chain, Key},
    cluster::Cluster,
    maintenance::Maintenance,
};
use crate::{
    bidengine::{Policy, Prices},
    domain::{Coin, Price},
    event::signature::StreamKey,
    provider::{
        policy::nearest,
        settings::{Settings as ProviderSettings, StreamSettings},
    },
};

/// The manual, and the defaults.
pub const DEFAULTS: &str = include_str!("../../deploy/lessor.toml");

/// Names below `LESSOR_` that are no settings.
const OTHER_NAMES: [&str; 7] = [
    "LESSOR_CONFIG",
    "LESSOR_URL",
    "LESSOR_NODE",
    "LESSOR_CORPUS",
    "LESSOR_LOG",
    "LESSOR_SIM_SEED",
    "LESSOR_SIM_RUNS",
];

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("settings file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{origin} is not TOML: {detail}")]
    Syntax {
        /// The file, or the variable.
        origin: String,
        /// Where and what.
        detail: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key {key:?}{}", nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default())]
    Unknown {
        /// The file, or the variable.
        origin: String,
        /// The whole path of the key.
        key: String,
        /// The nearest key that exists.
        nearest: Option<String>,
    },
    /// A value that is not allowed.
    #[error("{origin}: {key} {detail}")]
    Value {
        /// The file, or the variable.
        origin: String,
        /// The whole path of the key.
        key: String,
        /// What it is, and what is allowed.
        detail: String,
    },
}

/// All settings, as `deploy/lessor.toml` explains them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Settings {
    pub listen: Listen,
    pub admin: Admin,
    pub store: Store,
    pub seal: Seal,
    pub chain: Chain,
    pub key: Key,
    pub cluster: Cluster,
    pub bid: Bid,
    pub policy: Policy,
    pub prices: Prices,
    pub manifest: Manifest,
    pub maintenance: Maintenance,
    pub worker: Worker,
    pub log: Log,
    pub streams: BTreeMap<String, Stream>,
    /// Where they were read from, so that they can be read again.
    #[serde(skip)]
    pub origin: Origin,
}

/// Where settings were read from.
#[derive(Clone, Default)]
pub struct Origin {
    /// The file.
    pub file: Option<PathBuf>,
    variables: Vec<(String, String)>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A variable may hold a stream's key.
        f.debug_struct("Origin").field("file", &self.file).finish_non_exhaustive()
    }
}

/// `[listen]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Listen {
    pub public: String,
    pub admin: String,
    pub behind_proxy: bool,
    pub drain_s: u64,
}

/// `[admin]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Admin {
    pub token_file: String,
}

/// `[store]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Store {
    pub path: PathBuf,
    pub keep_days: u32,
    pub audit_keep_days: u32,
    pub max_waiting: u32,
}

/// `[seal]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Seal {
    pub key_file: String,
    pub keys: secrecy::SecretString,
}

/// `[bid]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Bid {
    pub timeout_s: u32,
    pub registration_max_age_s: u32,
}

/// `[manifest]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Manifest {
    pub timeout_s: u32,
    pub static_hosts: bool,
    pub static_hosts_domain: String,
    pub blocked_hostnames: Vec<String>,
}

/// `[worker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Worker {
    pub claim_ttl_s: u32,
    pub reconcile_every_s: u32,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Log {
    pub format: String,
    pub filter: String,
}

/// `[streams.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Stream {
    pub keys: Vec<Verifying>,
    pub strict: bool,
    pub deleted: bool,
    pub deaf_after_s: u32,
    pub reads_per_minute: u32,
    pub pull_url: String,
    pub backfill_after_s: u32,
    pub tolerance_s: u32,
    /// The most blocks that are pulled for one gap.
    pub backfill_blocks: u32,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            strict: false,
            deleted: false,
            deaf_after_s: 90,
            reads_per_minute: 300,
            pull_url: String::new(),
            backfill_after_s: 10,
            tolerance_s: 300,
            backfill_blocks: 600,
        }
    }
}

/// One verification key of a stream.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verifying {
    /// What the operator calls it.
    pub name: String,
    key: secrecy::SecretString,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

impl std::fmt::Debug for Verifying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifying").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Verifying {
    /// A key that is valid for ever.
    #[must_use]
    pub fn for_ever(name: &str, key: secrecy::SecretString) -> Self {
        Self { name: name.to_owned(), key, not_before: None, not_after: None }
    }
}

/// Keys of a stream's table, for the check of unknown ones: the compiled-in file has no stream.
const STREAM_KEYS: [&str; 9] = [
    "keys",
    "strict",
    "deleted",
    "deaf_after_s",
    "reads_per_minute",
    "pull_url",
    "backfill_after_s",
    "tolerance_s",
    "backfill_blocks",
];
/// Tables whose keys are the operator's own words, or that may be left out key by key.
const FREE_TABLES: [&str; 6] = [
    "prices.storage",
    "prices.gpu",
    "cluster.kubernetes.storage",
    "cluster.kubernetes.runtime_classes.gpu",
    "cluster.kubernetes.runtime_classes.tee",
    "cluster.kubernetes.nodes.gpu_resources",
];
/// Keys that have no default and so do not stand in the compiled-in file.
const OPTIONAL: [&str; 8] = [
    "policy.max_order.cpu_milli",
    "policy.max_order.memory_bytes",
    "policy.max_order.storage_bytes",
    "policy.max_order.gpu_units",
    "policy.max_order.replicas",
    "policy.reclamation_window_s",
    "policy.max_open_bids",
    "policy.max_leases",
];

impl Settings {
    /// Reads the defaults, then the file, then the variables.
    ///
    /// # Errors
    /// [`SettingsError`]; nothing is ignored.
    pub fn load(
        file: Option<&std::path::Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let defaults = parse("the compiled-in settings", DEFAULTS)?;
        let mut merged = defaults.clone();
        let mut origins = Origins::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
            let origin = path.display().to_string();
            let given = parse(&origin, &text)?;
            refuse_unknown(&origin, "", &given, &defaults)?;
            origins.note(&origin, &given);
            merge(&mut merged, given);
        }
        let mut origin =
            Origin { file: file.map(std::path::Path::to_owned), variables: Vec::new() };
        for (name, text) in variables {
            if let Some(given) = variable(&name, &text, &defaults)? {
                origins.note(&name, &given);
                merge(&mut merged, given);
                origin.variables.push((name, text));
            }
        }
        given::check_numbers(&merged, &origins)?;
        let settings: Self = given::read(merged, &origins)?;
        if let Some((key, detail)) = settings.cluster.kubernetes.faults().into_iter().next() {
            let key = format!("cluster.kubernetes.{key}");
            return Err(SettingsError::Value { origin: origins.of(&key), key, detail });
        }
        if let Some((key, detail)) = settings.maintenance.fault() {
            return Err(SettingsError::Value { origin: origins.of(&key), key, detail });
        }
        let Store { keep_days, audit_keep_days, .. } = settings.store;
        if audit_keep_days < keep_days {
            let key = "store.audit_keep_days".to_owned();
            let detail =
                format!("is {audit_keep_days}, allowed is store.keep_days ({keep_days}) or more");
            return Err(SettingsError::Value { origin: origins.of(&key), key, detail });
        }
        if settings.chain.nodes().len() > 1 && settings.chain.id.is_empty() {
            // An answer does not say which chain it is of, so which of several nodes is right must be known.
            let detail = "must be given when chain.nodes has several".to_owned();
            let origin = origins.of("chain.nodes");
            return Err(SettingsError::Value { origin, key: "chain.id".to_owned(), detail });
        }
        for (name, stream) in &settings.streams {
            stream.settings().map_err(|detail| {
                let key = format!("streams.{name}.keys");
                SettingsError::Value { origin: origins.of(&key), key, detail }
            })?;
        }
        Ok(Self { origin, ..settings })
    }

    /// Reads the same file and the same variables again.
    ///
    /// # Errors
    /// [`SettingsError`], as [`Settings::load`].
    pub fn read_again(&self) -> Result<Self, SettingsError> {
        Self::load(self.origin.file.as_deref(), self.origin.variables.clone())
    }

    /// The sections that a process is put together with and that differ in `other`.
    #[must_use]
    pub fn fixed_differences(&self, other: &Self) -> Vec<&'static str> {
        // Their debug form is all of them but for secrets, which come from the environment and so never differ.
        let sections = |of: &Self| {
            [
                ("listen", format!("{:?}", of.listen)),
                ("admin", format!("{:?}", of.admin)),
                ("store.path", of.store.path.display().to_string()),
                ("seal", format!("{:?}", of.seal)),
                ("chain.node", of.chain.node.clone()),
                ("chain.nodes", of.chain.nodes.join(" ")),
                ("chain.id", of.chain.id.clone()),
                ("chain.poll_ms", of.chain.poll_ms.to_string()),
                ("key", format!("{:?}", of.key)),
                ("cluster.kind", of.cluster.kind.clone()),
                ("cluster.url", of.cluster.url.clone()),
                ("cluster.kubernetes", format!("{:?}", of.cluster.kubernetes)),
                ("log", format!("{:?}", of.log)),
                ("streams' pull_url", format!("{:?}", of.pull_urls())),
            ]
        };
        sections(self)
            .into_iter()
            .zip(sections(other))
            .filter(|(mine, theirs)| mine != theirs)
            .map(|((name, _), _)| name)
            .collect()
    }

    /// The pull APIs of the streams, by name.
    #[must_use]
    pub fn pull_urls(&self) -> BTreeMap<String, String> {
        let named = self.streams.iter().filter(|(_, stream)| !stream.pull_url.is_empty());
        named.map(|(name, stream)| (name.clone(), stream.pull_url.clone())).collect()
    }

    /// The use cases' part of the settings.
    ///
    /// # Errors
    /// [`SettingsError::Value`] for a key of a stream that is none; settings that were loaded have none such.
    pub fn provider(&self) -> Result<ProviderSettings, SettingsError> {
        let timeout =
            |seconds: u32| (seconds > 0).then(|| SignedDuration::from_secs(i64::from(seconds)));
        let seconds = |seconds: u32| SignedDuration::from_secs(i64::from(seconds));
        let days = |days: u32| SignedDuration::from_hours(24 * i64::from(days));
        let Store { keep_days, audit_keep_days, .. } = self.store;
        let mut streams = BTreeMap::new();
        for (name, stream) in &self.streams {
            let read = stream.settings().map_err(|detail| SettingsError::Value {
                origin: "settings".to_owned(),
                key: format!("streams.{name}.keys"),
                detail,
            })?;
            streams.insert(name.clone(), read);
        }
        Ok(ProviderSettings {
            policy: self.policy.clone(),
            prices: self.prices.clone(),
            bid_timeout: timeout(self.bid.timeout_s),
            manifest_timeout: timeout(self.manifest.timeout_s),
            failing_limit: timeout(self.cluster.failing_close_s),
            transaction_ttl: seconds(self.chain.transaction_ttl_s),
            messages_together: self.chain.messages_together,
            fee_budget: (self.chain.fee_budget > 0).then(|| Coin {
                denom: self.chain.gas_denom.clone(),
                amount: self.chain.fee_budget.into(),
            }),
            withdraw_every: timeout(self.chain.withdraw_every_s),
            gas_price: Price { denom: self.chain.gas_denom.clone(), amount: self.chain.gas_price },
            inventory_max_age: seconds(self.cluster.inventory_max_age_s),
            teardown_limit: Some(self.cluster.teardowns_in_ten_minutes).filter(|most| *most > 0),
            quarantine: timeout(self.cluster.quarantine_s),
            windows: self.maintenance.windows.iter().map(Into::into).collect(),
            registration_max_age: seconds(self.bid.registration_max_age_s),
            reconcile_every: seconds(self.worker.reconcile_every_s),
            claim_ttl: seconds(self.worker.claim_ttl_s),
            static_hosts: self.manifest.static_hosts,
            static_hosts_domain: self.manifest.static_hosts_domain.clone(),
            blocked_hostnames: self.manifest.blocked_hostnames.clone(),
            public_hostname: self.cluster.public_hostname.clone(),
            keep: days(keep_days),
            keep_audit: days(audit_keep_days),
            streams,
        })
    }
}

impl Stream {
    /// The error says which key is none, and not what it is.
    fn settings(&self) -> Result<StreamSettings, String> {
        use secrecy::ExposeSecret;
        let mut keys = Vec::new();
        for key in &self.keys {
            let text = key.key.expose_secret();
            let parsed = text.parse().map_err(|error| format!("{:?}: {error}", key.name))?;
            keys.push(StreamKey {
                name: key.name.clone(),
                key: parsed,
                not_before: key.not_before,
                not_after: key.not_after,
            });
        }
        let seconds = |seconds: u32| SignedDuration::from_secs(i64::from(seconds));
        Ok(StreamSettings {
            keys,
            strict: self.strict,
            deleted: self.deleted,
            deaf_after: seconds(self.deaf_after_s),
            reads_per_minute: self.reads_per_minute,
            pull_url: (!self.pull_url.is_empty()).then(|| self.pull_url.clone()),
            backfill_after: seconds(self.backfill_after_s),
            tolerance: seconds(self.tolerance_s),
            backfill_blocks: self.backfill_blocks,
        })
    }
}

fn parse(origin: &str, text: &str) -> Result<Table, SettingsError> {
    text.parse::<Table>().map_err(|error| SettingsError::Syntax {
        origin: origin.to_owned(),
        // The message without the offending line, which may hold a secret.
        detail: format!(
            "{}{}",
            error.message(),
            error.span().map(|span| format!(" at byte {}", span.start)).unwrap_or_default()
        ),
    })
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(given)) => merge(inner, given),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// One variable as a table to merge; `None` for a name that is no setting.
fn variable(name: &str, text: &str, defaults: &Table) -> Result<Option<Table>, SettingsError> {
    let Some(path) = name.strip_prefix("LESSOR_") else { return Ok(None) };
    if OTHER_NAMES.contains(&name) {
        return Ok(None);
    }
    let parts: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
    let value = typed(&parts, text, defaults);
    let mut table = Table::new();
    if let Some((last, sections)) = parts.split_last() {
        table.insert(last.clone(), value);
        for section in sections.iter().rev() {
            let mut outer = Table::new();
            outer.insert(section.clone(), Value::Table(std::mem::take(&mut table)));
            table = outer;
        }
    }
    refuse_unknown(name, "", &table, defaults)?;
    Ok(Some(table))
}

/// A variable's text in the type that the setting has: a text setting takes it as it is, any other is read as TOML.
fn typed(parts: &[String], text: &str, defaults: &Table) -> Value {
    let mut found = Some(&Value::Table(defaults.clone())).cloned();
    for part in parts {
        found = found.and_then(|value| value.get(part).cloned());
    }
    if matches!(found, Some(Value::String(_))) {
        return Value::String(text.to_owned());
    }
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn refuse_unknown(
    origin: &str,
    path: &str,
    given: &Table,
    known: &Table,
) -> Result<(), SettingsError> {
    for (key, value) in given {
        let whole = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if path == "streams" {
            if let Value::Table(stream) = value {
                let unknown = stream.keys().find(|key| !STREAM_KEYS.contains(&key.as_str()));
                if let Some(unknown) = unknown {
                    return Err(SettingsError::Unknown {
                        origin: origin.to_owned(),
                        key: format!("{whole}.{unknown}"),
                        nearest: nearest(unknown, STREAM_KEYS.into_iter())
                            .map(|name| format!("{whole}.{name}")),
                    });
                }
            }
            continue;
        }
        if FREE_TABLES.contains(&path) || OPTIONAL.contains(&whole.as_str()) {
            continue;
        }
        match (known.get(key), value) {
            (Some(Value::Table(known)), Value::Table(given)) => {
                refuse_unknown(origin, &whole, given, known)?;
            }
            (Some(_), _) => {}
            (None, _) => {
                let beside = known.keys().map(String::as_str);
                let optional =
                    OPTIONAL.iter().filter_map(|name| name.strip_prefix(&format!("{path}.")));
                let nearest = nearest(key, beside.chain(optional));
                return Err(SettingsError::Unknown {
                    origin: origin.to_owned(),
                    nearest: nearest.map(|name| {
                        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
                    }),
                    key: whole,
                });
            }
        }
    }
    Ok(())
}
