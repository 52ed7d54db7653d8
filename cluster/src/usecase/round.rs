//! Rounds: a call that needs a confirmed state joins the next barrier, authorize requests and reads alike.
//!
//! A round takes all waiting calls and starts one barrier for them. Several rounds may be under way, and each takes
//! only calls that arrived before it started. So the number of barriers does not grow with the number of callers.
//!
//! A round's barrier lasts until the latest deadline in it. A caller whose deadline is earlier gives up by itself,
//! and takes no time from the others.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Service;
use super::barrier::{BarrierError, LastTry, TRY_AT_MOST};
use super::decide::answer_all;
use super::joined::{Ask, Joined};
use super::service::Inner;
use crate::config::LimitConfig;
use crate::tasks::Why;

/// The shortest time that a barrier is given, even if a caller's deadline is nearer.
const BARRIER_AT_LEAST: Duration = Duration::from_millis(100);

/// Callers of a round whose deadlines are this close give up together, so that a round without a quorum signs few
/// denies.
const TOGETHER: Duration = Duration::from_millis(10);

impl Service {
    /// Joins the next round. The error tells why that is not possible.
    pub(super) fn join(&self, joined: Joined) -> Result<(), String> {
        self.inner.rounds.try_send(joined).map_err(|error| match error {
            TrySendError::Full(_) => {
                format!("{} calls wait for a read barrier", self.inner.rounds.max_capacity())
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
                // A round lasts no longer than an authorize request may take. This call has time for another round.
                Ok(Ok(Err(BarrierError::NoQuorum(_)))) if Instant::now() < until => {}
                Ok(Ok(passed)) => return passed,
                Ok(Err(_)) => return Err(BarrierError::Fatal("the node is stopping".to_owned())),
                Err(_) => return Err(BarrierError::NoQuorum("the deadline passed".to_owned())),
            }
        }
    }
}

/// Starts rounds as long as the node runs.
///
/// Rule R1 (RFC-EG-033 §5, governance registries): A question joins a read barrier that begins after it
/// arrived, and never one that is under way.
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
    "no caller is left that could join a round"
}

async fn run_round(inner: Arc<Inner>, all: Vec<Joined>) {
    let started = Instant::now();
    let parts = &inner.parts;
    let waiting = on_time(all, started);
    let longest = Duration::from_millis(parts.config.deadlines.authorize_ms).max(TRY_AT_MOST);
    let Some(until) = lasts_until(&waiting, started, longest) else { return };
    let last_try = LastTry::default();
    let give_up = |over: Vec<Joined>| {
        let error = last_try.given_up();
        let asks = answer_reads(over, &Err(error.clone()));
        parts.tasks.passing("calls that gave up", answer_all(inner.clone(), asks, Err(error)));
    };
    let gives_up = |joined: &Joined| gives_up_at(joined, started);
    let barrier = parts.barrier_of_many(until, &last_try);
    let (waiting, passed) = together(barrier, waiting, gives_up, give_up).await;
    parts.metrics.barrier_took(started.elapsed(), passed.is_ok());
    let asks = answer_reads(waiting, &passed);
    answer_all(inner, asks, passed).await;
}

/// The callers whose deadline has not passed. The others are told so, and take no part in the round.
fn on_time(all: Vec<Joined>, now: Instant) -> Vec<Joined> {
    let (waiting, late): (Vec<Joined>, Vec<Joined>) =
        all.into_iter().partition(|joined| joined.until() > now);
    for joined in late {
        joined.too_late();
    }
    waiting
}

/// When a round's barrier ends at the latest: when the last of its callers gives up, but no later than an authorize
/// request may take, so that a read with a long deadline keeps no place of a round. `None` if there is no caller.
fn lasts_until(waiting: &[Joined], started: Instant, longest: Duration) -> Option<Instant> {
    let latest = waiting.iter().map(Joined::until).max()?;
    Some(latest.min(started + longest).max(started + BARRIER_AT_LEAST))
}

/// When a caller of a round gives up if its barrier has not ended.
fn gives_up_at(joined: &Joined, started: Instant) -> Instant {
    joined.until().max(started + BARRIER_AT_LEAST)
}

/// Waits for a barrier. Callers that give up before it ends are passed to `give_up`. The others come back with the
/// barrier's result.
async fn together(
    barrier: impl Future<Output = Result<(), BarrierError>>,
    mut waiting: Vec<Joined>,
    gives_up: impl Fn(&Joined) -> Instant,
    mut give_up: impl FnMut(Vec<Joined>),
) -> (Vec<Joined>, Result<(), BarrierError>) {
    let mut barrier = pin!(barrier);
    loop {
        let Some(next) = waiting.iter().map(&gives_up).min() else {
            return (waiting, Err(BarrierError::NoQuorum("every caller has given up".to_owned())));
        };
        if let Ok(passed) = timeout_at(next + TOGETHER, barrier.as_mut()).await {
            return (waiting, passed);
        }
        let now = Instant::now();
        let (over, left): (Vec<Joined>, Vec<Joined>) =
            waiting.into_iter().partition(|joined| gives_up(joined) <= now);
        waiting = left;
        give_up(over);
    }
}

