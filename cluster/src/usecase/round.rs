//! Rounds: whoever needs a confirmed state joins the next barrier, authorizes and reads alike.
//!
//! A round takes all that waits and starts one barrier for it; several rounds may be under way, and each takes
//! only what arrived before it started. So the number of barriers does not grow with the number of callers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::authorize::Ask;
use super::barrier::BarrierError;
use super::decide::answer_all;
use super::{Inner, Service};
use crate::config::LimitConfig;
use crate::tasks::Why;

/// A barrier is given at least this long, even for a caller whose deadline is nearer.
const BARRIER_AT_LEAST: Duration = Duration::from_millis(100);

/// Somebody who waits for a barrier.
pub(crate) enum Joined {
    /// Authorize requests, decided by the round itself.
    Ask(Ask),
    /// A read, which only wants to know.
    Read {
        /// It gives up then.
        until: Instant,
        /// Whether the barrier was passed.
        reply: oneshot::Sender<Result<(), BarrierError>>,
    },
}

impl Joined {
    fn until(&self) -> Instant {
        match self {
            Joined::Ask(ask) => ask.until,
            Joined::Read { until, .. } => *until,
        }
    }

    fn requests(&self) -> usize {
        match self {
            Joined::Ask(ask) => ask.requests.len(),
            Joined::Read { .. } => 1,
        }
    }
}

impl Service {
    /// Waits for the next round; the error says why not.
    pub(super) fn join(&self, joined: Joined) -> Result<(), String> {
        self.inner.rounds.try_send(joined).map_err(|error| match error {
            TrySendError::Full(_) => {
                format!("{} calls wait for a read barrier", self.parts().config.limits.authorize_queue)
            }
            TrySendError::Closed(_) => "the node is stopping".to_owned(),
        })
    }

    /// Passes a barrier that starts after this call, by `until`.
    pub(super) async fn pass(&self, until: Instant) -> Result<(), BarrierError> {
        loop {
            let (reply, passed) = oneshot::channel();
            self.join(Joined::Read { until, reply }).map_err(BarrierError::Overloaded)?;
            match timeout_at(until, passed).await {
                // The round ended with somebody's nearer deadline; this call has time for another.
                Ok(Ok(Err(BarrierError::NoQuorum(_)))) if Instant::now() < until => {}
                Ok(Ok(passed)) => return passed,
                Ok(Err(_)) => return Err(BarrierError::Fatal("the node is stopping".to_owned())),
                Err(_) => return Err(BarrierError::NoQuorum("the deadline passed".to_owned())),
            }
        }
    }
}

/// Starts rounds as long as the node runs.
pub(crate) async fn run_rounds(
    service: Weak<Inner>,
    mut joined: mpsc::Receiver<Joined>,
    limits: LimitConfig,
) -> Why {
    let rounds = Arc::new(Semaphore::new(limits.barriers));
    while let Some(first) = joined.recv().await {
        let Ok(round) = rounds.clone().acquire_owned().await else { return "there is no room for rounds" };
        let mut requests = first.requests();
        let mut all = vec![first];
        while requests < limits.authorize_batch
            && let Ok(next) = joined.try_recv()
        {
            requests = requests.saturating_add(next.requests());
            all.push(next);
        }
        let Some(inner) = service.upgrade() else { return "the node is gone" };
        let tasks = inner.parts.tasks.clone();
        tasks.passing("round", async move {
            run_round(inner, all).await;
            drop(round);
        });
    }
    "nobody is left who could join a round"
}

async fn run_round(inner: Arc<Inner>, all: Vec<Joined>) {
    let started = Instant::now();
    let earliest = all.iter().map(Joined::until).min().unwrap_or(started);
    let passed = inner.parts.barrier(earliest.max(started + BARRIER_AT_LEAST)).await;
    inner.parts.metrics.barrier_took(started.elapsed(), passed.is_ok());
    let mut asks = Vec::new();
    for joined in all {
        match joined {
            Joined::Ask(ask) => asks.push(ask),
            Joined::Read { reply, .. } => {
                // A reader that gave up needs no answer.
                let _ = reply.send(passed.clone());
            }
        }
    }
    answer_all(inner, asks, passed).await;
}
