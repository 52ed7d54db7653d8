//! What a shell and its scripts expect of the command: exit codes, `-`, links and modes, readers that go away, and
//! errors that a program can read.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::refusing;
use assent_api::Problem;
use assent_proof::{Code, Envelope, SigningKey};
use assent_registry::GenesisFile;
use serde_json::Value;
use tokio::time::Instant;

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";

fn assent(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
    for variable in ["ASSENT_ENDPOINTS", "ASSENT_ORIGIN", "ASSENT_DOMAIN", "ASSENT_NODE_KEYS"] {
        command.env_remove(variable);
    }
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    assent(dir, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Stdout of a run that must succeed.
fn ok(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A key `k.pem`, and in `e.json` a statement without a signature that names it.
fn statement(dir: &Path) {
    let id = ok(dir, &["key", "generate", "--out", "k.pem"]);
    fs::write(dir.join("subject"), "hello").unwrap();
    let unsigned = ok(dir, &[&STATEMENT[..], &["--issuer", id.trim()]].concat());
    fs::write(dir.join("e.json"), unsigned).unwrap();
}

const STATEMENT: [&str; 14] = [
    "statement",
    "new",
    "audit-lineage",
    "--offline",
    "--origin",
    "registry.example/eu-1",
    "--domain",
    "prod.eu",
    "--lineage",
    "job-1",
    "--claim",
    "event=started",
    "--subject-file",
    "subject",
];

fn signatures(file: &Path) -> usize {
    Envelope::parse(&fs::read(file).unwrap()).unwrap().signatures.len()
}

#[test]
fn status_and_clock_end_with_11_when_nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["status", "clock"] {
        let output = run(dir.path(), &[command, "--endpoint", NOBODY, "--timeout", "500"]);
        assert_eq!(output.status.code(), Some(11), "{}", text(&output.stderr));
        assert!(text(&output.stderr).starts_with("error: unavailable: no node answered\nremedy: "));
    }
}

#[test]
fn status_and_clock_say_once_why_nodes_that_answer_refuse_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let problem = Problem::new(Code::CallerNotPermitted, 401, "the caller showed nothing at all");
    let (one, _) = refusing("401 Unauthorized", &problem);
    let (other, _) = refusing("401 Unauthorized", &problem);
    let both = [one.as_str(), other.as_str()];
    for command in ["status", "clock"] {
        let output = run(dir.path(), &[command, "--endpoint", &both.join(","), "--timeout", "5000"]);
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{said}");
        let why = "each of the 2 nodes answered and refused: the caller showed nothing at all";
        assert!(said.starts_with(&format!("error: caller_not_permitted: {why}\nremedy: ")), "{said}");
        assert!(said.contains("use credentials that permit this call"), "{said}");
        assert_eq!(shown.matches("refused: caller_not_permitted").count(), 2, "{shown}");
        assert!(!shown.contains("caller_not_permitted: ") && !shown.contains("nothing at all"), "{shown}");
        // A node that does not answer is told from those that refuse.
        let output =
            run(dir.path(), &[command, "--endpoint", &one, "--endpoint", NOBODY, "--timeout", "5000"]);
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("of 2 nodes, 1 answered and refused, and the others gave no answer"), "{said}");
        assert!(shown.contains(" unavailable: "), "{shown}");
    }
}

