//! Escrow rows as the chain answers them. Owns that form: text ids and integers of 10⁻¹⁸.

use super::state::{EscrowAccount, EscrowId, EscrowState, Payment};
use crate::{
    domain::{LeaseId, money::ATOMS_PER_UNIT},
    wire::{cosmos, escrow},
};

/// Whole units as the chain's integer of 10⁻¹⁸.
fn atoms(units: &impl ToString) -> String {
    let units = units.to_string();
    if units == "0" {
        units
    } else {
        format!("{units}{}", "0".repeat(ATOMS_PER_UNIT.ilog10() as usize))
    }
}

fn dec_coin(denom: &str, units: u128) -> cosmos::DecCoin {
    cosmos::DecCoin { denom: denom.to_owned(), amount: atoms(&units) }
}

const fn state(state: EscrowState) -> escrow::State {
    match state {
        EscrowState::Open => escrow::State::Open,
        EscrowState::Closed => escrow::State::Closed,
        EscrowState::Overdrawn => escrow::State::Overdrawn,
    }
}

/// The number of a state's text in a filter.
pub(super) fn escrow_state(text: &str) -> Option<i32> {
    let found = match text {
        "open" => EscrowState::Open,
        "closed" => EscrowState::Closed,
        "overdrawn" => EscrowState::Overdrawn,
        _ => return None,
    };
    Some(state(found).into())
}

fn signed(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

fn account_id(id: &EscrowId) -> escrow::AccountId {
    let (scope, xid) = match id {
        EscrowId::Bid(bid) => (escrow::Scope::Bid, bid.to_string()),
        EscrowId::Deployment(deployment) => (escrow::Scope::Deployment, deployment.to_string()),
    };
    escrow::AccountId { scope: scope.into(), xid }
}

/// An account.
pub(super) fn account(id: &EscrowId, row: &EscrowAccount) -> escrow::Account {
    let deposits = row
        .deposits
        .iter()
        .map(|deposit| escrow::Depositor {
            owner: deposit.owner.to_string(),
            height: signed(deposit.height),
            source: deposit.source.into(),
            balance: dec_coin(&row.denom, deposit.balance),
        })
        .collect();
    escrow::Account {
        id: account_id(id),
        state: escrow::AccountState {
            owner: row.owner.to_string(),
            state: state(row.state).into(),
            transferred: vec![dec_coin(&row.denom, row.transferred)],
            settled_at: signed(row.settled_at),
            funds: vec![escrow::Balance { denom: row.denom.clone(), amount: atoms(&row.funds) }],
            deposits,
        },
    }
}

/// The payment of a lease.
pub(super) fn payment(lease: &LeaseId, row: &Payment) -> escrow::Payment {
    let denom = row.rate.denom.as_str();
    let order = &lease.order;
    escrow::Payment {
        id: escrow::PaymentId {
            aid: account_id(&EscrowId::Deployment(order.deployment().clone())),
            xid: format!("{}/{}/{}", order.gseq(), order.oseq, lease.provider),
        },
        state: escrow::PaymentState {
            owner: row.owner.to_string(),
            state: state(row.state).into(),
            rate: cosmos::DecCoin {
                denom: denom.to_owned(),
                amount: row.rate.amount.to_atoms_text(),
            },
            balance: dec_coin(denom, row.balance),
            unsettled: dec_coin(denom, row.unsettled),
            withdrawn: cosmos::Coin { denom: denom.to_owned(), amount: row.withdrawn.to_string() },
        },
    }
}
