//! Whose allow lets a command run, and for how long: `authorize`, `permit` and `watch` against a server that is not a
//! node.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::support::{Fake, Running, history, now};
use assent_proof::{Code, SigningKey};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

const HOUR: i64 = 3_600_000;

/// How a run ended: its exit code, what it said on stderr, and whether the command left its mark.
struct Ended {
    code: i32,
    said: String,
    ran: bool,
}

/// Runs `assent COMMAND … OPTIONS -- SCRIPT` in `dir`; the script is to leave a file `ran`.
fn run(dir: &Path, server: &Running, command: &str, options: &[&str], script: &str) -> Ended {
    run_with(dir, server, command, options, script, None)
}

fn run_with(
    dir: &Path,
    server: &Running,
    command: &str,
    options: &[&str],
    script: &str,
    keys: Option<&str>,
) -> Ended {
    let subject = format!("sha256:{}", "00".repeat(32));
    let mut assent = Command::new(env!("CARGO_BIN_EXE_assent"));
    assent
        .current_dir(dir)
        .args([command, "--endpoint", &server.endpoint, "--domain", "d", "--lineage", "job-1"])
        .args(["--action", "run", "--subject", &subject, "--timeout", "5000"])
        .args(options)
        .args(["--", "sh", "-c", script])
        .env_remove("ASSENT_NODE_KEYS");
    if let Some(keys) = keys {
        assent.env("ASSENT_NODE_KEYS", keys);
    }
    let output = assent.output().unwrap();
    let ran = std::fs::remove_file(dir.join("ran")).is_ok();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code().unwrap(), said, ran }
}

const COMMANDS: [&str; 3] = ["authorize", "permit", "watch"];
const MARK: &str = "touch ran";

fn node() -> SigningKey {
    SigningKey::from_seed([42; 32])
}

fn write_public(path: &Path, key: &SigningKey) {
    std::fs::write(path, key.public().to_pem()).unwrap();
}

#[test]
fn without_a_key_to_trust_no_command_runs_and_nothing_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::create_dir(dir.join("empty")).unwrap();
    std::fs::create_dir(dir.join("private")).unwrap();
    std::fs::write(dir.join("private/node.pem"), node().to_pem().as_bytes()).unwrap();
    std::fs::write(dir.join("nothing.pem"), "").unwrap();
    let server = Fake::new().start();
    for command in COMMANDS {
        for options in [
            &[][..],
            &["--trust", "empty"],
            &["--trust", "private"],
            &["--trust", "nothing.pem"],
            &["--trust", "private/node.pem"],
            &["--trust", ""],
            &["--unverified", "--trust", "empty"],
        ] {
            let ended = run(dir, &server, command, options, MARK);
            assert_eq!((ended.code, ended.ran), (64, false), "{command} {options:?}: {}", ended.said);
        }
        for keys in ["empty", "private", "private/node.pem", "nothing.pem", ""] {
            let ended = run_with(dir, &server, command, &[], MARK, Some(keys));
            assert_eq!((ended.code, ended.ran), (64, false), "{command} {keys}: {}", ended.said);
        }
        let said = run(dir, &server, command, &[], MARK).said;
        assert!(said.contains("remedy: ") && said.contains("ASSENT_NODE_KEYS"), "{said}");
        let said = run(dir, &server, command, &["--trust", "private/node.pem"], MARK).said;
        assert!(said.contains("`private/node.pem` is a private key"), "{said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn an_allow_runs_a_command_only_if_a_trusted_key_signed_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::create_dir(dir.join("keys")).unwrap();
    write_public(&dir.join("keys/node.pem"), &node());
    write_public(&dir.join("other.pem"), &SigningKey::from_seed([7; 32]));
    let unsigned = Fake::new().start();
    let signed = Fake { key: Some(node()), ..Fake::new() }.start();
    for command in COMMANDS {
        for (server, trust) in [(&unsigned, "keys"), (&unsigned, "other.pem"), (&signed, "other.pem")] {
            let ended = run(dir, server, command, &["--trust", trust], MARK);
            assert_eq!((ended.code, ended.ran), (11, false), "{command} {trust}: {}", ended.said);
            assert!(ended.said.contains("decision_untrusted"), "{}", ended.said);
        }
        let ended = run(dir, &signed, command, &["--trust", "keys"], MARK);
        assert_eq!((ended.code, ended.ran), (0, true), "{command}: {}", ended.said);
        let ended = run_with(dir, &signed, command, &[], MARK, Some("keys/node.pem"));
        assert_eq!((ended.code, ended.ran), (0, true), "{command}: {}", ended.said);
    }
}

#[test]
fn a_node_with_an_untrusted_key_does_not_stop_a_command_that_another_node_allows() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_public(&dir.join("node.pem"), &node());
    let missing = Fake { key: Some(SigningKey::from_seed([7; 32])), lasts: 3_000, ..Fake::new() }.start();
    let known = Fake { key: Some(node()), lasts: 3_000, ..Fake::new() }.start();
    // Each run begins at a random one of the two.
    let options = ["--trust", "node.pem", "--endpoint", &missing.endpoint];
    for round in 0..8 {
        for command in ["authorize", "permit"] {
            let ended = run(dir, &known, command, &options, MARK);
            assert_eq!((ended.code, ended.ran), (0, true), "{command}, round {round}: {}", ended.said);
        }
    }
    assert!(missing.asked.load(Ordering::SeqCst) > 0, "it is never asked first with probability 2^-16");
    // It asks again several times.
    let ended = run(dir, &known, "watch", &options, "touch ran; sleep 8; exit 7");
    assert_eq!((ended.code, ended.ran), (7, true), "{}", ended.said);
}

