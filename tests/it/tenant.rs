//! Tests of `lessor tenant` as its user runs it: the program itself against a `lessor dev` of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};

use crate::process::{Done, Server, file, lessor, run, wait};

/// A development world, and a tenant's tool that knows where it is.
struct World {
    server: Server,
    url: String,
}

impl World {
    fn new(data: &Path) -> Self {
        let data = data.display().to_string();
        let mut server = Server::start(&mut lessor(&[
            "dev",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--block-interval-ms",
            "100",
        ]));
        let url = server.says("gateway");
        Self { server, url }
    }

    fn command(&self, format: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = lessor(&["tenant", "--format", format]);
        command.env("LESSOR_URL", &self.url).args(arguments);
        command
    }

    /// Runs `lessor tenant --format json`.
    fn tenant(&self, arguments: &[&str]) -> Done {
        run(&mut self.command("json", arguments))
    }
}

fn example(name: &str) -> String {
    file(&format!("deploy/examples/{name}"))
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn steps(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["step"].as_str().unwrap()).collect()
}

/// The members of an object, in the order in which they are printed.
fn members(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

fn reason(done: &Done) -> String {
    let lines = done.json();
    let last = lines.last().unwrap();
    assert_eq!(last["step"], "refused", "{}", done.out);
    last["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_deployment_lives_by_commands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(&folder.path().join("world"));
    let deployed =
        world.tenant(&["deploy", &example("two-services.yaml"), "--dseq", "77"]).ok().json();
    assert_eq!(steps(&deployed), ["deployment", "order", "bid", "lease", "manifest", "ready"]);
    let [deployment, order, bid, lease, manifest, ready] = &deployed[..] else { panic!() };
    assert_eq!(members(deployment), ["step", "owner", "dseq", "hash", "transaction", "height"]);
    assert_eq!(members(order), ["step", "order", "group"]);
    assert_eq!(members(bid), ["step", "order", "provider", "price", "denom", "why"]);
    assert_eq!(members(lease), ["step", "lease", "transaction", "height"]);
    assert_eq!(members(manifest), ["step", "lease", "hash"]);
    assert_eq!(members(ready), ["step", "dseq", "services"]);
    assert_eq!(deployment["dseq"], 77);
    assert_eq!(order["group"], "anywhere");
    assert_eq!(bid["denom"], "uact");
    assert!(bid["why"].as_str().unwrap().contains("price per block"), "{bid}");
    assert_eq!(manifest["hash"], deployment["hash"]);
    let services = ready["services"].as_array().unwrap();
    assert_eq!(services.len(), 2);
    assert_eq!((&services[1]["name"], &services[1]["ready"]), (&json!("web"), &json!(2)));
    assert!(services[1]["addresses"][0].as_str().unwrap().starts_with("http://"), "{ready}");

    let status = world.tenant(&["status", "77"]).ok().json();
    assert_eq!(members(&status[0]), ["lease", "status"]);
    assert_eq!(status[0]["status"]["services"]["cache"]["available"], 1);
    let logs = world.tenant(&["logs", "77"]).ok().json();
    assert!(!logs.is_empty());
    assert_eq!(members(&logs[0]), ["lease", "line"]);

    a_reader_who_goes_ends_the_logs_quietly(&world);
    an_update_that_does_not_fit_changes_nothing(&world, folder.path());

    let text = std::fs::read_to_string(example("two-services.yaml")).unwrap();
    let changed = text.replace("tcp://cache:6379", "tcp://cache:6379/1");
    let changed = written(folder.path(), "changed.yaml", &changed);
    let updated = world.tenant(&["update", "77", &changed]).ok().json();
    assert_eq!(steps(&updated), ["update", "manifest", "ready"]);
    assert_eq!(members(&updated[0]), ["step", "dseq", "hash", "transaction", "height"]);
    assert_ne!(updated[0]["hash"], deployment["hash"]);

    let closed = world.tenant(&["close", "77"]).ok().json();
    assert_eq!(steps(&closed), ["closed"]);
    assert_eq!(members(&closed[0]), ["step", "dseq", "transaction", "height"]);
    let gone = world.tenant(&["status", "77"]);
    assert_eq!(gone.code, Some(1));
    assert!(reason(&gone).contains("no running lease"), "{}", gone.out);
    assert_eq!(world.server.end("TERM"), Some(0));
}

/// As with `lessor tenant logs 77 --follow | head -1`.
fn a_reader_who_goes_ends_the_logs_quietly(world: &World) {
    let mut command = world.command("text", &["logs", "77", "--follow"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut first).unwrap();
    assert!(first.contains(": "), "{first}");
    drop(out);
    let status = wait(&mut child);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

fn an_update_that_does_not_fit_changes_nothing(world: &World, folder: &Path) {
    let text = std::fs::read_to_string(example("two-services.yaml")).unwrap();
    let larger = written(folder, "larger.yaml", &text.replace("count: 2", "count: 3"));
    let refused = world.tenant(&["update", "77", &larger]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert_eq!(steps(&refused.json()), ["refused"], "nothing was announced");
    assert!(reason(&refused).contains("goes on as it is"), "{}", refused.out);
    // What runs is still what the chain says, so the same document goes through.
    world.tenant(&["update", "77", &example("two-services.yaml")]).ok();
}

#[test]
fn a_deployment_that_is_not_bid_on_says_why_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    let declined =
        world.tenant(&["deploy", &example("declined.yaml"), "--dseq", "9", "--bid-wait", "3"]);
    assert_eq!(declined.code, Some(2), "{}", declined.out);
    assert_eq!(steps(&declined.json()), ["deployment", "order", "refused"]);
    let why = reason(&declined);
    assert!(why.starts_with("nobody bid on ") && why.contains("region=atlantis"), "{why}");
    world.tenant(&["close", "9"]).ok();

    // For people: the reason goes to the error stream.
    let arguments = ["deploy", &example("declined.yaml"), "--bid-wait", "1"];
    let declined = run(&mut world.command("text", &arguments));
    assert_eq!(declined.code, Some(2));
    assert!(declined.err.starts_with("lessor: nobody bid on "), "{}", declined.err);
    assert!(declined.out.lines().all(|line| !line.starts_with('{')), "{}", declined.out);
    assert_eq!(world.server.end("INT"), Some(0), "ctrl-c is an end like any other");
}

#[test]
fn what_is_refused_exits_with_1_and_a_wrong_command_line_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(&folder.path().join("world"));
    let text = std::fs::read_to_string(example("web.yaml")).unwrap();
    let old = written(folder.path(), "old.yaml", &text.replace("denom: uact", "denom: uakt"));
    let refused = world.tenant(&["deploy", &old, "--dseq", "5"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(reason(&refused).contains("the chain refused the deployment"), "{}", refused.out);
    let taken = world.tenant(&["deploy", &old, "--dseq", "5", "--denom", "uact"]).ok().json();
    assert_eq!(steps(&taken).last(), Some(&"ready"));
    let again = world.tenant(&["deploy", &example("web.yaml"), "--dseq", "5"]);
    assert_eq!(again.code, Some(1));
    assert!(reason(&again).contains("exists already"), "{}", again.out);

    let broken = written(folder.path(), "broken.yaml", "version: \"9.9\"\n");
    for (arguments, expected) in [
        (vec!["deploy", broken.as_str()], "the document is refused"),
        (vec!["deploy", "/nowhere.yaml"], "read /nowhere.yaml"),
        (vec!["status", "4711"], "no running lease"),
        (
            vec![
                "deploy",
                old.as_str(),
                "--provider",
                "akash1sdgu90m8yzlvafp56yr8ztlg06jp4eqmelnulg",
            ],
            "is the gateway of akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz, not of akash1sdgu",
        ),
    ] {
        let refused = world.tenant(&arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {}", refused.out);
        assert!(reason(&refused).contains(expected), "{arguments:?}: {}", refused.out);
    }
    let cause = "No such file or directory";
    let missing = world.tenant(&["deploy", "/nowhere.yaml"]);
    assert_eq!(missing.out.matches(cause).count(), 1, "{}", missing.out);

    for arguments in [vec!["deploy"], vec!["status", "one"], vec!["deploy", "a", "--deposit", "x"]]
    {
        let wrong = world.tenant(&arguments);
        assert_eq!((wrong.code, wrong.out.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(wrong.err.contains("error: "), "{}", wrong.err);
    }
    let help = run(&mut lessor(&["tenant", "--help"]));
    assert_eq!(help.code, Some(0));
    let away = run(lessor(&["tenant", "--format", "json", "status", "1"])
        .env("LESSOR_URL", "http://127.0.0.1:1"));
    assert_eq!(away.code, Some(1));
    assert!(reason(&away).contains("is no development world"), "{}", away.out);
}
