//! An operator's browser: signing in and out, what its cookie opens, and what it may not do without the CSRF value.

use std::net::SocketAddr;

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, header};
use jiff::SignedDuration;
use lessor::{
    gateway::{self, State, router},
    provider::port::Store,
    telemetry::Metrics,
};
use serde_json::{Value, json};

use super::{
    access, document,
    world::{Answer, OPERATOR_TOKEN, World, request, send, start},
};

/// A browser that signed in.
pub(super) struct Browser {
    pub(super) cookie: String,
    pub(super) csrf: String,
}

pub(super) fn json_request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let mut request = request(method, path, None, Body::from(body.to_string()));
    request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    request
}

async fn sign_in(world: &World, token: &str) -> Answer {
    world.send(json_request("POST", "/v1/session", &json!({ "token": token }))).await
}

impl Browser {
    pub(super) async fn new(world: &World) -> Self {
        let answer = sign_in(world, OPERATOR_TOKEN).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let mut browser = Self { cookie, csrf: String::new() };
        let session = world.send(browser.request("GET", "/v1/session")).await.json();
        session["csrf"].as_str().unwrap().clone_into(&mut browser.csrf);
        browser
    }

    pub(super) fn request(&self, method: &str, path: &str) -> Request<Body> {
        self.with(request(method, path, None, Body::empty()))
    }

    /// The request with the cookie.
    pub(super) fn with(&self, mut request: Request<Body>) -> Request<Body> {
        let cookie = format!("theme=dark; {}", self.cookie);
        request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        request
    }

    /// The request with cookie and CSRF value.
    pub(super) fn proven(&self, request: Request<Body>) -> Request<Body> {
        let mut request = self.with(request);
        request.headers_mut().insert("x-lessor-csrf", self.csrf.parse().unwrap());
        request
    }
}

fn pause() -> Request<Body> {
    json_request("PUT", "/v1/maintenance", &json!({"state": "paused", "reason": "a test"}))
}

#[tokio::test]
async fn the_cookie_is_for_this_site_alone_and_for_no_script() {
    let world = World::new().await;
    let answer = sign_in(&world, OPERATOR_TOKEN).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("lessor_session="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{attribute}: {cookie}");
    }
    assert!(!cookie.contains("Secure"));
    let session = world.send(Browser::new(&world).await.request("GET", "/v1/session")).await;
    assert_eq!(session.header("cache-control"), "no-store");
    assert_eq!(session.json()["expires_at"], "2026-11-23T00:00:00Z");

    let settings =
        gateway::Settings { admin_token: Some(OPERATOR_TOKEN.into()), behind_proxy: true };
    let login = json_request("POST", "/v1/session", &json!({ "token": OPERATOR_TOKEN }));
    let answer = send(&with_settings(&world, settings), login).await;
    assert!(answer.header("set-cookie").ends_with("; Secure"));
}

/// The same rows behind a gateway with other settings, as after a restart.
fn with_settings(world: &World, settings: gateway::Settings) -> Router {
    let metrics = std::sync::Arc::new(Metrics::default());
    router::merged(&State::new(world.provider.clone(), settings, metrics, <_>::default()))
}

#[tokio::test]
async fn a_change_by_cookie_needs_the_sessions_csrf_value() {
    let world = World::new().await;
    let browser = Browser::new(&world).await;
    let without = world.send(browser.with(pause())).await;
    assert_eq!((without.status.as_u16(), without.code().as_str()), (403, "csrf_mismatch"));
    let mut strange = browser.with(pause());
    let other = Browser::new(&world).await.csrf;
    assert_ne!(other, browser.csrf);
    strange.headers_mut().insert("x-lessor-csrf", other.parse().unwrap());
    assert_eq!(world.send(strange).await.code(), "csrf_mismatch");
    let before = world.send(browser.request("GET", "/v1/maintenance")).await.json();
    assert_eq!(before["state"], "bidding");

    let answer = world.send(browser.proven(pause())).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!("paused")));
    // A token proves more than a cookie: no page can send it without knowing it.
    let mut by_token = pause();
    let bearer = format!("Bearer {OPERATOR_TOKEN}");
    by_token.headers_mut().insert(header::AUTHORIZATION, bearer.parse().unwrap());
    assert_eq!(world.send(by_token).await.status, 200);
}

#[tokio::test]
async fn every_operation_takes_the_cookie_for_the_operator_and_changes_nothing_without_csrf() {
    let world = World::new().await;
    world.lease_on_chain();
    world.lease_in_rows().await;
    let document = document::document();
    let mut asked = 0;
    for (template, method, operation) in document::operations(&document) {
        let at = format!("{method} {template}");
        let path = access::asked_path(&template, &world);
        let is_change = method != "get" && method != "options";
        let [nobody, _, _, operator] = access::expected(&template, operation);
        let takes_cookies = operation["tags"][0] != "wire" && nobody == 401;
        let is_webhook = template.starts_with("/webhooks/");
        for is_proven in [false, true] {
            let browser = Browser::new(&world).await;
            let plain = request(&method.to_uppercase(), &path, None, Body::empty());
            let request = if is_proven { browser.proven(plain) } else { browser.with(plain) };
            let answer = world.send(request).await;
            let status = answer.status.as_u16();
            if takes_cookies && !is_webhook && is_change && !is_proven {
                assert_eq!(answer.code(), "csrf_mismatch", "{at}");
                let codes = operation["x-problems"].as_array().unwrap();
                assert!(codes.contains(&json!("csrf_mismatch")), "{at}: not declared");
            } else if takes_cookies && !is_webhook && operator == 0 {
                assert!(![401, 403].contains(&status) && status < 500, "{at}: {status}");
            } else if takes_cookies && !is_webhook {
                assert_eq!(status, operator, "{at}: {}", answer.text());
            } else if !is_webhook && nobody != 0 {
                assert_eq!(status, nobody, "{at}: {}", answer.text());
            }
            asked += 1;
        }
    }
    println!("{asked} requests");
}

