//! Which labels an object carries.
//!
//! | on | labels |
//! |---|---|
//! | network policies | base |
//! | Deployments, `StatefulSet`s, pods, Services, Secrets | base and the service, which is what pods are selected by |
//! | service accounts, roles, role bindings | the same and the lease |
//! | namespace, quota, limit range, custom resource `Manifest` | base and the lease |
//! | hostnames | `akash.network` and the lease |

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::Lease;
use crate::cluster::kubernetes::names;

pub(super) type Labels = BTreeMap<String, String>;

impl Lease<'_> {
    pub(super) fn base(&self) -> Labels {
        let mut labels = ours();
        labels.insert(names::NAMESPACE.to_owned(), self.namespace.clone());
        labels
    }

    pub(super) fn base_and_lease(&self) -> Labels {
        let mut labels = self.base();
        labels.append(&mut names::lease_labels(&self.workload.lease));
        labels
    }

    pub(super) fn of_service(&self, service: &str) -> Labels {
        names::selector(&self.namespace, service)
    }

    pub(super) fn of_service_and_lease(&self, service: &str) -> Labels {
        let mut labels = self.of_service(service);
        labels.append(&mut names::lease_labels(&self.workload.lease));
        labels
    }

    pub(super) fn of_lease(&self) -> Labels {
        let mut labels = ours();
        labels.append(&mut names::lease_labels(&self.workload.lease));
        labels
    }

    /// Selects the pods of a service.
    pub(super) fn pods_of(&self, service: &str) -> LabelSelector {
        selecting(self.of_service(service))
    }
}

fn ours() -> Labels {
    Labels::from([(names::NETWORK.to_owned(), "true".to_owned())])
}

pub(super) fn selecting(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

pub(super) fn one(key: &str, value: &str) -> Labels {
    Labels::from([(key.to_owned(), value.to_owned())])
}

/// Metadata that says no more than its labels: id and hash are added later.
pub(super) fn labelled(labels: Labels) -> ObjectMeta {
    ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }
}
