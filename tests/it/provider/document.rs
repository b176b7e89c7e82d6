//! What tenants ask for: one web service, as a group on chain and as a manifest.

use lessor::{
    domain::{
        Denom, Endpoint, EndpointKind, GroupSpec, Price, Requirements, ResourceUnit, Resources,
        Volume,
    },
    manifest::Manifest,
};
use serde_json::json;

use super::ground::GI;

const MEMORY: u64 = GI / 2;

/// The group that [`manifest`] is for.
pub(super) fn group(cpu_milli: u64, count: u32) -> GroupSpec {
    GroupSpec {
        name: "akash".to_owned(),
        requirements: Requirements::default(),
        units: vec![ResourceUnit {
            resources: Resources {
                id: 1,
                cpu_milli,
                cpu_attributes: Vec::new(),
                memory_bytes: MEMORY,
                memory_attributes: Vec::new(),
                storage: vec![Volume {
                    name: "default".to_owned(),
                    bytes: GI,
                    attributes: Vec::new(),
                }],
                gpu_units: 0,
                gpu_attributes: Vec::new(),
                endpoints: vec![Endpoint { kind: EndpointKind::SharedHttp, sequence_number: 0 }],
            },
            count,
            price: Price { denom: Denom::uact(), amount: "1000".parse().unwrap() },
        }],
    }
}

/// One web service; versions differ in an environment variable.
pub(super) fn manifest(cpu_milli: u64, count: u32, version: u32) -> Manifest {
    manifest_at(cpu_milli, count, version, None)
}

/// As [`manifest`], at these hostnames.
pub(super) fn manifest_at(
    cpu_milli: u64,
    count: u32,
    version: u32,
    hosts: Option<&[&str]>,
) -> Manifest {
    let groups = json!([{"name": "akash", "services": [{
        "name": "web", "image": "nginx", "command": null, "args": null,
        "env": [format!("VERSION={version}")],
        "resources": {
            "id": 1, "cpu": {"units": {"val": cpu_milli.to_string()}},
            "memory": {"size": {"val": MEMORY.to_string()}},
            "storage": [{"name": "default", "size": {"val": GI.to_string()}}],
            "gpu": {"units": {"val": "0"}}, "endpoints": [{"sequence_number": 0}]
        },
        "count": count,
        "expose": [{
            "port": 80, "externalPort": 80, "proto": "TCP", "service": "", "global": true,
            "hosts": hosts,
            "httpOptions": {
                "maxBodySize": 1_048_576, "readTimeout": 60000, "sendTimeout": 60000,
                "nextTries": 3, "nextTimeout": 0, "nextCases": ["error", "timeout"]
            },
            "ip": "", "endpointSequenceNumber": 0
        }],
        "credentials": null
    }]}]);
    Manifest::from_json(groups.to_string().as_bytes()).unwrap()
}
