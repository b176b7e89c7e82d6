//! Logs, events and commands of containers that really run.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::BoxStream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use lessor::{
    cluster::kubernetes::{names, stream::Streams},
    domain::LeaseId,
    provider::port::{
        ClusterError, ClusterErrorKind, ClusterEvent, ExecInput, ExecOutput, ExecQuery, Execution,
        LogLine, LogQuery,
    },
};
use serde_json::{Value, json};

use super::{LIMIT, NODE};
use crate::{
    cluster::{Cluster, Ring, shared},
    fixtures::lease,
    support::eventually,
};

type Lines = BoxStream<'static, Result<LogLine, ClusterError>>;

const TENANT: &str = "registry.test/tenant:1";

/// A lease with services, as far as streams need one, and its namespace.
async fn running(cluster: &Cluster, lease: &LeaseId, services: &[(&str, &str, u32)]) -> String {
    let namespace = names::namespace(lease);
    cluster
        .apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
        }))
        .await;
    for (name, image, count) in services {
        cluster.apply(&deployment(&namespace, name, image, *count, "a")).await;
    }
    namespace
}

fn deployment(namespace: &str, name: &str, image: &str, count: u32, mode: &str) -> Value {
    let labels = names::selector(namespace, name);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": count, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": name, "image": image, "env": [{"name": "MODE", "value": mode}],
                    }],
                },
            },
        },
    })
}

async fn ready(cluster: &Cluster, namespace: &str, count: usize) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), namespace);
    eventually("the replicas are ready", LIMIT, async || {
        let found = pods.list(&ListParams::default()).await.unwrap().items;
        let is_ready = |pod: &&Pod| {
            let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
            status.is_some_and(|status| status.iter().all(|status| status.ready))
        };
        let names = found.iter().filter(is_ready).filter_map(|pod| pod.metadata.name.clone());
        let names: Vec<String> = names.collect();
        (names.len() == count).then_some(names)
    })
    .await
}

async fn next(lines: &mut Lines) -> LogLine {
    let next = tokio::time::timeout(LIMIT, lines.next()).await.expect("a line comes");
    next.expect("the log goes on").unwrap()
}

fn of(service: &str) -> LogQuery {
    LogQuery { services: vec![service.to_owned()], ..LogQuery::default() }
}

#[tokio::test]
async fn the_lines_of_many_replicas_are_one_log_that_can_be_gone_on_with() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    let lease = lease(301);
    let absent = ("absent", "registry.test/none:1", 1);
    let services = [("web", TENANT, 2), ("api", TENANT, 1), absent];
    let namespace = running(cluster, &lease, &services).await;
    ready(cluster, &namespace, 3).await;
    let streams = Streams::new(cluster.admin());

    // One that has not started does not keep the others from being read.
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut lines = streams.logs(&lease, &query).await.unwrap();
    let mut read = Vec::new();
    let mut replicas = std::collections::BTreeSet::new();
    while replicas.len() < 3 || read.len() < 60 {
        let line = next(&mut lines).await;
        replicas.insert(line.replica.clone());
        read.push(line);
    }
    drop(lines);

    // From the middle on, at another request: nothing twice, nothing missed, replica by replica.
    let middle = read.len() / 2;
    let query = LogQuery { after: Some(read[middle].cursor.clone()), ..LogQuery::default() };
    let rest = streams.logs(&lease, &query).await.unwrap();
    let rest: Vec<LogLine> = rest.map(Result::unwrap).collect().await;
    for replica in &replicas {
        let texts = |lines: &[LogLine]| -> Vec<String> {
            let own = lines.iter().filter(|line| line.replica == *replica);
            own.map(|line| line.line.clone()).collect()
        };
        let (wanted, found) = (texts(&read[middle + 1..]), texts(&rest));
        assert_eq!(found[..wanted.len()], wanted[..], "{replica}");
    }
    assert!(rest.windows(2).all(|pair| pair[0].at <= pair[1].at), "oldest first");

    let tail = streams.logs(&lease, &LogQuery { tail: Some(2), ..of("api") }).await.unwrap();
    assert_eq!(tail.count().await, 2);
    let error = streams.logs(&lease, &of("nobody")).await.err().unwrap();
    assert_eq!(error.kind, ClusterErrorKind::NotFound, "{error}");
    let query = LogQuery { after: Some("yesterday".to_owned()), ..of("api") };
    let error = streams.logs(&lease, &query).await.err().unwrap();
    assert_eq!(error.kind, ClusterErrorKind::Refused, "{error}");
}

