//! The cluster under load: by default node processes that `assent dev` runs, which this program starts or attaches to.

use assent_client::{CertificateFiles, Client, ClientConfig, ClientError, ClientTls, Trust, TrustedKeys};
use assent_proof::{DomainName, Role, SigningKey};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use std::any::Any;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::args::Args;
use crate::processes;

/// How long a cluster may take until every node is ready.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How many times the program checks whether a cluster has stopped, and the time between two checks: 15 s in all.
const STOP_POLLS_MAX: u32 = 300;
const STOP_POLL: Duration = Duration::from_millis(50);

/// Nodes serve peers on ports this far above their client ports, as `assent dev` does.
pub(crate) const PEER_PORTS: u16 = 100;

/// The fields of `dev.json` that this program needs.
#[derive(Clone, Debug, Deserialize)]
struct DevFile {
    origin: String,
    domain: DomainName,
    endpoints: Vec<String>,
    nodes: Vec<DevNode>,
    keys: DevKeys,
    /// The CA of the nodes' certificates, if they speak TLS.
    #[serde(default)]
    ca: Option<PathBuf>,
    /// The caller that may do everything that this program does, if the nodes tell callers apart.
    #[serde(default)]
    developer: Option<DevCaller>,
}

impl DevFile {
    /// What clients show to the nodes, and how they know them: what the command line gives or, if it gives nothing, what
    /// `dev.json` has.
    fn tls(&self, given: Option<&ClientTls>) -> Option<ClientTls> {
        let files =
            |caller: &DevCaller| CertificateFiles { cert: caller.cert.clone(), key: caller.key.clone() };
        let own = || {
            let certificate = self.developer.as_ref().map(files);
            self.ca.clone().map(|ca| ClientTls { ca: Some(ca), certificate, token: None })
        };
        given.cloned().or_else(own)
    }
}

#[derive(Clone, Debug, Deserialize)]
struct DevCaller {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
struct DevNode {
    pid: i32,
}

#[derive(Clone, Debug, Deserialize)]
struct DevKeys {
    governance: PathBuf,
    attestation: PathBuf,
}

/// A cluster that is ready.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The origin that evidence names.
    pub(crate) origin: String,
    /// The domain with a policy.
    pub(crate) domain: DomainName,
    /// The nodes' client addresses.
    pub(crate) endpoints: Vec<String>,
    /// What clients show to the nodes, and how they know them.
    pub(crate) tls: Option<ClientTls>,
    /// The nodes' processes.
    pub(crate) pids: Vec<i32>,
    /// Signs execution-authorizations.
    pub(crate) governance: SigningKey,
    /// Signs runtime-attestations.
    pub(crate) attestation: SigningKey,
    /// The keys that the nodes sign decisions with.
    pub(crate) node_keys: TrustedKeys,
    /// Held so that the cluster is stopped when this is dropped; none for a cluster that ran already.
    pub(crate) _processes: Option<Box<dyn Any + Send>>,
}

/// A cluster that this program started. Dropping it stops it, whatever went wrong before.
#[derive(Debug)]
struct Started {
    dev: Child,
    dev_json: PathBuf,
    /// Removed when dropped, after the processes are gone.
    data: TempDir,
}

impl Drop for Started {
    /// Stops `assent dev`, which stops its nodes. Processes that are still there after a while are killed.
    fn drop(&mut self) {
        if let Ok(dev) = i32::try_from(self.dev.id()) {
            let _ = kill(Pid::from_raw(dev), Signal::SIGINT);
        }
        for _ in 0..STOP_POLLS_MAX {
            if !matches!(self.dev.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(STOP_POLL);
        }
        eprintln!("the cluster does not stop; killing it");
        for node in read(&self.dev_json).map(|dev| dev.nodes).unwrap_or_default() {
            let _ = kill(Pid::from_raw(node.pid), Signal::SIGKILL);
        }
        let _ = self.dev.kill();
        let _ = self.dev.wait();
    }
}

fn read(dev_json: &Path) -> Option<DevFile> {
    serde_json::from_slice(&fs::read(dev_json).ok()?).ok()
}

impl Cluster {
    /// Starts or attaches to a cluster, and returns it when every node is ready.
    pub(crate) async fn start_or_attach(args: &Args) -> Result<Cluster, Failure> {
        let given = args.credentials()?;
        match &args.dev_json {
            Some(path) => Cluster::attach(path, given, None).await,
            None => {
                let started = start(args)?;
                let path = started.dev_json.clone();
                Cluster::attach(&path, given, Some(started)).await
            }
        }
    }

