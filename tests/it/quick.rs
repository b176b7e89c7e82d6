//! A whole world in one process, with quick blocks and a quick cluster, and a tenant in it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lessor::{
    client::{Tenant, Terms, gateway::Gateway, node::Node},
    cmd::{dev, devnet, host, settings::Settings},
    devnet::{cluster, genesis::test_key},
    domain::{Coin, Denom, Price},
    manifest::Dialect,
};

use crate::support::install_tls;

/// What takes milliseconds in a quick world may take so long on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A world in a folder, with the settings of a file if one is given; without a worker only requests and ticks move it.
pub(crate) async fn world(data: &Path, file: Option<&Path>, works: bool) -> dev::Dev {
    dev::Dev::start(options(data, file, works)).await.unwrap()
}

/// What such a world is made of.
pub(crate) fn options(data: &Path, file: Option<&Path>, works: bool) -> dev::Options {
    install_tls();
    let mut settings = Settings::load(file, []).unwrap();
    settings.listen.public = "127.0.0.1:0".to_owned();
    settings.chain.poll_ms = 100;
    let cluster = cluster::Settings {
        ready_min_ms: 10,
        ready_max_ms: 80,
        teardown_ms: 50,
        log_every_ms: 50,
        ..cluster::Settings::default()
    };
    dev::Options {
        data: data.to_owned(),
        settings,
        world: devnet::Options {
            block_interval: Duration::from_millis(50),
            cluster,
            ..devnet::Options::default()
        },
        works,
        place: dev::Place::default(),
    }
}

/// The tenant with this test key.
pub(crate) fn tenant(dev: &dev::Dev, index: u32) -> Tenant {
    Tenant {
        key: test_key(index).unwrap(),
        node: Node::new(&dev.node).unwrap(),
        gateway: Gateway::new(&dev.url).unwrap(),
        dialect: Dialect::Go,
        gas_price: Price { denom: Denom::uakt(), amount: "0.025".parse().unwrap() },
        now: host::now,
        entropy: || uuid::Uuid::new_v4().as_u64_pair().1,
    }
}

pub(crate) fn terms() -> Terms {
    Terms {
        deposit: Coin { denom: Denom::uact(), amount: 5_000_000 },
        denom: Some(Denom::uact()),
        provider: None,
        bid_wait: LIMIT,
        ready_wait: LIMIT,
    }
}

/// One of the examples that come with lessor.
pub(crate) fn example(name: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    std::fs::read_to_string(folder.join(name)).unwrap()
}
