//! Effects, their executors, and the account that sends.

use std::slice;

use lessor::{
    domain::Height,
    provider::port::{
        AccountCommit, AccountWork, Commit, Effect, EffectClaim, EffectReport, EffectState,
        Included, Refusal, Store, Subject, Transaction, TransactionState,
    },
};
use serde_json::json;

use crate::store::fixtures::{
    account, at, chain_effect, claim_all, claim_one, cluster_effect, keep, step, subject, wanting,
};

async fn claim_effects(store: &dyn Store, now: i64) -> Vec<EffectClaim> {
    store.claim_effects("executor", at(now), at(now + 30), 10).await.unwrap()
}

async fn claim_effect(store: &dyn Store, now: i64) -> EffectClaim {
    let mut claimed = claim_effects(store, now).await;
    assert_eq!(claimed.len(), 1, "ready: {claimed:?}");
    claimed.remove(0)
}

fn done() -> EffectReport {
    EffectReport::Settled(EffectState::Done { outcome: json!({ "nodes": 2 }) })
}

fn later(second: i64) -> EffectReport {
    EffectReport::Later { error: "the cluster is away".to_owned(), at: at(second) }
}

async fn effects_of(store: &dyn Store, dseq: u64) -> Vec<Effect> {
    store.wake(&[subject(dseq)], None, at(0)).await.unwrap();
    let loaded = claim_one(store, at(0)).await;
    store.give_back(&loaded.claim, at(1_000), None).await.unwrap();
    loaded.effects
}

fn states(effects: &[Effect]) -> Vec<(&str, &EffectState)> {
    effects.iter().map(|effect| (effect.key.as_str(), &effect.state)).collect()
}

pub(crate) async fn an_effect_is_wanted_once_per_key(store: &dyn Store) {
    step(store, 1, &wanting(vec![cluster_effect("apply")])).await;
    let claim = claim_effect(store, 0).await;
    assert_eq!((claim.effect.key.as_str(), claim.effect.attempts), ("apply", 1));
    assert_eq!(claim.effect.body, json!({ "workload": "apply" }));
    assert!(store.report_effect(&claim, &done(), at(0)).await.unwrap());
    // The key is known, also to another subject: what was done is not done again.
    let mut again = cluster_effect("apply");
    again.body = json!("other");
    let commit = wanting(vec![again.clone(), again]);
    let loaded = claim_one(store, at(0)).await;
    store.commit(&loaded.claim, at(0), &commit).await.unwrap();
    step(store, 2, &commit).await;
    assert!(claim_effects(store, 99).await.is_empty());
    let effects = effects_of(store, 1).await;
    assert_eq!(
        states(&effects),
        [("apply", &EffectState::Done { outcome: json!({ "nodes": 2 }) })]
    );
    assert_eq!(effects[0].body, json!({ "workload": "apply" }));
}

pub(crate) async fn an_outcome_wakes_the_subject_until_it_is_absorbed(store: &dyn Store) {
    step(store, 1, &wanting(vec![cluster_effect("apply")])).await;
    let claim = claim_effect(store, 0).await;
    let failed = EffectState::Failed { outcome: json!("no such image") };
    let report = EffectReport::Settled(failed.clone());
    assert!(store.report_effect(&claim, &report, at(1)).await.unwrap());
    let loaded = claim_one(store, at(1)).await;
    assert_eq!(states(&loaded.effects), [("apply", &failed)]);
    store.commit(&loaded.claim, at(1), &keep()).await.unwrap();
    store.wake(&[subject(1)], None, at(2)).await.unwrap();
    let loaded = claim_one(store, at(2)).await;
    assert_eq!(states(&loaded.effects), [("apply", &failed)], "kept until it is absorbed");
    let absorbed = Commit { absorbed_effects: vec!["apply".to_owned()], ..keep() };
    store.commit(&loaded.claim, at(2), &absorbed).await.unwrap();
    assert!(effects_of(store, 1).await.is_empty());
}

