//! The faults of a cluster's processes: kill, stop, pause, start again.
//!
//! Each function blocks its thread until it is done, so that a test knows from when on a node is down. If load runs on
//! the same runtime, call it in `tokio::task::block_in_place`.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::binary::binary;
use crate::cluster::Cluster;
use crate::error::HarnessError;

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How many times a process is checked before the harness gives up on it: 10 s in all.
const LOOKS: u32 = 2000;

impl Cluster {
    /// Ends a node at once (SIGKILL), as a power cut would end its process.
    pub fn kill(&mut self, id: u64) -> Result<(), HarnessError> {
        if let Some(mut child) = self.restarted.remove(&id) {
            child.kill().map_err(HarnessError::io("killing a node"))?;
            child.wait().map_err(HarnessError::io("waiting for a node's end"))?;
            return Ok(());
        }
        self.signal(id, Signal::SIGKILL)?;
        self.gone(id)
    }

    /// Asks a node to stop, and waits until it has. Returns its exit code, if it ended by itself.
    pub fn stop(&mut self, id: u64) -> Result<Option<i32>, HarnessError> {
        self.terminate(id)?;
        self.ended(id)
    }

    /// Asks a node to stop.
    pub fn terminate(&self, id: u64) -> Result<(), HarnessError> {
        self.signal(id, Signal::SIGTERM)
    }

    /// Waits until a node has ended by itself. Returns its exit code.
    pub fn ended(&mut self, id: u64) -> Result<Option<i32>, HarnessError> {
        if !self.restarted.contains_key(&id) {
            self.gone(id)?;
            return eventually(|| self.dev_said_code(id)).ok_or_else(|| {
                HarnessError::TimedOut(format!(
                    "`assent dev` does not say how node {id} ended:\n{}",
                    self.log()
                ))
            });
        }
        for _ in 0..LOOKS {
            let Some(child) = self.restarted.get_mut(&id) else { break };
            if let Some(status) = child.try_wait().map_err(HarnessError::io("waiting for a node's end"))? {
                self.restarted.remove(&id);
                return Ok(status.code());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(HarnessError::TimedOut(format!("node {id} did not end")))
    }

    /// The exit code that `assent dev` printed for a node that it started.
    fn dev_said_code(&self, id: u64) -> Option<Option<i32>> {
        let said = format!("node {id} ended (");
        let log = self.log();
        let how = log.split(&said).nth(1)?.split(')').next()?;
        Some(how.strip_prefix("exit status: ").and_then(|code| code.parse().ok()))
    }

    /// Waits until a killed node's process is gone.
    pub fn gone(&self, id: u64) -> Result<(), HarnessError> {
        // A process uses its files until it is gone.
        let pid = Pid::from_raw(self.node(id)?.pid);
        eventually(|| kill(pid, None).is_err().then_some(()))
            .ok_or_else(|| HarnessError::TimedOut(format!("node {id} was not gone in time")))
    }

    /// Stops a node's process without ending it, and waits until it stands still.
    pub fn pause(&self, id: u64) -> Result<(), HarnessError> {
        self.signal(id, Signal::SIGSTOP)?;
        // Each thread is checked: one that still runs could still answer.
        let threads = format!("/proc/{}/task", self.node(id)?.pid);
        let stands = || {
            let mut threads = fs::read_dir(&threads).ok()?.flatten();
            let stopped = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"));
            threads
                .all(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(stopped))
                .then_some(())
        };
        eventually(stands).ok_or_else(|| HarnessError::TimedOut(format!("node {id} did not stop in time")))
    }

    /// Continues a paused process.
    pub fn resume(&self, id: u64) -> Result<(), HarnessError> {
        self.signal(id, Signal::SIGCONT)
    }

    fn signal(&self, id: u64, signal: Signal) -> Result<(), HarnessError> {
        kill(Pid::from_raw(self.node(id)?.pid), signal)
            .map_err(|errno| HarnessError::Unexpected(format!("{signal} to node {id}: {errno}")))
    }

    /// Starts a killed node again, on its own data.
    pub fn restart(&mut self, id: u64) -> Result<(), HarnessError> {
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.dev_directory().join(format!("node-{id}.log")))
            .map_err(HarnessError::io("opening a node's log"))?;
        let errors = log.try_clone().map_err(HarnessError::io("opening a node's log"))?;
        let child = Command::new(binary()?)
            .args(["node", "--exit-with-parent", "--config"])
            .arg(self.config_path(id))
            // If this process dies without stopping the node, the end of this pipe tells the node to stop.
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(HarnessError::io("starting a node"))?;
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
            node.pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        }
        self.restarted.insert(id, child);
        Ok(())
    }
}

fn eventually<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..LOOKS {
        if let Some(found) = found() {
            return Some(found);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    None
}
