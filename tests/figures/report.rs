//! A figure as a line of JSON, and the table of such lines.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Every figure that has a goal: a comparison without one of them is not whole.
const WITH_GOALS: [&str; 34] = [
    "start_livez",
    "start_webhook",
    "memory_idle",
    "memory_status",
    "memory_leases",
    "ingest_events",
    "ingest_singles",
    "ingest_p99",
    "bid_p50",
    "burst_complete",
    "growth_events_1000",
    "growth_events_10000",
    "growth_events_100000",
    "growth_events_1000000",
    "growth_orders_10",
    "growth_orders_100",
    "growth_orders_1000",
    "growth_orders_10000",
    "growth_start",
    "block_decode",
    "sdl_hash",
    "manifest_hash",
    "sdl_hash_npm",
    "hostile_time",
    "hostile_memory",
    "kube_new_lease",
    "kube_new_lease_plain",
    "kube_new_three",
    "kube_unchanged",
    "kube_update",
    "kube_status",
    "kube_apply_1",
    "kube_restart",
    "kube_steady",
];

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    /// Stable, for scripts.
    #[serde(rename = "figure")]
    pub(super) name: String,
    /// For people.
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: String,
    /// How many measurements are behind it.
    pub(super) n: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) goal: Option<Goal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) met: Option<bool>,
    /// What this machine itself can do, measured in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) floor: Option<String>,
    /// What today's provider does, on a machine of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) today: Option<String>,
}

impl Figure {
    pub(super) fn new(name: &str, what: &str, value: f64, unit: &str, n: usize) -> Self {
        Self {
            name: name.to_owned(),
            what: what.to_owned(),
            value: (value * 1000.0).round() / 1000.0,
            unit: unit.to_owned(),
            n,
            goal: None,
            met: None,
            floor: None,
            today: None,
        }
    }

    pub(super) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.met = Some(goal.is_met(self.value));
        self
    }

    pub(super) fn floor(mut self, floor: impl Into<String>) -> Self {
        self.floor = Some(floor.into());
        self
    }

    pub(super) fn today(mut self, today: &str) -> Self {
        self.today = Some(today.to_owned());
        self
    }

    pub(super) fn print(&self) {
        println!("{}", serde_json::json!(self));
    }
}

/// The value at `percent` of sorted measurements.
pub(super) fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = (percent / 100.0 * last as f64).round() as usize;
    values.get(at.min(last)).copied().unwrap_or(f64::NAN)
}

/// The lines of a file; of a figure that was measured again, the last one, where the first one stood.
fn read(path: &Path) -> anyhow::Result<Vec<Figure>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut figures: Vec<Figure> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let figure: Figure = serde_json::from_str(line).with_context(|| line.to_owned())?;
        match figures.iter_mut().find(|known| known.name == figure.name) {
            Some(known) => *known = figure,
            None => figures.push(figure),
        }
    }
    Ok(figures)
}

fn number(value: f64) -> String {
    if value >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// Prints the README's table.
pub(super) fn table(path: &Path) -> anyhow::Result<ExitCode> {
    println!("| what | measured | goal | today's provider | beside it |");
    println!("|---|---|---|---|---|");
    for figure in read(path)? {
        let unit = &figure.unit;
        let goal = match figure.goal {
            None => String::new(),
            Some(Goal::AtLeast(least)) => format!("≥ {} {unit}", number(least)),
            Some(Goal::AtMost(most)) => format!("≤ {} {unit}", number(most)),
        };
        let missed = if figure.met == Some(false) { " (missed)" } else { "" };
        println!(
            "| {} | **{} {unit}** | {goal}{missed} | {} | {} |",
            figure.what,
            number(figure.value),
            figure.today.unwrap_or_default(),
            figure.floor.unwrap_or_default()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Says which goals were missed, and which figures were not measured.
pub(super) fn compare(path: &Path) -> anyhow::Result<ExitCode> {
    let figures = read(path)?;
    let with_goal = figures.iter().filter(|figure| figure.goal.is_some()).count();
    let missed: Vec<&Figure> = figures.iter().filter(|figure| figure.met == Some(false)).collect();
    for figure in &missed {
        println!("missed: {}: {} {}", figure.name, figure.value, figure.unit);
    }
    let is_there =
        |name: &&str| figures.iter().any(|figure| figure.goal.is_some() && figure.name == **name);
    let absent: Vec<&str> = WITH_GOALS.into_iter().filter(|name| !is_there(name)).collect();
    for name in &absent {
        println!("not measured: {name}");
    }
    println!("goals: {} of {} met", with_goal - missed.len(), with_goal + absent.len());
    let is_good = missed.is_empty() && absent.is_empty();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
