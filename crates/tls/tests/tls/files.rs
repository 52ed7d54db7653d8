//! The files: what is read from them, and what is refused and why.

use std::path::Path;

use assent_tls::{Authorities, CertificateError, OwnCertificate, TlsFileError, TlsFileProblem};
use rcgen::date_time_ymd;

use crate::ca::{Ca, ID, of_ca, right, set_mode, with_uris};

fn own_problem(cert: &Path, key: &Path) -> TlsFileError {
    OwnCertificate::read(cert, key).unwrap_err()
}

#[test]
fn a_certificate_tells_who_it_is_for_and_until_when() {
    let ca = Ca::new("a CA");
    let own = ca.issue(&right());
    assert_eq!(own.id().unwrap().as_str(), ID);
    assert_eq!(own.chain().len(), 1);
    // 2026-07-30T00:00:00Z.
    assert_eq!(own.not_after_ms(), 1_785_369_600_000);
    assert!(matches!(ca.issue(&with_uris(&[])).id(), Err(CertificateError::NoId { .. })));
}

#[test]
fn a_chain_lasts_as_long_as_its_shortest_certificate() {
    let ca = Ca::new("a CA");
    let mut params = of_ca("a CA below");
    params.not_after = date_time_ymd(2026, 6, 2);
    let below = ca.below_with(params);
    let (leaf, key) = below.issue_pem(&right());
    let own = ca.own(&format!("{leaf}{}", below.pem()), &key);
    // 2026-06-02T00:00:00Z.
    assert_eq!((own.chain().len(), own.not_after_ms()), (2, 1_780_358_400_000));
}

