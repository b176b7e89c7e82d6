//! Deliveries signed by lessor and by others, and everything that must not pass.

use std::slice;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use lessor::event::{
    key::{PrivateKey, SharedSecret, SigningKey, VerifyingKey},
    signature::{
        ID, SIGNATURE, SignatureError, SignatureHeaders, StreamKey, TIMESTAMP, TOLERANCE, sign,
    },
};
use proptest::prelude::*;
use secrecy::ExposeSecret;

const SENT: i64 = 1_790_000_000;
const BODY: &[u8] = br#"{"specversion":"1.0"}"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn shared(byte: u8) -> SigningKey {
    SigningKey::Shared(SharedSecret::from_bytes(vec![byte; 32]).unwrap())
}

fn private(byte: u8) -> SigningKey {
    SigningKey::Private(PrivateKey::from_seed(&[byte; 32]))
}

fn named(name: &str, key: &SigningKey) -> StreamKey {
    StreamKey { name: name.to_owned(), key: key.verifying(), not_before: None, not_after: None }
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect()
}

fn signed(keys: &[SigningKey], body: &[u8]) -> HeaderMap {
    let signed = sign("msg_1", at(SENT), body, keys).unwrap();
    headers(&signed.0.each_ref().map(|(name, value)| (*name, value.as_str())))
}

fn verify(
    headers: &HeaderMap,
    body: &[u8],
    keys: &[StreamKey],
    now: i64,
) -> Result<String, SignatureError> {
    SignatureHeaders::parse(headers)?
        .verify(body, keys, at(now), TOLERANCE)
        .map(|verified| verified.key)
}

#[test]
fn a_delivery_verifies_under_either_scheme_and_only_with_the_key_that_signed() {
    for key in [shared(1), private(1)] {
        let headers = signed(slice::from_ref(&key), BODY);
        assert_eq!(verify(&headers, BODY, &[named("ours", &key)], SENT).unwrap(), "ours");
        let others = [named("a", &shared(2)), named("b", &private(2))];
        assert_eq!(
            verify(&headers, BODY, &others, SENT),
            Err(SignatureError::NoKeyMatches { keys: 2 })
        );
        assert_eq!(
            verify(&headers, BODY, &[], SENT),
            Err(SignatureError::NoKeyMatches { keys: 0 })
        );
    }
}

#[test]
fn a_changed_body_id_or_time_does_not_verify() {
    let key = private(1);
    let ours = [named("ours", &key)];
    let unmatched = Err(SignatureError::NoKeyMatches { keys: 1 });
    let genuine = signed(&[key], BODY);
    assert_eq!(verify(&genuine, br#"{"specversion":"1.1"}"#, &ours, SENT), unmatched);
    for (name, value) in [(ID, "msg_2"), (TIMESTAMP, "1790000001")] {
        let mut forged = genuine.clone();
        forged.insert(name, HeaderValue::from_static(value));
        assert_eq!(verify(&forged, BODY, &ours, SENT), unmatched);
    }
}

#[test]
fn while_a_sender_rotates_either_key_is_enough() {
    let (old, new) = (private(1), private(2));
    let headers = signed(&[old.clone(), new.clone()], BODY);
    assert_eq!(verify(&headers, BODY, &[named("old", &old)], SENT).unwrap(), "old");
    assert_eq!(verify(&headers, BODY, &[named("new", &new)], SENT).unwrap(), "new");
}

#[test]
fn the_time_window_is_inclusive_on_both_sides_and_an_error_names_the_skew() {
    let key = private(1);
    let ours = [named("ours", &key)];
    let headers = signed(&[key], BODY);
    assert!(verify(&headers, BODY, &ours, SENT + 300).is_ok());
    assert!(verify(&headers, BODY, &ours, SENT - 300).is_ok());
    let old = verify(&headers, BODY, &ours, SENT + 301).unwrap_err();
    assert_eq!(old.to_string(), "the attempt was 301 s ago, allowed are 300 s");
    assert_eq!(old.clock_skew_seconds(), Some(301));
    let new = verify(&headers, BODY, &ours, SENT - 301).unwrap_err();
    assert_eq!(new.to_string(), "the attempt is 301 s in the future, allowed are 300 s");
    assert_eq!(new.clock_skew_seconds(), Some(-301));
}

#[test]
fn a_forged_delivery_learns_nothing_about_our_clock() {
    let headers = signed(&[private(9)], BODY);
    let error = verify(&headers, BODY, &[named("ours", &private(1))], SENT + 9999).unwrap_err();
    assert_eq!(error.clock_skew_seconds(), None);
}

#[test]
fn a_key_counts_from_not_before_until_just_before_not_after() {
    let key = private(1);
    let headers = signed(slice::from_ref(&key), BODY);
    let limited = StreamKey {
        not_before: Some(at(SENT - 10)),
        not_after: Some(at(SENT + 10)),
        ..named("june", &key)
    };
    let keys = slice::from_ref(&limited);
    assert!(verify(&headers, BODY, keys, SENT - 10).is_ok());
    assert!(verify(&headers, BODY, keys, SENT + 9).is_ok());
    assert_eq!(
        verify(&headers, BODY, keys, SENT - 11),
        Err(SignatureError::KeyNotYetValid { key: "june".to_owned(), not_before: at(SENT - 10) })
    );
    assert_eq!(
        verify(&headers, BODY, keys, SENT + 10),
        Err(SignatureError::KeyExpired { key: "june".to_owned(), not_after: at(SENT + 10) })
    );
    let both = [limited, named("always", &key)];
    assert_eq!(verify(&headers, BODY, &both, SENT + 10).unwrap(), "always");
}

#[test]
fn svix_headers_are_read_when_the_standard_ones_are_absent() {
    let key = shared(1);
    let standard = signed(slice::from_ref(&key), BODY);
    let svix: HeaderMap = standard
        .iter()
        .map(|(name, value)| {
            let name = name.as_str().replace("webhook-", "svix-");
            (name.parse::<HeaderName>().unwrap(), value.clone())
        })
        .collect();
    assert!(verify(&svix, BODY, &[named("ours", &key)], SENT).is_ok());
}

#[test]
fn a_header_that_is_missing_doubled_or_unreadable_is_named() {
    let good = "v1,AAAA";
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[], "header webhook-id is missing"),
        (&[(ID, "a"), (SIGNATURE, good)], "header webhook-timestamp is missing"),
        (&[(ID, "a"), (TIMESTAMP, "1")], "header webhook-signature is missing"),
        (
            &[(ID, "a.b"), (TIMESTAMP, "1"), (SIGNATURE, good)],
            "header webhook-id must not contain a dot",
        ),
        (
            &[(ID, "a"), (TIMESTAMP, "+1"), (SIGNATURE, good)],
            "header webhook-timestamp must be a number of unix seconds",
        ),
        (
            &[(ID, "a"), (TIMESTAMP, "1"), (SIGNATURE, "v1")],
            "header webhook-signature must hold signatures of the form scheme,base64",
        ),
        (
            &[(ID, "a"), (TIMESTAMP, "1"), (SIGNATURE, "v1,!")],
            "header webhook-signature holds a signature that is not base64",
        ),
        (
            &[(ID, "a"), (TIMESTAMP, "1"), (SIGNATURE, "v9,AAAA")],
            "header webhook-signature holds no signature of scheme v1a or v1",
        ),
        (
            &[(ID, "a"), (ID, "b"), (TIMESTAMP, "1"), (SIGNATURE, good)],
            "header webhook-id is given more than once",
        ),
    ];
    for (pairs, expected) in cases {
        assert_eq!(SignatureHeaders::parse(&headers(pairs)).unwrap_err().to_string(), expected);
    }
    let many = vec![good; 17].join(" ");
    assert!(matches!(
        SignatureHeaders::parse(&headers(&[(ID, "a"), (TIMESTAMP, "1"), (SIGNATURE, &many)])),
        Err(SignatureError::Malformed { header: SIGNATURE, .. })
    ));
    assert!(sign("a.b", at(SENT), BODY, &[shared(1)]).is_err());
}

