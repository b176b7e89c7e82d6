//! The whole world behind one loopback address: the node's RPC at the root, control under `/devnet`, the simulated
//! cluster under `/cluster`. Owns start and stop.

use std::{future::IntoFuture as _, io, net::SocketAddr, path::PathBuf, pin::pin, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    control,
    genesis::Genesis,
    node::{Clock, Node, NodeError},
    rpc,
};

/// How long a world that ends waits for its open connections.
const LINGER: Duration = Duration::from_secs(2);

/// How a world starts.
#[derive(Clone)]
pub struct Settings {
    /// The folder that everything lives in; one that was used before goes on where it was.
    pub data: PathBuf,
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Between blocks.
    pub interval: Duration,
    /// What a new chain starts with; an old folder must hold the same chain id.
    pub genesis: Genesis,
    /// Where the time comes from.
    pub clock: Clock,
    /// The simulated cluster, mounted under `/cluster`.
    pub cluster: Option<Router>,
}

/// Why a world does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its accounts are public, so it must not be reached from elsewhere.
    #[error("{0} is not a loopback address: the accounts of a development chain are public keys")]
    NotLoopback(SocketAddr),
    /// The folder is no good.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The address is taken or not allowed.
    #[error("{addr} cannot be listened on: {source}")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A running world. Dropped, it goes on; [`Running::shutdown`] ends it.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    node: Node,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the node's RPC, without a slash at the end.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address under which the simulated cluster is mounted.
    #[must_use]
    pub fn cluster_url(&self) -> String {
        format!("http://{}/cluster", self.addr)
    }

    /// The node, for who runs in the same process.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Ends it: no block is made and no call answered any more, and the folder is free.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.tasks {
            // A task that panicked is over too.
            drop(task.await);
        }
    }
}

/// Starts a world. Once this returns, its address answers.
///
/// # Errors
/// [`StartError`].
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let Settings { data, listen, interval, genesis, clock, cluster } = settings;
    if !listen.ip().is_loopback() {
        return Err(StartError::NotLoopback(listen));
    }
    let refused = |source| StartError::Listen { addr: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    let node = Node::open(&data, genesis, interval, clock)?;
    let mut app = rpc::router(node.clone()).nest("/devnet", control::router(node.clone()));
    if let Some(cluster) = cluster {
        app = app.nest("/cluster", cluster);
    }
    let stop = CancellationToken::new();
    let blocks = tokio::spawn({
        let (node, stop) = (node.clone(), stop.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = node.run() => {}
            }
        }
    });
    let server = tokio::spawn({
        let stop = stop.clone();
        async move {
            let ends = stop.clone().cancelled_owned();
            let mut served =
                pin!(axum::serve(listener, app).with_graceful_shutdown(ends).into_future());
            let result = tokio::select! {
                result = &mut served => result,
                // Whoever starts again finds the folder free once all connections have ended. What follows a log must not
                // hold that up for long.
                () = stop.cancelled() => timeout(LINGER, served).await.unwrap_or(Ok(())),
            };
            if let Err(error) = result {
                tracing::error!(%error, "development world stopped listening");
            }
        }
    });
    Ok(Running { addr, node, stop, tasks: vec![blocks, server] })
}
