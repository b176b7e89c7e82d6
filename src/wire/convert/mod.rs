//! The chain's messages as the nouns of [`crate::domain`] and back. Owns no message and no noun.
//!
//! Reading (`TryFrom`) checks everything and names the field that is wrong; writing (`From`) cannot fail. Only what
//! survives the way there and back is written: a [`crate::domain::Bid`] does not keep its offer, so there is no way from
//! it to a message.

mod market;
mod resource;

use super::{
    cosmos, deployment,
    field::{self, FieldError, InField},
    google, market as wire,
};
use crate::domain::{self, Amount};

impl TryFrom<cosmos::Coin> for domain::Coin {
    type Error = FieldError;

    fn try_from(coin: cosmos::Coin) -> Result<Self, FieldError> {
        let amount = coin
            .amount
            .parse()
            .map_err(|_| FieldError::new("amount", "is not a whole number from 0 to 2¹²⁸ − 1"))?;
        Ok(Self { denom: coin.denom.parse().in_field("denom")?, amount })
    }
}

impl From<&domain::Coin> for cosmos::Coin {
    fn from(coin: &domain::Coin) -> Self {
        Self { denom: coin.denom.to_string(), amount: coin.amount.to_string() }
    }
}

impl TryFrom<cosmos::DecCoin> for domain::Price {
    type Error = FieldError;

    fn try_from(coin: cosmos::DecCoin) -> Result<Self, FieldError> {
        Ok(Self {
            denom: coin.denom.parse().in_field("denom")?,
            amount: Amount::from_atoms_text(&coin.amount).in_field("amount")?,
        })
    }
}

impl From<&domain::Price> for cosmos::DecCoin {
    fn from(price: &domain::Price) -> Self {
        Self { denom: price.denom.to_string(), amount: price.amount.to_atoms_text() }
    }
}

/// Ids: the message, the noun, the function that checks, and the fields.
macro_rules! ids {
    ($($message:ty => $noun:ty: |$id:ident| $read:expr, $write:expr;)*) => {$(
        impl TryFrom<$message> for $noun {
            type Error = FieldError;

            fn try_from($id: $message) -> Result<Self, FieldError> {
                $read
            }
        }

        impl From<&$noun> for $message {
            fn from($id: &$noun) -> Self {
                $write
            }
        }
    )*};
}

ids! {
    deployment::DeploymentId => domain::DeploymentId:
        |id| field::deployment_id(&id.owner, id.dseq),
        Self { owner: id.owner.to_string(), dseq: id.dseq };
    deployment::GroupId => domain::GroupId:
        |id| field::group_id(&id.owner, id.dseq, id.gseq),
        Self { owner: id.deployment.owner.to_string(), dseq: id.deployment.dseq, gseq: id.gseq };
    wire::OrderId => domain::OrderId:
        |id| field::order_id(&id.owner, id.dseq, id.gseq, id.oseq),
        Self {
            owner: id.owner().to_string(), dseq: id.dseq(), gseq: id.gseq(), oseq: id.oseq,
        };
    wire::BidId => domain::BidId:
        |id| field::order_id(&id.owner, id.dseq, id.gseq, id.oseq)
            .and_then(|order| field::bid_id(order, &id.provider, id.bseq)),
        {
            let wire::OrderId { owner, dseq, gseq, oseq } = (&id.order).into();
            Self { owner, dseq, gseq, oseq, provider: id.provider.to_string(), bseq: 0 }
        };
    wire::LeaseId => domain::LeaseId:
        |id| field::order_id(&id.owner, id.dseq, id.gseq, id.oseq)
            .and_then(|order| field::bid_id(order, &id.provider, id.bseq))
            .map(|bid| bid.lease()),
        {
            let wire::OrderId { owner, dseq, gseq, oseq } = (&id.order).into();
            Self { owner, dseq, gseq, oseq, provider: id.provider.to_string(), bseq: 0 }
        };
}

/// A span in whole seconds, a started one counted: right for the least that is asked for.
fn seconds_up(span: google::Duration) -> Result<u64, &'static str> {
    let whole = seconds_down(span)?;
    whole.checked_add(u64::from(span.nanos > 0)).ok_or("is too long")
}

/// A span in whole seconds, a started one dropped: right for the most that is allowed.
fn seconds_down(span: google::Duration) -> Result<u64, &'static str> {
    if span.nanos < 0 {
        return Err("is negative");
    }
    u64::try_from(span.seconds).map_err(|_| "is negative")
}

/// The span of that many seconds.
pub(super) fn span(seconds: u64) -> google::Duration {
    google::Duration::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The state of a number, or an error that shows the number.
fn state<T>(number: i32, known: Option<T>) -> Result<T, FieldError> {
    known.ok_or_else(|| FieldError::new("state", format_args!("{number} is not a known state")))
}