#[test]
fn a_private_key_that_every_user_may_use_is_refused_and_one_for_a_group_is_not() {
    let ca = Ca::new("a CA");
    let (cert, key) = ca.issue_pem(&right());
    let (cert, key) = (ca.file(&cert), ca.file(&key));
    for mode in [0o604, 0o602, 0o601, 0o644] {
        set_mode(&key, mode);
        let error = own_problem(&cert, &key);
        assert!(matches!(error.problem(), TlsFileProblem::Secret(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("mode is {mode:04o}")), "{text}");
        assert!(text.contains(&format!("chmod 600 {}", key.display())), "{text}");
        assert_eq!(error.path(), key);
    }
    for mode in [0o400, 0o600, 0o640] {
        set_mode(&key, mode);
        OwnCertificate::read(&cert, &key).unwrap();
    }
    // A certificate is public.
    set_mode(&cert, 0o644);
    OwnCertificate::read(&cert, &key).unwrap();
}

#[test]
fn a_key_of_another_certificate_is_refused_so_that_a_reader_in_the_middle_of_a_renewal_reads_again() {
    let ca = Ca::new("a CA");
    let ((cert, _), (_, key)) = (ca.issue_pem(&right()), ca.issue_pem(&right()));
    let (cert, key) = (ca.file(&cert), ca.file(&key));
    let error = own_problem(&cert, &key);
    assert!(matches!(error.problem(), TlsFileProblem::OtherKey { .. }), "{error}");
    assert!(error.to_string().contains(&cert.display().to_string()), "{error}");
}

#[test]
fn files_that_are_missing_empty_too_large_or_something_else_are_refused() {
    let ca = Ca::new("a CA");
    let (cert, key) = ca.issue_pem(&right());
    let (good_cert, good_key) = (ca.file(&cert), ca.file(&key));
    let of_cert = |text: &str| own_problem(&ca.file(text), &good_key);
    let of_key = |text: &str| own_problem(&good_cert, &ca.file(text));

    let missing = own_problem(Path::new("/nowhere/node.pem"), &good_key);
    assert!(matches!(missing.problem(), TlsFileProblem::Io(_)), "{missing}");
    for error in [of_cert(""), of_cert(&key), of_key(""), of_key(&cert)] {
        assert!(matches!(error.problem(), TlsFileProblem::Empty { .. }), "{error}");
    }
    for error in [of_cert(&cert[..cert.len() / 2]), of_key(&key[..key.len() / 2])] {
        assert!(matches!(error.problem(), TlsFileProblem::NotPem { .. }), "{error}");
    }
    let error = of_cert(&format!("{cert}{}", " ".repeat(64 * 1024)));
    assert!(matches!(error.problem(), TlsFileProblem::TooLarge { bytes_max: 65_536 }), "{error}");
    let error = of_key(&format!("{key}{}", " ".repeat(16 * 1024)));
    assert!(matches!(error.problem(), TlsFileProblem::Secret(_)), "{error}");
    assert!(error.to_string().contains("more than 16384 bytes"), "{error}");
    let error = own_problem(&good_cert, Path::new("/dev/null"));
    assert!(error.to_string().contains("it is a device, not a regular file"), "{error}");
    let error = of_key(&format!("{key}{key}"));
    assert!(matches!(error.problem(), TlsFileProblem::ManyKeys { count: 2 }), "{error}");
    let error = of_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert!(matches!(error.problem(), TlsFileProblem::UnusableKey), "{error}");
    let error = of_cert("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(matches!(error.problem(), TlsFileProblem::Unreadable { number: 1, .. }), "{error}");
}

#[test]
fn no_error_and_no_debug_output_has_a_part_of_the_private_key() {
    let ca = Ca::new("a CA");
    let (cert, key) = ca.issue_pem(&right());
    let own = ca.own(&cert, &key);
    let line = key.lines().nth(1).unwrap();
    let broken = key.replace("-----END", "!-----END");
    let texts = [
        format!("{own:?}"),
        format!("{:?}", own_problem(&ca.file(&cert), &ca.file(&broken))),
        own_problem(&ca.file(&cert), &ca.file(&broken)).to_string(),
    ];
    assert!(texts[0].contains(ID), "{}", texts[0]);
    for text in texts {
        assert!(!text.contains(&line[..16]), "{text}");
    }
}

#[test]
fn a_file_of_cas_has_cas_and_nothing_else() {
    let ca = Ca::new("a CA");
    let refused = |text: &str| Authorities::read(&ca.file(text), None).unwrap_err();
    let (leaf, _) = ca.issue_pem(&right());
    let error = refused(&format!("{}{leaf}", ca.pem()));
    assert!(matches!(error.problem(), TlsFileProblem::NoAuthority { number: 2, .. }), "{error}");
    assert!(error.to_string().contains("CN=a subject"), "{error}");
    let error = refused("");
    assert!(matches!(error.problem(), TlsFileProblem::Empty { .. }), "{error}");
    let error = refused(&" ".repeat(4 * 1024 * 1024 + 1));
    assert!(matches!(error.problem(), TlsFileProblem::TooLarge { bytes_max: 4_194_304 }), "{error}");
}

#[test]
fn a_file_of_revocation_lists_has_one_of_each_issuer_and_tells_when_the_first_expires() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let read = |lists: &str| Authorities::read(&ca.file(&ca.pem()), Some(&ca.file(lists)));
    let both = read(&format!("{}{}", ca.list(&[], 8), other.list(&[], 7))).unwrap();
    // 2026-07-01T00:00:00Z.
    assert_eq!(both.next_update_ms(), Some(1_782_864_000_000));
    assert_eq!(ca.trusted().next_update_ms(), None);

    // An old list before a new one would hide what the new one revokes.
    let error = read(&format!("{}{}", ca.list(&[], 7), ca.list(&[7], 8))).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::TwoLists { issuer } if issuer == "CN=a CA"), "{error}");
    for text in ["", ca.pem().as_str()] {
        let error = read(text).unwrap_err();
        assert!(matches!(error.problem(), TlsFileProblem::Empty { .. }), "{error}");
    }
    let error = read("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::Unreadable { number: 1, .. }), "{error}");
}