pub(crate) async fn an_effect_is_withdrawn_only_before_anyone_began_it(store: &dyn Store) {
    step(store, 1, &wanting(vec![cluster_effect("begun"), chain_effect("wanted")])).await;
    claim_effect(store, 0).await;
    let withdraw = Commit {
        withdraw_effects: vec!["begun".to_owned(), "wanted".to_owned()],
        absorbed_effects: vec!["begun".to_owned()],
        ..keep()
    };
    step(store, 1, &withdraw).await;
    let loaded = claim_one(store, at(0)).await;
    assert_eq!(
        states(&loaded.effects),
        [("begun", &EffectState::Begun), ("wanted", &EffectState::Withdrawn)],
        "the subject is woken to see what became of it, and only settled effects are absorbed"
    );
    let work = store.account_work(&account(200), at(0)).await.unwrap().unwrap();
    assert!(work.wanted.is_empty());
    // Another subject's effects are not its to withdraw.
    store.commit(&loaded.claim, at(0), &wanting(vec![chain_effect("mine")])).await.unwrap();
    let withdraw = Commit { withdraw_effects: vec!["mine".to_owned()], ..keep() };
    step(store, 2, &withdraw).await;
    assert!(effects_of(store, 1).await.iter().any(|effect| effect.state == EffectState::Wanted));
}

pub(crate) async fn an_effect_to_be_tried_later_waits_for_its_time(store: &dyn Store) {
    step(store, 1, &wanting(vec![cluster_effect("apply")])).await;
    let claim = claim_effect(store, 0).await;
    assert!(store.report_effect(&claim, &later(5), at(0)).await.unwrap());
    assert!(!store.report_effect(&claim, &done(), at(0)).await.unwrap(), "the claim has ended");
    assert!(claim_effects(store, 4).await.is_empty());
    let waiting = store.effects(&subject(1)).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].last_error.as_deref(), Some("the cluster is away"));
    let again = claim_effect(store, 5).await;
    assert_eq!(again.effect.attempts, 2);
    assert_eq!(again.effect.last_error.as_deref(), Some("the cluster is away"));
    assert_eq!(again.effect.state, EffectState::Begun);
}

pub(crate) async fn an_executor_that_lost_its_claim_reports_nothing(store: &dyn Store) {
    step(store, 1, &wanting(vec![cluster_effect("apply")])).await;
    let first = claim_effect(store, 0).await;
    let second = claim_effect(store, 30).await;
    assert!(second.fence > first.fence);
    assert!(!store.report_effect(&first, &done(), at(31)).await.unwrap());
    assert!(!store.report_effect(&first, &later(31), at(31)).await.unwrap());
    assert!(store.report_effect(&second, &done(), at(31)).await.unwrap());
    let unsettled = EffectReport::Settled(EffectState::Wanted);
    assert!(store.report_effect(&second, &unsettled, at(31)).await.is_err());
}

pub(crate) async fn cluster_effects_of_a_subject_are_carried_out_one_at_a_time(store: &dyn Store) {
    step(store, 1, &wanting(vec![cluster_effect("apply/1"), cluster_effect("teardown/1")])).await;
    let mut urgent = cluster_effect("apply/2");
    urgent.priority = 0;
    step(store, 2, &wanting(vec![urgent])).await;
    let keys = |claims: &[EffectClaim]| -> Vec<String> {
        claims.iter().map(|claim| claim.effect.key.clone()).collect()
    };
    let first = claim_effects(store, 0).await;
    assert_eq!(keys(&first), ["apply/2", "apply/1"], "by priority, then age");
    assert!(claim_effects(store, 1).await.is_empty());
    assert!(store.report_effect(&first[1], &later(60), at(1)).await.unwrap());
    assert_eq!(keys(&claim_effects(store, 2).await), ["teardown/1"], "one that waits blocks none");
    assert_eq!(keys(&claim_effects(store, 2).await), [""; 0]);
}

// ----------------------------------------------------------------------------------------------------- the account

async fn account_work(store: &dyn Store, now: i64) -> Option<AccountWork> {
    store.account_work(&account(200), at(now)).await.unwrap()
}

async fn commit(
    store: &dyn Store,
    work: &AccountWork,
    now: i64,
    commit: &AccountCommit,
) -> Vec<Transaction> {
    store.commit_account(&account(200), work.wakes, at(now), commit).await.unwrap()
}

pub(super) fn transaction(hash: &str, effects: &[&str], timeout_ns: i64) -> Transaction {
    Transaction {
        hash: hash.to_owned(),
        account: account(200),
        effects: effects.iter().map(ToString::to_string).collect(),
        bytes: hash.as_bytes().to_vec(),
        timeout_ns,
        sequence: None,
        last_block: None,
        gas_limit: 200_000,
        fee: "5000uakt".to_owned(),
        state: TransactionState::Signed,
        signed_at: at(0),
        broadcast_at: None,
        broadcasts: 0,
    }
}

