//! What passes, and what both ends then know.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use assent_tls::{Admit, CertificateError, Side, SpiffeId, client, mutual_server, server};
use rustls::{Error, NamedGroup};

use crate::ca::{Ca, ID, NOW, at, now, right, with_uris};
use crate::handshake::{ALPN, node_client, node_server, refusal, shake};

#[test]
fn nodes_with_right_certificates_talk_over_a_hybrid_key_exchange_whatever_the_address() {
    let ca = Ca::new("a CA");
    let trusted = ca.trusted_with(&ca.list(&[1], 7));
    let (one, other) = (ca.issue(&right()), ca.issue(&with_uris(&["spiffe://example.org/other"])));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let admit: Admit = {
        let asked = asked.clone();
        Arc::new(move |id: &SpiffeId| {
            asked.lock().unwrap().push(id.clone());
            Ok(())
        })
    };
    let accepting = mutual_server(&one, trusted.clone(), admit, now(), ALPN).unwrap();
    let mut ends = shake(&node_client(&other, &trusted), &accepting, "not-in-the-certificate.test").passed();
    assert_eq!(*asked.lock().unwrap(), [SpiffeId::parse("spiffe://example.org/other").unwrap()]);
    assert_eq!((ends.client.alpn_protocol(), ends.server.alpn_protocol()), (Some(ALPN), Some(ALPN)));
    // Names of nodes are not told to bystanders.
    assert_eq!(ends.server.server_name(), None);
    let group = ends.server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(
        trusted.check(ends.client.peer_certificates().unwrap(), Side::Server, at(NOW)).unwrap().as_str(),
        ID
    );

    ends.client.writer().write_all(b"hello").unwrap();
    let mut bytes = Vec::new();
    ends.client.write_tls(&mut bytes).unwrap();
    ends.server.read_tls(&mut bytes.as_slice()).unwrap();
    ends.server.process_new_packets().unwrap();
    let mut heard = [0; 5];
    ends.server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}

#[test]
fn a_caller_may_come_without_a_certificate_and_one_that_is_shown_must_be_right() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let port = server(&own, Some(trusted.clone()), now()).unwrap();
    for name in ["localhost", "127.0.0.1"] {
        let ends = shake(&client(None, &trusted, now()).unwrap(), &port, name).passed();
        assert!(ends.server.peer_certificates().is_none());
    }
    let caller = ca.issue(&with_uris(&["spiffe://example.org/caller"]));
    let ends = shake(&client(Some(&caller), &trusted, now()).unwrap(), &port, "localhost").passed();
    let shown = trusted.check(ends.server.peer_certificates().unwrap(), Side::Client, at(NOW)).unwrap();
    assert_eq!(shown.as_str(), "spiffe://example.org/caller");

    let stranger = other.issue(&right());
    let ends = shake(&client(Some(&stranger), &trusted, now()).unwrap(), &port, "localhost");
    assert!(matches!(refusal(ends.server_error), CertificateError::UnknownIssuer { .. }));

    // A port that asks for no certificate sees none.
    let port = server(&own, None, now()).unwrap();
    let ends = shake(&client(Some(&stranger), &trusted, now()).unwrap(), &port, "localhost").passed();
    assert!(ends.server.peer_certificates().is_none());
}

#[test]
fn the_client_port_offers_http_1_1_and_not_http_2() {
    let ca = Ca::new("a CA");
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let port = server(&own, None, now()).unwrap();
    let naming = |names: &[&[u8]]| {
        let mut config = (*client(None, &trusted, now()).unwrap()).clone();
        config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
        shake(&Arc::new(config), &port, "localhost")
    };
    let ends = naming(&[b"h2", b"http/1.1"]).passed();
    assert_eq!(ends.client.alpn_protocol(), Some(&b"http/1.1"[..]));
    let ends = naming(&[b"h2"]);
    assert_eq!(ends.server_error, Some(Error::NoApplicationProtocol));
}

#[test]
fn a_caller_checks_the_name_and_the_ca_of_the_server() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let port = server(&own, None, now()).unwrap();
    for name in ["example.org", "127.0.0.2"] {
        let ends = shake(&client(None, &trusted, now()).unwrap(), &port, name);
        let error = refusal(ends.client_error);
        let CertificateError::WrongName { expected, presented, .. } = &error else { panic!("{error}") };
        assert_eq!(expected, name);
        assert!(presented.contains("localhost"), "{presented}");
        assert!(ends.server_error.is_some());
    }
    let ends = shake(&client(None, &other.trusted(), now()).unwrap(), &port, "localhost");
    assert!(matches!(refusal(ends.client_error), CertificateError::UnknownIssuer { .. }));
    let revoked = ca.trusted_with(&ca.list(&[7], 7));
    let ends = shake(&client(None, &revoked, now()).unwrap(), &port, "localhost");
    assert!(matches!(refusal(ends.client_error), CertificateError::Revoked { .. }));
}

#[test]
fn a_server_of_the_client_port_needs_a_name_and_no_spiffe_id() {
    let ca = Ca::new("a CA");
    let port = server(&ca.issue(&with_uris(&[])), None, now()).unwrap();
    shake(&client(None, &ca.trusted(), now()).unwrap(), &port, "localhost").passed();

    let mut nameless = right();
    nameless.subject_alt_names.clear();
    let port = server(&ca.issue(&nameless), None, now()).unwrap();
    let ends = shake(&client(None, &ca.trusted(), now()).unwrap(), &port, "localhost");
    let error = refusal(ends.client_error);
    assert!(error.to_string().contains("no name or address at all"), "{error}");
}

#[test]
fn what_the_two_sides_know_of_the_time_comes_from_whoever_made_their_configurations() {
    let ca = Ca::new("a CA");
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let late: Arc<dyn assent_tls::TimeProvider> = Arc::new(crate::ca::Stopped(NOW + 86_400 * 365));
    let ends = shake(&client(None, &trusted, late).unwrap(), &node_server(&own, &trusted), "localhost");
    assert!(matches!(refusal(ends.client_error), CertificateError::Expired { .. }));
}
