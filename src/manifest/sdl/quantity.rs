//! Quantities as tenants write them: `0.5` or `500m` cores, `1.5Gi` bytes, `1h30m`, prices.
//!
//! Floats appear here and nowhere else in the rules of resources, because the reference multiplies 64-bit floats and
//! cuts the fraction off: `1.005` cores are 1004 thousandths. Exact arithmetic would give another deployment.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the reference's conversions, fraction cut off, are what both sides have agreed on"
)]

use std::time::Duration;

use super::{
    cursor::Whole,
    js::{self, JsValue},
};
use crate::{
    domain::{Amount, MoneyError},
    manifest::{Dialect, violation::quoted},
};

/// Why a text is no quantity: a message, and the reference's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) message: String,
    pub(super) reference: String,
}

/// Suffixes of memory and storage sizes; case matters.
const BYTE_SUFFIXES: [(&str, u64); 12] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// How many of [`BYTE_SUFFIXES`] a GPU's memory may have.
const BINARY_SUFFIXES: usize = 6;

/// Thousandths of a core.
pub(super) fn cpu_milli(text: &str) -> Result<u32, Malformed> {
    if let Some(milli) = text.strip_suffix('m') {
        return unsigned(milli, 32).map(|milli| milli as u32);
    }
    let cores = float(text).ok_or_else(|| not_float(text, text, "CPU", "0.5, 2 or 500m"))?;
    let milli = not_negative(cores * 1000.0, text)?;
    // The reference converts by way of 64 bits and keeps the lower half.
    // Beyond 64 bits its hardware gives a number whose lower half is nothing.
    Ok(if milli < 9_223_372_036_854_775_808.0 { milli as i64 as u32 } else { 0 })
}

/// Bytes of memory or storage.
pub(super) fn bytes(text: &str) -> Result<u64, Malformed> {
    with_suffix(text, &BYTE_SUFFIXES, "512Mi, 1.5Gi or 10G")
}

/// Whole GiB of a GPU's memory.
pub(super) fn gpu_ram_gib(text: &str) -> Result<u64, Malformed> {
    with_suffix(text, &BYTE_SUFFIXES[..BINARY_SUFFIXES], "80Gi").map(|bytes| bytes >> 30)
}

/// Pieces of GPU.
pub(super) fn gpu_units(text: &str) -> Result<u64, Malformed> {
    unsigned(text, 64)
}

fn with_suffix(text: &str, suffixes: &[(&str, u64)], examples: &str) -> Result<u64, Malformed> {
    let found = suffixes
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor as f64)));
    let (number, factor) = found.unwrap_or((text, 1.0));
    let value = float(number).ok_or_else(|| not_float(text, number, "size", examples))?;
    not_negative(value * factor, text).map(to_u64)
}

/// A float as 64 bits without sign: what is beyond them, and what is no number, is half of their range.
fn to_u64(value: f64) -> u64 {
    if value < 18_446_744_073_709_551_616.0 { value as u64 } else { 1 << 63 }
}

fn not_float(text: &str, number: &str, what: &str, examples: &str) -> Malformed {
    Malformed {
        message: format!(
            "{what} {} is not a number with a known suffix, such as {examples}; upper and lower case differ",
            quoted(text)
        ),
        reference: format!("strconv.ParseFloat: parsing {}: invalid syntax", quoted(number)),
    }
}

fn not_negative(value: f64, text: &str) -> Result<f64, Malformed> {
    if value < 0.0 {
        return Err(Malformed {
            message: format!("{} is negative", quoted(text)),
            reference: "invalid: negative value not allowed".to_owned(),
        });
    }
    Ok(value)
}

fn unsigned(text: &str, bits: u32) -> Result<u64, Malformed> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse::<u64>().ok().filter(|number| bits == 64 || *number >> bits == 0);
    let why = match (digits, parsed) {
        (true, Some(number)) => return Ok(number),
        (true, None) => "value out of range",
        (false, _) => "invalid syntax",
    };
    Err(Malformed {
        message: format!("{} is not a whole number of {bits} bits without sign", quoted(text)),
        reference: format!("strconv.ParseUint: parsing {}: {why}", quoted(text)),
    })
}

/// A 64-bit float as Go's `ParseFloat` reads it, which beyond Rust's grammar takes hexadecimal ones (`0x1p3`).
fn float(text: &str) -> Option<f64> {
    if text.contains('_') {
        return if underscores_separate(text) { float(&text.replace('_', "")) } else { None };
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(hexadecimal) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let magnitude = hexadecimal_float(hexadecimal)?;
        return Some(if text.starts_with('-') { -magnitude } else { magnitude });
    }
    let value: f64 = text.parse().ok()?;
    let spelled_out = unsigned.starts_with(|c: char| c.is_ascii_alphabetic());
    (value.is_finite() || spelled_out).then_some(value)
}