/// The far end of every test's time.
pub(super) fn far() -> i64 {
    i64::try_from(at(100_000).as_nanosecond()).unwrap()
}

fn signing(transactions: Vec<Transaction>) -> AccountCommit {
    AccountCommit { signed: transactions, ..AccountCommit::default() }
}

/// Signs a transaction over each effect.
pub(super) async fn sign(store: &dyn Store, transactions: Vec<Transaction>) -> Vec<Transaction> {
    let work = account_work(store, 0).await.unwrap();
    commit(store, &work, 0, &signing(transactions)).await
}

async fn change(store: &dyn Store, now: i64, hash: &str, state: TransactionState) {
    let work = account_work(store, now).await.unwrap();
    let step =
        AccountCommit { changed: vec![(hash.to_owned(), state)], ..AccountCommit::default() };
    commit(store, &work, now, &step).await;
}

fn included() -> TransactionState {
    TransactionState::Included(Included { height: Height(9), failure: None, gas_used: 1 })
}

pub(crate) async fn a_chain_effect_wakes_the_account_that_sends_it(store: &dyn Store) {
    assert_eq!(account_work(store, 0).await, None);
    let mut urgent = chain_effect("close-bid");
    urgent.priority = 0;
    step(store, 1, &wanting(vec![chain_effect("create-bid"), urgent])).await;
    assert!(claim_all(store, at(9)).await.is_empty(), "accounts are claimed by their own method");
    let work = account_work(store, 0).await.unwrap();
    let keys: Vec<&str> = work.wanted.iter().map(|effect| effect.key.as_str()).collect();
    assert_eq!(keys, ["close-bid", "create-bid"]);
    let done = AccountCommit { wake_at: Some(at(12)), ..AccountCommit::default() };
    commit(store, &work, 9, &done).await;
    assert_eq!(account_work(store, 11).await, None, "it waits for the time that its step named");
    let work = account_work(store, 12).await.unwrap();
    store.wake(&[Subject::Account(account(200))], None, at(12)).await.unwrap();
    let done = AccountCommit { wake_at: Some(at(50)), ..AccountCommit::default() };
    commit(store, &work, 12, &done).await;
    assert!(account_work(store, 12).await.is_some(), "what came while it worked is not missed");
    assert!(claim_effects(store, 99).await.is_empty(), "executors of the cluster see none of it");
}

pub(crate) async fn a_signed_transaction_holds_its_effects_until_it_settles(store: &dyn Store) {
    step(store, 1, &wanting(vec![chain_effect("create-bid"), chain_effect("other")])).await;
    let work = account_work(store, 0).await.unwrap();
    let signed = transaction("AA", &["create-bid", "other"], far());
    let kept = commit(store, &work, 0, &signing(vec![signed.clone()])).await;
    assert_eq!(kept, slice::from_ref(&signed));
    assert!(effects_of(store, 1).await.iter().all(|effect| effect.state == EffectState::Begun));

    let handed = AccountCommit {
        changed: vec![("AA".to_owned(), TransactionState::Broadcast)],
        handed: vec![("AA".to_owned(), at(2))],
        wake_at: Some(at(3)),
        ..AccountCommit::default()
    };
    commit(store, &work, 2, &handed).await;
    let work = account_work(store, 3).await.unwrap();
    assert!(work.wanted.is_empty());
    let waiting = Transaction {
        state: TransactionState::Broadcast,
        broadcast_at: Some(at(2)),
        broadcasts: 1,
        ..signed
    };
    assert_eq!(work.unsettled, [waiting], "bytes and all");

    let settle =
        AccountCommit { changed: vec![("AA".to_owned(), included())], ..AccountCommit::default() };
    commit(store, &work, 4, &settle).await;
    store.wake(&[subject(2)], None, at(2_000)).await.unwrap();
    let loaded = claim_one(store, at(1_000)).await;
    assert_eq!(loaded.claim.subject, subject(1), "its outcome is an input");
    let outcome = json!({
        "state": "included", "height": 9, "failure": null, "gas_used": 1, "hash": "AA"
    });
    let done = EffectState::Done { outcome };
    assert_eq!(states(&loaded.effects), [("create-bid", &done), ("other", &done)]);
    assert_eq!(store.transactions(true, None, 10).await.unwrap().rows, []);
    assert_eq!(store.transactions(false, None, 10).await.unwrap().rows.len(), 1);
    assert_eq!(account_work(store, 9_999).await, None);
}

