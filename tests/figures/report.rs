//! A figure as a line of JSON, and the table of such lines.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use serde::{Deserialize, Serialize};

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

fn read(path: &Path) -> anyhow::Result<Vec<Figure>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
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

/// Says which goals were missed.
pub(super) fn compare(path: &Path) -> anyhow::Result<ExitCode> {
    let figures = read(path)?;
    let with_goal = figures.iter().filter(|figure| figure.goal.is_some()).count();
    let missed: Vec<&Figure> = figures.iter().filter(|figure| figure.met == Some(false)).collect();
    for figure in &missed {
        println!("missed: {}: {} {}", figure.name, figure.value, figure.unit);
    }
    println!("goals: {} of {with_goal} met", with_goal - missed.len());
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
