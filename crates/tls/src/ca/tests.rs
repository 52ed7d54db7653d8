//! Reads back what the authority made, as a node does it (webpki) and as other programs do (x509-parser).

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rcgen::KeyPair;
use rustls_pki_types::{CertificateRevocationListDer, ServerName, UnixTime};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
};
use x509_parser::extensions::GeneralName;

use super::*;
use crate::{Authorities, Side};

/// 2026-03-01T12:00:00Z, and a part of a second.
const NOW_MS: i64 = 1_772_366_400_123;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The id of a cluster.
const CLUSTER: [u8; 32] = [0xab; 32];

fn domain() -> TrustDomain {
    TrustDomain::parse("prod.example").unwrap()
}

fn made(dir: &Path) -> Ca {
    Ca::create(dir, &domain(), NOW_MS, [1; 16]).unwrap()
}

fn node(node_id: u64) -> CertificateRequest {
    let name = NodeName { trust_domain: domain(), cluster_id: CLUSTER, node_id };
    CertificateRequest::node(&name, &["n1.example".to_owned(), "10.0.0.1".to_owned(), "fd00::1".to_owned()])
        .unwrap()
}

fn caller(text: &str) -> CertificateRequest {
    CertificateRequest::caller(SpiffeId::parse(text).unwrap()).unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// How webpki judges a certificate at a time, by the authority and the list in a folder.
fn judged(dir: &Path, pem: &str, usage: KeyUsage, at_ms: i64) -> Result<(), Error> {
    let authority = der(&read(&dir.join("ca.pem")));
    let anchors = [anchor_from_trusted_cert(&authority).unwrap()];
    let list = CertificateRevocationListDer::from_pem_slice(read(&dir.join("ca.crl")).as_bytes()).unwrap();
    let list = CertRevocationList::from(BorrowedCertRevocationList::from_der(&list).unwrap());
    let lists = [&list];
    let revocation = RevocationOptionsBuilder::new(&lists)
        .unwrap()
        .with_expiration_policy(ExpirationPolicy::Enforce)
        .build();
    let certificate = der(pem);
    let certificate = EndEntityCert::try_from(&certificate).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(at_ms).unwrap()));
    certificate
        .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], at, usage, Some(revocation), None)
        .map(|_| ())
}

/// The names in a certificate, each with its kind.
fn names(pem: &str) -> Vec<String> {
    let der = der(pem);
    let found = parsed(&der).unwrap();
    let names = found.subject_alternative_name().unwrap().unwrap();
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::URI(text) => format!("URI {text}"),
        GeneralName::DNSName(text) => format!("DNS {text}"),
        GeneralName::IPAddress(bytes) => format!("IP {}", hex::encode(bytes)),
        other => format!("{other:?}"),
    };
    names.value.general_names.iter().map(name).collect()
}

/// The number of the list in a folder, and the serial numbers on it.
fn listed(dir: &Path) -> (u64, Vec<Vec<u8>>) {
    let list = CertificateRevocationListDer::from_pem_slice(read(&dir.join("ca.crl")).as_bytes()).unwrap();
    let (_, found) = x509_parser::parse_x509_crl(&list).unwrap();
    let number = found.crl_number().unwrap().to_string().parse().unwrap();
    (number, found.iter_revoked_certificates().map(|one| one.raw_serial().to_vec()).collect())
}