pub(crate) async fn a_transaction_over_withdrawn_effects_is_left_out(store: &dyn Store) {
    step(store, 1, &wanting(vec![chain_effect("a"), chain_effect("b")])).await;
    let work = account_work(store, 0).await.unwrap();
    let withdraw = Commit { withdraw_effects: vec!["a".to_owned()], ..keep() };
    step(store, 1, &withdraw).await;
    let both = vec![transaction("AA", &["a"], far()), transaction("BB", &["b"], far() + 1)];
    let kept = commit(store, &work, 0, &signing(both)).await;
    assert_eq!(kept, [transaction("BB", &["b"], far() + 1)]);
    let again = vec![transaction("CC", &["b"], far() + 2), transaction("DD", &["none"], far() + 3)];
    let kept = commit(store, &work, 0, &signing(again)).await;
    assert_eq!(kept, [], "an effect is held by one transaction");
}

pub(crate) async fn a_transaction_with_a_used_time_out_is_left_out(store: &dyn Store) {
    step(store, 1, &wanting(vec![chain_effect("a"), chain_effect("b")])).await;
    let both = vec![transaction("AA", &["a"], far()), transaction("BB", &["b"], far())];
    let kept = sign(store, both).await;
    assert_eq!(kept, [transaction("AA", &["a"], far())]);
    let left = account_work(store, 0).await.unwrap().wanted;
    assert_eq!(states(&left), [("b", &EffectState::Wanted)], "it can be signed anew");
}

pub(crate) async fn a_settled_transaction_stays_as_it_is(store: &dyn Store) {
    step(store, 1, &wanting(vec![chain_effect("a")])).await;
    sign(store, vec![transaction("AA", &["a"], far())]).await;
    change(store, 0, "AA", included()).await;
    store.wake(&[Subject::Account(account(200))], None, at(0)).await.unwrap();
    change(store, 0, "AA", TransactionState::Expired { seen_at: Height(10) }).await;
    let rows = store.transactions(false, None, 10).await.unwrap().rows;
    assert_eq!(rows[0].state, included());
    let effects = claim_one(store, at(0)).await.effects;
    assert!(matches!(effects[0].state, EffectState::Done { .. }));
}

pub(crate) async fn an_expired_or_refused_transaction_fails_its_effects(store: &dyn Store) {
    let refusal =
        Refusal { codespace: "sdk".to_owned(), code: 13, log: "insufficient fee".to_owned() };
    let failure = Included { height: Height(9), failure: Some(refusal.clone()), gas_used: 1 };
    step(store, 1, &wanting(vec![chain_effect("a"), chain_effect("b"), chain_effect("c")])).await;
    let three = ["a", "b", "c"].iter().zip(1..);
    let three = three.map(|(key, n)| transaction(&key.to_uppercase(), &[key], far() + n));
    sign(store, three.collect()).await;
    for (hash, state) in [
        ("A", TransactionState::Expired { seen_at: Height(10) }),
        ("B", TransactionState::Refused(refusal)),
        ("C", TransactionState::Included(failure)),
    ] {
        change(store, 0, hash, state).await;
    }
    let effects = claim_one(store, at(0)).await.effects;
    let outcome = |index: usize| match &effects[index].state {
        EffectState::Failed { outcome } | EffectState::Done { outcome } => outcome.clone(),
        other => panic!("not settled: {other:?}"),
    };
    assert!(matches!(effects[0].state, EffectState::Failed { .. }));
    assert_eq!(outcome(0), json!({ "state": "expired", "seen_at": 10, "hash": "A" }));
    assert!(matches!(effects[1].state, EffectState::Failed { .. }));
    assert_eq!(outcome(1)["code"], 13);
    assert!(matches!(effects[2].state, EffectState::Done { .. }), "its fee was paid");
    assert_eq!(outcome(2)["failure"]["log"], "insufficient fee");
}

