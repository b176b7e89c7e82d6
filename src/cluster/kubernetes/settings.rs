//! What an operator chooses of leases on Kubernetes: `[cluster.kubernetes]` of `deploy/lessor.toml`, where every key is
//! explained. The defaults here and there are the same, which a test checks.
//!
//! The surprising fact: a default is what is safe, not what today's provider does; where the two differ, a key brings the
//! other back.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;

use super::names;

/// What an operator chooses of leases on Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The file that says where the API server is; empty for the pod's own service account, or `KUBECONFIG`.
    pub kubeconfig: PathBuf,
    /// Which context of the file; empty for its current one.
    pub context: String,
    /// Where the custom resources are.
    pub manifest_namespace: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub image_pull_policy: PullPolicy,
    /// A Secret of the lease's namespace for services without a login of their own; empty for none.
    pub image_pull_secret: String,
    /// Whether a registry's password stands in the custom resource too.
    pub credentials_in_manifest: bool,
    /// The pool that addresses are leased from; `default` is the one of the load balancer itself.
    pub ip_pool: String,
    /// How many addresses the pool has.
    pub ips: u32,
    /// Whether lessor writes what a part of today's provider writes that still runs.
    pub take_over: bool,
    /// How much more is sold than there is.
    pub overcommit: Overcommit,
    /// What keeps a tenant's pods in.
    pub security: Security,
    /// Whom pods may talk to.
    pub network: Network,
    /// How hostnames lead to services.
    pub http: Http,
    /// Which runtime runs pods.
    pub runtime_classes: RuntimeClasses,
    /// Which nodes take leases.
    pub nodes: Nodes,
    /// Persistent storage by class: how much there is, or `auto`.
    pub storage: BTreeMap<String, PoolSize>,
    /// The address under which node ports are reached; `[cluster]` has it.
    #[serde(skip)]
    pub public_hostname: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kubeconfig: PathBuf::new(),
            context: String::new(),
            manifest_namespace: "lease".to_owned(),
            image_pull_policy: PullPolicy::IfNotPresent,
            image_pull_secret: String::new(),
            credentials_in_manifest: false,
            ip_pool: "default".to_owned(),
            ips: 0,
            take_over: false,
            overcommit: Overcommit::default(),
            security: Security::default(),
            network: Network::default(),
            http: Http::default(),
            runtime_classes: RuntimeClasses::default(),
            nodes: Nodes::default(),
            storage: BTreeMap::new(),
            public_hostname: String::new(),
        }
    }
}

/// When a node pulls an image that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum PullPolicy {
    /// Not again. What one tenant pulled with a login, another one on that node can run without.
    IfNotPresent,
    /// At each start; the registry must answer then.
    Always,
    /// Never: images are brought to the nodes in another way.
    Never,
}

impl PullPolicy {
    /// The word of Kubernetes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// How much more is sold than there is, in percent: with 50, three cores are sold of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overcommit {
    /// Of cores.
    pub cpu_percent: Percent,
    /// Of memory.
    pub memory_percent: Percent,
    /// Of the nodes' own disks.
    pub storage_percent: Percent,
}

/// How much more than all, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

impl Percent {
    /// What a pod asks the scheduler for when `value` is sold: rounded to the nearest, and not 0 when something is sold.
    #[must_use]
    pub fn committed(self, value: u64) -> u64 {
        let level = 100 + u128::from(self.0);
        let rounded = (u128::from(value) * 100 + level / 2) / level;
        u64::try_from(rounded).unwrap_or(u64::MAX).max(u64::from(value > 0))
    }

    /// How much there must be for `value` to be sold: as [`Percent::committed`], rounded down.
    #[must_use]
    pub fn real(self, value: u64) -> u64 {
        u64::try_from(u128::from(value) * 100 / (100 + u128::from(self.0))).unwrap_or(u64::MAX)
    }

    /// What can be sold of `value`.
    #[must_use]
    pub fn sellable(self, value: u64) -> u64 {
        u64::try_from(u128::from(value) * (100 + u128::from(self.0)) / 100).unwrap_or(u64::MAX)
    }
}

/// What keeps a tenant's pods in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Security {
    /// The Pod Security standard that a lease's namespace enforces.
    pub pod_security: PodSecurity,
    /// Whether the runtime's filter of system calls is on.
    pub seccomp: bool,
    /// Whether all capabilities are dropped but [`Security::capabilities`].
    pub drop_capabilities: bool,
    /// What is kept of the capabilities.
    pub capabilities: Vec<String>,
    /// Whether every Service of the lease stands in every container's environment.
    pub service_links: bool,
    /// How much the pods of a lease may take together, in percent of what is leased; 0 for no quota.
    pub quota_percent: u32,
    /// Whether a container that says nothing of its resources gets little of them.
    pub limit_range: bool,
}

