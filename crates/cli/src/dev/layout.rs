//! The files in a development cluster's directory, and `dev.json`, which lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use assent_cluster::access::{CallerConfig, JwtIssuerConfig};
use assent_cluster::audit::AuditConfig;
use assent_cluster::config::{Config, PeerConfig, VoterConfig};
use assent_proof::{DomainName, EvidenceKind, VerifiedEnvelope};
use assent_registry::GenesisFile;

use super::genesis::{self, Founding};
use super::tls::{CallerFiles, TlsFolder};
use crate::exit::CliError;
use crate::{edge, files, keys};

/// What tools need to know of a development cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevJson {
    /// The registry's origin.
    pub(crate) origin: String,
    /// Its domain.
    pub(crate) domain: String,
    /// `http://host:port` of every node, or `https://host:port` with TLS.
    pub(crate) endpoints: Vec<String>,
    /// The nodes, by number.
    pub(crate) nodes: Vec<NodeEntry>,
    /// The key of each role: paths of PEM files.
    pub(crate) keys: BTreeMap<String, PathBuf>,
    /// The nodes' public keys, which callers trust: a PEM file with all of them.
    pub(crate) node_keys: PathBuf,
    /// With TLS, the certificate of the authority that issued the nodes' certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// With TLS, a caller for each role, by the name of the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clients: Option<BTreeMap<String, CallerFiles>>,
    /// With TLS, the caller that has every role of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) developer: Option<CallerFiles>,
}

/// One node in `dev.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeEntry {
    /// Its number, from 1.
    pub(crate) id: u64,
    /// Its process, as it was started last; it may have ended since.
    pub(crate) pid: u32,
    /// Where clients reach it, `host:port`.
    pub(crate) client: String,
    /// Where peers reach it, `host:port`.
    pub(crate) peer: String,
    /// With TLS, where operators change the members and the leader, `host:port`. Without it, that is where clients
    /// reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<String>,
    /// Its data directory.
    pub(crate) data: PathBuf,
}

/// A development cluster's directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
    /// What `dev.json` says.
    pub(crate) dev: DevJson,
    /// The certificates and tokens, if the nodes have TLS.
    tls: Option<TlsFolder>,
}

/// The domain that a development cluster starts with.
const DOMAIN: &str = "dev.local";

/// The roles that have a key of their own, in the order of `dev.json`.
const KEYS: [&str; 9] =
    ["root", "governance", "attestation", "runtime", "orchestration", "gateway", "audit", "registry", "zone"];

/// How many nodes a new cluster has, if nobody says.
const NODES: u16 = 3;
/// The first client port of a new cluster, if nobody says.
const BASE_PORT: u16 = 7400;

/// How nodes without TLS serve, in one line for people.
const PLAIN_DOOR: &str = "the nodes serve plain HTTP on loopback, where every program on this machine may do everything; \
                          `assent dev --tls` makes certificates and callers";

impl Layout {
    /// The directory's cluster: the one that is there, or a new one of `nodes` nodes.
    ///
    /// What is not given is as it was when the directory was used last, or 3 nodes from port 7400 on without TLS.
    pub(crate) fn open(
        directory: &Path,
        nodes: Option<u16>,
        base_port: Option<u16>,
        tls: Option<bool>,
    ) -> Result<Self, CliError> {
        let directory =
            std::path::absolute(directory).map_err(|error| CliError::file("find", directory, &error))?;
        let genesis = directory.join("genesis.json");
        let found = if genesis.exists() { Some(founded(&genesis)?) } else { None };
        let there = found.as_ref().and_then(|(_, there)| u16::try_from(*there).ok());
        let nodes = nodes.or(there).unwrap_or(NODES);
        // If the file is there and cannot be used, `write_configs` says so.
        let before = Config::load(&directory.join("node-1.toml")).ok();
        let port_before =
            before.as_ref().and_then(|config| config.client_listen.rsplit_once(':')?.1.parse().ok());
        let base_port = base_port.or(port_before).unwrap_or(BASE_PORT);
        let had_tls = before.is_some_and(|config| config.client_tls.is_some());
        let tls = tls.unwrap_or(had_tls).then(|| TlsFolder::of(&directory));
        let origin = match &found {
            Some((_, there)) if *there != usize::from(nodes) => {
                let detail =
                    format!("`{}` holds a cluster of {there} nodes, not of {nodes}", directory.display());
                let remedy = "choose another `--data`, or the same `--nodes`";
                return Err(CliError::new("other_cluster", detail, remedy));
            }
            Some((origin, _)) => origin.clone(),
            None => format!("dev.local/{}", hex::encode(edge::random::<4>()?)),
        };
        let dev = dev_of(&directory, origin, (nodes, base_port), tls.as_ref())?;
        let layout = Self { dev, directory, tls };
        if found.is_none() {
            layout.create()?;
        }
        layout.renew_certificates()?;
        layout.write_configs()?;
        Ok(layout)
    }

