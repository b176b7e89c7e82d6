//! The `scale` price: so much per thousandth of a core, per MiB of memory, per MiB of storage of each class, per endpoint, per leased
//! address and, where set, per GPU; per block.
//!
//! It computes what today's provider computes, digit for digit: products and sums are exact, and the one division (bytes to MiB, once
//! per sum) rounds half away from zero to 16 digits. It differs in one place on purpose: a result with more than the 18 digits that the
//! chain can hold is rounded **up** to 18, where today's provider makes no bid.
//!
//! The surprising fact: endpoints and leased addresses are not multiplied by the number of replicas.

use std::collections::{BTreeMap, BTreeSet};

use ruint::aliases::U256;
use serde::{Deserialize, Serialize};

use super::{placement::Offer, volume};
use crate::domain::{Amount, EndpointKind, GroupSpec, Price, ResourceUnit, money::ATOMS_PER_UNIT};

const MIB: u128 = 1 << 20;
/// What a quotient is rounded to: 10⁻¹⁶.
const QUOTIENT_UNIT: u128 = 10_000_000_000_000_000;
/// Digits of a line: 16 of the quotient times 18 of the price.
const EXACT_DIGITS: usize = 34;
/// The largest price that the chain can sort, in units.
const MAX_UNITS: u128 = 1_000_000_000_000_000_000;
/// The GPU price for every model without one of its own.
const ANY_MODEL: &str = "*";

/// Prices of single things for one block, in whatever denom the order is priced in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// For a thousandth of a core.
    pub cpu: Amount,
    /// For a MiB of memory.
    pub memory: Amount,
    /// For a MiB of storage by class; `ephemeral` is what is not persistent.
    pub storage: BTreeMap<String, Amount>,
    /// For an endpoint of a unit, of any kind.
    pub endpoint: Amount,
    /// For a leased address.
    pub ip: Amount,
    /// For a GPU by model, `*` for the models without an entry. Empty: GPUs are free, as in today's `scale`.
    pub gpu: BTreeMap<String, Amount>,
}

/// Prices that cover the usual classes; an operator sets their own.
impl Default for Prices {
    fn default() -> Self {
        // 0.004, 0.0016 and 0.00016, written in units of 10⁻⁵.
        let of = |count: u128| Amount::from_atoms(count * (ATOMS_PER_UNIT / 100_000));
        let storage = [volume::EPHEMERAL, "default", "beta1", "beta2", "beta3"];
        Self {
            cpu: of(400),
            memory: of(160),
            storage: storage.map(|class| (class.to_owned(), of(16))).into(),
            endpoint: Amount::from_atoms(ATOMS_PER_UNIT),
            ip: Amount::from_atoms(60 * ATOMS_PER_UNIT),
            gpu: BTreeMap::new(),
        }
    }
}

/// Why there is no price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum PriceError {
    /// A volume's class has no price.
    #[error("no price is set for storage class {class:?}")]
    StorageClass {
        /// Which.
        class: String,
    },
    /// GPUs are priced, and this model is not.
    #[error("no price is set for gpu model {model:?}")]
    GpuModel {
        /// Which; `*` when the order leaves the model open and nothing was placed.
        model: String,
    },
    /// The sum is nothing, which the chain refuses.
    #[error("the price is zero")]
    Zero,
    /// Larger than the chain can sort.
    #[error("the price is larger than 1000000000000000000")]
    TooLarge,
    /// The group's units are priced in different denoms, or there are none.
    #[error("the order has no price in one denom")]
    NoDenom,
}

/// One line of a price. Quantity and sum are exact decimals, with up to 34 digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceLine {
    /// What is priced: `cpu`, `memory`, `storage beta2`, `endpoint`, `ip`, `gpu a100`.
    pub what: String,
    /// How much of it, in `unit`.
    pub quantity: String,
    /// What it is counted in: `milli`, `MiB`, or nothing for pieces.
    pub unit: String,
    /// The price of one `unit`.
    pub unit_price: Amount,
    /// Quantity times unit price.
    pub sum: String,
}

