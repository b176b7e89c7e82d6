//! Subjects: wakes, claims, commits, deadlines.

use lessor::{
    domain::Height,
    provider::port::{Commit, Committed, Deadline, Store, Subject},
};
use serde_json::json;

use crate::store::fixtures::{
    at, claim_all, claim_one, claimed, cluster_effect, deployment, event, ingest, keep, names,
    step, subject, wanting,
};

fn deadline(name: &str, due: i64) -> Deadline {
    Deadline { name: name.to_owned(), due: at(due) }
}

pub(crate) async fn a_step_sees_what_the_last_one_wrote(store: &dyn Store) {
    let state = json!({ "phase": "open", "height": u64::MAX, "text": "ünï\u{0}\n" });
    let commit = Commit {
        state: Some(state.clone()),
        deadlines: vec![deadline("bid", 50), deadline("manifest", 40)],
        ..wanting(vec![cluster_effect("apply")])
    };
    assert_eq!(step(store, 1, &commit).await, Committed::Done);
    assert_eq!(store.subject_state(&subject(1)).await.unwrap(), Some(state.clone()));
    assert_eq!(store.subject_state(&subject(2)).await.unwrap(), None);
    assert!(claim_all(store, at(99)).await.is_empty(), "nothing waits");
    store.wake(&[subject(1), subject(1)], Some(Height(7)), at(99)).await.unwrap();
    let loaded = claim_one(store, at(99)).await;
    assert_eq!(loaded.state, Some(state));
    assert_eq!((loaded.hint, loaded.failures), (Some(Height(7)), 0));
    assert_eq!(loaded.deadlines, [deadline("manifest", 40), deadline("bid", 50)]);
    assert_eq!(loaded.effects.len(), 1);
    assert_eq!(loaded.effects[0].body, json!({ "workload": "apply" }));
    assert_eq!(loaded.effects[0].wanted_at, at(0));
}

pub(crate) async fn a_wake_during_a_step_keeps_the_subject_due(store: &dyn Store) {
    let claim = claimed(store, 1).await;
    store.wake(&[subject(1)], None, at(1)).await.unwrap();
    assert!(claim_all(store, at(1)).await.is_empty(), "it is owned");
    let later = Commit { wake_at: Some(at(60)), ..keep() };
    assert_eq!(store.commit(&claim, at(2), &later).await.unwrap(), Committed::Done);
    let again = claim_one(store, at(2)).await;
    assert!(again.claim.fence > claim.fence);
    assert_eq!(again.claim.wakes, claim.wakes + 1);
}

pub(crate) async fn a_wake_for_later_during_a_step_is_not_lost_and_not_early(store: &dyn Store) {
    let stream = Subject::Stream("indexer".to_owned());
    let gap = |id: &'static str, wake_at| async move {
        use crate::store::fixtures::{ingest_planned, plan};
        let planned = lessor::provider::port::StreamPlan { wake_at: Some(at(wake_at)), ..plan() };
        ingest_planned(store, id, Vec::new(), planned).await;
    };
    gap("a", 0).await;
    let claim = claim_one(store, at(0)).await.claim;
    gap("b", 5).await;
    store.commit(&claim, at(1), &keep()).await.unwrap();
    assert!(claim_all(store, at(4)).await.is_empty());
    assert_eq!(names(&claim_all(store, at(5)).await), [stream]);
}

pub(crate) async fn a_claim_that_lapsed_is_given_to_another_and_the_first_is_fenced(
    store: &dyn Store,
) {
    let first = claimed(store, 1).await;
    assert!(claim_all(store, at(29)).await.is_empty());
    let second = claim_one(store, at(30)).await.claim;
    assert!(second.fence > first.fence);
    let late = Commit { state: Some(json!("late")), ..wanting(vec![cluster_effect("late")]) };
    assert_eq!(store.commit(&first, at(31), &late).await.unwrap(), Committed::Fenced);
    store.give_back(&first, at(31), Some("late")).await.unwrap();
    assert_eq!(store.subject_state(&subject(1)).await.unwrap(), None);
    assert_eq!(store.commit(&second, at(31), &keep()).await.unwrap(), Committed::Done);
    store.wake(&[subject(1)], None, at(31)).await.unwrap();
    let third = claim_one(store, at(31)).await;
    assert!(third.effects.is_empty());
    assert_eq!(third.failures, 0);
}

