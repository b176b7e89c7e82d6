//! Logs and metrics: what people and monitoring systems see of a running process.
//!
//! Counters are counted where things happen; gauges that say how the rows stand ([`rows`]) are read from the rows when somebody
//! asks, so that they are right in a process that has just started.
//!
//! The one surprising fact: labels are routes, never paths, and words of closed lists, never ids: what a stranger sends
//! must not make new time series.

mod rows;

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tracing_subscriber::EnvFilter;

use self::rows::Rows;
use crate::provider::Provider;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not of the form `level` or `module=level,…`.
    #[error("log filter {filter:?}")]
    Filter {
        /// What was given.
        filter: String,
        /// Where it ends to make sense.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else writes this process's logs.
    #[error("logs are written already")]
    Twice,
}

/// Writes logs to standard error from now on.
///
/// # Errors
/// [`LogError`].
pub fn write_logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written (the disk under a log file is full) is lost. Saying so on the same output would fail
        // too, and end the task that wrote it.
        .log_internal_errors(false);
    let installed = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    installed.map_err(|_| LogError::Twice)
}

/// Which requests a counter counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `GET`, …; `other` for words that are no usual method.
    pub method: &'static str,
    /// The route's pattern; `none` when no route matched.
    pub route: String,
    /// The status that was answered.
    pub status: u16,
}

/// Which route a histogram is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route's pattern.
    pub route: String,
}

/// Which deliveries a counter counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeliveryLabels {
    /// A stream of the settings.
    pub stream: String,
    /// `accepted`, `duplicate`, or the code of a problem.
    pub result: &'static str,
}

/// Which stream a gauge is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamLabels {
    /// A stream of the settings.
    pub stream: String,
}

type Seconds = Family<RouteLabels, Histogram, fn() -> Histogram>;

/// Everything that is counted in one process.
#[derive(Debug)]
pub struct Metrics {
    /// Requests that were answered.
    pub requests: Family<RequestLabels, Counter>,
    /// How long answers took.
    pub request_seconds: Seconds,
    /// Deliveries by what became of them.
    pub deliveries: Family<DeliveryLabels, Counter>,
    /// Chain events that were new.
    pub events: Family<StreamLabels, Counter>,
    rows: Rows,
    registry: Registry,
}

fn histogram() -> Histogram {
    // 1 ms to 16 s.
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            deliveries: Family::default(),
            events: Family::default(),
            rows: Rows::default(),
            registry: Registry::with_prefix("lessor"),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "How long answers took",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register(
            "webhook_deliveries",
            "Deliveries by what became of them",
            self.deliveries.clone(),
        );
        registry.register("webhook_events", "Chain events that were new", self.events.clone());
        self.rows.register(registry);
    }

    /// Notes an answered request.
    pub fn answered(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).inc();
        let route = RouteLabels { route: labels.route.clone() };
        self.request_seconds.get_or_create(&route).observe(took.as_secs_f64());
    }

    /// Notes what became of a delivery.
    pub fn delivered(&self, stream: &str, result: &'static str) {
        let labels = DeliveryLabels { stream: stream.to_owned(), result };
        self.deliveries.get_or_create(&labels).inc();
    }

    /// Everything in the `OpenMetrics` text format, gauges of the rows as they stand now. A store that gives no answer
    /// leaves them as they were.
    pub async fn render(&self, provider: &Provider, draining: bool) -> String {
        self.rows.look(provider, draining).await;
        let mut page = String::new();
        if let Err(error) = text::encode(&mut page, &self.registry) {
            tracing::error!(%error, "metrics were not written");
        }
        page
    }
}
