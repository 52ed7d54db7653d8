//! Hostile envelopes to `POST /v1/envelopes`.

use std::collections::BTreeMap;

use assent_fixtures::policy::open_policy;
use assent_proof::{
    Claims, Code, DECISIONS_PAYLOAD_TYPE, DomainName, Envelope, Role, STATEMENT_PAYLOAD_TYPE, Seconds,
    decode_base64, pae,
};
use serde_json::{Value, json};

use super::beside::{Beside, allowing, state};
use crate::cluster_support::raw::{exchange, post, problem};
use crate::cluster_support::*;

/// The verdicts on hostile input that every version of the rules must give.
const VECTORS: &str = include_str!("../../../crates/proof/vectors/hostile.json");
/// The origin that the envelopes of the vectors name.
const ORIGIN_OF_VECTORS: &str = "r.example/1";

/// The order of the group, as the little-endian bytes of a scalar.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A genesis file of this origin, whose domain `prod.eu` is governed by both of the keys 3 and 4, and the chain of that
/// governance.
fn genesis_of_two(origin: &str) -> (Vec<u8>, Chain) {
    let root = Place::new(origin, DomainName::root(), now());
    let prod = Place::new(origin, in_prod().domain, now()).about("program");
    let mut genesis = Genesis::new(origin, now(), &[key(1)], 1, &key(2));
    for node in 11..14 {
        let later = Seconds(now().0 + 3600);
        genesis.node(&key(node), grant_until(&root, key(node).public(), Role::Registry, later));
    }
    genesis.domain(&prod.domain, &[key(3), key(4)], 2);
    let policy = prod.draft(&Claims::Policy(open_policy()));
    let mut chain = Chain::new();
    genesis.govern(&chain.sign(policy, &[&key(3), &key(4)]));
    (genesis.bytes(), chain)
}

/// A signature with the group's order added to its scalar: the same scalar to a verifier that reduces it.
fn unreduced(signature: &mut [u8]) {
    let mut carry = 0;
    for (byte, more) in signature[32..].iter_mut().zip(GROUP_ORDER) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = u8::try_from(sum % 256).unwrap();
        carry = sum / 256;
    }
    assert_eq!(carry, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_of_known_keys_that_do_not_hold_are_refused_each_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let (genesis, mut chain) = genesis_of_two(ORIGIN);
    let node = alone(folder.path(), |config| std::fs::write(&config.genesis, genesis).unwrap()).await;
    let address = node.client_addr();
    let answer = exchange(address, &post("/v1/envelopes", "connection: close\r\n", &authorization())).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let both = chain.sign(grant(key(5).public(), Role::Audit), &[&key(3), &key(4), &key(5)]);
    let answer = exchange(address, &post("/v1/envelopes", "connection: close\r\n", &both)).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let before = state(&node);
    let beside = Beside::of(&node);

    let (sequence, parent) = chain.next_slot();
    let next = grant(key(6).public(), Role::Audit).slot(sequence, parent);
    let good = next.sign(&[&key(3), &key(4), &key(6)]);
    let altered = |alter: &dyn Fn(&mut Envelope)| {
        let mut envelope = Envelope::parse(&good).unwrap();
        alter(&mut envelope);
        envelope.to_vec()
    };
    let instead = |signed: &dyn Fn(&Envelope) -> Vec<u8>| {
        altered(&|envelope| envelope.signatures[0].sig = key(3).sign(&signed(envelope)).to_vec())
    };
    let small_point = [&[1][..], &[0; 63]].concat();
    let note = format!("{ORIGIN}\n3\n{}\n", "A".repeat(43) + "=");
    for (what, body, status, code) in [
        (
            "a scalar with the group's order added",
            altered(&|e| unreduced(&mut e.signatures[0].sig)),
            400,
            Code::SignatureInvalid,
        ),
        (
            "a point of small order",
            altered(&|e| e.signatures[0].sig.clone_from(&small_point)),
            400,
            Code::SignatureInvalid,
        ),
        (
            "another key's signature under the right keyid",
            altered(&|e| e.signatures[0].sig = key(9).sign(&e.pae()).to_vec()),
            400,
            Code::SignatureInvalid,
        ),
        (
            "one key's signature twice",
            altered(&|e| e.signatures[1] = e.signatures[0].clone()),
            400,
            Code::UnsignedEvidence,
        ),
        ("no signatures", altered(&|e| e.signatures.clear()), 400, Code::UnsignedEvidence),
        ("one of the two keys", next.sign(&[&key(3), &key(6)]), 403, Code::ThresholdNotMet),
        ("a checkpoint's signature", instead(&|_| note.clone().into_bytes()), 400, Code::SignatureInvalid),
        (
            "a decision's signature",
            instead(&|e| pae(DECISIONS_PAYLOAD_TYPE, &e.payload)),
            400,
            Code::SignatureInvalid,
        ),
        (
            "a domain with the threshold 0",
            in_root()
                .draft(&claims::domain("other".parse().unwrap(), &[key(5).public()], 0))
                .sign(&[&key(1)]),
            400,
            Code::ClaimsInvalid,
        ),
    ] {
        let (head, problem) =
            problem(&exchange(address, &post("/v1/envelopes", "connection: close\r\n", &body)).await);
        assert_eq!((problem.status, problem.code), (status, code), "{what}: {head} {}", problem.detail);
        assert!(!problem.detail.is_empty() && !problem.remedy.is_empty(), "{what}");
    }
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    // What was spoilt is good by itself.
    let answer = exchange(address, &post("/v1/envelopes", "connection: close\r\n", &good)).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    node.shutdown().await;
}

