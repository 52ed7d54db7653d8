//! The node processes that this program starts itself, and the directory with their data.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

use crate::Failure;

/// How many times the program checks whether the nodes have stopped, and the time between two checks: 15 s in all.
const STOP_POLLS_MAX: u32 = 300;
const STOP_POLL: Duration = Duration::from_millis(50);

/// How many lines of a node's log an error has.
const TAIL_LINES: usize = 20;

/// The nodes of one cluster. Dropping it stops them, and then removes their data.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// The processes, in the order of their numbers, which begin at 1.
    children: Vec<Child>,
    /// Removed when dropped, after the processes are gone.
    data: TempDir,
}

impl Nodes {
    /// No node yet. Their data will be in this directory.
    pub(crate) fn in_directory(data: TempDir) -> Nodes {
        Nodes { children: Vec::new(), data }
    }

    /// The directory of all files.
    pub(crate) fn directory(&self) -> &Path {
        self.data.path()
    }

    /// Starts the next node with this configuration file.
    pub(crate) fn start(&mut self, assent: &Path, config: &Path) -> Result<(), Failure> {
        let log = File::create(self.log_file(self.children.len()))?;
        let child = Command::new(assent)
            .args(["node", "--exit-with-parent", "--config"])
            .arg(config)
            // If this program dies without stopping the node, the end of this pipe tells the node to stop.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.children.push(child);
        Ok(())
    }

    /// The process ids, in the order of the nodes.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.children.iter().filter_map(|child| i32::try_from(child.id()).ok()).collect()
    }

    /// Fails if a node has ended.
    pub(crate) fn must_run(&mut self) -> Result<(), Failure> {
        for place in 0..self.children.len() {
            let Some(child) = self.children.get_mut(place) else { continue };
            if let Some(status) = child.try_wait()? {
                let (number, told) = (place.saturating_add(1), self.tail(place));
                return Err(format!("node {number} ended with {status}\n{told}").into());
            }
        }
        Ok(())
    }

    /// The last lines of each node's log.
    pub(crate) fn tails(&self) -> String {
        (0..self.children.len()).map(|place| self.tail(place)).collect::<Vec<_>>().join("\n")
    }

    fn tail(&self, place: usize) -> String {
        let text = fs::read_to_string(self.log_file(place)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
    }

    fn log_file(&self, place: usize) -> PathBuf {
        self.data.path().join(format!("node-{}.log", place.saturating_add(1)))
    }
}

impl Drop for Nodes {
    /// Tells every node to stop. A node that is still there after a while is killed.
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        for _ in 0..STOP_POLLS_MAX {
            if !self.children.iter_mut().any(|child| matches!(child.try_wait(), Ok(None))) {
                return;
            }
            std::thread::sleep(STOP_POLL);
        }
        eprintln!("the nodes do not stop; killing them");
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The `assent` program: the given one, or the one beside this program.
pub(crate) fn assent(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => beside()?.join("assent"),
    };
    if !path.is_file() {
        return Err(format!("`{}` is missing: cargo build --release -p assent-cli", path.display()).into());
    }
    Ok(path)
}

/// A new directory for the data of a cluster: in the given directory, or beside this program.
pub(crate) fn data_directory(given: Option<&Path>) -> Result<TempDir, Failure> {
    let parent = match given {
        Some(parent) => parent.to_owned(),
        None => beside()?,
    };
    fs::create_dir_all(&parent)?;
    // Absolute, because the nodes' configurations name files in it.
    let parent = std::path::absolute(parent)?;
    Ok(tempfile::Builder::new().prefix("cluster-load-").tempdir_in(parent)?)
}

/// The directory of this program.
fn beside() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.parent().ok_or("this program has no directory")?.to_owned())
}
