//! A small HTTP server that misbehaves as the test says, in one way for each request.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use assent_api::{DecisionBody, EventLine, HeartbeatBody, Problem, ReasonBody, ReceiptBody, Verdict};
use assent_client::Clock;
use assent_fixtures::{key, usual};
use assent_proof::{
    AuthorizeRequest, Code, Envelope, EvidenceId, History, Json, Millis, PublicKey, Sha256, SigningKey,
    sign_batch,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// What the server does with one request.
pub enum Do {
    /// Answers this.
    Answer(u16, Vec<u8>),
    /// Answers a problem of this code and status, with this many seconds of `Retry-After`.
    Busy(Code, u16, u64),
    /// Reads the request and closes the connection without an answer.
    Drop,
    /// Waits first.
    Slow(Duration, Box<Do>),
    /// Does this, and says that the body of its answer is under gzip.
    Gzip(Box<Do>),
    /// Answers 200 and that many bytes.
    Huge(usize),
    /// Accepts the envelope in the request, with this status.
    Accept(u16),
}

/// The server. It does what it is told, one behaviour a request, and then accepts whatever comes.
pub struct Server {
    pub endpoint: String,
    /// Path and body of each request that was read.
    pub seen: Seen,
    /// The `Authorization` of each request that was read.
    pub shown: Arc<Mutex<Vec<Option<String>>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(script: Vec<Do>) -> Server {
        Server::start_with(None, script).await
    }

    /// A server that speaks TLS if `tls` is given.
    pub async fn start_with(tls: Option<TlsAcceptor>, script: Vec<Do>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let (seen, shown) = (Arc::default(), Arc::default());
        let task = tokio::spawn(serve(listener, tls, script, Arc::clone(&seen), Arc::clone(&shown)));
        Server { endpoint, seen, shown, task }
    }

    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

pub type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;
type Script = Arc<Mutex<VecDeque<Do>>>;

type Shown = Arc<Mutex<Vec<Option<String>>>>;

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, script: Script, seen: Seen, shown: Shown) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (script, seen, shown) = (Arc::clone(&script), Arc::clone(&seen), Arc::clone(&shown));
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => exchange(stream, script, seen, shown).await,
                Some(tls) => match tls.accept(stream).into_fallible().await {
                    Ok(stream) => exchange(stream, script, seen, shown).await,
                    Err((_, stream)) => linger(stream).await,
                },
            }
        });
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    script: Script,
    seen: Seen,
    shown: Shown,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let authorization = request.headers().get(http::header::AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        shown.lock().unwrap().push(authorization);
        answer(request, Arc::clone(&script), Arc::clone(&seen))
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Takes what a refused client still sends, as a node does: otherwise the system would reset the connection, and the
/// client might lose the alert.
async fn linger(mut stream: TcpStream) {
    let mut bytes = [0; 1024];
    let _ = timeout(Duration::from_secs(1), async {
        while stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
    })
    .await;
}

async fn answer(
    request: Request<Incoming>,
    script: Script,
    seen: Seen,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let path = request.uri().to_string();
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    seen.lock().unwrap().push((path, body.clone()));
    let mut next = script.lock().unwrap().pop_front().unwrap_or(Do::Accept(201));
    if let Do::Slow(pause, then) = next {
        tokio::time::sleep(pause).await;
        next = *then;
    }
    let mut is_gzip = false;
    if let Do::Gzip(then) = next {
        is_gzip = true;
        next = *then;
    }
    let mut retry_after = None;
    let (status, bytes) = match next {
        Do::Answer(status, bytes) => (status, bytes),
        Do::Busy(code, status, seconds) => {
            retry_after = Some(seconds);
            (status, Problem::new(code, status, "as told").to_vec())
        }
        Do::Drop | Do::Slow(..) | Do::Gzip(_) => return Err(std::io::Error::other("told to drop")),
        Do::Huge(length) => (200, vec![b' '; length]),
        Do::Accept(status) => (status, receipt(&body).to_vec()),
    };
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        response = response.header(http::header::RETRY_AFTER, seconds.to_string());
    }
    if is_gzip {
        response = response.header(http::header::CONTENT_ENCODING, "gzip");
    }
    Ok(response.body(Full::new(bytes.into())).unwrap())
}

