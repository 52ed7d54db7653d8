//! events: everything that entered the ledger, read from what this node has applied.
//!
//! What is applied is committed, so an answer needs no barrier, and a learner serves events too. Only a caller that
//! wants everything that was acknowledged before its call asks for a barrier. The caller's cursor must lie in this
//! ledger. If it seems not to, a quorum must confirm that, and the caller is told. A feed belongs to one history, and
//! ends if the node comes to a later one. The ledger itself is the buffer: a feed holds one page and a few chunks,
//! however slowly its client reads.

mod feed;
mod follower;
mod lines;
mod poll;
mod pump;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use assent_api::{Call, Problem};
use assent_proof::{Code, Cursor};
use assent_registry::RowError;
use assent_registry::query::{self, EventFilter, EventPage};

use super::permitted::permitted_events;
use super::problem::{CursorError, ReadError, problem};
use super::{Caller, Service, Shed, within};
use crate::env::blocking;
use crate::metrics::Metrics;
use crate::raft::machine::AppliedAt;
use crate::shares::Share;
use feed::{Feed, PAGE_LEAVES, Source};
use follower::Watch;
use poll::Ends;
use pump::Pump;

pub(super) use feed::Feeds;
pub use follower::Follower;

/// What a caller follows, and from where.
#[derive(Debug, Clone)]
pub struct EventsAsk {
    /// Which events it wants.
    pub filter: EventFilter,
    /// The caller's cursor. Without one, the feed starts at the beginning of the history in force.
    pub after: Option<Cursor>,
}

/// The options of a long poll.
#[derive(Debug, Clone, Copy)]
pub struct PollAsk {
    /// The largest number of events in the answer.
    pub limit: usize,
    /// How long to wait while there are no events.
    pub wait: Duration,
    /// Whether the answer must hold everything that was acknowledged before the call.
    pub confirmed: bool,
}

/// A place among the feeds, which is held until this is dropped.
pub(super) struct FeedPlace {
    metrics: Arc<Metrics>,
    _room: Share,
}

impl Drop for FeedPlace {
    fn drop(&mut self) {
        self.metrics.feed_ended();
    }
}

impl Source for Service {
    async fn page(&self, filter: &EventFilter, after: u64, limit: usize) -> Result<EventPage, ReadError> {
        let parts = self.parts();
        self.goes_on()?;
        // The semaphore is never closed. If it were, only this bound would be lost.
        let _turn = self.inner.feeds.reads.acquire().await;
        let (registry, filter) = (parts.storage.registry.clone(), filter.clone());
        let read = blocking(&*parts.env.blocking, move || -> Result<EventPage, RowError> {
            let view = registry.view()?;
            query::events(&view, &filter, after, PAGE_LEAVES, limit)
        });
        match read.await {
            Ok(read) => read.map_err(|error| ReadError::Unreadable(parts.unread(&error))),
            Err(lost) => Err(ReadError::Shed(Shed::from(lost))),
        }
    }

    fn applied(&self) -> watch::Receiver<AppliedAt> {
        self.parts().storage.applied.clone()
    }
}

impl Service {
    /// One answer of JSON lines: events, and how far the feed has come. Waits while there are none, until `stop`.
    /// Once the caller has `half_closed` its connection, it waits for at most `deadlines.events_heartbeat_ms` more,
    /// because the caller may have left, and feeds have few places. Ends early if what the caller showed is void.
    ///
    /// # Errors
    /// `caller_not_permitted` if the caller may not act in a domain that it asks for; `overloaded` if no place for a feed is free; `no_quorum` if the call asks for a barrier and none is passed, or
    /// if the node cannot go on; `history_mismatch` and `cursor_beyond_ledger` if the cursor is not in this ledger;
    /// `evidence_mutated` if the registry cannot be read.
    pub async fn poll_events(
        &self,
        follower: Follower,
        ask: EventsAsk,
        poll: PollAsk,
        stop: &CancellationToken,
        half_closed: &CancellationToken,
    ) -> Result<Bytes, Box<Problem>> {
        let ask = EventsAsk { filter: permitted_events(follower.caller(), ask.filter)?, ..ask };
        let _place = self.place(follower.caller())?;
        let grace = Duration::from_millis(self.config().deadlines.events_heartbeat_ms);
        let watch = Watch::new(follower, grace);
        if poll.confirmed {
            self.confirmed().await?;
        }
        let feed = self.feed(ask).await?;
        let until = within(u64::try_from(poll.wait.as_millis()).unwrap_or(u64::MAX));
        let ends = Ends { until, stop, half_closed, grace, watch };
        let answer = poll::answer(self, &feed, poll.limit, ends).await?;
        self.metrics().events_sent(answer.events);
        Ok(answer.bytes.into())
    }

    /// Server-sent events, chunk by chunk, until the receiver is dropped or falls behind, until what the caller showed is
    /// void, or until `stop`.
    ///
    /// # Errors
    /// `caller_not_permitted` if the caller may not act in a domain that it asks for; `overloaded` if no place for a feed is free; `no_quorum` if the node cannot go on; `history_mismatch` and
    /// `cursor_beyond_ledger` if the cursor is not in this ledger; `evidence_mutated` if the registry cannot be read.
    pub async fn stream_events(
        &self,
        follower: Follower,
        ask: EventsAsk,
        stop: CancellationToken,
    ) -> Result<mpsc::Receiver<Bytes>, Box<Problem>> {
        let ask = EventsAsk { filter: permitted_events(follower.caller(), ask.filter)?, ..ask };
        let place = self.place(follower.caller())?;
        let deadlines = &self.config().deadlines;
        let heartbeat = Duration::from_millis(deadlines.events_heartbeat_ms);
        let watch = Watch::new(follower, heartbeat);
        self.live()?;
        let feed = self.feed(ask).await?;
        // Half of the time after which the connection is broken, so that the client can still read the end.
        let slow = deadlines.events_slow_ms.min(deadlines.http_write_ms / 2);
        let (pump, chunks) =
            Pump::new(self.clone(), feed, watch, heartbeat, Duration::from_millis(slow), stop);
        let metrics = self.metrics().clone();
        self.parts().tasks.passing("stream of events", async move {
            pump.run(|events| metrics.events_sent(events)).await;
            drop(place);
        });
        Ok(chunks)
    }

    /// The feed, if the caller's cursor lies in this ledger.
    async fn feed(&self, ask: EventsAsk) -> Result<Feed, CursorError> {
        Ok(Feed { filter: ask.filter, after: self.located(ask.after).await? })
    }

    fn place(&self, caller: &Caller) -> Result<FeedPlace, Box<Problem>> {
        let room = self.inner.feeds.room.take(&caller.account(), 1).map_err(|why| {
            let most = self.config().limits.event_streams;
            let detail = why.told(|| {
                format!("there is room for {most} feeds of events (`limits.event_streams`), and no more fit")
            });
            problem(Code::Overloaded, Call::Read, detail)
        })?;
        self.metrics().feed_began();
        Ok(FeedPlace { metrics: self.metrics().clone(), _room: room })
    }
}