#[test]
fn an_unsigned_allow_runs_a_command_only_with_unverified() {
    let dir = tempfile::tempdir().unwrap();
    let server = Fake::new().start();
    for command in COMMANDS {
        let ended = run(dir.path(), &server, command, &["--unverified"], MARK);
        assert_eq!((ended.code, ended.ran), (0, true), "{command}: {}", ended.said);
    }
}

#[test]
fn an_allow_that_ran_out_on_its_way_starts_no_command_though_this_wall_clock_is_an_hour_slow() {
    let dir = tempfile::tempdir().unwrap();
    let (ahead, slow) = (HOUR, Duration::from_millis(600));
    let server = Fake { ahead, lasts: 500, slow, ..Fake::new() }.start();
    for command in COMMANDS {
        let ended = run(dir.path(), &server, command, &["--unverified"], MARK);
        assert_eq!((ended.code, ended.ran), (11, false), "{command}: {}", ended.said);
        assert!(ended.said.contains("decision_untrusted"), "{}", ended.said);
    }
}

#[test]
fn a_watched_command_ends_with_its_allow_though_this_wall_clock_is_an_hour_slow() {
    let dir = tempfile::tempdir().unwrap();
    // The server goes away after its first answer. By this wall clock the allow holds for an hour and 5 s.
    let server = Fake { ahead: HOUR, lasts: 5_000, answers: 1, ..Fake::new() }.start();
    let started = Instant::now();
    let options = ["--unverified", "--grace", "1"];
    let ended = run(dir.path(), &server, "watch", &options, "touch ran; exec sleep 600");
    assert_eq!((ended.code, ended.ran), (13, true), "{}", ended.said);
    let lasted = started.elapsed();
    assert!(lasted >= Duration::from_secs(4) && lasted < Duration::from_secs(120), "{lasted:?}");
}

