//! The messages that the ledger carries out. Owns which there are, who signs each, and which module answers; a type
//! that is not here is refused as the chain refuses one that it does not know.

use super::{
    escrow,
    execution::Execution,
    refusal::{Refusal, market, provider, sdk},
    state::EscrowId,
    text,
};
use crate::{
    devnet::{genesis::Params, node::journal::MessageLine},
    domain::{Address, BidId, DeploymentId},
    wire::{
        audit, authz, cert, cosmos, deployment, escrow as escrow_wire, google::Any,
        market as wire_market, provider as wire_provider, tx::Tx,
    },
};

macro_rules! messages {
    ($($name:ident($type:ty), $module:literal, $message:ident => $signer:expr;)*) => {
        /// A decoded message.
        #[derive(Debug, Clone)]
        pub(super) enum Message { $($name($type),)* }

        impl Message {
            /// Decodes a packed message.
            pub(super) fn decode(packed: &Any) -> Result<Self, Refusal> {
                $(if packed.is::<$type>() {
                    return packed
                        .unpack::<$type>()
                        .map(Self::$name)
                        .map_err(|error| sdk::TX_DECODE.because(error));
                })*
                let url: String = packed.type_url.chars().take(128).collect();
                Err(sdk::TX_DECODE.because(format_args!("unable to resolve type URL {url}")))
            }

            /// The account that must sign, as the message gives it.
            pub(super) fn signer(&self) -> &str {
                match self { $(Self::$name($message) => &$signer,)* }
            }

            /// The name under which it is packed.
            pub(super) fn type_url(&self) -> String {
                match self { $(Self::$name(_) => <$type as prost::Name>::type_url(),)* }
            }

            /// The module that answers.
            pub(super) fn module(&self) -> &'static str {
                match self { $(Self::$name(_) => $module,)* }
            }
        }
    };
}

messages! {
    CreateDeployment(deployment::MsgCreateDeployment), "deployment", m => m.id.owner;
    UpdateDeployment(deployment::MsgUpdateDeployment), "deployment", m => m.id.owner;
    CloseDeployment(deployment::MsgCloseDeployment), "deployment", m => m.id.owner;
    CloseGroup(deployment::MsgCloseGroup), "deployment", m => m.id.owner;
    PauseGroup(deployment::MsgPauseGroup), "deployment", m => m.id.owner;
    StartGroup(deployment::MsgStartGroup), "deployment", m => m.id.owner;
    CreateBid(wire_market::MsgCreateBid), "market", m => m.id.provider;
    CloseBid(wire_market::MsgCloseBid), "market", m => m.id.provider;
    CreateLease(wire_market::MsgCreateLease), "market", m => m.bid_id.owner;
    CloseLease(wire_market::MsgCloseLease), "market", m => m.id.owner;
    WithdrawLease(wire_market::MsgWithdrawLease), "market", m => m.id.provider;
    StartReclaim(wire_market::MsgLeaseStartReclaim), "market", m => m.id.provider;
    AccountDeposit(escrow_wire::MsgAccountDeposit), "escrow", m => m.signer;
    CreateProvider(wire_provider::MsgCreateProvider), "provider", m => m.owner;
    UpdateProvider(wire_provider::MsgUpdateProvider), "provider", m => m.owner;
    DeleteProvider(wire_provider::MsgDeleteProvider), "provider", m => m.owner;
    SignAttributes(audit::MsgSignProviderAttributes), "audit", m => m.auditor;
    DeleteAttributes(audit::MsgDeleteProviderAttributes), "audit", m => m.auditor;
    CreateCertificate(cert::MsgCreateCertificate), "cert", m => m.owner;
    RevokeCertificate(cert::MsgRevokeCertificate), "cert", m => m.id.owner;
    Grant(authz::MsgGrant), "authz", m => m.granter;
    RevokeGrant(authz::MsgRevoke), "authz", m => m.granter;
    Send(cosmos::MsgSend), "bank", m => m.from_address;
}

impl Message {
    /// Carries it out.
    pub(super) fn execute(self, on: &mut Execution<'_>, params: &Params) -> Result<(), Refusal> {
        match self {
            Self::CreateDeployment(message) => {
                on.create_deployment(message, &params.deployment().min_deposits)
            }
            Self::UpdateDeployment(message) => on.update_deployment(message),
            Self::CloseDeployment(message) => on.close_deployment(&message),
            Self::CloseGroup(message) => on.close_group(&message),
            Self::PauseGroup(message) => on.pause_group(&message),
            Self::StartGroup(message) => on.start_group(&message),
            Self::CreateBid(message) => on.create_bid(message, &params.market()),
            Self::CloseBid(message) => on.close_bid(&message),
            Self::CreateLease(message) => on.create_lease(&message),
            Self::CloseLease(message) => on.close_lease(&message),
            Self::WithdrawLease(message) => on.withdraw_lease(&message),
            Self::StartReclaim(message) => on.start_reclaim(&message),
            Self::AccountDeposit(message) => account_deposit(on, &message),
            Self::CreateProvider(message) => on.create_provider(message),
            Self::UpdateProvider(message) => on.update_provider(message),
            Self::DeleteProvider(_) => Err(provider::INTERNAL.because("NOTIMPLEMENTED")),
            Self::SignAttributes(message) => on.sign_attributes(message),
            Self::DeleteAttributes(message) => on.delete_attributes(&message),
            Self::CreateCertificate(message) => on.create_certificate(message),
            Self::RevokeCertificate(message) => on.revoke_certificate(&message),
            Self::Grant(message) => on.grant(&message),
            Self::RevokeGrant(message) => on.revoke(&message),
            Self::Send(message) => send(on, &message),
        }
    }
}

