//! What happens to a transaction before its messages: limits, time-outs, fee, signature, sequence. Owns the order of
//! these checks, the fee events, and the gas that they burn.
//!
//! One signer and one signature: a transaction of several signers, which the real chain takes, is refused here.

use jiff::Timestamp;

use super::{
    Chain,
    escrow::units,
    execution::{Execution, Gas},
    message::Message,
    refusal::{Refusal, sdk},
    text::{self, base64},
};
use crate::{
    domain::Address,
    wire::{
        cosmos::Fee,
        key::PublicKey,
        tx::{self, MAX_UNORDERED_TTL_S, Tx, TxError},
    },
};

/// Who collects the fees.
const FEE_COLLECTOR: &str = "akash17xpfvakm2amg962yls6f84z3kell8c5lazw8j8";
/// The longest memo, in characters.
const MAX_MEMO: usize = 256;

/// Gas of what all transactions go through, without their bytes and the fee.
const BASE_GAS: u64 = 26_215;
/// Gas of a byte.
const BYTE_GAS: u64 = 10;
/// Gas of moving the fee, which a simulation without one misses.
const FEE_GAS: u64 = 18_085;
/// How much less an unordered transaction burns, as no sequence is written.
const UNORDERED_GAS: u64 = 9_400;
/// How much a simulation with an empty signature burns beyond the real thing.
const EMPTY_SIGNATURE_GAS: u64 = 2_660;
/// How much a simulation of an unordered one falls short: it writes no nonce.
const UNORDERED_SIMULATION_GAS: u64 = 3_800;

/// Why the checks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// For the mempool: the node's own least fee counts.
    Check,
    /// In a block.
    Deliver,
    /// To learn the gas: the signature and the gas limit do not count.
    Simulate,
}

/// Decodes a transaction and checks each message alone, as a node does before anything else.
pub(super) fn decode(bytes: &[u8]) -> Result<(Tx, Vec<Message>), Refusal> {
    let tx = Tx::decode(bytes).map_err(|error| sdk::TX_DECODE.because(error))?;
    if tx.body.messages.is_empty() {
        return Err(sdk::INVALID_REQUEST.because("must contain at least one message"));
    }
    let messages =
        tx.body.messages.iter().map(Message::decode).collect::<Result<Vec<_>, Refusal>>()?;
    for message in &messages {
        message.validate()?;
    }
    Ok((tx, messages))
}

/// The gas limit that a transaction names.
pub(super) fn gas_limit(tx: &Tx) -> u64 {
    tx.auth_info.fee.as_ref().map_or(0, |fee| fee.gas_limit)
}

/// Gas that the checks burn.
pub(super) fn gas(tx: &Tx, size: usize, mode: Mode) -> u64 {
    let mut gas = BASE_GAS + BYTE_GAS * size as u64;
    if tx.auth_info.fee.as_ref().is_some_and(|fee| !fee.amount.is_empty()) {
        gas += FEE_GAS;
    }
    if tx.body.unordered {
        gas -= UNORDERED_GAS;
    }
    if mode == Mode::Simulate {
        if tx.signatures.iter().all(Vec::is_empty) {
            gas += EMPTY_SIGNATURE_GAS;
        }
        if tx.body.unordered {
            gas -= UNORDERED_SIMULATION_GAS;
        }
    }
    gas
}

