//! Where the corpora are, and the chain's JSON of groups.

use std::{env, fs, path::PathBuf};

use lessor::domain::{
    Attribute, Endpoint, EndpointKind, GroupSpec, Price, Requirements, ResourceUnit, Resources,
    SignedBy, Volume,
};
use serde_json::{Value, json};

/// The file of the corpus, or `None` with a line that says so; with `CI=true` an absent corpus is a failure.
pub(super) fn read(path: &str) -> Option<String> {
    let root = env::var_os("LESSOR_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if let Ok(text) = fs::read_to_string(root.join(path)) {
        return Some(text);
    }
    assert!(env::var("CI").as_deref() != Ok("true"), "corpus not found: {path}");
    println!("skipped: corpus not found: {path}");
    None
}

/// The JSON file of the corpus.
pub(super) fn read_json(path: &str) -> Option<Vec<Value>> {
    read(path).map(|text| serde_json::from_str(&text).unwrap())
}

/// Reads groups in the chain's JSON.
pub(super) fn groups_from(value: &Value) -> Vec<GroupSpec> {
    list(value, group_from)
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map_or_else(Vec::new, |items| items.iter().map(item).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap_or_default().try_into().unwrap()
}

fn attribute_from(value: &Value) -> Attribute {
    Attribute::new(text(&value["key"]), text(&value["value"]))
}

fn group_from(value: &Value) -> GroupSpec {
    let requirements = &value["requirements"];
    GroupSpec {
        name: text(&value["name"]),
        requirements: Requirements {
            signed_by: SignedBy {
                all_of: list(&requirements["signed_by"]["all_of"], text),
                any_of: list(&requirements["signed_by"]["any_of"], text),
            },
            attributes: list(&requirements["attributes"], attribute_from),
        },
        units: list(&value["resources"], |unit| ResourceUnit {
            resources: resources_from(&unit["resource"]),
            count: number(&unit["count"]),
            price: Price {
                denom: text(&unit["price"]["denom"]).parse().unwrap(),
                amount: text(&unit["price"]["amount"]).parse().unwrap(),
            },
        }),
    }
}

fn resources_from(value: &Value) -> Resources {
    let quantity = |value: &Value| text(&value["val"]).parse().unwrap();
    let attributes = |value: &Value| list(&value["attributes"], attribute_from);
    Resources {
        id: number(&value["id"]),
        cpu_milli: quantity(&value["cpu"]["units"]),
        cpu_attributes: attributes(&value["cpu"]),
        memory_bytes: quantity(&value["memory"]["size"]),
        memory_attributes: attributes(&value["memory"]),
        storage: list(&value["storage"], |volume| Volume {
            name: text(&volume["name"]),
            bytes: quantity(&volume["size"]),
            attributes: attributes(volume),
        }),
        gpu_units: quantity(&value["gpu"]["units"]),
        gpu_attributes: attributes(&value["gpu"]),
        endpoints: list(&value["endpoints"], |endpoint| Endpoint {
            kind: match number(&endpoint["kind"]) {
                0 => EndpointKind::SharedHttp,
                1 => EndpointKind::RandomPort,
                _ => EndpointKind::LeasedIp,
            },
            sequence_number: number(&endpoint["sequence_number"]),
        }),
    }
}

/// A manifest for one group with one nginx, and that group.
pub(super) fn small_manifest() -> Value {
    json!([{"name": "akash", "services": [{
        "name": "web", "image": "nginx", "command": null, "args": null, "env": null,
        "resources": {
            "id": 1, "cpu": {"units": {"val": "1000"}}, "memory": {"size": {"val": "536870912"}},
            "storage": [{"name": "default", "size": {"val": "1073741824"}}],
            "gpu": {"units": {"val": "0"}}, "endpoints": [{"sequence_number": 0}]
        },
        "count": 1,
        "expose": [{
            "port": 80, "externalPort": 80, "proto": "TCP", "service": "", "global": true,
            "hosts": null,
            "httpOptions": {
                "maxBodySize": 1_048_576, "readTimeout": 60000, "sendTimeout": 60000,
                "nextTries": 3, "nextTimeout": 0, "nextCases": ["error", "timeout"]
            },
            "ip": "", "endpointSequenceNumber": 0
        }],
        "credentials": null
    }]}])
}
