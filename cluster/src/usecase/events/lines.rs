//! From the registry's events to lines of the feed.

use assent_api::{EndBody, EndReason, EventBody, EventLine, HeartbeatBody, RestrictsBody};
use assent_registry::query::Event;

pub(super) fn event(event: Event) -> EventLine {
    EventLine::Event(Box::new(EventBody {
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

pub(super) fn heartbeat(revision: u64, ledger_revision: u64) -> EventLine {
    EventLine::Heartbeat { heartbeat: HeartbeatBody { revision, ledger_revision } }
}

pub(super) fn end(reason: EndReason, revision: u64) -> EventLine {
    EventLine::End { end: EndBody { reason, revision } }
}
