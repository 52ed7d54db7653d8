//! What stands before the routes: what every request is looked at for, and what every answer leaves with.

use std::convert::Infallible;
use std::net::Ipv6Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderName, Request, Response, Version, header};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use tokio_util::sync::CancellationToken;

use assent_proof::Code;

use super::connection::{HEAD_BYTES, head_too_large};
use super::reply::{closing, fault, finished, problem};
use super::socket::{Socket, Turn};
use crate::metrics::Metrics;
use crate::tasks::{Panicked, Tasks};

/// What is answered on connections beyond the cap: what supervisors ask, so that a node that is busy is not taken for a dead one.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Cancelled once the client has ended its side of the connection; see [`Socket::half_closed`].
#[derive(Debug, Clone)]
pub(super) struct HalfClosed(pub(super) CancellationToken);

/// The routes, as one connection reaches them.
pub(super) struct Front {
    pub(super) router: Router,
    pub(super) socket: Socket,
    pub(super) metrics: Arc<Metrics>,
    /// Those of the connections, which count what panics.
    pub(super) tasks: Tasks,
    /// Of a connection beyond the cap: how many there may be within it.
    pub(super) beyond: Option<usize>,
}

impl Front {
    /// The answer to a request that comes to no route.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        // Hyper stops reading there only if the head arrives in several pieces.
        if head_bytes(request) > HEAD_BYTES {
            return Some(closing(problem(Code::TooLarge, 431, &head_too_large())));
        }
        if let Some(detail) = wrong_host(request.version(), request.headers()) {
            return Some(closing(problem(Code::Malformed, 400, detail)));
        }
        if let Some(most) = self.beyond
            && !PROBES.contains(&request.uri().path())
        {
            self.metrics.connection_refused();
            let probes = PROBES.join(", ");
            let detail = format!(
                "{most} client connections are open already (`limits.connections`); beyond them only {probes} are answered"
            );
            return Some(closing(problem(Code::Overloaded, 503, &detail)));
        }
        let encoded = !request.body().is_end_stream() && is_encoded(request.headers());
        encoded.then(|| {
            let detail = "the body has a `Content-Encoding` other than `identity`, or a `Transfer-Encoding` other than \
                          `chunked`";
            closing(problem(Code::EncodingUnsupported, 415, detail))
        })
    }
}

/// How many bytes a request's head has at least: blanks that say nothing are not among them any more.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let line = request.method().as_str().len().saturating_add(target).saturating_add(authority);
    request.headers().iter().fold(line, |bytes, (name, value)| {
        bytes.saturating_add(name.as_str().len()).saturating_add(value.len()).saturating_add(": \r\n".len())
    })
}

/// What is wrong with the `Host` of a request (RFC 9112 §3.2). Two readers of a request that names two hosts may each take another one,
/// so no node reads it.
fn wrong_host(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Some("the request has more than one `Host` header"),
        (Some(host), None) => {
            let is_host = host.is_empty() || host.to_str().is_ok_and(is_host);
            let detail = "the request's `Host` header is not a host with or without a port";
            (!is_host).then_some(detail)
        }
        (None, _) if version >= Version::HTTP_11 => {
            Some("the request has no `Host` header, which HTTP/1.1 requires")
        }
        (None, _) => None,
    }
}

/// Whether this is a host with or without a port (RFC 9110 §7.2): a name, an IPv4 address, or an IPv6 address in brackets. RFC 3986 §3.2.2
/// lets a name have more characters, such as `,` and `*`. No name of a machine has them, and another reader may see two hosts there, or any.
fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_plain);
    let is_port = |port: &str| {
        // A number is also read with a sign before it.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        digits && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    let Some(literal) = text.strip_prefix('[') else {
        return match text.split_once(':') {
            Some((name, port)) => is_name(name) && is_port(port),
            None => is_name(text),
        };
    };
    let Some((address, behind)) = literal.split_once(']') else { return false };
    let is_address = match address.split_once("%25") {
        Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && is_name(zone),
        None => address.parse::<Ipv6Addr>().is_ok(),
    };
    is_address && (behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port))
}

