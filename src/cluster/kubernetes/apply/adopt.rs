//! Taking objects over from today's provider; pure.
//!
//! Server-side apply removes a field when the last manager that applied it stops doing so. What today's provider wrote,
//! it wrote by updates: those fields belong to it for ever, and would stay on the object although nobody wants them. So
//! its ownership is made lessor's first, as kubectl does when it moves from client-side to server-side apply; the apply
//! that follows then drops what lessor does not want.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta};
use serde_json::{Value, json};

use crate::cluster::kubernetes::object::FIELD_MANAGER;

/// The field managers of today's provider and its operators: the names of their binaries, now and before.
const FOREIGN: [&str; 2] = ["provider-services", "akash"];

/// Whether today's provider has fields in an object.
#[must_use]
pub fn is_foreign(metadata: &ObjectMeta) -> bool {
    metadata.managed_fields.iter().flatten().any(is_foreign_entry)
}

/// The JSON patch that makes the fields of today's provider lessor's; `None` when there are none. It fails with a
/// conflict when the object has changed meanwhile.
#[must_use]
pub fn take_over(metadata: &ObjectMeta) -> Option<Value> {
    let entries = metadata.managed_fields.as_deref().unwrap_or_default();
    let (foreign, others): (Vec<_>, Vec<_>) = entries.iter().partition(|one| is_foreign_entry(one));
    let mut taken = (*foreign.last()?).clone();
    let (ours, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|one| is_ours(one));
    let owned = foreign.iter().chain(&ours).filter_map(|entry| entry.fields_v1.as_ref());
    let fields = owned.fold(Value::Object(serde_json::Map::default()), |mut all, fields| {
        merge(&mut all, &fields.0);
        all
    });
    taken.manager = Some(FIELD_MANAGER.to_owned());
    taken.operation = Some("Apply".to_owned());
    taken.fields_v1 = Some(FieldsV1(fields));
    let entries: Vec<&ManagedFieldsEntry> = std::iter::once(&taken).chain(others).collect();
    Some(json!([
        { "op": "replace", "path": "/metadata/managedFields", "value": entries },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": metadata.resource_version },
    ]))
}

pub(super) fn is_foreign_entry(entry: &ManagedFieldsEntry) -> bool {
    entry.operation.as_deref() == Some("Update")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
        && entry.manager.as_deref().is_some_and(|manager| FOREIGN.contains(&manager))
}

pub(super) fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.operation.as_deref() == Some("Apply") && entry.manager.as_deref() == Some(FIELD_MANAGER)
}

/// The union of two sets of fields: each is a tree of objects whose leaves are empty.
pub(super) fn merge(into: &mut Value, fields: &Value) {
    let (Value::Object(into), Value::Object(fields)) = (into, fields) else { return };
    for (name, below) in fields {
        merge(into.entry(name.clone()).or_insert_with(|| json!({})), below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: &Value) -> ObjectMeta {
        serde_json::from_value(json!({ "resourceVersion": "12", "managedFields": entries }))
            .unwrap()
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": "apps/v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    #[test]
    fn the_fields_of_today_s_provider_become_ours_and_all_others_stay() {
        let controller = json!({
            "manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
            "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": { "f:status": {} },
            "time": "2026-01-02T00:00:00Z",
        });
        let metadata = metadata(&json!([
            entry("provider-services", "Update", &json!({ "f:spec": { "f:replicas": {} } })),
            entry("lessor", "Apply", &json!({ "f:spec": { "f:template": {} } })),
            controller,
            entry(
                "provider-services",
                "Update",
                &json!({ "f:metadata": { "f:labels": { "f:x": {} } } })
            ),
        ]));
        assert!(is_foreign(&metadata));
        let patch = take_over(&metadata).unwrap();
        let entries = patch[0]["value"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0]["manager"], FIELD_MANAGER);
        assert_eq!(entries[0]["operation"], "Apply");
        assert_eq!(
            entries[0]["fieldsV1"],
            json!({
                "f:spec": { "f:replicas": {}, "f:template": {} },
                "f:metadata": { "f:labels": { "f:x": {} } },
            })
        );
        assert_eq!(entries[1], controller);
        assert_eq!(patch[1]["value"], "12");
    }

    #[test]
    fn an_object_that_is_only_ours_is_left_alone() {
        let metadata = metadata(&json!([
            entry("lessor", "Apply", &json!({})),
            entry("kubectl-edit", "Update", &json!({}))
        ]));
        assert!(!is_foreign(&metadata));
        assert_eq!(take_over(&metadata), None);
        assert_eq!(take_over(&ObjectMeta::default()), None);
    }
}
