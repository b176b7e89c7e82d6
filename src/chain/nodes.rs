//! Several nodes of one chain as one: the ports [`Chain`] and [`Indexer`] over whichever of them answers best. Owns the choice of
//! the node, what is known of each ([`super::health`]), and that no answer comes from a wrong chain or from behind.
//!
//! Nothing runs beside the calls: what is known of a node comes from its answers, a second node is asked when the first is
//! slower than it usually is, and a node that was not heard of for long is asked for its state while a call is answered by
//! another. So a process that was just started knows enough after its first call.
//!
//! The one surprising fact: a node's answer to a query does not say which chain it is of. So a node that is not known yet is
//! asked for its state together with the first query, and the answer counts only when both are right.

mod forward;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    health::{Best, Health, PATIENCE, SLACK},
    node::shorten,
};
use crate::{
    domain::Height,
    provider::port::{Chain, ChainError, ChainErrorKind, Clock, Entropy, Indexer, NodeHealth, Tip},
};

/// A node may be asked for its state for so long.
const PROBE: Duration = Duration::from_secs(5);

/// What one node of several must do.
pub trait Endpoint: Chain + Indexer {}

impl<T: Chain + Indexer> Endpoint for T {}

/// Several nodes of one chain.
#[derive(Clone)]
pub struct Nodes(Arc<Shared>);

struct Shared {
    members: Vec<Member>,
    best: Mutex<Best>,
    /// The member that simulates and takes transactions, as long as nothing is wrong with it: only the node that has a
    /// transaction in its mempool can simulate the one after it.
    writer: AtomicUsize,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

struct Member {
    name: String,
    node: Arc<dyn Endpoint>,
    health: Mutex<Health>,
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.members.iter().map(|member| &member.name)).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Member {
    fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }
}

/// What one node is asked, as a future that borrows what it needs.
type Asked<'a, T> = BoxFuture<'a, Result<T, ChainError>>;

/// When a second node is asked although the first one may still answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hedge {
    /// When the first is slower than it usually is.
    Soon,
    /// When the first has taken as long as any node may: what it answers depends on what it was asked before.
    Late,
    /// Never: how long it takes depends on the question.
    Never,
}

impl Hedge {
    fn patience(self, health: &Health) -> Duration {
        let micros = if self == Self::Soon { health.patience() } else { *PATIENCE.end() };
        Duration::from_micros(micros)
    }
}

/// What an answer to a question is worth.
struct Worth<T> {
    /// The least height that the caller takes.
    at_least: Height,
    /// The state that an answer is of.
    height: fn(&T) -> Option<Height>,
    /// Whether an answer settles it. Another one is kept for the case that no node knows better.
    settles: fn(&T) -> bool,
    /// When a second node is asked although the first one may still answer.
    hedge: Hedge,
    /// Whether a node that gave no answer may have done what it was asked to.
    lasting: bool,
}

impl Nodes {
    /// One chain out of `nodes`, each with the name under which it is shown: the first is asked first until others prove
    /// faster. Every node must refuse to answer for another chain ([`super::NodeSettings::on_chain`]) when there are several.
    #[must_use]
    pub fn new(
        nodes: Vec<(String, Arc<dyn Endpoint>)>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let members = nodes
            .into_iter()
            .map(|(name, node)| Member { name, node, health: Mutex::default() })
            .collect();
        Self(Arc::new(Shared {
            members,
            best: Mutex::default(),
            writer: AtomicUsize::new(0),
            clock,
            entropy,
        }))
    }

    /// What is known of each node, in the order of the settings.
    #[must_use]
    pub fn health(&self) -> Vec<NodeHealth> {
        let members = self.0.members.iter();
        members.map(|member| member.health().shown(&member.name)).collect()
    }

    /// The members, the best first.
    fn order(&self) -> Vec<usize> {
        let now = self.0.clock.now();
        let mut order: Vec<usize> = (0..self.0.members.len()).collect();
        order.sort_by_key(|&at| (self.0.members[at].health().rank(now), at));
        order
    }

