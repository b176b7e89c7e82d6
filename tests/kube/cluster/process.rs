//! Processes that end with the test's own, whatever that ends of.
//!
//! Linux tells a child when the *thread* that started it is gone, and a test's thread ends with the test. So one thread
//! starts them all and lives as long as the process.

use std::{
    fs::{self, OpenOptions},
    io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use super::PATIENCE;

/// Where processes run, and the address that they listen at.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Reachable from the tests.
    pub(crate) address: IpAddr,
    /// The command that enters it; empty on the host.
    pub(crate) enter: Vec<String>,
}

impl Place {
    /// This machine's loopback.
    pub(crate) fn host() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), enter: Vec::new() }
    }
}

type Order = (Command, Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        let keep = move || {
            for (mut command, answer) in taken {
                let _ = answer.send(command.spawn());
            }
        };
        thread::Builder::new().name("keeper".to_owned()).spawn(keep).unwrap();
        orders
    });
    let (answer, answered) = channel();
    keeper.send((command, answer)).unwrap();
    answered.recv().unwrap()
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    line: Vec<String>,
}

impl Process {
    /// Starts it in a place; what it prints is appended to `<folder>/<name>.log`.
    pub(crate) fn start(
        name: &str,
        place: &Place,
        folder: &Path,
        program: &Path,
        arguments: &[String],
    ) -> Self {
        let mut line: Vec<String> =
            ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned).to_vec();
        line.extend(place.enter.iter().cloned());
        line.push(program.display().to_string());
        line.extend(arguments.iter().cloned());
        let log = folder.join(format!("{name}.log"));
        Self { child: begin(&line, &log), log, line }
    }

    /// Starts it again as it was started before.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = begin(&self.line, &self.log);
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it where it stands: connections stay open, and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The last word of the first line that it printed and that begins with `word`, once it has.
    pub(crate) async fn says(&mut self, word: &str) -> String {
        let begun = tokio::time::Instant::now();
        loop {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            // The last line may be half written.
            let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole.find(|line| line.split_whitespace().next() == Some(word)) {
                return line.split_whitespace().next_back().unwrap().to_owned();
            }
            let has_ended = self.child.try_wait().unwrap().is_some();
            assert!(
                !has_ended && begun.elapsed() < PATIENCE,
                "it did not say {word:?}: {}",
                self.state()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How much time of processors it has used.
    pub(crate) fn used(&self) -> Duration {
        /// The kernel counts in hundredths of a second, on every machine that anybody has.
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the program stands in brackets and may hold anything.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let of =
            |place: usize| -> u32 { rest.split_whitespace().nth(place).unwrap().parse().unwrap() };
        TICK * (of(11) + of(12))
    }

    /// The last lines of what it printed, and whether it has ended.
    pub(crate) fn state(&mut self) -> String {
        let ended = self.child.try_wait().unwrap();
        let ended = ended.map_or_else(|| "runs".to_owned(), |status| status.to_string());
        format!("{} ({ended}):\n{}", self.log.display(), tail(&self.log, 15))
    }

    /// Whether it ended because somebody else has its port.
    pub(crate) fn lost_its_port(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
            && tail(&self.log, 50).contains("address already in use")
    }
}

/// Sends a signal to a process.
pub(super) fn signal(id: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &id.to_string()]).status().unwrap();
    assert!(status.success(), "{name} to {id}");
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn begin(line: &[String], log: &Path) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0);
    spawn(command).unwrap_or_else(|error| panic!("{}: {error}", line.join(" ")))
}

/// The last lines of a file.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A port that nobody listened at a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A shell script that runs when the test's process has ended, in whatever way.
pub(crate) fn afterwards(script: &str) {
    let waiting = format!("cat >/dev/null; {script}");
    let mut command = Command::new("bash");
    command
        .args(["-c", &waiting])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    // The pipe closes when this process does, so it must stay open until then.
    std::mem::forget(spawn(command).unwrap());
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{complaint}");
    text
}
