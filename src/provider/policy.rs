//! What is bid on and at which prices, in versions: the newest is in force in every process over the same store.
//!
//! A version comes from the settings (the file changed) or from the operator's `PUT /v1/policy`, and the newest counts,
//! whichever way it came. So there is one history with one number, which each decision names, and a change in either place
//! takes effect; the alternative, one place that always wins, leaves changes in the other without effect.
//!
//! The one surprising fact: a process that starts makes a version of its settings only when they differ from the last
//! version that settings made. So what an operator put stays in force over a restart, until the file says something new.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    Error, Kind, Provider,
    port::{NewPolicy, PolicyRow, PolicyStored, Subject},
};
use crate::{
    bidengine::{
        policy::{MaxOrder, Policy},
        price::Prices,
    },
    manifest::Violation,
};

/// Who made a version that came from the settings.
pub const SETTINGS: &str = "settings";
/// How long a reason may be, in characters.
const MAX_REASON: usize = 500;
/// The most violations that are told at once.
const MAX_VIOLATIONS: usize = 100;
/// How often a version is tried again when another came first.
const TRIES: u32 = 5;
/// Lists and tables whose entries can be wrong one by one.
const WITH_ENTRIES: [&str; 7] = [
    "allow_owners",
    "deny_owners",
    "required_order_attributes",
    "accepted_denoms",
    "max_order",
    "storage",
    "gpu",
];

/// Policy and prices together: what one version is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Which orders are bid on.
    pub policy: Policy,
    /// At which prices.
    pub prices: Prices,
}

/// Rules with the reason for them, as an operator sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is to be in force.
    pub rules: Rules,
    /// Why.
    pub reason: String,
}

/// One difference between two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where.
    pub pointer: String,
    /// What is in force.
    pub before: Value,
    /// What would be.
    pub after: Value,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Another version is in force than the one that it was made on.
    #[error("version {0} is in force")]
    Version(u64),
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Rules {
    /// As JSON, without the version, which is the row's.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = serde_json::to_value(self).unwrap_or_default();
        if let Some(policy) = body.get_mut("policy").and_then(Value::as_object_mut) {
            policy.remove("version");
        }
        body
    }

    /// What differs from `before`, key by key.
    #[must_use]
    pub fn differences(&self, before: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        compare("", &before.body(), &self.body(), &mut found);
        found
    }

    /// Rules that make no sense together, whatever each value is.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut broken = Vec::new();
        if self.prices.is_all_zero() {
            let message = "nothing has a price, so no order could be bid on";
            broken.push(violation("all-prices-zero", "/prices", message));
        }
        let policy = &self.policy;
        if policy.accepted_denoms.is_empty() {
            let message = "names no denom, so no order could be bid on";
            broken.push(violation("no-denom", "/policy/accepted_denoms", message));
        }
        for (place, owner) in policy.deny_owners.iter().enumerate() {
            if policy.allow_owners.contains(owner) {
                let pointer = format!("/policy/deny_owners/{place}");
                broken.push(violation(
                    "owner-twice",
                    pointer,
                    format!("{owner} is in allow_owners too"),
                ));
            }
        }
        if policy.reclamation_window_s.is_some_and(|given| given > policy.max_reclamation_window_s)
        {
            let message = format!(
                "is longer than max_reclamation_window_s, which is {}",
                policy.max_reclamation_window_s
            );
            broken.push(violation("notice-too-long", "/policy/reclamation_window_s", message));
        }
        broken
    }
}

fn compare(pointer: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            compare(&format!("{pointer}/{}", escaped(key)), &of(old), &of(new), found);
        }
    } else if before != after {
        found.push(Difference {
            pointer: pointer.to_owned(),
            before: before.clone(),
            after: after.clone(),
        });
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn violation(
    code: &'static str,
    pointer: impl Into<String>,
    message: impl Into<String>,
) -> Violation {
    Violation {
        code,
        pointer: pointer.into(),
        line: None,
        column: None,
        message: message.into(),
        reference: None,
    }
}

/// The name with the least edits, if they are few.
#[must_use]
pub fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(given.len()) / 2)
        .min()
        .map(|(_, name)| name)
}

/// Reads a change as an operator sends it. Everything that is wrong is told at once. Keys that are left out have their
/// defaults, as in the settings file.
///
/// # Errors
/// Each violation with a pointer into the body.
pub fn parse(body: &Value) -> Result<Change, Vec<Violation>> {
    let Value::Object(body) = body else {
        return Err(vec![violation("not-an-object", "", "must be an object")]);
    };
    let mut broken = Vec::new();
    let known = ["policy", "prices", "reason"];
    for key in body.keys().filter(|key| !known.contains(&key.as_str())) {
        broken.push(unknown("", key, known.into_iter()));
    }
    let policy: Option<Policy> = section(body, "policy", &mut broken);
    let prices: Option<Prices> = section(body, "prices", &mut broken);
    let reason = match body.get("reason") {
        Some(Value::String(text)) if (1..=MAX_REASON).contains(&text.trim().chars().count()) => {
            text.trim().to_owned()
        }
        _ => {
            let message = format!("must say why, in 1 to {MAX_REASON} characters");
            broken.push(violation("no-reason", "/reason", message));
            String::new()
        }
    };
    if let (Some(policy), Some(prices)) = (policy, prices) {
        let rules = Rules { policy, prices };
        broken.extend(rules.check());
        if broken.is_empty() {
            return Ok(Change { rules, reason });
        }
    }
    broken.truncate(MAX_VIOLATIONS);
    Err(broken)
}

