//! A node's configuration: one TOML file, validated before anything binds. This struct is the manual.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use assent_api::{AddressError, MemberAddress, address_key};
use assent_registry::RulesVersion;
use assent_registry::limit::CLOCK_BOUND_MS;

use crate::raft::types::{NodeId, check_founder_id, check_node_id};
use crate::usecase::{DECISION_KIB, SLICE};

/// Everything a node is told when it starts. Unknown fields are refused. Relative paths are relative to the
/// file they stand in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node's number, from 1 to 4294967296. A number is used once, for one disk.
    pub node_id: NodeId,
    /// Where its two databases live. Made if it is missing; only the node may write there.
    pub data_dir: PathBuf,
    /// The cluster's genesis file, the same on every node.
    pub genesis: PathBuf,
    /// This node's signing key, a PKCS#8 PEM file that only the node may read. Its public half must stand
    /// granted in `_root` with the role `registry`.
    pub node_key: PathBuf,
    /// Where clients reach this node, `host:port`. Bound as it stands; loopback unless you say otherwise.
    pub client_listen: String,
    /// Where peers reach this node, `host:port`. Bound as it stands.
    pub peer_listen: String,
    /// Accept that an address which is not loopback is served without TLS or authentication. Without it such
    /// addresses are refused.
    #[serde(default)]
    pub insecure_network: bool,
    /// Where other nodes and people reach its client port, `host:port`, if that is not `client_listen`. Needed if that one stands
    /// for every address of the machine, as `0.0.0.0` does. Of this and all other addresses an IP address and a port have one spelling:
    /// `127.0.0.1:7400` and not `localhost:7400`, `127.1:7400` or `127.0.0.1:07400`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_advertise: Option<String>,
    /// Where other nodes reach its peer port, `host:port`, if that is not `peer_listen`. Needed if that one stands for every
    /// address of the machine, as `0.0.0.0` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_advertise: Option<String>,
    /// The genesis voters: 1, 3 or 5. A node that is not among them waits until it is added as a member.
    pub voters: Vec<VoterConfig>,
    /// Where members are now, of which the membership does not know it yet: tried beside the addresses that the membership
    /// has, and needed only if so many have moved at once that they do not find one another. Who answers there is told by its
    /// store, not by its address. May name this node too, so that all nodes can have the same list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerConfig>,
    /// Raft's timing and snapshots.
    #[serde(default)]
    pub raft: RaftConfig,
    /// Deadlines of calls.
    #[serde(default)]
    pub deadlines: DeadlineConfig,
    /// Bounds of queues, batches and connections.
    #[serde(default)]
    pub limits: LimitConfig,
    /// The newest rules that this node follows: its build's, unless a test says otherwise.
    #[serde(skip, default = "newest_rules")]
    pub rules_known: u32,
    /// How far a clock may lie from a quorum's before the node stops trusting its own, in milliseconds.
    #[serde(default = "default_clock_bound_ms")]
    pub clock_bound_ms: u64,
    /// How long a quorum's clocks have to agree before they are trusted, in milliseconds: after a leap, and after a start if they are
    /// more than 10 minutes ahead of registry time.
    #[serde(default = "default_clock_settle_ms")]
    pub clock_settle_ms: u64,
}

/// A genesis voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoterConfig {
    /// Its number, from 1 to 1048576: a founder's is small, so that later members, whose numbers are larger, have room.
    pub id: NodeId,
    /// Where peers reach it, `host:port`.
    pub peer: String,
    /// Where clients reach it, `host:port`.
    pub client: String,
}

/// Where a member is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its number.
    pub id: NodeId,
    /// Where peers reach it, `host:port`.
    pub peer: String,
}

