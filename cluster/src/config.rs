//! A node's configuration: one TOML file, which the node validates before it binds anything. [`Config`] is the
//! manual.
//!
//! This module owns the fields, their defaults and their bounds. It reads no file but the configuration's own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use assent_api::{AddressError, MemberAddress, address_key};
use assent_proof::text::{cut, lines, one_line};
use assent_registry::RulesVersion;
use assent_registry::limit::CLOCK_BOUND_MS;

use crate::access::{AccessConfig, CallerConfig, JwtIssuerConfig, SettingError};
use crate::audit::AuditConfig;
use crate::env::PROBE_CONNECTIONS;
use crate::raft::types::{NodeId, check_founder_id, check_node_id};
use crate::usecase::{DECISION_KIB, SLICE};

/// The longest configuration file, in bytes. The largest that a node can need has some thousand lines.
const CONFIG_BYTES_MAX: usize = 1024 * 1024;
/// The longest part of an error of the TOML reader that is shown, in characters before some of them are escaped.
const PROBLEM_CHARS_MAX: usize = 800;

/// A node's configuration, field by field. A field that is not listed here is refused. A relative path is relative to
/// the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node's number, from 1 to 4294967296. A number is used only once: a node with a new disk needs a new
    /// number.
    pub node_id: NodeId,
    /// The directory of the node's two databases. The node makes it if it is missing. Only the node may write there.
    pub data_dir: PathBuf,
    /// The path of the cluster's genesis file, which is the same on every node.
    pub genesis: PathBuf,
    /// The path of this node's signing key, a PKCS#8 PEM file that only the node may read. `_root` must grant the
    /// key's public half the role `registry`.
    pub node_key: PathBuf,
    /// The address at which this node listens for clients, `host:port`. It must be a loopback address unless
    /// `client_tls` is set. No two of the addresses at which a node listens may be the same.
    pub client_listen: String,
    /// The address at which this node listens for peers, `host:port`. It must be a loopback address unless `peer_tls`
    /// is set.
    pub peer_listen: String,
    /// TLS between the nodes. Either every node of a cluster has it or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_tls: Option<PeerTlsConfig>,
    /// Whether the node serves its clients plain HTTP, without TLS. Then every program on this machine may do
    /// everything, so `client_listen` must be loopback, and `callers`, `jwt_issuers` and `public_read` are refused. It
    /// must be set exactly if `client_tls` is not.
    #[serde(default)]
    pub plain_http: bool,
    /// The address at which this node listens for operators, `host:port`. The calls that change the members or the leader,
    /// that list the members, and that confirm the clock answer there and nowhere else, for the role `operator` only. It
    /// has the TLS of `client_tls`. If it is not a loopback address, it needs `client_tls.ca`, and each caller must show
    /// the certificate of an operator: a token alone is not enough. With `plain_http` it must be a loopback address.
    ///
    /// Without it, a node with `client_tls` has none of these calls, and on a node with `plain_http` they answer on the
    /// client port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_listen: Option<String>,
    /// The address at which this node listens for probes, which have no credentials, `host:port`. It serves plain HTTP on
    /// any address, and answers `/livez` and `/readyz` with one word: `ok` with the status 200, or `unready` with 503. It
    /// has 16 connections, each for one request whose head must arrive within 2 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_listen: Option<String>,
    /// Whether the health listener answers `/metrics` too, to everyone who reaches it. It needs `health_listen`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub health_metrics: bool,
    /// Whether a caller that shows no credential may read: the keys of the nodes and of root
    /// (`GET /v1/authorities?domain=_root`), and nothing else beside `/livez` and `/readyz`, which are open to all.
    #[serde(default)]
    pub public_read: bool,
    /// Whether the network of this node is simulated, so that no address of it is a real one. Only a simulation sets
    /// it, and no file can.
    #[serde(skip)]
    pub simulated_network: bool,
    /// The address at which clients and other nodes reach this node's client port, `host:port`, if it is not
    /// `client_listen`. It is needed if `client_listen` stands for every address of the machine, as `0.0.0.0` does.
    ///
    /// Here and in every other address field, an IP address and a port have one spelling: `127.0.0.1:7400`, not
    /// `localhost:7400`, `127.1:7400` or `127.0.0.1:07400`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_advertise: Option<String>,
    /// The address at which other nodes reach this node's peer port, `host:port`, if it is not `peer_listen`. It is
    /// needed if `peer_listen` stands for every address of the machine, as `0.0.0.0` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_advertise: Option<String>,
    /// The genesis voters: 1, 3 or 5. A node that is not one of them waits until it is added as a member.
    pub voters: Vec<VoterConfig>,
    /// Present addresses of members that have moved, if the membership does not have these addresses yet. The node
    /// tries them beside the addresses in the membership. They are needed only if so many members have moved at once
    /// that they do not find one another. The node recognizes a member by its store, not by its address. The list may
    /// name this node too, so that all nodes can have the same list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerConfig>,
    /// TLS of the client port and of the admin listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_tls: Option<ClientTlsConfig>,
    /// Which callers may make which calls. `docs/callers.md` explains the roles. A caller that is not listed may do
    /// nothing. At most 1024 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallerConfig>,
    /// The issuers of JSON web tokens that `callers` names. At most 16 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt_issuers: Vec<JwtIssuerConfig>,
    /// The audit trail: who made which call, and what became of it.
    #[serde(default, skip_serializing_if = "AuditConfig::is_default")]
    pub audit: AuditConfig,
    /// The timing of Raft, and when it takes snapshots and purges its log.
    #[serde(default)]
    pub raft: RaftConfig,
    /// Deadlines of calls.
    #[serde(default)]
    pub deadlines: DeadlineConfig,
    /// Bounds of queues, batches and connections.
    #[serde(default)]
    pub limits: LimitConfig,
    /// The newest version of the rules that this node follows. It is the newest that the build knows, unless a test
    /// sets it.
    #[serde(skip, default = "newest_rules")]
    pub rules_known: u32,
    /// The largest difference between this node's clock and the clocks of a quorum, in milliseconds. If the
    /// difference is larger, the node does not trust its own clock.
    #[serde(default = "default_clock_bound_ms")]
    pub clock_bound_ms: u64,
    /// How long the clocks of a quorum must agree before the node trusts them, in milliseconds. This applies after a
    /// clock has leapt, and after a start if the clock is more than 10 minutes ahead of registry time.
    #[serde(default = "default_clock_settle_ms")]
    pub clock_settle_ms: u64,
}

