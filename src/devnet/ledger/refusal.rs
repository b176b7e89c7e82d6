//! Why the chain refuses a transaction: codespace, code and log, as a node answers them. Owns the catalogue of the
//! registered errors; who raises them is in the modules beside.
//!
//! A panic in a handler is an answer too: codespace `undefined`, code 111222, and the fee is gone all the same.

use std::fmt::Display;

/// A refused check or a failed message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{log} ({codespace} {code})")]
pub struct Refusal {
    /// Which module's numbering `code` belongs to.
    pub codespace: &'static str,
    /// Never 0.
    pub code: u32,
    /// The text that clients match on.
    pub log: String,
}

/// The code of a handler that panicked.
pub(super) const PANIC_CODE: u32 = 111_222;

impl Refusal {
    /// A handler that panicked with `text`. The real log goes on with a stack trace; its first line is kept.
    pub(super) fn panic(text: impl Display) -> Self {
        Self {
            codespace: "undefined",
            code: PANIC_CODE,
            log: format!("recovered: {text}\nstack:\n"),
        }
    }

    /// The deposit of a bid or deployment is refused. An unregistered error, hence code 1 of `undefined`.
    pub(super) fn deposit(reason: impl Display) -> Self {
        Self::unregistered(format_args!("deposit invalid: {reason}"))
    }

    /// An error that no module has registered, hence code 1 of `undefined`.
    pub(super) fn unregistered(text: impl Display) -> Self {
        Self { codespace: "undefined", code: 1, log: text.to_string() }
    }

    /// The same refusal as the answer of message `index` of a transaction. Panics and gas are the transaction's own.
    pub(super) fn of_message(self, index: usize) -> Self {
        let of_transaction = self.code == PANIC_CODE
            || (self.codespace == sdk::OUT_OF_GAS.codespace && self.code == sdk::OUT_OF_GAS.code);
        if of_transaction {
            return self;
        }
        Self {
            log: format!("failed to execute message; message index: {index}: {}", self.log),
            ..self
        }
    }
}

/// An error that a module registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registered {
    pub(super) codespace: &'static str,
    pub(super) code: u32,
    text: &'static str,
}

impl Registered {
    const fn new(codespace: &'static str, code: u32, text: &'static str) -> Self {
        Self { codespace, code, text }
    }

    /// The error with its context in front, as the chain wraps errors.
    pub(super) fn because(self, context: impl Display) -> Refusal {
        Refusal {
            codespace: self.codespace,
            code: self.code,
            log: format!("{context}: {}", self.text),
        }
    }
}

impl From<Registered> for Refusal {
    fn from(error: Registered) -> Self {
        Self { codespace: error.codespace, code: error.code, log: error.text.to_owned() }
    }
}

macro_rules! registered {
    ($codespace:ident { $($name:ident = $code:literal, $text:literal;)* }) => {
        pub(super) mod $codespace {
            use super::Registered;
            $(pub(in crate::devnet) const $name: Registered =
                Registered::new(stringify!($codespace), $code, $text);)*
        }
    };
}

registered! { sdk {
    TX_DECODE = 2, "tx parse error";
    INVALID_SEQUENCE = 3, "invalid sequence";
    UNAUTHORIZED = 4, "unauthorized";
    INSUFFICIENT_FUNDS = 5, "insufficient funds";
    UNKNOWN_REQUEST = 6, "unknown request";
    INVALID_ADDRESS = 7, "invalid address";
    INVALID_PUBKEY = 8, "invalid pubkey";
    UNKNOWN_ADDRESS = 9, "unknown address";
    INVALID_COINS = 10, "invalid coins";
    OUT_OF_GAS = 11, "out of gas";
    MEMO_TOO_LARGE = 12, "memo too large";
    INSUFFICIENT_FEE = 13, "insufficient fee";
    NO_SIGNATURES = 15, "no signatures supplied";
    INVALID_REQUEST = 18, "invalid request";
    KEY_NOT_FOUND = 22, "key not found";
    INVALID_HEIGHT = 26, "invalid height";
    TIMEOUT_HEIGHT = 30, "tx timeout height";
    WRONG_SEQUENCE = 32, "incorrect account sequence";
    CONFLICT = 36, "conflict";
    NOT_FOUND = 38, "not found";
    TIMEOUT = 42, "tx timeout";
}}