#[test]
fn a_watched_command_is_stopped_in_time_though_nobody_reads_what_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let server = Fake { lasts: 5_000, answers: 1, ..Fake::new() }.start();
    let subject = format!("sha256:{}", "00".repeat(32));
    // The command fills the pipe that it shares with the program that watches it, and nobody empties it.
    let script = "head -c 1000000 /dev/zero >&2 & touch ran; exec sleep 600";
    let mut watch = Command::new(env!("CARGO_BIN_EXE_assent"))
        .current_dir(dir.path())
        .args(["watch", "--endpoint", &server.endpoint, "--domain", "d", "--lineage", "job-1"])
        .args(["--action", "run", "--subject", &subject, "--timeout", "5000", "--unverified", "--grace", "1"])
        .args(["--", "sh", "-c", script])
        .env_remove("ASSENT_NODE_KEYS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let ended = loop {
        if let Some(status) = watch.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() >= until {
            break None;
        }
        thread::sleep(Duration::from_millis(50));
    };
    if ended.is_none() {
        watch.kill().unwrap();
        watch.wait().unwrap();
    }
    assert!(dir.path().join("ran").exists());
    assert_eq!(ended.and_then(|status| status.code()), Some(13), "it waits for its reader for ever");
}

#[test]
fn a_watched_command_is_not_prolonged_by_an_allow_that_is_played_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Fake { decided: Some(now() + HOUR), lasts: 5_000, ..Fake::new() }.start();
    let options = ["--unverified", "--nonce", "run-17", "--grace", "1"];
    let ended = run(dir.path(), &server, "watch", &options, "touch ran; exec sleep 600");
    assert_eq!((ended.code, ended.ran), (13, true), "{}", ended.said);
    assert!(server.asked.load(Ordering::SeqCst) > 1, "it asks again");
}

/// Runs `assent COMMAND … OPTIONS` through a shell, which redirects its stdout as `to` says; what it does not is `stdout`.
fn redirected(
    dir: &Path,
    server: &Running,
    (command, options): (&str, &[&str]),
    to: &str,
    stdout: impl Into<Stdio>,
) -> Ended {
    let subject = format!("sha256:{}", "00".repeat(32));
    let script = format!(r#"exec "$0" "$@" {to}"#);
    let output = Command::new("sh")
        .current_dir(dir)
        .args(["-c", &script, env!("CARGO_BIN_EXE_assent")])
        .args([command, "--endpoint", &server.endpoint, "--domain", "d", "--lineage", "job-1"])
        .args(["--action", "run", "--subject", &subject, "--timeout", "5000", "--unverified"])
        .args(options)
        .env_remove("ASSENT_NODE_KEYS")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let ran = std::fs::remove_file(dir.join("ran")).is_ok();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code().unwrap(), said, ran }
}

#[test]
fn a_permit_that_nobody_would_read_is_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = Fake::new().start();
    for form in ["text", "json"] {
        let options = ["--output", form];
        let permit = ("permit", &options[..]);
        let closed = redirected(dir, &server, permit, ">&-", Stdio::null());
        assert_eq!(closed.code, 1, "{}", closed.said);
        let said = &closed.said;
        assert!(said.contains("io_failed") && said.contains("stdout is closed"), "{said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let gone = redirected(dir, &server, permit, "", writer);
        assert_eq!(gone.code, 1, "{}", gone.said);
        assert!(gone.said.contains("stdout could not be written"), "{}", gone.said);
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 0, "it would take a use");
    // With a command stdout is the command's, and a decision alone can be asked for again.
    let touch = ["--", "touch", "ran"];
    let ended = redirected(dir, &server, ("permit", &touch[..]), ">&-", Stdio::null());
    assert_eq!((ended.code, ended.ran), (0, true), "{}", ended.said);
    let ended = redirected(dir, &server, ("authorize", &[][..]), ">&-", Stdio::null());
    assert_eq!(ended.code, 0, "{}", ended.said);
}

#[test]
#[cfg(target_os = "linux")]
fn a_permit_that_stdout_does_not_take_is_an_error_that_names_its_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let server = Fake::new().start();
    for form in ["text", "json"] {
        let options = ["--output", form];
        let permit = ("permit", &options[..]);
        let ended = redirected(dir.path(), &server, permit, ">/dev/full", Stdio::null());
        assert_eq!(ended.code, 1, "{}", ended.said);
        assert!(ended.said.contains("io_failed") && ended.said.contains("--nonce "), "{}", ended.said);
    }
    // So does one whose command is there and cannot be started.
    // Its interpreter is there too, but is itself a script without one.
    let inner = dir.path().join("inner");
    script(&inner, "#!/no/such/program\n");
    script(&dir.path().join("broken"), &format!("#!{}\n", inner.display()));
    let broken = ["--", "./broken"];
    let ended = redirected(dir.path(), &server, ("permit", &broken[..]), "", Stdio::null());
    assert!(ended.said.contains("command_failed") && ended.said.contains("--nonce "), "{}", ended.said);
    assert_eq!(server.asked.load(Ordering::SeqCst), 3);
}

