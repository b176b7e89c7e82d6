//! What has to be done so that a lease's objects become the wanted ones; pure.
//!
//! | stage | what | why then |
//! |---|---|---|
//! | 1 | the namespace | everything else of the lease lives in it |
//! | 2 | quota, limits, network policies, secrets, identities | no pod may start before its isolation stands |
//! | 3 | workloads, services, routes, hostnames, addresses | |
//! | 4 | the Manifest | it says what was applied last, so it is written when that is true |
//! | last | what is not wanted any more goes | only after every write succeeded |
//!
//! Within a stage nothing depends on anything. A stage without a write costs nothing, an unchanged lease costs no call.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::takes;
use crate::cluster::kubernetes::object::{Kind, Object, ObjectId};

/// An object of ours as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The object's own identity: another object of the same name has another.
    pub uid: String,
    /// `resourceVersion`.
    pub version: String,
    /// What it was made from; `None` when lessor did not write it, or not last.
    pub hash: Option<String>,
    /// Whether today's provider has fields in it that nobody else has.
    pub is_foreign: bool,
    /// Whether it is being deleted.
    pub is_going: bool,
    /// The fields that others wrote over ours or beside them; `None` where nobody did.
    pub taken: Option<Value>,
}

/// What has to be done for one lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan<'w> {
    /// One after the other; the writes of one stage at once. No stage is empty.
    pub stages: Vec<Vec<Write<'w>>>,
    /// After the last stage, and only if every write succeeded.
    pub removals: Vec<Removal>,
    /// Wanted objects that are being deleted. Until they are gone nothing can be done.
    pub going: Vec<ObjectId>,
}

/// One object to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<'w> {
    /// As it is wanted.
    pub object: &'w Object,
    /// Whether it has to be taken over from today's provider first.
    pub is_foreign: bool,
}

/// One object to remove, if it is still the one that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Which.
    pub id: ObjectId,
    /// Its identity.
    pub uid: String,
    /// Its version, where a newer one may belong to another lease: hostnames and addresses move.
    pub version: Option<String>,
}

impl Plan<'_> {
    /// Whether everything is as it is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty() && self.removals.is_empty() && self.going.is_empty()
    }
}

/// What makes the `found` objects of a lease the `wanted` ones.
///
/// `found` are all objects of this lease, and no others. The namespace is never removed here.
#[must_use]
pub fn plan<'w>(wanted: &'w [Object], found: &BTreeMap<ObjectId, Found>) -> Plan<'w> {
    let mut stages = BTreeMap::<u8, Vec<Write<'_>>>::new();
    let mut going = Vec::new();
    for object in wanted {
        let seen = found.get(&object.id);
        if seen.is_some_and(|seen| seen.is_going) {
            going.push(object.id.clone());
        } else if seen.is_none_or(|seen| !is_as_wanted(seen, object)) {
            let is_foreign = seen.is_some_and(|seen| seen.is_foreign);
            stages.entry(stage(object.id.kind)).or_default().push(Write { object, is_foreign });
        }
    }
    let names: BTreeSet<&ObjectId> = wanted.iter().map(|object| &object.id).collect();
    let removals = found
        .iter()
        .filter(|(id, seen)| id.kind != Kind::Namespace && !seen.is_going && !names.contains(id))
        .map(|(id, seen)| Removal {
            id: id.clone(),
            uid: seen.uid.clone(),
            version: id.kind.moves().then(|| seen.version.clone()),
        })
        .collect();
    Plan { stages: stages.into_values().collect(), removals, going }
}

/// What is not as it was applied of objects that were: missing, or changed by others. An object that is wanted otherwise by now
/// is not among them: that is a matter of the next apply.
#[must_use]
pub fn drift(wanted: &[Object], found: &BTreeMap<ObjectId, Found>) -> Vec<String> {
    let told = wanted.iter().filter_map(|object| {
        let what = match found.get(&object.id) {
            None => "was deleted",
            Some(seen) if seen.is_going => "is being deleted",
            Some(seen) if is_changed(seen, object) => "was changed",
            Some(_) => return None,
        };
        Some(format!("{} {} {what}", object.id.kind.api().kind, object.id.name))
    });
    told.collect()
}

/// Whether others wrote over what lessor had applied.
fn is_changed(seen: &Found, wanted: &Object) -> bool {
    seen.is_foreign
        || seen.hash.is_none()
        || seen.taken.as_ref().is_some_and(|fields| takes(fields, &wanted.body))
}

