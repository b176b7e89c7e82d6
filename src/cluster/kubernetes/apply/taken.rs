//! What others have taken of an object: the fields that somebody else wrote over what lessor had applied; pure.
//!
//! The API server keeps for every field who wrote it last. A field of ours that another one changed is theirs from then on;
//! one that both wrote alike is both's, and nothing is wrong with it.
//!
//! The surprising fact: what others add beside our fields is no business of ours, and no apply takes it away; it must not
//! count, or it would be mended for ever.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Map, Value};

use super::adopt::{is_foreign_entry, is_ours, merge};

/// The fields that others have and lessor has not, without what controllers report; `None` when there are none.
///
/// Fields of today's provider are not among them: those are taken over ([`super::take_over`]).
#[must_use]
pub fn taken(metadata: &ObjectMeta) -> Option<Value> {
    let entries = || metadata.managed_fields.iter().flatten();
    let fields_of = |wanted: fn(&ManagedFieldsEntry) -> bool| {
        let fields = entries().filter(|entry| wanted(entry)).filter_map(|e| e.fields_v1.as_ref());
        fields.fold(Value::Object(Map::new()), |mut all, fields| {
            merge(&mut all, &fields.0);
            all
        })
    };
    let others = without(&fields_of(is_others), &fields_of(is_ours));
    others.as_object().is_some_and(|fields| !fields.is_empty()).then_some(others)
}

/// Whether any of these fields is one that `body` wants.
#[must_use]
pub fn takes(fields: &Value, body: &Value) -> bool {
    let Some(fields) = fields.as_object() else { return false };
    fields.iter().any(|(path, below)| {
        let wanted = match path.split_once(':') {
            Some(("f", name)) => body.get(name),
            Some(("k", keys)) => item(body, keys),
            Some(("v", value)) => value_of(body, value),
            // The thing itself, whose fields are told beside it.
            _ => None,
        };
        wanted.is_some_and(|wanted| is_leaf(below) || takes(below, wanted))
    })
}

fn is_others(entry: &ManagedFieldsEntry) -> bool {
    let is_report = entry.subresource.as_deref() == Some("status");
    !is_report && !is_ours(entry) && !is_foreign_entry(entry)
}

fn is_leaf(fields: &Value) -> bool {
    fields.as_object().is_none_or(Map::is_empty)
}

/// The fields of one set that are not in another.
fn without(fields: &Value, ours: &Value) -> Value {
    let Some(fields) = fields.as_object() else { return Value::Object(Map::new()) };
    let left = fields.iter().filter_map(|(path, below)| {
        let Some(own) = ours.get(path) else { return Some((path.clone(), below.clone())) };
        let left = without(below, own);
        (!is_leaf(&left)).then(|| (path.clone(), left))
    });
    Value::Object(left.collect())
}

/// The item of a list that has these keys.
fn item<'b>(list: &'b Value, keys: &str) -> Option<&'b Value> {
    let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
    // A key that is not written has its default, such as a port's protocol.
    let has = |item: &&Value| {
        keys.iter().all(|(name, value)| item.get(name).is_none_or(|found| found == value))
    };
    list.as_array()?.iter().find(has)
}

/// The member of a list that is a set.
fn value_of<'b>(list: &'b Value, value: &str) -> Option<&'b Value> {
    let value: Value = serde_json::from_str(value).ok()?;
    list.as_array()?.iter().find(|member| **member == value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(entries: &Value) -> ObjectMeta {
        serde_json::from_value(json!({ "managedFields": entries })).unwrap()
    }

    fn entry(manager: &str, operation: &str, subresource: &str, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": "apps/v1",
            "subresource": subresource, "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    fn body() -> Value {
        json!({
            "metadata": { "labels": { "app": "web" } },
            "spec": {
                "replicas": 1,
                "template": { "spec": { "containers": [
                    { "name": "web", "image": "nginx:1", "ports": [{ "containerPort": 80 }] },
                ] } },
                "finalizers": ["a"],
            },
        })
    }

    fn container(fields: &Value) -> Value {
        json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": {
            "k:{\"name\":\"web\"}": fields,
        } } } } })
    }

    #[test]
    fn a_field_of_ours_that_another_one_wrote_over_is_taken() {
        let ours = entry("lessor", "Apply", "", &container(&json!({ ".": {}, "f:name": {} })));
        let image = entry("kubectl-edit", "Update", "", &container(&json!({ "f:image": {} })));
        let found = taken(&metadata(&json!([ours.clone(), image]))).unwrap();
        assert!(takes(&found, &body()));

        let replicas = json!({ "f:spec": { "f:replicas": {} } });
        let scaled = entry("kubectl", "Update", "scale", &replicas);
        assert!(takes(&taken(&metadata(&json!([ours, scaled]))).unwrap(), &body()));
        for (fields, is_taken) in [
            (json!({ "f:metadata": { "f:labels": { ".": {}, "f:app": {} } } }), true),
            (json!({ "f:spec": { "f:finalizers": { "v:\"a\"": {} } } }), true),
            (json!({ "f:spec": { "f:finalizers": { "v:\"b\"": {} } } }), false),
        ] {
            let found = taken(&metadata(&json!([entry("x", "Update", "", &fields)]))).unwrap();
            assert_eq!(takes(&found, &body()), is_taken, "{fields}");
        }
    }

    #[test]
    fn what_others_add_report_or_write_alike_is_not_taken() {
        let image = container(&json!({ "f:image": {} }));
        let ours = entry("lessor", "Apply", "", &image);
        let alike = entry("kubectl-client-side-apply", "Update", "", &image);
        let report =
            entry("controller", "Update", "status", &json!({ "f:spec": { "f:replicas": {} } }));
        let todays =
            entry("provider-services", "Update", "", &json!({ "f:spec": { "f:replicas": {} } }));
        assert_eq!(taken(&metadata(&json!([ours, alike, report, todays]))), None);

        let restarted = json!({ "f:spec": { "f:template": { "f:metadata": { "f:annotations": {
            ".": {}, "f:kubectl.kubernetes.io/restartedAt": {},
        } } } } });
        let found = taken(&metadata(&json!([entry("kubectl-rollout", "Update", "", &restarted)])));
        assert!(!takes(&found.unwrap(), &body()), "an annotation beside ours");
        assert_eq!(taken(&ObjectMeta::default()), None);
    }
}
