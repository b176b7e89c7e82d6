//! What live streams send: the body of each panel's route, made anew only when its rows changed, once for all readers.
//!
//! Every look reads one row of counts. A panel is made again when a count that it depends on has moved, or when it is older than
//! what the clock alone may change of it. Each body has a digest; a reader's position in the stream is the digests that it
//! was sent, so that it can be resumed at any process, after any restart.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, Semaphore};

use super::State;
use crate::provider::{
    Error,
    port::{Changes, OrderFilter, Topic},
    views::{self, FunnelWindow, LeaseFilter, Page},
};

/// The most live streams of one process.
const MAX_READERS: usize = 64;
/// How long a look may take: a store that hangs must not make the streams silent.
const PATIENCE: Duration = Duration::from_secs(5);
/// Items of a list, as its route has them when no limit is given.
const ITEMS: u32 = 100;
/// Bytes of a digest. Two bodies of one panel that follow each other differ in it but once in 2⁴⁸.
const DIGEST_BYTES: usize = 6;
/// Characters of a digest in an id.
const DIGEST_CHARS: usize = 8;

/// One thing that a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Panel {
    Overview,
    Streams,
    FunnelHour,
    FunnelDay,
    Orders,
    Leases,
    Inventory,
    Deadlines,
    Stuck,
    Maintenance,
    /// The overview without what is the operator's; no stream has it.
    Public,
}

impl Panel {
    /// What a stream has.
    pub(super) const ALL: [Self; 10] = [
        Self::Overview,
        Self::Streams,
        Self::FunnelHour,
        Self::FunnelDay,
        Self::Orders,
        Self::Leases,
        Self::Inventory,
        Self::Deadlines,
        Self::Stuck,
        Self::Maintenance,
    ];

    /// The name of its events.
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::Overview | Self::Public => "overview",
            Self::Streams => "streams",
            Self::FunnelHour | Self::FunnelDay => "funnel",
            Self::Orders => "orders",
            Self::Leases => "leases",
            Self::Inventory => "inventory",
            Self::Deadlines => "deadlines",
            Self::Stuck => "stuck",
            Self::Maintenance => "maintenance",
        }
    }

    /// The rows that it is made of.
    const fn topics(self) -> &'static [Topic] {
        match self {
            Self::Overview | Self::Public => {
                &[Topic::Tip, Topic::Maintenance, Topic::Streams, Topic::Orders]
            }
            Self::Streams => &[Topic::Streams, Topic::Tip],
            Self::FunnelHour | Self::FunnelDay | Self::Orders | Self::Leases => &[Topic::Orders],
            Self::Inventory => &[Topic::Inventory, Topic::Capacity],
            Self::Deadlines => &[Topic::Deadlines],
            // No count is kept of steps that fail.
            Self::Stuck => &[],
            Self::Maintenance => &[Topic::Maintenance],
        }
    }

    /// After so long the clock may have changed it although no row did.
    const fn lasts(self) -> SignedDuration {
        SignedDuration::from_secs(match self {
            Self::Overview | Self::Public => 1,
            Self::Streams | Self::Inventory | Self::Maintenance => 5,
            Self::FunnelHour | Self::FunnelDay | Self::Stuck => 15,
            Self::Orders | Self::Leases | Self::Deadlines => 60,
        })
    }

    async fn body(self, state: &State) -> Result<String, Error> {
        let provider = &state.provider;
        Ok(match self {
            Self::Overview => json(&views::overview(provider, state.shutdown.is_cancelled()).await),
            Self::Public => {
                let overview = views::overview(provider, state.shutdown.is_cancelled()).await;
                json(&overview.for_everyone())
            }
            Self::Streams => json(&Page::whole(views::streams(provider).await?)),
            Self::FunnelHour => json(&views::funnel(provider, FunnelWindow::Hour).await?),
            Self::FunnelDay => json(&views::funnel(provider, FunnelWindow::Day).await?),
            Self::Orders => {
                json(&views::orders(provider, &OrderFilter::default(), None, ITEMS).await?)
            }
            Self::Leases => {
                let open = LeaseFilter { open: true, ..LeaseFilter::default() };
                json(&views::leases(provider, open, None, ITEMS).await?)
            }
            Self::Inventory => json(&views::inventory(provider).await?),
            Self::Deadlines => json(&views::deadlines(provider, ITEMS).await?),
            Self::Stuck => json(&views::stuck(provider, None, ITEMS).await?),
            Self::Maintenance => json(&views::maintenance(provider).await?),
        })
    }
}

fn json(view: &impl Serialize) -> String {
    serde_json::to_string(view).unwrap_or_default()
}

/// A panel's body as it is now.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) panel: Panel,
    pub(super) body: Arc<str>,
    digest: Arc<str>,
}

/// A body with the counts and the time that it was made at.
#[derive(Debug)]
struct Held {
    shown: Shown,
    counts: Vec<u64>,
    made_at: Timestamp,
}

/// The panels as they were made last.
#[derive(Debug)]
pub(super) struct Board {
    held: Mutex<BTreeMap<Panel, Held>>,
    /// A permit for each live stream.
    pub(super) readers: Arc<Semaphore>,
}

