//! Fields of envelopes, statements and claims at their bounds, and the allowed numbers of signatures.

use assent_proof::*;

use super::build::{
    ISSUED_AT, NO_CLAIMS, ORIGIN, SIGNATURE_INVALID, SUBJECT, altered, array, enclosed, id, payload,
    payload_by, public, signature, signed, texts, to_read, to_verify, unsigned, with,
};
use super::forge::{Forger, filled};
use super::{Case, Input, Stage};
use crate::keys::LOW_ORDER;
use crate::make::key;

const ACCEPTED: &str = "accepted";

/// The claims of a runtime attestation.
const CLAIMS: &str = r#"{"verifier":"v","status":"affirming","measurement":"00ff"}"#;

/// The statement with one piece replaced; a verdict that is a field alone stands for `malformed` there.
fn statement(name: &str, from: &str, to: &str, expect: &str) -> Case {
    let (name, payload) = (format!("statement/{name}"), altered(from, to));
    if expect == ACCEPTED {
        to_verify(name, signed(&payload), expect)
    } else if ["predicate", "subject", "_type"].iter().any(|field| expect.starts_with(field)) {
        to_verify(name, unsigned(&payload), format!("malformed at {expect}"))
    } else {
        to_verify(name, unsigned(&payload), expect)
    }
}

/// What is unknown, `null` or of another type, in an envelope.
fn envelopes() -> Vec<Case> {
    // If one of the bad ones were read, the statement would lack its fields.
    let (good, bad) = (signed(&payload()), enclosed(b"{}", &[b""]));
    let envelope = |expect: &str| if expect == ACCEPTED { &good } else { &bad };
    let long = format!("\"{}\"", "k".repeat(1000));
    let (another, own) = (format!("\"{}\"", key(2).public().keyid()), format!("\"{}\"", public(1)));
    let at = "malformed at signatures[0].keyid";
    let mut cases = Vec::new();
    for (name, value, expect) in [
        ("null", "null", ACCEPTED),
        ("empty", "\"\"", ACCEPTED),
        ("long", long.as_str(), ACCEPTED),
        ("escapes", "\"\\u0000\\ud83d\\ude00\"", ACCEPTED),
        ("another-key", another.as_str(), ACCEPTED),
        ("own-key", own.as_str(), ACCEPTED),
        ("integer", "1", at),
        ("boolean", "false", at),
        ("array", "[]", at),
        ("object", "{}", at),
    ] {
        let to = format!("{{\"keyid\":{value},\"sig\":");
        cases.push(to_verify(format!("keyid/{name}"), with(envelope(expect), "{\"sig\":", to), expect));
    }
    for (name, from, to, expect) in [
        ("unknown", "{\"payload\":", "{\"x\":{\"y\":[1]},\"payload\":", ACCEPTED),
        ("unknown-empty-key", "{\"payload\":", "{\"\":1,\"payload\":", ACCEPTED),
        ("unknown-in-a-signature", "{\"sig\":", "{\"cert\":\"\",\"sig\":", ACCEPTED),
        ("unknown-bad-number", "{\"payload\":", "{\"x\":1.5,\"payload\":", "malformed"),
        ("unknown-bad-surrogate", "{\"payload\":", "{\"x\":\"\\ud800\",\"payload\":", "malformed"),
        ("payload-null", "{\"payload\":", "{\"payload\":null,\"x\":", "malformed at payload"),
        ("payload-array", "{\"payload\":", "{\"payload\":[],\"x\":", "malformed at payload"),
        ("type-null", "\"payloadType\":", "\"payloadType\":null,\"x\":", "malformed at payloadType"),
        ("type-missing", "\"payloadType\":", "\"x\":", "malformed at payloadType"),
        ("signatures-null", "\"signatures\":", "\"signatures\":null,\"x\":", "malformed at signatures"),
        ("signatures-missing", "\"signatures\":", "\"x\":", "malformed at signatures"),
        ("signatures-object", "\"signatures\":", "\"signatures\":{},\"x\":", "malformed at signatures"),
        ("signature-null", "[{\"sig\":", "[null,{\"sig\":", "malformed at signatures[0]"),
        ("signature-text", "[{\"sig\":", "[\"\",{\"sig\":", "malformed at signatures[0]"),
        ("signature-array", "[{\"sig\":", "[[\"\",\"\"],{\"sig\":", "malformed at signatures[0]"),
        ("signature-empty-object", "[{\"sig\":", "[{},{\"sig\":", "malformed at signatures[0].sig"),
        ("sig-null", "{\"sig\":", "{\"sig\":null,\"x\":", "malformed at signatures[0].sig"),
    ] {
        cases.push(to_verify(format!("envelope/{name}"), with(envelope(expect), from, to), expect));
    }
    cases
}

