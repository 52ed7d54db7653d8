//! JSON that must be refused: every vector gets an error that says why.

use assent_proof::json::{self, FieldError, Fields, Json};
use assent_proof::*;

use crate::make::{altered, envelope_around, key, refused};

#[track_caller]
fn problem(text: impl AsRef<[u8]>) -> String {
    json::parse(text.as_ref()).unwrap_err().to_string()
}

#[test]
fn duplicate_keys_are_refused_at_every_depth_and_however_they_are_escaped() {
    for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"x":{"y":[{"a":1,"b":2,"a":3}]}}]"#] {
        assert!(problem(text).contains("duplicate key `a`"), "{text}");
    }
    // Objects beyond the linear search take another path.
    let many: Vec<String> = (0..40).map(|i| format!("\"k{i}\":0")).collect();
    assert!(json::parse(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
    for again in ["k0", "k15", "k16", "k39", "k1\\u0036"] {
        let text = format!("{{{},\"{again}\":0}}", many.join(","));
        assert!(problem(text).contains("duplicate key"), "{again}");
    }
}

#[test]
fn errors_name_line_and_column() {
    assert!(problem("{\n  \"a\": 1,\n  \"a\": 2\n}").contains("line 3"));
    assert!(problem("[1,]").contains("line 1 column 4"));
}

#[test]
fn numbers_that_are_no_64_bit_integers_are_refused() {
    for text in [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
        "1.0",
        "0.5",
        "1e3",
        "1E400",
        "-0",
        "-0.0",
        "1e-1",
    ] {
        assert!(problem(text).contains("number"), "{text}: {}", problem(text));
    }
    for text in ["01", "+1", "0x10", "NaN", "Infinity", "-", ".5", "1."] {
        json::parse(text.as_bytes()).unwrap_err();
    }
    assert_eq!(json::parse(b"9223372036854775807").unwrap(), Json::Int(i64::MAX));
    assert_eq!(json::parse(b"-9223372036854775808").unwrap(), Json::Int(i64::MIN));
}

#[test]
fn lone_surrogates_bad_utf8_and_raw_control_characters_are_refused() {
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#"{"\udfff":1}"#,
        r#""\uD83D\u0041""#,
    ] {
        problem(text);
    }
    assert_eq!(json::parse(br#""\ud83d\ude00""#).unwrap(), Json::text("😀"));
    for bytes in
        [&b"\"\xff\""[..], b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf4\x90\x80\x80\"", b"{\"\xff\":1}"]
    {
        problem(bytes);
    }
    for bytes in [&b"\"a\0b\""[..], b"\"a\nb\"", b"\0", b"{}\0", b"\0{}"] {
        problem(bytes);
    }
}

#[test]
fn a_byte_order_mark_trailing_data_and_lax_syntax_are_refused() {
    assert!(problem(b"\xef\xbb\xbf{}").contains("byte order mark"));
    problem(b"\xff\xfe{\0}\0");
    for text in [
        "{} {}",
        "{}x",
        "1 2",
        "[1]]",
        "",
        " ",
        "{",
        "[",
        "{\"a\"",
        "{\"a\":",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "{\"a\":1,}",
        "//c\n1",
        "nul",
        "TRUE",
        "\"a",
    ] {
        problem(text);
    }
    assert_eq!(json::parse(b" \t\r\n{ } \n").unwrap(), Json::Object(vec![]));
}

#[test]
fn nesting_is_read_to_depth_32_and_no_deeper() {
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    assert!(json::parse(nested("[", "]", MAX_DEPTH).as_bytes()).is_ok());
    for depth in [MAX_DEPTH + 1, 128, 200_000] {
        assert!(problem(nested("[", "]", depth)).contains("nested deeper than 32"), "{depth}");
    }
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(json::parse(objects(MAX_DEPTH).as_bytes()).is_ok());
    assert!(problem(objects(MAX_DEPTH + 1)).contains("nested deeper than 32"));
    // Siblings do not add up.
    assert!(json::parse(format!("[{}]", vec!["[[]]"; 1000].join(",")).as_bytes()).is_ok());
}

#[test]
fn a_hostile_key_is_quoted_short_and_on_one_line() {
    let key = format!("\\u001b[2J\\n{}", "x".repeat(5000));
    let message = problem(format!("{{\"{key}\":1,\"{key}\":2}}"));
    assert!(message.len() < 400 && !message.chars().any(char::is_control), "{message}");
}

#[test]
fn the_reader_of_objects_names_the_field_at_fault() {
    let value = json::parse(br#"{"a":{"b":[1]},"n":null,"t":"x","i":3}"#).unwrap();
    let mut fields = Fields::of(&value, "").unwrap();
    let mut a = fields.object("a").unwrap();
    assert_eq!(a.text("b").unwrap_err(), FieldError::new("a.b", "must be a string, not an array"));
    assert_eq!(
        a.list::<String>("b", 8).unwrap_err(),
        FieldError::new("a.b[0]", "must be a string, not an integer")
    );
    assert_eq!(a.int("c").unwrap_err(), FieldError::new("a.c", "is missing"));
    assert_eq!(fields.text("n").unwrap_err(), FieldError::new("n", "must be a string, not null"));
    assert_eq!(fields.opt_text("n").unwrap(), None);
    assert_eq!(fields.opt_text("absent").unwrap(), None);
    assert_eq!(fields.object("t").unwrap_err().problem, "must be an object, not a string");
    assert_eq!(fields.finish().unwrap_err(), FieldError::new("i", "is an unknown field"));
    let refusal = Refusal::from(FieldError::new("a.b", "is missing"));
    assert_eq!(refusal.to_string(), "malformed: `a.b` is missing");
    assert_eq!(Refusal::from(FieldError::new("", "is bad")).field, None);
}

#[test]
fn an_array_where_an_object_belongs_is_refused_in_envelopes_and_statements() {
    refused(Envelope::parse(b"[]"), Code::Malformed, "");
    refused(Envelope::parse(br#"["","t",[]]"#), Code::Malformed, "");
    let signatures = br#"{"payload":"","payloadType":"t","signatures":[["",""]]}"#;
    refused(Envelope::parse(signatures), Code::Malformed, "signatures[0]");
    let text = |from: &str, to: &str| Statement::parse(&altered(from, to));
    refused(
        text(
            r#""claims":{"verifier":"verifier-1","status":"affirming","measurement":"sha384:00ff"}"#,
            r#""claims":[]"#,
        ),
        Code::Malformed,
        "predicate.claims",
    );
    refused(Statement::parse(br#"["https://in-toto.io/Statement/v1"]"#), Code::Malformed, "");
}

/// Rule R73.
#[test]
fn hostile_json_inside_a_signed_payload_is_malformed_although_its_signature_holds() {
    let key = key(1);
    let vectors = [
        (r#""sequence":4"#, r#""sequence":4,"sequence":5"#, ""),
        (r#""sequence":4"#, r#""sequence":4,"\u0073equence":5"#, ""),
        (r#""status":"affirming""#, r#""status":"none","status":"affirming""#, ""),
        (r#""sequence":4"#, r#""sequence":4.5"#, ""),
        (r#""sequence":4"#, r#""sequence":4.0e0"#, ""),
        (r#""sequence":4"#, r#""sequence":-0.0"#, ""),
        (r#""sequence":4"#, r#""sequence":400000000000000000000000000000"#, ""),
        (r#""sequence":4"#, r#""sequence":-1"#, "predicate.sequence"),
        (r#""sequence":4"#, r#""sequence":"4""#, "predicate.sequence"),
        (r#"verifier-1"#, r#"\ud800"#, ""),
        (r#""sequence":4"#, r#""sequence":4,"note":"x""#, "predicate.note"),
        (r#""predicate":{"#, r#""predicate":[{"#, ""),
    ];
    for (from, to, field) in vectors {
        refused(
            verify(&envelope_around(altered(from, to), &key), crate::make::ORIGIN, Rules::NEWEST),
            Code::Malformed,
            field,
        );
    }
    let bom = [b"\xef\xbb\xbf".to_vec(), altered("prod.eu", "prod.eu")].concat();
    let trailing = [altered("prod.eu", "prod.eu"), b"{}".to_vec()].concat();
    for payload in [bom, trailing] {
        refused(
            verify(&envelope_around(payload, &key), crate::make::ORIGIN, Rules::NEWEST),
            Code::Malformed,
            "",
        );
    }
}
