//! Sealed at rest: no file of the store says what a tenant keeps secret, and the rows open with their key alone.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use lessor::{
    provider::port::{ManifestRow, ManifestStored, Store},
    store::{
        OpenError, Settings, Sqlite,
        backup::{BackupError, backup, restore},
        check::check,
        reseal::{ResealError, reseal},
        seal::{SealError, SealKeys, default_key_file},
    },
};
use sqlx::{Connection, SqliteConnection};

use super::fixtures::{Home, at, claim_all, deployment, lease};

const SECRET: &str = "hunter2-of-the-tenant";

fn manifest(dseq: u64) -> ManifestRow {
    ManifestRow {
        deployment: deployment(dseq),
        hash: format!("hash{dseq}"),
        body: format!("[{{\"env\":[\"PASSWORD={SECRET}\"],\"dseq\":{dseq}}}]"),
        received_at: at(0),
    }
}

async fn upload(store: &Sqlite, dseq: u64) {
    let stored = store.store_manifest(&manifest(dseq), &[lease(dseq)], &[], at(0)).await.unwrap();
    assert_eq!(stored, ManifestStored::Done);
}

async fn read(store: &Sqlite, dseq: u64) -> Option<ManifestRow> {
    store.manifest(&deployment(dseq), &format!("hash{dseq}")).await.unwrap()
}

async fn change(path: &Path, statement: &'static str) {
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Every file of a folder that has the secret in it.
fn files_with_the_secret(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut files = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        files += 1;
        if bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    assert!(files >= 3, "the store, its log, its key");
    found
}

#[tokio::test]
async fn neither_the_file_nor_its_log_nor_a_backup_says_what_a_manifest_says() {
    let home = Home::new().await;
    let store = home.open().await;
    for dseq in 1..=30 {
        upload(&store, dseq).await;
    }
    backup(&home.path(), &home.beside("copy.db")).await.unwrap();
    let folder = home.path().parent().unwrap().to_owned();
    assert_eq!(files_with_the_secret(&folder), Vec::<String>::new());
    assert!(home.beside("lessor.db-wal").exists(), "the log was looked at");
    assert_eq!(read(&store, 7).await, Some(manifest(7)));
    store.close().await;
    assert_eq!(files_with_the_secret(&folder), Vec::<String>::new());
    let key = default_key_file(&home.path());
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{:?}", manifest(1)).contains(SECRET));
}

#[tokio::test]
async fn a_store_without_its_key_or_with_another_is_refused_with_what_to_do() {
    let home = Home::new().await;
    let store = home.open().await;
    upload(&store, 1).await;
    drop(store);
    let key = default_key_file(&home.path());
    fs::rename(&key, home.beside("key.away")).unwrap();
    let missing = Sqlite::open(&home.path(), Settings::default()).await.unwrap_err();
    assert!(
        matches!(missing, OpenError::Seal { source: SealError::Missing { sealed: 1, .. }, .. }),
        "{missing}"
    );
    assert!(missing.to_string().contains("put it back"), "{missing}");
    assert!(!key.exists(), "no new key is made in its place");

    let other = Home::new().await;
    drop(other.open().await);
    fs::copy(default_key_file(&other.path()), &key).unwrap();
    let wrong = Sqlite::open(&home.path(), Settings::default()).await.unwrap_err();
    assert!(matches!(wrong, OpenError::Seal { source: SealError::WrongKey { .. }, .. }), "{wrong}");
    let report = check(&home.path(), &Settings::default()).await.unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].rule, "sealed");

    let settings =
        Settings { keys: Some(SealKeys::File(home.beside("key.away"))), ..Settings::default() };
    let store = home.open_with(settings.clone()).await;
    assert_eq!(read(&store, 1).await, Some(manifest(1)));
    assert_eq!(check(&home.path(), &settings).await.unwrap().findings, []);
}

#[tokio::test]
async fn keys_may_stand_in_the_settings_and_are_changed_there() {
    let home = Home::new().await;
    let (old, new) = ("ab".repeat(32), "cd".repeat(32));
    let settings = |keys: String| Settings {
        keys: Some(SealKeys::Settings(keys.into())),
        ..Settings::default()
    };
    let store = home.open_with(settings(old.clone())).await;
    upload(&store, 1).await;
    drop(store);
    assert!(!default_key_file(&home.path()).exists(), "no file is made beside them");
    let refused = reseal(&home.path(), settings(old.clone()), true, false).await.unwrap_err();
    assert!(refused.to_string().contains("a new key is put before the others there"), "{refused}");
    let both = settings(format!("{new} {old}"));
    assert_eq!(reseal(&home.path(), both, false, false).await.unwrap().resealed, 1);
    let store = home.open_with(settings(new)).await;
    assert_eq!(read(&store, 1).await, Some(manifest(1)));
    drop(store);
    let wrong = Sqlite::open(&home.path(), settings(old.clone())).await.unwrap_err();
    assert!(wrong.to_string().contains("seal.keys of the settings does not have"), "{wrong}");
    assert!(!wrong.to_string().contains(&old) && !format!("{wrong:?}").contains(&old));
}

#[tokio::test]
async fn a_backup_that_its_key_is_missing_for_is_not_put_back() {
    let home = Home::new().await;
    let store = home.open().await;
    upload(&store, 1).await;
    backup(&home.path(), &home.beside("copy.db")).await.unwrap();
    let target = home.beside("other.db");
    let refused = restore(&home.beside("copy.db"), &target, &Settings::default(), false, at(5))
        .await
        .unwrap_err();
    assert!(matches!(refused, BackupError::Sealed { .. }), "{refused}");
    assert!(!target.exists());
}