/// TLS of the client port and of the admin listener. The node reads the files again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsConfig {
    /// The path of the node's certificate and the certificates between it and its authority, in PEM. It must name the
    /// host or address at which clients reach the node, and the one at which operators do.
    pub cert: PathBuf,
    /// The path of the certificate's private key, a PEM file that only the node may read.
    pub key: PathBuf,
    /// The path of the authorities of callers' certificates, in PEM. Without it no caller can show a certificate, and
    /// `admin_listen` must be a loopback address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The path of their revocation lists, in PEM. It needs `ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
}

/// A genesis voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoterConfig {
    /// The voter's number, from 1 to 1048576. Later members get larger numbers, so a founder's number is kept small.
    pub id: NodeId,
    /// The address at which peers reach it, `host:port`.
    pub peer: String,
    /// The address at which clients reach it, `host:port`.
    pub client: String,
}

/// The files for TLS between the nodes, all in PEM. The node reads them again every 5 seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerTlsConfig {
    /// The path of this node's certificate, followed by the certificates between it and the CA, if there are any. Its
    /// only URI name is the node's SPIFFE id, `spiffe://<trust domain>/assent/<cluster id>/node/<node id>`.
    pub cert: PathBuf,
    /// The path of the certificate's private key, which only the node may read.
    pub key: PathBuf,
    /// The path of the certificates of the CAs that issue the nodes' certificates.
    pub ca: PathBuf,
    /// The path of the lists of revoked certificates of these CAs. If it is set, there must be a list for each CA that
    /// issued a certificate, and a certificate counts only while the list is in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
}

/// The present address of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// The member's number.
    pub id: NodeId,
    /// The address at which peers reach it, `host:port`.
    pub peer: String,
}