pub fn receipt(envelope: &[u8]) -> ReceiptBody {
    let evidence_id = Envelope::parse(envelope).map_or(EvidenceId([0; 32]), |envelope| envelope.id());
    ReceiptBody { evidence_id, ledger_index: 4, revision: 5, accepted_at: Millis(6), history: history(1) }
}

/// The registry's history in this epoch.
pub fn history(epoch: u64) -> History {
    History::new([7; 32], epoch).unwrap()
}

/// A receipt as of another history than the usual one.
pub fn receipt_in(history: History, envelope: &[u8]) -> Vec<u8> {
    ReceiptBody { history, ..receipt(envelope) }.to_vec()
}

/// The answer of a node that was asked which history is in force.
pub fn in_force(history: History) -> Do {
    let heartbeat = HeartbeatBody { history, revision: 1, ledger_revision: 9 };
    Do::Answer(200, EventLine::Heartbeat { heartbeat }.to_line())
}

/// An envelope with a payload of its own.
pub fn envelope(n: u32) -> Vec<u8> {
    let mut envelope =
        Envelope::unsigned("application/vnd.in-toto+json", format!("{{\"n\":{n}}}").into_bytes());
    envelope.sign_with(&key(1));
    envelope.to_vec()
}

pub fn id(envelope: &[u8]) -> EvidenceId {
    Envelope::parse(envelope).unwrap().id()
}

pub fn problem(code: Code, status: u16) -> Do {
    Do::Answer(status, Problem::new(code, status, "as told").to_vec())
}

pub fn unknown() -> Do {
    Do::Answer(504, Problem::unknown_outcome("as told").to_vec())
}

/// An endpoint that accepts every connection and never answers.
pub struct Hung {
    pub endpoint: String,
    /// How many connections it has accepted.
    pub accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn hung_endpoint() -> Hung {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let task = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    Hung { endpoint, accepted, task }
}

/// An endpoint where nobody listens.
pub async fn dead_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub fn request(action: &str) -> AuthorizeRequest {
    AuthorizeRequest { action: action.to_owned(), subject: Sha256([3; 32]), ..usual::request() }
}

pub fn node_key() -> SigningKey {
    key(42)
}

pub fn node_id() -> PublicKey {
    node_key().public()
}

/// A decision on `request` at 1 000 ms of the node's clock, valid until 10 000 ms.
pub fn decision(verdict: Verdict, request: Json, codes: &[Code]) -> DecisionBody {
    DecisionBody {
        decision: verdict,
        request,
        history: history(1),
        node_id: 1,
        revision: 2,
        head: None,
        policy: None,
        evaluated_at: Millis(1000),
        valid_until: Millis(10_000),
        reasons: codes.iter().map(|code| ReasonBody::new(*code, "as told", None)).collect(),
        more_reasons: 0,
        permit: None,
        receipt: None,
    }
}

/// An allow of a permit for `request`, with the receipt of the permit.
pub fn permitted(request: Json) -> DecisionBody {
    DecisionBody { permit: Some(receipt(b"")), ..decision(Verdict::Allow, request, &[]) }
}

/// The same signed, as it goes over the wire.
pub fn signed(body: &DecisionBody, key: &SigningKey) -> Vec<u8> {
    let receipts = sign_batch(vec![body.to_leaf(&[9; 16])], key);
    body.clone().signed(&receipts[0]).to_vec()
}

/// A clock that is told what time it is.
#[derive(Debug)]
pub struct FakeClock(Mutex<(Millis, Duration)>);

impl FakeClock {
    /// A wall clock that says `wall`, on a host that has been up for a while.
    pub fn at(wall: Millis) -> Arc<FakeClock> {
        Arc::new(FakeClock(Mutex::new((wall, Duration::from_secs(777)))))
    }

    /// Time goes by while the host is awake.
    pub fn pass(&self, ms: u32) {
        self.suspend(ms);
        self.set_wall(self.wall().saturating_add(i64::from(ms)));
    }

    /// The host sleeps, and its wall clock has not been set again yet.
    pub fn suspend(&self, ms: u32) {
        self.0.lock().unwrap().1 += Duration::from_millis(u64::from(ms));
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall: Millis) {
        self.0.lock().unwrap().0 = wall;
    }
}

impl Clock for FakeClock {
    fn wall(&self) -> Millis {
        self.0.lock().unwrap().0
    }

    fn boot(&self) -> Option<Duration> {
        Some(self.0.lock().unwrap().1)
    }
}