/// Payload types; each envelope is signed for the type that it has.
fn payload_types() -> Vec<Case> {
    let full = payload();
    let case = |name: &str, written: &str, read: &str, expect: &str| {
        // If one of the bad ones were read, the statement would lack its fields.
        let payload = if expect.starts_with("malformed") { &b"{}"[..] } else { &full[..] };
        let bytes = enclosed(payload, &[key(1).sign(&pae(read, payload))]);
        let written = format!("\"payloadType\":\"{written}\"");
        let given = format!("\"payloadType\":\"{STATEMENT_PAYLOAD_TYPE}\"");
        to_verify(format!("payload-type/{name}"), with(&bytes, &given, written), expect)
    };
    let other = |name: &str, text: &str| case(name, text, text, "malformed at payloadType");
    let exact = STATEMENT_PAYLOAD_TYPE;
    vec![
        case("slash-escaped", &exact.replace('/', "\\/"), exact, ACCEPTED),
        case("letter-escaped", &exact.replace('v', "\\u0076"), exact, ACCEPTED),
        other("empty", ""),
        other("upper-case", "Application/vnd.in-toto+json"),
        other("space-at-the-end", "application/vnd.in-toto+json "),
        other("space-at-the-start", " application/vnd.in-toto+json"),
        other("parameter", "application/vnd.in-toto+json;charset=utf-8"),
        other("uri", "http://application/vnd.in-toto+json"),
        other("json", "application/json"),
        other("decisions", DECISIONS_PAYLOAD_TYPE),
        case(
            "look-alike",
            "аpplication/vnd.in-toto+json",
            "аpplication/vnd.in-toto+json",
            "malformed at payloadType",
        ),
        case("nul-at-the-end", &format!("{exact}\\u0000"), &format!("{exact}\0"), "malformed at payloadType"),
        case("signed-for-another", exact, "application/json", SIGNATURE_INVALID),
    ]
}

fn times() -> Vec<Case> {
    let good = [
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2028-02-29T00:00:00Z",
        "2000-02-29T00:00:00Z",
        "2026-11-22T19:00:0\\u0030Z",
    ];
    let bad = [
        "2026-11-22T19:00:00.0Z",
        "2026-11-22T19:00:00+00:00",
        "2026-11-22T20:00:00+01:00",
        "2026-11-22T19:00:00",
        "2026-11-22T19:00:00z",
        "2026-11-22t19:00:00Z",
        "2026-11-22 19:00:00Z",
        "2026-11-22T19:00:00Z ",
        " 2026-11-22T19:00:00Z",
        "2026-11-22T19:00:00Z\\n",
        "2026-11-22T19:00Z",
        "2026-12-31T23:59:60Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T19:60:00Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "+2026-11-22T19:00:0Z",
        "-026-11-22T19:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "２026-11-22T19:00:0Z",
        "٢٠26-11-22T19:00Z",
        "1795374000",
        "",
    ];
    let good = good.iter().map(|text| (*text, ACCEPTED));
    let bad = bad.iter().map(|text| (*text, "predicate.issuedAt"));
    let mut cases: Vec<Case> = good
        .chain(bad)
        .map(|(text, expect)| statement(&format!("time-{text}"), ISSUED_AT, text, expect))
        .collect();
    let quoted = format!("\"{ISSUED_AT}\"");
    cases.push(statement("time-integer", &quoted, "1795374000", "predicate.issuedAt"));
    cases.push(statement("time-null", &quoted, "null", "predicate.issuedAt"));
    for (name, value, expect) in [
        ("null", "null", ACCEPTED),
        ("before-the-issue", "\"1970-01-01T00:00:00Z\"", ACCEPTED),
        ("last", "\"9999-12-31T23:59:59Z\"", ACCEPTED),
        ("leap-second", "\"2026-12-31T23:59:60Z\"", "predicate.expiresAt"),
        ("empty", "\"\"", "predicate.expiresAt"),
        ("integer", "1795374000", "predicate.expiresAt"),
    ] {
        let to = format!("\"expiresAt\":{value},{NO_CLAIMS}");
        cases.push(statement(&format!("expires-{name}"), NO_CLAIMS, &to, expect));
    }
    cases
}