/// The timing of Raft, and when it takes snapshots and purges its log. The defaults fit a local network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftConfig {
    /// How often a leader sends a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// The shortest time without a heartbeat after which a follower stands for election, in milliseconds.
    pub election_min_ms: u64,
    /// The longest time without a heartbeat after which a follower stands for election, in milliseconds. A follower
    /// also votes for no other node until this time has passed since it last heard from its leader.
    pub election_max_ms: u64,
    /// The number of entries by which the log must grow before the node takes a snapshot and may purge the log.
    pub snapshot_every_entries: u64,
    /// The number of entries that the node keeps in the log behind a snapshot, for followers that are a little late.
    pub keep_entries: u64,
    /// The number of entries by which a follower must be behind before the leader sends it a snapshot.
    pub lag_entries: u64,
    /// The largest size of the log, in MiB. If the log is larger, the node cuts it to half of this, except for
    /// `keep_entries`.
    pub log_mib: u64,
    /// The age beyond which the node cuts off entries, in seconds, except for `keep_entries`. The age of an entry
    /// counts from when this process first saw it.
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
    /// The deadline of an authorize request, in milliseconds. A request that is not decided by then is denied.
    pub authorize_ms: u64,
    /// The deadline of a submission, in milliseconds. If its outcome is not known by then, the node answers that it
    /// is unknown.
    pub submit_ms: u64,
    /// The deadline of a read (lineages, envelopes, authorities and so on), in milliseconds. A read that is not
    /// answered by then fails.
    pub read_ms: u64,
    /// How long the node waits for a change of the membership, in milliseconds. The change may still take effect
    /// later.
    pub membership_ms: u64,
    /// How long a client may take to send the head of a request, in milliseconds. On a new connection, the time
    /// counts from when the client has connected. On a kept connection, it counts from the head's first byte. If that
    /// byte came together with the previous request, and that request has no body of a given length, the time counts
    /// from the end of the answer to that request.
    pub http_head_ms: u64,
    /// How long a client may keep a connection idle after an answer, in milliseconds. At most an hour.
    pub http_idle_ms: u64,
    /// How long a client may take to send the body of a request, in milliseconds.
    pub http_body_ms: u64,
    /// How long a client may take nothing of its answers before it loses its connection, in milliseconds.
    pub http_write_ms: u64,
    /// How often a stream of events without news sends a heartbeat, in milliseconds.
    pub events_heartbeat_ms: u64,
    /// How long the client of a stream of events may take nothing before the node ends the stream, in milliseconds.
    /// At most half of `http_write_ms` counts, so that the client can still read the end.
    pub events_slow_ms: u64,
    /// How long a stopping node lets the calls under way continue, in milliseconds.
    pub shutdown_ms: u64,
    /// How long a stopping node serves on while `/readyz` answers that it is not ready, in milliseconds. This gives a
    /// load balancer time to notice. If the clients try the next node by themselves, 0 is enough.
    pub drain_ms: u64,
    /// How late the heartbeat of a periodic task may be before the task counts as stopped, in milliseconds. Each such
    /// task beats at least once a second. The time for which a task may wait for others is added to this one. If a
    /// task counts as stopped, `/livez` answers 503 with the task's name. A slow disk can delay a task for a while.
    /// The lack of a leader or of a sure clock does not.
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
    /// The largest number of client connections at once. Beyond it the node accepts 16 more connections, for one
    /// request each. On these it answers only `GET /livez`, `/readyz` and `/metrics`, and refuses every other request
    /// as `overloaded`. It closes any further connection at once.
    pub connections: usize,
    /// The largest number of client connections at once from one address. The addresses of IPv6 whose first 64 bits are
    /// equal count as one. Beyond it, 4 connections of all such addresses together are treated like those beyond
    /// `connections`, and any further one is closed at once. Raise it if many clients call from one address, as
    /// behind a proxy.
    pub connections_per_address: usize,
    /// The largest number of TLS handshakes at once from one address. Others from there wait, at most for
    /// `deadlines.http_head_ms`. A handshake counts once its first byte has come, and must be done within 2 s of its
    /// turn.
    pub handshakes_per_address: usize,
    /// The largest number of requests of one caller at once. A request beyond it is refused as `overloaded`. With
    /// `plain_http`, and for callers without a name, each source address counts as a caller. `/livez` and `/readyz` do
    /// not count.
    pub caller_requests: usize,
    /// The largest number of requests of one caller in a second, for as long as it likes. Each request of a batch and
    /// each envelope counts. A request beyond it is refused as `overloaded`. An entry of `callers` can have a `rate`
    /// of its own.
    pub caller_rate: usize,
    /// The largest number of requests of one caller at once, after it has made none for long enough. It is at least
    /// 1000, so that a full batch fits. An entry of `callers` can have a `burst` of its own.
    pub caller_burst: usize,
    /// The largest number of connections to the admin listener at once. The node closes any further one. They take no
    /// places from clients, and clients take none from operators. If other machines reach the listener, one address may
    /// have a quarter of them, and at least one.
    pub admin_connections: usize,
    /// The largest number of authorize requests between arrival and answer. A request beyond it is denied as
    /// `overloaded`. One half is for calls of more than one request and the other half for single requests, so that
    /// neither takes places from the other. It is at least 2000, so that a full batch fits. One caller of `callers`
    /// may hold as many places as are then free; the same is true of every other number of places and of memory here.
    ///
    /// Of batches with a large body, the node reads and decides as many at a time as would fit into their half if
    /// each were full. Other such batches wait for up to a quarter of `deadlines.authorize_ms`.
    pub authorize_queue: usize,
    /// The largest number of authorize requests that are decided under one read barrier. A call of more than one
    /// request counts as one, because it is decided separately.
    pub authorize_batch: usize,
    /// The memory for answers to authorize requests, in KiB, from before they are decided until they are written.
    /// Requests beyond it are denied as `overloaded`. It is at least 8192, which 64 decisions take while they are
    /// made.
    ///
    /// The same amount again is for answers to batches: 4 KiB for each batch of envelopes from before the node looks
    /// at it, and the answers to batches of authorize requests while they are written.
    pub answer_kib: usize,
    /// The largest number of read barriers under way at once.
    pub barriers: usize,
    /// The largest number of clients' envelopes between arrival and answer. The node refuses an envelope beyond it as
    /// `overloaded`, without looking at it. Half is for batches, an eighth for calls that only restrict (revocations
    /// and containments), an eighth for governance statements, and the rest for single envelopes, so that none takes
    /// places from the others. It is at least 2000, so that a full batch fits.
    ///
    /// Envelopes that peers forward have the same number of places again, shared in the same way. Envelopes whose
    /// issuers this node does not know have the same number again, while they wait for a read barrier.
    pub submit_queue: usize,
    /// The largest number of envelopes in one log entry.
    pub submit_batch: usize,
    /// The largest size of the envelopes in one log entry, in bytes. An entry of revocations and containments, or of
    /// governance statements, has at most 16 KiB.
    pub submit_batch_bytes: usize,
    /// The largest number of pieces of verification work under way at once. Each piece takes some milliseconds. If
    /// there is more than one place, one of them is not for batches.
    pub verifications: usize,
    /// The memory for bodies of batches, in KiB. Batches beyond it are refused as `overloaded`.
    pub body_kib: usize,
    /// The largest number of streams and long polls of events at once. One more is refused as `overloaded`.
    pub event_streams: usize,
    /// The largest number of this node's log entries under way at once. The number holds separately for restrictions,
    /// for governance statements, for single envelopes and for batches.
    pub proposals: usize,
    /// The longest time after which the node makes the registry durable, in milliseconds. The log holds what was
    /// written since.
    pub registry_flush_ms: u64,
    /// How many statements of one issuer this node takes each second in the long run. The node refuses a statement
    /// beyond it as `overloaded`, without a log entry. Revocations and containments are exempt. An issuer's governance
    /// statements and its other statements are counted apart. A statement is counted once its signatures are
    /// verified, and is not counted if it is refused or was in the ledger before. At most 1000000; 0 is no bound.
    pub issuer_rate: u64,
    /// How many statements an issuer may submit at once after a pause. At least 1 and at most 1000000.
    pub issuer_burst: u64,
    /// The most execution evidence that one lineage takes, in statements. The node refuses further execution evidence
    /// for the lineage as `too_large`. 0 is no bound.
    pub lineage_statements: u64,
    /// The size of the envelopes that the registry accepts for one domain in a year, in MiB. The node refuses a
    /// statement beyond it as `too_large`, except revocations, containments and governance statements, which are not
    /// counted either. The node counts by weeks from its ledger, and a week counts until 52 weeks after its end. After
    /// a start the node refuses nothing for this reason until it has counted. Envelopes that are in work at the same
    /// time can exceed the bound together. 0 is no bound, and then nothing is counted.
    pub domain_mib_per_year: u64,
    /// The space on the disk of `data_dir` that the node keeps free for restrictions, in MiB. While less is free, the
    /// node takes only revocations, containments and governance statements, and refuses everything else as
    /// `overloaded`, permits too. It takes the others again once an eighth more is free. The node looks every second.
    /// 0 is no reserve.
    pub disk_reserve_mib: u64,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_address: 512,
            handshakes_per_address: 32,
            caller_requests: 1_024,
            caller_rate: 50_000,
            caller_burst: 100_000,
            admin_connections: 64,
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
            issuer_rate: 500,
            issuer_burst: 5_000,
            lineage_statements: 100_000,
            domain_mib_per_year: 0,
            disk_reserve_mib: 1_024,
        }
    }
}

