//! The program itself, started as a user starts it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// No command takes longer, however busy the machine is.
const LIMIT: Duration = Duration::from_mins(2);

/// `lessor` without what the environment of the tests would tell it.
pub(crate) fn lessor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lessor"));
    for name in ["LESSOR_CONFIG", "LESSOR_URL", "LESSOR_NODE"] {
        command.env_remove(name);
    }
    command.env("LESSOR_LOG", "warn").args(arguments).stdin(Stdio::null());
    command
}

/// What a command printed, and how it ended.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// The lines of the output, each an object.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.out.lines().map(parse).collect()
    }

    /// The output of a command that must have succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Done {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (out, err) = (read(out), read(err));
    let status = wait(&mut child);
    Done { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn read(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        from.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Waits for the end; a process that does not end is killed, and the test fails.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let give_up = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > give_up {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("a process did not end within {LIMIT:?}");
        }
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// A process that serves until it is told to end.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// The last word of the line that begins with `word`, once it is printed.
    pub(crate) fn says(&mut self, word: &str) -> String {
        let give_up = Instant::now() + LIMIT;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("no line {word:?} within {LIMIT:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended before it said {word:?}: {:?}", self.child.wait())
                }
            };
            if line.trim_start().starts_with(word) {
                return line.split_whitespace().next_back().unwrap().to_owned();
            }
        }
    }

    /// Sends a signal, such as `HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends a signal, such as `TERM`, and waits for the end.
    pub(crate) fn end(mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        wait(&mut self.child).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, and a test that fails must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of the repository.
pub(crate) fn file(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}