impl Default for Board {
    fn default() -> Self {
        Self { held: Mutex::new(BTreeMap::new()), readers: Arc::new(Semaphore::new(MAX_READERS)) }
    }
}

/// What one look found.
pub(super) struct Look {
    /// The panels that could be made.
    pub(super) shown: Vec<Shown>,
    /// Those that could not: whoever shows them shows something old.
    pub(super) missing: Vec<Panel>,
    /// How often sessions changed; `None` when the store gave no answer.
    pub(super) sessions: Option<u64>,
}

impl Board {
    /// These panels as they are now, within [`PATIENCE`].
    pub(super) async fn look(&self, state: &State, panels: &[Panel]) -> Look {
        let look = tokio::time::timeout(PATIENCE, self.look_at_rows(state, panels)).await;
        look.unwrap_or_else(|_| Look {
            shown: Vec::new(),
            missing: panels.to_vec(),
            sessions: None,
        })
    }

    /// A store that gives no answer leaves the overview alone, which says so.
    async fn look_at_rows(&self, state: &State, panels: &[Panel]) -> Look {
        let mut held = self.held.lock().await;
        let Ok(changes) = state.provider.store.changes().await else {
            held.clear();
            let says_so = |panel: &Panel| matches!(panel, Panel::Overview | Panel::Public);
            let (overview, missing): (Vec<Panel>, _) = panels.iter().partition(|one| says_so(one));
            let mut shown = Vec::new();
            for panel in overview {
                shown.extend(panel.body(state).await.ok().map(|body| Shown::new(panel, body)));
            }
            return Look { shown, missing, sessions: None };
        };
        let now = state.provider.clock.now();
        let (mut shown, mut missing) = (Vec::new(), Vec::new());
        for panel in panels {
            let counts = counts(*panel, &changes, state);
            if let Some(before) = held.get(panel).filter(|before| before.is_good(&counts, now)) {
                shown.push(before.shown.clone());
                continue;
            }
            match panel.body(state).await {
                Ok(body) => {
                    let made = Shown::new(*panel, body);
                    shown.push(made.clone());
                    held.insert(*panel, Held { shown: made, counts, made_at: now });
                }
                Err(error) => {
                    tracing::warn!(panel = panel.event(), %error, "a panel was not made");
                    missing.push(*panel);
                }
            }
        }
        Look { shown, missing, sessions: Some(changes.of(Topic::Sessions)) }
    }
}

fn counts(panel: Panel, changes: &Changes, state: &State) -> Vec<u64> {
    let stops = u64::from(state.shutdown.is_cancelled());
    panel.topics().iter().map(|topic| changes.of(*topic)).chain([stops]).collect()
}

impl Held {
    fn is_good(&self, counts: &[u64], now: Timestamp) -> bool {
        let age = now.duration_since(self.made_at);
        self.counts == counts && !age.is_negative() && age < self.shown.panel.lasts()
    }
}

impl Shown {
    fn new(panel: Panel, body: String) -> Self {
        let hash = Sha256::digest(body.as_bytes());
        let digest = URL_SAFE_NO_PAD.encode(&hash[..DIGEST_BYTES]);
        Self { panel, body: body.into(), digest: digest.into() }
    }
}

/// What a reader was sent: a digest for each panel. Its text is the id of the stream's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position([Arc<str>; Panel::ALL.len()]);

impl Position {
    /// Nothing was sent.
    pub(super) fn start() -> Self {
        let nothing: Arc<str> = ".".repeat(DIGEST_CHARS).into();
        Self(std::array::from_fn(|_| nothing.clone()))
    }

    /// The position of an id; one that this program did not write is the start, so that everything is sent.
    pub(super) fn read(id: &str) -> Self {
        let is_ours = id.is_ascii() && id.len() == Panel::ALL.len() * DIGEST_CHARS;
        if !is_ours {
            return Self::start();
        }
        let digest = |index: usize| &id[index * DIGEST_CHARS..(index + 1) * DIGEST_CHARS];
        Self(std::array::from_fn(|index| digest(index).into()))
    }

    /// Moves over what is shown. Returns whether it differs from what was sent before.
    pub(super) fn pass(&mut self, shown: &Shown) -> bool {
        let Some(sent) = self.0.get_mut(shown.panel as usize) else { return false };
        let is_new = *sent != shown.digest;
        *sent = shown.digest.clone();
        is_new
    }

    pub(super) fn id(&self) -> String {
        self.0.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_resumed_by_its_id_and_a_strange_id_is_the_start() {
        let mut position = Position::start();
        let streams = Shown::new(Panel::Streams, "{}".to_owned());
        assert!(position.pass(&streams));
        assert!(!position.pass(&streams));
        let mut resumed = Position::read(&position.id());
        assert_eq!(resumed, position);
        assert!(!resumed.pass(&streams));
        assert!(resumed.pass(&Shown::new(Panel::Streams, "[]".to_owned())));
        for strange in ["", "7", &"ä".repeat(32), &"x".repeat(65)] {
            assert_eq!(Position::read(strange), Position::start());
        }
    }

    #[test]
    fn every_panel_has_a_place_of_its_own_in_a_position() {
        for (index, panel) in Panel::ALL.into_iter().enumerate() {
            assert_eq!(panel as usize, index);
        }
    }
}