/// The largest number of entries of `peers`. It is larger than the number of members that there can be.
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

/// Why the node refuses a configuration: the field, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not TOML, or not of this shape.
    #[error("`{path}` is not a node's configuration: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place in the file, and what is wrong there.
        problem: String,
    },
    /// The value of a field cannot be used.
    #[error("`{field}`: {problem}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

fn invalid(field: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { field: field.into(), problem: problem.into() }
}

/// The error with the place in the file. It quotes the line at fault, so if that is long, only the problem is told. The
/// same holds for a file that does not begin as a configuration does: it may be a token or a key, named by mistake.
fn shown(error: &toml::de::Error, text: &str) -> String {
    let whole = error.to_string();
    let is_quotable = begins_as_configuration(text) && whole.len() <= PROBLEM_CHARS_MAX;
    let told = if is_quotable { whole.as_str() } else { error.message() };
    lines(&cut(told, PROBLEM_CHARS_MAX)).into_owned()
}

/// Whether the first line of a text is a setting or the head of a table. Names have lower-case letters only, so that
/// base64 is none.
fn begins_as_configuration(text: &str) -> bool {
    let is_name = |name: &str| {
        let name = name.trim();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
    };
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| match (line.split_once('='), line.strip_prefix('[')) {
        (Some((name, _)), _) => is_name(name),
        (None, Some(head)) => is_name(head.trim_matches(['[', ']'])),
        (None, None) => false,
    })
}

