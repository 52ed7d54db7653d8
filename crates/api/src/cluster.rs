//! The cluster as one node sees it.

use assent_proof::{Code, History, Millis, PublicKey};
use serde::{Deserialize, Serialize};

use crate::clock::{ClockConfirmed, ClockStanding};

/// What a node is in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// It proposes.
    Leader,
    /// It follows and answers.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It receives the log and neither votes nor answers.
    Learner,
}

/// `GET /v1/cluster/status`: one node's own view; it takes no read barrier, so nothing may be decided on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusBody {
    /// Digest of the genesis file, `blake3:<hex>`.
    pub cluster_id: String,
    /// The history that this node is in, by what it has applied: which cluster, in which of its lives.
    pub history: History,
    /// The registry that evidence must name.
    pub origin: String,
    /// This node.
    pub node_id: u64,
    /// What it is.
    pub role: NodeRole,
    /// The leader it knows of; null for none.
    pub leader: Option<u64>,
    /// Its term.
    pub term: u64,
    /// The ledger's size here.
    pub revision: u64,
    /// Index of the last entry of its Raft log; null for none.
    pub last_log: Option<u64>,
    /// Index of the last entry that it applied; null for none.
    pub applied: Option<u64>,
    /// The voters' ids.
    pub voters: Vec<u64>,
    /// The learners' ids.
    pub learners: Vec<u64>,
    /// How sure it is of its clock.
    pub clock: ClockBody,
    /// Who this node is, which is what it takes to add it to a cluster.
    pub node: SelfBody,
    /// Whether it is a member as far as it knows; a new node waits to be added.
    pub member: bool,
    /// That it was a member and was removed, for good; left out of a node that was not. A node that is no member and was not
    /// removed waits to be added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedBody>,
    /// Why it may not speak for the registry although it votes: its own key is not granted, or no longer. Left out of a node whose key
    /// is, and of one that does not vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced: Option<SilencedBody>,
    /// The version of the rules that the registry follows here.
    pub rules: u32,
    /// The newest rules that this build knows.
    pub rules_known: u32,
    /// The other nodes that it knows of.
    pub peers: Vec<PeerBody>,
    /// Its Raft log.
    pub log: LogBody,
    /// The snapshots on their way to or from it.
    pub snapshots: Vec<SnapshotBody>,
    /// What its process has open; absent where nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessBody>,
    /// The program's version.
    pub version: String,
    /// How long it has run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
}

impl StatusBody {
    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

/// That a node was removed from the cluster. It serves nobody any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedBody {
    /// Whose word that is: the members that refused this node as removed. Empty if its own log says so.
    pub said_by: Vec<u64>,
    /// How it is known, one sentence for people.
    pub detail: String,
    /// What to do, one line.
    pub remedy: String,
}

/// Why a node may not speak for the registry. It denies everything until that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencedBody {
    /// What is wrong with its key: `authority_unknown`, `authority_expired`, `authority_revoked` or `inheritance_unverifiable`.
    pub code: Code,
    /// What is wrong, one sentence for people.
    pub detail: String,
    /// What to do, one line.
    pub remedy: String,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelfBody {
    /// Where peers reach it, `host:port`.
    pub peer: String,
    /// Where clients reach it, `host:port`.
    pub client: String,
    /// The random id of its store, hex.
    pub store_id: String,
    /// Its signing key.
    pub key: PublicKey,
}

/// Another node, as this one is connected to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerBody {
    /// Its number.
    pub id: u64,
    /// Whether there is a connection now.
    pub connected: bool,
    /// The last round trip, in milliseconds; null for none yet.
    pub rtt_ms: Option<u64>,
    /// Why there is no connection; null while there is one.
    pub problem: Option<String>,
}

/// A node's Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogBody {
    /// Index of its first entry; null while it is empty.
    pub first: Option<u64>,
    /// Index of its last entry; null while it is empty.
    pub last: Option<u64>,
    /// Bytes of its entries.
    pub bytes: u64,
}

/// What a node's process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessBody {
    /// Client connections now.
    pub connections: u64,
    /// How many there may be: `limits.connections`, or fewer where the limit of open files leaves no room for more.
    pub connections_max: u64,
    /// Open files now; null where the system does not say.
    pub open_files: Option<u64>,
    /// How many there may be: the soft limit, `RLIMIT_NOFILE`.
    pub open_files_max: u64,
}

/// Which way a snapshot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotDirection {
    /// To the peer.
    Sending,
    /// From the peer.
    Receiving,
}

/// A snapshot on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotBody {
    /// Which way.
    pub direction: SnapshotDirection,
    /// To or from whom.
    pub peer: u64,
    /// Rows that have arrived.
    pub rows: u64,
    /// Rows in the whole.
    pub rows_total: u64,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// How often it went on after a broken connection.
    pub resumed: u64,
    /// Since when, in milliseconds.
    pub age_ms: u64,
}

/// How sure a node is of its clock. An unsure one neither allows, stamps nor campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockBody {
    /// Whether it uses its clock.
    pub sure: bool,
    /// The bound, in milliseconds.
    pub bound_ms: u64,
    /// What the peers' clocks read.
    pub readings: Vec<ClockReading>,
    /// How sure it is, in one word; null if the node does not say.
    #[serde(default)]
    pub standing: Option<ClockStanding>,
    /// What is wrong, one sentence for people; null if nothing is.
    #[serde(default)]
    pub detail: Option<String>,
    /// What to do about it; null if nothing is wrong.
    #[serde(default)]
    pub remedy: Option<String>,
    /// Whether its wall clock is where it trusts it to be by its boot time.
    #[serde(default)]
    pub anchored: bool,
    /// Its wall clock; null if the node does not say.
    #[serde(default)]
    pub wall: Option<Millis>,
    /// Registry time, as this node has applied it; null if the node does not say.
    #[serde(default)]
    pub registry_time: Option<Millis>,
    /// Registry time minus its wall clock, in milliseconds: positive if registry time is ahead.
    #[serde(default)]
    pub registry_time_ahead_ms: Option<i64>,
    /// How long a quorum still has to agree before it is anchored, in milliseconds; null unless it is settling.
    #[serde(default)]
    pub settle_left_ms: Option<u64>,
    /// What an operator has confirmed since its clock last leapt; null for nothing.
    #[serde(default)]
    pub confirmed: Option<ClockConfirmed>,
}

impl ClockBody {
    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

/// What one peer's clock read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockReading {
    /// Whose.
    pub peer: u64,
    /// Its clock minus this node's, in milliseconds.
    pub offset_ms: i64,
    /// How long ago it was read, in milliseconds.
    pub age_ms: u64,
}

/// `GET /v1/cluster/digest`: a digest of all the rows that one node has applied. It takes no read barrier: it says what
/// this node holds, not what the cluster has agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DigestBody {
    /// This node.
    pub node_id: u64,
    /// The ledger's size in these rows.
    pub revision: u64,
    /// The log entry up to which they are applied; null before the first. Nodes at the same one have the same digest.
    pub applied: Option<AppliedBody>,
    /// How many rows the digest covers.
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
    /// Its index.
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
                r#""version":"0.1.0","uptimeMs":5000}"#
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
