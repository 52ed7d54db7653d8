//! S9: a node without a quorum allows nothing.
//!
//! If a question was asked of a node and answered by it strictly within a `cut` of that node, the answer is not an
//! allow. There is no grace period: a cut begins when no message can reach a quorum any more, and a read barrier needs
//! a quorum that was asked for after the question. A question that was asked before the cut, or answered after it, may
//! have been confirmed while there was a quorum.

use super::faults::faults;
use super::read::is_question;
use super::{Verdict, Violation};
use crate::history::History;

/// Looks at questions that were asked and answered within a cut.
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
