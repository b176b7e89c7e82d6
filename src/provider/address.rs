//! Ports of leased addresses as claims: an owner's endpoint is one address over all of their deployments, so each port of it
//! leads to one lease. Pure.
//!
//! They are kept among the hostnames, whose rules they share: who comes second among an owner's leases does without, until
//! the port is moved. The surprising fact: no two owners can ever meet, since the claim's name has the owner in it.

use crate::{
    domain::{Address, LeaseId},
    manifest::Group,
};

const PREFIX: &str = "ip:";

/// A port of a leased address that a manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeasedPort<'g> {
    /// The tenant's name of the address.
    pub(super) endpoint: &'g str,
    /// The claim's name.
    pub(super) claim: String,
    /// The service that it leads to.
    pub(super) service: &'g str,
}

/// Whether a claim's name is one of a port and of no hostname: no hostname has a colon.
pub(super) fn is_port(claim: &str) -> bool {
    claim.starts_with(PREFIX)
}

fn claim(owner: &Address, endpoint: &str, proto: &str, port: u32) -> String {
    format!("{PREFIX}{owner}/{endpoint}/{}/{port}", proto.to_ascii_lowercase())
}

/// The ports that a group asks for.
pub(super) fn leased_ports<'g>(
    owner: &'g Address,
    group: &'g Group,
) -> impl Iterator<Item = LeasedPort<'g>> {
    group.services.iter().flat_map(move |service| {
        let leased = service.expose.iter().filter(|expose| expose.global && !expose.ip.is_empty());
        leased.map(move |expose| LeasedPort {
            endpoint: &expose.ip,
            claim: claim(owner, &expose.ip, &expose.proto, expose.external_port()),
            service: &service.name,
        })
    })
}

/// The group without the ports that a lease must do without, as `is_withheld` says of claims.
pub(super) fn without_ports(
    mut group: Group,
    lease: &LeaseId,
    is_withheld: impl Fn(&str) -> bool,
) -> Group {
    let owner = lease.order.owner();
    let services = group.services.iter().cloned().map(|mut service| {
        let exposes = service.expose.iter().cloned().map(|mut expose| {
            let name = claim(owner, &expose.ip, &expose.proto, expose.external_port());
            if expose.global && !expose.ip.is_empty() && is_withheld(&name) {
                expose.ip.clear();
            }
            expose
        });
        service.expose = exposes.collect::<Vec<_>>().into();
        service
    });
    group.services = services.collect::<Vec<_>>().into();
    group
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{domain::OrderId, manifest::Manifest};

    fn group() -> Group {
        let expose = |port: u16, ip: &str, global: bool| {
            json!({
                "port": port, "externalPort": 0, "proto": "TCP", "service": "", "global": global,
                "hosts": null, "httpOptions": { "maxBodySize": 1, "readTimeout": 1, "sendTimeout": 1,
                    "nextTries": 1, "nextTimeout": 0, "nextCases": ["error"] },
                "ip": ip, "endpointSequenceNumber": 1,
            })
        };
        let manifest = json!([{ "name": "akash", "services": [{
            "name": "game", "image": "game", "command": null, "args": null, "env": null,
            "resources": { "id": 1, "cpu": { "units": { "val": "1" } }, "memory": { "size": { "val": "1" } },
                "storage": [], "gpu": { "units": { "val": "0" } }, "endpoints": [] },
            "count": 1,
            "expose": [expose(25565, "public", true), expose(80, "", true), expose(9, "public", false)],
            "credentials": null,
        }] }]);
        let manifest = Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
        manifest.group("akash").unwrap().clone()
    }

    #[test]
    fn a_port_that_is_withheld_stays_a_port_of_the_node_and_all_else_is_as_it_was() {
        let account = |byte: u8| Address::from_bytes(&[byte; 20]).unwrap();
        let lease = OrderId::new(account(1), 7, 1, 1).lease(&account(2));
        let (owner, group) = (lease.order.owner(), group());
        let ports: Vec<_> = leased_ports(owner, &group).collect();
        let claim = format!("ip:{owner}/public/tcp/25565");
        assert_eq!(ports, [LeasedPort { endpoint: "public", claim, service: "game" }]);
        assert!(is_port(&ports[0].claim) && !is_port("ip.example.com"));

        assert_eq!(without_ports(group.clone(), &lease, |_| false), group);
        let left = without_ports(group.clone(), &lease, |name| name == ports[0].claim);
        assert_eq!(leased_ports(owner, &left).count(), 0);
        let ips: Vec<&str> = left.services[0].expose.iter().map(|one| one.ip.as_str()).collect();
        assert_eq!(ips, ["", "", "public"], "who is not global has no address to lose");
    }
}
