//! L1: who has no quorum says so within a second.
//!
//! A question that was asked of a node within a `cut` of that node which went on for a second more is answered within that
//! second, whatever the answer (that it is no allow is S9's). It is judged only if nothing but the network between nodes was
//! at fault on that node until then, and samples do not leave open whether it ran: a process that is down or paused answers
//! nothing.

use super::faults::{Fault, faults};
use super::lives::Lives;
use super::read::is_question;
use super::{Verdict, Violation};
use crate::history::History;

/// How long an answer may take, in nanoseconds.
const ANSWER_NS_MAX: u64 = 1_000_000_000;

/// Questions that were asked within a cut are looked at.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let faults = faults(history);
    let lives = Lives::of(history);
    let disturbed = |node: u64, from_ns: u64, to_ns: u64| {
        let there = |fault: &&Fault<'_>| fault.nodes.contains(&node) && fault.overlaps(from_ns, to_ns);
        faults.iter().filter(there).any(|fault| !fault.is_of_the_network())
    };
    for cut in faults.iter().filter(|fault| fault.kind == "cut") {
        for (at, asked) in history.records.iter().enumerate() {
            let due = asked.invoke_ns.saturating_add(ANSWER_NS_MAX);
            let within = is_question(asked)
                && asked.node == cut.node
                && asked.invoke_ns > cut.from_ns
                && due < cut.to_ns;
            if !within
                || disturbed(cut.node, asked.invoke_ns, due)
                || !lives.through(cut.node, asked.invoke_ns, due)
            {
                continue;
            }
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if asked.return_ns.is_none_or(|returned| returned > due) || asked.output.is_null() {
                let what = format!("node {} was cut and did not answer within a second", cut.node);
                verdict.violations.push(Violation { what, shown_by: vec![cut.at, at] });
            }
        }
    }
    verdict
}
