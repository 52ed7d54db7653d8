//! C1: the cluster accepts in the end what chaos's load submits.
//!
//! The load submits an envelope only after the envelope before it in its chain was acknowledged, and only with keys
//! that were granted before. So a refusal shows that a node lacks something that was acknowledged. The load submits
//! the same bytes again until it knows their outcome. So if an envelope has no answer in the end, the cluster did not
//! come back. At the end the harness submits some of the same bytes once more, and a refusal of these is a violation
//! too.

use std::collections::BTreeMap;

use super::read::text;
use super::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};

/// Looks at each envelope once, however often it was submitted.
pub(super) fn check(history: &History) -> Verdict {
    let mut tries: BTreeMap<&str, Vec<(usize, &Record)>> = BTreeMap::new();
    for (at, submit) in history.of(Op::Submit) {
        let Some(id) = text(&submit.input, "id") else { continue };
        tries.entry(id).or_default().push((at, submit));
    }
    let mut verdict = Verdict::default();
    for (id, tries) in tries {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let what =
            if let Some((_, refused)) = tries.iter().find(|(_, submit)| submit.outcome == Outcome::Deny) {
                let code = text(&refused.output, "code").unwrap_or("no code");
                format!("`{id}` was refused with `{code}`")
            } else if tries.iter().all(|(_, submit)| submit.outcome == Outcome::Unknown) {
                format!("the outcome of `{id}` is unknown after {} attempts", tries.len())
            } else {
                continue;
            };
        let shown_by = tries.iter().map(|(at, _)| *at).collect();
        verdict.violations.push(Violation { what, shown_by });
    }
    verdict
}
