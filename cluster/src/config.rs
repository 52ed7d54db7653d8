//! A node's configuration: one TOML file, which the node validates before it binds anything. [`Config`] is the
//! manual.
//!
//! This file has the fields and what they mean. The files in `config/` have their defaults (`defaults.rs`), their bounds
//! (`validate.rs`, `address.rs`), how the file is read and written (`load.rs`), what follows from several fields
//! (`derived.rs`), and why a configuration is refused (`error.rs`). They read no file except the configuration's own.

mod address;
mod defaults;
mod derived;
mod error;
mod load;
#[cfg(test)]
mod tests;
mod validate;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::access::{CallerConfig, JwtIssuerConfig};
use crate::audit::AuditConfig;
use crate::raft::types::NodeId;

pub use error::ConfigError;

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
    #[serde(skip, default = "defaults::newest_rules")]
    pub rules_known: u32,
    /// The largest difference between this node's clock and the clocks of a quorum, in milliseconds. If the
    /// difference is larger, the node does not trust its own clock.
    #[serde(default = "defaults::default_clock_bound_ms")]
    pub clock_bound_ms: u64,
    /// How long the clocks of a quorum must agree before the node trusts them, in milliseconds. This applies after a
    /// clock has leapt, and after a start if the clock is more than 10 minutes ahead of registry time.
    #[serde(default = "defaults::default_clock_settle_ms")]
    pub clock_settle_ms: u64,
}

/// TLS of the client port and of the admin listener. The node reads the files again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsConfig {
    /// The path of the node's certificate and the certificates between it and its authority, in PEM. It must name the
    /// host or address at which clients reach the node, and the one at which operators do. It must be in time, and for server
    /// authentication.
    pub cert: PathBuf,
    /// The path of the certificate's private key, a PEM file that only the node may read.
    pub key: PathBuf,
    /// The path of the authorities of callers' certificates, in PEM. Without it no caller can show a certificate, and
    /// `admin_listen` must be a loopback address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The path of their revocation lists, in PEM. It needs `ca`. At least one list must be by an authority of `ca`. A running
    /// node takes no list that is older than the one of the same authority that it has read.
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
    /// The path of the certificates of the CAs that issue the nodes' certificates. The CA of this node's own certificate must
    /// be among them.
    pub ca: PathBuf,
    /// The path of the lists of revoked certificates of these CAs. If it is set, there must be a list for each CA that
    /// issued a certificate, and a certificate counts only while the list is in time. A running node takes no list that is
    /// older than the one of the same CA that it has read.
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
    /// of its own. Each node counts for itself the requests that a caller makes to it.
    pub caller_rate: usize,
    /// The largest number of requests of one caller at once, after it has made none for long enough. It is at least
    /// 1000, so that a full batch fits. An entry of `callers` can have a `burst` of its own.
    pub caller_burst: usize,
    /// The largest number of calls of one caller that the node works on at a time while it is short of processors and
    /// other callers are at work. It holds separately for single authorize requests, for permits and single envelopes,
    /// for governance statements, and for reads. Batches have a quarter of it besides, and at least one. Restrictions
    /// have no such bound. A call beyond it waits, at most for its own deadline, and is then refused as `overloaded`. A
    /// smaller number keeps other callers' calls faster beside a flood. A larger one lets a busy caller do more beside
    /// others. The default is 4 for each core of the machine, and at least 8.
    pub caller_work: usize,
    /// The largest number of connections to the admin listener at once. The node closes any further one. They take no
    /// places from clients, and clients take none from operators. If other machines reach the listener, one address may
    /// have a quarter of them, and at least one.
    pub admin_connections: usize,
    /// The largest number of authorize requests between arrival and answer. A request beyond it is denied as
    /// `overloaded`. One half is for calls of more than one request and the other half for single requests, so that
    /// neither takes places from the other. It is at least 2000, so that a full batch fits. One caller may hold as
    /// many places as are then free; the same is true of every other number of places and of memory here.
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
    /// verified, and is not counted if it is refused or was in the ledger before. The leader counts what other nodes
    /// forward to it too, except governance statements and permits. At most 1000000; 0 is no bound.
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
