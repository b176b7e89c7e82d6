//! What a transaction's refusal or failure means for whoever sent it, told by codespace, code and text; pure. Owns this one
//! reading; what is done about it is the sender's.
//!
//! | where | answer | means | sequence or nonce used | fee paid | so |
//! |---|---|---|---|---|---|
//! | simulation | the text of any of these | the same, for nothing | no | no | as below, before anything is sent |
//! | `CheckTx` | sdk 32 | [`Failure::Sequence`] | no | no | read the sequence, sign anew |
//! | `CheckTx` | sdk 13 | [`Failure::Fee`] | no | no | pay more, or ask another node |
//! | `CheckTx` | sdk 5 | [`Failure::Funds`] | no | no | stop and say so |
//! | RPC, `CheckTx` | sdk 19, "already exists in cache", "already used" | [`Failure::Known`] | – | – | look for it on the chain |
//! | RPC, `CheckTx` | sdk 20, "mempool is full" | [`Failure::Full`] | no | no | the same bytes later |
//! | RPC, `CheckTx` | sdk 21, "request body too large" | [`Failure::TooLarge`] | no | no | fewer messages in one |
//! | `CheckTx` | sdk 18 "ttl exceeds" | [`Failure::Early`] | no | no | the same bytes later |
//! | `CheckTx` | sdk 30, 42 | [`Failure::Late`] | – | – | look for it; it can be in no later block |
//! | block | sdk 11 | [`Failure::Gas`] | yes | yes | more gas |
//! | block | undefined 111222 "couldn't find payment" | [`Failure::Settled`] | yes | yes | some blocks later |
//! | block | undefined 111222 | [`Failure::Panic`] | yes | yes | never again |
//! | block | market 21 | [`Failure::Done`] | yes | yes | what was wanted is there |
//! | block | market 6, 7, 8, 10, 11, escrow 7, 8 and the like | [`Failure::Over`] | yes | yes | look at the chain, then nothing |
//! | block | market 37, 38 | [`Failure::NotYet`] | yes | yes | give notice, wait for the deadline |
//! | either | all else | [`Failure::Refused`] | in a block | in a block | never again as it is |
//!
//! The one surprising fact: a code means nothing without its codespace, and often nothing without its text. 18 of the SDK is a
//! nonce that was used, a time-out too far ahead, or a malformed request; 1 of `undefined` is any error that no module has
//! registered.

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// The account is at another sequence; both numbers are 0 where the text does not say them.
    Sequence {
        /// The next one that the chain takes.
        expected: u64,
        /// The one that the transaction carried.
        got: u64,
    },
    /// These bytes, or others with the same nonce, were handed over before.
    Known,
    /// It came after its own time-out.
    Late,
    /// Its time-out is further ahead than the chain takes at the block time that it has now.
    Early,
    /// The mempool takes no more.
    Full,
    /// It pays less than this node wants.
    Fee,
    /// The account cannot pay the fee or the deposit.
    Funds,
    /// Its gas limit is too low.
    Gas,
    /// It has too many bytes for a node.
    TooLarge,
    /// The deployment's escrow was settled in that block already.
    Settled,
    /// A handler panicked, as over two denoms that cannot be compared.
    Panic,
    /// What it was to do is done: the bid exists.
    Done,
    /// What it was about has ended, or never was.
    Over,
    /// It may succeed later: the lease needs notice, or its notice has not passed.
    NotYet,
    /// It will fail as long as it says what it says.
    Refused,
}

/// What the sender may do after a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Hand the same bytes over again later.
    SameBytes,
    /// Look for it on the chain first: it may be in a block.
    Look,
    /// Sign the same messages anew, with another sequence, fee or gas limit.
    Anew,
    /// Sign the same messages anew, some blocks later.
    Later,
    /// With fewer messages in one.
    Split,
    /// Not before somebody has done something about it: money, notice.
    Wait,
    /// Never.
    Never,
}

