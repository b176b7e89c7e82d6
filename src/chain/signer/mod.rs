//! The remote signer: a process that holds the account's key, and signs over a Unix socket what its policy allows. Owns
//! the protocol, the policy, the durable record of what was signed, the server ([`serve`]) and the client ([`Remote`]).
//!
//! # Protocol
//!
//! One JSON object a line, each way, in UTF-8; a line has at most [`MAX_LINE`] bytes, and what comes is read for at most
//! [`PATIENCE`]. A connection may ask any number of times, one after the other.
//!
//! | question | answer |
//! |---|---|
//! | `{"ask":"account"}` | `{"address":"akash1…","public_key":"<base64, 33 bytes>","chain_id":"akashnet-2"}` |
//! | `{"ask":"sign","sign_doc":"<base64 of SignDoc>"}` | `{"signature":"<base64, 64 bytes r‖s>"}` |
//! | either, when it is not done | `{"refused":"<code>","detail":"…"}` |
//!
//! The codes of a refusal are those of [`Refused::code`]. What is signed is always a whole sign doc of the direct mode: the
//! process decodes it, and signs no bytes that it does not understand to the last field. Who may connect is said by the
//! socket's mode, 0600.
//!
//! The surprising fact: a sign doc that was signed before is signed again without being counted. The signature is
//! deterministic and the chain carries the transaction out once, so whoever lost an answer may ask again.

mod policy;
mod record;
mod remote;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::{
    policy::{Allowed, Policy, Refused},
    record::{Record, RecordError},
    remote::{Remote, RemoteError},
    server::{Guard, ServeError, bind, serve},
};

/// The longest line of the protocol, in bytes: a transaction of a hundred bids has half of that in base64.
pub const MAX_LINE: usize = 256 << 10;

/// How long either side waits for the other's line.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Whose key it is, and for which chain.
    Account,
    /// A signature.
    Sign {
        /// `cosmos.tx.v1beta1.SignDoc`, encoded, in base64.
        sign_doc: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Question::Account`].
    Account {
        /// The account.
        address: String,
        /// Its key's compressed point, in base64.
        public_key: String,
        /// The one chain that is signed for.
        chain_id: String,
    },
    /// To [`Question::Sign`].
    Signature {
        /// 64 bytes r‖s with a low s, in base64.
        signature: String,
    },
    /// It is not done.
    Refused {
        /// One word for programs.
        refused: String,
        /// For people.
        detail: String,
    },
}
