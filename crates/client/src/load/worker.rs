//! One client: a connection, its queue, one request at a time.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::judge::Judge;
use super::report::Recorder;
use super::work::Call;
use crate::client_tls::BearerToken;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::link::{LinkError, secure};

/// The pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest answer that is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a client sends.
#[derive(Debug)]
pub(super) struct Queue {
    calls: Arc<Vec<Call>>,
    next: usize,
    repeats: bool,
}

impl Queue {
    pub(super) fn repeating(calls: Arc<Vec<Call>>, from: usize) -> Self {
        Queue { calls, next: from, repeats: true }
    }

    pub(super) fn once(calls: Vec<Call>) -> Self {
        Queue { calls: Arc::new(calls), next: 0, repeats: false }
    }

    fn next(&mut self) -> Option<Call> {
        let length = self.calls.len();
        let index = if self.repeats { self.next.checked_rem(length)? } else { self.next };
        let call = self.calls.get(index)?.clone();
        self.next = index.saturating_add(1);
        Some(call)
    }
}

/// One client.
pub(super) struct Worker {
    pub(super) endpoints: Arc<Vec<Endpoint>>,
    /// Where it connects; the next one after a failure. Taken modulo their number.
    pub(super) endpoint: usize,
    /// What it shows to the nodes, and how it knows them.
    pub(super) credentials: Option<Arc<Credentials>>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) judge: Judge,
    pub(super) attempt_timeout: Duration,
    pub(super) resend_max: u32,
}

/// A request under way: when it was first sent, and how often again.
struct Pending {
    call: Call,
    sent: Instant,
    resent: u32,
}

impl Worker {
    /// Sends until the run is over or nothing is left.
    pub(super) async fn run(mut self, mut queue: Queue) {
        let mut pending = None;
        while !self.recorder.is_over() {
            // Before connecting, so that what cannot be sent counts as a request that failed, and ends some time.
            if !self.fill(&mut queue, &mut pending) {
                return;
            }
            let index = self.endpoint.checked_rem(self.endpoints.len()).unwrap_or(0);
            let Some(endpoint) = self.endpoints.get(index).cloned() else { return };
            match self.on_connection(&endpoint, &mut queue, &mut pending).await {
                End::Over => return,
                End::Lost(label) => self.lost(label, &mut pending).await,
            }
        }
    }

    /// Makes sure that a request is under way; false when nothing is left to send.
    fn fill(&self, queue: &mut Queue, pending: &mut Option<Pending>) -> bool {
        if pending.is_some() {
            return true;
        }
        *pending = queue.next().map(|call| Pending { call, sent: Instant::now(), resent: 0 });
        if pending.is_none() {
            self.recorder.exhausted();
        }
        pending.is_some()
    }

    /// Notes a lost connection and turns to the next endpoint.
    async fn lost(&mut self, label: &'static str, pending: &mut Option<Pending>) {
        self.recorder.retried(label);
        if let Some(given_up) = pending.take_if(|pending| !self.may_resend(pending)) {
            self.recorder.done(label, false, given_up.sent);
        }
        self.endpoint = self.endpoint.wrapping_add(1);
        sleep(PAUSE).await;
    }

    /// Connects and sends until the connection or the run ends.
    async fn on_connection(
        &self,
        endpoint: &Endpoint,
        queue: &mut Queue,
        pending: &mut Option<Pending>,
    ) -> End {
        let connected = timeout(self.attempt_timeout, TcpStream::connect(endpoint.as_str())).await;
        let Ok(Ok(stream)) = connected else { return End::Lost("connect failed") };
        if stream.set_nodelay(true).is_err() {
            return End::Lost("connect failed");
        }
        let secured = secure(stream, endpoint, self.credentials.as_ref(), self.attempt_timeout).await;
        let link = match secured {
            Ok(link) => link,
            Err(LinkError::Unreached(_)) => return End::Lost("connect failed"),
            Err(LinkError::Tls(failure)) => return End::Lost(ClientError::Tls(Box::new(failure)).code()),
        };
        let token = match &self.credentials {
            Some(credentials) => credentials.token().await,
            None => None,
        };
        let Ok((sender, connection)) = http1::handshake(TokioIo::new(link)).await else {
            return End::Lost("connect failed");
        };
        let Ok(host) = HeaderValue::from_str(endpoint.as_str()) else { return End::Over };
        let headers = Headers { host, token };
        // Both sides of the connection in one task: an answer wakes one task, on one thread.
        tokio::select! {
            biased;
            end = self.send_all(sender, headers, queue, pending) => end,
            _ = connection => End::Lost("connection lost"),
        }
    }

    async fn send_all(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        headers: Headers,
        queue: &mut Queue,
        pending: &mut Option<Pending>,
    ) -> End {
        while !self.recorder.is_over() {
            if !self.fill(queue, pending) {
                return End::Over;
            }
            let Some(under_way) = pending.as_mut() else { return End::Over };
            let exchange = exchange(&mut sender, &under_way.call, &headers);
            let Ok(answer) = timeout(self.attempt_timeout, exchange).await else {
                return End::Lost("timeout");
            };
            let Some((status, body)) = answer else { return End::Lost("connection lost") };
            let judgement = (self.judge)(status, &body);
            if judgement.resend && self.may_resend(under_way) {
                self.recorder.retried(judgement.label);
                sleep(PAUSE).await;
                continue;
            }
            self.recorder.done(judgement.label, judgement.expected, under_way.sent);
            *pending = None;
        }
        End::Over
    }

    fn may_resend(&self, pending: &mut Pending) -> bool {
        pending.resent = pending.resent.saturating_add(1);
        pending.resent <= self.resend_max
    }
}

/// Why a client left its connection.
enum End {
    /// The run is over, or nothing is left to send.
    Over,
    /// The connection is of no more use.
    Lost(&'static str),
}

/// The headers of every request on a connection.
struct Headers {
    host: HeaderValue,
    token: Option<BearerToken>,
}

/// Sends one request and reads its answer; `None` when the connection failed.
async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    call: &Call,
    headers: &Headers,
) -> Option<(u16, Bytes)> {
    sender.ready().await.ok()?;
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.uri.clone();
    request.headers_mut().insert(HOST, headers.host.clone());
    if let Some(token) = &headers.token {
        request.headers_mut().insert(AUTHORIZATION, token.header().clone());
    }
    if call.method == Method::POST {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(assent_api::JSON_CONTENT_TYPE));
    }
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX).collect().await.ok()?;
    Some((status, body.to_bytes()))
}