/// Raft's timing and snapshots. The defaults fit a local network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftConfig {
    /// How often a leader shows that it is there, in milliseconds.
    pub heartbeat_ms: u64,
    /// The shortest silence after which a follower stands for election, in milliseconds.
    pub election_min_ms: u64,
    /// The longest such silence, in milliseconds; also how long a follower stays loyal to a silent leader.
    pub election_max_ms: u64,
    /// A snapshot is taken, and the log may be purged, once it has grown by so many entries.
    pub snapshot_every_entries: u64,
    /// Entries kept in the log behind a snapshot, for followers that are a little late.
    pub keep_entries: u64,
    /// A follower further behind than so many entries gets a snapshot.
    pub lag_entries: u64,
    /// The log is cut to half of so many MiB once it is larger, but for `keep_entries`.
    pub log_mib: u64,
    /// Entries older than so many seconds are cut off, but for `keep_entries`. Age is counted from when this process
    /// first saw them.
    pub log_age_s: u64,
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 150,
            election_max_ms: 300,
            snapshot_every_entries: 20_000,
            keep_entries: 5_000,
            lag_entries: 25_000,
            log_mib: 512,
            log_age_s: 7 * 24 * 3600,
        }
    }
}

/// Deadlines of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadlineConfig {
    /// An authorize that is not decided by then is denied, in milliseconds.
    pub authorize_ms: u64,
    /// A submission whose outcome is not known by then is answered as unknown, in milliseconds.
    pub submit_ms: u64,
    /// A read (lineages, envelopes, authorities …) fails by then, in milliseconds.
    pub read_ms: u64,
    /// A change of the membership is given up waiting for by then, in milliseconds; it may go on.
    pub membership_ms: u64,
    /// A client has so long to send its request's head, in milliseconds: from when it has connected, and on a kept connection from the
    /// head's first byte, or from the last answer's end if that byte came together with the request before, and that has no body with a
    /// given length.
    pub http_head_ms: u64,
    /// A client may keep a connection on which it was answered idle for so long, in milliseconds. At most an hour.
    pub http_idle_ms: u64,
    /// A client has so long to send its request's body, in milliseconds.
    pub http_body_ms: u64,
    /// A client that takes nothing of its answers for so long loses its connection, in milliseconds.
    pub http_write_ms: u64,
    /// A stream of events that has nothing to say says so this often, in milliseconds.
    pub events_heartbeat_ms: u64,
    /// A stream of events whose client takes nothing for so long is ended, in milliseconds; at most half of
    /// `http_write_ms` counts, so that the end can still be read.
    pub events_slow_ms: u64,
    /// A stopping node gives what is under way so long to end, in milliseconds.
    pub shutdown_ms: u64,
    /// A stopping node says at `/readyz` that it is not ready, and serves on for so long, in milliseconds: time for a load
    /// balancer to look. Clients that try the next node by themselves need none.
    pub drain_ms: u64,
    /// A task that ticks, as each does at least once a second, counts as stopped if it has not for so long, in milliseconds, beyond
    /// the time for which it may wait for others: `/livez` then answers 503 with its name. A slow disk may hold one up for a while;
    /// neither the lack of a leader nor that of a sure clock does.
    pub task_late_ms: u64,
}

impl Default for DeadlineConfig {
    fn default() -> Self {
        Self {
            authorize_ms: 250,
            submit_ms: 2_000,
            read_ms: 1_000,
            membership_ms: 10_000,
            http_head_ms: 10_000,
            http_idle_ms: 75_000,
            http_body_ms: 5_000,
            http_write_ms: 10_000,
            events_heartbeat_ms: 3_000,
            events_slow_ms: 5_000,
            shutdown_ms: 3_000,
            drain_ms: 0,
            task_late_ms: 30_000,
        }
    }
}

