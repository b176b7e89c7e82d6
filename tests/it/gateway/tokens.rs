//! Tokens of tenants, judged as the reference implementation judged them.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use lessor::{
    domain::{Address, LeaseId, OrderId},
    gateway::auth::{
        claims::{Access, ClaimsError, Scope},
        token::{self, TokenError},
    },
};
use serde::Deserialize;

use crate::corpus;

#[derive(Deserialize)]
struct Vectors {
    issuer: Issuer,
    adr36_sign_doc: Document,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Issuer {
    address: Address,
}

#[derive(Deserialize)]
struct Document {
    token_name: String,
    sign_bytes_utf8: String,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    token: String,
    verify_pubkey_b64: String,
    verify_now_unix: i64,
    check: Check,
    valid: bool,
    go_error: Option<String>,
    authorize: Option<Authorize>,
}

#[derive(Deserialize)]
struct Check {
    provider: Address,
    dseq: u64,
    gseq: u32,
    oseq: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Authorize {
    authorize_for_provider: bool,
    authorize_for_deployment_id: bool,
    authorize_for_lease_id: bool,
    deployment_scopes: BTreeMap<String, bool>,
    lease_scopes: BTreeMap<String, bool>,
}

impl Authorize {
    fn of(access: &Access, lease: &LeaseId) -> Self {
        let scopes = |allows: &dyn Fn(Scope) -> bool| {
            Scope::ALL.map(|scope| (scope.to_string(), allows(scope))).into_iter().collect()
        };
        let (provider, deployment) = (&lease.provider, lease.deployment());
        Self {
            authorize_for_provider: access.reaches(provider),
            authorize_for_deployment_id: access.covers_deployment(provider, deployment),
            authorize_for_lease_id: access.covers_lease(lease),
            deployment_scopes: scopes(&|scope| {
                access.allows_deployment(provider, deployment, scope)
            }),
            lease_scopes: scopes(&|scope| access.allows_lease(lease, scope)),
        }
    }
}

#[test]
fn every_recorded_token_gets_the_verdict_of_the_reference() {
    let Some(text) = corpus::read("vectors/chain/jwt/vectors.json") else { return };
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    let mut valid = 0;
    for case in &vectors.cases {
        let key = STANDARD.decode(&case.verify_pubkey_b64).unwrap();
        let now = Timestamp::from_second(case.verify_now_unix).unwrap();
        let verdict = token::read(&case.token).and_then(|unverified| unverified.verify(&key, now));
        match (&verdict, case.valid) {
            (Ok(claims), true) => {
                assert_eq!(claims.issuer, vectors.issuer.address, "{}", case.name);
                let Check { provider, dseq, gseq, oseq } = &case.check;
                let lease =
                    OrderId::new(claims.issuer.clone(), *dseq, *gseq, *oseq).lease(provider);
                let granted = Authorize::of(&claims.access, &lease);
                assert_eq!(Some(&granted), case.authorize.as_ref(), "{}", case.name);
                valid += 1;
            }
            (Err(error), false) => {
                // Clients tell "the claims do not count" (400) from every other refusal (401).
                let by_claims = matches!(error, TokenError::Claims(_));
                let expected = case.go_error.as_deref().unwrap_or_default();
                assert_eq!(
                    by_claims,
                    expected.starts_with("token has invalid claims"),
                    "{}: {error} against {expected}",
                    case.name
                );
                let expired = matches!(error, TokenError::Claims(ClaimsError::Expired));
                assert_eq!(expired, expected.ends_with("token is expired"), "{}", case.name);
            }
            _ => panic!("{}: {verdict:?}, expected valid = {}", case.name, case.valid),
        }
    }
    println!("{} tokens, {valid} valid", vectors.cases.len());
    assert_eq!(vectors.cases.len(), 76);
}

#[test]
fn the_wallet_document_is_byte_for_byte_the_recorded_one() {
    let Some(text) = corpus::read("vectors/chain/jwt/vectors.json") else { return };
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    let name = &vectors.adr36_sign_doc.token_name;
    let case = vectors.cases.iter().find(|case| case.name == *name).unwrap();
    let (signed, _) = case.token.rsplit_once('.').unwrap();
    assert_eq!(
        token::adr36_document(vectors.issuer.address.as_str(), signed.as_bytes()),
        vectors.adr36_sign_doc.sign_bytes_utf8
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,300}") {
        let _ = token::read(&text);
    }
}
