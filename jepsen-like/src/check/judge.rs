//! Runs the checks of a setting over a history, and reports what they found.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::{INVARIANTS, NOT_YET, Setting, Verdict, Violation};
use crate::history::{History, Op, Record};
use crate::table::{Side, Table};

/// How many violations of one invariant are printed; all are counted.
pub(crate) const PRINTED_MAX: usize = 5;
/// How many records are printed for one violation.
const SHOWN_MAX: usize = 12;
/// How many characters of an input or an output are printed.
const EXCERPT_MAX: usize = 160;

/// What one check found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The invariant's number.
    pub id: &'static str,
    /// The invariant as a sentence.
    pub says: &'static str,
    /// What its check found.
    pub verdict: Verdict,
}

/// What all checks found.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many records there were.
    pub records: usize,
    /// One finding for each invariant, in their order.
    pub findings: Vec<Finding>,
}

/// Judges a history by every invariant that is judged where it was recorded.
pub fn judge(history: &History, setting: Setting) -> Report {
    let findings = INVARIANTS
        .iter()
        .filter(|invariant| invariant.is_judged_in(setting))
        .map(|invariant| Finding {
            id: invariant.id,
            says: invariant.says,
            verdict: (invariant.check)(history),
        })
        .collect();
    Report { records: history.records.len(), findings }
}

impl Report {
    /// Whether nothing is violated.
    pub fn is_good(&self) -> bool {
        self.violated().is_empty()
    }

    /// How many things the check of an invariant looked at; 0 if it is not judged here.
    pub fn looked_at(&self, id: &str) -> u64 {
        let finding = self.findings.iter().find(|finding| finding.id == id);
        finding.map_or(0, |finding| finding.verdict.looked_at)
    }

    /// The invariants that are violated.
    pub fn violated(&self) -> BTreeSet<&'static str> {
        let violated = self.findings.iter().filter(|finding| !finding.verdict.violations.is_empty());
        violated.map(|finding| finding.id).collect()
    }

    /// For people: a table, and for each violation the records that show it.
    pub fn to_text(&self, history: &History) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, history);
        text
    }

    fn write(&self, text: &mut String, history: &History) -> std::fmt::Result {
        writeln!(text, "{} records", self.records)?;
        write!(text, "{}", table(&self.findings))?;
        for Finding { id, verdict, .. } in &self.findings {
            for violation in verdict.violations.iter().take(PRINTED_MAX) {
                writeln!(text, "\n{id}: {}", violation.what)?;
                for line in lines(history, violation) {
                    writeln!(text, "  {line}")?;
                }
            }
            let more = verdict.violations.len().saturating_sub(PRINTED_MAX);
            if more > 0 {
                writeln!(text, "\n{id}: and {more} more")?;
            }
        }
        Ok(())
    }

    /// For programs.
    pub fn to_json(&self, history: &History) -> Value {
        let violation = |violation: &Violation| {
            let records: Vec<_> =
                violation.shown_by.iter().filter_map(|at| history.records.get(*at)).collect();
            json!({"what": violation.what, "shownBy": violation.shown_by, "records": records})
        };
        let findings = self.findings.iter().map(|Finding { id, says, verdict }| {
            let violations: Vec<Value> = verdict.violations.iter().map(violation).collect();
            json!({"id": id, "says": says, "lookedAt": verdict.looked_at, "violations": violations})
        });
        let not_yet = NOT_YET.iter().map(|(id, why)| json!({"id": id, "why": why}));
        json!({"records": self.records, "good": self.is_good(), "findings": findings.collect::<Vec<_>>(),
            "notJudged": not_yet.collect::<Vec<_>>()})
    }
}

/// At how many things each check looked, and how many violations it found.
pub(crate) fn table(findings: &[Finding]) -> String {
    let columns = [
        ("", Side::Left),
        ("looked at", Side::Right),
        ("violations", Side::Right),
        ("what must hold", Side::Left),
    ];
    let mut table = Table::new(&columns);
    for Finding { id, says, verdict } in findings {
        let (looked_at, violations) = (verdict.looked_at.to_string(), verdict.violations.len().to_string());
        table.row([(*id).to_owned(), looked_at, violations, (*says).to_owned()]);
    }
    table.to_text("")
}

/// The records that show a violation, one on each line.
pub fn lines(history: &History, violation: &Violation) -> Vec<String> {
    let named = violation.shown_by.iter().filter_map(|at| Some((at, history.records.get(*at)?)));
    let mut lines: Vec<String> = named.take(SHOWN_MAX).map(|(at, record)| line(*at, record)).collect();
    let more = violation.shown_by.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// One record, on one line.
fn line(at: usize, record: &Record) -> String {
    let ms = |ns: u64| format!("{}.{:06}", ns / 1_000_000, ns % 1_000_000);
    let returned = record.return_ns.map_or("never".to_owned(), ms);
    let (op, outcome) = (format!("{:?}", record.op), format!("{:?}", record.outcome));
    let who = if record.client == 0 { String::new() } else { format!(" client {}", record.client) };
    // The size of a whole ledger tells a reader more than its leaves.
    let output = match record.op {
        Op::Ledger => summary(&record.output),
        _ => excerpt(&record.output),
    };
    format!(
        "#{at} {}..{returned} ms {} node {}{who} {}: {} -> {output}",
        ms(record.invoke_ns),
        op.to_lowercase(),
        record.node,
        outcome.to_lowercase(),
        excerpt(&record.input),
    )
}

fn summary(ledger: &Value) -> String {
    let field = |name| ledger.get(name).cloned().unwrap_or_default();
    let (revision, applied) = (field("revision"), field("applied"));
    format!("revision {revision} applied {applied} digest {}", field("digest"))
}

/// The beginning of a value, without the fields that only programs read.
fn excerpt(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        for long in ["envelope", "receipt", "request", "history", "nodeId", "registry"] {
            fields.remove(long);
        }
    }
    let text = value.to_string();
    match text.char_indices().nth(EXCERPT_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
