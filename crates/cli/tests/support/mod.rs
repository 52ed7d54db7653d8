//! A server that is not a node and allows every request, for tests of what a caller does with an allow.
#![allow(dead_code, unreachable_pub, reason = "not every test file uses all of it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assent_api::{DecisionBody, Problem, ReasonBody};
use assent_proof::{Code, SigningKey, sign_batch};
use serde_json::{Value, json};

/// A server that allows whatever it is asked.
#[derive(Clone, Default)]
pub struct Fake {
    /// Signs its allows, if there is one.
    pub key: Option<SigningKey>,
    /// How far its clock is ahead, in milliseconds.
    pub ahead: i64,
    /// When all its allows were decided, by its clock; if not given, when it is asked.
    pub decided: Option<i64>,
    /// How long its allows last, in milliseconds.
    pub lasts: i64,
    /// How long it takes to answer.
    pub slow: Duration,
    /// How many questions it answers; then it closes every connection.
    pub answers: usize,
    /// From this question on, counted from 0, it denies, for a reason with a code that no build knows.
    pub denies_from: Option<usize>,
    /// It denies everything for these reasons, if there are any.
    pub denies_for: Vec<Code>,
    /// Whether it says that the history of its decisions is in force no more.
    pub moved: bool,
    /// Whether it answers a permit like an authorize, so that its allow has no receipt of a permit.
    pub records_nothing: bool,
}

/// A running server.
pub struct Running {
    pub endpoint: String,
    /// How many decisions it was asked for.
    pub asked: Arc<AtomicUsize>,
}

impl Fake {
    /// Unsigned allows of half a minute.
    pub fn new() -> Self {
        Fake { lasts: 30_000, answers: usize::MAX, ..Fake::default() }
    }

    pub fn start(self) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (fake, counted) = (self.clone(), Arc::clone(&counted));
                thread::spawn(move || fake.serve(stream.unwrap(), &counted));
            }
        });
        Running { endpoint, asked }
    }

    /// One answer a connection.
    fn serve(&self, mut stream: TcpStream, asked: &AtomicUsize) {
        let Some(Request { path, body, .. }) = request(&mut stream) else { return };
        if self.moved && path.starts_with(&format!("/v1/events?history={}", history())) {
            let _ = stream.write_all(&moved());
            return;
        }
        // Events are not told, and what is not told is asked for by the clock.
        if !path.starts_with("/v1/authorize") && !path.starts_with("/v1/permits") {
            return;
        }
        let before = asked.fetch_add(1, Ordering::SeqCst);
        if before >= self.answers {
            return;
        }
        let evaluated = self.decided.unwrap_or_else(|| now() + self.ahead);
        thread::sleep(self.slow);
        let (status, answer) = if !self.denies_for.is_empty() {
            ("403 Forbidden", self.deny(&body, evaluated))
        } else if self.denies_from.is_some_and(|from| before >= from) {
            ("403 Forbidden", newer_deny(&body, evaluated))
        } else {
            let permit = path.starts_with("/v1/permits") && !self.records_nothing;
            ("200 OK", self.allow(&body, evaluated, permit))
        };
        let length = answer.len();
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        let _ = stream.write_all(&[head.as_bytes(), answer.as_slice()].concat());
    }

    fn deny(&self, request: &[u8], evaluated: i64) -> Vec<u8> {
        let request: Value = serde_json::from_slice(request).unwrap();
        let reasons: Vec<ReasonBody> =
            self.denies_for.iter().map(|code| ReasonBody::new(*code, "as told", None)).collect();
        let decision = json!({
            "decision": "deny", "request": request, "history": history(), "nodeId": 1, "revision": 2,
            "head": null, "policy": null, "evaluatedAt": evaluated, "validUntil": evaluated,
            "reasons": reasons,
        });
        serde_json::to_vec(&decision).unwrap()
    }

    fn allow(&self, request: &[u8], evaluated: i64, permit: bool) -> Vec<u8> {
        let request: Value = serde_json::from_slice(request).unwrap();
        let mut decision = json!({
            "decision": "allow", "request": request, "history": history(), "nodeId": 1, "revision": 2,
            "head": null, "policy": null, "evaluatedAt": evaluated, "validUntil": evaluated + self.lasts,
            "reasons": [],
        });
        if permit {
            decision["permit"] = json!({
                "evidenceId": format!("blake3:{}", "00".repeat(32)), "ledgerIndex": 1, "revision": 2,
                "acceptedAt": evaluated, "history": history(),
            });
        }
        let unsigned: DecisionBody = serde_json::from_str(&decision.to_string()).unwrap();
        match &self.key {
            None => unsigned.to_vec(),
            Some(key) => {
                let receipts = sign_batch(vec![unsigned.to_leaf(&[9; 16])], key);
                unsigned.signed(&receipts[0]).to_vec()
            }
        }
    }
}

/// A newer node's deny: whole, and with a reason whose code this build does not know.
fn newer_deny(request: &[u8], evaluated: i64) -> Vec<u8> {
    let request: Value = serde_json::from_slice(request).unwrap();
    let decision = json!({
        "decision": "deny", "request": request, "history": history(), "nodeId": 1, "revision": 2,
        "head": null, "policy": null, "evaluatedAt": evaluated, "validUntil": evaluated,
        "reasons": [{ "code": "moon_wrong", "clause": "§0", "detail": "new moon", "remedy": "wait" }],
    });
    serde_json::to_vec(&decision).unwrap()
}

/// A server that refuses every request with this status and problem. Returns its endpoint, and for each request its
/// method and path.
pub fn refusing(status: &'static str, problem: &Problem) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (seen, body) = (Arc::new(Mutex::new(Vec::new())), problem.to_vec());
    let noted = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, noted, body) = (stream.unwrap(), Arc::clone(&noted), body.clone());
            thread::spawn(move || {
                let Some(Request { method, path, .. }) = request(&mut stream) else { return };
                noted.lock().unwrap().push(format!("{method} {path}"));
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), body.as_slice()].concat());
            });
        }
    });
    (endpoint, seen)
}

/// The history that the server answers in.
pub fn history() -> String {
    format!("blake3:{}/e1", "00".repeat(32))
}

/// What a node answers whose cluster was recovered after revision 1.
fn moved() -> Vec<u8> {
    let problem = assent_api::Problem {
        history: Some(history().replace("/e1", "/e2").parse().unwrap()),
        shared_revision: Some(1),
        ..assent_api::Problem::new(assent_proof::Code::HistoryMismatch, 409, "recovered")
    };
    let body = problem.to_vec();
    let head =
        format!("HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_slice()].concat()
}

/// A request that was read to its end.
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
}

/// The request that comes on a connection; none if the connection ends before.
pub fn request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            let mut words = head.split(' ');
            let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
            return Some(Request { method, path, body: body.as_bytes().to_vec() });
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the server's clock is this machine's")]
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
