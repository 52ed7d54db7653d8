//! L1: who has no quorum says so within a second.
//!
//! A question that was asked of a node within a `cut` of that node which went on for a second more is answered within that
//! second, whatever the answer (that it is no allow is S9's). It is judged only if nothing but the network between nodes was
//! at fault on that node until then, and samples do not leave open whether it ran: a process that is down or paused answers
//! nothing. And that nobody answered shows only in a client that asks nothing else until the second is over: one that soon
//! asks again lost its connection, which the start of a node does to those that were open.

use super::faults::{Fault, faults};
use super::lives::Lives;
use super::read::is_question;
use super::{Verdict, Violation};
use crate::history::{History, Record};

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
            let late = match asked.return_ns {
                Some(returned) => returned > due,
                None if waited(history, at, asked, due) => true,
                None => continue,
            };
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if late {
                let what = format!("node {} was cut and did not answer within a second", cut.node);
                verdict.violations.push(Violation { what, shown_by: vec![cut.at, at] });
            }
        }
    }
    verdict
}

/// Whether the client of a question that was not answered did nothing else until then. It does one thing at a time.
fn waited(history: &History, at: usize, asked: &Record, due: u64) -> bool {
    let mut later = history.records.iter().skip(at.saturating_add(1));
    later.find(|record| record.client == asked.client).is_none_or(|next| next.invoke_ns > due)
}