/// Whoever changes an object keeps annotations that it does not know, so where others wrote, the hash proves nothing.
fn is_as_wanted(seen: &Found, wanted: &Object) -> bool {
    !is_changed(seen, wanted) && seen.hash.as_ref() == Some(&wanted.hash)
}

const fn stage(kind: Kind) -> u8 {
    match kind {
        Kind::Namespace => 1,
        Kind::ResourceQuota
        | Kind::LimitRange
        | Kind::NetworkPolicy
        | Kind::Secret
        | Kind::ServiceAccount
        | Kind::Role
        | Kind::RoleBinding => 2,
        Kind::Deployment
        | Kind::StatefulSet
        | Kind::Service
        | Kind::Ingress
        | Kind::HttpRoute
        | Kind::ProviderHost
        | Kind::ProviderLeasedIp => 3,
        Kind::Manifest => 4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NAMESPACE: &str = "0123";

    fn id(kind: Kind, name: &str) -> ObjectId {
        let namespace = match kind {
            Kind::Namespace => None,
            Kind::Manifest | Kind::ProviderHost | Kind::ProviderLeasedIp => Some("lease"),
            _ => Some(NAMESPACE),
        };
        ObjectId { kind, namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }

    fn object(kind: Kind, name: &str, content: &str) -> Object {
        Object::new(id(kind, name), json!({ "metadata": {}, "spec": { "content": content } }))
    }

    fn lease(image: &str) -> Vec<Object> {
        vec![
            object(Kind::Namespace, NAMESPACE, ""),
            object(Kind::NetworkPolicy, "akash-deployment-restrictions", ""),
            object(Kind::Deployment, "db", "postgres"),
            object(Kind::Deployment, "web", image),
            object(Kind::Service, "web", ""),
            object(Kind::Manifest, NAMESPACE, image),
            object(Kind::ProviderHost, "app.example.com", ""),
        ]
    }

    fn seen(object: &Object) -> (ObjectId, Found) {
        let found = Found {
            uid: format!("uid-{}", object.id.name),
            version: "7".to_owned(),
            hash: Some(object.hash.clone()),
            is_foreign: false,
            is_going: false,
            taken: None,
        };
        (object.id.clone(), found)
    }

    fn seen_all(objects: &[Object]) -> BTreeMap<ObjectId, Found> {
        objects.iter().map(seen).collect()
    }

    fn written(plan: &Plan<'_>) -> Vec<Vec<(Kind, String)>> {
        let name = |write: &Write<'_>| (write.object.id.kind, write.object.id.name.clone());
        plan.stages.iter().map(|stage| stage.iter().map(name).collect()).collect()
    }

    #[test]
    fn a_new_lease_is_written_from_the_outside_in_and_its_manifest_last() {
        let wanted = lease("nginx:1");
        let plan = plan(&wanted, &BTreeMap::new());
        let kinds: Vec<Vec<Kind>> = written(&plan)
            .into_iter()
            .map(|stage| stage.into_iter().map(|(kind, _)| kind).collect())
            .collect();
        assert_eq!(
            kinds,
            [
                vec![Kind::Namespace],
                vec![Kind::NetworkPolicy],
                vec![Kind::Deployment, Kind::Deployment, Kind::Service, Kind::ProviderHost],
                vec![Kind::Manifest],
            ]
        );
        assert!(plan.removals.is_empty() && plan.going.is_empty());
    }

    #[test]
    fn an_unchanged_lease_costs_nothing() {
        let wanted = lease("nginx:1");
        assert!(plan(&wanted, &seen_all(&wanted)).is_empty());
    }

    #[test]
    fn an_update_of_one_service_writes_only_its_objects_and_the_manifest() {
        let wanted = lease("nginx:2");
        let plan = plan(&wanted, &seen_all(&lease("nginx:1")));
        assert_eq!(
            written(&plan),
            [
                vec![(Kind::Deployment, "web".to_owned())],
                vec![(Kind::Manifest, NAMESPACE.to_owned())],
            ]
        );
    }

    #[test]
    fn what_is_not_wanted_any_more_goes_but_never_the_namespace() {
        let found = seen_all(&lease("nginx:1"));
        let mut wanted = lease("nginx:1");
        wanted.retain(|object| {
            !matches!(object.id.kind, Kind::Namespace | Kind::ProviderHost)
                && object.id.name != "db"
        });
        let plan = plan(&wanted, &found);
        assert!(plan.stages.is_empty());
        assert_eq!(
            plan.removals,
            [
                Removal { id: id(Kind::Deployment, "db"), uid: "uid-db".to_owned(), version: None },
                Removal {
                    id: id(Kind::ProviderHost, "app.example.com"),
                    uid: "uid-app.example.com".to_owned(),
                    version: Some("7".to_owned()),
                },
            ]
        );
    }

    #[test]
    fn what_goes_already_is_waited_for_and_not_removed_again() {
        let wanted = lease("nginx:1");
        let mut found = seen_all(&wanted);
        found.get_mut(&id(Kind::Namespace, NAMESPACE)).unwrap().is_going = true;
        let old = object(Kind::Deployment, "old", "");
        let (old, mut old_found) = seen(&old);
        old_found.is_going = true;
        found.insert(old, old_found);
        let plan = plan(&wanted, &found);
        assert_eq!(plan.going, [id(Kind::Namespace, NAMESPACE)]);
        assert!(plan.removals.is_empty());
    }

    #[test]
    fn what_another_provider_wrote_is_taken_over() {
        let wanted = lease("nginx:1");
        let mut found = seen_all(&wanted);
        for (number, found) in found.values_mut().enumerate() {
            found.is_foreign = true;
            // It may have written before lessor did, or after.
            found.hash = found.hash.take().filter(|_| number % 2 == 0);
        }
        let plan = plan(&wanted, &found);
        assert!(plan.stages.iter().flatten().all(|write| write.is_foreign));
        assert_eq!(plan.stages.iter().flatten().count(), wanted.len());
        assert!(plan.removals.is_empty());
    }

    #[test]
    fn what_was_deleted_or_changed_by_hand_is_told_and_written_again_and_nothing_else() {
        let wanted = lease("nginx:1");
        let mut found = seen_all(&wanted);
        assert_eq!(drift(&wanted, &found), [] as [&str; 0]);
        found.remove(&id(Kind::Service, "web"));
        let db = found.get_mut(&id(Kind::Deployment, "db")).unwrap();
        db.taken = Some(json!({ "f:spec": { "f:content": {} } }));
        let web = found.get_mut(&id(Kind::Deployment, "web")).unwrap();
        web.taken = Some(json!({ "f:metadata": { "f:annotations": { "f:theirs": {} } } }));
        assert_eq!(
            drift(&wanted, &found),
            ["Deployment db was changed", "Service web was deleted"]
        );
        assert_eq!(
            written(&plan(&wanted, &found)),
            [vec![(Kind::Deployment, "db".to_owned()), (Kind::Service, "web".to_owned())]]
        );
        // What is wanted otherwise by now is no drift.
        assert_eq!(drift(&lease("nginx:2"), &seen_all(&wanted)), [] as [&str; 0]);
    }

    /// What a cluster holds after a plan was carried out.
    fn carried_out(
        plan: &Plan<'_>,
        mut found: BTreeMap<ObjectId, Found>,
    ) -> BTreeMap<ObjectId, Found> {
        found.extend(plan.stages.iter().flatten().map(|write| seen(write.object)));
        for removal in &plan.removals {
            found.remove(&removal.id);
        }
        found
    }

    fn any_objects() -> impl Strategy<Value = Vec<Object>> {
        let names = proptest::sample::subsequence(vec!["a", "b", "c"], 0..=3);
        let kinds = proptest::sample::subsequence(Kind::ALL[1..].to_vec(), 0..=15);
        (kinds, names, 0..3_u8).prop_map(|(kinds, names, content)| {
            let mut objects = vec![object(Kind::Namespace, NAMESPACE, "")];
            for kind in kinds {
                objects.extend(names.iter().map(|name| object(kind, name, &content.to_string())));
            }
            objects
        })
    }

    proptest! {
        #[test]
        fn a_plan_that_was_carried_out_leaves_nothing_to_do(
            wanted in any_objects(),
            before in any_objects(),
        ) {
            let before = seen_all(&before);
            let after = carried_out(&plan(&wanted, &before), before);
            prop_assert!(plan(&wanted, &after).is_empty());
            let names: Vec<_> = after.into_keys().collect();
            let mut expected: Vec<_> = wanted.iter().map(|object| object.id.clone()).collect();
            expected.sort();
            prop_assert_eq!(names, expected);
        }
    }
}