/// Bounds of queues, batches and connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitConfig {
    /// Client connections at once. Beyond them 16 are accepted for one request each, and only `GET /livez`, `/readyz` and `/metrics` are
    /// answered there; every other request is refused as `overloaded`, and one connection more is closed at once.
    pub connections: usize,
    /// Authorize requests between their arrival and their answer; one more is denied as `overloaded`. Half of them are for calls of
    /// more than one request and the other half for single ones, so that neither takes places from the other. At least
    /// 2000, so that a full batch fits. As many batches with a large body as fit into their half if each is full are read and
    /// decided at a time; others wait for a quarter of `deadlines.authorize_ms`.
    pub authorize_queue: usize,
    /// Authorize requests decided under one read barrier. A call of more than one request counts as one: it is decided apart.
    pub authorize_batch: usize,
    /// Memory of answers to authorizes under way, in KiB, from before they are decided until they are written; beyond it requests are
    /// denied as `overloaded`. At least 8192, which 64 decisions take while they are made. As much again is for answers to batches: those of
    /// envelopes from before they are looked at (4 KiB each), and those of authorizes while they are written.
    pub answer_kib: usize,
    /// Read barriers under way at once.
    pub barriers: usize,
    /// Envelopes of clients between their arrival and their answer; one more is refused as `overloaded`, without a look at it. Half of
    /// them are for batches, an eighth for calls that only restrict (revocations and containments), the rest for single envelopes, so
    /// that none takes places from the others. At least 2000, so that a full batch fits. For what peers forward there are as many for
    /// each of the three. As many again are for envelopes whose issuers this node does not know, while they wait for a read barrier.
    pub submit_queue: usize,
    /// Envelopes proposed in one log entry.
    pub submit_batch: usize,
    /// Bytes of envelopes proposed in one log entry. An entry of revocations and containments has at most 16 KiB.
    pub submit_batch_bytes: usize,
    /// Pieces of work at verifying envelopes at once; each takes some milliseconds. If there is more than one, one of them is not for batches.
    pub verifications: usize,
    /// Bodies of batches held at once, in KiB; beyond it batches are refused as `overloaded`.
    pub body_kib: usize,
    /// Streams and long polls of events at once; one more is refused as `overloaded`.
    pub event_streams: usize,
    /// Log entries of this node's submissions under way at once: so many of restrictions, of single envelopes and of batches each.
    pub proposals: usize,
    /// How often the registry is made durable at least, in milliseconds; the log covers what is between.
    pub registry_flush_ms: u64,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            connections: 4_096,
            authorize_queue: 8_192,
            authorize_batch: 1_024,
            answer_kib: 256 * 1024,
            barriers: 2,
            submit_queue: 8_192,
            submit_batch: 256,
            submit_batch_bytes: 1 << 20,
            verifications: 4,
            body_kib: 256 * 1024,
            event_streams: 256,
            proposals: 2,
            registry_flush_ms: 5_000,
        }
    }
}

/// Most entries of `peers`: more than there can be members.
const PEERS_MAX: u64 = 16;

fn newest_rules() -> u32 {
    RulesVersion::NEWEST.0
}

fn default_clock_bound_ms() -> u64 {
    500
}

fn default_clock_settle_ms() -> u64 {
    60_000
}

/// Why a configuration was refused: which field, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no TOML of this shape.
    #[error("`{path}` is not a node's configuration: {problem}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where, and what.
        problem: String,
    },
    /// A field cannot be what it is.
    #[error("`{field}`: {problem}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

fn invalid(field: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { field: field.into(), problem: problem.into() }
}

impl Config {
    /// A configuration with defaults for all that can have one, listening where `voters` says this node is.
    pub fn new(
        node_id: NodeId,
        data_dir: PathBuf,
        genesis: PathBuf,
        node_key: PathBuf,
        voters: Vec<VoterConfig>,
    ) -> Self {
        let own = voters.iter().find(|voter| voter.id == node_id);
        Self {
            node_id,
            data_dir,
            genesis,
            node_key,
            client_listen: own.map(|voter| voter.client.clone()).unwrap_or_default(),
            peer_listen: own.map(|voter| voter.peer.clone()).unwrap_or_default(),
            insecure_network: false,
            client_advertise: None,
            peer_advertise: None,
            voters,
            peers: Vec::new(),
            raft: RaftConfig::default(),
            deadlines: DeadlineConfig::default(),
            limits: LimitConfig::default(),
            rules_known: newest_rules(),
            clock_bound_ms: default_clock_bound_ms(),
            clock_settle_ms: default_clock_settle_ms(),
        }
    }

