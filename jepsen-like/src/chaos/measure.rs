//! How long what took: deny windows a fault, the slowest deny, what became of submissions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{Asked, At, Fault, History, Kind, Outcome, Struck, Submission};

/// A deny has to be answered within this of asking.
pub const DENY_WITHIN: Duration = Duration::from_secs(1);

/// What a run measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures {
    /// By what was done and to what part of the cluster.
    pub faults: BTreeMap<(Kind, Struck), Windows>,
    /// Authorizes that were allowed.
    pub allows: u64,
    /// Authorizes that were denied.
    pub denies: u64,
    /// Authorizes without a decision, as of a dead node.
    pub unanswered: u64,
    /// The slowest deny of a node that nothing was done to meanwhile.
    pub slowest_deny: Duration,
    /// Such denies that took longer than [`DENY_WITHIN`].
    pub late_denies: u64,
    /// The longest time in the whole run without an allow by any node.
    pub longest_silence: Duration,
    /// What became of submissions.
    pub submissions: Submissions,
}

/// The deny windows of one kind of fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// From the fault to the first allow that any node answered to a question asked after it.
    pub first: Spread,
    /// The longest time around the fault without an allow by any node.
    pub anywhere: Spread,
    /// The same at whichever surviving node it was longest.
    pub survivor: Spread,
}

/// Durations, ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    sorted: Vec<Duration>,
}

impl Spread {
    fn add(&mut self, took: Duration) {
        let place = self.sorted.partition_point(|other| *other <= took);
        self.sorted.insert(place, took);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The least that so many percent do not exceed (nearest rank).
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent.min(100)).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// What became of submissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submissions {
    /// They have a receipt.
    pub acknowledged: u64,
    /// Of those, an earlier try of the client had been accepted and its answer was lost.
    pub retried: u64,
    /// Of those, the client had given up at first, and the same bytes found out later.
    pub resolved: u64,
    /// They have none and were not refused.
    pub unresolved: u64,
    /// They were refused.
    pub refused: u64,
    /// The longest time from sending to knowing.
    pub slowest: Duration,
}

/// Measures a history.
pub fn measure(history: &History) -> Measures {
    let mut measures = Measures { submissions: submissions(&history.submissions), ..Measures::default() };
    for asked in &history.asked {
        match asked.outcome {
            Outcome::Allow => measures.allows += 1,
            Outcome::NoAnswer => measures.unanswered += 1,
            Outcome::Deny(_) => {
                measures.denies += 1;
                let took = asked.returned.saturating_sub(asked.invoked);
                if !history.faults.iter().any(|fault| troubled(fault, asked)) {
                    measures.slowest_deny = measures.slowest_deny.max(took);
                    measures.late_denies += u64::from(took > DENY_WITHIN);
                }
            }
        }
    }
    let allows = allows(&history.asked, |_| true);
    measures.longest_silence = allows
        .windows(2)
        .filter_map(|pair| Some(pair.last()?.1.saturating_sub(pair.first()?.1)))
        .max()
        .unwrap_or_default();
    for fault in &history.faults {
        let windows = measures.faults.entry((fault.kind, fault.struck)).or_default();
        windows.first.add(first(&allows, fault));
        windows.anywhere.add(silence(&allows, fault));
        let survivors = history.nodes.iter().filter(|node| !fault.victims.contains(node));
        let worst =
            survivors.map(|node| silence(&self::allows(&history.asked, |at| at == *node), fault)).max();
        windows.survivor.add(worst.unwrap_or_default());
    }
    measures
}

/// Whether the fault was done to the node while it had this question.
fn troubled(fault: &Fault, asked: &Asked) -> bool {
    fault.victims.contains(&asked.node) && asked.invoked <= fault.over && asked.returned >= fault.begun
}

/// When allows of some nodes were asked for and answered, by when they were answered.
fn allows(asked: &[Asked], node: impl Fn(u64) -> bool) -> Vec<(At, At)> {
    let mut allows: Vec<(At, At)> = asked
        .iter()
        .filter(|asked| asked.outcome == Outcome::Allow && node(asked.node))
        .map(|asked| (asked.invoked, asked.returned))
        .collect();
    allows.sort_by_key(|(_, returned)| *returned);
    allows
}

fn first(allows: &[(At, At)], fault: &Fault) -> Duration {
    let first = allows.iter().find(|(invoked, _)| *invoked >= fault.begun);
    first.map_or(Duration::MAX, |(_, returned)| returned.saturating_sub(fault.begun))
}

/// The longest time without an allow from the fault's beginning until the first allow after all was well again. Only
/// what was asked after the fault counts.
fn silence(allows: &[(At, At)], fault: &Fault) -> Duration {
    let from = allows.partition_point(|(_, returned)| *returned < fault.begun);
    let mut last = fault.begun;
    let mut longest = Duration::ZERO;
    for (invoked, returned) in allows.iter().skip(from) {
        if *invoked < fault.begun {
            continue;
        }
        longest = longest.max(returned.saturating_sub(last));
        last = *returned;
        if *returned >= fault.over {
            return longest;
        }
    }
    // It ended before anything was allowed again.
    longest.max(fault.over.saturating_sub(last))
}

fn submissions(all: &[Submission]) -> Submissions {
    let mut counted = Submissions::default();
    for submission in all {
        counted.slowest = counted.slowest.max(submission.ended.saturating_sub(submission.begun));
        if !submission.receipts.is_empty() {
            counted.acknowledged += 1;
            counted.retried += u64::from(submission.retried);
            counted.resolved += u64::from(submission.unknown > 0);
        } else if submission.refused.is_some() {
            counted.refused += 1;
        } else {
            counted.unresolved += 1;
        }
    }
    counted
}
