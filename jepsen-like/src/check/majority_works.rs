//! L4: a majority that no fault affects serves its clients, whatever the other nodes do.
//!
//! The check looks at every stretch of at least 10 s in which no fault begins or ends, at least one fault has an
//! effect, and no fault affects a majority of the voters. In its first 10 s, a client of one of the unaffected voters
//! is served. The stretch is judged only if one of these clients asked between its 5th and its 9th second.
//!
//! The voters are those of the sample until then that has applied most. While the voters change, every group of voters
//! must have an unaffected majority. A node that is not seen running from the 2nd to the 10th second counts as
//! affected. Without samples nothing is judged. A fault without nodes affects every node.

use super::faults::{calms, faults};
use super::lives::Lives;
use super::read::end_ns;
use super::serves::{Judged, RESUME_NS, in_vain, voters_left};
use super::{Verdict, Violation};
use crate::history::History;

/// Looks at stretches in which a client asked an unaffected majority.
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
                    "nodes {well:?} are a majority without faults, and served no client in the 10 s after {} ns",
                    calm.from_ns
                );
                let faults = calm.faults.iter().map(|fault| fault.at);
                verdict.violations.push(Violation { what, shown_by: faults.chain(patient).collect() });
            }
        }
    }
    verdict
}
