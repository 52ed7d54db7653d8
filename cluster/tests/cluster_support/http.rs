//! Plain HTTP to a node, with one connection for each request. An answer that `docs/protocol.md` does not list fails
//! the test.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::documented;

/// The answer to a request for this path, or nothing if there is none.
pub async fn get(address: SocketAddr, path: &str) -> Option<String> {
    ask(address, &format!("GET {path}"), &[]).await
}

/// The answer to a request of this method and path with this body, or nothing if there is none.
pub async fn ask(address: SocketAddr, what: &str, body: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let length = body.len();
    let head =
        format!("{what} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    documented::check(head.as_bytes(), &answer);
    (!answer.is_empty()).then_some(answer)
}

pub async fn is_200(address: SocketAddr, path: &str) -> bool {
    get(address, path).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
