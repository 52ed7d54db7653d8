//! The guard: a process of this program between the process that watches and the command. It is the command's parent,
//! and ends everything that the command has started.
//!
//! On Linux the guard adopts every descendant that loses its parent. So every process that the command starts stays
//! below the guard, whichever session or group it joins, and the system itself says when none of them is left. On
//! other systems the guard knows only the command's process group.
//!
//! On SIGINT, SIGTERM or SIGHUP, the guard stops the command with that signal. The process that watches keeps telling
//! the guard until when the command may run (`run_lease`). If that process is stopped or hangs, the guard stops the
//! command at the last of these times, which is the end of the allow. If the process that watches dies, the guard
//! kills the command at once. If the guard dies, the system kills the command's first process, and the process that
//! watches adopts and kills the rest. If both are killed together, a process of the command may escape. If both are
//! stopped together, the command goes on.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use super::group::Group;
use super::killed::{KILLED_WITHIN, held};
use super::processes::{self, Listed};
use super::run_lease::{End, RunLease};
use super::signals::Signals;
use crate::connect::TOKEN_VARIABLE;
use crate::exit::{CliError, Exit};
use crate::output::Output;

/// The first pause between two looks at a command that is ending. Each later pause is twice as long.
const LOOK_MIN: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_millis(200);
/// The time between two checks by the guard whether the process that watches is there, and which orphans have ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the guard waits for the process that watches to report by itself that the last allow is over.
const SAID_WITHIN: Duration = Duration::from_millis(500);
/// The most processes whose exit status is taken in one go.
const REAPED_MAX: usize = 100_000;

/// The hidden subcommand that becomes the command.
const CHILD: &str = "watch-child";

/// Why the guard stops waiting.
enum StopReason {
    /// The command has ended.
    Ended(ExitStatus),
    /// It was told to stop the command with this signal.
    Told(Signal),
    /// The process that watches is gone.
    Alone,
    /// The process that watches has not said in time that the command may go on.
    Over,
}

/// A command and what it has started.
struct Guarded {
    child: Child,
    group: Group,
}

/// Runs the command until it ends, until the guard is told to stop it, until `parent` is gone, or until the last end that came through
/// the pipe `lease`, at first `end`. To be called on the program's first thread: the system takes that thread's end for the
/// parent's.
///
/// # Errors
/// `command_failed` if the command could not be started or tied to its guard, and `allow_over` if its allow is over; then it does not
/// run. `execution_unconfirmed` if it was stopped since the process that watches let its allow run out. `io_failed` if something of it
/// was killed and does not end.
pub(crate) async fn guard(
    parent: u32,
    grace: Duration,
    (lease, end): (RawFd, End),
    command: (&str, &[String]),
    output: Output,
) -> Result<Exit, CliError> {
    let mut signals = Signals::catch()?;
    let mut parent_died = signal(SignalKind::user_defined1())?;
    let mut some_ended = signal(SignalKind::child())?;
    tie_to(parent)?;
    let mut lease = RunLease::inherited(lease, end).map_err(not_guarded)?;
    if lease.left().is_zero() {
        let detail = "the allow ran out before the command was started";
        return Err(CliError { exit: Exit::CannotKnow, ..CliError::new("allow_over", detail, "ask again") });
    }
    let mut guarded = Guarded::start(command, output)?;
    let mut orphans = false;
    let why = loop {
        let look = LOOK_EVERY.min(lease.left());
        tokio::select! {
            // What has been told by now is heard before the last end counts.
            biased;
            status = guarded.child.wait() => break StopReason::Ended(status?),
            signal = signals.next() => break StopReason::Told(signal),
            Some(()) = parent_died.recv() => break StopReason::Alone,
            renewed = lease.renewed() => {
                if !renewed {
                    break StopReason::Alone;
                }
            }
            Some(()) = some_ended.recv(), if !orphans => orphans = true,
            () = sleep(look) => {
                if is_alone(parent) {
                    break StopReason::Alone;
                }
                // Counted anew each time: after a sleep of the host less is left than the timers know.
                if lease.left().is_zero() {
                    break StopReason::Over;
                }
                if orphans {
                    guarded.reap();
                    orphans = false;
                }
            }
        }
    };
    let status = match why {
        StopReason::Ended(status) if guarded.is_gone() => status,
        StopReason::Ended(_) => {
            output.say("the command has ended; what it left behind is stopped, since nobody watches it");
            guarded.stop(Signal::SIGTERM, grace).await?
        }
        StopReason::Told(signal) => guarded.stop(signal, grace).await?,
        StopReason::Alone => guarded.kill().await?,
        StopReason::Over => {
            let status = guarded.stop(Signal::SIGTERM, grace).await?;
            // One that watches finds the same at the same time, tells this guard to stop the command, and says why.
            if timeout(SAID_WITHIN, signals.next()).await.is_err() {
                return Err(unrenewed());
            }
            status
        }
    };
    Ok(Exit::of_command(status))
}

/// Replaces this process by the command, as a child that dies with `parent`. Returns only if that fails.
pub(crate) fn become_child(parent: u32, program: &str, arguments: &[String]) -> CliError {
    let remedy = "check the command after `--`";
    #[cfg(target_os = "linux")]
    if let Err(errno) = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL) {
        return CliError::new("command_failed", format!("cannot be tied to its parent: {errno}"), remedy);
    }
    // It may have died before the system was asked.
    if is_alone(parent) {
        return CliError::new("command_failed", "the process that guards it is gone", remedy);
    }
    let error = std::process::Command::new(program).args(arguments).env_remove(TOKEN_VARIABLE).exec();
    let detail = format!("allowed, but `{program}` could not be started: {error}");
    CliError::new("command_failed", detail, remedy)
}

