//! A stream of events: pages of the ledger go into a channel of a few chunks, with heartbeats. There is always room
//! for the end.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use assent_api::{EndReason, Problem};
use assent_proof::Cursor;
use assent_registry::query::EventPage;

use super::feed::{Feed, PAGE_LEAVES, Source};
use super::follower::Watch;
use super::lines::{self, Reach, Stretch};
use crate::raft::machine::AppliedAt;

/// The number of chunks that may wait for the consumer. One more place is kept for the end.
const CHUNKS: usize = 4;
/// The size at which a chunk is closed, in bytes.
const CHUNK_BYTES: usize = 32 * 1024;

/// Why a stream ended.
enum Over {
    /// The consumer is told this reason.
    End(EndReason),
    /// The consumer left.
    Gone,
}

/// One stream.
pub(super) struct Pump<S> {
    source: S,
    applied: watch::Receiver<AppliedAt>,
    feed: Feed,
    watch: Watch,
    /// Everything up to this revision of the feed's history was passed on.
    position: u64,
    heartbeat: Duration,
    slow: Duration,
    next_beat: Instant,
    stop: CancellationToken,
    chunks: mpsc::Sender<Bytes>,
    last: Option<mpsc::OwnedPermit<Bytes>>,
}

impl<S: Source> Pump<S> {
    /// A stream, and the receiver of its chunks. If the consumer takes nothing for `slow`, the stream ends.
    pub(super) fn new(
        source: S,
        feed: Feed,
        watch: Watch,
        heartbeat: Duration,
        slow: Duration,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Bytes>) {
        let (chunks, out) = mpsc::channel(CHUNKS + 1);
        let pump = Self {
            applied: source.applied(),
            source,
            position: feed.after.revision,
            feed,
            watch,
            heartbeat,
            slow,
            // The first heartbeat is sent at once. It tells the consumer that the stream is open, and where it
            // continues.
            next_beat: Instant::now(),
            stop,
            last: chunks.clone().try_reserve_owned().ok(),
            chunks,
        };
        (pump, out)
    }

    /// Runs until the end. `sent` is called with the number of events that were passed on.
    pub(super) async fn run(mut self, sent: impl Fn(usize) + Send) {
        let over = loop {
            if let Err(over) = self.step(&sent).await {
                break over;
            }
        };
        if let (Over::End(reason), Some(last)) = (over, self.last.take()) {
            last.send(lines::end(reason, self.at()).to_sse().into());
        }
    }

    /// How far it has come.
    fn at(&self) -> Cursor {
        Cursor { revision: self.position, ..self.feed.after }
    }

    /// Ends the stream if its caller may not follow it any more.
    fn look(&mut self) -> Result<(), Over> {
        self.watch.look().map_err(|denial| {
            tracing::debug!(
                why = denial.detail,
                "a stream of events ends, because its caller is not permitted any more"
            );
            Over::End(EndReason::CallerNotPermitted)
        })
    }

    async fn step(&mut self, sent: &(impl Fn(usize) + Send)) -> Result<(), Over> {
        self.look()?;
        // Checked before anything is sent: the ledger of a later history means nothing for the feed's.
        let ledger = self.applied.borrow().ledger();
        let reach = Reach::of(self.at(), ledger).ok_or(Over::End(EndReason::HistoryChanged))?;
        if Instant::now() >= self.next_beat {
            self.hand_over(lines::heartbeat(reach).to_sse()).await?;
        }
        if reach.has_more() {
            let read = self.source.page(&self.feed.filter, self.position, PAGE_LEAVES).await;
            let page = read.map_err(|error| {
                let problem = Box::<Problem>::from(error);
                tracing::warn!(problem = problem.detail, "a stream of events ends");
                Over::End(EndReason::Failed)
            })?;
            return self.hand_over_page(page, sent).await;
        }
        let here = self.at();
        tokio::select! {
            more = self.applied.wait_for(|at| at.ledger() > Some(here)) => match more {
                Ok(_) => Ok(()),
                Err(_) => Err(Over::End(EndReason::Stopping)),
            },
            () = sleep_until(self.next_beat) => Ok(()),
            () = self.watch.due() => Ok(()),
            () = self.stop.cancelled() => Err(Over::End(EndReason::Stopping)),
            () = self.chunks.closed() => Err(Over::Gone),
        }
    }

    async fn hand_over_page(&mut self, page: EventPage, sent: &(impl Fn(usize) + Send)) -> Result<(), Over> {
        // What was passed on is part of the later history. The consumer must learn of that history, and does so when
        // it comes back.
        let Some(Stretch { lines: found, reach }) = Stretch::of(page, self.feed.after.history) else {
            return Err(Over::End(EndReason::HistoryChanged));
        };
        let mut chunk = Vec::new();
        let mut events = 0_usize;
        let count = found.len();
        for (place, line) in found.into_iter().enumerate() {
            chunk.extend_from_slice(&line.to_sse());
            events = events.saturating_add(1);
            if chunk.len() >= CHUNK_BYTES || place.saturating_add(1) == count {
                self.hand_over(std::mem::take(&mut chunk)).await?;
                self.position = line.cursor().revision;
                sent(std::mem::take(&mut events));
            }
        }
        self.position = self.position.max(reach.at().revision);
        Ok(())
    }

    /// Passes one chunk on, or returns why the stream ended.
    async fn hand_over(&mut self, chunk: Vec<u8>) -> Result<(), Over> {
        let slow = Instant::now() + self.slow;
        let room = loop {
            self.look()?;
            tokio::select! {
                room = self.chunks.reserve() => break room.map_err(|_| Over::Gone)?,
                () = self.stop.cancelled() => return Err(Over::End(EndReason::Stopping)),
                () = sleep_until(slow) => return Err(Over::End(EndReason::TooSlow)),
                () = self.watch.due() => {}
            }
        };
        room.send(chunk.into());
        self.next_beat = Instant::now() + self.heartbeat;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
