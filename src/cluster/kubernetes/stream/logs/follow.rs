//! New lines as they arrive, whatever becomes of the replicas: one that is restarted or replaced is followed on, and a note
//! says so.
//!
//! One task holds the stream together: it watches the pods, starts a reader for each container that runs, and hands what they
//! read to whoever listens. A reader ends with its container; the next one begins when the watch tells of the next start.
//!
//! The surprising fact: a log's end says nothing of the container's. The node tells first that the log has ended and seconds
//! later that the container has, and a proxy may have cut the connection. So a log that ended while its container seems to run
//! is opened again a moment later, from where it ended.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Namespace, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watch_object, watcher},
    },
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Closed, DOING, WAITING, Writer,
    cursor::Position,
    read::{self, Line, Span},
    written::is_without_log,
};
use crate::{
    cluster::kubernetes::{failure::Failure, stream::pods},
    provider::port::{ClusterErrorKind, LogQuery},
};

/// How long to wait before a log is opened again that ended or could not be opened.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest such wait: it grows with each failure.
const MAX_WAIT: Duration = Duration::from_secs(16);

/// What a reader says of its replica.
struct Said {
    replica: String,
    what: What,
}

enum What {
    Line(Line),
    Note(Note),
    Ended(Result<(), Failure>),
}

/// What happened to a replica, and when.
struct Note {
    at: Timestamp,
    text: String,
}

/// A replica as it was seen last, and how far its containers were read.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, in any combination")]
struct Replica {
    service: String,
    pod: Pod,
    /// The run that is or was read, as the number of restarts before it.
    run: Option<i32>,
    /// Whether that run was read to its end, as far as is known.
    is_complete: bool,
    is_reading: bool,
    /// Failures in a row.
    failures: u32,
    is_gone: bool,
    /// It was there when the stream began, and what it had written then is not wanted.
    skips_past: bool,
}

/// Follows the logs of a lease's services.
pub(super) struct Follower {
    pods: Api<Pod>,
    namespaces: Api<Namespace>,
    namespace: String,
    selector: String,
    replicas: HashMap<String, Replica>,
    /// Replicas that the list under way has shown.
    listed: Vec<String>,
    readers: JoinSet<()>,
    said: mpsc::Sender<Said>,
    heard: mpsc::Receiver<Said>,
}

impl Follower {
    /// `found` are the replicas whose past was written already.
    pub(super) fn new(client: &Client, namespace: &str, query: &LogQuery, found: &[Pod]) -> Self {
        let (said, heard) = mpsc::channel(WAITING);
        let replicas = found.iter().map(|pod| {
            let mut replica = Replica::new(pod.clone());
            replica.run = pods::container(pod).map(|container| container.restart_count);
            replica.skips_past = query.tail == Some(0);
            (pod.name_any(), replica)
        });
        Self {
            pods: Api::namespaced(client.clone(), namespace),
            namespaces: Api::all(client.clone()),
            namespace: namespace.to_owned(),
            selector: pods::selector(&query.services),
            replicas: replicas.collect(),
            listed: Vec::new(),
            readers: JoinSet::new(),
            said,
            heard,
        }
    }

    /// Writes until the lease is gone or nobody reads.
    pub(super) async fn run(mut self, mut writer: Writer) -> Result<(), Closed> {
        let config = watcher::Config::default().labels(&self.selector);
        let mut changes = watcher(self.pods.clone(), config).default_backoff().boxed();
        let namespace = watch_object(self.namespaces.clone(), &self.namespace);
        let mut namespace = namespace.default_backoff().boxed();
        let mut is_going = false;
        for name in self.replicas.keys().cloned().collect::<Vec<_>>() {
            self.consider(&name, &writer);
        }
        while !(is_going && self.replicas.is_empty()) {
            tokio::select! {
                () = writer.out.closed() => return Err(Closed),
                Some(said) = self.heard.recv() => self.hear(said, &mut writer).await?,
                Some(change) = changes.next() => match change {
                    Ok(change) => self.see(change, &writer).await?,
                    Err(error) => if let Some(error) = permanent(error) {
                        return Err(writer.error(error).await);
                    },
                },
                Some(seen) = namespace.next() => match seen {
                    Ok(None) => return Ok(()),
                    Ok(Some(seen)) => is_going = seen.metadata.deletion_timestamp.is_some(),
                    Err(_) => {}
                },
                // What has ended is taken out of the set.
                Some(_) = self.readers.join_next() => {}
            }
        }
        Ok(())
    }

