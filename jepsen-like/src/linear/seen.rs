//! The configurations that the search has seen: which operations were taken, together with the state that they led to.

use std::collections::HashSet;

/// The operations that are taken now, and every configuration seen before.
pub(super) struct Seen {
    taken: Vec<u64>,
    /// It is only asked whether it contains something, so its order has no effect.
    before: HashSet<(Trimmed, u128)>,
}

/// A set of operations: the number of whole words, from the first, whose operations are all taken, and the words after
/// these up to the last taken operation. A history's past is all taken and its future is not, so the part between them
/// is short.
type Trimmed = (usize, Box<[u64]>);

impl Seen {
    /// The empty search: nothing taken, nothing seen.
    pub(super) fn new(operations: usize) -> Self {
        Self { taken: vec![0; operations.div_ceil(64)], before: HashSet::new() }
    }

    /// How many configurations were seen.
    pub(super) fn len(&self) -> usize {
        self.before.len()
    }

    /// Takes an operation, if the set with the state that it leads to is new; otherwise nothing changes.
    pub(super) fn insert_with(&mut self, operation: usize, digest: u128) -> bool {
        self.flip(operation);
        let new = self.before.insert((self.trimmed(), digest));
        if !new {
            self.flip(operation);
        }
        new
    }

    /// Takes an operation back.
    pub(super) fn forget(&mut self, operation: usize) {
        self.flip(operation);
    }

    fn flip(&mut self, operation: usize) {
        if let Some(word) = self.taken.get_mut(operation / 64) {
            *word ^= 1 << (operation % 64);
        }
    }

    fn trimmed(&self) -> Trimmed {
        let full = self.taken.iter().take_while(|word| **word == u64::MAX).count();
        let end = self.taken.iter().rposition(|word| *word != 0).map_or(0, |last| last.saturating_add(1));
        (full, self.taken.get(full..end).unwrap_or_default().into())
    }
}
