//! The command keeps a statement that it signed for a slot until the outcome is known, and signs nothing else for that
//! slot. The tests run `statement new --submit` and `release` against a small server that is not a node.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{Request, history, request};
use assent_api::{Problem, ReceiptBody};
use assent_proof::{Code, Envelope, Millis, SigningKey};
use serde_json::json;

/// What the server does with an envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Do {
    /// It reads it and closes the connection.
    Lose,
    Accept,
    /// It refuses it for good, as it was judged in its history.
    Refuse,
    /// It refuses it, as it was judged in its history, for a reason that a later grant can lift.
    RefuseForNow,
    /// It refuses it with this code and 403, as it was judged in its history.
    RefuseFor(Code),
    /// It records it as an equivocation.
    Record,
    /// It refuses it as a node of another registry.
    RefuseAsAnother,
    /// It refuses it, and says of no history that it was judged there.
    RefuseUnjudged,
    /// It says that it has taken nothing.
    Shed,
}

/// A server in which every chain is empty.
#[derive(Clone)]
struct Server {
    endpoint: String,
    what: Arc<Mutex<Do>>,
    /// The envelopes that were sent, each once for each time in a row.
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Before it answers, it puts a folder in the place of each file that is kept here.
    blocks: Arc<Mutex<Option<PathBuf>>>,
    /// The registry of which it says that it is a node.
    origin: Arc<Mutex<&'static str>>,
}

impl Server {
    fn start(what: Do) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (what, origin) = (Arc::new(Mutex::new(what)), Arc::new(Mutex::new("registry.example/eu-1")));
        let server = Server { endpoint, what, sent: Arc::default(), blocks: Arc::default(), origin };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = serving.clone();
                thread::spawn(move || serve(&mut stream.unwrap(), &server));
            }
        });
        server
    }

    fn will(&self, what: Do) {
        *self.what.lock().unwrap() = what;
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }
}

