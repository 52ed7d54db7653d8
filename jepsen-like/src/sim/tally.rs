//! What a run has seen: how often each fault fired, and which rare things happened at least once.
//!
//! A seed set in which a fault never fired, or a rare thing never happened, has not tested what it says.

use std::collections::BTreeMap;

use assent_cluster::observe::Observed;

/// Rare things that the seeds together have to reach.
pub const SOMETIMES: &[(&str, &str)] = &[
    ("leader changed", "a node led after another had led"),
    ("election contested", "two nodes were candidates in one term, or a term passed without a leader"),
    (
        "stale leader asked",
        "a node that still took itself for the leader was asked while a later term had one",
    ),
    ("snapshot installed", "a node's registry came from a snapshot"),
    ("snapshot under a crash", "a node that was receiving a snapshot went down"),
    ("log truncated", "a node's log ended earlier than before"),
    ("log purged", "a node cut off the beginning of its log"),
    ("allow raced a revocation", "an allow was under way while a restriction of what it rests on was"),
    ("equivocation recorded", "two statements for one slot were accepted"),
    ("permit repeated", "the same permit was taken again"),
    (
        "unknown outcome resolved",
        "a submission nobody knew the outcome of was accepted before, as its repetition showed",
    ),
    ("clock unsure", "a node denied because it was not sure of its clock"),
    ("deny without a quorum", "a node denied because it could reach no quorum"),
    ("node refused to start", "a node would not start on what its disk had"),
    ("expired between", "an execution was allowed, and later denied as expired"),
];

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often each kind of fault bit.
    pub faults: BTreeMap<String, u64>,
    /// How often each rare thing happened.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How many faults were drawn; they are numbered from 0. Not every one bites.
    pub drawn: u64,
    leaders: BTreeMap<u64, u64>,
    candidates: BTreeMap<u64, u64>,
}

impl Tally {
    /// A fault bit.
    pub fn fault(&mut self, kind: &str) {
        let count = self.faults.entry(kind.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// A rare thing happened.
    pub fn reached(&mut self, what: &'static str) {
        let count = self.sometimes.entry(what).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// A node stands differently than before.
    pub fn saw(&mut self, id: u64, before: Option<&Observed>, now: &Observed) {
        if now.state == "leader" && !self.leaders.contains_key(&now.term) {
            if self.leaders.values().next_back().is_some_and(|last| *last != id) {
                self.reached("leader changed");
            }
            self.leaders.insert(now.term, id);
        }
        if now.state == "candidate"
            && before.is_none_or(|seen| (seen.state, seen.term) != (now.state, now.term))
        {
            let others = self.candidates.entry(now.term).or_insert(0);
            *others = others.saturating_add(1);
            let contested = *others > 1
                || self.candidates.contains_key(&now.term.saturating_sub(1))
                    && !self.leaders.contains_key(&now.term.saturating_sub(1));
            if contested {
                self.reached("election contested");
            }
        }
        let Some(before) = before else { return };
        if now.last_log < before.last_log {
            self.reached("log truncated");
        }
        if now.purged > before.purged {
            self.reached("log purged");
        }
    }
}
