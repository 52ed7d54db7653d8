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

/// The only problem of a file that was read again.
fn only(problems: &[TlsFileError]) -> &TlsFileProblem {
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].problem()
}

fn is_revoked(authorities: &Authorities, own: &OwnCertificate) -> bool {
    match authorities.check(own.chain(), Side::Client, at(NOW)) {
        Ok(_) => false,
        Err(CertificateError::Revoked { .. }) => true,
        Err(error) => panic!("{error}"),
    }
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
        let read = again(&ca.numbered_list(number, &[], 8));
        let TlsFileProblem::OlderList { issuer, offered, newest } = only(&read.crl) else {
            panic!("{read:?}")
        };
        assert_eq!(issuer, "CN=a CA");
        assert!(offered.starts_with(told) && newest.starts_with("number 9, of"), "{read:?}");
        assert!(read.crl[0].to_string().contains("assent cert crl"), "{read:?}");
        assert!(read.ca.is_empty() && read.authorities.is_same(&first));
        assert!(is_revoked(&read.authorities, &own));
    }
    // A program that has read nothing yet cannot tell.
    let fresh = ca.trusted_with(&ca.numbered_list(8, &[], 8));
    assert!(!is_revoked(&fresh, &own));

    // The same list once more, and a newer one that takes the revocation back: a CA may do that.
    let same = first.read_again(&authorities, Some(&lists));
    assert!(same.crl.is_empty() && same.authorities.is_same(&first));
    let newer = again(&ca.numbered_list(10, &[], 8));
    assert!(newer.crl.is_empty() && !is_revoked(&newer.authorities, &own));
    let read = newer.authorities.read_again(&authorities, Some(&lists));
    assert!(matches!(only(&read.crl), TlsFileProblem::OlderList { .. }), "{read:?}");
    assert!(!is_revoked(&read.authorities, &own));
}

/// Whether a problem is the one that a case is about.
type Told = fn(&TlsFileProblem) -> bool;

/// It fails if one list of a file that cannot be used keeps what the other lists of the file revoke from being known.
#[test]
fn a_list_that_cannot_be_used_keeps_no_other_list_and_no_ca_of_the_files_from_being_used() {
    let (ca, other, third) = (Ca::new("a CA"), Ca::new("another CA"), Ca::new("a third CA"));
    let (own, others) = (ca.issue(&right()), other.issue(&right()));
    let authorities = ca.file(&format!("{}{}", ca.pem(), other.pem()));
    let good = ca.numbered_list(5, &[7], 8);
    let lists = |text: &str| ca.file(&format!("{text}{}", other.numbered_list(3, &[7], 8)));
    let first = format!("{good}{}", other.numbered_list(2, &[], 8));
    let first = Authorities::read(&authorities, Some(&ca.file(&first))).unwrap();
    assert!(is_revoked(&first, &own) && !is_revoked(&first, &others));

    let namesake = Ca::new("a CA");
    let damaged = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let both = format!("{}{good}", ca.numbered_list(4, &[], 8));
    let twice = format!("{}{good}", ca.numbered_list(5, &[7], 9));
    let cases: [(&str, &str, Told); 5] = [
        ("older", &ca.numbered_list(4, &[], 8), |told| matches!(told, TlsFileProblem::OlderList { .. })),
        ("damaged", damaged, |told| matches!(told, TlsFileProblem::Unreadable { number: 1, .. })),
        (
            "not the CA's",
            &namesake.numbered_list(9, &[], 8),
            |told| matches!(told, TlsFileProblem::NotSigned { issuer } if issuer == "CN=a CA"),
        ),
        ("both", &both, |told| {
            matches!(told, TlsFileProblem::OlderList { .. } | TlsFileProblem::TwoLists { .. })
        }),
        ("twice", &twice, |told| {
            matches!(told, TlsFileProblem::OlderList { .. } | TlsFileProblem::TwoLists { .. })
        }),
    ];
    for (what, text, told) in cases {
        let read = first.read_again(&authorities, Some(&lists(text)));
        assert!(
            !read.crl.is_empty() && read.crl.iter().all(|error| told(error.problem())),
            "{what}: {read:?}"
        );
        assert!(is_revoked(&read.authorities, &own), "{what}: the list of before is not used");
        assert!(is_revoked(&read.authorities, &others), "{what}: the other list is not used");
    }
    // A file that has no list at all, and one that is not there: the lists of before, and the CAs of now.
    let (added, thirds) = (ca.file(&format!("{}{}", ca.pem(), third.pem())), third.issue(&right()));
    for lists in [ca.file(""), "/nowhere/lists.pem".into()] {
        let read = first.read_again(&added, Some(&lists));
        assert!(read.ca.is_empty() && read.crl.len() == 1, "{read:?}");
        assert!(is_revoked(&read.authorities, &own));
        let error = read.authorities.check(thirds.chain(), Side::Client, at(NOW)).unwrap_err();
        assert!(matches!(error, CertificateError::UnknownStatus { .. }), "{error}");
        let error = read.authorities.check(others.chain(), Side::Client, at(NOW)).unwrap_err();
        assert!(matches!(error, CertificateError::UnknownIssuer { .. }), "{error}");
    }
}

