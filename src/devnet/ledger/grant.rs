//! Grants: an account lets another one pay deposits from its balance. Owns this one kind of authorisation; the chain has
//! more, and a transaction with one of those is refused here.
//!
//! What comes back from a deposit that a grant paid goes to the granter, and the grant grows by it again.

use jiff::Timestamp;

use super::{
    escrow::units,
    execution::{Execution, gas},
    refusal::{Refusal, authz, sdk},
    text,
};
use crate::{
    domain::Address,
    wire::{
        authz::{Authorization, MsgGrant, MsgRevoke},
        cosmos::Coin,
        escrow::{DepositAuthorization, MsgAccountDeposit},
    },
};

/// What an account may pay from another one's balance.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) authorization: DepositAuthorization,
    /// It ends with the first block that is not before this time.
    pub(super) expires: Option<Timestamp>,
}

impl Grant {
    /// How much of `denom` is left of it; nothing when it ended before `now`.
    fn left(&self, denom: &str, now: Timestamp) -> u128 {
        let ended = self.expires.is_some_and(|expires| expires <= now);
        let limits = &self.authorization.spend_limits;
        let limit = limits.iter().find(|limit| limit.denom == denom);
        limit.filter(|_| !ended).and_then(|limit| limit.amount.parse().ok()).unwrap_or(0)
    }

    fn set(&mut self, denom: &str, amount: u128) {
        let limits = &mut self.authorization.spend_limits;
        limits.retain(|limit| limit.denom != denom);
        if amount > 0 {
            limits.push(Coin { denom: denom.to_owned(), amount: amount.to_string() });
            limits.sort_by(|a, b| a.denom.cmp(&b.denom));
        }
    }
}

/// Checks a grant alone.
pub(super) fn validate(message: &MsgGrant) -> Result<(Address, Address, Grant), Refusal> {
    let granter = text::address(&message.granter)?;
    let grantee = text::address(&message.grantee)?;
    if granter == grantee {
        return Err(authz::GRANTER_IS_GRANTEE.into());
    }
    let packed = message.grant.authorization.as_ref();
    let Authorization::Deposit(authorization) =
        Authorization::read(packed).map_err(|error| sdk::TX_DECODE.because(error))?;
    for limit in &authorization.spend_limits {
        units(limit)?;
    }
    let expires = message.grant.expiration.and_then(crate::wire::google::Timestamp::to_time);
    Ok((granter, grantee, Grant { authorization, expires }))
}

impl Execution<'_> {
    pub(super) fn grant(&mut self, message: &MsgGrant) -> Result<(), Refusal> {
        let (granter, grantee, grant) = validate(message)?;
        if grant.expires.is_some_and(|expires| expires <= self.block.time) {
            return Err(authz::INVALID_EXPIRATION.into());
        }
        self.put_grant(&grantee, &granter, grant)
    }

    pub(super) fn revoke(&mut self, message: &MsgRevoke) -> Result<(), Refusal> {
        let granter = text::address(&message.granter)?;
        let grantee = text::address(&message.grantee)?;
        let key = (grantee.clone(), granter.clone());
        let is_deposit = message.msg_type_url == deposit_url();
        if !is_deposit || !self.state.grants.contains_key(&key) {
            return Err(authz::NOT_FOUND.into());
        }
        self.gas.burn(gas::GRANT)?;
        self.state.grants.remove_mut(&key);
        self.emit_grant("Revoke", &grantee, &granter);
        Ok(())
    }

    /// Takes up to `wanted` of `denom` from what others let `grantee` pay, and says from whom how much.
    pub(super) fn use_grants(
        &mut self,
        grantee: &Address,
        denom: &str,
        mut wanted: u128,
    ) -> Result<Vec<(Address, u128)>, Refusal> {
        let now = self.block.time;
        let of_grantee: Vec<(Address, Grant)> = self
            .state
            .grants
            .iter()
            .filter(|((by, _), _)| by == grantee)
            .map(|((_, granter), grant)| (granter.clone(), grant.clone()))
            .collect();
        let mut used = Vec::new();
        for (granter, mut grant) in of_grantee {
            let left = grant.left(denom, now);
            let taken = wanted.min(left).min(self.state.balance(&granter, denom));
            if taken > 0 {
                grant.set(denom, left - taken);
                self.put_grant(grantee, &granter, grant)?;
                used.push((granter, taken));
                wanted -= taken;
            }
        }
        Ok(used)
    }

    /// Gives back to a grant what came back of its deposit.
    pub(super) fn restore_grant(
        &mut self,
        grantee: &Address,
        granter: &Address,
        denom: &str,
        amount: u128,
    ) -> Result<(), Refusal> {
        let key = (grantee.clone(), granter.clone());
        let Some(mut grant) = self.state.grants.get(&key).cloned() else { return Ok(()) };
        let left = grant.left(denom, Timestamp::MIN);
        grant.set(denom, left.saturating_add(amount));
        self.put_grant(grantee, granter, grant)
    }

    fn put_grant(
        &mut self,
        grantee: &Address,
        granter: &Address,
        grant: Grant,
    ) -> Result<(), Refusal> {
        self.gas.burn(gas::GRANT)?;
        self.state.grants.insert_mut((grantee.clone(), granter.clone()), grant);
        self.emit_grant("Grant", grantee, granter);
        Ok(())
    }

    fn emit_grant(&mut self, event: &str, grantee: &Address, granter: &Address) {
        let quoted = |text: &str| format!("\"{text}\"");
        self.emit(
            format!("cosmos.authz.v1beta1.Event{event}"),
            &[
                ("grantee", &quoted(grantee.as_str())),
                ("granter", &quoted(granter.as_str())),
                ("msg_type_url", &quoted(&deposit_url())),
            ],
        );
    }
}

/// The message that a deposit's grant stands for.
fn deposit_url() -> String {
    <MsgAccountDeposit as prost::Name>::type_url()
}
