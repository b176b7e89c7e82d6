//! What is known of one node, and what follows from it: pure rules on what its answers said and how long they took.
//! Owns no call and no clock; [`super::nodes`] asks and tells.
//!
//! The one surprising fact: a node that is left aside is not forgotten. It is asked again when its back-off is over, and also
//! before that when every other node has failed: a bad node is better than none, as an answer from behind is refused anyway.

use jiff::{SignedDuration, Timestamp};

use crate::{
    domain::Height,
    provider::port::{ChainErrorKind, NodeFault, NodeHealth},
};

/// An answer that is so many blocks below the best that was seen does not stand for the present.
pub(super) const SLACK: u64 = 3;
/// A node that is further behind than this is left aside.
pub(super) const MAX_LAG: u64 = 10;
/// A node that was not heard of for so long is asked for its state beside a call.
pub(super) const STALE: SignedDuration = SignedDuration::from_secs(60);

/// The first back-off; it doubles up to [`MAX_BACK_OFF`].
const BACK_OFF: SignedDuration = SignedDuration::from_secs(1);
const MAX_BACK_OFF: SignedDuration = SignedDuration::from_secs(120);
/// A node that other nodes outran so often in a row is too slow.
const MAX_OUTRUN: u32 = 3;
/// What a node that was never asked is taken to need, in microseconds.
const UNKNOWN_LATENCY: u64 = 100_000;
/// Bounds of how long one node is waited for before a second is asked, in microseconds.
pub(super) const PATIENCE: std::ops::RangeInclusive<u64> = 100_000..=2_000_000;
/// Differences below this do not change which node is asked first, in microseconds.
const LATENCY_STEP: u64 = 20_000;
/// The chain makes no more than a block a second in the long run, and so many more at once are believed.
const AHEAD: u64 = 100;

/// The highest block that a node of the chain has answered for, as far as that is believed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Best {
    height: Height,
    at: Option<Timestamp>,
}

impl Best {
    pub(super) fn height(self) -> Height {
        self.height
    }

    /// Takes a height that a node answered for, unless the chain cannot have come so far meanwhile.
    pub(super) fn note(&mut self, height: Height, now: Timestamp) {
        let believed = self.at.is_none_or(|at| {
            let passed = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
            height.0 <= self.height.0.saturating_add(AHEAD).saturating_add(passed)
        });
        if believed && height > self.height {
            *self = Self { height, at: Some(now) };
        }
    }
}

/// A node that is asked only when its time has come, or no other answers.
#[derive(Debug, Clone)]
struct Aside {
    since: Timestamp,
    fault: NodeFault,
    until: Timestamp,
    wait: SignedDuration,
}

/// What is known of one node.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    /// Whether it said, and when, that it is on the wanted chain.
    verified_at: Option<Timestamp>,
    /// When it last answered anything.
    heard_at: Option<Timestamp>,
    /// When it was asked for its state beside a call.
    probed_at: Option<Timestamp>,
    height: Height,
    /// How far below the best it was when it answered.
    lag: u64,
    /// It could not answer for a height that was wanted, or others were quicker, and it has not said since how it is.
    doubted: bool,
    /// Microseconds, smoothed over about eight answers.
    latency: Option<u64>,
    /// How far answers are from that, smoothed alike.
    spread: u64,
    outrun: u32,
    calls: u64,
    failures: u64,
    last_error: Option<(Timestamp, String)>,
    aside: Option<Aside>,
}

impl Health {
    pub(super) fn is_verified(&self) -> bool {
        self.verified_at.is_some()
    }

    /// Whether it is left aside now.
    pub(super) fn is_aside(&self, now: Timestamp) -> bool {
        self.aside.as_ref().is_some_and(|aside| now < aside.until)
    }

    /// Whether it should be asked for its state: it is new, was not heard of for long, or its time aside is over.
    pub(super) fn wants_probe(&self, now: Timestamp) -> bool {
        let passed =
            |at: Option<Timestamp>, span| at.is_none_or(|at| now.duration_since(at) >= span);
        if self.is_aside(now) || !passed(self.probed_at, BACK_OFF) {
            return false;
        }
        let stale = passed(self.heard_at, STALE) || passed(self.verified_at, STALE);
        self.aside.is_some() || self.doubted || stale
    }

    /// A probe is on its way: no other call sends one too.
    pub(super) fn probe_begins(&mut self, now: Timestamp) {
        self.probed_at = Some(now);
        if let Some(aside) = &mut self.aside {
            aside.until = now.saturating_add(aside.wait).unwrap_or(Timestamp::MAX);
        }
    }

    /// The less, the earlier it is asked.
    pub(super) fn rank(&self, now: Timestamp) -> (bool, bool, bool, u64) {
        let latency = self.latency.map_or(UNKNOWN_LATENCY, |usual| usual + self.spread);
        let doubted = self.doubted || self.lag > SLACK;
        (self.is_aside(now), self.aside.is_some(), doubted, latency / LATENCY_STEP)
    }

