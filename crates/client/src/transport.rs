//! One attempt at one endpoint: pooled HTTP/1.1 connections, a time limit, a bounded answer.
//!
//! A failure tells whether the attempt can have reached the node, which decides whether a submission's outcome is
//! unknown. An answer that breaks off is a failure, and so is one whose headers say that its body is encoded: no node
//! encodes its answers, and this client decodes none. If such an answer says a deny, the deny is kept, so that no other
//! endpoint's allow can replace it.

use assent_api::Call;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, Error as LegacyError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::answer_shape::{AnswerShape, Spoilt};
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::link::{Connector, LinkError, with_trouble};
use crate::tls_failure::{TlsFailure, in_causes};

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most characters of an encoding that an error repeats.
const ENCODING_TOLD_MAX: usize = 100;

/// A request that can be made at any endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The kind of call, which determines what a code in its answer means.
    pub(crate) call: Call,
    pub(crate) method: Method,
    /// Path and query; names in it are of characters that need no escape.
    pub(crate) path: String,
    pub(crate) body: Bytes,
    /// Whether a second endpoint may be asked while the first one is silent. This is only for calls that leave no
    /// trace and cost a node little.
    pub(crate) hedged: bool,
}

impl Ask {
    /// A read.
    pub(crate) fn read(path: impl Into<String>) -> Self {
        Ask { call: Call::Read, method: Method::GET, path: path.into(), body: Bytes::new(), hedged: true }
    }

    /// A long poll of the feed.
    pub(crate) fn feed(path: impl Into<String>) -> Self {
        Ask { call: Call::Feed, hedged: false, ..Ask::read(path) }
    }

    /// Anything else: asked of one endpoint at a time.
    pub(crate) fn new(call: Call, method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Ask { call, method, path: path.into(), body: body.into(), hedged: false }
    }

    /// A POST of this kind, asked of one endpoint at a time.
    pub(crate) fn post(call: Call, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Ask::new(call, Method::POST, path, body)
    }
}

/// What an endpoint answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) endpoint: Endpoint,
    /// The kind of call that it answers.
    pub(crate) call: Call,
    pub(crate) status: u16,
    /// How long the endpoint asks not to be called, if it says so.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
    /// Why it cannot be read as a whole, if it cannot. What came of it is a deny.
    pub(crate) spoilt: Option<Spoilt>,
}

/// The part of an answer that has come so far.
#[derive(Debug, Default)]
struct Begun {
    status: u16,
    retry_after: Option<Duration>,
    /// Whether its headers say that the body is encoded.
    is_encoded: bool,
    body: Vec<u8>,
}

impl Begun {
    /// Whether the part that has come denies, in answer to an authorize or a permit. The status 403 is enough.
    fn is_deny(&self, call: Call) -> bool {
        matches!(call, Call::Authorize)
            && (self.status == 403 || AnswerShape::of(&self.body).is_deny_if_unread())
    }
}

/// Why an attempt brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing left this machine.
    NotSent(String),
    /// One side refused the other in TLS, or only one of them speaks it, so the node read nothing.
    Tls(TlsFailure),
    /// The node may have read the request and acted on it.
    MaybeSent(String),
    /// An answer came that no node sends. The service that sent it may have passed the request on.
    NotTheApi(String),
}

/// The connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: Client<Connector, Full<Bytes>>,
    credentials: Option<Arc<Credentials>>,
    response_bytes_max: usize,
}

impl Transport {
    pub(crate) fn new(
        connect_timeout: Duration,
        response_bytes_max: usize,
        credentials: Option<Arc<Credentials>>,
    ) -> Self {
        let connector = Connector::new(connect_timeout, credentials.clone());
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Transport { http, credentials, response_bytes_max }
    }

    /// Asks one endpoint, for at most `timeout` and only until `given_up` is done. Dropping the future drops its
    /// connection, and also what has come of the answer. A caller that must know whether a deny has begun ends
    /// `given_up` instead: the attempt then ends at once, with that deny if there is one.
    pub(crate) async fn attempt(
        &self,
        endpoint: &Endpoint,
        ask: &Ask,
        timeout: Duration,
        given_up: impl Future<Output = ()>,
    ) -> Result<Answer, Failure> {
        let uri = uri(endpoint, &ask.path)?;
        let mut begun = Begun::default();
        let exchange = tokio::time::timeout(timeout, self.exchange(uri, ask, &mut begun));
        let done = tokio::select! {
            // What has come by now is read first.
            biased;
            done = exchange => match done {
                Ok(done) => done,
                Err(_) => Err(Failure::MaybeSent(format!("no answer within `{}` ms", timeout.as_millis()))),
            },
            () = given_up => Err(Failure::MaybeSent("another endpoint answered first".to_owned())),
        };
        let spoilt = match (&done, begun.is_encoded) {
            (Ok(()), _) => None,
            (Err(_), true) => Some(Spoilt::Encoded),
            (Err(_), false) => Some(Spoilt::BrokeOff),
        };
        if let Err(failure) = done
            && !begun.is_deny(ask.call)
        {
            return Err(failure);
        }
        let Begun { status, retry_after, is_encoded: _, body } = begun;
        let (endpoint, body) = (endpoint.clone(), Bytes::from(body));
        Ok(Answer { endpoint, call: ask.call, status, retry_after, body, spoilt })
    }

