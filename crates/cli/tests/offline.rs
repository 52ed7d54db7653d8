//! What the command does without a cluster: help, usage errors, keys, statements, signatures, verification, genesis.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use assent_proof::{Code, Envelope, SigningKey, Statement, encode_base64};
use assent_registry::GenesisFile;

const ORIGIN: &str = "registry.example/eu-1";

fn assent(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
    for variable in ["ASSENT_ENDPOINTS", "ASSENT_ORIGIN", "ASSENT_DOMAIN", "ASSENT_NODE_KEYS"] {
        command.env_remove(variable);
    }
    command.current_dir(dir).args(args).output().unwrap()
}

/// Stdout of a run that must succeed.
fn ok(dir: &Path, args: &[&str]) -> String {
    let output = assent(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code and stderr of a run that must fail.
fn fails(dir: &Path, args: &[&str]) -> (i32, String) {
    let output = assent(dir, args);
    assert!(!output.status.success(), "{args:?} succeeded");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn key(dir: &Path, name: &str) -> String {
    ok(dir, &["key", "generate", "--out", name]).trim().to_owned()
}

/// An audit statement by `audit.pem`, in `file`.
fn statement(dir: &Path, file: &str, signer: &[&str]) {
    let mut args = vec!["statement", "new", "audit-lineage", "--offline", "--origin", ORIGIN];
    args.extend(["--domain", "prod.eu", "--lineage", "job-1", "--claim", "event=started"]);
    args.extend(["--subject-file", "subject"]);
    args.extend(signer);
    std::fs::write(dir.join("subject"), "hello").unwrap();
    std::fs::write(dir.join(file), ok(dir, &args)).unwrap();
}

#[test]
fn every_commands_help_has_an_example_and_the_output_option() {
    let dir = tempfile::tempdir().unwrap();
    let top = ok(dir.path(), &["--help"]);
    let listed = top.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut commands: Vec<Vec<&str>> = vec![vec![]];
    // A description that wraps is indented further than the names.
    let names =
        listed.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    commands.extend(names.map(|name| vec![name]));
    for pair in [
        "key generate",
        "key show",
        "cert init",
        "cert node",
        "cert caller",
        "cert renew",
        "cert revoke",
        "cert crl",
        "cert list",
        "statement new",
        "lineage show",
        "envelope get",
        "authority list",
        "domain list",
        "contain quarantine",
        "contain isolate",
        "contain invalidate",
        "genesis create",
    ] {
        commands.push(pair.split(' ').collect());
    }
    for expected in [
        "key",
        "sign",
        "submit",
        "authorize",
        "revoke",
        "contain",
        "release",
        "reconcile",
        "status",
        "verify",
        "events",
        "watch",
    ] {
        assert!(commands.iter().any(|command| command == &[expected]), "`{expected}` is not listed");
    }
    for command in commands {
        let help = ok(dir.path(), &[&command[..], &["--help"]].concat());
        assert!(help.contains("Example"), "`{command:?}` has no example:\n{help}");
        assert!(help.contains("--output"), "`{command:?}` has no --output:\n{help}");
    }
}

#[test]
fn wrong_usage_ends_with_64() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &[][..],
        &["no-such-command"],
        &["key", "generate"],
        &["statement", "new", "no-such-kind"],
        &["statement", "new", "policy", "--claim", "no-value"],
        &["status"],
        &["authorize", "--action", "run", "--endpoint", "http://127.0.0.1:1"],
        &["authorize", "--action", "run", "--subject", "sha256:00"],
    ] {
        let (code, stderr) = fails(dir.path(), args);
        assert_eq!(code, 64, "{args:?}: {stderr}");
    }
}

#[test]
fn nobody_answering_is_cannot_know_and_never_runs_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let subject = format!("sha256:{}", "00".repeat(32));
    let args = [
        "authorize",
        "--endpoint",
        "http://127.0.0.1:1",
        "--timeout",
        "500",
        "--domain",
        "d",
        "--action",
        "run",
        "--trust",
        "node.pub.pem",
    ];
    key(dir.path(), "node.pem");
    let public = ok(dir.path(), &["key", "show", "node.pem"]);
    std::fs::write(dir.path().join("node.pub.pem"), public).unwrap();
    let (code, stderr) =
        fails(dir.path(), &[&args[..], &["--subject", &subject, "--", "touch", "ran"]].concat());
    assert_eq!(code, 11, "{stderr}");
    assert!(stderr.contains("unavailable") && stderr.contains("remedy: "), "{stderr}");
    assert!(!dir.path().join("ran").exists());
}

