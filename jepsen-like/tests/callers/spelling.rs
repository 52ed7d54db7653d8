//! Requests that other programs spell in another way, and how real nodes read them: numbers, base64, and characters
//! that control terminals.

use assent_proof::{EvidenceKind, STATEMENT_PAYLOAD_TYPE};
use serde_json::json;

use super::*;

/// The statement with a piece of its payload's text replaced, signed anew.
fn rewritten(envelope: &[u8], key: &SigningKey, from: &str, to: &str) -> Vec<u8> {
    let payload = String::from_utf8(Envelope::parse(envelope).unwrap().payload).unwrap();
    let changed = payload.replacen(from, to, 1);
    assert_ne!(changed, payload, "`{from}` is not in it");
    let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, changed.into_bytes());
    envelope.sign_with(key);
    envelope.to_vec()
}

/// Submits by `assent submit`.
fn submitted(cluster: &Cluster, envelope: &[u8]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envelope.json");
    std::fs::write(&file, envelope).unwrap();
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| format!("http://{}", node.client)).collect();
    let arguments = ["submit", "--timeout", "30000", file.to_str().unwrap()];
    assent(cluster, &nodes.join(","), &arguments).0
}

/// A node refuses it for good with this code. Answers the detail.
async fn refused(cluster: &Cluster, envelope: &[u8], code: Code) -> String {
    let answer = cluster.submit(1, envelope).await.unwrap();
    assert_eq!((answer.status, answer.text("code")), (Some(400), Some(code.as_str())), "{answer:?}");
    answer.text("detail").unwrap().to_owned()
}

#[test]
fn a_zero_with_a_fraction_of_zeros_is_taken_as_it_stands_and_no_other_fraction_is() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let evidence = Evidence::new(&cluster, "fractions").await.unwrap();
        let key = cluster.key("governance").unwrap();
        let plain = evidence.authorization(&key, (0, None));
        let with =
            |number: &str| rewritten(&plain, &key, r#""sequence":0"#, &format!(r#""sequence":{number}"#));
        for number in ["0.5", "-0.0", "0.0e0", ".0", "0."] {
            refused(&cluster, &with(number), Code::Malformed).await;
        }
        let of_protobuf = with("0.0");
        let output = submitted(&cluster, &of_protobuf);
        assert!(output.status.success(), "{output:?}");
        // Its id is over these bytes, which the ledger keeps.
        let id = id_of(&of_protobuf).unwrap();
        assert_ne!(id_of(&plain), Some(id));
        let receipt = cluster.accept(1, &of_protobuf).await.unwrap();
        assert_eq!(receipt.text("evidenceId"), Some(id.to_string().as_str()), "{receipt:?}");
        let kept = cluster.get(1, &format!("/v1/envelopes/{id}")).await;
        assert_eq!(kept.bytes, of_protobuf, "{kept:?}");
        let chain = cluster.get(1, &format!("/v1/lineages/{}/fractions", cluster.domain)).await;
        assert_eq!(chain.body["issuers"][0]["sequence"], 0, "{chain:?}");
    });
}

#[test]
fn base64_with_a_line_end_is_refused_with_the_byte_at_which_it_stands() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let evidence = Evidence::new(&cluster, "line-ends").await.unwrap();
        let plain = evidence.authorization(&cluster.key("governance").unwrap(), (0, None));
        for (place, at, line_end) in
            [("/payload", 76, "\n"), ("/payload", 64, "\r\n"), ("/signatures/0/sig", 64, "\n")]
        {
            let mut envelope: Value = serde_json::from_slice(&plain).unwrap();
            let text = envelope.pointer_mut(place).unwrap();
            let (first, rest) = text.as_str().unwrap().split_at(at);
            *text = Value::String([first, line_end, rest].concat());
            let bytes = serde_json::to_vec(&envelope).unwrap();
            let detail = refused(&cluster, &bytes, Code::Malformed).await;
            assert!(detail.contains(&format!("a line end at byte {at}")), "{place}: {detail}");
            let output = submitted(&cluster, &bytes);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.starts_with("error: malformed: "), "{said}");
            assert!(said.contains(&format!("a line end at byte {at}")), "{said}");
        }
        // Nothing of it was recorded: the bytes without a line end are new.
        assert_eq!(cluster.accept(1, &plain).await.unwrap().status, Some(201));
    });
}

#[test]
fn a_terminal_control_character_is_refused_in_names_and_claims_and_is_not_echoed() {
    RUNTIME.block_on(async {
        let cluster = cluster().await;
        let evidence = Evidence::new(&cluster, "obeyed").await.unwrap();
        let key = cluster.key("attestation").unwrap();
        for (character, named) in
            [('\u{202e}', "U+202E"), ('\u{2066}', "U+2066"), ('\u{1b}', "U+001B"), ('\u{feff}', "U+FEFF")]
        {
            let text = format!("a{character}b");
            let plain = evidence.attestation(&key, (0, None), "affirming", "m");
            let plain = Statement::parse(&Envelope::parse(&plain).unwrap().payload).unwrap();
            let name = sign_statement(&Statement { subject_name: Some(text.clone()), ..plain }, &[&key]);
            let claims = json!({ "verifier": text, "status": "affirming", "measurement": "m" });
            let claim = evidence.execution(EvidenceKind::RuntimeAttestation, &claims, &key, (0, None));
            for (envelope, code) in [(name, Code::Malformed), (claim, Code::ClaimsInvalid)] {
                let detail = refused(&cluster, &envelope, code).await;
                assert!(detail.contains(named) && !detail.contains(character), "{detail:?}");
                let output = submitted(&cluster, &envelope);
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "{said}");
                assert!(said.contains(named) && !said.contains(character), "{said:?}");
            }
        }
        let lineage = cluster.get(1, &format!("/v1/lineages/{}/obeyed", cluster.domain)).await;
        assert_eq!(lineage.status, Some(404), "{lineage:?}");
    });
}