pub(crate) async fn a_claim_ends_with_its_commit(store: &dyn Store) {
    let claim = claimed(store, 1).await;
    assert_eq!(store.commit(&claim, at(0), &keep()).await.unwrap(), Committed::Done);
    let again = Commit { state: Some(json!("again")), ..Commit::default() };
    assert_eq!(store.commit(&claim, at(0), &again).await.unwrap(), Committed::Fenced);
    assert_eq!(store.subject_state(&subject(1)).await.unwrap(), keep().state);
}

pub(crate) async fn a_fence_of_a_forgotten_subject_is_too_old_for_its_successor(store: &dyn Store) {
    let slept = claimed(store, 1).await;
    let second = claim_one(store, at(30)).await.claim;
    assert_eq!(store.commit(&second, at(30), &Commit::default()).await.unwrap(), Committed::Done);
    store.wake(&[subject(1)], None, at(31)).await.unwrap();
    let successor = claim_one(store, at(31)).await.claim;
    assert_eq!(store.commit(&slept, at(32), &keep()).await.unwrap(), Committed::Fenced);
    assert_eq!(store.commit(&successor, at(32), &keep()).await.unwrap(), Committed::Done);
}

pub(crate) async fn a_subject_woken_by_itself_is_due_at_that_time(store: &dyn Store) {
    let later = Commit { wake_at: Some(at(60)), ..keep() };
    step(store, 1, &later).await;
    assert!(claim_all(store, at(59)).await.is_empty());
    let claim = claim_one(store, at(60)).await.claim;
    step_over(store, &claim).await;
    assert!(claim_all(store, at(1_000)).await.is_empty(), "once");
}

async fn step_over(store: &dyn Store, claim: &lessor::provider::port::Claim) {
    assert_eq!(store.commit(claim, at(60), &keep()).await.unwrap(), Committed::Done);
}

pub(crate) async fn a_subject_without_state_is_forgotten_with_its_deadlines(store: &dyn Store) {
    step(store, 1, &Commit { deadlines: vec![deadline("bid", 1)], ..keep() }).await;
    assert_eq!(store.deadlines(10).await.unwrap(), [(subject(1), deadline("bid", 1))]);
    step(store, 1, &Commit::default()).await;
    assert!(store.deadlines(10).await.unwrap().is_empty());
    assert_eq!(store.subject_state(&subject(1)).await.unwrap(), None);
    assert_eq!(store.next_due().await.unwrap(), None);
}

pub(crate) async fn a_subject_that_is_woken_while_it_is_forgotten_stays(store: &dyn Store) {
    let claim = claimed(store, 1).await;
    store.wake(&[subject(1)], Some(Height(3)), at(1)).await.unwrap();
    store.commit(&claim, at(2), &Commit::default()).await.unwrap();
    let again = claim_one(store, at(2)).await;
    assert_eq!((again.state, again.hint), (None, Some(Height(3))));
}

