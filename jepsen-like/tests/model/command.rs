//! `assent-jepsen ledgers`, run as a person runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn jepsen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assent-jepsen")).args(arguments).output().unwrap()
}

#[test]
fn the_same_seeds_give_the_same_report_on_any_number_of_threads() {
    let report = |jobs: &str| {
        let output = jepsen(&["--output", "json", "ledgers", "--seeds", "5..20", "--jobs", jobs]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
        for differs in ["wallMs", "jobs"] {
            report.as_object_mut().unwrap().remove(differs).unwrap();
        }
        report
    };
    let one = report("1");
    assert_eq!(one["ledgers"], 15);
    assert_eq!(one, report("3"));
}

#[test]
fn a_range_that_is_none_is_a_wrong_command_line() {
    let output = jepsen(&["ledgers", "--seeds", "7..7"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}
