//! Sessions of an operator's browser: a cookie in place of the token, so that a page need not keep the token.
//!
//! The cookie holds a random id. The rows hold a digest of it, keyed with the operator's token: from a copy of the rows nobody
//! can sign in, and another token ends every session. Whatever changes something by cookie must bring the session's CSRF
//! value in a header, which a page of another site can neither read nor send.
//!
//! The one surprising fact: the CSRF value is kept nowhere. It is computed from the cookie.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Refusal, is_operator};
use crate::{
    gateway::{
        State,
        problem::{Code, Problem},
    },
    provider::port::{AuditLine, Entropy, Session},
};

/// The cookie's name.
pub const COOKIE: &str = "lessor_session";
/// The header that a change by cookie needs.
pub const CSRF: HeaderName = HeaderName::from_static("x-lessor-csrf");
/// How long a session counts.
const LIFE: SignedDuration = SignedDuration::from_hours(12);
/// The most sessions at once; a new one beyond them ends the oldest.
const MOST: u32 = 64;
/// Wrong tokens of one address in a minute before none of its tokens is looked at.
pub(in crate::gateway) const MAX_WRONG: u32 = 10;
/// An id's 32 bytes in base64.
const ID_LENGTH: usize = 43;

/// What a browser proves itself with.
pub struct Ticket {
    id: SecretString,
    session: Session,
}

impl Ticket {
    /// The value that changes by this session need in [`CSRF`].
    #[must_use]
    pub fn csrf(&self) -> String {
        URL_SAFE_NO_PAD.encode(keyed(self.id.expose_secret().as_bytes(), b"csrf"))
    }

    /// The session in the rows.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// The header that gives the browser its cookie.
    fn cookie(&self, secure: bool) -> Option<HeaderValue> {
        cookie(self.id.expose_secret(), LIFE.as_secs(), secure)
    }
}

fn cookie(id: &str, seconds: i64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let text =
        format!("{COOKIE}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "a key of any length is one")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key of HMAC");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// What the rows keep of an id.
fn digest(token: &SecretString, id: &str) -> [u8; 32] {
    keyed(token.expose_secret().as_bytes(), id.as_bytes())
}

/// A random id. A draw may be a few bits short of 64, so more are drawn than are needed.
fn random_id(entropy: &dyn Entropy) -> SecretString {
    let mut hasher = Sha256::new();
    for _ in 0..6 {
        hasher.update(entropy.bits().to_le_bytes());
    }
    URL_SAFE_NO_PAD.encode(hasher.finalize()).into()
}

/// The id in the cookies; `None` when there is none that could be one.
fn id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == COOKIE).then_some(value.trim())
    });
    pairs.next().filter(|id| id.len() == ID_LENGTH)
}

fn line(at: Timestamp, action: &str, reason: &str) -> AuditLine {
    AuditLine {
        at,
        actor: "operator".to_owned(),
        action: action.to_owned(),
        subject: "provider".to_owned(),
        reason: reason.to_owned(),
    }
}

/// Opens a session for whoever has the operator's token. Returns the header with its cookie.
///
/// # Errors
/// `admin_not_configured`; `rate_limited` after too many wrong tokens of this address; `credentials_invalid`; when the store
/// gives no answer.
pub async fn open(
    state: &State,
    caller: IpAddr,
    token: &SecretString,
) -> Result<HeaderValue, Problem> {
    let Some(known) = &state.settings.admin_token else {
        return Err(Problem::new(Code::AdminNotConfigured));
    };
    let now = state.provider.clock.now();
    let limited = |wait| Problem::new(Code::RateLimited).retry_after(wait);
    state.attempts.check(caller, now).map_err(limited)?;
    if !is_operator(Some(known), token.expose_secret()) {
        state.attempts.take(caller, now).map_err(limited)?;
        return Err(Problem::new(Code::CredentialsInvalid));
    }
    let id = random_id(state.provider.entropy.as_ref());
    let session = Session {
        digest: digest(known, id.expose_secret()),
        opened_at: now,
        expires_at: now.saturating_add(LIFE).unwrap_or(Timestamp::MAX),
    };
    let audit = line(now, "open_session", "signed in with the operator's token");
    state.provider.store.open_session(&session, MOST, &audit).await.map_err(store)?;
    let ticket = Ticket { id, session };
    ticket
        .cookie(state.settings.behind_proxy)
        .ok_or_else(|| Problem::internal("a session's id is no header"))
}

fn store(error: crate::provider::port::StoreError) -> Problem {
    crate::provider::Error::from(error).into()
}

/// The session of these headers; `None` when they have no cookie of ours.
///
/// # Errors
/// [`Refusal::Session`] for a cookie that does not count (any more), [`Refusal::Store`].
pub async fn of(state: &State, headers: &HeaderMap) -> Result<Option<Ticket>, Refusal> {
    let (Some(token), Some(id)) = (&state.settings.admin_token, id(headers)) else {
        return Ok(None);
    };
    let session = state.provider.store.session(&digest(token, id)).await;
    let session = session.map_err(|error| Refusal::Store(error.into()))?;
    session
        .filter(|session| state.provider.clock.now() < session.expires_at)
        .map(|session| Some(Ticket { id: id.into(), session }))
        .ok_or(Refusal::Session)
}

/// Whether a request by this session may do what its method does.
///
/// # Errors
/// [`Refusal::Csrf`] for a change without the session's value.
pub fn may_change(ticket: &Ticket, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method.is_safe() {
        return Ok(());
    }
    let given = headers.get(CSRF).map_or(&b""[..], HeaderValue::as_bytes);
    if ticket.csrf().as_bytes().ct_eq(given).into() { Ok(()) } else { Err(Refusal::Csrf) }
}

/// Ends a session. Returns the header that takes the cookie back.
///
/// # Errors
/// When the store gives no answer.
pub async fn end(state: &State, ticket: &Ticket) -> Result<HeaderValue, Problem> {
    let audit = line(state.provider.clock.now(), "end_session", "signed out");
    state.provider.store.end_session(&ticket.session.digest, &audit).await.map_err(store)?;
    cookie("", 0, state.settings.behind_proxy)
        .ok_or_else(|| Problem::internal("an empty cookie is no header"))
}