/// A price and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Line by line; things of which there are none have no line.
    pub lines: Vec<PriceLine>,
    /// The sum of the lines, rounded up to 18 digits, per block.
    pub total: Price,
}

impl Prices {
    /// Whether nothing has a price, which is a mistake in the settings: no order could ever be bid on.
    #[must_use]
    pub fn is_all_zero(&self) -> bool {
        [self.cpu, self.memory, self.endpoint, self.ip]
            .iter()
            .chain(self.storage.values())
            .chain(self.gpu.values())
            .all(|price| price.is_zero())
    }
}

/// The price of `spec` for one block. `offer` is what placement made of it and tells the GPU models; without one (a quote before
/// placement) the requested models count.
///
/// # Errors
/// [`PriceError`].
pub fn quote(spec: &GroupSpec, offer: &[Offer], prices: &Prices) -> Result<Quote, PriceError> {
    let denom = spec.price().ok_or(PriceError::NoDenom)?.denom;
    let mut sheet = Sheet::default();
    let units = &spec.units;

    let cpu =
        total(units, |unit| u128::from(unit.resources.cpu_milli)).ok_or(PriceError::TooLarge)?;
    sheet.pieces("cpu", "milli", cpu, prices.cpu)?;

    let memory =
        total(units, |unit| u128::from(unit.resources.memory_bytes)).ok_or(PriceError::TooLarge)?;
    sheet.bytes("memory", memory, prices.memory)?;

    for (class, bytes) in storage_by_class(units).ok_or(PriceError::TooLarge)? {
        let price = prices
            .storage
            .get(class)
            .ok_or_else(|| PriceError::StorageClass { class: class.to_owned() })?;
        sheet.bytes(&format!("storage {class}"), bytes, *price)?;
    }

    let endpoints: usize = units.iter().map(|unit| unit.resources.endpoints.len()).sum();
    sheet.pieces("endpoint", "", endpoints as u128, prices.endpoint)?;
    sheet.pieces("ip", "", u128::from(leased_ips(spec)), prices.ip)?;

    if !prices.gpu.is_empty() {
        for (model, pieces) in gpus_by_model(units, offer, prices).ok_or(PriceError::TooLarge)? {
            let price = gpu_price(prices, &model)
                .ok_or_else(|| PriceError::GpuModel { model: model.clone() })?;
            sheet.pieces(&format!("gpu {model}"), "", pieces, price)?;
        }
    }

    let amount = sheet.total()?;
    Ok(Quote { lines: sheet.lines, total: Price { denom, amount } })
}

/// How many addresses a group leases: each sequence number is one, however many units and replicas use it.
#[must_use]
pub fn leased_ips(spec: &GroupSpec) -> u64 {
    let numbers: BTreeSet<u32> = spec
        .units
        .iter()
        .flat_map(|unit| &unit.resources.endpoints)
        .filter(|endpoint| endpoint.kind == EndpointKind::LeasedIp)
        .map(|endpoint| endpoint.sequence_number)
        .collect();
    numbers.len() as u64
}

fn total(units: &[ResourceUnit], of: impl Fn(&ResourceUnit) -> u128) -> Option<u128> {
    units.iter().try_fold(0_u128, |sum, unit| {
        sum.checked_add(of(unit).checked_mul(u128::from(unit.count))?)
    })
}

fn storage_by_class(units: &[ResourceUnit]) -> Option<BTreeMap<&str, u128>> {
    let mut sums = BTreeMap::new();
    for unit in units {
        for one in &unit.resources.storage {
            let bytes = u128::from(one.bytes).checked_mul(u128::from(unit.count))?;
            let sum = sums.entry(volume::priced_class(one)).or_insert(0_u128);
            *sum = sum.checked_add(bytes)?;
        }
    }
    Some(sums)
}

