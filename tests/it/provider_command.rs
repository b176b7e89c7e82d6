//! `lessor provider` and `lessor key` as an operator runs them, against a development chain of their own.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use lessor::devnet::genesis::{MNEMONIC, test_key};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Done, Server, lessor, run, wait};

/// A development chain, and a folder with the key of its accounts.
pub(crate) struct Chain {
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
    pub(crate) node: String,
    pub(crate) cluster: String,
}

impl Chain {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("devnet").display().to_string();
        let mut server = Server::start(&mut lessor(&[
            "devnet",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--block-interval-ms",
            "100",
        ]));
        let (node, cluster) = (server.says("node"), server.says("cluster"));
        private(&folder.path().join("words"), MNEMONIC);
        Self { folder, server, node, cluster }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs `lessor COMMAND --format json` as the account of `index`.
    pub(crate) fn run(&self, index: &str, command: &str, arguments: &[&str]) -> Done {
        let words = self.path("words");
        let access =
            [command, "--format", "json", "--node", &self.node, "--key", &words, "--index", index];
        run(lessor(&access).args(arguments))
    }

    pub(crate) fn end(self) {
        assert_eq!(self.server.end("TERM"), Some(0));
    }
}

/// Writes a file for its owner alone.
pub(crate) fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Why a command refused.
pub(crate) fn reason(done: &Done) -> String {
    let lines = done.json();
    let last = lines.last().unwrap();
    assert_eq!(last["step"], "refused", "{}", done.out);
    last["reason"].as_str().unwrap().to_owned()
}

const FILE: &str = "host: https://a.example:8443\ninfo:\n  email: ops@a.example\n  website: https://a.example\n\
                    attributes:\n  - key: region\n    value: us-west\n  - key: tier\n    value: community\n";