#[test]
fn a_truncated_tag_does_not_verify() {
    let key = shared(1);
    let mut headers = signed(slice::from_ref(&key), BODY);
    let tag = headers[SIGNATURE].to_str().unwrap().to_owned();
    headers.insert(SIGNATURE, tag[..tag.len() - 4].parse().unwrap());
    assert!(verify(&headers, BODY, &[named("ours", &key)], SENT).is_err());
}

/// The crate of the standard's own authors reads the host's clock, so the delivery is dated by it.
#[test]
fn the_standards_own_library_and_lessor_accept_each_others_v1() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the other library compares with the host's clock"
    )]
    let now = Timestamp::now();
    let key = shared(7);
    let SigningKey::Shared(secret) = &key else { unreachable!() };
    let theirs = standardwebhooks::Webhook::new(secret.to_text().expose_secret()).unwrap();

    let ours = sign("msg_1", now, BODY, slice::from_ref(&key)).unwrap();
    let map = headers(&ours.0.each_ref().map(|(name, value)| (*name, value.as_str())));
    theirs.verify(BODY, &map).unwrap();

    let signature = theirs.sign("msg_2", now.as_second(), BODY).unwrap();
    let map = headers(&[
        (ID, "msg_2"),
        (TIMESTAMP, &now.as_second().to_string()),
        (SIGNATURE, &signature),
    ]);
    let verified = SignatureHeaders::parse(&map)
        .unwrap()
        .verify(BODY, &[named("ours", &key)], now, SignedDuration::ZERO)
        .unwrap();
    assert_eq!((verified.id.as_str(), verified.skew_seconds), ("msg_2", 0));
}

/// RFC 8032 §7.1 test 1: the key pair of its seed, printed as a webhook key.
#[test]
fn a_public_key_is_the_one_that_rfc_8032_derives() {
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    let verifying = SigningKey::Private(PrivateKey::from_seed(&seed)).verifying();
    let expected: VerifyingKey =
        "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse().unwrap();
    assert_eq!(verifying, expected);
}

proptest! {
    #[test]
    fn any_headers_are_refused_or_read_and_never_verify_by_chance(
        id in ".{0,40}", timestamp in "[0-9+-]{0,22}", signature in "(v1|v1a|v2|),[A-Za-z0-9+/= ,]{0,120}",
        body: Vec<u8>,
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)] {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                map.insert(name, value);
            }
        }
        let keys = [named("a", &shared(1)), named("b", &private(1))];
        prop_assert!(verify(&map, &body, &keys, SENT).is_err());
    }
}
