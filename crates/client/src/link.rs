//! One connection to an endpoint: plain, or TLS over it.
//!
//! The client has a connector of its own, over hyper's connector for TCP. `hyper-rustls` takes its certificates when it
//! is made, while this client reads them again when they have changed; it sets no limit to the time of a handshake; and
//! the load generator, which has no pool of connections, needs the same handshake.

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use assent_tls::ServerName;

use crate::credentials::Credentials;
use crate::endpoint::{Endpoint, is_loopback};
use crate::tls_failure::{Refusing, SpeaksTls, TlsFailure};

/// A connection.
#[derive(Debug)]
pub(crate) enum Link {
    /// Plain TCP.
    Plain(Plain),
    /// TLS, after its handshake. It is boxed because it is much larger.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A plain connection. It fails if the first byte that comes is that of an alert of TLS. A port that speaks TLS answers
/// plain HTTP with an alert, and an answer of HTTP begins with a letter.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
    has_begun: bool,
}

/// The first byte of a TLS record that is an alert (RFC 8446, section 5.1).
const ALERT: u8 = 21;

impl Plain {
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let first = into.filled().get(before).copied();
        let is_first = first.is_some() && !std::mem::replace(&mut self.has_begun, true);
        if is_first && first == Some(ALERT) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)));
        }
        Poll::Ready(Ok(()))
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The endpoint was not reached.
    Unreached(Box<dyn Error + Send + Sync>),
    /// The endpoint was reached, and one of the two sides refused the other, or the connection must not be used.
    Tls(TlsFailure),
}

impl LinkError {
    fn unreached(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        LinkError::Unreached(error.into())
    }
}

impl Display for LinkError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Unreached(error) => Display::fmt(error, f),
            LinkError::Tls(failure) => f.write_str(&failure.detail),
        }
    }
}

impl Error for LinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LinkError::Unreached(error) => error.source(),
            LinkError::Tls(_) => None,
        }
    }
}

/// Makes the connections of the pool.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    credentials: Option<Arc<Credentials>>,
    handshake_within: Duration,
}

impl Connector {
    /// Connects within `timeout`, and has the same time again for a TLS handshake.
    pub(crate) fn new(timeout: Duration, credentials: Option<Arc<Credentials>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        // It refuses `https` otherwise.
        tcp.enforce_http(false);
        Connector { tcp, credentials, handshake_within: timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = LinkError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, LinkError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.tcp.poll_ready(context).map_err(LinkError::unreached)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let endpoint = Endpoint::of(&uri);
        let connecting = self.tcp.call(uri);
        let (credentials, within) = (self.credentials.clone(), self.handshake_within);
        Box::pin(async move {
            let endpoint = endpoint.ok_or_else(|| LinkError::unreached("the URL names no endpoint"))?;
            let tcp = connecting.await.map_err(LinkError::unreached)?.into_inner();
            secure(tcp, &endpoint, credentials.as_ref(), within).await.map(TokioIo::new)
        })
    }
}

/// Makes a connection over this TCP connection to the endpoint: with a TLS handshake, which may take `within`, or
/// without one for plain HTTP.
pub(crate) async fn secure(
    tcp: TcpStream,
    endpoint: &Endpoint,
    credentials: Option<&Arc<Credentials>>,
    within: Duration,
) -> Result<Link, LinkError> {
    let failed = |detail: String, remedy: &str| {
        Err(LinkError::Tls(TlsFailure::new(Refusing::Neither, detail, remedy)))
    };
    if !endpoint.is_https() {
        let stays_here = tcp.peer_addr().is_ok_and(|address| is_loopback(address.ip()));
        if credentials.is_some() && !stays_here {
            return failed(
                format!("`http://{endpoint}` leads to another machine, and is plain HTTP"),
                "write `https://`; a token or a certificate is not meant for plain HTTP to another machine",
            );
        }
        return Ok(Link::Plain(Plain { stream: tcp, has_begun: false }));
    }
    let held = match credentials {
        Some(credentials) => Some(credentials.for_connection().await),
        None => None,
    };
    let Some(config) = held.as_ref().and_then(|held| held.tls.clone()) else {
        return failed("no CA is given by which to know the node".to_owned(), "give the file of the CA");
    };
    let Ok(name) = ServerName::try_from(endpoint.host().to_owned()) else {
        return failed(
            format!("`{}` is no name that a certificate can have", endpoint.host()),
            "write the endpoint with a DNS name or an IP address",
        );
    };
    match timeout(within, TlsConnector::from(config).connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(Link::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(match TlsFailure::in_causes(&error) {
            Some(failure) => LinkError::Tls(with_trouble(failure, credentials)),
            None => LinkError::unreached(format!("the TLS handshake broke off: {error}")),
        }),
        Err(_) => Err(LinkError::unreached(format!("no TLS handshake within `{}` ms", within.as_millis()))),
    }
}

/// The failure, with the reason why newer files of this side are not in use.
pub(crate) fn with_trouble(failure: TlsFailure, credentials: Option<&Arc<Credentials>>) -> TlsFailure {
    match credentials.and_then(|credentials| credentials.trouble()) {
        Some(trouble) => {
            let detail =
                format!("{}; files of this side changed and cannot be used: {trouble}", failure.detail);
            TlsFailure { detail, ..failure }
        }
        None => failure,
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(plain) => plain.poll_read(context, into),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Link::Plain(plain) => Pin::new(&mut plain.stream).poll_write(context, bytes),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Link::Plain(plain) => Pin::new(&mut plain.stream).poll_write_vectored(context, parts),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Link::Plain(plain) => plain.stream.is_write_vectored(),
            Link::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(plain) => Pin::new(&mut plain.stream).poll_flush(context),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(plain) => Pin::new(&mut plain.stream).poll_shutdown(context),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