fn account_deposit(
    on: &mut Execution<'_>,
    message: &escrow_wire::MsgAccountDeposit,
) -> Result<(), Refusal> {
    let signer = text::address(&message.signer)?;
    let id = escrow_id(&message.id)?;
    let covered = on.cover(&signer, &message.deposit)?;
    on.deposit(&id, &covered)
}

/// The account that a message names.
pub(super) fn escrow_id(id: &escrow_wire::AccountId) -> Result<EscrowId, Refusal> {
    let parsed = match id.scope() {
        escrow_wire::Scope::Deployment => {
            id.xid.parse::<DeploymentId>().ok().map(EscrowId::Deployment)
        }
        escrow_wire::Scope::Bid => id.xid.parse::<BidId>().ok().map(EscrowId::Bid),
        escrow_wire::Scope::Invalid => None,
    };
    parsed.ok_or_else(|| market::ESCROW_ID.because(format_args!("{:?}", id.xid)))
}

fn send(on: &mut Execution<'_>, message: &cosmos::MsgSend) -> Result<(), Refusal> {
    let from: Address = text::address(&message.from_address)?;
    let to: Address = text::address(&message.to_address)?;
    let mut coins = Vec::new();
    for coin in &message.amount {
        coins.push((coin.denom.clone(), escrow::units(coin)?));
    }
    on.transfer_all(&from, &to, &coins)
}

/// What a transaction asks for, for the journal; nothing when it does not decode.
pub(in crate::devnet) fn describe(bytes: &[u8]) -> Vec<MessageLine> {
    let Ok(tx) = Tx::decode(bytes) else { return Vec::new() };
    let messages = tx.body.messages.iter().filter_map(|packed| Message::decode(packed).ok());
    messages
        .map(|message| MessageLine {
            type_url: message.type_url(),
            subject: message.subject(),
            signer: message.signer().to_owned(),
        })
        .collect()
}

impl Message {
    /// The id of what the message is about.
    fn subject(&self) -> String {
        let deployment = |id: &deployment::DeploymentId| format!("{}/{}", id.owner, id.dseq);
        let group = |id: &deployment::GroupId| format!("{}/{}/{}", id.owner, id.dseq, id.gseq);
        let bid = |id: &wire_market::BidId| {
            format!("{}/{}/{}/{}/{}", id.owner, id.dseq, id.gseq, id.oseq, id.provider)
        };
        let lease = |id: &wire_market::LeaseId| {
            format!("{}/{}/{}/{}/{}", id.owner, id.dseq, id.gseq, id.oseq, id.provider)
        };
        match self {
            Self::CreateDeployment(message) => deployment(&message.id),
            Self::UpdateDeployment(message) => deployment(&message.id),
            Self::CloseDeployment(message) => deployment(&message.id),
            Self::CloseGroup(message) => group(&message.id),
            Self::PauseGroup(message) => group(&message.id),
            Self::StartGroup(message) => group(&message.id),
            Self::CreateBid(message) => bid(&message.id),
            Self::CloseBid(message) => bid(&message.id),
            Self::CreateLease(message) => bid(&message.bid_id),
            Self::CloseLease(message) => lease(&message.id),
            Self::WithdrawLease(message) => lease(&message.id),
            Self::StartReclaim(message) => lease(&message.id),
            Self::AccountDeposit(message) => message.id.xid.clone(),
            Self::CreateProvider(message) => message.owner.clone(),
            Self::UpdateProvider(message) => message.owner.clone(),
            Self::DeleteProvider(message) => message.owner.clone(),
            Self::SignAttributes(message) => message.owner.clone(),
            Self::DeleteAttributes(message) => message.owner.clone(),
            Self::CreateCertificate(message) => message.owner.clone(),
            Self::RevokeCertificate(message) => {
                format!("{}/{}", message.id.owner, message.id.serial)
            }
            Self::Grant(message) => message.grantee.clone(),
            Self::RevokeGrant(message) => message.grantee.clone(),
            Self::Send(message) => message.to_address.clone(),
        }
    }
}
