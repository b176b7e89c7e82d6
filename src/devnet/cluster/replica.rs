//! The life of one replica: placed, pulled, started, ready, and what goes wrong on the way.
//!
//! A replica is in one phase until a moment that it knows beforehand. [`Replica::step`] takes it over that moment; how
//! late it is called makes no difference to what happens.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;

use super::{
    capacity::Holding,
    settings::Settings,
    time::{draw, later},
};
use crate::devnet::cluster_api::Service;

/// How many runs of a container keep their log.
const MAX_RUNS: usize = 5;

/// The longest wait before another try, in milliseconds.
const MAX_BACKOFF_MS: u64 = 300_000;

/// One replica of one version of a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) ordinal: u32,
    /// Which version of the service's template it runs.
    pub(super) revision: u64,
    pub(super) template: Arc<Service>,
    pub(super) phase: Phase,
    pub(super) holding: Option<Holding>,
    /// From the oldest; the last may still go on.
    pub(super) runs: VecDeque<Run>,
    /// Tries that failed one after the other.
    failures: u32,
    restarts: u32,
}

/// What a replica does, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// No node fits; `why` is empty until that was tried.
    Unscheduled { why: String },
    /// The image comes.
    Pulling { until: Timestamp },
    /// It did not come; waits before the next try.
    PullBackOff { until: Timestamp },
    /// The container runs and is not ready yet.
    Starting { until: Timestamp },
    /// It does what it should.
    Ready,
    /// The container exited; waits before it runs again.
    CrashBackOff { until: Timestamp },
    /// Stopped for good.
    Stopped,
}

/// A container from its start to its exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) started: Timestamp,
    pub(super) ended: Option<(Timestamp, Exit)>,
}

/// Why a container exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// By itself, with code 1.
    Crashed,
    /// It was told to.
    Stopped,
}

/// Something worth an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) at: Timestamp,
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Happening {
    fn normal(at: Timestamp, reason: &'static str, message: String) -> Self {
        Self { at, warning: false, reason, message }
    }

    fn warning(at: Timestamp, reason: &'static str, message: String) -> Self {
        Self { at, warning: true, reason, message }
    }
}

/// What decides how a replica fares.
pub(super) struct Conditions<'a> {
    pub(super) settings: &'a Settings,
    /// Whether an image cannot be pulled at the moment.
    pub(super) is_broken: &'a dyn Fn(&str) -> bool,
}

impl Replica {
    pub(super) fn new(name: String, ordinal: u32, revision: u64, template: Arc<Service>) -> Self {
        Self {
            name,
            ordinal,
            revision,
            template,
            phase: Phase::Unscheduled { why: String::new() },
            holding: None,
            runs: VecDeque::new(),
            failures: 0,
            restarts: 0,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    pub(super) fn is_unscheduled(&self) -> bool {
        matches!(self.phase, Phase::Unscheduled { .. })
    }

    /// When the phase ends by itself.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Pulling { until }
            | Phase::PullBackOff { until }
            | Phase::Starting { until }
            | Phase::CrashBackOff { until } => Some(*until),
            Phase::Unscheduled { .. } | Phase::Ready | Phase::Stopped => None,
        }
    }

    /// Why it is not ready, where that is more than a matter of time.
    pub(super) fn complaint(&self) -> Option<String> {
        let Self { template, failures, restarts, .. } = self;
        match &self.phase {
            Phase::Unscheduled { why } => Some(format!("Unschedulable: {why}")),
            Phase::Pulling { .. } | Phase::PullBackOff { .. } if *failures > 0 => Some(format!(
                "ImagePullBackOff: image {:?} cannot be pulled, tried {failures} times",
                template.image
            )),
            Phase::Starting { .. } | Phase::CrashBackOff { .. } if *failures > 0 => Some(format!(
                "CrashLoopBackOff: the container exited with code 1, restarted {restarts} times"
            )),
            _ => None,
        }
    }

    /// No node fits. Says so once for each reason.
    pub(super) fn refuse(&mut self, at: Timestamp, why: String) -> Option<Happening> {
        let news = self.phase != Phase::Unscheduled { why: why.clone() };
        let happening = news.then(|| Happening::warning(at, "FailedScheduling", why.clone()));
        self.phase = Phase::Unscheduled { why };
        happening
    }

    /// A node was found.
    pub(super) fn place(
        &mut self,
        at: Timestamp,
        holding: Holding,
        settings: &Settings,
    ) -> Vec<Happening> {
        let placed = format!("placed on {}", holding.node);
        self.holding = Some(holding);
        vec![Happening::normal(at, "Scheduled", placed), self.pull(at, settings)]
    }

