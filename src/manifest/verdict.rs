//! The answer about one document, in the form that is printed and sent: what came of it, or everything that is wrong.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Compiled, Dialect, MAX_DOCUMENT_BYTES, Violation, compile};

/// What a document came to. All members are always there; those of an accepted document, or its violations, are filled.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Whether it is accepted.
    pub valid: bool,
    /// The manifest's hash, lower-case hex.
    pub hash: Option<String>,
    /// The groups as the chain's tools print them.
    pub groups: Option<Box<RawValue>>,
    /// The manifest as it is uploaded.
    pub manifest: Option<Box<RawValue>>,
    /// Everything that is wrong, at most [`super::MAX_VIOLATIONS`].
    pub violations: Vec<Violation>,
    /// What others will refuse although this reading accepts it; left out where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Violation>,
}

impl Verdict {
    /// Reads an SDL document that may not even be text.
    pub fn of(document: &[u8], dialect: Dialect) -> Self {
        text(document).and_then(|text| compile(text, dialect)).into()
    }

    /// Of a document that was read.
    pub fn accepted(compiled: &Compiled) -> Self {
        Self {
            valid: true,
            hash: Some(data_encoding::HEXLOWER.encode(&compiled.hash)),
            groups: to_raw_value(&compiled.chain_groups()).ok(),
            manifest: RawValue::from_string(compiled.manifest.to_json()).ok(),
            violations: Vec::new(),
            warnings: compiled.warnings.clone(),
        }
    }

    /// Of a document that breaks rules.
    pub const fn refused(violations: Vec<Violation>) -> Self {
        Self {
            valid: false,
            hash: None,
            groups: None,
            manifest: None,
            violations,
            warnings: Vec::new(),
        }
    }
}

impl From<Result<Compiled, Vec<Violation>>> for Verdict {
    fn from(read: Result<Compiled, Vec<Violation>>) -> Self {
        match read {
            Ok(compiled) => Self::accepted(&compiled),
            Err(violations) => Self::refused(violations),
        }
    }
}

/// The document as text, if it is text and no larger than what is read.
///
/// # Errors
/// The one violation that says which of the two it is not.
pub fn text(document: &[u8]) -> Result<&str, Vec<Violation>> {
    if document.len() > MAX_DOCUMENT_BYTES {
        let message = format!("the document has more than {MAX_DOCUMENT_BYTES} bytes");
        return Err(vec![Violation::whole("document-too-large", message)]);
    }
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = document {
        let message = "the document is UTF-16, as its first two bytes say; save it as UTF-8";
        let start = Some(1);
        let violation = Violation::whole("not-utf8", message);
        return Err(vec![Violation { line: start, column: start, ..violation }]);
    }
    std::str::from_utf8(document).map_err(|error| {
        let found = error.valid_up_to();
        let message = format!("byte {found} (from 0) is not UTF-8, which a document is written in");
        let before = &document[..found];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|byte| *byte == b'\n').count();
        let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
        vec![Violation {
            line: u32::try_from(line).ok(),
            column: u32::try_from(column).ok(),
            ..Violation::whole("not-utf8", message)
        }]
    })
}
