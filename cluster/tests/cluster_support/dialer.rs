//! A program that dials the peer port of a node with a certificate of its choice.

use std::net::SocketAddr;
use std::sync::Arc;

use assent_cluster::config::PeerTlsConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme};

/// A program that shows a certificate, whatever it says, and speaks the protocol of peers.
pub struct Dialer {
    connector: TlsConnector,
}

/// Believes every certificate of a server.
#[derive(Debug)]
struct Believes;

impl ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Dialer {
    /// One that shows this certificate.
    pub fn new(shown: &PeerTlsConfig) -> Self {
        let chain: Vec<_> = CertificateDer::pem_file_iter(&shown.cert)
            .unwrap()
            .map(|certificate| certificate.unwrap())
            .collect();
        let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
        Self::with(|builder| builder.with_client_auth_cert(chain, key).unwrap(), &[b"assent-peer"])
    }

    /// One that finishes its configuration so, and offers these protocols.
    pub fn with(
        finish: impl FnOnce(ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig,
        alpn: &[&[u8]],
    ) -> Self {
        let provider = default_provider();
        let builder = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believes));
        let mut config = finish(builder);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self { connector: Arc::new(config).into() }
    }

    /// A connection with the node at this address.
    pub async fn connect(&self, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await?;
        self.connector.connect("node.example".try_into().unwrap(), stream).await
    }

    /// Sends these bytes, and returns all that comes until the node ends the connection. The error is the end, if nothing
    /// came before it.
    pub async fn exchange(&self, to: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = self.connect(to).await?;
        // The node may have broken off already.
        let _ = stream.write_all(bytes).await;
        let mut read = Vec::new();
        loop {
            match stream.read_buf(&mut read).await {
                Err(error) if read.is_empty() => return Err(error),
                Ok(0) | Err(_) => return Ok(read),
                Ok(_) => {}
            }
        }
    }
}
