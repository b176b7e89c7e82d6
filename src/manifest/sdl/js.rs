//! What a scalar means to the npm package: JavaScript values as js-yaml makes them, and their texts.
//!
//! Floats appear here because every number of JavaScript is one, and their shortest texts are what npm hashes. The
//! surprising facts: `0120` is 120, a date is no text, and `1.0` as an attribute's value becomes `1`.

use std::{borrow::Cow, cmp::Ordering};

use data_encoding::BASE64_MIME;

use super::{
    scalar::Misfit,
    yaml::{Content, Id, Node, Scalar, ScalarTag, Tree},
};

/// A scalar's value in JavaScript.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum JsValue<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(&'a str),
    /// Seconds since 1970.
    Date(i64),
    Bytes(Vec<u8>),
}

impl Scalar<'_> {
    /// The value that js-yaml's default schema gives.
    pub(super) fn to_js(&self) -> Result<JsValue<'_>, Misfit> {
        let text = &*self.text;
        let tagged = |value: Option<JsValue<'static>>| {
            value.ok_or(Misfit { wanted: "a value that fits its tag" })
        };
        match self.tag {
            ScalarTag::Implicit => Ok(implicit(text)),
            ScalarTag::Str | ScalarTag::NonSpecific => Ok(JsValue::Text(text)),
            ScalarTag::Null => tagged(is_null(text).then_some(JsValue::Null)),
            ScalarTag::Bool => tagged(boolean(text).map(JsValue::Bool)),
            ScalarTag::Int => tagged(integer(text).map(JsValue::Number)),
            ScalarTag::Float => tagged(float(text).map(JsValue::Number)),
            ScalarTag::Binary => {
                tagged(BASE64_MIME.decode(text.as_bytes()).ok().map(JsValue::Bytes))
            }
            ScalarTag::Timestamp => tagged(date(text).map(JsValue::Date)),
            ScalarTag::Foreign => Err(Misfit { wanted: "a value without a tag of its own" }),
        }
    }

    /// The name that a scalar is as the key of an object.
    pub(super) fn to_js_key(&self) -> Cow<'_, str> {
        match self.to_js() {
            Ok(value) => value.to_text(),
            Err(_) => Cow::Borrowed(&self.text),
        }
    }
}

impl<'a> JsValue<'a> {
    /// `String(value)`.
    pub(super) fn to_text(&self) -> Cow<'a, str> {
        match self {
            Self::Null => Cow::Borrowed("null"),
            Self::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            Self::Number(number) => Cow::Owned(number_text(*number)),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Date(seconds) => Cow::Owned(date_text(*seconds)),
            Self::Bytes(bytes) => {
                let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
                Cow::Owned(numbers.join(","))
            }
        }
    }
}

/// `String(value)` of any node, lists and mappings included.
pub(super) fn node_text(tree: &Tree<'_>, node: &Node<'_>) -> Result<String, Misfit> {
    match &node.content {
        Content::Scalar(scalar) => Ok(scalar.to_js()?.to_text().into_owned()),
        Content::Mapping(_) => Ok("[object Object]".to_owned()),
        Content::Sequence(items) => {
            let texts: Result<Vec<String>, Misfit> = tree
                .children(*items)
                .iter()
                .map(|id| match &tree.node(*id).content {
                    // An absent item joins as nothing.
                    Content::Scalar(scalar) if scalar.to_js() == Ok(JsValue::Null) => {
                        Ok(String::new())
                    }
                    _ => node_text(tree, tree.node(*id)),
                })
                .collect();
            Ok(texts?.join(","))
        }
    }
}

/// The name that a list or a mapping is as the key of an object; `None` for lists in lists, which are no keys.
pub(super) fn key_text(tree: &Tree<'_>, key: &Node<'_>) -> Option<String> {
    if let Content::Sequence(items) = key.content {
        let is_list = |id: &Id| matches!(tree.node(*id).content, Content::Sequence(_));
        if tree.children(items).iter().any(is_list) {
            return None;
        }
    }
    node_text(tree, key).ok()
}

