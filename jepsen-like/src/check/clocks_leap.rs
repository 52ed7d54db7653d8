//! S19: on clocks that leapt together nothing is allowed and nothing is accepted before they have settled.
//!
//! While a `clocks-leap` or a `time-passes` of a node is on record, all clocks have leapt together by more than a small leap, for less time
//! than they take to settle. While a `clocks-back` is, all have gone back together to before what registry time was, as all voters knew. A
//! `clocks-ratchet` is a small leap, after which the clock of a process that is just started is trusted at once: it is looked at only if it
//! says `anchored`, that every process was anchored before and none was started since; then it is as good as a large one.
//!
//! A question that was asked of that node and answered by it strictly within is not allowed, and a submission to it has no receipt: the
//! time of neither may be what nothing but the leap says. There is no grace: a leap is on record from before the nodes can read it, and
//! what was asked before it is not looked at.

use super::faults::{Fault, faults};
use super::read::{is_question, receipt};
use super::{Verdict, Violation};
use crate::history::{History, Op};

/// Kinds of faults in which all clocks have leapt and have not settled.
const LEAPS: &[&str] = &["clocks-leap", "time-passes", "clocks-back"];
/// The kind in which they have leapt a little.
const SMALL_LEAP: &str = "clocks-ratchet";

/// Questions and submissions that were asked and answered within a leap are looked at.
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
                let what = format!("node {} {did} on clocks that had leapt and not settled", leap.node);
                verdict.violations.push(Violation { what, shown_by: vec![leap.at, at] });
            }
        }
    }
    verdict
}

/// Whether nothing may be allowed on a fault: all clocks have leapt, and no process may trust them at once.
fn binds(history: &History, fault: &Fault<'_>) -> bool {
    let anchored = history.records.get(fault.at).and_then(|record| record.input.get("anchored")?.as_bool());
    LEAPS.contains(&fault.kind) || fault.kind == SMALL_LEAP && anchored == Some(true)
}
