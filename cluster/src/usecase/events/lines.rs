//! Turns the registry's events into lines of a feed. All numbers in them belong to the feed's history.
//!
//! This module parses no statement. `assent_registry::query::events` tells what a restriction restricts, and its
//! module says why it parses revocations.

use assent_api::{EndBody, EndReason, EventBody, EventLine, HeartbeatBody, RestrictsBody};
use assent_proof::{Cursor, History};
use assent_registry::query::{Event, EventPage};

fn event(history: History, event: Event) -> EventLine {
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

/// How far a feed has come, and how far the ledger of its history goes. It never contains a size of another history's
/// ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    at: Cursor,
    ledger_revision: u64,
}

impl Reach {
    /// The reach of a feed that is at `at`, when the node's ledger ends at `ledger`. None if that is the ledger of a
    /// later history.
    ///
    /// A node publishes what it has applied a moment after it can be read. So if `ledger` is of an earlier history,
    /// the feed only knows more than was published, and its ledger goes as far as the feed.
    pub(super) fn of(at: Cursor, ledger: Option<Cursor>) -> Option<Self> {
        let Some(ledger) = ledger.filter(|ledger| ledger.history >= at.history) else {
            return Some(Self::told(at));
        };
        (ledger.history == at.history).then_some(Self { at, ledger_revision: ledger.revision })
    }

    /// The reach of a feed that is at `at`, when no more is known of its ledger.
    pub(super) fn told(at: Cursor) -> Self {
        Self { at, ledger_revision: at.revision }
    }

    /// How far the feed has come.
    pub(super) fn at(self) -> Cursor {
        self.at
    }

    /// Whether there is more to read.
    pub(super) fn has_more(self) -> bool {
        self.ledger_revision > self.at.revision
    }
}

/// One part of the ledger of a feed's history.
pub(super) struct Stretch {
    /// The events that the feed wants, in order.
    pub(super) lines: Vec<EventLine>,
    /// How far it goes.
    pub(super) reach: Reach,
}

impl Stretch {
    /// What was read. None if it was read in another history, whose numbers mean nothing in the feed's.
    pub(super) fn of(page: EventPage, history: History) -> Option<Self> {
        let EventPage { history: read_in, events, covered, revision } = page;
        (read_in == history).then(|| Self {
            lines: events.into_iter().map(|found| event(history, found)).collect(),
            reach: Reach { at: Cursor { history, revision: covered }, ledger_revision: revision },
        })
    }
}

pub(super) fn heartbeat(reach: Reach) -> EventLine {
    let Reach { at: Cursor { history, revision }, ledger_revision } = reach;
    EventLine::Heartbeat { heartbeat: HeartbeatBody { history, revision, ledger_revision } }
}

pub(super) fn end(reason: EndReason, at: Cursor) -> EventLine {
    let Cursor { history, revision } = at;
    EventLine::End { end: EndBody { reason, history, revision } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, revision: u64) -> Cursor {
        Cursor { history: History::new([7; 32], epoch).unwrap(), revision }
    }

    #[test]
    fn a_feed_never_reports_the_size_of_another_historys_ledger_as_its_own() {
        let told = |ledger| Reach::of(at(2, 10), ledger).map(|reach| reach.ledger_revision);
        assert_eq!(told(Some(at(2, 12))), Some(12));
        assert_eq!(told(Some(at(3, 12))), None, "the feed ends");
        assert_eq!(told(Some(at(1, 12))), Some(10), "what was read is a moment ahead of what was said");
        assert_eq!(told(None), Some(10));
        let page = |epoch| EventPage {
            history: at(epoch, 0).history,
            events: Vec::new(),
            covered: 11,
            revision: 12,
        };
        assert!(Stretch::of(page(1), at(2, 0).history).is_none());
        assert!(Stretch::of(page(3), at(2, 0).history).is_none());
        let reach = Stretch::of(page(2), at(2, 0).history).unwrap().reach;
        assert_eq!((reach.at(), reach.has_more()), (at(2, 11), true));
    }
}
