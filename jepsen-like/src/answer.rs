//! One HTTP answer, as it was received.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::Instant;

/// The largest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// An answer, or the fact that none came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status; none if there was no answer within the deadline.
    pub status: Option<u16>,
    /// The body, or `null` if it is not JSON.
    pub body: Value,
    /// The body's bytes.
    pub bytes: Bytes,
    /// When the request was sent.
    pub invoked: Instant,
    /// When the answer had arrived.
    pub returned: Instant,
}

impl Answer {
    /// Whether this is an allow: status 200 and a body that says so.
    pub fn is_allow(&self) -> bool {
        self.status == Some(200) && self.body.get("decision").and_then(Value::as_str) == Some("allow")
    }

    /// Whether this is a deny: a decision that says so.
    pub fn is_deny(&self) -> bool {
        self.body.get("decision").and_then(Value::as_str) == Some("deny")
    }

    /// The codes of a decision's reasons, or a problem's code.
    pub fn codes(&self) -> Vec<String> {
        let code = |value: &Value| value.get("code").and_then(Value::as_str).map(str::to_owned);
        match self.body.get("reasons").and_then(Value::as_array) {
            Some(reasons) => reasons.iter().filter_map(code).collect(),
            None => code(&self.body).into_iter().collect(),
        }
    }

    /// The time between the request and the answer.
    pub fn took(&self) -> Duration {
        self.returned - self.invoked
    }

    /// A text field of the body.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    /// A number field of the body.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.body.get(field).and_then(Value::as_u64)
    }
}

/// A plain HTTP client. It keeps connections open, and repeats only a request that was never sent.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client }
    }

    /// Sends one request, and returns its answer or, after the deadline, none.
    pub(crate) async fn ask(&self, method: &str, url: &str, body: Bytes, deadline: Duration) -> Answer {
        let invoked = Instant::now();
        let answer = tokio::time::timeout(deadline, self.exchange(method, url, body)).await;
        let returned = Instant::now();
        let (status, bytes) = match answer {
            Ok(Some((status, bytes))) => (Some(status), bytes),
            Ok(None) | Err(_) => (None, Bytes::new()),
        };
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, body, bytes, invoked, returned }
    }

    async fn exchange(&self, method: &str, url: &str, body: Bytes) -> Option<(u16, Bytes)> {
        let request = http::Request::builder().method(method).uri(url).body(Full::new(body)).ok()?;
        let response = self.client.request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await.ok()?;
        Some((status, body.to_bytes()))
    }
}
