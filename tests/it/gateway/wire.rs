//! Today's wire: texts, shapes and statuses that clients match on.

use serde_json::{Value, json};

use super::world::{Answer, DSEQ, PROVIDER, World};

fn lease(world: &World, rest: &str) -> String {
    let _ = world;
    format!("/lease/{DSEQ}/1/1/{rest}")
}

/// Plain text as Go's `http.Error` writes it.
fn text(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    (answer.status.as_u16(), answer.text())
}

async fn put(world: &World, body: &str) -> Answer {
    let path = format!("/deployment/{DSEQ}/manifest");
    world.put(&path, &world.alice.full(), "application/json", body.to_owned()).await
}

#[tokio::test]
async fn a_manifest_is_taken_with_an_empty_200_any_number_of_times() {
    let world = World::new().await;
    world.lease_on_chain();
    for _ in 0..3 {
        let answer = put(&world, &world.compiled.manifest.to_json()).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
    }
}

#[tokio::test]
async fn a_manifest_is_refused_with_the_words_that_clients_know() {
    let world = World::new().await;
    let manifest = world.compiled.manifest.to_json();
    assert_eq!(text(&put(&world, &manifest).await), (404, "no lease for deployment\n"));
    world.lease_on_chain();
    assert_eq!(text(&put(&world, "").await), (422, "EOF\n"));
    assert_eq!(text(&put(&world, "[]").await), (422, "invalid manifest: manifest is empty\n"));
    assert_eq!(text(&put(&world, "null").await), (422, "invalid manifest: manifest is empty\n"));
    assert_eq!(put(&world, "{").await.status, 422);
    let other = manifest.replace("nginx:1", "nginx:2");
    assert_eq!(text(&put(&world, &other).await), (422, "manifest version validation failed\n"));
    for size in [1 << 21, 5 << 20] {
        let large = put(&world, &" ".repeat(size)).await;
        assert_eq!(text(&large), (413, "http: request body too large\n"), "{size}");
    }
}

#[tokio::test]
async fn what_the_go_gateway_does_not_wrap_is_answered_with_500_as_it_does() {
    let world = World::new().await;
    world.lease_on_chain();
    let manifest: Value = serde_json::from_str(&world.compiled.manifest.to_json()).unwrap();
    let mut without_id = manifest.clone();
    without_id[0]["services"][0]["resources"]["id"] = json!(0);
    let answer = put(&world, &without_id.to_string()).await;
    assert_eq!(text(&answer), (500, "resources ID must be > 0\n"));
    let mut without_cpu = manifest;
    without_cpu[0]["services"][0]["resources"].as_object_mut().unwrap().remove("cpu");
    assert_eq!(put(&world, &without_cpu.to_string()).await.status, 500);
}

#[tokio::test]
async fn a_handler_that_fails_answers_in_words_that_clients_can_read() {
    let world = World::new().await;
    world.lease_on_chain();
    world.lease_in_rows().await;
    put(&world, &world.compiled.manifest.to_json()).await;
    *world.cluster.is_broken.lock().unwrap() = true;
    let answer = world.get(&lease(&world, "status"), Some(&world.alice.full())).await;
    assert_eq!(text(&answer), (500, "internal error\n"));
}