/// The fields of earlier builds that a node does not take any more, each with what to do instead. A field that loosened
/// what the node demands is not passed over in silence: its operator relied on it.
const REMOVED: [(&str, &str); 1] = [(
    "insecure_network",
    "is no setting any more: remove this line. If this node listens for peers on an address that is not loopback, stop \
     all nodes, set `peer_tls` on each, and start them (`assent cert init` and `assent cert node` make the files)",
)];

/// The error about a removed field in a configuration that cannot be read, if it has one.
fn removed_field(text: &str) -> Option<ConfigError> {
    let table = toml::from_str::<toml::Table>(text).ok()?;
    let (field, problem) = REMOVED.iter().find(|(field, _)| table.contains_key(*field))?;
    Some(invalid(*field, *problem))
}

impl Config {
    /// A configuration with defaults for all fields that can have one, except that `plain_http` is set. The node
    /// listens at the addresses that `voters` gives for it.
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
            peer_tls: None,
            plain_http: true,
            admin_listen: None,
            health_listen: None,
            health_metrics: false,
            public_read: false,
            simulated_network: false,
            client_advertise: None,
            peer_advertise: None,
            voters,
            peers: Vec::new(),
            client_tls: None,
            callers: Vec::new(),
            jwt_issuers: Vec::new(),
            audit: AuditConfig::default(),
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
        Self::from_toml(&text, path)
    }

    /// Reads and validates the text of the file at `path`, which is not opened.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] and [`ConfigError::Invalid`]. The text of an error is bounded, however long the file's
    /// lines are, and has no character that terminals obey, except ends of lines and tabs.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let malformed = |problem| ConfigError::Malformed { path: path.to_owned(), problem };
        if text.len() > CONFIG_BYTES_MAX {
            return Err(malformed(format!(
                "it has `{}` bytes, and a configuration has at most {CONFIG_BYTES_MAX}: is it another file?",
                text.len()
            )));
        }
        let mut config: Config = toml::from_str(text)
            .map_err(|error| removed_field(text).unwrap_or_else(|| malformed(shown(&error, text))))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in config.paths_mut() {
            *file = folder.join(&*file);
        }
        config.validate()?;
        Ok(config)
    }

    /// Every path.
    fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = [&mut self.data_dir, &mut self.genesis, &mut self.node_key];
        let tls = self.client_tls.iter_mut().flat_map(|tls| {
            [Some(&mut tls.cert), Some(&mut tls.key), tls.ca.as_mut(), tls.crl.as_mut()].into_iter().flatten()
        });
        let peers = self.peer_tls.iter_mut().flat_map(|tls| {
            [Some(&mut tls.cert), Some(&mut tls.key), Some(&mut tls.ca), tls.crl.as_mut()]
                .into_iter()
                .flatten()
        });
        let tokens = self.callers.iter_mut().filter_map(|caller| caller.tokens.as_mut());
        let keys = self.jwt_issuers.iter_mut().map(|issuer| &mut issuer.jwks);
        own.into_iter().chain(tls).chain(peers).chain(tokens).chain(keys).chain(self.audit.path.as_mut())
    }

    /// How callers are told apart.
    pub fn access(&self) -> AccessConfig<'_> {
        AccessConfig {
            plain_http: self.plain_http,
            public_read: self.public_read,
            callers: &self.callers,
            jwt_issuers: &self.jwt_issuers,
        }
    }

    /// The file's text.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| invalid("", error.to_string()))
    }

    /// Checks everything that can be wrong without looking at the disk or the network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_voters()?;
        self.validate_peers()?;
        self.validate_clients()?;
        let has_identities = self.peer_tls.is_some() || self.simulated_network;
        if !is_loopback("peer_listen", &self.peer_listen)? && !has_identities {
            let problem = format!(
                "`{}` is not loopback, and no process proves there which node it is: set `peer_tls` (`assent cert node` \
                 makes its files), or listen on a loopback address",
                self.peer_listen
            );
            return Err(invalid("peer_listen", problem));
        }
        self.validate_listeners()?;
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
        // The rules refuse evidence that is issued more than this ahead of registry time, so a node with a looser
        // clock could not submit.
        at_most("clock_bound_ms", self.clock_bound_ms, CLOCK_BOUND_MS.unsigned_abs())?;
        at_least("clock_settle_ms", self.clock_settle_ms, 1)?;
        at_most("clock_settle_ms", self.clock_settle_ms, 3_600_000)?;
        at_most("deadlines.shutdown_ms", deadlines.shutdown_ms, 60_000)?;
        at_most("deadlines.drain_ms", deadlines.drain_ms, 60_000)?;
        // Some tasks beat once a second, and a supervisor restarts a node that is not live.
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
                    // A cluster that was founded with such an address goes on. `usecase/form.rs` founds none with it.
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

    /// Whether this node is one of the genesis voters, which found the cluster together.
    pub fn is_founder(&self) -> bool {
        self.voters.iter().any(|voter| voter.id == self.node_id)
    }

    /// The addresses at which peers and clients reach this node, in this order: the advertised address, or else the
    /// one in `voters`, or else the address at which the node listens.
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

    /// Those of [`addresses`](Self::addresses) that a member may have. The node announces no others.
    ///
    /// A member cannot have a port that the system chooses, or an address that stands for every address of a machine.
    /// Nor can it have an address in another spelling, which `voters` may contain from before spellings were checked.
    /// For such an address the membership keeps what it has.
    pub(crate) fn dialable(&self) -> (Option<String>, Option<String>) {
        let dialable = |address: &String| address.parse::<MemberAddress>().is_ok();
        let (peer, client) = self.addresses();
        (Some(peer).filter(dialable), Some(client).filter(dialable))
    }

    /// What to set, if this node has an address that no member may have.
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

    /// Checks who may reach the client port, and how.
    fn validate_clients(&self) -> Result<(), ConfigError> {
        let loopback = is_loopback("client_listen", &self.client_listen)? || self.simulated_network;
        match (&self.client_tls, self.plain_http) {
            (Some(_), true) => {
                let problem =
                    "is set, and `client_tls` is too: the client port serves either plain HTTP or TLS";
                return Err(invalid("plain_http", problem));
            }
            (Some(tls), false) if tls.crl.is_some() && tls.ca.is_none() => {
                let problem =
                    "is set without `client_tls.ca`, so there is no certificate that it could revoke";
                return Err(invalid("client_tls.crl", problem));
            }
            (None, false) => {
                let problem = "there is no TLS of the client port: set `client_tls`, or set `plain_http = true` to let \
                               every program on this machine do everything";
                return Err(invalid("client_tls", problem));
            }
            (None, true) if !loopback => {
                let problem = format!(
                    "`{}` is not loopback, and `plain_http` is only for loopback: set `client_tls`",
                    self.client_listen
                );
                return Err(invalid("client_listen", problem));
            }
            (None, true) => self.validate_nobody_is_told_apart()?,
            (Some(_), false) => {}
        }
        let of_setting = |SettingError { field, problem }| invalid(field, problem);
        self.audit.validate().map_err(of_setting)?;
        self.access().validate().map_err(of_setting)
    }

    /// Checks the admin listener and the health listener, and that no two listeners have the same address.
    fn validate_listeners(&self) -> Result<(), ConfigError> {
        if let Some(admin) = &self.admin_listen
            && !is_loopback("admin_listen", admin)?
        {
            let lacks = match &self.client_tls {
                None => Some("`client_tls`"),
                Some(tls) if tls.ca.is_none() => Some("`client_tls.ca`"),
                Some(_) => None,
            };
            if let Some(lacks) = lacks {
                let problem = format!(
                    "`{admin}` is not loopback, so each caller must show the certificate of an operator, and without {lacks} \
                     it cannot: set {lacks}, or write a loopback address"
                );
                return Err(invalid("admin_listen", problem));
            }
        }
        match &self.health_listen {
            // It may be any address.
            Some(health) => _ = is_loopback("health_listen", health)?,
            None if self.health_metrics => {
                let problem = "is set, and `health_listen` is not, so there is no listener that could show the metrics: set \
                               `health_listen`, or remove it";
                return Err(invalid("health_metrics", problem));
            }
            None => {}
        }
        let mut before: Vec<(&str, &String)> = Vec::new();
        for (field, address) in [
            ("client_listen", Some(&self.client_listen)),
            ("peer_listen", Some(&self.peer_listen)),
            ("admin_listen", self.admin_listen.as_ref()),
            ("health_listen", self.health_listen.as_ref()),
        ] {
            let Some(address) = address else { continue };
            if let Some((other, taken)) = before.iter().find(|(_, taken)| overlap(taken, address)) {
                let problem = format!(
                    "`{address}` is taken by `{other}`, which is `{taken}`: each listener needs an address of its own"
                );
                return Err(invalid(field, problem));
            }
            before.push((field, address));
        }
        Ok(())
    }

    /// Whether only programs on this machine reach the admin listener. If there is any doubt, the answer is no.
    pub(crate) fn admin_is_loopback(&self) -> bool {
        let admin = self.admin_listen.as_ref();
        admin.is_some_and(|admin| is_loopback("admin_listen", admin).unwrap_or(false))
    }

    /// The most connections that the listeners beside the client port and the peer port may have at once.
    pub fn other_connections(&self) -> usize {
        let admin = if self.admin_listen.is_some() { self.limits.admin_connections } else { 0 };
        let health = if self.health_listen.is_some() { PROBE_CONNECTIONS } else { 0 };
        admin.saturating_add(health)
    }

    /// With plain HTTP every program on this machine may do everything, so rules about callers would only seem to
    /// hold.
    fn validate_nobody_is_told_apart(&self) -> Result<(), ConfigError> {
        for (field, is_set) in [
            ("callers", !self.callers.is_empty()),
            ("jwt_issuers", !self.jwt_issuers.is_empty()),
            ("public_read", self.public_read),
        ] {
            if is_set {
                let problem = "has no effect with `plain_http`, because every program on this machine has every role: \
                               remove it, or set `client_tls` instead of `plain_http`";
                return Err(invalid(field, problem));
            }
        }
        Ok(())
    }
}

