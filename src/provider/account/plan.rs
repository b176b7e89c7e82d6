//! Which wanted messages may be signed now, and which go into one transaction; pure.
//!
//! The one surprising fact: the chain can settle a deployment's escrow account once in a block. Of two withdrawals the
//! second fails and its fee is gone; of two closes the second leaves its payment open, which goes on earning. So a message that
//! settles waits while another one of the same deployment is under way.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    domain::DeploymentId,
    provider::{
        intent::{ChainIntent, settled_by},
        port::Effect,
    },
};

/// A wanted message.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) effect: Effect,
    pub(super) intent: ChainIntent,
}

/// What is wanted, sorted.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// May be signed now, in the order of priority.
    pub(super) ready: Vec<Wanted>,
    /// Whether something waits for what is under way.
    pub(super) waits: bool,
    /// What the rows want and nobody can read: key and reason.
    pub(super) unreadable: Vec<(String, String)>,
}

/// Sorts what is wanted, while transactions hold the effects `held`.
pub(super) fn sort<'a>(wanted: Vec<Effect>, held: impl Iterator<Item = &'a str>) -> Sorted {
    let mut settling: BTreeSet<DeploymentId> = held.filter_map(settled_by).collect();
    let mut sorted = Sorted::default();
    for effect in wanted {
        match ChainIntent::deserialize(&effect.body) {
            Err(error) => sorted.unreadable.push((effect.key, error.to_string())),
            Ok(intent) => {
                let first = intent.settles().is_none_or(|id| settling.insert(id.clone()));
                if first {
                    sorted.ready.push(Wanted { effect, intent });
                } else {
                    sorted.waits = true;
                }
            }
        }
    }
    sorted
}

/// Puts messages of one kind into one transaction, at most `most`; whatever failed before goes alone, since a transaction is
/// all or nothing.
pub(super) fn together<T>(
    messages: Vec<T>,
    most: usize,
    of: impl Fn(&T) -> &Wanted,
) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    for message in messages {
        let wanted = of(&message);
        let fits = groups.iter_mut().find(|group| {
            let last = of(&group[group.len() - 1]);
            group.len() < most
                && wanted.effect.attempts == 0
                && last.effect.attempts == 0
                && last.intent.kind() == wanted.intent.kind()
        });
        match fits {
            Some(group) => group.push(message),
            None => groups.push(vec![message]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        domain::{Address, BidId, BidState, CloseReason, LeaseId},
        provider::{
            intent,
            port::{EffectKind, EffectState, Subject},
        },
    };

    fn lease(dseq: u64, gseq: u32) -> LeaseId {
        let address = Address::from_bytes(&[1; 20]).unwrap();
        format!("{address}/{dseq}/{gseq}/1/{address}").parse().unwrap()
    }

    fn bid(lease: &LeaseId) -> BidId {
        lease.bid()
    }

    fn effect(key: String, intent: &ChainIntent, attempts: u32) -> Effect {
        Effect {
            key,
            subject: Subject::Provider,
            kind: EffectKind::Chain,
            body: serde_json::to_value(intent).unwrap(),
            state: EffectState::Wanted,
            attempts,
            paid: 0,
            last_error: None,
            wanted_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn withdraw(lease: &LeaseId) -> Effect {
        let key = intent::withdraw_key(lease, 0);
        effect(key, &ChainIntent::Withdraw { lease: lease.clone() }, 0)
    }

    fn close(lease: &LeaseId, only_if: BidState, attempts: u32) -> Effect {
        let reason = CloseReason::ManifestTimeout;
        let intent = ChainIntent::CloseBid { bid: bid(lease), reason, only_if };
        effect(intent::close_bid_key(&bid(lease), 0), &intent, attempts)
    }

    fn keys(sorted: &Sorted) -> Vec<&str> {
        sorted.ready.iter().map(|wanted| wanted.effect.key.as_str()).collect()
    }

    #[test]
    fn a_deployment_is_settled_by_one_message_at_a_time() {
        let (first, second, other) = (lease(7, 1), lease(7, 2), lease(8, 1));
        let wanted = vec![withdraw(&first), withdraw(&second), withdraw(&other)];
        let sorted = sort(wanted, std::iter::empty());
        assert!(sorted.waits);
        assert_eq!(
            keys(&sorted),
            [intent::withdraw_key(&first, 0), intent::withdraw_key(&other, 0)]
        );
    }

    #[test]
    fn a_close_waits_for_a_withdrawal_that_is_under_way_and_taking_back_a_bid_does_not() {
        let (first, second) = (lease(7, 1), lease(7, 2));
        let held = intent::withdraw_key(&first, 3);
        let wanted = vec![close(&first, BidState::Active, 0), close(&second, BidState::Open, 0)];
        let sorted = sort(wanted, std::iter::once(held.as_str()));
        assert!(sorted.waits);
        assert_eq!(keys(&sorted), [intent::close_bid_key(&bid(&second), 0)]);
    }

    #[test]
    fn messages_of_one_kind_go_together_and_what_failed_before_goes_alone() {
        let wanted = vec![
            close(&lease(1, 1), BidState::Open, 0),
            withdraw(&lease(2, 1)),
            close(&lease(3, 1), BidState::Open, 1),
            close(&lease(4, 1), BidState::Open, 0),
            close(&lease(5, 1), BidState::Open, 0),
        ];
        let sorted = sort(wanted, std::iter::empty());
        let groups = together(sorted.ready, 2, |wanted| wanted);
        let dseqs: Vec<Vec<u64>> = groups
            .iter()
            .map(|group| {
                let of = |wanted: &Wanted| match &wanted.intent {
                    ChainIntent::CloseBid { bid, .. } => bid.order.deployment().dseq,
                    ChainIntent::Withdraw { lease } => lease.order.deployment().dseq,
                    other => panic!("{other:?}"),
                };
                group.iter().map(of).collect()
            })
            .collect();
        assert_eq!(dseqs, [vec![1, 4], vec![2], vec![3], vec![5]]);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_named_and_holds_nobody_up() {
        let mut odd = withdraw(&lease(7, 1));
        odd.body = serde_json::json!({"message": "mint"});
        let sorted = sort(vec![odd, withdraw(&lease(7, 1))], std::iter::empty());
        assert_eq!(sorted.unreadable.len(), 1);
        assert_eq!(sorted.ready.len(), 1);
    }
}
