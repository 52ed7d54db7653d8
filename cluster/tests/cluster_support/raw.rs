//! Bytes to a node's client port, and the bytes that come back, for clients that no HTTP library would imitate. An
//! answer that `docs/protocol.md` does not list fails the test.

use std::net::SocketAddr;
use std::time::Duration;

use assent_api::{PROBLEM_CONTENT_TYPE, Problem};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::documented;

/// Far above anything that an answer needs, for machines that are busy.
pub const SURELY: Duration = Duration::from_secs(20);

/// Sends these bytes, and answers all that comes until the node ends the connection. That it is reset is a failure.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may have been answered, and the connection be closed, before all is sent.
    let _ = stream.write_all(bytes).await;
    let answer = to_the_end(&mut stream).await;
    documented::check(bytes, &answer);
    answer
}

/// A connection from another address of this machine.
pub async fn connect_from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// The answer to these bytes from another address of this machine.
pub async fn exchange_from(source: &str, to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect_from(source, to).await;
    let _ = stream.write_all(bytes).await;
    let answer = to_the_end(&mut stream).await;
    documented::check(bytes, &answer);
    answer
}

/// The same from a client that ends its side of the connection once it has asked.
pub async fn exchange_half_closed(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = to_the_end(&mut stream).await;
    documented::check(bytes, &answer);
    answer
}

/// All that comes until the node ends the connection.
pub async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(SURELY, stream.read_to_end(&mut answer)).await.expect("it ends").expect("it is not reset");
    String::from_utf8(answer).unwrap()
}

/// A connection on which a request was answered, and which is kept.
pub async fn kept(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(still_answers(&mut stream).await);
    stream
}

/// Whether one more request is answered on this connection.
pub async fn still_answers(stream: &mut TcpStream) -> bool {
    let asked = stream.write_all(b"GET /livez HTTP/1.1\r\nhost: node\r\n\r\n").await;
    let mut answer = Vec::new();
    while asked.is_ok() && !answer.ends_with(b"ok\n") {
        match timeout(SURELY, stream.read_buf(&mut answer)).await.expect("it is answered or closed") {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"ok\n")
}

/// A request with a body.
pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: node\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The problem that an answer is, with its head.
pub fn problem(answer: &str) -> (String, Problem) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let head = head.to_lowercase();
    assert!(head.contains(&format!("content-type: {PROBLEM_CONTENT_TYPE}")), "{answer}");
    let problem: Problem = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(head.starts_with(&format!("http/1.1 {} ", problem.status)), "{answer}");
    (head, problem)
}

/// How many client connections hold a place. It takes none to ask.
pub fn connections(node: &Node) -> u64 {
    node.service().status(Caller::local()).process.unwrap().connections
}
