//! The story of `assent demo`, on the real binary.

use std::process::Command;

use serde_json::Value;

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step `{name}` in {report}"))
}

fn decisions(step: &Value) -> Vec<(&str, usize)> {
    let decisions = step["decisions"].as_array().unwrap();
    let codes = |decision: &Value| decision["codes"].as_array().unwrap().len();
    decisions.iter().map(|decision| (decision["decision"].as_str().unwrap(), codes(decision))).collect()
}

#[test]
fn the_demo_allows_denies_denies_without_a_leader_and_allows_again() {
    let tmp = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_assent"))
        .args(["--output", "json", "demo"])
        .env("TMPDIR", tmp.path())
        .output()
        .unwrap();
    let (out, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{errors}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["ok"], true);

    assert_eq!(decisions(step(&report, "allow")), [("allow", 0); 3]);
    let denied = step(&report, "deny");
    assert!(decisions(denied).iter().all(|(decision, codes)| *decision == "deny" && *codes > 0), "{denied}");
    assert_eq!(denied["decisions"][0]["codes"][0], "authority_revoked");
    assert_eq!(decisions(step(&report, "renew")), [("allow", 0); 3]);
    let leaderless = step(&report, "deny-while-leaderless");
    assert!(leaderless["denies"]["no_quorum"].as_u64().unwrap() > 0, "{leaderless}");
    assert_eq!(leaderless["killed"], step(&report, "form")["leader"]);
    assert_eq!(decisions(step(&report, "new-leader")), [("allow", 0); 2]);
    assert_ne!(step(&report, "new-leader")["leader"], leaderless["killed"]);
    assert_eq!(decisions(step(&report, "restart")), [("allow", 0)]);
    assert_eq!(step(&report, "verify")["forged"], "signature_invalid");

    let left: Vec<_> = std::fs::read_dir(tmp.path()).unwrap().collect();
    assert!(left.is_empty(), "the demo left something behind: {left:?}");
}

#[test]
fn the_demo_fits_a_terminal_of_100_columns() {
    let run = Command::new(env!("CARGO_BIN_EXE_assent")).arg("demo").output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{text}");
    assert!(text.contains("plain HTTP on loopback"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}
