//! A command in a replica, over the API server's websocket.
//!
//! Two calls: the service's pods, and the command. What the tenant did wrong is told in the words of today's tools, which
//! match on them.

use futures_util::{Sink, SinkExt as _, StreamExt as _, stream};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status as RemoteStatus};
use kube::{
    Api, Client, ResourceExt as _,
    api::{AttachParams, AttachedProcess, TerminalSize},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_util::{io::ReaderStream, task::AbortOnDropHandle};

use super::{
    super::{failure::Failure, names},
    not_found,
    pods::{self, NO_SUCH_SERVICE},
    refused, unavailable,
};
use crate::provider::port::{ClusterError, ExecInput, ExecOutput, ExecQuery, Execution};

const DOING: &str = "run a command";
/// What is buffered of each of the command's streams, in bytes.
const BUFFER: usize = 32 << 10;
/// Inputs that wait for the command to read them.
const WAITING_INPUTS: usize = 16;

/// Runs a command in a replica of a service.
pub(super) async fn exec(
    client: &Client,
    namespace: &str,
    query: &ExecQuery,
) -> Result<Execution, ClusterError> {
    let pod = replica(client, namespace, query).await?;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = AttachParams::default()
        .container(&query.service)
        .stdin(query.stdin)
        .stdout(true)
        // A terminal has one stream.
        .stderr(!query.tty)
        .tty(query.tty)
        .max_stdin_buf_size(BUFFER)
        .max_stdout_buf_size(BUFFER)
        .max_stderr_buf_size(BUFFER);
    let process = api.exec(&pod, query.command.iter(), &params).await;
    let process = process.map_err(|error| Failure::from(error).into_error(DOING))?;
    Ok(attach(process))
}

/// The replica's pod, when it can run a command.
async fn replica(
    client: &Client,
    namespace: &str,
    query: &ExecQuery,
) -> Result<String, ClusterError> {
    let service = &query.service;
    if !names::is_dns_label(service) {
        return Err(not_found(DOING, NO_SUCH_SERVICE));
    }
    let mut pods = pods::pods(client, namespace, std::slice::from_ref(service), DOING).await?;
    // What goes is not counted: its place is taken already.
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let Some(last) = pods.len().checked_sub(1) else {
        return Err(refused(DOING, "service with that name is not running"));
    };
    let Some(pod) = pods.get(query.replica as usize) else {
        let detail = format!("pod index out of range: valid range is [0, {last}]");
        return Err(refused(DOING, detail));
    };
    match obstacle(pod) {
        None => Ok(pod.name_any()),
        Some(why) => Err(refused(DOING, format!("service with that name is not running: {why}"))),
    }
}

/// Why a replica cannot run a command.
fn obstacle(pod: &Pod) -> Option<&'static str> {
    let status = pod.status.as_ref();
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Succeeded") => return Some("the service has completed"),
        Some("Failed") => return Some("the service has failed"),
        _ => {}
    }
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let is_ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    (!is_ready).then_some("the service is not ready")
}

/// Joins the command's streams with the port's.
fn attach(mut process: AttachedProcess) -> Execution {
    let (input, inputs) = mpsc::channel(WAITING_INPUTS);
    let outputs = [
        process.stdout().map(|reader| read(reader, ExecOutput::Stdout).boxed()),
        process.stderr().map(|reader| read(reader, ExecOutput::Stderr).boxed()),
    ];
    let status = process.take_status();
    // Without the right to send, the command would wait for input for ever.
    let feeding = AbortOnDropHandle::new(tokio::spawn(feed(
        process.stdin(),
        process.terminal_size(),
        inputs,
    )));
    let ending = async move {
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        // Both live as long as the output is read.
        drop((process, feeding));
        status.map_or_else(|| Err(unavailable(DOING, "the connection broke")), |it| outcome(&it))
    };
    let output = stream::select_all(outputs.into_iter().flatten()).chain(stream::once(ending));
    Execution { input, output: output.boxed() }
}

fn read(
    reader: impl AsyncRead + Send + 'static,
    into: fn(bytes::Bytes) -> ExecOutput,
) -> impl futures_util::Stream<Item = Result<ExecOutput, ClusterError>> + Send {
    let pieces = ReaderStream::with_capacity(reader, BUFFER);
    pieces.map(move |piece| piece.map(into).map_err(|error| unavailable(DOING, error.to_string())))
}

/// Passes on what is sent, until the command or the sender ends.
async fn feed(
    mut stdin: Option<impl AsyncWrite + Unpin>,
    mut size: Option<impl Sink<TerminalSize> + Unpin>,
    mut inputs: mpsc::Receiver<ExecInput>,
) {
    while let Some(input) = inputs.recv().await {
        match input {
            ExecInput::Stdin(bytes) => {
                let Some(writer) = &mut stdin else { continue };
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            ExecInput::EndOfStdin => {
                if let Some(mut writer) = stdin.take() {
                    // The command may have ended before.
                    let _ = writer.shutdown().await;
                }
            }
            ExecInput::Resize { columns, rows } => {
                let Some(sizes) = &mut size else { continue };
                let wanted = TerminalSize { width: columns, height: rows };
                if sizes.send(wanted).await.is_err() {
                    return;
                }
            }
        }
    }
    if let Some(mut writer) = stdin {
        let _ = writer.shutdown().await;
    }
}

/// How the command ended, as the node says it.
fn outcome(status: &RemoteStatus) -> Result<ExecOutput, ClusterError> {
    if status.status.as_deref() == Some("Success") {
        return Ok(ExecOutput::Exit(0));
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_ref()?.parse().ok());
    if let Some(code) = code {
        return Ok(ExecOutput::Exit(code));
    }
    let message = status.message.as_deref().unwrap_or_default();
    let is_absent = ["no such file or directory", "executable file not found in $PATH"];
    if is_absent.iter().any(|text| message.contains(text)) {
        return Err(refused(DOING, "command could not be executed because it does not exist"));
    }
    tracing::debug!(message, "a command could not be run");
    Err(refused(DOING, "command execution failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "web-0" }, "status": status }))
            .unwrap()
    }

    #[test]
    fn a_replica_that_is_not_ready_says_how_it_stands() {
        let ready =
            json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
        assert_eq!(obstacle(&pod(&ready)), None);
        for (phase, says) in [
            ("Succeeded", "the service has completed"),
            ("Failed", "the service has failed"),
            ("Running", "the service is not ready"),
            ("Pending", "the service is not ready"),
        ] {
            assert_eq!(obstacle(&pod(&json!({ "phase": phase }))), Some(says));
        }
    }

    fn ended(status: Value) -> Result<ExecOutput, String> {
        outcome(&serde_json::from_value(status).unwrap()).map_err(|error| error.detail)
    }

    #[test]
    fn an_exit_code_is_a_result_and_a_missing_program_is_not() {
        assert_eq!(ended(json!({ "status": "Success" })), Ok(ExecOutput::Exit(0)));
        let failed = json!({ "status": "Failure", "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": "3" }] } });
        assert_eq!(ended(failed), Ok(ExecOutput::Exit(3)));
        let missing = json!({ "status": "Failure", "reason": "InternalError",
            "message": "exec: \"nope\": executable file not found in $PATH: unknown" });
        assert_eq!(
            ended(missing),
            Err("command could not be executed because it does not exist".to_owned())
        );
        let other = json!({ "status": "Failure", "message": "runtime died" });
        assert_eq!(ended(other), Err("command execution failed".to_owned()));
    }
}
