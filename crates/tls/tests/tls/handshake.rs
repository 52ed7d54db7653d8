//! A handshake in memory between two configurations.

use std::sync::Arc;

use assent_tls::{
    Admit, Authorities, CertificateError, ClientConfig, OwnCertificate, ServerConfig, ServerName, SpiffeId,
    certificate_error, mutual_client, mutual_server,
};
use rustls::{ClientConnection, ConnectionCommon, Error, ServerConnection};

use crate::ca::now;

pub(crate) const ALPN: &[u8] = b"assent-test/1";
/// More flights than any handshake has.
const FLIGHTS_MAX: usize = 20;

/// Both ends after the handshake, and the first error of each.
pub(crate) struct Ends {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
    pub(crate) client_error: Option<Error>,
    pub(crate) server_error: Option<Error>,
}

impl Ends {
    /// The ends of a handshake that passed.
    pub(crate) fn passed(self) -> Self {
        assert_eq!((&self.client_error, &self.server_error), (&None, &None));
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        self
    }
}

/// Everything that `from` has to say reaches `to`. Whether there was anything.
fn carry<A, B>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
    error: &mut Option<Error>,
) -> bool {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() && error.is_none() {
        to.read_tls(&mut rest).unwrap();
        *error = to.process_new_packets().err();
    }
    !bytes.is_empty()
}

pub(crate) fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Ends {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let (mut client_error, mut server_error) = (None, None);
    for _ in 0..FLIGHTS_MAX {
        let there = carry(&mut *client, &mut *server, &mut server_error);
        let back = carry(&mut *server, &mut *client, &mut client_error);
        if !there && !back {
            return Ends { client, server, client_error, server_error };
        }
    }
    panic!("the handshake has more than {FLIGHTS_MAX} flights");
}

pub(crate) fn everyone() -> Admit {
    Arc::new(|_: &SpiffeId| Ok(()))
}

pub(crate) fn node_server(own: &OwnCertificate, trusted: &Arc<Authorities>) -> Arc<ServerConfig> {
    mutual_server(own, trusted.clone(), everyone(), now(), ALPN).unwrap()
}

pub(crate) fn node_client(own: &OwnCertificate, trusted: &Arc<Authorities>) -> Arc<ClientConfig> {
    mutual_client(own, trusted.clone(), everyone(), now(), ALPN).unwrap()
}

/// Why the server, which trusts `trusted`, refuses `wrong`. The client finds nothing wrong with the server, and is told.
pub(crate) fn refused_by_server(
    wrong: &OwnCertificate,
    trusted: &Arc<Authorities>,
    right: (&OwnCertificate, &Arc<Authorities>),
) -> CertificateError {
    let ends = shake(&node_client(wrong, right.1), &node_server(right.0, trusted), "127.0.0.1");
    assert!(matches!(ends.client_error, Some(Error::AlertReceived(_))), "{:?}", ends.client_error);
    refusal(ends.server_error)
}

/// Why the client, which trusts `trusted`, refuses `wrong`. The server is told, and never lets anything through.
pub(crate) fn refused_by_client(
    wrong: &OwnCertificate,
    trusted: &Arc<Authorities>,
    right: (&OwnCertificate, &Arc<Authorities>),
) -> CertificateError {
    let ends = shake(&node_client(right.0, trusted), &node_server(wrong, right.1), "127.0.0.1");
    assert!(matches!(ends.server_error, Some(Error::AlertReceived(_))), "{:?}", ends.server_error);
    assert!(ends.server.is_handshaking());
    refusal(ends.client_error)
}

pub(crate) fn refusal(error: Option<Error>) -> CertificateError {
    let error = error.expect("a refusal");
    certificate_error(&error).unwrap_or_else(|| panic!("another error: {error}")).clone()
}
