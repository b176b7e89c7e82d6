//! Names and labels of everything that a lease has in the cluster, as today's provider writes them, so that a cluster that
//! it runs can be taken over and its tools go on.
//!
//! The surprising fact: the name of an address's sharing key holds no `dseq`, so one endpoint name is one address over all
//! deployments of an owner.

use std::collections::BTreeMap;

use data_encoding::BASE32HEX_NOPAD;
use sha2::{Digest as _, Sha224, Sha256};

use crate::domain::LeaseId;

/// Marks everything that a provider owns; on a node: that it takes leases.
pub const NETWORK: &str = "akash.network";
/// The lease's namespace, on every object of the lease.
pub const NAMESPACE: &str = "akash.network/namespace";
/// The service that an object belongs to.
pub const SERVICE: &str = "akash.network/manifest-service";
/// The lease's owner.
pub const OWNER: &str = "akash.network/lease.id.owner";
/// The lease's deployment.
pub const DSEQ: &str = "akash.network/lease.id.dseq";
/// The lease's group.
pub const GSEQ: &str = "akash.network/lease.id.gseq";
/// The lease's order.
pub const OSEQ: &str = "akash.network/lease.id.oseq";
/// The lease's provider.
pub const PROVIDER: &str = "akash.network/lease.id.provider";
/// What today's provider calls the version of the custom resource that an object was made from. lessor writes it nowhere but,
/// empty, on the custom resource: it would roll every service at each update of one. A pod that has it was made by today's
/// provider.
pub const MANIFEST_VERSION: &str = "akash.network/manifest.resource.version";
/// What a Service is for, where it is not the service's own.
pub const SERVICE_TARGET: &str = "akash.network/service-target";
/// The [`SERVICE_TARGET`] of a leased address.
pub const LEASED_IP_TARGET: &str = "metal-lb";
/// The annotation with the hash of the manifest that was applied, on the custom resource `Manifest`.
pub const MANIFEST_HASH: &str = "lessor.network/manifest";
/// What the names of a node's labels begin with that say what it can do.
pub const CAPABILITIES: &str = "akash.network/capabilities.";

/// The most characters of a label's value, of the name part of its key, and of a DNS label.
pub const MAX_LABEL: usize = 63;

/// The lease's namespace, which is also the name of its custom resource: base32hex of SHA-224 of the lease's path.
#[must_use]
pub fn namespace(lease: &LeaseId) -> String {
    base32hex(&Sha224::digest(lease.to_string()))
}

/// The labels that say whose lease it is.
#[must_use]
pub fn lease_labels(lease: &LeaseId) -> BTreeMap<String, String> {
    let order = &lease.order;
    BTreeMap::from([
        (OWNER.to_owned(), order.owner().to_string()),
        (DSEQ.to_owned(), order.dseq().to_string()),
        (GSEQ.to_owned(), order.gseq().to_string()),
        (OSEQ.to_owned(), order.oseq.to_string()),
        (PROVIDER.to_owned(), lease.provider.to_string()),
    ])
}

/// The lease that labels name; `None` when one is missing or is no part of a lease's path.
#[must_use]
pub fn lease_of(labels: &BTreeMap<String, String>) -> Option<LeaseId> {
    let parts = [OWNER, DSEQ, GSEQ, OSEQ, PROVIDER];
    let path: Vec<&str> =
        parts.iter().map(|key| labels.get(*key).map(String::as_str)).collect::<Option<_>>()?;
    path.join("/").parse().ok()
}

/// The labels that a service's pods are selected by. They never change: a selector cannot.
#[must_use]
pub fn selector(namespace: &str, service: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NETWORK.to_owned(), "true".to_owned()),
        (NAMESPACE.to_owned(), namespace.to_owned()),
        (SERVICE.to_owned(), service.to_owned()),
    ])
}

/// The name of the Service with a service's node ports.
#[must_use]
pub fn node_port_service(service: &str) -> String {
    format!("{service}-np")
}

/// The name of the Secret with a service's login at its registry.
#[must_use]
pub fn pull_secret(service: &str) -> String {
    format!("docker-creds-{service}")
}

/// The key under which Services share a leased address: the same for all deployments of an owner. An endpoint's name that is no
/// part of a Kubernetes name is replaced by base32hex of a hash of it.
#[must_use]
pub fn sharing_key(owner: &str, endpoint: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !endpoint.is_empty() && endpoint.chars().all(plain) {
        format!("{owner}-ip-{endpoint}")
    } else {
        format!("{owner}-ip-{}", short_hash(endpoint))
    }
}

/// The name of the custom resource of one port at a leased address.
#[must_use]
pub fn leased_ip(sharing_key: &str, protocol: &str, external_port: u16) -> String {
    format!("{sharing_key}-{protocol}-{external_port}").to_ascii_lowercase()
}

