//! What a run showed, for people and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::ChaosConfig;
use super::measure::{DENY_WITHIN, Measures, Spread, measure};
use crate::check::{self, Finding, PRINTED_MAX, Setting, judge, lines};
use crate::history::History;
use crate::table::{Side, Table};

/// If fewer than one in so many questions were allowed, the run shows little.
const ALLOWED_AT_LEAST_ONE_IN: u64 = 10;

/// Something that must not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The invariant that it violates, by its number.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
    /// The records that show it, a line each.
    pub shown_by: Vec<String>,
}

/// What a run showed.
#[derive(Debug, Clone)]
pub struct Report {
    /// The settings of the run.
    pub config: ChaosConfig,
    /// What it measured.
    pub measures: Measures,
    /// Answers to questions that were asked after their restriction was acknowledged.
    pub asked_after: u64,
    /// Answers that were asked for and given while no quorum was there.
    pub asked_without_quorum: u64,
    /// The findings of every check that is judged in chaos.
    pub findings: Vec<Finding>,
    /// Everything that was wrong, in the order of the checks.
    pub wrong: Vec<Wrong>,
    /// Why the run shows less than it should.
    pub vacuous: Vec<String>,
}

impl Report {
    /// Judges and measures a history.
    pub fn new(config: ChaosConfig, history: &History) -> Self {
        let judged = judge(history, Setting::Chaos);
        let mut report = Self {
            asked_after: judged.looked_at("S1"),
            asked_without_quorum: judged.looked_at("S9"),
            wrong: judged.findings.iter().flat_map(|finding| wrong(history, finding)).collect(),
            findings: judged.findings,
            vacuous: Vec::new(),
            measures: measure(history),
            config,
        };
        report.vacuous = report.little();
        report
    }

