//! What callers of real node processes get: callers that end their side once they have asked, callers whose request
//! reaches no route, callers that are refused for good, and callers whose first endpoint never answers. An answer that
//! `docs/protocol.md` does not list fails the test.

#[path = "../../cluster/tests/cluster_support/documented.rs"]
mod documented;
mod key_files;
mod spelling;

use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use assent_fixtures::{claims, key, signed_note};
use assent_jepsen::{Cluster, Evidence, Slot, binary, id_of};
use assent_proof::{
    BatchTree, Checkpoint, Claims, Code, Envelope, EvidenceId, Seconds, Sha256, SigningKey, Statement,
    consistency_proof, leaf_hash, sign_statement,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for one answer: the machine may be busy.
const SURELY: Duration = Duration::from_secs(20);
/// How often each question is asked by a caller that ends its side.
const ASKED: usize = 50;
/// Most of these that may be answered "not now", as nodes answer that lose their leader for a moment on a busy machine.
const BUSY_MAX: usize = 5;
const CLOSE: &str = "connection: close\r\n";
const PEER: &str = "registry.example/us-1";

/// What the tests run on that share a cluster: the harness's connections last as long as the runtime that they were made on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The cluster of all tests that run at the same time; the last of them ends its processes.
async fn cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let started = Arc::new(Cluster::start(3).await.unwrap());
    *shared = Arc::downgrade(&started);
    started
}

/// An answer as it came over the wire.
#[derive(Debug)]
struct Reply {
    status: u16,
    /// In lower case, each line with its end.
    head: String,
    /// `null` if it is no JSON.
    body: Value,
}

impl Reply {
    fn has(&self, header: &str) -> bool {
        self.head.contains(&format!("\r\n{header}\r\n"))
    }

    /// The same, if the page of the protocol says that this question can be answered like this.
    #[track_caller]
    fn documented(self, question: &[u8]) -> Self {
        let (method, target) = documented::asked(question);
        documented::insist(&method, &target, self.status, &self.body);
        self
    }

    /// It is a problem document that says what happened and what to do.
    #[track_caller]
    fn is_problem(&self, status: u16, code: Code) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code.as_str())), "{self:?}");
        assert_eq!(self.body["status"].as_u64(), Some(u64::from(status)), "{self:?}");
        assert!(self.has("content-type: application/problem+json"), "{self:?}");
        for field in ["detail", "remedy"] {
            assert!(self.body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {self:?}");
        }
    }
}

/// A request as it goes over the wire.
fn ask(what: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{what} HTTP/1.1\r\nhost: node\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// What comes until the node ends the connection, which must not be reset.
async fn to_the_end(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    timeout(SURELY, stream.read_to_end(&mut bytes)).await.expect("it ends").expect("it is not reset");
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Reply {
        status: status.unwrap_or_else(|| panic!("no status: {text:?}")),
        head: format!("{}\r\n", head.to_lowercase()),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

async fn exchange(address: &str, question: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may have been answered, and the connection be closed, before all is sent.
    let _ = stream.write_all(question).await;
    to_the_end(stream).await.documented(question)
}

/// The same from a caller that ends its side once it has asked.
async fn exchange_half_closed(address: &str, question: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(question).await.unwrap();
    stream.shutdown().await.unwrap();
    to_the_end(stream).await.documented(question)
}

/// Runs `assent` against these endpoints. Answers how it ended, and how long that took.
fn assent(cluster: &Cluster, endpoints: &str, arguments: &[&str]) -> (Output, Duration) {
    let started = Instant::now();
    let output = Command::new(binary().unwrap())
        .args(arguments)
        .env("ASSENT_ENDPOINTS", endpoints)
        .env("ASSENT_DOMAIN", &cluster.domain)
        .env("ASSENT_NODE_KEYS", cluster.dev_directory().join("node-keys.pem"))
        .output()
        .unwrap();
    (output, started.elapsed())
}

/// Has the action `run` allowed in a lineage. Answers its evidence, and the envelope that authorizes it.
async fn allowed(cluster: &Cluster, lineage: &str) -> (Evidence, Vec<u8>) {
    let evidence = Evidence::new(cluster, lineage).await.unwrap();
    let artifact = evidence.authorization(&cluster.key("governance").unwrap(), (0, None));
    let attestation = evidence.attestation(&cluster.key("attestation").unwrap(), (0, None), "affirming", "m");
    for envelope in [&artifact, &attestation] {
        cluster.accept(1, envelope).await.unwrap();
    }
    (evidence, artifact)
}

#[test]
fn each_of_50_callers_that_end_their_side_once_they_have_asked_is_answered() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let (evidence, _) = allowed(&cluster, "half-closed").await;
        let lineage = format!("GET /v1/lineages/{}/half-closed", cluster.domain);
        for (what, question) in [
            ("authorize", ask("POST /v1/authorize", "", evidence.request().to_string().as_bytes())),
            ("lineage", ask(&lineage, "", b"")),
            ("status", ask("GET /v1/cluster/status", "", b"")),
            ("readyz", ask("GET /readyz", "", b"")),
        ] {
            let mut busy = 0;
            for round in 0..ASKED {
                let node = &cluster.nodes[round % cluster.nodes.len()];
                let reply = exchange_half_closed(&node.client, &question).await;
                assert!(matches!(reply.status, 200 | 503), "{what}, {round} of {ASKED}: {reply:?}");
                busy += usize::from(reply.status == 503);
            }
            assert!(busy <= BUSY_MAX, "{what}: {busy} of {ASKED} were told to come back");
        }
    });
}

