//! The search for wrong answers finds each of them in histories made up for it, and nothing in those that are right.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::time::Duration;

use assent_jepsen::chaos::{
    Asked, At, ChaosConfig, Digest, Fault, Found, History, Kind, LoadConfig, Outcome, Receipt, Report,
    Restricted, Rule, Stored, Struck, Submission, judge, measure,
};
use assent_proof::Code;

fn ms(ms: u64) -> At {
    Duration::from_millis(ms)
}

fn asked(node: u64, question: usize, invoked: u64, returned: u64, outcome: Outcome) -> Asked {
    Asked { node, question, invoked: ms(invoked), returned: ms(returned), outcome }
}

fn receipt(id: &str) -> Receipt {
    Receipt { ledger_index: 9, accepted_at: 1_000, evidence_id: id.to_owned() }
}

fn submission(id: &str) -> Submission {
    Submission {
        id: id.to_owned(),
        bytes: "bytes".into(),
        begun: ms(10),
        ended: ms(30),
        unknown: 0,
        retried: false,
        receipts: vec![receipt(id)],
        refused: None,
    }
}

fn majority(begun: u64, effective: u64, healing: u64, over: u64) -> Fault {
    Fault {
        kind: Kind::Kill,
        struck: Struck::Majority,
        victims: vec![2, 3],
        begun: ms(begun),
        effective: ms(effective),
        healing: ms(healing),
        over: ms(over),
    }
}

/// A run in which everything happens that is allowed to.
fn good() -> History {
    let nodes = vec![1, 2, 3];
    let deny = Outcome::Deny(Code::NoQuorum);
    History {
        asked: vec![
            asked(1, 0, 0, 10, Outcome::Allow),
            // Asked before the acknowledgement at 100 and answered after it: both answers are right.
            asked(2, 1, 90, 140, Outcome::Allow),
            asked(3, 1, 101, 120, Outcome::Deny(Code::AuthorityRevoked)),
            asked(1, 0, 101, 110, Outcome::Allow),
            // Asked before the majority was gone at 220, answered after it; asked before it was back at 400, answered after.
            asked(1, 0, 215, 225, Outcome::Allow),
            asked(1, 0, 230, 480, deny),
            asked(2, 0, 230, 240, Outcome::NoAnswer),
            asked(1, 0, 390, 500, Outcome::Allow),
            asked(1, 0, 700, 710, Outcome::Allow),
        ],
        restricted: vec![Restricted { question: 1, how: "revocation", acknowledged: ms(100) }],
        submissions: vec![
            submission("a"),
            Submission { unknown: 2, retried: true, receipts: vec![receipt("b"); 3], ..submission("b") },
        ],
        faults: vec![majority(200, 220, 400, 600)],
        found: nodes
            .iter()
            .flat_map(|node| {
                ["a", "b"].map(|id| Found { node: *node, id: id.to_owned(), stored: Stored::Same })
            })
            .collect(),
        digests: nodes
            .iter()
            .map(|node| Digest { node: *node, applied: 50, digest: "blake3:00".to_owned() })
            .collect(),
        nodes,
    }
}

/// The rules that a history breaks.
fn broken(history: &History) -> Vec<Rule> {
    judge(history).into_iter().map(|wrong| wrong.rule).collect()
}

#[test]
fn a_run_in_which_all_is_right_has_no_wrong_answer() {
    assert_eq!(judge(&good()), []);
    assert_eq!(judge(&History::default()), []);
}

#[test]
fn an_allow_that_was_asked_for_after_its_restrictions_acknowledgement_is_wrong() {
    let mut history = good();
    history.asked.push(asked(2, 1, 101, 130, Outcome::Allow));
    let wrong = judge(&history);
    assert_eq!(broken(&history), [Rule::RestrictionBinds]);
    assert!(wrong[0].evidence.contains("revocation") && wrong[0].evidence.contains("node: 2"), "{wrong:?}");
    // A second restriction that came later does not excuse it.
    history.restricted.push(Restricted { question: 1, how: "quarantine", acknowledged: ms(9_000) });
    assert_eq!(broken(&history), [Rule::RestrictionBinds]);
    history.restricted.reverse();
    assert_eq!(broken(&history), [Rule::RestrictionBinds]);
    // Of another question it is none.
    history.asked.last_mut().unwrap().question = 2;
    assert_eq!(broken(&history), []);
}

#[test]
fn an_allow_that_was_asked_for_and_answered_without_a_quorum_is_wrong() {
    let mut history = good();
    history.asked.push(asked(1, 0, 230, 240, Outcome::Allow));
    assert_eq!(broken(&history), [Rule::NoQuorumNoAllow]);
    // Nor from a node that is itself struck: a paused one must not answer, whatever it does.
    history.asked.last_mut().unwrap().node = 2;
    assert_eq!(broken(&history), [Rule::NoQuorumNoAllow]);
    // While a quorum is left it is none.
    history.faults[0].struck = Struck::Leader;
    assert_eq!(broken(&history), []);
}

#[test]
fn an_acknowledged_envelope_that_is_missing_or_different_on_any_node_is_wrong() {
    for node in 0..3 {
        for (stored, rule) in
            [(Stored::Missing, Rule::NothingIsLost), (Stored::Different, Rule::NothingIsChanged)]
        {
            let mut history = good();
            history.found[node * 2 + 1].stored = stored;
            assert_eq!(broken(&history), [rule], "node {}", node + 1);
        }
        let mut history = good();
        history.found.remove(node * 2);
        assert_eq!(broken(&history), [Rule::NothingIsLost], "what nobody looked for is not there");
    }
}

