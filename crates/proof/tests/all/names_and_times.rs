//! Names, tokens, digests and times as text.

use assent_proof::*;

#[test]
fn names_are_lower_case_and_bounded_and_only_the_systems_begin_with_an_underscore() {
    let long = "a".repeat(128);
    for good in ["a", "0", "prod.eu", "a-b_c.d", "9..-_", &long] {
        assert_eq!(good.parse::<DomainName>().unwrap().as_str(), good);
        assert_eq!(good.parse::<LineageName>().unwrap().as_str(), good);
    }
    let longer = "a".repeat(129);
    for bad in ["", "A", "prod EU", ".a", "-a", "_a", "_", "é", "a\0", "a\n", "a/b", &longer] {
        assert!(bad.parse::<DomainName>().is_err() && bad.parse::<LineageName>().is_err(), "{bad}");
    }
    assert_eq!("_root".parse::<DomainName>().unwrap(), DomainName::root());
    assert_eq!("_governance".parse::<LineageName>().unwrap(), LineageName::governance());
    assert!(DomainName::root().is_system() && LineageName::governance().is_system());
    assert!("_governance".parse::<DomainName>().is_err() && "_root".parse::<LineageName>().is_err());
    assert!(!"root".parse::<DomainName>().unwrap().is_system());
}

#[test]
fn tokens_are_printable_ascii() {
    for good in ["a", " ", "deploy model/*", "~", &"x".repeat(128)] {
        assert_eq!(good.parse::<Token>().unwrap().as_ref(), good);
    }
    for bad in ["", "\t", "a\n", "\x7f", "é", &"x".repeat(129)] {
        assert!(bad.parse::<Token>().is_err(), "{bad:?}");
    }
}

#[test]
fn ids_and_digests_are_lower_case_hex_of_the_right_length() {
    let id = EvidenceId(blake3_256(b""));
    assert_eq!(id.to_string(), "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    assert_eq!(id.to_string().parse::<EvidenceId>().unwrap(), id);
    assert!(id.to_string().to_uppercase().parse::<EvidenceId>().is_err());
    assert!(format!("blake3:{}", hex::encode_upper(id.0)).parse::<EvidenceId>().is_err());
    assert!(id.to_string()[7..].parse::<EvidenceId>().is_err());
    let digest = Sha256::of(b"");
    assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(digest.to_string().parse::<Sha256>().unwrap(), digest);
    for bad in ["", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"A".repeat(64)] {
        assert!(bad.parse::<Sha256>().is_err());
    }
}

#[test]
fn times_are_exact_and_follow_the_calendar() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1972-02-29T23:59:59Z", 68_255_999),
        ("2000-02-29T00:00:00Z", 951_782_400),
        ("2000-03-01T00:00:00Z", 951_868_800),
        ("2026-11-22T19:00:00Z", 1_795_374_000),
        ("2038-01-19T03:14:08Z", 2_147_483_648),
        ("2100-02-28T00:00:00Z", 4_107_456_000),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] {
        assert_eq!(text.parse::<Seconds>().unwrap(), Seconds(seconds), "{text}");
        assert_eq!(Seconds(seconds).to_string(), text);
    }
    for bad in [
        "",
        "2026-11-22",
        "2026-11-22T19:00:00",
        "2026-11-22t19:00:00z",
        "2026-11-22 19:00:00Z",
        "2026-11-22T19:00:00.0Z",
        "2026-11-22T19:00:00+00:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T19:60:00Z",
        "2026-12-31T23:59:60Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "-026-01-01T00:00:00Z",
        "+026-01-01T00:00:00Z",
        "20260-01-01T00:00:0Z",
        " 2026-11-22T19:00:00Z",
        "２026-11-22T19:00:0Z",
        "2026-1-022T19:00:00Z",
    ] {
        assert!(bad.parse::<Seconds>().is_err(), "{bad}");
    }
}

#[test]
fn every_day_until_the_year_2500_reads_back_and_follows_the_one_before() {
    let mut last = String::new();
    for day in 0..193_600i64 {
        let text = Seconds(day * 86_400 + day % 86_400).to_string();
        assert_eq!(text.parse::<Seconds>().unwrap().0, day * 86_400 + day % 86_400);
        assert!(text[..10] > last[..]);
        last = text[..10].to_owned();
    }
}

#[test]
fn times_that_cannot_be_written_are_shown_but_never_read() {
    for seconds in [i64::MIN, -1, 253_402_300_800, i64::MAX] {
        assert!(Seconds(seconds).to_string().parse::<Seconds>().is_err());
    }
    assert_eq!(Seconds(i64::MAX).to_millis(), Millis(i64::MAX));
    assert_eq!(Seconds(-3).to_millis(), Millis(-3000));
    assert_eq!(Millis(-1).to_seconds(), Seconds(-1));
    assert_eq!(Millis(1999).to_seconds(), Seconds(1));
    assert_eq!(Millis(i64::MIN).since(Millis(1)), i64::MIN);
}