#[tokio::test]
async fn a_session_counts_for_twelve_hours_and_over_restarts() {
    let world = World::new().await;
    let browser = Browser::new(&world).await;
    let settings = || gateway::Settings {
        admin_token: Some(OPERATOR_TOKEN.into()),
        ..gateway::Settings::default()
    };
    world.clock.set(start() + SignedDuration::from_hours(12) - SignedDuration::from_secs(1));
    let restarted = with_settings(&world, settings());
    assert_eq!(send(&restarted, browser.request("GET", "/v1/orders")).await.status, 200);
    world.clock.set(start() + SignedDuration::from_hours(12));
    let expired = world.send(browser.request("GET", "/v1/orders")).await;
    assert_eq!((expired.status.as_u16(), expired.code().as_str()), (401, "session_expired"));
    // What is public stays so.
    assert_eq!(world.send(browser.request("GET", "/v1/overview")).await.status, 200);
}

#[tokio::test]
async fn another_operators_token_ends_every_session() {
    let world = World::new().await;
    let browser = Browser::new(&world).await;
    let settings = gateway::Settings {
        admin_token: Some("another-operator-token".into()),
        ..gateway::Settings::default()
    };
    let restarted = with_settings(&world, settings);
    let answer = send(&restarted, browser.request("GET", "/v1/orders")).await;
    assert_eq!(answer.code(), "session_expired");
}

#[tokio::test]
async fn whoever_signs_out_is_signed_out_everywhere() {
    let world = World::new().await;
    let (browser, other) = (Browser::new(&world).await, Browser::new(&world).await);
    let end = browser.proven(browser.request("DELETE", "/v1/session"));
    let answer = world.send(end).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    let refused = world.send(browser.request("GET", "/v1/session")).await;
    assert_eq!(refused.code(), "session_expired");
    assert_eq!(world.send(other.request("GET", "/v1/session")).await.status, 200);
    let by_token = world.get("/v1/session", Some(OPERATOR_TOKEN)).await;
    assert_eq!((by_token.status.as_u16(), by_token.code().as_str()), (404, "session_not_found"));
    let audit = world.get("/v1/audit", Some(OPERATOR_TOKEN)).await.json();
    let actions: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["end_session", "open_session", "open_session"]);
}

#[tokio::test]
async fn wrong_tokens_are_refused_and_after_ten_of_them_their_address_waits_a_minute_and_no_other()
{
    let world = World::new().await;
    for _ in 0..10 {
        let answer = sign_in(&world, "operator-token-of-the-test").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "credentials_invalid"));
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    let limited = sign_in(&world, OPERATOR_TOKEN).await;
    assert_eq!((limited.status.as_u16(), limited.code().as_str()), (429, "rate_limited"));
    assert_eq!(limited.header("retry-after"), "60");
    let body = json!({ "token": OPERATOR_TOKEN });
    let mut elsewhere = json_request("POST", "/v1/session", &body);
    let peer = SocketAddr::from(([192, 0, 2, 7], 4000));
    elsewhere.extensions_mut().insert(ConnectInfo(peer));
    assert_eq!(world.send(elsewhere).await.status, 204);
    world.clock.set(start() + SignedDuration::from_secs(60));
    assert_eq!(sign_in(&world, OPERATOR_TOKEN).await.status, 204);
}

#[tokio::test]
async fn a_login_that_is_no_json_is_refused_and_says_nothing_of_the_token() {
    let world = World::new().await;
    let body = json!({ "token": OPERATOR_TOKEN }).to_string();
    let mut form = request("POST", "/v1/session", None, Body::from(body));
    form.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(world.send(form).await.code(), "unsupported_media_type");
    let odd = json!({ "token": OPERATOR_TOKEN, "stay": true });
    let answer = world.send(json_request("POST", "/v1/session", &odd)).await;
    assert_eq!(answer.code(), "malformed_body");
    assert!(!answer.text().contains(OPERATOR_TOKEN));
}

#[tokio::test]
async fn the_rows_hold_neither_the_sessions_id_nor_the_token() {
    let world = World::new().await;
    let browser = Browser::new(&world).await;
    world.store.close().await;
    let rows = world.rows();
    let holds = |text: &str| rows.windows(text.len()).any(|window| window == text.as_bytes());
    let id = browser.cookie.split_once('=').unwrap().1;
    assert_eq!(id.len(), 43);
    assert!(!holds(id) && !holds(OPERATOR_TOKEN) && !holds(&browser.csrf));
    assert!(holds("open_session"));
}

#[tokio::test]
async fn a_cookie_of_nobody_is_no_login_and_costs_no_error() {
    let world = World::new().await;
    for cookie in ["lessor_session=", "lessor_session=short", "other=1", "lessor_session"] {
        let mut request = request("GET", "/v1/orders", None, Body::empty());
        request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        assert_eq!(world.send(request).await.code(), "credentials_missing", "{cookie}");
    }
    let mut request = request("GET", "/v1/orders", None, Body::empty());
    let cookie = format!("lessor_session={}", "A".repeat(43));
    request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
    assert_eq!(world.send(request).await.code(), "session_expired");
    assert_eq!(world.store.session(&[0; 32]).await.unwrap(), None);
}
