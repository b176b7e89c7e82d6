//! The market ledger: a pure state machine that answers transactions and queries as the chain does. Owns what the chain
//! would remember; blocks, the mempool and the journal are [`super::node`]'s.
//!
//! It is held to recordings of the real chain, defects included, because a provider must live with them: those of
//! escrow and of lost bids are told in `escrow` and `market`.

mod ante;
mod bank;
mod certificate;
mod deployment;
mod escrow;
mod execution;
mod grant;
mod list;
mod market;
mod matching;
mod message;
mod page;
mod provider;
mod query;
mod record;
mod refusal;
mod state;
mod text;
mod validate;

use std::sync::Arc;

use jiff::Timestamp;
use prost::Message as _;

use self::{
    ante::Mode,
    execution::{BlockContext, Execution, Gas},
    message::Message,
    state::State,
};
pub(super) use self::{
    message::describe,
    query::{answered, no_such_height, simulation_failed, undecodable},
};
pub use self::{query::Snapshot, refusal::Refusal};
use super::genesis::{Genesis, Params};
use crate::wire::{
    cosmos::{AbciAttribute, AbciEvent, GasInfo, SimulateResponse, SimulateResult, TxMsgData},
    google::Any,
    rpc::answer::{Event, EventAttribute, TxResult},
    tx::Tx,
};

/// What never changes while a chain lives.
#[derive(Debug)]
struct Chain {
    id: String,
    params: Params,
}

/// The ledger after its newest block, and the check state that the mempool looks at.
#[derive(Debug, Clone)]
pub struct Ledger {
    chain: Arc<Chain>,
    height: u64,
    time: Timestamp,
    committed: State,
    /// The committed state with the fees and sequences of the transactions that wait.
    check: State,
}

/// What a simulation found: the gas, or why the transaction would fail after how much gas.
pub type Simulation = Result<SimulateResponse, (Refusal, u64)>;

impl Ledger {
    /// The ledger before block 1.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let mut state = State::default();
        for account in &genesis.accounts {
            state.ensure_account(&account.address);
            for coin in &account.coins {
                state.set_balance(&account.address, coin.denom.as_str(), coin.amount);
            }
        }
        for provider in &genesis.providers {
            let attributes: Vec<_> = provider
                .attributes
                .iter()
                .map(|found| crate::wire::base::Attribute {
                    key: found.key.clone(),
                    value: found.value.clone(),
                })
                .collect();
            for auditor in &provider.auditors {
                let record = crate::wire::audit::AuditedProvider {
                    owner: provider.owner.to_string(),
                    auditor: auditor.to_string(),
                    attributes: Vec::clone(&attributes),
                };
                state.audits.insert_mut((provider.owner.to_bytes(), auditor.to_bytes()), record);
            }
            let row = crate::wire::provider::Provider {
                owner: provider.owner.to_string(),
                host_uri: provider.host_uri.clone(),
                attributes,
                ..Default::default()
            };
            state.providers.insert_mut(provider.owner.to_bytes(), row);
        }
        let chain = Chain { id: genesis.chain_id.clone(), params: genesis.params.clone() };
        Self {
            chain: Arc::new(chain),
            height: 0,
            time: genesis.time,
            check: state.clone(),
            committed: state,
        }
    }

    /// The height of the newest block, 0 before the first.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The time of the newest block, or of the genesis.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// What the newest block left, for queries.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.chain), self.height, self.committed.clone())
    }

    fn last_block(&self) -> BlockContext {
        BlockContext { height: self.height, time: self.time }
    }

    /// Checks a transaction for the mempool. One that is accepted counts for the checks of those that follow.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let (tx, messages) = ante::decode(bytes)?;
        let mut state = self.check.clone();
        let mut execution = execution(&mut state, self.last_block());
        execution.ante(&tx, bytes.len(), &messages, &self.chain, Mode::Check)?;
        self.check = state;
        Ok(())
    }

    /// Runs a transaction on the check state and forgets it.
    ///
    /// # Errors
    /// Why it would fail, and the gas burnt by then.
    pub fn simulate(&self, bytes: &[u8]) -> Simulation {
        let (tx, messages) = ante::decode(bytes).map_err(|refusal| (refusal, 0))?;
        let mut state = self.check.clone();
        let mut execution = execution(&mut state, self.last_block());
        if let Err(refusal) =
            execution.ante(&tx, bytes.len(), &messages, &self.chain, Mode::Simulate)
        {
            return Err((refusal, execution.gas.used));
        }
        if let Err(refusal) = carry_out(&mut execution, messages, &self.chain.params) {
            return Err((refusal, execution.gas.used));
        }
        let data = responses(&tx);
        Ok(SimulateResponse {
            gas_info: Some(GasInfo { gas_wanted: u64::MAX, gas_used: execution.gas.used }),
            result: Some(SimulateResult {
                data: data.encode_to_vec(),
                log: String::new(),
                events: execution.events.into_iter().map(abci_event).collect(),
                msg_responses: data.msg_responses,
            }),
        })
    }

    /// Makes the next block of `txs` and answers what each did. The mempool's checks start again from the new state.
    pub fn apply(&mut self, time: Timestamp, txs: &[Vec<u8>]) -> Vec<TxResult> {
        self.height += 1;
        self.time = time;
        let expired: Vec<_> =
            self.committed.nonces.iter().take_while(|(until, _)| *until < time).cloned().collect();
        for nonce in expired {
            self.committed.nonces.remove_mut(&nonce);
        }
        let results = txs.iter().map(|tx| self.deliver(tx)).collect();
        self.check = self.committed.clone();
        results
    }

    fn deliver(&mut self, bytes: &[u8]) -> TxResult {
        let (tx, messages) = match ante::decode(bytes) {
            Ok(decoded) => decoded,
            Err(refusal) => return refused(refusal, 0, Gas { limit: 0, used: 0 }, Vec::new()),
        };
        let wanted = ante::gas_limit(&tx);
        let mut state = self.committed.clone();
        let mut execution = execution(&mut state, self.last_block());
        if let Err(refusal) =
            execution.ante(&tx, bytes.len(), &messages, &self.chain, Mode::Deliver)
        {
            return refused(refusal, wanted, execution.gas, Vec::new());
        }
        let (gas, fee_events) = (execution.gas, execution.events);
        // From here on fee and sequence are spent, whatever the messages do.
        self.committed = state.clone();
        let mut execution = Execution::new(&mut state, self.last_block(), gas);
        let outcome = carry_out(&mut execution, messages, &self.chain.params);
        let gas = execution.gas;
        match outcome {
            Ok(()) => {
                let events = fee_events.into_iter().chain(execution.events).collect();
                self.committed = state;
                TxResult {
                    code: 0,
                    data: responses(&tx).encode_to_vec(),
                    log: String::new(),
                    info: String::new(),
                    gas_wanted: signed(wanted),
                    gas_used: signed(gas.used),
                    events,
                    codespace: String::new(),
                }
            }
            Err(refusal) => refused(refusal, wanted, gas, fee_events),
        }
    }
}