impl Default for Security {
    fn default() -> Self {
        // What container runtimes keep, without NET_RAW (forged packets) and MKNOD.
        let capabilities = [
            "AUDIT_WRITE",
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "NET_BIND_SERVICE",
            "SETFCAP",
            "SETGID",
            "SETPCAP",
            "SETUID",
            "SYS_CHROOT",
        ];
        Self {
            pod_security: PodSecurity::Baseline,
            seccomp: true,
            drop_capabilities: true,
            capabilities: capabilities.map(str::to_owned).to_vec(),
            service_links: false,
            quota_percent: 200,
            limit_range: true,
        }
    }
}

/// A Pod Security standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// The namespace says nothing: the cluster's own default holds.
    None,
    /// Everything is allowed.
    Privileged,
    /// What raises privileges in known ways is not.
    Baseline,
    /// No root, nearly no capability; most images do not run.
    Restricted,
}

impl PodSecurity {
    /// The word of Kubernetes; `None` where nothing is to be said.
    #[must_use]
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Privileged => Some("privileged"),
            Self::Baseline => Some("baseline"),
            Self::Restricted => Some("restricted"),
        }
    }
}

/// Whom pods may talk to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Network {
    /// Whether there are network policies at all.
    pub policies: bool,
    /// Whether pods may reach addresses of IPv6.
    pub ipv6: bool,
    /// Whether pods may reach private, shared (CGNAT) and unique local addresses.
    pub private: bool,
    /// Whether pods may reach the cluster's nodes and API servers.
    pub nodes: bool,
    /// What else they may not reach.
    pub except: Vec<Cidr>,
    /// Name servers beside the cluster's own, such as those that answer on each node.
    pub dns: Vec<Cidr>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            policies: true,
            ipv6: true,
            private: false,
            nodes: false,
            except: Vec::new(),
            // Where NodeLocal DNSCache listens by its own manual and in Kubespray.
            dns: vec![Cidr::host([169, 254, 20, 10].into()), Cidr::host([169, 254, 25, 10].into())],
        }
    }
}

/// How hostnames lead to services.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Which objects are written.
    pub mode: HttpMode,
    /// The class of Ingresses.
    pub ingress_class: String,
    /// The label, of namespace and pod, of the ingress controller that may reach services: `key=value`.
    pub ingress_label: Label,
    /// The Gateway that routes are attached to.
    pub gateway: String,
    /// Its namespace, whose pods may reach services.
    pub gateway_namespace: String,
    /// Whether a route says how long a request may take. Not every gateway takes a route that does.
    pub timeouts: bool,
    /// The buffer for an answer's head, for services that name none.
    pub proxy_buffer_size: String,
    /// Addresses from which HTTP services may be reached besides, for entrances that are no pods.
    pub from_addresses: Vec<Cidr>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            mode: HttpMode::GatewayApi,
            ingress_class: "akash-ingress-class".to_owned(),
            ingress_label: Label {
                key: "app.kubernetes.io/name".to_owned(),
                value: "ingress-nginx".to_owned(),
            },
            gateway: "akash-gateway".to_owned(),
            gateway_namespace: "akash-gateway".to_owned(),
            timeouts: false,
            proxy_buffer_size: "16k".to_owned(),
            from_addresses: Vec::new(),
        }
    }
}

/// Which objects a hostname becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpMode {
    /// An Ingress each.
    Ingress,
    /// An `HTTPRoute` each.
    GatewayApi,
    /// None: something else reads the custom resources.
    None,
}

/// Which runtime runs pods; an empty name is the node's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeClasses {
    /// Of services without GPUs.
    pub default: String,
    /// Of services with GPUs, by vendor.
    pub gpu: BTreeMap<String, String>,
    /// Of confidential services, by the kind that a manifest names (`cpu`, `cpu-gpu`); one without is refused.
    pub tee: BTreeMap<String, String>,
}

impl Default for RuntimeClasses {
    fn default() -> Self {
        Self {
            default: String::new(),
            gpu: BTreeMap::from([("nvidia".to_owned(), "nvidia".to_owned())]),
            tee: BTreeMap::new(),
        }
    }
}

/// Which nodes take leases.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nodes {
    /// Names that take none; `*` stands for any run of characters.
    pub exclude: Vec<String>,
    /// Keys of taints that leases tolerate.
    pub tolerate: Vec<String>,
    /// Whether lessor finds out what nodes have and labels them.
    pub label: bool,
    /// A file that says what GPUs are called; empty for none.
    pub gpu_names: PathBuf,
    /// The resource that a vendor's GPUs are counted as.
    pub gpu_resources: BTreeMap<String, String>,
}

