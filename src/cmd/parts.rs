//! Puts adapters behind the ports, as the settings say.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};

use super::{
    host::{HostClock, HostEntropy},
    reload::rules_of,
    settings::{self, Settings},
};
use crate::{
    chain::{
        AccountKey, Endpoint, KeySource, Node, NodeSettings, Nodes, Pull, read_private,
        signer::{Remote, RemoteError},
    },
    cluster::{self, kubernetes::Kubernetes},
    devnet::genesis::{ACCOUNTS, CHAIN_ID},
    domain::Address,
    provider::{
        Parts, Provider,
        port::{Chain, Cluster, Signer},
    },
    store::{self, seal::SealKeys},
    wire::{
        key::PublicKey,
        text::{from_base64, to_base64},
    },
};

/// A provider on the adapters that `settings` name, with the key or the signer that they name.
pub async fn provider(settings: &Settings) -> anyhow::Result<Arc<Provider>> {
    let signer = match holder(settings).await? {
        None => None,
        Some(Holder::Local(key)) => Some(Arc::new(key) as Arc<dyn Signer>),
        Some(Holder::Remote(remote)) => Some(Arc::new(remote) as Arc<dyn Signer>),
    };
    provider_with_key(settings, signer).await
}

/// Who holds the account's key.
pub enum Holder {
    /// This process.
    Local(AccountKey),
    /// Another one, behind a socket.
    Remote(Remote),
}

/// The key that `[key]` names, or its signer; neither for a process that signs nothing.
pub async fn holder(settings: &Settings) -> anyhow::Result<Option<Holder>> {
    let key = &settings.key;
    match (key.file.as_str(), key.signer.as_str()) {
        ("", "") => Ok(None),
        (_, "") => Ok(Some(Holder::Local(AccountKey::open(&key_source(key)?)?))),
        ("", signer) => remote(settings, signer).await.map(|remote| Some(Holder::Remote(remote))),
        _ => bail!("key.file and key.signer are both set: who signs must be one of them"),
    }
}

