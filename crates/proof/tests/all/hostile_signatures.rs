//! Signatures that must not count, and signatures that must be ignored.

use assent_proof::*;

use crate::interop::securesystemslib;
use crate::keys::LOW_ORDER;
use crate::make::{ORIGIN, altered, code_of, envelope_around, key, refused, statement};

/// The envelope of a statement by `issuers`, with whatever signatures `sign` puts there.
fn envelope(issuers: &[&SigningKey], sign: impl FnOnce(&mut Envelope)) -> Vec<u8> {
    let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, statement(issuers).to_vec());
    sign(&mut envelope);
    envelope.to_vec()
}

fn raw(key: &SigningKey, envelope: &Envelope, keyid: Option<&str>) -> EnvelopeSignature {
    EnvelopeSignature { keyid: keyid.map(str::to_owned), sig: key.sign(&envelope.pae()).to_vec() }
}

#[test]
fn every_issuer_with_a_valid_signature_is_accepted_whatever_the_order_and_key_ids() {
    let keys: Vec<SigningKey> = (1..=5).map(key).collect();
    let issuers: Vec<&SigningKey> = keys.iter().collect();
    let verified = verify(&sign_statement(&statement(&issuers), &issuers), ORIGIN, Rules::NEWEST).unwrap();
    assert_eq!(verified.statement(), &statement(&issuers));
    let reversed: Vec<&SigningKey> = keys.iter().rev().collect();
    let bytes = sign_statement(&statement(&issuers), &reversed);
    let again = verify(&bytes, ORIGIN, Rules::NEWEST).unwrap();
    assert_eq!(again.id(), verified.id());
    assert_eq!(&again.bytes()[..], &bytes[..]);
    for keyid in [None, Some(""), Some("the same for all")] {
        let bytes =
            envelope(&issuers, |e| e.signatures = reversed.iter().map(|key| raw(key, e, keyid)).collect());
        assert_eq!(verify(&bytes, ORIGIN, Rules::NEWEST).unwrap().id(), verified.id());
    }
}

/// Rule R76.
#[test]
fn thirty_two_issuers_verify_with_key_ids_in_any_order_and_without_in_theirs() {
    let keys: Vec<SigningKey> = (1..=32).map(key).collect();
    let issuers: Vec<&SigningKey> = keys.iter().collect();
    let reversed: Vec<&SigningKey> = keys.iter().rev().collect();
    verify(&sign_statement(&statement(&issuers), &reversed), ORIGIN, Rules::NEWEST).unwrap();
    let bytes = envelope(&issuers, |e| e.signatures = issuers.iter().map(|key| raw(key, e, None)).collect());
    verify(&bytes, ORIGIN, Rules::NEWEST).unwrap();
    // The worst order without key ids goes over the bound on attempts, and is refused rather than tried for long.
    let bytes = envelope(&issuers, |e| e.signatures = reversed.iter().map(|key| raw(key, e, None)).collect());
    refused(verify(&bytes, ORIGIN, Rules::NEWEST), Code::TooLarge, "signatures");
}

#[test]
fn no_signatures_are_unsigned_evidence() {
    refused(
        verify(&envelope(&[&key(1)], |_| {}), ORIGIN, Rules::NEWEST),
        Code::UnsignedEvidence,
        "signatures",
    );
}

/// Rule R75.
#[test]
fn a_missing_signature_is_unsigned_evidence_even_if_another_issuer_signed_twice() {
    let (a, b) = (key(1), key(2));
    let once = envelope(&[&a, &b], |e| e.sign_with(&a));
    assert_eq!(code_of(verify(&once, ORIGIN, Rules::NEWEST)), Code::UnsignedEvidence);
    let twice = envelope(&[&a, &b], |e| {
        let (first, second) = (raw(&a, e, Some("first")), raw(&a, e, Some(&b.public().keyid())));
        e.signatures = vec![first, second];
    });
    assert_eq!(code_of(verify(&twice, ORIGIN, Rules::NEWEST)), Code::UnsignedEvidence);
}

