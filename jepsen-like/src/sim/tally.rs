//! What a run has seen: how often each fault fired, and which rare things happened at least once.
//!
//! A seed set in which a fault never fired, or a rare thing never happened, has not tested what it says. Some rare things
//! show in the nodes' states, counted here while the run goes on; the others in the history (`rare`).

use std::collections::BTreeMap;

use assent_cluster::observe::Observed;

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

    /// A rare thing happened so often.
    pub fn reached_often(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            let count = self.sometimes.entry(what).or_insert(0);
            *count = count.saturating_add(times);
        }
    }

    /// A node's process ended that stood so.
    pub fn ended(&mut self, seen: &Observed) {
        if seen.receiving {
            self.reached("snapshot under a crash");
        }
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
        let votes = |seen: &Observed| seen.voters.iter().any(|group| group.contains(&id));
        if votes(now) && before.is_some_and(|seen| !votes(seen) && seen.learners.contains(&id)) {
            self.reached("member added");
        }
        let Some(before) = before else { return };
        if now.truncations > before.truncations {
            self.reached("log truncated");
        }
        if now.purged > before.purged {
            self.reached("log purged");
        }
        if now.purged > before.last_log {
            // What it never had was cut off: its rows came otherwise.
            self.reached("snapshot installed");
        }
    }
}
