//! Escrow: deposits that bids and deployments lock, and the payments that leases draw from them. Owns settlement; when
//! a deployment's account is closed or found overdrawn, [`super::deployment`] closes what hung on it.
//!
//! Three facts that surprise, all of the real chain: a settlement moves whole units and drops the fraction; an account
//! settles once per block, so a second withdrawal in the same block panics and a second close leaves its payment
//! open; and nobody notices an empty account until somebody settles it.

use super::{
    execution::Execution,
    refusal::{Refusal, escrow, sdk},
    state::{Deposit, EscrowAccount, EscrowId, EscrowState, Payment},
};
use crate::{
    domain::{Address, DeploymentId, OrderId, Price},
    wire::{self, base::Source},
};

/// The account that holds everything in escrow.
pub(super) const MODULE_ACCOUNT: &str = "akash14pphss726thpwws3yc458hggufynm9x77l4l2u";

/// A deposit that was found to be covered.
pub(super) struct Covered {
    denom: String,
    amount: u128,
    /// Who pays how much of it.
    parts: Vec<(Address, wire::base::Source, u128)>,
}

/// What a settlement found.
struct Settled {
    account: EscrowAccount,
    /// The payments that were served; none when the account was settled in this block already.
    payments: Vec<(OrderId, Payment)>,
}

/// `whole units of rate × blocks`, or what the chain would answer.
fn earned(rate: &Price, blocks: u64) -> Result<u128, Refusal> {
    rate.amount
        .checked_mul(u128::from(blocks))
        .map(crate::domain::Amount::whole_units)
        .ok_or_else(|| Refusal::panic("decimal out of range; bitLen: got 317, max 315"))
}

/// A constant of the chain; a broken one is a bug of this file, reported like one of the chain's own.
fn module() -> Result<Address, Refusal> {
    MODULE_ACCOUNT.parse().map_err(Refusal::panic)
}

/// The whole units of a coin.
pub(super) fn units(coin: &wire::cosmos::Coin) -> Result<u128, Refusal> {
    coin.amount
        .parse()
        .map_err(|_| sdk::INVALID_COINS.because(format_args!("{}{}", coin.amount, coin.denom)))
}

/// Checks a deposit against the least that the parameters ask for in its denom.
pub(super) fn check_minimum(
    deposit: &wire::base::Deposit,
    minimums: &[wire::cosmos::Coin],
) -> Result<(), Refusal> {
    let (denom, amount) = (&deposit.amount.denom, units(&deposit.amount)?);
    let Some(minimum) = minimums.iter().find(|coin| coin.denom == *denom) else {
        return Err(Refusal::deposit(format_args!("unsupported denom {denom}")));
    };
    if amount >= units(minimum)? {
        return Ok(());
    }
    let sources: Vec<&str> = deposit
        .sources
        .iter()
        .map(|&source| if source == wire::base::Source::Grant as i32 { "grant" } else { "balance" })
        .collect();
    Err(Refusal::deposit(format_args!(
        "minimum:{}{denom} received:{{{amount}{denom} [{}]}}",
        minimum.amount,
        sources.join(" ")
    )))
}

fn signed(amount: u128) -> Result<i128, Refusal> {
    i128::try_from(amount).map_err(|_| Refusal::panic("integer overflow of an escrow account"))
}

