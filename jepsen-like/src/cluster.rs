//! A cluster of real processes, which `assent dev` starts and which this module stops, pauses and damages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use assent_proof::SigningKey;

use crate::answer::{Answer, Http};
use crate::dev_process::{DevProcess, READY_WITHIN};
use crate::documented;
use crate::error::HarnessError;

/// The longest time that a test waits for one answer: well above any deadline of the product.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// One node of a running cluster.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    /// Its number, from 1.
    pub id: u64,
    /// Its process, as `assent dev` started it.
    pub pid: i32,
    /// Where clients reach it, `host:port`.
    pub client: String,
    /// Where peers reach it, `host:port`.
    pub peer: String,
    /// Its data directory.
    pub data: PathBuf,
}

#[derive(Deserialize)]
struct DevJson {
    origin: String,
    domain: String,
    nodes: Vec<Node>,
    keys: BTreeMap<String, PathBuf>,
}

/// A cluster of real processes in a directory of its own. Dropping it ends them and removes the directory.
///
/// Asking a node panics if `docs/protocol.md` does not say that the call can be answered like that.
pub struct Cluster {
    /// The nodes, by number.
    pub nodes: Vec<Node>,
    /// The registry's origin.
    pub origin: String,
    /// The domain that the genesis file made.
    pub domain: String,
    keys: BTreeMap<String, PathBuf>,
    dev: DevProcess,
    /// The nodes that this harness started again, and that `assent dev` does not manage.
    pub(crate) restarted: BTreeMap<u64, Child>,
    http: Http,
}

impl Cluster {
    /// Starts a cluster of 3 or 5 nodes and waits until every node is ready.
    pub async fn start(nodes: u16) -> Result<Self, HarnessError> {
        let mut cluster = Self {
            nodes: Vec::new(),
            origin: String::new(),
            domain: String::new(),
            keys: BTreeMap::new(),
            dev: DevProcess::spawn(nodes, &[])?,
            restarted: BTreeMap::new(),
            http: Http::new(),
        };
        cluster.read_dev_json().await?;
        cluster.ready(READY_WITHIN).await?;
        cluster.dev.settled().await?;
        Ok(cluster)
    }

