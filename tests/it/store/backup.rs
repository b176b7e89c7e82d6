//! Backup, restore and check, as an operator uses them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use lessor::{
    provider::port::{ChainIdentity, Commit, Store},
    store::{
        OpenError, Settings, Sqlite,
        backup::{BackupError, backup, restore},
        check::check,
        migrate, schema_version,
    },
};
use sqlx::{Connection, SqliteConnection};

use super::fixtures::{
    Home, at, claim_all, cluster_effect, event, ingest, keep, names, order, order_row, reservation,
    step, subject, wanting,
};

/// Runs the program with a store; returns its exit code and what it printed.
fn run(store: &Path, arguments: &[&str]) -> (i32, String) {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_lessor"))
        .arg("store")
        .args(arguments)
        .env("LESSOR_STORE__PATH", store)
        .output()
        .unwrap();
    let text =
        if done.status.success() || done.stderr.is_empty() { done.stdout } else { done.stderr };
    (done.status.code().unwrap(), String::from_utf8(text).unwrap())
}

async fn on_chain(store: &dyn Store, chain_id: &str) {
    let identity = ChainIdentity {
        chain_id: chain_id.to_owned(),
        first_block_hash: "AA".to_owned(),
        first_block_height: lessor::domain::Height(1),
    };
    store.record_chain_identity(&identity).await.unwrap();
}