#[test]
fn a_wrong_key_under_the_right_key_id_is_signature_invalid() {
    let (a, other) = (key(1), key(2));
    let keyid = a.public().keyid();
    let bytes = envelope(&[&a], |e| e.signatures = vec![raw(&other, e, Some(&keyid))]);
    refused(verify(&bytes, ORIGIN, Rules::NEWEST), Code::SignatureInvalid, "signatures");
    // Beside it, the right key under a wrong key id is enough.
    let bytes = envelope(&[&a], |e| {
        e.signatures = vec![raw(&other, e, Some(&keyid)), raw(&a, e, Some(&other.public().keyid()))];
    });
    verify(&bytes, ORIGIN, Rules::NEWEST).unwrap();
}

/// Rule R75.
#[test]
fn signatures_by_others_and_of_other_algorithms_are_ignored() {
    let a = key(1);
    let bytes = envelope(&[&a], |e| {
        let noise = |sig: Vec<u8>| EnvelopeSignature { keyid: None, sig };
        e.signatures = vec![
            noise(vec![]),
            noise(vec![0; 64]),
            noise(vec![1; 512]),
            raw(&key(2), e, None),
            raw(&a, e, None),
        ];
    });
    verify(&bytes, ORIGIN, Rules::NEWEST).unwrap();
}

#[test]
fn s_plus_l_is_refused() {
    // The group's order, 2^252 + 27742317777372353535851937790883648493, little-endian.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let a = key(1);
    let bytes = envelope(&[&a], |e| {
        let mut signature = raw(&a, e, None);
        let mut carry = 0u16;
        for (byte, add) in signature.sig[32..].iter_mut().zip(&order) {
            carry += u16::from(*byte) + u16::from(*add);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        e.signatures = vec![signature];
    });
    assert_eq!(code_of(verify(&bytes, ORIGIN, Rules::NEWEST)), Code::SignatureInvalid);
}

#[test]
fn a_small_order_r_that_lax_verifiers_accept_is_refused() {
    let fixture = securesystemslib();
    let text = |name: &str| fixture.get(name).unwrap().as_str().unwrap().to_owned();
    let forged: [u8; 64] = hex::decode(text("small_order_r_signature")).unwrap().try_into().unwrap();
    let honest = text("public").parse::<String>().unwrap();
    let public: PublicKey = format!("ed25519:{honest}").parse().unwrap();
    let pae = hex::decode(text("pae")).unwrap();
    let lax = ed25519_dalek::VerifyingKey::from_bytes(public.as_bytes()).unwrap();
    ed25519_dalek::Verifier::verify(&lax, &pae, &ed25519_dalek::Signature::from_bytes(&forged)).unwrap();
    assert!(!public.verify(&pae, &forged));
    let envelopes = fixture.get("envelopes").unwrap().as_array().unwrap();
    let mut envelope = Envelope::parse(envelopes[0].as_str().unwrap().as_bytes()).unwrap();
    envelope.signatures[0].sig = forged.to_vec();
    assert_eq!(code_of(verify(&envelope.to_vec(), ORIGIN, Rules::NEWEST)), Code::SignatureInvalid);
    for hex in LOW_ORDER {
        let mut sig = forged;
        sig[..32].copy_from_slice(&hex::decode(hex).unwrap());
        assert!(!public.verify(&pae, &sig));
        sig[32..].fill(0);
        assert!(!public.verify(&pae, &sig));
    }
}

#[test]
fn an_issuer_of_low_order_is_malformed_before_any_signature_counts() {
    let honest = key(1).public().to_string();
    for hex in LOW_ORDER {
        let payload = altered(&honest, &format!("ed25519:{hex}"));
        // R the neutral point and S zero verify under such a key for any message, if one lets them.
        let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, payload);
        let mut sig = vec![0; 64];
        sig[0] = 1;
        envelope.signatures.push(EnvelopeSignature { keyid: None, sig });
        refused(verify(&envelope.to_vec(), ORIGIN, Rules::NEWEST), Code::Malformed, "predicate.issuers[0]");
    }
}

