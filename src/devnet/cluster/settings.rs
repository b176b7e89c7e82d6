//! What the simulated cluster is made of and how it behaves.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::devnet::cluster_api::{GpuSpec, NodeSpec, Service, StoragePools};

const GIB: u64 = 1 << 30;

/// What the cluster is made of and how fast it is. Kept in the journal, so that a change of settings moves nothing that
/// happened before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The machines; the default is three modest ones, one of them with two GPUs.
    pub nodes: Vec<NodeSpec>,
    /// Bytes by persistent storage class, over the whole cluster.
    pub storage: StoragePools,
    /// Addresses for leased IPs.
    pub ips: u64,
    /// The name under which forwarded ports are reached.
    pub hostname: String,
    /// The shortest time in milliseconds from a replica's placement until it is ready.
    pub ready_min_ms: u64,
    /// The longest; each replica's own is drawn from its name.
    pub ready_max_ms: u64,
    /// Milliseconds from a teardown until nothing is left.
    pub teardown_ms: u64,
    /// Milliseconds before the second try of what failed; doubled with each further one, up to five minutes.
    pub backoff_ms: u64,
    /// Milliseconds between two log lines of a replica.
    pub log_every_ms: u64,
    /// Which images and services misbehave.
    pub misbehaviour: Misbehaviour,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: vec![modest_node("node-a"), modest_node("node-b"), gpu_node("node-c")],
            storage: [("default", 500 * GIB), ("beta2", 1000 * GIB), ("beta3", 2000 * GIB)]
                .map(|(class, bytes)| (class.to_owned(), bytes))
                .into(),
            ips: 0,
            hostname: "cluster.localhost".to_owned(),
            ready_min_ms: 1000,
            ready_max_ms: 2000,
            teardown_ms: 1000,
            backoff_ms: 10_000,
            log_every_ms: 1000,
            misbehaviour: Misbehaviour::default(),
        }
    }
}

fn modest_node(name: &str) -> NodeSpec {
    NodeSpec {
        name: name.to_owned(),
        cpu_milli: 8000,
        memory_bytes: 32 * GIB,
        ephemeral_bytes: 500 * GIB,
        gpus: Vec::new(),
        storage_classes: ["default", "beta2", "beta3"].map(str::to_owned).to_vec(),
    }
}

fn gpu_node(name: &str) -> NodeSpec {
    let a100 = GpuSpec {
        vendor: "nvidia".to_owned(),
        model: "a100".to_owned(),
        ram: Some("80Gi".to_owned()),
        interface: Some("pcie".to_owned()),
        units: 2,
    };
    NodeSpec { cpu_milli: 16_000, memory_bytes: 128 * GIB, gpus: vec![a100], ..modest_node(name) }
}

/// By what one recognises an image that cannot be pulled and a service that crashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Misbehaviour {
    /// Registries that never answer.
    pub unpullable_hosts: BTreeSet<String>,
    /// Tags that no registry has.
    pub unpullable_tags: BTreeSet<String>,
    /// Tags of images that exit soon after they start.
    pub crash_tags: BTreeSet<String>,
    /// Words of a command or its arguments that make any image exit.
    pub crash_args: BTreeSet<String>,
}

impl Default for Misbehaviour {
    fn default() -> Self {
        let set = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            unpullable_hosts: set(&["unpullable.invalid"]),
            unpullable_tags: set(&["missing", "does-not-exist"]),
            crash_tags: set(&["crash"]),
            crash_args: set(&["--crash"]),
        }
    }
}

impl Misbehaviour {
    /// Whether an image can never be pulled.
    pub(super) fn is_unpullable(&self, image: &str) -> bool {
        let reference = ImageReference::of(image);
        reference.host.is_some_and(|host| self.unpullable_hosts.contains(host))
            || reference.tag.is_some_and(|tag| self.unpullable_tags.contains(tag))
    }

    /// Whether a service exits soon after it starts, each time.
    pub(super) fn crashes(&self, service: &Service) -> bool {
        ImageReference::of(&service.image).tag.is_some_and(|tag| self.crash_tags.contains(tag))
            || service.command.iter().chain(&service.args).any(|word| {
                // A shell's script is one word of the command.
                word.split_whitespace().any(|part| self.crash_args.contains(part))
            })
    }
}

/// The two parts of `host/path:tag@digest` that rules look at.
struct ImageReference<'a> {
    host: Option<&'a str>,
    tag: Option<&'a str>,
}

impl<'a> ImageReference<'a> {
    fn of(image: &'a str) -> Self {
        let name = image.split_once('@').map_or(image, |(name, _digest)| name);
        let host = name.split_once('/').map(|(first, _)| first).filter(|first| {
            // The first part is a registry only when it cannot be a user of the default one.
            first.contains(['.', ':']) || *first == "localhost"
        });
        let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
        Self { host, tag: last.rsplit_once(':').map(|(_, tag)| tag) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_tag_are_found_in_every_form_of_a_reference() {
        for (image, host, tag) in [
            ("nginx", None, None),
            ("nginx:1.27", None, Some("1.27")),
            ("library/nginx:1.27", None, Some("1.27")),
            ("ghcr.io/a/b", Some("ghcr.io"), None),
            ("localhost:5000/b", Some("localhost:5000"), None),
            ("ghcr.io/a/b:v2@sha256:00", Some("ghcr.io"), Some("v2")),
        ] {
            let reference = ImageReference::of(image);
            assert_eq!((reference.host, reference.tag), (host, tag), "{image}");
        }
    }

    #[test]
    fn only_a_named_host_or_tag_is_unpullable() {
        let rules = Misbehaviour::default();
        assert!(rules.is_unpullable("unpullable.invalid/a/b:1"));
        assert!(rules.is_unpullable("nginx:missing"));
        assert!(!rules.is_unpullable("missing:1"));
        assert!(!rules.is_unpullable("nginx"));
    }
}
