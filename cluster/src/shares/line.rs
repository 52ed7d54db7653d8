//! A waiting line in which accounts take turns, so that an account with many entries delays another by one entry only.

use std::collections::VecDeque;

use crate::access::Account;

/// Entries that wait. Those of one account keep their order.
pub(crate) struct Line<T> {
    /// The accounts with entries, the next one first.
    accounts: VecDeque<(Account, VecDeque<T>)>,
    length: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { accounts: VecDeque::new(), length: 0 }
    }
}

impl<T> Line<T> {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts an entry behind those of its account.
    pub(crate) fn push(&mut self, account: &Account, entry: T) {
        self.length = self.length.saturating_add(1);
        match self.accounts.iter_mut().find(|(other, _)| other == account) {
            Some((_, entries)) => entries.push_back(entry),
            None => self.accounts.push_back((account.clone(), VecDeque::from([entry]))),
        }
    }

    /// The next entry: the first one of the account whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.pop_of(|_| true).map(|(_, entry)| entry)
    }

    /// The next entry of an account that `may` have its turn. The account is the last one afterwards.
    pub(crate) fn pop_of(&mut self, may: impl Fn(&Account) -> bool) -> Option<(Account, T)> {
        let place = self.accounts.iter().position(|(account, _)| may(account))?;
        let (account, mut entries) = self.accounts.remove(place)?;
        let entry = entries.pop_front()?;
        self.length = self.length.saturating_sub(1);
        if !entries.is_empty() {
            self.accounts.push_back((account.clone(), entries));
        }
        Some((account, entry))
    }

    /// Drops entries of the account whose turn it is, and of the accounts after it, until the next one does not match.
    pub(crate) fn skip(&mut self, over: impl Fn(&T) -> bool) {
        while let Some((_, entries)) = self.accounts.front_mut() {
            while entries.front().is_some_and(&over) {
                entries.pop_front();
                self.length = self.length.saturating_sub(1);
            }
            if !entries.is_empty() {
                return;
            }
            self.accounts.pop_front();
        }
    }

    /// Keeps only the entries that match.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for (_, entries) in &mut self.accounts {
            entries.retain(&keep);
        }
        self.accounts.retain(|(_, entries)| !entries.is_empty());
        self.length = self.accounts.iter().map(|(_, entries)| entries.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Account {
        Account::Named(name.into())
    }

    /// It fails if the line goes by arrival alone.
    #[test]
    fn accounts_take_turns_and_each_keeps_its_order() {
        let mut line = Line::default();
        for entry in 0..4 {
            line.push(&named("flood"), entry);
        }
        line.push(&named("quiet"), 10);
        line.push(&named("other"), 20);
        let order: Vec<i32> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!(order, [0, 10, 20, 1, 2, 3]);
        assert!(line.is_empty());
    }

    /// It fails if an account that must wait holds up those behind it.
    #[test]
    fn an_account_that_may_not_go_yet_is_passed_over() {
        let mut line = Line::default();
        line.push(&named("flood"), 0);
        line.push(&named("quiet"), 10);
        assert_eq!(line.pop_of(|account| *account != named("flood")), Some((named("quiet"), 10)));
        assert_eq!(line.pop_of(|account| *account != named("flood")), None);
        assert_eq!((line.len(), line.pop()), (1, Some(0)));
    }

    #[test]
    fn entries_that_are_over_are_dropped_and_counted() {
        let mut line = Line::default();
        for (account, entry) in [("a", 1), ("a", 2), ("b", 1), ("c", 3)] {
            line.push(&named(account), entry);
        }
        line.skip(|entry| *entry == 1);
        assert_eq!((line.len(), line.pop()), (3, Some(2)));
        line.retain(|entry| *entry == 3);
        assert_eq!((line.len(), line.pop(), line.pop()), (1, Some(3), None));
    }
}
