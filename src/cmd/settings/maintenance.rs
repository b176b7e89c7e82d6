//! `[maintenance]`: when an operator works on the provider.

use jiff::Timestamp;
use serde::Deserialize;

use crate::provider::{maintenance::MAX_REASON, settings};

/// `[maintenance]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Maintenance {
    pub windows: Vec<Window>,
}

/// One of `maintenance.windows`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub from: Timestamp,
    pub until: Timestamp,
    pub reason: String,
}

impl From<&Window> for settings::Window {
    fn from(window: &Window) -> Self {
        Self { from: window.from, until: window.until, reason: window.reason.clone() }
    }
}

impl Maintenance {
    /// The first window that is none: its key, what it is, what is allowed.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        self.windows.iter().enumerate().find_map(|(index, window)| {
            let Window { from, until, reason } = window;
            let length = reason.chars().count();
            let detail = if until <= from {
                format!("is over at {until}, before it begins at {from}")
            } else if reason.trim().is_empty() {
                "says not why: reason is empty, and everyone reads it".to_owned()
            } else if length > MAX_REASON || reason.chars().any(char::is_control) {
                format!("has a reason of {length} characters, allowed is one line of {MAX_REASON}")
            } else {
                return None;
            };
            Some((format!("maintenance.windows[{index}]"), detail))
        })
    }
}