#[tokio::test]
async fn a_replica_that_is_restarted_or_replaced_is_marked_and_followed() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    let lease = lease(302);
    let namespace = running(cluster, &lease, &[("web", TENANT, 1)]).await;
    let first = ready(cluster, &namespace, 1).await.remove(0);
    let streams = Streams::new(cluster.admin());
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut lines = streams.logs(&lease, &query).await.unwrap();
    assert_eq!(next(&mut lines).await.line, "listens on 8080");

    let url = "http://127.0.0.1:8080/exit?code=7";
    run(&streams, &lease, &["tenant", "get", url]).await;
    let note = until(&mut lines, |line| line.is_note).await;
    assert_eq!(note.line, "restarted: exit code 7");
    let begun = next(&mut lines).await;
    assert_eq!(begun.line, "listens on 8080", "the new container from its start");

    let previous = LogQuery { previous: true, ..of("web") };
    let previous = streams.logs(&lease, &previous).await.unwrap();
    let previous: Vec<LogLine> = previous.map(Result::unwrap).collect().await;
    assert_eq!(previous[0].line, "listens on 8080");
    assert!(previous.last().unwrap().at < begun.at, "nothing of the container that runs now");

    cluster.apply(&deployment(&namespace, "web", TENANT, 1, "b")).await;
    let other = until(&mut lines, |line| line.replica != first).await;
    assert_eq!(other.line, "listens on 8080");
    let gone = until(&mut lines, |line| line.is_note).await;
    assert_eq!((gone.replica.as_str(), gone.line.as_str()), (first.as_str(), "gone"));

    let namespaces: Api<Namespace> = Api::all(cluster.admin());
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    let end = async { while lines.next().await.is_some() {} };
    tokio::time::timeout(LIMIT, end).await.expect("the log ends with its lease");
    eventually("nothing is known of the lease", LIMIT, async || {
        let error = streams.logs(&lease, &LogQuery::default()).await.err()?;
        (error.kind == ClusterErrorKind::NotFound).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_endless_line_is_cut_and_the_log_goes_on() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    let lease = lease(303);
    let namespace = running(cluster, &lease, &[("web", TENANT, 1)]).await;
    ready(cluster, &namespace, 1).await;
    let streams = Streams::new(cluster.admin());
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut lines = streams.logs(&lease, &query).await.unwrap();
    let url = "http://127.0.0.1:8080/long?bytes=200000";
    run(&streams, &lease, &["tenant", "get", url]).await;
    let long = until(&mut lines, |line| line.line.starts_with("xxx")).await;
    assert!(long.line.len() < 70_000 && long.line.ends_with("left out)"), "{}", long.line.len());
    assert!(next(&mut lines).await.line.starts_with("line "));
}

#[tokio::test]
async fn events_are_told_in_order_and_gone_on_with() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    let lease = lease(304);
    let namespace = running(cluster, &lease, &[("web", TENANT, 1)]).await;
    ready(cluster, &namespace, 1).await;
    let streams = Streams::new(cluster.admin());
    let mut events = streams.events(&lease, true, None).await.unwrap();
    let mut told = Vec::new();
    while told.last().is_none_or(|event: &ClusterEvent| event.reason != "Started") {
        let next = tokio::time::timeout(LIMIT, events.next()).await.expect("an event comes");
        told.push(next.unwrap().unwrap());
    }
    assert!(told.iter().all(|event| event.service.as_deref() == Some("web")), "{told:?}");
    let after = Some(told[0].cursor.as_str());
    let rest = streams.events(&lease, false, after).await.unwrap();
    let rest: Vec<_> = rest.map(Result::unwrap).collect().await;
    assert_eq!(rest[..told.len() - 1], told[1..]);

    let namespaces: Api<Namespace> = Api::all(cluster.admin());
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    let end = async { while events.next().await.is_some() {} };
    tokio::time::timeout(LIMIT, end).await.expect("the events end with their lease");
    let error = streams.events(&lease, false, None).await.err().unwrap();
    assert_eq!(error.kind, ClusterErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn a_command_has_streams_a_terminal_and_an_exit_code() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    let lease = lease(305);
    let services = [("web", TENANT, 1), ("bad", "registry.test/crash:1", 1)];
    let namespace = running(cluster, &lease, &services).await;
    ready(cluster, &namespace, 1).await;
    let streams = Streams::new(cluster.admin());

    let both = ["sh", "-c", "echo out; echo err >&2; exit 3"];
    let Ended { stdout, stderr, code } = run(&streams, &lease, &both).await;
    assert_eq!((stdout.as_str(), stderr.as_str(), code), ("out\n", "err\n", Ok(3)));

    // Standard input is read to its end, and more than any buffer holds.
    let query = ExecQuery { stdin: true, ..in_web(&["sha256sum"]) };
    let execution = streams.exec(&lease, &query).await.unwrap();
    let input = execution.input.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            input.send(ExecInput::Stdin(vec![b'x'; 10_000].into())).await.unwrap();
        }
        input.send(ExecInput::EndOfStdin).await.unwrap();
    });
    let ended = collect(execution).await;
    sending.await.unwrap();
    let hash = <sha2::Sha256 as sha2::Digest>::digest(vec![b'x'; 1_000_000]);
    let expected = format!("{}  -\n", data_encoding::HEXLOWER.encode(&hash));
    assert_eq!((ended.stdout, ended.code), (expected, Ok(0)));

    let query = ExecQuery { tty: true, stdin: true, ..in_web(&["sh"]) };
    let execution = streams.exec(&lease, &query).await.unwrap();
    let resize = ExecInput::Resize { columns: 97, rows: 31 };
    execution.input.send(resize).await.unwrap();
    let ask = "until stty size | grep -q '31 97'; do :; done; stty size; exit 4\n";
    execution.input.send(ExecInput::Stdin(ask.into())).await.unwrap();
    let ended = collect(execution).await;
    assert!(ended.stdout.contains("31 97\r\n"), "{}", ended.stdout);
    assert_eq!((ended.stderr.as_str(), ended.code), ("", Ok(4)));

    // Whatever keeps a command from running is told.
    let absent = run(&streams, &lease, &["nope"]).await;
    let why = "command could not be executed because it does not exist";
    assert_eq!(absent.code, Err(why.to_owned()));
    for (query, kind, why) in [
        (
            ExecQuery { service: "nobody".to_owned(), ..in_web(&["ls"]) },
            ClusterErrorKind::NotFound,
            "no such service exists with that name",
        ),
        (
            ExecQuery { replica: 99, ..in_web(&["ls"]) },
            ClusterErrorKind::Refused,
            "pod index out of range: valid range is [0, 0]",
        ),
        (
            ExecQuery { service: "bad".to_owned(), ..in_web(&["ls"]) },
            ClusterErrorKind::Refused,
            "service with that name is not running: the service is not ready",
        ),
    ] {
        // What crashes runs for a moment each time.
        let error = eventually("the command is refused", LIMIT, async || {
            streams.exec(&lease, &query).await.err()
        })
        .await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.detail.starts_with(why), "{error}");
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_the_command_and_not_this_process() {
    let Some(cluster) = shared(Ring::Node) else { return };
    let _turn = NODE.read().await;
    let lease = lease(306);
    let namespace = running(cluster, &lease, &[("web", TENANT, 1)]).await;
    ready(cluster, &namespace, 1).await;
    let streams = Streams::new(cluster.admin());
    let endless = ["sh", "-c", "yes & echo $! >/tmp/yes; wait"];
    let execution = streams.exec(&lease, &in_web(&endless)).await.unwrap();
    let used = async || -> u64 {
        let spent = "awk '{print $14 + $15}' /proc/$(cat /tmp/yes)/stat";
        let Ended { stdout, .. } = run(&streams, &lease, &["sh", "-c", spent]).await;
        stdout.trim().parse().unwrap_or_default()
    };
    eventually("the command waits for its reader", LIMIT, async || {
        let before = used().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        (before > 0 && used().await == before).then_some(())
    })
    .await;
    drop(execution);
}