impl Execution<'_> {
    /// Checks that `depositor` can pay `deposit`, trying its sources in order; what comes from grants is taken off them.
    pub(super) fn cover(
        &mut self,
        depositor: &Address,
        deposit: &wire::base::Deposit,
    ) -> Result<Covered, Refusal> {
        let (denom, amount) = (deposit.amount.denom.clone(), units(&deposit.amount)?);
        let mut missing = amount;
        let mut parts = Vec::new();
        for source in deposit.sources() {
            let found = match source {
                Source::Balance => {
                    let held = self.state.balance(depositor, &denom).min(missing);
                    vec![(depositor.clone(), held)]
                }
                Source::Grant => self.use_grants(depositor, &denom, missing)?,
                Source::Invalid => Vec::new(),
            };
            for (payer, paid) in found.into_iter().filter(|(_, paid)| *paid > 0) {
                missing -= paid;
                parts.push((payer, source, paid));
            }
        }
        if missing > 0 {
            return Err(Refusal::deposit("insufficient balance"));
        }
        Ok(Covered { denom, amount, parts })
    }

    /// Moves what was covered into escrow.
    fn lock(&mut self, covered: &Covered) -> Result<Vec<Deposit>, Refusal> {
        let (module, height) = (module()?, self.block.height);
        let mut deposits = Vec::new();
        for (owner, source, balance) in covered.parts.clone() {
            self.transfer(&owner, &module, &covered.denom, balance)?;
            deposits.push(Deposit { owner, height, source, balance });
        }
        Ok(deposits)
    }

    /// Opens an account and moves the deposit into it.
    pub(super) fn open_account(
        &mut self,
        id: EscrowId,
        owner: &Address,
        covered: &Covered,
    ) -> Result<(), Refusal> {
        if self.state.escrows.contains_key(&id) {
            return Err(escrow::ACCOUNT_EXISTS.into());
        }
        let account = EscrowAccount {
            owner: owner.clone(),
            state: EscrowState::Open,
            denom: covered.denom.clone(),
            transferred: 0,
            settled_at: self.block.height,
            funds: signed(covered.amount)?,
            deposits: self.lock(covered)?,
        };
        self.put_escrow(id, account)
    }

    /// Adds a deposit. One into an overdrawn account pays the debts first; when they are paid, the rest goes back and
    /// the account closes (what it paid for stays closed).
    pub(super) fn deposit(&mut self, id: &EscrowId, covered: &Covered) -> Result<(), Refusal> {
        let Some(mut account) = self.state.escrows.get(id).cloned() else {
            return Err(escrow::ACCOUNT_NOT_FOUND.into());
        };
        if account.state == EscrowState::Closed {
            return Err(escrow::ACCOUNT_CLOSED.into());
        }
        if account.denom != covered.denom {
            return Err(escrow::INVALID_DENOM.into());
        }
        account.funds += signed(covered.amount)?;
        account.deposits.extend(self.lock(covered)?);
        if account.state == EscrowState::Overdrawn
            && let EscrowId::Deployment(deployment) = id
        {
            self.pay_debts(deployment, &mut account, covered.amount)?;
        }
        self.put_escrow(id.clone(), account)
    }

    fn pay_debts(
        &mut self,
        deployment: &DeploymentId,
        account: &mut EscrowAccount,
        mut available: u128,
    ) -> Result<(), Refusal> {
        let orders: Vec<OrderId> = self
            .state
            .payments
            .range(deployment.group(0).order(0)..=deployment.group(u32::MAX).order(u32::MAX))
            .filter(|(_, payment)| payment.state == EscrowState::Overdrawn)
            .map(|(order, _)| order.clone())
            .collect();
        for order in orders {
            let Some(mut payment) = self.state.payments.get(&order).cloned() else { continue };
            let paid = payment.unsettled.min(available);
            available -= paid;
            payment.unsettled -= paid;
            payment.balance += paid;
            account.transferred += paid;
            use_up(&mut account.deposits, paid);
            if payment.unsettled == 0 {
                payment.state = EscrowState::Closed;
            }
            self.pay_out(&order, payment)?;
        }
        if account.funds >= 0 {
            account.state = EscrowState::Closed;
            self.refund(account)?;
        }
        Ok(())
    }

    /// Serves the payments of a deployment up to this block. `None`: the account was found overdrawn, everything that
    /// hung on it is closed, and all is stored.
    fn settle(&mut self, id: &DeploymentId) -> Result<Option<Settled>, Refusal> {
        let key = EscrowId::Deployment(id.clone());
        let Some(mut account) = self.state.escrows.get(&key).cloned() else {
            return Err(escrow::ACCOUNT_NOT_FOUND.into());
        };
        match account.state {
            EscrowState::Open => {}
            EscrowState::Closed => return Err(escrow::ACCOUNT_CLOSED.into()),
            EscrowState::Overdrawn => return Err(escrow::ACCOUNT_OVERDRAWN.into()),
        }
        let blocks = self.block.height.saturating_sub(account.settled_at);
        if blocks == 0 {
            return Ok(Some(Settled { account, payments: Vec::new() }));
        }
        account.settled_at = self.block.height;
        let mut payments = Vec::new();
        let mut overdrawn = false;
        for order in self.state.open_payments(id) {
            let Some(mut payment) = self.state.payments.get(&order).cloned() else { continue };
            let due = earned(&payment.rate, blocks)?;
            let paid = due.min(u128::try_from(account.funds).unwrap_or(0));
            overdrawn |= paid < due;
            account.funds -= signed(due)?;
            account.transferred += paid;
            use_up(&mut account.deposits, paid);
            payment.balance += paid;
            payment.unsettled += due - paid;
            payments.push((order, payment));
        }
        if overdrawn {
            self.overdraw(key, account, payments)?;
            return Ok(None);
        }
        Ok(Some(Settled { account, payments }))
    }

    fn overdraw(
        &mut self,
        key: EscrowId,
        mut account: EscrowAccount,
        payments: Vec<(OrderId, Payment)>,
    ) -> Result<(), Refusal> {
        account.state = EscrowState::Overdrawn;
        for (order, mut payment) in payments {
            payment.state = EscrowState::Overdrawn;
            self.pay_out(&order, payment)?;
        }
        self.put_escrow(key.clone(), account)?;
        if let EscrowId::Deployment(id) = key {
            self.on_account_closed(&id, EscrowState::Overdrawn)?;
        }
        Ok(())
    }

    fn store(&mut self, id: &DeploymentId, settled: Settled) -> Result<(), Refusal> {
        for (order, payment) in settled.payments {
            self.state.payments.insert_mut(order, payment);
        }
        self.put_escrow(EscrowId::Deployment(id.clone()), settled.account)
    }

    /// Starts paying `provider` for the lease of `order`.
    pub(super) fn open_payment(
        &mut self,
        order: &OrderId,
        provider: &Address,
        rate: Price,
    ) -> Result<(), Refusal> {
        let id = order.deployment();
        let Some(settled) = self.settle(id)? else { return Err(escrow::ACCOUNT_OVERDRAWN.into()) };
        if settled.account.denom != rate.denom.as_str() {
            return Err(escrow::INVALID_DENOM.into());
        }
        if rate.amount.is_zero() {
            return Err(escrow::RATE_ZERO.into());
        }
        if self.state.payments.contains_key(order) {
            return Err(escrow::PAYMENT_EXISTS.into());
        }
        self.store(id, settled)?;
        let payment = Payment {
            owner: provider.clone(),
            state: EscrowState::Open,
            rate,
            balance: 0,
            unsettled: 0,
            withdrawn: 0,
        };
        self.put_payment(order.clone(), payment)
    }

    /// Pays the provider of `order`'s lease what it has earned.
    pub(super) fn withdraw(&mut self, order: &OrderId) -> Result<(), Refusal> {
        match self.state.payments.get(order).map(|payment| payment.state) {
            None => return Err(escrow::PAYMENT_NOT_FOUND.into()),
            Some(EscrowState::Open) => {}
            Some(_) => return Err(escrow::PAYMENT_CLOSED.into()),
        }
        let id = order.deployment();
        let Some(settled) = self.settle(id)? else { return Ok(()) };
        let Some((_, payment)) = settled.payments.iter().find(|(found, _)| found == order).cloned()
        else {
            let provider = self.state.payments.get(order).map(|payment| payment.owner.to_string());
            return Err(Refusal::panic(format_args!(
                "couldn't find payment aid:<scope:deployment xid:\"{id}\" > xid:\"{}/{}/{}\" ",
                order.gseq(),
                order.oseq,
                provider.unwrap_or_default()
            )));
        };
        self.store(id, settled)?;
        self.pay_out(order, payment)
    }

    /// Ends the payment of `order`'s lease and pays what it has earned. A payment that is not open, or that was settled
    /// in this block already, stays as it is: so the chain does it.
    pub(super) fn close_payment(&mut self, order: &OrderId) -> Result<(), Refusal> {
        let open = self
            .state
            .payments
            .get(order)
            .is_some_and(|payment| payment.state == EscrowState::Open);
        if !open {
            return Ok(());
        }
        let id = order.deployment();
        let Some(settled) = self.settle(id)? else { return Ok(()) };
        let found = settled.payments.iter().find(|(found, _)| found == order).cloned();
        self.store(id, settled)?;
        let Some((_, mut payment)) = found else { return Ok(()) };
        payment.state = EscrowState::Closed;
        self.pay_out(order, payment)
    }

    /// Closes a bid's account: the deposit goes back.
    pub(super) fn close_bid_account(&mut self, id: &EscrowId) -> Result<(), Refusal> {
        let Some(mut account) = self.state.escrows.get(id).cloned() else {
            return Err(escrow::ACCOUNT_NOT_FOUND.into());
        };
        if account.state != EscrowState::Open {
            return Err(escrow::ACCOUNT_CLOSED.into());
        }
        account.state = EscrowState::Closed;
        account.settled_at = self.block.height;
        self.refund(&mut account)?;
        self.put_escrow(id.clone(), account)
    }

    /// Closes a deployment's account: payments are served and end, the rest goes back, the deployment closes.
    pub(super) fn close_deployment_account(&mut self, id: &DeploymentId) -> Result<(), Refusal> {
        let Some(mut settled) = self.settle(id)? else { return Ok(()) };
        for (order, mut payment) in settled.payments {
            payment.state = EscrowState::Closed;
            self.pay_out(&order, payment)?;
        }
        settled.account.state = EscrowState::Closed;
        self.refund(&mut settled.account)?;
        self.put_escrow(EscrowId::Deployment(id.clone()), settled.account)?;
        self.on_account_closed(id, EscrowState::Closed)
    }

    fn pay_out(&mut self, order: &OrderId, mut payment: Payment) -> Result<(), Refusal> {
        if payment.balance > 0 {
            let module = module()?;
            let denom = payment.rate.denom.clone();
            let owner = payment.owner.clone();
            self.transfer(&module, &owner, denom.as_str(), payment.balance)?;
            payment.withdrawn += payment.balance;
            payment.balance = 0;
        }
        self.put_payment(order.clone(), payment)
    }

    fn refund(&mut self, account: &mut EscrowAccount) -> Result<(), Refusal> {
        let module = module()?;
        for deposit in std::mem::take(&mut account.deposits) {
            self.transfer(&module, &deposit.owner, &account.denom, deposit.balance)?;
            if deposit.source == Source::Grant {
                let (grantee, granter) = (&account.owner, &deposit.owner);
                self.restore_grant(grantee, granter, &account.denom, deposit.balance)?;
            }
        }
        account.funds = 0;
        Ok(())
    }
}

/// Takes `amount` from the deposits, the oldest first; one that is used up disappears.
fn use_up(deposits: &mut Vec<Deposit>, mut amount: u128) {
    for deposit in deposits.iter_mut() {
        let taken = deposit.balance.min(amount);
        deposit.balance -= taken;
        amount -= taken;
    }
    deposits.retain(|deposit| deposit.balance > 0);
}