    /// How long it is waited for before a second node is asked, in microseconds.
    pub(super) fn patience(&self) -> u64 {
        let usual = self.latency.unwrap_or(UNKNOWN_LATENCY).saturating_add(4 * self.spread);
        usual.clamp(*PATIENCE.start(), *PATIENCE.end())
    }

    /// It answered for the state after block `height`, or without one, in `took` microseconds, where that says something.
    pub(super) fn note_answer(
        &mut self,
        height: Option<Height>,
        took: Option<u64>,
        best: Height,
        now: Timestamp,
    ) {
        self.calls += 1;
        self.heard_at = Some(now);
        self.outrun = 0;
        self.doubted = false;
        if let Some(took) = took {
            self.note_latency(took);
        }
        if let Some(height) = height {
            self.height = height;
            self.lag = best.0.saturating_sub(height.0);
        }
        // An answer says nothing of the chain that it is of, and without a height nothing of how far the node is.
        let stays = match self.aside.as_ref().map(|aside| aside.fault) {
            Some(NodeFault::OtherChain | NodeFault::CatchingUp) => true,
            Some(NodeFault::Lagging) => height.is_none(),
            Some(NodeFault::Slow | NodeFault::NoAnswer) | None => false,
        };
        if height.is_some() && self.lag > MAX_LAG {
            self.set_aside(NodeFault::Lagging, now, 0);
        } else if !stays {
            self.aside = None;
        }
    }

    /// It said that it is on the wanted chain.
    pub(super) fn note_chain(&mut self, catching_up: bool, now: Timestamp) {
        self.verified_at = Some(now);
        let fault = self.aside.as_ref().map(|aside| aside.fault);
        if catching_up {
            self.set_aside(NodeFault::CatchingUp, now, 0);
        } else if matches!(fault, Some(NodeFault::OtherChain | NodeFault::CatchingUp)) {
            self.aside = None;
        }
    }

    /// It gave no answer of use. `noise` spreads the back-offs of several processes.
    pub(super) fn note_failure(
        &mut self,
        kind: ChainErrorKind,
        detail: &str,
        noise: u64,
        now: Timestamp,
    ) {
        self.calls += 1;
        let fault = match kind {
            // It understood: nothing is wrong with it.
            ChainErrorKind::Refused => {
                self.heard_at = Some(now);
                return;
            }
            // A block or two behind is usual; how far it really is, its state says.
            ChainErrorKind::Behind => {
                self.heard_at = Some(now);
                self.doubted = true;
                return;
            }
            ChainErrorKind::OtherChain => {
                self.verified_at = None;
                NodeFault::OtherChain
            }
            ChainErrorKind::Unavailable => NodeFault::NoAnswer,
        };
        self.failures += 1;
        self.last_error = Some((now, detail.to_owned()));
        self.set_aside(fault, now, noise);
    }

    /// Another node, asked later, answered earlier; this one was given up after `waited` microseconds.
    pub(super) fn note_outrun(&mut self, waited: u64, noise: u64, now: Timestamp) {
        self.calls += 1;
        self.outrun += 1;
        self.doubted = true;
        self.note_latency(waited.max(self.latency.unwrap_or(0)));
        if self.outrun >= MAX_OUTRUN {
            self.outrun = 0;
            self.set_aside(NodeFault::Slow, now, noise);
        }
    }

    fn note_latency(&mut self, took: u64) {
        let Some(usual) = self.latency else {
            self.latency = Some(took);
            self.spread = took / 2;
            return;
        };
        let away = usual.abs_diff(took);
        self.spread = (self.spread * 3 + away) / 4;
        self.latency = Some((usual * 7 + took) / 8);
    }

    fn set_aside(&mut self, fault: NodeFault, now: Timestamp, noise: u64) {
        let before = self.aside.take();
        let wait = match &before {
            // Several calls that failed together count once.
            Some(before) if now < before.until => before.wait,
            Some(before) => (before.wait * 2).min(MAX_BACK_OFF),
            None => BACK_OFF,
        };
        let spread = wait.as_millis() / 4 * i128::from(noise % 256) / 256;
        let pause = wait + SignedDuration::from_millis(i64::try_from(spread).unwrap_or(0));
        self.aside = Some(Aside {
            since: before.map_or(now, |before| before.since),
            fault,
            until: now.saturating_add(pause).unwrap_or(Timestamp::MAX),
            wait,
        });
    }