    async fn hear(&mut self, said: Said, writer: &mut Writer) -> Result<(), Closed> {
        let Said { replica: name, what } = said;
        let Some(replica) = self.replicas.get_mut(&name) else { return Ok(()) };
        match what {
            What::Line(line) => {
                replica.failures = 0;
                return writer.line(&replica.service, &name, line).await;
            }
            What::Note(note) => {
                return writer.note(&replica.service, &name, note.at, note.text).await;
            }
            What::Ended(end) => {
                replica.is_reading = false;
                replica.is_complete = end.is_ok();
                match end {
                    Err(failure) if !is_without_log(&failure) => {
                        replica.failures += 1;
                        if replica.failures == 1 {
                            let text = format!("the log cannot be read: {}", failure.detail());
                            let at = pods::since(&replica.pod);
                            writer.note(&replica.service, &name, at, text).await?;
                        }
                    }
                    _ => replica.failures = 0,
                }
            }
        }
        self.consider(&name, writer);
        self.forget(&name, writer).await
    }

    async fn see(&mut self, change: Event<Pod>, writer: &Writer) -> Result<(), Closed> {
        match change {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.push(pod.name_any());
                self.update(pod, writer);
            }
            Event::Apply(pod) => self.update(pod, writer),
            Event::Delete(pod) => self.lose(&pod.name_any(), writer).await?,
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let lost: Vec<String> =
                    self.replicas.keys().filter(|name| !listed.contains(name)).cloned().collect();
                for name in lost {
                    self.lose(&name, writer).await?;
                }
            }
        }
        Ok(())
    }

    fn update(&mut self, pod: Pod, writer: &Writer) {
        let name = pod.name_any();
        match self.replicas.get_mut(&name) {
            // A StatefulSet gives a new pod the old one's name.
            Some(known) if known.pod.uid() == pod.uid() => known.pod = pod,
            _ => {
                self.replicas.insert(name.clone(), Replica::new(pod));
            }
        }
        self.consider(&name, writer);
    }

    async fn lose(&mut self, name: &str, writer: &Writer) -> Result<(), Closed> {
        if let Some(replica) = self.replicas.get_mut(name) {
            replica.is_gone = true;
        }
        self.forget(name, writer).await
    }

    /// Lets go of a replica that is gone, once its last lines were read.
    async fn forget(&mut self, name: &str, writer: &Writer) -> Result<(), Closed> {
        let is_over = |replica: &Replica| replica.is_gone && !replica.is_reading;
        if !self.replicas.get(name).is_some_and(is_over) {
            return Ok(());
        }
        let Some(replica) = self.replicas.remove(name) else { return Ok(()) };
        let status = replica.pod.status.as_ref();
        let reason = status.and_then(|status| status.reason.as_deref());
        let text = reason.map_or_else(|| "gone".to_owned(), |reason| format!("gone: {reason}"));
        let at = replica.pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let at = at.unwrap_or_else(|| pods::since(&replica.pod));
        writer.note(&replica.service, name, at, text).await
    }

    /// Starts a reader for a replica that has something to be read.
    fn consider(&mut self, name: &str, writer: &Writer) {
        let Some(replica) = self.replicas.get_mut(name) else { return };
        let Some(job) = replica.job(name, writer.cursor.of(name)) else { return };
        self.readers.spawn(read(self.pods.clone(), job, self.said.clone()));
    }
}