/// The error of a command that cannot be guarded, and does not run.
fn not_guarded(what: impl Display) -> CliError {
    let remedy = "run it where `/proc` is mounted and processes may adopt orphans, or report this as a bug";
    CliError::new("command_failed", format!("the command could not be guarded: {what}"), remedy)
}

/// The error of a command that the guard stopped because the process that watches was itself stopped, or hung.
fn unrenewed() -> CliError {
    let detail = "the command is stopped: the last allow is over, and the process that watches it has not said in time that \
                  it may go on";
    let remedy = "find out what stops that process or keeps it busy, and start the command again";
    CliError { exit: Exit::StoppedUnknown, ..CliError::new("execution_unconfirmed", detail, remedy) }
}

/// Makes the system tell this process when its parent dies, and makes this process adopt its descendants that lose
/// their parent.
fn tie_to(parent: u32) -> Result<(), CliError> {
    #[cfg(target_os = "linux")]
    {
        nix::sys::prctl::set_pdeathsig(Signal::SIGUSR1).map_err(not_guarded)?;
        processes::become_subreaper().map_err(not_guarded)?;
        // Descendants that cannot be found cannot be ended. In that case nothing is started.
        processes::descendants(&BTreeSet::new()).map_err(not_guarded)?;
    }
    match is_alone(parent) {
        true => Err(not_guarded("the process that watches it is gone")),
        false => Ok(()),
    }
}

fn is_alone(parent: u32) -> bool {
    u32::try_from(getppid().as_raw()) != Ok(parent)
}

impl Guarded {
    fn start((program, arguments): (&str, &[String]), output: Output) -> Result<Self, CliError> {
        let binary = std::env::current_exe()?;
        // In a group of its own: Ctrl-C in the terminal is for the process that watches.
        let child = Command::new(&binary)
            .args([
                "--output",
                output.name(),
                CHILD,
                "--parent",
                &std::process::id().to_string(),
                "--",
                program,
            ])
            .args(arguments)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CliError::file("start", &binary, &error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Group::new);
        match group {
            Some(group) => Ok(Self { child, group }),
            None => {
                let detail = format!("`{program}` could not be started: it ended at once");
                Err(CliError::new("command_failed", detail, "try again"))
            }
        }
    }

    /// Sends a signal to the command and all that it has started, and SIGKILL to what is left of it after `grace`.
    async fn stop(&mut self, first: Signal, grace: Duration) -> std::io::Result<ExitStatus> {
        let until = Instant::now() + grace;
        let mut look = LOOK_MIN;
        // Processes that the command starts from here on help it to end, and are left alone until the grace is over.
        self.signal(first);
        // A process that was stopped could not act on the signal.
        self.signal(Signal::SIGCONT);
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            let now = Instant::now();
            if now >= until {
                return self.kill().await;
            }
            sleep(look.min(until - now)).await;
            look = look.saturating_mul(2).min(LOOK_MAX);
        }
    }

    /// Sends SIGKILL to all of the command's processes, repeatedly: a killed process may have started another one just
    /// before.
    async fn kill(&mut self) -> std::io::Result<ExitStatus> {
        let until = Instant::now() + KILLED_WITHIN;
        loop {
            self.signal(Signal::SIGKILL);
            sleep(LOOK_MIN).await;
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= until {
                return Err(held(&alive().unwrap_or_default()));
            }
        }
    }

    /// The command's status, once it has ended with all that it has started.
    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let Some(status) = self.child.try_wait()? else {
            self.reap();
            return Ok(None);
        };
        Ok(self.is_gone().then_some(status))
    }

    /// Whether nothing is left of what the command has started. To be asked once the command itself has ended, with its status taken.
    fn is_gone(&self) -> bool {
        if !cfg!(target_os = "linux") {
            return self.group.is_gone();
        }
        // As long as something descends from this process, something is its child: orphans become so.
        for _ in 0..REAPED_MAX {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::ECHILD) => return true,
                Ok(WaitStatus::StillAlive) => return false,
                // One more has ended, in whatever way.
                Ok(_) | Err(_) => {}
            }
        }
        false
    }

    /// Asks after the orphans that have ended, so that the system forgets them. The command's own status is left to its handle.
    fn reap(&self) {
        let me = std::process::id();
        let own = self.child.id();
        for listed in processes::descendants(&BTreeSet::new()).unwrap_or_default() {
            let number = listed.process.number();
            if listed.ended && listed.is_child_of(me) && u32::try_from(number).ok() != own {
                let _ = waitpid(Pid::from_raw(number), Some(WaitPidFlag::WNOHANG));
            }
        }
    }

    /// Sends a signal to all of it, once to each process.
    fn signal(&self, signal: Signal) {
        let Ok(alive) = alive() else {
            // Not known: the group is what there is for certain.
            return self.group.signal(signal);
        };
        // A group that is gone may be another's by now.
        if alive.iter().any(|listed| listed.group == self.group.number()) {
            self.group.signal(signal);
        }
        for listed in alive.iter().filter(|listed| listed.group != self.group.number()) {
            listed.process.signal(signal);
        }
    }
}

/// What descends from this process and can still do something.
fn alive() -> std::io::Result<Vec<Listed>> {
    let mut all = processes::descendants(&BTreeSet::new())?;
    all.retain(|listed| !listed.ended);
    Ok(all)
}