registered! { market {
    ATTRIBUTE_MISMATCH = 5, "attribute mismatch";
    UNKNOWN_BID = 6, "unknown bid";
    UNKNOWN_LEASE = 7, "unknown lease";
    UNKNOWN_LEASE_FOR_BID = 8, "unknown lease for bid";
    UNKNOWN_ORDER_FOR_BID = 9, "unknown order for bid";
    LEASE_NOT_ACTIVE = 10, "lease not active";
    BID_NOT_ACTIVE = 11, "bid not active";
    BID_NOT_OPEN = 12, "bid not open";
    ORDER_NOT_OPEN = 13, "bid: order not open";
    ORDER_NOT_FOUND = 15, "invalid order: order not found";
    GROUP_NOT_FOUND = 16, "group not found";
    GROUP_NOT_OPEN = 17, "group not open";
    BID_NOT_FOUND = 18, "invalid bid: bid not found";
    BID_ZERO_PRICE = 19, "invalid bid: zero price";
    LEASE_NOT_FOUND = 20, "invalid lease: lease not found";
    BID_EXISTS = 21, "invalid bid: bid exists from provider";
    BID_PRICE = 22, "bid price is invalid";
    ORDER_ACTIVE = 23, "order active";
    ORDER_CLOSED = 24, "order closed";
    UNKNOWN_PROVIDER = 30, "unknown provider";
    INVALID_BID = 31, "invalid bid";
    CAPABILITIES_MISMATCH = 32, "capabilities mismatch";
    CLOSE_REASON = 33, "invalid lease closed reason";
    ESCROW_ID = 34, "invalid escrow id";
    NOT_RECLAMABLE = 35, "lease does not have reclamation configured";
    ALREADY_RECLAIMING = 36, "lease is already reclaiming";
    RECLAMATION_NOT_STARTED = 37, "reclamation not started; call MsgLeaseStartReclaim first";
    RECLAMATION_NOT_ELAPSED = 38, "reclamation window has not elapsed";
    RECLAMATION_BOUNDS = 39, "reclamation window outside governance bounds";
    RECLAMATION_REQUIRED = 40, "order requires reclamation but bid does not offer it";
    RECLAMATION_SHORT = 41, "reclamation window shorter than order minimum";
}}

registered! { deployment {
    EXISTS = 3, "Deployment exists";
    NOT_FOUND = 4, "Deployment not found";
    CLOSED = 5, "Deployment closed";
    INVALID_GROUPS = 7, "Invalid groups";
    EMPTY_HASH = 9, "Invalid: empty hash";
    INVALID_HASH = 10, "Invalid: deployment hash";
    GROUP_NOT_FOUND = 14, "Group not found";
    GROUP_CLOSED = 15, "Group already closed";
    GROUP_OPEN = 16, "Group open";
    GROUP_PAUSED = 17, "Group paused";
    GROUP_SPEC = 19, "GroupSpec invalid";
    INVALID_DEPOSIT = 20, "Deposit invalid";
    DUPLICATE_GROUP_NAME = 25, "duplicate group name";
    INVALID_RECLAMATION = 26, "invalid reclamation configuration";
}}

registered! { escrow {
    ACCOUNT_EXISTS = 1, "account exists";
    ACCOUNT_CLOSED = 2, "account closed";
    ACCOUNT_NOT_FOUND = 3, "account not found";
    ACCOUNT_OVERDRAWN = 4, "account overdrawn";
    INVALID_DENOM = 5, "invalid denomination";
    PAYMENT_EXISTS = 6, "payment exists";
    PAYMENT_CLOSED = 7, "payment closed";
    PAYMENT_NOT_FOUND = 8, "payment not found";
    RATE_ZERO = 9, "payment rate zero";
}}

registered! { cert {
    NOT_FOUND = 1, "certificate not found";
    EXISTS = 3, "certificate exists";
    ALREADY_REVOKED = 4, "certificate already revoked";
    INVALID_SERIAL = 5, "invalid serial number";
    INVALID_CERTIFICATE = 6, "invalid certificate value";
    INVALID_PUBKEY = 7, "invalid pubkey value";
}}

registered! { authz {
    NOT_FOUND = 2, "authorization not found";
    INVALID_EXPIRATION = 3, "expiration time of authorization should be more than current time";
    GRANTER_IS_GRANTEE = 7, "granter and grantee should be different";
}}

registered! { provider {
    HOST_URI = 1, "invalid provider: invalid host uri";
    NOT_FOUND = 3, "invalid provider: address not found";
    EXISTS = 4, "invalid provider: already exists";
    ATTRIBUTES = 8, "invalid attributes";
    INTERNAL = 10, "internal error";
}}
