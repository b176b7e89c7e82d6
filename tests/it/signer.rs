//! `lessor signer` as a process: what it signs for the operator's commands and for the gateway.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    process::{Done, Server, file, lessor, run},
    provider_command::{Chain, reason},
};

/// The public key of the development chain's provider.
const PUBLIC_KEY: &str = "Awqn0sK+os5kd5pT0tYiJiqXvfd+6GVXE+Er2cm3OeGW";

fn signer(chain: &Chain, index: &str, allow: &str, spend: &[&str]) -> Server {
    let (socket, words) = (chain.path("socket"), chain.path("words"));
    let mut command = lessor(&["signer", "--socket", &socket, "--key", &words, "--index", index]);
    command.args(["--chain-id", "lessor-devnet-1", "--allow", allow, "--rate", "100/min"]);
    for spend in spend {
        command.args(["--spend", spend]);
    }
    let mut server = Server::start(&mut command);
    assert_eq!(server.says("socket"), socket);
    server
}

/// Runs a command whose account's key the signer holds.
fn remote(chain: &Chain, arguments: &[&str]) -> Done {
    let socket = format!("unix:{}", chain.path("socket"));
    run(lessor(arguments)
        .args(["--node", &chain.node, "--format", "json"])
        .env("LESSOR_KEY__SIGNER", socket))
}

#[test]
fn the_operator_s_commands_send_what_the_signer_allows() {
    let chain = Chain::start();
    let register = ["provider", "register", "--host", "https://a.example"];
    let away = remote(&chain, &register);
    assert_eq!(away.code, Some(2), "{}", away.out);

    let served = signer(&chain, "5", "create-provider", &["100000uakt/day"]);
    assert_eq!(remote(&chain, &register).ok().json()[0]["step"], "sent");
    let refused = remote(&chain, &["provider", "update", "--host", "https://b.example"]);
    assert_eq!(refused.code, Some(1));
    let said = reason(&refused);
    assert!(said.contains("/akash.provider.v1beta4.MsgUpdateProvider is not allowed"), "{said}");
    let pem = remote(&chain, &["certificate", "publish", "--dir", &chain.path("")]);
    assert!(reason(&pem).contains("--plain-key"), "{}", pem.out);
    assert_eq!(served.end("TERM"), Some(0));

    // The day's spend is not forgotten: what the registration cost leaves too little for an update.
    let signed = std::fs::read_to_string(chain.path("socket.signed")).unwrap();
    let signed: Value = serde_json::from_str(signed.trim_end()).unwrap();
    let fee: u64 = signed["spend"][0]["amount"].as_str().unwrap().parse().unwrap();
    let cap = format!("{}uakt/day", fee + 1);
    let served = signer(&chain, "5", "create-provider,update-provider", &[&cap]);
    let refused = remote(&chain, &["provider", "update", "--host", "https://b.example"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    let said = reason(&refused);
    assert!(said.contains(&format!("{fee}uakt left in the last 24 hours")), "{said}");
    assert_eq!(served.end("TERM"), Some(0));
    chain.end();
}

fn get(url: &str, path: &str) -> Value {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let start = answer.find('{').unwrap_or_else(|| panic!("{answer}"));
    let end = answer.rfind('}').unwrap();
    serde_json::from_str(&answer[start..=end]).unwrap()
}

fn bidding(url: &str) -> String {
    let health = get(url, "/readyz");
    let conditions = health["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["name"] == "bidding");
    found.unwrap_or_else(|| panic!("{health}"))["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_gateway_whose_signer_is_away_serves_and_bids_once_it_is_back() {
    let chain = Chain::start();
    let mut served = Server::start(
        lessor(&["serve"])
            .env("LESSOR_CHAIN__NODE", &chain.node)
            .env("LESSOR_CLUSTER__KIND", "simulated")
            .env("LESSOR_CLUSTER__URL", &chain.cluster)
            .env("LESSOR_STORE__PATH", chain.path("lessor.db"))
            .env("LESSOR_LISTEN__PUBLIC", "127.0.0.1:0")
            .env("LESSOR_LISTEN__ADMIN", "")
            .env("LESSOR_WORKER__RECONCILE_EVERY_S", "1")
            .env("LESSOR_KEY__SIGNER", format!("unix:{}", chain.path("socket")))
            .env("LESSOR_KEY__PUBLIC_KEY", PUBLIC_KEY),
    );
    let url = served.says("public");
    assert_eq!(bidding(&url), "signer_away");

    let (words, document) = (chain.path("words"), file("deploy/examples/web.yaml"));
    let place = ["tenant", "--url", &url, "--node", &chain.node, "--key-file", &words];
    let deploy = ["deploy", &document, "--bid-wait", "100"];
    let mut deployed = Server::start(lessor(&place).args(deploy));
    // The order is there and nobody can sign a bid; then the signer comes.
    deployed.says("order");
    let signer = signer(&chain, "1", "create-bid,close-bid", &["1000000uakt", "5000000uact"]);
    deployed.says("ready");
    let give_up = Instant::now() + Duration::from_secs(30);
    while bidding(&url) != "open" {
        assert!(Instant::now() < give_up);
        thread::park_timeout(Duration::from_millis(20));
    }
    let signed = std::fs::read_to_string(chain.path("socket.signed")).unwrap();
    assert_eq!(signed.lines().count(), 1, "one bid: {signed}");
    assert_eq!(signer.end("TERM"), Some(0));
    assert_eq!(served.end("TERM"), Some(0));
    chain.end();
}
