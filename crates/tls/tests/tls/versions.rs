//! Only TLS 1.3, and no session twice.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ServerSessionMemoryCache;
use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection,
};

use crate::ca::{Ca, right};
use crate::handshake::{node_client, node_server, shake};

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let ca = Ca::new("a CA");
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    (node_client(&own, &trusted), node_server(&own, &trusted))
}

/// `body` as a handshake message of the kind `kind`, in one record.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let message: Vec<u8> = [&[kind, 0][..], &length(body.len()), body].concat();
    [&[0x16, 3, 3][..], &length(message.len()), &message].concat()
}

#[test]
fn a_client_that_speaks_only_tls_1_2_is_refused() {
    let (_, server) = configs();
    // TLS 1.2, a random, no session, ECDHE-ECDSA-AES128-GCM, no compression; signature algorithms and groups.
    let extensions: Vec<u8> = [
        &[0_u8, 13, 0, 4, 0, 2, 4, 3][..], // ecdsa_secp256r1_sha256
        &[0, 10, 0, 4, 0, 2, 0, 29],       // x25519
        &[0, 11, 0, 2, 1, 0],              // uncompressed points
    ]
    .concat();
    let head: Vec<u8> = [&[3_u8, 3][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x2b], &[1, 0]].concat();
    let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    let body: Vec<u8> = [head.as_slice(), &length, &extensions].concat();
    let hello = record(1, &body);

    let mut connection = ServerConnection::new(server).unwrap();
    connection.read_tls(&mut hello.as_slice()).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    assert!(matches!(error, Error::PeerIncompatible(_)), "{error}");
    let mut answer = Vec::new();
    connection.write_tls(&mut answer).unwrap();
    // A fatal alert: `protocol_version`.
    assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, 70]);
}

#[test]
fn a_server_that_answers_in_tls_1_2_is_refused() {
    let (client, _) = configs();
    let mut connection = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
    connection.write_tls(&mut Vec::new()).unwrap();
    let body: Vec<u8> = [&[3_u8, 3][..], &[7; 32], &[0], &[0xc0, 0x2b], &[0]].concat();
    let hello = record(2, &body);
    connection.read_tls(&mut hello.as_slice()).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    assert!(matches!(error, Error::PeerIncompatible(_)), "{error}");
}

/// What kind of handshake the second one is between two sides that have already met.
fn second(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Option<HandshakeKind> {
    shake(client, server, "localhost").passed();
    let ends = shake(client, server, "localhost").passed();
    assert_eq!(ends.client.handshake_kind(), ends.server.handshake_kind());
    assert_eq!(ends.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    ends.client.handshake_kind()
}

#[test]
fn no_session_is_resumed_even_if_the_other_side_would() {
    let (client, server) = configs();
    let mut eager_client = (*client).clone();
    eager_client.resumption = Resumption::in_memory_sessions(8);
    let mut eager_server = (*server).clone();
    eager_server.session_storage = ServerSessionMemoryCache::new(8);
    eager_server.ticketer = Ticketer::new().unwrap();
    eager_server.send_tls13_tickets = 2;
    let (eager_client, eager_server) = (Arc::new(eager_client), Arc::new(eager_server));

    assert_eq!(second(&client, &server), Some(HandshakeKind::Full));
    assert_eq!(second(&eager_client, &server), Some(HandshakeKind::Full));
    assert_eq!(second(&client, &eager_server), Some(HandshakeKind::Full));
    // Two sides that both would do resume, so the test above can fail.
    assert_eq!(second(&eager_client, &eager_server), Some(HandshakeKind::Resumed));
}