fn unknown<'a>(at: &str, key: &str, names: impl Iterator<Item = &'a str>) -> Violation {
    let shown: String = key.chars().take(64).collect();
    let hint = nearest(&shown, names).map(|name| format!("; did you mean {name:?}?"));
    violation(
        "unknown-key",
        format!("{at}/{}", escaped(&shown)),
        format!("is not known{}", hint.unwrap_or_default()),
    )
}

/// One section, checked key by key; `None` when it cannot be used.
fn section<T: DeserializeOwned + Serialize + Default>(
    body: &Map<String, Value>,
    name: &str,
    broken: &mut Vec<Violation>,
) -> Option<T> {
    let at = format!("/{name}");
    let Some(Value::Object(given)) = body.get(name) else {
        broken.push(violation("not-an-object", at, "must be there and an object"));
        return None;
    };
    let mut known = match serde_json::to_value(T::default()) {
        Ok(Value::Object(known)) => known,
        _ => Map::new(),
    };
    known.remove("version");
    let before = broken.len();
    for (key, value) in given {
        if known.contains_key(key) {
            field::<T>(&at, key, value, broken);
        } else {
            broken.push(unknown(&at, key, known.keys().map(String::as_str)));
        }
    }
    if broken.len() > before {
        return None;
    }
    match serde_json::from_value(Value::Object(given.clone())) {
        Ok(section) => Some(section),
        Err(error) => {
            broken.push(violation("not-allowed", at, error.to_string()));
            None
        }
    }
}

/// One key alone; of a list or a table each entry alone, so that every wrong one is told.
fn field<T: DeserializeOwned>(at: &str, key: &str, value: &Value, broken: &mut Vec<Violation>) {
    let alone = |value: Value| {
        let section = Value::Object(Map::from_iter([(key.to_owned(), value)]));
        serde_json::from_value::<T>(section).err().map(|error| error.to_string())
    };
    let Some(whole) = alone(value.clone()) else { return };
    let pointer = format!("{at}/{key}");
    let before = broken.len();
    if WITH_ENTRIES.contains(&key) {
        match value {
            Value::Array(entries) => {
                for (place, entry) in entries.iter().enumerate() {
                    if let Some(error) = alone(Value::Array(vec![entry.clone()])) {
                        broken.push(violation("not-allowed", format!("{pointer}/{place}"), error));
                    }
                }
            }
            Value::Object(entries) => {
                for (name, entry) in entries {
                    let one = Map::from_iter([(name.clone(), entry.clone())]);
                    if let Some(error) = alone(Value::Object(one)) {
                        broken.push(entry_violation(key, &pointer, name, error));
                    }
                }
            }
            _ => {}
        }
    }
    if broken.len() == before {
        broken.push(violation("not-allowed", pointer, whole));
    }
}

fn entry_violation(key: &str, pointer: &str, name: &str, error: String) -> Violation {
    if key == "max_order"
        && let Ok(Value::Object(known)) = serde_json::to_value(MaxOrder::default())
        && !known.contains_key(name)
    {
        return unknown(pointer, name, known.keys().map(String::as_str));
    }
    violation("not-allowed", format!("{pointer}/{}", escaped(name)), error)
}

impl Provider {
    /// The rules in force, with the number of their version; 0 while no version is stored.
    #[must_use]
    pub fn rules(&self) -> (u64, Rules) {
        let settings = self.settings();
        let rules = Rules { policy: settings.policy.clone(), prices: settings.prices.clone() };
        (settings.policy.version, rules)
    }

    /// Puts the newest stored version in force in this process, if another is.
    ///
    /// # Errors
    /// `store_unavailable`; `unreadable_policy` when the stored version is of a newer program.
    pub async fn follow_policy(&self) -> Result<(), Error> {
        let newest = self.store.policy_version().await?;
        if newest == self.settings().policy.version {
            return Ok(());
        }
        let Some(PolicyRow { version, body, .. }) = self.store.newest_policy(None).await? else {
            return Ok(());
        };
        let Rules { mut policy, prices } = serde_json::from_value(body).map_err(|error| {
            let detail = format!("version {version} of the policy: {error}");
            Error::new(Kind::Bug, "unreadable_policy", detail)
        })?;
        policy.version = version;
        self.change_settings(|settings| {
            settings.policy.clone_from(&policy);
            settings.prices.clone_from(&prices);
        });
        tracing::info!(version, "another version of policy and prices is in force");
        Ok(())
    }

