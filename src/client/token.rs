//! A tenant's tokens (AEP-64): signed with the account's own key, valid for minutes, and for one provider only.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;

use crate::{domain::Address, wire::key::SecretKey};

/// How long a token is valid, in seconds.
pub const LIFETIME_S: i64 = 900;

/// What a token is to allow.
pub const SCOPES: [&str; 5] = ["send-manifest", "get-manifest", "logs", "events", "status"];

/// A token of `key`'s account for `provider`, from `now` on. It names the provider, so no other can use it.
#[must_use]
pub fn sign(key: &SecretKey, provider: &Address, now: Timestamp) -> SecretString {
    let seconds = now.as_second();
    let header = json!({ "alg": "ES256K", "typ": "JWT" });
    let claims = json!({
        "iss": key.public_key().address(),
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + LIFETIME_S,
        "version": "v1",
        "leases": {
            "access": "granular",
            "permissions": [{ "provider": provider, "access": "scoped", "scope": SCOPES }],
        },
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}").into()
}
