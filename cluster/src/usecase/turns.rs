//! The turns of verification: urgent work goes before long work, and neither waits for ever.
//!
//! A node runs a few pieces of verification at a time (`limits.verifications`). Each piece takes milliseconds and
//! needs a turn. A call that waits for a turn waits in the queue of its urgency. In a queue, callers take turns, and the
//! calls of each keep their order. A free turn goes to the most urgent queue. If a queue was passed over
//! [`PASSED_OVER_MAX`] times in a row, it is served next, so that batches advance however many more urgent envelopes
//! come. Batches can take all turns except one, unless there is only
//! one. Reading a large body is the longest piece, and urgent work need not wait for it.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::urgency::Urgency;
use crate::access::Account;
use crate::locked::lock;
use crate::shares::Line;

/// How often in a row a queue with waiting callers may be passed over. Each other queue can add at most one.
const PASSED_OVER_MAX: u32 = 3;

/// The turns at verifying.
pub(super) struct Turns {
    state: Arc<Mutex<State>>,
}

struct State {
    /// The number of free turns.
    free: usize,
    /// How many of them batches may still take.
    free_for_batches: usize,
    /// The queues by urgency, the most urgent first.
    queues: [Queue; Urgency::ALL.len()],
    /// The largest number of callers that wait in one queue.
    waiting_max: usize,
}

#[derive(Default)]
struct Queue {
    waiting: Line<oneshot::Sender<Turn>>,
    /// How often another queue was served since this one was, while a caller waited here.
    passed_over: u32,
}

/// The right to run one piece. It is passed on when it is dropped.
pub(super) struct Turn {
    of: Option<Arc<Mutex<State>>>,
    urgency: Urgency,
}

impl Turns {
    /// This many turns at a time. In each queue, up to `waiting_max` callers may wait.
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Self {
        let queues = std::array::from_fn(|_| Queue::default());
        let free_for_batches = at_once.saturating_sub(1).max(1);
        Self { state: Arc::new(Mutex::new(State { free: at_once, free_for_batches, queues, waiting_max })) }
    }

    /// A turn, if it comes by `until`. If too many callers wait already, it returns none at once. The work holds the
    /// turn, so that the turn is not passed on while the work of a caller that left still runs.
    pub(super) async fn turn(&self, account: &Account, urgency: Urgency, until: Instant) -> Option<Turn> {
        let (give, take) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            state.enter(account, urgency, give);
            hand_out(&self.state, &mut state);
        }
        // If the queue had no place for the caller, its sender was dropped, and it gets no turn.
        timeout_at(until, take).await.ok()?.ok()
    }
}

impl State {
    /// Puts a caller into its queue, unless the queue is full of callers that still wait.
    fn enter(&mut self, account: &Account, urgency: Urgency, caller: oneshot::Sender<Turn>) {
        let most = self.waiting_max;
        let Some(queue) = self.queues.get_mut(urgency as usize) else { return };
        if queue.waiting.len() >= most {
            queue.waiting.retain(|caller| !caller.is_closed());
        }
        if queue.waiting.len() < most {
            queue.waiting.push(account, caller);
        }
    }

    /// The next caller, of those that still wait and may have a turn.
    fn next(&mut self) -> Option<(Urgency, oneshot::Sender<Turn>)> {
        for queue in &mut self.queues {
            queue.waiting.skip(oneshot::Sender::is_closed);
            if queue.waiting.is_empty() {
                queue.passed_over = 0;
            }
        }
        let for_batches = self.free_for_batches > 0;
        let waits = |(urgency, queue): &(Urgency, &Queue)| {
            !queue.waiting.is_empty() && (for_batches || *urgency != Urgency::Batch)
        };
        let queues = || Urgency::ALL.into_iter().zip(&self.queues).filter(waits);
        let mut longest: Option<(Urgency, u32)> = None;
        for (urgency, queue) in queues() {
            // Of two queues that were passed over equally often, the more urgent one.
            if queue.passed_over >= PASSED_OVER_MAX
                && longest.is_none_or(|(_, passed_over)| passed_over < queue.passed_over)
            {
                longest = Some((urgency, queue.passed_over));
            }
        }
        let most_urgent = queues().next().map(|(urgency, _)| urgency);
        let chosen = longest.map(|(urgency, _)| urgency).or(most_urgent)?;
        let mut next = None;
        for (urgency, queue) in Urgency::ALL.into_iter().zip(&mut self.queues) {
            if urgency == chosen {
                queue.passed_over = 0;
                next = queue.waiting.pop();
            } else if !queue.waiting.is_empty() {
                queue.passed_over = queue.passed_over.saturating_add(1);
            }
        }
        next.map(|next| (chosen, next))
    }

    /// Notes that a turn was taken.
    fn taken(&mut self, urgency: Urgency) {
        self.free = self.free.saturating_sub(1);
        if urgency == Urgency::Batch {
            self.free_for_batches = self.free_for_batches.saturating_sub(1);
        }
    }

    /// Notes that a turn is over.
    fn over(&mut self, urgency: Urgency) {
        self.free = self.free.saturating_add(1);
        if urgency == Urgency::Batch {
            self.free_for_batches = self.free_for_batches.saturating_add(1);
        }
    }
}