#[test]
fn a_body_under_gzip_and_a_head_that_is_too_long_are_refused_with_problem_documents() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let gzip = format!("{CLOSE}content-encoding: gzip\r\n");
        let long = format!("{CLOSE}x-long: {}\r\n", "y".repeat(80 * 1024));
        for (what, headers, status, code) in [
            ("POST /v1/envelopes", &gzip, 415, Code::EncodingUnsupported),
            ("POST /v1/envelopes:batch", &gzip, 415, Code::EncodingUnsupported),
            ("POST /v1/authorize", &gzip, 415, Code::EncodingUnsupported),
            ("GET /v1/cluster/status", &long, 431, Code::TooLarge),
        ] {
            let reply = exchange(&cluster.nodes[0].client, &ask(what, headers, b"{}")).await;
            reply.is_problem(status, code);
            assert!(reply.has("connection: close"), "{what}: {reply:?}");
        }
    });
}

#[test]
fn a_target_with_a_byte_that_none_may_have_is_refused_with_a_problem_document() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        for target in [&b"/v1/policies/a\x01b"[..], b"/v1/a b", b"/v1/policies/%ff"] {
            let end = b" HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
            let question = [&b"GET "[..], target, end].concat();
            let reply = exchange(&cluster.nodes[0].client, &question).await;
            reply.is_problem(400, Code::Malformed);
            assert!(reply.has("connection: close"), "{target:?}: {reply:?}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_without_an_answer_and_a_slow_request_head_is_answered() {
    const IDLE: Duration = Duration::from_millis(1_500);
    let mut cluster = Cluster::start(3).await.unwrap();
    cluster.kill(1).unwrap();
    cluster.configure(1, &[("http_idle_ms", 1_500), ("http_head_ms", 500)]).unwrap();
    cluster.restart(1).unwrap();
    cluster.introduced(1).await.unwrap();
    let address = cluster.node(1).unwrap().client.as_str();
    let mut kept = TcpStream::connect(address).await.unwrap();
    let livez = "GET /livez HTTP/1.1\r\nhost: node\r\n\r\n";
    kept.write_all(livez.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let read = timeout(SURELY, kept.read_buf(&mut answer)).await.expect("it is answered").unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
    }
    // It is idle for longer than a head may take.
    let from = Instant::now();
    let mut rest = Vec::new();
    timeout(SURELY, kept.read_to_end(&mut rest)).await.expect("it is closed").expect("it is not reset");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    // What is left of it is counted from before the answer was read.
    let took = from.elapsed();
    assert!(took > IDLE * 2 / 3 && took < SURELY / 2, "it was closed after {took:?}");
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"POST /v1/authorize HTTP/1.1\r\ncontent-").await.unwrap();
    let reply = to_the_end(slow).await.documented(b"POST /v1/authorize HTTP/1.1");
    reply.is_problem(408, Code::DeadlineExceeded);
    assert_eq!(reply.body["detail"], "the request's head did not arrive within 500 ms", "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_quorum_says_with_503_when_to_ask_again_and_answers_a_late_head_with_408() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "alone").await.unwrap();
    for id in 1..=3 {
        cluster.kill(id).unwrap();
    }
    cluster.configure(1, &[("http_head_ms", 1_000)]).unwrap();
    cluster.restart(1).unwrap();
    cluster.introduced(1).await.unwrap();
    let address = cluster.node(1).unwrap().client.as_str();

    let question = ask("POST /v1/authorize", CLOSE, evidence.request().to_string().as_bytes());
    let reply = exchange(address, &question).await;
    assert_eq!((reply.status, reply.body["decision"].as_str()), (503, Some("deny")), "{reply:?}");
    assert!(reply.has("retry-after: 1"), "{reply:?}");
    let reply = exchange(address, &ask("GET /v1/domains", CLOSE, b"")).await;
    reply.is_problem(503, Code::NoQuorum);
    assert!(reply.has("retry-after: 1"), "{reply:?}");

    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(b"GET /livez HTTP/1.1\r\nhost: ").await.unwrap();
    let reply = to_the_end(late).await;
    reply.is_problem(408, Code::DeadlineExceeded);
    assert_eq!(reply.body["detail"], "the request's head did not arrive within 1000 ms", "{reply:?}");
    assert!(reply.has("connection: close"), "{reply:?}");
}

/// That the peer's ledger has these leaves, and had the first `before` of them.
fn continuity(leaves: &[[u8; 32]], before: usize) -> Claims {
    let (size, root) = (leaves.len() as u64, BatchTree::new(leaves.to_vec()).root());
    let text = Checkpoint { origin: PEER.to_owned(), size, root }.to_text();
    let note = signed_note(&text, PEER, &key(80), &[key(81)], 1_795_374_000);
    claims::continuity(note.to_string(), consistency_proof(leaves, before))
}

/// An envelope with these claims, and with references, which the harness's evidence has none of.
fn referring(
    evidence: &Evidence,
    claims: &Claims,
    key: &SigningKey,
    slot: Slot,
    references: Vec<EvidenceId>,
) -> Vec<u8> {
    let json: Value = serde_json::from_str(&claims.to_json().to_text()).unwrap();
    let draft = evidence.execution(claims.kind(), &json, key, slot);
    let draft = Statement::parse(&Envelope::parse(&draft).unwrap().payload).unwrap();
    sign_statement(&Statement { references, ..draft }, &[key])
}

#[test]
fn a_peer_checkpoint_that_does_not_extend_the_last_one_is_refused_with_a_remedy() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let evidence = Evidence::new(&cluster, "peer").await.unwrap();
        let zone = cluster.key("zone").unwrap();
        let not_after = Seconds(evidence.issued().0 + 600);
        let claims = claims::trust(PEER, key(80).public(), &[key(81).public()], not_after);
        let trust = referring(&evidence, &claims, &zone, (0, None), Vec::new());
        cluster.accept(1, &trust).await.unwrap();
        let trust = id_of(&trust).unwrap();
        let says = |leaves: &[[u8; 32]], before: usize, slot: Slot| {
            referring(&evidence, &continuity(leaves, before), &zone, slot, vec![trust])
        };
        let [old, new, other] = [b"old", b"new", b"oth"].map(|leaf| leaf_hash(leaf));
        let first = says(&[old], 0, (1, Some(trust)));
        cluster.accept(1, &first).await.unwrap();
        let next: Slot = (2, id_of(&first));

        let nodes: Vec<String> = cluster.nodes.iter().map(|node| format!("http://{}", node.client)).collect();
        let folder = tempfile::tempdir().unwrap();
        let submit = |name: &str, envelope: Vec<u8>| {
            let file = folder.path().join(name);
            std::fs::write(&file, envelope).unwrap();
            let arguments = ["submit", "--timeout", "30000", file.to_str().unwrap()];
            assent(&cluster, &nodes.join(","), &arguments)
        };
        let (output, took) = submit("forked.json", says(&[other, new], 1, next));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(took < Duration::from_secs(10), "it was sent again for {took:?}: {said}");
        assert!(said.starts_with("error: registry_diverged: "), "{said}");
        assert!(said.contains("it does not extend the peer's checkpoint of size 1"), "{said}");
        let remedy = said.lines().find_map(|line| line.strip_prefix("remedy: ")).unwrap();
        assert!(remedy.contains("have the peer prove") && remedy.contains("make the trust"), "{said}");
        // Nothing was recorded: what does extend it takes the same slot.
        let (output, _) = submit("honest.json", says(&[old, new], 1, next));
        assert!(output.status.success(), "{output:?}");
    });
}

