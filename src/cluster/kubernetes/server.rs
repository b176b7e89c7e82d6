//! The API server as lessor asks it: few verbs, each with an end in time.
//!
//! It owns paths, headers and time limits. What an answer means is [`Failure`]'s; when to ask again is the caller's:
//! nothing is repeated here, so that what the audit log counts is what was asked for.
//!
//! The surprising fact: answers are read as text and parsed here, although kube would do it, because kube logs the whole
//! text of an answer that it cannot read, and that may be a tenant's manifest.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{Request, header};
use kube::{
    Client,
    api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, Preconditions},
    core::{ObjectMeta, PartialObjectMeta, WatchEvent, request::Request as Path},
};
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    failure::Failure,
    object::{Api, FIELD_MANAGER, Object, ObjectId},
};

/// Writes that are under way at once, over all leases: an API server sheds load beyond a few hundred.
const WRITES: usize = 32;
/// Objects of one page of a list.
const PAGE: u32 = 500;
/// How long a watch may last. The API server is told, and ends it then; so kinds are opened once an hour.
const WATCH_SECONDS: u32 = 3_700;

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// One API server and how long it may take. Cheap to clone.
#[derive(Clone)]
pub(super) struct ApiServer {
    client: Client,
    timeout: Duration,
    writes: Arc<Semaphore>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct Page<T> {
    metadata: PageMeta,
    #[serde(default = "Vec::new", deserialize_with = "null_as_empty")]
    items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Everything of a kind at one version.
#[derive(Debug)]
pub(super) struct Listed<T> {
    /// What there is.
    pub(super) items: Vec<T>,
    /// The version at which that was so: where a watch goes on.
    pub(super) version: String,
}

/// Which objects of a kind are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Which {
    /// In one namespace, or in all.
    pub(super) namespace: Option<String>,
    /// With these labels.
    pub(super) labels: Option<String>,
    /// With these fields.
    pub(super) fields: Option<String>,
    /// Only names, labels, annotations and the like are asked for.
    pub(super) metadata_only: bool,
}

impl Which {
    fn params(&self, next: Option<String>) -> ListParams {
        ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(PAGE),
            continue_token: next,
            ..ListParams::default()
        }
    }
}

