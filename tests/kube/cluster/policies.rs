//! Network policies enforced, which the bridge of the node's pods does not do: a test aid that writes them as a table of
//! nftables into the node's network.
//!
//! It knows addresses of IPv4 and ports by number, which is what lessor writes. It is written once, for the pods of a few
//! namespaces: a pod that comes later is not held to anything.
//!
//! The surprising fact: what a pod sends to the node itself (the API server, the kubelet) is never forwarded, so it needs a
//! chain of its own. What it sends to a Service or a port of the node has the pod's address in it already.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod},
        networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::{
    Api, ResourceExt as _,
    api::ListParams,
    core::{Selector, SelectorExt as _},
};

use super::{Cluster, node::Node};

const TABLE: &str = "inet tenants";

/// Policies that are enforced until this is dropped.
pub(crate) struct Enforced<'c>(&'c Node);

impl Drop for Enforced<'_> {
    fn drop(&mut self) {
        self.0.inside("nft", &["delete", "table", "inet", "tenants"]);
    }
}

/// Enforces the policies of these namespaces for the pods that are there.
pub(crate) async fn enforce<'c>(cluster: &'c Cluster, namespaces: &[String]) -> Enforced<'c> {
    let admin = cluster.admin();
    let all = ListParams::default();
    let seen = Seen {
        pods: Api::<Pod>::all(admin.clone()).list(&all).await.unwrap().items,
        namespaces: Api::<Namespace>::all(admin.clone()).list(&all).await.unwrap().items,
        policies: Api::<NetworkPolicy>::all(admin).list(&all).await.unwrap().items,
    };
    let table = seen.table(namespaces);
    let file = cluster.new_folder("policies").join("table.nft");
    std::fs::write(&file, &table).unwrap();
    cluster.node().inside("nft", &["--file", &file.display().to_string()]);
    println!("policies enforced:\n{table}");
    Enforced(cluster.node())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    In,
}

impl Direction {
    /// How policies call it.
    const fn kind(self) -> &'static str {
        match self {
            Self::Out => "Egress",
            Self::In => "Ingress",
        }
    }

    /// Where a packet has the peer's address.
    const fn peer(self) -> &'static str {
        match self {
            Self::Out => "ip daddr",
            Self::In => "ip saddr",
        }
    }

    /// Where a packet has the pod's address.
    const fn own(self) -> &'static str {
        match self {
            Self::Out => "ip saddr",
            Self::In => "ip daddr",
        }
    }
}

struct Seen {
    pods: Vec<Pod>,
    namespaces: Vec<Namespace>,
    policies: Vec<NetworkPolicy>,
}

impl Seen {
    fn table(&self, namespaces: &[String]) -> String {
        let mut table = format!("table {TABLE} {{\n");
        let (mut leaving, mut arriving) = (String::new(), String::new());
        let held = self.pods.iter().filter(|pod| namespaces.contains(&namespace_of(*pod)));
        for (number, pod) in held.enumerate() {
            let Some(address) = address(pod) else { continue };
            for direction in [Direction::Out, Direction::In] {
                let Some(rules) = self.rules(pod, direction) else { continue };
                let chain = format!("{direction:?}_{number}").to_lowercase();
                let _ = writeln!(table, "  chain {chain} {{ # {}", pod.name_any());
                for rule in rules {
                    let _ = writeln!(table, "    {rule} accept");
                }
                table += "    drop\n  }\n";
                let jump = format!("    {} {address} jump {chain}\n", direction.own());
                match direction {
                    Direction::Out => leaving += &jump,
                    Direction::In => arriving += &jump,
                }
            }
        }
        // A packet must be taken by both of the first two: an earlier chain's accept is not the last word.
        for (chain, hook, jumps) in [
            ("leaving", "forward priority -6", &leaving),
            ("arriving", "forward priority -5", &arriving),
            ("to_node", "input priority -6", &leaving),
        ] {
            let _ = write!(
                table,
                "  chain {chain} {{\n    type filter hook {hook}; policy accept;\n    \
                 ct state established,related accept\n{jumps}  }}\n"
            );
        }
        table + "}\n"
    }

