//! What a node's answer to a transaction means for its sender.
//!
//! A refusal is final only when it follows from the bytes alone. Those that follow from time, sequence or the mempool
//! can also be given to bytes that are in a block already, when they are handed over a second time.

use super::node::shorten;
use crate::{
    provider::port::{Broadcast, Refusal},
    wire::{
        failure::{Failure, Retry},
        rpc::{RpcError, answer::BroadcastTx},
    },
};

/// What the mempool's answer means.
#[must_use]
pub fn classify(answer: &BroadcastTx) -> Broadcast {
    if answer.code == 0 {
        return Broadcast::Accepted;
    }
    let BroadcastTx { codespace, code, log, .. } = answer;
    meaning(Failure::of(codespace, *code, log), codespace, *code, log)
}

/// What a JSON-RPC error means that came in place of the mempool's answer; `None` when it says nothing about the
/// transaction.
#[must_use]
pub fn classify_error(error: &RpcError) -> Option<Broadcast> {
    /// `tx too large` of the Cosmos SDK, the one refusal that comes as such an error.
    const TX_TOO_LARGE: u32 = 21;
    Some(meaning(Failure::of_rpc(&error.data)?, "sdk", TX_TOO_LARGE, &error.data))
}

fn meaning(failure: Failure, codespace: &str, code: u32, log: &str) -> Broadcast {
    match failure.retry() {
        Retry::Look => Broadcast::Known,
        Retry::SameBytes => Broadcast::Busy(shorten(log)),
        Retry::Anew | Retry::Later | Retry::Split | Retry::Wait | Retry::Never => {
            Broadcast::Refused(Refusal { codespace: codespace.to_owned(), code, log: shorten(log) })
        }
    }
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