#[test]
fn what_was_never_acknowledged_may_be_missing() {
    let mut history = good();
    history.submissions.push(Submission { receipts: vec![], ..submission("c") });
    // Its outcome is what is missing.
    assert_eq!(broken(&history), [Rule::OutcomesAreKnown]);
}

#[test]
fn two_receipts_for_the_same_bytes_are_wrong() {
    type Change = fn(&mut Receipt);
    let changes: [Change; 3] = [
        |receipt| receipt.ledger_index = 10,
        |receipt| receipt.accepted_at = 1_001,
        |receipt| {
            receipt.evidence_id = "c".to_owned();
        },
    ];
    for change in changes {
        let mut history = good();
        change(&mut history.submissions[1].receipts[2]);
        assert_eq!(broken(&history), [Rule::OneReceipt]);
    }
    let mut history = good();
    history.submissions[0].receipts[0].evidence_id = "another's".to_owned();
    assert_eq!(broken(&history), [Rule::OneReceipt]);
}

#[test]
fn a_refused_successor_of_what_was_acknowledged_is_wrong() {
    let mut history = good();
    let refused = Some("lineage_fragmented: there is a gap".to_owned());
    history.submissions.push(Submission { receipts: vec![], refused, ..submission("c") });
    assert_eq!(broken(&history), [Rule::NothingIsForgotten]);
}

#[test]
fn nodes_that_differ_at_the_same_position_or_never_get_there_are_wrong() {
    let mut history = good();
    history.digests[2].digest = "blake3:01".to_owned();
    assert_eq!(broken(&history), [Rule::EqualDigests, Rule::EqualDigests]);
    let mut history = good();
    history.digests[2].applied = 49;
    assert_eq!(broken(&history), [Rule::NodesConverge, Rule::NodesConverge]);
    let mut history = good();
    history.digests.remove(0);
    assert_eq!(broken(&history), [Rule::NodesConverge]);
}

#[test]
fn a_report_prints_the_evidence_of_what_was_wrong_and_is_not_good() {
    let config = ChaosConfig {
        nodes: 3,
        seconds: 1,
        faults_max: 1,
        seed: 1,
        kinds: Kind::ALL.to_vec(),
        majorities: true,
        load: LoadConfig::default(),
    };
    let good = Report::new(config.clone(), &good());
    assert!(good.is_good(), "{}", good.to_text());
    assert!(good.to_text().contains("wrong answers: 0"));
    let mut history = self::good();
    history.asked.push(asked(2, 1, 101, 130, Outcome::Allow));
    let bad = Report::new(config.clone(), &history);
    assert!(!bad.is_good());
    let text = bad.to_text();
    assert!(text.contains("a restriction binds (1):\n    its revocation was acknowledged at 100ms"));
    let json = bad.to_json();
    assert_eq!(json["wrongAnswers"][0]["rule"], "a restriction binds");
    assert_eq!(json["faults"][0]["silenceAnywhere"]["maxMs"], 275);
    // A run without allows or faults shows nothing, and says so.
    let empty = Report::new(config, &History::default());
    assert!(!empty.is_good() && empty.wrong.is_empty() && empty.vacuous.len() >= 3, "{:?}", empty.vacuous);
}

#[test]
fn deny_windows_count_only_what_was_asked_after_the_fault() {
    let measures = measure(&good());
    let windows = &measures.faults[&(Kind::Kill, Struck::Majority)];
    // From 200: the allow answered at 225 was asked at 215, the next one is answered at 500, the one after at 710.
    assert_eq!(windows.first.percentile(0), ms(25));
    assert_eq!(windows.anywhere.percentile(100), ms(275));
    let mut history = good();
    history.asked.retain(|asked| asked.invoked != ms(215));
    history.asked.push(asked(1, 0, 190, 225, Outcome::Allow));
    let measures = measure(&history);
    let windows = &measures.faults[&(Kind::Kill, Struck::Majority)];
    assert_eq!(windows.first.percentile(0), ms(300), "what was asked before the fault does not count");
    assert_eq!(windows.anywhere.percentile(100), ms(300));
    // Node 1 is the one survivor, and the window ends with the first allow after all was well again.
    assert_eq!(windows.survivor.percentile(100), ms(300));
    assert_eq!(windows.survivor.count(), 1);
}

#[test]
fn a_deny_of_a_node_that_was_struck_meanwhile_says_nothing_about_how_prompt_denies_are() {
    let mut history = good();
    history.asked.push(asked(2, 0, 210, 3_000, Outcome::Deny(Code::NoQuorum)));
    assert_eq!(measure(&history).slowest_deny, ms(250));
    assert_eq!(measure(&history).late_denies, 0);
    history.asked.push(asked(1, 0, 210, 1_211, Outcome::Deny(Code::NoQuorum)));
    assert_eq!(measure(&history).slowest_deny, ms(1_001));
    assert_eq!(measure(&history).late_denies, 1);
}

#[test]
fn submissions_are_counted_by_what_became_of_them() {
    let mut history = good();
    history.submissions.push(Submission { receipts: vec![], ended: ms(70), ..submission("c") });
    let counted = measure(&history).submissions;
    assert_eq!((counted.acknowledged, counted.retried, counted.resolved, counted.unresolved), (2, 1, 1, 1));
    assert_eq!(counted.slowest, ms(60));
}
