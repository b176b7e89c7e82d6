//! What runs a service: a `StatefulSet` when it has persistent volumes, else a Deployment.
//!
//! A replica is taken down before the next one comes, since what is leased is what there is: one more would not fit.

use k8s_openapi::{
    api::apps::v1::{
        Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
        RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Lease, container::some, labels::labelled, pod, service::Service, volumes};
use crate::cluster::kubernetes::object::{Kind, Object};

pub(super) fn object(lease: &Lease<'_>, service: &Service<'_>) -> Object {
    let metadata = labelled(lease.of_service(service.name));
    let replicas = i32::try_from(service.manifest.count).ok();
    let selector = lease.pods_of(service.name);
    let template = pod::template(lease, service);
    let rolling = || Some("RollingUpdate".to_owned());
    if service.persistent().next().is_none() {
        let strategy = DeploymentStrategy {
            type_: rolling(),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(0)),
                max_unavailable: Some(IntOrString::Int(1)),
            }),
        };
        let spec = DeploymentSpec {
            replicas,
            revision_history_limit: Some(10),
            selector,
            strategy: Some(strategy),
            template,
            ..DeploymentSpec::default()
        };
        let body = Deployment { metadata, spec: Some(spec), status: None };
        return lease.object(Kind::Deployment, service.name, &body);
    }
    let strategy = StatefulSetUpdateStrategy {
        type_: rolling(),
        rolling_update: Some(RollingUpdateStatefulSetStrategy {
            partition: Some(0),
            ..RollingUpdateStatefulSetStrategy::default()
        }),
    };
    let spec = StatefulSetSpec {
        replicas,
        revision_history_limit: Some(1),
        selector,
        template,
        update_strategy: Some(strategy),
        volume_claim_templates: some(volumes::claims(service)),
        ..StatefulSetSpec::default()
    };
    let body = StatefulSet { metadata, spec: Some(spec), status: None };
    lease.object(Kind::StatefulSet, service.name, &body)
}
