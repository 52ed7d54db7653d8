//! The calls and returns of a history in order of time, as Lowe's doubly linked list: to take an operation, the search
//! lifts its two entries out; to go back, it puts them where they were.

use super::Timed;

/// A call or a return, with the place of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// The operation was invoked.
    Call(usize),
    /// The operation returned.
    Return(usize),
}

/// The sentinel before the first entry and after the last.
const ENDS: usize = 0;

#[derive(Debug, Clone, Copy)]
struct Node {
    entry: Option<Entry>,
    before: usize,
    after: usize,
}

/// The list. Entries keep their places, from 1 on in order of time, whether they are lifted out or not.
pub(super) struct Entries {
    nodes: Vec<Node>,
    /// For each operation, the places of its call and of its return.
    places: Vec<(usize, Option<usize>)>,
    returns: usize,
}

impl Entries {
    /// The entries of a history. At equal times calls come first: operations that touch overlap.
    pub(super) fn of<O>(operations: &[Timed<O>]) -> Self {
        let mut sorted = Vec::with_capacity(operations.len().saturating_mul(2));
        for (place, operation) in operations.iter().enumerate() {
            sorted.push((operation.invoke, 0_u8, place));
            if let Some(returned) = operation.returned {
                sorted.push((returned.max(operation.invoke), 1, place));
            }
        }
        sorted.sort_unstable();
        let count = sorted.len();
        let mut nodes = vec![Node { entry: None, before: count, after: usize::from(count > 0) }];
        let mut places = vec![(ENDS, None); operations.len()];
        for (i, (_, is_return, operation)) in sorted.iter().enumerate() {
            let here = i.saturating_add(1);
            let entry = if *is_return == 1 { Entry::Return(*operation) } else { Entry::Call(*operation) };
            let after = if here == count { ENDS } else { here.saturating_add(1) };
            nodes.push(Node { entry: Some(entry), before: i, after });
            if let Some(place) = places.get_mut(*operation) {
                match entry {
                    Entry::Call(_) => place.0 = here,
                    Entry::Return(_) => place.1 = Some(here),
                }
            }
        }
        let returns = places.iter().filter(|(_, returned)| returned.is_some()).count();
        Self { nodes, places, returns }
    }

    /// The place of the first entry.
    pub(super) fn first(&self) -> usize {
        self.after(ENDS)
    }

    /// The place after this one.
    pub(super) fn after(&self, place: usize) -> usize {
        self.nodes.get(place).map_or(ENDS, |node| node.after)
    }

    /// The entry at a place; `None` at the end.
    pub(super) fn get(&self, place: usize) -> Option<Entry> {
        self.nodes.get(place).and_then(|node| node.entry)
    }

    /// How many returns are still in the list.
    pub(super) fn returns_ahead(&self) -> usize {
        self.returns
    }

    /// Where an operation's call stands.
    pub(super) fn call_of(&self, operation: usize) -> usize {
        self.places.get(operation).map_or(ENDS, |(call, _)| *call)
    }

    /// The operations whose calls are in the list before a place.
    pub(super) fn called_before(&self, place: usize) -> Vec<usize> {
        let mut calls = Vec::new();
        let mut at = self.first();
        while at != place {
            match self.get(at) {
                Some(Entry::Call(operation)) => calls.push(operation),
                Some(Entry::Return(_)) => {}
                None => break,
            }
            at = self.after(at);
        }
        calls
    }

    /// Takes an operation's entries out.
    pub(super) fn lift(&mut self, operation: usize) {
        let (call, returned) = self.places.get(operation).copied().unwrap_or((ENDS, None));
        self.unlink(call);
        if let Some(returned) = returned {
            self.unlink(returned);
            self.returns = self.returns.saturating_sub(1);
        }
    }

    /// Puts back the operation that was lifted last.
    pub(super) fn unlift(&mut self, operation: usize) {
        let (call, returned) = self.places.get(operation).copied().unwrap_or((ENDS, None));
        if let Some(returned) = returned {
            self.relink(returned);
            self.returns = self.returns.saturating_add(1);
        }
        self.relink(call);
    }

    fn unlink(&mut self, place: usize) {
        if let Some(Node { before, after, .. }) = self.nodes.get(place).copied() {
            self.join(before, after);
        }
    }

    fn relink(&mut self, place: usize) {
        if let Some(Node { before, after, .. }) = self.nodes.get(place).copied() {
            self.join(before, place);
            self.join(place, after);
        }
    }

    fn join(&mut self, left: usize, right: usize) {
        if let Some(node) = self.nodes.get_mut(left) {
            node.after = right;
        }
        if let Some(node) = self.nodes.get_mut(right) {
            node.before = left;
        }
    }
}
