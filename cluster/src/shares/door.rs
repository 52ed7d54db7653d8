//! The door: how many calls of one caller are worked on at a time while other callers are at work too.
//!
//! A caller that is alone has no such bound. While another one is at work, a call beyond the bound waits at the door, before
//! its body is read, and costs nothing but its connection. So a flood by one caller, over any number of connections, puts
//! no more than a few calls before a call of another. Another caller counts as at work while one of its calls is inside, and
//! for a second after one came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::access::Account;
use crate::locked::lock;

/// How long a caller counts as at work after one of its calls came.
const AT_WORK: Duration = Duration::from_secs(1);

/// The calls that are counted together. Those of one lane do not wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DoorLane {
    /// Single questions.
    Ask,
    /// Batches, of questions and of envelopes. Each is a lot of work, so fewer are let in.
    Batch,
    /// What is written: single envelopes, and permits.
    Write,
    /// Restrictions and governance statements.
    Urgent,
    /// Reads.
    Read,
}

/// One batch is let in for each this many other calls.
const CALLS_A_BATCH: usize = 4;

impl DoorLane {
    /// How many calls are let in at a time where the bound is this one.
    fn most(self, bound: usize) -> usize {
        match self {
            DoorLane::Ask | DoorLane::Write | DoorLane::Urgent | DoorLane::Read => bound,
            DoorLane::Batch => bound.checked_div(CALLS_A_BATCH).unwrap_or(bound).max(1),
        }
    }
}

/// The door of one node.
pub(crate) struct Door {
    state: Arc<Mutex<State>>,
    bound: usize,
}

/// A call that is inside. It leaves when this is dropped, and the next one of its caller comes in.
pub(crate) struct Inside {
    of: Option<Arc<Mutex<State>>>,
    account: Account,
    lane: DoorLane,
    waited: Duration,
}

struct State {
    bound: usize,
    callers: BTreeMap<Account, Calls>,
    /// All calls inside.
    inside: usize,
    /// The two callers that came last, the last one first, and when they came.
    came: [Option<(Account, Instant)>; 2],
}

/// The calls of one caller.
#[derive(Default)]
struct Calls {
    /// How many are inside.
    inside: usize,
    lanes: BTreeMap<DoorLane, InLane>,
}

#[derive(Default)]
struct InLane {
    inside: usize,
    /// In the order in which they came. Each entry is an open connection, so `limits.caller_requests` bounds them.
    waiting: VecDeque<oneshot::Sender<Inside>>,
}

impl Door {
    /// So many calls of one caller are let in at a time while another one is at work.
    pub(crate) fn new(bound: usize) -> Self {
        let state = State { bound, callers: BTreeMap::new(), inside: 0, came: [None, None] };
        Self { state: Arc::new(Mutex::new(state)), bound }
    }

    /// The bound of this lane.
    pub(crate) fn most(&self, lane: DoorLane) -> usize {
        lane.most(self.bound)
    }

    /// Lets a call in, if its turn comes by `until`. Calls that are not told apart never wait.
    pub(crate) async fn enter(&self, account: &Account, lane: DoorLane, until: Instant) -> Option<Inside> {
        let waited = Duration::ZERO;
        if *account == Account::Common {
            return Some(Inside { of: None, account: Account::Common, lane, waited });
        }
        let came = Instant::now();
        let take = {
            let mut state = lock(&self.state);
            state.comes(account, came);
            if state.lets_in(account, lane, came) {
                state.enters(account, lane);
                return Some(Inside { of: Some(self.state.clone()), account: account.clone(), lane, waited });
            }
            let (give, take) = oneshot::channel();
            let calls = state.callers.entry(account.clone()).or_default();
            let in_lane = calls.lanes.entry(lane).or_default();
            // Callers that gave up leave entries behind.
            in_lane.waiting.retain(|waits| !waits.is_closed());
            in_lane.waiting.push_back(give);
            take
        };
        let mut inside = timeout_at(until, take).await.ok()?.ok()?;
        inside.waited = came.elapsed();
        Some(inside)
    }
}

impl Inside {
    /// How long it waited at the door.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

impl State {
    fn comes(&mut self, account: &Account, now: Instant) {
        let [last, before] = &mut self.came;
        match last {
            Some((same, when)) if same == account => *when = now,
            _ => {
                *before = last.take();
                *last = Some((account.clone(), now));
            }
        }
    }

    /// Whether a caller other than this one is at work.
    fn others_work(&self, account: &Account, now: Instant) -> bool {
        let own = self.callers.get(account).map_or(0, |calls| calls.inside);
        let came = self.came.iter().flatten().find(|(other, _)| other != account);
        self.inside > own || came.is_some_and(|(_, when)| now.saturating_duration_since(*when) < AT_WORK)
    }

    fn lets_in(&self, account: &Account, lane: DoorLane, now: Instant) -> bool {
        let in_lane = self.callers.get(account).and_then(|calls| calls.lanes.get(&lane));
        let Some(in_lane) = in_lane else { return true };
        if in_lane.inside < lane.most(self.bound) {
            return true;
        }
        // Those that wait go first.
        in_lane.waiting.iter().all(oneshot::Sender::is_closed) && !self.others_work(account, now)
    }

    fn enters(&mut self, account: &Account, lane: DoorLane) {
        self.inside = self.inside.saturating_add(1);
        let calls = self.callers.entry(account.clone()).or_default();
        calls.inside = calls.inside.saturating_add(1);
        let in_lane = calls.lanes.entry(lane).or_default();
        in_lane.inside = in_lane.inside.saturating_add(1);
    }

