//! Follows the ledger: everything that entered it after a revision, from whichever node answers.
//!
//! A follower asks by long polls. It remembers its cursor: the history, and the revision in that history up to which
//! it has received everything. So it continues after a broken connection, after a restart or at another node, without
//! a gap or a repetition. If another history is in force, or if the ledger ends before the cursor, the follower
//! returns an error and goes no further by itself. Every answer is checked against the cursor: an answer that goes
//! back, leaves something out or breaks off counts as no answer. After each wait in vain, the next endpoint is asked,
//! so that a node that is cut off delays the follower only once a round. A call ends at its deadline, whatever its
//! endpoints do: each attempt, with its wait at the node, is limited to the time that is left.

use assent_api::{EventBody, EventLine, MAX_PAGE, Problem, Retry};
use assent_proof::{Code, Cursor, DomainName, EvidenceKind, LineageName};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use crate::answer::{NoAnswer, Unread, problem, refused};
use crate::attempts::{Rests, share_of};
use crate::client::Client;
use crate::error::{ClientError, HistoryChange};
use crate::transport::{Answer, Ask};

/// How long one long poll waits at one endpoint, unless the deadline leaves less.
const WAIT: Duration = Duration::from_secs(5);
/// The pause after every endpoint was asked in vain; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The part of the ledger to follow. An empty list matches everything. Each list has at most 32 names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsFilter {
    /// Only statements of these kinds.
    pub kinds: Vec<EvidenceKind>,
    /// Only statements in these domains.
    pub domains: Vec<DomainName>,
    /// Only statements in these lineages.
    pub lineages: Vec<LineageName>,
    /// Also equivocations, whatever their lineage is.
    pub equivocations: bool,
}

impl EventsFilter {
    fn takes_everything(&self) -> bool {
        self.kinds.is_empty() && self.domains.is_empty() && self.lineages.is_empty()
    }
}

/// A page of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPage {
    /// The events that match the filter, by revision. Empty if none came within a wait.
    pub events: Vec<EventBody>,
    /// The place up to which the ledger has been read.
    pub cursor: Cursor,
    /// The ledger's size at the node that answered.
    pub ledger_revision: u64,
}

/// A follower of the ledger. Dropping one of its calls loses nothing: the next call asks for the same again.
#[derive(Debug)]
pub struct EventFollower {
    client: Client,
    filter: EventsFilter,
    /// `None` until the first answer names the history in which the follower begins.
    cursor: Option<Cursor>,
    /// The place of the endpoint to ask. Each follower has its own, since it moves from endpoint to endpoint.
    place: usize,
}

impl Client {
    /// Follows what entered and enters the ledger after `after`, or by default from the beginning of the history in
    /// force.
    pub fn follow_events(&self, filter: EventsFilter, after: Option<Cursor>) -> EventFollower {
        EventFollower { client: self.clone(), filter, cursor: after, place: self.endpoints().preferred() }
    }
}

impl EventFollower {
    /// The place up to which this follower has returned everything. Another follower can continue after it, even in
    /// another process: a cursor is written and read as text. `None` before the first answer of a follower that starts
    /// at the beginning.
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Continues after `cursor` from now on, for example after [`ClientError::HistoryChanged`].
    pub fn go_to(&mut self, cursor: Cursor) {
        self.cursor = Some(cursor);
    }

    /// The next page. It waits up to 5 s for events, but no longer than half of the time that a call may take, and
    /// then returns an empty page.
    ///
    /// # Errors
    /// `Unavailable` if no endpoint gave an answer for as long as a call may take. `Tls` at once if the nodes refuse the
    /// caller's certificate. `Answer` if no endpoint that answered is a node. `Refused` for a filter that no node accepts. `HistoryChanged` or `BeyondLedger` if a quorum
    /// has confirmed that the follower's place is not in its ledger; unless the other history is a later epoch of the
    /// same cluster, every other endpoint is asked once before this error is returned. After an error the follower
    /// stays at its place, and can be called again.
    pub async fn next(&mut self) -> Result<EventsPage, ClientError> {
        self.page(WAIT, false).await
    }

    /// The next page, without a wait for events. Together the pages have everything that was acknowledged before the
    /// call, which takes a quorum. They are complete once the revision of a page's cursor reaches the first page's
    /// `ledger_revision`.
    ///
    /// # Errors
    /// The errors of [`EventFollower::next`].
    pub async fn next_confirmed(&mut self) -> Result<EventsPage, ClientError> {
        self.page(Duration::ZERO, true).await
    }

