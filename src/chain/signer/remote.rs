//! The gateway's side of the socket: the port that signs, over a signer process.
//!
//! Whose account it is and for which chain is asked once, at the start. When the signer is away later, nothing is signed
//! and nothing is lost: whoever asked tries again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::UnixStream,
    time::{Instant, timeout},
};

use super::{Answer, PATIENCE, Question, server::read_line};
use crate::{
    domain::Address,
    provider::port::{Signer, SignerError},
    wire::{
        key::PublicKey,
        text::{from_base64, to_base64},
    },
};

/// Why a signer process gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nobody answers.
    #[error("signer {}: {source}", path.display())]
    Away {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("signer {}: no answer within {PATIENCE:?}", path.display())]
    Late {
        /// The socket.
        path: PathBuf,
    },
    /// An answer that is none.
    #[error("signer {}: the answer is not understood", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
    },
    /// It does not sign that.
    #[error("the signer refused ({code}): {detail}")]
    Refused {
        /// One word for programs.
        code: String,
        /// For people.
        detail: String,
    },
}

impl RemoteError {
    /// Whether the policy forbids what was asked, whenever it is asked: rate and spend are another matter every minute and
    /// every day, and a chain or a record may be put right.
    fn is_final(&self) -> bool {
        matches!(self, Self::Refused { code, .. }
            if matches!(code.as_str(), "malformed" | "message" | "signer" | "fee"))
    }
}

/// A signer process behind a socket.
#[derive(Debug)]
pub struct Remote {
    path: PathBuf,
    key: PublicKey,
    chain_id: Option<String>,
    away: Mutex<Option<String>>,
}

impl Remote {
    /// Asks the signer at a socket whose account it holds.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn connect(path: &Path) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Answer { path: path.to_owned() };
        let Answer::Account { address, public_key, chain_id } =
            ask(path, &Question::Account).await?
        else {
            return Err(wrong());
        };
        let key = from_base64(&public_key).and_then(|key| PublicKey::from_bytes(&key).ok());
        let key = key.filter(|key| key.address().as_str() == address).ok_or_else(wrong)?;
        Ok(Self { path: path.to_owned(), key, chain_id: Some(chain_id), away: Mutex::default() })
    }

    /// A signer that is away, and will be there with this key.
    #[must_use]
    pub fn awaited(path: &Path, key: PublicKey) -> Self {
        let away = Mutex::new(Some(format!("signer {}: it was away at the start", path.display())));
        Self { path: path.to_owned(), key, chain_id: None, away }
    }

    /// The one chain that it signs for; not known of one that was never there.
    #[must_use]
    pub fn chain_id(&self) -> Option<&str> {
        self.chain_id.as_deref()
    }

    /// The key that it holds.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Asks for a signature.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn signature(&self, sign_doc: &[u8]) -> Result<[u8; 64], RemoteError> {
        let wrong = || RemoteError::Answer { path: self.path.clone() };
        let question = Question::Sign { sign_doc: to_base64(sign_doc) };
        let Answer::Signature { signature } = ask(&self.path, &question).await? else {
            return Err(wrong());
        };
        let signature = from_base64(&signature).and_then(|bytes| bytes.try_into().ok());
        let signature: [u8; 64] = signature.ok_or_else(wrong)?;
        // Another key than at the start: what it would sign, the chain would refuse.
        self.key.verify(sign_doc, &signature).map_err(|_| wrong())?;
        Ok(signature)
    }

    /// Says once that it is gone, and once that it is back.
    fn note(&self, failed: Option<&RemoteError>) {
        let gone = failed.filter(|error| !matches!(error, RemoteError::Refused { .. }));
        let said = gone.map(ToString::to_string);
        let before = match self.away.lock() {
            Ok(mut away) => std::mem::replace(&mut *away, said),
            Err(_) => return,
        };
        match (gone, &before, failed) {
            (Some(error), None, _) => {
                tracing::error!(%error, "nothing is signed until the signer is back; what is wanted waits");
            }
            (None, Some(_), _) => tracing::info!("the signer is there again"),
            (None, None, Some(refused)) => tracing::warn!("{refused}"),
            _ => {}
        }
    }
}

async fn ask(path: &Path, question: &Question) -> Result<Answer, RemoteError> {
    let away = |source| RemoteError::Away { path: path.to_owned(), source };
    let begun = Instant::now();
    let asked = async {
        let mut stream = UnixStream::connect(path).await?;
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        read_line(&mut BufReader::new(stream)).await
    };
    let line = timeout(PATIENCE, asked).await;
    let line = line.map_err(|_| RemoteError::Late { path: path.to_owned() })?.map_err(away)?;
    let line = line.ok_or_else(|| {
        // Whoever reads gives up as late as whoever asks.
        if begun.elapsed() >= PATIENCE {
            RemoteError::Late { path: path.to_owned() }
        } else {
            away(io::ErrorKind::UnexpectedEof.into())
        }
    })?;
    match serde_json::from_slice(&line) {
        Ok(Answer::Refused { refused, detail }) => {
            Err(RemoteError::Refused { code: refused, detail })
        }
        Ok(answer) => Ok(answer),
        Err(_) => Err(RemoteError::Answer { path: path.to_owned() }),
    }
}

#[async_trait]
impl Signer for Remote {
    fn address(&self) -> &Address {
        self.key.address()
    }

    fn public_key(&self) -> &[u8] {
        self.key.as_bytes()
    }

    async fn sign(&self, sign_doc: &[u8]) -> Result<[u8; 64], SignerError> {
        let signed = self.signature(sign_doc).await;
        self.note(signed.as_ref().err());
        signed
            .map_err(|error| SignerError { is_final: error.is_final(), detail: error.to_string() })
    }

    fn trouble(&self) -> Option<String> {
        self.away.lock().ok()?.clone()
    }
}
