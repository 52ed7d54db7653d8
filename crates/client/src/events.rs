//! Following the ledger: everything that entered it after a revision, from whichever node answers.
//!
//! A follower asks by long polls and remembers the revision up to which it has been told everything, so it goes on behind a
//! broken connection, a restart or on another node without gap or repeat. What a node answers is held against that: an
//! answer that goes back, leaves something out or breaks off counts as none. After each wait in vain the next endpoint is
//! asked, so that a node that is cut off, and hears of nothing, keeps the follower waiting only once a round.

use assent_api::{EventBody, EventLine, MAX_PAGE};
use assent_proof::{DomainName, EvidenceKind, LineageName};
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::client::{Client, NoAnswer, cannot, refused};
use crate::error::ClientError;
use crate::transport::{Ask, Failure};

/// How long one long poll waits at one endpoint.
const WAIT: Duration = Duration::from_secs(5);
/// The pause after every endpoint was asked in vain; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What of the ledger to follow. An empty list takes everything; each takes at most 32 names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsFilter {
    /// Of these kinds.
    pub kinds: Vec<EvidenceKind>,
    /// In these domains.
    pub domains: Vec<DomainName>,
    /// In these lineages.
    pub lineages: Vec<LineageName>,
    /// Equivocations too, whatever their lineage.
    pub equivocations: bool,
}

impl EventsFilter {
    fn takes_everything(&self) -> bool {
        self.kinds.is_empty() && self.domains.is_empty() && self.lineages.is_empty()
    }
}

/// One stretch of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPage {
    /// What the filter takes, by revision. Empty when nothing came within a wait.
    pub events: Vec<EventBody>,
    /// Everything up to this revision has been looked at.
    pub revision: u64,
    /// The ledger's size at the node that answered; less than `revision` where that node is behind.
    pub ledger_revision: u64,
}

/// Follows the ledger. Dropping a call of it loses nothing: the next one asks for the same again.
#[derive(Debug)]
pub struct EventFollower {
    client: Client,
    filter: EventsFilter,
    revision: u64,
    /// The endpoint to ask, by its place; the follower's own choice, since it wanders.
    place: usize,
}

impl Client {
    /// Follows what enters the ledger after revision `after`; 0 is its beginning.
    pub fn follow_events(&self, filter: EventsFilter, after: u64) -> EventFollower {
        let (place, _) = self.choose();
        EventFollower { client: self.clone(), filter, revision: after, place }
    }
}

impl EventFollower {
    /// Everything up to this revision has been given out. Another follower can go on after it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What comes next; waits up to 5 s for it, and then answers an empty page.
    ///
    /// # Errors
    /// `Unavailable` when no endpoint gave an answer for as long as a call may take; `Refused` for a filter that no node
    /// takes. The follower stays where it is and can be asked again.
    pub async fn next(&mut self) -> Result<EventsPage, ClientError> {
        self.page(WAIT, false).await
    }

    /// What there is by now, without waiting: with everything that was acknowledged before the call, which takes a
    /// quorum. It is all there once a page's `revision` reaches the first page's `ledger_revision`.
    ///
    /// # Errors
    /// As for [`EventFollower::next`].
    pub async fn next_confirmed(&mut self) -> Result<EventsPage, ClientError> {
        self.page(Duration::ZERO, true).await
    }

    async fn page(&mut self, wait: Duration, confirmed: bool) -> Result<EventsPage, ClientError> {
        let ask = Ask::get(self.path(wait, confirmed));
        let within = self.client.config().attempt_timeout.saturating_add(wait);
        let mut no_answer = NoAnswer::default();
        let (mut failures, mut pause, mut until) = (0_usize, PAUSE_MIN, None);
        loop {
            let endpoint = self.client.endpoint_at(self.place).clone();
            match self.client.attempt_for(&endpoint, &ask, within).await {
                Ok(answer) if answer.status == 200 => match self.read(&answer.body) {
                    Ok(page) => {
                        self.revision = page.revision;
                        if page.events.is_empty() && !wait.is_zero() {
                            self.turn();
                        }
                        return Ok(page);
                    }
                    Err(problem) => no_answer.failed(&endpoint, &Failure::MaybeSent(problem)),
                },
                Ok(answer) if !cannot(answer.status) => return Err(refused(&answer)),
                Ok(answer) => no_answer.answered(answer),
                Err(failure) => no_answer.failed(&endpoint, &failure),
            }
            self.turn();
            failures = failures.saturating_add(1);
            // A wait in vain is no failure: the time that a call may take counts from the first one.
            let until = *until.get_or_insert_with(|| self.client.deadline());
            if Instant::now() >= until {
                return Err(no_answer.into());
            }
            if failures.checked_rem(self.client.endpoint_count()) == Some(0) {
                sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
        }
    }

    fn turn(&mut self) {
        self.place = self.place.saturating_add(1).checked_rem(self.client.endpoint_count()).unwrap_or(0);
    }

    /// Path and query; names and kinds are of characters that need no escape.
    fn path(&self, wait: Duration, confirmed: bool) -> String {
        let mut path = format!("/v1/events?after={}&limit={MAX_PAGE}", self.revision);
        let EventsFilter { kinds, domains, lineages, equivocations } = &self.filter;
        path.extend(kinds.iter().map(|kind| format!("&kind={kind}")));
        path.extend(domains.iter().map(|domain| format!("&domain={domain}")));
        path.extend(lineages.iter().map(|lineage| format!("&lineage={lineage}")));
        if *equivocations {
            path.push_str("&equivocations=true");
        }
        if !wait.is_zero() {
            path.push_str(&format!("&waitMs={}", wait.as_millis()));
        }
        if confirmed {
            path.push_str("&confirmed=true");
        }
        path
    }

    /// Reads an answer, which must go on exactly where the follower is.
    fn read(&self, body: &[u8]) -> Result<EventsPage, String> {
        let mut events: Vec<EventBody> = Vec::new();
        let mut last = self.revision;
        let mut lines = body.split_inclusive(|byte| *byte == b'\n');
        while let Some(line) = lines.next() {
            let read =
                serde_json::from_slice(line).map_err(|error| format!("a line is no event: {error}"))?;
            let heartbeat = match read {
                EventLine::Event(event) => {
                    let (found, next) = (event.revision, last.saturating_add(1));
                    let gap = self.filter.takes_everything() && found != next;
                    if found < next || gap || event.ledger_index.checked_add(1) != Some(found) {
                        return Err(format!("revision {found} does not follow {last}"));
                    }
                    last = found;
                    events.push(*event);
                    continue;
                }
                EventLine::End { end } => return Err(format!("the feed ended: {}", end.reason.as_str())),
                EventLine::Heartbeat { heartbeat } => heartbeat,
            };
            let gap = self.filter.takes_everything() && heartbeat.revision != last;
            if heartbeat.revision < last || gap || lines.next().is_some() {
                return Err(format!("it says to be at {} and has come to {last}", heartbeat.revision));
            }
            let (revision, ledger_revision) = (heartbeat.revision, heartbeat.ledger_revision);
            return Ok(EventsPage { events, revision, ledger_revision });
        }
        Err("the answer broke off".to_owned())
    }
}
