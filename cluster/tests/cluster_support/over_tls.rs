//! Bytes over TLS to a node, and the bytes that come back, for callers that no HTTP library would imitate.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use assent_client::CertificateFiles;
use assent_tls::{Authorities, OwnCertificate, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;

use super::documented;
use super::raw::SURELY;

/// A caller that trusts the nodes of this CA, and shows this certificate or none.
pub fn connector(ca: &Path, shown: Option<&CertificateFiles>) -> TlsConnector {
    let own = shown.map(|files| OwnCertificate::read(&files.cert, &files.key).unwrap());
    let authorities = Authorities::read(ca, None).unwrap();
    assent_tls::client(own.as_ref(), &authorities, Arc::new(DefaultTimeProvider)).unwrap().into()
}

/// The answer to these bytes. An answer that `docs/protocol.md` does not list fails the test.
pub async fn exchange(connector: &TlsConnector, address: SocketAddr, bytes: &[u8]) -> String {
    let answer = timeout(SURELY, answer_to(connector, address, bytes)).await.expect("it ends");
    let answer = String::from_utf8(answer).unwrap();
    documented::check(bytes, &answer);
    answer
}

/// All that comes back over TLS. It is not read, because that would cost more than the node's work.
pub async fn answer_to(connector: &TlsConnector, address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let Ok(stream) = TcpStream::connect(address).await else { return Vec::new() };
    answer_over(connector, stream, bytes).await
}

/// The same over a connection that is there already.
pub async fn answer_over(connector: &TlsConnector, stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let Ok(mut stream) = connector.connect(name, stream).await else { return answer };
    if stream.write_all(bytes).await.is_ok() {
        // A connection that ends without a goodbye ends the answer too.
        let _ = stream.read_to_end(&mut answer).await;
    }
    answer
}