    /// Takes the replica over the end of its phase; does nothing when that is later than `now`.
    pub(super) fn step(&mut self, now: Timestamp, conditions: &Conditions<'_>) -> Vec<Happening> {
        let Some(at) = self.due().filter(|due| *due <= now) else { return Vec::new() };
        match self.phase {
            Phase::Pulling { .. } => self.pulled(at, conditions),
            Phase::PullBackOff { .. } => vec![self.pull(at, conditions.settings)],
            Phase::Starting { .. } if conditions.settings.misbehaviour.crashes(&self.template) => {
                self.crash(at, conditions.settings)
            }
            Phase::Starting { .. } => {
                self.failures = 0;
                self.phase = Phase::Ready;
                Vec::new()
            }
            Phase::CrashBackOff { .. } => self.start(at, conditions.settings),
            Phase::Unscheduled { .. } | Phase::Ready | Phase::Stopped => Vec::new(),
        }
    }

    /// The container exits with code 1. The first restart comes at once, later ones wait.
    pub(super) fn crash(&mut self, at: Timestamp, settings: &Settings) -> Vec<Happening> {
        let Some(run) = self.runs.back_mut().filter(|run| run.ended.is_none()) else {
            return Vec::new();
        };
        run.ended = Some((at, Exit::Crashed));
        let wait = if self.failures == 0 { 0 } else { backoff_ms(settings, self.failures) };
        self.failures += 1;
        self.restarts += 1;
        self.phase = Phase::CrashBackOff { until: later(at, wait) };
        let message = format!("the container exited with code 1, starts again in {wait} ms");
        vec![Happening::warning(at, "BackOff", message)]
    }

    /// Stops it for good.
    pub(super) fn stop(&mut self, at: Timestamp) -> Option<Happening> {
        let was = std::mem::replace(&mut self.phase, Phase::Stopped);
        if let Some(run) = self.runs.back_mut().filter(|run| run.ended.is_none()) {
            run.ended = Some((at, Exit::Stopped));
        }
        let told = !matches!(was, Phase::Stopped | Phase::Unscheduled { .. });
        told.then(|| Happening::normal(at, "Killing", "told to stop".to_owned()))
    }

    fn pull(&mut self, at: Timestamp, settings: &Settings) -> Happening {
        // Two fifths of the time until a replica is ready go into its image.
        self.phase = Phase::Pulling { until: later(at, self.ready_ms(settings) * 2 / 5) };
        Happening::normal(at, "Pulling", format!("pulls image {:?}", self.template.image))
    }

    fn pulled(&mut self, at: Timestamp, conditions: &Conditions<'_>) -> Vec<Happening> {
        let image = &self.template.image;
        if !(conditions.is_broken)(image) {
            self.failures = 0;
            let pulled = Happening::normal(at, "Pulled", format!("image {image:?} is there"));
            let mut happenings = vec![pulled];
            happenings.extend(self.start(at, conditions.settings));
            return happenings;
        }
        self.failures += 1;
        let wait = backoff_ms(conditions.settings, self.failures);
        let failed = format!("image {image:?} cannot be pulled: no registry has it");
        let waits = format!("tries image {image:?} again in {wait} ms");
        self.phase = Phase::PullBackOff { until: later(at, wait) };
        vec![Happening::warning(at, "Failed", failed), Happening::warning(at, "BackOff", waits)]
    }

    fn start(&mut self, at: Timestamp, settings: &Settings) -> Vec<Happening> {
        self.runs.push_back(Run { started: at, ended: None });
        while self.runs.len() > MAX_RUNS {
            self.runs.pop_front();
        }
        let ready_ms = self.ready_ms(settings);
        self.phase = Phase::Starting { until: later(at, ready_ms - ready_ms * 2 / 5) };
        let name = &self.template.name;
        vec![
            Happening::normal(at, "Created", format!("created container {name}")),
            Happening::normal(at, "Started", format!("started container {name}")),
        ]
    }

    fn ready_ms(&self, settings: &Settings) -> u64 {
        let spread = settings.ready_max_ms.saturating_sub(settings.ready_min_ms);
        settings.ready_min_ms + draw(&[&self.name, "ready"], spread.saturating_add(1))
    }
}

/// The wait after so many failures, at least a millisecond, since no wait at all would be a loop without end.
fn backoff_ms(settings: &Settings, failures: u32) -> u64 {
    let doubled = settings.backoff_ms.saturating_mul(1 << failures.saturating_sub(1).min(32));
    doubled.clamp(1, MAX_BACKOFF_MS)
}
