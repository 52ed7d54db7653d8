//! The bodies in which one node describes itself: its status, its clock, and a digest of what it has applied.

use std::collections::BTreeMap;

use assent_proof::{Code, History, Millis, PublicKey};
use serde::{Deserialize, Serialize};

use crate::clock::{ClockConfirmed, ClockStanding};

/// The role of a node in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// The node proposes entries.
    Leader,
    /// The node follows the leader, votes, and answers.
    Follower,
    /// The node asks for votes.
    Candidate,
    /// The node receives the log, and neither votes nor answers.
    Learner,
}

/// The answer to `GET /v1/cluster/status`: one node's own view. It takes no read barrier, so nothing may be decided on
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusBody {
    /// Digest of the genesis file, `blake3:<hex>`.
    pub cluster_id: String,
    /// The history that this node is in, by what it has applied: a cluster and its epoch.
    pub history: History,
    /// The registry that evidence must name.
    pub origin: String,
    /// This node's id.
    pub node_id: u64,
    /// The node's role in Raft.
    pub role: NodeRole,
    /// The id of the leader that the node knows; null if it knows none.
    pub leader: Option<u64>,
    /// The node's current term.
    pub term: u64,
    /// The ledger's size at this node.
    pub revision: u64,
    /// Index of the last entry in the node's Raft log; null if there is none.
    pub last_log: Option<u64>,
    /// Index of the last entry that the node has applied; null if there is none.
    pub applied: Option<u64>,
    /// The voters' ids.
    pub voters: Vec<u64>,
    /// The learners' ids.
    pub learners: Vec<u64>,
    /// How sure the node is of its clock.
    pub clock: ClockBody,
    /// The node's addresses, store and key: what an operator needs to add the node to a cluster.
    pub node: SelfBody,
    /// Whether the node is a member, as far as it knows. A new node waits to be added.
    pub member: bool,
    /// Present if the node was a member and was permanently removed. A node that is not a member and was not removed
    /// waits to be added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedBody>,
    /// Why the node may not speak for the registry although it votes: its own key is not granted, or no longer
    /// granted. Absent if the key is granted, or if the node does not vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced: Option<SilencedBody>,
    /// The version of the rules that the registry follows at this node.
    pub rules: u32,
    /// The newest version of the rules that this node's build knows.
    pub rules_known: u32,
    /// The other nodes that this node knows.
    pub peers: Vec<PeerBody>,
    /// The node's Raft log.
    pub log: LogBody,
    /// The snapshots that the node is sending or receiving.
    pub snapshots: Vec<SnapshotBody>,
    /// The connections and files that the node's process has open; absent if they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessBody>,
    /// The space on the node's disk; absent if the node keeps no reserve, or if the disk does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskBody>,
    /// How many callers the node has refused since its start, by the reason. A reason without a refusal is left out;
    /// absent if there was no refusal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused_callers: BTreeMap<String, u64>,
    /// The program's version.
    pub version: String,
    /// How long the node has run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
}

impl StatusBody {
    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

/// The removal of a node from the cluster. A removed node no longer serves any client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedBody {
    /// The members that refused this node as removed. Empty if the node's own log says that it was removed.
    pub said_by: Vec<u64>,
    /// How the node knows this, one sentence for people.
    pub detail: String,
    /// What to do about it, one line.
    pub remedy: String,
}

/// Why a node may not speak for the registry. The node denies everything until that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencedBody {
    /// What is wrong with the node's key: `authority_unknown`, `authority_expired`, `authority_revoked` or
    /// `inheritance_unverifiable`.
    pub code: Code,
    /// What is wrong, one sentence for people.
    pub detail: String,
    /// What to do about it, one line.
    pub remedy: String,
}

/// The identity of a node: its addresses, its store and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelfBody {
    /// The address at which peers reach the node, `host:port`.
    pub peer: String,
    /// The address at which clients reach the node, `host:port`.
    pub client: String,
    /// The random id of the node's store, hex.
    pub store_id: String,
    /// The node's signing key.
    pub key: PublicKey,
    /// When the certificate ends that the node shows to its peers, in milliseconds since 1970. Absent without TLS
    /// between the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_certificate_end: Option<Millis>,
    /// When the certificate ends that the node shows to its clients, in milliseconds since 1970. Absent with plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_end: Option<Millis>,
    /// When the first list of revoked certificates ends by which the node checks its peers, in milliseconds since 1970.
    /// After that it refuses them. Absent without such a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_revocation_list_end: Option<Millis>,
    /// The same for the certificates of its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_revocation_list_end: Option<Millis>,
}

/// The connection of this node to another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerBody {
    /// The other node's id.
    pub id: u64,
    /// Whether there is a connection now.
    pub connected: bool,
    /// The last round trip, in milliseconds; null if there was none yet.
    pub rtt_ms: Option<u64>,
    /// Why there is no connection; null while there is one.
    pub problem: Option<String>,
}

/// A node's Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogBody {
    /// Index of the log's first entry; null while the log is empty.
    pub first: Option<u64>,
    /// Index of the log's last entry; null while the log is empty.
    pub last: Option<u64>,
    /// Size of the log's entries, in bytes.
    pub bytes: u64,
}