impl Default for Nodes {
    fn default() -> Self {
        let resources = [("nvidia", "nvidia.com/gpu"), ("amd", "amd.com/gpu")];
        Self {
            exclude: Vec::new(),
            tolerate: Vec::new(),
            label: true,
            gpu_names: PathBuf::new(),
            gpu_resources: resources.map(|(vendor, name)| (vendor.into(), name.into())).into(),
        }
    }
}

/// How much there is of a class of persistent storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PoolSize {
    /// What the storage's driver or the nodes' disks say.
    Auto,
    /// Bytes, volumes that exist included.
    Bytes(u64),
}

impl TryFrom<String> for PoolSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        super::inventory::quantity::bytes(&text)
            .map(Self::Bytes)
            .ok_or_else(|| "it is \"auto\" or a size such as \"10Ti\"".to_owned())
    }
}

/// A label, as `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Label {
    /// Before the `=`.
    pub key: String,
    /// After it.
    pub value: String,
}

impl TryFrom<String> for Label {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("it is no label of the form key=value".to_owned()),
        }
    }
}

/// A range of addresses, as `10.0.0.0/8`; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr {
    address: std::net::IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The range of one address. One of IPv4 that is written as IPv6 is the one of IPv4.
    #[must_use]
    pub const fn host(address: std::net::IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether it is a range of IPv4.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.is_ipv4() == other.is_ipv4()
            && self.prefix <= other.prefix
            && bits(self.address, self.prefix) == bits(other.address, self.prefix)
    }
}

/// The first `prefix` bits of an address; the others are 0.
fn bits(address: std::net::IpAddr, prefix: u8) -> u128 {
    let (value, width) = match address {
        std::net::IpAddr::V4(address) => (u128::from(u32::from(address)), 32_u32),
        std::net::IpAddr::V6(address) => (u128::from(address), 128),
    };
    let dropped = width.saturating_sub(u32::from(prefix));
    value.checked_shr(dropped).and_then(|kept| kept.checked_shl(dropped)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is no range of addresses such as 10.0.0.0/8");
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| refused());
        };
        let address: std::net::IpAddr = address.parse().map_err(|_| refused())?;
        let prefix: u8 = prefix.parse().map_err(|_| refused())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix > most {
            return Err(refused());
        }
        let range = Self { address, prefix };
        let whole = match address {
            std::net::IpAddr::V4(address) => u128::from(u32::from(address)),
            std::net::IpAddr::V6(address) => u128::from(address),
        };
        if bits(address, prefix) != whole {
            return Err(format!("{text:?} has address bits behind its prefix"));
        }
        Ok(range)
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Settings {
    /// What is wrong with them beyond their types: the key, what it is, what is allowed.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut dns_label = |key: &str, value: &str| {
            if !names::is_dns_label(value) {
                faults.push((
                    key.to_owned(),
                    format!(
                        "is {value:?}, allowed are 1 to {} lower-case letters, digits and inner dashes",
                        names::MAX_LABEL
                    ),
                ));
            }
        };
        dns_label("manifest_namespace", &self.manifest_namespace);
        if self.http.mode == HttpMode::GatewayApi {
            dns_label("http.gateway", &self.http.gateway);
            dns_label("http.gateway_namespace", &self.http.gateway_namespace);
        }
        if (1..100).contains(&self.security.quota_percent) {
            faults.push((
                "security.quota_percent".to_owned(),
                format!(
                    "is {}, allowed are 0 for no quota, or 100 and more",
                    self.security.quota_percent
                ),
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_percent_sells_three_of_two() {
        let level = Percent(50);
        assert_eq!(level.sellable(2000), 3000);
        assert_eq!(level.committed(3000), 2000);
        assert_eq!(level.committed(1), 1);
        assert_eq!((level.committed(0), Percent(0).committed(7)), (0, 7));
        assert_eq!(Percent(300).committed(1), 1, "something that is sold asks for something");
        assert_eq!(level.sellable(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_range_contains_itself_and_what_is_smaller() {
        let range = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(range("10.0.0.0/8").contains(&range("10.1.2.3")));
        assert!(range("0.0.0.0/0").contains(&range("255.0.0.0/8")));
        assert!(range("::/0").contains(&range("fd00:ec2::254")));
        assert!(!range("10.0.0.0/8").contains(&range("11.0.0.0/8")));
        assert!(!range("10.1.0.0/16").contains(&range("10.0.0.0/8")));
        assert!(!range("::/0").contains(&range("10.0.0.0/8")));
        assert_eq!(range("::ffff:10.0.0.1"), range("10.0.0.1/32"));
        for wrong in ["10.0.0.0/33", "10.0.0.1/8", "x", "10.0.0.0/", "fc00::/129"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