    /// The members, the one that takes transactions first.
    fn order_to_write(&self) -> Vec<usize> {
        let mut order = self.order();
        let now = self.0.clock.now();
        let writer = self.0.writer.load(Ordering::Relaxed);
        if let Some(at) = order.iter().position(|&member| member == writer)
            && !self.0.members[writer].health().is_aside(now)
        {
            order[..=at].rotate_right(1);
        }
        order
    }

    /// Asks the members in this order, the next one when one fails or takes longer than it usually does, until one settles
    /// it. Says which one did.
    async fn race<'a, F, T>(
        &'a self,
        order: Vec<usize>,
        worth: Worth<T>,
        ask: F,
    ) -> Result<(T, usize), ChainError>
    where
        F: Fn(&'a dyn Endpoint, Height) -> Asked<'a, T> + Send + Sync,
        T: Send,
    {
        let shared = &*self.0;
        shared.probe_others(&self.0, &order);
        let mut waiting = order.into_iter().peekable();
        let mut running = FuturesUnordered::new();
        let mut begun: Vec<(usize, Instant)> = Vec::new();
        let mut kept = None;
        let mut errors: Vec<(usize, ChainError)> = Vec::new();
        let mut patience = Duration::ZERO;
        let mut begins = true;
        loop {
            if begins && let Some(at) = waiting.next() {
                patience = worth.hedge.patience(&shared.members[at].health());
                let began = Instant::now();
                begun.push((at, began));
                let asked = shared.ask(at, worth.at_least, &ask);
                running.push(async move { (at, began, asked.await) });
            }
            begins = true;
            tokio::select! {
                biased;
                Some((at, began, answer)) = running.next() => {
                    begun.retain(|(member, _)| *member != at);
                    match shared.note(at, began, answer, &worth) {
                        Ok(answer) if (worth.settles)(&answer) => {
                            shared.note_outrun(&begun);
                            return Ok((answer, at));
                        }
                        Ok(answer) => kept = kept.or(Some((answer, at))),
                        Err(error) if error.kind == ChainErrorKind::Refused => return Err(error),
                        Err(error) => errors.push((at, error)),
                    }
                }
                () = tokio::time::sleep(patience), if shared.hedges(worth.hedge, waiting.peek()) => {}
                else => break,
            }
        }
        match kept {
            Some(kept) if errors.is_empty() || !worth.lasting => Ok(kept),
            _ => Err(shared.failed(&errors)),
        }
    }
}

impl Shared {
    /// Whether the next member is asked although the ones before may still answer. One that is left aside is asked only when
    /// they have failed.
    fn hedges(&self, hedge: Hedge, next: Option<&usize>) -> bool {
        let now = self.clock.now();
        hedge != Hedge::Never && next.is_some_and(|&at| !self.members[at].health().is_aside(now))
    }

    fn is_single(&self) -> bool {
        self.members.len() == 1
    }

    /// The least height that an answer may be of: what the caller knows of, and about what other nodes have answered for.
    fn floor(&self, at_least: Height) -> Height {
        if self.is_single() {
            return at_least;
        }
        let best = lock(&self.best).height();
        at_least.max(Height(best.0.saturating_sub(SLACK)))
    }

