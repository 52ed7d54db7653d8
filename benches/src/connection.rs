//! One connection to a node, without a client's library: made from a given address, plain or over TLS, with one GET
//! after the other on it.

use assent_client::ClientTls;
use assent_tls::{Authorities, ClientConfig, OwnCertificate, ServerName, TimeProvider, UnixTime};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Failure;
use crate::machine::wall_clock;

/// How long a connection with its first answer may take, and any later answer.
const WITHIN: Duration = Duration::from_secs(30);

/// The longest answer, in bytes: far more than a page of metrics has.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What ends the head of an answer.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A connection's bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections to one node.
#[derive(Clone)]
pub(crate) struct Opener {
    node: SocketAddr,
    host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// The wall clock, for TLS.
#[derive(Debug)]
struct WallTime;

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = u64::try_from(wall_clock().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since)))
    }
}

impl Opener {
    /// For the node at this URL, whose host is an IP address. With TLS exactly if something is shown.
    pub(crate) fn new(endpoint: &str, tls: Option<&ClientTls>) -> Result<Opener, Failure> {
        let (_, host) = endpoint.split_once("://").ok_or("an endpoint without a scheme")?;
        let node: SocketAddr = host.parse()?;
        let tls = match tls {
            Some(tls) => Some((connector(tls)?, ServerName::try_from(node.ip().to_string())?)),
            None => None,
        };
        Ok(Opener { node, host: host.to_owned(), tls })
    }

    /// What requests name as their host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Makes a connection from this address, and a request on it.
    pub(crate) async fn open(&self, source: SocketAddr) -> Result<Box<dyn Stream>, Failure> {
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(source)?;
            let tcp = socket.connect(self.node).await?;
            tcp.set_nodelay(true)?;
            let stream: Box<dyn Stream> = match &self.tls {
                Some((connector, name)) => Box::new(connector.connect(name.clone(), tcp).await?),
                None => Box::new(tcp),
            };
            Ok::<_, Failure>(stream)
        };
        let mut stream = timeout(WITHIN, connect).await.map_err(|_| "not connected in time")??;
        ask(&mut stream, &self.host).await?;
        Ok(stream)
    }
}

fn connector(tls: &ClientTls) -> Result<TlsConnector, Failure> {
    let ca = tls.ca.as_ref().ok_or("there is no CA")?;
    let own = match &tls.certificate {
        Some(files) => Some(OwnCertificate::read(&files.cert, &files.key)?),
        None => None,
    };
    let config = assent_tls::client(own.as_ref(), &Authorities::read(ca, None)?, Arc::new(WallTime))?;
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Asks whether the node lives, and reads the whole answer, so that the connection is idle afterwards.
pub(crate) async fn ask(stream: &mut Box<dyn Stream>, host: &str) -> Result<(), Failure> {
    get(stream, host, "/livez").await?;
    Ok(())
}

/// Reads what is at this path. Every answer except 200 is an error.
pub(crate) async fn get(stream: &mut Box<dyn Stream>, host: &str, path: &str) -> Result<String, Failure> {
    let exchange = async {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        loop {
            if let Some(body) = whole_body(&answer)? {
                return Ok(body);
            }
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(Failure::from(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")));
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the node closed the connection".into());
            }
        }
    };
    timeout(WITHIN, exchange).await.map_err(|_| "no answer in time")?
}

/// The body of an answer with status 200, once these bytes are all of the answer; none while they may be its beginning.
fn whole_body(answer: &[u8]) -> Result<Option<String>, Failure> {
    let Some(end) = answer.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) else {
        return Ok(None);
    };
    let (head, rest) = answer.split_at(end);
    let body = rest.strip_prefix(HEAD_END).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("the node answered `{}`", head.lines().next().unwrap_or_default()).into());
    }
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    };
    let length = head.lines().find_map(named).ok_or("an answer without `Content-Length`")?;
    Ok(body.get(..length).map(|body| String::from_utf8_lossy(body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_there_and_only_200_is_an_answer() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        assert_eq!(whole_body(whole.as_bytes()).unwrap().as_deref(), Some("ok\n"));
        for end in [0, 10, whole.len() - 1] {
            assert_eq!(whole_body(&whole.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        assert!(whole_body(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(whole_body(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