fn serve(stream: &mut TcpStream, server: &Server) {
    let Some(Request { path, body, .. }) = request(stream) else { return };
    if path == "/v1/cluster/status" {
        let origin = *server.origin.lock().unwrap();
        return answer(stream, "200 OK", &status(origin));
    }
    if path == "/v1/clock/confirm" {
        return answer(stream, "200 OK", br#"{"sure": true, "boundMs": 500, "readings": []}"#);
    }
    if path != "/v1/envelopes" {
        return answer(stream, "404 Not Found", &Problem::new(Code::LineageUnknown, 404, "as told").to_vec());
    }
    let evidence_id = Envelope::parse(&body).unwrap().id();
    let mut sent = server.sent.lock().unwrap();
    if sent.last() != Some(&body) {
        sent.push(body);
    }
    let history = history().parse().unwrap();
    let receipt = ReceiptBody { evidence_id, ledger_index: 7, revision: 8, accepted_at: Millis(9), history };
    if let Some(folder) = &*server.blocks.lock().unwrap() {
        for path in kept(folder).iter().filter(|path| path.is_file()) {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }
    }
    match *server.what.lock().unwrap() {
        Do::Lose => {}
        Do::Accept => answer(stream, "201 Created", &receipt.to_vec()),
        Do::Refuse => {
            let problem = Problem::new(Code::HeadMoved, 409, "as told").in_history(Some(history));
            answer(stream, "409 Conflict", &problem.to_vec());
        }
        Do::RefuseForNow => {
            let problem = Problem::new(Code::AuthorityUnknown, 403, "as told").in_history(Some(history));
            answer(stream, "403 Forbidden", &problem.to_vec());
        }
        Do::RefuseFor(code) => {
            let problem = Problem::new(code, 403, "as told").in_history(Some(history));
            answer(stream, "403 Forbidden", &problem.to_vec());
        }
        Do::Record => {
            let problem = Problem::new(Code::AuthorityInconsistent, 409, "as told").in_history(Some(history));
            answer(stream, "409 Conflict", &problem.with_receipt(receipt).to_vec());
        }
        Do::RefuseAsAnother => {
            let problem = Problem::new(Code::WrongRegistry, 400, "as told").in_history(Some(history));
            answer(stream, "400 Bad Request", &problem.to_vec());
        }
        Do::RefuseUnjudged => {
            let problem = Problem::new(Code::Malformed, 400, "as told");
            answer(stream, "400 Bad Request", &problem.to_vec());
        }
        Do::Shed => {
            answer(stream, "503 Service Unavailable", &Problem::new(Code::NoQuorum, 503, "as told").to_vec());
        }
    }
}

/// The status of a node of this registry.
fn status(origin: &str) -> Vec<u8> {
    let status = json!({
        "clusterId": format!("blake3:{}", "00".repeat(32)), "history": history(), "origin": origin, "nodeId": 1,
        "role": "leader", "leader": 1, "term": 1, "revision": 5, "lastLog": 9, "applied": 9, "voters": [1], "learners": [],
        "clock": {"sure": true, "boundMs": 500, "readings": []},
        "node": {
            "peer": "10.0.0.1:7500", "client": "10.0.0.1:7400", "storeId": "0f".repeat(16),
            "key": SigningKey::from_seed([1; 32]).public(),
        },
        "member": true, "rules": 1, "rulesKnown": 1, "peers": [], "log": {"first": 1, "last": 9, "bytes": 100},
        "snapshots": [], "version": "0.1.0",
    });
    serde_json::to_vec(&status).unwrap()
}

fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

fn assent(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
    for variable in ["ASSENT_ENDPOINTS", "ASSENT_ORIGIN", "ASSENT_DOMAIN", "ASSENT_NODE_KEYS"] {
        command.env_remove(variable);
    }
    command.current_dir(dir).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Makes a key and the subject's file.
fn prepare(dir: &Path) {
    assert!(assent(dir, &["key", "generate", "--out", "k.pem"]).status.success());
    fs::write(dir.join("subject"), "hello").unwrap();
}

/// An audit statement about this event, in a lineage of the domain `prod.eu`.
fn statement(dir: &Path, event: &str, options: &[&str]) -> Output {
    let mut args = vec!["statement", "new", "audit-lineage", "--origin", "registry.example/eu-1"];
    let claim = format!("event={event}");
    args.extend([
        "--domain",
        "prod.eu",
        "--lineage",
        "job-1",
        "--claim",
        &claim,
        "--subject-file",
        "subject",
    ]);
    args.extend(["--key", "k.pem", "--timeout", "500"]);
    args.extend(options);
    assent(dir, &args)
}

/// The files of what is kept beside the key.
fn kept(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "unsettled")).collect()
}

/// What is signed in a later second is another statement.
fn later() {
    thread::sleep(Duration::from_millis(1_100));
}

#[test]
fn a_statement_whose_outcome_is_unknown_is_sent_again_by_the_same_command_and_not_signed_anew() {
    for in_an_outbox in [false, true] {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Lose));
        let dir = dir.path();
        prepare(dir);
        let outbox: &[&str] = if in_an_outbox { &["--outbox", "outbox"] } else { &[] };
        let options = [&["--submit", "--endpoint", &server.endpoint][..], outbox].concat();
        let output = statement(dir, "started", &options);
        assert_eq!(output.status.code(), Some(11), "{}", said(&output));
        assert!(said(&output).contains("outcome_unknown"), "{}", said(&output));
        assert_eq!(kept(dir).len(), 1);
        assert!(kept(dir).iter().all(|path| fs::read(path).unwrap() == server.sent()[0]));
        later();
        let output = statement(dir, "started", &options);
        assert_eq!((output.status.code(), server.sent().len()), (Some(11), 1), "{}", said(&output));
        server.will(Do::Accept);
        let output = statement(dir, "started", &options);
        assert_eq!((output.status.code(), server.sent().len()), (Some(0), 1), "{}", said(&output));
        let receipt = String::from_utf8(output.stdout).unwrap();
        assert!(receipt.starts_with("accepted blake3:") && kept(dir).is_empty(), "{receipt}");
        // It is settled: the next one is another one.
        let output = statement(dir, "started", &options);
        assert_eq!((output.status.code(), server.sent().len()), (Some(0), 2), "{}", said(&output));
    }
}

