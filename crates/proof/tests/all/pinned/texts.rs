//! JSON and base64 on which readers are known to differ.

use assent_proof::*;

use super::Case;
use super::build::{
    ISSUED_AT, NO_CLAIMS, ORIGIN, SIGNATURE_INVALID, SUBJECT, altered, payload, public, signature, signed,
    texts, to_verify, unsigned, with,
};

const ACCEPTED: &str = "accepted";
const MALFORMED: &str = "malformed";

/// JSON values, of which the names say enough, and whether they are read.
const VALUES: &[(&str, &[u8], bool)] = &[
    ("surrogate-high-alone", br#""\ud800""#, false),
    ("surrogate-low-alone", br#""\udc00""#, false),
    ("surrogates-high-high", br#""\ud800\ud800""#, false),
    ("surrogates-reversed", br#""\ude00\ud83d""#, false),
    ("surrogate-high-then-text", br#""\ud800x""#, false),
    ("surrogate-high-then-newline-escape", br#""\ud800\n""#, false),
    ("surrogate-high-then-letter-escape", br#""\ud83d\u0041""#, false),
    ("surrogate-alone-as-key", br#"{"\udfff":1}"#, false),
    ("surrogate-pair-escaped", br#""\ud83d\ude00""#, true),
    ("surrogate-pair-escaped-upper-case", br#""\uD83D\uDE00""#, true),
    ("surrogate-pair-raw", b"\"\xf0\x9f\x98\x80\"", true),
    ("surrogate-pair-in-utf8", b"\"\xed\xa0\xbd\xed\xb8\x80\"", false),
    ("surrogate-alone-in-utf8", b"\"\xed\xa0\x80\"", false),
    ("noncharacter-escaped", br#""\uffff""#, true),
    ("noncharacter-raw", b"\"\xef\xbf\xbf\"", true),
    ("last-code-point-escaped", br#""\udbff\udfff""#, true),
    ("last-code-point-raw", b"\"\xf4\x8f\xbf\xbf\"", true),
    ("beyond-the-last-code-point", b"\"\xf4\x90\x80\x80\"", false),
    ("overlong-nul", b"\"\xc0\x80\"", false),
    ("overlong-slash", b"\"\xc0\xaf\"", false),
    ("overlong-of-3-bytes", b"\"\xe0\x80\x80\"", false),
    ("overlong-of-4-bytes", b"\"\xf0\x80\x80\x80\"", false),
    ("utf8-cut-short", b"\"\xe2\x82\"", false),
    ("utf8-continuation-alone", b"\"\x80\"", false),
    ("utf8-never-byte", b"\"\xff\"", false),
    ("utf8-never-byte-as-key", b"{\"\xff\":1}", false),
    ("latin-1", b"\"\xe9\"", false),
    ("byte-order-mark-in-a-string", b"\"\xef\xbb\xbf\"", true),
    ("nul-escaped", br#""\u0000""#, true),
    ("nul-raw", b"\"\0\"", false),
    ("nul-outside", b"\x001", false),
    ("control-01-raw", b"\"\x01\"", false),
    ("control-1f-raw", b"\"\x1f\"", false),
    ("control-1f-escaped", br#""\u001f""#, true),
    ("tab-raw", b"\"\t\"", false),
    ("newline-raw", b"\"\n\"", false),
    ("newline-raw-in-a-key", b"{\"\n\":1}", false),
    ("delete-raw", b"\"\x7f\"", true),
    ("control-85-raw", b"\"\xc2\x85\"", true),
    ("line-separator-raw", b"\"\xe2\x80\xa8\"", true),
    ("escapes-all-short", br#""\"\\\/\b\f\n\r\t""#, true),
    ("escape-hex", br#""\x41""#, false),
    ("escape-quote", br#""\'""#, false),
    ("escape-zero", br#""\0""#, false),
    ("escape-vertical-tab", br#""\v""#, false),
    ("escape-upper-case-u", br#""\U0041""#, false),
    ("escape-of-3-digits", br#""\u00e""#, false),
    ("escape-with-sign", br#""\u+041""#, false),
    ("escape-with-braces", br#""\u{41}""#, false),
    ("number-zero", b"0", true),
    ("number-minus-zero", b"-0", false),
    ("number-1.0", b"1.0", false),
    ("number-1e0", b"1e0", false),
    ("number-1E0", b"1E0", false),
    ("number-10e-1", b"10e-1", false),
    ("number-0e0", b"0e0", false),
    ("number-1e400", b"1e400", false),
    ("number-01", b"01", false),
    ("number-00", b"00", false),
    ("number-minus-01", b"-01", false),
    ("number-plus-1", b"+1", false),
    ("number-minus-alone", b"-", false),
    ("number-minus-space-1", b"- 1", false),
    ("number-.5", b".5", false),
    ("number-1.", b"1.", false),
    ("number-0x1", b"0x1", false),
    ("number-1_000", b"1_000", false),
    ("number-full-width", b"\xef\xbc\x91", false),
    ("number-nan", b"NaN", false),
    ("number-infinity", b"Infinity", false),
    ("number-minus-infinity", b"-Infinity", false),
    ("number-2-to-53", b"9007199254740992", true),
    ("number-2-to-53-plus-1", b"9007199254740993", true),
    ("number-2-to-63-minus-1", b"9223372036854775807", true),
    ("number-2-to-63", b"9223372036854775808", false),
    ("number-minus-2-to-63", b"-9223372036854775808", true),
    ("number-minus-2-to-63-minus-1", b"-9223372036854775809", false),
    ("number-2-to-64-minus-1", b"18446744073709551615", false),
    ("number-minus-2-to-64-plus-1", b"-18446744073709551615", false),
    ("number-2-to-64", b"18446744073709551616", false),
    ("number-minus-2-to-64", b"-18446744073709551616", false),
    ("literal-true", b"true", true),
    ("literal-null", b"null", true),
    ("literal-True", b"True", false),
    ("literal-nul", b"nul", false),
    ("literal-undefined", b"undefined", false),
    ("comma-at-the-end-of-an-array", b"[1,]", false),
    ("comma-at-the-end-of-an-object", br#"{"a":1,}"#, false),
    ("comma-at-the-start", b"[,1]", false),
    ("comma-missing", b"[1 2]", false),
    ("colon-missing", br#"{"a" 1}"#, false),
    ("value-missing", br#"{"a":}"#, false),
    ("key-unquoted", b"{a:1}", false),
    ("key-single-quoted", b"{'a':1}", false),
    ("key-number", b"{1:2}", false),
    ("key-null", b"{null:2}", false),
    ("key-empty", br#"{"":1}"#, true),
    ("keys-equal", br#"{"a":1,"a":1}"#, false),
    ("keys-equal-once-escaped", br#"{"a":1,"\u0061":2}"#, false),
    ("keys-equal-escaped-first", br#"{"\u0061":1,"a":2}"#, false),
    ("keys-equal-as-pair-and-raw", b"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", false),
    ("keys-equal-empty", br#"{"":1,"":2}"#, false),
    ("keys-equal-below-other-keys", br#"{"a":1,"b":{"a":1},"c":{"a":1}}"#, true),
    ("keys-differ-in-case", br#"{"a":1,"A":2}"#, true),
    ("keys-differ-in-normal-form", b"{\"\xc3\xa9\":1,\"e\xcc\x81\":2}", true),
    ("keys-differ-in-a-nul", br#"{"a":1,"a\u0000":2}"#, true),
    ("comment-block", b"/**/1", false),
    ("comment-line", b"//\n1", false),
    ("white-space-of-json", b" \t\r\n1 \t\r\n", true),
    ("white-space-form-feed", b"\x0c1", false),
    ("white-space-vertical-tab", b"\x0b1", false),
    ("white-space-no-break", b"\xc2\xa01", false),
    ("white-space-ideographic", b"\xe3\x80\x801", false),
    ("byte-order-mark-inside", b"\xef\xbb\xbf1", false),
];

/// Values in the one field of an envelope that lacks all others: if they are read, the payload is missed.
fn values() -> Vec<Case> {
    let nested = |open: &str, close: &str, depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let many = |last: &str| {
        let keys: Vec<String> = (0..20).map(|i| format!("\"k{i}\":0")).collect();
        format!("{{{},{last}:0}}", keys.join(","))
    };
    // The envelope is one level itself.
    let made: Vec<(&str, String, bool)> = vec![
        ("depth-32-arrays", nested("[", "]", MAX_DEPTH - 1), true),
        ("depth-33-arrays", nested("[", "]", MAX_DEPTH), false),
        ("depth-32-objects", nested("{\"a\":", "}", MAX_DEPTH - 1), true),
        ("depth-33-objects", nested("{\"a\":", "}", MAX_DEPTH), false),
        ("depth-33-mixed", nested("[{\"a\":", "}]", MAX_DEPTH / 2), false),
        ("depth-129-arrays", nested("[", "]", 128), false),
        ("number-of-400-digits", "9".repeat(400), false),
        ("number-minus-400-digits", format!("-{}", "9".repeat(400)), false),
        ("number-of-400-zeros-and-1", format!("{}1", "0".repeat(400)), false),
        ("number-with-400-decimals", format!("1.{}", "0".repeat(400)), false),
        ("keys-many", many("\"k20\""), true),
        ("keys-many-first-again", many("\"k0\""), false),
        ("keys-many-17th-again-escaped", many("\"k1\\u0036\""), false),
        ("keys-many-last-again", many("\"k19\""), false),
    ];
    let fixed = VALUES.iter().map(|(name, value, read)| (*name, value.to_vec(), *read));
    let made = made.into_iter().map(|(name, value, read)| (name, value.into_bytes(), read));
    let case = |(name, value, read): (&str, Vec<u8>, bool)| {
        let envelope = [&b"{\"x\":"[..], &value[..], &b"}"[..]].concat();
        to_verify(format!("json/{name}"), envelope, if read { "malformed at payload" } else { MALFORMED })
    };
    fixed.chain(made).map(case).collect()
}

/// What stands around a text as a whole: as the payload, and as the envelope.
fn frames() -> Vec<Case> {
    let framed = |text: &[u8]| -> Vec<(&'static str, Vec<u8>, bool)> {
        let around = |before: &[u8], after: &[u8]| [before, text, after].concat();
        vec![
            ("as-it-is", text.to_vec(), true),
            ("newline-at-the-end", around(b"", b"\n"), true),
            ("white-space-around", around(b" \r\n\t", b" \r\n\t"), true),
            ("byte-order-mark", around(b"\xef\xbb\xbf", b""), false),
            ("byte-order-mark-at-the-end", around(b"", b"\xef\xbb\xbf"), false),
            ("byte-order-mark-after-a-space", around(b" \xef\xbb\xbf", b""), false),
            ("utf-16", text.iter().flat_map(|byte| [*byte, 0]).collect(), false),
            ("second-value", around(b"", b"{}"), false),
            ("second-value-on-a-line", around(b"", b"\n{}\n"), false),
            ("second-value-null", around(b"", b" null"), false),
            ("letter-at-the-end", around(b"", b"x"), false),
            ("comma-at-the-end", around(b"", b","), false),
            ("brace-at-the-end", around(b"", b"}"), false),
            ("nul-at-the-end", around(b"", b"\0"), false),
            ("nul-at-the-start", around(b"\0", b""), false),
            ("record-separator", around(b"\x1e", b"\n"), false),
            ("xssi-guard", around(b")]}'\n", b""), false),
            ("cut-short", text[..text.len() - 1].to_vec(), false),
            ("in-an-array", around(b"[", b"]"), false),
            ("empty", Vec::new(), false),
            ("white-space-only", b" \n".to_vec(), false),
            ("null", b"null".to_vec(), false),
            ("empty-string", b"\"\"".to_vec(), false),
        ]
    };
    // Those that are refused stand around an empty object, of which a reader would miss the fields.
    let mut cases = Vec::new();
    for (name, text, read) in framed(&payload()) {
        if read {
            cases.push(to_verify(format!("payload-frame/{name}"), signed(&text), ACCEPTED));
        }
    }
    for (name, text, read) in framed(&signed(&payload())) {
        if read {
            cases.push(to_verify(format!("envelope-frame/{name}"), text, ACCEPTED));
        }
    }
    for (name, text, read) in framed(b"{}") {
        if !read {
            cases.push(to_verify(format!("payload-frame/{name}"), unsigned(&text), MALFORMED));
            cases.push(to_verify(format!("envelope-frame/{name}"), text, MALFORMED));
        }
    }
    cases
}

/// Keys that are there twice, at every level.
fn duplicates() -> Vec<Case> {
    let in_envelope = [
        ("envelope-payload", "{\"payload\":", "{\"payload\":\"\",\"payload\":", MALFORMED),
        ("envelope-payload-escaped", "{\"payload\":", "{\"\\u0070ayload\":\"\",\"payload\":", MALFORMED),
        ("envelope-signatures", "\"signatures\":", "\"signatures\":[],\"signatures\":", MALFORMED),
        ("envelope-unknown", "{\"payload\":", "{\"x\":1,\"x\":1,\"payload\":", MALFORMED),
        ("envelope-unknown-below", "{\"payload\":", "{\"x\":[{\"a\":1,\"a\":1}],\"payload\":", MALFORMED),
        ("signature-sig", "{\"sig\":", "{\"sig\":\"\",\"sig\":", MALFORMED),
        ("signature-keyid", "{\"sig\":", "{\"keyid\":\"\",\"keyid\":\"\",\"sig\":", MALFORMED),
        ("not-but-escaped", "{\"payload\":", "{\"\\u0070ayload\":", ACCEPTED),
    ];
    let in_statement = [
        ("statement-type", "{\"_type\":", "{\"_type\":\"\",\"_type\":", MALFORMED),
        ("statement-predicate", "\"predicate\":", "\"predicate\":{},\"predicate\":", MALFORMED),
        ("subject-name", "\"name\":", "\"name\":\"t\",\"name\":", MALFORMED),
        ("digest-sha256", "\"sha256\":", "\"sha256\":\"00\",\"sha256\":", MALFORMED),
        ("predicate-domain", "\"domain\":", "\"domain\":\"d1\",\"domain\":", MALFORMED),
        ("predicate-domain-escaped", "\"domain\":", "\"\\u0064omain\":\"d2\",\"domain\":", MALFORMED),
        ("predicate-sequence", "\"domain\":", "\"sequence\":1,\"sequence\":1,\"domain\":", MALFORMED),
        ("predicate-claims", NO_CLAIMS, "\"claims\":{},\"claims\":{}", MALFORMED),
        ("claims-status", NO_CLAIMS, "\"claims\":{\"status\":1,\"status\":2}", MALFORMED),
        ("claims-status-escaped", NO_CLAIMS, "\"claims\":{\"status\":1,\"\\u0073tatus\":2}", MALFORMED),
        ("claims-below", NO_CLAIMS, "\"claims\":{\"x\":[{\"a\":1,\"a\":2}]}", MALFORMED),
        ("not-but-escaped-predicate", "\"domain\":", "\"\\u0064omain\":", ACCEPTED),
    ];
    let envelope = signed(&payload());
    let outer = in_envelope.into_iter().map(|(name, from, to, expect)| {
        to_verify(format!("duplicate/{name}"), with(&envelope, from, to), expect)
    });
    let inner = in_statement.into_iter().map(|(name, from, to, expect)| {
        to_verify(format!("duplicate/{name}"), signed(&altered(from, to)), expect)
    });
    outer.chain(inner).collect()
}

/// Base64 in the payload and in a signature.
fn base64() -> Vec<Case> {
    // In base64, `~~~~~` has a `+` and `?????` a `/` wherever they begin. Spaces at the end set the padding.
    let of_length = |mut payload: Vec<u8>, rest: usize| {
        while payload.len() % 3 != rest {
            payload.push(b' ');
        }
        payload
    };
    // If one of the bad ones were read, the statement would lack its fields.
    let (good, bad) = (altered("\"t\"", "\"~~~~~?????\""), b"{\"x\":\"~~~~~?????\"}".to_vec());
    let payloads = [1, 2, 0].map(|rest| (of_length(good.clone(), rest), of_length(bad.clone(), rest)));
    let [two, one, none] = payloads.each_ref().map(|(good, _)| good.as_slice());
    let standard = |payload: &[u8]| encode_base64(payload);
    let url_safe = |payload: &[u8]| encode_base64(payload).replace('+', "-").replace('/', "_");
    let bare = |text: String| text.trim_end_matches('=').to_owned();
    // The last letter carries 4 unused bits before `==` and 2 before `=`.
    let dirty = |payload: &[u8]| {
        let text = encode_base64(payload);
        let (body, padding) = text.split_at(text.trim_end_matches('=').len());
        let (body, last) = body.split_at(body.len() - 1);
        let next = char::from(last.as_bytes()[0] + 1);
        assert!(next.is_ascii_alphanumeric());
        let text = format!("{body}{next}{padding}");
        assert_ne!(text, encode_base64(payload));
        text
    };
    let (text, safe) = (standard(two), url_safe(two));
    assert!(text.contains('+') && text.contains('/') && text.ends_with("=="));
    assert!(standard(one).ends_with('=') && !standard(none).ends_with('='));
    let mut given: Vec<(&str, &[u8], String, &str)> = vec![
        ("standard-2-pads", two, text.clone(), ACCEPTED),
        ("standard-1-pad", one, standard(one), ACCEPTED),
        ("standard-0-pads", none, standard(none), ACCEPTED),
        ("standard-bare-of-2", two, bare(standard(two)), ACCEPTED),
        ("standard-bare-of-1", one, bare(standard(one)), ACCEPTED),
        ("url-safe-2-pads", two, safe.clone(), ACCEPTED),
        ("url-safe-1-pad", one, url_safe(one), ACCEPTED),
        ("url-safe-bare-of-2", two, bare(safe.clone()), ACCEPTED),
        ("url-safe-bare-of-1", one, bare(url_safe(one)), ACCEPTED),
        ("url-safe-0-pads", none, url_safe(none), ACCEPTED),
        ("slashes-escaped", two, text.replace('/', "\\/"), ACCEPTED),
        ("plus-escaped", two, text.replace('+', "\\u002b"), ACCEPTED),
        ("pads-escaped", two, text.replace('=', "\\u003d"), ACCEPTED),
    ];
    let [two, one, none] = payloads.each_ref().map(|(_, bad)| bad.as_slice());
    let (text, safe) = (standard(two), url_safe(two));
    let middle = text.len() / 2;
    let insert = |what: &str| format!("{}{what}{}", &text[..middle], &text[middle..]);
    let at = "malformed at payload";
    given.extend([
        ("mixed-minus-and-slash", two, text.replace('+', "-"), at),
        ("mixed-plus-and-underscore", two, text.replace('/', "_"), at),
        ("pad-1-of-2", two, text[..text.len() - 1].to_owned(), at),
        ("pad-3-of-2", two, format!("{text}="), at),
        ("pad-2-of-1", one, format!("{}=", standard(one)), at),
        ("pad-1-of-0", none, format!("{}=", standard(none)), at),
        ("pad-4-of-0", none, format!("{}====", standard(none)), at),
        ("pad-1-of-2-url-safe", two, safe[..safe.len() - 1].to_owned(), at),
        ("pad-in-the-middle", two, insert("="), at),
        ("pad-then-more", two, format!("{text}{text}"), at),
        ("trailing-bits-of-2", two, dirty(two), at),
        ("trailing-bits-of-1", one, dirty(one), at),
        ("trailing-bits-bare", two, bare(dirty(two)), at),
        ("letter-alone", none, format!("{}A", standard(none)), at),
        ("space-inside", two, insert(" "), at),
        ("space-at-the-end", two, format!("{text} "), at),
        ("space-at-the-start", two, format!(" {text}"), at),
        ("newline-inside", two, insert("\\n"), at),
        ("newline-at-the-end", two, format!("{text}\\n"), at),
        ("carriage-return-inside", two, insert("\\r\\n"), at),
        ("nul-inside", two, insert("\\u0000"), at),
        ("star-inside", two, insert("*"), at),
        ("full-width-inside", two, insert("Ａ"), at),
        ("pads-only", two, "==".to_owned(), at),
        ("empty", &b""[..], String::new(), MALFORMED),
    ]);
    let mut cases: Vec<Case> = Vec::new();
    for (name, payload, text, expect) in given {
        let envelope = if expect == ACCEPTED { signed(payload) } else { unsigned(payload) };
        let from = format!("\"{}\"", encode_base64(payload));
        let envelope = with(&envelope, &from, format!("\"{text}\""));
        cases.push(to_verify(format!("base64-payload/{name}"), envelope, expect));
    }
    cases.extend(base64_in_signatures());
    cases
}

fn base64_in_signatures() -> Vec<Case> {
    // Of the signatures over payloads that differ in white space, one whose base64 has both letters.
    let (payload, text) = (0..1000usize)
        .map(|spaces| {
            let mut payload = payload();
            payload.resize(payload.len() + spaces, b' ');
            let text = encode_base64(&signature(1, &payload));
            (payload, text)
        })
        .find(|(_, text)| text.contains('+') && text.contains('/'))
        .unwrap();
    // 64 bytes leave 4 bits of the last letter unused.
    let (body, last) = text.trim_end_matches('=').split_at(85);
    let next = char::from(last.as_bytes()[0] + 1);
    assert!(matches!(last, "A" | "Q" | "g" | "w"));
    let at = "malformed at signatures[0].sig";
    let signatures = [
        ("standard", text.clone(), ACCEPTED),
        ("standard-bare", text.trim_end_matches('=').to_owned(), ACCEPTED),
        ("url-safe", text.replace('+', "-").replace('/', "_"), ACCEPTED),
        ("url-safe-bare", text.trim_end_matches('=').replace('+', "-").replace('/', "_"), ACCEPTED),
        ("mixed", text.replace('+', "-"), at),
        ("pad-1-of-2", text[..87].to_owned(), at),
        ("pad-3-of-2", format!("{text}="), at),
        ("trailing-bits", format!("{body}{next}=="), at),
        ("trailing-bits-bare", format!("{body}{next}"), at),
        ("newline-at-the-end", format!("{text}\\n"), at),
        ("space-at-the-start", format!(" {text}"), at),
        ("hex", hex::encode(signature(1, &payload)), SIGNATURE_INVALID),
        ("empty", String::new(), SIGNATURE_INVALID),
    ];
    let envelope = signed(&payload);
    let case = |(name, given, expect): (&str, String, &str)| {
        let envelope = with(&envelope, &format!("\"{text}\""), format!("\"{given}\""));
        to_verify(format!("base64-signature/{name}"), envelope, expect)
    };
    signatures.into_iter().map(case).collect()
}

/// The order of keys, and the spelling of those that must be there.
fn keys() -> Vec<Case> {
    let payload = payload();
    let sig = encode_base64(&signature(1, &payload));
    let body = encode_base64(&payload);
    let envelope = format!(
        "{{\"signatures\":[{{\"sig\":\"{sig}\"}}],\
         \"payloadType\":\"{STATEMENT_PAYLOAD_TYPE}\",\"payload\":\"{body}\"}}"
    );
    let issuers = texts([public(1)]);
    let statement = format!(
        "{{\"predicate\":{{\"claims\":{{}},\"issuedAt\":\"{ISSUED_AT}\",\
         \"issuers\":{issuers},\"lineage\":\"l1\",\"domain\":\"d1\",\"registry\":\"{ORIGIN}\"}},\
         \"predicateType\":\"urn:egpep:v1:runtime-attestation\",\
         \"subject\":[{{\"digest\":{{\"sha256\":\"{SUBJECT}\"}},\"name\":\"t\"}}],\
         \"_type\":\"https://in-toto.io/Statement/v1\"}}"
    );
    let renamed = |from: &str, to: &str| with(&signed(&payload), from, to);
    vec![
        to_verify("keys/envelope-reversed", envelope.into_bytes(), ACCEPTED),
        to_verify("keys/statement-reversed", signed(statement.as_bytes()), ACCEPTED),
        to_verify("keys/payload-upper-case", renamed("payload", "Payload"), "malformed at payload"),
        to_verify(
            "keys/payload-type-lower-case",
            renamed("payloadType", "payloadtype"),
            "malformed at payloadType",
        ),
        to_verify(
            "keys/payload-type-snake-case",
            renamed("payloadType", "payload_type"),
            "malformed at payloadType",
        ),
        to_verify(
            "keys/signatures-look-alike",
            renamed("signatures", "signaturеs"),
            "malformed at signatures",
        ),
        to_verify("keys/payload-with-a-nul", renamed("payload", "payload\\u0000"), "malformed at payload"),
        to_verify("keys/sig-upper-case", renamed("\"sig\"", "\"Sig\""), "malformed at signatures[0].sig"),
        to_verify("keys/no-signatures", unsigned(&payload), "unsigned_evidence at signatures"),
    ]
}

pub fn cases() -> Vec<Case> {
    [values(), frames(), duplicates(), base64(), keys()].into_iter().flatten().collect()
}
