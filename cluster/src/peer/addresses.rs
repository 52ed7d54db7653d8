//! The addresses of a peer, which are tried in turn.
//!
//! A member that moved is not at the address in the membership, and a newer address that a node has heard may be
//! wrong too. So the node tries every address that it has reason to believe. This module owns only the order. A node
//! proves who it is by its hello.

/// The addresses of one peer.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    all: Vec<String>,
    /// The index of the address that is dialed next. An address that answered is kept.
    next: usize,
}

impl Addresses {
    /// Replaces the addresses, the best one first. Returns whether there were none before.
    pub(super) fn set(&mut self, all: Vec<String>) -> bool {
        let first = self.all.is_empty();
        if self.all != all {
            // An address that is being tried, or that answers, stays the present one.
            let present = self.present();
            self.next = all.iter().position(|addr| Some(addr) == present.as_ref()).unwrap_or(0);
            if all.first() != self.all.first() {
                self.next = 0;
            }
            self.all = all;
        }
        first
    }

    /// The address that is dialed next; none if none is known.
    pub(super) fn present(&self) -> Option<String> {
        self.all.get(self.next).cloned()
    }

    /// Notes that dialing this address failed. The next one follows.
    pub(super) fn failed(&mut self, addr: &str) {
        if self.all.get(self.next).is_some_and(|present| present == addr) {
            self.next = self.next.saturating_add(1).checked_rem(self.all.len()).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(addrs: &[&str]) -> Vec<String> {
        addrs.iter().map(|addr| (*addr).to_owned()).collect()
    }

    #[test]
    fn addresses_are_tried_in_turn_and_one_that_answers_is_kept() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.present(), None);
        addresses.failed("a:1");
        assert!(addresses.set(list(&["a:1", "b:1"])));
        assert_eq!(addresses.present().as_deref(), Some("a:1"));
        addresses.failed("a:1");
        assert_eq!(addresses.present().as_deref(), Some("b:1"));
        // The same failure again, and a failure of an address that is not the present one.
        assert!(!addresses.set(list(&["a:1", "b:1"])));
        addresses.failed("a:1");
        assert_eq!(addresses.present().as_deref(), Some("b:1"));
        addresses.failed("b:1");
        assert_eq!(addresses.present().as_deref(), Some("a:1"));
    }

    #[test]
    fn a_better_address_is_tried_first() {
        let mut addresses = Addresses::default();
        addresses.set(list(&["a:1", "b:1"]));
        addresses.failed("a:1");
        addresses.set(list(&["c:1", "a:1", "b:1"]));
        assert_eq!(addresses.present().as_deref(), Some("c:1"));
        addresses.failed("c:1");
        addresses.set(list(&["c:1", "a:1"]));
        assert_eq!(addresses.present().as_deref(), Some("a:1"));
    }
}