/// Makes an executable file.
fn script(file: &std::path::Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn no_permit_is_asked_for_a_command_that_is_not_there_or_cannot_be_executed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text"), "no program").unwrap();
    script(&dir.path().join("broken"), "#!/no/such/program -x\n");
    script(&dir.path().join("unended"), "#! \t/no/such/program");
    script(&dir.path().join("windows"), "#!/bin/sh\r\ntouch ran\r\n");
    let server = Fake::new().start();
    for program in
        ["no-such-program", "/no/such/program", "./text", ".", "./broken", "./unended", "./windows"]
    {
        let permit: (&str, &[&str]) = ("permit", &["--", program]);
        let watch: (&str, &[&str]) = ("watch", &["--permit", "--", program]);
        for called in [permit, watch] {
            let ended = redirected(dir.path(), &server, called, "", Stdio::null());
            assert_eq!(ended.code, 1, "{program}: {}", ended.said);
            assert!(ended.said.contains("command_failed"), "{program}: {}", ended.said);
        }
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 0, "it would take a use");
    // A script that can be started is asked for and runs, with or without an interpreter of its own choice.
    for (name, text) in [("plain", "#!/bin/sh\ntouch ran\n"), ("spaced", "#! /bin/sh -e\ntouch ran\n")] {
        script(&dir.path().join(name), text);
        let program = format!("./{name}");
        let command = ["--", program.as_str()];
        let ended = redirected(dir.path(), &server, ("permit", &command[..]), "", Stdio::null());
        assert_eq!((ended.code, ended.ran), (0, true), "{name}: {}", ended.said);
    }
}

#[test]
fn a_permit_that_a_signal_ends_before_its_answer_names_its_nonce() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for options in [&["permit"][..], &["watch", "--permit"]] {
            let server = Fake { slow: Duration::from_secs(30), ..Fake::new() }.start();
            let subject = format!("sha256:{}", "00".repeat(32));
            let child = Command::new(env!("CARGO_BIN_EXE_assent"))
                .args(options)
                .args([
                    "--endpoint",
                    &server.endpoint,
                    "--domain",
                    "d",
                    "--lineage",
                    "job-1",
                    "--action",
                    "run",
                ])
                .args(["--subject", &subject, "--timeout", "20000", "--unverified", "--nonce", "run-17"])
                .args(["--", "true"])
                .env_remove("ASSENT_NODE_KEYS")
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let until = Instant::now() + Duration::from_secs(60);
            while server.asked.load(Ordering::SeqCst) == 0 {
                assert!(Instant::now() < until, "it does not ask");
                thread::sleep(Duration::from_millis(20));
            }
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(11), "{options:?}: {said}");
            assert!(said.contains("--nonce run-17") && said.contains(signal.as_str()), "{options:?}: {said}");
        }
    }
}

#[test]
fn a_deny_of_a_newer_node_is_exit_code_10_and_runs_no_command() {
    let dir = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let server = Fake { denies_from: Some(0), ..Fake::new() }.start();
        let ended = run(dir.path(), &server, command, &["--unverified"], MARK);
        assert_eq!((ended.code, ended.ran), (10, false), "{command}: {}", ended.said);
        assert!(
            ended.said.contains("deny_not_understood: ") && ended.said.contains("`moon_wrong`"),
            "{}",
            ended.said
        );
        assert!(!ended.said.contains("a permit may have been recorded"), "{}", ended.said);
        assert_eq!(server.asked.load(Ordering::SeqCst), 1, "{command}");
    }
}

