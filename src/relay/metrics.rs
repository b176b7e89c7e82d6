//! `GET /metrics`: how far each stream has come, in the text format of `OpenMetrics`.
//!
//! What a sink knows of itself is the only count there is, so the registry is made anew for each answer.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::sink::SinkState;

/// What the answer is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStream {
    stream: String,
}

/// The text.
///
/// # Errors
/// When it cannot be written.
pub(super) fn text(sinks: &[SinkState], tip: Option<u64>) -> Result<String, std::fmt::Error> {
    let height = Family::<OfStream, Gauge>::default();
    let deliveries = Family::<OfStream, Counter>::default();
    let heartbeats = Family::<OfStream, Counter>::default();
    let failing = Family::<OfStream, Gauge>::default();
    let gone = Family::<OfStream, Gauge>::default();
    let newest = Gauge::<i64>::default();
    newest.set(tip.and_then(|height| i64::try_from(height).ok()).unwrap_or_default());
    for sink in sinks {
        let of = OfStream { stream: sink.stream.clone() };
        if let Some(position) = &sink.position {
            let read = i64::try_from(position.read.0).unwrap_or(i64::MAX);
            height.get_or_create(&of).set(read);
        }
        deliveries.get_or_create(&of).inc_by(sink.deliveries);
        heartbeats.get_or_create(&of).inc_by(sink.heartbeats);
        failing.get_or_create(&of).set(sink.last_error.is_some().into());
        gone.get_or_create(&of).set(sink.gone.into());
    }
    let mut registry = Registry::with_prefix("lessor_relay");
    registry.register("node_height", "The node's newest block.", newest);
    registry.register("height", "Up to this block the receiver has everything.", height);
    registry.register("deliveries", "Deliveries that were taken.", deliveries);
    registry.register("heartbeats", "Heartbeats that were taken.", heartbeats);
    registry.register("failing", "1 while the last attempt was not taken.", failing);
    registry.register("gone", "1 when the receiver said that the stream is gone.", gone);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_has_its_own_numbers() {
        let state = |stream: &str, deliveries, last_error: Option<&str>| SinkState {
            stream: stream.to_owned(),
            deliveries,
            last_error: last_error.map(str::to_owned),
            ..SinkState::default()
        };
        let text =
            text(&[state("a", 7, None), state("b", 0, Some("answer 503"))], Some(42)).unwrap();
        for line in [
            "lessor_relay_node_height 42",
            "lessor_relay_deliveries_total{stream=\"a\"} 7",
            "lessor_relay_failing{stream=\"b\"} 1",
            "lessor_relay_failing{stream=\"a\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
