//! What a scalar means, by the rules of the Go library `yaml.v3`: YAML 1.2 with remnants of 1.1.
//!
//! The surprising facts: a bare leading zero is octal (`0120` is 80, yet `08` is 8), a fraction is cut off where an
//! integer is wanted, and `yes` is a boolean only where a boolean is wanted, even in quotes.

use std::borrow::Cow;

use data_encoding::BASE64;

use super::yaml::{Scalar, ScalarTag};

/// A scalar's value without knowing what is wanted.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

/// Why a scalar cannot be what a field wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// What the field wants, for the message.
    pub(super) wanted: &'static str,
}

impl Scalar<'_> {
    /// Whether the scalar is `null`, which leaves a field as if it were not there.
    pub(super) fn is_null(&self) -> bool {
        match self.tag {
            ScalarTag::Implicit | ScalarTag::NonSpecific => is_null(&self.text),
            ScalarTag::Str => false,
            _ => matches!(self.value(), Ok(Value::Null)),
        }
    }

    /// Whether the tag says that this is null, and it is not.
    pub(super) fn is_false_null(&self) -> bool {
        self.tag == ScalarTag::Null && !is_null(&self.text)
    }

    /// The text of a field that holds text; `None` for null.
    pub(super) fn to_text(&self) -> Result<Option<Cow<'_, str>>, Misfit> {
        if self.tag == ScalarTag::Binary {
            let misfit = Misfit { wanted: "text in base64" };
            let bytes = BASE64.decode(self.text.as_bytes()).map_err(|_| misfit.clone())?;
            return String::from_utf8(bytes).map(|text| Some(text.into())).map_err(|_| misfit);
        }
        let plain = matches!(self.tag, ScalarTag::Implicit | ScalarTag::Str);
        let is_null = if plain { self.is_null() } else { self.value()? == Value::Null };
        Ok((!is_null).then_some(Cow::Borrowed(&*self.text)))
    }

    /// The number of a field that holds a count or a port; `None` for null.
    pub(super) fn to_u32(&self) -> Result<Option<u32>, Misfit> {
        let misfit = Misfit { wanted: "an integer from 0 to 4294967295" };
        match self.value()? {
            Value::Null => Ok(None),
            Value::Int(number) => u32::try_from(number).map(Some).map_err(|_| misfit),
            Value::Float(number) if number > -1.0 && number < 4_294_967_296.0 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "in range by the guard; the reference cuts the fraction off"
                )]
                let whole = number as u32;
                Ok(Some(whole))
            }
            _ => Err(misfit),
        }
    }

    /// The truth of a field that holds a boolean; `None` for null.
    pub(super) fn to_bool(&self) -> Result<Option<bool>, Misfit> {
        match (self.value()?, &*self.text) {
            (Value::Null, _) => Ok(None),
            (Value::Bool(truth), _) => Ok(Some(truth)),
            (Value::Text, "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON") => Ok(Some(true)),
            (Value::Text, "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF") => {
                Ok(Some(false))
            }
            _ => Err(Misfit { wanted: "true or false" }),
        }
    }

    fn value(&self) -> Result<Value, Misfit> {
        let value = match self.tag {
            ScalarTag::Timestamp if is_timestamp(&self.text) => return Ok(Value::Text),
            ScalarTag::Timestamp => return Err(Misfit { wanted: "a date, as its tag says" }),
            // A tag of one's own leaves the text, wherever text will do.
            ScalarTag::Str | ScalarTag::Binary | ScalarTag::Foreign => return Ok(Value::Text),
            _ => resolve(&self.text),
        };
        let misfit = |wanted| Err(Misfit { wanted });
        match (self.tag, value) {
            (ScalarTag::Float, Value::Int(number)) => {
                #[expect(clippy::cast_precision_loss, reason = "a tag asks for a float")]
                let number = number as f64;
                Ok(Value::Float(number))
            }
            (ScalarTag::Null, value) if value != Value::Null => misfit("null, as its tag says"),
            (ScalarTag::Bool, value) if !matches!(value, Value::Bool(_)) => {
                misfit("true or false, as its tag says")
            }
            (ScalarTag::Int, value) if !matches!(value, Value::Int(_)) => {
                misfit("an integer, as its tag says")
            }
            (ScalarTag::Float, value) if !matches!(value, Value::Float(_)) => {
                misfit("a number, as its tag says")
            }
            (_, value) => Ok(value),
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn resolve(text: &str) -> Value {
    if is_null(text) {
        return Value::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text;
    }
    // A point at the start leaves only a fraction, and those have no underscores.
    let plain = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    if let Some(number) = integer(&plain) {
        return Value::Int(number);
    }
    if is_float(&plain)
        && let Ok(number) = plain.parse()
    {
        return Value::Float(number);
    }
    Value::Text
}

/// An integer of 64 bits with its sign or without, in the base that its prefix says.
fn integer(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let starts_with_digit = digits.starts_with(|c: char| c.is_digit(base));
    let number = sign * i128::from_str_radix(digits, base).ok().filter(|_| starts_with_digit)?;
    let most =
        if text.starts_with(['+', '-']) { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=most).contains(&number).then_some(number)
}

/// `2001-12-14`, or with a time behind `T`, `t` or a space; the first two have a zone then, the last none.
fn is_timestamp(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((text.as_bytes()[at] == b' ', &text[at + 1..]))),
        None => (text, None),
    };
    is_date(date) && time.is_none_or(|(bare, time)| is_time(time, bare))
}

