//! `assent dev` with real processes: resumed, killed, respawned, refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::time::Instant;

/// Longest wait for anything: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running `assent dev`. Dropping it ends it.
struct Dev {
    process: Child,
    directory: PathBuf,
}

impl Dev {
    /// Starts it and waits until it has printed its last export, which it does when every node is ready.
    fn start(directory: &Path, base: u16, more: &[&str]) -> Dev {
        let out = directory.with_extension("out");
        let process = dev(directory, base, more)
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(directory.with_extension("err")).unwrap())
            .spawn()
            .unwrap();
        let mut dev = Dev { process, directory: directory.to_owned() };
        let errors = directory.with_extension("err");
        eventually("the cluster is ready", || {
            let ended = dev.process.try_wait().unwrap();
            assert!(ended.is_none(), "ended: {}", fs::read_to_string(&errors).unwrap());
            fs::read_to_string(&out).unwrap().contains("ASSENT_KEY_ZONE")
        });
        dev
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&fs::read(self.directory.join("dev.json")).unwrap()).unwrap()
    }

    fn pid(&self, node: usize) -> Pid {
        let pid = self.json()["nodes"][node - 1]["pid"].as_i64().unwrap();
        assert!(pid > 1, "node {node} has pid {pid}");
        Pid::from_raw(i32::try_from(pid).unwrap())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.directory.with_extension("err")).unwrap()
    }

    /// Ends it as Ctrl-C does.
    fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGINT).unwrap();
        assert!(self.process.wait().unwrap().success(), "{}", self.said());
    }

    /// Runs a command against this cluster.
    fn assent(&self, args: &[&str]) -> Output {
        let dev = self.json();
        let endpoints: Vec<&str> =
            dev["endpoints"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
        Command::new(env!("CARGO_BIN_EXE_assent"))
            .args(args)
            .env("ASSENT_ENDPOINTS", endpoints.join(","))
            .env("ASSENT_ORIGIN", dev["origin"].as_str().unwrap())
            .env("ASSENT_DOMAIN", dev["domain"].as_str().unwrap())
            .env("ASSENT_NODE_KEYS", dev["node_keys"].as_str().unwrap())
            .output()
            .unwrap()
    }

    fn key(&self, role: &str) -> String {
        self.json()["keys"][role].as_str().unwrap().to_owned()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn dev(directory: &Path, base: u16, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
    command.args(["dev", "--base-port", &base.to_string(), "--data"]).arg(directory).args(more);
    command.stdin(Stdio::null());
    command
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_alive(pid: Pid) -> bool {
    // An orphan may stay a zombie for a while, or for ever where nothing reaps it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    kill(pid, None).is_ok() && !zombie
}

/// A base port of which all the cluster's ports are free; each test has a range of its own.
fn base_port(from: u16) -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (from..from + 900)
        .step_by(10)
        .find(|base| (0..5).all(|n| free(base + n) && free(base + n + 100)))
        .unwrap()
}

fn succeeded(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn events_that_are_followed_end_when_their_reader_has_seen_enough() {
    let tmp = tempfile::tempdir().unwrap();
    let dev = Dev::start(&tmp.path().join("dev"), base_port(24_500), &[]);
    let endpoint = dev.json()["endpoints"][0].as_str().unwrap().to_owned();
    // Founding fills the ledger with more than one event, and then nothing happens: no write could fail.
    let mut following = Command::new(env!("CARGO_BIN_EXE_assent"))
        .args(["events", "--follow", "--endpoint", &endpoint])
        .stdout(Stdio::piped())
        .stderr(fs::File::create(tmp.path().join("said")).unwrap())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(following.stdout.take().unwrap());
    let listed = succeeded(&dev.assent(&["events"])).lines().count();
    let mut line = String::new();
    for _ in 0..listed {
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended before its reader");
    }
    assert!(following.try_wait().unwrap().is_none(), "it does not follow");
    drop(reader);
    let mut ended = None;
    eventually("it ends", || {
        ended = following.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(tmp.path().join("said")).unwrap(), "");
}

#[test]
fn started_again_it_is_the_same_cluster_with_the_same_evidence() {
    let tmp = tempfile::tempdir().unwrap();
    let directory = tmp.path().join("dev");
    let base = base_port(12_000);
    let first = Dev::start(&directory, base, &[]);
    let before = first.json();
    let event = tmp.path().join("subject");
    fs::write(&event, "subject").unwrap();
    let subject = event.to_str().unwrap();
    let (attestation, lineage) = (first.key("attestation"), ["lineage", "show", "job-1", "--output", "json"]);
    let statement = [
        "statement",
        "new",
        "runtime-attestation",
        "--lineage",
        "job-1",
        "--subject-file",
        subject,
        "--claim",
        "verifier=v",
        "--claim",
        "status=affirming",
        "--claim",
        "measurement=none",
        "--key",
        &attestation,
        "--submit",
    ];
    succeeded(&first.assent(&statement));
    let stored = succeeded(&first.assent(&lineage));
    // What it prints is enough to ask, and what it answers is signed by a key that was printed.
    let exports = fs::read_to_string(directory.with_extension("out")).unwrap();
    assert!(
        exports.contains(&format!("export ASSENT_NODE_KEYS='{}'\n", before["node_keys"].as_str().unwrap()))
    );
    let question = ["authorize", "--lineage", "job-1", "--action", "run", "--subject-file", subject];
    let denied = first.assent(&question);
    assert!(matches!(denied.status.code(), Some(10 | 11)), "nothing authorizes it: {denied:?}");
    assert!(String::from_utf8_lossy(&denied.stdout).contains("signed by ed25519:"), "{denied:?}");
    let old = first.pid(1);
    first.stop();
    assert!(!is_alive(old), "a node outlives `assent dev`");

    let again = Dev::start(&directory, base, &[]);
    let after = again.json();
    for same in ["origin", "domain", "endpoints", "keys", "node_keys"] {
        assert_eq!(before[same], after[same]);
    }
    assert_eq!(succeeded(&again.assent(&lineage)), stored);

    let second = dev(&directory, base + 50, &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("directory_in_use"));
    let elsewhere = dev(&tmp.path().join("other"), base, &[]).output().unwrap();
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("port_in_use"));
    again.stop();

    let bigger = dev(&directory, base, &["--nodes", "5"]).output().unwrap();
    assert_eq!(bigger.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bigger.stderr).contains("other_cluster"));
}

#[test]
fn a_killed_node_stays_down() {
    let tmp = tempfile::tempdir().unwrap();
    let dev = Dev::start(&tmp.path().join("dev"), base_port(13_000), &[]);
    let pid = dev.pid(2);
    kill(pid, Signal::SIGKILL).unwrap();
    eventually("it is said", || dev.said().contains("node 2 ended"));
    assert!(dev.said().contains("stays down"));
    // Longer than a respawn would take.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(dev.pid(2), pid);
    assert!(!is_alive(pid));
    dev.stop();
}

#[test]
fn with_respawn_a_killed_node_comes_back_with_a_new_pid() {
    let tmp = tempfile::tempdir().unwrap();
    let dev = Dev::start(&tmp.path().join("dev"), base_port(14_000), &["--respawn"]);
    let pid = dev.pid(3);
    kill(pid, Signal::SIGKILL).unwrap();
    eventually("the pid follows", || dev.pid(3) != pid);
    let endpoint = dev.json()["endpoints"][2].as_str().unwrap().to_owned();
    eventually("it answers", || dev.assent(&["status", "--endpoint", &endpoint]).status.success());
    assert!(is_alive(dev.pid(3)));
    dev.stop();
}

#[test]
fn nodes_do_not_outlive_a_killed_dev_nor_ignore_a_signal_of_their_own() {
    let tmp = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(&tmp.path().join("dev"), base_port(15_000), &[]);
    let pids = [dev.pid(1), dev.pid(2), dev.pid(3)];
    kill(pids[0], Signal::SIGTERM).unwrap();
    eventually("node 1 stops when it is told to", || dev.said().contains("node 1 ended"));
    dev.process.kill().unwrap();
    dev.process.wait().unwrap();
    eventually("the nodes end", || !pids.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn with_chaos_nodes_are_killed_paused_and_restarted_and_the_cluster_goes_on() {
    let tmp = tempfile::tempdir().unwrap();
    let dev = Dev::start(&tmp.path().join("dev"), base_port(17_000), &["--chaos", "1"]);
    eventually("each kind has had its turn", || {
        let said = dev.said();
        [
            "is killed (kill -9)",
            "is paused (SIGSTOP)",
            "is told to stop (SIGTERM)",
            "chaos 3: node",
            "chaos 4: node",
        ]
        .iter()
        .all(|kind| said.contains(kind))
    });
    let said = dev.said();
    assert!(said.contains("goes on") && said.contains("is started again"), "{said}");
    assert!(!said.contains(" ended ("), "what it ended itself it starts again: {said}");
    // A client that asks all nodes gets on.
    eventually("somebody answers", || dev.assent(&["status"]).status.success());
    dev.stop();
}

#[test]
fn a_paused_node_does_not_hold_a_stopping_cluster_up() {
    let tmp = tempfile::tempdir().unwrap();
    let dev = Dev::start(&tmp.path().join("dev"), base_port(18_000), &[]);
    kill(dev.pid(2), Signal::SIGSTOP).unwrap();
    let started = Instant::now();
    dev.stop();
    assert!(started.elapsed() < Duration::from_secs(6), "it took {:?}", started.elapsed());
}

#[test]
fn a_second_signal_ends_a_stopping_cluster_at_once() {
    let tmp = tempfile::tempdir().unwrap();
    let base = base_port(19_000);
    let mut dev = Dev::start(&tmp.path().join("dev"), base, &[]);
    let pids = [dev.pid(1), dev.pid(2), dev.pid(3)];
    // A request that never ends is given three seconds to.
    let mut client = std::net::TcpStream::connect(("127.0.0.1", base)).unwrap();
    client.write_all(b"POST /v1/authorize HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let process = Pid::from_raw(i32::try_from(dev.process.id()).unwrap());
    let started = Instant::now();
    kill(process, Signal::SIGINT).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(dev.process.try_wait().unwrap().is_none(), "what is under way is given time");
    kill(process, Signal::SIGINT).unwrap();
    assert_eq!(dev.process.wait().unwrap().code(), Some(1));
    assert!(started.elapsed() < Duration::from_millis(2_500), "at once is not {:?}", started.elapsed());
    assert!(dev.said().contains("stopped_at_once"), "{}", dev.said());
    eventually("the nodes are gone", || !pids.iter().any(|pid| is_alive(*pid)));
}