#[test]
fn the_certificate_of_a_node_serves_on_both_sides_and_names_it_and_its_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let new = made(dir.path()).issue(&node(7), NOW_MS, [2; 16]).unwrap();
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        assert_eq!(judged(dir.path(), &new.certificate_pem, usage, NOW_MS), Ok(()));
    }
    let id = format!("spiffe://prod.example/assent/{}/node/7", "ab".repeat(32));
    let ip6 = "fd000000000000000000000000000001";
    assert_eq!(
        names(&new.certificate_pem),
        [format!("URI {id}"), "DNS n1.example".to_owned(), "IP 0a000001".to_owned(), format!("IP {ip6}")]
    );
    assert_eq!(new.certificate.id.as_str(), id);
    let der = der(&new.certificate_pem);
    let certificate = EndEntityCert::try_from(&der).unwrap();
    for (host, is_named) in [("n1.example", true), ("10.0.0.1", true), ("n2.example", false)] {
        let name = ServerName::try_from(host).unwrap();
        assert_eq!(certificate.verify_is_valid_for_subject_name(&name).is_ok(), is_named, "{host}");
    }
    let found = parsed(&der).unwrap();
    assert!(!found.is_ca() && found.basic_constraints().unwrap().is_some());
    assert_eq!(found.raw_serial(), new.certificate.serial.bytes());
    assert_eq!(serial_of_pem(new.certificate_pem.as_bytes()).unwrap(), new.certificate.serial);
    let key = KeyPair::from_pem(&new.key_pem).unwrap();
    assert_eq!(found.public_key().raw, key.subject_public_key_info());
}

#[test]
fn the_certificate_of_a_caller_is_of_no_use_to_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let new = made(dir.path()).issue(&caller("spiffe://prod.example/slurm/ctl"), NOW_MS, [2; 16]).unwrap();
    let pem = &new.certificate_pem;
    assert_eq!(judged(dir.path(), pem, KeyUsage::client_auth(), NOW_MS), Ok(()));
    let as_server = judged(dir.path(), pem, KeyUsage::server_auth(), NOW_MS);
    assert!(matches!(as_server, Err(Error::RequiredEkuNotFoundContext(_))), "{as_server:?}");
    assert_eq!(names(pem), ["URI spiffe://prod.example/slurm/ctl"]);
}

#[test]
fn a_certificate_lasts_ninety_days_and_never_longer_than_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let whole = NOW_MS / 1000 * 1000;
    assert_eq!(ca.not_after_ms(), whole + 3650 * DAY_MS);
    let new = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap().certificate;
    assert_eq!((new.not_before_ms, new.not_after_ms), (whole - 300_000, whole + 90 * DAY_MS));
    let late = ca.not_after_ms() - 10 * DAY_MS;
    assert_eq!(ca.issue(&node(1), late, [3; 16]).unwrap().certificate.not_after_ms, ca.not_after_ms());
    let error = ca.issue(&node(1), ca.not_after_ms(), [4; 16]).unwrap_err();
    assert!(matches!(error, CaError::Expired { .. }), "{error}");
    assert!(error.to_string().contains("2036-02-27T12:00:00Z"), "{error}");
}

#[test]
fn an_expired_certificate_is_refused_and_so_is_one_of_another_authority() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut ca = made(dir.path());
    let new = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let after = NOW_MS + 91 * DAY_MS;
    ca.write_crl(after).unwrap();
    let expired = judged(dir.path(), &new.certificate_pem, KeyUsage::client_auth(), after);
    assert!(matches!(expired, Err(Error::CertExpired { .. })), "{expired:?}");
    Ca::create(other.path(), &domain(), NOW_MS, [9; 16]).unwrap();
    let strange = judged(other.path(), &new.certificate_pem, KeyUsage::client_auth(), NOW_MS);
    assert_eq!(strange, Err(Error::UnknownIssuer));
}

#[test]
fn a_revoked_certificate_is_on_the_list_and_its_number_grows() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    assert_eq!(listed(dir.path()), (1, vec![]));
    let bad = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let good = ca.issue(&node(2), NOW_MS, [3; 16]).unwrap();
    let serial = &bad.certificate.serial;
    let (revoked, crl) = ca.revoke(serial, NOW_MS + 1000).unwrap();
    assert_eq!((revoked.revoked_at_ms, crl.number, crl.revoked), (Some(NOW_MS + 1000), 2, 1));
    assert_eq!(listed(dir.path()), (2, vec![serial.bytes().to_vec()]));
    let judge = |pem: &str| judged(dir.path(), pem, KeyUsage::client_auth(), NOW_MS + 2000);
    assert_eq!(judge(&bad.certificate_pem), Err(Error::CertRevoked));
    assert_eq!(judge(&good.certificate_pem), Ok(()));
    // The first revocation stands, and the list is made anew.
    let (again, crl) = ca.revoke(serial, NOW_MS + DAY_MS).unwrap();
    assert_eq!((again.revoked_at_ms, crl.number), (Some(NOW_MS + 1000), 3));
    let error = ca.renew(serial, NOW_MS, [4; 16]).unwrap_err();
    assert!(matches!(error, CaError::Revoked { .. }), "{error}");
}

