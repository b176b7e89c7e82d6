//! Orders, bids, leases, deployments, providers and parameters, as queries answer them.
//!
//! An overdrawn escrow account has a negative balance: no [`domain::Amount`] can be that, so its funds are `None`.

use jiff::Timestamp;

use super::{
    super::{
        audit, cert, deployment, escrow,
        field::{self, FieldError, InField, Inside},
        market, provider,
        text::to_hex,
    },
    resource::{read_attributes, read_list},
    seconds_down, seconds_up, state,
};
use crate::domain::{self, Amount, Height, Price};

/// The field of a lease's answer that its payment is in.
const PAYMENT: &str = "escrow_payment.state";

impl TryFrom<market::Order> for domain::Order {
    type Error = FieldError;

    fn try_from(order: market::Order) -> Result<Self, FieldError> {
        Ok(Self {
            id: order.id.try_into().inside("id")?,
            state: state(order.state, domain::OrderState::from_number(order.state))?,
            spec: order.spec.try_into().inside("spec")?,
            created_at: field::height("created_at", order.created_at)?,
            min_reclamation_window_s: order
                .reclamation
                .map(|reclamation| seconds_up(reclamation.min_window))
                .transpose()
                .in_field("reclamation.min_window")?,
        })
    }
}

impl TryFrom<market::Bid> for domain::Bid {
    type Error = FieldError;

    fn try_from(bid: market::Bid) -> Result<Self, FieldError> {
        Ok(Self {
            id: bid.id.try_into().inside("id")?,
            state: state(bid.state, domain::BidState::from_number(bid.state))?,
            price: bid.price.try_into().inside("price")?,
            created_at: field::height("created_at", bid.created_at)?,
            reclamation_window_s: bid
                .reclamation_window
                .map(seconds_up)
                .transpose()
                .in_field("reclamation_window")?,
        })
    }
}

impl TryFrom<market::Lease> for domain::Lease {
    type Error = FieldError;

    fn try_from(lease: market::Lease) -> Result<Self, FieldError> {
        let closed_on = field::height("closed_on", lease.closed_on)?;
        let reason = domain::CloseReason::from_number(lease.reason).ok_or_else(|| {
            FieldError::new("reason", format_args!("{} is not a known reason", lease.reason))
        })?;
        Ok(Self {
            id: lease.id.try_into().inside("id")?,
            state: state(lease.state, domain::LeaseState::from_number(lease.state))?,
            price: lease.price.try_into().inside("price")?,
            created_at: field::height("created_at", lease.created_at)?,
            closed_on: (closed_on != Height(0)).then_some(closed_on),
            reason,
            reclamation_window_s: lease
                .reclamation
                .as_ref()
                .map(|reclamation| seconds_up(reclamation.window))
                .transpose()
                .in_field("reclamation.window")?,
            reclaim_until: lease
                .reclamation
                .filter(|reclamation| reclamation.deadline > 0)
                .map(|reclamation| Timestamp::from_second(reclamation.deadline))
                .transpose()
                .map_err(|_| FieldError::new("reclamation.deadline", "is no time"))?,
        })
    }
}

impl TryFrom<deployment::Group> for domain::Group {
    type Error = FieldError;

    fn try_from(group: deployment::Group) -> Result<Self, FieldError> {
        Ok(Self {
            id: group.id.try_into().inside("id")?,
            state: state(group.state, domain::GroupState::from_number(group.state))?,
            spec: group.group_spec.try_into().inside("group_spec")?,
        })
    }
}

impl TryFrom<deployment::QueryDeploymentResponse> for domain::Deployment {
    type Error = FieldError;

    fn try_from(answer: deployment::QueryDeploymentResponse) -> Result<Self, FieldError> {
        let deployment = answer.deployment;
        let escrow = answer.escrow_account.state;
        let groups: Vec<domain::Group> = read_list("groups", answer.groups)?;
        field::hash(&deployment.hash).inside("deployment")?;
        Ok(Self {
            id: deployment.id.try_into().inside("deployment.id")?,
            state: state(deployment.state, domain::DeploymentState::from_number(deployment.state))
                .inside("deployment")?,
            hash: to_hex(&deployment.hash),
            created_at: field::height("created_at", deployment.created_at).inside("deployment")?,
            settled_at: field::height("settled_at", escrow.settled_at)
                .inside("escrow_account.state")?,
            funds: funds(&groups, escrow).inside("escrow_account.state")?,
            groups,
        })
    }
}

