//! The door: how many calls of one caller a node works on at a time while it is short of processors and other callers are
//! at work too.
//!
//! A caller that is alone has no such bound, nor has any while the node keeps up: calls that wait for the network take no
//! processor from others. While the bound holds, a call beyond it waits at the door, before its body is read, and costs nothing
//! but its connection. So a flood by one caller, over any number of connections, puts no more than a few calls before a call
//! of another.
//!
//! The node is short of processors for half a minute after tasks had to wait for a thread ([`Strain`]). Another caller counts
//! as at work while one of its calls is inside, and for a minute after one came. Callers without a name do not count as at
//! work for those with one: a stranger must not slow them down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::access::Account;
use crate::locked::lock;

/// How long a caller counts as at work after one of its calls came.
const AT_WORK: Duration = Duration::from_secs(60);
/// How long a node counts as short of processors after it was seen to be.
const STRAINED_FOR: Duration = Duration::from_secs(30);
/// A task that waits so long for its turn is late. While a node keeps up, it waits for some microseconds.
const LATE: Duration = Duration::from_millis(2);
/// So many of the last eight samples must be late: one alone may be an accident of the machine.
const LATE_MIN: u32 = 2;
/// The time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(2);

/// The calls that are counted together. Those of one lane do not wait for those of another. Restrictions pass no door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DoorLane {
    /// Single questions.
    Ask,
    /// Batches, of questions and of envelopes. Each is a lot of work, so fewer are let in.
    Batch,
    /// What is written: single envelopes, and permits.
    Write,
    /// Governance statements.
    Governance,
    /// Reads.
    Read,
}

/// One batch is let in for each this many other calls.
const CALLS_A_BATCH: usize = 4;