fn statements() -> Vec<Case> {
    let issuer = public(1);
    let issuers = format!("[\"{issuer}\"]");
    let upper_issuer = issuer.to_uppercase().replace("ED25519:", "ed25519:");
    let name = |length: usize| "n".repeat(length);
    let quoted = |text: &str| format!("\"{text}\"");
    let parent = |value: &str| format!("\"parent\":{value},{NO_CLAIMS}");
    let references = |value: &str| format!("\"references\":{value},{NO_CLAIMS}");
    let sequence = |value: &str| format!("\"sequence\":{value},{NO_CLAIMS}");
    let issued = "\"issuedAt\":";
    let cases: Vec<(&str, &str, String, &str)> = vec![
        ("unknown", "{\"_type\":", "{\"x\":{\"y\":[1]},\"_type\":".into(), ACCEPTED),
        ("unknown-in-the-subject", "{\"name\":", "{\"uri\":\"x\",\"name\":".into(), ACCEPTED),
        ("unknown-in-the-digest", "{\"sha256\":", "{\"sha512\":\"\",\"sha256\":".into(), ACCEPTED),
        ("unknown-in-the-predicate", issued, "\"x\":1,\"issuedAt\":".into(), "predicate.x"),
        ("unknown-null-in-the-predicate", issued, "\"x\":null,\"issuedAt\":".into(), "predicate.x"),
        ("unknown-empty-key-in-the-predicate", issued, "\"\":1,\"issuedAt\":".into(), "predicate."),
        (
            "unknown-case-in-the-predicate",
            issued,
            "\"Sequence\":1,\"issuedAt\":".into(),
            "predicate.Sequence",
        ),
        ("type-upper-case", "https://in-toto", "HTTPS://in-toto".into(), "_type"),
        ("type-slash", "Statement/v1", "Statement/v1/".into(), "_type"),
        ("type-old", "Statement/v1", "Statement/v0.1".into(), "_type"),
        ("type-escaped", "in-toto.io/", "in-toto.io\\/".into(), ACCEPTED),
        ("kind-upper-case", "runtime-attestation", "Runtime-attestation".into(), "predicateType"),
        ("kind-prefix-upper-case", "urn:egpep", "URN:egpep".into(), "predicateType"),
        ("kind-look-alike", "runtime-attestation", "runtime-аttestation".into(), "predicateType"),
        ("kind-hyphen-look-alike", "runtime-attestation", "runtime‐attestation".into(), "predicateType"),
        ("kind-of-later", "runtime-attestation", "runtime-attestation-2".into(), "predicateType"),
        ("subject-none", "\"subject\":[", "\"subject\":[],\"x\":[".into(), "subject"),
        ("subject-two", "\"subject\":[", "\"subject\":[{},".into(), "subject"),
        ("subject-object", "\"subject\":[", "\"subject\":{},\"x\":[".into(), "subject"),
        ("subject-name-null", "\"name\":\"t\"", "\"name\":null".into(), ACCEPTED),
        ("subject-name-absent", "\"name\":\"t\",", String::new(), ACCEPTED),
        ("subject-name-empty", "\"t\"", "\"\"".into(), "subject[0].name"),
        ("subject-name-1024", "\"t\"", quoted(&name(1024)), ACCEPTED),
        ("subject-name-1025", "\"t\"", quoted(&name(1025)), "subject[0].name"),
        (
            "subject-name-1025-bytes-of-513-letters",
            "\"t\"",
            quoted(&format!("{}n", "é".repeat(512))),
            "subject[0].name",
        ),
        ("subject-name-nul", "\"t\"", "\"\\u0000\"".into(), "subject[0].name"),
        ("subject-name-delete", "\"t\"", "\"\u{7f}\"".into(), "subject[0].name"),
        ("subject-name-control-85", "\"t\"", "\"\u{85}\"".into(), "subject[0].name"),
        ("subject-name-line-separator", "\"t\"", "\"\u{2028}\"".into(), "subject[0].name"),
        ("subject-name-right-to-left", "\"t\"", "\"\u{202e}\"".into(), "subject[0].name"),
        ("subject-name-unassigned", "\"t\"", "\"\u{378}\u{e0080}\"".into(), ACCEPTED),
        ("subject-name-pair-escaped", "\"t\"", "\"\\ud83d\\ude00\"".into(), ACCEPTED),
        ("subject-name-pair-raw", "\"t\"", "\"😀\"".into(), ACCEPTED),
        ("subject-name-noncharacter", "\"t\"", "\"\\uffff\"".into(), ACCEPTED),
        ("digest-upper-case", SUBJECT, SUBJECT.to_uppercase(), "subject[0].digest.sha256"),
        ("digest-63", SUBJECT, SUBJECT[..63].to_owned(), "subject[0].digest.sha256"),
        ("digest-65", SUBJECT, format!("{SUBJECT}0"), "subject[0].digest.sha256"),
        ("digest-prefixed", SUBJECT, format!("sha256:{SUBJECT}"), "subject[0].digest.sha256"),
        ("digest-full-width", SUBJECT, format!("{}０", &SUBJECT[..61]), "subject[0].digest.sha256"),
        ("registry-upper-case", ORIGIN, ORIGIN.to_uppercase(), "wrong_registry at predicate.registry"),
        ("registry-slash", ORIGIN, format!("{ORIGIN}/"), "wrong_registry at predicate.registry"),
        ("registry-space", ORIGIN, format!("{ORIGIN} "), "wrong_registry at predicate.registry"),
        ("registry-escaped", ORIGIN, ORIGIN.replace('/', "\\/"), ACCEPTED),
        ("registry-look-alike", ORIGIN, ORIGIN.replace('a', "а"), "predicate.registry"),
        ("registry-nul", ORIGIN, format!("{ORIGIN}\\u0000"), "predicate.registry"),
        ("registry-256", ORIGIN, name(256), "wrong_registry at predicate.registry"),
        ("registry-257", ORIGIN, name(257), "predicate.registry"),
        ("registry-empty", ORIGIN, String::new(), "predicate.registry"),
        ("domain-upper-case", "\"d1\"", "\"D1\"".into(), "predicate.domain"),
        ("domain-128", "\"d1\"", quoted(&name(128)), ACCEPTED),
        ("domain-129", "\"d1\"", quoted(&name(129)), "predicate.domain"),
        ("domain-empty", "\"d1\"", "\"\"".into(), "predicate.domain"),
        ("domain-null", "\"d1\"", "null".into(), "predicate.domain"),
        ("domain-root", "\"d1\"", "\"_root\"".into(), ACCEPTED),
        ("domain-governance", "\"d1\"", "\"_governance\"".into(), "predicate.domain"),
        ("domain-dot-first", "\"d1\"", "\".d1\"".into(), "predicate.domain"),
        ("domain-dots", "\"d1\"", "\"d..1\"".into(), ACCEPTED),
        ("domain-look-alike", "\"d1\"", "\"ԁ1\"".into(), "predicate.domain"),
        ("domain-full-width", "\"d1\"", "\"d１\"".into(), "predicate.domain"),
        ("domain-space", "\"d1\"", "\"d1 \"".into(), "predicate.domain"),
        ("domain-newline", "\"d1\"", "\"d1\\n\"".into(), "predicate.domain"),
        ("domain-key-look-alike", "\"domain\"", "\"dоmain\"".into(), "predicate.domain"),
        ("lineage-upper-case", "\"l1\"", "\"L1\"".into(), "predicate.lineage"),
        ("lineage-128", "\"l1\"", quoted(&name(128)), ACCEPTED),
        ("lineage-129", "\"l1\"", quoted(&name(129)), "predicate.lineage"),
        ("lineage-governance", "\"l1\"", "\"_governance\"".into(), ACCEPTED),
        ("lineage-root", "\"l1\"", "\"_root\"".into(), "predicate.lineage"),
        ("lineage-kelvin", "\"l1\"", "\"\u{212a}\"".into(), "predicate.lineage"),
        ("issuer-upper-case", &issuer, upper_issuer, "predicate.issuers[0]"),
        ("issuer-prefix-upper-case", &issuer, issuer.replace("ed25519", "ED25519"), "predicate.issuers[0]"),
        ("issuer-bare", &issuer, issuer.replace("ed25519:", ""), "predicate.issuers[0]"),
        ("issuer-63", &issuer, issuer[..71].to_owned(), "predicate.issuers[0]"),
        ("issuer-65", &issuer, format!("{issuer}0"), "predicate.issuers[0]"),
        ("issuer-space", &issuer, format!("{issuer} "), "predicate.issuers[0]"),
        ("issuers-none", &issuers, "[]".into(), "predicate.issuers"),
        ("issuers-null", &issuers, "null".into(), "predicate.issuers"),
        ("issuers-text", &issuers, quoted(&issuer), "predicate.issuers"),
        ("issuers-two-of-execution", &issuers, texts([public(1), public(2)]), "predicate.issuers"),
        ("issuers-twice-of-execution", &issuers, texts([&issuer, &issuer]), "predicate.issuers"),
        ("sequence-null", NO_CLAIMS, sequence("null"), ACCEPTED),
        ("sequence-0", NO_CLAIMS, sequence("0"), ACCEPTED),
        ("sequence-minus-0", NO_CLAIMS, sequence("-0"), "malformed"),
        ("sequence-minus-1", NO_CLAIMS, sequence("-1"), "predicate.sequence"),
        ("sequence-4.0", NO_CLAIMS, sequence("4.0"), ACCEPTED),
        ("sequence-text", NO_CLAIMS, sequence("\"4\""), "predicate.sequence"),
        ("sequence-true", NO_CLAIMS, sequence("true"), "predicate.sequence"),
        ("sequence-array", NO_CLAIMS, sequence("[4]"), "predicate.sequence"),
        ("sequence-2-to-53-plus-1", NO_CLAIMS, sequence("9007199254740993"), ACCEPTED),
        ("sequence-2-to-63-minus-1", NO_CLAIMS, sequence("9223372036854775807"), ACCEPTED),
        ("sequence-2-to-63", NO_CLAIMS, sequence("9223372036854775808"), "malformed"),
        ("sequence-minus-2-to-63", NO_CLAIMS, sequence("-9223372036854775808"), "predicate.sequence"),
        ("parent", NO_CLAIMS, parent(&quoted(&id('a'))), ACCEPTED),
        ("parent-null", NO_CLAIMS, parent("null"), ACCEPTED),
        ("parent-empty", NO_CLAIMS, parent("\"\""), "predicate.parent"),
        ("parent-upper-case", NO_CLAIMS, parent(&quoted(&id('A'))), "predicate.parent"),
        ("parent-bare", NO_CLAIMS, parent(&quoted(&"a".repeat(64))), "predicate.parent"),
        ("references-null", NO_CLAIMS, references("null"), ACCEPTED),
        ("references-none", NO_CLAIMS, references("[]"), ACCEPTED),
        (
            "references-twice",
            NO_CLAIMS,
            references(&texts([id('1'), id('2'), id('1')])),
            "predicate.references[2]",
        ),
        ("references-null-inside", NO_CLAIMS, references("[null]"), "predicate.references[0]"),
        ("claims-null", NO_CLAIMS, "\"claims\":null".into(), "predicate.claims"),
        ("claims-array", NO_CLAIMS, "\"claims\":[]".into(), "predicate.claims"),
        ("claims-absent", ",\"claims\":{}", String::new(), "predicate.claims"),
        ("predicate-null", "\"predicate\":", "\"predicate\":null,\"x\":".into(), "malformed at predicate"),
    ];
    cases.into_iter().map(|(name, from, to, expect)| statement(name, from, &to, expect)).collect()
}

