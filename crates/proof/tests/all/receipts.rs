//! Decision receipts.

use assent_proof::*;

use crate::make::{key, refused};

fn decision(i: i64) -> Json {
    Json::object([
        ("decision", Json::text(if i % 2 == 0 { "allow" } else { "deny" })),
        ("request", Json::object([("action", Json::text("deploy")), ("n", Json::Int(i))])),
        ("head", Json::Null),
        ("reasons", Json::Array(vec![])),
    ])
}

fn salted(decision: &Json) -> Json {
    let mut fields = decision.as_object().unwrap().to_vec();
    fields.push(("salt".into(), Json::Text(encode_base64(&[7; 16]))));
    Json::Object(fields)
}

fn answer(decision: &Json, receipt: &DecisionReceipt) -> Json {
    let mut fields = decision.as_object().unwrap().to_vec();
    fields.push(("receipt".into(), receipt.to_json()));
    Json::Object(fields)
}

/// `n` decisions and their receipts, signed by key 1.
fn batch(n: i64) -> Vec<(Json, DecisionReceipt)> {
    let decisions: Vec<Json> = (0..n).map(decision).collect();
    let leaves = decisions.iter().map(|d| salted(d).to_vec()).collect();
    decisions.into_iter().zip(sign_batch(leaves, &key(1))).collect()
}

fn check(decision: &Json, receipt: &DecisionReceipt) -> Result<VerifiedDecision, Refusal> {
    verify_decision(&answer(decision, receipt).to_vec(), &[key(2).public(), key(1).public()])
}

#[test]
fn every_decision_of_a_batch_verifies_on_its_own() {
    for n in [1, 2, 3, 7, 64, 100] {
        for (i, (decision, receipt)) in batch(n).iter().enumerate() {
            let verified = check(decision, receipt).unwrap();
            assert_eq!(
                verified,
                VerifiedDecision { decision: decision.clone(), allow: i % 2 == 0, signer: key(1).public() }
            );
        }
    }
    assert!(sign_batch(vec![], &key(1)).is_empty());
}

#[test]
fn a_receipt_reads_back_as_it_was_written() {
    let (_, receipt) = batch(5).remove(3);
    assert_eq!(DecisionReceipt::from_json(&receipt.to_json(), "receipt").unwrap(), receipt);
}

#[test]
fn a_decision_may_be_printed_anew_with_its_fields_in_another_order() {
    let (decision, receipt) = batch(3).remove(0);
    let mut fields = answer(&decision, &receipt).as_object().unwrap().to_vec();
    fields.reverse();
    let text = Json::Object(fields).to_text().replace(",\"", " ,\n \"");
    verify_decision(text.as_bytes(), &[key(1).public()]).unwrap();
}

