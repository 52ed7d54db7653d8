//! What a run showed, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::ChaosConfig;
use super::history::{History, Outcome};
use super::judge::{Rule, Wrong, judge};
use super::measure::{DENY_WITHIN, Measures, Spread, measure};

/// Wrong answers of a rule that are printed with their evidence; all are counted.
const PRINTED_MAX: usize = 5;
/// A run shows little if fewer than one in so many questions were allowed.
const ALLOWED_AT_LEAST_ONE_IN: u64 = 10;

/// What a run showed.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it was to be.
    pub config: ChaosConfig,
    /// What it measured.
    pub measures: Measures,
    /// Restrictions that were acknowledged.
    pub restrictions: usize,
    /// Answers to questions that were asked after their restriction was acknowledged.
    pub asked_after: usize,
    /// Answers that were asked for and given while no quorum was there.
    pub asked_without_quorum: usize,
    /// Everything that was wrong.
    pub wrong: Vec<Wrong>,
    /// Why the run shows less than it should.
    pub vacuous: Vec<String>,
}

impl Report {
    /// Judges and measures a history.
    pub fn new(config: ChaosConfig, history: &History) -> Self {
        let measures = measure(history);
        let answered = || history.asked.iter().filter(|asked| asked.outcome != Outcome::NoAnswer);
        let after = answered().filter(|asked| {
            let bound = history.restricted.iter().find(|restricted| restricted.question == asked.question);
            bound.is_some_and(|restricted| asked.invoked > restricted.acknowledged)
        });
        let without = answered().filter(|asked| {
            history.faults.iter().any(|fault| {
                fault.struck == super::Struck::Majority
                    && asked.invoked > fault.effective
                    && asked.returned < fault.healing
            })
        });
        let mut report = Self {
            restrictions: history.restricted.len(),
            asked_after: after.count(),
            asked_without_quorum: without.count(),
            wrong: judge(history),
            vacuous: Vec::new(),
            config,
            measures,
        };
        report.vacuous = report.little();
        report
    }

    /// Whether nothing was wrong and the run shows it.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty() && self.vacuous.is_empty()
    }

    /// How many faults there were.
    pub fn faults(&self) -> usize {
        self.measures.faults.values().map(|windows| windows.first.count()).sum()
    }

    /// Why this run shows little.
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
            .map(|wrong| json!({"rule": wrong.rule.name(), "evidence": wrong.evidence}))
            .collect();
        let submissions = &measures.submissions;
        json!({
            "nodes": self.config.nodes, "seed": self.config.seed, "faults": faults,
            "allows": measures.allows, "denies": measures.denies, "unanswered": measures.unanswered,
            "slowestDenyMs": ms(measures.slowest_deny), "lateDenies": measures.late_denies,
            "longestSilenceMs": ms(measures.longest_silence),
            "restrictions": self.restrictions, "askedAfterRestriction": self.asked_after,
            "askedWithoutQuorum": self.asked_without_quorum,
            "submissions": {"acknowledged": submissions.acknowledged, "retried": submissions.retried,
                "unknownThenResolved": submissions.resolved, "unresolved": submissions.unresolved,
                "refused": submissions.refused, "slowestMs": ms(submissions.slowest)},
            "wrongAnswers": wrong, "vacuous": self.vacuous,
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
        writeln!(
            text,
            "{:<6} {:<9} {:>5}   {:<26} {:<26} {:<26}",
            "fault", "struck", "count", "first allow", "silence anywhere", "silence at worst survivor"
        )?;
        for ((kind, struck), windows) in &measures.faults {
            let columns = [&windows.first, &windows.anywhere, &windows.survivor].map(spread);
            let [first, anywhere, survivor] = columns;
            let (kind, struck, count) = (kind.name(), struck.name(), windows.first.count());
            writeln!(text, "{kind:<6} {struck:<9} {count:>5}   {first:<26} {anywhere:<26} {survivor:<26}")?;
        }
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
            self.restrictions, self.asked_after, self.asked_without_quorum
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
        writeln!(text, "wrong answers: {}", self.wrong.len())?;
        let mut by_rule: BTreeMap<Rule, Vec<&str>> = BTreeMap::new();
        for wrong in &self.wrong {
            by_rule.entry(wrong.rule).or_default().push(&wrong.evidence);
        }
        for (rule, evidence) in by_rule {
            writeln!(text, "  {} ({}):", rule.name(), evidence.len())?;
            for evidence in evidence.iter().take(PRINTED_MAX) {
                writeln!(text, "    {evidence}")?;
            }
        }
        Ok(())
    }
}

fn spread(spread: &Spread) -> String {
    [0, 50, 99, 100].map(|percent| ms(spread.percentile(percent)).to_string()).join(" / ")
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
