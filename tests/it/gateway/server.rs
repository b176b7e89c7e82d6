//! Connections over a real socket.

use std::time::Duration;

use axum::{Router, routing::get};
use lessor::gateway::serve;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

const DRAIN: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_request_under_way_ends_before_the_process_does_and_no_new_one_begins() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (entered, go_on) =
        (&*Box::leak(Box::new(Notify::new())), &*Box::leak(Box::new(Notify::new())));
    let router = Router::new().route(
        "/",
        get(|| async {
            entered.notify_one();
            go_on.notified().await;
            "done"
        }),
    );
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, router, shutdown.clone(), DRAIN));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;
    shutdown.cancel();
    // The listener is gone once the server drains.
    crate::support::eventually("the listener closes", Duration::from_secs(5), async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    assert!(!server.is_finished());
    go_on.notify_one();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    server.await.unwrap();
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let router = Router::new().route("/", get(|| async { "done" }));
    let server = tokio::spawn(serve(listener, router, shutdown.clone(), DRAIN));
    let mut client = TcpStream::connect(address).await.unwrap();
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(64 * 1024));
    // The server may answer and close before it has read everything.
    let _ = client.write_all(large.as_bytes()).await;
    let mut answer = vec![0; 32];
    let read = client.read(&mut answer).await.unwrap_or(0);
    let start = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(read == 0 || start.starts_with("HTTP/1.1 431"), "{start}");
    shutdown.cancel();
    server.await.unwrap();
}

#[tokio::test]
async fn a_request_that_outlives_the_drain_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let entered = &*Box::leak(Box::new(Notify::new()));
    let router = Router::new().route(
        "/",
        get(|| async {
            entered.notify_one();
            std::future::pending::<()>().await;
        }),
    );
    let shutdown = CancellationToken::new();
    let drain = Duration::from_millis(50);
    let server = tokio::spawn(serve(listener, router, shutdown.clone(), drain));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;
    shutdown.cancel();
    // Eight seconds were once fixed; a setting of less is kept to.
    tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
}
