//! From the registry's events to lines of the feed.

use assent_api::{EndBody, EndReason, EventBody, EventLine, HeartbeatBody, RestrictsBody};
use assent_proof::{Cursor, History};
use assent_registry::query::Event;

pub(super) fn event(history: History, event: Event) -> EventLine {
    EventLine::Event(Box::new(EventBody {
        history,
        revision: event.revision,
        ledger_index: event.ledger_index,
        evidence_id: event.evidence_id,
        kind: event.kind,
        domain: event.domain,
        lineage: event.lineage,
        issuers: event.issuers,
        sequence: event.sequence,
        accepted_at: event.accepted_at,
        equivocation: event.equivocation,
        restricts: event
            .restricts
            .map(|restricts| RestrictsBody { action: restricts.action.to_owned(), target: restricts.target }),
    }))
}

pub(super) fn heartbeat(at: Cursor, ledger_revision: u64) -> EventLine {
    let Cursor { history, revision } = at;
    EventLine::Heartbeat { heartbeat: HeartbeatBody { history, revision, ledger_revision } }
}

pub(super) fn end(reason: EndReason, at: Cursor) -> EventLine {
    let Cursor { history, revision } = at;
    EventLine::End { end: EndBody { reason, history, revision } }
}