#[tokio::test]
async fn methods_and_paths_are_taken_as_todays_router_takes_them() {
    let world = World::new().await;
    let ask = async |method: &str, path: &str| {
        let request = super::world::request(method, path, None, axum::body::Body::empty());
        let answer = world.send(request).await;
        assert_eq!(answer.header("allow"), "", "{method} {path}");
        (answer.status.as_u16(), answer.text().to_owned(), answer.header("location").to_owned())
    };
    let none = String::new;
    for path in ["/status", "/version", "/address", "/deployment/5/manifest"] {
        for method in ["HEAD", "OPTIONS", "DELETE"] {
            assert_eq!(ask(method, path).await, (405, none(), none()), "{method} {path}");
        }
    }
    let lost = "404 page not found\n".to_owned();
    let path = "/lease/5/1/1/status";
    assert_eq!(ask("OPTIONS", path).await, (404, lost.clone(), none()));
    // The text of a HEAD is cut off on the connection.
    assert_eq!(ask("HEAD", path).await.0, 404);
    assert_eq!(ask("GET", "/status/").await, (404, lost, none()));
    for (path, clean) in
        [("//status", "/status"), ("/lease/./5//1/1/status?a=b", "/lease/5/1/1/status?a=b")]
    {
        assert_eq!(ask("GET", path).await, (301, none(), clean.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_hostname_of_another_lease_is_refused_with_todays_words() {
    let world = World::new().await;
    world.lease_on_chain();
    let claim = lessor::provider::port::HostnameClaim {
        hostname: "app.example.com".to_owned(),
        lease: world.bob.lease(),
        service: "web".to_owned(),
    };
    let row = lessor::provider::port::ManifestRow {
        deployment: world.bob.lease().deployment().clone(),
        hash: "00".repeat(32),
        body: "[]".to_owned(),
        received_at: super::world::start(),
    };
    let leases = [world.bob.lease()];
    let now = super::world::start();
    let store = &*world.store;
    lessor::provider::port::Store::store_manifest(store, &row, &leases, &[claim], now)
        .await
        .unwrap();
    let answer = put(&world, &world.compiled.manifest.to_json()).await;
    let expected = "hostname not allowed: host \"app.example.com\" in use\n";
    assert_eq!(text(&answer), (500, expected));
}

#[tokio::test]
async fn a_lease_shows_its_status_with_todays_members() {
    let world = World::new().await;
    world.lease_on_chain();
    let token = world.alice.full();
    // Nothing runs yet.
    let answer = world.get(&lease(&world, "status"), Some(&token)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, ""));
    world.lease_in_rows().await;
    assert_eq!(put(&world, &world.compiled.manifest.to_json()).await.status, 200);

    let answer = world.get(&lease(&world, "status"), Some(&token)).await;
    assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
    let service = |name: &str, uris: Value| {
        json!({
            "name": name, "available": 1, "total": 1, "uris": uris, "observed_generation": 1,
            "replicas": 1, "updated_replicas": 1, "ready_replicas": 1, "available_replicas": 1,
        })
    };
    let expected = json!({
        "services": {"db": service("db", Value::Null), "web": service("web", json!(["app.example.com"]))},
        "forwarded_ports": null,
        "ips": null,
    });
    assert_eq!(answer.json(), expected);
    let one = world.get(&lease(&world, "service/web/status"), Some(&token)).await;
    assert_eq!(one.json(), expected["services"]["web"]);
    let none = world.get(&lease(&world, "service/api/status"), Some(&token)).await;
    assert_eq!(text(&none), (404, "kube: no service for that lease\n"));

    world.cluster.statuses.lock().unwrap().clear();
    let gone = world.get(&lease(&world, "status"), Some(&token)).await;
    assert_eq!(text(&gone), (404, "kube: no deployments for lease\n"));
}

#[tokio::test]
async fn the_manifest_comes_back_as_the_leases_group_alone() {
    let world = World::new().await;
    world.lease_on_chain();
    world.lease_in_rows().await;
    let token = world.alice.full();
    let path = lease(&world, "manifest");
    assert_eq!(text(&world.get(&path, Some(&token)).await), (404, "lease not found\n"));
    put(&world, &world.compiled.manifest.to_json()).await;
    let groups = world.get(&path, Some(&token)).await.json();
    assert_eq!(groups.as_array().unwrap().len(), 1);
    assert_eq!(groups[0]["name"], "here");
    assert_eq!(groups[0]["services"][1]["image"], "nginx:1");
    let other = world.get(&path, Some(&world.bob.full())).await;
    assert_eq!(text(&other), (404, "lease not found\n"));
}

#[tokio::test]
async fn public_routes_answer_without_looking_at_tokens() {
    let world = World::new().await;
    for token in [None, Some("garbage")] {
        let address = world.get("/address", token).await;
        assert_eq!(address.text(), format!("{{\"address\":\"{PROVIDER}\"}}"));
        let version = world.get("/version", token).await.json();
        assert_eq!(version["akash"]["version"], "0.16.2");
        assert!(version["kube"].is_null());
        let status = world.get("/status", token).await;
        assert_eq!(status.header("content-type"), "application/json; charset=UTF-8");
        assert_eq!(status.json()["address"], PROVIDER);
        assert_eq!(status.json()["cluster"]["leases"], 0);
    }
}

#[tokio::test]
async fn scopes_and_numbers_are_checked_in_todays_order() {
    let world = World::new().await;
    world.lease_on_chain();
    world.lease_in_rows().await;
    let denied = (401, "{\"message\":\"unauthorized access\"}".to_owned());
    let answered = async |path: &str, token: &str| {
        let answer = world.get(path, Some(token)).await;
        (answer.status.as_u16(), answer.text().to_owned())
    };
    let status = lease(&world, "status");
    let logs_only = world.alice.scoped(&["logs"]);
    assert_eq!(answered(&status, &logs_only).await, denied);
    // Any token that covers the lease reads a service's status.
    let service = lease(&world, "service/web/status");
    assert_eq!(answered(&service, &logs_only).await.0, 200);
    // The number is refused before the scope is asked for, but not before the token.
    let range = "strconv.ParseUint: parsing \"4294967296\": value out of range\n";
    let path = format!("/lease/{DSEQ}/4294967296/1/status");
    assert_eq!(answered(&path, &logs_only).await, (400, range.to_owned()));
    assert_eq!(answered(&path, "a.b.c").await.1, "{\"message\":\"JWT is invalid\"}");
    let elsewhere = world.alice.token(&json!({"access": "granular", "permissions": [
        {"provider": world.bob.address, "access": "full"},
    ]}));
    assert_eq!(answered(&status, &elsewhere).await, denied);
}

#[tokio::test]
async fn an_authorization_that_is_not_a_bearer_token_is_a_bad_request() {
    let world = World::new().await;
    for value in ["Basic dTpw", "Bearer", "Bearer a b", "token"] {
        let mut request =
            super::world::request("GET", &lease(&world, "status"), None, axum::body::Body::empty());
        request.headers_mut().insert("authorization", value.parse().unwrap());
        let answer = world.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (400, "{\"message\":\"invalid authorization header\"}"),
            "{value}"
        );
    }
}