/// A day of the calendar, its year of four digits.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next = |most| parts.next().and_then(|part| digits(part, most));
    let (year, month, day) = (next(4), next(2), next(2));
    let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    text.find('-') == Some(4) && (1..=days).contains(&day)
}

/// Hours, minutes and seconds, and a zone unless it must be bare.
fn is_time(text: &str, bare: bool) -> bool {
    let (clock, zone) = match text.find(['Z', '+', '-']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let zone_fits = match zone.as_bytes() {
        [] => bare,
        b"Z" => !bare,
        [_, rest @ ..] => {
            let two = |at: usize| {
                rest.get(at..at + 2).is_some_and(|two| two.iter().all(u8::is_ascii_digit))
            };
            !bare && rest.len() == 5 && two(0) && rest[2] == b':' && two(3)
        }
    };
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, "0"));
    let mut parts = clock.split(':').map(|part| digits(part, 2));
    let mut below = |end| parts.next().flatten().is_some_and(|number| number < end);
    zone_fits
        && (below(24) && below(60) && below(60))
        && parts.next().is_none()
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number of one digit to `most`.
fn digits(text: &str, most: usize) -> Option<u32> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar<'_> {
        Scalar { text: text.into(), tag: ScalarTag::Implicit }
    }

    fn quoted(text: &str) -> Scalar<'_> {
        Scalar { text: text.into(), tag: ScalarTag::Str }
    }

    #[test]
    fn a_number_is_read_with_its_prefix_and_without_its_fraction() {
        for (text, expected) in [
            ("80", 80),
            ("0x50", 80),
            ("0b11", 3),
            ("0o17", 15),
            ("0120", 80),
            ("08", 8),
            ("1_000", 1000),
            ("80.5", 80),
            ("1e3", 1000),
            ("-0.5", 0),
            ("+7", 7),
            ("4294967295", u32::MAX),
        ] {
            assert_eq!(plain(text).to_u32(), Ok(Some(expected)), "{text}");
        }
        for text in ["-1", "4294967296", "eighty", "0x", "1e", ".", ".nan", ".inf", "--1", "0x-1"] {
            assert!(plain(text).to_u32().is_err(), "{text}");
        }
        assert!(quoted("80").to_u32().is_err());
        assert_eq!(plain("~").to_u32(), Ok(None));
    }

    #[test]
    fn yes_is_true_where_a_boolean_is_wanted_even_in_quotes_but_quoted_true_is_not() {
        assert_eq!(plain("True").to_bool(), Ok(Some(true)));
        assert_eq!(plain("on").to_bool(), Ok(Some(true)));
        assert_eq!(quoted("No").to_bool(), Ok(Some(false)));
        assert!(quoted("true").to_bool().is_err());
        assert!(plain("1").to_bool().is_err());
    }

    #[test]
    fn a_date_that_its_tag_says_is_a_day_of_the_calendar() {
        for text in ["2001-12-14", "2024-2-29", "2001-12-14t21:59:43.10-05:00", "2001-12-14 1:2:3"]
        {
            let scalar = Scalar { text: text.into(), tag: ScalarTag::Timestamp };
            assert_eq!(scalar.to_text(), Ok(Some(text.into())));
            assert!(scalar.to_u32().is_err() && scalar.to_bool().is_err(), "{text}");
        }
        for text in ["80", "2001-02-29", "2001-13-01", "01-02-03", "2001-12-14T21:59:43", ""] {
            let scalar = Scalar { text: text.into(), tag: ScalarTag::Timestamp };
            assert!(scalar.to_text().is_err(), "{text}");
        }
    }

    #[test]
    fn text_keeps_its_spelling() {
        for text in ["1.0", "0x10", "true", "2020-01-01", "a b"] {
            assert_eq!(plain(text).to_text(), Ok(Some(text.into())));
        }
        assert_eq!(plain("null").to_text(), Ok(None));
        assert_eq!(quoted("null").to_text(), Ok(Some("null".into())));
        let binary = Scalar { text: "bmdpbng=".into(), tag: ScalarTag::Binary };
        assert_eq!(binary.to_text(), Ok(Some("nginx".into())));
    }
}
