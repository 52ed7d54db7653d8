//! What the simulator itself promises: one seed gives one run, another seed another run, nothing is violated, and
//! every error is reported.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::workload::a_crowd_comes;
use serde_json::Value;
use turns::runs_today;

#[path = "turns/today.rs"]
mod turns;

/// The program under test. It is that of this build, except if `ASSENT_JEPSEN_PROGRAM` names another one of the same sources, as
/// `.ci/run` does: an optimised one, whose runs take a fraction of the time.
fn program() -> PathBuf {
    let named = std::env::var_os("ASSENT_JEPSEN_PROGRAM").filter(|named| !named.is_empty());
    named.map_or_else(|| env!("CARGO_BIN_EXE_assent-jepsen").into(), PathBuf::from)
}

fn jepsen(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

/// The same, with nobody who reads what it prints and says.
fn unread(arguments: &[&str]) -> Option<i32> {
    let gone = || std::io::pipe().unwrap().1;
    let ended = Command::new(program()).args(arguments).stdout(gone()).stderr(gone()).status();
    ended.unwrap().code()
}

#[test]
fn a_reader_that_has_gone_away_changes_nothing_but_what_is_read() {
    for arguments in [
        &["sim", "--seed", "3", "--seconds", "2"][..],
        &["--output", "json", "sim", "--seed", "3", "--seconds", "2"],
        &["sim", "--here", "--seed", "3", "--seconds", "2"],
        &["ledgers", "--seeds", "5..20"],
        &["--output", "json", "ledgers", "--seeds", "5..20"],
        // What is wrong is said on stderr, which nobody reads either.
        &["sim", "--mutant", "none-such"],
        &["chaos", "--nodes", "4"],
    ] {
        let read = jepsen(arguments);
        assert!(matches!(read.status.code(), Some(0 | 1 | 64)), "{arguments:?}: {read:?}");
        assert_eq!(unread(arguments), read.status.code(), "{arguments:?}");
    }
}

/// One seed in a process of its own: its report.
fn seed(arguments: &[&str]) -> Value {
    let output = jepsen(&[&["--output", "json", "sim"], arguments].concat());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn written(path: &Path) -> (Vec<u8>, Vec<u8>) {
    (std::fs::read(path.join("history")).unwrap(), std::fs::read(path.join("trace")).unwrap())
}

/// Runs a seed, and gives the bytes of its history and of what the nodes logged.
fn run(seed_number: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let (history, trace) = (folder.path().join("history"), folder.path().join("trace"));
    let files = ["--history", history.to_str().unwrap(), "--trace", trace.to_str().unwrap()];
    seed(&[&["--seed", seed_number, "--seconds", "6"], files.as_slice()].concat());
    written(folder.path())
}

#[test]
fn the_same_seed_gives_the_same_history_and_the_same_trace_in_two_processes() {
    let (first, second) = (run("11"), run("11"));
    assert!(first.0.len() > 100_000 && first.1.len() > 1_000, "there is something to compare");
    assert!(first.0 == second.0, "the histories differ");
    assert!(first.1 == second.1, "the traces differ");
    assert!(run("12").0 != first.0, "another seed is another run");
}

#[test]
fn nothing_is_violated_in_some_seeds_of_three_nodes() {
    // `.ci/run` runs more seeds, and longer.
    let report = seed(&["--seeds", "0..3", "--seconds", "8"]);
    assert_eq!(report["violations"], Value::Array(Vec::new()), "{report:#}");
    assert_eq!(report["seeds"], 3);
    let (ops, ok, allows) = (count(&report["ops"]), count(&report["ok"]), count(&report["allows"]));
    assert!(
        ok * 10 >= ops * 3 && allows * 10 >= ops,
        "vacuous: {ops} operations, {ok} succeeded, {allows} allowed"
    );
    let fired: u64 = report["faults"].as_object().unwrap().values().map(count).sum();
    assert!(fired > 10, "{report:#}");
}

#[test]
fn nothing_is_violated_in_a_seed_of_five_nodes() {
    let report = seed(&["--seed", "3", "--nodes", "5", "--seconds", "8"]);
    assert_eq!(report["violations"], Value::Array(Vec::new()), "{report:#}");
}

#[test]
fn clocks_that_go_back_or_leap_by_minutes_again_and_again_are_doubted_each_time() {
    if !runs_today(0) {
        return;
    }
    let report = seed(&["--seeds", "0..6", "--seconds", "12", "--faults", "clocks-back,clocks-ratchet"]);
    // So little may be allowed meanwhile that it shows too little (M3).
    let mut found = report["violations"].as_array().unwrap().iter();
    assert!(found.all(|found| found[1]["invariant"] == "M3"), "{report:#}");
    for what in ["clocks went back", "small leap doubted", "ratchet doubted"] {
        assert!(report["sometimes"][what].as_u64().is_some_and(|times| times > 0), "{what}: {report:#}");
    }
}

/// Runs one seed after the other until all of these rare things happened; nothing may be violated in any.
fn reach(seeds: impl Iterator<Item = u64>, arguments: &[&str], wanted: &[&str]) {
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    for number in seeds {
        let number = number.to_string();
        let report = seed(&[&["--seed", number.as_str()][..], arguments].concat());
        // So short a run may show too little (M3).
        let mut found = report["violations"].as_array().unwrap().iter();
        assert!(found.all(|found| found[1]["invariant"] == "M3"), "{report:#}");
        for (what, times) in report["sometimes"].as_object().unwrap() {
            *reached.entry(what.clone()).or_default() += count(times);
        }
        if wanted.iter().all(|what| reached.get(*what).is_some_and(|times| *times > 0)) {
            return;
        }
    }
    panic!("of {wanted:?} some are never reached: {reached:?}");
}

#[test]
fn others_are_served_beside_a_crowd_that_posts_batches() {
    if !runs_today(1) {
        return;
    }
    let crowded = (0..).filter(|seed| a_crowd_comes(&Dice::new(*seed))).take(10);
    let wanted = [
        "crowd answered",
        "crowd's garbage refused",
        "crowd's early refused",
        "crowd's again answered",
        "caller beside a crowd",
    ];
    reach(crowded, &["--seconds", "10", "--faults", "none"], &wanted);
}

#[test]
fn an_unknown_issuers_envelope_is_refused_alone_in_mode_each_and_with_its_batch_in_mode_all() {
    if !runs_today(2) {
        return;
    }
    let wanted =
        ["stranger refused alone", "leader found a stranger", "batch refused whole", "batch accepted whole"];
    // Learners come with churn.
    reach(0..12, &["--seconds", "12", "--faults", "churn"], &wanted);
}

#[test]
fn a_saved_history_is_judged_again_with_the_same_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.jsonl");
    let report = seed(&["--seed", "2", "--seconds", "5", "--history", history.to_str().unwrap()]);
    let judged = jepsen(&["--output", "json", "check", history.to_str().unwrap()]);
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap();
    // So short a run may show too little (M3); anything else would be wrong.
    let found = report["violations"].as_array().unwrap().iter().map(|found| found[1]["invariant"].clone());
    let found: BTreeSet<String> = found.map(|id| id.as_str().unwrap().to_owned()).collect();
    assert!(found.iter().all(|id| id == "M3"), "{report:#}");
    let again = judged["findings"].as_array().unwrap().iter();
    let again = again.filter(|finding| !finding["violations"].as_array().unwrap().is_empty());
    let again: BTreeSet<String> = again.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(again, found);
}

#[test]
fn a_fault_that_is_left_out_does_not_fire_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = |skip: &[&str]| {
        let history = folder.path().join("h");
        let arguments = [
            &["--seed", "7", "--seconds", "8", "--faults", "isolate", "--history", history.to_str().unwrap()],
            skip,
        ]
        .concat();
        let report = seed(&arguments);
        (count(&report["drawn"]), report["faults"].as_object().unwrap().values().map(count).sum::<u64>())
    };
    let (drawn, fired) = kinds(&[]);
    assert!(drawn > 2 && fired > 1, "{drawn} {fired}");
    let all: Vec<String> = (0..drawn).map(|number| number.to_string()).collect();
    assert_eq!(kinds(&["--skip", &all.join(",")]).1, 0);
}

#[test]
fn what_cannot_be_run_is_refused_and_says_what_can() {
    for (arguments, says) in [
        (&["sim", "--faults", "rain"][..], "partition"),
        (&["sim", "--seeds", "9..3"], "A..B"),
        (&["sim", "--nodes", "4"], "[possible values: 3, 5]"),
        (&["sim", "--seed", "1", "--mutant", "none-such"], "lease-read"),
        (&["ledgers", "--mutant", "none-such"], "lease-read"),
        (&["mutants", "--only", "none-such"], "lease-read"),
    ] {
        let output = jepsen(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}
