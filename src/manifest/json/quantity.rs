//! Quantities: integers of any base, in texts.

use std::borrow::Cow;

use ruint::aliases::U256;
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess},
};
use serde_json::value::RawValue;

use super::read::{At, Names, Read, ReadParts, Target, read_by_parts, type_name};
use crate::manifest::{
    model::Quantity,
    violation::{Violations, quoted},
};

read_by_parts!([] Quantity);

/// `{"val": "1000"}`: a string with a decimal, hexadecimal, octal or binary integer.
impl ReadParts for Quantity {
    const WANTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        mut members: A,
        at: &At<'_>,
        violations: &mut Violations,
    ) -> Result<(), A::Error> {
        while let Some(known) = members.next_key_seed(Names(&["val"]))? {
            if known.is_none() {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw = members.next_value::<&RawValue>()?;
            self.read_literal(raw, &at.member("ResourceValue", "val"), violations);
        }
        Ok(())
    }
}

impl Quantity {
    fn read_literal(&mut self, raw: &RawValue, at: &At<'_>, violations: &mut Violations) {
        let text = match type_name(raw) {
            "null" => Some(Cow::Borrowed("")),
            "string" => <&str>::deserialize(raw)
                .map(Cow::Borrowed)
                .or_else(|_| String::deserialize(raw).map(Cow::Owned))
                .ok(),
            _ => None,
        };
        let Some(text) = text else {
            let found = if type_name(raw) == "number" { "number" } else { "value" };
            let message = format!("expected a string with an integer, found {found}");
            violations.add("wrong-type", at.pointer(), message).reference(format!(
                "json: cannot unmarshal {found} into Go struct field {}.{} of type string",
                at.structure,
                at.members()
            ));
            return;
        };
        match integer(&text) {
            Some(quantity) => *self = quantity,
            None => violations
                .add(
                    "bad-quantity",
                    at.pointer(),
                    format!("{} is not an integer of at most 256 bits", quoted(&text)),
                )
                .reference(format!("math/big: cannot unmarshal {text:?} into a *big.Int")),
        }
    }
}

/// An integer literal as Go writes it: a sign, a prefix that gives the base (a bare leading zero is octal), and single
/// underscores between digits.
fn integer(text: &str) -> Option<Quantity> {
    if (text == "0" || !text.starts_with('0'))
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse::<u64>()
    {
        return Some(number.into());
    }
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // An underscore may stand after a prefix and between digits, so the prefix counts as a digit.
    let after_prefix = digits.len() < lower.len();
    let bare = digits.strip_prefix('_').filter(|_| after_prefix).unwrap_or(digits);
    let mut magnitude = U256::ZERO;
    for group in bare.split('_') {
        if group.is_empty() {
            return None;
        }
        for digit in group.chars() {
            let digit = digit.to_digit(base)?;
            magnitude = magnitude.checked_mul(U256::from(base))?.checked_add(U256::from(digit))?;
        }
    }
    Some(Quantity::new(negative, magnitude))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_read_in_the_base_of_its_prefix() {
        for text in ["1000", "+1000", "1_000", "0x3e8", "0X3E8", "01750", "0o1750", "0x_3e8"] {
            assert_eq!(integer(text).and_then(Quantity::to_u64), Some(1000), "{text}");
        }
        for text in ["", "-", "1000.5", "1e3", "_1", "1_", "1__0", "08", "0x", " 1", "--1"] {
            assert_eq!(integer(text), None, "{text:?}");
        }
        assert_eq!(integer("0").and_then(Quantity::to_u64), Some(0));
        assert_eq!(integer("-0"), integer("0"));
        assert!(integer(&format!("0x{}", "f".repeat(64))).is_some());
        assert!(integer(&format!("0x1{}", "0".repeat(64))).is_none());
    }
}