/// Underscores stand between digits, or between a prefix and a digit.
fn underscores_separate(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hexadecimal = unsigned.starts_with("0x") || unsigned.starts_with("0X");
    let digit = |byte: u8| {
        if hexadecimal {
            byte.is_ascii_hexdigit() || byte | 32 == b'x'
        } else {
            byte.is_ascii_digit()
        }
    };
    let bytes = unsigned.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let neighbour =
            |at: Option<usize>| at.and_then(|at| bytes.get(at)).copied().is_some_and(digit);
        neighbour(at.checked_sub(1)) && neighbour(Some(at + 1))
    })
}

/// `1.8p3`: hexadecimal digits with a binary exponent, which is not optional.
fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !exponent_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok()?;
    let scale = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    let value = u64::from_str_radix(&digits, 16).ok()? as f64 * 2_f64.powi(scale);
    value.is_finite().then_some(value)
}

/// A positive time as Go's `ParseDuration` reads it: `720h`, `1h30m`, `1.5h`; there are no days.
pub(super) fn duration(text: &str) -> Result<Duration, Malformed> {
    let nanoseconds = nanoseconds(text).ok_or_else(|| Malformed {
        message: format!("{} is not a time such as 720h, 1h30m or 90s", quoted(text)),
        reference: format!(
            "SDL invalid: invalid reclamation min_window {text:?}: time: invalid duration {text:?}"
        ),
    })?;
    match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => Ok(Duration::from_nanos(nanoseconds)),
        _ => Err(Malformed {
            message: format!("{} is not longer than nothing", quoted(text)),
            reference: "SDL invalid: reclamation min_window must be > 0".to_owned(),
        }),
    }
}

/// How long a provider must warn: npm knows whole seconds, minutes or hours.
pub(super) fn window(dialect: Dialect, text: &str) -> Result<Duration, Malformed> {
    if dialect == Dialect::Go {
        return duration(text);
    }
    let malformed = || Malformed {
        message: format!("{} is not a time such as 720h, 90m or 90s", quoted(text)),
        reference: String::new(),
    };
    let (number, seconds) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 60),
        _ => (text.strip_suffix('h').unwrap_or_default(), 3600),
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if number.is_empty() || number.starts_with('0') || !digits {
        return Err(malformed());
    }
    let number = number.parse::<u64>().unwrap_or(u64::MAX);
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, unit) = rest.split_at(end);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, next) = unit.split_at(end);
        sum = sum.checked_add(part_nanoseconds(number, unit)?)?;
        rest = next;
    }
    i64::try_from(if negative { -sum } else { sum }).ok()
}

fn part_nanoseconds(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
    // Digits beyond the eighteenth cannot make a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let places = u32::try_from(fraction.len()).ok()?;
    let part = digits(fraction)?.checked_mul(unit)? / 10_i128.checked_pow(places)?;
    digits(whole)?.checked_mul(unit)?.checked_add(part)
}

/// A price's amount: above zero, at most 18 digits after the point.
pub(super) fn price(text: &str) -> Result<Amount, Malformed> {
    let malformed = |message: String, reference: String| Malformed { message, reference };
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let fraction = unsigned.split_once('.').map_or("", |(_, fraction)| fraction);
    let parsed = if fraction.len() > 18 {
        Err(MoneyError::TooPrecise(fraction.chars().take(64).collect()))
    } else {
        unsigned.parse::<Amount>()
    };
    match parsed {
        Ok(amount) if amount.is_zero() => Err(malformed(
            "price is zero; providers are paid".to_owned(),
            "invalid coin amount: amount is zero".to_owned(),
        )),
        Ok(amount) => Ok(amount),
        Err(MoneyError::Negative(_)) => Err(malformed(
            format!("price {} is negative", quoted(text)),
            format!("invalid: negative value not allowed: amount {text} is negative"),
        )),
        Err(error) => Err(malformed(
            error.to_string(),
            format!("failed to set decimal string with base 10: {}", quoted(text)),
        )),
    }
}

/// A number of JavaScript as a whole one, with its text where it is none of 64 bits.
pub(super) fn whole(number: f64) -> Whole<u64> {
    let text = js::number_text(number);
    match text.parse() {
        Ok(nearest) => Whole { nearest, spelled: None },
        Err(_) => Whole { nearest: number as u64, spelled: Some(text) },
    }
}

/// `[0-9]+(\.[0-9]+)?`
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

