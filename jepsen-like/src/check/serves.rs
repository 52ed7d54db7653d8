//! How the liveness checks ask whether a cluster served its clients in a calm stretch of time.

use crate::history::{History, Record};

use super::faults::Calm;
use super::read::{is_clients, is_served};

/// How long a cluster has to come back, in nanoseconds. The aim is a second; only what is far from it is a violation.
pub(super) const RESUME_NS: u64 = 10_000_000_000;

/// Who asked in vain in the stretch's first [`RESUME_NS`]: none if somebody was served in it, or if nobody asked in its second
/// half early enough to be answered.
///
/// Served is who was allowed, accepted or answered, or denied or refused by the rules: whether that was right is S2's.
pub(super) fn in_vain(history: &History, calm: &Calm<'_, '_>, of: impl Fn(&Record) -> bool) -> Judged {
    let due = calm.from_ns.saturating_add(RESUME_NS);
    let half = calm.from_ns.saturating_add(RESUME_NS / 2);
    let early = due.saturating_sub(RESUME_NS / 10);
    let asked = || {
        history.records.iter().enumerate().filter(|(_, record)| {
            is_clients(record) && of(record) && record.invoke_ns >= calm.from_ns && record.invoke_ns < due
        })
    };
    let patient: Vec<usize> =
        asked().filter(|(_, record)| (half..early).contains(&record.invoke_ns)).map(|(at, _)| at).collect();
    if patient.is_empty() {
        return Judged::NobodyAsked;
    }
    let served = asked()
        .any(|(_, record)| is_served(record) && record.return_ns.is_some_and(|returned| returned <= due));
    if served { Judged::Served } else { Judged::InVain(patient) }
}

/// How a stretch went.
pub(super) enum Judged {
    /// There is nothing to judge.
    NobodyAsked,
    /// Somebody was served.
    Served,
    /// These asked in time, and nobody was served.
    InVain(Vec<usize>),
}