    /// Sends the request, and notes what comes of the answer.
    async fn exchange(&self, uri: Uri, ask: &Ask, begun: &mut Begun) -> Result<(), Failure> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = uri;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        if [Method::POST, Method::PATCH].contains(&ask.method) {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(assent_api::JSON_CONTENT_TYPE));
        }
        if let Some(credentials) = &self.credentials
            && let Some(token) = credentials.token().await
        {
            request.headers_mut().insert(AUTHORIZATION, token.header().clone());
        }
        let is_https = request.uri().scheme() == Some(&Scheme::HTTPS);
        let sent = self.http.request(request).await;
        let response = sent.map_err(|error| self.failure(&error, is_https))?;
        (begun.status, begun.retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let encoding = encoding(response.headers());
        begun.is_encoded = encoding.is_some();
        let mut body = Limited::new(response.into_body(), self.response_bytes_max);
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| Failure::MaybeSent(format!("answer broke off: {}", in_full(&*error))))?;
            if let Some(bytes) = frame.data_ref() {
                begun.body.extend_from_slice(bytes);
            }
        }
        // This comes last, because what was read may be a deny.
        match encoding {
            Some(header) => {
                let what =
                    format!("status {}, with `{header}`, and no node encodes its answers", begun.status);
                Err(Failure::NotTheApi(what))
            }
            None => Ok(()),
        }
    }

    /// Why a request brought no answer.
    fn failure(&self, error: &LegacyError, is_https: bool) -> Failure {
        let cause = error.source();
        if let Some(LinkError::Tls(failure)) = cause.and_then(|cause| cause.downcast_ref::<LinkError>()) {
            return Failure::Tls(failure.clone());
        }
        if let Some(failure) = TlsFailure::refusal_in(error) {
            return Failure::Tls(with_trouble(failure, self.credentials.as_ref()));
        }
        if let Some(failure) = TlsFailure::of_plain(error) {
            return Failure::Tls(failure);
        }
        if error.is_connect() {
            return Failure::NotSent(in_full(error));
        }
        Failure::MaybeSent(unanswered(error, is_https))
    }
}

/// What is told of a request on a connection that was made, if no answer came. In TLS 1.3 a node that refuses this
/// caller's certificate may close the connection before its alert is read.
fn unanswered(error: &(dyn Error + 'static), is_https: bool) -> String {
    let is_closed = in_causes::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled);
    match (is_closed, is_https) {
        (true, false) => "the node closed the connection before it answered".to_owned(),
        (true, true) => {
            "the node closed the connection before it answered; see the node's log: it may refuse this \
                         caller's certificate"
                .to_owned()
        }
        (false, false) => in_full(error),
        (false, true) => {
            let detail = in_full(error);
            format!("{detail}; if this lasts, see the node's log: it may refuse this caller's certificate")
        }
    }
}

/// The header that says that the body is encoded, if one does. The body's bytes then do not mean what they seem to say.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let other_than = |name: HeaderName, known: &str| {
        headers.get_all(&name).iter().find_map(|value| {
            let said = value.to_str().unwrap_or("bytes that are no text");
            let is_other = said.split(',').any(|coding| !coding.trim().eq_ignore_ascii_case(known));
            let told: String = said.chars().take(ENCODING_TOLD_MAX).collect();
            is_other.then(|| format!("{name}: {told}"))
        })
    };
    other_than(CONTENT_ENCODING, "identity").or_else(|| other_than(TRANSFER_ENCODING, "chunked"))
}

/// The value of `Retry-After` in seconds, which is the form that nodes send. A date depends on two wall clocks, so it
/// is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn uri(endpoint: &Endpoint, path: &str) -> Result<Uri, Failure> {
    let wrong = |_| Failure::NotSent(format!("`{path}` is not a path"));
    let path: PathAndQuery = path.parse().map_err(|_| ()).map_err(wrong)?;
    let uri = Uri::builder().scheme(endpoint.scheme().clone()).authority(endpoint.authority().clone());
    let uri = uri.path_and_query(path).build();
    uri.map_err(|_| ()).map_err(wrong)
}

/// An error with its causes: hyper's own texts leave them out.
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::TokioIo;

    #[tokio::test]
    async fn a_connection_that_is_closed_before_the_request_is_told_as_such() {
        let (near, _far) = tokio::io::duplex(64);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
        drop(connection);
        let closed = sender.send_request(Request::new(Full::new(Bytes::new()))).await.unwrap_err();
        let plain = "the node closed the connection before it answered";
        assert_eq!(unanswered(&closed, false), plain);
        let over_tls = unanswered(&closed, true);
        assert!(over_tls.starts_with(plain) && over_tls.contains("see the node's log"), "{over_tls}");
        let other = std::io::Error::other("reset");
        assert!(unanswered(&other, true).starts_with("reset; if this lasts, see the node's log"));
    }
}
