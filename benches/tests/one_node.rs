//! The whole program against the registry's real rules on one node: the node accepts what the program prepares and
//! submits, allows what it asks, and the program notices a wrong answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use assent_registry::query;
use serde_json::Value;
use std::process::{Command, Output};
use support::OneNode;

fn cluster_load(node: &OneNode, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cluster-load"))
        .arg("--dev-json")
        .arg(&node.dev_json)
        .args(["--seconds", "1", "--warm-up", "0", "--clients", "1,3", "--lineages", "20", "--chain", "4"])
        .args(["--sign-rate", "150", "--output", "json"])
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn everything_it_prepares_and_submits_is_accepted_and_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let node = OneNode::start(dir.path());
    let before = query::revision(&*node.rows.lock().unwrap()).unwrap();
    let output = cluster_load(&node, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = results["runs"].as_array().unwrap();
    let names: Vec<_> = runs.iter().map(|run| run["scenario"].as_str().unwrap()).collect();
    assert_eq!(names, ["livez", "livez", "authorize", "authorize", "submit", "submit"]);
    let mut submitted = 0;
    for run in runs {
        let operations = run["operations"].as_u64().unwrap();
        let wanted = match run["scenario"].as_str().unwrap() {
            "livez" => "ok",
            "authorize" => "allow",
            _ => "accepted",
        };
        assert!(operations > 0);
        assert_eq!(run["outcomes"][wanted].as_u64(), Some(operations), "{run}");
        assert_eq!(run["unexpected"].as_u64(), Some(0));
        submitted += if wanted == "accepted" { operations } else { 0 };
    }
    assert!(runs[3]["ofLivez"].as_f64().unwrap() > 0.0);
    assert!(results["machine"]["cores"].as_u64().unwrap() >= 1);
    // Two for each lineage that allows, and whatever was acknowledged.
    let after = query::revision(&*node.rows.lock().unwrap()).unwrap();
    assert!(after - before >= 40 + submitted, "{before} {after} {submitted}");
}

#[test]
fn evidence_that_is_refused_ends_it_with_the_code() {
    let dir = tempfile::tempdir().unwrap();
    let node = OneNode::start(dir.path());
    let stranger = assent_proof::SigningKey::from_seed([99; 32]);
    std::fs::write(dir.path().join("attestation.pem"), stranger.to_pem()).unwrap();
    for scenario in ["authorize", "submit"] {
        let output = cluster_load(&node, &["--only", scenario]);
        assert!(!output.status.success(), "{scenario}");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains(if scenario == "submit" { "refused" } else { "authority_unknown" }), "{told}");
    }
}

#[test]
fn it_reports_nothing_when_there_is_no_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = OneNode::start(dir.path());
    node.dev_json = dir.path().join("none.json");
    let program = Command::new(env!("CARGO_BIN_EXE_cluster-load"))
        .arg("--assent")
        .arg(dir.path().join("no-such-program"))
        .output()
        .unwrap();
    assert!(!program.status.success() && program.stdout.is_empty());
    assert!(String::from_utf8_lossy(&program.stderr).contains("is missing"));
}
