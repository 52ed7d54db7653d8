//! The envelope's form.

use assent_proof::*;

use crate::make::{code_of, envelope_around, key, refused};

fn parse(text: &str) -> Result<Envelope, Refusal> {
    Envelope::parse(text.as_bytes())
}

#[test]
fn the_pre_authentication_encoding_is_that_of_the_specification_and_counts_bytes() {
    let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    assert_eq!(pae("ü", b"\xff\0"), b"DSSEv1 2 \xc3\xbc 2 \xff\0");
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
}

#[test]
fn both_base64_alphabets_are_read_padded_or_not_and_nothing_looser() {
    let bytes = [0xfb, 0xef, 0xff, 0x00];
    for text in ["++//AA==", "++//AA", "--__AA==", "--__AA"] {
        assert_eq!(decode_base64(text).unwrap(), bytes, "{text}");
    }
    assert_eq!(encode_base64(&bytes), "++//AA==");
    assert_eq!(decode_base64("").unwrap(), b"");
    for text in [
        "++__AA",
        "++//AA=",
        "++//AA===",
        "++//AB==",
        "++//A",
        " ++//AA==",
        "++//\nAA==",
        "=",
        "====",
        "++//AA==++//",
        "é",
    ] {
        assert_eq!(decode_base64(text), None, "{text}");
    }
}

#[test]
fn one_id_whatever_the_encoding_and_the_signatures() {
    let bytes = envelope_around(b"?>?>\xff".to_vec(), &key(1));
    let envelope = Envelope::parse(&bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("Pz4/Pv8="));
    let spaced = text.replace(":", " : ").replace("Pz4/Pv8=", "Pz4_Pv8");
    let mut other = parse(&spaced).unwrap();
    assert_eq!(other, envelope);
    other.sign_with(&key(2));
    assert_eq!(other.id(), envelope.id());
    other.payload_type.push('x');
    assert_ne!(other.id(), envelope.id());
}

#[test]
fn unknown_fields_are_ignored_but_must_be_strict_json() {
    let text = r#"{"x":{"y":[1]},"payload":"","payloadType":"t","signatures":[{"sig":"AA==","extra":null}]}"#;
    let envelope = parse(text).unwrap();
    assert_eq!(envelope.signatures, [EnvelopeSignature { keyid: None, sig: vec![0] }]);
    assert_eq!(code_of(parse(&text.replace("[1]", "[1.5]"))), Code::Malformed);
    assert_eq!(code_of(parse(&text.replace("\"y\"", "\"y\":1,\"y\""))), Code::Malformed);
}

#[test]
fn each_error_names_its_field() {
    let good = r#"{"payload":"","payloadType":"t","signatures":[{"keyid":"k","sig":""}]}"#;
    parse(good).unwrap();
    for (from, to, field) in [
        (r#""payload":"""#, r#""payload":"*""#, "payload"),
        (r#""payload":"""#, r#""payload":null"#, "payload"),
        (r#""payload":"","#, "", "payload"),
        (r#""payloadType":"t","#, "", "payloadType"),
        (r#""t""#, "[]", "payloadType"),
        (r#"[{"keyid":"k","sig":""}]"#, "{}", "signatures"),
        (r#","signatures":[{"keyid":"k","sig":""}]"#, "", "signatures"),
        (r#"{"keyid":"k","sig":""}"#, "7", "signatures[0]"),
        (r#""k""#, "1", "signatures[0].keyid"),
        (r#","sig":"""#, "", "signatures[0].sig"),
        (r#""sig":"""#, r#""sig":"===""#, "signatures[0].sig"),
    ] {
        assert!(good.contains(from), "{from}");
        refused(parse(&good.replacen(from, to, 1)), Code::Malformed, field);
    }
}

#[test]
fn base64_with_line_ends_is_refused_and_the_error_says_where_they_are() {
    let good = r#"{"payload":"AAAAAAAA","payloadType":"t","signatures":[{"sig":"AAAA"}]}"#;
    parse(good).unwrap();
    for (from, to, field, at) in [
        ("AAAAAAAA", r"AAAA\nAAAA", "payload", "byte 4"),
        ("AAAAAAAA", r"AAAAAAAA\r\n", "payload", "byte 8"),
        (r#""sig":"AAAA""#, r#""sig":"\nAAAA""#, "signatures[0].sig", "byte 0"),
    ] {
        let refusal = parse(&good.replacen(from, to, 1)).unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Malformed, Some(field)));
        assert!(refusal.detail.contains("line end") && refusal.detail.contains(at), "{refusal}");
    }
    let spaced = parse(&good.replacen("AAAAAAAA", "AAAA AAAA", 1)).unwrap_err();
    assert_eq!(spaced.detail, "is not base64");
}

#[test]
fn more_than_64_signatures_are_refused() {
    let with = |n: usize| {
        let signatures = vec![r#"{"sig":""}"#; n].join(",");
        parse(&format!(r#"{{"payload":"","payloadType":"t","signatures":[{signatures}]}}"#))
    };
    assert_eq!(with(MAX_SIGNATURES).unwrap().signatures.len(), 64);
    refused(with(MAX_SIGNATURES + 1), Code::Malformed, "signatures");
}

#[test]
fn signing_again_replaces_that_key_and_keeps_the_others() {
    let mut envelope = Envelope::unsigned("t", b"payload".to_vec());
    envelope.sign_with(&key(1));
    envelope.sign_with(&key(2));
    let both = envelope.clone();
    envelope.sign_with(&key(2));
    assert_eq!(envelope, both);
    // A signature of the key under another key's id counts as that key's; so does a wrong signature under its
    // own id.
    envelope.signatures[1].keyid = Some("other".into());
    envelope.signatures[0].sig = vec![0; 64];
    envelope.sign_with(&key(2));
    envelope.sign_with(&key(1));
    assert_eq!(envelope.signatures.len(), 2);
    assert!(envelope.signatures.iter().all(|s| both.signatures.contains(s)));
}

#[test]
fn a_signature_made_elsewhere_is_attached_only_if_it_verifies() {
    let mut envelope = Envelope::unsigned("t", b"payload".to_vec());
    let (key, other) = (key(1), key(2));
    let sig = key.sign(&envelope.pae());
    assert_eq!(code_of(envelope.attach(&other.public(), sig)), Code::SignatureInvalid);
    assert_eq!(code_of(envelope.attach(&key.public(), [0; 64])), Code::SignatureInvalid);
    assert!(envelope.signatures.is_empty());
    envelope.attach(&key.public(), sig).unwrap();
    let mut signed = Envelope::unsigned("t", b"payload".to_vec());
    signed.sign_with(&key);
    assert_eq!(envelope, signed);
}