/// Whether a body under these headers is in an encoding that nothing here decodes.
fn is_encoded(headers: &HeaderMap) -> bool {
    let is_other = |name: HeaderName, known: &str| {
        let values = headers.get_all(name);
        values.iter().any(|value| match value.to_str() {
            Ok(value) => value.split(',').any(|coding| !coding.trim().eq_ignore_ascii_case(known)),
            Err(_) => true,
        })
    };
    // Chunked twice is another framing than chunked once (RFC 9112 §6.1).
    let transfer = headers.get_all(header::TRANSFER_ENCODING);
    let codings: usize =
        transfer.iter().map(|value| value.as_bytes().split(|byte| *byte == b',').count()).sum();
    is_other(header::CONTENT_ENCODING, "identity")
        || is_other(header::TRANSFER_ENCODING, "chunked")
        || codings > 1
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
            return ready(Ok(Answer::of(refusal, turn))).boxed();
        }
        request.extensions_mut().insert(HalfClosed(self.socket.half_closed()));
        let ended = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let request = request.map(|body| Watched { body, ended: ended.clone() });
        let (mut router, tasks) = (self.router.clone(), self.tasks.clone());
        async move {
            let answering = async { tower::Service::call(&mut router, request).await };
            let answer = match tasks.caught("request of a client", answering).await {
                Ok(answered) => answered?,
                // A connection that just ends would tell its client nothing, and what is behind this request on it is in doubt.
                Err(Panicked) => closing(fault("the work on this request failed inside the node")),
            };
            // The rest of the body is not read, and the next request stands behind it. A client has to hear that, whatever the answer is:
            // it would ask again on a connection that is closed.
            let answer = if ended.load(Ordering::Relaxed) { answer } else { closing(answer) };
            Ok(Answer::of(answer, turn))
        }
        .boxed()
    }
}

/// A request's body, which tells when all of it was read.
struct Watched {
    body: Incoming,
    ended: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(None) = frame {
            this.ended.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body. This is all that a connection writes, so no answer leaves but through [`Answer::of`].
pub(super) struct Answer {
    body: Body,
    /// Until hyper has all of it.
    _turn: Turn,
}

impl Answer {
    fn of(answer: Response<Body>, turn: Turn) -> Response<Self> {
        finished(answer).map(|body| Self { body, _turn: turn })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn identity_and_chunked_are_no_encodings_and_everything_else_is() {
        let with = |pairs: &[(HeaderName, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            is_encoded(&pairs.collect::<HeaderMap>())
        };
        let (content, transfer) = (header::CONTENT_ENCODING, header::TRANSFER_ENCODING);
        for plain in [
            vec![],
            vec![(content.clone(), "identity")],
            vec![(content.clone(), "Identity, identity"), (transfer.clone(), "Chunked")],
        ] {
            assert!(!with(&plain), "{plain:?}");
        }
        for encoded in [
            vec![(content.clone(), "gzip")],
            vec![(content.clone(), "")],
            vec![(content.clone(), "identity, br")],
            vec![(content.clone(), "identity"), (content.clone(), "zstd")],
            vec![(transfer.clone(), "gzip, chunked")],
            vec![(transfer.clone(), "chunked, chunked")],
            vec![(transfer.clone(), "chunked"), (transfer.clone(), "chunked")],
        ] {
            assert!(with(&encoded), "{encoded:?}");
        }
    }

    #[test]
    fn a_request_names_one_host_and_only_one_of_http_1_0_may_name_none() {
        let wrong = |version: Version, hosts: &[&'static str]| {
            let hosts = hosts.iter().map(|host| (header::HOST, HeaderValue::from_static(host)));
            wrong_host(version, &hosts.collect::<HeaderMap>()).is_some()
        };
        for host in [
            "",
            "node",
            "node:7400",
            "node:",
            "node-1.eu_west.example:65535",
            "127.0.0.1:7400",
            "[::1]:7400",
            "[2001:db8::4]",
            "[fe80::1%25eth0]:7400",
        ] {
            assert!(!wrong(Version::HTTP_11, &[host]), "{host}");
        }
        for host in [
            "a b",
            "user@node",
            "node/path",
            "http://node",
            "node:abc",
            "node:99999",
            "node:+80",
            "node:80:80",
            ":7400",
            "::1",
            "a,b",
            "node, node",
            "*",
            "[::1",
            "[node]",
            "[::1]7400",
            "[::1]:x",
            "[fe80::1%25]",
        ] {
            assert!(wrong(Version::HTTP_11, &[host]), "{host}");
        }
        assert!(wrong(Version::HTTP_11, &[]) && !wrong(Version::HTTP_10, &[]));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(wrong(version, &["node", "node"]), "{version:?}");
        }
    }

    #[test]
    fn a_head_is_as_large_as_its_line_and_its_headers() {
        let of = |target: String, header: String| {
            let request = Request::builder().uri(target).header("x", header);
            head_bytes(&request.body(()).unwrap())
        };
        assert_eq!(of("/livez".to_owned(), String::new()), "GET/livezx: \r\n".len());
        assert!(of(format!("/{}", "a".repeat(40_000)), "y".repeat(40_000)) > HEAD_BYTES);
        assert!(of(format!("/{}", "a".repeat(30_000)), "y".repeat(30_000)) < HEAD_BYTES);
    }
}
