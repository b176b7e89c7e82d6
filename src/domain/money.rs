//! Money: checked integers of 10⁻¹⁸, as the chain's `LegacyDec` counts; products and quotients in 256 bits.
//!
//! Three text forms exist. `Display`, `FromStr` and serde use the shortest decimal (`2.30112`); the chain's JSON has
//! always 18 digits ([`Amount::to_padded`]); its protobuf has the bare integer ([`Amount::to_atoms_text`]).

use std::{fmt, str::FromStr};

use ruint::aliases::U256;
use serde::{Deserialize, Serialize, de};

/// How many atoms are one unit.
pub const ATOMS_PER_UNIT: u128 = 1_000_000_000_000_000_000;

/// A number of some [`Denom`], in atoms of 10⁻¹⁸. Never negative; at most 2¹²⁸ − 1 atoms (3.4 × 10²⁰ units).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u128);

/// Why a text or a computation gives no [`Amount`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not `digits` or `digits.digits`.
    #[error("{0:?} is not a decimal number without sign and exponent")]
    Malformed(String),
    /// More than 18 digits after the point, which the chain cannot hold.
    #[error("{0:?} has more than 18 digits after the point")]
    TooPrecise(String),
    /// Below zero.
    #[error("{0:?} is negative")]
    Negative(String),
    /// Larger than 2¹²⁸ − 1 atoms.
    #[error("amount is larger than 340282366920938463463")]
    TooLarge,
    /// A denom that the chain would refuse.
    #[error(
        "{0:?} is not a denom: a letter, then 2 to 127 of letters, digits, '/', ':', '.', '_', '-'"
    )]
    Denom(String),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of whole units.
    ///
    /// # Errors
    /// [`MoneyError::TooLarge`].
    pub fn from_units(units: u128) -> Result<Self, MoneyError> {
        units.checked_mul(ATOMS_PER_UNIT).map(Self).ok_or(MoneyError::TooLarge)
    }

    /// An amount of atoms of 10⁻¹⁸.
    #[must_use]
    pub const fn from_atoms(atoms: u128) -> Self {
        Self(atoms)
    }

    /// The amount in atoms of 10⁻¹⁸.
    #[must_use]
    pub const fn atoms(self) -> u128 {
        self.0
    }

    /// The whole units, the fraction dropped.
    #[must_use]
    pub const fn whole_units(self) -> u128 {
        self.0 / ATOMS_PER_UNIT
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Sum, or `None` when too large.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(atoms) => Some(Self(atoms)),
            None => None,
        }
    }

    /// Difference, or `None` when it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(atoms) => Some(Self(atoms)),
            None => None,
        }
    }

    /// `self × count`, or `None` when too large.
    #[must_use]
    pub const fn checked_mul(self, count: u128) -> Option<Self> {
        match self.0.checked_mul(count) {
            Some(atoms) => Some(Self(atoms)),
            None => None,
        }
    }

    /// `self × numerator ÷ denominator`, rounded up to an atom, computed in 256 bits; `None` when too large or when
    /// `denominator` is 0.
    #[must_use]
    pub fn checked_mul_ratio_up(self, numerator: u128, denominator: u128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let product = U256::from(self.0).checked_mul(U256::from(numerator))?;
        let (quotient, rest) = product.div_rem(U256::from(denominator));
        let rounded =
            if rest.is_zero() { quotient } else { quotient.checked_add(U256::from(1))? };
        u128::try_from(rounded).ok().map(Self)
    }

    /// The chain's JSON form, always 18 digits after the point: `"2.301120000000000000"`.
    #[must_use]
    pub fn to_padded(self) -> String {
        format!("{}.{:018}", self.0 / ATOMS_PER_UNIT, self.0 % ATOMS_PER_UNIT)
    }

    /// The chain's protobuf form, the integer of atoms: `"2301120000000000000"`.
    #[must_use]
    pub fn to_atoms_text(self) -> String {
        self.0.to_string()
    }

    /// Reads the chain's protobuf form.
    ///
    /// # Errors
    /// [`MoneyError`] for a sign, another character, or too large a number.
    pub fn from_atoms_text(text: &str) -> Result<Self, MoneyError> {
        if text.starts_with('-') {
            return Err(MoneyError::Negative(shorten(text)));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MoneyError::Malformed(shorten(text)));
        }
        text.parse().map(Self).map_err(|_| MoneyError::TooLarge)
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