/// Numbers as payloads may have them: the same value in another spelling is another statement.
fn payload_numbers() -> Vec<Case> {
    let read = ["4.00", "0.0", "5.000", "9007199254740991", "9007199254740991.0", "9007199254740992"];
    let below_zero = ["-3.0", "-9007199254740991.0"];
    let refused = [
        "-0.0",
        "4.5",
        "4.01",
        "0.1",
        "4.0e0",
        "4.0E0",
        "4e0",
        "4e-0",
        ".0",
        "4.",
        "-.0",
        "04.0",
        "00.0",
        "+4.0",
        "4.0.0",
        "4 .0",
        "4. 0",
        "9007199254740992.0",
        "-9007199254740992.0",
        "90071992547409910.0",
        "9223372036854775807.0",
    ];
    let zeros = format!("4.{}", "0".repeat(400));
    let read = read.into_iter().chain([zeros.as_str()]).map(|number| (number, ACCEPTED));
    let below_zero = below_zero.into_iter().map(|number| (number, "malformed at predicate.sequence"));
    let refused = refused.into_iter().map(|number| (number, "malformed"));
    let mut cases = Vec::new();
    for (number, expect) in read.chain(below_zero).chain(refused) {
        let payload = altered(NO_CLAIMS, format!("\"sequence\":{number},{NO_CLAIMS}"));
        let envelope = if expect == ACCEPTED { signed(&payload) } else { unsigned(&payload) };
        let name = if number.len() > 40 { "4-and-400-zeros" } else { number };
        cases.push(to_verify(format!("payload-number/{name}"), envelope, expect));
    }
    // What is no number stays as it is: strings, also with escapes before them, and numbers in the envelope around.
    let name = |text: &str| signed(&altered("\"t\"", format!("\"{text}\"")));
    cases.push(to_verify("payload-number/in-a-string", name("4.0"), ACCEPTED));
    cases.push(to_verify("payload-number/in-a-string-behind-escapes", name("\\\"4.0\\\\"), ACCEPTED));
    let unknown = altered("{\"_type\":", "{\"4.0\":[4.0,{\"x\":4.0}],\"_type\":");
    cases.push(to_verify("payload-number/in-an-unknown-field", signed(&unknown), ACCEPTED));
    let around = with(&enclosed(b"{}", &[b""]), "{\"payload\":", "{\"x\":4.0,\"payload\":");
    cases.push(to_verify("payload-number/in-the-envelope", around, "malformed"));
    cases
}

