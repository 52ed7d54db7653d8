//! The files: what is read from them, and what is refused and why.

use std::path::Path;

use assent_tls::{
    Authorities, CertificateError, OwnCertificate, Side, TlsFileError, TlsFileProblem, stated_id,
};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use crate::ca::{Ca, ID, NOW, at, of_ca, right, set_mode, with_uris};

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
        assert!(text.contains(&format!("(mode {mode:04o})")), "{text}");
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

#[test]
fn an_older_revocation_list_does_not_take_the_place_of_a_newer_one() {
    let ca = Ca::new("a CA");
    let own = ca.issue(&right());
    let (authorities, lists) = (ca.file(&ca.pem()), ca.file(&ca.numbered_list(9, &[7], 8)));
    let first = Authorities::read(&authorities, Some(&lists)).unwrap();
    let again = |text: &str| first.read_again(&authorities, Some(&ca.file(text)));
    // An older list of the same CA, which is signed and still in its time, and does not revoke the certificate yet. And one
    // of the same number, and one whose number has another count of digits.
    for (number, told) in [(8, "number 8, of 2026-05-01"), (9, "number 9, of"), (1, "number 1, of")] {
        let error = again(&ca.numbered_list(number, &[], 8)).unwrap_err();
        let TlsFileProblem::OlderList { issuer, offered, newest } = error.problem() else {
            panic!("{error}")
        };
        assert_eq!(issuer, "CN=a CA");
        assert!(offered.starts_with(told) && newest.starts_with("number 9, of"), "{error}");
        assert!(error.to_string().contains("assent cert crl"), "{error}");
    }
    let error = first.check(own.chain(), Side::Client, at(NOW)).unwrap_err();
    assert!(matches!(error, CertificateError::Revoked { .. }), "{error}");
    // A program that has read nothing yet cannot tell.
    let fresh = ca.trusted_with(&ca.numbered_list(8, &[], 8));
    assert_eq!(fresh.check(own.chain(), Side::Client, at(NOW)).unwrap().as_str(), ID);

    // The same list once more, and a newer one that takes the revocation back: a CA may do that.
    assert!(first.read_again(&authorities, Some(&lists)).unwrap().is_same(&first));
    let newer = again(&ca.numbered_list(10, &[], 8)).unwrap();
    assert_eq!(newer.check(own.chain(), Side::Client, at(NOW)).unwrap().as_str(), ID);
    let error = newer.read_again(&authorities, Some(&lists)).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::OlderList { .. }), "{error}");
}

#[test]
fn a_revocation_list_that_was_left_out_for_a_while_comes_back_no_older() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let authorities = ca.file(&format!("{}{}", ca.pem(), other.pem()));
    let both = |number| format!("{}{}", ca.numbered_list(number, &[], 8), other.list(&[], 8));
    let first = Authorities::read(&authorities, Some(&ca.file(&both(2)))).unwrap();
    let lists = ca.file(&other.numbered_list(2, &[], 8));
    let without = first.read_again(&authorities, Some(&lists)).unwrap();
    let back = |number| {
        let lists = format!("{}{}", ca.numbered_list(number, &[], 8), other.numbered_list(2, &[], 8));
        without.read_again(&authorities, Some(&ca.file(&lists)))
    };
    let error = back(1).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::OlderList { .. }), "{error}");
    // The lists of the other CA are signed anew here, so they have other bytes and must have another number.
    let error = back(3).unwrap_err();
    let TlsFileProblem::OlderList { issuer, .. } = error.problem() else { panic!("{error}") };
    assert_eq!(issuer, "CN=another CA");
    let lists = format!("{}{}", ca.numbered_list(3, &[], 8), other.numbered_list(3, &[], 8));
    without.read_again(&authorities, Some(&ca.file(&lists))).unwrap();
}

#[test]
fn a_ca_that_was_made_anew_under_the_same_name_begins_its_numbers_anew() {
    let (ca, anew) = (Ca::new("a CA"), Ca::new("a CA"));
    let first = ca.trusted_with(&ca.numbered_list(50, &[], 8));
    let (authorities, lists) = (ca.file(&anew.pem()), ca.file(&anew.list(&[], 8)));
    first.read_again(&authorities, Some(&lists)).unwrap();
}

