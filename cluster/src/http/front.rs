//! What comes before the routes: the checks of every request, and the headers of every answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, HttpBody};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio_util::sync::CancellationToken;

use assent_proof::Code;

use super::audited::beyond_address;
use super::caller::{CountedFor, RemoteAddr, Visitor};
use super::head::{HEAD_BYTES, head_bytes, head_too_large, is_encoded, wrong_host};
use super::held::{Guard, Held};
use super::reply::{closing, fault, finished, refused_by_http};
use super::socket::{RequestGuard, Socket};
use crate::access::Who;
use crate::metrics::{Limited, Metrics, RefusedRequest};
use crate::tasks::{Panicked, Tasks};

/// The endpoints that are served beyond the limit of connections. Supervisors request them, so that a busy node does
/// not look like a dead one.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// The path of the call that goes on for longer than its caller is judged for, so that it is judged again.
const FEED: &str = "/v1/events";

/// The status of a request beyond a limit of connections.
const BEYOND_STATUS: u16 = 503;

/// Cancelled once the client has ended its side of the connection; see [`Socket::half_closed`].
#[derive(Debug, Clone)]
pub(super) struct HalfClosed(pub(super) CancellationToken);

/// The routes, as one connection reaches them.
pub(super) struct Front {
    pub(super) router: Router,
    /// Who makes the requests.
    pub(super) visitor: Visitor,
    pub(super) socket: Socket,
    pub(super) metrics: Arc<Metrics>,
    /// The tasks of the connections, which count panics.
    pub(super) tasks: Tasks,
    /// For a connection beyond a limit: the limit.
    pub(super) beyond: Option<BeyondLimit>,
}

/// The limit beyond which a connection was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) enum BeyondLimit {
    /// `limits.connections`.
    All(usize),
    /// `limits.connections_per_address`.
    Address(usize),
}

impl BeyondLimit {
    fn detail(self) -> String {
        let probes = PROBES.join(", ");
        match self {
            BeyondLimit::All(most) => format!(
                "{most} client connections are open already (`limits.connections`); beyond them only {probes} are answered"
            ),
            BeyondLimit::Address(most) => format!(
                "{most} client connections from this address are open already (`limits.connections_per_address`); beyond \
                 them only {probes} are answered"
            ),
        }
    }
}

impl Front {
    /// The answer to a request that does not reach a route.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        // hyper stops reading at that size only if the head arrives in several pieces.
        if head_bytes(request) > HEAD_BYTES {
            self.metrics.request_refused(RefusedRequest::HeadSize);
            return Some(closing(refused_by_http(Code::TooLarge, 431, &head_too_large())));
        }
        if let Some(detail) = wrong_host(request.version(), request.headers()) {
            self.metrics.request_refused(RefusedRequest::HeadForm);
            return Some(closing(refused_by_http(Code::Malformed, 400, detail)));
        }
        if let Some(beyond) = self.beyond
            && !PROBES.contains(&request.uri().path())
        {
            match beyond {
                BeyondLimit::All(_) => self.metrics.connection_refused(),
                BeyondLimit::Address(_) => {
                    self.metrics.limited(&Limited::ConnectionsPerAddress);
                    beyond_address(&self.visitor.service, &self.visitor.remote, BEYOND_STATUS);
                }
            }
            return Some(closing(refused_by_http(Code::Overloaded, BEYOND_STATUS, &beyond.detail())));
        }
        let encoded = !request.body().is_end_stream() && is_encoded(request.headers());
        encoded.then(|| {
            self.metrics.request_refused(RefusedRequest::BodyEncoding);
            let detail = "the body has a `Content-Encoding` other than `identity`, or a `Transfer-Encoding` other than \
                          `chunked`";
            closing(refused_by_http(Code::EncodingUnsupported, 415, detail))
        })
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Answer>, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // A body whose length is not given is chunked.
        let ends_empty = request.body().is_end_stream() || request.body().size_hint().exact().is_none();
        let turn = self.socket.asked(ends_empty);
        if let Some(refusal) = self.refusal(&request) {
            return ready(Ok(leaving(refusal, turn))).boxed();
        }
        let path = request.uri().path().to_owned();
        if path == FEED {
            let kept = self.visitor.keep(&path, request.headers());
            request.extensions_mut().insert(kept);
        }
        let caller = self.visitor.identify(&path, request.headers_mut()).calling_from(&self.visitor.source);
        let is_unknown = matches!(caller.who(), Who::Unknown(_));
        request.extensions_mut().insert(CountedFor(caller.account()));
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(RemoteAddr(self.visitor.remote.clone()));
        request.extensions_mut().insert(HalfClosed(self.socket.half_closed()));
        // Another reader on the way may see another end of this body than hyper does, so nothing that follows it is a
        // request (RFC 9112 §6.1).
        let in_doubt =
            request.headers().contains_key(header::TRANSFER_ENCODING) && self.socket.has_sent_a_length();
        let ended = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let request = request.map(|body| Held::new(body, ReadFlag(ended.clone())));
        let (mut router, tasks) = (self.router.clone(), self.tasks.clone());
        async move {
            let answering = async { tower::Service::call(&mut router, request).await };
            let answer = match tasks.caught("request of a client", answering).await {
                Ok(answered) => answered?,
                // A connection that only ends would tell its client nothing. What follows this request on it is in
                // doubt.
                Err(Panicked) => closing(fault("the work on this request failed inside the node")),
            };
            // The rest of the body was not read, and the next request comes after it. The client must be told,
            // whatever the answer is. Otherwise it would send its next request on a connection that is being closed.
            // A stranger who is refused needs a new connection, and so another handshake, for each further request. On
            // one connection it could send refusals in a row without waiting, each of which costs the node something.
            let is_stranger = is_unknown && matches!(answer.status().as_u16(), 401 | 403 | 404 | 405);
            let goes_on = ended.load(Ordering::Relaxed) && !in_doubt && !is_stranger;
            let answer = if goes_on { answer } else { closing(answer) };
            Ok(leaving(answer, turn))
        }
        .boxed()
    }
}

/// Set once all of a request's body was read.
struct ReadFlag(Arc<AtomicBool>);

impl Guard for ReadFlag {
    fn ended(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request is being handled until hyper has all of its answer.
impl Guard for RequestGuard {}

/// An answer's body. A connection writes nothing else, so every answer passes through [`leaving`].
pub(super) type Answer = Held<Body, RequestGuard>;

fn leaving(answer: Response<Body>, turn: RequestGuard) -> Response<Answer> {
    finished(answer).map(|body| Held::new(body, turn))
}