/// The name of the Service with one port at a leased address.
#[must_use]
pub fn leased_ip_service(service: &str, protocol: &str, external_port: u16) -> String {
    format!("{service}-ip-{external_port}-{protocol}").to_ascii_lowercase()
}

/// Whether a Service's name is one of [`leased_ip_service`]'s.
#[must_use]
pub fn is_leased_ip_service(name: &str) -> bool {
    let port = name.strip_suffix("-tcp").or_else(|| name.strip_suffix("-udp"));
    port.and_then(|rest| rest.rsplit_once("-ip-"))
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// The name of a service's volume: both names, or a hash of them where that is no DNS label.
#[must_use]
pub fn volume(service: &str, volume: &str) -> String {
    let name = format!("{service}-{volume}");
    if is_dns_label(&name) { name } else { format!("v-{}", short_hash(&name)) }
}

/// The name of a Service's port. It does not depend on the other ports, so that none changes when another comes or goes.
#[must_use]
pub fn port(protocol: &str, external_port: u16) -> String {
    format!("{}-{external_port}", protocol.to_ascii_lowercase())
}

/// The node label that counts GPUs of a model, with the memory size or the interface where one is given. `None` where Kubernetes
/// takes no such label: a name has at most 63 characters of letters, digits, `-`, `_` and `.`.
#[must_use]
pub fn gpu_label(vendor: &str, model: &str, detail: Option<(&str, &str)>) -> Option<String> {
    let mut name = format!("{CAPABILITIES}gpu.vendor.{vendor}.model.{model}");
    if let Some((what, value)) = detail {
        name.push('.');
        name.push_str(what);
        name.push('.');
        name.push_str(value);
    }
    is_label_name(&name).then_some(name)
}

/// The node label that says that volumes of a class can be there.
#[must_use]
pub fn storage_label(class: &str) -> Option<String> {
    let name = format!("{CAPABILITIES}storage.class.{class}");
    is_label_name(&name).then_some(name)
}

/// Lower-case letters, digits and inner dashes, at most 63.
#[must_use]
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= MAX_LABEL && is_dns_part(name)
}

/// DNS labels joined by dots, at most 253 characters in all.
#[must_use]
pub fn is_dns_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

fn is_dns_part(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !name.is_empty() && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether the part of a label's key after the slash is allowed.
fn is_label_name(key: &str) -> bool {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    name.len() <= MAX_LABEL
        && name.bytes().all(inner)
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    base32hex(digest.get(..15).unwrap_or(&digest))
}

fn base32hex(bytes: &[u8]) -> String {
    BASE32HEX_NOPAD.encode(bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: &str = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww/5/1/1/akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz";

    #[test]
    fn a_namespace_is_forty_five_characters_of_base32hex() {
        let name = namespace(&LEASE.parse().unwrap());
        assert_eq!(name.len(), 45);
        assert!(name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v')), "{name}");
    }

    #[test]
    fn a_lease_is_read_back_from_its_labels_and_not_from_fewer() {
        let lease: LeaseId = LEASE.parse().unwrap();
        let mut labels = lease_labels(&lease);
        assert_eq!(lease_of(&labels), Some(lease));
        labels.remove(OSEQ);
        assert_eq!(lease_of(&labels), None);
    }

    /// Vectors of today's provider.
    #[test]
    fn a_sharing_key_keeps_a_plain_endpoint_and_hashes_any_other() {
        assert_eq!(sharing_key("akash1x", "my-endpoint1"), "akash1x-ip-my-endpoint1");
        assert_eq!(sharing_key("akash1x", "meYOU"), "akash1x-ip-ps9pn7rkocct7m9ivtovuktb");
    }

    #[test]
    fn a_volume_whose_name_is_no_dns_label_gets_one_of_its_own() {
        assert_eq!(volume("web", "data"), "web-data");
        for odd in ["Data_1", "a.b", &"x".repeat(70)] {
            let name = volume("web", odd);
            assert!(is_dns_label(&name) && name.starts_with("v-"), "{name}");
        }
        assert_ne!(volume("web", "A"), volume("web", "B"));
    }

    #[test]
    fn a_node_label_that_kubernetes_would_refuse_is_none() {
        assert_eq!(
            gpu_label("nvidia", "a100", Some(("ram", "80Gi"))).as_deref(),
            Some("akash.network/capabilities.gpu.vendor.nvidia.model.a100.ram.80Gi")
        );
        assert_eq!(gpu_label("nvidia", "*", None), None);
        assert_eq!(gpu_label("nvidia", &"x".repeat(40), None), None);
    }
}
