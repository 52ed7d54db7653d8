//! What is refused, by whom, and in which words.

use std::io;
use std::sync::Arc;

use assent_tls::{
    Admit, Authorities, CertificateError, OwnCertificate, Side, SpiffeId, client, explain, mutual_client,
    mutual_server,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, date_time_ymd};
use rustls::{AlertDescription, Error};

use crate::ca::{Ca, ID, NOW, at, now, of_ca, right, with_uris};
use crate::handshake::{
    ALPN, everyone, node_client, node_server, refusal, refused_by_client, refused_by_server, shake,
};

/// Both sides refuse `wrong` for the same reason.
fn refused_by_both(ca: &Ca, wrong: &OwnCertificate, trusted: &Arc<Authorities>) -> CertificateError {
    let (good, own_trust) = (ca.issue(&right()), ca.trusted());
    // The side that is refused trusts whoever issued the good certificate, and nothing is wrong with that one.
    let by_server = refused_by_server(wrong, trusted, (&good, &own_trust));
    let by_client = refused_by_client(wrong, trusted, (&good, &own_trust));
    assert_eq!(by_server, by_client);
    by_server
}

fn refused_as_issued(params: &CertificateParams) -> CertificateError {
    let ca = Ca::new("a CA");
    refused_by_both(&ca, &ca.issue(params), &ca.trusted())
}

#[test]
fn a_client_without_a_certificate_is_refused_and_told_that_it_needs_one() {
    let ca = Ca::new("a CA");
    let trusted = ca.trusted();
    let config = client(None, &trusted, now()).unwrap();
    let ends = shake(&config, &node_server(&ca.issue(&right()), &trusted), "localhost");
    assert_eq!(ends.server_error, Some(Error::NoCertificatesPresented));
    assert_eq!(refusal(ends.server_error), CertificateError::None);
    let told = ends.client_error.unwrap();
    assert_eq!(told, Error::AlertReceived(AlertDescription::CertificateRequired));
    let text = explain(&io::Error::new(io::ErrorKind::InvalidData, told));
    assert!(text.contains("asks for a certificate"), "{text}");
}

#[test]
fn a_certificate_of_another_ca_is_refused_whatever_the_other_ca_calls_itself() {
    let (ca, other, namesake) = (Ca::new("a CA"), Ca::new("another CA"), Ca::new("a CA"));
    let error = refused_by_both(&ca, &other.issue(&right()), &ca.trusted());
    let CertificateError::UnknownIssuer { certificate, issuer } = &error else { panic!("{error}") };
    assert!(certificate.contains(ID) && issuer.contains("another CA"), "{error}");

    let error = refused_by_both(&ca, &namesake.issue(&right()), &ca.trusted());
    assert!(matches!(error, CertificateError::WrongSignature { .. }), "{error}");
}

#[test]
fn a_certificate_that_may_sign_others_does_not_speak_for_itself() {
    let ca = Ca::new("a CA");
    let error = refused_by_both(&ca, &ca.own(&ca.pem(), &ca.key_pem()), &ca.trusted());
    assert!(matches!(error, CertificateError::IsAuthority { .. }), "{error}");

    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let mut params = right();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage];
        let error = refused_as_issued(&params);
        assert!(matches!(error, CertificateError::IsAuthority { .. }), "{error}");
    }
}

