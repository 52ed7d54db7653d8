//! S16: a voter that lost its memory does not act on it.
//!
//! After the `wipe` of a node's disk, no later start of that node is seen leading or standing for election. No later
//! start is seen with a vote that no quorum is known to share: the node gave such a vote itself, while a vote that a
//! leader told it of has a quorum. And nothing that was asked of the node since its first sample after the wipe is
//! allowed. Node ids are used once, so this holds for the rest of the run.
//!
//! After the `rollback` of a node's disk:
//! - It is not seen voting for another node in a term in which it had voted.
//! - It is not seen leading in a term of its own with a log shorter than what every other node had been seen to know
//!   as committed.
//! - Nothing that is asked of it later is allowed at a revision smaller than every other node had been seen to hold.
//!
//! In the last two cases every possible quorum has a node that remembers more, and the promise goes no further. The
//! check judges them only if at least two other nodes were seen.
//!
//! - Its log does not grow, and its vote is for no node other than before, under two conditions. All other nodes that
//!   were seen since have run on. And all of them knew, when its disk was put back, that it had acknowledged more than
//!   it returned with. Then no node can have given it entries or a vote.
//!
//! What the other nodes knew is what they said themselves, in `remembered` of the fault. If a node remembers no other
//! node, only the first three rules find its errors.

use std::collections::BTreeMap;

use super::faults::{Fault, faults};
use super::read::{list, number};
use super::samples::{Sample, Vote, last_before, next_boot, samples};
use super::{Verdict, Violation};
use crate::history::History;

/// Looks at what a node did after it had lost its disk.
pub(super) fn check(history: &History) -> Verdict {
    let samples = samples(history);
    let mut verdict = Verdict::default();
    for fault in faults(history) {
        match fault.kind {
            "wipe" => wiped(history, &samples, &fault, &mut verdict),
            "rollback" => rolled_back(history, &samples, &fault, &mut verdict),
            _ => {}
        }
    }
    verdict
}

/// The samples of the node's later starts.
fn later<'s, 'h>(samples: &'s [Sample<'h>], fault: &Fault<'_>) -> Vec<&'s Sample<'h>> {
    let boot = next_boot(samples, fault.node, fault.from_ns).map_or(u64::MAX, |sample| sample.ns);
    samples.iter().filter(|sample| sample.node == fault.node && sample.ns >= boot).collect()
}