/// Gives the free turns to the next callers.
fn hand_out(shared: &Arc<Mutex<State>>, state: &mut State) {
    while state.free > 0 {
        let Some((urgency, next)) = state.next() else { return };
        match next.send(Turn { of: Some(shared.clone()), urgency }) {
            Ok(()) => state.taken(urgency),
            // The caller left just now. Its turn was never taken, so it must not be given back, least of all under
            // this lock.
            Err(mut turn) => turn.of = None,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.of.take() else { return };
        let mut state = lock(&shared);
        state.over(self.urgency);
        hand_out(&shared, &mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    /// In which order callers of these urgencies, who all wait for the one turn, get it.
    async fn order(callers: &[Urgency]) -> Vec<Urgency> {
        let turns = Turns::new(1, 100);
        let held = turns.turn(&Account::Common, Urgency::Batch, soon()).await.unwrap();
        let served = Mutex::new(Vec::new());
        let waiting = callers.iter().map(|urgency| {
            let (turns, served) = (&turns, &served);
            async move {
                let _turn = turns.turn(&Account::Common, *urgency, soon()).await.unwrap();
                served.lock().unwrap().push(*urgency);
            }
        });
        let let_go = async { drop(held) };
        // They are polled in this order, and each has its place in its queue after its first poll.
        tokio::join!(futures_util::future::join_all(waiting), let_go);
        served.into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_restriction_goes_before_single_envelopes_and_these_before_batches_that_came_earlier() {
        use Urgency::{Batch, Restriction, Single};
        assert_eq!(order(&[Batch, Batch, Single, Restriction]).await, [Restriction, Single, Batch, Batch]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_gets_its_turn_however_many_single_envelopes_and_restrictions_come() {
        use Urgency::{Batch, Restriction, Single};
        let mut callers = vec![Batch, Batch];
        callers.extend([Single; 20]);
        let served = order(&callers).await;
        assert_eq!(served[..8], [Single, Single, Single, Batch, Single, Single, Single, Batch]);
        callers.extend([Restriction; 20]);
        let served = order(&callers).await;
        for urgency in [Batch, Single] {
            let first = served.iter().position(|served| *served == urgency).unwrap();
            assert!(first <= PASSED_OVER_MAX as usize + 1, "{urgency:?} {served:?}");
        }
        let half = served[..20].iter().filter(|served| **served == Restriction).count();
        assert!(half >= 10, "{served:?}");
        assert_eq!(served.len(), callers.len());
    }

    #[tokio::test(start_paused = true)]
    async fn batches_leave_one_turn_to_what_is_more_urgent_and_get_their_own_again() {
        let turns = Turns::new(3, 100);
        let at_once = || Instant::now() + Duration::from_millis(10);
        let first = turns.turn(&Account::Common, Urgency::Batch, at_once()).await.unwrap();
        let second = turns.turn(&Account::Common, Urgency::Batch, at_once()).await.unwrap();
        assert!(turns.turn(&Account::Common, Urgency::Batch, at_once()).await.is_none());
        let urgent = turns.turn(&Account::Common, Urgency::Restriction, at_once()).await.unwrap();
        assert!(turns.turn(&Account::Common, Urgency::Single, at_once()).await.is_none(), "there are three");
        drop((first, urgent));
        let third = turns.turn(&Account::Common, Urgency::Batch, at_once()).await.unwrap();
        assert!(turns.turn(&Account::Common, Urgency::Single, at_once()).await.is_some());
        drop((second, third));
        let single = turns.turn(&Account::Common, Urgency::Single, at_once()).await.unwrap();
        let batch = turns.turn(&Account::Common, Urgency::Batch, at_once()).await.unwrap();
        assert!(
            turns.turn(&Account::Common, Urgency::Batch, at_once()).await.is_some(),
            "single envelopes take none of theirs"
        );
        drop((single, batch));
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_of_a_caller_that_gave_up_goes_to_the_next_one() {
        let turns = Turns::new(1, 100);
        let held = turns.turn(&Account::Common, Urgency::Single, soon()).await.unwrap();
        let at_once = Instant::now() + Duration::from_millis(10);
        assert!(turns.turn(&Account::Common, Urgency::Restriction, at_once).await.is_none());
        let (next, ()) =
            tokio::join!(turns.turn(&Account::Common, Urgency::Batch, soon()), async { drop(held) });
        let next = next.unwrap();
        assert!(
            turns
                .turn(&Account::Common, Urgency::Single, Instant::now() + Duration::from_millis(10))
                .await
                .is_none()
        );
        drop(next);
        assert!(turns.turn(&Account::Common, Urgency::Single, soon()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_sends_a_caller_away_at_once_and_takes_nothing_from_the_others() {
        let turns = Turns::new(1, 2);
        let held = turns.turn(&Account::Common, Urgency::Single, soon()).await.unwrap();
        let (one, two, three, urgent, ()) = tokio::join!(
            turns.turn(&Account::Common, Urgency::Batch, soon()),
            turns.turn(&Account::Common, Urgency::Batch, soon()),
            async {
                let began = Instant::now();
                let turn = turns.turn(&Account::Common, Urgency::Batch, soon()).await;
                (turn.is_none(), began.elapsed())
            },
            async { turns.turn(&Account::Common, Urgency::Restriction, soon()).await.map(drop) },
            async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                drop(held);
            }
        );
        assert_eq!(three, (true, Duration::ZERO));
        assert!(urgent.is_some() && one.is_some());
        // The first batch kept its turn to the end.
        assert!(two.is_none());
    }
}
