//! `[cluster]`: what runs the workloads, and where.

use serde::Deserialize;

use crate::cluster::kubernetes;

/// `[cluster]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Cluster {
    pub kind: String,
    pub url: String,
    pub public_hostname: String,
    pub inventory_max_age_s: u32,
    pub teardowns_in_ten_minutes: u32,
    pub failing_close_s: u32,
    pub quarantine_s: u32,
    #[serde(default)]
    pub kubernetes: kubernetes::settings::Settings,
}

impl Cluster {
    /// What the Kubernetes adapter needs to know.
    #[must_use]
    pub fn of_kubernetes(&self) -> kubernetes::settings::Settings {
        kubernetes::settings::Settings {
            public_hostname: self.public_hostname.clone(),
            ..self.kubernetes.clone()
        }
    }
}
