//! A long poll: the events after a revision, or those that come within a given time.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use assent_api::{Call, EndReason, Problem};

use super::feed::{Feed, Source};
use super::follower::Watch;
use super::lines::{self, Reach, Stretch};
use crate::usecase::Shed;
use crate::usecase::problem::{ReadError, not_permitted};

/// The largest number of reads for one answer. If the filter matches nothing in them, the answer tells how far it has
/// come.
const READS_MAX: usize = 64;

/// An answer, and the number of its events.
pub(super) struct Answered {
    pub(super) bytes: Vec<u8>,
    pub(super) events: usize,
}

/// When a poll that has found nothing ends.
pub(super) struct Ends<'a> {
    /// The deadline that the caller asked for.
    pub(super) until: Instant,
    /// Cancelled when the node stops.
    pub(super) stop: &'a CancellationToken,
    /// Cancelled when the caller has ended its side of the connection. It may still take the answer, or it may have
    /// left; the node cannot tell which.
    pub(super) half_closed: &'a CancellationToken,
    /// How long the poll continues after that.
    pub(super) grace: Duration,
    /// When the caller is judged again.
    pub(super) watch: Watch,
}

/// The answer. Its last line is a heartbeat, or an end if the node stops. If the node comes to a later history in the
/// meantime, the answer is what was read before, and the caller's next call is told.
pub(super) async fn answer(
    source: &impl Source,
    feed: &Feed,
    limit: usize,
    ends: Ends<'_>,
) -> Result<Answered, Box<Problem>> {
    let mut applied = source.applied();
    let mut answered = Answered { bytes: Vec::new(), events: 0 };
    let mut position = feed.after;
    let Ends { mut until, stop, half_closed, grace, mut watch } = ends;
    let mut hurried = false;
    'reads: for read in 1.. {
        watch.look().map_err(|denial| not_permitted(&denial, Call::Feed))?;
        let wanted = limit.saturating_sub(answered.events);
        let page = source.page(&feed.filter, position.revision, wanted).await?;
        let Some(Stretch { lines: found, reach }) = Stretch::of(page, position.history) else {
            // How far the new history's ledger goes means nothing for this one's.
            answered.bytes.extend_from_slice(&lines::heartbeat(Reach::told(position)).to_line());
            return Ok(answered);
        };
        position = reach.at();
        answered.events = answered.events.saturating_add(found.len());
        for line in found {
            answered.bytes.extend_from_slice(&line.to_line());
        }
        let last = lines::heartbeat(reach);
        let full = answered.events >= limit || read >= READS_MAX;
        if full || (!reach.has_more() && (answered.events > 0 || Instant::now() >= until)) {
            answered.bytes.extend_from_slice(&last.to_line());
            return Ok(answered);
        }
        if reach.has_more() {
            continue;
        }
        // Reads are counted and looks at the caller are not: they read nothing.
        let more = loop {
            tokio::select! {
                more = timeout_at(until, applied.wait_for(|at| at.ledger() > Some(position))) => {
                    break matches!(more, Ok(Ok(_)));
                }
                () = half_closed.cancelled(), if !hurried => {
                    hurried = true;
                    until = until.min(Instant::now() + grace);
                    continue 'reads;
                }
                () = stop.cancelled() => {
                    answered.bytes.extend_from_slice(&lines::end(EndReason::Stopping, position).to_line());
                    return Ok(answered);
                }
                () = watch.due() => {}
            }
            watch.look().map_err(|denial| not_permitted(&denial, Call::Feed))?;
        };
        // The time is over, or nothing will be applied any more.
        if !more {
            answered.bytes.extend_from_slice(&last.to_line());
            return Ok(answered);
        }
    }
    Err(ReadError::Shed(Shed::Lost).into())
}
