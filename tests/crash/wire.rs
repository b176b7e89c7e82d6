//! What is between the provider and its node: bytes are passed on, or connections are refused, or nothing comes and nobody
//! is told.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// A way to a node.
pub(crate) struct Wire {
    node: SocketAddr,
    address: SocketAddr,
    frozen: Arc<watch::Sender<bool>>,
    /// Ends the listener and every connection.
    open: CancellationToken,
}

impl Wire {
    /// A way to the node at this URL.
    pub(crate) async fn to(node: &str) -> Self {
        let node = node.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut wire = Self {
            node,
            address: listener.local_addr().unwrap(),
            frozen: Arc::new(watch::Sender::new(false)),
            open: CancellationToken::new(),
        };
        wire.listen(listener);
        wire
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nobody listens, and whoever was connected is no longer.
    pub(crate) fn refuse(&self) {
        self.open.cancel();
    }

    /// Somebody listens again.
    pub(crate) async fn accept(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.listen(listener);
    }

    /// From now on no byte passes, and every connection stays open, new ones too.
    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// What was held back passes, and everything after it.
    pub(crate) fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    fn listen(&mut self, listener: TcpListener) {
        self.open = CancellationToken::new();
        let (node, frozen, open) = (self.node, Arc::clone(&self.frozen), self.open.clone());
        tokio::spawn(async move {
            while let Some(Ok((near, _))) = open.run_until_cancelled(listener.accept()).await {
                let (frozen, open) = (Arc::clone(&frozen), open.clone());
                tokio::spawn(async move {
                    open.run_until_cancelled(connect(near, node, &frozen)).await;
                });
            }
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.open.cancel();
    }
}

async fn connect(near: TcpStream, node: SocketAddr, frozen: &watch::Sender<bool>) {
    // A node that is away ends the connection, as a proxy would.
    let Ok(far) = TcpStream::connect(node).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pass_on(near_in, far_out, frozen.subscribe()) => {}
        () = pass_on(far_in, near_out, frozen.subscribe()) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut frozen: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}
