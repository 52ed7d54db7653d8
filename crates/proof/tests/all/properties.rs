//! Properties over arbitrary input.

use assent_proof::*;
use proptest::prelude::*;

use crate::make::{ORIGIN, key, statement};

fn arbitrary_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Int),
        any::<String>().prop_map(Json::Text),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..24)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

fn arbitrary_statement() -> impl Strategy<Value = Statement> {
    let id = || any::<[u8; 32]>().prop_map(EvidenceId);
    let time = || (0..253_402_300_800i64).prop_map(Seconds);
    (
        (any::<[u8; 32]>(), prop::option::of("[ -~é]{1,40}"), prop::sample::select(EvidenceKind::ALL)),
        ("[ -~]{1,256}", "[a-z0-9][a-z0-9._-]{0,127}", "[a-z0-9][a-z0-9._-]{0,127}"),
        (
            prop::option::of(0..=i64::MAX as u64),
            prop::option::of(id()),
            prop::collection::btree_set(id(), 0..8),
        ),
        (time(), prop::option::of(time()), prop::collection::btree_map("[a-z]{1,8}", arbitrary_json(), 0..4)),
        prop::collection::btree_set(1u8..=255, 1..6),
    )
        .prop_map(|(subject, names, slot, rest, keys)| Statement {
            subject: Sha256(subject.0),
            subject_name: subject.1,
            kind: subject.2,
            registry: names.0,
            domain: names.1.parse().unwrap(),
            lineage: names.2.parse().unwrap(),
            sequence: slot.0,
            parent: slot.1,
            references: slot.2.into_iter().collect(),
            issued_at: rest.0,
            expires_at: rest.1,
            claims: Json::Object(rest.2.into_iter().collect()),
            issuers: keys
                .into_iter()
                .take(if subject.2.is_execution() { 1 } else { 6 })
                .map(|seed| key(seed).public())
                .collect(),
        })
}

proptest! {
    #[test]
    fn json_reads_back_as_it_was_written_here_and_elsewhere(value in arbitrary_json()) {
        prop_assert_eq!(&json::parse(&value.to_vec()).unwrap(), &value);
        prop_assert_eq!(&json::parse_payload(&value.to_vec()).unwrap(), &value);
        let theirs: serde_json::Value = serde_json::from_slice(&value.to_vec()).unwrap();
        prop_assert!(json::parse(theirs.to_string().as_bytes()).unwrap().same_as(&value));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = json::parse(&bytes);
        let _ = json::parse_payload(&bytes);
        let _ = Envelope::parse(&bytes);
        let _ = Statement::parse(&bytes);
        let _ = AuthorizeRequest::parse(&bytes);
        let _ = verify(&bytes, ORIGIN, Rules::NEWEST);
        let _ = verify_decision(&bytes, &[]);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (PublicKey::from_pem(&text), SigningKey::from_pem(&text).is_ok(), decode_base64(&text));
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in arbitrary_json(), kind in prop::sample::select(EvidenceKind::ALL)) {
        let _ = Envelope::from_json(&value, "");
        let _ = Statement::from_json(&value);
        let _ = AuthorizeRequest::from_json(&value, "");
        let _ = Claims::parse(Rules::NEWEST, kind, &value);
        let _ = DecisionReceipt::from_json(&value, "receipt");
    }

    #[test]
    fn json_with_a_changed_byte_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut payload = statement(&[&key(1)]).to_vec();
        let at = at.index(payload.len());
        payload[at] = byte;
        let _ = Statement::parse(&payload);
    }

    #[test]
    fn envelopes_read_back_as_they_were_written(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        payload_type in any::<String>(),
        signatures in prop::collection::vec(
            (prop::option::of(any::<String>()), prop::collection::vec(any::<u8>(), 0..80)), 0..6),
    ) {
        let signatures = signatures.into_iter().map(|(keyid, sig)| EnvelopeSignature { keyid, sig }).collect();
        let envelope = Envelope { payload, payload_type, signatures };
        prop_assert_eq!(Envelope::parse(&envelope.to_vec()).unwrap(), envelope);
    }

    #[test]
    fn statements_read_back_as_they_were_written(statement in arbitrary_statement()) {
        prop_assert_eq!(Statement::parse(&statement.to_vec()).unwrap(), statement);
    }

    #[test]
    fn base64_reads_back_and_has_one_spelling_in_its_form(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let text = encode_base64(&bytes);
        prop_assert_eq!(decode_base64(&text).unwrap(), bytes.clone());
        prop_assert_eq!(decode_base64(text.trim_end_matches('=')).unwrap(), bytes);
    }

    #[test]
    fn times_read_back_as_they_were_written(seconds in 0..253_402_300_800i64) {
        prop_assert_eq!(Seconds(seconds).to_string().parse::<Seconds>().unwrap(), Seconds(seconds));
    }

    #[test]
    fn a_changed_byte_never_verifies_as_something_else(at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let keys = [key(1), key(2)];
        let honest = sign_statement(&statement(&[&keys[0], &keys[1]]), &[&keys[0], &keys[1]]);
        let id = verify(&honest, ORIGIN, Rules::NEWEST).unwrap().id();
        let mut changed = honest;
        let at = at.index(changed.len());
        changed[at] ^= flip;
        // What still verifies (a changed key id, say) says the same.
        if let Ok(verified) = verify(&changed, ORIGIN, Rules::NEWEST) {
            prop_assert_eq!(verified.id(), id);
        }
    }

    #[test]
    fn a_changed_byte_of_a_decision_never_verifies_as_another_decision(
        at in any::<prop::sample::Index>(), flip in 1u8..=255,
    ) {
        let leaf = |n: i64| Json::object([
            ("decision", Json::text("deny")), ("n", Json::Int(n)), ("salt", Json::Text(encode_base64(&[9; 16]))),
        ]).to_vec();
        let receipt = sign_batch((0..5).map(leaf).collect(), &key(1)).remove(2);
        let honest = Json::object([
            ("decision", Json::text("deny")), ("n", Json::Int(2)), ("receipt", receipt.to_json()),
        ]).to_vec();
        let trusted = [key(1).public()];
        let expected = verify_decision(&honest, &trusted).unwrap();
        let mut changed = honest;
        let at = at.index(changed.len());
        changed[at] ^= flip;
        if let Ok(verified) = verify_decision(&changed, &trusted) {
            prop_assert_eq!(verified, expected);
        }
    }
}
