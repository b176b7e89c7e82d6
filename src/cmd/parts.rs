//! Puts adapters behind the ports, as the settings say.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, bail};

use super::{
    host::{HostClock, HostEntropy},
    settings::Settings,
};
use crate::{
    chain::{AccountKey, Node, NodeSettings, Pull},
    cluster,
    devnet::genesis::{ACCOUNTS, CHAIN_ID},
    domain::Address,
    provider::{
        Parts, Provider,
        port::{Chain, Cluster, Signer},
    },
    store,
};

/// A provider on the adapters that `settings` name, with the key in their file.
pub async fn provider(settings: &Settings) -> anyhow::Result<Arc<Provider>> {
    let signer = if settings.key.file.is_empty() {
        None
    } else {
        let key = AccountKey::from_file(settings.key.file.as_ref(), settings.key.index)?;
        Some(Arc::new(key) as Arc<dyn Signer>)
    };
    provider_with_key(settings, signer).await
}

/// A provider on the adapters that `settings` name. Refuses the simulated cluster and the public test keys unless the
/// node is on a development chain.
pub async fn provider_with_key(
    settings: &Settings,
    signer: Option<Arc<dyn Signer>>,
) -> anyhow::Result<Arc<Provider>> {
    let path = &settings.store.path;
    store::migrate(path).await.with_context(|| format!("migrate {}", path.display()))?;
    let store = store::Sqlite::open(path, store::Settings::default())
        .await
        .with_context(|| format!("open {}", path.display()))?;
    let mut node = NodeSettings::new(&settings.chain.node);
    if !settings.chain.id.is_empty() {
        node = node.on_chain(&settings.chain.id);
    }
    let node = Arc::new(Node::new(node)?);
    let address = match (&signer, settings.key.address.as_str()) {
        (Some(signer), _) => signer.address().clone(),
        (None, "") => bail!("give key.file, or key.address for a process that signs nothing"),
        (None, address) => address.parse().context("key.address")?,
    };
    refuse_development_parts(settings, &address, node.as_ref()).await?;
    Ok(Arc::new(Provider::new(Parts {
        store: Arc::new(store),
        indexer: Some(Arc::new(Pull::new(&pull_urls(settings), node.clone())?)),
        chain: node,
        cluster: cluster(settings)?,
        signer,
        clock: Arc::new(HostClock),
        entropy: Arc::new(HostEntropy),
        address,
        settings: settings.provider()?,
    })))
}

/// The pull APIs that the settings name, by stream.
fn pull_urls(settings: &Settings) -> BTreeMap<String, String> {
    let named = settings.streams.iter().filter(|(_, stream)| !stream.pull_url.is_empty());
    named.map(|(name, stream)| (name.clone(), stream.pull_url.clone())).collect()
}

/// Test keys are public and the simulated cluster runs nothing: neither may serve a chain where money is real.
async fn refuse_development_parts(
    settings: &Settings,
    address: &Address,
    chain: &dyn Chain,
) -> anyhow::Result<()> {
    let public_key = ACCOUNTS.iter().any(|(_, account)| *account == address.as_str());
    let part = match (public_key, settings.cluster.kind.as_str()) {
        (true, _) => "the public test key",
        (false, "simulated") => "the simulated cluster",
        _ => return Ok(()),
    };
    let identity = chain
        .identity()
        .await
        .with_context(|| format!("ask the node for its chain, since {part} is to be used"))?;
    if is_devnet(&identity.chain_id) {
        Ok(())
    } else {
        bail!("{:?} is no development chain: {part} is refused there", identity.chain_id)
    }
}

/// Whether a chain's name is one that `lessor devnet` gives.
#[must_use]
pub fn is_devnet(chain_id: &str) -> bool {
    let family = CHAIN_ID.trim_end_matches(|last: char| last.is_ascii_digit());
    chain_id.starts_with(family)
}

fn cluster(settings: &Settings) -> anyhow::Result<Arc<dyn Cluster>> {
    match settings.cluster.kind.as_str() {
        "simulated" => Ok(Arc::new(cluster::Simulated::new(&settings.cluster.url)?)),
        "" => bail!("cluster.kind is not set; allowed is \"simulated\" (with a development chain)"),
        other => bail!(
            "cluster.kind {other:?} is not known; allowed is \"simulated\" (with a development chain)"
        ),
    }
}
