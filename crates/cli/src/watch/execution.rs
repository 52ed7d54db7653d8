//! A watched command as the process that watches sees it: its guard, and what is left if the guard is killed.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::killed::{KILLED_WITHIN, held};
use super::processes::{self, Listed, Process};
use super::run_lease::{End, Renewals};
use crate::exit::{CliError, Exit};
use crate::output::Output;

/// How long the guard may take, after the grace, to kill what is left and to end. After that, this process does it.
const GUARD_LATE: Duration = Duration::from_secs(2);
/// The time between two checks whether killed processes have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The hidden subcommand that is the guard.
const GUARD: &str = "watch-guard";

/// A command that runs.
pub(crate) struct Execution {
    guard: Child,
    /// How the guard ended, once it has.
    guard_ended: Option<ExitStatus>,
    /// Tells the guard how long the command may run. As long as it is open, the guard takes this process for alive.
    renewals: Renewals,
    /// The processes that descended from this process before the command was started, and so do not belong to it.
    preexisting: BTreeSet<Process>,
}

impl Execution {
    /// Starts the command, which may run until `end` unless the guard is told otherwise
    /// ([`renewals`](Self::renewals)). It must be called on the program's first thread: if a thread ends that has
    /// started a child, the system treats it as the parent's end.
    ///
    /// # Errors
    /// `io_failed` if the guard could not be started. If the guard itself fails, it prints its error on stderr and
    /// ends.
    pub(crate) async fn start(
        program: &str,
        arguments: &[String],
        end: End,
        grace: Duration,
        output: Output,
    ) -> Result<Self, CliError> {
        let preexisting = match cfg!(target_os = "linux") {
            true => {
                let all = processes::descendants(&BTreeSet::new())?;
                all.into_iter().map(|listed| listed.process).collect()
            }
            false => BTreeSet::new(),
        };
        // For what the guard leaves behind if it is killed.
        processes::become_subreaper()?;
        let binary = std::env::current_exe()?;
        let (parent, grace) = (std::process::id().to_string(), grace.as_millis().to_string());
        let (renewals, reader) = Renewals::open()?;
        // In a group of its own: Ctrl-C in the terminal is for this process.
        let guard = Command::new(&binary)
            .args([
                "--output",
                output.name(),
                GUARD,
                "--parent",
                &parent,
                "--grace-ms",
                &grace,
                "--lifeline",
                &reader.as_raw_fd().to_string(),
                "--end",
                &end.number().to_string(),
                "--",
                program,
            ])
            .args(arguments)
            .process_group(0)
            .spawn()
            .map_err(|error| CliError::file("start", &binary, &error))?;
        // The guard has it by now.
        drop(reader);
        Ok(Self { guard, guard_ended: None, renewals, preexisting })
    }

    /// What tells the guard how long the command may run.
    pub(super) fn renewals(&self) -> Renewals {
        self.renewals.clone()
    }

    /// Waits until the command and everything that it has started have ended. Returns how the guard ended, which is
    /// how the command ended. Dropping the wait loses nothing.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.guard.wait().await?;
        self.guard_ended = Some(status);
        Ok(status)
    }

    /// Makes the guard stop the command with this signal, and after `grace` kill what is left of it with SIGKILL. If
    /// the guard is stopped, it is continued. If it does not end soon after the grace, it is killed.
    pub(super) async fn stop(&mut self, first: Signal, grace: Duration) -> std::io::Result<ExitStatus> {
        let number = self.guard.id().and_then(|id| i32::try_from(id).ok());
        if let Some(number) = number {
            // If it has ended by now, waiting for it says how.
            let _ = kill(Pid::from_raw(number), first);
            // A guard that is stopped would pass nothing on.
            let _ = kill(Pid::from_raw(number), Signal::SIGCONT);
        }
        if let Ok(status) = timeout(grace.saturating_add(GUARD_LATE), self.ended()).await {
            return status;
        }
        // The system kills the command's first process together with the guard, and this process must end the rest.
        self.guard.start_kill()?;
        match timeout(KILLED_WITHIN, self.ended()).await {
            Ok(status) => status,
            Err(_) => Err(held(&[])),
        }
    }

    /// Kills what the guard has left of the command. Nothing is left, unless the guard was killed or could not end
    /// something.
    ///
    /// # Errors
    /// `io_failed` if a process does not end, or if the system does not show whether a process is left.
    pub(crate) async fn clear(&self, output: Output) -> Result<(), CliError> {
        // A guard that could not do its work fails; so may the command, and then nothing is left to find.
        let failed = i32::from(Exit::Failed.number());
        let in_doubt =
            self.guard_ended.is_none_or(|how| how.signal().is_some() || how.code() == Some(failed));
        if !in_doubt || !cfg!(target_os = "linux") {
            return Ok(());
        }
        let until = Instant::now() + KILLED_WITHIN;
        let mut said = false;
        loop {
            let left = self.left()?;
            // The list is not of one moment: what was started during one look is there at the next.
            if left.is_empty() && self.left()?.is_empty() {
                return Ok(());
            }
            if !said {
                output.say("the command did not end in order; what is left of it is killed");
                said = true;
            }
            for listed in &left {
                listed.process.signal(Signal::SIGKILL);
            }
            if Instant::now() >= until {
                return Err(held(&left).into());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What descends from this process, can still do something and was not there before the command.
    fn left(&self) -> std::io::Result<Vec<Listed>> {
        let mut left = processes::descendants(&self.preexisting)?;
        left.retain(|listed| !listed.ended);
        Ok(left)
    }
}
