//! Callers that show bearer tokens over TLS, and the certificate of the node that they call.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assent_client::{BearerToken, Client, ClientConfig, ClientTls, TokenSource, Trust};
use assent_cluster::access::{CallerConfig, Role, Token};
use assent_cluster::config::{ClientTlsConfig, Config};
use assent_cluster::node::Node;
use assent_tls::ca::{Ca, CertificateRequest};
use assent_tls::{Authorities, NodeName, ServerName, TrustDomain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;

use super::authority::{DAY_MS, now_ms};
use super::key;

/// A caller of the table, and the token that it shows.
pub fn caller(folder: &Path, name: &str, roles: &[Role], seed: u8) -> (CallerConfig, Token) {
    let token = Token::generate(|bytes| bytes.fill(seed));
    let file = folder.join(format!("{name}.tokens"));
    fs::write(&file, format!("{}\n", token.digest())).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let entry = CallerConfig {
        name: name.to_owned(),
        certificate: None,
        tokens: Some(file),
        roles: roles.to_vec(),
        domains: None,
        jwt: None,
        rate: None,
        burst: None,
    };
    (entry, token)
}

/// A CA of its own in this folder.
pub fn new_ca(folder: &Path) -> Ca {
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    Ca::create(&folder.join("ca"), &trust_domain, now_ms() - 2 * DAY_MS, [99; 16]).unwrap()
}

/// Serves TLS with a certificate of a CA of its own, which is returned.
pub fn serve_tls(config: &mut Config, folder: &Path) -> Ca {
    let mut ca = new_ca(folder);
    serve_tls_by(&mut ca, config, folder);
    ca
}

/// Serves TLS with a certificate of this CA.
pub fn serve_tls_by(ca: &mut Ca, config: &mut Config, folder: &Path) {
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let id = config.node_id;
    let name = NodeName { trust_domain, cluster_id: [7; 32], node_id: id };
    let wanted = CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap();
    let own = ca.issue(&wanted, now_ms() - DAY_MS, [u8::try_from(id).unwrap(); 16]).unwrap();
    let (cert, key) = (folder.join(format!("own-{id}.pem")), folder.join(format!("own-{id}.key")));
    fs::write(&cert, &own.certificate_pem).unwrap();
    fs::write(&key, own.key_pem.as_bytes()).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    config.plain_http = false;
    config.client_tls = Some(ClientTlsConfig { cert, key, ca: None, crl: None });
}

/// The header that shows a token.
pub fn shows(token: &Token) -> String {
    format!("authorization: Bearer {}\r\n", token.expose())
}

pub fn client(node: &Node, ca: &Ca, token: &Token) -> Client {
    let keys = Trust::keys([key(11).public()]).unwrap();
    let mut config = ClientConfig::new([format!("https://{}", node.client_addr())], keys);
    config.tls = Some(ClientTls {
        ca: Some(ca.certificate_path().to_owned()),
        certificate: None,
        token: Some(TokenSource::Value(BearerToken::new(token.expose()).unwrap())),
    });
    config.hedge_after = Some(config.deadline);
    // A handshake may wait while others have their turns, for 2 s each.
    config.connect_timeout = Duration::from_secs(5);
    config.attempt_timeout = config.deadline;
    Client::new(config).unwrap()
}

/// How much of an answer is read at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// A TLS connection that is kept from one call to the next.
pub struct KeptCall {
    stream: TlsStream<TcpStream>,
}

impl KeptCall {
    /// Connects. Nothing if the node does not let it in.
    pub async fn open(connector: &TlsConnector, address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        Some(Self { stream: connector.connect(name, stream).await.ok()? })
    }

    /// Sends these bytes, and waits for no answer.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// What comes next, in one piece. Nothing once the connection has ended, with a goodbye or without.
    pub async fn next_piece(&mut self) -> Option<String> {
        let mut piece: Vec<u8> = Vec::with_capacity(PIECE);
        let read = self.stream.read_buf(&mut piece).await.ok()?;
        (read > 0).then(|| String::from_utf8_lossy(&piece).into_owned())
    }

    /// All that comes until the connection ends, with a goodbye or without.
    pub async fn rest(&mut self) -> String {
        let mut answer = String::new();
        while let Some(piece) = self.next_piece().await {
            answer.push_str(&piece);
        }
        answer
    }

    /// The status and the body of the answer to these bytes. Nothing if the connection ends before, or if the length of the
    /// answer is not said.
    pub async fn ask(&mut self, bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
        const HEAD_END: &[u8] = b"\r\n\r\n";
        self.stream.write_all(bytes).await.ok()?;
        let mut answer: Vec<u8> = Vec::with_capacity(PIECE);
        loop {
            if let Some(at) = answer.windows(HEAD_END.len()).position(|part| part == HEAD_END) {
                let head = String::from_utf8_lossy(&answer[..at]).to_lowercase();
                let status = head.split(' ').nth(1)?.parse().ok()?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
                let mut body = answer.split_off(at + HEAD_END.len());
                let length: usize = length.trim().parse().ok()?;
                while body.len() < length {
                    if self.stream.read_buf(&mut body).await.ok()? == 0 {
                        return None;
                    }
                }
                return Some((status, body));
            }
            if self.stream.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
        }
    }
}
