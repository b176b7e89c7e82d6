//! The chain's own limits on a group. An order on chain has passed them once; they are checked again because lessor is not
//! going to place, price or multiply numbers that nobody bounded.

use std::{collections::BTreeSet, fmt};

use crate::domain::{Amount, Attribute, GroupSpec, ResourceUnit, money::ATOMS_PER_UNIT};

const KI: u64 = 1 << 10;
const MI: u64 = KI << 10;
const TI: u64 = MI << 20;

const UNIT_CPU_MILLI: (u64, u64) = (10, 384_000);
const UNIT_GPU: (u64, u64) = (0, 24);
const UNIT_MEMORY: (u64, u64) = (MI, 2 * TI);
const VOLUME: (u64, u64) = (5 * MI, 32 * TI);
const UNIT_COUNT: (u64, u64) = (1, 50);
const MAX_UNIT_PRICE: Amount = Amount::from_atoms(10_000_000 * ATOMS_PER_UNIT);
const GROUP_CPU_MILLI: (u64, u64) = (1, 19_200_000);
const GROUP_GPU: (u64, u64) = (0, 1_200);
const GROUP_MEMORY: (u64, u64) = (1, 100 * TI);

/// One broken limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitViolation {
    /// The id of the unit, `None` for the group as a whole.
    pub unit: Option<u32>,
    /// What is out of bounds.
    pub what: String,
    /// What was asked for.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for LimitViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Some(id) => write!(f, "unit {id}: ")?,
            None => f.write_str("group: ")?,
        }
        write!(f, "{} is {}, allowed {}", self.what, self.value, self.allowed)
    }
}

/// Every limit that `spec` breaks, unit by unit, then for the group as a whole.
#[must_use]
pub fn limit_violations(spec: &GroupSpec) -> Vec<LimitViolation> {
    let mut found = Vec::new();
    for unit in &spec.units {
        unit_violations(unit, &mut found);
    }
    let mut group = Collector { unit: None, found: &mut found };
    if spec.name.is_empty() {
        group.refuse("name", "empty", "not empty");
    }
    if spec.units.is_empty() {
        group.refuse("number of units", "0", "at least 1");
    }
    let ids: BTreeSet<u32> = spec.units.iter().map(|unit| unit.resources.id).collect();
    if ids.len() != spec.units.len() {
        group.refuse("a resource id", "used twice", "each once");
    }
    if spec.units.iter().any(|unit| unit.price.denom != spec.units[0].price.denom) {
        group.refuse("price denom", "mixed", "one for all units");
    }
    group.attributes("requirements", &spec.requirements.attributes);
    group.total("cpu in milli", spec, |unit| unit.resources.cpu_milli, GROUP_CPU_MILLI);
    group.total("gpu", spec, |unit| unit.resources.gpu_units, GROUP_GPU);
    group.total("memory in bytes", spec, |unit| unit.resources.memory_bytes, GROUP_MEMORY);
    found
}

/// The limits that hold for every group, in words.
pub(super) fn group_limits_text() -> String {
    let rows = [
        ("replicas of a unit", UNIT_COUNT),
        ("total cpu in milli", GROUP_CPU_MILLI),
        ("total memory in bytes", GROUP_MEMORY),
        ("total gpu", GROUP_GPU),
    ];
    let texts = rows.map(|(what, (least, most))| format!("{what} {least} to {most}"));
    texts.join(", ")
}

/// What a group comes to, in the same words.
pub(super) fn group_totals(spec: &GroupSpec) -> String {
    let most = spec.units.iter().map(|unit| unit.count).max().unwrap_or(0);
    format!(
        "replicas of a unit {most}, total cpu in milli {}, total memory in bytes {}, total gpu {}",
        total(spec, |unit| unit.resources.cpu_milli),
        total(spec, |unit| unit.resources.memory_bytes),
        total(spec, |unit| unit.resources.gpu_units),
    )
}

/// A sum over all replicas; one that does not fit in 64 bits is far above every limit.
fn total(spec: &GroupSpec, of: impl Fn(&ResourceUnit) -> u64) -> u64 {
    spec.units
        .iter()
        .fold(0_u64, |sum, unit| sum.saturating_add(of(unit).saturating_mul(u64::from(unit.count))))
}

