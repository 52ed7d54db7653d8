//! The measurements that found clusters of their own, on real nodes and as small as they can be: what they start is
//! right, they measure what they say, and they leave neither a process nor a file behind.
//!
//! The figures of such a run mean nothing, so no test here looks at whether one is large enough.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One cluster at a time: each looks for free ports from the same one on.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The program that the nodes run: `$ASSENT_BIN`, or the one in the target directory of this test, which is built if it
/// is missing.
fn assent() -> PathBuf {
    if let Some(named) = std::env::var_os("ASSENT_BIN") {
        return PathBuf::from(named);
    }
    let assent = Path::new(env!("CARGO_BIN_EXE_cluster-load")).with_file_name("assent");
    if !assent.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--package", "assent-cli", "--bin", "assent"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "`assent` does not build");
    }
    assent
}

/// Runs a measurement, which must find every answer right, and returns its results.
fn measured(arguments: &[&str]) -> Value {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let data = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cluster-load"))
        .args(arguments)
        .args(["--warm-up", "0", "--lineages", "20", "--output", "json"])
        .arg("--assent")
        .arg(assent())
        .arg("--data")
        .arg(data.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    let left: Vec<_> = std::fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?} are left behind\n{told}");
    let nodes = node_processes(data.path());
    assert!(nodes.is_empty(), "the processes {nodes:?} are left behind\n{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The processes whose command line names this directory.
fn node_processes(data: &Path) -> Vec<String> {
    let data = data.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let with_data = processes.filter(|process| {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(data)
    });
    with_data.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

#[test]
fn the_same_load_runs_with_tls_and_without_it_in_turn_and_gives_a_ratio() {
    let results = measured(&["--tls", "--clients", "2", "--nodes", "1", "--seconds", "1"]);
    let levels = results["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 1);
    let level = &levels[0];
    for transport in ["plain", "tls"] {
        let turns = level[transport].as_array().unwrap();
        assert_eq!(turns.len(), 2, "{level}");
        for turn in turns {
            assert_eq!(turn["outcomes"]["allow"], turn["operations"], "{turn}");
            assert_eq!((count(&turn["clients"]), count(&turn["unexpected"])), (2, 0));
        }
    }
    let rate = |name: &str| level[name].as_f64().unwrap();
    let ratio = rate("tlsPerSecond") / rate("plainPerSecond");
    assert!((rate("ratio") - ratio).abs() < 1e-6 && ratio > 0.0, "{level}");
}

/// Runs these floods on three nodes, and returns what was measured of each. Every flood must have got one of the answers
/// that its endpoint is for, and no other status.
fn flooded(arguments: &[&str], kinds: &[(&str, &[&str])]) -> Vec<Value> {
    let only: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
    let only = only.join(",");
    let common = ["flood", "--nodes", "3", "--only", &only];
    let results = measured(&[&common[..], arguments].concat());
    assert_eq!(results["quietRevocations"].as_array().unwrap().len(), 3);
    let floods = results["floods"].as_array().unwrap();
    assert_eq!(floods.len(), kinds.len());
    for (flood, (kind, wanted)) in floods.iter().zip(kinds) {
        assert_eq!(flood["kind"].as_str(), Some(*kind));
        assert!(count(&flood["quiet"]["operations"]) > 0 && count(&flood["beside"]["operations"]) > 0);
        assert!(flood["p99Ratio"].as_f64().unwrap() > 0.0);
        let revocations = flood["revocations"].as_array().unwrap();
        assert_eq!(revocations.len(), 3);
        assert!(revocations.iter().all(|revocation| revocation["error"].is_null()), "{flood}");
        let memory = flood["peakMib"].as_array().unwrap();
        assert!(memory.len() == 3 && memory.iter().all(|mib| mib.as_f64().unwrap() > 1.0), "{flood}");
        // What the nodes measured holds at least what the scheduler was answered in the same time.
        for part in ["quiet", "beside"] {
            let nodes = flood[format!("{part}InNodes")].as_array().unwrap();
            assert_eq!(nodes.len(), 3);
            let counted = |what: &str| nodes.iter().map(|node| count(&node[what]["count"])).sum::<u64>();
            assert!(counted("authorize") >= count(&flood[part]["operations"]), "{flood}");
            assert!(counted("barrier") > 0, "{flood}");
            for took in nodes.iter().flat_map(|node| [&node["authorize"], &node["barrier"]]) {
                let happened = count(&took["count"]) > 0;
                assert_eq!(took["meanMs"].as_f64().is_some_and(|ms| ms > 0.0), happened, "{flood}");
            }
        }
        // The flood did what it is for: the answers are those of its endpoint.
        let outcomes = flood["flood"]["outcomes"].as_object().unwrap();
        assert!(wanted.iter().any(|wanted| outcomes.contains_key(*wanted)), "{flood}");
        assert!(!outcomes.contains_key("other status"), "{flood}");
    }
    floods.clone()
}

#[test]
fn a_flood_of_each_kind_is_measured_beside_a_scheduler_and_a_revocation_on_each_node() {
    let floods = flooded(
        &["--connections", "8", "--bodies", "20", "--seconds", "4"],
        &[
            ("authorize-batches", &["decided", "shed"]),
            ("signature-batches", &["judged", "shed"]),
            ("invalid-envelopes", &["refused"]),
            ("permits", &["permitted"]),
        ],
    );
    // Only revocations and permits enter the ledger.
    let growth: Vec<u64> = floods.iter().map(|flood| count(&flood["ledgerGrowth"])).collect();
    assert_eq!((growth[1], growth[2]), (3, 3));
    assert!(growth[3] > 3, "{growth:?}");
}

#[test]
fn a_flood_of_what_is_right_and_answered_at_once_is_measured_too() {
    let floods = flooded(
        &["--connections", "4", "--bodies", "1", "--seconds", "2"],
        &[
            ("authorizes", &["allowed"]),
            ("envelope-batches", &["accepted before"]),
            ("envelopes", &["accepted before"]),
            ("reads", &["read"]),
            ("feeds", &["page"]),
        ],
    );
    // Beside the revocations, each envelope of 4 batches of 20, and each of 4 alone, enters the ledger at most once.
    let growth: Vec<u64> = floods.iter().map(|flood| count(&flood["ledgerGrowth"])).collect();
    assert_eq!((growth[0], growth[3], growth[4]), (3, 3, 3));
    assert!((4..=83).contains(&growth[1]) && (4..=7).contains(&growth[2]), "{growth:?}");
}

#[test]
fn idle_connections_stay_open_while_authorizes_are_answered_with_tls_and_without_it() {
    for (transport, is_tls) in [(&["--plain"][..], false), (&[][..], true)] {
        let size = ["idle", "--connections", "60", "--per-address", "5", "--nodes", "1", "--seconds", "1"];
        let results = measured(&[&size[..], transport].concat());
        assert_eq!(results["isTls"].as_bool(), Some(is_tls));
        assert_eq!((count(&results["addresses"]), count(&results["stillOpen"])), (12, 60));
        for part in ["quiet", "beside"] {
            assert!(count(&results[part]["outcomes"]["allow"]) > 0, "{results}");
        }
        assert!(results["kibPerConnection"].as_f64().unwrap() >= 0.0);
        assert_eq!(count(&results["deadlineMs"]), 250);
    }
}

#[test]
fn a_measurement_whose_nodes_cannot_start_ends_with_the_reason() {
    for arguments in [&["--tls"][..], &["flood"][..], &["idle", "--connections", "1"][..]] {
        let output = Command::new(env!("CARGO_BIN_EXE_cluster-load"))
            .args(arguments)
            .args(["--assent", "/no/such/program"])
            .output()
            .unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("`/no/such/program` is missing"), "{told}");
    }
}