    /// What an operator is shown.
    pub(super) fn shown(&self, node: &str) -> NodeHealth {
        let (fault, since, until) = self.aside.as_ref().map_or((None, None, None), |aside| {
            (Some(aside.fault), Some(aside.since), Some(aside.until))
        });
        NodeHealth {
            node: node.to_owned(),
            fault,
            aside_since: since,
            asked_again_at: until,
            height: (self.height > Height(0)).then_some(self.height),
            lag: self.lag,
            heard_at: self.heard_at.filter(|_| self.calls > 0),
            latency_us: self.latency,
            calls: self.calls,
            failures: self.failures,
            last_error: self.last_error.as_ref().map(|(_, detail)| detail.clone()),
            failed_at: self.last_error.as_ref().map(|(at, _)| *at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn fail(health: &mut Health, second: i64) {
        health.note_failure(ChainErrorKind::Unavailable, "refused", 0, at(second));
    }

    #[test]
    fn a_node_that_fails_is_left_aside_for_longer_each_time_and_forgiven_at_once() {
        let mut health = Health::default();
        let mut waits = Vec::new();
        let mut now = 0;
        for _ in 0..9 {
            fail(&mut health, now);
            let until = health.shown("a").asked_again_at.unwrap();
            waits.push(until.duration_since(at(now)).as_secs());
            assert!(health.is_aside(at(now)));
            now += waits.last().unwrap();
            assert!(!health.is_aside(at(now)) && health.wants_probe(at(now)));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(health.shown("a").aside_since, Some(at(0)));
        health.note_answer(Some(Height(5)), Some(1_000), Height(5), at(now));
        assert_eq!(health.shown("a").fault, None);
        assert_eq!(health.shown("a").failures, 9);
    }

    #[test]
    fn calls_that_fail_together_count_once() {
        let mut health = Health::default();
        fail(&mut health, 0);
        fail(&mut health, 0);
        fail(&mut health, 0);
        assert_eq!(health.shown("a").asked_again_at, Some(at(1)));
    }

    #[test]
    fn a_node_far_below_the_best_is_left_aside_and_one_a_little_below_is_not() {
        let mut health = Health::default();
        health.note_answer(Some(Height(90)), Some(1_000), Height(100), at(0));
        assert_eq!(health.shown("a").fault, None);
        health.note_answer(Some(Height(89)), Some(1_000), Height(100), at(0));
        assert_eq!(health.shown("a").fault, Some(NodeFault::Lagging));
        assert_eq!(health.shown("a").lag, 11);
        health.note_answer(Some(Height(100)), Some(1_000), Height(100), at(9));
        assert_eq!(health.shown("a").fault, None);
    }

    #[test]
    fn an_answer_does_not_make_good_that_a_node_is_of_another_chain() {
        let mut health = Health::default();
        health.note_failure(ChainErrorKind::OtherChain, "akashnet-1", 0, at(0));
        health.note_answer(Some(Height(5)), Some(1_000), Height(5), at(0));
        assert_eq!(health.shown("a").fault, Some(NodeFault::OtherChain));
        assert!(!health.is_verified());
        health.note_chain(true, at(1));
        assert_eq!(health.shown("a").fault, Some(NodeFault::CatchingUp));
        health.note_answer(Some(Height(5)), Some(1_000), Height(5), at(1));
        assert_eq!(health.shown("a").fault, Some(NodeFault::CatchingUp));
        health.note_chain(false, at(2));
        assert_eq!(health.shown("a").fault, None);
    }

    #[test]
    fn a_node_that_others_outran_three_times_in_a_row_is_too_slow() {
        let mut health = Health::default();
        health.note_outrun(50_000, 0, at(0));
        health.note_outrun(50_000, 0, at(0));
        health.note_answer(None, Some(1_000), Height(0), at(0));
        health.note_outrun(50_000, 0, at(0));
        health.note_outrun(50_000, 0, at(0));
        assert_eq!(health.shown("a").fault, None);
        health.note_outrun(50_000, 0, at(0));
        assert_eq!(health.shown("a").fault, Some(NodeFault::Slow));
    }

    #[test]
    fn the_faster_node_is_asked_first_and_small_differences_do_not_matter() {
        let answered = |took| {
            let mut health = Health::default();
            health.note_answer(None, Some(took), Height(0), at(0));
            health
        };
        assert!(answered(10_000).rank(at(0)) == answered(11_000).rank(at(0)));
        assert!(answered(10_000).rank(at(0)) < answered(200_000).rank(at(0)));
        assert!(answered(10_000).rank(at(0)) < Health::default().rank(at(0)));
        let mut failed = answered(10_000);
        fail(&mut failed, 0);
        assert!(answered(200_000).rank(at(0)) < failed.rank(at(0)));
        assert!(PATIENCE.contains(&answered(u64::from(u32::MAX)).patience()));
    }

    #[test]
    fn a_height_that_the_chain_cannot_have_reached_is_not_the_best() {
        let mut best = Best::default();
        best.note(Height(1_000), at(0));
        best.note(Height(900_000), at(10));
        assert_eq!(best.height(), Height(1_000));
        best.note(Height(1_110), at(10));
        assert_eq!(best.height(), Height(1_110));
        best.note(Height(1_100), at(11));
        assert_eq!(best.height(), Height(1_110));
    }
}
