//! SQLite's own: the file, its schema, what is left after a crash.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use lessor::{
    provider::port::{Commit, Committed, Ingested, Store},
    store::{Migrated, OpenError, Settings, Sqlite, migrate, schema_version},
};
use sqlx::{Connection, SqliteConnection};

use super::fixtures::{
    Home, at, claim_all, claim_one, cluster_effect, event, ingest, keep, names, order, order_row,
    reservation, step, subject, wanting,
};

#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() {
    let home = Home::new().await;
    let store = home.open().await;
    step(&store, 1, &keep()).await;
    let mut files = 0;
    for file in fs::read_dir(home.path().parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
        files += 1;
    }
    assert!(files >= 2, "the file and its log");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lessor.db");
    let newest = schema_version();
    assert_eq!(migrate(&path).await.unwrap(), Migrated { from: 0, to: newest });
    assert_eq!(migrate(&path).await.unwrap(), Migrated { from: newest, to: newest });
}

#[tokio::test]
async fn processes_that_migrate_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lessor.db");
    let runs = (0..4).map(|_| migrate(&path));
    for run in futures_util::future::join_all(runs).await {
        assert_eq!(run.unwrap().to, schema_version());
    }
    Sqlite::open(&path, Settings::default()).await.unwrap().health().await.unwrap();
}

#[tokio::test]
async fn a_file_of_another_schema_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lessor.db");
    let open = || Sqlite::open(&path, Settings::default());
    let missing = open().await.unwrap_err();
    assert!(matches!(missing, OpenError::File { .. }), "{missing}");

    fs::write(&path, b"").unwrap();
    let older = open().await.unwrap_err();
    assert!(matches!(older, OpenError::Older { found: 0, .. }), "{older}");
    assert!(older.to_string().ends_with("run `lessor migrate`"), "{older}");

    migrate(&path).await.unwrap();
    let store = open().await.unwrap();
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let newer = open().await.unwrap_err();
    assert!(matches!(newer, OpenError::Newer { found: 9999, .. }), "{newer}");
    assert!(matches!(migrate(&path).await.unwrap_err(), OpenError::Newer { .. }));
    assert!(store.health().await.is_err(), "a program that runs meanwhile says so too");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lessor.db");
    fs::write(&path, "not a database, but longer than its header would be".repeat(99)).unwrap();
    let open = Sqlite::open(&path, Settings::default()).await.unwrap_err();
    assert!(matches!(open, OpenError::Corrupt { .. }), "{open}");
    assert!(matches!(migrate(&path).await.unwrap_err(), OpenError::Corrupt { .. }));
}

#[tokio::test]
async fn damage_found_later_is_not_to_be_tried_again() {
    let home = Home::new().await;
    let store = home.open().await;
    put_many_orders(&store).await;
    store.close().await;
    let mut bytes = fs::read(home.path()).unwrap();
    // The first page holds the schema; everything behind it is overwritten.
    bytes[4096..].fill(0xee);
    fs::write(home.path(), bytes).unwrap();
    // SQLite may notice when it opens the file or when it first reads a damaged page.
    match Sqlite::open(&home.path(), Settings::default()).await {
        Err(error) => assert!(matches!(error, OpenError::Corrupt { .. }), "{error}"),
        Ok(store) => {
            let error = store.order_counts().await.unwrap_err();
            assert!(!error.is_transient, "{error}");
        }
    }
}

async fn put_many_orders(store: &dyn Store) {
    let rows = (1..500).map(|dseq| order_row(dseq, 0)).collect();
    step(store, 1, &Commit { orders: rows, ..keep() }).await;
}

#[tokio::test]
async fn everything_is_there_after_a_process_that_never_closed() {
    let home = Home::new().await;
    let store = home.open().await;
    ingest(&store, "a", vec![event(5, 0)]).await;
    let commit = Commit {
        orders: vec![order_row(1, 3)],
        reserve: vec![reservation(1)],
        reservations_version: Some(0),
        ..wanting(vec![cluster_effect("apply")])
    };
    let claimed = claim_all(&store, at(0)).await;
    assert_eq!(names(&claimed), [subject(5)]);
    assert_eq!(step(&store, 1, &commit).await, Committed::Done);
    drop(store);

    let store = home.open().await;
    assert_eq!(store.order(&order(1)).await.unwrap(), Some(order_row(1, 3)));
    assert_eq!(store.reservations().await.unwrap().held, [reservation(1)]);
    assert_eq!(store.claim_effects("w", at(0), at(9), 9).await.unwrap().len(), 1);
    let again = ingest(&store, "a", vec![event(5, 0)]).await;
    assert!(matches!(again, Ingested::Repeated { .. }));
    let lapsed = claim_one(&store, at(30)).await.claim;
    assert_eq!(lapsed.subject, subject(5), "the dead worker's subject");
    assert!(lapsed.fence > claimed[0].claim.fence);
}

