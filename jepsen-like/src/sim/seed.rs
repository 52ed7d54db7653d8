//! Runs one seed in a process of its own, judges it, and sums it up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rare::rare;
use super::run::{Ran, RunError};
use crate::check::{Setting, judge, lines};
use crate::history::{History, Outcome};

/// The largest number of violations of one invariant that are reported.
const TOLD_MAX: usize = 3;

/// The result of a seed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// How many nodes began.
    pub nodes: u64,
    /// How much time was simulated, in milliseconds.
    pub simulated_ms: u64,
    /// Operations by callers.
    pub ops: u64,
    /// Those that succeeded.
    pub ok: u64,
    /// Allows among them.
    pub allows: u64,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Denies and refusals by their first code.
    pub denies: BTreeMap<String, u64>,
    /// How many faults were drawn; they are numbered from 0.
    pub drawn: u64,
    /// How often each fault had an effect.
    pub faults: BTreeMap<String, u64>,
    /// How often each rare thing happened.
    pub sometimes: BTreeMap<String, u64>,
    /// How many things each check looked at.
    pub looked_at: BTreeMap<String, u64>,
    /// The violations.
    pub violations: Vec<Found>,
    /// BLAKE3 of the history as it is written: equal for equal seeds of equal builds.
    pub trace: String,
}

/// A violation, with the records that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The invariant.
    pub invariant: String,
    /// What happened.
    pub what: String,
    /// The smallest part of the history that shows it, one record on each line.
    pub window: Vec<String>,
}

impl SeedReport {
    /// Judges a run.
    pub fn of(seed: u64, nodes: u64, ran: Result<Ran, RunError>) -> (Self, History) {
        let mut report = Self { seed, nodes, ..Self::default() };
        let history = match ran {
            Ok(ran) => {
                report.simulated_ms = u64::try_from(ran.simulated.as_millis()).unwrap_or(u64::MAX);
                report.drawn = ran.tally.drawn;
                report.faults = ran.tally.faults;
                report.sometimes =
                    ran.tally.sometimes.into_iter().map(|(what, count)| (what.to_owned(), count)).collect();
                // A history does not show whether a failed fsync is tried again.
                report.looked_at.insert("S11".to_owned(), ran.failed_disks);
                for node in ran.retried_fsync {
                    let what = format!("node {node} still used a file after an fsync of it had failed");
                    report.violations.push(Found { invariant: "S11".to_owned(), what, window: Vec::new() });
                }
                ran.history
            }
            Err(RunError::Panicked { at, problem, history }) => {
                let what = format!("a node or a caller panicked at {} ms: {problem}", at.as_millis());
                report.violations.push(Found { invariant: "panic".to_owned(), what, window: Vec::new() });
                *history
            }
            Err(error @ RunError::SimSetup(_)) => {
                let found =
                    Found { invariant: "setup".to_owned(), what: error.to_string(), window: Vec::new() };
                report.violations.push(found);
                History::default()
            }
        };
        for (what, count) in rare(&history) {
            let sum = report.sometimes.entry(what).or_insert(0);
            *sum = sum.saturating_add(count);
        }
        report.count(&history);
        report.judge(&history);
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        let _ = history.write(&mut text);
        report.trace = blake3::hash(&text).to_hex().to_string();
        (report, history)
    }

    fn count(&mut self, history: &History) {
        for record in history.records.iter().filter(|record| record.client > 0) {
            self.ops = self.ops.saturating_add(1);
            match record.outcome {
                Outcome::Ok => self.ok = self.ok.saturating_add(1),
                Outcome::Unknown => self.unknown = self.unknown.saturating_add(1),
                Outcome::Deny => {
                    let count = self.denies.entry(code(&record.output)).or_insert(0);
                    *count = count.saturating_add(1);
                }
            }
            if record.is_allow() {
                self.allows = self.allows.saturating_add(1);
            }
        }
    }

    fn judge(&mut self, history: &History) {
        for finding in judge(history, Setting::Simulation).findings {
            let looked_at = self.looked_at.entry(finding.id.to_owned()).or_insert(0);
            *looked_at = looked_at.saturating_add(finding.verdict.looked_at);
            for violation in finding.verdict.violations.into_iter().take(TOLD_MAX) {
                let window = lines(history, &violation);
                self.violations.push(Found {
                    invariant: finding.id.to_owned(),
                    what: violation.what,
                    window,
                });
            }
        }
    }
}

/// The first reason of a decision, or a problem's code.
fn code(output: &Value) -> String {
    let reason = output.pointer("/reasons/0/code").or_else(|| output.get("code"));
    reason.and_then(Value::as_str).unwrap_or("none").to_owned()
}
