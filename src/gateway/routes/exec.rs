//! A command in a replica of a lease's service, over a websocket.
//!
//! Every message is binary: one byte says what it is, the rest is the payload. The bytes are those of today's wire, with one
//! more for the end of the standard input.
//!
//! | byte | from | payload |
//! |---|---|---|
//! | 100, 101 | command | bytes of its standard output, of its standard error |
//! | 102 | command | `{"exit_code": …}`; nothing follows |
//! | 103 | gateway | `{"code": …, "detail": …}`: it broke off or could not be run; nothing follows |
//! | 104 | caller | bytes for its standard input |
//! | 105 | caller | the terminal's size: columns and rows, two bytes each, the high byte first |
//! | 106 | caller | its standard input ends here |
//!
//! The surprising fact: the command is started before the connection is upgraded, so that whatever keeps it from running is an
//! answer like any other.

use std::time::Duration;

use axum::{
    extract::ws::{
        CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code,
        rejection::WebSocketUpgradeRejection,
    },
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{
        State,
        auth::{
            claims::Scope,
            guard::{LeaseOwner, Shell},
        },
        extract::{OrderPath, Query},
        problem::{Code, Problem},
        routes::leases::is_in_cluster,
    },
    provider::{
        Error,
        port::{ClusterError, ClusterErrorKind, ExecInput, ExecOutput, ExecQuery, Execution},
    },
};

/// The largest message that a caller may send, in bytes.
const MAX_MESSAGE: usize = 64 << 10;
/// The most words of a command, and their bytes in all.
const MAX_WORDS: usize = 64;
const MAX_COMMAND: usize = 16 << 10;
/// How often the other side is asked whether it is there.
const PING: Duration = Duration::from_secs(10);
/// How long the other side may take to answer the end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the other side may be silent, or take to read a message.
const SILENCE: Duration = Duration::from_secs(30);

/// Run a command in a replica.
///
/// Upgrades to a websocket. Each message is binary, its first byte says what follows: 100 standard output, 101 standard error,
/// 102 the result `{"exit_code": …}`, 103 a failure `{"code": …, "detail": …}`; the caller sends 104 with standard input, 105
/// with the terminal's columns and rows as two 16-bit big-endian numbers, 106 for the end of standard input. The gateway pings
/// every 10 s; a caller that is silent for 30 s is cut off.
#[utoipa::path(
    get,
    path = "/v1/leases/{owner}/{dseq}/{gseq}/{oseq}/exec",
    tag = "tenant",
    operation_id = "execCommand",
    params(
        OrderPath,
        ("service" = String, Query, description = "The service."),
        ("command" = Vec<String>, Query, description = "The program and each of its arguments, in order; at most 64, of 16 KiB in all."),
        ("replica" = Option<u32>, Query, description = "Which replica, from 0, in the order of their names; 0 when not given."),
        ("tty" = Option<bool>, Query, description = "With a terminal. False when not given."),
        ("stdin" = Option<bool>, Query, description = "Whether the command reads what is sent. False when not given."),
    ),
    responses((status = 101, description = "The command runs; what follows are messages.")),
    security(("tenant" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "malformed_query", "scope_missing", "lease_not_found", "service_not_found", "not_in_cluster",
        "exec_refused", "upgrade_required", "cluster_unavailable", "store_unavailable",
    ]))),
)]
pub async fn exec(
    state: State,
    owner: LeaseOwner<Shell>,
    Query(pairs): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let query = read_query(pairs)?;
    if let Some(allowed) = owner.claims.access.services(&owner.lease, Scope::Shell)
        && !allowed.contains(query.service.as_str())
    {
        let detail = format!("the token does not allow commands in service {:?}", query.service);
        return Err(Problem::new(Code::ScopeMissing).detail(detail));
    }
    is_in_cluster(&state, &owner.lease).await?;
    let upgrade =
        upgrade.map_err(|why| Problem::new(Code::UpgradeRequired).detail(why.body_text()))?;
    let execution = state.provider.cluster.exec(&owner.lease, &query).await.map_err(not_run)?;
    let shutdown = state.shutdown.clone();
    Ok(upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| carry(socket, execution, shutdown)))
}

/// The query's parameters. One of them may be given several times, which the usual reader of queries does not know.
fn read_query(pairs: Vec<(String, String)>) -> Result<ExecQuery, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedQuery).detail(detail);
    let mut query = ExecQuery {
        service: String::new(),
        replica: 0,
        command: Vec::new(),
        tty: false,
        stdin: false,
    };
    let mut seen = Vec::new();
    for (name, value) in pairs {
        let no = || malformed(format!("{name} is not of the documented form"));
        match name.as_str() {
            "command" => query.command.push(value),
            _ if seen.contains(&name) => return Err(malformed(format!("{name} is given twice"))),
            "service" => query.service = value,
            "replica" => query.replica = value.parse().map_err(|_| no())?,
            "tty" => query.tty = value.parse().map_err(|_| no())?,
            "stdin" => query.stdin = value.parse().map_err(|_| no())?,
            _ => return Err(malformed(format!("{name:?} is not known"))),
        }
        seen.push(name);
    }
    let length: usize = query.command.iter().map(String::len).sum();
    if query.service.is_empty() {
        return Err(malformed("service is missing".to_owned()));
    }
    if query.command.first().is_none_or(String::is_empty) {
        return Err(malformed("command is missing".to_owned()));
    }
    if query.command.len() > MAX_WORDS || length > MAX_COMMAND {
        let detail = format!("a command may have {MAX_WORDS} words and {MAX_COMMAND} bytes");
        return Err(malformed(detail));
    }
    Ok(query)
}