/// Where the child of the next test finds its store.
const CHILD_STORE: &str = "LESSOR_TEST_CHILD_STORE";
const EVENTS: u32 = 20;

#[tokio::test]
#[ignore = "the process that `a_process_that_is_killed_leaves_whole_commits_only` kills"]
async fn child_that_writes_until_it_is_killed() {
    let path = std::env::var(CHILD_STORE).unwrap();
    let store = Sqlite::open(path.as_ref(), Settings::default()).await.unwrap();
    let row = store.stream("indexer").await.unwrap();
    for number in row.map_or(0, |row| row.deliveries).. {
        let events = (0..EVENTS).map(|index| event(number + 1, index)).collect();
        ingest(&store, &number.to_string(), events).await;
    }
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_whole_commits_only() {
    let home = Home::new().await;
    let mut committed = 0;
    for round in 1..=5_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::file::child_that_writes_until_it_is_killed"])
            .env(CHILD_STORE, home.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let watcher = home.open().await;
        let wanted = committed + 7 * round;
        while deliveries(&watcher).await < wanted {
            assert_eq!(child.try_wait().unwrap(), None, "the child ended by itself");
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let left = home.open().await;
        committed = deliveries(&left).await;
        assert!(committed >= wanted, "nothing that was committed is lost");
        for number in 0..committed {
            let found = left.events(&subject(number + 1), 99).await.unwrap();
            assert_eq!(found.len(), EVENTS as usize, "delivery {number} of {committed}");
        }
        let beyond = left.events(&subject(committed + 1), 99).await.unwrap();
        assert!(beyond.is_empty(), "nothing of a commit that did not end");
    }
}

async fn deliveries(store: &dyn Store) -> u64 {
    store.stream("indexer").await.unwrap().map_or(0, |row| row.deliveries)
}

#[tokio::test]
async fn a_full_inbox_refuses_what_would_wake_more_and_takes_the_rest() {
    let home = Home::new().await;
    let store = home.open_with(Settings { max_waiting: 2, ..Settings::default() }).await;
    ingest(&store, "a", vec![event(1, 0), event(2, 0)]).await;
    let heartbeat = ingest(&store, "beat", Vec::new()).await;
    assert!(matches!(heartbeat, Ingested::Accepted { .. }));
    assert_eq!(ingest(&store, "b", vec![event(3, 0)]).await, Ingested::Full);
    assert!(matches!(ingest(&store, "a", vec![]).await, Ingested::Repeated { .. }));
    let claims: Vec<_> = claim_all(&store, at(0)).await;
    assert_eq!(ingest(&store, "b", vec![event(3, 0)]).await, Ingested::Full, "not looked at yet");
    for loaded in claims {
        store.commit(&loaded.claim, at(0), &Commit::default()).await.unwrap();
    }
    let accepted = ingest(&store, "b", vec![event(3, 0)]).await;
    assert!(matches!(accepted, Ingested::Accepted { accepted: 1, .. }));
}

#[tokio::test]
async fn an_abandoned_write_leaves_the_store_free_for_the_next() {
    let home = Home::new().await;
    let store = home.open().await;
    for number in 0..200_u64 {
        let id = number.to_string();
        let write = ingest(&store, &id, vec![event(number + 1, 0)]);
        // Polled once or a few times and dropped, as when a caller hangs up.
        let polls = usize::try_from(number % 20).unwrap();
        let mut write = std::pin::pin!(write);
        for _ in 0..=polls {
            if futures_util::poll!(&mut write).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let row = store.stream("indexer").await.unwrap();
    let before = row.map_or(0, |row| row.deliveries);
    ingest(&store, "last", vec![event(500, 0)]).await;
    let after = store.stream("indexer").await.unwrap().unwrap();
    assert!(after.deliveries > before);
    assert_eq!(after.deliveries, after.events);
}
