//! Commands over a real websocket.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use super::world::World;

type Answer = Result<
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    (u16, String),
>;

/// A world with a lease, behind a socket.
async fn served() -> (World, String) {
    let world = World::new().await;
    world.lease_in_rows().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = world.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let url = format!("ws://{address}{}/exec", world.alice.lease_path());
    (world, url)
}

async fn connect(url: &str, token: &str) -> Answer {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            Err((answer.status().as_u16(), problem["code"].as_str().unwrap().to_owned()))
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_command_reads_and_writes_and_ends_with_its_code() {
    let (world, url) = served().await;
    let url = format!("{url}?service=web&command=cat&command=-&stdin=true");
    let mut socket = connect(&url, &world.alice.full()).await.unwrap();
    for frame in [&b"\x68one"[..], b"\x69\x00\x50\x00\x18", b"\x07unknown", b"\x6a"] {
        socket.send(Message::binary(frame.to_vec())).await.unwrap();
    }
    let mut said = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) => said.push(String::from_utf8(bytes.to_vec()).unwrap()),
            Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 1000),
            _ => {}
        }
    }
    assert_eq!(said, ["done", "e80x24", "f{\"exit_code\":3}"]);
}

#[tokio::test]
async fn what_a_caller_still_sends_does_not_cost_it_the_end() {
    let (world, url) = served().await;
    let url = format!("{url}?service=web&command=cat&command=-&stdin=true");
    let (mut sender, mut reader) = connect(&url, &world.alice.full()).await.unwrap().split();
    sender.send(Message::binary(&b"\x6a"[..])).await.unwrap();
    let mut last = None;
    let more = async {
        // Until it hears of the end.
        while sender.send(Message::binary(vec![7; 1024])).await.is_ok() {}
    };
    let read = async {
        while let Some(Ok(message)) = reader.next().await {
            if let Message::Binary(bytes) = message {
                last = Some(bytes);
            }
        }
    };
    tokio::join!(more, read);
    assert_eq!(last.unwrap().as_ref(), b"\x66{\"exit_code\":3}");
}

#[tokio::test]
async fn what_keeps_a_command_from_running_is_an_answer_like_any_other() {
    let (world, url) = served().await;
    let alice = world.alice.full();
    for (query, token, status, code) in [
        ("service=nobody&command=ls", &alice, 404, "service_not_found"),
        ("service=web&command=ls&replica=9", &alice, 409, "exec_refused"),
        ("service=web", &alice, 400, "malformed_query"),
        ("service=web&command=ls", &world.alice.scoped(&["logs"]), 403, "scope_missing"),
        ("service=web&command=ls", &world.bob.full(), 404, "lease_not_found"),
    ] {
        let refused = connect(&format!("{url}?{query}"), token).await.err().unwrap();
        assert_eq!(refused, (status, code.to_owned()), "{query}");
    }
    let path = format!("{}/exec?service=web&command=ls", world.alice.lease_path());
    let plain = world.get(&path, Some(&alice)).await;
    assert_eq!((plain.status.as_u16(), plain.code().as_str()), (426, "upgrade_required"));
}
