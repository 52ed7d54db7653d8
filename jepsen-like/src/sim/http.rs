//! An HTTP client over the simulated network: one request at a time, one connection kept to each node, and a deadline
//! for each request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;
use turmoil::net::TcpStream;

use super::setup::{CLIENT_PORT, node_name};

/// The largest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// How often each node was started again. A connection to an earlier life of a node is dead; a real machine that is up
/// again reports this, and a simulated one does not. Clones are the same count.
#[derive(Debug, Clone, Default)]
pub struct Boots(Rc<RefCell<BTreeMap<u64, u64>>>);

impl Boots {
    /// Counts a start of a node.
    pub fn started(&self, node: u64) {
        let mut boots = self.0.borrow_mut();
        let count = boots.entry(node).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn of(&self, node: u64) -> u64 {
        self.0.borrow().get(&node).copied().unwrap_or(0)
    }
}

/// Connections to nodes.
pub struct Http {
    boots: Boots,
    /// For each node: the life that the connection is to, and the connection.
    connections: BTreeMap<u64, (u64, SendRequest<Full<Bytes>>)>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if it is not JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nothing was sent.
    NotSent,
    /// The node may have read it and acted on it.
    MaybeSent,
}

impl Http {
    /// A client without connections yet.
    pub fn new(boots: Boots) -> Self {
        Self { boots, connections: BTreeMap::new() }
    }

    /// Asks `node`, and waits up to `within` for its answer.
    pub async fn ask(
        &mut self,
        node: u64,
        method: Method,
        path: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        let mut sent = false;
        let asked = timeout(within, self.exchange(node, method, path, body, &mut sent)).await;
        match asked {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(_) => {
                self.connections.remove(&node);
                Err(if sent { NoAnswer::MaybeSent } else { NoAnswer::NotSent })
            }
        }
    }

    async fn exchange(
        &mut self,
        node: u64,
        method: Method,
        path: &str,
        body: Vec<u8>,
        sent: &mut bool,
    ) -> Option<Answer> {
        let boot = self.boots.of(node);
        if self.connections.get(&node).is_none_or(|(of, open)| *of != boot || open.is_closed()) {
            let stream = TcpStream::connect((node_name(node), CLIENT_PORT)).await.ok()?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(async move {
                // A broken connection shows in the request that it carried.
                let _ = connection.await;
            });
            self.connections.insert(node, (boot, sender));
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", node_name(node))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .ok()?;
        let (_, open) = self.connections.get_mut(&node)?;
        open.ready().await.ok()?;
        *sent = true;
        let response = open.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let bytes = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await.ok()?.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Some(Answer { status, body, text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}
