//! A long poll: what there is after a revision, or what comes within a while.

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use assent_api::EndReason;

use super::{EventsAsk, Source, lines};

/// Most reads of one answer. A filter that takes nothing gets an answer that says how far it has come.
const READS_MAX: usize = 64;

/// An answer, and how many events it has.
pub(super) struct Answered {
    pub(super) bytes: Vec<u8>,
    pub(super) events: usize,
}

/// The answer. The last line is a heartbeat, or an end where the node stops.
pub(super) async fn answer(
    source: &impl Source,
    ask: &EventsAsk,
    limit: usize,
    until: Instant,
    stop: &CancellationToken,
) -> Result<Answered, String> {
    let mut applied = source.applied();
    let mut answered = Answered { bytes: Vec::new(), events: 0 };
    let mut position = ask.after;
    for read in 1.. {
        let page = source.page(&ask.filter, position, limit.saturating_sub(answered.events)).await?;
        position = page.covered;
        answered.events = answered.events.saturating_add(page.events.len());
        for event in page.events {
            answered.bytes.extend_from_slice(&lines::event(event).to_line());
        }
        let last = lines::heartbeat(position, page.revision);
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
                answered.bytes.extend_from_slice(&lines::end(EndReason::Stopping, position).to_line());
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
