//! Every manifest that the Go implementation accepts becomes objects that Kubernetes takes by their names and labels.

use std::collections::{BTreeMap, BTreeSet};

use lessor::{
    cluster::kubernetes::{
        names,
        object::{Kind, Object},
        render::render,
    },
    manifest::Manifest,
    provider::{
        port::{HostnameRoute, Workload},
        submit::static_hostname,
    },
};
use serde_json::Value;

use super::{super::super::corpus, facts, of_group, settings};

/// The workloads of a recorded manifest, one for each group, with every hostname claimed.
pub(super) fn workloads(manifest: &Value) -> Vec<Workload> {
    let manifest = Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
    manifest
        .groups()
        .iter()
        .map(|group| {
            let mut workload = of_group(group.clone());
            for service in &group.services {
                let Some(http) = service.ingresses().next() else { continue };
                let port = u16::try_from(http.port).unwrap();
                let given = static_hostname(&workload.lease, &service.name, "ingress.example.com");
                for host in service.hostnames().map(str::to_owned).chain([given]) {
                    let route = HostnameRoute {
                        hostname: host.to_ascii_lowercase(),
                        service: service.name.clone(),
                        port,
                    };
                    if !workload.hostnames.iter().any(|one| one.hostname == route.hostname) {
                        workload.hostnames.push(route);
                    }
                }
            }
            workload
        })
        .collect()
}

#[test]
fn every_accepted_manifest_renders_to_objects_with_names_of_their_own() {
    let Some(text) = corpus::read("sdl/expected.json") else { return };
    let records: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut settings = settings();
    for kind in ["cpu", "cpu-gpu"] {
        settings.runtime_classes.tee.insert(kind.to_owned(), "kata-qemu-snp".to_owned());
    }
    let (mut accepted, mut groups) = (0, 0);
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for record in records.iter().filter(|record| record["go"]["ok"] == true) {
        accepted += 1;
        for workload in workloads(&record["go"]["manifest"]) {
            groups += 1;
            let file = &record["file"];
            match render(&workload, &settings, &facts()) {
                Err(refused) => wrong.push(format!("{file}: {refused}")),
                Ok(rendered) => {
                    let ids: BTreeSet<_> = rendered.objects.iter().map(|one| &one.id).collect();
                    assert_eq!(ids.len(), rendered.objects.len(), "{file}");
                    assert!(rendered.objects.is_sorted_by(|one, other| one.id < other.id));
                    for object in &rendered.objects {
                        *kinds.entry(object.id.kind).or_default() += 1;
                        wrong.extend(faults(object).map(|fault| format!("{file}: {fault}")));
                    }
                }
            }
        }
    }
    println!("manifests: {accepted} of {} accepted, {groups} groups", records.len());
    for (kind, count) in &kinds {
        println!("{kind:?}: {count}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted >= 278 && kinds.len() >= Kind::ALL.len() - 1, "{accepted} {kinds:?}");
}

/// What the API server would not take of an object's names and labels.
fn faults(object: &Object) -> impl Iterator<Item = String> + use<> {
    let id = &object.id;
    let name_is_allowed = match id.kind {
        // Services, and what becomes a DNS label of a pod.
        Kind::Service | Kind::Namespace => {
            names::is_dns_label(&id.name)
                && !id.name.starts_with(|c: char| c.is_ascii_digit() && id.kind == Kind::Service)
        }
        _ => names::is_dns_name(&id.name),
    };
    let mut faults = Vec::new();
    if !name_is_allowed {
        faults.push(format!("{id:?}: name"));
    }
    let mut nulls = Vec::new();
    walk(&object.body, "", &mut |path, value| {
        if value.is_null() {
            nulls.push(format!("{id:?}: {path} is null"));
        }
        if path.ends_with("/metadata/labels") || path.ends_with("/matchLabels") {
            for (key, value) in value.as_object().unwrap() {
                let value = value.as_str().unwrap();
                let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                let ends = |c: char| c.is_ascii_alphanumeric();
                let is_value = value.is_empty()
                    || value.len() <= 63
                        && value.chars().all(inner)
                        && value.starts_with(ends)
                        && value.ends_with(ends);
                if !is_value {
                    nulls.push(format!("{id:?}: label {key}={value}"));
                }
            }
        }
        for key in ["/containers/0/name", "/volumes/0/name", "/volumeMounts/0/name"] {
            if path.ends_with(key) && !names::is_dns_label(value.as_str().unwrap()) {
                nulls.push(format!("{id:?}: {path} is {value}"));
            }
        }
    });
    faults.extend(nulls);
    faults.into_iter()
}

fn walk(value: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, value);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                walk(value, &format!("{path}/{key}"), see);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                walk(value, &format!("{path}/{index}"), see);
            }
        }
        _ => {}
    }
}
