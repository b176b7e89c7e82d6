//! A tenant's token: a JSON web signature in compact form, made with the tenant's account key; pure.
//!
//! Two algorithms and no others: `ES256K` signs the token itself, `ES256KADR36` signs the sign document in which
//! browser wallets wrap arbitrary data (ADR-36). Both are ECDSA over secp256k1 and SHA-256, written as 64 bytes r‖s.
//!
//! The one surprising fact: nothing in the token says which key to check it with. The key is the one that the chain
//! holds for the issuer's account; a token that brings its own proves nothing.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use k256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use serde::Deserialize;
use serde_json::json;

use super::claims::{Claims, ClaimsError, Written};
use crate::domain::Address;

/// The longest token that is read, in bytes. A granular one with a hundred deployments has about 12 KiB.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN`].
    #[error("token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Not three parts of base64url with JSON in the first two, or a claim of another type than it has.
    #[error("token is malformed: {0}")]
    Malformed(&'static str),
    /// Another algorithm than the two.
    #[error("algorithm is none of ES256K, ES256KADR36")]
    Algorithm,
    /// `iss` is no account address.
    #[error("issuer is not an account address")]
    Issuer,
    /// The signature is not the issuer's, or not written as it must be.
    #[error("signature is not the issuer's")]
    Signature,
    /// Rightly signed, but the claims do not count.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Es256k,
    Es256kAdr36,
}

/// A token whose form is right. It proves nothing yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// Whose key to check it with.
    pub issuer: Address,
    algorithm: Algorithm,
    /// `header.payload`.
    signed: &'a str,
    signature: Vec<u8>,
    written: Written,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: String,
}

/// Reads a token without believing it.
///
/// # Errors
/// Every [`TokenError`] but [`TokenError::Signature`] of a wrong key and [`TokenError::Claims`].
pub fn read(token: &str) -> Result<Unverified<'_>, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::TooLong);
    }
    let (signed, signature) =
        token.rsplit_once('.').ok_or(TokenError::Malformed("not three parts"))?;
    let (header, payload) =
        signed.split_once('.').ok_or(TokenError::Malformed("not three parts"))?;
    if payload.contains('.') {
        return Err(TokenError::Malformed("not three parts"));
    }
    let header: Header = json_part(header, "header")?;
    let algorithm = match header.alg.as_str() {
        "ES256K" => Algorithm::Es256k,
        "ES256KADR36" => Algorithm::Es256kAdr36,
        _ => return Err(TokenError::Algorithm),
    };
    let written: Written = json_part(payload, "claims")?;
    let signature =
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed("signature"))?;
    let issuer = issuer(&written.iss)?;
    Ok(Unverified { issuer, algorithm, signed, signature, written })
}

/// Bech32 may be written in upper case throughout; the account is the same.
fn issuer(text: &str) -> Result<Address, TokenError> {
    let is_upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
    let parsed = if is_upper { text.to_ascii_lowercase().parse() } else { text.parse() };
    parsed.map_err(|_| TokenError::Issuer)
}

fn json_part<T: for<'de> Deserialize<'de>>(
    part: &str,
    name: &'static str,
) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed(name))?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed(name))
}

impl Unverified<'_> {
    /// Checks the signature with the account's `public_key` (33 bytes, compressed), then the claims at `now`.
    ///
    /// # Errors
    /// [`TokenError::Signature`], [`TokenError::Claims`].
    pub fn verify(self, public_key: &[u8], now: Timestamp) -> Result<Claims, TokenError> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| TokenError::Signature)?;
        let signature =
            Signature::from_slice(&self.signature).map_err(|_| TokenError::Signature)?;
        // The chain takes the lower of the two values of s only, and so does this: one signature, one text.
        if signature.normalize_s() != signature {
            return Err(TokenError::Signature);
        }
        let adr36;
        let message = match self.algorithm {
            Algorithm::Es256k => self.signed.as_bytes(),
            Algorithm::Es256kAdr36 => {
                adr36 = adr36_document(&self.written.iss, self.signed.as_bytes());
                adr36.as_bytes()
            }
        };
        key.verify(message, &signature).map_err(|_| TokenError::Signature)?;
        Ok(self.written.check(self.issuer, now)?)
    }
}

/// The document that wallets sign for arbitrary data (ADR-36): an amino transaction with one message, keys sorted.
#[must_use]
pub fn adr36_document(signer: &str, data: &[u8]) -> String {
    json!({
        "account_number": "0",
        "chain_id": "",
        "fee": { "amount": [], "gas": "0" },
        "memo": "",
        "msgs": [{
            "type": "sign/MsgSignData",
            "value": { "data": STANDARD.encode(data), "signer": signer },
        }],
        "sequence": "0",
    })
    .to_string()
}