/// Whether this address, at which a node is to listen, is loopback.
fn is_loopback(field: &str, address: &str) -> Result<bool, ConfigError> {
    let parsed: SocketAddr = address
        .parse()
        .map_err(|_| invalid(field, format!("`{}` must be an IP address and a port", told(address))))?;
    // If no advertised address is set, the node also announces this one.
    if parsed.to_string() != address {
        let problem = format!("`{}` is another spelling of `{parsed}`: write `{parsed}`", told(address));
        return Err(invalid(field, problem));
    }
    Ok(parsed.ip().is_loopback())
}

/// Whether a node cannot listen at both of these addresses. The system chooses a port for 0, so that it differs.
fn overlap(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) else { return false };
    let is_for_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_for_all || one.ip() == other.ip())
}

/// The longest part of a wrong address that an error repeats, in characters.
const TOLD_CHARS_MAX: usize = 100;

/// A text that is no address, for a message of one line.
fn told(text: &str) -> String {
    one_line(&cut(text, TOLD_CHARS_MAX)).into_owned()
}

fn validate_address(field: &str, address: &str) -> Result<(), ConfigError> {
    address.parse::<MemberAddress>().map(|_| ()).map_err(|error| invalid(field, error.to_string()))
}

impl LimitConfig {
    /// The number of places for authorize requests of long calls.
    pub(crate) fn long_queue(&self) -> usize {
        self.authorize_queue / 2
    }