    /// Makes the keys, and then the genesis file. If the genesis file exists, everything is there.
    fn create(&self) -> Result<(), CliError> {
        let folder = self.directory.join("keys");
        std::fs::create_dir_all(&folder).map_err(|error| CliError::file("make", &folder, &error))?;
        let mut all: Vec<PathBuf> = self.dev.keys.values().cloned().collect();
        all.push(self.checkpoint_key());
        all.extend(self.dev.nodes.iter().map(|node| self.node_key(node.id)));
        for path in &all {
            if !path.exists() {
                keys::write_new(path, &keys::generate()?)?;
            }
        }
        let public: Result<Vec<String>, CliError> = self
            .dev
            .nodes
            .iter()
            .map(|node| Ok(keys::read_public(&self.node_key(node.id))?.to_pem()))
            .collect();
        files::replace(&self.node_keys(), public?.concat().as_bytes())?;
        files::replace(&self.genesis_file(), &genesis::make(&self.founding())?)
    }

    /// Makes the certificates and tokens that are missing, and issues those certificates anew that end soon. Running
    /// nodes read them by themselves. Without TLS there are none.
    pub(crate) fn renew_certificates(&self) -> Result<(), CliError> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let cluster_id = genesis_in(&self.genesis_file())?.cluster_id().0;
        let nodes: Vec<u64> = self.dev.nodes.iter().map(|node| node.id).collect();
        tls.renew(cluster_id, &nodes, edge::now().0)
    }

    /// What the genesis file is made of.
    fn founding(&self) -> Founding {
        Founding {
            origin: self.dev.origin.clone(),
            domain: self.dev.domain.clone(),
            keys: self.dev.keys.clone(),
            checkpoint_key: self.checkpoint_key(),
            node_keys: self.dev.nodes.iter().map(|node| (node.id, self.node_key(node.id))).collect(),
        }
    }

    fn write_configs(&self) -> Result<(), CliError> {
        let voters: Vec<VoterConfig> = self
            .dev
            .nodes
            .iter()
            .map(|node| VoterConfig { id: node.id, peer: node.peer.clone(), client: node.client.clone() })
            .collect();
        for node in &self.dev.nodes {
            let path = self.config_file(node.id);
            let invalid = |error: assent_cluster::config::ConfigError| {
                CliError::new("config_invalid", error.to_string(), "correct or remove the file")
            };
            let new = self.new_config(node, &voters);
            // What was changed in it stays; the cluster's own paths and addresses follow the directory and the command
            // line, so that a copy of the directory is a cluster of its own.
            let config = if path.exists() {
                let found = Config::load(&path).map_err(invalid)?;
                // On other ports than before, no node is where the membership says: each is told where the others are.
                let here = voters.iter().map(|voter| PeerConfig { id: voter.id, peer: voter.peer.clone() });
                let peers = if found.voters == voters { found.peers } else { here.collect() };
                let audit = self.moved_here(found.audit, &found.data_dir);
                let Config { raft, deadlines, limits, callers, jwt_issuers, public_read, .. } = found;
                let Config { health_listen, health_metrics, .. } = found;
                let kept =
                    Config { raft, deadlines, limits, peers, audit, health_listen, health_metrics, ..new };
                self.with_kept_callers(kept, callers, jwt_issuers, public_read)
            } else {
                new
            };
            files::replace(&path, config.to_toml().map_err(invalid)?.as_bytes())?;
        }
        Ok(())
    }

    fn new_config(&self, node: &NodeEntry, voters: &[VoterConfig]) -> Config {
        let (id, data, key) = (node.id, node.data.clone(), self.node_key(node.id));
        let mut new = Config::new(id, data, self.genesis_file(), key, voters.to_vec());
        // People measure development clusters, and often with one key.
        new.limits.issuer_rate = 0;
        match &self.tls {
            None => new,
            Some(tls) => Config {
                plain_http: false,
                peer_tls: Some(tls.peer_tls(id)),
                client_tls: Some(tls.client_tls(id)),
                admin_listen: node.admin.clone(),
                callers: tls.callers(),
                ..new
            },
        }
    }

    /// The settings of the trail. If its file was in the directory that also had `data`, it is in this one.
    fn moved_here(&self, audit: AuditConfig, data: &Path) -> AuditConfig {
        let within = |path: PathBuf| match data.parent().and_then(|before| path.strip_prefix(before).ok()) {
            Some(inside) => self.directory.join(inside),
            None => path,
        };
        AuditConfig { path: audit.path.map(within), ..audit }
    }

    /// With TLS, the configuration with what somebody has added for callers. The entries of this cluster's own callers
    /// are as they are always: an entry of somebody else has another name. Without TLS a node refuses any such rule.
    fn with_kept_callers(
        &self,
        mut config: Config,
        found: Vec<CallerConfig>,
        jwt_issuers: Vec<JwtIssuerConfig>,
        public_read: bool,
    ) -> Config {
        if self.tls.is_none() {
            return config;
        }
        let own: BTreeSet<String> = config.callers.iter().map(|caller| caller.name.clone()).collect();
        config.callers.extend(found.into_iter().filter(|caller| !own.contains(&caller.name)));
        Config { jwt_issuers, public_read, ..config }
    }

    /// Writes `dev.json` anew; a reader sees the old one or the new one.
    pub(crate) fn write_dev_json(&self) -> Result<(), CliError> {
        let json = serde_json::to_vec_pretty(&self.dev)
            .map_err(|error| CliError::new("output_failed", error.to_string(), "report this as a bug"))?;
        files::replace(&self.directory.join("dev.json"), &json)
    }

    /// Removes the `dev.json` of an earlier run: its processes are gone, and their numbers may be others' by now.
    pub(crate) fn remove_dev_json(&self) -> Result<(), CliError> {
        let path = self.directory.join("dev.json");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CliError::file("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Refuses ports that something else has.
    pub(crate) fn check_ports(&self) -> Result<(), CliError> {
        let addresses =
            |node: &'_ NodeEntry| [Some(node.client.clone()), Some(node.peer.clone()), node.admin.clone()];
        for address in self.dev.nodes.iter().flat_map(addresses).flatten() {
            if let Err(error) = TcpListener::bind(address.as_str()) {
                let detail = format!("cannot listen on {address}: {error}");
                return Err(CliError::new("port_in_use", detail, "choose another `--base-port`"));
            }
        }
        Ok(())
    }

    /// The lines to paste into a shell.
    pub(crate) fn exports(&self) -> String {
        let mut lines = vec![
            format!("export ASSENT_ENDPOINTS={}", self.dev.endpoints.join(",")),
            format!("export ASSENT_ENDPOINT={}", self.dev.endpoints.first().map_or("", String::as_str)),
            format!("export ASSENT_ORIGIN={}", self.dev.origin),
            format!("export ASSENT_DOMAIN={}", self.dev.domain),
            format!("export ASSENT_NODE_KEYS={}", quoted(&self.node_keys())),
        ];
        if let (Some(ca), Some(developer)) = (&self.dev.ca, &self.dev.developer) {
            lines.push(format!("export ASSENT_CA={}", quoted(ca)));
            lines.push(format!("export ASSENT_CERT={}", quoted(&developer.cert)));
            lines.push(format!("export ASSENT_CERT_KEY={}", quoted(&developer.key)));
            let admin =
                self.dev.nodes.iter().filter_map(|node| Some(format!("https://{}", node.admin.as_ref()?)));
            lines.push(format!("export ASSENT_ADMIN={}", admin.collect::<Vec<String>>().join(",")));
        }
        for role in KEYS {
            if let Some(path) = self.dev.keys.get(role) {
                lines.push(format!("export ASSENT_KEY_{}={}", role.to_uppercase(), quoted(path)));
            }
        }
        lines.join("\n")
    }

    /// How the nodes serve, in one line for people.
    pub(crate) fn door(&self) -> &'static str {
        match &self.tls {
            None => PLAIN_DOOR,
            Some(_) => {
                "the nodes speak TLS with each other and with callers; the lines below make your shell the caller \
                 `developer`, who has the five roles of operators, schedulers, gateways, submitters and auditors; \
                 dev.json has a caller for each role"
            }
        }
    }

    /// The genesis file.
    pub(crate) fn genesis_file(&self) -> PathBuf {
        self.directory.join("genesis.json")
    }

    /// The key that signs checkpoints.
    pub(crate) fn checkpoint_key(&self) -> PathBuf {
        self.directory.join("keys/checkpoint.pem")
    }

    /// A node's key.
    pub(crate) fn node_key(&self, id: u64) -> PathBuf {
        self.directory.join(format!("keys/node-{id}.pem"))
    }

    /// Every node's public key, one after the other.
    pub(crate) fn node_keys(&self) -> PathBuf {
        self.dev.node_keys.clone()
    }

    /// A node's configuration.
    pub(crate) fn config_file(&self, id: u64) -> PathBuf {
        self.directory.join(format!("node-{id}.toml"))
    }

    /// A node's log.
    pub(crate) fn log_file(&self, id: u64) -> PathBuf {
        self.directory.join(format!("node-{id}.log"))
    }
}

