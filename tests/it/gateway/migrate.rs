//! Moving hostnames on today's wire: what clients match on. Where the names then lead is the provider's test.

use lessor::provider::port::{Commit, Store as _, Subject};
use serde_json::{Value, json};

use super::{
    session::json_request,
    world::{Answer, DSEQ, World},
};

async fn ask(world: &World, path: &str, token: &str, body: &Value) -> Answer {
    let mut request = json_request("POST", path, body);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    world.send(request).await
}

fn to_alice(names: &[&str]) -> Value {
    json!({"hostnames_to_migrate": names, "destination_dseq": DSEQ, "destination_gseq": 1})
}

async fn served() -> World {
    let world = World::new().await;
    world.lease_on_chain();
    world.lease_in_rows().await;
    let path = format!("/deployment/{DSEQ}/manifest");
    let manifest = world.compiled.manifest.to_json();
    let taken = world.put(&path, &world.alice.full(), "application/json", manifest).await;
    assert_eq!(taken.status, 200);
    // The deployment's own state, of which the row is a copy.
    let order = world.alice.order();
    let row = world.store.order(&order).await.unwrap().unwrap();
    let mut orders = serde_json::Map::new();
    orders.insert(order.to_string(), row.body);
    let commit = Commit {
        state: Some(json!({"orders": orders, "hash": null, "seen_at": 950})),
        ..Commit::default()
    };
    world.commit(Subject::Deployment(order.deployment().clone()), &commit).await;
    world
}

#[tokio::test]
async fn hostnames_move_with_todays_answers() {
    let world = served().await;
    let token = world.alice.full();
    let said = async |body: &Value| {
        let answer = ask(&world, "/hostname/migrate", &token, body).await;
        (answer.status.as_u16(), answer.text().to_owned())
    };
    let moved = ask(&world, "/hostname/migrate", &token, &to_alice(&["app.example.com"])).await;
    assert_eq!(moved.header("content-type"), "application/json");
    assert_eq!(
        (moved.status.as_u16(), moved.json()),
        (200, json!({"transferred": ["app.example.com"]}))
    );

    assert_eq!(said(&json!("no object")).await, (422, String::new()));
    assert_eq!(said(&json!({"hostnames_to_migrate": 5})).await, (422, String::new()));
    assert_eq!(said(&to_alice(&[])).await, (400, String::new()));
    assert_eq!(said(&json!({})).await, (400, String::new()));
    let unused = "the hostname \"b.example.com\" is not used by this deployment\n";
    assert_eq!(said(&to_alice(&["b.example.com"])).await, (400, unused.to_owned()));
    let nowhere =
        json!({"hostnames_to_migrate": ["a.b"], "destination_dseq": 1, "destination_gseq": 1});
    let absent = "destination deployment does not exist\n";
    assert_eq!(said(&nowhere).await, (400, absent.to_owned()));
}

#[tokio::test]
async fn an_address_that_the_destination_does_not_name_is_refused_with_todays_words() {
    let world = served().await;
    let body = json!({"endpoints_to_migrate": ["public"], "destination_dseq": DSEQ, "destination_gseq": 1});
    let answer = ask(&world, "/endpoint/migrate", &world.alice.full(), &body).await;
    let expected = "the endpoint \"public\" does not exist in the destination deployment\n";
    assert_eq!((answer.status.as_u16(), answer.text()), (400, expected));
}

#[tokio::test]
async fn a_token_needs_the_scope_for_what_it_moves() {
    let world = served().await;
    let denied = "{\"message\":\"unauthorized access\"}";
    for (scope, expected) in [("hostname-migrate", 200), ("ip-migrate", 401), ("logs", 401)] {
        let token = world.alice.scoped(&[scope]);
        let answer =
            ask(&world, "/hostname/migrate", &token, &to_alice(&["app.example.com"])).await;
        assert_eq!(answer.status, expected, "{scope}");
        assert!(expected == 200 || answer.text() == denied, "{}", answer.text());
    }
}