fn in_web(command: &[&str]) -> ExecQuery {
    ExecQuery {
        service: "web".to_owned(),
        replica: 0,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        tty: false,
        stdin: false,
    }
}

pub(super) struct Ended {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) code: Result<i32, String>,
}

pub(super) async fn run(streams: &Streams, lease: &LeaseId, command: &[&str]) -> Ended {
    collect(streams.exec(lease, &in_web(command)).await.unwrap()).await
}

async fn collect(mut execution: Execution) -> Ended {
    let mut ended =
        Ended { stdout: String::new(), stderr: String::new(), code: Err(String::new()) };
    let all = async {
        while let Some(said) = execution.output.next().await {
            match said {
                Ok(ExecOutput::Stdout(bytes)) => {
                    ended.stdout.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Ok(ExecOutput::Stderr(bytes)) => {
                    ended.stderr.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Ok(ExecOutput::Exit(code)) => ended.code = Ok(code),
                Err(error) => ended.code = Err(error.detail),
            }
        }
    };
    tokio::time::timeout(LIMIT, all).await.expect("the command ends");
    ended
}

async fn until(lines: &mut Lines, is_it: impl Fn(&LogLine) -> bool) -> LogLine {
    loop {
        let line = next(lines).await;
        if is_it(&line) {
            return line;
        }
    }
}