pub(crate) async fn a_claim_given_back_waits_for_its_time_and_counts_the_failure(
    store: &dyn Store,
) {
    let claim = claimed(store, 1).await;
    store.give_back(&claim, at(5), Some("the node is away")).await.unwrap();
    store.wake(&[subject(1)], None, at(1)).await.unwrap();
    assert!(claim_all(store, at(4)).await.is_empty(), "a wake does not shorten a back-off");
    let second = claim_one(store, at(5)).await;
    assert_eq!(second.failures, 1);
    store.give_back(&second.claim, at(6), None).await.unwrap();
    let third = claim_one(store, at(6)).await;
    assert_eq!(third.failures, 1, "no failure without an error");
    store.give_back(&third.claim, at(7), Some("again")).await.unwrap();
    let fourth = claim_one(store, at(7)).await;
    assert_eq!(fourth.failures, 2);
    store.commit(&fourth.claim, at(7), &keep()).await.unwrap();
    store.wake(&[subject(1)], None, at(7)).await.unwrap();
    assert_eq!(claim_one(store, at(7)).await.failures, 0, "a commit ends the row of failures");
}

pub(crate) async fn known_subjects_are_claimed_before_hints_and_older_ones_first(
    store: &dyn Store,
) {
    step(store, 3, &keep()).await;
    step(store, 4, &keep()).await;
    let account = Subject::Account(crate::store::fixtures::account(200));
    for (woken, second) in
        [(subject(1), 1), (subject(2), 0), (subject(4), 2), (subject(3), 3), (account, 0)]
    {
        store.wake(&[woken], None, at(second)).await.unwrap();
    }
    let first = store.claim("worker", at(9), at(30), 3).await.unwrap();
    assert_eq!(names(&first), [subject(4), subject(3), subject(2)]);
    assert_eq!(names(&claim_all(store, at(9)).await), [subject(1)], "accounts are not among them");
}

pub(crate) async fn hints_are_forgotten_unless_they_came_again(store: &dyn Store) {
    ingest(store, "a", vec![event(1, 0), event(2, 0)]).await;
    let claims: Vec<_> =
        claim_all(store, at(0)).await.into_iter().map(|loaded| loaded.claim).collect();
    ingest(store, "b", vec![event(2, 1)]).await;
    step(store, 3, &keep()).await;
    let known = claimed(store, 3).await;
    let claims = [claims, vec![known]].concat();
    assert_eq!(store.forget(&claims).await.unwrap(), 1);
    assert_eq!(names(&claim_all(store, at(0)).await), [subject(2)]);
    assert_eq!(store.subject_state(&subject(3)).await.unwrap(), keep().state);
    assert_eq!(store.forget(&claims).await.unwrap(), 0);
}

pub(crate) async fn a_hint_stands_alone_until_lessor_itself_wakes_the_subject(store: &dyn Store) {
    ingest(store, "a", vec![event(1, 0)]).await;
    ingest(store, "b", vec![event(1, 1)]).await;
    let hinted = claim_one(store, at(0)).await;
    assert_eq!(hinted.hinted_by.as_deref(), Some("indexer"));
    store.give_back(&hinted.claim, at(1), None).await.unwrap();
    store.wake(&[subject(1)], None, at(1)).await.unwrap();
    let wanted = claim_one(store, at(1)).await;
    assert_eq!(wanted.hinted_by, None);
    store.commit(&wanted.claim, at(1), &keep()).await.unwrap();
    ingest(store, "c", vec![event(1, 2)]).await;
    let known = claim_one(store, at(1)).await;
    assert_eq!(known.hinted_by.as_deref(), Some("indexer"), "what is known is hinted at too");
    assert_eq!(known.hint, Some(Height(1)), "only what was claimed since the commit");
    // A hint that is worth nothing leaves a known subject as it was.
    assert_eq!(store.forget(&[known.claim]).await.unwrap(), 0);
    assert!(claim_all(store, at(100)).await.is_empty());
}

