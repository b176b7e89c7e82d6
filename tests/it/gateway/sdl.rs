//! SDL documents over HTTP: checked for anyone, and taken as manifests in whichever reading the chain has.

use axum::body::Body;
use http::Request;
use lessor::manifest::{Dialect, compile};
use serde_json::{Value, json};

use super::world::{DSEQ, SDL, World, hex, request};

fn post(path: &str, media: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = request("POST", path, None, body.into());
    request.headers_mut().insert("content-type", media.parse().unwrap());
    request
}

const KEYS: [&str; 5] = ["valid", "hash", "groups", "manifest", "violations"];

#[tokio::test]
async fn anyone_may_have_a_document_checked_as_yaml_or_in_json() {
    let world = World::new().await;
    let in_json = json!({ "sdl": SDL }).to_string();
    for (media, body) in [
        ("application/yaml", SDL.to_owned()),
        ("text/yaml; charset=utf-8", SDL.to_owned()),
        ("application/json", in_json.clone()),
    ] {
        let answer = world.send(post("/v1/sdl:check", media, body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let verdict = answer.json();
        let keys: Vec<_> = verdict.as_object().unwrap().keys().collect();
        assert_eq!(keys, KEYS);
        assert_eq!(verdict["valid"], true);
        assert_eq!(verdict["hash"], hex(&world.compiled.hash));
        let manifest: Value = serde_json::from_str(&world.compiled.manifest.to_json()).unwrap();
        assert_eq!(verdict["manifest"], manifest);
        assert_eq!(verdict["groups"][0]["resources"][0]["price"]["denom"], "uact");
    }
    let wrong = SDL.replace("profile: small", "profile: smal");
    let answer = world.send(post("/v1/sdl:check?dialect=go", "application/yaml", wrong)).await;
    assert_eq!(answer.status, 200);
    let verdict = answer.json();
    assert_eq!((&verdict["valid"], &verdict["hash"]), (&json!(false), &Value::Null));
    let violation = &verdict["violations"][0];
    assert_eq!(violation["code"], "unknown-compute-profile");
    assert_eq!(violation["reference"], "SDL invalid: db.here: no compute profile named smal");
    assert!(violation["line"].is_u64() && violation["column"].is_u64());
}

#[tokio::test]
async fn what_is_no_document_is_a_problem() {
    let world = World::new().await;
    let yaml = "application/yaml";
    let path = "/v1/sdl:check";
    for (request, status, code) in [
        (post(path, "text/html", SDL), 415, "unsupported_media_type"),
        (post(path, yaml, "x".repeat((1 << 20) + 1)), 413, "body_too_large"),
        (post(path, "application/json", "{}"), 400, "malformed_body"),
        (post(path, "application/json", r#"{"sdl": "", "x": 1}"#), 400, "malformed_body"),
        (post("/v1/sdl:check?dialect=cobol", yaml, SDL), 400, "malformed_query"),
        (post("/v1/sdl:check?x=1", yaml, SDL), 400, "malformed_query"),
    ] {
        let answer = world.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
    }
    for body in [&b"\xff\xfe"[..], b"[", b""] {
        let answer = world.send(post(path, yaml, body)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["valid"]), (200, &json!(false)));
    }
}

#[tokio::test]
async fn one_address_is_checked_for_so_often_in_a_minute() {
    let world = World::new().await;
    let mut taken = 0;
    let refused = loop {
        let answer = world.send(post("/v1/sdl:check", "application/yaml", "version: 1")).await;
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
    };
    assert_eq!(taken, 120);
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"));
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn the_answer_to_an_sdl_document_says_which_reading_the_chain_has() {
    let world = World::new().await;
    world.lease_on_chain();
    let token = world.alice.full();
    let path = format!("/v1/deployments/{DSEQ}/manifest");
    let validate = |media: &str, body: String| {
        let mut request = post(&format!("{path}:validate"), media, body);
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        request
    };
    let manifest = world.compiled.manifest.to_json();
    let of_json = world.send(validate("application/json", manifest)).await;
    assert_eq!((of_json.status.as_u16(), of_json.json().get("reading")), (200, None));
    let of_sdl = world.send(validate("application/yaml", SDL.to_owned())).await;
    assert_eq!((of_sdl.status.as_u16(), &of_sdl.json()["reading"]), (200, &json!("go")));
    let taken = world.put(&path, &token, "application/yaml", SDL.to_owned()).await;
    assert_eq!((taken.status.as_u16(), &taken.json()["reading"]), (202, &json!("go")));

    // The hash on chain as the npm package makes it: it keeps the volumes' order, Go sorts them.
    let two_volumes = SDL.replace(
        "storage: { size: 1Gi }",
        "storage: [{ name: b, size: 2Gi }, { name: a, size: 1Gi }]",
    );
    let npm = compile(&two_volumes, Dialect::Npm).unwrap();
    assert_ne!(npm.hash, compile(&two_volumes, Dialect::Go).unwrap().hash);
    {
        let mut deployments = world.chain.deployments.lock().unwrap();
        deployments[0].hash = hex(&npm.hash);
        for (group, spec) in deployments[0].groups.iter_mut().zip(&npm.groups) {
            group.spec = spec.clone();
        }
    }
    let of_npm = world.put(&path, &token, "application/yaml", two_volumes).await;
    assert_eq!((of_npm.status.as_u16(), &of_npm.json()["reading"]), (202, &json!("npm")));
    assert_eq!(of_npm.json()["hash"], hex(&npm.hash));

    // And as only the npm package comes to it: its manifest, read and written again, has another.
    let own_way = SDL.replacen(
        "    image: nginx:1\n",
        "    image: nginx:1\n    params: { permissions: { read: [] } }\n",
        1,
    );
    assert_ne!(own_way, SDL);
    let npm = compile(&own_way, Dialect::Npm).unwrap();
    assert_ne!(npm.hash, npm.manifest.hash());
    {
        let mut deployments = world.chain.deployments.lock().unwrap();
        deployments[0].hash = hex(&npm.hash);
        for (group, spec) in deployments[0].groups.iter_mut().zip(&npm.groups) {
            group.spec = spec.clone();
        }
    }
    let of_npm = world.put(&path, &token, "application/yaml", own_way).await;
    assert_eq!((of_npm.status.as_u16(), &of_npm.json()["reading"]), (202, &json!("npm")));

    let other = world.send(validate("application/yaml", SDL.replace("nginx:1", "nginx:2"))).await;
    assert_eq!(other.code(), "manifest_hash_mismatch");
    let readings = other.json()["readings"].clone();
    assert_eq!(readings[0]["dialect"], "go");
    assert_eq!(readings[0]["hash"].as_str().unwrap().len(), 64);

    let wrong = SDL.replace("profile: small", "profile: smal");
    let refused = world.send(validate("application/yaml", wrong)).await;
    assert_eq!(refused.code(), "sdl_invalid");
    let text = "SDL invalid: db.here: no compute profile named smal";
    assert_eq!(refused.json()["reference"], text);
    assert_eq!(refused.json()["violations"][0]["reference"], text);
}