/// Rule R75.
#[test]
fn a_changed_payload_or_payload_type_is_refused() {
    let a = key(1);
    let signed = Envelope::parse(&sign_statement(&statement(&[&a]), &[&a])).unwrap();
    let mut changed = signed.clone();
    changed.payload = altered(r#""sequence":4"#, r#""sequence":5"#);
    assert_eq!(code_of(verify(&changed.to_vec(), ORIGIN, Rules::NEWEST)), Code::SignatureInvalid);
    let mut retyped = signed.clone();
    retyped.payload_type = "application/vnd.in-toto+json;x".into();
    refused(verify(&retyped.to_vec(), ORIGIN, Rules::NEWEST), Code::Malformed, "payloadType");
    // A statement signed under another type does not become evidence by relabelling.
    let mut other = Envelope::unsigned(DECISIONS_PAYLOAD_TYPE, signed.payload.clone());
    other.sign_with(&a);
    other.payload_type = STATEMENT_PAYLOAD_TYPE.into();
    assert_eq!(code_of(verify(&other.to_vec(), ORIGIN, Rules::NEWEST)), Code::SignatureInvalid);
}

/// Rule R74.
#[test]
fn an_envelope_for_another_registry_is_refused() {
    let bytes = sign_statement(&statement(&[&key(1)]), &[&key(1)]);
    for origin in ["registry.example/eu-2", "registry.example/eu-1/", "Registry.example/eu-1", ""] {
        refused(verify(&bytes, origin, Rules::NEWEST), Code::WrongRegistry, "predicate.registry");
    }
}

#[test]
fn checks_come_in_their_order() {
    let a = key(1);
    let huge = vec![b' '; MAX_ENVELOPE_BYTES + 1];
    assert_eq!(code_of(verify(&huge, "elsewhere", Rules::NEWEST)), Code::TooLarge);
    assert_eq!(code_of(verify(&huge[1..], "elsewhere", Rules::NEWEST)), Code::Malformed);
    // Unsigned and for another registry: the registry is named first.
    assert_eq!(code_of(verify(&envelope(&[&a], |_| {}), "elsewhere", Rules::NEWEST)), Code::WrongRegistry);
    let unknown = envelope_around(altered("runtime-attestation", "runtime-attestatiom"), &a);
    refused(verify(&unknown, "elsewhere", Rules::NEWEST), Code::Malformed, "predicateType");
}

/// Rule R73.
#[test]
fn an_envelope_of_exactly_64_kib_is_accepted_and_one_byte_more_is_not() {
    let mut bytes = sign_statement(&statement(&[&key(1)]), &[&key(1)]);
    bytes.resize(MAX_ENVELOPE_BYTES, b' ');
    verify(&bytes, ORIGIN, Rules::NEWEST).unwrap();
    bytes.push(b' ');
    refused(verify(&bytes, ORIGIN, Rules::NEWEST), Code::TooLarge, "");
}

#[test]
fn parsing_an_envelope_verifies_no_signature_and_verifying_the_parsed_one_is_the_same() {
    let (a, b, other) = (key(1), key(2), key(3));
    let good = sign_statement(&statement(&[&a, &b]), &[&a, &b]);
    let parsed = ParsedEnvelope::parse(&good, ORIGIN, Rules::NEWEST).unwrap();
    let verified = verify(&good, ORIGIN, Rules::NEWEST).unwrap();
    assert_eq!((parsed.id(), parsed.statement()), (verified.id(), verified.statement()));
    assert_eq!(parsed.signatures_max(), 4);
    assert_eq!(parsed.verify().unwrap().id(), verified.id());
    let bad = envelope(&[&a], |e| e.signatures = (0..64).map(|_| raw(&other, e, None)).collect());
    let parsed = ParsedEnvelope::parse(&bad, ORIGIN, Rules::NEWEST).unwrap();
    assert_eq!(parsed.signatures_max(), 64);
    let refusal = verify(&bad, ORIGIN, Rules::NEWEST).unwrap_err();
    assert_eq!(parsed.verify().unwrap_err(), refusal);
    assert_eq!(refusal.code, Code::TooLarge, "attempts count also for what was tried before");
}