#[test]
fn a_statement_whose_outcome_is_unknown_is_sent_before_another_one_is_signed_for_its_chain() {
    for in_an_outbox in [false, true] {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Lose));
        let dir = dir.path();
        prepare(dir);
        let outbox: &[&str] = if in_an_outbox { &["--outbox", "outbox"] } else { &[] };
        let options = [&["--submit", "--endpoint", &server.endpoint][..], outbox].concat();
        assert_eq!(statement(dir, "started", &options).status.code(), Some(11));
        let output = statement(dir, "completed", &options);
        assert_eq!((output.status.code(), server.sent().len()), (Some(11), 1), "{}", said(&output));
        // Nor is one made for somebody else to send.
        let output = statement(dir, "completed", &["--offline"]);
        assert_eq!(output.status.code(), Some(11), "{}", said(&output));
        assert!(said(&output).contains("outcome_unknown") && output.stdout.is_empty(), "{}", said(&output));
        server.will(Do::Accept);
        let output = statement(dir, "completed", &options);
        assert_eq!((output.status.code(), server.sent().len()), (Some(0), 2), "{}", said(&output));
        assert!(kept(dir).is_empty());
    }
}

#[test]
fn what_was_signed_with_an_outbox_and_without_one_are_not_signed_for_one_slot() {
    let with: &[&str] = &["--outbox", "outbox"];
    let runs: [(&[&str], &[&str]); 3] = [(&[], with), (with, &[]), (with, &["--outbox", "other"])];
    for (first, second) in runs {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Lose));
        let dir = dir.path();
        prepare(dir);
        let to = ["--submit", "--endpoint", &server.endpoint];
        let (first, second) = ([&to[..], first].concat(), [&to[..], second].concat());
        assert_eq!(statement(dir, "started", &first).status.code(), Some(11));
        let signed = server.sent();
        let output = statement(dir, "completed", &second);
        assert_eq!((output.status.code(), server.sent()), (Some(11), signed.clone()), "{}", said(&output));
        server.will(Do::Accept);
        let output = statement(dir, "completed", &second);
        assert_eq!((output.status.code(), server.sent().len()), (Some(0), 2), "{}", said(&output));
        assert!(server.sent()[0] == signed[0] && kept(dir).is_empty());
        // The first outbox may still have it: sent again, it brings its first receipt.
        let output = statement(dir, "failed", &first);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
}

#[test]
fn what_a_later_grant_can_make_acceptable_stays_kept_beside_the_key_of_a_command_with_an_outbox() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::RefuseForNow));
    let dir = dir.path();
    prepare(dir);
    let options = ["--submit", "--endpoint", &server.endpoint, "--outbox", "outbox"];
    let output = statement(dir, "started", &options);
    assert_eq!((output.status.code(), kept(dir).len()), (Some(1), 1), "{}", said(&output));
    server.will(Do::Accept);
    let output = statement(dir, "completed", &options);
    assert_eq!((output.status.code(), server.sent().len()), (Some(0), 2), "{}", said(&output));
    assert!(kept(dir).is_empty());
}

#[test]
fn what_its_registry_refused_or_certainly_no_node_took_is_not_kept() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Shed));
    let dir = dir.path();
    prepare(dir);
    let options = ["--submit", "--endpoint", &server.endpoint];
    for (what, code) in [(Do::Shed, 11), (Do::Refuse, 1)] {
        server.will(what);
        let output = statement(dir, "started", &options);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(kept(dir).is_empty(), "{}", said(&output));
    }
    // So is what an earlier run has kept and a node refuses now: nothing else is signed in that run.
    server.will(Do::Lose);
    assert_eq!(statement(dir, "started", &options).status.code(), Some(11));
    let before = server.sent().len();
    server.will(Do::Refuse);
    let output = statement(dir, "completed", &options);
    assert_eq!((output.status.code(), server.sent().len()), (Some(1), before), "{}", said(&output));
    assert!(said(&output).contains("head_moved") && kept(dir).is_empty(), "{}", said(&output));
}