/// Names with each character at which what terminals obey begins or ends, and with its neighbours.
fn names() -> Vec<Case> {
    let ranges = [
        ('\u{0}', '\u{1f}'),
        ('\u{7f}', '\u{9f}'),
        ('\u{61c}', '\u{61c}'),
        ('\u{200e}', '\u{200f}'),
        ('\u{2028}', '\u{202e}'),
        ('\u{2066}', '\u{206f}'),
        ('\u{feff}', '\u{feff}'),
        ('\u{fff9}', '\u{fffb}'),
        ('\u{e0000}', '\u{e007f}'),
    ];
    let neighbour =
        |c: char, step: i64| u32::try_from(i64::from(u32::from(c)) + step).ok().and_then(char::from_u32);
    let mut given: Vec<(char, &str)> = Vec::new();
    for (first, last) in ranges {
        given.extend([(first, "subject[0].name"), (last, "subject[0].name")]);
        let around = [neighbour(first, -1), neighbour(last, 1)];
        given.extend(around.into_iter().flatten().map(|c| (c, ACCEPTED)));
    }
    given.sort_unstable();
    given.dedup();
    let case = |(c, expect): (char, &str)| {
        let value = Json::text(c.to_string()).to_text();
        statement(&format!("subject-name-u+{:04x}", u32::from(c)), "\"t\"", &value, expect)
    };
    given.into_iter().map(case).collect()
}