    async fn page(&mut self, wait: Duration, confirmed: bool) -> Result<EventsPage, ClientError> {
        let (until, attempt_timeout) = (self.client.deadline(), self.client.config().attempt_timeout);
        let endpoints = self.client.endpoints().count();
        let mut no_answer = NoAnswer::default();
        let mut rests = Rests::new(endpoints);
        let (mut failures, mut pause) = (0_usize, PAUSE_MIN);
        let mut elsewhere: Option<(ClientError, usize)> = None;
        loop {
            let (asked, wait_here) = match &elsewhere {
                // This endpoint is asked without a wait.
                Some((_, asked)) => (*asked, Duration::ZERO),
                None => (failures.checked_rem(endpoints).unwrap_or(0), wait),
            };
            let attempt = Attempt {
                left: until.saturating_duration_since(Instant::now()),
                to_ask: endpoints.saturating_sub(asked),
                is_first: failures == 0,
            };
            let (wait_here, within) = attempt.times(wait_here, attempt_timeout);
            let ask = Ask::feed(self.path(wait_here, confirmed));
            let endpoint = self.client.endpoints().at(self.place).clone();
            match self.client.attempt(&endpoint, &ask, within).await {
                Ok(answer) if answer.status == 200 => match self.read(&answer.body) {
                    Ok(page) => {
                        self.cursor = Some(page.cursor);
                        // If this endpoint still has the place and another one has not, the follower stays with this
                        // one.
                        if page.events.is_empty() && !wait.is_zero() && elsewhere.is_none() {
                            self.turn();
                        }
                        return Ok(page);
                    }
                    Err(Unjoined::Broken(what)) => {
                        rests.note(self.place, &answer);
                        no_answer.cannot(&endpoint, &what);
                    }
                    Err(Unjoined::NoFeed) => {
                        rests.for_good(self.place);
                        no_answer.foreign(&endpoint, "status 200, which is no feed".to_owned());
                    }
                },
                Ok(answer) if answer.retry() == Retry::Final => match refused(&answer) {
                    Unread::Said(error) => return Err(error),
                    Unread::Cannot(what) | Unread::Untrusted(what) => {
                        rests.note(self.place, &answer);
                        no_answer.cannot(&endpoint, &what);
                    }
                    Unread::Foreign(what) => {
                        rests.for_good(self.place);
                        no_answer.foreign(&endpoint, what);
                    }
                },
                Ok(answer) => match self.is_elsewhere(&answer) {
                    None => {
                        rests.note(self.place, &answer);
                        no_answer.answered(answer);
                    }
                    // A history that root has recovered is finally in force. A node that answers otherwise has not
                    // heard of it.
                    Some(ClientError::HistoryChanged(change)) if change.is_later() => {
                        return Err(ClientError::HistoryChanged(change));
                    }
                    Some(error) => {
                        // Another endpoint may still have the place, so each is asked once without a wait.
                        elsewhere = elsewhere.or(Some((error, 0_usize)));
                    }
                },
                Err(failure) => {
                    rests.failed(self.place, &failure);
                    no_answer.failed(&endpoint, &failure);
                }
            }
            self.turn();
            if let Some((error, asked)) = &mut elsewhere {
                *asked = asked.saturating_add(1);
                if *asked >= endpoints {
                    return Err(error.clone());
                }
                continue;
            }
            failures = failures.saturating_add(1);
            let is_refused = failures >= endpoints && rests.is_refused_by_all();
            if is_refused || rests.first_over().max(Instant::now()) >= until {
                return Err(no_answer.into());
            }
            sleep_until(rests.first_over()).await;
            if failures.checked_rem(endpoints) == Some(0) {
                sleep_until(until.min(Instant::now() + pause)).await;
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
            // One of them may be asked by now.
            for _ in 0..endpoints {
                if !rests.is_over(self.place) {
                    self.turn();
                }
            }
        }
    }

    fn turn(&mut self) {
        self.place = self.client.endpoints().after(self.place);
    }

    /// The path and query. Names, kinds and histories have only characters that need no escape.
    fn path(&self, wait: Duration, confirmed: bool) -> String {
        let mut path = match self.cursor {
            None => format!("/v1/events?limit={MAX_PAGE}"),
            Some(Cursor { history, revision }) => {
                format!("/v1/events?history={history}&after={revision}&limit={MAX_PAGE}")
            }
        };
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

    /// The error of an answer that says that the follower's place is not in the ledger, as a quorum has confirmed it.
    fn is_elsewhere(&self, answer: &Answer) -> Option<ClientError> {
        let (cursor, problem) = (self.cursor?, problem(&answer.body)?);
        match problem {
            Problem { code: Code::HistoryMismatch, history: Some(in_force), shared_revision, .. }
                if in_force != cursor.history =>
            {
                let change = HistoryChange { cursor, in_force, shared_revision };
                Some(ClientError::HistoryChanged(Box::new(change)))
            }
            Problem { code: Code::CursorBeyondLedger, ledger_revision: Some(ledger_revision), .. }
                if ledger_revision < cursor.revision =>
            {
                Some(ClientError::BeyondLedger { cursor, ledger_revision })
            }
            _ => None,
        }
    }

    /// Reads an answer, which must continue exactly at the follower's place.
    fn read(&self, body: &[u8]) -> Result<EventsPage, Unjoined> {
        let first = body.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        if !is_of_a_feed(first) {
            return Err(Unjoined::NoFeed);
        }
        self.joined(body).map_err(Unjoined::Broken)
    }

    /// Reads a feed, which must continue exactly at the follower's place. Otherwise it returns what is wrong with it.
    fn joined(&self, body: &[u8]) -> Result<EventsPage, String> {
        let mut events: Vec<EventBody> = Vec::new();
        let mut last = self.cursor.map_or(0, |cursor| cursor.revision);
        let mut history = self.cursor.map(|cursor| cursor.history);
        let mut of_one_history = |told| match *history.get_or_insert(told) {
            known if known == told => Ok(()),
            known => Err(format!("it tells of history `{told}` instead of `{known}`")),
        };
        let mut lines = body.split_inclusive(|byte| *byte == b'\n');
        while let Some(line) = lines.next() {
            let read =
                serde_json::from_slice(line).map_err(|error| format!("a line is no event: {error}"))?;
            let heartbeat = match read {
                EventLine::Event(event) => {
                    of_one_history(event.history)?;
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
            of_one_history(heartbeat.history)?;
            let gap = self.filter.takes_everything() && heartbeat.revision != last;
            if heartbeat.revision < last || gap || lines.next().is_some() {
                return Err(format!("it says to be at {} and has come to {last}", heartbeat.revision));
            }
            let cursor = Cursor { history: heartbeat.history, revision: heartbeat.revision };
            return Ok(EventsPage { events, cursor, ledger_revision: heartbeat.ledger_revision });
        }
        Err("the answer broke off".to_owned())
    }
}

/// The values from which the times of one attempt are computed.
struct Attempt {
    /// What is left of the call's time.
    left: Duration,
    /// The number of endpoints, this one included, that are still to be asked in that time.
    to_ask: usize,
    /// Whether no attempt of the call has failed.
    is_first: bool,
}

impl Attempt {
    /// How long the node is asked to wait, at most `wait`, and how long the attempt may take with that wait.
    fn times(&self, wait: Duration, attempt_timeout: Duration) -> (Duration, Duration) {
        let half = |time: Duration| time.checked_div(2).unwrap_or(time);
        if wait.is_zero() {
            return (wait, share_of(self.left, self.to_ask, attempt_timeout));
        }
        if self.is_first {
            // As long as nothing fails, no other endpoint needs a share of the wait.
            let wait = wait.min(half(self.left));
            let answer = share_of(self.left.saturating_sub(wait), self.to_ask, attempt_timeout);
            return (wait, wait.saturating_add(answer));
        }
        let share = share_of(self.left, self.to_ask, attempt_timeout.saturating_add(wait));
        let answer = half(share).min(attempt_timeout);
        (wait.min(share.saturating_sub(answer)), share)
    }
}

/// Why an answer of 200 is no page to go on with.
enum Unjoined {
    /// It is a feed, but it breaks off, ends, or does not continue what was read before. The node may do better if it
    /// is asked again.
    Broken(String),
    /// It is not a feed, so the endpoint is not a node.
    NoFeed,
}

/// Whether a line has the shape of a feed's line, even if this build cannot read it, or is the beginning of such a
/// line that was cut off.
fn is_of_a_feed(line: &[u8]) -> bool {
    match serde_json::from_slice::<Map<String, Value>>(line) {
        Ok(line) => ["revision", "heartbeat", "end"].iter().any(|name| line.contains_key(*name)),
        Err(error) => error.is_eof() && line.starts_with(b"{\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attempt_with_its_wait_takes_longer_than_what_is_left() {
        let millis = Duration::from_millis;
        for left in [0, 1, 300, 1_000, 10_000, 600_000].map(millis) {
            for to_ask in [1, 3, 64] {
                for (is_first, wait) in [(true, WAIT), (false, WAIT), (true, Duration::ZERO)] {
                    let attempt = Attempt { left, to_ask, is_first };
                    let (waits, within) = attempt.times(wait, millis(3_000));
                    assert!(waits <= wait && within <= left, "{left:?}, {to_ask}: {waits:?}, {within:?}");
                    // The node has as long to answer as it waits, or the time of any attempt.
                    let answer = within.saturating_sub(waits).saturating_add(millis(1));
                    assert!(is_first || answer >= waits.min(millis(3_000)), "{left:?}, {to_ask}: {answer:?}");
                }
            }
        }
        let usual = Attempt { left: millis(10_000), to_ask: 1, is_first: true };
        assert_eq!(usual.times(WAIT, millis(3_000)), (WAIT, millis(8_000)));
    }
}