    /// Reads and validates a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let mut config: Config = toml::from_str(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_owned(), problem: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut config.data_dir, &mut config.genesis, &mut config.node_key] {
            *file = folder.join(&*file);
        }
        config.validate()?;
        Ok(config)
    }

    /// The file's text.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| invalid("", error.to_string()))
    }

    /// Checks everything that can be wrong without looking at the disk or the network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_voters()?;
        self.validate_peers()?;
        for (field, address) in [("client_listen", &self.client_listen), ("peer_listen", &self.peer_listen)] {
            self.validate_listen(field, address)?;
        }
        let raft = &self.raft;
        at_least("raft.heartbeat_ms", raft.heartbeat_ms, 5)?;
        if raft.election_min_ms < raft.heartbeat_ms.saturating_mul(2) {
            let least = raft.heartbeat_ms.saturating_mul(2);
            return Err(invalid("raft.election_min_ms", format!("must be at least {least}, two heartbeats")));
        }
        if raft.election_max_ms <= raft.election_min_ms {
            return Err(invalid("raft.election_max_ms", "must be greater than `raft.election_min_ms`"));
        }
        at_least("raft.snapshot_every_entries", raft.snapshot_every_entries, 1)?;
        at_least("raft.log_mib", raft.log_mib, 1)?;
        at_least("raft.log_age_s", raft.log_age_s, 1)?;
        if raft.lag_entries < raft.keep_entries {
            return Err(invalid("raft.lag_entries", "must not be less than `raft.keep_entries`"));
        }
        let deadlines = &self.deadlines;
        for (field, value) in [
            ("deadlines.authorize_ms", deadlines.authorize_ms),
            ("deadlines.submit_ms", deadlines.submit_ms),
            ("deadlines.read_ms", deadlines.read_ms),
            ("deadlines.membership_ms", deadlines.membership_ms),
            ("deadlines.http_head_ms", deadlines.http_head_ms),
            ("deadlines.http_body_ms", deadlines.http_body_ms),
            ("deadlines.http_write_ms", deadlines.http_write_ms),
            ("deadlines.events_heartbeat_ms", deadlines.events_heartbeat_ms),
            ("deadlines.events_slow_ms", deadlines.events_slow_ms),
            ("limits.registry_flush_ms", self.limits.registry_flush_ms),
            ("clock_bound_ms", self.clock_bound_ms),
        ] {
            at_least(field, value, 1)?;
            at_most(field, value, 60_000)?;
        }
        at_most("deadlines.authorize_ms", deadlines.authorize_ms, 1_000)?;
        at_least("deadlines.http_idle_ms", deadlines.http_idle_ms, 1)?;
        at_most("deadlines.http_idle_ms", deadlines.http_idle_ms, 3_600_000)?;
        // The rules refuse what is issued more than this ahead of registry time; a looser clock could not submit.
        at_most("clock_bound_ms", self.clock_bound_ms, CLOCK_BOUND_MS.unsigned_abs())?;
        at_least("clock_settle_ms", self.clock_settle_ms, 1)?;
        at_most("clock_settle_ms", self.clock_settle_ms, 3_600_000)?;
        at_most("deadlines.shutdown_ms", deadlines.shutdown_ms, 60_000)?;
        at_most("deadlines.drain_ms", deadlines.drain_ms, 60_000)?;
        // Some tick once a second, and a supervisor restarts a node that is not live.
        at_least("deadlines.task_late_ms", deadlines.task_late_ms, 3_000)?;
        at_most("deadlines.task_late_ms", deadlines.task_late_ms, 600_000)?;
        self.limits.validate()
    }

    fn validate_voters(&self) -> Result<(), ConfigError> {
        if !matches!(self.voters.len(), 1 | 3 | 5) {
            let problem =
                format!("there are {} voters, and a cluster starts with 1, 3 or 5", self.voters.len());
            return Err(invalid("voters", problem));
        }
        let mut ids = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for (place, voter) in self.voters.iter().enumerate() {
            let field = format!("voters[{place}].id");
            check_founder_id(voter.id).map_err(|error| invalid(&field, error.to_string()))?;
            if !ids.insert(voter.id) {
                return Err(invalid(field, format!("{} is given twice", voter.id)));
            }
            for (name, address) in [("peer", &voter.peer), ("client", &voter.client)] {
                let field = format!("voters[{place}].{name}");
                match address.parse::<MemberAddress>() {
                    // A cluster that was founded so goes on; none is founded so (`usecase/form.rs`).
                    Ok(_) | Err(AddressError::NotDialable { .. } | AddressError::Spelling { .. }) => {}
                    Err(error @ (AddressError::TooLong { .. } | AddressError::Form { .. })) => {
                        return Err(invalid(field, error.to_string()));
                    }
                }
                if !addresses.insert(address_key(address)) {
                    return Err(invalid(field, format!("`{address}` is given twice")));
                }
            }
        }
        check_node_id(self.node_id).map_err(|error| invalid("node_id", error.to_string()))?;
        for (field, address) in
            [("client_advertise", &self.client_advertise), ("peer_advertise", &self.peer_advertise)]
        {
            let Some(address) = address else { continue };
            validate_address(field, address)?;
        }
        Ok(())
    }

    fn validate_peers(&self) -> Result<(), ConfigError> {
        let mut ids = BTreeSet::new();
        for (place, peer) in self.peers.iter().enumerate() {
            let field = format!("peers[{place}].id");
            check_node_id(peer.id).map_err(|error| invalid(&field, error.to_string()))?;
            if !ids.insert(peer.id) {
                return Err(invalid(field, format!("{} is given twice", peer.id)));
            }
            validate_address(&format!("peers[{place}].peer"), &peer.peer)?;
        }
        at_most("peers", u64::try_from(self.peers.len()).unwrap_or(u64::MAX), PEERS_MAX)
    }

    /// Whether this node founds the cluster together with the others that the genesis file begins with.
    pub fn is_founder(&self) -> bool {
        self.voters.iter().any(|voter| voter.id == self.node_id)
    }

    /// Where this node is reached, by peers and by clients: as it advertises itself, as `voters` has it, or as it
    /// listens.
    pub fn addresses(&self) -> (String, String) {
        let voter = self.voters.iter().find(|voter| voter.id == self.node_id);
        let pick = |advertised: &Option<String>, voter: Option<&String>, listen: &String| {
            advertised.as_ref().or(voter).unwrap_or(listen).clone()
        };
        (
            pick(&self.peer_advertise, voter.map(|voter| &voter.peer), &self.peer_listen),
            pick(&self.client_advertise, voter.map(|voter| &voter.client), &self.client_listen),
        )
    }

    /// Of [`addresses`](Self::addresses), the ones that a member may have, which are all that this node ever says of itself: a port that
    /// the system chooses is none, and neither is an address that stands for every one of a machine, nor another spelling of one, which
    /// `voters` may have from before spellings were checked. Of such an address the membership keeps what it has.
    pub(crate) fn dialable(&self) -> (Option<String>, Option<String>) {
        let dialable = |address: &String| address.parse::<MemberAddress>().is_ok();
        let (peer, client) = self.addresses();
        (Some(peer).filter(dialable), Some(client).filter(dialable))
    }

    /// What to set, if no member may have an address at which this node says that it is.
    pub(crate) fn undialable(&self) -> Option<String> {
        let (peer, client) = self.addresses();
        let (dialable_peer, dialable_client) = self.dialable();
        let (address, field) = match (dialable_peer, dialable_client) {
            (None, _) => (peer, "peer_advertise"),
            (Some(_), None) => (client, "client_advertise"),
            (Some(_), Some(_)) => return None,
        };
        if let Err(error @ AddressError::Spelling { .. }) = address.parse::<MemberAddress>() {
            return Some(format!("{error} as `{field}`"));
        }
        Some(format!(
            "no other node can dial `{address}`: set `{field}` to the `host:port` at which others reach this node"
        ))
    }

    fn validate_listen(&self, field: &str, address: &str) -> Result<(), ConfigError> {
        let parsed: SocketAddr = address
            .parse()
            .map_err(|_| invalid(field, format!("`{address}` must be an IP address and a port")))?;
        // Without an advertised one it is also what the node says of itself.
        if parsed.to_string() != address {
            let problem = format!("`{address}` is another spelling of `{parsed}`: write `{parsed}`");
            return Err(invalid(field, problem));
        }
        let loopback = match parsed.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        };
        if loopback || self.insecure_network {
            return Ok(());
        }
        let problem = format!(
            "`{address}` is not loopback, and there is no TLS yet: set `insecure_network = true` if the network \
             itself is trusted"
        );
        Err(invalid(field, problem))
    }
}

