//! Which texts were seen before. Most lists are short, so few texts are compared one by one and only many are hashed.

use std::collections::HashSet;

/// How many texts are compared one by one.
const FEW: usize = 8;

/// Texts that were seen.
pub(super) enum Distinct<'t> {
    Few { texts: [&'t str; FEW], count: usize },
    Many(HashSet<&'t str>),
}

impl Default for Distinct<'_> {
    fn default() -> Self {
        Self::Few { texts: [""; FEW], count: 0 }
    }
}

impl<'t> Distinct<'t> {
    /// Whether the text is new; it is none from now on.
    pub(super) fn insert(&mut self, text: &'t str) -> bool {
        match self {
            Self::Few { texts, count } => {
                if texts[..*count].contains(&text) {
                    return false;
                }
                if let Some(free) = texts.get_mut(*count) {
                    *free = text;
                    *count += 1;
                } else {
                    *self = Self::Many(texts.iter().copied().chain([text]).collect());
                }
                true
            }
            Self::Many(texts) => texts.insert(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_new_once_however_many_there_are() {
        let texts: Vec<String> = (0..3 * FEW).map(|number| number.to_string()).collect();
        let mut distinct = Distinct::default();
        for (index, text) in texts.iter().enumerate() {
            assert!(distinct.insert(text));
            assert!(texts[..=index].iter().all(|seen| !distinct.insert(seen)), "{text}");
        }
    }
}
