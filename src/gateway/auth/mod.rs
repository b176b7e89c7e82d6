//! Who sends a request, and what they may do.
//!
//! [`token`] reads and verifies a tenant's token, [`claims`] says what it allows, [`keys`] finds the key to verify it
//! with, [`session`] lets an operator's browser sign in, [`guard`] turns all of it into extractors: a handler that has a [`guard::LeaseReader`] cannot have been
//! reached by anyone else.
//!
//! The one surprising fact: a tenant needs no account here. Whoever holds the chain account that made a lease holds the
//! lease, and proves it by signing.

pub mod claims;
pub mod guard;
pub mod keys;
pub mod session;
pub mod token;
pub(in crate::gateway) mod window;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::{HeaderMap, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use self::{
    claims::{Claims, ClaimsError, Scope},
    token::TokenError,
};
use super::{
    State,
    problem::{Code, Problem},
};
use crate::{
    domain::LeaseId,
    provider::{self, port::ChainError},
};

/// Someone who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A chain account.
    Tenant(Claims),
    /// Whoever runs this provider.
    Operator,
}

impl Caller {
    /// The services of a lease that the caller may see for `scope`; `None` for all.
    #[must_use]
    pub fn services(&self, lease: &LeaseId, scope: Scope) -> Option<BTreeSet<&str>> {
        match self {
            Self::Operator => None,
            Self::Tenant(claims) => claims.access.services(lease, scope),
        }
    }
}

/// Why nobody was recognised.
#[derive(Debug)]
pub enum Refusal {
    /// No `Authorization` header.
    Missing,
    /// A header that is not `Bearer` and one token.
    Header,
    /// The token does not count.
    Token(TokenError),
    /// The issuer's account has no key on chain: it does not exist or never signed anything.
    NoKey,
    /// Too many tokens of issuers that are not known here.
    Busy(Duration),
    /// The chain gave no answer about the issuer.
    Chain(ChainError),
    /// The cookie is of no session that counts.
    Session,
    /// A change by cookie without the session's CSRF value.
    Csrf,
    /// The store gave no answer about the session.
    Store(provider::Error),
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let invalid = Self::new(Code::CredentialsInvalid);
        match refusal {
            Refusal::Missing => Self::new(Code::CredentialsMissing),
            Refusal::Header => invalid.detail("the header is not of the form \"Bearer TOKEN\""),
            Refusal::Token(TokenError::Claims(
                error @ (ClaimsError::Expired | ClaimsError::NotYetValid),
            )) => Self::new(Code::TokenExpired).detail(error.to_string()),
            Refusal::Token(error) => invalid.detail(error.to_string()),
            Refusal::NoKey => invalid.detail("the issuer's account has no public key on chain"),
            Refusal::Busy(wait) => Self::new(Code::RateLimited).retry_after(wait),
            Refusal::Chain(error) => Self::new(Code::ChainUnavailable).cause(error),
            Refusal::Session => Self::new(Code::SessionExpired),
            Refusal::Csrf => Self::new(Code::CsrfMismatch),
            Refusal::Store(error) => error.into(),
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`; `None` when there is no header.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Refusal::Header);
    }
    let text = value.to_str().map_err(|_| Refusal::Header)?;
    if text.is_empty() {
        return Ok(None);
    }
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(scheme), Some(token), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token))
        }
        _ => Err(Refusal::Header),
    }
}

/// Whether `token` is the operator's, in a time that does not tell how much of it is right.
fn is_operator(secret: Option<&SecretString>, token: &str) -> bool {
    secret.is_some_and(|secret| secret.expose_secret().as_bytes().ct_eq(token.as_bytes()).into())
}

/// Whoever sent this request: by token, or by an operator's cookie when there is no token. The session's ticket is then among
/// the request's extensions: what lasts longer than the request ends with the very session that let it in.
///
/// # Errors
/// [`Refusal`].
pub async fn caller(state: &State, parts: &mut Parts) -> Result<Caller, Refusal> {
    let headers = &parts.headers;
    if bearer(headers)?.is_some() {
        return token_holder(state, headers).await;
    }
    let ticket = session::of(state, headers).await?.ok_or(Refusal::Missing)?;
    session::may_change(&ticket, &parts.method, headers)?;
    parts.extensions.insert(Arc::new(ticket));
    Ok(Caller::Operator)
}

/// Whether the operator sent a request that changes nothing. It refuses nobody and asks no chain: for what a stranger may read
/// too, in fewer words.
pub async fn reads_as_operator(state: &State, headers: &HeaderMap) -> bool {
    match bearer(headers) {
        Ok(Some(token)) => is_operator(state.settings.admin_token.as_ref(), token),
        Ok(None) => matches!(session::of(state, headers).await, Ok(Some(_))),
        Err(_) => false,
    }
}

/// Whoever's token is in these headers.
///
/// # Errors
/// [`Refusal`], in the order in which it lists the reasons.
pub async fn token_holder(state: &State, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let token = bearer(headers)?.ok_or(Refusal::Missing)?;
    if is_operator(state.settings.admin_token.as_ref(), token) {
        return Ok(Caller::Operator);
    }
    tenant(state, token).await.map(Caller::Tenant)
}

/// The tenant whose token it is.
async fn tenant(state: &State, token: &str) -> Result<Claims, Refusal> {
    let unverified = token::read(token)?;
    let key: std::sync::Arc<[u8]> = state.keys.of(&state.provider, &unverified.issuer).await?;
    Ok(unverified.verify(&key, state.provider.clock.now())?)
}
