//! Kubernetes' way to write amounts: `100m`, `1.5`, `16Gi`, `1e3`.
//!
//! The surprising fact: a fraction below one is no error, even of bytes; it counts as the next whole one.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Thousandths, rounded up; `None` when it is no amount, negative, or too large.
#[must_use]
pub fn milli(quantity: &Quantity) -> Option<u64> {
    thousandths(&quantity.0).and_then(|value| u64::try_from(value).ok())
}

/// Whole ones (bytes, pieces), rounded up; `None` when it is no amount, negative, or too large.
#[must_use]
pub fn whole(quantity: &Quantity) -> Option<u64> {
    bytes(&quantity.0)
}

/// [`whole`] of a text.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    thousandths(text).and_then(|value| u64::try_from(value.div_ceil(1000)).ok())
}

fn thousandths(text: &str) -> Option<u128> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    if digits.len() > 27 {
        return None;
    }
    let mantissa: u128 = digits.parse().ok()?;
    let scale = u32::try_from(fraction.len()).ok()?;
    // Everything times 1000 and over 10^scale, rounded up at the end only.
    let (factor, divisor) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "" => (1000, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            let power: u32 = exponent.trim_start_matches(['+', '-']).parse().ok()?;
            let factor = 10_u128.checked_pow(power)?;
            if exponent.starts_with('-') { (1000, factor) } else { (factor.checked_mul(1000)?, 1) }
        }
    };
    let divisor = 10_u128.checked_pow(scale)?.checked_mul(divisor)?;
    Some(mantissa.checked_mul(factor)?.div_ceil(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        let cases: [(&str, u128, u64); 13] = [
            ("0", 0, 0),
            ("100m", 100, 1),
            ("1.5", 1500, 2),
            ("2", 2000, 2),
            ("16Gi", 17_179_869_184_000, 17_179_869_184),
            ("1536Mi", 1_610_612_736_000, 1_610_612_736),
            ("1.5Gi", 1_610_612_736_000, 1_610_612_736),
            ("1k", 1_000_000, 1000),
            ("1e3", 1_000_000, 1000),
            ("5E-1", 500, 1),
            ("128974848", 128_974_848_000, 128_974_848),
            ("500u", 1, 1),
            ("1E", 1_000_000_000_000_000_000_000, 1_000_000_000_000_000_000),
        ];
        for (text, milli_value, whole_value) in cases {
            let quantity = Quantity(text.to_owned());
            let expected = u64::try_from(milli_value).ok();
            assert_eq!(milli(&quantity), expected, "{text}");
            assert_eq!(whole(&quantity), Some(whole_value), "{text}");
        }
        for wrong in ["", "-1", "Gi", "1Qi", "1.2.3", "e3", "999999999999999999999999999999", "ä"]
        {
            assert_eq!(whole(&Quantity(wrong.to_owned())), None, "{wrong}");
        }
    }
}
