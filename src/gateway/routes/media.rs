//! The content types of what tenants send: a document for people, or JSON.

use http::HeaderMap;

use crate::gateway::{
    extract,
    problem::{Code, Problem},
};

/// The media types of SDL documents.
const YAML: [&str; 4] =
    ["application/yaml", "application/x-yaml", "text/yaml", "application/vnd.akash.sdl+yaml"];

/// Whether the body is an SDL document; if not, it is JSON.
///
/// # Errors
/// `unsupported_media_type` for everything else.
pub(super) fn is_sdl(headers: &HeaderMap) -> Result<bool, Problem> {
    match extract::media_type(headers).as_str() {
        "application/json" => Ok(false),
        yaml if YAML.contains(&yaml) => Ok(true),
        other => Err(Problem::new(Code::UnsupportedMediaType).detail(format!(
            "{other:?} is not read, allowed are application/json and {}",
            YAML[0]
        ))),
    }
}
