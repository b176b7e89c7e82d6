//! The operator's commands as programs: a world of its own, a provider in it that is served, stepped and told.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use lessor::devnet::genesis::MNEMONIC;
use serde_json::json;

use crate::process::{Done, Server, file, lessor, run};

const TOKEN: &str = "operator-token-of-the-tests";

/// A development world in a process of its own, and the files of a provider in it.
struct World {
    folder: tempfile::TempDir,
    devnet: Server,
    node: String,
}

fn private(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("devnet").display().to_string();
        let mut devnet = Server::start(&mut lessor(&[
            "devnet",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--block-interval-ms",
            "100",
        ]));
        let node = devnet.says("node");
        let cluster = devnet.says("cluster");
        private(&folder.path().join("provider.key"), MNEMONIC);
        private(&folder.path().join("tenant.key"), MNEMONIC);
        private(&folder.path().join("operator.token"), TOKEN);
        let world = Self { folder, devnet, node };
        let key = run(&mut lessor(&["webhook", "key", &world.path("relay.key")])).ok().out;
        let key = key.trim();
        let settings = format!(
            r#"
[listen]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[admin]
token_file = {:?}
[store]
path = {:?}
[chain]
node = {:?}
poll_ms = 100
[key]
file = {:?}
index = 1
[cluster]
kind = "simulated"
url = {cluster:?}
[streams.acme]
keys = [{{ name = "one", key = {key:?} }}]
"#,
            world.path("operator.token"),
            world.path("lessor.db"),
            world.node,
            world.path("provider.key"),
        );
        std::fs::write(world.path("lessor.toml"), settings).unwrap();
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = lessor(arguments);
        command.env("LESSOR_CONFIG", PathBuf::from(self.path("lessor.toml")));
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        run(&mut self.command(arguments))
    }

    fn tenant(&self, url: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = lessor(&["tenant", "--format", "json", "--url", url]);
        command.args(["--node", &self.node, "--key-file", &self.path("tenant.key")]);
        command.args(arguments);
        command
    }
}

#[test]
fn a_provider_is_migrated_served_without_a_worker_and_stepped_until_a_deployment_runs() {
    let world = World::new();
    let made = world.run(&["migrate"]).ok();
    assert!(made.out.contains("lessor.db: schema "), "{}", made.out);
    let again = world.run(&["migrate"]).ok();
    assert!(again.out.contains("(was ") && !again.out.contains("(was 0)"), "{}", again.out);

    let mut served = Server::start(&mut world.command(&["serve", "--no-worker"]));
    let url = served.says("public");
    served.says("admin");
    let mut command =
        world.tenant(&url, &["deploy", &file("deploy/examples/web.yaml"), "--bid-wait", "100"]);
    let deploying = std::thread::spawn(move || run(&mut command));
    // Nothing runs between the steps, and no indexer tells: each step compares rows and chain where that is due.
    while !deploying.is_finished() {
        let stepped = run(world.command(&["step"]).env("LESSOR_WORKER__RECONCILE_EVERY_S", "1"));
        let pass = &stepped.ok().json()[0];
        assert!(pass["idle"].is_boolean(), "{pass}");
    }
    let deployed = deploying.join().unwrap().ok().json();
    assert_eq!(deployed.last().unwrap()["step"], "ready");
    assert_eq!(served.end("TERM"), Some(0));
    assert_eq!(world.devnet.end("INT"), Some(0));
}

#[test]
fn sighup_has_the_settings_read_again_and_ends_nothing() {
    let world = World::new();
    world.run(&["migrate"]).ok();
    let log = world.path("log");
    let mut command = world.command(&["serve"]);
    command.env("LESSOR_LOG", "info").stderr(std::fs::File::create(&log).unwrap());
    let mut served = Server::start(&mut command);
    let url = served.says("public");
    // The file is the same, so nothing but the signal is a reason to read it.
    served.signal("HUP");
    let give_up = Instant::now() + Duration::from_mins(1);
    while !std::fs::read_to_string(&log).unwrap().contains("the settings were read again") {
        assert!(Instant::now() < give_up, "{}", std::fs::read_to_string(&log).unwrap());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let live = std::net::TcpStream::connect(url.trim_start_matches("http://"));
    assert!(live.is_ok(), "{url}");
    assert_eq!(served.end("TERM"), Some(0));
}

#[test]
fn a_delivery_is_signed_verified_and_sent_by_hand() {
    let world = World::new();
    let heartbeat = json!([{
        "specversion": "1.0", "id": "h", "source": "urn:x", "type": "network.akash.heartbeat.v1",
        "data": {
            "chain_id": "lessor-devnet-1", "tip_height": 1, "tip_time": "2026-08-22T10:00:05Z",
        },
    }]);
    let (body, key) = (world.path("body.json"), world.path("relay.key"));
    std::fs::write(&body, heartbeat.to_string()).unwrap();
    let signed = world.run(&["webhook", "sign", "--key-file", &key, "--stream", "acme", &body]);
    let signed = signed.ok().out;
    let header = |name: &str| {
        let found = signed.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("{name} is not in {signed}")).to_owned()
    };
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let verify = |signature: &str| {
        world.run(&[
            "webhook",
            "verify",
            "--key-file",
            &key,
            "--id",
            &id,
            "--timestamp",
            &timestamp,
            "--signature",
            signature,
            &body,
        ])
    };
    let verified = verify(&header("webhook-signature")).ok();
    assert!(verified.out.contains("heartbeat of lessor-devnet-1 at block 1"), "{}", verified.out);
    let forged = verify(&format!("v1a,{}", "A".repeat(86) + "=="));
    assert_eq!(forged.code, Some(1));
    assert!(forged.err.starts_with("lessor: signature: "), "{}", forged.err);

    let mut served = Server::start(&mut world.command(&["serve"]));
    let url = format!("{}/webhooks/acme", served.says("public"));
    let send = ["webhook", "send", "--key-file", &key, "--stream", "acme", "--url", &url, &body];
    let taken = world.run(&send).ok();
    assert!(taken.out.starts_with("202\n"), "{}", taken.out);
    let elsewhere = url.replace("acme", "nobody");
    let refused = world.run(&["webhook", "send", "--key-file", &key, "--url", &elsewhere, &body]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("the receiver answered 404"), "{}", refused.err);
    assert_eq!(served.end("INT"), Some(0));
}

#[test]
fn a_wrong_setting_or_a_missing_file_is_named_once_with_its_origin() {
    let wrong = run(lessor(&["migrate"]).env("LESSOR_BID__TIMEOUT_S", "abc"));
    assert_eq!(wrong.code, Some(1));
    assert_eq!(
        wrong.err,
        "lessor: LESSOR_BID__TIMEOUT_S: bid.timeout_s is no whole number, allowed are whole numbers from 0 to 31536000\n"
    );
    let missing = run(&mut lessor(&["--config", "nope.toml", "migrate"]));
    assert_eq!(
        missing.err,
        "lessor: settings file nope.toml: No such file or directory (os error 2)\n"
    );
    let usage = run(&mut lessor(&["serve", "--no-such-option"]));
    assert_eq!((usage.code, usage.out.as_str()), (Some(64), ""));
}
