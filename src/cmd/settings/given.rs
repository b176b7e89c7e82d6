//! What was given for a setting: where, and whether it is allowed.
//!
//! Every number of the settings has a range, in one table. A value of a secret is never repeated in an error.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::SettingsError;

/// The least and the most that a number may be. `*` stands for a name of the operator's.
const NUMBERS: [(&str, i64, i64); 38] = [
    ("listen.drain_s", 0, 600),
    // An indexer may send a delivery again for days: its id must be known as long.
    ("store.keep_days", 7, 3_650),
    ("store.audit_keep_days", 7, 3_650),
    ("store.max_waiting", 1, 10_000_000),
    ("chain.transaction_ttl_s", 1, 600),
    ("chain.poll_ms", 10, 60_000),
    ("chain.messages_together", 1, 100),
    ("chain.fee_budget", 0, i64::MAX),
    ("chain.withdraw_every_s", 0, YEAR_S),
    ("key.index", 0, i32::MAX as i64),
    ("cluster.inventory_max_age_s", 1, 3_600),
    ("cluster.failing_close_s", 0, YEAR_S),
    ("cluster.quarantine_s", 0, YEAR_S),
    ("cluster.teardowns_in_ten_minutes", 0, 1_000_000),
    ("cluster.kubernetes.ips", 0, 1_000_000),
    ("cluster.kubernetes.overcommit.cpu_percent", 0, 10_000),
    ("cluster.kubernetes.overcommit.memory_percent", 0, 10_000),
    ("cluster.kubernetes.overcommit.storage_percent", 0, 10_000),
    ("cluster.kubernetes.security.quota_percent", 0, 100_000),
    ("bid.timeout_s", 0, YEAR_S),
    ("bid.registration_max_age_s", 1, 86_400),
    ("policy.max_volumes", 0, 1_000),
    ("policy.max_reclamation_window_s", 0, YEAR_S),
    ("policy.reclamation_window_s", 0, YEAR_S),
    ("policy.max_open_bids", 0, u32::MAX as i64),
    ("policy.max_leases", 0, u32::MAX as i64),
    ("policy.max_order.cpu_milli", 0, i64::MAX),
    ("policy.max_order.memory_bytes", 0, i64::MAX),
    ("policy.max_order.storage_bytes", 0, i64::MAX),
    ("policy.max_order.gpu_units", 0, i64::MAX),
    ("policy.max_order.replicas", 0, i64::MAX),
    ("manifest.timeout_s", 0, YEAR_S),
    ("worker.claim_ttl_s", 1, 3_600),
    ("worker.reconcile_every_s", 1, 86_400),
    ("streams.*.deaf_after_s", 1, 86_400),
    ("streams.*.reads_per_minute", 1, 1_000_000),
    ("streams.*.backfill_after_s", 0, 86_400),
    ("streams.*.tolerance_s", 1, 3_600),
];
const YEAR_S: i64 = 31_536_000;

/// Which file or variable each given key comes from; the last one counts.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<String, String>);

impl Origins {
    /// Everything in `given` comes from `origin`.
    pub(super) fn note(&mut self, origin: &str, given: &Table) {
        walk(given, "", &mut |key, _| {
            self.0.insert(key.to_owned(), origin.to_owned());
        });
    }

    /// Where a key was given, or a part of it, or the whole that it is part of.
    pub(super) fn of(&self, key: &str) -> String {
        let part_of = |part: &str, whole: &str| {
            part.strip_prefix(whole)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let named = self.0.iter().find(|(given, _)| part_of(key, given) || part_of(given, key));
        named.map_or("the compiled-in settings".to_owned(), |(_, origin)| origin.clone())
    }
}

/// Every value that is no table, with its path.
fn walk(table: &Table, path: &str, see: &mut impl FnMut(&str, &Value)) {
    for (key, value) in table {
        let whole = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(inner) => walk(inner, &whole, see),
            value => see(&whole, value),
        }
    }
}

/// The range of a number; `None` for a setting that is none.
fn range(key: &str) -> Option<(i64, i64)> {
    let matches = |pattern: &str| match pattern.split_once(".*.") {
        None => pattern == key,
        Some((root, last)) => {
            let middle = key.strip_prefix(root).and_then(|rest| rest.strip_suffix(last));
            middle
                .is_some_and(|name| name.len() > 2 && name.starts_with('.') && name.ends_with('.'))
        }
    };
    let found = NUMBERS.iter().find(|(pattern, _, _)| matches(pattern));
    found.map(|(_, least, most)| (*least, *most))
}

/// Refuses a number that is none, or out of its range.
pub(super) fn check_numbers(settings: &Table, origins: &Origins) -> Result<(), SettingsError> {
    let mut wrong = None;
    walk(settings, "", &mut |key, value| {
        let Some((least, most)) = range(key) else { return };
        if wrong.is_none()
            && !value.as_integer().is_some_and(|number| (least..=most).contains(&number))
        {
            // A text may be a secret in the wrong place: it is not repeated.
            let there =
                value.as_integer().map_or("no whole number".to_owned(), |it| it.to_string());
            let detail = format!("is {there}, allowed are whole numbers from {least} to {most}");
            wrong =
                Some(SettingsError::Value { origin: origins.of(key), key: key.to_owned(), detail });
        }
    });
    wrong.map_or(Ok(()), Err)
}

/// The settings as their types have them.
pub(super) fn read<T: DeserializeOwned>(
    settings: Table,
    origins: &Origins,
) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(Value::Table(settings)).map_err(|error| {
        let key = error.path().to_string();
        let is_secret = key.starts_with("streams.") && key.contains(".keys");
        let detail = if is_secret {
            "is not allowed: keys are a list of { name = \"…\", key = \"…\" }".to_owned()
        } else {
            format!("is not allowed: {}", without_texts(error.inner().message()))
        };
        SettingsError::Value { origin: origins.of(&key), key, detail }
    })
}

/// A message without the texts that it quotes: a key that was put in the wrong place must not reach a log.
fn without_texts(message: &str) -> String {
    let mut kept = String::new();
    for (place, part) in message.split('"').enumerate() {
        kept.push_str(if place % 2 == 0 { part } else { "\"…\"" });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{super::DEFAULTS, *};

    #[test]
    fn every_number_of_the_manual_has_a_range_and_is_within_it() {
        let settings: Table = DEFAULTS.parse().unwrap();
        let mut count = 0;
        walk(&settings, "", &mut |key, value| {
            if value.is_integer() {
                assert!(range(key).is_some(), "{key} has no range");
                count += 1;
            }
        });
        assert!(count > 10, "{count}");
        check_numbers(&settings, &Origins::default()).unwrap();
    }

    #[test]
    fn a_pattern_takes_one_name_in_the_middle() {
        assert_eq!(range("streams.acme.deaf_after_s"), Some((1, 86_400)));
        assert_eq!(range("streams.deaf_after_s"), None);
        assert_eq!(range("policy.deny_owners"), None);
    }
}
