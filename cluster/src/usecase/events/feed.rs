//! Feeds: what is followed from where, where its events come from, and the room that there is for feeds.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use assent_proof::Cursor;
use assent_registry::query::{EventFilter, EventPage};

use crate::config::LimitConfig;
use crate::raft::machine::AppliedAt;
use crate::usecase::problem::ReadError;

/// Most leaves looked at in one read.
pub(super) const PAGE_LEAVES: usize = 256;
/// Reads for feeds at once, so that many followers who wake together leave room for authorizes.
const READS_AT_ONCE: usize = 4;

/// A feed whose beginning lies in this ledger.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    /// What of it.
    pub(super) filter: EventFilter,
    /// What the caller has.
    pub(super) after: Cursor,
}

/// Room for the feeds of a node.
pub(crate) struct Feeds {
    /// One permit a feed.
    pub(super) room: Arc<Semaphore>,
    /// One permit a read.
    pub(super) reads: Semaphore,
}

impl Feeds {
    /// All of it free.
    pub(crate) fn new(limits: &LimitConfig) -> Self {
        Self { room: Arc::new(Semaphore::new(limits.event_streams)), reads: Semaphore::new(READS_AT_ONCE) }
    }
}

/// Where a feed's events come from. One node has one; tests have their own.
pub(super) trait Source: Send + Sync + 'static {
    /// The page after a revision, at most so many events.
    fn page(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<EventPage, ReadError>> + Send;

    /// How far there is something to read.
    fn applied(&self) -> watch::Receiver<AppliedAt>;
}