/// Whether a text is zero to npm's schema: `0+(\.0+)?`.
pub(super) fn is_zero(text: &str) -> bool {
    is_decimal(text) && text.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Thousandths of a core as npm reads them: a suffix other than `m` means nothing, and fractions stay.
pub(super) fn js_cpu_milli(value: &JsValue<'_>) -> Result<f64, &'static str> {
    const WANTED: &str = "CPU units above zero such as 0.5, \"2\" or \"500m\"";
    match value {
        JsValue::Number(cores) if *cores > 0.0 => Ok(cores * 1000.0),
        JsValue::Text(text) => {
            let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
            let (number, suffix) = text.split_at(end);
            let zero = is_zero(number) && matches!(suffix, "" | "m");
            if !is_decimal(number) || !suffix.bytes().all(|byte| byte.is_ascii_alphabetic()) || zero
            {
                return Err(WANTED);
            }
            let number = js::leading_float(number);
            Ok(if suffix.eq_ignore_ascii_case("m") { number } else { number * 1000.0 })
        }
        _ => Err(WANTED),
    }
}

/// Bytes as npm reads them: a suffix of any case must stand there, only `i` makes it binary, and a fraction is one byte
/// more.
pub(super) fn js_bytes(value: &JsValue<'_>) -> Result<f64, &'static str> {
    const WANTED: &str = "text with digits and a suffix, such as \"512Mi\"";
    let JsValue::Text(text) = value else { return Err(WANTED) };
    let text = text.to_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let mut letters = suffix.chars();
    let (first, rest) = (letters.next(), letters.as_str());
    let lettered = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let Some(first) = first.filter(|_| !number.is_empty() && lettered(suffix)) else {
        return Err(WANTED);
    };
    let base: f64 = if rest == "i" { 1024.0 } else { 1000.0 };
    let power = "kmgtpe".find(first).map_or(0, |at| at + 1);
    let factor = (0..power).fold(1.0, |factor, _| factor * base);
    Ok((js::leading_float(number) * factor).ceil())
}

/// Pieces of GPU as npm reads them: any number, or the one that a text begins with.
pub(super) fn js_gpu_units(value: &JsValue<'_>) -> Result<f64, &'static str> {
    match value {
        JsValue::Number(units) => Ok(*units),
        JsValue::Text(text) => Ok(js::leading_integer(text)),
        _ => Err("a number or text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_as_the_reference_reads_it() {
        for (text, milli) in [
            ("1", 1000),
            ("0.5", 500),
            ("100m", 100),
            (".5", 500),
            ("5.", 5000),
            ("1e1", 10_000),
            ("1.005", 1004),
            ("0x1p3", 8000),
            ("0x_1p3", 8000),
            ("1_0", 10_000),
            ("4294968", 704),
        ] {
            assert_eq!(cpu_milli(text), Ok(milli), "{text}");
        }
        for text in [
            "",
            "m",
            "0.5m",
            "-1",
            "-100m",
            "+1m",
            "2cores",
            "1__0",
            "1_",
            "_1",
            "1e999",
            "4294967296m",
        ] {
            assert!(cpu_milli(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_know_their_suffixes_by_case() {
        for (text, expected) in [
            ("512", 512),
            ("1k", 1000),
            ("1Ki", 1024),
            ("0.5Mi", 524_288),
            ("0.3Gi", 322_122_547),
            ("1E", 1_000_000_000_000_000_000),
            ("1e3", 1000),
            ("3Ei", 3 << 60),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "1K", "1m", "1Gb", "1gi", "1MiB", "512 Mi", "-1", "Gi"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(
            bytes("15Gb").unwrap_err().reference,
            "strconv.ParseFloat: parsing \"15Gb\": invalid syntax"
        );
    }

    #[test]
    fn gpu_memory_is_cut_to_whole_gib() {
        assert_eq!(gpu_ram_gib("81920Mi"), Ok(80));
        assert_eq!(gpu_ram_gib("1.5Gi"), Ok(1));
        assert_eq!(gpu_ram_gib("24"), Ok(0));
        assert_eq!(gpu_ram_gib("18446744073709551616"), Ok(8_589_934_592));
        assert!(gpu_ram_gib("80G").is_err());
    }

    #[test]
    fn durations_are_sums_without_days() {
        for (text, seconds) in [("1h", 3600), ("1h30m", 5400), ("1.5h", 5400), ("+90s", 90)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "1d", "abc", "h", "1", "-", "9999999999h", "0", "0s", "-1h", ".s", "1..5h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_price_is_above_zero_and_has_at_most_18_digits() {
        assert_eq!(price("+5.5"), "5.5".parse().map_err(|_| unreachable!()));
        for text in ["0", "0.0", "-1", "1e3", "", ".5", "5.", "1.0000000000000000000"] {
            assert!(price(text).is_err(), "{text}");
        }
    }
}
