//! Statuses that no use case answers with: a path, a method, a head or a body that is refused before.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod cluster_support;

use std::net::SocketAddr;

use cluster_support::http::{ask, get, status};
use cluster_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is answered to these bytes, until the connection ends.
async fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The node may close the connection before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_cannot_be_taken_gets_the_status_that_the_protocols_page_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.deadlines.http_body_ms = 200;
    let node = start(&config).await;
    let address = node.client_addr();
    let nothing = get(address, "/v1/nothing").await.unwrap();
    assert!(status(&nothing) == 404 && nothing.contains(r#""code":"target_unknown""#), "{nothing}");
    let method = ask(address, "DELETE /v1/envelopes", &[]).await.unwrap();
    assert!(status(&method) == 405 && method.contains(r#""code":"malformed""#), "{method}");
    assert!(method.to_lowercase().contains("\r\nallow: post\r\n"), "{method}");
    let large = ask(address, "POST /v1/authorize", &vec![b' '; 16 * 1024 + 2]).await.unwrap();
    assert!(status(&large) == 413 && large.contains(r#""code":"too_large""#), "{large}");
    // Its body never comes.
    let head = "POST /v1/authorize HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: 9\r\n\r\n";
    let late = answer(address, head.as_bytes()).await;
    assert!(status(&late) == 408 && late.contains(r#""code":"deadline_exceeded""#), "{late}");
    let fields = "x: y\r\n".repeat(101);
    let many = answer(address, format!("GET /livez HTTP/1.1\r\n{fields}\r\n").as_bytes()).await;
    assert_eq!(status(&many), 431, "{many}");
    assert_eq!(status(&answer(address, b"nonsense\r\n\r\n").await), 400);
    node.shutdown().await;
}
