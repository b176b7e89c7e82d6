//! The orders of the last hour or day, by how far they came, with the reasons why they came no further.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::provider::{
    Error, Provider,
    port::{FunnelRow, FunnelStage},
};

/// The most reasons that one stage lists.
const MAX_REASONS: usize = 8;
/// The most orders that one reason, or one stage, names.
const MAX_SAMPLE: usize = 5;

/// How far back a funnel looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum FunnelWindow {
    /// One hour.
    #[serde(rename = "1h")]
    Hour,
    /// One day.
    #[serde(rename = "24h")]
    Day,
}

impl FunnelWindow {
    const fn length(self) -> SignedDuration {
        match self {
            Self::Hour => SignedDuration::from_hours(1),
            Self::Day => SignedDuration::from_hours(24),
        }
    }
}

/// How far the orders of a window came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunnelView {
    /// How far back it looks.
    pub window: FunnelWindow,
    /// Orders that were first seen from then on are counted; whole minutes.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Every stage, from the first to the last.
    pub stages: Vec<FunnelStageView>,
}

/// One stage and what was lost on the way into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunnelStageView {
    /// Which.
    pub stage: FunnelStage,
    /// Orders that came so far, or further.
    pub orders: u64,
    /// Orders that reached the stage before and not this one, by what holds them; the most frequent first.
    pub dropped: Vec<DropView>,
    /// The newest orders that came so far and no further: `owner/dseq/gseq/oseq`.
    pub sample: Vec<String>,
}

/// Orders that are held by the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DropView {
    /// The reason of a decision (`insufficient_capacity`), or what is waited for (`open`: the tenant's choice), or what it came
    /// to (`another_won`). `other` sums up the reasons that are not listed.
    #[schema(example = "price_too_high")]
    pub reason: String,
    /// How many.
    pub orders: u64,
    /// The newest of them.
    pub sample: Vec<String>,
}

/// How far the orders of the window came.
///
/// # Errors
/// When the store gives no answer.
pub async fn funnel(provider: &Provider, window: FunnelWindow) -> Result<FunnelView, Error> {
    let since = start(window, provider.clock.now());
    let sample = u32::try_from(MAX_SAMPLE).unwrap_or(u32::MAX);
    Ok(view(window, since, &provider.store.funnel(since, sample).await?))
}

/// Whole minutes, so that what is shown does not change with every look.
fn start(window: FunnelWindow, now: Timestamp) -> Timestamp {
    let minute = now.as_second().div_euclid(60) * 60;
    let from = Timestamp::from_second(minute).unwrap_or(now);
    from.saturating_sub(window.length()).unwrap_or(Timestamp::MIN)
}

fn view(window: FunnelWindow, since: Timestamp, rows: &[FunnelRow]) -> FunnelView {
    let stages = FunnelStage::ALL.into_iter().map(|stage| {
        let before = rows.iter().filter(|row| row.reached.stage.rank() + 1 == stage.rank());
        let here = rows.iter().filter(|row| row.reached.stage == stage);
        FunnelStageView {
            stage,
            orders: sum(rows.iter().filter(|row| row.reached.stage >= stage)),
            dropped: dropped(before.collect()),
            sample: here
                .flat_map(|row| &row.sample)
                .take(MAX_SAMPLE)
                .map(ToString::to_string)
                .collect(),
        }
    });
    FunnelView { window, since, stages: stages.collect() }
}

fn sum<'a>(rows: impl Iterator<Item = &'a FunnelRow>) -> u64 {
    rows.map(|row| row.orders).sum()
}

fn dropped(mut rows: Vec<&FunnelRow>) -> Vec<DropView> {
    rows.sort_by(|a, b| {
        b.orders.cmp(&a.orders).then_with(|| a.reached.held_by.cmp(&b.reached.held_by))
    });
    let rest = rows.split_off(rows.len().min(MAX_REASONS));
    let mut views: Vec<DropView> = rows
        .iter()
        .map(|row| DropView {
            reason: row.reached.held_by.clone().unwrap_or_else(|| "unknown".to_owned()),
            orders: row.orders,
            sample: row.sample.iter().take(MAX_SAMPLE).map(ToString::to_string).collect(),
        })
        .collect();
    if !rest.is_empty() {
        let orders = sum(rest.iter().copied());
        views.push(DropView { reason: "other".to_owned(), orders, sample: Vec::new() });
    }
    views
}
