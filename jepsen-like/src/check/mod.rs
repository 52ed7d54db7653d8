//! Judges histories: one invariant a file, each a function of the history alone.
//!
//! The numbers are those of `README.md`. A check says what it looked at, so that a run in which it had nothing
//! to look at does not pass for one that it passed.

mod batches;
mod book;
mod clocks_leap;
mod converges;
mod cut_denies;
mod expired_stays;
mod faults;
mod fsync;
mod judge;
mod lives;
mod log_kept;
mod lost_disk;
mod majority_works;
mod not_vacuous;
mod nothing_invented;
mod nothing_lost;
mod offline;
mod one_state;
mod outsiders;
mod permits;
mod prompt_deny;
mod raft;
mod read;
mod replay;
mod restriction_binds;
mod resumes;
mod rules_wait;
mod s2;
mod samples;
mod serves;

use crate::history::History;

pub use judge::{Finding, Report, judge, lines};

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
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: "S1",
        says: "nothing is allowed on what was revoked, quarantined, isolated or invalidated before it was asked",
        check: restriction_binds::check,
    },
    Invariant {
        id: "S2",
        says: "each domain's history is linearizable, and every decision is that of the rules",
        check: s2::check,
    },
    Invariant {
        id: "S3",
        says: "what was acknowledged is on every node that reaches so far, byte for byte",
        check: nothing_lost::check,
    },
    Invariant {
        id: "S4",
        says: "nothing is in a ledger that nobody submitted, or twice, or with two receipts",
        check: nothing_invented::check,
    },
    Invariant {
        id: "S5",
        says: "who has applied the same holds the same, leaf by leaf",
        check: one_state::check,
    },
    Invariant {
        id: "S7",
        says: "one leader a term, with all that was committed; what a node voted and applied it never takes back",
        check: raft::check,
    },
    Invariant {
        id: "S8",
        says: "no answer is as of an earlier time than was told before, so what has expired stays expired",
        check: expired_stays::check,
    },
    Invariant {
        id: "S9",
        says: "a node that is cut from every quorum allows nothing",
        check: cut_denies::check,
    },
    Invariant {
        id: "S10",
        says: "replay from the beginning gives what every node holds, snapshot or not",
        check: replay::check,
    },
    Invariant {
        id: "S11",
        says: "a node whose disk failed acknowledges nothing and votes for nobody",
        check: fsync::check,
    },
    Invariant {
        id: "S12",
        says: "a log in which a bit flipped does not open, or is all there",
        check: log_kept::check,
    },
    Invariant { id: "S13", says: "who is no voter neither leads nor allows", check: outsiders::check },
    Invariant {
        id: "S14",
        says: "every decision and every leaf verifies offline, and a decision is about what was asked",
        check: offline::check,
    },
    Invariant {
        id: "S15",
        says: "an authorization with n uses is good for n permits",
        check: permits::check,
    },
    Invariant {
        id: "S16",
        says: "a node with a wiped disk never votes, leads or allows, and one that was rolled back not while all others remember more",
        check: lost_disk::check,
    },
    Invariant {
        id: "S18",
        says: "the rules are raised once every voter knows them, and nobody decides by rules that its build does not know",
        check: rules_wait::check,
    },
    Invariant {
        id: "S19",
        says: "on clocks that leapt together nothing is allowed and nothing accepted before they have settled",
        check: clocks_leap::check,
    },
    Invariant {
        id: "S20",
        says: "of a batch, what is wrong with one envelope is held against it alone, or in mode `all` against all of them",
        check: batches::check,
    },
    Invariant {
        id: "L1",
        says: "a node that is cut from every quorum answers within a second",
        check: prompt_deny::check,
    },
    Invariant { id: "L2", says: "a cluster with nothing wrong serves within 10 s", check: resumes::check },
    Invariant { id: "L3", says: "in the end all members hold the same", check: converges::check },
    Invariant {
        id: "L4",
        says: "a majority that nothing is wrong with serves within 10 s",
        check: majority_works::check,
    },
    Invariant {
        id: "M3",
        says: "at least 15 % of a run's operations succeed and 5 % are allows",
        check: not_vacuous::check,
    },
];

/// What is promised and histories cannot show, each with where it is shown instead, or why not yet.
pub const NOT_YET: &[(&str, &str)] = &[
    ("S6", "no checkpoint is published yet"),
    ("S17", "nodes do not compare their roots with the majority's yet, and no fault makes them differ"),
    ("L5", "memory is measured by the runs of real processes"),
    ("M1", "shown by running one seed in two processes"),
    ("M2", "shown by what the harness counts while it runs"),
];