fn step(done: Done) -> Value {
    let mut lines = done.ok().json();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[test]
fn a_provider_is_registered_updated_and_left_alone_when_nothing_differs() {
    let chain = Chain::start();
    let file = chain.path("provider.yaml");
    fs::write(&file, FILE).unwrap();
    let provider = |arguments: &[&str]| chain.run("5", "provider", arguments);
    let owner = test_key(5).unwrap().public_key().address().to_string();

    let absent = provider(&["show"]);
    assert_eq!(absent.code, Some(1));
    assert!(reason(&absent).ends_with("is not registered"), "{}", absent.out);
    let early = provider(&["update", &file]);
    assert_eq!(early.code, Some(1));
    assert!(reason(&early).contains("lessor provider register"), "{}", early.out);

    let plan = step(provider(&["register", &file, "--dry-run"]));
    assert_eq!(
        plan["messages"],
        json!([{
            "@type": "/akash.provider.v1beta4.MsgCreateProvider",
            "owner": owner,
            "host_uri": "https://a.example:8443",
            "attributes": [
                { "key": "region", "value": "us-west" }, { "key": "tier", "value": "community" },
            ],
            "info": { "email": "ops@a.example", "website": "https://a.example" },
        }])
    );
    assert_eq!(plan["diff"][0], "+ attribute region = us-west");
    assert!(plan["fee"].as_str().unwrap().ends_with("uakt"), "{plan}");
    assert_eq!(provider(&["show"]).code, Some(1), "a dry run sends nothing");

    assert_eq!(step(provider(&["register", &file]))["step"], "sent");
    assert_eq!(step(provider(&["register", &file]))["step"], "unchanged");
    assert_eq!(step(provider(&["update", &file]))["step"], "unchanged");
    // The order of attributes means nothing.
    let turned = ["update", "--attribute", "tier=community", "--attribute", "region=us-west"];
    assert_eq!(step(provider(&turned))["step"], "unchanged");

    let differs = provider(&["register", "--host", "https://b.example"]);
    assert_eq!(differs.code, Some(1));
    assert!(reason(&differs).contains("+ host_uri = https://b.example"), "{}", differs.out);
    let sent = step(provider(&["update", "--host", "https://b.example"]));
    assert_eq!(
        sent["diff"],
        json!(["- host_uri = https://a.example:8443", "+ host_uri = https://b.example"])
    );
    let shown = step(provider(&["show"]));
    assert_eq!(shown["provider"]["host_uri"], "https://b.example");
    assert_eq!(shown["provider"]["info"]["email"], "ops@a.example", "what is not said stays");
    assert_eq!(step(chain.run("0", "provider", &["show", "--owner", &owner])), shown);
    chain.end();
}

#[test]
fn what_cannot_be_done_says_why_and_a_node_that_is_away_exits_with_2() {
    let chain = Chain::start();
    let broken = chain.path("broken.yaml");
    fs::write(&broken, "host: [\n").unwrap();
    for (arguments, expected) in [
        (vec!["register", "/nowhere.yaml"], "read /nowhere.yaml"),
        (vec!["register", broken.as_str()], "it is not YAML"),
        (vec!["register"], "give a provider.yaml"),
        (vec!["register", "--attribute", "a=b"], "no host is given"),
        (vec!["register", "--host", "http://a.example"], "https://host[:port]"),
        (vec!["register", "--host", "https://a.example/x"], "without a path"),
        (
            vec![
                "register",
                "--host",
                "https://a.example",
                "--attribute",
                "a=1",
                "--attribute",
                "a=2",
            ],
            "given twice",
        ),
    ] {
        let refused = chain.run("5", "provider", &arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {}", refused.out);
        assert!(reason(&refused).contains(expected), "{arguments:?}: {}", refused.out);
    }
    // No funds: the account is not on chain.
    let poor = chain.run("77", "provider", &["register", "--host", "https://a.example"]);
    assert_eq!(poor.code, Some(1));
    assert!(reason(&poor).contains("needs funds"), "{}", poor.out);
    let words = chain.path("words");
    let away =
        ["provider", "--format", "json", "--node", "http://127.0.0.1:1", "--key", &words, "show"];
    assert_eq!(run(&mut lessor(&away)).code, Some(2));
    let wrong = run(lessor(&["provider", "--node", &chain.node, "--key", &words, "show"])
        .env("LESSOR_CHAIN__ID", "akashnet-2"));
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("the node is on chain \"lessor-devnet-1\""), "{}", wrong.err);
    chain.end();
}

#[test]
fn a_key_is_encrypted_shown_and_imported_and_never_printed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (words, armor, again) = (path("words"), path("armor"), path("again"));
    private(folder.path().join("words").as_path(), MNEMONIC);
    private(folder.path().join("other").as_path(), "another passphrase\n");
    let key = |arguments: &[&str], passphrase: &str| {
        run(lessor(&["key", "--format", "json"])
            .args(arguments)
            .env("LESSOR_KEY__PASSPHRASE", passphrase))
    };
    let shown = step(key(&["show", "--key", &words, "--index", "1"], ""));
    assert_eq!(shown["address"], "akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz");

    let written = key(&["encrypt", "--key", &words, "--index", "1", "--out", &armor], "");
    assert!(reason(&written).contains("no passphrase is given"), "{}", written.out);
    let written = key(&["encrypt", "--key", &words, "--index", "1", "--out", &armor], "short");
    assert!(reason(&written).contains("shorter than 8"), "{}", written.out);
    let passphrase = "treasure island";
    step(key(&["encrypt", "--key", &words, "--index", "1", "--out", &armor], passphrase));
    assert_eq!(fs::metadata(&armor).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&armor).unwrap();
    assert!(text.starts_with("-----BEGIN TENDERMINT PRIVATE KEY-----\nkdf: argon2\n"), "{text}");
    let twice = key(&["encrypt", "--key", &words, "--out", &armor], passphrase);
    assert!(reason(&twice).contains("File exists"), "what is there stays: {}", twice.out);

    assert_eq!(step(key(&["show", "--key", &armor], passphrase)), shown);
    for wrong in ["", "treasure islands"] {
        let refused = key(&["show", "--key", &armor], wrong);
        assert_eq!(refused.code, Some(1));
        assert!(reason(&refused).contains(&armor), "{}", refused.out);
        assert!(!refused.out.contains("treasure"), "{}", refused.out);
    }
    let other = path("other");
    let mut import = lessor(&["key", "import", "--out", &again, "--new-passphrase-file", &other]);
    let import = import.env("LESSOR_KEY__PASSPHRASE", passphrase).stdin(Stdio::piped());
    let mut child = import.stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert_eq!(wait(&mut child).code(), Some(0));
    let shown_again = run(lessor(&["key", "--format", "json", "show", "--key", &again])
        .env("LESSOR_KEY__PASSPHRASE_FILE", &other));
    assert_eq!(step(shown_again), shown);
}
