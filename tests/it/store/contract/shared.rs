//! What all subjects share: capacity and hostnames; and manifests.

use lessor::{
    domain::{DeploymentId, LeaseId},
    provider::port::{
        AuditLine, Commit, Committed, HostnameClaim, HostnamesMoved, ManifestRow, ManifestStored,
        Reservation, Reservations, Store, Subject,
    },
};
use serde_json::json;

use crate::store::fixtures::{
    account, at, claim_one, claimed, cluster_effect, deployment, keep, lease, order, order_row,
    reservation, step, subject,
};

fn reserving(dseq: u64, version: u64) -> Commit {
    Commit { reserve: vec![reservation(dseq)], reservations_version: Some(version), ..keep() }
}

async fn version(store: &dyn Store) -> u64 {
    store.reservations().await.unwrap().version
}

pub(crate) async fn a_reservation_on_an_old_version_is_refused_with_the_present_ones(
    store: &dyn Store,
) {
    let empty = store.reservations().await.unwrap();
    assert_eq!(empty.held, []);
    let claim = claimed(store, 2).await;
    assert_eq!(step(store, 1, &reserving(1, empty.version)).await, Committed::Done);
    let refused = store.commit(&claim, at(0), &reserving(2, empty.version)).await.unwrap();
    let present = store.reservations().await.unwrap();
    assert_eq!(present.held, [reservation(1)]);
    assert_eq!(refused, Committed::CapacityChanged(present.clone()));
    // The claim goes on: the same step places again and commits.
    let placed_again = reserving(2, present.version);
    assert_eq!(store.commit(&claim, at(0), &placed_again).await.unwrap(), Committed::Done);
    assert_eq!(store.reservations().await.unwrap().held, [reservation(1), reservation(2)]);
}

pub(crate) async fn every_change_of_the_reservations_raises_their_version(store: &dyn Store) {
    let start = version(store).await;
    step(store, 1, &reserving(1, start)).await;
    let mut last = version(store).await;
    assert!(last > start);
    let leased = Commit { leased: vec![order(1)], ..keep() };
    let applied = Commit { applied: vec![(order(1), at(5))], ..keep() };
    let release = Commit { release: vec![order(1)], ..keep() };
    for change in [&leased, &applied, &release] {
        step(store, 1, change).await;
        let raised = version(store).await;
        assert!(raised > last, "{change:?}");
        last = raised;
        if change == &applied {
            let held = store.reservations().await.unwrap().held;
            let expected = Reservation { leased: true, applied_at: Some(at(5)), ..reservation(1) };
            assert_eq!(held, [expected]);
        }
        step(store, 1, change).await;
        assert_eq!(version(store).await, last, "the same again changes nothing: {change:?}");
        assert_eq!(store.reservations_unless(last).await.unwrap(), None);
        let read = store.reservations_unless(last - 1).await.unwrap();
        assert_eq!(read, Some(store.reservations().await.unwrap()));
    }
    assert_eq!(store.reservations().await.unwrap(), Reservations { version: last, held: vec![] });
}

pub(crate) async fn a_refused_commit_leaves_nothing_behind(store: &dyn Store) {
    let before = version(store).await;
    let claim = claimed(store, 2).await;
    step(store, 1, &reserving(1, before)).await;
    let refused = Commit {
        orders: vec![order_row(2, 1)],
        effects: vec![cluster_effect("refused")],
        ..reserving(2, before)
    };
    store.commit(&claim, at(0), &refused).await.unwrap();
    assert_eq!(store.order(&order(2)).await.unwrap(), None);
    assert!(store.claim_effects("worker", at(0), at(9), 9).await.unwrap().is_empty());
    assert_eq!(store.subject_state(&subject(2)).await.unwrap(), None);
}

pub(crate) async fn a_reservation_without_a_version_is_an_error(store: &dyn Store) {
    let claim = claimed(store, 1).await;
    let commit = Commit { reservations_version: None, ..reserving(1, 0) };
    let error = store.commit(&claim, at(0), &commit).await.unwrap_err();
    assert!(!error.is_transient);
    assert!(error.to_string().starts_with("commit a step: "), "{error}");
}

