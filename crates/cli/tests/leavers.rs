//! `assent watch` and processes that try to escape it: sessions of their own, double forks, ignored signals, killed
//! guards.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::Fake;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

/// Longest wait for anything: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// A worker in a session of its own, forked twice, that takes no notice of SIGTERM.
const DEAF: &str = r#"setsid sh -c "trap '' TERM; (sh -c 'echo \$\$ > worker; exec sleep 1000' &) ""#;
/// A worker in a session of its own that says what it was told.
const POLITE: &str = r#"(setsid sh -c "trap 'echo term > told; exit' TERM; echo \$\$ > worker; while :; do sleep 0.05; done" &)"#;

/// A watched command, and the server that allows it.
struct Watched {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments of `watch`, up to the command.
fn arguments(endpoint: &str, grace: &str) -> Vec<String> {
    let subject = format!("sha256:{}", "00".repeat(32));
    let arguments =
        ["watch", "--endpoint", endpoint, "--domain", "d", "--lineage", "job-1", "--action", "run"];
    let more = ["--subject", &subject, "--timeout", "5000", "--unverified", "--grace", grace, "--"];
    arguments.iter().chain(&more).map(|argument| (*argument).to_owned()).collect()
}

impl Watched {
    /// Watches `sh -c SCRIPT`.
    fn start(server: Fake, grace: &str, script: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
        command.args(arguments(&server.start().endpoint, grace)).args(["sh", "-c", script]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = command
            .current_dir(folder.path())
            .env_remove("ASSENT_NODE_KEYS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// The process that wrote its number into this file.
    fn process(&self, name: &str) -> Pid {
        eventually(&format!("`{name}` is written"), || self.file(name).ends_with('\n'));
        let pid = Pid::from_raw(self.file(name).trim().parse().unwrap());
        assert!(is_alive(pid), "{pid} is gone at once: {}", self.file("said"));
        pid
    }

    /// The exit code, once it has ended.
    fn ended(&mut self) -> Option<i32> {
        let mut ended = None;
        eventually("it ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap().code()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// The process that guards the command.
    fn guard(&self) -> Pid {
        let children = children_of(self.pid());
        assert_eq!(children.len(), 1, "{children:?}");
        children[0]
    }
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// State and parent of a process, as the system lists them.
fn listed(process: &Path) -> Option<(String, i32)> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn is_alive(pid: Pid) -> bool {
    listed(Path::new(&format!("/proc/{pid}"))).is_some_and(|(state, _)| state != "Z")
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let children = entries.filter(|entry| {
        listed(&entry.path()).is_some_and(|(state, of)| state != "Z" && of == parent.as_raw())
    });
    children.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw).collect()
}

#[test]
fn a_worker_with_a_session_of_its_own_is_killed_when_the_command_may_run_no_longer() {
    // The server goes away after its first answer.
    let server = Fake { lasts: 5_000, answers: 1, ..Fake::new() };
    let mut watched = Watched::start(server, "1", &format!("{DEAF}; exec sleep 1000"));
    let worker = watched.process("worker");
    assert_eq!(watched.ended(), Some(13), "{}", watched.file("said"));
    assert!(!is_alive(worker), "it goes on");
}

#[test]
fn a_worker_that_the_command_left_behind_is_killed_when_the_command_ends() {
    let script = format!("{DEAF}; while test ! -s worker; do sleep 0.01; done; sleep 3; exit 7");
    let mut watched = Watched::start(Fake::new(), "1", &script);
    let worker = watched.process("worker");
    assert_eq!(watched.ended(), Some(7), "{}", watched.file("said"));
    assert!(!is_alive(worker), "it goes on");
    assert!(watched.file("said").contains("what it left behind is stopped"), "{}", watched.file("said"));
}

#[test]
fn a_worker_with_a_session_of_its_own_is_told_to_end_before_it_is_killed() {
    let mut watched = Watched::start(Fake::new(), "60", &format!("{POLITE}; exec sleep 1000"));
    let worker = watched.process("worker");
    kill(watched.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(watched.ended(), Some(128 + 15), "{}", watched.file("said"));
    assert!(!is_alive(worker), "it goes on");
    assert_eq!(watched.file("told"), "term\n");
}

#[test]
fn a_worker_with_a_session_of_its_own_does_not_outlive_the_process_that_watches() {
    let mut watched = Watched::start(Fake::new(), "60", &format!("{DEAF}; exec sleep 1000"));
    let worker = watched.process("worker");
    kill(watched.pid(), Signal::SIGKILL).unwrap();
    assert_eq!(watched.ended(), None);
    eventually("the worker is killed", || !is_alive(worker));
}

#[test]
fn a_worker_with_a_session_of_its_own_does_not_outlive_the_guard() {
    let mut watched = Watched::start(Fake::new(), "60", &format!("{DEAF}; exec sleep 1000"));
    let worker = watched.process("worker");
    kill(watched.guard(), Signal::SIGKILL).unwrap();
    assert_eq!(watched.ended(), Some(128 + 9), "{}", watched.file("said"));
    assert!(!is_alive(worker), "it goes on");
}

#[test]
fn a_stopped_guard_is_continued_so_that_its_command_gets_its_signal() {
    let mut watched = Watched::start(Fake::new(), "60", &format!("{POLITE}; exec sleep 1000"));
    let worker = watched.process("worker");
    kill(watched.guard(), Signal::SIGSTOP).unwrap();
    kill(watched.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(watched.ended(), Some(128 + 15), "{}", watched.file("said"));
    assert!(!is_alive(worker), "it goes on");
    assert_eq!(watched.file("told"), "term\n");
}

#[test]
fn a_guard_that_is_stopped_again_is_killed_soon_after_the_grace() {
    let mut watched = Watched::start(Fake::new(), "1", &format!("{DEAF}; exec sleep 1000"));
    let (worker, guard) = (watched.process("worker"), watched.guard());
    let told = Instant::now();
    kill(watched.pid(), Signal::SIGTERM).unwrap();
    let mut ended = None;
    eventually("it ends", || {
        if children_of(watched.pid()).contains(&guard) {
            let _ = kill(guard, Signal::SIGSTOP);
        }
        ended = watched.child.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(128 + 9), "{}", watched.file("said"));
    // The grace of 1 s, and 2 s; the machine may be busy.
    assert!(told.elapsed() < Duration::from_secs(9), "{:?}", told.elapsed());
    assert!(!is_alive(worker), "it goes on");
}

#[test]
fn what_ran_before_the_command_is_none_of_what_it_has_started() {
    let server = Fake::new().start();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"(sh -c 'echo $$ > before; exec sleep 1000') & exec "$0" "$@""#])
        .arg(env!("CARGO_BIN_EXE_assent"))
        .args(arguments(&server.endpoint, "1"))
        .args(["sh", "-c", "while test ! -s before; do sleep 0.01; done; sleep 3; exit 1"]);
    let mut watched = Watched::spawn(command);
    let before = watched.process("before");
    assert_eq!(watched.ended(), Some(1), "{}", watched.file("said"));
    assert!(is_alive(before), "it was killed: {}", watched.file("said"));
    kill(before, Signal::SIGKILL).unwrap();
}

#[test]
fn orphans_that_have_ended_are_not_kept_while_the_command_runs() {
    let script = r"(setsid sh -c 'echo $$ > worker; sleep 3' &) ; exec sleep 1000";
    let watched = Watched::start(Fake::new(), "1", script);
    let worker = watched.process("worker");
    eventually("the system has forgotten it", || !Path::new(&format!("/proc/{worker}")).exists());
}

#[test]
fn a_command_ends_with_its_allow_though_the_process_that_watches_is_stopped() {
    let server = Fake { lasts: 4_000, ..Fake::new() };
    let mut watched = Watched::start(server, "1", &format!("{DEAF}; exec sleep 1000"));
    let worker = watched.process("worker");
    let guard = watched.guard();
    kill(watched.pid(), Signal::SIGSTOP).unwrap();
    let stopped = Instant::now();
    eventually("the worker is ended", || !is_alive(worker));
    // What is left of 4 s, and the grace of 1 s; the machine may be busy.
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    eventually("the guard has ended", || !is_alive(guard));
    assert!(watched.file("said").contains("execution_unconfirmed"), "{}", watched.file("said"));
    kill(watched.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(watched.ended(), Some(13), "{}", watched.file("said"));
}

#[test]
fn a_command_goes_on_beyond_its_first_allow_while_the_process_that_watches_says_so() {
    let server = Fake { lasts: 3_000, ..Fake::new() };
    let mut watched = Watched::start(server, "1", "sleep 9; exit 7");
    assert_eq!(watched.ended(), Some(7), "{}", watched.file("said"));
}

#[test]
fn a_process_that_watches_and_is_stopped_for_a_moment_goes_on_watching() {
    let mut watched = Watched::start(Fake::new(), "1", "echo $$ > worker; sleep 5; exit 7");
    watched.process("worker");
    kill(watched.pid(), Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    kill(watched.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(watched.ended(), Some(7), "{}", watched.file("said"));
}

#[test]
fn the_command_inherits_nothing_of_what_its_guard_is_told_through() {
    let script =
        r#"for file in /proc/$$/fd/*; do readlink "$file"; done > files; echo done >> files; exit 7"#;
    let mut watched = Watched::start(Fake::new(), "1", script);
    assert_eq!(watched.ended(), Some(7), "{}", watched.file("said"));
    // What this test has inherited itself, as from `make`, is none of the guard's doing.
    let own: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let files = watched.file("files");
    assert!(files.ends_with("done\n"), "{files}");
    for pipe in files.lines().filter(|file| file.starts_with("pipe:")) {
        assert!(own.iter().any(|own| own == pipe), "{pipe}: {files}");
    }
}
