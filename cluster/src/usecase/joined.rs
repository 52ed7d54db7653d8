//! Callers that have joined a round: authorize requests and reads, which wait for a read barrier together.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use assent_proof::AuthorizeRequest;

use super::answered::Answered;
use super::barrier::BarrierError;
use super::lane::SHORT;
use super::shed::Shed;
use crate::shares::Share;

/// The question that the rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// May this execute?
    Read,
    /// May this execute by the permit that was recorded for it?
    Permitted,
}

/// Requests of one call, waiting for a barrier.
pub(crate) struct Ask {
    pub(super) requests: Arc<Vec<AuthorizeRequest>>,
    pub(super) question: Question,
    pub(super) until: Instant,
    pub(super) reply: Reply,
    /// The places of the call, which are given back with the answer.
    pub(super) room: Share,
}

/// Where a call's answer goes: one decision for each request, in order, or why none was evaluated.
pub(super) type Reply = oneshot::Sender<Result<Vec<Answered>, Shed>>;

impl Ask {
    /// Whether it is decided apart from its round, in the lane of long calls.
    pub(super) fn is_long(&self) -> bool {
        self.requests.len() > SHORT
    }
}

/// A caller that waits for a read barrier.
pub(crate) enum Joined {
    /// Authorize requests, decided by the round itself.
    Ask(Ask),
    /// A read. It only waits for the barrier.
    Read {
        /// When it gives up.
        until: Instant,
        /// Whether the barrier was passed.
        reply: oneshot::Sender<Result<(), BarrierError>>,
    },
}

impl Joined {
    /// When the caller gives up.
    pub(super) fn until(&self) -> Instant {
        match self {
            Joined::Ask(ask) => ask.until,
            Joined::Read { until, .. } => *until,
        }
    }

    /// How many requests a round decides for this caller. A long call is decided apart, and counts as one.
    pub(super) fn requests(&self) -> usize {
        match self {
            Joined::Ask(ask) if ask.is_long() => 1,
            Joined::Ask(ask) => ask.requests.len(),
            Joined::Read { .. } => 1,
        }
    }

    /// Tells a caller that its deadline passed before a barrier could begin.
    pub(super) fn too_late(self) {
        let detail = "the deadline passed before a read barrier began".to_owned();
        // A caller that gave up needs no answer.
        match self {
            Joined::Ask(ask) => {
                let _ = ask.reply.send(Err(Shed::Late(detail)));
            }
            Joined::Read { reply, .. } => {
                let _ = reply.send(Err(BarrierError::NoQuorum(detail)));
            }
        }
    }
}
