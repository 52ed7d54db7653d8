//! The events feed: everything that entered the ledger, in order.
//!
//! A node answers `GET /v1/events` with JSON lines (`application/x-ndjson`): events, and as the last line a heartbeat
//! or an end. With `Accept: text/event-stream`, the feed continues without end as server-sent events: `id` is a cursor
//! to resume after, `event` is the kind, `heartbeat` or `end`, and `data` is the JSON of the line without the name
//! around it.

use assent_proof::{Cursor, DomainName, EvidenceId, EvidenceKind, History, LineageName, Millis, PublicKey};
use serde::{Deserialize, Serialize};

/// Content type of JSON lines.
pub const NDJSON_CONTENT_TYPE: &str = "application/x-ndjson";

/// Content type of server-sent events.
pub const SSE_CONTENT_TYPE: &str = "text/event-stream";

/// The longest wait of a long poll, in milliseconds.
pub const MAX_EVENTS_WAIT_MS: u64 = 30_000;

/// The most values of one repeatable parameter of the events feed.
pub const MAX_EVENTS_FILTER: usize = 32;

/// One accepted statement, as it entered the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// The history that `revision` counts in: the one in force when the event was sent.
    pub history: History,
    /// The ledger's size with this statement. A reader that resumes after this revision gets the next event.
    pub revision: u64,
    /// The statement's place in the ledger, from 0: one less than `revision`.
    pub ledger_index: u64,
    /// The statement's id.
    pub evidence_id: EvidenceId,
    /// The statement's kind.
    pub kind: EvidenceKind,
    /// The statement's domain.
    pub domain: DomainName,
    /// The statement's lineage.
    pub lineage: LineageName,
    /// The statement's issuers, in the order in which it names them.
    pub issuers: Vec<PublicKey>,
    /// The statement's slot; null for restrictions and permits.
    pub sequence: Option<u64>,
    /// When the registry accepted the statement, in milliseconds.
    pub accepted_at: Millis,
    /// Whether the statement is the second one for its slot.
    #[serde(default)]
    pub equivocation: bool,
    /// What the statement restricts; present only for revocations and containments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricts: Option<RestrictsBody>,
}

/// The action and the target of a revocation or a containment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictsBody {
    /// `revoke`, `quarantine`, `isolate` or `invalidate`.
    pub action: String,
    /// The target: an authority's key, a lineage, a domain or an evidence id.
    pub target: String,
}

/// How far an answer or a stream has read the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatBody {
    /// The history that the revisions count in.
    pub history: History,
    /// The node has read the ledger up to this revision. A reader that resumes after it does not ask again for what
    /// the filter left out.
    pub revision: u64,
    /// The ledger's size, as this node has applied it.
    pub ledger_revision: u64,
}

/// Why a feed ends although it could have continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The reader took nothing for too long.
    TooSlow,
    /// The node is stopping.
    Stopping,
    /// The node cannot read its registry.
    Failed,
    /// The node has come to a later history during the feed, for example because it is a new member that catches up
    /// with a recovery. What the feed has sent is part of the later history.
    HistoryChanged,
    /// What the caller showed when it opened the feed is void, or has other rights now.
    CallerNotPermitted,
}

impl EndReason {
    /// The reason as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::TooSlow => "too_slow",
            EndReason::Stopping => "stopping",
            EndReason::Failed => "failed",
            EndReason::HistoryChanged => "history_changed",
            EndReason::CallerNotPermitted => "caller_not_permitted",
        }
    }
}

/// The last line of a feed that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndBody {
    /// Why the feed ends.
    pub reason: EndReason,
    /// The history that `revision` counts in.
    pub history: History,
    /// Everything up to this revision was sent. A reader can resume after it at any node.
    pub revision: u64,
}

/// One line of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventLine {
    /// How far the answer has read the ledger. It is the last line of a complete answer.
    Heartbeat {
        /// How far the answer has read.
        heartbeat: HeartbeatBody,
    },
    /// The feed ends. It is the last line.
    End {
        /// Why and where the feed ends.
        end: EndBody,
    },
    /// A statement entered the ledger.
    Event(Box<EventBody>),
}

