//! Who may talk to whom.
//!
//! Pods of a lease talk to each other, to the cluster's name servers and to the Internet; the Internet talks to what is exposed.
//! Not to other tenants, to the nodes, to the API server, to a cloud's metadata, to whatever else is on private addresses.
//!
//! The surprising fact: a policy's `except` narrows only its own rule. So what one rule leaves out must not be in another one,
//! and a name server on an excepted address needs a rule of its own.

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule,
        NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    Lease,
    container::some,
    labels::{labelled, one, selecting},
    service::{Expose, Protocol, Service},
};
use crate::cluster::kubernetes::{
    names,
    object::{Kind, Object},
    settings::{Cidr, HttpMode},
};

/// The label that Kubernetes itself puts on namespaces.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Link-local addresses, a cloud's metadata among them; of IPv6 also where a cloud has its metadata.
const LINK_LOCAL: [&str; 3] = ["169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"];
/// Private, shared and unique local addresses.
const PRIVATE: [&str; 5] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

pub(super) fn policies(lease: &Lease<'_>) -> Vec<Object> {
    if !lease.settings.network.policies {
        return Vec::new();
    }
    let mut policies = vec![restrictions(lease)];
    for service in &lease.services {
        policies.extend(node_ports(lease, service));
        policies.extend(leased_ips(lease, service));
        policies.extend(api_servers(lease, service));
    }
    policies
}

fn policy(lease: &Lease<'_>, name: String, spec: NetworkPolicySpec) -> Object {
    let body = NetworkPolicy { metadata: labelled(lease.base()), spec: Some(spec) };
    lease.object(Kind::NetworkPolicy, name, &body)
}

fn restrictions(lease: &Lease<'_>) -> Object {
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(ingress(lease)),
        egress: Some(egress(lease)),
    };
    policy(lease, "akash-deployment-restrictions".to_owned(), spec)
}

fn ingress(lease: &Lease<'_>) -> Vec<NetworkPolicyIngressRule> {
    let from =
        |peers: Vec<NetworkPolicyPeer>| NetworkPolicyIngressRule { from: Some(peers), ports: None };
    let http = &lease.settings.http;
    let mut rules = vec![from(vec![own_namespace(lease)])];
    match http.mode {
        HttpMode::Ingress => {
            let label = one(&http.ingress_label.key, &http.ingress_label.value);
            rules.push(from(vec![NetworkPolicyPeer {
                namespace_selector: Some(selecting(label.clone())),
                pod_selector: Some(selecting(label)),
                ..NetworkPolicyPeer::default()
            }]));
        }
        HttpMode::GatewayApi => {
            rules.push(from(vec![namespace_named(&http.gateway_namespace)]));
        }
        HttpMode::None => {}
    }
    // An entrance that is no pod reaches the ports of http services, no others.
    let ports =
        ports(lease.services.iter().flat_map(|service| {
            service.exposes.iter().filter(|expose| expose.manifest.is_ingress())
        }));
    if !http.from_addresses.is_empty() && !ports.is_empty() {
        rules.push(NetworkPolicyIngressRule {
            from: Some(http.from_addresses.iter().map(|range| block(range, Vec::new())).collect()),
            ports: Some(ports),
        });
    }
    rules
}

fn egress(lease: &Lease<'_>) -> Vec<NetworkPolicyEgressRule> {
    let to = |peers: Vec<NetworkPolicyPeer>, ports: Option<Vec<NetworkPolicyPort>>| {
        NetworkPolicyEgressRule { to: Some(peers), ports }
    };
    let network = &lease.settings.network;
    let name_servers = std::iter::once(NetworkPolicyPeer {
        namespace_selector: Some(selecting(one(NAMESPACE_NAME, "kube-system"))),
        pod_selector: Some(selecting(one("k8s-app", "kube-dns"))),
        ..NetworkPolicyPeer::default()
    })
    .chain(network.dns.iter().map(|range| block(range, Vec::new())));
    let dns = [port(Protocol::Udp, 53), port(Protocol::Tcp, 53)];
    let mut rules =
        vec![to(vec![own_namespace(lease)], None), to(name_servers.collect(), Some(dns.to_vec()))];
    let excepted = excepted(lease);
    let mut world = vec!["0.0.0.0/0"];
    if network.ipv6 {
        world.push("::/0");
    }
    let world = world.iter().filter_map(|range| range.parse::<Cidr>().ok()).map(|range| {
        let except = excepted.iter().filter(|other| range.contains(other));
        block(&range, except.map(ToString::to_string).collect())
    });
    rules.push(to(world.collect(), None));
    rules
}