    fn leaves(&mut self, account: &Account, lane: DoorLane) {
        self.inside = self.inside.saturating_sub(1);
        let Some(calls) = self.callers.get_mut(account) else { return };
        calls.inside = calls.inside.saturating_sub(1);
        if let Some(in_lane) = calls.lanes.get_mut(&lane) {
            in_lane.inside = in_lane.inside.saturating_sub(1);
        }
    }

    /// The next call that waits in this lane, if it may come in now.
    fn next(&mut self, account: &Account, lane: DoorLane) -> Option<oneshot::Sender<Inside>> {
        let alone = !self.others_work(account, Instant::now());
        let bound = self.bound;
        let in_lane = self.callers.get_mut(account)?.lanes.get_mut(&lane)?;
        if !alone && in_lane.inside >= lane.most(bound) {
            return None;
        }
        in_lane.waiting.pop_front()
    }

    /// Forgets a caller that has no calls.
    fn forget(&mut self, account: &Account) {
        if let Some(calls) = self.callers.get_mut(account) {
            calls.lanes.retain(|_, in_lane| in_lane.inside > 0 || !in_lane.waiting.is_empty());
            if calls.lanes.is_empty() {
                self.callers.remove(account);
            }
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let Some(shared) = self.of.take() else { return };
        let mut state = lock(&shared);
        state.leaves(&self.account, self.lane);
        while let Some(next) = state.next(&self.account, self.lane) {
            let inside = Inside {
                of: Some(shared.clone()),
                account: self.account.clone(),
                lane: self.lane,
                waited: Duration::ZERO,
            };
            match next.send(inside) {
                Ok(()) => state.enters(&self.account, self.lane),
                // It gave up. It was never inside, so it must not leave, least of all under this lock.
                Err(mut inside) => inside.of = None,
            }
        }
        state.forget(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn named(name: &str) -> Account {
        Account::Named(name.into())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    async fn fill(door: &Door, name: &str, lane: DoorLane) -> Vec<Inside> {
        let mut inside = Vec::new();
        while inside.len() < 50 {
            match door.enter(&named(name), lane, soon()).await {
                Some(one) => inside.push(one),
                None => break,
            }
        }
        inside
    }

    /// It fails if a caller that is alone is held up, or if the bound does not hold once another one comes.
    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_alone_has_no_bound_and_one_beside_another_has() {
        let door = Door::new(8);
        let alone = fill(&door, "flood", DoorLane::Ask).await;
        assert_eq!(alone.len(), 50);
        let quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        assert!(door.enter(&named("flood"), DoorLane::Ask, soon()).await.is_none());
        drop(alone);
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 8);
        assert_eq!(fill(&door, "flood", DoorLane::Batch).await.len(), 2);
        drop(quiet);
        // It counts as at work for a second after it came.
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 8);
        advance(AT_WORK).await;
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 50);
        let state = lock(&door.state);
        assert_eq!((state.inside, state.callers.len()), (0, 0), "what left is forgotten");
    }

    /// It fails if lanes share the bound: then a flood of writes keeps its caller's own restrictions out.
    #[tokio::test(start_paused = true)]
    async fn the_calls_of_one_lane_do_not_wait_for_those_of_another() {
        let door = Door::new(4);
        let _quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        let writes = fill(&door, "flood", DoorLane::Write).await;
        assert_eq!(writes.len(), 4);
        assert!(door.enter(&named("flood"), DoorLane::Write, soon()).await.is_none());
        for lane in [DoorLane::Ask, DoorLane::Batch, DoorLane::Urgent, DoorLane::Read] {
            assert!(door.enter(&named("flood"), lane, soon()).await.is_some(), "{lane:?}");
        }
    }

    /// It fails if a call that leaves lets none in, if calls overtake, or if one that gave up takes a place.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_leaves_lets_the_next_one_of_its_caller_in() {
        let door = Door::new(1);
        let _quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        let first = door.enter(&named("flood"), DoorLane::Ask, soon()).await.unwrap();
        assert!(door.enter(&named("flood"), DoorLane::Ask, soon()).await.is_none(), "it gives up");
        let order = Mutex::new(Vec::new());
        let waiting = [1, 2, 3].map(|number| {
            let (door, order) = (&door, &order);
            async move {
                let _inside = door.enter(&named("flood"), DoorLane::Ask, soon()).await.unwrap();
                order.lock().unwrap().push(number);
            }
        });
        tokio::join!(futures_util::future::join_all(waiting), async { drop(first) });
        assert_eq!(order.into_inner().unwrap(), [1, 2, 3]);
    }

    /// It fails if those that wait stay outside once their caller is alone.
    #[tokio::test(start_paused = true)]
    async fn when_the_other_caller_has_left_all_that_wait_come_in() {
        let door = Door::new(1);
        let quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        let first = door.enter(&named("flood"), DoorLane::Ask, soon()).await.unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        let flood = named("flood");
        let waiting = [(); 5].map(|()| door.enter(&flood, DoorLane::Ask, until));
        let leave = async {
            drop(quiet);
            tokio::time::sleep(2 * AT_WORK).await;
            drop(first);
        };
        let (inside, ()) = tokio::join!(futures_util::future::join_all(waiting), leave);
        assert!(inside.iter().all(Option::is_some));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_not_told_apart_never_wait() {
        let door = Door::new(1);
        let _other = door.enter(&named("other"), DoorLane::Ask, soon()).await.unwrap();
        for _ in 0..5 {
            let inside = door.enter(&Account::Common, DoorLane::Ask, soon()).await;
            assert!(inside.is_some());
            std::mem::forget(inside);
        }
    }
}
