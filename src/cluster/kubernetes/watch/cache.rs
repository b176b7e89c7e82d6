//! One kind of object in memory, and how far it can be believed.
//!
//! A cache has a position: the newest version of the cluster that it has heard of. What this process wrote at a later
//! version is not in it yet, so a reader first waits until it is. A cache has an age too: how long ago the API server was
//! heard last. A quiet kind is heard at least each minute, by a bookmark; so silence means a broken watch, not peace.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::held::{Entry, Held, Home, Key, home, key};
use crate::cluster::kubernetes::failure::Failure;

/// A cache that was not heard of for so long is not believed any more: two bookmarks are missing.
pub(super) const SILENCE: Duration = Duration::from_secs(150);

/// The cache of one kind.
pub(in crate::cluster::kubernetes) struct Cache<T> {
    at: Home,
    objects: RwLock<Objects<T>>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

struct Objects<T> {
    by_home: HashMap<String, BTreeMap<Key, Arc<Entry<T>>>>,
    /// Only of those whose home is not their namespace.
    homes: HashMap<Key, String>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the last whole list; `None` before the first.
    synced: Option<Instant>,
    /// Of the last list, event or bookmark.
    heard: Option<Instant>,
    /// The newest version heard of.
    position: u64,
    /// The newest version that this process wrote.
    wrote: u64,
    /// Whether a watch is open, or was when it was heard last.
    is_watched: bool,
    /// Why there is nothing, if there is nothing.
    trouble: Option<Trouble>,
}

/// What keeps a cache from being filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The API server does not serve the kind: its resource definition is not installed.
    NotServed,
    /// The last try failed.
    Broken {
        /// Since when.
        since: Instant,
        /// What happened, in words.
        why: String,
    },
}

/// How far a cache can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// How long ago everything was listed; `None` when never.
    pub synced: Option<Duration>,
    /// How long ago the API server was heard; `None` when never.
    pub heard: Option<Duration>,
    /// Whether changes come by themselves.
    pub is_watched: bool,
    /// Whether something that this process wrote is not in it yet.
    pub is_behind: bool,
    /// What keeps it from being filled.
    pub trouble: Option<Trouble>,
}

impl Freshness {
    /// Whether it can be read as it is.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let is_heard = self.heard.is_some_and(|heard| heard < SILENCE);
        let is_filled = self.synced.is_some() && self.is_watched && !self.is_behind;
        is_heard && (is_filled || self.trouble == Some(Trouble::NotServed))
    }

    /// Whether nobody could have seen it newer than `age` ago.
    #[must_use]
    pub fn is_younger_than(&self, age: Duration) -> bool {
        !self.is_behind && self.synced.is_some() && self.heard.is_some_and(|heard| heard < age)
    }
}

