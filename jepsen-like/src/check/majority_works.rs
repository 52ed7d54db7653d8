//! L4: a majority that nothing is wrong with serves, whatever the others do.
//!
//! In every stretch of at least 10 s in which no fault begins or ends and some bite, but none touches a majority of the
//! voters, a client of one of the untouched voters is served within its first 10 s; judged only if one of them asked between
//! its 5th and its 9th second. The voters are those of the sample by then that has applied most; while they change, every
//! group has to have an untouched majority, and who is not seen running from the 2nd to the 10th second counts as touched.
//! Without samples nothing is judged. A fault without nodes touches everybody.

use super::faults::{calms, faults};
use super::lives::Lives;
use super::read::end_ns;
use super::serves::{Judged, RESUME_NS, in_vain, voters_left};
use super::{Verdict, Violation};
use crate::history::History;

/// Stretches in which somebody asked an untouched majority are looked at.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let faults = faults(history);
    let lives = Lives::of(history);
    for calm in calms(&faults, end_ns(history), RESUME_NS) {
        let Some(Some(well)) =
            voters_left(history, &faults, &lives, &calm).filter(|_| !calm.faults.is_empty())
        else {
            continue;
        };
        match in_vain(history, &calm, |record| well.contains(&record.node)) {
            Judged::NobodyAsked => {}
            Judged::Served => verdict.looked_at = verdict.looked_at.saturating_add(1),
            Judged::InVain(patient) => {
                verdict.looked_at = verdict.looked_at.saturating_add(1);
                let what = format!(
                    "nodes {well:?} are a majority that nothing is wrong with, and served nobody in the 10 s after {} ns",
                    calm.from_ns
                );
                let faults = calm.faults.iter().map(|fault| fault.at);
                verdict.violations.push(Violation { what, shown_by: faults.chain(patient).collect() });
            }
        }
    }
    verdict
}