#[test]
fn a_permit_that_may_have_been_recorded_names_its_nonce_whether_it_was_denied_or_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // It reads each question and closes the connection.
    let closes = Fake { answers: 0, ..Fake::new() }.start();
    let denies = Fake { denies_from: Some(0), ..Fake::new() }.start();
    let mut lost = 0;
    // Each run begins at a random one of the two.
    for round in 0..16 {
        let before = closes.asked.load(Ordering::SeqCst);
        let ended = run(dir, &denies, "permit", &["--unverified", "--endpoint", &closes.endpoint], MARK);
        assert_eq!((ended.code, ended.ran), (10, false), "round {round}: {}", ended.said);
        let was_lost = closes.asked.load(Ordering::SeqCst) > before;
        assert_eq!(
            ended.said.contains("ask again with `--nonce "),
            was_lost,
            "round {round}: {}",
            ended.said
        );
        lost += usize::from(was_lost);
    }
    assert!(lost > 0, "it is never asked first with probability 2^-16");
    for command in [&["permit"][..], &["watch", "--permit"]] {
        let options = [&["--unverified", "--output", "json"][..], &command[1..]].concat();
        let ended = run(dir, &closes, command[0], &options, MARK);
        assert_eq!((ended.code, ended.ran), (11, false), "{}", ended.said);
        let error: serde_json::Value = serde_json::from_str(ended.said.trim()).unwrap();
        assert!(error["remedy"].as_str().unwrap().starts_with("ask again with `--nonce "), "{error}");
    }
}

#[test]
fn an_allow_of_a_service_that_recorded_no_permit_starts_no_command_and_the_error_names_the_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_public(&dir.join("node.pem"), &node());
    // A node signed it: something on the way made an authorize of the permit.
    let server = Fake { key: Some(node()), records_nothing: true, ..Fake::new() }.start();
    for command in [&["permit"][..], &["watch", "--permit"]] {
        let options = [&["--trust", "node.pem"][..], &command[1..]].concat();
        let ended = run(dir, &server, command[0], &options, MARK);
        assert_eq!((ended.code, ended.ran), (11, false), "{command:?}: {}", ended.said);
        for word in ["decision_untrusted", "without the permit's receipt", "ask again with `--nonce "] {
            assert!(ended.said.contains(word), "{word}: {}", ended.said);
        }
    }
    let ended = run(dir, &server, "authorize", &["--trust", "node.pem"], MARK);
    assert_eq!((ended.code, ended.ran), (0, true), "{}", ended.said);
}

#[test]
fn a_permit_that_is_denied_for_another_reason_does_not_say_to_ask_for_a_permit() {
    let dir = tempfile::tempdir().unwrap();
    let both = vec![Code::AuthorityRevoked, Code::PermitRequired];
    let server = Fake { denies_for: both, ..Fake::new() }.start();
    for command in [&["permit"][..], &["watch", "--permit"]] {
        let options = [&["--unverified"][..], &command[1..]].concat();
        let ended = run(dir.path(), &server, command[0], &options, MARK);
        assert_eq!((ended.code, ended.ran), (10, false), "{command:?}: {}", ended.said);
        assert!(ended.said.contains("authority_revoked: as told"), "{command:?}: {}", ended.said);
        assert!(!ended.said.contains("permit_required"), "{command:?}: {}", ended.said);
        assert!(!ended.said.contains("ask for a permit"), "{command:?}: {}", ended.said);
    }
    // A caller that asks for no permit needs to know it.
    let ended = run(dir.path(), &server, "authorize", &["--unverified"], MARK);
    assert!(ended.said.contains("permit_required: as told"), "{}", ended.said);
    assert!(ended.said.contains("remedy: ask for a permit instead"), "{}", ended.said);
    // If it is the only reason, the node has recorded nothing although nothing else denies.
    let alone = Fake { denies_for: vec![Code::PermitRequired], ..Fake::new() }.start();
    let ended = run(dir.path(), &alone, "permit", &["--unverified"], MARK);
    assert!(ended.said.contains("permit_required: as told"), "{}", ended.said);
    assert!(ended.said.contains("remedy: ask again with the same nonce"), "{}", ended.said);
}

