//! Deployments and groups: create, update, close, pause, start; and what closes when an escrow account does. Owns the
//! checks and their order; orders, bids and leases are [`super::market`]'s.

use super::{
    escrow::check_minimum,
    execution::Execution,
    refusal::{Refusal, deployment},
    state::{EscrowId, EscrowState},
    text::{self, base64},
};
use crate::{
    domain::{Address, CloseReason, DeploymentId, DeploymentState, GroupId, GroupState},
    wire::{self, deployment::Group},
};

impl Execution<'_> {
    pub(super) fn create_deployment(
        &mut self,
        message: wire::deployment::MsgCreateDeployment,
        minimums: &[wire::cosmos::Coin],
    ) -> Result<(), Refusal> {
        let owner: Address = text::address(&message.id.owner)?;
        let id = DeploymentId::new(owner.clone(), message.id.dseq);
        if self.state.deployments.contains_key(&id) {
            return Err(deployment::EXISTS.into());
        }
        check_minimum(&message.deposit, minimums)?;
        let covered = self.cover(&owner, &message.deposit)?;
        let height = text::height(self.block.height);
        let hash = base64(&message.hash);
        let row = wire::deployment::Deployment {
            id: message.id.clone(),
            state: DeploymentState::Active.number(),
            hash: message.hash,
            created_at: height,
            reclamation: message.reclamation,
        };
        self.put_deployment(id.clone(), row)?;
        let json = text::deployment_id(&id);
        self.emit(
            "akash.deployment.v1.EventDeploymentCreated",
            &[("hash", &format!("\"{hash}\"")), ("id", &json)],
        );
        let mut groups = Vec::new();
        for (gseq, spec) in (1..).zip(message.groups) {
            let group_id = id.group(gseq);
            let row = Group {
                id: text::wire_group_id(&group_id),
                state: GroupState::Open.number(),
                group_spec: spec.clone(),
                created_at: height,
            };
            self.put_group(group_id.clone(), row)?;
            groups.push((group_id, spec));
        }
        for (group_id, spec) in groups {
            self.create_order(&group_id, spec)?;
        }
        self.open_account(EscrowId::Deployment(id), &owner, &covered)
    }

    pub(super) fn update_deployment(
        &mut self,
        message: wire::deployment::MsgUpdateDeployment,
    ) -> Result<(), Refusal> {
        let (id, mut row) = self.active_deployment(&message.id)?;
        let hash = base64(&message.hash);
        row.hash = message.hash;
        self.put_deployment(id.clone(), row)?;
        let json = text::deployment_id(&id);
        self.emit(
            "akash.deployment.v1.EventDeploymentUpdated",
            &[("hash", &format!("\"{hash}\"")), ("id", &json)],
        );
        Ok(())
    }

    pub(super) fn close_deployment(
        &mut self,
        message: &wire::deployment::MsgCloseDeployment,
    ) -> Result<(), Refusal> {
        let (id, _) = self.active_deployment(&message.id)?;
        self.close_deployment_account(&id)
    }

    fn active_deployment(
        &self,
        id: &wire::deployment::DeploymentId,
    ) -> Result<(DeploymentId, wire::deployment::Deployment), Refusal> {
        let id = DeploymentId::new(text::address(&id.owner)?, id.dseq);
        let row = self.state.deployments.get(&id).cloned().ok_or(deployment::NOT_FOUND)?;
        if row.state != DeploymentState::Active.number() {
            return Err(deployment::CLOSED.into());
        }
        Ok((id, row))
    }

    /// What an escrow account takes with it when it closes or is found overdrawn.
    pub(super) fn on_account_closed(
        &mut self,
        id: &DeploymentId,
        account: EscrowState,
    ) -> Result<(), Refusal> {
        let Some(mut row) = self.state.deployments.get(id).cloned() else { return Ok(()) };
        if row.state != DeploymentState::Active.number() {
            return Ok(());
        }
        row.state = DeploymentState::Closed.number();
        self.put_deployment(id.clone(), row)?;
        let json = text::deployment_id(id);
        self.emit("akash.deployment.v1.EventDeploymentClosed", &[("id", &json)]);
        let (state, reason) = match account {
            EscrowState::Overdrawn => {
                (GroupState::InsufficientFunds, CloseReason::InsufficientFunds)
            }
            EscrowState::Open | EscrowState::Closed => (GroupState::Closed, CloseReason::Owner),
        };
        for (group_id, group) in self.state.groups_of(id) {
            if is_closable(&group).is_ok() {
                self.set_group(&group_id, group, state, "GroupClosed")?;
                self.close_orders_of(&group_id, reason)?;
            }
        }
        Ok(())
    }

    pub(super) fn close_group(
        &mut self,
        message: &wire::deployment::MsgCloseGroup,
    ) -> Result<(), Refusal> {
        let (id, group) = self.group(&message.id)?;
        is_closable(&group)?;
        self.set_group(&id, group, GroupState::Closed, "GroupClosed")?;
        self.close_orders_of(&id, CloseReason::Owner)
    }

    pub(super) fn pause_group(
        &mut self,
        message: &wire::deployment::MsgPauseGroup,
    ) -> Result<(), Refusal> {
        let (id, group) = self.group(&message.id)?;
        is_closable(&group)?;
        if group.state == GroupState::Paused.number() {
            return Err(deployment::GROUP_PAUSED.into());
        }
        self.set_group(&id, group, GroupState::Paused, "GroupPaused")?;
        self.close_orders_of(&id, CloseReason::Owner)
    }

    pub(super) fn start_group(
        &mut self,
        message: &wire::deployment::MsgStartGroup,
    ) -> Result<(), Refusal> {
        let (id, group) = self.group(&message.id)?;
        is_closable(&group)?;
        if group.state == GroupState::Open.number() {
            return Err(deployment::GROUP_OPEN.into());
        }
        let spec = group.group_spec.clone();
        self.set_group(&id, group, GroupState::Open, "GroupStarted")?;
        self.create_order(&id, spec)
    }

    /// A provider that closes its lease pauses the group, so that the tenant decides what comes next.
    pub(super) fn pause_after_provider(&mut self, id: &GroupId) -> Result<(), Refusal> {
        let Some(group) = self.state.groups.get(id).cloned() else { return Ok(()) };
        if group.state == GroupState::Open.number() {
            self.set_group(id, group, GroupState::Paused, "GroupPaused")?;
        }
        Ok(())
    }

    fn group(&self, id: &wire::deployment::GroupId) -> Result<(GroupId, Group), Refusal> {
        let id = DeploymentId::new(text::address(&id.owner)?, id.dseq).group(id.gseq);
        let group = self.state.groups.get(&id).cloned().ok_or(deployment::GROUP_NOT_FOUND)?;
        Ok((id, group))
    }

    fn set_group(
        &mut self,
        id: &GroupId,
        mut group: Group,
        state: GroupState,
        event: &str,
    ) -> Result<(), Refusal> {
        group.state = state.number();
        self.put_group(id.clone(), group)?;
        let json = text::group_id(id);
        self.emit(format!("akash.deployment.v1.Event{event}"), &[("id", &json)]);
        Ok(())
    }
}

fn is_closable(group: &Group) -> Result<(), Refusal> {
    let ended = [GroupState::Closed.number(), GroupState::InsufficientFunds.number()];
    if ended.contains(&group.state) { Err(deployment::GROUP_CLOSED.into()) } else { Ok(()) }
}
