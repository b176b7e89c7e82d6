//! Transactions: what is signed, what is broadcast, what is hashed, and how a signature is checked. Signs in the direct
//! mode with one key; owns no key.
//!
//! An unordered transaction carries a time instead of a sequence: the chain refuses the same signer and nanosecond
//! twice, and takes it only up to ten minutes ahead of block time.

use jiff::Timestamp;
use prost::Message;
use sha2::{Digest, Sha256};

use super::{
    cosmos::{
        AuthInfo, Coin, Fee, ModeInfo, ModeInfoSingle, ModeInfoSum, SignDoc, SignMode, SignerInfo,
        TxBody, TxRaw,
    },
    google::Any,
    key::{KeyError, PublicKey, SignatureError},
    text::to_upper_hex,
};
use crate::domain::{self, Amount, Height, Price};

/// How far ahead of block time an unordered transaction may expire, in seconds.
pub const MAX_UNORDERED_TTL_S: i64 = 600;

/// What keeps a transaction from being carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequencing {
    /// The account's next sequence number.
    Ordered {
        /// Of the account, counted from 0.
        sequence: u64,
        /// The last block that may hold it; none means for ever.
        timeout: Option<Height>,
    },
    /// A time that is unique to the signer.
    Unordered {
        /// Block time after which it can no longer be in a block.
        timeout: Timestamp,
    },
}

/// A transaction before it is signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What to do, all or nothing.
    pub messages: Vec<Any>,
    /// A remark of at most 256 characters.
    pub memo: String,
    /// What keeps it from being carried out twice.
    pub sequencing: Sequencing,
    /// What it pays. A simulation must carry a fee too, or it misses the gas of deducting it.
    pub fee: Vec<domain::Coin>,
    /// The most gas that it may use.
    pub gas_limit: u64,
}

impl Draft {
    /// The bytes that its signature covers, for the account of `key`.
    #[must_use]
    pub fn unsigned(&self, key: &PublicKey) -> Unsigned {
        let mut body = TxBody {
            messages: self.messages.clone(),
            memo: self.memo.clone(),
            ..Default::default()
        };
        let sequence = match self.sequencing {
            Sequencing::Ordered { sequence, timeout } => {
                body.timeout_height = timeout.unwrap_or_default().0;
                sequence
            }
            Sequencing::Unordered { timeout } => {
                body.unordered = true;
                body.timeout_timestamp = Some(timeout.into());
                0
            }
        };
        let mode = ModeInfoSingle { mode: SignMode::Direct as i32 };
        let auth_info = AuthInfo {
            signer_infos: vec![SignerInfo {
                public_key: Some(key.to_any()),
                mode_info: Some(ModeInfo { sum: Some(ModeInfoSum::Single(mode)) }),
                sequence,
            }],
            fee: Some(Fee {
                amount: self.fee.iter().map(Coin::from).collect(),
                gas_limit: self.gas_limit,
                ..Default::default()
            }),
        };
        Unsigned { body_bytes: body.encode_to_vec(), auth_info_bytes: auth_info.encode_to_vec() }
    }
}

/// A transaction's bytes without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    body_bytes: Vec<u8>,
    auth_info_bytes: Vec<u8>,
}

impl Unsigned {
    /// What is signed (its SHA-256): the transaction, bound to a chain and to an account's number.
    #[must_use]
    pub fn sign_doc(&self, chain_id: &str, account_number: u64) -> Vec<u8> {
        SignDoc {
            body_bytes: self.body_bytes.clone(),
            auth_info_bytes: self.auth_info_bytes.clone(),
            chain_id: chain_id.to_owned(),
            account_number,
        }
        .encode_to_vec()
    }

    /// The bytes to broadcast.
    #[must_use]
    pub fn with_signature(self, signature: &[u8]) -> Vec<u8> {
        TxRaw {
            body_bytes: self.body_bytes,
            auth_info_bytes: self.auth_info_bytes,
            signatures: vec![signature.to_vec()],
        }
        .encode_to_vec()
    }

    /// The bytes to simulate: with an empty signature, which the chain accepts there.
    #[must_use]
    pub fn for_simulation(self) -> Vec<u8> {
        self.with_signature(&[])
    }
}

/// The hash that names a transaction: upper-case hex of its SHA-256.
#[must_use]
pub fn hash(tx: &[u8]) -> String {
    to_upper_hex(&Sha256::digest(tx))
}