async fn remote(settings: &Settings, signer: &str) -> anyhow::Result<Remote> {
    let path = signer.strip_prefix("unix:").filter(|path| !path.is_empty());
    let path: &Path = path
        .with_context(|| format!("key.signer {signer:?} is not of the form \"unix:/path\""))?
        .as_ref();
    let chain_id = &settings.chain.id;
    match (Remote::connect(path).await, settings.key.public_key.as_str()) {
        (Ok(remote), _) if !chain_id.is_empty() && remote.chain_id() != Some(chain_id) => bail!(
            "the signer at {signer} signs for chain {:?}, chain.id is {chain_id:?}",
            remote.chain_id().unwrap_or_default()
        ),
        (Ok(remote), "") => Ok(remote),
        (Ok(remote), key) if to_base64(remote.public_key()) == key => Ok(remote),
        (Ok(_), _) => bail!("the signer at {signer} holds another key than key.public_key"),
        (Err(error @ (RemoteError::Away { .. } | RemoteError::Late { .. })), key)
            if !key.is_empty() =>
        {
            tracing::error!(%error, "nothing is signed until the signer is there; what is wanted waits");
            let key = from_base64(key).and_then(|key| PublicKey::from_bytes(&key).ok());
            let key =
                key.context("key.public_key is not base64 of a compressed secp256k1 point")?;
            Ok(Remote::awaited(path, key))
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Where `[key]` says that the key is, and what opens it.
pub fn key_source(key: &settings::Key) -> anyhow::Result<KeySource> {
    Ok(KeySource {
        path: key.file.clone().into(),
        index: key.index,
        name: (!key.name.is_empty()).then(|| key.name.clone()),
        passphrase: passphrase(key)?,
    })
}

fn passphrase(key: &settings::Key) -> anyhow::Result<Option<SecretString>> {
    let given = !key.passphrase.expose_secret().is_empty();
    match (key.passphrase_file.as_str(), given) {
        ("", false) => Ok(None),
        ("", true) => Ok(Some(key.passphrase.clone())),
        (file, false) => Ok(Some(read_private(file.as_ref()).context("key.passphrase_file")?)),
        (_, true) => bail!("key.passphrase_file and LESSOR_KEY__PASSPHRASE are both set"),
    }
}

/// A provider on the adapters that `settings` name. Refuses the simulated cluster and the public test keys unless the
/// node is on a development chain.
pub async fn provider_with_key(
    settings: &Settings,
    signer: Option<Arc<dyn Signer>>,
) -> anyhow::Result<Arc<Provider>> {
    let path = &settings.store.path;
    store::migrate(path).await.with_context(|| format!("migrate {}", path.display()))?;
    let store = store::Sqlite::open(path, store_settings(settings))
        .await
        .with_context(|| format!("open {}", path.display()))?;
    let nodes = Arc::new(nodes(settings)?);
    let address = match (&signer, settings.key.address.as_str()) {
        (Some(signer), _) => signer.address().clone(),
        (None, "") => bail!("give key.file, or key.address for a process that signs nothing"),
        (None, address) => address.parse().context("key.address")?,
    };
    refuse_development_parts(settings, &address, nodes.as_ref()).await?;
    let provider = Arc::new(Provider::new(Parts {
        store: Arc::new(store),
        indexer: Some(Arc::new(Pull::new(&settings.pull_urls(), nodes.clone())?)),
        chain: nodes,
        cluster: cluster(settings).await?,
        signer,
        clock: Arc::new(HostClock),
        entropy: Arc::new(HostEntropy),
        address,
        settings: settings.provider()?,
    }));
    provider
        .take_rules_of_settings(&rules_of(settings))
        .await
        .context("take policy and prices of the settings")?;
    Ok(provider)
}

/// The nodes that the settings name, as one chain.
fn nodes(settings: &Settings) -> anyhow::Result<Nodes> {
    let mut endpoints: Vec<(String, Arc<dyn Endpoint>)> = Vec::new();
    for url in settings.chain.nodes() {
        let mut node = NodeSettings::new(url);
        if !settings.chain.id.is_empty() {
            node = node.on_chain(&settings.chain.id);
        }
        let name = node.name();
        let again = endpoints.iter().filter(|(known, _)| known.starts_with(&name)).count();
        let name = if again > 0 { format!("{name}#{}", again + 1) } else { name };
        endpoints.push((name, Arc::new(Node::new(node)?)));
    }
    Ok(Nodes::new(endpoints, Arc::new(HostClock), Arc::new(HostEntropy)))
}

/// What the settings say of the store.
#[must_use]
pub fn store_settings(settings: &Settings) -> store::Settings {
    let settings::Seal { keys, key_file } = &settings.seal;
    let given = (!keys.expose_secret().is_empty()).then(|| SealKeys::Settings(keys.clone()));
    let in_file = (!key_file.is_empty()).then(|| SealKeys::File(key_file.into()));
    store::Settings {
        keys: given.or(in_file),
        max_waiting: settings.store.max_waiting,
        ..store::Settings::default()
    }
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

async fn cluster(settings: &Settings) -> anyhow::Result<Arc<dyn Cluster>> {
    const ALLOWED: &str = "allowed are \"kubernetes\" and \"simulated\" (with a development chain)";
    match settings.cluster.kind.as_str() {
        "simulated" => Ok(Arc::new(cluster::Simulated::new(&settings.cluster.url)?)),
        "kubernetes" => {
            let found = Kubernetes::connect(settings.cluster.of_kubernetes()).await?;
            Ok(Arc::new(found))
        }
        "" => bail!("cluster.kind is not set; {ALLOWED}"),
        other => bail!("cluster.kind {other:?} is not known; {ALLOWED}"),
    }
}
