//! What a signer signs: a pure judgement of one sign doc. Owns the rules that need no memory; how much was signed before
//! is [`super::record`]'s.
//!
//! The surprising fact: what decodes is encoded again and compared, byte for byte. So a field that this version does not
//! know, which could mean anything to the chain, is never signed.

use std::{collections::BTreeSet, fmt, str::FromStr};

use prost::{Message, Name};

use crate::{
    domain::{Address, Coin},
    wire::{base, cert, cosmos, google::Any, key::PublicKey, market, provider},
};

/// A kind of message that a signer may be allowed to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the messages'")]
pub enum Allowed {
    CreateBid,
    CloseBid,
    WithdrawLease,
    StartReclaim,
    CreateProvider,
    UpdateProvider,
    CreateCertificate,
    RevokeCertificate,
}

impl Allowed {
    /// Every kind, in the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::CreateBid,
        Self::CloseBid,
        Self::WithdrawLease,
        Self::StartReclaim,
        Self::CreateProvider,
        Self::UpdateProvider,
        Self::CreateCertificate,
        Self::RevokeCertificate,
    ];

    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateBid => "create-bid",
            Self::CloseBid => "close-bid",
            Self::WithdrawLease => "withdraw-lease",
            Self::StartReclaim => "start-reclaim",
            Self::CreateProvider => "create-provider",
            Self::UpdateProvider => "update-provider",
            Self::CreateCertificate => "create-certificate",
            Self::RevokeCertificate => "revoke-certificate",
        }
    }

    /// Its type URL.
    #[must_use]
    pub fn type_url(self) -> String {
        match self {
            Self::CreateBid => market::MsgCreateBid::type_url(),
            Self::CloseBid => market::MsgCloseBid::type_url(),
            Self::WithdrawLease => market::MsgWithdrawLease::type_url(),
            Self::StartReclaim => market::MsgLeaseStartReclaim::type_url(),
            Self::CreateProvider => provider::MsgCreateProvider::type_url(),
            Self::UpdateProvider => provider::MsgUpdateProvider::type_url(),
            Self::CreateCertificate => cert::MsgCreateCertificate::type_url(),
            Self::RevokeCertificate => cert::MsgRevokeCertificate::type_url(),
        }
    }

    /// Whom a message of this kind must be signed by, and what it puts down.
    fn read(self, any: &Any) -> Result<(String, Option<base::Deposit>), Refused> {
        Ok(match self {
            Self::CreateBid => {
                let message: market::MsgCreateBid = exact(any)?;
                (message.id.provider, Some(message.deposit))
            }
            Self::CloseBid => (exact::<market::MsgCloseBid>(any)?.id.provider, None),
            Self::WithdrawLease => (exact::<market::MsgWithdrawLease>(any)?.id.provider, None),
            Self::StartReclaim => (exact::<market::MsgLeaseStartReclaim>(any)?.id.provider, None),
            Self::CreateProvider => (exact::<provider::MsgCreateProvider>(any)?.owner, None),
            Self::UpdateProvider => (exact::<provider::MsgUpdateProvider>(any)?.owner, None),
            Self::CreateCertificate => (exact::<cert::MsgCreateCertificate>(any)?.owner, None),
            Self::RevokeCertificate => (exact::<cert::MsgRevokeCertificate>(any)?.id.owner, None),
        })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no message that a provider sends; allowed are {names}")
        })
    }
}

/// What may be signed.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The one chain.
    pub chain_id: String,
    /// Only these messages.
    pub allow: BTreeSet<Allowed>,
    /// The most that one transaction may pay as its fee, by denom; a denom that is not here pays nothing.
    pub max_fee: Vec<Coin>,
    /// The most signatures in any 60 seconds.
    pub per_minute: u32,
    /// The most that may leave the account in any 24 hours, fees and deposits together, by denom; a denom that is not here
    /// does not leave at all. Deposits come back and are counted nonetheless: when, this process cannot know.
    pub per_day: Vec<Coin>,
}

/// Why a sign doc is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a question of the protocol.
    #[error("the question is not understood: {0}")]
    Question(String),
    /// Not a sign doc that lessor could have made.
    #[error("the sign doc is not understood: {0}")]
    Malformed(&'static str),
    /// For another chain.
    #[error("it is for chain {found:?}, this signer is for {wanted:?}")]
    Chain {
        /// Which it is for.
        found: String,
        /// Which is signed for.
        wanted: String,
    },
    /// In the name of another account.
    #[error("{0} is not this signer's account")]
    Signer(String),
    /// A message that is not on the list.
    #[error("{0} is not allowed here")]
    Message(String),
    /// Fees beyond the cap of a transaction.
    #[error("the fee {fee} is above the cap of a transaction, {cap}")]
    Fee {
        /// What it would pay.
        fee: Coin,
        /// What it may pay.
        cap: Coin,
    },
    /// Too many signatures.
    #[error("{allowed} signatures were made in the last minute, as many as are allowed")]
    Rate {
        /// How many are.
        allowed: u32,
    },
    /// Too much money.
    #[error("{spent} left in the last 24 hours, {wanted} more would be above the cap, {cap}")]
    Spend {
        /// What left.
        spent: Coin,
        /// What would.
        wanted: Coin,
        /// What may.
        cap: Coin,
    },
    /// The record of what was signed cannot be written, so nothing may be signed.
    #[error("the record of what was signed cannot be written")]
    Record,
}

impl Refused {
    /// One word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Question(_) => "question",
            Self::Malformed(_) => "malformed",
            Self::Chain { .. } => "chain",
            Self::Signer(_) => "signer",
            Self::Message(_) => "message",
            Self::Fee { .. } => "fee",
            Self::Rate { .. } => "rate",
            Self::Spend { .. } => "spend",
            Self::Record => "record",
        }
    }
}