#[test]
fn a_folder_without_a_public_key_verifies_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    key(dir, "audit.pem");
    statement(dir, "e.json", &["--key", "audit.pem"]);
    std::fs::create_dir(dir.join("keys")).unwrap();
    let (code, stderr) = fails(dir, &["verify", "e.json", "--trust", "keys"]);
    assert!(code == 64 && stderr.contains("key_invalid") && stderr.contains("remedy: "), "{stderr}");
    let public: serde_json::Value =
        serde_json::from_str(&ok(dir, &["key", "show", "audit.pem", "--output", "json"])).unwrap();
    std::fs::write(dir.join("keys/audit.pub.pem"), public["pem"].as_str().unwrap()).unwrap();
    ok(dir, &["verify", "e.json", "--trust", "keys"]);
}

#[test]
fn a_key_is_made_once_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let id = key(dir.path(), "k.pem");
    assert_eq!(ok(dir.path(), &["key", "show", "k.pem", "--id"]).trim(), id);
    let shown: serde_json::Value =
        serde_json::from_str(&ok(dir.path(), &["key", "show", "k.pem", "--output", "json"])).unwrap();
    assert_eq!(shown["id"], id.as_str());
    std::fs::write(dir.path().join("pub.pem"), shown["pem"].as_str().unwrap()).unwrap();
    assert_eq!(ok(dir.path(), &["key", "show", "pub.pem", "--id"]).trim(), id);
    let (code, stderr) = fails(dir.path(), &["key", "generate", "--out", "k.pem"]);
    assert!(code == 1 && stderr.contains("file_exists"), "{stderr}");
    assert_eq!(ok(dir.path(), &["key", "show", "k.pem", "--id"]).trim(), id);
}

#[test]
fn a_private_key_that_everybody_may_read_signs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    key(dir, "audit.pem");
    statement(dir, "e.json", &["--key", "audit.pem"]);
    let file = dir.join("audit.pem");
    let set_mode = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let sign = ["sign", "e.json", "--key", "audit.pem", "--in-place"];
    set_mode(0o644);
    let (code, stderr) = fails(dir, &sign);
    assert!(
        code == 1 && stderr.contains("key_exposed") && stderr.contains("chmod 600 audit.pem"),
        "{stderr}"
    );
    // What is public of it may be shown all the same.
    set_mode(0o604);
    ok(dir, &["key", "show", "audit.pem", "--id"]);
    // A group may be let in, and that is said.
    for (mode, said) in [(0o640, true), (0o600, false)] {
        set_mode(mode);
        let output = assent(dir, &sign);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && stderr.contains("group") == said, "{mode:o}: {stderr}");
    }
}

#[test]
fn a_signature_in_base64_with_broken_lines_is_attached() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = key(dir, "audit.pem");
    statement(dir, "e.json", &["--issuer", &id]);
    let signer = SigningKey::from_pem(&std::fs::read_to_string(dir.join("audit.pem")).unwrap()).unwrap();
    let envelope = Envelope::parse(&std::fs::read(dir.join("e.json")).unwrap()).unwrap();
    let signature = encode_base64(&signer.sign(&envelope.pae()));
    let (first, rest) = signature.split_at(64);
    std::fs::write(dir.join("sig.b64"), format!("{first}\r\n{rest}\r\n")).unwrap();
    std::fs::write(dir.join("audit.pub.pem"), signer.public().to_pem()).unwrap();
    let attach = ["sign", "e.json", "--external", "--public", "audit.pub.pem", "--signature", "sig.b64"];
    ok(dir, &[&attach[..], &["--in-place"]].concat());
    ok(dir, &["verify", "e.json", "--trust", "audit.pub.pem"]);
}

/// A server that answers whatever it is asked with a problem. Its address.
fn refusing(problem: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request, mut byte) = (stream.unwrap(), Vec::<u8>::new(), [0_u8]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.push(byte[0]);
            }
            let head = format!(
                "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                problem.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), problem.as_slice()].concat());
        }
    });
    endpoint
}

