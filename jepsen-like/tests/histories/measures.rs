//! What chaos measures in a history, and what its report says.

use std::time::Duration;

use assent_jepsen::chaos::{ChaosConfig, Kind, LoadConfig, Report, Struck, measure};
use assent_jepsen::history::{History, Op, Outcome, Record};

use super::builder::attestation;
use super::chaos::{asked_after, run, told};

const MS: u64 = 1_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn good() -> History {
    told(run())
}

/// The question that was asked at that time.
fn asked(history: &History, at_ms: u64) -> Record {
    let mut asked = history.records.iter().filter(|record| record.op == Op::Authorize);
    asked.find(|record| record.invoke_ns == at_ms * MS).unwrap().clone()
}

/// The same history with another record.
fn and(history: History, record: Record) -> History {
    History::new([history.records, vec![record]].concat())
}

/// The question at other times, asked of another node.
fn moved(asked: Record, node: u64, from_ms: u64, to_ms: u64) -> Record {
    Record { node, invoke_ns: from_ms * MS, return_ns: Some(to_ms * MS), ..asked }
}

fn config() -> ChaosConfig {
    ChaosConfig {
        nodes: 3,
        seconds: 1,
        faults_max: 1,
        seed: 1,
        kinds: Kind::ALL.to_vec(),
        majorities: true,
        load: LoadConfig::default(),
    }
}

#[test]
fn deny_windows_count_only_what_was_asked_after_the_fault() {
    let history = good();
    let measures = measure(&history);
    let windows = &measures.faults[&(Kind::Kill, Struck::Majority)];
    // From 200: the allow answered at 225 was asked at 215, the next one is answered at 500, the one after at 710.
    assert_eq!(windows.first.percentile(0), ms(25));
    assert_eq!(windows.anywhere.percentile(100), ms(275));
    let earlier = moved(asked(&history, 215), 1, 190, 225);
    let rest = history.records.into_iter().filter(|record| record.invoke_ns != 215 * MS).collect();
    let measures = measure(&and(History::new(rest), earlier));
    let windows = &measures.faults[&(Kind::Kill, Struck::Majority)];
    assert_eq!(windows.first.percentile(0), ms(300), "what was asked before the fault does not count");
    assert_eq!(windows.anywhere.percentile(100), ms(300));
    // Node 1 is the one survivor, and the window ends with the first allow after all was well again.
    assert_eq!(windows.survivor.percentile(100), ms(300));
    assert_eq!(windows.survivor.count(), 1);
}

#[test]
fn a_deny_of_a_node_that_was_struck_meanwhile_says_nothing_about_how_prompt_denies_are() {
    let history = good();
    let deny = asked(&history, 240);
    let history = and(history, moved(deny.clone(), 2, 210, 3_000));
    assert_eq!(measure(&history).slowest_deny, ms(250));
    assert_eq!(measure(&history).late_denies, 0);
    let history = and(history, moved(deny, 1, 210, 1_211));
    assert_eq!(measure(&history).slowest_deny, ms(1_001));
    assert_eq!(measure(&history).late_denies, 1);
}

#[test]
fn submissions_are_counted_by_what_became_of_them_and_those_of_the_harness_are_not() {
    let mut builder = run();
    builder.lose(710, &attestation("c"));
    builder.lose(770, &attestation("c"));
    let measures = measure(&told(builder));
    let counted = measures.submissions;
    assert_eq!((counted.acknowledged, counted.retried, counted.resolved, counted.unresolved), (4, 1, 1, 1));
    assert_eq!((counted.refused, counted.slowest), (0, ms(60)));
    assert_eq!(measures.restrictions, 1);
}

#[test]
fn answers_are_counted_by_what_they_decide() {
    let history = good();
    let mut problem = moved(asked(&history, 240), 1, 250, 260);
    problem.output = serde_json::json!({"code": "overloaded"});
    assert_eq!(problem.outcome, Outcome::Deny);
    let measures = measure(&and(history, problem));
    // Without an answer, and with one that decides nothing.
    assert_eq!((measures.allows, measures.denies, measures.unanswered), (6, 3, 2));
}

#[test]
fn a_report_prints_the_records_that_show_what_was_wrong_and_is_not_good() {
    let good = Report::new(config(), &good());
    assert!(good.is_good(), "{}", good.to_text());
    assert!(good.to_text().contains("wrong answers: 0"));
    let bad = Report::new(config(), &told(asked_after()));
    assert!(!bad.is_good());
    let text = bad.to_text();
    assert!(text.contains("wrong answers: 1\n  S1 "), "{text}");
    assert!(text.contains("\n    allowed although the quarantine "), "{text}");
    assert!(text.contains("..130.000000 ms authorize node 2 "), "{text}");
    let json = bad.to_json();
    assert_eq!(json["wrongAnswers"][0]["rule"], "S1");
    assert_eq!(json["faults"][0]["silenceAnywhere"]["maxMs"], 275);
    // A run without allows or faults shows nothing, and says so.
    let empty = Report::new(config(), &History::default());
    assert!(!empty.is_good() && empty.wrong.is_empty() && empty.vacuous.len() >= 3, "{:?}", empty.vacuous);
}
