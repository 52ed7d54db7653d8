//! A process of `assent dev` with its directory.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::binary::binary;
use crate::error::HarnessError;
use crate::ports;

/// The longest time that a cluster may take to become ready on a busy machine.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a process that was told to stop is given, and how often it is looked for.
const STOPS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running `assent dev` in a directory of its own. Dropping it ends the process, which ends its nodes, and removes the
/// directory.
pub struct DevProcess {
    process: Child,
    directory: tempfile::TempDir,
}

impl DevProcess {
    /// Starts a cluster of 3 or 5 nodes that speak TLS, and waits until every node is ready.
    ///
    /// # Errors
    /// If the process cannot be started, or if it ends or is not ready in time.
    pub async fn with_tls(nodes: u16) -> Result<Self, HarnessError> {
        let mut dev = Self::spawn(nodes, &["--tls"])?;
        dev.settled().await?;
        Ok(dev)
    }

    /// Starts the process.
    pub(crate) fn spawn(nodes: u16, more: &[&str]) -> Result<Self, HarnessError> {
        let directory = tempfile::tempdir().map_err(HarnessError::io("making a directory"))?;
        let base = ports::free_base(nodes)?;
        let log =
            fs::File::create(directory.path().join("dev.log")).map_err(HarnessError::io("making a log"))?;
        let errors = log.try_clone().map_err(HarnessError::io("making a log"))?;
        let process = Command::new(binary()?)
            .arg("dev")
            .args(["--nodes", &nodes.to_string(), "--base-port", &base.to_string()])
            .arg("--data")
            .arg(directory.path().join("dev"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(HarnessError::io("starting `assent dev`"))?;
        Ok(Self { process, directory })
    }

    /// Waits until `assent dev` has finished starting: until then it treats a node's end as a failed start. It then
    /// has found every node ready.
    pub(crate) async fn settled(&mut self) -> Result<(), HarnessError> {
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until {
            self.must_run()?;
            if self.log().contains("export ASSENT_KEY_ZONE=") {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(HarnessError::TimedOut(format!("`assent dev` printed no export lines:\n{}", self.log())))
    }

    /// Fails if the process has ended.
    pub(crate) fn must_run(&mut self) -> Result<(), HarnessError> {
        let ended: Option<ExitStatus> =
            self.process.try_wait().map_err(HarnessError::io("asking after `assent dev`"))?;
        match ended {
            None => Ok(()),
            Some(status) => {
                Err(HarnessError::Unexpected(format!("`assent dev` ended with {status}:\n{}", self.log())))
            }
        }
    }

    /// What `assent dev` printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("dev.log")).unwrap_or_default()
    }

    /// The directory of `assent dev`.
    pub fn dev_directory(&self) -> PathBuf {
        self.directory.path().join("dev")
    }
}

impl AsRef<DevProcess> for DevProcess {
    fn as_ref(&self) -> &DevProcess {
        self
    }
}

impl Drop for DevProcess {
    fn drop(&mut self) {
        // Best effort: a failure cannot be reported here, and the process may have ended already.
        let _ = kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX)), Signal::SIGTERM);
        let mut waited = Duration::ZERO;
        while waited < STOPS_WITHIN && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
