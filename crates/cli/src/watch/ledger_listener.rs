//! Listens to the ledger for the newest event that could change a decision.
//!
//! If the registry continues in another history, or if its ledger is shorter than what was heard of it, no earlier
//! decision is known to hold. The listener reports this too, so that the question is asked again at once, and
//! continues in the history in force.

use assent_client::{Client, ClientError, EventFollower, EventsFilter};
use assent_proof::{AuthorizeRequest, Cursor, DomainName, LineageName};
use tokio::sync::watch;

use crate::output::Output;

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The newest place of which something was heard.
    pub(crate) newest: Cursor,
    /// How often what had been heard before turned out to be no part of the ledger.
    pub(crate) breaks: u64,
}

impl Heard {
    /// Nothing beyond the place of a decision.
    pub(crate) fn nothing_since(newest: Cursor) -> Self {
        Self { newest, breaks: 0 }
    }

    /// Whether it may change what was decided at `decided`, `asked_about` being what had been heard when that was asked for.
    pub(crate) fn is_news(&self, decided: Cursor, asked_about: &Heard) -> bool {
        if self.breaks != asked_about.breaks {
            return true;
        }
        // Where the decision is of another history than what is heard, their revisions cannot be compared.
        match self.newest.history == decided.history {
            true => self.newest.revision > decided.revision,
            false => self != asked_about,
        }
    }
}

/// A listener that runs in the background until it is dropped.
pub(crate) struct LedgerListener {
    heard: watch::Receiver<Heard>,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for LedgerListener {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl LedgerListener {
    /// Listens for what comes after `from` and concerns the request.
    pub(crate) fn start(client: &Client, request: &AuthorizeRequest, from: Cursor, output: Output) -> Self {
        let mut follower = client.follow_events(relevant(request), Some(from));
        let (hear, heard) = watch::channel(Heard::nothing_since(from));
        let listener = tokio::spawn(async move {
            let mut deaf = false;
            loop {
                match follower.next().await {
                    Ok(page) => {
                        if let Some(event) = page.events.last() {
                            let newest = Cursor { history: event.history, revision: event.revision };
                            hear.send_modify(|heard| heard.newest = newest);
                        }
                        deaf = false;
                    }
                    Err(error) => {
                        if let Some(from) = on_from(&error) {
                            go_on(&mut follower, from, &hear);
                            output.say(&format!("{error}: asking at once, and listening on after `{from}`"));
                        } else if !deaf {
                            output.say(&format!("no events are heard, asking by the clock alone: {error}"));
                        }
                        deaf = on_from(&error).is_none();
                        // The follower has tried for as long as a call may take, or is refused at once.
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Self { heard, listener }
    }

    /// What was heard.
    pub(crate) fn heard(&self) -> Heard {
        *self.heard.borrow()
    }

    /// Waits until something else is heard.
    pub(crate) async fn changed(&mut self) {
        if self.heard.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// From where there is something to hear, if what was heard before is no part of the ledger.
fn on_from(error: &ClientError) -> Option<Cursor> {
    match error {
        // What these nodes have not come to cannot be listened to here.
        ClientError::HistoryChanged(change) => change.shared_revision.map(|_| change.resume_at()),
        ClientError::BeyondLedger { cursor, ledger_revision } => {
            Some(Cursor { history: cursor.history, revision: *ledger_revision })
        }
        ClientError::Config { .. }
        | ClientError::Unavailable { .. }
        | ClientError::Tls(_)
        | ClientError::Refused(_)
        | ClientError::RefusalNotUnderstood(_)
        | ClientError::DenyNotUnderstood(_)
        | ClientError::OutcomeUnknown { .. }
        | ClientError::Answer { .. }
        | ClientError::Untrusted { .. } => None,
    }
}

fn go_on(follower: &mut EventFollower, from: Cursor, hear: &watch::Sender<Heard>) {
    follower.go_to(from);
    hear.send_modify(|heard| *heard = Heard { newest: from, breaks: heard.breaks.saturating_add(1) });
}

/// What could change the decision: governance, restrictions, its own lineages; and an equivocation anywhere in its domain,
/// since evidence may rest on one half of it.
fn relevant(request: &AuthorizeRequest) -> EventsFilter {
    let mut lineages = vec![LineageName::governance()];
    lineages.extend(request.lineage.clone());
    lineages.extend(request.runtime.clone());
    EventsFilter {
        kinds: Vec::new(),
        domains: vec![request.domain.clone(), DomainName::root()],
        lineages,
        equivocations: true,
    }
}

#[cfg(test)]
mod tests {
    use assent_client::HistoryChange;
    use assent_proof::History;

    use super::*;

    fn at(epoch: u64, revision: u64) -> Cursor {
        Cursor { history: History::new([7; 32], epoch).unwrap(), revision }
    }

    #[test]
    fn an_event_after_a_decision_is_news_until_a_later_decision_covers_it() {
        let before = Heard::nothing_since(at(1, 9));
        assert!(!before.is_news(at(1, 9), &before));
        let later = Heard { newest: at(1, 10), ..before };
        assert!(later.is_news(at(1, 9), &before));
        assert!(later.is_news(at(1, 9), &later), "a decision from before it does not answer it");
        assert!(!later.is_news(at(1, 10), &later));
    }

    #[test]
    fn a_history_that_changed_is_news_whatever_its_revisions_until_it_was_asked_about() {
        let before = Heard::nothing_since(at(1, 9));
        for newest in [at(2, 7), at(1, 7)] {
            let changed = Heard { newest, breaks: 1 };
            assert!(changed.is_news(at(1, 9), &before));
            assert!(!changed.is_news(Cursor { revision: 12, ..newest }, &changed));
        }
        // A decision that came first in the new history is not asked for again and again until the listener is there too.
        assert!(!before.is_news(at(2, 12), &before));
    }

    #[test]
    fn the_listener_goes_on_in_the_history_in_force_or_at_the_ledgers_end() {
        let changed = |shared_revision| {
            let in_force = at(2, 0).history;
            ClientError::HistoryChanged(Box::new(HistoryChange {
                cursor: at(1, 9),
                in_force,
                shared_revision,
            }))
        };
        assert_eq!(on_from(&changed(Some(7))), Some(at(2, 7)));
        assert_eq!(on_from(&changed(Some(9))), Some(at(2, 9)));
        assert_eq!(on_from(&changed(None)), None);
        let beyond = ClientError::BeyondLedger { cursor: at(1, 9), ledger_revision: 4 };
        assert_eq!(on_from(&beyond), Some(at(1, 4)));
        let config = ClientError::Config { detail: String::new(), remedy: String::new() };
        assert_eq!(on_from(&config), None);
    }
}