impl Execution<'_> {
    /// Runs the checks. Afterwards the fee is paid, the sequence or nonce used, and the gas meter set for the messages.
    pub(super) fn ante(
        &mut self,
        tx: &Tx,
        size: usize,
        messages: &[Message],
        chain: &Chain,
        mode: Mode,
    ) -> Result<(), Refusal> {
        let limit = if mode == Mode::Simulate { u64::MAX } else { gas_limit(tx) };
        self.gas = Gas { limit, used: 0 };
        self.gas.burn(gas(tx, size, mode))?;
        let metered = self.gas;
        let signer = signer(tx, messages)?;
        self.check_timeouts(tx)?;
        if tx.body.memo.chars().count() > MAX_MEMO {
            return Err(sdk::MEMO_TOO_LARGE.because(format_args!(
                "maximum number of characters is {MAX_MEMO} but received {} characters",
                tx.body.memo.chars().count()
            )));
        }
        // Moving the fee is part of the gas above.
        self.gas = Gas { limit: u64::MAX, used: 0 };
        self.take_fee(tx.auth_info.fee.as_ref(), &signer, chain, mode)?;
        self.gas = metered;
        let key = self.set_public_key(tx, &signer, mode)?;
        self.check_signature(tx, &signer, key.as_ref(), chain, mode)
    }

    fn check_timeouts(&self, tx: &Tx) -> Result<(), Refusal> {
        let (height, time) = (self.block.height, self.block.time);
        let limit = tx.body.timeout_height;
        if limit != 0 && height > limit {
            return Err(sdk::TIMEOUT_HEIGHT
                .because(format_args!("block height: {height}, timeout height: {limit}")));
        }
        match timeout(tx)? {
            Some(until) if until <= time => Err(sdk::TIMEOUT.because(format_args!(
                "block time: {}, timeout timestamp: {}",
                go_time(time),
                go_time(until)
            ))),
            _ => Ok(()),
        }
    }

    fn take_fee(
        &mut self,
        fee: Option<&Fee>,
        signer: &Address,
        chain: &Chain,
        mode: Mode,
    ) -> Result<(), Refusal> {
        let none = Fee::default();
        let fee = fee.unwrap_or(&none);
        let mut coins = Vec::new();
        for coin in &fee.amount {
            coins.push((coin.denom.clone(), units(coin)?));
        }
        let shown = coins
            .iter()
            .map(|(denom, amount)| format!("{amount}{denom}"))
            .collect::<Vec<_>>()
            .join(",");
        if mode == Mode::Check {
            let price = &chain.params.min_gas_price;
            let required = tx::fee(price, fee.gas_limit)
                .ok_or_else(|| sdk::INVALID_REQUEST.because("gas limit is too large"))?;
            let enough = required.amount == 0
                || coins.iter().any(|(denom, amount)| {
                    denom == required.denom.as_str() && *amount >= required.amount
                });
            if !enough {
                return Err(sdk::INSUFFICIENT_FEE.because(format_args!(
                    "insufficient fees; got: {shown} required: {required}"
                )));
            }
        }
        let payer = if fee.payer.is_empty() { signer.clone() } else { text::address(&fee.payer)? };
        if payer != *signer || !(fee.granter.is_empty() || fee.granter == payer.as_str()) {
            return Err(sdk::NOT_FOUND.because("there are no fee grants here"));
        }
        if !self.state.accounts.contains_key(&payer) {
            let bytes = payer.to_bytes();
            return Err(sdk::UNKNOWN_ADDRESS.because(format_args!(
                "fee payer address: {} does not exist",
                String::from_utf8_lossy(&bytes)
            )));
        }
        if !coins.is_empty() {
            let collector = FEE_COLLECTOR.parse().map_err(Refusal::panic)?;
            // The chain wraps this error twice.
            self.transfer_all(&payer, &collector, &coins)
                .map_err(|refusal| sdk::INSUFFICIENT_FUNDS.because(refusal.log))?;
        }
        self.emit("tx", &[("fee", &shown), ("fee_payer", payer.as_str())]);
        Ok(())
    }

    fn set_public_key(
        &mut self,
        tx: &Tx,
        signer: &Address,
        mode: Mode,
    ) -> Result<Option<PublicKey>, Refusal> {
        let packed = tx.auth_info.signer_infos.first().and_then(|info| info.public_key.as_ref());
        let mut account = self
            .state
            .accounts
            .get(signer)
            .cloned()
            .ok_or_else(|| sdk::UNKNOWN_ADDRESS.because(format_args!("{signer}")))?;
        let Some(packed) = packed else {
            let known = account.public_key.as_deref().map(PublicKey::from_bytes).transpose();
            return known.map_err(|error| sdk::INVALID_PUBKEY.because(error));
        };
        let key =
            PublicKey::from_any(packed).map_err(|error| sdk::INVALID_PUBKEY.because(error))?;
        if mode != Mode::Simulate && key.address() != signer {
            return Err(sdk::INVALID_PUBKEY.because(format_args!(
                "pubKey does not match signer address {signer} with signer index: 0"
            )));
        }
        if account.public_key.is_none() && key.address() == signer {
            account.public_key = Some(key.as_bytes().to_vec());
            self.state.accounts.insert_mut(signer.clone(), account);
        }
        Ok(Some(key))
    }

    fn check_signature(
        &mut self,
        tx: &Tx,
        signer: &Address,
        key: Option<&PublicKey>,
        chain: &Chain,
        mode: Mode,
    ) -> Result<(), Refusal> {
        let Some(mut account) = self.state.accounts.get(signer).cloned() else {
            return Err(sdk::UNKNOWN_ADDRESS.because(format_args!("{signer}")));
        };
        let sequence = tx.auth_info.signer_infos.first().map_or(0, |info| info.sequence);
        if tx.body.unordered {
            self.use_nonce(tx, signer)?;
            if sequence != 0 {
                return Err(sdk::INVALID_REQUEST
                    .because("sequence is not allowed for unordered transactions"));
            }
        } else if sequence != account.sequence {
            return Err(sdk::WRONG_SEQUENCE.because(format_args!(
                "account sequence mismatch, expected {}, got {sequence}",
                account.sequence
            )));
        }
        if mode != Mode::Simulate {
            verify(tx, key, chain, account.number)?;
        }
        if !tx.body.unordered {
            let sequence = format!("{signer}/{}", account.sequence);
            self.emit("tx", &[("acc_seq", &sequence)]);
            account.sequence += 1;
            self.state.accounts.insert_mut(signer.clone(), account);
        }
        let signature = tx.signatures.first().map(|bytes| base64(bytes)).unwrap_or_default();
        self.emit("tx", &[("signature", &signature)]);
        Ok(())
    }

    fn use_nonce(&mut self, tx: &Tx, signer: &Address) -> Result<(), Refusal> {
        let Some(until) = timeout(tx)? else {
            return Err(sdk::INVALID_REQUEST
                .because("unordered transaction must have timeout_timestamp set"));
        };
        let ahead = until.as_nanosecond() - self.block.time.as_nanosecond();
        if ahead > i128::from(MAX_UNORDERED_TTL_S) * 1_000_000_000 {
            return Err(sdk::INVALID_REQUEST.because("unordered tx ttl exceeds 10m0s"));
        }
        let nonce = (until, signer.clone());
        if self.state.nonces.contains(&nonce) {
            return Err(sdk::INVALID_REQUEST.because(format_args!(
                "failed to add unordered nonce: sender {signer} has already used timeout {}",
                until.as_nanosecond()
            )));
        }
        self.state.nonces.insert_mut(nonce);
        Ok(())
    }
}

