//! Leases and what runs for them, small enough for any cluster.

use lessor::{
    domain::{Address, LeaseId, OrderId},
    manifest::{Group, Manifest},
    provider::port::{HostnameRoute, Workload},
};
use serde_json::{Value, json};

/// A lease of its own for each number.
pub(super) fn lease(dseq: u64) -> LeaseId {
    let account = |byte: u8| Address::from_bytes(&[byte; 20]).unwrap();
    OrderId::new(account(1), dseq, 1, 1).lease(&account(2))
}

/// A service of a manifest, small enough for any node.
pub(super) fn service(name: &str, image: &str) -> Value {
    json!({
        "name": name, "image": image, "command": null, "args": null,
        "env": ["MODE=test", "PASSWORD=hunter2"],
        "resources": {
            "id": 1,
            "cpu": {"units": {"val": "100"}},
            "memory": {"size": {"val": "67108864"}},
            "storage": [{"name": "default", "size": {"val": "134217728"}}],
            "gpu": {"units": {"val": "0"}},
            "endpoints": [],
        },
        "count": 1,
        "expose": [{
            "port": 8080, "externalPort": 80, "proto": "TCP", "service": "", "global": true,
            "hosts": [format!("{name}.example.com")],
            "httpOptions": {
                "maxBodySize": 1_048_576, "readTimeout": 60000, "sendTimeout": 60000,
                "nextTries": 3, "nextTimeout": 0, "nextCases": ["error", "timeout"],
            },
            "ip": "", "endpointSequenceNumber": 0,
        }],
        "credentials": null,
    })
}

fn group(services: &[Value]) -> Group {
    let manifest = json!([{"name": "west", "services": services}]);
    Manifest::from_json(manifest.to_string().as_bytes()).unwrap().groups()[0].clone()
}

/// What is to run for a lease, without hostnames.
pub(super) fn workload(lease: &LeaseId, version: u8, services: &[Value]) -> Workload {
    Workload {
        lease: lease.clone(),
        manifest_hash: format!("{version:02x}").repeat(32),
        group: group(services),
        hostnames: Vec::new(),
        gpus: std::collections::BTreeMap::new(),
    }
}

pub(super) fn route(hostname: &str, service: &str) -> HostnameRoute {
    HostnameRoute { hostname: hostname.to_owned(), service: service.to_owned(), port: 8080 }
}