async fn change(path: &Path, statement: &'static str) {
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_is_one_state_of_a_store_that_goes_on_and_is_for_its_owner_alone() {
    let home = Home::new().await;
    let store = home.open().await;
    step(&store, 1, &Commit { orders: vec![order_row(1, 1)], ..keep() }).await;
    let target = home.beside("copy.db");
    let made = backup(&home.path(), &target).await.unwrap();
    assert_eq!(made.schema, schema_version());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&target).unwrap().len(), made.bytes);
    step(&store, 2, &Commit { orders: vec![order_row(2, 2)], ..keep() }).await;

    let copy = Sqlite::open(&target, Settings::default()).await.unwrap();
    assert!(copy.order(&order(1)).await.unwrap().is_some());
    assert!(copy.order(&order(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_half_made() {
    let home = Home::new().await;
    let target = home.beside("copy.db");
    fs::write(&target, "mine").unwrap();
    let refused = backup(&home.path(), &target).await.unwrap_err();
    assert!(matches!(refused, BackupError::Exists { .. }), "{refused}");
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    let nowhere = backup(&home.beside("none.db"), &home.beside("b.db")).await.unwrap_err();
    assert!(matches!(nowhere, BackupError::Open(OpenError::File { .. })), "{nowhere}");
    let left: Vec<_> = fs::read_dir(home.path().parent().unwrap())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("lessor-backup") || name == "b.db")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_restore_waits_for_nobody_and_keeps_what_was_there() {
    let home = Home::new().await;
    let store = home.open().await;
    on_chain(&store, "local-1").await;
    let wants = Commit { orders: vec![order_row(1, 1)], ..wanting(vec![cluster_effect("apply")]) };
    step(&store, 1, &wants).await;
    let copy = home.beside("copy.db");
    backup(&home.path(), &copy).await.unwrap();
    let claimed = claim_all(&store, at(0)).await;
    step(&store, 2, &Commit { orders: vec![order_row(2, 2)], ..keep() }).await;

    let in_use = restore(&copy, &home.path(), &Settings::default(), true, at(5)).await.unwrap_err();
    assert!(matches!(in_use, BackupError::InUse { .. }), "{in_use}");
    drop((store, claimed));
    let exists =
        restore(&copy, &home.path(), &Settings::default(), false, at(5)).await.unwrap_err();
    assert!(matches!(exists, BackupError::Exists { .. }), "{exists}");
    assert!(home.open().await.order(&order(2)).await.unwrap().is_some(), "nothing was changed");

    let done = restore(&copy, &home.path(), &Settings::default(), true, at(5)).await.unwrap();
    assert_eq!(done.chain_id.as_deref(), Some("local-1"));
    let store = home.open().await;
    assert!(store.order(&order(2)).await.unwrap().is_none());
    let mark = store.last_restore().await.unwrap().unwrap();
    assert_eq!((mark.number, mark.restored_at, mark.settled_at), (1, at(5), None));
    assert_eq!(mark.behind, 1, "the order of the backup is to be looked at");
    assert_eq!(names(&claim_all(&store, at(5)).await), [subject(1)], "and is due");
    let aside = Sqlite::open(&done.aside.unwrap(), Settings::default()).await.unwrap();
    assert!(aside.order(&order(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_restore_refuses_what_is_damaged_newer_or_of_another_chain_and_changes_nothing() {
    let home = Home::new().await;
    let store = home.open().await;
    on_chain(&store, "local-1").await;
    let rows = (1..300).map(|dseq| order_row(dseq, 0)).collect();
    step(&store, 1, &Commit { orders: rows, ..keep() }).await;
    let copy = home.beside("copy.db");
    backup(&home.path(), &copy).await.unwrap();
    store.close().await;
    drop(store);
    let before = fs::read(home.path()).unwrap();
    let refused = async |path: &Path| {
        restore(path, &home.path(), &Settings::default(), true, at(5)).await.unwrap_err()
    };

    let damaged = home.beside("damaged.db");
    let mut bytes = fs::read(&copy).unwrap();
    bytes[8192..].fill(0xee);
    fs::write(&damaged, bytes).unwrap();
    let error = refused(&damaged).await;
    assert!(matches!(error, BackupError::Unsound { .. }), "{error}");
    let text = home.beside("text.db");
    fs::write(&text, "not a database, but longer than its header would be".repeat(99)).unwrap();
    let error = refused(&text).await;
    assert!(matches!(error, BackupError::Unsound { .. }), "{error}");
    let empty = home.beside("empty.db");
    fs::write(&empty, "").unwrap();
    let error = refused(&empty).await;
    assert!(matches!(error, BackupError::Unsound { .. }), "{error}");

    let newer = home.beside("newer.db");
    fs::copy(&copy, &newer).unwrap();
    change(&newer, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1").await;
    let error = refused(&newer).await;
    assert!(matches!(error, BackupError::Newer { found: 9999, .. }), "{error}");
    let other = home.beside("other.db");
    fs::copy(&copy, &other).unwrap();
    change(&other, "UPDATE chain_identity SET first_block_hash = 'BB'").await;
    let error = refused(&other).await;
    assert!(matches!(error, BackupError::OtherChain { .. }), "{error}");
    assert_eq!(fs::read(home.path()).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_store_is_replaced_by_its_backup() {
    let home = Home::new().await;
    let store = home.open().await;
    let rows = (1..300).map(|dseq| order_row(dseq, 0)).collect();
    step(&store, 1, &Commit { orders: rows, ..keep() }).await;
    let copy = home.beside("copy.db");
    backup(&home.path(), &copy).await.unwrap();
    store.close().await;
    drop(store);
    let mut bytes = fs::read(home.path()).unwrap();
    bytes[..].fill(0xee);
    fs::write(home.path(), bytes).unwrap();
    assert!(matches!(migrate(&home.path()).await.unwrap_err(), OpenError::Corrupt { .. }));
    restore(&copy, &home.path(), &Settings::default(), true, at(5)).await.unwrap();
    assert!(home.open().await.order(&order(299)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_whose_restore_was_killed_is_opened_by_nobody_until_it_is_restored() {
    let home = Home::new().await;
    let copy = home.beside("copy.db");
    backup(&home.path(), &copy).await.unwrap();
    // What a restore leaves that was killed after it moved the first file away.
    fs::write(home.beside("lessor.db.lock"), "restoring\n").unwrap();
    fs::rename(home.path(), home.beside("lessor.db.before")).unwrap();
    let refused = migrate(&home.path()).await.unwrap_err();
    assert!(matches!(refused, OpenError::HalfRestored { .. }), "{refused}");
    assert!(!home.path().exists(), "no empty store in its place");
    restore(&copy, &home.path(), &Settings::default(), true, at(5)).await.unwrap();
    home.open().await.health().await.unwrap();
}

#[tokio::test]
async fn a_sound_store_has_no_findings_also_while_it_is_written() {
    let home = Home::new().await;
    let store = home.open().await;
    ingest(&store, "a", vec![event(5, 0)]).await;
    claim_all(&store, at(0)).await;
    let commit = Commit {
        orders: vec![order_row(1, 3)],
        reserve: vec![reservation(1)],
        reservations_version: Some(0),
        ..wanting(vec![cluster_effect("apply")])
    };
    step(&store, 1, &commit).await;
    let report = check(&home.path(), &Settings::default()).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.schema, schema_version());
    let rows = |table: &str| report.rows.iter().find(|(name, _)| name == table).unwrap().1;
    assert_eq!((rows("orders"), rows("reservations"), rows("effects")), (1, 1, 1));
}

#[tokio::test]
async fn a_check_names_each_row_that_cannot_be() {
    for (statement, rule, expected) in [
        (
            "INSERT INTO reservations VALUES ('x/1/1/1', '{}', 'bid', 0, 0, 0, NULL)",
            "reservations",
            "x/1/1/1, which is not known",
        ),
        ("UPDATE orders SET phase = 'lost'", "reservations", "of which nothing is ours (lost)"),
        ("UPDATE effects SET state = 'odd'", "effects", "effect apply is in the state odd"),
        ("UPDATE effects SET state = 'done'", "effects", "effect apply ended and has no outcome"),
        (
            "UPDATE effects SET state = 'begun', kind = 'chain', account = 'a'",
            "outbox",
            "effect apply is begun and no transaction holds it",
        ),
        (
            "INSERT INTO hostnames VALUES ('a.org', 'l', 'x/1', 'web', NULL)",
            "hostnames",
            "hostname a.org is held by l, whose deployment is not known",
        ),
        (
            "PRAGMA foreign_keys = OFF; INSERT INTO deadlines VALUES ('x/1', 'bid', 1, 0)",
            "foreign_keys",
            "of deadlines names a row that subjects lacks",
        ),
    ] {
        let home = Home::new().await;
        let store = home.open().await;
        let commit = Commit {
            orders: vec![order_row(1, 3)],
            reserve: vec![reservation(1)],
            reservations_version: Some(0),
            ..wanting(vec![cluster_effect("apply")])
        };
        step(&store, 1, &commit).await;
        change(&home.path(), statement).await;
        let report = check(&home.path(), &Settings::default()).await.unwrap();
        assert_eq!(report.findings.len(), 1, "{statement}: {:?}", report.findings);
        assert_eq!(report.findings[0].rule, rule);
        assert!(report.findings[0].message.ends_with(expected), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn the_commands_say_what_they_did_and_exit_codes_tell_programs() {
    let home = Home::new().await;
    let store = home.open().await;
    let commit = Commit {
        orders: vec![order_row(1, 3)],
        reserve: vec![reservation(1)],
        reservations_version: Some(0),
        ..keep()
    };
    step(&store, 1, &commit).await;
    let copy = home.beside("copy.db");
    let copy_name = copy.to_str().unwrap();
    let (code, text) = run(&home.path(), &["backup", copy_name]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("keep the key file too"), "{text}");
    let (code, text) = run(&home.path(), &["backup", copy_name]);
    assert_eq!(code, 1);
    assert!(text.contains("nothing is overwritten"), "{text}");

    let (code, text) = run(&home.path(), &["restore", copy_name, "--replace"]);
    assert_eq!(code, 1);
    assert!(text.contains("a process has the store") && text.contains("stop it first"), "{text}");
    drop(store);
    let (code, text) = run(&home.path(), &["restore", copy_name, "--replace", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let done: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(done["schema"], schema_version());

    let (code, text) = run(&home.path(), &["check"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("not yet compared") && text.contains("nothing is wrong"), "{text}");
    change(&home.path(), "UPDATE orders SET phase = 'lost'").await;
    let (code, text) = run(&home.path(), &["check", "--format", "json"]);
    assert_eq!(code, 3, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["findings"][0]["rule"], "reservations");
    let (code, text) = run(&home.beside("none.db"), &["check"]);
    assert_eq!(code, 1, "{text}");
}