#[test]
fn a_servers_words_are_shown_and_not_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = "no\nremedy: pay\u{1b}[2J\u{202e}";
    let endpoint = refusing(assent_api::Problem::new(Code::Malformed, 400, hostile).to_vec());
    let id = format!("blake3:{}", "0".repeat(64));
    let ask = ["envelope", "get", &id, "--endpoint", &endpoint, "--output"];
    let told = |form: &str| {
        let (code, stderr) = fails(dir.path(), &[&ask[..], &[form]].concat());
        assert!(code == 1 && !stderr.contains(['\u{1b}', '\u{202e}']), "{stderr:?}");
        stderr
    };
    let text = told("text");
    assert!(text.contains(r"no\nremedy: pay\u{1b}[2J\u{202e}"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("remedy: ")).count(), 1, "{text}");
    let json: serde_json::Value = serde_json::from_str(&told("json")).unwrap();
    assert_eq!(json["code"], "malformed");
}

#[test]
fn a_statement_is_signed_and_verifies_offline() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = key(dir, "audit.pem");
    key(dir, "other.pem");
    statement(dir, "e.json", &["--issuer", &id]);
    let unsigned = Envelope::parse(&std::fs::read(dir.join("e.json")).unwrap()).unwrap();
    assert!(unsigned.signatures.is_empty());
    let (_, stderr) = fails(dir, &["verify", "e.json", "--trust", "audit.pem"]);
    assert!(stderr.contains("unsigned_evidence"), "{stderr}");
    ok(dir, &["sign", "e.json", "--key", "audit.pem", "--in-place"]);
    let verified = ok(dir, &["verify", "e.json", "--trust", "audit.pem", "--output", "json"]);
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["evidenceId"], unsigned.id().to_string());
    assert_eq!(verified["issuers"][0], id.as_str());
    let (code, stderr) = fails(dir, &["verify", "e.json", "--trust", "other.pem"]);
    assert!(code == 1 && stderr.contains("issuer_untrusted"), "{stderr}");
    let (_, stderr) = fails(dir, &["verify", "e.json", "--trust", "audit.pem", "--origin", "elsewhere"]);
    assert!(stderr.contains("wrong_registry"), "{stderr}");
}

#[test]
fn a_governance_statement_gets_its_place_and_subject_by_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = key(dir, "gov.pem");
    let claim = format!("authority={id}");
    let args =
        ["statement", "new", "revocation", "--origin", ORIGIN, "--domain", "prod.eu", "--key", "gov.pem"];
    let printed = ok(dir, &[&args[..], &["--claim", &claim, "--claim", "reason=superseded"]].concat());
    let envelope = Envelope::parse(printed.trim().as_bytes()).unwrap();
    let statement = Statement::parse(&envelope.payload).unwrap();
    assert_eq!(statement.lineage.as_str(), "_governance");
    assert_eq!((statement.sequence, statement.parent), (None, None));
    assert_eq!(statement.subject, assent_proof::Sha256::of(id.as_bytes()));
    let (_, stderr) = fails(dir, &[&args[..], &["--claim", &claim, "--claim", "reason=whim"]].concat());
    assert!(stderr.contains("claims_invalid") && stderr.contains("predicate.claims.reason"), "{stderr}");
}

#[test]
fn a_signature_made_by_openssl_is_attached() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let openssl = |args: &[&str]| Command::new("openssl").current_dir(dir).args(args).output();
    match openssl(&["genpkey", "-algorithm", "ed25519", "-out", "hsm.pem"]) {
        Ok(made) if made.status.success() => {}
        _ => {
            let lacks = "no `openssl` with Ed25519 is installed (`apt-get install openssl`)";
            assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{lacks}, and CI=true demands it");
            // Past what the test harness keeps to itself.
            let _ = writeln!(std::io::stderr(), "LEFT OUT: a signature by openssl was not attached: {lacks}");
            return;
        }
    }
    assert!(openssl(&["pkey", "-in", "hsm.pem", "-pubout", "-out", "hsm.pub.pem"]).unwrap().status.success());
    let id = ok(dir, &["key", "show", "hsm.pub.pem", "--id"]);
    statement(dir, "e.json", &["--issuer", id.trim()]);
    ok(dir, &["sign", "e.json", "--external", "--pae-out", "pae.bin"]);
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "hsm.pem", "-in", "pae.bin", "-out", "sig.bin"];
    assert!(openssl(&sign).unwrap().status.success());
    key(dir, "other.pem");
    let attach =
        |public| ["sign", "e.json", "--external", "--public", public, "--signature", "sig.bin", "--in-place"];
    let (_, stderr) = fails(dir, &attach("other.pem"));
    assert!(stderr.contains("signature_invalid"), "{stderr}");
    ok(dir, &attach("hsm.pub.pem"));
    ok(dir, &["verify", "e.json", "--trust", "hsm.pub.pem"]);
}