/// How many issuers and signatures there may be, and who of them must have signed.
fn numbers() -> Vec<Case> {
    let governed = |issuers: &[String]| with(&payload_by(issuers), "runtime-attestation", "policy");
    let keys: Vec<String> = (1..=33).map(public).collect();
    let by = |seeds: std::ops::RangeInclusive<u8>, payload: &[u8]| -> Vec<u8> {
        let signatures: Vec<[u8; 64]> = seeds.map(|seed| signature(seed, payload)).collect();
        enclosed(payload, &signatures)
    };
    let (one, two, most, many) = (payload(), governed(&keys[..2]), governed(&keys[..32]), governed(&keys));
    let twice = governed(&[public(1), public(1)]);
    let one_twice = enclosed(&two, &[signature(1, &two), signature(1, &two)]);
    let own = signature(1, &one).to_vec();
    let wrong = |number: usize| vec![[1u8; 64]; number];
    let filled_up = |number: usize| {
        let mut signatures = vec![Vec::new(); number - 1];
        signatures.push(own.clone());
        enclosed(&one, &signatures)
    };
    let one_missing = "unsigned_evidence at signatures";
    let sized = |name: &str, pad_to: usize, expect: &str| {
        let input = Input::Envelope {
            origin: ORIGIN.into(),
            bytes: signed(&one),
            pad_to: Some(pad_to),
            stage: Stage::Verify,
        };
        Case { name: format!("size/{name}"), input, expect: expect.into() }
    };
    vec![
        to_verify("numbers/issuers-2", by(1..=2, &two), ACCEPTED),
        to_verify("numbers/issuers-2-of-which-1-signed", by(2..=2, &two), one_missing),
        to_verify("numbers/issuers-2-and-1-by-another", by(2..=3, &two), SIGNATURE_INVALID),
        to_verify("numbers/issuers-2-and-a-third-by-another", by(1..=3, &two), ACCEPTED),
        to_verify("numbers/issuers-2-of-which-1-signed-twice", one_twice, one_missing),
        to_verify("numbers/issuers-twice", by(1..=1, &twice), "malformed at predicate.issuers[1]"),
        to_verify("numbers/issuers-32", by(1..=32, &most), ACCEPTED),
        to_verify("numbers/issuers-33", by(1..=1, &many), "malformed at predicate.issuers"),
        to_verify("numbers/signatures-64", filled_up(64), ACCEPTED),
        to_verify("numbers/signatures-65", filled_up(65), "malformed at signatures"),
        // 96 attempts are made: once for each issuer, and once more to say why.
        to_verify("numbers/wrong-47", enclosed(&one, &wrong(47)), SIGNATURE_INVALID),
        to_verify("numbers/wrong-48", enclosed(&one, &wrong(48)), "too_large at signatures"),
        to_verify("numbers/of-the-payload-alone", enclosed(&one, &[key(1).sign(&one)]), SIGNATURE_INVALID),
        sized("64-kib", MAX_ENVELOPE_BYTES, ACCEPTED),
        sized("64-kib-and-1", MAX_ENVELOPE_BYTES + 1, "too_large"),
    ]
}

