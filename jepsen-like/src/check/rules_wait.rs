//! S18: the rules are raised once every voter knows them, and no node decides by rules that its build does not know.
//!
//! A node may end, or not start, because the registry follows rules that its build does not know. Such a node is not a
//! voter, or it had run with a newer build before and was put back. The voters are those of the sample until then that
//! has applied most; without one nothing is judged.
//!
//! A decision as of a revision after a `rules` leaf is not by a node that had an older build from before it was asked
//! until after it answered. The faults with `rulesKnown` tell a node's build, each from its beginning, so a node whose
//! build is being changed counts as having both. Before the first of them a build knows version 1.

use serde_json::Value;

use super::book::longest_ledger;
use super::faults::faults;
use super::read::{StatementContent, is_question, list, log_index, number, text};
use super::{Verdict, Violation};
use crate::history::{History, Op, Record};

/// What a node prints that must stop because it needs a newer build.
const LOCKED_OUT: &str = "with a newer build";

/// Looks at nodes that were locked out, and at decisions under rules that were raised.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let builds = Builds::of(history);
    locked_out(history, &builds, &mut verdict);
    decisions(history, &builds, &mut verdict);
    verdict
}

/// Which rules each node's build knows, and when.
struct Builds {
    /// The node, the version that it knows, and the time from and until which it knows it.
    spans: Vec<(u64, u64, u64, u64)>,
}

impl Builds {
    fn of(history: &History) -> Self {
        let mut spans: Vec<(u64, u64, u64, u64)> = Vec::new();
        for fault in faults(history) {
            let known = history.records.get(fault.at).and_then(|record| number(&record.input, "rulesKnown"));
            let Some(known) = known else { continue };
            // Until the node is known to run with the new build, it may run with the old one.
            for (node, _, _, to_ns) in &mut spans {
                if *node == fault.node && *to_ns == u64::MAX {
                    *to_ns = fault.to_ns;
                }
            }
            if !spans.iter().any(|(node, ..)| *node == fault.node) {
                spans.push((fault.node, 1, 0, fault.to_ns));
            }
            spans.push((fault.node, known, fault.from_ns, u64::MAX));
        }
        Self { spans }
    }

    /// The newest rules that are known to any build that a node had at some moment of this time.
    fn newest(&self, node: u64, from_ns: u64, to_ns: u64) -> u64 {
        let had =
            self.spans.iter().filter(|(of, _, from, to)| *of == node && *from <= to_ns && *to >= from_ns);
        had.map(|(_, known, ..)| *known).max().unwrap_or(1)
    }
}

fn locked_out(history: &History, builds: &Builds, verdict: &mut Verdict) {
    for (at, record) in history.of(Op::Fault) {
        if !text(&record.input, "why").is_some_and(|why| why.contains(LOCKED_OUT)) {
            continue;
        }
        let Some((sample, voters)) = voters_by(history, record.invoke_ns) else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if voters.contains(&record.node) && builds.newest(record.node, 0, record.invoke_ns) == 1 {
            let what = format!(
                "node {} is a voter, and the rules were raised before its build knew them",
                record.node
            );
            verdict.violations.push(Violation { what, shown_by: vec![sample, at] });
        }
    }
}

/// The voters until then, and the sample that names them.
fn voters_by(history: &History, ns: u64) -> Option<(usize, Vec<u64>)> {
    let seen = history.of(Op::Sample).filter(|(_, sample)| sample.invoke_ns <= ns);
    let told = seen.filter(|(_, sample)| !list(&sample.output, "voters").is_empty());
    let (at, sample) = told.max_by_key(|(_, sample)| log_index(&sample.output, "applied"))?;
    let groups = list(&sample.output, "voters").iter().filter_map(Value::as_array);
    Some((at, groups.flatten().filter_map(Value::as_u64).collect()))
}

fn decisions(history: &History, builds: &Builds, verdict: &mut Verdict) {
    let Some(ledger) = longest_ledger(history) else { return };
    let raises = ledger.leaves.iter().filter_map(|leaf| {
        let said = StatementContent::of(leaf.envelope).filter(|said| said.kind == "rules")?;
        Some((leaf.index, number(&said.claims, "version")?))
    });
    let raises: Vec<(u64, u64)> = raises.collect();
    if raises.is_empty() {
        return;
    }
    let asked = history.records.iter().enumerate().filter(|(_, record)| is_question(record));
    for (at, record) in asked {
        let Some((revision, returned)) = decided(record) else { continue };
        let followed =
            raises.iter().filter(|(index, _)| *index < revision).map(|(_, version)| *version).max();
        let Some(followed) = followed else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if builds.newest(record.node, record.invoke_ns, returned) < followed {
            let what = format!(
                "node {} decided at revision {revision} by rules {followed}, which its build does not know",
                record.node
            );
            verdict.violations.push(Violation { what, shown_by: vec![at, ledger.at] });
        }
    }
}

/// The revision of a decision, and when the decision came. A decision that the registry could not make names revision
/// 0.
fn decided(record: &Record) -> Option<(u64, u64)> {
    record.output.get("decision")?;
    Some((number(&record.output, "revision")?, record.return_ns?))
}
