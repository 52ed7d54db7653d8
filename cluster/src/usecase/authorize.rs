//! authorize: join the next read barrier, decide on one view, sign together.
//!
//! A request joins only a barrier that starts after it arrived. Everybody under one barrier is decided on one
//! view, and the decisions are signed with one signature. Whatever goes wrong on the way is a deny that says
//! what: the allow comes from `assent_registry::authorize` alone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use assent_proof::{AuthorizeRequest, Code, Millis};
use assent_registry::{Decision, View, authorize};

use super::barrier::BarrierError;
use super::{Caller, Inner, Parts, Service, within};
use crate::config::LimitConfig;
use crate::env::blocking;

/// A barrier is given at least this long, even for a caller whose deadline is nearer.
const BARRIER_AT_LEAST: Duration = Duration::from_millis(100);
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

/// Requests of one call, waiting for a barrier.
pub(crate) struct Ask {
    requests: Arc<Vec<AuthorizeRequest>>,
    until: Instant,
    reply: oneshot::Sender<Vec<Answered>>,
}

impl Service {
    /// Decides the requests on one view that a quorum has confirmed after they arrived. Always answers, one
    /// decision a request, in order.
    pub async fn authorize(&self, _caller: &Caller, requests: Vec<AuthorizeRequest>) -> Vec<Answered> {
        let parts = self.parts();
        let started = Instant::now();
        let until = within(parts.config.deadlines.authorize_ms);
        let requests = Arc::new(requests);
        let (reply, answered) = oneshot::channel();
        let ask = Ask { requests: requests.clone(), until, reply };
        let answers = match self.inner.asks.try_send(ask) {
            Err(TrySendError::Full(_)) => {
                let most = parts.config.limits.authorize_queue;
                parts.deny(&requests, Code::Overloaded, &format!("{most} calls wait for a read barrier"))
            }
            Err(TrySendError::Closed(_)) => parts.deny(&requests, Code::NoQuorum, "the node is stopping"),
            Ok(()) => match timeout_at(until + GRACE, answered).await {
                Ok(Ok(answers)) if answers.len() == requests.len() => {
                    parts.in_time(&requests, answers, until)
                }
                Ok(_) => parts.deny(&requests, Code::NoQuorum, "the decision was lost inside the node"),
                Err(_) => parts.deny(&requests, Code::DeadlineExceeded, &parts.deadline_passed()),
            },
        };
        parts.metrics.authorize_took(started.elapsed());
        answers
    }
}

impl Parts {
    /// Past the deadline nothing is allowed any more.
    fn in_time(
        &self,
        requests: &[AuthorizeRequest],
        answers: Vec<Answered>,
        until: Instant,
    ) -> Vec<Answered> {
        let late = Instant::now() > until;
        if late && answers.iter().any(|answer| answer.status == 200) {
            return self.deny(requests, Code::DeadlineExceeded, &self.deadline_passed());
        }
        answers
    }

    fn deadline_passed(&self) -> String {
        format!("no decision within {} ms", self.config.deadlines.authorize_ms)
    }

    /// Denies without having evaluated anything, signed like every decision.
    pub(crate) fn deny(&self, requests: &[AuthorizeRequest], code: Code, detail: &str) -> Vec<Answered> {
        let now = self.env.clock.now();
        let denied: Vec<_> =
            requests.iter().map(|request| (request.clone(), Decision::deny(code, detail, now))).collect();
        self.sign(&denied)
    }
}

/// Takes what waits, passes a barrier for it, decides. Several rounds may be under way; each takes only what
/// arrived before it started.
pub(crate) async fn serve_barriers(
    service: Weak<Inner>,
    mut asked: mpsc::Receiver<Ask>,
    limits: LimitConfig,
) {
    let rounds = Arc::new(Semaphore::new(limits.barriers));
    while let Some(first) = asked.recv().await {
        let Ok(round) = rounds.clone().acquire_owned().await else { return };
        let mut asks = vec![first];
        let mut requests = asks.iter().map(|ask| ask.requests.len()).sum::<usize>();
        while requests < limits.authorize_batch
            && let Ok(ask) = asked.try_recv()
        {
            requests = requests.saturating_add(ask.requests.len());
            asks.push(ask);
        }
        let Some(inner) = service.upgrade() else { return };
        tokio::spawn(async move {
            decide_round(inner, asks).await;
            drop(round);
        });
    }
}

async fn decide_round(inner: Arc<Inner>, asks: Vec<Ask>) {
    let parts = &inner.parts;
    let started = Instant::now();
    let earliest = asks.iter().map(|ask| ask.until).min().unwrap_or(started);
    let passed = parts.barrier(earliest.max(started + BARRIER_AT_LEAST)).await;
    parts.metrics.barrier_took(started.elapsed(), passed.is_ok());
    if let Err(error) = passed {
        let code = match &error {
            BarrierError::NoQuorum(_) | BarrierError::NotVoter | BarrierError::Fatal(_) => Code::NoQuorum,
        };
        return deny_all(parts, asks, code, &error.to_string());
    }
    // The clock is judged and read after the barrier.
    if !parts.clock_is_sure() {
        let detail =
            format!("this node's clock is not within {} ms of a quorum's", parts.config.clock_bound_ms);
        return deny_all(parts, asks, Code::ClockUncertain, &detail);
    }
    let now = parts.env.clock.now();
    let worker = inner.clone();
    let batches: Vec<_> = asks.iter().map(|ask| ask.requests.clone()).collect();
    let decided = blocking(&*parts.env.blocking, move || decide_all(&worker.parts, &batches, now)).await;
    match decided {
        Ok(answers) => {
            for (ask, answers) in asks.into_iter().zip(answers) {
                // A caller that went away needs no answer.
                let _ = ask.reply.send(answers);
            }
        }
        Err(error) => {
            deny_all(parts, asks, Code::EvidenceMutated, &format!("the evaluation failed: {error}"))
        }
    }
}

/// Decides everything on one view, and signs it together.
fn decide_all(parts: &Parts, batches: &[Arc<Vec<AuthorizeRequest>>], now: Millis) -> Vec<Vec<Answered>> {
    let decided: Vec<(AuthorizeRequest, Decision)> = match parts.registry.view() {
        Ok(rows) => {
            let view = View::new(&rows);
            batches
                .iter()
                .flat_map(|batch| batch.iter())
                .map(|request| (request.clone(), authorize(&view, request, now)))
                .collect()
        }
        Err(error) => {
            let detail = format!("the store cannot be read: {error}");
            let deny = || Decision::deny(Code::EvidenceMutated, detail.clone(), now);
            batches.iter().flat_map(|batch| batch.iter()).map(|request| (request.clone(), deny())).collect()
        }
    };
    let mut answers = parts.sign(&decided).into_iter();
    batches.iter().map(|batch| answers.by_ref().take(batch.len()).collect()).collect()
}

fn deny_all(parts: &Parts, asks: Vec<Ask>, code: Code, detail: &str) {
    for ask in asks {
        let _ = ask.reply.send(parts.deny(&ask.requests, code, detail));
    }
}