#[test]
fn the_commands_about_members_take_a_node_id_in_one_way() {
    let dir = tempfile::tempdir().unwrap();
    let (endpoint, seen) = refusing("403 Forbidden", &Problem::new(Code::CallerNotPermitted, 403, "as told"));
    let with = |args: &[&str]| run(dir.path(), &[args, &["--endpoint", &endpoint]].concat());
    for (command, asked) in [
        (&["member", "promote"][..], "POST /v1/cluster/members/2/promote"),
        (&["member", "remove"], "DELETE /v1/cluster/members/2"),
        (&["member", "update", "--peer-addr", "10.0.0.1:7500"], "PATCH /v1/cluster/members/2"),
        (&["leader", "transfer"], "POST /v1/cluster/leader"),
    ] {
        for id in [&["2"][..], &["--id", "2"]] {
            let output = with(&[command, id].concat());
            assert_eq!(output.status.code(), Some(1), "{command:?} {id:?}: {}", text(&output.stderr));
            assert_eq!(seen.lock().unwrap().pop().as_deref(), Some(asked), "{command:?} {id:?}");
        }
        for (wrong, says) in [(&["two"][..], "'two'"), (&["2", "--id", "3"], "cannot be used with")] {
            let output = with(&[command, wrong].concat());
            assert_eq!(output.status.code(), Some(64), "{command:?} {wrong:?}: {}", text(&output.stderr));
            assert!(text(&output.stderr).contains(says), "{command:?}: {}", text(&output.stderr));
        }
        if command[0] == "member" {
            let output = with(command);
            assert_eq!(output.status.code(), Some(64), "{command:?}: {}", text(&output.stderr));
            assert!(text(&output.stderr).contains("<ID|--id <ID>>"), "{}", text(&output.stderr));
        }
    }
    // As earlier versions had it.
    let output = with(&["leader", "transfer", "--to", "2"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(seen.lock().unwrap().as_slice(), ["POST /v1/cluster/leader"]);
}

#[test]
fn endpoints_may_be_divided_by_blanks_and_end_with_a_comma() {
    let dir = tempfile::tempdir().unwrap();
    let endpoints = format!(" {NOBODY} ,http://127.0.0.1:2\n,, http://127.0.0.1:3 http://127.0.0.1:4,");
    let mut command = assent(dir.path(), &["status", "--timeout", "500", "--output", "json"]);
    let output = command.env("ASSENT_ENDPOINTS", endpoints).output().unwrap();
    assert_eq!(output.status.code(), Some(11), "{}", text(&output.stderr));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let asked: Vec<&str> =
        status["nodes"].as_array().unwrap().iter().map(|node| node["endpoint"].as_str().unwrap()).collect();
    assert_eq!(asked, [NOBODY, "http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4"]);
    for nothing in ["", " , ,"] {
        let output = assent(dir.path(), &["status"]).env("ASSENT_ENDPOINTS", nothing).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("no endpoint is given"), "{}", text(&output.stderr));
    }
}

#[test]
fn an_envelope_that_is_signed_in_place_keeps_its_link_its_mode_and_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    statement(dir);
    fs::create_dir(dir.join("kept")).unwrap();
    fs::rename(dir.join("e.json"), dir.join("kept/e.json")).unwrap();
    fs::set_permissions(dir.join("kept/e.json"), Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(dir.join("kept/e.json")).unwrap();
    symlink("kept/e.json", dir.join("link.json")).unwrap();
    ok(dir, &["sign", "link.json", "--key", "k.pem", "--in-place"]);
    assert_eq!(fs::read_link(dir.join("link.json")).unwrap(), Path::new("kept/e.json"));
    let after = fs::metadata(dir.join("kept/e.json")).unwrap();
    assert_eq!(after.mode() & 0o7777, 0o640);
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino(), "the old bytes stay whole until the new ones are");
    assert_eq!(signatures(&dir.join("kept/e.json")), 1);
    // Nothing else is left in either folder.
    assert_eq!(fs::read_dir(dir.join("kept")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 4);
}

#[test]
fn what_is_no_file_is_not_signed_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    statement(dir);
    fs::create_dir(dir.join("folder")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    for (file, code) in [("folder", 64), ("-", 64), ("dangling", 1)] {
        let output = run(dir, &["sign", file, "--key", "k.pem", "--in-place"]);
        assert_eq!(output.status.code(), Some(code), "{file}: {}", text(&output.stderr));
    }
    assert!(!dir.join("nowhere").exists());
}

#[test]
fn bytes_to_sign_go_through_a_device_and_do_not_replace_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    statement(dir);
    ok(dir, &["sign", "e.json", "--external", "--pae-out", "pae.bin"]);
    let pae = fs::read(dir.join("pae.bin")).unwrap();
    for out in ["-", "/dev/stdout"] {
        let output = run(dir, &["sign", "e.json", "--external", "--pae-out", out]);
        assert!(output.status.success(), "{out}: {}", text(&output.stderr));
        assert_eq!(output.stdout, pae, "{out}");
    }
    assert!(!dir.join("-").exists());
}

