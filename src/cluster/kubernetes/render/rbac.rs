//! The identity of a service that may read its own lease: a service account, and a role by the words of its manifest.
//!
//! | word | what may be read |
//! |---|---|
//! | `logs` | pods, their logs, Deployments |
//! | `events` | events |
//! | `deployment` | Deployments and `StatefulSet`s |
//!
//! A word that is not known gives nothing.

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};

use super::{Lease, container::some, labels::labelled, service::Service};
use crate::cluster::kubernetes::object::{Kind, Object};

pub(super) fn objects(lease: &Lease<'_>, service: &Service<'_>) -> Vec<Object> {
    let Some(words) = service.permissions else { return Vec::new() };
    let (name, labels) = (service.name, lease.of_service_and_lease(service.name));
    let account =
        ServiceAccount { metadata: labelled(labels.clone()), ..ServiceAccount::default() };
    let role = Role { metadata: labelled(labels.clone()), rules: some(rules(words)) };
    let binding = RoleBinding {
        metadata: labelled(labels),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: name.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: name.to_owned(),
            namespace: Some(lease.namespace.clone()),
            api_group: None,
        }]),
    };
    vec![
        lease.object(Kind::ServiceAccount, name, &account),
        lease.object(Kind::Role, name, &role),
        lease.object(Kind::RoleBinding, name, &binding),
    ]
}

const READ: &[&str] = &["get", "list", "watch"];

fn rules(words: &[String]) -> Vec<PolicyRule> {
    let mut found: Vec<PolicyRule> = Vec::new();
    for word in words {
        let rules = match word.as_str() {
            "logs" => vec![
                rule("", "pods", READ),
                rule("", "pods/log", &["get"]),
                rule("apps", "deployments", READ),
            ],
            "events" => vec![rule("", "events", READ), rule("events.k8s.io", "events", READ)],
            "deployment" => {
                vec![rule("apps", "deployments", READ), rule("apps", "statefulsets", READ)]
            }
            _ => Vec::new(),
        };
        for rule in rules {
            if !found.contains(&rule) {
                found.push(rule);
            }
        }
    }
    found
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}
