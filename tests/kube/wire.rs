//! What is between lessor and the API server: bytes are passed on, at once or late, until the connections are cut.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// A way to the API server. It ends when this is dropped.
pub(crate) struct Wire {
    address: SocketAddr,
    delay: watch::Sender<Duration>,
    connections: Arc<Mutex<CancellationToken>>,
    listens: CancellationToken,
}

impl Wire {
    /// A way to the API server at this URL.
    pub(crate) async fn to(server: &str) -> Self {
        let server: SocketAddr = server.strip_prefix("https://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap(),
            delay: watch::Sender::new(Duration::ZERO),
            connections: Arc::default(),
            listens: CancellationToken::new(),
        };
        let (delay, connections) = (wire.delay.subscribe(), Arc::clone(&wire.connections));
        let listens = wire.listens.clone();
        tokio::spawn(async move {
            while let Some(Ok((near, _))) = listens.run_until_cancelled(listener.accept()).await {
                let (delay, open) = (delay.clone(), connections.lock().unwrap().clone());
                tokio::spawn(async move {
                    open.run_until_cancelled(connect(near, server, delay)).await;
                });
            }
        });
        wire
    }

    /// The API server's URL on this way; its certificate is good for it.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From now on each answer comes so much later.
    pub(crate) fn slow(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    /// Whoever is connected is no longer; new connections are taken.
    pub(crate) fn cut(&self) {
        let cut = std::mem::take(&mut *self.connections.lock().unwrap());
        cut.cancel();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listens.cancel();
        self.cut();
    }
}

async fn connect(near: TcpStream, server: SocketAddr, delay: watch::Receiver<Duration>) {
    // A server that is away ends the connection, as a proxy would.
    let Ok(far) = TcpStream::connect(server).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let (_, never) = watch::channel(Duration::ZERO);
    tokio::select! {
        () = pass_on(near_in, far_out, never) => {}
        () = pass_on(far_in, near_out, delay) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: watch::Receiver<Duration>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let late = *delay.borrow();
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
