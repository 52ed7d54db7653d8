//! The checks find every violation in histories that are made up for it, and find none in right histories.
//!
//! Every history is a file in `fixtures`: `good-….jsonl` violates nothing, and `bad-S1-….jsonl` violates S1 and
//! nothing else. A file with `-chaos-` in its name has records as chaos makes them and is judged as a history of
//! chaos; the others are judged as simulated histories. `UPDATE_FIXTURES=1` rewrites the files.

mod bad;
mod bad_liveness;
mod bad_raft;
mod batches;
mod builder;
mod chaos;
mod good;
mod measures;
mod real;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assent_jepsen::check::{INVARIANTS, NOT_YET, Scope, Setting, judge};
use assent_jepsen::history::History;

use builder::NamedHistories;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn all_histories() -> NamedHistories {
    let shelves = [
        good::histories(),
        bad::histories(),
        bad_raft::histories(),
        bad_liveness::histories(),
        batches::histories(),
        real::histories(),
        chaos::histories(),
    ];
    shelves.into_iter().flatten().collect()
}

fn files() -> BTreeSet<String> {
    let files =
        fs::read_dir(fixtures()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    files.filter(|name| name.ends_with(".jsonl")).collect()
}

fn read(name: &str) -> History {
    History::read(fs::read(fixtures().join(name)).unwrap().as_slice()).unwrap()
}

/// The invariant that a file's name says it violates.
fn named(file: &str) -> Option<&str> {
    file.strip_prefix("bad-")?.split('-').next()
}

/// Where the history of a file was recorded.
fn setting(file: &str) -> Setting {
    if file.contains("-chaos-") { Setting::Chaos } else { Setting::Simulation }
}

#[test]
fn the_files_tell_the_stories() {
    for (name, history) in all_histories() {
        let file = fixtures().join(format!("{name}.jsonl"));
        let mut text = Vec::new();
        history.write(&mut text).unwrap();
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&file, &text).unwrap();
        }
        assert!(
            fs::read(&file).ok().as_deref() == Some(&text[..]),
            "{name}: see `UPDATE_FIXTURES` in this file"
        );
    }
    let told: BTreeSet<String> = all_histories().keys().map(|name| format!("{name}.jsonl")).collect();
    assert_eq!(files(), told);
}