/// What is asked for, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The messages.
    pub messages: Vec<Allowed>,
    /// What would leave the account, by denom.
    pub spend: Vec<Coin>,
}

impl Policy {
    /// Judges a sign doc of the account of `key`.
    ///
    /// # Errors
    /// [`Refused`]; never for rate or spend, which need a memory.
    pub fn judge(&self, key: &PublicKey, sign_doc: &[u8]) -> Result<Judged, Refused> {
        let doc: cosmos::SignDoc = decode(sign_doc, "it is no SignDoc")?;
        if doc.chain_id != self.chain_id {
            let found = doc.chain_id.chars().take(64).collect();
            return Err(Refused::Chain { found, wanted: self.chain_id.clone() });
        }
        let auth: cosmos::AuthInfo = decode(&doc.auth_info_bytes, "its auth info does not decode")?;
        let body: cosmos::TxBody = decode(&doc.body_bytes, "its body does not decode")?;
        let mut spend = self.fee(key, &auth)?;
        let mut messages = Vec::new();
        for any in &body.messages {
            let kind = self.allow.iter().copied().find(|kind| kind.type_url() == any.type_url);
            let kind =
                kind.ok_or_else(|| Refused::Message(any.type_url.chars().take(128).collect()))?;
            let (owner, deposit) = kind.read(any)?;
            own(key.address(), &owner)?;
            if let Some(deposit) = deposit {
                add(&mut spend, coin(&deposit.amount)?)?;
            }
            messages.push(kind);
        }
        if messages.is_empty() {
            return Err(Refused::Malformed("it has no messages"));
        }
        Ok(Judged { messages, spend })
    }

    /// Checks who signs, and what that costs.
    fn fee(&self, key: &PublicKey, auth: &cosmos::AuthInfo) -> Result<Vec<Coin>, Refused> {
        let [signer] = auth.signer_infos.as_slice() else {
            return Err(Refused::Malformed("it has not exactly one signer"));
        };
        let single = match signer.mode_info.as_ref().and_then(|mode| mode.sum.as_ref()) {
            Some(cosmos::ModeInfoSum::Single(single)) => single.mode(),
            _ => cosmos::SignMode::Unspecified,
        };
        if single != cosmos::SignMode::Direct {
            return Err(Refused::Malformed("its sign mode is not the direct one"));
        }
        let named = signer.public_key.as_ref().map(PublicKey::from_any);
        match named {
            Some(Ok(named)) if named == *key => {}
            Some(Ok(other)) => return Err(Refused::Signer(other.address().to_string())),
            _ => return Err(Refused::Malformed("it names no signer's key")),
        }
        let Some(fee) = &auth.fee else { return Ok(Vec::new()) };
        if !fee.payer.is_empty() {
            own(key.address(), &fee.payer)?;
        }
        if !fee.granter.is_empty() {
            return Err(Refused::Malformed("its fee is another account's to pay"));
        }
        let mut total = Vec::new();
        for amount in &fee.amount {
            add(&mut total, coin(amount)?)?;
        }
        for fee in &total {
            let cap = cap(&self.max_fee, fee);
            if fee.amount > cap.amount {
                return Err(Refused::Fee { fee: fee.clone(), cap });
            }
        }
        Ok(total)
    }

    /// Whether `wanted` may leave the account, where `spent` has already.
    ///
    /// # Errors
    /// [`Refused::Spend`].
    pub fn affords(&self, spent: &[Coin], wanted: &[Coin]) -> Result<(), Refused> {
        for wanted in wanted {
            let spent = cap(spent, wanted);
            let cap = cap(&self.per_day, wanted);
            let sum = spent.amount.checked_add(wanted.amount);
            if sum.is_none_or(|sum| sum > cap.amount) {
                return Err(Refused::Spend { spent, wanted: wanted.clone(), cap });
            }
        }
        Ok(())
    }
}

/// What `list` has of the denom of `like`; nothing when it is not there.
fn cap(list: &[Coin], like: &Coin) -> Coin {
    let found = list.iter().find(|coin| coin.denom == like.denom);
    Coin { denom: like.denom.clone(), amount: found.map_or(0, |coin| coin.amount) }
}

/// Adds a coin to a list with each denom once.
pub(super) fn add(list: &mut Vec<Coin>, coin: Coin) -> Result<(), Refused> {
    match list.iter_mut().find(|known| known.denom == coin.denom) {
        Some(known) => {
            let sum = known.amount.checked_add(coin.amount);
            known.amount = sum.ok_or(Refused::Malformed("its amounts are too large"))?;
        }
        None => list.push(coin),
    }
    Ok(())
}

fn own(address: &Address, named: &str) -> Result<(), Refused> {
    if named == address.as_str() {
        Ok(())
    } else {
        Err(Refused::Signer(named.chars().take(128).collect()))
    }
}

fn coin(coin: &cosmos::Coin) -> Result<Coin, Refused> {
    let bad = Refused::Malformed("an amount of money is none");
    match (coin.denom.parse(), coin.amount.parse()) {
        (Ok(denom), Ok(amount)) => Ok(Coin { denom, amount }),
        _ => Err(bad),
    }
}

fn exact<M: Message + Name + Default>(any: &Any) -> Result<M, Refused> {
    decode(&any.value, "a message does not decode, or has fields that this version does not know")
}

/// Decodes bytes that are exactly what lessor would encode.
fn decode<M: Message + Default>(bytes: &[u8], wrong: &'static str) -> Result<M, Refused> {
    let message = M::decode(bytes).map_err(|_| Refused::Malformed(wrong))?;
    if message.encode_to_vec() == bytes { Ok(message) } else { Err(Refused::Malformed(wrong)) }
}