/// It fails if a CA that is gone from the file is still trusted for what else is wrong with the files.
#[test]
fn a_ca_that_is_gone_from_the_file_is_not_trusted_any_more_whatever_the_lists_are() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let (own, others) = (ca.issue(&right()), other.issue(&right()));
    let (leaf, _) = other.issue_pem(&right());
    let list = ca.file(&ca.list(&[], 8));
    let both = ca.file(&format!("{}{}", ca.pem(), other.pem()));
    let first = Authorities::read(&both, Some(&list)).unwrap();
    assert!(!is_revoked(&first, &own));
    // No list that is left is by a CA that is left, so every certificate is refused.
    let alone = first.read_again(&ca.file(&other.pem()), Some(&list));
    assert!(alone.ca.is_empty(), "{alone:?}");
    assert!(matches!(only(&alone.crl), TlsFileProblem::NoListOfAuthority { .. }), "{alone:?}");
    let error = alone.authorities.check(own.chain(), Side::Client, at(NOW)).unwrap_err();
    assert!(matches!(error, CertificateError::UnknownIssuer { .. }), "{error}");
    let error = alone.authorities.check(others.chain(), Side::Client, at(NOW)).unwrap_err();
    assert!(matches!(error, CertificateError::UnknownStatus { .. }), "{error}");

    // A certificate in the file that is not that of a CA.
    let without = Authorities::read(&both, None).unwrap();
    let read = without.read_again(&ca.file(&format!("{leaf}{}", other.pem())), None);
    assert!(matches!(only(&read.ca), TlsFileProblem::NoAuthority { number: 1, .. }), "{read:?}");
    assert!(read.authorities.check(own.chain(), Side::Client, at(NOW)).is_err());
    read.authorities.check(others.chain(), Side::Client, at(NOW)).unwrap();
    // A file without any CA is a mistake, and changes nothing.
    for text in ["", "no certificate", leaf.as_str()] {
        let read = without.read_again(&ca.file(text), None);
        assert!(read.ca.len() == 1 && read.authorities.is_same(&without), "{text:?}: {read:?}");
    }
}

#[test]
fn a_revocation_list_that_was_left_out_for_a_while_comes_back_no_older() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let own = ca.issue(&right());
    let authorities = ca.file(&format!("{}{}", ca.pem(), other.pem()));
    let others = other.numbered_list(2, &[], 8);
    let both =
        |number, revoked: &[u64]| ca.file(&format!("{}{others}", ca.numbered_list(number, revoked, 8)));
    let first = Authorities::read(&authorities, Some(&both(2, &[7]))).unwrap();
    let without = first.read_again(&authorities, Some(&ca.file(&others)));
    assert!(without.crl.is_empty(), "{without:?}");
    let without = without.authorities;
    let error = without.check(own.chain(), Side::Client, at(NOW)).unwrap_err();
    assert!(matches!(error, CertificateError::UnknownStatus { .. }), "{error}");

    let older = without.read_again(&authorities, Some(&both(1, &[])));
    assert!(matches!(only(&older.crl), TlsFileProblem::OlderList { .. }), "{older:?}");
    assert!(is_revoked(&older.authorities, &own));
    let newer = without.read_again(&authorities, Some(&both(3, &[])));
    assert!(newer.crl.is_empty() && !is_revoked(&newer.authorities, &own), "{newer:?}");
}

/// It fails if an older list follows the newest one that its CA has signed, because it was read while the CA was not trusted.
#[test]
fn an_older_list_does_not_come_back_with_its_ca_while_the_file_of_lists_cannot_be_read() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let own = ca.issue(&right());
    let both = ca.file(&format!("{}{}", ca.pem(), other.pem()));
    let others = other.list(&[], 8);
    let first = ca.file(&format!("{}{others}", ca.numbered_list(5, &[7], 8)));
    let first = Authorities::read(&both, Some(&first)).unwrap();
    assert!(is_revoked(&first, &own));
    // The list of the CA goes, then the CA, and an older list of it comes.
    let without = first.read_again(&both, Some(&ca.file(&others))).authorities;
    let older = ca.file(&format!("{}{others}", ca.numbered_list(2, &[], 8)));
    let away = without.read_again(&ca.file(&other.pem()), Some(&older)).authorities;
    // The CA comes back at a time when the file of lists is not there.
    let back = away.read_again(&both, Some(Path::new("/nowhere/lists.pem"))).authorities;
    assert!(is_revoked(&back, &own));
    let read = back.read_again(&both, Some(&older));
    assert!(matches!(only(&read.crl), TlsFileProblem::OlderList { .. }), "{read:?}");
    assert!(is_revoked(&read.authorities, &own));
}

