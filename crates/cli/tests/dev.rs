//! `assent dev` with real processes: resumed, killed, respawned, refused.

mod search;
mod secrets;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
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
        Dev::start_with(directory, base, more, &[])
    }

    /// The same, with these variables in its environment and in that of its nodes.
    fn start_with(directory: &Path, base: u16, more: &[&str], variables: &[(&str, &str)]) -> Dev {
        let out = directory.with_extension("out");
        let process = dev(directory, base, more)
            .envs(variables.iter().copied())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(directory.with_extension("err")).unwrap())
            .spawn()
            .unwrap();
        let mut dev = Dev { process, directory: directory.to_owned() };
        let errors = directory.with_extension("err");
        eventually("the cluster is ready", || {
            let ended = dev.process.try_wait().unwrap();
            assert!(ended.is_none(), "ended: {}", fs::read_to_string(&errors).unwrap());
            // What is said on stderr is written by a thread of its own, so it may come after the result.
            let said = fs::read_to_string(&errors).unwrap();
            let says_how = said.contains("the nodes speak TLS") || said.contains("serve plain HTTP");
            says_how && fs::read_to_string(&out).unwrap().contains("ASSENT_KEY_ZONE")
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
        self.assent_as(&[], args)
    }

    /// Runs a command against this cluster, with these credentials in its environment.
    fn assent_as(&self, credentials: &[(&str, &str)], args: &[&str]) -> Output {
        let dev = self.json();
        let endpoints: Vec<&str> =
            dev["endpoints"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
        let nodes = dev["nodes"].as_array().unwrap();
        let admin: Vec<String> =
            nodes.iter().filter_map(|node| Some(format!("https://{}", node["admin"].as_str()?))).collect();
        Command::new(env!("CARGO_BIN_EXE_assent"))
            .args(args)
            .env("ASSENT_ENDPOINTS", endpoints.join(","))
            .env("ASSENT_ADMIN", admin.join(","))
            .env("ASSENT_ORIGIN", dev["origin"].as_str().unwrap())
            .env("ASSENT_DOMAIN", dev["domain"].as_str().unwrap())
            .env("ASSENT_NODE_KEYS", dev["node_keys"].as_str().unwrap())
            .envs(credentials.iter().copied())
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
        .find(|base| (0..5).all(|n| free(base + n) && free(base + n + 100) && free(base + n + 200)))
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
    assert!(first.said().contains("serve plain HTTP on loopback"), "{}", first.said());
    assert!(before["ca"].is_null() && before["clients"].is_null(), "{before}");
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

/// The variables with which a command shows a caller's certificate, or its token.
fn credentials<'a>(ca: &'a Value, caller: &'a Value, by: &str) -> Vec<(&'static str, &'a str)> {
    let path = |value: &'a Value| value.as_str().unwrap();
    let mut shown = vec![("ASSENT_CA", path(ca))];
    match by {
        "certificate" => {
            shown.extend([("ASSENT_CERT", path(&caller["cert"])), ("ASSENT_CERT_KEY", path(&caller["key"]))]);
        }
        "token" => shown.push(("ASSENT_TOKEN_FILE", path(&caller["token"]))),
        _ => {}
    }
    shown
}

/// Everything that a command printed.
fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// It fails if a caller has a role too many or too few, if its certificate or its token is unknown to the nodes, or if
/// the nodes answer a caller that shows nothing or speaks plain HTTP.
#[test]
fn with_tls_each_caller_may_do_what_its_role_may_by_its_certificate_and_by_its_token() {
    let tmp = tempfile::tempdir().unwrap();
    let dev = Dev::start(&tmp.path().join("dev"), base_port(21_000), &["--tls"]);
    let json = dev.json();
    let (ca, clients) = (&json["ca"], json["clients"].as_object().unwrap());
    let names: Vec<&str> = clients.keys().map(String::as_str).collect();
    assert_eq!(names, ["auditor", "gateway", "operator", "scheduler", "submitter"]);
    let audit = dev.key("audit");
    let digest = format!("sha256:{}", "0".repeat(64));
    let calls: [(&[&str], &[&str]); 4] = [
        (&["status"], &names),
        (
            &["authorize", "--lineage", "job-1", "--action", "run", "--subject", &digest],
            &["scheduler", "gateway"],
        ),
        (&["contain", "quarantine", "job-1", "--key", &audit], &["submitter"]),
        (&["member", "list"], &["operator"]),
    ];
    for (args, permitted) in calls {
        for by in ["certificate", "token"] {
            for (name, caller) in clients {
                let output = dev.assent_as(&credentials(ca, caller, by), args);
                let refused = printed(&output).contains("caller_not_permitted");
                assert_eq!(
                    refused,
                    !permitted.contains(&name.as_str()),
                    "{name} by {by}: {args:?} {output:?}"
                );
            }
            let output = dev.assent_as(&credentials(ca, &json["developer"], by), args);
            assert!(!printed(&output).contains("caller_not_permitted"), "{args:?}: {output:?}");
            // There is no such lineage to contain.
            let is_done = matches!(output.status.code(), Some(0 | 10 | 11));
            assert!(is_done || printed(&output).contains("target_unknown"), "{args:?}: {output:?}");
        }
    }
    let nothing = dev.assent_as(&credentials(ca, &Value::Null, "nothing"), &["member", "list"]);
    assert!(!nothing.status.success() && printed(&nothing).contains("caller_not_permitted"), "{nothing:?}");
    assert_eq!(dev.assent(&["member", "list"]).status.code(), Some(64), "an https endpoint needs its CA");
    let address = json["nodes"][0]["client"].as_str().unwrap();
    let mut plain = std::net::TcpStream::connect(address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A connection that is broken is no answer either.
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    dev.stop();
}

/// It fails if a start without `--tls` serves plain HTTP where TLS was, or if it makes what is there anew.
#[test]
fn tls_stays_with_its_directory_until_it_is_turned_off() {
    let tmp = tempfile::tempdir().unwrap();
    let directory = tmp.path().join("dev");
    let base = base_port(22_000);
    let first = Dev::start(&directory, base, &["--tls"]);
    let before = first.json();
    assert!(first.said().contains("the nodes speak TLS"), "{}", first.said());
    let exports = fs::read_to_string(directory.with_extension("out")).unwrap();
    for (variable, value) in credentials(&before["ca"], &before["developer"], "certificate") {
        assert!(exports.contains(&format!("export {variable}='{value}'\n")), "{exports}");
    }
    let held = |json: &Value| {
        let paths = ["cert", "key", "token"]
            .map(|file| json["clients"]["operator"][file].as_str().unwrap().to_owned());
        paths.map(|path| fs::read(path).unwrap())
    };
    let files = held(&before);
    first.stop();

    let again = Dev::start(&directory, base, &[]);
    let after = again.json();
    for same in ["endpoints", "ca", "clients", "developer"] {
        assert_eq!(before[same], after[same]);
    }
    assert_eq!(held(&after), files);
    succeeded(&again.assent_as(&credentials(&after["ca"], &after["developer"], "token"), &["status"]));
    again.stop();

    let plain = Dev::start(&directory, base, &["--tls=false"]);
    let json = plain.json();
    assert_eq!(json["endpoints"][0], format!("http://127.0.0.1:{base}"));
    assert!(json["ca"].is_null() && json["clients"].is_null() && json["developer"].is_null(), "{json}");
    assert!(plain.said().contains("serve plain HTTP on loopback"), "{}", plain.said());
    succeeded(&plain.assent(&["status"]));
    plain.stop();
}

/// It fails if a start drops one of the settings, if the trail of a copied directory is the trail of the other one, or
/// if blanks of the source are in what is said.
#[test]
fn the_trail_and_the_health_listener_of_a_node_stay_when_it_is_started_again() {
    let tmp = tempfile::tempdir().unwrap();
    let directory = tmp.path().join("dev");
    let base = base_port(26_000);
    let first = Dev::start(&directory, base, &["--tls"]);
    let said = first.said();
    let door = said.lines().find(|line| line.contains("the nodes speak TLS")).unwrap();
    assert!(!door.trim().contains("  ") && !door.contains("every role"), "{door}");
    first.stop();
    let config = directory.join("node-1.toml");
    let health = format!("127.0.0.1:{}", base + 9);
    let text = fs::read_to_string(&config).unwrap();
    let set = format!(
        "health_listen = \"{health}\"\nhealth_metrics = true\n{text}\n[audit]\npath = \"audit.jsonl\"\nkeep_days = 7\n"
    );
    fs::write(&config, set).unwrap();

    let again = Dev::start(&directory, base, &[]);
    let kept = fs::read_to_string(&config).unwrap();
    for line in
        [format!("health_listen = \"{health}\""), "health_metrics = true".into(), "keep_days = 7".into()]
    {
        assert!(kept.lines().any(|found| found == line), "`{line}` is gone: {kept}");
    }
    assert!(kept.contains(&format!("path = \"{}\"", directory.join("audit.jsonl").display())), "{kept}");
    assert!(directory.join("audit.jsonl").exists());
    std::net::TcpStream::connect(&health).unwrap();
    again.stop();

    // A copy of the directory has a trail of its own. A copy of keys must be as private as they are.
    let copy = tmp.path().join("copy");
    let copied = Command::new("cp").arg("-a").args([&directory, &copy]).status().unwrap();
    assert!(copied.success());
    let other = Dev::start(&copy, base, &[]);
    let moved = fs::read_to_string(copy.join("node-1.toml")).unwrap();
    assert!(moved.contains(&format!("path = \"{}\"", copy.join("audit.jsonl").display())), "{moved}");
    other.stop();
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