/// What `gas` costs: price × gas, rounded up to a whole unit. `None` when the product is too large.
#[must_use]
pub fn fee(gas_price: &Price, gas: u64) -> Option<domain::Coin> {
    let exact = gas_price.amount.checked_mul(u128::from(gas))?;
    let whole = exact.whole_units();
    let fraction = exact.checked_sub(Amount::from_units(whole).ok()?)?;
    let amount = if fraction.is_zero() { whole } else { whole.checked_add(1)? };
    Some(domain::Coin { denom: gas_price.denom.clone(), amount })
}

/// Why bytes are no transaction that lessor's own signing could have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// Not protobuf of the expected form.
    #[error("{part} does not decode: {reason}")]
    Malformed {
        /// `transaction`, `body` or `auth info`.
        part: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// Not exactly one signer with one signature.
    #[error("{signers} signers and {signatures} signatures, allowed is one of each")]
    Signers {
        /// How many signers are named.
        signers: usize,
        /// How many signatures are there.
        signatures: usize,
    },
    /// Another mode than the direct one.
    #[error("sign mode is not SIGN_MODE_DIRECT")]
    Mode,
    /// No key, or one of another kind.
    #[error("signer's public key: {0}")]
    Key(#[from] KeyError),
    /// The signature is not the signer's over this transaction for this chain and account number.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A decoded transaction, with the bytes that its signature covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Tx {
    /// What it does.
    pub body: TxBody,
    /// Who signs and what it pays.
    pub auth_info: AuthInfo,
    /// One for each signer.
    pub signatures: Vec<Vec<u8>>,
    signed: Unsigned,
}

impl Tx {
    /// Decodes broadcast bytes.
    ///
    /// # Errors
    /// [`TxError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TxError> {
        let raw: TxRaw = decode("transaction", bytes)?;
        Ok(Self {
            body: decode("body", &raw.body_bytes)?,
            auth_info: decode("auth info", &raw.auth_info_bytes)?,
            signatures: raw.signatures,
            signed: Unsigned { body_bytes: raw.body_bytes, auth_info_bytes: raw.auth_info_bytes },
        })
    }

    /// The one signer.
    ///
    /// # Errors
    /// [`TxError::Signers`], [`TxError::Mode`] or [`TxError::Key`].
    pub fn signer(&self) -> Result<(PublicKey, &SignerInfo), TxError> {
        let [info] = self.auth_info.signer_infos.as_slice() else {
            return Err(self.signers());
        };
        let single = match info.mode_info.as_ref().and_then(|mode| mode.sum.as_ref()) {
            Some(ModeInfoSum::Single(single)) => single.mode(),
            _ => SignMode::Unspecified,
        };
        if single != SignMode::Direct {
            return Err(TxError::Mode);
        }
        let key = info.public_key.as_ref().ok_or(KeyError::Public)?;
        Ok((PublicKey::from_any(key)?, info))
    }

    /// Checks the one signature against the key that the transaction names. Whose account the key is, is the caller's
    /// to compare.
    ///
    /// # Errors
    /// As of [`Tx::signer`], and [`TxError::Signature`].
    pub fn verify(&self, chain_id: &str, account_number: u64) -> Result<PublicKey, TxError> {
        let (key, _) = self.signer()?;
        let [signature] = self.signatures.as_slice() else {
            return Err(self.signers());
        };
        key.verify(&self.signed.sign_doc(chain_id, account_number), signature)?;
        Ok(key)
    }

    fn signers(&self) -> TxError {
        TxError::Signers {
            signers: self.auth_info.signer_infos.len(),
            signatures: self.signatures.len(),
        }
    }
}

fn decode<M: Message + Default>(part: &'static str, bytes: &[u8]) -> Result<M, TxError> {
    M::decode(bytes).map_err(|error| TxError::Malformed { part, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_rounded_up_to_a_whole_unit() {
        let price = Price { denom: "uakt".parse().unwrap(), amount: "0.025".parse().unwrap() };
        assert_eq!(fee(&price, 160_017).unwrap().to_string(), "4001uakt");
        assert_eq!(fee(&price, 400_000).unwrap().to_string(), "10000uakt");
        assert_eq!(fee(&price, 0).unwrap().to_string(), "0uakt");
    }

    #[test]
    fn bytes_that_are_no_transaction_say_which_part_is_wrong() {
        assert!(matches!(Tx::decode(b"x"), Err(TxError::Malformed { part: "transaction", .. })));
        let raw = TxRaw { body_bytes: b"x".to_vec(), ..Default::default() };
        assert!(matches!(
            Tx::decode(&raw.encode_to_vec()),
            Err(TxError::Malformed { part: "body", .. })
        ));
        let nobody = Tx::decode(&[]).unwrap();
        assert_eq!(nobody.verify("local", 0), Err(TxError::Signers { signers: 0, signatures: 0 }));
    }
}
