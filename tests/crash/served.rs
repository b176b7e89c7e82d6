//! `lessor serve` itself as a process, and deliveries that the test makes by hand.

use std::{
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use lessor::{
    cmd::host,
    event::{envelope, key::SigningKey, signature::sign},
    relay::{
        follow::Tip,
        pack::{self, Batch, BatchLimits, Packed},
    },
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    process::Process,
    support::eventually,
    world::{LIMIT, STREAM, World, feed_key},
};

pub(crate) struct Served {
    pub(crate) process: Process,
}

impl Served {
    /// Starts it, and does not wait.
    pub(crate) fn start(world: &World) -> Self {
        Self::start_as(world, world.serve())
    }

    pub(crate) fn start_as(world: &World, command: Command) -> Self {
        Self { process: Process::start(command, &world.log()) }
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn up(world: &World) -> Self {
        let mut served = Self::start(world);
        served.is_up(world).await;
        served
    }

    pub(crate) async fn is_up(&mut self, world: &World) {
        eventually("the gateway answers", LIMIT, async || {
            self.check(world);
            (status(world, "/livez").await? == 200).then_some(())
        })
        .await;
    }

    /// Fails when it ended by itself.
    pub(crate) fn check(&mut self, world: &World) {
        if let Some(status) = self.process.ended() {
            let log = std::fs::read_to_string(world.log()).unwrap_or_default();
            panic!("the gateway ended by itself, {status}:\n{log}");
        }
    }

    /// Asks it to end.
    pub(crate) fn ask_to_end(&self) {
        self.process.signal("TERM");
    }

    /// Waits until it has ended well. Returns how long that took.
    pub(crate) async fn ends(&mut self) -> Duration {
        let begun = Instant::now();
        let status = eventually("the gateway ends", LIMIT, async || self.process.ended()).await;
        assert!(status.success(), "{status}");
        begun.elapsed()
    }
}

/// The status that a path is answered with, when there is an answer.
pub(crate) async fn status(world: &World, path: &str) -> Option<u16> {
    let answer = world.http.get(format!("{}{path}", world.url)).send().await.ok()?;
    Some(answer.status().as_u16())
}

/// What a delivery was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

/// A delivery: a heartbeat, which changes nothing but is kept as any other.
#[derive(Clone)]
pub(crate) struct ByHand {
    id: String,
    body: String,
}

impl ByHand {
    pub(crate) async fn new(world: &World, id: &str) -> Self {
        let status = world.tenant(0).node.status().await.unwrap();
        let tip = Tip {
            chain_id: status.node_info.network,
            height: lessor::domain::Height(status.sync_info.latest_block_height),
            time: status.sync_info.latest_block_time,
            earliest: lessor::domain::Height(1),
        };
        let event = pack::heartbeat(&tip, host::now(), "urn:akash:indexer:by-hand");
        let mut batch = Batch::new(BatchLimits::default());
        assert!(batch.push(Packed::from(&event)).is_ok());
        Self { id: id.to_owned(), body: batch.body() }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Writes the request on a connection of its own and waits for no answer.
    pub(crate) async fn begin(&self, world: &World) -> Begun {
        let keys = [SigningKey::Private(feed_key())];
        let signed = sign(&self.id, host::now(), self.body.as_bytes(), &keys).unwrap();
        let host = world.url.trim_start_matches("http://");
        let mut request = format!(
            "POST /webhooks/{STREAM} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {}\r\ncontent-length: {}\r\n",
            envelope::BATCH,
            self.body.len()
        );
        for (name, value) in &signed.0 {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(format!("{request}\r\n{}", self.body).as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        Begun(stream)
    }

    /// `None` when there was no answer.
    pub(crate) async fn send(&self, world: &World) -> Option<Answer> {
        let keys = [SigningKey::Private(feed_key())];
        let signed = sign(&self.id, host::now(), self.body.as_bytes(), &keys).unwrap();
        let mut request = world
            .http
            .post(format!("{}/webhooks/{STREAM}", world.url))
            .header("content-type", envelope::BATCH)
            .body(self.body.clone());
        for (name, value) in &signed.0 {
            request = request.header(*name, value);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let body = answer.json().await.unwrap_or_default();
        Some(Answer { status, retry_after, body })
    }
}

/// A request whose last byte was written.
pub(crate) struct Begun(TcpStream);

impl Begun {
    /// The answer's status; `None` when the connection ended without one.
    pub(crate) async fn status(mut self) -> Option<u16> {
        let mut answer = Vec::new();
        // The gateway that ends closes the connection behind its answer.
        self.0.read_to_end(&mut answer).await.ok()?;
        let line = String::from_utf8(answer).ok()?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}