fn unit_violations(unit: &ResourceUnit, found: &mut Vec<LimitViolation>) {
    let resources = &unit.resources;
    let mut of = Collector { unit: Some(resources.id), found };
    of.range("resource id", u64::from(resources.id), (1, u64::from(u32::MAX)));
    of.range("count", u64::from(unit.count), UNIT_COUNT);
    of.range("cpu in milli", resources.cpu_milli, UNIT_CPU_MILLI);
    of.range("memory in bytes", resources.memory_bytes, UNIT_MEMORY);
    of.range("gpu", resources.gpu_units, UNIT_GPU);
    for volume in &resources.storage {
        of.range(&format!("volume {:?} in bytes", volume.name), volume.bytes, VOLUME);
    }
    if resources.gpu_units == 0 && !resources.gpu_attributes.is_empty() {
        of.refuse("gpu attributes", "given", "none without gpu units");
    }
    of.attributes("gpu", &resources.gpu_attributes);
    for volume in &resources.storage {
        of.attributes(&format!("volume {:?}", volume.name), &volume.attributes);
    }
    if unit.price.amount.is_zero() || unit.price.amount > MAX_UNIT_PRICE {
        of.refuse("price", &unit.price.amount.to_string(), "above 0, at most 10000000");
    }
}

struct Collector<'a> {
    unit: Option<u32>,
    found: &'a mut Vec<LimitViolation>,
}

impl Collector<'_> {
    fn refuse(&mut self, what: &str, value: &str, allowed: &str) {
        self.found.push(LimitViolation {
            unit: self.unit,
            what: what.to_owned(),
            value: value.to_owned(),
            allowed: allowed.to_owned(),
        });
    }

    fn range(&mut self, what: &str, value: u64, (least, most): (u64, u64)) {
        if !(least..=most).contains(&value) {
            self.refuse(what, &value.to_string(), &format!("{least} to {most}"));
        }
    }

    fn total(
        &mut self,
        what: &str,
        spec: &GroupSpec,
        of: impl Fn(&ResourceUnit) -> u64,
        range: (u64, u64),
    ) {
        self.range(&format!("total {what}"), total(spec, of), range);
    }

    fn attributes(&mut self, of: &str, attributes: &[Attribute]) {
        let mut keys = BTreeSet::new();
        for attribute in attributes {
            if !is_required_key(&attribute.key) {
                self.refuse(
                    &format!("{of} attribute key"),
                    &format!("{:?}", attribute.key.chars().take(130).collect::<String>()),
                    "a letter, then 1 to 127 of letters, digits, '_', '/', '.', '-', at the end '*'",
                );
            }
            if !keys.insert(&attribute.key) {
                self.refuse(
                    &format!("{of} attribute key"),
                    &format!("{:?} twice", attribute.key),
                    "each once",
                );
            }
        }
    }
}

/// Whether an order may ask for this key: as a provider's key, with one `*` at the end if wanted.
fn is_required_key(key: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let stem = key.strip_suffix('*').unwrap_or(key);
    let bytes = stem.as_bytes();
    let longest = 127 + usize::from(stem.len() == key.len());
    (2..=longest).contains(&bytes.len())
        && bytes[0].is_ascii_alphabetic()
        && bytes[1..].iter().all(|byte| word(*byte) || b"/.-".contains(byte))
        && (bytes.len() < 128 || bytes.last().is_some_and(|byte| word(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_key_is_the_chains() {
        for good in ["key", "key/sub", "key1*", "key1/*", "ab", "vendor/nvidia/model/*"] {
            assert!(is_required_key(good), "{good}");
        }
        for bad in ["*key1", "key1**", "key1*/", "k", "1key", "", "key one", "k*"] {
            assert!(!is_required_key(bad), "{bad}");
        }
        assert!(is_required_key(&format!("a{}", "b".repeat(127))));
        assert!(is_required_key(&format!("a{}*", "b".repeat(126))));
        assert!(!is_required_key(&format!("a{}", "b".repeat(128))));
        assert!(!is_required_key(&format!("a{}/", "b".repeat(126))));
    }
}
