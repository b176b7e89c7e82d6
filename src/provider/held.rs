//! The reservations as this process knows them: an accelerator, so that a step does not read them all to change one.
//!
//! Every change of a row raises the store's version by exactly one, so after a commit of ours the copy is changed alike;
//! where it is not what the store has, for others changed something too, the versions differ, and all are read again.

use rpds::RedBlackTreeMapSync;

use super::port::{Commit, Reservation, Reservations};
use crate::domain::OrderId;

/// All reservations at one version. Cloning costs nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Held {
    version: u64,
    by_order: RedBlackTreeMapSync<OrderId, Reservation>,
}

impl From<Reservations> for Held {
    fn from(read: Reservations) -> Self {
        let by_order = read.held.into_iter().map(|held| (held.order.clone(), held)).collect();
        Self { version: read.version, by_order }
    }
}

impl Held {
    /// The store's version of them, which commits that reserve compare.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether something is reserved for an order.
    #[must_use]
    pub fn contains(&self, order: &OrderId) -> bool {
        self.by_order.contains_key(order)
    }

    /// In the order of their orders.
    pub fn iter(&self) -> impl Iterator<Item = &Reservation> {
        self.by_order.values()
    }

    /// Reserves, in this copy alone.
    pub fn reserve(&mut self, reservation: Reservation) {
        self.by_order.insert_mut(reservation.order.clone(), reservation);
    }

    /// Releases, in this copy alone.
    pub fn release(&mut self, order: &OrderId) {
        self.by_order.remove_mut(order);
    }

    /// What they are after a commit of ours, if nobody else changed them meanwhile.
    pub fn follow(&mut self, commit: &Commit) {
        let before = self.by_order.clone();
        for order in &commit.release {
            self.release(order);
        }
        for reservation in &commit.reserve {
            let made_at = self.by_order.get(&reservation.order).map(|held| held.made_at);
            let made_at = made_at.unwrap_or(reservation.made_at);
            self.reserve(Reservation { made_at, ..reservation.clone() });
        }
        for order in &commit.leased {
            self.change(order, |held| held.leased = true);
        }
        for (order, at) in &commit.applied {
            self.change(order, |held| held.applied_at = Some(*at));
        }
        // A reservation that is written as it was counts as changed.
        if !commit.reserve.is_empty() || self.by_order != before {
            self.version += 1;
        }
    }

    fn change(&mut self, order: &OrderId, change: impl FnOnce(&mut Reservation)) {
        if let Some(held) = self.by_order.get(order) {
            let mut held = held.clone();
            change(&mut held);
            self.reserve(held);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::bidengine::Placement;

    fn reservation(dseq: u64) -> Reservation {
        Reservation {
            order: format!("akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww/{dseq}/1/1")
                .parse()
                .unwrap(),
            placement: Placement::default(),
            reason: "bid".to_owned(),
            made_at: Timestamp::UNIX_EPOCH,
            look_at: Timestamp::MAX,
            leased: false,
            applied_at: None,
        }
    }

    #[test]
    fn a_change_raises_the_version_once_and_what_changes_nothing_does_not() {
        let one = reservation(1);
        let mut held = Held::from(Reservations { version: 7, held: vec![one.clone()] });
        held.follow(&Commit { leased: vec![one.order.clone()], ..Commit::default() });
        assert_eq!(held.version(), 8);
        held.follow(&Commit { leased: vec![one.order.clone()], ..Commit::default() });
        held.follow(&Commit { release: vec![reservation(2).order], ..Commit::default() });
        assert_eq!(held.version(), 8, "it was so already");
        held.follow(&Commit {
            release: vec![one.order.clone()],
            reserve: vec![reservation(3)],
            ..Commit::default()
        });
        assert_eq!((held.version(), held.contains(&one.order), held.iter().count()), (9, false, 1));
    }
}
