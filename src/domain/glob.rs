//! The pattern rule of attribute keys, which the chain and its providers share.
//!
//! The surprising fact: `*` does not cross a `/`, but a negated class takes one.

/// Whether `pattern` answers all of `name`: `*` is any run without `/`, `?` one character but `/`, `[a-z]` and `[^a-z]` one
/// character, `\` takes the next one literally. A malformed pattern matches nothing. These are the rules of Go's `filepath.Match`.
#[must_use]
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let Some(pattern) = glob(pattern) else { return false };
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // Where the latest star stands, and how much of the name it has not taken yet.
    let mut star: Option<(usize, usize)> = None;
    while at < pattern.len() || seen < name.len() {
        if pattern.get(at) == Some(&Glob::Run) {
            star = Some((at, seen));
            at += 1;
        } else if pattern.get(at).zip(name.get(seen)).is_some_and(|(glob, c)| glob.takes(*c)) {
            at += 1;
            seen += 1;
        } else {
            match star {
                Some((back, from)) if name.get(from).is_some_and(|c| *c != '/') => {
                    star = Some((back, from + 1));
                    (at, seen) = (back + 1, from + 1);
                }
                _ => return false,
            }
        }
    }
    true
}

/// One element of a pattern.
#[derive(PartialEq)]
enum Glob {
    Run,
    One,
    Literal(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Run => false,
            Self::One => c != '/',
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn glob(pattern: &str) -> Option<Vec<Glob>> {
    let mut chars = pattern.chars().peekable();
    let mut found = Vec::new();
    while let Some(c) = chars.next() {
        found.push(match c {
            '*' => Glob::Run,
            '?' => Glob::One,
            '\\' => Glob::Literal(chars.next()?),
            '[' => class(&mut chars)?,
            literal => Glob::Literal(literal),
        });
    }
    Some(found)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Glob> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        // The first element may not be the closing bracket: a class is never empty.
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Glob::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        literal => Some(literal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_key_is_a_pattern_whose_star_stops_at_a_slash() {
        for (pattern, name, expected) in [
            ("vendor/nvidia/model/*", "vendor/nvidia/model/a100", true),
            ("vendor/nvidia/model/*", "vendor/nvidia/model/a100/ram/80Gi", false),
            ("vendor/*", "vendor/nvidia/model/a100", false),
            ("vendor/nvidia/model/a100*", "vendor/nvidia/model/a100-sxm", true),
            ("[a", "a", false),
            ("[a", "[a", false),
            ("region", "region", true),
            ("region", "regions", false),
            ("", "", true),
            ("*", "", true),
            ("*", "a/b", false),
            ("a*b*c", "axxbyybzc", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            ("a[^b-d]e", "afe", true),
            ("[]a]", "]", false),
            ("[-a]", "-", false),
            ("[a-]", "a", false),
            ("[\\]a]", "]", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a\\", "a\\", false),
            ("*x", "xxx", true),
            ("a[^b]c", "a/c", true),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern:?} on {name:?}");
        }
    }
}