#[test]
fn a_file_that_cannot_be_removed_does_not_hide_the_outcome() {
    for (what, code, says) in [(Do::Accept, 0, "is accepted"), (Do::Refuse, 1, "head_moved")] {
        for earlier in [false, true] {
            let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Lose));
            let dir = dir.path();
            prepare(dir);
            let options = ["--submit", "--endpoint", &server.endpoint];
            if earlier {
                assert_eq!(statement(dir, "started", &options).status.code(), Some(11));
            }
            server.will(what);
            *server.blocks.lock().unwrap() = Some(dir.to_owned());
            let output = statement(dir, "started", &options);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(code), "{said}");
            let (outcome, note) = (said.find(says), said.find("could not remove"));
            assert!(outcome.is_some() && outcome < note, "{said}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_receipt_that_a_full_disk_does_not_take_is_said_with_the_warning_not_to_sign_again() {
    for in_an_outbox in [false, true] {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Accept));
        let dir = dir.path();
        prepare(dir);
        let mut command = Command::new("sh");
        command.current_dir(dir).args(["-c", r#"exec "$0" "$@" > /dev/full"#]);
        command.arg(env!("CARGO_BIN_EXE_assent"));
        command.args(["statement", "new", "audit-lineage", "--origin", "registry.example/eu-1"]);
        command.args(["--domain", "prod.eu", "--lineage", "job-1", "--claim", "event=started"]);
        command.args(["--subject-file", "subject", "--key", "k.pem", "--submit"]);
        command.args(["--endpoint", &server.endpoint]);
        if in_an_outbox {
            command.args(["--outbox", "outbox"]);
        }
        let output = command.output().unwrap();
        let id = Envelope::parse(&server.sent()[0]).unwrap().id();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("error: io_failed: stdout could not be written"), "{said}");
        assert!(said.contains(&format!("it is done: accepted `{id}`")), "{said}");
        assert!(said.contains("remedy: do not run the command again"), "{said}");
        assert!(!said.contains("run it again"), "{said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_key_that_is_made_and_a_clock_that_is_confirmed_are_said_to_be_so_if_a_full_disk_takes_no_result() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Accept));
    let dir = dir.path();
    let clock = ["clock", "confirm", "--time", "2037-07-01T12:00:00Z", "--endpoint", &server.endpoint];
    for (args, done) in [
        (&["key", "generate", "--out", "new.pem"][..], "it is done: the key is in `new.pem`"),
        (&clock[..], "it is done: the clock that shows 2037-07-01T12:00:00Z is trusted"),
    ] {
        for form in ["text", "json"] {
            let _ = fs::remove_file(dir.join("new.pem"));
            let full = fs::File::options().write(true).open("/dev/full").unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
            let output =
                command.current_dir(dir).args(["--output", form]).args(args).stdout(full).output().unwrap();
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("stdout could not be written") && said.contains(done), "{said}");
            assert!(
                said.contains("do not run the command again") && !said.contains("run it again"),
                "{said}"
            );
            if args[0] == "key" {
                assert!(assent(dir, &["key", "show", "new.pem"]).status.success());
            }
        }
    }
}

#[test]
fn a_statement_that_was_recorded_as_an_equivocation_is_not_said_to_be_merely_refused() {
    for (first, in_an_outbox) in [(Do::Record, false), (Do::Record, true), (Do::Lose, false)] {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(first));
        let dir = dir.path();
        prepare(dir);
        let outbox: &[&str] = if in_an_outbox { &["--outbox", "outbox"] } else { &[] };
        let options = [&["--submit", "--endpoint", &server.endpoint][..], outbox].concat();
        let mut output = statement(dir, "started", &options);
        if first == Do::Lose {
            assert_eq!(output.status.code(), Some(11), "{}", said(&output));
            server.will(Do::Record);
            output = statement(dir, "started", &options);
        }
        let id = Envelope::parse(&server.sent()[0]).unwrap().id();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("error: authority_inconsistent: "), "{said}");
        assert!(said.contains(&format!("is recorded as an equivocation, `{id}` in revision 8")), "{said}");
        assert!(said.contains("`assent reconcile --canonical ID --rejected ID`"), "{said}");
        assert!(!said.contains("was refused") && !said.contains("were refused"), "{said}");
        assert!(kept(dir).is_empty(), "{said}");
    }
}