    /// What a pod may send or be sent; `None` when nothing says anything about it.
    fn rules(&self, pod: &Pod, direction: Direction) -> Option<BTreeSet<String>> {
        let mut rules = None;
        for policy in &self.policies {
            let Some(spec) = &policy.spec else { continue };
            let is_meant = namespace_of(policy) == namespace_of(pod)
                && selects(spec.pod_selector.as_ref(), pod.labels())
                && spec.policy_types.iter().flatten().any(|kind| kind == direction.kind());
            if !is_meant {
                continue;
            }
            let rules = rules.get_or_insert_with(BTreeSet::new);
            let mut add = |peers: Option<&[NetworkPolicyPeer]>, ports: Option<&[_]>| {
                let home = namespace_of(policy);
                rules.extend(self.combined(direction, &home, peers, ports));
            };
            match direction {
                Direction::Out => {
                    spec.egress
                        .iter()
                        .flatten()
                        .for_each(|rule| add(rule.to.as_deref(), rule.ports.as_deref()));
                }
                Direction::In => {
                    spec.ingress
                        .iter()
                        .flatten()
                        .for_each(|rule| add(rule.from.as_deref(), rule.ports.as_deref()));
                }
            }
        }
        rules
    }

    /// Every peer with every port.
    fn combined(
        &self,
        direction: Direction,
        home: &str,
        peers: Option<&[NetworkPolicyPeer]>,
        ports: Option<&[NetworkPolicyPort]>,
    ) -> Vec<String> {
        let anybody = || vec![String::new()];
        let peers = match peers {
            None | Some([]) => anybody(),
            Some(peers) => {
                peers.iter().filter_map(|peer| self.peer(direction, home, peer)).collect()
            }
        };
        let ports = match ports {
            None | Some([]) => anybody(),
            Some(ports) => ports.iter().map(port).collect(),
        };
        let with_ports =
            |peer: &String| ports.iter().map(|port| format!("{peer} {port}")).collect::<Vec<_>>();
        peers.iter().flat_map(with_ports).map(|rule| rule.trim().to_owned()).collect()
    }

    /// The addresses of a peer; `None` when it has none of IPv4.
    fn peer(&self, direction: Direction, home: &str, peer: &NetworkPolicyPeer) -> Option<String> {
        let word = direction.peer();
        if let Some(block) = &peer.ip_block {
            let except = block.except.iter().flatten().filter(|range| !range.contains(':'));
            let except: Vec<&str> = except.map(String::as_str).collect();
            let mut text = format!("{word} {}", block.cidr);
            if !except.is_empty() {
                let _ = write!(text, " {word} != {{ {} }}", except.join(", "));
            }
            return (!block.cidr.contains(':')).then_some(text);
        }
        let meant = |pod: &&Pod| {
            let namespace = namespace_of(*pod);
            let in_namespace = match &peer.namespace_selector {
                None => namespace == home,
                Some(selector) => {
                    self.labels(&namespace).is_some_and(|labels| selects(Some(selector), labels))
                }
            };
            in_namespace && selects(peer.pod_selector.as_ref(), pod.labels())
        };
        let found: BTreeSet<&str> = self.pods.iter().filter(meant).filter_map(address).collect();
        let found: Vec<&str> = found.into_iter().collect();
        (!found.is_empty()).then(|| format!("{word} {{ {} }}", found.join(", ")))
    }

    fn labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        let found = self.namespaces.iter().find(|found| found.name_any() == namespace)?;
        Some(found.labels())
    }
}

fn namespace_of(object: &impl kube::ResourceExt) -> String {
    object.namespace().unwrap_or_default()
}

/// The pod's own address; pods of the node's network have the node's.
fn address(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref()
}

/// Nothing selects everything.
fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    let selector = selector.cloned().unwrap_or_default();
    Selector::try_from(selector).unwrap().matches(labels)
}

fn port(port: &NetworkPolicyPort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
    match (&port.port, port.end_port) {
        (None, _) => format!("meta l4proto {protocol}"),
        (Some(IntOrString::Int(from)), None) => format!("{protocol} dport {from}"),
        (Some(IntOrString::Int(from)), Some(to)) => format!("{protocol} dport {from}-{to}"),
        (Some(IntOrString::String(name)), _) => panic!("this aid knows no names of ports: {name}"),
    }
}
