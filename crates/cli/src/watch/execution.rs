//! The command as processes: a group of its own, which does not outlive the program that watches it.
//!
//! Two things see to the latter. The command's process is born through this program, which asks the system to kill it when
//! its parent dies. And a guard, a process of this program on the far end of a pipe, kills the whole group when the pipe ends
//! without a word. Between them only what has left the group, or a kill of watcher and guard together, gets away.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::getppid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use super::group::Group;
use crate::exit::CliError;

/// How often a group that is ending is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for a process that was killed.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// What the guard is told at a proper end.
const DONE: &str = "done";

/// The hidden subcommands.
const CHILD: &str = "watch-child";
const GUARD: &str = "watch-guard";

/// The signals that end this program, and the command with it.
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hang_up: Stream,
}

impl Signals {
    /// From now on they are caught.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::SIGINT,
            Some(()) = self.terminate.recv() => Signal::SIGTERM,
            Some(()) = self.hang_up.recv() => Signal::SIGHUP,
            else => std::future::pending().await,
        }
    }
}

/// A command that runs.
pub(crate) struct Execution {
    child: Child,
    group: Group,
    guard: Child,
    line: ChildStdin,
}

impl Execution {
    /// Starts the command. To be called on the program's first thread: the system takes that thread's end for the parent's.
    pub(crate) async fn start(program: &str, arguments: &[String]) -> Result<Self, CliError> {
        let failed = |what: &str| {
            CliError::new("command_failed", format!("`{program}` could not be started: {what}"), "try again")
        };
        let binary = std::env::current_exe()?;
        // In a group of its own: Ctrl-C in the terminal is for the watcher.
        let mut guard = Command::new(&binary)
            .arg(GUARD)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| CliError::file("start", &binary, &error))?;
        let mut line = guard.stdin.take().ok_or_else(|| failed("its guard has no pipe"))?;
        let child = Command::new(&binary)
            .args([CHILD, "--parent", &std::process::id().to_string(), "--", program])
            .args(arguments)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CliError::file("start", &binary, &error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Group::new);
        let Some(group) = group else { return Err(failed("it ended at once")) };
        let number = child.id().unwrap_or_default();
        line.write_all(format!("{number}\n").as_bytes()).await?;
        Ok(Self { child, group, guard, line })
    }

    /// Waits for the command's own end. Dropping the wait loses nothing.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Whether the command has ended and something that it started has not.
    pub(super) fn is_left_behind(&self) -> bool {
        !self.group.is_gone()
    }

    /// Sends a signal to the group, and SIGKILL to what is left of it after `grace`.
    pub(super) async fn stop(&mut self, first: Signal, grace: Duration) -> std::io::Result<ExitStatus> {
        let until = Instant::now() + grace;
        self.group.signal(first);
        // What was stopped could not act on it.
        self.group.signal(Signal::SIGCONT);
        loop {
            let status = self.child.try_wait()?;
            if let Some(status) = status
                && self.group.is_gone()
            {
                return Ok(status);
            }
            let now = Instant::now();
            if now >= until {
                break;
            }
            sleep(LOOK_EVERY.min(until - now)).await;
        }
        self.group.signal(Signal::SIGKILL);
        match timeout(KILLED_WITHIN, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let detail = "the command was killed and does not end: the system holds it";
                Err(std::io::Error::new(std::io::ErrorKind::TimedOut, detail))
            }
        }
    }

    /// Tells the guard that all is over.
    pub(crate) async fn dismiss(mut self) {
        // If it cannot be told, it finds a group that is gone.
        let _ = self.line.write_all(format!("{DONE}\n").as_bytes()).await;
        drop(self.line);
        let _ = timeout(KILLED_WITHIN, self.guard.wait()).await;
    }
}

/// Becomes the command, as a child that dies with `parent`. Returns only if that fails.
pub(crate) fn become_child(parent: u32, program: &str, arguments: &[String]) -> CliError {
    let remedy = "check the command behind `--`";
    #[cfg(target_os = "linux")]
    if let Err(errno) = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL) {
        return CliError::new("command_failed", format!("cannot be tied to its parent: {errno}"), remedy);
    }
    // It may have died before the system was asked.
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        return CliError::new("command_failed", "the program that watches it is gone", remedy);
    }
    let error = std::process::Command::new(program).args(arguments).exec();
    let detail = format!("allowed, but `{program}` could not be started: {error}");
    CliError::new("command_failed", detail, remedy)
}

/// Waits for a word on stdin; without one, kills the group that it was told of.
pub(crate) fn guard() {
    let mut group = None;
    for line in BufReader::new(std::io::stdin()).lines().map_while(Result::ok) {
        match line.as_str() {
            DONE => return,
            number => group = number.parse().ok().and_then(Group::new),
        }
    }
    if let Some(group) = group {
        group.signal(Signal::SIGKILL);
    }
}
