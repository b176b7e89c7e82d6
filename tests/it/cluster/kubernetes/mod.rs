//! Kubernetes as far as it needs no API server: what is rendered, what is counted, how nodes are labelled.

mod corpus;
mod deploy;
mod inventory;
mod labels;
mod render;
mod settings;

use std::collections::BTreeMap;

use lessor::{
    cluster::kubernetes::{
        object::{Kind, Object},
        render::{Facts, Rendered, render},
        settings::Settings,
    },
    manifest::{Dialect, Group, compile},
    provider::port::Workload,
};
use serde_json::Value;

use super::lease;

/// The first group of an SDL document, for lease 7.
fn workload(sdl: &str) -> Workload {
    let compiled = compile(sdl, Dialect::Go).unwrap_or_else(|found| panic!("{found:#?}"));
    of_group(compiled.manifest.groups()[0].clone())
}

fn of_group(group: Group) -> Workload {
    Workload {
        lease: lease(7),
        manifest_hash: "ab".repeat(32),
        group,
        hostnames: Vec::new(),
        gpus: BTreeMap::new(),
    }
}

fn settings() -> Settings {
    Settings { public_hostname: "provider.example.com".to_owned(), ..Settings::default() }
}

/// A small cluster with a public and a private node.
fn facts() -> Facts {
    Facts {
        api_servers: vec!["10.96.0.1:443".parse().unwrap(), "203.0.113.7:6443".parse().unwrap()],
        node_addresses: ["10.0.0.4", "203.0.113.9", "2001:db8::9"]
            .map(|address| address.parse().unwrap())
            .to_vec(),
        ..Facts::default()
    }
}

fn rendered(workload: &Workload, settings: &Settings) -> Rendered {
    render(workload, settings, &facts()).unwrap_or_else(|refused| panic!("{refused}"))
}

fn object<'a>(rendered: &'a Rendered, kind: Kind, name: &str) -> &'a Object {
    let found = rendered.objects.iter().find(|one| one.id.kind == kind && one.id.name == name);
    found.unwrap_or_else(|| panic!("no {kind:?} {name:?} among {:#?}", ids(rendered)))
}

fn body<'a>(rendered: &'a Rendered, kind: Kind, name: &str) -> &'a Value {
    &object(rendered, kind, name).body
}

fn ids(rendered: &Rendered) -> Vec<String> {
    rendered.objects.iter().map(|one| format!("{:?} {}", one.id.kind, one.id.name)).collect()
}