    /// Whether nothing was wrong, and the run shows enough to say so.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty() && self.vacuous.is_empty()
    }

    /// How many faults there were.
    pub fn faults(&self) -> usize {
        self.measures.faults.values().map(|windows| windows.first.count()).sum()
    }

    /// The reasons why this run shows little.
    fn little(&self) -> Vec<String> {
        let measures = &self.measures;
        let mut why = Vec::new();
        let answered = measures.allows + measures.denies;
        if answered == 0 || measures.allows < answered / ALLOWED_AT_LEAST_ONE_IN {
            why.push(format!("only {} of {answered} answers are allows", measures.allows));
        }
        if measures.submissions.acknowledged == 0 {
            why.push("nothing was acknowledged".to_owned());
        }
        if self.faults() == 0 {
            why.push("there was no fault".to_owned());
        }
        if self.config.load.rounds && self.asked_after == 0 {
            why.push("nothing was asked after a restriction".to_owned());
        }
        why
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let measures = &self.measures;
        let spread = |spread: &Spread| {
            json!({"minMs": ms(spread.percentile(0)), "p50Ms": ms(spread.percentile(50)),
                "p99Ms": ms(spread.percentile(99)), "maxMs": ms(spread.percentile(100))})
        };
        let faults: Vec<Value> = measures
            .faults
            .iter()
            .map(|((kind, struck), windows)| {
                json!({"kind": kind.name(), "struck": struck.name(), "count": windows.first.count(),
                    "firstAllow": spread(&windows.first), "silenceAnywhere": spread(&windows.anywhere),
                    "silenceAtWorstSurvivor": spread(&windows.survivor)})
            })
            .collect();
        let wrong: Vec<Value> = self
            .wrong
            .iter()
            .map(|wrong| json!({"rule": wrong.rule, "evidence": wrong.what, "records": wrong.shown_by}))
            .collect();
        let checks: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                json!({"id": finding.id, "says": finding.says, "lookedAt": finding.verdict.looked_at,
                    "violations": finding.verdict.violations.len()})
            })
            .collect();
        let submissions = &measures.submissions;
        json!({
            "nodes": self.config.nodes, "seed": self.config.seed, "faults": faults,
            "allows": measures.allows, "denies": measures.denies, "unanswered": measures.unanswered,
            "slowestDenyMs": ms(measures.slowest_deny), "lateDenies": measures.late_denies,
            "longestSilenceMs": ms(measures.longest_silence),
            "restrictions": measures.restrictions, "askedAfterRestriction": self.asked_after,
            "askedWithoutQuorum": self.asked_without_quorum,
            "submissions": {"acknowledged": submissions.acknowledged, "retried": submissions.retried,
                "unknownThenResolved": submissions.resolved, "unresolved": submissions.unresolved,
                "refused": submissions.refused, "slowestMs": ms(submissions.slowest)},
            "checks": checks, "wrongAnswers": wrong, "vacuous": self.vacuous,
        })
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let measures = &self.measures;
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, measures);
        text
    }

    fn write(&self, text: &mut String, measures: &Measures) -> std::fmt::Result {
        writeln!(text, "deny windows in ms, as min / p50 / p99 / max")?;
        write!(text, "{}", windows(measures))?;
        writeln!(
            text,
            "answers: {} allows, {} denies, {} times none; longest silence {} ms",
            measures.allows,
            measures.denies,
            measures.unanswered,
            ms(measures.longest_silence)
        )?;
        writeln!(
            text,
            "slowest deny of an untroubled node: {} ms; {} took more than {} ms",
            ms(measures.slowest_deny),
            measures.late_denies,
            DENY_WITHIN.as_millis()
        )?;
        writeln!(
            text,
            "restrictions: {} acknowledged, {} answers to questions asked afterwards; without a quorum: {} answers",
            measures.restrictions, self.asked_after, self.asked_without_quorum
        )?;
        let submissions = &measures.submissions;
        writeln!(
            text,
            "submissions: {} acknowledged ({} by a retry, {} unknown at first), {} unresolved, {} refused; slowest {} ms",
            submissions.acknowledged,
            submissions.retried,
            submissions.resolved,
            submissions.unresolved,
            submissions.refused,
            ms(submissions.slowest)
        )?;
        for why in &self.vacuous {
            writeln!(text, "this run shows little: {why}")?;
        }
        write!(text, "{}", check::table(&self.findings))?;
        writeln!(text, "wrong answers: {}", self.wrong.len())?;
        for finding in &self.findings {
            let count = finding.verdict.violations.len();
            if count == 0 {
                continue;
            }
            writeln!(text, "  {} {} ({count}):", finding.id, finding.says)?;
            for wrong in self.wrong.iter().filter(|wrong| wrong.rule == finding.id).take(PRINTED_MAX) {
                writeln!(text, "    {}", wrong.what)?;
                for line in &wrong.shown_by {
                    writeln!(text, "      {line}")?;
                }
            }
        }
        Ok(())
    }
}

fn wrong(history: &History, finding: &Finding) -> Vec<Wrong> {
    let wrong = finding.verdict.violations.iter().map(|violation| Wrong {
        rule: finding.id,
        what: violation.what.clone(),
        shown_by: lines(history, violation),
    });
    wrong.collect()
}

/// The deny windows of each kind of fault.
fn windows(measures: &Measures) -> String {
    let mut table = Table::new(&[
        ("fault", Side::Left),
        ("struck", Side::Left),
        ("count", Side::Right),
        ("first allow", Side::Left),
        ("silence anywhere", Side::Left),
        ("silence at worst survivor", Side::Left),
    ]);
    for ((kind, struck), windows) in &measures.faults {
        let [first, anywhere, survivor] = [&windows.first, &windows.anywhere, &windows.survivor].map(spread);
        let count = windows.first.count().to_string();
        table.row([kind.name().to_owned(), struck.name().to_owned(), count, first, anywhere, survivor]);
    }
    table.to_text("")
}

fn spread(spread: &Spread) -> String {
    [0, 50, 99, 100].map(|percent| ms(spread.percentile(percent)).to_string()).join(" / ")
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