fn validate_address(field: &str, address: &str) -> Result<(), ConfigError> {
    address.parse::<MemberAddress>().map(|_| ()).map_err(|error| invalid(field, error.to_string()))
}

impl LimitConfig {
    /// How many requests of long calls there may be between arrival and answer.
    pub(crate) fn long_queue(&self) -> usize {
        self.authorize_queue / 2
    }

    /// How many requests of all other calls there may be between arrival and answer.
    pub(crate) fn short_queue(&self) -> usize {
        self.authorize_queue.saturating_sub(self.long_queue())
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("limits.connections", self.connections),
            ("limits.authorize_queue", self.authorize_queue),
            ("limits.authorize_batch", self.authorize_batch),
            ("limits.answer_kib", self.answer_kib),
            ("limits.barriers", self.barriers),
            ("limits.submit_queue", self.submit_queue),
            ("limits.submit_batch", self.submit_batch),
            ("limits.submit_batch_bytes", self.submit_batch_bytes),
            ("limits.verifications", self.verifications),
            ("limits.body_kib", self.body_kib),
            ("limits.event_streams", self.event_streams),
            ("limits.proposals", self.proposals),
        ] {
            let value = u64::try_from(value).unwrap_or(u64::MAX);
            at_least(field, value, 1)?;
            at_most(field, value, 1 << 24)?;
        }
        // A full batch has to fit into half of the queue.
        for (field, value) in
            [("limits.submit_queue", self.submit_queue), ("limits.authorize_queue", self.authorize_queue)]
        {
            let least = (assent_api::MAX_BATCH as u64).saturating_mul(2);
            at_least(field, u64::try_from(value).unwrap_or(u64::MAX), least)?;
        }
        // As much as is decided together has to fit, however large it gets.
        let answers = u64::try_from(self.answer_kib).unwrap_or(u64::MAX);
        at_least("limits.answer_kib", answers, (SLICE * DECISION_KIB) as u64)?;
        // One entry has to fit a peer's frame with room to spare.
        let bytes = u64::try_from(self.submit_batch_bytes).unwrap_or(u64::MAX);
        at_most("limits.submit_batch_bytes", bytes, 2 << 20)
    }
}

fn at_least(field: &str, value: u64, least: u64) -> Result<(), ConfigError> {
    if value >= least { Ok(()) } else { Err(invalid(field, format!("is {value}, must be at least {least}"))) }
}

fn at_most(field: &str, value: u64, most: u64) -> Result<(), ConfigError> {
    if value <= most { Ok(()) } else { Err(invalid(field, format!("is {value}, must be at most {most}"))) }
}
