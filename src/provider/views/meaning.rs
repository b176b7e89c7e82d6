//! What a code of the chain means, in words, and what follows from it.
//!
//! A number means nothing without its codespace; the tables are those of the Cosmos SDK's errors and of the modules `market`,
//! `escrow`, `provider`, `cert`.

/// What a refusal means; `None` for a code that nobody has written down.
#[must_use]
pub(super) fn meaning(codespace: &str, code: u32) -> Option<&'static str> {
    match codespace {
        "sdk" => sdk(code),
        "market" => market(code),
        "escrow" => escrow(code),
        "provider" => provider(code),
        "cert" => cert(code),
        "undefined" => undefined(code),
        _ => None,
    }
}

const fn sdk(code: u32) -> Option<&'static str> {
    Some(match code {
        2 => "the node could not decode the transaction",
        4 => "the signature is wrong: another key, chain id or account number",
        5 => "the account cannot pay: send it funds",
        8 => "a message must be signed by somebody else",
        9 => "the account, or who pays the fee, is not on chain: send it funds",
        11 => "the gas did not do; it is sent again with more",
        12 => "the remark is too long",
        13 => "the fee is below what the node takes; it is sent again at a higher price of gas",
        18 => "the request is malformed",
        19 => "the node has the transaction already",
        20 => "the node's mempool is full; the same bytes are sent again",
        21 => "the transaction is too large; its messages are sent one by one",
        30 => "the last block that might hold it has passed",
        32 => "another transaction of the account came first",
        37 => "the node does not take this kind of transaction",
        42 => "its time-out has passed",
        _ => return None,
    })
}

const fn market(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "the provider's address is missing or wrong",
        2 => "tenant and provider are the same account",
        4 => "the bid is above what the order offers",
        5 => "our attributes do not match the order",
        6 | 18 => "there is no such bid",
        7 | 20 => "there is no such lease",
        8 => "the bid has no lease: it was lost, or is closed",
        9 | 15 => "there is no such order",
        10 => "the lease is not active",
        11 => "the bid is not active",
        12 => "the bid is not open",
        13 => "the order is not open",
        14 => "the order has no lease",
        16 => "there is no such group",
        17 => "the group is not open",
        19 => "the price is zero",
        21 => "there is a bid of ours on this order already, and there can be one only",
        22 => "the price is wrong, or above the order's",
        23 => "the order has a lease already",
        24 => "the order is closed",
        28 => "the deposit is too small, or of a denom that bids do not take",
        29 => "a parameter is wrong",
        30 => "the provider is not registered",
        31 => "the bid is malformed, or the order has as many bids as it may have",
        32 => "the offer does not match what the order asks for, or what our attributes say",
        33 => "the reason is none that a provider may give",
        34 => "the escrow account's name is wrong",
        35 => "the lease was agreed without a notice",
        36 => "the notice was given already",
        37 => "the lease can be closed only after a notice, which was not given",
        38 => "the notice is not over",
        39 => "the notice is outside what the chain allows",
        40 => "the order wants a notice, and the bid offers none",
        41 => "the notice is shorter than the order wants",
        _ => return None,
    })
}

const fn escrow(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "there is such an escrow account already",
        2 => "the escrow account is closed",
        3 => "there is no such escrow account",
        4 => "the escrow account is overdrawn: the tenant's money is gone",
        5 => "the escrow account holds nothing of this denom",
        6 => "there is such a payment already",
        7 => "the payment is closed or overdrawn: there is nothing to withdraw",
        8 => "there is no such payment",
        9 => "the payment's rate is zero",
        _ => return None,
    })
}

const fn provider(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "the host's address is wrong: https://host:port without a path",
        3 => "the provider is not registered",
        4 => "the provider is registered already",
        10 => "a provider cannot be deleted",
        _ => return None,
    })
}

const fn cert(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "there is no such certificate",
        3 => "there is a certificate with this serial number already",
        4 => "the certificate is revoked already",
        6 => "the certificate is wrong",
        _ => return None,
    })
}

const fn undefined(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "a part of the message is wrong; the node's text says which",
        111_222 => {
            "the chain's own code broke over it: two settlements of one deployment in one block, or prices in different denoms"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_means_something_else_in_another_codespace() {
        assert_ne!(meaning("sdk", 5), meaning("market", 5));
        assert_ne!(meaning("sdk", 4), meaning("escrow", 4));
        assert_eq!(meaning("bme", 4), None);
        assert_eq!(meaning("market", 4_000), None);
    }
}
