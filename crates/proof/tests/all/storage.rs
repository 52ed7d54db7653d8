//! Serde: text where people read, and positional MessagePack with raw bytes where the registry stores. Values are
//! validated when they are read, whatever wrote them.

use assent_proof::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::claims::examples;
use crate::keys::LOW_ORDER;
use crate::make::key;

fn both_ways<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    assert_eq!(rmp_serde::from_slice::<T>(&rmp_serde::to_vec(value).unwrap()).unwrap(), *value);
    assert_eq!(serde_json::from_str::<T>(&serde_json::to_string(value).unwrap()).unwrap(), *value);
}

#[test]
fn every_stored_type_reads_back_from_json_and_from_messagepack() {
    both_ways(&key(1).public());
    both_ways(&EvidenceId([255; 32]));
    both_ways(&Sha256([0; 32]));
    both_ways(&DomainName::root());
    both_ways(&LineageName::governance());
    both_ways(&"run job".parse::<Token>().unwrap());
    both_ways(&Seconds(1_795_374_000));
    both_ways(&Millis(1_795_374_000_123));
    both_ways(&Refusal::at(Code::Malformed, "predicate.claims", "is missing"));
    both_ways(&Refusal::new(Code::NoQuorum, "no answer in time"));
    both_ways(&Code::ALL.to_vec());
    both_ways(&EvidenceKind::ALL.to_vec());
    both_ways(&Role::ALL.to_vec());
    for (kind, text) in examples() {
        both_ways(&Claims::parse(Rules::NEWEST, kind, &json::parse(text.as_bytes()).unwrap()).unwrap());
    }
}

#[test]
fn stored_bytes_are_pinned() {
    let hex = |value: &dyn Fn() -> Vec<u8>| hex::encode(value());
    let id = EvidenceId([0xab; 32]);
    assert_eq!(hex(&|| rmp_serde::to_vec(&id).unwrap()), format!("c420{}", "ab".repeat(32)));
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"blake3:{}\"", "ab".repeat(32)));
    let public = key(1).public();
    assert_eq!(
        hex(&|| rmp_serde::to_vec(&public).unwrap()),
        format!("c420{}", hex::encode(public.as_bytes()))
    );
    assert_eq!(hex(&|| rmp_serde::to_vec(&Seconds(3)).unwrap()), "03");
    assert_eq!(serde_json::to_string(&Seconds(3)).unwrap(), "\"1970-01-01T00:00:03Z\"");
    assert_eq!(serde_json::to_string(&Millis(3)).unwrap(), "3");
    let refusal = Refusal::new(Code::HeadMoved, "x");
    assert_eq!(hex(&|| rmp_serde::to_vec(&refusal).unwrap()), "93aa686561645f6d6f766564c0a178");
    let claims = Claims::RuntimeAttestation {
        verifier: "v".into(),
        status: AttestationStatus::Affirming,
        measurement: "m".into(),
    };
    let expected = "81b252756e74696d654174746573746174696f6e93a176a9616666697 26d696e67a16d".replace(' ', "");
    assert_eq!(hex(&|| rmp_serde::to_vec(&claims).unwrap()), expected);
}

#[test]
fn stored_bytes_that_are_no_longer_valid_are_refused() {
    for hex in LOW_ORDER {
        let raw = [vec![0xc4, 0x20], hex::decode(hex).unwrap()].concat();
        // Stored keys are not looked at again; a bad one could still sign nothing.
        let stored = rmp_serde::from_slice::<PublicKey>(&raw).unwrap();
        let mut forged = hex::decode(hex).unwrap();
        forged.extend_from_slice(&[0; 32]);
        assert!(!stored.verify(b"anything", &forged));
        assert!(rmp_serde::from_slice::<EvidenceId>(&raw).is_ok());
        assert!(serde_json::from_str::<PublicKey>(&format!("\"ed25519:{hex}\"")).is_err());
    }
    for len in [0u8, 31, 33] {
        let raw = [vec![0xc4, len], vec![1; len.into()]].concat();
        assert!(rmp_serde::from_slice::<EvidenceId>(&raw).is_err());
    }
    // A declared length of 4 GiB allocates nothing.
    assert!(rmp_serde::from_slice::<EvidenceId>(&[0xc6, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(serde_json::from_str::<DomainName>("\"Prod\"").is_err());
    assert!(serde_json::from_str::<Code>("\"fine\"").is_err());
    assert!(serde_json::from_str::<Seconds>("3").is_err());
}

#[test]
fn json_values_pass_through_serde_as_strictly_as_through_the_parser() {
    let value = json::parse(br#"{"b":[1,null,true,"x"],"a":{}}"#).unwrap();
    both_ways(&value);
    assert_eq!(serde_json::to_string(&value).unwrap(), value.to_text());
    assert!(serde_json::from_str::<Json>(r#"{"a":1,"a":1}"#).is_err());
    assert!(serde_json::from_str::<Json>("1.5").is_err());
}
