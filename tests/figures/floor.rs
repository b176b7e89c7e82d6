//! What the machine itself can do: a synced write, a round trip on loopback, a commit of the same database settings.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    Connection,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};

use super::report::percentile;

/// The median of a synced append of 4 KiB in `folder`, in milliseconds.
pub(super) fn fsync_ms(folder: &Path) -> anyhow::Result<f64> {
    let mut file = std::fs::File::create(folder.join("floor"))?;
    let block = [0_u8; 4096];
    let mut taken = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(percentile(&mut taken, 50.0))
}

/// The median round trip of 64 bytes over loopback, in milliseconds.
pub(super) fn round_trip_ms() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut bytes = [0_u8; 64];
        while stream.read_exact(&mut bytes).is_ok() {
            stream.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut bytes = [7_u8; 64];
    let mut taken = Vec::new();
    for _ in 0..2000 {
        let began = Instant::now();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    drop(stream);
    let _ = echo.join();
    Ok(percentile(&mut taken, 50.0))
}

/// Commits a second of one small row each, with the store's own settings, in `folder`.
pub(super) async fn commits_per_second(folder: &Path) -> anyhow::Result<f64> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("floor.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, body BLOB)")
        .execute(&mut connection)
        .await?;
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < Duration::from_secs(3) {
        sqlx::query("INSERT INTO row (body) VALUES (zeroblob(200))")
            .execute(&mut connection)
            .await?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}