/// The connections and files that a node's process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessBody {
    /// The number of client connections now.
    pub connections: u64,
    /// The most client connections: `limits.connections`, or fewer if the limit of open files leaves no room for more.
    pub connections_max: u64,
    /// The number of open files now; null if the system does not report it.
    pub open_files: Option<u64>,
    /// The most open files: the soft limit `RLIMIT_NOFILE`.
    pub open_files_max: u64,
}

/// The space on a node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskBody {
    /// The space that the node can still take, in bytes, when it last looked.
    pub free_bytes: u64,
    /// The reserve, in bytes: `limits.disk_reserve_mib`.
    pub reserve_bytes: u64,
    /// Whether the node takes only restrictions and governance statements, because so little is free.
    pub reserve_reached: bool,
}

/// The direction in which a snapshot is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotDirection {
    /// This node sends the snapshot to the peer.
    Sending,
    /// This node receives the snapshot from the peer.
    Receiving,
}

/// A snapshot that is being sent or received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotBody {
    /// Whether this node sends or receives the snapshot.
    pub direction: SnapshotDirection,
    /// The id of the other node.
    pub peer: u64,
    /// The number of rows that have arrived.
    pub rows: u64,
    /// The number of rows of the whole snapshot.
    pub rows_total: u64,
    /// The number of bytes that have arrived.
    pub bytes: u64,
    /// How often the transfer was resumed after a broken connection.
    pub resumed: u64,
    /// How long ago the transfer began, in milliseconds.
    pub age_ms: u64,
}

/// How sure a node is of its clock. A node that is not sure neither allows, nor stamps entries, nor campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockBody {
    /// Whether the node uses its clock.
    pub sure: bool,
    /// How far a clock may be off, in milliseconds.
    pub bound_ms: u64,
    /// The readings of the peers' clocks.
    pub readings: Vec<ClockReading>,
    /// How sure the node is of its clock, in one word; null if the node does not say.
    #[serde(default)]
    pub standing: Option<ClockStanding>,
    /// What is wrong, one sentence for people; null if nothing is.
    #[serde(default)]
    pub detail: Option<String>,
    /// What to do about it; null if nothing is wrong.
    #[serde(default)]
    pub remedy: Option<String>,
    /// Whether the node's wall clock agrees with the time that the node trusts by its boot time.
    #[serde(default)]
    pub anchored: bool,
    /// The node's wall clock; null if the node does not say.
    #[serde(default)]
    pub wall: Option<Millis>,
    /// Registry time, as this node has applied it; null if the node does not say.
    #[serde(default)]
    pub registry_time: Option<Millis>,
    /// Registry time minus the node's wall clock, in milliseconds. It is positive if registry time is ahead.
    #[serde(default)]
    pub registry_time_ahead_ms: Option<i64>,
    /// How long a quorum must still agree before the node uses its clock, in milliseconds; null unless the node is
    /// settling.
    #[serde(default)]
    pub settle_left_ms: Option<u64>,
    /// What an operator has confirmed since the node's clock last leapt; null if there is no confirmation.
    #[serde(default)]
    pub confirmed: Option<ClockConfirmed>,
}

impl ClockBody {
    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

/// A reading of one peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockReading {
    /// The id of the peer.
    pub peer: u64,
    /// The peer's clock minus this node's clock, in milliseconds.
    pub offset_ms: i64,
    /// How long ago the peer's clock was read, in milliseconds.
    pub age_ms: u64,
}

/// The answer to `GET /v1/cluster/digest`: a digest of all the rows that one node has applied. It takes no read
/// barrier: it describes what this node holds, not what the cluster has agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DigestBody {
    /// This node's id.
    pub node_id: u64,
    /// The ledger's size in these rows.
    pub revision: u64,
    /// The last log entry that the node has applied to these rows; null before the first. Nodes that have applied the
    /// same entry have the same digest.
    pub applied: Option<AppliedBody>,
    /// The number of rows that the digest covers.
    pub rows: u64,
    /// `blake3:<hex>` over table, key and value of every row, in order.
    pub digest: String,
}