/// What a reader is to read.
struct Job {
    replica: String,
    service: String,
    after: Option<Position>,
    tail: Option<u64>,
    wait: Duration,
    /// The run before may have written more than was read of it.
    previous: bool,
    note: Option<Note>,
}

impl Replica {
    fn new(pod: Pod) -> Self {
        Self {
            service: pods::service(&pod).unwrap_or_default().to_owned(),
            pod,
            run: None,
            is_complete: false,
            is_reading: false,
            failures: 0,
            is_gone: false,
            skips_past: false,
        }
    }

    /// What there is to read now, if anything.
    fn job(&mut self, name: &str, after: Option<Position>) -> Option<Job> {
        if self.is_reading || self.is_gone {
            return None;
        }
        let container = pods::container(&self.pod)?;
        let state = container.state.as_ref()?;
        let runs = state.running.is_some();
        let run = container.restart_count;
        let is_next = self.run.is_some_and(|read| read < run);
        let has_ended = !runs && self.is_complete && self.run == Some(run);
        let is_waiting = !runs && state.terminated.is_none();
        if has_ended || is_waiting {
            return None;
        }
        // The log of a run that was read to its end, and still seems to run, is looked at again.
        let again = self.run == Some(run) && self.is_complete;
        let wait = if again || self.failures > 0 {
            AGAIN.saturating_mul(1 << self.failures.min(4)).min(MAX_WAIT)
        } else {
            Duration::ZERO
        };
        let note = is_next.then(|| {
            let ended = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            let begun = state.running.as_ref().and_then(|running| running.started_at.as_ref());
            let at = begun.map_or_else(|| pods::since(&self.pod), |time| time.0);
            Note { at, text: restarted(ended) }
        });
        let job = Job {
            replica: name.to_owned(),
            service: self.service.clone(),
            after,
            tail: (self.skips_past && after.is_none()).then_some(0),
            wait,
            previous: is_next && !self.is_complete,
            note,
        };
        (self.run, self.is_reading, self.is_complete) = (Some(run), true, false);
        // What comes from now on is wanted.
        self.skips_past = false;
        Some(job)
    }
}

fn restarted(ended: Option<&ContainerStateTerminated>) -> String {
    let Some(ended) = ended else { return "restarted".to_owned() };
    match ended.reason.as_deref() {
        None | Some("Error") => format!("restarted: exit code {}", ended.exit_code),
        Some(reason) => format!("restarted: {reason}, exit code {}", ended.exit_code),
    }
}

/// Reads one run of a container to its end.
async fn read(pods: Api<Pod>, job: Job, said: mpsc::Sender<Said>) {
    let Job { replica, service, after, tail, wait, previous, note } = job;
    tokio::time::sleep(wait).await;
    let say = async |what| {
        // Nobody listens any more: then this task is about to end.
        let _ = said.send(Said { replica: replica.clone(), what }).await;
    };
    if previous {
        let span = Span { previous: true, after, ..Span::default() };
        if let Ok(mut lines) = read::open(&pods, &replica, &service, &span).await {
            while let Some(Ok(line)) = lines.next().await {
                say(What::Line(line)).await;
            }
        }
    }
    if let Some(note) = note {
        say(What::Note(note)).await;
    }
    let span = Span { follow: true, previous: false, tail, after };
    let end = match read::open(&pods, &replica, &service, &span).await {
        Err(failure) => Err(failure),
        Ok(mut lines) => loop {
            match lines.next().await {
                Some(Ok(line)) => say(What::Line(line)).await,
                Some(Err(error)) => break Err(Failure::Broken(error.to_string())),
                None => break Ok(()),
            }
        },
    };
    say(What::Ended(end)).await;
}

/// What no waiting mends: the role does not allow the watch.
fn permanent(error: watcher::Error) -> Option<crate::provider::port::ClusterError> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return None;
    };
    let error = Failure::from(error).into_error(DOING);
    (error.kind == ClusterErrorKind::Refused).then_some(error)
}
