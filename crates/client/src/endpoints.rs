//! The endpoints, and which of them a call asks first.
//!
//! A client begins with a random endpoint, so that many clients with the same list do not all load the first node, or
//! all wait for it. It then prefers the endpoint that answered last.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::endpoint::Endpoint;

/// Which endpoint a client asks first. Afterwards it is the one that answered last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstEndpoint {
    /// A random endpoint, so that clients with the same list spread over the nodes, and do not all wait for the same
    /// one.
    Random,
    /// The first endpoint of the list, for example because it is the nearest.
    AsListed,
}

/// The endpoints, at least one, by their places in the list given.
#[derive(Debug)]
pub(crate) struct Endpoints {
    first: Endpoint,
    others: Vec<Endpoint>,
    /// The place of the endpoint to ask first. It is only a hint, so relaxed ordering is enough.
    preferred: AtomicUsize,
}

impl Endpoints {
    pub(crate) fn new(first: Endpoint, others: Vec<Endpoint>, begin: FirstEndpoint) -> Self {
        let count = others.len().saturating_add(1);
        let preferred = match begin {
            FirstEndpoint::Random => random_below(count),
            FirstEndpoint::AsListed => 0,
        };
        Endpoints { first, others, preferred: AtomicUsize::new(preferred) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.others.len().saturating_add(1)
    }

    /// The one at this place.
    pub(crate) fn at(&self, place: usize) -> &Endpoint {
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }

    /// The place of the one to ask first.
    pub(crate) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// The place after this one.
    pub(crate) fn after(&self, place: usize) -> usize {
        place.saturating_add(1).checked_rem(self.count()).unwrap_or(0)
    }

    /// Every place once, in the order in which to ask.
    pub(crate) fn in_turn(&self) -> Vec<usize> {
        let mut place = self.preferred();
        let mut places = Vec::with_capacity(self.count());
        for _ in 0..self.count() {
            places.push(place);
            place = self.after(place);
        }
        places
    }

    /// Asks this one first from now on: it answered.
    pub(crate) fn prefer(&self, place: usize) {
        self.preferred.store(place, Ordering::Relaxed);
    }

    /// Stops preferring an endpoint that could not answer, unless another call has already done so.
    pub(crate) fn turn_from(&self, place: usize) {
        let next = self.after(place);
        let _ = self.preferred.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A number below `count`. It spreads load and keeps no secret, so the seed that the standard library draws for each hash
/// map will do.
fn random_below(count: usize) -> usize {
    let drawn = usize::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(0);
    drawn.checked_rem(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn endpoints(begin: FirstEndpoint) -> Endpoints {
        let endpoint = |text: &str| Endpoint::parse(text).unwrap();
        Endpoints::new(endpoint("a:1"), vec![endpoint("b:2"), endpoint("c:3")], begin)
    }

    #[test]
    fn clients_with_the_same_list_begin_at_different_endpoints() {
        // Of 200 clients, none begins at one of three endpoints with probability 3 × (2/3)^200.
        let begun: BTreeSet<usize> = (0..200).map(|_| endpoints(FirstEndpoint::Random).preferred()).collect();
        assert_eq!(begun, BTreeSet::from([0, 1, 2]));
        assert!((0..200).all(|_| endpoints(FirstEndpoint::AsListed).preferred() == 0));
    }

    #[test]
    fn each_endpoint_has_its_turn_once_and_the_one_that_answered_is_asked_first() {
        let endpoints = endpoints(FirstEndpoint::AsListed);
        assert_eq!(endpoints.in_turn(), [0, 1, 2]);
        endpoints.prefer(2);
        assert_eq!(endpoints.in_turn(), [2, 0, 1]);
        // Another call has turned from `0` already.
        endpoints.turn_from(0);
        assert_eq!(endpoints.preferred(), 2);
        endpoints.turn_from(2);
        assert_eq!(endpoints.preferred(), 0);
        let all: Vec<&str> = (0..3).map(|place| endpoints.at(place).as_str()).collect();
        assert_eq!(all, ["a:1", "b:2", "c:3"]);
    }
}
