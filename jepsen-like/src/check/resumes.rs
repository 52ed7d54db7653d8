//! L2: a cluster without faults serves its clients.
//!
//! In every stretch of at least 10 s in which no fault has an effect, up to the end of the run, a client is served
//! within the first 10 s, by whichever node. The stretch is judged only if a client asked between its 5th and its 9th
//! second. Nodes also end by themselves and are started again, or stay down without their disk, with no fault
//! recorded. So if there are samples, they must show a majority of the voters running from the 2nd to the 10th second.

use super::faults::{calms, faults};
use super::lives::Lives;
use super::read::end_ns;
use super::serves::{Judged, RESUME_NS, in_vain, voters_left};
use super::{Verdict, Violation};
use crate::history::History;

/// Looks at calm stretches in which a client asked.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let faults = faults(history);
    let lives = Lives::of(history);
    for calm in calms(&faults, end_ns(history), RESUME_NS) {
        let majority = voters_left(history, &faults, &lives, &calm);
        if !calm.faults.is_empty() || majority.is_some_and(|left| left.is_none()) {
            continue;
        }
        match in_vain(history, &calm, |_| true) {
            Judged::NobodyAsked => {}
            Judged::Served => verdict.looked_at = verdict.looked_at.saturating_add(1),
            Judged::InVain(patient) => {
                verdict.looked_at = verdict.looked_at.saturating_add(1);
                let what = format!(
                    "no client was served in the 10 s after {} ns, when there was no fault",
                    calm.from_ns
                );
                // The fault after which the cluster should have resumed.
                let last = faults.iter().filter(|fault| fault.to_ns == calm.from_ns).map(|fault| fault.at);
                verdict.violations.push(Violation { what, shown_by: last.chain(patient).collect() });
            }
        }
    }
    verdict
}