fn manifest(deployment: DeploymentId, hash: &str, received: i64) -> ManifestRow {
    ManifestRow {
        deployment,
        hash: hash.to_owned(),
        body: json!([{ "name": hash }]).to_string(),
        received_at: at(received),
    }
}

fn hostname(name: &str, lease: LeaseId) -> HostnameClaim {
    HostnameClaim { hostname: name.to_owned(), lease, service: "web".to_owned() }
}

/// Uploads tenant 1's manifest for a deployment with one lease.
async fn upload(store: &dyn Store, dseq: u64, names: &[&str]) -> ManifestStored {
    let claims: Vec<_> = names.iter().map(|name| hostname(name, lease(dseq))).collect();
    let manifest = manifest(deployment(dseq), "aa", 0);
    store.store_manifest(&manifest, &[lease(dseq)], &claims, at(0)).await.unwrap()
}

pub(crate) async fn a_hostname_of_another_owner_refuses_the_manifest(store: &dyn Store) {
    assert_eq!(upload(store, 1, &["a.example", "b.example"]).await, ManifestStored::Done);
    let theirs = DeploymentId::new(account(2), 1);
    let their_lease = theirs.group(1).order(1).lease(&account(200));
    let claims = ["c.example", "b.example"].map(|name| hostname(name, their_lease.clone()));
    let refused = store
        .store_manifest(
            &manifest(theirs.clone(), "bb", 0),
            std::slice::from_ref(&their_lease),
            &claims,
            at(0),
        )
        .await
        .unwrap();
    let taken =
        ManifestStored::HostnameTaken { hostname: "b.example".to_owned(), holder: lease(1) };
    assert_eq!(refused, taken);
    assert!(store.manifests(&theirs).await.unwrap().is_empty());
    assert!(store.hostnames(&their_lease).await.unwrap().is_empty());
    let loaded = claim_one(store, at(0)).await;
    assert_eq!(loaded.claim.subject, subject(1), "only the accepted upload woke its deployment");
    assert_eq!(loaded.manifests, ["aa"]);
    assert_eq!(
        loaded.hostnames,
        [hostname("a.example", lease(1)), hostname("b.example", lease(1))]
    );
}

pub(crate) async fn a_hostname_stays_with_another_lease_of_its_owner(store: &dyn Store) {
    upload(store, 1, &["a.example"]).await;
    let twice = &["a.example", "b.example", "b.example"];
    assert_eq!(upload(store, 2, twice).await, ManifestStored::Done);
    assert_eq!(store.hostnames(&lease(1)).await.unwrap(), [hostname("a.example", lease(1))]);
    assert_eq!(store.hostnames(&lease(2)).await.unwrap(), [hostname("b.example", lease(2))]);
}

pub(crate) async fn a_new_manifest_replaces_the_hostnames_of_its_leases(store: &dyn Store) {
    upload(store, 1, &["a.example", "b.example"]).await;
    upload(store, 1, &["b.example", "c.example"]).await;
    let held = store.hostnames(&lease(1)).await.unwrap();
    assert_eq!(held, [hostname("b.example", lease(1)), hostname("c.example", lease(1))]);
    assert_eq!(upload(store, 2, &["a.example"]).await, ManifestStored::Done);
    assert_eq!(store.hostnames(&lease(2)).await.unwrap(), [hostname("a.example", lease(2))]);
}

pub(crate) async fn hostnames_are_given_back_with_their_lease(store: &dyn Store) {
    upload(store, 1, &["a.example"]).await;
    let claim = claim_one(store, at(0)).await.claim;
    let release = Commit { release_hostnames: vec![lease(1)], ..keep() };
    store.commit(&claim, at(0), &release).await.unwrap();
    assert!(store.hostnames(&lease(1)).await.unwrap().is_empty());
    assert_eq!(upload(store, 2, &["a.example"]).await, ManifestStored::Done);
}

fn moving() -> AuditLine {
    AuditLine {
        at: at(0),
        actor: "tenant".to_owned(),
        action: "migrate".to_owned(),
        subject: lease(2).to_string(),
        reason: "a.example".to_owned(),
    }
}

