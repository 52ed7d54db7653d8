//! A long poll: what there is after a revision, or what comes within a while.

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use assent_api::EndReason;
use assent_proof::Cursor;

use super::{Feed, Source, lines};

/// Most reads of one answer. A filter that takes nothing gets an answer that says how far it has come.
const READS_MAX: usize = 64;

/// An answer, and how many events it has.
pub(super) struct Answered {
    pub(super) bytes: Vec<u8>,
    pub(super) events: usize,
}

/// The answer. The last line is a heartbeat, or an end where the node stops. If the node comes to a later history meanwhile, the
/// answer is what was read before: the next question is told.
pub(super) async fn answer(
    source: &impl Source,
    feed: &Feed,
    limit: usize,
    until: Instant,
    stop: &CancellationToken,
) -> Result<Answered, String> {
    let mut applied = source.applied();
    let mut answered = Answered { bytes: Vec::new(), events: 0 };
    let Cursor { history, revision: mut position } = feed.after;
    let at = |revision| Cursor { history, revision };
    for read in 1.. {
        let page = source.page(&feed.filter, position, limit.saturating_sub(answered.events)).await?;
        if page.history != history {
            answered.bytes.extend_from_slice(&lines::heartbeat(at(position), page.revision).to_line());
            return Ok(answered);
        }
        position = page.covered;
        answered.events = answered.events.saturating_add(page.events.len());
        for event in page.events {
            answered.bytes.extend_from_slice(&lines::event(history, event).to_line());
        }
        let last = lines::heartbeat(at(position), page.revision);
        let full = answered.events >= limit || read >= READS_MAX;
        if full || (position >= page.revision && (answered.events > 0 || Instant::now() >= until)) {
            answered.bytes.extend_from_slice(&last.to_line());
            return Ok(answered);
        }
        if position < page.revision {
            continue;
        }
        let more = tokio::select! {
            more = timeout_at(until, applied.wait_for(|at| at.revision > position)) => more,
            () = stop.cancelled() => {
                answered.bytes.extend_from_slice(&lines::end(EndReason::Stopping, at(position)).to_line());
                return Ok(answered);
            }
        };
        match more {
            Ok(Ok(_)) => {}
            // The time is over, or nothing will ever be applied any more.
            Ok(Err(_)) | Err(_) => {
                answered.bytes.extend_from_slice(&last.to_line());
                return Ok(answered);
            }
        }
    }
    Err("an answer without an end".to_owned())
}