/// It fails if a list that only has the name of a CA takes the place of one that the CA has signed, because it was read before.
#[test]
fn a_list_that_its_ca_has_not_signed_takes_no_signed_ones_place_even_if_it_was_read_first() {
    let (ca, other, namesake) = (Ca::new("a CA"), Ca::new("another CA"), Ca::new("a CA"));
    let own = ca.issue(&right());
    let both = ca.file(&format!("{}{}", ca.pem(), other.pem()));
    let others = other.list(&[], 8);
    let forged = ca.file(&format!("{}{others}", namesake.numbered_list(9, &[], 8)));
    let first = Authorities::read(&both, Some(&forged)).unwrap();
    let error = first.check(own.chain(), Side::Client, at(NOW)).unwrap_err();
    assert!(matches!(error, CertificateError::ListUnusable { .. }), "{error}");
    let signed = ca.file(&format!("{}{others}", ca.numbered_list(1, &[7], 8)));
    let signed = first.read_again(&both, Some(&signed));
    assert!(signed.crl.is_empty() && is_revoked(&signed.authorities, &own), "{signed:?}");
    let read = signed.authorities.read_again(&both, Some(&forged));
    assert!(matches!(only(&read.crl), TlsFileProblem::NotSigned { .. }), "{read:?}");
    assert!(is_revoked(&read.authorities, &own));
}

#[test]
fn a_ca_that_was_made_anew_under_the_same_name_begins_its_numbers_anew() {
    let (ca, anew) = (Ca::new("a CA"), Ca::new("a CA"));
    let first = ca.trusted_with(&ca.numbered_list(50, &[], 8));
    let (authorities, lists) = (ca.file(&anew.pem()), ca.file(&anew.list(&[7], 8)));
    let read = first.read_again(&authorities, Some(&lists));
    assert!(read.ca.is_empty() && read.crl.is_empty(), "{read:?}");
    assert!(is_revoked(&read.authorities, &anew.issue(&right())));
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
fn a_certificate_that_is_not_for_servers_is_not_shown_to_clients() {
    let ca = Ca::new("a CA");
    let check = |usages: Vec<ExtendedKeyUsagePurpose>| {
        let mut params = right();
        params.extended_key_usages = usages;
        ca.issue(&params).check_for_server(Path::new("tls/cert.pem"))
    };
    check(vec![ExtendedKeyUsagePurpose::ServerAuth]).unwrap();
    // A certificate that does not say what it is for is taken for everything, as clients do.
    check(Vec::new()).unwrap();
    let error = check(vec![ExtendedKeyUsagePurpose::ClientAuth]).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::NotForServers), "{error}");
    assert!(error.to_string().contains("tls/cert.pem"), "{error}");
}

#[test]
fn a_certificate_out_of_its_time_takes_no_ones_place_unless_it_ends_later() {
    let (ca, file) = (Ca::new("a CA"), Path::new("tls/cert.pem"));
    let mut params = right();
    let own = ca.issue(&params);
    params.not_after = date_time_ymd(2026, 8, 30);
    let later = ca.issue(&params);
    own.check_time(file, at(NOW)).unwrap();
    later.may_follow(&own, file, at(NOW)).unwrap();
    own.may_follow(&later, file, at(NOW)).unwrap();
    let error = own.check_time(file, at(NOW + 86_400 * 60)).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::Expired { .. }), "{error}");
    assert!(error.to_string().contains("2026-07-30T00:00:00Z"), "{error}");
    let error = own.may_follow(&later, file, at(NOW + 86_400 * 60)).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::Expired { .. }), "{error}");
    // By this clock both have expired.
    let all_over = at(NOW + 86_400 * 200);
    assert!(later.check_time(file, all_over).is_err());
    later.may_follow(&own, file, all_over).unwrap();
    assert!(own.may_follow(&later, file, all_over).is_err());
    let error = later.may_follow(&own, file, at(NOW - 86_400 * 60)).unwrap_err();
    assert!(matches!(error.problem(), TlsFileProblem::NotYetValid { .. }), "{error}");
    assert!(error.to_string().contains("2026-05-01T00:00:00Z"), "{error}");
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