#[test]
fn a_list_ends_after_thirty_days_and_is_then_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let new = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let later = NOW_MS + 31 * DAY_MS;
    let judge = || judged(dir.path(), &new.certificate_pem, KeyUsage::client_auth(), later);
    assert!(matches!(judge(), Err(Error::CrlExpired { .. })), "{:?}", judge());
    let crl = ca.write_crl(later).unwrap();
    assert_eq!(crl.next_update_ms, later / 1000 * 1000 + 30 * DAY_MS);
    assert_eq!(judge(), Ok(()));
}

#[test]
fn a_list_forgets_a_revoked_certificate_a_month_after_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let serial = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap().certificate.serial;
    ca.revoke(&serial, NOW_MS).unwrap();
    assert_eq!(ca.write_crl(NOW_MS + 119 * DAY_MS).unwrap().revoked, 1);
    assert_eq!(ca.write_crl(NOW_MS + 121 * DAY_MS).unwrap().revoked, 0);
    assert_eq!(listed(dir.path()).1, Vec::<Vec<u8>>::new());
}

#[test]
fn an_authority_that_is_opened_again_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let first = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let (not_after_ms, before) = (ca.not_after_ms(), ca.certificates().to_vec());
    drop(ca);
    let mut ca = Ca::open(dir.path()).unwrap();
    assert_eq!((ca.not_after_ms(), ca.trust_domain()), (not_after_ms, &domain()));
    assert_eq!(ca.certificates(), before);
    let second = ca.issue(&node(2), NOW_MS, [3; 16]).unwrap();
    ca.revoke(&first.certificate.serial, NOW_MS).unwrap();
    let judge = |pem: &str| judged(dir.path(), pem, KeyUsage::server_auth(), NOW_MS);
    assert_eq!(judge(&second.certificate_pem), Ok(()));
    assert_eq!(judge(&first.certificate_pem), Err(Error::CertRevoked));
}

#[test]
fn a_renewed_certificate_has_the_same_names_and_another_key_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let old = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let new = ca.renew(&old.certificate.serial, NOW_MS + 60 * DAY_MS, [3; 16]).unwrap();
    assert_eq!(names(&new.certificate_pem), names(&old.certificate_pem));
    assert_eq!(new.certificate.usage, Usage::Node);
    assert_ne!(new.certificate.serial, old.certificate.serial);
    assert_ne!(*new.key_pem, *old.key_pem);
    assert_eq!(new.certificate.not_after_ms, NOW_MS / 1000 * 1000 + 150 * DAY_MS);
    // The earlier one is still good: nodes replace it while it is in use.
    let old = judged(dir.path(), &old.certificate_pem, KeyUsage::server_auth(), NOW_MS);
    assert_eq!(old, Ok(()));
    let strange = "00ff".parse().unwrap();
    assert!(matches!(ca.renew(&strange, NOW_MS, [4; 16]), Err(CaError::Unknown(_))));
    assert!(matches!(ca.revoke(&strange, NOW_MS), Err(CaError::Unknown(_))));
}

