//! Keeps one cache filled: by a watch that never ends, or by a list when it is asked for.
//!
//! kube's own watcher is not used. It hides bookmarks, without which a quiet kind cannot be told from a dead connection;
//! it ends each watch after five minutes at the latest, which over all kinds is hundreds of requests an hour; and it has
//! no word for a kind that is not served.
//!
//! | what happens | what follows |
//! |---|---|
//! | the watch ends | it goes on where it was, at once if it had said anything |
//! | the version is too old (410) | everything is listed anew |
//! | nothing for [`SILENCE`] | the connection is dead: as if it had ended |
//! | an error | the same again, later and later, up to [`LONGEST`] |
//! | the kind is not served | asked again each minute |

use std::{hash::BuildHasher as _, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use kube::core::WatchEvent;
use tokio::time::Instant;

use super::{
    cache::{Cache, Freshness, SILENCE},
    held::{Entry, Held, Home, Key},
};
use crate::cluster::kubernetes::{
    apply::Found,
    failure::Failure,
    object::Api,
    server::{ApiServer, Which},
};

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_millis(100);
/// How long until a kind that is not served is asked for again.
const NOT_SERVED: Duration = Duration::from_mins(1);
/// How long readers are told the last failure of a list before another list is tried.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a reader waits for a watch to bring what was just written, before it lists.
const CATCH_UP: Duration = Duration::from_secs(2);

/// One kind: where it is read from, and what is known of it.
pub(in crate::cluster::kubernetes) struct Source<T> {
    api: Api,
    which: Which,
    /// Whether a cluster may lack the kind.
    is_optional: bool,
    /// What is known.
    pub(in crate::cluster::kubernetes) cache: Cache<T>,
    /// One list at a time: when the last one failed, and why.
    listing: tokio::sync::Mutex<Option<(Instant, String)>>,
}

/// A kind whatever is kept of it.
#[async_trait]
pub(super) trait Follow: Send + Sync {
    /// Which kind.
    fn api(&self) -> Api;
    /// How far it can be believed.
    fn freshness(&self) -> Freshness;
    /// How many objects are known.
    fn len(&self) -> usize;
    /// Sees to it that what is read next is not older than `age`, or current by a watch.
    async fn refresh(&self, server: &ApiServer, age: Duration) -> Result<(), Failure>;
    /// Watches for ever.
    async fn follow(self: Arc<Self>, server: ApiServer);
    /// What belongs to a lease's namespace.
    fn found(&self, home: &str) -> Vec<(Key, Found)>;
    /// Notes that this process wrote an object of the kind.
    fn wrote(&self, version: &str);
    /// Forgets what a namespace held.
    fn forget(&self, home: &str);
}

impl<T: Held> Source<T> {
    /// The kind's name.
    pub(in crate::cluster::kubernetes) const fn kind(&self) -> &'static str {
        self.api.kind
    }

    pub(super) fn new(api: Api, which: Which, home: Home, is_optional: bool) -> Arc<Self> {
        let which = Which { metadata_only: T::METADATA_ONLY, ..which };
        let listing = tokio::sync::Mutex::default();
        Arc::new(Self { api, which, is_optional, cache: Cache::new(home), listing })
    }

    /// Lists everything, and answers where a watch goes on; `None` when the kind is not served.
    async fn list(&self, server: &ApiServer, is_watched: bool) -> Result<Option<String>, Failure> {
        let mut last = self.listing.lock().await;
        let listed = self.try_list(server, is_watched).await;
        *last = listed.as_ref().err().map(|failure| (Instant::now(), failure.detail()));
        listed
    }

    async fn try_list(
        &self,
        server: &ApiServer,
        is_watched: bool,
    ) -> Result<Option<String>, Failure> {
        match server.list::<T::Wire>(self.api, &self.which).await {
            Ok(listed) => {
                self.cache.replace(listed.items, &listed.version, is_watched);
                Ok(Some(listed.version))
            }
            Err(failure) if self.is_optional && failure.is_unknown_path() => {
                self.absent(server, failure).await.map(|()| None)
            }
            Err(failure) => {
                self.cache.failed(&failure);
                Err(failure)
            }
        }
    }

    /// A path that is not known may be a proxy's answer. Only the API server's own list of groups is believed.
    async fn absent(&self, server: &ApiServer, failure: Failure) -> Result<(), Failure> {
        if let Ok(false) = server.serves(self.api.group).await {
            self.cache.not_served();
            return Ok(());
        }
        self.cache.failed(&failure);
        Err(failure)
    }

    /// Watches from `version` until the watch ends. Answers where to go on (`None`: list anew) and whether it said anything.
    async fn watch(&self, server: &ApiServer, mut version: String) -> (Option<String>, bool) {
        let stream = match server.watch::<T::Wire>(self.api, &self.which, &version).await {
            Ok(stream) => stream,
            Err(failure) => return (self.after(&failure, version), false),
        };
        let mut stream = pin!(stream);
        let mut said = false;
        loop {
            let event = match tokio::time::timeout(SILENCE, stream.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(failure))) => return (self.after(&failure, version), said),
                Ok(None) => return (Some(version), said),
                Err(_) => return (self.after(&Failure::Silence(SILENCE), version), said),
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    keep_version(&mut version, T::metadata(&object).resource_version.as_deref());
                    self.cache.put(object);
                }
                WatchEvent::Deleted(object) => {
                    keep_version(&mut version, T::metadata(&object).resource_version.as_deref());
                    self.cache.remove(&object);
                }
                WatchEvent::Bookmark(bookmark) => {
                    keep_version(&mut version, Some(&bookmark.metadata.resource_version));
                    self.cache.heard(&version);
                }
                WatchEvent::Error(status) => {
                    return (self.after(&Failure::Status(status), version), said);
                }
            }
            said = true;
        }
    }

    fn after(&self, failure: &Failure, version: String) -> Option<String> {
        tracing::debug!(kind = self.api.kind, detail = %failure.detail(), "a watch ended");
        // An old version is nobody's fault, and what is known stays true until it is listed.
        if failure.is_expired() {
            return None;
        }
        self.cache.failed(failure);
        // The kind may have gone, or the version may be of a cluster that was restored: only a list tells.
        let is_lost = match failure {
            Failure::Status(status) => !matches!(status.code, 401 | 403 | 429 | 500 | 503),
            failure => failure.is_unknown_path(),
        };
        (!is_lost).then_some(version)
    }

    /// Waits until the watch has brought what this process wrote.
    async fn catch_up(&self) {
        let mut changes = self.cache.changes();
        let caught_up = async {
            while self.cache.freshness().is_behind {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whoever asked lists when it did not come.
        let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
    }
}

#[async_trait]
impl<T: Held> Follow for Source<T> {
    fn api(&self) -> Api {
        self.api
    }

    fn freshness(&self) -> Freshness {
        self.cache.freshness()
    }

    fn len(&self) -> usize {
        self.cache.len()
    }

    async fn refresh(&self, server: &ApiServer, age: Duration) -> Result<(), Failure> {
        let freshness = self.cache.freshness();
        if freshness.is_watched && freshness.is_behind {
            self.catch_up().await;
        }
        let suffices =
            |freshness: &Freshness| freshness.is_current() || freshness.is_younger_than(age);
        if suffices(&self.cache.freshness()) {
            return Ok(());
        }
        // Many may ask at once; one list is for all of them, and one failure too.
        let mut last = self.listing.lock().await;
        if suffices(&self.cache.freshness()) {
            return Ok(());
        }
        if let Some((_, why)) = last.as_ref().filter(|(when, _)| when.elapsed() < PAUSE) {
            return Err(Failure::Broken(why.clone()));
        }
        let listed = self.try_list(server, false).await;
        *last = listed.as_ref().err().map(|failure| (Instant::now(), failure.detail()));
        listed.map(drop)
    }

    async fn follow(self: Arc<Self>, server: ApiServer) {
        let mut version = None;
        let mut back_off = BackOff::of(self.api);
        loop {
            let from = match version.take() {
                Some(version) => version,
                None => match self.list(&server, true).await {
                    Ok(Some(version)) => version,
                    Ok(None) => {
                        tokio::time::sleep(NOT_SERVED).await;
                        continue;
                    }
                    Err(failure) => {
                        tokio::time::sleep(back_off.next(failure.retry_after())).await;
                        continue;
                    }
                },
            };
            let (next, said) = self.watch(&server, from).await;
            version = next;
            if said {
                back_off.reset();
            } else {
                tokio::time::sleep(back_off.next(None)).await;
            }
        }
    }

    fn found(&self, home: &str) -> Vec<(Key, Found)> {
        let of = |entry: Arc<Entry<T>>| (entry.key.clone(), entry.found.clone());
        self.cache.of(home).into_iter().map(of).collect()
    }

    fn wrote(&self, version: &str) {
        self.cache.wrote(version);
    }

    fn forget(&self, home: &str) {
        self.cache.forget(home);
    }
}

fn keep_version(version: &mut String, newer: Option<&str>) {
    if let Some(newer) = newer.filter(|newer| !newer.is_empty()) {
        newer.clone_into(version);
    }
}

/// Waits that double, a little apart from kind to kind, so that not all knock at once.
struct BackOff {
    next: Duration,
    apart: u32,
}

impl BackOff {
    fn of(api: Api) -> Self {
        let hash = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        let apart = u32::try_from(hash.hash_one(api.plural) % 32).unwrap_or_default();
        Self { next: SHORTEST, apart }
    }

    fn next(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.next + self.next * self.apart / 64;
        self.next = (self.next * 2).min(LONGEST);
        wait.max(asked.unwrap_or_default())
    }

    fn reset(&mut self) {
        self.next = SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kubernetes::object::Kind;

    #[test]
    fn waits_double_up_to_a_limit_and_heed_what_the_server_asks() {
        let mut back_off = BackOff { next: SHORTEST, apart: 0 };
        let waits: Vec<u64> =
            (0..8).map(|_| u64::try_from(back_off.next(None).as_millis()).unwrap()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(back_off.next(Some(Duration::from_secs(30))), Duration::from_secs(30));
        back_off.reset();
        assert_eq!(back_off.next(None), SHORTEST);
        let spread = BackOff::of(Kind::Deployment.api()).next(None);
        assert!(spread >= SHORTEST && spread < SHORTEST * 3 / 2);
    }
}
