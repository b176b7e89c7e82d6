//! Standard Webhooks 1.0.0: who sent these bytes, and when. Signs for the relay, verifies for the gateway.
//!
//! Signed is `id.timestamp.body` with the body's bytes as sent; `v1` is HMAC-SHA256, `v1a` is ed25519. Time is an
//! argument. Whether a delivery came before is not asked here: the store knows.
//!
//! The one surprising fact: the timestamp is that of the *attempt*, so a retry of an old delivery is fresh again, and
//! only its `webhook-id` says that it is the same.

use std::fmt;

use base64::Engine;
use ed25519_dalek::Signer;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use super::{
    hash::BodyDigest,
    key::{BASE64, SigningKey, VerifyingKey},
};

/// The delivery's id; the same at each attempt.
pub const ID: &str = "webhook-id";
/// Unix seconds of the attempt.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// Signatures, `scheme,base64` each, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// How far the sender's clock may be from ours.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(300);
/// The longest `webhook-id`.
pub const MAX_ID: usize = 256;
/// The longest `webhook-signature`.
pub const MAX_SIGNATURE: usize = 4096;
/// The most signatures in one header: a sender signs with its old and its new key while it rotates.
pub const MAX_SIGNATURES: usize = 16;

/// The three headers' names in one family.
struct Family {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

const STANDARD: Family = Family { id: ID, timestamp: TIMESTAMP, signature: SIGNATURE };
/// The names that Svix's own product sends.
const SVIX: Family =
    Family { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

/// Why a delivery is not trusted. Says which check failed; carries no secret and no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is not there.
    #[error("header {header} is missing")]
    Missing {
        /// Its name.
        header: &'static str,
    },
    /// A header is there and cannot be read.
    #[error("header {header} {reason}")]
    Malformed {
        /// Its name.
        header: &'static str,
        /// What is wrong and what is allowed.
        reason: &'static str,
    },
    /// The signature is right and the attempt's time is too far in the past.
    #[error("the attempt was {skew_seconds} s ago, allowed are {allowed_seconds} s")]
    TooOld {
        /// Our clock less the sender's.
        skew_seconds: i64,
        /// The tolerance.
        allowed_seconds: i64,
    },
    /// The signature is right and the attempt's time is too far in the future.
    #[error("the attempt is {} s in the future, allowed are {allowed_seconds} s", skew_seconds.saturating_neg())]
    TooNew {
        /// Our clock less the sender's, so below zero.
        skew_seconds: i64,
        /// The tolerance.
        allowed_seconds: i64,
    },
    /// No signature was made by any key of the stream.
    #[error("no signature matches any of the stream's {keys} keys")]
    NoKeyMatches {
        /// How many keys of the stream were tried.
        keys: usize,
    },
    /// The key that signed is one of the stream's and no longer valid.
    #[error("key {key:?} was valid until {not_after}")]
    KeyExpired {
        /// Its name.
        key: String,
        /// When it ended.
        not_after: Timestamp,
    },
    /// The key that signed is one of the stream's and not yet valid.
    #[error("key {key:?} is valid from {not_before}")]
    KeyNotYetValid {
        /// Its name.
        key: String,
        /// When it begins.
        not_before: Timestamp,
    },
}

impl SignatureError {
    /// Our clock less the sender's, for the errors that are about time.
    #[must_use]
    pub const fn clock_skew_seconds(&self) -> Option<i64> {
        match self {
            Self::TooOld { skew_seconds, .. } | Self::TooNew { skew_seconds, .. } => {
                Some(*skew_seconds)
            }
            _ => None,
        }
    }
}

/// A signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HMAC-SHA256 with a shared secret.
    V1,
    /// ed25519.
    V1a,
}

impl Scheme {
    /// As in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

/// One key of a stream and when it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamKey {
    /// What the operator calls it.
    pub name: String,
    /// The key.
    pub key: VerifyingKey,
    /// Not valid before.
    pub not_before: Option<Timestamp>,
    /// Not valid from then on.
    pub not_after: Option<Timestamp>,
}

impl StreamKey {
    /// Whether the key counts at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|begin| begin <= now)
            && self.not_after.is_none_or(|end| now < end)
    }
}

/// The three headers, read and within their limits.
#[derive(Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    id: String,
    timestamp: i64,
    signatures: Vec<(Scheme, Vec<u8>)>,
}