/// A position in the Raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedBody {
    /// The term of the leader that proposed it.
    pub term: u64,
    /// The entry's index.
    pub index: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_in_the_documented_order() {
        let body = StatusBody {
            cluster_id: "blake3:00".to_owned(),
            history: History::founded([0xab; 32]),
            origin: "registry.example/eu-1".to_owned(),
            node_id: 2,
            role: NodeRole::Follower,
            leader: Some(1),
            term: 3,
            revision: 17,
            last_log: Some(40),
            applied: Some(39),
            voters: vec![1, 2, 3],
            learners: vec![],
            clock: ClockBody {
                sure: true,
                bound_ms: 500,
                readings: vec![ClockReading { peer: 1, offset_ms: -2, age_ms: 310 }],
                standing: Some(ClockStanding::Sure),
                detail: None,
                remedy: None,
                anchored: true,
                wall: Some(Millis(1_000)),
                registry_time: Some(Millis(990)),
                registry_time_ahead_ms: Some(-10),
                settle_left_ms: None,
                confirmed: Some(ClockConfirmed { wall: Millis(100), ahead_ms: 7 }),
            },
            node: SelfBody {
                peer: "a:1".to_owned(),
                client: "a:2".to_owned(),
                store_id: "0f".to_owned(),
                key: assent_proof::SigningKey::from_seed([1; 32]).public(),
                peer_certificate_end: None,
                client_certificate_end: None,
                peer_revocation_list_end: None,
                client_revocation_list_end: None,
            },
            member: true,
            removed: None,
            silenced: None,
            rules: 1,
            rules_known: 1,
            peers: vec![PeerBody { id: 1, connected: true, rtt_ms: Some(1), problem: None }],
            log: LogBody { first: Some(1), last: Some(40), bytes: 9 },
            snapshots: vec![SnapshotBody {
                direction: SnapshotDirection::Sending,
                peer: 4,
                rows: 1,
                rows_total: 2,
                bytes: 3,
                resumed: 0,
                age_ms: 5,
            }],
            process: Some(ProcessBody {
                connections: 7,
                connections_max: 4096,
                open_files: Some(30),
                open_files_max: 5000,
            }),
            disk: Some(DiskBody { free_bytes: 9000, reserve_bytes: 8000, reserve_reached: false }),
            refused_callers: BTreeMap::from([("role".to_owned(), 2)]),
            version: "0.1.0".to_owned(),
            uptime_ms: Some(5000),
        };
        let text = String::from_utf8(body.to_vec()).unwrap();
        let history = format!("blake3:{}/e1", "ab".repeat(32));
        assert_eq!(
            text.replace(&history, "HISTORY"),
            concat!(
                r#"{"clusterId":"blake3:00","history":"HISTORY","origin":"registry.example/eu-1","nodeId":2,"role":"follower","leader":1,"#,
                r#""term":3,"revision":17,"lastLog":40,"applied":39,"voters":[1,2,3],"learners":[],"#,
                r#""clock":{"sure":true,"boundMs":500,"readings":[{"peer":1,"offsetMs":-2,"ageMs":310}],"#,
                r#""standing":"sure","detail":null,"remedy":null,"anchored":true,"wall":1000,"registryTime":990,"#,
                r#""registryTimeAheadMs":-10,"settleLeftMs":null,"confirmed":{"wall":100,"aheadMs":7}},"#,
                r#""node":{"peer":"a:1","client":"a:2","storeId":"0f","#,
                r#""key":"ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"},"#,
                r#""member":true,"rules":1,"rulesKnown":1,"#,
                r#""peers":[{"id":1,"connected":true,"rttMs":1,"problem":null}],"#,
                r#""log":{"first":1,"last":40,"bytes":9},"#,
                r#""snapshots":[{"direction":"sending","peer":4,"rows":1,"rowsTotal":2,"bytes":3,"resumed":0,"ageMs":5}],"#,
                r#""process":{"connections":7,"connectionsMax":4096,"openFiles":30,"openFilesMax":5000},"#,
                r#""disk":{"freeBytes":9000,"reserveBytes":8000,"reserveReached":false},"#,
                r#""refusedCallers":{"role":2},"version":"0.1.0","uptimeMs":5000}"#
            )
        );
        assert_eq!(serde_json::from_str::<StatusBody>(&text).unwrap(), body);
    }

    #[test]
    fn a_node_that_was_removed_says_whose_word_that_is() {
        let removed =
            RemovedBody { said_by: vec![1, 3], detail: "why".to_owned(), remedy: "what".to_owned() };
        let text = r#"{"saidBy":[1,3],"detail":"why","remedy":"what"}"#;
        assert_eq!(serde_json::to_string(&removed).unwrap(), text);
        assert_eq!(serde_json::from_str::<RemovedBody>(text).unwrap(), removed);
    }

    #[test]
    fn a_node_whose_key_is_over_says_why_by_code() {
        let silenced = SilencedBody {
            code: Code::AuthorityExpired,
            detail: "why".to_owned(),
            remedy: "what".to_owned(),
        };
        let text = r#"{"code":"authority_expired","detail":"why","remedy":"what"}"#;
        assert_eq!(serde_json::to_string(&silenced).unwrap(), text);
        assert_eq!(serde_json::from_str::<SilencedBody>(text).unwrap(), silenced);
    }

    #[test]
    fn a_digest_is_written_in_the_documented_order() {
        let body = DigestBody {
            node_id: 2,
            revision: 17,
            applied: Some(AppliedBody { term: 3, index: 40 }),
            rows: 99,
            digest: "blake3:00".to_owned(),
        };
        let text =
            r#"{"nodeId":2,"revision":17,"applied":{"term":3,"index":40},"rows":99,"digest":"blake3:00"}"#;
        assert_eq!(serde_json::to_string(&body).unwrap(), text);
        assert_eq!(serde_json::from_str::<DigestBody>(text).unwrap(), body);
    }
}
