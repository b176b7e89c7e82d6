//! The bytes of a delivery: decompressed with the size capped while reading, never after.
//!
//! Called only once the signature over the raw bytes is right, so a stranger's archive bomb is never opened.

use std::{borrow::Cow, io::Read};

use flate2::read::MultiGzDecoder;

/// The most bytes of a body, before and after decompression.
pub const MAX_BODY: usize = 1024 * 1024;

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Another `Content-Encoding` than gzip.
    #[error("content encoding {given:?} is not read, allowed are gzip and identity")]
    Encoding {
        /// What the header says (shortened).
        given: String,
    },
    /// More bytes than the limit, before or after decompression.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not the gzip that its header says, or cut off.
    #[error("the body is not complete gzip")]
    Corrupt,
}

/// The body behind its `Content-Encoding`.
///
/// # Errors
/// [`BodyError`]; one byte above `limit` is too large, whichever form it is in.
pub fn decompress<'a>(
    raw: &'a [u8],
    content_encoding: Option<&str>,
    limit: usize,
) -> Result<Cow<'a, [u8]>, BodyError> {
    let too_large = BodyError::TooLarge { limit };
    if raw.len() > limit {
        return Err(too_large);
    }
    match content_encoding.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") => Ok(Cow::Borrowed(raw)),
        Some("gzip" | "x-gzip") => {
            let mut body = Vec::new();
            // One byte above the limit tells "exactly the limit" from "more".
            let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            MultiGzDecoder::new(raw)
                .take(cap)
                .read_to_end(&mut body)
                .map_err(|_| BodyError::Corrupt)?;
            if body.len() > limit { Err(too_large) } else { Ok(Cow::Owned(body)) }
        }
        Some(other) => Err(BodyError::Encoding { given: other.chars().take(40).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
        let body = vec![b' '; 1000];
        let raw = gzip(&body);
        assert_eq!(decompress(&raw, Some("gzip"), 1000).unwrap(), body);
        assert_eq!(decompress(&raw, Some("gzip"), 999), Err(BodyError::TooLarge { limit: 999 }));
        assert_eq!(decompress(&body, None, 999), Err(BodyError::TooLarge { limit: 999 }));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit_and_a_cut_archive_is_corrupt() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < MAX_BODY);
        assert_eq!(
            decompress(&bomb, Some("gzip"), MAX_BODY),
            Err(BodyError::TooLarge { limit: MAX_BODY })
        );
        let raw = gzip(b"[1, 2, 3]");
        assert_eq!(decompress(&raw[..raw.len() - 1], Some("gzip"), 100), Err(BodyError::Corrupt));
        assert_eq!(decompress(b"plain", Some("gzip"), 100), Err(BodyError::Corrupt));
    }

    #[test]
    fn an_unknown_encoding_is_refused_by_name() {
        assert_eq!(
            decompress(b"", Some("br"), 100),
            Err(BodyError::Encoding { given: "br".to_owned() })
        );
    }
}