/// All subjects that are due, whose claims end at once.
async fn awake(store: &dyn Store) -> Vec<Subject> {
    let mut found = Vec::new();
    for loaded in store.claim("w", at(1), at(60), 9).await.unwrap() {
        found.push(loaded.claim.subject.clone());
        store.commit(&loaded.claim, at(1), &keep()).await.unwrap();
    }
    found.sort();
    found
}

pub(crate) async fn a_hostname_that_is_moved_is_routable_when_it_was_let_go(store: &dyn Store) {
    upload(store, 1, &["a.example"]).await;
    upload(store, 2, &["a.example"]).await;
    awake(store).await;
    let to = |dseq: u64| [hostname("a.example", lease(dseq))];
    let moved = store.move_hostnames(&lease(2), &to(2), &moving(), at(0)).await.unwrap();
    assert_eq!(moved, HostnamesMoved::Done);
    let names = ["a.example".to_owned(), "free.example".to_owned()];
    let holders = store.hostname_holders(&names).await.unwrap();
    assert_eq!(holders, [("a.example".to_owned(), lease(2))]);
    for dseq in [1, 2] {
        assert_eq!(store.hostnames(&lease(dseq)).await.unwrap(), [], "{dseq}: not yet, not more");
    }
    assert_eq!(awake(store).await, [subject(1), subject(2)]);
    assert_eq!(store.audit_lines(None, 1).await.unwrap().rows[0].action, "migrate");

    // A new manifest of its holder does not make it routable, and neither does its old lease as long as it routes it.
    upload(store, 2, &["a.example"]).await;
    awake(store).await;
    let routed = |names: &[&str]| Commit {
        routed: vec![(lease(1), names.iter().map(|name| (*name).to_owned()).collect())],
        ..keep()
    };
    step(store, 1, &routed(&["a.example"])).await;
    assert_eq!(store.hostnames(&lease(2)).await.unwrap(), []);
    step(store, 1, &routed(&["b.example"])).await;
    assert_eq!(store.hostnames(&lease(2)).await.unwrap(), to(2));
    assert!(awake(store).await.contains(&subject(2)), "who waited is woken");

    // Back and forth before anybody lets go: the first holder routes it all the while.
    store.move_hostnames(&lease(1), &to(1), &moving(), at(0)).await.unwrap();
    store.move_hostnames(&lease(2), &to(2), &moving(), at(0)).await.unwrap();
    assert_eq!(store.hostnames(&lease(2)).await.unwrap(), to(2));
    // A lease that ends lets go.
    store.move_hostnames(&lease(1), &to(1), &moving(), at(0)).await.unwrap();
    assert_eq!(store.hostnames(&lease(1)).await.unwrap(), []);
    awake(store).await;
    let release = Commit { release_hostnames: vec![lease(2)], ..keep() };
    step(store, 2, &release).await;
    assert_eq!(store.hostnames(&lease(1)).await.unwrap(), to(1));
}

pub(crate) async fn a_hostname_of_another_owner_is_not_moved(store: &dyn Store) {
    upload(store, 1, &["a.example"]).await;
    let theirs = DeploymentId::new(account(2), 1).group(1).order(1).lease(&account(200));
    let claims = ["c.example", "a.example"].map(|name| hostname(name, theirs.clone()));
    let refused = store.move_hostnames(&theirs, &claims, &moving(), at(0)).await.unwrap();
    let taken =
        HostnamesMoved::HostnameTaken { hostname: "a.example".to_owned(), holder: lease(1) };
    assert_eq!(refused, taken);
    assert_eq!(store.hostnames(&lease(1)).await.unwrap(), [hostname("a.example", lease(1))]);
    assert!(store.hostname_holders(&["c.example".to_owned()]).await.unwrap().is_empty());
}

pub(crate) async fn the_three_newest_manifests_are_kept(store: &dyn Store) {
    for (hash, received) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5)] {
        let manifest = manifest(deployment(1), hash, received);
        store.store_manifest(&manifest, &[lease(1)], &[], at(received)).await.unwrap();
    }
    let kept = store.manifests(&deployment(1)).await.unwrap();
    let expected = [("d", 5), ("a", 4), ("c", 3)];
    assert_eq!(kept, expected.map(|(hash, received)| manifest(deployment(1), hash, received)));
    assert!(store.manifests(&deployment(2)).await.unwrap().is_empty());
}
