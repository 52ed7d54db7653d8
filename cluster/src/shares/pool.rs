//! Places that a call takes at once or not at all: one for each request, envelope or KiB.
//!
//! A caller may hold as many places as are then free. So if one caller floods the node, half of the places
//! stay free for the others. If two do, a third stays free, and so on. A caller that holds none may take what there is,
//! because the largest call must fit into the smallest pool.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::access::Account;
use crate::locked::lock;

/// What is called for each refusal of a caller that has its share.
pub(crate) type Count = Arc<dyn Fn() + Send + Sync>;

/// The places.
#[derive(Clone)]
pub(crate) struct Pool {
    state: Arc<Mutex<State>>,
    most: usize,
    count: Option<Count>,
}

struct State {
    free: usize,
    /// How many places each caller holds.
    held: BTreeMap<Account, usize>,
}

/// Places of one call, which are given back when this is dropped.
pub(crate) struct Share {
    pool: Pool,
    account: Account,
    places: usize,
}

/// Why there are no places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoShare {
    /// Too few are free.
    Full,
    /// The caller holds so many that the rest is for others.
    Held {
        /// The number that it holds.
        held: usize,
    },
}

impl NoShare {
    /// The sentence for callers: `full`, or that the caller has its share.
    pub(crate) fn told(self, full: impl FnOnce() -> String) -> String {
        match self {
            NoShare::Full => full(),
            NoShare::Held { held } => {
                format!("{}; this caller holds {held}, and may hold as many as are then left free", full())
            }
        }
    }
}

impl Pool {
    pub(crate) fn new(most: usize) -> Self {
        let state = State { free: most, held: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)), most, count: None }
    }

    /// The pool, with a count of the refusals of callers that have their share.
    pub(crate) fn counted(self, count: &Count) -> Self {
        Self { count: Some(count.clone()), ..self }
    }

    /// The number of places that are free.
    pub(crate) fn free(&self) -> usize {
        lock(&self.state).free
    }

    /// The number of places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.most.saturating_sub(self.free())
    }

    /// Checks whether a caller could take this many places now. It takes none.
    ///
    /// # Errors
    /// Why it could not.
    pub(crate) fn look(&self, account: &Account, places: usize) -> Result<(), NoShare> {
        let looked = lock(&self.state).look(account, places);
        self.counts(looked)
    }

    /// Takes this many places, without waiting.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn take(&self, account: &Account, places: usize) -> Result<Share, NoShare> {
        let taken = {
            let mut state = lock(&self.state);
            state.look(account, places).map(|()| state.take(account, places))
        };
        self.counts(taken)?;
        Ok(Share { pool: self.clone(), account: account.clone(), places })
    }

    fn counts(&self, looked: Result<(), NoShare>) -> Result<(), NoShare> {
        if let (Err(NoShare::Held { .. }), Some(count)) = (&looked, &self.count) {
            count();
        }
        looked
    }
}

impl State {
    fn look(&self, account: &Account, places: usize) -> Result<(), NoShare> {
        let Some(left) = self.free.checked_sub(places) else { return Err(NoShare::Full) };
        match account {
            Account::Common => Ok(()),
            Account::Named(_) | Account::Source(_) => {
                let held = self.held.get(account).copied().unwrap_or_default();
                let fits = held == 0 || places == 0 || held.saturating_add(places) <= left;
                fits.then_some(()).ok_or(NoShare::Held { held })
            }
        }
    }

    fn take(&mut self, account: &Account, places: usize) {
        self.free = self.free.saturating_sub(places);
        if places > 0 && *account != Account::Common {
            let held = self.held.entry(account.clone()).or_default();
            *held = held.saturating_add(places);
        }
    }

    fn give_back(&mut self, account: &Account, places: usize) {
        self.free = self.free.saturating_add(places);
        if let Some(held) = self.held.get_mut(account) {
            *held = held.saturating_sub(places);
            if *held == 0 {
                self.held.remove(account);
            }
        }
    }
}

impl Share {
    /// Whose places they are.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The number of places.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Takes more places.
    ///
    /// # Errors
    /// Why there are none. What is held is kept.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), NoShare> {
        let mut share = self.pool.take(&self.account, more)?;
        self.places = self.places.saturating_add(std::mem::take(&mut share.places));
        Ok(())
    }

    /// Keeps at most this many places, and gives the others back.
    pub(crate) fn keep(&mut self, places: usize) {
        drop(self.split(self.places.saturating_sub(places)));
    }

    /// Takes up to this many of these places apart.
    pub(crate) fn split(&mut self, places: usize) -> Share {
        let places = places.min(self.places);
        self.places = self.places.saturating_sub(places);
        Share { pool: self.pool.clone(), account: self.account.clone(), places }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.places > 0 {
            lock(&self.pool.state).give_back(&self.account, self.places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Account {
        Account::Named(name.into())
    }

    /// It fails if one caller can take every place, or if its refusal does not tell its bound.
    #[test]
    fn a_caller_that_takes_all_it_can_leaves_as_much_free_as_it_holds() {
        let pool = Pool::new(100);
        let mut flood = Vec::new();
        let why = loop {
            match pool.take(&named("flood"), 1) {
                Ok(share) => flood.push(share),
                Err(why) => break why,
            }
        };
        assert_eq!((flood.len(), why), (50, NoShare::Held { held: 50 }));
        assert!(why.told(|| "full".to_owned()).contains("holds 50"));
        let mut second = Vec::new();
        while let Ok(share) = pool.take(&named("second"), 1) {
            second.push(share);
        }
        assert_eq!((second.len(), pool.free()), (25, 25));
        let quiet = pool.take(&named("quiet"), 10);
        assert!(quiet.is_ok());
        drop((flood, second, quiet));
        assert_eq!((pool.free(), pool.taken()), (100, 0));
        assert!(lock(&pool.state).held.is_empty(), "what is given back is forgotten");
    }

    #[test]
    fn a_caller_that_holds_nothing_may_take_all_that_is_free() {
        let pool = Pool::new(10);
        let share = pool.take(&named("one"), 10).unwrap();
        assert_eq!(pool.take(&named("two"), 1).err(), Some(NoShare::Full));
        drop(share);
        assert!(pool.take(&named("two"), 1).is_ok());
    }

    #[test]
    fn calls_that_are_not_told_apart_may_take_every_place() {
        let pool = Pool::new(3);
        let held: Vec<Share> = (0..3).map(|_| pool.take(&Account::Common, 1).unwrap()).collect();
        assert_eq!(pool.take(&Account::Common, 1).err(), Some(NoShare::Full));
        assert_eq!(held.len(), 3);
    }

    #[test]
    fn a_share_grows_is_cut_and_is_taken_apart_and_nothing_of_it_is_lost() {
        let pool = Pool::new(10);
        let mut share = pool.take(&named("one"), 2).unwrap();
        share.grow(3).unwrap();
        assert_eq!((share.places(), pool.free()), (5, 5));
        assert_eq!(share.grow(1).err(), Some(NoShare::Held { held: 5 }));
        let part = share.split(2);
        share.keep(1);
        assert_eq!((share.places(), part.places(), pool.free()), (1, 2, 7));
        drop(share);
        assert_eq!(lock(&pool.state).held.get(&named("one")), Some(&2));
        drop(part);
        assert_eq!(pool.free(), 10);
    }
}