fn implicit(text: &str) -> JsValue<'_> {
    if is_null(text) {
        return JsValue::Null;
    }
    if let Some(truth) = boolean(text) {
        return JsValue::Bool(truth);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return JsValue::Text(text);
    }
    if let Some(number) = integer(text).or_else(|| float(text)) {
        return JsValue::Number(number);
    }
    date(text).map_or(JsValue::Text(text), JsValue::Date)
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Digits with underscores between them, a sign first, perhaps a prefix that gives the base.
fn integer(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match unsigned.as_bytes() {
        [b'0', b'b', ..] => (2, &unsigned[2..]),
        [b'0', b'o', ..] => (8, &unsigned[2..]),
        [b'0', b'x', ..] => (16, &unsigned[2..]),
        _ => (10, unsigned),
    };
    let after_prefix = base != 10 || digits.starts_with('0');
    let has_digits = digits.bytes().any(|byte| byte != b'_');
    let fits = digits.chars().all(|c| c == '_' || c.is_digit(base));
    let underscores = digits.ends_with('_')
        || (digits.starts_with('_') && !after_prefix)
        || (base == 10 && digits.starts_with("0_"));
    if !has_digits || !fits || underscores {
        return None;
    }
    let plain = digits.replace('_', "");
    let magnitude = if base == 10 {
        plain.parse().ok()?
    } else {
        // Every prefix of the digits is exact until it is rounded for good.
        plain
            .chars()
            .filter_map(|c| c.to_digit(base))
            .fold(0.0, |sum: f64, digit| sum.mul_add(f64::from(base), f64::from(digit)))
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// A decimal fraction with an exponent, or a word for what is none.
fn float(text: &str) -> Option<f64> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let loose = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let whole_fits = match (whole, fraction) {
        // Without a digit before the point there is no sign.
        ("", Some(fraction)) => !fraction.is_empty() && unsigned == text,
        (whole, _) => whole.starts_with(|c: char| c.is_ascii_digit()) && loose(whole),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !whole_fits || !fraction.is_none_or(loose) || !exponent_fits || text.ends_with('_') {
        return None;
    }
    let plain = unsigned.replace('_', "");
    // `._5` and the like may lose every digit.
    let magnitude = plain.parse().unwrap_or(f64::NAN);
    Some(sign * magnitude)
}

/// `parseFloat` of digits and points: the longest number at the start.
pub(super) fn leading_float(text: &str) -> f64 {
    let mut points = 0;
    let end = text
        .find(|c: char| {
            points += usize::from(c == '.');
            !(c.is_ascii_digit() || (c == '.' && points == 1))
        })
        .unwrap_or(text.len());
    text[..end].parse().unwrap_or(f64::NAN)
}

/// `parseInt(text, 10)`: the integer at the start, after white space.
pub(super) fn leading_integer(text: &str) -> f64 {
    let text = text.trim_start();
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    sign * unsigned[..end].parse().unwrap_or(f64::NAN)
}

/// `number.toString()`: the shortest digits that give the number back, an exponent from 21 digits on.
pub(super) fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let point = exponent.parse::<i32>().unwrap_or_default() + 1;
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let sign = if number < 0.0 { "-" } else { "" };
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let split = |at: i32| digits.split_at(usize::try_from(at).unwrap_or_default());
    let body = match point {
        _ if length <= point && point <= 21 => format!("{digits}{}", zeros(point - length)),
        1..=21 => {
            let (whole, fraction) = split(point);
            format!("{whole}.{fraction}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = split(1);
            let point_and_rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
            format!("{first}{point_and_rest}e{:+}", point - 1)
        }
    };
    format!("{sign}{body}")
}

/// `2001-12-14` or `2001-12-14t21:59:43.10-05:00` in seconds since 1970; what is beyond a month's end counts on.
fn date(text: &str) -> Option<i64> {
    let number = |part: &str, least: usize, most: usize| {
        let fits =
            (least..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse::<i64>().ok()).flatten()
    };
    let (day, rest) = match text.find(['T', 't', ' ', '\t']) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let least = if rest.is_some() { 1 } else { 2 };
    let midnight = days(number(year, 4, 4)?, number(month, least, 2)?, number(day, least, 2)?);
    let seconds = midnight * 86_400;
    let Some(rest) = rest else { return Some(seconds) };
    let time = match rest.strip_prefix(['T', 't']) {
        Some(time) => time,
        None => rest.trim_start_matches([' ', '\t']),
    };
    let end = time.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.');
    let (clock, zone) = time.split_at(end.unwrap_or(time.len()));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let of_day = number(hour, 1, 2)? * 3600 + number(minute, 2, 2)? * 60 + number(second, 2, 2)?;
    let zone = zone.trim_start_matches([' ', '\t']);
    let offset = match zone.as_bytes().first() {
        None => 0,
        Some(b'Z') if zone.len() == 1 => 0,
        Some(sign @ (b'+' | b'-')) => {
            let (hours, minutes) = zone[1..].split_once(':').unwrap_or((&zone[1..], "00"));
            let ahead = number(hours, 1, 2)? * 3600 + number(minutes, 2, 2)? * 60;
            if *sign == b'-' { -ahead } else { ahead }
        }
        Some(_) => return None,
    };
    Some(seconds + of_day - offset)
}

/// Days from 1970 to a date whose month and day may be beyond their ends; years before 100 are those of the twentieth
/// century.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if year < 100 { year + 1900 } else { year };
    let months = year * 12 + month - 1;
    // The year begins in March, so that the leap day is its last.
    let from_march = months - 2;
    let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// A date's text where the clock is set to Greenwich.
fn date_text(seconds: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (day, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let pick = |names: &'static [&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
    };
    let mut year = 1970 + day.div_euclid(366);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day).unwrap_or(1);
    format!(
        "{} {} {:02} {year:04} {:02}:{:02}:{:02} GMT+0000 (Coordinated Universal Time)",
        pick(&WEEKDAYS, day.rem_euclid(7)),
        pick(&MONTHS, month - 1),
        day - days(year, month, 1) + 1,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// The characters of ASCII in the order of the root collation of Unicode; upper case differs only when all else is equal.
const COLLATION: &[u8] =
    b"\t\n\x0b\x0c\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";

/// The weight of each character of ASCII, 0 for those that do not count.
const WEIGHTS: [u8; 128] = {
    let mut weights = [0; 128];
    let mut place = 0;
    while place < COLLATION.len() {
        #[expect(clippy::cast_possible_truncation, reason = "fewer than 128 places")]
        let weight = place as u8 + 1;
        weights[COLLATION[place] as usize] = weight;
        weights[COLLATION[place].to_ascii_uppercase() as usize] = weight;
        place += 1;
    }
    weights
};

/// `a.localeCompare(b)` for names of ASCII; other characters come behind it, by their number.
pub(super) fn locale_compare(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let weights = letters(a).map(|(_, weight)| weight).cmp(letters(b).map(|(_, weight)| weight));
    let upper = |(letter, _): (char, u32)| letter.is_ascii_uppercase();
    weights.then_with(|| letters(a).map(upper).cmp(letters(b).map(upper)))
}

/// The characters that count, each with its weight.
fn letters(text: &str) -> impl Iterator<Item = (char, u32)> {
    let weighed = text.chars().map(|letter| {
        (letter, WEIGHTS.get(letter as usize).map_or(letter as u32, |weight| u32::from(*weight)))
    });
    weighed.filter(|(_, weight)| *weight != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> JsValue<'_> {
        implicit(text)
    }

    #[test]
    fn a_number_is_read_as_javascript_reads_it() {
        for (text, expected) in [
            ("0120", 120.0),
            ("0x50", 80.0),
            ("-0b11", -3.0),
            ("1_000", 1000.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("08", 8.0),
            ("1__0", 10.0),
            ("0x_1", 1.0),
            // No whole number, and yet a fraction's pattern fits.
            ("0_1", 1.0),
        ] {
            assert_eq!(plain(text), JsValue::Number(expected), "{text}");
        }
        for text in ["1_", "_1", "-.5", "+.5", "1e", "1.2.3", "-", "+", "0x", "e3", "--1"] {
            assert_eq!(plain(text), JsValue::Text(text), "{text}");
        }
    }

    #[test]
    fn a_number_is_written_as_javascript_writes_it() {
        for (number, expected) in [
            (1.001 * 1000.0, "1000.9999999999999"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1.5e-7, "1.5e-7"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (-0.0, "0"),
            (-12.5, "-12.5"),
            (1.234e25, "1.234e+25"),
            (9_223_372_036_854_775_808.0, "9223372036854776000"),
        ] {
            assert_eq!(number_text(number), expected);
        }
    }

    #[test]
    fn a_date_becomes_its_long_text() {
        for (text, expected) in [
            ("2020-01-01", "Wed Jan 01 2020 00:00:00"),
            ("2024-02-29", "Thu Feb 29 2024 00:00:00"),
            ("2001-12-14t21:59:43.10-05:00", "Sat Dec 15 2001 02:59:43"),
            ("1969-12-31 23:59:59", "Wed Dec 31 1969 23:59:59"),
        ] {
            let expected = format!("{expected} GMT+0000 (Coordinated Universal Time)");
            assert_eq!(plain(text).to_text(), expected, "{text}");
        }
        assert_eq!(plain("2020-1-1"), JsValue::Text("2020-1-1"));
    }

    #[test]
    fn names_are_compared_without_case_first() {
        for (less, more) in [("a_b", "a-b"), ("a-b", "ab"), ("a", "A"), ("Ab", "aC"), ("aA", "Aa")]
        {
            assert_eq!(locale_compare(less, more), Ordering::Less, "{less} {more}");
        }
    }
}