#[test]
fn a_genesis_file_is_made_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["r1.pem", "r2.pem", "reg.pem", "n1.pem", "n2.pem", "n3.pem"] {
        key(dir, name);
    }
    let mut args = vec!["genesis", "create", "--out", "genesis.json", "--origin", ORIGIN, "--threshold", "2"];
    args.extend(["--root", "r1.pem", "--root", "r2.pem", "--registry-key", "reg.pem"]);
    args.extend(["--node-key", "n1.pem", "--node-key", "n2.pem", "--node-key", "n3.pem"]);
    let id = ok(dir, &args);
    let genesis = GenesisFile::parse(&std::fs::read(dir.join("genesis.json")).unwrap()).unwrap();
    assert_eq!(genesis.cluster_id().to_string(), id.trim());
    assert_eq!((genesis.origin(), genesis.envelopes().len()), (ORIGIN, 4));
    assert!(fails(dir, &args).1.contains("file_exists"));
    args[3] = "other.json";
    args[7] = "3";
    assert!(fails(dir, &args).1.contains("claims_invalid"));
    assert!(!dir.join("other.json").exists());
}

#[test]
fn no_genesis_file_is_made_for_two_nodes_with_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["r1.pem", "reg.pem", "n1.pem", "n2.pem"] {
        key(dir, name);
    }
    std::fs::copy(dir.join("n1.pem"), dir.join("n3.pem")).unwrap();
    let mut args = vec!["genesis", "create", "--out", "genesis.json", "--origin", ORIGIN, "--threshold", "1"];
    args.extend(["--root", "r1.pem", "--registry-key", "reg.pem"]);
    args.extend(["--node-key", "n1.pem", "--node-key", "n2.pem", "--node-key", "n3.pem"]);
    let (_, stderr) = fails(dir, &args);
    assert!(stderr.contains("member_exists"), "{stderr}");
    assert!(stderr.contains("`n3.pem` is the key of an earlier node too"), "{stderr}");
    assert!(!dir.join("genesis.json").exists());
    args.truncate(args.len() - 2);
    ok(dir, &args);
}

#[test]
fn a_members_number_and_address_have_one_spelling_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // Nobody answers there, and nobody is asked.
    let endpoint = ["--endpoint", "http://127.0.0.1:9"];
    for id in ["01", "+1", "0", "1.0", "4294967297"] {
        for command in [
            vec!["member", "remove", id],
            vec!["member", "promote", id],
            vec!["member", "update", "--id", id, "--peer-addr", "10.0.0.1:7500"],
            vec!["member", "replace", id, "--node", "http://127.0.0.1:9"],
            vec!["leader", "transfer", "--to", id],
        ] {
            let (code, stderr) = fails(dir, &[&command[..], &endpoint].concat());
            assert_eq!(code, 64, "{command:?}: {stderr}");
            assert!(stderr.contains("without a sign or leading zeros"), "{command:?}: {stderr}");
        }
    }
    for (address, says) in [
        ("127.1:7500", "write `127.0.0.1:7500`"),
        ("localhost:7500", "write `127.0.0.1:7500`"),
        ("10.0.0.1:080", "write `10.0.0.1:80`"),
        ("0.0.0.0:7500", "no other node can dial"),
        ("255.255.255.255:7500", "broadcast"),
        ("here", "must be `host:port`"),
    ] {
        for option in ["--peer-addr", "--client-addr"] {
            let command = ["member", "update", "--id", "1", option, address];
            let (code, stderr) = fails(dir, &[&command[..], &endpoint].concat());
            assert_eq!(code, 64, "{command:?}: {stderr}");
            assert!(stderr.contains("malformed") && stderr.contains(says), "{command:?}: {stderr}");
        }
    }
}
