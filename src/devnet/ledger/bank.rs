//! Coins that change hands. Owns balances and the four events of each transfer; who may pay whom is decided by those
//! who call.

use super::{
    execution::{Execution, gas},
    refusal::{Refusal, sdk},
    state::{Account, Map, State},
};
use crate::domain::Address;

impl State {
    /// Makes sure that `address` has an account.
    pub(super) fn ensure_account(&mut self, address: &Address) {
        if self.accounts.contains_key(address) {
            return;
        }
        let account = Account { number: self.next_account, sequence: 0, public_key: None };
        self.next_account += 1;
        self.accounts.insert_mut(address.clone(), account);
    }

    /// Sets what `address` has of `denom`; nothing is not kept.
    pub(super) fn set_balance(&mut self, address: &Address, denom: &str, amount: u128) {
        let mut coins = self.balances.get(address).cloned().unwrap_or_else(Map::new_sync);
        if amount == 0 {
            coins.remove_mut(denom);
        } else {
            coins.insert_mut(denom.to_owned(), amount);
        }
        self.balances.insert_mut(address.clone(), coins);
    }
}

impl Execution<'_> {
    /// Moves whole units of one denom.
    pub(super) fn transfer(
        &mut self,
        from: &Address,
        to: &Address,
        denom: &str,
        amount: u128,
    ) -> Result<(), Refusal> {
        self.transfer_all(from, to, &[(denom.to_owned(), amount)])
    }

    /// Moves `coins`, which have each denom once.
    pub(super) fn transfer_all(
        &mut self,
        from: &Address,
        to: &Address,
        coins: &[(String, u128)],
    ) -> Result<(), Refusal> {
        self.gas.burn(gas::TRANSFER)?;
        for (denom, amount) in coins {
            let have = self.state.balance(from, denom);
            let rest = have.checked_sub(*amount).ok_or_else(|| {
                sdk::INSUFFICIENT_FUNDS.because(format_args!(
                    "spendable balance {have}{denom} is smaller than {amount}{denom}"
                ))
            })?;
            self.state.set_balance(from, denom, rest);
            let held = self.state.balance(to, denom);
            let sum = held
                .checked_add(*amount)
                .ok_or_else(|| Refusal::panic("integer overflow of a balance"))?;
            self.state.set_balance(to, denom, sum);
        }
        self.state.ensure_account(to);
        let amount = coins
            .iter()
            .map(|(denom, amount)| format!("{amount}{denom}"))
            .collect::<Vec<_>>()
            .join(",");
        let (from, to) = (from.as_str(), to.as_str());
        self.emit("coin_spent", &[("spender", from), ("amount", &amount)]);
        self.emit("coin_received", &[("receiver", to), ("amount", &amount)]);
        self.emit("transfer", &[("recipient", to), ("sender", from), ("amount", &amount)]);
        self.emit("message", &[("sender", from)]);
        Ok(())
    }
}