/// The one account that must sign.
fn signer(tx: &Tx, messages: &[Message]) -> Result<Address, Refusal> {
    let first = messages.first().map(Message::signer).unwrap_or_default();
    if tx.signatures.is_empty() {
        return Err(sdk::NO_SIGNATURES.into());
    }
    let several = messages.iter().any(|message| message.signer() != first);
    if several || tx.signatures.len() != 1 || tx.auth_info.signer_infos.len() != 1 {
        return Err(sdk::UNAUTHORIZED.because(format_args!(
            "wrong number of signers; expected 1, got {}",
            tx.signatures.len()
        )));
    }
    text::address(first)
}

fn verify(
    tx: &Tx,
    key: Option<&PublicKey>,
    chain: &Chain,
    account_number: u64,
) -> Result<(), Refusal> {
    if key.is_none() {
        return Err(sdk::INVALID_PUBKEY.because("account pubkey is not set"));
    }
    match tx.verify(&chain.id, account_number) {
        Ok(_) => Ok(()),
        Err(TxError::Signature(_)) => Err(sdk::UNAUTHORIZED.because(format_args!(
            "signature verification failed; please verify account number ({account_number}) and \
             chain-id ({}): (unable to verify single signer signature)",
            chain.id
        ))),
        Err(error) => Err(sdk::UNAUTHORIZED.because(error)),
    }
}

/// The time until which a transaction may be in a block.
fn timeout(tx: &Tx) -> Result<Option<Timestamp>, Refusal> {
    let Some(stamp) = tx.body.timeout_timestamp else { return Ok(None) };
    stamp
        .to_time()
        .map(Some)
        .ok_or_else(|| sdk::TX_DECODE.because("timeout_timestamp is no point in time"))
}

/// A point in time as the chain prints it.
fn go_time(time: Timestamp) -> String {
    let text = time.strftime("%Y-%m-%d %H:%M:%S%.f").to_string();
    format!("{text} +0000 UTC")
}
