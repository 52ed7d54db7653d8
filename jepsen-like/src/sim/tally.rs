//! Counts what a run has shown: how often each fault had an effect, and how often each rare event happened.
//!
//! If a fault never had an effect, or a rare event never happened, a set of seeds has tested less than it claims. Some
//! rare events show in the nodes' states and are counted here while the run goes on; the others show in the history
//! (`rare`).

use std::collections::BTreeMap;

use assent_cluster::observe::Observed;

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often each kind of fault had an effect.
    pub faults: BTreeMap<String, u64>,
    /// How often each rare thing happened.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How many faults were drawn; they are numbered from 0. Not every one has an effect.
    pub drawn: u64,
    leaders: BTreeMap<u64, u64>,
    candidates: BTreeMap<u64, u64>,
}

impl Tally {
    /// Counts a fault that had an effect.
    pub fn fault(&mut self, kind: &str) {
        let count = self.faults.entry(kind.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Counts a rare event.
    pub fn reached(&mut self, what: &'static str) {
        let count = self.sometimes.entry(what).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Counts this many occurrences of a rare event.
    pub fn reached_often(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            let count = self.sometimes.entry(what).or_insert(0);
            *count = count.saturating_add(times);
        }
    }

    /// Counts the end of a node's process that was in this state.
    pub fn ended(&mut self, seen: &Observed) {
        if seen.receiving {
            self.reached("snapshot under a crash");
        }
    }

    /// Counts a change of a node's state.
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
            // The node never had the entries that were purged: its rows came by a snapshot.
            self.reached("snapshot installed");
        }
    }
}