/// What is left out of the world; nothing that another one covers already, sorted.
fn excepted(lease: &Lease<'_>) -> Vec<Cidr> {
    let network = &lease.settings.network;
    let mut found: Vec<Cidr> = LINK_LOCAL.iter().filter_map(|range| range.parse().ok()).collect();
    if !network.private {
        found.extend(PRIVATE.iter().filter_map(|range| range.parse::<Cidr>().ok()));
    }
    if !network.nodes {
        found.extend(lease.facts.node_addresses.iter().map(|address| Cidr::host(*address)));
        found.extend(lease.facts.api_servers.iter().map(|server| Cidr::host(server.ip())));
    }
    found.extend(&network.except);
    found.sort();
    found.dedup();
    let covered = |range: &Cidr| found.iter().any(|other| other != range && other.contains(range));
    found.iter().filter(|range| !covered(range)).copied().collect()
}

/// From anywhere to what is exposed on ports of the nodes.
fn node_ports(lease: &Lease<'_>, service: &Service<'_>) -> Option<Object> {
    let ports = some(ports(service.node_ports()))?;
    let rule = NetworkPolicyIngressRule { from: None, ports: Some(ports) };
    Some(open(lease, service, format!("akash-{}-np", service.name), rule))
}

/// From anywhere to what has an address of its own.
fn leased_ips(lease: &Lease<'_>, service: &Service<'_>) -> Option<Object> {
    let leased = service.exposes.iter().filter(|expose| expose.leased_ip().is_some());
    let ports = some(ports(leased))?;
    let world = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse::<Cidr>().ok());
    let rule = NetworkPolicyIngressRule {
        from: Some(world.map(|range| block(&range, Vec::new())).collect()),
        ports: Some(ports),
    };
    Some(open(lease, service, format!("akash-{}-ip", service.name), rule))
}

fn open(
    lease: &Lease<'_>,
    service: &Service<'_>,
    name: String,
    rule: NetworkPolicyIngressRule,
) -> Object {
    let spec = NetworkPolicySpec {
        pod_selector: Some(lease.pods_of(service.name)),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(vec![rule]),
        egress: None,
    };
    policy(lease, name, spec)
}

/// A service that may read its own lease reaches the API servers for it.
fn api_servers(lease: &Lease<'_>, service: &Service<'_>) -> Option<Object> {
    service.permissions?;
    let servers = &lease.facts.api_servers;
    let mut addresses: Vec<Cidr> = servers.iter().map(|server| Cidr::host(server.ip())).collect();
    addresses.sort();
    addresses.dedup();
    let mut numbers: Vec<u16> = servers.iter().map(std::net::SocketAddr::port).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let rule = NetworkPolicyEgressRule {
        to: Some(some(addresses)?.iter().map(|address| block(address, Vec::new())).collect()),
        ports: Some(numbers.into_iter().map(|number| port(Protocol::Tcp, number)).collect()),
    };
    let spec = NetworkPolicySpec {
        pod_selector: Some(lease.pods_of(service.name)),
        policy_types: Some(vec!["Egress".to_owned()]),
        ingress: None,
        egress: Some(vec![rule]),
    };
    Some(policy(lease, format!("akash-apiserver-{}", service.name), spec))
}

fn own_namespace(lease: &Lease<'_>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(selecting(one(names::NAMESPACE, &lease.namespace))),
        ..NetworkPolicyPeer::default()
    }
}

fn namespace_named(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(selecting(one(NAMESPACE_NAME, name))),
        ..NetworkPolicyPeer::default()
    }
}

fn block(range: &Cidr, except: Vec<String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: range.to_string(), except: some(except) }),
        ..NetworkPolicyPeer::default()
    }
}

/// The container's ports, each once.
fn ports<'a>(exposes: impl Iterator<Item = &'a Expose<'a>>) -> Vec<NetworkPolicyPort> {
    let mut found: Vec<(u16, Protocol)> =
        exposes.map(|expose| (expose.port, expose.protocol)).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|(number, protocol)| port(protocol, number)).collect()
}

fn port(protocol: Protocol, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some(protocol.word().to_owned()),
        end_port: None,
    }
}
