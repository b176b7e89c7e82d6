//! What a node's answer to a transaction means for its sender.
//!
//! A refusal is final only when it follows from the bytes alone. Those that follow from time, sequence or the mempool
//! can also be given to bytes that are in a block already, when they are handed over a second time.

use super::node::shorten;
use crate::{
    provider::port::{Broadcast, Refusal},
    wire::rpc::{RpcError, answer::BroadcastTx},
};

/// The SDK's own codes that need more than "refused".
mod sdk {
    pub(super) const CODESPACE: &str = "sdk";
    pub(super) const INVALID_REQUEST: u32 = 18;
    pub(super) const IN_MEMPOOL_CACHE: u32 = 19;
    pub(super) const MEMPOOL_FULL: u32 = 20;
    pub(super) const TX_TOO_LARGE: u32 = 21;
    pub(super) const TIMEOUT_HEIGHT: u32 = 30;
    pub(super) const WRONG_SEQUENCE: u32 = 32;
    pub(super) const TIMEOUT: u32 = 42;
}

/// What the mempool's answer means.
#[must_use]
pub fn classify(answer: &BroadcastTx) -> Broadcast {
    let refused = || {
        Broadcast::Refused(Refusal {
            codespace: answer.codespace.clone(),
            code: answer.code,
            log: shorten(&answer.log),
        })
    };
    let busy = || Broadcast::Busy(shorten(&answer.log));
    if answer.code == 0 {
        return Broadcast::Accepted;
    }
    if answer.codespace != sdk::CODESPACE {
        return refused();
    }
    match answer.code {
        // In the mempool, or past its time-out: whether it made it before is on the chain.
        sdk::IN_MEMPOOL_CACHE | sdk::TIMEOUT_HEIGHT | sdk::TIMEOUT => Broadcast::Known,
        sdk::MEMPOOL_FULL => busy(),
        // The nonce is taken, most likely by these very bytes.
        sdk::INVALID_REQUEST if answer.log.contains("already used") => Broadcast::Known,
        // Too far ahead of a block time that stands still, for instance: later it is not.
        sdk::INVALID_REQUEST if answer.log.contains("ttl exceeds") => busy(),
        sdk::WRONG_SEQUENCE => match sequences(&answer.log) {
            // The sequence was used, most likely by these very bytes.
            Some((expected, got)) if got < expected => Broadcast::Known,
            // Another transaction of the account has to come first.
            _ => busy(),
        },
        _ => refused(),
    }
}

/// What a JSON-RPC error means that came in place of the mempool's answer; `None` when it says nothing about the
/// transaction.
#[must_use]
pub fn classify_error(error: &RpcError) -> Option<Broadcast> {
    let too_large = error.data.to_ascii_lowercase().contains("too large");
    if error.is_known_transaction() {
        Some(Broadcast::Known)
    } else if error.is_mempool_full() {
        Some(Broadcast::Busy(shorten(&error.data)))
    } else if too_large {
        Some(Broadcast::Refused(Refusal {
            codespace: sdk::CODESPACE.to_owned(),
            code: sdk::TX_TOO_LARGE,
            log: shorten(&error.data),
        }))
    } else {
        None
    }
}

/// The numbers of "account sequence mismatch, expected N, got M".
fn sequences(log: &str) -> Option<(u64, u64)> {
    let number = |after: &str| {
        let (_, rest) = log.split_once(after)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    Some((number("expected ")?, number("got ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(codespace: &str, code: u32, log: &str) -> Broadcast {
        classify(&BroadcastTx {
            code,
            data: String::new(),
            log: log.to_owned(),
            codespace: codespace.to_owned(),
            hash: String::new(),
        })
    }

    #[test]
    fn a_used_sequence_means_look_and_a_future_one_means_wait() {
        let used = "account sequence mismatch, expected 39, got 38: incorrect account sequence";
        let future = "account sequence mismatch, expected 39, got 40: incorrect account sequence";
        assert_eq!(answer("sdk", 32, used), Broadcast::Known);
        assert_eq!(answer("sdk", 32, future), Broadcast::Busy(future.to_owned()));
    }

    #[test]
    fn the_same_number_of_another_module_means_something_else() {
        assert!(matches!(answer("market", 19, "zero price"), Broadcast::Refused(_)));
        assert!(matches!(answer("market", 30, "unknown provider"), Broadcast::Refused(_)));
    }

    #[test]
    fn only_the_first_line_of_a_log_is_kept() {
        let Broadcast::Refused(refusal) = answer("undefined", 111_222, "recovered: x\nstack:\ny")
        else {
            panic!("a panic of the handler is a refusal");
        };
        assert_eq!(refusal.log, "recovered: x");
    }
}