/// Claims of several kinds; a verdict that is a field stands for `claims_invalid` there.
fn claims() -> Vec<Case> {
    let hash = encode_base64(&[0xfb; 32]);
    let url_safe = hash.replace('+', "-").replace('/', "_");
    let bare = hash.trim_end_matches('=').to_owned();
    // 32 bytes leave 2 bits of the last letter unused.
    let dirty = {
        let (body, last) = bare.split_at(42);
        format!("{body}{}=", char::from(last.as_bytes()[0] + 1))
    };
    let attestation = |field: &str, value: &str| {
        let given = json::parse(CLAIMS.as_bytes()).unwrap().get(field).unwrap().to_text();
        CLAIMS.replace(&format!("\"{field}\":{given}"), &format!("\"{field}\":{value}"))
    };
    let authorization = |fields: &str| {
        format!("{{{fields},\"notBefore\":\"2026-01-01T00:00:00Z\",\"notAfter\":\"2026-01-01T00:00:01Z\"}}")
    };
    let root = |keys: &[String], threshold: &str| {
        format!("{{\"keys\":{},\"threshold\":{threshold},\"registryKey\":\"{}\"}}", texts(keys), public(1))
    };
    let trust = |peer: &str| {
        let (own, nodes) = (public(1), texts([public(1)]));
        format!(
            "{{\"peer\":\"{peer}\",\"registryKey\":\"{own}\",\"nodeKeys\":{nodes},\
             \"notAfter\":\"2026-01-01T00:00:00Z\"}}"
        )
    };
    let continuity = |hash: &str| format!("{{\"checkpoint\":\"c\",\"consistency\":[\"{hash}\"]}}");
    let quoted = |text: &str| format!("\"{text}\"");
    let uses = |value: &str| authorization(&format!("\"actions\":[\"a\"],\"uses\":{value}"));
    let actions = |value: &str| authorization(&format!("\"actions\":{value}"));
    let named = |bytes: [u8; 32]| format!("ed25519:{}", hex::encode(bytes));
    let mixed = named(Forger::with_torsion(1).public);
    let low_order = format!("ed25519:{}", LOW_ORDER[4]);
    let not_canonical = named(filled(0xf0, 0xff, 0x7f));
    let upper = public(1).to_uppercase().replace("ED25519:", "ed25519:");
    let (one, two) = (id('1'), id('2'));
    let (ra, ea, sc, st) =
        ("runtime-attestation", "execution-authorization", "synchronization-continuity", "sovereign-trust");
    let cases: Vec<(&str, &str, String, &str)> = vec![
        ("as-they-are", ra, CLAIMS.into(), ACCEPTED),
        ("reversed", ra, r#"{"measurement":"00ff","status":"affirming","verifier":"v"}"#.into(), ACCEPTED),
        ("unknown", ra, CLAIMS.replace('{', "{\"x\":1,"), ".x"),
        ("unknown-null", ra, CLAIMS.replace('{', "{\"x\":null,"), ".x"),
        ("unknown-empty-key", ra, CLAIMS.replace('{', "{\"\":1,"), "."),
        ("unknown-case", ra, CLAIMS.replace('{', "{\"Status\":\"none\","), ".Status"),
        ("key-escaped", ra, CLAIMS.replace("\"status\"", "\"\\u0073tatus\""), ACCEPTED),
        ("status-upper-case", ra, attestation("status", "\"Affirming\""), ".status"),
        ("status-with-a-nul", ra, attestation("status", "\"affirming\\u0000\""), ".status"),
        ("status-escaped", ra, attestation("status", "\"\\u0061ffirming\""), ACCEPTED),
        ("status-ligature", ra, attestation("status", "\"aﬃrming\""), ".status"),
        ("status-null", ra, attestation("status", "null"), ".status"),
        ("verifier-empty", ra, attestation("verifier", "\"\""), ".verifier"),
        ("verifier-128", ra, attestation("verifier", &quoted(&"n".repeat(128))), ACCEPTED),
        ("verifier-129", ra, attestation("verifier", &quoted(&"n".repeat(129))), ".verifier"),
        ("verifier-64-of-2-bytes", ra, attestation("verifier", &quoted(&"é".repeat(64))), ACCEPTED),
        ("verifier-65-of-2-bytes", ra, attestation("verifier", &quoted(&"é".repeat(65))), ".verifier"),
        ("verifier-delete", ra, attestation("verifier", "\"\u{7f}\""), ".verifier"),
        ("verifier-control-85", ra, attestation("verifier", "\"\\u0085\""), ".verifier"),
        ("verifier-right-to-left", ra, attestation("verifier", "\"\\u202e\""), ".verifier"),
        ("measurement-space", ra, attestation("measurement", "\" \""), ACCEPTED),
        ("measurement-upper-case", ra, attestation("measurement", "\"00FF\""), ACCEPTED),
        ("measurement-delete", ra, attestation("measurement", "\"\\u007f\""), ".measurement"),
        ("measurement-not-ascii", ra, attestation("measurement", "\"é\""), ".measurement"),
        ("measurement-256", ra, attestation("measurement", &quoted(&"n".repeat(256))), ACCEPTED),
        ("measurement-257", ra, attestation("measurement", &quoted(&"n".repeat(257))), ".measurement"),
        (
            "optional-null",
            ea,
            authorization("\"actions\":[],\"audience\":null,\"environment\":null,\"uses\":null"),
            ACCEPTED,
        ),
        ("uses-0", ea, uses("0"), ".uses"),
        ("uses-1", ea, uses("1"), ACCEPTED),
        ("uses-1.0", ea, uses("1.0"), ACCEPTED),
        ("uses-0.0", ea, uses("0.0"), ".uses"),
        ("uses-4294967295.000", ea, uses("4294967295.000"), ACCEPTED),
        ("uses-4294967296.0", ea, uses("4294967296.0"), ".uses"),
        ("uses-text", ea, uses("\"1\""), ".uses"),
        ("uses-2-to-32-minus-1", ea, uses("4294967295"), ACCEPTED),
        ("uses-2-to-32", ea, uses("4294967296"), ".uses"),
        ("uses-2-to-32-plus-1", ea, uses("4294967297"), ".uses"),
        ("actions-null", ea, actions("null"), ".actions"),
        ("actions-twice", ea, actions("[\"a\",\"a\"]"), ACCEPTED),
        ("actions-64", ea, actions(&array(["\"a\""; 64])), ACCEPTED),
        ("actions-65", ea, actions(&array(["\"a\""; 65])), ".actions"),
        ("action-128", ea, actions(&texts(["a".repeat(128)])), ACCEPTED),
        ("action-129", ea, actions(&texts(["a".repeat(129)])), ".actions[0]"),
        ("action-wildcard", ea, actions("[\"a\",\"*\"]"), ".actions"),
        ("action-wildcard-escaped", ea, actions("[\"\\u002a\"]"), ".actions"),
        ("action-wildcard-full-width", ea, actions("[\"＊\"]"), ".actions[0]"),
        ("action-question-mark", ea, actions("[\"?\"]"), ACCEPTED),
        ("times-equal", ea, actions("[]").replace("00:00:01Z", "00:00:00Z"), ".notAfter"),
        ("time-leap-second", ea, actions("[]").replace("00:00:01Z", "23:59:60Z"), ".notAfter"),
        ("keys-one", "root", root(&[public(1)], "1"), ACCEPTED),
        ("keys-twice", "root", root(&[public(1), public(1)], "1"), ".keys[1]"),
        ("keys-upper-case", "root", root(&[upper], "1"), ".keys[0]"),
        ("keys-low-order", "root", root(&[public(1), low_order], "1"), ".keys[1]"),
        ("keys-not-canonical", "root", root(&[not_canonical], "1"), ".keys[0]"),
        ("keys-of-mixed-order", "root", root(&[mixed], "1"), ACCEPTED),
        ("keys-none", "root", root(&[], "1"), ".keys"),
        ("threshold-0", "root", root(&[public(1)], "0"), ".threshold"),
        ("threshold-2-of-1", "root", root(&[public(1)], "2"), ".threshold"),
        ("threshold-2-to-32-plus-1", "root", root(&[public(1)], "4294967297"), ".threshold"),
        ("threshold-1.0", "root", root(&[public(1)], "1.0"), ACCEPTED),
        ("threshold-null", "root", root(&[public(1)], "null"), ".threshold"),
        ("hash-standard", sc, continuity(&hash), ACCEPTED),
        ("hash-bare", sc, continuity(&bare), ".consistency[0]"),
        ("hash-url-safe", sc, continuity(&url_safe), ".consistency[0]"),
        ("hash-trailing-bits", sc, continuity(&dirty), ".consistency[0]"),
        ("hash-slash-escaped", sc, continuity(&hash.replace('/', "\\/")), ACCEPTED),
        ("peer", st, trust("r.example/2"), ACCEPTED),
        ("peer-space", st, trust("r 2"), ".peer"),
        ("peer-plus", st, trust("r+2"), ".peer"),
        ("peer-no-break-space", st, trust("r\u{a0}2"), ".peer"),
        ("peer-ideographic-space", st, trust("r\u{3000}2"), ".peer"),
        ("peer-control-85", st, trust("r\u{85}2"), ".peer"),
        ("peer-zero-width-space", st, trust("r\u{200b}2"), ACCEPTED),
        ("peer-mongolian-vowel-separator", st, trust("r\u{180e}2"), ACCEPTED),
        ("peer-delete", st, trust("r\u{7f}2"), ".peer"),
        ("peer-right-to-left", st, trust("r\u{202e}2"), ".peer"),
        ("rules-0", "rules", "{\"version\":0}".into(), ".version"),
        ("rules-2-to-32-minus-1", "rules", "{\"version\":4294967295}".into(), ACCEPTED),
        ("rules-2-to-32", "rules", "{\"version\":4294967296}".into(), ".version"),
        ("epoch-1", "recovery", format!("{{\"epoch\":1,\"voters\":{}}}", texts([public(1)])), ".epoch"),
        (
            "epoch-2-to-63-minus-1",
            "recovery",
            format!("{{\"epoch\":9223372036854775807,\"voters\":{}}}", texts([public(1)])),
            ACCEPTED,
        ),
        ("target-upper-case", "containment", "{\"action\":\"isolate\",\"target\":\"D1\"}".into(), ".target"),
        (
            "target-governance",
            "containment",
            "{\"action\":\"quarantine\",\"target\":\"_governance\"}".into(),
            ".target",
        ),
        ("action-upper-case", "containment", "{\"action\":\"Isolate\",\"target\":\"d1\"}".into(), ".action"),
        (
            "conflict-twice",
            "reconciliation",
            format!("{{\"conflict\":{},\"canonical\":\"{one}\"}}", texts([&one, &one])),
            ".conflict[1]",
        ),
        (
            "conflict-of-others",
            "reconciliation",
            format!("{{\"conflict\":{},\"canonical\":\"{}\"}}", texts([&one, &two]), id('3')),
            ".canonical",
        ),
    ];
    let case = |(name, kind, claims, expect): (&str, &str, String, &str)| {
        let payload = with(&altered(NO_CLAIMS, format!("\"claims\":{claims}")), "runtime-attestation", kind);
        let expect = match expect.strip_prefix('.') {
            Some(field) => format!("claims_invalid at predicate.claims.{field}"),
            None => expect.to_owned(),
        };
        to_read(format!("claims/{name}"), signed(&payload), expect)
    };
    cases.into_iter().map(case).collect()
}

pub fn cases() -> Vec<Case> {
    let made = [
        envelopes(),
        payload_types(),
        times(),
        statements(),
        payload_numbers(),
        names(),
        numbers(),
        claims(),
    ];
    made.into_iter().flatten().collect()
}
