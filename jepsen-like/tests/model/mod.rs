//! The model and the check that uses it, compared with the rules themselves.

mod command;
mod s2;

use std::sync::LazyLock;

use assent_jepsen::ledgers::{LedgersReport, run_ledgers};

/// Ledgers of every profile, gone through once for all tests.
static REPORT: LazyLock<LedgersReport> = LazyLock::new(|| {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    run_ledgers(&(0..400), None, jobs, &mut |_| {}).unwrap()
});

#[test]
fn the_model_answers_as_the_rules_do() {
    assert_eq!(REPORT.ledgers, 400);
    for found in &REPORT.findings {
        println!("seed {}, {:?}: {}\n{}", found.seed, found.profile, found.kind, found.detail);
        println!("{}", found.steps.join("\n"));
    }
    assert!(REPORT.findings.is_empty(), "{} kinds of differences", REPORT.findings.len());
}

/// What happens in fewer than one ledger of a hundred. CI holds to these too, over 20,000 ledgers.
const RARE: &[&str] = &[
    "a checkpoint passed over a larger one",
    "a conflict was reconciled again",
    "a reconciliation became void",
    "a release became void",
    "what replaced a repeated negative became void",
];

#[test]
fn the_ledgers_reach_every_event() {
    let mut report = REPORT.clone();
    report.check_events();
    for (what, count) in report.tally.iter().chain(&report.events) {
        println!("{count:7} {what}");
    }
    report.missing.retain(|event| !RARE.contains(&event.as_str()));
    assert_eq!(report.missing, Vec::<String>::new());
    // Much is accepted and much is refused, and what is allowed is allowed for many reasons.
    let count = |what: &str| report.tally.get(what).copied().unwrap_or(0);
    assert!(count("authorize allow") * 20 > count("authorize deny"), "too little is allowed");
    assert!(count("authorize history_mismatch") > 50, "too few ask about another history");
    for kind in [
        "runtime-attestation",
        "release",
        "reconciliation",
        "revocation",
        "containment",
        "sovereign-trust",
        "synchronization-continuity",
    ] {
        let accepted = count(&format!("submit {kind} accepted"));
        assert!(accepted > 50, "only {accepted} of kind {kind} are accepted");
    }
}
