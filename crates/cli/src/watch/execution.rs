//! A command under watch, seen from the process that watches: its guard, and what is left if the guard is killed.

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

/// How long the guard may take, after the grace, to kill what is left and to end. What it has not done by then is this process's to do.
const GUARD_LATE: Duration = Duration::from_secs(2);
/// How often it is looked whether they have ended.
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
    /// What descended from this process before the command, which is none of its doing.
    preexisting: BTreeSet<Process>,
}

impl Execution {
    /// Starts the command, which may run until `end` unless the guard is told otherwise ([`renewals`](Self::renewals)). To be called on
    /// the program's first thread: the system takes that thread's end for the parent's.
    ///
    /// # Errors
    /// `io_failed` if the guard could not be started. What the guard itself cannot do it says on stderr, and ends.
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

    /// Waits until the command has ended, with all that it has started, and answers how the guard ended: as the command did. Dropping
    /// the wait loses nothing.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.guard.wait().await?;
        self.guard_ended = Some(status);
        Ok(status)
    }

    /// Has the guard stop the command: with this signal, and with SIGKILL what is left of it after `grace`. A guard that is stopped
    /// is continued, and one that does not end soon after the grace is killed.
    pub(super) async fn stop(&mut self, first: Signal, grace: Duration) -> std::io::Result<ExitStatus> {
        let number = self.guard.id().and_then(|id| i32::try_from(id).ok());
        if let Some(number) = number {
            // If it has ended by now, waiting for it says how.
            let _ = kill(Pid::from_raw(number), first);
            // If it was stopped, it would pass nothing on.
            let _ = kill(Pid::from_raw(number), Signal::SIGCONT);
        }
        if let Ok(status) = timeout(grace.saturating_add(GUARD_LATE), self.ended()).await {
            return status;
        }
        // The system kills the command's first process with it, and the rest is then this process's to end.
        self.guard.start_kill()?;
        match timeout(KILLED_WITHIN, self.ended()).await {
            Ok(status) => status,
            Err(_) => Err(held(&[])),
        }
    }

    /// Kills what the guard has left of the command: nothing, unless the guard was killed or could not end something.
    ///
    /// # Errors
    /// `io_failed` if something does not end, or if it cannot be seen whether something is left.
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
