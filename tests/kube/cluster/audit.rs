//! What the API server was asked, as its own audit log tells it.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::eventually;

/// What is written down: every request but those of the cluster's own parts, and of readiness.
pub(super) fn policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": [
                "system:apiserver", "system:kube-controller-manager", "system:kube-scheduler",
                "system:kube-proxy", "system:paper",
            ]},
            {"level": "None", "userGroups": ["system:nodes"]},
            {"level": "None", "nonResourceURLs": [
                "/healthz*", "/readyz*", "/livez*", "/version", "/openapi*", "/api", "/apis*",
            ]},
            {"level": "Metadata"},
        ],
    })
}

/// One request of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    /// `get`, `list`, `watch`, `create`, `patch`, `delete`, …
    pub(crate) verb: String,
    /// The plural, with the subresource: `pods`, `pods/log`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) status: u16,
    pub(crate) received: Timestamp,
    /// When it was answered; a watch, when its answer began.
    pub(crate) answered: Timestamp,
}

impl Call {
    /// What the goals count: everything but the opening of watches.
    pub(crate) fn counts(&self) -> bool {
        self.verb != "watch"
    }
}

/// How often each verb was asked of each resource.
pub(crate) fn by_kind(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for call in calls {
        *counted.entry(format!("{} {}", call.verb, call.resource)).or_default() += 1;
    }
    counted
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    #[serde(default)]
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Answer,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    code: u16,
}

/// The requests of a user that the log has, in their order.
fn read(log: &Path, user: &str) -> Vec<Call> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    let mut calls = Vec::new();
    // The last line may be half written.
    for record in text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok()) {
        let who = record.impersonated_user.as_ref().unwrap_or(&record.user);
        if who.username != user || !seen.insert(record.audit_id) {
            continue;
        }
        let Object { resource, subresource, namespace, name } = record.object_ref;
        let resource =
            if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        calls.push(Call {
            verb: record.verb,
            resource,
            namespace,
            name,
            status: record.response_status.code,
            received: record.request_received_timestamp,
            answered: record.stage_timestamp,
        });
    }
    calls.sort_by_key(|call| call.received);
    calls
}

/// The requests of a user up to now. A request of our own marks the end: the log is written in order.
pub(super) async fn calls(log: &Path, user: &str, admin: &Client) -> Vec<Call> {
    let mark = format!("mark-{}", uuid::Uuid::new_v4().simple());
    Api::<Namespace>::all(admin.clone()).get_opt(&mark).await.unwrap();
    eventually("the audit log has the mark", Duration::from_secs(20), async || {
        let text = fs::read_to_string(log).unwrap_or_default();
        text.contains(&mark).then_some(())
    })
    .await;
    read(log, user)
}
