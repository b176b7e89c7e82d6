//! The grammars of names, as Kubernetes and the chain check them.

/// A service: `[a-z]([-a-z0-9]*[a-z0-9])?`, of any length.
pub(super) fn is_service_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && is_label(name)
}

/// A hostname: DNS labels of lower-case letters, digits and inner dashes, at most 253 bytes in all.
pub(super) fn is_hostname(host: &str) -> bool {
    host.len() <= 253 && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !label.is_empty()
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// An environment variable: letters, digits, `-`, `.`, `_`; no digit first; not `.`, and no `..` first.
pub(super) fn is_env_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-._".contains(&c);
    !name.is_empty()
        && name.bytes().all(allowed)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name != "."
        && !name.starts_with("..")
}

/// An attribute's key: a letter, then 1 to 126 of letters, digits, `_`, `/`, `.`, `-`, then perhaps one more or `*`.
pub(super) fn is_attribute_key(key: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"_/.-".contains(&c);
    let bytes = key.as_bytes();
    let Some((first, rest)) = bytes.split_first() else { return false };
    // The optional last place takes a word character or `*`, so a key of 128 bytes cannot end in `/`, `.` or `-`.
    let middle = match rest.split_last() {
        Some((b'*', middle)) => middle,
        Some((last, middle))
            if rest.len() == 127 && (last.is_ascii_alphanumeric() || *last == b'_') =>
        {
            middle
        }
        _ => rest,
    };
    first.is_ascii_alphabetic()
        && (1..=126).contains(&middle.len())
        && middle.iter().all(|c| inner(*c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_is_a_lower_case_label() {
        for name in ["a", "web", "web-1", "a1"] {
            assert!(is_service_name(name), "{name}");
        }
        for name in ["", "1a", "Web", "-a", "a-", "a_b", "a.b", "ä"] {
            assert!(!is_service_name(name), "{name}");
        }
    }

    #[test]
    fn a_hostname_is_lower_case_without_wildcard_port_or_final_dot() {
        for host in ["a", "1.example.com", "a-b.example"] {
            assert!(is_hostname(host), "{host}");
        }
        for host in ["", "A.com", "*.a.com", "a.com.", "a..b", "a.com:80", "-a.com", "a_b.com"] {
            assert!(!is_hostname(host), "{host}");
        }
        assert!(!is_hostname(&"a".repeat(254)));
    }

    #[test]
    fn an_environment_name_may_hold_dots_and_dashes_but_not_start_with_two_dots() {
        for name in ["A", "_a", "a.b-c", ".a", "-"] {
            assert!(is_env_name(name), "{name}");
        }
        for name in ["", "1A", ".", "..", "...", "..a", "A B", "Ä"] {
            assert!(!is_env_name(name), "{name}");
        }
    }

    #[test]
    fn an_attribute_key_has_two_to_128_characters() {
        for key in ["ab", "vendor/nvidia/model/*", "a-*", &"a".repeat(128)] {
            assert!(is_attribute_key(key), "{key}");
        }
        for key in ["", "a", "a*", "1a", "a b", "a*b", &"a".repeat(129)] {
            assert!(!is_attribute_key(key), "{key}");
        }
        assert!(!is_attribute_key(&format!("{}/", "a".repeat(127))));
    }
}