impl ApiServer {
    /// The API server behind `client`, each of whose answers may take `timeout`.
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, writes: Arc::new(Semaphore::new(WRITES)) }
    }

    /// Makes the object what it is wanted to be, whoever else has written it, and answers its metadata.
    pub(super) async fn apply(&self, object: &Object) -> Result<ObjectMeta, Failure> {
        let params = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        let path = path_of(&object.id)?;
        let request = path.patch_metadata(&object.id.name, &params, &Patch::Apply(&object.body));
        let _turn = self.turn().await?;
        let written: PartialObjectMeta = self.ask(built(request)?).await?;
        Ok(written.metadata)
    }

    /// Changes one object by a JSON patch, and answers its metadata.
    pub(super) async fn patch(&self, id: &ObjectId, patch: &Value) -> Result<ObjectMeta, Failure> {
        let path = path_of(id)?;
        let request = Request::patch(format!("{}/{}", path.url_path, id.name))
            .header(header::ACCEPT, METADATA)
            .header(header::CONTENT_TYPE, "application/json-patch+json")
            .body(patch.to_string().into_bytes());
        let _turn = self.turn().await?;
        let written: PartialObjectMeta = self.ask(request.map_err(malformed)?).await?;
        Ok(written.metadata)
    }

    /// Changes a node's labels by a JSON merge patch.
    pub(super) async fn label_node(&self, name: &str, patch: &Value) -> Result<(), Failure> {
        check_name(name)?;
        let request = Request::patch(format!("/api/v1/nodes/{name}"))
            .header(header::ACCEPT, METADATA)
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes());
        let _turn = self.turn().await?;
        self.ask::<IgnoredAny>(request.map_err(malformed)?).await.map(drop)
    }

    /// The whole object; `None` when the API server says that there is none.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        id: &ObjectId,
    ) -> Result<Option<T>, Failure> {
        let request = path_of(id)?.get(&id.name, &GetParams::default());
        present(self.ask(built(request)?).await)
    }

    /// The object's metadata; `None` when the API server says that there is none.
    pub(super) async fn metadata(&self, id: &ObjectId) -> Result<Option<ObjectMeta>, Failure> {
        let request = path_of(id)?.get_metadata(&id.name, &GetParams::default());
        let found: Option<PartialObjectMeta> = present(self.ask(built(request)?).await)?;
        Ok(found.map(|found| found.metadata))
    }

    /// Everything of a kind, page by page.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        api: Api,
        which: &Which,
    ) -> Result<Listed<T>, Failure> {
        let path = path(api, which.namespace.as_deref())?;
        let (mut items, mut next) = (Vec::new(), None);
        loop {
            let params = which.params(next.take());
            let request =
                if which.metadata_only { path.list_metadata(&params) } else { path.list(&params) };
            let page: Page<T> = self.ask(built(request)?).await?;
            items.extend(page.items);
            if page.metadata.next.is_empty() {
                return Ok(Listed { items, version: page.metadata.resource_version });
            }
            next = Some(page.metadata.next);
        }
    }

    /// What changes in a kind after `version`, with a bookmark at least each minute.
    pub(super) async fn watch<T: DeserializeOwned + Clone + Send + 'static>(
        &self,
        api: Api,
        which: &Which,
        version: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<T>, Failure>> + Send + use<T>, Failure> {
        let base = path(api, which.namespace.as_deref())?.url_path;
        let mut url = format!(
            "{base}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        );
        // Selectors are made of labels' and fields' own characters, which all may stand in a query.
        for (name, value) in [("labelSelector", &which.labels), ("fieldSelector", &which.fields)] {
            if let Some(value) = value {
                url = format!("{url}&{name}={value}");
            }
        }
        let accept = if which.metadata_only { METADATA } else { "application/json" };
        let request = Request::get(url).header(header::ACCEPT, accept).body(Vec::new());
        let opened = self.client.request_events::<T>(request.map_err(malformed)?);
        match tokio::time::timeout(self.timeout, opened).await {
            Ok(opened) => Ok(opened?.map(|event| event.map_err(Failure::from))),
            Err(_) => Err(Failure::Silence(self.timeout)),
        }
    }

    /// Removes an object if it is still the one of these preconditions. `false` when there is none any more.
    pub(super) async fn delete(
        &self,
        id: &ObjectId,
        preconditions: Preconditions,
    ) -> Result<bool, Failure> {
        let params = DeleteParams::background().preconditions(preconditions);
        let request = path_of(id)?.delete(&id.name, &params);
        let _turn = self.turn().await?;
        Ok(present(self.ask::<IgnoredAny>(built(request)?).await)?.is_some())
    }

    /// Removes all objects of a kind with these labels. Answers how many there were: 0 is the API server's word that
    /// nothing was left.
    pub(super) async fn delete_all(
        &self,
        api: Api,
        namespace: &str,
        labels: &str,
    ) -> Result<usize, Failure> {
        let request = path(api, Some(namespace))?
            .delete_collection(&DeleteParams::default(), &ListParams::default().labels(labels));
        let mut request = built(request)?;
        request
            .headers_mut()
            .insert(header::ACCEPT, header::HeaderValue::from_static(METADATA_LIST));
        let _turn = self.turn().await?;
        let removed: Page<IgnoredAny> = self.ask(request).await?;
        Ok(removed.items.len())
    }

    /// Whether the API server serves a group, from its own list of groups.
    pub(super) async fn serves(&self, group: &str) -> Result<bool, Failure> {
        #[derive(Deserialize)]
        struct Groups {
            groups: Vec<Group>,
        }
        #[derive(Deserialize)]
        struct Group {
            name: String,
        }
        let request = Request::get("/apis").body(Vec::new()).map_err(malformed)?;
        let served: Groups = self.ask(request).await?;
        Ok(served.groups.iter().any(|served| served.name == group))
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        let closed = |_| Failure::Broken("the process ends".to_owned());
        self.writes.acquire().await.map_err(closed)
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<T, Failure> {
        let answer = tokio::time::timeout(self.timeout, self.client.request_text(request)).await;
        let text = Bytes::from(answer.map_err(|_| Failure::Silence(self.timeout))??);
        serde_json::from_slice(&text).map_err(|error| kube::Error::SerdeError(error).into())
    }
}

fn present<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_absence() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn path_of(id: &ObjectId) -> Result<Path, Failure> {
    check_name(&id.name)?;
    path(id.kind.api(), id.namespace.as_deref())
}

fn path(api: Api, namespace: Option<&str>) -> Result<Path, Failure> {
    let Api { group, version, plural, .. } = api;
    let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
    let place = match namespace {
        Some(namespace) => {
            check_name(namespace)?;
            format!("/namespaces/{namespace}")
        }
        None => String::new(),
    };
    Ok(Path::new(format!("{root}/{version}{place}/{plural}")))
}

/// A name becomes part of a path.
fn check_name(name: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:_".contains(&byte);
    if !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Failure::Malformed(format!(
        "{name:?} is not a name: letters, digits and - . : _ are allowed"
    )))
}

fn built(
    request: Result<Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Request<Vec<u8>>, Failure> {
    request.map_err(|error| Failure::Malformed(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err asks for")]
fn malformed(error: http::Error) -> Failure {
    Failure::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kubernetes::object::Kind;

    fn id(namespace: Option<&str>, name: &str) -> ObjectId {
        ObjectId {
            kind: Kind::Deployment,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    #[test]
    fn paths_are_those_of_core_and_of_groups() {
        let of = |kind: Kind, namespace| path(kind.api(), namespace).unwrap().url_path;
        assert_eq!(of(Kind::Namespace, None), "/api/v1/namespaces");
        assert_eq!(of(Kind::Secret, Some("a")), "/api/v1/namespaces/a/secrets");
        assert_eq!(
            of(Kind::Manifest, Some("lease")),
            "/apis/akash.network/v2beta2/namespaces/lease/manifests"
        );
    }

    #[test]
    fn a_name_that_would_lead_elsewhere_is_no_name() {
        for name in ["", "..", "a/b", "a?b", "a%2fb", "a#b", "a b"] {
            assert!(path_of(&id(Some("lease"), name)).is_err(), "{name}");
            assert!(path_of(&id(Some(name), "web")).is_err(), "{name}");
        }
        assert!(path_of(&id(Some("lease"), "app.example.com")).is_ok());
    }
}