    /// Makes a version of the rules of the settings if they say something else than the settings said last.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn take_rules_of_settings(&self, rules: &Rules) -> Result<(), Error> {
        let body = rules.body();
        for _ in 0..TRIES {
            let seen = self.store.policy_version().await?;
            let last = self.store.newest_policy(Some(SETTINGS)).await?;
            if last.is_some_and(|last| last.body == body) {
                break;
            }
            let new = NewPolicy {
                body: body.clone(),
                made_by: SETTINGS.to_owned(),
                reason: "the settings changed".to_owned(),
            };
            if let PolicyStored::Done { .. } =
                self.store.put_policy(seen, &new, self.clock.now()).await?
            {
                self.wake_for_policy().await?;
                break;
            }
        }
        self.follow_policy().await
    }

    /// Makes a version on top of version `seen`. Returns its number.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change_policy(&self, seen: u64, change: &Change) -> Result<u64, ChangeError> {
        let new = NewPolicy {
            body: change.rules.body(),
            made_by: "operator".to_owned(),
            reason: change.reason.clone(),
        };
        let stored = self.store.put_policy(seen, &new, self.clock.now()).await;
        match stored.map_err(Error::from)? {
            PolicyStored::Done { version } => {
                self.follow_policy().await?;
                self.wake_for_policy().await?;
                Ok(version)
            }
            PolicyStored::Changed { version } => Err(ChangeError::Version(version)),
        }
    }

    /// What was declined may fit by other rules: open orders are looked at again.
    async fn wake_for_policy(&self) -> Result<(), Error> {
        self.store.wake(&[Subject::Provider], None, self.clock.now()).await?;
        self.poke.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(body: &Value) -> Vec<(String, String)> {
        let broken = parse(body).unwrap_err();
        broken.into_iter().map(|found| (found.pointer, found.message)).collect()
    }

    #[test]
    fn the_rules_in_force_are_a_change_that_changes_nothing() {
        let rules = Rules { policy: Policy::default(), prices: Prices::default() };
        let mut body = rules.body();
        body["reason"] = json!("again");
        let change = parse(&body).unwrap();
        assert_eq!(change.rules, rules);
        assert_eq!(change.rules.differences(&rules), []);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_where_and_the_nearest_name() {
        let found = pointers(&json!({
            "policy": {
                "allow_owner": [],
                "max_volumes": "four",
                "allow_owners": ["akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww", "nobody"],
                "max_order": { "gpu_unit": 1, "cpu_milli": -1 },
            },
            "prices": { "cpu": "cheap", "storage": { "beta2": "0.1", "beta3": {} } },
            "price": {},
        }));
        let at = |pointer: &str| {
            let found = found.iter().find(|(at, _)| at == pointer);
            found.unwrap_or_else(|| panic!("{pointer} is missing in {found:#?}")).1.clone()
        };
        assert!(at("/price").contains("did you mean \"prices\"?"));
        assert!(at("/policy/allow_owner").contains("did you mean \"allow_owners\"?"));
        assert!(at("/policy/max_order/gpu_unit").contains("did you mean \"gpu_units\"?"));
        for pointer in [
            "/policy/max_volumes",
            "/policy/allow_owners/1",
            "/policy/max_order/cpu_milli",
            "/prices/cpu",
            "/prices/storage/beta3",
            "/reason",
        ] {
            at(pointer);
        }
        assert_eq!(found.len(), 9, "{found:#?}");
    }

    #[test]
    fn rules_that_make_no_sense_together_are_refused() {
        let owner = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww";
        let found = pointers(&json!({
            "reason": "a test",
            "policy": {
                "accepted_denoms": [], "allow_owners": [owner], "deny_owners": [owner],
                "reclamation_window_s": 10, "max_reclamation_window_s": 5,
            },
            "prices": {
                "cpu": "0", "memory": "0", "endpoint": "0", "ip": "0", "storage": {}, "gpu": {},
            },
        }));
        let at: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(
            at,
            [
                "/prices",
                "/policy/accepted_denoms",
                "/policy/deny_owners/0",
                "/policy/reclamation_window_s"
            ]
        );
    }

    #[test]
    fn a_difference_names_what_changes_and_from_what() {
        let before = Rules { policy: Policy::default(), prices: Prices::default() };
        let mut after = before.clone();
        after.prices.cpu = "0.01".parse().unwrap();
        after.prices.gpu.insert("a/b".to_owned(), "5".parse().unwrap());
        let found = after.differences(&before);
        let told: Vec<_> = found.iter().map(|found| found.pointer.as_str()).collect();
        assert_eq!(told, ["/prices/cpu", "/prices/gpu/a~1b"]);
        assert_eq!(found[1].before, Value::Null);
    }
}