fn gpus_by_model(
    units: &[ResourceUnit],
    offer: &[Offer],
    prices: &Prices,
) -> Option<BTreeMap<String, u128>> {
    let mut sums = BTreeMap::new();
    for unit in units.iter().filter(|unit| unit.resources.gpu_units > 0) {
        let placed = offer.iter().find(|offered| offered.resources.id == unit.resources.id);
        let resources = placed.map_or(&unit.resources, |offered| &offered.resources);
        let model = dearest_model(&resources.gpu_attributes, prices);
        let pieces = u128::from(unit.resources.gpu_units).checked_mul(u128::from(unit.count))?;
        let sum = sums.entry(model).or_insert(0_u128);
        *sum = sum.checked_add(pieces)?;
    }
    Some(sums)
}

/// The one model of a placed unit; of several that would do, the dearest, so that a quote is never below the bid.
fn dearest_model(attributes: &[crate::domain::Attribute], prices: &Prices) -> String {
    attributes
        .iter()
        .filter_map(|attribute| super::placement::gpu_model(&attribute.key))
        .max_by_key(|model| gpu_price(prices, model))
        .unwrap_or(ANY_MODEL)
        .to_owned()
}

fn gpu_price(prices: &Prices, model: &str) -> Option<Amount> {
    prices.gpu.get(model).or_else(|| prices.gpu.get(ANY_MODEL)).copied()
}

/// The lines so far and their exact sum, in units of 10⁻³⁴.
#[derive(Default)]
struct Sheet {
    lines: Vec<PriceLine>,
    sum: U256,
}

impl Sheet {
    fn pieces(
        &mut self,
        what: &str,
        unit: &str,
        count: u128,
        price: Amount,
    ) -> Result<(), PriceError> {
        let quantity = U256::from(count).checked_mul(U256::from(QUOTIENT_UNIT));
        self.line(what, unit, quantity.ok_or(PriceError::TooLarge)?, price)
    }

    fn bytes(&mut self, what: &str, bytes: u128, price: Amount) -> Result<(), PriceError> {
        self.line(what, "MiB", mebibytes(bytes).ok_or(PriceError::TooLarge)?, price)
    }

    /// `quantity` is in units of 10⁻¹⁶.
    fn line(
        &mut self,
        what: &str,
        unit: &str,
        quantity: U256,
        price: Amount,
    ) -> Result<(), PriceError> {
        if quantity.is_zero() {
            return Ok(());
        }
        let sum = quantity.checked_mul(U256::from(price.atoms())).ok_or(PriceError::TooLarge)?;
        self.sum = self.sum.checked_add(sum).ok_or(PriceError::TooLarge)?;
        self.lines.push(PriceLine {
            what: what.to_owned(),
            quantity: decimal(quantity, 16),
            unit: unit.to_owned(),
            unit_price: price,
            sum: decimal(sum, EXACT_DIGITS),
        });
        Ok(())
    }

    fn total(&self) -> Result<Amount, PriceError> {
        let (atoms, rest) = self.sum.div_rem(U256::from(QUOTIENT_UNIT));
        let rounded = if rest.is_zero() { atoms } else { atoms.saturating_add(U256::from(1)) };
        match u128::try_from(rounded) {
            Ok(0) => Err(PriceError::Zero),
            Ok(atoms) if atoms <= MAX_UNITS * ATOMS_PER_UNIT => Ok(Amount::from_atoms(atoms)),
            _ => Err(PriceError::TooLarge),
        }
    }
}

/// `bytes ÷ 2²⁰` in units of 10⁻¹⁶, rounded half away from zero.
fn mebibytes(bytes: u128) -> Option<U256> {
    let scaled = U256::from(bytes).checked_mul(U256::from(QUOTIENT_UNIT))?;
    Some(scaled.checked_add(U256::from(MIB / 2))? / U256::from(MIB))
}

/// An integer of 10^−`digits` as the shortest decimal.
fn decimal(value: U256, digits: usize) -> String {
    let text = format!("{value:0>width$}", value = value.to_string(), width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests;
