//! Starts the world and the gateway as processes, kills the gateway where it was told to die, and starts it again on the
//! same file.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use crate::{
    child::{ROLE, Role, TEST},
    points::{Place, SAYS},
};

/// How long a process may take to answer an order or to come up.
const PATIENCE: Duration = Duration::from_mins(2);

/// A process that ends with this.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
}

impl Process {
    /// Starts it with its errors appended to a log.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self { child, stdin, stdout }
    }

    /// This executable in a role.
    pub(crate) fn role(role: &Role, log: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", TEST, "--ignored", "--nocapture"])
            .env(ROLE, serde_json::to_string(role).unwrap());
        Self::start(command, log)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process says to us, line by line.
pub(crate) fn said(stdout: ChildStdout) -> impl Iterator<Item = String> {
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    lines.filter_map(|line| line.split_once(SAYS).map(|(_, said)| said.to_owned()))
}

/// A gateway that is started again whenever it was killed.
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    answers: mpsc::UnboundedReceiver<(u64, String)>,
    up: watch::Receiver<u64>,
}

struct Shared {
    config: PathBuf,
    log: PathBuf,
    state: Mutex<State>,
    answers: mpsc::UnboundedSender<(u64, String)>,
    /// The number of the process that answers orders; 0 while none does.
    up: watch::Sender<u64>,
}

struct State {
    process: Process,
    number: u64,
    phase: String,
    chosen: Option<Place>,
    /// Where it was killed, phase and place.
    killed: Vec<String>,
    stopping: bool,
    /// It ended, and nobody had asked it to.
    failed: Option<String>,
}

impl Gateway {
    /// Starts it; it dies at `dies` while it starts, when that is given.
    pub(crate) fn start(config: &Path, log: &Path, phase: &str, dies: Option<Place>) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        let (up_sender, up) = watch::channel(0);
        let process = spawn(config, log, phase, dies.as_ref());
        let shared = Arc::new(Shared {
            config: config.to_owned(),
            log: log.to_owned(),
            state: Mutex::new(State {
                process,
                number: 1,
                phase: phase.to_owned(),
                chosen: dies,
                killed: Vec::new(),
                stopping: false,
                failed: None,
            }),
            answers: sender,
            up: up_sender,
        });
        shared.listen();
        Self { shared, answers, up }
    }

    /// Where it was killed so far.
    pub(crate) fn killed(&self) -> Vec<String> {
        self.shared.state().killed.clone()
    }

    /// Fails when it ended by itself.
    pub(crate) fn check(&self) {
        if let Some(failed) = &self.shared.state().failed {
            panic!("{failed}");
        }
    }

    /// Begins a phase; in it, the process is to die at that place.
    pub(crate) async fn phase(&mut self, phase: &str, dies: Option<Place>) {
        {
            let mut state = self.shared.state();
            phase.clone_into(&mut state.phase);
            state.chosen = None;
        }
        self.order(&format!("phase {phase}")).await;
        if let Some(place) = dies {
            self.shared.state().chosen = Some(place.clone());
            self.order(&format!("die {place}")).await;
        }
    }

    /// Puts the host's clock wrong by so many seconds for the process that runs; the next one has the true time again.
    pub(crate) async fn set_clock_ahead(&mut self, seconds: i64) {
        self.order(&format!("clock {seconds}")).await;
    }

    /// How often each place was passed by the process that runs, as lines of phase, name and count.
    pub(crate) async fn passed(&mut self) -> Vec<String> {
        let lines = self.order("passed").await;
        lines.iter().filter_map(|line| line.strip_prefix("passed ").map(str::to_owned)).collect()
    }

    /// Gives an order to whichever process runs and returns what it said to it.
    async fn order(&mut self, order: &str) -> Vec<String> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let up = async { *self.up.wait_for(|number| *number > 0).await.unwrap() };
            let number = tokio::time::timeout(PATIENCE, up).await;
            self.check();
            let number = number.expect("the gateway is up");
            if let Some(said) = self.try_order(number, order).await {
                return said;
            }
            assert!(Instant::now() < give_up, "no answer to {order:?}");
        }
    }

    /// `None` when the process died over it.
    async fn try_order(&mut self, number: u64, order: &str) -> Option<Vec<String>> {
        self.shared.state().write(number, order)?;
        let mut said = Vec::new();
        let mut up = self.up.clone();
        loop {
            let died = async { up.wait_for(|running| *running != number).await.map(drop) };
            let (from, line) = tokio::select! {
                biased;
                answer = self.answers.recv() => answer.unwrap(),
                _ = died => return None,
            };
            if from != number {
                continue;
            }
            if line == "done" {
                return Some(said);
            }
            said.push(line);
        }
    }

    /// Lets it end as SIGTERM would, and waits.
    pub(crate) async fn stop(mut self) {
        let up = async { *self.up.wait_for(|number| *number > 0).await.unwrap() };
        let number = tokio::time::timeout(PATIENCE, up).await.expect("the gateway is up");
        {
            let mut state = self.shared.state();
            state.stopping = true;
            state.write(number, "stop").expect("it runs");
        }
        let stopped = async {
            while let Some((from, line)) = self.answers.recv().await {
                if from == number && line == "stopped" {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, stopped).await.expect("the gateway stops");
        self.check();
    }
}

impl State {
    fn write(&mut self, number: u64, order: &str) -> Option<()> {
        if self.number != number {
            return None;
        }
        let stdin = self.process.stdin.as_mut().unwrap();
        writeln!(stdin, "{order}").ok()
    }
}

fn spawn(config: &Path, log: &Path, phase: &str, dies: Option<&Place>) -> Process {
    let role = Role::Gateway {
        config: config.to_owned(),
        phase: phase.to_owned(),
        dies: dies.map(ToString::to_string),
    };
    Process::role(&role, log)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Listens to the process that runs, on a thread of its own.
    fn listen(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let (stdout, number) = {
            let mut state = self.state();
            (state.process.stdout.take().unwrap(), state.number)
        };
        std::thread::spawn(move || {
            for line in said(stdout) {
                match line.as_str() {
                    "up" => drop(shared.up.send(number)),
                    "reached" => return shared.kill(),
                    // Nobody asks any more when the channel is closed.
                    _ => drop(shared.answers.send((number, line))),
                }
            }
            shared.ended(number);
        });
    }

    fn kill(self: &Arc<Self>) {
        // Whoever waits for an answer of this process learns that there is none.
        let _ = self.up.send(0);
        let mut state = self.state();
        state.process.kill();
        let place = state.chosen.take().map(|place| place.to_string()).unwrap_or_default();
        let phase = state.phase.clone();
        state.killed.push(format!("{phase} {place}"));
        if state.stopping {
            return;
        }
        state.process = spawn(&self.config, &self.log, &phase, None);
        state.number += 1;
        drop(state);
        self.listen();
    }

    fn ended(&self, number: u64) {
        let mut state = self.state();
        if !state.stopping && state.number == number {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            state.failed = Some(format!("the gateway ended by itself:\n{}", tail.join("\n")));
            drop(state);
            let _ = self.up.send(u64::MAX);
        }
    }
}