/// Why the command was not started.
fn not_run(error: ClusterError) -> Problem {
    match error.kind {
        ClusterErrorKind::NotFound => Problem::new(Code::ServiceNotFound).detail(error.detail),
        ClusterErrorKind::Refused => Problem::new(Code::ExecRefused).detail(error.detail),
        ClusterErrorKind::Unavailable => Error::from(error).into(),
    }
}

/// Carries messages both ways until the command ends or the caller goes.
async fn carry(mut socket: WebSocket, execution: Execution, shutdown: CancellationToken) {
    let Execution { input, mut output } = execution;
    // One input waits for the command to read; until then no more are taken, while its output still flows.
    let mut waiting: Option<ExecInput> = None;
    let mut ping = interval(PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return close(socket, close_code::RESTART).await,
            said = output.next() => {
                let is_last = !matches!(said, Some(Ok(ExecOutput::Stdout(_) | ExecOutput::Stderr(_))));
                if !send(&mut socket, Message::Binary(frame(said))).await {
                    return;
                }
                if is_last {
                    return close(socket, close_code::NORMAL).await;
                }
            }
            message = socket.recv(), if waiting.is_none() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Binary(bytes))) => waiting = read_frame(&bytes),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                }
            }
            permit = input.reserve(), if waiting.is_some() => {
                heard = Instant::now();
                let taken = waiting.take();
                // A command that has ended takes nothing; its result comes next.
                if let (Ok(permit), Some(taken)) = (permit, taken) {
                    permit.send(taken);
                }
            }
            _ = ping.tick() => {
                let is_silent = waiting.is_none() && heard.elapsed() > SILENCE;
                if is_silent || !send(&mut socket, Message::Ping(Bytes::new())).await {
                    return;
                }
            }
        }
    }
}

/// Whether the message was taken in time.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SILENCE, socket.send(message)).await, Ok(Ok(())))
}

/// Ends the connection in order. What the caller still sends is read until it has heard of the end: a connection that is
/// dropped with something unread is reset, and a reset may overtake the last message.
async fn close(mut socket: WebSocket, code: u16) {
    if send(&mut socket, Message::Close(Some(CloseFrame { code, reason: "".into() }))).await {
        let heard = async { while let Some(Ok(_)) = socket.recv().await {} };
        // A caller that never answers is left.
        let _ = timeout(FAREWELL, heard).await;
    }
}

/// What the command says, as a message.
fn frame(said: Option<Result<ExecOutput, ClusterError>>) -> Bytes {
    let (code, payload) = match said {
        Some(Ok(ExecOutput::Stdout(bytes))) => (100, bytes),
        Some(Ok(ExecOutput::Stderr(bytes))) => (101, bytes),
        Some(Ok(ExecOutput::Exit(code))) => (102, json!({ "exit_code": code }).to_string().into()),
        Some(Err(error)) => (103, failure(&error).into()),
        None => {
            let (doing, detail) = ("run a command", "the command's end is not known".to_owned());
            let kind = ClusterErrorKind::Unavailable;
            (103, failure(&ClusterError { doing, detail, kind }).into())
        }
    };
    let mut frame = BytesMut::with_capacity(1 + payload.len());
    frame.put_u8(code);
    frame.extend_from_slice(&payload);
    frame.freeze()
}

fn failure(error: &ClusterError) -> String {
    let code = match error.kind {
        ClusterErrorKind::Unavailable => Code::ClusterUnavailable,
        ClusterErrorKind::Refused | ClusterErrorKind::NotFound => Code::ExecRefused,
    };
    json!({ "code": code.as_str(), "detail": error.detail }).to_string()
}

/// What the caller says; `None` for what means nothing here.
fn read_frame(bytes: &Bytes) -> Option<ExecInput> {
    let (code, payload) = (*bytes.first()?, bytes.slice(1..));
    match (code, payload.as_ref()) {
        (104, _) => Some(ExecInput::Stdin(payload)),
        (105, [a, b, c, d]) => Some(ExecInput::Resize {
            columns: u16::from_be_bytes([*a, *b]),
            rows: u16::from_be_bytes([*c, *d]),
        }),
        (106, []) => Some(ExecInput::EndOfStdin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<ExecQuery, Problem> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        read_query(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn a_command_is_its_words_in_their_order() {
        let query = query("service=web&command=ls&command=-l&tty=true&replica=2").unwrap();
        assert_eq!((query.service.as_str(), query.replica), ("web", 2));
        assert_eq!(query.command, ["ls", "-l"]);
        assert_eq!((query.tty, query.stdin), (true, false));
    }

    #[test]
    fn a_query_that_is_not_as_documented_is_refused() {
        for text in [
            "command=ls",
            "service=web",
            "service=web&command=",
            "service=web&service=db&command=ls",
            "service=web&command=ls&tty=1",
            "service=web&command=ls&colour=red",
        ] {
            assert!(query(text).is_err(), "{text}");
        }
    }

    #[test]
    fn frames_are_a_byte_and_a_payload() {
        assert_eq!(frame(Some(Ok(ExecOutput::Stdout("hi".into())))).as_ref(), b"\x64hi");
        assert_eq!(frame(Some(Ok(ExecOutput::Exit(3)))).as_ref(), b"\x66{\"exit_code\":3}");
        assert_eq!(read_frame(&"\x68in".into()), Some(ExecInput::Stdin("in".into())));
        let size = Bytes::from_static(&[105, 0, 80, 1, 0]);
        assert_eq!(read_frame(&size), Some(ExecInput::Resize { columns: 80, rows: 256 }));
        assert_eq!(read_frame(&Bytes::from_static(&[106])), Some(ExecInput::EndOfStdin));
        for nothing in [&[][..], &[105, 0], &[7, 7]] {
            assert_eq!(read_frame(&Bytes::copy_from_slice(nothing)), None);
        }
    }
}