#[test]
fn a_refused_batch_of_mode_all_reports_which_envelopes_were_good() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let evidence = Evidence::new(&cluster, "batch").await.unwrap();
        let good = evidence.authorization(&cluster.key("governance").unwrap(), (0, None));
        let by_nobody = evidence.attestation(&key(9), (0, None), "affirming", "m");
        let [good, bad] = [good, by_nobody].map(|envelope| String::from_utf8(envelope).unwrap());
        let body = format!(r#"{{"mode":"all","envelopes":[{good},{bad}]}}"#);
        let question = ask("POST /v1/envelopes:batch", CLOSE, body.as_bytes());
        let judged = async {
            loop {
                let reply = exchange(&cluster.nodes[0].client, &question).await;
                // Without a leader for a moment, nothing is judged.
                let of_one = reply.body["results"][1]["status"].as_u64();
                if !matches!(reply.status, 429 | 503) && !matches!(of_one, Some(429 | 503 | 504)) {
                    break reply;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let reply = timeout(SURELY, judged).await.expect("the batch is judged");
        assert_eq!(reply.status, 200, "{reply:?}");
        let results = reply.body["results"].as_array().unwrap();
        assert_eq!(results.len(), 2, "{reply:?}");
        for result in results {
            assert_eq!(result["problem"]["code"], "authority_unknown", "{reply:?}");
            assert!(result["receipt"].is_null(), "{reply:?}");
        }
        assert_eq!(results[0]["good"], true, "{reply:?}");
        assert_eq!(results[0]["problem"]["field"], "envelopes[1]", "{reply:?}");
        assert!(results[1]["good"].is_null(), "{reply:?}");
        let lineage = cluster.get(1, &format!("/v1/lineages/{}/batch", cluster.domain)).await;
        assert_eq!(lineage.status, Some(404), "{lineage:?}");
    });
}

#[test]
fn with_a_hung_first_endpoint_the_second_one_answers_within_the_commands_time() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let (_, artifact) = allowed(&cluster, "hung").await;
        // The system accepts every connection, and nothing ever reads what comes.
        let hung = TcpListener::bind("127.0.0.1:0").unwrap();
        hung.set_nonblocking(true).unwrap();
        let was_asked = || std::iter::from_fn(|| hung.accept().ok()).count() > 0;
        let endpoints = format!("http://{},http://{}", hung.local_addr().unwrap(), cluster.nodes[0].client);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("artifact.json");
        std::fs::write(&file, artifact).unwrap();
        let subject = format!("sha256:{}", Sha256::of(b"hung"));
        let authorize = ["authorize", "--lineage", "hung", "--action", "run", "--subject", &subject];
        let submit = ["submit", file.to_str().unwrap()];
        for (command, timeout_ms) in [
            // An endpoint's share is 3 s; the other one is asked before it is over.
            (&authorize[..], "6000"),
            // The share is half of this. The client itself gives an attempt 3 s at most, which would leave nothing.
            (&submit[..], "3000"),
        ] {
            let arguments = [command, &["--timeout", timeout_ms][..]].concat();
            // Which endpoint is asked first is drawn anew each time.
            let asked_first = (0..40).any(|_| {
                let (output, took) = assent(&cluster, &endpoints, &arguments);
                assert!(output.status.success(), "{arguments:?} after {took:?}: {output:?}");
                assert!(took < Duration::from_secs(3), "{arguments:?} took {took:?}");
                was_asked()
            });
            assert!(asked_first, "{arguments:?} never began with the first endpoint");
        }
        // This asks all of them, and shows what each has said.
        let (output, _) = assent(&cluster, &endpoints, &["status", "--timeout", "1000", "--output", "json"]);
        assert!(output.status.success(), "{output:?}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["nodes"][0]["error"]["code"], "unavailable", "{shown}");
        assert_eq!(shown["nodes"][1]["status"]["nodeId"], 1, "{shown}");
    });
}
