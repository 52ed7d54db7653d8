//! Lets a few pieces of work through at a time. The accounts that wait take turns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::line::Line;
use crate::access::Account;
use crate::locked::lock;

/// The gate. Each [`Pass`] is one piece of work.
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
}

struct State {
    free: usize,
    /// How many passes one caller may have at a time.
    each_max: usize,
    /// How many passes each account has.
    held: BTreeMap<Account, usize>,
    waiting: Line<oneshot::Sender<Pass>>,
}

/// The right to do one piece of work. It is passed on when it is dropped.
pub(crate) struct Pass {
    of: Option<Arc<Mutex<State>>>,
    account: Account,
}

impl Gate {
    /// This many passes at a time, and at most `each_max` of them for one caller.
    pub(crate) fn new(at_once: usize, each_max: usize) -> Self {
        let state = State { free: at_once, each_max, held: BTreeMap::new(), waiting: Line::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A pass, if it comes by `until`.
    pub(crate) async fn pass(&self, account: &Account, until: Instant) -> Option<Pass> {
        let (give, take) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            // A caller that gave up leaves its entry behind, which is dropped when its account comes to the front. The
            // places of the calls that wait bound the line.
            state.waiting.skip(oneshot::Sender::is_closed);
            state.waiting.push(account, give);
            hand_out(&self.state, &mut state);
        }
        timeout_at(until, take).await.ok()?.ok()
    }
}

impl State {
    fn next(&mut self) -> Option<(Account, oneshot::Sender<Pass>)> {
        let (held, each_max) = (&self.held, self.each_max);
        self.waiting.pop_of(|account| match account {
            Account::Common => true,
            Account::Named(_) | Account::Source(_) => {
                held.get(account).copied().unwrap_or_default() < each_max
            }
        })
    }

    fn taken(&mut self, account: Account) {
        self.free = self.free.saturating_sub(1);
        let held = self.held.entry(account).or_default();
        *held = held.saturating_add(1);
    }

    fn over(&mut self, account: &Account) {
        self.free = self.free.saturating_add(1);
        if let Some(held) = self.held.get_mut(account) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(account);
            }
        }
    }
}

/// Gives the free passes to the next that wait.
fn hand_out(shared: &Arc<Mutex<State>>, state: &mut State) {
    while state.free > 0 {
        let Some((account, next)) = state.next() else { return };
        match next.send(Pass { of: Some(shared.clone()), account: account.clone() }) {
            Ok(()) => state.taken(account),
            // It gave up. Its pass was never taken, so it must not be given back, least of all under this lock.
            Err(mut pass) => pass.of = None,
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some(shared) = self.of.take() else { return };
        let mut state = lock(&shared);
        state.over(&self.account);
        hand_out(&shared, &mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn named(name: &str) -> Account {
        Account::Named(name.into())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    /// It fails if a caller can have every pass, or if its bound keeps others out.
    #[tokio::test(start_paused = true)]
    async fn one_caller_has_no_more_passes_than_its_bound_and_the_others_are_free() {
        let gate = Gate::new(4, 2);
        let first = gate.pass(&named("flood"), soon()).await.unwrap();
        let second = gate.pass(&named("flood"), soon()).await.unwrap();
        assert!(gate.pass(&named("flood"), soon()).await.is_none());
        let quiet = gate.pass(&named("quiet"), soon()).await.unwrap();
        drop(first);
        assert!(gate.pass(&named("flood"), soon()).await.is_some());
        drop((second, quiet));
    }

    /// It fails if passes go by arrival alone: then the quiet caller is the last one.
    #[tokio::test(start_paused = true)]
    async fn a_caller_that_comes_after_many_calls_of_another_waits_for_one_of_them_only() {
        let gate = Gate::new(1, 1);
        let held = gate.pass(&Account::Common, soon()).await.unwrap();
        let order = Mutex::new(Vec::new());
        let names = ["flood", "flood", "flood", "quiet"];
        let waiting = names.map(|name| {
            let (gate, order) = (&gate, &order);
            async move {
                let _pass = gate.pass(&named(name), soon()).await.unwrap();
                order.lock().unwrap().push(name);
            }
        });
        tokio::join!(futures_util::future::join_all(waiting), async { drop(held) });
        assert_eq!(order.into_inner().unwrap(), ["flood", "quiet", "flood", "flood"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pass_of_a_caller_that_gave_up_goes_to_the_next_one() {
        let gate = Gate::new(1, 1);
        let held = gate.pass(&Account::Common, soon()).await.unwrap();
        assert!(gate.pass(&named("left"), soon()).await.is_none());
        let name = named("next");
        let (next, ()) = tokio::join!(gate.pass(&name, soon()), async { drop(held) });
        assert!(next.is_some());
    }
}
