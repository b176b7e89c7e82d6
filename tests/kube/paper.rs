//! Kubernetes keeps what every backend of the cluster port promises, with real controllers and a node on paper: as far as no
//! container must run. The rest needs a real node.

use std::time::Duration;

use lessor::cluster::kubernetes::{Kubernetes, settings::Settings};
use tokio::sync::RwLock;

use crate::{
    cluster::{Ring, shared},
    contract::{self, Images},
    provider::{USER, installed},
};

/// Held while a test uses the node, by one alone while it counts what the node holds.
pub(crate) static PAPER: RwLock<()> = RwLock::const_new(());
/// How long one answer may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Nobody looks at them.
const IMAGES: Images = Images { good: "example/web:1", missing: "", crashing: "" };

macro_rules! keeps_the_contract {
    ($turn:ident: $($promise:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            let Some(cluster) = shared(Ring::Paper) else { return };
            let _turn = PAPER.$turn().await;
            installed(cluster).await;
            let kubernetes = Kubernetes::with(cluster.user(USER), Settings::default(), TIMEOUT);
            let _watching = kubernetes.watch();
            contract::$promise(&kubernetes, &IMAGES).await;
        }
    )*};
}

keeps_the_contract!(
    read: an_applied_workload_becomes_ready,
    of_an_unknown_lease_nothing_is_known,
    a_teardown_can_be_asked_for_twice,
    a_port_that_is_not_http_is_forwarded_and_keeps_its_number,
);
keeps_the_contract!(write: a_lease_takes_from_the_inventory_and_gives_back);