#[test]
fn no_caller_gets_the_id_of_a_node_and_no_one_an_id_of_another_trust_domain() {
    let node = format!("spiffe://prod.example/assent/{}/node/1", "ab".repeat(32));
    for text in [node.as_str(), "spiffe://prod.example/assent/x", "spiffe://prod.example"] {
        let error = CertificateRequest::caller(SpiffeId::parse(text).unwrap()).unwrap_err();
        assert!(matches!(error, CaError::CallerId { .. }), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let error = ca.issue(&caller("spiffe://test.example/slurm/ctl"), NOW_MS, [2; 16]).unwrap_err();
    assert!(matches!(error, CaError::TrustDomain { .. }), "{error}");
    assert!(error.remedy().contains("spiffe://prod.example/"), "{}", error.remedy());
    assert!(ca.certificates().is_empty());
}

#[test]
fn a_host_is_a_dns_name_or_an_ip_address() {
    let name = NodeName { trust_domain: domain(), cluster_id: CLUSTER, node_id: 1 };
    for host in ["", "n1:7400", "[fd00::1]", "http://n1", "*.example", "a b", "n1..example", "n\u{e4}"] {
        let error = CertificateRequest::node(&name, &[host.to_owned()]).unwrap_err();
        assert!(matches!(error, CaError::Host { .. }), "{host}: {error}");
    }
    let many: Vec<String> = (0..33).map(|number| format!("n{number}.example")).collect();
    for hosts in [&[][..], &many[..]] {
        let error = CertificateRequest::node(&name, hosts).unwrap_err();
        assert!(matches!(error, CaError::HostCount { max: 32, .. }), "{error}");
    }
    CertificateRequest::node(&name, &many[1..]).unwrap();
    // A host that is named twice is in the certificate once.
    let twice = CertificateRequest::node(&name, &["n1".to_owned(), "n1".to_owned()]).unwrap();
    assert_eq!(twice.hosts, ["n1"]);
}

#[test]
fn a_serial_number_is_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let error = ca.issue(&node(2), NOW_MS, [2; 16]).unwrap_err();
    assert!(matches!(error, CaError::SerialTaken(_)), "{error}");
    assert_eq!(ca.certificates().len(), 1);
}

#[test]
fn only_the_owner_may_read_the_key_and_a_key_that_all_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(made(dir.path()));
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ca.key"), 0o600);
    let key = dir.path().join("ca.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = Ca::open(dir.path()).unwrap_err();
    assert!(matches!(error, CaError::Secret(_)), "{error}");
    assert!(error.to_string().contains("(mode 0644)"), "{error}");
    assert!(error.remedy().contains(&format!("chmod 600 {}", key.display())), "{}", error.remedy());
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    Ca::open(dir.path()).unwrap();
}

#[test]
fn an_authority_is_made_once_and_used_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let ca = made(dir.path());
    let error = Ca::open(dir.path()).unwrap_err();
    assert!(matches!(error, CaError::InUse(_)), "{error}");
    drop(ca);
    let before = read(&dir.path().join("ca.key"));
    let error = Ca::create(dir.path(), &domain(), NOW_MS, [2; 16]).unwrap_err();
    assert!(matches!(error, CaError::Exists(_)), "{error}");
    assert_eq!(read(&dir.path().join("ca.key")), before);
}

#[test]
fn a_folder_that_is_no_authority_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let error = Ca::open(dir.path()).unwrap_err();
    assert!(matches!(error, CaError::Io { .. }) && error.to_string().contains("ca.pem"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_damaged_authority_is_refused_and_the_error_names_the_file() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let new = made(dir.path()).issue(&node(1), NOW_MS, [2; 16]).unwrap();
    drop(made(other.path()));
    let record = read(&dir.path().join("issued.json"));
    for (file, text, says) in [
        ("issued.json", "{".to_owned(), "cannot be read"),
        ("issued.json", record.replace("\"version\": 1", "\"version\": 2"), "has the version 2"),
        ("issued.json", record.replace("\"crlNumber\"", "\"crlNo\""), "cannot be read"),
        ("issued.json", record.replace("spiffe://", "http://"), "cannot be read"),
        ("ca.pem", "nothing".to_owned(), "has no certificate"),
        ("ca.pem", new.certificate_pem.clone(), "is not the certificate of an authority"),
        ("ca.pem", read(&other.path().join("ca.pem")), "is not the certificate of the key"),
        ("ca.key", "nothing".to_owned(), "has no private key"),
    ] {
        let path = dir.path().join(file);
        let good = read(&path);
        assert_ne!(text, good);
        fs::write(&path, text).unwrap();
        let error = Ca::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(file), "{error}");
        assert!(!error.contains("PRIVATE KEY"), "{error}");
        fs::write(&path, good).unwrap();
    }
    fs::write(dir.path().join("ca.pem"), "x".repeat(70_000)).unwrap();
    assert!(matches!(Ca::open(dir.path()), Err(CaError::TooLarge { bytes_max: 65_536, .. })));
}

