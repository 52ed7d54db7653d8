//! S18: the rules are raised once every voter knows them, and nobody decides by rules that its build does not know.
//!
//! A node that ended, or did not start, because the registry follows rules that its build does not know is no voter, or had
//! run with a newer build before and was put back. The voters are those of the sample by then that has applied most; without
//! one nothing is judged. And a decision as of a revision after a `rules` leaf is by no node that had an older build from
//! before it was asked to after it answered. A node's build is what faults say with `rulesKnown`, each from its beginning
//! (so that a node which is being changed has both), and version 1 before.

use serde_json::Value;

use super::book::longest_ledger;
use super::faults::faults;
use super::read::{StatementContent, is_question, list, log_index, number, text};
use super::{Verdict, Violation};
use crate::history::{History, Op, Record};

/// What a node says that has to stop for want of a newer build.
const LOCKED_OUT: &str = "with a newer build";

/// Nodes that were locked out are looked at, and decisions under rules that were raised.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let builds = Builds::of(history);
    locked_out(history, &builds, &mut verdict);
    decisions(history, &builds, &mut verdict);
    verdict
}

/// Which rules each node's build knows, from when to when.
struct Builds {
    /// The node, what it knows, from when and until when.
    spans: Vec<(u64, u64, u64, u64)>,
}

impl Builds {
    fn of(history: &History) -> Self {
        let mut spans: Vec<(u64, u64, u64, u64)> = Vec::new();
        for fault in faults(history) {
            let known = history.records.get(fault.at).and_then(|record| number(&record.input, "rulesKnown"));
            let Some(known) = known else { continue };
            // Until it is known to run with the new one, it may run with the one that it had.
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

    /// The newest rules that a build which a node had at some moment of this time knows.
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
            let what =
                format!("node {} votes, and the rules were raised before it could know them", record.node);
            verdict.violations.push(Violation { what, shown_by: vec![sample, at] });
        }
    }
}

/// The voters by then, and the sample that tells them.
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

/// The revision of a decision, and when it came. One that the registry could not make names revision 0.
fn decided(record: &Record) -> Option<(u64, u64)> {
    record.output.get("decision")?;
    Some((number(&record.output, "revision")?, record.return_ns?))
}