impl Failure {
    /// Tells an answer of the chain.
    #[must_use]
    pub fn of(codespace: &str, code: u32, log: &str) -> Self {
        match (codespace, code) {
            ("sdk", 32) => {
                let (expected, got) = sequences(log).unwrap_or_default();
                Self::Sequence { expected, got }
            }
            ("sdk", 19) => Self::Known,
            ("sdk", 18) if log.contains("already used") => Self::Known,
            ("sdk", 18) if log.contains("ttl exceeds") => Self::Early,
            ("sdk", 30 | 42) => Self::Late,
            ("sdk", 20) => Self::Full,
            ("sdk", 13) => Self::Fee,
            // An account that nobody ever paid is not on the chain at all.
            ("sdk", 5 | 9) => Self::Funds,
            ("undefined", 1) if log.contains("insufficient balance") => Self::Funds,
            ("sdk", 11) => Self::Gas,
            ("sdk", 21) => Self::TooLarge,
            ("undefined", 111_222) if log.contains("couldn't find payment") => Self::Settled,
            ("undefined" | "sdk", 111_222) => Self::Panic,
            ("market", 21) | ("provider", 4) | ("cert", 3) => Self::Done,
            ("market", 37 | 38) => Self::NotYet,
            ("market", 6..=18 | 20 | 23 | 24 | 36)
            | ("escrow", 2 | 3 | 4 | 7 | 8)
            | ("provider", 3)
            | ("cert", 1 | 4) => Self::Over,
            _ => Self::Refused,
        }
    }

    /// Tells the text of a JSON-RPC error that came in place of an answer; `None` when it says nothing of the transaction.
    #[must_use]
    pub fn of_rpc(data: &str) -> Option<Self> {
        let data = data.to_ascii_lowercase();
        if data.contains("already exists in cache") {
            Some(Self::Known)
        } else if data.contains("mempool is full") {
            Some(Self::Full)
        } else if data.contains("too large") {
            Some(Self::TooLarge)
        } else {
            None
        }
    }

    /// Tells the text of a simulation that failed. A node gives all of them one code, so only the text says which it was.
    #[must_use]
    pub fn of_simulation(log: &str) -> Self {
        let is = |text: &str| log.contains(text);
        if let Some((expected, got)) = sequences(log) {
            return Self::Sequence { expected, got };
        }
        let told = [
            ("already used", Self::Known),
            ("ttl exceeds", Self::Early),
            ("tx timeout", Self::Late),
            ("insufficient funds", Self::Funds),
            ("insufficient balance", Self::Funds),
            ("out of gas", Self::Gas),
            ("couldn't find payment", Self::Settled),
            ("recovered: ", Self::Panic),
            ("bid exists from provider", Self::Done),
            ("reclamation not started", Self::NotYet),
            ("reclamation window has not elapsed", Self::NotYet),
            ("order not found", Self::Over),
            ("order closed", Self::Over),
            ("order active", Self::Over),
            ("bid not found", Self::Over),
            ("unknown bid", Self::Over),
            ("unknown lease", Self::Over),
            ("lease not active", Self::Over),
            ("bid not active", Self::Over),
            ("bid not open", Self::Over),
            ("payment closed", Self::Over),
            ("payment not found", Self::Over),
        ];
        told.into_iter().find(|(text, _)| is(text)).map_or(Self::Refused, |(_, failure)| failure)
    }

    /// What may be done after it.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            // Ahead of the account: another transaction has to come first. Behind it: most likely these very bytes did.
            Self::Sequence { expected, got } if got > expected => Retry::SameBytes,
            Self::Sequence { .. } | Self::Known | Self::Late => Retry::Look,
            Self::Full | Self::Early => Retry::SameBytes,
            Self::Fee | Self::Gas => Retry::Anew,
            Self::Settled => Retry::Later,
            Self::TooLarge => Retry::Split,
            Self::Funds | Self::NotYet => Retry::Wait,
            Self::Panic | Self::Done | Self::Over | Self::Refused => Retry::Never,
        }
    }

    /// One word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sequence { .. } => "sequence",
            Self::Known => "known",
            Self::Late => "late",
            Self::Early => "early",
            Self::Full => "mempool_full",
            Self::Fee => "fee",
            Self::Funds => "funds",
            Self::Gas => "gas",
            Self::TooLarge => "too_large",
            Self::Settled => "settled",
            Self::Panic => "panic",
            Self::Done => "done",
            Self::Over => "over",
            Self::NotYet => "not_yet",
            Self::Refused => "refused",
        }
    }
}

/// Which message of a transaction failed, counted from 0, by the chain's text; `None` when it was the transaction itself.
#[must_use]
pub fn failed_message(log: &str) -> Option<usize> {
    let (_, rest) = log.split_once("message index: ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The numbers of "account sequence mismatch, expected N, got M".
fn sequences(log: &str) -> Option<(u64, u64)> {
    let number = |after: &str| {
        let (_, rest) = log.split_once(after)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    log.contains("sequence mismatch").then_some(())?;
    Some((number("expected ")?, number("got ")?))
}