/// The bytes of a vector's envelope; nothing for one that the file pads, whose size `jepsen-like/tests/hostile_input.rs`
/// tries.
fn bytes_of(case: &Value) -> Option<Vec<u8>> {
    if case.get("padTo").is_some() {
        return None;
    }
    if let Some(envelope) = case.get("envelope") {
        return decode_base64(envelope.as_str().unwrap());
    }
    let payload = assent_proof::encode_base64(case["payload"].as_str().unwrap().as_bytes());
    let signatures: Vec<Value> =
        case["signatures"].as_array().unwrap().iter().map(|signature| json!({ "sig": signature })).collect();
    let envelope =
        json!({ "payload": payload, "payloadType": STATEMENT_PAYLOAD_TYPE, "signatures": signatures });
    Some(envelope.to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_envelope_of_the_vectors_is_refused_over_the_wire_as_the_rules_say() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        std::fs::write(&config.genesis, genesis_of_two(ORIGIN_OF_VECTORS).0).unwrap();
    })
    .await;
    let before = state(&node);
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let mut tried: BTreeMap<String, usize> = BTreeMap::new();
    for case in vectors["cases"].as_array().unwrap().iter().filter(|case| case["stage"] == "verify") {
        let Some(body) = bytes_of(case) else { continue };
        assert_eq!(case["origin"], ORIGIN_OF_VECTORS);
        let name = &case["name"];
        let verdict = case["verdicts"]["1"].as_str().unwrap();
        let code = verdict.split(' ').next().unwrap();
        let question = post("/v1/envelopes", "connection: close\r\n", &body);
        let (head, problem) = problem(&exchange(node.client_addr(), &question).await);
        assert!((400..500).contains(&problem.status), "{name}: {head}");
        assert!(!problem.detail.is_empty() && !problem.remedy.is_empty(), "{name}");
        let said = problem.code.as_str();
        match code {
            "malformed" | "wrong_registry" => assert_eq!(said, code, "{name}: {}", problem.detail),
            // Good in itself, but no key of the vectors is one of this registry, and not each has the form of its
            // kind.
            "accepted" => {}
            // A node looks at the form that a statement of its kind must have, and for the keys, before it verifies.
            _ => assert!([code, "authority_unknown", "malformed"].contains(&said), "{name}: {said}"),
        }
        *tried.entry(code.to_owned()).or_default() += 1;
    }
    assert!(tried["malformed"] > 350 && tried["signature_invalid"] > 40, "{tried:?}");
    assert_eq!(state(&node), before);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_hostile_envelopes_refuses_each_and_delays_no_authorize() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |_| {}).await;
    let before = state(&node);
    let beside = Beside::of(&node);
    let envelopes: Vec<Value> = (0..200)
        .map(|number| {
            let mut envelope = Envelope::parse(&authorization_for(&format!("spoilt-{number}"))).unwrap();
            unreduced(&mut envelope.signatures[0].sig);
            serde_json::from_slice(&envelope.to_vec()).unwrap()
        })
        .collect();
    let body = json!({ "mode": "each", "envelopes": envelopes }).to_string();
    let answer =
        exchange(node.client_addr(), &post("/v1/envelopes:batch", "connection: close\r\n", body.as_bytes()))
            .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(answer.matches("\"signature_invalid\"").count(), 200, "{answer}");
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    node.shutdown().await;
}