/// The same as [`statement`], without waiting for its end.
fn begun(dir: &Path, event: &str, options: &[&str]) -> thread::JoinHandle<Output> {
    let (dir, event) = (dir.to_owned(), event.to_owned());
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    thread::spawn(move || {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        statement(&dir, &event, &options)
    })
}

#[test]
fn two_commands_at_once_with_one_key_sign_one_statement_for_a_slot() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Lose));
    let dir = dir.path();
    prepare(dir);
    let options = ["--submit", "--endpoint", &server.endpoint];
    let both = ["started", "completed"].map(|event| begun(dir, event, &options));
    for command in both {
        let output = command.join().unwrap();
        assert_eq!(output.status.code(), Some(11), "{}", said(&output));
    }
    // The second one finds what the first one has kept, and sends that.
    let sent: BTreeSet<Vec<u8>> = server.sent().into_iter().collect();
    assert_eq!((sent.len(), kept(dir).len()), (1, 1));
}

#[test]
fn what_no_node_of_its_registry_has_judged_stays_kept_though_it_is_refused() {
    for (refused, code) in [(Do::RefuseAsAnother, "wrong_registry"), (Do::RefuseUnjudged, "malformed")] {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Lose));
        let dir = dir.path();
        prepare(dir);
        let options = ["--submit", "--endpoint", &server.endpoint];
        assert_eq!(statement(dir, "started", &options).status.code(), Some(11));
        // The next run has a wrong endpoint, or something between that refuses it.
        let elsewhere = Server::start(refused);
        let output = statement(dir, "started", &["--submit", "--endpoint", &elsewhere.endpoint]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(code) && kept(dir).len() == 1, "{}", said(&output));
        assert_eq!(elsewhere.sent(), server.sent());
        later();
        server.will(Do::Accept);
        let output = statement(dir, "started", &options);
        assert_eq!((output.status.code(), server.sent().len()), (Some(0), 1), "{}", said(&output));
        assert!(kept(dir).is_empty());
        // Nor is one forgotten that was just signed.
        server.will(refused);
        assert_eq!(statement(dir, "started", &options).status.code(), Some(1));
        assert_eq!(kept(dir).len(), 1);
    }
}

#[test]
fn what_a_later_grant_can_make_acceptable_stays_kept_and_is_sent_first() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::RefuseForNow));
    let dir = dir.path();
    prepare(dir);
    let options = ["--submit", "--endpoint", &server.endpoint];
    // It was just signed, or an earlier run has signed it.
    for event in ["started", "started", "completed"] {
        let output = statement(dir, event, &options);
        let said = said(&output);
        assert_eq!((output.status.code(), server.sent().len()), (Some(1), 1), "{said}");
        assert!(said.contains("authority_unknown") && said.contains("may be accepted later"), "{said}");
        assert_eq!(kept(dir).len(), 1, "{said}");
        assert!(said.contains(&kept(dir)[0].file_name().unwrap().to_string_lossy().into_owned()), "{said}");
        later();
    }
    server.will(Do::Accept);
    let output = statement(dir, "started", &options);
    assert_eq!((output.status.code(), server.sent().len()), (Some(0), 1), "{}", said(&output));
    assert!(kept(dir).is_empty());
}