/// Tells the reads of a round how its barrier ended, and returns the authorize requests, which are still to be
/// answered.
fn answer_reads(members: Vec<Joined>, passed: &Result<(), BarrierError>) -> Vec<Ask> {
    let mut asks = Vec::new();
    for joined in members {
        match joined {
            Joined::Ask(ask) => asks.push(ask),
            Joined::Read { reply, .. } => {
                // A reader that gave up needs no answer.
                let _ = reply.send(passed.clone());
            }
        }
    }
    asks
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use assent_proof::{AuthorizeRequest, Sha256};

    use super::super::answered::Answered;
    use super::super::joined::Question;
    use super::super::shed::Shed;
    use super::*;
    use crate::access::Account;
    use crate::shares::Pool;

    type Told<T, E> = oneshot::Receiver<Result<T, E>>;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn read(until: Instant) -> (Joined, Told<(), BarrierError>) {
        let (reply, told) = oneshot::channel();
        (Joined::Read { until, reply }, told)
    }

    fn ask(until: Instant, requests: usize) -> (Joined, Told<Vec<Answered>, Shed>) {
        let request = AuthorizeRequest {
            domain: "prod.eu".parse().unwrap(),
            lineage: None,
            runtime: None,
            action: "run".to_owned(),
            subject: Sha256([3; 32]),
            audience: None,
            environment: None,
            nonce: None,
            expected_head: None,
            min_revision: None,
            history: None,
        };
        let room = Pool::new(1).take(&Account::Common, 1).unwrap();
        let (reply, told) = oneshot::channel();
        let requests = Arc::new(vec![request; requests]);
        (Joined::Ask(Ask { requests, question: Question::Read, until, reply, room }), told)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_with_a_near_deadline_does_not_end_the_barrier_of_the_others() {
        let now = Instant::now();
        let (near, _near_told) = ask(now + ms(20), 1);
        let (far, _far_told) = ask(now + ms(200), 1);
        let barrier = async {
            sleep(ms(150)).await;
            Ok(())
        };
        let mut gone = Vec::new();
        let (left, passed) =
            together(barrier, vec![near, far], Joined::until, |over| gone.push((over.len(), now.elapsed())))
                .await;
        assert_eq!(passed, Ok(()));
        assert_eq!(left.iter().map(Joined::until).collect::<Vec<_>>(), [now + ms(200)]);
        let [(1, at)] = gone[..] else { panic!("{gone:?}") };
        assert!(at >= ms(20) && at < ms(150), "{at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_give_up_close_together_do_so_at_once_and_a_barrier_without_callers_ends() {
        let now = Instant::now();
        let (members, _told): (Vec<_>, Vec<_>) = (20..=25).map(|at| read(now + ms(at))).unzip();
        let mut gone = Vec::new();
        let never = std::future::pending::<Result<(), BarrierError>>();
        let (left, passed) = together(never, members, Joined::until, |over| gone.push(over.len())).await;
        assert!(left.is_empty() && passed.is_err());
        assert_eq!(gone, [6]);
    }

    /// Rule R1.
    #[tokio::test(start_paused = true)]
    async fn calls_whose_time_is_over_when_a_round_starts_take_no_part_in_it() {
        let now = Instant::now();
        let (late, mut late_told) = ask(now + ms(10), 1);
        let (late_read, mut late_read_told) = read(now + ms(10));
        let (live, mut live_told) = ask(now + ms(100), 1);
        advance(ms(20)).await;
        let waiting = on_time(vec![late, live, late_read], Instant::now());
        assert_eq!(waiting.iter().map(Joined::until).collect::<Vec<_>>(), [now + ms(100)]);
        assert!(matches!(late_told.try_recv(), Ok(Err(Shed::Late(_)))));
        assert!(matches!(late_read_told.try_recv(), Ok(Err(BarrierError::NoQuorum(_)))));
        assert!(live_told.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rounds_barrier_lasts_until_the_latest_of_its_deadlines_within_an_authorizes_time() {
        let started = Instant::now();
        let longest = ms(250);
        let (near, _near_told) = ask(started + ms(1), 1);
        let (far, _far_told) = ask(started + ms(240), 1);
        let (patient, _patient_told) = read(started + ms(60_000));
        assert_eq!(lasts_until(&[], started, longest), None);
        let mut waiting = vec![near];
        assert_eq!(lasts_until(&waiting, started, longest), Some(started + BARRIER_AT_LEAST));
        waiting.push(far);
        assert_eq!(lasts_until(&waiting, started, longest), Some(started + ms(240)));
        waiting.push(patient);
        assert_eq!(lasts_until(&waiting, started, longest), Some(started + longest));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_call_takes_no_more_of_a_round_than_a_single_question() {
        let until = Instant::now() + ms(250);
        for (requests, counted) in [(1, 1), (2, 1), (16, 1), (1_000, 1)] {
            assert_eq!(ask(until, requests).0.requests(), counted);
        }
    }
}
