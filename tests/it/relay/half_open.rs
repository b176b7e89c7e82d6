//! Connections that die half: the node's side is gone, and nothing says so.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lessor::relay::Settings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::world::{Node, Receiver, Running, settings};

/// In front of a node: passes bytes on, and from a moment on swallows those of the connections that are open then.
struct Wire {
    address: SocketAddr,
    /// Connections below this number swallow.
    dead_below: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
}

impl Wire {
    async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap(),
            dead_below: Arc::default(),
            opened: Arc::default(),
        };
        let (dead_below, opened) = (wire.dead_below.clone(), wire.opened.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = opened.fetch_add(1, Ordering::SeqCst);
                let far = TcpStream::connect(node).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                for (from, to) in [(near_in, far_out), (far_in, near_out)] {
                    tokio::spawn(pass_on(from, to, number, dead_below.clone()));
                }
            }
        });
        wire
    }

    /// Every connection that is open now is dead from now on, and nobody is told.
    fn die_half(&self) {
        self.dead_below.store(self.opened.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    number: u64,
    dead_below: Arc<AtomicU64>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let is_dead = number < dead_below.load(Ordering::SeqCst);
        if !is_dead && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn blocks_come_again_within_seconds_after_every_connection_to_the_node_died_half() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    let at = node.url.socket_addrs(|| None).unwrap()[0];
    let wire = Wire::to(at).await;
    let relay = Running::start(Settings {
        node: format!("http://{}", wire.address).parse().unwrap(),
        ..settings(&node, &receiver, data.path())
    });
    node.push_orders(&[1, 1]);
    receiver.until_at(node.block_ref(2)).await;
    wire.die_half();
    node.push_orders(&[1, 1]);
    let since = Instant::now();
    receiver.until_at(node.block_ref(4)).await;
    assert!(since.elapsed() < Duration::from_secs(12), "{:?}", since.elapsed());
    relay.stop().await;
}