pub(crate) async fn a_hint_that_is_put_off_does_not_hold_up_what_is_due_otherwise(
    store: &dyn Store,
) {
    step(store, 1, &Commit { wake_at: Some(at(10)), ..keep() }).await;
    ingest(store, "a", vec![event(1, 0)]).await;
    let hinted = claim_one(store, at(1)).await;
    assert_eq!(hinted.hinted_by.as_deref(), Some("indexer"));
    store.give_back(&hinted.claim, at(60), None).await.unwrap();
    assert!(claim_all(store, at(9)).await.is_empty());
    let due = claim_one(store, at(10)).await;
    assert_eq!(due.hinted_by, None, "the time of the last commit has come");
    store.commit(&due.claim, at(10), &keep()).await.unwrap();

    ingest(store, "b", vec![event(1, 1)]).await;
    let hinted = claim_one(store, at(11)).await;
    store.give_back(&hinted.claim, at(60), None).await.unwrap();
    store.wake(&[subject(1)], None, at(12)).await.unwrap();
    assert_eq!(claim_one(store, at(12)).await.hinted_by, None, "what was put off is free");
}

pub(crate) async fn a_second_look_for_a_hint_is_a_hint(store: &dyn Store) {
    ingest(store, "a", vec![event(5, 0)]).await;
    let hinted = claim_one(store, at(1)).await;
    let again = Commit { look_again: Some(at(2)), ..Commit::default() };
    store.commit(&hinted.claim, at(1), &again).await.unwrap();
    let hinted = claim_one(store, at(2)).await;
    assert_eq!((hinted.state, hinted.hint), (None, Some(Height(5))));
    assert_eq!(hinted.hinted_by.as_deref(), Some("indexer"));
}

pub(crate) async fn a_deadline_wakes_once_for_each_commit_that_keeps_it(store: &dyn Store) {
    let with_deadline = Commit { deadlines: vec![deadline("bid", 10)], ..keep() };
    step(store, 1, &with_deadline).await;
    assert_eq!(store.wake_due(at(9)).await.unwrap(), 0);
    assert!(claim_all(store, at(0)).await.is_empty());
    assert_eq!(store.wake_due(at(10)).await.unwrap(), 1, "due when block time reaches it");
    assert_eq!(store.wake_due(at(11)).await.unwrap(), 0, "the wake stands until a commit");
    // The host's clock may be behind the chain's.
    let claim = claim_one(store, at(-100)).await.claim;
    store.commit(&claim, at(0), &with_deadline).await.unwrap();
    assert!(claim_all(store, at(50)).await.is_empty());
    assert_eq!(store.wake_due(at(11)).await.unwrap(), 1);
    let claim = claim_one(store, at(0)).await.claim;
    store.commit(&claim, at(0), &keep()).await.unwrap();
    assert_eq!(store.wake_due(at(99)).await.unwrap(), 0, "the set was replaced");
    assert_eq!(
        store.subject_state(&Subject::Deployment(deployment(1))).await.unwrap(),
        keep().state
    );
}

pub(crate) async fn the_store_knows_when_something_is_due_next(store: &dyn Store) {
    assert_eq!(store.next_due().await.unwrap(), None);
    step(store, 1, &Commit { wake_at: Some(at(60)), ..keep() }).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(60)));
    step(store, 2, &Commit { wake_at: Some(at(50)), ..wanting(vec![cluster_effect("e")]) }).await;
    let claim = store.claim_effects("worker", at(0), at(20), 10).await.unwrap().remove(0);
    assert_eq!(store.next_due().await.unwrap(), Some(at(20)), "the executor's claim lapses");
    let later =
        lessor::provider::port::EffectReport::Later { error: "busy".to_owned(), at: at(15) };
    store.report_effect(&claim, &later, at(0)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(15)));
    store
        .wake(&[Subject::Account(crate::store::fixtures::account(200))], None, at(3))
        .await
        .unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(3)));
    let claim = claimed_at(store, 3).await;
    assert_eq!(claim.subject, subject(3));
    assert_eq!(store.next_due().await.unwrap(), Some(at(2)), "a claim that lapses is due again");
}

async fn claimed_at(store: &dyn Store, dseq: u64) -> lessor::provider::port::Claim {
    store.wake(&[subject(dseq)], None, at(0)).await.unwrap();
    store.claim("worker", at(0), at(2), 1).await.unwrap().remove(0).claim
}
