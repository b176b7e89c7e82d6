//! `lessor` as a process of its own, measured from outside.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, bail};

/// The longest that a process may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `lessor`. Killed when it is dropped.
pub(super) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway's settings, as environment variables.
#[derive(Clone)]
pub(super) struct Environment(pub(super) Vec<(String, String)>);

impl Environment {
    /// The same with one more.
    pub(super) fn with(mut self, name: &str, value: &dyn std::fmt::Display) -> Self {
        self.0.push((format!("LESSOR_{name}"), value.to_string()));
        self
    }
}

impl Process {
    /// Starts `lessor` and returns at once. What it says goes to the end of `log`.
    pub(super) fn spawn(
        lessor: &Path,
        arguments: &[&str],
        environment: &Environment,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(lessor)
            .args(arguments)
            .env_clear()
            .envs(environment.0.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", lessor.display()))?;
        Ok(Self(child))
    }

    /// Waits until it says where it listens.
    pub(super) fn url(&mut self) -> anyhow::Result<String> {
        let out = self.0.stdout.take().context("its output was read before")?;
        let (said, first) = mpsc::channel();
        std::thread::spawn(move || {
            // Everything is read, so that it never waits for us.
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let line = first.recv_timeout(PATIENCE).context("it says nothing")?;
        let Some((_, rest)) = line.split_once("http") else { bail!("it said {line:?}") };
        Ok(format!("http{rest}"))
    }

    /// Resident memory in megabytes of 10⁶.
    pub(super) fn resident_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib * 1024.0 / 1e6)
    }
}