/// A delivery whose signature and time are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The delivery's id (`webhook-id`).
    pub id: String,
    /// The name of the key that matched; its last use can be noted.
    pub key: String,
    /// When the sender says that it sent.
    pub sent_at: Timestamp,
    /// Our clock less the sender's.
    pub skew_seconds: i64,
}

/// The headers of a signed delivery, in the order id, timestamp, signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders(pub [(&'static str, String); 3]);

/// Our clock less the sender's.
fn skew(now: Timestamp, timestamp: i64) -> i64 {
    now.as_second().saturating_sub(timestamp)
}

/// Whether `id` may be a `webhook-id`: printable ASCII without a dot (the signed text is split by dots), at most
/// [`MAX_ID`] characters.
fn id_fault(id: &str) -> Option<&'static str> {
    if id.is_empty() || id.len() > MAX_ID {
        return Some("must have 1 to 256 characters");
    }
    if id.contains('.') {
        return Some("must not contain a dot");
    }
    (!id.bytes().all(|byte| byte.is_ascii_graphic())).then_some("must be printable ASCII")
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(SignatureError::Missing { header: name })?;
    if values.next().is_some() {
        return Err(SignatureError::Malformed { header: name, reason: "is given more than once" });
    }
    value
        .to_str()
        .map_err(|_| SignatureError::Malformed { header: name, reason: "must be printable ASCII" })
}

fn timestamp(text: &str) -> Option<i64> {
    let canonical =
        !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| text.parse().ok()).flatten()
}

/// The signatures of the schemes that lessor knows; others are passed over, as the standard asks.
fn signatures(text: &str) -> Result<Vec<(Scheme, Vec<u8>)>, &'static str> {
    if text.len() > MAX_SIGNATURE {
        return Err("must have at most 4096 characters");
    }
    let items: Vec<&str> = text.split(' ').filter(|item| !item.is_empty()).collect();
    if items.is_empty() || items.len() > MAX_SIGNATURES {
        return Err("must hold 1 to 16 signatures, separated by spaces");
    }
    let mut known = Vec::new();
    for item in items {
        let (scheme, encoded) =
            item.split_once(',').ok_or("must hold signatures of the form scheme,base64")?;
        let scheme = match scheme {
            "v1" => Scheme::V1,
            "v1a" => Scheme::V1a,
            _ => continue,
        };
        let bytes = BASE64.decode(encoded).map_err(|_| "holds a signature that is not base64")?;
        known.push((scheme, bytes));
    }
    if known.is_empty() { Err("holds no signature of scheme v1a or v1") } else { Ok(known) }
}

impl SignatureHeaders {
    /// Reads the headers; `webhook-*`, or `svix-*` when there is no `webhook-id`.
    ///
    /// # Errors
    /// [`SignatureError::Missing`] or [`SignatureError::Malformed`], naming the header.
    pub fn parse(headers: &HeaderMap) -> Result<Self, SignatureError> {
        let family = if !headers.contains_key(STANDARD.id) && headers.contains_key(SVIX.id) {
            SVIX
        } else {
            STANDARD
        };
        let malformed = |header, reason| SignatureError::Malformed { header, reason };
        let id = header(headers, family.id)?;
        if let Some(reason) = id_fault(id) {
            return Err(malformed(family.id, reason));
        }
        let sent = timestamp(header(headers, family.timestamp)?)
            .filter(|seconds| Timestamp::from_second(*seconds).is_ok())
            .ok_or(malformed(family.timestamp, "must be a number of unix seconds"))?;
        let signatures = signatures(header(headers, family.signature)?)
            .map_err(|reason| malformed(family.signature, reason))?;
        Ok(Self { id: id.to_owned(), timestamp: sent, signatures })
    }

