//! S9: who has no quorum allows nothing.
//!
//! A question that was asked of a node and answered by it strictly within a `cut` of that node is not allowed. There is no
//! grace: a cut begins when no message could make a quorum any more, and a read barrier needs one that was asked for after the
//! question. What was asked before the cut or answered after it may have been confirmed while there was a quorum.

use super::faults::faults;
use super::read::is_question;
use super::{Verdict, Violation};
use crate::history::History;

/// Questions that were asked and answered within a cut are looked at.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for cut in faults(history).iter().filter(|fault| fault.kind == "cut") {
        let asked = history.records.iter().enumerate().filter(|(_, record)| {
            is_question(record)
                && record.node == cut.node
                && record.invoke_ns > cut.from_ns
                && record.return_ns.is_some_and(|returned| returned < cut.to_ns)
        });
        for (at, record) in asked {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if record.is_allow() {
                let what = format!("node {} allowed while it was cut from every quorum", cut.node);
                verdict.violations.push(Violation { what, shown_by: vec![cut.at, at] });
            }
        }
    }
    verdict
}
