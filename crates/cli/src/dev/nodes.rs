//! The node processes: started, watched, stopped.

use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use assent_client::{Client, ClientConfig, ClientTls, Trust};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::Layout;
use crate::exit::CliError;

/// A node that was told to stop is given so long.
const STOPS_WITHIN: Duration = Duration::from_secs(8);
/// A node that is ready says so within this time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How often processes are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The processes of one cluster. Dropping it kills them.
pub(crate) struct Nodes {
    layout: Layout,
    processes: Vec<Option<Child>>,
    /// Ends that were noticed and that nobody has been told of yet.
    untold: Vec<(u64, ExitStatus)>,
}

impl Nodes {
    /// Starts every node and writes their pids into `dev.json`.
    pub(crate) fn start(layout: Layout) -> Result<Self, CliError> {
        let processes = layout.dev.nodes.iter().map(|_| None).collect();
        layout.remove_dev_json()?;
        let mut nodes = Self { processes, layout, untold: Vec::new() };
        for place in 0..nodes.processes.len() {
            nodes.spawn(place)?;
        }
        nodes.layout.write_dev_json()?;
        Ok(nodes)
    }

    /// The cluster's directory.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Starts one node again.
    pub(crate) fn restart(&mut self, id: u64) -> Result<(), CliError> {
        if let Some(place) = self.place(id) {
            self.spawn(place)?;
        }
        self.layout.write_dev_json()
    }

    /// Ends one node's process at once.
    pub(crate) async fn kill(&mut self, id: u64) -> Result<(), CliError> {
        let Some(slot) = self.place(id).and_then(|place| self.processes.get_mut(place)) else {
            return Ok(());
        };
        if let Some(mut process) = slot.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Sends one node's process a signal, if it runs.
    pub(crate) fn signal(&self, id: u64, signal: Signal) {
        let process = self.place(id).and_then(|place| self.processes.get(place)).and_then(Option::as_ref);
        if let Some(pid) = process.and_then(Child::id).and_then(|pid| i32::try_from(pid).ok()) {
            // Gone already, which the next look finds.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// The nodes that serve reads through a quorum right now.
    pub(crate) async fn ready_now(&self) -> Result<Vec<u64>, CliError> {
        let prober = self.prober()?;
        let mut ready = Vec::new();
        for (node, endpoint) in self.layout.dev.nodes.iter().zip(&self.layout.dev.endpoints) {
            if prober.ready_at(endpoint).await {
                ready.push(node.id);
            }
        }
        Ok(ready)
    }

    /// A client that asks single nodes whether they are ready. It needs no credential for that.
    fn prober(&self) -> Result<Client, CliError> {
        let dev = &self.layout.dev;
        let mut config = ClientConfig::new(&dev.endpoints, Trust::NoAllow);
        config.attempt_timeout = ANSWERS_WITHIN;
        config.deadline = ANSWERS_WITHIN;
        config.tls = dev.ca.clone().map(|ca| ClientTls { ca: Some(ca), ..ClientTls::default() });
        Ok(Client::new(config)?)
    }

    /// Ends every node's process at once.
    pub(crate) async fn kill_all(&mut self) {
        for mut process in self.processes.iter_mut().filter_map(Option::take) {
            // Gone already, which is what was wanted.
            let _ = process.kill().await;
        }
    }

    /// The nodes whose processes ended since the last call, with how.
    pub(crate) fn ended(&mut self) -> Vec<(u64, ExitStatus)> {
        let mut ended = std::mem::take(&mut self.untold);
        for (slot, node) in self.processes.iter_mut().zip(&mut self.layout.dev.nodes) {
            if let Some(process) = slot
                && let Ok(Some(status)) = process.try_wait()
            {
                *slot = None;
                ended.push((node.id, status));
            }
        }
        ended
    }

    /// Waits until every node serves reads through a quorum, telling `progress` how many do.
    ///
    /// A node that ends by itself could not start. One that was killed is somebody's experiment: it is not waited
    /// for, and [`ended`](Self::ended) tells of it.
    pub(crate) async fn ready(
        &mut self,
        within: Duration,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<(), CliError> {
        let prober = self.prober()?;
        let until = Instant::now() + within;
        let total = self.layout.dev.nodes.len();
        let mut told = None;
        loop {
            let ended = self.ended();
            if let Some((id, status)) = ended.iter().find(|(_, status)| status.code().is_some()) {
                let detail = format!("node {id} ended with {status}{}", self.last_log_lines(*id));
                return Err(CliError::new("node_ended", detail, "correct what its log names"));
            }
            self.untold = ended;
            let mut ready = 0;
            for (node, endpoint) in self.layout.dev.nodes.iter().zip(&self.layout.dev.endpoints) {
                let killed = self.untold.iter().any(|(id, _)| *id == node.id);
                if killed || prober.ready_at(endpoint).await {
                    ready += 1;
                }
            }
            if told != Some(ready) {
                progress(ready, total);
                told = Some(ready);
            }
            if ready == total {
                return Ok(());
            }
            if Instant::now() >= until {
                let detail = format!("{ready} of {total} nodes are ready after {} s", within.as_secs());
                let remedy = "check the nodes' logs in the data directory";
                return Err(CliError::new("not_ready", detail, remedy));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Stops every node gracefully, then whatever is left.
    pub(crate) async fn stop(&mut self) {
        for process in self.processes.iter().flatten() {
            if let Some(pid) = process.id().and_then(|pid| i32::try_from(pid).ok()) {
                // Gone already, which is what was wanted.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
                // A paused one hears nothing else.
                let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
            }
        }
        for slot in &mut self.processes {
            if let Some(mut process) = slot.take()
                && timeout(STOPS_WITHIN, process.wait()).await.is_err()
            {
                let _ = process.kill().await;
            }
        }
    }

    fn place(&self, id: u64) -> Option<usize> {
        self.layout.dev.nodes.iter().position(|node| node.id == id)
    }

    fn spawn(&mut self, place: usize) -> Result<(), CliError> {
        let Some(id) = self.layout.dev.nodes.get(place).map(|node| node.id) else { return Ok(()) };
        let log_file = self.layout.log_file(id);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log_file)
            .map_err(|error| CliError::file("open", &log_file, &error))?;
        let errors = log.try_clone().map_err(|error| CliError::file("open", &log_file, &error))?;
        let binary = std::env::current_exe()?;
        let process = Command::new(&binary)
            .args(["node", "--exit-with-parent", "--config"])
            .arg(self.layout.config_file(id))
            // What a service manager wants to hear of this process it does not want to hear of the nodes.
            .env_remove("NOTIFY_SOCKET")
            // The pipe stays open as long as this process lives: its end tells the node to stop.
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C in the terminal is for this process; it stops the nodes in its own way.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CliError::file("start", &binary, &error))?;
        if let Some(node) = self.layout.dev.nodes.get_mut(place) {
            node.pid = process.id().unwrap_or(0);
        }
        if let Some(slot) = self.processes.get_mut(place) {
            *slot = Some(process);
        }
        Ok(())
    }

    fn last_log_lines(&self, id: u64) -> String {
        let log = std::fs::read_to_string(self.layout.log_file(id)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
        if last.is_empty() { String::new() } else { format!(":\n{}", last.join("\n")) }
    }
}