/// The origin and the number of nodes that a genesis file founded.
fn founded(path: &Path) -> Result<(String, usize), CliError> {
    let genesis = genesis_in(path)?;
    let is_node = |envelope: &&VerifiedEnvelope| {
        let statement = envelope.statement();
        statement.kind == EvidenceKind::AuthorityGrant && statement.domain == DomainName::root()
    };
    Ok((genesis.origin().to_owned(), genesis.envelopes().iter().filter(is_node).count()))
}

fn genesis_in(path: &Path) -> Result<GenesisFile, CliError> {
    GenesisFile::parse(&files::read(path)?).map_err(|refusal| CliError::from(refusal).in_file(path))
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

fn dev_of(
    directory: &Path,
    origin: String,
    (nodes, base): (u16, u16),
    tls: Option<&TlsFolder>,
) -> Result<DevJson, CliError> {
    let port = |offset: u16| {
        base.checked_add(offset).ok_or_else(|| CliError::usage(format!("base port {base} leaves no room")))
    };
    let mut entries = Vec::new();
    for place in 0..nodes {
        let id = u64::from(place).saturating_add(1);
        entries.push(NodeEntry {
            id,
            pid: 0,
            client: format!("127.0.0.1:{}", port(place)?),
            peer: format!("127.0.0.1:{}", port(place.saturating_add(100))?),
            admin: tls
                .map(|_| port(place.saturating_add(200)))
                .transpose()?
                .map(|port| format!("127.0.0.1:{port}")),
            data: directory.join(format!("data-{id}")),
        });
    }
    let key = |role: &str| (role.to_owned(), directory.join(format!("keys/{role}.pem")));
    let scheme = if tls.is_some() { "https" } else { "http" };
    Ok(DevJson {
        origin,
        domain: DOMAIN.to_owned(),
        endpoints: entries.iter().map(|node| format!("{scheme}://{}", node.client)).collect(),
        nodes: entries,
        keys: KEYS.iter().map(|role| key(role)).collect(),
        node_keys: directory.join("node-keys.pem"),
        ca: tls.map(TlsFolder::ca),
        clients: tls.map(TlsFolder::clients),
        developer: tls.map(TlsFolder::developer),
    })
}