    /// The number of places for all other authorize requests.
    pub(crate) fn short_queue(&self) -> usize {
        self.authorize_queue.saturating_sub(self.long_queue())
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("limits.connections", self.connections),
            ("limits.connections_per_address", self.connections_per_address),
            ("limits.handshakes_per_address", self.handshakes_per_address),
            ("limits.caller_requests", self.caller_requests),
            ("limits.caller_rate", self.caller_rate),
            ("limits.caller_burst", self.caller_burst),
            ("limits.admin_connections", self.admin_connections),
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
        // A full batch must fit into half of the queue.
        for (field, value) in
            [("limits.submit_queue", self.submit_queue), ("limits.authorize_queue", self.authorize_queue)]
        {
            let least = (assent_api::MAX_BATCH as u64).saturating_mul(2);
            at_least(field, u64::try_from(value).unwrap_or(u64::MAX), least)?;
        }
        let burst = u64::try_from(self.caller_burst).unwrap_or(u64::MAX);
        at_least("limits.caller_burst", burst, assent_api::MAX_BATCH as u64)?;
        at_most("limits.issuer_rate", self.issuer_rate, 1_000_000)?;
        at_least("limits.issuer_burst", self.issuer_burst, 1)?;
        at_most("limits.issuer_burst", self.issuer_burst, 1_000_000)?;
        for (field, mib) in [
            ("limits.domain_mib_per_year", self.domain_mib_per_year),
            ("limits.disk_reserve_mib", self.disk_reserve_mib),
        ] {
            // More than any disk has, and in bytes within 64 bits.
            at_most(field, mib, 1 << 40)?;
        }
        // The answers that are decided together must fit, however large they are.
        let answers = u64::try_from(self.answer_kib).unwrap_or(u64::MAX);
        at_least("limits.answer_kib", answers, (SLICE * DECISION_KIB) as u64)?;
        // One entry must fit into a peer's frame with room to spare.
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