#[test]
fn a_decision_that_says_something_else_than_its_leaf_is_refused() {
    let (honest, receipt) = batch(4).remove(1);
    let text = honest.to_text();
    for (from, to) in [
        (r#""deny""#, r#""allow""#),
        (r#""n":1"#, r#""n":2"#),
        (r#""head":null,"#, ""),
        (r#""head":null"#, r#""head":null,"extra":1"#),
        (r#""head":null"#, r#""head":"""#),
        (r#""reasons":[]"#, r#""reasons":{}"#),
    ] {
        assert!(text.contains(from), "{from}");
        let tampered = json::parse(text.replace(from, to).as_bytes()).unwrap();
        refused(check(&tampered, &receipt), Code::SignatureInvalid, "receipt.leaf");
    }
    // The salt belongs to the leaf alone.
    refused(check(&salted(&honest), &receipt), Code::SignatureInvalid, "receipt.leaf");
}

#[test]
fn a_leaf_index_size_or_path_that_was_not_signed_is_refused() {
    let all = batch(4);
    let (decision, receipt) = &all[1];
    let changes: [fn(&mut DecisionReceipt); 7] = [
        |r| r.leaf.push(b' '),
        |r| r.leaf = String::from_utf8(r.leaf.clone()).unwrap().replace("deny", "allow").into_bytes(),
        |r| r.index = 0,
        |r| r.index = 4,
        |r| r.size = 5,
        |r| r.path[0][0] ^= 1,
        |r| r.path.clear(),
    ];
    for change in changes {
        let mut changed = receipt.clone();
        change(&mut changed);
        refused(check(decision, &changed), Code::SignatureInvalid, "receipt.path");
    }
    // Another decision's receipt, whole.
    refused(check(decision, &all[3].1), Code::SignatureInvalid, "receipt.leaf");
}

#[test]
fn a_signer_who_is_not_trusted_is_refused() {
    let (decision, receipt) = batch(2).remove(0);
    let bytes = answer(&decision, &receipt).to_vec();
    for trusted in [&[][..], &[key(2).public()]] {
        refused(verify_decision(&bytes, trusted), Code::SignatureInvalid, "receipt.envelope.signatures");
    }
    let mut unsigned = receipt.clone();
    unsigned.envelope.signatures.clear();
    refused(check(&decision, &unsigned), Code::SignatureInvalid, "receipt.envelope.signatures");
    let mut relabelled = receipt;
    relabelled.envelope.signatures[0].keyid = Some(key(2).public().keyid());
    assert_eq!(check(&decision, &relabelled).unwrap().signer, key(1).public());
}

#[test]
fn another_kind_of_signature_is_no_decision() {
    let (decision, receipt) = batch(1).remove(0);
    for payload_type in [STATEMENT_PAYLOAD_TYPE, "application/vnd.egpep.checkpoint.v1", ""] {
        let mut other = receipt.clone();
        other.envelope = Envelope::unsigned(payload_type, receipt.envelope.payload.clone());
        other.envelope.sign_with(&key(1));
        refused(check(&decision, &other), Code::Malformed, "receipt.envelope.payloadType");
        // Nor does it become one by relabelling.
        other.envelope.payload_type = DECISIONS_PAYLOAD_TYPE.into();
        refused(check(&decision, &other), Code::SignatureInvalid, "receipt.envelope.signatures");
    }
    // A checkpoint's text, signed as decisions by mistake, has no root to prove anything under.
    let mut other = receipt.clone();
    other.envelope = Envelope::unsigned(DECISIONS_PAYLOAD_TYPE, b"registry.example/eu-1\n1\nAAAA\n".to_vec());
    other.envelope.sign_with(&key(1));
    refused(check(&decision, &other), Code::Malformed, "receipt.envelope.payload");
}

/// A receipt over exactly this leaf, honestly signed.
fn over(leaf: &[u8]) -> DecisionReceipt {
    sign_batch(vec![leaf.to_vec()], &key(1)).remove(0)
}

#[test]
fn a_signed_leaf_must_still_be_a_salted_decision() {
    let honest = decision(0);
    refused(check(&honest, &over(b"{")), Code::Malformed, "receipt.leaf");
    refused(check(&honest, &over(b"[]")), Code::Malformed, "receipt.leaf");
    refused(check(&honest, &over(&honest.to_vec())), Code::Malformed, "receipt.leaf.salt");
    let short = salted(&honest).to_text().replace(&encode_base64(&[7; 16]), "AAAA");
    refused(check(&honest, &over(short.as_bytes())), Code::Malformed, "receipt.leaf.salt");
    let twice = salted(&honest).to_text().replace(r#""allow""#, r#""deny","decision":"allow""#);
    refused(check(&honest, &over(twice.as_bytes())), Code::Malformed, "receipt.leaf");
    let nested = salted(&honest).to_text().replacen('{', r#"{"receipt":{},"#, 1);
    refused(check(&honest, &over(nested.as_bytes())), Code::Malformed, "receipt.leaf.receipt");
    for word in ["Allow", "permit", ""] {
        let odd = json::parse(honest.to_text().replace("allow", word).as_bytes()).unwrap();
        refused(check(&odd, &over(&salted(&odd).to_vec())), Code::Malformed, "decision");
    }
    let none = Json::Object(vec![]);
    refused(check(&none, &over(&salted(&none).to_vec())), Code::Malformed, "decision");
}

#[test]
fn malformed_answers_name_their_field() {
    let trusted = [key(1).public()];
    let (decision, receipt) = batch(2).remove(0);
    refused(verify_decision(b"[]", &trusted), Code::Malformed, "");
    refused(verify_decision(&decision.to_vec(), &trusted), Code::Malformed, "receipt");
    refused(verify_decision(&vec![b' '; 1024 * 1024 + 1], &trusted), Code::TooLarge, "");
    let text = answer(&decision, &receipt).to_text();
    for (from, to, field) in [
        (r#""index":0"#, r#""index":-1"#, "receipt.index"),
        (r#""size":2"#, r#""size":"2""#, "receipt.size"),
        (r#""path":["#, r#""path":["AAAA","#, "receipt.path[0]"),
        (r#""leaf":""#, r#""leaf":"*"#, "receipt.leaf"),
        (r#""envelope":{"#, r#""x":1,"envelope":{"#, "receipt.x"),
        (r#""payloadType""#, r#""payloadtype""#, "receipt.envelope.payloadType"),
        (r#""sig":""#, r#""sig":"*"#, "receipt.envelope.signatures[0].sig"),
    ] {
        assert!(text.contains(from), "{from}");
        refused(verify_decision(text.replacen(from, to, 1).as_bytes(), &trusted), Code::Malformed, field);
    }
    let path = vec![format!("\"{}\"", encode_base64(&[0; 32])); 64].join(",");
    let long = text.replacen(r#""path":["#, &format!(r#""path":[{path},"#), 1);
    refused(verify_decision(long.as_bytes(), &trusted), Code::Malformed, "receipt.path");
}