fn wiped(history: &History, samples: &[Sample<'_>], fault: &Fault<'_>, verdict: &mut Verdict) {
    let later = later(samples, fault);
    for sample in &later {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let what = if sample.leads() {
            "leads"
        } else if sample.state == "candidate" {
            "stands for election"
        } else if sample.vote.is_some_and(|vote| !vote.committed && vote.term > 0) {
            "voted"
        } else {
            continue;
        };
        let what = format!("node {} {what} after its disk was wiped", fault.node);
        verdict.violations.push(Violation { what, shown_by: vec![fault.at, sample.at] });
    }
    let Some(first) = later.first() else { return };
    for (at, record) in history.records.iter().enumerate() {
        if record.is_allow() && record.node == fault.node && record.invoke_ns > first.ns {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            let what = format!("node {} allowed after its disk was wiped", fault.node);
            verdict.violations.push(Violation { what, shown_by: vec![fault.at, at] });
        }
    }
}

fn rolled_back(history: &History, samples: &[Sample<'_>], fault: &Fault<'_>, verdict: &mut Verdict) {
    let later = later(samples, fault);
    let mut votes: BTreeMap<u64, (Vote, usize)> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.node == fault.node && sample.ns < fault.from_ns) {
        if let Some(vote) = sample.vote {
            votes.insert(vote.term, (vote, sample.at));
        }
    }
    for sample in &later {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let had = sample.vote.and_then(|vote| Some((votes.get(&vote.term)?, vote)));
        if let Some(((before, seen), after)) = had
            && before.is_broken_by(after)
        {
            let what = format!("node {} voted again in term {} after a rollback", fault.node, after.term);
            verdict.violations.push(Violation { what, shown_by: vec![*seen, fault.at, sample.at] });
        }
        let Some((least, seen)) = others_know(samples, sample.node, sample.ns, |other| other.committed)
        else {
            continue;
        };
        if sample.leads() && sample.last_log.is_some_and(|last| last < least) {
            let what = format!("node {} leads after a rollback, and all others remember more", fault.node);
            verdict.violations.push(Violation { what, shown_by: vec![fault.at, seen, sample.at] });
        }
    }
    verdict.violations.extend(taken_back(history, samples, fault));
    for (at, record) in history.records.iter().enumerate() {
        if !record.is_allow() || record.node != fault.node || record.invoke_ns < fault.from_ns {
            continue;
        }
        let known = others_know(samples, record.node, record.invoke_ns, |other| other.revision);
        let (Some((least, seen)), Some(revision)) = (known, number(&record.output, "revision")) else {
            continue;
        };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if revision < least {
            let what = format!(
                "node {} allowed at revision {revision} after a rollback, and all others had {least}",
                fault.node
            );
            verdict.violations.push(Violation { what, shown_by: vec![fault.at, seen, at] });
        }
    }
}

/// A node gave it entries or a vote, although all nodes knew that it had lost some.
fn taken_back(history: &History, samples: &[Sample<'_>], fault: &Fault<'_>) -> Option<Violation> {
    let remembered = list(&history.records.get(fault.at)?.input, "remembered").iter();
    let knew: BTreeMap<u64, (u64, u64)> = remembered
        .filter_map(|one| Some((number(one, "node")?, (number(one, "term")?, number(one, "index")?))))
        .collect();
    let first = next_boot(samples, fault.node, fault.from_ns)?;
    let had =
        (first.vote.map_or(0, |vote| vote.term), first.last_log.max(first.applied.map(|(index, _)| index)));
    let knew_more =
        |node: u64| knew.get(&node).is_some_and(|(term, index)| *term > had.0 || Some(*index) > had.1);
    let of_another = |vote: Vote| {
        let before = first.vote.map(|before| (before.term, before.node));
        vote.node != fault.node && Some((vote.term, vote.node)) > before
    };
    for sample in samples.iter().filter(|sample| sample.ns > fault.from_ns) {
        if sample.node == fault.node {
            let grew = sample.last_log > had.1;
            if sample.ns > first.ns && (grew || sample.vote.is_some_and(of_another)) {
                // The node that it follows now was perhaps not sampled since, because nothing changed there.
                let giver = sample.vote.map(|vote| vote.node).filter(|giver| *giver != fault.node);
                if giver.is_some_and(|giver| !knew_more(giver)) {
                    return None;
                }
                let what = if grew { "got entries" } else { "got a vote" };
                let what = format!(
                    "node {} {what} after a rollback, and all others knew what it had lost",
                    fault.node
                );
                return Some(Violation { what, shown_by: vec![fault.at, first.at, sample.at] });
            }
        } else {
            let ran_on =
                last_before(samples, sample.node, fault.from_ns).is_some_and(|seen| seen.boot == sample.boot);
            if !ran_on || !knew_more(sample.node) {
                return None;
            }
        }
    }
    None
}

/// The least that any other node had been seen to know, and which node knew it; `None` if fewer than two others were
/// seen.
fn others_know(
    samples: &[Sample<'_>],
    node: u64,
    ns: u64,
    known: impl Fn(&Sample<'_>) -> Option<u64>,
) -> Option<(u64, usize)> {
    let mut others: Vec<u64> =
        samples.iter().map(|sample| sample.node).filter(|other| *other != node).collect();
    others.sort_unstable();
    others.dedup();
    let seen = others.iter().filter_map(|other| last_before(samples, *other, ns));
    let seen: Vec<(u64, usize)> = seen.map(|sample| (known(sample).unwrap_or(0), sample.at)).collect();
    if seen.len() < 2 { None } else { seen.into_iter().min() }
}