    async fn read_dev_json(&mut self) -> Result<(), HarnessError> {
        let path = self.dev.dev_directory().join("dev.json");
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until {
            self.dev.must_run()?;
            let parsed =
                fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<DevJson>(&bytes).ok());
            if let Some(dev) = parsed {
                self.origin = dev.origin;
                self.domain = dev.domain;
                self.nodes = dev.nodes;
                self.keys = dev.keys;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(HarnessError::TimedOut(format!("`assent dev` wrote no dev.json:\n{}", self.log())))
    }

    /// What `assent dev` printed.
    pub fn log(&self) -> String {
        self.dev.log()
    }

    /// The directory of `assent dev`.
    pub fn dev_directory(&self) -> PathBuf {
        self.dev.dev_directory()
    }

    /// Waits until every node answers a quorum read.
    pub async fn ready(&self, within: Duration) -> Result<(), HarnessError> {
        for node in &self.nodes {
            self.node_ready(node.id, within).await?;
        }
        Ok(())
    }

    /// Waits until one node answers a quorum read.
    pub async fn node_ready(&self, id: u64, within: Duration) -> Result<(), HarnessError> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if self.get(id, "/readyz").await.status == Some(200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(HarnessError::TimedOut(format!(
            "node {id} is not ready after {} s:\n{}\n{}",
            within.as_secs(),
            self.log(),
            self.node_log(id)
        )))
    }

    /// The HTTP client of this cluster, for tasks of their own.
    pub(crate) fn http(&self) -> Http {
        self.http.clone()
    }

    /// The last lines of a node's log.
    pub fn node_log(&self, id: u64) -> String {
        let log = fs::read_to_string(self.dev_directory().join(format!("node-{id}.log"))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
    }

    /// A node by its number.
    pub fn node(&self, id: u64) -> Result<&Node, HarnessError> {
        let found = self.nodes.iter().find(|node| node.id == id);
        found.ok_or_else(|| HarnessError::Unexpected(format!("there is no node {id}")))
    }

    /// The signing key of a role.
    pub fn key(&self, role: &str) -> Result<SigningKey, HarnessError> {
        let path = self.keys.get(role);
        let path = path.ok_or_else(|| HarnessError::Unexpected(format!("dev.json names no key `{role}`")))?;
        let pem =
            fs::read_to_string(path).map_err(HarnessError::io(format!("reading {}", path.display())))?;
        SigningKey::from_pem(&pem).map_err(|error| HarnessError::Unexpected(error.to_string()))
    }

    /// The path of a role's key.
    pub fn key_path(&self, role: &str) -> Option<&Path> {
        self.keys.get(role).map(PathBuf::as_path)
    }

    /// Asks a node. If the path reads the registry and the node cannot know, the request is repeated.
    pub async fn get(&self, id: u64, path: &str) -> Answer {
        let until = Instant::now() + ANSWER_WITHIN;
        loop {
            let answer = self.ask(id, "GET", path, Bytes::new()).await;
            if !path.starts_with("/v1/") || answer.status != Some(503) || Instant::now() >= until {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends bytes to a node.
    pub async fn post(&self, id: u64, path: &str, body: impl Into<Bytes>) -> Answer {
        self.ask(id, "POST", path, body.into()).await
    }

    /// Deletes something at a node.
    pub async fn delete(&self, id: u64, path: &str) -> Answer {
        self.ask(id, "DELETE", path, Bytes::new()).await
    }

    async fn ask(&self, id: u64, method: &str, path: &str, body: Bytes) -> Answer {
        let address = self.nodes.iter().find(|node| node.id == id).map_or("", |node| node.client.as_str());
        let answer = self.http.ask(method, &format!("http://{address}{path}"), body, ANSWER_WITHIN).await;
        if let Some(status) = answer.status {
            documented::insist(method, path, status, &answer.body);
        }
        answer
    }

    /// Submits through a node until there is a definite answer, as a client does: the same bytes again.
    pub async fn submit(&self, id: u64, envelope: &[u8]) -> Result<Answer, HarnessError> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let answer = self.post(id, "/v1/envelopes", envelope.to_vec()).await;
            if matches!(answer.status, Some(200 | 201 | 400 | 403 | 404 | 409 | 413)) {
                return Ok(answer);
            }
            if Instant::now() >= until {
                let detail = format!("a submission through node {id} got no definite answer: {answer:?}");
                return Err(HarnessError::TimedOut(format!("{detail}\n{}", self.node_log(id))));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Submits, and fails unless the envelope is accepted.
    pub async fn accept(&self, id: u64, envelope: &[u8]) -> Result<Answer, HarnessError> {
        let answer = self.submit(id, envelope).await?;
        match answer.status {
            Some(200 | 201) => Ok(answer),
            _ => Err(HarnessError::Unexpected(format!("not accepted: {answer:?}"))),
        }
    }

    /// Asks a node for a decision.
    pub async fn authorize(&self, id: u64, request: &Value) -> Answer {
        self.post(id, "/v1/authorize", request.to_string().into_bytes()).await
    }

    /// Asks a node for a decision until the node can know: a deny for want of a quorum is always legal, and on a busy
    /// machine it happens.
    pub async fn decide(&self, id: u64, request: &Value) -> Answer {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let answer = self.authorize(id, request).await;
            if !matches!(answer.status, None | Some(503)) || Instant::now() >= until {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The node that some node takes for the leader.
    pub async fn leader(&self) -> Result<u64, HarnessError> {
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until {
            for node in &self.nodes {
                let status = self.get(node.id, "/v1/cluster/status").await;
                if status.text("role") == Some("leader") && status.number("leader") == Some(node.id) {
                    return Ok(node.id);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(HarnessError::TimedOut("no node leads".to_owned()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Best effort: a failure cannot be reported here, and each of these processes may have ended already.
        for child in self.restarted.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for node in &self.nodes {
            // A paused process handles no signal except SIGCONT and SIGKILL.
            let _ = kill(Pid::from_raw(node.pid), Signal::SIGCONT);
        }
        // Then `assent dev` is told to stop, with the nodes that it started.
    }
}

impl AsRef<DevProcess> for Cluster {
    fn as_ref(&self) -> &DevProcess {
        &self.dev
    }
}