#[test]
fn a_file_of_revocation_lists_without_one_of_a_ca_of_the_file_of_cas_is_refused() {
    let (ca, other, namesake) = (Ca::new("a CA"), Ca::new("another CA"), Ca::new("a CA"));
    for (lists, whose) in [(other.list(&[], 8), "CN=another CA"), (namesake.list(&[], 8), "CN=a CA")] {
        let error = Authorities::read(&ca.file(&ca.pem()), Some(&ca.file(&lists))).unwrap_err();
        let TlsFileProblem::NoListOfAuthority { issuer, .. } = error.problem() else { panic!("{error}") };
        assert_eq!(issuer, whose);
    }
    let both = format!("{}{}", other.list(&[], 8), ca.list(&[], 8));
    Authorities::read(&ca.file(&ca.pem()), Some(&ca.file(&both))).unwrap();
}

#[test]
fn a_chain_is_covered_by_the_cas_that_issued_it_whatever_the_time_and_the_use() {
    let (ca, other, namesake) = (Ca::new("a CA"), Ca::new("another CA"), Ca::new("a CA"));
    let mut params = right();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 2);
    for usage in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        params.extended_key_usages = vec![usage];
        let own = ca.issue(&params);
        ca.trusted_with(&ca.list(&[7], 7)).covers(own.chain()).unwrap();
        let both = ca.file(&format!("{}{}", other.pem(), ca.pem()));
        Authorities::read(&both, None).unwrap().covers(own.chain()).unwrap();
        let error = other.trusted().covers(own.chain()).unwrap_err();
        assert!(matches!(error, CertificateError::UnknownIssuer { .. }), "{error}");
        let error = namesake.trusted().covers(own.chain()).unwrap_err();
        assert!(matches!(error, CertificateError::WrongSignature { .. }), "{error}");
    }
    let below = ca.below_with(of_ca("a CA below"));
    let (leaf, key) = below.issue_pem(&right());
    ca.trusted().covers(ca.own(&format!("{leaf}{}", below.pem()), &key).chain()).unwrap();
    assert!(ca.trusted().covers(ca.own(&leaf, &key).chain()).is_err());
    assert_eq!(ca.trusted().covers(&[]), Err(CertificateError::None));
}

#[test]
fn a_certificate_that_is_expired_or_not_for_servers_is_not_shown_to_clients() {
    let ca = Ca::new("a CA");
    let check = |usages: Vec<ExtendedKeyUsagePurpose>, time| {
        let mut params = right();
        params.extended_key_usages = usages;
        ca.issue(&params).check_for_server(Path::new("tls/cert.pem"), at(time))
    };
    let server = || vec![ExtendedKeyUsagePurpose::ServerAuth];
    check(server(), NOW).unwrap();
    // A certificate that does not say what it is for is taken for everything, as clients do.
    check(Vec::new(), NOW).unwrap();
    let error = check(vec![ExtendedKeyUsagePurpose::ClientAuth], NOW).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::NotForServers), "{error}");
    assert!(error.to_string().contains("tls/cert.pem"), "{error}");
    let error = check(server(), NOW + 86_400 * 60).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::Expired { .. }), "{error}");
    assert!(error.to_string().contains("2026-07-30T00:00:00Z"), "{error}");
}

#[test]
fn the_id_that_a_certificate_states_is_read_from_its_bytes() {
    let ca = Ca::new("a CA");
    let stated = |uris: &[&str]| stated_id(&ca.issue(&with_uris(uris)).chain()[0]);
    assert_eq!(stated(&[ID]).unwrap().as_str(), ID);
    assert!(matches!(stated(&[]), Err(CertificateError::NoId { .. })));
    assert!(matches!(stated(&[ID, ID]), Err(CertificateError::ManyIds { count: 2, .. })));
    assert!(matches!(stated_id(b"nothing"), Err(CertificateError::Unreadable { .. })));
}