impl EventLine {
    /// The line as JSON, with its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = assent_proof::json::to_vec(self);
        line.push(b'\n');
        line
    }

    /// The line as a server-sent event.
    pub fn to_sse(&self) -> Vec<u8> {
        let (name, data) = match self {
            EventLine::Event(event) => (event.kind.as_str(), assent_proof::json::to_vec(event)),
            EventLine::Heartbeat { heartbeat } => ("heartbeat", assent_proof::json::to_vec(heartbeat)),
            EventLine::End { end } => ("end", assent_proof::json::to_vec(end)),
        };
        let id = self.cursor();
        let mut text = format!("id: {id}\nevent: {name}\ndata: ").into_bytes();
        text.extend_from_slice(&data);
        text.extend_from_slice(b"\n\n");
        text
    }

    /// The place in the ledger up to which the feed has sent everything, this line included.
    pub fn cursor(&self) -> Cursor {
        let (history, revision) = match self {
            EventLine::Event(event) => (event.history, event.revision),
            EventLine::Heartbeat { heartbeat } => (heartbeat.history, heartbeat.revision),
            EventLine::End { end } => (end.history, end.revision),
        };
        Cursor { history, revision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_proof::SigningKey;

    fn event(restricts: Option<RestrictsBody>) -> EventBody {
        EventBody {
            history: history(),
            revision: 10,
            ledger_index: 9,
            evidence_id: EvidenceId([4; 32]),
            kind: EvidenceKind::Revocation,
            domain: "prod.eu".parse().unwrap(),
            lineage: LineageName::governance(),
            issuers: vec![SigningKey::from_seed([1; 32]).public()],
            sequence: None,
            accepted_at: Millis(5),
            equivocation: false,
            restricts,
        }
    }

    fn history() -> History {
        History::new([0xab; 32], 2).unwrap()
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_written_in_the_documented_order() {
        let restricts = RestrictsBody { action: "revoke".into(), target: "ed25519:00".into() };
        let line = EventLine::Event(Box::new(event(Some(restricts))));
        let expected = format!(
            concat!(
                r#"{{"history":"{history}","revision":10,"ledgerIndex":9,"evidenceId":"blake3:{id}","kind":"revocation","domain":"prod.eu","#,
                r#""lineage":"_governance","issuers":["{issuer}"],"sequence":null,"acceptedAt":5,"equivocation":false,"#,
                r#""restricts":{{"action":"revoke","target":"ed25519:00"}}}}"#
            ),
            history = history(),
            id = "04".repeat(32),
            issuer = SigningKey::from_seed([1; 32]).public()
        );
        assert_eq!(text(line.to_line()), format!("{expected}\n"));
        assert_eq!(
            text(line.to_sse()),
            format!("id: {}:10\nevent: revocation\ndata: {expected}\n\n", history())
        );
        assert_eq!(serde_json::from_str::<EventLine>(&expected).unwrap(), line);
        assert!(!text(EventLine::Event(Box::new(event(None))).to_line()).contains("restricts"));
    }

    #[test]
    fn heartbeats_and_ends_say_where_to_resume() {
        let heartbeat = EventLine::Heartbeat {
            heartbeat: HeartbeatBody { history: history(), revision: 7, ledger_revision: 9 },
        };
        let end =
            EventLine::End { end: EndBody { reason: EndReason::TooSlow, history: history(), revision: 7 } };
        for (line, json, sse) in [
            (
                heartbeat,
                r#"{"heartbeat":{"history":"HISTORY","revision":7,"ledgerRevision":9}}"#,
                "id: HISTORY:7\nevent: heartbeat\ndata: {\"history\":\"HISTORY\",\"revision\":7,\"ledgerRevision\":9}\n\n",
            ),
            (
                end,
                r#"{"end":{"reason":"too_slow","history":"HISTORY","revision":7}}"#,
                "id: HISTORY:7\nevent: end\ndata: {\"reason\":\"too_slow\",\"history\":\"HISTORY\",\"revision\":7}\n\n",
            ),
        ] {
            let told = |text: &str| text.replace("HISTORY", &history().to_string());
            let json = told(json);
            assert_eq!(text(line.to_line()), format!("{json}\n"));
            assert_eq!(text(line.to_sse()), told(sse));
            assert_eq!(serde_json::from_str::<EventLine>(&json).unwrap(), line);
        }
    }

    #[test]
    fn a_reason_reads_as_it_is_named() {
        for reason in [
            EndReason::TooSlow,
            EndReason::Stopping,
            EndReason::Failed,
            EndReason::HistoryChanged,
            EndReason::CallerNotPermitted,
        ] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