fn execution(state: &mut State, block: BlockContext) -> Execution<'_> {
    Execution::new(state, block, Gas { limit: 0, used: 0 })
}

fn carry_out(
    execution: &mut Execution<'_>,
    messages: Vec<Message>,
    params: &Params,
) -> Result<(), Refusal> {
    for (index, message) in messages.into_iter().enumerate() {
        let first = execution.events.len();
        let url = message.type_url();
        execution.emit(
            "message",
            &[("action", &url), ("sender", message.signer()), ("module", message.module())],
        );
        message.execute(execution, params).map_err(|refusal| refusal.of_message(index))?;
        for event in &mut execution.events[first..] {
            event.attributes.push(EventAttribute {
                key: "msg_index".to_owned(),
                value: index.to_string(),
                index: true,
            });
        }
    }
    Ok(())
}

/// The empty answers of the messages, which name what was carried out.
fn responses(tx: &Tx) -> TxMsgData {
    let msg_responses = tx
        .body
        .messages
        .iter()
        .map(|message| Any { type_url: format!("{}Response", message.type_url), value: Vec::new() })
        .collect();
    TxMsgData { msg_responses }
}

fn refused(refusal: Refusal, wanted: u64, gas: Gas, events: Vec<Event>) -> TxResult {
    TxResult {
        code: refusal.code,
        data: Vec::new(),
        log: refusal.log,
        info: String::new(),
        gas_wanted: signed(wanted),
        gas_used: signed(gas.used),
        events,
        codespace: refusal.codespace.to_owned(),
    }
}

fn signed(gas: u64) -> i64 {
    i64::try_from(gas).unwrap_or(i64::MAX)
}

/// In a simulation no attribute is indexed.
fn abci_event(event: Event) -> AbciEvent {
    let attributes = event
        .attributes
        .into_iter()
        .map(|found| AbciAttribute { key: found.key, value: found.value, index: false })
        .collect();
    AbciEvent { r#type: event.r#type, attributes }
}
