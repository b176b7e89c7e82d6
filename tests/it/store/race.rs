//! Many tasks, one store; many stores, one file. Two stores on a file are what two processes have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use futures_util::future::join_all;
use lessor::{
    provider::port::{Commit, Committed, Ingested, Reservations, Store, Subject},
    store::Sqlite,
};
use serde_json::json;

use super::fixtures::{
    Home, at, claimed, cluster_effect, event, ingest, keep, order, reservation, subject, wanting,
};

const SUBJECTS: u64 = 40;

async fn two_stores(home: &Home) -> [Sqlite; 2] {
    [home.open().await, home.open().await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_never_own_one_subject() {
    let home = Home::new().await;
    let stores = two_stores(&home).await;
    let subjects: Vec<Subject> = (1..=SUBJECTS).map(subject).collect();
    stores[0].wake(&subjects, None, at(0)).await.unwrap();
    let owned: Mutex<Vec<(Subject, u64)>> = Mutex::default();
    join_all((0..8_usize).map(|worker| {
        let store = &stores[worker % 2];
        let owned = &owned;
        async move {
            loop {
                let claims = store.claim(&worker.to_string(), at(0), at(30), 3).await.unwrap();
                if claims.is_empty() {
                    return;
                }
                let claims = claims.into_iter().map(|loaded| loaded.claim);
                owned.lock().unwrap().extend(claims.map(|claim| (claim.subject, claim.fence)));
            }
        }
    }))
    .await;
    let owned = owned.into_inner().unwrap();
    let distinct: BTreeSet<&Subject> = owned.iter().map(|(subject, _)| subject).collect();
    assert_eq!(owned.len(), subjects.len());
    assert_eq!(distinct.len(), subjects.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_is_lost_and_no_step_runs_twice_at_once() {
    const WAKES: u64 = 60;
    let home = Home::new().await;
    let stores = two_stores(&home).await;
    let running: Mutex<BTreeSet<Subject>> = Mutex::default();
    let counts: Mutex<BTreeMap<Subject, u64>> = Mutex::default();
    let delivered = std::sync::atomic::AtomicU64::new(0);
    let deliver = async {
        for number in 0..WAKES {
            let dseq = number % 3 + 1;
            let index = u32::try_from(number).unwrap();
            ingest(&stores[0], &number.to_string(), vec![event(dseq, index)]).await;
            delivered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let work = join_all((0..4_usize).map(|worker| {
        let (store, running, counts, delivered) =
            (&stores[worker % 2], &running, &counts, &delivered);
        async move {
            loop {
                let all_came = delivered.load(std::sync::atomic::Ordering::SeqCst) == WAKES;
                let claims = store.claim("worker", at(0), at(30), 2).await.unwrap();
                if claims.is_empty() && all_came && store.next_due().await.unwrap().is_none() {
                    return;
                }
                for loaded in claims {
                    let subject = loaded.claim.subject.clone();
                    assert!(
                        running.lock().unwrap().insert(subject.clone()),
                        "{subject} runs twice"
                    );
                    let seen = store.events(&subject, 99).await.unwrap().len();
                    tokio::task::yield_now().await;
                    counts.lock().unwrap().insert(subject.clone(), seen.try_into().unwrap());
                    running.lock().unwrap().remove(&subject);
                    let done = store.commit(&loaded.claim, at(0), &keep()).await.unwrap();
                    assert_eq!(done, Committed::Done);
                }
                tokio::task::yield_now().await;
            }
        }
    }));
    tokio::join!(deliver, work);
    let counts = counts.into_inner().unwrap();
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|seen| *seen == WAKES / 3), "the last step saw all: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn capacity_is_never_reserved_twice() {
    const ROOM: usize = 5;
    let home = Home::new().await;
    let stores = two_stores(&home).await;
    let mut claims = Vec::new();
    for dseq in 1..=20 {
        claims.push((dseq, claimed(&stores[0], dseq).await));
    }
    let reserved = join_all(claims.iter().map(|(dseq, claim)| {
        let store = &stores[usize::try_from(dseq % 2).unwrap()];
        async move {
            let mut known = Reservations::default();
            loop {
                let mut commit = keep();
                if known.held.len() < ROOM {
                    commit.reserve = vec![reservation(*dseq)];
                    commit.reservations_version = Some(known.version);
                }
                match store.commit(claim, at(0), &commit).await.unwrap() {
                    Committed::Done => return !commit.reserve.is_empty(),
                    Committed::CapacityChanged(present) => known = present,
                    Committed::Fenced => panic!("nobody else claimed {dseq}"),
                }
            }
        }
    }))
    .await;
    assert_eq!(reserved.iter().filter(|reserved| **reserved).count(), ROOM);
    assert_eq!(stores[1].reservations().await.unwrap().held.len(), ROOM);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delivery_that_comes_many_times_at_once_is_accepted_once() {
    let home = Home::new().await;
    let stores = two_stores(&home).await;
    let answers = join_all(
        (0..12_usize).map(|n| ingest(&stores[n % 2], "a", vec![event(1, 0), event(2, 0)])),
    )
    .await;
    let accepted =
        answers.iter().filter(|answer| matches!(answer, Ingested::Accepted { accepted: 2, .. }));
    assert_eq!(accepted.count(), 1);
    let repeated = answers.iter().filter(|answer| matches!(answer, Ingested::Repeated { .. }));
    assert_eq!(repeated.count(), 11);
    assert_eq!(stores[0].stream("indexer").await.unwrap().unwrap().events, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_effect_is_begun_by_one_executor() {
    let home = Home::new().await;
    let stores = two_stores(&home).await;
    for dseq in 1..=10 {
        let commit = Commit {
            state: Some(json!(order(dseq))),
            ..wanting(vec![cluster_effect(&format!("apply/{dseq}"))])
        };
        let claim = claimed(&stores[0], dseq).await;
        stores[0].commit(&claim, at(0), &commit).await.unwrap();
    }
    let claims = join_all((0..8_usize).map(|n| {
        let store = &stores[n % 2];
        async move { store.claim_effects("executor", at(0), at(30), 4).await.unwrap() }
    }))
    .await;
    let keys: Vec<String> = claims.into_iter().flatten().map(|claim| claim.effect.key).collect();
    let distinct: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(keys.len(), distinct.len(), "{keys:?}");
}
