//! What a volume is, read from its attributes.

use crate::domain::Volume;

/// The class under which ephemeral storage is priced.
pub(super) const EPHEMERAL: &str = "ephemeral";

/// Where a volume's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeKind<'a> {
    /// The node's own disk; gone with the replica.
    Ephemeral,
    /// The node's memory.
    Ram,
    /// The cluster's pool of this class; empty when the tenant named none, which no pool answers.
    Persistent(&'a str),
}

impl<'a> VolumeKind<'a> {
    /// What this volume is.
    #[must_use]
    pub fn of(volume: &'a Volume) -> Self {
        let class = volume.attribute("class").unwrap_or_default();
        if is_true(volume.attribute("persistent")) {
            Self::Persistent(class)
        } else if class == "ram" {
            Self::Ram
        } else {
            Self::Ephemeral
        }
    }
}

/// The class whose price a volume has: its own when it is persistent and names one, else `ephemeral`, which memory volumes
/// are too.
pub(super) fn priced_class(volume: &Volume) -> &str {
    match VolumeKind::of(volume) {
        VolumeKind::Persistent(class) if !class.is_empty() => class,
        _ => EPHEMERAL,
    }
}

/// The spellings of "true" that the field's tools take.
fn is_true(text: Option<&str>) -> bool {
    matches!(text, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}
