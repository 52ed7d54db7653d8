//! The small authority of `assent cert`: make it, issue, renew, revoke and list.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use assent_cluster::access::TokenDigest;
use assent_registry::GenesisFile;
use serde_json::Value;

fn assent(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assent")).current_dir(dir).args(args).output().unwrap()
}

/// Stdout of a run that must succeed.
fn ok(dir: &Path, args: &[&str]) -> String {
    let output = assent(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON of a run that must succeed.
fn json(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&ok(dir, &[args, &["--output", "json"]].concat())).unwrap()
}

/// Exit code and stderr of a run that must fail.
fn fails(dir: &Path, args: &[&str]) -> (i32, String) {
    let output = assent(dir, args);
    assert!(!output.status.success(), "{args:?} succeeded");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A folder with an authority `ca`, and the genesis file of a cluster.
fn founded() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    for name in ["root.pem", "registry.pem", "node-1.pem"] {
        ok(dir, &["key", "generate", "--out", name]);
    }
    let create = ["genesis", "create", "--out", "genesis.json", "--origin", "registry.example/eu-1"];
    let keys = ["--root", "root.pem", "--threshold", "1", "--registry-key", "registry.pem"];
    ok(dir, &[&create[..], &keys, &["--node-key", "node-1.pem"]].concat());
    ok(dir, &["cert", "init", "--dir", "ca", "--trust-domain", "prod.example"]);
    home
}

const NODE: &[&str] =
    &["cert", "node", "--dir", "ca", "--genesis", "genesis.json", "--id", "1", "--host", "10.0.0.11"];

fn node(dir: &Path, out: &str) -> Value {
    json(dir, &[NODE, &["--host", "n1.prod.example", "--out", out]].concat())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_node_gets_a_folder_with_everything_that_it_needs_and_the_id_names_node_and_cluster() {
    let home = founded();
    let dir = home.path();
    let issued = node(dir, "node-1");
    let genesis = GenesisFile::parse(&fs::read(dir.join("genesis.json")).unwrap()).unwrap();
    let cluster = genesis.cluster_id().to_string();
    let bare = cluster.strip_prefix("blake3:").unwrap();
    assert_eq!(issued["id"], format!("spiffe://prod.example/assent/{bare}/node/1"));
    assert_eq!(issued["hosts"], serde_json::json!(["10.0.0.11", "n1.prod.example"]));
    assert_eq!(issued["files"]["cert"], "node-1/cert.pem");
    for name in ["ca.pem", "ca.crl"] {
        let copy = fs::read(dir.join("node-1").join(name)).unwrap();
        assert_eq!(copy, fs::read(dir.join("ca").join(name)).unwrap());
    }
    assert_eq!(mode(&dir.join("node-1/key.pem")), 0o600);
    assert_eq!(mode(&dir.join("ca/ca.key")), 0o600);
}

#[test]
fn a_certificate_that_is_there_is_never_overwritten_and_none_is_issued_in_vain() {
    let home = founded();
    let dir = home.path();
    node(dir, "node-1");
    let before = fs::read(dir.join("node-1/key.pem")).unwrap();
    let (code, stderr) = fails(dir, &[NODE, &["--out", "node-1"]].concat());
    assert!(code == 1 && stderr.contains("file_exists"), "{stderr}");
    assert_eq!(fs::read(dir.join("node-1/key.pem")).unwrap(), before);
    let listed = json(dir, &["cert", "list", "--dir", "ca"]);
    assert_eq!(listed["certificates"].as_array().unwrap().len(), 1);
    let (code, stderr) = fails(dir, &["cert", "init", "--dir", "ca", "--trust-domain", "prod.example"]);
    assert!(code == 1 && stderr.contains("file_exists"), "{stderr}");
}

#[test]
fn a_renewed_certificate_takes_the_place_of_the_earlier_one_and_of_no_other() {
    let home = founded();
    let dir = home.path();
    let first = node(dir, "node-1");
    ok(dir, &["cert", "caller", "--dir", "ca", "--path", "/slurm/ctl", "--out", "slurm"]);
    // A group that may read the key may still read it afterwards.
    fs::set_permissions(dir.join("node-1/key.pem"), Permissions::from_mode(0o640)).unwrap();
    let key = fs::read(dir.join("node-1/key.pem")).unwrap();
    let renew = ["cert", "renew", "node-1/cert.pem", "--dir", "ca", "--out"];
    let (code, stderr) = fails(dir, &[&renew[..], &["slurm"]].concat());
    assert!(code == 1 && stderr.contains("file_exists") && stderr.contains("slurm"), "{stderr}");
    let second = json(dir, &[&renew[..], &["node-1"]].concat());
    assert_eq!((&second["id"], &second["hosts"]), (&first["id"], &first["hosts"]));
    assert_ne!(second["serial"], first["serial"]);
    assert_ne!(fs::read(dir.join("node-1/key.pem")).unwrap(), key);
    assert_eq!(mode(&dir.join("node-1/key.pem")), 0o640);
    assert_eq!(fs::read_dir(dir.join("node-1")).unwrap().count(), 4, "no other file is left");
    // A new key never goes into a file that every user may read.
    fs::set_permissions(dir.join("node-1/key.pem"), Permissions::from_mode(0o644)).unwrap();
    let (code, stderr) = fails(dir, &[&renew[..], &["node-1"]].concat());
    assert!(code == 1 && stderr.contains("key_exposed"), "{stderr}");
}

#[test]
fn a_revoked_certificate_is_listed_as_such_and_cannot_be_renewed() {
    let home = founded();
    let dir = home.path();
    let (first, second) = (node(dir, "a"), node(dir, "b"));
    let before = fs::read(dir.join("ca/ca.crl")).unwrap();
    let revoked = json(dir, &["cert", "revoke", "a/cert.pem", "--dir", "ca"]);
    assert_eq!(revoked["certificate"]["serial"], first["serial"]);
    assert_eq!((&revoked["revoked"], &revoked["number"]), (&1.into(), &2.into()));
    assert_ne!(fs::read(dir.join("ca/ca.crl")).unwrap(), before);
    let listed = ok(dir, &["cert", "list", "--dir", "ca"]);
    let line = |issued: &Value| {
        listed.lines().find(|line| line.starts_with(issued["serial"].as_str().unwrap())).unwrap()
    };
    assert!(line(&first).contains(" revoked ") && line(&second).contains(" valid "), "{listed}");
    let (code, stderr) = fails(dir, &["cert", "renew", "a/cert.pem", "--dir", "ca", "--out", "a"]);
    assert!(code == 1 && stderr.contains("certificate_revoked"), "{stderr}");
    let serial = second["serial"].as_str().unwrap();
    let revoked = json(dir, &["cert", "revoke", serial, "--dir", "ca"]);
    assert_eq!(revoked["revoked"], 2);
    let again = json(dir, &["cert", "crl", "--dir", "ca"]);
    assert_eq!((&again["revoked"], &again["number"]), (&2.into(), &4.into()));
}

#[test]
fn an_id_or_a_host_that_no_certificate_may_have_is_wrong_usage() {
    let home = founded();
    let dir = home.path();
    let caller = ["cert", "caller", "--dir", "ca", "--out", "out"];
    for (args, says) in [
        (&["--path", "slurm"][..], "begins with `/`"),
        (&["--path", "/slurm//ctl"], "--path"),
        (&["--path", "/assent/x"], "those of nodes"),
        (&["--id", "spiffe://test.example/slurm"], "spiffe://prod.example/"),
        (&["--id", "https://prod.example/slurm"], "spiffe://"),
        (&[], "--id"),
    ] {
        let (code, stderr) = fails(dir, &[&caller[..], args].concat());
        assert!(code == 64 && stderr.contains(says), "{args:?}: {stderr}");
    }
    let (code, stderr) = fails(dir, &[NODE, &["--host", "n1:7400", "--out", "out"]].concat());
    assert!(code == 64 && stderr.contains("`n1:7400`"), "{stderr}");
    let (code, stderr) = fails(dir, &["cert", "init", "--dir", "x", "--trust-domain", "Prod"]);
    assert!(code == 64 && stderr.contains("trust"), "{stderr}");
    assert!(!dir.join("out").exists() && !dir.join("x").exists());
}

#[test]
fn what_this_authority_did_not_issue_is_unknown_to_it() {
    let home = founded();
    let dir = home.path();
    ok(dir, &["cert", "init", "--dir", "other", "--trust-domain", "prod.example"]);
    node(dir, "node-1");
    let (code, stderr) = fails(dir, &["cert", "revoke", "node-1/cert.pem", "--dir", "other"]);
    assert!(code == 1 && stderr.contains("certificate_unknown"), "{stderr}");
    let (code, stderr) = fails(dir, &["cert", "revoke", "genesis.json", "--dir", "ca"]);
    assert!(
        code == 1 && stderr.contains("certificate_invalid") && stderr.contains("genesis.json"),
        "{stderr}"
    );
    let (code, stderr) = fails(dir, &["cert", "list", "--dir", "node-1"]);
    assert!(code == 1 && stderr.contains("issued.json"), "{stderr}");
    fs::set_permissions(dir.join("ca/ca.key"), Permissions::from_mode(0o644)).unwrap();
    let (code, stderr) = fails(dir, &["cert", "list", "--dir", "ca"]);
    assert!(code == 1 && stderr.contains("key_exposed") && stderr.contains("ca/ca.key"), "{stderr}");
}

#[test]
fn no_private_key_is_ever_printed() {
    let home = founded();
    let dir = home.path();
    let mut printed = String::new();
    let mut run = |args: &[&str]| {
        let output = assent(dir, args);
        printed.push_str(&String::from_utf8_lossy(&output.stdout));
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
    };
    for form in ["text", "json"] {
        run(&[NODE, &["--out", form, "--output", form]].concat());
        let cert = format!("{form}/cert.pem");
        run(&["cert", "renew", &cert, "--dir", "ca", "--out", form, "--output", form]);
        run(&["cert", "revoke", &cert, "--dir", "ca", "--output", form]);
        run(&["cert", "list", "--dir", "ca", "--output", form]);
    }
    assert!(printed.len() > 1000, "{printed}");
    for key in ["ca/ca.key", "text/key.pem", "json/key.pem"] {
        let pem = fs::read_to_string(dir.join(key)).unwrap();
        let body = pem.lines().nth(1).unwrap();
        assert!(body.len() > 40 && !printed.contains(body), "{key}");
    }
    assert!(!printed.contains("PRIVATE KEY"));
}

/// It fails if the token is printed, if others may read its file, or if a node would not know the token by the line.
#[test]
fn a_token_goes_into_its_own_file_and_its_digest_into_the_nodes_file() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let digest = ok(dir, &["cert", "token", "--out", "one.token", "--hash-out", "ci.tokens"]);
    let made = json(dir, &["cert", "token", "--out", "two.token", "--hash-out", "ci.tokens"]);
    let listed = fs::read_to_string(dir.join("ci.tokens")).unwrap();
    assert_eq!(listed, format!("{digest}{}\n", made["sha256"].as_str().unwrap()));
    assert_eq!((&made["token"], &made["hashes"]), (&"two.token".into(), &"ci.tokens".into()));
    for (name, line) in ["one.token", "two.token"].into_iter().zip(listed.lines()) {
        let token = fs::read_to_string(dir.join(name)).unwrap();
        assert!(token.starts_with("assent_") && token.len() == 50);
        assert_eq!(TokenDigest::of_shown(&token).unwrap().to_string(), line);
        assert_eq!(mode(&dir.join(name)), 0o600);
        assert!(!digest.contains(&token) && !made.to_string().contains(&token));
    }
    let before = fs::read(dir.join("one.token")).unwrap();
    let (code, stderr) = fails(dir, &["cert", "token", "--out", "one.token", "--hash-out", "ci.tokens"]);
    assert!(code == 1 && stderr.contains("file_exists"), "{stderr}");
    assert_eq!(fs::read(dir.join("one.token")).unwrap(), before);
    assert_eq!(fs::read_to_string(dir.join("ci.tokens")).unwrap(), listed);
    // A token where digests belong: nothing is made, and it is not repeated.
    let (code, stderr) = fails(dir, &["cert", "token", "--out", "new.token", "--hash-out", "one.token"]);
    assert!(code == 1 && stderr.contains("malformed"), "{stderr}");
    assert!(!stderr.contains("assent_") && !dir.join("new.token").exists(), "{stderr}");
    let (code, stderr) = fails(dir, &["cert", "token", "--out", "-"]);
    assert!(code == 64 && !dir.join("-").exists(), "{stderr}");
}