/// What is left in the denom that the groups are priced in; `None` when the account is overdrawn, or holds nothing at all
/// for groups without a price.
fn funds(
    groups: &[domain::Group],
    escrow: escrow::AccountState,
) -> Result<Option<Price>, FieldError> {
    if escrow.state() == escrow::State::Overdrawn {
        return Ok(None);
    }
    let priced = groups.iter().find_map(|group| group.spec.price()).map(|price| price.denom);
    let wanted = priced.as_ref().map(domain::Denom::as_str);
    let mut held = escrow.funds;
    let at = held.iter().position(|balance| Some(balance.denom.as_str()) == wanted);
    let Some(balance) = (!held.is_empty()).then(|| held.swap_remove(at.unwrap_or(0))) else {
        return Ok(priced.map(|denom| Price { denom, amount: Amount::ZERO }));
    };
    if balance.amount.starts_with('-') {
        return Ok(None);
    }
    Ok(Some(Price {
        denom: balance.denom.parse().in_field("funds.denom")?,
        amount: Amount::from_atoms_text(&balance.amount).in_field("funds.amount")?,
    }))
}

impl TryFrom<provider::Provider> for domain::Provider {
    type Error = FieldError;

    fn try_from(provider: provider::Provider) -> Result<Self, FieldError> {
        Ok(Self {
            owner: provider.owner.parse().in_field("owner")?,
            host_uri: provider.host_uri,
            attributes: read_attributes(provider.attributes),
            email: provider.info.email,
            website: provider.info.website,
        })
    }
}

impl TryFrom<market::QueryLeaseResponse> for domain::Payment {
    type Error = FieldError;

    fn try_from(answer: market::QueryLeaseResponse) -> Result<Self, FieldError> {
        let lease = answer.lease;
        let payment = answer.escrow_payment.state;
        Ok(Self {
            lease: lease.id.try_into().inside("lease.id")?,
            lease_state: state(lease.state, domain::LeaseState::from_number(lease.state))
                .inside("lease")?,
            state: state(payment.state, domain::PaymentState::from_number(payment.state))
                .inside(PAYMENT)?,
            rate: payment.rate.try_into().inside("rate").inside(PAYMENT)?,
            balance: payment.balance.try_into().inside("balance").inside(PAYMENT)?,
            unsettled: payment.unsettled.try_into().inside("unsettled").inside(PAYMENT)?,
            withdrawn: payment.withdrawn.try_into().inside("withdrawn").inside(PAYMENT)?,
        })
    }
}

impl TryFrom<cert::CertificateResponse> for domain::Certificate {
    type Error = FieldError;

    fn try_from(answer: cert::CertificateResponse) -> Result<Self, FieldError> {
        let certificate = answer.certificate;
        let text = |bytes: Vec<u8>, name: &str| {
            String::from_utf8(bytes).map_err(|_| FieldError::new(name, "is not text"))
        };
        Ok(Self {
            serial: answer.serial,
            state: state(
                certificate.state,
                domain::CertificateState::from_number(certificate.state),
            )
            .inside("certificate")?,
            certificate: text(certificate.cert, "cert").inside("certificate")?,
            public_key: text(certificate.pubkey, "pubkey").inside("certificate")?,
        })
    }
}

impl TryFrom<audit::AuditedProvider> for domain::AuditedAttributes {
    type Error = FieldError;

    fn try_from(record: audit::AuditedProvider) -> Result<Self, FieldError> {
        Ok(Self {
            auditor: record.auditor.parse().in_field("auditor")?,
            attributes: read_attributes(record.attributes),
        })
    }
}

impl TryFrom<market::Params> for domain::MarketParams {
    type Error = FieldError;

    fn try_from(params: market::Params) -> Result<Self, FieldError> {
        Ok(Self {
            bid_min_deposits: read_list("bid_min_deposits", params.bid_min_deposits)?,
            order_max_bids: params.order_max_bids,
            min_reclamation_window_s: seconds_up(params.min_reclamation_window)
                .in_field("min_reclamation_window")?,
            max_reclamation_window_s: seconds_down(params.max_reclamation_window)
                .in_field("max_reclamation_window")?,
        })
    }
}