    /// The delivery's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the sender says that it sent, in unix seconds.
    #[must_use]
    pub const fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Checks the signature over the raw `body` first, then the time window, then the key's validity.
    ///
    /// # Errors
    /// The first check that failed. When several keys match (one key under two names), a valid one wins.
    pub fn verify(
        &self,
        body: &[u8],
        keys: &[StreamKey],
        now: Timestamp,
        tolerance: SignedDuration,
    ) -> Result<Verified, SignatureError> {
        let matching: Vec<&StreamKey> =
            keys.iter().filter(|key| self.is_signed_by(&key.key, body)).collect();
        let key = matching
            .iter()
            .find(|key| key.is_valid(now))
            .or(matching.first())
            .ok_or(SignatureError::NoKeyMatches { keys: keys.len() })?;
        let skew_seconds = skew(now, self.timestamp);
        let allowed_seconds = tolerance.as_secs();
        if skew_seconds > allowed_seconds {
            return Err(SignatureError::TooOld { skew_seconds, allowed_seconds });
        }
        if skew_seconds < allowed_seconds.saturating_neg() {
            return Err(SignatureError::TooNew { skew_seconds, allowed_seconds });
        }
        if let Some(not_before) = key.not_before.filter(|begin| now < *begin) {
            return Err(SignatureError::KeyNotYetValid { key: key.name.clone(), not_before });
        }
        if let Some(not_after) = key.not_after.filter(|end| *end <= now) {
            return Err(SignatureError::KeyExpired { key: key.name.clone(), not_after });
        }
        let sent_at = Timestamp::from_second(self.timestamp).unwrap_or(now);
        Ok(Verified { id: self.id.clone(), key: key.name.clone(), sent_at, skew_seconds })
    }

    fn is_signed_by(&self, key: &VerifyingKey, body: &[u8]) -> bool {
        let of = |scheme| {
            self.signatures
                .iter()
                .filter(move |(given, _)| *given == scheme)
                .map(|(_, bytes)| bytes)
        };
        match key {
            VerifyingKey::Shared(secret) => {
                // `verify_slice` compares in constant time.
                of(Scheme::V1).any(|tag| {
                    hmac(secret.bytes(), &self.id, self.timestamp, body).verify_slice(tag).is_ok()
                })
            }
            VerifyingKey::Public(public) => {
                let message = signed_content(&self.id, self.timestamp, body);
                of(Scheme::V1a).any(|bytes| {
                    ed25519_dalek::Signature::from_slice(bytes).is_ok_and(|signature| {
                        public.inner().verify_strict(&message, &signature).is_ok()
                    })
                })
            }
        }
    }
}

impl fmt::Debug for SignatureHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureHeaders")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .field("signatures", &self.signatures.len())
            .finish()
    }
}

fn signed_content(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    let mut content = format!("{id}.{timestamp}.").into_bytes();
    content.extend_from_slice(body);
    content
}

fn hmac(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length; the error type is there for other constructions.
    #[expect(clippy::expect_used, reason = "HMAC has no invalid key length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key of HMAC");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    mac
}

/// The id of a delivery whose body has this digest: the same bytes to the same stream have the same id, whoever sends
/// them again, so a sender that lost its place is seen as a repetition and not as a contradiction.
#[must_use]
pub fn delivery_id(stream: &str, body: &BodyDigest) -> String {
    let digest = BodyDigest::of(&[stream.as_bytes(), &[0], &body.0].concat()).to_string();
    format!("msg_{}", &digest[..40])
}

/// Signs `body` as delivery `id`, sent at `now`, with each of `keys` (two while a sender rotates).
///
/// # Errors
/// [`SignatureError::Malformed`] when `id` may not be a `webhook-id`.
pub fn sign(
    id: &str,
    now: Timestamp,
    body: &[u8],
    keys: &[SigningKey],
) -> Result<SignedHeaders, SignatureError> {
    if let Some(reason) = id_fault(id) {
        return Err(SignatureError::Malformed { header: ID, reason });
    }
    let seconds = now.as_second();
    let signatures: Vec<String> = keys
        .iter()
        .map(|key| match key {
            SigningKey::Shared(secret) => {
                let tag = hmac(secret.bytes(), id, seconds, body).finalize().into_bytes();
                format!("{},{}", Scheme::V1.as_str(), BASE64.encode(tag))
            }
            SigningKey::Private(private) => {
                let signature = private.inner().sign(&signed_content(id, seconds, body));
                format!("{},{}", Scheme::V1a.as_str(), BASE64.encode(signature.to_bytes()))
            }
        })
        .collect();
    Ok(SignedHeaders([
        (ID, id.to_owned()),
        (TIMESTAMP, seconds.to_string()),
        (SIGNATURE, signatures.join(" ")),
    ]))
}