#[test]
fn verify_shows_the_receipt_of_a_permit() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_public(&dir.join("node.pem"), &node());
    let server = Fake { key: Some(node()), ..Fake::new() }.start();
    for (command, recorded) in [("permit", true), ("authorize", false)] {
        let file = std::fs::File::create(dir.join("decision.json")).unwrap();
        let asked = redirected(dir, &server, (command, &["--output", "json"][..]), "", file);
        assert_eq!(asked.code, 0, "{command}: {}", asked.said);
        let verified = Command::new(env!("CARGO_BIN_EXE_assent"))
            .current_dir(dir)
            .args(["verify", "decision.json", "--trust", "node.pem"])
            .env_remove("ASSENT_NODE_KEYS")
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success() && shown.contains("decision `allow`"), "{command}: {shown}");
        assert_eq!(shown.contains("\n  permit: {"), recorded, "{command}: {shown}");
    }
}

#[test]
fn a_deny_of_a_newer_node_stops_a_watched_command_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    // It asks again when half of the first allow is left, and would go on for the other half if that told it nothing.
    let server = Fake { lasts: 20_000, denies_from: Some(1), ..Fake::new() }.start();
    let options = ["--unverified", "--grace", "1"];
    let ended = run(dir.path(), &server, "watch", &options, "touch ran; exec sleep 600");
    assert_eq!((ended.code, ended.ran), (12, true), "{}", ended.said);
    assert!(ended.said.contains("execution_denied") && ended.said.contains("`moon_wrong`"), "{}", ended.said);
    assert_eq!(server.asked.load(Ordering::SeqCst), 2, "{}", ended.said);
}

#[test]
fn a_watch_asks_again_at_once_when_another_history_is_in_force_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    for (moved, asked) in [(false, 1), (true, 2)] {
        // By the clock alone it would ask again after half a minute.
        let server = Fake { lasts: 60_000, moved, ..Fake::new() }.start();
        let ended = run(dir.path(), &server, "watch", &["--unverified"], "touch ran; sleep 5");
        assert_eq!((ended.code, ended.ran), (0, true), "{}", ended.said);
        assert_eq!(server.asked.load(Ordering::SeqCst), asked, "{}", ended.said);
        assert_eq!(ended.said.contains("asking at once, and listening on after `"), moved, "{}", ended.said);
    }
}

#[test]
fn events_end_with_their_own_exit_code_and_a_resume_point_when_the_history_changes() {
    let server = Fake { moved: true, ..Fake::new() }.start();
    for (revision, from) in [(2, 1), (1, 1)] {
        let after = format!("{}:{revision}", history());
        for follow in [&["--follow"][..], &[]] {
            let output = Command::new(env!("CARGO_BIN_EXE_assent"))
                .args(["events", "--endpoint", &server.endpoint, "--after", &after, "--timeout", "5000"])
                .args(follow)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(14), "{said}");
            let on = format!("--after {}:{from}", history().replace("/e1", "/e2"));
            assert!(said.contains("history_mismatch") && said.contains(&on), "{said}");
        }
    }
}

#[test]
fn a_head_or_a_revision_without_its_history_is_wrong_usage_and_nothing_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Fake::new().start();
    let head = format!("blake3:{}", "00".repeat(32));
    for command in COMMANDS {
        let named = history();
        for options in
            [["--unverified", "--min-revision", "3"], ["--unverified", "--expected-head", head.as_str()]]
        {
            let ended = run(dir.path(), &server, command, &options, MARK);
            assert_eq!((ended.code, ended.ran), (64, false), "{command}: {}", ended.said);
            assert!(ended.said.contains("--history"), "{}", ended.said);
            let with = [&options[..], &["--history", named.as_str()][..]].concat();
            let ended = run(dir.path(), &server, command, &with, MARK);
            assert_eq!((ended.code, ended.ran), (0, true), "{command}: {}", ended.said);
        }
    }
}
