//! L1: a node without a quorum says so within a second.
//!
//! If a question was asked of a node within a `cut` of that node, and the cut lasted a second more, the node answers
//! within that second, whatever the answer (S9 judges that it is not an allow). The question is judged only if until
//! then the network between nodes was the only fault on that node, and the samples show that it ran: a process that is
//! down or paused answers nothing. A missing answer shows only in a client that asks nothing else until the second is
//! over. If a client asks again earlier, it lost its connection, because the start of a node ends the connections that
//! were open.

use super::faults::{Fault, faults};
use super::lives::Lives;
use super::read::is_question;
use super::{Verdict, Violation};
use crate::history::{History, Record};

/// The longest time that an answer may take, in nanoseconds.
const ANSWER_NS_MAX: u64 = 1_000_000_000;

/// Looks at questions that were asked within a cut.
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
                let what = format!("node {} was cut off and did not answer within a second", cut.node);
                verdict.violations.push(Violation { what, shown_by: vec![cut.at, at] });
            }
        }
    }
    verdict
}

/// Whether the client of a question that was not answered did nothing else until then. A client does one thing at a
/// time.
fn waited(history: &History, at: usize, asked: &Record, due: u64) -> bool {
    let mut later = history.records.iter().skip(at.saturating_add(1));
    later.find(|record| record.client == asked.client).is_none_or(|next| next.invoke_ns > due)
}
