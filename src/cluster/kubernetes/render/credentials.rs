//! The Secret with a service's login at its registry, as container runtimes read it.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Map, Value, json};

use super::{Lease, labels::labelled, service::Service};
use crate::{
    cluster::kubernetes::{
        names,
        object::{Kind, Object},
    },
    manifest::Credentials,
};

pub(super) fn object(lease: &Lease<'_>, service: &Service<'_>) -> Option<Object> {
    let login = login(service.credentials?);
    let body = Secret {
        metadata: labelled(lease.of_service(service.name)),
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        data: Some(BTreeMap::from([(
            ".dockerconfigjson".to_owned(),
            ByteString(login.to_string().into_bytes()),
        )])),
        ..Secret::default()
    };
    Some(lease.object(Kind::Secret, names::pull_secret(service.name), &body))
}

fn login(credentials: &Credentials) -> Value {
    let Credentials { host, email, username, password } = credentials;
    let (username, password) = (username.trim(), password.trim());
    let fields = [
        ("username", username.to_owned()),
        ("password", password.to_owned()),
        ("email", email.trim().to_owned()),
        ("auth", BASE64_STANDARD.encode(format!("{username}:{password}"))),
    ];
    let entry: Map<String, Value> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    json!({ "auths": { host.trim(): entry } })
}