#[test]
fn two_authorities_of_one_trust_domain_differ_in_name() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut names = BTreeSet::new();
    for (dir, random) in dirs.iter().zip([[5; 16], [6; 16]]) {
        Ca::create(dir.path(), &domain(), NOW_MS, random).unwrap();
        let der = der(&read(&dir.path().join("ca.pem")));
        let found = parsed(&der).unwrap();
        let constraints = found.basic_constraints().unwrap().unwrap().value;
        assert!(constraints.ca && constraints.path_len_constraint == Some(0));
        names.insert(found.subject().to_string());
    }
    assert_eq!(names.len(), 2, "{names:?}");
}

/// Fails if an error quotes a line of a key file, in whatever form, that was given for a certificate or was damaged.
#[test]
fn no_error_quotes_a_key_that_has_lost_its_line_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let new = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    drop(ca);
    let key = new.key_pem.trim_end();
    for text in [key.replace('\n', ""), key.replace('\n', "\\n"), key.replace("-----END", "-----FIN")] {
        let line = key.lines().nth(1).unwrap();
        let bytes: Vec<String> = line.bytes().take(12).map(|byte| byte.to_string()).collect();
        let given = serial_of_pem(text.as_bytes()).unwrap_err().to_string();
        fs::write(dir.path().join("ca.key"), &text).unwrap();
        let opened = Ca::open(dir.path()).unwrap_err().to_string();
        for error in [given, opened] {
            assert!(!error.contains(&line[..12]) && !error.contains(&bytes.join(", ")), "{error}");
            assert!(error.contains("cut short"), "{error}");
        }
    }
}

#[test]
fn no_private_key_is_in_what_a_debugger_prints() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let new = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let printed = format!("{new:?} {ca:?}");
    for key in [new.key_pem.as_str(), &read(&dir.path().join("ca.key"))] {
        let body = key.lines().nth(1).unwrap();
        assert!(body.len() > 40 && !printed.contains(body) && !printed.contains("PRIVATE KEY"));
    }
}

#[test]
fn what_it_issues_passes_the_check_of_this_crate_until_it_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let mut ca = made(dir.path());
    let node = ca.issue(&node(1), NOW_MS, [2; 16]).unwrap();
    let caller = ca.issue(&caller("spiffe://prod.example/slurm/ctl"), NOW_MS, [3; 16]).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(NOW_MS).unwrap()));
    let check = |new: &NewCertificate, side: Side| {
        let authorities = Authorities::read(&dir.path().join("ca.pem"), Some(&dir.path().join("ca.crl")));
        authorities.unwrap().check(&[der(&new.certificate_pem)], side, at)
    };
    assert_eq!(check(&node, Side::Client).unwrap(), node.certificate.id);
    assert_eq!(check(&node, Side::Server).unwrap(), node.certificate.id);
    assert_eq!(NodeName::of(&node.certificate.id).unwrap().cluster_id, CLUSTER);
    assert_eq!(check(&caller, Side::Client).unwrap(), caller.certificate.id);
    assert!(check(&caller, Side::Server).is_err());
    ca.revoke(&node.certificate.serial, NOW_MS).unwrap();
    assert!(check(&node, Side::Client).is_err());
    assert!(check(&caller, Side::Client).is_ok());
}
