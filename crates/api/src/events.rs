//! The events feed: everything that entered the ledger, in order.
//!
//! `GET /v1/events` answers JSON lines (`application/x-ndjson`): events, and as the last line a heartbeat or an end. With
//! `Accept: text/event-stream` it goes on for ever as server-sent events: `id` is a cursor to resume after, `event` is
//! the kind, `heartbeat` or `end`, `data` is the same JSON as the line's, without the name around it.

use assent_proof::{Cursor, DomainName, EvidenceId, EvidenceKind, History, LineageName, Millis, PublicKey};
use serde::{Deserialize, Serialize};

/// Content type of JSON lines.
pub const NDJSON_CONTENT_TYPE: &str = "application/x-ndjson";

/// Content type of server-sent events.
pub const SSE_CONTENT_TYPE: &str = "text/event-stream";

/// Longest that a long poll waits, in milliseconds.
pub const MAX_EVENTS_WAIT_MS: u64 = 30_000;

/// Most values of one repeatable parameter of the events feed.
pub const MAX_EVENTS_FILTER: usize = 32;

/// One accepted statement, as it entered the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// The history in which the revision means something: the one in force when this was told.
    pub history: History,
    /// The ledger's size with it: resume after this one to go on with the next.
    pub revision: u64,
    /// Its place in the ledger, from 0: one less than `revision`.
    pub ledger_index: u64,
    /// Its id.
    pub evidence_id: EvidenceId,
    /// Its kind.
    pub kind: EvidenceKind,
    /// Its domain.
    pub domain: DomainName,
    /// Its lineage.
    pub lineage: LineageName,
    /// Its issuers, as written.
    pub issuers: Vec<PublicKey>,
    /// Its slot; null for restrictions and permits.
    pub sequence: Option<u64>,
    /// When the registry accepted it, in milliseconds.
    pub accepted_at: Millis,
    /// Whether it is the second statement for its slot.
    #[serde(default)]
    pub equivocation: bool,
    /// What it restricts; only of revocations and containments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricts: Option<RestrictsBody>,
}

/// What a revocation or containment does to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictsBody {
    /// `revoke`, `quarantine`, `isolate` or `invalidate`.
    pub action: String,
    /// The authority's key, the lineage, the domain or the evidence id.
    pub target: String,
}

/// How far an answer or a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatBody {
    /// The history in which the revisions mean something.
    pub history: History,
    /// Everything up to this revision was looked at: resume after it. What the filter left out is not asked for again.
    pub revision: u64,
    /// The ledger's size, as this node has applied it.
    pub ledger_revision: u64,
}

/// Why a feed ends that could have gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The consumer took nothing for too long.
    TooSlow,
    /// The node is stopping.
    Stopping,
    /// The node cannot read its registry.
    Failed,
    /// The node has come to a later history while the feed went on, as a new member does that catches up with a recovery. What was
    /// told is part of that one.
    HistoryChanged,
}

impl EndReason {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::TooSlow => "too_slow",
            EndReason::Stopping => "stopping",
            EndReason::Failed => "failed",
            EndReason::HistoryChanged => "history_changed",
        }
    }
}

/// The last thing that a feed says when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndBody {
    /// Why.
    pub reason: EndReason,
    /// The history in which the revision means something.
    pub history: History,
    /// Everything up to this revision was sent: resume after it, on any node.
    pub revision: u64,
}

/// One line of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventLine {
    /// How far the answer has come; the last line of a complete one.
    Heartbeat {
        /// How far.
        heartbeat: HeartbeatBody,
    },
    /// The feed ends; the last line.
    End {
        /// Why, and where.
        end: EndBody,
    },
    /// Something entered the ledger.
    Event(Box<EventBody>),
}

impl EventLine {
    /// The line with its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = assent_proof::json::to_vec(self);
        line.push(b'\n');
        line
    }

    /// The same as a server-sent event.
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

    /// The place in the ledger up to which the feed has told everything with this line.
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
        for reason in [EndReason::TooSlow, EndReason::Stopping, EndReason::Failed, EndReason::HistoryChanged]
        {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