impl<T> Cache<T> {
    /// A cache that knows nothing yet.
    pub(super) fn new(at: Home) -> Self {
        Self {
            at,
            objects: RwLock::new(Objects { by_home: HashMap::new(), homes: HashMap::new() }),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// What belongs to a lease's namespace, by name.
    pub(in crate::cluster::kubernetes) fn of(&self, home: &str) -> Vec<Arc<Entry<T>>> {
        self.read()
            .by_home
            .get(home)
            .map(|found| found.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Everything.
    pub(in crate::cluster::kubernetes) fn all(&self) -> Vec<Arc<Entry<T>>> {
        self.read().by_home.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// One object.
    pub(in crate::cluster::kubernetes) fn get(
        &self,
        home: &str,
        name: &str,
    ) -> Option<Arc<Entry<T>>> {
        self.read().by_home.get(home)?.values().find(|entry| entry.key.name == name).cloned()
    }

    /// Whether anything is in it.
    pub(in crate::cluster::kubernetes) fn len(&self) -> usize {
        self.read().by_home.values().map(BTreeMap::len).sum()
    }

    /// Tells when something has changed.
    pub(in crate::cluster::kubernetes) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// How far it can be believed now.
    pub(in crate::cluster::kubernetes) fn freshness(&self) -> Freshness {
        self.freshness_at(Instant::now())
    }

    fn freshness_at(&self, now: Instant) -> Freshness {
        let state = self.state();
        let ago = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        Freshness {
            synced: ago(state.synced),
            heard: ago(state.heard),
            is_watched: state.is_watched,
            is_behind: state.wrote > state.position,
            trouble: state.trouble.clone(),
        }
    }

    /// Notes that this process wrote an object of the kind, which is now of this version.
    pub(in crate::cluster::kubernetes) fn wrote(&self, version: &str) {
        let mut state = self.state();
        state.wrote = state.wrote.max(number(version));
    }

    /// Forgets what a namespace held, of which the API server has said that it is gone.
    pub(in crate::cluster::kubernetes) fn forget(&self, home: &str) {
        let mut objects = self.write();
        if let Some(gone) = objects.by_home.remove(home) {
            for key in gone.keys() {
                objects.homes.remove(key);
            }
        }
        drop(objects);
        self.changed.send_replace(());
    }

    pub(super) fn heard(&self, version: &str) {
        let mut state = self.state();
        state.heard = Some(Instant::now());
        state.position = state.position.max(number(version));
        state.is_watched = true;
        state.trouble = None;
        drop(state);
        self.changed.send_replace(());
    }

    /// Notes that the API server could not be read. What is known stays known.
    pub(super) fn failed(&self, failure: &Failure) {
        let mut state = self.state();
        let since = match &state.trouble {
            Some(Trouble::Broken { since, .. }) => *since,
            _ => Instant::now(),
        };
        state.trouble = Some(Trouble::Broken { since, why: failure.detail() });
        state.is_watched = false;
        drop(state);
        self.changed.send_replace(());
    }

    /// Notes that the API server does not serve the kind, by its own word: so there is nothing of it.
    pub(super) fn not_served(&self) {
        *self.write() = Objects { by_home: HashMap::new(), homes: HashMap::new() };
        let mut state = self.state();
        *state = State {
            heard: Some(Instant::now()),
            trouble: Some(Trouble::NotServed),
            ..State::default()
        };
        drop(state);
        self.changed.send_replace(());
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects<T>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects<T>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Held> Cache<T> {
    /// Puts everything that there is in the place of what was.
    pub(super) fn replace(&self, all: Vec<T::Wire>, version: &str, is_watched: bool) {
        let mut fresh = Objects { by_home: HashMap::new(), homes: HashMap::new() };
        for wire in all {
            fresh.put(Entry::<T>::of::<T>(wire, self.at));
        }
        *self.write() = fresh;
        let now = Instant::now();
        let mut state = self.state();
        state.synced = Some(now);
        state.heard = Some(now);
        state.position = state.position.max(number(version));
        state.is_watched |= is_watched;
        state.trouble = None;
        drop(state);
        self.changed.send_replace(());
    }

    pub(super) fn put(&self, wire: T::Wire) {
        let entry = Entry::<T>::of::<T>(wire, self.at);
        let version = entry.found.version.clone();
        self.write().put(entry);
        self.heard(&version);
    }

    pub(super) fn remove(&self, wire: &T::Wire) {
        let metadata = T::metadata(wire);
        self.write().remove(&key(metadata), &home(metadata, self.at));
        self.heard(metadata.resource_version.as_deref().unwrap_or_default());
    }
}

impl<T> Objects<T> {
    fn put(&mut self, entry: Entry<T>) {
        let old_home = self.homes.get(&entry.key).cloned();
        if let Some(old) = old_home.filter(|old| *old != entry.home) {
            self.remove(&entry.key, &old);
        }
        if entry.home != entry.key.namespace {
            self.homes.insert(entry.key.clone(), entry.home.clone());
        }
        let at_home = self.by_home.entry(entry.home.clone()).or_default();
        at_home.insert(entry.key.clone(), Arc::new(entry));
    }

    fn remove(&mut self, key: &Key, home: &str) {
        let home = self.homes.remove(key).unwrap_or_else(|| home.to_owned());
        if let Some(at_home) = self.by_home.get_mut(&home) {
            at_home.remove(key);
            if at_home.is_empty() {
                self.by_home.remove(&home);
            }
        }
    }
}

/// Versions of one kind grow; one that is no number says nothing about order.
fn number(version: &str) -> u64 {
    version.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kube::core::PartialObjectMeta;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        cluster::kubernetes::{names, watch::held::Existence},
        domain::{Address, OrderId},
    };

    fn object(namespace: &str, name: &str, version: u64, labels: &Value) -> PartialObjectMeta {
        serde_json::from_value(json!({ "metadata": {
            "namespace": namespace, "name": name, "uid": name, "resourceVersion": version.to_string(),
            "labels": labels,
        } }))
        .unwrap()
    }

    fn names_of(cache: &Cache<Existence>, home: &str) -> Vec<String> {
        cache.of(home).iter().map(|entry| entry.key.name.clone()).collect()
    }

    #[tokio::test]
    async fn what_is_listed_and_what_changes_later_is_found_at_its_home() {
        let cache = Cache::<Existence>::new(Home::Namespace);
        cache.replace(
            vec![object("a", "web", 3, &json!({})), object("b", "db", 4, &json!({}))],
            "5",
            true,
        );
        cache.put(object("a", "api", 6, &json!({})));
        cache.remove(&object("b", "db", 7, &json!({})));
        assert_eq!(names_of(&cache, "a"), ["api", "web"]);
        assert_eq!(cache.len(), 2);
        assert!(cache.of("b").is_empty());
        cache.forget("a");
        assert_eq!(cache.len(), 0);
    }

    #[tokio::test]
    async fn a_hostname_that_moves_to_another_lease_leaves_the_first() {
        let lease = |dseq: u64| {
            let account = |byte: u8| Address::from_bytes(&[byte; 20]).unwrap();
            OrderId::new(account(1), dseq, 1, 1).lease(&account(2))
        };
        let labels = |dseq| serde_json::to_value(names::lease_labels(&lease(dseq))).unwrap();
        let home = |dseq| names::namespace(&lease(dseq));
        let cache = Cache::<Existence>::new(Home::Labels);
        cache.put(object("lease", "app.example.com", 3, &labels(1)));
        assert_eq!(names_of(&cache, &home(1)), ["app.example.com"]);
        cache.put(object("lease", "app.example.com", 4, &labels(2)));
        assert!(cache.of(&home(1)).is_empty());
        assert_eq!(names_of(&cache, &home(2)), ["app.example.com"]);
        cache.remove(&object("lease", "app.example.com", 5, &labels(2)));
        assert_eq!(cache.len(), 0);
    }

    #[tokio::test]
    async fn a_cache_is_believed_while_it_is_watched_and_heard() {
        let cache = Cache::<Existence>::new(Home::Namespace);
        assert!(!cache.freshness().is_current(), "nothing was ever heard");
        cache.replace(Vec::new(), "5", true);
        assert!(cache.freshness().is_current());
        let later = cache.freshness_at(Instant::now() + SILENCE);
        assert!(!later.is_current(), "two bookmarks are missing");
        assert!(later.synced >= Some(SILENCE));
        cache.heard("9");
        assert!(cache.freshness().is_current());
    }

    #[tokio::test]
    async fn what_this_process_wrote_is_waited_for() {
        let cache = Cache::<Existence>::new(Home::Namespace);
        cache.replace(Vec::new(), "5", true);
        cache.wrote("8");
        assert!(cache.freshness().is_behind && !cache.freshness().is_current());
        cache.put(object("a", "web", 8, &json!({})));
        assert!(cache.freshness().is_current());
    }

    #[tokio::test]
    async fn a_kind_that_is_not_served_is_a_state_of_its_own() {
        let cache = Cache::<Existence>::new(Home::Namespace);
        cache.not_served();
        assert_eq!(cache.freshness().trouble, Some(Trouble::NotServed));
        assert!(cache.freshness().is_current(), "there is nothing of it");
        let later = cache.freshness_at(Instant::now() + SILENCE);
        assert!(!later.is_current(), "it may have been installed since");
        cache.failed(&Failure::Stranger(502));
        assert!(!cache.freshness().is_current());
    }

    #[tokio::test]
    async fn a_broken_watch_keeps_what_is_known_and_says_since_when() {
        let cache = Cache::<Existence>::new(Home::Namespace);
        cache.replace(vec![object("a", "web", 3, &json!({}))], "5", true);
        cache.failed(&Failure::Broken("connection refused".to_owned()));
        cache.failed(&Failure::Silence(Duration::from_secs(1)));
        let Some(Trouble::Broken { why, .. }) = cache.freshness().trouble else { panic!() };
        assert_eq!(why, "no answer within 1000 ms");
        assert_eq!(names_of(&cache, "a"), ["web"]);
        assert!(!cache.freshness().is_current());
    }
}