#[test]
fn what_is_refused_for_lack_of_a_right_says_what_to_do_and_that_works() {
    // The same bytes help where the caller or the key can get the right.
    for (code, says) in [
        (Code::CallerNotPermitted, "role `submitter`"),
        (Code::AuthorityUnknown, "grant the key its role"),
        (Code::AuthorityExpired, "if the key's grant begins later"),
    ] {
        for outbox in [&[][..], &["--outbox", "outbox"]] {
            let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::RefuseFor(code)));
            let dir = dir.path();
            prepare(dir);
            let options = [&["--submit", "--endpoint", &server.endpoint][..], outbox].concat();
            let output = statement(dir, "started", &options);
            assert_eq!((output.status.code(), kept(dir).len()), (Some(1), 1), "{}", said(&output));
            assert!(said(&output).contains(says), "{code}: {}", said(&output));
            assert!(said(&output).contains("run the same command again, which sends exactly these bytes"));
            server.will(Do::Accept);
            let output = statement(dir, "started", &options);
            assert_eq!((output.status.code(), server.sent().len()), (Some(0), 1), "{}", said(&output));
            assert!(kept(dir).is_empty(), "{code}");
        }
    }
    // They do not where the key has another role, or the statement too few signers: another statement is needed.
    for (code, says) in [
        (Code::RoleNotPermitted, "with a key whose role may sign"),
        (Code::ThresholdNotMet, "as many signers as the threshold demands"),
    ] {
        for outbox in [&[][..], &["--outbox", "outbox"]] {
            let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::RefuseFor(code)));
            let dir = dir.path();
            prepare(dir);
            let options = [&["--submit", "--endpoint", &server.endpoint][..], outbox].concat();
            let output = statement(dir, "started", &options);
            assert_eq!((output.status.code(), kept(dir).len()), (Some(1), 1), "{}", said(&output));
            let file = kept(dir)[0].clone();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            for words in [says, "stay refused", "remove that file", &name] {
                assert!(said(&output).contains(words), "{words}: {}", said(&output));
            }
            // While the file is there, nothing else is signed for its chain.
            let output = statement(dir, "completed", &options);
            assert_eq!((output.status.code(), server.sent().len()), (Some(1), 1), "{}", said(&output));
            fs::remove_file(&file).unwrap();
            server.will(Do::Accept);
            let output = statement(dir, "completed", &options);
            assert_eq!((output.status.code(), server.sent().len()), (Some(0), 2), "{}", said(&output));
            assert!(kept(dir).is_empty(), "{code}");
        }
    }
}

#[test]
fn no_slot_is_taken_from_a_node_of_another_registry() {
    let (dir, server, elsewhere) =
        (tempfile::tempdir().unwrap(), Server::start(Do::Accept), Server::start(Do::RefuseAsAnother));
    let dir = dir.path();
    prepare(dir);
    *elsewhere.origin.lock().unwrap() = "registry.example/us-1";
    let both = ["--submit", "--endpoint", &server.endpoint, "--endpoint", &elsewhere.endpoint];
    for options in [&["--submit", "--endpoint", &elsewhere.endpoint][..], &both[..], &both[1..]] {
        let output = statement(dir, "started", options);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("error: wrong_registry: "), "{}", said(&output));
        assert!(said(&output).contains("registry.example/us-1") && output.stdout.is_empty());
        assert!(server.sent().is_empty() && elsewhere.sent().is_empty() && kept(dir).is_empty());
    }
}

#[test]
fn a_release_whose_outcome_is_unknown_is_sent_again_and_not_signed_anew() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Do::Lose));
    let dir = dir.path();
    prepare(dir);
    let target = format!("blake3:{}", "07".repeat(32));
    let mut args = vec!["release", &target, "--origin", "registry.example/eu-1", "--domain", "prod.eu"];
    args.extend(["--key", "k.pem", "--timeout", "500", "--endpoint", &server.endpoint]);
    assert_eq!(assent(dir, &args).status.code(), Some(11));
    assert_eq!(kept(dir).len(), 1);
    later();
    server.will(Do::Accept);
    let output = assent(dir, &args);
    assert_eq!((output.status.code(), server.sent().len()), (Some(0), 1), "{}", said(&output));
    assert!(kept(dir).is_empty());
}
