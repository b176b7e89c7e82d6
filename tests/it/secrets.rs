//! What a tenant keeps secret, from the upload to the disk: in no file of the provider, in no answer to the operator, and
//! the lease is served on over a change of keys and a restart.

use std::path::{Path, PathBuf};

use lessor::{
    client::token,
    cmd::{dev, host},
    domain::LeaseId,
    store::{self, backup::backup, check::check, reseal::reseal},
};
use secrecy::ExposeSecret;

use crate::{
    quick::{LIMIT, example, tenant, terms, world},
    support::eventually,
};

const SECRET: &str = "hunter2-of-a-tenant";

/// The example with a secret in its environment; versions differ beside it.
fn document(version: u32) -> String {
    let text = example("web.yaml");
    let lines = format!("      - PASSWORD={SECRET}\n      - VERSION={version}\n");
    if text.contains("    env:\n") {
        text.replacen("    env:\n", &format!("    env:\n{lines}"), 1)
    } else {
        text.replacen("    image: ", &format!("    env:\n{lines}    image: "), 1)
    }
}

/// The provider's own files: the store with all that lies beside it, not the world's.
fn files(data: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).collect()
}

fn with_the_secret(data: &Path) -> Vec<PathBuf> {
    let has = |path: &PathBuf| {
        // The relay renames its files while it works; what is gone is looked at under its other name.
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.unwrap(),
        };
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    };
    files(data).into_iter().filter(has).collect()
}

async fn is_served(dev: &dev::Dev, lease: &LeaseId) {
    let tenant = tenant(dev, 0);
    eventually("the lease is ready", LIMIT, async || {
        let token = token::sign(&tenant.key, &lease.provider, host::now());
        let status = tenant.gateway.lease_status(lease, &token).await.ok()?;
        let services = status["services"].as_object()?;
        services.values().all(|service| service["available"].as_u64() > Some(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_file_and_no_answer_and_its_lease_outlives_keys_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let dev = world(folder.path(), None, true).await;
    let tenant_now = tenant(&dev, 0);
    let id = tenant_now.deploy(&document(1), Some(7), &terms(), &mut |_| {}).await.unwrap();
    let lease = tenant_now.running_leases(&id).await.unwrap().remove(0);
    let path = folder.path().join("lessor.db");
    backup(&path, &folder.path().join("backup.db")).await.unwrap();
    let found = files(folder.path());
    for name in ["lessor.db", "lessor.db-wal", "lessor.db.key", "backup.db"] {
        assert!(found.contains(&folder.path().join(name)), "{name} is not among {found:?}");
    }
    assert_eq!(with_the_secret(folder.path()), Vec::<PathBuf>::new());
    let manifest = dev.provider.store.manifests(&id).await.unwrap().remove(0);
    assert!(manifest.body.contains(SECRET), "the secret was there to be found");

    // Nothing that the operator reads says it.
    let client = reqwest::Client::builder().build().unwrap();
    let order = format!("{}/{}/{}", id.owner, id.dseq, "1/1");
    let mut answered = 0;
    for route in [
        "/readyz",
        "/metrics",
        "/v1/orders",
        "/v1/bids",
        "/v1/leases",
        "/v1/inventory",
        "/v1/transactions",
        "/v1/deadlines",
        "/v1/streams",
        "/v1/audit",
        "/v1/policy",
        "/v1/funnel",
        "/v1/overview",
        &format!("/v1/orders/{order}/decision"),
        &format!("/v1/leases/{order}"),
        &format!("/v1/leases/{order}/services"),
    ] {
        let asked = client
            .get(format!("{}{route}", dev.url))
            .bearer_auth(dev.operator_token.expose_secret());
        let answer = asked.send().await.unwrap();
        answered += u32::from(answer.status().is_success());
        assert!(!answer.text().await.unwrap().contains(SECRET), "{route}");
    }
    assert!(answered >= 12, "only {answered} routes answered");

    // Another key while it runs, another manifest, and a restart.
    let settings = store::Settings::default();
    let done = reseal(&path, settings.clone(), true, false).await.unwrap();
    assert_eq!((done.resealed, done.left.len()), (1, 0));
    is_served(&dev, &lease).await;
    tenant_now.update(7, &document(2), LIMIT, &mut |_| {}).await.unwrap();
    dev.stop().await;
    assert_eq!(check(&path, &settings).await.unwrap().findings, []);
    let done = reseal(&path, settings.clone(), false, true).await.unwrap();
    assert_eq!(done.forgotten, 1);

    let dev = world(folder.path(), None, true).await;
    is_served(&dev, &lease).await;
    let stored = dev.provider.store.manifests(&id).await.unwrap();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|manifest| manifest.body.contains(SECRET)));
    tenant(&dev, 0).update(7, &document(3), LIMIT, &mut |_| {}).await.unwrap();
    dev.stop().await;
    assert_eq!(with_the_secret(folder.path()), Vec::<PathBuf>::new());
}
