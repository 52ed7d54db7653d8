//! S19: after all clocks have leapt together, nothing is allowed and nothing is accepted before they have settled.
//!
//! While a `clocks-leap` or a `time-passes` of a node is recorded, all clocks have leapt together by more than a small
//! leap, and for less time than they need to settle. While a `clocks-back` is recorded, all clocks have gone back
//! together to before the registry time that all voters had seen. A `clocks-ratchet` is a small leap, after which a
//! process that has just started trusts its clock at once. So a `clocks-ratchet` is judged only if it says `anchored`:
//! every process had an anchor before the leap, and no process was started since. Then it is judged like a large leap.
//!
//! If a question was asked of that node and answered by it strictly within such a time, the answer is not an allow. A
//! submission in the same position has no receipt. The time of either would come from the leap alone. There is no
//! grace period: a leap is recorded before the nodes can read it, and what was asked before the record is not judged.

use super::faults::{Fault, faults};
use super::read::{is_question, receipt};
use super::{Verdict, Violation};
use crate::history::{History, Op};

/// Kinds of faults in which all clocks have leapt and have not settled.
const LEAPS: &[&str] = &["clocks-leap", "time-passes", "clocks-back"];
/// The kind in which the clocks have leapt a little.
const SMALL_LEAP: &str = "clocks-ratchet";

/// Looks at questions and submissions that were asked and answered within a leap.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for leap in faults(history).iter().filter(|fault| binds(history, fault)) {
        let asked = history.records.iter().enumerate().filter(|(_, record)| {
            (is_question(record) || record.op == Op::Submit)
                && record.node == leap.node
                && record.invoke_ns > leap.from_ns
                && record.return_ns.is_some_and(|returned| returned < leap.to_ns)
        });
        for (at, record) in asked {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            let did = if is_question(record) {
                record.is_allow().then_some("allowed")
            } else {
                receipt(record).map(|_| "accepted")
            };
            if let Some(did) = did {
                let what = format!("node {} {did} while the clocks had leapt and not settled", leap.node);
                verdict.violations.push(Violation { what, shown_by: vec![leap.at, at] });
            }
        }
    }
    verdict
}

/// Whether the fault forbids every allow: all clocks have leapt, and no process may trust its clock at once.
fn binds(history: &History, fault: &Fault<'_>) -> bool {
    let anchored = history.records.get(fault.at).and_then(|record| record.input.get("anchored")?.as_bool());
    LEAPS.contains(&fault.kind) || fault.kind == SMALL_LEAP && anchored == Some(true)
}