#[test]
fn every_file_violates_what_its_name_says_and_nothing_else() {
    let mut wrong = Vec::new();
    for file in files() {
        let history = read(&file);
        let report = judge(&history, setting(&file));
        let expected: BTreeSet<&str> = named(&file).into_iter().collect();
        // These stories follow no rules of a registry; S2 and its model have their own tests.
        let violated: BTreeSet<&str> = report.violated().into_iter().filter(|id| *id != "S2").collect();
        if violated != expected {
            wrong.push(format!("{file}: {}", report.to_text(&history)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_invariant_has_a_file_that_violates_it_and_a_good_file_that_it_really_judges() {
    for setting in [Setting::Simulation, Setting::Chaos] {
        let files: Vec<String> = files().into_iter().filter(|file| self::setting(file) == setting).collect();
        let (good, bad): (Vec<_>, Vec<_>) = files.iter().partition(|file| named(file).is_none());
        let reports: Vec<_> = good.iter().map(|file| judge(&read(file), setting)).collect();
        for invariant in INVARIANTS.iter().filter(|invariant| invariant.is_judged_in(setting)) {
            let id = invariant.id;
            // S2 and its model have their own tests.
            if id == "S2" {
                continue;
            }
            assert!(bad.iter().any(|file| named(file) == Some(id)), "{id} has no bad history of {setting:?}");
            let looked = reports.iter().any(|report| report.looked_at(id) > 0);
            assert!(looked, "{id} looks at nothing in any good history of {setting:?}");
        }
    }
}

#[test]
fn what_chaos_is_not_held_to_looks_at_nothing_in_its_histories_or_says_why_not() {
    let judged_elsewhere =
        INVARIANTS.iter().filter(|invariant| matches!(invariant.scope, Scope::Simulation(_)));
    let looks: Vec<&str> = judged_elsewhere
        .filter(|invariant| {
            let mut files = files().into_iter().filter(|file| setting(file) == Setting::Chaos);
            files.any(|file| (invariant.check)(&read(&file)).looked_at > 0)
        })
        .map(|invariant| invariant.id)
        .collect();
    // S2 takes too long on the ledgers that chaos makes. L1 and M3 are for longer histories than these files.
    assert_eq!(looks, ["S2"]);
}

#[test]
fn the_page_says_which_checks_chaos_is_held_to() {
    const PAGE: &str = include_str!("../../README.md");
    for invariant in INVARIANTS {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| {} |", invariant.id)));
        let row = row.unwrap_or_else(|| panic!("{} is not on the page", invariant.id));
        let says_yes = row.trim_end_matches(" |").rsplit(" | ").next().unwrap().starts_with("yes");
        assert_eq!(says_yes, invariant.is_judged_in(Setting::Chaos), "{row}");
    }
}

#[test]
fn what_is_checked_and_what_is_not_are_told_apart() {
    let ids: Vec<&str> = INVARIANTS.iter().map(|invariant| invariant.id).collect();
    let all: BTreeSet<&str> = ids.iter().copied().chain(NOT_YET.iter().map(|(id, _)| *id)).collect();
    assert_eq!(all.len(), ids.len() + NOT_YET.len(), "each is in one list, once");
}

#[test]
fn nothing_is_wrong_in_nothing() {
    for setting in [Setting::Simulation, Setting::Chaos] {
        let report = judge(&History::default(), setting);
        assert!(report.is_good());
        assert!(report.findings.iter().all(|finding| finding.verdict.looked_at == 0));
    }
}

fn check(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent-jepsen"));
    let output = command.args(arguments).current_dir(fixtures()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_shows_the_records_that_violate() {
    let (code, out, _) = check(&["check", "bad-S9-allow-in-a-cut.jsonl"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("\nS9: node 3 allowed while it was cut from every quorum\n  #"), "{out}");
    let (code, out, _) = check(&["--output", "json", "check", "bad-S9-allow-in-a-cut.jsonl"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["good"]), (Some(1), &serde_json::json!(false)));
    let s9 = report["findings"].as_array().unwrap().iter().find(|found| found["id"] == "S9").unwrap();
    assert_eq!(s9["violations"][0]["records"][0]["input"]["kind"], "cut");
    let (code, out, _) = check(&["check", "good-cut-edges.jsonl"]);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn the_command_judges_a_history_as_it_is_told_where_it_was_recorded() {
    let file = "bad-C1-chaos-refused.jsonl";
    let (_, out, _) = check(&["check", file]);
    assert!(!out.contains("C1"), "a caller in a simulated run may submit what must be refused: {out}");
    let (code, out, _) = check(&["check", "--of", "chaos", file]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("was refused with `lineage_fragmented`"), "{out}");
}

#[test]
fn what_is_no_history_is_not_judged() {
    let (code, out, error) = check(&["check", "no-such-file"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    assert!(error.starts_with("error: no-such-file: "), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "{}\n").unwrap();
    let (code, _, error) = check(&["check", file.path().to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(error.contains("line 1 of the history is not a record"), "{error}");
}

#[test]
fn a_history_that_shows_nothing_is_no_good_history() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let (code, out, error) = check(&["check", path]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    assert!(error.contains("the history has 0 records and gives no check anything to look at"), "{error}");
    let unread = r#"{"op":"events","client":1,"node":1,"key":"","input":{"after":0},"output":null,"invoke_ns":1,"return_ns":2,"outcome":"unknown"}"#;
    fs::write(file.path(), format!("{unread}\n")).unwrap();
    let (code, out, error) = check(&["check", path]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    assert!(error.contains("the history has 1 records"), "{error}");
}

#[test]
fn a_reader_that_has_seen_enough_of_a_report_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent-jepsen"));
    let ended = command
        .args(["check", "good-cut-edges.jsonl"])
        .current_dir(fixtures())
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}
