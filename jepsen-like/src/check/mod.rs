//! Judges histories: each file holds one invariant as a function of the history alone.
//!
//! The numbers are those of `README.md`. A check reports how many things it looked at, so that a run in which it had
//! nothing to look at is not mistaken for a run that it passed. A check never asks a node and never reads a clock.
//!
//! Simulated runs, and chaos's runs of real processes, have histories of the same form. [`Invariant::scope`] says in
//! which of them a check is applied, and why not in the other.

mod all_accepted;
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
pub(crate) use judge::{PRINTED_MAX, table};
pub(crate) use read::StatementContent;

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What happened, for people.
    pub what: String,
    /// The records that show it, by their place in the history: as few as possible.
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

/// Where a history was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Setting {
    /// In a simulated run.
    Simulation,
    /// In a run of real processes.
    Chaos,
}

/// In which histories an invariant is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In those of simulated runs and of chaos.
    Everywhere,
    /// Only in those of simulated runs, for this reason.
    Simulation(&'static str),
    /// Only in those of chaos, for this reason.
    Chaos(&'static str),
}

/// An invariant and its check.
pub struct Invariant {
    /// Its number, such as `S1`.
    pub id: &'static str,
    /// The invariant as a sentence.
    pub says: &'static str,
    /// In which histories it is judged.
    pub scope: Scope,
    /// Judges a history.
    pub check: fn(&History) -> Verdict,
}

impl Invariant {
    /// Whether it is judged in the histories that are recorded there.
    pub fn is_judged_in(&self, setting: Setting) -> bool {
        match self.scope {
            Scope::Everywhere => true,
            Scope::Simulation(_) => setting == Setting::Simulation,
            Scope::Chaos(_) => setting == Setting::Chaos,
        }
    }
}

/// Why chaos is not judged by what samples show.
const NO_SAMPLES: &str = "chaos takes no samples of the nodes' Raft states";
/// Why chaos is not judged by what follows a disk fault.
const NO_DISK_FAULTS: &str = "chaos makes no disk faults";

/// Every invariant that is checked.
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: "S1",
        says: "nothing is allowed on what was revoked, quarantined, isolated or invalidated before it was asked",
        scope: Scope::Everywhere,
        check: restriction_binds::check,
    },
    Invariant {
        id: "S2",
        says: "each domain's history is linearizable, and every decision is that of the rules",
        scope: Scope::Simulation(
            "the model's work grows with the square of the ledger, and chaos has thousands of leaves",
        ),
        check: s2::check,
    },
    Invariant {
        id: "S3",
        says: "every acknowledged statement is on every node whose ledger reaches it, byte for byte",
        scope: Scope::Everywhere,
        check: nothing_lost::check,
    },
    Invariant {
        id: "S4",
        says: "no ledger has a statement that was not submitted, or one twice, or one with two receipts",
        scope: Scope::Everywhere,
        check: nothing_invented::check,
    },
    Invariant {
        id: "S5",
        says: "nodes that have applied the same entries hold the same state, leaf by leaf",
        scope: Scope::Everywhere,
        check: one_state::check,
    },
    Invariant {
        id: "S7",
        says: "each term has one leader, which has everything that was committed, and a node never takes back a vote or what it applied",
        scope: Scope::Simulation(NO_SAMPLES),
        check: raft::check,
    },
    Invariant {
        id: "S8",
        says: "no answer is as of an earlier time than a client was told before, so what has expired stays expired",
        scope: Scope::Everywhere,
        check: expired_stays::check,
    },
    Invariant {
        id: "S9",
        says: "a node that is cut from every quorum allows nothing",
        scope: Scope::Everywhere,
        check: cut_denies::check,
    },
    Invariant {
        id: "S10",
        says: "replay from the beginning gives what every node holds, snapshot or not",
        scope: Scope::Everywhere,
        check: replay::check,
    },
    Invariant {
        id: "S11",
        says: "a node whose disk failed acknowledges nothing and votes for no node",
        scope: Scope::Simulation(NO_DISK_FAULTS),
        check: fsync::check,
    },
    Invariant {
        id: "S12",
        says: "a log with a flipped bit does not open, or is complete",
        scope: Scope::Simulation(NO_DISK_FAULTS),
        check: log_kept::check,
    },
    Invariant {
        id: "S13",
        says: "a node that is not a voter neither leads nor allows",
        scope: Scope::Simulation(NO_SAMPLES),
        check: outsiders::check,
    },
    Invariant {
        id: "S14",
        says: "every decision and every leaf verifies offline, and a decision is about what was asked",
        scope: Scope::Everywhere,
        check: offline::check,
    },
    Invariant {
        id: "S15",
        says: "an authorization with n uses is good for n permits",
        scope: Scope::Simulation("chaos takes no permits"),
        check: permits::check,
    },
    Invariant {
        id: "S16",
        says: "a node with a wiped disk never votes, leads or allows, nor does one with a rolled-back disk while all others remember more",
        scope: Scope::Simulation(NO_DISK_FAULTS),
        check: lost_disk::check,
    },
    Invariant {
        id: "S18",
        says: "the rules are raised once every voter knows them, and no node decides by rules that its build does not know",
        scope: Scope::Simulation("chaos upgrades no node"),
        check: rules_wait::check,
    },
    Invariant {
        id: "S19",
        says: "after all clocks have leapt together, nothing is allowed and nothing accepted before they have settled",
        scope: Scope::Simulation("chaos does not change the clocks"),
        check: clocks_leap::check,
    },
    Invariant {
        id: "S20",
        says: "in a batch, a fault of one envelope is held against that envelope alone, or in mode `all` against all of them",
        scope: Scope::Simulation("chaos submits no batches"),
        check: batches::check,
    },
    Invariant {
        id: "L1",
        says: "a node that is cut from every quorum answers within a second",
        scope: Scope::Simulation(
            "a busy machine may delay a real process, so chaos counts late denies and does not judge them",
        ),
        check: prompt_deny::check,
    },
    Invariant {
        id: "L2",
        says: "a cluster without faults serves within 10 s",
        scope: Scope::Everywhere,
        check: resumes::check,
    },
    Invariant {
        id: "L3",
        says: "in the end all members hold the same state",
        scope: Scope::Everywhere,
        check: converges::check,
    },
    Invariant {
        id: "L4",
        says: "a majority that no fault affects serves within 10 s",
        scope: Scope::Simulation(NO_SAMPLES),
        check: majority_works::check,
    },
    Invariant {
        id: "M3",
        says: "at least 15 % of a run's operations succeed and 5 % are allows",
        scope: Scope::Simulation(
            "chaos also asks nodes that are down, and has limits of its own for a run that shows little",
        ),
        check: not_vacuous::check,
    },
    Invariant {
        id: "C1",
        says: "the cluster accepts in the end what chaos's load submits",
        scope: Scope::Chaos("a caller in a simulated run also submits what must be refused, and may give up"),
        check: all_accepted::check,
    },
];

/// The promises that histories cannot show. Each names the test that shows it instead, or says why none does yet.
pub const NOT_YET: &[(&str, &str)] = &[
    ("S6", "no checkpoint is published yet"),
    ("S17", "nodes do not compare their roots with the majority's yet, and no fault makes them differ"),
    ("L5", "memory is measured by the runs of real processes"),
    ("M1", "shown by running one seed in two processes"),
    ("M2", "shown by what the harness counts while it runs"),
];
