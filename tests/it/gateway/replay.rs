//! The requests that were recorded with the real Go gateway, sent to this one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{Timestamp, fmt::rfc2822};
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use lessor::{domain::Address, gateway::auth::token::adr36_document};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::world::{World, address_of, request};
use crate::corpus;

#[derive(Deserialize)]
struct Recording {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    name: String,
    method: String,
    path: String,
    #[serde(default)]
    authorization: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

/// Answers that differ knowingly, each with its reason.
fn is_ours(name: &str) -> Option<&'static str> {
    match name {
        "status" => Some("another cluster"),
        "service_status" => Some("the recording's cluster has no services and answers null"),
        "kubeevents_no_ws" => Some("websockets are not here yet"),
        "lease_status_mtls" | "lease_status_mtls_and_jwt" => Some("no client certificates yet"),
        "lease_status_no_pubkey_on_chain" => Some("the recorded gateway breaks off the connection"),
        _ => None,
    }
}

/// The issuer of a recorded token and the key that signed it, found from the signature itself.
fn signer(token: &str) -> Option<(Address, Vec<u8>)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let part = |text: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    };
    let (header, claims) = signed.split_once('.')?;
    let (header, claims) = (part(header)?, part(claims)?);
    let issuer: Address = claims["iss"].as_str()?.parse().ok()?;
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let message = match header["alg"].as_str()? {
        "ES256K" => signed.to_owned(),
        _ => adr36_document(issuer.as_str(), signed.as_bytes()),
    };
    let key = [0, 1].into_iter().find_map(|id| {
        let id = RecoveryId::from_byte(id)?;
        let key = VerifyingKey::recover_from_msg(message.as_bytes(), &signature, id).ok()?;
        (address_of(&key) == issuer).then_some(key)
    })?;
    Some((issuer, key.to_sec1_point(true).as_bytes().to_vec()))
}

#[tokio::test]
async fn the_recorded_requests_get_the_recorded_answers() {
    let Some(text) = corpus::read("vectors/chain/gateway/http.json") else { return };
    let recording: Recording = serde_json::from_str(&text).unwrap();
    let world = World::new().await;
    let mut compared = 0;
    for call in &recording.calls {
        let name = &call.name;
        if let Some(reason) = is_ours(name) {
            println!("not compared: {name}: {reason}");
            continue;
        }
        let date = &call.headers["Date"];
        let at: Timestamp = rfc2822::DateTimeParser::new()
            .parse_zoned(date.replace("GMT", "+0000"))
            .unwrap()
            .timestamp();
        world.clock.set(at);
        let token = call.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
        if let Some((issuer, key)) = token.and_then(signer) {
            world.chain.keys.lock().unwrap().insert(issuer, Some(key));
        }
        // The recording leaves bodies out: the one that is called garbage decodes to an empty manifest.
        let body = if name == "manifest_put_garbage" { "[]" } else { "" };
        let request = request(&call.method, &call.path, token, body.into());
        if name.starts_with("manifest_put") {
            world.lease_on_chain_of(token.and_then(signer).map(|(issuer, _)| issuer).as_ref());
        }
        let answer = world.send(request).await;
        assert_eq!(Some(answer.status.as_u16()), call.status, "{name}: {}", answer.text());
        assert_eq!(Some(answer.text()), call.body.as_deref(), "{name}");
        for header in ["Content-Type", "X-Content-Type-Options"] {
            let recorded = call.headers.get(header).map_or("", String::as_str);
            assert_eq!(answer.header(header), recorded, "{name}: {header}");
        }
        compared += 1;
    }
    println!("{compared} of {} recorded requests compared", recording.calls.len());
    assert!(compared > 15);
}
