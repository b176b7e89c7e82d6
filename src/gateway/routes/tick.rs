//! One bounded pass of steps over HTTP, for platforms where nothing runs between requests.

use std::time::Duration;

use axum::Json;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    gateway::{
        State,
        auth::guard::Operator,
        extract::Query,
        problem::{Code, Problem},
    },
    provider::step::Budget,
};

/// When to ask again while a tick runs.
const RUNNING: Duration = Duration::from_secs(1);
/// The most steps of one tick.
const MAX_STEPS: u32 = 10_000;
/// The longest tick, in seconds: shorter than the time a request may take.
const MAX_SECONDS: u32 = 25;

/// How much one tick may do.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TickQuery {
    /// The most steps, 1000 when not given.
    #[param(minimum = 1, maximum = 10_000)]
    max: Option<u32>,
    /// No step begins after so many seconds, 20 when not given.
    #[param(minimum = 1, maximum = 25)]
    deadline_s: Option<u32>,
}

impl TickQuery {
    fn budget(&self, now: Timestamp) -> Result<Budget, Problem> {
        let within = |name: &str, value: u32, most: u32| {
            (1..=most).contains(&value).then_some(value).ok_or_else(|| {
                let detail = format!("{name} is {value}, allowed are 1 to {most}");
                Problem::new(Code::MalformedQuery).detail(detail)
            })
        };
        let steps = within("max", self.max.unwrap_or(1000), MAX_STEPS)?;
        let seconds = within("deadline_s", self.deadline_s.unwrap_or(20), MAX_SECONDS)?;
        let until = now.saturating_add(SignedDuration::from_secs(i64::from(seconds)));
        Ok(Budget { steps, until: until.unwrap_or(Timestamp::MAX) })
    }
}

/// What one tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ticked {
    /// Steps of deployments, streams and the provider.
    pub steps: u32,
    /// Steps that ended in an error and are to be tried again.
    pub failed: u32,
    /// Hints that were found to be of nothing on chain.
    pub forgotten: u32,
    /// Transactions that were signed or settled.
    pub transactions: u32,
    /// Changes of the cluster that were tried.
    pub cluster: u32,
    /// Whether nothing was due any more at the end.
    pub idle: bool,
}

/// Work off what is due.
///
/// One bounded pass of steps, as a worker does it. One at a time in each process; rows are claimed, so that several processes
/// may tick at once.
#[utoipa::path(
    post,
    path = "/internal/v1/tick",
    tag = "platform",
    operation_id = "tick",
    params(TickQuery),
    responses((status = 200, description = "What was done.", body = Ticked)),
    security(("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_query", "tick_running", "store_unavailable", "chain_unavailable",
        "cluster_unavailable", "draining",
    ]))),
)]
pub async fn tick(
    state: State,
    _: Operator,
    Query(query): Query<TickQuery>,
) -> Result<Json<Ticked>, Problem> {
    if state.shutdown.is_cancelled() {
        return Err(Problem::new(Code::Draining).retry_after(RUNNING));
    }
    let now = state.provider.clock.now();
    let budget = query.budget(now)?;
    let Ok(_one_at_a_time) = state.ticking.try_acquire() else {
        return Err(Problem::new(Code::TickRunning).retry_after(RUNNING));
    };
    // Where ticks are all that runs, nobody else sees to it that rows and chain are compared.
    state.provider.begin(now).await?;
    let pass = state.provider.step(budget).await?;
    Ok(Json(Ticked {
        steps: pass.steps,
        failed: pass.failed,
        forgotten: pass.forgotten,
        transactions: pass.transactions,
        cluster: pass.cluster,
        idle: pass.idle,
    }))
}
