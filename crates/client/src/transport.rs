//! One attempt at one endpoint: pooled HTTP/1.1 connections, a time limit, a bounded answer.
//!
//! It says whether a failed attempt can have reached the node, which decides whether a submission's outcome is unknown.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked, of whichever endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Path and query; names in it are of characters that need no escape.
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Ask { method: Method::GET, path: path.into(), body: Bytes::new() }
    }

    pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Self {
        Ask { method: Method::POST, path: path.to_owned(), body: body.into() }
    }
}

/// What an endpoint answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) endpoint: Authority,
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why an attempt brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing left this machine.
    NotSent(String),
    /// The node may have read and acted on it.
    MaybeSent(String),
}

impl Failure {
    pub(crate) fn detail(&self) -> &str {
        match self {
            Failure::NotSent(detail) | Failure::MaybeSent(detail) => detail,
        }
    }
}

/// The connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: Client<HttpConnector, Full<Bytes>>,
    response_bytes_max: usize,
}

impl Transport {
    pub(crate) fn new(connect_timeout: Duration, response_bytes_max: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Transport { http, response_bytes_max }
    }

    /// Asks one endpoint. Dropping the future drops its connection.
    pub(crate) async fn attempt(
        &self,
        endpoint: &Authority,
        ask: &Ask,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let uri = uri(endpoint, &ask.path)?;
        match tokio::time::timeout(timeout, self.exchange(endpoint, uri, ask)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::MaybeSent(format!("no answer within `{}` ms", timeout.as_millis()))),
        }
    }

    async fn exchange(&self, endpoint: &Authority, uri: Uri, ask: &Ask) -> Result<Answer, Failure> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = uri;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        if [Method::POST, Method::PATCH].contains(&ask.method) {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(assent_api::JSON_CONTENT_TYPE));
        }
        let response = self.http.request(request).await.map_err(|error| {
            let detail = in_full(&error);
            if error.is_connect() { Failure::NotSent(detail) } else { Failure::MaybeSent(detail) }
        })?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), self.response_bytes_max).collect().await;
        let body =
            body.map_err(|error| Failure::MaybeSent(format!("answer broke off: {}", in_full(&*error))))?;
        Ok(Answer { endpoint: endpoint.clone(), status, body: body.to_bytes() })
    }
}

fn uri(endpoint: &Authority, path: &str) -> Result<Uri, Failure> {
    let wrong = |_| Failure::NotSent(format!("`{path}` is not a path"));
    let path: PathAndQuery = path.parse().map_err(|_| ()).map_err(wrong)?;
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(endpoint.clone()).path_and_query(path).build();
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
