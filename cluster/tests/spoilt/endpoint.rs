//! An endpoint in front of a node. It takes the node's answer, changes it by a plan, and gives the result to a client.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::case::Plan;
use super::content::Answer;
use super::round::{AUTHORIZE, Round, nonces};
use crate::cluster_support::http::{ask, status};

/// An answer that is sent within so much time comes long before a client gives the attempt up.
const SOON: Duration = Duration::from_millis(500);

/// What an endpoint was asked, and what it told.
#[derive(Clone, Debug)]
pub struct Told {
    pub endpoint: usize,
    /// The nonces of the question.
    pub nonces: Vec<String>,
    pub asked_at: Instant,
    /// When it began to answer.
    pub answered_at: Instant,
    /// When all was sent.
    pub done_at: Option<Instant>,
    pub status: u16,
    /// The body that a client reads, if it reads one to its end.
    pub heard: Option<Vec<u8>>,
    /// What a client reads of the body in any case.
    pub part: Vec<u8>,
    /// Whether every client reads that if all is sent soon.
    pub certain: bool,
    /// The node's answer, before it was spoilt.
    pub real: (u16, Vec<u8>),
}

impl Told {
    /// What the client has surely read of the body.
    pub fn surely_read(&self) -> &[u8] {
        let soon = self.done_at.is_some_and(|done| done - self.asked_at < SOON);
        if self.certain && soon { self.heard.as_deref().unwrap_or(&self.part) } else { b"" }
    }

    /// For people.
    pub fn shown(&self) -> String {
        let text = |body: &[u8]| String::from_utf8_lossy(body).chars().take(3_000).collect::<String>();
        let heard = self.heard.as_deref().map_or_else(|| "nothing to its end".to_owned(), text);
        let (endpoint, status, certain) = (self.endpoint, self.status, self.certain);
        let (real_status, real) = (self.real.0, text(&self.real.1));
        let took = self.done_at.map(|done| done - self.asked_at);
        format!(
            "endpoint {endpoint}, after {took:?}, certain {certain}\n  the node: {real_status} {real}\n  \
             the endpoint: {status} {heard}"
        )
    }
}

pub type AllTold = Arc<Mutex<Vec<Told>>>;

pub struct Endpoint {
    pub url: String,
    accepting: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Place {
    number: usize,
    node: SocketAddr,
    plans: Vec<Plan>,
    round: Arc<Round>,
    told: AllTold,
    asked: AtomicUsize,
}

impl Endpoint {
    pub async fn start(
        number: usize,
        node: SocketAddr,
        plans: Vec<Plan>,
        round: Arc<Round>,
        told: AllTold,
    ) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let place = Arc::new(Place { number, node, plans, round, told, asked: AtomicUsize::new(0) });
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let place = Arc::clone(&place);
                // A client may end the connection at any time.
                tokio::spawn(async move {
                    let _ = place.serve(stream).await;
                });
            }
        });
        Endpoint { url, accepting }
    }
}

impl Place {
    /// Answers one request.
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some((what, question)) = read_request(&mut stream).await? else { return Ok(()) };
        let asked_at = Instant::now();
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let plan = &self.plans[turn % self.plans.len()];
        let Some(real) = self.real(plan, &what, &question).await else { return Ok(()) };
        let told_by_node = (real.status, real.body.clone());
        let message = plan.spoil(real, &self.round.other);
        plan.wire.wait().await;
        let told = Told {
            endpoint: self.number,
            nonces: nonces(&question),
            asked_at,
            answered_at: Instant::now(),
            done_at: None,
            status: message.status,
            heard: message.heard.clone(),
            part: message.part.clone(),
            certain: message.certain,
            real: told_by_node,
        };
        // Before anything is sent: the client may be done before this task goes on.
        let place = {
            let mut all = self.told.lock().unwrap();
            all.push(told);
            all.len() - 1
        };
        plan.wire.send(&mut stream, &message).await?;
        self.told.lock().unwrap()[place].done_at = Some(Instant::now());
        plan.wire.end(stream).await
    }

    /// The node's answer: its fresh one, or the one of before. It may be the answer to an authorize, though a permit was asked for.
    async fn real(&self, plan: &Plan, what: &str, question: &[u8]) -> Option<Answer> {
        if plan.earlier {
            let (status, body) = self.round.earlier(question, plan.as_authorize);
            return Some(Answer {
                status,
                content_type: "application/json".to_owned(),
                retry_after: None,
                body,
            });
        }
        let what = if plan.as_authorize { AUTHORIZE } else { what };
        let answer = ask(self.node, what, question).await?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let header = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        Some(Answer {
            status: status(&answer),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            body: body.as_bytes().to_vec(),
        })
    }
}

/// The method and path of a request, and its body; nothing if the client ends the connection before.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = request(&bytes) {
            return Ok(Some(request));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// The request in these bytes, once all of it is there.
fn request(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    let path = head.split(' ').nth(1)?;
    Some((format!("POST {path}"), body))
}