#[test]
fn a_certificate_whose_time_is_over_or_has_not_begun_is_refused_with_the_time() {
    let mut params = right();
    params.not_after = date_time_ymd(2026, 5, 31);
    let error = refused_as_issued(&params);
    assert!(matches!(error, CertificateError::Expired { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("2026-05-31T00:00:00Z") && text.contains("2026-06-01T00:00:00Z"), "{text}");
    assert!(text.contains(ID) && text.contains("serial number 07"), "{text}");

    let mut params = right();
    params.not_before = date_time_ymd(2026, 6, 2);
    let error = refused_as_issued(&params);
    assert!(matches!(error, CertificateError::NotYetValid { .. }), "{error}");
    assert!(error.to_string().contains("2026-06-02T00:00:00Z"), "{error}");
}

#[test]
fn a_certificate_of_a_ca_whose_own_time_is_over_is_refused() {
    let mut params = of_ca("an old CA");
    params.not_after = date_time_ymd(2026, 5, 20);
    let old = Ca::from_params(params);
    let error = old.trusted().check(old.issue(&right()).chain(), Side::Client, at(NOW)).unwrap_err();
    assert!(matches!(error, CertificateError::Expired { .. }), "{error}");
    assert!(error.to_string().contains("the CA `CN=an old CA`"), "{error}");
}

#[test]
fn a_revoked_certificate_is_refused_and_its_neighbour_is_not() {
    let ca = Ca::new("a CA");
    let trusted = ca.trusted_with(&ca.list(&[6, 7], 7));
    let error = refused_by_both(&ca, &ca.issue(&right()), &trusted);
    assert!(matches!(error, CertificateError::Revoked { .. }), "{error}");
    assert!(error.to_string().contains("serial number 07"), "{error}");

    let mut params = right();
    params.serial_number = Some(8_u64.into());
    let neighbour = ca.issue(&params);
    shake(&node_client(&neighbour, &trusted), &node_server(&neighbour, &trusted), "127.0.0.1").passed();
}

#[test]
fn a_certificate_below_a_revoked_ca_is_refused() {
    let root = Ca::new("a root");
    let mut params = of_ca("a CA below");
    params.serial_number = Some(9_u64.into());
    let below = root.below_with(params);
    let (leaf, key) = below.issue_pem(&right());
    let own = root.own(&format!("{leaf}{}", below.pem()), &key);
    let both = |revoked: &[u64]| format!("{}{}", root.list(revoked, 7), below.list(&[], 7));
    let check = |lists: &str| root.trusted_with(lists).check(own.chain(), Side::Client, at(NOW));
    assert_eq!(check(&both(&[])).unwrap().as_str(), ID);
    let error = check(&both(&[9])).unwrap_err();
    assert!(matches!(error, CertificateError::Revoked { .. }), "{error}");
    assert!(
        error.to_string().contains("CN=a CA below") && error.to_string().contains("CN=a root"),
        "{error}"
    );
    // Each CA of the chain needs a list of its own.
    let other = Ca::new("another root");
    let cas = root.file(&format!("{}{}", root.pem(), other.pem()));
    let lists = root.file(&format!("{}{}", other.list(&[], 7), below.list(&[], 7)));
    let trusted = Authorities::read(&cas, Some(&lists)).unwrap();
    let error = trusted.check(own.chain(), Side::Client, at(NOW)).unwrap_err();
    let CertificateError::UnknownStatus { issuer, .. } = &error else { panic!("{error}") };
    assert_eq!(issuer, "CN=a root");
}

#[test]
fn once_revocation_lists_are_given_a_certificate_that_none_of_them_covers_is_refused() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let cas = ca.file(&format!("{}{}", ca.pem(), other.pem()));
    let trusted = Authorities::read(&cas, Some(&ca.file(&other.list(&[], 7)))).unwrap();
    let error = refused_by_both(&ca, &ca.issue(&right()), &Arc::new(trusted));
    let CertificateError::UnknownStatus { issuer, .. } = &error else { panic!("{error}") };
    assert_eq!(issuer, "CN=a CA");
}

#[test]
fn a_revocation_list_that_expired_or_that_another_key_signed_covers_nothing() {
    let ca = Ca::new("a CA");
    let late = at(NOW + 86_400 * 45);
    let own = ca.issue(&right());
    let error = ca.trusted_with(&ca.list(&[], 7)).check(own.chain(), Side::Server, late).unwrap_err();
    assert!(matches!(error, CertificateError::ListExpired { .. }), "{error}");
    assert!(error.to_string().contains("2026-07-01T00:00:00Z"), "{error}");

    // The list of a CA in the file of CAs that another key signed is refused when the file is read. The file does not have
    // this CA, so only the check of a chain can tell.
    let (below, namesake) = (ca.below_with(of_ca("a CA below")), Ca::new("a CA below"));
    let (leaf, key) = below.issue_pem(&right());
    let own = ca.own(&format!("{leaf}{}", below.pem()), &key);
    let trusted = ca.trusted_with(&format!("{}{}", ca.list(&[], 7), namesake.list(&[], 7)));
    for side in [Side::Server, Side::Client] {
        let error = trusted.check(own.chain(), side, at(NOW)).unwrap_err();
        assert!(matches!(error, CertificateError::ListUnusable { .. }), "{error}");
    }
    let error = refused_by_both(&ca, &own, &trusted);
    assert!(matches!(error, CertificateError::ListUnusable { .. }), "{error}");
}

#[test]
fn a_certificate_has_exactly_one_uri_and_it_is_a_spiffe_id() {
    let error = refused_as_issued(&with_uris(&[]));
    assert!(matches!(error, CertificateError::NoId { .. }), "{error}");

    for uris in [[ID, "spiffe://example.org/other"], [ID, ID], [ID, "https://example.org/"]] {
        let error = refused_as_issued(&with_uris(&uris));
        assert!(matches!(error, CertificateError::ManyIds { count: 2, .. }), "{error}");
    }
    for uri in
        ["https://example.org/slurm/ctl", "spiffe://Example.org/slurm", "spiffe://example.org/slurm/", "x"]
    {
        let error = refused_as_issued(&with_uris(&[uri]));
        assert!(matches!(error, CertificateError::BadId { .. }), "{error}");
    }
}

#[test]
fn a_certificate_is_for_the_side_that_shows_it_and_says_so() {
    let ca = Ca::new("a CA");
    let (good, trusted) = (ca.issue(&right()), ca.trusted());
    let for_only = |usages: Vec<ExtendedKeyUsagePurpose>| {
        let mut params = right();
        params.extended_key_usages = usages;
        ca.issue(&params)
    };
    let of_client = for_only(vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let of_server = for_only(vec![ExtendedKeyUsagePurpose::ServerAuth]);
    shake(&node_client(&of_client, &trusted), &node_server(&of_server, &trusted), "127.0.0.1").passed();

    let error = refused_by_client(&of_client, &trusted, (&good, &trusted));
    assert!(matches!(error, CertificateError::WrongUsage { presented_by: Side::Server, .. }), "{error}");
    let error = refused_by_server(&of_server, &trusted, (&good, &trusted));
    assert!(matches!(error, CertificateError::WrongUsage { presented_by: Side::Client, .. }), "{error}");
    assert!(error.to_string().contains("client authentication"), "{error}");

    let of_nothing = for_only(Vec::new());
    let error = refused_by_client(&of_nothing, &trusted, (&good, &trusted));
    assert!(matches!(error, CertificateError::WrongUsage { presented_by: Side::Server, .. }), "{error}");
    let error = refused_by_server(&of_nothing, &trusted, (&good, &trusted));
    assert!(matches!(error, CertificateError::WrongUsage { presented_by: Side::Client, .. }), "{error}");
}

#[test]
fn an_identity_that_is_not_admitted_is_refused_by_either_side_with_the_reason() {
    let ca = Ca::new("a CA");
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let nobody: Admit = Arc::new(|id: &SpiffeId| Err(format!("`{}` was removed", id.path())));
    let picky = mutual_server(&own, trusted.clone(), nobody.clone(), now(), ALPN).unwrap();
    let ends = shake(&node_client(&own, &trusted), &picky, "127.0.0.1");
    let told = ends.client_error.unwrap();
    assert!(matches!(told, Error::AlertReceived(_)), "{told}");
    let error = refusal(ends.server_error.clone());
    let text = "`spiffe://example.org/slurm/ctl` may not talk here: `/slurm/ctl` was removed";
    assert_eq!(error.to_string(), text);

    // Each side's log says which of the two refused.
    let mine = explain(&io::Error::new(io::ErrorKind::InvalidData, ends.server_error.unwrap()));
    assert_eq!(mine, format!("this side refused the other side's certificate: {text}"));
    let theirs = explain(&io::Error::new(io::ErrorKind::InvalidData, told));
    assert!(theirs.starts_with("the other side refused this side's certificate"), "{theirs}");
    assert_eq!(explain(&io::Error::other("the cable is out")), "the cable is out");

    let picky = mutual_client(&own, trusted.clone(), nobody, now(), ALPN).unwrap();
    let ends = shake(&picky, &node_server(&own, &trusted), "127.0.0.1");
    assert!(matches!(refusal(ends.client_error), CertificateError::NotAdmitted { .. }));
    assert!(ends.server.is_handshaking());
}

#[test]
fn a_client_that_names_another_protocol_is_refused() {
    let ca = Ca::new("a CA");
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let other = mutual_client(&own, trusted.clone(), everyone(), now(), b"another/1").unwrap();
    let ends = shake(&other, &node_server(&own, &trusted), "127.0.0.1");
    assert_eq!(ends.server_error, Some(Error::NoApplicationProtocol));
}

#[test]
fn a_chain_is_not_checked_beyond_its_bound_and_an_empty_one_is_no_certificate() {
    let ca = Ca::new("a CA");
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let chain: Vec<_> = own.chain().iter().cycle().take(9).cloned().collect();
    let error = trusted.check(&chain, Side::Client, at(NOW)).unwrap_err();
    assert_eq!(error, CertificateError::TooManyCertificates { count: 9, max: 8 });
    assert_eq!(trusted.check(&[], Side::Client, at(NOW)), Err(CertificateError::None));
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let ca = Ca::new("a CA");
    let (own, trusted) = (ca.issue(&right()), ca.trusted());
    let der = own.chain()[0].to_vec();
    for bytes in [Vec::new(), vec![0x30], der[..der.len() / 2].to_vec(), [der, vec![0]].concat()] {
        let error = trusted.check(&[bytes.into()], Side::Client, at(NOW)).unwrap_err();
        assert!(matches!(error, CertificateError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn a_name_from_a_certificate_cannot_command_the_terminal_that_shows_it() {
    let (ca, other) = (Ca::new("a CA"), Ca::new(&format!("\u{1b}[2J\u{202e}{}", "x".repeat(5_000))));
    let error = ca.trusted().check(other.issue(&right()).chain(), Side::Client, at(NOW)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ends at") && !text.chars().any(assent_proof::text::is_obeyed), "{text}");
    assert!(text.len() < 1_000, "{text}");
}