#[tokio::test]
async fn keys_change_under_a_process_that_goes_on_and_old_backups_stay_good() {
    let home = Home::new().await;
    let store = home.open().await;
    for dseq in 1..=120 {
        upload(&store, dseq).await;
    }
    backup(&home.path(), &home.beside("copy.db")).await.unwrap();
    let done = reseal(&home.path(), Settings::default(), true, false).await.unwrap();
    assert_eq!((done.resealed, done.left.len()), (120, 0));
    for dseq in [1, 60, 120] {
        assert_eq!(read(&store, dseq).await, Some(manifest(dseq)), "the process that ran on");
    }
    upload(&store, 121).await;
    let again = reseal(&home.path(), Settings::default(), false, false).await.unwrap();
    assert_eq!((again.key_id, again.resealed), (done.key_id, 0), "nothing is left to do");
    drop(store);
    let old = Sqlite::open(
        &home.beside("copy.db"),
        Settings {
            keys: Some(SealKeys::File(default_key_file(&home.path()))),
            ..Settings::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(read(&old, 5).await, Some(manifest(5)));
    drop(old);
    let done = reseal(&home.path(), Settings::default(), false, true).await.unwrap();
    assert_eq!(done.forgotten, 1);
    assert_eq!(read(&home.open().await, 121).await, Some(manifest(121)));
}

#[tokio::test]
async fn a_process_that_read_nothing_meanwhile_seals_with_no_forgotten_key() {
    let home = Home::new().await;
    let store = home.open().await;
    upload(&store, 1).await;
    reseal(&home.path(), Settings::default(), true, false).await.unwrap();
    let done = reseal(&home.path(), Settings::default(), false, true).await.unwrap();
    assert_eq!(done.forgotten, 1);
    upload(&store, 2).await;
    drop(store);
    let store = home.open().await;
    assert_eq!(read(&store, 2).await, Some(manifest(2)));
}

#[test]
fn keys_that_are_made_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seal.key");
    let line = format!("{}\n", "ab".repeat(32));
    fs::write(&file, line).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| lessor::store::seal::add_key(&file).unwrap());
        }
    });
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 9);
}

#[tokio::test]
async fn a_change_of_keys_that_was_killed_goes_on() {
    let home = Home::new().await;
    let store = home.open().await;
    for dseq in 1..=10 {
        upload(&store, dseq).await;
    }
    let done = reseal(&home.path(), Settings::default(), true, false).await.unwrap();
    let half: String = done.key_id;
    // As after a kill between two batches: a newer key is there and some rows have it.
    lessor::store::seal::add_key(&default_key_file(&home.path())).unwrap();
    upload(&store, 3).await;
    let mixed = reseal(&home.path(), Settings::default(), false, false).await.unwrap();
    assert_ne!(mixed.key_id, half);
    assert_eq!(mixed.resealed, 9);
    assert_eq!(read(&store, 10).await, Some(manifest(10)));
}

#[tokio::test]
async fn a_tampered_record_is_an_error_and_stops_nobody_else() {
    let home = Home::new().await;
    let store = home.open().await;
    upload(&store, 1).await;
    upload(&store, 2).await;
    // The body of one row in the place of another's.
    change(
        &home.path(),
        "UPDATE manifests SET body = (SELECT body FROM manifests WHERE hash = 'hash2')
         WHERE hash = 'hash1'",
    )
    .await;
    let error = store.manifest(&deployment(1), "hash1").await.unwrap_err();
    assert!(!error.is_transient);
    assert!(error.to_string().contains("was changed since it was sealed"), "{error}");
    assert_eq!(read(&store, 2).await, Some(manifest(2)));
    assert_eq!(claim_all(&store, at(0)).await.len(), 2, "both deployments are stepped");
    let report = check(&home.path(), &Settings::default()).await.unwrap();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let done = reseal(&home.path(), Settings::default(), true, false).await.unwrap();
    assert_eq!((done.resealed, done.left.len()), (1, 1));
    let refused = reseal(&home.path(), Settings::default(), false, true).await.unwrap_err();
    assert!(matches!(refused, ResealError::StillNeeded(1)), "{refused}");
    upload(&store, 1).await;
    assert_eq!(read(&store, 1).await, Some(manifest(1)), "the tenant uploads it again");
}

#[tokio::test]
async fn rows_from_before_are_sealed_at_the_next_start_and_leave_no_trace() {
    let home = Home::new().await;
    let store = home.open().await;
    for dseq in 1..=60 {
        upload(&store, dseq).await;
    }
    store.close().await;
    drop(store);
    change(
        &home.path(),
        "UPDATE manifests SET sealed_by = NULL,
            body = '[{\"env\":[\"PASSWORD=hunter2-of-the-tenant\"],\"dseq\":' || seq || '}]'",
    )
    .await;
    let folder = home.path().parent().unwrap().to_owned();
    assert!(!files_with_the_secret(&folder).is_empty(), "the test sees an open row");
    let store = home.open().await;
    assert_eq!(read(&store, 60).await, Some(manifest(60)));
    assert_eq!(files_with_the_secret(&folder), Vec::<String>::new());
}
