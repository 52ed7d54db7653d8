//! The cluster as one node sees it.

use serde::{Deserialize, Serialize};

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
    /// The program's version.
    pub version: String,
    /// How long it has run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
}

impl StatusBody {
    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        crate::status::to_vec(self)
    }
}

/// How sure a node is of its clock. An unsure one neither allows, stamps nor campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockBody {
    /// Whether a quorum of voters lies within the bound.
    pub sure: bool,
    /// The bound, in milliseconds.
    pub bound_ms: u64,
    /// What the peers' clocks read.
    pub readings: Vec<ClockReading>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_in_the_documented_order() {
        let body = StatusBody {
            cluster_id: "blake3:00".to_owned(),
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
            },
            version: "0.1.0".to_owned(),
            uptime_ms: Some(5000),
        };
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"clusterId":"blake3:00","origin":"registry.example/eu-1","nodeId":2,"role":"follower","leader":1,"#,
                r#""term":3,"revision":17,"lastLog":40,"applied":39,"voters":[1,2,3],"learners":[],"#,
                r#""clock":{"sure":true,"boundMs":500,"readings":[{"peer":1,"offsetMs":-2,"ageMs":310}]},"#,
                r#""version":"0.1.0","uptimeMs":5000}"#
            )
        );
        assert_eq!(serde_json::from_str::<StatusBody>(&text).unwrap(), body);
    }
}