impl DoorLane {
    /// How many calls are let in at a time where the bound is this one.
    fn most(self, bound: usize) -> usize {
        match self {
            DoorLane::Ask | DoorLane::Write | DoorLane::Governance | DoorLane::Read => bound,
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
    named: AtWork,
    unnamed: AtWork,
    strain: Strain,
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

/// The callers with a name, or those without, as far as they are at work.
#[derive(Default)]
struct AtWork {
    /// All their calls inside.
    inside: usize,
    /// The two callers that came last, the last one first, and when they came.
    came: [Option<(Account, Instant)>; 2],
}

impl AtWork {
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

    /// Whether a caller other than this one, which has so many calls inside, is at work.
    fn others(&self, account: &Account, own_inside: usize, now: Instant) -> bool {
        let came = self.came.iter().flatten().find(|(other, _)| other != account);
        self.inside > own_inside
            || came.is_some_and(|(_, when)| now.saturating_duration_since(*when) < AT_WORK)
    }
}

/// Whether the node is short of processors: how long a task that is ready waits for a thread. The wait grows with the tasks
/// that are ready, and with what else the machine does.
#[derive(Default)]
struct Strain {
    /// One bit for each of the last samples, set if it was late.
    samples: u8,
    sampled: Option<Instant>,
    until: Option<Instant>,
}

impl Strain {
    /// Whether a sample is due. Then it counts as taken now.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.sampled.is_none_or(|last| now.saturating_duration_since(last) >= SAMPLE_EVERY);
        if due {
            self.sampled = Some(now);
        }
        due
    }

    fn sample(&mut self, waited: Duration, now: Instant) {
        let is_late = waited >= LATE;
        self.samples = (self.samples << 1) | u8::from(is_late);
        if is_late && self.samples.count_ones() >= LATE_MIN {
            self.until = Some(now + STRAINED_FOR);
        }
    }

    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

impl Door {
    /// So many calls of one caller are let in at a time while the bound holds.
    pub(crate) fn new(bound: usize) -> Self {
        let state = State {
            bound,
            callers: BTreeMap::new(),
            named: AtWork::default(),
            unnamed: AtWork::default(),
            strain: Strain::default(),
        };
        Self { state: Arc::new(Mutex::new(state)), bound }
    }

    /// The bound of this lane.
    pub(crate) fn most(&self, lane: DoorLane) -> usize {
        lane.most(self.bound)
    }

    /// Lets a call in, if its turn comes by `until`. Calls that are not told apart never wait.
    pub(crate) async fn enter(&self, account: &Account, lane: DoorLane, until: Instant) -> Option<Inside> {
        if *account == Account::Common {
            return Some(Inside { of: None, account: Account::Common, lane, waited: Duration::ZERO });
        }
        self.look().await;
        let came = Instant::now();
        let take = {
            let mut state = lock(&self.state);
            state.of(account).comes(account, came);
            if state.lets_in(account, lane, came) {
                state.enters(account, lane);
                return Some(inside(&self.state, account, lane));
            }
            let (give, take) = oneshot::channel();
            let calls = state.callers.entry(account.clone()).or_default();
            let waiting = &mut calls.lanes.entry(lane).or_default().waiting;
            // Callers that gave up leave entries behind. To look for them each time would cost too much.
            if waiting.len().is_power_of_two() {
                waiting.retain(|waits| !waits.is_closed());
            }
            waiting.push_back(give);
            take
        };
        let mut inside = timeout_at(until, take).await.ok()?.ok()?;
        inside.waited = came.elapsed();
        Some(inside)
    }

    /// Looks at how long a task waits for a thread, if that was not done just now.
    async fn look(&self) {
        let began = Instant::now();
        if lock(&self.state).strain.is_due(began) {
            yield_now().await;
            lock(&self.state).strain.sample(began.elapsed(), Instant::now());
        }
    }
}

fn inside(state: &Arc<Mutex<State>>, account: &Account, lane: DoorLane) -> Inside {
    Inside { of: Some(state.clone()), account: account.clone(), lane, waited: Duration::ZERO }
}

impl Inside {
    /// How long it waited at the door.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

impl State {
    fn of(&mut self, account: &Account) -> &mut AtWork {
        match account {
            Account::Named(_) => &mut self.named,
            Account::Source(_) | Account::Common => &mut self.unnamed,
        }
    }

    /// Whether the bound holds for this caller now.
    fn is_bounded(&self, account: &Account, now: Instant) -> bool {
        let own = self.callers.get(account).map_or(0, |calls| calls.inside);
        let others = match account {
            Account::Named(_) => self.named.others(account, own, now),
            Account::Source(_) | Account::Common => {
                self.unnamed.others(account, own, now) || self.named.others(account, 0, now)
            }
        };
        others && self.strain.is_on(now)
    }

    fn lets_in(&self, account: &Account, lane: DoorLane, now: Instant) -> bool {
        let in_lane = self.callers.get(account).and_then(|calls| calls.lanes.get(&lane));
        let Some(in_lane) = in_lane else { return true };
        if in_lane.inside < lane.most(self.bound) {
            return true;
        }
        // Those that wait go first.
        in_lane.waiting.iter().all(oneshot::Sender::is_closed) && !self.is_bounded(account, now)
    }

    fn enters(&mut self, account: &Account, lane: DoorLane) {
        let at_work = self.of(account);
        at_work.inside = at_work.inside.saturating_add(1);
        let calls = self.callers.entry(account.clone()).or_default();
        calls.inside = calls.inside.saturating_add(1);
        let in_lane = calls.lanes.entry(lane).or_default();
        in_lane.inside = in_lane.inside.saturating_add(1);
    }

    fn leaves(&mut self, account: &Account, lane: DoorLane) {
        let at_work = self.of(account);
        at_work.inside = at_work.inside.saturating_sub(1);
        let Some(calls) = self.callers.get_mut(account) else { return };
        calls.inside = calls.inside.saturating_sub(1);
        if let Some(in_lane) = calls.lanes.get_mut(&lane) {
            in_lane.inside = in_lane.inside.saturating_sub(1);
        }
    }

    /// The next call that waits in this lane, if it may come in now.
    fn next(&mut self, account: &Account, lane: DoorLane) -> Option<oneshot::Sender<Inside>> {
        let (bound, is_bounded) = (self.bound, self.is_bounded(account, Instant::now()));
        let in_lane = self.callers.get_mut(account)?.lanes.get_mut(&lane)?;
        if is_bounded && in_lane.inside >= lane.most(bound) {
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
            match next.send(inside(&shared, &self.account, self.lane)) {
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

    /// A door of a node that is short of processors.
    fn strained(bound: usize) -> Door {
        let door = Door::new(bound);
        lock(&door.state).strain.until = Some(Instant::now() + Duration::from_secs(3_600));
        door
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
        let door = strained(8);
        let alone = fill(&door, "flood", DoorLane::Ask).await;
        assert_eq!(alone.len(), 50);
        let quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        assert!(door.enter(&named("flood"), DoorLane::Ask, soon()).await.is_none());
        drop(alone);
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 8);
        assert_eq!(fill(&door, "flood", DoorLane::Batch).await.len(), 2);
        drop(quiet);
        // It counts as at work for a while after it came.
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 8);
        advance(AT_WORK).await;
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 50);
        let state = lock(&door.state);
        assert_eq!((state.named.inside, state.callers.len()), (0, 0), "what left is forgotten");
    }

    /// It fails if lanes share the bound: then a flood of writes keeps its caller's own governance out.
    #[tokio::test(start_paused = true)]
    async fn the_calls_of_one_lane_do_not_wait_for_those_of_another() {
        let door = strained(4);
        let _quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        let writes = fill(&door, "flood", DoorLane::Write).await;
        assert_eq!(writes.len(), 4);
        assert!(door.enter(&named("flood"), DoorLane::Write, soon()).await.is_none());
        for lane in [DoorLane::Ask, DoorLane::Batch, DoorLane::Governance, DoorLane::Read] {
            assert!(door.enter(&named("flood"), lane, soon()).await.is_some(), "{lane:?}");
        }
    }

    /// It fails if a call that leaves lets none in, if calls overtake, or if one that gave up takes a place.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_leaves_lets_the_next_one_of_its_caller_in() {
        let door = strained(1);
        let _quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        let first = door.enter(&named("flood"), DoorLane::Ask, soon()).await.unwrap();
        assert!(door.enter(&named("flood"), DoorLane::Ask, soon()).await.is_none(), "it gives up");
        // The call with which a sample is taken lets others pass.
        assert!(lock(&door.state).strain.is_due(Instant::now()));
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
        let door = strained(1);
        let quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        let first = door.enter(&named("flood"), DoorLane::Ask, soon()).await.unwrap();
        let until = Instant::now() + 3 * AT_WORK;
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
        let door = strained(1);
        let _other = door.enter(&named("other"), DoorLane::Ask, soon()).await.unwrap();
        for _ in 0..5 {
            let inside = door.enter(&Account::Common, DoorLane::Ask, soon()).await;
            assert!(inside.is_some());
            std::mem::forget(inside);
        }
    }

    /// It fails if a node that keeps up holds calls back: one that waits for the network takes no processor from others.
    #[tokio::test(start_paused = true)]
    async fn the_bound_holds_only_for_a_while_after_tasks_had_to_wait_for_a_thread() {
        let door = Door::new(8);
        let _quiet = door.enter(&named("quiet"), DoorLane::Ask, soon()).await.unwrap();
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 50);
        lock(&door.state).strain.sample(LATE, Instant::now());
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 50, "one late task is an accident");
        lock(&door.state).strain.sample(LATE, Instant::now());
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 8);
        advance(STRAINED_FOR).await;
        assert_eq!(fill(&door, "flood", DoorLane::Ask).await.len(), 50);
    }

