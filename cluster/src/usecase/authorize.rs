//! authorize: join the next read barrier, wait for the decision, answer in time.
//!
//! A request joins only a barrier that starts after it arrived. What is behind the barrier is `decide`'s. Whatever goes wrong on
//! the way is a deny that says what: the allow comes from `assent_registry::authorize` alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use assent_proof::{AuthorizeRequest, Code};
use assent_registry::Decision;
use assent_registry::mutant::{self, Mutant};

use super::barrier::FOR_EVER;
use super::round::Joined;
use super::{Caller, Parts, Service, within};
use crate::env::blocking;

/// Beyond the deadline a caller waits so long for the barrier's own reason before it is told only that the
/// deadline passed.
const GRACE: Duration = Duration::from_millis(150);

/// A signed decision on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status: 200 allow, 403 deny, 503 deny because the registry cannot know.
    pub status: u16,
    /// The DecisionBody with its receipt, JSON.
    pub body: Bytes,
}

/// What is asked of the rules.
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
    pub(super) reply: oneshot::Sender<Vec<Answered>>,
    _room: OwnedSemaphorePermit,
}

impl Service {
    /// Decides the requests on one view that a quorum has confirmed after they arrived. Always answers, one
    /// decision a request, in order.
    pub async fn authorize(&self, _caller: &Caller, requests: Vec<AuthorizeRequest>) -> Vec<Answered> {
        self.ask(Question::Read, requests).await
    }

    /// Room for so many bytes of a batch's answer while it is written, what was denied unevaluated included; none if the answers
    /// that slow callers have not taken yet fill it.
    pub fn room_for_batch(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        self.inner.batch_room.clone().try_acquire_many_owned(kib).ok()
    }

    /// Decides the requests; the question is the same for all of them.
    pub(super) async fn ask(&self, question: Question, requests: Vec<AuthorizeRequest>) -> Vec<Answered> {
        let parts = self.parts();
        let started = Instant::now();
        let until = within(parts.config.deadlines.authorize_ms);
        if let Some(answers) = self.inner.repeated.allowed_before(&requests) {
            return answers;
        }
        let requests = Arc::new(requests);
        let (reply, answered) = oneshot::channel();
        let most = parts.config.limits.authorize_queue;
        let permits = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let answers = match self.inner.authorize_room.clone().try_acquire_many_owned(permits) {
            Err(_) => self.deny(requests, Code::Overloaded, format!("{most} requests wait already")).await,
            Ok(room) => {
                let ask = Ask { requests: requests.clone(), question, until, reply, _room: room };
                match self.join(Joined::Ask(ask)) {
                    Err(full) => self.deny(requests, Code::Overloaded, full).await,
                    Ok(()) => self.answered(requests, until, answered).await,
                }
            }
        };
        parts.metrics.authorize_took(started.elapsed());
        answers
    }

    /// Waits for the round's answer. Past the deadline nothing is allowed any more.
    async fn answered(
        &self,
        requests: Arc<Vec<AuthorizeRequest>>,
        until: Instant,
        answered: oneshot::Receiver<Vec<Answered>>,
    ) -> Vec<Answered> {
        let ms = self.parts().config.deadlines.authorize_ms;
        let late = || format!("no decision within {ms} ms");
        let grace = if mutant::is_active(Mutant::WaitForApplyUnbounded) { FOR_EVER } else { GRACE };
        match timeout_at(until + grace, answered).await {
            Ok(Ok(answers)) if answers.len() == requests.len() => {
                let allows = answers.iter().any(|answer| answer.status == 200);
                if allows && Instant::now() > until {
                    return self.deny(requests, Code::DeadlineExceeded, late()).await;
                }
                self.inner.repeated.remember(&requests, &answers);
                answers
            }
            Ok(_) => {
                self.deny(requests, Code::NoQuorum, "the decision was lost inside the node".to_owned()).await
            }
            Err(_) => self.deny(requests, Code::DeadlineExceeded, late()).await,
        }
    }

    /// Denies without having evaluated anything, signed like every decision.
    pub(super) async fn deny(
        &self,
        requests: Arc<Vec<AuthorizeRequest>>,
        code: Code,
        detail: String,
    ) -> Vec<Answered> {
        let inner = self.inner.clone();
        let denied =
            blocking(&*self.parts().env.blocking, move || inner.parts.deny(&requests, code, &detail));
        denied.await.unwrap_or_default()
    }
}

impl Parts {
    fn deny(&self, requests: &[AuthorizeRequest], code: Code, detail: &str) -> Vec<Answered> {
        let now = self.env.clock.now();
        let denied: Vec<_> =
            requests.iter().map(|request| (request.clone(), Decision::deny(code, detail, now))).collect();
        self.sign(&denied, None)
    }
}