pub(crate) async fn an_effect_can_fail_before_anything_is_signed(store: &dyn Store) {
    step(store, 1, &wanting(vec![chain_effect("a"), chain_effect("b")])).await;
    let work = account_work(store, 0).await.unwrap();
    let failed = EffectState::Failed { outcome: json!({ "reason": "order is closed" }) };
    let step = AccountCommit {
        reports: vec![
            ("a".to_owned(), EffectReport::Settled(failed.clone())),
            ("b".to_owned(), later(20)),
        ],
        ..AccountCommit::default()
    };
    commit(store, &work, 0, &step).await;
    let effects = claim_one(store, at(0)).await.effects;
    assert_eq!(states(&effects), [("a", &failed), ("b", &EffectState::Wanted)]);
    assert_eq!(effects[1].last_error.as_deref(), Some("the cluster is away"));
    assert_eq!(account_work(store, 19).await, None);
    let work = account_work(store, 20).await.unwrap();
    assert_eq!((work.wanted.len(), work.wanted[0].attempts), (1, 1));
}

pub(crate) async fn an_account_is_due_again_when_its_work_says_so(store: &dyn Store) {
    step(store, 1, &wanting(vec![chain_effect("a"), chain_effect("b")])).await;
    let timeout = i64::try_from(at(60).as_nanosecond()).unwrap();
    let nothing = AccountCommit::default();
    // Left without a word: due at once.
    let work = account_work(store, 0).await.unwrap();
    commit(store, &work, 0, &nothing).await;
    // Signed and never handed to a node: due at once.
    let work = account_work(store, 0).await.unwrap();
    let reports = vec![("b".to_owned(), later(50))];
    let signed = vec![transaction("AA", &["a"], timeout)];
    let step = AccountCommit { signed, reports, ..AccountCommit::default() };
    commit(store, &work, 0, &step).await;
    // Handed over: due at the first retry, or the time-out.
    let work = account_work(store, 0).await.unwrap();
    let handed = vec![("AA".to_owned(), at(1))];
    let step = AccountCommit { handed: handed.clone(), ..AccountCommit::default() };
    commit(store, &work, 1, &step).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(50)));
    let work = account_work(store, 50).await.unwrap();
    let step = AccountCommit { reports: vec![("b".to_owned(), later(90))], ..nothing.clone() };
    commit(store, &work, 50, &step).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(60)));
    // A time that the step names comes before these.
    let work = account_work(store, 60).await.unwrap();
    let step = AccountCommit { wake_at: Some(at(70)), ..nothing };
    commit(store, &work, 60, &step).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(70)));
}

pub(crate) async fn of_two_senders_the_first_holds_the_effect(store: &dyn Store) {
    step(store, 1, &wanting(vec![chain_effect("a"), chain_effect("b")])).await;
    let first = account_work(store, 0).await.unwrap();
    let second = account_work(store, 0).await.unwrap();
    assert_eq!(first, second, "nobody owns an account");
    let signed = signing(vec![transaction("AA", &["a"], far())]);
    assert_eq!(commit(store, &first, 0, &signed).await.len(), 1);
    let both = vec![transaction("BB", &["a"], far() + 1), transaction("CC", &["b"], far() + 2)];
    let kept = commit(store, &second, 0, &signing(both)).await;
    assert_eq!(kept, [transaction("CC", &["b"], far() + 2)]);
    assert_eq!(store.transactions(true, None, 10).await.unwrap().rows.len(), 2);
    let foreign = Transaction { account: account(1), ..transaction("DD", &[], far() + 3) };
    let foreign = signing(vec![foreign]);
    assert!(store.commit_account(&account(200), 0, at(0), &foreign).await.is_err());
}

pub(crate) async fn transactions_are_paged_newest_first(store: &dyn Store) {
    let keys = ["a", "b", "c"];
    step(store, 1, &wanting(keys.map(chain_effect).to_vec())).await;
    let signed = keys.iter().zip(1..).map(|(key, n)| transaction(key, &[key], far() + n));
    sign(store, signed.collect()).await;
    change(store, 0, "b", included()).await;
    let hashes =
        |rows: &[Transaction]| -> Vec<String> { rows.iter().map(|row| row.hash.clone()).collect() };
    let first = store.transactions(false, None, 2).await.unwrap();
    assert_eq!(hashes(&first.rows), ["c", "b"]);
    let second = store.transactions(false, first.next.as_deref(), 2).await.unwrap();
    assert_eq!((hashes(&second.rows), second.next), (vec!["a".to_owned()], None));
    let unsettled = store.transactions(true, None, 2).await.unwrap();
    assert_eq!(
        (hashes(&unsettled.rows), unsettled.next),
        (vec!["c".to_owned(), "a".to_owned()], None)
    );
}