    /// It fails if a stranger's call slows down a caller of the table, or if a stranger is not bounded beside one.
    #[tokio::test(start_paused = true)]
    async fn a_caller_without_a_name_bounds_none_with_one() {
        let stranger = Account::Source(crate::access::Source::of("127.0.0.9:1"));
        let door = strained(8);
        let inside = door.enter(&stranger, DoorLane::Ask, soon()).await.unwrap();
        assert_eq!(fill(&door, "scheduler", DoorLane::Ask).await.len(), 50);
        drop(inside);
        let mut strangers = Vec::new();
        while let Some(inside) = door.enter(&stranger, DoorLane::Ask, soon()).await {
            strangers.push(inside);
        }
        assert_eq!(strangers.len(), 8);
    }

    /// It fails if what a task waits for a thread is not seen. The samples are real: the other task holds the only thread.
    #[tokio::test]
    async fn a_task_that_holds_the_thread_is_seen_as_strain() {
        let door = Door::new(1);
        let hog = async {
            for _ in 0..20 {
                std::thread::sleep(2 * LATE);
                yield_now().await;
            }
        };
        let calls = async {
            for _ in 0..4 {
                drop(door.enter(&named("one"), DoorLane::Ask, soon()).await);
                yield_now().await;
            }
        };
        futures_util::future::join(hog, calls).await;
        assert!(lock(&door.state).strain.is_on(Instant::now()));
    }
}