    async fn attach(
        dev_json: &Path,
        given: Option<ClientTls>,
        mut started: Option<Started>,
    ) -> Result<Cluster, Failure> {
        let dev = ready(dev_json, given.as_ref(), started.as_mut(), Instant::now() + START_TIMEOUT).await?;
        let tls = dev.tls(given.as_ref());
        let key = |path: &Path| read_key(dev_json, path);
        Ok(Cluster {
            governance: key(&dev.keys.governance)?,
            attestation: key(&dev.keys.attestation)?,
            node_keys: node_keys(&dev.endpoints, &tls).await?,
            origin: dev.origin,
            domain: dev.domain,
            endpoints: dev.endpoints,
            tls,
            pids: dev.nodes.iter().map(|node| node.pid).collect(),
            _processes: started.map(|started| Box::new(started) as Box<dyn Any + Send>),
        })
    }

    /// A client that accepts only decisions signed by the cluster's nodes.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let mut config = ClientConfig::new(&self.endpoints, Trust::Keys(self.node_keys.clone()));
        config.deadline = Duration::from_secs(30);
        config.tls = self.tls.clone();
        Ok(Client::new(config)?)
    }
}

fn start(args: &Args) -> Result<Started, Failure> {
    let assent = processes::assent(args.place.assent.as_deref())?;
    let data = processes::data_directory(args.place.data.as_deref())?;
    let dir = data.path().join("dev");
    let log = File::create(data.path().join("dev.log"))?;
    let port = free_ports(args.place.nodes)?;
    eprintln!("starting {} nodes on ports from {port}, data in `{}`", args.place.nodes, dir.display());
    let dev = Command::new(&assent)
        .args(["dev", "--nodes", &args.place.nodes.to_string(), "--base-port", &port.to_string(), "--data"])
        .arg(&dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Started { dev, dev_json: dir.join("dev.json"), data })
}

/// Finds the first of enough consecutive free ports for clients, whose peer ports, 100 above, are free too. If another
/// program takes one before the nodes do, the nodes report it.
pub(crate) fn free_ports(nodes: u16) -> Result<u16, Failure> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (17_400..30_000)
        .step_by(200)
        .find(|base| (0..nodes).all(|n| free(base + n) && free(base + PEER_PORTS + n)))
        .ok_or_else(|| "no free ports between 17400 and 30000".into())
}

/// Waits until `dev.json` exists and every node is ready.
async fn ready(
    dev_json: &Path,
    given: Option<&ClientTls>,
    mut started: Option<&mut Started>,
    until: Instant,
) -> Result<DevFile, Failure> {
    loop {
        if let Some(dev) = read(dev_json)
            && all_ready(&dev.endpoints, &dev.tls(given)).await
        {
            return Ok(dev);
        }
        if let Some(started) = started.as_mut()
            && let Some(status) = started.dev.try_wait()?
        {
            return Err(format!("`assent dev` ended with {status}\n{}", tail(started)).into());
        }
        if Instant::now() >= until {
            let told = started.as_deref().map(tail).unwrap_or_default();
            return Err(format!("no cluster was ready at `{}` in time\n{told}", dev_json.display()).into());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Whether every node serves reads through a quorum.
pub(crate) async fn all_ready(endpoints: &[String], tls: &Option<ClientTls>) -> bool {
    let Ok(client) = reader(endpoints, tls) else { return false };
    for endpoint in endpoints {
        if !client.ready_at(endpoint).await {
            return false;
        }
    }
    true
}

/// A client that believes no allow.
fn reader(endpoints: &[String], tls: &Option<ClientTls>) -> Result<Client, ClientError> {
    Client::new(ClientConfig { tls: tls.clone(), ..ClientConfig::new(endpoints, Trust::NoAllow) })
}

/// The last part of what `assent dev` printed.
fn tail(started: &Started) -> String {
    let text = fs::read_to_string(started.data.path().join("dev.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
}

/// Reads a key that `dev.json` names; its path may be relative to that file.
fn read_key(dev_json: &Path, path: &Path) -> Result<SigningKey, Failure> {
    let beside = dev_json.parent().unwrap_or(Path::new("")).join(path);
    let path = if beside.is_file() { beside } else { path.to_owned() };
    let pem = fs::read_to_string(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    SigningKey::from_pem(&pem).map_err(|error| format!("`{}`: {error}", path.display()).into())
}

/// The node keys whose grants stand.
async fn node_keys(endpoints: &[String], tls: &Option<ClientTls>) -> Result<TrustedKeys, Failure> {
    let client = reader(endpoints, tls)?;
    let authorities = client.authorities(&DomainName::root(), None, Some(100)).await?.authorities;
    let keys = authorities.iter().filter(|authority| authority.role == Role::Registry);
    Ok(TrustedKeys::new(keys.map(|authority| authority.id))?)
}