    /// Asks one member, and for its chain too when that is not known.
    async fn ask<'a, F, T>(&'a self, at: usize, at_least: Height, ask: &F) -> Result<T, ChainError>
    where
        F: Fn(&'a dyn Endpoint, Height) -> Asked<'a, T> + Send + Sync,
        T: Send,
    {
        let member = &self.members[at];
        let asked = ask(&*member.node, self.floor(at_least));
        if self.is_single() {
            return asked.await;
        }
        if member.health().is_verified() {
            let answer = asked.await?;
            // It may have been found to be of another chain while it was asked.
            if member.health().is_verified() {
                return Ok(answer);
            }
            let detail = "the node is on another chain".to_owned();
            return Err(ChainError {
                doing: "ask a node",
                detail,
                kind: ChainErrorKind::OtherChain,
            });
        }
        let (tip, answer) = tokio::join!(member.node.tip(), asked);
        self.note_tip(at, &tip?);
        answer
    }

    fn note<T>(
        &self,
        at: usize,
        began: Instant,
        answer: Result<T, ChainError>,
        worth: &Worth<T>,
    ) -> Result<T, ChainError> {
        let now = self.clock.now();
        let member = &self.members[at];
        match &answer {
            Ok(answer) => {
                let height = (worth.height)(answer);
                let best = self.note_height(height, now);
                let took = (worth.hedge == Hedge::Soon).then(|| micros(began.elapsed()));
                member.health().note_answer(height, took, best, now);
            }
            Err(error) => {
                let noise = self.entropy.bits();
                member.health().note_failure(error.kind, &error.to_string(), noise, now);
            }
        }
        answer
    }

    fn note_height(&self, height: Option<Height>, now: Timestamp) -> Height {
        let mut best = lock(&self.best);
        if let Some(height) = height {
            best.note(height, now);
        }
        best.height()
    }

    fn note_tip(&self, at: usize, tip: &Tip) {
        let now = self.clock.now();
        let best = self.note_height(Some(tip.height), now);
        let mut health = self.members[at].health();
        health.note_answer(Some(tip.height), None, best, now);
        health.note_chain(tip.catching_up, now);
    }

    fn note_outrun(&self, begun: &[(usize, Instant)]) {
        let now = self.clock.now();
        for (at, began) in begun {
            let waited = micros(began.elapsed());
            self.members[*at].health().note_outrun(waited, self.entropy.bits(), now);
        }
    }

    /// Asks members for their state when it is time to, beside what the call asks. One that is asked first and not known yet
    /// is asked for its state anyway.
    fn probe_others(&self, shared: &Arc<Self>, order: &[usize]) {
        if self.is_single() {
            return;
        }
        let now = self.clock.now();
        for (position, &at) in order.iter().enumerate() {
            let mut health = self.members[at].health();
            if health.wants_probe(now) && (position > 0 || health.is_verified()) {
                health.probe_begins(now);
                tokio::spawn(Arc::clone(shared).probe(at));
            }
        }
    }

    async fn probe(self: Arc<Self>, at: usize) {
        let answer = tokio::time::timeout(PROBE, self.members[at].node.tip()).await;
        let now = self.clock.now();
        let (kind, detail) = match answer {
            Ok(Ok(tip)) => return self.note_tip(at, &tip),
            Ok(Err(error)) => (error.kind, error.to_string()),
            Err(_) => (ChainErrorKind::Unavailable, format!("no answer within {PROBE:?}")),
        };
        self.members[at].health().note_failure(kind, &detail, self.entropy.bits(), now);
    }

    /// One error for what every member said.
    fn failed(&self, errors: &[(usize, ChainError)]) -> ChainError {
        let kinds = [ChainErrorKind::Behind, ChainErrorKind::Unavailable];
        let kind = kinds.into_iter().find(|kind| errors.iter().any(|(_, e)| e.kind == *kind));
        let doing = errors.first().map_or("ask a node", |(_, error)| error.doing);
        let detail = match errors {
            [(_, only)] => only.detail.clone(),
            several => several
                .iter()
                .map(|(at, error)| format!("{}: {}", self.members[*at].name, error.detail))
                .collect::<Vec<_>>()
                .join("; "),
        };
        let kind = kind.unwrap_or(if errors.is_empty() {
            ChainErrorKind::Unavailable
        } else {
            ChainErrorKind::OtherChain
        });
        ChainError { doing, detail: shorten(&detail), kind }
    }
}
