//! A provider's and a tenant's whole life on a real node: register, bid, lease, withdraw, close.
//!
//! `LESSOR_TEST_NODE=http://127.0.0.1:26657 cargo test --test it real_node -- --nocapture` runs it there. The accounts 0
//! (tenant) and 4 (provider) of the chain's published test mnemonic need `uakt` and `uact` on that chain. Without the
//! variable the development chain's RPC stands in, so that the test is known to be right.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use lessor::{
    client::{Tenant, deploy::Step, node::Node},
    cmd::{dev, devnet as world},
    devnet::genesis::{MNEMONIC, test_key},
    domain::LeaseState,
    provider::port::TransactionState,
};

use crate::{
    process::{Done, lessor, run},
    provider_command::private,
    quick::{LIMIT, example, options, tenant, terms},
    support::eventually,
};

/// The account that becomes a provider.
const PROVIDER: u32 = 4;
const FILE: &str =
    "host: https://real-node-test.example:8443\nattributes:\n  - key: region\n    value: us-west\n";

/// `lessor provider COMMAND` with a file, off the threads that serve.
async fn provider(folder: &std::path::Path, node: &str, command: &'static str) -> Done {
    let (words, file) = (folder.join("words"), folder.join("provider.yaml"));
    private(&words, MNEMONIC);
    std::fs::write(&file, FILE).unwrap();
    let (words, file, node) =
        (words.display().to_string(), file.display().to_string(), node.to_owned());
    let index = PROVIDER.to_string();
    let ran = tokio::task::spawn_blocking(move || {
        let access =
            ["provider", "--format", "json", "--node", &node, "--key", &words, "--index", &index];
        run(lessor(&access).env_remove("LESSOR_TEST_NODE").args([command, &file]))
    });
    ran.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_registers_bids_leases_withdraws_and_closes_on_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), None, true);
    options.world.block_interval = Duration::from_millis(100);
    options.settings.chain.withdraw_every_s = 1;
    let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let chain = folder.path().join("devnet");
    let devnet = world::start(&chain, anywhere, options.world.clone()).await.unwrap();
    let named = env::var("LESSOR_TEST_NODE").ok();
    let node = named.clone().unwrap_or_else(|| devnet.rpc_url());
    println!("node {node}, {}", if named.is_some() { "named" } else { "the development chain's" });

    let registered = provider(folder.path(), &node, "register").await;
    if registered.code != Some(0) {
        // It was registered by an earlier run, as something else.
        provider(folder.path(), &node, "update").await.ok();
    }
    let owner = test_key(PROVIDER).unwrap().public_key().address().clone();
    let there = Node::new(&node).unwrap().provider(&owner).await.unwrap().unwrap();
    assert_eq!(there.host_uri, "https://real-node-test.example:8443");

    options.place =
        dev::Place { account: PROVIDER, node: Some(node.clone()), followed: Some(node.clone()) };
    let dev = dev::Dev::start_in(devnet, options).await.unwrap();
    let tenant = Tenant { node: Node::new(&node).unwrap(), ..tenant(&dev, 0) };
    let mut steps = Vec::new();
    let id = tenant
        .deploy(&example("web.yaml"), None, &terms(), &mut |step| steps.push(step))
        .await
        .unwrap();
    println!("{} steps until {id} runs", steps.len());
    let bid = steps.iter().find_map(|step| match step {
        Step::Bid { provider, .. } => Some(provider.as_str()),
        _ => None,
    });
    assert_eq!(bid, Some(owner.as_str()));

    let withdrawn = eventually("earnings are withdrawn", LIMIT, async || {
        let rows = dev.provider.store.transactions(false, None, 100).await.unwrap().rows;
        rows.into_iter().find(|transaction| {
            let carried_out = matches!(&transaction.state, TransactionState::Included(included) if included.failure.is_none());
            carried_out && transaction.effects.iter().any(|key| key.starts_with("withdraw"))
        })
    })
    .await;
    println!("withdrawn by {}", withdrawn.hash);

    tenant.close(id.dseq, &mut |_| {}).await.unwrap();
    let leases = tenant.node.leases(&id).await.unwrap();
    assert!(leases.iter().all(|lease| lease.state == LeaseState::Closed), "{leases:?}");
    eventually("nothing is held for anybody", LIMIT, async || {
        let held = dev.provider.store.reservations().await.unwrap().held;
        let running = dev.provider.cluster.leases().await.unwrap();
        (held.is_empty() && running.is_empty()).then_some(())
    })
    .await;
    dev.stop().await;
}
