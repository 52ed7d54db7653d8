//! Judges histories: one invariant a file, each a function of the history alone.
//!
//! The numbers are those of the reliability page. A check says what it looked at, so that a run in which it had nothing
//! to look at does not pass for one that it passed.

mod s2;

use crate::history::History;

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What happened, for people.
    pub what: String,
    /// The records that show it, by their place in the history: as few as will do.
    pub shown_by: Vec<usize>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many things it looked at.
    pub looked_at: u64,
    /// What must not have happened.
    pub violations: Vec<Violation>,
}

/// An invariant and its check.
pub struct Invariant {
    /// Its number, such as `S1`.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Judges a history.
    pub check: fn(&History) -> Verdict,
}

/// Every invariant that is checked.
pub const INVARIANTS: &[Invariant] = &[Invariant {
    id: "S2",
    says: "each domain's history is linearizable, and every decision is that of the rules",
    check: s2::check,
}];
