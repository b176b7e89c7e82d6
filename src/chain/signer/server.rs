//! The signer's side of the socket: takes questions, asks policy and record, signs.
//!
//! The surprising fact: the socket is made in a folder of its own and moved to its place once its mode is 0600, so there
//! is no moment at which others may connect.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Mutex, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Answer, MAX_LINE, PATIENCE, Policy, Question, Record, Refused};
use crate::wire::{
    key::SecretKey,
    text::{from_base64, to_base64},
};

/// Connections at once.
const CONNECTIONS: usize = 32;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system refuses.
    #[error("socket {}: {source}", path.display())]
    Io {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody answers there.
    #[error("socket {} is in use", path.display())]
    Taken {
        /// Where it should be.
        path: PathBuf,
    },
    /// Something that is no socket is there.
    #[error("{} is there and is no socket", path.display())]
    NoSocket {
        /// Where it should be.
        path: PathBuf,
    },
}

/// A key with what guards it.
#[derive(Debug)]
pub struct Guard {
    /// The account's key.
    pub key: SecretKey,
    /// What it signs.
    pub policy: Policy,
    /// What it has signed.
    pub record: Mutex<Record>,
    /// The host's clock.
    pub now: fn() -> Timestamp,
}

impl Guard {
    async fn answer(&self, line: &[u8]) -> Answer {
        let answered = match serde_json::from_slice(line) {
            Ok(Question::Account) => Ok(Answer::Account {
                address: self.key.public_key().address().to_string(),
                public_key: to_base64(self.key.public_key().as_bytes()),
                chain_id: self.policy.chain_id.clone(),
            }),
            Ok(Question::Sign { sign_doc }) => self.sign(&sign_doc).await,
            // Where, and not what: the line may be anything.
            Err(error) => {
                Err(Refused::Question(format!("no question at column {}", error.column())))
            }
        };
        answered.unwrap_or_else(|refused| {
            tracing::warn!(code = refused.code(), "refused: {refused}");
            Answer::Refused { refused: refused.code().to_owned(), detail: refused.to_string() }
        })
    }

    async fn sign(&self, sign_doc: &str) -> Result<Answer, Refused> {
        let doc = from_base64(sign_doc).ok_or(Refused::Malformed("it is not base64"))?;
        let judged = self.policy.judge(self.key.public_key(), &doc)?;
        let now = (self.now)();
        // The file is written under the lock: signatures leave in the order in which they were counted.
        self.record.lock().await.count(&self.policy, &doc, &judged.spend, now)?;
        let names: Vec<&str> = judged.messages.iter().map(|kind| kind.name()).collect();
        tracing::info!(messages = names.join(","), "signed");
        Ok(Answer::Signature { signature: to_base64(&self.key.sign(&doc)) })
    }
}

/// Makes the socket, for its owner alone. One that nobody serves any more is replaced.
///
/// # Errors
/// [`ServeError`].
pub async fn bind(path: &Path) -> Result<UnixListener, ServeError> {
    use std::os::unix::fs::FileTypeExt;
    let failed = |source| ServeError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ServeError::NoSocket { path: path.to_owned() });
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(ServeError::Taken { path: path.to_owned() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let private = tempfile::Builder::new()
        .prefix(".s")
        .rand_bytes(4)
        .tempdir_in(folder.unwrap_or_else(|| Path::new(".")))
        .map_err(failed)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made).map_err(failed)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(failed)?;
    fs::rename(&made, path).map_err(failed)?;
    Ok(listener)
}

/// Answers until `stop`; questions that were read are answered.
pub async fn serve(listener: UnixListener, guard: Arc<Guard>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let tasks = TaskTracker::new();
    while !stop.is_cancelled() {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Ok((stream, place)) = accepted else { continue };
        let (guard, stop) = (guard.clone(), stop.clone());
        tasks.spawn(async move {
            let ended = tokio::select! {
                () = stop.cancelled() => Ok(()),
                ended = converse(stream, &guard) => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn accept(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn converse(mut stream: UnixStream, guard: &Guard) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    loop {
        let Some(line) = read_line(&mut read).await? else { return Ok(()) };
        let mut answer = serde_json::to_vec(&guard.answer(&line).await)?;
        answer.push(b'\n');
        timeout(PATIENCE, write.write_all(&answer)).await??;
    }
}

/// The next line; `None` at the end, or when none comes in time.
pub(super) async fn read_line(
    read: &mut (impl tokio::io::AsyncBufRead + Unpin),
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = read.take(MAX_LINE as u64 + 1);
    let Ok(count) = timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await else {
        return Ok(None);
    };
    match (count?, line.pop()) {
        (0, _) => Ok(None),
        (_, Some(b'\n')) => Ok(Some(line)),
        (count, _) if count > MAX_LINE => Err(io::ErrorKind::FileTooLarge.into()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
