//! Feeds of events: what a feed follows, where its events come from, and how many feeds there may be.

use tokio::sync::{Semaphore, watch};

use assent_proof::Cursor;
use assent_registry::query::{EventFilter, EventPage};

use crate::raft::machine::AppliedAt;
use crate::shares::Pool;
use crate::usecase::problem::ReadError;

/// The largest number of leaves that one read looks at.
pub(super) const PAGE_LEAVES: usize = 256;
/// The number of reads for feeds at once. It is small, so that many feeds that wake together leave room for authorize
/// requests.
const READS_AT_ONCE: usize = 4;

/// A feed whose cursor lies in this ledger.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    /// Which events it wants.
    pub(super) filter: EventFilter,
    /// The caller's cursor.
    pub(super) after: Cursor,
}

/// The room for the feeds of a node.
pub(crate) struct Feeds {
    /// One place for each feed.
    pub(super) room: Pool,
    /// One permit for each read.
    pub(super) reads: Semaphore,
}

impl Feeds {
    /// The room with all places free.
    pub(crate) fn new(room: Pool) -> Self {
        Self { room, reads: Semaphore::new(READS_AT_ONCE) }
    }
}

/// The source of a feed's events. A node has one, and tests have their own.
pub(super) trait Source: Send + Sync + 'static {
    /// The page after a revision, with at most this many events.
    fn page(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<EventPage, ReadError>> + Send;

    /// How far the events go, as this node applies entries.
    fn applied(&self) -> watch::Receiver<AppliedAt>;
}