#[test]
fn bytes_to_sign_replace_neither_a_key_nor_the_envelope_that_they_are_of() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    statement(dir);
    for (kept, why) in
        [("k.pem", "holds a key"), ("e.json", "this command reads it"), ("./e.json", "reads it")]
    {
        let before = fs::read(dir.join(kept)).unwrap();
        let output = run(dir, &["sign", "e.json", "--external", "--pae-out", kept]);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("file_exists") && said.contains(why), "{said}");
        assert_eq!(fs::read(dir.join(kept)).unwrap(), before, "{kept}");
    }
    // What was handed out before is replaced.
    for _ in 0..2 {
        ok(dir, &["sign", "e.json", "--external", "--pae-out", "pae.bin"]);
    }
}

#[test]
fn a_key_that_is_made_for_stdout_is_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let output = run(dir, &["key", "generate", "--out", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let key = SigningKey::from_pem(&text(&output.stdout)).unwrap();
    assert_eq!(text(&output.stderr).trim(), key.public().to_string());
    let output = run(dir, &["key", "generate", "--out", "-", "--output", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let key = SigningKey::from_pem(document["pem"].as_str().unwrap()).unwrap();
    assert_eq!(document["id"], key.public().to_string());
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn a_genesis_file_that_is_made_for_stdout_is_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["root.pem", "registry.pem", "n1.pem", "n2.pem"] {
        ok(dir, &["key", "generate", "--out", name]);
    }
    let mut args =
        vec!["genesis", "create", "--out", "-", "--origin", "registry.example/eu-1", "--threshold", "1"];
    args.extend(["--root", "root.pem", "--registry-key", "registry.pem", "--node-key", "n1.pem"]);
    args.extend(["--node-key", "n2.pem"]);
    let output = run(dir, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let genesis = GenesisFile::parse(&output.stdout).unwrap();
    assert_eq!(text(&output.stderr).trim(), genesis.cluster_id().to_string());
    assert!(!dir.join("-").exists());
}

#[test]
fn a_wrong_command_line_is_told_as_json_to_those_who_asked_for_json() {
    let dir = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["--output", "json", "no-such-command"][..], "no-such-command"),
        (&["--output=json", "status", "--no-such-option"], "--no-such-option"),
        (&["key", "generate", "--output", "json"], "--out"),
        (&["--output", "json"], "no command is given"),
        (&["status", "--output", "json"], "no endpoint is given"),
        (&["authorize", "--output", "json", "--action", "run", "--"], "nothing follows `--`"),
    ] {
        let output = run(dir.path(), args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        let error: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(error["code"], "usage", "{args:?}");
        assert!(error["detail"].as_str().unwrap().contains(says), "{args:?}: {said}");
        assert!(error["remedy"].as_str().unwrap().len() > 5, "{args:?}: {said}");
    }
    let people = text(&run(dir.path(), &["status", "--no-such-option"]).stderr);
    assert!(people.contains("Usage: "), "{people}");
}

#[test]
fn help_key_show_verify_status_clock_and_events_end_quietly_when_nobody_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    statement(dir);
    let statement = [&STATEMENT[..], &["--key", "k.pem"]].concat();
    fs::write(dir.join("signed.json"), ok(dir, &statement)).unwrap();
    let unanswered = ["--endpoint", NOBODY, "--timeout", "500"];
    for (args, code) in [
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["key", "show", "k.pem"], 0),
        (vec!["--output", "json", "key", "show", "k.pem"], 0),
        (vec!["verify", "signed.json", "--trust", "k.pem"], 0),
        ([&["status"][..], &unanswered].concat(), 11),
        ([&["clock"][..], &unanswered].concat(), 11),
        ([&["events", "--follow"][..], &unanswered].concat(), 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = assent(dir, &args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("roken pipe"), "{args:?}: {said}");
    }
}

/// Commands whose output is what they have made. They run in a folder with [`statement`] in it.
fn makers() -> Vec<Vec<&'static str>> {
    let genesis = ["genesis", "create", "--out", "-", "--origin", "registry.example/eu-1"];
    let root = ["--threshold", "1", "--root", "k.pem"];
    let nodes = ["--registry-key", "registry.pem", "--node-key", "n1.pem", "--node-key", "n2.pem"];
    vec![
        vec!["key", "generate", "--out", "-"],
        vec!["--output", "json", "key", "generate", "--out", "-"],
        [&STATEMENT[..], &["--key", "k.pem"]].concat(),
        vec!["sign", "e.json", "--key", "k.pem"],
        vec!["sign", "e.json", "--external"],
        vec!["sign", "e.json", "--external", "--pae-out", "-"],
        [&genesis[..], &root, &nodes].concat(),
    ]
}

fn makings(dir: &Path) {
    statement(dir);
    for name in ["registry.pem", "n1.pem", "n2.pem"] {
        ok(dir, &["key", "generate", "--out", name]);
    }
}

#[test]
fn what_a_command_has_made_and_nobody_takes_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    makings(dir);
    for args in makers() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = assent(dir, &args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("io_failed"), "{args:?}: {said}");
        assert!(said.contains("stdout could not be written"), "{args:?}: {said}");
        assert!(!said.contains("PRIVATE KEY") && !said.contains("panicked"), "{args:?}: {said}");
        // The same where somebody takes it, if only to throw it away.
        let thrown = assent(dir, &args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(thrown.code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_closed_stdout_is_an_error_to_what_makes_something_or_follows_and_to_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    makings(dir);
    let closed = |args: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" >&-"#, env!("CARGO_BIN_EXE_assent")]).args(args);
        let output = command.current_dir(dir).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let follow = vec!["events", "--follow", "--endpoint", NOBODY, "--timeout", "500"];
    for args in makers().into_iter().chain([follow]) {
        let (code, said) = closed(&args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains("io_failed") && said.contains("stdout is closed"), "{args:?}: {said}");
    }
    let (code, said) = closed(&["key", "show", "k.pem"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn help_and_results_that_a_full_disk_does_not_take_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    statement(dir);
    for args in [
        &["--help"][..],
        &["--version"],
        &["status", "--help"],
        &["help", "watch"],
        &["key", "show", "k.pem"],
        &["key", "generate", "--out", "-"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = assent(dir, args).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.starts_with("error: io_failed: stdout could not be written: "), "{args:?}: {said}");
    }
}

#[test]
fn an_example_that_is_copied_from_the_help_runs_no_job_without_a_decision() {
    let dir = tempfile::tempdir().unwrap();
    for (args, command) in [
        (&["--help"][..], "authorize"),
        (&["authorize", "--help"][..], "authorize"),
        (&["help", "permit"][..], "permit"),
        (&["watch", "-h"][..], "watch"),
    ] {
        let guarded = format!(
            "\n  assent {command} --lineage job-1 --action run --subject-file job.py \\\n    --trust node-keys.pem -- \
             python3 job.py\n"
        );
        for columns in ["60", "80", "100"] {
            let output = assent(dir.path(), args).env("COLUMNS", columns).output().unwrap();
            let help = text(&output.stdout);
            assert!(help.contains(&guarded), "{args:?}, {columns} columns:\n{help}");
            assert_eq!(help.matches("python3 job.py").count(), 1, "{args:?}:\n{help}");
        }
    }
}

#[test]
fn every_call_ends_within_its_timeout_at_an_endpoint_that_never_answers() {
    let dir = tempfile::tempdir().unwrap();
    // The system accepts for it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hung = format!("http://{}", listener.local_addr().unwrap());
    let hung = hung.as_str();
    let at_it = ["--endpoint", hung, "--timeout", "500"];
    for args in [
        &["member", "add", "--node", hung][..],
        &["member", "replace", "2", "--node", hung],
        &["member", "list"],
        &["member", "promote", "4"],
        &["member", "remove", "2"],
        &["member", "update", "--id", "2", "--client-addr", "10.0.0.22:7400"],
        &["leader", "transfer"],
        &["clock", "confirm", "--time", "2037-07-01T12:00:00Z"],
        &["clock"],
        &["status"],
        &["events"],
        &["events", "--follow"],
        &["lineage", "show", "job-1", "--domain", "prod.eu"],
    ] {
        // How long the machine takes by now to start the program and to end it is no part of the call.
        let started = Instant::now();
        ok(dir.path(), &["--version"]);
        let to_start = started.elapsed();
        let started = Instant::now();
        let output = run(dir.path(), &[args, &at_it].concat());
        let took = started.elapsed().saturating_sub(to_start);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(11), "{args:?}: {said}");
        // One attempt takes 3 s where nothing ends it before.
        assert!(
            took < Duration::from_millis(2_500),
            "{args:?} took {took:?}, and {to_start:?} to start: {said}"
        );
    }
}