impl FromStr for Amount {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        if text.starts_with('-') {
            return Err(MoneyError::Negative(shorten(text)));
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(MoneyError::Malformed(shorten(text)));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 18 {
            return Err(MoneyError::TooPrecise(shorten(text)));
        }
        let whole: u128 = whole.parse().map_err(|_| MoneyError::TooLarge)?;
        let fraction: u128 =
            if fraction.is_empty() { 0 } else { format!("{fraction:0<18}").parse().unwrap_or(0) };
        whole
            .checked_mul(ATOMS_PER_UNIT)
            .and_then(|atoms| atoms.checked_add(fraction))
            .map(Self)
            .ok_or(MoneyError::TooLarge)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0 / ATOMS_PER_UNIT;
        let fraction = self.0 % ATOMS_PER_UNIT;
        if fraction == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{whole}.{}", format!("{fraction:018}").trim_end_matches('0'))
        }
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What money is counted in: `uact` for leases and deposits, `uakt` for fees.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Denom(std::sync::Arc<str>);

impl Denom {
    /// The denom's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The compute credit that every new order is priced in: 10⁻⁶ ACT.
    #[must_use]
    pub fn uact() -> Self {
        Self("uact".into())
    }

    /// What fees are paid in: 10⁻⁶ AKT.
    #[must_use]
    pub fn uakt() -> Self {
        Self("uakt".into())
    }
}

impl FromStr for Denom {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let mut bytes = text.bytes();
        let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"/:._-".contains(&byte));
        if starts && goes_on && (3..=128).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(MoneyError::Denom(shorten(text)))
        }
    }
}

impl fmt::Display for Denom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Denom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_serde {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

text_serde!(Amount, Denom);

/// A price per block (the chain's `DecCoin`): a fractional amount of a denom.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Price {
    /// What it is counted in.
    pub denom: Denom,
    /// How much, with up to 18 digits after the point.
    pub amount: Amount,
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.denom)
    }
}

/// Whole money (the chain's `Coin`): a deposit, a fee, a balance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coin {
    /// What it is counted in.
    pub denom: Denom,
    /// Whole units.
    #[serde(with = "units_text")]
    pub amount: u128,
}

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.amount, self.denom)
    }
}

impl FromStr for Coin {
    type Err = MoneyError;

    /// Reads the command line's form: `500000uact`.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (amount, denom) = text.split_at(at);
        if amount.is_empty() {
            return Err(MoneyError::Malformed(shorten(text)));
        }
        Ok(Self {
            denom: denom.parse()?,
            amount: amount.parse().map_err(|_| MoneyError::TooLarge)?,
        })
    }
}

/// Whole units as a decimal string, since JSON numbers lose digits above 2⁵³.
mod units_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(units: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(units)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parse_of_print_is_the_same_amount(atoms: u128) {
            let amount = Amount::from_atoms(atoms);
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            prop_assert_eq!(amount.to_padded().parse::<Amount>().unwrap(), amount);
            prop_assert_eq!(Amount::from_atoms_text(&amount.to_atoms_text()).unwrap(), amount);
        }
    }

    #[test]
    fn the_three_text_forms_are_the_chains() {
        let amount: Amount = "2.30112".parse().unwrap();
        assert_eq!(amount.to_string(), "2.30112");
        assert_eq!(amount.to_padded(), "2.301120000000000000");
        assert_eq!(amount.to_atoms_text(), "2301120000000000000");
    }

    #[test]
    fn an_impossible_amount_is_refused_with_its_reason() {
        for (text, expected) in [
            ("-1", MoneyError::Negative("-1".into())),
            ("", MoneyError::Malformed(String::new())),
            (".5", MoneyError::Malformed(".5".into())),
            ("5.", MoneyError::Malformed("5.".into())),
            ("1e3", MoneyError::Malformed("1e3".into())),
            ("0.0000000000000000001", MoneyError::TooPrecise("0.0000000000000000001".into())),
            ("340282366920938463464", MoneyError::TooLarge),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_product_is_exact_in_256_bits_and_its_quotient_rounds_up() {
        let large = Amount::from_atoms(u128::MAX);
        assert_eq!(large.checked_mul_ratio_up(u128::MAX, u128::MAX), Some(large));
        assert_eq!(Amount::from_atoms(1).checked_mul_ratio_up(1, 3), Some(Amount::from_atoms(1)));
        assert_eq!(large.checked_mul_ratio_up(2, 1), None);
        assert_eq!(large.checked_mul_ratio_up(1, 0), None);
    }
}
