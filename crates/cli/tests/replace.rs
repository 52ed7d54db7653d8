//! `member replace` against a small server that answers as a cluster whose members it was told, and is no node: no cluster with two
//! members of one key can be founded, and one from before that was so must not lose both by the replacement of one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use assent_proof::{EvidenceId, PublicKey, SigningKey};
use serde_json::{Value, json};
use support::{Request, request};

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

impl Told {
    fn start(node_id: u64, keys: Keys) -> Told {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let noted = Arc::clone(&noted);
                thread::spawn(move || serve(&mut stream.unwrap(), node_id, keys, &noted));
            }
        });
        Told { endpoint, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One answer a connection.
fn serve(stream: &mut TcpStream, node_id: u64, keys: Keys, asked: &Mutex<Vec<String>>) {
    let Some(Request { method, path, .. }) = request(stream) else { return };
    asked.lock().unwrap().push(format!("{method} {path}"));
    let answer = match (method.as_str(), path.as_str()) {
        (_, "/v1/cluster/status") => status(node_id),
        (_, path) if path.starts_with("/v1/cluster/members") => members(keys, method == "POST"),
        ("GET", path) if path.starts_with("/v1/authorities/") => {
            authority(path.trim_start_matches("/v1/authorities/"))
        }
        // It takes no envelope: no step that needs one is taken for done.
        _ => return,
    };
    let body = serde_json::to_vec(&answer).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), body.as_slice()].concat());
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
    for variable in ["ASSENT_ENDPOINTS", "ASSENT_ORIGIN", "ASSENT_DOMAIN", "ASSENT_NODE_KEYS"] {
        command.env_remove(variable);
    }
    command.args(["member", "replace", "2", "--node", &new.endpoint, "--endpoint", &cluster.endpoint]);
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
fn no_member_is_replaced_by_a_node_that_has_the_key_of_another_one() {
    let taken = [1, 2, 4];
    let (cluster, new) = (Told::start(1, taken), Told::start(NEW, taken));
    let output = replace(&cluster, &new);
    assert!(!output.status.success());
    assert!(said(&output).contains("has the key of node 3"), "{}", said(&output));
    assert!(cluster.asked().iter().all(|ask| ask.starts_with("GET ")), "{:?}", cluster.asked());
}
