//! `member replace` against a small server that is not a node and answers as a cluster with given members. No cluster
//! can be founded with two members of one key. If an older cluster has two such members, the replacement of one must
//! not remove both.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Request, history, request};
use assent_api::{Problem, ReceiptBody};
use assent_proof::{Code, Envelope, EvidenceId, Millis, PublicKey, SigningKey};
use serde_json::{Value, json};

/// The seeds of the keys of nodes 1, 2 and 3.
type Keys = [u8; 3];

/// The new node.
const NEW: u64 = 4;

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed([seed; 32]).public()
}

/// A server that answers as node `node_id` of a cluster with these members.
struct Told {
    endpoint: String,
    /// Method and path of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

/// What a server does with the grant of the new node's key.
#[derive(Default)]
struct Grant {
    /// It reads the envelope and closes the connection.
    is_lost: AtomicBool,
    is_accepted: AtomicBool,
    /// The old node's key is still to be revoked.
    is_old_active: AtomicBool,
    /// The envelopes that were sent.
    sent: Mutex<Vec<Vec<u8>>>,
}

impl Told {
    fn start(node_id: u64, keys: Keys) -> Told {
        Told::start_with(node_id, keys, None)
    }

    /// With `grant`, the old node's key is revoked, and the new node's one is granted once its grant is accepted. Without, every key
    /// stands granted, and no envelope is taken.
    fn start_with(node_id: u64, keys: Keys, grant: Option<Arc<Grant>>) -> Told {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, grant) = (Arc::clone(&noted), grant.clone());
                thread::spawn(move || match grant {
                    Some(grant) => serve_granting(&mut stream.unwrap(), node_id, keys, &noted, &grant),
                    None => serve(&mut stream.unwrap(), node_id, keys, &noted),
                });
            }
        });
        Told { endpoint, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One answer a connection, of a cluster that has revoked the old node's key and is to grant the new one's.
fn serve_granting(
    stream: &mut TcpStream,
    node_id: u64,
    keys: Keys,
    asked: &Mutex<Vec<String>>,
    grant: &Grant,
) {
    let Some(Request { method, path, body }) = request(stream) else { return };
    asked.lock().unwrap().push(format!("{method} {path}"));
    let is_accepted = grant.is_accepted.load(Ordering::SeqCst);
    let (status, answer) = match path.as_str() {
        "/v1/envelopes" => {
            let id = Envelope::parse(&body).unwrap().id();
            grant.sent.lock().unwrap().push(body);
            if grant.is_lost.load(Ordering::SeqCst) {
                return;
            }
            grant.is_accepted.store(true, Ordering::SeqCst);
            ("201 Created", receipt(id))
        }
        path if path.starts_with("/v1/lineages/") => ("404 Not Found", missing(Code::LineageUnknown)),
        path if path == format!("/v1/authorities/{}", key(4)) && !is_accepted => {
            ("404 Not Found", missing(Code::AuthorityUnknown))
        }
        path if path == format!("/v1/authorities/{}", key(2))
            && !grant.is_old_active.load(Ordering::SeqCst) =>
        {
            let mut revoked = authority(&key(2).to_string());
            revoked["status"] = json!("revoked");
            ("200 OK", serde_json::to_vec(&revoked).unwrap())
        }
        _ => return answer_as_usual(stream, &method, &path, node_id, keys),
    };
    write_answer(stream, status, &answer);
}

fn receipt(evidence_id: EvidenceId) -> Vec<u8> {
    let history = history().parse().unwrap();
    ReceiptBody { evidence_id, ledger_index: 7, revision: 8, accepted_at: Millis(9), history }.to_vec()
}

fn missing(code: Code) -> Vec<u8> {
    Problem::new(code, 404, "as told").to_vec()
}

fn write_answer(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

/// One answer a connection.
fn serve(stream: &mut TcpStream, node_id: u64, keys: Keys, asked: &Mutex<Vec<String>>) {
    let Some(Request { method, path, .. }) = request(stream) else { return };
    asked.lock().unwrap().push(format!("{method} {path}"));
    answer_as_usual(stream, &method, &path, node_id, keys);
}

fn answer_as_usual(stream: &mut TcpStream, method: &str, path: &str, node_id: u64, keys: Keys) {
    let answer = match (method, path) {
        (_, "/v1/cluster/status") => status(node_id),
        (_, path) if path.starts_with("/v1/cluster/members") => members(keys, method == "POST"),
        ("GET", path) if path.starts_with("/v1/authorities/") => {
            authority(path.trim_start_matches("/v1/authorities/"))
        }
        // It takes no envelope: no step that needs one is taken for done.
        _ => return,
    };
    write_answer(stream, "200 OK", &serde_json::to_vec(&answer).unwrap());
}

fn status(node_id: u64) -> Value {
    json!({
        "clusterId": format!("blake3:{}", "00".repeat(32)), "history": format!("blake3:{}/e1", "00".repeat(32)),
        "origin": "registry.example/eu-1", "nodeId": node_id, "role": "follower", "leader": 1, "term": 1, "revision": 5,
        "lastLog": 9, "applied": 9, "voters": [1, 2, 3], "learners": [],
        "clock": {"sure": true, "boundMs": 500, "readings": []},
        "node": {
            "peer": format!("10.0.0.{node_id}:7500"), "client": format!("10.0.0.{node_id}:7400"),
            "storeId": "0f".repeat(16), "key": key(u8::try_from(node_id).unwrap()),
        },
        "member": node_id < NEW, "rules": 1, "rulesKnown": 1, "peers": [],
        "log": {"first": 1, "last": 9, "bytes": 100}, "snapshots": [], "version": "0.1.0",
    })
}

/// The members before the replacement, or with the new one.
fn members(keys: Keys, with_new: bool) -> Value {
    let member = |id: u64, key: PublicKey| {
        json!({
            "id": id, "role": "voter", "peer": format!("10.0.0.{id}:7500"), "client": format!("10.0.0.{id}:7400"),
            "storeId": format!("{id:02x}").repeat(16), "key": key, "keyGranted": true, "connected": id != 2,
            "matched": 9, "behind": 0, "rulesKnown": 1, "problem": null,
        })
    };
    let mut all: Vec<Value> = keys.iter().zip(1_u64..).map(|(seed, id)| member(id, key(*seed))).collect();
    if with_new {
        all.push(member(NEW, key(4)));
    }
    json!({"nodeId": 1, "leader": 1, "changing": false, "nextId": NEW, "members": all})
}

/// Every key stands granted.
fn authority(id: &str) -> Value {
    json!({
        "id": id, "name": "node", "role": "registry", "domain": "_root", "notBefore": "2026-01-01T00:00:00Z",
        "notAfter": null, "status": "active", "grant": EvidenceId([0; 32]),
    })
}

/// Replaces node 2 by node 4, without any of root's keys.
fn replace(cluster: &Told, new: &Told) -> Output {
    replace_with(cluster, new, &[])
}

fn replace_with(cluster: &Told, new: &Told, options: &[&str]) -> Output {
    replace_node("2", cluster, new, options)
}

fn replace_node(old: &str, cluster: &Told, new: &Told, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
    for variable in ["ASSENT_ENDPOINTS", "ASSENT_ORIGIN", "ASSENT_DOMAIN", "ASSENT_NODE_KEYS"] {
        command.env_remove(variable);
    }
    command.args(["member", "replace", old, "--node", &new.endpoint, "--endpoint", &cluster.endpoint]);
    command.args(options);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_key_that_another_member_has_is_not_revoked_when_a_node_is_replaced() {
    let shared = [1, 2, 2];
    let (cluster, new) = (Told::start(1, shared), Told::start(NEW, shared));
    let output = replace(&cluster, &new);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("is kept, since node 3 has it too"), "{}", said(&output));
    let asked = cluster.asked();
    assert!(asked.iter().all(|ask| !ask.contains("/v1/envelopes")), "{asked:?}");
    // The rest of the replacement is done.
    for step in
        ["DELETE /v1/cluster/members/2", "POST /v1/cluster/members", "POST /v1/cluster/members/4/promote"]
    {
        assert!(asked.iter().any(|ask| ask == step), "{step}: {asked:?}");
    }
}

#[test]
fn a_key_of_its_own_is_revoked_before_anything_else_is_done() {
    let own = [1, 2, 3];
    let (cluster, new) = (Told::start(1, own), Told::start(NEW, own));
    let output = replace(&cluster, &new);
    assert!(!output.status.success());
    assert!(said(&output).contains("signature_pending"), "{}", said(&output));
    assert!(said(&output).contains("revoke the old node's key"), "{}", said(&output));
    assert!(cluster.asked().iter().all(|ask| ask.starts_with("GET ")), "{:?}", cluster.asked());
}

#[test]
fn no_node_is_added_in_place_of_one_that_never_was_a_member() {
    // The new node's key is granted, so nothing but the id stands in the way.
    let own = [1, 2, 3];
    let (cluster, new) = (Told::start(1, own), Told::start(NEW, own));
    let output = replace_node("99", &cluster, &new, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("member_unknown"), "{}", said(&output));
    assert!(said(&output).contains("the members are 1, 2, 3"), "{}", said(&output));
    assert!(cluster.asked().iter().all(|ask| ask.starts_with("GET ")), "{:?}", cluster.asked());
}

#[test]
fn no_member_is_replaced_by_a_node_that_has_the_key_of_another_one() {
    let taken = [1, 2, 4];
    let (cluster, new) = (Told::start(1, taken), Told::start(NEW, taken));
    let output = replace(&cluster, &new);
    assert!(!output.status.success());
    assert!(said(&output).contains("has the key of node 3"), "{}", said(&output));
    assert!(cluster.asked().iter().all(|ask| ask.starts_with("GET ")), "{:?}", cluster.asked());
}

/// Writes a private key for its owner alone.
fn write_key(path: &Path, seed: u8) {
    fs::write(path, SigningKey::from_seed([seed; 32]).to_pem().as_bytes()).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_grant_whose_outcome_is_unknown_is_sent_again_and_none_is_signed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (root, node) = (dir.path().join("root.pem"), dir.path().join("node.pem"));
    write_key(&root, 9);
    write_key(&node, 4);
    let grant = Arc::new(Grant { is_lost: AtomicBool::new(true), ..Grant::default() });
    let cluster = Told::start_with(1, [1, 2, 3], Some(Arc::clone(&grant)));
    let new = Told::start_with(NEW, [1, 2, 3], Some(Arc::clone(&grant)));
    let options = ["--root-key", root.to_str().unwrap(), "--node-key", node.to_str().unwrap()];
    let options = [&options[..], &["--origin", "registry.example/eu-1", "--timeout", "1500"]].concat();
    let output = replace_with(&cluster, &new, &options);
    assert_eq!(output.status.code(), Some(11), "{}", said(&output));
    assert!(said(&output).contains("outcome_unknown"), "{}", said(&output));
    let signed = grant.sent.lock().unwrap()[0].clone();
    let kept = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|ending| ending == "unsettled")).collect::<Vec<_>>()
    };
    assert_eq!(kept().len(), 2, "beside each of its keys: {:?}", kept());
    assert!(kept().iter().all(|path| fs::read(path).unwrap() == signed));
    // A grant that is signed in a later second is another statement.
    thread::sleep(std::time::Duration::from_millis(1_100));
    grant.is_lost.store(false, Ordering::SeqCst);
    let output = replace_with(&cluster, &new, &options);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("what an earlier run has signed"), "{}", said(&output));
    assert!(grant.sent.lock().unwrap().iter().all(|sent| *sent == signed), "one grant is signed");
    assert!(kept().is_empty(), "{:?}", kept());
}

#[test]
fn no_key_is_revoked_if_the_grant_of_the_new_one_could_not_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root.pem");
    write_key(&root, 9);
    let grant = Arc::new(Grant { is_old_active: AtomicBool::new(true), ..Grant::default() });
    let cluster = Told::start_with(1, [1, 2, 3], Some(Arc::clone(&grant)));
    let new = Told::start_with(NEW, [1, 2, 3], Some(Arc::clone(&grant)));
    // No user can make a file in that folder.
    let options = ["--root-key", root.to_str().unwrap(), "--node-key", "/proc/node.pem"];
    let options = [&options[..], &["--origin", "registry.example/eu-1", "--timeout", "1500"]].concat();
    let output = replace_with(&cluster, &new, &options);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("could not write to `/proc`"), "{}", said(&output));
    assert!(grant.sent.lock().unwrap().is_empty(), "nothing is sent");
}
